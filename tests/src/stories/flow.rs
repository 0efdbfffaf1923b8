//! From the completed project to the archived form, with two technicians
//! sharing one visit offline and the office reassigning and cancelling meanwhile.

use super::*;
use crate::world::Server;
use onsite_core::domain::entity::SignoffRole;
use onsite_core::domain::value::Fen;
use onsite_core::domain::{CallOutcome, FollowUpId, Outcome, PayMethod, Satisfaction, Strokes, WorkOrder};

const SIGNATURE: &str = "100,100 140,180 180,90;220,100 260,200";

fn sign(phone: &Phone, visit: VisitId) {
    let shown = phone.engine().to_sign(visit).unwrap();
    let sign = Command::Sign {
        visit,
        name: "张三".into(),
        strokes: Strokes(SIGNATURE.into()),
        heads: shown.heads,
        content: shown.content,
    };
    phone.execute(&sign).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_chart() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path().join("server")).await.unwrap();
    let company = server.company("陕西环科").await.unwrap();
    let office = &company.office;
    let (li, wang) = (company.technician("李工", "T1").await.unwrap(), company.technician("王工", "T2").await.unwrap());
    let (customer, machine) = customer(office, "西安纸托厂").await;

    // 电话回访 finds a problem; 报修, 派工.
    let order = job(office, customer, machine, &[li, wang]).await;
    let required = item();
    let require = Command::RequireItem {
        id: order,
        item: required,
        part_no: String::new(),
        name: "密封圈".into(),
        unit: "个".into(),
        required: 4,
        removed: false,
    };
    office.execute(&require).await.unwrap();
    office.execute(&Command::IssueItem { id: order, item: required, quantity: 4 }).await.unwrap();
    for role in [SignoffRole::Warehouse, SignoffRole::ServiceManager, SignoffRole::Finance, SignoffRole::OfficeDirector]
    {
        let content = onsite_core::domain::forms_content::dispatch_content(&office.work_order(order).await.unwrap());
        office.execute(&Command::SignOff { id: order, role, content }).await.unwrap();
    }
    assert_eq!(office.status(order.0).await.unwrap(), "dispatched");

    // Two phones take the job along and lose the network.
    let a = company.phone(&dir.path().join("a"), li).await.unwrap();
    let b = company.phone(&dir.path().join("b"), wang).await.unwrap();
    a.sync().await.unwrap();
    b.sync().await.unwrap();
    a.link.sever();
    b.link.sever();
    let visit = arrive(&a, order);
    assert_eq!(arrive(&b, order), visit);
    for check in ["model", "quantity", "label", "packaging"] {
        let result = onsite_core::domain::CheckResult::Passed;
        a.execute(&Command::Inspect { visit, check: check.into(), result, note: String::new() }).unwrap();
    }
    happen(&a, visit, EventKind::WorkStarted);
    write(&a, visit, "resolution", "更换密封圈。");
    write(&b, visit, "resolution", "清洗油箱。");
    let used = |n| Command::UseItem {
        visit,
        item: required,
        part_no: String::new(),
        name: "密封圈".into(),
        unit: "个".into(),
        used: n,
        taken_back: 0,
    };
    a.execute(&used(2)).unwrap();
    b.execute(&used(1)).unwrap();
    note(&b, visit, "油温偏高");
    a.execute(&Command::SetOutcome {
        visit,
        outcome: Outcome::Completed,
        incomplete_reason: None,
        remarks: String::new(),
    })
    .unwrap();
    let incomplete = Command::SetOutcome {
        visit,
        outcome: Outcome::Incomplete,
        incomplete_reason: Some(onsite_core::domain::IncompleteReason::ReturnForRepair),
        remarks: String::new(),
    };
    b.execute(&incomplete).unwrap();

    // Meanwhile the office takes Wang off the job.
    office.execute(&Command::Assign { id: order, technicians: vec![li], reason: "另有任务".into() }).await.unwrap();

    // Back on line: nothing is refused, texts and counts of both stand, the outcome clashes.
    a.link.heal();
    b.link.heal();
    for phone in [&a, &b, &a, &b] {
        let report = phone.sync().await.unwrap();
        assert_eq!(report.refused, 0, "{report:?}");
    }
    let (va, vb) = (a.visit(visit).unwrap(), b.visit(visit).unwrap());
    assert_eq!(va, vb);
    assert!(va.resolution.contains("更换密封圈。") && va.resolution.contains("清洗油箱。"), "{:?}", va.resolution);
    assert_eq!(va.items[&required].used.0, 3);
    let shown = a.show(Kind::Visit, visit.0).unwrap();
    let clash = shown.clashes.iter().find(|c| c.path == "outcome").expect("the two outcomes clash visibly");
    assert_eq!(clash.values.len(), 2);
    let completed = clash.values.iter().find(|v| v.value == "completed").unwrap();
    let doc = DocRef::new(Kind::Visit, visit);
    a.execute(&Command::ChooseClash { doc, path: "outcome".into(), choice: completed.change }).unwrap();
    if let Some(clash) = a.show(Kind::Visit, visit.0).unwrap().clashes.iter().find(|c| c.path == "incomplete_reason") {
        let none = clash.values.iter().find(|v| v.value.is_null()).unwrap();
        a.execute(&Command::ChooseClash { doc, path: "incomplete_reason".into(), choice: none.change }).unwrap();
    }
    a.execute(&Command::SetOutcome {
        visit,
        outcome: Outcome::Completed,
        incomplete_reason: None,
        remarks: String::new(),
    })
    .unwrap();
    assert!(a.show(Kind::Visit, visit.0).unwrap().clashes.is_empty());

    // The customer accepts, rates, pays and signs; the technician leaves.
    happen(&a, visit, EventKind::WorkEnded);
    a.execute(&Command::Accept { visit, accepted: true, remark: String::new() }).unwrap();
    a.execute(&Command::Rate {
        visit,
        satisfaction: Satisfaction::VerySatisfied,
        reasons: [].into(),
        comment: "快".into(),
    })
    .unwrap();
    sign(&a, visit);
    let payment = Command::TakePayment {
        visit,
        id: item(),
        amount: Fen(120_000),
        method: PayMethod::Cash,
        reference: "001".into(),
    };
    a.execute(&payment).unwrap();
    happen(&a, visit, EventKind::Departed);
    a.sync().await.unwrap();

    // The office tells the customer, takes parts back, closes and archives.
    office.execute(&Command::TakeBackItem { id: order, item: required, quantity: 1 }).await.unwrap();
    let told = Command::TellCustomer { id: order, problem: "密封圈老化".into(), solved: true };
    office.execute(&told).await.unwrap();
    // Wang worked while he was taken off: both facts stay, the office settles.
    let close = serde_json::to_value(Command::CloseWorkOrder { id: order }).unwrap();
    let (status, body) = office.request("POST", "/api/commands", Some(close)).await.unwrap();
    assert_eq!(status, 422, "{body}");
    for contradiction in a.show(Kind::WorkOrder, order.0).unwrap().contradictions {
        let settle = Command::Settle { id: order, contradiction: contradiction.key, reason: "两人都算".into() };
        office.execute(&settle).await.unwrap();
    }
    office.execute(&Command::CloseWorkOrder { id: order }).await.unwrap();
    office.execute(&Command::ArchiveWorkOrder { id: order }).await.unwrap();
    assert_eq!(office.status(order.0).await.unwrap(), "archived");
    let done: WorkOrder = office.work_order(order).await.unwrap();
    assert!(done.number.is_some() && done.record_numbers.contains_key(&visit));
    let call = Command::RecordCall {
        id: FollowUpId(Uuid::now_v7()),
        customer,
        due: None,
        outcome: CallOutcome::Normal,
        opinion: "正常使用".into(),
        request: None,
    };
    office.execute(&call).await.unwrap();

    // The final number is found on the phone, and so is the provisional one.
    a.sync().await.unwrap();
    let number = done.record_numbers[&visit].clone();
    assert!(!a.engine().search(&number, None).unwrap().lines.is_empty(), "{number}");
    assert!(!a.engine().search("张三", None).unwrap().lines.is_empty());
    assert!(a.engine().status().unwrap().safe_to_hand_in);
    log_is_sound(&company);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_while_completed() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path().join("server")).await.unwrap();
    let OnSite { company, order, phone, .. } = OnSite::new(&server, dir.path()).await;
    let office = &company.office;
    phone.link.sever();
    let visit = arrive(&phone, order);
    let done =
        Command::SetOutcome { visit, outcome: Outcome::Completed, incomplete_reason: None, remarks: String::new() };
    phone.execute(&done).unwrap();
    office.execute(&Command::CancelWorkOrder { id: order, reason: "客户取消".into() }).await.unwrap();
    phone.link.heal();
    assert_eq!(phone.sync().await.unwrap().refused, 0);
    let shown = office.get(&format!("/api/documents/{}", order.0)).await.unwrap();
    let flags = shown["summary"]["flags"].to_string();
    assert!(flags.contains("cancelled_but"), "both facts stay and the contradiction is visible: {flags}");
    let detail = phone.show(Kind::WorkOrder, order.0).unwrap();
    assert!(!detail.contradictions.is_empty());
}

/// The demo's own check: six real phones live a day, and the office sees all of it.
#[test]
fn the_demo_runs_once() {
    let dir = tempfile::tempdir().unwrap();
    let company = dir.path().join("company");
    let out = std::process::Command::new(crate::world::onsite())
        .args(["demo", "--once", "--dir"])
        .arg(&company)
        .current_dir(dir.path())
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{stdout}\n{stderr}");
    assert!(stdout.contains("http://127.0.0.1") && stdout.contains("onsite-demo"), "{stdout}");
    assert!(stdout.contains("取消了此单") && stdout.contains("改派他人") && stdout.contains("未予验收"), "{stdout}");
    assert_eq!(stderr, "", "nothing but what it tells");
}
