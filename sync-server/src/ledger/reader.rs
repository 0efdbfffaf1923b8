//! The read model as the world that rules look at.
//!
//! Rules are pure and synchronous, the storage is not: a rule runs on what is
//! here already, what it misses is fetched, and it runs again until it misses
//! nothing. What a commit is about to write lies over what is stored.

use crate::error::Result;
use crate::storage::{Storage, View};
use onsite_core::domain::{DocId, DocRef, Entity, Kind, TenantId, World, summary};
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, hash_map::Entry};

#[derive(Default)]
struct Missed {
    docs: BTreeSet<DocId>,
    children: BTreeSet<(Kind, DocId)>,
}

/// What rules see while one commit is prepared.
pub(crate) struct Reader<'a> {
    storage: &'a dyn Storage,
    tenant: TenantId,
    views: HashMap<DocId, Option<(View, Entity)>>,
    children: HashMap<(Kind, DocId), Vec<DocId>>,
    over: HashMap<DocId, (Kind, Entity)>,
    missed: RefCell<Missed>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(storage: &'a dyn Storage, tenant: TenantId) -> Self {
        Self {
            storage,
            tenant,
            views: HashMap::new(),
            children: HashMap::new(),
            over: HashMap::new(),
            missed: RefCell::default(),
        }
    }

    /// Puts a content over what is stored.
    pub(crate) fn put(&mut self, doc: DocRef, entity: Entity) {
        self.over.insert(doc.id, (doc.kind, entity));
    }

    /// A row that is here already.
    pub(crate) fn view(&self, doc: DocId) -> Option<&View> {
        self.views.get(&doc)?.as_ref().map(|(view, _)| view)
    }

    /// Takes a row in that was loaded with its document.
    pub(crate) fn know(&mut self, view: &View) -> Result<()> {
        let doc = view.summary.doc.id;
        if let Entry::Vacant(entry) = self.views.entry(doc) {
            entry.insert(Some((view.clone(), view.entity()?)));
        }
        Ok(())
    }

    /// Runs a rule on the world.
    pub(crate) async fn ask<T>(&mut self, mut rule: impl FnMut(&dyn World) -> T) -> Result<T> {
        loop {
            let answer = rule(self);
            let missed = std::mem::take(&mut *self.missed.borrow_mut());
            if missed.docs.is_empty() && missed.children.is_empty() {
                return Ok(answer);
            }
            self.fetch(missed).await?;
        }
    }

    async fn fetch(&mut self, missed: Missed) -> Result<()> {
        let docs: Vec<DocId> = missed.docs.into_iter().collect();
        if !docs.is_empty() {
            let mut found: HashMap<DocId, View> =
                self.storage.views(self.tenant, &docs).await?.into_iter().map(|v| (v.summary.doc.id, v)).collect();
            for doc in docs {
                let view = match found.remove(&doc) {
                    Some(view) => {
                        let entity = view.entity()?;
                        Some((view, entity))
                    }
                    None => None,
                };
                self.views.insert(doc, view);
            }
        }
        for (kind, parent) in missed.children {
            let children = self.storage.children(self.tenant, kind, parent).await?;
            self.children.insert((kind, parent), children);
        }
        Ok(())
    }
}

impl World for Reader<'_> {
    fn entity(&self, doc: DocRef) -> Option<Entity> {
        if let Some((kind, entity)) = self.over.get(&doc.id) {
            return (*kind == doc.kind).then(|| entity.clone());
        }
        match self.views.get(&doc.id) {
            Some(found) => found.as_ref().map(|(_, e)| e).filter(|e| e.kind() == doc.kind).cloned(),
            None => {
                self.missed.borrow_mut().docs.insert(doc.id);
                None
            }
        }
    }

    fn children(&self, kind: Kind, of: DocId) -> Vec<DocId> {
        let Some(stored) = self.children.get(&(kind, of)) else {
            self.missed.borrow_mut().children.insert((kind, of));
            return Vec::new();
        };
        let mut all: BTreeSet<DocId> = stored.iter().copied().filter(|d| !self.over.contains_key(d)).collect();
        all.extend(
            self.over.iter().filter(|(_, (k, e))| *k == kind && summary::parent(e) == Some(of)).map(|(doc, _)| *doc),
        );
        all.into_iter().collect()
    }
}
