//! The documents' content: every field of the procedure, by kind.
//!
//! Rules of the shape, which the codec relies on:
//! - A struct or a map is flattened: each leaf is one key of the document, so
//!   two authors clash on a leaf at most, never on a container.
//! - Maps are keyed by an item's id, or by a word that the procedure fixes.
//!   Items are never deleted, they are marked `removed`.
//! - What must be set as one is an [`Atomic`]; what is merged by character a
//!   [`Text`]; what adds up a [`Count`]; what is a set a [`Flags`].
//! - There are no lists and no enums with data outside an [`Atomic`].
//! - Fields are only ever added; each has a default, so old documents load.

use super::{id::*, time::*, value::*};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Declares a closed set of words with their stable spelling.
macro_rules! words {
    ($($(#[doc = $doc:literal])* $name:ident { $($(#[doc = $vdoc:literal])* $variant:ident = $word:literal),+ $(,)? })+) => {$(
        $(#[doc = $doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        pub enum $name {
            $($(#[doc = $vdoc])* #[serde(rename = $word)] $variant),+
        }
        #[cfg(feature = "schema")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                super::schema::words(concat!($($doc),*), &[$(($word, concat!($($vdoc),*))),+])
            }
        }
        #[cfg(feature = "schema")]
        impl utoipa::ToSchema for $name {}
        impl $name {
            /// Every word of the set.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// The stable spelling, as stored and sent; also the message key's last part.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
        impl std::str::FromStr for $name {
            type Err = UnknownWord;
            fn from_str(s: &str) -> Result<Self, UnknownWord> {
                match s { $($word => Ok(Self::$variant),)+ _ => Err(UnknownWord { set: stringify!($name), word: s.chars().take(40).collect() }) }
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.word())
            }
        }
    )+};
}

/// A word outside its closed set.
#[derive(Debug, thiserror::Error)]
#[error("unknown {set}: {word:?}")]
pub struct UnknownWord {
    /// The set.
    pub set: &'static str,
    /// The word.
    pub word: String,
}

words! {
    /// What a person may do. One person may hold several roles.
    Role {
        /// 销售内勤
        Clerk = "clerk",
        /// 售后经理
        ServiceManager = "service_manager",
        /// 售后人员
        Technician = "technician",
        /// 仓管
        Warehouse = "warehouse",
        /// 财务
        Finance = "finance",
        /// 办公室主任
        OfficeDirector = "office_director",
        /// 生产部门
        Production = "production",
        /// 管理员
        Admin = "admin",
    }
    /// 服务类别
    WorkType {
        /// 安装
        Installation = "installation",
        /// 维修
        Repair = "repair",
    }
    /// 客户属性
    Entitlement {
        /// 保内客户
        InWarranty = "in_warranty",
        /// 按年合同客户
        AnnualContract = "annual_contract",
        /// 按次合同客户
        PerVisit = "per_visit",
    }
    /// 处理结果
    Outcome {
        /// 已完成服务
        Completed = "completed",
        /// 未完成服务
        Incomplete = "incomplete",
    }
    /// 未完成的原因
    IncompleteReason {
        /// 需返修
        ReturnForRepair = "return_for_repair",
        /// 更换设备
        ReplaceEquipment = "replace_equipment",
        /// 其它, 见备注
        Other = "other",
    }
    /// 满意度
    Satisfaction {
        /// 很满意
        VerySatisfied = "very_satisfied",
        /// 满意
        Satisfied = "satisfied",
        /// 一般
        Neutral = "neutral",
        /// 不满意
        Dissatisfied = "dissatisfied",
    }
    /// 不满意的原因
    Dissatisfaction {
        /// 服务态度
        Attitude = "attitude",
        /// 技术水平
        Skill = "skill",
        /// 速度
        Speed = "speed",
    }
    /// Who signs the dispatch order off.
    SignoffRole {
        /// 仓管签字
        Warehouse = "warehouse",
        /// 售后经理签字
        ServiceManager = "service_manager",
        /// 财务签字
        Finance = "finance",
        /// 办公室主任
        OfficeDirector = "office_director",
    }
    /// What happened in a technician's day.
    EventKind {
        /// 接单
        Acknowledged = "acknowledged",
        /// 出发
        TravelStarted = "travel_started",
        /// 到达现场
        Arrived = "arrived",
        /// 开始作业
        WorkStarted = "work_started",
        /// 暂停
        Paused = "paused",
        /// 继续
        Resumed = "resumed",
        /// 作业结束
        WorkEnded = "work_ended",
        /// 设备恢复运行
        Restored = "restored",
        /// 离开现场
        Departed = "departed",
    }
    /// 验货结果
    CheckResult {
        /// 合格
        Passed = "passed",
        /// 不合格
        Failed = "failed",
        /// 不适用
        NotApplicable = "not_applicable",
    }
    /// 合同类别
    ContractKind {
        /// 按年合同
        Annual = "annual",
        /// 按次合同
        PerVisit = "per_visit",
    }
    /// 回访结果
    CallOutcome {
        /// 正常使用, 无任何故障
        Normal = "normal",
        /// 出现问题
        Problem = "problem",
        /// 未接通
        Unreachable = "unreachable",
    }
    /// What a complaint is about.
    ComplaintAbout {
        /// 未及时到达现场
        LateArrival = "late_arrival",
        /// 未及时沟通
        Communication = "communication",
        /// 货物失查
        GoodsNotInspected = "goods_not_inspected",
        /// 其它
        Other = "other",
    }
    /// The company's rules of penalty and reward.
    Rule {
        /// 处罚规则 1: late arrival
        LateArrival = "P1",
        /// 处罚规则 2: problem not communicated in time
        NotCommunicated = "P2",
        /// 处罚规则 3: goods not inspected
        NotInspected = "P3",
        /// 奖励规则 1: a quarter without complaints
        NoComplaints = "R1",
        /// 奖励规则 2: an adopted major suggestion
        AdoptedSuggestion = "R2",
    }
    /// The manager's decision on a proposal.
    Decision {
        /// 确认
        Confirmed = "confirmed",
        /// 免除
        Waived = "waived",
        /// 采纳
        Adopted = "adopted",
        /// 不采纳
        Declined = "declined",
    }
    /// 情节轻重
    Severity {
        /// 轻微
        Minor = "minor",
        /// 一般
        Moderate = "moderate",
        /// 严重
        Serious = "serious",
    }
    /// How a customer paid.
    PayMethod {
        /// 现金
        Cash = "cash",
        /// 转账
        Transfer = "transfer",
        /// 支票
        Cheque = "cheque",
        /// 扫码
        Qr = "qr",
    }
    /// What a technician spent money on.
    ExpenseCategory {
        /// 交通
        Travel = "travel",
        /// 住宿
        Lodging = "lodging",
        /// 餐饮
        Meals = "meals",
        /// 零件
        Parts = "parts",
        /// 其它
        Other = "other",
    }
    /// Where a machine taken back by production stands.
    ReturnStep {
        /// 已收到
        Received = "received",
        /// 已修复
        Repaired = "repaired",
        /// 已发回
        SentBack = "sent_back",
        /// 已更换
        Replaced = "replaced",
    }
    /// How a customer was contacted.
    Channel {
        /// 电话
        Phone = "phone",
        /// 微信
        Wechat = "wechat",
        /// 当面
        InPerson = "in_person",
        /// 其它
        Other = "other",
    }
}

/// Somebody did something at some time.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Mark {
    /// When.
    pub at: Stamp,
    /// Who.
    pub by: StaffId,
}

