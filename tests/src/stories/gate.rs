//! The gate's worker processes: killed, stopped, and given what no worker survives.

use super::*;
use crate::world::{Server, onsite};
use automerge::transaction::{CommitOptions, Transactable as _};
use automerge::{ActorId, AutoCommit, ROOT, ReadDoc as _, Value};
use onsite_core::document::{Actor, Doc, screen::screen};
use onsite_core::domain::summary::Summary;
use onsite_core::domain::{ChangeHash, DeviceId, DocId, DocRef, Entity, Millis, Request, Role, TenantId, Write};
use onsite_core::env::{Env as _, SeededEnv};
use onsite_core::sync::protocol::{Fate, Push, SyncRequest, VERSION};
use onsite_server::config;
use onsite_server::gate::Gate;
use onsite_server::ledger::{Ledger, Session};
use onsite_server::storage::{Batch, Device, DocWrite, MemoryStorage, NewChange, View};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The worker processes of a server.
fn workers(server: &Server) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)).unwrap_or_default();
        let command = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        if parent == server.pid().to_string() && command.contains("gate-worker") {
            found.push(pid);
        }
    }
    found
}

fn signal(pid: u32, name: &str) {
    std::process::Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_are_killed_cost_nobody_an_edit() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path().join("server")).await.unwrap();
    let (company, phone, visit) = ready(&server, dir.path()).await;
    assert!(!workers(&server).is_empty(), "foreign changes are tried in processes of their own");
    let mut written = Vec::new();
    for round in 0..20 {
        let text = format!("第 {round} 条");
        note(&phone, visit, &text);
        written.push(text);
        // Killed while idle, and (every other time) while it works.
        let kill = async {
            for pid in workers(&server) {
                signal(pid, "KILL");
            }
        };
        if round % 2 == 0 {
            kill.await;
            sync_through(&phone).await;
        } else {
            tokio::join!(kill, sync_through(&phone));
        }
    }
    sync_through(&phone).await;
    written.sort();
    assert_eq!(notes_at(&company.office, visit).await, written);
    let aside = company.server.database().unwrap();
    let aside: i64 = aside.query_row("SELECT count(*) FROM aside", [], |r| r.get(0)).unwrap();
    assert_eq!(aside, 0, "nobody is convicted for a worker that somebody killed");
    log_is_sound(&company);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stands_still_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path().join("server")).await.unwrap();
    server.stop().unwrap();
    server.set("ONSITE_GATE__WORKERS", "1");
    server.set("ONSITE_GATE__CPU_SECONDS", "1");
    server.up().await.unwrap();
    let (company, phone, visit) = ready(&server, dir.path()).await;
    for pid in workers(&server) {
        signal(pid, "STOP");
    }
    note(&phone, visit, "停住以后");
    sync_through(&phone).await;
    assert!(phone.engine().status().unwrap().safe_to_hand_in);
    assert_eq!(notes_at(&company.office, visit).await, ["停住以后"]);
}

struct Desk {
    ledger: Ledger,
    tenant: TenantId,
    env: Arc<SeededEnv>,
}

/// A gate in processes with these limits.
fn workers_with(memory_bytes: u64, cpu_seconds: u64) -> Gate {
    Gate::workers_of(onsite(), &config::Gate { workers: 2, memory_bytes, cpu_seconds })
}

impl Desk {
    /// A company over memory, its gate in processes with these limits.
    async fn new(memory_bytes: u64, cpu_seconds: u64) -> Self {
        let env = Arc::new(SeededEnv::new(7, Millis(1_763_956_800_000)));
        let ledger = Ledger::new(Arc::new(MemoryStorage::new()), env.clone());
        let ledger = ledger.with_gate(workers_with(memory_bytes, cpu_seconds));
        let tenant = ledger.create_tenant("公司").await.unwrap().id;
        Self { ledger, tenant, env }
    }

    async fn session(&self) -> Session {
        let (device, staff) = (DeviceId(self.env.new_id()), StaffId(self.env.new_id()));
        let record = Device {
            id: device,
            staff,
            code: "D1".into(),
            name: "phone".into(),
            public_key: vec![1],
            alg: "ed25519".into(),
            app: "test".into(),
            enrolled: self.env.now(),
            revoked: None,
        };
        self.ledger.storage().put_device(self.tenant, record).await.unwrap();
        Session { tenant: self.tenant, device, staff, roles: BTreeSet::from([Role::Technician]) }
    }

