//! The office's API: JSON in and out, errors as problems.

use super::{Office, Peer, cookie, id, json, place, same_site};
use crate::{App, auth, error::Error, storage::Query, storage::View};
use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query as UrlQuery, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use onsite_core::domain::{ChangeHash, Command, DeviceId, DocId, Kind, Role, StaffId};
use serde::Deserialize;
use serde_json::{Value, json as object};
use std::sync::Arc;

/// Roles that manage devices and decide on what was set aside.
const MANAGERS: [Role; 2] = [Role::Admin, Role::ServiceManager];

/// Most bytes of a rescue file's passphrase.
const MAX_PASSPHRASE: usize = 1024;

#[derive(Deserialize)]
struct Credentials {
    login: String,
    password: String,
}

/// Takes a form (a browser: answered by a page) or JSON (answered by 204 or a problem).
pub(super) async fn login(
    State(app): State<Arc<App>>,
    peer: Peer,
    language: super::page::Lang,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = super::content_type(&headers, "application/x-www-form-urlencoded").is_ok();
    let tried = async {
        same_site(&app, &Method::POST, &headers)?;
        let (limits, now) = (&app.config.limits, app.ledger.env().now());
        app.login_rate.take(peer.at, limits.login_tries_per_minute, now)?;
        let said: Credentials = if form {
            serde_urlencoded::from_bytes(&body)
                .map_err(|e| Error::bad("bad_body", "", format!("not the form asked for: {e}")))?
        } else {
            json(&headers, &body)?
        };
        let name = said.login.trim().to_lowercase().chars().take(64).collect::<String>();
        app.lockout.check(&name, limits, now)?;
        let secret = auth::sign_in(&app.ledger, &said.login, &said.password, &app.config.auth).await;
        if let Ok(_) | Err(Error::Unauthorized(_)) = &secret {
            app.lockout.note(&name, secret.is_ok(), limits, now);
        }
        secret
    };
    match tried.await {
        Ok(secret) => {
            let mut response = if form {
                Redirect::to(language.home()).into_response()
            } else {
                StatusCode::NO_CONTENT.into_response()
            };
            set_cookie(&app, &mut response, &secret, app.config.auth.session_seconds);
            response
        }
        Err(e) if form => super::page::login_failed(&headers, e.into_response()),
        Err(e) => e.into_response(),
    }
}

