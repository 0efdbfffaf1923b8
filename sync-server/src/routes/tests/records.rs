//! `/api/work-orders/…`, `/api/visits/…`, `/api/customers/…`, `/api/entitlement`.

use super::World;
use super::job::told;
use onsite_core::domain::{Command, Millis, Role};
use onsite_core::env::Env as _;
use serde_json::{Value, json};

#[tokio::test]
async fn a_job_is_shown_whole() {
    let w = World::new().await;
    let job = w.job().await;
    let shown = w.get(&format!("/api/work-orders/{}", job.order), &job.cookie).await;
    insta::assert_snapshot!(told(&shown));
    let timeline = w.get(&format!("/api/work-orders/{}/timeline", job.order), &job.cookie).await;
    insta::assert_snapshot!("timeline", told(&timeline));
    let kinds: std::collections::BTreeSet<_> =
        timeline.as_array().unwrap().iter().map(|i| i["doc"]["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["request", "visit", "work_order"].into(), "the request belongs to it, too");
}

#[tokio::test]
async fn a_voided_signature_says_what_was_changed_since() {
    let w = World::new().await;
    let job = w.job().await;
    let shown = w.get(&format!("/api/work-orders/{}", job.order), &job.cookie).await;
    let of = |role: &str| shown["signoffs"].as_array().unwrap().iter().find(|s| s["role"] == role).unwrap();
    assert_eq!((&of("service_manager")["state"], &of("finance")["state"]), (&json!("signed"), &json!("missing")));
    let warehouse = of("warehouse");
    assert_eq!(warehouse["state"], "voided");
    let changed = warehouse["changed"].as_array().unwrap();
    let told: Vec<_> = changed.iter().map(|d| (&d["label"]["zh"], &d["before"], &d["after"])).collect();
    assert_eq!(told, [(&json!("借款金额"), &json!(80_000), &json!(90_000))]);
    let visit = w.get(&format!("/api/visits/{}", job.visit), &job.cookie).await;
    assert_eq!(visit["signature"], "voided");
    let changed = visit["signature_changed"].as_array().unwrap();
    assert_eq!((changed.len(), &changed[0]["label"]["en"]), (1, &json!("resolution")));
    assert_eq!(changed[0]["before"], "更换密封圈,仍漏气");
}

#[tokio::test]
async fn every_field_that_is_signed_has_a_name() {
    let w = World::new().await;
    let job = w.job().await;
    let onsite_core::domain::Entity::WorkOrder(order) = w.entity(job.order).await else { panic!() };
    let onsite_core::domain::Entity::Visit(visit) = w.entity(job.visit).await else { panic!() };
    let (order, visit) = (
        onsite_core::domain::forms_content::dispatch_shown(&order),
        onsite_core::domain::forms_content::visit_shown(&visit),
    );
    for (kind, content) in [(onsite_core::domain::Kind::WorkOrder, order), (onsite_core::domain::Kind::Visit, visit)] {
        for diff in crate::office::records::changed(kind, &json!({}), &content) {
            // What form it is, and which round of which job, never differ.
            if ["form", "work_order", "round", "request"].contains(&diff.path.as_str()) || diff.path.ends_with("/id") {
                continue;
            }
            assert!(
                !diff.label.zh.is_ascii() && !diff.label.en.contains('_'),
                "{kind:?} {}: {:?}",
                diff.path,
                diff.label
            );
        }
    }
}

#[tokio::test]
async fn what_one_could_do_is_what_the_rules_allow() {
    let w = World::new().await;
    let job = w.job().await;
    let can = async |cookie: &str| -> Vec<String> {
        let shown = w.get(&format!("/api/work-orders/{}", job.order), cookie).await;
        shown["can"].as_array().unwrap().iter().map(|c| c.as_str().unwrap().to_owned()).collect()
    };
    let all = can(&job.cookie).await;
    insta::assert_snapshot!(all.join(" "), @"plan_dispatch require_item assign override_entitlement redispatch pay_advance book cancel_work_order tell_customer edit_text sign_off issue_item take_back_item move_returned_machine analyse_opinion");
    w.office("store", &[Role::Warehouse]).await;
    assert_eq!(can(&w.cookie("store").await).await, ["sign_off", "issue_item", "take_back_item"]);
    w.office("admin", &[Role::Admin]).await;
    assert!(can(&w.cookie("admin").await).await.is_empty());
    // What is said to be possible is, and what is not is refused.
    let close = Command::CloseWorkOrder { id: job.order };
    let refused = w.app.ledger.execute(w.tenant, &job.boss, &close, None).await;
    assert!(!all.contains(&"close_work_order".to_owned()) && refused.is_err());
    let told = Command::TellCustomer { id: job.order, problem: "阀体返厂".into(), solved: false };
    let moved = |step| Command::MoveReturnedMachine { id: job.order, step };
    let replaced = moved(onsite_core::domain::ReturnStep::Replaced);
    w.done(&job.boss, &[told, replaced]).await;
    let item = w.get(&format!("/api/work-orders/{}", job.order), &job.cookie).await;
    let item = item["entity"]["dispatch"]["items"].as_object().unwrap().keys().next().unwrap().parse().unwrap();
    w.done(&job.boss, &[Command::TakeBackItem { id: job.order, item, quantity: 2 }]).await;
    assert!(can(&job.cookie).await.contains(&"close_work_order".to_owned()));
    w.done(&job.boss, &[close]).await;
    let after = can(&job.cookie).await;
    assert!(
        after.contains(&"archive_work_order".to_owned()) && !after.contains(&"plan_dispatch".to_owned()),
        "{after:?}"
    );
}

#[tokio::test]
async fn a_visit_is_shown_with_its_day() {
    let w = World::new().await;
    let job = w.job().await;
    let shown = w.get(&format!("/api/visits/{}", job.visit), &job.cookie).await;
    assert_eq!(shown["times"]["work_ms"], 120 * Millis::MINUTE + 1000);
    assert_eq!((&shown["money"]["collected"], &shown["photos"][0]["arrived"]), (&json!(250_000), &json!(false)));
    assert!(shown["entity"]["signature"].is_object(), "what is set as one is an object: {}", shown["entity"]);
    let in_job = w.get(&format!("/api/work-orders/{}", job.order), &job.cookie).await;
    assert_eq!(in_job["visits"], json!([shown]), "the same as in its job");
}

#[tokio::test]
async fn a_customers_file_is_shown_with_what_hangs_on_it() {
    let w = World::new().await;
    let job = w.job().await;
    let shown = w.get(&format!("/api/customers/{}", job.customer), &job.cookie).await;
    insta::assert_snapshot!(told(&shown));
    assert_eq!((&shown["owed"], &shown["jobs"].as_array().unwrap().len()), (&json!(4_750_000), &1));
    // A new name reaches the rows that show it, and not form 1, which was issued.
    let rename = json!({ "do": "put_customer", "id": job.customer, "name": "宏远纸塑股份", "code": "C1",
                         "project_completed": "2025-06-01", "call_interval_days": null });
    w.post("/api/commands", &[("cookie", &job.cookie)], rename).await.good(200);
    let found: Value = w.get(&format!("/api/customers/{}", job.customer), &job.cookie).await;
    assert_eq!(found["complaints"][0]["summary"]["title"], "宏远纸塑股份");
    assert_eq!(found["jobs"][0]["summary"]["title"], "宏远纸塑");
}

#[tokio::test]
async fn an_entitlement_is_worked_out_for_whoever_takes_a_report() {
    let w = World::new().await;
    let job = w.job().await;
    let of =
        async |query: String| w.call("GET", &format!("/api/entitlement?{query}"), &[("cookie", &job.cookie)], "").await;
    let (customer, machine) = (job.customer, job.machine);
    let now = of(format!("customer={customer}&equipment={machine}")).await.good(200).json();
    assert_eq!(
        now,
        json!({ "entitlement": "in_warranty", "warranty_until": "2026-06-01", "contract": null, "overridden": null })
    );
    let later = w.env.now().plus(400 * Millis::DAY).0;
    let later = of(format!("customer={customer}&equipment={machine}&reported={later}")).await.good(200).json();
    assert_eq!(later["entitlement"], "per_visit");
    assert_eq!(of(format!("customer={customer}")).await.good(200).json()["entitlement"], "per_visit");
    of(format!("customer={customer}&equipment={customer}")).await.problem(404, "not_found");
    of(format!("customer={machine}")).await.problem(404, "not_found");
    of(String::new()).await.problem(400, "bad_query");
}

#[tokio::test]
async fn what_is_not_there_or_of_another_kind_is_not_found() {
    let w = World::new().await;
    let job = w.job().await;
    let other = w.app.ledger.create_tenant("别家").await.unwrap().id;
    let stranger = w.staff(other, "外人", &[Role::Admin]).await;
    crate::auth::set_password(&w.app.ledger, other, stranger, "stranger", "correct horse").await.unwrap();
    let stranger = w.cookie("stranger").await;
    for path in [
        format!("/api/work-orders/{}", job.order),
        format!("/api/work-orders/{}/timeline", job.order),
        format!("/api/visits/{}", job.visit),
        format!("/api/customers/{}", job.customer),
    ] {
        w.call("GET", &path, &[("cookie", &stranger)], "").await.problem(404, "not_found");
        w.call("GET", &path, &[], "").await.problem(401, "unauthorized");
        let wrong = path.replace(&job.order.to_string(), &job.visit.to_string());
        let wrong = wrong.replace(&job.customer.to_string(), "nonsense");
        if wrong != path {
            w.call("GET", &wrong, &[("cookie", &job.cookie)], "").await.problem(404, "not_found");
        }
    }
}
