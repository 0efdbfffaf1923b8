//! A server that hears a hostile phone.

use super::docs::{item, staff};
use super::phone::{ROUNDS, T0, TENANT, decode, device, phone};
use onsite_core::Engine;
use onsite_core::domain::*;
use onsite_core::env::{Env as _, SeededEnv};
use onsite_core::sync::protocol::{Fate, MAX_BLOBS, Push, SyncAnswer};
use onsite_core::sync::session::{Effect, Event, Session, SessionOptions, SyncReport};
use onsite_server::error::Error;
use onsite_server::fuzzing::request;
use onsite_server::ledger::{self, Ledger};
use onsite_server::storage::{Device, MemoryStorage, Storage as _, Tenant};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

/// The office's.
const BOSS: u8 = 9;
pub(super) const CUSTOMER: CustomerId = CustomerId(uuid::Uuid::from_u128(0x400));
pub(super) const ORDER: WorkOrderId = WorkOrderId(uuid::Uuid::from_u128(0x500));

/// Runs to its end what waits for nobody: everything is in memory.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(out) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return out;
        }
    }
}

fn ledger(storage: Arc<MemoryStorage>) -> Ledger {
    Ledger::new(storage, Arc::new(SeededEnv::new(77, T0)))
}

/// Of a device; phone 3 is the second one of phone 1's technician.
fn who(n: u8) -> ledger::Session {
    let owner = if n == 3 { 1 } else { n };
    ledger::Session { tenant: TENANT, device: device(n), staff: staff(owner), roles: [Role::Technician].into() }
}

/// A company with two technicians, three phones and a job for both, and its first order on the way.
fn company() -> &'static MemoryStorage {
    static MADE: OnceLock<MemoryStorage> = OnceLock::new();
    MADE.get_or_init(|| {
        let storage = Arc::new(MemoryStorage::new());
        let tenant =
            Tenant { id: TENANT, name: "某某机械".into(), epoch: 1, head: 0, secret: [7; 32], created: T0 };
        wait(storage.create_tenant(tenant)).expect("a company");
        for n in 1..=3 {
            let row = Device {
                id: device(n),
                staff: who(n).staff,
                code: format!("A{n}"),
                name: "phone".into(),
                public_key: vec![1],
                alg: "ed25519".into(),
                app: "fuzz".into(),
                enrolled: T0,
                revoked: None,
            };
            wait(storage.put_device(TENANT, row)).expect("a device");
        }
        let person = |n: u8, roles| Command::PutStaff {
            id: staff(n),
            name: "李工".into(),
            code: format!("T{n}"),
            phone: String::new(),
            roles,
        };
        let founding = [
            Command::ChangeSettings(SettingsPatch { company: Some("某某机械".into()), ..SettingsPatch::default() }),
            person(BOSS, Role::ALL.iter().copied().collect()),
            person(1, [Role::Technician].into()),
            person(2, [Role::Technician].into()),
            Command::PutCustomer {
                id: CUSTOMER,
                name: "某某纸厂".into(),
                code: "C1".into(),
                project_completed: None,
                call_interval_days: None,
            },
            Command::OpenWorkOrder {
                id: ORDER,
                customer: CUSTOMER,
                equipment: None,
                work_type: WorkType::Repair,
                request: None,
                follow_on_of: None,
                service_description: "检查液压站".into(),
                arrival_deadline: None,
            },
            Command::Assign { id: ORDER, technicians: vec![staff(1), staff(2)], reason: "就近".into() },
            Command::IssueDispatch { id: ORDER },
        ];
        let boss = Author { staff: staff(BOSS), roles: Role::ALL.iter().copied().collect(), device_code: None };
        wait(ledger(Arc::clone(&storage)).execute_all(TENANT, &boss, &founding)).expect("founded");
        storage.fork()
    })
}

