//! What devices push: each change gated, then accepted, set aside or asked for again.

use super::draft::Draft;
use super::{Ledger, Session};
use crate::error::Result;
use crate::gate::{After, Offer, Outcome, Placed, Screened, Tried};
use crate::storage::{Batch, DeviceSync, SetAside, Tenant};
use hmac::{Hmac, KeyInit as _, Mac as _};
use onsite_core::domain::authority::may_write;
use onsite_core::domain::{Author, ChangeHash, DocId, DocRef, Entity, Rejection};
use onsite_core::planted::{self, Bug};
use onsite_core::sync::protocol::{Fate, Push, Sealed, Verdict};
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// Most changes tried together: each is judged on what it does by itself.
const TOGETHER: usize = 64;

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
fn covered(sealed: &Sealed, changes: &[Screened]) -> HashSet<ChangeHash> {
    let by_hash: HashMap<ChangeHash, &Screened> = changes.iter().map(|c| (c.header.hash, c)).collect();
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

/// Changes to one document that are tried together.
struct Group {
    at: DocRef,
    /// Whether a seal of ours covers them: they were accepted once.
    vouched: bool,
    changes: Vec<Screened>,
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
        draft.by = session.staff;
        let docs: Vec<DocRef> = pushes.iter().map(|p| DocRef { kind: p.kind, id: p.doc }).collect();
        draft.load(&docs).await?;
        let ids: Vec<DocId> = docs.iter().map(|d| d.id).collect();
        let mut before: HashMap<(DocId, ChangeHash), SetAside> = HashMap::new();
        if !ids.is_empty() {
            before.extend(self.storage().aside_of(tenant.id, &ids).await?.into_iter().map(|a| ((a.doc, a.hash), a)));
        }
        let author = Author { staff: session.staff, roles: session.roles.clone(), device_code: None };
        let mut judge =
            Judge { draft, session, author, before, refused: HashMap::new(), verdicts: Vec::new(), aside: Vec::new() };
        let mut groups = Vec::new();
        for push in pushes {
            judge.sort(tenant, push, &mut groups)?;
        }
        // The first trial of every document at once; what comes after it on the same document waits for its outcome.
        let mut seen = BTreeSet::new();
        let first: Vec<bool> = groups.iter().map(|g| seen.insert(g.at.id)).collect();
        let mut trials = Vec::new();
        for group in groups.iter().zip(&first).filter_map(|(group, first)| first.then_some(group)) {
            let offers = judge.offers(group);
            trials.push(judge.draft.work(group.at.id)?.trial(offers, !group.vouched));
        }
        let mut tried = self.gate.run(trials).await.into_iter();
        // Not before: what is read must still stand when all this is committed.
        judge.draft.reader.prepare(&ids).await?;
        for (group, first) in groups.into_iter().zip(first) {
            judge.settle(self, group, if first { tried.next() } else { None }).await?;
        }
        let Judge { draft, verdicts, aside, .. } = judge;
        let batch = Batch { device: Some(session.device), aside, device_sync: sync, ..Batch::default() };
        Ok(Judged { batch: draft.batch(batch).await?, verdicts })
    }
}

/// Who of some changes is guilty.
enum Found {
    Nobody,
    /// This one, and why.
    One(usize, Rejection),
    /// Nobody can say: they are too many at once.
    TooMany,
}

struct Judge<'a> {
    draft: Draft<'a>,
    session: &'a Session,
    author: Author,
    /// What was set aside earlier.
    before: HashMap<(DocId, ChangeHash), SetAside>,
    /// What is refused now.
    refused: HashMap<(DocId, ChangeHash), Rejection>,
    verdicts: Vec<Verdict>,
    aside: Vec<SetAside>,
}

