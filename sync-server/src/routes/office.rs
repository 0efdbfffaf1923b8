//! The office's API: JSON in and out, errors as problems.

use super::openapi::Binary;
use super::{Asked, Office, Shown, id, json, place};
use crate::office::Executed;
use crate::office::shown::{Document, Page};
use crate::{App, auth, error::Error, storage::Query};
use axum::{
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use onsite_core::domain::{ChangeHash, Command, DeviceId, DocId, Kind, Role, StaffId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Roles that manage devices and decide on what was set aside.
const MANAGERS: [Role; 2] = [Role::Admin, Role::ServiceManager];

/// Most bytes of a rescue file's passphrase.
const MAX_PASSPHRASE: usize = 1024;

/// Does what somebody wants done: everything that can be done to records. What a rule refuses is a problem with
/// status 422, its code the rule's and its field the command's.
#[utoipa::path(
    post,
    path = "/api/commands",
    tag = "records",
    params((
        "idempotency-key" = Option<String>, Header,
        description = "1 to 100 characters: the same command sent again with it is done once, and answered the same",
    )),
    request_body = Command,
    responses((status = 200, body = Executed)),
)]
pub(super) async fn command(
    State(app): State<Arc<App>>,
    Office(who): Office,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Shown<Executed>, Error> {
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
    done.map(Shown)
}

/// A list's conditions in the address. All hold together.
#[derive(Deserialize, Default, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(super) struct Listing {
    /// Of this state or stage: its word.
    status: Option<String>,
    /// Concerning this person.
    person: Option<StaffId>,
    /// Hanging on this document: visits on their work order, work orders on their customer.
    parent: Option<DocId>,
    /// Found by these words.
    search: Option<String>,
    /// With clashes.
    clashes: bool,
    /// With something the office should see.
    flagged: bool,
    /// The latest first.
    latest: bool,
    /// Goes on after this place: `next` of an earlier page.
    after: Option<String>,
    /// Rows: 50 where absent, at most 1000.
    limit: usize,
}

/// The kind of document that is listed.
#[derive(Deserialize, Default, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(super) struct OfKind {
    /// Its word; all kinds where absent.
    #[param(value_type = Option<Kind>)]
    kind: Option<String>,
}

async fn list(app: &App, who: &auth::OfficeSession, kind: Option<Kind>, l: Listing) -> Result<Shown<Page>, Error> {
    let after = place(l.after.as_deref())?;
    let query = Query {
        kind,
        status: l.status,
        parent: l.parent,
        person: l.person,
        clashes: l.clashes,
        flagged: l.flagged,
        search: l.search,
        latest: l.latest,
        after,
        limit: l.limit,
        ..Default::default()
    };
    let views = app.ledger.storage().list(who.tenant, &query).await?;
    Ok(Shown(Page::of(&views, query.page())))
}

/// Work orders, by when they are due.
#[utoipa::path(get, path = "/api/work-orders", tag = "records", params(Listing), responses((status = 200, body = Page)))]
pub(super) async fn work_orders(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Asked(listing): Asked<Listing>,
) -> Result<Shown<Page>, Error> {
    list(&app, &who, Some(Kind::WorkOrder), listing).await
}

/// Documents of a kind or of all, by when they are due.
#[utoipa::path(
    get,
    path = "/api/documents",
    tag = "records",
    params(OfKind, Listing),
    responses((status = 200, body = Page)),
)]
pub(super) async fn documents(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Asked(OfKind { kind }): Asked<OfKind>,
    Asked(listing): Asked<Listing>,
) -> Result<Shown<Page>, Error> {
    let kind = match kind {
        None => None,
        Some(name) => {
            let known = Kind::ALL.into_iter().find(|k| k.name() == name);
            Some(known.ok_or_else(|| Error::bad("bad_kind", "kind", "no such kind of document"))?)
        }
    };
    list(&app, &who, kind, listing).await
}

/// A document with its content.
#[utoipa::path(
    get,
    path = "/api/documents/{id}",
    tag = "records",
    params(("id" = DocId, Path, description = "The document")),
    responses((status = 200, body = Document)),
)]
pub(super) async fn document(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Path(doc): Path<String>,
) -> Result<Shown<Document>, Error> {
    let doc = id(&doc)?;
    let found = app.ledger.storage().views(who.tenant, &[doc]).await?.pop();
    Document::of(&found.ok_or_else(|| Error::NotFound(format!("no document {doc}")))?).map(Shown)
}

/// What of a document was looked at.
#[derive(Deserialize, Default, ToSchema)]
#[serde(default)]
pub(super) struct Heads {
    /// The heads that were shown; those of now where none.
    heads: Vec<ChangeHash>,
}

/// Notes that the asker has looked at a document.
#[utoipa::path(
    post,
    path = "/api/documents/{id}/seen",
    tag = "records",
    params(("id" = DocId, Path, description = "The document")),
    request_body = Option<Heads>,
    responses((status = 204)),
)]
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

/// What came of a rescue file.
#[derive(Serialize, ToSchema)]
pub(super) struct Rescued {
    /// Changes taken in, or there already.
    accepted: usize,
    /// Changes set aside.
    aside: usize,
    /// Photos stored.
    blobs: usize,
}

/// Takes in a rescue file: what a lost or broken phone held. For the admin and the service manager.
#[utoipa::path(
    post,
    path = "/api/rescue",
    tag = "sync",
    params(("rescue-passphrase" = String, Header, description = "The file's passphrase, percent-encoded")),
    request_body(content = Binary, content_type = "application/octet-stream", description = "The file"),
    responses((status = 200, body = Rescued)),
)]
pub(super) async fn rescue(
    State(app): State<Arc<App>>,
    Office(who): Office,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Shown<Rescued>, Error> {
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
        Ok(Shown(Rescued { accepted: adopted.accepted, aside: adopted.aside, blobs: stored }))
    };
    done.await
}
