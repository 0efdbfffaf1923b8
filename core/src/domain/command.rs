//! Everything that anybody can do: one enum, used by phone and office alike.
//!
//! `decide` (in `rules`) turns a command into [`Write`]s or a [`Rejection`]; it
//! reads the world and changes nothing.

use super::{entity::*, id::*, time::*, value::*};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use uuid::Uuid;

/// Something somebody wants done. Ids of what it creates are chosen by the
/// caller (`UUIDv7`), so that sending it twice does it once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(tag = "do", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields carry the names of the entity fields they set")]
pub enum Command {
    // ---- admin ----
    /// Adds or changes a member of staff.
    PutStaff { id: StaffId, name: String, code: String, phone: String, roles: BTreeSet<Role> },
    /// A member of staff leaves.
    StaffLeaves { id: StaffId, reason: String },
    /// Changes the company's settings; absent fields stay.
    ChangeSettings(SettingsPatch),

    // ---- customer file 客户建档 ----
    /// Opens or changes a customer file.
    PutCustomer {
        id: CustomerId,
        name: String,
        code: String,
        project_completed: Option<Date>,
        call_interval_days: Option<i64>,
    },
    /// Adds or changes a contact.
    PutContact { customer: CustomerId, id: ItemId, contact: Contact },
    /// Adds or changes an address.
    PutAddress { customer: CustomerId, id: ItemId, address: Address },
    /// Adds or changes a machine.
    PutEquipment { customer: CustomerId, id: ItemId, equipment: Equipment },
    /// Adds or changes a contract.
    PutContract { customer: CustomerId, id: ItemId, contract: Contract },
    /// Books an amount the customer owes (negative corrects).
    Charge { customer: CustomerId, id: ItemId, amount: Fen, what: String },
    /// Sets the next follow-up call by hand, or back to the plan.
    PlanCall { customer: CustomerId, due: Option<Date> },

    // ---- request 报修 ----
    /// Writes a repair request. `reported` is when the customer called; now where absent.
    ReportRepair {
        id: RequestId,
        customer: Option<CustomerId>,
        customer_name: String,
        contact_name: String,
        contact_phone: String,
        address: String,
        equipment: Option<ItemId>,
        problem: String,
        reported: Option<Stamp>,
    },
    /// Says who the customer of a request is, and which machine.
    IdentifyRequest { id: RequestId, customer: CustomerId, equipment: Option<ItemId> },
    /// Takes a request back.
    WithdrawRequest { id: RequestId, reason: String },

    // ---- work order 派工 ----
    /// Opens a work order: for a request, for an installation, or as a follow-on.
    OpenWorkOrder {
        id: WorkOrderId,
        customer: CustomerId,
        equipment: Option<ItemId>,
        work_type: WorkType,
        request: Option<RequestId>,
        follow_on_of: Option<WorkOrderId>,
        service_description: String,
        arrival_deadline: Option<Millis>,
    },
    /// Sets the entitlement by hand.
    OverrideEntitlement { id: WorkOrderId, entitlement: Entitlement, reason: String },
    /// Fills in form 1; absent fields stay.
    PlanDispatch { id: WorkOrderId, patch: DispatchPatch },
    /// Adds or changes a required tool or part.
    RequireItem {
        id: WorkOrderId,
        item: ItemId,
        part_no: String,
        name: String,
        unit: String,
        required: i64,
        removed: bool,
    },
    /// Assigns people; the first leads. Those no longer named are taken off, with the reason.
    Assign { id: WorkOrderId, technicians: Vec<StaffId>, reason: String },
    /// Issues form 1: freezes date and customer's particulars.
    IssueDispatch { id: WorkOrderId },
    /// Sends somebody again on the same work order: a new round, a new visit.
    Redispatch { id: WorkOrderId, reason: String },
    /// Signs form 1 as it stands (`content` is the hash the signer saw).
    SignOff { id: WorkOrderId, role: SignoffRole, content: Sha256 },
    /// Warehouse issues a quantity of a required item (negative corrects).
    IssueItem { id: WorkOrderId, item: ItemId, quantity: i64 },
    /// Warehouse takes a quantity back (negative corrects).
    TakeBackItem { id: WorkOrderId, item: ItemId, quantity: i64 },
    /// Finance paid the advance.
    PayAdvance { id: WorkOrderId },
    /// Finance books money.
    Book { id: WorkOrderId, booking: ItemId, receipt: Option<ItemId>, amount: Fen, what: String },
    /// Cancels the work order.
    CancelWorkOrder { id: WorkOrderId, reason: String },
    /// Production moves a returned machine on.
    MoveReturnedMachine { id: WorkOrderId, step: ReturnStep },
    /// Tells the customer how it ended 向客户回馈.
    TellCustomer { id: WorkOrderId, problem: String, solved: bool },
    /// Closes the repair report 注销报修记录.
    CloseWorkOrder { id: WorkOrderId },
    /// Archives the form 服务单存档.
    ArchiveWorkOrder { id: WorkOrderId },
    /// What the office makes of a customer's words on a visit's form 记录、分析用户意见; also after archiving.
    AnalyseOpinion { id: WorkOrderId, visit: VisitId, text: String },
    /// Settles a contradiction that a merge left (its key as in [`crate::domain::stage::Contradiction::key`]).
    Settle { id: WorkOrderId, contradiction: String, reason: String },

