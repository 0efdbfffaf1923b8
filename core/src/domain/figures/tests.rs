#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use proptest::prelude::*;
use uuid::Uuid;

const DAY: i64 = Millis::DAY;
const YEAR: Period = Period { from: Millis(0), to: Millis(365 * DAY) };

fn id<T: From<Uuid>>(n: u128) -> T {
    Uuid::from_u128(n).into()
}
fn tech(n: u128) -> StaffId {
    id(0x100 + n)
}

/// A repair of machine `m`, reported on day `day`, completed on the next.
fn job(n: u128, m: u128, day: i64) -> JobFacts {
    let reported = Millis(day * DAY);
    let completed = reported.plus(DAY);
    JobFacts {
        work_order: id(n),
        customer: None,
        equipment: Some(id(m)),
        work_type: Some(WorkType::Repair),
        reported: Some(reported),
        technicians: [tech(1)].into(),
        deadline: Some(reported.plus(DAY / 2)),
        arrived: Some(Stamp::exact(reported.plus(DAY / 3))),
        cancelled: false,
        first_result: Some((completed, true)),
        completed: Some(completed),
        work_ms: Some(3_600_000),
        restored: Some(completed),
        ratings: vec![(completed, Some(Satisfaction::Satisfied))],
        complaints: 0,
        due: Fen(1_000),
        collected: Fen(400),
        expected_stay: Some(7_200_000),
        actual_stay: Some(10_800_000),
    }
}
fn all(jobs: &[JobFacts], now: i64) -> Figures {
    figures(jobs, &[], YEAR, &Settings::default(), Millis(now * DAY))
}
fn pair(f: Figure) -> (i64, i64) {
    (f.numerator, f.denominator)
}

#[test]
fn a_repeat_within_thirty_days_undoes_the_first_fix() {
    let both = |gap| all(&[job(1, 1, 0), job(2, 1, gap)], 200);
    assert_eq!(pair(both(31).first_time_fix), (1, 2), "reported on the thirtieth day after completion");
    assert_eq!(pair(both(31).repeat_visits), (1, 2));
    assert_eq!(pair(both(32).first_time_fix), (2, 2));
    assert_eq!(pair(all(&[job(1, 1, 0), job(2, 2, 5)], 200).first_time_fix), (2, 2), "another machine");
    let f = all(&[job(1, 1, 0)], 20).first_time_fix;
    assert_eq!((pair(f), f.provisional), ((1, 1), 1));
    assert_eq!(all(&[job(1, 1, 0)], 40).first_time_fix.provisional, 0);
    let unknown = JobFacts { equipment: None, ..job(1, 1, 0) };
    let f = all(&[unknown], 40).first_time_fix;
    assert_eq!((pair(f), f.unknown), ((0, 0), 1));
    let second = JobFacts { first_result: Some((Millis(DAY), false)), ..job(1, 1, 0) };
    assert_eq!(pair(all(&[second], 40).first_time_fix), (0, 1));
}

#[test]
fn arrivals_times_and_money() {
    let late = JobFacts { arrived: Some(Stamp::exact(Millis(DAY))), ..job(2, 2, 0) };
    let doubtful = JobFacts { arrived: Some(Stamp::unchecked(Millis(0))), ..job(3, 3, 0) };
    let missing = JobFacts { arrived: None, work_ms: None, actual_stay: None, ..job(4, 4, 0) };
    let cancelled = JobFacts { cancelled: true, completed: None, ratings: Vec::new(), ..job(5, 5, 0) };
    let f = all(&[job(1, 1, 0), late, doubtful, missing, cancelled], 200);
    assert_eq!((pair(f.on_time_arrival), f.on_time_arrival.unknown), ((1, 2), 2));
    assert_eq!((pair(f.mttr), f.mttr.unknown), ((3 * 3_600_000, 3), 1));
    assert_eq!(pair(f.time_to_restore), (4 * DAY, 4));
    assert_eq!(pair(f.collection), (1_600, 4_000));
    assert_eq!((pair(f.stay_variance), f.stay_variance.unknown), ((3 * 3_600_000, 3), 1));
    assert_eq!(f.collection.value(), Some(0.4));
    assert_eq!(all(&[], 1).collection.value(), None);
}

