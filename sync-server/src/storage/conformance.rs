//! What every storage must do: the same on all of them, and the same as each other.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use onsite_core::domain::{DocRef, Staff, WorkOrder};
use serde_json::json;
use std::sync::Arc;
use uuid::Uuid;

const T: TenantId = TenantId(Uuid::from_u128(1));
const OTHER: TenantId = TenantId(Uuid::from_u128(2));
const NOW: Millis = Millis(1_800_000_000_000);
const NO_ONE: StaffId = StaffId(Uuid::from_u128(999));

fn doc(n: u64) -> DocId {
    DocId(Uuid::from_u128(0x100 + u128::from(n)))
}

fn staff(n: u64) -> StaffId {
    StaffId(Uuid::from_u128(0x200 + u128::from(n)))
}

fn device(n: u64) -> DeviceId {
    DeviceId(Uuid::from_u128(0x300 + u128::from(n)))
}

fn hash(n: u64) -> ChangeHash {
    ChangeHash(sha2::Sha256::digest(n.to_be_bytes()).into())
}

fn company(id: TenantId) -> Tenant {
    Tenant { id, name: "安居".into(), epoch: u64::MAX - 5, head: 0, secret: [7; 32], created: NOW }
}

fn phone(n: u64, code: &str) -> Device {
    Device {
        id: device(n),
        staff: staff(n),
        code: code.into(),
        name: "phone".into(),
        public_key: vec![1, 2, 3],
        alg: "ed25519".into(),
        app: "1.0".into(),
        enrolled: NOW,
        revoked: None,
    }
}

fn asides(open: bool, limit: usize) -> AsideQuery {
    AsideQuery { open, limit, ..AsideQuery::default() }
}

fn contact(n: u64, pushes: u64) -> DeviceSync {
    DeviceSync {
        device: device(n),
        contact: NOW,
        app: "1.0".into(),
        offset: -5,
        cursor: "v1.1.2".into(),
        account: Account { changes: 3, ..Account::default() },
        pushes,
        last_push: vec![hash(n)],
        own_upto: 0,
    }
}

fn view(id: DocId, kind: Kind, rev: u64, search: &str) -> View {
    let summary = Summary {
        doc: DocRef::new(kind, id),
        parent: None,
        number: "1".into(),
        title: "title".into(),
        subtitle: String::new(),
        status: "open".into(),
        due: None,
        people: Vec::new(),
        flags: Vec::new(),
        search: search.into(),
    };
    View { ver: 0, rev, heads: Vec::new(), entity: "{}".into(), summary, clashes: 0, changed: NOW, fact: None }
}

/// A write of one change (`n` names it) to a document as it stands.
async fn write(s: &dyn Storage, id: DocId, kind: Kind, n: u64, search: &str) -> DocWrite {
    let old = s.load(T, &[id]).await.unwrap().pop();
    let actor = Actor { device: device(1), incarnation: [0; 8] };
    DocWrite {
        doc: id,
        kind,
        expect: old.as_ref().map_or(0, |o| o.content.ver),
        changes: vec![NewChange { hash: hash(n), actor, seq: n, device: device(1), body: n.to_be_bytes().to_vec() }],
        heads: vec![hash(n)],
        snapshot: None,
        view: view(id, kind, old.map_or(0, |o| o.content.rev), search),
        readers: BTreeSet::new(),
        under: BTreeSet::new(),
        over: BTreeSet::new(),
    }
}

fn batch(docs: Vec<DocWrite>) -> Batch {
    Batch { now: NOW, docs, ..Batch::default() }
}

fn refused(id: DocId, n: u64, at: i64) -> SetAside {
    SetAside {
        doc: id,
        kind: Kind::Visit,
        hash: hash(n),
        staff: staff(1),
        device: device(1),
        code: "not_yours".into(),
        field: "notes".into(),
        detail: "不是你的".into(),
        because_of: n.is_multiple_of(2).then(|| hash(n + 1)),
        body: vec![0, 255],
        at: Millis(at),
        decided: None,
    }
}

fn entry(action: &str) -> Audit {
    Audit { at: NOW, by: staff(1), action: action.into(), subject: "x".into(), detail: json!({"a": 1}) }
}

