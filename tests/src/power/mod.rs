//! Power cuts. A workload runs on the product's own code over a disk that
//! remembers ([`crate::disk`]); then the power is cut at a moment of it, again
//! and again: the files are rebuilt as the cut may have left them, opened by
//! the product's own code, and compared with what had been acknowledged.
//!
//! The states a file may come back in are those between the last
//! acknowledgement before the cut and the commit under way at it: whole
//! states, row by row. So one comparison finds what was lost and what is half
//! written. A state older than that is a loss.

pub mod device;
pub mod server;
pub(crate) mod town;

use crate::disk::{Dice, Disk, Files, Honesty, Op, Storm, lay_out, rebuild, scratch, whole};
use anyhow::{Context as _, Result, ensure};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Cuts made into one recorded workload.
const PER_RECORDING: u64 = 50;

/// Whose files are cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// A phone's.
    Device,
    /// The server's.
    Server,
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(s: &str) -> std::result::Result<Self, String> {
        match s {
            "device" => Ok(Role::Device),
            "server" => Ok(Role::Server),
            _ => Err(format!("{s:?} is neither device nor server")),
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Role::Device => "device",
            Role::Server => "server",
        })
    }
}

/// What a cut showed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Finding {
    /// The file came back older than what was acknowledged.
    Lost,
    /// The file came back in a state it never was in, or not at all, or does not work.
    Broken(String),
}

/// What many cuts showed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// How many cuts were made.
    pub cuts: u64,
    /// How many of them hit unsynced writes.
    pub in_flight: u64,
    /// How many lost something acknowledged.
    pub lost: u64,
    /// How many left something broken.
    pub broken: u64,
    /// In words, with the number of the cut; a few.
    pub findings: Vec<String>,
    /// What the workloads came by.
    pub covered: BTreeSet<&'static str>,
}

impl Report {
    fn add(&mut self, other: Report) {
        self.cuts += other.cuts;
        self.in_flight += other.in_flight;
        self.lost += other.lost;
        self.broken += other.broken;
        self.findings.extend(other.findings);
        self.findings.truncate(20);
        self.covered.extend(other.covered);
    }
}

/// A recorded workload.
pub(crate) trait Recorded {
    /// All that happened to its files.
    fn log(&self) -> &[Op];
    /// Positions at which something was acknowledged, in order. The first is after the file was first opened.
    fn acks(&self) -> &[usize];
    /// What the workload came by.
    fn covered(&self) -> BTreeSet<&'static str>;
    /// Its database's name.
    fn database(&self) -> &'static str;
    /// Opens files as the product does and closes them again.
    fn open(&self, dir: &Path) -> Result<()>;
    /// Opens files as after a cut at a position, hands a connection to `look`, then checks what was
    /// acknowledged by its own notes, and that the next command and the next sync work.
    fn live(
        &self,
        dir: &Path,
        at: usize,
        dice: &mut Dice,
        look: &mut dyn FnMut(&Connection) -> Result<()>,
    ) -> Result<()>;
}

/// A recorded workload with what its files hold at each moment.
struct Film<'a> {
    of: &'a dyn Recorded,
    honest: bool,
    states: HashMap<usize, [u8; 32]>,
    dir: PathBuf,
}