    /// A small report, as its author pushes it.
    fn report(&self, session: &Session) -> Push {
        let mut doc = Doc::new(Kind::Request);
        let id = DocId(self.env.new_id());
        let actor = Actor { device: session.device, incarnation: [1; 8] };
        let content = Request { author: Some(session.staff), contact_name: "张三".into(), ..Request::default() };
        let change = doc
            .write(actor, session.staff, self.env.now(), &[Write::Put(id, Entity::Request(content))])
            .unwrap()
            .unwrap();
        Push { doc: id, kind: Kind::Request, changes: vec![change.bytes.into()], sealed: None }
    }

    /// A report whose changes are each within all caps and together far too many operations.
    fn flood(&self, session: &Session, changes: usize) -> Push {
        let actor = Actor { device: session.device, incarnation: [1; 8] };
        let mut doc = AutoCommit::load(&Doc::new(Kind::Request).save()).unwrap();
        doc.set_actor(ActorId::from(actor.to_bytes()));
        let Some((Value::Object(_), text)) = doc.get(ROOT, "problem").unwrap() else { unreachable!() };
        let mut out = Vec::new();
        doc.put(ROOT, "author", session.staff.to_string()).unwrap();
        for _ in 0..changes {
            doc.splice_text(&text, 0, 0, &"油".repeat(19_000)).unwrap();
            doc.splice_text(&text, 0, 900, "").unwrap();
            let options =
                CommitOptions::default().with_message(session.staff.0.simple().to_string()).with_time(self.env.now().0);
            doc.commit_with(options);
            out.push(doc.get_last_local_change().unwrap().bytes().into_owned().into());
        }
        Push { doc: DocId(self.env.new_id()), kind: Kind::Request, changes: out, sealed: None }
    }

    /// A report with very many fields that nobody here knows, then small edits of it: within every cap, but
    /// reading it after each of them takes too long.
    fn slow(&self, session: &Session, fat: usize) -> Push {
        let actor = Actor { device: session.device, incarnation: [1; 8] };
        let mut doc = AutoCommit::load(&Doc::new(Kind::Request).save()).unwrap();
        doc.set_actor(ActorId::from(actor.to_bytes()));
        doc.put(ROOT, "author", session.staff.to_string()).unwrap();
        let mut out = Vec::new();
        for change in 0..64 {
            let fields = if change < fat { 19_000 } else { 1 };
            for field in 0..fields {
                doc.put(ROOT, format!("future/{change}/{field}"), 1).unwrap();
            }
            let options =
                CommitOptions::default().with_message(session.staff.0.simple().to_string()).with_time(self.env.now().0);
            doc.commit_with(options);
            out.push(doc.get_last_local_change().unwrap().bytes().into_owned().into());
        }
        Push { doc: DocId(self.env.new_id()), kind: Kind::Request, changes: out, sealed: None }
    }

    /// Puts changes into the log past the gate.
    async fn log(&self, session: &Session, doc: DocRef, changes: Vec<serde_bytes::ByteBuf>) {
        let storage = self.ledger.storage();
        let like = self.report(session);
        let of = like.doc;
        assert_eq!(self.push(session, vec![like]).await, [(of, Fate::Accepted)]);
        let view = storage.views(self.tenant, &[of]).await.unwrap().remove(0);
        let new = |bytes: serde_bytes::ByteBuf| {
            let header = screen(&bytes).unwrap();
            let (hash, actor, seq) = (header.hash, header.author().unwrap(), header.seq);
            NewChange { hash, actor, seq, device: session.device, body: bytes.into_vec() }
        };
        let changes: Vec<NewChange> = changes.into_iter().map(new).collect();
        let heads: Vec<ChangeHash> = changes.last().map(|c| c.hash).into_iter().collect();
        let summary = Summary { doc, ..view.summary };
        let write = DocWrite {
            doc: doc.id,
            kind: doc.kind,
            expect: 0,
            changes,
            heads: heads.clone(),
            snapshot: None,
            view: View { ver: 0, rev: 0, heads, summary, ..view },
            readers: BTreeSet::from([session.staff]),
            under: BTreeSet::new(),
            over: BTreeSet::new(),
        };
        let batch = Batch { now: self.env.now(), docs: vec![write], ..Batch::default() };
        storage.commit(self.tenant, batch).await.unwrap();
    }

    async fn push(&self, session: &Session, push: Vec<Push>) -> Vec<(DocId, Fate)> {
        let request = SyncRequest { v: VERSION, clock: self.env.now(), push, ..SyncRequest::default() };
        let answer = self.ledger.sync(session, request).await.unwrap();
        answer.verdicts.into_iter().map(|v| (v.doc, v.fate)).collect()
    }
}

