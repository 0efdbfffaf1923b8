//! One sync, sans-I/O: `handle(now, event) -> effects`.
//!
//! Changes first, lane by lane, then deliveries, then (where the digests
//! differ) a comparison by ranges, then photos. Everything an answer says
//! commits in one transaction with the cursor, so a cut at any point loses and
//! doubles nothing: what was not committed is asked for again.

use super::device::{Device, Written, reissue_waiting, set_aside};
use super::protocol::{
    Account, Cursor, Decided, Delivery, Digest, Fate, Held, MAX_BLOBS, MAX_REQUEST, MAX_UNDECIDED, Order, Push,
    Reconcile, ReconcileAnswer, Sealed, SyncAnswer, SyncRequest, Undecided, VERSION, Verdict,
};
use crate::document::screen::MAX_DEPS;
use crate::document::{Actor, Change, Doc};
use crate::domain::{ChangeHash, DocId, DocRef, Entity, Millis, Sha256};
use crate::error::{Error, Result};
use crate::planted::{self, Bug};
use crate::store::chunks::Seal;
use crate::store::meta::SyncState;
use crate::store::outbox::{Decision, Lane, Refusal};
use crate::store::{blobs, chunks, meta, outbox};
use rusqlite::{Connection, Transaction};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Largest answer taken, in bytes: several times what an honest server sends.
pub const MAX_BODY: usize = 64 << 20;
/// First wait after a failure, in milliseconds; it doubles.
const BACKOFF: i64 = 1_000;
/// Longest wait, in milliseconds.
const BACKOFF_MAX: i64 = 300_000;
/// A clock measure this much older than a worse one gives way to it, in milliseconds.
const MEASURE_LIVES: i64 = 3_600_000;
/// Round trips in a row that change nothing before the session gives up.
const IDLE_MAX: u32 = 3;
/// Round trips in a row that bring neither a document nor a decision before the session gives up:
/// an honest server's longest stretch is a few pages of its log.
const DRIFT_MAX: u32 = 100;
/// Times a server may say of an upload that it has come no further.
const STALLS_MAX: u32 = 64;
/// Longest cursor, copy mark and seal taken, in bytes: they are kept, and sent back.
const MAX_OPAQUE: usize = 256;
/// Longest words of a refusal kept, in characters.
const MAX_WORDS: usize = 1_000;
/// Most documents named in one message of a comparison.
const HELD_MAX: usize = 20_000;
/// Documents whose accepted changes are sent again to a restored server.
const REPUSH: &str = "sync.repush";

/// How a device syncs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionOptions {
    /// App name and version, for the office to see.
    pub app: String,
    /// Most bytes of changes in one message.
    pub push_bytes: usize,
    /// Most changes in one message.
    pub push_changes: usize,
    /// Most bytes wanted in an answer; 0 for the server's own limit.
    pub budget: u64,
    /// Bytes of a blob sent at once.
    pub chunk: usize,
    /// Whether blobs are sent and fetched.
    pub blobs: bool,
    /// Most round trips of one sync: a server that has ever more to say is heard again after a wait.
    pub rounds: u32,
    /// Changes after a document's snapshot from which on it is compacted.
    pub tail: u32,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            app: format!("onsite {}", env!("CARGO_PKG_VERSION")),
            push_bytes: 1 << 20,
            push_changes: 1_000,
            budget: 0,
            chunk: 512 << 10,
            blobs: true,
            rounds: 5_000,
            tail: chunks::LONG_TAIL,
        }
    }
}

/// What a sync did.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SyncReport {
    /// Round trips of `POST /v1/sync`.
    pub round_trips: u32,
    /// Changes sent.
    pub pushed: u64,
    /// Changes the server acknowledged.
    pub accepted: u64,
    /// Changes the server refused.
    pub refused: u64,
    /// Documents received.
    pub received: u64,
    /// Documents that left.
    pub left: u64,
    /// Deliveries that could not be taken, with the reason: they are asked for again.
    pub skipped: Vec<(String, String)>,
    /// Blobs the server acknowledged.
    pub uploaded: u32,
    /// Blobs fetched.
    pub downloaded: u32,
    /// Bytes sent in bodies.
    pub bytes_up: u64,
    /// Bytes received in bodies.
    pub bytes_down: u64,
    /// Everything was compared with the server.
    pub reconciled: bool,
    /// The device was revoked and wiped.
    pub wiped: bool,
}

/// Why an exchange failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Stable code.
    pub code: String,
    /// HTTP status; 0 where there was no answer.
    pub status: u16,
    /// Milliseconds the server asks to wait.
    pub retry_after: Option<i64>,
}

impl From<&Error> for Failure {
    fn from(e: &Error) -> Self {
        let (status, retry_after) = match e {
            Error::Server { status, retry_after, .. } => (*status, *retry_after),
            Error::Unauthorized(_) => (401, None),
            _ => (0, None),
        };
        Self { code: e.code().to_owned(), status, retry_after }
    }
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// Sync now.
    Start,
    /// The server's answer to the last [`Effect::Send`].
    Answer(Vec<u8>),
    /// The last effect failed.
    Failed(Failure),
    /// The server has something: sync unless that is under way.
    Poke,
    /// Time went by; a wait may be over.
    Tick,
    /// The server has this much of a blob, at that upload address (kept to go on there after a cut).
    BlobProgress {
        /// Which.
        blob: Sha256,
        /// The upload's address; empty once the server has all.
        upload: String,
        /// Bytes the server confirmed.
        sent: u64,
    },
    /// Sending or fetching this blob failed; others go on. `restart`: its upload is to begin anew.
    BlobFailed {
        /// Which.
        blob: Sha256,
        /// Why.
        failure: Failure,
        /// Whether the upload's address is no good any more.
        restart: bool,
    },
    /// A blob came.
    BlobFetched {
        /// Which.
        blob: Sha256,
        /// Its bytes.
        bytes: Vec<u8>,
    },
}

