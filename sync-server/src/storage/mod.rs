//! Where the ledger lives: a trait that says what is stored, not how.
//!
//! Everything is per company (tenant), and the tenant leads every key. One
//! [`Storage::commit`] does all of a push in one transaction under the
//! company's one counter row, so that the log has no gap and no reader ever
//! sees a number whose predecessor is not there yet. Nothing here interprets a
//! document: rows come ready from the ledger.

mod apply;
#[cfg(test)]
mod conformance;
mod memory;
mod sqlite;

use crate::error::{Error, Result};
use async_trait::async_trait;
pub use memory::MemoryStorage;
pub use sqlite::SqliteStorage;
use utoipa::ToSchema;

use onsite_core::document::Actor;
use onsite_core::domain::{
    ChangeHash, DeviceId, DocId, DocRef, Entity, Kind, Millis, Sha256, StaffId, TenantId, summary::Summary,
};
use onsite_core::sync::protocol::{Account, Digest, Held};
use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// The pseudo-person who reads what everybody gets (staff, settings).
pub use onsite_core::domain::summary::EVERYBODY;
/// The pseudo-company of records that are looked up before the company is known (tokens, sessions).
pub const GLOBAL: TenantId = TenantId(uuid::Uuid::nil());

/// A company.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Its name.
    pub name: String,
    /// Which life of the log this is: another after every restore, never used twice.
    pub epoch: u64,
    /// The last number of the log.
    pub head: u64,
    /// Key of the seals and marks. Stays the same across epochs.
    pub secret: [u8; 32],
    /// When it was created.
    pub created: Millis,
}

/// A document's line in the ledger.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DocRow {
    /// The document.
    pub doc: DocId,
    /// Its kind.
    pub kind: Kind,
    /// The log number of its last change.
    pub ver: u64,
    /// Its accepted heads, sorted.
    pub heads: Vec<ChangeHash>,
    /// Log number up to which the snapshot reaches; 0 where there is none.
    pub snapshot_upto: u64,
}

/// A document as stored: enough to load it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loaded {
    /// Its content.
    pub content: Content,
    /// Its snapshot.
    pub snapshot: Option<Vec<u8>>,
    /// Bytes of the later changes, in the log's order.
    pub tail: Vec<Vec<u8>>,
}

/// What the read model has of a document, without what lists show of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Content {
    /// The document.
    pub doc: DocRef,
    /// As [`View::ver`].
    pub ver: u64,
    /// As [`View::rev`].
    pub rev: u64,
    /// As [`View::heads`].
    pub heads: Vec<ChangeHash>,
    /// As [`View::entity`].
    pub entity: String,
    /// As [`View::clashes`].
    pub clashes: u32,
    /// As [`View::changed`].
    pub changed: Millis,
}

/// A row of the read model.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct View {
    /// Log number of the document's last change; given by the storage.
    pub ver: u64,
    /// How often this row was written. To write it, the number it was read
    /// with (0: new): if it moved, [`Error::Moved`].
    pub rev: u64,
    /// Accepted heads.
    pub heads: Vec<ChangeHash>,
    /// Its content as JSON of [`Entity`].
    pub entity: String,
    /// What lists show. `summary.search` comes back empty: it is only written.
    pub summary: Summary,
    /// How many leaves hold several concurrent values.
    pub clashes: u32,
    /// When it last changed, by the server's clock.
    pub changed: Millis,
    /// What whole-company questions need of it. Comes back empty: it is only written, and read by [`Storage::facts`].
    pub fact: Option<Fact>,
}

/// What rules ask of the read model.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Asked {
    /// Contents of documents.
    pub docs: BTreeSet<DocId>,
    /// Documents of a kind that hang on another.
    pub children: BTreeSet<(Kind, DocId)>,
    /// Documents whose readers read this one too (see [`DocWrite::over`]).
    pub linked_to: BTreeSet<DocId>,
    /// Members of staff, not those who left, whose work number this is.
    pub coded: BTreeSet<String>,
}

/// The answers to [`Asked`], each list by id.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Answers {
    /// Those that exist.
    pub contents: Vec<Content>,
    /// For each that was asked.
    pub children: BTreeMap<(Kind, DocId), Vec<DocId>>,
    /// For each that was asked.
    pub linked_to: BTreeMap<DocId, Vec<DocId>>,
    /// For each that was asked.
    pub coded: BTreeMap<String, Vec<StaffId>>,
}

