//! What an app can do: the commands of a technician's day, as in the core.

use crate::error::Result;
use crate::mirror::{Doc, Id, hash, millis};
use crate::records::Position;
use crate::words::*;
use onsite_core::domain as core;
use std::time::SystemTime;

/// Something somebody wants done. Times that are absent are now. What an app
/// for other roles needs besides is in `Onsite.execute_json`.
#[derive(Clone, Debug, PartialEq, uniffi::Enum)]
pub enum Command {
    /// Writes a repair request. `reported` is when the customer called; now where absent.
    ReportRepair {
        /// Its id, chosen by the app.
        id: Id,
        /// The customer, where known.
        customer: Option<Id>,
        /// 客户名称, as told.
        customer_name: String,
        /// 联系人
        contact_name: String,
        /// 联系电话
        contact_phone: String,
        /// 地址
        address: String,
        /// The machine, where known.
        equipment: Option<Id>,
        /// What is wrong.
        problem: String,
        /// When it was reported.
        reported: Option<SystemTime>,
    },
    /// Takes a request back.
    WithdrawRequest {
        /// The request.
        id: Id,
        /// Why.
        reason: String,
    },
    /// Opens the planned visit of a work order's current round
    /// (`Detail.current_visit`) and gives it a provisional number. Comes
    /// before every other command on that visit; does nothing the second time.
    OpenVisit {
        /// The work order.
        work_order: Id,
    },
    /// Opens an unplanned visit for one's own request.
    OpenUnplannedVisit {
        /// The request.
        request: Id,
    },
    /// Records what happened. `at` is when; now where absent.
    RecordEvent {
        /// The visit.
        visit: Id,
        /// Its id, chosen by the app.
        id: Id,
        /// What happened.
        event: EventKind,
        /// When.
        at: Option<SystemTime>,
        /// Where.
        position: Option<Position>,
        /// The event it corrects.
        corrects: Option<Id>,
    },
    /// Inspects one line of the checklist.
    Inspect {
        /// The visit.
        visit: Id,
        /// The line of the checklist, by its key.
        check: String,
        /// How it came out.
        result: CheckResult,
        /// A word.
        note: String,
    },
    /// Adds a note.
    AddNote {
        /// The visit.
        visit: Id,
        /// Its id, chosen by the app.
        id: Id,
        /// The words.
        text: String,
    },
    /// Logs a contact with the customer.
    LogContact {
        /// The visit.
        visit: Id,
        /// Its id, chosen by the app.
        id: Id,
        /// How.
        channel: Channel,
        /// With whom.
        with: String,
        /// What was said.
        summary: String,
        /// When.
        at: Option<SystemTime>,
    },
    /// Uses parts (negative corrects). For a required item, its own id; else a new one.
    UseItem {
        /// The visit.
        visit: Id,
        /// The item: of a required one its own id, else a new one.
        item: Id,
        /// Number in the catalogue; empty where it is in none.
        part_no: String,
        /// Name.
        name: String,
        /// Unit of count.
        unit: String,
        /// Quantity used more; negative corrects.
        used: i64,
        /// Quantity taken back more; negative corrects.
        taken_back: i64,
    },
    /// Takes a photo out (it stays in the history).
    RemovePhoto {
        /// The visit or request it is in.
        doc: Doc,
        /// The photo.
        id: Id,
    },
    /// 处理结果. `remarks` are appended to the form's where given.
    SetOutcome {
        /// The visit.
        visit: Id,
        /// 处理结果
        outcome: Outcome,
        /// 未完成的原因, where it is incomplete.
        incomplete_reason: Option<IncompleteReason>,
        /// 备注: appended to the form's where not empty.
        remarks: String,
    },
    /// 验收
    Accept {
        /// The visit.
        visit: Id,
        /// Whether the customer accepted the equipment as working.
        accepted: bool,
        /// The customer's words where they did not.
        remark: String,
    },
    /// 满意度, entered by the customer.
    Rate {
        /// The visit.
        visit: Id,
        /// 满意度
        satisfaction: Satisfaction,
        /// 不满意的原因
        reasons: Vec<Dissatisfaction>,
        /// 宝贵意见
        comment: String,
    },
    /// 签字: `content` is the hash of the form that was shown.
    Sign {
        /// The visit.
        visit: Id,
        /// Name.
        name: String,
        /// Pen strokes: points `x,y` in a box of 1000 × 400 separated by blanks, strokes separated by `;`.
        strokes: String,
        /// As `Onsite.to_sign` said.
        heads: Vec<String>,
        /// As `Onsite.to_sign` said.
        content: String,
    },
    /// The customer would not sign.
    RefuseSignature {
        /// The visit.
        visit: Id,
        /// Why.
        reason: String,
    },
    /// 收款
    TakePayment {
        /// The visit.
        visit: Id,
        /// Its id, chosen by the app.
        id: Id,
        /// In fen; negative corrects.
        amount: i64,
        /// How it was paid.
        method: PayMethod,
        /// Number of the paper receipt, or a word.
        reference: String,
    },
    /// Money spent of the advance.
    Spend {
        /// The visit.
        visit: Id,
        /// Its id, chosen by the app.
        id: Id,
        /// In fen; negative corrects.
        amount: i64,
        /// On what.
        category: ExpenseCategory,
        /// A word.
        note: String,
    },
    /// Replaces a text. `seen` are the document's heads its author looked at,
    /// so that what others wrote since stays; current where empty.
    EditText {
        /// The document.
        doc: Doc,
        /// The text, such as `resolution`.
        field: String,
        /// The words.
        text: String,
        /// The heads of the document that its author looked at; empty: as it stands.
        seen: Vec<String>,
    },
    /// Chooses one of several clashing values (`choice` is the hash of the change that set it).
    ChooseClash {
        /// The document.
        doc: Doc,
        /// The leaf, as `Clash` names it.
        path: String,
        /// The change that set the value chosen.
        choice: String,
    },
    /// A technician replies to a complaint or a proposal.
    State {
        /// Its id, chosen by the app.
        id: Id,
        /// The complaint replied to.
        complaint: Option<Id>,
        /// The proposal replied to, by its key.
        proposal: Option<String>,
        /// The words.
        text: String,
    },
    /// Writes an improvement idea.
    Suggest {
        /// Its id, chosen by the app.
        id: Id,
        /// In a line.
        title: String,
        /// The words.
        text: String,
        /// The work order.
        work_order: Option<Id>,
    },
}

