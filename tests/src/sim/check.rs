//! What must hold when all is at rest.

use super::phone::{Phone, has_key};
use super::store::short;
use super::world::{Needle, World};
use onsite_core::document::{Change, Doc};
use onsite_core::domain::summary::{Summary, answers, parent, summary};
use onsite_core::domain::{
    ChangeHash, DeviceId, DocId, DocRef, Entity, Kind, Millis, RequestId, SETTINGS, Sha256, StaffId, TenantId,
    WorkOrderId,
};
use onsite_core::store::blobs::BlobState;
use onsite_core::store::{Blobs as _, View, chunks, meta, outbox, views};
use onsite_core::sync::protocol::{Digest, Held};
use onsite_server::storage::{self, AsideQuery, Place, audit_holds, doc_digest, xor};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

type Checked = Result<(), String>;

fn text(e: impl std::fmt::Display) -> String {
    e.to_string()
}

fn must(holds: bool, why: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(why()) }
}

/// A company as its server has it.
struct Books {
    tenant: TenantId,
    log: BTreeSet<(DocId, ChangeHash)>,
    docs: BTreeMap<DocId, Doc>,
    views: BTreeMap<DocId, storage::View>,
    entities: BTreeMap<DocId, Entity>,
    aside: Vec<storage::SetAside>,
    /// Saved documents that were seen to load again as what they were: of most, phones hold the same bytes.
    proven: RefCell<BTreeSet<(DocId, Vec<u8>)>>,
}

impl Books {
    /// That a document saved and loaded is the same.
    fn prove(&self, id: DocId, doc: &Doc, entity: &Entity) -> Checked {
        let saved = doc.save();
        let key = (id, saved);
        if self.proven.borrow().contains(&key) {
            return Ok(());
        }
        let again = Doc::load(entity.kind(), Some(&key.1), std::iter::empty::<&[u8]>());
        let again = again.map_err(|e| format!("saved: {e}"))?;
        must(again.heads() == doc.heads() && again.entity().ok().as_ref() == Some(entity), || {
            "saved and loaded it is another".into()
        })?;
        self.proven.borrow_mut().insert(key);
        Ok(())
    }
}

/// The server's contents as the world that summaries look at.
impl onsite_core::domain::World for Books {
    fn entity(&self, doc: DocRef) -> Option<Cow<'_, Entity>> {
        self.entities.get(&doc.id).filter(|e| e.kind() == doc.kind).map(Cow::Borrowed)
    }
    fn children(&self, kind: Kind, of: DocId) -> Vec<DocId> {
        let is = |(id, e): (&DocId, &Entity)| (e.kind() == kind && parent(e) == Some(of)).then_some(*id);
        self.entities.iter().filter_map(is).collect()
    }
    fn answers(&self, request: RequestId) -> Vec<WorkOrderId> {
        let is = |(id, e): (&DocId, &Entity)| answers(e, request).then(|| (*id).into());
        self.entities.iter().filter_map(is).collect()
    }
    fn coded(&self, code: &str) -> Vec<StaffId> {
        let is = |(id, e): (&DocId, &Entity)| {
            matches!(e, Entity::Staff(s) if s.code == code && s.left.is_none()).then(|| (*id).into())
        };
        self.entities.iter().filter_map(is).collect()
    }
}

/// All of it.
pub(super) fn all(world: &mut World) -> Checked {
    let tenants: Vec<TenantId> = world.companies.iter().map(|c| c.tenant).collect();
    let mut seen: BTreeMap<DocId, TenantId> = BTreeMap::new();
    for (at, tenant) in tenants.into_iter().enumerate() {
        let books = books(world, tenant)?;
        for doc in books.docs.keys().filter(|d| **d != SETTINGS) {
            if let Some(other) = seen.insert(*doc, tenant) {
                return Err(format!("companies {other} and {tenant} both hold document {doc}"));
            }
        }
        for n in 0..world.phones.len() {
            if world.phones[n].company == at {
                phone(world, n, &books).map_err(|e| format!("phone {n}: {e}"))?;
            }
        }
        acknowledged(world, &books)?;
        refusals_kept(world, at, &books)?;
        innocents_written_again(world, at, &books)?;
        nothing_vanished(world, at, &books)?;
    }
    Ok(())
}

// ---- the server ----

