//! Contents of documents, as in the core: maps by id as lists whose items carry their id.

use crate::mirror::{Day, Id, Keyed, Mirror, When, item, items, record};
use crate::words::*;
use onsite_core::domain as core;
use std::time::SystemTime;

record! {
    /// Somebody did something at some time.
    Mark of core::Mark {
        /// When.
        at: When,
        /// Who.
        by: Id,
    }
}

record! {
    /// A mark with a reason.
    Reasoned of core::Reasoned {
        /// When.
        at: When,
        /// Who.
        by: Id,
        /// Why.
        reason: String,
    }
}

record! {
    /// A place on Earth, degrees times 10^7 (about a centimetre).
    Position of core::Position {
        /// Latitude in degrees × 10⁷, north positive.
        lat_e7: i32,
        /// Longitude in degrees × 10⁷, east positive.
        lon_e7: i32,
        /// Radius of confidence in metres.
        accuracy_m: u32,
    }
}

record! {
    /// A member of staff.
    Staff of core::Staff {
        /// Name.
        name: String,
        /// 工号
        code: String,
        /// Phone number.
        phone: String,
        /// Roles held.
        roles: Vec<Role>,
        /// When and why the person left, if they did.
        left: Option<Reasoned>,
    }
}

record! {
    /// The company's settings: what the procedure leaves open.
    Settings of core::Settings {
        /// The company's name, printed on the forms.
        company: String,
        /// The company's zone: minutes east of UTC.
        utc_offset_minutes: i32,
        /// Hours from the repair report to the arrival deadline when none is given.
        arrival_hours: i64,
        /// Hours from a customer's feedback to the technician's contact with them.
        communication_hours: i64,
        /// Days between follow-up calls.
        call_interval_days: i64,
        /// Months of warranty from installation when the equipment says nothing.
        warranty_months: i64,
        /// Minutes of doubt beyond which a time proves nothing.
        doubtful_minutes: i64,
        /// Days within which a return to the same equipment counts as a repeat.
        repeat_days: i64,
        /// Largest photo in bytes.
        photo_bytes: i64,
        /// Checklist: what is inspected when goods arrive, by key.
        checklist: Vec<ChecklistItem> = items,
        /// Parts catalogue, by part number.
        parts: Vec<CataloguePart> = items,
        /// 情节轻重: what the company calls each degree, and what it usually costs.
        severities: Vec<SeverityLevel> = items,
    }
}

item! {
    /// One degree of severity.
    SeverityLevel of core::SeverityLevel, by severity: core::Severity => Severity {
        /// Chinese label.
        label: String,
        /// English label.
        label_en: String,
        /// The usual penalty, as an amount of nothing or more; the manager decides each; in fen.
        penalty: i64,
    }
}

item! {
    /// One line of the checklist.
    ChecklistItem of core::ChecklistItem, by key: String => String {
        /// Chinese label.
        label: String,
        /// English label.
        label_en: String,
        /// Whether a photo is required.
        photo: bool,
        /// No longer asked.
        dropped: bool,
    }
}

item! {
    /// One part of the catalogue.
    CataloguePart of core::CataloguePart, by part_no: String => String {
        /// Name.
        name: String,
        /// Unit of count, such as 个.
        unit: String,
        /// Price per unit, in fen.
        price: i64,
    }
}

record! {
    /// A customer file.
    Customer of core::Customer {
        /// 客户名称
        name: String,
        /// The company's own number for the customer.
        code: String,
        /// Contacts; the first not removed is the main one.
        contacts: Vec<Contact> = items,
        /// Addresses; the first not removed is the main one.
        addresses: Vec<Address> = items,
        /// Machines at the customer's.
        equipment: Vec<Equipment> = items,
        /// Service contracts.
        contracts: Vec<Contract> = items,
        /// 尾款: amounts owed as they arose.
        charges: Vec<Charge> = items,
        /// When the project was completed 工程竣工.
        project_completed: Option<Day>,
        /// Days between follow-up calls, if other than the company's.
        call_interval_days: Option<i64>,
        /// Next follow-up call, if set by hand; otherwise derived.
        next_call: Option<Day>,
        /// Free notes.
        notes: String,
    }
}

item! {
    /// A person to speak to.
    Contact of core::Contact, by id: core::ItemId => Id {
        /// 联系人
        name: String,
        /// 电话
        phone: String,
        /// What they do.
        position: String,
        /// Taken out.
        removed: bool,
    }
}

item! {
    /// A place of service.
    Address of core::Address, by id: core::ItemId => Id {
        /// Such as 一车间.
        label: String,
        /// 地址
        text: String,
        /// Taken out.
        removed: bool,
    }
}

