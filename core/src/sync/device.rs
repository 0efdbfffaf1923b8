//! A device's file with its environment: what the engine, the session and the client share.

use crate::domain::DocRef;
use crate::env::Env;
use crate::error::Result;
use crate::store::{Blobs, Store};

/// The open file, its clock and dice, its blobs, and who wants to hear of changes.
pub struct Device {
    pub(crate) store: Store,
    pub(crate) env: Box<dyn Env + Send>,
    pub(crate) blobs: Box<dyn Blobs + Send>,
    pub(crate) watchers: Vec<(u64, Box<dyn Fn(&[DocRef]) + Send>)>,
}

impl Device {
    /// Opens the device's file.
    ///
    /// # Errors
    /// The store's.
    pub fn open(conn: rusqlite::Connection, env: Box<dyn Env + Send>, blobs: Box<dyn Blobs + Send>) -> Result<Self> {
        Ok(Self { store: Store::open(conn)?, env, blobs, watchers: Vec::new() })
    }
}
