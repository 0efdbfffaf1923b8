#![expect(clippy::unwrap_used, reason = "tests")]

use super::super::testing::MemoryWorld;
use super::super::{
    Address, Assignment, Atomic, Contact, ContractKind, Equipment, Mark, Note, Outcome, Reasoned, RequiredItem,
    Settings, Sha256, Signoff, Stamp, Statement, Text,
};
use super::*;
use std::collections::BTreeMap;
use uuid::Uuid;

impl MemoryWorld {
    fn put(&mut self, id: impl Into<DocId>, e: Entity) -> DocRef {
        let doc = DocRef::new(e.kind(), id);
        self.docs.insert(doc, e);
        doc
    }
    fn row(&self, doc: DocRef) -> Summary {
        summary(doc, &self.docs[&doc], self, Millis(0))
    }
    fn readers(&self, doc: DocRef) -> BTreeSet<StaffId> {
        readers(doc, &self.docs[&doc], self)
    }
    fn touches(&self, doc: DocRef) -> Vec<DocRef> {
        touches(doc, &self.docs[&doc], self)
    }
}

fn id<T: From<Uuid>>(n: u128) -> T {
    Uuid::from_u128(n).into()
}
fn tech(n: u128) -> StaffId {
    id(0x100 + n)
}
fn mark(minute: i64) -> Atomic<Mark> {
    Atomic(Mark { at: Stamp::exact(Millis(1_782_835_200_000 + minute * Millis::MINUTE)), by: tech(9) })
}

struct Scene {
    world: MemoryWorld,
    customer: DocRef,
    request: DocRef,
    order: DocRef,
    visit: DocRef,
    unplanned: DocRef,
}

fn scene() -> Scene {
    let mut world = MemoryWorld::default();
    for (n, name) in [(1, "李工"), (2, "王工"), (3, "赵工")] {
        world.put(tech(n), Entity::Staff(Staff { name: name.into(), code: format!("T{n}"), ..Staff::default() }));
    }
    let customer = Customer {
        name: "西安蛋品".into(),
        code: "C001".into(),
        contacts: [(id(1), Contact { name: "张三".into(), phone: "13900000001".into(), ..Contact::default() })].into(),
        addresses: [(id(1), Address { text: "西安市未央区1号".into(), ..Address::default() })].into(),
        equipment: [(id(1), Equipment { model: "HK-4".into(), serial: "SN88".into(), ..Equipment::default() })].into(),
        project_completed: Some("2026-01-01".parse().unwrap()),
        ..Customer::default()
    };
    let customer = world.put(id::<CustomerId>(10), Entity::Customer(customer));
    let request = Request {
        provisional_number: "A7-1".into(),
        author: Some(tech(3)),
        customer: Some(id(10)),
        customer_name: "西安蛋品".into(),
        problem: Text("真空泵异响\n第二行".into()),
        reported: Some(mark(0).at),
        ..Request::default()
    };
    let request = world.put(id::<RequestId>(20), Entity::Request(request));
    let assignment = |n, ended: bool| Assignment {
        technician: Some(tech(n)),
        lead: !ended,
        assigned: Some(mark(1)),
        ended: ended.then(|| Atomic(Reasoned { at: mark(5).at, by: tech(9), reason: "换人".into() })),
    };
    let visit_id = VisitId::of_dispatch(id(30), 0);
    let mut order = WorkOrder {
        number: Some("WX-2026-0001".into()),
        record_numbers: [(visit_id, "JL-2026-0001".into())].into(),
        request_number: Some("BX-2026-0001".into()),
        request: Some(id(20)),
        customer: Some(id(10)),
        equipment: Some(id(1)),
        opened: Some(mark(0)),
        assignments: [(id(1), assignment(1, true)), (id(2), assignment(2, false))].into(),
        arrival_deadline: Some(Millis(99)),
        ..WorkOrder::default()
    };
    order.dispatch.issued = Some(mark(2));
    order.dispatch.customer_name = "西安蛋品厂".into();
    order.dispatch.service_description = Text("更换真空泵轴承".into());
    order
        .dispatch
        .items
        .insert(id(1), RequiredItem { part_no: "ZC-6205".into(), name: "轴承".into(), ..RequiredItem::default() });
    order.signoffs.insert(SignoffRole::Finance, Atomic(Signoff { mark: mark(3).0, content: Sha256([7; 32]) }));
    let order = world.put(id::<WorkOrderId>(30), Entity::WorkOrder(order));
    let visit = Visit {
        work_order: Some(id(30)),
        provisional_numbers: [(tech(2), "B2-5".into())].into(),
        diagnosis: Text("轴承磨损".into()),
        notes: [(id(1), Atomic(Note { mark: Mark { at: mark(4).at, by: tech(2) }, text: "客户在场".into() }))].into(),
        outcome: Some(Outcome::Completed),
        ..Visit::default()
    };
    let visit = world.put(visit_id, Entity::Visit(visit));
    let unplanned = world.put(
        VisitId::of_request(id(20)),
        Entity::Visit(Visit {
            request: Some(id(20)),
            provisional_numbers: [(tech(3), "A7-2".into())].into(),
            ..Visit::default()
        }),
    );
    Scene { world, customer, request, order, visit, unplanned }
}