item! {
    /// A machine.
    Equipment of core::Equipment, by id: core::ItemId => Id {
        /// 产品型号
        model: String,
        /// Serial number.
        serial: String,
        /// Name used on site.
        name: String,
        /// The address it stands at.
        address: Option<Id>,
        /// First day in service.
        installed: Option<Day>,
        /// Last day of warranty, if agreed; otherwise `installed` plus the company's months.
        warranty_until: Option<Day>,
        /// The machine that replaced it.
        replaced_by: Option<Id>,
        /// Taken out.
        removed: bool,
    }
}

item! {
    /// A service contract.
    Contract of core::Contract, by id: core::ItemId => Id {
        /// Per year or per visit.
        kind: ContractKind,
        /// Its number.
        number: String,
        /// First day.
        from: Option<Day>,
        /// Last day.
        to: Option<Day>,
        /// The one machine it covers; all where absent.
        equipment: Option<Id>,
        /// Ended early, or entered by mistake.
        removed: bool,
    }
}

item! {
    /// An amount the customer owes.
    Charge of core::Charge, by id: core::ItemId => Id {
        /// When it was entered, by whom.
        mark: Mark,
        /// Amount in fen; negative corrects.
        amount: i64,
        /// What for.
        what: String,
    }
}

record! {
    /// A repair request 报修服务单.
    Request of core::Request {
        /// Provisional number, given where it was written.
        provisional_number: String,
        /// Who wrote it.
        author: Option<Id>,
        /// The customer, if known.
        customer: Option<Id>,
        /// 客户名称, as told.
        customer_name: String,
        /// 联系人
        contact_name: String,
        /// 联系电话
        contact_phone: String,
        /// 地址
        address: String,
        /// The machine, if known.
        equipment: Option<Id>,
        /// What is wrong.
        problem: String,
        /// 报修时间: starts the response clock.
        reported: Option<When>,
        /// Photos of the fault.
        photos: Vec<Photo> = items,
        /// Taken back, with the reason.
        withdrawn: Option<Reasoned>,
    }
}

record! {
    /// A work order: the office's side of a job.
    WorkOrder of core::WorkOrder {
        /// Final number, written by the server.
        number: Option<String>,
        /// 编号: final numbers of its visits, written by the server.
        record_numbers: Vec<RecordNumber> = items,
        /// Final number of its request, written by the server.
        request_number: Option<String>,
        /// The request it answers.
        request: Option<Id>,
        /// The customer.
        customer: Option<Id>,
        /// The machine.
        equipment: Option<Id>,
        /// 安装 or 维修
        work_type: Option<WorkType>,
        /// When the work order was opened, by whom.
        opened: Option<Mark>,
        /// The job this one goes on from.
        follow_on_of: Option<Id>,
        /// 报修时间, as entitlement and response are reckoned from.
        reported: Option<When>,
        /// An entitlement set by hand, with its reason.
        entitlement_override: Option<EntitlementOverride>,
        /// Form 1.
        dispatch: Dispatch,
        /// Signatures under form 1.
        signoffs: Vec<Signoff> = items,
        /// Everybody ever assigned.
        assignments: Vec<Assignment> = items,
        /// Latest arrival.
        arrival_deadline: Option<SystemTime>,
        /// When the job is planned to begin.
        planned_start: Option<SystemTime>,
        /// Which dispatch of this work order is current, from 1; each has its own visit.
        round: u32,
        /// Why each round after the first was needed.
        redispatched: Vec<Redispatch> = items,
        /// 财务: the advance was paid.
        advance_paid: Option<Mark>,
        /// 财务: money booked, in from the customer or back from the technician.
        bookings: Vec<Booking> = items,
        /// 取消
        cancelled: Option<Reasoned>,
        /// 注销报修记录
        closed: Option<Mark>,
        /// 服务单存档
        archived: Option<Mark>,
        /// 向客户回馈
        feedback: Option<Feedback>,
        /// What the office made of the customer's words, by visit.
        opinions: Vec<Analysis> = items,
        /// 返修 / 更换: where the machine stands.
        returned_machine: Vec<ReturnedMachineStep> = items,
        /// Facts that contradicted each other and were settled, by a key naming them.
        settled: Vec<SettledContradiction> = items,
    }
}

