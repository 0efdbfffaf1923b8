//! Routes under test: the whole router, a real ledger and storage, a clock that moves when told.

mod appraisals;
mod dashboard;
mod desk;
mod files;
mod job;
mod live;
mod oidc;
mod openapi;
mod print;
mod records;
mod roles;
mod session;
mod sync_state;
mod webhooks;

use crate::ledger::{Ledger, News};
use crate::{App, Config, auth};
use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use base64::Engine as _;
use ed25519_dalek::{Signer as _, SigningKey};
use http_body_util::BodyExt as _;
use onsite_core::domain::{Kind, Millis, Role, StaffId, TenantId};
use onsite_core::env::{Env, SeededEnv};
use onsite_core::sync::protocol::{EnrolAnswer, SyncRequest};
use serde_json::{Value, json};
use sha2::Digest as _;
use std::sync::Arc;
use tower::ServiceExt as _;

struct World {
    app: Arc<App>,
    env: Arc<SeededEnv>,
    router: Router,
    _dir: tempfile::TempDir,
    tenant: TenantId,
}

/// An answer, read whole.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {:?}", self.body))
    }
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
    /// That it is a problem of this status and code.
    #[track_caller]
    fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.header("content-type"), "application/problem+json", "{} {:?}", self.status, self.body);
        let body = self.json();
        assert_eq!((self.status, body["code"].as_str().unwrap()), (status, code), "{body}");
        assert_eq!(body["status"], status);
        assert!(!body["detail"].as_str().unwrap().is_empty());
        body
    }
    #[track_caller]
    fn good(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self
    }
}

fn config(dir: &std::path::Path) -> Config {
    let mut config = Config { data: dir.join("data"), ..Config::default() };
    config.limits.photo_bytes = 1 << 20;
    config.limits.body_bytes = 64 << 10;
    config
}

impl World {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path());
        change(&mut config);
        let env = Arc::new(SeededEnv::new(7, Millis(1_763_942_400_000)));
        std::fs::create_dir_all(&config.data).unwrap();
        let storage = crate::open_storage(&config.database_path()).unwrap();
        let ledger = Ledger::new(storage, Arc::clone(&env) as Arc<dyn Env>);
        let app = App::new(config, ledger).unwrap();
        let tenant = app.ledger.create_tenant("恒达机械").await.unwrap().id;
        let router = super::router(Arc::clone(&app));
        Self { app, env, router, _dir: dir, tenant }
    }

    /// The same data, another process.
    fn restarted(&self) -> Self {
        let app = App::new(self.app.config.clone(), self.app.ledger.clone()).unwrap();
        let router = super::router(Arc::clone(&app));
        Self { app, env: Arc::clone(&self.env), router, _dir: tempfile::tempdir().unwrap(), tenant: self.tenant }
    }

    /// As if the connection came from this machine.
    async fn local(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::empty()).unwrap();
        let from = std::net::SocketAddr::from(([127, 0, 0, 1], 4000));
        request.extensions_mut().insert(axum::extract::ConnectInfo(from));
        self.send(request).await
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body: body.collect().await.unwrap().to_bytes() }
    }

    async fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("host", "127.0.0.1:8080");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    async fn post(&self, path: &str, headers: &[(&str, &str)], body: Value) -> Answer {
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        self.call("POST", path, &all, body.to_string()).await
    }

    /// Somebody of a company.
    async fn staff(&self, tenant: TenantId, name: &str, roles: &[Role]) -> StaffId {
        let roles = roles.iter().copied().collect();
        crate::office::add_staff(&self.app.ledger, tenant, name, "", "", roles).await.unwrap()
    }

    async fn code(&self, staff: StaffId) -> auth::DeviceCode {
        auth::device_code(&self.app.ledger, self.tenant, staff, staff, "https://x", 600).await.unwrap()
    }

    async fn enrol(&self, code: &str, key: &SigningKey) -> Answer {
        let body = json!({ "code": code, "public_key": key.verifying_key().to_bytes(), "alg": "ed25519", "name": "小米", "app": "cli 0.1" });
        self.post("/v1/enrol", &[], body).await
    }

    async fn token_for(&self, who: &EnrolAnswer, key: &SigningKey) -> Answer {
        let nonce = self.post("/v1/token/challenge", &[], json!({ "device": who.device })).await.good(200).json();
        let nonce = nonce["nonce"].as_str().unwrap().to_owned();
        let signature = auth::hex(&key.sign(&auth::token_message(who.device, &nonce)).to_bytes());
        self.post("/v1/token", &[], json!({ "device": who.device, "nonce": nonce, "signature": signature })).await
    }

    /// A technician's phone with a token.
    async fn phone(&self, seed: u8) -> (EnrolAnswer, SigningKey, String) {
        self.phone_of(self.tenant, seed).await
    }

    async fn phone_of(&self, tenant: TenantId, seed: u8) -> (EnrolAnswer, SigningKey, String) {
        let staff = self.staff(tenant, "张三", &[Role::Technician]).await;
        let code = auth::device_code(&self.app.ledger, tenant, staff, staff, "https://x", 600).await.unwrap();
        let key = SigningKey::from_bytes(&[seed; 32]);
        let who: EnrolAnswer = serde_json::from_value(self.enrol(&code.code, &key).await.good(200).json()).unwrap();
        let token = self.token_for(&who, &key).await.good(200).json();
        (who, key, format!("Bearer {}", token["token"].as_str().unwrap()))
    }

    async fn office(&self, login: &str, roles: &[Role]) -> StaffId {
        let id = self.staff(self.tenant, login, roles).await;
        auth::set_password(&self.app.ledger, self.tenant, id, login, "correct horse").await.unwrap();
        id
    }

    async fn sign_in(&self, login: &str, password: &str) -> Answer {
        self.post("/api/session", &[], json!({ "login": login, "password": password })).await
    }

    async fn cookie(&self, login: &str) -> String {
        let answer = self.sign_in(login, "correct horse").await.good(200);
        answer.header("set-cookie").split(';').next().unwrap().to_owned()
    }
}

// ---- enrolment and tokens ----

