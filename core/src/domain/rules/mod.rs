//! Commands decided: `decide` and the rules it asks.
//!
//! Every rule reads the world as this device (or the server) knows it and
//! answers with writes, or with a [`Rejection`] of a stable code naming the
//! field. A rule never refuses on guesses about what others may have done
//! meanwhile: what contradicts after a merge becomes an office task.
//!
//! What creates is safe to send twice: the same id with the same content
//! writes nothing, with another content it is refused (`id_taken`).

pub mod check;
mod codes;
mod desk;
mod dispatch;
mod office;
mod roles;
#[cfg(test)]
mod tests;
mod texts;
mod visit;

use super::{
    Author, Command, DocId, ItemId, Mark, Moment, Reasoned, Record, Rejection, Stamp, World, WorldExt as _, Write,
};
use check::{Check, no};
use std::borrow::Cow;

pub use codes::CODES;
pub use dispatch::{open_items, role_of as dispatch_role};
pub use roles::roles_for;
pub use texts::FIELDS;
pub use visit::MEDIA_TYPES;

type Decided = Result<Vec<Write>, Rejection>;

/// Decides a command: what is to be written, or why not. Reads the world, changes nothing.
///
/// # Errors
/// A [`Rejection`] whose code is one of [`CODES`].
pub fn decide(
    command: &Command,
    by: &Author,
    moment: &mut Moment<'_>,
    world: &dyn World,
) -> Result<Vec<Write>, Rejection> {
    if !roles_for(command).iter().any(|role| by.is(*role)) {
        let needed: Vec<_> = roles_for(command).iter().map(|r| r.word()).collect();
        return no("not_your_role", "", format!("needs one of: {}", needed.join(", ")));
    }
    let mut case = Case { by, moment, world };
    let c = &mut case;
    use Command as C;
    match command {
        C::PutStaff { .. } | C::StaffLeaves { .. } | C::ChangeSettings(_) => office::decide(command, c),
        C::PutCustomer { .. }
        | C::PutContact { .. }
        | C::PutAddress { .. }
        | C::PutEquipment { .. }
        | C::PutContract { .. }
        | C::Charge { .. }
        | C::PlanCall { .. } => office::decide(command, c),
        C::ReportRepair { .. }
        | C::IdentifyRequest { .. }
        | C::WithdrawRequest { .. }
        | C::RecordCall { .. }
        | C::FileComplaint { .. }
        | C::ResolveComplaint { .. }
        | C::State { .. }
        | C::Suggest { .. }
        | C::Appraise { .. } => desk::decide(command, c),
        C::OpenWorkOrder { .. }
        | C::OverrideEntitlement { .. }
        | C::PlanDispatch { .. }
        | C::RequireItem { .. }
        | C::Assign { .. }
        | C::IssueDispatch { .. }
        | C::Redispatch { .. }
        | C::SignOff { .. }
        | C::IssueItem { .. }
        | C::TakeBackItem { .. }
        | C::PayAdvance { .. }
        | C::Book { .. }
        | C::CancelWorkOrder { .. }
        | C::MoveReturnedMachine { .. }
        | C::TellCustomer { .. }
        | C::CloseWorkOrder { .. }
        | C::ArchiveWorkOrder { .. }
        | C::AnalyseOpinion { .. }
        | C::Settle { .. } => dispatch::decide(command, c),
        C::OpenVisit { .. }
        | C::OpenUnplannedVisit { .. }
        | C::RecordEvent { .. }
        | C::Inspect { .. }
        | C::AddNote { .. }
        | C::LogContact { .. }
        | C::UseItem { .. }
        | C::AddPhoto { .. }
        | C::RemovePhoto { .. }
        | C::SetOutcome { .. }
        | C::Accept { .. }
        | C::Rate { .. }
        | C::Sign { .. }
        | C::RefuseSignature { .. }
        | C::TakePayment { .. }
        | C::Spend { .. } => visit::decide(command, c),
        C::EditText { .. } | C::ChooseClash { .. } => texts::decide(command, c),
    }
}

/// One decision: who, when, and what is known.
struct Case<'a, 'm> {
    by: &'a Author,
    moment: &'a mut Moment<'m>,
    world: &'a dyn World,
}

impl Case<'_, '_> {
    fn now(&self) -> Stamp {
        self.moment.now
    }

    fn mark(&self) -> Mark {
        Mark { at: self.now(), by: self.by.staff }
    }

    fn mark_at(&self, field: &str, at: Option<Stamp>) -> Check<Mark> {
        let at = at.map_or(Ok(self.now()), |at| check::past(field, at, self.now()))?;
        Ok(Mark { at, by: self.by.staff })
    }

    fn reasoned(&self, reason: &str) -> Check<Reasoned> {
        Ok(Reasoned { at: self.now(), by: self.by.staff, reason: check::reason("reason", reason)? })
    }

    fn new_item(&mut self) -> ItemId {
        ItemId((self.moment.new_id)())
    }

    /// A provisional number of this device; empty at the office, which has no device code.
    fn provisional_number(&mut self) -> String {
        match &self.by.device_code {
            Some(code) => format!("{code}-{}", (self.moment.next_number)()),
            None => String::new(),
        }
    }

    /// A document that must be there.
    fn get<R: Record>(&self, field: &str, id: impl Into<DocId>) -> Check<R> {
        match self.world.get::<R>(id) {
            Some(found) => Ok(found.into_owned()),
            None => no("not_found", field, format!("no such {}", R::KIND.name())),
        }
    }

    /// A document as it stands, if this id may be used for it.
    fn find<R: Record>(&self, field: &str, id: impl Into<DocId>) -> Check<Option<R>> {
        let id = id.into();
        check::id(field, id.0)?;
        Ok(self.world.get::<R>(id).map(Cow::into_owned))
    }
}

/// The write that turns `before` into `after`; none where they are alike.
fn edit<R: Record + PartialEq>(id: impl Into<DocId>, before: &R, after: R) -> Vec<Write> {
    if *before == after { Vec::new() } else { vec![Write::Put(id.into(), after.wrap())] }
}

/// A new document's write.
fn create<R: Record>(id: impl Into<DocId>, record: R) -> Decided {
    Ok(vec![Write::Put(id.into(), record.wrap())])
}

/// The answer to a creating command whose id is there already.
fn again(same: bool) -> Decided {
    if same { Ok(Vec::new()) } else { no("id_taken", "id", "this id already names something else") }
}
