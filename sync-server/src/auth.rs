//! Who asks: enrolment codes, device keys and tokens, office sign-in and sessions.
//!
//! Secrets are random, long, and kept as their SHA-256 only; passwords as
//! Argon2id. Who somebody is comes from the token or the cookie alone, never
//! from a body.

pub mod users;

use crate::error::{Error, Result};
use crate::ledger::{Ledger, News, Session};
use crate::storage::{Audit, Batch, Device, GLOBAL, Record, RecordWrite, Tenant};
use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use onsite_core::domain::{Author, DeviceId, DocRef, Entity, Kind, Millis, Role, StaffId, TenantId};
use onsite_core::env::Env;
use onsite_core::sync::protocol::{EnrolAnswer, EnrolRequest, TokenAnswer, TokenRequest};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Mutex;
use subtle::ConstantTimeEq as _;

/// What a device signs begins with this.
pub const TOKEN_DOMAIN: &[u8] = b"onsite-token-v1";
/// What a company vouches for with a nonce.
const NONCE_DOMAIN: &[u8] = b"onsite-nonce-v1";
/// Milliseconds a nonce lives.
const NONCE_MS: i64 = 120_000;
/// Tries of a short code before it is dead.
const SHORT_TRIES: u32 = 5;
/// Crockford's base 32: no I, L, O, U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Characters of a short code that find it; the rest prove it.
const SELECTOR: usize = 3;
/// Characters of a short code.
const SHORT: usize = 8;
/// Characters of the 128-bit code.
const LONG: usize = 26;
/// Longest password in bytes, so that hashing is not an attack.
const MAX_PASSWORD: usize = 1024;

/// So many random bytes.
fn random<const N: usize>(env: &dyn Env) -> [u8; N] {
    let mut bytes = [0; N];
    env.fill(&mut bytes);
    bytes
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut s, b| {
        s.push(char::from(b"0123456789abcdef"[usize::from(b >> 4)]));
        s.push(char::from(b"0123456789abcdef"[usize::from(b & 15)]));
        s
    })
}

/// Bytes from hexadecimal.
pub(crate) fn unhex(s: &str) -> Option<Vec<u8>> {
    if !s.len().is_multiple_of(2) {
        return None;
    }
    let digit = |c: u8| char::from(c).to_digit(16).map(|d| d as u8);
    s.as_bytes().chunks(2).map(|p| Some(digit(p[0])? << 4 | digit(p[1])?)).collect()
}

/// The SHA-256 of a secret: what is kept of it.
pub(crate) fn digest(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

/// Random characters of [`ALPHABET`].
fn letters(env: &dyn Env, n: usize) -> String {
    let mut bytes = vec![0; n];
    env.fill(&mut bytes);
    bytes.iter().map(|b| char::from(ALPHABET[usize::from(b & 31)])).collect()
}

/// 128 random bits as 26 characters.
pub(crate) fn long_code(env: &dyn Env) -> String {
    let mut bits = u128::from_be_bytes(random(env));
    let mut out = Vec::with_capacity(LONG);
    for _ in 0..LONG {
        out.push(ALPHABET[(bits & 31) as usize]);
        bits >>= 5;
    }
    out.into_iter().rev().map(char::from).collect()
}

/// A code as somebody typed it, in the one way it is compared: without
/// separators, I and L read as 1, O as 0.
fn normal(code: &str) -> String {
    code.chars()
        .filter(|c| c.is_ascii_alphanumeric())
        .take(64)
        .map(|c| match c.to_ascii_uppercase() {
            'I' | 'L' => '1',
            'O' => '0',
            c => c,
        })
        .collect()
}

/// In groups, to be read aloud.
fn grouped(code: &str, by: usize) -> String {
    code.as_bytes().chunks(by).map(|c| String::from_utf8_lossy(c).into_owned()).collect::<Vec<_>>().join("-")
}

/// Records of revoked devices that were told to wipe themselves.
const TOLD: &str = "wipe_told";

/// An enrolment code, shown once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeviceCode {
    /// The 128-bit code, in groups.
    pub code: String,
    /// The short one, to be typed: five tries, then dead.
    pub short_code: String,
    /// What the QR holds.
    pub url: String,
    /// When both end.
    pub expires: Millis,
}

/// What is kept of a code, under the short code's selector.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Invitation {
    #[serde(default)]
    made: Millis,
    tenant: TenantId,
    staff: StaffId,
    long: String,
    short: String,
    tries: u32,
    /// Who used it: the key and the device it became.
    used: Option<(String, DeviceId)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Token {
    #[serde(default)]
    issued: Millis,
    /// Under another name than in what is looked up by company: of tokens no index is kept.
    #[serde(rename = "company", alias = "tenant")]
    tenant: TenantId,
    device: DeviceId,
    expires: Millis,
}

