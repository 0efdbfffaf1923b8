//! One job, visit or customer; entitlement; calls due.

use super::{Asked, Office, Shown, id, place};
use crate::office::customers::CustomerDetail;
use crate::office::history::TimelineItem;
use crate::office::records::{VisitDetail, WorkOrderDetail};
use crate::office::shown::Page;
use crate::{App, error::Error};
use axum::extract::{Path, State};
use onsite_core::domain::entitlement::Entitled;
use onsite_core::domain::{CustomerId, Date, ItemId, Millis};
use serde::Deserialize;
use std::sync::Arc;

/// A job with its visits, signatures, money, and what the asker could do about it.
pub(super) async fn work_order(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Path(order): Path<String>,
) -> Result<Shown<WorkOrderDetail>, Error> {
    app.ledger.work_order_detail(who.tenant, &who.author, id(&order)?).await.map(Shown)
}

/// Everything that happened to a job, its request and its visits, oldest first.
pub(super) async fn timeline(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Path(order): Path<String>,
) -> Result<Shown<Vec<TimelineItem>>, Error> {
    app.ledger.timeline(who.tenant, id(&order)?).await.map(Shown)
}

/// A visit with its day, its signature and what merges did to it.
pub(super) async fn visit(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Path(visit): Path<String>,
) -> Result<Shown<VisitDetail>, Error> {
    app.ledger.visit_detail(who.tenant, id(&visit)?).await.map(Shown)
}

/// A customer's file with machines, money, calls and jobs.
pub(super) async fn customer(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Path(customer): Path<String>,
) -> Result<Shown<CustomerDetail>, Error> {
    app.ledger.customer_detail(who.tenant, id(&customer)?).await.map(Shown)
}

/// Whose entitlement is asked for.
#[derive(Deserialize)]
pub(super) struct EntitlementAsked {
    /// The customer.
    customer: CustomerId,
    /// The machine, if one.
    equipment: Option<ItemId>,
    /// When it was reported; now where absent.
    reported: Option<Millis>,
}

/// 核对保修期: what a report about a customer's machine is entitled to.
pub(super) async fn entitlement(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Asked(asked): Asked<EntitlementAsked>,
) -> Result<Shown<Entitled>, Error> {
    app.ledger.entitlement_of(who.tenant, asked.customer, asked.equipment, asked.reported).await.map(Shown)
}

/// Which calls are asked for.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct CallsAsked {
    /// Due before this day; by today where absent.
    due_before: Option<Date>,
    /// Goes on after this place of an earlier page.
    after: Option<String>,
    /// Rows: 50 where absent, at most 1000.
    limit: usize,
}

/// Customers with a follow-up call due, by its day.
pub(super) async fn calls(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Asked(asked): Asked<CallsAsked>,
) -> Result<Shown<Page>, Error> {
    let after = place(asked.after.as_deref())?;
    app.ledger.calls_due(who.tenant, asked.due_before, after, asked.limit).await.map(Shown)
}
