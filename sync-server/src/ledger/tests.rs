//! The ledger under honest and hostile phones, over the storage in memory.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::office::AsideCommand;
use crate::storage::{Batch, Device, MemoryStorage, SetAside, SqliteStorage};
use onsite_core::document::{Actor, Change, Doc};
use onsite_core::domain::*;
use onsite_core::env::SeededEnv;
use onsite_core::sync::protocol::*;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

const NOON: Millis = Millis(1_763_956_800_000);

/// A company, its ledger and the dice to draw ids from.
struct Town {
    ledger: Ledger,
    memory: Arc<dyn Storage>,
    /// How its storage is copied.
    copy: Copier,
    env: Arc<SeededEnv>,
    tenant: TenantId,
}

/// A storage's backup, opened.
#[derive(Clone)]
enum Copier {
    Memory(Arc<MemoryStorage>),
    File(Arc<tempfile::TempDir>),
}

impl Town {
    async fn new(seed: u64) -> Self {
        let memory = Arc::new(MemoryStorage::new());
        Self::over(seed, memory.clone(), Copier::Memory(memory)).await
    }

    /// A company in an SQLite file.
    async fn on_disk(seed: u64) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let storage = SqliteStorage::open(&dir.path().join("onsite.db")).unwrap();
        Self::over(seed, Arc::new(storage), Copier::File(dir)).await
    }

    async fn over(seed: u64, memory: Arc<dyn Storage>, copy: Copier) -> Self {
        let env = Arc::new(SeededEnv::new(seed, NOON));
        let ledger = Ledger::new(memory.clone(), env.clone());
        let tenant = ledger.create_tenant("浆模设备公司").await.unwrap().id;
        Self { ledger, memory, copy, env, tenant }
    }

    async fn backup(&self) -> Arc<dyn Storage> {
        match &self.copy {
            Copier::Memory(memory) => Arc::new(memory.fork()),
            Copier::File(dir) => {
                let to = dir.path().join("backup.db");
                self.memory.backup(&to).await.unwrap();
                Arc::new(SqliteStorage::open(&to).unwrap())
            }
        }
    }

    /// The same company as it was at its backup, restored: in another epoch.
    async fn restored(&self, memory: Arc<dyn Storage>) -> Self {
        let ledger = Ledger::new(memory.clone(), self.env.clone());
        self.env.advance(1000);
        ledger.new_epoch(self.tenant).await.unwrap();
        Self { ledger, memory, copy: self.copy.clone(), env: self.env.clone(), tenant: self.tenant }
    }

    fn id<T: From<uuid::Uuid>>(&self) -> T {
        self.env.new_id().into()
    }

    async fn phone(&self, staff: StaffId, roles: &[Role]) -> Phone {
        let device: DeviceId = self.id();
        self.memory
            .put_device(
                self.tenant,
                Device {
                    id: device,
                    staff,
                    code: device.0.simple().to_string(),
                    name: "phone".into(),
                    public_key: vec![1],
                    alg: "ed25519".into(),
                    app: "test".into(),
                    enrolled: NOON,
                    revoked: None,
                },
            )
            .await
            .unwrap();
        Phone {
            session: Session { tenant: self.tenant, device, staff, roles: roles.iter().copied().collect() },
            actor: Actor { device, incarnation: [1; 8] },
            docs: BTreeMap::new(),
            accepted: BTreeMap::new(),
            outbox: Vec::new(),
            cursor: None,
            mark: Vec::new(),
            budget: 0,
        }
    }

    /// Every number of the log once, every change once.
    async fn log_is_whole(&self) {
        let log = self.memory.log(self.tenant, 0, usize::MAX).await.unwrap();
        assert!(log.iter().map(|r| r.cursor).eq(1..=log.len() as u64), "a gap in the log");
        let changes: Vec<_> = log.iter().filter(|r| !r.body.is_empty()).map(|r| (r.doc, r.hash)).collect();
        let once: BTreeSet<_> = changes.iter().collect();
        assert_eq!(once.len(), changes.len(), "a change twice in the log");
    }

    async fn heads(&self, doc: impl Into<DocId>) -> Vec<ChangeHash> {
        self.memory.views(self.tenant, &[doc.into()]).await.unwrap().pop().map(|v| v.heads).unwrap_or_default()
    }

    /// How many members of staff have a work number.
    async fn coded(&self, code: &str) -> usize {
        let asked = crate::storage::Asked { coded: [code.to_owned()].into(), ..Default::default() };
        self.memory.ask(self.tenant, &asked).await.unwrap().coded[code].len()
    }

    async fn read<R: Record>(&self, doc: impl Into<DocId>) -> R {
        let view = self.memory.views(self.tenant, &[doc.into()]).await.unwrap().pop().unwrap();
        R::unwrap(view.entity().unwrap()).unwrap()
    }
}

/// A device that keeps whole documents and says what it must.
#[derive(Clone)]
struct Phone {
    session: Session,
    actor: Actor,
    docs: BTreeMap<DocId, Doc>,
    accepted: BTreeMap<DocId, Sealed>,
    outbox: Vec<(DocRef, Change)>,
    cursor: Option<Cursor>,
    mark: Vec<u8>,
    budget: u64,
}

impl Phone {
    fn write<R: Record>(&mut self, doc: impl Into<DocId>, edit: impl FnOnce(&mut R)) -> ChangeHash {
        let at = DocRef::new(R::KIND, doc);
        let d = self.docs.entry(at.id).or_insert_with(|| Doc::new(R::KIND));
        let mut content = R::unwrap(d.entity().unwrap()).unwrap();
        edit(&mut content);
        let writes = [Write::Put(at.id, content.wrap())];
        let change = d.write(self.actor, self.session.staff, NOON, &writes).unwrap().unwrap();
        let hash = change.header.hash;
        self.outbox.push((at, change));
        hash
    }

    /// Opens the visit of the order's first round.
    fn open(&mut self, order: WorkOrderId) -> ChangeHash {
        self.write::<Visit>(VisitId::of_dispatch(order, 1), |v| {
            v.work_order = Some(order);
            v.round = 1;
        })
    }

    fn pushes(&self) -> Vec<Push> {
        let mut out: Vec<Push> = Vec::new();
        for (at, change) in &self.outbox {
            let bytes = serde_bytes::ByteBuf::from(change.bytes.clone());
            match out.iter_mut().find(|p| p.doc == at.id) {
                Some(p) => p.changes.push(bytes),
                None => out.push(Push { doc: at.id, kind: at.kind, changes: vec![bytes], sealed: None }),
            }
        }
        out
    }

    fn digest(&self) -> Digest {
        let mut all = Digest::default();
        for (doc, sealed) in &self.accepted {
            crate::storage::xor(&mut all, crate::storage::doc_digest(*doc, &sealed.heads));
        }
        all
    }

    fn request(&self) -> SyncRequest {
        SyncRequest {
            v: VERSION,
            app: "test".into(),
            cursor: self.cursor.clone(),
            mark: self.mark.clone(),
            clock: NOON,
            push: self.pushes(),
            digest: (self.outbox.is_empty() && self.cursor.is_some()).then(|| self.digest()),
            budget: self.budget,
            ..SyncRequest::default()
        }
    }

    fn take(&mut self, answer: &SyncAnswer) {
        for d in &answer.docs {
            let fresh =
                Doc::load(d.kind, (!d.snapshot.is_empty()).then_some(&d.snapshot[..]), [] as [&[u8]; 0]).unwrap();
            let doc = self.docs.entry(d.doc).or_insert(fresh.clone());
            if !d.snapshot.is_empty() {
                let changes: Vec<_> = fresh.changes().into_iter().map(|c| c.bytes).collect();
                doc.apply(changes.iter().map(|c| &c[..])).unwrap();
            }
            doc.apply(d.changes.iter().map(|c| &c[..])).unwrap();
            assert!(d.sealed.heads.iter().all(|h| doc.has(*h)), "heads that were not delivered");
            self.accepted.insert(d.doc, d.sealed.clone());
        }
        for doc in &answer.left {
            self.docs.remove(doc);
            self.accepted.remove(doc);
        }
        let done: HashMap<_, _> = answer.verdicts.iter().map(|v| ((v.doc, v.hash), &v.fate)).collect();
        self.outbox.retain(|(at, c)| {
            !matches!(done.get(&(at.id, c.header.hash)), Some(Fate::Accepted | Fate::SetAside { .. }))
        });
        self.cursor = Some(answer.cursor.clone());
        self.mark = answer.mark.clone();
    }

    async fn once(&mut self, town: &Town) -> SyncAnswer {
        let answer = town.ledger.sync(&self.session, self.request()).await.unwrap();
        self.take(&answer);
        answer
    }

    /// Syncs until there is no more.
    async fn sync(&mut self, town: &Town) -> Vec<SyncAnswer> {
        let mut all = Vec::new();
        loop {
            let answer = self.once(town).await;
            let more = answer.more;
            all.push(answer);
            if !more {
                return all;
            }
            assert!(all.len() < 10_000, "no end");
        }
    }

    /// Syncs twice: what was pushed comes back sealed, then nothing is left and the digests agree.
    async fn settle(&mut self, town: &Town) {
        self.sync(town).await;
        let last = self.sync(town).await;
        let orders: Vec<_> = last.iter().flat_map(|a| &a.orders).collect();
        assert!(orders.is_empty(), "{orders:?}");
        assert!(last.iter().all(|a| a.docs.is_empty()));
    }

    fn fate(answer: &SyncAnswer, hash: ChangeHash) -> &Fate {
        &answer.verdicts.iter().find(|v| v.hash == hash).unwrap().fate
    }
}

const OFFICE: &[Role] = &[Role::Admin, Role::ServiceManager, Role::Clerk];

fn assign(order: &mut WorkOrder, item: ItemId, who: StaffId) {
    order.assignments.insert(item, Assignment { technician: Some(who), lead: true, ..Assignment::default() });
}

