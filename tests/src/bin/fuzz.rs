//! Fuzzing without a fuzzer: counts mutated, re-checksummed changes through the gate
//! (`cargo xtask fuzz mutated`), writes the seeds of the targets, feeds a target one input again.
//!
//! Of the changes counted, three of four are honest changes bent in a few places, one of four is written of free
//! operations. Each goes through the gate as a worker holds its trial; what is admitted must live
//! on (`fuzz::gate::meet`), and half of it is gone on with, so that a document may come to be of
//! several odd changes. A panic that escapes is told with the seed that repeats it.
#![expect(clippy::print_stdout, reason = "a terminal program")]

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use onsite_e2e::fuzz::{Target, docs, gate, panics, quiet};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Seeds done in one go.
const GO: u64 = 1_000;
/// Most odd changes of one document.
const DEEP: u32 = 5;
/// Harm told before it ends.
const ENOUGH: usize = 20;

#[derive(Parser)]
enum Task {
    /// Count mutated changes through the gate.
    Mutated(Options),
    /// Write the seeds of every target into a folder, a folder each.
    Seeds { dir: PathBuf },
    /// Feed a target the inputs of files, such as a find.
    Once { target: String, files: Vec<PathBuf> },
}

#[derive(clap::Args)]
struct Options {
    /// How many changes, at least.
    #[arg(long, default_value_t = 100_000)]
    changes: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// End after so many seconds, however many changes that is; 0: when all are done.
    #[arg(long, default_value_t = 0)]
    seconds: u64,
    /// Threads.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
}

#[derive(Default)]
struct Count {
    met: BTreeMap<String, u64>,
    harm: Vec<String>,
}

/// The changes of one seed: one, and those made on what was admitted.
fn live(seed: u64, count: &mut Count) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let bases = docs::bases();
    let which = rng.random_range(0..bases.len());
    let mut grown = None;
    for deep in 0..DEEP {
        let base = grown.as_ref().unwrap_or(&bases[which]);
        let bytes = if rng.random_range(0..4_u32) == 0 { base.forge(&mut rng) } else { base.bend(&mut rng) };
        let met = std::panic::catch_unwind(|| gate::meet(base, &bytes));
        let (name, saved) = match met {
            Ok(gate::Met::Admitted(saved)) => ("admitted".to_owned(), Some(saved)),
            Ok(gate::Met::Refused(at, code)) => (format!("refused {at} {code}"), None),
            Err(why) => {
                let why = why.downcast_ref::<String>().map(String::as_str).or(why.downcast_ref::<&str>().copied());
                let ops = automerge::Change::try_from(bytes.as_slice()).map(|c| c.decode().operations);
                let ops = ops.map(|ops| format!("{ops:#?}")).unwrap_or_default();
                count.harm.push(format!("seed {seed}, document {which}, change {deep}: {}\n{ops}", why.unwrap_or("?")));
                ("HARM".to_owned(), None)
            }
        };
        *count.met.entry(name).or_default() += 1;
        let Some(saved) = saved.filter(|_| rng.random()) else { return };
        grown = Some(base.after(&saved));
    }
}

fn main() -> Result<()> {
    match Task::parse() {
        Task::Mutated(options) => mutated(&options),
        Task::Seeds { dir } => seeds(&dir),
        Task::Once { target, files } => once(&target, &files),
    }
}

fn seeds(dir: &Path) -> Result<()> {
    for target in Target::ALL {
        let dir = dir.join(target.name());
        std::fs::create_dir_all(&dir)?;
        for (name, bytes) in target.seeds() {
            std::fs::write(dir.join(name), bytes)?;
        }
    }
    Ok(())
}

fn once(target: &str, files: &[PathBuf]) -> Result<()> {
    let target = Target::ALL.into_iter().find(|t| t.name() == target).context("no such target")?;
    for file in files {
        let begin = Instant::now();
        target.run(&std::fs::read(file)?);
        println!("{}: all holds, {:.3} s", file.display(), begin.elapsed().as_secs_f64());
    }
    Ok(())
}

fn mutated(options: &Options) -> Result<()> {
    quiet();
    let begin = Instant::now();
    let until = (options.seconds > 0).then(|| Duration::from_secs(options.seconds));
    let (next, done, all) = (AtomicU64::new(options.from), AtomicU64::new(0), Mutex::new(Count::default()));
    let work = || {
        while done.load(Ordering::Relaxed) < options.changes && until.is_none_or(|u| begin.elapsed() < u) {
            let first = next.fetch_add(GO, Ordering::Relaxed);
            let mut count = Count::default();
            for seed in first..first + GO {
                live(seed, &mut count);
            }
            done.fetch_add(count.met.values().sum(), Ordering::Relaxed);
            let Ok(mut all) = all.lock() else { return };
            for (name, n) in count.met {
                *all.met.entry(name).or_default() += n;
            }
            all.harm.extend(count.harm);
            if all.harm.len() >= ENOUGH {
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(work);
        }
    });
    let all = all.into_inner()?;
    for (name, n) in &all.met {
        println!("{n:>10} {name}");
    }
    let changes: u64 = all.met.values().sum();
    let last = next.load(Ordering::Relaxed) - 1;
    println!("{:>10} panics of Automerge, caught", panics() - all.harm.len() as u64);
    println!("{changes:>10} changes of seeds {}-{last} in {:.0} s", options.from, begin.elapsed().as_secs_f64());
    for harm in &all.harm {
        println!("{harm}");
    }
    ensure!(all.harm.is_empty(), "{} changes did harm", all.harm.len());
    Ok(())
}
