//! Sign-in through an identity provider: OpenID Connect, authorization code with PKCE, state and nonce.
//!
//! The provider says who somebody is; which of our users that is, and what they may do, is ours to say.

use crate::auth::{self, hex};
use crate::error::{Error, Result};
use crate::{App, config};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use onsite_core::domain::Millis;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// Milliseconds somebody may take to sign in at the provider.
const TRY_MS: i64 = 600_000;
/// Milliseconds the provider's description and keys are kept.
const KEPT_MS: i64 = 3_600_000;
/// Milliseconds between two looks for a key that nobody knew.
const LOOK_MS: i64 = 60_000;
/// Milliseconds by which the provider's clock may differ from ours.
const LEEWAY_MS: i64 = 60_000;
/// Longest path to go to then, in bytes.
const LONGEST_NEXT: usize = 2_000;
/// Most bytes of an answer of the provider.
const ANSWER: usize = 1 << 20;
/// Algorithms of signatures: with keys that only the provider has.
const ALGORITHMS: [Algorithm; 8] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::EdDSA,
];

/// What the provider says of itself.
#[derive(Clone, Debug, Deserialize)]
struct Provider {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
}

/// The provider and its keys, as last heard.
#[derive(Clone, Debug)]
struct Heard {
    provider: Arc<Provider>,
    keys: Arc<JwkSet>,
    at: Millis,
}

/// A client of the configured provider.
#[derive(Debug, Default)]
pub(crate) struct Oidc {
    heard: Mutex<Option<Heard>>,
    http: reqwest::Client,
}

/// A try to sign in that waits for the provider's answer.
#[derive(Debug, Serialize, Deserialize)]
struct Try {
    nonce: String,
    verifier: String,
    browser: String,
    made: Millis,
    /// Where to go then.
    #[serde(default)]
    next: Option<String>,
}

/// A try that has come back: what became of it, and where to go.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The secret of a session.
    pub(crate) entered: Result<String>,
    /// As [`Oidc::begin`] was told.
    pub(crate) next: Option<String>,
}

/// Where to send the browser, and the secret that shows that it comes back itself.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) to: String,
    pub(crate) browser: String,
}

/// What the provider says of somebody.
#[derive(Debug, Deserialize)]
struct Claims {
    nonce: Option<String>,
    exp: i64,
    azp: Option<String>,
    #[serde(flatten)]
    rest: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: String,
}

fn failed(why: impl std::fmt::Display) -> Error {
    tracing::warn!(%why, "sign-in through the identity provider");
    Error::Conflict { code: "oidc_failed", detail: "the identity provider's answer cannot be used".into() }
}

