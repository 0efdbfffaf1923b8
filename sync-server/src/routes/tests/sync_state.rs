//! `/api/devices…`, `/api/clashes`, `/api/set-aside`, `/api/audit…`.

use super::World;
use super::job::{told, written};
use onsite_core::domain::{CheckResult, Command, DocRef, Entity, Kind, Millis, Role};
use onsite_core::env::Env as _;
use serde_json::json;

#[tokio::test]
async fn devices_are_shown_with_their_syncs_and_refused_edits() {
    let w = World::new().await;
    let job = w.job().await;
    let (who, key, token) = w.phone(1).await;
    // A technician writes into a customer's file: that is the office's.
    let at = DocRef::new(Kind::Customer, job.customer);
    let mut doc = w.doc(job.customer).await;
    let Entity::Customer(mut file) = doc.entity().unwrap() else { panic!() };
    file.name = "改名纸塑".into();
    let change = written(&mut doc, who.device, who.staff, w.env.now(), Entity::Customer(file), at.id);
    w.sync(&token, at, vec![change]).await;
    let detail = w.get(&format!("/api/devices/{}", who.device), &job.cookie).await;
    insta::assert_snapshot!(told(&detail));
    let refused = w.get("/api/set-aside", &job.cookie).await["rows"].take();
    assert_eq!(refused, detail["refused"]);
    let leaf = &refused[0]["leaves"][0];
    assert_eq!((&leaf["mine"], &leaf["stands"]), (&json!("改名纸塑"), &json!("宏远纸塑")));
    assert_eq!(w.get("/api/today", &job.cookie).await["refused"], 1);
    // Decided, it is gone from what waits, and still told.
    let path = format!("/api/set-aside/{}/{}", job.customer, refused[0]["hash"].as_str().unwrap());
    let dismiss = json!({ "decide": "dismiss", "reason": "无权" });
    w.office("clerk", &[Role::Clerk]).await;
    let clerk = w.cookie("clerk").await;
    w.post(&path, &[("cookie", &clerk)], dismiss.clone()).await.problem(403, "forbidden");
    w.post(&path, &[("cookie", &job.cookie)], dismiss.clone()).await.good(204);
    w.post(&path, &[("cookie", &job.cookie)], dismiss).await.problem(409, "already_decided");
    assert_eq!(w.get("/api/set-aside", &job.cookie).await["rows"], json!([]));
    let all = w.get("/api/set-aside?decided=true", &job.cookie).await;
    assert_eq!(all["rows"][0]["decided"]["verdict"], "dismissed");
    // A full page names where it ended, and goes on there.
    let one = w.get("/api/set-aside?decided=true&limit=1", &job.cookie).await;
    let after = one["next"].as_str().unwrap();
    let rest = w.get(&format!("/api/set-aside?decided=true&after={after}"), &job.cookie).await;
    assert_eq!(rest, json!({ "rows": [], "next": null }));
    w.call("GET", "/api/set-aside?after=7", &[("cookie", &job.cookie)], "").await.problem(400, "bad_after");
    // Silent after a day; revoked, and told so at the next contact.
    w.env.advance(Millis::DAY + 1000);
    let cookie = w.cookie("boss").await;
    let row = async || w.get("/api/devices", &cookie).await[0].clone();
    assert_eq!((&row().await["silent"], &row().await["wiped"]), (&json!(true), &json!(null)));
    w.post(&format!("/api/devices/{}/revoke", who.device), &[("cookie", &cookie)], json!({})).await.good(204);
    assert_eq!((&row().await["silent"], &row().await["wiped"]), (&json!(false), &json!(false)));
    w.token_for(&who, &key).await.problem(403, "device_revoked");
    assert_eq!(row().await["wiped"], true);
    assert_eq!(w.get("/api/today", &cookie).await["phones"]["revoked_with_unsent"], 1);
    w.call("GET", &format!("/api/devices/{}", job.order), &[("cookie", &cookie)], "").await.problem(404, "not_found");
}

#[tokio::test]
async fn idle_contacts_are_one_line_and_failures_have_their_code() {
    let w = World::new().await;
    let job = w.job().await;
    let (who, _, token) = w.phone(1).await;
    let headers = [("authorization", token.as_str()), ("content-type", "application/cbor")];
    let mut cursor = None;
    for _ in 0..4 {
        w.env.advance(1000);
        let request = onsite_core::sync::protocol::SyncRequest {
            v: 1,
            clock: w.env.now(),
            cursor: cursor.take(),
            ..Default::default()
        };
        let answer = w.call("POST", "/v1/sync", &headers, minicbor_serde::to_vec(&request).unwrap()).await.good(200);
        let answer: onsite_core::sync::protocol::SyncAnswer = minicbor_serde::from_slice(&answer.body).unwrap();
        cursor = Some(answer.cursor);
    }
    let bad = onsite_core::sync::protocol::SyncRequest {
        v: 1,
        clock: w.env.now(),
        cursor: Some(onsite_core::sync::protocol::Cursor("nonsense".into())),
        ..Default::default()
    };
    w.call("POST", "/v1/sync", &headers, minicbor_serde::to_vec(&bad).unwrap()).await.problem(400, "bad_cursor");
    let syncs = w.get(&format!("/api/devices/{}", who.device), &job.cookie).await["syncs"].clone();
    let told: Vec<_> = syncs.as_array().unwrap().iter().map(|s| (s["error"].as_str().unwrap(), &s["pushed"])).collect();
    assert_eq!(
        told,
        [("bad_cursor", &json!(0)), ("", &json!(0)), ("", &json!(0))],
        "first sync, idle ones, the bad one"
    );
    assert!(syncs[2]["delivered"].as_u64().unwrap() > 0 && syncs[1]["delivered"] == 0);
}

