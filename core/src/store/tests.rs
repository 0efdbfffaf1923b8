#![expect(clippy::unwrap_used, reason = "tests")]

use super::blobs::{BlobState, MemoryBlobs, name_of};
use super::chunks::{Left, Seal};
use super::outbox::{Delivery, Lane, Refusal};
use super::*;
use crate::document::{Actor, Change, Doc};
use crate::domain::summary::Summary;
use crate::domain::*;
use crate::env::{Env as _, SeededEnv};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

const T0: Millis = Millis(1_764_000_000_000);

fn memory() -> Store {
    Store::open(Connection::open_in_memory().unwrap()).unwrap()
}

fn actor(device: u128) -> Actor {
    Actor { device: DeviceId(Uuid::from_u128(device)), incarnation: [1; 8] }
}

fn staff(n: u128) -> StaffId {
    StaffId(Uuid::from_u128(0x5000 + n))
}

fn visit_ref(n: u128) -> DocRef {
    DocRef::new(Kind::Visit, DocId(Uuid::from_u128(0x7000 + n)))
}

fn identity() -> meta::Identity {
    meta::Identity {
        tenant: TenantId(Uuid::from_u128(1)),
        company: "华南纸浆模塑".into(),
        server: "https://onsite.example".into(),
        device: DeviceId(Uuid::from_u128(2)),
        device_code: "A7".into(),
        staff: staff(1),
        secret: vec![7; 32],
    }
}

/// Writes a visit's content as one change, without a store.
fn edit(doc: &mut Doc, id: DocRef, by: Actor, text: &str) -> Change {
    let Entity::Visit(mut visit) = doc.entity().unwrap() else { panic!("no visit") };
    visit.resolution = Text(text.into());
    doc.write(by, staff(1), T0, &[Write::Put(id.id, Entity::Visit(visit))]).unwrap().unwrap()
}

/// Writes and stores it, as the engine does.
fn edit_here(store: &mut Store, id: DocRef, text: &str) -> Change {
    let mut doc = chunks::load_or_new(store.read(), id).unwrap();
    let change = edit(&mut doc, id, actor(2), text);
    let entity = doc.entity().unwrap();
    store
        .commit(|tx| {
            chunks::put_own(tx, id, &change, &doc.heads(), Lane::Work, T0)?;
            views::put(tx, &row(id, text), &entity)
        })
        .unwrap();
    change
}

fn row(doc: DocRef, search: &str) -> Summary {
    Summary {
        doc,
        parent: None,
        number: String::new(),
        title: search.into(),
        subtitle: String::new(),
        status: "planning".into(),
        due: None,
        people: Vec::new(),
        flags: Vec::new(),
        search: search.into(),
    }
}

/// Stores an empty document of that kind with its row.
fn put_row(tx: &Transaction<'_>, summary: &Summary, entity: &Entity) -> Result<()> {
    chunks::put_received(tx, summary.doc, None, &[], &[], &Seal::default())?;
    views::put(tx, summary, entity)
}

fn hashes(changes: &[&Change]) -> Vec<ChangeHash> {
    let mut out: Vec<_> = changes.iter().map(|c| c.header.hash).collect();
    out.sort_unstable();
    out
}

fn held(store: &Store, id: DocRef) -> chunks::Held {
    chunks::held(store.read(), id.id).unwrap().unwrap()
}

// ---- the file ----

fn file(name: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    (dir, path)
}

#[test]
fn a_file_keeps_what_was_committed_and_nothing_else() {
    let (_dir, path) = file("device.sqlite");
    let id = visit_ref(1);
    {
        let mut store = Store::open(Connection::open(&path).unwrap()).unwrap();
        edit_here(&mut store, id, "换了密封圈");
        let mut doc = chunks::load(store.read(), id.id).unwrap().unwrap();
        let lost = edit(&mut doc, id, actor(2), "未提交");
        let failed: Result<()> = store.commit(|tx| {
            chunks::put_own(tx, id, &lost, &doc.heads(), Lane::Work, T0)?;
            Err(Error::NotEnrolled)
        });
        assert_eq!(failed.unwrap_err().code(), "not_enrolled");
        // A crash in the middle of a transaction: the connection goes without a commit.
        let tx = store.conn.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
        chunks::put_own(&tx, id, &lost, &doc.heads(), Lane::Work, T0).unwrap();
        std::mem::forget(tx);
    }
    let store = Store::open(Connection::open(&path).unwrap()).unwrap();
    store.check().unwrap();
    let Entity::Visit(visit) = chunks::load(store.read(), id.id).unwrap().unwrap().entity().unwrap() else { panic!() };
    assert_eq!(visit.resolution.0, "换了密封圈");
    assert_eq!(outbox::account(store.read()).unwrap().changes, 1);
    let settings = |name: &str| store.read().pragma_query_value(None, name, |r| r.get::<_, String>(0)).unwrap();
    assert_eq!(settings("journal_mode"), "wal");
    assert_eq!(store.read().pragma_query_value(None, "synchronous", |r| r.get::<_, i64>(0)).unwrap(), 2);
}

#[test]
fn bad_files_have_their_names() {
    let (_dir, path) = file("x.sqlite");
    let open = || Store::open(Connection::open(&path).unwrap()).map(|_| ()).unwrap_err();

    std::fs::write(&path, b"this is not a database, whatever its name says......").unwrap();
    assert_eq!(open().code(), "database_damaged");

    std::fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)").unwrap();
    assert_eq!(open().code(), "database_damaged");

    std::fs::remove_file(&path).unwrap();
    drop(Store::open(Connection::open(&path).unwrap()).unwrap());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(open(), Error::TooNew { found: 99, known: 4 }));

    std::fs::remove_file(&path).unwrap();
    drop(Store::open(Connection::open(&path).unwrap()).unwrap());
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut store = Store::open(Connection::open(&path).unwrap()).unwrap();
    assert_eq!(store.commit(|_| Ok(())).unwrap_err().code(), "database_locked");
    other.execute_batch("ROLLBACK").unwrap();
    store.commit(|_| Ok(())).unwrap();
}

#[test]
fn a_damaged_page_is_found() {
    let (_dir, path) = file("x.sqlite");
    let mut store = Store::open(Connection::open(&path).unwrap()).unwrap();
    for n in 0..40 {
        edit_here(&mut store, visit_ref(n), &"长".repeat(900));
    }
    store.tidy().unwrap();
    drop(store);
    let mut bytes = std::fs::read(&path).unwrap();
    // The last pages: the schema lies in the first ones.
    for page in bytes.rchunks_mut(4096).take(30) {
        page[..64].fill(0xff);
    }
    std::fs::write(&path, bytes).unwrap();
    let store = Store::open(Connection::open(&path).unwrap()).unwrap();
    assert_eq!(store.check().unwrap_err().code(), "database_damaged");
    let met = (0..40).find_map(|n| chunks::load(store.read(), visit_ref(n).id).err()).unwrap();
    assert_eq!(met.code(), "database_damaged");
}

#[test]
fn a_full_disk_loses_nothing() {
    let mut store = memory();
    let id = visit_ref(1);
    edit_here(&mut store, id, "a");
    let pages: i64 = store.read().pragma_query_value(None, "page_count", |r| r.get(0)).unwrap();
    store.conn.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())).unwrap();
    let full = store.commit(|tx| meta::set_app_value(tx, "big", Some(&"x".repeat(1 << 20)))).unwrap_err();
    assert_eq!(full.code(), "disk_full");
    store.conn.pragma_update_and_check(None, "max_page_count", 1 << 20, |_| Ok(())).unwrap();
    edit_here(&mut store, id, "b");
    store.check().unwrap();
}

/// A file of schema 1, as its first version wrote it: never written again.
const V1: &[u8] = include_bytes!("fixtures/device-v1.sqlite");