/// Requests of phone 1, one after another, whoever wrote them. The server must not panic, must
/// say nothing that is no message, must break nothing of its own, and must go on serving: an
/// honest phone of another technician gets rid of all its work, this phone comes to rest, and a
/// second one of the same technician takes everything that was admitted and reads it the same.
pub(super) fn hear(bodies: &[Vec<u8>]) {
    let ledger = ledger(Arc::new(company().fork()));
    let mut changed = false;
    for body in bodies {
        // As the route refuses them.
        let Some(request) = request(body).filter(|r| r.blobs.len() <= MAX_BLOBS) else { continue };
        let pushed: usize = request.push.iter().map(|p| p.changes.len()).sum();
        match wait(ledger.sync(&who(1), request)) {
            Ok(answer) => {
                let bytes = minicbor_serde::to_vec(&answer).expect("an answer is written");
                assert_eq!(decode::<SyncAnswer>(&bytes).expect("and read"), answer);
                assert!(answer.verdicts.len() <= pushed, "one verdict a change");
                changed |= answer.verdicts.iter().any(|v| matches!(v.fate, Fate::Accepted | Fate::SetAside { .. }));
            }
            Err(e) => {
                let own = matches!(
                    e,
                    Error::Internal(_) | Error::Database(_) | Error::Damaged(_) | Error::Core(_) | Error::Moved
                );
                assert!(!own, "a request's fault is not the server's: {e}");
            }
        }
    }
    if !changed {
        return;
    }
    let (other, report) = visit(&ledger, 2);
    assert!(report.skipped.is_empty(), "what a server sends can be taken: {:?}", report.skipped);
    let status = other.status().expect("status");
    assert_eq!((status.unsent_changes, status.refused), (0, 0), "the honest one's work arrives");
    other.show(DocRef { kind: Kind::WorkOrder, id: ORDER.into() }).expect("and its job came");

    let (mut first, report) = visit(&ledger, 1);
    assert!(report.skipped.is_empty(), "what a server sends can be taken: {:?}", report.skipped);
    assert_eq!(first.status().expect("status").unsent_changes, 0, "every edit has its verdict");
    let (second, report) = visit(&ledger, 3);
    assert!(report.skipped.is_empty(), "what a server sends can be taken: {:?}", report.skipped);
    // The second one's work is there now too.
    let report = sync(&mut first, 1, &ledger);
    assert!(report.skipped.is_empty(), "what a server sends can be taken: {:?}", report.skipped);
    for kind in Kind::ALL.iter().copied() {
        for line in second.list(kind, None, None).expect("a list").lines {
            let doc = line.summary.doc;
            let (here, there) = (first.show(doc).expect("it came"), second.show(doc).expect("it is there"));
            assert_eq!((here.heads, here.entity), (there.heads, there.entity), "both phones read the same");
        }
    }
}

/// What phone 1 pushes when its technician was at the job that the office gave them.
pub(super) fn job_visit() -> Push {
    let ledger = ledger(Arc::new(company().fork()));
    let (mut engine, _) = visit(&ledger, 1);
    let opened = engine.execute(&Command::OpenVisit { work_order: ORDER }).expect("opens").docs;
    let visit = opened.iter().find(|d| d.kind == Kind::Visit).expect("a visit");
    let note = Command::AddNote { visit: VisitId(visit.id.0), id: item(5), text: "到场".into() };
    engine.execute(&note).expect("notes");
    let mut session = Session::new(SessionOptions::default());
    match session.handle(engine.as_mut(), T0, Event::Start).expect("starts").as_slice() {
        [Effect::Send(body)] => request(body).expect("its own message").push.swap_remove(0),
        other => panic!("{other:?}"),
    }
}

/// Phone `n` syncs.
fn visit(ledger: &Ledger, n: u8) -> (Engine, SyncReport) {
    let (mut engine, _) = phone(n);
    let report = sync(&mut engine, n, ledger);
    (engine, report)
}

fn sync(engine: &mut Engine, n: u8, ledger: &Ledger) -> SyncReport {
    let env = SeededEnv::new(2_000 + u64::from(n), T0);
    let mut session = Session::new(SessionOptions { rounds: ROUNDS, ..SessionOptions::default() });
    let mut event = Event::Start;
    loop {
        let effects = session.handle(engine.as_mut(), env.now(), event).expect("an honest answer is taken");
        event = match effects.as_slice() {
            [Effect::Send(body)] => {
                let request = request(body).expect("an honest request");
                let answer = wait(ledger.sync(&who(n), request)).expect("an honest request is served");
                Event::Answer(minicbor_serde::to_vec(&answer).expect("written"))
            }
            [Effect::Done(report)] => return report.clone(),
            other => panic!("an honest sync ends: {other:?}"),
        };
    }
}