/// What is to be done; its outcome comes back as an [`Event`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// `POST /v1/sync` with this body.
    Send(Vec<u8>),
    /// Send a part of a blob.
    Upload {
        /// Which.
        blob: Sha256,
        /// Its size in bytes.
        size: u64,
        /// The upload's address; empty: create one.
        upload: String,
        /// Bytes the server confirmed, as far as known.
        offset: u64,
        /// Most bytes to send.
        len: usize,
    },
    /// Fetch a blob.
    Download {
        /// Which.
        blob: Sha256,
        /// Its size in bytes, if known.
        size: u64,
    },
    /// Do nothing until then (by the device's clock), or until something is to be sent.
    Wait {
        /// Until when.
        until: Millis,
    },
    /// Nothing is left to do.
    Done(SyncReport),
    /// The device was revoked; its records are gone.
    Wipe,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum State {
    Idle,
    Asked { at: Millis, sent: Vec<(DocId, ChangeHash)>, step: Step },
    Blob(Sha256),
    Waiting { from: Millis, until: Millis },
    Wiped,
}

/// What the message under way compares.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Step {
    None,
    Ranges,
    Have(Vec<u8>),
}

/// Drives syncs of one device, one after another.
#[derive(Debug)]
pub struct Session {
    options: SessionOptions,
    state: State,
    report: SyncReport,
    failures: u32,
    idle: u32,
    /// Ranges still to compare, once the server named them.
    differ: Option<Vec<u8>>,
    /// Round trips in a row that brought neither a document nor a decision.
    drift: u32,
    /// Syncs in a row that were given up: each waits longer.
    weary: u32,
    /// How far the upload under way has come, and how often it came no further.
    upload: Option<(Sha256, u64, u32)>,
    /// Compared in this sync: once is enough, however it ended.
    compared: bool,
    /// The last answer said there is more.
    more: bool,
    /// Most changes in a message now: fewer after a message was refused whole.
    push_changes: usize,
    /// Documents the server refuses to hear of: not sent again in this sync.
    held_back: HashSet<DocId>,
    /// Whether the next message asks what became of refused changes.
    ask_refused: bool,
    /// Blobs that failed in this sync.
    blobs_failed: HashSet<Sha256>,
}

/// What taking an answer did.
#[derive(Default)]
struct Taken {
    docs: Vec<DocRef>,
    accepted: u64,
    refused: u64,
    received: u64,
    left: u64,
    skipped: Vec<(String, String)>,
    reconcile: bool,
    /// Something is other than before.
    progress: bool,
    /// A document came or went, or a change was decided: what a sync is for.
    nearer: bool,
    wipe: bool,
    /// Documents of which a decision, a receipt or a read mark is news.
    told: BTreeSet<DocRef>,
}

impl Session {
    /// A session that has not begun.
    pub fn new(options: SessionOptions) -> Self {
        let push_changes = options.push_changes.max(1);
        Self {
            options,
            state: State::Idle,
            report: SyncReport::default(),
            failures: 0,
            idle: 0,
            differ: None,
            drift: 0,
            weary: 0,
            upload: None,
            compared: false,
            more: false,
            push_changes,
            held_back: HashSet::new(),
            ask_refused: true,
            blobs_failed: HashSet::new(),
        }
    }

    /// Takes an event; answers what is to be done now.
    ///
    /// # Errors
    /// The store's. The session may go on afterwards with [`Event::Start`].
    pub fn handle(&mut self, device: &mut Device, now: Millis, event: Event) -> Result<Vec<Effect>> {
        let out = self.step(device, now, event);
        if out.is_err() {
            self.state = State::Idle;
        }
        out
    }

