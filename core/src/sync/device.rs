//! A device's file with its environment: what the engine, the session and the client share.

use super::protocol::{EnrolAnswer, TokenRequest};
use crate::document::{Actor, Doc, reissue};
use crate::domain::summary::{answers, parent, retitled, summary, touches};
use crate::domain::{
    Author, ChangeHash, Customer, DocId, DocRef, Entity, Kind, Millis, RequestId, Role, StaffId, Stamp, WorkOrderId,
    World, WorldExt as _,
};
use crate::env::Env;
use crate::error::{Error, Result};
use crate::planted::{self, Bug};
use crate::store::outbox::{Lane, Refusal};
use crate::store::{Blobs, Store, View, chunks, meta, outbox, views};
use ed25519_dalek::{Signer as _, SigningKey};
use rusqlite::{Connection, Transaction};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// What a device signs for a token begins with this.
const TOKEN_DOMAIN: &[u8] = b"onsite-token-v1";
/// The key made for an enrolment that is not through yet.
const PENDING_KEY: &str = "enrol.key";
/// Roles as given at enrolment, before the staff document is here.
const ROLES: &str = "enrol.roles";
/// The server's word for an edit that is refused only for what it rests on.
const DEPENDS: &str = "depends_on_refused";
/// Changes after a document's snapshot from which on an edit compacts it: loaded change by change a document
/// costs ten times as much as from a snapshot, and one is made in the time of some ten changes.
const TAIL: u32 = 8;
/// Documents with clashes, so that nobody has to load all to find them.
const CLASHED: &str = "clashed";

/// Hears of each commit: the documents that changed.
pub type Watcher = Box<dyn Fn(&[DocRef]) + Send>;

/// The open file, its clock and dice, its blobs, and who wants to hear of changes.
pub struct Device {
    pub(crate) store: Store,
    pub(crate) env: Box<dyn Env + Send>,
    pub(crate) blobs: Box<dyn Blobs + Send>,
    watchers: Vec<(u64, Watcher)>,
    watched: u64,
    /// Changes after a document's snapshot from which on an edit compacts it.
    pub(crate) tail: u32,
}

impl Device {
    /// Opens the device's file.
    ///
    /// # Errors
    /// The store's.
    pub fn open(conn: Connection, env: Box<dyn Env + Send>, blobs: Box<dyn Blobs + Send>) -> Result<Self> {
        Ok(Self { store: Store::open(conn)?, env, blobs, watchers: Vec::new(), watched: 0, tail: TAIL })
    }

    /// The connection, to read.
    pub(crate) fn read(&self) -> &Connection {
        self.store.read()
    }

    /// Whose this device is.
    ///
    /// # Errors
    /// `NotEnrolled`; the store's.
    pub fn identity(&self) -> Result<meta::Identity> {
        meta::identity(self.read())?.ok_or(Error::NotEnrolled)
    }

    /// Makes the device's key (once) and answers its public half.
    ///
    /// # Errors
    /// The store's.
    pub fn begin_enrolment(&mut self) -> Result<[u8; 32]> {
        let secret = match meta::app_value(self.read(), PENDING_KEY)? {
            Some(kept) => unhex(&kept).ok_or_else(|| Error::Damaged("the enrolment key".into()))?,
            None => {
                let mut fresh = [0; 32];
                self.env.fill(&mut fresh);
                self.store.commit(|tx| meta::set_app_value(tx, PENDING_KEY, Some(&hex(&fresh))))?;
                fresh
            }
        };
        Ok(SigningKey::from_bytes(&secret).verifying_key().to_bytes())
    }