fn books(world: &World, tenant: TenantId) -> Result<Books, String> {
    let storage = world.server.ledger.storage();
    let wait = |what: &str, e: onsite_server::Error| format!("{what}: {e}");
    let head = world.server.wait(storage.tenant(tenant)).map_err(|e| wait("tenant", e))?.map_or(0, |t| t.head);
    let log = world.server.wait(storage.log(tenant, 0, 1 << 30)).map_err(|e| wait("log", e))?;
    must(log.iter().map(|r| r.cursor).eq(1..=head), || {
        format!("the log of {tenant} has a gap, or does not end at {head}")
    })?;
    let mut once = BTreeSet::new();
    let mut seqs = BTreeSet::new();
    let mut histories: BTreeMap<DocId, (Kind, Vec<Vec<u8>>)> = BTreeMap::new();
    let devices: BTreeSet<DeviceId> = world.phones.iter().filter(|p| p.tenant == tenant).map(|p| p.device).collect();
    for row in log.into_iter().filter(|r| !r.body.is_empty()) {
        must(once.insert((row.doc, row.hash)), || format!("change {} is in the log twice", row.hash))?;
        let change = Change::parse(row.body).map_err(|e| format!("change {} in the log: {e}", row.hash))?;
        must(change.header.hash == row.hash, || format!("change {} is logged as {}", change.header.hash, row.hash))?;
        must(seqs.insert((row.doc, change.header.actor.clone(), change.header.seq)), || {
            format!("an actor's number {} twice in document {}", change.header.seq, row.doc)
        })?;
        let author = change.header.author().map(|a| a.device);
        let ours = author.is_some_and(|d| d.0.is_nil() || devices.contains(&d));
        must(ours, || format!("change {} of {author:?} is not of this company", row.hash))?;
        histories.entry(row.doc).or_insert_with(|| (row.kind, Vec::new())).1.push(change.bytes);
    }
    let ids: Vec<DocId> = histories.keys().copied().collect();
    let loaded = world.server.wait(storage.load(tenant, &ids)).map_err(|e| wait("load", e))?;
    must(loaded.len() == ids.len(), || "a document of the log cannot be loaded".into())?;
    let views = world.server.wait(storage.views(tenant, &ids)).map_err(|e| wait("views", e))?;
    must(views.len() == ids.len(), || "a document of the log has no row".into())?;
    let everything = AsideQuery { limit: usize::MAX, ..AsideQuery::default() };
    let mut books = Books {
        tenant,
        log: once,
        docs: BTreeMap::new(),
        views: views.into_iter().map(|view| (view.summary.doc.id, view)).collect(),
        entities: BTreeMap::new(),
        aside: world.server.wait(storage.aside(tenant, &everything)).map_err(|e| wait("aside", e))?,
        proven: RefCell::default(),
    };
    for stored in loaded {
        let id = stored.content.doc.id;
        let at = |what: String| format!("document {id} at the server: {what}");
        let (kind, history) = &histories[&id];
        let doc = Doc::load(*kind, stored.snapshot.as_deref(), &stored.tail).map_err(|e| at(e.to_string()))?;
        let mut replayed = Doc::new(*kind);
        replayed.apply(history).map_err(|e| at(format!("its history: {e}")))?;
        must(doc.heads() == stored.content.heads, || {
            at(format!("heads {} stored as {}", short(&doc.heads()), short(&stored.content.heads)))
        })?;
        must(replayed.heads() == doc.heads(), || at("its history leads elsewhere than its snapshot".into()))?;
        let entity = doc.entity().map_err(|e| at(e.to_string()))?;
        must(replayed.entity().ok().as_ref() == Some(&entity), || {
            at("its history says otherwise than its snapshot".into())
        })?;
        books.prove(id, &doc, &entity).map_err(at)?;
        let shown = stored.content.entity().map_err(|e| at(e.to_string()))?;
        must(shown == entity, || at(format!("its row shows other content:\n{shown:?}\n{entity:?}")))?;
        must(stored.content.clashes as usize == doc.clashes().len(), || {
            at(format!("{} clashes counted, {} there", stored.content.clashes, doc.clashes().len()))
        })?;
        books.docs.insert(id, doc);
        books.entities.insert(id, entity);
    }
    for (id, view) in &books.views {
        let entity = &books.entities[id];
        let row = summary(DocRef { kind: entity.kind(), id: *id }, entity, &books, Millis(world.now));
        let (row, shown) = (own_part(row), own_part(view.summary.clone()));
        must(shown == row, || format!("the server's row of {id} is not what its documents say:\n{shown:?}\n{row:?}"))?;
    }
    let audit = world.server.wait(storage.audit_log(tenant, 0, 1 << 20)).map_err(|e| wait("audit", e))?;
    must(audit_holds(&audit), || "the audit chain is broken".into())?;
    Ok(books)
}