    fn step(&mut self, device: &mut Device, now: Millis, event: Event) -> Result<Vec<Effect>> {
        if planted::on(Bug::PokeOnly) && event == Event::Start && outbox::account(device.read())?.safe_to_hand_in() {
            return Ok(vec![Effect::Done(SyncReport::default())]);
        }
        match (event, &self.state) {
            (_, State::Wiped) => Ok(vec![Effect::Wipe]),
            (Event::Start, _) | (Event::Poke, State::Idle) => {
                self.begin();
                self.next(device, now)
            }
            // A poke while the server asked us to wait must not break the wait.
            // (Set back, the clock would make it last for as long again: then it is over.)
            (Event::Poke | Event::Tick, State::Waiting { from, until }) if (*from..*until).contains(&now) => {
                Ok(vec![Effect::Wait { until: *until }])
            }
            (Event::Poke | Event::Tick, State::Waiting { .. }) => {
                self.begin();
                self.next(device, now)
            }
            (Event::Poke | Event::Tick, _) => Ok(Vec::new()),
            (Event::Answer(body), State::Asked { at, sent, step }) => {
                let (at, sent, step) = (*at, sent.clone(), step.clone());
                self.answer(device, now, at, &sent, &step, &body)
            }
            (Event::Failed(failure), State::Asked { sent, .. }) => {
                let sent = sent.clone();
                self.failed(device, now, &failure, &sent)
            }
            (Event::Failed(failure), _) => self.failed(device, now, &failure, &[]),
            (Event::BlobProgress { blob, upload, sent }, State::Blob(current)) if blob == *current => {
                self.failures = 0;
                let size = blobs::row(device.read(), blob)?.map_or(0, |r| r.size);
                let done = upload.is_empty() || (planted::on(Bug::BlobEarly) && sent > 0);
                let stalled = !done && self.stalled(blob, sent.min(size));
                device.store.commit(|tx| match (done, stalled) {
                    (true, _) => outbox::acknowledge_blob(tx, blob),
                    (false, false) => blobs::progress(tx, blob, &upload, sent.min(size)),
                    (false, true) => {
                        blobs::progress(tx, blob, "", 0)?;
                        blobs::failed(tx, blob, "no_progress")
                    }
                })?;
                if done {
                    self.report.uploaded += 1;
                    if let Some(doc) = blobs::document_of(device.read(), blob)? {
                        device.notify(&[doc]);
                    }
                }
                if stalled {
                    self.blobs_failed.insert(blob);
                    self.report.skipped.push((blob.to_string(), "no_progress".into()));
                }
                self.next(device, now)
            }
            (Event::BlobFetched { blob, bytes }, State::Blob(current)) if blob == *current => {
                let size = bytes.len();
                let kept = device.blobs.begin().and_then(|mut incoming| {
                    incoming.write(&bytes)?;
                    incoming.finish_as(blob)
                });
                match kept {
                    Ok(_) => {
                        device.store.commit(|tx| blobs::fetched(tx, blob))?;
                        self.report.downloaded += 1;
                        self.report.bytes_down += size as u64;
                    }
                    Err(Error::Invalid { .. }) => {
                        self.blobs_failed.insert(blob);
                        self.report.skipped.push((blob.to_string(), "blob_mismatch".into()));
                    }
                    Err(e) => return Err(e),
                }
                self.next(device, now)
            }
            (Event::BlobFailed { blob, failure, restart }, State::Blob(current)) if blob == *current => {
                if failure.code == "device_revoked" {
                    return self.wipe(device);
                }
                device.store.commit(|tx| {
                    if restart {
                        blobs::progress(tx, blob, "", 0)?;
                    }
                    blobs::failed(tx, blob, &failure.code)
                })?;
                self.blobs_failed.insert(blob);
                if failure.status == 0 || failure.retry_after.is_some() || failure.status == 429 {
                    return self.failed(device, now, &failure, &[]);
                }
                self.report.skipped.push((blob.to_string(), failure.code));
                self.next(device, now)
            }
            // An answer nobody waits for.
            _ => Ok(Vec::new()),
        }
    }

    fn begin(&mut self) {
        self.report = SyncReport::default();
        self.idle = 0;
        self.drift = 0;
        self.upload = None;
        self.differ = None;
        self.compared = false;
        self.more = false;
        self.held_back.clear();
        self.blobs_failed.clear();
        self.ask_refused = true;
        self.push_changes = self.options.push_changes.max(1);
    }

    /// Whether an upload has not come further for too long.
    fn stalled(&mut self, blob: Sha256, sent: u64) -> bool {
        let (reached, times) = match self.upload {
            Some((of, reached, times)) if of == blob => (reached, times),
            _ => (0, 0),
        };
        let times = if sent > reached { 0 } else { times + 1 };
        self.upload = Some((blob, reached.max(sent), times));
        times > STALLS_MAX
    }

    /// Ends a sync that leads nowhere; each such end in a row waits longer.
    fn give_up(&mut self, device: &mut Device, now: Millis, code: &str) -> Result<Vec<Effect>> {
        self.failures = self.weary;
        self.weary = self.weary.saturating_add(1);
        self.failed(device, now, &Failure { code: code.into(), status: 0, retry_after: None }, &[])
    }

    /// The next thing to do: a message, a blob, or nothing.
    fn next(&mut self, device: &mut Device, now: Millis) -> Result<Vec<Effect>> {
        let state = meta::sync_state(device.read())?;
        let compare = state.reconcile && !self.compared;
        // A restored server must have back what edits rest on before it judges them.
        let waiting = match compare || self.differ.is_some() {
            true => Vec::new(),
            false => self.batch(device.read(), now)?,
        };
        let first = self.report.round_trips == 0;
        if first || self.more || compare || self.differ.is_some() || !waiting.is_empty() {
            return self.ask(device, now, waiting, &state);
        }
        if self.options.blobs {
            for row in blobs::to_send(device.read(), 1_000)? {
                if self.blobs_failed.contains(&row.name) {
                    continue;
                }
                let offset = match row.state {
                    blobs::BlobState::Local { sent } => sent,
                    _ => continue,
                };
                self.state = State::Blob(row.name);
                let len = self.options.chunk;
                return Ok(vec![Effect::Upload { blob: row.name, size: row.size, upload: row.upload, offset, len }]);
            }
            for row in blobs::to_fetch(device.read(), 1_000)? {
                if !self.blobs_failed.contains(&row.name) {
                    self.state = State::Blob(row.name);
                    return Ok(vec![Effect::Download { blob: row.name, size: row.size }]);
                }
            }
        }
        self.state = State::Idle;
        self.weary = 0;
        device.compact(self.options.tail)?;
        Ok(vec![Effect::Done(std::mem::take(&mut self.report))])
    }

