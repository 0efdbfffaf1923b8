//! `/api/session/oidc…`: sign-in through an identity provider, a small real one.

use super::{Answer, World};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use axum::{Json, Router, routing::get, routing::post};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer as _, SigningKey};
use onsite_core::domain::Role;
use onsite_core::env::Env as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

const CLIENT: &str = "onsite office";
const SECRET: &str = "between us: 秘密";

/// A provider with two keys, and what it knows of the tries under way.
struct Provider {
    at: String,
    rsa: KeyPair,
    edwards: SigningKey,
    /// The next token: its header, and what its claims are.
    next: Mutex<(Value, Value)>,
    /// By code: the challenge and where the browser is sent back.
    codes: Mutex<HashMap<String, (String, String)>>,
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

impl Provider {
    async fn start() -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let provider = Arc::new(Self {
            at: format!("http://{}", listener.local_addr().unwrap()),
            rsa: KeyPair::generate(KeySize::Rsa2048).unwrap(),
            edwards: SigningKey::from_bytes(&[9; 32]),
            next: Mutex::default(),
            codes: Mutex::default(),
        });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(describe))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .with_state(Arc::clone(&provider));
        tokio::spawn(async move { axum::serve(listener, router).await });
        provider
    }

    /// As a browser that signs in there: answers the address it is sent back to.
    fn enter(&self, to: &str, header: Value, claims: Value) -> String {
        let (at, query) = to.split_once('?').unwrap();
        assert_eq!(at, format!("{}/authorize", self.at));
        let asked: HashMap<String, String> = serde_urlencoded::from_str(query).unwrap();
        assert_eq!((asked["response_type"].as_str(), asked["code_challenge_method"].as_str()), ("code", "S256"));
        assert_eq!((asked["client_id"].as_str(), asked["scope"].as_str()), (CLIENT, "openid email profile"));
        let code = format!("code of {}", asked["state"]);
        let back = (asked["code_challenge"].clone(), asked["redirect_uri"].clone());
        self.codes.lock().unwrap().insert(code.clone(), back);
        let mut whole = json!({ "nonce": asked["nonce"] });
        whole.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        *self.next.lock().unwrap() = (header, whole);
        let query = serde_urlencoded::to_string([("code", &code), ("state", &asked["state"])]).unwrap();
        format!("/api/session/oidc/callback?{query}")
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let said = format!("{}.{}", base64(header.to_string()), base64(claims.to_string()));
        let signature = match header["alg"].as_str().unwrap() {
            "RS256" => {
                let mut signature = vec![0; self.rsa.public_modulus_len()];
                self.rsa.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), said.as_bytes(), &mut signature).unwrap();
                signature
            }
            "EdDSA" => self.edwards.sign(said.as_bytes()).to_bytes().to_vec(),
            // With the public key as the secret: the old trick.
            "HS256" => {
                use hmac::{KeyInit as _, Mac as _};
                let key = self.edwards.verifying_key().to_bytes();
                let mut mac = hmac::Hmac::<Sha256>::new_from_slice(&key).unwrap();
                mac.update(said.as_bytes());
                mac.finalize().into_bytes().to_vec()
            }
            _ => Vec::new(),
        };
        format!("{said}.{}", base64(signature))
    }
}

async fn describe(State(p): State<Arc<Provider>>) -> Json<Value> {
    let at = &p.at;
    Json(json!({ "issuer": at, "authorization_endpoint": format!("{at}/authorize"),
                 "token_endpoint": format!("{at}/token"), "jwks_uri": format!("{at}/keys") }))
}

async fn keys(State(p): State<Arc<Provider>>) -> Json<Value> {
    let public = p.rsa.public_key();
    let (n, e) = (public.modulus().big_endian_without_leading_zero().to_vec(), public.exponent());
    let e = e.big_endian_without_leading_zero().to_vec();
    Json(json!({ "keys": [
        { "kty": "RSA", "use": "sig", "alg": "RS256", "kid": "rsa", "n": base64(n), "e": base64(e) },
        { "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": "edwards",
          "x": base64(p.edwards.verifying_key().to_bytes()) },
        { "kty": "of a kind of tomorrow", "kid": "new" },
    ] }))
}

async fn token(State(p): State<Arc<Provider>>, headers: HeaderMap, body: String) -> axum::response::Response {
    let asked: HashMap<String, String> = serde_urlencoded::from_str(&body).unwrap();
    let known = p.codes.lock().unwrap().remove(&asked["code"]);
    let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{CLIENT}:{SECRET}")));
    let right = known.is_some_and(|(challenge, redirect)| {
        challenge == base64(Sha256::digest(&asked["code_verifier"])) && redirect == asked["redirect_uri"]
    });
    if !right || headers["authorization"] != *basic || asked["grant_type"] != "authorization_code" {
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid_grant" }))).into_response();
    }
    let (header, claims) = p.next.lock().unwrap().clone();
    Json(json!({ "id_token": p.sign(&header, &claims), "token_type": "Bearer" })).into_response()
}

