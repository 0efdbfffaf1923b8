//! Whole companies in one thread, on one seed.
//!
//! Real engines on SQLite in memory, the real session, the real ledger over the
//! storage in memory (for some seeds over a file), real commands of the office.
//! Simulated are the network, the clocks, the dice and the misfortunes: what a
//! seed does it does again. When the network heals, `check` looks at all of it.
//!
//! - `world`: a company's life, step by step, and how it comes to rest
//! - `net`: messages under way, and what befalls them
//! - `phone`: an engine on its disk, its session, its copies
//! - `server`: the ledger, requests in the middle of being served, backups
//! - `deeds`: what technicians and the office do
//! - `check`: what must hold in the end

mod check;
mod deeds;
mod dice;
mod net;
mod phone;
#[cfg(feature = "planted")]
pub mod planted;
mod server;
mod store;
mod world;

pub use dice::Dice;
pub use world::{Stats, World};

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

/// A seed that did not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What did not hold.
    pub reason: String,
}

impl Failure {
    /// The command that does it again.
    pub fn reproduction(&self) -> String {
        format!("cargo xtask sim --seeds 1 --from {}", self.seed)
    }
}

/// What a seed came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Hash of everything that happened, in order.
    pub trace: String,
    /// What there was of everything.
    pub stats: Stats,
}

/// Lives one seed. `loud`: every step is told on the terminal's error output.
///
/// # Errors
/// What did not hold.
pub fn run(seed: u64, loud: bool) -> Result<Outcome, Failure> {
    listen_to_panics();
    PANIC.with_borrow_mut(String::clear);
    let lived = catch_unwind(AssertUnwindSafe(|| World::new(seed, loud).and_then(World::live)));
    let reason = match lived {
        Ok(Ok(outcome)) => return Ok(outcome),
        Ok(Err(reason)) => match PANIC.with_borrow(Clone::clone) {
            last if last.is_empty() => reason,
            last => format!("{reason}\n  (the last panic that was caught: {last})"),
        },
        Err(_) => format!("panicked: {}", PANIC.with_borrow(Clone::clone)),
    };
    Err(Failure { seed, reason })
}

thread_local! {
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Keeps the last panic's words instead of printing them: the product catches some of Automerge's.
fn listen_to_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let simulated = std::thread::current().name().is_some_and(|n| n.starts_with("sim"));
            if simulated {
                PANIC.with_borrow_mut(|p| *p = info.to_string());
            } else {
                before(info);
            }
        }));
    });
}

/// Seeds that failed once, with what was wrong: they are lived again by a test.
pub const FAILED: &str = include_str!("failed-seeds.txt");

/// The seeds of [`FAILED`].
pub fn failed_seeds() -> Vec<u64> {
    FAILED.lines().filter_map(|line| line.split('#').next()?.trim().parse().ok()).collect()
}

/// Lives many seeds on `jobs` threads, in no order; tells each failure as it comes and how far it is.
/// Ends early after `most` failures.
pub fn run_many(
    seeds: impl Iterator<Item = u64> + Send,
    jobs: usize,
    most: usize,
    tell: &(dyn Fn(&Failure) + Sync),
) -> (u64, Vec<Failure>, Stats) {
    let seeds = std::sync::Mutex::new(seeds);
    let all = std::sync::Mutex::new((0, Vec::new(), Stats::default()));
    let work = || {
        loop {
            let next = {
                let done = all.lock().unwrap_or_else(std::sync::PoisonError::into_inner).1.len() >= most;
                if done { None } else { seeds.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next() }
            };
            let Some(seed) = next else { return };
            let outcome = run(seed, false);
            let mut all = all.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            all.0 += 1;
            match outcome {
                Ok(outcome) => all.2.add(&outcome.stats),
                Err(failure) => {
                    tell(&failure);
                    all.1.push(failure);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for n in 0..jobs.max(1) {
            let spawned = std::thread::Builder::new().name(format!("sim-{n}")).spawn_scoped(scope, work);
            if spawned.is_err() {
                work();
            }
        }
    });
    let (count, mut failures, stats) = all.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    failures.sort_by_key(|f| f.seed);
    (count, failures, stats)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here<T: Send>(f: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let spawned = std::thread::Builder::new().name("sim-test".into()).spawn_scoped(scope, f);
            spawned.expect("a thread").join().expect("no panic")
        })
    }

    #[test]
    fn a_seed_does_again_what_it_did() {
        for seed in [1, 2, 50, 77] {
            let (first, second) = here(|| (run(seed, false), run(seed, false)));
            assert_eq!(first.map(|o| o.trace), second.map(|o| o.trace), "seed {seed}");
        }
    }

    #[test]
    fn seeds_differ() {
        let (a, b) = here(|| (run(3, false), run(4, false)));
        assert_ne!(a.expect("seed 3").trace, b.expect("seed 4").trace);
    }

    #[test]
    fn companies_live_through_misfortunes() {
        // A few of what `cargo xtask sim` lives by the thousand.
        let (count, failures, stats) = run_many(0..30, 2, 5, &|_| ());
        let told: Vec<_> = failures.iter().map(|f| format!("{}: {}", f.reproduction(), f.reason)).collect();
        assert!(failures.is_empty(), "{told:#?}");
        assert_eq!(count, 30);
        assert!(stats.acknowledged > 100 && stats.set_aside > 10, "{stats:?}");
    }

    #[test]
    fn seeds_that_failed_once_hold_now() {
        let (_, failures, _) = run_many(failed_seeds().into_iter(), 2, usize::MAX, &|_| ());
        let told: Vec<_> = failures.iter().map(|f| format!("{}: {}", f.reproduction(), f.reason)).collect();
        assert!(failures.is_empty(), "{told:#?}");
    }
}
