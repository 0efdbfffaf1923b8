//! The native HTTP client: the only network I/O of the crate.
//!
//! It does what the [`Session`] says and reports what came of it; the engine
//! is locked between awaits only, so screens stay quick while a photo travels.

use super::device::Device;
use super::protocol::{Challenge, EnrolAnswer, EnrolRequest, Problem, TokenAnswer};
use super::session::{Effect, Event, Failure, MAX_BODY, Session, SessionOptions, SyncReport};
use crate::domain::{Millis, Sha256};
use crate::error::{Error, Result};
use crate::store::{blobs, outbox};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, RequestBuilder, Response, StatusCode, header};
use sha2::Digest as _;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// To reach the server.
const CONNECT: Duration = Duration::from_secs(10);
/// Without a byte from it: longer than the beat of the event stream.
const SILENCE: Duration = Duration::from_secs(60);
/// For one whole message.
const MESSAGE: Duration = Duration::from_secs(180);
/// Without a poke, ask all the same.
const ASK: Duration = Duration::from_secs(300);
/// A token this close to its end is not used, in milliseconds.
const TOKEN_MARGIN: i64 = 30_000;
/// Bodies from this size on are sent compressed.
const PACKED: usize = 2 << 10;
/// Tries to go on with a download that was cut.
const RESUMES: u32 = 4;

/// A device's line to its server. The engine is locked only between awaits.
pub struct Client<E> {
    engine: Arc<Mutex<E>>,
    http: reqwest::Client,
    app: String,
    session: tokio::sync::Mutex<Session>,
    token: tokio::sync::Mutex<Option<TokenAnswer>>,
    wake: Notify,
}

