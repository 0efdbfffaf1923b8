//! Documents as bytes: a snapshot plus later changes, with heads and digest.

use crate::document::{Change, Doc};
use crate::domain::{ChangeHash, DocId, DocRef, Kind, Millis};
use crate::error::Result;
use rusqlite::{Connection, Transaction};

use super::outbox::Lane;

/// Heads a server vouched for, with its seal over them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Seal {
    /// The heads, sorted.
    pub heads: Vec<ChangeHash>,
    /// The server's HMAC over them.
    pub seal: Vec<u8>,
}

/// What is held of a document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held {
    /// The document.
    pub doc: DocRef,
    /// Its heads here.
    pub heads: Vec<ChangeHash>,
    /// The heads the server accepted, as far as known here; empty where none.
    pub accepted: Vec<ChangeHash>,
    /// The newest sealed heads; an older state than `accepted` where changes were acknowledged since.
    pub sealed: Option<Seal>,
    /// It left this device's scope and waits only for its unsent edits.
    pub leaving: bool,
}

/// What became of a document that left the scope.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Left {
    /// It is gone.
    Purged,
    /// It holds unsent edits or photos: it goes when the last is acknowledged.
    Leaving,
    /// It was not here.
    Unknown,
}

/// What is held of a document; `None` where nothing is.
///
/// # Errors
/// The database's.
pub fn held(conn: &Connection, doc: DocId) -> Result<Option<Held>> {
    let _ = (conn, doc);
    unimplemented!()
}

/// Every document held whose SHA-256(id) begins with one of `ranges` (all where empty), not those leaving.
///
/// # Errors
/// The database's.
pub fn held_in(conn: &Connection, ranges: &[u8]) -> Result<Vec<Held>> {
    let _ = (conn, ranges);
    unimplemented!()
}

/// Loads a document: snapshot plus later changes. `None` where it is not held.
///
/// # Errors
/// `BadChange` where the bytes do not load; the database's.
pub fn load(conn: &Connection, doc: DocId) -> Result<Option<Doc>> {
    let _ = (conn, doc);
    unimplemented!()
}

/// Loads a document, or starts a new one of that kind.
///
/// # Errors
/// As [`load`]; `Invalid` where the document held is of another kind.
pub fn load_or_new(conn: &Connection, doc: DocRef) -> Result<Doc> {
    let _ = (conn, doc);
    unimplemented!()
}

/// Stores a change made here, and queues it to be sent. `heads` are the document's after it.
///
/// # Errors
/// `Invalid` where the document held is of another kind; the database's.
pub fn put_own(
    tx: &Transaction<'_>,
    doc: DocRef,
    change: &Change,
    heads: &[ChangeHash],
    lane: Lane,
    at: Millis,
) -> Result<()> {
    let _ = (tx, doc, change, heads, lane, at);
    unimplemented!()
}

/// Stores what the server sent: a snapshot for a document new here, changes,
/// and the accepted heads after them. `heads` are the document's after all of
/// it, pending changes included. Own pending changes that the delivery shows
/// to be accepted leave the outbox.
///
/// # Errors
/// `Invalid` where the document held is of another kind; the database's.
pub fn put_received(
    tx: &Transaction<'_>,
    doc: DocRef,
    snapshot: Option<&[u8]>,
    changes: &[Change],
    heads: &[ChangeHash],
    sealed: &Seal,
) -> Result<()> {
    let _ = (tx, doc, snapshot, changes, heads, sealed);
    unimplemented!()
}

/// Replaces all that is stored of a document by this snapshot: after refused
/// changes were taken out ([`super::outbox::set_aside`]) and before innocent edits are
/// written again with [`put_own`]. Pending changes that stay in the outbox are
/// named in `keep`; others are taken out of it.
///
/// # Errors
/// The database's.
pub fn rebuild(
    tx: &Transaction<'_>,
    doc: DocRef,
    snapshot: &[u8],
    heads: &[ChangeHash],
    keep: &[ChangeHash],
) -> Result<()> {
    let _ = (tx, doc, snapshot, heads, keep);
    unimplemented!()
}

/// Whether a document's tail is long enough to be worth compacting.
///
/// # Errors
/// The database's.
pub fn wants_compaction(conn: &Connection, doc: DocId) -> Result<bool> {
    let _ = (conn, doc);
    unimplemented!()
}

/// Documents that want compaction, a few at most.
///
/// # Errors
/// The database's.
pub fn compactable(conn: &Connection, limit: usize) -> Result<Vec<DocRef>> {
    let _ = (conn, limit);
    unimplemented!()
}

/// Puts a snapshot, then deletes what it supersedes. Changes still to be sent
/// stay until acknowledged.
///
/// # Errors
/// The database's.
pub fn compact(tx: &Transaction<'_>, doc: DocId, snapshot: &[u8], covered: &[ChangeHash]) -> Result<()> {
    let _ = (tx, doc, snapshot, covered);
    unimplemented!()
}

/// A document leaves this device's scope: it is purged, unless it holds
/// unsent edits or photos; then it waits for them.
///
/// # Errors
/// The database's.
pub fn leave(tx: &Transaction<'_>, doc: DocId) -> Result<Left> {
    let _ = (tx, doc);
    unimplemented!()
}

/// The digest of what the server accepted and this device holds: XOR of
/// SHA-256(doc id ‖ sorted accepted heads) over the documents in scope.
///
/// # Errors
/// The database's.
pub fn digest(conn: &Connection) -> Result<[u8; 32]> {
    let _ = conn;
    unimplemented!()
}

/// The same digest by range: by the first byte of SHA-256(doc id), 256 of them.
///
/// # Errors
/// The database's.
pub fn range_digests(conn: &Connection) -> Result<Vec<[u8; 32]>> {
    let _ = conn;
    unimplemented!()
}

/// A document's part of the digest.
pub fn digest_of(doc: DocId, accepted: &[ChangeHash]) -> [u8; 32] {
    let _ = (doc, accepted);
    unimplemented!()
}

/// The office looked at a document at these heads.
///
/// # Errors
/// The database's.
pub fn put_seen(
    tx: &Transaction<'_>,
    doc: DocId,
    heads: &[ChangeHash],
    at: Millis,
    by: crate::domain::StaffId,
) -> Result<()> {
    let _ = (tx, doc, heads, at, by);
    unimplemented!()
}

/// How many documents of each kind are held.
///
/// # Errors
/// The database's.
pub fn counts(conn: &Connection) -> Result<Vec<(Kind, u64)>> {
    let _ = conn;
    unimplemented!()
}
