//! What devices push: each change gated, then accepted, set aside or asked for again.

use super::draft::Draft;
use super::{Ledger, Session};
use crate::error::{Error, Result};
use crate::gate::{self, Placed};
use crate::storage::{Batch, DeviceSync, SetAside, Tenant};
use hmac::{Hmac, KeyInit as _, Mac as _};
use onsite_core::document::{Change, Doc};
use onsite_core::domain::authority::may_write;
use onsite_core::domain::{Author, ChangeHash, DocId, DocRef, Entity, Rejection};
use onsite_core::sync::protocol::{Fate, Push, Sealed, Verdict};
use std::collections::{HashMap, HashSet};

/// Seals accepted heads with the company's secret.
pub(crate) fn seal(tenant: &Tenant, doc: DocId, heads: &[ChangeHash]) -> Vec<u8> {
    sealing(tenant, doc, heads).map(|mac| mac.finalize().into_bytes().to_vec()).unwrap_or_default()
}

fn sealing(tenant: &Tenant, doc: DocId, heads: &[ChangeHash]) -> Option<Hmac<sha2::Sha256>> {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&tenant.secret).ok()?;
    mac.update(tenant.id.as_bytes());
    mac.update(doc.as_bytes());
    for head in heads {
        mac.update(&head.0);
    }
    Some(mac)
}

fn seal_holds(tenant: &Tenant, doc: DocId, sealed: &Sealed) -> bool {
    let mut heads = sealed.heads.clone();
    heads.sort_unstable();
    sealing(tenant, doc, &heads).is_some_and(|mac| mac.verify_slice(&sealed.seal).is_ok())
}

/// The changes of a push that a seal covers: its heads and what they rest on.
fn covered(sealed: &Sealed, changes: &[Change]) -> HashSet<ChangeHash> {
    let by_hash: HashMap<ChangeHash, &Change> = changes.iter().map(|c| (c.header.hash, c)).collect();
    let mut todo = sealed.heads.clone();
    let mut seen = HashSet::new();
    while let Some(hash) = todo.pop() {
        if let Some(change) = by_hash.get(&hash)
            && seen.insert(hash)
        {
            todo.extend(&change.header.deps);
        }
    }
    seen
}

/// A push judged: what to commit and what to answer.
pub(crate) struct Judged {
    pub(crate) batch: Batch,
    pub(crate) verdicts: Vec<Verdict>,
}

impl Ledger {
    /// Judges a push against the ledger as it stands.
    pub(crate) async fn judge(
        &self,
        tenant: &Tenant,
        session: &Session,
        pushes: &[Push],
        sync: Option<DeviceSync>,
    ) -> Result<Judged> {
        let mut draft = Draft::new(self, tenant.id, tenant.epoch);
        let mut verdicts = Vec::new();
        let mut aside = Vec::new();
        let docs: Vec<DocRef> = pushes.iter().map(|p| DocRef { kind: p.kind, id: p.doc }).collect();
        draft.load(&docs).await?;
        let ids: Vec<DocId> = docs.iter().map(|d| d.id).collect();
        let mut before: HashMap<(DocId, ChangeHash), SetAside> = HashMap::new();
        if !ids.is_empty() {
            before.extend(self.storage().aside_of(tenant.id, &ids).await?.into_iter().map(|a| ((a.doc, a.hash), a)));
        }
        let author = Author { staff: session.staff, roles: session.roles.clone(), device_code: None };
        for push in pushes {
            let mut judge = Judge {
                draft: &mut draft,
                tenant,
                session,
                author: &author,
                at: DocRef { kind: push.kind, id: push.doc },
                before: &before,
                refused: HashMap::new(),
                verdicts: &mut verdicts,
                aside: &mut aside,
            };
            judge.push(push).await?;
        }
        let batch = Batch { device: Some(session.device), aside, device_sync: sync, ..Batch::default() };
        Ok(Judged { batch: draft.batch(batch).await?, verdicts })
    }
}

struct Judge<'a, 'b> {
    draft: &'a mut Draft<'b>,
    tenant: &'a Tenant,
    session: &'a Session,
    author: &'a Author,
    at: DocRef,
    before: &'a HashMap<(DocId, ChangeHash), SetAside>,
    refused: HashMap<ChangeHash, Rejection>,
    verdicts: &'a mut Vec<Verdict>,
    aside: &'a mut Vec<SetAside>,
}

impl Judge<'_, '_> {
    fn say(&mut self, hash: ChangeHash, fate: Fate) {
        self.verdicts.push(Verdict { doc: self.at.id, hash, fate });
    }

    /// Sets a change aside, visibly: never dropped.
    fn set_aside(&mut self, hash: ChangeHash, body: Vec<u8>, why: Rejection, because_of: Option<ChangeHash>) {
        let fate = Fate::SetAside { code: why.code.clone(), field: why.field.clone(), detail: why.detail.clone() };
        self.refused.insert(hash, why.clone());
        self.say(hash, fate);
        self.aside.push(SetAside {
            doc: self.at.id,
            kind: self.at.kind,
            hash,
            staff: self.session.staff,
            device: self.session.device,
            code: why.code,
            field: why.field,
            detail: why.detail,
            because_of,
            body,
            at: self.draft.now,
            decided: None,
        });
    }

