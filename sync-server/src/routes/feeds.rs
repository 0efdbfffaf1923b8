//! Technicians' calendars: made and ended by the office, read by whoever has the address.

use super::{Office, Shown, Tongue, id, json};
use crate::feeds::{self, Feed};
use crate::{App, auth, error::Error};
use axum::{
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use onsite_core::domain::{Role, StaffId};
use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use std::sync::Arc;
use utoipa::ToSchema;

/// Roles that give out addresses of calendars.
const MANAGERS: [Role; 2] = [Role::Admin, Role::ServiceManager];

/// Whose calendars are read by other programs.
#[utoipa::path(
    get,
    path = "/api/calendar-feeds",
    tag = "feeds",
    operation_id = "calendar_feeds",
    responses((status = 200, body = Vec<Feed>)),
)]
pub(super) async fn list(State(app): State<Arc<App>>, Office(who): Office) -> Result<Shown<Vec<Feed>>, Error> {
    auth::require(&who.author, &MANAGERS)?;
    feeds::feeds(&app.ledger, who.tenant).await.map(Shown)
}

/// Whose calendar is meant.
#[derive(Deserialize, ToSchema)]
struct CalendarOf {
    /// The person.
    staff: StaffId,
}

/// The address of a calendar, shown once.
#[derive(Serialize, ToSchema)]
pub(super) struct FeedAddress {
    /// Whose.
    staff: StaffId,
    /// The address: whoever knows it reads the calendar.
    url: String,
}

/// Makes the address of a person's calendar; an earlier one serves no more.
#[utoipa::path(
    post,
    path = "/api/calendar-feeds",
    tag = "feeds",
    operation_id = "issue_calendar_feed",
    request_body = CalendarOf,
    responses((status = 200, body = FeedAddress)),
)]
pub(super) async fn issue(
    State(app): State<Arc<App>>,
    Office(who): Office,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Shown<FeedAddress>, Error> {
    let CalendarOf { staff } = json(&headers, &body)?;
    auth::require(&who.author, &MANAGERS)?;
    let secret = feeds::issue(&app.ledger, who.tenant, who.author.staff, staff).await?;
    Ok(Shown(FeedAddress { staff, url: format!("{}/feeds/{secret}.ics", app.config.url()) }))
}

/// Ends a person's calendar.
#[utoipa::path(
    delete,
    path = "/api/calendar-feeds/{staff}",
    tag = "feeds",
    operation_id = "revoke_calendar_feed",
    params(("staff" = StaffId, Path, description = "The person")),
    responses((status = 204)),
)]
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Path(staff): Path<String>,
) -> Result<StatusCode, Error> {
    auth::require(&who.author, &MANAGERS)?;
    feeds::revoke(&app.ledger, who.tenant, who.author.staff, id::<StaffId>(&staff)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A calendar, by its secret.
pub(super) async fn read(
    State(app): State<Arc<App>>,
    Tongue(lang): Tongue,
    headers: HeaderMap,
    Path(file): Path<String>,
) -> Result<Response, Error> {
    let secret = file.strip_suffix(".ics").unwrap_or(&file);
    let text = feeds::read(&app.ledger, secret, lang).await?;
    let etag = format!("\"{}\"", auth::hex(&sha2::Sha256::digest(text.as_bytes())[..16]));
    let cached = [(header::ETAG, etag.as_str()), (header::CACHE_CONTROL, "private, no-cache")];
    if headers.get(header::IF_NONE_MATCH).is_some_and(|v| v.to_str().is_ok_and(|v| v == "*" || v.contains(&etag))) {
        return Ok((StatusCode::NOT_MODIFIED, cached).into_response());
    }
    let kind = [(header::CONTENT_TYPE, "text/calendar; charset=utf-8")];
    Ok((cached, kind, text).into_response())
}