/// An office user's credentials, by login name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct User {
    /// The company.
    pub tenant: TenantId,
    /// The person.
    pub staff: StaffId,
    /// Argon2id, PHC string.
    password: String,
    /// When an admin disabled it.
    #[serde(default)]
    disabled: Option<Millis>,
    /// The tag of the language they see the office in.
    #[serde(default)]
    language: Option<String>,
}

/// Somebody signed in at the office.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct OfficeRecord {
    tenant: TenantId,
    staff: StaffId,
    login: String,
    created: Millis,
    seen: Millis,
    /// What the browser calls itself.
    #[serde(default)]
    agent: String,
}

/// Somebody signed in at the office, with what they may do now.
#[derive(Clone, Debug)]
pub struct OfficeSession {
    /// The company.
    pub tenant: TenantId,
    /// Who, with their roles.
    pub author: Author,
    /// Their login name.
    pub login: String,
    /// The session's name, which opens nothing.
    pub id: String,
    /// When they signed in.
    pub created: Millis,
    /// When it ends if nothing more is heard.
    pub expires: Millis,
}

fn record<T: Serialize>(key: String, body: &T, expires: Option<Millis>) -> Result<Record> {
    Ok(Record { key, body: serde_json::to_value(body)?, expires, ver: 0 })
}

fn body<T: DeserializeOwned>(record: &Record) -> Result<T> {
    Ok(serde_json::from_value(record.body.clone())?)
}

/// The same words for wrong, used, ended and dead: nothing to learn by trying.
fn wrong_code() -> Error {
    Error::bad("wrong_code", "code", "this code is wrong, was used, or has ended: ask the office for a new one")
}

fn seconds(s: u64) -> i64 {
    i64::try_from(s).unwrap_or(i64::MAX / 2000).min(i64::MAX / 2000) * 1000
}

/// Whether a moment lies in the future by more than a clock is steered by: then
/// ours was set back, and how long anything of that time is good for cannot be known.
fn ahead(moment: Millis, now: Millis) -> bool {
    moment.since(now) > Millis::MINUTE
}

/// Makes an enrolment code for a person; `by` whom is in the audit chain.
///
/// # Errors
/// [`Error::NotFound`] where there is no such person, or they left.
pub async fn device_code(
    ledger: &Ledger,
    tenant: TenantId,
    by: StaffId,
    staff: StaffId,
    url: &str,
    lives_seconds: u64,
) -> Result<DeviceCode> {
    if ledger.roles(tenant, staff).await?.is_empty() {
        return Err(Error::NotFound(format!("no member of staff {staff} with a role")));
    }
    let env = ledger.env();
    let now = env.now();
    let expires = now.plus(seconds(lives_seconds));
    let long = long_code(env);
    for _ in 0..64 {
        let short = letters(env, SHORT);
        let selector = short[..SELECTOR].to_owned();
        let invitation =
            Invitation { made: now, tenant, staff, long: digest(&long), short: digest(&short), tries: 0, used: None };
        let found = Record {
            key: digest(&long),
            body: serde_json::Value::String(selector.clone()),
            expires: Some(expires),
            ver: 0,
        };
        let put = |table: &str, record, expect| RecordWrite { tenant: GLOBAL, table: table.into(), record, expect };
        let invitation = record(selector, &invitation, Some(expires))?;
        let batch = Batch {
            now,
            records: vec![put("invitation", invitation, Some(0)), put("code", found, None)],
            audit: vec![audit(ledger, by, "device.code", staff.to_string())],
            ..Batch::default()
        };
        let done = ledger.storage().commit(tenant, batch).await;
        // Another code has this selector: another one is drawn.
        if !matches!(done, Err(Error::Moved)) {
            done?;
            let code = grouped(&long, 5);
            let url = format!("{}/enrol#{code}", url.trim_end_matches('/'));
            return Ok(DeviceCode { code, short_code: grouped(&short, 4), url, expires });
        }
    }
    Err(Error::Conflict {
        code: "too_many_codes",
        detail: "too many codes are waiting: try again in a few minutes".into(),
    })
}

