//! Phones, clashes, refused edits, the audit chain.

use super::{Asked, Office, Shown, id, json, place};
use crate::audit::{self, Point};
use crate::error::Error;
use crate::office::AsideCommand;
use crate::office::aside::RefusedRow;
use crate::office::devices::{ClashItem, DeviceDetail, DeviceRow};
use crate::storage::AsideQuery;
use crate::{App, auth};
use axum::{
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use onsite_core::domain::{ChangeHash, DeviceId, DocId, Millis, Role, Sha256, StaffId};
use onsite_core::forms::qr_svg;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Roles that manage devices and decide on what was set aside.
const MANAGERS: [Role; 2] = [Role::Admin, Role::ServiceManager];
/// Documents with clashes on a page: each is loaded.
const CLASHES: usize = 50;
/// Refused edits on a page: the document of each is loaded.
const REFUSED: usize = 50;
/// Audit entries on a page.
const ENTRIES: usize = 100;

/// All phones, those revoked too.
#[utoipa::path(get, path = "/api/devices", tag = "sync", responses((status = 200, body = Vec<DeviceRow>)))]
pub(super) async fn devices(State(app): State<Arc<App>>, Office(who): Office) -> Result<Shown<Vec<DeviceRow>>, Error> {
    app.ledger.device_rows(who.tenant).await.map(Shown)
}

/// A phone with its last syncs and its refused edits.
#[utoipa::path(
    get,
    path = "/api/devices/{id}",
    tag = "sync",
    params(("id" = DeviceId, Path, description = "The phone")),
    responses((status = 200, body = DeviceDetail)),
)]
pub(super) async fn device(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Path(device): Path<String>,
) -> Result<Shown<DeviceDetail>, Error> {
    app.sync_log.flush(&app.ledger).await?;
    app.ledger.device_detail(who.tenant, id(&device)?).await.map(Shown)
}

/// Revokes a phone, at once and for good.
#[utoipa::path(
    post,
    path = "/api/devices/{id}/revoke",
    tag = "sync",
    params(("id" = DeviceId, Path, description = "The phone")),
    responses((status = 204)),
)]
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Path(device): Path<String>,
) -> Result<StatusCode, Error> {
    auth::require(&who.author, &MANAGERS)?;
    auth::revoke(&app.ledger, who.tenant, who.author.staff, id::<DeviceId>(&device)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whose phone it is to be.
#[derive(Deserialize, ToSchema)]
pub(super) struct ForStaff {
    /// The person.
    staff: StaffId,
}

/// An enrolment code, shown once.
#[derive(Serialize, ToSchema)]
pub(super) struct DeviceCode {
    /// The 128-bit code, in groups.
    code: String,
    /// The short one, to be typed.
    short_code: String,
    /// What the QR holds.
    url: String,
    /// When both end.
    expires: Millis,
    /// The QR as SVG.
    qr: String,
}

/// Makes an enrolment code for a person's phone.
#[utoipa::path(
    post,
    path = "/api/device-codes",
    tag = "sync",
    request_body = ForStaff,
    responses((status = 200, body = DeviceCode)),
)]
pub(super) async fn device_code(
    State(app): State<Arc<App>>,
    Office(who): Office,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Shown<DeviceCode>, Error> {
    let ForStaff { staff } = json(&headers, &body)?;
    auth::require(&who.author, &MANAGERS)?;
    let seconds = app.config.auth.code_seconds;
    let by = who.author.staff;
    let made = auth::device_code(&app.ledger, who.tenant, by, staff, &app.config.url(), seconds).await?;
    let auth::DeviceCode { code, short_code, url, expires } = made;
    Ok(Shown(DeviceCode { qr: qr_svg(&url), code, short_code, url, expires }))
}

/// Which clashes are asked for.
#[derive(Deserialize, Default, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct ClashesAsked {
    /// Goes on after this place: `next` of an earlier page.
    after: Option<String>,
    /// Documents: 50 where absent, and at most.
    limit: Option<usize>,
}

/// A part of the documents with clashes.
#[derive(Serialize, ToSchema)]
pub(super) struct ClashPage {
    /// Its documents.
    rows: Vec<ClashItem>,
    /// Ask again with this as `after` for more.
    next: Option<String>,
}

/// Documents with clashes, and what can be chosen of each.
#[utoipa::path(
    get,
    path = "/api/clashes",
    tag = "sync",
    params(ClashesAsked),
    responses((status = 200, body = ClashPage)),
)]
pub(super) async fn clashes(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Asked(asked): Asked<ClashesAsked>,
) -> Result<Shown<ClashPage>, Error> {
    let limit = asked.limit.unwrap_or(CLASHES).clamp(1, CLASHES);
    let rows = app.ledger.clash_page(who.tenant, place(asked.after.as_deref())?, limit).await?;
    let next = rows.last().filter(|_| rows.len() == limit).map(|r| r.key.clone());
    Ok(Shown(ClashPage { rows, next }))
}