async fn conform(s: &dyn Storage) {
    s.ready().await.unwrap();
    assert_eq!(s.tenant(T).await.unwrap(), None);
    assert_eq!(s.scan(T, NO_ONE, Place { ver: 0, doc: None }, 1).await.unwrap_err().code(), "not_found");
    assert_eq!(s.commit(T, Batch::default()).await.unwrap_err().code(), "not_found");
    s.create_tenant(company(T)).await.unwrap();
    s.create_tenant(company(OTHER)).await.unwrap();
    assert_eq!(s.create_tenant(company(T)).await.unwrap_err().code(), "company_exists");
    s.set_epoch(T, u64::MAX).await.unwrap();
    assert_eq!(s.tenant(T).await.unwrap().unwrap().epoch, u64::MAX);
    assert_eq!(s.tenants().await.unwrap().len(), 2);

    // Commits: numbers, scopes, links, digests.
    let mut order = write(s, doc(1), Kind::WorkOrder, 1, "格力空调 Gree-KFR35 13800138000").await;
    order.readers.insert(staff(1));
    order.over.insert(doc(2));
    let done = s.commit(T, batch(vec![order.clone()])).await.unwrap();
    assert_eq!((done.head, done.people), (1, [staff(1)].into()));
    assert!(matches!(s.commit(T, batch(vec![order])).await, Err(Error::Moved)));
    // The customer comes later and follows the order's reader.
    let customer = write(s, doc(2), Kind::Customer, 2, "王小明").await;
    assert_eq!(s.commit(T, batch(vec![customer])).await.unwrap().people, [staff(1)].into());
    let mut all = write(s, doc(3), Kind::Staff, 3, "张三").await;
    all.readers.insert(EVERYBODY);
    s.commit(T, batch(vec![all])).await.unwrap();
    let start = Place { ver: 0, doc: None };
    let scan = s.scan(T, staff(1), start, 2).await.unwrap();
    assert_eq!((scan.head, scan.rows.len(), scan.remaining, scan.epoch), (3, 2, 1, u64::MAX));
    let held = s.held(T, staff(1)).await.unwrap();
    let mut sum = Digest::default();
    held.iter().for_each(|h| xor(&mut sum, doc_digest(h.doc, &h.heads)));
    assert_eq!((held.len(), sum), (3, scan.digest));
    let mine: BTreeSet<u8> = [range(doc(1)), range(doc(3))].into();
    let some = s.held_in(T, staff(1), &mine).await.unwrap();
    assert_eq!(some, held.iter().filter(|h| mine.contains(&range(h.doc))).cloned().collect::<Vec<_>>());
    assert!(some.len() >= 2 && s.held_in(T, staff(1), &BTreeSet::new()).await.unwrap().is_empty());
    let by_range = s.range_digests(T, staff(1)).await.unwrap();
    assert_eq!(by_range.len(), 256);
    let mut whole = Digest::default();
    by_range.into_iter().for_each(|d| xor(&mut whole, d));
    assert_eq!(whole, scan.digest);
    for (id, hashes, known) in [
        (doc(1), vec![hash(1)], true),
        (doc(1), vec![], true),
        (doc(1), vec![hash(1), hash(2)], false),
        (doc(2), vec![hash(1)], false),
        (doc(9), vec![hash(9)], false),
    ] {
        assert_eq!(s.knows(T, id, &hashes).await.unwrap(), known, "{id} {hashes:?}");
    }
    assert!(s.in_scope(T, NO_ONE, doc(3)).await.unwrap() && !s.in_scope(T, NO_ONE, doc(1)).await.unwrap());
    // Leaving: told once, unless one begins anew.
    let again = write(s, doc(1), Kind::WorkOrder, 4, "格力空调 Gree-KFR35 13800138000").await;
    s.commit(T, batch(vec![again])).await.unwrap();
    let left = s.scan(T, staff(1), Place { ver: 3, doc: None }, 9).await.unwrap();
    assert!(left.rows.len() == 1 && left.rows[0].left);
    assert!(s.scan(T, staff(1), start, 9).await.unwrap().rows.iter().all(|r| !r.left));

    // Another company sees nothing of it.
    assert!(s.log(OTHER, 0, 9).await.unwrap().is_empty() && s.views(OTHER, &[doc(1)]).await.unwrap().is_empty());
    let found = |text: &'static str| Query { search: Some(text.into()), ..Query::default() };
    assert!(s.list(OTHER, &found("空调")).await.unwrap().is_empty());
    for (text, n) in [
        ("空调", 1),
        ("调空", 0),
        ("gree 138", 1),
        ("GREE-kfr", 1),
        ("38001", 1),
        ("8001", 1),
        ("000", 0),
        ("小明", 1),
        ("\"*^", 3),
        ("", 3),
    ] {
        assert_eq!(s.list(T, &found(text)).await.unwrap().len(), n, "{text}");
    }

    // Snapshot and tail.
    let mut snap = write(s, doc(2), Kind::Customer, 5, "李四").await;
    snap.snapshot = Some(vec![9; 9]);
    s.commit(T, batch(vec![snap])).await.unwrap();
    let tail = write(s, doc(2), Kind::Customer, 6, "李四").await;
    s.commit(T, batch(vec![tail])).await.unwrap();
    let loaded = s.load(T, &[doc(9), doc(2)]).await.unwrap().pop().unwrap();
    assert_eq!((loaded.snapshot, loaded.tail.len(), loaded.content.rev), (Some(vec![9; 9]), 1, 3));
    let wants = [Want { doc: doc(2), after: Some(2) }, Want { doc: doc(2), after: None }];
    let bodies = s.bodies(T, &wants).await.unwrap();
    assert_eq!(bodies.iter().map(|b| b.changes.len()).collect::<Vec<_>>(), [2, 1]);
    assert!(s.list(T, &found("小明")).await.unwrap().is_empty());

    // A snapshot made later: only one that is newer than the one there, and not of the future.
    let ver = bodies[1].row.ver;
    for (upto, tail) in [(bodies[1].row.snapshot_upto, 1), (ver + 1, 1), (ver, 0)] {
        s.put_snapshots(T, vec![(doc(2), upto, vec![8; 8]), (doc(78), upto, vec![])]).await.unwrap();
        let loaded = s.load(T, &[doc(2)]).await.unwrap().pop().unwrap();
        assert_eq!(
            (loaded.tail.len(), loaded.snapshot),
            (tail, Some(vec![9 - u8::from(tail == 0); 9 - usize::from(tail == 0)]))
        );
    }
    assert_eq!(s.history(T, doc(2)).await.unwrap().len(), 3);

    // A read mark takes a number, twice on the same document as well.
    let mark = ReadMark { heads: vec![hash(6)], at: NOW, by: staff(1), ver: 0 };
    s.mark_seen(T, doc(2), mark.clone()).await.unwrap();
    assert_eq!(s.mark_seen(T, doc(2), mark.clone()).await.unwrap().head, 8);
    assert_eq!(s.mark_seen(T, doc(77), mark).await.unwrap_err().code(), "not_found");
    let log = s.log(T, 0, 99).await.unwrap();
    assert_eq!(log.iter().map(|r| r.cursor).collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
    assert_eq!(s.history(T, doc(2)).await.unwrap().len(), 3);

    // All or nothing: the second document of the batch has moved, the first stays as it was.
    let (good, mut bad) =
        (write(s, doc(1), Kind::WorkOrder, 50, "x").await, write(s, doc(2), Kind::Customer, 51, "x").await);
    bad.expect += 1;
    assert!(matches!(s.commit(T, batch(vec![good, bad])).await, Err(Error::Moved)));
    assert_eq!(s.tenant(T).await.unwrap().unwrap().head, 8);

    // Devices, commands, counters, refused changes.
    s.put_device(T, phone(1, "A1")).await.unwrap();
    assert_eq!(s.put_device(T, phone(2, "A1")).await.unwrap_err().code(), "device_code_taken");
    s.put_device_sync(T, contact(1, 1)).await.unwrap();
    assert_eq!(s.device_tenant(device(1)).await.unwrap(), Some(T));
    let push = Batch {
        device: Some(device(1)),
        counters: vec![CounterStep { name: "work_order/2026".into(), from: 0, to: 3 }],
        aside: vec![refused(doc(2), 20, 1), refused(doc(2), 21, 2)],
        audit: vec![entry("one"), entry("two")],
        idempotent: Some(Idempotent { key: "k".into(), answer: "{}".into() }),
        device_sync: Some(contact(1, 2)),
        ..batch(Vec::new())
    };
    s.commit(T, push.clone()).await.unwrap();
    assert_eq!(s.commit(T, push.clone()).await.unwrap_err().code(), "command_repeated");
    assert!(matches!(s.commit(T, Batch { idempotent: None, ..push }).await, Err(Error::Moved)));
    assert_eq!(s.counter(T, "work_order/2026").await.unwrap(), 3);
    assert_eq!(s.answered(T, "k").await.unwrap().as_deref(), Some("{}"));
    assert_eq!(s.devices(T).await.unwrap(), [(phone(1, "A1"), Some(contact(1, 2)))]);
    let verdict = AsideDecision { verdict: "accepted".into(), by: staff(1), at: NOW, reason: String::new() };
    let decide = Batch { decisions: vec![(doc(2), hash(20), verdict)], ..batch(Vec::new()) };
    s.commit(T, decide.clone()).await.unwrap();
    assert_eq!(s.commit(T, decide).await.unwrap_err().code(), "already_decided");
    assert_eq!(s.aside(T, &asides(true, 9)).await.unwrap(), [refused(doc(2), 21, 2)]);
    assert_eq!(s.aside(T, &asides(false, 1)).await.unwrap().len(), 1);
    assert_eq!(s.aside_of(T, &[doc(2), doc(2)]).await.unwrap().len(), 2);
    s.put_device(T, Device { revoked: Some(NOW), ..phone(1, "A1") }).await.unwrap();
    let from = Batch { device: Some(device(1)), ..batch(Vec::new()) };
    assert!(matches!(s.commit(T, from).await, Err(Error::Revoked)));
    assert!(s.device(T, device(1)).await.unwrap().unwrap().revoked.is_some());
    assert_eq!(s.device_sync(T, device(1)).await.unwrap(), Some(contact(1, 2)));
    s.audit(T, vec![entry("three")]).await.unwrap();
    assert!(audit_holds(&s.audit_log(T, 0, 9).await.unwrap()));
    assert_eq!(s.audit_log(T, 2, 9).await.unwrap().len(), 1);

    // A device, a record and the audit entry that tells of them: all or nothing.
    let put = |key: &str, expect| RecordWrite {
        tenant: GLOBAL,
        table: "t2".into(),
        record: Record { key: key.into(), body: json!(1), expires: None, ver: 0 },
        expect,
    };
    let enrol = |code: &str, records: Vec<RecordWrite>| Batch {
        devices: vec![phone(9, code)],
        records,
        audit: vec![entry("device.enrol")],
        ..batch(Vec::new())
    };
    assert_eq!(s.commit(T, enrol("A1", Vec::new())).await.unwrap_err().code(), "device_code_taken");
    let twice = enrol("A9", vec![put("u", None), put("v", Some(7))]);
    assert!(matches!(s.commit(T, twice).await, Err(Error::Moved)));
    assert!(s.device(T, device(9)).await.unwrap().is_none());
    assert!(s.record(GLOBAL, "t2", "u", NOW).await.unwrap().is_none());
    assert_eq!(s.audit_log(T, 3, 9).await.unwrap().len(), 0, "nothing is told that was not done");
    assert!(!enrol("A9", Vec::new()).is_empty());
    s.commit(T, enrol("A9", vec![put("u", Some(0))])).await.unwrap();
    assert!(matches!(s.commit(T, enrol("A9", vec![put("u", Some(0))])).await, Err(Error::Moved)));
    s.commit(T, enrol("A9", vec![put("u", Some(1))])).await.unwrap();
    assert_eq!(s.record(GLOBAL, "t2", "u", NOW).await.unwrap().unwrap().ver, 2);
    assert_eq!(s.device(T, device(9)).await.unwrap(), Some(phone(9, "A9")));
    assert_eq!(s.audit_log(T, 3, 9).await.unwrap().len(), 2);

    // Work numbers: of those still here.
    let mut coded = write(s, doc(40), Kind::Staff, 400, "").await;
    (coded.view.summary.number, coded.view.summary.status) = ("G7".into(), "active".into());
    let mut gone = write(s, doc(41), Kind::Staff, 401, "").await;
    (gone.view.summary.number, gone.view.summary.status) = ("G8".into(), "left".into());
    let mut order = write(s, doc(42), Kind::WorkOrder, 402, "").await;
    order.view.summary.number = "G7".into();
    s.commit(T, batch(vec![coded, gone, order])).await.unwrap();
    let asked = Asked { coded: ["G7".into(), "G8".into()].into(), ..Asked::default() };
    let none = |code: &str| (code.to_owned(), Vec::new());
    let coded = [("G7".to_owned(), vec![StaffId::from(doc(40))]), none("G8")].into();
    assert_eq!(s.ask(T, &asked).await.unwrap(), Answers { coded, ..Answers::default() });
    assert_eq!(s.ask(OTHER, &asked).await.unwrap().coded, [none("G7"), none("G8")].into());

    // What is kept beside rows: replaced with its row, found by kind, state and beginning.
    let fact = |starts: Option<i64>, body: &str| {
        Some(Fact { starts: starts.map(Millis), ends: starts.map(|s| Millis(s + 5)), body: body.into() })
    };
    for (n, status, starts) in
        [(70, "open", Some(10)), (71, "open", Some(20)), (72, "shut", Some(30)), (73, "shut", None)]
    {
        let mut w = write(s, doc(n), Kind::WorkOrder, n + 1000, "").await;
        (w.view.summary.status, w.view.fact) = (status.into(), fact(starts, "1"));
        if n == 70 {
            w.view.summary.flags = vec!["opinion_open".into(), "x:y".into()];
            w.over.insert(doc(74));
        }
        s.commit(T, batch(vec![w])).await.unwrap();
    }
    let kept = |n: u64, status: &str, starts, body| FactRow {
        doc: doc(n),
        status: status.into(),
        fact: fact(starts, body).unwrap(),
    };
    let all = [
        kept(70, "open", Some(10), "1"),
        kept(71, "open", Some(20), "1"),
        kept(72, "shut", Some(30), "1"),
        kept(73, "shut", None, "1"),
    ];
    let every = FactQuery::all(Kind::WorkOrder);
    assert_eq!(s.facts(T, &every).await.unwrap(), all);
    let (open, shut) =
        (FactQuery { statuses: vec!["open".into()], ..every.clone() }, vec!["open".into(), "shut".into()]);
    assert_eq!(s.facts(T, &open).await.unwrap(), all[..2]);
    assert_eq!(s.facts(T, &FactQuery { statuses: shut, ..every.clone() }).await.unwrap(), all);
    let within = |from, to| FactQuery { starts: Some((Millis(from), Millis(to))), ..every.clone() };
    assert_eq!(s.facts(T, &within(10, 30)).await.unwrap(), all[..2]);
    assert_eq!(s.facts(T, &within(i64::MIN, i64::MAX)).await.unwrap(), all[..3], "what has no time begins never");
    assert_eq!(s.facts(T, &FactQuery { starts: Some((Millis(11), Millis(99))), ..open }).await.unwrap(), all[1..2]);
    assert!(s.facts(T, &FactQuery::all(Kind::Complaint)).await.unwrap().is_empty());
    assert!(s.facts(OTHER, &every).await.unwrap().is_empty());
    let mut again = write(s, doc(72), Kind::WorkOrder, 2000, "").await;
    (again.view.summary.status, again.view.fact) = ("open".into(), fact(None, "2"));
    s.commit(T, batch(vec![again])).await.unwrap();
    assert_eq!(s.facts(T, &within(0, 99)).await.unwrap(), all[..2]);
    assert_eq!(s.facts(T, &every).await.unwrap()[2], kept(72, "open", None, "2"));
    // By state: counted, with the first of each, under the list's conditions.
    let jobs = Query { kind: Some(Kind::WorkOrder), limit: 2, ..Query::default() };
    let columns = s.columns(T, &jobs).await.unwrap();
    let counted: Vec<_> = columns.iter().map(|c| (c.status.clone(), c.count)).collect();
    assert_eq!(counted, s.counts(T, Kind::WorkOrder).await.unwrap());
    for column in &columns {
        let of = Query { status: Some(column.status.clone()), ..jobs.clone() };
        assert_eq!(column.rows, s.list(T, &of).await.unwrap(), "{}", column.status);
    }
    let of = async |query: Query| {
        let columns = s.columns(T, &query).await.unwrap();
        columns.into_iter().map(|c| (c.status, c.count, c.rows.len())).collect::<Vec<_>>()
    };
    assert_eq!(of(Query { flagged: true, ..jobs.clone() }).await, [("open".to_owned(), 1, 1)]);
    assert_eq!(of(Query { status: Some("shut".into()), ..jobs.clone() }).await, [("shut".to_owned(), 1, 1)]);
    assert!(of(found("小明")).await.is_empty() && s.columns(OTHER, &jobs).await.unwrap().is_empty());
    assert_eq!(s.views(T, &[doc(72)]).await.unwrap()[0].fact, None, "it is no part of the row");
    let flagged = vec!["opinion_open".to_owned(), "x:y".into()];
    assert_eq!(s.flags(T).await.unwrap(), [(DocRef::new(Kind::WorkOrder, doc(70)), flagged)]);
    assert!(s.flags(OTHER).await.unwrap().is_empty());
    let asked = Asked {
        docs: [doc(70), doc(99)].into(),
        linked_to: [doc(74), doc(2)].into(),
        children: [(Kind::WorkOrder, doc(99))].into(),
        ..Asked::default()
    };
    let told = s.ask(T, &asked).await.unwrap();
    let row = s.views(T, &[doc(70)]).await.unwrap().pop().unwrap();
    let told_row = told.contents.into_iter().map(|c| c.shown(row.summary.clone(), None)).collect::<Vec<_>>();
    assert_eq!(told_row, [row], "there is no other");
    assert_eq!(told.linked_to, [(doc(2), vec![doc(1)]), (doc(74), vec![doc(70)])].into());
    assert_eq!(told.children, [((Kind::WorkOrder, doc(99)), Vec::new())].into());
    let elsewhere = s.ask(OTHER, &asked).await.unwrap();
    assert!(elsewhere.contents.is_empty() && elsewhere.linked_to.values().all(Vec::is_empty));
    let waiting = s.waiting(T).await.unwrap();
    assert_eq!((waiting.clashing, waiting.refused), (0, [(device(1), 1)].into()));
    let mut clashing = write(s, doc(71), Kind::WorkOrder, 2001, "").await;
    clashing.view.clashes = 2;
    s.commit(T, batch(vec![clashing])).await.unwrap();
    assert_eq!(s.waiting(T).await.unwrap().clashing, 1);
    assert_eq!(s.waiting(OTHER).await.unwrap(), Waiting::default());

    // Syncs: the last ones of each device, newest first.
    let note = |n: u64| SyncNote {
        at: Millis(n.cast_signed()),
        app: "1.0".into(),
        offset: -5,
        pushed: n,
        accepted: n,
        refused: 0,
        delivered: 0,
        bytes_in: 1,
        bytes_out: 2,
        unsent: 3,
        error: String::new(),
    };
    let some = |range: std::ops::Range<u64>| range.map(|n| (T, device(1), note(n))).collect::<Vec<_>>();
    s.put_sync_notes(some(0..20)).await.unwrap();
    s.put_sync_notes(vec![(T, device(2), note(7))]).await.unwrap();
    s.put_sync_notes(some(20..NOTES as u64 + 5)).await.unwrap();
    let kept = s.sync_notes(T, device(1)).await.unwrap();
    assert_eq!(kept, (5..NOTES as u64 + 5).rev().map(note).collect::<Vec<_>>());
    assert_eq!(s.sync_notes(T, device(2)).await.unwrap(), [note(7)]);
    assert!(s.sync_notes(OTHER, device(1)).await.unwrap().is_empty());

    // The quota of refused changes: of one device, of those undecided; one that is there already is no new one.
    s.put_device(T, phone(3, "A3")).await.unwrap();
    let of = |n: u64| SetAside { device: device(3), ..refused(doc(2), n, 9) };
    let refusing =
        |asides: Vec<SetAside>| Batch { device: Some(device(3)), aside: asides, aside_quota: 2, ..batch(Vec::new()) };
    s.commit(T, refusing(vec![of(60), of(61)])).await.unwrap();
    s.commit(T, refusing(vec![of(61)])).await.unwrap();
    let before = s.aside(T, &asides(false, 99)).await.unwrap();
    let mut more = refusing(vec![of(62)]);
    more.docs.push(write(s, doc(2), Kind::Customer, 410, "x").await);
    assert_eq!(s.commit(T, more).await.unwrap_err().code(), "set_aside_quota");
    assert_eq!(s.aside(T, &asides(false, 99)).await.unwrap(), before, "nothing of it was taken");
    assert!(!s.knows(T, doc(2), &[hash(410)]).await.unwrap());
    let verdict = AsideDecision { verdict: "dismissed".into(), by: staff(1), at: NOW, reason: String::new() };
    s.commit(T, Batch { decisions: vec![(doc(2), hash(60), verdict)], ..batch(Vec::new()) }).await.unwrap();
    s.commit(T, refusing(vec![of(62)])).await.unwrap();
    // One after another they are the same; those of one phone alone.
    let all = s.aside(T, &asides(false, 99)).await.unwrap();
    let (mut walked, mut query) = (Vec::new(), asides(false, 1));
    while let [row] = s.aside(T, &query).await.unwrap().as_slice() {
        query.after = Some(row.into());
        walked.push(row.clone());
    }
    assert_eq!(walked, all);
    assert!(all.is_sorted_by_key(AsidePlace::from));
    let theirs = AsideQuery { device: Some(device(1)), ..asides(true, 99) };
    let expected: Vec<_> = all.iter().filter(|a| a.device == device(1) && a.decided.is_none()).cloned().collect();
    assert_eq!(s.aside(T, &theirs).await.unwrap(), expected);
    assert!(s.aside(T, &AsideQuery { device: Some(device(77)), ..theirs }).await.unwrap().is_empty());
    s.commit(T, Batch { aside_quota: 0, ..refusing(vec![of(63)]) }).await.unwrap();

    // Records.
    let record = |key: &str, ends: Option<i64>| Record {
        key: key.into(),
        body: json!({"n": 1.5}),
        expires: ends.map(Millis),
        ver: 0,
    };
    for (expect, put) in [(Some(1), false), (Some(0), true), (Some(0), false), (Some(1), true), (None, true)] {
        assert_eq!(s.put_record(GLOBAL, "t", record("a", None), expect, NOW).await.unwrap(), put);
    }
    assert_eq!(s.record(GLOBAL, "t", "a", NOW).await.unwrap().unwrap().ver, 3);
    s.put_record(GLOBAL, "t", record("b", Some(NOW.0)), None, NOW).await.unwrap();
    s.put_record(GLOBAL, "t", record("c", Some(NOW.0 + 1)), None, NOW).await.unwrap();
    assert_eq!(s.record(GLOBAL, "t", "b", NOW).await.unwrap(), None);
    assert_eq!(s.records(GLOBAL, "t", "a", 9, NOW).await.unwrap().len(), 1);
    assert_eq!(s.expire_records(NOW).await.unwrap(), 1);
    assert!(s.take_record(GLOBAL, "t", "c", NOW).await.unwrap().is_some());
    assert!(s.take_record(GLOBAL, "t", "c", NOW).await.unwrap().is_none());

    // Those of a company.
    for (key, of, ends) in [("a", T, None), ("b", OTHER, None), ("c", T, Some(NOW.0)), ("d", T, Some(NOW.0 + 1))] {
        let record = Record { body: json!({ "tenant": of, "n": 1 }), ..record(key, ends) };
        s.put_record(GLOBAL, "of", record.clone(), None, NOW).await.unwrap();
        s.put_record(GLOBAL, "other", record.clone(), None, NOW).await.unwrap();
        s.put_record(T, "of", Record { key: format!("own {key}"), ..record }, None, NOW).await.unwrap();
    }
    s.put_record(GLOBAL, "of", record("e", None), None, NOW).await.unwrap();
    let of = async |company| {
        let found = s.records_of(company, "of", NOW).await.unwrap();
        found.into_iter().map(|r| r.key).collect::<Vec<_>>()
    };
    assert_eq!((of(T).await, of(OTHER).await), (vec!["a".to_owned(), "d".to_owned()], vec!["b".to_owned()]));
    assert!(s.records_of(GLOBAL, "of", NOW).await.unwrap().is_empty());
    let moved = Record { body: json!({ "tenant": OTHER }), ..record("a", None) };
    s.put_record(GLOBAL, "of", moved, None, NOW).await.unwrap();
    s.take_record(GLOBAL, "of", "d", NOW).await.unwrap();
    assert_eq!((of(T).await, of(OTHER).await), (Vec::<String>::new(), vec!["a".to_owned(), "b".to_owned()]));

    // Blobs.
    let blob = BlobRow {
        sha256: Sha256([1; 32]),
        size: 10,
        complete: false,
        received: 4,
        state: "s".into(),
        device: device(1),
        created: NOW,
    };
    s.put_blob(T, blob.clone()).await.unwrap();
    assert_eq!(s.blob(T, blob.sha256).await.unwrap(), Some(blob.clone()));
    s.drop_blob(T, blob.sha256).await.unwrap();
    assert_eq!(s.blob(T, blob.sha256).await.unwrap(), None);
    s.ready().await.unwrap();
}

/// xorshift: the same numbers everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// What a storage answers to a random sequence of commits and questions.
async fn transcript(s: &dyn Storage, seed: u64) -> Vec<String> {
    let mut d = Dice(seed);
    let mut said = Vec::new();
    s.create_tenant(company(T)).await.unwrap();
    let words = ["空调", "不制冷", "gree", "KFR-35", "1380013", "é́x", "王小明", "ﬁn", "½", "８00", "HK2000", "13-8001"];
    for n in 1..160_u64 {
        let id = doc(d.below(8));
        let kind = Kind::ALL[usize::try_from(id.0.as_u128() % 3).unwrap() + 3];
        let text: Vec<&str> = (0..d.below(4)).map(|_| words[usize::try_from(d.below(12)).unwrap()]).collect();
        let mut w = write(s, id, kind, n, &text.join(" ")).await;
        w.expect += u64::from(d.one_in(20));
        w.readers = (0..d.below(3)).map(|_| staff(d.below(3))).collect();
        w.readers.extend(d.one_in(9).then_some(EVERYBODY));
        w.under = (0..d.below(2)).map(|_| doc(d.below(8))).collect();
        w.over = (0..d.below(2)).map(|_| doc(d.below(8))).collect();
        w.snapshot = d.one_in(4).then(|| vec![u8::try_from(n).unwrap()]);
        w.view.summary.status = ["open", "done", "办理中"][usize::try_from(d.below(3)).unwrap()].into();
        w.view.summary.due = (!d.one_in(3)).then(|| Millis(i64::try_from(d.below(5)).unwrap() - 2));
        w.view.summary.people = (0..d.below(3)).map(|_| staff(d.below(3))).collect();
        w.view.summary.parent = d.one_in(2).then(|| doc(d.below(8)));
        w.view.summary.flags = d.one_in(3).then(|| "f".to_owned()).into_iter().collect();
        w.view.clashes = u32::try_from(d.below(2)).unwrap();
        let touched = s.views(T, &[doc(d.below(8))]).await.unwrap();
        let touched = touched.into_iter().filter(|v| v.summary.doc.id != id).collect();
        said.push(format!("{:?}", s.commit(T, Batch { touched, ..batch(vec![w]) }).await));
        if d.one_in(6) {
            let mark = ReadMark { heads: Vec::new(), at: NOW, by: staff(0), ver: 0 };
            said.push(format!("{:?}", s.mark_seen(T, doc(d.below(8)), mark).await));
        }
        let who = [staff(d.below(3)), EVERYBODY][usize::from(d.one_in(5))];
        let place = Place { ver: d.below(n + 2), doc: d.one_in(2).then(|| doc(d.below(8))) };
        said.push(format!("{:?}", s.scan(T, who, place, usize::try_from(d.below(6)).unwrap()).await));
        said.push(format!("{:?}", s.held(T, who).await));
        let ranges: BTreeSet<u8> = (0..d.below(200)).map(|_| u8::try_from(d.below(256)).unwrap()).collect();
        said.push(format!("{:?}", s.held_in(T, who, &ranges).await));
        said.push(format!("{:?}", s.range_digests(T, who).await));
        said.push(format!("{:?}", s.knows(T, id, &[hash(n), hash(1 + d.below(n))]).await));
        let asked = Asked {
            docs: (0..d.below(4)).map(|_| doc(d.below(9))).collect(),
            children: (0..d.below(3)).map(|_| (kind, doc(d.below(8)))).collect(),
            linked_to: (0..d.below(3)).map(|_| doc(d.below(8))).collect(),
            coded: ["1".into()].into(),
        };
        said.push(format!("{:?}", s.ask(T, &asked).await));
        let mut query = Query {
            kind: d.one_in(3).then_some(kind),
            status: d.one_in(3).then(|| "open".into()),
            parent: d.one_in(5).then(|| doc(d.below(8))),
            person: d.one_in(3).then(|| staff(d.below(3))),
            due_from: d.one_in(4).then_some(Millis(-1)),
            due_before: d.one_in(4).then_some(Millis(1)),
            clashes: d.one_in(4),
            flagged: d.one_in(4),
            search: d.one_in(2).then(|| words[usize::try_from(d.below(12)).unwrap()].into()),
            latest: d.one_in(2),
            after: None,
            limit: usize::try_from(d.below(4)).unwrap(),
        };
        loop {
            let page = s.list(T, &query).await.unwrap();
            said.push(format!("{query:?} {page:?}"));
            let Some(last) = page.last() else { break };
            query.after = Some(last.key());
        }
        said.push(format!("{:?}", s.counts(T, kind).await));
        said.push(format!("{:?}", s.children(T, kind, doc(d.below(8))).await));
    }
    let docs: Vec<DocId> = (0..9).map(doc).collect();
    said.push(format!("{:?}", s.load(T, &docs).await));
    said.push(format!("{:?}", s.log(T, 0, usize::MAX).await));
    said.push(format!("{:?}", s.tenants().await));
    said
}

/// Many commit at once: no number is missing, none is seen before its predecessor.
async fn crowd(s: Arc<dyn Storage>) {
    s.create_tenant(company(T)).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8_u64 {
        let s = Arc::clone(&s);
        tasks.spawn(async move {
            for n in 0..20 {
                // Half of them fight over one document.
                let id = doc(if n % 2 == 0 { 500 } else { task });
                loop {
                    let w = write(&*s, id, Kind::Visit, task * 100 + n + 1, "x").await;
                    match s.commit(T, batch(vec![w])).await {
                        Err(Error::Moved) => {}
                        done => {
                            done.unwrap();
                            break;
                        }
                    }
                }
            }
        });
    }
    let mut last = 0;
    while last < 160 {
        let rows = s.log(T, last, 1000).await.unwrap();
        for row in rows {
            last += 1;
            assert_eq!(row.cursor, last);
        }
        while let Some(done) = tasks.try_join_next() {
            done.unwrap();
        }
        tokio::task::yield_now().await;
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(s.tenant(T).await.unwrap().unwrap().head, 160);
}

fn sqlite() -> (tempfile::TempDir, SqliteStorage) {
    let folder = tempfile::tempdir().unwrap();
    let storage = SqliteStorage::open(&folder.path().join("onsite.db")).unwrap();
    (folder, storage)
}

#[tokio::test]
async fn memory_conforms() {
    conform(&MemoryStorage::new()).await;
}

#[tokio::test]
async fn sqlite_conforms() {
    let (_folder, s) = sqlite();
    conform(&s).await;
}

#[tokio::test]
async fn both_answer_the_same() {
    for seed in [1, 0x5eed, 20_261_124] {
        let (_folder, s) = sqlite();
        let (ours, theirs) = (transcript(&s, seed).await, transcript(&MemoryStorage::new(), seed).await);
        assert_eq!(ours.len(), theirs.len());
        for (n, (a, b)) in ours.iter().zip(&theirs).enumerate() {
            assert_eq!(a, b, "seed {seed}, answer {n}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_leaves_no_gap() {
    crowd(Arc::new(MemoryStorage::new())).await;
    let (_folder, s) = sqlite();
    crowd(Arc::new(s)).await;
}

#[tokio::test]
async fn a_file_lasts_and_is_copied_whole() {
    let (folder, s) = sqlite();
    conform(&s).await;
    let copied = folder.path().join("copy.db");
    s.backup(&copied).await.unwrap();
    let before = (s.log(T, 0, 99).await.unwrap(), s.tenants().await.unwrap());
    drop(s);
    for path in [folder.path().join("onsite.db"), copied] {
        let s = SqliteStorage::open(&path).unwrap();
        assert_eq!((s.log(T, 0, 99).await.unwrap(), s.tenants().await.unwrap()), before);
    }
}

#[test]
fn foreign_newer_and_broken_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    drop(SqliteStorage::open(&path("newer")).unwrap());
    rusqlite::Connection::open(path("newer")).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(SqliteStorage::open(&path("newer")), Err(Error::TooNew { found: 99, .. })));
    rusqlite::Connection::open(path("foreign")).unwrap().execute_batch("CREATE TABLE x (y)").unwrap();
    assert!(matches!(SqliteStorage::open(&path("foreign")), Err(Error::Damaged(_))));
    std::fs::write(path("broken"), [b'x'; 4096]).unwrap();
    assert!(matches!(SqliteStorage::open(&path("broken")), Err(Error::Damaged(_))));
}

/// A file of schema 1, as its first version wrote it: never written again.
const V1: &[u8] = include_bytes!("fixtures/server-v1.sqlite");

#[tokio::test]
async fn schema_1_is_opened_and_upgraded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("onsite.db");
    std::fs::write(&path, V1).unwrap();
    // A row with real content, as a server wrote it, to see its words split anew.
    let staff_row = Staff { name: "王小明".into(), phone: "029-88886666".into(), ..Staff::default() };
    let old = rusqlite::Connection::open(&path).unwrap();
    assert_eq!(old.pragma_query_value(None, "user_version", |r| r.get::<_, i64>(0)).unwrap(), 1);
    let entity = serde_json::to_string(&Entity::Staff(staff_row)).unwrap();
    let sql = "UPDATE view SET entity = ?1 WHERE tenant = ?2 AND doc = ?3";
    assert_eq!(old.execute(sql, rusqlite::params![entity, T.as_bytes(), doc(3).as_bytes()]).unwrap(), 1);
    drop(old);
    let s = SqliteStorage::open(&path).unwrap();
    s.ready().await.unwrap();
    let tenant = s.tenant(T).await.unwrap().unwrap();
    assert_eq!((tenant.name.as_str(), tenant.epoch, tenant.head, tenant.secret), ("安居", u64::MAX, 8, [7; 32]));
    let log = s.log(T, 0, 99).await.unwrap();
    assert_eq!(log.iter().map(|r| r.cursor).collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
    assert_eq!(log[0].body, 1_u64.to_be_bytes());
    let loaded = s.load(T, &[doc(2)]).await.unwrap().pop().unwrap();
    assert_eq!((loaded.snapshot, loaded.tail.len(), loaded.content.rev), (Some(vec![9; 9]), 1, 3));
    let scan = s.scan(T, staff(1), Place { ver: 0, doc: None }, 9).await.unwrap();
    let mut sum = Digest::default();
    s.held(T, staff(1)).await.unwrap().iter().for_each(|h| xor(&mut sum, doc_digest(h.doc, &h.heads)));
    assert_eq!((scan.head, sum), (8, scan.digest));
    assert_eq!(s.aside(T, &asides(true, 9)).await.unwrap(), [refused(doc(2), 21, 2)]);
    assert_eq!(s.device_sync(T, device(1)).await.unwrap(), Some(contact(1, 2)));
    assert!(audit_holds(&s.audit_log(T, 0, 9).await.unwrap()));
    assert_eq!(s.record(GLOBAL, "t", "a", NOW).await.unwrap().unwrap().body, json!({"n": 1.5}));
    assert_eq!(s.answered(T, "k").await.unwrap().as_deref(), Some("{}"));
    // What cannot be read keeps its old words; the rest is found as rows written now.
    for (text, n) in [("李四", 1), ("6666", 1), ("02988886666", 1), ("张三", 0)] {
        let query = Query { search: Some(text.into()), ..Query::default() };
        assert_eq!(s.list(T, &query).await.unwrap().len(), n, "{text}");
    }
    let w = write(&s, doc(50), Kind::Visit, 500, "新").await;
    s.put_device(T, Device { revoked: None, ..phone(1, "A1") }).await.unwrap();
    let refusing =
        Batch { device: Some(device(1)), aside: vec![refused(doc(2), 70, 3)], aside_quota: 1, ..batch(vec![w]) };
    assert_eq!(s.commit(T, refusing.clone()).await.unwrap_err().code(), "set_aside_quota", "old ones count");
    s.commit(T, Batch { aside_quota: 2, ..refusing }).await.unwrap();
    drop(s);
    let s = SqliteStorage::open(&path).unwrap();
    assert_eq!(s.tenant(T).await.unwrap().unwrap().head, 9, "and once is enough");
}

/// A file of schema 2, as its last version wrote it: never written again.
const V2: &[u8] = include_bytes!("fixtures/server-v2.sqlite");

#[tokio::test]
async fn schema_2_is_opened_and_what_is_kept_beside_rows_is_worked_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("onsite.db");
    std::fs::write(&path, V2).unwrap();
    // Rows with real content, as a server wrote them: the file's own hold none.
    let old = rusqlite::Connection::open(&path).unwrap();
    assert_eq!(old.pragma_query_value(None, "user_version", |r| r.get::<_, i64>(0)).unwrap(), 2);
    let put = |id: DocId, entity: Entity| {
        let json = serde_json::to_string(&entity).unwrap();
        let sql = "UPDATE view SET entity = ?1 WHERE tenant = ?2 AND doc = ?3";
        assert_eq!(old.execute(sql, rusqlite::params![json, T.as_bytes(), id.as_bytes()]).unwrap(), 1);
    };
    put(doc(3), Entity::Staff(Staff { name: "王小明".into(), ..Staff::default() }));
    let order = WorkOrder { planned_start: Some(Millis(1000)), round: 1, ..WorkOrder::default() };
    put(doc(1), Entity::WorkOrder(order));
    drop(old);
    let s = SqliteStorage::open(&path).unwrap();
    let staff = s.facts(T, &FactQuery::all(Kind::Staff)).await.unwrap();
    let named: Vec<_> = staff.iter().filter(|r| r.fact.body.contains("王小明")).map(|r| r.doc).collect();
    assert_eq!(named, [doc(3)]);
    let planned = FactQuery { starts: Some((Millis(1000), Millis(1001))), ..FactQuery::all(Kind::WorkOrder) };
    let jobs = s.facts(T, &planned).await.unwrap();
    assert_eq!((jobs.len(), jobs[0].doc, jobs[0].status.as_str()), (1, doc(1), "open"));
    assert!(s.sync_notes(T, device(1)).await.unwrap().is_empty());
    let w = write(&s, doc(50), Kind::Visit, 500, "新").await;
    s.commit(T, batch(vec![w])).await.unwrap();
    drop(s);
    SqliteStorage::open(&path).unwrap().ready().await.unwrap();
}

/// A file of schema 3, as its last version wrote it: never written again.
const V3: &[u8] = include_bytes!("fixtures/server-v3.sqlite");

#[tokio::test]
async fn schema_3_is_opened_and_records_are_found_by_their_company() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("onsite.db");
    std::fs::write(&path, V3).unwrap();
    let old = rusqlite::Connection::open(&path).unwrap();
    assert_eq!(old.pragma_query_value(None, "user_version", |r| r.get::<_, i64>(0)).unwrap(), 3);
    let sql = "INSERT INTO record (tenant, tbl, key, body, expires, ver) VALUES (?1, 'user', ?2, ?3, NULL, 1)";
    for (key, of) in [("li", T), ("wang", OTHER), ("zhao", T)] {
        let body = json!({ "tenant": of }).to_string();
        assert_eq!(old.execute(sql, rusqlite::params![GLOBAL.as_bytes(), key, body]).unwrap(), 1);
    }
    drop(old);
    let s = SqliteStorage::open(&path).unwrap();
    let found = s.records_of(T, "user", NOW).await.unwrap();
    assert_eq!(found.iter().map(|r| r.key.as_str()).collect::<Vec<_>>(), ["li", "zhao"]);
    let w = write(&s, doc(50), Kind::Visit, 500, "新").await;
    s.commit(T, batch(vec![w])).await.unwrap();
    drop(s);
    SqliteStorage::open(&path).unwrap().ready().await.unwrap();
    // Other companies' records are not looked at.
    let conn = rusqlite::Connection::open(&path).unwrap();
    let plan = format!("EXPLAIN QUERY PLAN {}", super::sqlite::RECORDS_OF);
    let values = rusqlite::params![GLOBAL.as_bytes(), "user", T.to_string(), NOW.0];
    let plan: String = conn.query_row(&plan, values, |r| r.get("detail")).unwrap();
    assert!(plan.contains("record_of_company (tenant=? AND tbl=? AND <expr>=?)"), "{plan}");
}

/// A file of schema 4, as its last version wrote it: never written again.
const V4: &[u8] = include_bytes!("fixtures/server-v4.sqlite");

#[tokio::test]
async fn schema_4_is_opened_and_its_log_laid_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("onsite.db");
    std::fs::write(&path, V4).unwrap();
    let old = rusqlite::Connection::open(&path).unwrap();
    assert_eq!(old.pragma_query_value(None, "user_version", |r| r.get::<_, i64>(0)).unwrap(), 4);
    let rows = |conn: &rusqlite::Connection| -> Vec<Vec<rusqlite::types::Value>> {
        let sql = "SELECT tenant, cursor, doc, kind, hash, actor, seq, device, body, received FROM change \
                   ORDER BY tenant, cursor";
        let mut all = conn.prepare(sql).unwrap();
        let all = all.query_map([], |r| (0..10).map(|i| r.get(i)).collect::<rusqlite::Result<_>>()).unwrap();
        all.map(Result::unwrap).collect()
    };
    let before = rows(&old);
    assert!(before.len() > 8, "{}", before.len());
    drop(old);
    let s = SqliteStorage::open(&path).unwrap();
    let conn = rusqlite::Connection::open(&path).unwrap();
    assert_eq!(rows(&conn), before);
    // Of each document what the log has of it, in its order; read marks are no changes.
    let log = s.log(T, 0, 99).await.unwrap();
    let docs: BTreeSet<DocId> = log.iter().map(|r| r.doc).collect();
    for doc in docs {
        let told = s.history(T, doc).await.unwrap();
        let wanted: Vec<_> = log.iter().filter(|r| r.doc == doc && r.hash != ChangeHash([0; 32])).cloned().collect();
        assert_eq!(told, wanted, "{doc}");
    }
    // A number of an actor is there once, as it was.
    let taken = log.iter().find(|r| r.hash != ChangeHash([0; 32])).unwrap().cursor;
    let sql = "INSERT INTO change SELECT NULL, tenant, 900, doc, kind, x'09', actor, seq, device, body, received \
               FROM change WHERE tenant = ?1 AND cursor = ?2";
    assert!(conn.execute(sql, rusqlite::params![T.as_bytes(), taken]).is_err());
    let w = write(&s, doc(50), Kind::Visit, 500, "新").await;
    s.commit(T, batch(vec![w])).await.unwrap();
    drop(s);
    SqliteStorage::open(&path).unwrap().ready().await.unwrap();
}

