//! One sync, sans-I/O: `handle(now, event) -> effects`.

use serde::{Deserialize, Serialize};

/// What a sync did.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SyncReport {
    /// Round trips of `POST /v1/sync`.
    pub round_trips: u32,
    /// Changes sent.
    pub pushed: u64,
    /// Changes the server acknowledged.
    pub accepted: u64,
    /// Changes the server refused.
    pub refused: u64,
    /// Documents received.
    pub received: u64,
    /// Documents that left.
    pub left: u64,
    /// Deliveries that could not be taken, with the reason: they are asked for again.
    pub skipped: Vec<(String, String)>,
    /// Blobs the server acknowledged.
    pub uploaded: u32,
    /// Blobs fetched.
    pub downloaded: u32,
    /// Bytes sent in bodies.
    pub bytes_up: u64,
    /// Bytes received in bodies.
    pub bytes_down: u64,
    /// Everything was compared with the server.
    pub reconciled: bool,
    /// The device was revoked and wiped.
    pub wiped: bool,
}