    /// Takes the server's answer to the enrolment. Enrolled again for the same
    /// person and company, unsent edits are written again as the new device's.
    ///
    /// # Errors
    /// `NotEnrolled` where no enrolment was begun; `UnsentWork` where the file holds another
    /// person's unsent work; the store's.
    pub fn finish_enrolment(&mut self, server: &str, answer: &EnrolAnswer) -> Result<()> {
        let kept = meta::app_value(self.read(), PENDING_KEY)?.ok_or(Error::NotEnrolled)?;
        let secret = unhex(&kept).ok_or_else(|| Error::Damaged("the enrolment key".into()))?;
        if let Some(before) = meta::identity(self.read())?
            && (before.tenant, before.staff) != (answer.tenant, answer.staff)
        {
            let account = outbox::account(self.read())?;
            if account.changes > 0 || account.blobs > 0 {
                return Err(Error::UnsentWork("this phone holds another person's unsent work".into()));
            }
            self.wipe()?;
        }
        let identity = meta::Identity {
            tenant: answer.tenant,
            company: answer.company.clone(),
            server: server.trim_end_matches('/').to_owned(),
            device: answer.device,
            device_code: answer.device_code.clone(),
            staff: answer.staff,
            secret: secret.to_vec(),
        };
        let roles = serde_json::to_string(&answer.roles).unwrap_or_default();
        let incarnation = self.incarnation();
        let now = self.env.now();
        let docs = self.store.commit(|tx| {
            meta::enrol(tx, &identity, incarnation)?;
            meta::set_app_value(tx, ROLES, Some(&roles))?;
            meta::set_app_value(tx, PENDING_KEY, None)?;
            let actor = meta::actor(tx)?;
            let waiting: BTreeSet<DocRef> = outbox::items(tx, now, usize::MAX)?.into_iter().map(|i| i.doc).collect();
            let mut written = Written::new(tx)?;
            for doc in waiting {
                reissue_waiting(tx, doc, None, actor, now, &mut written)?;
            }
            written.finish(tx, now)
        })?;
        self.notify(&docs);
        Ok(())
    }

    /// Signs a token challenge: `onsite-token-v1` ‖ device (16 bytes) ‖ the nonce's text.
    ///
    /// # Errors
    /// `NotEnrolled`; the store's.
    pub fn sign_challenge(&self, nonce: &str) -> Result<TokenRequest> {
        let identity = self.identity()?;
        let secret: [u8; 32] =
            identity.secret.as_slice().try_into().map_err(|_| Error::Damaged("the device's key".into()))?;
        let message = [TOKEN_DOMAIN, identity.device.as_bytes(), nonce.as_bytes()].concat();
        let signature = SigningKey::from_bytes(&secret).sign(&message);
        Ok(TokenRequest { device: identity.device, nonce: nonce.to_owned(), signature: hex(&signature.to_bytes()) })
    }

    fn incarnation(&self) -> [u8; 8] {
        let mut fresh = [0; 8];
        self.env.fill(&mut fresh);
        fresh
    }

    /// Mints a new actor incarnation: whenever this file may be a copy.
    ///
    /// # Errors
    /// `NotEnrolled`; the store's.
    pub fn mint_actor(&mut self) -> Result<()> {
        self.identity()?;
        let fresh = self.incarnation();
        self.store.commit(|tx| meta::set_incarnation(tx, fresh))
    }

    /// The device's clock with the offset and doubt of the last contact; without them where it was set back since.
    ///
    /// # Errors
    /// The store's.
    pub fn stamp(&self) -> Result<Stamp> {
        let (state, now) = (meta::sync_state(self.read())?, self.env.now());
        if state.offset.is_some() && state.went_back(now, outbox::last_queued(self.read())?) {
            return Ok(Stamp::unchecked(now));
        }
        Ok(state.stamp(now))
    }

    /// Who acts on this device.
    ///
    /// # Errors
    /// `NotEnrolled`; the store's.
    pub fn author(&self) -> Result<Author> {
        let identity = self.identity()?;
        let roles = self.roles(identity.staff)?;
        Ok(Author { staff: identity.staff, roles, device_code: Some(identity.device_code) })
    }

    pub(crate) fn roles(&self, staff: StaffId) -> Result<BTreeSet<Role>> {
        Ok(match views::entity(self.read(), staff.into())? {
            Some(Entity::Staff(s)) if s.left.is_some() => BTreeSet::new(),
            Some(Entity::Staff(s)) => s.roles.iter().copied().collect(),
            _ => meta::app_value(self.read(), ROLES)?
                .and_then(|roles| serde_json::from_str(&roles).ok())
                .unwrap_or_default(),
        })
    }

    /// Deletes every record and the device's key: after signing out, or when it was revoked.
    ///
    /// # Errors
    /// The store's.
    pub fn wipe(&mut self) -> Result<()> {
        let blobs = self.store.erase()?;
        for name in blobs {
            self.blobs.remove(name)?;
        }
        // It is wiped now, whatever becomes of the free room.
        if let Err(e) = self.store.tidy() {
            tracing::warn!(error = %e, "tidying a wiped file");
        }
        Ok(())
    }

