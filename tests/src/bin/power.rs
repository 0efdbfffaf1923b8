//! Cuts the power of a phone's or a server's files, again and again: `cargo xtask power`.
#![expect(clippy::print_stdout, reason = "a terminal program")]

use anyhow::{Result, ensure};
use clap::Parser;
use onsite_e2e::disk::Honesty;
use onsite_e2e::power::{Role, run};
use std::time::Instant;

#[derive(Parser)]
struct Options {
    /// How many cuts for each role.
    #[arg(long, default_value_t = 500)]
    cuts: u64,
    /// The number of the first.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// `device` or `server`; both where absent.
    #[arg(long)]
    role: Option<Role>,
    /// A control: the disk makes `synchronous=NORMAL` of `FULL`.
    #[arg(long, conflicts_with = "no_sync")]
    normal: bool,
    /// A control: the disk says it has synced and has not.
    #[arg(long)]
    no_sync: bool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let honesty = match (options.normal, options.no_sync) {
        (true, _) => Honesty::Normal,
        (_, true) => Honesty::SyncsNothing,
        _ => Honesty::Honest,
    };
    let mut bad = 0;
    for role in options.role.map_or(vec![Role::Device, Role::Server], |r| vec![r]) {
        let begin = Instant::now();
        let report = run(role, options.from, options.cuts, honesty)?;
        println!(
            "{role}: {} cuts in {:.1} s, {} of them into unsynced writes; {} lost something acknowledged, {} left something broken",
            report.cuts,
            begin.elapsed().as_secs_f64(),
            report.in_flight,
            report.lost,
            report.broken,
        );
        println!("the workloads met: {}", report.covered.iter().copied().collect::<Vec<_>>().join(", "));
        for finding in &report.findings {
            println!("{finding}");
        }
        bad += report.lost + report.broken;
    }
    ensure!(bad == 0 || honesty != Honesty::Honest, "{bad} cuts did harm");
    Ok(())
}
