//! The device alone, each figure beside a bare one taken in the same minute:
//! the two take turns, so that what else the machine does concerns both.

use crate::table::Row;
use anyhow::{Context as _, Result, ensure};
use onsite_core::document::{Actor, Change, Doc};
use onsite_core::domain::summary::Summary;
use onsite_core::domain::{
    Command, DeviceId, Dispatch, DocId, DocRef, Entity, EventKind, ItemId, Kind, Millis, RequestId, Role, StaffId,
    TenantId, VisitId, WorkOrder, Write,
};
use onsite_core::engine::Engine;
use onsite_core::env::SystemEnv;
use onsite_core::store::blobs::FolderBlobs;
use onsite_core::store::chunks::{self, Seal};
use onsite_core::store::{Store, views};
use onsite_core::sync::protocol::EnrolAnswer;
use rusqlite::Connection;
use std::path::Path;
use std::time::{Duration, Instant};
use uuid::Uuid;

const JOBS: u32 = 10_000;
const TURNS: usize = 400;
/// The turns' edits go round them: some twenty to each, a day's work.
const VISITS: usize = 20;
/// Edits of one visit in a day without a network, where somebody writes much.
const LONG_DAY: usize = 500;
const ME: StaffId = StaffId(Uuid::from_u128(1));
const T0: Millis = Millis(1_763_942_400_000);

pub(crate) fn run() -> Result<Vec<Row>> {
    let beside = std::env::current_exe()?.parent().context("no folder")?.to_owned();
    let dir = tempfile::Builder::new().prefix("load-").tempdir_in(beside)?;
    let file = dir.path().join("device.sqlite");
    let mut engine = phone(&file, &dir.path().join("blobs"))?;
    let visits = (0..VISITS).map(|_| job(&mut engine)).collect::<Result<Vec<_>>>()?;
    fill(&file)?;
    let mut rows = vec![edit(&mut engine, &visits, &file, &dir.path().join("bare.sqlite"))?];
    rows.push(late(&mut engine)?);
    drop(engine);
    rows.extend(read(&file)?);
    rows.push(document()?);
    Ok(rows)
}

/// A phone that has enrolled.
pub(crate) fn phone(file: &Path, blobs: &Path) -> Result<Engine> {
    let mut engine = Engine::open(Connection::open(file)?, Box::new(SystemEnv), Box::new(FolderBlobs::open(blobs)?))?;
    engine.begin_enrolment()?;
    let answer = EnrolAnswer {
        tenant: TenantId(Uuid::from_u128(3)),
        company: "某某机械".into(),
        device: DeviceId(Uuid::from_u128(2)),
        device_code: "A1".into(),
        staff: ME,
        roles: [Role::Technician].into_iter().collect(),
    };
    engine.finish_enrolment("http://127.0.0.1", &answer)?;
    Ok(engine)
}

/// A visit in the middle of the day.
pub(crate) fn job(engine: &mut Engine) -> Result<VisitId> {
    let request = RequestId(engine.new_id());
    engine.execute(&Command::ReportRepair {
        id: request,
        customer: None,
        customer_name: "华南纸浆模塑厂".into(),
        contact_name: "张三".into(),
        contact_phone: "13800000000".into(),
        address: "广东省东莞市第1工业区".into(),
        equipment: None,
        problem: "主泵漏油,需更换密封圈".into(),
        reported: None,
    })?;
    engine.execute(&Command::OpenUnplannedVisit { request })?;
    let visit = VisitId::of_request(request);
    for event in EventKind::ALL.iter().take(4) {
        let id = ItemId(engine.new_id());
        let event = *event;
        engine.execute(&Command::RecordEvent { visit, id, event, at: None, position: None, corrects: None })?;
    }
    Ok(visit)
}

/// Ten thousand jobs besides, as a sync leaves them.
pub(crate) fn fill(file: &Path) -> Result<()> {
    let mut doc = Doc::new(Kind::WorkOrder);
    let actor = Actor { device: DeviceId(Uuid::from_u128(9)), incarnation: [1; 8] };
    let order = |n: u32| WorkOrder {
        number: Some(format!("QH-2025-{n:05}")),
        dispatch: Dispatch { customer_name: format!("华南纸浆模塑{}厂", n % 400), ..Dispatch::default() },
        ..WorkOrder::default()
    };
    let put = Write::Put(DocId(Uuid::from_u128(7)), Entity::WorkOrder(order(0)));
    doc.write(actor, ME, T0, &[put])?;
    let (snapshot, heads) = (doc.save(), doc.heads());
    let mut store = Store::open(Connection::open(file)?)?;
    for first in (0..JOBS).step_by(500) {
        store.commit(|tx| {
            for n in first..first + 500 {
                let id = DocRef::new(Kind::WorkOrder, DocId(Uuid::from_u128(0x1_0000 + u128::from(n))));
                let seal = Seal { heads: heads.clone(), seal: vec![1; 32] };
                chunks::put_received(tx, id, Some(&snapshot), &[], &heads, &seal)?;
                views::put(tx, &line(id, n), &Entity::WorkOrder(order(n)))?;
            }
            Ok(())
        })?;
    }
    store.tidy()?;
    Ok(())
}

