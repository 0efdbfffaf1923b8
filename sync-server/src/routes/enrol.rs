//! Enrolment and tokens.

use super::{Peer, json};
use crate::{App, auth, error::Error};
use axum::{Json, body::Bytes, extract::State, http::HeaderMap};
use onsite_core::domain::DeviceId;
use onsite_core::sync::protocol::{Challenge, EnrolAnswer, EnrolRequest, TokenAnswer, TokenRequest};
use serde::Deserialize;
use std::sync::Arc;

/// Who wants a nonce.
#[derive(Deserialize)]
struct ChallengeRequest {
    device: DeviceId,
}

pub(super) async fn enrol(
    State(app): State<Arc<App>>,
    peer: Peer,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<EnrolAnswer>, Error> {
    let now = app.ledger.env().now();
    app.login_rate.take(peer.at, app.config.limits.login_tries_per_minute, now)?;
    let request: EnrolRequest = json(&headers, &body)?;
    auth::enrol(&app.ledger, &request).await.map(Json)
}

pub(super) async fn challenge(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Challenge>, Error> {
    let ChallengeRequest { device } = json(&headers, &body)?;
    // Per device, not per address: a whole company may sit behind one.
    app.nonce_rate.take(device, 30, app.ledger.env().now())?;
    auth::challenge(&app.ledger, device).await.map(|nonce| Json(Challenge { nonce }))
}

pub(super) async fn token(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<TokenAnswer>, Error> {
    let request: TokenRequest = json(&headers, &body)?;
    auth::token(&app.ledger, &request, app.config.auth.token_seconds).await.map(Json)
}
