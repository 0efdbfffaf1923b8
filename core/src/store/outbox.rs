//! What waits to be sent, what was refused, and where each item stands.

use crate::document::Change;
use crate::domain::{ChangeHash, DocId, DocRef, Kind, Millis, StaffId};
use crate::error::Result;
use rusqlite::{Connection, Transaction};

/// Which goes first. Photos have a queue of their own (see [`super::blobs`]) and come last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Lane {
    /// Texts and signatures: every change to documents of one's work.
    Work = 0,
    /// Today's jobs.
    Today = 1,
    /// The rest.
    Rest = 2,
}

/// Changes of one document waiting to be sent, dependencies first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Waiting {
    /// The document.
    pub doc: DocRef,
    /// The changes: hash and bytes.
    pub changes: Vec<(ChangeHash, Vec<u8>)>,
}

/// The device's own account of what waits.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Account {
    /// Changes not yet acknowledged.
    pub changes: u64,
    /// Blobs not yet acknowledged.
    pub blobs: u64,
    /// Their bytes still to be sent.
    pub blob_bytes: u64,
    /// When the oldest waiting item was queued.
    pub oldest: Option<Millis>,
    /// Documents held.
    pub documents: u64,
    /// Refused changes nobody has dealt with yet.
    pub refused: u64,
}

impl Account {
    /// Whether nothing would be lost if this phone were handed in now.
    /// Refused changes count as safe: the server keeps them aside too.
    pub fn safe_to_hand_in(&self) -> bool {
        self.changes == 0 && self.blobs == 0
    }
}

/// Where a document's edits made on this device stand.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Only here.
    OnThisPhone,
    /// The server has some, or holds some aside.
    Received,
    /// The server has all, durably.
    Accepted,
    /// And somebody at the office looked at it since.
    SeenByOffice,
}

/// Why a change was refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// Stable code.
    pub code: String,
    /// The field concerned, if one.
    pub field: String,
    /// In words.
    pub detail: String,
}

/// A refused change, kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Its number here.
    pub id: i64,
    /// The document.
    pub doc: DocRef,
    /// The change.
    pub hash: ChangeHash,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Why.
    pub why: Refusal,
    /// When the refusal came, by the device's clock.
    pub at: Millis,
    /// Whether its author dealt with it (amended, re-sent or dropped).
    pub settled: bool,
}

/// The next changes to send: by lane, then in the order queued; within a
/// document dependencies first. At least one change where any waits, then as
/// many as fit `max_bytes` and `max_changes`.
///
/// # Errors
/// The database's.
pub fn next_batch(conn: &Connection, max_bytes: usize, max_changes: usize) -> Result<Vec<Waiting>> {
    let _ = (conn, max_bytes, max_changes);
    unimplemented!()
}

/// The waiting changes of a document, dependencies first.
///
/// # Errors
/// The database's.
pub fn waiting(conn: &Connection, doc: DocId) -> Result<Vec<Change>> {
    let _ = (conn, doc);
    unimplemented!()
}

/// The server has these changes, durably. Returns how many were waiting:
/// saying it twice is harmless. A document that was leaving goes with its last.
///
/// # Errors
/// The database's.
pub fn acknowledge(tx: &Transaction<'_>, doc: DocId, hashes: &[ChangeHash]) -> Result<usize> {
    let _ = (tx, doc, hashes);
    unimplemented!()
}

/// Notes that a change was sent and not decided: attempts and the last error.
///
/// # Errors
/// The database's.
pub fn attempted(tx: &Transaction<'_>, doc: DocId, hash: ChangeHash, error: &str) -> Result<()> {
    let _ = (tx, doc, hash, error);
    unimplemented!()
}

/// The server refused a change: it and the waiting changes that depend on it
/// move out of the outbox into the refused ones, bytes and all. Returns
/// what moved, dependencies first; empty where it was not waiting.
/// The document is then rebuilt without them ([`super::chunks::rebuild`]).
///
/// # Errors
/// The database's.
pub fn set_aside(
    tx: &Transaction<'_>,
    doc: DocId,
    hash: ChangeHash,
    why: &Refusal,
    at: Millis,
) -> Result<Vec<ChangeHash>> {
    let _ = (tx, doc, hash, why, at);
    unimplemented!()
}

/// Puts changes already accepted once back into the outbox, at the end of
/// their lane: after a restored server lost them. Returns how many.
///
/// # Errors
/// The database's; `BadChange`.
pub fn requeue(tx: &Transaction<'_>, doc: DocRef, changes: &[Change], lane: Lane, at: Millis) -> Result<usize> {
    let _ = (tx, doc, changes, lane, at);
    unimplemented!()
}

/// Refused changes, newest first; those not dealt with only, where `open`.
///
/// # Errors
/// The database's.
pub fn refused(conn: &Connection, open: bool) -> Result<Vec<Refused>> {
    let _ = (conn, open);
    unimplemented!()
}

/// Marks a refused change as dealt with.
///
/// # Errors
/// `NotFound`; the database's.
pub fn settle_refused(tx: &Transaction<'_>, id: i64) -> Result<()> {
    let _ = (tx, id);
    unimplemented!()
}

/// The device's own account.
///
/// # Errors
/// The database's.
pub fn account(conn: &Connection) -> Result<Account> {
    let _ = conn;
    unimplemented!()
}

/// Where a document's edits made here stand. A document never edited here counts as accepted.
///
/// # Errors
/// `NotFound`; the database's.
pub fn delivery(conn: &Connection, doc: DocId) -> Result<Delivery> {
    let _ = (conn, doc);
    unimplemented!()
}

/// A change and where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Item {
    /// The document.
    pub doc: DocRef,
    /// The change.
    pub hash: ChangeHash,
    /// Its size in bytes.
    pub size: u64,
    /// Its lane.
    pub lane: Lane,
    /// When it was queued.
    pub queued_at: Millis,
    /// How often it was sent without being decided.
    pub attempts: u32,
    /// The last error's stable code; empty where none.
    pub last_error: String,
}

/// Everything that waits, in the order it will be sent; at most `limit`.
///
/// # Errors
/// The database's.
pub fn items(conn: &Connection, limit: usize) -> Result<Vec<Item>> {
    let _ = (conn, limit);
    unimplemented!()
}

/// The office's read mark on a document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadMark {
    /// The heads that were shown.
    pub heads: Vec<ChangeHash>,
    /// When.
    pub at: Millis,
    /// By whom.
    pub by: StaffId,
}

/// The office's read mark on a document, if it has one.
///
/// # Errors
/// The database's.
pub fn read_mark(conn: &Connection, doc: DocId) -> Result<Option<ReadMark>> {
    let _ = (conn, doc);
    unimplemented!()
}

/// The lane of a change this device makes to a document of that kind.
pub fn lane_of(kind: Kind) -> Lane {
    match kind {
        Kind::Visit | Kind::Request | Kind::Statement => Lane::Work,
        _ => Lane::Rest,
    }
}
