//! The office's figures, each with numerator, denominator and unknowns.

use super::{
    Complaint, CustomerId, Date, Fen, FollowUp, ItemId, Millis, Outcome, Satisfaction, Settings, StaffId, Stamp, Visit,
    VisitId, WorkOrder, WorkOrderId, WorkType, Zone,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

#[cfg(test)]
mod tests;

/// What a figure's numerator counts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A part of the denominator: never above it.
    Share,
    /// Occurrences per unit of the denominator: may be above it.
    Rate,
    /// Milliseconds in all; divided by the denominator a mean.
    Milliseconds,
    /// Fen on both sides.
    Fen,
}

/// A figure that can be checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// What was counted or summed.
    pub numerator: i64,
    /// Out of how many (or how much).
    pub denominator: i64,
    /// Cases that belong here and of which too little is known; outside the denominator.
    pub unknown: i64,
    /// Cases in the denominator that may still change.
    pub provisional: i64,
    /// What the numerator counts.
    pub unit: Unit,
}

impl Figure {
    fn of(unit: Unit) -> Self {
        Self { numerator: 0, denominator: 0, unknown: 0, provisional: 0, unit }
    }

    /// Numerator ÷ denominator; `None` where there is nothing to divide by.
    pub fn value(&self) -> Option<f64> {
        (self.denominator != 0).then(|| self.numerator as f64 / self.denominator as f64)
    }

    fn count(&mut self, hit: bool) {
        self.numerator += i64::from(hit);
        self.denominator += 1;
    }

    fn sum(&mut self, amount: Option<i64>) {
        match amount {
            Some(amount) => {
                self.numerator = self.numerator.saturating_add(amount);
                self.denominator += 1;
            }
            None => self.unknown += 1,
        }
    }
}

/// A period of the company's time: `from` included, `to` excluded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Period {
    /// First moment.
    pub from: Millis,
    /// First moment after.
    pub to: Millis,
}

impl Period {
    fn holds(&self, at: Millis) -> bool {
        self.from <= at && at < self.to
    }
}

/// What the figures need of one job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JobFacts {
    /// The work order.
    pub work_order: WorkOrderId,
    /// The customer.
    pub customer: Option<CustomerId>,
    /// The machine.
    pub equipment: Option<ItemId>,
    /// Installation or repair.
    pub work_type: Option<WorkType>,
    /// When it was reported.
    pub reported: Option<Millis>,
    /// Everybody who was sent.
    pub technicians: BTreeSet<StaffId>,
    /// Latest arrival.
    pub deadline: Option<Millis>,
    /// Arrival on the current dispatch.
    pub arrived: Option<Stamp>,
    /// Cancelled by the office.
    pub cancelled: bool,
    /// The first result: when, and whether it was 已完成.
    pub first_result: Option<(Millis, bool)>,
    /// When the service was completed.
    pub completed: Option<Millis>,
    /// Milliseconds worked on all visits, pauses taken off; `None` where one of them is not known.
    pub work_ms: Option<i64>,
    /// When the machine ran again.
    pub restored: Option<Millis>,
    /// Each visit with a result: when, and how the customer rated it.
    pub ratings: Vec<(Millis, Option<Satisfaction>)>,
    /// Complaints about the job, those without ground left out.
    pub complaints: i64,
    /// 需要收回的尾款金额
    pub due: Fen,
    /// Taken from the customer.
    pub collected: Fen,
    /// Expected stay on the current dispatch, in milliseconds.
    pub expected_stay: Option<i64>,
    /// Departure minus arrival on the current dispatch, in milliseconds.
    pub actual_stay: Option<i64>,
}

