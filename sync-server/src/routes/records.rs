//! One job, visit or customer; entitlement; calls due.

use super::{Asked, Office, Shown, id, place};
use crate::office::customers::CustomerDetail;
use crate::office::history::TimelineItem;
use crate::office::records::{VisitDetail, WorkOrderDetail};
use crate::office::shown::Page;
use crate::office::staff::StaffRow;
use crate::{App, error::Error};
use axum::extract::{Path, State};
use onsite_core::domain::entitlement::Entitled;
use onsite_core::domain::{CustomerId, Date, ItemId, Millis, VisitId, WorkOrderId};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;

/// A job with its visits, signatures, money, and what the asker could do about it.
#[utoipa::path(
    get,
    path = "/api/work-orders/{id}",
    tag = "records",
    params(("id" = WorkOrderId, Path, description = "The work order")),
    responses((status = 200, body = WorkOrderDetail)),
)]
pub(super) async fn work_order(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Path(order): Path<String>,
) -> Result<Shown<WorkOrderDetail>, Error> {
    app.ledger.work_order_detail(who.tenant, &who.author, id(&order)?).await.map(Shown)
}

/// Everything that happened to a job, its request and its visits, oldest first.
#[utoipa::path(
    get,
    path = "/api/work-orders/{id}/timeline",
    tag = "records",
    params(("id" = WorkOrderId, Path, description = "The work order")),
    responses((status = 200, body = Vec<TimelineItem>)),
)]
pub(super) async fn timeline(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Path(order): Path<String>,
) -> Result<Shown<Vec<TimelineItem>>, Error> {
    app.ledger.timeline(who.tenant, id(&order)?).await.map(Shown)
}

/// A visit with its day, its signature and what merges did to it.
#[utoipa::path(
    get,
    path = "/api/visits/{id}",
    tag = "records",
    params(("id" = VisitId, Path, description = "The visit")),
    responses((status = 200, body = VisitDetail)),
)]
pub(super) async fn visit(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Path(visit): Path<String>,
) -> Result<Shown<VisitDetail>, Error> {
    app.ledger.visit_detail(who.tenant, id(&visit)?).await.map(Shown)
}

/// A customer's file with machines, money, calls and jobs.
#[utoipa::path(
    get,
    path = "/api/customers/{id}",
    tag = "records",
    params(("id" = CustomerId, Path, description = "The customer")),
    responses((status = 200, body = CustomerDetail)),
)]
pub(super) async fn customer(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Path(customer): Path<String>,
) -> Result<Shown<CustomerDetail>, Error> {
    app.ledger.customer_detail(who.tenant, id(&customer)?).await.map(Shown)
}

/// Whose entitlement is asked for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct EntitlementAsked {
    /// The customer.
    customer: CustomerId,
    /// The machine, if one.
    equipment: Option<ItemId>,
    /// When it was reported; now where absent.
    reported: Option<Millis>,
}

/// 核对保修期: what a report about a customer's machine is entitled to.
#[utoipa::path(
    get,
    path = "/api/entitlement",
    tag = "records",
    params(EntitlementAsked),
    responses((status = 200, body = Entitled)),
)]
pub(super) async fn entitlement(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Asked(asked): Asked<EntitlementAsked>,
) -> Result<Shown<Entitled>, Error> {
    app.ledger.entitlement_of(who.tenant, asked.customer, asked.equipment, asked.reported).await.map(Shown)
}

/// Which calls are asked for.
#[derive(Deserialize, Default, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct CallsAsked {
    /// Due before this day; by today where absent.
    due_before: Option<Date>,
    /// Goes on after this place of an earlier page.
    after: Option<String>,
    /// Rows: 50 where absent, at most 1000.
    limit: usize,
}

/// Customers with a follow-up call due, by its day.
#[utoipa::path(get, path = "/api/calls", tag = "records", params(CallsAsked), responses((status = 200, body = Page)))]
pub(super) async fn calls(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Asked(asked): Asked<CallsAsked>,
) -> Result<Shown<Page>, Error> {
    let after = place(asked.after.as_deref())?;
    app.ledger.calls_due(who.tenant, asked.due_before, after, asked.limit).await.map(Shown)
}

/// Everybody of the company, those who left too.
#[utoipa::path(get, path = "/api/staff", tag = "records", responses((status = 200, body = Vec<StaffRow>)))]
pub(super) async fn staff(State(app): State<Arc<App>>, Office(who): Office) -> Result<Shown<Vec<StaffRow>>, Error> {
    app.ledger.staff_rows(who.tenant).await.map(Shown)
}