/// Makes a device of a code. A code is used once; the same key asking again
/// (its answer was lost) gets the same answer.
///
/// # Errors
/// `wrong_code`, `bad_key`, `bad_alg` ([`Error::Bad`]).
pub async fn enrol(ledger: &Ledger, request: &EnrolRequest) -> Result<EnrolAnswer> {
    if request.alg != "ed25519" {
        return Err(Error::bad("bad_alg", "alg", "the key's algorithm must be ed25519"));
    }
    verifying_key(&request.public_key)?;
    for (field, text) in [("name", &request.name), ("app", &request.app)] {
        if text.chars().count() > 100 || text.chars().any(char::is_control) {
            return Err(Error::bad("bad_field", field, "at most 100 characters, no control characters"));
        }
    }
    let (storage, now) = (ledger.storage(), ledger.env().now());
    let code = normal(request.code.rsplit('#').next().unwrap_or_default());
    let key = hex(&request.public_key);
    let long = match code.len() {
        LONG => true,
        SHORT => false,
        _ => return Err(wrong_code()),
    };
    let selector = if long {
        let found = storage.record(GLOBAL, "code", &digest(&code), now).await?.ok_or_else(wrong_code)?;
        found.body.as_str().unwrap_or_default().to_owned()
    } else {
        code[..SELECTOR].to_owned()
    };
    // Compare-and-set, so that of two at once only one uses it and every try counts.
    for _ in 0..16 {
        let at = storage.record(GLOBAL, "invitation", &selector, now).await?.ok_or_else(wrong_code)?;
        let mut invitation: Invitation = body(&at)?;
        if ahead(invitation.made, now) {
            return Err(wrong_code());
        }
        if !long && invitation.tries >= SHORT_TRIES {
            return Err(wrong_code());
        }
        let kept = if long { &invitation.long } else { &invitation.short };
        let right: bool = digest(&code).as_bytes().ct_eq(kept.as_bytes()).into();
        let fresh = match (&invitation.used, right) {
            (Some((by, device)), true) if *by == key => Some((*device, false)),
            (None, true) => {
                let device = DeviceId(ledger.env().new_id());
                invitation.used = Some((key.clone(), device));
                Some((device, true))
            }
            (_, true) => return Err(wrong_code()),
            (_, false) => {
                invitation.tries += 1;
                None
            }
        };
        if !matches!(fresh, Some((_, false))) {
            let next = record(selector.clone(), &invitation, at.expires)?;
            if !storage.put_record(GLOBAL, "invitation", next, Some(at.ver), now).await? {
                continue;
            }
        }
        let Some((id, _)) = fresh else { return Err(wrong_code()) };
        return finish_enrolment(ledger, &invitation, id, request).await;
    }
    Err(Error::Busy { retry_after: 1000 })
}

