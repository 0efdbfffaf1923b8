//! The whole route table, and what every request goes through.

mod appraisals;
mod blobs;
mod dashboard;
mod desk;
mod enrol;
mod events;
mod export;
mod feeds;
mod health;
mod import;
mod office;
pub mod openapi;
mod print;
mod records;
mod session;
pub(crate) mod sync;
mod sync_state;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
mod webhooks;

use crate::{App, auth, error::Error, ledger::Session, problem, storage::Key};
use axum::{
    Router,
    body::Bytes,
    extract::{ConnectInfo, DefaultBodyLimit, FromRequestParts, MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{delete, get, patch, post, put},
};
use dashboard::Built;
use futures_util::FutureExt as _;
use onsite_core::domain::value::opened;
use onsite_core::messages::Language;
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use std::{
    net::{IpAddr, SocketAddr},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};
use tower_http::compression::predicate::{DefaultPredicate, Predicate, SizeAbove};
use tower_http::{CompressionLevel, compression::CompressionLayer, decompression::RequestDecompressionLayer};
use tracing::Instrument as _;

/// Every route there is.
pub fn router(app: Arc<App>) -> Router {
    let limits = &app.config.limits;
    // Sync bodies may be larger than any other.
    let sync = Router::new().route("/v1/sync", post(sync::sync)).layer(DefaultBodyLimit::max(limits.body_bytes));
    let plain = Router::new()
        // devices
        .route("/v1/enrol", post(enrol::enrol))
        .route("/v1/token/challenge", post(enrol::challenge))
        .route("/v1/token", post(enrol::token))
        .route("/v1/events", get(events::events))
        // the office's page, and its forms as paper
        .route("/", get(dashboard::page::<Built>))
        .route("/print/dispatch/{id}", get(print::dispatch_moved))
        .route("/print/visit/{id}", get(print::visit_moved))
        // who asks
        .route(
            "/api/session",
            get(session::who_am_i).post(session::sign_in).patch(session::prefer).delete(session::sign_out),
        )
        .route("/api/sign-in", get(session::ways))
        .route("/api/session/oidc", get(session::oidc))
        .route("/api/session/oidc/callback", get(session::oidc_back))
        .route("/api/session/password", put(session::change_password))
        .route("/api/sessions", get(session::sessions).delete(session::sign_out_everywhere))
        .route("/api/sessions/{id}", delete(session::end_session))
        .route("/api/users", get(session::list_users).post(session::add_user))
        .route("/api/users/{login}", patch(session::change_user))
        // the office's API
        .route("/api/commands", post(office::command))
        .route("/api/work-orders", get(office::work_orders))
        .route("/api/documents", get(office::documents))
        .route("/api/documents/{id}", get(office::document))
        .route("/api/documents/{id}/seen", post(office::seen))
        .route("/api/rescue", post(office::rescue))
        // today, board, calendar
        .route("/api/today", get(desk::today))
        .route("/api/board", get(desk::board))
        .route("/api/calendar", get(desk::calendar))
        // one record
        .route("/api/work-orders/{id}", get(records::work_order))
        .route("/api/work-orders/{id}/timeline", get(records::timeline))
        .route("/api/visits/{id}", get(records::visit))
        .route("/api/work-orders/{id}/dispatch/print", get(print::dispatch))
        .route("/api/visits/{id}/print", get(print::visit))
        .route("/api/customers/{id}", get(records::customer))
        .route("/api/entitlement", get(records::entitlement))
        .route("/api/calls", get(records::calls))
        .route("/api/staff", get(records::staff))
        // penalties, rewards, figures
        .route("/api/proposals", get(appraisals::proposals))
        .route("/api/figures", get(appraisals::figures))
        .route("/api/figures/trend", get(appraisals::trend))
        .route("/api/figures/jobs", get(appraisals::cases))
        // what changes, as it does
        .route("/api/events", get(events::office_events))
        // phones, clashes, refused edits, audit
        .route("/api/devices", get(sync_state::devices))
        .route("/api/devices/{id}", get(sync_state::device))
        .route("/api/devices/{id}/revoke", post(sync_state::revoke))
        .route("/api/device-codes", post(sync_state::device_code))
        .route("/api/clashes", get(sync_state::clashes))
        .route("/api/set-aside", get(sync_state::set_aside))
        .route("/api/set-aside/{doc}/{hash}", post(sync_state::decide_aside))
        .route("/api/audit", get(sync_state::audit_list))
        .route("/api/audit/verify", get(sync_state::audit_verify))
        // what all of this takes and answers
        .route("/api/openapi.json", get(openapi::document))
        .route("/api/docs", get(openapi::viewer))
        .route("/api/docs/{file}", get(openapi::viewer_file))
        // files in and out
        .route("/api/import/customers/template", get(import::template))
        .route("/api/export/{list}", get(export::export))
        // other programs
        .route("/api/webhooks", get(webhooks::list).post(webhooks::create))
        .route("/api/webhooks/{id}", patch(webhooks::change).delete(webhooks::remove))
        .route("/api/webhooks/{id}/secret", post(webhooks::secret))
        .route("/api/webhooks/{id}/ping", post(webhooks::ping))
        .route("/api/webhooks/{id}/deliveries", get(webhooks::deliveries))
        .route("/api/webhooks/{id}/deliveries/{n}/redeliver", post(webhooks::redeliver))
        // technicians' calendars
        .route("/api/calendar-feeds", get(feeds::list).post(feeds::issue))
        .route("/api/calendar-feeds/{staff}", delete(feeds::revoke))
        .route("/feeds/{file}", get(feeds::read))
        .layer(from_fn(unchanged))
        .layer(DefaultBodyLimit::max(limits.form_bytes))
        // for those who watch
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics));
    let files = Router::new()
        .route("/api/import/customers/preview", post(import::preview))
        .route("/api/import/customers", post(import::take))
        .layer(DefaultBodyLimit::max(crate::import::MAX_FILE));
    // Blobs are compressed as they are, and their lengths and ranges count: neither layer touches them.
    let raw = Router::new()
        .route("/v1/blobs", post(blobs::create).options(blobs::options))
        .route(
            "/v1/blobs/uploads/{id}",
            get(blobs::head).post(blobs::meant).patch(blobs::patch).delete(blobs::delete).options(blobs::options),
        )
        .route("/v1/blobs/{sha256}", get(blobs::download))
        .route("/api/blobs/{sha256}", get(blobs::photo))
        .route("/api/blobs/{sha256}/thumb", get(blobs::thumb))
        .layer(from_fn(blobs::tus));
    // What the page's build made is packed already.
    let raw = raw.route("/assets/{*path}", get(dashboard::asset::<Built>));
    Router::new()
        .merge(sync)
        .merge(plain)
        .merge(files)
        // Small answers are not worth it, and a storm of phones must not cost more than its bytes.
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(worth_packing()))
        .layer(RequestDecompressionLayer::new())
        .merge(raw)
        .fallback(dashboard::rest::<Built>)
        .layer(from_fn_with_state(Arc::clone(&app), around))
        .with_state(app)
}

