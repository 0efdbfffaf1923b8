//! A commit in the making: documents loaded, changed, projected, numbered.

use super::Ledger;
use super::reader::Reader;
use crate::error::{Error, Result};
use crate::facts;
use crate::gate::{After, Offer, Screened, Trial, kept};
use crate::storage::{Audit, Batch, CounterStep, DocWrite, Fact, Loaded, NewChange, View};
use onsite_core::document::{Actor, Doc};
use onsite_core::domain::summary::{self, Summary, Ties};
use onsite_core::domain::{
    ChangeHash, DeviceId, DocId, DocRef, Entity, Kind, Millis, StaffId, TenantId, VisitId, WorkOrder, World,
    WorldExt as _, Write, Zone,
};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};
use std::sync::Arc;

/// The person named as the author of what the server adds by itself.
const SERVER: StaffId = StaffId(uuid::Uuid::from_u128(0x0e51_7e00_0000_7000_8000_0000_0000_0003));
/// Changes after the snapshot from which a new snapshot is due, also of a large document.
const LONG_TAIL: usize = 6;

/// Whether the audit chain tells of changes to this kind: who may do what, and by which settings.
fn audited(kind: Kind) -> bool {
    matches!(kind, Kind::Staff | Kind::Settings)
}

/// What the audit chain says of a change: names of fields, and values only where
/// they say who may do what. Names and numbers of people must not stay in it for ever.
fn told(before: &Entity, after: &Entity) -> Result<serde_json::Value> {
    let (old, new) = (serde_json::to_value(before)?, serde_json::to_value(after)?);
    let mut fields = Vec::new();
    crate::office::differ("", &old, &new, &mut fields);
    let mut said = serde_json::json!({ "fields": fields });
    if let (Entity::Staff(b), Entity::Staff(a)) = (before, after)
        && (b.roles != a.roles || b.left.is_some() != a.left.is_some())
    {
        said["roles"] = serde_json::json!([b.roles, a.roles]);
        said["left"] = a.left.is_some().into();
    }
    Ok(said)
}

/// A document's row, and what is kept beside it.
fn row(doc: DocRef, entity: &Entity, world: &dyn World, now: Millis) -> (Summary, Result<Option<Fact>>) {
    let row = summary::summary(doc, entity, world, now);
    let fact = facts::of(doc, entity, row.due, world);
    (row, fact)
}

/// One document of a draft. What others push onto it is tried elsewhere, on its
/// bytes; it is loaded here only where the server itself writes.
pub(crate) struct Work {
    pub(crate) at: DocRef,
    /// Its content, which rules see too.
    pub(crate) entity: Arc<Entity>,
    /// The same as JSON, where it came so.
    json: Option<String>,
    pub(crate) added: Vec<NewChange>,
    /// What it was, where the audit chain tells of its changes.
    before: Option<Arc<Entity>>,
    expect: u64,
    rev: u64,
    heads: Vec<ChangeHash>,
    clashes: u32,
    /// As stored.
    snapshot: Option<Vec<u8>>,
    tail: Vec<Vec<u8>>,
    /// A snapshot of all that is here, where one was made.
    fresh: Option<Vec<u8>>,
    doc: Option<Doc>,
}

impl Work {
    fn new(at: DocRef) -> Self {
        let entity = Arc::new(Entity::new(at.kind));
        Self {
            at,
            before: audited(at.kind).then(|| entity.clone()),
            entity,
            json: None,
            added: Vec::new(),
            expect: 0,
            rev: 0,
            heads: Vec::new(),
            clashes: 0,
            snapshot: None,
            tail: Vec::new(),
            fresh: None,
            doc: None,
        }
    }

    /// Whether the document was there before.
    pub(crate) fn stored(&self) -> bool {
        self.expect != 0
    }

    /// Whether anything is here: stored, or about to be.
    pub(crate) fn there(&self) -> bool {
        self.stored() || !self.added.is_empty()
    }

    fn changes(&self) -> impl Iterator<Item = &[u8]> {
        self.tail.iter().map(Vec::as_slice).chain(self.added.iter().map(|a| a.body.as_slice()))
    }

    /// A trial of `offers` on this document as it stands; `each`: with its content after each.
    pub(crate) fn trial(&self, offers: Vec<Offer>, each: bool) -> Trial {
        // What an earlier trial of this push made is not made again, change by change.
        let (snapshot, tail) = match &self.fresh {
            Some(all) => (Some(all.clone().into()), Vec::new()),
            None => (self.snapshot.clone().map(Into::into), self.changes().map(|c| c.to_vec().into()).collect()),
        };
        Trial {
            kind: self.at.kind,
            snapshot,
            tail,
            clashes: self.clashes,
            due: self.tail.len() + self.added.len() + offers.len() > LONG_TAIL,
            each,
            offers,
        }
    }

