#![expect(clippy::unwrap_used, reason = "tests")]

use super::{CODES, check, roles_for};
use crate::domain::authority::may_write;
use crate::domain::forms_content::{
    SignatureState, SignoffState, dispatch_content, fully_signed, signature_state, signoff_state, visit_content,
};
use crate::domain::testing::{MemoryWorld, author};
use crate::domain::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use uuid::Uuid;

const NOW: Stamp = Stamp { device: Millis(1_764_000_000_000), offset: Some(0), doubt: Some(0) };

fn uuid(n: u128) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_9000_0000_0000_0000 + n)
}
fn item(n: u128) -> ItemId {
    ItemId(uuid(0x1000 + n))
}
fn person(n: u128) -> StaffId {
    StaffId(uuid(n))
}
fn customer() -> CustomerId {
    CustomerId(uuid(0x200))
}
fn order() -> WorkOrderId {
    WorkOrderId(uuid(0x300))
}
fn visit() -> VisitId {
    VisitId::of_dispatch(order(), 1)
}
/// One person for each role, in the order of the roles; technicians 100 and 101 besides.
fn holder(role: Role) -> Author {
    let n = Role::ALL.iter().position(|r| *r == role).unwrap();
    author(person(n as u128 + 1), &[role])
}
fn tech(n: u128) -> Author {
    author(person(100 + n), &[Role::Technician])
}
fn strokes() -> Strokes {
    Strokes("10,10 20,30 40,50;900,399 1000,400".into())
}

/// A company with people, a customer and an issued, assigned work order.
fn company() -> MemoryWorld {
    let mut w = MemoryWorld::default();
    for (n, role) in Role::ALL.iter().enumerate() {
        let staff = Staff { name: format!("{role}"), roles: [*role].into_iter().collect(), ..Staff::default() };
        w.docs.insert(DocRef::new(Kind::Staff, person(n as u128 + 1)), staff.wrap());
    }
    for n in 0..3 {
        let staff =
            Staff { name: format!("技{n}"), roles: [Role::Technician].into_iter().collect(), ..Staff::default() };
        w.docs.insert(DocRef::new(Kind::Staff, person(100 + n)), staff.wrap());
    }
    let clerk = holder(Role::Clerk);
    let manager = holder(Role::ServiceManager);
    let contact = Contact { name: "李厂长".into(), phone: "13800138000".into(), ..Contact::default() };
    let address = Address { text: "佛山市一号".into(), ..Address::default() };
    let equipment = Equipment { model: "ZM-1".into(), address: Some(item(2)), ..Equipment::default() };
    for (command, by) in [
        (
            Command::PutCustomer {
                id: customer(),
                name: "甲厂".into(),
                code: "C1".into(),
                project_completed: None,
                call_interval_days: None,
            },
            &clerk,
        ),
        (Command::PutContact { customer: customer(), id: item(1), contact }, &clerk),
        (Command::PutAddress { customer: customer(), id: item(2), address }, &clerk),
        (Command::PutEquipment { customer: customer(), id: item(3), equipment }, &clerk),
        (open_order(order()), &clerk),
        (require(), &clerk),
        (Command::Assign { id: order(), technicians: vec![person(100), person(101)], reason: String::new() }, &manager),
        (Command::IssueDispatch { id: order() }, &manager),
        (Command::OpenVisit { work_order: order() }, &tech(0)),
    ] {
        w.run(&command, by, NOW).unwrap();
    }
    w
}

fn open_order(id: WorkOrderId) -> Command {
    Command::OpenWorkOrder {
        id,
        customer: customer(),
        equipment: Some(item(3)),
        work_type: WorkType::Repair,
        request: None,
        follow_on_of: None,
        service_description: "换加热管".into(),
        arrival_deadline: None,
    }
}
fn require() -> Command {
    Command::RequireItem {
        id: order(),
        item: item(4),
        part_no: "P-1".into(),
        name: "加热管".into(),
        unit: "根".into(),
        required: 4,
        removed: false,
    }
}