impl JobFacts {
    /// Gathers a job's facts.
    pub fn gather(id: WorkOrderId, order: &WorkOrder, visits: &[(VisitId, Visit)], complaints: &[Complaint]) -> Self {
        let mut results: Vec<(Millis, VisitId, &Visit)> =
            visits.iter().filter_map(|(id, v)| Some((v.result_mark()?.at.best(), *id, v))).collect();
        results.sort_by_key(|(at, id, _)| (*at, *id));
        let done = |v: &Visit| v.outcome == Some(Outcome::Completed);
        let current = visits.iter().filter(|(_, v)| v.round == order.round && v.work_order.is_some());
        let current = current.min_by_key(|(id, _)| *id).map(|(_, v)| v);
        let worked: Option<Vec<i64>> = results.iter().map(|(_, _, v)| v.work_ms()).collect();
        Self {
            work_order: id,
            customer: order.customer,
            equipment: order.equipment,
            work_type: order.work_type,
            reported: order.reported.map(|r| r.best()),
            technicians: order.ever_assigned(),
            deadline: order.arrival_deadline,
            arrived: current.and_then(Visit::arrived_at),
            cancelled: order.cancelled.is_some(),
            first_result: results.first().map(|(at, _, v)| (*at, done(v))),
            completed: results.iter().rev().find(|(_, _, v)| done(v)).map(|(at, _, _)| *at),
            work_ms: worked.filter(|w| !w.is_empty()).map(|w| w.into_iter().fold(0, i64::saturating_add)),
            restored: visits.iter().filter_map(|(_, v)| v.restored_at()).map(|r| r.best()).max(),
            ratings: results.iter().map(|(at, _, v)| (*at, v.satisfaction)).collect(),
            complaints: complaints.iter().filter(|c| c.dismissed.is_none()).count() as i64,
            due: order.dispatch.balance_to_collect,
            collected: order.collected(visits),
            expected_stay: order.dispatch.expected_stay_minutes.map(|m| m.saturating_mul(Millis::MINUTE)),
            actual_stay: current
                .and_then(|v| Some(v.departed_at()?.best().since(v.arrived_at()?.best())))
                .filter(|stay| *stay >= 0),
        }
    }
}

/// What the figures need of one follow-up call that was or is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CallFacts {
    /// The day it was due.
    pub due: Date,
    /// When it was done.
    pub done: Option<Millis>,
    /// By whom.
    pub by: Option<StaffId>,
}

impl CallFacts {
    /// Of a recorded call; `None` where it was not due on any day.
    pub fn recorded(call: &FollowUp) -> Option<Self> {
        let done = call.done.as_ref();
        Some(Self { due: call.due?, done: done.map(|m| m.at.best()), by: done.map(|m| m.by) })
    }

    /// Of a call that is due (see [`super::stage::next_call`]) and not recorded.
    pub fn open(due: Date) -> Self {
        Self { due, done: None, by: None }
    }
}

/// All figures of a period. A job belongs to the period of its completion
/// (first-time fix: of its first result; on-time arrival: of its deadline; a
/// rating: of its visit's result; a call: of its due day).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Figures {
    /// Repair jobs resolved on the first visit with no repeat ÷ repair jobs;
    /// provisional while the days of a repeat run.
    pub first_time_fix: Figure,
    /// Repairs of the same machine within the days of a repeat ÷ completed jobs.
    pub repeat_visits: Figure,
    /// Arrived by the deadline ÷ jobs with a deadline and a known arrival.
    pub on_time_arrival: Figure,
    /// Time worked ÷ repairs.
    pub mttr: Figure,
    /// Restored − reported ÷ repairs.
    pub time_to_restore: Figure,
    /// 很满意 and 满意 ÷ answers.
    pub csat: Figure,
    /// Answers ÷ visits with a result.
    pub answer_rate: Figure,
    /// Complaints ÷ completed jobs.
    pub complaint_rate: Figure,
    /// Calls done by their due day ÷ calls due.
    pub calls_on_time: Figure,
    /// Collected ÷ due.
    pub collection: Figure,
    /// Actual − expected stay ÷ jobs.
    pub stay_variance: Figure,
}

/// When repairs of each machine were reported, to find repeats.
struct Repeats(BTreeMap<ItemId, Vec<(Millis, WorkOrderId)>>);

impl Repeats {
    fn new(jobs: &[JobFacts]) -> Self {
        let mut by: BTreeMap<ItemId, Vec<_>> = BTreeMap::new();
        for job in jobs.iter().filter(|j| j.work_type == Some(WorkType::Repair) && !j.cancelled) {
            if let (Some(machine), Some(at)) = (job.equipment, job.reported) {
                by.entry(machine).or_default().push((at, job.work_order));
            }
        }
        by.values_mut().for_each(|v| v.sort_unstable());
        Self(by)
    }

    /// Whether the machine was reported again after `at` and by `until`.
    fn again(&self, job: &JobFacts, at: Millis, until: Millis) -> bool {
        let Some(all) = job.equipment.and_then(|e| self.0.get(&e)) else { return false };
        let from = all.partition_point(|(t, _)| *t <= at);
        all[from..].iter().take_while(|(t, _)| *t <= until).any(|(_, id)| *id != job.work_order)
    }
}

/// The figures of a period. `jobs` are all known jobs, also outside the
/// period: a repeat may fall after its end.
pub fn figures(jobs: &[JobFacts], calls: &[CallFacts], period: Period, settings: &Settings, now: Millis) -> Figures {
    of(&mut jobs.iter(), &mut calls.iter(), &Repeats::new(jobs), period, settings, now)
}