    /// The part of the outbox that goes next.
    fn batch(&self, conn: &Connection, now: Millis) -> Result<Vec<outbox::Waiting>> {
        let lost = repushed(conn)?;
        if !lost.is_empty() {
            // Each document whole, for its seal vouches from the heads down; what others rest on first.
            let mut batch = outbox::next_batch(conn, now, usize::MAX, usize::MAX)?;
            batch.retain(|w| lost.contains(&w.doc.id) && !self.held_back.contains(&w.doc.id));
            batch.sort_by_key(|w| w.doc.kind);
            let (mut changes, mut bytes) = (0, 0);
            let fit = batch.iter().take_while(|w| {
                let first = changes == 0;
                changes += w.changes.len();
                bytes += w.changes.iter().map(|(_, body)| body.len()).sum::<usize>();
                first || (changes <= self.push_changes && bytes <= self.options.push_bytes)
            });
            let fit = fit.count();
            batch.truncate(fit);
            if !batch.is_empty() {
                return Ok(batch);
            }
        }
        // What is held back must not keep others from being seen.
        let room = if self.held_back.is_empty() { 0 } else { self.options.push_changes };
        let mut batch = outbox::next_batch(conn, now, self.options.push_bytes, self.push_changes + room)?;
        batch.retain(|w| !self.held_back.contains(&w.doc.id));
        let mut left = self.push_changes;
        for waiting in &mut batch {
            waiting.changes.truncate(left);
            left -= waiting.changes.len();
        }
        batch.retain(|w| !w.changes.is_empty());
        Ok(batch)
    }

    fn ask(
        &mut self,
        device: &mut Device,
        now: Millis,
        waiting: Vec<outbox::Waiting>,
        state: &SyncState,
    ) -> Result<Vec<Effect>> {
        if self.report.round_trips >= self.options.rounds.max(1) {
            return self.give_up(device, now, "too_long");
        }
        let conn = device.read();
        let account = outbox::account(conn)?;
        let repush = repushed(conn)?;
        let mut sent = Vec::new();
        let mut push = Vec::new();
        let quiet = waiting.is_empty();
        for w in waiting {
            let sealed = match repush.contains(&w.doc.id) {
                true => chunks::held(conn, w.doc.id)?.and_then(|h| h.sealed),
                false => None,
            };
            sent.extend(w.changes.iter().map(|(hash, _)| (w.doc.id, *hash)));
            push.push(Push {
                doc: w.doc.id,
                kind: w.doc.kind,
                changes: w.changes.into_iter().map(|(_, bytes)| bytes.into()).collect(),
                sealed: sealed.map(|s| Sealed { heads: s.heads, seal: s.seal }),
            });
        }
        let (mut reconcile, mut ranges, mut step) = (None, Vec::new(), Step::None);
        if quiet && !self.more {
            if let Some(differ) = &self.differ {
                let groups = (account.documents as usize / HELD_MAX + 1).min(256);
                ranges = differ.iter().copied().take((256 / groups).max(1)).collect();
                let held = match ranges.is_empty() {
                    true => Vec::new(),
                    false => chunks::held_in(conn, &ranges)?,
                };
                let held = held
                    .into_iter()
                    .filter(|h| !h.accepted.is_empty())
                    .map(|h| Held { doc: h.doc.id, kind: h.doc.kind, heads: h.accepted })
                    .collect();
                reconcile = Some(Reconcile::Have(held));
                step = Step::Have(ranges.clone());
            } else if state.reconcile && !self.compared {
                reconcile = Some(Reconcile::Ranges(chunks::range_digests(conn)?.into_iter().map(Digest).collect()));
                step = Step::Ranges;
            }
        }
        // A server restored from a backup may have lost photos it had acknowledged.
        let blobs = match step {
            Step::Ranges => blobs::acknowledged_here(conn, MAX_BLOBS)?,
            Step::None | Step::Have(_) => Vec::new(),
        };
        let digest = match quiet && !self.more && account.changes == 0 {
            true => Some(Digest(chunks::digest(conn)?)),
            false => None,
        };
        let request = SyncRequest {
            v: VERSION,
            app: self.options.app.clone(),
            cursor: (!state.cursor.is_empty()).then(|| Cursor(state.cursor.clone())),
            mark: state.mark.clone(),
            clock: now,
            push,
            digest,
            account: Account {
                changes: account.changes,
                blobs: account.blobs,
                blob_bytes: account.blob_bytes,
                oldest: account.oldest,
                documents: account.documents,
            },
            reconcile,
            ranges,
            blobs,
            budget: self.options.budget,
            refused: match std::mem::take(&mut self.ask_refused) {
                true => undecided(conn)?,
                false => Vec::new(),
            },
        };
        let body =
            minicbor_serde::to_vec(&request).map_err(|e| Error::Invalid { field: "request", detail: e.to_string() })?;
        debug_assert!(body.len() <= MAX_REQUEST, "the parts are bounded");
        self.report.round_trips += 1;
        self.report.pushed += sent.len() as u64;
        self.report.bytes_up += body.len() as u64;
        self.state = State::Asked { at: now, sent, step };
        Ok(vec![Effect::Send(body)])
    }