/// A chain read in pages, as it would be verified.
async fn chain(s: &dyn Storage, page: usize) -> Vec<AuditRow> {
    let mut rows: Vec<AuditRow> = Vec::new();
    loop {
        let more = s.audit_log(T, rows.last().map_or(0, |r| r.n), page).await.unwrap();
        if more.is_empty() {
            return rows;
        }
        rows.extend(more);
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 24, ..Default::default() })]

    /// Whoever changes, takes out or swaps an entry of the audit chain is found out, on every
    /// storage, however it is read; only its last entries can go unseen by itself.
    #[test]
    fn no_entry_of_the_audit_chain_is_changed_unseen(
        commits in proptest::collection::vec(1_usize..4, 2..8),
        page in 1_usize..5,
        at in 0_usize..100,
        with in 0_usize..100,
        bit in 0_usize..4000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (_folder, file) = sqlite();
            let memory = MemoryStorage::new();
            let mut kept = Vec::new();
            for s in [&file as &dyn Storage, &memory] {
                s.create_tenant(company(T)).await.unwrap();
                for (n, count) in commits.iter().enumerate() {
                    let audit = (0..*count).map(|m| entry(&format!("{n}.{m} 某事"))).collect();
                    match n % 2 {
                        0 => s.audit(T, audit).await.unwrap(),
                        _ => drop(s.commit(T, Batch { audit, ..batch(Vec::new()) }).await.unwrap()),
                    }
                }
                kept.push(chain(s, page).await);
            }
            assert_eq!(kept[0], kept[1]);
            let rows = &kept[0];
            assert_eq!(rows.len(), commits.iter().sum::<usize>());
            assert!(audit_holds(rows));
            let (a, b) = (at % rows.len(), with % rows.len());
            let spoil = |f: &dyn Fn(&mut Vec<AuditRow>)| {
                let mut bad = rows.clone();
                f(&mut bad);
                audit_holds(&bad)
            };
            assert!(!spoil(&|r| {
                let mut text = r[a].entry.clone().into_bytes();
                let place = bit % text.len();
                text[place] = if text[place] == b'x' { b'y' } else { b'x' };
                r[a].entry = String::from_utf8_lossy(&text).into_owned();
            }), "an entry was changed");
            assert!(!spoil(&|r| r[a].hash.0[bit % 32] ^= 1), "a hash was changed");
            assert!(!spoil(&|r| r[a].n += 1), "a number was changed");
            assert_eq!(spoil(&|r| drop(r.remove(a))), a + 1 == rows.len(), "an entry was taken out");
            assert_eq!(spoil(&|r| r.swap(a, b)), a == b, "two were swapped");
            assert_eq!(spoil(&|r| {
                let (x, y) = (r[a].entry.clone(), r[b].entry.clone());
                (r[a].entry, r[b].entry) = (y, x);
            }), a == b, "what they say was swapped");
            assert!(!spoil(&|r| r.insert(a, r[a].clone())), "one was put in");
            // Written again from there on with hashes that fit, it differs from what was written down elsewhere.
            let mut forged = rows.clone();
            forged[a].entry.push(' ');
            let mut previous = if a == 0 { Sha256([0; 32]) } else { forged[a - 1].hash };
            for row in &mut forged[a..] {
                row.hash = audit_hash(previous, &row.entry);
                previous = row.hash;
            }
            assert!(audit_holds(&forged) && forged.last().unwrap().hash != rows.last().unwrap().hash);
        });
    }
}

