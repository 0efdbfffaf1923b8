//! `/api/proposals`, `/api/figures…`.

use super::World;
use super::job::told;
use onsite_core::domain::{Command, ComplaintAbout, ComplaintId, Role, StatementId, SuggestionId};
use onsite_core::env::Env as _;
use serde_json::{Value, json};

#[tokio::test]
async fn proposals_come_with_evidence_decision_and_replies() {
    let w = World::new().await;
    let job = w.job().await;
    let all = async |query: &str| w.get(&format!("/api/proposals{query}"), &job.cookie).await["rows"].take();
    insta::assert_snapshot!(told(&all("").await));
    let penalty = |list: &Value| list.as_array().unwrap().iter().find(|p| p["proposal"]["rule"] == "P1").cloned();
    let late = penalty(&all("").await).unwrap();
    assert_eq!((&late["proposal"]["verdict"], &late["decision"]), (&json!("proposed"), &Value::Null));
    assert_eq!(late["part"], "waiting");
    let key = late["proposal"]["key"].as_str().unwrap();
    let decide = json!({ "do": "appraise", "id": w.env.new_id(), "proposal": key, "decision": "confirmed",
                         "severity": "minor", "amount": -5000, "major": false, "reason": "首次" });
    w.post("/api/commands", &[("cookie", &job.cookie)], decide).await.good(200);
    let reply = |proposal: Option<&str>| Command::State {
        id: StatementId(w.env.new_id()),
        complaint: proposal.is_none().then_some(job.complaint),
        proposal: proposal.map(Into::into),
        text: "路上堵车".into(),
    };
    w.done(&job.technician, &[reply(Some(key)), reply(None)]).await;
    let decided = penalty(&all("").await).unwrap();
    assert_eq!(decided["decision"]["decision"]["decision"], "confirmed", "{decided}");
    assert_eq!(decided["part"], "decided");
    assert_eq!((&decided["changed_since"], decided["statements"].as_array().unwrap().len()), (&json!(false), 2));
    assert!(penalty(&all("?open=true").await).is_none());
    // The complaint turns out to be without ground: what was decided rests on other evidence.
    let dismiss = Command::ResolveComplaint { id: job.complaint, dismiss: true, reason: "误会".into() };
    w.done(&job.boss, &[dismiss]).await;
    let changed = penalty(&all("?open=true").await).unwrap();
    assert_eq!((&changed["changed_since"], &changed["proposal"]["verdict"]), (&json!(true), &json!("not_met")));
    assert_eq!(changed["part"], "waiting", "to be decided again");
    // Of a quarter, and of a person.
    assert!(penalty(&all("?quarter=2025Q4").await).is_some() && penalty(&all("?quarter=2025Q3").await).is_none());
    let other = w.staff(w.tenant, "赵敏", &[Role::Technician]).await;
    let theirs = all(&format!("?staff={other}")).await;
    let rules: Vec<_> = theirs.as_array().unwrap().iter().map(|p| &p["proposal"]["rule"]).collect();
    assert_eq!(rules, ["R1"], "a quarter without complaints");
    let bad =
        async |query: &str| w.call("GET", &format!("/api/proposals?{query}"), &[("cookie", &job.cookie)], "").await;
    assert_eq!(bad("quarter=2025").await.problem(400, "bad_quarter")["field"], "quarter");
    bad("open=perhaps").await.problem(400, "bad_query");
}

