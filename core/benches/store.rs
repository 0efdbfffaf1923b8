//! The device's store: a durable edit beside a bare SQLite transaction of the
//! same bytes; a phone of 10,000 jobs opened, listed and searched.
#![expect(clippy::unwrap_used, reason = "a benchmark")]

use divan::{Bencher, black_box};
use onsite_core::document::{Actor, Change, Doc};
use onsite_core::domain::summary::Summary;
use onsite_core::domain::*;
use onsite_core::store::chunks::{self, Seal};
use onsite_core::store::outbox::Lane;
use onsite_core::store::{Store, views};
use rusqlite::Connection;
use std::path::PathBuf;
use std::sync::LazyLock;
use tempfile::TempDir;
use uuid::Uuid;

fn main() {
    divan::main();
}

const T0: Millis = Millis(1_763_942_400_000);
const JOBS: u32 = 10_000;
const ME: StaffId = StaffId(Uuid::from_u128(1));

fn actor() -> Actor {
    Actor { device: DeviceId(Uuid::from_u128(2)), incarnation: [1; 8] }
}

fn row(doc: DocRef, n: u32, text: &str) -> Summary {
    let family = ["张", "王", "李", "赵", "陈", "刘", "杨", "黄"][n as usize % 8];
    let given = ["三", "伟", "芳", "敏", "静", "强", "磊"][n as usize % 7];
    let closed = n >= 40;
    Summary {
        doc,
        parent: None,
        number: format!("QH-2025-{n:05}"),
        title: format!("华南纸浆模塑{}厂", n % 400),
        subtitle: "主泵漏油,需更换密封圈".into(),
        status: if closed { "archived" } else { "dispatched" }.into(),
        due: Some(T0.plus(-i64::from(n) * 3_600_000)),
        people: vec![ME],
        flags: Vec::new(),
        search: format!(
            "QH-2025-{n:05} 华南纸浆模塑{}厂 {family}{given} 138{:08} 广东省东莞市第{}工业区 主泵漏油 {text}",
            n % 400,
            n * 7919 % 100_000_000,
            n % 90,
        ),
    }
}

/// A visit with a day's content: what an edit in the afternoon rewrites.
fn visit() -> (DocRef, Doc) {
    let id = DocRef::new(Kind::Visit, DocId(Uuid::from_u128(7)));
    let mut doc = Doc::new(Kind::Visit);
    let mut visit = Visit::default();
    let mark = Mark { at: Stamp::exact(T0), by: ME };
    for (n, kind) in (0_u8..).zip(EventKind::ALL) {
        let event = VisitEvent { kind: *kind, mark: mark.clone(), position: None, corrects: None };
        visit.events.insert(ItemId(Uuid::from_bytes([n; 16])), Atomic(event));
    }
    visit.resolution = Text("更换主泵密封圈,清洗滤网,试机两小时,温度与压力正常。".repeat(3));
    doc.write(actor(), ME, T0, &[Write::Put(id.id, Entity::Visit(visit))]).unwrap();
    (id, doc)
}

/// The next edit: a line added to the text.
fn edit(id: DocRef, doc: &mut Doc, n: u64) -> (Change, Entity, Summary) {
    let Entity::Visit(mut visit) = doc.entity().unwrap() else { unreachable!() };
    let text: String = visit.resolution.chars().take(90).chain(format!("第{n}次检查").chars()).collect();
    visit.resolution = Text(text.clone());
    let change = doc.write(actor(), ME, T0, &[Write::Put(id.id, Entity::Visit(visit))]).unwrap().unwrap();
    let entity = doc.entity().unwrap();
    (change, entity, Summary { subtitle: format!("第{n}次检查"), ..row(id, 7, &text) })
}