/// One of every command, with ids of the company where they name something.
fn every() -> Vec<Command> {
    let (id, c, v) = (order(), customer(), visit());
    let vdoc = DocRef::new(Kind::Visit, v);
    let photo = |doc| Command::AddPhoto {
        doc,
        id: item(20),
        blob: Sha256([7; 32]),
        size: 1000,
        media_type: "image/jpeg".into(),
        caption: "铭牌".into(),
        check: None,
    };
    let req = RequestId(uuid(0x400));
    let text = |kind, doc: Uuid, field: &str| Command::EditText {
        doc: DocRef::new(kind, DocId(doc)),
        field: field.into(),
        text: "新".into(),
        seen: vec![],
    };
    vec![
        Command::PutStaff {
            id: person(50),
            name: "王".into(),
            code: "1".into(),
            phone: "123".into(),
            roles: BTreeSet::from([Role::Technician]),
        },
        Command::StaffLeaves { id: person(102), reason: "离职".into() },
        Command::ChangeSettings(SettingsPatch { arrival_hours: Some(24), ..SettingsPatch::default() }),
        Command::PutCustomer {
            id: CustomerId(uuid(0x201)),
            name: "乙厂".into(),
            code: String::new(),
            project_completed: Some("2025-01-01".parse().unwrap()),
            call_interval_days: Some(30),
        },
        Command::PutContact {
            customer: c, id: item(30), contact: Contact { name: "张".into(), ..Contact::default() }
        },
        Command::PutAddress {
            customer: c, id: item(31), address: Address { text: "路".into(), ..Address::default() }
        },
        Command::PutEquipment {
            customer: c,
            id: item(32),
            equipment: Equipment { model: "M".into(), ..Equipment::default() },
        },
        Command::PutContract {
            customer: c,
            id: item(33),
            contract: Contract { from: Some("2025-01-01".parse().unwrap()), ..Contract::default() },
        },
        Command::Charge { customer: c, id: item(34), amount: Fen(500), what: "尾款".into() },
        Command::PlanCall { customer: c, due: Some("2026-01-01".parse().unwrap()) },
        Command::ReportRepair {
            id: req,
            customer: Some(c),
            customer_name: String::new(),
            contact_name: "李".into(),
            contact_phone: "0757-123".into(),
            address: String::new(),
            equipment: Some(item(3)),
            problem: "不加热".into(),
            reported: None,
        },
        Command::IdentifyRequest { id: req, customer: c, equipment: None },
        Command::WithdrawRequest { id: req, reason: "好了".into() },
        open_order(WorkOrderId(uuid(0x301))),
        Command::OverrideEntitlement { id, entitlement: Entitlement::PerVisit, reason: "人为".into() },
        Command::PlanDispatch {
            id,
            patch: DispatchPatch { cash_advance: Some(Fen(100_000)), ..DispatchPatch::default() },
        },
        require(),
        Command::Assign { id, technicians: vec![person(101)], reason: "调整".into() },
        Command::IssueDispatch { id },
        Command::Redispatch { id, reason: "再去".into() },
        Command::SignOff { id, role: SignoffRole::Warehouse, content: Sha256([0; 32]) },
        Command::IssueItem { id, item: item(4), quantity: 4 },
        Command::TakeBackItem { id, item: item(4), quantity: 1 },
        Command::PayAdvance { id },
        Command::Book { id, booking: item(35), receipt: None, amount: Fen(100), what: "尾款".into() },
        Command::CancelWorkOrder { id, reason: "不修了".into() },
        Command::MoveReturnedMachine { id, step: ReturnStep::Received },
        Command::TellCustomer { id, problem: "已换".into(), solved: true },
        Command::CloseWorkOrder { id },
        Command::ArchiveWorkOrder { id },
        Command::AnalyseOpinion { id, visit: visit(), text: "加强培训".into() },
        Command::Settle { id, contradiction: "x".into(), reason: "y".into() },
        Command::OpenVisit { work_order: id },
        Command::OpenUnplannedVisit { request: req },
        Command::RecordEvent {
            visit: v,
            id: item(5),
            event: EventKind::Arrived,
            at: None,
            position: None,
            corrects: None,
        },
        Command::Inspect { visit: v, check: "model".into(), result: CheckResult::Passed, note: String::new() },
        Command::AddNote { visit: v, id: item(6), text: "到".into() },
        Command::LogContact {
            visit: v,
            id: item(7),
            channel: Channel::Phone,
            with: "李".into(),
            summary: "说明".into(),
            at: None,
        },
        Command::UseItem {
            visit: v,
            item: item(4),
            part_no: String::new(),
            name: String::new(),
            unit: String::new(),
            used: 3,
            taken_back: 1,
        },
        photo(vdoc),
        photo(DocRef::new(Kind::Request, req)),
        Command::RemovePhoto { doc: vdoc, id: item(20) },
        Command::SetOutcome { visit: v, outcome: Outcome::Completed, incomplete_reason: None, remarks: "好".into() },
        Command::Accept { visit: v, accepted: true, remark: String::new() },
        Command::Rate {
            visit: v,
            satisfaction: Satisfaction::Satisfied,
            reasons: BTreeSet::new(),
            comment: "好".into(),
        },
        Command::Sign {
            visit: v,
            name: "李".into(),
            strokes: strokes(),
            heads: vec![ChangeHash([1; 32])],
            content: Sha256([0; 32]),
        },
        Command::RefuseSignature { visit: v, reason: "不在".into() },
        Command::TakePayment {
            visit: v,
            id: item(8),
            amount: Fen(100),
            method: PayMethod::Cash,
            reference: String::new(),
        },
        Command::Spend {
            visit: v,
            id: item(9),
            amount: Fen(100),
            category: ExpenseCategory::Meals,
            note: String::new(),
        },
        text(Kind::Customer, c.0, "notes"),
        text(Kind::WorkOrder, id.0, "dispatch/remarks"),
        text(Kind::Visit, v.0, "diagnosis"),
        Command::ChooseClash { doc: vdoc, path: "outcome".into(), choice: ChangeHash([1; 32]) },
        Command::RecordCall {
            id: FollowUpId(uuid(0x500)),
            customer: c,
            due: None,
            outcome: CallOutcome::Normal,
            opinion: "很好".into(),
            request: None,
        },
        Command::FileComplaint {
            id: ComplaintId(uuid(0x501)),
            customer: c,
            work_order: Some(id),
            staff: BTreeSet::from([person(100)]),
            about: ComplaintAbout::LateArrival,
            description: "迟到".into(),
            received: None,
        },
        Command::ResolveComplaint { id: ComplaintId(uuid(0x501)), dismiss: false, reason: "已道歉".into() },
        Command::State {
            id: StatementId(uuid(0x502)),
            complaint: Some(ComplaintId(uuid(0x501))),
            proposal: None,
            text: "堵车".into(),
        },
        Command::Suggest {
            id: SuggestionId(uuid(0x503)), title: "改".into(), text: "模具".into(), work_order: None
        },
        Command::Appraise {
            id: AppraisalId(uuid(0x504)),
            proposal: format!("P1:{}:{}", uuid(0x501), person(100)),
            decision: Decision::Confirmed,
            severity: Some(Severity::Minor),
            amount: Fen(-5000),
            major: false,
            reason: "迟到".into(),
        },
    ]
}