    async fn push(&mut self, push: &Push) -> Result<()> {
        if self.draft.work(push.doc)?.at.kind != push.kind {
            for bytes in &push.changes {
                let (hash, body) = match gate::read(bytes.to_vec()) {
                    Ok(change) => (change.header.hash, change.bytes),
                    Err(bad) => (bad.0, bad.1),
                };
                self.set_aside(
                    hash,
                    body,
                    Rejection::new("wrong_kind", "kind", "the document is of another kind"),
                    None,
                );
            }
            return Ok(());
        }
        let mut changes = Vec::new();
        for bytes in &push.changes {
            match gate::read(bytes.to_vec()) {
                Ok(change) => changes.push(change),
                Err(bad) => {
                    let (hash, body, why) = *bad;
                    self.set_aside(hash, body, why, None);
                }
            }
        }
        let vouched = match &push.sealed {
            Some(sealed) if seal_holds(self.tenant, push.doc, sealed) => covered(sealed, &changes),
            _ => HashSet::new(),
        };
        // What a seal covers was accepted once; the rest must stand on its own.
        let (old, new): (Vec<_>, Vec<_>) = changes.into_iter().partition(|c| vouched.contains(&c.header.hash));
        self.admit(old, true).await?;
        self.admit(new, false).await
    }

    /// Admits changes in order: all at once where authority allows, else one by one.
    async fn admit(&mut self, changes: Vec<Change>, vouched: bool) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let start = {
            let work = self.draft.work(self.at.id)?;
            (work.doc.clone(), work.entity.clone(), work.stored() || !work.added.is_empty())
        };
        let mut fitting = Vec::new();
        let mut doc = start.0.clone();
        for change in changes {
            if let Some(next) = self.fit(&doc, &change, vouched) {
                doc = next;
                fitting.push(change);
            }
        }
        if fitting.is_empty() {
            return Ok(());
        }
        let whole = self.verdict(&doc, start.2.then_some(&start.1), vouched).await?;
        let Err(why) = whole else {
            let entity = whole?;
            return self.accept(fitting, entity);
        };
        if fitting.len() == 1 {
            for change in fitting {
                self.set_aside(change.header.hash, change.bytes, why.clone(), None);
            }
            return Ok(());
        }
        // Somebody among them is guilty: one by one, so that the innocent pass.
        for change in fitting {
            let (doc, entity, there) = {
                let work = self.draft.work(self.at.id)?;
                (work.doc.clone(), work.entity.clone(), work.stored() || !work.added.is_empty())
            };
            let Some(next) = self.fit(&doc, &change, vouched) else { continue };
            match self.verdict(&next, there.then_some(&entity), vouched).await? {
                Ok(entity) => self.accept(vec![change], entity)?,
                Err(why) => self.set_aside(change.header.hash, change.bytes, why, None),
            }
        }
        Ok(())
    }

    /// Whether a change fits onto `doc`; its verdict is said where it does not.
    fn fit(&mut self, doc: &Doc, change: &Change, vouched: bool) -> Option<Doc> {
        let hash = change.header.hash;
        if let Some(old) = self.before.get(&(self.at.id, hash)) {
            let fate = Fate::SetAside { code: old.code.clone(), field: old.field.clone(), detail: old.detail.clone() };
            if !doc.has(hash) {
                self.refused.insert(hash, Rejection::new(&old.code, &old.field, old.detail.clone()));
                self.say(hash, fate);
                return None;
            }
        }
        match gate::place(change, doc, self.session.device, self.session.staff, vouched) {
            Placed::Known => self.say(hash, Fate::Accepted),
            Placed::Not(Fate::NeedDeps(missing)) => {
                let guilty = missing
                    .iter()
                    .copied()
                    .find(|m| self.refused.contains_key(m) || self.before.contains_key(&(self.at.id, *m)));
                match guilty {
                    Some(guilty) => {
                        let why = Rejection::new("depends_on_refused", "", "it rests on a change that was refused");
                        self.set_aside(hash, change.bytes.clone(), why, Some(guilty));
                    }
                    None => self.say(hash, Fate::NeedDeps(missing)),
                }
            }
            Placed::Not(fate) => self.say(hash, fate),
            Placed::Refused(why) => self.set_aside(hash, change.bytes.clone(), why, None),
            Placed::Fits => match gate::trial(doc, change) {
                Ok(next) => return Some(next),
                Err(why) => self.set_aside(hash, change.bytes.clone(), why, None),
            },
        }
        None
    }

    /// The content after, if the document loads again and the author may write it so.
    async fn verdict(
        &mut self,
        doc: &Doc,
        before: Option<&Entity>,
        vouched: bool,
    ) -> Result<Result<Entity, Rejection>> {
        if let Err(why) = gate::prove(doc) {
            return Ok(Err(why));
        }
        let after = match doc.entity() {
            Ok(after) => after,
            Err(e) => return Ok(Err(Rejection::new(e.code(), "", e.to_string()))),
        };
        if vouched {
            return Ok(Ok(after));
        }
        let (at, author) = (self.at, self.author);
        let allowed = self.draft.reader.ask(|world| may_write(at, before, &after, author, world)).await?;
        Ok(allowed.map(|()| after))
    }

    fn accept(&mut self, changes: Vec<Change>, entity: Entity) -> Result<()> {
        for change in changes {
            let Some(actor) = change.header.author() else { continue };
            let device = self.session.device;
            let work = self.draft.work(self.at.id)?;
            let next = gate::trial(&work.doc, &change).map_err(Error::Refused)?;
            work.take(next, &change, device, actor);
            self.say(change.header.hash, Fate::Accepted);
        }
        self.draft.work(self.at.id)?.entity = entity;
        self.draft.show(self.at.id)
    }
}