#[tokio::test]
async fn proposals_come_some_at_a_time_and_are_counted_by_where_they_belong() {
    let w = World::new().await;
    let job = w.job().await;
    let mut subjects = vec![json!(job.complaint)];
    for n in 0..3 {
        let complaint = ComplaintId(w.env.new_id());
        let file = Command::FileComplaint {
            id: complaint,
            customer: job.customer,
            work_order: Some(job.order),
            staff: [job.technician.staff].into(),
            about: ComplaintAbout::LateArrival,
            description: format!("第{n}次"),
            received: None,
        };
        w.done(&job.boss, &[file]).await;
        let id = SuggestionId(w.env.new_id());
        let suggest = Command::Suggest { id, title: format!("主意{n}"), text: "好".into(), work_order: None };
        w.done(&job.technician, &[suggest]).await;
        subjects.extend([json!(complaint), json!(id)]);
    }
    let of = async |query: &str| w.get(&format!("/api/proposals?{query}"), &job.cookie).await;
    let whole = of("").await;
    assert_eq!(whole["next"], Value::Null);
    let all = whole["rows"].as_array().unwrap();
    let about = |p: &Value| match &p["proposal"]["complaint"] {
        Value::Null => p["proposal"]["suggestion"].clone(),
        complaint => complaint.clone(),
    };
    assert_eq!((about(&all[0]), &all[0]["proposal"]["rule"]), (Value::Null, &json!("R1")), "rewards come first");
    assert!(all[1..].is_sorted_by(|a, b| about(a).as_str() >= about(b).as_str()), "newest first");
    for limit in 1..=all.len() + 1 {
        let (mut walked, mut after) = (Vec::<Value>::new(), String::new());
        loop {
            let mut part = of(&format!("limit={limit}{after}")).await;
            let rows = part["rows"].as_array_mut().unwrap();
            if let (Some(last), Some(first)) = (walked.last(), rows.first()) {
                assert_ne!(about(last), about(first), "what is about one complaint stays together");
            }
            let beyond = rows.iter().skip(limit).all(|p| about(p) == about(&rows[limit - 1]));
            assert!(beyond && (rows.len() >= limit || part["next"].is_null()), "{limit} at a time");
            walked.append(part["rows"].as_array_mut().unwrap());
            let Some(next) = part["next"].as_str() else { break };
            after = format!("&after={next}");
        }
        assert_eq!(&walked, all, "each once, in the same order");
    }
    for place in ["waiting", "unknown", "not_met", "decided"] {
        let here: Vec<&Value> = all.iter().filter(|p| p["part"] == place).collect();
        let found = of(&format!("part={place}&limit=2")).await;
        assert_eq!(found["counts"], whole["counts"], "wherever they belong");
        assert_eq!(found["counts"][place], here.len());
        let rows = found["rows"].as_array().unwrap();
        assert!(rows.iter().eq(here.into_iter().take(rows.len())), "{place}");
    }
    assert_eq!(whole["counts"]["more"], false);
    for subject in subjects {
        let found = of(&format!("subject={}", subject.as_str().unwrap())).await;
        let rows = found["rows"].as_array().unwrap();
        assert!(!rows.is_empty() && rows.iter().all(|p| about(p) == subject), "{found}");
    }
    let bad = w.call("GET", "/api/proposals?after=x", &[("cookie", &job.cookie)], "").await;
    bad.problem(400, "bad_query");
}

#[tokio::test]
async fn a_quarter_is_final_once_the_phones_have_synced_past_it() {
    let w = World::new().await;
    w.job().await;
    let (who, key, _) = w.phone(1).await;
    let rewards = async || -> Vec<(Value, Value)> {
        let cookie = w.cookie("boss").await;
        let all = w.get(&format!("/api/proposals?staff={}&quarter=2025Q4", who.staff), &cookie).await;
        let of = |p: &Value| (p["proposal"]["verdict"].clone(), p["proposal"]["provisional"].clone());
        all["rows"].as_array().unwrap().iter().map(of).collect()
    };
    assert_eq!(rewards().await, [(json!("proposed"), json!(true))], "the quarter runs");
    w.env.advance(60 * onsite_core::domain::Millis::DAY);
    assert_eq!(rewards().await, [(json!("proposed"), json!(true))], "the phone was not heard of since");
    let token = w.token_for(&who, &key).await.good(200).json();
    let token = format!("Bearer {}", token["token"].as_str().unwrap());
    let request = onsite_core::sync::protocol::SyncRequest { v: 1, clock: w.env.now(), ..Default::default() };
    let headers = [("authorization", token.as_str()), ("content-type", "application/cbor")];
    w.call("POST", "/v1/sync", &headers, minicbor_serde::to_vec(&request).unwrap()).await.good(200);
    assert_eq!(rewards().await, [(json!("proposed"), json!(false))]);
}

