//! Webhooks against a receiver that is a server of its own.

use super::World;
use axum::{Router, body::Bytes, extract::State, http::HeaderMap, http::StatusCode, routing::post};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use onsite_core::domain::{CallOutcome, Command, Decision, FollowUpId, Role};
use onsite_core::env::Env as _;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// A program that is told.
#[derive(Clone, Default)]
struct Receiver {
    got: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
    /// Answered one after another; then 204.
    answers: Arc<Mutex<Vec<u16>>>,
}

impl Receiver {
    async fn start() -> (Self, String) {
        let receiver = Self::default();
        let take = async |State(r): State<Receiver>, headers: HeaderMap, body: Bytes| {
            r.got.lock().unwrap().push((headers, body));
            let mut answers = r.answers.lock().unwrap();
            let status = if answers.is_empty() { 204 } else { answers.remove(0) };
            (StatusCode::from_u16(status).unwrap(), [("location", "/elsewhere")], "so be it")
        };
        let router =
            Router::new().route("/hook", post(take)).route("/elsewhere", post(take)).with_state(receiver.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = format!("http://{}/hook", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (receiver, at)
    }

    fn answer(&self, statuses: &[u16]) {
        self.answers.lock().unwrap().extend(statuses);
    }

    fn taken(&self) -> Vec<(HeaderMap, Bytes)> {
        std::mem::take(&mut self.got.lock().unwrap())
    }

    /// What came, by type.
    fn types(&self) -> Vec<String> {
        let told = |(_, body): (HeaderMap, Bytes)| {
            let body: Value = serde_json::from_slice(&body).unwrap();
            body["type"].as_str().unwrap().to_owned()
        };
        self.taken().into_iter().map(told).collect()
    }
}

async fn world() -> World {
    World::with(|c| c.webhooks.allow_private = true).await
}

impl World {
    async fn hook(&self, cookie: &str, url: &str, events: &[&str]) -> Value {
        let body = json!({ "url": url, "events": events, "note": "ERP" });
        self.post("/api/webhooks", &[("cookie", cookie)], body).await.good(201).json()
    }

    async fn round(&self) {
        self.app.webhooks.round(&self.app.ledger).await.unwrap();
    }
}

fn signed(secret: &str, headers: &HeaderMap, body: &[u8]) -> bool {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let of = |name: &str| headers[name].to_str().unwrap();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{}.{}.", of("webhook-id"), of("webhook-timestamp")).as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())) == of("webhook-signature")
}

const ALL: [&str; 16] = [
    "request.reported",
    "work_order.opened",
    "work_order.dispatched",
    "work_order.advance_paid",
    "work_order.completed",
    "work_order.incomplete",
    "work_order.booked",
    "work_order.cancelled",
    "work_order.closed",
    "work_order.archived",
    "visit.signed",
    "visit.payment_taken",
    "call.recorded",
    "complaint.received",
    "complaint.resolved",
    "proposal.decided",
];

#[tokio::test]
async fn what_happens_is_told_once_in_order_and_signed() {
    let w = world().await;
    let (receiver, url) = Receiver::start().await;
    w.office("admin", &[Role::Admin]).await;
    let admin = w.cookie("admin").await;
    let made = w.hook(&admin, &url, &ALL).await;
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_") && made["hook"]["enabled"] == true, "{made}");
    let strict = super::openapi::Strict::new();
    let of = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    strict.holds(&of("WebhookWithSecret"), &made, "made");
    let listed = w.get("/api/webhooks", &admin).await;
    assert!(listed[0].get("secret").is_none() && !listed.to_string().contains("whsec_"), "told once: {listed}");

    let job = w.job().await;
    w.round().await;
    let got = receiver.taken();
    for (headers, body) in &got {
        assert!(signed(&secret, headers, body));
        assert_eq!(headers["content-type"], "application/json");
    }
    let bodies: Vec<Value> = got.iter().map(|(_, b)| serde_json::from_slice(b).unwrap()).collect();
    let types: Vec<&str> = bodies.iter().map(|b| b["type"].as_str().unwrap()).collect();
    let expected = [
        "request.reported",
        "work_order.opened",
        "work_order.dispatched",
        "visit.payment_taken",
        "work_order.incomplete",
        "visit.signed",
        "complaint.received",
    ];
    assert_eq!(types, expected);
    let opened = &bodies[1]["data"];
    assert_eq!((&opened["document"]["doc"]["id"], &opened["company"]), (&json!(job.order), &json!(w.tenant)));
    assert_eq!(opened["document"]["entity"]["dispatch"]["cash_advance"], 90_000);
    assert!(opened["document"]["entity"]["opened"].is_object(), "what is set as one is the object it holds");
    let left = &bodies[4]["data"]["document"];
    assert_eq!(
        (&left["doc"]["kind"], &left["doc"]["id"]),
        (&json!("work_order"), &json!(job.order)),
        "of a visit, the job"
    );
    let ids: std::collections::BTreeSet<&str> = got.iter().map(|(h, _)| h["webhook-id"].to_str().unwrap()).collect();
    assert_eq!(ids.len(), got.len());
    w.round().await;
    assert_eq!(receiver.types(), Vec::<String>::new(), "each once");

    // What else an ERP wants.
    let call = Command::RecordCall {
        id: FollowUpId(w.env.new_id()),
        customer: job.customer,
        due: None,
        outcome: CallOutcome::Normal,
        opinion: String::new(),
        request: None,
    };
    let resolve = Command::ResolveComplaint { id: job.complaint, dismiss: false, reason: "已说明".into() };
    let advance = Command::PayAdvance { id: job.order };
    let proposal = format!("P1:{}:{}", job.complaint, job.technician.staff);
    let appraise = Command::Appraise {
        id: onsite_core::domain::AppraisalId(w.env.new_id()),
        proposal,
        decision: Decision::Waived,
        severity: None,
        amount: onsite_core::domain::Fen(0),
        major: false,
        reason: "路上堵车".into(),
    };
    w.done(&job.boss, &[call, advance, appraise, resolve]).await;
    w.round().await;
    assert_eq!(
        receiver.types(),
        ["call.recorded", "work_order.advance_paid", "proposal.decided", "complaint.resolved"]
    );
    // The day was longer than a session.
    let admin = w.cookie("admin").await;
    assert_eq!(w.get("/api/webhooks", &admin).await[0]["behind"], 0);
}

#[tokio::test]
async fn a_receiver_that_fails_is_tried_again_and_misses_nothing() {
    let w = world().await;
    let (receiver, url) = Receiver::start().await;
    w.office("admin", &[Role::Admin]).await;
    let admin = w.cookie("admin").await;
    let made = w.hook(&admin, &url, &["work_order.opened", "visit.signed"]).await;
    let id = made["hook"]["id"].as_str().unwrap().to_owned();
    receiver.answer(&[500, 503, 302]);
    w.job().await;
    let admin = w.cookie("admin").await;
    w.round().await;
    assert_eq!(receiver.types(), ["work_order.opened"]);
    let hook = w.get("/api/webhooks", &admin).await[0].clone();
    assert!(hook["tries"] == 1 && hook["failing_since"].is_i64() && hook["next_try"].is_i64(), "{hook}");
    w.round().await;
    assert_eq!(receiver.types(), Vec::<String>::new(), "not before its time");
    let mut waits = Vec::new();
    for n in 2..=3 {
        let next = w.get("/api/webhooks", &admin).await[0]["next_try"].as_i64().unwrap();
        waits.push(next - w.env.now().0);
        w.env.advance(next - w.env.now().0);
        w.round().await;
        assert_eq!(receiver.types(), ["work_order.opened"], "try {n}: a redirect is not followed");
    }
    assert!((2_500..=7_500).contains(&waits[0]) && (5_000..=15_000).contains(&waits[1]), "{waits:?}");
    w.env.advance(60_000);
    w.round().await;
    assert_eq!(receiver.types(), ["work_order.opened", "visit.signed"], "all the rest as soon as it answers");
    let rows = w.get(&format!("/api/webhooks/{id}/deliveries"), &admin).await;
    let page = json!({ "$ref": "#/components/schemas/WebhookDeliveries" });
    super::openapi::Strict::new().holds(&page, &rows, "deliveries");
    let rows = rows["rows"].clone();
    let told: Vec<_> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|d| (d["status"].as_u64().unwrap(), d["attempt"].as_u64().unwrap()))
        .collect();
    assert_eq!(told, [(204, 1), (204, 4), (302, 3), (503, 2), (500, 1)]);
    assert_eq!(rows[1]["id"], rows[4]["id"], "every try has the same id");
    assert_eq!(rows[4]["answer"], "so be it");
    let page = w.get(&format!("/api/webhooks/{id}/deliveries?limit=2&after=4"), &admin).await;
    assert_eq!((&page["rows"][0]["n"], &page["rows"][1]["n"], &page["next"]), (&json!(3), &json!(2), &json!(2)));

    // By hand: the same once more, and whether it answers at all.
    let again = w.post(&format!("/api/webhooks/{id}/deliveries/5/redeliver"), &[("cookie", &admin)], json!({})).await;
    let again = again.good(200).json();
    assert_eq!((&again["id"], &again["taken"], &again["n"]), (&rows[0]["id"], &json!(true), &json!(6)));
    assert_eq!(receiver.types(), ["visit.signed"]);
    let ping = w.post(&format!("/api/webhooks/{id}/ping"), &[("cookie", &admin)], json!({})).await.good(200).json();
    assert_eq!((&ping["event"], &ping["status"]), (&json!("ping"), &json!(204)));
    assert_eq!(receiver.types(), ["ping"]);
}

#[tokio::test]
async fn a_receiver_that_never_answers_is_left_alone_and_goes_on_where_it_was() {
    let w = world().await;
    let (receiver, url) = Receiver::start().await;
    w.office("admin", &[Role::Admin]).await;
    w.office("clerk", &[Role::Clerk]).await;
    let made = w.hook(&w.cookie("admin").await, &url, &["work_order.opened", "complaint.received"]).await;
    let id = made["hook"]["id"].as_str().unwrap().to_owned();
    w.job().await;
    receiver.answer(&[500; 400]);
    let mut tries = 0;
    for _ in 0..400 {
        w.round().await;
        tries += receiver.types().len();
        w.env.advance(2 * 60 * 60_000);
    }
    let admin = w.cookie("admin").await;
    let hook = w.get("/api/webhooks", &admin).await[0].clone();
    assert_eq!((&hook["enabled"], &hook["off"]), (&json!(false), &json!("failing")), "{hook}");
    assert!((50..=70).contains(&tries), "five days, each two hours: {tries}");
    let entries = w.app.ledger.storage().audit_log(w.tenant, 0, 1000).await.unwrap();
    assert!(entries.iter().any(|e| e.entry.contains("webhook.off")));

    receiver.answers.lock().unwrap().clear();
    let patch = async |body: Value| {
        let path = format!("/api/webhooks/{id}");
        let headers = [("cookie", admin.as_str()), ("content-type", "application/json")];
        w.call("PATCH", &path, &headers, body.to_string()).await
    };
    let on = patch(json!({ "enabled": true })).await.good(200).json();
    assert!(on["enabled"] == true && on["off"].is_null(), "{on}");
    w.round().await;
    assert_eq!(receiver.types(), ["work_order.opened", "complaint.received"], "nothing was missed");

    // Gone is gone.
    receiver.answer(&[410]);
    patch(json!({ "events": ["request.reported"] })).await.good(200);
    let cookie = w.cookie("clerk").await;
    let report = json!({ "do": "report_repair", "id": w.env.new_id(), "customer": null, "customer_name": "甲", "contact_name": "",
                         "contact_phone": "", "address": "", "equipment": null, "problem": "不动", "reported": null });
    w.post("/api/commands", &[("cookie", &cookie)], report).await.good(200);
    w.round().await;
    assert_eq!(w.get("/api/webhooks", &admin).await[0]["off"], "gone");
    assert_eq!(receiver.types(), ["request.reported"]);
}

#[tokio::test]
async fn one_event_that_is_refused_does_not_hold_up_the_others() {
    let w = world().await;
    let (receiver, url) = Receiver::start().await;
    w.office("admin", &[Role::Admin]).await;
    let admin = w.cookie("admin").await;
    w.hook(&admin, &url, &["work_order.opened", "visit.signed"]).await;
    w.job().await;
    receiver.answer(&[422; 10]);
    for _ in 0..10 {
        w.round().await;
        w.env.advance(2 * 60 * 60_000);
    }
    let types = receiver.types();
    assert_eq!(types.len(), 11, "{types:?}");
    assert!(types[..10].iter().all(|t| t == "work_order.opened") && types[10] == "visit.signed");
}

#[tokio::test]
async fn webhooks_are_the_admins_and_lead_only_outside() {
    let w = World::new().await;
    w.office("admin", &[Role::Admin]).await;
    w.office("manager", &[Role::ServiceManager]).await;
    let (admin, manager) = (w.cookie("admin").await, w.cookie("manager").await);
    let make = async |cookie: &str, body: Value| w.post("/api/webhooks", &[("cookie", cookie)], body).await;
    let good = json!({ "url": "https://erp.example.com/onsite", "events": ["visit.signed"] });
    make(&manager, good.clone()).await.problem(403, "forbidden");
    for (url, code) in [
        ("http://erp.example.com/", "bad_url"),
        ("https://127.0.0.1/", "private_address"),
        ("https://169.254.169.254/latest", "private_address"),
        ("https://[::1]/", "private_address"),
    ] {
        make(&admin, json!({ "url": url, "events": ["visit.signed"] })).await.problem(400, code);
    }
    make(&admin, json!({ "url": "https://erp.example.com/", "events": [] })).await.problem(400, "bad_events");
    make(&admin, json!({ "url": "https://erp.example.com/", "events": ["ping"] })).await.problem(400, "bad_events");
    make(&admin, json!({ "url": "https://erp.example.com/", "events": ["x"] })).await.problem(400, "bad_body");
    let made = make(&admin, good.clone()).await.good(201).json();
    let id = made["hook"]["id"].as_str().unwrap().to_owned();
    let other = w.post(&format!("/api/webhooks/{id}/secret"), &[("cookie", &admin)], json!({})).await.good(200).json();
    assert_ne!(other["secret"], made["secret"]);
    // Another company sees nothing of it.
    let them = w.app.ledger.create_tenant("别家").await.unwrap().id;
    let staff = crate::office::add_staff(&w.app.ledger, them, "别人", "", "", [Role::Admin].into()).await.unwrap();
    crate::auth::set_password(&w.app.ledger, them, staff, "bieren", "correct horse").await.unwrap();
    let theirs = w.cookie("bieren").await;
    assert_eq!(w.get("/api/webhooks", &theirs).await, json!([]));
    w.call("DELETE", &format!("/api/webhooks/{id}"), &[("cookie", &theirs)], "").await.problem(404, "not_found");
    w.call("GET", &format!("/api/webhooks/{id}/deliveries"), &[("cookie", &theirs)], "")
        .await
        .problem(404, "not_found");
    for _ in 1..20 {
        make(&admin, good.clone()).await.good(201);
    }
    make(&admin, good).await.problem(409, "too_many_webhooks");
    w.call("DELETE", &format!("/api/webhooks/{id}"), &[("cookie", &admin)], "").await.good(204);
    assert_eq!(w.get("/api/webhooks", &admin).await.as_array().unwrap().len(), 19);
}
