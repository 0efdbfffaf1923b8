//! Who this device is, and how it stands with the server.

use crate::document::Actor;
use crate::domain::{DeviceId, Millis, StaffId, Stamp, TenantId};
use crate::error::Result;
use rusqlite::{Connection, Transaction};
use serde::{Deserialize, Serialize};

/// Who this device is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The company.
    pub tenant: TenantId,
    /// Its name.
    pub company: String,
    /// The server's address, as enrolled with.
    pub server: String,
    /// This device.
    pub device: DeviceId,
    /// Its short code, for provisional numbers.
    pub device_code: String,
    /// Whose it is.
    pub staff: StaffId,
    /// The device's secret key.
    #[serde(with = "serde_bytes")]
    pub secret: Vec<u8>,
}

/// How this device stands with the server.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SyncState {
    /// The server's opaque cursor; empty before the first sync.
    pub cursor: String,
    /// The copy mark to echo.
    #[serde(with = "serde_bytes")]
    pub mark: Vec<u8>,
    /// Server clock minus device clock in milliseconds, as last measured.
    pub offset: Option<i64>,
    /// Half the width of the interval the offset lies in, in milliseconds.
    pub doubt: Option<i64>,
    /// When the offset was measured, by the device's clock.
    pub measured_at: Option<Millis>,
    /// Last complete sync, by the device's clock.
    pub last_sync: Option<Millis>,
    /// Last try, by the device's clock.
    pub last_try: Option<Millis>,
    /// Stable code of the last try's error; empty where it went well.
    pub last_error: String,
    /// Documents the server announced that have not come yet; an estimate.
    pub remaining: u64,
    /// Measured rate of transfer in bytes a second; 0 where never measured.
    pub rate: u64,
    /// The file must compare everything with the server at the next contact.
    pub reconcile: bool,
}

impl SyncState {
    /// A moment of the device's clock with the offset and doubt last measured.
    pub fn stamp(&self, device: Millis) -> Stamp {
        Stamp { device, offset: self.offset, doubt: self.offset.and(self.doubt) }
    }
}

/// Who this device is; `None` before enrolment.
///
/// # Errors
/// The database's.
pub fn identity(conn: &Connection) -> Result<Option<Identity>> {
    let _ = conn;
    unimplemented!()
}

/// Sets who this device is, with a fresh incarnation (8 random bytes).
///
/// # Errors
/// The database's.
pub fn enrol(tx: &Transaction<'_>, identity: &Identity, incarnation: [u8; 8]) -> Result<()> {
    let _ = (tx, identity, incarnation);
    unimplemented!()
}

/// The author of this device's changes.
///
/// # Errors
/// `NotEnrolled`.
pub fn actor(conn: &Connection) -> Result<Actor> {
    let _ = conn;
    unimplemented!()
}

/// Starts a new incarnation (8 random bytes): whenever the file may be a copy.
///
/// # Errors
/// The database's.
pub fn set_incarnation(tx: &Transaction<'_>, incarnation: [u8; 8]) -> Result<()> {
    let _ = (tx, incarnation);
    unimplemented!()
}

/// How this device stands with the server.
///
/// # Errors
/// The database's.
pub fn sync_state(conn: &Connection) -> Result<SyncState> {
    let _ = conn;
    unimplemented!()
}

/// Sets how this device stands with the server.
///
/// # Errors
/// The database's.
pub fn set_sync_state(tx: &Transaction<'_>, state: &SyncState) -> Result<()> {
    let _ = (tx, state);
    unimplemented!()
}

/// The next number of this device's counter, from 1: for provisional numbers.
///
/// # Errors
/// The database's.
pub fn next_number(tx: &Transaction<'_>) -> Result<u64> {
    let _ = tx;
    unimplemented!()
}

/// A value the app keeps under a name of its own (`app.` is put before it).
///
/// # Errors
/// The database's.
pub fn app_value(conn: &Connection, name: &str) -> Result<Option<String>> {
    let _ = (conn, name);
    unimplemented!()
}

/// Sets or (with `None`) clears a value the app keeps.
///
/// # Errors
/// The database's.
pub fn set_app_value(tx: &Transaction<'_>, name: &str, value: Option<&str>) -> Result<()> {
    let _ = (tx, name, value);
    unimplemented!()
}