/// Writes the device down, unless a lost answer's request did already.
async fn finish_enrolment(
    ledger: &Ledger,
    invitation: &Invitation,
    id: DeviceId,
    request: &EnrolRequest,
) -> Result<EnrolAnswer> {
    let (tenant, staff, storage, now) = (invitation.tenant, invitation.staff, ledger.storage(), ledger.env().now());
    let company = storage.tenant(tenant).await?.ok_or_else(wrong_code)?.name;
    let roles = ledger.roles(tenant, staff).await?;
    let answer = |device_code| EnrolAnswer {
        tenant,
        company: company.clone(),
        device: id,
        device_code,
        staff,
        roles: roles.clone(),
    };
    if let Some(there) = storage.device(tenant, id).await? {
        return Ok(answer(there.code));
    }
    for attempt in 0..100 {
        let device = Device {
            id,
            staff,
            code: letters(ledger.env(), 2 + attempt / 20),
            name: request.name.clone(),
            public_key: request.public_key.clone(),
            alg: request.alg.clone(),
            app: request.app.clone(),
            enrolled: now,
            revoked: None,
        };
        let batch = Batch {
            devices: vec![device.clone()],
            audit: vec![audit(ledger, staff, "device.enrol", id.to_string())],
            now,
            ..Batch::default()
        };
        match storage.commit(tenant, batch).await {
            Ok(done) => {
                ledger.hub().poke(tenant, done.head, BTreeSet::new(), News::devices());
                return Ok(answer(device.code));
            }
            Err(Error::Conflict { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    Err(Error::Internal("no device code is free".into()))
}

fn audit(ledger: &Ledger, by: StaffId, action: &str, subject: String) -> Audit {
    Audit { at: ledger.env().now(), by, action: action.into(), subject, detail: serde_json::Value::Null }
}

/// Puts a record everybody's look-ups find, with an entry in the company's audit chain: both or neither.
async fn put_audited(
    ledger: &Ledger,
    tenant: TenantId,
    table: &str,
    record: Record,
    expect: Option<u64>,
    entry: Audit,
) -> Result<()> {
    let put = RecordWrite { tenant: GLOBAL, table: table.into(), record, expect };
    let batch = Batch { now: entry.at, records: vec![put], audit: vec![entry], ..Batch::default() };
    ledger.storage().commit(tenant, batch).await?;
    Ok(())
}

fn verifying_key(bytes: &[u8]) -> Result<ed25519_dalek::VerifyingKey> {
    let bad = || Error::bad("bad_key", "public_key", "not an Ed25519 public key of 32 bytes");
    let key = ed25519_dalek::VerifyingKey::from_bytes(bytes.try_into().map_err(|_| bad())?).map_err(|_| bad())?;
    if key.is_weak() { Err(bad()) } else { Ok(key) }
}

/// What a company's secret says of a device and some bytes: for nonces and the tokens that they become.
fn mac(company: &Tenant, domain: &[u8], device: DeviceId, bytes: &[u8]) -> Result<Hmac<sha2::Sha256>> {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&company.secret)
        .map_err(|e| Error::Internal(format!("a company's secret: {e}")))?;
    for part in [domain, device.as_bytes(), bytes] {
        mac.update(part);
    }
    Ok(mac)
}

/// A device's company, if there is such a device.
async fn company_of(ledger: &Ledger, device: DeviceId) -> Result<Option<Tenant>> {
    match ledger.storage().device_tenant(device).await? {
        Some(tenant) => ledger.storage().tenant(tenant).await,
        None => Ok(None),
    }
}

/// Answers a nonce for a device to sign; an unknown device gets one too, that opens nothing.
/// Nothing is kept of it: it carries when it ends, and the company's mac.
///
/// # Errors
/// The storage's.
pub async fn challenge(ledger: &Ledger, device: DeviceId) -> Result<String> {
    let expires = ledger.env().now().plus(NONCE_MS);
    let mut nonce = expires.0.to_be_bytes().to_vec();
    nonce.extend(random::<16>(ledger.env()));
    let seal = match company_of(ledger, device).await? {
        Some(company) => mac(&company, NONCE_DOMAIN, device, &nonce)?.finalize().into_bytes().into(),
        None => random::<32>(ledger.env()),
    };
    nonce.extend(seal);
    Ok(hex(&nonce))
}

/// Whether a nonce is one of ours for this device, and lives.
fn nonce_holds(company: &Tenant, device: DeviceId, nonce: &str, now: Millis) -> Result<bool> {
    let bytes = unhex(nonce).unwrap_or_default();
    let Some((said, seal)) = bytes.split_at_checked(24) else { return Ok(false) };
    if hex(&bytes) != nonce {
        // Written otherwise it would become another token.
        return Ok(false);
    }
    let expires = said.first_chunk().map_or(0, |e| i64::from_be_bytes(*e));
    let lives = now.0 < expires && !ahead(Millis(expires).plus(-NONCE_MS), now);
    Ok(lives && mac(company, NONCE_DOMAIN, device, said)?.verify_slice(seal).is_ok())
}

/// What a device signs for a token: the domain, its id, the nonce's text.
pub fn token_message(device: DeviceId, nonce: &str) -> Vec<u8> {
    [TOKEN_DOMAIN, device.as_bytes(), nonce.as_bytes()].concat()
}

/// A token for a signed nonce.
///
/// # Errors
/// [`Error::Unauthorized`], [`Error::Revoked`].
pub async fn token(ledger: &Ledger, request: &TokenRequest, lives_seconds: u64) -> Result<TokenAnswer> {
    let refused = || Error::Unauthorized("the nonce or its signature is not right, or has ended".into());
    let (storage, now) = (ledger.storage(), ledger.env().now());
    let company = company_of(ledger, request.device).await?.ok_or_else(refused)?;
    if !nonce_holds(&company, request.device, &request.nonce, now)? {
        return Err(refused());
    }
    let tenant = company.id;
    let device = storage.device(tenant, request.device).await?.ok_or_else(refused)?;
    let signature = unhex(&request.signature).and_then(|s| <[u8; 64]>::try_from(s).ok()).ok_or_else(refused)?;
    verifying_key(&device.public_key)?
        .verify_strict(
            &token_message(request.device, &request.nonce),
            &ed25519_dalek::Signature::from_bytes(&signature),
        )
        .map_err(|_| refused())?;
    // Only who proved the key learns of it.
    if device.revoked.is_some() {
        return Err(wipe(ledger, tenant, device.id).await);
    }
    // A nonce becomes one token, which can be put once: it serves no second time. A token
    // that lives shorter than its nonce is remembered as long.
    let token = hex(&mac(&company, TOKEN_DOMAIN, device.id, request.nonce.as_bytes())?.finalize().into_bytes());
    let expires = now.plus(seconds(lives_seconds));
    let kept = Token { issued: now, tenant, device: device.id, expires };
    let kept = record(digest(&token), &kept, Some(expires.max(now.plus(NONCE_MS))))?;
    if !storage.put_record(GLOBAL, "token", kept, Some(0), now).await? {
        return Err(refused());
    }
    Ok(TokenAnswer { token, expires })
}

/// Who a bearer token stands for, with the device's and the person's state of this moment.
///
/// # Errors
/// [`Error::Unauthorized`], [`Error::Revoked`].
pub async fn session(ledger: &Ledger, token: &str) -> Result<Session> {
    let ended = || Error::Unauthorized("the token is unknown or has ended".into());
    let (storage, now) = (ledger.storage(), ledger.env().now());
    let kept: Token = body(&storage.record(GLOBAL, "token", &digest(token), now).await?.ok_or_else(ended)?)?;
    if kept.expires <= now || ahead(kept.issued, now) {
        return Err(ended());
    }
    let device = storage.device(kept.tenant, kept.device).await?.ok_or_else(ended)?;
    if device.revoked.is_some() {
        return Err(wipe(ledger, kept.tenant, device.id).await);
    }
    let roles = ledger.roles(kept.tenant, device.staff).await?;
    Ok(Session { tenant: kept.tenant, device: device.id, staff: device.staff, roles })
}

/// What a revoked device is told; that it was told is kept.
async fn wipe(ledger: &Ledger, tenant: TenantId, device: DeviceId) -> Error {
    let (storage, now) = (ledger.storage(), ledger.env().now());
    let key = device.to_string();
    let noted = async {
        if storage.record(tenant, TOLD, &key, now).await?.is_none() {
            storage.put_record(tenant, TOLD, record(key, &now, None)?, Some(0), now).await?;
        }
        Ok::<_, Error>(())
    };
    if let Err(e) = noted.await {
        tracing::warn!(error = %e, "noting that a device was told to wipe itself");
    }
    Error::Revoked
}

/// The revoked devices that have been told to wipe themselves.
///
/// # Errors
/// The storage's.
pub async fn told_to_wipe(ledger: &Ledger, tenant: TenantId) -> Result<BTreeSet<DeviceId>> {
    let told = ledger.storage().records(tenant, TOLD, "", usize::MAX, ledger.env().now()).await?;
    Ok(told.iter().filter_map(|r| r.key.parse().ok()).collect())
}

/// Revokes a device, at once and for good.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn revoke(ledger: &Ledger, tenant: TenantId, by: StaffId, id: DeviceId) -> Result<()> {
    let mut device =
        ledger.storage().device(tenant, id).await?.ok_or_else(|| Error::NotFound(format!("no device {id}")))?;
    if device.revoked.is_none() {
        device.revoked = Some(ledger.env().now());
        let staff = device.staff;
        let entry = audit(ledger, by, "device.revoke", id.to_string());
        let batch = Batch { now: entry.at, devices: vec![device], audit: vec![entry], ..Batch::default() };
        let head = ledger.storage().commit(tenant, batch).await?.head;
        // So that the phone comes and hears it.
        ledger.hub().poke(tenant, head, BTreeSet::from([staff]), News::devices());
    }
    Ok(())
}

// ---- office ----

fn argon() -> Argon2<'static> {
    // OWASP's second choice: 19 MiB, two passes, one lane. `Params::DEFAULT` is the same; written out so that it stays.
    let params = Params::new(19 * 1024, 2, 1, None).unwrap_or(Params::DEFAULT);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// Passwords hashed at once: each takes 19 MiB, and many strangers may try.
static HASHING: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(4);

async fn heavy<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let _turn = HASHING.acquire().await.map_err(|e| Error::Internal(format!("hashing: {e}")))?;
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::Internal(format!("hashing: {e}")))
}