    fn take(&mut self, after: After, entity: Arc<Entity>, changes: Vec<Screened>, device: DeviceId) {
        (self.entity, self.json) = (entity, Some(after.entity));
        (self.heads, self.clashes) = (after.heads, after.clashes);
        self.fresh = after.snapshot.map(serde_bytes::ByteBuf::into_vec);
        self.doc = None;
        self.added.extend(changes.into_iter().map(|change| NewChange {
            hash: change.header.hash,
            actor: change.actor,
            seq: change.header.seq,
            device,
            body: change.bytes,
        }));
    }

    fn write(&mut self, actor: Actor, by: StaffId, now: Millis, writes: &[Write]) -> Result<()> {
        let mut doc = match self.doc.take() {
            Some(doc) => doc,
            None => Doc::load(self.at.kind, self.snapshot.as_deref(), self.changes())?,
        };
        if let Some(change) = doc.write(actor, by, now, writes)? {
            self.added.push(NewChange {
                hash: change.header.hash,
                actor,
                seq: change.header.seq,
                device: actor.device,
                body: change.bytes,
            });
            (self.entity, self.json) = (Arc::new(doc.entity()?), None);
            self.heads = doc.heads();
            // Written on all that is here, it clashes with nothing; it may have settled a clash.
            if self.clashes > 0 {
                self.clashes = u32::try_from(doc.clashes().len()).unwrap_or(u32::MAX);
            }
            self.fresh = None;
        }
        self.doc = Some(doc);
        Ok(())
    }

    /// A snapshot of all that is here, where one was made or is due.
    fn snapshot(&mut self) -> Option<Vec<u8>> {
        let long = self.tail.len() + self.added.len() > LONG_TAIL;
        self.fresh.take().or_else(|| self.doc.as_ref().and_then(|doc| kept(doc, doc.save_plain(), long)))
    }
}