#[test]
fn satisfaction_counts_answers_and_says_how_many_there_are() {
    let rated = |n, r| JobFacts { ratings: vec![(Millis(DAY), r)], ..job(n, n, 0) };
    let f = all(
        &[
            rated(1, Some(Satisfaction::VerySatisfied)),
            rated(2, Some(Satisfaction::Neutral)),
            rated(3, Some(Satisfaction::Dissatisfied)),
            rated(4, None),
        ],
        200,
    );
    assert_eq!((pair(f.csat), f.csat.unknown), ((1, 3), 1));
    assert_eq!(pair(f.answer_rate), (3, 4));
}

#[test]
fn calls_on_time_and_complaints() {
    let settings = Settings::default();
    let zone = Zone::of(&settings);
    let day: Date = "1970-03-01".parse().unwrap();
    let doc = DocRef::new(Kind::FollowUp, FollowUpId(uuid::Uuid::from_u128(9)));
    let call = |done| CallFacts { doc, due: day, done, by: Some(tech(1)) };
    let calls = [
        call(Some(zone.at(day, 23, 59))),
        call(Some(zone.end(day))),
        CallFacts::open(CustomerId(uuid::Uuid::from_u128(8)), day),
    ];
    let before = figures(&[], &calls, YEAR, &settings, zone.at(day, 12, 0)).calls_on_time;
    assert_eq!((pair(before), before.unknown), ((1, 2), 1));
    assert_eq!(pair(figures(&[], &calls, YEAR, &settings, zone.end(day)).calls_on_time), (1, 3));
    let bad = JobFacts { complaints: 3, ..job(1, 1, 0) };
    assert_eq!(pair(all(&[bad, job(2, 2, 0)], 200).complaint_rate), (3, 2));
}

#[test]
fn a_job_of_two_counts_for_each() {
    let shared = JobFacts { technicians: [tech(1), tech(2)].into(), ..job(1, 1, 0) };
    let by = by_technician(&[shared, job(2, 2, 0)], &[], YEAR, &Settings::default(), Millis(200 * DAY));
    assert_eq!(pair(by[&tech(1)].first_time_fix), (2, 2));
    assert_eq!(pair(by[&tech(2)].first_time_fix), (1, 1));
}

#[test]
fn figures_are_what_they_were() {
    insta::assert_json_snapshot!(all(&[job(1, 1, 0), job(2, 1, 5)], 200));
}

fn any_job() -> impl Strategy<Value = JobFacts> {
    let opt = |r: std::ops::Range<i64>| proptest::option::of(r);
    let some = (0u128..9, opt(0..3), 0i64..60, any::<bool>(), any::<bool>(), any::<bool>());
    (some, opt(0..60), opt(-5..90), proptest::option::of(0usize..4), any::<i64>(), any::<i64>(), 0i64..3).prop_map(
        |((n, machine, day, repair, cancelled, fixed), completed, arrived, rating, due, collected, complaints)| {
            let at = completed.map(|c| Millis((day + c) * DAY));
            JobFacts {
                equipment: machine.map(|m| id(m as u128)),
                work_type: Some(if repair { WorkType::Repair } else { WorkType::Installation }),
                cancelled,
                arrived: arrived.map(|a| Stamp { doubt: (a % 3 != 0).then_some(DAY), ..Stamp::exact(Millis(a * DAY)) }),
                first_result: at.map(|at| (at, fixed)),
                completed: at.filter(|_| fixed),
                work_ms: arrived,
                restored: arrived.map(|a| Millis(a * DAY)),
                ratings: at.map(|at| (at, rating.map(|r| Satisfaction::ALL[r]))).into_iter().collect(),
                complaints,
                due: Fen(due),
                collected: Fen(collected),
                actual_stay: arrived,
                ..job(n, 0, day)
            }
        },
    )
}