/// A mark with a reason.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Reasoned {
    /// When.
    pub at: Stamp,
    /// Who.
    pub by: StaffId,
    /// Why.
    pub reason: String,
}

/// A place on Earth, degrees times 10^7 (about a centimetre).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Position {
    /// Latitude in degrees × 10⁷, north positive.
    pub lat_e7: i32,
    /// Longitude in degrees × 10⁷, east positive.
    pub lon_e7: i32,
    /// Radius of confidence in metres.
    pub accuracy_m: u32,
}

/// A member of staff.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Staff {
    /// Name.
    pub name: String,
    /// 工号
    pub code: String,
    /// Phone number.
    pub phone: String,
    /// Roles held.
    pub roles: Flags<Role>,
    /// When and why the person left, if they did.
    pub left: Option<Atomic<Reasoned>>,
}

/// The company's settings: what the procedure leaves open.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Settings {
    /// The company's name, printed on the forms.
    pub company: String,
    /// The company's zone: minutes east of UTC.
    pub utc_offset_minutes: i32,
    /// Hours from the repair report to the arrival deadline when none is given.
    pub arrival_hours: i64,
    /// Hours from a customer's feedback to the technician's contact with them.
    pub communication_hours: i64,
    /// Days between follow-up calls.
    pub call_interval_days: i64,
    /// Months of warranty from installation when the equipment says nothing.
    pub warranty_months: i64,
    /// Minutes of doubt beyond which a time proves nothing.
    pub doubtful_minutes: i64,
    /// Days within which a return to the same equipment counts as a repeat.
    pub repeat_days: i64,
    /// Largest photo in bytes.
    pub photo_bytes: i64,
    /// Checklist: what is inspected when goods arrive, by key.
    pub checklist: BTreeMap<String, ChecklistItem>,
    /// Parts catalogue, by part number.
    pub parts: BTreeMap<String, CataloguePart>,
    /// 情节轻重: what the company calls each degree, and what it usually costs.
    pub severities: BTreeMap<Severity, SeverityLevel>,
}