fn base64(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn digest(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

impl Oidc {
    /// A client; without a redirect followed, so that nobody sends it elsewhere.
    pub(crate) fn new() -> Result<Self> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(10))
            .build()
            .map_err(|e| Error::Internal(format!("a client for the identity provider: {e}")))?;
        Ok(Self { heard: Mutex::default(), http })
    }

    async fn answer<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<T> {
        let mut response = request.header("accept", "application/json").send().await.map_err(failed)?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(failed)? {
            if body.len() + part.len() > ANSWER {
                return Err(failed("an answer that does not end"));
            }
            body.extend_from_slice(&part);
        }
        if !status.is_success() {
            return Err(failed(format!("{status}: {}", String::from_utf8_lossy(&body[..body.len().min(300)]))));
        }
        serde_json::from_slice(&body).map_err(failed)
    }

    async fn keys(&self, provider: &Provider) -> Result<Arc<JwkSet>> {
        // A key of a kind unknown here is no reason to know none.
        let mut set: serde_json::Value = self.answer(self.http.get(&provider.jwks_uri)).await?;
        let keys = set["keys"].as_array_mut().map(std::mem::take).unwrap_or_default();
        let known = keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).collect();
        Ok(Arc::new(JwkSet { keys: known }))
    }

    /// The provider with its keys; asked anew after an hour, and where `kid` is a key that was not there.
    async fn provider(&self, issuer: &str, kid: Option<&str>, now: Millis) -> Result<Heard> {
        let mut heard = self.heard.lock().await;
        if let Some(kept) = heard.as_mut().filter(|h| (0..KEPT_MS).contains(&now.since(h.at))) {
            let known = kid.is_none_or(|kid| kept.keys.find(kid).is_some());
            if !known && now.since(kept.at) >= LOOK_MS {
                kept.keys = self.keys(&kept.provider).await?;
                kept.at = now;
            }
            return Ok(kept.clone());
        }
        let at = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let provider: Provider = self.answer(self.http.get(at)).await?;
        if provider.issuer != issuer {
            return Err(failed(format!("it calls itself {}", provider.issuer)));
        }
        let keys = self.keys(&provider).await?;
        let fresh = Heard { provider: Arc::new(provider), keys, at: now };
        *heard = Some(fresh.clone());
        Ok(fresh)
    }

    /// Begins a try. `next`: where to go then, if it is a place of ours.
    pub(crate) async fn begin(&self, app: &App, next: Option<String>) -> Result<Begun> {
        let (config, issuer) = configured(&app.config)?;
        let env = app.ledger.env();
        let random = || {
            let mut bytes = [0; 32];
            env.fill(&mut bytes);
            base64(&bytes)
        };
        let (state, nonce, verifier, browser) = (random(), random(), random(), random());
        let now = env.now();
        let heard = self.provider(issuer, None, now).await?;
        let challenge = base64(&Sha256::digest(verifier.as_bytes()));
        let query = [
            ("response_type", "code"),
            ("client_id", &config.client_id),
            ("redirect_uri", &callback(app)),
            ("scope", &config.scopes.join(" ")),
            ("state", &state),
            ("nonce", &nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        let query = serde_urlencoded::to_string(query).map_err(failed)?;
        let end = &heard.provider.authorization_endpoint;
        let to = format!("{end}{}{query}", if end.contains('?') { '&' } else { '?' });
        let next = next.filter(|path| ours(path));
        let kept = Try { nonce, verifier, browser: digest(&browser), made: now, next };
        auth::keep_try(&app.ledger, &digest(&state), &kept, now.plus(TRY_MS)).await?;
        Ok(Begun { to, browser })
    }

    /// Ends a try. `code`: what the provider gave, if it let them in; `browser`: the secret that [`Begun`] gave to
    /// the browser.
    ///
    /// What became of it fails with `oidc_expired` where there is no such try of this browser, `oidc_denied`,
    /// `oidc_failed`, `oidc_unknown_user`.
    pub(crate) async fn finish(&self, app: &App, state: &str, code: Option<&str>, browser: &str, agent: &str) -> Ended {
        // Taken out before anything else: it serves once.
        let kept = match auth::take_try::<Try>(&app.ledger, &digest(state)).await {
            Ok(kept) => kept.filter(|kept| kept.browser == digest(browser)),
            Err(e) => return Ended { entered: Err(e), next: None },
        };
        let next = kept.as_ref().and_then(|kept| kept.next.clone());
        Ended { entered: self.enter(app, kept, code, agent).await, next }
    }

    async fn enter(&self, app: &App, kept: Option<Try>, code: Option<&str>, agent: &str) -> Result<String> {
        let (config, issuer) = configured(&app.config)?;
        let now = app.ledger.env().now();
        let code = code.ok_or_else(|| Error::Conflict {
            code: "oidc_denied",
            detail: "the identity provider did not let them in".into(),
        })?;
        let kept = kept.filter(|kept| (0..TRY_MS).contains(&now.since(kept.made))).ok_or_else(|| Error::Conflict {
            code: "oidc_expired",
            detail: "this sign-in took too long: try again".into(),
        })?;
        let provider = self.provider(issuer, None, now).await?.provider;
        let redirect = callback(app);
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect.as_str()),
            ("client_id", config.client_id.as_str()),
            ("code_verifier", kept.verifier.as_str()),
        ];
        let mut request = self.http.post(&provider.token_endpoint);
        if let Some(secret) = &config.client_secret {
            let methods = &provider.token_endpoint_auth_methods_supported;
            if methods.iter().any(|m| m == "client_secret_post") && !methods.iter().any(|m| m == "client_secret_basic")
            {
                form.push(("client_secret", secret));
            } else {
                request = request.basic_auth(&config.client_id, Some(secret));
            }
        }
        let body = serde_urlencoded::to_string(form).map_err(failed)?;
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        let tokens: Tokens = self.answer(request).await?;
        let claims = self.claims(config, issuer, &tokens.id_token, now).await?;
        if claims.nonce.as_deref() != Some(kept.nonce.as_str()) {
            return Err(failed("the token is of another sign-in"));
        }
        let login = login(config, &claims)?;
        let unknown = || Error::Conflict {
            code: "oidc_unknown_user",
            detail: "nobody here has the login name that the identity provider gave".into(),
        };
        auth::sign_in_as(&app.ledger, &login, agent, &app.config.auth).await?.ok_or_else(unknown)
    }

    /// What a token says, if the provider has signed it for us and it has not ended.
    async fn claims(&self, config: &config::Oidc, issuer: &str, token: &str, now: Millis) -> Result<Claims> {
        let header = decode_header(token).map_err(failed)?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(failed(format!("signed by {:?}", header.alg)));
        }
        let keys = self.provider(issuer, header.kid.as_deref(), now).await?.keys;
        let key = match &header.kid {
            Some(kid) => keys.find(kid),
            None if keys.keys.len() == 1 => keys.keys.first(),
            None => None,
        };
        let key = key.ok_or_else(|| failed("signed by a key that the provider does not have"))?;
        let mut rules = Validation::new(header.alg);
        rules.set_audience(&[&config.client_id]);
        rules.set_issuer(&[issuer]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // By the server's own clock, below.
        rules.validate_exp = false;
        let key = DecodingKey::from_jwk(key).map_err(failed)?;
        let claims = decode::<Claims>(token, &key, &rules).map_err(failed)?.claims;
        if claims.exp.saturating_mul(1000).saturating_add(LEEWAY_MS) <= now.0 {
            return Err(failed("the token has ended"));
        }
        if claims.azp.as_ref().is_some_and(|azp| *azp != config.client_id) {
            return Err(failed("the token is for another client"));
        }
        Ok(claims)
    }
}

