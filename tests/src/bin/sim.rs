//! Lives many seeds of whole companies: `cargo xtask sim`.
#![expect(clippy::print_stdout, reason = "a terminal program")]

use clap::Parser;
use onsite_e2e::sim::{self, Failure};
use std::process::ExitCode;
use std::time::Instant;

/// Lives are made of small allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Lives seeds of whole companies, and tells those that do not hold.
#[derive(Parser)]
#[command(name = "sim")]
struct Cli {
    /// How many seeds.
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Threads; by default one a core.
    #[arg(long)]
    jobs: Option<usize>,
    /// Ends after so many failures.
    #[arg(long, default_value_t = 10)]
    most: usize,
    /// Tells every step (with one seed).
    #[arg(long)]
    loud: bool,
    /// Plants bugs one at a time and says by which seed each is caught.
    #[cfg(feature = "planted")]
    #[arg(long)]
    planted: bool,
    /// Plants this one alone.
    #[cfg(feature = "planted")]
    #[arg(long)]
    bug: Option<String>,
    /// Where the table of planted bugs is written.
    #[cfg(feature = "planted")]
    #[arg(long)]
    table: Option<std::path::PathBuf>,
    /// The table whose seeds are lived first.
    #[cfg(feature = "planted")]
    #[arg(long, conflicts_with = "table")]
    known: Option<std::path::PathBuf>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let begin = Instant::now();
    if cli.loud {
        let lived = std::thread::Builder::new().name("sim".into()).spawn(move || sim::run(cli.from, true));
        return match lived.map(std::thread::JoinHandle::join) {
            Ok(Ok(Ok(outcome))) => {
                println!("holds: {} {:?}", outcome.trace, outcome.stats);
                ExitCode::SUCCESS
            }
            Ok(Ok(Err(failure))) => {
                tell(&failure);
                ExitCode::FAILURE
            }
            _ => ExitCode::FAILURE,
        };
    }
    let jobs = cli.jobs.or_else(|| std::thread::available_parallelism().ok().map(usize::from)).unwrap_or(1);
    #[cfg(feature = "planted")]
    if cli.planted {
        return planted(jobs, &cli);
    }
    let (count, failures, stats) = sim::run_many(cli.from..cli.from.saturating_add(cli.seeds), jobs, cli.most, &tell);
    let seconds = begin.elapsed().as_secs_f64();
    let words: Vec<String> =
        stats.all().into_iter().map(|(name, n)| format!("{n} {}", name.replace('_', " "))).collect();
    println!("{}", words.join(", "));
    println!(
        "{count} seeds from {} in {seconds:.1} s ({:.0} seeds/s, {jobs} jobs): {} failed",
        cli.from,
        count as f64 / seconds,
        failures.len()
    );
    // Misfortunes that never befall anybody prove nothing.
    let never: Vec<_> = stats.all().into_iter().filter(|(_, n)| *n == 0 && count >= 1_000).collect();
    if !never.is_empty() {
        println!("never once: {never:?}");
    }
    if failures.is_empty() && never.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(feature = "planted")]
fn planted(jobs: usize, cli: &Cli) -> ExitCode {
    use onsite_e2e::sim::planted::{BUDGET, Sown, reason, seeds, sow, table};
    let known = match cli.known.as_ref().map(std::fs::read_to_string).transpose() {
        Ok(text) => seeds(&text.unwrap_or_default()),
        Err(e) => {
            println!("the table cannot be read: {e}");
            return ExitCode::FAILURE;
        }
    };
    let all = sow(BUDGET, jobs, cli.bug.as_deref(), &known, &|sown: &Sown| match &sown.caught {
        Some(failure) => println!("{:?}: caught by seed {}: {}", sown.bug, failure.seed, reason(failure)),
        None => println!("{:?}: NOT CAUGHT within {BUDGET} seeds", sown.bug),
    });
    if let Some(path) = &cli.table
        && let Err(e) = std::fs::write(path, table(&all))
    {
        println!("{}: {e}", path.display());
        return ExitCode::FAILURE;
    }
    if all.iter().all(|s| s.caught.is_some()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tell(failure: &Failure) {
    println!("FAILED: {}\n  {}", failure.reproduction(), failure.reason);
}