#[test]
fn rows_of_a_job() {
    let s = scene();
    let rows: Vec<Summary> =
        [s.customer, s.request, s.order, s.visit, s.unplanned].into_iter().map(|d| s.world.row(d)).collect();
    insta::assert_json_snapshot!(rows, { "[].flags" => "flags" });
    assert!(rows[2].flags.contains(&"signoff_voided:finance".to_owned()));
    assert_eq!(rows[2].people, [tech(2), tech(1)], "who is on the job comes first");
    for (row, words) in rows.iter().zip([
        &["C001", "张三", "13900000001", "SN88", "未央区"][..],
        &["A7-1", "BX-2026-0001", "真空泵异响"],
        &[
            "WX-2026-0001",
            "JL-2026-0001",
            "BX-2026-0001",
            "A7-1",
            "B2-5",
            "A7-2",
            "SN88",
            "13900000001",
            "李工",
            "ZC-6205",
        ],
        &["JL-2026-0001", "B2-5", "WX-2026-0001", "轴承磨损", "客户在场"],
        &["A7-2", "HK-4"],
    ]) {
        for word in words {
            assert!(row.search.contains(word), "{word} in {}", row.search);
        }
    }
}

#[test]
fn without_a_final_number_the_provisional_one_shows() {
    let mut s = scene();
    let Some(Entity::WorkOrder(w)) = s.world.docs.get_mut(&s.order) else { panic!() };
    (w.number, w.request_number) = (None, None);
    w.record_numbers.clear();
    assert_eq!(s.world.row(s.visit).number, "B2-5");
    assert_eq!(s.world.row(s.request).number, "A7-1");
    assert!(!s.world.row(s.order).number.is_empty());
}

#[test]
fn who_must_hold_what() {
    let s = scene();
    let crew: BTreeSet<_> = [tech(1), tech(2)].into();
    let all: BTreeSet<_> = [tech(1), tech(2), tech(3)].into();
    assert_eq!(s.world.readers(s.order), crew, "whoever was ever assigned, also once taken off");
    assert_eq!(s.world.readers(s.visit), crew);
    assert_eq!(s.world.readers(s.customer), crew);
    assert_eq!(s.world.readers(s.request), all);
    assert_eq!(s.world.readers(s.unplanned), all);
    let staff = DocRef::new(Kind::Staff, tech(1));
    assert_eq!(s.world.readers(staff), [EVERYBODY].into());
    let complaint = Complaint { staff: [tech(2)].into_iter().collect(), ..Complaint::default() };
    let doc = DocRef::new(Kind::Complaint, id::<DocId>(50));
    assert_eq!(readers(doc, &Entity::Complaint(complaint), &s.world), [tech(2)].into());
    // What all ties together give is what searching finds.
    let ids: BTreeMap<DocId, &Entity> = s.world.docs.iter().map(|(doc, e)| (doc.id, e)).collect();
    let mut links = BTreeSet::new();
    let mut read: BTreeMap<DocId, BTreeSet<StaffId>> = BTreeMap::new();
    for (id, entity) in &ids {
        let Ties { readers, under, over } = ties(entity);
        read.insert(*id, readers);
        links.extend(under.into_iter().map(|from| (from, *id)));
        links.extend(over.into_iter().map(|to| (*id, to)));
    }
    for _ in 0..links.len() {
        for (from, to) in links.iter().filter(|(f, t)| ids.contains_key(f) && ids.contains_key(t)) {
            let more = read[from].clone();
            read.entry(*to).or_default().extend(more.into_iter().filter(|s| *s != EVERYBODY));
        }
    }
    for (doc, entity) in &s.world.docs {
        assert_eq!(read[&doc.id], readers(*doc, entity, &s.world), "{doc:?}");
    }
}

#[test]
fn what_projects_anew_with_what() {
    let s = scene();
    let set = |v: Vec<DocRef>| v.into_iter().collect::<BTreeSet<_>>();
    assert_eq!(set(s.world.touches(s.order)), [s.visit, s.unplanned, s.request].into());
    assert_eq!(set(s.world.touches(s.visit)), [s.order, s.request].into());
    assert_eq!(set(s.world.touches(s.unplanned)), [s.order, s.request].into());
    assert_eq!(set(s.world.touches(s.request)), [s.order, s.unplanned].into());
    let call = Entity::FollowUp(FollowUp { customer: Some(id(10)), ..FollowUp::default() });
    assert_eq!(touches(DocRef::new(Kind::FollowUp, id::<DocId>(60)), &call, &s.world), [s.customer]);
}

#[test]
fn a_request_shows_the_stage_of_the_job_that_answers_it() {
    let mut s = scene();
    assert_eq!(s.world.row(s.request).status, "awaiting_customer");
    s.world.docs.remove(&s.order);
    assert_eq!(s.world.row(s.request).status, "reported");
}