impl Default for Settings {
    fn default() -> Self {
        let check =
            |zh: &str, en: &str| ChecklistItem { label: zh.into(), label_en: en.into(), photo: true, dropped: false };
        Self {
            company: String::new(),
            utc_offset_minutes: 480,
            arrival_hours: 48,
            communication_hours: 24,
            call_interval_days: 90,
            warranty_months: 12,
            doubtful_minutes: 10,
            repeat_days: 30,
            photo_bytes: 20 << 20,
            checklist: [
                ("model", check("产品型号", "Model")),
                ("quantity", check("数量", "Quantity")),
                ("label", check("标识", "Label")),
                ("packaging", check("产品包装外观", "Packaging")),
            ]
            .into_iter()
            .map(|(k, v)| (k.into(), v))
            .collect(),
            parts: BTreeMap::new(),
            severities: [
                (Severity::Minor, "轻微", "Minor"),
                (Severity::Moderate, "一般", "Moderate"),
                (Severity::Serious, "严重", "Serious"),
            ]
            .into_iter()
            .map(|(s, zh, en)| (s, SeverityLevel { label: zh.into(), label_en: en.into(), penalty: Fen(0) }))
            .collect(),
        }
    }
}

/// One degree of severity.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct SeverityLevel {
    /// Chinese label.
    pub label: String,
    /// English label.
    pub label_en: String,
    /// The usual penalty, as an amount of nothing or more; the manager decides each.
    pub penalty: Fen,
}

/// One line of the checklist.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct ChecklistItem {
    /// Chinese label.
    pub label: String,
    /// English label.
    pub label_en: String,
    /// Whether a photo is required.
    pub photo: bool,
    /// No longer asked.
    pub dropped: bool,
}

/// One part of the catalogue.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct CataloguePart {
    /// Name.
    pub name: String,
    /// Unit of count, such as 个.
    pub unit: String,
    /// Price per unit.
    pub price: Fen,
}

/// A customer file.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Customer {
    /// 客户名称
    pub name: String,
    /// The company's own number for the customer.
    pub code: String,
    /// Contacts; the first not removed is the main one.
    pub contacts: BTreeMap<ItemId, Contact>,
    /// Addresses; the first not removed is the main one.
    pub addresses: BTreeMap<ItemId, Address>,
    /// Machines at the customer's.
    pub equipment: BTreeMap<ItemId, Equipment>,
    /// Service contracts.
    pub contracts: BTreeMap<ItemId, Contract>,
    /// 尾款: amounts owed as they arose.
    pub charges: BTreeMap<ItemId, Atomic<Charge>>,
    /// When the project was completed 工程竣工.
    pub project_completed: Option<Date>,
    /// Days between follow-up calls, if other than the company's.
    pub call_interval_days: Option<i64>,
    /// Next follow-up call, if set by hand; otherwise derived.
    pub next_call: Option<Date>,
    /// Free notes.
    pub notes: Text,
}

/// A person to speak to.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Contact {
    /// 联系人
    pub name: String,
    /// 电话
    pub phone: String,
    /// What they do.
    pub position: String,
    /// Taken out.
    pub removed: bool,
}

/// A place of service.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Address {
    /// Such as 一车间.
    pub label: String,
    /// 地址
    pub text: String,
    /// Taken out.
    pub removed: bool,
}