/// Which refused edits are asked for.
#[derive(Deserialize, Default, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct RefusedAsked {
    /// Those decided about, too.
    decided: bool,
    /// Goes on after this place: `next` of an earlier part.
    after: Option<String>,
    /// Edits: 50 where absent, and at most.
    limit: Option<usize>,
}

/// A part of the refused edits.
#[derive(Serialize, ToSchema)]
pub(super) struct RefusedPage {
    /// Its edits, newest first.
    rows: Vec<RefusedRow>,
    /// Ask again with this as `after` for more.
    next: Option<String>,
}

/// Refused edits, as their phones show them: what was written, and what stands.
#[utoipa::path(
    get,
    path = "/api/set-aside",
    tag = "sync",
    params(RefusedAsked),
    responses((status = 200, body = RefusedPage)),
)]
pub(super) async fn set_aside(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Asked(asked): Asked<RefusedAsked>,
) -> Result<Shown<RefusedPage>, Error> {
    let after = asked.after.map(|place| place.parse()).transpose()?;
    let limit = asked.limit.unwrap_or(REFUSED).clamp(1, REFUSED);
    let query = AsideQuery { open: !asked.decided, device: None, after, limit };
    let rows = app.ledger.refused_rows(who.tenant, &query).await?;
    let next = rows.last().filter(|_| rows.len() == limit).map(|r| r.place().to_string());
    Ok(Shown(RefusedPage { rows, next }))
}

/// Decides about a refused edit.
#[utoipa::path(
    post,
    path = "/api/set-aside/{doc}/{hash}",
    tag = "sync",
    params(("doc" = DocId, Path, description = "The document"), ("hash" = ChangeHash, Path, description = "The refused change")),
    request_body = AsideCommand,
    responses((status = 204)),
)]
pub(super) async fn decide_aside(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Path((doc, hash)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Error> {
    let what: AsideCommand = json(&headers, &body)?;
    auth::require(&who.author, &MANAGERS)?;
    app.ledger.decide_aside(who.tenant, &who.author, id(&doc)?, id(&hash)?, &what).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which part of the audit chain is asked for.
#[derive(Deserialize, Default, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditAsked {
    /// Entries after this number; before it, where `descending`.
    after: Option<u64>,
    /// Entries: 100 where absent, at most 1000.
    limit: Option<usize>,
    /// The newest first.
    descending: bool,
}

/// An entry of the audit chain.
#[derive(Serialize, ToSchema)]
pub(super) struct AuditEntry {
    /// Its number.
    n: u64,
    /// When.
    at: Millis,
    /// Who; nil for the server itself.
    by: StaffId,
    /// What.
    action: String,
    /// On what.
    subject: String,
    /// More.
    detail: Value,
    /// Its hash: over the entry before it and itself.
    hash: Sha256,
}

/// A part of the audit chain.
#[derive(Serialize, ToSchema)]
pub(super) struct AuditPage {
    /// Its entries.
    rows: Vec<AuditEntry>,
    /// Ask again with this as `after` for more.
    next: Option<u64>,
}

/// The audit chain, a page at a time. For the admin and the service manager.
#[utoipa::path(
    get,
    path = "/api/audit",
    tag = "audit",
    params(AuditAsked),
    responses((status = 200, body = AuditPage)),
)]
pub(super) async fn audit_list(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Asked(asked): Asked<AuditAsked>,
) -> Result<Shown<AuditPage>, Error> {
    auth::require(&who.author, &MANAGERS)?;
    let limit = asked.limit.unwrap_or(ENTRIES).clamp(1, 1000);
    let found = audit::page(&app.ledger, who.tenant, asked.after, limit, asked.descending).await?;
    let next = found.last().map(|e| e.n).filter(|n| found.len() == limit && (!asked.descending || *n > 1));
    let entry = |e: audit::Entry| AuditEntry {
        n: e.n,
        at: e.entry.at,
        by: e.entry.by,
        action: e.entry.action,
        subject: e.entry.subject,
        detail: e.entry.detail,
        hash: e.hash,
    };
    Ok(Shown(AuditPage { rows: found.into_iter().map(entry).collect(), next }))
}

/// What came of following the audit chain.
#[derive(Serialize, ToSchema)]
pub(super) struct AuditVerified {
    /// Whether it holds from beginning to end.
    holds: bool,
    /// Its entries, or those before the first that does not hold.
    entries: u64,
    /// Its end as `N:HASH`: to be kept elsewhere.
    end: String,
    /// The first entry that does not hold.
    broken: Option<u64>,
}

/// Follows the whole audit chain. For the admin and the service manager.
#[utoipa::path(get, path = "/api/audit/verify", tag = "audit", responses((status = 200, body = AuditVerified)))]
pub(super) async fn audit_verify(
    State(app): State<Arc<App>>,
    Office(who): Office,
) -> Result<Shown<AuditVerified>, Error> {
    auth::require(&who.author, &MANAGERS)?;
    let (end, broken): (Point, _) = audit::follow(app.ledger.storage(), who.tenant).await?;
    let broken = broken.map(audit::Broken::entry);
    Ok(Shown(AuditVerified { holds: broken.is_none(), entries: end.n, end: end.to_string(), broken }))
}