/// Two who identified an unknown customer at once clash, and the job of the one who loses is for another customer
/// than its request then; of an unidentified one too, its jobs are what names it.
#[test]
fn a_request_is_answered_by_what_names_it_whatever_customer_each_has() {
    for customer in [Some(id(11)), None] {
        let mut s = scene();
        let Entity::Request(request) = s.world.docs[&s.request].clone() else { panic!() };
        s.world.put(s.request.id, Entity::Request(Request { customer, ..request }));
        assert_eq!(s.world.row(s.request).status, "awaiting_customer");
        assert_eq!(s.world.row(s.request).number, "BX-2026-0001");
        assert!(s.world.touches(s.unplanned).contains(&s.order));
        assert!(s.world.touches(s.request).contains(&s.order));
        assert!(s.world.readers(s.unplanned).contains(&tech(2)));
        // It is there before its request as well.
        s.world.docs.remove(&s.request);
        assert!(s.world.touches(s.unplanned).contains(&s.order));
    }
}

#[test]
fn every_kind_has_a_row_even_when_nothing_is_known() {
    let world = MemoryWorld::default();
    for kind in Kind::ALL {
        let doc = DocRef::new(kind, id::<DocId>(1));
        let entity = Entity::new(kind);
        let row = summary(doc, &entity, &world, Millis(0));
        assert_eq!(row.doc, doc);
        let _ = (touches(doc, &entity, &world), readers(doc, &entity, &world), ties(&entity));
    }
    let _ = (Settings::default(), Statement::default(), ContractKind::Annual);
}

#[test]
fn a_customers_new_name_reaches_the_rows_that_show_it() {
    let mut w = MemoryWorld::default();
    let customer: CustomerId = id(1);
    let file = w.put(customer, Entity::Customer(Customer { name: "旧名".into(), ..Customer::default() }));
    let order = |name: &str| {
        let mut order = WorkOrder { customer: Some(customer), round: 1, ..WorkOrder::default() };
        order.dispatch.customer_name = name.into();
        Entity::WorkOrder(order)
    };
    let planned = w.put(id::<WorkOrderId>(2), order(""));
    let issued = w.put(id::<WorkOrderId>(3), order("旧名"));
    let visit = Visit { work_order: Some(id(2)), round: 1, ..Visit::default() };
    let visit = w.put(id::<VisitId>(4), Entity::Visit(visit));
    let request = Request { customer: Some(customer), ..Request::default() };
    let request = w.put(id::<RequestId>(5), Entity::Request(request));
    let complaint = Complaint { work_order: Some(id(3)), customer: Some(customer), ..Complaint::default() };
    let complaint = w.put(id::<DocId>(6), Entity::Complaint(complaint));
    let call = w.put(id::<DocId>(7), Entity::FollowUp(FollowUp { customer: Some(customer), ..FollowUp::default() }));
    let rows: BTreeSet<DocRef> = retitled(file, &w).into_iter().collect();
    assert_eq!(rows, [planned, visit, request, complaint, call].into());
    assert!(retitled(issued, &w).is_empty());
    w.put(customer, Entity::Customer(Customer { name: "新名".into(), ..Customer::default() }));
    assert!(rows.iter().all(|row| w.row(*row).title == "新名"));
    assert_eq!(w.row(issued).title, "旧名", "form 1 keeps what it was issued with");
}

/// Every order of these.
fn orders(of: &[DocRef]) -> Vec<Vec<DocRef>> {
    let [first, rest @ ..] = of else { return vec![Vec::new()] };
    let all = orders(rest).into_iter();
    all.flat_map(|o| (0..=o.len()).map(move |at| [&o[..at], &[*first], &o[at..]].concat())).collect()
}

#[test]
fn rows_are_the_same_in_whatever_order_documents_come() {
    let planned = scene();
    let mut unplanned = scene();
    // Nobody was dispatched: the unplanned visit speaks for the job.
    unplanned.world.docs.remove(&unplanned.visit);
    for entity in unplanned.world.docs.values_mut() {
        match entity {
            Entity::WorkOrder(w) => w.dispatch.issued = None,
            Entity::Visit(v) => v.outcome = Some(Outcome::Incomplete),
            _ => {}
        }
    }
    // What a row says of its own document and of its job; its title follows with the next edit.
    let told = |row: Summary| Summary { title: String::new(), search: String::new(), ..row };
    for s in [planned, unplanned] {
        let job: Vec<DocRef> = s.world.docs.keys().filter(|d| d.kind != Kind::Staff).copied().collect();
        for order in orders(&job) {
            let mut here = s.world.clone();
            here.docs.retain(|d, _| d.kind == Kind::Staff);
            let mut rows = BTreeMap::new();
            for doc in &order {
                here.put(doc.id, s.world.docs[doc].clone());
                let again = here.touches(*doc).into_iter().chain([*doc]).filter(|d| here.docs.contains_key(d));
                rows.extend(again.map(|d| (d, told(here.row(d)))));
            }
            for doc in &job {
                assert_eq!(rows[doc], told(s.world.row(*doc)), "{order:?}");
            }
        }
    }
}