impl Film<'_> {
    /// The position after the last sync before `at`: an honest product commits nothing between them.
    fn settled(&self, at: usize) -> usize {
        if !self.honest {
            return at;
        }
        (0..at).rev().find(|i| matches!(self.of.log()[*i], Op::Sync { .. })).map_or(0, |i| i + 1)
    }

    fn read(&self, at: usize) -> Result<Vec<String>> {
        let dir = self.dir.join("gentle");
        lay_out(&without_memory(whole(&self.of.log()[..at])), &dir)?;
        let path = dir.join(self.of.database());
        let empty = !path.exists() || {
            let conn = Connection::open(&path)?;
            conn.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |r| r.get(0))?
        };
        if empty {
            self.of.open(&dir)?;
        }
        rows(&Connection::open(&path)?)
    }

    fn state(&mut self, at: usize) -> Result<[u8; 32]> {
        let at = self.settled(at);
        if let Some(state) = self.states.get(&at) {
            return Ok(*state);
        }
        let state = hash(&self.read(at)?);
        self.states.insert(at, state);
        Ok(state)
    }

    /// The positions whose states a file may have after a cut at `at`.
    fn allowed(&self, at: usize) -> (usize, Vec<usize>) {
        let acks = self.of.acks();
        let last = acks.partition_point(|a| *a <= at);
        let from = last.checked_sub(1).map_or(0, |i| acks[i]);
        let next = acks.get(last).copied().unwrap_or(self.of.log().len());
        let mut all = vec![from];
        for (i, op) in self.of.log().iter().enumerate().take(next).skip(from) {
            if matches!(op, Op::Sync { .. }) {
                all.push(i + 1);
                if i >= at {
                    break;
                }
            }
        }
        if !self.honest {
            all.push(next);
        }
        (from, all)
    }

    /// Cuts the power at a position.
    fn cut(&mut self, at: usize, dice: &mut Dice) -> Result<Option<Finding>> {
        let storm = Storm::draw(dice);
        let dir = self.dir.join("cut");
        lay_out(&without_memory(rebuild(&self.of.log()[..at], dice, storm)), &dir)?;
        let mut found = None;
        let of = self.of;
        let lived = of.live(&dir, at, dice, &mut |conn| {
            let whole: String = conn.query_row("PRAGMA integrity_check(1)", [], |r| r.get(0))?;
            ensure!(whole == "ok", "integrity: {whole}");
            let now = rows(conn)?;
            let state = hash(&now);
            let (from, allowed) = self.allowed(at);
            for position in &allowed {
                if self.state(*position)? == state {
                    return Ok(());
                }
            }
            for earlier in of.acks().iter().rev().skip_while(|a| **a >= from) {
                if self.state(*earlier)? == state {
                    found = Some(Finding::Lost);
                    return Ok(());
                }
            }
            let expected = self.read(self.settled(from))?;
            anyhow::bail!("half written: {}", difference(&expected, &now));
        });
        match (found, lived) {
            (Some(found), _) => Ok(Some(found)),
            (None, Ok(())) => Ok(None),
            (None, Err(e)) => Ok(Some(Finding::Broken(format!("{e:#} ({storm:?})")))),
        }
    }
}

/// The `-shm` file is memory: it does not survive.
fn without_memory(mut files: Files) -> Files {
    files.retain(|name, _| !name.to_string_lossy().ends_with("-shm"));
    files
}

/// Every row of every table, as text; but not the planner's figures, which closing a file renews.
pub(crate) fn rows(conn: &Connection) -> Result<Vec<String>> {
    let tables = {
        let mut statement =
            conn.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0 AND name NOT LIKE 'sqlite_stat%' ORDER BY name")?;
        statement.query_map([], |r| r.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?
    };
    let mut out = Vec::new();
    for table in tables {
        let mut statement = conn.prepare(&format!("SELECT * FROM \"{table}\""))?;
        let width = statement.column_count();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let mut line = table.clone();
            for i in 0..width {
                line.push('|');
                match row.get_ref(i)? {
                    ValueRef::Null => line.push('-'),
                    ValueRef::Integer(n) => write!(line, "{n}")?,
                    ValueRef::Real(x) => write!(line, "{x}")?,
                    ValueRef::Text(t) => line.push_str(&String::from_utf8_lossy(t)),
                    ValueRef::Blob(b) => b.iter().try_for_each(|b| write!(line, "{b:02x}"))?,
                }
            }
            out.push(line);
        }
    }
    Ok(out)
}

fn hash(rows: &[String]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for row in rows {
        hash.update(row.as_bytes());
        hash.update([0]);
    }
    hash.finalize().into()
}

/// A few of the rows that only one side has.
fn difference(expected: &[String], found: &[String]) -> String {
    let cut = |line: &String| line.chars().take(160).collect::<String>();
    let only = |a: &[String], b: &[String]| {
        let b: std::collections::HashSet<_> = b.iter().collect();
        a.iter().filter(|l| !b.contains(l)).take(4).map(cut).collect::<Vec<_>>()
    };
    format!("missing {:?}; besides {:?}", only(expected, found), only(found, expected))
}

/// A moment to cut at: anywhere, or just where something was acknowledged or synced.
fn moment(of: &dyn Recorded, dice: &mut Dice) -> usize {
    let (log, acks) = (of.log(), of.acks());
    match dice.below(3) {
        0 => dice.below(log.len() + 1),
        1 => *dice.one(acks),
        _ => {
            let near = dice.below(log.len());
            let sync = (near..log.len()).find(|i| matches!(log[*i], Op::Sync { .. })).unwrap_or(near);
            (sync + dice.below(3)).min(log.len())
        }
    }
}

fn unsynced(log: &[Op]) -> bool {
    log.iter().rev().take_while(|op| !matches!(op, Op::Sync { .. })).any(|op| matches!(op, Op::Write { .. }))
}