/// A company with an office phone and two technicians, a customer and a job assigned to the first.
struct Story {
    town: Town,
    office: Phone,
    first: Phone,
    second: Phone,
    customer: CustomerId,
    order: WorkOrderId,
    visit: VisitId,
}

impl Story {
    async fn new(seed: u64) -> Self {
        Self::of(Town::new(seed).await).await
    }

    async fn of(town: Town) -> Self {
        let (boss, a, b): (StaffId, StaffId, StaffId) = (town.id(), town.id(), town.id());
        let mut office = town.phone(boss, OFFICE).await;
        let first = town.phone(a, &[Role::Technician]).await;
        let second = town.phone(b, &[Role::Technician]).await;
        for (who, name) in [(boss, "王经理"), (a, "张三"), (b, "李四")] {
            office.write::<Staff>(who, |s| s.name = name.into());
        }
        let customer: CustomerId = town.id();
        let order: WorkOrderId = town.id();
        let item = town.id();
        office.write::<Customer>(customer, |c| c.name = "绿源包装厂".into());
        office.write::<WorkOrder>(order, |w| {
            w.customer = Some(customer);
            w.work_type = Some(WorkType::Repair);
            w.round = 1;
            assign(w, item, a);
        });
        office.sync(&town).await;
        assert!(office.outbox.is_empty());
        Self { town, office, first, second, customer, order, visit: VisitId::of_dispatch(order, 1) }
    }

    fn order(&self) -> DocId {
        self.order.into()
    }
}

#[tokio::test]
async fn a_technician_gets_what_was_assigned_and_what_hangs_on_it() {
    let mut s = Story::new(1).await;
    s.first.settle(&s.town).await;
    let staff = [s.office.session.staff, s.first.session.staff, s.second.session.staff].map(DocId::from);
    let held: BTreeSet<DocId> = s.first.docs.keys().copied().collect();
    assert!(held.is_superset(&staff.into()));
    assert!(held.contains(&s.order()) && held.contains(&s.customer.into()));
    s.second.settle(&s.town).await;
    assert!(!s.second.docs.contains_key(&s.order()));

    // The visit follows its order's readers; whoever is assigned later gets all of it.
    s.first.open(s.order);
    s.first.settle(&s.town).await;
    let (item, b) = (s.town.id(), s.second.session.staff);
    s.office.write::<WorkOrder>(s.order, |w| assign(w, item, b));
    s.office.sync(&s.town).await;
    s.second.settle(&s.town).await;
    for doc in [s.order(), s.customer.into(), s.visit.into()] {
        assert_eq!(s.second.docs[&doc].heads(), s.town.heads(doc).await);
    }
    s.first.settle(&s.town).await;
    assert_eq!(s.first.digest(), s.second.digest());
    s.town.log_is_whole().await;
}

#[tokio::test]
async fn a_whole_document_goes_as_one_snapshot_that_is_kept() {
    let mut s = Story::new(31).await;
    let tail = |loaded: Vec<crate::storage::Loaded>| loaded.iter().map(|l| l.tail.len()).sum::<usize>();
    let order = s.order();
    let tenant = s.first.session.tenant;
    // A small one has it from every push, a large one now and then.
    for (text, after) in [(40, 0), (20_000, 5)] {
        for minutes in 1..=5 {
            s.office.write::<WorkOrder>(s.order, |w| {
                w.dispatch.expected_stay_minutes = Some(minutes);
                w.dispatch.remarks.0 = "x".repeat(text);
            });
            s.office.settle(&s.town).await;
        }
        assert_eq!(tail(s.town.ledger.storage().load(tenant, &[order]).await.unwrap()), after);
    }
    let answers = s.first.sync(&s.town).await;
    let sent = answers.iter().flat_map(|a| &a.docs).find(|d| d.doc == order).unwrap();
    assert!(!sent.snapshot.is_empty() && sent.changes.is_empty());
    assert_eq!(s.first.docs[&order].heads(), s.town.heads(order).await);
    assert_eq!(tail(s.town.ledger.storage().load(tenant, &[order]).await.unwrap()), 0);

    // What comes after it goes as changes, and the log still has all of them.
    let before = s.town.ledger.storage().history(tenant, order).await.unwrap().len();
    s.office.write::<WorkOrder>(s.order, |w| w.dispatch.expected_stay_minutes = Some(90));
    s.office.sync(&s.town).await;
    let answers = s.first.sync(&s.town).await;
    let sent = answers.iter().flat_map(|a| &a.docs).find(|d| d.doc == order).unwrap();
    assert!(sent.snapshot.is_empty() && sent.changes.len() == 1);
    assert_eq!(s.town.ledger.storage().history(tenant, order).await.unwrap().len(), before + 1);
    s.first.settle(&s.town).await;
    s.town.log_is_whole().await;
}

#[tokio::test]
async fn final_numbers_come_with_the_commit_and_are_unique() {
    let mut s = Story::new(2).await;
    let order: WorkOrder = s.town.read(s.order).await;
    assert_eq!(order.number.as_deref(), Some("WO-2025-000001"));
    s.first.settle(&s.town).await;
    s.first.open(s.order);
    s.first.settle(&s.town).await;
    let order: WorkOrder = s.town.read(s.order).await;
    assert_eq!(order.record_numbers.len(), 1);
    let other: WorkOrderId = s.town.id();
    s.office.write::<WorkOrder>(other, |w| w.work_type = Some(WorkType::Repair));
    s.office.sync(&s.town).await;
    assert_eq!(s.town.read::<WorkOrder>(other).await.number.as_deref(), Some("WO-2025-000002"));
}

#[tokio::test]
async fn nothing_changed_costs_next_to_nothing() {
    let mut s = Story::new(3).await;
    s.first.settle(&s.town).await;
    let answer = s.first.once(&s.town).await;
    let size =
        minicbor_serde::to_vec(&answer).unwrap().len() + minicbor_serde::to_vec(s.first.request()).unwrap().len();
    assert!(size < 1024, "{size} bytes");
    assert!(answer.docs.is_empty() && answer.orders.is_empty() && !answer.more);
}

#[tokio::test]
async fn a_lost_answer_is_repeated_harmlessly() {
    let mut s = Story::new(4).await;
    s.first.settle(&s.town).await;
    let opened = s.first.open(s.order);
    let request = s.first.request();
    let lost = s.town.ledger.sync(&s.first.session, request.clone()).await.unwrap();
    assert_eq!(Phone::fate(&lost, opened), &Fate::Accepted);
    let answer = s.first.once(&s.town).await;
    assert_eq!(Phone::fate(&answer, opened), &Fate::Accepted);
    assert!(answer.orders.is_empty(), "a retry is no copy: {:?}", answer.orders);
    s.first.settle(&s.town).await;
    s.town.log_is_whole().await;
}

#[tokio::test]
async fn a_file_restored_from_a_copy_is_told_and_gets_its_own_changes_back() {
    let mut s = Story::new(5).await;
    s.first.settle(&s.town).await;
    let mut copy = s.first.clone();
    s.first.open(s.order);
    s.first.settle(&s.town).await;
    s.first.write::<Visit>(s.visit, |v| v.remarks = Text("第二次".into()));
    s.first.settle(&s.town).await;

    // The copy writes with the same actor and number: refused softly, nothing lost.
    let reused = copy.open(s.order);
    let answer = copy.once(&s.town).await;
    assert!(answer.orders.contains(&Order::NewActor));
    // The very same first edit has the very same hash: it is in the log already.
    assert_eq!(Phone::fate(&answer, reused), &Fate::Accepted);
    copy.settle(&s.town).await;
    assert_eq!(copy.digest(), s.first.digest());
    s.town.log_is_whole().await;
}

#[tokio::test]
async fn an_actor_used_twice_is_refused_softly() {
    let mut s = Story::new(6).await;
    s.first.settle(&s.town).await;
    let mut copy = s.first.clone();
    s.first.open(s.order);
    s.first.settle(&s.town).await;
    let order = s.order;
    let reused = copy.write::<Visit>(s.visit, |v| {
        v.work_order = Some(order);
        v.round = 1;
        v.remarks = Text("另一台手机".into());
    });
    let answer = s.town.ledger.sync(&copy.session, copy.request()).await.unwrap();
    assert_eq!(Phone::fate(&answer, reused), &Fate::ActorReused);
    // Written again by a new actor it passes, on top of what the first file had said.
    copy.actor.incarnation = [2; 8];
    copy.docs.remove(&DocId::from(s.visit));
    copy.outbox.clear();
    copy.mark = answer.mark;
    copy.write::<Visit>(s.visit, |v| {
        v.work_order = Some(order);
        v.round = 1;
        v.remarks = Text("另一台手机".into());
    });
    copy.settle(&s.town).await;
    s.town.log_is_whole().await;
}

#[tokio::test]
async fn a_forged_actor_or_person_is_set_aside() {
    let mut s = Story::new(7).await;
    s.first.settle(&s.town).await;
    let before = s.town.heads(s.order).await;
    let mut forger = s.first.clone();
    forger.actor = s.office.actor;
    let forged = forger.open(s.order);
    let answer = forger.once(&s.town).await;
    assert!(matches!(Phone::fate(&answer, forged), Fate::SetAside { code, .. } if code == "forged_actor"));

    let mut forger = s.first.clone();
    forger.session.staff = s.office.session.staff;
    let forged = forger.open(s.order);
    forger.session.staff = s.first.session.staff;
    let answer = forger.once(&s.town).await;
    assert!(matches!(Phone::fate(&answer, forged), Fate::SetAside { code, .. } if code == "forged_author"));
    assert_eq!(s.town.heads(s.order).await, before);
    assert!(s.town.heads(s.visit).await.is_empty());
    // The honest one goes on unharmed.
    s.first.open(s.order);
    s.first.mark.clone_from(&forger.mark);
    s.first.settle(&s.town).await;
    assert!(!s.town.heads(s.visit).await.is_empty());
}

