#![expect(clippy::unwrap_used, reason = "tests")]

use super::super::testing::MemoryWorld;
use super::super::{
    Assignment, Atomic, Channel, Check, ContactLog, Entity, EventKind, Fen, Flags, ItemId, Mark, Photo, Reasoned,
    Ruling, VisitEvent,
};
use super::*;
use uuid::Uuid;

const HOUR: i64 = 60 * Millis::MINUTE;

fn tech() -> StaffId {
    StaffId(Uuid::from_u128(1))
}
fn id<T: From<Uuid>>(n: u128) -> T {
    Uuid::from_u128(n).into()
}
fn at(hour: i64) -> Stamp {
    Stamp::exact(Millis(1_782_835_200_000 + hour * HOUR))
}
fn mark(hour: i64) -> Mark {
    Mark { at: at(hour), by: tech() }
}
fn reasoned(hour: i64) -> Atomic<Reasoned> {
    Atomic(Reasoned { at: at(hour), by: id(9), reason: "查无此事".into() })
}

/// A job reported at 0 and assigned at 1, due by 10; a complaint at 40.
struct Scene {
    order: WorkOrder,
    visits: Vec<(VisitId, Cow<'static, Visit>)>,
    complaint: Complaint,
    synced: Option<Millis>,
}

impl Scene {
    fn new(about: ComplaintAbout) -> Self {
        let assigned =
            Assignment { technician: Some(tech()), assigned: Some(Atomic(mark(1))), ..Assignment::default() };
        let order = WorkOrder {
            reported: Some(at(0)),
            arrival_deadline: Some(at(10).best()),
            assignments: [(id::<ItemId>(1), assigned)].into(),
            ..WorkOrder::default()
        };
        let complaint = Complaint {
            work_order: Some(id(7)),
            staff: [tech()].into_iter().collect(),
            about: Some(about),
            received: Some(at(40)),
            ..Complaint::default()
        };
        let visit = Visit { work_order: Some(id(7)), ..Visit::default() };
        Self { order, visits: vec![(id(8), Cow::Owned(visit))], complaint, synced: None }
    }
    fn arrive(mut self, stamp: Stamp) -> Self {
        let event = VisitEvent {
            kind: EventKind::Arrived,
            mark: Mark { at: stamp, by: tech() },
            position: None,
            corrects: None,
        };
        self.visits[0].1.to_mut().events.insert(id(20), Atomic(event));
        self
    }
    fn weigh(&self) -> Vec<Proposal> {
        let g = Grievance {
            id: id(6),
            complaint: &self.complaint,
            order: Some((id(7), &self.order)),
            visits: &self.visits,
        };
        for_complaint(g, &Settings::default(), &|_| self.synced)
    }
    fn verdict(&self) -> Verdict {
        let all = self.weigh();
        assert_eq!(all.len(), 1);
        all[0].verdict
    }
}

#[test]
fn p1_late_arrival() {
    let scene = || Scene::new(ComplaintAbout::LateArrival);
    assert_eq!(scene().arrive(at(11)).verdict(), Verdict::Proposed);
    assert_eq!(scene().arrive(at(10)).verdict(), Verdict::NotMet, "on the minute is in time");
    assert_eq!(scene().verdict(), Verdict::Unknown, "no arrival recorded");
    assert_eq!(scene().arrive(Stamp::unchecked(at(30).device)).verdict(), Verdict::Unknown, "a clock never compared");
    let spanning = Stamp { doubt: Some(5 * Millis::MINUTE), ..at(10) };
    assert_eq!(scene().arrive(spanning).verdict(), Verdict::Unknown, "the doubt spans the deadline");
    let wide = Stamp { doubt: Some(11 * Millis::MINUTE), ..at(20) };
    assert_eq!(scene().arrive(wide).verdict(), Verdict::Unknown, "more doubtful than the company allows");
    let mut dismissed = scene().arrive(at(11));
    dismissed.complaint.dismissed = Some(reasoned(50));
    assert_eq!(dismissed.verdict(), Verdict::NotMet);
    let mut open = scene().arrive(at(11));
    open.order.arrival_deadline = None;
    assert_eq!(open.verdict(), Verdict::Unknown);
    let mut late_sent = scene().arrive(at(13));
    late_sent.order.assignments.values_mut().for_each(|a| a.assigned = Some(Atomic(mark(12))));
    assert_eq!(late_sent.verdict(), Verdict::Unknown, "sent after the deadline");
}

#[test]
fn p2_problem_not_communicated() {
    let contact = |hour| {
        let mut s = Scene::new(ComplaintAbout::Communication);
        let log = ContactLog { mark: mark(hour), channel: Channel::Phone, with: String::new(), summary: String::new() };
        s.visits[0].1.to_mut().contacts.insert(id(30), Atomic(log));
        s
    };
    // Received at 1 (assignment), 24 hours allowed.
    assert_eq!(contact(25).verdict(), Verdict::NotMet);
    assert_eq!(contact(26).verdict(), Verdict::Proposed);
    let mut silent = Scene::new(ComplaintAbout::Communication);
    assert_eq!(silent.verdict(), Verdict::Unknown);
    silent.synced = Some(at(20).best());
    assert_eq!(silent.verdict(), Verdict::Unknown);
    silent.synced = Some(at(26).best());
    assert_eq!(silent.verdict(), Verdict::Proposed, "nothing more can come from the phones");
    assert_eq!(silent.arrive(at(5)).verdict(), Verdict::NotMet, "being there is speaking");
}

#[test]
fn p3_goods_not_inspected() {
    let inspected = |result, photos: bool| {
        let mut s = Scene::new(ComplaintAbout::GoodsNotInspected).arrive(at(5));
        for (i, key) in ["model", "quantity", "label", "packaging"].into_iter().enumerate() {
            let check = Check { result: Some(result), note: String::new(), mark: Some(Atomic(mark(6))) };
            s.visits[0].1.to_mut().checks.insert(key.into(), check);
            if photos {
                s.visits[0]
                    .1
                    .to_mut()
                    .photos
                    .insert(id(50 + i as u128), Photo { check: Some(key.into()), ..Photo::default() });
            }
        }
        s
    };
    assert_eq!(inspected(CheckResult::Passed, true).verdict(), Verdict::Proposed, "passed, yet contradicted");
    assert_eq!(inspected(CheckResult::Failed, true).verdict(), Verdict::NotMet);
    let mut bare = inspected(CheckResult::Failed, false);
    assert_eq!(bare.verdict(), Verdict::Unknown, "photos may still be on the phone");
    bare.synced = Some(at(41).best());
    assert_eq!(bare.verdict(), Verdict::Proposed);
    assert_eq!(Scene::new(ComplaintAbout::GoodsNotInspected).verdict(), Verdict::Unknown, "not on site");
}

#[test]
fn a_complaint_without_a_subject_is_weighed_by_all_three() {
    let rules: Vec<_> = Scene::new(ComplaintAbout::Other).weigh().iter().map(|p| p.rule).collect();
    assert_eq!(rules, [Rule::LateArrival, Rule::NotCommunicated, Rule::NotInspected]);
    let mut nobody = Scene::new(ComplaintAbout::LateArrival).arrive(at(11));
    nobody.complaint.staff = Flags::default();
    assert_eq!(nobody.weigh()[0].staff, Some(tech()), "names nobody: everybody of the job");
}

#[test]
fn r1_a_quarter_without_complaints() {
    let quarter: Quarter = "2026Q3".parse().unwrap();
    let zone = Zone::of(&Settings::default());
    let (start, end) = (quarter.start(zone), quarter.end(zone));
    let weigh = |received: Option<Millis>, synced, now| {
        let c = Complaint {
            staff: [tech()].into_iter().collect(),
            received: received.map(Stamp::exact),
            ..Complaint::default()
        };
        for_quarter(quarter, tech(), &[(id(1), c)], synced, now, &MemoryWorld::default())
    };
    let verdict = |received| weigh(received, Some(end), end).verdict;
    assert_eq!(verdict(Some(start)), Verdict::NotMet);
    assert_eq!(verdict(Some(end.plus(-1))), Verdict::NotMet);
    assert_eq!(verdict(Some(start.plus(-1))), Verdict::Proposed);
    assert_eq!(verdict(Some(end)), Verdict::Proposed);
    assert_eq!(verdict(None), Verdict::Unknown);
    assert!(!weigh(Some(end), Some(end), end).provisional);
    assert!(weigh(Some(end), Some(end.plus(-1)), end).provisional, "a phone has not synced past the end");
    assert!(weigh(Some(end), None, end).provisional);
    assert!(weigh(Some(end), Some(end), end.plus(-1)).provisional, "the quarter runs");
}

#[test]
fn r2_an_adopted_major_suggestion() {
    let suggestion = Suggestion { author: Some(tech()), title: "改进模具".into(), ..Suggestion::default() };
    let ruled = |decision, major, hour| {
        let Atomic(why) = reasoned(hour);
        let ruling = Ruling { why, decision, severity: None, amount: Fen(50_000), major };
        Appraisal { suggestion: Some(id(3)), decision: Some(Atomic(ruling)), ..Appraisal::default() }
    };
    let verdict = |rulings: &[Appraisal]| for_suggestion(id(3), &suggestion, rulings).verdict;
    assert_eq!(verdict(&[]), Verdict::Unknown);
    assert_eq!(verdict(&[ruled(Decision::Adopted, true, 1)]), Verdict::Proposed);
    assert_eq!(verdict(&[ruled(Decision::Adopted, false, 1)]), Verdict::NotMet);
    assert_eq!(verdict(&[ruled(Decision::Adopted, true, 1), ruled(Decision::Declined, true, 2)]), Verdict::NotMet);
}

#[test]
fn a_late_phone_marks_the_decision_as_changed() {
    let before = Scene::new(ComplaintAbout::LateArrival).weigh().remove(0);
    let kept = Appraisal { evidence: Some(Atomic(serde_json::to_value(&before).unwrap())), ..Appraisal::default() };
    assert!(!changed_since(&kept, &before));
    let after = Scene::new(ComplaintAbout::LateArrival).arrive(at(11)).weigh().remove(0);
    assert!(changed_since(&kept, &after));
    assert!(!changed_since(&Appraisal::default(), &after), "no snapshot, nothing to compare");
    let torn = Appraisal { evidence: Some(Atomic(serde_json::json!({ "x": 1 }))), ..Appraisal::default() };
    assert!(changed_since(&torn, &after));
}

#[test]
fn a_proposal_is_found_again_by_its_key() {
    let scene = Scene::new(ComplaintAbout::LateArrival).arrive(at(11));
    let proposal = scene.weigh().remove(0);
    let docs = [
        (DocRef::new(Kind::Complaint, id::<ComplaintId>(6)), Entity::Complaint(scene.complaint.clone())),
        (DocRef::new(Kind::WorkOrder, id::<WorkOrderId>(7)), Entity::WorkOrder(scene.order.clone())),
        (DocRef::new(Kind::Visit, scene.visits[0].0), Entity::Visit(scene.visits[0].1.clone().into_owned())),
        (DocRef::new(Kind::Suggestion, id::<SuggestionId>(3)), Entity::Suggestion(Suggestion::default())),
    ];
    let world = MemoryWorld { docs: docs.into(), ..MemoryWorld::default() };
    let find = |key: &str| find(&world, key, at(50).best());
    assert_eq!(find(&proposal.key), Some(proposal.clone()));
    for key in [format!("R1:2026Q3:{}", tech()), format!("R2:{}", Uuid::from_u128(3))] {
        assert_eq!(find(&key).unwrap().key, key);
    }
    for key in ["", "P1", "P1:x:y", "P9:1:2", "R1:2026Q5:x", "R2:00000000-0000-0000-0000-000000000003:x", "P1:a:b:c"] {
        assert_eq!(find(key), None, "{key}");
    }
    insta::assert_json_snapshot!(proposal);
}