#[tokio::test]
async fn a_code_serves_one_key_once_and_a_lost_answer_can_be_asked_again() {
    let w = World::new().await;
    let staff = w.staff(w.tenant, "李四", &[Role::Technician]).await;
    let code = w.code(staff).await;
    let (mine, other) = (SigningKey::from_bytes(&[1; 32]), SigningKey::from_bytes(&[2; 32]));
    assert!(code.url.ends_with(&code.code) && code.code.len() == 26 + 5);
    let first = w.enrol(&code.code, &mine).await.good(200).json();
    assert_eq!((&first["company"], &first["roles"][0]), (&json!("恒达机械"), &json!("technician")));
    assert_eq!(w.enrol(&code.url, &mine).await.good(200).json(), first, "the same key gets the same answer");
    w.enrol(&code.code, &other).await.problem(400, "wrong_code");
    w.enrol(&code.short_code, &other).await.problem(400, "wrong_code");
    assert_eq!(w.app.ledger.storage().devices(w.tenant).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_short_code_is_typed_loosely_and_dies_after_five_tries() {
    let w = World::new().await;
    let staff = w.staff(w.tenant, "李四", &[Role::Technician]).await;
    let key = SigningKey::from_bytes(&[1; 32]);
    let code = w.code(staff).await;
    let typed = code.short_code.to_lowercase().replace('-', " ").replace('0', "o").replace('1', "l");
    w.enrol(&typed, &key).await.good(200);
    let code = w.code(staff).await;
    let last = if code.short_code.ends_with('7') { '8' } else { '7' };
    let wrong = format!("{}{last}", &code.short_code[..code.short_code.len() - 1]);
    for _ in 0..5 {
        w.enrol(&wrong, &key).await.problem(400, "wrong_code");
    }
    w.enrol(&code.short_code, &key).await.problem(400, "wrong_code");
    // The one that cannot be guessed still serves.
    w.enrol(&code.code, &key).await.good(200);
}

#[tokio::test]
async fn bad_enrolments_say_what_is_wrong() {
    let w = World::new().await;
    let staff = w.staff(w.tenant, "李四", &[Role::Technician]).await;
    let code = w.code(staff).await;
    let body =
        |key: Vec<u8>, alg: &str| json!({ "code": code.code, "public_key": key, "alg": alg, "name": "", "app": "" });
    let good = SigningKey::from_bytes(&[1; 32]).verifying_key().to_bytes().to_vec();
    assert_eq!(
        w.post("/v1/enrol", &[], body(vec![1; 31], "ed25519")).await.problem(400, "bad_key")["field"],
        "public_key"
    );
    w.post("/v1/enrol", &[], body(vec![0; 32], "ed25519")).await.problem(400, "bad_key");
    assert_eq!(w.post("/v1/enrol", &[], body(good, "rsa")).await.problem(400, "bad_alg")["field"], "alg");
    w.post("/v1/enrol", &[], json!({ "code": 3 })).await.problem(400, "bad_body");
    w.call("POST", "/v1/enrol", &[("content-type", "text/plain")], "x").await.problem(415, "bad_content_type");
    w.env.advance(600_001);
    w.enrol(&code.code, &SigningKey::from_bytes(&[1; 32])).await.problem(400, "wrong_code");
    let nobody = StaffId(w.env.new_id());
    assert!(auth::device_code(&w.app.ledger, w.tenant, nobody, nobody, "https://x", 600).await.is_err());
    // Who made the codes is in the audit chain, and nothing of one that was not made.
    let made = w.app.ledger.storage().audit_log(w.tenant, 0, 1000).await.unwrap();
    let made: Vec<_> = made.iter().filter(|row| row.entry.contains("\"device.code\"")).collect();
    assert!(!made.is_empty() && !made.iter().any(|row| row.entry.contains(&nobody.to_string())));
}

#[tokio::test]
async fn enrolment_is_limited_by_address() {
    let w = World::with(|c| c.limits.login_tries_per_minute = 3).await;
    let key = SigningKey::from_bytes(&[1; 32]);
    for _ in 0..3 {
        w.enrol("AAAA-AAAA", &key).await.problem(400, "wrong_code");
    }
    let busy = w.enrol("AAAA-AAAA", &key).await;
    busy.problem(429, "busy");
    assert!(busy.header("retry-after").parse::<u64>().unwrap() >= 1);
    w.env.advance(60_000);
    w.enrol("AAAA-AAAA", &key).await.problem(400, "wrong_code");
}

#[tokio::test]
async fn a_nonce_serves_once_and_only_its_own_device() {
    let w = World::new().await;
    let (who, key, _) = w.phone(1).await;
    let (other, other_key, _) = w.phone(2).await;
    let nonce = w.post("/v1/token/challenge", &[], json!({ "device": who.device })).await.good(200).json();
    let nonce = nonce["nonce"].as_str().unwrap().to_owned();
    let ask = |device, signature: String| json!({ "device": device, "nonce": nonce, "signature": signature });
    let sign = |key: &SigningKey, device| auth::hex(&key.sign(&auth::token_message(device, &nonce)).to_bytes());
    w.post("/v1/token", &[], ask(other.device, sign(&other_key, other.device))).await.problem(401, "unauthorized");
    // Written otherwise it is another, which nobody gave.
    let loud = nonce.to_uppercase();
    let signature = auth::hex(&key.sign(&auth::token_message(who.device, &loud)).to_bytes());
    let body = json!({ "device": who.device, "nonce": loud, "signature": signature });
    w.post("/v1/token", &[], body).await.problem(401, "unauthorized");
    // Once, and no second time.
    w.post("/v1/token", &[], ask(who.device, sign(&key, who.device))).await.good(200);
    w.post("/v1/token", &[], ask(who.device, sign(&key, who.device))).await.problem(401, "unauthorized");
    // A wrong signature.
    let nonce = w.post("/v1/token/challenge", &[], json!({ "device": who.device })).await.json();
    let body = json!({ "device": who.device, "nonce": nonce["nonce"], "signature": "00".repeat(64) });
    w.post("/v1/token", &[], body).await.problem(401, "unauthorized");
    // A device nobody knows gets a nonce like any other.
    w.post("/v1/token/challenge", &[], json!({ "device": uuid::Uuid::nil() })).await.good(200);
    // Too late.
    let nonce = w.post("/v1/token/challenge", &[], json!({ "device": who.device })).await.json();
    w.env.advance(120_001);
    let text = nonce["nonce"].as_str().unwrap();
    let signature = auth::hex(&key.sign(&auth::token_message(who.device, text)).to_bytes());
    let body = json!({ "device": who.device, "nonce": text, "signature": signature });
    w.post("/v1/token", &[], body).await.problem(401, "unauthorized");
}

#[tokio::test]
async fn tokens_end_and_a_revoked_device_is_told_to_wipe() {
    let w = World::new().await;
    let (who, key, token) = w.phone(1).await;
    let path = format!("/v1/blobs/{}", "0".repeat(64));
    let get = |token: String| {
        let (w, path) = (&w, path.clone());
        async move { w.call("GET", &path, &[("authorization", token.as_str())], "").await }
    };
    get(token.clone()).await.problem(404, "not_found");
    get("Bearer 00".into()).await.problem(401, "unauthorized");
    w.env.advance(900_001);
    get(token).await.problem(401, "unauthorized");
    let fresh = w.token_for(&who, &key).await.good(200).json();
    let fresh = format!("Bearer {}", fresh["token"].as_str().unwrap());
    get(fresh.clone()).await.problem(404, "not_found");
    auth::revoke(&w.app.ledger, w.tenant, who.staff, who.device).await.unwrap();
    assert_eq!(get(fresh).await.problem(403, "device_revoked")["orders"], json!(["wipe"]));
    assert_eq!(w.token_for(&who, &key).await.problem(403, "device_revoked")["orders"], json!(["wipe"]));
}

#[tokio::test]
async fn requests_are_limited_by_device() {
    let w = World::with(|c| c.limits.device_requests_per_minute = 2).await;
    let (_, _, token) = w.phone(1).await;
    let path = format!("/v1/blobs/{}", "0".repeat(64));
    for _ in 0..2 {
        w.call("GET", &path, &[("authorization", &token)], "").await.problem(404, "not_found");
    }
    w.call("GET", &path, &[("authorization", &token)], "").await.problem(429, "busy");
}

// ---- office sign-in ----

#[tokio::test]
async fn signing_in_says_the_same_of_unknown_and_wrong_and_locks() {
    let w = World::new().await;
    w.office("wang", &[Role::Clerk]).await;
    w.office("zhang", &[Role::Technician]).await;
    let unknown = w.sign_in("nobody", "correct horse").await.problem(401, "unauthorized");
    assert_eq!(w.sign_in("wang", "wrong").await.problem(401, "unauthorized"), unknown);
    assert_eq!(w.sign_in("zhang", "correct horse").await.problem(401, "unauthorized"), unknown, "no office role");
    assert_eq!(w.sign_in("wang", &"x".repeat(5000)).await.problem(401, "unauthorized"), unknown);
    w.sign_in("WANG", "correct horse").await.good(200);
    for name in ["wang", "nobody2"] {
        for _ in 0..5 {
            w.sign_in(name, "wrong").await.problem(401, "unauthorized");
        }
        let locked = w.sign_in(name, "correct horse").await;
        locked.problem(429, "busy");
        assert_eq!(locked.header("retry-after"), "900");
    }
    w.env.advance(900_001);
    w.sign_in("wang", "correct horse").await.good(200);
}

#[tokio::test]
async fn the_session_cookie_is_strict_and_ends() {
    let w = World::new().await;
    w.office("wang", &[Role::Clerk]).await;
    let answer = w.sign_in("wang", "correct horse").await.good(200);
    let cookie = answer.header("set-cookie").to_owned();
    assert!(
        cookie.starts_with("__Host-onsite=")
            && cookie.ends_with("Path=/; HttpOnly; SameSite=Strict; Max-Age=43200; Secure"),
        "{cookie}"
    );
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let get = async || w.call("GET", "/api/work-orders", &[("cookie", cookie.as_str())], "").await;
    get().await.good(200);
    for _ in 0..24 {
        w.env.advance(29 * 60_000);
        get().await.good(200);
    }
    // Twelve hours in all, however busy.
    w.env.advance(29 * 60_000);
    get().await.problem(401, "unauthorized");
    // Half an hour idle.
    let cookie = w.cookie("wang").await;
    w.env.advance(30 * 60_000 + 1);
    w.call("GET", "/api/work-orders", &[("cookie", &cookie)], "").await.problem(401, "unauthorized");
    // Signing out ends it at once.
    let cookie = w.cookie("wang").await;
    w.call("DELETE", "/api/session", &[("cookie", &cookie)], "").await.good(204);
    w.call("GET", "/api/work-orders", &[("cookie", &cookie)], "").await.problem(401, "unauthorized");
}

#[tokio::test]
async fn another_site_cannot_act_with_our_cookie() {
    let w = World::new().await;
    w.office("admin", &[Role::Admin]).await;
    let cookie = w.cookie("admin").await;
    let staff = w.staff(w.tenant, "张三", &[Role::Technician]).await;
    let ask = |extra: (&'static str, &'static str)| {
        let (w, cookie) = (&w, cookie.clone());
        async move { w.post("/api/device-codes", &[("cookie", cookie.as_str()), extra], json!({ "staff": staff })).await }
    };
    ask(("sec-fetch-site", "cross-site")).await.problem(403, "forbidden");
    ask(("sec-fetch-site", "same-site")).await.problem(403, "forbidden");
    ask(("origin", "https://evil.example")).await.problem(403, "forbidden");
    ask(("origin", "null")).await.problem(403, "forbidden");
    ask(("origin", "http://127.0.0.1:8080")).await.good(200);
    ask(("sec-fetch-site", "same-origin")).await.good(200);
    let login = json!({ "login": "admin", "password": "correct horse" });
    w.post("/api/session", &[("sec-fetch-site", "cross-site")], login).await.problem(403, "forbidden");
}

#[tokio::test]
async fn roles_are_checked() {
    let w = World::new().await;
    w.office("wang", &[Role::Clerk]).await;
    w.office("boss", &[Role::ServiceManager]).await;
    let (who, _, token) = w.phone(1).await;
    let (clerk, boss) = (w.cookie("wang").await, w.cookie("boss").await);
    let revoke = format!("/api/devices/{}/revoke", who.device);
    w.post(&revoke, &[("cookie", &clerk)], json!({})).await.problem(403, "forbidden");
    w.post("/api/device-codes", &[("cookie", &clerk)], json!({ "staff": who.staff })).await.problem(403, "forbidden");
    w.post(&revoke, &[("authorization", &token)], json!({})).await.problem(401, "unauthorized");
    w.post("/api/devices/nonsense/revoke", &[("cookie", &boss)], json!({})).await.problem(404, "not_found");
    w.post(&revoke, &[("cookie", &boss)], json!({})).await.good(204);
    w.call("GET", "/v1/events", &[("authorization", &token)], "").await.problem(403, "device_revoked");
}

// ---- sync bodies ----

#[tokio::test]
async fn bad_sync_bodies_are_refused_by_name() {
    let w = World::new().await;
    let (_, _, token) = w.phone(1).await;
    let send = |kind: &'static str, body: Vec<u8>| {
        let (w, token) = (&w, token.clone());
        async move { w.call("POST", "/v1/sync", &[("authorization", token.as_str()), ("content-type", kind)], body).await }
    };
    w.call("POST", "/v1/sync", &[("content-type", "application/cbor")], "").await.problem(401, "unauthorized");
    send("application/json", b"{}".to_vec()).await.problem(415, "bad_content_type");
    send("application/cbor", vec![]).await.problem(400, "bad_body");
    send("application/cbor", vec![0xff; 9]).await.problem(400, "bad_body");
    let mut good = minicbor_serde::to_vec(&SyncRequest { v: 1, ..Default::default() }).unwrap();
    good.push(0);
    send("application/cbor", good).await.problem(400, "bad_body");
    let newer = minicbor_serde::to_vec(&SyncRequest { v: 99, ..Default::default() }).unwrap();
    assert_eq!(send("application/cbor", newer).await.problem(400, "unsupported_version")["field"], "v");
    send("application/cbor", vec![0; (64 << 10) + 1]).await.problem(413, "too_large");
    // Deeply nested, and lengths that lie.
    send("application/cbor", vec![0x81; 60_000]).await.problem(400, "bad_body");
    send("application/cbor", vec![0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).await.problem(400, "bad_body");
}

#[tokio::test]
async fn compressed_bodies_are_inflated_up_to_the_limit() {
    let w = World::new().await;
    let gzip = |bytes: &[u8]| {
        let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut e, bytes).unwrap();
        e.finish().unwrap()
    };
    let (_, _, token) = w.phone(1).await;
    let headers =
        [("authorization", token.as_str()), ("content-type", "application/cbor"), ("content-encoding", "gzip")];
    w.call("POST", "/v1/sync", &headers, gzip(&vec![0; 50 << 20])).await.problem(413, "too_large");
    let newer = minicbor_serde::to_vec(&SyncRequest { v: 99, ..Default::default() }).unwrap();
    w.call("POST", "/v1/sync", &headers, gzip(&newer)).await.problem(400, "unsupported_version");
    w.call("POST", "/v1/sync", &headers, "not gzip").await.problem(400, "bad_request");
    let odd = [("authorization", token.as_str()), ("content-type", "application/cbor"), ("content-encoding", "br")];
    w.call("POST", "/v1/sync", &odd, "x").await.problem(415, "bad_content_type");
}

// ---- tus ----

const TUS: (&str, &str) = ("tus-resumable", "1.0.0");
const OCTETS: (&str, &str) = ("content-type", "application/offset+octet-stream");

fn b64(bytes: impl AsRef<[u8]>) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn sha(bytes: &[u8]) -> String {
    auth::hex(&sha2::Sha256::digest(bytes))
}

impl World {
    async fn begin(&self, token: &str, length: usize, hash: &str) -> Answer {
        let metadata = format!("filename {},sha256 {},empty", b64("故障.jpg"), b64(hash));
        let length = length.to_string();
        let headers = [TUS, ("authorization", token), ("upload-length", &length), ("upload-metadata", &metadata)];
        self.call("POST", "/v1/blobs", &headers, "").await
    }
    async fn patch(&self, token: &str, at: &str, offset: u64, body: impl Into<Body>) -> Answer {
        let offset = offset.to_string();
        self.call("PATCH", at, &[TUS, OCTETS, ("authorization", token), ("upload-offset", &offset)], body).await
    }
    async fn offset(&self, token: &str, at: &str) -> u64 {
        let head = self.call("HEAD", at, &[TUS, ("authorization", token)], "").await.good(200);
        head.header("upload-offset").parse().unwrap()
    }
}

#[tokio::test]
async fn a_part_refused_early_is_read_to_its_end_so_that_the_answer_arrives() {
    let w = World::new().await;
    let (_, _, token) = w.phone(1).await;
    let made = w.begin(&token, 100_000, &sha(b"photo")).await.good(201);
    let at = made.header("location").to_owned();
    let read = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = Arc::clone(&read);
    let parts = (0..20).map(move |_| {
        counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Ok::<_, std::io::Error>(vec![0; 1000])
    });
    let body = Body::from_stream(futures_util::stream::iter(parts));
    w.patch(&token, &at, 5, body).await.problem(409, "bad_offset");
    assert_eq!(read.load(std::sync::atomic::Ordering::SeqCst), 20);
}

#[tokio::test]
async fn an_upload_in_parts_across_a_restart_and_its_download() {
    let w = World::new().await;
    let (_, _, token) = w.phone(1).await;
    let photo: Vec<u8> = (0..100_000u32).map(|n| n.wrapping_mul(n) as u8).collect();
    let hash = sha(&photo);
    let made = w.begin(&token, photo.len(), &hash).await.good(201);
    let at = made.header("location").to_owned();
    assert_eq!(made.header("tus-resumable"), "1.0.0");
    assert_eq!(w.offset(&token, &at).await, 0);
    let part = w.patch(&token, &at, 0, photo[..40_000].to_vec()).await.good(204);
    assert_eq!(part.header("upload-offset"), "40000");
    w.patch(&token, &at, 0, photo.clone()).await.problem(409, "bad_offset");
    let blob = format!("/v1/blobs/{hash}");
    let bearer = ("authorization", token.as_str());
    w.call("GET", &blob, &[bearer], "").await.problem(404, "not_found");

    let again = w.restarted();
    let (_first, w) = (w, again);
    let head = w.call("HEAD", &at, &[TUS, bearer], "").await.good(200);
    assert_eq!(
        (head.header("upload-offset"), head.header("upload-length"), head.header("cache-control")),
        ("40000", "100000", "no-store")
    );
    assert!(head.header("upload-metadata").contains(&b64("故障.jpg")));
    let done = w.patch(&token, &at, 40_000, photo[40_000..].to_vec()).await.good(204);
    assert_eq!(done.header("upload-offset"), "100000");
    assert_eq!(w.offset(&token, &at).await, 100_000, "who lost the answer asks again");

    let got = w.call("GET", &blob, &[bearer], "").await.good(200);
    assert_eq!(got.body, photo);
    let etag = format!("\"{hash}\"");
    assert_eq!(
        (got.header("etag"), got.header("content-length"), got.header("accept-ranges")),
        (etag.as_str(), "100000", "bytes")
    );
    assert!(got.header("cache-control").contains("immutable") && got.header("content-encoding").is_empty());
    let part =
        w.call("GET", &blob, &[bearer, ("range", "bytes=99990-"), ("accept-encoding", "gzip")], "").await.good(206);
    assert_eq!((part.header("content-range"), &part.body[..]), ("bytes 99990-99999/100000", &photo[99_990..]));
    let part = w.call("GET", &blob, &[bearer, ("range", "bytes=-3")], "").await.good(206);
    assert_eq!(&part.body[..], &photo[99_997..]);
    assert_eq!(&w.call("GET", &blob, &[bearer, ("range", "bytes=0-0")], "").await.good(206).body[..], &photo[..1]);
    let beyond = w.call("GET", &blob, &[bearer, ("range", "bytes=100000-")], "").await;
    beyond.problem(416, "bad_range");
    assert_eq!(beyond.header("content-range"), "bytes */100000");
    w.call("GET", &blob, &[bearer, ("range", "bytes=0-3"), ("if-range", "\"other\"")], "").await.good(200);
    w.call("GET", &blob, &[bearer, ("if-none-match", &etag)], "").await.good(304);
    let head = w.call("HEAD", &blob, &[bearer], "").await.good(200);
    assert!(head.body.is_empty() && head.header("content-length") == "100000");
    // The office sees it; another company does not.
    w.office("wang", &[Role::Clerk]).await;
    let cookie = w.cookie("wang").await;
    w.call("GET", &blob, &[("cookie", &cookie)], "").await.good(200);
    let other = w.app.ledger.create_tenant("别家").await.unwrap().id;
    let (_, _, foreign) = w.phone_of(other, 9).await;
    w.call("GET", &blob, &[("authorization", &foreign)], "").await.problem(404, "not_found");
    w.call("HEAD", &at, &[TUS, ("authorization", &foreign)], "").await.good(404);
}

#[tokio::test]
async fn what_came_before_a_cut_is_kept() {
    let w = World::new().await;
    let (_, _, token) = w.phone(1).await;
    let photo = vec![7u8; 9000];
    let at = w.begin(&token, 9000, &sha(&photo)).await.good(201).header("location").to_owned();
    let cut = futures_util::stream::iter([
        Ok(Bytes::from(photo[..4000].to_vec())),
        Ok(Bytes::from(photo[4000..5000].to_vec())),
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)),
    ]);
    w.patch(&token, &at, 0, Body::from_stream(cut)).await.problem(400, "cut_short");
    assert_eq!(w.offset(&token, &at).await, 5000);
    w.patch(&token, &at, 5000, photo[5000..].to_vec()).await.good(204);
    w.call("GET", &format!("/v1/blobs/{}", sha(&photo)), &[("authorization", &token)], "").await.good(200);
}

