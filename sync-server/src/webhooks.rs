//! What happens, told to other programs (an ERP) as signed requests in the
//! form of Standard Webhooks.
//!
//! Nothing is written when something happens: each hook has a cursor of the
//! company's log, and what happened is read from the changes after it, in
//! their order. The cursor moves when the receiver has taken an event, so each
//! is told at least once, and a receiver that was away misses nothing. A
//! receiver that does not answer is tried again after ever longer waits, and
//! after some days no more.

use crate::config::Config;
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::office::shown::Document;
use crate::storage::{Audit, Batch, GLOBAL, Record, RecordWrite, Tenant};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use onsite_core::document::{Change, Doc};
use onsite_core::domain::value::opened;
use onsite_core::domain::{DocId, DocRef, Entity, Kind, Millis, Outcome, StaffId, TenantId};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;
use uuid::Uuid;

/// Table of the hooks, under [`GLOBAL`]: `company/id`.
const TABLE: &str = "webhook";
/// What a company vouches for with a hook's secret.
const DOMAIN: &[u8] = b"onsite-webhook-v1";
/// Most hooks of a company.
const MOST: usize = 20;
/// Longest address in characters.
const MAX_URL: usize = 500;
/// Changes read at once.
const PAGE: usize = 200;
/// Days for which is kept what was sent.
const KEPT: i64 = 30 * 24 * 60 * Millis::MINUTE;
/// First wait after a failure in milliseconds; doubled each time.
const FIRST_WAIT: i64 = 5_000;
/// Longest wait in milliseconds.
const LONGEST_WAIT: i64 = 60 * Millis::MINUTE;
/// Tries of one event that the receiver answers with a refusal: then the next one has its turn.
const REFUSED_TRIES: u32 = 10;
/// Bytes of an answer that are kept.
const ANSWER: usize = 500;
/// How often is looked for something new.
const TICK: Duration = Duration::from_secs(1);

/// Something that happened.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = WebhookEvent)]
pub enum Event {
    /// A repair was reported.
    #[serde(rename = "request.reported")]
    RequestReported,
    /// A work order was opened.
    #[serde(rename = "work_order.opened")]
    Opened,
    /// Its dispatch order was issued, or issued again.
    #[serde(rename = "work_order.dispatched")]
    Dispatched,
    /// Its cash advance was paid.
    #[serde(rename = "work_order.advance_paid")]
    AdvancePaid,
    /// It was completed on site.
    #[serde(rename = "work_order.completed")]
    Completed,
    /// It was left incomplete on site.
    #[serde(rename = "work_order.incomplete")]
    Incomplete,
    /// Money was booked on it.
    #[serde(rename = "work_order.booked")]
    Booked,
    /// It was cancelled.
    #[serde(rename = "work_order.cancelled")]
    Cancelled,
    /// It was closed.
    #[serde(rename = "work_order.closed")]
    Closed,
    /// It was archived.
    #[serde(rename = "work_order.archived")]
    Archived,
    /// The customer signed the record of a visit.
    #[serde(rename = "visit.signed")]
    Signed,
    /// Money was taken on site.
    #[serde(rename = "visit.payment_taken")]
    PaymentTaken,
    /// A follow-up call was made.
    #[serde(rename = "call.recorded")]
    CallRecorded,
    /// A complaint was received.
    #[serde(rename = "complaint.received")]
    ComplaintReceived,
    /// A complaint was settled or dismissed.
    #[serde(rename = "complaint.resolved")]
    ComplaintResolved,
    /// A penalty or reward was decided.
    #[serde(rename = "proposal.decided")]
    ProposalDecided,
    /// Somebody tries whether the receiver answers.
    #[serde(rename = "ping")]
    Ping,
}

impl Event {
    /// Every event of documents.
    pub const ALL: [Self; 16] = [
        Self::RequestReported,
        Self::Opened,
        Self::Dispatched,
        Self::AdvancePaid,
        Self::Completed,
        Self::Incomplete,
        Self::Booked,
        Self::Cancelled,
        Self::Closed,
        Self::Archived,
        Self::Signed,
        Self::PaymentTaken,
        Self::CallRecorded,
        Self::ComplaintReceived,
        Self::ComplaintResolved,
        Self::ProposalDecided,
    ];

    /// Its word.
    pub fn word(self) -> String {
        serde_json::to_value(self).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
    }
}

