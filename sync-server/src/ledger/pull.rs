//! What devices lack: a scan of what changed in a person's scope, its bytes,
//! and the comparison of everything where that is not enough.

use super::push::seal;
use super::{Ledger, Session};
use crate::error::{Error, Result};
use crate::gate::kept;
use crate::storage::{Bodies, Place, Query, ScopeRow, Tenant, Want, range};
use onsite_core::document::Doc;
use onsite_core::domain::stage::Stage;
use onsite_core::domain::{DocId, Entity, Kind, Millis, SETTINGS, VisitId};
use onsite_core::sync::protocol::{
    Cursor, Delivery, Digest, Held, MAX_ANSWER, Order, Reconcile, ReconcileAnswer, Sealed, Seen, SyncAnswer,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Rows of one scan.
const SCAN: usize = 1000;
/// Documents whose bytes are read at once.
const READ: usize = 200;
/// Jobs that a phone is given before all others, and documents with what hangs on them.
const NEAR_JOBS: usize = 50;
const NEAR: usize = 200;
/// A job overdue for longer is not near any more.
const NEAR_SINCE: i64 = 30 * Millis::DAY;
/// The same, where whole documents are sent besides: what does not fit any more is read again.
const READ_WHOLE: usize = 50;
/// Most changes that go after a snapshot when a document goes whole.
const TAIL: usize = 3;

/// A cursor: `v1.epoch.number`; between the pages of one scan `v1.epoch.number.document.base`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct At {
    pub(crate) epoch: u64,
    /// Where the scan goes on.
    pub(crate) place: Place,
    /// The number up to which the device has everything: where the scan began.
    /// Rows stand at their last change, so one that a later page brings may have
    /// earlier changes that lie before the page's beginning.
    pub(crate) base: u64,
}

impl At {
    pub(crate) fn parse(cursor: &Cursor) -> Result<Self> {
        let bad = || Error::bad("bad_cursor", "cursor", "the cursor is not one of this server's");
        let mut parts = cursor.0.split('.');
        let number = |part: Option<&str>| {
            let text = part.filter(|t| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit())).ok_or_else(bad)?;
            text.parse::<u64>().map_err(|_| bad())
        };
        if parts.next() != Some("v1") {
            return Err(bad());
        }
        let epoch = number(parts.next())?;
        let ver = number(parts.next())?;
        let doc = parts.next().map(|d| d.parse::<DocId>().map_err(|_| bad())).transpose()?;
        let base = if doc.is_some() { number(parts.next())? } else { ver };
        if parts.next().is_some() || base > ver {
            return Err(bad());
        }
        Ok(Self { epoch, place: Place { ver, doc }, base })
    }

    pub(crate) fn cursor(&self) -> Cursor {
        let Place { ver, doc } = self.place;
        Cursor(match doc {
            None => format!("v1.{}.{ver}", self.epoch),
            Some(doc) => format!("v1.{}.{ver}.{doc}.{}", self.epoch, self.base),
        })
    }
}

/// Bytes an answer may still take.
pub(crate) struct Budget {
    left: usize,
    spent: bool,
}

impl Budget {
    pub(crate) fn new(asked: u64) -> Self {
        let left = usize::try_from(asked).ok().filter(|n| *n > 0).unwrap_or(MAX_ANSWER).min(MAX_ANSWER);
        Self { left, spent: false }
    }

    fn take(&mut self, delivery: &Delivery) {
        let size = 160 + delivery.snapshot.len() + delivery.changes.iter().map(|c| c.len() + 8).sum::<usize>();
        self.spent |= size >= self.left;
        self.left = self.left.saturating_sub(size);
    }
}

fn delivery(tenant: &Tenant, bodies: Bodies, keep: impl Fn(u64, onsite_core::domain::DeviceId) -> bool) -> Delivery {
    let seal = seal(tenant, bodies.row.doc, &bodies.row.heads);
    Delivery {
        doc: bodies.row.doc,
        kind: bodies.row.kind,
        snapshot: bodies.snapshot.unwrap_or_default(),
        changes: bodies
            .changes
            .into_iter()
            .filter(|(cursor, device, _)| keep(*cursor, *device))
            .map(|(_, _, body)| serde_bytes::ByteBuf::from(body))
            .collect(),
        sealed: Sealed { heads: bodies.row.heads, seal },
    }
}