/// A machine.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Equipment {
    /// 产品型号
    pub model: String,
    /// Serial number.
    pub serial: String,
    /// Name used on site.
    pub name: String,
    /// The address it stands at.
    pub address: Option<ItemId>,
    /// First day in service.
    pub installed: Option<Date>,
    /// Last day of warranty, if agreed; otherwise `installed` plus the company's months.
    pub warranty_until: Option<Date>,
    /// The machine that replaced it.
    pub replaced_by: Option<ItemId>,
    /// Taken out.
    pub removed: bool,
}

/// A service contract.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Contract {
    /// Per year or per visit.
    pub kind: ContractKind,
    /// Its number.
    pub number: String,
    /// First day.
    pub from: Option<Date>,
    /// Last day.
    pub to: Option<Date>,
    /// The one machine it covers; all where absent.
    pub equipment: Option<ItemId>,
    /// Ended early, or entered by mistake.
    pub removed: bool,
}

impl Default for Contract {
    fn default() -> Self {
        Self {
            kind: ContractKind::PerVisit,
            number: String::new(),
            from: None,
            to: None,
            equipment: None,
            removed: false,
        }
    }
}

/// An amount the customer owes.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Charge {
    /// When it was entered, by whom.
    pub mark: Mark,
    /// Amount; negative corrects.
    pub amount: Fen,
    /// What for.
    pub what: String,
}

/// A repair request 报修服务单.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Request {
    /// Provisional number, given where it was written.
    pub provisional_number: String,
    /// Who wrote it.
    pub author: Option<StaffId>,
    /// The customer, if known.
    pub customer: Option<CustomerId>,
    /// 客户名称, as told.
    pub customer_name: String,
    /// 联系人
    pub contact_name: String,
    /// 联系电话
    pub contact_phone: String,
    /// 地址
    pub address: String,
    /// The machine, if known.
    pub equipment: Option<ItemId>,
    /// What is wrong.
    pub problem: Text,
    /// 报修时间: starts the response clock.
    pub reported: Option<Stamp>,
    /// Photos of the fault.
    pub photos: BTreeMap<ItemId, Photo>,
    /// Taken back, with the reason.
    pub withdrawn: Option<Atomic<Reasoned>>,
}

/// A work order: the office's side of a job.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct WorkOrder {
    /// Final number, written by the server.
    pub number: Option<String>,
    /// 编号: final numbers of its visits, written by the server.
    pub record_numbers: BTreeMap<VisitId, String>,
    /// Final number of its request, written by the server.
    pub request_number: Option<String>,
    /// The request it answers.
    pub request: Option<RequestId>,
    /// The customer.
    pub customer: Option<CustomerId>,
    /// The machine.
    pub equipment: Option<ItemId>,
    /// 安装 or 维修
    pub work_type: Option<WorkType>,
    /// When the work order was opened, by whom.
    pub opened: Option<Atomic<Mark>>,
    /// The job this one goes on from.
    pub follow_on_of: Option<WorkOrderId>,
    /// 报修时间, as entitlement and response are reckoned from.
    pub reported: Option<Stamp>,
    /// An entitlement set by hand, with its reason.
    pub entitlement_override: Option<Atomic<EntitlementOverride>>,
    /// Form 1.
    pub dispatch: Dispatch,
    /// Signatures under form 1.
    pub signoffs: BTreeMap<SignoffRole, Atomic<Signoff>>,
    /// Everybody ever assigned.
    pub assignments: BTreeMap<ItemId, Assignment>,
    /// Latest arrival.
    pub arrival_deadline: Option<Millis>,
    /// When the job is planned to begin.
    pub planned_start: Option<Millis>,
    /// Which dispatch of this work order is current, from 1; each has its own visit.
    pub round: u32,
    /// Why each round after the first was needed.
    pub redispatched: BTreeMap<ItemId, Atomic<Reasoned>>,
    /// 财务: the advance was paid.
    pub advance_paid: Option<Atomic<Mark>>,
    /// 财务: money booked, in from the customer or back from the technician.
    pub bookings: BTreeMap<ItemId, Atomic<Booking>>,
    /// 取消
    pub cancelled: Option<Atomic<Reasoned>>,
    /// 注销报修记录
    pub closed: Option<Atomic<Mark>>,
    /// 服务单存档
    pub archived: Option<Atomic<Mark>>,
    /// 向客户回馈
    pub feedback: Option<Atomic<Feedback>>,
    /// What the office made of the customer's words, by visit.
    pub opinions: BTreeMap<VisitId, Atomic<Analysis>>,
    /// 返修 / 更换: where the machine stands.
    pub returned_machine: BTreeMap<ReturnStep, Atomic<Mark>>,
    /// Facts that contradicted each other and were settled, by a key naming them.
    pub settled: BTreeMap<String, Atomic<Reasoned>>,
}