    // ---- visit 现场服务 ----
    /// Opens the planned visit of a work order's current round
    /// ([`VisitId::of_dispatch`]) and gives it a provisional number. Comes
    /// before every other command on that visit; does nothing the second time.
    OpenVisit { work_order: WorkOrderId },
    /// Opens an unplanned visit for one's own request.
    OpenUnplannedVisit { request: RequestId },
    /// Records what happened. `at` is when; now where absent.
    RecordEvent {
        visit: VisitId,
        id: ItemId,
        event: EventKind,
        at: Option<Stamp>,
        position: Option<Position>,
        corrects: Option<ItemId>,
    },
    /// Inspects one line of the checklist.
    Inspect { visit: VisitId, check: String, result: CheckResult, note: String },
    /// Adds a note.
    AddNote { visit: VisitId, id: ItemId, text: String },
    /// Logs a contact with the customer.
    LogContact { visit: VisitId, id: ItemId, channel: Channel, with: String, summary: String, at: Option<Stamp> },
    /// Uses parts (negative corrects). For a required item, its own id; else a new one.
    UseItem { visit: VisitId, item: ItemId, part_no: String, name: String, unit: String, used: i64, taken_back: i64 },
    /// Links a photo whose blob is already stored. On a visit or a request.
    AddPhoto {
        doc: DocRef,
        id: ItemId,
        blob: Sha256,
        size: i64,
        media_type: String,
        caption: String,
        check: Option<String>,
    },
    /// Takes a photo out (it stays in the history).
    RemovePhoto { doc: DocRef, id: ItemId },
    /// 处理结果. `remarks` are appended to the form's where given.
    SetOutcome { visit: VisitId, outcome: Outcome, incomplete_reason: Option<IncompleteReason>, remarks: String },
    /// 验收
    Accept { visit: VisitId, accepted: bool, remark: String },
    /// 满意度, entered by the customer.
    Rate { visit: VisitId, satisfaction: Satisfaction, reasons: BTreeSet<Dissatisfaction>, comment: String },
    /// 签字: `content` is the hash of the form that was shown.
    Sign { visit: VisitId, name: String, strokes: Strokes, heads: Vec<ChangeHash>, content: Sha256 },
    /// The customer would not sign.
    RefuseSignature { visit: VisitId, reason: String },
    /// 收款
    TakePayment { visit: VisitId, id: ItemId, amount: Fen, method: PayMethod, reference: String },
    /// Money spent of the advance.
    Spend { visit: VisitId, id: ItemId, amount: Fen, category: ExpenseCategory, note: String },

    // ---- texts, of any kind ----
    /// Replaces a text. `seen` are the document's heads its author looked at,
    /// so that what others wrote since stays; current where empty.
    EditText { doc: DocRef, field: String, text: String, seen: Vec<ChangeHash> },
    /// Chooses one of several clashing values (`choice` is the hash of the change that set it).
    ChooseClash { doc: DocRef, path: String, choice: ChangeHash },

