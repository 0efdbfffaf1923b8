//! `/api/today`, `/api/board`, `/api/calendar`.

use super::World;
use super::job::told;
use onsite_core::domain::{Command, Millis, Role, WorkOrderId, WorkType};
use onsite_core::env::Env as _;
use serde_json::json;

#[tokio::test]
async fn today_says_what_waits() {
    let w = World::new().await;
    let job = w.job().await;
    insta::assert_snapshot!(told(&w.get("/api/today", &job.cookie).await));
}

#[tokio::test]
async fn today_counts_arrivals_calls_and_signatures_and_puts_ones_own_first() {
    let w = World::new().await;
    let job = w.job().await;
    let today = async || w.get("/api/today", &job.cookie).await;
    let before = today().await;
    assert_eq!((&before["overdue_arrivals"]["count"], &before["signoffs"]["count"]), (&json!(0), &json!(0)));
    // Two more jobs: one waits for everybody's signature, of the other nobody has come.
    let mut orders = Vec::new();
    for _ in 0..2 {
        let id = WorkOrderId(w.env.new_id());
        let open = job.opens(id, WorkType::Repair, "保养", Some(w.env.now().plus(Millis::MINUTE)));
        let assign = Command::Assign { id, technicians: vec![job.technician.staff], reason: String::new() };
        w.done(&job.boss, &[open, assign, Command::IssueDispatch { id }]).await;
        orders.push(id);
    }
    w.env.advance(2 * Millis::MINUTE);
    let now = today().await;
    assert_eq!((&now["overdue_arrivals"]["count"], &now["signoffs"]["count"]), (&json!(2), &json!(2)));
    assert_eq!(now["overdue_arrivals"]["rows"][0]["doc"]["id"], json!(orders[0]), "the one that waits longest first");
    // Signed by a role, it waits for that one no more, and comes after the others.
    w.office("store", &[Role::Warehouse]).await;
    let store = w.cookie("store").await;
    let content = w.get(&format!("/api/work-orders/{}", orders[0]), &job.cookie).await["content"].clone();
    let sign = json!({ "do": "sign_off", "id": orders[0], "role": "warehouse", "content": content });
    w.post("/api/commands", &[("cookie", &store)], sign).await.good(200);
    let rows = w.get("/api/today", &store).await["signoffs"]["rows"].clone();
    assert_eq!((&rows[0]["doc"]["id"], &rows[1]["doc"]["id"]), (&json!(orders[1]), &json!(orders[0])));
    // A call falls due.
    let plan = |due: &str| Command::PlanCall { customer: job.customer, due: Some(due.parse().unwrap()) };
    w.done(&job.boss, &[plan("2025-11-25")]).await;
    assert_eq!(today().await["calls_due"]["count"], 0);
    w.env.advance(Millis::DAY);
    let cookie = w.cookie("boss").await;
    assert_eq!(w.get("/api/today", &cookie).await["calls_due"]["count"], 1);
    let calls = w.get("/api/calls", &cookie).await;
    assert_eq!(calls["rows"][0]["doc"]["id"], json!(job.customer));
    assert_eq!(w.get("/api/calls?due_before=2025-11-25", &cookie).await["rows"], json!([]));
}

#[tokio::test]
async fn the_board_has_the_stages_in_the_flows_order() {
    let w = World::new().await;
    let job = w.job().await;
    let report = json!({ "do": "report_repair", "id": w.env.new_id(), "customer": job.customer, "customer_name": "",
                         "contact_name": "", "contact_phone": "", "address": "", "equipment": null,
                         "problem": "压力表不动", "reported": null });
    w.post("/api/commands", &[("cookie", &job.cookie)], report).await.good(200);
    let board = w.get("/api/board", &job.cookie).await;
    let stages: Vec<_> =
        board.as_array().unwrap().iter().map(|c| (c["stage"].as_str().unwrap(), &c["count"])).collect();
    assert_eq!(stages, [("reported", &json!(1)), ("incomplete", &json!(1))]);
    let of = async |query: &str| w.get(&format!("/api/board?{query}"), &job.cookie).await;
    assert_eq!(of(&format!("person={}", job.technician.staff)).await.as_array().unwrap().len(), 1);
    assert_eq!(of("search=%E7%9C%9F%E7%A9%BA&limit=1").await.as_array().unwrap().len(), 1, "真空");
    assert_eq!(of("search=nothing").await, json!([]));
    let bad = async |query: &str| w.call("GET", &format!("/api/board?{query}"), &[("cookie", &job.cookie)], "").await;
    bad("person=me").await.problem(400, "bad_query");
    bad("limit=-1").await.problem(400, "bad_query");
    w.call("GET", "/api/board", &[], "").await.problem(401, "unauthorized");
}