/// The figures of each technician's jobs, and of the calls each person made.
/// A job of several people counts for each of them.
pub fn by_technician(
    jobs: &[JobFacts],
    calls: &[CallFacts],
    period: Period,
    settings: &Settings,
    now: Millis,
) -> BTreeMap<StaffId, Figures> {
    let repeats = Repeats::new(jobs);
    let mut theirs: BTreeMap<StaffId, Vec<&JobFacts>> = BTreeMap::new();
    for job in jobs {
        for staff in &job.technicians {
            theirs.entry(*staff).or_default().push(job);
        }
    }
    let of_each = theirs.into_iter().map(|(staff, jobs)| {
        let mut own = calls.iter().filter(|c| c.by == Some(staff));
        (staff, of(&mut jobs.into_iter(), &mut own, &repeats, period, settings, now))
    });
    of_each.collect()
}

fn of(
    jobs: &mut dyn Iterator<Item = &JobFacts>,
    calls: &mut dyn Iterator<Item = &CallFacts>,
    repeats: &Repeats,
    period: Period,
    settings: &Settings,
    now: Millis,
) -> Figures {
    let share = Figure::of(Unit::Share);
    let mut f = Figures {
        first_time_fix: share,
        repeat_visits: share,
        on_time_arrival: share,
        mttr: Figure::of(Unit::Milliseconds),
        time_to_restore: Figure::of(Unit::Milliseconds),
        csat: share,
        answer_rate: share,
        complaint_rate: Figure::of(Unit::Rate),
        calls_on_time: share,
        collection: Figure::of(Unit::Fen),
        stay_variance: Figure::of(Unit::Milliseconds),
    };
    let (mut collected, mut due) = (0i128, 0i128);
    let window = settings.repeat_days.max(0).saturating_mul(Millis::DAY);
    for job in jobs {
        let repair = job.work_type == Some(WorkType::Repair);
        if let Some((at, fixed)) = job.first_result.filter(|(at, _)| repair && period.holds(*at)) {
            let until = at.plus(window);
            if !fixed {
                f.first_time_fix.count(false);
            } else if job.equipment.is_none() {
                f.first_time_fix.unknown += 1;
            } else {
                let again = repeats.again(job, at, until);
                f.first_time_fix.count(!again);
                f.first_time_fix.provisional += i64::from(!again && now <= until);
            }
        }
        if let Some(deadline) = job.deadline.filter(|d| period.holds(*d) && !job.cancelled) {
            match job.arrived.and_then(|a| a.after(deadline)) {
                Some(late) => f.on_time_arrival.count(!late),
                None => f.on_time_arrival.unknown += 1,
            }
        }
        for (_, rating) in job.ratings.iter().filter(|(at, _)| period.holds(*at)) {
            f.answer_rate.count(rating.is_some());
            match rating {
                Some(r) => f.csat.count(matches!(r, Satisfaction::VerySatisfied | Satisfaction::Satisfied)),
                None => f.csat.unknown += 1,
            }
        }
        let Some(completed) = job.completed.filter(|at| period.holds(*at)) else { continue };
        if job.equipment.is_some() {
            let until = completed.plus(window);
            let again = repeats.again(job, completed, until);
            f.repeat_visits.count(again);
            f.repeat_visits.provisional += i64::from(!again && now <= until);
        } else {
            f.repeat_visits.unknown += 1;
        }
        if repair {
            f.mttr.sum(job.work_ms);
            let restored = job.restored.zip(job.reported).map(|(r, from)| r.since(from)).filter(|ms| *ms >= 0);
            f.time_to_restore.sum(restored);
        }
        f.complaint_rate.sum(Some(job.complaints));
        if job.due > Fen(0) {
            // Wide, so that the order of jobs decides nothing even beyond the bounds.
            collected += i128::from(job.collected.0);
            due += i128::from(job.due.0);
        }
        if let Some(expected) = job.expected_stay {
            f.stay_variance.sum(job.actual_stay.map(|actual| actual.saturating_sub(expected)));
        }
    }
    let narrow = |sum: i128| sum.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
    (f.collection.numerator, f.collection.denominator) = (narrow(collected), narrow(due));
    let zone = Zone::of(settings);
    for call in calls.filter(|c| period.holds(zone.start(c.due))) {
        let end = zone.end(call.due);
        match call.done {
            Some(done) => f.calls_on_time.count(done < end),
            None if now >= end => f.calls_on_time.count(false),
            // Its day is not over: nothing can be said.
            None => f.calls_on_time.unknown += 1,
        }
    }
    f
}