/// Form 1: the dispatch order 售后人员派遣单.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Dispatch {
    /// Issued: freezes `order_date` and the customer's particulars.
    pub issued: Option<Atomic<Mark>>,
    /// 填写日期
    pub order_date: Option<Date>,
    /// 客户名称
    pub customer_name: String,
    /// 联系人
    pub contact_name: String,
    /// 联系电话
    pub contact_phone: String,
    /// 地址
    pub service_address: String,
    /// 预计逗留时间, in minutes.
    pub expected_stay_minutes: Option<i64>,
    /// 服务内容
    pub service_description: Text,
    /// 必备的安装工具及零部件
    pub items: BTreeMap<ItemId, RequiredItem>,
    /// 借款金额
    pub cash_advance: Fen,
    /// 需要收回的尾款金额
    pub balance_to_collect: Fen,
    /// 备注
    pub remarks: Text,
}

/// A tool or part to take along.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct RequiredItem {
    /// Number in the catalogue, if it is there.
    pub part_no: String,
    /// Name.
    pub name: String,
    /// Unit of count.
    pub unit: String,
    /// Quantity required.
    pub required: i64,
    /// Quantity the warehouse issued.
    pub issued: Count,
    /// Quantity brought back to the warehouse.
    pub returned: Count,
    /// Taken out.
    pub removed: bool,
}

/// One person's assignment to a work order.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Assignment {
    /// Who was sent.
    pub technician: Option<StaffId>,
    /// Whether they lead.
    pub lead: bool,
    /// When, by whom.
    pub assigned: Option<Atomic<Mark>>,
    /// When and why it ended, if it did.
    pub ended: Option<Atomic<Reasoned>>,
}

/// An entitlement set by hand.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct EntitlementOverride {
    /// What it is to be.
    pub entitlement: Entitlement,
    /// When, by whom and why.
    pub why: Reasoned,
}

/// A signature under form 1.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Signoff {
    /// When, by whom.
    pub mark: Mark,
    /// Hash of the content that was signed.
    pub content: Sha256,
}

/// Money booked by finance.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Booking {
    /// When, by whom.
    pub mark: Mark,
    /// The receipt (of the visit) it books, if it books one.
    pub receipt: Option<ItemId>,
    /// Amount; negative corrects.
    pub amount: Fen,
    /// What for.
    pub what: String,
}

/// 向客户回馈: what the customer was told.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Feedback {
    /// When, by whom.
    pub mark: Mark,
    /// 问题情况
    pub problem: String,
    /// 解决问题 (true) or 无法解决.
    pub solved: bool,
}

/// 分析用户意见: what the office made of a customer's words.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Analysis {
    /// When, by whom.
    pub mark: Mark,
    /// What follows from them.
    pub text: String,
}

/// Form 2: the visit 售后服务现场安装(维修)记录.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Visit {
    /// The work order it serves, unless it was unplanned.
    pub work_order: Option<WorkOrderId>,
    /// The request it serves, for an unplanned visit.
    pub request: Option<RequestId>,
    /// Which dispatch of the work order.
    pub round: u32,
    /// Provisional numbers, by the person who opened it on a phone.
    pub provisional_numbers: BTreeMap<StaffId, String>,
    /// What happened when: only ever added to.
    pub events: BTreeMap<ItemId, Atomic<VisitEvent>>,
    /// Inspection of the goods, by checklist key.
    pub checks: BTreeMap<String, Check>,
    /// 服务内容
    pub service_description: Text,
    /// What was found to be wrong.
    pub diagnosis: Text,
    /// 处理方案
    pub resolution: Text,
    /// 备注
    pub remarks: Text,
    /// Parts and tools, by item; a required item of the dispatch order keeps its id.
    pub items: BTreeMap<ItemId, UsedItem>,
    /// Photos.
    pub photos: BTreeMap<ItemId, Photo>,
    /// Notes in the order of the day.
    pub notes: BTreeMap<ItemId, Atomic<Note>>,
    /// Contacts with the customer.
    pub contacts: BTreeMap<ItemId, Atomic<ContactLog>>,
    /// 处理结果
    pub outcome: Option<Outcome>,
    /// 未完成的原因
    pub incomplete_reason: Option<IncompleteReason>,
    /// When the result was given, by whom.
    pub outcome_given: Option<Atomic<Mark>>,
    /// 您的设备已经验收并正常
    pub acceptance: Option<Atomic<Acceptance>>,
    /// 满意度
    pub satisfaction: Option<Satisfaction>,
    /// 不满意的原因
    pub dissatisfaction_reasons: Flags<Dissatisfaction>,
    /// 宝贵意见
    pub customer_comment: Text,
    /// 签字
    pub signature: Option<Atomic<Signature>>,
    /// The customer would not sign.
    pub signature_refused: Option<Atomic<Reasoned>>,
    /// 收款: only ever added to.
    pub receipts: BTreeMap<ItemId, Atomic<Receipt>>,
    /// What was spent of the advance: only ever added to.
    pub expenses: BTreeMap<ItemId, Atomic<Expense>>,
}