/// A row without the words it has from customers and colleagues: those follow
/// with the next edit, for a new name must not rewrite a customer's whole history.
fn own_part(row: Summary) -> Summary {
    let title = match row.doc.kind {
        Kind::Staff | Kind::Settings | Kind::Customer | Kind::Suggestion => row.title,
        _ => String::new(),
    };
    Summary { title, search: String::new(), ..row }
}

// ---- the phones ----

/// That a phone's file is whole: each document loads with the heads and the content that its row tells of.
/// At any time, so also after a commit that failed.
pub(super) fn whole(phone: &Phone) -> Checked {
    let conn = phone.disk.store.read();
    for held in chunks::held_in(conn, &[]).map_err(text)? {
        let at = |what: &str| format!("{} {}: {what}", held.doc.kind.name(), held.doc.id);
        let doc = chunks::load(conn, held.doc.id).map_err(text)?.ok_or_else(|| at("cannot be loaded"))?;
        must(doc.heads() == held.heads, || at("its row has other heads than its bytes"))?;
        let row = views::show(conn, held.doc.id).map_err(text)?;
        must(doc.entity().ok().as_ref() == Some(&row.entity), || at("its row shows other content"))?;
    }
    Ok(())
}

fn phone(world: &World, n: usize, books: &Books) -> Checked {
    let phone = &world.phones[n];
    let conn = phone.disk.store.read();
    let account = outbox::account(conn).map_err(text)?;
    if phone.revoked {
        must(phone.wiped && account.documents == 0, || "revoked, and not wiped".into())?;
        return must(meta::identity(conn).map_err(text)?.is_none(), || "wiped, and its key is still there".into());
    }
    must(account.changes == 0, || format!("{} changes are never sent", account.changes))?;
    must(account.blobs == 0, || format!("{} photos are never sent", account.blobs))?;
    for (what, why) in &phone.skipped {
        // A photo went with the only phone that had it.
        let gone = why == "not_found" && what.parse().is_ok_and(|blob| !somebody_has(world, phone.tenant, blob));
        must(gone, || format!("skipped {what}: {why}"))?;
    }
    let state = meta::sync_state(conn).map_err(text)?;
    must(state.last_error.is_empty(), || format!("its last sync failed: {}", state.last_error))?;

    // It holds what its person may read, at the server's heads.
    let storage = world.server.ledger.storage();
    let scope: Vec<Held> = world.server.wait(storage.held(phone.tenant, phone.staff)).map_err(text)?;
    let here = chunks::held_in(conn, &[]).map_err(text)?;
    let theirs: BTreeMap<DocId, &Held> = scope.iter().map(|h| (h.doc, h)).collect();
    let ours: BTreeSet<DocId> = here.iter().map(|h| h.doc.id).collect();
    if let Some(lacking) = theirs.keys().find(|d| !ours.contains(d)) {
        return Err(format!("document {lacking} of its scope is not here"));
    }
    let mut digest = Digest::default();
    for held in &here {
        let at = |what: String| format!("{} {}: {what}", held.doc.kind.name(), held.doc.id);
        let Some(server) = theirs.get(&held.doc.id) else { return Err(at("held, and not of its scope".into())) };
        must(server.heads == held.heads, || {
            at(format!("heads {} here, {} at the server", short(&held.heads), short(&server.heads)))
        })?;
        must(held.accepted == held.heads, || {
            at(format!("accepted {} of {}", short(&held.accepted), short(&held.heads)))
        })?;
        xor(&mut digest, doc_digest(held.doc.id, &held.accepted));
        let doc = chunks::load(conn, held.doc.id).map_err(text)?.ok_or_else(|| at("cannot be loaded".into()))?;
        must(doc.heads() == held.heads, || at("its row has other heads than its bytes".into()))?;
        let entity = doc.entity().map_err(text)?;
        must(books.entities.get(&held.doc.id) == Some(&entity), || at("its content is not the server's".into()))?;
        books.prove(held.doc.id, &doc, &entity).map_err(at)?;
        let row = views::show(conn, held.doc.id).map_err(|e| at(e.to_string()))?;
        must(row.entity == entity, || at("its row shows other content".into()))?;
        let view = View::new(conn);
        let projected = own_part(summary(held.doc, &entity, &view, phone.env_now()));
        view.finish().map_err(text)?;
        let shown = own_part(row.line.summary);
        must(shown == projected, || at(format!("its row is not what documents say:\n{shown:?}\n{projected:?}")))?;
    }
    must(chunks::digest(conn).map_err(text)? == digest.0, || "its digest is not that of what it holds".into())?;
    let place = Place { ver: 1 << 60, doc: None };
    let scan = world.server.wait(storage.scan(phone.tenant, phone.staff, place, 1)).map_err(text)?;
    must(scan.digest == digest, || "its digest is not the server's".into())?;
    let left: u64 = conn.query_row("SELECT count(*) FROM doc WHERE leaving = 1", [], |r| r.get(0)).map_err(text)?;
    must(left == 0, || format!("{left} documents left and are still here"))?;

    // Its clock: what it makes of the time is the time, within its own doubt.
    let stamp = state.stamp(phone.env_now());
    let (off, doubt) = ((stamp.best().0 - world.now).abs(), stamp.doubt.unwrap_or(-1));
    must(off <= doubt + 1, || format!("it takes the time to be {off} ms off the truth, with a doubt of {doubt} ms"))?;

    // A photo acknowledged is at the server.
    let names: Vec<Sha256> = {
        let mut statement = conn.prepare_cached("SELECT name FROM blob ORDER BY name").map_err(text)?;
        let rows = statement.query_map([], |r| r.get::<_, [u8; 32]>(0)).map_err(text)?;
        rows.map(|r| r.map(Sha256)).collect::<rusqlite::Result<_>>().map_err(text)?
    };
    for name in names {
        let row = onsite_core::store::blobs::row(conn, name).map_err(text)?;
        let there = world.server.shelf.whole.contains_key(&(phone.tenant, name));
        if row.is_some_and(|r| r.state == BlobState::Acknowledged) && !there {
            return Err(format!("photo {name} counts as received, and the server has it not"));
        }
    }
    Ok(())
}