    fn answer(
        &mut self,
        device: &mut Device,
        now: Millis,
        at: Millis,
        sent: &[(DocId, ChangeHash)],
        step: &Step,
        body: &[u8],
    ) -> Result<Vec<Effect>> {
        self.report.bytes_down += body.len() as u64;
        let bad = |code: &str| Failure { code: code.into(), status: 0, retry_after: None };
        let Some(mut answer) = decode(body) else { return self.failed(device, now, &bad("bad_answer"), &[]) };
        if answer.v != VERSION {
            return self.failed(device, now, &bad("unsupported_version"), &[]);
        }
        if *step != Step::Ranges {
            // Nothing was asked about.
            answer.lost.clear();
        }
        let mut taken = Taken { wipe: answer.orders.contains(&Order::Wipe), ..Taken::default() };
        if taken.wipe {
            return self.wipe(device);
        }
        let mut state = meta::sync_state(device.read())?;
        measure(&mut state, answer.clock, at, now, body.len());
        let mut fresh = [0; 8];
        device.env.fill(&mut fresh);
        let (more, reconcile) = (answer.more, answer.reconcile.clone());
        let sent: HashSet<_> = sent.iter().copied().collect();
        device.store.commit(|tx| take(tx, answer, &sent, state, fresh, now, &mut taken))?;
        device.notify(&taken.docs);

        self.failures = 0;
        // What was written in their place goes with the next message, and the word about it too.
        self.ask_refused = taken.refused > 0;
        self.more = more;
        self.report.accepted += taken.accepted;
        self.report.refused += taken.refused;
        self.report.received += taken.received;
        self.report.left += taken.left;
        self.report.skipped.append(&mut taken.skipped);
        let compared = self.compared_by(device, step, reconcile, more)?;
        self.idle = if taken.progress || taken.nearer || compared { 0 } else { self.idle + 1 };
        self.drift = if taken.nearer || compared { 0 } else { self.drift + 1 };
        if self.idle >= IDLE_MAX || self.drift >= DRIFT_MAX {
            return self.give_up(device, now, "no_progress");
        }
        self.next(device, now)
    }

    /// Goes on with the comparison; whether it got further.
    fn compared_by(
        &mut self,
        device: &mut Device,
        step: &Step,
        answer: Option<ReconcileAnswer>,
        more: bool,
    ) -> Result<bool> {
        match (step, answer) {
            (Step::None, _) => return Ok(false),
            // What of empty ranges did not fit is asked for again, once this much is here.
            (Step::Ranges, Some(ReconcileAnswer::Differ(_))) if more => return Ok(false),
            (Step::Ranges, Some(ReconcileAnswer::Differ(ranges))) if !ranges.is_empty() => {
                self.differ = Some(ranges.into_iter().collect::<BTreeSet<_>>().into_iter().collect());
                return Ok(true);
            }
            // Too much for one answer: the same ranges again, now that some of it is here.
            (Step::Have(_), _) if more => return Ok(false),
            (Step::Have(done), _) => {
                let left: Vec<_> = self.differ.iter().flatten().copied().filter(|r| !done.contains(r)).collect();
                if !left.is_empty() {
                    self.differ = Some(left);
                    return Ok(true);
                }
            }
            (Step::Ranges, _) => {}
        }
        self.differ = None;
        self.compared = true;
        self.report.reconciled = true;
        // What was skipped is compared again next time.
        let again = !self.report.skipped.is_empty();
        device.store.commit(|tx| {
            let mut state = meta::sync_state(tx)?;
            state.reconcile = again;
            meta::set_sync_state(tx, &state)
        })?;
        Ok(true)
    }

    fn failed(
        &mut self,
        device: &mut Device,
        now: Millis,
        failure: &Failure,
        sent: &[(DocId, ChangeHash)],
    ) -> Result<Vec<Effect>> {
        if failure.code == "device_revoked" {
            return self.wipe(device);
        }
        if planted::on(Bug::AckOnFailure) {
            for (doc, hash) in sent {
                device.store.commit(|tx| outbox::acknowledge(tx, *doc, &[*hash]))?;
            }
        }
        // A message refused whole: fewer at a time, until the one that cannot pass stands alone and is held back.
        if matches!(failure.status, 400 | 413 | 422) && !sent.is_empty() {
            if sent.len() > 1 && self.push_changes > 1 {
                self.push_changes = (sent.len().min(self.push_changes) / 2).max(1);
            } else if let [(doc, hash), ..] = sent {
                device.store.commit(|tx| outbox::attempted(tx, *doc, *hash, &failure.code))?;
                self.held_back.insert(*doc);
                self.push_changes = self.options.push_changes.max(1);
                self.report.skipped.push((doc.to_string(), failure.code.clone()));
            }
            return self.next(device, now);
        }
        let most = BACKOFF.saturating_mul(1 << self.failures.min(16)).min(BACKOFF_MAX);
        self.failures = self.failures.saturating_add(1);
        let mut dice = [0; 8];
        device.env.fill(&mut dice);
        // Full jitter: a thousand phones that lost one server do not come back as one.
        let jitter = i64::try_from(u64::from_be_bytes(dice) % most.unsigned_abs().max(1)).unwrap_or(0);
        let until = now.plus(failure.retry_after.unwrap_or(0).clamp(0, 24 * 3_600_000) + jitter);
        device.store.commit(|tx| {
            let mut state = meta::sync_state(tx)?;
            state.last_try = Some(now);
            state.last_error = failure.code.clone();
            meta::set_sync_state(tx, &state)
        })?;
        self.state = State::Waiting { from: now, until };
        Ok(vec![Effect::Wait { until }])
    }

    fn wipe(&mut self, device: &mut Device) -> Result<Vec<Effect>> {
        device.wipe()?;
        self.state = State::Wiped;
        self.report.wiped = true;
        Ok(vec![Effect::Wipe, Effect::Done(std::mem::take(&mut self.report))])
    }
}