/// Answers that are compressed: of a certain size, and no streams of events.
fn worth_packing() -> impl Predicate {
    DefaultPredicate::new().and(SizeAbove::new(2048))
}

/// Gives answers of the API in JSON a tag of their content, and does not send again what the asker holds. Of what
/// an answer is made (documents, phones, the clock) is too much to be named by less than itself.
async fn unchanged(request: Request, next: Next) -> Response {
    let asked = request.method() == Method::GET && request.uri().path().starts_with("/api/");
    let held = request.headers().get(header::IF_NONE_MATCH).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let response = next.run(request).await;
    let json = response.headers().get(header::CONTENT_TYPE).is_some_and(|v| v == "application/json");
    if !asked || !json || response.status() != StatusCode::OK {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else {
        return Error::Internal("an answer cannot be read".into()).into_response();
    };
    let tag = format!("W/\"{}\"", &auth::hex(&Sha256::digest(&body))[..32]);
    let same = held.is_some_and(|held| held.split(',').any(|one| one.trim() == tag || one.trim() == "*"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        parts.headers.insert(header::ETAG, tag);
    }
    // A browser may hold it, for the one it was made for, but asks each time.
    parts.headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("private, no-cache"));
    parts.headers.insert(header::VARY, HeaderValue::from_static("cookie"));
    if !same {
        return Response::from_parts(parts, body.into());
    }
    parts.status = StatusCode::NOT_MODIFIED;
    parts.headers.remove(header::CONTENT_TYPE);
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, axum::body::Body::empty())
}

/// Headers of every answer; of those that only phones read, the first: of an
/// idle contact the others would be the greater part.
const HEADERS: [(HeaderName, &str); 7] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
];

