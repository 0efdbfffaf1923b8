//! The table of who may do what.

use crate::domain::{Command, Kind, Role};

/// The customer file and the requests: the clerk's, with the service manager beside.
const DESK: &[Role] = &[Role::Clerk, Role::ServiceManager];
/// Who decides on dispatches.
const MANAGER: &[Role] = &[Role::ServiceManager];
/// Who works on site.
const SITE: &[Role] = &[Role::Technician];
/// Who may write repair requests.
const REPORTERS: &[Role] = &[Role::Clerk, Role::ServiceManager, Role::Technician];

/// The roles that may give a command: holding one of them is needed, not
/// always enough (a technician must be assigned, a signer hold the very role
/// signed for, an author write only their own). The admin keeps people and
/// settings, and does nothing else on the quiet.
pub fn roles_for(command: &Command) -> &'static [Role] {
    use Command as C;
    match command {
        C::PutStaff { .. } | C::StaffLeaves { .. } => &[Role::Admin],
        C::ChangeSettings(_) => &[Role::Admin, Role::ServiceManager],

        C::PutCustomer { .. }
        | C::PutContact { .. }
        | C::PutAddress { .. }
        | C::PutEquipment { .. }
        | C::PutContract { .. }
        | C::PlanCall { .. } => DESK,
        C::Charge { .. } => &[Role::Clerk, Role::Finance],

        C::ReportRepair { .. } | C::IdentifyRequest { .. } | C::WithdrawRequest { .. } => REPORTERS,

        C::OpenWorkOrder { .. }
        | C::PlanDispatch { .. }
        | C::RequireItem { .. }
        | C::CancelWorkOrder { .. }
        | C::TellCustomer { .. }
        | C::CloseWorkOrder { .. }
        | C::ArchiveWorkOrder { .. }
        | C::AnalyseOpinion { .. }
        | C::Settle { .. } => DESK,
        C::OverrideEntitlement { .. } | C::Assign { .. } | C::IssueDispatch { .. } | C::Redispatch { .. } => MANAGER,
        C::SignOff { .. } => &[Role::ServiceManager, Role::Warehouse, Role::Finance, Role::OfficeDirector],
        C::IssueItem { .. } | C::TakeBackItem { .. } => &[Role::Warehouse],
        C::PayAdvance { .. } | C::Book { .. } => &[Role::Finance],
        C::MoveReturnedMachine { .. } => &[Role::Production],

        C::OpenVisit { .. }
        | C::OpenUnplannedVisit { .. }
        | C::RecordEvent { .. }
        | C::Inspect { .. }
        | C::AddNote { .. }
        | C::LogContact { .. }
        | C::UseItem { .. }
        | C::SetOutcome { .. }
        | C::Accept { .. }
        | C::Rate { .. }
        | C::Sign { .. }
        | C::RefuseSignature { .. }
        | C::TakePayment { .. }
        | C::Spend { .. } => SITE,
        C::AddPhoto { doc, .. } | C::RemovePhoto { doc, .. } => match doc.kind {
            Kind::Request => REPORTERS,
            _ => SITE,
        },

        C::EditText { doc, .. } | C::ChooseClash { doc, .. } => writers(doc.kind),

        C::RecordCall { .. } => &[Role::Clerk],
        C::FileComplaint { .. } | C::ResolveComplaint { .. } => DESK,
        C::State { .. } => SITE,
        C::Suggest { .. } => Role::ALL,
        C::Appraise { .. } => MANAGER,
    }
}

/// The roles that edit texts and settle clashes of a kind of document.
fn writers(kind: Kind) -> &'static [Role] {
    match kind {
        Kind::Staff => &[Role::Admin],
        Kind::Settings => &[Role::Admin, Role::ServiceManager],
        Kind::Customer | Kind::WorkOrder | Kind::Complaint => DESK,
        Kind::Request => REPORTERS,
        Kind::Visit | Kind::Statement => SITE,
        Kind::FollowUp => &[Role::Clerk],
        Kind::Suggestion => Role::ALL,
        Kind::Appraisal => MANAGER,
    }
}
