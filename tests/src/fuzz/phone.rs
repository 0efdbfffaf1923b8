//! A phone and what a server might say to it.

use super::docs::{item, staff};
use onsite_core::Engine;
use onsite_core::domain::*;
use onsite_core::env::{Env as _, SeededEnv};
use onsite_core::store::blobs::MemoryBlobs;
use onsite_core::sync::protocol::{EnrolAnswer, SyncAnswer};
use onsite_core::sync::session::{Effect, Event, Failure, Session, SessionOptions};
use rusqlite::{Connection, OpenFlags, backup::Backup};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use uuid::Uuid;

/// When everything here happens.
pub(super) const T0: Millis = Millis(1_764_000_000_000);
/// The company of every phone here.
pub(super) const TENANT: TenantId = TenantId(Uuid::from_u128(1));
/// Round trips a server may ask for.
pub(super) const ROUNDS: u32 = 60;

/// Names of disks in memory: unique in the process.
static DISKS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Phones as they were enrolled, with their first work: copying a file is quicker than living it.
    static MADE: RefCell<BTreeMap<u8, Connection>> = const { RefCell::new(BTreeMap::new()) };
}

/// Phone `n`: enrolled, with a request, a visit and a note unsent. Always the same one.
pub(super) fn phone(n: u8) -> (Engine, Arc<SeededEnv>) {
    let conn = MADE.with_borrow_mut(|made| {
        let from = made.entry(n).or_insert_with(|| make(n));
        let mut conn = Connection::open_in_memory().expect("memory");
        Backup::new(from, &mut conn).and_then(|b| b.step(-1)).expect("copied");
        conn
    });
    // Other dice than it was made with, or ids would come again.
    let env = Arc::new(SeededEnv::new(1_000 + u64::from(n), T0));
    let engine = Engine::open(conn, Box::new(Arc::clone(&env)), Box::new(MemoryBlobs::new())).expect("opens");
    (engine, env)
}

pub(super) fn device(n: u8) -> DeviceId {
    DeviceId(Uuid::from_bytes([n; 16]))
}

fn make(n: u8) -> Connection {
    let name = format!("file:/fuzz-{}?vfs=memdb", DISKS.fetch_add(1, Ordering::Relaxed));
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_URI;
    let open = || Connection::open_with_flags(&name, flags).expect("memory");
    // The second way in keeps the file alive when the engine is gone.
    let (first, kept) = (open(), open());
    let env = SeededEnv::new(u64::from(n), T0);
    let mut engine = Engine::open(first, Box::new(env), Box::new(MemoryBlobs::new())).expect("opens");
    engine.begin_enrolment().expect("begins");
    let answer = EnrolAnswer {
        tenant: TENANT,
        company: "某某机械".into(),
        device: device(n),
        device_code: format!("A{n}"),
        // The third is another one of the first's technician.
        staff: staff(if n == 3 { 1 } else { n }),
        roles: [Role::Technician].into(),
    };
    engine.finish_enrolment("https://onsite.example", &answer).expect("ends");
    work(&mut engine, RequestId(Uuid::from_u128(0x700 + u128::from(n))));
    kept
}

/// A repair request, a visit for it and a note: unsent.
fn work(engine: &mut Engine, request: RequestId) {
    let report = Command::ReportRepair {
        id: request,
        customer: None,
        customer_name: "东莞绿源包装".into(),
        contact_name: "张三".into(),
        contact_phone: "13800000000".into(),
        address: "一车间".into(),
        equipment: None,
        problem: "热压机漏油".into(),
        reported: None,
    };
    engine.execute(&report).expect("reports");
    let opened = engine.execute(&Command::OpenUnplannedVisit { request }).expect("opens").docs;
    let visit = opened.iter().find(|d| d.kind == Kind::Visit).expect("a visit");
    let note = Command::AddNote { visit: VisitId(visit.id.0), id: item(8), text: "油温偏高".into() };
    engine.execute(&note).expect("notes");
}

/// A sync with these answers, one after another, then silence. The phone must not panic, must
/// come to rest, must say that work is unsent unless the server said a word about it, and must
/// go on serving.
pub(super) fn hear(answers: &[Vec<u8>]) {
    let (mut engine, env) = phone(1);
    let before = engine.status().expect("status").unsent_changes;
    let mut session = Session::new(SessionOptions { rounds: ROUNDS, ..SessionOptions::default() });
    let (mut said, mut wiped, mut rounds) = (false, false, 0);
    let mut answers = answers.iter();
    let mut event = Event::Start;
    loop {
        // An answer that the store cannot take is an error, and nothing of it is taken.
        let Ok(effects) = session.handle(engine.as_mut(), env.now(), event) else { break };
        match effects.as_slice() {
            [Effect::Send(_)] => {
                rounds += 1;
                assert!(rounds <= ROUNDS, "it comes to rest");
                let Some(body) = answers.next() else { break };
                if let Ok(answer) = decode::<SyncAnswer>(body) {
                    said |= !answer.verdicts.is_empty() || !answer.docs.is_empty() || !answer.left.is_empty();
                }
                event = Event::Answer(body.clone());
            }
            [Effect::Upload { blob, .. } | Effect::Download { blob, .. }] => {
                let failure = Failure { code: "not_found".into(), status: 404, retry_after: None };
                event = Event::BlobFailed { blob: *blob, failure, restart: false };
            }
            effects => {
                wiped = effects.contains(&Effect::Wipe);
                break;
            }
        }
    }
    if wiped {
        return;
    }
    let status = engine.status().expect("status");
    assert!(said || status.unsent_changes >= before, "unsent work is unsent");
    for list in [Kind::Visit, Kind::Request, Kind::WorkOrder, Kind::Customer] {
        let page = engine.list(list, None, None).expect("a list");
        for line in page.lines.iter().take(8) {
            let _ = engine.show(line.summary.doc);
        }
    }
    engine.today(engine.day()).expect("today");
    let _ = engine.refused();
    let again = Command::ReportRepair {
        id: RequestId(Uuid::from_u128(0x900)),
        customer: None,
        customer_name: "乙".into(),
        contact_name: String::new(),
        contact_phone: "1".into(),
        address: String::new(),
        equipment: None,
        problem: "又坏了".into(),
        reported: None,
    };
    match engine.execute(&again) {
        Ok(_) => {}
        // The server may say whose phone it is not any more.
        Err(onsite_core::Error::Refused(_)) => {}
        Err(e) => panic!("the phone serves no more: {e}"),
    }
}

/// What phone `n` sends first.
pub(super) fn first_request(n: u8) -> Vec<u8> {
    let (mut engine, env) = phone(n);
    let mut session = Session::new(SessionOptions::default());
    match session.handle(engine.as_mut(), env.now(), Event::Start).expect("starts").as_slice() {
        [Effect::Send(body)] => body.clone(),
        other => panic!("{other:?}"),
    }
}

/// Reads a whole message.
pub(super) fn decode<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, minicbor_serde::error::DecodeError> {
    minicbor_serde::from_slice(body)
}

/// Answers in a target's input: length, bytes, length, bytes …
pub(super) fn split(mut input: &[u8]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    while let Some((len, rest)) = input.split_first_chunk::<4>() {
        let len = (u32::from_be_bytes(*len) as usize).min(rest.len());
        out.push(rest[..len].to_vec());
        input = &rest[len..];
        if out.len() == 8 {
            break;
        }
    }
    out
}

/// The other way.
pub(super) fn join(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.iter().flat_map(|p| [&(p.len() as u32).to_be_bytes(), p.as_slice()].concat()).collect()
}