#[tokio::test]
async fn who_may_only_post_says_what_is_meant() {
    let w = World::new().await;
    let (_, _, token) = w.phone(1).await;
    let bearer = ("authorization", token.as_str());
    let at = w.begin(&token, 5, &sha(b"hello")).await.good(201).header("location").to_owned();
    let post = async |meant: &str, body: &'static str| {
        let headers = [TUS, OCTETS, bearer, ("upload-offset", "0"), ("x-http-method-override", meant)];
        w.call("POST", &at, &headers, body).await
    };
    post("GET", "").await.problem(405, "method_not_allowed");
    post("PATCH", "hello").await.good(204);
    w.call("GET", &format!("/v1/blobs/{}", sha(b"hello")), &[bearer], "").await.good(200);
    post("DELETE", "").await.good(204);
    w.call("HEAD", &at, &[TUS, bearer], "").await.good(404);
}

#[tokio::test]
async fn checksums_hashes_and_lengths_are_held_to() {
    let w = World::new().await;
    let (_, _, token) = w.phone(1).await;
    let photo = b"hello world".to_vec();
    let at = w.begin(&token, 11, &sha(&photo)).await.good(201).header("location").to_owned();
    let with = |sum: String, body: &'static [u8]| {
        let (w, token, at) = (&w, token.clone(), at.clone());
        async move {
            let headers =
                [TUS, OCTETS, ("authorization", token.as_str()), ("upload-offset", "0"), ("upload-checksum", &sum)];
            w.call("PATCH", &at, &headers, body).await
        }
    };
    with(format!("sha1 {}", b64([0; 20])), b"hello").await.problem(460, "checksum_mismatch");
    with("md5 AAAA".into(), b"hello").await.problem(400, "bad_checksum");
    with("sha1 ???".into(), b"hello").await.problem(400, "bad_checksum");
    assert_eq!(w.offset(&token, &at).await, 0, "a wrong chunk is dropped");
    with(format!("sha1 {}", b64(sha1::Sha1::digest(b"hello"))), b"hello").await.good(204);
    w.patch(&token, &at, 5, " world and more").await.problem(413, "too_large");
    w.patch(&token, &at, 5, " wOrld").await.problem(400, "blob_mismatch");
    w.call("HEAD", &at, &[TUS, ("authorization", &token)], "").await.good(404);
    let at = w.begin(&token, 0, &sha(b"")).await.good(201).header("location").to_owned();
    assert_eq!(w.offset(&token, &at).await, 0);
    w.call("GET", &format!("/v1/blobs/{}", sha(b"")), &[("authorization", &token)], "").await.good(200);
}

