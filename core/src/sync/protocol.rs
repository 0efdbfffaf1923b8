//! Wire messages: `POST /v1/sync`, CBOR both ways.
//!
//! Maps with short text keys; fields are only ever added, with defaults.
//! Unknown fields are passed over, so old and new versions talk.

use crate::domain::{ChangeHash, DeviceId, DocId, Kind, Millis, Role, Sha256, StaffId, TenantId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The protocol's version.
pub const VERSION: u32 = 1;
/// Largest request body in bytes.
pub const MAX_REQUEST: usize = 8 << 20;
/// Largest answer in bytes, about: one document more may be added.
pub const MAX_ANSWER: usize = 4 << 20;
/// Most changes in a request.
pub const MAX_CHANGES: usize = 10_000;
/// Most refused changes asked about in a request.
pub const MAX_UNDECIDED: usize = 200;
/// Most blobs asked about in a request.
pub const MAX_BLOBS: usize = 20_000;

/// Where a device stands in its company's log. Opaque to the device: `v1.epoch.n`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(pub String);

/// The digest of a set of (document, heads): XOR of SHA-256(doc id ‖ sorted heads).
/// Only documents whose heads the server has accepted take part.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Digest(#[serde(with = "serde_bytes")] pub [u8; 32]);

/// A device's message.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SyncRequest {
    /// Protocol version.
    pub v: u32,
    /// App version, for the office to see.
    pub app: String,
    /// Where the device stands; absent at the first sync.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Cursor>,
    /// The copy mark the last answer gave: a file restored from a copy echoes an old one.
    #[serde(with = "serde_bytes", skip_serializing_if = "Vec::is_empty")]
    pub mark: Vec<u8>,
    /// The device's clock, for the offset.
    pub clock: Millis,
    /// A part of the outbox.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub push: Vec<Push>,
    /// Digest of what the device holds at this cursor; absent while changes wait to be sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The device's own account of what waits.
    pub account: Account,
    /// Reconciliation, step by step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconcile: Option<Reconcile>,
    /// With [`Reconcile::Have`]: the ranges it lists whole, so that the server knows what the device lacks.
    #[serde(with = "serde_bytes", skip_serializing_if = "Vec::is_empty")]
    pub ranges: Vec<u8>,
    /// With [`Reconcile::Ranges`]: blobs the device holds that the server has acknowledged. Which
    /// of them it lost comes back in [`SyncAnswer::lost`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blobs: Vec<Sha256>,
    /// Most bytes the device wants in the answer; 0 for the server's own limit.
    pub budget: u64,
    /// Refused changes of which the device knows no decision; those there are come in
    /// [`SyncAnswer::decided`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Undecided>,
}

/// A refused change of which the device knows no decision.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Undecided {
    /// The document.
    pub doc: DocId,
    /// The change.
    pub hash: ChangeHash,
    /// The change its author wrote in its place: once the server has it, nobody need decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead: Option<ChangeHash>,
}

/// Changes to one document.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Push {
    /// The document.
    pub doc: DocId,
    /// Its kind.
    pub kind: Kind,
    /// The changes, each as its bytes, dependencies first.
    pub changes: Vec<serde_bytes::ByteBuf>,
    /// Heads the server once vouched for, and its seal over them: sent when
    /// re-pushing what a restored server lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<Sealed>,
}

/// A server's word that it had accepted a document at these heads: since a
/// head's hash covers its whole history, every change below it was accepted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sealed {
    /// The heads, sorted.
    pub heads: Vec<ChangeHash>,
    /// HMAC by the company's secret over (tenant, doc, heads).
    #[serde(with = "serde_bytes")]
    pub seal: Vec<u8>,
}

/// What waits on the device, by its own account.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Account {
    /// Changes not yet acknowledged.
    pub changes: u64,
    /// Blobs not yet acknowledged.
    pub blobs: u64,
    /// Their bytes.
    pub blob_bytes: u64,
    /// The oldest waiting item's time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest: Option<Millis>,
    /// Documents held.
    pub documents: u64,
}

/// Comparing what both sides hold, by ranges of document ids' hashes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reconcile {
    /// Step 1: the device's digest of each of the 256 ranges (by first byte of SHA-256(doc id)).
    Ranges(Vec<Digest>),
    /// Step 2: what the device holds in the ranges that differ.
    Have(Vec<Held>),
}

/// A document the device holds, with the heads it believes accepted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Held {
    /// The document.
    pub doc: DocId,
    /// Its kind.
    pub kind: Kind,
    /// Heads.
    pub heads: Vec<ChangeHash>,
}

