//! The two paper forms, to be printed.

use super::{Office, Tongue, id};
use crate::{App, auth, error::Error};
use axum::{
    extract::{FromRequestParts, Path, State},
    http::{HeaderValue, StatusCode, Uri, header, request::Parts},
    response::{Html, IntoResponse, Redirect, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use onsite_core::domain::{DocId, VisitId, WorkOrderId};
use onsite_core::forms;
use sha2::Digest as _;
use std::sync::Arc;

/// Most photos whose pictures are printed.
const PICTURES: usize = 24;

/// Somebody signed in. A browser whose session has ended is led to sign in, and back.
pub(super) struct Reader(auth::OfficeSession);

impl FromRequestParts<Arc<App>> for Reader {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let browser =
            parts.headers.get(header::ACCEPT).is_some_and(|a| a.to_str().is_ok_and(|a| a.contains("text/html")));
        match Office::from_request_parts(parts, app).await {
            Ok(Office(who)) => Ok(Self(who)),
            Err(Error::Unauthorized(_)) if browser => {
                let here = parts.uri.path_and_query().map_or("/", |p| p.as_str());
                let query = serde_urlencoded::to_string([("next", here)]).unwrap_or_default();
                Err(Redirect::to(&format!("/login?{query}")).into_response())
            }
            Err(e) => Err(e.into_response()),
        }
    }
}

/// Form 1 of a job: both copies, an A4 page each.
#[utoipa::path(
    get,
    path = "/api/work-orders/{id}/dispatch/print",
    tag = "records",
    operation_id = "print_dispatch",
    params(
        ("id" = WorkOrderId, Path, description = "The work order"),
        ("lang" = Option<String>, Query, description = "`zh-CN` or `en`; where absent, as the browser prefers"),
    ),
    responses((status = 200, body = String, content_type = "text/html")),
)]
pub(super) async fn dispatch(
    State(app): State<Arc<App>>,
    Reader(who): Reader,
    Tongue(lang): Tongue,
    Path(order): Path<String>,
) -> Result<Response, Error> {
    let data = app.ledger.dispatch_form(who.tenant, id::<WorkOrderId>(&order)?).await?;
    Ok(page(forms::render_dispatch(&data, lang)))
}

/// Form 2 of a visit, with the signature as it was drawn and its photos made small.
#[utoipa::path(
    get,
    path = "/api/visits/{id}/print",
    tag = "records",
    operation_id = "print_visit",
    params(
        ("id" = VisitId, Path, description = "The visit"),
        ("lang" = Option<String>, Query, description = "`zh-CN` or `en`; where absent, as the browser prefers"),
    ),
    responses((status = 200, body = String, content_type = "text/html")),
)]
pub(super) async fn visit(
    State(app): State<Arc<App>>,
    Reader(who): Reader,
    Tongue(lang): Tongue,
    Path(visit): Path<String>,
) -> Result<Response, Error> {
    let mut data = app.ledger.visit_form(who.tenant, id::<VisitId>(&visit)?).await?;
    let mut left = PICTURES;
    for photo in &mut data.photos {
        let Some(blob) = photo.blob.filter(|_| left > 0) else { continue };
        // One that has not come yet, or is none, is counted and not shown.
        if let Some(small) = super::blobs::small(&app, who.tenant, blob).await? {
            photo.thumbnail = format!("data:image/jpeg;base64,{}", STANDARD.encode(small));
            left -= 1;
        }
    }
    Ok(page(forms::render_visit(&data, lang)))
}

/// A form's page: its one block of styles may apply, by its hash, and nothing else.
fn page(text: String) -> Response {
    let style = text.split_once("<style>").and_then(|(_, rest)| rest.split_once("</style>")).map_or("", |(s, _)| s);
    let style = STANDARD.encode(sha2::Sha256::digest(style.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    );
    let mut page = Html(text).into_response();
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        page.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    // The office's page prints it from a frame of its own.
    page.headers_mut().insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN"));
    page
}

/// Where form 1 was printed before.
pub(super) async fn dispatch_moved(uri: Uri, Path(order): Path<String>) -> Result<Response, Error> {
    moved(&uri, &format!("/api/work-orders/{}/dispatch/print", id::<DocId>(&order)?))
}

/// Where form 2 was printed before.
pub(super) async fn visit_moved(uri: Uri, Path(visit): Path<String>) -> Result<Response, Error> {
    moved(&uri, &format!("/api/visits/{}/print", id::<DocId>(&visit)?))
}

fn moved(uri: &Uri, to: &str) -> Result<Response, Error> {
    let to = uri.query().map_or(to.to_owned(), |q| format!("{to}?{q}"));
    let to = HeaderValue::from_str(&to).map_err(|e| Error::bad("bad_query", "", e.to_string()))?;
    Ok((StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, to)]).into_response())
}
