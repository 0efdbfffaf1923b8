//! CPU time and memory of a process and its children, from `/proc`.

use anyhow::{Context as _, Result};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The kernel counts CPU time for `/proc` in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);
/// Nothing spent for so long: nothing is under way any more.
const QUIET: Duration = Duration::from_millis(200);
/// Not waited for longer than this.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a process and its children have used.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Usage {
    /// CPU time, also of children that have ended.
    pub(crate) cpu: Duration,
    /// Resident bytes now.
    pub(crate) rss: u64,
    /// The most they ever were, summed over the processes.
    pub(crate) peak: u64,
    /// Processes.
    pub(crate) processes: usize,
}

/// Samples a process with its children.
pub(crate) fn usage(pid: u32) -> Result<Usage> {
    let mut total = Usage::default();
    for pid in family(pid)? {
        // One that ended meanwhile is in its parent's account.
        let Some(fields) = stat(pid) else { continue };
        // After pid and name: 11, 12 own user and system time, 13, 14 that of children waited for.
        let ticks: u64 = fields.get(11..15).unwrap_or_default().iter().filter_map(|f| f.parse::<u64>().ok()).sum();
        total.cpu += TICK * u32::try_from(ticks).unwrap_or(u32::MAX);
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        total.rss += kilobytes(&status, "VmRSS:") << 10;
        total.peak += kilobytes(&status, "VmHWM:") << 10;
        total.processes += 1;
    }
    Ok(total)
}

/// Waits until the processes spend nothing any more, then samples them.
pub(crate) async fn quiet_usage(pid: u32) -> Result<Usage> {
    let begin = Instant::now();
    let mut last = usage(pid)?;
    let mut since = Instant::now();
    while since.elapsed() < QUIET && begin.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let now = usage(pid)?;
        if now.cpu != last.cpu {
            since = Instant::now();
        }
        last = now;
    }
    Ok(last)
}

/// Lets the peaks begin anew at what is used now.
pub(crate) fn forget_peaks(pid: u32) -> Result<()> {
    for pid in family(pid)? {
        let _ = std::fs::write(format!("/proc/{pid}/clear_refs"), "5");
    }
    Ok(())
}

/// This process's CPU time.
pub(crate) fn own_cpu() -> Result<Duration> {
    let fields = stat(std::process::id()).context("no /proc")?;
    let ticks: u64 = fields.get(11..13).unwrap_or_default().iter().filter_map(|f| f.parse::<u64>().ok()).sum();
    Ok(TICK * u32::try_from(ticks).unwrap_or(u32::MAX))
}

/// The fields of a process's line after its name.
fn stat(pid: u32) -> Option<Vec<String>> {
    let line = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold blanks and brackets: what counts begins after its last.
    Some(line.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

/// A process, its children and theirs.
fn family(root: u32) -> Result<Vec<u32>> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in std::fs::read_dir("/proc").context("no /proc: CPU time cannot be read here")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        if let Some(parent) = stat(pid).and_then(|f| f.get(1)?.parse().ok()) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = vec![root];
    let mut at = 0;
    while let Some(pid) = found.get(at).copied() {
        found.extend(children.remove(&pid).unwrap_or_default());
        at += 1;
    }
    Ok(found)
}

fn kilobytes(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|l| l.strip_prefix(name));
    line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or(0)
}

/// Bytes as MB.
pub(crate) fn mb(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// A duration in ms.
pub(crate) fn ms(d: Duration) -> f64 {
    d.as_secs_f64() * 1e3
}