#[test]
fn schema_1_is_opened_and_upgraded() {
    let (_dir, path) = file("v1.sqlite");
    std::fs::write(&path, V1).unwrap();
    let mut store = Store::open(Connection::open(&path).unwrap()).unwrap();
    store.check().unwrap();
    let conn = store.read();
    assert_eq!(meta::identity(conn).unwrap().unwrap(), identity());
    assert_eq!(meta::sync_state(conn).unwrap().cursor, "v1.1.42");
    let id = visit_ref(1);
    let Entity::Visit(visit) = chunks::load(conn, id.id).unwrap().unwrap().entity().unwrap() else { panic!() };
    assert_eq!(visit.resolution.0, "更换主泵密封圈,试机正常");
    assert_eq!(views::entity(conn, id.id).unwrap().unwrap(), Entity::Visit(visit));
    assert_eq!(views::search(conn, "主泵", None).unwrap().lines.len(), 1);
    let account = outbox::account(conn).unwrap();
    assert_eq!((account.changes, account.blobs, account.refused, account.documents), (2, 1, 1, 2));
    assert_eq!(outbox::delivery(conn, id.id).unwrap(), Delivery::Received);
    edit_here(&mut store, id, "更换主泵密封圈,试机正常。客户签字");
}

/// Records the fixture: only ever run for a schema that was never released.
#[test]
#[ignore = "writes the fixture"]
fn record_schema_1() {
    let (_dir, path) = file("v1.sqlite");
    let conn = Connection::open(&path).unwrap();
    conn.pragma_update(None, "page_size", 1024).unwrap();
    let mut store = Store::open(conn).unwrap();
    store.commit(|tx| meta::enrol(tx, &identity(), [3; 8])).unwrap();
    let state =
        meta::SyncState { cursor: "v1.1.42".into(), offset: Some(-1500), doubt: Some(40), ..Default::default() };
    store.commit(|tx| meta::set_sync_state(tx, &state)).unwrap();
    let id = visit_ref(1);
    let first = edit_here(&mut store, id, "更换主泵");
    let photo = b"a photo";
    store.commit(|tx| blobs::link(tx, id, name_of(photo), 7, "image/jpeg", T0)).unwrap();
    edit_here(&mut store, id, "更换主泵密封圈");
    edit_here(&mut store, id, "更换主泵密封圈,试机正常");
    store.commit(|tx| outbox::acknowledge(tx, id.id, &[first.header.hash])).unwrap();
    let bad = edit_here(&mut store, visit_ref(2), "拒绝");
    let why = Refusal { code: "not_assigned".into(), field: String::new(), detail: "not assigned".into() };
    store.commit(|tx| outbox::set_aside(tx, visit_ref(2).id, bad.header.hash, &why, T0)).unwrap();
    store.tidy().unwrap();
    store.conn.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(())).unwrap();
    drop(store);
    std::fs::copy(&path, concat!(env!("CARGO_MANIFEST_DIR"), "/src/store/fixtures/device-v1.sqlite")).unwrap();
}

// ---- identity ----

#[test]
fn identity_counter_and_sync_state() {
    let mut store = memory();
    assert_eq!(meta::actor(store.read()).unwrap_err().code(), "not_enrolled");
    store.commit(|tx| meta::enrol(tx, &identity(), [9; 8])).unwrap();
    assert_eq!(meta::actor(store.read()).unwrap().incarnation, [9; 8]);
    store.commit(|tx| meta::set_incarnation(tx, [8; 8])).unwrap();
    assert_eq!(meta::actor(store.read()).unwrap().incarnation, [8; 8]);
    assert_eq!(meta::actor(store.read()).unwrap().device, identity().device);
    assert!(!format!("{:?}", identity()).contains("secret"));
    let numbers = store.commit(|tx| Ok([meta::next_number(tx)?, meta::next_number(tx)?])).unwrap();
    assert_eq!(numbers, [1, 2]);
    let _: Result<()> = store.commit(|tx| {
        meta::next_number(tx)?;
        Err(Error::NotEnrolled)
    });
    assert_eq!(store.commit(meta::next_number).unwrap(), 3);
    let state = meta::SyncState { mark: vec![1, 2], offset: Some(-5), doubt: Some(2), rate: 9, ..Default::default() };
    store.commit(|tx| meta::set_sync_state(tx, &state)).unwrap();
    assert_eq!(meta::sync_state(store.read()).unwrap(), state);
    assert_eq!(state.stamp(T0), Stamp { device: T0, offset: Some(-5), doubt: Some(2) });
    store.commit(|tx| meta::set_app_value(tx, "language", Some("zh-CN"))).unwrap();
    assert_eq!(meta::app_value(store.read(), "language").unwrap().unwrap(), "zh-CN");
    store.commit(|tx| meta::set_app_value(tx, "language", None)).unwrap();
    assert_eq!(meta::app_value(store.read(), "language").unwrap(), None);
}

#[test]
fn seeded_env_repeats() {
    let (a, b) = (SeededEnv::new(1, T0), SeededEnv::new(1, T0));
    assert_eq!(a.new_id(), b.new_id());
    assert_ne!(a.new_id(), a.new_id());
    a.advance(60_000);
    assert_eq!(a.now(), T0.plus(60_000));
    assert_eq!(a.new_id().get_version_num(), 7);
}

// ---- changes, outbox, delivery ----

#[test]
fn an_edit_goes_its_way() {
    let mut store = memory();
    store.commit(|tx| meta::enrol(tx, &identity(), [1; 8])).unwrap();
    let id = visit_ref(1);
    let one = edit_here(&mut store, id, "一");
    let two = edit_here(&mut store, id, "二");
    let delivery = |store: &Store| outbox::delivery(store.read(), id.id).unwrap();
    assert_eq!(delivery(&store), Delivery::OnThisPhone);
    let batch = outbox::next_batch(store.read(), T0, 1 << 20, 100).unwrap();
    assert_eq!(batch.len(), 1);
    assert_eq!(batch[0].changes[0], (one.header.hash, one.bytes.clone()));
    assert_eq!(batch[0].changes[1], (two.header.hash, two.bytes.clone()));
    assert!(!outbox::account(store.read()).unwrap().safe_to_hand_in());

    let ack =
        |store: &mut Store, c: &Change| store.commit(|tx| outbox::acknowledge(tx, id.id, &[c.header.hash])).unwrap();
    assert_eq!(ack(&mut store, &one), 1);
    assert_eq!(ack(&mut store, &one), 0, "saying it twice is harmless");
    assert_eq!(delivery(&store), Delivery::Received);
    let each = [&one, &two].map(|c| outbox::delivery_of(store.read(), id.id, c.header.hash).unwrap());
    assert_eq!(each, [Delivery::Accepted, Delivery::OnThisPhone]);
    assert_eq!(held(&store, id).accepted, hashes(&[&one]));
    assert_eq!(ack(&mut store, &two), 1);
    assert_eq!(delivery(&store), Delivery::Accepted);
    assert_eq!(held(&store, id).accepted, hashes(&[&two]));
    assert_eq!(held(&store, id).accepted, held(&store, id).heads);
    assert_eq!(chunks::digest(store.read()).unwrap(), chunks::digest_of(id.id, &hashes(&[&two])));

    // The office looked at an earlier state, then at this one.
    let see = |store: &mut Store, at: &Change| {
        store.commit(|tx| chunks::put_seen(tx, id.id, &[at.header.hash], T0, staff(9))).unwrap();
    };
    see(&mut store, &one);
    assert_eq!(delivery(&store), Delivery::Accepted);
    see(&mut store, &two);
    assert_eq!(delivery(&store), Delivery::SeenByOffice);
    assert_eq!(outbox::read_mark(store.read(), id.id).unwrap().unwrap().by, staff(9));
    assert!(outbox::account(store.read()).unwrap().safe_to_hand_in());
    edit_here(&mut store, id, "三");
    assert_eq!(delivery(&store), Delivery::OnThisPhone);
}

#[test]
fn a_later_acceptance_includes_what_lies_below() {
    let mut store = memory();
    let id = visit_ref(1);
    let _one = edit_here(&mut store, id, "一");
    let two = edit_here(&mut store, id, "二");
    assert_eq!(store.commit(|tx| outbox::acknowledge(tx, id.id, &[two.header.hash])).unwrap(), 2);
    assert_eq!(held(&store, id).accepted, hashes(&[&two]));
}