fn name(command: &Command) -> String {
    serde_json::to_value(command).unwrap()["do"].as_str().unwrap().to_owned()
}

fn refused(w: &mut MemoryWorld, command: Command, by: &Author) -> (String, String) {
    let r = w.decide(&command, by, NOW).unwrap_err();
    assert!(CODES.iter().any(|(code, _)| *code == r.code), "unlisted code {}", r.code);
    (r.code, r.field)
}

#[test]
fn who_may_give_which_command() {
    let mut w = company();
    let mut table = String::new();
    for command in every() {
        let mut allowed = Vec::new();
        for role in Role::ALL {
            let verdict = w.decide(&command, &holder(*role), NOW);
            let refused = matches!(&verdict, Err(r) if r.code == "not_your_role");
            assert_eq!(
                !refused,
                roles_for(&command).contains(role) && !signs_for_other(&command, *role),
                "{command:?} {role}"
            );
            if !refused {
                allowed.push(role.word());
            }
        }
        table.push_str(&format!("{:<24}{}\n", name(&command), allowed.join(" ")));
    }
    insta::assert_snapshot!("roles", table);
}

fn signs_for_other(command: &Command, role: Role) -> bool {
    matches!(command, Command::SignOff { role: place, .. } if super::dispatch_role(*place) != role)
}

#[test]
fn the_server_gives_no_commands() {
    let mut w = company();
    for command in every() {
        assert_eq!(refused(&mut w, command, &Author::server()).0, "not_your_role");
    }
}