    // ---- calls, complaints, suggestions ----
    /// Records a follow-up call 回访.
    RecordCall {
        id: FollowUpId,
        customer: CustomerId,
        due: Option<Date>,
        outcome: CallOutcome,
        opinion: String,
        request: Option<RequestId>,
    },
    /// Records a complaint 投诉.
    FileComplaint {
        id: ComplaintId,
        customer: CustomerId,
        work_order: Option<WorkOrderId>,
        staff: BTreeSet<StaffId>,
        about: ComplaintAbout,
        description: String,
        received: Option<Stamp>,
    },
    /// Settles a complaint, or dismisses it as without ground.
    ResolveComplaint { id: ComplaintId, dismiss: bool, reason: String },
    /// A technician replies to a complaint or a proposal.
    State { id: StatementId, complaint: Option<ComplaintId>, proposal: Option<String>, text: String },
    /// Writes an improvement idea.
    Suggest { id: SuggestionId, title: String, text: String, work_order: Option<WorkOrderId> },
    /// The service manager decides on a proposal (by its key), or on a suggestion.
    Appraise {
        id: AppraisalId,
        proposal: String,
        decision: Decision,
        severity: Option<Severity>,
        amount: Fen,
        major: bool,
        reason: String,
    },
}

impl Command {
    /// Whether it holds what somebody wrote, said or signed: that cannot be
    /// had again where it is lost, while an event's moment can be told again.
    pub fn words(&self) -> bool {
        use Command as C;
        matches!(
            self,
            C::ReportRepair { .. }
                | C::AddNote { .. }
                | C::LogContact { .. }
                | C::SetOutcome { .. }
                | C::Accept { .. }
                | C::Rate { .. }
                | C::Sign { .. }
                | C::RefuseSignature { .. }
                | C::EditText { .. }
                | C::RecordCall { .. }
                | C::FileComplaint { .. }
                | C::State { .. }
                | C::Suggest { .. }
        )
    }
}

/// Changes to the settings; what is absent stays.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
#[expect(missing_docs, reason = "the names of the fields of `Settings`")]
pub struct SettingsPatch {
    pub company: Option<String>,
    pub utc_offset_minutes: Option<i32>,
    pub arrival_hours: Option<i64>,
    pub communication_hours: Option<i64>,
    pub call_interval_days: Option<i64>,
    pub warranty_months: Option<i64>,
    pub doubtful_minutes: Option<i64>,
    pub repeat_days: Option<i64>,
    pub photo_bytes: Option<i64>,
    pub checklist: BTreeMap<String, ChecklistItem>,
    pub parts: BTreeMap<String, CataloguePart>,
    pub severities: BTreeMap<Severity, SeverityLevel>,
}

/// Changes to form 1; what is absent stays.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
#[expect(missing_docs, reason = "the names of the fields of `Dispatch` and `WorkOrder`")]
pub struct DispatchPatch {
    pub expected_stay_minutes: Option<i64>,
    pub cash_advance: Option<Fen>,
    pub balance_to_collect: Option<Fen>,
    pub arrival_deadline: Option<Millis>,
    pub planned_start: Option<Millis>,
    pub contact_name: Option<String>,
    pub contact_phone: Option<String>,
    pub service_address: Option<String>,
}

/// Who acts. Comes from the session only.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Author {
    /// The person.
    pub staff: StaffId,
    /// Their roles.
    pub roles: BTreeSet<Role>,
    /// The short code of their device, for provisional numbers; absent at the office.
    pub device_code: Option<String>,
}

/// The server as a person: who writes final numbers. Never a member of staff.
pub const SERVER: StaffId = StaffId(Uuid::from_u128(0x0e51_7e00_0000_7000_8000_0000_0000_0003));