struct Door {
    w: World,
    provider: Arc<Provider>,
}

impl Door {
    async fn new() -> Self {
        let provider = Provider::start().await;
        let issuer = provider.at.clone();
        let w = World::with(move |c| {
            c.public_url = Some("https://onsite.example".into());
            c.oidc.issuer = Some(issuer);
            c.oidc.client_id = CLIENT.into();
            c.oidc.client_secret = Some(SECRET.into());
        })
        .await;
        w.office("wang@example.com", &[Role::Clerk]).await;
        Self { w, provider }
    }

    fn claims(&self) -> Value {
        let exp = self.w.env.now().0 / 1000 + 300;
        json!({ "iss": self.provider.at, "aud": CLIENT, "sub": "4711", "exp": exp,
                "email": "Wang@example.com", "email_verified": true })
    }

    /// The way there: the address of the provider, and the browser's cookie.
    async fn begin(&self) -> (String, String) {
        self.begin_at("/api/session/oidc").await
    }

    async fn begin_at(&self, door: &str) -> (String, String) {
        let sent = self.w.call("GET", door, &[], "").await.good(303);
        let cookie = sent.header("set-cookie");
        assert!(cookie.starts_with("__Host-onsite-oidc=") && cookie.contains("HttpOnly; SameSite=Lax"), "{cookie}");
        (sent.header("location").to_owned(), cookie.split(';').next().unwrap().to_owned())
    }

    async fn back(&self, to: &str, cookie: &str) -> Answer {
        self.w.call("GET", to, &[("cookie", cookie), ("sec-fetch-site", "cross-site")], "").await.good(303)
    }

    /// Where a whole try leads.
    async fn tried(&self, header: Value, claims: Value) -> Answer {
        let (to, cookie) = self.begin().await;
        let back = self.provider.enter(&to, header, claims);
        self.back(&back, &cookie).await
    }
}

fn edwards() -> Value {
    json!({ "alg": "EdDSA", "kid": "edwards", "typ": "JWT" })
}

#[tokio::test]
async fn whom_the_provider_names_is_signed_in() {
    let d = Door::new().await;
    assert_eq!(d.w.call("GET", "/api/sign-in", &[], "").await.good(200).json(), json!({ "oidc": "SSO" }));
    for header in [edwards(), json!({ "alg": "RS256", "kid": "rsa" })] {
        let done = d.tried(header, d.claims()).await;
        assert_eq!(done.header("location"), "/");
        let cookies: Vec<&str> = done.headers.get_all("set-cookie").iter().map(|v| v.to_str().unwrap()).collect();
        let session = cookies.iter().find(|c| c.starts_with("__Host-onsite=")).unwrap();
        assert!(session.contains("SameSite=Strict"));
        let me = d.w.get("/api/session", session.split(';').next().unwrap()).await;
        assert_eq!(me["login"], "wang@example.com");
    }
    let none = World::new().await;
    assert_eq!(none.call("GET", "/api/sign-in", &[], "").await.good(200).json(), json!({ "oidc": null }));
    none.call("GET", "/api/session/oidc", &[], "").await.problem(404, "not_found");
}

#[tokio::test]
async fn whom_it_does_not_name_rightly_is_not() {
    let d = Door::new().await;
    let with = |key: &str, value: Value| {
        let mut claims = d.claims();
        claims[key] = value;
        claims
    };
    let now = d.w.env.now().0 / 1000;
    for (why, header, claims, code) in [
        ("another client", edwards(), with("aud", json!("another")), "oidc_failed"),
        ("for several, given to another", edwards(), with("azp", json!("another")), "oidc_failed"),
        ("another issuer", edwards(), with("iss", json!("https://evil.example")), "oidc_failed"),
        ("ended", edwards(), with("exp", json!(now - 61)), "oidc_failed"),
        ("another try", edwards(), with("nonce", json!("x")), "oidc_failed"),
        ("no nonce", edwards(), with("nonce", Value::Null), "oidc_failed"),
        ("not verified", edwards(), with("email_verified", json!(false)), "oidc_failed"),
        ("no address", edwards(), with("email", Value::Null), "oidc_failed"),
        ("nobody here", edwards(), with("email", json!("li@example.com")), "oidc_unknown_user"),
        ("not signed", json!({ "alg": "none" }), d.claims(), "oidc_failed"),
        ("signed with the public key", json!({ "alg": "HS256", "kid": "edwards" }), d.claims(), "oidc_failed"),
        ("signed with another key", json!({ "alg": "EdDSA", "kid": "rsa" }), d.claims(), "oidc_failed"),
        ("signed with an unknown key", json!({ "alg": "EdDSA", "kid": "gone" }), d.claims(), "oidc_failed"),
    ] {
        let answer = d.tried(header, claims).await;
        assert_eq!(answer.header("location"), format!("/login?problem={code}"), "{why}");
        let mut cookies = answer.headers.get_all("set-cookie").iter();
        assert!(cookies.all(|c| !c.to_str().unwrap().starts_with("__Host-onsite=")), "{why}");
        d.w.env.advance(10_000);
    }
    let refused = d.back("/api/session/oidc/callback?error=access_denied&state=x", "").await;
    assert_eq!(refused.header("location"), "/login?problem=oidc_denied");
}