/// The whole way of a job, from the dispatch order to the archive.
#[test]
fn a_job_from_issue_to_archive() {
    let mut w = company();
    let (id, v) = (order(), visit());
    let content = |w: &MemoryWorld| dispatch_content(&w.get::<WorkOrder>(id).unwrap());
    let order_now = w.get::<WorkOrder>(id).unwrap();
    assert_eq!(order_now.dispatch.customer_name, "甲厂");
    assert_eq!(order_now.dispatch.contact_phone, "13800138000");
    assert_eq!(order_now.dispatch.service_address, "佛山市一号");
    assert_eq!(order_now.dispatch.order_date, Some("2025-11-25".parse().unwrap()));
    assert_eq!(w.get::<Visit>(v).unwrap().provisional_numbers[&person(100)], "T1-1");

    let sign = |role, content| Command::SignOff { id, role, content };
    let director = holder(Role::OfficeDirector);
    let h = content(&w);
    assert_eq!(refused(&mut w, sign(SignoffRole::OfficeDirector, h), &director).0, "signatures_missing");
    assert_eq!(refused(&mut w, sign(SignoffRole::Finance, h), &director).0, "not_your_role");
    for (place, role) in [
        (SignoffRole::Warehouse, Role::Warehouse),
        (SignoffRole::Finance, Role::Finance),
        (SignoffRole::ServiceManager, Role::ServiceManager),
        (SignoffRole::OfficeDirector, Role::OfficeDirector),
    ] {
        w.run(&sign(place, h), &holder(role), NOW).unwrap();
    }
    assert!(fully_signed(&w.get(id).unwrap()));
    // A change voids what was signed, visibly, and the old hash is refused.
    let patch = DispatchPatch { cash_advance: Some(Fen(1)), ..DispatchPatch::default() };
    w.run(&Command::PlanDispatch { id, patch }, &holder(Role::Clerk), NOW).unwrap();
    let states = signoff_state(&w.get(id).unwrap());
    assert!(states.values().all(|s| *s == SignoffState::Voided { signed: h }));
    assert_eq!(refused(&mut w, sign(SignoffRole::Finance, h), &holder(Role::Finance)).0, "content_changed");

    w.run(&Command::IssueItem { id, item: item(4), quantity: 4 }, &holder(Role::Warehouse), NOW).unwrap();
    let t = tech(0);
    assert_eq!(
        refused(&mut w, Command::AddNote { visit: v, id: item(6), text: "x".into() }, &tech(2)).0,
        "not_assigned"
    );
    let set = |outcome, incomplete_reason, remarks: &str| Command::SetOutcome {
        visit: v,
        outcome,
        incomplete_reason,
        remarks: remarks.into(),
    };
    let other = Some(IncompleteReason::Other);
    assert_eq!(refused(&mut w, set(Outcome::Incomplete, other, ""), &t), ("empty".into(), "remarks".into()));
    assert_eq!(refused(&mut w, set(Outcome::Incomplete, None, ""), &t).1, "incomplete_reason");
    assert_eq!(refused(&mut w, set(Outcome::Completed, other, ""), &t).1, "incomplete_reason");
    let sign_visit = |content| Command::Sign {
        visit: v,
        name: "李".into(),
        strokes: strokes(),
        heads: vec![ChangeHash([1; 32])],
        content,
    };
    assert_eq!(refused(&mut w, sign_visit(Sha256([0; 32])), &t).0, "no_outcome");
    w.run(&set(Outcome::Completed, None, ""), &t, NOW).unwrap();
    assert_eq!(refused(&mut w, sign_visit(Sha256([0; 32])), &t).0, "no_acceptance");
    w.run(&Command::Accept { visit: v, accepted: true, remark: String::new() }, &t, NOW).unwrap();
    let rate = |satisfaction, reasons: &[Dissatisfaction]| Command::Rate {
        visit: v,
        satisfaction,
        reasons: reasons.iter().copied().collect(),
        comment: String::new(),
    };
    assert_eq!(refused(&mut w, rate(Satisfaction::Dissatisfied, &[]), &t), ("empty".into(), "reasons".into()));
    assert_eq!(refused(&mut w, rate(Satisfaction::Satisfied, &[Dissatisfaction::Speed]), &t).1, "reasons");
    w.run(&rate(Satisfaction::Dissatisfied, &[Dissatisfaction::Speed]), &t, NOW).unwrap();
    assert_eq!(refused(&mut w, sign_visit(Sha256([0; 32])), &t).0, "content_changed");
    let shown = visit_content(&w.get(v).unwrap());
    w.run(&sign_visit(shown), &t, NOW).unwrap();
    assert_eq!(signature_state(&w.get(v).unwrap()), SignatureState::Valid);

    // Closing asks for the customer to be told and the goods to add up.
    let (clerk, close) = (holder(Role::Clerk), Command::CloseWorkOrder { id });
    assert_eq!(refused(&mut w, close.clone(), &clerk).0, "customer_not_told");
    w.run(&Command::TellCustomer { id, problem: "管坏".into(), solved: true }, &clerk, NOW).unwrap();
    assert_eq!(refused(&mut w, close.clone(), &clerk).0, "items_open");
    let used = Command::UseItem {
        visit: v,
        item: item(4),
        part_no: String::new(),
        name: String::new(),
        unit: String::new(),
        used: 3,
        taken_back: 1,
    };
    w.run(&used, &tech(1), NOW).unwrap();
    // Using parts changes what the customer signed: the signature stays, and says so.
    assert_eq!(signature_state(&w.get(v).unwrap()), SignatureState::Voided { signed: shown });
    w.run(&Command::TakeBackItem { id, item: item(4), quantity: 1 }, &holder(Role::Warehouse), NOW).unwrap();
    assert_eq!(refused(&mut w, Command::ArchiveWorkOrder { id }, &clerk).0, "not_closed");
    w.run(&close, &clerk, NOW).unwrap();
    assert_eq!(refused(&mut w, Command::CancelWorkOrder { id, reason: "x".into() }, &clerk).0, "closed");
    w.run(&Command::ArchiveWorkOrder { id }, &clerk, NOW).unwrap();
}

#[test]
fn incomplete_jobs_close_only_once_followed_up() {
    let mut w = company();
    let (id, v, clerk) = (order(), visit(), holder(Role::Clerk));
    let incomplete = Command::SetOutcome {
        visit: v,
        outcome: Outcome::Incomplete,
        incomplete_reason: Some(IncompleteReason::ReturnForRepair),
        remarks: String::new(),
    };
    w.run(&incomplete, &tech(0), NOW).unwrap();
    w.run(&Command::TellCustomer { id, problem: "返修".into(), solved: false }, &clerk, NOW).unwrap();
    let close = Command::CloseWorkOrder { id };
    assert_eq!(refused(&mut w, close.clone(), &clerk).0, "follow_on_open");
    let production = holder(Role::Production);
    let step = |step| Command::MoveReturnedMachine { id, step };
    assert_eq!(refused(&mut w, step(ReturnStep::SentBack), &production).0, "wrong_order");
    for s in [ReturnStep::Received, ReturnStep::Repaired, ReturnStep::SentBack] {
        w.run(&step(s), &production, NOW).unwrap();
    }
    w.run(&close, &clerk, NOW).unwrap();
}

