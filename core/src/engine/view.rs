//! What the queries answer: plain serialisable structs, nothing to look up.

use crate::document::Clash;
use crate::domain::entitlement::Entitled;
use crate::domain::stage::{Contradiction, Stage};
use crate::domain::summary::Summary;
use crate::domain::{ChangeHash, Date, DeviceId, DocRef, Entity, Millis, Role, Sha256, StaffId, TenantId, VisitId};
use crate::store::outbox::Delivery;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Whose this device is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
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
    /// The person.
    pub staff: StaffId,
    /// Their roles: of the staff document, or before it is here as given at enrolment.
    pub roles: BTreeSet<Role>,
}

/// What a command did.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Executed {
    /// The documents that changed; empty where everything was so already.
    pub docs: Vec<DocRef>,
}

/// A line of a list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Line {
    /// The row.
    pub summary: Summary,
    /// Where this device's edits to it stand.
    pub delivery: Delivery,
}

/// A part of a list.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Page {
    /// The lines.
    pub lines: Vec<Line>,
    /// Ask with this for the next part; absent at the end.
    pub next: Option<String>,
}

/// A job of the day.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Job {
    /// The work order's row.
    pub line: Line,
    /// The visit of its current dispatch: the id to command with, whether or not it exists yet.
    pub visit: VisitId,
    /// Where it stands.
    pub stage: Stage,
    /// Latest arrival.
    pub arrival_deadline: Option<Millis>,
    /// Planned to begin.
    pub planned_start: Option<Millis>,
    /// 客户名称
    pub customer_name: String,
    /// 地址
    pub service_address: String,
    /// 联系电话
    pub contact_phone: String,
}

/// The day's work.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Today {
    /// The day.
    pub day: Date,
    /// Jobs due that day, and what is still open from earlier or without a date; earliest first.
    pub jobs: Vec<Job>,
    /// Own requests nobody has answered with a work order.
    pub requests: Vec<Line>,
}

/// Everything about one document.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Detail {
    /// Its row.
    pub summary: Summary,
    /// Its content.
    pub entity: Entity,
    /// Leaves with several values.
    pub clashes: Vec<Clash>,
    /// How far it has got.
    pub delivery: Delivery,
    /// Its heads: what was looked at (for `EditText`, `Sign`).
    pub heads: Vec<ChangeHash>,
    /// What merges did, one sentence each.
    pub explanations: Vec<Explanation>,
    /// Where the job stands (work orders, visits, requests).
    pub stage: Option<Stage>,
    /// Facts that contradict each other.
    pub contradictions: Vec<Contradiction>,
    /// 客户属性 (work orders, visits).
    pub entitlement: Option<Entitled>,
    /// Hash of what is to be signed: form 1 of a work order, form 2 of a visit.
    pub content: Option<Sha256>,
    /// Edits of this document that were refused.
    pub refused: Vec<RefusedEdit>,
    /// The visits of a work order, the current one last.
    pub visits: Vec<VisitId>,
}

/// One sentence about a merge: a message key and what to put in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Explanation {
    /// Message key, such as `merge.clash`.
    pub key: String,
    /// What to put in: `field`, `who`, `at` (ms), `other`, `other_at` (ms).
    pub args: BTreeMap<String, String>,
}

/// One change of a document's history.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// The change.
    pub change: ChangeHash,
    /// Who.
    pub by: Option<StaffId>,
    /// Their name, where known here.
    pub name: String,
    /// On which device.
    pub device: Option<DeviceId>,
    /// When, by its author's best estimate.
    pub at: Millis,
    /// The leaves it changed, at most a hundred.
    pub paths: Vec<String>,
    /// How far it has got.
    pub delivery: Delivery,
}

/// A document with clashes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClashedDoc {
    /// Its row.
    pub summary: Summary,
    /// Its clashes.
    pub clashes: Vec<Clash>,
}