#[tokio::test]
async fn bad_uploads_say_what_is_wrong() {
    let w = World::with(|c| c.limits.upload_quota_bytes = 1 << 20).await;
    let (_, _, token) = w.phone(1).await;
    let bearer = ("authorization", token.as_str());
    let options = w.call("OPTIONS", "/v1/blobs", &[], "").await.good(204);
    assert_eq!(options.header("tus-version"), "1.0.0");
    assert_eq!(options.header("tus-extension"), "creation,checksum,termination");
    assert_eq!(options.header("tus-max-size"), "1048576");
    let old = w.call("POST", "/v1/blobs", &[("tus-resumable", "0.2.2"), bearer], "").await;
    old.problem(412, "tus_version");
    assert_eq!(old.header("tus-version"), "1.0.0");
    w.begin("Bearer x", 1, &sha(b"")).await.problem(401, "unauthorized");
    w.begin(&token, (1 << 20) + 1, &sha(b"")).await.problem(413, "too_large");
    w.begin(&token, 5, "not a hash").await.problem(400, "bad_metadata");
    let length = ("upload-length", "5");
    w.call("POST", "/v1/blobs", &[TUS, bearer, length], "").await.problem(400, "bad_metadata");
    w.call("POST", "/v1/blobs", &[TUS, bearer, ("upload-length", "-1")], "").await.problem(400, "bad_header");
    w.call("POST", "/v1/blobs", &[TUS, bearer, ("upload-defer-length", "1")], "").await.problem(400, "bad_header");
    let at = w.begin(&token, 600_000, &sha(b"x")).await.good(201).header("location").to_owned();
    w.begin(&token, 600_000, &sha(b"y")).await.problem(409, "upload_quota");
    w.call("PATCH", &at, &[TUS, bearer, ("upload-offset", "0"), ("content-type", "text/plain")], "x")
        .await
        .problem(415, "bad_content_type");
    w.call("PATCH", &at, &[TUS, bearer, OCTETS], "x").await.problem(400, "bad_header");
    let (_, _, other) = w.phone(2).await;
    w.patch(&other, &at, 0, "x").await.problem(404, "not_found");
    w.patch(&token, "/v1/blobs/uploads/../../etc", 0, "x").await.good(404);
    w.patch(&token, "/v1/blobs/uploads/nonsense", 0, "x").await.problem(404, "not_found");
    w.call("DELETE", &at, &[TUS, bearer], "").await.good(204);
    w.call("DELETE", &at, &[TUS, bearer], "").await.problem(404, "not_found");
    w.begin(&token, 600_000, &sha(b"y")).await.good(201);
    w.call("GET", "/v1/blobs/uploads/x", &[TUS, bearer], "").await.problem(405, "method_not_allowed");
}