fn set_cookie(app: &App, response: &mut Response, secret: &str, seconds: u64) {
    let secure = if app.config.secure_cookies() { "; Secure" } else { "" };
    let cookie =
        format!("{}={secret}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}", app.cookie_name());
    if let Ok(mut value) = HeaderValue::from_str(&cookie) {
        value.set_sensitive(true);
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

pub(super) async fn logout(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Error> {
    same_site(&app, &Method::POST, &headers)?;
    if let Some(secret) = cookie(&app, &headers) {
        auth::sign_out(&app.ledger, &secret).await?;
    }
    let mut response = Redirect::to("/login").into_response();
    set_cookie(&app, &mut response, "", 0);
    Ok(response)
}

pub(super) async fn command(
    State(app): State<Arc<App>>,
    Office(who): Office,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Error> {
    let command: Command = json(&headers, &body)?;
    let key = headers.get("idempotency-key").and_then(|v| v.to_str().ok());
    if key.is_some_and(|k| k.is_empty() || k.len() > 100) {
        return Err(Error::bad("bad_header", "idempotency-key", "1 to 100 characters"));
    }
    let key = key.map(|k| format!("{}/{k}", who.author.staff));
    let ledger = app.ledger.clone();
    let done = tokio::spawn(async move { ledger.execute(who.tenant, &who.author, &command, key.as_deref()).await })
        .await
        .map_err(|e| Error::Internal(format!("command: {e}")))?;
    done.map(|d| Json(d).into_response())
}

/// A list's conditions in the address.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Listing {
    kind: Option<String>,
    status: Option<String>,
    person: Option<StaffId>,
    parent: Option<DocId>,
    search: Option<String>,
    clashes: bool,
    flagged: bool,
    after: Option<String>,
    limit: usize,
}

/// A row of a list, without its document.
fn row(view: &View) -> Value {
    object!({ "doc": view.summary.doc, "ver": view.ver, "heads": view.heads, "changed": view.changed,
              "clashes": view.clashes, "summary": view.summary })
}

async fn list(app: &App, who: &auth::OfficeSession, kind: Option<Kind>, l: Listing) -> Result<Json<Value>, Error> {
    let after = place(l.after.as_deref())?;
    let query = Query {
        kind,
        status: l.status,
        parent: l.parent,
        person: l.person,
        clashes: l.clashes,
        flagged: l.flagged,
        search: l.search,
        after,
        limit: l.limit,
        ..Default::default()
    };
    let rows = app.ledger.storage().list(who.tenant, &query).await?;
    let next = rows.last().filter(|_| rows.len() == query.page()).map(|v| format!("{}.{}", v.key().due, v.key().doc));
    Ok(Json(object!({ "rows": rows.iter().map(row).collect::<Vec<_>>(), "next": next })))
}

pub(super) async fn work_orders(
    State(app): State<Arc<App>>,
    Office(who): Office,
    UrlQuery(listing): UrlQuery<Listing>,
) -> Result<Json<Value>, Error> {
    list(&app, &who, Some(Kind::WorkOrder), listing).await
}

pub(super) async fn documents(
    State(app): State<Arc<App>>,
    Office(who): Office,
    UrlQuery(listing): UrlQuery<Listing>,
) -> Result<Json<Value>, Error> {
    let kind = match &listing.kind {
        None => None,
        Some(name) => {
            let known = Kind::ALL.into_iter().find(|k| k.name() == name);
            Some(known.ok_or_else(|| Error::bad("bad_kind", "kind", "no such kind of document"))?)
        }
    };
    list(&app, &who, kind, listing).await
}

async fn view(app: &App, who: &auth::OfficeSession, doc: DocId) -> Result<View, Error> {
    let found = app.ledger.storage().views(who.tenant, &[doc]).await?.pop();
    found.ok_or_else(|| Error::NotFound(format!("no document {doc}")))
}

pub(super) async fn document(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Path(doc): Path<String>,
) -> Result<Json<Value>, Error> {
    let found = view(&app, &who, id(&doc)?).await?;
    let mut body = row(&found);
    body["entity"] = serde_json::to_value(found.entity()?)?;
    Ok(Json(body))
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Heads {
    heads: Vec<ChangeHash>,
}

pub(super) async fn seen(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Path(doc): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Error> {
    let Heads { heads } = if body.is_empty() { Heads::default() } else { json(&headers, &body)? };
    let doc = id(&doc)?;
    app.ledger.mark_seen(who.tenant, doc, heads, who.author.staff).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A rescue file as the body; its passphrase in the header `Rescue-Passphrase`, percent-encoded.
pub(super) async fn rescue(
    State(app): State<Arc<App>>,
    Office(who): Office,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Error> {
    super::content_type(&headers, "application/octet-stream")?;
    let done = async {
        auth::require(&who.author, &MANAGERS)?;
        let text = headers.get("rescue-passphrase").and_then(|v| v.to_str().ok()).filter(|p| p.len() <= MAX_PASSPHRASE);
        let text = text.ok_or_else(|| Error::bad("bad_header", "rescue-passphrase", "the passphrase is missing"))?;
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(&format!("p={text}")).unwrap_or_default();
        let passphrase = pairs.into_iter().next().map(|(_, p)| p).unwrap_or_default();
        let mut adopted = app.ledger.adopt(who.tenant, &who.author, &body, &passphrase).await?;
        let now = app.ledger.env().now();
        let blobs = std::mem::take(&mut adopted.blobs);
        let stored = blobs.len();
        for (_, _, bytes) in blobs {
            app.blobs.put(who.tenant, DeviceId(uuid::Uuid::nil()), app.ledger.storage(), bytes, now).await?;
        }
        let mut body = serde_json::to_value(adopted)?;
        body["blobs"] = stored.into();
        Ok(Json(body))
    };
    done.await
}