#[tokio::test]
async fn the_server_actor_cannot_be_forged() {
    let mut s = Story::new(8).await;
    s.first.settle(&s.town).await;
    let epoch = s.town.memory.tenant(s.town.tenant).await.unwrap().unwrap().epoch;
    s.first.actor = Actor { device: DeviceId(uuid::Uuid::nil()), incarnation: epoch.to_be_bytes() };
    let forged = s.first.open(s.order);
    let answer = s.first.once(&s.town).await;
    assert!(matches!(Phone::fate(&answer, forged), Fate::SetAside { code, .. } if code == "forged_actor"));
}

#[tokio::test]
async fn missing_parents_are_asked_for() {
    let mut s = Story::new(9).await;
    s.first.settle(&s.town).await;
    let opened = s.first.open(s.order);
    let then = s.first.write::<Visit>(s.visit, |v| v.remarks = Text("已到".into()));
    let (at, parent) = s.first.outbox.remove(0);
    let answer = s.first.once(&s.town).await;
    assert_eq!(Phone::fate(&answer, then), &Fate::NeedDeps(vec![opened]));
    s.first.outbox.insert(0, (at, parent));
    s.first.settle(&s.town).await;
    assert!(s.first.outbox.is_empty());
    s.town.log_is_whole().await;
}

