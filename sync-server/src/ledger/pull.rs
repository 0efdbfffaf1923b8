//! What devices lack: a scan of what changed in a person's scope, its bytes,
//! and the comparison of everything where that is not enough.

use super::push::seal;
use super::{Ledger, Session};
use crate::error::{Error, Result};
use crate::storage::{Bodies, Place, ScopeRow, Tenant, Want, doc_digest, xor};
use onsite_core::domain::{ChangeHash, DocId};
use onsite_core::sync::protocol::{
    Cursor, Delivery, Digest, Held, MAX_ANSWER, Order, Reconcile, ReconcileAnswer, Sealed, Seen, SyncAnswer,
};
use sha2::Digest as _;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Rows of one scan.
const SCAN: usize = 1000;
/// Documents whose bytes are read at once.
const READ: usize = 200;

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
        let quiet = scan.rows.is_empty();
        let last = scan.remaining == 0;
        let stopped = self.deliver(tenant, session, start.base, scan.rows, own_upto, budget, answer, last).await?;
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
                .filter(|r| !r.left && r.doc_ver > 0)
                .map(|r| {
                    let whole = r.since > base || base == 0;
                    Want { doc: r.doc, after: (!whole).then_some(base) }
                })
                .collect();
            let mut bodies: HashMap<DocId, Bodies> =
                self.storage().bodies(tenant.id, &wants).await?.into_iter().map(|b| (b.row.doc, b)).collect();
            for row in part {
                done += 1;
                if row.left {
                    answer.left.push(row.doc);
                } else if let Some(found) = bodies.remove(&row.doc) {
                    let whole = wants.iter().any(|w| w.doc == row.doc && w.after.is_none());
                    let mine = session.device;
                    let delivery =
                        delivery(tenant, found, |cursor, device| whole || device != mine || cursor <= own_upto);
                    budget.take(&delivery);
                    answer.docs.push(delivery);
                    if let Some(seen) = row.seen.as_ref().filter(|s| s.ver > base || whole) {
                        answer.seen.push(Seen { doc: row.doc, heads: seen.heads.clone(), at: seen.at, by: seen.by });
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

    /// One step of comparing everything.
    pub(crate) async fn reconcile(
        &self,
        tenant: &Tenant,
        session: &Session,
        step: Reconcile,
        budget: &mut Budget,
        answer: &mut SyncAnswer,
    ) -> Result<()> {
        let held = self.storage().held(tenant.id, session.staff).await?;
        match step {
            Reconcile::Ranges(theirs) => {
                if theirs.len() != 256 {
                    return Err(Error::bad("bad_reconcile", "reconcile", "256 ranges are needed"));
                }
                let mut ours = vec![Digest::default(); 256];
                for doc in &held {
                    xor(&mut ours[usize::from(range(doc.doc))], doc_digest(doc.doc, &doc.heads));
                }
                let differ: Vec<u8> =
                    (0..=255u8).filter(|r| ours[usize::from(*r)] != theirs[usize::from(*r)]).collect();
                answer.reconcile = Some(if differ.is_empty() {
                    ReconcileAnswer::Same
                } else {
                    ReconcileAnswer::Differ(differ.clone())
                });
                // Ranges of which the device holds nothing will not be asked about: send them now.
                let empty: BTreeSet<u8> =
                    differ.into_iter().filter(|r| theirs[usize::from(*r)] == Digest::default()).collect();
                let lacking: Vec<Want> = held
                    .iter()
                    .filter(|d| empty.contains(&range(d.doc)))
                    .map(|d| Want { doc: d.doc, after: None })
                    .collect();
                self.send_whole(tenant, &lacking, budget, answer).await
            }
            Reconcile::Have(theirs) => {
                let ours: BTreeMap<DocId, &Held> = held.iter().map(|h| (h.doc, h)).collect();
                let ranges: BTreeSet<u8> = theirs.iter().map(|h| range(h.doc)).collect();
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
                            if self.knows(tenant, device.doc, &device.heads).await? {
                                send.push(Want { doc: device.doc, after: None });
                            } else {
                                want.push((*server).clone());
                            }
                        }
                        // Lost with everything, or lost what brought it into this scope. What the device has
                        // that is not here must come before it may go from the device.
                        None if !self.knows(tenant, device.doc, &device.heads).await? => {
                            want.push(Held { doc: device.doc, kind: device.kind, heads: Vec::new() });
                        }
                        None => answer.left.push(device.doc),
                    }
                }
                send.extend(
                    held.iter()
                        .filter(|h| ranges.contains(&range(h.doc)) && !known.contains(&h.doc))
                        .map(|h| Want { doc: h.doc, after: None }),
                );
                answer.reconcile = Some(if want.is_empty() && send.is_empty() {
                    ReconcileAnswer::Same
                } else {
                    ReconcileAnswer::Want(want)
                });
                self.send_whole(tenant, &send, budget, answer).await
            }
        }
    }

    /// Whether all these heads are changes of the document here.
    async fn knows(&self, tenant: &Tenant, doc: DocId, heads: &[ChangeHash]) -> Result<bool> {
        let history = self.storage().history(tenant.id, doc).await?;
        Ok(heads.iter().all(|h| history.iter().any(|row| row.hash == *h)))
    }

    async fn send_whole(
        &self,
        tenant: &Tenant,
        wants: &[Want],
        budget: &mut Budget,
        answer: &mut SyncAnswer,
    ) -> Result<()> {
        for (i, want) in wants.iter().enumerate() {
            if budget.spent {
                answer.more = true;
                answer.remaining += (wants.len() - i) as u64;
                return Ok(());
            }
            for bodies in self.storage().bodies(tenant.id, std::slice::from_ref(want)).await? {
                let delivery = delivery(tenant, bodies, |_, _| true);
                budget.take(&delivery);
                answer.docs.push(delivery);
            }
        }
        Ok(())
    }
}

/// The range a document is compared in.
fn range(doc: DocId) -> u8 {
    sha2::Sha256::digest(doc.as_bytes())[0]
}