/// What whole-company questions need of a document, kept beside its row; opaque here.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Fact {
    /// When it begins, of kinds that have a time.
    pub starts: Option<Millis>,
    /// When it ends.
    pub ends: Option<Millis>,
    /// As JSON.
    pub body: String,
}

/// A [`Fact`] as kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FactRow {
    /// The document.
    pub doc: DocId,
    /// Its state.
    pub status: String,
    /// What is kept.
    pub fact: Fact,
}

/// Which facts are wanted. All conditions hold together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FactQuery {
    /// Of this kind.
    pub kind: Kind,
    /// In one of these states; in any where empty.
    pub statuses: Vec<String>,
    /// Beginning from the first moment on and before the second.
    pub starts: Option<(Millis, Millis)>,
}

impl FactQuery {
    /// Everything of a kind.
    pub fn all(kind: Kind) -> Self {
        Self { kind, statuses: Vec::new(), starts: None }
    }
}

/// Which refused changes are wanted, newest first. All conditions hold together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AsideQuery {
    /// Only those nobody has decided.
    pub open: bool,
    /// Only of this device.
    pub device: Option<DeviceId>,
    /// Goes on after this place.
    pub after: Option<AsidePlace>,
    /// At most so many.
    pub limit: usize,
}

/// The place of a refused change among all, newest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct AsidePlace(pub Reverse<Millis>, pub DocId, pub ChangeHash);

impl From<&SetAside> for AsidePlace {
    fn from(row: &SetAside) -> Self {
        Self(Reverse(row.at), row.doc, row.hash)
    }
}

/// The rows of a list in one state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Column {
    /// The state.
    pub status: String,
    /// How many there are.
    pub count: u64,
    /// The first of them, in the order of [`Key`].
    pub rows: Vec<View>,
}

/// What waits for the office outside of documents' own states.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Waiting {
    /// Documents with clashes.
    pub clashing: u64,
    /// Refused changes nobody has decided, by the device they came from.
    pub refused: BTreeMap<DeviceId, u64>,
}

/// Syncs of a device that are kept.
pub const NOTES: usize = 50;

/// One sync of a device, as the server saw it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct SyncNote {
    /// When, by the server's clock.
    pub at: Millis,
    /// App version.
    pub app: String,
    /// Server clock minus device clock, in milliseconds.
    pub offset: i64,
    /// Changes brought.
    pub pushed: u64,
    /// Of them accepted.
    pub accepted: u64,
    /// Of them refused.
    pub refused: u64,
    /// Documents sent.
    pub delivered: u64,
    /// Bytes of the request's body, as it came.
    pub bytes_in: u64,
    /// Bytes of the answer's body, before it is compressed.
    pub bytes_out: u64,
    /// Changes that still wait on it, by its own account.
    pub unsent: u64,
    /// Stable code of what went wrong; empty where it went well.
    pub error: String,
}

impl SyncNote {
    /// Whether nothing was brought or sent, and nothing went wrong.
    pub fn idle(&self) -> bool {
        self.pushed == 0 && self.delivered == 0 && self.error.is_empty()
    }
}

impl Content {
    /// The content.
    pub fn entity(&self) -> Result<Entity> {
        Ok(Entity::from_json(self.doc.kind, &self.entity)?)
    }

    /// Its row, where lists are to show this.
    pub fn shown(self, summary: Summary, fact: Option<Fact>) -> View {
        let Self { doc: _, ver, rev, heads, entity, clashes, changed } = self;
        View { ver, rev, heads, entity, summary, clashes, changed, fact }
    }
}

impl View {
    /// The content.
    pub fn entity(&self) -> Result<Entity> {
        Ok(Entity::from_json(self.summary.doc.kind, &self.entity)?)
    }
}

/// A change to be appended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewChange {
    /// Its identity.
    pub hash: ChangeHash,
    /// Its author's actor.
    pub actor: Actor,
    /// Its place in the actor's history of this document.
    pub seq: u64,
    /// The device that brought it; nil for the server itself.
    pub device: DeviceId,
    /// Its bytes as they came.
    pub body: Vec<u8>,
}