/// Whether some phone still has the bytes of a photo.
fn somebody_has(world: &World, tenant: TenantId, blob: Sha256) -> bool {
    let mut phones = world.phones.iter().filter(|p| p.tenant == tenant && !p.wiped);
    phones.any(|p| p.album.size(blob).is_ok_and(|size| size.is_some()))
}

// ---- what was written ----

/// Every acknowledged change is in the log; after a restored server, every one that some phone still holds.
fn acknowledged(world: &World, books: &Books) -> Checked {
    for ack in world.acks.iter().filter(|a| a.tenant == books.tenant) {
        if books.log.contains(&(ack.doc, ack.hash)) {
            continue;
        }
        if world.stats.server_restores == 0 {
            return Err(format!("change {} of {} was acknowledged and is not in the log", ack.hash, ack.doc));
        }
        for (n, phone) in world.phones.iter().enumerate().filter(|(_, p)| p.tenant == ack.tenant && !p.wiped) {
            let held = chunks::load(phone.disk.store.read(), ack.doc).map_err(text)?;
            if held.is_some_and(|d| d.has(ack.hash)) {
                return Err(format!("change {} of {} is on phone {n} and was not given back", ack.hash, ack.doc));
            }
        }
    }
    Ok(())
}

/// What a phone heard refused is kept by the server (unless that was restored) and on the phone.
fn refusals_kept(world: &World, company: usize, books: &Books) -> Checked {
    let aside: BTreeSet<(DocId, ChangeHash)> = books.aside.iter().map(|a| (a.doc, a.hash)).collect();
    for (n, phone) in world.phones.iter().enumerate().filter(|(_, p)| p.company == company && !p.wiped) {
        let here: BTreeSet<(DocId, ChangeHash)> = outbox::refused(phone.disk.store.read(), false)
            .map_err(text)?
            .into_iter()
            .map(|r| (r.doc.id, r.hash))
            .collect();
        for (doc, hash) in &phone.heard_refused {
            must(here.contains(&(*doc, *hash)), || {
                format!("phone {n} heard {hash} of {doc} refused and keeps it nowhere")
            })?;
            let kept = world.stats.server_restores > 0 || aside.contains(&(*doc, *hash));
            must(kept, || format!("the server refused {hash} of {doc} and keeps it nowhere"))?;
        }
    }
    Ok(())
}

