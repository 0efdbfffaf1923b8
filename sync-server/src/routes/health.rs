//! For those who watch the server.

use super::{Peer, bearer};
use crate::{App, error::Error};
use axum::{
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use std::sync::Arc;
use subtle::ConstantTimeEq as _;

/// The process runs.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// The storage can be read and written.
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Result<&'static str, Error> {
    app.ledger.storage().ready().await?;
    Ok("ready\n")
}

/// Figures for Prometheus.
pub(super) async fn metrics(State(app): State<Arc<App>>, peer: Peer, headers: HeaderMap) -> Result<Response, Error> {
    let by_token = app
        .config
        .metrics
        .token
        .as_ref()
        .zip(bearer(&headers))
        .is_some_and(|(a, b)| a.as_bytes().ct_eq(b.as_bytes()).into());
    let by_address = !peer.veiled && app.config.metrics.addresses.contains(&peer.at);
    if !by_token && !by_address {
        return Err(Error::Forbidden("figures are for the addresses and the token of the configuration".into()));
    }
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], crate::metrics::render()).into_response())
}
