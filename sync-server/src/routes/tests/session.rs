//! `/api/session…`, `/api/users…`.

use super::{Answer, World};
use onsite_core::domain::Role;
use onsite_core::env::Env as _;
use serde_json::{Value, json};

impl World {
    async fn enter(&self, login: &str, password: &str) -> Answer {
        let browser = [("user-agent", "Firefox/150")];
        self.post("/api/session", &browser, json!({ "login": login, "password": password })).await
    }

    async fn send_json(&self, method: &str, path: &str, cookie: &str, body: Value) -> Answer {
        let headers = [("content-type", "application/json"), ("cookie", cookie)];
        self.call(method, path, &headers, body.to_string()).await
    }
}

fn cookie_of(answer: &Answer) -> String {
    answer.header("set-cookie").split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_person_signs_in_says_who_they_are_and_signs_out() {
    let w = World::new().await;
    let boss = w.office("boss", &[Role::Admin, Role::Clerk]).await;
    w.call("GET", "/api/session", &[], "").await.problem(401, "unauthorized");
    let entered = w.enter("Boss", "correct horse").await.good(200);
    let cookie = cookie_of(&entered);
    assert!(entered.header("set-cookie").contains("HttpOnly; SameSite=Strict"));
    let me = w.get("/api/session", &cookie).await;
    assert_eq!(me, entered.json());
    assert_eq!((&me["staff"], &me["name"], &me["login"]), (&json!(boss), &json!("boss"), &json!("boss")));
    assert_eq!((&me["company"], &me["roles"]), (&json!("恒达机械"), &json!(["clerk", "admin"])));
    assert_eq!(me["language"], Value::Null);
    w.send_json("PATCH", "/api/session", &cookie, json!({ "language": "fr" })).await.problem(400, "bad_body");
    w.send_json("PATCH", "/api/session", &cookie, json!({ "language": "en" })).await.good(200);
    assert_eq!(w.get("/api/session", &cookie).await["language"], "en");
    let out = w.call("DELETE", "/api/session", &[("cookie", &cookie)], "").await.good(204);
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    w.call("GET", "/api/session", &[("cookie", &cookie)], "").await.problem(401, "unauthorized");
    // The same door as for the form: foreign sites, limits, one answer for all that is wrong.
    let body = json!({ "login": "boss", "password": "correct horse" });
    w.post("/api/session", &[("origin", "https://evil.example")], body).await.problem(403, "forbidden");
    assert_eq!(
        w.enter("nobody", "correct horse").await.problem(401, "unauthorized"),
        w.enter("boss", "wrong").await.problem(401, "unauthorized")
    );
    for _ in 0..4 {
        w.enter("boss", "wrong").await.problem(401, "unauthorized");
    }
    w.enter("boss", "correct horse").await.problem(429, "busy");
}

#[tokio::test]
async fn sessions_are_seen_and_ended_one_by_one_and_all_at_once() {
    let w = World::new().await;
    w.office("boss", &[Role::Admin]).await;
    w.office("clerk", &[Role::Clerk]).await;
    let here = cookie_of(&w.enter("boss", "correct horse").await);
    w.env.advance(1000);
    let there = cookie_of(&w.enter("boss", "correct horse").await);
    let other = cookie_of(&w.enter("clerk", "correct horse").await);
    let seen = w.get("/api/sessions", &here).await;
    let rows = seen.as_array().unwrap();
    assert_eq!(rows.iter().map(|r| r["current"].as_bool().unwrap()).collect::<Vec<_>>(), [false, true]);
    assert_eq!(rows[0]["agent"], "Firefox/150");
    let theirs = w.get("/api/sessions", &other).await[0]["id"].as_str().unwrap().to_owned();
    let end = async |id: &str| w.call("DELETE", &format!("/api/sessions/{id}"), &[("cookie", &here)], "").await;
    end(&theirs).await.problem(404, "not_found");
    end(rows[0]["id"].as_str().unwrap()).await.good(204);
    w.call("GET", "/api/session", &[("cookie", &there)], "").await.problem(401, "unauthorized");
    w.call("DELETE", "/api/sessions", &[("cookie", &here)], "").await.good(204);
    w.call("GET", "/api/session", &[("cookie", &here)], "").await.problem(401, "unauthorized");
    w.get("/api/session", &other).await;
}

#[tokio::test]
async fn another_password_ends_the_other_sessions() {
    let w = World::new().await;
    w.office("boss", &[Role::Admin]).await;
    let here = cookie_of(&w.enter("boss", "correct horse").await);
    let there = cookie_of(&w.enter("boss", "correct horse").await);
    let change = async |old: &str, new: &str| {
        w.send_json("PUT", "/api/session/password", &here, json!({ "old": old, "new": new })).await
    };
    assert_eq!(change("wrong", "battery staple").await.problem(400, "wrong_password")["field"], "old");
    change("correct horse", "short").await.problem(400, "bad_password");
    w.get("/api/session", &there).await;
    change("correct horse", "battery staple").await.good(204);
    w.get("/api/session", &here).await;
    w.call("GET", "/api/session", &[("cookie", &there)], "").await.problem(401, "unauthorized");
    w.enter("boss", "correct horse").await.problem(401, "unauthorized");
    w.enter("boss", "battery staple").await.good(200);
    for _ in 0..5 {
        change("wrong", "battery staple").await.problem(400, "wrong_password");
    }
    change("battery staple", "correct horse").await.problem(429, "busy");
}

#[tokio::test]
async fn the_admin_gives_takes_and_renews_logins() {
    let w = World::new().await;
    let boss = w.office("boss", &[Role::Admin]).await;
    w.office("clerk", &[Role::Clerk]).await;
    let zhang = w.staff(w.tenant, "张会计", &[Role::Finance]).await;
    let (boss_cookie, clerk) = (w.cookie("boss").await, w.cookie("clerk").await);
    let add = json!({ "staff": zhang, "login": "Zhang", "password": "correct horse" });
    for (method, path) in [("GET", "/api/users"), ("POST", "/api/users"), ("PATCH", "/api/users/boss")] {
        let body = if method == "PATCH" { json!({ "disabled": true }) } else { add.clone() };
        w.send_json(method, path, &clerk, body).await.problem(403, "forbidden");
    }
    let post = async |body: Value| w.send_json("POST", "/api/users", &boss_cookie, body).await;
    post(add.clone()).await.good(204);
    post(add).await.problem(409, "login_taken");
    let li = w.staff(w.tenant, "李工", &[Role::Technician]).await;
    post(json!({ "staff": li, "login": "li", "password": "correct horse" })).await.problem(409, "no_office_role");
    let nobody = json!({ "staff": w.env.new_id(), "login": "x", "password": "correct horse" });
    post(nobody).await.problem(404, "not_found");
    let theirs = cookie_of(&w.enter("zhang", "correct horse").await.good(200));
    let users = w.get("/api/users", &boss_cookie).await;
    let logins: Vec<_> = users.as_array().unwrap().iter().map(|u| u["login"].as_str().unwrap()).collect();
    assert_eq!(logins, ["boss", "clerk", "zhang"]);
    assert_eq!((&users[2]["name"], &users[2]["sessions"]), (&json!("张会计"), &json!(1)));
    let patch =
        async |login: &str, body: Value| w.send_json("PATCH", &format!("/api/users/{login}"), &boss_cookie, body).await;
    patch("zhang", json!({ "disabled": true })).await.good(204);
    w.call("GET", "/api/session", &[("cookie", &theirs)], "").await.problem(401, "unauthorized");
    w.enter("zhang", "correct horse").await.problem(401, "unauthorized");
    assert!(w.get("/api/users", &boss_cookie).await[2]["disabled"].is_i64());
    patch("zhang", json!({ "password": "battery staple", "disabled": false })).await.good(204);
    w.enter("zhang", "battery staple").await.good(200);
    patch("boss", json!({ "disabled": true })).await.problem(409, "own_account");
    patch("nobody", json!({ "disabled": true })).await.problem(404, "not_found");
    // Of another company, a login name is nobody's.
    let other = w.app.ledger.create_tenant("另一家").await.unwrap().id;
    let stranger = w.staff(other, "陌生人", &[Role::Admin]).await;
    crate::auth::set_password(&w.app.ledger, other, stranger, "stranger", "correct horse").await.unwrap();
    patch("stranger", json!({ "disabled": true })).await.problem(404, "not_found");
    assert_eq!(w.get("/api/users", &boss_cookie).await.as_array().unwrap().len(), 3);
    let audit = w.get("/api/audit?limit=1000", &boss_cookie).await;
    let by = |action: &str| {
        let rows = audit["rows"].as_array().unwrap().iter();
        rows.filter(|r| r["action"] == action && r["by"] == json!(boss)).count()
    };
    assert_eq!((by("user.add"), by("user.disable"), by("user.enable")), (1, 1, 1));
}
