//! A phone's first sync of everything it is to hold.

use crate::meter::{self, mb, ms};
use crate::seed::{Company, PER_JOB, file_of};
use crate::table::Row;
use anyhow::{Context as _, Result, ensure};
use flate2::{Compression, write::DeflateEncoder};
use onsite_core::store::chunks;
use onsite_e2e::world::Server;
use std::io::Write as _;
use std::time::{Duration, Instant};

/// Target for 10,000 documents, in ms.
const TARGET: f64 = 3_000.0;
/// Target: bytes on the wire to those of the snapshots, each compressed.
const BYTES: f64 = 1.2;

/// One phone; a second one of the same person finds what the first one left warm.
pub(crate) async fn run(documents: usize) -> Result<Vec<Row>> {
    let company = Company::found(1, documents.div_ceil(PER_JOB)).await?;
    let server = Server::start(company.server()).await?;
    let phone = company.phone(&server, 0).await?;
    let before = meter::quiet_usage(server.pid()).await?;
    let (up, down) = phone.link.traffic();
    let own = meter::own_cpu()?;
    let begin = Instant::now();
    let report = phone.sync().await?;
    let wall = begin.elapsed();
    let own = meter::own_cpu()?.saturating_sub(own);
    let after = meter::quiet_usage(server.pid()).await?;
    ensure!(report.skipped.is_empty() && report.received >= documents as u64, "not all came: {report:?}");
    let (now_up, now_down) = phone.link.traffic();
    let (up, down) = (now_up - up, now_down - down);
    let held = phone.engine().status()?.documents;
    let snapshots = Snapshots::of(&file_of(&phone))?;
    let server_cpu: Duration = after.cpu.saturating_sub(before.cpu);
    let text = format!(
        "{:.0} ms for {held} documents in {} round trips; device CPU {:.0} ms, server CPU {:.0} ms; ↑ {} ↓ {}; server peak {}",
        ms(wall),
        report.round_trips,
        ms(own),
        ms(server_cpu),
        mb(up),
        mb(down),
        mb(after.peak)
    );
    println!("first sync: {text}\n  {}", snapshots.text());
    let bound = TARGET * documents as f64 / 10_000.0;
    let ratio = down as f64 / snapshots.each as f64;
    Ok(vec![
        Row::at_most(format!("first sync of {documents} documents ≤ {bound:.0} ms"), text, ms(wall), bound),
        Row::at_most(
            format!("first sync: bytes down ≤ {BYTES} × the snapshots, each compressed"),
            format!("{} ({ratio:.2} ×); {}", mb(down), snapshots.text()),
            ratio,
            BYTES,
        ),
    ])
}

/// The documents' snapshots, in bytes.
struct Snapshots {
    /// As Automerge saves them.
    saved: u64,
    /// Each deflated by itself, as far as that makes it shorter.
    each: u64,
    /// All deflated as one.
    together: u64,
}

impl Snapshots {
    fn of(file: &std::path::Path) -> Result<Self> {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let db = rusqlite::Connection::open_with_flags(file, flags)?;
        let mut all = DeflateEncoder::new(Vec::new(), Compression::default());
        let mut out = Self { saved: 0, each: 0, together: 0 };
        for held in chunks::held_in(&db, &[])? {
            let snapshot = chunks::load(&db, held.doc.id)?.context("a document that is not there")?.save();
            let mut alone = DeflateEncoder::new(Vec::new(), Compression::default());
            alone.write_all(&snapshot)?;
            out.saved += snapshot.len() as u64;
            out.each += alone.finish()?.len().min(snapshot.len()) as u64;
            all.write_all(&snapshot)?;
        }
        out.together = all.finish()?.len() as u64;
        Ok(out)
    }

    fn text(&self) -> String {
        format!(
            "snapshots as saved {}, each deflated {}, deflated as one {}",
            mb(self.saved),
            mb(self.each),
            mb(self.together)
        )
    }
}
