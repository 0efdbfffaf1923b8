//! What screens show, as the core's queries answer it.

use crate::mirror::{Day, Doc, Id, Mirror, When, record};
use crate::records::Content;
use crate::words::{Delivery, Entitlement, Kind, Role, Stage};
use onsite_core::domain::entitlement::Entitled as CoreEntitled;
use onsite_core::domain::{forms_content::SignatureState, stage, summary};
use onsite_core::{document, engine, sync::session};
use std::collections::BTreeMap;
use std::time::SystemTime;

record! {
    /// Whose this device is.
    Identity of engine::Identity {
        /// The company.
        tenant: Id,
        /// Its name.
        company: String,
        /// The server's address, as enrolled with.
        server: String,
        /// This device.
        device: Id,
        /// Its short code, for provisional numbers.
        device_code: String,
        /// The person.
        staff: Id,
        /// Their roles.
        roles: Vec<Role>,
    }
}

record! {
    /// The row of a list.
    Row of summary::Summary {
        /// The document.
        doc: Doc,
        /// What it hangs on.
        parent: Option<Id>,
        /// Final number, or provisional while there is none; empty for kinds without.
        number: String,
        /// The line's head, such as the customer's name.
        title: String,
        /// The line's second line.
        subtitle: String,
        /// The stage's or state's stable word; empty for kinds without.
        status: String,
        /// When it is due or planned.
        due: Option<SystemTime>,
        /// Whom it concerns.
        people: Vec<Id>,
        /// Keys of what somebody should look at.
        flags: Vec<String>,
    }
}

record! {
    /// A line of a list.
    Line of engine::Line {
        /// The row.
        summary: Row,
        /// Where this device's edits to it stand.
        delivery: Delivery,
    }
}

record! {
    /// A part of a list.
    Page of engine::Page {
        /// The lines.
        lines: Vec<Line>,
        /// Ask with this for the next part; absent at the end.
        next: Option<String>,
    }
}

record! {
    /// A job of the day.
    JobCard of engine::Job {
        /// The work order's row.
        line: Line,
        /// The visit of its current dispatch: the id to command with, whether or not it exists yet.
        visit: Id,
        /// Where it stands.
        stage: Stage,
        /// Latest arrival.
        arrival_deadline: Option<SystemTime>,
        /// Planned to begin.
        planned_start: Option<SystemTime>,
        /// 客户名称
        customer_name: String,
        /// 地址
        service_address: String,
        /// 联系电话
        contact_phone: String,
    }
}

record! {
    /// The day's work.
    Today of engine::Today {
        /// The day.
        day: Day,
        /// Jobs due that day, and what is still open from earlier or without a date; earliest first.
        jobs: Vec<JobCard>,
        /// Own requests nobody has answered with a work order.
        requests: Vec<Line>,
    }
}

record! {
    /// One of several values of a leaf.
    ClashValue of document::ClashValue {
        /// The change that set it: names the value in `ChooseClash`.
        change: String,
        /// The value as JSON.
        value: String,
        /// The person, where known.
        by: Option<Id>,
        /// The device.
        device: Option<Id>,
        /// When, by its author's best estimate.
        at: SystemTime,
        /// Whether reads show this one.
        shown: bool,
    }
}

record! {
    /// A leaf that several people set at once.
    Clash of document::Clash {
        /// The leaf, such as `outcome`.
        path: String,
        /// Every value.
        values: Vec<ClashValue>,
    }
}

record! {
    /// A document with clashes.
    ClashedDoc of engine::ClashedDoc {
        /// Its row.
        summary: Row,
        /// Its clashes.
        clashes: Vec<Clash>,
    }
}

record! {
    /// An entitlement and what it rests on.
    Entitled of CoreEntitled {
        /// What the customer is entitled to.
        entitlement: Entitlement,
        /// The warranty's last day, where that decided.
        warranty_until: Option<Day>,
        /// The contract, where that decided.
        contract: Option<Id>,
        /// Set by hand, with this reason.
        overridden: Option<String>,
    }
}

record! {
    /// One of two facts that contradict each other.
    Fact of stage::Fact {
        /// What: a stable word.
        what: String,
        /// When.
        at: When,
        /// Who, where known.
        by: Option<Id>,
    }
}

/// Facts that contradict each other after a merge; both stay, the office settles.
#[derive(Clone, Debug, PartialEq, uniffi::Record)]
pub struct Contradiction {
    /// Stable name, with what it concerns.
    pub key: String,
    /// The office's fact.
    pub office: Fact,
    /// The site's.
    pub site: Fact,
}

impl Mirror for stage::Contradiction {
    type As = Contradiction;
    fn mirror(self) -> Contradiction {
        Contradiction { key: self.key, office: self.facts.0.mirror(), site: self.facts.1.mirror() }
    }
}