impl Ledger {
    /// Fills an answer with what is new after `cursor`.
    #[expect(clippy::too_many_arguments, reason = "one caller; a struct would only rename them")]
    pub(crate) async fn pull(
        &self,
        tenant: &Tenant,
        session: &Session,
        cursor: Option<&Cursor>,
        own_upto: u64,
        digest: Option<Digest>,
        budget: &mut Budget,
        answer: &mut SyncAnswer,
    ) -> Result<()> {
        let storage = self.storage();
        let start = match cursor {
            Some(cursor) => At::parse(cursor)?,
            None => At { epoch: tenant.epoch, place: Place { ver: 0, doc: None }, base: 0 },
        };
        let scan = storage.scan(tenant.id, session.staff, start.place, SCAN).await?;
        let head = At { epoch: scan.epoch, place: Place { ver: scan.head, doc: None }, base: scan.head };
        if start.epoch != scan.epoch || start.place.ver > scan.head {
            // Another life of the log: compare everything instead.
            answer.orders.push(Order::Reconcile);
            answer.cursor = head.cursor();
            return Ok(());
        }
        // A phone's first sync begins with its own and today's jobs. They come besides the scan and
        // not instead of it: the scan still brings every row, so nothing hangs on this guess. Only what
        // one answer holds of both comes once.
        let mut near = BTreeSet::new();
        if cursor.is_none() {
            let wants: Vec<Want> =
                self.near(tenant, session).await?.into_iter().map(|doc| Want { doc, after: None }).collect();
            self.send_whole(tenant, &wants, budget, answer).await?;
            near.extend(answer.docs.iter().map(|d| d.doc));
            if budget.spent {
                answer.more = true;
                answer.remaining = scan.rows.len() as u64 + scan.remaining;
                // Before every row, and yet not the beginning.
                let place = Place { ver: 0, doc: Some(DocId(uuid::Uuid::nil())) };
                answer.cursor = At { epoch: scan.epoch, place, base: 0 }.cursor();
                return Ok(());
            }
        }
        let quiet = scan.rows.is_empty();
        let last = scan.remaining == 0;
        let stopped =
            self.deliver(tenant, session, start.base, scan.rows, &near, own_upto, budget, answer, last).await?;
        answer.cursor = match stopped {
            Some(place) => {
                answer.more = true;
                answer.remaining += scan.remaining;
                At { epoch: scan.epoch, place, base: start.base }.cursor()
            }
            None => {
                if quiet && digest.is_some_and(|d| d != scan.digest) {
                    answer.orders.push(Order::Reconcile);
                }
                head.cursor()
            }
        };
        Ok(())
    }

    /// Delivers rows until the budget is spent; answers where it stopped, if it did.
    #[expect(clippy::too_many_arguments, reason = "one caller; a struct would only rename them")]
    async fn deliver(
        &self,
        tenant: &Tenant,
        session: &Session,
        base: u64,
        rows: Vec<ScopeRow>,
        near: &BTreeSet<DocId>,
        own_upto: u64,
        budget: &mut Budget,
        answer: &mut SyncAnswer,
        last: bool,
    ) -> Result<Option<Place>> {
        let total = rows.len();
        let mut done = 0;
        for part in rows.chunks(READ) {
            let wants: Vec<Want> = part
                .iter()
                .filter(|r| !r.left && r.doc_ver > 0 && !near.contains(&r.doc))
                .map(|r| {
                    let whole = r.since > base || base == 0;
                    Want { doc: r.doc, after: (!whole).then_some(base) }
                })
                .collect();
            let mut bodies: HashMap<DocId, Bodies> =
                self.bodies(tenant, &wants).await?.into_iter().map(|b| (b.row.doc, b)).collect();
            for row in part {
                done += 1;
                if row.left {
                    answer.left.push(row.doc);
                } else {
                    let whole = row.since > base || base == 0;
                    if let Some(seen) = row.seen.as_ref().filter(|s| s.ver > base || whole) {
                        answer.seen.push(Seen { doc: row.doc, heads: seen.heads.clone(), at: seen.at, by: seen.by });
                    }
                    if let Some(found) = bodies.remove(&row.doc) {
                        let mine = session.device;
                        let delivery =
                            delivery(tenant, found, |cursor, device| whole || device != mine || cursor <= own_upto);
                        budget.take(&delivery);
                        answer.docs.push(delivery);
                    }
                }
                let end = done == total;
                let stop = if end { !last } else { budget.spent };
                if stop {
                    answer.remaining = (total - done) as u64;
                    return Ok(Some(Place { ver: row.ver, doc: Some(row.doc) }));
                }
            }
        }
        Ok(None)
    }