#[test]
fn values_are_checked() {
    let w = &mut company();
    let clerk = holder(Role::Clerk);
    let customer_named = |name: &str| Command::PutCustomer {
        id: CustomerId(uuid(0x999)),
        name: name.into(),
        code: String::new(),
        project_completed: None,
        call_interval_days: None,
    };
    assert_eq!(refused(w, customer_named("  "), &clerk), ("empty".into(), "name".into()));
    assert_eq!(refused(w, customer_named(&"长".repeat(201)), &clerk).0, "too_long");
    assert_eq!(refused(w, customer_named("a\u{7}b"), &clerk).0, "bad_characters");
    assert!(w.decide(&customer_named(&"长".repeat(200)), &clerk, NOW).is_ok());
    let phone = |phone: &str| Command::PutContact {
        customer: customer(),
        id: item(50),
        contact: Contact { name: "x".into(), phone: phone.into(), ..Contact::default() },
    };
    assert_eq!(refused(w, phone("电话"), &clerk), ("bad_phone".into(), "contact/phone".into()));
    assert!(w.decide(&phone("+86 0757-1234转8"), &clerk, NOW).is_ok());
    let itself = Equipment { model: "x".into(), replaced_by: Some(item(3)), ..Equipment::default() };
    let put = Command::PutEquipment { customer: customer(), id: item(3), equipment: itself };
    assert_eq!(refused(w, put, &clerk).0, "replaces_itself");
    let charge = |fen| Command::Charge { customer: customer(), id: item(51), amount: Fen(fen), what: "x".into() };
    for fen in [0, i64::MIN, i64::MAX, check::MAX_MONEY + 1] {
        assert_eq!(refused(w, charge(fen), &clerk).0, "out_of_range");
    }
    for bad in ["", "1,1", "1,1 1001,1", "1,1 1,401", "1,1 a,b", "1,1 -1,2", ";;", "1,1;2,2"] {
        assert!(check::strokes("strokes", &Strokes(bad.into())).is_err(), "{bad}");
    }
    assert!(check::strokes("strokes", &strokes()).is_ok());
    let future = Command::RecordEvent {
        visit: visit(),
        id: item(52),
        event: EventKind::Arrived,
        at: Some(Stamp::exact(NOW.device.plus(3 * Millis::DAY))),
        position: None,
        corrects: None,
    };
    assert_eq!(refused(w, future, &tech(0)).0, "in_future");
    let mut photo = every().into_iter().find(|c| name(c) == "add_photo").unwrap();
    if let Command::AddPhoto { size, .. } = &mut photo {
        *size = i64::MAX;
    }
    assert_eq!(refused(w, photo, &tech(0)).0, "photo_too_large");
}

#[test]
fn what_creates_may_be_sent_twice() {
    let mut w = company();
    for command in every() {
        let by = |role: &Role| if *role == Role::Technician { tech(0) } else { holder(*role) };
        let Some(by) = roles_for(&command).iter().map(by).find(|by| w.decide(&command, by, NOW).is_ok()) else {
            continue;
        };
        // Quantities add up by their nature, and these two never settle into a state.
        if matches!(
            command,
            Command::UseItem { .. }
                | Command::IssueItem { .. }
                | Command::TakeBackItem { .. }
                | Command::ChooseClash { .. }
        ) || matches!(command, Command::CancelWorkOrder { .. } | Command::WithdrawRequest { .. })
        {
            continue;
        }
        w.run(&command, &by, NOW).unwrap();
        let later = Stamp::exact(NOW.device.plus(Millis::MINUTE));
        assert_eq!(w.run(&command, &by, later), Ok(Vec::new()), "{command:?}");
    }
    let note = |text: &str| Command::AddNote { visit: visit(), id: item(6), text: text.into() };
    assert_eq!(refused(&mut w, note("别的"), &tech(0)).0, "id_taken");
    assert_eq!(refused(&mut w, note("到"), &tech(1)).0, "id_taken");
}

#[test]
fn a_job_opened_for_a_request_says_whose_it_is() {
    let mut w = company();
    let request = RequestId(uuid(0x900));
    let report = Command::ReportRepair {
        id: request,
        customer: None,
        customer_name: "甲厂？".into(),
        contact_name: String::new(),
        contact_phone: String::new(),
        address: String::new(),
        equipment: None,
        problem: "漏油".into(),
        reported: None,
    };
    w.run(&report, &tech(0), NOW).unwrap();
    w.run(&Command::OpenUnplannedVisit { request }, &tech(0), NOW).unwrap();
    let Command::OpenWorkOrder { customer, equipment, work_type, service_description, .. } = open_order(order()) else {
        panic!()
    };
    let id = WorkOrderId(uuid(0x901));
    let open = Command::OpenWorkOrder {
        id,
        customer,
        equipment,
        work_type,
        request: Some(request),
        follow_on_of: None,
        service_description,
        arrival_deadline: None,
    };
    w.run(&open, &holder(Role::Clerk), NOW).unwrap();
    let written = w.get::<Request>(request).unwrap();
    assert_eq!((written.customer, written.equipment), (Some(customer), equipment));
    // So that what happens at the unplanned visit shows in the job's row.
    let visit = DocRef::new(Kind::Visit, VisitId::of_request(request));
    let rows = crate::domain::summary::touches(visit, &w.entity(visit).unwrap(), &w);
    assert!(rows.contains(&DocRef::new(Kind::WorkOrder, id)), "{rows:?}");
}