/// What a change of a document means; of what the event tells: that document, or the job of a visit.
fn happened(doc: DocRef, before: &Entity, after: &Entity) -> Vec<(Event, DocId)> {
    let mut events = Vec::new();
    let mut when = |so: bool, event, of: DocId| {
        if so {
            events.push((event, of));
        }
    };
    match (before, after) {
        (Entity::Request(b), Entity::Request(a)) => {
            when(b.author.is_none() && a.author.is_some(), Event::RequestReported, doc.id);
        }
        (Entity::WorkOrder(b), Entity::WorkOrder(a)) => {
            when(b.opened.is_none() && a.opened.is_some(), Event::Opened, doc.id);
            let issued = b.dispatch.issued.is_none() && a.dispatch.issued.is_some();
            when(issued || a.redispatched.len() > b.redispatched.len(), Event::Dispatched, doc.id);
            when(b.advance_paid.is_none() && a.advance_paid.is_some(), Event::AdvancePaid, doc.id);
            when(a.bookings.len() > b.bookings.len(), Event::Booked, doc.id);
            when(b.cancelled.is_none() && a.cancelled.is_some(), Event::Cancelled, doc.id);
            when(b.closed.is_none() && a.closed.is_some(), Event::Closed, doc.id);
            when(b.archived.is_none() && a.archived.is_some(), Event::Archived, doc.id);
        }
        (Entity::Visit(b), Entity::Visit(a)) => {
            let job = a.work_order.map_or(doc.id, Into::into);
            let became = |outcome| b.outcome != Some(outcome) && a.outcome == Some(outcome);
            when(became(Outcome::Completed), Event::Completed, job);
            when(became(Outcome::Incomplete), Event::Incomplete, job);
            when(a.signature.is_some() && a.signature != b.signature, Event::Signed, doc.id);
            when(a.receipts.len() > b.receipts.len(), Event::PaymentTaken, doc.id);
        }
        (Entity::FollowUp(b), Entity::FollowUp(a)) => {
            when(b.done.is_none() && a.done.is_some(), Event::CallRecorded, doc.id);
        }
        (Entity::Complaint(b), Entity::Complaint(a)) => {
            when(b.received.is_none() && a.received.is_some(), Event::ComplaintReceived, doc.id);
            let settled = |c: &onsite_core::domain::Complaint| c.resolved.is_some() || c.dismissed.is_some();
            when(!settled(b) && settled(a), Event::ComplaintResolved, doc.id);
        }
        (Entity::Appraisal(b), Entity::Appraisal(a)) => {
            when(a.decision.is_some() && a.decision != b.decision, Event::ProposalDecided, doc.id);
        }
        _ => {}
    }
    events
}

/// Kinds whose changes mean something to receivers.
const KINDS: [Kind; 6] =
    [Kind::Request, Kind::WorkOrder, Kind::Visit, Kind::FollowUp, Kind::Complaint, Kind::Appraisal];

/// A hook, as kept.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Kept {
    tenant: TenantId,
    id: Uuid,
    url: String,
    events: BTreeSet<Event>,
    note: String,
    enabled: bool,
    /// Why it was switched off, where nobody did.
    off: Option<String>,
    made: Millis,
    by: StaffId,
    /// Which secret it has: another number, another secret.
    secret: u32,
    epoch: u64,
    /// Told are all changes up to this one …
    cursor: u64,
    /// … and so many events of the next.
    part: usize,
    /// Failed tries of the event that is to be told next.
    tries: u32,
    /// Not before then.
    next: Millis,
    failing: Option<Millis>,
    /// Requests made, which numbers them.
    sent: u64,
}

/// A hook.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[schema(as = Webhook)]
pub struct Hook {
    /// Its id.
    pub id: Uuid,
    /// Where events are sent.
    pub url: String,
    /// Which events.
    pub events: BTreeSet<Event>,
    /// What it is for.
    pub note: String,
    /// Whether events are sent.
    pub enabled: bool,
    /// Why it was switched off, where nobody did: `failing` or `gone`.
    pub off: Option<String>,
    /// When it was made.
    pub made: Millis,
    /// By whom.
    pub by: StaffId,
    /// Changes of the log that have not been looked at for it.
    pub behind: u64,
    /// Since when its receiver does not take what is sent.
    pub failing_since: Option<Millis>,
    /// Failed tries of the event that is to be told next.
    pub tries: u32,
    /// Not tried again before then.
    pub next_try: Option<Millis>,
}

/// A hook with its secret, which is told once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[schema(as = WebhookWithSecret)]
pub struct HookWithSecret {
    /// The hook.
    pub hook: Hook,
    /// The key of its signatures, as Standard Webhooks write it (`whsec_…`).
    pub secret: String,
}

/// One request to a receiver.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = WebhookDelivery)]
pub struct Delivery {
    /// Its number.
    pub n: u64,
    /// When it was made.
    pub at: Millis,
    /// Header `webhook-id`: the same for every try of an event.
    pub id: String,
    /// What happened.
    pub event: Event,
    /// What it tells of.
    pub doc: Option<DocRef>,
    /// The change of the log; 0 for none.
    pub cursor: u64,
    /// Which try, from 1.
    pub attempt: u32,
    /// Status of the answer.
    pub status: Option<u16>,
    /// The beginning of the answer, or why there was none.
    pub answer: String,
    /// Milliseconds it took.
    pub took_ms: u64,
    /// Whether the receiver has taken it.
    pub taken: bool,
}

