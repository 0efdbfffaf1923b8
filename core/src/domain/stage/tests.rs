#![expect(clippy::unwrap_used, reason = "tests")]

use super::super::{
    Acceptance, Assignment, Atomic, Booking, CallOutcome, Count, Feedback, Fen, ItemId, PayMethod, Receipt,
    RequiredItem, Sha256, Signature, Signoff, Strokes, UsedItem, VisitEvent,
};
use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use uuid::Uuid;

const MIN: i64 = Millis::MINUTE;

fn who(n: u8) -> StaffId {
    StaffId(Uuid::from_u128(0x5000 + u128::from(n)))
}
fn item(n: u128) -> ItemId {
    ItemId(Uuid::from_u128(n))
}
fn order_id() -> WorkOrderId {
    WorkOrderId(Uuid::from_u128(7))
}
fn at(minute: i64) -> Stamp {
    Stamp::exact(Millis(1_782_835_200_000 + minute * MIN))
}
fn mark(minute: i64, by: u8) -> Mark {
    Mark { at: at(minute), by: who(by) }
}
fn reasoned(minute: i64, by: u8) -> Atomic<Reasoned> {
    Atomic(Reasoned { at: at(minute), by: who(by), reason: "r".into() })
}
fn event(kind: EventKind, minute: i64, by: u8, corrects: Option<ItemId>) -> Atomic<VisitEvent> {
    Atomic(VisitEvent { kind, mark: mark(minute, by), position: None, corrects })
}
fn visit(round: u32, events: &[(EventKind, i64, u8)]) -> (VisitId, Cow<'static, Visit>) {
    let events =
        events.iter().enumerate().map(|(i, (k, m, b))| (item(i as u128 + 1), event(*k, *m, *b, None))).collect();
    let visit = Visit { work_order: Some(order_id()), round, events, ..Visit::default() };
    (VisitId::of_dispatch(order_id(), round), Cow::Owned(visit))
}
fn signature(minute: i64) -> Option<Atomic<Signature>> {
    Some(Atomic(Signature {
        mark: mark(minute, 1),
        name: "张三".into(),
        strokes: Strokes("1,1 2,2".into()),
        heads: Vec::new(),
        content: Sha256([0; 32]),
    }))
}
fn completed(mut v: (VisitId, Cow<'static, Visit>), minute: i64, by: u8) -> (VisitId, Cow<'static, Visit>) {
    v.1.to_mut().outcome = Some(Outcome::Completed);
    v.1.to_mut().outcome_given = Some(Atomic(mark(minute, by)));
    v
}
fn issued() -> WorkOrder {
    let mut order = WorkOrder::default();
    order.dispatch.issued = Some(Atomic(mark(0, 9)));
    order
}
fn signed() -> WorkOrder {
    let mut order = issued();
    let content = forms_content::dispatch_content(&order);
    for role in SignoffRole::ALL {
        order.signoffs.insert(*role, Atomic(Signoff { mark: mark(1, 9), content }));
    }
    order
}
fn of(order: &WorkOrder, visits: &[(VisitId, Cow<'static, Visit>)]) -> Stage {
    stage(order, visits, at(1_000).best()).0
}
fn names(order: &WorkOrder, visits: &[(VisitId, Cow<'static, Visit>)]) -> Vec<String> {
    stage(order, visits, at(1_000).best()).1.iter().map(|c| c.name().to_owned()).collect()
}

#[test]
fn every_stage_of_the_flow_chart_is_reached() {
    use EventKind as E;
    let mut seen = BTreeSet::new();
    let mut see = |stage: Stage, wanted: Stage| {
        assert_eq!(stage, wanted);
        seen.insert(stage);
    };
    see(request_stage(&Request::default()), Stage::Reported);
    see(request_stage(&Request { withdrawn: Some(reasoned(1, 1)), ..Request::default() }), Stage::Withdrawn);
    see(of(&WorkOrder::default(), &[]), Stage::Planning);
    see(of(&issued(), &[]), Stage::AwaitingSignoffs);
    see(of(&signed(), &[]), Stage::Dispatched);
    see(of(&signed(), &[visit(0, &[(E::Acknowledged, 2, 1)])]), Stage::Acknowledged);
    see(of(&signed(), &[visit(0, &[(E::Acknowledged, 2, 1), (E::TravelStarted, 3, 1)])]), Stage::Travelling);
    let arrived = visit(0, &[(E::TravelStarted, 3, 1), (E::Arrived, 4, 1)]);
    see(of(&signed(), std::slice::from_ref(&arrived)), Stage::OnSite);
    let mut done = completed(arrived, 60, 1);
    see(of(&signed(), std::slice::from_ref(&done)), Stage::AwaitingCustomer);
    done.1.to_mut().signature = signature(65);
    see(of(&signed(), std::slice::from_ref(&done)), Stage::Completed);
    let mut undone = done.clone();
    undone.1.to_mut().outcome = Some(Outcome::Incomplete);
    see(of(&signed(), &[undone]), Stage::Incomplete);
    let mut order = signed();
    order.feedback = Some(Atomic(Feedback { mark: mark(70, 9), problem: String::new(), solved: true }));
    see(of(&order, std::slice::from_ref(&done)), Stage::CustomerTold);
    order.cancelled = Some(reasoned(80, 9));
    see(of(&order, std::slice::from_ref(&done)), Stage::Cancelled);
    order.closed = Some(Atomic(mark(90, 9)));
    see(of(&order, std::slice::from_ref(&done)), Stage::Closed);
    order.archived = Some(Atomic(mark(95, 9)));
    see(of(&order, &[done]), Stage::Archived);
    assert_eq!(seen, Stage::ALL.into_iter().collect());
}

#[test]
fn words_are_those_of_serde() {
    for stage in Stage::ALL {
        assert_eq!(serde_json::to_value(stage).unwrap(), stage.word());
    }
}

#[test]
fn the_office_cancels_while_the_technician_completes() {
    let done = completed(visit(0, &[(EventKind::Arrived, 0, 1)]), 5, 1);
    let mut order = signed();
    order.cancelled = Some(reasoned(12, 9));
    let (at_stage, found) = stage(&order, std::slice::from_ref(&done), at(20).best());
    assert_eq!(at_stage, Stage::Cancelled);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].key, format!("cancelled_but_completed:{}", done.0));
    assert_eq!(found[0].at, (at(5).best(), at(12).best()));
    insta::assert_json_snapshot!(found[0].explain());
    order.settled.insert(found[0].key.clone(), reasoned(30, 9));
    assert!(names(&order, &[done]).is_empty());
}

#[test]
fn cancelling_after_a_finished_trip_contradicts_nothing() {
    use EventKind as E;
    let mut order = signed();
    order.cancelled = Some(reasoned(30, 9));
    let gone = visit(0, &[(E::Arrived, 4, 1), (E::Departed, 20, 1)]);
    assert!(names(&order, &[gone]).is_empty());
    assert_eq!(names(&order, &[visit(0, &[(E::Arrived, 4, 1)])]), ["cancelled_but_worked"]);
    assert_eq!(names(&order, &[visit(0, &[(E::Arrived, 40, 1)])]), ["cancelled_but_worked"]);
    assert!(names(&order, &[visit(0, &[(E::Acknowledged, 40, 1)])]).is_empty());
}

#[test]
fn work_after_closing_and_after_reassigning_is_shown() {
    use EventKind as E;
    let mut order = signed();
    order.closed = Some(Atomic(mark(10, 9)));
    assert_eq!(names(&order, &[visit(0, &[(E::Arrived, 40, 1)])]), ["closed_but_reworked"]);
    let mut order = signed();
    let off = Assignment { technician: Some(who(1)), ended: Some(reasoned(12, 9)), ..Assignment::default() };
    let on = Assignment { technician: Some(who(2)), lead: true, ..Assignment::default() };
    order.assignments = [(item(1), off), (item(2), on)].into();
    assert_eq!(order.current_technicians(), [who(2)]);
    assert_eq!(order.ever_assigned(), [who(1), who(2)].into());
    let done = completed(visit(0, &[(E::Arrived, 0, 1)]), 5, 1);
    let found = stage(&order, std::slice::from_ref(&done), at(20).best()).1;
    assert_eq!(found[0].key, format!("reassigned_but_completed:{}:{}", done.0, who(1)));
    assert_eq!((found[0].explain().visit, found[0].explain().staff), (Some(done.0), Some(who(1))));
    assert_eq!(names(&order, &[visit(0, &[(E::Arrived, 5, 1)])]), ["reassigned_but_worked"]);
    assert!(names(&order, &[visit(0, &[(E::Arrived, 5, 2)])]).is_empty());
}

#[test]
fn two_rounds_that_disagree() {
    let mut order = signed();
    order.round = 1;
    let first = completed(visit(0, &[]), 5, 1);
    assert_eq!(names(&order, std::slice::from_ref(&first)), ["completed_but_redispatched"]);
    let mut second = completed(visit(1, &[]), 50, 2);
    second.1.to_mut().outcome = Some(Outcome::Incomplete);
    assert_eq!(names(&order, &[first.clone(), second.clone()]), ["completed_and_incomplete"]);
    // First incomplete, then completed: that is how it should go.
    let (mut first, second) = (first, completed(second, 50, 2));
    first.1.to_mut().outcome = Some(Outcome::Incomplete);
    assert!(names(&order, &[first, second]).is_empty());
}

#[test]
fn the_customers_word_against_the_result() {
    let mut v = completed(visit(0, &[]), 5, 1);
    let accept = |accepted| Some(Atomic(Acceptance { mark: mark(6, 1), accepted, remark: String::new() }));
    v.1.to_mut().acceptance = accept(false);
    assert_eq!(names(&signed(), std::slice::from_ref(&v)), ["completed_but_not_accepted"]);
    v.1.to_mut().acceptance = accept(true);
    assert!(names(&signed(), std::slice::from_ref(&v)).is_empty());
    v.1.to_mut().signature = signature(7);
    v.1.to_mut().signature_refused = Some(reasoned(6, 1));
    assert!(names(&signed(), std::slice::from_ref(&v)).is_empty(), "refused, then signed");
    v.1.to_mut().signature_refused = Some(reasoned(8, 2));
    assert_eq!(names(&signed(), &[v]), ["signed_and_refused"]);
}

#[test]
fn an_unplanned_visit_speaks_until_somebody_is_dispatched() {
    let unplanned =
        Visit { request: Some(Uuid::from_u128(3).into()), ..visit(0, &[(EventKind::Arrived, 1, 1)]).1.into_owned() };
    let visits = [(VisitId(Uuid::from_u128(1)), Cow::Owned(Visit { work_order: None, ..unplanned }))];
    assert_eq!(of(&WorkOrder::default(), &visits), Stage::OnSite);
    assert_eq!(of(&signed(), &visits), Stage::Dispatched);
}

#[test]
fn what_was_told_before_this_result_is_not_about_it() {
    let mut v = completed(visit(0, &[]), 60, 1);
    v.1.to_mut().signature = signature(61);
    let mut order = signed();
    order.feedback = Some(Atomic(Feedback { mark: mark(30, 9), problem: String::new(), solved: false }));
    assert_eq!(of(&order, &[v]), Stage::Completed);
}

#[test]
fn a_signature_is_void_when_what_it_signed_changed() {
    let mut order = signed();
    assert!(SignoffRole::ALL.iter().all(|r| signed_off(&order, *r)));
    order.signoffs.get_mut(&SignoffRole::Finance).unwrap().0.content = Sha256([9; 32]);
    assert!(!signed_off(&order, SignoffRole::Finance));
    assert_eq!(of(&order, &[]), Stage::AwaitingSignoffs);
}

#[test]
fn corrections_replace_and_the_last_one_stands() {
    use EventKind as E;
    let mut v = visit(0, &[(E::Arrived, 10, 1)]).1.into_owned();
    v.events.insert(item(2), event(E::Arrived, 4, 2, Some(item(1))));
    v.events.insert(item(3), event(E::Arrived, 6, 1, Some(item(1))));
    assert_eq!(v.arrived_at(), Some(at(6)));
    assert_eq!(v.arrived_at_by(who(1)), Some(at(6)), "a correction by another stays about the first author");
    assert_eq!(v.arrived_at_by(who(2)), None);
    v.events.insert(item(4), event(E::Departed, 7, 1, Some(item(3))));
    assert_eq!((v.arrived_at(), v.departed_at()), (None, Some(at(7))));
    // Events that correct each other in a ring say nothing, and nothing hangs.
    v.events =
        [(item(1), event(E::Arrived, 1, 1, Some(item(2)))), (item(2), event(E::Arrived, 2, 1, Some(item(1))))].into();
    assert!(v.live_events().is_empty());
}

#[test]
fn hours_worked_side_by_side_count_once() {
    use EventKind as E;
    let v = visit(
        0,
        &[
            (E::WorkStarted, 0, 1),
            (E::Paused, 30, 1),
            (E::Resumed, 40, 1),
            (E::WorkEnded, 60, 1),
            (E::WorkStarted, 20, 2),
            (E::WorkEnded, 35, 2),
        ],
    )
    .1;
    assert_eq!(v.work_minutes_by(who(1)), Some(50));
    assert_eq!(v.work_minutes_by(who(2)), Some(15));
    assert_eq!(v.work_minutes(), Some(55));
    assert_eq!(v.work_minutes_by(who(3)), None);
    assert_eq!(visit(0, &[(E::WorkStarted, 0, 1)]).1.work_minutes(), None, "no end, no figure");
    assert_eq!(visit(0, &[(E::WorkEnded, 9, 1)]).1.work_minutes(), None, "no start, no figure");
    let shared = visit(0, &[(E::WorkStarted, 0, 1), (E::WorkEnded, 9, 2)]).1;
    assert_eq!(shared.work_minutes(), Some(9), "one starts, another ends");
}

#[test]
fn money_and_parts_add_up() {
    let receipt = |amount| {
        Atomic(Receipt { mark: mark(1, 1), amount: Fen(amount), method: PayMethod::Cash, reference: String::new() })
    };
    let mut order = issued();
    order.dispatch.balance_to_collect = Fen(10_000);
    order.dispatch.items.insert(
        item(1),
        RequiredItem {
            name: "模具".into(),
            required: 4,
            issued: Count(5),
            returned: Count(1),
            ..RequiredItem::default()
        },
    );
    order.bookings.insert(
        item(9),
        Atomic(Booking { mark: mark(1, 9), receipt: Some(item(5)), amount: Fen(7_000), what: String::new() }),
    );
    let mut v = visit(0, &[]);
    v.1.to_mut().receipts = [(item(5), receipt(7_000)), (item(6), receipt(-500))].into();
    v.1.to_mut().items.insert(item(1), UsedItem { used: Count(3), taken_back: Count(2), ..UsedItem::default() });
    v.1.to_mut().items.insert(item(2), UsedItem { name: "螺丝".into(), used: Count(8), ..UsedItem::default() });
    let visits = [v];
    assert_eq!(order.collected(&visits), Fen(6_500));
    assert_eq!(order.remaining_balance(&visits), Fen(3_500));
    let items = order.items(&visits);
    assert_eq!(
        items.iter().map(|i| (i.required, i.used, i.unaccounted())).collect::<Vec<_>>(),
        [(4, 3, 1), (0, 8, -8)]
    );
}

#[test]
fn calls_and_arrivals_fall_due() {
    let settings = Settings::default();
    let day = |s: &str| s.parse::<Date>().unwrap();
    let zone = Zone::of(&settings);
    let mut customer = Customer { project_completed: Some(day("2026-01-01")), ..Customer::default() };
    let call = |d: &str, outcome| FollowUp {
        done: Some(Atomic(Mark { at: Stamp::exact(zone.at(day(d), 10, 0)), by: who(1) })),
        outcome: Some(outcome),
        ..FollowUp::default()
    };
    assert_eq!(next_call(&customer, &[], &settings), Some(day("2026-04-01")));
    let calls = [call("2026-03-30", CallOutcome::Normal), call("2026-05-30", CallOutcome::Unreachable)];
    assert_eq!(next_call(&customer, &calls, &settings), Some(day("2026-06-28")), "an unanswered call is no call");
    customer.next_call = Some(day("2026-04-15"));
    assert_eq!(next_call(&customer, &calls, &settings), Some(day("2026-04-15")));
    let later = [call("2026-04-15", CallOutcome::Normal)];
    assert_eq!(next_call(&customer, &later, &settings), Some(day("2026-07-14")), "the day set by hand lapsed");
    assert_eq!(next_call(&Customer::default(), &[], &settings), None);
    assert!(!overdue_call(day("2026-04-15"), zone.at(day("2026-04-15"), 23, 59), &settings));
    assert!(overdue_call(day("2026-04-15"), zone.at(day("2026-04-16"), 0, 0), &settings));

    let mut order = signed();
    order.arrival_deadline = Some(at(10).best());
    assert_eq!(overdue_arrival(&order, &[], at(10).best()), None);
    assert_eq!(overdue_arrival(&order, &[], at(11).best()), Some(at(10).best()));
    assert_eq!(overdue_arrival(&order, &[visit(0, &[(EventKind::Arrived, 20, 1)])], at(30).best()), None);
}

fn any_visit() -> impl Strategy<Value = Visit> {
    let events = proptest::collection::vec((0usize..9, -50i64..50, 0u8..3, proptest::option::of(0u128..8)), 0..8);
    let outcome = (proptest::option::of(0usize..2), proptest::option::of(-50i64..50), any::<bool>(), any::<bool>());
    (0u32..3, any::<bool>(), events, outcome, proptest::option::of((any::<bool>(), -50i64..50))).prop_map(
        |(round, planned, events, (outcome, given, signed, refused), accepted)| Visit {
            work_order: planned.then(order_id),
            round,
            events: (events.into_iter().enumerate())
                .map(|(i, (k, m, b, c))| (item(i as u128), event(EventKind::ALL[k], m, b, c.map(item))))
                .collect(),
            outcome: outcome.map(|o| Outcome::ALL[o]),
            outcome_given: given.map(|m| Atomic(mark(m, 1))),
            signature: if signed { signature(3) } else { None },
            signature_refused: refused.then(|| reasoned(4, 1)),
            acceptance: accepted
                .map(|(a, m)| Atomic(Acceptance { mark: mark(m, 1), accepted: a, remark: String::new() })),
            ..Visit::default()
        },
    )
}

fn any_order() -> impl Strategy<Value = WorkOrder> {
    let time = || proptest::option::of(-50i64..50);
    let people = proptest::collection::vec((0u8..3, any::<bool>(), time(), time()), 0..5);
    (0u32..3, time(), any::<bool>(), time(), time(), time(), time(), people).prop_map(
        |(round, issue, signs, cancelled, closed, archived, told, people)| {
            let mut order = if signs { signed() } else { WorkOrder::default() };
            order.round = round;
            order.dispatch.issued = issue.map(|m| Atomic(mark(m, 9)));
            order.cancelled = cancelled.map(|m| reasoned(m, 9));
            order.closed = closed.map(|m| Atomic(mark(m, 9)));
            order.archived = archived.map(|m| Atomic(mark(m, 9)));
            order.feedback = told.map(|m| Atomic(Feedback { mark: mark(m, 9), problem: String::new(), solved: true }));
            order.assignments = (people.into_iter().enumerate())
                .map(|(i, (t, lead, assigned, ended))| {
                    let assigned = assigned.map(|m| Atomic(mark(m, 9)));
                    let ended = ended.map(|m| reasoned(m, 9));
                    (item(i as u128), Assignment { technician: Some(who(t)), lead, assigned, ended })
                })
                .collect();
            order
        },
    )
}

proptest! {
    #[test]
    fn the_order_of_visits_decides_nothing(order in any_order(), visits in proptest::collection::vec(any_visit(), 0..4), turn in 0usize..4) {
        let mut visits: Vec<_> =
            visits.into_iter().enumerate().map(|(i, v)| (VisitId(Uuid::from_u128(i as u128)), Cow::Owned(v))).collect();
        let before = stage(&order, &visits, Millis(0));
        visits.reverse();
        prop_assert_eq!(&stage(&order, &visits, Millis(i64::MAX)), &before);
        let n = visits.len().max(1);
        visits.rotate_left(turn % n);
        prop_assert_eq!(&stage(&order, &visits, Millis(0)), &before);
        // Laws.
        let at = before.0;
        prop_assert_eq!(at == Stage::Archived, order.archived.is_some());
        prop_assert_eq!(at == Stage::Closed, order.archived.is_none() && order.closed.is_some());
        prop_assert!(order.cancelled.is_none() || at >= Stage::Closed);
        prop_assert!(at != Stage::CustomerTold || order.feedback.is_some());
        prop_assert!(!matches!(at, Stage::Completed | Stage::Incomplete) || visits.iter().any(|(_, v)| v.outcome.is_some()));
        // Keys are unique, moments in order, and settling takes away just its own.
        let keys: BTreeSet<_> = before.1.iter().map(|c| c.key.clone()).collect();
        prop_assert_eq!(keys.len(), before.1.len());
        prop_assert!(before.1.iter().all(|c| c.at.0 <= c.at.1 && c.explain().visit.is_some()));
        if let Some(first) = before.1.first() {
            let mut settled = order.clone();
            settled.settled.insert(first.key.clone(), reasoned(0, 9));
            let (after, rest) = stage(&settled, &visits, Millis(0));
            prop_assert_eq!(after, at);
            prop_assert_eq!(&rest[..], &before.1[1..]);
        }
    }

    #[test]
    fn what_a_visit_adds_up_to_is_total(v in any_visit()) {
        prop_assert!(v.work_ms().is_none_or(|ms| ms >= 0));
        prop_assert!(v.stay_minutes().is_none_or(|m| m >= 0));
        let _ = (v.people(), v.work_marks(), v.completed_at(), v.restored_at(), v.on_site_at(Millis(0), None));
        prop_assert!(v.outcome.is_some() || v.result_mark().is_none());
    }
}