impl<E: AsMut<Device> + Send + 'static> Client<E> {
    /// A line for an engine; `app` is the app's name and version, for the office to see.
    ///
    /// # Errors
    /// `Offline` where the platform has no TLS.
    pub fn new(engine: Arc<Mutex<E>>, app: &str) -> Result<Self> {
        Self::with_options(engine, SessionOptions { app: app.to_owned(), ..SessionOptions::default() })
    }

    /// A line that syncs as `options` say.
    ///
    /// # Errors
    /// `Offline` where the platform has no TLS.
    pub fn with_options(engine: Arc<Mutex<E>>, options: SessionOptions) -> Result<Self> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            // One thing at a time is asked: more idle connections would only be more that a cut has killed.
            .pool_max_idle_per_host(1)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(offline)?;
        Ok(Self {
            engine,
            http,
            app: options.app.clone(),
            session: tokio::sync::Mutex::new(Session::new(options)),
            token: tokio::sync::Mutex::new(None),
            wake: Notify::new(),
        })
    }

    fn with<T>(&self, f: impl FnOnce(&mut Device) -> T) -> T {
        // A watcher that panicked left the engine as its last commit did.
        let mut engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        f(engine.as_mut())
    }

    /// Enrols the device at `server` (such as `https://onsite.example`) by a one-time code.
    ///
    /// # Errors
    /// `Invalid` for an address that is none; `Offline`; `Server` with `wrong_code` and the like;
    /// `UnsentWork` where the file holds another person's unsent work.
    pub async fn enrol(&self, server: &str, code: &str, name: &str) -> Result<()> {
        let server = server.trim_end_matches('/');
        let valid = reqwest::Url::parse(server).is_ok_and(|u| matches!(u.scheme(), "http" | "https") && u.has_host());
        if !valid {
            return Err(Error::Invalid { field: "server", detail: "not of the form https://host".into() });
        }
        let public_key = self.with(Device::begin_enrolment)?;
        let request = EnrolRequest {
            code: code.to_owned(),
            public_key: public_key.to_vec(),
            alg: "ed25519".into(),
            name: name.to_owned(),
            app: self.app.clone(),
        };
        let sent = self.http.post(format!("{server}/v1/enrol")).timeout(MESSAGE).json(&request);
        let answer: EnrolAnswer = json(good(sent).await?).await?;
        *self.token.lock().await = None;
        self.with(|device| device.finish_enrolment(server, &answer))
    }

    /// Syncs until nothing waits: changes, deliveries, then blobs.
    ///
    /// # Errors
    /// `NotEnrolled`, `Offline`, `Unauthorized`, `Server`; the store's. What was done before stays done.
    pub async fn sync_once(&self) -> Result<SyncReport> {
        match self.drive(Event::Start).await? {
            End::Done(report) => Ok(report),
            End::Wait(_, error) => Err(error),
        }
    }

    /// Syncs on every poke, own edit and retry until `cancel` ends, or the device is revoked.
    pub async fn run(&self, cancel: impl Future<Output = ()> + Send) {
        let edited = Arc::new(Notify::new());
        let notify = Arc::clone(&edited);
        let watch = self.with(|device| device.watch(Box::new(move |_| notify.notify_one())));
        let work = async {
            tokio::select! {
                () = self.keep_synced(&edited) => {}
                () = self.listen() => {}
            }
        };
        tokio::select! {
            () = work => {}
            () = cancel => {}
        }
        self.with(|device| device.unwatch(watch));
    }

    async fn keep_synced(&self, edited: &Notify) {
        let mut event = Event::Start;
        loop {
            let mut pause = ASK;
            match self.drive(event).await {
                Ok(End::Done(report)) if report.wiped => return,
                Ok(End::Done(_)) => {}
                Ok(End::Wait(until, error)) => {
                    tracing::info!(code = error.code(), error = %error, "sync failed, trying again later");
                    let left = until.since(self.with(|d| d.env.now())).max(0);
                    pause = Duration::from_millis(left.unsigned_abs());
                }
                Err(Error::NotEnrolled) => return,
                Err(e) => tracing::warn!(code = e.code(), error = %e, "sync failed"),
            }
            let mut timer = pin!(tokio::time::sleep(pause.max(Duration::from_millis(20))));
            event = loop {
                tokio::select! {
                    () = &mut timer => break if pause == ASK { Event::Start } else { Event::Tick },
                    () = self.wake.notified() => break Event::Poke,
                    () = edited.notified() => {
                        // What a sync brought is no reason for another.
                        let waits = self.with(|d| outbox::account(d.read())).is_ok_and(|a| !a.safe_to_hand_in());
                        if waits {
                            break Event::Poke;
                        }
                    }
                }
            };
        }
    }

    /// Listens for pokes; a stream that ends is opened again. Losing one loses nothing.
    async fn listen(&self) {
        let mut failures = 0_u32;
        loop {
            match self.stream().await {
                Ok(()) => failures = 0,
                Err(e) => {
                    tracing::debug!(code = e.code(), "no event stream");
                    failures = failures.saturating_add(1);
                }
            }
            let most = 1_000_u64.saturating_mul(1 << failures.min(8)).min(300_000);
            let mut dice = [0; 8];
            self.with(|d| d.env.fill(&mut dice));
            tokio::time::sleep(Duration::from_millis(500 + u64::from_be_bytes(dice) % most)).await;
        }
    }

    async fn stream(&self) -> Result<()> {
        let mut response =
            self.asked(Method::GET, "/v1/events", |r| r.header(header::ACCEPT, "text/event-stream")).await?;
        let mut line = Vec::new();
        while let Some(bytes) = response.chunk().await.map_err(offline)? {
            for byte in bytes {
                match byte {
                    b'\n' => {
                        if line.strip_prefix(b"event:").is_some_and(|e| e.trim_ascii() == b"poke") {
                            self.wake.notify_one();
                        }
                        line.clear();
                    }
                    // No event of ours is that long.
                    _ if line.len() > 4096 => {}
                    byte => line.push(byte),
                }
            }
        }
        Ok(())
    }

    /// Fetches a blob: from this device, or from the server, and keeps it.
    ///
    /// # Errors
    /// `NotFound` where the server has none; `Offline`, `Server`; `Invalid` where its bytes are others.
    pub async fn fetch_blob(&self, blob: Sha256) -> Result<Vec<u8>> {
        if self.with(|d| d.blobs.size(blob))?.is_some() {
            return self.with(|d| d.blobs.read_all(blob));
        }
        let bytes = self.download(blob).await?;
        self.with(|d| -> Result<()> {
            let mut incoming = d.blobs.begin()?;
            incoming.write(&bytes)?;
            incoming.finish_as(blob)?;
            if blobs::row(d.read(), blob)?.is_some() {
                d.store.commit(|tx| blobs::fetched(tx, blob))?;
            }
            Ok(())
        })?;
        Ok(bytes)
    }

    /// Does what the session says until it ends or has to wait.
    async fn drive(&self, first: Event) -> Result<End> {
        let mut session = self.session.lock().await;
        let mut event = first;
        let mut error = None;
        loop {
            let effects = self.with(|device| {
                device.identity()?;
                let now = device.env.now();
                session.handle(device, now, event)
            })?;
            let mut next = None;
            for effect in effects {
                match effect {
                    Effect::Send(body) => {
                        next = Some(match self.exchange(body).await {
                            Ok(answer) => Event::Answer(answer),
                            Err(e) => failed(e, &mut error),
                        });
                    }
                    Effect::Upload { blob, size, upload, offset, len } => {
                        next = Some(match self.upload(blob, size, &upload, offset, len).await {
                            Ok(event) => event,
                            Err(e) => {
                                let failure = Failure::from(&e);
                                let restart = matches!(e.code(), "blob_mismatch" | "not_found");
                                error = Some(e);
                                Event::BlobFailed { blob, failure, restart }
                            }
                        });
                    }
                    Effect::Download { blob, .. } => {
                        next = Some(match self.download(blob).await {
                            Ok(bytes) => Event::BlobFetched { blob, bytes },
                            Err(e) => {
                                let failure = Failure::from(&e);
                                error = Some(e);
                                Event::BlobFailed { blob, failure, restart: false }
                            }
                        });
                    }
                    Effect::Wait { until } => {
                        let code = self.with(|d| crate::store::meta::sync_state(d.read()))?.last_error;
                        let error = error.take().unwrap_or_else(|| Error::Server {
                            status: 0,
                            code,
                            detail: "the server's answer makes no sense".into(),
                            retry_after: None,
                        });
                        return Ok(End::Wait(until, error));
                    }
                    Effect::Done(report) => return Ok(End::Done(report)),
                    Effect::Wipe => tracing::warn!("this device was revoked: its records were wiped"),
                }
            }
            match next {
                Some(e) => event = e,
                // A wait, or another sync, has the session already.
                None => return Ok(End::Done(SyncReport::default())),
            }
        }
    }

    async fn exchange(&self, body: Vec<u8>) -> Result<Vec<u8>> {
        let packed = pack(&body);
        let response = self
            .asked(Method::POST, "/v1/sync", |r| {
                let r = r.header(header::CONTENT_TYPE, "application/cbor").timeout(MESSAGE);
                match &packed {
                    Some(packed) => r.header(header::CONTENT_ENCODING, "gzip").body(packed.clone()),
                    None => r.body(body.clone()),
                }
            })
            .await?;
        read(response, MAX_BODY).await
    }

    /// A part of a blob by tus 1.0, or (without an address) the creation of its upload.
    async fn upload(&self, blob: Sha256, size: u64, upload: &str, offset: u64, len: usize) -> Result<Event> {
        let tus = |r: RequestBuilder| r.header("tus-resumable", "1.0.0").timeout(MESSAGE);
        if upload.is_empty() {
            let named = format!("sha256 {}", STANDARD.encode(blob.to_string()));
            let created = self
                .asked(Method::POST, "/v1/blobs", |r| {
                    tus(r).header("upload-length", size).header("upload-metadata", &named)
                })
                .await?;
            let place = created.headers().get(header::LOCATION).and_then(|l| l.to_str().ok()).unwrap_or_default();
            // Of this server, whatever it says.
            let upload = path_of(place).ok_or_else(|| senseless("no address for the upload"))?;
            return Ok(Event::BlobProgress { blob, upload, sent: 0 });
        }
        let part = self.with(|d| d.blobs.read(blob, offset, len))?;
        let sum = format!("sha256 {}", STANDARD.encode(sha2::Sha256::digest(&part)));
        let answer = self
            .asked(Method::PATCH, upload, |r| {
                tus(r)
                    .header(header::CONTENT_TYPE, "application/offset+octet-stream")
                    .header("upload-offset", offset)
                    .header("upload-checksum", &sum)
                    .body(part.clone())
            })
            .await;
        let answer = match answer {
            // Another offset than we thought, or bytes hurt on the way: ask how far it is.
            Err(Error::Server { status: 409 | 460, .. }) => self.asked(Method::HEAD, upload, tus).await?,
            // It ended while we were away: begin anew.
            Err(Error::NotFound(_)) => {
                return Ok(Event::BlobFailed {
                    blob,
                    failure: Failure { code: "upload_gone".into(), status: 404, retry_after: None },
                    restart: true,
                });
            }
            other => other?,
        };
        let sent = answer
            .headers()
            .get("upload-offset")
            .and_then(|o| o.to_str().ok())
            .and_then(|o| o.parse::<u64>().ok())
            .ok_or_else(|| senseless("no offset"))?;
        let upload = if sent >= size { String::new() } else { upload.to_owned() };
        Ok(Event::BlobProgress { blob, upload, sent })
    }

    /// All of a blob; a cut is gone on from where it was.
    async fn download(&self, blob: Sha256) -> Result<Vec<u8>> {
        let path = format!("/v1/blobs/{blob}");
        let mut bytes = Vec::new();
        let mut cuts = 0;
        loop {
            let from = bytes.len();
            let mut response = self
                .asked(Method::GET, &path, |r| match (r.header(header::ACCEPT_ENCODING, "identity"), from) {
                    (r, 0) => r,
                    (r, from) => r.header(header::RANGE, format!("bytes={from}-")),
                })
                .await?;
            if response.status() != StatusCode::PARTIAL_CONTENT {
                bytes.clear();
            }
            loop {
                match response.chunk().await {
                    Ok(Some(part)) if bytes.len() + part.len() <= MAX_BODY => bytes.extend_from_slice(&part),
                    Ok(Some(_)) => return Err(senseless("the blob is too large")),
                    Ok(None) => return Ok(bytes),
                    Err(e) if cuts < RESUMES => {
                        tracing::debug!(error = %e, "a download was cut");
                        cuts += 1;
                        break;
                    }
                    Err(e) => return Err(offline(e)),
                }
            }
        }
    }

    /// Asks with a token; once more with a fresh one where the server does not know it.
    async fn asked(
        &self,
        method: Method,
        path: &str,
        build: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response> {
        let server = self.with(|d| d.identity())?.server;
        let url = format!("{server}{path}");
        for again in [false, true] {
            let token = self.token(&server, again).await?;
            let request = build(self.http.request(method.clone(), &url)).bearer_auth(token);
            match good(request).await {
                Err(Error::Unauthorized(_)) if !again => {}
                other => return other,
            }
        }
        Err(Error::Unauthorized("the server refuses a fresh token".into()))
    }

    async fn token(&self, server: &str, fresh: bool) -> Result<String> {
        let mut kept = self.token.lock().await;
        let now = self.with(|d| d.stamp())?.best();
        if let Some(token) = kept.as_ref().filter(|t| !fresh && now.plus(TOKEN_MARGIN) < t.expires) {
            return Ok(token.token.clone());
        }
        let device = self.with(|d| d.identity())?.device;
        let ask = self.http.post(format!("{server}/v1/token/challenge")).timeout(MESSAGE);
        let challenge: Challenge = json(good(ask.json(&serde_json::json!({ "device": device }))).await?).await?;
        let signed = self.with(|d| d.sign_challenge(&challenge.nonce))?;
        let ask = self.http.post(format!("{server}/v1/token")).timeout(MESSAGE);
        let answer: TokenAnswer = json(good(ask.json(&signed)).await?).await?;
        let token = answer.token.clone();
        *kept = Some(answer);
        Ok(token)
    }
}

