//! Where a job stands: derived from merged facts, never stored.

use super::{
    CallOutcome, Customer, Date, EventKind, FollowUp, Kind, Mark, Millis, Outcome, Reasoned, Request, Settings,
    SignoffRole, StaffId, Stamp, Visit, VisitId, WorkOrder, WorkOrderId, World, WorldExt, Zone, forms_content,
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

#[cfg(test)]
mod tests;

/// The stages of the flow chart, in its order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Stage {
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

impl Stage {
    /// Every stage, in the flow chart's order.
    pub const ALL: [Stage; 15] = [
        Stage::Reported,
        Stage::Withdrawn,
        Stage::Planning,
        Stage::AwaitingSignoffs,
        Stage::Dispatched,
        Stage::Acknowledged,
        Stage::Travelling,
        Stage::OnSite,
        Stage::AwaitingCustomer,
        Stage::Completed,
        Stage::Incomplete,
        Stage::CustomerTold,
        Stage::Closed,
        Stage::Archived,
        Stage::Cancelled,
    ];

    /// The stable spelling, as in serde; also the message key's last part.
    pub fn word(self) -> &'static str {
        match self {
            Stage::Reported => "reported",
            Stage::Withdrawn => "withdrawn",
            Stage::Planning => "planning",
            Stage::AwaitingSignoffs => "awaiting_signoffs",
            Stage::Dispatched => "dispatched",
            Stage::Acknowledged => "acknowledged",
            Stage::Travelling => "travelling",
            Stage::OnSite => "on_site",
            Stage::AwaitingCustomer => "awaiting_customer",
            Stage::Completed => "completed",
            Stage::Incomplete => "incomplete",
            Stage::CustomerTold => "customer_told",
            Stage::Closed => "closed",
            Stage::Archived => "archived",
            Stage::Cancelled => "cancelled",
        }
    }

    /// Nobody has anything left to do, on site or in the office.
    pub fn finished(self) -> bool {
        matches!(self, Stage::Withdrawn | Stage::Closed | Stage::Archived | Stage::Cancelled)
    }

    /// Nothing is left to do on site.
    pub fn over(self) -> bool {
        self.finished() || matches!(self, Stage::Completed | Stage::CustomerTold)
    }
}

/// One of two facts that contradict each other.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fact {
    /// What: `cancelled`, `completed`, `reassigned` and so on; also the message key's last part.
    pub what: String,
    /// When, with its doubt.
    pub at: Stamp,
    /// Who, where known.
    pub by: Option<StaffId>,
}

impl Fact {
    fn new(what: &str, at: Stamp, by: StaffId) -> Self {
        Self { what: what.into(), at, by: Some(by) }
    }
}

/// Facts that contradict each other; both stay, the office settles.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Contradiction {
    /// Stable name, such as `cancelled_but_completed`, with what it concerns: `key` in [`super::Command::Settle`].
    pub key: String,
    /// The moments of the two facts, earlier first.
    pub at: (Millis, Millis),
    /// The two facts in the order the sentence names them: the office's, then the site's.
    pub facts: (Fact, Fact),
}

/// A merge in one sentence: «the office cancelled at 14:12 while you completed
/// at 14:05; both kept». The words are in the messages, by key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Explanation {
    /// The message, such as `contradiction.cancelled_but_completed`.
    pub message: String,
    /// The visit concerned.
    pub visit: Option<VisitId>,
    /// The person concerned, where the contradiction is about one.
    pub staff: Option<StaffId>,
    /// The first fact the sentence names.
    pub first: Fact,
    /// The second.
    pub second: Fact,
}

impl Contradiction {
    fn new(name: &str, concerns: impl std::fmt::Display, first: Fact, second: Fact) -> Self {
        let (a, b) = (first.at.best(), second.at.best());
        Self { key: format!("{name}:{concerns}"), at: (a.min(b), a.max(b)), facts: (first, second) }
    }

    /// Its name without what it concerns, such as `cancelled_but_completed`.
    pub fn name(&self) -> &str {
        self.key.split(':').next().unwrap_or_default()
    }

