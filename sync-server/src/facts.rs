//! What questions about a whole company (figures, calendar, the day's tasks)
//! need of a document: worked out when it changes, kept small beside its row,
//! so that ten thousand jobs are read without their contents.

use crate::error::{Error, Result};
use crate::storage::{Fact, FactRow};
use onsite_core::domain::figures::{CallFacts, JobFacts};
use onsite_core::domain::stage::{job_visits, signed_off};
use onsite_core::domain::{
    Customer, DocRef, Entity, IncompleteReason, ItemId, Kind, Millis, ReturnStep, Role, SignoffRole, StaffId,
    Statement, Visit, WorkOrder, WorkOrderId, World, WorldExt as _, Zone,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// How long a job is taken to last where nobody said: four hours.
const STAY: i64 = 4 * 60 * Millis::MINUTE;

/// Of a work order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct JobFact {
    /// What figures need of it; complaints are counted by their own facts.
    pub(crate) job: JobFacts,
    /// Whose signature under form 1 is missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) unsigned: Vec<SignoffRole>,
    /// A machine is to come back, or is here, and has neither been sent back nor replaced.
    #[serde(default)]
    pub(crate) machine: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) planned: Option<Millis>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) arrived: Option<Millis>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) departed: Option<Millis>,
    /// Who is on it now, the lead first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) people: Vec<StaffId>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) address: String,
}

impl JobFact {
    fn of(id: WorkOrderId, w: &WorkOrder, world: &dyn World) -> Self {
        let visits = job_visits(id, w, world);
        let current = visits.iter().filter(|(_, v)| v.round == w.round && v.work_order.is_some());
        let current = current.min_by_key(|(id, _)| *id).or(visits.iter().find(|(_, v)| v.work_order.is_none()));
        let at = |of: fn(&Visit) -> Option<onsite_core::domain::Stamp>| Some(of(&current?.1)?.best());
        let returns = |v: &Visit| {
            matches!(v.incomplete_reason, Some(IncompleteReason::ReturnForRepair | IncompleteReason::ReplaceEquipment))
        };
        let through = [ReturnStep::SentBack, ReturnStep::Replaced].iter().any(|s| w.returned_machine.contains_key(s));
        let customer = || w.customer.and_then(|c| world.get::<Customer>(c));
        let address = match w.dispatch.service_address.is_empty() {
            false => w.dispatch.service_address.clone(),
            true => customer().map(|c| address_of(&c, w.equipment)).unwrap_or_default(),
        };
        let issued = w.dispatch.issued.is_some();
        Self {
            job: JobFacts::gather(id, w, &visits, &[]),
            unsigned: SignoffRole::ALL.iter().copied().filter(|role| issued && !signed_off(w, *role)).collect(),
            machine: !through && w.closed.is_none() && w.cancelled.is_none() && visits.iter().any(|(_, v)| returns(v)),
            planned: w.planned_start,
            arrived: at(Visit::arrived_at),
            departed: at(Visit::departed_at),
            people: w.current_technicians(),
            address,
        }
    }

    /// When it is worked on: as it was, else as planned, else from its deadline on; and whether that is a plan.
    pub(crate) fn span(&self) -> Option<(Millis, Millis, bool)> {
        let stay = self.job.expected_stay.filter(|ms| *ms > 0).unwrap_or(STAY);
        match (self.arrived, self.planned.or(self.job.deadline)) {
            (Some(arrived), _) => {
                let end = self.departed.filter(|d| *d > arrived).unwrap_or(arrived.plus(stay));
                Some((arrived, end, false))
            }
            (None, Some(start)) => Some((start, start.plus(stay), true)),
            (None, None) => None,
        }
    }
}

/// Where a customer's machine stands, or else the customer.
fn address_of(customer: &Customer, machine: Option<ItemId>) -> String {
    let at = machine.and_then(|m| customer.equipment.get(&m)).and_then(|e| e.address);
    let at = at.and_then(|a| customer.addresses.get(&a)).filter(|a| !a.removed);
    at.or_else(|| customer.addresses.values().find(|a| !a.removed)).map(|a| a.text.clone()).unwrap_or_default()
}

/// Of a member of staff.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct StaffFact {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) technician: bool,
}

/// Of a complaint.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct ComplaintFact {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) job: Option<WorkOrderId>,
    #[serde(default)]
    pub(crate) dismissed: bool,
}

/// What a statement replies to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct StatementFact {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) complaint: Option<onsite_core::domain::ComplaintId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) proposal: Option<String>,
}

/// The decision on a proposal, by its key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct AppraisalFact {
    pub(crate) proposal: String,
}

/// What is kept of a document; `None` for kinds that no such question is about.
/// `due` is its row's.
///
/// # Errors
/// Where it cannot be told as JSON.
pub(crate) fn of(doc: DocRef, entity: &Entity, due: Option<Millis>, world: &dyn World) -> Result<Option<Fact>> {
    fn fact(span: Option<(Millis, Millis)>, body: &impl Serialize) -> Result<Option<Fact>> {
        let (starts, ends) = span.unzip();
        Ok(Some(Fact { starts, ends, body: serde_json::to_string(body)? }))
    }
    match entity {
        Entity::WorkOrder(w) => {
            let job = JobFact::of(doc.id.into(), w, world);
            fact(job.span().map(|(from, to, _)| (from, to)), &job)
        }
        // When a call is due.
        Entity::Customer(_) => fact(due.map(|d| (d, d)), &()),
        Entity::FollowUp(f) => {
            let zone = Zone::of(&world.settings());
            let day = f.due.map(|day| zone.start(day));
            fact(day.map(|d| (d, d)), &CallFacts::recorded(doc.id.into(), f))
        }
        Entity::Complaint(c) => {
            let at = c.received.map(|r| r.best());
            fact(at.map(|a| (a, a)), &ComplaintFact { job: c.work_order, dismissed: c.dismissed.is_some() })
        }
        Entity::Statement(Statement { complaint, proposal, .. }) => {
            fact(None, &StatementFact { complaint: *complaint, proposal: proposal.clone() })
        }
        Entity::Appraisal(a) => fact(None, &AppraisalFact { proposal: a.proposal.clone() }),
        // Names are asked for of everybody at once.
        Entity::Staff(s) => {
            fact(None, &StaffFact { name: s.name.clone(), technician: s.roles.contains(&Role::Technician) })
        }
        Entity::Suggestion(s) => {
            let at = s.written.as_ref().map(|m| m.at.best());
            fact(at.map(|a| (a, a)), &())
        }
        Entity::Settings(_) | Entity::Request(_) | Entity::Visit(_) => Ok(None),
    }
}

/// Kinds of which something is kept.
pub(crate) const KINDS: [Kind; 8] = [
    Kind::Staff,
    Kind::Customer,
    Kind::WorkOrder,
    Kind::FollowUp,
    Kind::Complaint,
    Kind::Statement,
    Kind::Suggestion,
    Kind::Appraisal,
];

/// Reads what was kept.
///
/// # Errors
/// Where it is not what was written.
pub(crate) fn read<T: DeserializeOwned>(row: &FactRow) -> Result<T> {
    serde_json::from_str(&row.fact.body).map_err(|e| Error::Damaged(format!("what is kept of {}: {e}", row.doc)))
}