/// How a drive ended.
enum End {
    Done(SyncReport),
    Wait(Millis, Error),
}

fn failed(e: Error, error: &mut Option<Error>) -> Event {
    let failure = Failure::from(&e);
    *error = Some(e);
    Event::Failed(failure)
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn offline(e: reqwest::Error) -> Error {
    // The innermost cause says what happened; the address says too much.
    let mut cause: &dyn std::error::Error = &e;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    Error::Offline(if e.is_timeout() { "timed out".into() } else { cause.to_string() })
}

fn senseless(detail: &str) -> Error {
    Error::Server { status: 0, code: "bad_answer".into(), detail: detail.into(), retry_after: None }
}

/// A body compressed, where that is worth it.
fn pack(body: &[u8]) -> Option<Vec<u8>> {
    use std::io::Write as _;
    if body.len() < PACKED {
        return None;
    }
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(body).ok()?;
    packer.finish().ok().filter(|packed| packed.len() < body.len())
}

/// The path of an upload's address.
fn path_of(place: &str) -> Option<String> {
    let path = match place.split_once("://") {
        Some((_, rest)) => rest.find('/').map(|at| &rest[at..])?,
        None => place,
    };
    (path.starts_with('/') && !path.starts_with("//")).then(|| path.to_owned())
}

/// Sends; what is no success becomes an error with the problem's code.
async fn good(request: RequestBuilder) -> Result<Response> {
    let response = request.send().await.map_err(offline)?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let retry_after = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.trim().parse::<i64>().ok())
        .map(|s| s.saturating_mul(1000));
    let body = read(response, 64 << 10).await.unwrap_or_default();
    let problem: Problem = serde_json::from_slice(&body).unwrap_or_default();
    let code = if problem.code.is_empty() { format!("http_{}", status.as_u16()) } else { problem.code };
    Err(match status {
        StatusCode::UNAUTHORIZED => Error::Unauthorized(problem.detail),
        StatusCode::NOT_FOUND => Error::NotFound(problem.detail),
        // The proxy answers, the server does not.
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => Error::Offline(code),
        _ => Error::Server { status: status.as_u16(), code, detail: problem.detail, retry_after },
    })
}

/// A body of at most `most` bytes, counted as they come out of their compression.
async fn read(mut response: Response, most: usize) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    while let Some(part) = response.chunk().await.map_err(offline)? {
        if out.len() + part.len() > most {
            return Err(senseless("the answer is too large"));
        }
        out.extend_from_slice(&part);
    }
    Ok(out)
}

async fn json<T: serde::de::DeserializeOwned>(response: Response) -> Result<T> {
    let body = read(response, 1 << 20).await?;
    serde_json::from_slice(&body).map_err(|e| senseless(&format!("the answer is not understood: {e}")))
}