    /// What a sentence about it needs.
    pub fn explain(&self) -> Explanation {
        let mut parts = self.key.split(':').skip(1);
        Explanation {
            message: format!("contradiction.{}", self.name()),
            visit: parts.next().and_then(|p| p.parse().ok()),
            staff: parts.next().and_then(|p| p.parse().ok()),
            first: self.facts.0.clone(),
            second: self.facts.1.clone(),
        }
    }
}

/// The visits of a job: those of the work order, and the unplanned one of its request.
pub fn job_visits<'a>(id: WorkOrderId, order: &WorkOrder, world: &'a dyn World) -> Vec<(VisitId, Cow<'a, Visit>)> {
    let mut visits = world.visits(id);
    if let Some(request) = order.request {
        for child in world.children(Kind::Visit, request.into()) {
            visits.extend(world.get::<Visit>(child).map(|v| (child.into(), v)));
        }
    }
    visits
}

/// A job's stage, and what contradicts and is not settled. A pure function of
/// merged facts: the order of `visits` does not matter, and no stage lapses
/// with time, so `now` decides nothing today.
///
/// Archiving and closing outrank cancelling, which outranks what happened on
/// site, which outranks what the office planned.
pub fn stage(order: &WorkOrder, visits: &[(VisitId, Cow<'_, Visit>)], now: Millis) -> (Stage, Vec<Contradiction>) {
    let _ = now;
    (stage_alone(order, visits), contradictions(order, visits))
}

fn stage_alone(order: &WorkOrder, visits: &[(VisitId, Cow<'_, Visit>)]) -> Stage {
    if order.archived.is_some() {
        return Stage::Archived;
    }
    if order.closed.is_some() {
        return Stage::Closed;
    }
    if order.cancelled.is_some() {
        return Stage::Cancelled;
    }
    // The current dispatch's visit speaks; where nobody has set out on it, an
    // unplanned visit does, as long as the office has not dispatched anybody.
    let current = visits.iter().filter(|(_, v)| v.work_order.is_some() && v.round == order.round);
    let unplanned = visits.iter().filter(|(_, v)| v.work_order.is_none());
    let on_site = current
        .filter_map(|(id, v)| site_stage(v).map(|s| (s, *id, v)))
        .max_by_key(|(s, id, _)| (*s, *id))
        .or_else(|| {
            let issued = order.dispatch.issued.is_some();
            unplanned
                .filter(|_| !issued)
                .filter_map(|(id, v)| site_stage(v).map(|s| (s, *id, v)))
                .max_by_key(|(s, id, _)| (*s, *id))
        });
    if let Some((stage, _, visit)) = on_site {
        // What the customer was told before this result was about an earlier one.
        let told = order.feedback.as_ref().is_some_and(|f| {
            visit.outcome.is_some() && visit.result_mark().is_none_or(|m| f.mark.at.best() >= m.at.best())
        });
        return if told { Stage::CustomerTold } else { stage };
    }
    if order.dispatch.issued.is_none() {
        Stage::Planning
    } else if SignoffRole::ALL.iter().any(|role| !signed_off(order, *role)) {
        Stage::AwaitingSignoffs
    } else {
        Stage::Dispatched
    }
}

/// Whether this role has signed form 1 as it stands.
pub fn signed_off(order: &WorkOrder, role: SignoffRole) -> bool {
    order.signoffs.get(&role).is_some_and(|s| s.content == forms_content::dispatch_content(order))
}

/// How far a visit has come by what its technicians recorded; `None` before anything.
fn site_stage(visit: &Visit) -> Option<Stage> {
    use EventKind as E;
    if let Some(outcome) = visit.outcome {
        return Some(match outcome {
            _ if !visit.signed_or_refused() => Stage::AwaitingCustomer,
            Outcome::Completed => Stage::Completed,
            Outcome::Incomplete => Stage::Incomplete,
        });
    }
    let events = visit.live_events();
    let any = |kinds: &[EventKind]| events.iter().any(|e| kinds.contains(&e.kind));
    let inspected = visit.checks.values().any(|c| c.result.is_some());
    if inspected || any(&[E::Arrived, E::WorkStarted, E::Paused, E::Resumed, E::WorkEnded, E::Restored, E::Departed]) {
        Some(Stage::OnSite)
    } else if any(&[E::TravelStarted]) {
        Some(Stage::Travelling)
    } else if any(&[E::Acknowledged]) {
        Some(Stage::Acknowledged)
    } else {
        None
    }
}

/// How far a visit by itself has come: [`Stage::Dispatched`] before anything is recorded.
pub fn visit_stage(visit: &Visit) -> Stage {
    site_stage(visit).unwrap_or(Stage::Dispatched)
}

/// Facts that contradict each other, whether settled or not.
pub fn all_contradictions(order: &WorkOrder, visits: &[(VisitId, Cow<'_, Visit>)]) -> Vec<Contradiction> {
    let mut found = Vec::new();
    // An unplanned visit came before every dispatch.
    let place = |v: &Visit| v.work_order.map(|_| v.round);
    let result = |v: &Visit, what: &str| {
        v.result_mark().map(|m| Fact::new(what, m.at, m.by)).or_else(|| {
            let by = v.people().into_iter().next();
            v.outcome.map(|_| Fact { what: what.into(), at: Stamp::exact(Millis(0)), by })
        })
    };
    for (id, visit) in visits {
        let completed = visit.outcome == Some(Outcome::Completed);
        let done = result(visit, "completed").filter(|_| completed);
        let work = visit.work_marks();
        if let Some(c) = &order.cancelled {
            let office = Fact::new("cancelled", c.at, c.by);
            if let Some(done) = &done {
                found.push(Contradiction::new("cancelled_but_completed", id, office, done.clone()));
            } else if let Some(worked) = worked_past(visit, &work, c.at.best(), None) {
                found.push(Contradiction::new("cancelled_but_worked", id, office, worked));
            }
        }
        if let Some(c) = order.closed.as_ref().or(order.archived.as_ref())
            && let Some(worked) = worked_past(visit, &work, c.at.best(), None)
        {
            found.push(Contradiction::new("closed_but_reworked", id, Fact::new("closed", c.at, c.by), worked));
        }
        for (staff, ended) in taken_off(order) {
            let concerns = format!("{id}:{staff}");
            let office = Fact::new("reassigned", ended.at, ended.by);
            let theirs = done.clone().filter(|d| d.by == Some(staff) && place(visit) == Some(order.round));
            if let Some(done) = theirs {
                found.push(Contradiction::new("reassigned_but_completed", concerns, office, done));
            } else if let Some(worked) = worked_past(visit, &work, ended.at.best(), Some(staff)) {
                found.push(Contradiction::new("reassigned_but_worked", concerns, office, worked));
            }
        }
        if let Some(done) = &done {
            let later = visits.iter().filter(|(_, v)| place(v) > place(visit));
            let again = later.clone().any(|(_, v)| v.outcome == Some(Outcome::Completed));
            let undone =
                later.filter(|(_, v)| v.outcome == Some(Outcome::Incomplete)).max_by_key(|(i, v)| (place(v), *i));
            if let Some(undone) = undone.and_then(|(_, v)| result(v, "incomplete")) {
                found.push(Contradiction::new("completed_and_incomplete", id, done.clone(), undone));
            } else if place(visit).map_or(order.dispatch.issued.is_some(), |r| r < order.round) && !again {
                let unknown = || Fact { what: "redispatched".into(), at: done.at, by: None };
                let sent = order.redispatched.values().max_by_key(|r| (r.at.best(), r.by));
                let sent = sent
                    .map(|r| Fact::new("redispatched", r.at, r.by))
                    .or_else(|| order.dispatch.issued.as_ref().map(|m| Fact::new("redispatched", m.at, m.by)));
                let sent = sent.unwrap_or_else(unknown);
                found.push(Contradiction::new("completed_but_redispatched", id, sent, done.clone()));
            }
        }
        if let (Some(acceptance), Some(outcome)) = (&visit.acceptance, visit.outcome) {
            let (name, word) = match outcome {
                Outcome::Incomplete => ("accepted_but_incomplete", "accepted"),
                Outcome::Completed => ("completed_but_not_accepted", "not_accepted"),
            };
            let customer = Fact::new(word, acceptance.mark.at, acceptance.mark.by);
            if let Some(result) = result(visit, outcome.word()).filter(|_| acceptance.accepted != completed) {
                found.push(Contradiction::new(name, id, customer, result));
            }
        }
        if let (Some(signed), Some(refused)) = (&visit.signature, &visit.signature_refused)
            && refused.at.best() >= signed.mark.at.best()
        {
            let (a, b) =
                (Fact::new("signed", signed.mark.at, signed.mark.by), Fact::new("refused", refused.at, refused.by));
            found.push(Contradiction::new("signed_and_refused", id, a, b));
        }
    }
    found.sort_by(|a, b| (a.at, &a.key).cmp(&(b.at, &b.key)));
    found.dedup_by(|a, b| a.key == b.key);
    found
}

fn contradictions(order: &WorkOrder, visits: &[(VisitId, Cow<'_, Visit>)]) -> Vec<Contradiction> {
    let mut open = all_contradictions(order, visits);
    open.retain(|c| !order.settled.contains_key(&c.key));
    open
}

/// People whose every assignment has ended, and how the last one ended.
fn taken_off(order: &WorkOrder) -> Vec<(StaffId, &Reasoned)> {
    let current = order.current_technicians();
    let mut last: BTreeMap<StaffId, &Reasoned> = BTreeMap::new();
    for a in order.assignments.values() {
        if let (Some(staff), Some(ended)) = (a.technician, &a.ended)
            && !current.contains(&staff)
            && last.get(&staff).is_none_or(|l| l.at.best() <= ended.at.best())
        {
            last.insert(staff, ended);
        }
    }
    last.into_iter().collect()
}

/// Work after `at`, or going on at `at`: its last moment.
fn worked_past(visit: &Visit, work: &[Mark], at: Millis, staff: Option<StaffId>) -> Option<Fact> {
    let last = work.iter().rfind(|m| staff.is_none_or(|s| s == m.by))?;
    let past = last.at.best() > at || visit.on_site_at(at, staff);
    past.then(|| Fact::new("worked", last.at, last.by))
}

/// A request's stage, where no work order answers it yet.
pub fn request_stage(request: &Request) -> Stage {
    if request.withdrawn.is_some() { Stage::Withdrawn } else { Stage::Reported }
}

/// When this job's arrival is late: the deadline, where it has passed and
/// nobody is known to have come.
pub fn overdue_arrival(order: &WorkOrder, visits: &[(VisitId, Cow<'_, Visit>)], now: Millis) -> Option<Millis> {
    let deadline = order.arrival_deadline.filter(|d| *d < now)?;
    let waiting = stage_alone(order, visits) < Stage::OnSite;
    let came = visits.iter().any(|(_, v)| v.round == order.round && v.arrived_at().is_some());
    (waiting && !came).then_some(deadline)
}

/// The next follow-up call of a customer: the day set by hand, else the last
/// call that reached them (or the project's completion) plus the interval.
/// A day set by hand lapses with a call on or after it.
pub fn next_call(customer: &Customer, calls: &[FollowUp], settings: &Settings) -> Option<Date> {
    let zone = Zone::of(settings);
    let reached = |c: &&FollowUp| !matches!(c.outcome, None | Some(CallOutcome::Unreachable));
    let last = calls.iter().filter(reached).filter_map(|c| Some(zone.day(c.done.as_ref()?.at.best()))).max();
    if let Some(set) = customer.next_call.filter(|set| last.is_none_or(|l| l < *set)) {
        return Some(set);
    }
    let interval = customer.call_interval_days.unwrap_or(settings.call_interval_days).clamp(1, 36_500);
    let from = last.max(customer.project_completed)?;
    from.checked_add(jiff::Span::new().days(interval)).ok()
}

/// Whether a call due that day is overdue: the day is over.
pub fn overdue_call(due: Date, now: Millis, settings: &Settings) -> bool {
    now >= Zone::of(settings).end(due)
}
