//! Webhooks: what is told to other programs, and what came of it. For the admin.

use super::{Asked, Office, Shown, id, json};
use crate::webhooks::{Delivery, Hook, HookPatch, HookWithSecret, NewHook};
use crate::{App, auth, error::Error};
use axum::{
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use onsite_core::domain::Role;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

const ADMIN: [Role; 1] = [Role::Admin];
/// Deliveries on a page.
const ROWS: usize = 50;

/// The company's webhooks.
#[utoipa::path(
    get,
    path = "/api/webhooks",
    tag = "webhooks",
    operation_id = "webhooks",
    responses((status = 200, body = Vec<Hook>)),
)]
pub(super) async fn list(State(app): State<Arc<App>>, Office(who): Office) -> Result<Shown<Vec<Hook>>, Error> {
    auth::require(&who.author, &ADMIN)?;
    app.webhooks.hooks(&app.ledger, who.tenant).await.map(Shown)
}

/// Makes a webhook; its secret is told once.
#[utoipa::path(
    post,
    path = "/api/webhooks",
    tag = "webhooks",
    operation_id = "create_webhook",
    request_body = NewHook,
    responses((status = 201, body = HookWithSecret)),
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Office(who): Office,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Shown<HookWithSecret>), Error> {
    let new: NewHook = json(&headers, &body)?;
    auth::require(&who.author, &ADMIN)?;
    let made = app.webhooks.create(&app.ledger, who.tenant, who.author.staff, new).await?;
    Ok((StatusCode::CREATED, Shown(made)))
}

/// Changes a webhook. One that was switched off and is switched on again goes on where it was.
#[utoipa::path(
    patch,
    path = "/api/webhooks/{id}",
    tag = "webhooks",
    operation_id = "change_webhook",
    params(("id" = Uuid, Path, description = "The webhook")),
    request_body = HookPatch,
    responses((status = 200, body = Hook)),
)]
pub(super) async fn change(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Path(hook): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Shown<Hook>, Error> {
    let patch: HookPatch = json(&headers, &body)?;
    auth::require(&who.author, &ADMIN)?;
    let (by, hook) = (who.author.staff, id::<Uuid>(&hook)?);
    app.webhooks.change(&app.ledger, who.tenant, by, hook, patch).await.map(Shown)
}

/// Takes a webhook out.
#[utoipa::path(
    delete,
    path = "/api/webhooks/{id}",
    tag = "webhooks",
    operation_id = "remove_webhook",
    params(("id" = Uuid, Path, description = "The webhook")),
    responses((status = 204)),
)]
pub(super) async fn remove(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Path(hook): Path<String>,
) -> Result<StatusCode, Error> {
    auth::require(&who.author, &ADMIN)?;
    app.webhooks.remove(&app.ledger, who.tenant, who.author.staff, id::<Uuid>(&hook)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives a webhook another secret, told once; the old one signs nothing any more.
#[utoipa::path(
    post,
    path = "/api/webhooks/{id}/secret",
    tag = "webhooks",
    operation_id = "new_webhook_secret",
    params(("id" = Uuid, Path, description = "The webhook")),
    responses((status = 200, body = HookWithSecret)),
)]
pub(super) async fn secret(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Path(hook): Path<String>,
) -> Result<Shown<HookWithSecret>, Error> {
    auth::require(&who.author, &ADMIN)?;
    app.webhooks.new_secret(&app.ledger, who.tenant, who.author.staff, id::<Uuid>(&hook)?).await.map(Shown)
}

/// Sends a `ping` and answers what came of it.
#[utoipa::path(
    post,
    path = "/api/webhooks/{id}/ping",
    tag = "webhooks",
    operation_id = "ping_webhook",
    params(("id" = Uuid, Path, description = "The webhook")),
    responses((status = 200, body = Delivery)),
)]
pub(super) async fn ping(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Path(hook): Path<String>,
) -> Result<Shown<Delivery>, Error> {
    auth::require(&who.author, &ADMIN)?;
    app.webhooks.ping(&app.ledger, who.tenant, id::<Uuid>(&hook)?).await.map(Shown)
}

/// Which deliveries are asked for.
#[derive(Deserialize, Default, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct DeliveriesAsked {
    /// Only those before this number.
    after: Option<u64>,
    /// Rows: 50 where absent, at most 500.
    limit: Option<usize>,
}

/// What was sent.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookDeliveries)]
pub(super) struct DeliveriesPage {
    /// Requests, newest first; kept for 30 days.
    rows: Vec<Delivery>,
    /// Ask again with this as `after` for more.
    next: Option<u64>,
}

/// What a webhook sent, newest first.
#[utoipa::path(
    get,
    path = "/api/webhooks/{id}/deliveries",
    tag = "webhooks",
    operation_id = "webhook_deliveries",
    params(("id" = Uuid, Path, description = "The webhook"), DeliveriesAsked),
    responses((status = 200, body = DeliveriesPage)),
)]
pub(super) async fn deliveries(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Asked(asked): Asked<DeliveriesAsked>,
    Path(hook): Path<String>,
) -> Result<Shown<DeliveriesPage>, Error> {
    auth::require(&who.author, &ADMIN)?;
    let limit = asked.limit.unwrap_or(ROWS).clamp(1, 500);
    let rows = app.webhooks.deliveries(&app.ledger, who.tenant, id::<Uuid>(&hook)?, asked.after, limit).await?;
    let next = rows.last().map(|d| d.n).filter(|n| rows.len() == limit && *n > 1);
    Ok(Shown(DeliveriesPage { rows, next }))
}

/// Sends what was sent once more, under its old id, and answers what came of it.
#[utoipa::path(
    post,
    path = "/api/webhooks/{id}/deliveries/{n}/redeliver",
    tag = "webhooks",
    operation_id = "redeliver_webhook",
    params(("id" = Uuid, Path, description = "The webhook"), ("n" = u64, Path, description = "The delivery's number")),
    responses((status = 200, body = Delivery)),
)]
pub(super) async fn redeliver(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Path((hook, n)): Path<(String, String)>,
) -> Result<Shown<Delivery>, Error> {
    auth::require(&who.author, &ADMIN)?;
    app.webhooks.again(&app.ledger, who.tenant, id::<Uuid>(&hook)?, id::<u64>(&n)?).await.map(Shown)
}