    /// Calls `f` after each commit with the documents that changed, or whose delivery did. The number ends the watch.
    pub fn watch(&mut self, f: Watcher) -> u64 {
        self.watched += 1;
        self.watchers.push((self.watched, f));
        self.watched
    }

    /// Ends a watch.
    pub fn unwatch(&mut self, id: u64) {
        self.watchers.retain(|(n, _)| *n != id);
    }

    pub(crate) fn notify(&self, docs: &[DocRef]) {
        if !docs.is_empty() {
            for (_, watcher) in &self.watchers {
                watcher(docs);
            }
        }
    }

    /// Compacts a few documents with more than `tail` changes after their snapshot. One that does not prove
    /// itself is not taken.
    ///
    /// # Errors
    /// The store's.
    pub fn compact(&mut self, tail: u32) -> Result<usize> {
        let mut done = 0;
        for doc in chunks::compactable(self.read(), tail, 16)? {
            let Some(held) = chunks::load(self.read(), doc.id)? else { continue };
            let Some(snapshot) = chunks::proved(doc.id, &held) else { continue };
            let covered: Vec<_> = held.changes().iter().map(|c| c.header.hash).collect();
            if planted::on(Bug::SnapshotLate) {
                self.store.commit(|tx| chunks::compact(tx, doc.id, &Doc::new(doc.kind).save(), &covered))?;
            }
            self.store.commit(|tx| chunks::compact(tx, doc.id, &snapshot, &covered))?;
            done += 1;
        }
        Ok(done)
    }
}

/// Documents written in a transaction: their rows follow at its end, when each sees all others.
pub(crate) struct Written {
    docs: BTreeMap<DocRef, Entity>,
    gone: BTreeSet<DocRef>,
    clashed: BTreeMap<DocId, Kind>,
    clashed_before: BTreeMap<DocId, Kind>,
}

impl Written {
    pub(crate) fn new(conn: &Connection) -> Result<Self> {
        let clashed = clashed(conn)?;
        Ok(Self { docs: BTreeMap::new(), gone: BTreeSet::new(), clashed_before: clashed.clone(), clashed })
    }

    /// This document stands so now.
    pub(crate) fn put(&mut self, id: DocRef, doc: &Doc) -> Result<()> {
        let entity = doc.entity()?;
        self.put_read(id, doc, entity);
        Ok(())
    }

    pub(crate) fn put_read(&mut self, id: DocRef, doc: &Doc, entity: Entity) {
        if doc.clashes().is_empty() {
            self.clashed.remove(&id.id);
        } else {
            self.clashed.insert(id.id, id.kind);
        }
        self.gone.remove(&id);
        self.docs.insert(id, entity);
    }

    pub(crate) fn gone(&mut self, id: DocRef) {
        self.clashed.remove(&id.id);
        self.docs.remove(&id);
        self.gone.insert(id);
    }

    /// Writes the rows, and those of what reads them; answers every document whose row may be another.
    /// Each row is written once, however many of the documents it reads are among these.
    pub(crate) fn finish(self, tx: &Transaction<'_>, now: Millis) -> Result<Vec<DocRef>> {
        let world = Overlay::new(tx, &self.docs);
        let mut touched = BTreeSet::new();
        for (doc, entity) in &self.docs {
            touched.extend(touches(*doc, entity, &world));
            if let Entity::Customer(now) = entity
                && world.stored.get::<Customer>(doc.id).is_some_and(|before| before.name != now.name)
            {
                touched.extend(retitled(*doc, &world));
            }
        }
        let rows: BTreeSet<DocRef> = self.docs.keys().chain(&touched).copied().collect();
        let rows: Vec<_> = rows
            .into_iter()
            .filter_map(|doc| world.entity(doc).map(|entity| (summary(doc, &entity, &world, now), entity.into_owned())))
            .collect();
        // Before anything more is written: a read that failed may have ended the transaction,
        // and what is written after that would stay.
        world.finish()?;
        for (row, entity) in rows {
            views::put(tx, &row, &entity)?;
        }
        if self.clashed != self.clashed_before {
            let json = serde_json::to_string(&self.clashed).unwrap_or_default();
            meta::set_app_value(tx, CLASHED, Some(&json))?;
        }
        touched.extend(self.docs.into_keys());
        touched.extend(self.gone);
        Ok(touched.into_iter().collect())
    }
}