/// What a hook is made of.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, ToSchema)]
#[schema(as = NewWebhook)]
pub struct NewHook {
    /// Where events are sent.
    pub url: String,
    /// Which events.
    pub events: BTreeSet<Event>,
    /// What it is for.
    #[serde(default)]
    pub note: String,
}

/// What of a hook is changed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = WebhookPatch)]
pub struct HookPatch {
    /// Where events are sent.
    pub url: Option<String>,
    /// Which events.
    pub events: Option<BTreeSet<Event>>,
    /// What it is for.
    pub note: Option<String>,
    /// Whether events are sent. One that is switched on again goes on where it was.
    pub enabled: Option<bool>,
}

fn key(tenant: TenantId, id: Uuid) -> String {
    format!("{tenant}/{id}")
}

/// The table of a hook's requests; their keys put the newest first.
fn sent_table(id: Uuid) -> String {
    format!("webhook_sent/{id}")
}

fn sent_key(n: u64) -> String {
    format!("{:016x}", u64::MAX - n)
}

fn shown(kept: &Kept, company: &Tenant, now: Millis) -> Hook {
    Hook {
        id: kept.id,
        url: kept.url.clone(),
        events: kept.events.clone(),
        note: kept.note.clone(),
        enabled: kept.enabled,
        off: kept.off.clone(),
        made: kept.made,
        by: kept.by,
        behind: company.head.saturating_sub(kept.cursor),
        failing_since: kept.failing,
        tries: kept.tries,
        next_try: Some(kept.next).filter(|next| kept.enabled && *next > now),
    }
}

/// The key of a hook's signatures: made of the company's own, so that it is nowhere written down.
fn secret(company: &Tenant, kept: &Kept) -> Result<[u8; 32]> {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&company.secret)
        .map_err(|e| Error::Internal(format!("a company's secret: {e}")))?;
    for part in [DOMAIN, kept.id.as_bytes(), &kept.secret.to_be_bytes()] {
        mac.update(part);
    }
    Ok(mac.finalize().into_bytes().into())
}

fn told(secret: [u8; 32]) -> String {
    format!("whsec_{}", STANDARD.encode(secret))
}

/// The header `webhook-signature` of a body.
fn signature(secret: &[u8], id: &str, seconds: i64, body: &[u8]) -> Result<String> {
    let mut mac =
        Hmac::<sha2::Sha256>::new_from_slice(secret).map_err(|e| Error::Internal(format!("a hook's secret: {e}")))?;
    mac.update(format!("{id}.{seconds}.").as_bytes());
    mac.update(body);
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

// ---- where may be sent to ----

/// Whether an address is one of the public network: not of this machine, of
/// a network of its own, or of those that mean something special.
pub fn public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => public_v4(v4),
        IpAddr::V6(v6) => public_v6(v6),
    }
}

fn public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_broadcast()
        || ip.is_documentation()
        || ip.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19)))
}

fn public_v6(ip: Ipv6Addr) -> bool {
    let s = ip.segments();
    let inner = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match s {
        // Translated addresses: what counts is where they lead.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => inner(high, low),
        [0x64, 0xff9b, ..] => false,
        [0x2002, high, low, ..] => inner(high, low),
        // Teredo, benchmarks, documentation.
        [0x2001, 0, ..] | [0x2001, 2, 0, ..] | [0x2001, 0xdb8, ..] | [0x3fff, ..] => false,
        // Only what is given out as global unicast.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// Resolves names, and answers only addresses that may be sent to.
#[derive(Debug)]
struct Guarded {
    private: bool,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let private = self.private;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let good: Vec<_> = found.filter(|at| private || public(at.ip())).collect();
            if good.is_empty() {
                return Err(format!("{} is not an address of the public network", name.as_str()).into());
            }
            Ok(Box::new(good.into_iter()) as Addrs)
        })
    }
}

/// What sends.
#[derive(Debug)]
pub struct Sender {
    http: OnceLock<Option<reqwest::Client>>,
    private: bool,
    patience: Duration,
    give_up: i64,
    busy: Mutex<HashSet<Uuid>>,
}

/// What came of a request.
struct Answer {
    status: Option<u16>,
    text: String,
    took_ms: u64,
}

impl Answer {
    fn taken(&self) -> bool {
        self.status.is_some_and(|s| (200..300).contains(&s))
    }
}

impl Sender {
    /// A sender as configured.
    pub fn new(config: &Config) -> Self {
        let hours = i64::try_from(config.webhooks.give_up_hours).unwrap_or(i64::MAX).min(24 * 365);
        Self {
            http: OnceLock::new(),
            private: config.webhooks.allow_private,
            patience: Duration::from_secs(config.webhooks.timeout_seconds),
            give_up: hours * 60 * Millis::MINUTE,
            busy: Mutex::default(),
        }
    }

