//! Devices come back with nothing changed.

use crate::meter::{self, ms};
use crate::seed::{Company, PER_JOB};
use crate::storm;
use crate::table::Row;
use anyhow::{Context as _, Result};
use onsite_core::engine::Client;
use onsite_e2e::world::Server;
use std::sync::Arc;

/// Reconnects of each device: enough to tell CPU time in hundredths of a second.
const TIMES: usize = 20;

/// Reconnects with a token that still holds; then with one that has ended.
pub(crate) async fn run(devices: usize, documents: usize) -> Result<Row> {
    let company = Company::found(devices, documents.div_ceil(PER_JOB)).await?;
    let server = Server::start(company.server()).await?;
    let mut phones = storm::enrolled(&company, &server, devices).await?;
    let held = phones.first().context("no phone")?.engine().status()?.documents;
    for phone in &phones {
        // The first sync's answer was news; from here on there is none.
        phone.sync().await?;
    }
    let mut figures = Vec::new();
    for fresh in [false, true] {
        let before = meter::quiet_usage(server.pid()).await?;
        let (mut trips, mut body_up, mut body_down) = (0, 0, 0);
        let traffic = |phones: &[onsite_e2e::world::Phone]| {
            phones.iter().map(|p| p.link.traffic()).fold((0, 0), |(u, d), (up, down)| (u + up, d + down))
        };
        let (up, down) = traffic(&phones);
        for _ in 0..TIMES {
            for phone in &mut phones {
                phone.link.sever_open();
                if fresh {
                    phone.client = Arc::new(Client::new(phone.engine.clone(), "onsite-load/0.1")?);
                }
                let report = phone.client.sync_once().await;
                // A connection cut while idle may show only when it is used: once more.
                let report = match report {
                    Ok(report) => report,
                    Err(_) => phone.sync().await?,
                };
                trips += u64::from(report.round_trips);
                body_up += report.bytes_up;
                body_down += report.bytes_down;
            }
        }
        let after = meter::quiet_usage(server.pid()).await?;
        let count = (TIMES * devices) as u64;
        let (now_up, now_down) = traffic(&phones);
        figures.push((
            trips as f64 / count as f64,
            (body_up / count, body_down / count),
            ((now_up - up) / count, (now_down - down) / count),
            ms(after.cpu.saturating_sub(before.cpu)) / count as f64,
        ));
    }
    let text = |f: &(f64, (u64, u64), (u64, u64), f64)| {
        format!(
            "{:.0} round trip; body ↑ {} ↓ {} B, on the wire with HTTP headers ↑ {} ↓ {} B; server CPU {:.2} ms",
            f.0, f.1.0, f.1.1, f.2.0, f.2.1, f.3
        )
    };
    let (kept, fresh) = (figures.first().context("no figure")?, figures.last().context("no figure")?);
    let measured = format!("{}; with a new token (two requests more): {}", text(kept), text(fresh));
    println!("idle: {devices} devices, {held} documents held: {measured}");
    let wire = (kept.2.0 + kept.2.1) as f64;
    let mut row = Row::at_most(
        format!("reconnect, nothing changed, {held} documents held: 1 round trip, < 1 KB"),
        measured,
        wire,
        1024.0,
    );
    row.ok = row.ok.map(|ok| ok && kept.0 <= 1.0);
    Ok(row)
}
