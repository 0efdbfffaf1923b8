//! Many devices come back at once, each with changes.

use crate::meter::{self, mb, ms};
use crate::peers;
use crate::seed::{Company, Job, PER_JOB};
use crate::table::Row;
use anyhow::{Context as _, Result, ensure};
use onsite_core::domain::{ChangeHash, Command, DocId, Entity, IncompleteReason, Kind, Outcome};
use onsite_core::engine::Client;
use onsite_e2e::world::{Phone, Server};
use rusqlite::{Connection, OptionalExtension as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Storms in a run: CPU time is counted in hundredths of a second, so one is too short to tell.
pub(crate) const ROUNDS: usize = 6;
/// Target: server CPU for each changed document, in ms.
const TARGET: f64 = 0.6;

/// What a storm cost.
pub(crate) struct Storm {
    pub(crate) devices: usize,
    pub(crate) documents: usize,
    pub(crate) changed: usize,
    /// Server CPU for each changed document, in ms.
    pub(crate) cpu: f64,
    wall: Duration,
    up: u64,
    down: u64,
    rss: u64,
    peak: u64,
}

impl Storm {
    pub(crate) fn row(&self) -> Row {
        let target = format!(
            "storm {} × {} of {}: server CPU ≤ {TARGET} ms a changed document",
            self.devices, self.changed, self.documents
        );
        Row::at_most(target, self.text(), self.cpu, TARGET)
    }

    fn text(&self) -> String {
        format!(
            "{:.2} ms; {:.0} ms until the office has all; a device ↑ {} B ↓ {} B; server {}, peak {}",
            self.cpu,
            ms(self.wall),
            self.up,
            self.down,
            mb(self.rss),
            mb(self.peak)
        )
    }
}

/// The same storm with ever more documents held.
pub(crate) async fn flatness(devices: usize, changed: usize, rounds: usize, peers: Option<&Path>) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut costs = Vec::new();
    for documents in [20, 100, 300, 1_000] {
        let storm = run(devices, documents, changed, rounds).await?;
        rows.push(storm.row());
        costs.push(storm.cpu);
        if let (Some(dir), true) = (peers, documents == 300) {
            rows.extend(peers::rows(dir, &storm)?);
        }
    }
    let (least, most) = costs.iter().fold((f64::MAX, 0.0_f64), |(l, m), c| (l.min(*c), m.max(*c)));
    rows.push(Row::at_most(
        "storm: flat in documents held (dearest ÷ cheapest ≤ 1.25)",
        format!("{:.2}", most / least),
        most / least,
        1.25,
    ));
    Ok(rows)
}

/// Runs storms one after another on one company; the first only warms up.
pub(crate) async fn run(devices: usize, documents: usize, changed: usize, rounds: usize) -> Result<Storm> {
    ensure!(rounds >= 2 && devices > 0 && changed > 0, "at least two rounds, a device and a change are needed");
    let jobs = documents.div_ceil(PER_JOB).max(changed);
    let company = Company::found(devices, jobs).await?;
    let server = Server::start(company.server()).await?;
    let mut phones = enrolled(&company, &server, devices).await?;
    let held = phones.first().context("no phone")?.engine().status()?.documents;
    println!("storm: {devices} devices × {changed} of {documents} documents ({held} held), {rounds} rounds");
    let storm = rounds_of(&company, &server, &mut phones, changed, rounds).await?;
    let storm = Storm { documents, ..storm };
    println!("  {}", storm.text());
    Ok(storm)
}

/// Phones after their first sync.
pub(crate) async fn enrolled(company: &Company, server: &Server, devices: usize) -> Result<Vec<Phone>> {
    let mut phones = Vec::new();
    for n in 0..devices {
        let phone = company.phone(server, n).await?;
        phone.sync().await?;
        phones.push(phone);
    }
    Ok(phones)
}