/// A login name in the one way it is compared.
///
/// # Errors
/// `bad_login`.
pub fn login_name(login: &str) -> Result<String> {
    let login = login.trim().to_lowercase();
    let good = (1..=64).contains(&login.chars().count()) && !login.chars().any(|c| c.is_control() || c.is_whitespace());
    if good {
        Ok(login)
    } else {
        Err(Error::bad("bad_login", "login", "a login name has 1 to 64 characters and no blanks"))
    }
}

/// Gives a person a login name and a password, or a new password.
///
/// # Errors
/// `bad_login`, `bad_password`; [`Error::Conflict`] (`login_taken`) where another person has it.
pub async fn set_password(
    ledger: &Ledger,
    tenant: TenantId,
    staff: StaffId,
    login: &str,
    password: &str,
) -> Result<()> {
    put_password(ledger, tenant, staff, staff, login, password, "user.password").await
}

/// As [`set_password`]; `by` whom is in the audit chain.
async fn put_password(
    ledger: &Ledger,
    tenant: TenantId,
    by: StaffId,
    staff: StaffId,
    login: &str,
    password: &str,
    action: &str,
) -> Result<()> {
    let login = login_name(login)?;
    if password.chars().count() < 8 || password.len() > MAX_PASSWORD {
        return Err(Error::bad(
            "bad_password",
            "password",
            "a password has at least 8 characters, and at most 1024 bytes",
        ));
    }
    let taken = || Error::Conflict { code: "login_taken", detail: format!("the login name {login} is taken") };
    let (storage, now, password) = (ledger.storage(), ledger.env().now(), password.to_owned());
    let there = storage.record(GLOBAL, "user", &login, now).await?;
    let mut user = User { tenant, staff, password: String::new(), disabled: None, language: None };
    if let Some(there) = &there {
        user = body(there)?;
        if (user.tenant, user.staff) != (tenant, staff) {
            return Err(taken());
        }
    }
    let salt = random::<16>(ledger.env());
    user.password = heavy(move || argon().hash_password_with_salt(password.as_bytes(), &salt).map(|h| h.to_string()))
        .await?
        .map_err(|e| Error::Internal(format!("hashing: {e}")))?;
    let user = record(login.clone(), &user, None)?;
    let entry = audit(ledger, by, action, login.clone());
    match put_audited(ledger, tenant, "user", user, Some(there.map_or(0, |r| r.ver)), entry).await {
        Err(Error::Moved) => Err(taken()),
        other => other,
    }
}