#[tokio::test]
async fn garbage_is_set_aside_and_the_rest_passes() {
    let mut s = Story::new(10).await;
    s.first.settle(&s.town).await;
    let opened = s.first.open(s.order);
    let mut request = s.first.request();
    request.push.insert(
        0,
        Push {
            doc: s.town.id(),
            kind: Kind::Request,
            changes: vec![serde_bytes::ByteBuf::from(vec![7; 300]), serde_bytes::ByteBuf::new()],
            sealed: None,
        },
    );
    let answer = s.town.ledger.sync(&s.first.session, request).await.unwrap();
    assert_eq!(Phone::fate(&answer, opened), &Fate::Accepted);
    assert_eq!(answer.verdicts.iter().filter(|v| matches!(v.fate, Fate::SetAside { .. })).count(), 2);
    assert_eq!(s.town.ledger.aside(s.town.tenant, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn the_guilty_and_what_depends_on_it_are_set_aside_and_the_innocent_pass() {
    let mut s = Story::new(11).await;
    s.first.settle(&s.town).await;
    let good = s.first.open(s.order);
    // A note in somebody else's name, an edit on top of it.
    let (other, item) = (s.office.session.staff, s.town.id());
    let bad = s.first.write::<Visit>(s.visit, |v| {
        let at = Stamp::exact(NOON);
        v.notes.insert(item, Atomic(Note { mark: Mark { at, by: other }, text: "他人".into() }));
    });
    let on_top = s.first.write::<Visit>(s.visit, |v| v.remarks = Text("随后".into()));
    let mine: RequestId = s.town.id();
    let me = s.first.session.staff;
    let innocent = s.first.write::<Request>(mine, |r| {
        r.author = Some(me);
        r.customer_name = "新客户".into();
    });
    let answer = s.first.once(&s.town).await;
    assert_eq!(Phone::fate(&answer, good), &Fate::Accepted);
    assert!(matches!(Phone::fate(&answer, bad), Fate::SetAside { code, .. } if code == "forged_author"));
    assert!(matches!(Phone::fate(&answer, on_top), Fate::SetAside { code, .. } if code == "depends_on_refused"));
    assert_eq!(Phone::fate(&answer, innocent), &Fate::Accepted);
    assert_eq!(s.town.heads(s.visit).await, vec![good]);
    let aside: BTreeMap<_, SetAside> =
        s.town.ledger.aside(s.town.tenant, 10).await.unwrap().into_iter().map(|a| (a.hash, a)).collect();
    assert_eq!(aside.len(), 2);
    assert_eq!(aside[&on_top].because_of, Some(bad));
    assert!(!aside[&bad].body.is_empty());

    // Sending it again says the same again and keeps one row.
    let mut again = s.first.request();
    let body = |h| serde_bytes::ByteBuf::from(aside[&h].body.clone());
    again.push =
        vec![Push { doc: s.visit.into(), kind: Kind::Visit, changes: vec![body(bad), body(on_top)], sealed: None }];
    let answer = s.town.ledger.sync(&s.first.session, again).await.unwrap();
    assert!(answer.verdicts.iter().all(|v| matches!(v.fate, Fate::SetAside { .. })));
    assert_eq!(s.town.ledger.aside(s.town.tenant, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn one_who_was_never_assigned_writes_no_visit_and_no_order() {
    let mut s = Story::new(12).await;
    s.second.settle(&s.town).await;
    let refused = s.second.open(s.order);
    let order: WorkOrderId = s.town.id();
    let own_order = s.second.write::<WorkOrder>(order, |w| w.work_type = Some(WorkType::Repair));
    let answer = s.second.once(&s.town).await;
    for hash in [refused, own_order] {
        assert!(matches!(Phone::fate(&answer, hash), Fate::SetAside { .. }), "{:?}", Phone::fate(&answer, hash));
    }
}

#[tokio::test]
async fn two_phones_open_one_visit_offline_and_meet_in_it() {
    let mut s = Story::new(13).await;
    let (item, b) = (s.town.id(), s.second.session.staff);
    s.first.settle(&s.town).await;
    s.office.write::<WorkOrder>(s.order, |w| assign(w, item, b));
    s.office.sync(&s.town).await;
    s.first.settle(&s.town).await;
    s.second.settle(&s.town).await;

    s.first.open(s.order);
    s.second.open(s.order);
    s.first.write::<Visit>(s.visit, |v| v.diagnosis = Text("电机过热".into()));
    s.second.write::<Visit>(s.visit, |v| v.resolution = Text("更换轴承".into()));
    s.first.sync(&s.town).await;
    s.second.settle(&s.town).await;
    s.first.settle(&s.town).await;
    assert_eq!(s.first.docs[&DocId::from(s.visit)].heads(), s.second.docs[&DocId::from(s.visit)].heads());
    let visit: Visit = s.town.read(s.visit).await;
    assert_eq!((&*visit.diagnosis, &*visit.resolution), ("电机过热", "更换轴承"));
    s.town.log_is_whole().await;
}

#[tokio::test]
async fn small_pages_lose_nothing() {
    // Documents changed again after others: a page that ends between must not skip their earlier changes.
    let mut s = Story::new(14).await;
    let me = s.first.session.staff;
    s.first.settle(&s.town).await;
    let mut late = s.first.clone();
    let requests: Vec<RequestId> = (0..12).map(|_| s.town.id()).collect();
    for r in &requests {
        s.first.write::<Request>(*r, |x| {
            x.author = Some(me);
            x.customer_name = "一".into();
        });
        s.first.sync(&s.town).await;
    }
    for turn in 0..3 {
        for r in requests.iter().step_by(turn + 1) {
            s.first.write::<Request>(*r, |x| x.address = format!("地址 {turn}"));
            s.first.sync(&s.town).await;
        }
    }
    s.first.open(s.order);
    s.first.settle(&s.town).await;
    // The late phone is another device of the same person.
    let other = s.town.phone(me, &[Role::Technician]).await;
    late.session.device = other.session.device;
    late.mark = Vec::new();
    late.budget = 1;
    let pages = late.sync(&s.town).await;
    assert!(pages.len() > 10);
    late.settle(&s.town).await;
    assert_eq!(late.digest(), s.first.digest());

    // Changes between the pages of a scan.
    let mut slow = s.town.phone(me, &[Role::Technician]).await;
    slow.budget = 1;
    let mut n = 0;
    while slow.once(&s.town).await.more {
        n += 1;
        let r = requests[n % requests.len()];
        if n < 40 {
            s.first.write::<Request>(r, |x| x.address = format!("边走边改 {n}"));
            s.first.sync(&s.town).await;
        }
    }
    slow.settle(&s.town).await;
    s.first.settle(&s.town).await;
    assert_eq!(slow.digest(), s.first.digest());
}

#[tokio::test]
async fn cursors_are_read_strictly() {
    let s = Story::new(15).await;
    for bad in [
        "",
        "v1",
        "v1.1",
        "v2.1.1",
        "v1.x.1",
        "v1.1.1.1",
        "v1.-1.1",
        "v1.1.99999999999999999999999",
        "v1. 1.1",
        "v1.1.1.1.1.1",
    ] {
        let request = SyncRequest { v: VERSION, cursor: Some(Cursor(bad.into())), ..SyncRequest::default() };
        let error = s.town.ledger.sync(&s.first.session, request).await.unwrap_err();
        assert_eq!((error.status(), error.code()), (400, "bad_cursor"), "{bad:?}");
    }
    let epoch = s.town.memory.tenant(s.town.tenant).await.unwrap().unwrap().epoch;
    for other in [format!("v1.{}.1", epoch + 1), format!("v1.{epoch}.999999")] {
        let request = SyncRequest { v: VERSION, cursor: Some(Cursor(other)), ..SyncRequest::default() };
        let answer = s.town.ledger.sync(&s.first.session, request).await.unwrap();
        assert!(answer.orders.contains(&Order::Reconcile));
    }
    let request = SyncRequest { v: 99, ..SyncRequest::default() };
    assert_eq!(s.town.ledger.sync(&s.first.session, request).await.unwrap_err().status(), 400);
}

#[tokio::test]
async fn marks_of_any_bytes_are_read_safely() {
    let mut s = Story::new(16).await;
    for mark in [vec![0xff; 8], vec![0xff; 3], vec![1; 4000]] {
        s.first.mark = mark;
        let answer = s.first.once(&s.town).await;
        assert!(answer.orders.contains(&Order::NewActor) || s.first.cursor.is_some());
    }
}

#[tokio::test]
async fn another_company_sees_and_writes_nothing() {
    let s = Story::new(17).await;
    let other = s.town.ledger.create_tenant("别家").await.unwrap().id;
    // A device of one company with the other's name in its session is not known there.
    let mut spy = s.first.clone();
    spy.session.tenant = other;
    assert!(matches!(s.town.ledger.sync(&spy.session, spy.request()).await, Err(Error::Revoked)));
    let town = Town {
        ledger: s.town.ledger.clone(),
        memory: s.town.memory.clone(),
        copy: s.town.copy.clone(),
        env: s.town.env.clone(),
        tenant: other,
    };
    let mut own = town.phone(s.first.session.staff, OFFICE).await;
    own.sync(&town).await;
    assert!(own.docs.is_empty());
    // The same document id in another company is another document.
    own.write::<Customer>(s.customer, |c| c.name = "同号".into());
    own.settle(&town).await;
    assert_eq!(s.town.read::<Customer>(s.customer).await.name, "绿源包装厂");
    town.log_is_whole().await;
}

#[tokio::test]
async fn a_device_revoked_in_the_middle_of_a_push_commits_nothing() {
    let mut s = Story::new(18).await;
    s.first.settle(&s.town).await;
    s.first.open(s.order);
    let tenant = s.town.memory.tenant(s.town.tenant).await.unwrap().unwrap();
    let judged = s.town.ledger.judge(&tenant, &s.first.session, &s.first.pushes(), None).await.unwrap();
    let mut device = s.town.memory.device(s.town.tenant, s.first.session.device).await.unwrap().unwrap();
    device.revoked = Some(NOON);
    s.town.memory.put_device(s.town.tenant, device).await.unwrap();
    assert!(matches!(s.town.memory.commit(s.town.tenant, judged.batch).await, Err(Error::Revoked)));
    assert!(s.town.heads(s.visit).await.is_empty());
    assert!(matches!(s.town.ledger.sync(&s.first.session, s.first.request()).await, Err(Error::Revoked)));
}

#[tokio::test]
async fn what_the_office_has_seen_reaches_the_phone_once() {
    let mut s = Story::new(19).await;
    s.first.settle(&s.town).await;
    s.first.open(s.order);
    s.first.settle(&s.town).await;
    s.town.ledger.mark_seen(s.town.tenant, s.visit.into(), Vec::new(), s.office.session.staff).await.unwrap();
    let answer = s.first.once(&s.town).await;
    assert_eq!(answer.seen.len(), 1);
    assert_eq!(answer.seen[0].heads, s.town.heads(s.visit).await);
    assert!(s.first.once(&s.town).await.seen.is_empty());
    s.town.log_is_whole().await;
}

#[tokio::test]
async fn a_device_that_lost_something_is_told_to_compare() {
    let mut s = Story::new(20).await;
    s.first.settle(&s.town).await;
    let order = s.order();
    s.first.docs.remove(&order);
    s.first.accepted.remove(&order);
    let answer = s.first.once(&s.town).await;
    assert!(answer.orders.contains(&Order::Reconcile));
    reconcile(&mut s.first, &s.town).await;
    s.first.settle(&s.town).await;
    assert!(s.first.docs.contains_key(&order));
}

/// Both steps of the comparison; answers what the server wants.
async fn reconcile(phone: &mut Phone, town: &Town) -> Vec<Held> {
    let range = |doc: &DocId| usize::from(sha2::Sha256::digest(doc.as_bytes())[0]);
    let mut ranges = vec![Digest::default(); 256];
    for (doc, sealed) in &phone.accepted {
        crate::storage::xor(&mut ranges[range(doc)], crate::storage::doc_digest(*doc, &sealed.heads));
    }
    let request =
        SyncRequest { reconcile: Some(Reconcile::Ranges(ranges)), digest: None, push: Vec::new(), ..phone.request() };
    let answer = town.ledger.sync(&phone.session, request).await.unwrap();
    let step = answer.reconcile.clone();
    phone.take(&answer);
    let Some(ReconcileAnswer::Differ(differ)) = step else { return Vec::new() };
    let held = phone
        .accepted
        .iter()
        .filter(|(doc, _)| differ.contains(&(range(doc) as u8)))
        .map(|(doc, sealed)| Held { doc: *doc, kind: phone.docs[doc].kind(), heads: sealed.heads.clone() })
        .collect();
    let request =
        SyncRequest { reconcile: Some(Reconcile::Have(held)), digest: None, push: Vec::new(), ..phone.request() };
    let answer = town.ledger.sync(&phone.session, request).await.unwrap();
    let wanted = match &answer.reconcile {
        Some(ReconcileAnswer::Want(want)) => want.clone(),
        _ => Vec::new(),
    };
    // What is wanted is not to be thrown away meanwhile.
    assert!(wanted.iter().all(|w| !answer.left.contains(&w.doc)));
    let mut kept = answer.clone();
    kept.docs.retain(|d| !wanted.iter().any(|w| w.doc == d.doc));
    phone.take(&kept);
    wanted
}

fn repush(phone: &Phone, wanted: &[Held]) -> Vec<Push> {
    wanted
        .iter()
        .map(|w| Push {
            doc: w.doc,
            kind: phone.docs[&w.doc].kind(),
            changes: phone.docs[&w.doc].changes_since(&w.heads).into_iter().map(|c| c.bytes.into()).collect(),
            sealed: Some(phone.accepted[&w.doc].clone()),
        })
        .collect()
}

/// The office assigns the second; both technicians work; then the server falls back to before all that.
async fn fallen(town: Town) -> (Story, Town) {
    let mut s = Story::of(town).await;
    s.first.settle(&s.town).await;
    let backup = s.town.backup().await;
    let (item, b) = (s.town.id(), s.second.session.staff);
    s.office.write::<WorkOrder>(s.order, |w| assign(w, item, b));
    s.office.sync(&s.town).await;
    s.first.settle(&s.town).await;
    s.first.open(s.order);
    s.first.settle(&s.town).await;
    s.second.settle(&s.town).await;
    s.second.write::<Visit>(s.visit, |v| v.remarks = Text("一起做的".into()));
    s.second.settle(&s.town).await;
    s.first.settle(&s.town).await;
    let restored = s.town.restored(backup).await;
    (s, restored)
}

#[tokio::test]
async fn a_restored_server_gets_back_what_it_lost_also_from_others() {
    gets_back(Town::new(21).await).await;
}

#[tokio::test]
async fn a_server_restored_from_an_older_file_gets_back_what_it_lost() {
    gets_back(Town::on_disk(26).await).await;
}

async fn gets_back(town: Town) {
    let (mut s, town) = fallen(town).await;
    let lost = s.town.heads(s.visit).await;
    let order = s.town.heads(s.order).await;
    assert!(town.heads(s.visit).await.is_empty());
    // The first phone alone brings back the office's, its own and the second's changes.
    let answer = s.first.once(&town).await;
    assert!(answer.orders.contains(&Order::Reconcile));
    let wanted = reconcile(&mut s.first, &town).await;
    assert!(!wanted.is_empty());
    let mut request = SyncRequest { push: repush(&s.first, &wanted), digest: None, ..s.first.request() };
    request.push.sort_by_key(|p| p.kind);
    let answer = town.ledger.sync(&s.first.session, request).await.unwrap();
    assert!(answer.verdicts.iter().all(|v| v.fate == Fate::Accepted), "{:?}", answer.verdicts);
    s.first.take(&answer);
    assert_eq!(town.heads(s.visit).await, lost);
    let now = town.memory.history(town.tenant, s.order()).await.unwrap();
    assert!(order.iter().all(|h| now.iter().any(|r| r.hash == *h)));
    s.first.settle(&town).await;
    // The second finds all of it there.
    let answer = s.second.once(&town).await;
    assert!(answer.orders.contains(&Order::Reconcile));
    reconcile(&mut s.second, &town).await;
    s.second.settle(&town).await;
    assert_eq!(s.first.digest(), s.second.digest());
    town.log_is_whole().await;
    // The other epoch writes with another actor: nothing of the old one is used twice.
    let other: WorkOrderId = town.id();
    s.office.cursor = None;
    s.office.write::<WorkOrder>(other, |w| w.work_type = Some(WorkType::Repair));
    s.office.sync(&town).await;
    assert!(town.read::<WorkOrder>(other).await.number.is_some());
}

#[tokio::test]
async fn what_a_restored_server_lost_is_not_purged_with_the_scope_it_lost() {
    let mut s = Story::new(25).await;
    s.first.settle(&s.town).await;
    s.first.open(s.order);
    s.first.settle(&s.town).await;
    let backup = s.town.backup().await;
    let (item, b) = (s.town.id(), s.second.session.staff);
    s.office.write::<WorkOrder>(s.order, |w| assign(w, item, b));
    s.office.sync(&s.town).await;
    s.second.settle(&s.town).await;
    s.second.write::<Visit>(s.visit, |v| v.remarks = Text("第二人所写".into()));
    s.second.settle(&s.town).await;
    let lost = s.town.heads(s.visit).await;
    let town = s.town.restored(backup).await;
    // The server has the visit, but neither the edit nor the assignment.
    s.second.once(&town).await;
    let wanted = reconcile(&mut s.second, &town).await;
    assert!(wanted.iter().any(|w| w.doc == s.visit.into()));
    let request = SyncRequest { push: repush(&s.second, &wanted), digest: None, ..s.second.request() };
    let answer = town.ledger.sync(&s.second.session, request).await.unwrap();
    assert!(answer.verdicts.iter().all(|v| v.fate == Fate::Accepted), "{:?}", answer.verdicts);
    s.second.take(&answer);
    assert_eq!(town.heads(s.visit).await, lost);
    s.second.settle(&town).await;
    assert!(s.second.docs.contains_key(&DocId::from(s.visit)));
}

#[tokio::test]
async fn a_forged_seal_vouches_for_nothing() {
    let (mut s, town) = fallen(Town::new(22).await).await;
    s.first.once(&town).await;
    let wanted = reconcile(&mut s.first, &town).await;
    let mut pushes = repush(&s.first, &wanted);
    for push in &mut pushes {
        if let Some(sealed) = &mut push.sealed {
            sealed.seal[0] ^= 1;
        }
    }
    let request = SyncRequest { push: pushes.clone(), digest: None, ..s.first.request() };
    let answer = town.ledger.sync(&s.first.session, request).await.unwrap();
    let foreign: BTreeSet<ChangeHash> = pushes
        .iter()
        .flat_map(|p| &p.changes)
        .map(|c| Change::parse(c.to_vec()).unwrap().header)
        .filter(|h| h.author().unwrap().device != s.first.session.device)
        .map(|h| h.hash)
        .collect();
    assert!(!foreign.is_empty());
    for hash in foreign {
        assert!(matches!(Phone::fate(&answer, hash), Fate::SetAside { .. }), "{:?}", Phone::fate(&answer, hash));
    }
    // A true seal put on another document vouches for nothing either.
    let tenant = town.memory.tenant(town.tenant).await.unwrap().unwrap();
    let heads = s.first.accepted[&s.order()].heads.clone();
    assert_ne!(push::seal(&tenant, s.order(), &heads), push::seal(&tenant, s.visit.into(), &heads));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pushes_at_once_leave_no_gap() {
    at_once(Town::new(23).await).await;
    at_once(Town::on_disk(27).await).await;
}

async fn at_once(town: Town) {
    let s = Story::of(town).await;
    let town = Arc::new(s.town);
    let mut phones = Vec::new();
    for _ in 0..8 {
        phones.push(town.phone(town.id(), &[Role::Technician]).await);
    }
    let tasks = phones.into_iter().map(|mut phone| {
        let town = Arc::clone(&town);
        tokio::spawn(async move {
            let me = phone.session.staff;
            for i in 0..10 {
                let id: RequestId = town.id();
                phone.write::<Request>(id, |r| r.author = Some(me));
                phone.write::<Request>(id, |r| r.address = format!("第 {i} 处"));
                phone.once(&town).await;
                assert!(phone.outbox.is_empty());
            }
            phone.settle(&town).await;
            assert_eq!(phone.docs.len(), 13);
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    town.log_is_whole().await;
    let log = town.memory.log(town.tenant, 0, usize::MAX).await.unwrap();
    assert!(log.len() >= 160);
}

#[tokio::test]
async fn a_stale_batch_is_refused_and_two_counters_never_give_one_number() {
    let mut s = Story::new(24).await;
    let tenant = s.town.memory.tenant(s.town.tenant).await.unwrap().unwrap();
    let mut other = s.town.phone(s.office.session.staff, OFFICE).await;
    let (a, b): (WorkOrderId, WorkOrderId) = (s.town.id(), s.town.id());
    s.office.write::<WorkOrder>(a, |w| w.round = 1);
    other.write::<WorkOrder>(b, |w| w.round = 1);
    let one = s.town.ledger.judge(&tenant, &s.office.session, &s.office.pushes(), None).await.unwrap();
    let two = s.town.ledger.judge(&tenant, &other.session, &other.pushes(), None).await.unwrap();
    s.town.memory.commit(s.town.tenant, one.batch).await.unwrap();
    let stale: Batch = two.batch;
    assert!(matches!(s.town.memory.commit(s.town.tenant, stale).await, Err(Error::Moved)));
    other.sync(&s.town).await;
    let numbers: BTreeSet<_> =
        [s.town.read::<WorkOrder>(a).await.number, s.town.read::<WorkOrder>(b).await.number].into();
    assert_eq!(numbers.len(), 2);
    s.town.log_is_whole().await;
}

#[tokio::test]
async fn a_first_sync_begins_with_todays_jobs_and_brings_everything_once() {
    let mut s = Story::new(40).await;
    let me = s.first.session.staff;
    // Old jobs, written before and after the day's, with much to read.
    let mut old = Vec::new();
    for n in 0..30 {
        let id: WorkOrderId = s.town.id();
        let item = s.town.id();
        let (customer, far) = (s.customer, NOON.plus(-400 * Millis::DAY));
        s.office.write::<WorkOrder>(id, |w| {
            w.customer = Some(customer);
            w.work_type = Some(WorkType::Repair);
            w.arrival_deadline = Some(far);
            w.dispatch.remarks = Text(format!("旧 {n} ").repeat(400));
            assign(w, item, me);
        });
        old.push(DocId::from(id));
        if n == 15 {
            s.office.write::<WorkOrder>(s.order, |w| w.arrival_deadline = Some(NOON.plus(3_600_000)));
        }
        s.office.sync(&s.town).await;
    }
    s.first.budget = 6 << 10;
    let first = s.first.once(&s.town).await;
    let sent: Vec<DocId> = first.docs.iter().map(|d| d.doc).collect();
    let at = |doc: DocId| sent.iter().position(|d| *d == doc);
    let near = [DocId::from(me), s.order(), s.customer.into()].map(|doc| at(doc).unwrap());
    let far = sent.iter().position(|d| old.contains(d)).unwrap_or(sent.len());
    assert!(near.iter().all(|n| *n < far), "{near:?} {far}");
    assert!(first.more && first.remaining > 10, "{}", first.remaining);
    let pages = s.first.sync(&s.town).await;
    assert!(pages.windows(2).all(|w| w[0].remaining > w[1].remaining), "progress is real");
    s.first.settle(&s.town).await;
    assert!(old.iter().all(|doc| s.first.docs.contains_key(doc)));
    // What one answer holds comes once.
    let mut whole = s.town.phone(me, &[Role::Technician]).await;
    let answer = whole.once(&s.town).await;
    let once: BTreeSet<DocId> = answer.docs.iter().map(|d| d.doc).collect();
    assert!(!answer.more && once.len() == answer.docs.len());
    whole.settle(&s.town).await;
    assert_eq!(whole.digest(), s.first.digest());
    s.town.log_is_whole().await;
}

#[tokio::test]
async fn refused_changes_beyond_the_quota_are_not_taken_and_others_go_through() {
    let mut s = Story::new(41).await;
    s.town.ledger = s.town.ledger.clone().with_aside_quota(2);
    s.second.settle(&s.town).await;
    let orders: Vec<WorkOrderId> = (0..3).map(|_| s.town.id()).collect();
    for order in &orders {
        s.second.write::<WorkOrder>(*order, |w| w.work_type = Some(WorkType::Repair));
    }
    let head = s.town.memory.tenant(s.town.tenant).await.unwrap().unwrap().head;
    let refused = s.town.ledger.sync(&s.second.session, s.second.request()).await.unwrap_err();
    assert_eq!((refused.code(), refused.status()), ("set_aside_quota", 413));
    assert!(s.town.ledger.aside(s.town.tenant, 9).await.unwrap().is_empty(), "all of the message or nothing");
    assert_eq!(s.town.memory.tenant(s.town.tenant).await.unwrap().unwrap().head, head);
    // Fewer at a time, as a device does.
    let all = std::mem::take(&mut s.second.outbox);
    for (n, change) in all.into_iter().enumerate() {
        let mut request = s.second.request();
        request.push =
            vec![Push { doc: change.0.id, kind: change.0.kind, changes: vec![change.1.bytes.into()], sealed: None }];
        let answer = s.town.ledger.sync(&s.second.session, request).await;
        if n < 2 {
            s.second.take(&answer.unwrap());
        } else {
            assert_eq!(answer.unwrap_err().code(), "set_aside_quota");
        }
    }
    let me = s.second.session.staff;
    let request: RequestId = s.town.id();
    s.second.write::<Request>(request, |r| {
        r.author = Some(me);
        r.customer_name = "一".into();
    });
    s.second.settle(&s.town).await;
    assert_eq!(s.town.heads(request).await.len(), 1);
}

#[tokio::test]
async fn of_two_who_give_one_work_number_at_once_one_is_refused() {
    for town in [Town::new(42).await, Town::on_disk(43).await] {
        let admin = Author { roles: [Role::Admin].into(), ..Author::server() };
        let put = |id: StaffId| Command::PutStaff {
            id,
            name: "某人".into(),
            code: "G07".into(),
            phone: String::new(),
            roles: [Role::Technician].into(),
        };
        let (a, b) = (put(town.id()), put(town.id()));
        let (one, two) = tokio::join!(
            town.ledger.execute(town.tenant, &admin, &a, None),
            town.ledger.execute(town.tenant, &admin, &b, None)
        );
        let codes: Vec<_> = [one, two].into_iter().filter_map(|r| Some(r.err()?.code().to_owned())).collect();
        assert_eq!(codes, ["code_taken"]);
        assert_eq!(town.coded("G07").await, 1);
        // Both in one transaction see each other too.
        let (c, d) = (put(town.id()), put(town.id()));
        let both = [c, d].map(|c| match c {
            Command::PutStaff { id, name, phone, roles, .. } => {
                Command::PutStaff { id, name, code: "G08".into(), phone, roles }
            }
            other => other,
        });
        let refused = town.ledger.execute_all(town.tenant, &admin, &both).await.unwrap_err();
        assert!(matches!(&refused, Error::Refused(r) if (r.code.as_str(), r.field.as_str()) == ("code_taken", "code")));
        assert_eq!(town.coded("G08").await, 0);
    }
}

#[tokio::test]
async fn a_decision_on_a_quarter_is_kept_with_the_companys_evidence() {
    let mut s = Story::new(44).await;
    s.first.settle(&s.town).await;
    let who = s.first.session.staff;
    let manager = Author { staff: s.office.session.staff, roles: OFFICE.iter().copied().collect(), device_code: None };
    // NOON lies in the fourth quarter of 2025.
    let key = format!("R1:2025Q4:{who}");
    let decide = async |s: &Story| {
        let id: AppraisalId = s.town.id();
        let appraise = Command::Appraise {
            id,
            proposal: key.clone(),
            decision: Decision::Confirmed,
            severity: None,
            amount: Fen(100),
            major: false,
            reason: "季度".into(),
        };
        s.town.ledger.execute(s.town.tenant, &manager, &appraise, None).await.unwrap();
        let kept: Appraisal = s.town.read(id).await;
        serde_json::from_value::<appraisal::Proposal>(kept.evidence.unwrap().0.clone()).unwrap()
    };
    let facts = |p: &appraisal::Proposal| p.evidence.iter().map(|e| e.fact.clone()).collect::<Vec<_>>();
    let before = decide(&s).await;
    assert_eq!((facts(&before), before.provisional), (vec!["no_complaints".into(), "not_synced".into()], true));
    let complaint = Command::FileComplaint {
        id: s.town.id(),
        customer: s.customer,
        work_order: Some(s.order),
        staff: [who].into(),
        about: ComplaintAbout::Other,
        description: "态度".into(),
        received: None,
    };
    s.town.ledger.execute(s.town.tenant, &manager, &complaint, None).await.unwrap();
    // The quarter ends, and the phone has synced since.
    s.town.env.advance(60 * Millis::DAY);
    s.first.settle(&s.town).await;
    let after = decide(&s).await;
    assert_eq!(
        (facts(&after), after.verdict, after.provisional),
        (vec!["complaint".into()], appraisal::Verdict::NotMet, false)
    );
}

/// A whole phone, its session driven by hand: answers the codes of messages that were refused whole.
fn drive<'a>(
    town: &'a Town,
    who: &'a Session,
    engine: &'a mut onsite_core::Engine,
) -> impl Future<Output = Vec<String>> + 'a {
    use onsite_core::sync::session::{Effect, Event, Failure, Session as Talk, SessionOptions};
    async move {
        let mut talk = Talk::new(SessionOptions::default());
        let (mut event, mut refused) = (Event::Start, Vec::new());
        loop {
            let effects = talk.handle(engine.as_mut(), town.env.now(), event).unwrap();
            let Some(Effect::Send(body)) = effects.into_iter().next() else { return refused };
            event = match town.ledger.sync(who, minicbor_serde::from_slice(&body).unwrap()).await {
                Ok(answer) => Event::Answer(minicbor_serde::to_vec(&answer).unwrap()),
                Err(e) => {
                    refused.push(e.code().to_owned());
                    Event::Failed(Failure { code: e.code().to_owned(), status: e.status(), retry_after: None })
                }
            };
        }
    }
}

#[tokio::test]
async fn a_phone_over_its_quota_keeps_what_is_refused_and_sends_the_rest() {
    use onsite_core::Engine;
    use onsite_core::store::blobs::MemoryBlobs;
    let mut s = Story::new(45).await;
    let who = s.first.session.clone();
    let (other, item) = (s.town.id::<WorkOrderId>(), s.town.id());
    let customer = s.customer;
    s.office.write::<Staff>(who.staff, |p| p.roles = [Role::Technician].into_iter().collect());
    s.office.write::<WorkOrder>(other, |w| {
        w.customer = Some(customer);
        w.work_type = Some(WorkType::Repair);
        w.round = 1;
        assign(w, item, who.staff);
    });
    s.office.sync(&s.town).await;
    let conn = rusqlite::Connection::open_in_memory().unwrap();
    let mut engine = Engine::open(conn, Box::new(s.town.env.clone()), Box::new(MemoryBlobs::new())).unwrap();
    engine.begin_enrolment().unwrap();
    let enrolled = EnrolAnswer {
        tenant: who.tenant,
        company: "浆模设备公司".into(),
        device: who.device,
        device_code: "A1".into(),
        staff: who.staff,
        roles: [Role::Technician].into(),
    };
    engine.finish_enrolment("https://onsite.example", &enrolled).unwrap();
    assert!(drive(&s.town, &who, &mut engine).await.is_empty());
    // Documents that the server will not take: larger than a document may be.
    let visits = [s.order, other].map(|order| {
        engine.execute(&Command::OpenVisit { work_order: order }).unwrap();
        VisitId::of_dispatch(order, 1)
    });
    let note = |engine: &mut Engine, visit, text: String| {
        let id = ItemId(engine.new_id());
        engine.execute(&Command::AddNote { visit, id, text }).unwrap();
    };
    for visit in visits {
        (0..17).for_each(|n| note(&mut engine, visit, format!("{n}{}", "长".repeat(19_990))));
    }
    assert!(drive(&s.town, &who, &mut engine).await.is_empty());
    s.town.ledger = s.town.ledger.clone().with_aside_quota(1);
    for visit in visits {
        note(&mut engine, visit, "多".repeat(20_000));
    }
    let idea = SuggestionId(engine.new_id());
    engine
        .execute(&Command::Suggest { id: idea, title: "改进".into(), text: "模具".into(), work_order: None })
        .unwrap();
    let refused = drive(&s.town, &who, &mut engine).await;
    assert!(!refused.is_empty() && refused.iter().all(|code| code == "set_aside_quota"), "{refused:?}");
    assert_eq!(s.town.ledger.aside(s.town.tenant, 9).await.unwrap().len(), 1);
    assert_eq!(s.town.heads(idea).await.len(), 1, "the other document went through");
    let status = engine.status().unwrap();
    assert_eq!((status.unsent_changes, status.refused, status.safe_to_hand_in), (1, 1, false), "nothing is lost");
    // Once there is room it is set aside like the other.
    s.town.ledger = s.town.ledger.clone().with_aside_quota(2);
    assert!(drive(&s.town, &who, &mut engine).await.is_empty());
    let status = engine.status().unwrap();
    assert_eq!((status.unsent_changes, status.refused), (0, 2));
    s.town.log_is_whole().await;
}

/// A note in somebody's name, at noon.
fn said(by: StaffId, text: &str) -> Atomic<Note> {
    Atomic(Note { mark: Mark { at: Stamp::exact(NOON), by }, text: text.into() })
}

impl Story {
    fn manager(&self) -> Author {
        Author { staff: self.office.session.staff, roles: OFFICE.iter().copied().collect(), device_code: None }
    }

    async fn decide(&self, hash: ChangeHash, what: &AsideCommand) -> Result<()> {
        self.town.ledger.decide_aside(self.town.tenant, &self.manager(), self.visit.into(), hash, what).await
    }

    async fn actions(&self) -> Vec<String> {
        let rows = self.town.memory.audit_log(self.town.tenant, 0, 1000).await.unwrap();
        assert!(crate::storage::audit_holds(&rows));
        rows.iter().map(|r| serde_json::from_str::<crate::storage::Audit>(&r.entry).unwrap().action).collect()
    }

    /// The first technician opens the visit, notes something in the office's name and goes on; all in one push.
    async fn guilty(&mut self) -> (ChangeHash, ChangeHash) {
        self.first.settle(&self.town).await;
        self.first.open(self.order);
        let (other, item) = (self.office.session.staff, self.town.id());
        let bad = self.first.write::<Visit>(self.visit, |v| {
            v.notes.insert(item, said(other, "他人"));
        });
        let on_top = self.first.write::<Visit>(self.visit, |v| v.remarks = Text("随后".into()));
        let answer = self.first.once(&self.town).await;
        assert!(matches!(Phone::fate(&answer, bad), Fate::SetAside { code, .. } if code == "forged_author"));
        assert!(matches!(Phone::fate(&answer, on_top), Fate::SetAside { code, .. } if code == "depends_on_refused"));
        (bad, on_top)
    }
}

fn accept() -> AsideCommand {
    AsideCommand::Accept { reason: "核实过".into() }
}

#[tokio::test]
async fn what_is_written_and_taken_back_in_one_push_is_judged_as_if_it_came_in_two() {
    for together in [true, false] {
        let mut s = Story::new(50).await;
        s.first.settle(&s.town).await;
        let opened = s.first.open(s.order);
        let (other, item, own) = (s.office.session.staff, s.town.id(), s.town.id());
        let me = s.first.session.staff;
        let fine = s.first.write::<Visit>(s.visit, |v| {
            v.notes.insert(own, said(me, "自己"));
        });
        let forged = s.first.write::<Visit>(s.visit, |v| {
            v.notes.insert(item, said(other, "他人"));
        });
        let reverted = s.first.write::<Visit>(s.visit, |v| {
            v.notes.remove(&item);
        });
        let mut fates = BTreeMap::new();
        let batches =
            if together { vec![s.first.outbox.clone()] } else { s.first.outbox.chunks(1).map(<[_]>::to_vec).collect() };
        for batch in batches {
            s.first.outbox = batch;
            for v in s.first.once(&s.town).await.verdicts {
                fates.insert(v.hash, v.fate);
            }
        }
        assert_eq!([&fates[&opened], &fates[&fine]], [&Fate::Accepted; 2]);
        assert!(
            matches!(&fates[&forged], Fate::SetAside { code, field, .. } if code == "forged_author" && field == "notes")
        );
        assert!(matches!(&fates[&reverted], Fate::SetAside { code, .. } if code == "depends_on_refused"));
        assert_eq!(s.town.heads(s.visit).await, [fine]);
    }
}

#[tokio::test]
async fn a_long_push_is_judged_change_by_change() {
    let mut s = Story::new(51).await;
    s.first.settle(&s.town).await;
    s.first.open(s.order);
    let me = s.first.session.staff;
    for n in 0..200 {
        let item = s.town.id();
        s.first.write::<Visit>(s.visit, |v| {
            v.notes.insert(item, said(me, &format!("第 {n} 条")));
        });
    }
    let answer = s.first.once(&s.town).await;
    assert_eq!(answer.verdicts.len(), 201);
    assert!(answer.verdicts.iter().all(|v| v.fate == Fate::Accepted));
    assert_eq!(s.town.read::<Visit>(s.visit).await.notes.len(), 200);
    s.town.log_is_whole().await;
}

#[tokio::test]
async fn accepted_by_the_office_it_is_in_once_and_its_phone_gets_it_back() {
    for town in [Town::new(52).await, Town::on_disk(53).await] {
        let mut s = Story::of(town).await;
        let (bad, on_top) = s.guilty().await;
        // What rests on it comes after it, and not while its phone may be writing it again.
        let code = |r: Result<()>| r.unwrap_err().code().to_owned();
        assert_eq!(code(s.decide(on_top, &accept()).await), "accept_first");
        s.decide(bad, &accept()).await.unwrap();
        assert_eq!(code(s.decide(on_top, &accept()).await), "phone_rewrites");
        assert_eq!(code(s.decide(bad, &accept()).await), "already_decided");
        // The phone took it out; delivered, it is there again, and everybody agrees.
        s.town.env.advance(30_000);
        let answer = s.first.once(&s.town).await;
        let back = answer.docs.iter().find(|d| d.doc == s.visit.into()).unwrap();
        assert!(back.sealed.heads.contains(&bad) && back.changes.len() == 1, "{back:?}");
        s.decide(on_top, &accept()).await.unwrap();
        let visit: Visit = s.town.read(s.visit).await;
        assert_eq!((visit.notes.len(), &*visit.remarks), (1, "随后"));
        s.town.log_is_whole().await;
        assert_eq!(s.actions().await.iter().filter(|a| *a == "set_aside.accepted").count(), 2);
    }
}

#[tokio::test]
async fn a_change_in_another_devices_name_is_never_accepted() {
    let mut s = Story::new(54).await;
    s.first.settle(&s.town).await;
    s.first.actor = s.second.actor;
    let forged = s.first.open(s.order);
    s.first.once(&s.town).await;
    let refused = s.decide(forged, &accept()).await.unwrap_err();
    assert_eq!(refused.code(), "forged_actor");
    s.decide(forged, &AsideCommand::Dismiss { reason: "伪造".into() }).await.unwrap();
    assert!(s.town.heads(s.visit).await.is_empty());
}

#[tokio::test]
async fn of_two_who_decide_at_once_one_has_decided_and_the_other_has_done_nothing() {
    for town in [Town::new(55).await, Town::on_disk(56).await] {
        let mut s = Story::of(town).await;
        let (bad, _) = s.guilty().await;
        let amend = |s: &Story, name: &str| AsideCommand::Amend {
            reason: "代记".into(),
            command: Box::new(Command::PutCustomer {
                id: s.customer,
                name: name.into(),
                code: "C1".into(),
                project_completed: None,
                call_interval_days: None,
            }),
        };
        let (one, two) = (amend(&s, "甲"), amend(&s, "乙"));
        let (a, b) = tokio::join!(s.decide(bad, &one), s.decide(bad, &two));
        assert_eq!([&a, &b].iter().filter(|r| r.is_ok()).count(), 1);
        let winner = if a.is_ok() { "甲" } else { "乙" };
        assert_eq!([a, b].into_iter().find_map(|r| r.err()).unwrap().code(), "already_decided");
        assert_eq!(s.town.read::<Customer>(s.customer).await.name, winner);
        assert_eq!(s.actions().await.iter().filter(|a| *a == "set_aside.amended").count(), 1);
        // A command that a rule refuses decides nothing.
        let mut s = Story::new(57).await;
        let (bad, _) = s.guilty().await;
        assert!(matches!(s.decide(bad, &amend(&s, "")).await, Err(Error::Refused(_))));
        assert!(s.town.ledger.aside(s.town.tenant, 9).await.unwrap().iter().any(|a| a.hash == bad));
    }
}

#[tokio::test]
async fn who_asks_hears_what_was_decided_and_what_was_written_again_is_decided_by_that() {
    let mut s = Story::new(58).await;
    let (bad, on_top) = s.guilty().await;
    let visit = DocId::from(s.visit);
    s.decide(bad, &AsideCommand::Dismiss { reason: "不实".into() }).await.unwrap();
    let asked = |instead| {
        vec![Undecided { doc: visit, hash: bad, instead: None }, Undecided { doc: visit, hash: on_top, instead }]
    };
    // Others hear nothing; what is not here yet decides nothing.
    let request = SyncRequest { refused: asked(None), ..s.second.request() };
    assert!(s.town.ledger.sync(&s.second.session, request).await.unwrap().decided.is_empty());
    let request = SyncRequest { refused: asked(Some(ChangeHash([7; 32]))), ..s.first.request() };
    let answer = s.town.ledger.sync(&s.first.session, request).await.unwrap();
    let heard: Vec<_> = answer.decided.iter().map(|d| (d.hash, d.verdict.as_str(), d.reason.as_str())).collect();
    assert_eq!(heard, [(bad, "dismissed", "不实")]);
    // Written again by another incarnation, sent along with the word about it.
    let log = s.town.memory.history(s.town.tenant, visit).await.unwrap();
    s.first.docs.insert(visit, Doc::load(Kind::Visit, None, log.iter().map(|r| &r.body)).unwrap());
    s.first.actor.incarnation = [2; 8];
    let again = s.first.write::<Visit>(s.visit, |v| v.remarks = Text("随后".into()));
    for _ in 0..2 {
        let request = SyncRequest { refused: asked(Some(again)), ..s.first.request() };
        let answer = s.town.ledger.sync(&s.first.session, request).await.unwrap();
        assert_eq!(answer.decided.iter().map(|d| d.verdict.as_str()).collect::<Vec<_>>(), ["dismissed", "rewritten"]);
    }
    assert!(s.town.ledger.aside(s.town.tenant, 9).await.unwrap().is_empty(), "nothing is left to decide");
    assert_eq!(s.decide(on_top, &accept()).await.unwrap_err().code(), "already_decided");
    assert_eq!(s.actions().await.iter().filter(|a| *a == "set_aside.rewritten").count(), 1);
    assert_eq!(&*s.town.read::<Visit>(s.visit).await.remarks, "随后");
}

#[tokio::test]
async fn what_rests_on_a_refused_change_is_set_aside_also_from_another_phone_and_later() {
    let mut s = Story::new(59).await;
    let (item, b) = (s.town.id(), s.second.session.staff);
    s.office.write::<WorkOrder>(s.order, |w| assign(w, item, b));
    s.office.sync(&s.town).await;
    s.second.settle(&s.town).await;
    let (bad, _) = s.guilty().await;
    // A phone that somehow holds it: the second writes on top of it.
    let mut doc = Doc::new(Kind::Visit);
    let held = s.first.docs[&DocId::from(s.visit)].changes();
    let at = held.iter().position(|c| c.header.hash == bad).unwrap();
    doc.apply(held[..=at].iter().map(|c| &c.bytes)).unwrap();
    s.second.docs.insert(s.visit.into(), doc);
    let later = s.second.write::<Visit>(s.visit, |v| v.diagnosis = Text("泵".into()));
    let answer = s.second.once(&s.town).await;
    assert!(matches!(Phone::fate(&answer, later), Fate::SetAside { code, .. } if code == "depends_on_refused"));
    let rows = s.town.ledger.aside(s.town.tenant, 9).await.unwrap();
    let row = rows.iter().find(|r| r.hash == later).unwrap();
    assert_eq!((row.because_of, row.staff, row.device), (Some(bad), b, s.second.session.device));
    // In order they can be accepted, once the second phone has been heard of again.
    s.decide(bad, &accept()).await.unwrap();
    s.town.env.advance(30_000);
    s.second.once(&s.town).await;
    s.decide(later, &accept()).await.unwrap();
    assert_eq!(&*s.town.read::<Visit>(s.visit).await.diagnosis, "泵");
}

#[tokio::test]
async fn what_a_revoked_phone_had_sent_can_still_be_decided() {
    let mut s = Story::new(60).await;
    let (bad, on_top) = s.guilty().await;
    let boss = s.office.session.staff;
    crate::auth::revoke(&s.town.ledger, s.town.tenant, boss, s.first.session.device).await.unwrap();
    // Nobody will write it again: both go in as they are.
    s.decide(bad, &accept()).await.unwrap();
    s.decide(on_top, &accept()).await.unwrap();
    let visit: Visit = s.town.read(s.visit).await;
    assert_eq!((visit.notes.len(), &*visit.remarks), (1, "随后"));
    let actions = s.actions().await;
    let last: Vec<_> = actions.iter().rev().take(3).rev().map(String::as_str).collect();
    assert_eq!(last, ["device.revoke", "set_aside.accepted", "set_aside.accepted"]);
}

#[tokio::test]
async fn who_may_do_what_and_by_which_settings_is_told_in_the_audit_chain() {
    for town in [Town::new(61).await, Town::on_disk(62).await] {
        let mut s = Story::of(town).await;
        let who = s.second.session.staff;
        // From a phone and from the office, without names or numbers of people.
        s.office.write::<Staff>(who, |x| {
            x.roles = [Role::Technician, Role::Admin].into_iter().collect();
            x.phone = "13900009999".into();
        });
        s.office.sync(&s.town).await;
        let patch = SettingsPatch { company: Some("新名".into()), ..SettingsPatch::default() };
        let admin = s.manager();
        s.town.ledger.execute(s.town.tenant, &admin, &Command::ChangeSettings(patch), None).await.unwrap();
        let leaves = Command::StaffLeaves { id: who, reason: "离职".into() };
        s.town.ledger.execute(s.town.tenant, &admin, &leaves, None).await.unwrap();
        let rows = s.town.memory.audit_log(s.town.tenant, 0, 1000).await.unwrap();
        assert!(crate::storage::audit_holds(&rows));
        let all: Vec<crate::storage::Audit> = rows.iter().map(|r| serde_json::from_str(&r.entry).unwrap()).collect();
        let actions: Vec<_> = all.iter().map(|a| a.action.as_str()).collect();
        let told = ["staff.add", "staff.add", "staff.add", "staff.change", "settings.add", "staff.change"];
        assert_eq!(actions, told);
        assert!(all.iter().all(|a| a.by == admin.staff));
        assert!(all[3].detail["roles"][1].to_string().contains("admin"), "{}", all[3].detail);
        assert_eq!(all[5].detail["left"], true);
        let text: String = rows.iter().map(|r| r.entry.as_str()).collect();
        assert!(!text.contains("13900009999") && !text.contains("张三") && text.contains("phone"), "{text}");
    }
}

/// What a phone pushes, and whether it is refused in the end.
type Pushed = (DocRef, Vec<u8>, ChangeHash, bool);

/// Two phones write into one visit and their own requests: innocent, guilty, malformed, and each on top of another.
fn scribble(s: &mut Story, deeds: &[(u8, bool)]) -> Vec<Vec<Pushed>> {
    let (visit, boss) = (DocRef::new(Kind::Visit, s.visit), s.office.session.staff);
    let (at, order) = (s.visit, s.order);
    let mut tainted = BTreeSet::new();
    let mut lines = vec![Vec::new(), Vec::new()];
    let first: Vec<(u8, bool)> = vec![(9, false), (9, true)];
    for (n, (deed, second)) in first.iter().chain(deeds).enumerate() {
        let item: ItemId = s.town.id();
        let request: RequestId = s.town.id();
        let phone = if *second { &mut s.second } else { &mut s.first };
        let me = phone.session.staff;
        let guilty = matches!(deed, 2 | 3);
        match deed {
            9 => drop(phone.open(order)),
            0 => drop(phone.write::<Visit>(at, |v| v.remarks = Text(format!("{}{n}", v.remarks.0)))),
            1 => drop(phone.write::<Visit>(at, |v| drop(v.notes.insert(item, said(me, "自己"))))),
            2 => drop(phone.write::<Visit>(at, |v| drop(v.notes.insert(item, said(boss, "他人"))))),
            3 => {
                let Entity::Visit(now) = phone.docs[&visit.id].entity().unwrap() else { unreachable!() };
                let Some(last) = now.notes.keys().next_back().copied() else { continue };
                phone.write::<Visit>(at, |v| drop(v.notes.remove(&last)));
            }
            4 => drop(phone.write::<Request>(request, |r| r.author = Some(me))),
            5 => {
                let bytes = vec![u8::try_from(n).unwrap(); 40];
                let name = ChangeHash(sha2::Sha256::digest(&bytes[8..]).into());
                lines[usize::from(*second)].push((visit, bytes, name, true));
            }
            _ => {
                // Written on by another incarnation, on what is innocent only.
                let clean = phone.docs[&visit.id].changes();
                let clean: Vec<_> = clean.into_iter().filter(|c| !tainted.contains(&c.header.hash)).collect();
                let mut doc = Doc::new(Kind::Visit);
                doc.apply(clean.iter().map(|c| &c.bytes)).unwrap();
                phone.docs.insert(visit.id, doc);
                phone.actor.incarnation = [u8::try_from(n + 2).unwrap(); 8];
            }
        }
        for (doc, change) in phone.outbox.drain(..) {
            let refused = guilty || change.header.deps.iter().any(|d| tainted.contains(d));
            if refused {
                tainted.insert(change.header.hash);
            }
            lines[usize::from(*second)].push((doc, change.bytes, change.header.hash, refused));
        }
    }
    lines
}

/// Pushes some changes in their order; what is said of each is one of what may be.
async fn send(s: &mut Story, second: bool, part: &[Pushed]) {
    let mut push: Vec<Push> = Vec::new();
    for (doc, bytes, _, _) in part {
        match push.last_mut() {
            Some(p) if p.doc == doc.id => p.changes.push(bytes.clone().into()),
            _ => push.push(Push { doc: doc.id, kind: doc.kind, changes: vec![bytes.clone().into()], sealed: None }),
        }
    }
    let phone = if second { &mut s.second } else { &mut s.first };
    let request = SyncRequest { push, ..phone.request() };
    let answer = s.town.ledger.sync(&phone.session, request).await.unwrap();
    phone.mark.clone_from(&answer.mark);
    for (_, _, hash, refused) in part {
        let fates: Vec<_> = answer.verdicts.iter().filter(|v| v.hash == *hash).map(|v| &v.fate).collect();
        assert!(!fates.is_empty(), "nothing is said of {hash}");
        for fate in fates {
            match fate {
                Fate::Accepted => assert!(!refused, "a guilty change is in"),
                Fate::SetAside { code, .. } => assert!(refused, "an innocent one is set aside: {code}"),
                Fate::NeedDeps(_) => {}
                Fate::ActorReused | Fate::Later => panic!("{fate:?}"),
            }
        }
    }
}

/// Cuts what two phones wrote into messages; answers what is in the log and what is set aside.
async fn pushed_in(deeds: &[(u8, bool)], cuts: &[usize], repeat: bool, late: bool) -> [BTreeSet<ChangeHash>; 2] {
    let mut s = Story::new(70).await;
    let (item, b) = (s.town.id(), s.second.session.staff);
    s.office.write::<WorkOrder>(s.order, |w| assign(w, item, b));
    s.office.sync(&s.town).await;
    s.first.settle(&s.town).await;
    s.second.settle(&s.town).await;
    let lines = scribble(&mut s, deeds);
    let mut sizes = cuts.iter().cycle();
    let mut done = [usize::from(late), 0];
    while (0..2).any(|p| done[p] < lines[p].len()) {
        for p in 0..2 {
            let from = done[p].min(lines[p].len());
            let to = (from + sizes.next().unwrap()).min(lines[p].len());
            // Some of the last message comes again.
            let from = if repeat { from.saturating_sub(1) } else { from };
            send(&mut s, p == 1, &lines[p][from..to]).await;
            done[p] = to.max(done[p]);
        }
    }
    // Whatever was asked for comes again, with what it rests on: twice, the second time nothing happens.
    let mut after = Vec::new();
    for _ in 0..2 {
        for (p, line) in lines.iter().enumerate() {
            send(&mut s, p == 1, line).await;
        }
        let log = s.town.memory.log(s.town.tenant, 0, usize::MAX).await.unwrap();
        let aside = s.town.ledger.aside(s.town.tenant, 10_000).await.unwrap();
        after.push((log.len(), aside.len()));
        s.town.log_is_whole().await;
        let log: BTreeSet<_> = log.into_iter().map(|r| r.hash).collect();
        let aside: BTreeSet<_> = aside.into_iter().map(|a| a.hash).collect();
        for (_, _, hash, refused) in lines.iter().flatten() {
            assert_eq!((log.contains(hash), aside.contains(hash)), (!refused, *refused), "in exactly one place");
        }
    }
    assert_eq!(after[0], after[1], "sending it all again changes nothing");
    let of = |refused| lines.iter().flatten().filter(|p| p.3 == refused).map(|p| p.2).collect();
    [of(false), of(true)]
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 24, ..Default::default() })]

    /// However it is cut into messages, in whatever company: the same changes are in the log, the
    /// same are set aside, and nothing is nowhere.
    #[test]
    fn what_becomes_of_a_change_does_not_depend_on_how_it_is_sent(
        deeds in proptest::collection::vec((0_u8..7, proptest::bool::ANY), 1..24),
        cuts in proptest::collection::vec(1_usize..9, 1..6),
        repeat in proptest::bool::ANY,
        late in proptest::bool::ANY,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let parts = runtime.block_on(pushed_in(&deeds, &cuts, repeat, late));
        let whole = runtime.block_on(pushed_in(&deeds, &[1000], false, false));
        assert_eq!(parts, whole);
    }
}

/// Found by the simulation: an edit that came between a rule's reading and the loading of its document was undone.
#[tokio::test]
async fn what_comes_between_reading_and_loading_is_not_undone() {
    let town = Town::new(4711).await;
    let clerk = Author { staff: town.id(), roles: [Role::Clerk].into(), device_code: None };
    let id: CustomerId = town.id();
    let put = |name: &str| Command::PutCustomer {
        id,
        name: name.into(),
        code: "K1".into(),
        project_completed: None,
        call_interval_days: None,
    };
    town.ledger.execute(town.tenant, &clerk, &put("旧名"), None).await.unwrap();
    let at = DocRef::new(Kind::Customer, id);
    let draft = || draft::Draft::new(&town.ledger, town.tenant, 1);

    let (mut early, mut absent) = (draft(), draft());
    let read = early.reader.ask(|w| w.get::<Customer>(id).map(Cow::into_owned)).await.unwrap();
    assert_eq!(read.unwrap().name, "旧名");
    let later: CustomerId = town.id();
    assert!(!absent.reader.ask(|w| w.get::<Customer>(later).is_some()).await.unwrap());
    town.ledger.execute(town.tenant, &clerk, &put("新名"), None).await.unwrap();
    let other = Command::PutCustomer {
        id: later,
        name: "乙厂".into(),
        code: "K2".into(),
        project_completed: None,
        call_interval_days: None,
    };
    town.ledger.execute(town.tenant, &clerk, &other, None).await.unwrap();
    assert!(matches!(early.load(&[at]).await, Err(Error::Moved)));
    assert!(matches!(absent.load(&[DocRef::new(Kind::Customer, later)]).await, Err(Error::Moved)));
    let mut fresh = draft();
    fresh.load(&[at]).await.unwrap();
    assert_eq!(fresh.reader.ask(|w| w.get::<Customer>(id).unwrap().name.clone()).await.unwrap(), "新名");

    // Who prepares a commit decides anew then.
    let tries = std::cell::Cell::new(0);
    let prepare = || async {
        tries.set(tries.get() + 1);
        if tries.get() < 3 { Err(Error::Moved) } else { Ok((Batch::default(), tries.get())) }
    };
    assert_eq!(town.ledger.commit(town.tenant, prepare).await.unwrap().1, 3);
}