/// The world as a transaction leaves it: what it is about to write lies over
/// what is stored, and what was read once is not read again.
struct Overlay<'a> {
    stored: View<'a>,
    docs: &'a BTreeMap<DocRef, Entity>,
    under: HashMap<(Kind, DocId), Vec<DocRef>>,
    read: RefCell<HashMap<DocRef, Option<Entity>>>,
    children: RefCell<HashMap<(Kind, DocId), Vec<DocId>>>,
}

impl<'a> Overlay<'a> {
    fn new(conn: &'a Connection, docs: &'a BTreeMap<DocRef, Entity>) -> Self {
        let mut under: HashMap<(Kind, DocId), Vec<DocRef>> = HashMap::new();
        for (doc, entity) in docs {
            if let Some(parent) = parent(entity) {
                under.entry((doc.kind, parent)).or_default().push(*doc);
            }
        }
        Self { stored: View::new(conn), docs, under, read: RefCell::default(), children: RefCell::default() }
    }

    fn finish(self) -> Result<()> {
        self.stored.finish()
    }
}

impl World for Overlay<'_> {
    fn entity(&self, doc: DocRef) -> Option<Cow<'_, Entity>> {
        if let Some(entity) = self.docs.get(&doc) {
            return Some(Cow::Borrowed(entity));
        }
        let read = || self.stored.entity(doc).map(Cow::into_owned);
        self.read.borrow_mut().entry(doc).or_insert_with(read).clone().map(Cow::Owned)
    }

    fn children(&self, kind: Kind, of: DocId) -> Vec<DocId> {
        let find = || {
            let stored = self.stored.children(kind, of).into_iter();
            let others = stored.filter(|id| !self.docs.contains_key(&DocRef { kind, id: *id }));
            let new = self.under.get(&(kind, of)).into_iter().flatten().map(|doc| doc.id);
            others.chain(new).collect::<BTreeSet<_>>().into_iter().collect()
        };
        self.children.borrow_mut().entry((kind, of)).or_insert_with(find).clone()
    }

    fn answers(&self, request: RequestId) -> Vec<WorkOrderId> {
        let stored = self.stored.answers(request).into_iter();
        let others = stored.filter(|id| !self.docs.contains_key(&DocRef::new(Kind::WorkOrder, *id)));
        let new = self.docs.iter().filter(|(_, e)| answers(e, request)).map(|(doc, _)| doc.id.into());
        others.chain(new).collect()
    }

    fn coded(&self, code: &str) -> Vec<StaffId> {
        // Asked by commands, before anything is written.
        self.stored.coded(code)
    }
}

/// Documents with clashes.
pub(crate) fn clashed(conn: &Connection) -> Result<BTreeMap<DocId, Kind>> {
    Ok(meta::app_value(conn, CLASHED)?.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default())
}

/// A document from all its changes but `without`. They were judged when they came: judged again without
/// those, one that a false server numbered after them would stop the sync of everything else.
fn base(doc: DocRef, old: &Doc, without: &HashSet<ChangeHash>) -> Result<Doc> {
    let kept = old.changes().into_iter().filter(|c| !without.contains(&c.header.hash));
    Doc::new(doc.kind).applied(kept.map(|c| c.bytes))
}

/// Stores a document anew as `base` and writes `edits` of `old` again on it.
#[expect(clippy::too_many_arguments, reason = "one step of two callers")]
fn rewrite(
    tx: &Transaction<'_>,
    doc: DocRef,
    old: &Doc,
    mut base: Doc,
    keep: &[ChangeHash],
    edits: &[ChangeHash],
    refused: &[ChangeHash],
    actor: Actor,
    now: Millis,
    written: &mut Written,
) -> Result<HashMap<ChangeHash, ChangeHash>> {
    chunks::rebuild(tx, doc, &base.save(), &base.heads(), keep)?;
    let again = reissue(old, &mut base, edits, refused, actor)?;
    for change in &again.changes {
        chunks::put_own(tx, doc, change, &base.heads(), Lane::Work, now)?;
    }
    if base.changes().is_empty() {
        chunks::leave(tx, doc.id)?;
        written.gone(doc);
    } else {
        written.put(doc, &base)?;
    }
    Ok(again.map)
}