/// Whether a password is the one of a hash.
async fn verified(hash: &str, password: &str) -> Result<bool> {
    if password.len() > MAX_PASSWORD {
        return Ok(false);
    }
    let (hash, password) = (hash.to_owned(), password.to_owned());
    heavy(move || argon().verify_password(password.as_bytes(), hash.as_str()).is_ok()).await
}

/// Whether a login name is in use, and whose.
///
/// # Errors
/// `bad_login`; the storage's.
pub async fn user(ledger: &Ledger, login: &str) -> Result<Option<User>> {
    let found = ledger.storage().record(GLOBAL, "user", &login_name(login)?, ledger.env().now()).await?;
    found.as_ref().map(body).transpose()
}

/// Checks a password; a right one opens a session, whose secret goes into the cookie. `agent`: what the browser
/// calls itself.
///
/// # Errors
/// [`Error::Unauthorized`], the same for an unknown name and a wrong password, after the same work.
pub async fn sign_in(
    ledger: &Ledger,
    login: &str,
    password: &str,
    agent: &str,
    limits: &crate::config::Auth,
) -> Result<String> {
    let refused = || Error::Unauthorized("login name or password is not right".into());
    if password.len() > MAX_PASSWORD {
        return Err(refused());
    }
    let found = match login_name(login) {
        Ok(_) => user(ledger, login).await?,
        Err(_) => None,
    };
    // Unknown names are checked against a hash that nothing opens, to take as long.
    const NOBODY: &str =
        "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let right = verified(found.as_ref().map_or(NOBODY, |u| &u.password), password).await?;
    let user = found.filter(|_| right).ok_or_else(refused)?;
    open_session(ledger, &user, login, agent, limits).await?.ok_or_else(refused)
}

/// Opens a session for somebody whom an identity provider has named; `None` where there is no such user, or they
/// may not work at the office.
///
/// # Errors
/// The storage's.
pub async fn sign_in_as(
    ledger: &Ledger,
    login: &str,
    agent: &str,
    limits: &crate::config::Auth,
) -> Result<Option<String>> {
    let Ok(login) = login_name(login) else { return Ok(None) };
    match user(ledger, &login).await? {
        Some(user) => open_session(ledger, &user, &login, agent, limits).await,
        None => Ok(None),
    }
}