    /// A person's own and today's jobs, with what hangs on them: due from a
    /// while ago until tomorrow and not over, and their open requests.
    async fn near(&self, tenant: &Tenant, session: &Session) -> Result<Vec<DocId>> {
        let (storage, now) = (self.storage(), self.env().now());
        let mine = |kind| Query { kind: Some(kind), person: Some(session.staff), ..Query::default() };
        let due = (Some(now.plus(-NEAR_SINCE)), Some(now.plus(Millis::DAY)));
        let jobs = Query { due_from: due.0, due_before: due.1, limit: 1000, ..mine(Kind::WorkOrder) };
        let reported = Some(Stage::Reported.word().to_owned());
        let requests = Query { status: reported, limit: NEAR_JOBS, ..mine(Kind::Request) };
        let over = |status: &str| {
            serde_json::from_value::<Stage>(status.into()).is_ok_and(|s| s.over() || s == Stage::Incomplete)
        };
        let mut docs = vec![session.staff.into(), SETTINGS];
        let jobs = storage.list(tenant.id, &jobs).await?;
        for job in jobs.iter().rev().filter(|j| !over(&j.summary.status)).take(NEAR_JOBS) {
            let id = job.summary.doc.id;
            docs.push(id);
            docs.extend(storage.children(tenant.id, Kind::Visit, id).await?);
            if let Entity::WorkOrder(order) = job.entity()? {
                docs.extend(order.customer.map(DocId::from));
                docs.extend(order.request.map(DocId::from));
                docs.extend(order.request.map(|r| DocId::from(VisitId::of_request(r))));
            }
        }
        for request in storage.list(tenant.id, &requests).await? {
            let id = request.summary.doc.id;
            docs.push(id);
            docs.extend(storage.children(tenant.id, Kind::Visit, id).await?);
        }
        let (mut near, mut seen) = (Vec::new(), BTreeSet::new());
        for doc in docs {
            // Whom a row concerns is no word on who may read it.
            if near.len() < NEAR && seen.insert(doc) && storage.in_scope(tenant.id, session.staff, doc).await? {
                near.push(doc);
            }
        }
        Ok(near)
    }

    /// The bytes of documents, whole ones with a short tail at most: a phone loads a snapshot
    /// several times faster than its changes, and it is shorter. Made once, it is kept.
    async fn bodies(&self, tenant: &Tenant, wants: &[Want]) -> Result<Vec<Bodies>> {
        let whole: BTreeSet<DocId> = wants.iter().filter(|w| w.after.is_none()).map(|w| w.doc).collect();
        let found = self.storage().bodies(tenant.id, wants).await?;
        let long = move |b: &Bodies| {
            let most = if b.snapshot.is_some() { TAIL } else { 1 };
            whole.contains(&b.row.doc) && b.changes.len() > most
        };
        if !found.iter().any(&long) {
            return Ok(found);
        }
        let condense = move || {
            let (mut out, mut fresh) = (Vec::<Bodies>::new(), Vec::<(DocId, u64, Vec<u8>)>::new());
            for mut bodies in found {
                if long(&bodies) {
                    let changes = bodies.changes.iter().map(|(_, _, body)| body);
                    // One that does not load goes as it is: the phone says what is wrong with it.
                    if let Ok(doc) = Doc::load(bodies.row.kind, bodies.snapshot.as_deref(), changes)
                        && doc.heads() == bodies.row.heads
                        && let Some(snapshot) = kept(&doc, doc.save_plain(), true)
                    {
                        fresh.push((bodies.row.doc, bodies.row.ver, snapshot.clone()));
                        (bodies.snapshot, bodies.changes) = (Some(snapshot), Vec::new());
                    }
                }
                out.push(bodies);
            }
            (out, fresh)
        };
        // Some milliseconds of work: not on a thread that answers others, where there is one besides.
        let (out, fresh) = match tokio::runtime::Handle::try_current() {
            Ok(runtime) => {
                let done = runtime.spawn_blocking(condense).await;
                done.map_err(|e| Error::Internal(format!("making snapshots: {e}")))?
            }
            Err(_) => condense(),
        };
        if !fresh.is_empty() {
            self.storage().put_snapshots(tenant.id, fresh).await?;
        }
        Ok(out)
    }