/// The phones' search and the office's answer the same question alike.
#[tokio::test]
async fn phones_and_office_find_the_same() {
    use onsite_core::store::{Store, chunks, views};
    let pieces = [
        "张三",
        "李",
        "四维",
        "空调",
        "HK-2000",
        "HK2000",
        "hk",
        "2000",
        "029-88886666",
        "13800138000",
        "8000",
        "６６６６",
        "SN-20260601-0042",
        "20260601",
        "café",
        "ﬁlter",
        "GX",
        "-",
        "/",
        "泵A7",
        "№5",
    ];
    let mut d = Dice(0x5ea2c4);
    let mut text = |most: u64, glue: [&'static str; 2]| {
        let mut out = String::new();
        for _ in 0..1 + d.below(most) {
            out += pieces[usize::try_from(d.below(21)).unwrap()];
            out += glue[usize::from(d.one_in(3))];
        }
        out
    };
    let texts: Vec<String> = (0..40).map(|_| text(6, [" ", ""])).collect();
    let questions: Vec<String> = (0..300).map(|n| text(3, [" ", ""]).chars().take(1 + n % 12).collect()).collect();
    let (_folder, s) = sqlite();
    let memory = MemoryStorage::new();
    let mut store = Store::open(rusqlite::Connection::open_in_memory().unwrap()).unwrap();
    for storage in [&s as &dyn Storage, &memory] {
        storage.create_tenant(company(T)).await.unwrap();
        for (n, text) in (1..).zip(&texts) {
            let w = write(storage, doc(n), Kind::Visit, n, text).await;
            storage.commit(T, batch(vec![w])).await.unwrap();
        }
    }
    store
        .commit(|tx| {
            for (n, text) in (1..).zip(&texts) {
                let summary = view(doc(n), Kind::Visit, 0, text).summary;
                chunks::put_received(tx, summary.doc, None, &[], &[], &chunks::Seal::default())?;
                views::put(tx, &summary, &Entity::new(Kind::Visit))?;
            }
            Ok(())
        })
        .unwrap();
    let mut hits = 0;
    for question in questions.iter().filter(|q| !onsite_core::domain::words::phrases(q).is_empty()) {
        let query = Query { search: Some(question.clone()), limit: 100, ..Query::default() };
        let ids = |found: Vec<View>| found.into_iter().map(|v| v.summary.doc.id).collect::<BTreeSet<_>>();
        let office = ids(s.list(T, &query).await.unwrap());
        assert_eq!(office, ids(memory.list(T, &query).await.unwrap()), "{question:?}");
        let phone = views::search(store.read(), question, None).unwrap();
        assert_eq!(office, phone.lines.iter().map(|l| l.summary.doc.id).collect(), "{question:?}");
        hits += office.len();
    }
    assert!(hits > 300, "{hits}");
}

/// Records the fixture of the present schema: only ever run before a later one takes its place.
#[tokio::test]
#[ignore = "writes the fixture"]
async fn record_schema_5() {
    let (_folder, s) = sqlite();
    conform(&s).await;
    let to = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/storage/fixtures/server-v5.sqlite"));
    s.backup(to).await.unwrap();
}