impl Author {
    /// The server itself: holds no role, so it decides no command, but may
    /// write what only the server writes (final numbers). For an import, add
    /// the role it acts in: `Author { roles: [Role::Clerk].into(), ..Author::server() }`.
    pub fn server() -> Self {
        Self { staff: SERVER, roles: BTreeSet::new(), device_code: None }
    }
    /// Whether this is the server itself.
    pub fn is_server(&self) -> bool {
        self.staff == SERVER
    }
    /// Whether they hold the role.
    pub fn is(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
    /// Whether they work in the office: any role but technician alone.
    pub fn office(&self) -> bool {
        self.roles.iter().any(|r| *r != Role::Technician)
    }
}

/// The moment of a decision: time, randomness and counters as arguments.
pub struct Moment<'a> {
    /// Now.
    pub now: Stamp,
    /// A fresh `UUIDv7` at each call.
    pub new_id: &'a mut dyn FnMut() -> Uuid,
    /// The next number of this device's own counter, from 1.
    pub next_number: &'a mut dyn FnMut() -> u64,
}

/// What the rules may look at: current contents, by id and by parent.
pub trait World {
    /// A document's content; `None` where it is not held.
    fn entity(&self, doc: DocRef) -> Option<Cow<'_, Entity>>;
    /// The ids of the documents of a kind whose parent (see [`super::summary::parent`]) is `of`.
    fn children(&self, kind: Kind, of: DocId) -> Vec<DocId>;
    /// The work orders that name a request (others among them do no harm), whatever customer each has:
    /// two who identified an unknown one may have clashed.
    fn answers(&self, request: RequestId) -> Vec<WorkOrderId>;
    /// The members of staff, not those who left, whose work number (工号) this is.
    fn coded(&self, code: &str) -> Vec<StaffId>;
    /// The company's complaints received from `from` on and before `to`, or at
    /// no known time. `None` where not all of them are held: on a phone.
    fn complaints(&self, _from: Millis, _to: Millis) -> Option<Vec<ComplaintId>> {
        None
    }
    /// Up to when all devices of a person have sent what they hold; `None` where that is not known.
    fn synced_until(&self, _staff: StaffId) -> Option<Millis> {
        None
    }
}

/// Typed reading of a [`World`].
pub trait WorldExt: World {
    /// A document's content as its own struct.
    fn get<R: super::entity::Record>(&self, id: impl Into<DocId>) -> Option<Cow<'_, R>> {
        match self.entity(DocRef::new(R::KIND, id))? {
            Cow::Borrowed(entity) => R::peek(entity).map(Cow::Borrowed),
            Cow::Owned(entity) => R::unwrap(entity).map(Cow::Owned),
        }
    }
    /// The settings, or their defaults.
    fn settings(&self) -> Cow<'_, Settings> {
        static DEFAULTS: LazyLock<Settings> = LazyLock::new(Settings::default);
        self.get::<Settings>(SETTINGS).unwrap_or_else(|| Cow::Borrowed(&*DEFAULTS))
    }
    /// The visits of a work order.
    fn visits(&self, order: WorkOrderId) -> Vec<(VisitId, Cow<'_, Visit>)> {
        self.children(Kind::Visit, order.into()).into_iter().filter_map(|id| Some((id.into(), self.get(id)?))).collect()
    }
}
impl<W: World + ?Sized> WorldExt for W {}

/// What a command does to documents.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(clippy::large_enum_variant, reason = "short-lived")]
pub enum Write {
    /// The document's content is to be this; the codec writes what differs.
    Put(DocId, Entity),
    /// A text is to be this, as edited by somebody who looked at `seen`.
    Text {
        /// The document.
        doc: DocRef,
        /// The field's path, such as `dispatch/remarks`.
        field: String,
        /// The new text.
        text: String,
        /// Heads it was edited on; current where empty.
        seen: Vec<ChangeHash>,
    },
    /// One of several concurrent values is chosen.
    Choose {
        /// The document.
        doc: DocRef,
        /// The leaf's path.
        path: String,
        /// The change that set the value chosen.
        choice: ChangeHash,
    },
}

/// Why a command, or a change, is not allowed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {field}: {detail}")]
pub struct Rejection {
    /// Stable code, such as `not_your_role`; also the message key `reject.<code>`.
    pub code: String,
    /// The field concerned, such as `cash_advance`; empty for the whole command.
    pub field: String,
    /// What is wrong, in English.
    pub detail: String,
}

impl Rejection {
    /// A rejection.
    pub fn new(code: &str, field: &str, detail: impl Into<String>) -> Self {
        Self { code: code.into(), field: field.into(), detail: detail.into() }
    }
}
