//! Who this device is, and how it stands with the server.

use crate::document::Actor;
use crate::domain::{DeviceId, Millis, StaffId, Stamp, TenantId};
use crate::error::{Error, Result};
use rusqlite::types::FromSql;
use rusqlite::{Connection, OptionalExtension as _, ToSql, Transaction};
use serde::{Deserialize, Serialize};

/// How far a clock may be moved back in small steps without having been set, in milliseconds.
const STEERED: i64 = 2_000;

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

impl std::fmt::Debug for Identity {
    /// Without the secret key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("tenant", &self.tenant)
            .field("device", &self.device)
            .field("device_code", &self.device_code)
            .field("staff", &self.staff)
            .finish_non_exhaustive()
    }
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

    /// Whether the clock stands before a moment it has shown already, by more than it is steered by.
    /// `shown`: another such moment, where one is known.
    pub fn went_back(&self, device: Millis, shown: Option<Millis>) -> bool {
        let latest = [self.measured_at, self.last_sync, self.last_try, shown].into_iter().flatten().max();
        latest.is_some_and(|latest| latest.since(device) > STEERED.max(self.doubt.unwrap_or(0)))
    }

    /// The clock is not the one that was compared with the server's any more.
    pub fn forget_offset(&mut self) {
        (self.offset, self.doubt, self.measured_at) = (None, None, None);
    }
}

/// Who this device is; `None` before enrolment.
///
/// # Errors
/// The database's.
pub fn identity(conn: &Connection) -> Result<Option<Identity>> {
    get(conn, "identity")?.map(|b: Vec<u8>| decode(&b)).transpose()
}

/// Sets who this device is, with a fresh incarnation (8 random bytes).
///
/// # Errors
/// The database's.
pub fn enrol(tx: &Transaction<'_>, identity: &Identity, incarnation: [u8; 8]) -> Result<()> {
    put(tx, "identity", encode(identity)?)?;
    set_incarnation(tx, incarnation)
}

/// The author of this device's changes.
///
/// # Errors
/// `NotEnrolled`.
pub fn actor(conn: &Connection) -> Result<Actor> {
    let identity = identity(conn)?.ok_or(Error::NotEnrolled)?;
    let incarnation = get(conn, "incarnation")?.ok_or(Error::NotEnrolled)?;
    Ok(Actor { device: identity.device, incarnation })
}

/// Starts a new incarnation (8 random bytes): whenever the file may be a copy.
///
/// # Errors
/// The database's.
pub fn set_incarnation(tx: &Transaction<'_>, incarnation: [u8; 8]) -> Result<()> {
    put(tx, "incarnation", incarnation)
}

/// How this device stands with the server.
///
/// # Errors
/// The database's.
pub fn sync_state(conn: &Connection) -> Result<SyncState> {
    Ok(get(conn, "sync")?.map(|b: Vec<u8>| decode(&b)).transpose()?.unwrap_or_default())
}

/// Sets how this device stands with the server.
///
/// # Errors
/// The database's.
pub fn set_sync_state(tx: &Transaction<'_>, state: &SyncState) -> Result<()> {
    put(tx, "sync", encode(state)?)
}

/// Forgets how the clock compared with the server's, where it was measured: it was set since.
///
/// # Errors
/// The database's.
pub fn forget_offset(tx: &Transaction<'_>) -> Result<()> {
    let mut state = sync_state(tx)?;
    if state.offset.is_none() {
        return Ok(());
    }
    state.forget_offset();
    set_sync_state(tx, &state)
}

/// The next number of this device's counter, from 1: for provisional numbers.
///
/// # Errors
/// The database's.
pub fn next_number(tx: &Transaction<'_>) -> Result<u64> {
    let last: i64 = get(tx, "counter")?.unwrap_or(0);
    put(tx, "counter", last + 1)?;
    Ok(u64::try_from(last + 1).unwrap_or(1))
}

/// A value the app keeps under a name of its own (`app.` is put before it).
///
/// # Errors
/// The database's.
pub fn app_value(conn: &Connection, name: &str) -> Result<Option<String>> {
    get(conn, &format!("app.{name}"))
}

/// Sets or (with `None`) clears a value the app keeps.
///
/// # Errors
/// The database's.
pub fn set_app_value(tx: &Transaction<'_>, name: &str, value: Option<&str>) -> Result<()> {
    let key = format!("app.{name}");
    match value {
        Some(value) => put(tx, &key, value),
        None => {
            tx.prepare_cached("DELETE FROM meta WHERE key = ?1")?.execute([key])?;
            Ok(())
        }
    }
}

pub(super) fn get<T: FromSql>(conn: &Connection, key: &str) -> Result<Option<T>> {
    Ok(conn.prepare_cached("SELECT value FROM meta WHERE key = ?1")?.query_row([key], |r| r.get(0)).optional()?)
}

pub(super) fn put(tx: &Transaction<'_>, key: &str, value: impl ToSql) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    )?
    .execute(rusqlite::params![key, value])?;
    Ok(())
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>> {
    minicbor_serde::to_vec(value).map_err(|e| Error::Damaged(e.to_string()))
}

fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    minicbor_serde::from_slice(bytes).map_err(|e| Error::Damaged(e.to_string()))
}
