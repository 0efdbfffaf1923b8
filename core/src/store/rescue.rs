//! Rescue file: unsent work, encrypted, for another phone or the office to take in.
//!
//! `ONSITERESCUE` ‖ version ‖ Argon2id parameters ‖ salt ‖ nonce ‖ XChaCha20-Poly1305 of CBOR.

use crate::domain::{DeviceId, DocId, Kind, Millis, Sha256, StaffId, TenantId};
use crate::env::Env;
use crate::error::Result;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::Blobs;

/// Largest file taken in, in bytes.
pub const MAX_FILE: usize = 512 << 20;

/// What a rescue file holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rescue {
    /// The company.
    pub tenant: TenantId,
    /// The device it comes from.
    pub device: DeviceId,
    /// Whose.
    pub staff: StaffId,
    /// When, by the device's clock.
    pub exported_at: Millis,
    /// Documents with unsent changes.
    pub docs: Vec<RescuedDoc>,
    /// Blobs not yet acknowledged.
    pub blobs: Vec<RescuedBlob>,
}

/// A document with unsent changes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RescuedDoc {
    /// The document.
    pub doc: DocId,
    /// Its kind.
    pub kind: Kind,
    /// The whole document as it stands on the device.
    #[serde(with = "serde_bytes")]
    pub snapshot: Vec<u8>,
    /// The unsent (and the refused, not dealt with) changes, dependencies first.
    pub changes: Vec<serde_bytes::ByteBuf>,
}

/// A blob not yet acknowledged.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RescuedBlob {
    /// Its name.
    pub name: Sha256,
    /// The document it belongs to.
    pub doc: Option<(DocId, Kind)>,
    /// Its media type.
    pub media_type: String,
    /// Its bytes.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
}

/// Gathers unsent work.
///
/// # Errors
/// `NotEnrolled`; the database's; `Invalid` where it would be larger than [`MAX_FILE`].
pub fn gather(conn: &Connection, blobs: &dyn Blobs, at: Millis) -> Result<Rescue> {
    let _ = (conn, blobs, at);
    unimplemented!()
}

/// Encrypts with a passphrase.
///
/// # Errors
/// `Invalid` where the passphrase is shorter than 8 characters or the content too large.
pub fn seal(rescue: &Rescue, passphrase: &str, env: &dyn Env) -> Result<Vec<u8>> {
    let _ = (rescue, passphrase, env);
    unimplemented!()
}

/// Decrypts. Every blob's name was checked against its bytes.
///
/// # Errors
/// `Rescue` where the passphrase is wrong or the file damaged; `Invalid` where it is too large
/// or of a newer version.
pub fn open(file: &[u8], passphrase: &str) -> Result<Rescue> {
    let _ = (file, passphrase);
    unimplemented!()
}