fn decode(body: &[u8]) -> Option<SyncAnswer> {
    if body.len() > MAX_BODY {
        return None;
    }
    let mut d = minicbor_serde::Deserializer::new(body);
    let answer = SyncAnswer::deserialize(&mut d).ok()?;
    // Both are kept and echoed: one too long would make every later message too large.
    let short = answer.cursor.0.len() <= MAX_OPAQUE && answer.mark.len() <= MAX_OPAQUE;
    (short && d.decoder().position() == body.len()).then_some(answer)
}

/// The offset of the clocks, as NTP has it: the server read its clock somewhere
/// between sending and receiving. A finer measure of the last hour stays while it agrees.
fn measure(state: &mut SyncState, server: Millis, sent: Millis, now: Millis, bytes: usize) {
    let rtt = now.since(sent);
    if planted::on(Bug::ClockTrusted) {
        (state.offset, state.doubt, state.measured_at) = (Some(0), Some(0), Some(now));
        return;
    }
    if rtt < 0 {
        // The clock was set back meanwhile: what was measured before is of another clock.
        state.forget_offset();
    } else if server.0 > 0 {
        let offset = server.since(sent.plus(rtt / 2));
        let doubt = rtt / 2 + 1;
        let finer = match (state.offset, state.doubt, state.measured_at) {
            (Some(o), Some(d), Some(m)) => {
                let age = now.since(m);
                d <= doubt && (0..MEASURE_LIVES).contains(&age) && o.saturating_sub(offset).abs() <= d + doubt
            }
            _ => false,
        };
        if !finer {
            (state.offset, state.doubt, state.measured_at) = (Some(offset), Some(doubt), Some(now));
            // Of a clock that was set back since, this would look like the future.
            state.last_sync = state.last_sync.map(|at| at.min(now));
        }
        if bytes > 16 << 10 && rtt > 0 {
            let rate = (bytes as u64).saturating_mul(1000) / rtt.unsigned_abs();
            state.rate = if state.rate == 0 { rate } else { (state.rate.saturating_mul(3) + rate) / 4 };
        }
    }
    state.last_try = Some(now);
    state.last_error = String::new();
}

/// Whether the store itself failed: then nothing of the answer may be taken.
fn fatal(e: &Error) -> bool {
    matches!(
        e,
        Error::Database(_) | Error::DiskFull | Error::OutOfMemory | Error::Locked | Error::Damaged(_) | Error::File(_)
    )
}

/// What is to be asked about refused changes.
fn undecided(conn: &Connection) -> Result<Vec<Undecided>> {
    let open = outbox::undecided(conn, MAX_UNDECIDED)?;
    Ok(open.into_iter().map(|(doc, hash, instead)| Undecided { doc, hash, instead }).collect())
}

fn repushed(conn: &Connection) -> Result<BTreeSet<DocId>> {
    Ok(meta::app_value(conn, REPUSH)?.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default())
}

/// Takes an answer, all in one transaction.
fn take(
    tx: &Transaction<'_>,
    answer: SyncAnswer,
    sent: &HashSet<(DocId, ChangeHash)>,
    mut state: SyncState,
    fresh: [u8; 8],
    now: Millis,
    taken: &mut Taken,
) -> Result<()> {
    let mut written = Written::new(tx)?;
    let mut repush = repushed(tx)?;
    let repush_before = repush.clone();
    verdicts(tx, answer.verdicts, &answer.orders, sent, fresh, now, &mut written, &mut repush, taken)?;

    let actor = meta::actor(tx)?;
    for delivery in answer.docs {
        let (doc, sealed) = (delivery.doc, delivery.sealed.heads.clone());
        let mut result = deliver(tx, &delivery, now, &mut written);
        if matches!(&result, Err(Error::BadChange { code: "duplicate_seq", .. })) {
            // This file's twin wrote under the same number: ours are written again under a new actor.
            let actor = another(tx, actor, fresh)?;
            let id = DocRef::new(delivery.kind, doc);
            result = reissue_waiting(tx, id, Some(actor.device), actor, now, &mut written)
                .and_then(|()| deliver(tx, &delivery, now, &mut written));
        }
        match result {
            Ok(Brought { news, lost }) => {
                taken.received += u64::from(news);
                taken.nearer |= news;
                taken.progress |= lost;
                if lost {
                    repush.insert(doc);
                }
            }
            Err(e) if fatal(&e) => return Err(e),
            Err(e) => {
                tracing::warn!(%doc, heads = sealed.len(), error = %e, "a delivery was skipped");
                taken.skipped.push((doc.to_string(), e.code().to_owned()));
                taken.reconcile = true;
            }
        }
    }
    for doc in answer.left {
        if let Some(held) = chunks::held(tx, doc)? {
            taken.nearer |= !held.leaving;
            if chunks::leave(tx, doc)? == chunks::Left::Purged {
                written.gone(held.doc);
                taken.left += 1;
            }
        }
    }
    for said in answer.decided {
        let Decided { doc, hash, verdict, by, at, reason } = said;
        let cut = |words: String| words.chars().take(MAX_WORDS).collect();
        let decision = Decision { verdict: cut(verdict), by, at, reason: cut(reason) };
        let news = outbox::decided(tx, doc, hash, &decision)?;
        taken.nearer |= news;
        if news && let Some(held) = chunks::held(tx, doc)? {
            taken.told.insert(held.doc);
        }
    }
    for seen in answer.seen.into_iter().filter(|s| s.heads.len() <= MAX_DEPS) {
        chunks::put_seen(tx, seen.doc, &seen.heads, seen.at, seen.by)?;
        if let Some(held) = chunks::held(tx, seen.doc)? {
            taken.told.insert(held.doc);
        }
    }
    if let Some(ReconcileAnswer::Want(wanted)) = answer.reconcile {
        for want in wanted {
            match lost(tx, &want, now) {
                Ok(true) => {
                    repush.insert(want.doc);
                    taken.progress = true;
                }
                Ok(false) => {}
                Err(e) if fatal(&e) => return Err(e),
                Err(e) => taken.skipped.push((want.doc.to_string(), e.code().to_owned())),
            }
        }
    }
    for name in answer.lost {
        taken.progress |= blobs::requeue(tx, name, now)?;
    }
    if !repush.is_empty() {
        // Once everything of a document is acknowledged it is as others are.
        let mut open = BTreeSet::new();
        for doc in &repush {
            if !outbox::waiting(tx, *doc)?.is_empty() {
                open.insert(*doc);
            }
        }
        repush = open;
    }
    if repush != repush_before {
        let json = serde_json::to_string(&repush).unwrap_or_default();
        meta::set_app_value(tx, REPUSH, (!repush.is_empty()).then_some(json.as_str()))?;
    }
    taken.progress |= state.cursor != answer.cursor.0;
    state.cursor = answer.cursor.0;
    state.mark = answer.mark;
    state.remaining = if answer.more { answer.remaining } else { 0 };
    state.reconcile |= taken.reconcile || answer.orders.contains(&Order::Reconcile);
    state.reconcile &= !planted::on(Bug::ReconcileIgnored);
    if !answer.more {
        state.last_sync = Some(now);
    }
    meta::set_sync_state(tx, &state)?;
    taken.docs = written.finish(tx, now)?;
    let told = std::mem::take(&mut taken.told);
    taken.docs.extend(told.into_iter().filter(|doc| !taken.docs.contains(doc)).collect::<Vec<_>>());
    Ok(())
}

