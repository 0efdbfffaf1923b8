//! The tests of the test: bugs planted one at a time, each to be caught within a budget of seeds.

use super::{Failure, run_many};
use onsite_core::planted::{Bug, plant};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Seeds within which every bug is to be caught.
pub const BUDGET: u64 = 2_000;

/// What came of planting one.
#[derive(Clone, Debug)]
pub struct Sown {
    /// The bug.
    pub bug: Bug,
    /// The first seed that failed; none within the budget where absent.
    pub caught: Option<Failure>,
}

/// Plants every bug in turn, or the one of this name, and lives seeds until one fails: the one that is known
/// to, then from 0.
pub fn sow(
    budget: u64,
    jobs: usize,
    only: Option<&str>,
    known: &BTreeMap<String, u64>,
    tell: &dyn Fn(&Sown),
) -> Vec<Sown> {
    let mut all = Vec::new();
    for bug in Bug::ALL.iter().filter(|bug| only.is_none_or(|name| name == format!("{bug:?}"))) {
        plant(Some(*bug));
        let known = known.get(&format!("{bug:?}")).copied();
        let (_, mut failures, _) = run_many(known.into_iter(), 1, 1, &|_| ());
        if failures.is_empty() {
            failures = run_many(0..budget, jobs, 1, &|_| ()).1;
        }
        plant(None);
        let sown = Sown { bug: *bug, caught: failures.into_iter().next() };
        tell(&sown);
        all.push(sown);
    }
    all
}

/// The first line of what was wrong, without ids.
pub fn reason(failure: &Failure) -> String {
    let id = |w: &str| w.len() >= 32 && w.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    let line = failure.reason.lines().next().unwrap_or_default();
    let words: Vec<&str> = line.split(' ').map(|w| if id(w.trim_end_matches([':', ','])) { "…" } else { w }).collect();
    words.join(" ").replace('|', "/").chars().take(140).collect()
}

/// The seeds that a [`table`] names.
pub fn seeds(table: &str) -> BTreeMap<String, u64> {
    let row = |line: &str| {
        let mut cells = line.split('|').map(str::trim).skip(1);
        Some((cells.next()?.to_owned(), cells.nth(1)?.parse().ok()?))
    };
    table.lines().filter_map(row).collect()
}

/// The table of them.
pub fn table(all: &[Sown]) -> String {
    let mut out = String::from(
        "# Planted bugs\n\n\
         Each is planted alone in a build made for it (feature `planted`), then seeds are lived from 0 on until one fails.\n\
         Written by `cargo xtask planted`.\n\n\
         | bug | what it does | caught by seed | as |\n|---|---|---:|---|\n",
    );
    for sown in all {
        let (seed, why) = match &sown.caught {
            Some(failure) => (failure.seed.to_string(), reason(failure)),
            None => ("not caught".into(), String::new()),
        };
        let _ = writeln!(out, "| {:?} | {} | {seed} | {why} |", sown.bug, sown.bug.what());
    }
    out
}