#[tokio::test]
async fn a_full_disk_and_a_locked_database_have_their_codes() {
    use axum::response::IntoResponse as _;
    for (error, status, code) in [
        (crate::Error::DiskFull, 507, "disk_full"),
        (crate::Error::Locked, 503, "database_locked"),
        (crate::Error::Damaged("x".into()), 500, "database_damaged"),
    ] {
        let response = error.into_response();
        assert_eq!(response.status().as_u16(), status);
        let body: Value = serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap();
        assert_eq!(body["code"], code);
    }
}

#[tokio::test]
async fn old_uploads_are_swept() {
    let w = World::new().await;
    let (_, _, token) = w.phone(1).await;
    let at = w.begin(&token, 10, &sha(b"x")).await.good(201).header("location").to_owned();
    let now = Millis(jiff::Timestamp::now().as_millisecond());
    assert_eq!(w.app.blobs.sweep(now).await.unwrap(), 0);
    assert_eq!(w.app.blobs.sweep(now.plus(169 * 3_600_000)).await.unwrap(), 1);
    w.call("HEAD", &at, &[TUS, ("authorization", &token)], "").await.good(404);
}

// ---- around ----

#[tokio::test]
async fn every_answer_has_its_headers_and_errors_one_form() {
    let w = World::new().await;
    let missing = w.call("GET", "/nothing", &[], "").await;
    missing.problem(404, "not_found");
    let phone = w.call("DELETE", "/v1/sync", &[], "").await;
    phone.problem(405, "method_not_allowed");
    assert_eq!(phone.header("x-content-type-options"), "nosniff");
    assert!(!phone.headers.contains_key("content-security-policy"));
    w.call("GET", "/api/work-orders", &[], "").await.problem(401, "unauthorized");
    w.office("wang", &[Role::Clerk]).await;
    let cookie = w.cookie("wang").await;
    w.call("GET", "/api/work-orders?person=zhang", &[("cookie", &cookie)], "").await.problem(400, "bad_query");
    w.post("/api/commands", &[("cookie", &cookie)], json!({ "do": "fly" })).await.problem(400, "bad_body");
    let mut headers: Vec<_> = missing.headers.iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect();
    headers.retain(|h| !h.starts_with("x-request-id") && !h.starts_with("content-length"));
    headers.sort();
    insta::assert_snapshot!(headers.join("\n"), @r"
    cache-control: no-store
    content-security-policy: default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'
    content-type: application/problem+json
    cross-origin-opener-policy: same-origin
    cross-origin-resource-policy: same-origin
    permissions-policy: camera=(), geolocation=(), microphone=()
    referrer-policy: same-origin
    x-content-type-options: nosniff
    x-frame-options: DENY
    ");
    assert_eq!(missing.header("x-request-id").len(), 36);
}

#[tokio::test]
async fn a_panic_is_a_problem_and_the_server_goes_on() {
    let w = World::with(|c| c.limits.request_seconds = 1).await;
    async fn boom() {
        panic!("planted");
    }
    async fn hang() {
        std::future::pending::<()>().await;
    }
    let router: Router = Router::new()
        .route("/boom", axum::routing::get(boom))
        .route("/hang", axum::routing::get(hang))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&w.app), super::around))
        .with_state(());
    for (path, status) in [("/boom", 500), ("/hang", 503)] {
        let request = Request::builder().method(Method::GET).uri(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::from_u16(status).unwrap());
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }
}