record! {
    /// Form 1: the dispatch order 售后人员派遣单.
    Dispatch of core::Dispatch {
        /// Issued: freezes `order_date` and the customer's particulars.
        issued: Option<Mark>,
        /// 填写日期
        order_date: Option<Day>,
        /// 客户名称
        customer_name: String,
        /// 联系人
        contact_name: String,
        /// 联系电话
        contact_phone: String,
        /// 地址
        service_address: String,
        /// 预计逗留时间, in minutes.
        expected_stay_minutes: Option<i64>,
        /// 服务内容
        service_description: String,
        /// 必备的安装工具及零部件
        items: Vec<RequiredItem> = items,
        /// 借款金额, in fen.
        cash_advance: i64,
        /// 需要收回的尾款金额, in fen.
        balance_to_collect: i64,
        /// 备注
        remarks: String,
    }
}

item! {
    /// A tool or part to take along.
    RequiredItem of core::RequiredItem, by id: core::ItemId => Id {
        /// Number in the catalogue, if it is there.
        part_no: String,
        /// Name.
        name: String,
        /// Unit of count.
        unit: String,
        /// Quantity required.
        required: i64,
        /// Quantity the warehouse issued.
        issued: i64,
        /// Quantity brought back to the warehouse.
        returned: i64,
        /// Taken out.
        removed: bool,
    }
}

item! {
    /// One person's assignment to a work order.
    Assignment of core::Assignment, by id: core::ItemId => Id {
        /// Who was sent.
        technician: Option<Id>,
        /// Whether they lead.
        lead: bool,
        /// When, by whom.
        assigned: Option<Mark>,
        /// When and why it ended, if it did.
        ended: Option<Reasoned>,
    }
}

record! {
    /// An entitlement set by hand.
    EntitlementOverride of core::EntitlementOverride {
        /// What it is to be.
        entitlement: Entitlement,
        /// When, by whom and why.
        why: Reasoned,
    }
}

item! {
    /// A signature under form 1.
    Signoff of core::Signoff, by role: core::SignoffRole => SignoffRole {
        /// When, by whom.
        mark: Mark,
        /// Hash of the content that was signed.
        content: String,
    }
}

item! {
    /// Money booked by finance.
    Booking of core::Booking, by id: core::ItemId => Id {
        /// When, by whom.
        mark: Mark,
        /// The receipt (of the visit) it books, if it books one.
        receipt: Option<Id>,
        /// Amount in fen; negative corrects.
        amount: i64,
        /// What for.
        what: String,
    }
}

record! {
    /// 向客户回馈: what the customer was told.
    Feedback of core::Feedback {
        /// When, by whom.
        mark: Mark,
        /// 问题情况
        problem: String,
        /// 解决问题 (true) or 无法解决.
        solved: bool,
    }
}

item! {
    /// 分析用户意见: what the office made of a customer's words.
    Analysis of core::Analysis, by visit: core::VisitId => Id {
        /// When, by whom.
        mark: Mark,
        /// What follows from them.
        text: String,
    }
}

record! {
    /// Form 2: the visit 售后服务现场安装(维修)记录.
    Visit of core::Visit {
        /// The work order it serves, unless it was unplanned.
        work_order: Option<Id>,
        /// The request it serves, for an unplanned visit.
        request: Option<Id>,
        /// Which dispatch of the work order.
        round: u32,
        /// Provisional numbers, by the person who opened it on a phone.
        provisional_numbers: Vec<ProvisionalNumber> = items,
        /// What happened when: only ever added to.
        events: Vec<VisitEvent> = items,
        /// Inspection of the goods, by checklist key.
        checks: Vec<Check> = items,
        /// 服务内容
        service_description: String,
        /// What was found to be wrong.
        diagnosis: String,
        /// 处理方案
        resolution: String,
        /// 备注
        remarks: String,
        /// Parts and tools, by item; a required item of the dispatch order keeps its id.
        items: Vec<UsedItem> = items,
        /// Photos.
        photos: Vec<Photo> = items,
        /// Notes in the order of the day.
        notes: Vec<Note> = items,
        /// Contacts with the customer.
        contacts: Vec<ContactLog> = items,
        /// 处理结果
        outcome: Option<Outcome>,
        /// 未完成的原因
        incomplete_reason: Option<IncompleteReason>,
        /// When the result was given, by whom.
        outcome_given: Option<Mark>,
        /// 您的设备已经验收并正常
        acceptance: Option<Acceptance>,
        /// 满意度
        satisfaction: Option<Satisfaction>,
        /// 不满意的原因
        dissatisfaction_reasons: Vec<Dissatisfaction>,
        /// 宝贵意见
        customer_comment: String,
        /// 签字
        signature: Option<Signature>,
        /// The customer would not sign.
        signature_refused: Option<Reasoned>,
        /// 收款: only ever added to.
        receipts: Vec<Receipt> = items,
        /// What was spent of the advance: only ever added to.
        expenses: Vec<Expense> = items,
    }
}