#[test]
fn the_gate_refuses_forgery_and_erasure() {
    let mut w = company();
    let t = tech(0);
    w.run(&Command::AddNote { visit: visit(), id: item(6), text: "到".into() }, &t, NOW).unwrap();
    let doc = DocRef::new(Kind::Visit, visit());
    let before = w.entity(doc).unwrap();
    let edit = |f: &dyn Fn(&mut Visit)| {
        let mut v = Visit::unwrap(before.clone().into_owned()).unwrap();
        f(&mut v);
        v.wrap()
    };
    let code = |after: &Entity, by: &Author| may_write(doc, Some(&before), after, by, &w).map_err(|r| r.code);
    let err = |c: &str| Err(c.to_owned());
    let note = |by| Atomic(Note { mark: Mark { at: NOW, by }, text: "x".into() });
    assert_eq!(code(&edit(&|v| drop(v.notes.insert(item(7), note(person(100))))), &t), Ok(()));
    assert_eq!(code(&edit(&|v| drop(v.notes.insert(item(7), note(person(101))))), &t), err("forged_author"));
    assert_eq!(code(&edit(&|v| drop(v.notes.insert(item(6), note(person(100))))), &t), err("append_only"));
    assert_eq!(code(&edit(&|v| v.notes.clear()), &t), err("append_only"));
    assert_eq!(code(&edit(&|v| v.round = 2), &t), err("fixed"));
    // Two phones of one person each number a visit that they open while apart.
    let numbered = |n: &str| edit(&|v| drop(v.provisional_numbers.insert(person(100), n.into())));
    let again = |by: &Author| may_write(doc, Some(&numbered("T1-1")), &numbered("T2-1"), by, &w).map_err(|r| r.code);
    assert_eq!((again(&t), again(&tech(1))), (Ok(()), err("fixed")));
    assert_eq!(code(&before, &tech(2)), err("not_assigned"));
    assert_eq!(code(&before, &holder(Role::Admin)), err("not_assigned"));
    let big = "x".repeat(1 << 20);
    assert_eq!(code(&edit(&|v| v.remarks = Text(big.clone())), &t), err("too_large"));
    let elsewhere = DocRef::new(Kind::Visit, DocId(uuid(0x777)));
    assert_eq!(may_write(elsewhere, None, &before, &t, &w).unwrap_err().code, "wrong_visit_id");

    let doc = DocRef::new(Kind::WorkOrder, order());
    let before = w.entity(doc).unwrap();
    let mut numbered = WorkOrder::unwrap(before.clone().into_owned()).unwrap();
    numbered.number = Some("W-1".into());
    let numbered = numbered.wrap();
    assert_eq!(may_write(doc, Some(&before), &numbered, &holder(Role::Clerk), &w).unwrap_err().code, "server_only");
    assert_eq!(may_write(doc, Some(&before), &numbered, &Author::server(), &w), Ok(()));
    assert_eq!(may_write(doc, Some(&before), &before, &t, &w).unwrap_err().code, "not_your_role");
    let mut signed = WorkOrder::unwrap(before.clone().into_owned()).unwrap();
    let mark = Mark { at: NOW, by: holder(Role::Finance).staff };
    signed.signoffs.insert(SignoffRole::Finance, Atomic(Signoff { mark, content: Sha256([0; 32]) }));
    let signed = signed.wrap();
    assert_eq!(may_write(doc, Some(&before), &signed, &holder(Role::Clerk), &w).unwrap_err().code, "not_your_role");
    let finance = author(person(77), &[Role::Finance]);
    assert_eq!(may_write(doc, Some(&before), &signed, &finance, &w).unwrap_err().code, "forged_author");
    let mut analysed = WorkOrder::unwrap(before.clone().into_owned()).unwrap();
    let mark = Mark { at: NOW, by: holder(Role::Clerk).staff };
    analysed.opinions.insert(visit(), Atomic(Analysis { mark, text: "x".into() }));
    let analysed = analysed.wrap();
    assert_eq!(may_write(doc, Some(&before), &analysed, &holder(Role::Clerk), &w), Ok(()));
    assert_eq!(may_write(doc, Some(&before), &analysed, &finance, &w).unwrap_err().field, "opinions");
    assert_eq!(may_write(doc, Some(&analysed), &before, &holder(Role::Clerk), &w).unwrap_err().code, "append_only");
}

#[test]
fn what_was_left_incomplete_asks_for_its_follow_on() {
    let mut w = company();
    let flags = |w: &MemoryWorld| {
        let doc = DocRef::new(Kind::WorkOrder, order());
        let row = summary::summary(doc, &w.entity(doc).unwrap(), w, NOW.best());
        (row.status, row.flags)
    };
    w.run(&Command::OpenVisit { work_order: order() }, &tech(0), NOW).unwrap();
    let incomplete = Command::SetOutcome {
        visit: visit(),
        outcome: Outcome::Incomplete,
        incomplete_reason: Some(IncompleteReason::ReturnForRepair),
        remarks: String::new(),
    };
    w.run(&incomplete, &tech(0), NOW).unwrap();
    w.run(&Command::RefuseSignature { visit: visit(), reason: "不在".into() }, &tech(0), NOW).unwrap();
    assert_eq!(flags(&w), ("incomplete".into(), vec!["follow_on_missing".to_owned()]));
    let next = WorkOrderId(uuid(0x301));
    let open = Command::OpenWorkOrder {
        id: next,
        customer: customer(),
        equipment: None,
        work_type: WorkType::Repair,
        request: None,
        follow_on_of: Some(order()),
        service_description: "返修后安装".into(),
        arrival_deadline: None,
    };
    w.run(&open, &holder(Role::Clerk), NOW).unwrap();
    assert!(flags(&w).1.is_empty());
    let doc = DocRef::new(Kind::WorkOrder, next);
    assert!(summary::touches(doc, &w.entity(doc).unwrap(), &w).contains(&DocRef::new(Kind::WorkOrder, order())));
    w.run(&Command::CancelWorkOrder { id: next, reason: "重复".into() }, &holder(Role::Clerk), NOW).unwrap();
    assert_eq!(flags(&w).1, ["follow_on_missing"]);
}