fn hashes(field: &str, texts: &[String]) -> Result<Vec<core::ChangeHash>> {
    texts.iter().map(|text| hash(field, text)).collect()
}

impl From<Position> for core::Position {
    fn from(p: Position) -> Self {
        Self { lat_e7: p.lat_e7, lon_e7: p.lon_e7, accuracy_m: p.accuracy_m }
    }
}

impl Command {
    /// The core's command; times that the app said are of the device's clock, as `now` is.
    pub(crate) fn decided_at(self, now: core::Stamp) -> Result<core::Command> {
        use core::Command as C;
        Ok(match self {
            Self::ReportRepair {
                id,
                customer,
                customer_name,
                contact_name,
                contact_phone,
                address,
                equipment,
                problem,
                reported,
            } => C::ReportRepair {
                id: id.0.into(),
                customer: customer.map(|id| id.0.into()),
                customer_name,
                contact_name,
                contact_phone,
                address,
                equipment: equipment.map(|id| id.0.into()),
                problem,
                reported: reported.map(|at| core::Stamp { device: millis(at), ..now }),
            },
            Self::WithdrawRequest { id, reason } => C::WithdrawRequest { id: id.0.into(), reason },
            Self::OpenVisit { work_order } => C::OpenVisit { work_order: work_order.0.into() },
            Self::OpenUnplannedVisit { request } => C::OpenUnplannedVisit { request: request.0.into() },
            Self::RecordEvent { visit, id, event, at, position, corrects } => C::RecordEvent {
                visit: visit.0.into(),
                id: id.0.into(),
                event: event.into(),
                at: at.map(|at| core::Stamp { device: millis(at), ..now }),
                position: position.map(Into::into),
                corrects: corrects.map(|id| id.0.into()),
            },
            Self::Inspect { visit, check, result, note } => {
                C::Inspect { visit: visit.0.into(), check, result: result.into(), note }
            }
            Self::AddNote { visit, id, text } => C::AddNote { visit: visit.0.into(), id: id.0.into(), text },
            Self::LogContact { visit, id, channel, with, summary, at } => C::LogContact {
                visit: visit.0.into(),
                id: id.0.into(),
                channel: channel.into(),
                with,
                summary,
                at: at.map(|at| core::Stamp { device: millis(at), ..now }),
            },
            Self::UseItem { visit, item, part_no, name, unit, used, taken_back } => {
                C::UseItem { visit: visit.0.into(), item: item.0.into(), part_no, name, unit, used, taken_back }
            }
            Self::RemovePhoto { doc, id } => C::RemovePhoto { doc: doc.into(), id: id.0.into() },
            Self::SetOutcome { visit, outcome, incomplete_reason, remarks } => C::SetOutcome {
                visit: visit.0.into(),
                outcome: outcome.into(),
                incomplete_reason: incomplete_reason.map(Into::into),
                remarks,
            },
            Self::Accept { visit, accepted, remark } => C::Accept { visit: visit.0.into(), accepted, remark },
            Self::Rate { visit, satisfaction, reasons, comment } => C::Rate {
                visit: visit.0.into(),
                satisfaction: satisfaction.into(),
                reasons: reasons.into_iter().map(Into::into).collect(),
                comment,
            },
            Self::Sign { visit, name, strokes, heads, content } => C::Sign {
                visit: visit.0.into(),
                name,
                strokes: core::Strokes(strokes),
                heads: hashes("heads", &heads)?,
                content: hash("content", &content)?,
            },
            Self::RefuseSignature { visit, reason } => C::RefuseSignature { visit: visit.0.into(), reason },
            Self::TakePayment { visit, id, amount, method, reference } => C::TakePayment {
                visit: visit.0.into(),
                id: id.0.into(),
                amount: core::Fen(amount),
                method: method.into(),
                reference,
            },
            Self::Spend { visit, id, amount, category, note } => C::Spend {
                visit: visit.0.into(),
                id: id.0.into(),
                amount: core::Fen(amount),
                category: category.into(),
                note,
            },
            Self::EditText { doc, field, text, seen } => {
                C::EditText { doc: doc.into(), field, text, seen: hashes("seen", &seen)? }
            }
            Self::ChooseClash { doc, path, choice } => {
                C::ChooseClash { doc: doc.into(), path, choice: hash("choice", &choice)? }
            }
            Self::State { id, complaint, proposal, text } => {
                C::State { id: id.0.into(), complaint: complaint.map(|id| id.0.into()), proposal, text }
            }
            Self::Suggest { id, title, text, work_order } => {
                C::Suggest { id: id.0.into(), title, text, work_order: work_order.map(|id| id.0.into()) }
            }
        })
    }
}