item! {
    /// Something that happened.
    VisitEvent of core::VisitEvent, by id: core::ItemId => Id {
        /// What.
        kind: EventKind,
        /// When, by whom.
        mark: Mark,
        /// Where.
        position: Option<Position>,
        /// The event it corrects.
        corrects: Option<Id>,
    }
}

item! {
    /// One line of the inspection.
    Check of core::Check, by key: String => String {
        /// How it came out.
        result: Option<CheckResult>,
        /// What was seen.
        note: String,
        /// When, by whom.
        mark: Option<Mark>,
    }
}

item! {
    /// A part or tool on site.
    UsedItem of core::UsedItem, by id: core::ItemId => Id {
        /// Number in the catalogue, if it is there.
        part_no: String,
        /// Name.
        name: String,
        /// Unit of count.
        unit: String,
        /// Quantity used.
        used: i64,
        /// Quantity not used and taken back.
        taken_back: i64,
    }
}

item! {
    /// A photo: a reference to a blob.
    Photo of core::Photo, by id: core::ItemId => Id {
        /// The blob.
        blob: Option<String>,
        /// Its size in bytes.
        size: i64,
        /// Its media type.
        media_type: String,
        /// Caption.
        caption: String,
        /// The checklist key it shows, if any.
        check: Option<String>,
        /// When it was taken, by whom.
        taken: Option<Mark>,
        /// Taken out.
        removed: bool,
    }
}

item! {
    /// A note.
    Note of core::Note, by id: core::ItemId => Id {
        /// When, by whom.
        mark: Mark,
        /// Text.
        text: String,
    }
}

item! {
    /// A contact with the customer.
    ContactLog of core::ContactLog, by id: core::ItemId => Id {
        /// When, by whom.
        mark: Mark,
        /// How.
        channel: Channel,
        /// With whom.
        with: String,
        /// What was said.
        summary: String,
    }
}

record! {
    /// 验收
    Acceptance of core::Acceptance {
        /// When, on whose phone.
        mark: Mark,
        /// Whether the customer accepted the equipment as working.
        accepted: bool,
        /// The customer's words where they did not.
        remark: String,
    }
}

record! {
    /// The customer's signature, bound to what was shown.
    Signature of core::Signature {
        /// When, on whose phone.
        mark: Mark,
        /// Who signed.
        name: String,
        /// The strokes.
        strokes: String,
        /// Heads of the document that was shown.
        heads: Vec<String>,
        /// Hash of the content that was shown.
        content: String,
    }
}

item! {
    /// 收款: money taken from the customer.
    Receipt of core::Receipt, by id: core::ItemId => Id {
        /// When, by whom.
        mark: Mark,
        /// Amount in fen; negative corrects.
        amount: i64,
        /// How.
        method: PayMethod,
        /// Number of the paper receipt, or a word.
        reference: String,
    }
}

item! {
    /// Money spent.
    Expense of core::Expense, by id: core::ItemId => Id {
        /// When, by whom.
        mark: Mark,
        /// Amount in fen; negative corrects.
        amount: i64,
        /// On what.
        category: ExpenseCategory,
        /// A word.
        note: String,
    }
}

record! {
    /// A follow-up call 回访.
    FollowUp of core::FollowUp {
        /// Whom.
        customer: Option<Id>,
        /// Due day.
        due: Option<Day>,
        /// Done, by whom.
        done: Option<Mark>,
        /// How it came out.
        outcome: Option<CallOutcome>,
        /// The customer's opinion: recorded and analysed.
        opinion: String,
        /// What the analysis said.
        analysis: String,
        /// The request that came of it.
        request: Option<Id>,
    }
}

record! {
    /// A complaint 投诉.
    Complaint of core::Complaint {
        /// Whose.
        customer: Option<Id>,
        /// About which job.
        work_order: Option<Id>,
        /// About whom.
        staff: Vec<Id>,
        /// About what.
        about: Option<ComplaintAbout>,
        /// When it was received.
        received: Option<When>,
        /// Who took it.
        taken_by: Option<Id>,
        /// In the customer's words.
        description: String,
        /// How it was settled.
        resolved: Option<Reasoned>,
        /// Found to be without ground.
        dismissed: Option<Reasoned>,
    }
}

record! {
    /// A technician's reply to a complaint or a proposal.
    Statement of core::Statement {
        /// Whose words.
        author: Option<Id>,
        /// The complaint replied to.
        complaint: Option<Id>,
        /// The proposal replied to, by its key.
        proposal: Option<String>,
        /// When first written.
        written: Option<Mark>,
        /// The words.
        text: String,
    }
}

