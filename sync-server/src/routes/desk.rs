//! What waits today, the board, the calendar.

use super::{Asked, Office, Shown};
use crate::office::desk::{BoardColumn, CALENDAR_DAYS, Calendar, Today};
use crate::{App, error::Error};
use axum::extract::State;
use onsite_core::domain::{Millis, StaffId};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;

/// Rows of a column where nobody says.
const COLUMN: usize = 20;
/// Most rows of a column.
const MOST: usize = 200;

/// What waits for the office, counted and with the first rows of each.
#[utoipa::path(get, path = "/api/today", tag = "desk", responses((status = 200, body = Today)))]
pub(super) async fn today(State(app): State<Arc<App>>, Office(who): Office) -> Result<Shown<Today>, Error> {
    app.ledger.today(who.tenant, &who.author).await.map(Shown)
}

/// What of the board is asked for.
#[derive(Deserialize, Default, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct BoardAsked {
    /// Only jobs that concern this person.
    person: Option<StaffId>,
    /// Only jobs found by these words.
    search: Option<String>,
    /// Rows of each column: 20 where absent, at most 200.
    limit: Option<usize>,
}

/// Work orders by stage, in the flow's order.
#[utoipa::path(
    get,
    path = "/api/board",
    tag = "desk",
    params(BoardAsked),
    responses((status = 200, body = Vec<BoardColumn>)),
)]
pub(super) async fn board(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Asked(asked): Asked<BoardAsked>,
) -> Result<Shown<Vec<BoardColumn>>, Error> {
    let search = asked.search.as_deref().filter(|s| !s.trim().is_empty());
    let limit = asked.limit.unwrap_or(COLUMN).clamp(1, MOST);
    app.ledger.board_of(who.tenant, asked.person, search, limit).await.map(Shown)
}

/// The time a calendar shows.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct CalendarAsked {
    /// From this moment on.
    from: Millis,
    /// Before this moment.
    to: Millis,
}

/// The jobs of a time by person, as they were or are planned.
#[utoipa::path(
    get,
    path = "/api/calendar",
    tag = "desk",
    params(CalendarAsked),
    responses((status = 200, body = Calendar)),
)]
pub(super) async fn calendar(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Asked(CalendarAsked { from, to }): Asked<CalendarAsked>,
) -> Result<Shown<Calendar>, Error> {
    if to <= from || to.since(from) > CALENDAR_DAYS * Millis::DAY {
        return Err(Error::bad("bad_period", "to", format!("a calendar shows a moment to {CALENDAR_DAYS} days")));
    }
    app.ledger.calendar(who.tenant, from, to).await.map(Shown)
}