    /// Made when there is something to send: it reads the machine's certificates.
    fn http(&self) -> Result<&reqwest::Client> {
        let made = self.http.get_or_init(|| {
            reqwest::Client::builder()
                .dns_resolver(Arc::new(Guarded { private: self.private }))
                // A redirect leads where nobody looked.
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .timeout(self.patience)
                .user_agent(concat!("onsite/", env!("CARGO_PKG_VERSION")))
                .build()
                .inspect_err(|e| tracing::error!(error = %e, "webhooks cannot be sent"))
                .ok()
        });
        made.as_ref().ok_or_else(|| Error::Internal("webhooks cannot be sent from this machine".into()))
    }

    /// Whether something may be sent to an address.
    fn check(&self, url: &str) -> Result<reqwest::Url> {
        let bad = |why: &str| Error::bad("bad_url", "url", why);
        if url.len() > MAX_URL {
            return Err(bad("longer than 500 characters"));
        }
        let url = reqwest::Url::parse(url).map_err(|e| bad(&format!("not an address: {e}")))?;
        if url.scheme() != "https" && !(self.private && url.scheme() == "http") {
            return Err(bad("must begin with https://"));
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(bad("must have neither a user nor a fragment: the signature says who sends"));
        }
        let host = url.host_str().unwrap_or_default();
        let literal: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        let named = host.trim_end_matches('.').to_ascii_lowercase();
        let home = named == "localhost" || named.ends_with(".localhost") || named.ends_with(".local");
        if host.is_empty() || (!self.private && (home || literal.is_some_and(|ip| !public(ip)))) {
            return Err(Error::bad("private_address", "url", "not an address of the public network"));
        }
        Ok(url)
    }