#[tokio::test]
async fn figures_are_for_those_named() {
    crate::metrics::install();
    let w = World::with(|c| c.metrics.token = Some("secret".into())).await;
    w.call("GET", "/healthz", &[], "").await.good(200);
    w.call("GET", "/readyz", &[], "").await.good(200);
    w.call("GET", "/metrics", &[], "").await.problem(403, "forbidden");
    w.call("GET", "/metrics", &[("authorization", "Bearer wrong")], "").await.problem(403, "forbidden");
    w.local("/metrics", &[]).await.good(200);
    // A proxy nobody named passes strangers on from here.
    w.local("/metrics", &[("x-forwarded-for", "127.0.0.1")]).await.problem(403, "forbidden");
    let behind = World::with(|c| c.proxies = vec!["127.0.0.1".parse().unwrap()]).await;
    behind.local("/metrics", &[("x-forwarded-for", "127.0.0.1, 8.8.8.8")]).await.problem(403, "forbidden");
    behind.local("/metrics", &[("x-forwarded-for", "8.8.8.8, 127.0.0.1")]).await.good(200);
    let figures = w.call("GET", "/metrics", &[("authorization", "Bearer secret")], "").await.good(200);
    assert!(String::from_utf8_lossy(&figures.body).contains("onsite_requests_total"));
}