/// A commit in the making.
pub(crate) struct Draft<'a> {
    ledger: &'a Ledger,
    pub(crate) tenant: TenantId,
    pub(crate) now: Millis,
    /// Who acts, for the audit chain.
    pub(crate) by: StaffId,
    pub(crate) reader: Reader<'a>,
    pub(crate) works: BTreeMap<DocId, Work>,
    order: Vec<DocId>,
    counters: BTreeMap<String, (u64, u64)>,
    /// The server's actor in this epoch.
    pub(crate) actor: Actor,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(ledger: &'a Ledger, tenant: TenantId, epoch: u64) -> Self {
        Self {
            ledger,
            tenant,
            now: ledger.env().now(),
            by: StaffId(uuid::Uuid::nil()),
            reader: Reader::new(ledger.storage(), tenant),
            works: BTreeMap::new(),
            order: Vec::new(),
            counters: BTreeMap::new(),
            actor: Actor { device: DeviceId(uuid::Uuid::nil()), incarnation: epoch.to_be_bytes() },
        }
    }

    /// Loads documents (new ones as their genesis).
    ///
    /// # Errors
    /// [`Error::Moved`] where a rule has read another version of one: what was decided on that would undo
    /// what came between; the storage's.
    pub(crate) async fn load(&mut self, docs: &[DocRef]) -> Result<()> {
        let wanted: Vec<DocId> = docs.iter().map(|d| d.id).filter(|d| !self.works.contains_key(d)).collect();
        for loaded in self.ledger.storage().load(self.tenant, &wanted).await? {
            if self.reader.read_other_than(&loaded.content) {
                return Err(Error::Moved);
            }
            let entity = Arc::new(loaded.content.entity()?);
            let Loaded { content, snapshot, tail } = loaded;
            let at = content.doc;
            self.order.push(at.id);
            let work = Work {
                before: audited(at.kind).then(|| Arc::clone(&entity)),
                entity: Arc::clone(&entity),
                expect: content.ver,
                rev: content.rev,
                heads: content.heads.clone(),
                clashes: content.clashes,
                snapshot,
                tail,
                ..Work::new(at)
            };
            self.works.insert(at.id, work);
            self.reader.know(content, entity);
        }
        for at in docs {
            if !self.works.contains_key(&at.id) {
                self.order.push(at.id);
                self.works.insert(at.id, Work::new(*at));
            }
        }
        Ok(())
    }

    /// A loaded document.
    pub(crate) fn work(&mut self, doc: DocId) -> Result<&mut Work> {
        self.works.get_mut(&doc).ok_or_else(|| Error::Internal("a document that was not loaded".into()))
    }

    /// Takes over what came of a trial of these changes.
    pub(crate) fn take(
        &mut self,
        doc: DocId,
        after: After,
        entity: Arc<Entity>,
        changes: Vec<Screened>,
        device: DeviceId,
    ) -> Result<()> {
        self.work(doc)?.take(after, entity, changes, device);
        self.show(doc)
    }

    /// Writes as the server's own actor.
    pub(crate) fn write(&mut self, doc: DocId, by: StaffId, at: Millis, writes: &[Write]) -> Result<()> {
        let actor = self.actor;
        self.work(doc)?.write(actor, by, at, writes)?;
        self.show(doc)
    }

    /// Shows a document's new content to the rules.
    fn show(&mut self, doc: DocId) -> Result<()> {
        let work = self.work(doc)?;
        let entity = Arc::clone(&work.entity);
        self.reader.put(doc, entity);
        Ok(())
    }

    async fn number(&mut self, what: &str, prefix: &str) -> Result<String> {
        let day = self.reader.ask(|w| Zone { minutes: w.settings().utc_offset_minutes }.day(self.now)).await?;
        let name = format!("{what}/{}", day.year());
        let step = match self.counters.get_mut(&name) {
            Some(step) => step,
            None => {
                let from = self.ledger.storage().counter(self.tenant, &name).await?;
                self.counters.entry(name).or_insert((from, from))
            }
        };
        step.1 += 1;
        Ok(format!("{prefix}-{}-{:06}", day.year(), step.1))
    }

    /// Gives final numbers to what has none: the server's part of the work order.
    async fn numbers(&mut self) -> Result<()> {
        let mut orders = BTreeSet::new();
        for work in self.works.values().filter(|w| !w.added.is_empty()) {
            match &*work.entity {
                Entity::WorkOrder(_) => {
                    orders.insert(work.at.id);
                }
                Entity::Visit(v) => orders.extend(v.work_order.map(DocId::from)),
                _ => {}
            }
        }
        for order in orders {
            let at = DocRef::new(Kind::WorkOrder, order);
            let found = self.reader.ask(|w| w.get::<WorkOrder>(order).map(Cow::into_owned)).await?;
            let Some(mut after) = found else { continue };
            let mut numbered = false;
            if after.number.is_none() {
                numbered = true;
                after.number = Some(self.number("work_order", "WO").await?);
            }
            if after.request.is_some() && after.request_number.is_none() {
                numbered = true;
                after.request_number = Some(self.number("request", "RQ").await?);
            }
            let mut visits: Vec<VisitId> =
                self.reader.ask(|w| w.children(Kind::Visit, order)).await?.into_iter().map(VisitId::from).collect();
            if let Some(request) = after.request {
                let unplanned = VisitId::of_request(request);
                if self.reader.ask(|w| w.entity(DocRef::new(Kind::Visit, unplanned)).is_some()).await? {
                    visits.push(unplanned);
                }
            }
            for visit in visits {
                if let Entry::Vacant(entry) = after.record_numbers.entry(visit) {
                    numbered = true;
                    entry.insert(self.number("visit", "SR").await?);
                }
            }
            if numbered {
                self.load(&[at]).await?;
                self.write(order, SERVER, self.now, &[Write::Put(order, Entity::WorkOrder(after))])?;
            }
        }
        Ok(())
    }

    /// Everything to be committed together.
    pub(crate) async fn batch(mut self, mut batch: Batch) -> Result<Batch> {
        let written = |draft: &Self| -> Vec<DocId> {
            draft.order.iter().copied().filter(|d| draft.works.get(d).is_some_and(|w| !w.added.is_empty())).collect()
        };
        self.reader.prepare(&written(&self)).await?;
        self.numbers().await?;
        let now = self.now;
        batch.now = now;
        let changed = written(&self);
        let mut touched: BTreeSet<DocRef> = BTreeSet::new();
        for doc in &changed {
            let Some(mut work) = self.works.remove(doc) else { continue };
            if let Some(before) = &work.before {
                let change = if work.stored() { "change" } else { "add" };
                batch.audit.push(Audit {
                    at: now,
                    by: self.by,
                    action: format!("{}.{change}", work.at.kind.name()),
                    subject: work.at.id.to_string(),
                    detail: told(before, &work.entity)?,
                });
            }
            let (row, fact, touches) = self
                .reader
                .ask(|w| {
                    let (row, fact) = row(work.at, &work.entity, w, now);
                    (row, fact, summary::touches(work.at, &work.entity, w))
                })
                .await?;
            touched.extend(touches);
            if let Some((_, old)) = self.reader.stored(*doc)
                && let Entity::Customer(old) = &**old
                && old.name != row.title
            {
                touched.extend(self.reader.ask(|w| summary::retitled(work.at, w)).await?);
            }
            let Ties { readers, under, over } = summary::ties(&work.entity);
            batch.docs.push(DocWrite {
                doc: work.at.id,
                kind: work.at.kind,
                expect: work.expect,
                heads: work.heads.clone(),
                snapshot: work.snapshot(),
                view: View {
                    ver: work.expect,
                    rev: work.rev,
                    entity: match work.json {
                        Some(json) => json,
                        None => serde_json::to_string(&*work.entity)?,
                    },
                    heads: work.heads,
                    summary: row,
                    clashes: work.clashes,
                    changed: now,
                    fact: fact?,
                },
                changes: work.added,
                readers,
                under,
                over,
            });
        }
        for at in touched.into_iter().filter(|at| !changed.contains(&at.id)) {
            let row = self.reader.ask(|w| Some(row(at, &*w.entity(at)?, w, now))).await?;
            let Some((summary, fact)) = row else { continue };
            if let Some((content, _)) = self.reader.stored(at.id) {
                batch.touched.push(content.clone().shown(summary, fact?));
            }
        }
        batch.counters.extend(self.counters.into_iter().map(|(name, (from, to))| CounterStep { name, from, to }));
        Ok(batch)
    }
}