    /// One step of comparing everything.
    pub(crate) async fn reconcile(
        &self,
        tenant: &Tenant,
        session: &Session,
        step: Reconcile,
        budget: &mut Budget,
        answer: &mut SyncAnswer,
    ) -> Result<()> {
        match step {
            Reconcile::Ranges(theirs) => {
                if theirs.len() != 256 {
                    return Err(Error::bad("bad_reconcile", "reconcile", "256 ranges are needed"));
                }
                let ours = self.storage().range_digests(tenant.id, session.staff).await?;
                let differ: Vec<u8> =
                    (0..=255u8).filter(|r| ours.get(usize::from(*r)) != theirs.get(usize::from(*r))).collect();
                answer.reconcile = Some(if differ.is_empty() {
                    ReconcileAnswer::Same
                } else {
                    ReconcileAnswer::Differ(differ.clone())
                });
                // Ranges of which the device holds nothing will not be asked about: send them now.
                let empty: BTreeSet<u8> =
                    differ.into_iter().filter(|r| theirs[usize::from(*r)] == Digest::default()).collect();
                let lacking = match empty.is_empty() {
                    true => Vec::new(),
                    false => self.storage().held_in(tenant.id, session.staff, &empty).await?,
                };
                let lacking: Vec<Want> = lacking.iter().map(|d| Want { doc: d.doc, after: None }).collect();
                self.send_whole(tenant, &lacking, budget, answer).await
            }
            Reconcile::Have(theirs) => {
                let ranges: BTreeSet<u8> = theirs.iter().map(|h| range(h.doc)).collect();
                let held = self.storage().held_in(tenant.id, session.staff, &ranges).await?;
                let ours: BTreeMap<DocId, &Held> = held.iter().map(|h| (h.doc, h)).collect();
                let known: BTreeSet<DocId> = theirs.iter().map(|h| h.doc).collect();
                let mut want = Vec::new();
                let mut send: Vec<Want> = Vec::new();
                for device in &theirs {
                    match ours.get(&device.doc) {
                        Some(server) if server.heads == device.heads => {}
                        Some(server) => {
                            // Where the server lacks something it asks first: an answer now would
                            // replace the seal that vouches for what it lost. What the device
                            // lacks besides comes with the next comparison.
                            if self.storage().knows(tenant.id, device.doc, &device.heads).await? {
                                send.push(Want { doc: device.doc, after: None });
                            } else {
                                want.push((*server).clone());
                            }
                        }
                        // Lost with everything, or lost what brought it into this scope. What the device has
                        // that is not here must come before it may go from the device.
                        None if !self.storage().knows(tenant.id, device.doc, &device.heads).await? => {
                            want.push(Held { doc: device.doc, kind: device.kind, heads: Vec::new() });
                        }
                        None => answer.left.push(device.doc),
                    }
                }
                send.extend(held.iter().filter(|h| !known.contains(&h.doc)).map(|h| Want { doc: h.doc, after: None }));
                answer.reconcile = Some(if want.is_empty() && send.is_empty() {
                    ReconcileAnswer::Same
                } else {
                    ReconcileAnswer::Want(want)
                });
                self.send_whole(tenant, &send, budget, answer).await
            }
        }
    }

    async fn send_whole(
        &self,
        tenant: &Tenant,
        wants: &[Want],
        budget: &mut Budget,
        answer: &mut SyncAnswer,
    ) -> Result<()> {
        let mut done = 0;
        for part in wants.chunks(READ_WHOLE) {
            for bodies in self.bodies(tenant, part).await? {
                if budget.spent {
                    answer.more = true;
                    answer.remaining += (wants.len() - done) as u64;
                    return Ok(());
                }
                let delivery = delivery(tenant, bodies, |_, _| true);
                budget.take(&delivery);
                answer.docs.push(delivery);
                done += 1;
            }
        }
        Ok(())
    }
}