/// Something that happened.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct VisitEvent {
    /// What.
    pub kind: EventKind,
    /// When, by whom.
    pub mark: Mark,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// The event it corrects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrects: Option<ItemId>,
}

/// One line of the inspection.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Check {
    /// How it came out.
    pub result: Option<CheckResult>,
    /// What was seen.
    pub note: String,
    /// When, by whom.
    pub mark: Option<Atomic<Mark>>,
}

/// A part or tool on site.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct UsedItem {
    /// Number in the catalogue, if it is there.
    pub part_no: String,
    /// Name.
    pub name: String,
    /// Unit of count.
    pub unit: String,
    /// Quantity used.
    pub used: Count,
    /// Quantity not used and taken back.
    pub taken_back: Count,
}

/// A photo: a reference to a blob.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Photo {
    /// The blob.
    pub blob: Option<Sha256>,
    /// Its size in bytes.
    pub size: i64,
    /// Its media type.
    pub media_type: String,
    /// Caption.
    pub caption: String,
    /// The checklist key it shows, if any.
    pub check: Option<String>,
    /// When it was taken, by whom.
    pub taken: Option<Atomic<Mark>>,
    /// Taken out.
    pub removed: bool,
}

/// A note.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Note {
    /// When, by whom.
    pub mark: Mark,
    /// Text.
    pub text: String,
}

/// A contact with the customer.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ContactLog {
    /// When, by whom.
    pub mark: Mark,
    /// How.
    pub channel: Channel,
    /// With whom.
    pub with: String,
    /// What was said.
    pub summary: String,
}

/// 验收
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Acceptance {
    /// When, on whose phone.
    pub mark: Mark,
    /// Whether the customer accepted the equipment as working.
    pub accepted: bool,
    /// The customer's words where they did not.
    #[serde(default)]
    pub remark: String,
}

/// The customer's signature, bound to what was shown.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Signature {
    /// When, on whose phone.
    pub mark: Mark,
    /// Who signed.
    pub name: String,
    /// The strokes.
    pub strokes: Strokes,
    /// Heads of the document that was shown.
    pub heads: Vec<ChangeHash>,
    /// Hash of the content that was shown.
    pub content: Sha256,
}

/// Pen strokes: points `x,y` in a box of 1000 × 400, separated by blanks;
/// strokes separated by `;`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct Strokes(pub String);

/// 收款: money taken from the customer.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Receipt {
    /// When, by whom.
    pub mark: Mark,
    /// Amount; negative corrects.
    pub amount: Fen,
    /// How.
    pub method: PayMethod,
    /// Number of the paper receipt, or a word.
    #[serde(default)]
    pub reference: String,
}

/// Money spent.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Expense {
    /// When, by whom.
    pub mark: Mark,
    /// Amount; negative corrects.
    pub amount: Fen,
    /// On what.
    pub category: ExpenseCategory,
    /// A word.
    #[serde(default)]
    pub note: String,
}

/// A follow-up call 回访.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct FollowUp {
    /// Whom.
    pub customer: Option<CustomerId>,
    /// Due day.
    pub due: Option<Date>,
    /// Done, by whom.
    pub done: Option<Atomic<Mark>>,
    /// How it came out.
    pub outcome: Option<CallOutcome>,
    /// The customer's opinion: recorded and analysed.
    pub opinion: Text,
    /// What the analysis said.
    pub analysis: Text,
    /// The request that came of it.
    pub request: Option<RequestId>,
}