/// Keeps what a sign-in at an identity provider began with, until it comes back.
pub(crate) async fn keep_try<T: Serialize>(ledger: &Ledger, key: &str, kept: &T, expires: Millis) -> Result<()> {
    let now = ledger.env().now();
    ledger.storage().put_record(GLOBAL, "oidc", record(key.to_owned(), kept, Some(expires))?, Some(0), now).await?;
    Ok(())
}

/// Takes it out.
pub(crate) async fn take_try<T: DeserializeOwned>(ledger: &Ledger, key: &str) -> Result<Option<T>> {
    let taken = ledger.storage().take_record(GLOBAL, "oidc", key, ledger.env().now()).await?;
    taken.as_ref().map(body).transpose()
}

/// Opens a session for somebody whose right to it was seen; `None` where they may not work at the office.
async fn open_session(
    ledger: &Ledger,
    user: &User,
    login: &str,
    agent: &str,
    limits: &crate::config::Auth,
) -> Result<Option<String>> {
    let roles = ledger.roles(user.tenant, user.staff).await?;
    if user.disabled.is_some() || !(Author { staff: user.staff, roles, device_code: None }).office() {
        return Ok(None);
    }
    let (secret, now) = (hex(&random::<32>(ledger.env())), ledger.env().now());
    let kept = OfficeRecord {
        tenant: user.tenant,
        staff: user.staff,
        login: login_name(login)?,
        created: now,
        seen: now,
        agent: agent.chars().filter(|c| !c.is_control()).take(200).collect(),
    };
    let session = record(digest(&secret), &kept, Some(ends(&kept, limits)))?;
    let entry = audit(ledger, user.staff, "user.sign_in", kept.login);
    put_audited(ledger, user.tenant, "session", session, None, entry).await?;
    Ok(Some(secret))
}

/// The name of a session: of the digest it is kept under so much that no two meet, and that it finds nothing.
fn session_id(key: &str) -> String {
    key.chars().take(16).collect()
}

/// When a session ends if nothing more is heard.
fn ends(kept: &OfficeRecord, limits: &crate::config::Auth) -> Millis {
    kept.seen.plus(seconds(limits.session_idle_seconds)).min(kept.created.plus(seconds(limits.session_seconds)))
}

/// Who a cookie stands for, now; moves the idle limit on.
///
/// # Errors
/// [`Error::Unauthorized`].
pub async fn office(ledger: &Ledger, secret: &str, limits: &crate::config::Auth) -> Result<OfficeSession> {
    let (at, mut kept, session) = opened_session(ledger, secret, limits).await?;
    let now = ledger.env().now();
    // Not on every click: a write costs more than a minute of the limit is worth.
    if now.since(kept.seen) >= Millis::MINUTE.min(seconds(limits.session_idle_seconds) / 10) {
        kept.seen = now;
        let moved = record(at.key, &kept, Some(ends(&kept, limits)))?;
        ledger.storage().put_record(GLOBAL, "session", moved, Some(at.ver), now).await?;
    }
    Ok(session)
}

/// As [`office`], but is no use of the session: the idle limit goes on.
///
/// # Errors
/// [`Error::Unauthorized`].
pub async fn office_still(ledger: &Ledger, secret: &str, limits: &crate::config::Auth) -> Result<OfficeSession> {
    Ok(opened_session(ledger, secret, limits).await?.2)
}

async fn opened_session(
    ledger: &Ledger,
    secret: &str,
    limits: &crate::config::Auth,
) -> Result<(Record, OfficeRecord, OfficeSession)> {
    let ended = || Error::Unauthorized("you are not signed in, or the session has ended".into());
    let now = ledger.env().now();
    let at = ledger.storage().record(GLOBAL, "session", &digest(secret), now).await?.ok_or_else(ended)?;
    let kept: OfficeRecord = body(&at)?;
    if ahead(kept.seen, now) {
        return Err(ended());
    }
    let roles = ledger.roles(kept.tenant, kept.staff).await?;
    let author = Author { staff: kept.staff, roles, device_code: None };
    if !author.office() {
        return Err(ended());
    }
    let session = OfficeSession {
        tenant: kept.tenant,
        author,
        login: kept.login.clone(),
        id: session_id(&at.key),
        created: kept.created,
        expires: ends(&kept, limits),
    };
    Ok((at, kept, session))
}

/// Ends a session.
///
/// # Errors
/// The storage's.
pub async fn sign_out(ledger: &Ledger, secret: &str) -> Result<()> {
    ledger.storage().take_record(GLOBAL, "session", &digest(secret), ledger.env().now()).await.map(drop)
}