#[tokio::test]
async fn figures_are_the_sum_of_their_cases() {
    let w = World::new().await;
    let job = w.job().await;
    let figures = w.get("/api/figures?from=2025-11-01&to=2025-11-30", &job.cookie).await;
    insta::assert_snapshot!(told(&figures["all"]));
    assert_eq!(figures["by_technician"][job.technician.staff.to_string()], figures["all"], "it is the only job");
    for (name, figure) in figures["all"].as_object().unwrap() {
        let path = format!("/api/figures/jobs?figure={name}&from=2025-11-01&to=2025-11-30");
        let cases = w.get(&path, &job.cookie).await;
        let counts = &cases["counts"];
        let cases = cases["rows"].as_array().unwrap();
        let counted = |word: &str| cases.iter().filter(|c| c["counted"] == word).count() as u64;
        for word in ["hit", "miss", "unknown", "provisional"] {
            assert_eq!(counts[word].as_u64().unwrap_or(0), counted(word), "{name}: {counts}");
            let only = w.get(&format!("{path}&counted={word}"), &job.cookie).await;
            assert_eq!(only["rows"].as_array().unwrap().len() as u64, counted(word), "{name}");
        }
        // One after another they are the same.
        let (mut walked, mut next) = (Vec::new(), Some(String::new()));
        while let Some(after) = next {
            let after = if after.is_empty() { after } else { format!("&after={after}") };
            let mut part = w.get(&format!("{path}&limit=1{after}"), &job.cookie).await;
            walked.append(part["rows"].as_array_mut().unwrap());
            next = part["next"].as_str().map(str::to_owned);
        }
        assert_eq!(&walked, cases, "{name}");
        assert_eq!(counted("unknown"), figure["unknown"].as_u64().unwrap(), "{name}: {cases:?}");
        if figure["unit"] == "share" {
            assert_eq!(cases.len() as u64 - counted("unknown"), figure["denominator"].as_u64().unwrap(), "{name}");
        }
        assert!(cases.iter().all(|c| !c["title"].as_str().unwrap().is_empty()), "{cases:?}");
    }
    let late = w.get("/api/figures/jobs?figure=on_time_arrival&from=2025-11-01&to=2025-11-30", &job.cookie).await;
    assert_eq!((&late["rows"][0]["counted"], &late["rows"][0]["doc"]["id"]), (&json!("miss"), &json!(job.order)));
    let theirs = format!("/api/figures?from=2025-11-01&to=2025-11-30&staff={}", job.boss.staff);
    assert_eq!(w.get(&theirs, &job.cookie).await["all"]["on_time_arrival"]["denominator"], 0);
    let trend = w.get("/api/figures/trend?from=2025-10-15&to=2025-12-01&by=month", &job.cookie).await;
    let periods: Vec<_> = trend.as_array().unwrap().iter().map(|p| p["period"].as_str().unwrap()).collect();
    assert_eq!(periods, ["2025-10", "2025-11", "2025-12"]);
    assert_eq!(trend[1]["figures"], figures["all"]);
    let quarters = w.get("/api/figures/trend?from=2025-08-01&to=2025-12-31&by=quarter", &job.cookie).await;
    let periods: Vec<_> = quarters.as_array().unwrap().iter().map(|p| p["period"].as_str().unwrap()).collect();
    assert_eq!(periods, ["2025Q3", "2025Q4"]);
    // A change is seen at once, though what figures are reckoned from is kept.
    let dismiss = Command::ResolveComplaint { id: job.complaint, dismiss: true, reason: "误会".into() };
    let before = figures["all"]["csat"].clone();
    w.done(&job.boss, &[dismiss]).await;
    let after = w.get("/api/figures?from=2025-11-01&to=2025-11-30", &job.cookie).await;
    assert_eq!(after["all"]["csat"], before);
    for (query, code) in [
        ("figures?from=2025-12-01&to=2025-11-01", "bad_period"),
        ("figures?from=yesterday", "bad_query"),
        ("figures/trend?from=1990-01-01", "too_many_periods"),
        ("figures/trend?by=week", "bad_query"),
        ("figures/jobs?figure=luck", "bad_query"),
        ("figures/jobs", "bad_query"),
        ("figures/jobs?figure=csat&after=nowhere", "bad_after"),
    ] {
        w.call("GET", &format!("/api/{query}"), &[("cookie", &job.cookie)], "").await.problem(400, code);
    }
}