/// The incarnation minted in this transaction: once, however many need it.
fn another(tx: &Transaction<'_>, before: Actor, fresh: [u8; 8]) -> Result<Actor> {
    if planted::on(Bug::ActorReused) {
        return Ok(before);
    }
    if before.incarnation != fresh {
        meta::set_incarnation(tx, fresh)?;
    }
    Ok(Actor { device: before.device, incarnation: fresh })
}

#[expect(clippy::too_many_arguments, reason = "a part of `take`, with its locals")]
fn verdicts(
    tx: &Transaction<'_>,
    verdicts: Vec<Verdict>,
    orders: &[Order],
    sent: &HashSet<(DocId, ChangeHash)>,
    fresh: [u8; 8],
    now: Millis,
    written: &mut Written,
    repush: &mut BTreeSet<DocId>,
    taken: &mut Taken,
) -> Result<()> {
    let before = meta::actor(tx)?;
    if orders.contains(&Order::NewActor) {
        another(tx, before, fresh)?;
    }
    let mut accepted: BTreeMap<DocId, Vec<ChangeHash>> = BTreeMap::new();
    let mut refused: BTreeMap<DocId, Vec<(ChangeHash, Refusal)>> = BTreeMap::new();
    let mut reused: BTreeMap<DocId, Vec<ChangeHash>> = BTreeMap::new();
    for Verdict { doc, hash, fate } in verdicts {
        // A word about what was never sent means nothing.
        if !sent.contains(&(doc, hash)) {
            continue;
        }
        match fate {
            Fate::Accepted => accepted.entry(doc).or_default().push(hash),
            Fate::SetAside { code, field, detail } => {
                let cut = |words: String| words.chars().take(MAX_WORDS).collect();
                let why = Refusal { code: cut(code), field: cut(field), detail: cut(detail) };
                refused.entry(doc).or_default().push((hash, why));
            }
            Fate::ActorReused => {
                reused.entry(doc).or_default().push(hash);
            }
            Fate::NeedDeps(deps) => {
                outbox::attempted(tx, doc, hash, "need_deps")?;
                if needed(tx, doc, &deps, now)? {
                    repush.insert(doc);
                    taken.progress = true;
                }
            }
            Fate::Later => outbox::attempted(tx, doc, hash, "later")?,
        }
    }
    for (doc, hashes) in accepted {
        let count = outbox::acknowledge(tx, doc, &hashes)?;
        taken.accepted += count as u64;
        taken.nearer |= count > 0;
        if count > 0
            && let Some(held) = chunks::held(tx, doc)?
        {
            taken.told.insert(held.doc);
        }
    }
    for (doc, refusals) in refused {
        let Some(held) = chunks::held(tx, doc)? else { continue };
        let actor = another(tx, meta::actor(tx)?, fresh)?;
        let moved = set_aside(tx, held.doc, &refusals, actor, now, written)?;
        taken.refused += refusals.len() as u64;
        taken.nearer |= moved > 0;
    }
    for (doc, hashes) in reused {
        let Some(held) = chunks::held(tx, doc)? else { continue };
        let actor = another(tx, meta::actor(tx)?, fresh)?;
        // Of another device, given back to a restored server whose place it was taken meanwhile: nobody
        // but who holds it can say it again, and it would be asked for without end.
        let waiting = outbox::waiting(tx, doc)?;
        let foreign = |c: &Change| c.header.author().is_none_or(|a| a.device != actor.device);
        let others = waiting.iter().any(|c| hashes.contains(&c.header.hash) && foreign(c));
        reissue_waiting(tx, held.doc, (!others).then_some(actor.device), actor, now, written)?;
        taken.progress = true;
    }
    Ok(())
}