record! {
    /// An improvement idea.
    Suggestion of core::Suggestion {
        /// Whose.
        author: Option<Id>,
        /// When first written.
        written: Option<Mark>,
        /// In a line.
        title: String,
        /// The job it arose from.
        work_order: Option<Id>,
        /// The idea.
        text: String,
    }
}

record! {
    /// A decision on a proposal, or on a suggestion's adoption.
    Appraisal of core::Appraisal {
        /// The proposal decided, by its key.
        proposal: String,
        /// The rule.
        rule: Option<Rule>,
        /// Whom it concerns.
        staff: Option<Id>,
        /// The suggestion adopted or declined.
        suggestion: Option<Id>,
        /// The decision.
        decision: Option<Ruling>,
        /// The evidence as it stood: JSON of the proposal.
        evidence: Option<String>,
    }
}

record! {
    /// What was decided.
    Ruling of core::Ruling {
        /// When, by whom, why.
        why: Reasoned,
        /// The decision.
        decision: Decision,
        /// 情节轻重
        severity: Option<Severity>,
        /// Penalty (negative) or reward, in fen.
        amount: i64,
        /// Whether a suggestion is a major one (重大改进建议).
        major: bool,
    }
}

item! {
    /// Why another dispatch of the same work order was needed.
    Redispatch of core::Reasoned, by id: core::ItemId => Id {
        /// When.
        at: When,
        /// Who.
        by: Id,
        /// Why.
        reason: String,
    }
}

item! {
    /// A contradiction that the office settled.
    SettledContradiction of core::Reasoned, by key: String => String {
        /// When.
        at: When,
        /// Who.
        by: Id,
        /// Why.
        reason: String,
    }
}

item! {
    /// Where a machine taken back stands.
    ReturnedMachineStep of core::Mark, by step: core::ReturnStep => ReturnStep {
        /// When.
        at: When,
        /// Who.
        by: Id,
    }
}

/// The final number of a visit's record.
#[derive(Clone, Debug, PartialEq, uniffi::Record)]
pub struct RecordNumber {
    /// The visit.
    pub visit: Id,
    /// Its number.
    pub number: String,
}

impl Keyed<core::VisitId> for String {
    type As = RecordNumber;
    fn keyed(self, visit: core::VisitId) -> RecordNumber {
        RecordNumber { visit: visit.mirror(), number: self }
    }
}

/// The number a visit's record was given on a phone.
#[derive(Clone, Debug, PartialEq, uniffi::Record)]
pub struct ProvisionalNumber {
    /// Who opened the visit.
    pub by: Id,
    /// The number.
    pub number: String,
}

impl Keyed<core::StaffId> for String {
    type As = ProvisionalNumber;
    fn keyed(self, by: core::StaffId) -> ProvisionalNumber {
        ProvisionalNumber { by: by.mirror(), number: self }
    }
}

/// The content of a document, by kind.
#[derive(Clone, Debug, PartialEq, uniffi::Enum)]
#[expect(clippy::large_enum_variant, reason = "it is handed over at once; the platforms have no boxes")]
pub enum Content {
    /// A member of staff.
    Staff(Staff),
    /// The company's settings.
    Settings(Settings),
    /// A customer file.
    Customer(Customer),
    /// A repair request.
    Request(Request),
    /// A work order.
    WorkOrder(WorkOrder),
    /// A visit.
    Visit(Visit),
    /// A follow-up call.
    FollowUp(FollowUp),
    /// A complaint.
    Complaint(Complaint),
    /// A technician's statement.
    Statement(Statement),
    /// An improvement idea.
    Suggestion(Suggestion),
    /// A decision on a proposal.
    Appraisal(Appraisal),
}

impl Mirror for core::Entity {
    type As = Content;
    fn mirror(self) -> Content {
        match self {
            core::Entity::Staff(x) => Content::Staff(x.mirror()),
            core::Entity::Settings(x) => Content::Settings(x.mirror()),
            core::Entity::Customer(x) => Content::Customer(x.mirror()),
            core::Entity::Request(x) => Content::Request(x.mirror()),
            core::Entity::WorkOrder(x) => Content::WorkOrder(x.mirror()),
            core::Entity::Visit(x) => Content::Visit(x.mirror()),
            core::Entity::FollowUp(x) => Content::FollowUp(x.mirror()),
            core::Entity::Complaint(x) => Content::Complaint(x.mirror()),
            core::Entity::Statement(x) => Content::Statement(x.mirror()),
            core::Entity::Suggestion(x) => Content::Suggestion(x.mirror()),
            core::Entity::Appraisal(x) => Content::Appraisal(x.mirror()),
        }
    }
}
