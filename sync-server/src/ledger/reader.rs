//! The read model as the world that rules look at.
//!
//! Rules are pure and synchronous, the storage is not: a rule runs on what is
//! here already, what it misses is fetched, and it runs again until it misses
//! nothing. What a commit is about to write lies over what is stored.

use crate::error::Result;
use crate::storage::{Answers, Asked, Content, Device, DeviceSync, Key, Query, Storage, View};
use onsite_core::domain::summary::{self, Ties};
use onsite_core::domain::{
    ComplaintId, DocId, DocRef, Entity, Kind, Millis, RequestId, SETTINGS, StaffId, TenantId, WorkOrderId, World,
};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, hash_map::Entry};
use std::sync::Arc;

#[derive(Default)]
struct Missed {
    asked: Asked,
    spans: BTreeSet<(Millis, Millis)>,
    devices: bool,
}

impl Missed {
    fn nothing(&self) -> bool {
        let Self { asked, spans, devices } = self;
        *asked == Asked::default() && spans.is_empty() && !devices
    }
}

/// A content as stored, and read.
type Known = (Content, Arc<Entity>);

/// What rules see while one commit is prepared.
pub(crate) struct Reader<'a> {
    storage: &'a dyn Storage,
    tenant: TenantId,
    /// On the heap: they are large, and the table grows.
    stored: HashMap<DocId, Option<Box<Known>>>,
    children: HashMap<(Kind, DocId), Vec<DocId>>,
    coded: HashMap<String, Vec<StaffId>>,
    complaints: HashMap<(Millis, Millis), Vec<ComplaintId>>,
    answers: HashMap<RequestId, Vec<DocId>>,
    devices: Option<Vec<(Device, Option<DeviceSync>)>>,
    over: HashMap<DocId, Arc<Entity>>,
    missed: RefCell<Missed>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(storage: &'a dyn Storage, tenant: TenantId) -> Self {
        Self {
            storage,
            tenant,
            stored: HashMap::new(),
            children: HashMap::new(),
            coded: HashMap::new(),
            complaints: HashMap::new(),
            answers: HashMap::new(),
            devices: None,
            over: HashMap::new(),
            missed: RefCell::default(),
        }
    }

    /// Puts a content over what is stored.
    pub(crate) fn put(&mut self, doc: DocId, entity: Arc<Entity>) {
        self.over.insert(doc, entity);
    }

    /// What is stored of a document, where it is here already.
    pub(crate) fn stored(&self, doc: DocId) -> Option<&Known> {
        self.stored.get(&doc)?.as_deref()
    }

    /// Whether a rule has read another version of this document, or that it was not there.
    pub(crate) fn read_other_than(&self, content: &Content) -> bool {
        let read = self.stored.get(&content.doc.id);
        read.is_some_and(|row| row.as_ref().is_none_or(|row| row.0.ver != content.ver))
    }

    /// Takes a content in that was loaded with its document.
    pub(crate) fn know(&mut self, content: Content, entity: Arc<Entity>) {
        if let Entry::Vacant(entry) = self.stored.entry(content.doc.id) {
            entry.insert(Some(Box::new((content, entity))));
        }
    }

    /// Takes contents in that a rule will ask for, in one go.
    pub(crate) async fn prefetch(&mut self, docs: impl IntoIterator<Item = DocId>) -> Result<()> {
        let docs = docs.into_iter().filter(|d| !self.stored.contains_key(d)).collect();
        self.take_in(Asked { docs, ..Asked::default() }).await
    }

    /// Takes in what rules will ask about these documents, all at once: what they name, the jobs among that with
    /// their visits, and what those name. What it leaves out is fetched when a rule misses it.
    pub(crate) async fn prepare(&mut self, docs: &[DocId]) -> Result<()> {
        let mut around: BTreeSet<DocId> = docs.iter().copied().collect();
        for _ in 0..2 {
            let mut asked = Asked { docs: [SETTINGS].into(), ..Asked::default() };
            for doc in &around {
                let Some(entity) = self.known(*doc) else { continue };
                let Ties { under, over, .. } = summary::ties(entity);
                asked.docs.extend(under.into_iter().chain(over).chain(summary::parent(entity)));
                match entity {
                    Entity::WorkOrder(order) => {
                        asked.docs.extend(order.ever_assigned().into_iter().map(DocId::from));
                        asked.children.insert((Kind::Visit, *doc));
                        asked.linked_to.extend(order.request.map(DocId::from));
                    }
                    Entity::Request(_) => {
                        asked.linked_to.insert(*doc);
                    }
                    _ => {}
                }
            }
            around = asked.docs.clone();
            asked.docs.retain(|doc| !self.stored.contains_key(doc));
            asked.children.retain(|of| !self.children.contains_key(of));
            asked.linked_to.retain(|doc| !self.answers.contains_key(&RequestId::from(*doc)));
            self.take_in(asked).await?;
        }
        Ok(())
    }

    /// A content that is here already.
    fn known(&self, doc: DocId) -> Option<&Entity> {
        let over = self.over.get(&doc);
        over.or_else(|| self.stored(doc).map(|row| &row.1)).map(|entity| &**entity)
    }

    /// Runs a rule on the world.
    pub(crate) async fn ask<T>(&mut self, mut rule: impl FnMut(&dyn World) -> T) -> Result<T> {
        loop {
            let answer = rule(self);
            let missed = std::mem::take(&mut *self.missed.borrow_mut());
            if missed.nothing() {
                return Ok(answer);
            }
            self.take_in(missed.asked).await?;
            for span in missed.spans {
                let found = received(self.storage, self.tenant, span).await?;
                self.complaints.insert(span, found);
            }
            if missed.devices {
                self.devices = Some(self.storage.devices(self.tenant).await?);
            }
        }
    }

    async fn take_in(&mut self, asked: Asked) -> Result<()> {
        if asked == Asked::default() {
            return Ok(());
        }
        let Answers { contents, children, linked_to, coded } = self.storage.ask(self.tenant, &asked).await?;
        self.stored.extend(asked.docs.into_iter().map(|doc| (doc, None)));
        for content in contents {
            let entity = Arc::new(content.entity()?);
            self.stored.insert(content.doc.id, Some(Box::new((content, entity))));
        }
        self.children.extend(children);
        self.answers.extend(linked_to.into_iter().map(|(request, orders)| (request.into(), orders)));
        self.coded.extend(coded);
        Ok(())
    }
}