#[tokio::test]
async fn pokes_come_at_once_and_when_something_is_new() {
    let w = World::new().await;
    let (who, _, token) = w.phone(1).await;
    let request = Request::builder().uri("/v1/events").header("authorization", &token).body(Body::empty()).unwrap();
    let response = w.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    let mut body = response.into_body().into_data_stream();
    let mut next = async || {
        use futures_util::StreamExt as _;
        String::from_utf8_lossy(&body.next().await.unwrap().unwrap()).into_owned()
    };
    assert!(next().await.starts_with("event: poke"));
    w.app.ledger.hub().poke(w.tenant, 1, [StaffId(uuid::Uuid::from_u128(5))].into(), News::default());
    w.app.ledger.hub().poke(w.tenant, 2, [who.staff].into(), News::default());
    assert!(next().await.starts_with("event: poke"));
    auth::revoke(&w.app.ledger, w.tenant, who.staff, who.device).await.unwrap();
    let last = next().await;
    assert!(last.contains("event: end") && last.contains("device_revoked"), "{last}");
}

#[tokio::test]
async fn a_whole_server_in_this_process_starts_and_stops() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.listen = "127.0.0.1:0".parse().unwrap();
    let running = crate::serve(config).await.unwrap();
    assert_ne!(running.addr.port(), 0);
    let mut stream = tokio::net::TcpStream::connect(running.addr).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let addr = running.addr;
    running.shutdown().await.unwrap();
    assert!(tokio::net::TcpStream::connect(addr).await.is_err());
}

// ---- the office at work ----

#[tokio::test]
async fn commands_are_carried_out_and_what_they_made_is_printed() {
    let w = World::new().await;
    let admin = w.office("admin", &[Role::Admin, Role::Clerk, Role::ServiceManager]).await;
    let (who, _, _) = w.phone(1).await;
    let cookie = w.cookie("admin").await;
    let (customer, order) = (w.env.new_id(), w.env.new_id());
    let cookie = cookie.as_str();
    let run = async |command: Value| w.post("/api/commands", &[("cookie", cookie)], command).await;
    let put = json!({ "do": "put_customer", "id": customer, "name": "<b>宏远</b>纸塑", "code": "C1", "project_completed": null, "call_interval_days": null });
    run(put.clone()).await.good(200);
    let open = json!({ "do": "open_work_order", "id": order, "customer": customer, "equipment": null, "work_type": "repair", "request": null,
                       "follow_on_of": null, "service_description": "更换加热板", "arrival_deadline": null });
    run(open).await.good(200);
    run(json!({ "do": "assign", "id": order, "technicians": [who.staff], "reason": "" })).await.good(200);
    // A refusal names its field.
    let refused = run(json!({ "do": "cancel_work_order", "id": order, "reason": "" })).await;
    assert_eq!((refused.status, refused.json()["field"].as_str()), (422, Some("reason")));

    // A request stands on the board before it has a work order, in the flow chart's order.
    let request = json!({ "do": "report_repair", "id": w.env.new_id(), "customer": customer, "customer_name": "", "contact_name": "",
                          "contact_phone": "", "address": "", "equipment": null, "problem": "压力表不动", "reported": null });
    run(request).await.good(200);
    let board = w.get("/api/board", cookie).await;
    let stages: Vec<_> = board.as_array().unwrap().iter().map(|c| c["stage"].as_str().unwrap()).collect();
    assert_eq!(stages, ["reported", "planning"]);
    let form = w.call("GET", &format!("/api/work-orders/{order}/dispatch/print"), &[("cookie", cookie)], "").await;
    assert!(String::from_utf8_lossy(&form.good(200).body).contains("派遣单"));
    let list = w
        .call("GET", "/api/work-orders?search=%E5%8A%A0%E7%83%AD&limit=5", &[("cookie", cookie)], "")
        .await
        .good(200)
        .json();
    assert_eq!(list["rows"].as_array().unwrap().len(), 1, "{list}");
    let one = w.call("GET", &format!("/api/work-orders/{order}"), &[("cookie", cookie)], "").await.good(200).json();
    assert_eq!(one["entity"]["customer"], json!(customer));
    let devices = w.call("GET", "/api/devices", &[("cookie", cookie)], "").await.good(200).json();
    assert!(devices[0].get("public_key").is_none() && devices[0]["name"] == "小米");
    assert_eq!(w.get("/api/set-aside", cookie).await["rows"], json!([]));
    assert_eq!(w.get("/api/clashes", cookie).await, json!({ "rows": [], "next": null }));
    w.call("GET", "/api/documents?kind=nonsense", &[("cookie", cookie)], "").await.problem(400, "bad_kind");
    w.call("GET", "/api/documents?after=x", &[("cookie", cookie)], "").await.problem(400, "bad_after");
    w.post(&format!("/api/documents/{order}/seen"), &[("cookie", cookie)], json!({})).await.good(204);
    let _ = admin;
}

