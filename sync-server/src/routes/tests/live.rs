//! `/api/events`: that an open page hears what changes.

use super::World;
use axum::body::Body;
use axum::http::Request;
use futures_util::StreamExt as _;
use onsite_core::domain::{Kind, Role};
use onsite_core::env::Env as _;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// An open stream's events, comments left out.
struct Stream(axum::body::BodyDataStream);

impl Stream {
    async fn open(w: &World, cookie: &str, last: Option<&str>) -> Self {
        use tower::ServiceExt as _;
        let mut request = Request::builder().uri("/api/events").header("cookie", cookie);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = w.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert!(!response.headers().contains_key("content-encoding"));
        Self(response.into_body().into_data_stream())
    }

    /// The next event's name and data.
    async fn next(&mut self) -> Option<(String, String)> {
        let wait = tokio::time::timeout(Duration::from_secs(5), self.0.next());
        let text = String::from_utf8(wait.await.expect("an event in time")?.unwrap().to_vec()).unwrap();
        let line = |name: &str| text.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default().trim().to_owned();
        Some((line("event:"), line("data:")))
    }
}

#[tokio::test]
async fn an_open_page_hears_of_every_commit_within_a_second() {
    let w = World::new().await;
    w.office("boss", &[Role::Admin, Role::Clerk, Role::ServiceManager]).await;
    w.office("clerk", &[Role::Clerk]).await;
    let (boss, clerk) = (w.cookie("boss").await, w.cookie("clerk").await);
    let other = w.app.ledger.create_tenant("另一家").await.unwrap().id;
    let mut page = Stream::open(&w, &clerk, None).await;
    assert_eq!(page.next().await.unwrap().0, "hello");
    // Of another company nothing is heard: the next event is our own.
    w.staff(other, "陌生人", &[Role::Clerk]).await;
    let customer = w.env.new_id();
    let put = json!({ "do": "put_customer", "id": customer, "name": "宏远纸塑", "code": "C1",
                      "project_completed": null, "call_interval_days": null });
    let begun = Instant::now();
    w.post("/api/commands", &[("cookie", &boss)], put).await.good(200);
    let (name, data) = page.next().await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let changed: Value = serde_json::from_str(&data).unwrap();
    assert_eq!((name.as_str(), &changed["docs"]), ("changed", &json!([{ "kind": "customer", "id": customer }])));
    super::openapi::Strict::new().holds(&json!({ "$ref": "#/components/schemas/Changed" }), &changed, "change");
    // A phone is enrolled: no document changed.
    w.phone(1).await;
    let mut devices = false;
    while !devices {
        let changed: Value = serde_json::from_str(&page.next().await.unwrap().1).unwrap();
        devices = changed["devices"] == true;
    }
    // After a reconnection nobody knows what was missed.
    assert_eq!(Stream::open(&w, &clerk, Some("1")).await.next().await.unwrap().0, "resync");
    // It ends with the session.
    w.call("DELETE", "/api/session", &[("cookie", &clerk)], "").await.good(204);
    w.staff(w.tenant, "赵敏", &[Role::Technician]).await;
    assert_eq!(page.next().await.unwrap(), ("end".into(), "unauthorized".into()));
    assert_eq!(page.next().await, None);
    w.call("GET", "/api/events", &[("cookie", &clerk)], "").await.problem(401, "unauthorized");
}

#[tokio::test]
async fn an_open_page_is_no_use_of_the_session() {
    let w = World::new().await;
    w.office("clerk", &[Role::Clerk]).await;
    let cookie = w.cookie("clerk").await;
    let mut page = Stream::open(&w, &cookie, None).await;
    page.next().await.unwrap();
    w.env.advance(29 * 60_000);
    w.staff(w.tenant, "赵敏", &[Role::Technician]).await;
    assert_eq!(page.next().await.unwrap().0, "changed");
    w.env.advance(2 * 60_000);
    w.staff(w.tenant, "钱进", &[Role::Technician]).await;
    assert_eq!(page.next().await.unwrap().0, "end");
}

#[tokio::test]
async fn more_than_can_be_named_is_one_call_to_load_anew() {
    let w = World::new().await;
    w.office("boss", &[Role::Admin]).await;
    let cookie = w.cookie("boss").await;
    let mut page = Stream::open(&w, &cookie, None).await;
    page.next().await.unwrap();
    let all = [Role::Clerk].into();
    let clerk = onsite_core::domain::Author { roles: all, ..onsite_core::domain::Author::server() };
    let put = |n: usize| onsite_core::domain::Command::PutCustomer {
        id: w.env.new_id().into(),
        name: format!("客户{n}"),
        code: String::new(),
        project_completed: None,
        call_interval_days: None,
    };
    let commands: Vec<_> = (0..201).map(put).collect();
    w.app.ledger.execute_all(w.tenant, &clerk, &commands).await.unwrap();
    assert_eq!(page.next().await.unwrap().0, "resync");
    let listed = w.app.ledger.storage().counts(w.tenant, Kind::Customer).await.unwrap();
    assert_eq!(listed.iter().map(|(_, n)| n).sum::<u64>(), 201);
}

#[tokio::test]
async fn what_is_held_already_is_not_sent_again() {
    let w = World::new().await;
    let job = w.job().await;
    let path = format!("/api/work-orders/{}", job.order);
    let ask =
        async |held: &str| w.call("GET", &path, &[("cookie", job.cookie.as_str()), ("if-none-match", held)], "").await;
    let first = ask("\"other\"").await.good(200);
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with("W/\"") && first.header("cache-control") == "private, no-cache");
    let again = ask(&format!("\"x\", {tag}")).await.good(304);
    assert!(again.body.is_empty() && again.header("etag") == tag && again.header("content-type").is_empty());
    let remark = json!({ "do": "edit_text", "doc": { "kind": "work_order", "id": job.order },
                         "field": "dispatch/remarks", "text": "带梯子", "seen": [] });
    w.post("/api/commands", &[("cookie", &job.cookie)], remark).await.good(200);
    assert_ne!(ask(&tag).await.good(200).header("etag"), tag);
    // What failed has none, nor has what is done.
    assert_eq!(w.call("GET", "/api/visits/x", &[("cookie", &job.cookie)], "").await.header("etag"), "");
    let done = w.call("DELETE", "/api/session", &[("cookie", &job.cookie)], "").await.good(204);
    assert_eq!((done.header("etag"), done.header("clear-site-data")), ("", "\"cache\""));
}