    async fn post(&self, url: &str, headers: [(&'static str, String); 3], body: Vec<u8>) -> Result<Answer> {
        let begun = std::time::Instant::now();
        let took = || u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let failed = |text: String| Answer { status: None, text, took_ms: took() };
        let url = match self.check(url) {
            Ok(url) => url,
            Err(e) => return Ok(failed(e.to_string())),
        };
        let mut request = self.http()?.post(url).header("content-type", "application/json").body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let mut answer = match request.send().await {
            Ok(answer) => answer,
            Err(e) => {
                // The innermost says what it was; the address may hold a secret and is not told.
                let mut why: &dyn std::error::Error = &e;
                while let Some(inner) = why.source() {
                    why = inner;
                }
                let kind = if e.is_timeout() { "timeout" } else { "no answer" };
                return Ok(failed(format!("{kind}: {why}").chars().take(ANSWER).collect()));
            }
        };
        let status = Some(answer.status().as_u16());
        let mut text = Vec::new();
        while text.len() < ANSWER {
            match answer.chunk().await {
                Ok(Some(more)) => text.extend(more.iter().take(ANSWER - text.len())),
                _ => break,
            }
        }
        Ok(Answer { status, text: String::from_utf8_lossy(&text).into_owned(), took_ms: took() })
    }
}

// ---- keeping hooks ----

fn events_of(events: &BTreeSet<Event>) -> Result<()> {
    if events.is_empty() || events.contains(&Event::Ping) {
        return Err(Error::bad("bad_events", "events", "name one event at least, and no ping"));
    }
    Ok(())
}

fn note_of(note: &str) -> Result<()> {
    if note.chars().count() > 200 || note.chars().any(char::is_control) {
        return Err(Error::bad("bad_field", "note", "at most 200 characters, no control characters"));
    }
    Ok(())
}

fn write(kept: &Kept, expect: Option<u64>, expires: Option<Millis>) -> Result<RecordWrite> {
    let record = Record { key: key(kept.tenant, kept.id), body: serde_json::to_value(kept)?, expires, ver: 0 };
    Ok(RecordWrite { tenant: GLOBAL, table: TABLE.into(), record, expect })
}

fn audit(ledger: &Ledger, by: StaffId, action: &str, kept: &Kept) -> Audit {
    let detail = serde_json::json!({ "url": kept.url, "events": kept.events, "enabled": kept.enabled });
    Audit { at: ledger.env().now(), by, action: action.into(), subject: kept.id.to_string(), detail }
}

async fn company(ledger: &Ledger, tenant: TenantId) -> Result<Tenant> {
    ledger.storage().tenant(tenant).await?.ok_or_else(|| Error::NotFound(format!("no company {tenant}")))
}

async fn find(ledger: &Ledger, tenant: TenantId, id: Uuid) -> Result<(Kept, u64)> {
    let found = ledger.storage().record(GLOBAL, TABLE, &key(tenant, id), ledger.env().now()).await?;
    let found = found.ok_or_else(|| Error::NotFound(format!("no webhook {id}")))?;
    Ok((serde_json::from_value(found.body)?, found.ver))
}

async fn all(ledger: &Ledger, tenant: Option<TenantId>) -> Result<Vec<Kept>> {
    let after = tenant.map(|t| format!("{t}/")).unwrap_or_default();
    let limit = if tenant.is_some() { MOST + 1 } else { usize::MAX };
    let rows = ledger.storage().records(GLOBAL, TABLE, &after, limit, ledger.env().now()).await?;
    let rows = rows.into_iter().filter(|r| r.key.starts_with(&after));
    rows.map(|r| Ok(serde_json::from_value(r.body)?)).collect()
}

impl Sender {
    /// A company's hooks.
    ///
    /// # Errors
    /// The storage's.
    pub async fn hooks(&self, ledger: &Ledger, tenant: TenantId) -> Result<Vec<Hook>> {
        let (company, now) = (company(ledger, tenant).await?, ledger.env().now());
        Ok(all(ledger, Some(tenant)).await?.iter().map(|k| shown(k, &company, now)).collect())
    }

    /// Makes a hook, which tells of what happens from now on.
    ///
    /// # Errors
    /// `bad_url`, `private_address`, `bad_events`, `bad_field`, `too_many_webhooks`; the storage's.
    pub async fn create(&self, ledger: &Ledger, tenant: TenantId, by: StaffId, new: NewHook) -> Result<HookWithSecret> {
        self.check(&new.url)?;
        events_of(&new.events)?;
        note_of(&new.note)?;
        if all(ledger, Some(tenant)).await?.len() >= MOST {
            let detail = format!("a company has at most {MOST} webhooks");
            return Err(Error::Conflict { code: "too_many_webhooks", detail });
        }
        let (company, now) = (company(ledger, tenant).await?, ledger.env().now());
        let kept = Kept {
            tenant,
            id: ledger.env().new_id(),
            url: new.url,
            events: new.events,
            note: new.note,
            enabled: true,
            off: None,
            made: now,
            by,
            secret: 1,
            epoch: company.epoch,
            cursor: company.head,
            part: 0,
            tries: 0,
            next: now,
            failing: None,
            sent: 0,
        };
        let records = vec![write(&kept, Some(0), None)?];
        let audit = vec![audit(ledger, by, "webhook.create", &kept)];
        ledger.storage().commit(tenant, Batch { now, records, audit, ..Batch::default() }).await?;
        Ok(HookWithSecret { hook: shown(&kept, &company, now), secret: told(secret(&company, &kept)?) })
    }

    /// Changes a hook that is there, with an entry in the audit chain.
    async fn edit(
        &self,
        ledger: &Ledger,
        tenant: TenantId,
        id: Uuid,
        (by, action): (StaffId, &str),
        change: impl Fn(&mut Kept) -> Result<()>,
    ) -> Result<Kept> {
        // What is being sent meanwhile moves the record too.
        for _ in 0..16 {
            let (mut kept, ver) = find(ledger, tenant, id).await?;
            change(&mut kept)?;
            let now = ledger.env().now();
            let (records, audit) = (vec![write(&kept, Some(ver), None)?], vec![audit(ledger, by, action, &kept)]);
            match ledger.storage().commit(tenant, Batch { now, records, audit, ..Batch::default() }).await {
                Err(Error::Moved) => {}
                done => return done.map(|_| kept),
            }
        }
        Err(Error::Busy { retry_after: 1000 })
    }

    /// Changes a hook.
    ///
    /// # Errors
    /// As [`Sender::create`]; [`Error::NotFound`].
    pub async fn change(
        &self,
        ledger: &Ledger,
        tenant: TenantId,
        by: StaffId,
        id: Uuid,
        patch: HookPatch,
    ) -> Result<Hook> {
        let now = ledger.env().now();
        let kept = self.edit(ledger, tenant, id, (by, "webhook.change"), |kept| {
            if let Some(url) = &patch.url {
                self.check(url)?;
                kept.url.clone_from(url);
                (kept.tries, kept.next) = (0, now);
            }
            if let Some(events) = &patch.events {
                events_of(events)?;
                kept.events.clone_from(events);
                // Which of a change's events were told is counted by the old ones.
                kept.part = 0;
            }
            if let Some(note) = &patch.note {
                note_of(note)?;
                kept.note.clone_from(note);
            }
            if let Some(enabled) = patch.enabled {
                if enabled && !kept.enabled {
                    (kept.tries, kept.next, kept.failing, kept.off) = (0, now, None, None);
                }
                kept.enabled = enabled;
            }
            Ok(())
        });
        let kept = kept.await?;
        Ok(shown(&kept, &company(ledger, tenant).await?, now))
    }

    /// Gives a hook another secret; the old one signs nothing any more.
    ///
    /// # Errors
    /// [`Error::NotFound`]; the storage's.
    pub async fn new_secret(&self, ledger: &Ledger, tenant: TenantId, by: StaffId, id: Uuid) -> Result<HookWithSecret> {
        let kept = self.edit(ledger, tenant, id, (by, "webhook.secret"), |kept| {
            kept.secret = kept.secret.saturating_add(1);
            Ok(())
        });
        let (kept, company) = (kept.await?, company(ledger, tenant).await?);
        let hook = shown(&kept, &company, ledger.env().now());
        Ok(HookWithSecret { hook, secret: told(secret(&company, &kept)?) })
    }

    /// Takes a hook out.
    ///
    /// # Errors
    /// [`Error::NotFound`]; the storage's.
    pub async fn remove(&self, ledger: &Ledger, tenant: TenantId, by: StaffId, id: Uuid) -> Result<()> {
        let now = ledger.env().now();
        let (kept, _) = find(ledger, tenant, id).await?;
        let records = vec![write(&kept, None, Some(now))?];
        let audit = vec![audit(ledger, by, "webhook.delete", &kept)];
        ledger.storage().commit(tenant, Batch { now, records, audit, ..Batch::default() }).await?;
        Ok(())
    }

    /// What was sent, newest first, before the request of a number.
    ///
    /// # Errors
    /// [`Error::NotFound`]; the storage's.
    pub async fn deliveries(
        &self,
        ledger: &Ledger,
        tenant: TenantId,
        id: Uuid,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Delivery>> {
        find(ledger, tenant, id).await?;
        let after = before.map(sent_key).unwrap_or_default();
        let rows = ledger.storage().records(tenant, &sent_table(id), &after, limit, ledger.env().now()).await?;
        rows.into_iter().map(|r| Ok(serde_json::from_value(r.body)?)).collect()
    }

    // ---- sending ----

    /// Sends something that is not what is next: a ping, or what was sent before.
    async fn aside(
        &self,
        ledger: &Ledger,
        tenant: TenantId,
        id: Uuid,
        (event, doc, cursor, name): (Event, Option<DocRef>, u64, String),
    ) -> Result<Delivery> {
        let company = company(ledger, tenant).await?;
        let (kept, _) = find(ledger, tenant, id).await?;
        let what = What { event, doc, cursor, id: name };
        let answer = self.tell(ledger, &company, &kept, &what).await?;
        for _ in 0..16 {
            let (mut kept, ver) = find(ledger, tenant, id).await?;
            let sent = note(&mut kept, ledger.env().now(), &what, 1, &answer);
            let records = vec![write(&kept, Some(ver), None)?, sent_row(tenant, id, &sent)?];
            let now = ledger.env().now();
            match ledger.storage().commit(tenant, Batch { now, records, ..Batch::default() }).await {
                Err(Error::Moved) => {}
                done => return done.map(|_| sent),
            }
        }
        Err(Error::Busy { retry_after: 1000 })
    }

    /// Tries whether a hook's receiver answers.
    ///
    /// # Errors
    /// [`Error::NotFound`]; the storage's.
    pub async fn ping(&self, ledger: &Ledger, tenant: TenantId, id: Uuid) -> Result<Delivery> {
        let name = format!("ping-{}", ledger.env().new_id());
        self.aside(ledger, tenant, id, (Event::Ping, None, 0, name)).await
    }

    /// Sends an event again under its old id, with what its document says now.
    ///
    /// # Errors
    /// [`Error::NotFound`]; the storage's.
    pub async fn again(&self, ledger: &Ledger, tenant: TenantId, id: Uuid, n: u64) -> Result<Delivery> {
        let found = ledger.storage().record(tenant, &sent_table(id), &sent_key(n), ledger.env().now()).await?;
        let found = found.ok_or_else(|| Error::NotFound(format!("no delivery {n}")))?;
        let old: Delivery = serde_json::from_value(found.body)?;
        self.aside(ledger, tenant, id, (old.event, old.doc, old.cursor, old.id)).await
    }

    async fn tell(&self, ledger: &Ledger, company: &Tenant, kept: &Kept, what: &What) -> Result<Answer> {
        let now = ledger.env().now();
        let document = match what.doc {
            Some(doc) => ledger.storage().views(company.id, &[doc.id]).await?.pop(),
            None => None,
        };
        let document = document.map(|view| Document::of(&view)).transpose()?;
        let body = opened(|| {
            let time = jiff::Timestamp::from_millisecond(now.0).unwrap_or_default().to_string();
            serde_json::to_vec(&serde_json::json!({
                "type": what.event,
                "timestamp": time,
                "data": { "company": company.id, "cursor": what.cursor, "document": document },
            }))
        })?;
        let seconds = now.0.div_euclid(1000);
        let signed = signature(&secret(company, kept)?, &what.id, seconds, &body)?;
        let headers = [
            ("webhook-id", what.id.clone()),
            ("webhook-timestamp", seconds.to_string()),
            ("webhook-signature", signed),
        ];
        self.post(&kept.url, headers, body).await
    }

    /// Tells a hook's receiver what is new, as long as it takes it.
    ///
    /// # Errors
    /// The storage's.
    async fn catch_up(&self, ledger: &Ledger, tenant: TenantId, id: Uuid) -> Result<()> {
        loop {
            let company = company(ledger, tenant).await?;
            let (mut kept, ver) = find(ledger, tenant, id).await?;
            let now = ledger.env().now();
            if !kept.enabled || kept.next > now {
                return Ok(());
            }
            let before = (kept.epoch, kept.cursor);
            if kept.epoch != company.epoch {
                // The server was restored: what it lost will come again with other numbers.
                (kept.epoch, kept.cursor, kept.part) = (company.epoch, kept.cursor.min(company.head), 0);
            }
            let Some(what) = next(ledger, &company, &mut kept).await? else {
                if (kept.epoch, kept.cursor) != before {
                    let records = vec![write(&kept, Some(ver), None)?];
                    let moved = ledger.storage().commit(tenant, Batch { now, records, ..Batch::default() }).await;
                    if !matches!(moved, Err(Error::Moved)) {
                        moved?;
                    }
                }
                return Ok(());
            };
            let answer = self.tell(ledger, &company, &kept, &what).await?;
            let now = ledger.env().now();
            let mut audits = Vec::new();
            let tries = kept.tries + 1;
            let sent = note(&mut kept, now, &what, tries, &answer);
            let refused = answer.status.is_some_and(|s| (400..500).contains(&s) && s != 408 && s != 429);
            if answer.taken() {
                kept.part += 1;
                (kept.tries, kept.next, kept.failing) = (0, now, None);
            } else {
                kept.tries = tries;
                let since = *kept.failing.get_or_insert(now);
                kept.next = now.plus(wait(tries, ledger));
                if answer.status == Some(410) || now.since(since) >= self.give_up {
                    kept.enabled = false;
                    kept.off = Some(if answer.status == Some(410) { "gone" } else { "failing" }.into());
                    audits.push(audit(ledger, StaffId(Uuid::nil()), "webhook.off", &kept));
                    tracing::warn!(webhook = %id, "a webhook was switched off");
                } else if refused && tries >= REFUSED_TRIES {
                    // It answers, and does not want this one: those behind it have their turn.
                    kept.part += 1;
                    (kept.tries, kept.next) = (0, now);
                }
            }
            let records = vec![write(&kept, Some(ver), None)?, sent_row(tenant, id, &sent)?];
            match ledger.storage().commit(tenant, Batch { now, records, audit: audits, ..Batch::default() }).await {
                // Somebody changed the hook meanwhile: told once more, rather than not at all.
                Err(Error::Moved) => {}
                done => {
                    done?;
                }
            }
        }
    }

    /// Tells every hook's receiver what is new. Hooks that are being told already are left alone.
    ///
    /// # Errors
    /// The storage's.
    pub async fn round(self: &Arc<Self>, ledger: &Ledger) -> Result<()> {
        let (hooks, now) = (all(ledger, None).await?, ledger.env().now());
        if hooks.is_empty() {
            return Ok(());
        }
        let heads: std::collections::HashMap<TenantId, (u64, u64)> =
            ledger.storage().tenants().await?.into_iter().map(|t| (t.id, (t.epoch, t.head))).collect();
        let mut work = Vec::new();
        for hook in hooks {
            let new = heads.get(&hook.tenant).is_some_and(|(e, head)| *e != hook.epoch || *head > hook.cursor);
            if !hook.enabled || hook.next > now || !new {
                continue;
            }
            let Some(turn) = Turn::take(self, hook.id) else { continue };
            let (sender, ledger) = (Arc::clone(self), ledger.clone());
            work.push(tokio::spawn(async move {
                let _turn = turn;
                if let Err(e) = sender.catch_up(&ledger, hook.tenant, hook.id).await
                    && !matches!(e, Error::NotFound(_))
                {
                    tracing::error!(webhook = %hook.id, error = %e, "telling a webhook");
                }
            }));
        }
        futures_util::future::join_all(work).await;
        Ok(())
    }

    /// Goes on until the server stops.
    pub async fn run(self: Arc<Self>, ledger: Ledger, stopping: CancellationToken) {
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(TICK) => {}
            }
            // A slow receiver must not hold up the others: each round waits for its own only.
            let (sender, ledger) = (Arc::clone(&self), ledger.clone());
            tokio::spawn(async move {
                if let Err(e) = sender.round(&ledger).await {
                    tracing::error!(error = %e, "looking for webhooks");
                }
            });
        }
    }
}

/// Whoever holds this tells a hook alone.
struct Turn {
    sender: Arc<Sender>,
    id: Uuid,
}

impl Turn {
    fn take(sender: &Arc<Sender>, id: Uuid) -> Option<Self> {
        let free = sender.busy.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        free.then(|| Self { sender: Arc::clone(sender), id })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.sender.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

/// What is told.
struct What {
    event: Event,
    doc: Option<DocRef>,
    cursor: u64,
    id: String,
}

fn note(kept: &mut Kept, at: Millis, what: &What, attempt: u32, answer: &Answer) -> Delivery {
    kept.sent += 1;
    Delivery {
        n: kept.sent,
        at,
        id: what.id.clone(),
        event: what.event,
        doc: what.doc,
        cursor: what.cursor,
        attempt,
        status: answer.status,
        answer: answer.text.clone(),
        took_ms: answer.took_ms,
        taken: answer.taken(),
    }
}

fn sent_row(tenant: TenantId, hook: Uuid, sent: &Delivery) -> Result<RecordWrite> {
    let (key, body) = (sent_key(sent.n), serde_json::to_value(sent)?);
    let record = Record { key, body, expires: Some(sent.at.plus(KEPT)), ver: 0 };
    Ok(RecordWrite { tenant, table: sent_table(hook), record, expect: None })
}

/// The next event of a hook; moves its cursor over what holds none for it.
async fn next(ledger: &Ledger, company: &Tenant, kept: &mut Kept) -> Result<Option<What>> {
    loop {
        let rows = ledger.storage().log(company.id, kept.cursor, PAGE).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        for row in rows {
            let doc = DocRef { kind: row.kind, id: row.doc };
            let events = match row.body.is_empty() || !KINDS.contains(&row.kind) {
                true => Vec::new(),
                false => events_at(ledger, company.id, doc, row.cursor).await?,
            };
            let wanted: Vec<_> = events.into_iter().filter(|(event, _)| kept.events.contains(event)).collect();
            if let Some((event, of)) = wanted.get(kept.part) {
                let of = if *of == doc.id { doc } else { DocRef { kind: Kind::WorkOrder, id: *of } };
                let id = format!("{}-{}-{}", company.epoch, row.cursor, event.word());
                return Ok(Some(What { event: *event, doc: Some(of), cursor: row.cursor, id }));
            }
            (kept.cursor, kept.part) = (row.cursor, 0);
        }
    }
}

/// What the change of a number means: its document before it and with it.
async fn events_at(ledger: &Ledger, tenant: TenantId, doc: DocRef, cursor: u64) -> Result<Vec<(Event, DocId)>> {
    let mut past = Doc::new(doc.kind);
    for row in ledger.storage().history(tenant, doc.id).await? {
        let change = Change::parse(row.body)?;
        if row.cursor == cursor {
            let before = past.entity()?;
            past.apply([&change.bytes])?;
            return Ok(happened(doc, &before, &past.entity()?));
        }
        past.apply([&change.bytes])?;
    }
    Ok(Vec::new())
}

/// How long to wait after so many failures: doubled each time, and spread, so that not all come at once.
fn wait(tries: u32, ledger: &Ledger) -> i64 {
    let full = FIRST_WAIT.saturating_mul(1 << tries.saturating_sub(1).min(20)).min(LONGEST_WAIT);
    let mut dice = [0; 2];
    ledger.env().fill(&mut dice);
    full / 2 + full * i64::from(u16::from_be_bytes(dice)) / i64::from(u16::MAX)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn only_the_public_network_is_sent_to() {
        let ip = |text: &str| public(text.parse().unwrap());
        for good in ["8.8.8.8", "114.114.114.114", "2400:3200::1", "64:ff9b::808:808", "::ffff:8.8.8.8"] {
            assert!(ip(good), "{good}");
        }
        for bad in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "192.0.0.8",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
            "fec0::1",
        ] {
            assert!(!ip(bad), "{bad}");
        }
    }

    #[test]
    fn addresses_are_looked_at_before_anything_is_sent() {
        let sender = Sender::new(&Config::default());
        for (url, code) in [
            ("http://erp.example.com/x", "bad_url"),
            ("ftp://erp.example.com", "bad_url"),
            ("https://user:pw@erp.example.com", "bad_url"),
            ("https://erp.example.com/#x", "bad_url"),
            ("nonsense", "bad_url"),
            ("https://127.0.0.1/", "private_address"),
            ("https://2130706433/", "private_address"),
            ("https://0x7f.1/", "private_address"),
            ("https://[::1]:8443/", "private_address"),
            ("https://[::ffff:10.0.0.1]/", "private_address"),
            ("https://localhost/", "private_address"),
            ("https://LOCALHOST./", "private_address"),
            ("https://metadata.local/", "private_address"),
        ] {
            assert_eq!(sender.check(url).map(|_| ()).unwrap_err().code(), code, "{url}");
        }
        assert!(sender.check("https://erp.example.com:8443/onsite?key=1").is_ok());
    }

    #[tokio::test]
    async fn a_name_that_leads_home_is_not_followed() {
        let guarded = Guarded { private: false };
        let found = guarded.resolve("localhost".parse().unwrap()).await;
        assert!(found.is_err_and(|e| e.to_string().contains("public network")));
    }

    #[test]
    fn signatures_are_those_of_standard_webhooks() {
        // The example of the specification's own libraries.
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed =
            signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#).unwrap();
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn every_event_has_a_word_of_its_own() {
        let words: BTreeSet<String> = Event::ALL.iter().map(|e| e.word()).collect();
        assert_eq!(words.len(), Event::ALL.len());
        assert!(words.iter().all(|w| w.contains('.')));
    }
}