/// The least memory, about, in which a worker serves an honest push.
async fn least_memory() -> u64 {
    for mb in (24..512).step_by(4) {
        let desk = Desk::new(mb << 20, 10).await;
        let session = desk.session().await;
        let fates = desk.push(&session, vec![desk.report(&session)]).await;
        if fates.iter().all(|(_, fate)| *fate == Fate::Accepted) {
            return mb << 20;
        }
    }
    panic!("no worker serves in 512 MiB");
}

/// What no worker survives is refused, honest reports beside it are not; answers what was said of it.
async fn only_the_guilty_is_refused(desk: &Desk, session: &Session, guilty: Push) -> Vec<String> {
    let (before, after) = (desk.report(session), desk.report(session));
    let (doc, total) = (guilty.doc, guilty.changes.len());
    let fates = desk.push(session, vec![before, guilty, after]).await;
    assert_eq!(fates.len(), total + 2, "a verdict for each");
    let refused: Vec<_> = fates.iter().filter(|(_, fate)| matches!(fate, Fate::SetAside { .. })).collect();
    assert!(
        !refused.is_empty() && refused.iter().all(|(of, _)| *of == doc),
        "only the guilty is refused: {:?}",
        fates.iter().map(|(d, f)| (*d == doc, format!("{f:?}"))).collect::<std::collections::BTreeSet<_>>()
    );
    let convicted =
        |wanted: &str| refused.iter().any(|(_, f)| matches!(f, Fate::SetAside { code, .. } if code == wanted));
    assert!(convicted("unsafe_change"), "{:?}", refused.first());
    let detail = |fate: &Fate| if let Fate::SetAside { detail, .. } = fate { detail.clone() } else { String::new() };
    let said = refused.iter().map(|(_, fate)| detail(fate)).collect();
    // And the next one is served.
    let fates = desk.push(session, vec![desk.report(session)]).await;
    assert!(matches!(fates.as_slice(), [(_, Fate::Accepted)]), "{fates:?}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_more_memory_than_a_worker_has_is_refused() {
    let least = least_memory().await;
    // The allocator takes address space by 16 MB: an honest push leaves most of that free.
    let desk = Desk::new(least + (2 << 20), 30).await;
    let session = desk.session().await;
    let flood = desk.flood(&session, 48);
    only_the_guilty_is_refused(&desk, &session, flood).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_more_time_than_a_worker_has_is_refused() {
    // The system counts whole seconds: up to one is left.
    let desk = Desk::new(8 << 30, 0).await;
    let session = desk.session().await;
    // In the log already is far more than the caps let in, for within them nothing takes a second.
    let Push { doc, kind, mut changes, .. } = desk.slow(&session, 30);
    let last = changes.pop().unwrap();
    desk.log(&session, DocRef::new(kind, doc), changes.clone()).await;
    let push = || Push { doc, kind, changes: vec![last.clone()], sealed: None };
    let said = only_the_guilty_is_refused(&desk, &session, push()).await;
    assert!(said.iter().all(|why| why.contains("signal 24")), "SIGXCPU: {said:?}");
    // It was the time only: where the same people have enough of it, it is tried.
    let patient = Desk::new(8 << 30, 600).await;
    assert_eq!(patient.session().await.device, session.device, "of the same seed");
    assert_eq!(DocId(patient.env.new_id()), doc);
    let session = Session { tenant: patient.tenant, ..session };
    patient.log(&session, DocRef::new(kind, doc), changes).await;
    let fates = patient.push(&session, vec![push()]).await;
    let [(_, Fate::SetAside { code, .. })] = fates.as_slice() else { panic!("{fates:?}") };
    assert_eq!(code, "too_large");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_fields_than_a_document_may_have_are_refused_and_cost_little() {
    let desk = Desk::new(1 << 30, 2).await;
    let session = desk.session().await;
    let slow = desk.slow(&session, 13);
    let mut fates = desk.push(&session, vec![slow]).await.into_iter().map(|(_, fate)| fate);
    // Two of 19,000 fields have room, and what comes after the third rests on it.
    assert!(fates.by_ref().take(2).all(|fate| fate == Fate::Accepted));
    assert!(matches!(fates.next(), Some(Fate::SetAside { code, .. }) if code == "too_large"));
    assert!(fates.all(|fate| matches!(fate, Fate::SetAside { code, .. } if code == "depends_on_refused")));
}