/// The configured provider and its name.
fn configured(config: &crate::Config) -> Result<(&config::Oidc, &str)> {
    let issuer = config.oidc.issuer.as_deref();
    issuer.map(|i| (&config.oidc, i)).ok_or_else(|| Error::NotFound("no identity provider is configured".into()))
}

/// Whether a path leads to a place of this server and to no other, however a browser reads it.
fn ours(path: &str) -> bool {
    let (before, _) = path.split_once(['?', '#']).unwrap_or((path, ""));
    // Browsers take `\\` for `/` and leave out blanks and line breaks.
    path.len() <= LONGEST_NEXT
        && before.starts_with('/')
        && !before.contains("//")
        && path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
}

/// Where the provider sends the browser back to.
fn callback(app: &App) -> String {
    format!("{}/api/session/oidc/callback", app.config.url())
}

/// The login name that a token's claim names.
fn login(config: &config::Oidc, claims: &Claims) -> Result<String> {
    let verified = claims.rest.get("email_verified").and_then(serde_json::Value::as_bool);
    if config.claim == "email" && verified != Some(true) {
        return Err(failed("the e-mail address is not verified"));
    }
    let said = claims.rest.get(&config.claim).and_then(serde_json::Value::as_str);
    said.map(str::to_owned).ok_or_else(|| failed(format!("the token has no claim {}", config.claim)))
}