/// A complaint 投诉.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Complaint {
    /// Whose.
    pub customer: Option<CustomerId>,
    /// About which job.
    pub work_order: Option<WorkOrderId>,
    /// About whom.
    pub staff: Flags<StaffId>,
    /// About what.
    pub about: Option<ComplaintAbout>,
    /// When it was received.
    pub received: Option<Stamp>,
    /// Who took it.
    pub taken_by: Option<StaffId>,
    /// In the customer's words.
    pub description: Text,
    /// How it was settled.
    pub resolved: Option<Atomic<Reasoned>>,
    /// Found to be without ground.
    pub dismissed: Option<Atomic<Reasoned>>,
}

/// A technician's reply to a complaint or a proposal.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Statement {
    /// Whose words.
    pub author: Option<StaffId>,
    /// The complaint replied to.
    pub complaint: Option<ComplaintId>,
    /// The proposal replied to, by its key.
    pub proposal: Option<String>,
    /// When first written.
    pub written: Option<Atomic<Mark>>,
    /// The words.
    pub text: Text,
}

/// An improvement idea.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Suggestion {
    /// Whose.
    pub author: Option<StaffId>,
    /// When first written.
    pub written: Option<Atomic<Mark>>,
    /// In a line.
    pub title: String,
    /// The job it arose from.
    pub work_order: Option<WorkOrderId>,
    /// The idea.
    pub text: Text,
}

/// A decision on a proposal, or on a suggestion's adoption.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Appraisal {
    /// The proposal decided, by its key.
    pub proposal: String,
    /// The rule.
    pub rule: Option<Rule>,
    /// Whom it concerns.
    pub staff: Option<StaffId>,
    /// The suggestion adopted or declined.
    pub suggestion: Option<SuggestionId>,
    /// The decision.
    pub decision: Option<Atomic<Ruling>>,
    /// The evidence as it stood: JSON of the proposal.
    pub evidence: Option<Atomic<serde_json::Value>>,
}

/// What was decided.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Ruling {
    /// When, by whom, why.
    pub why: Reasoned,
    /// The decision.
    pub decision: Decision,
    /// 情节轻重
    pub severity: Option<Severity>,
    /// Penalty (negative) or reward.
    pub amount: Fen,
    /// Whether a suggestion is a major one (重大改进建议).
    #[serde(default)]
    pub major: bool,
}

/// The content of a document, by kind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "entities are short-lived; boxing would cost every rule a dereference")]
pub enum Entity {
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
    /// A technician's reply.
    Statement(Statement),
    /// An improvement idea.
    Suggestion(Suggestion),
    /// A decision on a proposal.
    Appraisal(Appraisal),
}

/// A kind's own struct, to and from [`Entity`].
pub trait Record: Sized + Clone + Default {
    /// The kind.
    const KIND: Kind;
    /// Wraps.
    fn wrap(self) -> Entity;
    /// Unwraps, if it is of this kind.
    fn unwrap(entity: Entity) -> Option<Self>;
    /// Looks at it, if it is of this kind.
    fn peek(entity: &Entity) -> Option<&Self>;
}

macro_rules! records {
    ($($name:ident),+) => {
        $(impl Record for $name {
            const KIND: Kind = Kind::$name;
            fn wrap(self) -> Entity {
                Entity::$name(self)
            }
            fn unwrap(entity: Entity) -> Option<Self> {
                match entity {
                    Entity::$name(x) => Some(x),
                    _ => None,
                }
            }
            fn peek(entity: &Entity) -> Option<&Self> {
                match entity {
                    Entity::$name(x) => Some(x),
                    _ => None,
                }
            }
        })+
        impl Entity {
            /// The content's kind.
            pub fn kind(&self) -> Kind {
                match self {
                    $(Entity::$name(_) => Kind::$name),+
                }
            }
            /// The content of this JSON, whose kind is known: read faster than where the kind must be found first.
            ///
            /// # Errors
            /// Where it is not the JSON of such a content.
            pub fn from_json(kind: Kind, json: &str) -> serde_json::Result<Self> {
                Ok(match kind {
                    $(Kind::$name => Entity::$name(serde_json::from_str(json)?)),+
                })
            }
            /// The content of a new document.
            pub fn new(kind: Kind) -> Self {
                match kind {
                    $(Kind::$name => Entity::$name(Default::default())),+
                }
            }
        }
    };
}

records!(Staff, Settings, Customer, Request, WorkOrder, Visit, FollowUp, Complaint, Statement, Suggestion, Appraisal);
