//! Proposed penalties and rewards; figures.

use super::{Asked, Office, Shown};
use crate::office::appraisals::{Part, ProposalPage, Wanted};
use crate::office::figures::{CasesWanted, Counted, Days, FigureCases, FiguresOf, FiguresShown, Step};
use crate::{App, error::Error};
use axum::extract::State;
use onsite_core::domain::figures::FigureName;
use onsite_core::domain::{Date, DocId, Quarter, StaffId};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;

/// Proposals in an answer where nothing is said.
const PROPOSALS: usize = 50;
/// Most of them in one.
const MOST_PROPOSALS: usize = 500;
/// Cases of a figure in an answer where nothing is said.
const CASES: usize = 50;
/// Most of them in one.
const MOST_CASES: usize = 200;

/// Which proposals are asked for.
#[derive(Deserialize, Default, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct ProposalsAsked {
    /// Only those not decided, or whose evidence has changed since.
    open: bool,
    /// Only those that belong here.
    part: Option<Part>,
    /// Only about this person.
    staff: Option<StaffId>,
    /// Such as `2026Q3`: of its complaints and suggestions, and its rewards. Where absent: of all, with the
    /// rewards of the last quarter that is over.
    quarter: Option<String>,
    /// Only of this complaint or suggestion.
    subject: Option<DocId>,
    /// Goes on after this place: `next` of an earlier part.
    after: Option<DocId>,
    /// Proposals, but for others of the last one's complaint: 50 where absent, 500 at most.
    limit: Option<usize>,
}

/// Proposals R1 of a quarter, then P1 to P3 and R2, of the newest complaints and suggestions first, with evidence,
/// decisions and replies: some at a time, and how many there are.
#[utoipa::path(
    get,
    path = "/api/proposals",
    tag = "appraisals",
    params(ProposalsAsked),
    responses((status = 200, body = ProposalPage)),
)]
pub(super) async fn proposals(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Asked(asked): Asked<ProposalsAsked>,
) -> Result<Shown<ProposalPage>, Error> {
    let ProposalsAsked { open, part, staff, subject, after, .. } = asked;
    let limit = asked.limit.unwrap_or(PROPOSALS).clamp(1, MOST_PROPOSALS);
    let wanted = Wanted { open, part, staff, quarter: quarter(asked.quarter.as_deref())?, subject, after, limit };
    app.ledger.proposals(who.tenant, &wanted).await.map(Shown)
}

/// A quarter as an address says it.
pub(super) fn quarter(said: Option<&str>) -> Result<Option<Quarter>, Error> {
    let read = said.map(str::parse::<Quarter>).transpose();
    read.map_err(|e| Error::bad("bad_quarter", "quarter", e.to_string()))
}

/// Which figures are asked for.
#[derive(Deserialize, Default, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct FiguresAsked {
    /// First day; where absent, of the last day's quarter.
    from: Option<Date>,
    /// Last day; today where absent.
    to: Option<Date>,
    /// Only of this person's jobs and calls.
    staff: Option<StaffId>,
}

impl FiguresAsked {
    fn days(&self) -> Days {
        Days { from: self.from, to: self.to }
    }
}

/// The figures of a period, of all and of each technician.
#[utoipa::path(
    get,
    path = "/api/figures",
    tag = "figures",
    params(FiguresAsked),
    responses((status = 200, body = FiguresShown)),
)]
pub(super) async fn figures(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Asked(asked): Asked<FiguresAsked>,
) -> Result<Shown<FiguresShown>, Error> {
    app.ledger.figures(who.tenant, asked.days(), asked.staff).await.map(Shown)
}

/// Which trend is asked for.
#[derive(Deserialize, Default, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct TrendAsked {
    /// A day of the first period.
    from: Option<Date>,
    /// A day of the last period.
    to: Option<Date>,
    /// Only of this person's jobs and calls.
    staff: Option<StaffId>,
    /// How long each period is.
    by: Step,
}

/// The figures of months or quarters, one after another.
#[utoipa::path(
    get,
    path = "/api/figures/trend",
    tag = "figures",
    params(TrendAsked),
    responses((status = 200, body = Vec<FiguresOf>)),
)]
pub(super) async fn trend(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Asked(asked): Asked<TrendAsked>,
) -> Result<Shown<Vec<FiguresOf>>, Error> {
    let days = Days { from: asked.from, to: asked.to };
    app.ledger.figure_trend(who.tenant, days, asked.by, asked.staff).await.map(Shown)
}

/// Whose cases are asked for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct CasesAsked {
    /// The figure.
    figure: FigureName,
    /// First day; where absent, of the last day's quarter.
    #[serde(default)]
    from: Option<Date>,
    /// Last day; today where absent.
    #[serde(default)]
    to: Option<Date>,
    /// Only of this person's jobs and calls.
    #[serde(default)]
    staff: Option<StaffId>,
    /// Only those that counted so.
    #[serde(default)]
    counted: Option<Counted>,
    /// Goes on after this place: `next` of an earlier part.
    #[serde(default)]
    after: Option<String>,
    /// Cases: 50 where absent, at most 200.
    #[serde(default)]
    limit: Option<usize>,
}

/// The jobs and calls that a figure is summed from, newest first, a part at a time.
#[utoipa::path(
    get,
    path = "/api/figures/jobs",
    tag = "figures",
    params(CasesAsked),
    responses((status = 200, body = FigureCases)),
)]
pub(super) async fn cases(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Asked(asked): Asked<CasesAsked>,
) -> Result<Shown<FigureCases>, Error> {
    let days = Days { from: asked.from, to: asked.to };
    let after = asked.after.map(|place| place.parse()).transpose()?;
    let limit = asked.limit.unwrap_or(CASES).clamp(1, MOST_CASES);
    let wanted = CasesWanted { counted: asked.counted, after, limit };
    app.ledger.figure_cases(who.tenant, asked.figure, days, asked.staff, wanted).await.map(Shown)
}