/// What a merge did, as a message's key and what to put in.
#[derive(Clone, Debug, PartialEq, uniffi::Record)]
pub struct Explanation {
    /// Message key, such as `merge.clash`.
    pub key: String,
    /// What to put in: `field`, `who`, `at` (ms since the epoch), `other`, `other_at`.
    pub args: std::collections::HashMap<String, String>,
}

impl Mirror for engine::Explanation {
    type As = Explanation;
    fn mirror(self) -> Explanation {
        let args: BTreeMap<_, _> = self.args;
        Explanation { key: self.key, args: args.into_iter().collect() }
    }
}

record! {
    /// One leaf of a refused edit.
    RefusedLeaf of engine::RefusedLeaf {
        /// Its path.
        path: String,
        /// As written here, as JSON.
        mine: String,
        /// As it stands, as JSON.
        stands: String,
    }
}

record! {
    /// What the office decided about a refused edit.
    RefusedDecision of engine::RefusedDecision {
        /// `accepted`, `amended` or `dismissed`.
        verdict: String,
        /// Who decided.
        who: String,
        /// Why.
        reason: String,
        /// When, by the server's clock.
        at: SystemTime,
    }
}

record! {
    /// An edit that was refused. Both versions are kept.
    RefusedEdit of engine::RefusedEdit {
        /// Names it in `resend`, `amend`, `dismiss`.
        id: i64,
        /// The document.
        doc: Doc,
        /// The change.
        change: String,
        /// Why: stable code; also the message key `reject.<code>`.
        code: String,
        /// The field concerned, if one.
        field: String,
        /// In words, in English.
        detail: String,
        /// When it was made.
        at: SystemTime,
        /// When it was refused, by this device's clock.
        refused: SystemTime,
        /// The leaves it set.
        leaves: Vec<RefusedLeaf>,
        /// What the office decided, once it is known here.
        decision: Option<RefusedDecision>,
    }
}

record! {
    /// One change of a document's history.
    HistoryEntry of engine::HistoryEntry {
        /// The change.
        change: String,
        /// Who.
        by: Option<Id>,
        /// Their name, where known here.
        name: String,
        /// On which device.
        device: Option<Id>,
        /// When, by its author's best estimate.
        at: SystemTime,
        /// The leaves it changed, at most a hundred.
        paths: Vec<String>,
        /// How far it has got.
        delivery: Delivery,
    }
}

/// Everything about one document.
#[derive(Clone, Debug, PartialEq, uniffi::Record)]
pub struct Detail {
    /// Its row.
    pub summary: Row,
    /// Its content.
    pub content: Content,
    /// Leaves with several values.
    pub clashes: Vec<Clash>,
    /// How far it has got.
    pub delivery: Delivery,
    /// Its heads: what was looked at (`EditText.seen`).
    pub heads: Vec<String>,
    /// What merges did, one sentence each.
    pub explanations: Vec<Explanation>,
    /// Where the job stands (work orders, visits, requests).
    pub stage: Option<Stage>,
    /// Facts that contradict each other.
    pub contradictions: Vec<Contradiction>,
    /// 客户属性 (work orders, visits).
    pub entitlement: Option<Entitled>,
    /// Edits of this document that were refused.
    pub refused: Vec<RefusedEdit>,
    /// The visits of a work order, the current one last.
    pub visits: Vec<Id>,
    /// The visit of a work order's current dispatch, whether or not it exists yet.
    pub current_visit: Option<Id>,
    /// Whether what the customer signed is still what the form says (visits).
    pub signature: Option<Signed>,
}

impl Mirror for engine::Detail {
    type As = Detail;
    fn mirror(self) -> Detail {
        use onsite_core::domain::{Entity, VisitId};
        let current_visit = match &self.entity {
            Entity::WorkOrder(order) => Some(VisitId::of_dispatch(self.summary.doc.id.into(), order.round).mirror()),
            _ => None,
        };
        let signature = match &self.entity {
            Entity::Visit(visit) => Some(match onsite_core::domain::forms_content::signature_state(visit) {
                SignatureState::None => Signed::No,
                SignatureState::Valid => Signed::Valid,
                SignatureState::Voided { .. } => Signed::Voided,
                SignatureState::Refused => Signed::Refused,
            }),
            _ => None,
        };
        Detail {
            summary: self.summary.mirror(),
            content: self.entity.mirror(),
            clashes: self.clashes.mirror(),
            delivery: self.delivery.mirror(),
            heads: self.heads.mirror(),
            explanations: self.explanations.mirror(),
            stage: self.stage.mirror(),
            contradictions: self.contradictions.mirror(),
            entitlement: self.entitlement.mirror(),
            refused: self.refused.mirror(),
            visits: self.visits.mirror(),
            current_visit,
            signature,
        }
    }
}

/// Whether the customer's signature stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, uniffi::Enum)]
pub enum Signed {
    /// Neither signed nor refused.
    No,
    /// Signed, and the form is still what was signed.
    Valid,
    /// Signed, but the form was changed since.
    Voided,
    /// The customer would not sign.
    Refused,
}