proptest! {
    #[test]
    fn a_share_never_exceeds_one_and_nobody_is_lost(jobs in proptest::collection::vec(any_job(), 0..30), now in 0i64..400) {
        let f = all(&jobs, now);
        for share in [f.first_time_fix, f.repeat_visits, f.on_time_arrival, f.csat, f.answer_rate, f.calls_on_time] {
            prop_assert!(0 <= share.numerator && share.numerator <= share.denominator);
            prop_assert!(share.provisional <= share.denominator);
        }
        let total = |f: Figure| f.denominator + f.unknown;
        let count = |p: &dyn Fn(&JobFacts) -> bool| jobs.iter().filter(|j| p(j)).count() as i64;
        let within = |at: Option<Millis>| at.is_some_and(|a| YEAR.holds(a));
        let repair = |j: &JobFacts| j.work_type == Some(WorkType::Repair);
        prop_assert_eq!(total(f.first_time_fix), count(&|j| repair(j) && within(j.first_result.map(|r| r.0))));
        prop_assert_eq!(total(f.repeat_visits), count(&|j| within(j.completed)));
        prop_assert_eq!(total(f.mttr), count(&|j| repair(j) && within(j.completed)));
        prop_assert_eq!(total(f.time_to_restore), total(f.mttr));
        prop_assert_eq!(total(f.on_time_arrival), count(&|j| !j.cancelled && within(j.deadline)));
        prop_assert_eq!(total(f.csat), f.answer_rate.denominator);
        prop_assert_eq!(f.csat.denominator, f.answer_rate.numerator);
        // The order of jobs decides nothing.
        let mut turned = jobs.clone();
        turned.reverse();
        prop_assert_eq!(all(&turned, now), f);
    }

    #[test]
    fn periods_side_by_side_add_up(jobs in proptest::collection::vec(any_job(), 0..20), cut in 1i64..300) {
        let of = |from: i64, to: i64| {
            figures(&jobs, &[], Period { from: Millis(from * DAY), to: Millis(to * DAY) }, &Settings::default(), Millis(400 * DAY))
        };
        let (a, b, whole) = (of(0, cut), of(cut, 365), of(0, 365));
        for pick in [|f: &Figures| f.first_time_fix, |f: &Figures| f.repeat_visits, |f: &Figures| f.csat, |f: &Figures| f.mttr] {
            prop_assert_eq!(pick(&a).denominator + pick(&b).denominator, pick(&whole).denominator);
            prop_assert_eq!(pick(&a).numerator + pick(&b).numerator, pick(&whole).numerator);
        }
    }
}

#[test]
fn facts_are_gathered_from_a_job() {
    use super::super::{Atomic, EventKind, Mark, VisitEvent};
    let event = |kind, minute: i64| {
        let mark = Mark { at: Stamp::exact(Millis(minute * Millis::MINUTE)), by: tech(1) };
        Atomic(VisitEvent { kind, mark, position: None, corrects: None })
    };
    use EventKind as E;
    let day = [(E::Arrived, 10), (E::WorkStarted, 15), (E::WorkEnded, 75), (E::Restored, 70), (E::Departed, 90)];
    let visit = Visit {
        work_order: Some(id(1)),
        events: (day.into_iter().enumerate()).map(|(i, (k, m))| (id(i as u128), event(k, m))).collect(),
        outcome: Some(Outcome::Completed),
        satisfaction: Some(Satisfaction::Satisfied),
        ..Visit::default()
    };
    let facts = JobFacts::gather(id(1), &WorkOrder::default(), &[(id(2), Cow::Owned(visit))], &[Complaint::default()]);
    let at = |m: i64| Millis(m * Millis::MINUTE);
    assert_eq!(facts.completed, Some(at(75)), "without its own moment the end of work");
    assert_eq!(facts.first_result, Some((at(75), true)));
    assert_eq!((facts.work_ms, facts.actual_stay), (Some(at(60).0), Some(at(80).0)));
    assert_eq!((facts.restored, facts.complaints), (Some(at(70)), 1));
    assert_eq!(facts.ratings, [(at(75), Some(Satisfaction::Satisfied))]);
}