/// A change in the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogRow {
    /// Its number.
    pub cursor: u64,
    /// Its document.
    pub doc: DocId,
    /// Its kind.
    pub kind: Kind,
    /// Its identity.
    pub hash: ChangeHash,
    /// The device that brought it; nil for the server itself.
    pub device: DeviceId,
    /// Its bytes; empty for a read mark's number.
    pub body: Vec<u8>,
    /// When the server took it.
    pub received: Millis,
}

/// What a commit does to one document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DocWrite {
    /// The document.
    pub doc: DocId,
    /// Its kind.
    pub kind: Kind,
    /// The `ver` all this was computed from; 0 for a new document. If it moved: [`Error::Moved`].
    pub expect: u64,
    /// Changes to append, dependencies first. At least one.
    pub changes: Vec<NewChange>,
    /// The heads after them, sorted.
    pub heads: Vec<ChangeHash>,
    /// A snapshot of all that, where one is due: replaces the old one.
    pub snapshot: Option<Vec<u8>>,
    /// The read model's row.
    pub view: View,
    /// Who reads it of its own account (not because it hangs on another); [`EVERYBODY`] for all.
    pub readers: BTreeSet<StaffId>,
    /// Documents whose readers shall read this one too, now and later.
    pub under: BTreeSet<DocId>,
    /// Documents that this one's readers shall read too, now and later.
    pub over: BTreeSet<DocId>,
}

/// A refused change, kept for the office to decide.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SetAside {
    /// The document.
    pub doc: DocId,
    /// Its kind.
    pub kind: Kind,
    /// The change: with the document, this row's key.
    pub hash: ChangeHash,
    /// Who sent it.
    pub staff: StaffId,
    /// From which device.
    pub device: DeviceId,
    /// Stable code of the reason.
    pub code: String,
    /// The field concerned, if one.
    pub field: String,
    /// In words.
    pub detail: String,
    /// The refused change it depends on, if that is the reason.
    pub because_of: Option<ChangeHash>,
    /// Its bytes.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
    /// When it came.
    pub at: Millis,
    /// The office's decision, once there is one.
    pub decided: Option<AsideDecision>,
}

/// What the office decided about a refused change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AsideDecision {
    /// `accepted`, `amended` or `dismissed`.
    pub verdict: String,
    /// By whom.
    pub by: StaffId,
    /// When.
    pub at: Millis,
    /// Why.
    pub reason: String,
}

/// An entry of the audit chain, before it is chained.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Audit {
    /// When.
    pub at: Millis,
    /// Who; nil for the server itself.
    pub by: StaffId,
    /// What, such as `set_aside.accept`.
    pub action: String,
    /// On what.
    pub subject: String,
    /// More, as JSON.
    pub detail: serde_json::Value,
}

/// An entry of the audit chain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AuditRow {
    /// Its number, from 1.
    pub n: u64,
    /// The entry as JSON, exactly as hashed.
    pub entry: String,
    /// SHA-256 of the previous entry's hash and this entry.
    pub hash: Sha256,
}

/// The next link of the audit chain.
pub fn audit_hash(previous: Sha256, entry: &str) -> Sha256 {
    let mut h = sha2::Sha256::new();
    h.update(previous.0);
    h.update(entry.as_bytes());
    Sha256(h.finalize().into())
}

/// A step of a counter: refused with [`Error::Moved`] where it does not stand at `from`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CounterStep {
    /// Such as `work_order/2026`.
    pub name: String,
    /// Where it must stand (0: never used).
    pub from: u64,
    /// Where it stands after.
    pub to: u64,
}

/// A command's key and what was answered: asking again answers the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Idempotent {
    /// The key, unique in the company.
    pub key: String,
    /// The answer as JSON.
    pub answer: String,
}

