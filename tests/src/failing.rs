//! Parts that fail: one operation of the disk after another, and all from one
//! on; the disk full at every size; memory at every allocation. Each time: a
//! clean error of the right code, nothing half written, the process goes on,
//! and the same thing asked again is done once.
#![expect(clippy::unwrap_used, reason = "tests")]

use crate::disk::{Disk, How, Part, Plan, scratch};
use crate::power::rows;
use crate::power::town::{Ended, NOON, Phone, SharedBlobs, Town};
use onsite_core::domain::{
    Command, ComplaintAbout, ComplaintId, DocRef, ItemId, Kind, Millis, SuggestionId, Visit, VisitId, WorkOrderId,
};
use onsite_core::env::Env as _;
use onsite_core::store::{chunks, outbox, views};
use onsite_core::sync::protocol::{Fate, SyncRequest};
use onsite_core::sync::session::{Effect, Event};
use onsite_server::ledger::Session;
use onsite_server::storage::{MemoryStorage, SqliteStorage};
use rusqlite::Connection;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn copy(from: &Path, to: &Path) {
    if to.exists() {
        std::fs::remove_dir_all(to).unwrap();
    }
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Every way for a disk to fail, up to the operation that is never reached.
fn every_fault(mut attempt: impl FnMut(Fault) -> u64) {
    let plans = [
        (Part::Read, How::Error),
        (Part::Write, How::Error),
        (Part::Write, How::Full),
        (Part::Write, How::Short),
        (Part::Sync, How::Error),
        (Part::Truncate, How::Error),
        (Part::Open, How::Error),
        (Part::Delete, How::Error),
        (Part::Map, How::Full),
    ];
    for (part, how) in plans {
        for stays in [false, true] {
            for nth in 1.. {
                let fault = Fault::Planned(Plan { part, nth, how, stays });
                if attempt(fault) == 0 {
                    assert!(
                        nth > 1 || matches!(part, Part::Truncate | Part::Delete | Part::Open),
                        "{part:?} never came"
                    );
                    break;
                }
            }
        }
    }
    for space in (0..).step_by(777) {
        if attempt(Fault::Space(space)) == 0 {
            assert!(space > 2_000, "the disk never filled");
            break;
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Planned(Plan),
    Space(u64),
}

impl Fault {
    fn begin(self, disk: &Disk) {
        match self {
            Fault::Planned(plan) => disk.plan(plan),
            Fault::Space(bytes) => disk.space(bytes),
        }
    }

    /// Whether an error's code says what happened.
    fn explains(self, code: &str) -> bool {
        match self {
            Fault::Planned(Plan { how: How::Full | How::Short, .. }) | Fault::Space(_) => code == "disk_full",
            Fault::Planned(_) => code == "file",
        }
    }
}

const NOTE: ItemId = ItemId(Uuid::from_u128(0x1a51));

fn note(visit: VisitId) -> Command {
    Command::AddNote { visit, id: NOTE, text: "坏了也要记".into() }
}

fn remark(order: WorkOrderId, text: &str) -> Command {
    let doc = DocRef::new(Kind::WorkOrder, order);
    Command::EditText { doc, field: "dispatch/remarks".into(), text: text.into(), seen: Vec::new() }
}

// ---- a phone ----

/// A phone with a day's work in its file, and the server it syncs with.
struct Bench {
    dir: tempfile::TempDir,
    town: Town,
    memory: Arc<MemoryStorage>,
    me: Session,
    order: WorkOrderId,
    now: Millis,
    blobs: SharedBlobs,
}

impl Bench {
    async fn new() -> Self {
        let dir = scratch().unwrap();
        let memory = Arc::new(MemoryStorage::new());
        let town = Town::found(memory.clone(), 1).await.unwrap();
        let (li, wang) = (town.technicians[0], town.technicians[1]);
        let (order, commands) = town.job(&[li, wang]);
        for command in &commands {
            town.office(command).await.unwrap();
        }
        let base = dir.path().join("base");
        std::fs::create_dir_all(&base).unwrap();
        let blobs = SharedBlobs::default();
        let conn = Connection::open(base.join("device.sqlite")).unwrap();
        let mut phone = Phone::open(conn, 1, NOON, blobs.clone()).unwrap();
        let me = phone.enrol(&town, li, || {}).await.unwrap();
        phone.settle(&town, &me).await.unwrap();
        let visit = phone.arrive(order).unwrap();
        for n in 0..20 {
            phone.note(visit, &format!("第 {n} 条")).unwrap();
        }
        phone.settle(&town, &me).await.unwrap();
        phone.note(visit, "还没发").unwrap();
        let now = phone.env.now();
        drop(phone);
        // News for the phone.
        let mut other = Phone::open(Connection::open_in_memory().unwrap(), 2, NOON, blobs.clone()).unwrap();
        let who = other.enrol(&town, wang, || {}).await.unwrap();
        other.settle(&town, &who).await.unwrap();
        other.note(visit, "王也在").unwrap();
        other.settle(&town, &who).await.unwrap();
        for command in &town.job(&[li]).1 {
            town.office(command).await.unwrap();
        }
        Self { dir, town, memory, me, order, now, blobs }
    }

    fn visit(&self) -> VisitId {
        VisitId::of_dispatch(self.order, 1)
    }
}

/// What is in the file, seen by somebody else.
fn seen(path: &Path) -> Vec<String> {
    rows(&Connection::open(path).unwrap()).unwrap()
}

/// Tries the phone's path once under a fault, then again without. Answers how often it struck.
async fn phone_under(bench: &Bench, fault: Fault) -> u64 {
    let live = bench.dir.path().join("live");
    copy(&bench.dir.path().join("base"), &live);
    let path = live.join("device.sqlite");
    let disk = Disk::failing(&live).unwrap();
    let town = bench.town.over(Arc::new(bench.memory.fork()), 9);
    let open = || Phone::open(Connection::open(&path)?, 77, bench.now, bench.blobs.clone());
    let clean = |what: &str, e: &onsite_core::Error| {
        assert!(fault.explains(e.code()), "{what} under {fault:?}: {} ({e})", e.code());
    };
    fault.begin(&disk);
    let first = open();
    let mut struck = 0;
    let mut phone = match first {
        Ok(phone) => phone,
        Err(e) => {
            struck += disk.mend();
            clean("opening", &e);
            open().unwrap()
        }
    };
    if struck == 0
        && let Err(e) = phone.execute(&note(bench.visit()))
    {
        struck += disk.mend();
        clean("a command", &e);
        let noted = seen(&path).iter().any(|row| row.contains("坏了也要记"));
        assert!(!noted, "refused ({e}) and yet there, under {fault:?}");
    }
    if struck == 0 {
        // A sync by hand, so that an error of each of its steps is seen.
        let mut effects = phone.handle(Event::Start).inspect_err(|e| clean("beginning a sync", e));
        while let Ok(now) = &mut effects {
            let Some(Effect::Send(body)) = now.pop() else { break };
            let event = Phone::ask(&town, &bench.me, &body).await.unwrap();
            effects = phone.handle(event).inspect_err(|e| clean("taking an answer", e));
        }
        struck += disk.mend();
    }
    // Whatever happened: the same phone goes on, and nothing is doubled.
    phone.execute(&note(bench.visit())).unwrap();
    phone.settle(&town, &bench.me).await.unwrap();
    let conn = Connection::open(&path).unwrap();
    let whole: String = conn.query_row("PRAGMA integrity_check(1)", [], |r| r.get(0)).unwrap();
    assert_eq!(whole, "ok", "under {fault:?}");
    assert_eq!(outbox::account(&conn).unwrap().changes, 0);
    town.log_is_whole().await.unwrap();
    for held in chunks::held_in(&conn, &[]).unwrap() {
        let theirs = town.ledger.storage().views(town.tenant, &[held.doc.id]).await.unwrap().pop().unwrap();
        let (says, shown) = (
            chunks::load(&conn, held.doc.id).unwrap().unwrap().entity().unwrap(),
            views::entity(&conn, held.doc.id).unwrap().unwrap(),
        );
        assert_eq!(says, shown, "under {fault:?}");
        assert_eq!(theirs.entity().unwrap(), shown, "under {fault:?}");
    }
    let visit: Visit = crate::power::server::read(&town, bench.visit()).await.unwrap().unwrap();
    let count = |text: &str| visit.notes.values().filter(|n| n.text == text).count();
    assert_eq!((count("坏了也要记"), count("还没发"), count("王也在")), (1, 1, 1), "under {fault:?}");
    struck
}

#[test]
fn a_phone_whose_disk_fails_at_any_point_loses_nothing() {
    let runtime = runtime();
    let bench = runtime.block_on(Bench::new());
    every_fault(|fault| runtime.block_on(phone_under(&bench, fault)));
}

// ---- the server ----

/// A server with a company in its file, and a message about to come.
struct Desk {
    dir: tempfile::TempDir,
    town: Town,
    me: Session,
    order: WorkOrderId,
    body: Vec<u8>,
    sent: BTreeSet<[u8; 32]>,
}

impl Desk {
    async fn new() -> Self {
        let dir = scratch().unwrap();
        let base = dir.path().join("base");
        std::fs::create_dir_all(&base).unwrap();
        let storage = Arc::new(SqliteStorage::open(&base.join("onsite.sqlite")).unwrap());
        let town = Town::found(storage, 1).await.unwrap();
        let li = town.technicians[0];
        let (order, commands) = town.job(&[li]);
        for command in &commands {
            town.office(command).await.unwrap();
        }
        let mut phone = Phone::open(Connection::open_in_memory().unwrap(), 1, NOON, SharedBlobs::default()).unwrap();
        let me = phone.enrol(&town, li, || {}).await.unwrap();
        phone.settle(&town, &me).await.unwrap();
        let visit = phone.arrive(order).unwrap();
        phone.settle(&town, &me).await.unwrap();
        for n in 0..5 {
            phone.note(visit, &format!("第 {n} 条 {}", "很长".repeat(300))).unwrap();
        }
        let Some(Effect::Send(body)) = phone.handle(Event::Start).unwrap().pop() else { panic!("nothing to send") };
        let request: SyncRequest = minicbor_serde::from_slice(&body).unwrap();
        let changes = request.push.iter().flat_map(|p| &p.changes);
        let sent: BTreeSet<_> =
            changes.map(|c| onsite_core::document::Change::parse(c.to_vec()).unwrap().header.hash.0).collect();
        assert_eq!(sent.len(), 5);
        // Let go of the files: what is copied is whole.
        let town = town.over(Arc::new(MemoryStorage::new()), 2);
        Self { dir, town, me, order, body, sent }
    }
}

fn logged(path: &Path) -> BTreeSet<[u8; 32]> {
    let conn = Connection::open(path).unwrap();
    let mut statement = conn.prepare("SELECT hash FROM change WHERE hash IS NOT NULL").unwrap();
    statement.query_map([], |r| r.get(0)).unwrap().map(Result::unwrap).collect()
}

/// Tries the server's path once under a fault, then again without. Answers how often it struck.
async fn server_under(desk: &Desk, fault: Fault) -> u64 {
    let live = desk.dir.path().join("live");
    copy(&desk.dir.path().join("base"), &live);
    let path = live.join("onsite.sqlite");
    let disk = Disk::failing(&live).unwrap();
    let clean = |what: &str, e: &onsite_server::Error| {
        assert!(fault.explains(e.code()), "{what} under {fault:?}: {} ({e})", e.code());
        assert!(e.status() >= 500, "{what}: a phone must try again: {}", e.status());
    };
    fault.begin(&disk);
    let mut struck = 0;
    let storage = match SqliteStorage::open(&path) {
        Ok(storage) => storage,
        Err(e) => {
            struck += disk.mend();
            clean("opening", &e);
            SqliteStorage::open(&path).unwrap()
        }
    };
    let town = desk.town.over(Arc::new(storage), 5);
    let request: SyncRequest = minicbor_serde::from_slice(&desk.body).unwrap();
    let tell = remark(desk.order, "带上梯子");
    if struck == 0
        && let Err(e) = town.ledger.sync(&desk.me, request.clone()).await
    {
        struck += disk.mend();
        clean("a push", &e);
        let log = logged(&path);
        let here = desk.sent.iter().filter(|h| log.contains(*h)).count();
        assert!(here == 0 || here == desk.sent.len(), "{here} of a push, under {fault:?}");
    }
    if struck == 0 {
        if let Err(e) = town.ledger.execute(town.tenant, &town.boss, &tell, Some("one")).await {
            clean("an office command", &e);
        }
        struck += disk.mend();
    }
    let answer = town.ledger.sync(&desk.me, request).await.unwrap();
    assert_eq!(answer.verdicts.len(), desk.sent.len());
    assert!(answer.verdicts.iter().all(|v| v.fate == Fate::Accepted), "under {fault:?}: {:?}", answer.verdicts);
    let first = town.ledger.execute(town.tenant, &town.boss, &tell, Some("one")).await.unwrap();
    let log = town.ledger.storage().history(town.tenant, desk.order.into()).await.unwrap().len();
    assert_eq!(town.ledger.execute(town.tenant, &town.boss, &tell, Some("one")).await.unwrap().docs, first.docs);
    assert_eq!(town.ledger.storage().history(town.tenant, desk.order.into()).await.unwrap().len(), log);
    town.log_is_whole().await.unwrap();
    crate::power::server::rows_equal_documents(&town).await.unwrap();
    let conn = Connection::open(&path).unwrap();
    let whole: String = conn.query_row("PRAGMA integrity_check(1)", [], |r| r.get(0)).unwrap();
    assert_eq!(whole, "ok", "under {fault:?}");
    struck
}

#[test]
fn a_server_whose_disk_fails_at_any_point_loses_nothing() {
    let runtime = runtime();
    let desk = runtime.block_on(Desk::new());
    every_fault(|fault| runtime.block_on(server_under(&desk, fault)));
}

// ---- memory ----

/// Runs a test of this program in a process of its own.
fn alone(test: &str) {
    let me: PathBuf = std::env::current_exe().unwrap();
    let done = std::process::Command::new(me)
        .args([test, "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .env("RUST_BACKTRACE", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && said.contains("1 passed"), "{test}: {}\n{said}", done.status);
}

#[test]
fn a_phone_short_of_memory_at_any_allocation_loses_nothing() {
    alone("failing::phone_memory");
}

#[test]
fn a_server_short_of_memory_at_any_allocation_loses_nothing() {
    alone("failing::server_memory");
}

/// A new small document each time, so that the hundredth try is no slower than the first.
fn suggest(n: u128) -> Command {
    let id = SuggestionId(Uuid::from_u128(0x5_0000 + n));
    Command::Suggest { id, title: format!("内存 {n}"), text: "加内存".into(), work_order: None }
}

async fn suggestions(town: &Town) -> u128 {
    let counts = town.ledger.storage().counts(town.tenant, Kind::Suggestion).await.unwrap();
    counts.into_iter().map(|(_, n)| u128::from(n)).sum()
}

fn complain(town: &Town, n: u64) -> Command {
    Command::FileComplaint {
        id: ComplaintId(town.env.new_id()),
        customer: town.customer,
        work_order: None,
        staff: [town.technicians[0]].into(),
        about: ComplaintAbout::Communication,
        description: format!("投诉 {n}"),
        received: None,
    }
}

/// Every allocation to fail, and then with all after it, as long as `attempt` says that one failed.
/// The first so many one by one; then by steps that visit every place in the long run of a loop.
async fn every_allocation(one_by_one: u64, mut attempt: impl AsyncFnMut(u64, bool) -> bool) {
    for stays in [false, true] {
        let mut n = 1;
        while attempt(n, stays).await {
            n += if n < one_by_one { 1 } else { 1 + n / 30 };
        }
        assert!(n > 50, "{n} allocations");
    }
}

#[test]
#[ignore = "takes SQLite's memory over: run by its parent, alone"]
fn phone_memory() {
    crate::vfs::take_memory_over();
    let runtime = runtime();
    runtime.block_on(async {
        let bench = Bench::new().await;
        let live = bench.dir.path().join("live");
        copy(&bench.dir.path().join("base"), &live);
        let path = live.join("device.sqlite");
        let mut phone = Phone::open(Connection::open(&path).unwrap(), 77, bench.now, bench.blobs.clone()).unwrap();
        let town = bench.town.over(Arc::new(bench.memory.fork()), 9);
        let mut done = 0;
        every_allocation(600, async |n, stays| {
            done += 1;
            let add = suggest(done);
            crate::vfs::fail_allocation(n, stays);
            let first = phone.execute(&add);
            let struck = crate::vfs::mend_allocations();
            if let Err(e) = &first {
                assert_eq!(e.code(), "out_of_memory", "allocation {n}: {e}");
                phone.execute(&add).unwrap_or_else(|e| panic!("after allocation {n}: {e}"));
            }
            struck
        })
        .await;
        phone.settle(&town, &bench.me).await.unwrap();
        assert_eq!(suggestions(&town).await, done, "each once");
        // Now while an answer is taken.
        every_allocation(300, async |n, stays| {
            town.office(&complain(&town, n)).await.unwrap();
            let Some(Effect::Send(body)) = phone.handle(Event::Start).unwrap().pop() else { panic!("nothing to send") };
            let event = Phone::ask(&town, &bench.me, &body).await.unwrap();
            crate::vfs::fail_allocation(n, stays);
            let taken = phone.handle(event);
            let struck = crate::vfs::mend_allocations();
            if let Err(e) = taken {
                assert_eq!(e.code(), "out_of_memory", "allocation {n}: {e}");
            }
            assert!(matches!(phone.sync(&town, &bench.me, &mut |_| true).await.unwrap(), Ended::Done(_)));
            struck
        })
        .await;
        let conn = Connection::open(&path).unwrap();
        let whole: String = conn.query_row("PRAGMA integrity_check(1)", [], |r| r.get(0)).unwrap();
        assert_eq!(whole, "ok");
        for held in chunks::held_in(&conn, &[]).unwrap() {
            let says = chunks::load(&conn, held.doc.id).unwrap().unwrap().entity().unwrap();
            assert_eq!(says, views::entity(&conn, held.doc.id).unwrap().unwrap());
        }
    });
}

#[test]
#[ignore = "takes SQLite's memory over: run by its parent, alone"]
fn server_memory() {
    crate::vfs::take_memory_over();
    let runtime = runtime();
    runtime.block_on(async {
        let dir = scratch().unwrap();
        let path = dir.path().join("onsite.sqlite");
        let town = Town::found(Arc::new(SqliteStorage::open(&path).unwrap()), 1).await.unwrap();
        let li = town.technicians[0];
        let (order, commands) = town.job(&[li]);
        for command in &commands {
            town.office(command).await.unwrap();
        }
        let mut phone = Phone::open(Connection::open_in_memory().unwrap(), 1, NOON, SharedBlobs::default()).unwrap();
        let me = phone.enrol(&town, li, || {}).await.unwrap();
        phone.settle(&town, &me).await.unwrap();
        phone.arrive(order).unwrap();
        phone.settle(&town, &me).await.unwrap();
        let mut done = 0;
        every_allocation(300, async |n, stays| {
            done += 1;
            phone.execute(&suggest(done)).unwrap();
            let Some(Effect::Send(body)) = phone.handle(Event::Start).unwrap().pop() else { panic!("nothing to send") };
            let request: SyncRequest = minicbor_serde::from_slice(&body).unwrap();
            crate::vfs::fail_allocation(n, stays);
            let first = town.ledger.sync(&me, request).await;
            let struck = crate::vfs::mend_allocations();
            if let Err(e) = first {
                assert_eq!((e.code(), e.status()), ("out_of_memory", 503), "allocation {n}: {e}");
            }
            phone.settle(&town, &me).await.unwrap_or_else(|e| panic!("after allocation {n}: {e:#}"));
            struck
        })
        .await;
        assert_eq!(suggestions(&town).await, done, "each once");
        town.log_is_whole().await.unwrap();
        crate::power::server::rows_equal_documents(&town).await.unwrap();
        let conn = Connection::open(&path).unwrap();
        let whole: String = conn.query_row("PRAGMA integrity_check(1)", [], |r| r.get(0)).unwrap();
        assert_eq!(whole, "ok");
    });
}

// ---- clocks ----

const HOUR: i64 = 3_600_000;

#[test]
fn a_phones_clock_set_back_makes_its_times_doubtful_until_the_next_contact() {
    runtime().block_on(async {
        let town = Town::found(Arc::new(MemoryStorage::new()), 1).await.unwrap();
        let (order, commands) = town.job(&town.technicians);
        for command in &commands {
            town.office(command).await.unwrap();
        }
        let mut phone = Phone::open(Connection::open_in_memory().unwrap(), 1, NOON, SharedBlobs::default()).unwrap();
        let me = phone.enrol(&town, town.technicians[0], || {}).await.unwrap();
        phone.settle(&town, &me).await.unwrap();
        let visit = phone.arrive(order).unwrap();
        assert!(phone.engine.status().unwrap().clock_offset.is_some());
        let noted = |phone: &Phone, text: &str| {
            let shown = phone.engine.show(DocRef::new(Kind::Visit, visit)).unwrap();
            let onsite_core::domain::Entity::Visit(visit) = shown.entity else { panic!("a visit") };
            visit.notes.values().find(|n| n.text == text).unwrap().mark.at
        };
        phone.note(visit, "拨表前").unwrap();
        assert!(noted(&phone, "拨表前").offset.is_some());
        phone.env.advance(-HOUR);
        assert_eq!(phone.engine.now().offset, None, "the clock is not the one that was compared");
        for text in ["拨表后", "又一条"] {
            phone.note(visit, text).unwrap();
            assert_eq!((noted(&phone, text).offset, noted(&phone, text).doubt), (None, None), "{text}");
        }
        assert_eq!(phone.engine.status().unwrap().clock_offset, None);
        phone.settle(&town, &me).await.unwrap();
        phone.note(visit, "对表后").unwrap();
        let at = noted(&phone, "对表后");
        let off = at.best().since(town.env.now()).abs();
        assert!(off < 60_000, "measured anew: {off} ms off, {at:?}");

        // A wait that was begun does not last an hour longer.
        phone.handle(Event::Start).unwrap();
        let failure = onsite_core::sync::session::Failure { code: "offline".into(), status: 0, retry_after: None };
        let [Effect::Wait { .. }] = phone.handle(Event::Failed(failure)).unwrap()[..] else { panic!("no wait") };
        phone.env.advance(-HOUR);
        let next = phone.handle(Event::Tick).unwrap();
        assert!(matches!(next[..], [Effect::Send(_)]), "{next:?}");
    });
}

#[test]
fn a_servers_clock_set_back_ends_what_was_good_for_a_time_and_keeps_what_counts() {
    runtime().block_on(async {
        let memory = Arc::new(MemoryStorage::new());
        let town = Town::found(memory.clone(), 1).await.unwrap();
        let li = town.technicians[0];
        let mut phone = Phone::open(Connection::open_in_memory().unwrap(), 1, NOON, SharedBlobs::default()).unwrap();
        let key = phone.engine.begin_enrolment().unwrap();
        let code = onsite_server::auth::device_code(&town.ledger, town.tenant, li, li, "http://x", 600).await.unwrap();
        let request = |code: &str| onsite_core::sync::protocol::EnrolRequest {
            code: code.into(),
            public_key: key.to_vec(),
            alg: "ed25519".into(),
            name: "手机".into(),
            app: "test".into(),
        };
        let answer = onsite_server::auth::enrol(&town.ledger, &request(&code.code)).await.unwrap();
        phone.engine.finish_enrolment("http://x", &answer).unwrap();
        let token = async |phone: &Phone| {
            let nonce = onsite_server::auth::challenge(&town.ledger, answer.device).await.unwrap();
            let signed = phone.engine.sign_challenge(&nonce).unwrap();
            onsite_server::auth::token(&town.ledger, &signed, 900).await.unwrap().token
        };
        let old = token(&phone).await;
        let me = onsite_server::auth::session(&town.ledger, &old).await.unwrap();
        phone.settle(&town, &me).await.unwrap();
        let (first, commands) = town.job(&[li]);
        for command in &commands {
            town.office(command).await.unwrap();
        }
        let late = onsite_server::auth::device_code(&town.ledger, town.tenant, li, li, "http://x", 600).await.unwrap();
        let limits = onsite_server::config::Auth::default();
        onsite_server::auth::set_password(&town.ledger, town.tenant, town.boss.staff, "boss", "a long passphrase")
            .await
            .unwrap();
        let cookie =
            onsite_server::auth::sign_in(&town.ledger, "boss", "a long passphrase", "", &limits).await.unwrap();
        onsite_server::auth::office(&town.ledger, &cookie, &limits).await.unwrap();

        town.env.advance(-HOUR);
        // What is good for a time would be good for an hour more: it ends, and is asked for again.
        let ended = onsite_server::auth::session(&town.ledger, &old).await.unwrap_err();
        assert_eq!(ended.code(), "unauthorized");
        let ended = onsite_server::auth::office(&town.ledger, &cookie, &limits).await.unwrap_err();
        assert_eq!(ended.code(), "unauthorized");
        assert_eq!(
            onsite_server::auth::enrol(&town.ledger, &request(&late.code)).await.unwrap_err().code(),
            "wrong_code"
        );
        let me = onsite_server::auth::session(&town.ledger, &token(&phone).await).await.unwrap();
        let cookie =
            onsite_server::auth::sign_in(&town.ledger, "boss", "a long passphrase", "", &limits).await.unwrap();
        onsite_server::auth::office(&town.ledger, &cookie, &limits).await.unwrap();
        // What is counted goes on: cursor, log, numbers, epochs.
        phone.settle(&town, &me).await.unwrap();
        let (second, commands) = town.job(&[li]);
        for command in &commands {
            town.office(command).await.unwrap();
        }
        phone.settle(&town, &me).await.unwrap();
        town.log_is_whole().await.unwrap();
        let mut numbers = Vec::new();
        for order in [first, second] {
            let order: onsite_core::domain::WorkOrder =
                crate::power::server::read(&town, order).await.unwrap().unwrap();
            numbers.push(order.number.unwrap());
        }
        assert!(numbers[0] < numbers[1], "{numbers:?}");
        let before = town.ledger.storage().tenant(town.tenant).await.unwrap().unwrap().epoch;
        assert!(town.ledger.new_epoch(town.tenant).await.unwrap() > before);

        // Neither a rate nor a lock lasts longer for it.
        let rate = onsite_server::auth::Rate::<u8>::default();
        let now = town.env.now();
        (0..60).for_each(|_| rate.take(1, 60, now).unwrap());
        assert!(rate.take(1, 60, now.plus(-HOUR)).is_err());
        rate.take(1, 60, now.plus(-HOUR + 1_000)).unwrap();
        let (lockout, limits) = (onsite_server::auth::Lockout::default(), onsite_server::config::Limits::default());
        (0..limits.login_failures).for_each(|_| lockout.note("boss", false, &limits, now));
        assert!(lockout.check("boss", &limits, now.plus(-HOUR)).is_err());
        let over = i64::try_from(limits.lockout_seconds).unwrap() * 1_000;
        lockout.check("boss", &limits, now.plus(-HOUR + over)).unwrap();
    });
}

// ---- too many readers ----

#[test]
fn readers_that_hang_make_others_wait_or_come_again_and_never_lock() {
    // More threads than there are readers: a few rows are read on them.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(8).enable_all().build().unwrap();
    runtime.block_on(async {
        let dir = scratch().unwrap();
        let disk = Disk::failing(&dir.path().join("data")).unwrap();
        let mut config = onsite_server::Config {
            data: dir.path().join("data"),
            listen: "127.0.0.1:0".parse().unwrap(),
            ..onsite_server::Config::default()
        };
        config.limits.request_seconds = 1;
        let running = onsite_server::serve(config).await.unwrap();
        let url = format!("http://{}/readyz", running.addr);
        // Every page must come from the disk, and none does.
        disk.hold();
        let many: Vec<_> = (0..40).map(|_| tokio::spawn(reqwest::get(url.clone()))).collect();
        for one in many {
            let answer = one.await.unwrap().unwrap();
            assert_eq!(answer.status(), 503);
            assert!(answer.headers().contains_key("retry-after"), "{:?}", answer.headers());
        }
        disk.release();
        // Nothing of it is left behind: as many again are answered.
        let many: Vec<_> = (0..40).map(|_| tokio::spawn(reqwest::get(url.clone()))).collect();
        for one in many {
            assert_eq!(one.await.unwrap().unwrap().status(), 200);
        }
        running.shutdown().await.unwrap();
    });
}