/// An edit that was refused. Both versions are kept.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RefusedEdit {
    /// Names it in `resend`, `amend`, `dismiss`.
    pub id: i64,
    /// The document.
    pub doc: DocRef,
    /// The change.
    pub change: ChangeHash,
    /// Why: stable code; also the message key `reject.<code>`.
    pub code: String,
    /// The field concerned, if one.
    pub field: String,
    /// In words.
    pub detail: String,
    /// When it was made.
    pub at: Millis,
    /// When it was refused, by the device's clock.
    pub refused: Millis,
    /// The leaves it set: as written here, and as they stand without it (JSON).
    pub leaves: Vec<RefusedLeaf>,
    /// What the office decided, once it is known here: to be noted by `dismiss`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<RefusedDecision>,
}

/// What the office decided about a refused edit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RefusedDecision {
    /// `accepted`, `amended` or `dismissed`; also the message key `aside.<verdict>`.
    pub verdict: String,
    /// Who decided; their name, where known here.
    pub who: String,
    /// Why.
    pub reason: String,
    /// When, by the server's clock.
    pub at: Millis,
}

/// One leaf of a refused edit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RefusedLeaf {
    /// Its path.
    pub path: String,
    /// As written here.
    pub mine: serde_json::Value,
    /// As it stands.
    pub stands: serde_json::Value,
}

/// The badge: what waits, and whether the phone may be handed in.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Status {
    /// Whether the device is enrolled.
    pub enrolled: bool,
    /// Changes the server has not acknowledged.
    pub unsent_changes: u64,
    /// Photos and other blobs not yet acknowledged.
    pub blobs_waiting: u64,
    /// Their bytes still to go.
    pub blob_bytes_waiting: u64,
    /// Refused edits nobody has dealt with.
    pub refused: u64,
    /// Documents with clashes.
    pub clashed: u64,
    /// The oldest unsent item's time.
    pub oldest_unsent: Option<Millis>,
    /// When the server last answered.
    pub last_contact: Option<Millis>,
    /// Stable code of the last try's error; empty where it went well.
    pub last_error: String,
    /// Server clock minus device clock in ms, and its doubt.
    pub clock_offset: Option<(i64, i64)>,
    /// Documents held.
    pub documents: u64,
    /// Documents still to come at the first sync; an estimate.
    pub remaining: u64,
    /// A provable yes or no.
    pub safe_to_hand_in: bool,
    /// Why not, where not: message keys `unsafe.*`.
    pub reasons: Vec<String>,
}

/// Is everything here that the day needs?
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ReadyToLeave {
    /// Yes.
    pub ready: bool,
    /// What is missing.
    pub missing: Vec<Missing>,
    /// Bytes still to come.
    pub bytes: u64,
    /// Estimated milliseconds to fetch them, at the last measured speed; absent where never measured.
    pub estimate_ms: Option<i64>,
}

/// Something the day needs and this phone lacks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Missing {
    /// Message key: `missing.first_sync`, `missing.documents`, `missing.customer`, `missing.photo`, `missing.stale`.
    pub key: String,
    /// The document that needs it, if one.
    pub doc: Option<DocRef>,
    /// Bytes, if known.
    pub bytes: u64,
}

/// A blob that was stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StoredBlob {
    /// Its name: what `AddPhoto` links.
    pub blob: Sha256,
    /// Its size in bytes.
    pub size: i64,
}

/// What a rescue file brought.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Imported {
    /// Documents with edits taken over.
    pub docs: Vec<DocRef>,
    /// Edits written again as this device's own.
    pub changes: u64,
    /// Blobs taken over.
    pub blobs: u64,
    /// Edits that could not be taken over, with the reason.
    pub failed: Vec<(DocRef, String)>,
}

/// What the customer sees before signing: named in `Command::Sign`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ToSign {
    /// The document's heads.
    pub heads: Vec<ChangeHash>,
    /// The content's hash.
    pub content: Sha256,
}