/// Beside the build, so that it lies on a disk and not in memory.
fn folder() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// A phone with 10,000 jobs, made once.
static PHONE: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
    let dir = folder();
    let path = dir.path().join("phone.sqlite");
    let mut store = Store::open(Connection::open(&path).unwrap()).unwrap();
    let (_, doc) = visit();
    let snapshot = doc.save();
    for first in (0..JOBS).step_by(500) {
        store
            .commit(|tx| {
                for n in first..first + 500 {
                    let id = DocRef::new(Kind::WorkOrder, DocId(Uuid::from_u128(0x1_0000 + u128::from(n))));
                    let sealed = Seal { heads: doc.heads(), seal: vec![1; 32] };
                    chunks::put_received(tx, id, Some(&snapshot), &[], &doc.heads(), &sealed)?;
                    let order = WorkOrder {
                        number: Some(format!("QH-2025-{n:05}")),
                        dispatch: Dispatch { customer_name: format!("华南{}厂", n % 400), ..Dispatch::default() },
                        ..WorkOrder::default()
                    };
                    views::put(tx, &row(id, n, "试机正常"), &Entity::WorkOrder(order))?;
                }
                Ok(())
            })
            .unwrap();
    }
    store.tidy().unwrap();
    (dir, path)
});

/// One edit, durable: change, outbox, rows and search words in one transaction.
#[divan::bench(sample_count = 400, sample_size = 1)]
fn durable_edit(bencher: Bencher) {
    let mut store = Store::open(Connection::open(&PHONE.1).unwrap()).unwrap();
    let (id, mut doc) = visit();
    let mut n = 0;
    bencher
        .with_inputs(|| {
            n += 1;
            let (change, entity, summary) = edit(id, &mut doc, n);
            (change, entity, summary, doc.heads())
        })
        .bench_local_values(|(change, entity, summary, heads)| {
            store
                .commit(|tx| {
                    chunks::put_own(tx, id, &change, &heads, Lane::Work, T0)?;
                    views::put(tx, &summary, &entity)
                })
                .unwrap();
        });
}

/// The same bytes in one bare transaction: one row, no index, nothing else.
#[divan::bench(sample_count = 400, sample_size = 1)]
fn bare_sqlite_transaction(bencher: Bencher) {
    let dir = folder();
    let conn = Connection::open(dir.path().join("bare.sqlite")).unwrap();
    conn.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (id INTEGER PRIMARY KEY, change BLOB, words TEXT, entity BLOB)")
        .unwrap();
    let (id, mut doc) = visit();
    let mut n = 0;
    bencher
        .with_inputs(|| {
            n += 1;
            let (change, entity, summary) = edit(id, &mut doc, n);
            (change.bytes, summary.search, serde_json::to_vec(&entity).unwrap())
        })
        .bench_local_values(|(change, words, entity)| {
            let mut insert = conn.prepare_cached("INSERT INTO t (change, words, entity) VALUES (?1, ?2, ?3)").unwrap();
            insert.execute((change, words, entity)).unwrap();
        });
}

/// Opens a phone of 10,000 jobs and lists today.
#[divan::bench(sample_count = 50, sample_size = 1)]
fn open_and_list_today(bencher: Bencher) {
    let path = &PHONE.1;
    bencher.bench_local(|| {
        let store = Store::open(Connection::open(path).unwrap()).unwrap();
        let lines = views::today(store.read(), ME, T0.plus(-Millis::DAY), T0.plus(1)).unwrap();
        assert_eq!(lines.len(), 40);
        black_box(lines)
    });
}

/// A page of a list.
#[divan::bench(sample_count = 100)]
fn list_page(bencher: Bencher) {
    let store = Store::open(Connection::open(&PHONE.1).unwrap()).unwrap();
    bencher.bench_local(|| views::list(store.read(), Kind::WorkOrder, Some("archived"), None).unwrap());
}

/// Searches: a number, a name, a name with a place, and a word that every job has.
#[divan::bench(args = ["QH-2025-00017", "张三", "王伟 138", "东莞 泵"], sample_count = 100)]
fn search(bencher: Bencher, query: &str) {
    let store = Store::open(Connection::open(&PHONE.1).unwrap()).unwrap();
    bencher.bench_local(|| {
        let page = views::search(store.read(), query, None).unwrap();
        assert!(!page.lines.is_empty());
        black_box(page)
    });
}