/// Innocent edits that rest on a refused one were written again, but for those in a document that was refused whole.
fn innocents_written_again(world: &World, company: usize, books: &Books) -> Checked {
    for (n, phone) in world.phones.iter().enumerate().filter(|(_, p)| p.company == company && !p.wiped) {
        let conn = phone.disk.store.read();
        let device = meta::actor(conn).map_err(text)?.device;
        let refused = outbox::refused(conn, false).map_err(text)?;
        let headers = refused.iter().map(|r| Ok((r.hash, Change::parse(r.bytes.clone())?.header)));
        let headers: BTreeMap<_, _> = headers.collect::<onsite_core::Result<_>>().map_err(text)?;
        for row in refused.iter().filter(|r| r.why.code == "depends_on_refused" && r.instead.is_none()) {
            if headers[&row.hash].author().is_none_or(|a| a.device != device) || !sets_a_value(&row.bytes) {
                continue;
            }
            let (mut left, mut seen) = (vec![row.hash], BTreeSet::new());
            while let Some(hash) = left.pop() {
                if !seen.insert(hash) {
                    continue;
                }
                must(!books.log.contains(&(row.doc.id, hash)), || {
                    format!("phone {n}: {} of {} is innocent and was not written again", row.hash, row.doc.id)
                })?;
                left.extend(headers.get(&hash).into_iter().flat_map(|h| h.deps.iter().copied()));
            }
        }
    }
    Ok(())
}

/// Whether a change sets a value that stands by itself: that can always be written again.
fn sets_a_value(bytes: &[u8]) -> bool {
    use automerge::ScalarValue;
    use automerge::legacy::{ObjectId, OpType};
    let Ok(change) = automerge::Change::try_from(bytes) else { return false };
    let alone = |action: &OpType| matches!(action, OpType::Put(value) if !matches!(value, ScalarValue::Counter(_)));
    let operations = automerge::ExpandedChange::from(&change).operations;
    operations.iter().any(|op| op.obj == ObjectId::Root && alone(&op.action))
}

/// Everything written on a phone that is still somebody's is in the server's documents, or visibly refused.
fn nothing_vanished(world: &World, company: usize, books: &Books) -> Checked {
    for (n, phone) in world.phones.iter().enumerate() {
        if phone.company != company || phone.wiped {
            continue;
        }
        for number in &phone.wrote {
            let wrote = &world.wrote[*number];
            let found = match (&wrote.needle, books.views.get(&wrote.doc.id)) {
                (_, None) => false,
                (Needle::Word(word), Some(view)) => view.entity.contains(word.as_str()),
                (Needle::Key(key), Some(_)) => books.docs.get(&wrote.doc.id).is_some_and(|d| has_key(d, key)),
            };
            if found || refused(world, books, wrote.doc.id, &wrote.needle)? {
                continue;
            }
            // Lost with the server, and nobody holds it any more.
            if world.stats.server_restores > 0 && !held(phone, wrote.doc.id, &wrote.needle)? {
                continue;
            }
            return Err(format!(
                "phone {n} wrote {:?} into {:?} {} (first as {:?}): it is neither at the server nor refused",
                wrote.needle, wrote.doc.kind, wrote.doc.id, wrote.hash
            ));
        }
    }
    Ok(())
}

fn held(phone: &Phone, doc: DocId, needle: &Needle) -> Result<bool, String> {
    let Some(doc) = chunks::load(phone.disk.store.read(), doc).map_err(text)? else { return Ok(false) };
    Ok(match needle {
        Needle::Key(key) => has_key(&doc, key),
        Needle::Word(word) => {
            serde_json::to_string(&doc.entity().map_err(text)?).map_err(text)?.contains(word.as_str())
        }
    })
}

/// Whether it is among what was set aside at the server, or refused on a phone.
fn refused(world: &World, books: &Books, doc: DocId, needle: &Needle) -> Result<bool, String> {
    let word = match needle {
        Needle::Word(word) | Needle::Key(word) => word,
    };
    let holds =
        |bytes: &[u8]| automerge::Change::try_from(bytes).is_ok_and(|change| spelled(&change).contains(word.as_str()));
    if books.aside.iter().any(|a| a.doc == doc && holds(&a.body)) {
        return Ok(true);
    }
    for phone in world.phones.iter().filter(|p| p.tenant == books.tenant) {
        for row in outbox::refused(phone.disk.store.read(), false).map_err(text)? {
            if row.doc.id == doc && holds(&row.bytes) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The keys and values of a change, one after another: letters of a text join to words.
fn spelled(change: &automerge::Change) -> String {
    use automerge::ScalarValue;
    use automerge::legacy::{Key, OpType};
    let mut out = String::new();
    for op in &automerge::ExpandedChange::from(change).operations {
        if let Key::Map(key) = &op.key {
            out.push_str(key);
        }
        if let OpType::Put(ScalarValue::Str(s)) = &op.action {
            out.push_str(s);
        }
    }
    out
}