/// Everything of one push (or command), committed together or not at all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Batch {
    /// The server's clock.
    pub now: Millis,
    /// The device it comes from: it must not be revoked ([`Error::Revoked`]).
    pub device: Option<DeviceId>,
    /// Documents, each at most once.
    pub docs: Vec<DocWrite>,
    /// Rows of the read model that change although their document does not.
    pub touched: Vec<View>,
    /// Refused changes. One already there stays as it is.
    pub aside: Vec<SetAside>,
    /// Most undecided refused changes of [`Batch::device`]; more are not taken
    /// ([`Error::Quota`]). 0: as many as come.
    pub aside_quota: u64,
    /// Decisions on refused changes: by document and hash. [`Error::Conflict`] where there is one already.
    pub decisions: Vec<(DocId, ChangeHash, AsideDecision)>,
    /// Counters.
    pub counters: Vec<CounterStep>,
    /// Audit entries.
    pub audit: Vec<Audit>,
    /// The command's key. [`Error::Conflict`] where it is there already.
    pub idempotent: Option<Idempotent>,
    /// The device's account after this sync.
    pub device_sync: Option<DeviceSync>,
    /// Devices to add or replace. [`Error::Conflict`] (`device_code_taken`) where another has its code.
    pub devices: Vec<Device>,
    /// Records to put. [`Error::Moved`] where one is not as it must be.
    pub records: Vec<RecordWrite>,
}

impl Batch {
    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        *self == Self { now: self.now, device: self.device, aside_quota: self.aside_quota, ..Self::default() }
    }
}

/// What a commit did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Committed {
    /// The last number of the log after it.
    pub head: u64,
    /// Everybody whose scope has something new ([`EVERYBODY`] among them, maybe).
    pub people: BTreeSet<StaffId>,
}

/// Where a scan goes on: after this number and, within it, after this document.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    /// Log number.
    pub ver: u64,
    /// Within it; absent: all of that number is done.
    pub doc: Option<DocId>,
}

/// A document in somebody's scope that has something new.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScopeRow {
    /// The document.
    pub doc: DocId,
    /// Its kind.
    pub kind: Kind,
    /// When anything about it last changed for this person: sorts the scan.
    pub ver: u64,
    /// When it entered this person's scope.
    pub since: u64,
    /// Whether it left.
    pub left: bool,
    /// The log number of its last change.
    pub doc_ver: u64,
    /// What the office has looked at.
    pub seen: Option<ReadMark>,
}

/// A read mark of the office.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReadMark {
    /// The heads that were shown.
    pub heads: Vec<ChangeHash>,
    /// When.
    pub at: Millis,
    /// By whom.
    pub by: StaffId,
    /// Its log number (given by the storage).
    pub ver: u64,
}

/// What is new for somebody.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Scan {
    /// The log's epoch.
    pub epoch: u64,
    /// The log's last number, read in the same instant.
    pub head: u64,
    /// Rows in the order of (`ver`, `doc`).
    pub rows: Vec<ScopeRow>,
    /// Rows after those, where there are more than asked for.
    pub remaining: u64,
    /// Digest of everything in this person's scope (with [`EVERYBODY`]'s).
    pub digest: Digest,
}

/// What is wanted of a document.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Want {
    /// The document.
    pub doc: DocId,
    /// Changes after this log number; absent: snapshot and tail.
    pub after: Option<u64>,
}

/// The bytes of a document, with the heads they lead to, read in one instant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bodies {
    /// Its line.
    pub row: DocRow,
    /// The snapshot, where the whole was wanted and there is one.
    pub snapshot: Option<Vec<u8>>,
    /// The changes: number, device and bytes.
    pub changes: Vec<(u64, DeviceId, Vec<u8>)>,
}

/// A phone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// Whose it is.
    pub staff: StaffId,
    /// Short code for provisional numbers, unique in the company.
    pub code: String,
    /// Name for the office to see.
    pub name: String,
    /// Its public key.
    pub public_key: Vec<u8>,
    /// The key's algorithm.
    pub alg: String,
    /// Platform and app version at enrolment.
    pub app: String,
    /// When it was enrolled.
    pub enrolled: Millis,
    /// When it was revoked, if it was.
    pub revoked: Option<Millis>,
}

/// A device's account with the server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeviceSync {
    /// The device.
    pub device: DeviceId,
    /// Last contact, by the server's clock.
    pub contact: Millis,
    /// App version at it.
    pub app: String,
    /// Server clock minus device clock at it, in milliseconds.
    pub offset: i64,
    /// The cursor it was given.
    pub cursor: String,
    /// What waits on it, by its own account.
    pub account: Account,
    /// How many pushes it has made: its copy mark's number.
    pub pushes: u64,
    /// Some hashes of its last push: a retry repeats them, a copy does not.
    pub last_push: Vec<ChangeHash>,
    /// Own changes up to this log number are delivered to it again: it is a copy that lacks them.
    pub own_upto: u64,
}