/// Routes whose requests may take as long as bytes flow.
fn unhurried(path: &str, method: &Method) -> bool {
    matches!(path, "/v1/events" | "/api/events")
        || path.starts_with("/api/export/")
        || (path.starts_with("/v1/blobs")
            && (method == Method::PATCH || method == Method::POST || method == Method::GET))
}

/// Around every request: its id and span, its time limit, panics, one form of
/// error, headers, figures.
async fn around(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let id = app.ledger.env().new_id();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("other", |m| m.as_str()).to_owned();
    let span = tracing::info_span!("request", %id, %method, route);
    let begun = Instant::now();
    let limit = if unhurried(request.uri().path(), &method) {
        Duration::from_secs(u64::from(u32::MAX))
    } else {
        Duration::from_secs(app.config.limits.request_seconds)
    };
    let secure = app.config.url().starts_with("https://");
    let phone = matches!(request.uri().path(), "/v1/sync" | "/v1/token" | "/v1/token/challenge");
    let answer = async {
        match tokio::time::timeout(limit, AssertUnwindSafe(next.run(request)).catch_unwind()).await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) => {
                tracing::error!("a handler panicked");
                problem::problem(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "internal",
                    "",
                    "the server failed; its log says why",
                    None,
                )
            }
            Err(_) => problem::problem(
                StatusCode::SERVICE_UNAVAILABLE,
                "timeout",
                "",
                "this took too long; try again",
                Some(5000),
            ),
        }
    };
    let mut response = in_one_form(answer.instrument(span.clone()).await).await;
    let status = response.status();
    let headers = response.headers_mut();
    for (name, value) in HEADERS.into_iter().take(if phone { 1 } else { usize::MAX }) {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if secure {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        headers.insert("x-request-id", id);
    }
    let took = begun.elapsed();
    tracing::info!(parent: &span, status = status.as_u16(), ms = took.as_millis() as u64, "answered");
    crate::metrics::request(&method, &route, status, took);
    response
}

/// Turns an error that a layer or extractor wrote as plain text into a problem.
async fn in_one_form(response: Response) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if kind.starts_with(problem::PROBLEM)
        || kind.starts_with("text/html")
        || response.headers().contains_key("tus-resumable")
    {
        return response;
    }
    let (parts, body) = response.into_parts();
    let said = axum::body::to_bytes(body, 4096).await.unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let detail = if said.is_empty() { status.canonical_reason().unwrap_or("refused") } else { &said };
    let mut fresh = problem::problem(status, problem::code_of(status), "", detail, None);
    for name in [header::ALLOW, header::ACCEPT_ENCODING, header::CONTENT_RANGE] {
        if let Some(value) = parts.headers.get(&name) {
            fresh.headers_mut().insert(name, value.clone());
        }
    }
    fresh
}

/// Whoever a device's bearer token stands for. Counts against the device's rate.
pub(crate) struct Device(pub(crate) Session);

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

impl FromRequestParts<Arc<App>> for Device {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        let token = bearer(&parts.headers).ok_or_else(|| Error::Unauthorized("no bearer token".into()))?;
        let session = auth::session(&app.ledger, token).await?;
        app.device_rate.take(session.device, app.config.limits.device_requests_per_minute, app.ledger.env().now())?;
        Ok(Self(session))
    }
}

/// Whoever the office's cookie stands for. An unsafe method must come from the same site.
pub(crate) struct Office(pub(crate) auth::OfficeSession);

/// The session's secret, from the cookie.
pub(crate) fn cookie(app: &App, headers: &HeaderMap) -> Option<String> {
    named_cookie(headers, app.cookie_name())
}

/// The cookie of this name.
fn named_cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(n, _)| *n == name)
        .map(|(_, v)| v.to_owned())
}

/// Refuses what another site's page sends with our user's cookie. A client that
/// is no browser sends neither header, and no cookie it was not given.
pub(crate) fn same_site(app: &App, method: &Method, headers: &HeaderMap) -> Result<(), Error> {
    if method.is_safe() {
        return Ok(());
    }
    let foreign = || Err(Error::Forbidden("this request came from another site".into()));
    if let Some(site) = headers.get("sec-fetch-site") {
        return if site == "same-origin" || site == "none" { Ok(()) } else { foreign() };
    }
    if let Some(origin) = headers.get(header::ORIGIN) {
        let origin = origin.to_str().unwrap_or_default();
        let host = headers.get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or_default();
        let own = origin.split_once("://").is_some_and(|(_, at)| !host.is_empty() && at.eq_ignore_ascii_case(host));
        return if own || origin.eq_ignore_ascii_case(&app.config.url()) { Ok(()) } else { foreign() };
    }
    Ok(())
}

