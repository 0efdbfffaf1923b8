//! The office's figures, each with numerator, denominator and unknowns.

use super::{
    Complaint, CustomerId, Date, DocRef, Fen, FollowUp, FollowUpId, ItemId, Kind, Millis, Outcome, Satisfaction,
    Settings, StaffId, Stamp, Visit, VisitId, WorkOrder, WorkOrderId, WorkType, Zone,
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

#[cfg(test)]
mod tests;

/// What a figure's numerator counts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
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
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
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
    /// Numerator ÷ denominator; `None` where there is nothing to divide by.
    pub fn value(&self) -> Option<f64> {
        (self.denominator != 0).then(|| self.numerator as f64 / self.denominator as f64)
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

/// What the figures need of one job. As JSON it is what a server keeps beside its rows: what is
/// absent is left out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JobFacts {
    /// The work order.
    pub work_order: WorkOrderId,
    /// The customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<CustomerId>,
    /// The machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equipment: Option<ItemId>,
    /// Installation or repair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_type: Option<WorkType>,
    /// When it was reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported: Option<Millis>,
    /// Everybody who was sent.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub technicians: BTreeSet<StaffId>,
    /// Latest arrival.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Millis>,
    /// Arrival on the current dispatch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrived: Option<Stamp>,
    /// Cancelled by the office.
    #[serde(default)]
    pub cancelled: bool,
    /// The first result: when, and whether it was 已完成.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_result: Option<(Millis, bool)>,
    /// When the service was completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed: Option<Millis>,
    /// Milliseconds worked on all visits, pauses taken off; `None` where one of them is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_ms: Option<i64>,
    /// When the machine ran again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<Millis>,
    /// Each visit with a result: when, and how the customer rated it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ratings: Vec<(Millis, Option<Satisfaction>)>,
    /// Complaints about the job, those without ground left out.
    #[serde(default)]
    pub complaints: i64,
    /// 需要收回的尾款金额
    #[serde(default)]
    pub due: Fen,
    /// Taken from the customer.
    #[serde(default)]
    pub collected: Fen,
    /// Expected stay on the current dispatch, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_stay: Option<i64>,
    /// Departure minus arrival on the current dispatch, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actual_stay: Option<i64>,
}

impl JobFacts {
    /// Gathers a job's facts.
    pub fn gather(
        id: WorkOrderId,
        order: &WorkOrder,
        visits: &[(VisitId, Cow<'_, Visit>)],
        complaints: &[Complaint],
    ) -> Self {
        let mut results: Vec<(Millis, VisitId, &Visit)> =
            visits.iter().filter_map(|(id, v)| Some((v.result_mark()?.at.best(), *id, &**v))).collect();
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
            arrived: current.and_then(|v| v.arrived_at()),
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
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CallFacts {
    /// The call, or the customer who is due one.
    pub doc: DocRef,
    /// The day it was due.
    pub due: Date,
    /// When it was done.
    pub done: Option<Millis>,
    /// By whom.
    pub by: Option<StaffId>,
}

impl CallFacts {
    /// Of a recorded call; `None` where it was not due on any day.
    pub fn recorded(id: FollowUpId, call: &FollowUp) -> Option<Self> {
        let done = call.done.as_ref();
        let doc = DocRef::new(Kind::FollowUp, id);
        Some(Self { doc, due: call.due?, done: done.map(|m| m.at.best()), by: done.map(|m| m.by) })
    }

    /// Of a call that is due (see [`super::stage::next_call`]) and not recorded.
    pub fn open(customer: CustomerId, due: Date) -> Self {
        Self { doc: DocRef::new(Kind::Customer, customer), due, done: None, by: None }
    }
}

/// All figures of a period. A job belongs to the period of its completion
/// (first-time fix: of its first result; on-time arrival: of its deadline; a
/// rating: of its visit's result; a call: of its due day).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
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

/// A figure's name, as in [`Figures`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names of the fields of `Figures`")]
pub enum FigureName {
    FirstTimeFix,
    RepeatVisits,
    OnTimeArrival,
    Mttr,
    TimeToRestore,
    Csat,
    AnswerRate,
    ComplaintRate,
    CallsOnTime,
    Collection,
    StayVariance,
}

impl FigureName {
    /// Every figure, in the order of [`Figures`].
    pub const ALL: [FigureName; 11] = [
        FigureName::FirstTimeFix,
        FigureName::RepeatVisits,
        FigureName::OnTimeArrival,
        FigureName::Mttr,
        FigureName::TimeToRestore,
        FigureName::Csat,
        FigureName::AnswerRate,
        FigureName::ComplaintRate,
        FigureName::CallsOnTime,
        FigureName::Collection,
        FigureName::StayVariance,
    ];

    /// What its numerator counts.
    pub fn unit(self) -> Unit {
        match self {
            FigureName::Mttr | FigureName::TimeToRestore | FigureName::StayVariance => Unit::Milliseconds,
            FigureName::Collection => Unit::Fen,
            FigureName::ComplaintRate => Unit::Rate,
            _ => Unit::Share,
        }
    }
}

/// What one job or call adds to one figure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Case {
    /// The figure.
    pub figure: FigureName,
    /// The job, or the call.
    pub doc: DocRef,
    /// What is added to numerator and denominator; `None`: too little is known.
    pub adds: Option<(i64, i64)>,
    /// It may still change.
    pub provisional: bool,
}

/// Sums of cases: wide, so that their order decides nothing even beyond the bounds.
#[derive(Default)]
struct Sums([(i128, i128, i64, i64); FigureName::ALL.len()]);

impl Sums {
    fn add(&mut self, case: Case) {
        let sum = &mut self.0[case.figure as usize];
        match case.adds {
            Some((numerator, denominator)) => {
                sum.0 += i128::from(numerator);
                sum.1 += i128::from(denominator);
            }
            None => sum.2 += 1,
        }
        sum.3 += i64::from(case.provisional);
    }

    fn figures(&self) -> Figures {
        let narrow = |sum: i128| sum.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
        let of = |name: FigureName| {
            let (numerator, denominator, unknown, provisional) = self.0[name as usize];
            let (numerator, denominator) = (narrow(numerator), narrow(denominator));
            Figure { numerator, denominator, unknown, provisional, unit: name.unit() }
        };
        Figures {
            first_time_fix: of(FigureName::FirstTimeFix),
            repeat_visits: of(FigureName::RepeatVisits),
            on_time_arrival: of(FigureName::OnTimeArrival),
            mttr: of(FigureName::Mttr),
            time_to_restore: of(FigureName::TimeToRestore),
            csat: of(FigureName::Csat),
            answer_rate: of(FigureName::AnswerRate),
            complaint_rate: of(FigureName::ComplaintRate),
            calls_on_time: of(FigureName::CallsOnTime),
            collection: of(FigureName::Collection),
            stay_variance: of(FigureName::StayVariance),
        }
    }
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

/// All that figures are reckoned from: made once, asked of any period.
pub struct Reckoning<'a> {
    jobs: &'a [JobFacts],
    calls: &'a [CallFacts],
    settings: &'a Settings,
    now: Millis,
    repeats: Repeats,
}

impl<'a> Reckoning<'a> {
    /// `jobs` are all known jobs, also outside the periods to be asked of: a repeat may fall after their end.
    pub fn new(jobs: &'a [JobFacts], calls: &'a [CallFacts], settings: &'a Settings, now: Millis) -> Self {
        Self { jobs, calls, settings, now, repeats: Repeats::new(jobs) }
    }

    /// The figures of a period.
    pub fn figures(&self, period: Period) -> Figures {
        let mut sums = Sums::default();
        self.each(period, None, |case| sums.add(case));
        sums.figures()
    }

    /// The figures of one person's jobs, and of the calls they made.
    pub fn figures_of(&self, period: Period, staff: StaffId) -> Figures {
        let mut sums = Sums::default();
        self.each(period, Some(staff), |case| sums.add(case));
        sums.figures()
    }

    /// The figures of each technician's jobs, and of the calls they made.
    /// A job of several people counts for each of them.
    pub fn by_technician(&self, period: Period) -> BTreeMap<StaffId, Figures> {
        let mut sums: BTreeMap<StaffId, Sums> = BTreeMap::new();
        let mut cases = Vec::new();
        for job in self.jobs {
            cases.clear();
            self.job(job, period, &mut |case| cases.push(case));
            for staff in &job.technicians {
                let theirs = sums.entry(*staff).or_default();
                cases.iter().for_each(|case| theirs.add(*case));
            }
        }
        for call in self.calls {
            if let Some(theirs) = call.by.and_then(|by| sums.get_mut(&by)) {
                self.call(call, period, &mut |case| theirs.add(case));
            }
        }
        sums.into_iter().map(|(staff, sums)| (staff, sums.figures())).collect()
    }

    /// Every case that the figures of a period are summed from; of one person's jobs and calls, where given.
    pub fn each(&self, period: Period, staff: Option<StaffId>, mut add: impl FnMut(Case)) {
        for job in self.jobs.iter().filter(|j| staff.is_none_or(|s| j.technicians.contains(&s))) {
            self.job(job, period, &mut add);
        }
        for call in self.calls.iter().filter(|c| staff.is_none_or(|s| c.by == Some(s))) {
            self.call(call, period, &mut add);
        }
    }

    fn job(&self, job: &JobFacts, period: Period, add: &mut dyn FnMut(Case)) {
        use FigureName as F;
        let (now, doc) = (self.now, DocRef::new(Kind::WorkOrder, job.work_order));
        let window = self.settings.repeat_days.max(0).saturating_mul(Millis::DAY);
        let repair = job.work_type == Some(WorkType::Repair);
        let mut put = |figure, adds, provisional| add(Case { figure, doc, adds, provisional });
        let share = |hit: bool| Some((i64::from(hit), 1));
        let sum = |amount: Option<i64>| amount.map(|a| (a, 1));
        if let Some((at, fixed)) = job.first_result.filter(|(at, _)| repair && period.holds(*at)) {
            let until = at.plus(window);
            if !fixed {
                put(F::FirstTimeFix, share(false), false);
            } else if job.equipment.is_none() {
                put(F::FirstTimeFix, None, false);
            } else {
                let again = self.repeats.again(job, at, until);
                put(F::FirstTimeFix, share(!again), !again && now <= until);
            }
        }
        if let Some(deadline) = job.deadline.filter(|d| period.holds(*d) && !job.cancelled) {
            put(F::OnTimeArrival, job.arrived.and_then(|a| a.after(deadline)).and_then(|late| share(!late)), false);
        }
        for (_, rating) in job.ratings.iter().filter(|(at, _)| period.holds(*at)) {
            put(F::AnswerRate, share(rating.is_some()), false);
            let content = |r: Satisfaction| matches!(r, Satisfaction::VerySatisfied | Satisfaction::Satisfied);
            put(F::Csat, rating.and_then(|r| share(content(r))), false);
        }
        let Some(completed) = job.completed.filter(|at| period.holds(*at)) else { return };
        if job.equipment.is_some() {
            let until = completed.plus(window);
            let again = self.repeats.again(job, completed, until);
            put(F::RepeatVisits, share(again), !again && now <= until);
        } else {
            put(F::RepeatVisits, None, false);
        }
        if repair {
            put(F::Mttr, sum(job.work_ms), false);
            let restored = job.restored.zip(job.reported).map(|(r, from)| r.since(from)).filter(|ms| *ms >= 0);
            put(F::TimeToRestore, sum(restored), false);
        }
        put(F::ComplaintRate, sum(Some(job.complaints)), false);
        if job.due > Fen(0) {
            put(F::Collection, Some((job.collected.0, job.due.0)), false);
        }
        if let Some(expected) = job.expected_stay {
            put(F::StayVariance, sum(job.actual_stay.map(|actual| actual.saturating_sub(expected))), false);
        }
    }

    fn call(&self, call: &CallFacts, period: Period, add: &mut dyn FnMut(Case)) {
        let zone = Zone::of(self.settings);
        if !period.holds(zone.start(call.due)) {
            return;
        }
        let end = zone.end(call.due);
        let on_time = match call.done {
            Some(done) => Some(done < end),
            None if self.now >= end => Some(false),
            // Its day is not over: nothing can be said.
            None => None,
        };
        let adds = on_time.map(|hit| (i64::from(hit), 1));
        add(Case { figure: FigureName::CallsOnTime, doc: call.doc, adds, provisional: false });
    }
}

/// The figures of a period. `jobs` are all known jobs, also outside the
/// period: a repeat may fall after its end.
pub fn figures(jobs: &[JobFacts], calls: &[CallFacts], period: Period, settings: &Settings, now: Millis) -> Figures {
    Reckoning::new(jobs, calls, settings, now).figures(period)
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
    Reckoning::new(jobs, calls, settings, now).by_technician(period)
}
