//! Rescue file: unsent work, encrypted, for another phone or the office to take in.
//!
//! `ONSITERESCUE` ‖ version ‖ Argon2id parameters ‖ salt ‖ nonce ‖ XChaCha20-Poly1305 of CBOR.

use crate::domain::{DeviceId, DocId, DocRef, Kind, Millis, Sha256, StaffId, TenantId};
use crate::env::Env;
use crate::error::{Error, Result};
use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{AeadInOut as _, KeyInit as _};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::meta::{self, Identity};
use super::{Blobs, blobs, chunks, outbox};

/// Largest file taken in, in bytes.
pub const MAX_FILE: usize = 512 << 20;
/// Room for header, names and the rest around documents and photos.
const SLACK: usize = 1 << 20;

const MAGIC: &[u8; 12] = b"ONSITERESCUE";
const VERSION: u8 = 1;
const SALT: usize = 16;
const NONCE: usize = 24;
const HEADER: usize = MAGIC.len() + 1 + 3 * 4 + SALT + NONCE;
/// Argon2id: memory in KiB, passes, lanes. A passphrase deserves more work than a login.
const MEMORY: u32 = 64 << 10;
const PASSES: u32 = 3;
const LANES: u32 = 1;

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
pub fn gather(conn: &Connection, kept: &dyn Blobs, at: Millis) -> Result<Rescue> {
    let identity = meta::identity(conn)?.ok_or(Error::NotEnrolled)?;
    let mut docs: BTreeMap<DocRef, Vec<serde_bytes::ByteBuf>> = BTreeMap::new();
    // Refused first: what waits may have been written after them.
    for refused in outbox::refused(conn, true)?.into_iter().rev() {
        docs.entry(refused.doc).or_default().push(serde_bytes::ByteBuf::from(refused.bytes));
    }
    for waiting in outbox::next_batch(conn, at, usize::MAX, usize::MAX)? {
        let changes = waiting.changes.into_iter().map(|(_, body)| serde_bytes::ByteBuf::from(body));
        docs.entry(waiting.doc).or_default().extend(changes);
    }
    let mut size = 0_usize;
    let mut count = |bytes: usize| {
        size = size.saturating_add(bytes);
        if size > MAX_FILE - SLACK { Err(too_large()) } else { Ok(()) }
    };
    let docs = docs.into_iter().map(|(doc, changes)| {
        // A document that is gone left its refused changes behind.
        let snapshot = chunks::load(conn, doc.id)?.map(|d| d.save()).unwrap_or_default();
        count(snapshot.len() + changes.iter().map(|c| c.len()).sum::<usize>())?;
        Ok(RescuedDoc { doc: doc.id, kind: doc.kind, snapshot, changes })
    });
    let docs = docs.collect::<Result<Vec<_>>>()?;
    let mut unsent = Vec::new();
    for row in blobs::to_send(conn, usize::try_from(i64::MAX).unwrap_or(usize::MAX))? {
        count(usize::try_from(row.size).unwrap_or(usize::MAX))?;
        let bytes = kept.read_all(row.name)?;
        let doc = blobs::document_of(conn, row.name)?.map(|d| (d.id, d.kind));
        unsent.push(RescuedBlob { name: row.name, doc, media_type: row.media_type, bytes });
    }
    let Identity { tenant, device, staff, .. } = identity;
    Ok(Rescue { tenant, device, staff, exported_at: at, docs, blobs: unsent })
}

/// Encrypts with a passphrase.
///
/// # Errors
/// `Invalid` where the passphrase is shorter than 8 characters or the content too large.
pub fn seal(rescue: &Rescue, passphrase: &str, env: &dyn Env) -> Result<Vec<u8>> {
    if passphrase.chars().count() < 8 {
        return Err(Error::Invalid { field: "passphrase", detail: "shorter than 8 characters".into() });
    }
    let (mut salt, mut nonce) = ([0; SALT], [0; NONCE]);
    env.fill(&mut salt);
    env.fill(&mut nonce);
    let mut out = Vec::with_capacity(HEADER);
    out.extend_from_slice(MAGIC);
    out.push(VERSION);
    for parameter in [MEMORY, PASSES, LANES] {
        out.extend_from_slice(&parameter.to_be_bytes());
    }
    out.extend_from_slice(&salt);
    out.extend_from_slice(&nonce);
    let cipher = cipher(passphrase, &salt, MEMORY, PASSES, LANES)?;
    let mut content = minicbor_serde::to_vec(rescue).map_err(|_| too_large())?;
    if content.len() > MAX_FILE - SLACK {
        return Err(too_large());
    }
    // In place: a phone has no room for the photos twice.
    cipher.encrypt_in_place(&XNonce::from(nonce), &out, &mut content).map_err(|_| too_large())?;
    out.append(&mut content);
    Ok(out)
}

/// Decrypts. Every blob's name was checked against its bytes.
///
/// # Errors
/// `Rescue` where the passphrase is wrong or the file damaged; `Invalid` where it is too large
/// or of a newer version.
pub fn open(file: &[u8], passphrase: &str) -> Result<Rescue> {
    if file.len() > MAX_FILE {
        return Err(too_large());
    }
    let (header, sealed) = file.split_at_checked(HEADER).ok_or(Error::Rescue)?;
    let (magic, rest) = header.split_at(MAGIC.len());
    let version = rest[0];
    if magic != MAGIC {
        return Err(Error::Rescue);
    }
    if version != VERSION {
        return Err(Error::Invalid {
            field: "version",
            detail: format!("rescue file version {version}, known {VERSION}"),
        });
    }
    let (numbers, rest) = rest[1..].split_at(12);
    let mut parameters = numbers.as_chunks::<4>().0.iter().map(|b| u32::from_be_bytes(*b));
    let mut next = |most: u32| parameters.next().filter(|n| *n <= most).ok_or(Error::Rescue);
    // Bounded: the file's word is not taken for how hard to work.
    let (memory, passes, lanes) = (next(256 << 10)?, next(16)?, next(4)?);
    let (salt, nonce) = rest.split_at(SALT);
    let nonce: [u8; NONCE] = nonce.try_into().map_err(|_| Error::Rescue)?;
    let cipher = cipher(passphrase, salt, memory, passes, lanes)?;
    let mut content = sealed.to_vec();
    cipher.decrypt_in_place(&XNonce::from(nonce), header, &mut content).map_err(|_| Error::Rescue)?;
    let rescue: Rescue = minicbor_serde::from_slice(&content).map_err(|_| Error::Rescue)?;
    if rescue.blobs.iter().any(|b| blobs::name_of(&b.bytes) != b.name) {
        return Err(Error::Rescue);
    }
    Ok(rescue)
}

fn too_large() -> Error {
    Error::Invalid { field: "rescue_file", detail: format!("larger than {} MiB", MAX_FILE >> 20) }
}

fn cipher(passphrase: &str, salt: &[u8], memory: u32, passes: u32, lanes: u32) -> Result<XChaCha20Poly1305> {
    let parameters = Params::new(memory, passes, lanes, Some(32)).map_err(|_| Error::Rescue)?;
    let mut key = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters)
        .hash_password_into(passphrase.as_bytes(), salt, &mut key)
        .map_err(|_| Error::Rescue)?;
    Ok(XChaCha20Poly1305::new(&key.into()))
}