/// The complaints received in a span, and those of no known time.
async fn received(storage: &dyn Storage, tenant: TenantId, (from, to): (Millis, Millis)) -> Result<Vec<ComplaintId>> {
    let of = Query { kind: Some(Kind::Complaint), limit: 1000, ..Query::default() };
    let inside = Query { due_from: Some(from), due_before: Some(to), ..of.clone() };
    let latest = Key { due: i64::MAX - 1, doc: DocId(uuid::Uuid::max()) };
    let timeless = Query { after: Some(latest), ..of };
    let mut found = Vec::new();
    for mut query in [inside, timeless] {
        loop {
            let page = storage.list(tenant, &query).await?;
            found.extend(page.iter().map(|v| ComplaintId::from(v.summary.doc.id)));
            query.after = page.last().map(View::key);
            if page.len() < query.page() {
                break;
            }
        }
    }
    Ok(found)
}

impl World for Reader<'_> {
    fn entity(&self, doc: DocRef) -> Option<Cow<'_, Entity>> {
        let found = self.known(doc.id);
        if found.is_none() && !self.stored.contains_key(&doc.id) {
            self.missed.borrow_mut().asked.docs.insert(doc.id);
        }
        found.filter(|e| e.kind() == doc.kind).map(Cow::Borrowed)
    }

    fn children(&self, kind: Kind, of: DocId) -> Vec<DocId> {
        let Some(stored) = self.children.get(&(kind, of)) else {
            self.missed.borrow_mut().asked.children.insert((kind, of));
            return Vec::new();
        };
        let mut all: BTreeSet<DocId> = stored.iter().copied().filter(|d| !self.over.contains_key(d)).collect();
        all.extend(
            self.over.iter().filter(|(_, e)| e.kind() == kind && summary::parent(e) == Some(of)).map(|(doc, _)| *doc),
        );
        all.into_iter().collect()
    }
    fn coded(&self, code: &str) -> Vec<StaffId> {
        let Some(stored) = self.coded.get(code) else {
            self.missed.borrow_mut().asked.coded.insert(code.to_owned());
            return Vec::new();
        };
        let here = |e: &Entity| matches!(e, Entity::Staff(s) if s.code == code && s.left.is_none());
        let kept = stored.iter().copied().filter(|id| !self.over.contains_key(&DocId::from(*id)));
        kept.chain(self.over.iter().filter(|(_, e)| here(e)).map(|(doc, _)| StaffId::from(*doc))).collect()
    }

    fn complaints(&self, from: Millis, to: Millis) -> Option<Vec<ComplaintId>> {
        let Some(stored) = self.complaints.get(&(from, to)) else {
            self.missed.borrow_mut().spans.insert((from, to));
            return Some(Vec::new());
        };
        let inside = |e: &Entity| matches!(e, Entity::Complaint(c) if c.received.is_none_or(|r| from <= r.best() && r.best() < to));
        let over = self.over.iter().filter(|(_, e)| inside(e)).map(|(doc, _)| ComplaintId::from(*doc));
        let all: BTreeSet<ComplaintId> = stored.iter().copied().chain(over).collect();
        Some(all.into_iter().collect())
    }

    /// A work order's readers read its request: the links tell which those are.
    fn answers(&self, request: RequestId) -> Vec<WorkOrderId> {
        let Some(stored) = self.answers.get(&request) else {
            self.missed.borrow_mut().asked.linked_to.insert(request.into());
            return Vec::new();
        };
        let over = self.over.iter().filter(|(_, e)| summary::answers(e, request)).map(|(doc, _)| *doc);
        let all: BTreeSet<DocId> = stored.iter().copied().chain(over).collect();
        all.into_iter().map(WorkOrderId::from).collect()
    }

    /// The least of what a person's devices say of themselves: one that holds
    /// unsent work has sent up to the oldest of it, others up to their last contact.
    fn synced_until(&self, staff: StaffId) -> Option<Millis> {
        let Some(devices) = &self.devices else {
            self.missed.borrow_mut().devices = true;
            return None;
        };
        let theirs = devices.iter().filter(|(d, _)| d.staff == staff && d.revoked.is_none());
        let upto = |sync: &DeviceSync| match sync.account.oldest.filter(|_| sync.account.changes > 0) {
            Some(oldest) => oldest.plus(sync.offset).min(sync.contact),
            None if sync.account.changes > 0 => Millis(i64::MIN),
            None => sync.contact,
        };
        theirs.map(|(_, sync)| sync.as_ref().map(upto)).min()?
    }
}