/// Whether the database's own file and its log were written over, not only added to.
fn checkpoints(log: &[Op], database: &str) -> BTreeSet<&'static str> {
    let (mut wals, mut main) = (Vec::new(), None);
    let (mut begun, mut out) = (HashMap::new(), BTreeSet::new());
    for op in log {
        match op {
            Op::Link { name, file } if name.ends_with(format!("{database}-wal")) => wals.push(*file),
            Op::Link { name, file } if name.ends_with(database) => main = Some(*file),
            Op::Write { file, at: 0, .. } if wals.contains(file) => {
                *begun.entry(*file).or_insert(0) += 1;
                if begun[file] > 1 {
                    out.insert("a log begun again");
                }
            }
            Op::Write { file, at, .. } if main == Some(*file) && *at > 0 => {
                out.insert("a checkpoint");
            }
            _ => {}
        }
    }
    out
}

/// Makes the cuts `from..to`, which lie in one recording.
fn one_recording(role: Role, from: u64, to: u64, honesty: Honesty) -> Result<Report> {
    let seed = from / PER_RECORDING;
    let dir = scratch()?;
    let root = dir.path().join("live");
    let disk = Disk::recording(&root, honesty)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let recorded: Box<dyn Recorded> = match role {
        Role::Device => Box::new(runtime.block_on(device::record(&disk, &root, seed))?),
        Role::Server => Box::new(runtime.block_on(server::record(Arc::clone(&disk), &root, seed))?),
    };
    drop(disk);
    let of = recorded.as_ref();
    let honest = honesty == Honesty::Honest;
    let mut film = Film { of, honest, states: HashMap::new(), dir: dir.path().to_path_buf() };
    let mut report = Report { covered: of.covered(), ..Report::default() };
    report.covered.extend(checkpoints(of.log(), of.database()));
    for number in from..to {
        let mut dice = Dice::new(number.wrapping_mul(0x0005_deec_e66d).wrapping_add(11));
        let at = moment(of, &mut dice);
        report.cuts += 1;
        report.in_flight += u64::from(unsynced(&of.log()[..at]));
        let found = film.cut(at, &mut dice).with_context(|| format!("cut {number} at {at}"))?;
        let Some(found) = found else { continue };
        let words = match &found {
            Finding::Lost => "acknowledged, and gone".to_owned(),
            Finding::Broken(why) => why.clone(),
        };
        match found {
            Finding::Lost => report.lost += 1,
            Finding::Broken(_) => report.broken += 1,
        }
        report.findings.push(format!(
            "cut {number} at {at} of {}: {words}\n  again: cargo xtask power --role {role} --from {number} --cuts 1",
            of.log().len()
        ));
    }
    Ok(report)
}

/// Cuts the power `cuts` times, from a number on; as many at once as there are processors.
///
/// # Errors
/// The workload itself fails, or the file system.
pub fn run(role: Role, from: u64, cuts: u64, honesty: Honesty) -> Result<Report> {
    let next = AtomicU64::new(from);
    let end = from.saturating_add(cuts);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    let work = || -> Result<Report> {
        let mut report = Report::default();
        loop {
            let begin = next
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| {
                    (n < end).then(|| ((n / PER_RECORDING + 1) * PER_RECORDING).min(end))
                })
                .unwrap_or(end);
            if begin >= end {
                return Ok(report);
            }
            let to = ((begin / PER_RECORDING + 1) * PER_RECORDING).min(end);
            report.add(one_recording(role, begin, to, honesty)?);
        }
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut report = Report::default();
        for one in all {
            report.add(one.join().map_err(|_| anyhow::anyhow!("a recording panicked"))??);
        }
        Ok(report)
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn survives(role: Role, needed: &[&str]) {
        let report = run(role, 0, 500, Honesty::Honest).unwrap();
        assert_eq!((report.lost, report.broken), (0, 0), "{:#?}", report.findings);
        assert!(report.in_flight > 50, "cuts into unsynced writes: {}", report.in_flight);
        for what in needed.iter().chain(&["a checkpoint", "a log begun again"]) {
            assert!(report.covered.contains(what), "the workload never met {what}: {:?}", report.covered);
        }
    }

    #[test]
    fn a_phone_loses_nothing_to_a_power_cut() {
        survives(Role::Device, &["an edit refused", "a document compacted", "a photo that waits", "a wipe"]);
    }

    #[test]
    fn the_server_loses_nothing_to_a_power_cut() {
        let needed = [
            "a change accepted",
            "a change set aside",
            "an office command",
            "a command with a key",
            "a record",
            "a blob's line",
            "an audit entry",
        ];
        survives(Role::Server, &needed);
    }

    /// The controls: a check that finds nothing wrong with these would find nothing wrong with anything.
    #[test]
    fn without_full_syncs_data_is_lost() {
        for role in [Role::Device, Role::Server] {
            for honesty in [Honesty::Normal, Honesty::SyncsNothing] {
                let report = run(role, 0, 25, honesty).unwrap();
                assert!(report.lost > 0, "{role}, {honesty:?}: {report:?}");
            }
        }
    }
}