/// A blob's line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BlobRow {
    /// Its hash.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub size: u64,
    /// Whether it is complete and durable.
    pub complete: bool,
    /// Bytes received so far.
    pub received: u64,
    /// Where its parts are, for the blob store; opaque here.
    pub state: String,
    /// Who brought it.
    pub device: DeviceId,
    /// When it was begun.
    pub created: Millis,
}

/// A small record: sessions, tokens, codes, users, nonces.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Its key.
    pub key: String,
    /// Its JSON.
    pub body: serde_json::Value,
    /// When it ends, if it does: it is as if absent from then on.
    pub expires: Option<Millis>,
    /// Version for compare-and-set; given by the storage, from 1.
    pub ver: u64,
}

/// A record put together with other things.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordWrite {
    /// Whose; [`GLOBAL`] where it is looked up before the company is known.
    pub tenant: TenantId,
    /// Its table.
    pub table: String,
    /// The record.
    pub record: Record,
    /// As in [`Storage::put_record`].
    pub expect: Option<u64>,
}

/// What list is wanted. All conditions hold together.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Query {
    /// Of this kind.
    pub kind: Option<Kind>,
    /// In this state.
    pub status: Option<String>,
    /// Hanging on this document.
    pub parent: Option<DocId>,
    /// Concerning this person.
    pub person: Option<StaffId>,
    /// Due at or after.
    pub due_from: Option<Millis>,
    /// Due before.
    pub due_before: Option<Millis>,
    /// Only with clashes.
    pub clashes: bool,
    /// Only with a flag.
    pub flagged: bool,
    /// Containing all these words (see [`onsite_core::domain::words`]).
    pub search: Option<String>,
    /// The other way round: the latest first.
    pub latest: bool,
    /// Goes on after this row of the last page.
    pub after: Option<Key>,
    /// Most rows; 0: 50. At most 1000.
    pub limit: usize,
}

/// A row's place in a list: by due time (those without last), then id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Key {
    /// Due, or `i64::MAX`.
    pub due: i64,
    /// The document.
    pub doc: DocId,
}

impl Query {
    /// Whether a place comes after the last page's.
    fn beyond(&self, key: Key) -> bool {
        self.after.is_none_or(|after| if self.latest { key < after } else { key > after })
    }

    /// Rows per page.
    pub fn page(&self) -> usize {
        match self.limit {
            0 => 50,
            n => n.min(1000),
        }
    }
}

impl View {
    /// Its place in a list.
    pub fn key(&self) -> Key {
        Key { due: self.summary.due.map_or(i64::MAX, |d| d.0), doc: self.summary.doc.id }
    }
}