#[test]
fn a_delivery_built_on_a_waiting_change_accepts_it() {
    let mut store = memory();
    let id = visit_ref(1);
    let mine = edit_here(&mut store, id, "我的");
    let mut office = Doc::load(Kind::Visit, None, [&mine.bytes]).unwrap();
    let theirs = edit(&mut office, id, actor(99), "我的,办公室补充");
    let sealed = Seal { heads: office.heads(), seal: vec![1; 32] };
    let receive = |store: &mut Store| {
        store
            .commit(|tx| chunks::put_received(tx, id, None, std::slice::from_ref(&theirs), &office.heads(), &sealed))
            .unwrap();
    };
    receive(&mut store);
    receive(&mut store);
    assert_eq!(outbox::account(store.read()).unwrap().changes, 0);
    let held = held(&store, id);
    assert_eq!((held.accepted, held.sealed), (sealed.heads.clone(), Some(sealed.clone())));
    // The verdict that comes late says nothing new.
    assert_eq!(store.commit(|tx| outbox::acknowledge(tx, id.id, &[mine.header.hash])).unwrap(), 0);
    assert_eq!(chunks::load(store.read(), id.id).unwrap().unwrap().heads(), office.heads());
}

#[test]
fn a_snapshot_joins_what_was_written_offline() {
    let mut store = memory();
    let id = visit_ref(1);
    let mine = edit_here(&mut store, id, "本机");
    let mut office = Doc::new(Kind::Visit);
    edit(&mut office, id, actor(99), "办公室");
    let sealed = Seal { heads: office.heads(), seal: vec![] };
    let mut merged = chunks::load(store.read(), id.id).unwrap().unwrap();
    merged.apply(office.changes().iter().map(|c| c.bytes.clone())).unwrap();
    store.commit(|tx| chunks::put_received(tx, id, Some(&office.save()), &[], &merged.heads(), &sealed)).unwrap();
    assert_eq!(chunks::load(store.read(), id.id).unwrap().unwrap().heads(), merged.heads());
    assert_eq!(outbox::waiting(store.read(), id.id).unwrap(), [mine]);
    // A second device has nothing of it: the snapshot is kept as it is.
    let mut other = memory();
    other.commit(|tx| chunks::put_received(tx, id, Some(&office.save()), &[], &office.heads(), &sealed)).unwrap();
    assert_eq!(chunks::load(other.read(), id.id).unwrap().unwrap().heads(), office.heads());
    let wrong = DocRef { kind: Kind::Request, id: id.id };
    assert_eq!(chunks::load_or_new(other.read(), wrong).err().unwrap().code(), "invalid");
}

#[test]
fn batches_go_by_lane_and_stay_in_bounds() {
    let mut store = memory();
    let (late, early) = (visit_ref(1), visit_ref(2));
    let mut doc = Doc::new(Kind::Visit);
    let change = edit(&mut doc, late, actor(2), "其余");
    store.commit(|tx| chunks::put_own(tx, late, &change, &doc.heads(), Lane::Rest, T0)).unwrap();
    let firsts: Vec<_> = (0..5).map(|n| edit_here(&mut store, early, &format!("文字{n}"))).collect();
    let batch = |bytes, count| {
        let batch = outbox::next_batch(store.read(), T0, bytes, count).unwrap();
        batch.iter().map(|w| (w.doc, w.changes.len())).collect::<Vec<_>>()
    };
    assert_eq!(batch(1 << 20, 100), [(early, 5), (late, 1)]);
    assert_eq!(batch(1 << 20, 5), [(early, 5)]);
    assert_eq!(batch(firsts[0].bytes.len() + firsts[1].bytes.len(), 100), [(early, 2)]);
    assert_eq!(batch(0, 0), [(early, 1)], "one always goes");
    let items = outbox::items(store.read(), T0, 10).unwrap();
    assert_eq!((items[0].lane, items[5].lane, items.len()), (Lane::Work, Lane::Rest, 6));
    // What fails again and again lets others pass.
    for _ in 0..3 {
        for change in &firsts {
            store.commit(|tx| outbox::attempted(tx, early.id, change.header.hash, "later")).unwrap();
        }
    }
    let batch = outbox::next_batch(store.read(), T0, 1 << 20, 1).unwrap();
    assert_eq!(batch[0].doc, late);
    assert_eq!(outbox::items(store.read(), T0, 1).unwrap()[0].doc, late);
}

#[test]
fn words_go_first_then_todays_jobs_then_the_rest() {
    let mut store = memory();
    store.commit(|tx| meta::enrol(tx, &identity(), [3; 8])).unwrap();
    let (today, later) = (order_ref(1), order_ref(2));
    let (visit_today, visit_later, note_later) = (visit_ref(1), visit_ref(2), visit_ref(3));
    let of = |visit: DocRef, order: DocRef| Summary { parent: Some(order.id), ..row(visit, "") };
    store
        .commit(|tx| {
            put_row(tx, &job(1, "dispatched", Some(0), &[1]), &Entity::new(Kind::WorkOrder))?;
            put_row(tx, &job(2, "dispatched", Some(9 * Millis::DAY), &[1]), &Entity::new(Kind::WorkOrder))?;
            put_row(tx, &of(visit_today, today), &Entity::new(Kind::Visit))?;
            put_row(tx, &of(visit_later, later), &Entity::new(Kind::Visit))?;
            put_row(tx, &of(note_later, later), &Entity::new(Kind::Visit))
        })
        .unwrap();
    for (visit, lane) in [(visit_later, Lane::Rest), (visit_today, Lane::Rest), (note_later, Lane::Work)] {
        let mut doc = chunks::load_or_new(store.read(), visit).unwrap();
        let change = edit(&mut doc, visit, actor(2), "x");
        store.commit(|tx| chunks::put_own(tx, visit, &change, &doc.heads(), lane, T0)).unwrap();
    }
    let batch =
        |at| outbox::next_batch(store.read(), at, 1 << 20, 9).unwrap().into_iter().map(|w| w.doc).collect::<Vec<_>>();
    assert_eq!(batch(T0), [note_later, visit_today, visit_later]);
    let lanes =
        |at| outbox::items(store.read(), at, 9).unwrap().into_iter().map(|i| (i.doc, i.lane)).collect::<Vec<_>>();
    assert_eq!(lanes(T0), [(note_later, Lane::Work), (visit_today, Lane::Today), (visit_later, Lane::Rest)]);
    // What was the rest yesterday is today's today.
    let next = T0.plus(9 * Millis::DAY);
    assert_eq!(lanes(next)[1..], [(visit_later, Lane::Today), (visit_today, Lane::Today)]);
}