/// Writes this device's waiting edits of a document again as `actor`'s: its
/// history cannot take them under their first author. `authors`: those of
/// this device only, or (`None`) of any.
pub(crate) fn reissue_waiting(
    tx: &Transaction<'_>,
    doc: DocRef,
    authors: Option<crate::domain::DeviceId>,
    actor: Actor,
    now: Millis,
    written: &mut Written,
) -> Result<()> {
    let Some(old) = chunks::load(tx, doc.id)? else { return Ok(()) };
    let waiting = outbox::waiting(tx, doc.id)?;
    let mine = |c: &crate::document::Change| authors.is_none_or(|d| c.header.author().is_some_and(|a| a.device == d));
    let mut gone: HashSet<ChangeHash> = waiting.iter().filter(|c| mine(c)).map(|c| c.header.hash).collect();
    if gone.is_empty() {
        return Ok(());
    }
    // What rests on them goes with them: without its parents it has no place in the history.
    let mut edits = Vec::new();
    for change in old.changes() {
        let hash = change.header.hash;
        if gone.contains(&hash) || change.header.deps.iter().any(|d| gone.contains(d)) {
            gone.insert(hash);
            edits.push(hash);
        }
    }
    let keep: Vec<_> = waiting.iter().map(|c| c.header.hash).filter(|h| !gone.contains(h)).collect();
    let base = base(doc, &old, &gone)?;
    rewrite(tx, doc, &old, base, &keep, &edits, &[], actor, now, written)?;
    Ok(())
}

/// The server refused changes of a document: they are kept aside, the document
/// is rebuilt without them, innocent edits made on them are written again.
/// Answers how many were moved.
pub(crate) fn set_aside(
    tx: &Transaction<'_>,
    doc: DocRef,
    refusals: &[(ChangeHash, Refusal)],
    actor: Actor,
    now: Millis,
    written: &mut Written,
) -> Result<usize> {
    let Some(old) = chunks::load(tx, doc.id)? else { return Ok(0) };
    let mut moved = Vec::new();
    for (hash, why) in refusals {
        moved.extend(outbox::set_aside(tx, doc.id, *hash, why, now)?);
    }
    if moved.is_empty() {
        return Ok(0);
    }
    let guilty = |h: &ChangeHash| refusals.iter().any(|(hash, why)| hash == h && why.code != DEPENDS);
    let mine =
        |h: &ChangeHash| old.change(*h).and_then(|c| c.header.author()).is_some_and(|a| a.device == actor.device);
    // Parents first, the refused among them: what an edit was made on says where it goes now.
    let moved: HashSet<_> = moved.into_iter().collect();
    let edits: Vec<_> = old.changes().into_iter().map(|c| c.header.hash).filter(|h| moved.contains(h)).collect();
    let base = base(doc, &old, &moved)?;
    // Where the document itself was refused, all that was written into it is.
    let refused_whole = base.is_empty();
    let refused: Vec<_> = edits.iter().copied().filter(|h| refused_whole || guilty(h) || !mine(h)).collect();
    let keep: Vec<_> = outbox::waiting(tx, doc.id)?.into_iter().map(|c| c.header.hash).collect();
    let edits: &[_] = match planted::on(Bug::RestForgotten) {
        true => &[],
        false => &edits,
    };
    let again = rewrite(tx, doc, &old, base, &keep, edits, &refused, actor, now, written)?;
    for kept in outbox::refused(tx, true)? {
        if let Some(instead) = again.get(&kept.hash).filter(|_| kept.doc == doc) {
            outbox::written_instead(tx, kept.id, *instead)?;
        }
    }
    // Only now: what was written again must be sent first.
    if chunks::purge_if_done(tx, doc.id)? {
        written.gone(doc);
    }
    Ok(moved.len())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut s, b| {
        let _ = write!(s, "{b:02x}");
        s
    })
}

fn unhex(s: &str) -> Option<[u8; 32]> {
    s.parse::<crate::domain::Sha256>().ok().map(|h| h.0)
}