impl FromRequestParts<Arc<App>> for Office {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        let secret = cookie(app, &parts.headers).ok_or_else(|| Error::Unauthorized("you are not signed in".into()))?;
        same_site(app, &parts.method, &parts.headers)?;
        Ok(Self(auth::office(&app.ledger, &secret, &app.config.auth).await?))
    }
}

/// The asker's address: the connection's, or what a known proxy says.
pub(crate) struct Peer {
    /// The address.
    pub(crate) at: IpAddr,
    /// Somebody stands between whom the configuration does not name: the address may be of anybody.
    pub(crate) veiled: bool,
}

impl FromRequestParts<Arc<App>> for Peer {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Self::Rejection> {
        let at = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|c| c.0.ip().to_canonical());
        let at = at.unwrap_or(IpAddr::from([0, 0, 0, 0]));
        // The last entry is the one the proxy itself wrote; those before it anybody may have.
        let said = parts.headers.get_all("x-forwarded-for").iter().next_back();
        let Some(said) = said else { return Ok(Self { at, veiled: false }) };
        if !app.config.proxies.contains(&at) {
            return Ok(Self { at, veiled: true });
        }
        let said = said.to_str().ok().and_then(|s| s.rsplit(',').next()?.trim().parse().ok());
        Ok(Self { at: said.unwrap_or(at), veiled: said.is_none() })
    }
}

/// An answer as JSON, in which what documents set as one is the object it holds.
pub(crate) struct Shown<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Shown<T> {
    fn into_response(self) -> Response {
        match opened(|| serde_json::to_vec(&self.0)) {
            Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
            Err(e) => Error::Internal(format!("an answer: {e}")).into_response(),
        }
    }
}

/// What the address asks for, or `bad_query` with what is wrong.
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let query = parts.uri.query().unwrap_or_default();
        let read = serde_urlencoded::from_str(query);
        read.map(Self).map_err(|e| Error::bad("bad_query", "", format!("the address asks for no such thing: {e}")))
    }
}

/// The language of an answer: `?lang=`, else the first that the browser prefers, else Chinese.
pub(crate) struct Tongue(pub(crate) Language);

#[derive(serde::Deserialize, Default)]
#[serde(default)]
struct LangAsked {
    lang: Option<String>,
}

impl<S: Sync> FromRequestParts<S> for Tongue {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let asked: LangAsked = serde_urlencoded::from_str(parts.uri.query().unwrap_or_default()).unwrap_or_default();
        if let Some(said) = asked.lang {
            let known = said.parse();
            return known.map(Self).map_err(|e| Error::bad("bad_lang", "lang", e.to_string()));
        }
        let preferred = parts.headers.get(header::ACCEPT_LANGUAGE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let first = preferred.split(',').map(|l| l.split(';').next().unwrap_or_default().trim());
        Ok(Self(first.filter_map(|l| l.parse().ok()).next().unwrap_or_default()))
    }
}

/// A place in a list that an earlier page named.
pub(crate) fn place(text: Option<&str>) -> Result<Option<Key>, Error> {
    let Some(text) = text else { return Ok(None) };
    let place = text.split_once('.').and_then(|(due, doc)| Some((due.parse().ok()?, doc.parse().ok()?)));
    let (due, doc) = place.ok_or_else(Error::bad_after)?;
    Ok(Some(Key { due, doc }))
}

/// A JSON body, or `bad_body` with what is wrong.
pub(crate) fn json<T: DeserializeOwned>(headers: &HeaderMap, body: &Bytes) -> Result<T, Error> {
    content_type(headers, "application/json")?;
    serde_json::from_slice(body).map_err(|e| Error::bad("bad_body", "", format!("not the JSON asked for: {e}")))
}

/// Whether the body is of a media type; else `bad_content_type`.
pub(crate) fn content_type(headers: &HeaderMap, wanted: &str) -> Result<(), Error> {
    let said = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if said.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    Err(Error::bad("bad_content_type", "", format!("the body must be {wanted}")))
}

/// An id in a path; what is none is not found.
pub(crate) fn id<T: std::str::FromStr>(text: &str) -> Result<T, Error> {
    text.parse().map_err(|_| Error::NotFound(format!("{:?} is no id", text.chars().take(80).collect::<String>())))
}