/// The clock beside the server's.
#[derive(Clone, Copy, Debug, PartialEq, uniffi::Record)]
pub struct ClockOffset {
    /// Server clock minus device clock in milliseconds.
    pub offset_ms: i64,
    /// Half the width of the interval that the true offset lies in.
    pub doubt_ms: i64,
}

impl Mirror for (i64, i64) {
    type As = ClockOffset;
    fn mirror(self) -> ClockOffset {
        ClockOffset { offset_ms: self.0, doubt_ms: self.1 }
    }
}

record! {
    /// The badge: what waits, and whether the phone may be handed in.
    Status of engine::Status {
        /// Whether the device is enrolled.
        enrolled: bool,
        /// Changes the server has not acknowledged.
        unsent_changes: u64,
        /// Photos and other blobs not yet acknowledged.
        blobs_waiting: u64,
        /// Their bytes still to go.
        blob_bytes_waiting: u64,
        /// Refused edits nobody has dealt with.
        refused: u64,
        /// Documents with clashes.
        clashed: u64,
        /// The oldest unsent item's time.
        oldest_unsent: Option<SystemTime>,
        /// When the server last answered.
        last_contact: Option<SystemTime>,
        /// Stable code of the last try's error; empty where it went well.
        last_error: String,
        /// The clock beside the server's; absent before the first contact.
        clock_offset: Option<ClockOffset>,
        /// Documents held.
        documents: u64,
        /// Documents still to come at the first sync; an estimate.
        remaining: u64,
        /// A provable yes or no.
        safe_to_hand_in: bool,
        /// Why not, where not: message keys `unsafe.*`.
        reasons: Vec<String>,
    }
}

record! {
    /// Is everything here that the day needs?
    ReadyToLeave of engine::ReadyToLeave {
        /// Yes.
        ready: bool,
        /// What is missing.
        missing: Vec<Missing>,
        /// Bytes still to come.
        bytes: u64,
        /// Estimated milliseconds to fetch them; absent where the speed was never measured.
        estimate_ms: Option<i64>,
    }
}

record! {
    /// Something the day needs and this phone lacks.
    Missing of engine::Missing {
        /// Message key, such as `missing.documents`.
        key: String,
        /// The document that needs it, if one.
        doc: Option<Doc>,
        /// Bytes, if known.
        bytes: u64,
    }
}

/// A document's edit that could not be taken over from a rescue file.
#[derive(Clone, Debug, PartialEq, uniffi::Record)]
pub struct NotTaken {
    /// The document.
    pub doc: Doc,
    /// Why: stable code or words.
    pub why: String,
}

impl Mirror for (onsite_core::domain::DocRef, String) {
    type As = NotTaken;
    fn mirror(self) -> NotTaken {
        NotTaken { doc: self.0.mirror(), why: self.1 }
    }
}

record! {
    /// What a rescue file brought.
    Imported of engine::Imported {
        /// Documents with edits taken over.
        docs: Vec<Doc>,
        /// Edits written again as this device's own.
        changes: u64,
        /// Blobs taken over.
        blobs: u64,
        /// Edits that could not be taken over.
        failed: Vec<NotTaken>,
    }
}

record! {
    /// What the customer sees before signing: named in `Command.Sign`.
    ToSign of engine::ToSign {
        /// The document's heads.
        heads: Vec<String>,
        /// The content's hash.
        content: String,
    }
}

record! {
    /// What one sync did.
    SyncReport of session::SyncReport {
        /// Round trips.
        round_trips: u32,
        /// Changes sent.
        pushed: u64,
        /// Changes the server acknowledged.
        accepted: u64,
        /// Changes the server refused.
        refused: u64,
        /// Documents received.
        received: u64,
        /// Documents that left.
        left: u64,
        /// Blobs the server acknowledged.
        uploaded: u32,
        /// Blobs fetched.
        downloaded: u32,
        /// Bytes sent in bodies.
        bytes_up: u64,
        /// Bytes received in bodies.
        bytes_down: u64,
        /// Everything was compared with the server.
        reconciled: bool,
        /// The device was revoked and wiped.
        wiped: bool,
    }
}

/// A photo to be linked.
#[derive(Clone, Debug, PartialEq, uniffi::Record)]
pub struct NewPhoto {
    /// The visit or request it belongs to.
    pub doc: Doc,
    /// Its id, chosen by the app.
    pub id: Id,
    /// Such as `image/jpeg`.
    pub media_type: String,
    /// Caption.
    pub caption: String,
    /// The line of the checklist it shows, by its key.
    pub check: Option<String>,
}

/// What a list is to hold.
#[derive(Clone, Debug, PartialEq, uniffi::Record)]
pub struct ListOf {
    /// Documents of this kind.
    pub kind: Kind,
    /// In this state or stage, by its stable word; all where absent.
    #[uniffi(default = None)]
    pub status: Option<String>,
}