/// The server's answer.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SyncAnswer {
    /// Protocol version.
    pub v: u32,
    /// The server's clock.
    pub clock: Millis,
    /// What became of each change pushed. Everything accepted here is durable.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub verdicts: Vec<Verdict>,
    /// Documents changed, or new to this device.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub docs: Vec<Delivery>,
    /// Documents that left the device's scope.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<DocId>,
    /// What the office has looked at, up to which heads.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub seen: Vec<Seen>,
    /// Where the device stands after taking this answer.
    pub cursor: Cursor,
    /// Copy mark to echo next time.
    #[serde(with = "serde_bytes")]
    pub mark: Vec<u8>,
    /// There is more: ask again at once.
    pub more: bool,
    /// How many documents are still to come, for progress; an estimate.
    pub remaining: u64,
    /// What the device must do besides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub orders: Vec<Order>,
    /// Of the blobs asked about, those the server has not: send them again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<Sha256>,
    /// Ranges that differ (step 1), or documents the server wants from `Have` (step 2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconcile: Option<ReconcileAnswer>,
    /// Of the refused changes asked about, those decided.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub decided: Vec<Decided>,
}

/// What was decided about a refused change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Decided {
    /// The document.
    pub doc: DocId,
    /// The change.
    pub hash: ChangeHash,
    /// `accepted`, `amended` or `dismissed` by the office; `rewritten` where its author wrote it again.
    pub verdict: String,
    /// By whom.
    pub by: StaffId,
    /// When.
    pub at: Millis,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// What became of a change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// The document.
    pub doc: DocId,
    /// The change.
    pub hash: ChangeHash,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// In the log, durably (now, or already before).
    Accepted,
    /// Refused; kept aside for the office to decide.
    SetAside {
        /// Stable code.
        code: String,
        /// The field concerned, if one.
        field: String,
        /// In words.
        detail: String,
    },
    /// Its actor's history has this number already: the device's file is a
    /// copy. Mint a new actor, write the edit again.
    ActorReused,
    /// These must come first: send them along.
    NeedDeps(Vec<ChangeHash>),
    /// Not looked at this time (the budget was spent, or one before it failed): send again.
    Later,
}

/// A document delivered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Delivery {
    /// The document.
    pub doc: DocId,
    /// Its kind.
    pub kind: Kind,
    /// A snapshot, for a document new to the device.
    #[serde(default, with = "serde_bytes", skip_serializing_if = "Vec::is_empty")]
    pub snapshot: Vec<u8>,
    /// Changes since what the device has (or since the snapshot).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<serde_bytes::ByteBuf>,
    /// The accepted heads after this delivery, sealed.
    pub sealed: Sealed,
}

/// A read mark of the office.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Seen {
    /// The document.
    pub doc: DocId,
    /// The heads that were shown.
    pub heads: Vec<ChangeHash>,
    /// When.
    pub at: Millis,
    /// By whom.
    pub by: StaffId,
}

/// What the device must do besides.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The file looks like a copy: mint a new actor before writing on.
    NewActor,
    /// Compare everything: the digests differ, or the server was restored.
    Reconcile,
    /// The device was revoked: send nothing, wipe. (Comes with HTTP 403 too.)
    Wipe,
}

/// The server's side of a reconciliation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReconcileAnswer {
    /// Step 1: these ranges differ.
    Differ(Vec<u8>),
    /// Step 2: the server lacks what the device has of these: push it, from these heads on.
    Want(Vec<Held>),
    /// Nothing differs.
    Same,
}

// ---- enrolment and tokens: JSON ----

/// `POST /v1/enrol`: a one-time code for a device's identity.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EnrolRequest {
    /// The code, as in the QR or typed.
    pub code: String,
    /// The device's public key.
    pub public_key: Vec<u8>,
    /// Its algorithm: `ed25519`.
    pub alg: String,
    /// Name for the office to see.
    pub name: String,
    /// Platform and app version.
    pub app: String,
}

/// The answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EnrolAnswer {
    /// The company.
    pub tenant: TenantId,
    /// Its name.
    pub company: String,
    /// This device.
    pub device: DeviceId,
    /// Its short code, for provisional numbers.
    pub device_code: String,
    /// Whose it is.
    pub staff: StaffId,
    /// Their roles, until the staff document comes.
    #[serde(default)]
    pub roles: BTreeSet<Role>,
}

/// `POST /v1/token/challenge` `{device}` answers a nonce.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Challenge {
    /// To be signed: `onsite-token-v1` ‖ device ‖ nonce.
    pub nonce: String,
}

/// `POST /v1/token`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TokenRequest {
    /// The device.
    pub device: DeviceId,
    /// The nonce.
    pub nonce: String,
    /// The signature, in hexadecimal.
    pub signature: String,
}

/// The answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TokenAnswer {
    /// Opaque bearer token.
    pub token: String,
    /// When it ends, by the server's clock.
    pub expires: Millis,
}

/// RFC 9457 problem details.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Problem {
    /// `about:blank`, or a page that explains.
    #[serde(rename = "type")]
    pub kind: String,
    /// In a few words.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// This case, in words.
    pub detail: String,
    /// Stable code.
    pub code: String,
    /// The field concerned, if one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

/// A blob as named on the wire.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BlobName(pub Sha256);