fn line(doc: DocRef, n: u32) -> Summary {
    let family = ["张", "王", "李", "赵", "陈", "刘", "杨", "黄"][n as usize % 8];
    let given = ["三", "伟", "芳", "敏", "静", "强", "磊"][n as usize % 7];
    Summary {
        doc,
        parent: None,
        number: format!("QH-2025-{n:05}"),
        title: format!("华南纸浆模塑{}厂", n % 400),
        subtitle: "主泵漏油,需更换密封圈".into(),
        status: if n >= 40 { "archived" } else { "dispatched" }.into(),
        due: Some(T0.plus(-i64::from(n) * 3_600_000)),
        people: vec![ME],
        flags: Vec::new(),
        search: format!(
            "QH-2025-{n:05} 华南纸浆模塑{}厂 {family}{given} 138{:08} 广东省东莞市第{}工业区 主泵漏油 试机正常",
            n % 400,
            n * 7919 % 100_000_000,
            n % 90,
        ),
    }
}

/// A whole command (decided, written, projected, queued, durable) beside one bare transaction of the same bytes.
fn edit(engine: &mut Engine, visits: &[VisitId], file: &Path, bare: &Path) -> Result<Row> {
    let bare = Connection::open(bare)?;
    bare.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         CREATE TABLE t (id INTEGER PRIMARY KEY, change BLOB, words TEXT, entity BLOB)",
    )?;
    let stored = Connection::open(file)?;
    let mut bytes = written(&stored, *visits.first().context("no visit")?)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for (n, visit) in visits.iter().copied().cycle().take(TURNS).enumerate() {
        let command = resolution(visit, n);
        let mut one = || -> Result<()> {
            let begin = Instant::now();
            engine.execute(&command)?;
            ours.push(begin.elapsed());
            Ok(())
        };
        let mut other = |bytes: &(Vec<u8>, String, Vec<u8>)| -> Result<()> {
            let mut insert = bare.prepare_cached("INSERT INTO t (change, words, entity) VALUES (?1, ?2, ?3)")?;
            let begin = Instant::now();
            insert.execute((&bytes.0, &bytes.1, &bytes.2))?;
            theirs.push(begin.elapsed());
            Ok(())
        };
        // By turns first and second.
        if n % 2 == 0 {
            one()?;
            other(&bytes)?;
        } else {
            other(&bytes)?;
            one()?;
        }
        bytes = written(&stored, visit)?;
    }
    let (a, b) = (median(&mut ours), median(&mut theirs));
    let ratio = a.as_secs_f64() / b.as_secs_f64();
    let least = ours[ours.len() / 10].as_secs_f64() / theirs[theirs.len() / 10].as_secs_f64();
    let measured = format!("{} beside {} (median of {TURNS}; by their fastest tenths {least:.2} ×)", us(a), us(b));
    println!("durable edit: {measured}");
    Ok(Row::at_most(
        "one durable edit ≤ 1.5 × one bare SQLite FULL transaction of the same bytes",
        measured,
        ratio,
        1.5,
    )
    .shown(format!("{ratio:.2} ×")))
}

fn resolution(visit: VisitId, n: usize) -> Command {
    let text = format!("更换主泵密封圈,清洗滤网,试机两小时,温度与压力正常。第{n}次检查。");
    Command::EditText { doc: DocRef::new(Kind::Visit, visit), field: "resolution".into(), text, seen: Vec::new() }
}

/// What an edit costs late in a day without a network, after hundreds of the same document.
fn late(engine: &mut Engine) -> Result<Row> {
    let visit = job(engine)?;
    let mut times = Vec::new();
    for n in 0..LONG_DAY {
        let begin = Instant::now();
        engine.execute(&resolution(visit, n))?;
        times.push(begin.elapsed());
    }
    let (early, late) = (median(&mut times[..50]), median(&mut times[LONG_DAY - 50..]));
    let measured = format!("{} beside {} of the first fifty", us(late), us(early));
    println!("late edit: {measured}");
    let ratio = format!("{:.2} ×", late.as_secs_f64() / early.as_secs_f64());
    Ok(Row::figure(format!("one durable edit of a document after {LONG_DAY} unsent ones"), measured, ratio))
}