#[test]
fn reassigning_refuses_nobody_who_was_there() {
    let mut w = company();
    let assign = Command::Assign { id: order(), technicians: vec![person(102)], reason: "调整".into() };
    w.run(&assign, &holder(Role::ServiceManager), NOW).unwrap();
    w.run(&Command::CancelWorkOrder { id: order(), reason: "x".into() }, &holder(Role::Clerk), NOW).unwrap();
    let note = Command::AddNote { visit: visit(), id: item(6), text: "到".into() };
    let before = w.entity(DocRef::new(Kind::Visit, visit())).map(std::borrow::Cow::into_owned);
    let writes = w.run(&note, &tech(0), NOW).unwrap();
    let (doc, after) = w.after(&writes[0]).unwrap();
    assert_eq!(may_write(doc, before.as_ref(), &after, &tech(0), &w), Ok(()));
}

/// The names a rejection may give: the command's own fields and the entities'.
fn known_field(command: &Command, field: &str) -> bool {
    let first = field.split('/').next().unwrap_or_default();
    let command = serde_json::to_value(command).unwrap();
    let entity = |kind: &Kind| serde_json::to_value(Entity::new(*kind)).unwrap().get(first).is_some();
    field.is_empty() || command.get(first).is_some() || Kind::ALL.iter().any(entity)
}

fn total(w: &MemoryWorld) -> i128 {
    w.get::<Visit>(visit()).map_or(0, |v| v.receipts.values().map(|r| i128::from(r.amount.0)).sum())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever is sent in whatever order by whomever: no panic; what is
    /// accepted passes the gate; what is refused names a field and a listed code.
    #[test]
    fn any_commands_in_any_order(steps in proptest::collection::vec((any::<prop::sample::Index>(), 0usize..11, any::<i64>()), 1..60)) {
        let mut w = company();
        let all = every();
        for (which, who, n) in steps {
            let mut command = which.get(&all).clone();
            match &mut command {
                Command::TakePayment { amount, id, .. } | Command::Spend { amount, id, .. } => {
                    (*amount, *id) = (Fen(n), item(0x100 + n.rem_euclid(7) as u128));
                }
                Command::IssueItem { quantity, .. } | Command::TakeBackItem { quantity, .. } => *quantity = n % 1_000,
                Command::UseItem { used, .. } => *used = n,
                Command::SignOff { content, .. } => *content = dispatch_content(&w.get(order()).unwrap()),
                Command::Sign { content, .. } => *content = visit_content(&w.get(visit()).unwrap()),
                _ => {}
            }
            let by = match who {
                0..8 => holder(Role::ALL[who]),
                _ => tech(who as u128 - 8),
            };
            match w.decide(&command, &by, NOW) {
                Ok(writes) => for write in &writes {
                    if let Some((doc, after)) = w.after(write) {
                        let before = w.entity(doc);
                        let verdict = may_write(doc, before.as_deref(), &after, &by, &w);
                        prop_assert_eq!(verdict, Ok(()), "{:?}", command);
                        w.docs.insert(doc, after);
                    }
                },
                Err(r) => {
                    prop_assert!(CODES.iter().any(|(code, _)| *code == r.code), "unlisted {:?}", r);
                    prop_assert!(known_field(&command, &r.field), "{:?} {:?}", r, command);
                }
            }
            let sum = w.get::<Visit>(visit()).map_or(Fen(0), |v| v.collected());
            prop_assert_eq!(i128::from(sum.0), total(&w));
        }
    }

    #[test]
    fn no_strokes_panic(s in "[0-9,; ;a-]{0,60}") {
        let _ = check::strokes("strokes", &Strokes(s));
    }
}

#[test]
fn a_work_number_names_one_member_of_staff() {
    let mut w = company();
    let admin = holder(Role::Admin);
    let put = |n: u128, code: &str| Command::PutStaff {
        id: person(n),
        name: "某人".into(),
        code: code.into(),
        phone: String::new(),
        roles: [Role::Technician].into(),
    };
    w.run(&put(200, "G07"), &admin, NOW).unwrap();
    assert_eq!(refused(&mut w, put(201, " G07 "), &admin), ("code_taken".into(), "code".into()));
    w.run(&put(200, "G07"), &admin, NOW).unwrap();
    w.run(&put(201, ""), &admin, NOW).unwrap();
    w.run(&put(202, ""), &admin, NOW).unwrap();
    // Given apart by two admins both stay, and both can still be changed in other ways.
    let twin = Staff { name: "双".into(), code: "G07".into(), ..Staff::default() };
    w.docs.insert(DocRef::new(Kind::Staff, person(203)), twin.wrap());
    w.run(&put(203, "G07"), &admin, NOW).unwrap();
    w.run(&put(203, "G08"), &admin, NOW).unwrap();
    // Who leaves gives it back.
    w.run(&Command::StaffLeaves { id: person(200), reason: "离职".into() }, &admin, NOW).unwrap();
    w.run(&put(201, "G07"), &admin, NOW).unwrap();
}

