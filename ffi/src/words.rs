//! Closed sets of words, as in the core.

use crate::mirror::Mirror;
use onsite_core::domain as core;

macro_rules! words {
    ($($(#[$m:meta])* $name:ident of $core:ty { $($(#[$vm:meta])* $v:ident),+ $(,)? })+) => {$(
        $(#[$m])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, uniffi::Enum)]
        pub enum $name { $($(#[$vm])* $v),+ }
        impl Mirror for $core {
            type As = $name;
            fn mirror(self) -> $name {
                match self { $(<$core>::$v => $name::$v),+ }
            }
        }
        impl From<$name> for $core {
            fn from(word: $name) -> Self {
                match word { $($name::$v => <$core>::$v),+ }
            }
        }
    )+};
}

/// What a document is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, uniffi::Enum)]
pub enum Kind {
    /// A member of staff.
    Staff,
    /// The company's settings.
    Settings,
    /// A customer file.
    Customer,
    /// A repair request.
    Request,
    /// A work order with its dispatch order.
    WorkOrder,
    /// A visit: the on-site record.
    Visit,
    /// A follow-up call.
    FollowUp,
    /// A complaint.
    Complaint,
    /// A technician's statement.
    Statement,
    /// An improvement idea.
    Suggestion,
    /// A decision on a proposed penalty or reward.
    Appraisal,
}

impl Kind {
    /// In the order of the core's numbers.
    const ALL: [Kind; 11] = [
        Kind::Staff,
        Kind::Settings,
        Kind::Customer,
        Kind::Request,
        Kind::WorkOrder,
        Kind::Visit,
        Kind::FollowUp,
        Kind::Complaint,
        Kind::Statement,
        Kind::Suggestion,
        Kind::Appraisal,
    ];
}

impl Mirror for core::Kind {
    type As = Kind;
    fn mirror(self) -> Kind {
        Kind::ALL[usize::from(self.number())]
    }
}

impl From<Kind> for core::Kind {
    fn from(kind: Kind) -> Self {
        core::Kind::ALL[kind as usize]
    }
}

words! {
    /// What a person may do. One person may hold several roles.
    Role of core::Role {
        /// 销售内勤
        Clerk,
        /// 售后经理
        ServiceManager,
        /// 售后人员
        Technician,
        /// 仓管
        Warehouse,
        /// 财务
        Finance,
        /// 办公室主任
        OfficeDirector,
        /// 生产部门
        Production,
        /// 管理员
        Admin,
    }
    /// 服务类别
    WorkType of core::WorkType {
        /// 安装
        Installation,
        /// 维修
        Repair,
    }
    /// 客户属性
    Entitlement of core::Entitlement {
        /// 保内客户
        InWarranty,
        /// 按年合同客户
        AnnualContract,
        /// 按次合同客户
        PerVisit,
    }
    /// 处理结果
    Outcome of core::Outcome {
        /// 已完成服务
        Completed,
        /// 未完成服务
        Incomplete,
    }
    /// 未完成的原因
    IncompleteReason of core::IncompleteReason {
        /// 需返修
        ReturnForRepair,
        /// 更换设备
        ReplaceEquipment,
        /// 其它, 见备注
        Other,
    }
    /// 满意度
    Satisfaction of core::Satisfaction {
        /// 很满意
        VerySatisfied,
        /// 满意
        Satisfied,
        /// 一般
        Neutral,
        /// 不满意
        Dissatisfied,
    }
    /// 不满意的原因
    Dissatisfaction of core::Dissatisfaction {
        /// 服务态度
        Attitude,
        /// 技术水平
        Skill,
        /// 速度
        Speed,
    }
    /// Who signs the dispatch order off.
    SignoffRole of core::SignoffRole {
        /// 仓管签字
        Warehouse,
        /// 售后经理签字
        ServiceManager,
        /// 财务签字
        Finance,
        /// 办公室主任
        OfficeDirector,
    }
    /// What happened in a technician's day.
    EventKind of core::EventKind {
        /// 接单
        Acknowledged,
        /// 出发
        TravelStarted,
        /// 到达现场
        Arrived,
        /// 开始作业
        WorkStarted,
        /// 暂停
        Paused,
        /// 继续
        Resumed,
        /// 作业结束
        WorkEnded,
        /// 设备恢复运行
        Restored,
        /// 离开现场
        Departed,
    }
    /// 验货结果
    CheckResult of core::CheckResult {
        /// 合格
        Passed,
        /// 不合格
        Failed,
        /// 不适用
        NotApplicable,
    }
    /// 合同类别
    ContractKind of core::ContractKind {
        /// 按年合同
        Annual,
        /// 按次合同
        PerVisit,
    }
    /// 回访结果
    CallOutcome of core::CallOutcome {
        /// 正常使用, 无任何故障
        Normal,
        /// 出现问题
        Problem,
        /// 未接通
        Unreachable,
    }
    /// What a complaint is about.
    ComplaintAbout of core::ComplaintAbout {
        /// 未及时到达现场
        LateArrival,
        /// 未及时沟通
        Communication,
        /// 货物失查
        GoodsNotInspected,
        /// 其它
        Other,
    }
    /// The company's rules of penalty and reward.
    Rule of core::Rule {
        /// 处罚规则 1: late arrival
        LateArrival,
        /// 处罚规则 2: problem not communicated in time
        NotCommunicated,
        /// 处罚规则 3: goods not inspected
        NotInspected,
        /// 奖励规则 1: a quarter without complaints
        NoComplaints,
        /// 奖励规则 2: an adopted major suggestion
        AdoptedSuggestion,
    }
    /// The manager's decision on a proposal.
    Decision of core::Decision {
        /// 确认
        Confirmed,
        /// 免除
        Waived,
        /// 采纳
        Adopted,
        /// 不采纳
        Declined,
    }
    /// 情节轻重
    Severity of core::Severity {
        /// 轻微
        Minor,
        /// 一般
        Moderate,
        /// 严重
        Serious,
    }
    /// How a customer paid.
    PayMethod of core::PayMethod {
        /// 现金
        Cash,
        /// 转账
        Transfer,
        /// 支票
        Cheque,
        /// 扫码
        Qr,
    }
    /// What a technician spent money on.
    ExpenseCategory of core::ExpenseCategory {
        /// 交通
        Travel,
        /// 住宿
        Lodging,
        /// 餐饮
        Meals,
        /// 零件
        Parts,
        /// 其它
        Other,
    }
    /// Where a machine taken back by production stands.
    ReturnStep of core::ReturnStep {
        /// 已收到
        Received,
        /// 已修复
        Repaired,
        /// 已发回
        SentBack,
        /// 已更换
        Replaced,
    }
    /// How a customer was contacted.
    Channel of core::Channel {
        /// 电话
        Phone,
        /// 微信
        Wechat,
        /// 当面
        InPerson,
        /// 其它
        Other,
    }
    /// Where a job stands: derived from merged facts.
    Stage of core::stage::Stage {
        /// 报修: reported, no work order yet.
        Reported,
        /// 报修 taken back.
        Withdrawn,
        /// Work order opened, form 1 not issued.
        Planning,
        /// Form 1 issued, signatures missing.
        AwaitingSignoffs,
        /// Signed; not acknowledged.
        Dispatched,
        /// 接单
        Acknowledged,
        /// On the way.
        Travelling,
        /// On site.
        OnSite,
        /// Result given, customer has neither signed nor refused.
        AwaitingCustomer,
        /// 已完成
        Completed,
        /// 未完成: return, replacement or other; the follow-on is not through.
        Incomplete,
        /// 已回馈: the customer was told.
        CustomerTold,
        /// 注销
        Closed,
        /// 存档
        Archived,
        /// 取消
        Cancelled,
    }
    /// How far an edit has got.
    Delivery of onsite_core::engine::Delivery {
        /// Only here.
        OnThisPhone,
        /// The server has some, or holds some aside.
        Received,
        /// The server has all, durably.
        Accepted,
        /// And somebody at the office looked at it since.
        SeenByOffice,
    }
    /// A language of screens and printed forms.
    Language of onsite_core::messages::Language {
        /// 简体中文
        ZhCn,
        /// English
        En,
    }
}