/// What the last edit wrote: its change, the words and the content.
fn written(db: &Connection, visit: VisitId) -> Result<(Vec<u8>, String, Vec<u8>)> {
    let sql = "SELECT (SELECT body FROM change WHERE change.doc = doc.no ORDER BY n DESC LIMIT 1), search, entity
               FROM doc WHERE id = ?1";
    Ok(db.prepare_cached(sql)?.query_row([visit.as_bytes()], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?)
}

fn read(file: &Path) -> Result<Vec<Row>> {
    let mut opened = Vec::new();
    for _ in 0..50 {
        let begin = Instant::now();
        let store = Store::open(Connection::open(file)?)?;
        let lines = views::today(store.read(), ME, T0.plus(-Millis::DAY), T0.plus(1))?;
        opened.push(begin.elapsed());
        ensure!(lines.len() >= 40, "{} jobs today", lines.len());
    }
    let open = median(&mut opened);
    let store = Store::open(Connection::open(file)?)?;
    let mut rows =
        vec![Row::at_most("open a store of 10,000 jobs and list today ≤ 50 ms", us(open), micros(open), 50_000.0)];
    let mut found = Vec::new();
    for query in ["QH-2025-00017", "张三", "王伟 138", "东莞 泵"] {
        let mut times = Vec::new();
        for _ in 0..50 {
            let begin = Instant::now();
            let page = views::search(store.read(), query, None)?;
            times.push(begin.elapsed());
            ensure!(!page.lines.is_empty(), "nothing found by {query}");
        }
        found.push((query, median(&mut times)));
    }
    let slowest = found.iter().map(|(_, t)| *t).max().unwrap_or_default();
    let text: Vec<String> = found.iter().map(|(q, t)| format!("{q}: {}", us(*t))).collect();
    rows.push(Row::at_most("search among them ≤ 10 ms", text.join(", "), micros(slowest), 10_000.0));
    for row in &rows {
        println!("{}: {}", row.target, row.measured);
    }
    Ok(rows)
}

/// Load, apply a change, read the content; beside bare Automerge, which reads nothing.
fn document() -> Result<Row> {
    let id = DocId(Uuid::from_u128(7));
    let mut doc = Doc::new(Kind::Visit);
    let actor = |n: u8| Actor { device: DeviceId(Uuid::from_bytes([n; 16])), incarnation: [n; 8] };
    for n in 0..20_u8 {
        let Entity::Visit(mut visit) = doc.entity()? else { continue };
        visit.resolution.0.push_str("更换加热管两根, 试机正常。");
        visit.provisional_numbers.insert(StaffId(Uuid::from_bytes([n; 16])), format!("P{n}"));
        doc.write(actor(1 + n % 2), ME, T0, &[Write::Put(id, Entity::Visit(visit))])?;
    }
    let snapshot = doc.save();
    let Entity::Visit(mut visit) = doc.entity()? else { anyhow::bail!("not a visit") };
    visit.remarks.0.push_str("已试机");
    let change: Change =
        doc.write(actor(3), ME, T0, &[Write::Put(id, Entity::Visit(visit))])?.context("nothing was written")?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let begin = Instant::now();
        let mut doc = Doc::load(Kind::Visit, Some(&snapshot), std::iter::empty::<&[u8]>())?;
        doc.apply([&change.bytes])?;
        std::hint::black_box(doc.entity()?);
        ours.push(begin.elapsed());
        let begin = Instant::now();
        let mut doc = automerge::Automerge::load(&snapshot)?;
        doc.apply_changes([automerge::Change::from_bytes(change.bytes.clone())?])?;
        std::hint::black_box(doc);
        theirs.push(begin.elapsed());
    }
    let (a, b) = (median(&mut ours), median(&mut theirs));
    let measured = format!("{} beside {} of bare Automerge load + apply", us(a), us(b));
    println!("document: {measured}");
    let ratio = format!("{:.2} ×", a.as_secs_f64() / b.as_secs_f64());
    Ok(Row::figure("a visit of 20 changes: load, apply one more, read the content", measured, ratio))
}

/// The middle one; leaves them sorted.
pub(crate) fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn micros(d: Duration) -> f64 {
    d.as_secs_f64() * 1e6
}

fn us(d: Duration) -> String {
    format!("{:.2} ms", d.as_secs_f64() * 1e3)
}