#[tokio::test]
async fn a_card_names_who_is_on_the_job_now_and_is_found_by_who_was() {
    let w = World::new().await;
    let job = w.job().await;
    let (zhao, qian) =
        (w.staff(w.tenant, "赵敏", &[Role::Technician]).await, w.staff(w.tenant, "钱一", &[Role::Technician]).await);
    let li = job.technician.staff;
    let card = async |query: &str| {
        let board = w.get(&format!("/api/board?{query}"), &job.cookie).await;
        board[0]["rows"][0]["summary"]["people"].clone()
    };
    assert_eq!(card("").await, json!([li]));
    for now in [vec![zhao, qian], vec![qian, li], vec![zhao]] {
        let assign = Command::Assign { id: job.order, technicians: now.clone(), reason: "换人".into() };
        w.done(&job.boss, &[assign]).await;
        let mut shown: Vec<String> = serde_json::from_value(card("").await).unwrap();
        shown.sort();
        let mut sent: Vec<String> = now.iter().map(ToString::to_string).collect();
        sent.sort();
        assert_eq!(shown, sent);
        for who in [li, zhao, qian] {
            assert_eq!(card(&format!("person={who}")).await, card("").await, "{who} is or was on it");
        }
    }
    let detail = w.get(&format!("/api/work-orders/{}", job.order), &job.cookie).await;
    assert!(detail["entity"]["assignments"].as_object().unwrap().len() >= 3, "its detail tells all");
}

#[tokio::test]
async fn the_calendar_has_jobs_as_they_were_and_as_planned() {
    let w = World::new().await;
    let job = w.job().await;
    // Two more at one time for the same person, and one that nobody has.
    let start = w.env.now().plus(Millis::DAY);
    let mut ids = Vec::new();
    for (n, hours) in [(0, 0), (1, 2), (2, 5)] {
        let id = WorkOrderId(w.env.new_id());
        let open = job.opens(id, WorkType::Installation, "安装", None);
        let patch = onsite_core::domain::DispatchPatch {
            planned_start: Some(start.plus(hours * 60 * Millis::MINUTE)),
            ..Default::default()
        };
        w.done(&job.boss, &[open, Command::PlanDispatch { id, patch }]).await;
        if n < 2 {
            let assign = Command::Assign { id, technicians: vec![job.technician.staff], reason: String::new() };
            w.done(&job.boss, &[assign]).await;
        }
        ids.push(id);
    }
    let of = async |from: Millis, to: Millis| {
        w.get(&format!("/api/calendar?from={}&to={}", from.0, to.0), &job.cookie).await
    };
    let all = of(start.plus(-2 * Millis::DAY), start.plus(Millis::DAY)).await;
    insta::assert_snapshot!(told(&all));
    let conflicts: Vec<_> = all["people"][0]["jobs"].as_array().unwrap().iter().map(|j| &j["conflicts"]).collect();
    assert_eq!(conflicts, [&json!([]), &json!([ids[1]]), &json!([ids[0]])]);
    assert_eq!(of(start.plus(-Millis::MINUTE), start).await, json!({ "people": [], "unassigned": [] }));
    w.done(&job.boss, &[Command::CancelWorkOrder { id: ids[2], reason: "客户取消".into() }]).await;
    assert_eq!(of(start, start.plus(Millis::DAY)).await["unassigned"], json!([]));
    for (query, code) in
        [("from=2&to=1", "bad_period"), ("from=0&to=99999999999", "bad_period"), ("from=0", "bad_query")]
    {
        let path = format!("/api/calendar?{query}");
        w.call("GET", &path, &[("cookie", &job.cookie)], "").await.problem(400, code);
    }
}