#[tokio::test]
async fn clashes_are_told_and_chosen() {
    let w = World::new().await;
    let job = w.job().await;
    let check =
        |result, note: &str| Command::Inspect { visit: job.visit, check: "model".into(), result, note: note.into() };
    // Two write at once on the same state: one at the office's side, one on a phone that had not heard of it.
    let mut apart = w.doc(job.visit).await;
    w.done(&job.technician, &[check(CheckResult::Passed, "")]).await;
    let (who, _, token) = w.phone(1).await;
    let assign =
        Command::Assign { id: job.order, technicians: vec![job.technician.staff, who.staff], reason: String::new() };
    w.done(&job.boss, &[assign]).await;
    let Entity::Visit(mut visit) = apart.entity().unwrap() else { panic!() };
    visit.checks.entry("model".into()).or_default().result = Some(CheckResult::Failed);
    let at = DocRef::new(Kind::Visit, job.visit);
    let change = written(&mut apart, who.device, who.staff, w.env.now(), Entity::Visit(visit), at.id);
    w.sync(&token, at, vec![change]).await;
    let clashes = w.get("/api/clashes", &job.cookie).await["rows"].clone();
    insta::assert_snapshot!(told(&clashes));
    let clash = &clashes[0]["clashes"][0];
    assert_eq!(clash["label"], json!({ "zh": "货物检查 · 产品型号 · 结果", "en": "inspection · model · result" }));
    let words: std::collections::BTreeSet<_> =
        clash["values"].as_array().unwrap().iter().map(|v| v["told"]["zh"].as_str().unwrap()).collect();
    assert_eq!(words, ["不合格", "合格"].into());
    assert_eq!(w.get("/api/today", &job.cookie).await["clashes"], 1);
    let merges = w.get(&format!("/api/visits/{}", job.visit), &job.cookie).await["merges"].clone();
    assert!(merges[0]["zh"].as_str().unwrap().contains("货物检查 · 产品型号 · 结果"), "{merges}");
    let key = clashes[0]["key"].as_str().unwrap();
    let after = w.get(&format!("/api/clashes?after={key}"), &job.cookie).await;
    assert_eq!(after, json!({ "rows": [], "next": null }));
    assert_eq!(w.get("/api/clashes?limit=1", &job.cookie).await["next"], json!(key));
    w.call("GET", "/api/clashes?after=x", &[("cookie", &job.cookie)], "").await.problem(400, "bad_after");
}

#[tokio::test]
async fn an_enrolment_code_comes_as_a_picture_and_is_audited() {
    let w = World::new().await;
    let job = w.job().await;
    let asked = json!({ "staff": job.technician.staff });
    let made = w.post("/api/device-codes", &[("cookie", &job.cookie)], asked).await.good(200).json();
    assert!(made["qr"].as_str().unwrap().starts_with("<svg") && made["url"].as_str().unwrap().contains("/enrol#"));
    let newest = w.get("/api/audit?descending=true&limit=1", &job.cookie).await;
    assert_eq!(newest["rows"][0]["action"], "device.code");
    assert!(!newest.to_string().contains(made["code"].as_str().unwrap()), "the secret is not in it");
    let nobody = json!({ "staff": w.env.new_id() });
    w.post("/api/device-codes", &[("cookie", &job.cookie)], nobody).await.problem(404, "not_found");
}

#[tokio::test]
async fn the_audit_chain_is_listed_both_ways_and_followed() {
    let w = World::new().await;
    let job = w.job().await;
    let page = async |query: &str| w.get(&format!("/api/audit?{query}"), &job.cookie).await;
    let all = page("limit=1000").await;
    let numbers = |page: &serde_json::Value| -> Vec<u64> {
        page["rows"].as_array().unwrap().iter().map(|r| r["n"].as_u64().unwrap()).collect()
    };
    let up = numbers(&all);
    assert_eq!(up, (1..=up.len() as u64).collect::<Vec<_>>());
    assert!(up.len() > 3 && all["next"].is_null());
    for descending in [false, true] {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let part = page(&format!("limit=2&descending={descending}{after}")).await;
            seen.extend(numbers(&part));
            match part["next"].as_u64() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        if descending {
            seen.reverse();
        }
        assert_eq!(seen, up, "descending: {descending}");
    }
    let verified = w.get("/api/audit/verify", &job.cookie).await;
    assert_eq!(
        (&verified["holds"], &verified["entries"], &verified["broken"]),
        (&json!(true), &json!(up.len()), &json!(null))
    );
    assert!(verified["end"].as_str().unwrap().starts_with(&format!("{}:", up.len())));
    w.office("clerk", &[Role::Clerk]).await;
    let clerk = w.cookie("clerk").await;
    for path in ["/api/audit", "/api/audit/verify"] {
        w.call("GET", path, &[("cookie", &clerk)], "").await.problem(403, "forbidden");
    }
}