#[test]
fn a_decision_on_a_quarter_keeps_its_evidence() {
    let mut w = company();
    let manager = holder(Role::ServiceManager);
    let key = format!("R1:2025Q4:{}", person(100));
    let appraise = |n: u128| Command::Appraise {
        id: AppraisalId(uuid(n)),
        proposal: key.clone(),
        decision: Decision::Confirmed,
        severity: None,
        amount: Fen(20_000),
        major: false,
        reason: "无投诉".into(),
    };
    let evidence = |w: &MemoryWorld, n: u128| -> appraisal::Proposal {
        let a = w.get::<Appraisal>(AppraisalId(uuid(n))).unwrap();
        serde_json::from_value(a.evidence.clone().unwrap().0).unwrap()
    };
    let end = "2025Q4".parse::<Quarter>().unwrap().end(Zone::of(&w.settings()));
    let after = Stamp::exact(end.plus(Millis::DAY));
    w.synced = Some(end);
    w.run(&appraise(0x600), &manager, after).unwrap();
    let kept = evidence(&w, 0x600);
    assert_eq!(
        (kept.verdict, kept.provisional, kept.evidence[0].fact.as_str()),
        (appraisal::Verdict::Proposed, false, "no_complaints")
    );
    // A complaint that comes to light later shows the decision to rest on other evidence.
    let complaint = Complaint {
        staff: [person(100)].into_iter().collect(),
        received: Some(Stamp::exact(end.plus(-5))),
        ..Complaint::default()
    };
    w.docs.insert(DocRef::new(Kind::Complaint, ComplaintId(uuid(0x601))), complaint.wrap());
    let a = w.get::<Appraisal>(AppraisalId(uuid(0x600))).unwrap();
    assert!(appraisal::changed_since(&a, &appraisal::find(&w, &key, after.best()).unwrap()));
    w.run(&appraise(0x602), &manager, after).unwrap();
    assert_eq!(evidence(&w, 0x602).verdict, appraisal::Verdict::NotMet);
}

#[test]
fn evidence_at_a_decision_knows_which_phones_have_synced() {
    let mut w = company();
    let manager = holder(Role::ServiceManager);
    w.run(
        &every()[every().iter().position(|c| matches!(c, Command::FileComplaint { .. })).unwrap()],
        &holder(Role::Clerk),
        NOW,
    )
    .unwrap();
    let confirm = |severity| Command::Appraise {
        id: AppraisalId(uuid(0x604)),
        proposal: format!("P2:{}:{}", uuid(0x501), person(100)),
        decision: Decision::Confirmed,
        severity,
        amount: Fen(-5000),
        major: false,
        reason: "未沟通".into(),
    };
    assert_eq!(refused(&mut w, confirm(None), &manager), ("empty".into(), "severity".into()));
    w.synced = Some(NOW.best().plus(90 * Millis::DAY));
    w.run(&confirm(Some(Severity::Minor)), &manager, Stamp::exact(NOW.best().plus(91 * Millis::DAY))).unwrap();
    let a = w.get::<Appraisal>(AppraisalId(uuid(0x604))).unwrap();
    let kept: appraisal::Proposal = serde_json::from_value(a.evidence.clone().unwrap().0).unwrap();
    assert!(kept.evidence.iter().any(|e| e.fact == "no_contact"), "{kept:?}");
}

#[test]
fn a_customers_words_wait_until_they_are_analysed() {
    let mut w = company();
    let clerk = holder(Role::Clerk);
    w.run(&Command::OpenVisit { work_order: order() }, &tech(0), NOW).unwrap();
    let flagged = |w: &MemoryWorld| {
        let doc = DocRef::new(Kind::WorkOrder, order());
        summary::summary(doc, &w.entity(doc).unwrap(), w, NOW.best()).flags.contains(&"opinion_open".to_owned())
    };
    assert!(!flagged(&w));
    let rate = Command::Rate {
        visit: visit(),
        satisfaction: Satisfaction::Satisfied,
        reasons: BTreeSet::new(),
        comment: "希望备件更快".into(),
    };
    w.run(&rate, &tech(0), NOW).unwrap();
    assert!(flagged(&w));
    let analyse = |visit| Command::AnalyseOpinion { id: order(), visit, text: "备件前置到西安".into() };
    assert_eq!(refused(&mut w, analyse(VisitId(uuid(9))), &clerk).1, "visit");
    w.run(&analyse(visit()), &clerk, NOW).unwrap();
    assert!(!flagged(&w) && w.decide(&analyse(visit()), &clerk, NOW).unwrap().is_empty());
}

#[test]
fn severities_are_the_companys_own() {
    let mut w = company();
    assert_eq!(w.settings().severities[&Severity::Serious].label, "严重");
    let level = SeverityLevel { label: "重大".into(), label_en: "Grave".into(), penalty: Fen(50_000) };
    let patch = SettingsPatch { severities: [(Severity::Serious, level)].into(), ..SettingsPatch::default() };
    w.run(&Command::ChangeSettings(patch), &holder(Role::ServiceManager), NOW).unwrap();
    let now = w.settings().severities.clone();
    assert_eq!((now.len(), now[&Severity::Serious].penalty), (3, Fen(50_000)));
    let bad = SeverityLevel { label: "负".into(), label_en: String::new(), penalty: Fen(-1) };
    let patch = SettingsPatch { severities: [(Severity::Minor, bad)].into(), ..SettingsPatch::default() };
    let by = holder(Role::Admin);
    assert_eq!(refused(&mut w, Command::ChangeSettings(patch), &by).1, "severities");
}
