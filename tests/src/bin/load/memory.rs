//! The server's memory, whatever it holds.

use crate::meter::{self, mb};
use crate::seed::{Company, PER_JOB};
use crate::storm;
use crate::table::Row;
use anyhow::{Result, ensure};
use onsite_e2e::world::Server;

/// Target at the most documents, in bytes.
const TARGET: u64 = 100_000_000;
/// Documents of a technician.
const EACH: usize = 500;
/// Phones that sync everything and then storm.
const PHONES: usize = 10;

/// Memory at ever more documents: after ten first syncs, and after storms.
pub(crate) async fn run(counts: &[usize]) -> Result<Row> {
    ensure!(!counts.is_empty(), "no number of documents");
    let mut parts = Vec::new();
    let mut peaks = Vec::new();
    for documents in counts {
        let technicians = documents.div_ceil(EACH).max(PHONES);
        let company = Company::found(technicians, documents / technicians / PER_JOB).await?;
        let server = Server::start(company.server()).await?;
        let begun = meter::quiet_usage(server.pid()).await?;
        let mut phones = storm::enrolled(&company, &server, PHONES).await?;
        let scanned = meter::quiet_usage(server.pid()).await?;
        storm::rounds_of(&company, &server, &mut phones, 10, 3).await?;
        let stormed = meter::quiet_usage(server.pid()).await?;
        let text = format!(
            "{documents}: {} at start, {} after {PHONES} first syncs (peak {}), {} after storms (peak {})",
            mb(begun.rss),
            mb(scanned.rss),
            mb(scanned.peak),
            mb(stormed.rss),
            mb(stormed.peak)
        );
        println!("memory at {text}");
        parts.push(text);
        peaks.push(scanned.peak.max(stormed.peak));
    }
    let most = peaks.iter().copied().max().unwrap_or(0);
    Ok(Row::at_most("server memory ≤ 100 MB, flat in documents", parts.join("; "), most as f64, TARGET as f64))
}