#[tokio::test]
async fn a_command_with_a_key_is_done_once() {
    let w = World::new().await;
    w.office("admin", &[Role::Admin]).await;
    let cookie = w.cookie("admin").await;
    let id = w.env.new_id();
    let command =
        json!({ "do": "put_staff", "id": id, "name": "李四", "code": "", "phone": "", "roles": ["technician"] });
    let headers = [("cookie", cookie.as_str()), ("idempotency-key", "k1")];
    let first = w.post("/api/commands", &headers, command.clone()).await.good(200).json();
    let again = w.post("/api/commands", &headers, command).await.good(200).json();
    assert_eq!(again["docs"], first["docs"]);
    let staff = w.call("GET", "/api/documents?kind=staff&search=%E6%9D%8E%E5%9B%9B", &[("cookie", &cookie)], "").await;
    assert_eq!(staff.good(200).json()["rows"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_sync_message_is_answered_in_kind() {
    let w = World::new().await;
    let (_, _, token) = w.phone(1).await;
    let headers = [("authorization", token.as_str()), ("content-type", "application/cbor")];
    let body = minicbor_serde::to_vec(&SyncRequest { v: 1, clock: w.env.now(), ..Default::default() }).unwrap();
    let answer = w.call("POST", "/v1/sync", &headers, body).await.good(200);
    assert_eq!(answer.header("content-type"), "application/cbor");
    let answer: onsite_core::sync::protocol::SyncAnswer = minicbor_serde::from_slice(&answer.body).unwrap();
    assert_eq!(answer.v, 1);
    assert!(answer.cursor.0.starts_with("v1."), "{:?}", answer.cursor);
    assert!(answer.docs.iter().any(|d| d.kind == Kind::Staff), "the staff goes to every phone");
}

#[tokio::test]
async fn large_answers_are_compressed_and_small_ones_are_not() {
    let w = World::new().await;
    let (_, _, token) = w.phone(1).await;
    for n in 0..30 {
        w.staff(w.tenant, &format!("员工 {n}"), &[Role::Technician]).await;
    }
    let headers =
        [("authorization", token.as_str()), ("content-type", "application/cbor"), ("accept-encoding", "gzip")];
    let ask = async |cursor: Option<onsite_core::sync::protocol::Cursor>| {
        let request = SyncRequest { v: 1, clock: w.env.now(), cursor, ..Default::default() };
        w.call("POST", "/v1/sync", &headers, minicbor_serde::to_vec(&request).unwrap()).await.good(200)
    };
    let packed = ask(None).await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    let mut plain = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed.body[..]), &mut plain).unwrap();
    let answer: onsite_core::sync::protocol::SyncAnswer = minicbor_serde::from_slice(&plain).unwrap();
    assert!(answer.docs.len() > 30 && packed.body.len() < plain.len());
    let quiet = ask(Some(answer.cursor)).await;
    assert_eq!((quiet.header("content-encoding"), quiet.body.len() < 200), ("", true));
}

#[tokio::test]
async fn a_backup_is_whole_and_a_restore_starts_a_new_epoch() {
    let w = World::new().await;
    let (_, _, token) = w.phone(1).await;
    let photo = vec![3u8; 5000];
    let at = w.begin(&token, photo.len(), &sha(&photo)).await.good(201).header("location").to_owned();
    w.patch(&token, &at, 0, photo.clone()).await.good(204);
    let to = w._dir.path().join("copy");
    let made = crate::keep::backup(&w.app.config, &w.app.ledger, &to).await.unwrap();
    assert_eq!((made.blobs, made.companies.len()), (Some(1), 1));
    let again = crate::keep::backup(&w.app.config, &w.app.ledger, &to).await.unwrap_err();
    assert_eq!(again.code(), "exists");
    let before = w.app.ledger.storage().tenant(w.tenant).await.unwrap().unwrap();

    let elsewhere = tempfile::tempdir().unwrap();
    let target = config(elsewhere.path());
    crate::keep::restore(&target, &to, false).await.unwrap();
    assert_eq!(crate::keep::restore(&target, &to, false).await.unwrap_err().code(), "exists");
    crate::keep::restore(&target, &to, true).await.unwrap();
    let ledger = crate::open(&target).await.unwrap();
    let after = ledger.storage().tenant(w.tenant).await.unwrap().unwrap();
    assert!(after.epoch != before.epoch && after.head == before.head && after.secret == before.secret);
    let app = App::new(target.clone(), ledger).unwrap();
    let hash: onsite_core::domain::Sha256 = sha(&photo).parse().unwrap();
    let body = app.blobs.read(w.tenant, hash, 0..5000).await.unwrap();
    assert_eq!(body.collect().await.unwrap().to_bytes(), photo);

    // A backup that was hurt is refused, and what is there stays.
    let database = to.join("onsite.sqlite");
    let mut bytes = std::fs::read(&database).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&database, bytes).unwrap();
    assert_eq!(crate::keep::restore(&target, &to, true).await.unwrap_err().code(), "database_damaged");
    assert!(crate::open(&target).await.is_ok());
    assert_eq!(crate::keep::restore(&target, elsewhere.path(), true).await.unwrap_err().code(), "bad_backup");
}

#[tokio::test]
async fn a_damaged_database_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    std::fs::create_dir_all(&config.data).unwrap();
    std::fs::write(config.database_path(), [7u8; 8192]).unwrap();
    assert_eq!(crate::open(&config).await.unwrap_err().code(), "database_damaged");
}