#[tokio::test]
async fn a_try_is_of_one_browser_serves_once_and_ends() {
    let d = Door::new().await;
    let leads = async |back: &str, cookie: &str| d.back(back, cookie).await.header("location").to_owned();
    let (to, cookie) = d.begin().await;
    let back = d.provider.enter(&to, edwards(), d.claims());
    assert_eq!(leads(&back, "__Host-onsite-oidc=other").await, "/login?problem=oidc_expired");
    assert_eq!(leads(&back, &cookie).await, "/login?problem=oidc_expired", "another has tried it");
    let (to, cookie) = d.begin().await;
    let back = d.provider.enter(&to, edwards(), d.claims());
    assert_eq!(leads(&back, &cookie).await, "/");
    assert_eq!(leads(&back, &cookie).await, "/login?problem=oidc_expired");
    let (to, cookie) = d.begin().await;
    d.w.env.advance(600_000);
    let back = d.provider.enter(&to, edwards(), d.claims());
    assert_eq!(leads(&back, &cookie).await, "/login?problem=oidc_expired");
    // Whom the admin has disabled is not let in by this door either.
    let boss = d.w.office("boss", &[Role::Admin]).await;
    let cookie = d.w.cookie("boss").await;
    let headers = [("cookie", cookie.as_str()), ("content-type", "application/json")];
    let disable = json!({ "disabled": true }).to_string();
    d.w.call("PATCH", "/api/users/wang@example.com", &headers, disable).await.good(204);
    assert_eq!(d.tried(edwards(), d.claims()).await.header("location"), "/login?problem=oidc_unknown_user");
    let _ = boss;
}

#[tokio::test]
async fn it_leads_to_what_was_asked_for_and_to_no_other_place() {
    let d = Door::new().await;
    let asked = async |next: &str| {
        let query = serde_urlencoded::to_string([("next", next)]).unwrap();
        d.begin_at(&format!("/api/session/oidc?{query}")).await
    };
    let led = async |next: &str| {
        let (to, cookie) = asked(next).await;
        assert!(!to.contains("next") && !to.contains("board"), "the provider need not know: {to}");
        let back = d.provider.enter(&to, edwards(), d.claims());
        d.back(&back, &cookie).await.header("location").to_owned()
    };
    for next in ["/", "/board", "/board?q=%E5%8D%8E%E4%B8%B0&person=1#on_site", "/calls?call=https://onsite.example/"] {
        assert_eq!(led(next).await, next);
    }
    // The session's cookie goes along no way that began at another site: the page goes to a form itself.
    let form = "/api/visits/1/print?lang=en";
    assert_eq!(led(form).await, "/login?entered=&next=%2Fapi%2Fvisits%2F1%2Fprint%3Flang%3Den");
    let long = format!("/{}", "a".repeat(2_000));
    for hostile in [
        "https://evil.example/",
        "//evil.example/",
        "///evil.example/",
        "/\\evil.example/",
        "\\/evil.example/",
        "/\t/evil.example/",
        "/\n/evil.example/",
        "\t//evil.example/",
        " //evil.example/",
        "/.//evil.example/",
        "/board/..//evil.example/",
        "/board\r\nset-cookie: a=b",
        "javascript:alert(1)",
        "evil.example",
        "@evil.example/",
        "/\u{2044}evil.example/",
        "",
        &long,
    ] {
        assert_eq!(led(hostile).await, "/", "{hostile:?}");
    }
    // Who is not let in may try again, and is still led there; by the browser that began it only.
    let (to, cookie) = asked("/board?q=a").await;
    let state = to.split('&').find_map(|part| part.strip_prefix("state=")).unwrap();
    let denied = format!("/api/session/oidc/callback?error=access_denied&state={state}");
    let again = "/login?problem=oidc_denied&next=%2Fboard%3Fq%3Da";
    assert_eq!(d.back(&denied, &cookie).await.header("location"), again);
    let (to, _) = asked("/board?q=a").await;
    let back = d.provider.enter(&to, edwards(), d.claims());
    let other = d.back(&back, "__Host-onsite-oidc=other").await;
    assert_eq!(other.header("location"), "/login?problem=oidc_expired");
}