#[test]
fn the_modules_of_the_store_import_one_way() {
    let order = ["rows", "meta", "blobs", "views", "schema", "chunks", "outbox", "rescue"];
    for (at, module) in order.iter().enumerate() {
        let path = format!("{}/src/store/{module}.rs", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        for line in text.lines().filter(|l| !l.trim_start().starts_with("//")) {
            let names = |later: &&&str| {
                let import = line.strip_prefix("use super::").or(line.strip_prefix("pub use super::"));
                let words = import.unwrap_or_default().split(|c: char| !c.is_alphanumeric() && c != '_');
                words.into_iter().any(|w| w == **later) || line.contains(&format!("super::{later}::"))
            };
            assert_eq!(order[at + 1..].iter().find(names), None, "{module}: {line}");
        }
    }
}

#[test]
fn a_refused_change_takes_its_dependants_and_blocks_nothing_else() {
    let mut store = memory();
    let (bad, good) = (visit_ref(1), visit_ref(2));
    let ok = edit_here(&mut store, bad, "可以");
    let refused = edit_here(&mut store, bad, "不行");
    let after = edit_here(&mut store, bad, "跟着");
    edit_here(&mut store, good, "别的");
    let old = chunks::load(store.read(), bad.id).unwrap().unwrap();
    let why = Refusal { code: "not_assigned".into(), field: "resolution".into(), detail: "taken off the job".into() };
    let aside = store.commit(|tx| outbox::set_aside(tx, bad.id, refused.header.hash, &why, T0)).unwrap();
    assert_eq!(aside, [refused.header.hash, after.header.hash]);
    assert!(store.commit(|tx| outbox::set_aside(tx, bad.id, refused.header.hash, &why, T0)).unwrap().is_empty());

    // Rebuilt without them, as the engine does: the innocent edit is written again.
    let kept: Vec<_> = old.changes().into_iter().filter(|c| !aside.contains(&c.header.hash)).collect();
    let mut doc = Doc::load(Kind::Visit, None, kept.iter().map(|c| &c.bytes)).unwrap();
    store
        .commit(|tx| {
            chunks::rebuild(tx, bad, &doc.save(), &doc.heads(), &[ok.header.hash])?;
            let again = edit(&mut doc, bad, actor(2), "重写");
            chunks::put_own(tx, bad, &again, &doc.heads(), Lane::Work, T0)
        })
        .unwrap();
    assert_eq!(chunks::load(store.read(), bad.id).unwrap().unwrap().heads(), doc.heads());
    assert_eq!(outbox::waiting(store.read(), bad.id).unwrap().len(), 2);
    assert_eq!(outbox::account(store.read()).unwrap().changes, 3);
    store.commit(|tx| outbox::acknowledge(tx, bad.id, &doc.heads())).unwrap();
    assert_eq!(held(&store, bad).accepted, doc.heads());
    assert_eq!(outbox::delivery(store.read(), bad.id).unwrap(), Delivery::Received, "the server holds some aside");

    let list = outbox::refused(store.read(), true).unwrap();
    assert_eq!((list.len(), &list[1].why, &list[1].bytes), (2, &why, &refused.bytes));
    assert_eq!(outbox::delivery_of(store.read(), bad.id, refused.header.hash).unwrap(), Delivery::Received);
    for one in list {
        store.commit(|tx| outbox::settle_refused(tx, one.id)).unwrap();
    }
    assert_eq!(store.commit(|tx| outbox::settle_refused(tx, 1)).unwrap_err().code(), "not_found");
    assert_eq!(outbox::delivery(store.read(), bad.id).unwrap(), Delivery::Accepted);
    assert_eq!(outbox::refused(store.read(), false).unwrap().len(), 2, "kept");
}

#[test]
fn a_restored_server_gets_it_again() {
    let mut store = memory();
    let id = visit_ref(1);
    let changes: Vec<_> = (0..3).map(|n| edit_here(&mut store, id, &format!("第{n}"))).collect();
    store.commit(|tx| outbox::acknowledge(tx, id.id, &hashes(&changes.iter().collect::<Vec<_>>()))).unwrap();
    let doc = chunks::load(store.read(), id.id).unwrap().unwrap();
    store.commit(|tx| chunks::compact(tx, id.id, &doc.save(), &[changes[0].header.hash])).unwrap();
    let lost = doc.changes();
    assert_eq!(store.commit(|tx| outbox::requeue(tx, id, &lost, Lane::Work, T0)).unwrap(), 3);
    assert_eq!(store.commit(|tx| outbox::requeue(tx, id, &lost, Lane::Work, T0)).unwrap(), 0);
    assert_eq!(outbox::waiting(store.read(), id.id).unwrap(), changes, "dependencies first");
    assert_eq!(outbox::delivery(store.read(), id.id).unwrap(), Delivery::OnThisPhone);
    store.commit(|tx| chunks::set_accepted(tx, id.id, &[])).unwrap();
    assert_eq!(chunks::digest(store.read()).unwrap(), [0; 32]);
    store.commit(|tx| outbox::acknowledge(tx, id.id, &doc.heads())).unwrap();
    assert_eq!(held(&store, id).accepted, doc.heads());
    assert_eq!(chunks::load(store.read(), id.id).unwrap().unwrap().heads(), doc.heads());
}

#[test]
fn compaction_changes_nothing_but_the_rows() {
    let mut store = memory();
    let id = visit_ref(1);
    let mut changes = Vec::new();
    for n in 0..40 {
        assert_eq!(chunks::wants_compaction(store.read(), id.id, chunks::LONG_TAIL).unwrap(), n > 32);
        changes.push(edit_here(&mut store, id, &format!("版本 {n}")));
    }
    store.commit(|tx| outbox::acknowledge(tx, id.id, &[changes[29].header.hash])).unwrap();
    assert_eq!(chunks::compactable(store.read(), chunks::LONG_TAIL, 5).unwrap(), [id]);
    let before = chunks::load(store.read(), id.id).unwrap().unwrap();
    let waiting = outbox::waiting(store.read(), id.id).unwrap();
    let covered: Vec<_> = before.changes().iter().map(|c| c.header.hash).collect();
    store.commit(|tx| chunks::compact(tx, id.id, &before.save(), &covered)).unwrap();
    let rows =
        |store: &Store| store.read().query_row("SELECT count(*) FROM change", [], |r| r.get::<_, i64>(0)).unwrap();
    assert_eq!(rows(&store), 10, "those to be sent stay");
    assert_eq!(outbox::waiting(store.read(), id.id).unwrap(), waiting);
    let after = chunks::load(store.read(), id.id).unwrap().unwrap();
    assert_eq!((after.heads(), after.entity().unwrap()), (before.heads(), before.entity().unwrap()));
    assert!(chunks::compactable(store.read(), chunks::LONG_TAIL, 5).unwrap().is_empty());
    store.commit(|tx| outbox::acknowledge(tx, id.id, &before.heads())).unwrap();
    assert_eq!(rows(&store), 0);
    assert_eq!(chunks::load(store.read(), id.id).unwrap().unwrap().heads(), before.heads());
}

#[test]
fn purging_waits_for_what_is_unsent() {
    let mut store = memory();
    let id = visit_ref(1);
    let change = edit_here(&mut store, id, "离开");
    let photo = name_of(b"photo");
    store.commit(|tx| blobs::link(tx, id, photo, 5, "image/jpeg", T0)).unwrap();
    let leave = |store: &mut Store| store.commit(|tx| chunks::leave(tx, id.id)).unwrap();
    assert_eq!(leave(&mut store), Left::Leaving);
    assert!(held(&store, id).leaving);
    store.commit(|tx| outbox::acknowledge(tx, id.id, &[change.header.hash])).unwrap();
    assert!(held(&store, id).leaving, "the photo still waits");
    assert_eq!(chunks::digest(store.read()).unwrap(), [0; 32]);
    store.commit(|tx| outbox::acknowledge_blob(tx, photo)).unwrap();
    assert!(chunks::held(store.read(), id.id).unwrap().is_none());
    assert!(views::search(store.read(), "离开", None).unwrap().lines.is_empty());
    assert_eq!(leave(&mut store), Left::Unknown);
    assert_eq!(store.commit(|tx| blobs::evict(tx, u64::MAX)).unwrap(), [photo], "nobody refers to it");

    // Assigned again while it was leaving: it stays.
    let change = edit_here(&mut store, id, "又来");
    assert_eq!(leave(&mut store), Left::Leaving);
    let doc = chunks::load(store.read(), id.id).unwrap().unwrap();
    let sealed = Seal { heads: vec![change.header.hash], seal: vec![] };
    store.commit(|tx| chunks::put_received(tx, id, None, &[], &doc.heads(), &sealed)).unwrap();
    assert!(!held(&store, id).leaving);
    assert_eq!(chunks::digest(store.read()).unwrap(), chunks::digest_of(id.id, &doc.heads()));
    assert_eq!(leave(&mut store), Left::Purged);
    assert_eq!(chunks::digest(store.read()).unwrap(), [0; 32]);
}

// ---- views ----

fn searchable(texts: &[&str]) -> Store {
    let mut store = memory();
    store
        .commit(|tx| {
            for (n, text) in (0_u128..).zip(texts) {
                put_row(tx, &row(visit_ref(n), text), &Entity::new(Kind::Visit))?;
            }
            Ok(())
        })
        .unwrap();
    store
}

#[test]
fn search_finds_chinese_words_of_one_and_two_characters() {
    let texts = [
        "QH-2024-0017 张三 华南纸浆厂 13800138000 主泵漏油",
        "QH-2024-0018 张三丰 东莞模塑 模具发热 pump-station Ünder",
        "QH-2023-0100 李四 三张凳子 真空泵",
        "AND OR NOT NEAR 操作符 \"引号\"",
    ];
    let (store, mut indexed) = (searchable(&texts), searchable(&texts));
    indexed.tidy().unwrap();
    let cases: &[(&str, &[usize])] = &[
        ("张三", &[0, 1]),
        ("张三丰", &[1]),
        ("三张", &[2]),
        ("泵", &[0, 2]),
        ("真空泵", &[2]),
        ("QH-2024 张", &[0, 1]),
        ("QH-2024-0017", &[0]),
        ("qh-2024-00", &[0, 1]),
        ("138001", &[0]),
        ("138001 张三", &[0]),
        ("000 张三", &[]),
        ("8000", &[0]),
        ("ＱＨ２０２４", &[0, 1]),
        ("张三 13800", &[0]),
        ("under", &[1]),
        ("ＡＮＤ", &[3]),
        ("\"引号\"", &[3]),
        ("引号\" OR \"张三", &[]),
        ("AND", &[3]),
        ("NOT NEAR", &[3]),
        ("NEAR(张三)", &[]),
        ("text:张三", &[]),
        ("张三*", &[0, 1]),
        ("^张", &[0, 1, 2]),
        ("-泵", &[0, 2]),
        ("{", &[]),
        ("\"", &[]),
        ("", &[]),
        ("   ", &[]),
        ("张\0三", &[0, 1]),
        ("没有", &[]),
        ("😀", &[]),
    ];
    for (query, expected) in cases {
        for store in [&store, &indexed] {
            let found = views::search(store.read(), query, None).unwrap();
            let mut found: Vec<_> =
                found.lines.iter().map(|l| texts.iter().position(|t| **t == l.summary.title).unwrap()).collect();
            found.sort_unstable();
            assert_eq!(&found, expected, "{query:?}");
        }
    }
}

#[test]
fn search_follows_edits_and_pages() {
    let mut store = memory();
    let id = visit_ref(1);
    edit_here(&mut store, id, "旧词");
    store.tidy().unwrap();
    assert_eq!(views::search(store.read(), "旧", None).unwrap().lines.len(), 1);
    edit_here(&mut store, id, "新词");
    assert!(views::search(store.read(), "旧", None).unwrap().lines.is_empty());
    assert_eq!(views::search(store.read(), "新", None).unwrap().lines[0].delivery, Delivery::OnThisPhone);

    store.tidy().unwrap();
    assert!(views::search(store.read(), "旧", None).unwrap().lines.is_empty());
    assert_eq!(views::search(store.read(), "新", None).unwrap().lines.len(), 1);

    let texts: Vec<String> = (0..120).map(|n| format!("泵 {n}")).collect();
    let store = searchable(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let (mut found, mut after, mut pages) = (BTreeSet::new(), None, 0);
    loop {
        let page = views::search(store.read(), "泵", after.as_deref()).unwrap();
        found.extend(page.lines.iter().map(|l| l.summary.doc));
        pages += 1;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((found.len(), pages), (120, 3));
    for mark in ["x", "s1.", "s1.-1", "s1.99999", "l1.1.1"] {
        assert_eq!(views::search(store.read(), "泵", Some(mark)).unwrap_err().code(), "invalid");
    }
    for mark in ["x", "l1.", "l1.1", "l1.a.b", "s1.1"] {
        assert_eq!(views::list(store.read(), Kind::Visit, None, Some(mark)).unwrap_err().code(), "invalid");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn search_takes_anything(query in "\\PC*", wild in "[\"'*^:(){}+\\-,. 张a]{0,20}") {
        let store = searchable(&["张三 a"]);
        views::search(store.read(), &query, None).unwrap();
        views::search(store.read(), &wild, None).unwrap();
    }

    #[test]
    fn search_means_what_the_words_say(
        texts in proptest::collection::vec("([张三李四泵]{1,3}|[A-Z]{2}-[0-9]{4}|1[0-9]{10}|[a-cé]{1,4}|[０-９]{3}|[ -/.]){0,6}", 1..8),
        question in "([张三李四泵]{1,2}|[a-z]{1,2}-?[0-9]{0,4}|[0-9]{1,6}|[０-９]{2}|[ -/.\"*]){1,4}",
        tidy in any::<bool>(),
    ) {
        let texts: Vec<String> = texts.iter().zip(0..).map(|(t, n)| format!("{t} №{n}x")).collect();
        let mut store = searchable(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        if tidy {
            store.tidy().unwrap();
        }
        let found = views::search(store.read(), &question, None).unwrap();
        let found: BTreeSet<_> = found.lines.into_iter().map(|l| l.summary.title).collect();
        let phrases = words::phrases(&question);
        let meant = texts.into_iter().filter(|t| !phrases.is_empty() && words::found(&words::indexed(t), &phrases));
        prop_assert_eq!(found, meant.collect::<BTreeSet<_>>(), "{:?}", question);
    }
}

fn order_ref(n: u128) -> DocRef {
    DocRef::new(Kind::WorkOrder, DocId(Uuid::from_u128(0x9000 + n)))
}

fn job(n: u128, status: &str, due: Option<i64>, people: &[u128]) -> Summary {
    Summary {
        status: status.into(),
        due: due.map(|d| T0.plus(d)),
        people: people.iter().map(|p| staff(*p)).collect(),
        flags: vec!["cancelled_but_completed".into()],
        number: format!("WO-{n}"),
        ..row(order_ref(n), &format!("客户{n}"))
    }
}

#[test]
fn lists_by_kind_status_and_day() {
    let mut store = memory();
    let entity = Entity::new(Kind::WorkOrder);
    let put = |store: &mut Store, s: &Summary| store.commit(|tx| put_row(tx, s, &entity)).unwrap();
    for n in 0..130 {
        let due = (n % 10 != 0).then_some(i64::try_from(n).unwrap() * 1000);
        put(&mut store, &job(n, if n % 2 == 0 { "planning" } else { "closed" }, due, &[1]));
    }
    let all = |status: Option<&str>| {
        let (mut out, mut after) = (Vec::new(), None);
        loop {
            let page = views::list(store.read(), Kind::WorkOrder, status, after.as_deref()).unwrap();
            assert!(page.lines.len() <= views::PAGE);
            out.extend(page.lines.into_iter().map(|l| l.summary));
            after = page.next;
            if after.is_none() {
                return out;
            }
        }
    };
    let every = all(None);
    assert_eq!(every.len(), 130);
    assert!(every.is_sorted_by_key(|s| std::cmp::Reverse(s.due)));
    assert_eq!(every[0], Summary { search: String::new(), ..job(129, "closed", Some(129_000), &[1]) });
    assert_eq!(all(Some("planning")).len(), 65);
    assert_eq!(all(Some("nothing")).len(), 0);
    let counts: Vec<_> = views::counts(store.read()).unwrap().into_iter().map(|c| (c.status, c.count)).collect();
    assert_eq!(counts, [("closed".to_owned(), 65), ("planning".to_owned(), 65)]);

    let mut store = memory();
    const DAY: i64 = Millis::DAY;
    put(&mut store, &job(1, "dispatched", Some(5), &[1, 2]));
    put(&mut store, &job(2, "closed", Some(3), &[1]));
    put(&mut store, &job(3, "closed", Some(-3), &[1]));
    put(&mut store, &job(4, "on_site", Some(-3 * DAY), &[1]));
    put(&mut store, &job(5, "dispatched", Some(DAY), &[1]));
    put(&mut store, &job(6, "planning", None, &[1]));
    let today = |store: &Store, n| {
        let lines = views::today(store.read(), staff(n), T0, T0.plus(DAY)).unwrap();
        lines.into_iter().map(|l| l.summary.number).collect::<Vec<_>>()
    };
    assert_eq!(today(&store, 1), ["WO-4", "WO-2", "WO-1", "WO-6"]);
    assert_eq!(today(&store, 2), ["WO-1"]);
    // Reassigned, and done.
    put(&mut store, &job(1, "dispatched", Some(5), &[3]));
    put(&mut store, &job(4, "completed", Some(-3 * DAY), &[1]));
    assert_eq!(today(&store, 1), ["WO-2", "WO-6"]);
    assert_eq!((today(&store, 2).len(), today(&store, 3).len()), (0, 1));
    assert_eq!(views::of_person(store.read(), staff(1), Kind::WorkOrder).unwrap().len(), 5);
    let missing = store.commit(|tx| views::put(tx, &job(99, "closed", None, &[]), &entity)).unwrap_err();
    assert_eq!(missing.code(), "not_found");
}

#[test]
fn the_work_orders_that_name_a_request_are_found() {
    let (_dir, path) = file("answers.sqlite");
    let mut store = Store::open(Connection::open(&path).unwrap()).unwrap();
    let (a, b) = (RequestId(Uuid::from_u128(0x51)), RequestId(Uuid::from_u128(0x52)));
    let put = |store: &mut Store, n: u128, request: Option<RequestId>| {
        let order = Entity::WorkOrder(WorkOrder { request, ..WorkOrder::default() });
        store.commit(|tx| put_row(tx, &job(n, "planning", None, &[]), &order)).unwrap();
    };
    for (n, request) in [(1, Some(a)), (2, Some(b)), (3, None), (4, Some(a))] {
        put(&mut store, n, request);
    }
    put(&mut store, 2, Some(a));
    put(&mut store, 4, None);
    put(&mut store, 1, Some(a));
    let found = |store: &Store, request| {
        let ids = View::new(store.read()).answers(request).into_iter();
        ids.map(|id| DocRef::new(Kind::WorkOrder, id)).collect::<Vec<_>>()
    };
    let both = [order_ref(1), order_ref(2)];
    assert_eq!((found(&store, a), found(&store, b)), (both.to_vec(), vec![]));
    let plan: String = (store.read())
        .query_row("EXPLAIN QUERY PLAN SELECT id FROM doc WHERE answers = x'00' ORDER BY no", [], |r| r.get(3))
        .unwrap();
    assert!(plan.contains("doc_answers"), "{plan}");
    // As schema 3 left them, one with a content that cannot be read.
    let broken = "UPDATE doc SET entity = x'7b' WHERE id = ?1";
    store.conn.execute(broken, [order_ref(3).id.as_bytes()]).unwrap();
    let back = "DROP INDEX doc_answers; ALTER TABLE doc DROP COLUMN answers; PRAGMA user_version = 3;";
    store.conn.execute_batch(back).unwrap();
    drop(store);
    let store = Store::open(Connection::open(&path).unwrap()).unwrap();
    assert_eq!((found(&store, a), found(&store, b)), (both.to_vec(), vec![]));
}

#[test]
fn the_store_is_a_world() {
    let mut store = memory();
    let order = order_ref(1);
    let id = VisitId::of_dispatch(order.id.into(), 1);
    let visit = Visit { work_order: Some(order.id.into()), ..Visit::default() };
    store
        .commit(|tx| {
            let parent = Some(order.id);
            put_row(tx, &Summary { parent, ..row(DocRef::new(Kind::Visit, id), "v") }, &Entity::Visit(visit.clone()))?;
            put_row(tx, &row(order, "w"), &Entity::new(Kind::WorkOrder))?;
            for (n, status) in [(1, "active"), (2, "left")] {
                let who = DocRef::new(Kind::Staff, staff(n));
                let coded = Summary { number: "G7".into(), status: status.into(), ..row(who, "某人") };
                put_row(tx, &coded, &Entity::new(Kind::Staff))?;
            }
            // Inside the transaction it sees what was written.
            let world = View::new(tx);
            assert_eq!(world.visits(order.id.into()), [(id, std::borrow::Cow::Borrowed(&visit))]);
            world.finish()
        })
        .unwrap();
    let world = View::new(store.read());
    assert_eq!(world.get::<Visit>(id).as_deref(), Some(&visit));
    assert_eq!(world.get::<Request>(id), None, "of another kind");
    assert_eq!(world.entity(order_ref(2)), None);
    assert_eq!((world.coded("G7"), world.coded("G8")), (vec![staff(1)], vec![]), "who left has no work number");
    assert_eq!(world.complaints(T0, T0), None, "a phone does not hold all of them");
    assert_eq!(*world.settings(), Settings::default());
    assert!(world.children(Kind::Request, order.id).is_empty());
    world.finish().unwrap();
    // A row that cannot be read is an error, not an absence.
    store.conn.execute("UPDATE doc SET entity = x'7b'", []).unwrap();
    let world = View::new(store.read());
    assert_eq!(world.entity(order), None);
    assert_eq!(world.finish().unwrap_err().code(), "database_damaged");
    assert_eq!(views::show(store.read(), order.id).unwrap_err().code(), "database_damaged");
}

#[test]
fn every_kind_comes_back() {
    let mut store = memory();
    for (n, kind) in (0_u128..).zip(Kind::ALL) {
        let doc = DocRef::new(kind, DocId(Uuid::from_u128(n)));
        store.commit(|tx| put_row(tx, &row(doc, ""), &Entity::new(kind))).unwrap();
        let shown = views::show(store.read(), doc.id).unwrap();
        assert_eq!((shown.entity, shown.line.summary.doc), (Entity::new(kind), doc));
    }
    assert_eq!(chunks::counts(store.read()).unwrap().len(), Kind::ALL.len());
}

#[test]
fn ready_to_leave_names_what_is_missing() {
    let mut store = memory();
    let (order, visit) = (order_ref(1), visit_ref(1));
    let customer = CustomerId(Uuid::from_u128(77));
    let work = WorkOrder { customer: Some(customer), ..WorkOrder::default() };
    let photo =
        Photo { blob: Some(name_of(b"x")), size: 3_000_000, media_type: "image/jpeg".into(), ..Photo::default() };
    let form = Visit { photos: [(ItemId(Uuid::from_u128(5)), photo)].into(), ..Visit::default() };
    let state = meta::SyncState { rate: 100_000, ..Default::default() };
    store
        .commit(|tx| {
            meta::set_sync_state(tx, &state)?;
            put_row(tx, &job(1, "dispatched", Some(5), &[1]), &Entity::WorkOrder(work))?;
            put_row(tx, &Summary { parent: Some(order.id), ..row(visit, "v") }, &Entity::Visit(form))
        })
        .unwrap();
    let ask = |store: &Store| views::ready_to_leave(store.read(), staff(1), T0, T0.plus(2 * Millis::DAY)).unwrap();
    let found = ask(&store);
    assert_eq!(found.documents, [DocRef::new(Kind::Customer, customer)]);
    assert_eq!(found.blobs, [(name_of(b"x"), 3_000_000)]);
    assert!(!found.settings && !found.ready());
    assert_eq!((found.bytes, found.seconds), (3_008_192, Some(31)));
    assert_eq!(blobs::to_fetch(store.read(), 9).unwrap().len(), 1);
    store
        .commit(|tx| {
            blobs::fetched(tx, name_of(b"x"))?;
            put_row(tx, &row(DocRef::new(Kind::Customer, customer), "c"), &Entity::new(Kind::Customer))?;
            put_row(tx, &row(DocRef::new(Kind::Settings, SETTINGS), ""), &Entity::new(Kind::Settings))
        })
        .unwrap();
    assert!(ask(&store).ready());
    assert_eq!(ask(&store).seconds, Some(0));
}

// ---- blobs ----

fn blobs_conform(blobs: &mut dyn Blobs) {
    let name = blobs.put(b"hello").unwrap();
    assert_eq!(name, name_of(b"hello"));
    assert_eq!(blobs.put(b"hello").unwrap(), name, "twice is once");
    assert_eq!((blobs.size(name).unwrap(), blobs.size(name_of(b"?")).unwrap()), (Some(5), None));
    assert_eq!(blobs.read(name, 1, 3).unwrap(), b"ell");
    assert_eq!(blobs.read(name, 4, 100).unwrap(), b"o");
    assert_eq!(blobs.read(name, 99, 1).unwrap(), b"");
    assert_eq!(blobs.read_all(name).unwrap(), b"hello");
    assert_eq!(blobs.read(name_of(b"?"), 0, 1).unwrap_err().code(), "not_found");
    let mut incoming = blobs.begin().unwrap();
    incoming.write(b"wor").unwrap();
    incoming.write(b"ld").unwrap();
    assert_eq!(incoming.finish_as(name).unwrap_err().code(), "invalid");
    let mut incoming = blobs.begin().unwrap();
    incoming.write(b"lost").unwrap();
    drop(incoming);
    assert_eq!(blobs.size(name_of(b"lost")).unwrap(), None);
    let mut incoming = blobs.begin().unwrap();
    incoming.write(b"world").unwrap();
    assert_eq!(incoming.finish_as(name_of(b"world")).unwrap(), 5);
    blobs.remove(name).unwrap();
    blobs.remove(name).unwrap();
    assert_eq!(blobs.size(name).unwrap(), None);
}

#[test]
fn blobs_in_memory() {
    blobs_conform(&mut MemoryBlobs::new());
}

#[cfg(feature = "client")]
#[test]
fn blobs_in_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let mut blobs = blobs::FolderBlobs::open(dir.path()).unwrap();
    blobs_conform(&mut blobs);
    assert_eq!(std::fs::read_dir(dir.path().join("partial")).unwrap().count(), 0, "nothing half-written stays");
    std::fs::write(dir.path().join("partial/1-1"), b"torn").unwrap();
    let blobs = blobs::FolderBlobs::open(dir.path()).unwrap();
    assert_eq!(std::fs::read_dir(dir.path().join("partial")).unwrap().count(), 0);
    assert_eq!(std::fs::read(blobs.path(name_of(b"world"))).unwrap(), b"world");
}

#[test]
fn a_photo_goes_its_way() {
    let mut store = memory();
    let id = visit_ref(1);
    edit_here(&mut store, id, "照片");
    let (one, two) = (name_of(b"1"), name_of(b"2"));
    store.commit(|tx| blobs::link(tx, id, one, 100, "image/jpeg", T0)).unwrap();
    store.commit(|tx| blobs::link(tx, id, two, 50, "image/png", T0.plus(1))).unwrap();
    let names = |store: &Store| blobs::to_send(store.read(), 9).unwrap().iter().map(|b| b.name).collect::<Vec<_>>();
    assert_eq!(names(&store), [one, two]);
    store.commit(|tx| blobs::progress(tx, one, "/v1/blobs/7", 40)).unwrap();
    let found = blobs::row(store.read(), one).unwrap().unwrap();
    assert_eq!((found.state, found.upload.as_str()), (BlobState::Local { sent: 40 }, "/v1/blobs/7"));
    let account = outbox::account(store.read()).unwrap();
    assert_eq!((account.blobs, account.blob_bytes), (2, 110));
    store.commit(|tx| blobs::failed(tx, one, "offline")).unwrap();
    assert_eq!(names(&store), [two, one], "what failed lets others pass");
    assert!(store.commit(|tx| blobs::evict(tx, 0)).unwrap().is_empty(), "never what is not acknowledged");
    for name in [one, two] {
        store.commit(|tx| outbox::acknowledge_blob(tx, name)).unwrap();
        store.commit(|tx| outbox::acknowledge_blob(tx, name)).unwrap();
    }
    assert_eq!(store.commit(|tx| blobs::evict(tx, 60)).unwrap(), [one], "the oldest, until it fits");
    let state = |store: &Store, name| blobs::row(store.read(), name).unwrap().unwrap().state;
    assert_eq!((state(&store, one), state(&store, two)), (BlobState::RemoteOnly, BlobState::Acknowledged));
    assert!(!store.commit(|tx| blobs::requeue(tx, one, T0)).unwrap(), "its bytes are not here");
    assert!(store.commit(|tx| blobs::requeue(tx, two, T0)).unwrap());
    assert_eq!(state(&store, two), BlobState::Local { sent: 0 });
    store.commit(|tx| blobs::fetched(tx, one)).unwrap();
    assert_eq!(blobs::of_document(store.read(), id.id).unwrap().len(), 2);
    // Photographed again, byte for byte: the server is known to have it.
    store.commit(|tx| blobs::link(tx, id, one, 100, "image/jpeg", T0)).unwrap();
    assert_eq!(state(&store, one), BlobState::Acknowledged);
}

// ---- rescue ----

#[test]
fn a_rescue_file_carries_unsent_work() {
    let mut store = memory();
    let mut kept = MemoryBlobs::new();
    assert_eq!(rescue::gather(store.read(), &kept, T0).unwrap_err().code(), "not_enrolled");
    store.commit(|tx| meta::enrol(tx, &identity(), [1; 8])).unwrap();
    let (id, sent) = (visit_ref(1), visit_ref(2));
    let change = edit_here(&mut store, id, "未发送");
    let done = edit_here(&mut store, sent, "已发送");
    store.commit(|tx| outbox::acknowledge(tx, sent.id, &[done.header.hash])).unwrap();
    let photo = kept.put(b"jpeg").unwrap();
    store.commit(|tx| blobs::link(tx, id, photo, 4, "image/jpeg", T0)).unwrap();
    let rescued = rescue::gather(store.read(), &kept, T0).unwrap();
    assert_eq!((rescued.docs.len(), rescued.blobs.len()), (1, 1));
    assert_eq!(rescued.docs[0].changes, [change.bytes]);
    assert_eq!(rescued.blobs[0].doc, Some((id.id, Kind::Visit)));
    let doc = Doc::load(Kind::Visit, Some(&rescued.docs[0].snapshot), std::iter::empty::<&[u8]>()).unwrap();
    assert_eq!(doc.heads(), held(&store, id).heads);

    let env = SeededEnv::new(3, T0);
    assert_eq!(rescue::seal(&rescued, "short", &env).unwrap_err().code(), "invalid");
    let file = rescue::seal(&rescued, "八个字的口令也可以", &env).unwrap();
    assert_eq!(rescue::open(&file, "八个字的口令也可以").unwrap(), rescued);
    assert_eq!(rescue::open(&file, "别的口令别的口令").unwrap_err().code(), "rescue_unreadable");
    assert!(!file.windows(4).any(|w| w == b"jpeg"));
    // Every region of the file is vouched for: magic, parameters, salt, nonce, content, tag.
    for at in [0, 11, 13, 20, 24, 26, 40, 60, 65, file.len() / 2, file.len() - 1] {
        let mut bent = file.clone();
        bent[at] ^= 1;
        assert_eq!(rescue::open(&bent, "八个字的口令也可以").unwrap_err().code(), "rescue_unreadable", "byte {at}");
    }
    let mut newer = file.clone();
    newer[12] = 9;
    assert_eq!(rescue::open(&newer, "八个字的口令也可以").unwrap_err().code(), "invalid");
    for len in [0, 5, 12, 13, 30, 64, 65, 80, file.len() - 1] {
        assert_eq!(rescue::open(&file[..len], "八个字的口令也可以").unwrap_err().code(), "rescue_unreadable");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn rescue_takes_no_harm(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), parameters in any::<[u8; 12]>()) {
        prop_assert!(rescue::open(&bytes, "passphrase").is_err());
        let mut file = b"ONSITERESCUE\x01".to_vec();
        file.extend(parameters.map(|b| b & 3));
        file.append(&mut bytes);
        prop_assert!(rescue::open(&file, "passphrase").is_err());
    }
}

// ---- everything against a simple model ----

#[derive(Clone, Debug)]
enum Op {
    Edit(u8),
    Foreign(u8),
    Acknowledge(u8, u8),
    Refuse(u8, u8),
    Compact(u8),
    Leave(u8),
    Crash(u8),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..3_u8).prop_map(Op::Edit),
        2 => (0..3_u8).prop_map(Op::Foreign),
        3 => (0..3_u8, 0..4_u8).prop_map(|(d, n)| Op::Acknowledge(d, n)),
        1 => (0..3_u8, 0..4_u8).prop_map(|(d, n)| Op::Refuse(d, n)),
        1 => (0..3_u8).prop_map(Op::Compact),
        1 => (0..3_u8).prop_map(Op::Leave),
        1 => (0..3_u8).prop_map(Op::Crash),
    ]
}

/// A document as simply as it can be told: all its changes, and the server's copy.
#[derive(Clone)]
struct Model {
    doc: Doc,
    server: Doc,
    waiting: Vec<Change>,
    leaving: bool,
}

impl Model {
    fn new() -> Self {
        let doc = Doc::new(Kind::Visit);
        Self { server: doc.clone(), doc, waiting: Vec::new(), leaving: false }
    }
}

fn accepted_in(server: &Doc) -> Vec<ChangeHash> {
    if server.changes().is_empty() { Vec::new() } else { server.heads() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn the_store_does_as_the_model(ops in proptest::collection::vec(op(), 1..40)) {
        let mut store = memory();
        let mut model: BTreeMap<u8, Model> = BTreeMap::new();
        let mut refused = 0;
        for (step, op) in ops.into_iter().enumerate() {
            // One character of its own: texts that merge never come to read like another.
            let text = format!("步骤 {}", char::from_u32(0x4e00 + step as u32).unwrap());
            match op {
                Op::Edit(d) => {
                    let m = model.entry(d).or_insert_with(Model::new);
                    let id = visit_ref(d.into());
                    // A fresh author each time keeps (actor, seq) unique after a refusal.
                    let change = edit(&mut m.doc, id, Actor { incarnation: [0, 0, 0, 0, 0, 0, 0, step as u8], ..actor(2) }, &text);
                    store.commit(|tx| {
                        chunks::put_own(tx, id, &change, &m.doc.heads(), Lane::Work, T0)?;
                        views::put(tx, &row(id, &text), &m.doc.entity()?)
                    }).unwrap();
                    m.waiting.push(change);
                }
                Op::Foreign(d) => {
                    let m = model.entry(d).or_insert_with(Model::new);
                    let id = visit_ref(d.into());
                    let change = edit(&mut m.server, id, Actor { incarnation: [1, 0, 0, 0, 0, 0, 0, step as u8], ..actor(99) }, &text);
                    m.doc.apply([&change.bytes]).unwrap();
                    m.leaving = false;
                    let sealed = Seal { heads: m.server.heads(), seal: vec![1] };
                    // What the server has and the device was not told before comes with it.
                    store.commit(|tx| {
                        chunks::put_received(tx, id, None, &[change], &m.doc.heads(), &sealed)?;
                        views::put(tx, &row(id, &text), &m.doc.entity()?)
                    }).unwrap();
                }
                Op::Acknowledge(d, n) => {
                    let Some(m) = model.get_mut(&d) else { continue };
                    let n = m.waiting.len().min(n.into());
                    let sent: Vec<_> = m.waiting.drain(..n).collect();
                    m.server.apply(sent.iter().map(|c| &c.bytes)).unwrap();
                    let hashes: Vec<_> = sent.iter().map(|c| c.header.hash).collect();
                    for again in [n, 0] {
                        let done = store.commit(|tx| outbox::acknowledge(tx, visit_ref(d.into()).id, &hashes)).unwrap();
                        prop_assert_eq!(done, again);
                    }
                    if m.leaving && m.waiting.is_empty() {
                        model.remove(&d);
                    }
                }
                Op::Refuse(d, n) => {
                    let Some(m) = model.get_mut(&d) else { continue };
                    let Some(first) = m.waiting.get(usize::from(n)).map(|c| c.header.hash) else { continue };
                    let id = visit_ref(d.into());
                    let mut gone = vec![first];
                    for c in &m.waiting {
                        if c.header.deps.iter().any(|d| gone.contains(d)) {
                            gone.push(c.header.hash);
                        }
                    }
                    let why = Refusal { code: "no".into(), field: String::new(), detail: String::new() };
                    let aside = store.commit(|tx| outbox::set_aside(tx, id.id, first, &why, T0)).unwrap();
                    prop_assert_eq!(&aside, &gone);
                    refused += gone.len() as u64;
                    m.waiting.retain(|c| !gone.contains(&c.header.hash));
                    let done = m.leaving && m.waiting.is_empty();
                    prop_assert_eq!(store.commit(|tx| chunks::purge_if_done(tx, id.id)).unwrap(), done);
                    if done {
                        model.remove(&d);
                        continue;
                    }
                    let keep: Vec<_> = m.doc.changes().into_iter().filter(|c| !gone.contains(&c.header.hash)).collect();
                    m.doc = Doc::load(Kind::Visit, None, keep.iter().map(|c| &c.bytes)).unwrap();
                    let waiting: Vec<_> = m.waiting.iter().map(|c| c.header.hash).collect();
                    store.commit(|tx| chunks::rebuild(tx, id, &m.doc.save(), &m.doc.heads(), &waiting)).unwrap();
                }
                Op::Compact(d) => {
                    let Some(m) = model.get(&d) else { continue };
                    let covered: Vec<_> = m.doc.changes().iter().map(|c| c.header.hash).collect();
                    store.commit(|tx| chunks::compact(tx, visit_ref(d.into()).id, &m.doc.save(), &covered)).unwrap();
                }
                Op::Leave(d) => {
                    let left = store.commit(|tx| chunks::leave(tx, visit_ref(d.into()).id)).unwrap();
                    match model.get_mut(&d) {
                        None => prop_assert_eq!(left, Left::Unknown),
                        Some(m) if m.waiting.is_empty() => {
                            prop_assert_eq!(left, Left::Purged);
                            model.remove(&d);
                        }
                        Some(m) => {
                            prop_assert_eq!(left, Left::Leaving);
                            m.leaving = true;
                        }
                    }
                }
                Op::Crash(d) => {
                    let id = visit_ref(d.into());
                    let mut doc = model.get(&d).map_or_else(|| Doc::new(Kind::Visit), |m| m.doc.clone());
                    let change = edit(&mut doc, id, actor(2), &text);
                    let gone: Result<()> = store.commit(|tx| {
                        chunks::put_own(tx, id, &change, &doc.heads(), Lane::Work, T0)?;
                        chunks::leave(tx, id.id)?;
                        Err(Error::NotEnrolled)
                    });
                    prop_assert!(gone.is_err());
                }
            }
            // The whole state, after each step.
            let conn = store.read();
            let account = outbox::account(conn).unwrap();
            prop_assert_eq!(account.documents, model.len() as u64);
            prop_assert_eq!(account.changes, model.values().map(|m| m.waiting.len() as u64).sum::<u64>());
            prop_assert_eq!(account.refused, refused);
            let mut digest = [0; 32];
            for d in 0..3 {
                let id = visit_ref(d.into());
                let Some(m) = model.get(&d) else {
                    prop_assert!(chunks::held(conn, id.id).unwrap().is_none());
                    continue;
                };
                let loaded = chunks::load(conn, id.id).unwrap().unwrap();
                prop_assert_eq!(loaded.heads(), m.doc.heads());
                prop_assert_eq!(loaded.entity().unwrap(), m.doc.entity().unwrap());
                let held = chunks::held(conn, id.id).unwrap().unwrap();
                prop_assert_eq!(&held.heads, &m.doc.heads());
                prop_assert_eq!(held.leaving, m.leaving);
                prop_assert_eq!(outbox::waiting(conn, id.id).unwrap(), m.waiting.clone());
                if !m.leaving {
                    let accepted = accepted_in(&m.server);
                    prop_assert_eq!(&held.accepted, &accepted);
                    let part = chunks::digest_of(id.id, &accepted);
                    digest.iter_mut().zip(part).for_each(|(a, b)| *a ^= b);
                }
            }
            prop_assert_eq!(chunks::digest(conn).unwrap(), digest);
            let ranges = chunks::range_digests(conn).unwrap();
            let total = ranges.iter().fold([0_u8; 32], |mut all, one| {
                all.iter_mut().zip(one).for_each(|(a, b)| *a ^= b);
                all
            });
            prop_assert_eq!(total, digest);
        }
        store.check().unwrap();
    }
}