/// The server's memory. Every call is one transaction.
#[async_trait]
pub trait Storage: Send + Sync + 'static {
    // ---- companies ----
    /// Creates a company. [`Error::Conflict`] where the id is taken.
    async fn create_tenant(&self, tenant: Tenant) -> Result<()>;
    /// A company.
    async fn tenant(&self, id: TenantId) -> Result<Option<Tenant>>;
    /// All companies, by id.
    async fn tenants(&self) -> Result<Vec<Tenant>>;
    /// Starts another epoch.
    async fn set_epoch(&self, id: TenantId, epoch: u64) -> Result<()>;

    // ---- the log ----
    /// Documents as stored, those that exist, in the order asked.
    async fn load(&self, tenant: TenantId, docs: &[DocId]) -> Result<Vec<Loaded>>;
    /// Commits a push or command: all or nothing, durable on return.
    async fn commit(&self, tenant: TenantId, batch: Batch) -> Result<Committed>;
    /// What is new in a person's scope after `place`, at most `limit` rows.
    /// Left documents come only where `place` lies after the beginning.
    async fn scan(&self, tenant: TenantId, staff: StaffId, place: Place, limit: usize) -> Result<Scan>;
    /// Bytes of documents, those that exist, in the order asked.
    async fn bodies(&self, tenant: TenantId, wants: &[Want]) -> Result<Vec<Bodies>>;
    /// Keeps snapshots of documents as they were at these log numbers, unless newer ones are there:
    /// a cache, so that one that is not kept costs time only.
    async fn put_snapshots(&self, _tenant: TenantId, _snapshots: Vec<(DocId, u64, Vec<u8>)>) -> Result<()> {
        Ok(())
    }
    /// Everything in a person's scope (with [`EVERYBODY`]'s) whose [`range`] is one of these, with
    /// its accepted heads, by document.
    async fn held_in(&self, tenant: TenantId, staff: StaffId, ranges: &BTreeSet<u8>) -> Result<Vec<Held>>;
    /// Everything in a person's scope with its accepted heads (with [`EVERYBODY`]'s), by document.
    async fn held(&self, tenant: TenantId, staff: StaffId) -> Result<Vec<Held>> {
        self.held_in(tenant, staff, &(0..=255).collect()).await
    }
    /// The digest of each of the 256 [`range`]s of a person's scope (with [`EVERYBODY`]'s).
    async fn range_digests(&self, tenant: TenantId, staff: StaffId) -> Result<Vec<Digest>>;
    /// Whether all these are changes of the document in the log.
    async fn knows(&self, tenant: TenantId, doc: DocId, hashes: &[ChangeHash]) -> Result<bool>;
    /// Whether the document is in the person's scope (with [`EVERYBODY`]'s).
    async fn in_scope(&self, tenant: TenantId, staff: StaffId, doc: DocId) -> Result<bool>;
    /// The log after a number: every number once, read marks with an empty body.
    async fn log(&self, tenant: TenantId, after: u64, limit: usize) -> Result<Vec<LogRow>>;
    /// Changes of one document, in the log's order.
    async fn history(&self, tenant: TenantId, doc: DocId) -> Result<Vec<LogRow>>;
    /// Records that the office looked at a document; takes a log number so that it reaches the phones.
    async fn mark_seen(&self, tenant: TenantId, doc: DocId, mark: ReadMark) -> Result<Committed>;
    /// Where a counter stands.
    async fn counter(&self, tenant: TenantId, name: &str) -> Result<u64>;

    // ---- refused changes ----
    /// Refused changes of these documents, by (document, hash).
    async fn aside_of(&self, tenant: TenantId, docs: &[DocId]) -> Result<Vec<SetAside>>;
    /// Refused changes, newest first.
    async fn aside(&self, tenant: TenantId, query: &AsideQuery) -> Result<Vec<SetAside>>;

    // ---- read model ----
    /// Rows of documents, those that exist, in the order asked.
    async fn views(&self, tenant: TenantId, docs: &[DocId]) -> Result<Vec<View>>;
    /// Documents of a kind that hang on `parent`, by id.
    async fn children(&self, tenant: TenantId, kind: Kind, parent: DocId) -> Result<Vec<DocId>>;
    /// A list, in the order of [`Key`].
    async fn list(&self, tenant: TenantId, query: &Query) -> Result<Vec<View>>;
    /// A list by state: how many rows are in each, and the first of them, as many as a page has.
    async fn columns(&self, tenant: TenantId, query: &Query) -> Result<Vec<Column>>;
    /// What rules ask, all answered from one moment.
    async fn ask(&self, tenant: TenantId, asked: &Asked) -> Result<Answers>;
    /// The facts of documents, by id.
    async fn facts(&self, tenant: TenantId, query: &FactQuery) -> Result<Vec<FactRow>>;
    /// The flags of every row that has some, by kind and document.
    async fn flags(&self, tenant: TenantId) -> Result<Vec<(DocRef, Vec<String>)>>;
    /// What waits for the office.
    async fn waiting(&self, tenant: TenantId) -> Result<Waiting>;
    /// How many documents of a kind are in each state.
    async fn counts(&self, tenant: TenantId, kind: Kind) -> Result<Vec<(String, u64)>>;
    /// A command's earlier answer.
    async fn answered(&self, tenant: TenantId, key: &str) -> Result<Option<String>>;

    // ---- devices ----
    /// Adds or replaces a device. [`Error::Conflict`] (`device_code_taken`) where another has its code.
    async fn put_device(&self, tenant: TenantId, device: Device) -> Result<()>;
    /// A device.
    async fn device(&self, tenant: TenantId, id: DeviceId) -> Result<Option<Device>>;
    /// All devices of a company with their accounts, by id.
    async fn devices(&self, tenant: TenantId) -> Result<Vec<(Device, Option<DeviceSync>)>>;
    /// Finds the company of a device.
    async fn device_tenant(&self, id: DeviceId) -> Result<Option<TenantId>>;
    /// A device's account.
    async fn device_sync(&self, tenant: TenantId, id: DeviceId) -> Result<Option<DeviceSync>>;
    /// Replaces a device's account.
    async fn put_device_sync(&self, tenant: TenantId, sync: DeviceSync) -> Result<()>;

    /// Appends to what is known of devices' syncs; of each the last [`NOTES`] stay.
    async fn put_sync_notes(&self, notes: Vec<(TenantId, DeviceId, SyncNote)>) -> Result<()>;
    /// A device's last syncs, newest first.
    async fn sync_notes(&self, tenant: TenantId, device: DeviceId) -> Result<Vec<SyncNote>>;

    // ---- registry ----
    /// Puts a record. `expect`: `None` whatever is there; `Some(0)` only if
    /// nothing is; `Some(v)` only over that version. `false`: not put.
    async fn put_record(
        &self,
        tenant: TenantId,
        table: &str,
        record: Record,
        expect: Option<u64>,
        now: Millis,
    ) -> Result<bool>;
    /// A record that has not ended.
    async fn record(&self, tenant: TenantId, table: &str, key: &str, now: Millis) -> Result<Option<Record>>;
    /// Records that have not ended, by key, after `after`.
    async fn records(
        &self,
        tenant: TenantId,
        table: &str,
        after: &str,
        limit: usize,
        now: Millis,
    ) -> Result<Vec<Record>>;
    /// Records under [`GLOBAL`] that have not ended and whose `tenant` is this company, by key.
    async fn records_of(&self, company: TenantId, table: &str, now: Millis) -> Result<Vec<Record>>;
    /// Takes a record out and answers it, if it was there and had not ended.
    async fn take_record(&self, tenant: TenantId, table: &str, key: &str, now: Millis) -> Result<Option<Record>>;
    /// Drops what has ended. Answers how many.
    async fn expire_records(&self, now: Millis) -> Result<u64>;

    // ---- blobs ----
    /// Adds or replaces a blob's line.
    async fn put_blob(&self, tenant: TenantId, blob: BlobRow) -> Result<()>;
    /// A blob's line.
    async fn blob(&self, tenant: TenantId, sha256: Sha256) -> Result<Option<BlobRow>>;
    /// Takes a blob's line out.
    async fn drop_blob(&self, tenant: TenantId, sha256: Sha256) -> Result<()>;

    // ---- audit ----
    /// Appends to the audit chain.
    async fn audit(&self, tenant: TenantId, entries: Vec<Audit>) -> Result<()>;
    /// The chain after an entry.
    async fn audit_log(&self, tenant: TenantId, after: u64, limit: usize) -> Result<Vec<AuditRow>>;

    // ---- keeping ----
    /// Whether it can be read and written (for `/readyz`).
    async fn ready(&self) -> Result<()>;
    /// Writes a consistent copy to a file, while serving. [`Error::Bad`] where the storage has none.
    async fn backup(&self, to: &std::path::Path) -> Result<()>;
}

/// The digest of one document: SHA-256(doc id ‖ sorted heads).
pub fn doc_digest(doc: DocId, heads: &[ChangeHash]) -> Digest {
    let mut h = sha2::Sha256::new();
    h.update(doc.as_bytes());
    for head in heads {
        h.update(head.0);
    }
    Digest(h.finalize().into())
}

/// XORs `b` into `a`.
pub fn xor(a: &mut Digest, b: Digest) {
    for (x, y) in a.0.iter_mut().zip(b.0) {
        *x ^= y;
    }
}

/// Verifies an audit chain from its beginning. A chain that ends early holds too: only
/// who wrote its last number and hash down elsewhere can tell.
pub fn audit_holds(rows: &[AuditRow]) -> bool {
    let mut previous = Sha256([0; 32]);
    rows.iter().enumerate().all(|(i, row)| {
        let good = row.n == i as u64 + 1 && row.hash == audit_hash(previous, &row.entry);
        previous = row.hash;
        good
    })
}

/// The range a document is compared in: the first byte of SHA-256(doc id).
pub fn range(doc: DocId) -> u8 {
    sha2::Sha256::digest(doc.as_bytes())[0]
}