impl Judge<'_> {
    fn say(&mut self, doc: DocId, hash: ChangeHash, fate: Fate) {
        self.verdicts.push(Verdict { doc, hash, fate });
    }

    /// Sets a change aside, visibly: never dropped.
    fn set_aside(
        &mut self,
        at: DocRef,
        hash: ChangeHash,
        body: Vec<u8>,
        why: Rejection,
        because_of: Option<ChangeHash>,
    ) {
        let fate = Fate::SetAside { code: why.code.clone(), field: why.field.clone(), detail: why.detail.clone() };
        self.refused.insert((at.id, hash), why.clone());
        self.say(at.id, hash, fate);
        if planted::on(Bug::AsideForgotten) {
            return;
        }
        self.aside.push(SetAside {
            doc: at.id,
            kind: at.kind,
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

    /// Screens a push; what passes is grouped by who answers for it.
    fn sort(&mut self, tenant: &Tenant, push: &Push, groups: &mut Vec<Group>) -> Result<()> {
        let at = DocRef { kind: push.kind, id: push.doc };
        let known = self.draft.work(push.doc)?.at.kind;
        let mut changes = Vec::new();
        for bytes in &push.changes {
            match Screened::of(bytes.to_vec()) {
                Ok(change) if known != push.kind => {
                    let why = Rejection::new("wrong_kind", "kind", "the document is of another kind");
                    self.set_aside(at, change.header.hash, change.bytes, why, None);
                }
                Ok(change) => changes.push(change),
                Err(bad) => self.set_aside(at, bad.name, bad.bytes, bad.why, None),
            }
        }
        let vouched = match &push.sealed {
            Some(sealed) if seal_holds(tenant, push.doc, sealed) => covered(sealed, &changes),
            _ => HashSet::new(),
        };
        // What a seal covers was accepted once; the rest must stand on its own.
        let (old, new): (Vec<_>, Vec<_>) = changes.into_iter().partition(|c| vouched.contains(&c.header.hash));
        if !old.is_empty() {
            groups.push(Group { at, vouched: true, changes: old });
        }
        let mut new = new.into_iter().peekable();
        while new.peek().is_some() {
            groups.push(Group { at, vouched: false, changes: new.by_ref().take(TOGETHER).collect() });
        }
        Ok(())
    }

    /// What speaks against a change, unless it is in the document already.
    fn objection(&self, group: &Group, change: &Screened) -> Option<Rejection> {
        match self.before.get(&(group.at.id, change.header.hash)) {
            Some(old) => Some(Rejection::new(&old.code, &old.field, old.detail.clone())),
            None if group.vouched => None,
            None => change.forged(self.session.device, self.session.staff),
        }
    }

    fn offers(&self, group: &Group) -> Vec<Offer> {
        let offer = |change: &Screened| Offer {
            bytes: change.bytes.clone().into(),
            objected: self.objection(group, change).is_some(),
        };
        group.changes.iter().map(offer).collect()
    }

    /// Settles a group: all of it where each of its changes is allowed; else the
    /// guilty one alone, or halves, so that the innocent pass.
    async fn settle(&mut self, ledger: &Ledger, group: Group, tried: Option<Tried>) -> Result<()> {
        let mut todo = VecDeque::from([(group, tried)]);
        while let Some((group, tried)) = todo.pop_front() {
            let tried = match tried {
                Some(tried) => tried,
                None => {
                    let offers = self.offers(&group);
                    let trial = self.draft.work(group.at.id)?.trial(offers, !group.vouched);
                    let Some(tried) = ledger.gate.run(vec![trial]).await.pop() else { continue };
                    tried
                }
            };
            let Group { at, vouched, .. } = group;
            let (fitting, outcome) = self.place(group, tried);
            let refused = match outcome {
                Outcome::Same | Outcome::Unheard(_) => continue,
                Outcome::Dies(code, detail) => Rejection::new(&code, "", detail),
                Outcome::Lives(after) => {
                    let entity = Arc::new(Entity::from_json(at.kind, &after.entity)?);
                    match self.guilty(at, &after, &entity, fitting.len(), vouched).await? {
                        Found::Nobody => {
                            self.accept(at, fitting, *after, entity)?;
                            continue;
                        }
                        Found::One(n, why) => {
                            let mut before = fitting;
                            let mut rest = before.split_off(n).into_iter();
                            if let Some(change) = rest.next() {
                                self.set_aside(at, change.header.hash, change.bytes, why, None);
                            }
                            for changes in [rest.collect(), before] {
                                if !changes.is_empty() {
                                    todo.push_front((Group { at, vouched, changes }, None));
                                }
                            }
                            continue;
                        }
                        // Never of one alone.
                        Found::TooMany => Rejection::new("too_large", "", "too much to be judged"),
                    }
                }
            };
            let mut changes = fitting;
            if changes.len() > 1 {
                let rest = changes.split_off(changes.len() / 2);
                todo.push_front((Group { at, vouched, changes: rest }, None));
                todo.push_front((Group { at, vouched, changes }, None));
            } else {
                for change in changes {
                    self.set_aside(at, change.header.hash, change.bytes, refused.clone(), None);
                }
            }
        }
        Ok(())
    }

    /// Says what became of the changes that do not fit; answers those that do.
    fn place(&mut self, group: Group, tried: Tried) -> (Vec<Screened>, Outcome) {
        let at = group.at;
        if let Outcome::Unheard(why) = &tried.after {
            tracing::error!(doc = %at.id, error = %why, "changes could not be tried");
            for change in &group.changes {
                self.say(at.id, change.header.hash, Fate::Later);
            }
            return (Vec::new(), tried.after);
        }
        let objections: Vec<_> = group.changes.iter().map(|c| self.objection(&group, c)).collect();
        let mut fitting = Vec::new();
        for ((change, objection), placed) in group.changes.into_iter().zip(objections).zip(tried.placed) {
            let hash = change.header.hash;
            match placed {
                Placed::Fits => fitting.push(change),
                Placed::Known if planted::on(Bug::DedupeSkipped) => fitting.push(change),
                Placed::Known => self.say(at.id, hash, Fate::Accepted),
                Placed::ActorReused => self.say(at.id, hash, Fate::ActorReused),
                Placed::Refused(code, detail) => {
                    self.set_aside(at, hash, change.bytes, Rejection::new(&code, "", detail), None);
                }
                Placed::Objected => {
                    let why = objection.unwrap_or_else(|| Rejection::new("forged_actor", "", ""));
                    if self.before.contains_key(&(at.id, hash)) {
                        // It is there already, as it was decided then.
                        let Rejection { code, field, detail } = why.clone();
                        self.refused.insert((at.id, hash), why);
                        self.say(at.id, hash, Fate::SetAside { code, field, detail });
                    } else {
                        self.set_aside(at, hash, change.bytes, why, None);
                    }
                }
                Placed::NeedDeps(missing) => {
                    let refused = |m: &ChangeHash| {
                        let key = (at.id, *m);
                        self.refused.contains_key(&key) || self.before.contains_key(&key)
                    };
                    match missing.iter().copied().find(refused) {
                        Some(guilty) => {
                            let why = Rejection::new("depends_on_refused", "", "it rests on a change that was refused");
                            self.set_aside(at, hash, change.bytes, why, Some(guilty));
                        }
                        None => self.say(at.id, hash, Fate::NeedDeps(missing)),
                    }
                }
            }
        }
        (fitting, tried.after)
    }

    /// The first of `n` changes by which its author makes of the document what they may
    /// not. Each is judged by itself: what one does, a later one cannot undo as if it never
    /// was, for both stay in the history. So how a push is cut into messages decides nothing.
    async fn guilty(
        &mut self,
        at: DocRef,
        after: &After,
        last: &Arc<Entity>,
        n: usize,
        vouched: bool,
    ) -> Result<Found> {
        if vouched {
            return Ok(Found::Nobody);
        }
        if after.steps.len() + 1 != n {
            return Ok(Found::TooMany);
        }
        let work = self.draft.work(at.id)?;
        let mut before = work.there().then(|| Arc::clone(&work.entity));
        for step in 0..n {
            let now = match after.steps.get(step) {
                Some(json) => Arc::new(Entity::from_json(at.kind, json)?),
                None => Arc::clone(last),
            };
            let author = &self.author;
            let judged = self.draft.reader.ask(|world| may_write(at, before.as_deref(), &now, author, world)).await?;
            if let Err(why) = judged {
                return Ok(Found::One(step, why));
            }
            before = Some(now);
        }
        Ok(Found::Nobody)
    }

    fn accept(&mut self, at: DocRef, changes: Vec<Screened>, after: After, entity: Arc<Entity>) -> Result<()> {
        for change in &changes {
            self.say(at.id, change.header.hash, Fate::Accepted);
        }
        let device = self.session.device;
        self.draft.take(at.id, after, entity, changes, device)
    }
}