/// Finds a person by their staff id, work number or name.
///
/// # Errors
/// [`Error::NotFound`], or `ambiguous` where a name fits several.
pub async fn find_staff(ledger: &Ledger, tenant: TenantId, who: &str) -> Result<StaffId> {
    let mut found = Vec::new();
    let mut query = crate::storage::Query { kind: Some(Kind::Staff), limit: 1000, ..Default::default() };
    loop {
        let page = ledger.storage().list(tenant, &query).await?;
        for view in &page {
            if let Entity::Staff(s) = view.entity()?
                && (view.summary.doc.id.to_string() == who || s.code == who || s.name == who)
                && s.left.is_none()
            {
                found.push(view.summary.doc);
            }
        }
        match page.last() {
            Some(last) if page.len() == query.page() => query.after = Some(last.key()),
            _ => break,
        }
    }
    match found.as_slice() {
        [DocRef { id, .. }] => Ok((*id).into()),
        [] => Err(Error::NotFound(format!("no member of staff {who:?}"))),
        _ => Err(Error::bad("ambiguous", "staff", format!("several members of staff are called {who:?}: give the id"))),
    }
}

/// Whether somebody holds one of these roles.
///
/// # Errors
/// [`Error::Forbidden`].
pub fn require(author: &Author, roles: &[Role]) -> Result<()> {
    if roles.iter().any(|r| author.is(*r)) {
        return Ok(());
    }
    let names: Vec<_> = roles.iter().map(|r| r.word()).collect();
    Err(Error::Forbidden(format!("this needs one of the roles {}", names.join(", "))))
}

// ---- limits of rate ----

/// So many per minute and key, saved up to a minute's worth. Per process; bounded.
#[derive(Debug)]
pub struct Rate<K> {
    buckets: Mutex<HashMap<K, (f64, Millis)>>,
}

impl<K> Default for Rate<K> {
    fn default() -> Self {
        Self { buckets: Mutex::default() }
    }
}

/// Most keys remembered.
const KEYS: usize = 100_000;

impl<K: Hash + Eq> Rate<K> {
    /// Takes one.
    ///
    /// # Errors
    /// [`Error::Busy`] with the time to wait.
    pub fn take(&self, key: K, per_minute: u32, now: Millis) -> Result<()> {
        let rate = f64::from(per_minute) / 60_000.0;
        let mut buckets = self.buckets.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if buckets.len() >= KEYS && !buckets.contains_key(&key) {
            // A bucket untouched for a minute is full: forgetting it changes nothing.
            buckets.retain(|_, (_, at)| now.since(*at) < Millis::MINUTE);
            if buckets.len() >= KEYS {
                return Err(Error::Busy { retry_after: Millis::MINUTE });
            }
        }
        let (left, at) = buckets.entry(key).or_insert((f64::from(per_minute), now));
        *left = (*left + now.since(*at).max(0) as f64 * rate).min(f64::from(per_minute));
        *at = now;
        if *left >= 1.0 {
            *left -= 1.0;
            return Ok(());
        }
        Err(Error::Busy { retry_after: ((1.0 - *left) / rate).ceil() as i64 })
    }
}

/// Failed sign-ins, by login name whether or not anybody has it.
#[derive(Debug, Default)]
pub struct Lockout {
    failures: Mutex<HashMap<String, (u32, Millis)>>,
}

impl Lockout {
    /// Whether the name is open.
    ///
    /// # Errors
    /// [`Error::Busy`] with the time to wait.
    pub fn check(&self, login: &str, limits: &crate::config::Limits, now: Millis) -> Result<()> {
        let mut failures = self.failures.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, at)) = failures.get_mut(login) {
            // Where the clock was set back, the time begins again: it must not take as much longer.
            *at = now.min(*at);
        }
        match failures.get(login) {
            Some((n, at)) if *n >= limits.login_failures && now.since(*at) < seconds(limits.lockout_seconds) => {
                Err(Error::Busy { retry_after: seconds(limits.lockout_seconds) - now.since(*at) })
            }
            _ => Ok(()),
        }
    }

    /// Notes how a try went.
    pub fn note(&self, login: &str, good: bool, limits: &crate::config::Limits, now: Millis) {
        let mut failures = self.failures.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if good {
            failures.remove(login);
            return;
        }
        let over = |at: &Millis| now.since(*at) >= seconds(limits.lockout_seconds);
        if failures.len() >= KEYS {
            failures.retain(|_, (_, at)| !over(at));
        }
        let entry = failures.entry(login.to_owned()).or_insert((0, now));
        if over(&entry.1) {
            entry.0 = 0;
        }
        *entry = (entry.0 + 1, now);
    }
}