/// Storms with phones that hold everything.
pub(crate) async fn rounds_of(
    company: &Company,
    server: &Server,
    phones: &mut [Phone],
    changed: usize,
    rounds: usize,
) -> Result<Storm> {
    let (mut cpu, mut wall, mut up, mut down) = (Duration::ZERO, Duration::ZERO, 0, 0);
    meter::forget_peaks(server.pid())?;
    for round in 0..rounds {
        let expected = edit(company, phones, changed, round)?;
        // Away long enough for the token and the connection to have ended.
        for phone in phones.iter_mut() {
            phone.link.sever_open();
            phone.client = Arc::new(Client::new(phone.engine.clone(), "onsite-load/0.1")?);
        }
        let before = meter::quiet_usage(server.pid()).await?;
        let bytes: Vec<(u64, u64)> = phones.iter().map(|p| p.link.traffic()).collect();
        let begin = Instant::now();
        let syncs: Vec<_> = phones
            .iter()
            .map(|phone| {
                let client = Arc::clone(&phone.client);
                tokio::spawn(async move { client.sync_once().await })
            })
            .collect();
        for sync in syncs {
            let report = sync.await??;
            ensure!(report.refused == 0 && report.accepted == changed as u64, "not all was taken: {report:?}");
        }
        at_the_office(&server.database()?, &expected, begin).await?;
        let took = begin.elapsed();
        let after = meter::quiet_usage(server.pid()).await?;
        let spent = after.cpu.saturating_sub(before.cpu);
        println!(
            "  round {round}: {:.0} ms, server {:.0} ms CPU in {} processes",
            ms(took),
            ms(spent),
            after.processes
        );
        if round > 0 {
            cpu += spent;
            wall += took;
            for (phone, (u, d)) in phones.iter().zip(bytes) {
                let (now_up, now_down) = phone.link.traffic();
                up += now_up - u;
                down += now_down - d;
            }
        }
    }
    let after = meter::quiet_usage(server.pid()).await?;
    let (devices, counted) = (phones.len(), rounds as u32 - 1);
    let syncs = (devices as u64) * u64::from(counted);
    Ok(Storm {
        devices,
        documents: 0,
        changed,
        cpu: ms(cpu) / (devices * changed * counted as usize) as f64,
        wall: wall / counted,
        up: up / syncs,
        down: down / syncs,
        rss: after.rss,
        peak: after.peak,
    })
}

/// What the office must come to show: a visit at these heads, its outcome, its work order's stage.
struct Expected {
    visit: DocId,
    heads: Vec<ChangeHash>,
    outcome: Option<Outcome>,
    order: DocId,
    status: String,
}

/// Each phone, offline, gives the result of its first jobs: one change, three fields.
fn edit(company: &Company, phones: &[Phone], changed: usize, round: usize) -> Result<Vec<Expected>> {
    let (outcome, incomplete_reason) = match round % 2 {
        0 => (Outcome::Completed, None),
        _ => (Outcome::Incomplete, Some(IncompleteReason::ReturnForRepair)),
    };
    let mut expected = Vec::new();
    for (phone, jobs) in phones.iter().zip(&company.jobs) {
        for Job { order, visit } in jobs.iter().take(changed) {
            let remarks = String::new();
            phone.execute(&Command::SetOutcome { visit: *visit, outcome, incomplete_reason, remarks })?;
            let heads = phone.show(Kind::Visit, visit.0)?.heads;
            let status = phone.show(Kind::WorkOrder, order.0)?.summary.status;
            let (visit, order) = (DocId(visit.0), DocId(order.0));
            expected.push(Expected { visit, heads, outcome: Some(outcome), order, status });
        }
    }
    Ok(expected)
}

/// Waits until the server's database shows everything expected: log, heads, read model.
async fn at_the_office(db: &Connection, expected: &[Expected], begin: Instant) -> Result<()> {
    for wanted in expected {
        loop {
            if shown(db, wanted)? {
                break;
            }
            ensure!(begin.elapsed() < Duration::from_secs(300), "the office does not have it all after 5 minutes");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    Ok(())
}

fn shown(db: &Connection, wanted: &Expected) -> Result<bool> {
    let sql = "SELECT d.heads, v.entity, (SELECT status FROM view WHERE tenant = d.tenant AND doc = ?2)
               FROM doc d JOIN view v ON v.tenant = d.tenant AND v.doc = d.doc
               WHERE d.doc = ?1 AND d.tenant = (SELECT id FROM tenant)";
    let found: Option<(Vec<u8>, String, String)> = db
        .prepare_cached(sql)?
        .query_row((wanted.visit.as_bytes(), wanted.order.as_bytes()), |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
        .optional()?;
    let Some((heads, entity, status)) = found else { return Ok(false) };
    let Entity::Visit(visit) = serde_json::from_str(&entity)? else { return Ok(false) };
    let bytes: Vec<u8> = wanted.heads.iter().flat_map(|h| h.0).collect();
    Ok(heads == bytes && visit.outcome == wanted.outcome && status == wanted.status)
}