/// The server lacks these parents: they are queued again. Whether any was.
fn needed(tx: &Transaction<'_>, doc: DocId, deps: &[ChangeHash], now: Millis) -> Result<bool> {
    let (Some(held), Some(doc)) = (chunks::held(tx, doc)?, chunks::load(tx, doc)?) else { return Ok(false) };
    let waiting: HashSet<_> = outbox::waiting(tx, held.doc.id)?.into_iter().map(|c| c.header.hash).collect();
    let changes: Vec<Change> = deps.iter().filter(|d| !waiting.contains(d)).filter_map(|d| doc.change(*d)).collect();
    Ok(!changes.is_empty() && outbox::requeue(tx, held.doc, &changes, Lane::Work, now)? > 0)
}

/// A restored server lost part of a document: what it lacks is queued again. Whether anything was.
fn lost(tx: &Transaction<'_>, want: &Held, now: Millis) -> Result<bool> {
    let (Some(held), Some(doc)) = (chunks::held(tx, want.doc)?, chunks::load(tx, want.doc)?) else {
        return Ok(false);
    };
    let waiting: HashSet<_> = outbox::waiting(tx, want.doc)?.into_iter().map(|c| c.header.hash).collect();
    let changes: Vec<Change> =
        doc.changes_since(&want.heads).into_iter().filter(|c| !waiting.contains(&c.header.hash)).collect();
    let known: BTreeSet<_> = want.heads.iter().copied().filter(|h| doc.has(*h)).collect();
    let known: Vec<_> = known.into_iter().collect();
    let count = if changes.is_empty() { 0 } else { outbox::requeue(tx, held.doc, &changes, Lane::Rest, now)? };
    chunks::set_accepted(tx, want.doc, &known)?;
    Ok(count > 0)
}

/// What a delivery brought.
struct Brought {
    /// Something new here.
    news: bool,
    /// The server, restored, lacks something that it had accepted: it is queued again.
    lost: bool,
}

/// Takes a document delivered; nothing of it where it is not sound.
fn deliver(tx: &Transaction<'_>, delivery: &Delivery, now: Millis, written: &mut Written) -> Result<Brought> {
    let id = DocRef::new(delivery.kind, delivery.doc);
    let before = chunks::held(tx, id.id)?;
    let (doc, entity, changes, news) = sound(tx, id, delivery)?;
    let snapshot = (!delivery.snapshot.is_empty()).then_some(delivery.snapshot.as_slice());
    let seal = Seal { heads: delivery.sealed.heads.clone(), seal: delivery.sealed.seal.clone() };
    chunks::put_received(tx, id, snapshot, &changes, &doc.heads(), &seal)?;
    if news {
        written.put_read(id, &doc, entity);
    }
    let mut lacks = false;
    if let Some(before) = before.filter(|b| !b.accepted.is_empty() && !planted::on(Bug::SealReplaced)) {
        let beyond: HashSet<_> = doc.changes_since(&delivery.sealed.heads).iter().map(|c| c.header.hash).collect();
        lacks = before.accepted.iter().any(|h| beyond.contains(h));
        if lacks {
            // The older seal vouches for what is to be given back.
            if let Some(seal) = &before.sealed {
                chunks::put_seal(tx, id.id, seal)?;
            }
            let have = Held { doc: id.id, kind: id.kind, heads: delivery.sealed.heads.clone() };
            lacks = lost(tx, &have, now)?;
        }
    }
    Ok(Brought { news, lost: lacks })
}

/// Screens and applies a delivery in memory.
fn sound(conn: &Connection, id: DocRef, delivery: &Delivery) -> Result<(Doc, Entity, Vec<Change>, bool)> {
    let Sealed { heads, seal } = &delivery.sealed;
    let bad_heads = |detail: &str| Err(Error::BadChange { code: "bad_heads", detail: detail.into() });
    if heads.is_empty() || heads.len() > MAX_DEPS || !heads.is_sorted_by(|a, b| a < b) || seal.len() > MAX_OPAQUE {
        return bad_heads("the sealed heads are no heads");
    }
    let changes = delivery.changes.iter().map(|c| Change::parse(c.to_vec())).collect::<Result<Vec<_>>>()?;
    let snapshot = (!delivery.snapshot.is_empty()).then_some(delivery.snapshot.as_slice());
    let (doc, news) = match chunks::load(conn, id.id)? {
        Some(held) if held.kind() != id.kind => {
            return Err(Error::BadChange { code: "wrong_kind", detail: format!("held as {}", held.kind().name()) });
        }
        Some(mut held) => {
            let before = held.heads();
            let leaving = chunks::held(conn, id.id)?.is_some_and(|h| h.leaving);
            if snapshot.is_some() {
                let theirs = Doc::load_foreign(id.kind, snapshot, std::iter::empty::<&[u8]>())?;
                held.apply(theirs.foreign_changes()?.into_iter().map(|c| c.bytes))?;
            }
            held.apply(changes.iter().map(|c| c.bytes.as_slice()))?;
            let news = leaving || held.heads() != before;
            (held, news)
        }
        None => (Doc::load_foreign(id.kind, snapshot, changes.iter().map(|c| c.bytes.as_slice()))?, true),
    };
    if heads.iter().any(|h| !doc.has(*h)) {
        return bad_heads("the sealed heads are not in the document");
    }
    let entity = if news && !changes.is_empty() { doc.prove()?.reading.entity } else { doc.entity()? };
    Ok((doc, entity, changes, news))
}
