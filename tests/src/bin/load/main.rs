//! Load on a real server: the speed targets, measured. `cargo xtask bench` builds and runs it.
//!
//! The server is the `onsite serve` process of a release build, reached over
//! HTTP; devices are real engines on real files, in this process. A server's
//! CPU time is its own and its child processes', read from `/proc`; what the
//! devices spend is not in it. Nothing here fails for being slow.
#![expect(clippy::print_stdout, reason = "a terminal program")]

mod bindings;
mod device;
mod first;
mod idle;
mod memory;
mod meter;
mod office;
mod peers;
mod seed;
mod storm;
mod table;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use table::Row;

#[derive(Parser)]
#[command(name = "load", about = "The speed targets, measured on a real server and real device files")]
struct Cli {
    /// Also run the same storm with automerge-repo and samod, where Node and cargo can build them: their folder.
    #[arg(long, value_name = "DIR")]
    peers: Option<PathBuf>,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Subcommand)]
enum What {
    /// Devices come back with changes: what it costs until the office has all, durable and projected.
    Storm {
        /// Devices.
        devices: usize,
        /// Documents each holds; all of the usual numbers where absent.
        documents: Option<usize>,
        /// Documents each has changed.
        #[arg(default_value_t = 10)]
        changed: usize,
        /// Storms one after another; figures are over all but the first.
        #[arg(long, default_value_t = storm::ROUNDS)]
        rounds: usize,
    },
    /// Devices come back with nothing changed.
    Idle {
        /// Devices.
        devices: usize,
        /// Documents each holds.
        documents: usize,
    },
    /// A phone's first sync.
    FirstSync {
        /// Documents.
        documents: usize,
    },
    /// The server's memory with this many documents, after a storm and after whole scans.
    Memory {
        /// Documents.
        documents: usize,
    },
    /// The office's lists, details and figures of a company with this many work orders.
    Office {
        /// Work orders.
        #[arg(default_value_t = 10_000)]
        orders: usize,
    },
    /// The device alone: edit, open, list, search, beside bare SQLite and bare Automerge.
    Device,
    /// Makes a phone's folder with 10,000 work orders, for the languages' tests and figures.
    Phone {
        /// Where; must not be there.
        folder: PathBuf,
    },
    /// The calls that a screen makes on the bare engine, on such a folder: a line each, in microseconds.
    Screen {
        /// The folder.
        folder: PathBuf,
    },
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    match &cli.what {
        Some(What::Phone { folder }) => return bindings::make(folder),
        Some(What::Screen { folder }) => return bindings::run(folder),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(8).enable_all().build()?;
    let rows = runtime.block_on(run(&cli))?;
    println!("\n{}", table::render(&rows));
    Ok(())
}

async fn run(cli: &Cli) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    match &cli.what {
        Some(What::Storm { devices, documents: Some(documents), changed, rounds }) => {
            let ours = storm::run(*devices, *documents, *changed, *rounds).await?;
            rows.push(ours.row());
            if let Some(dir) = &cli.peers {
                rows.extend(peers::rows(dir, &ours)?);
            }
        }
        Some(What::Storm { devices, documents: None, changed, rounds }) => {
            rows.extend(storm::flatness(*devices, *changed, *rounds, cli.peers.as_deref()).await?);
        }
        Some(What::Idle { devices, documents }) => rows.push(idle::run(*devices, *documents).await?),
        Some(What::FirstSync { documents }) => rows.extend(first::run(*documents).await?),
        Some(What::Memory { documents }) => rows.push(memory::run(&[*documents]).await?),
        Some(What::Office { orders }) => rows.extend(office::run(*orders).await?),
        Some(What::Device) => rows.extend(device::run()?),
        Some(What::Phone { .. } | What::Screen { .. }) => {}
        None => {
            rows.extend(device::run()?);
            for documents in [20, 1_000] {
                rows.push(idle::run(10, documents).await?);
            }
            rows.extend(storm::flatness(10, 10, storm::ROUNDS, cli.peers.as_deref()).await?);
            rows.extend(first::run(10_000).await?);
            rows.push(memory::run(&[10_000, 100_000]).await?);
            rows.extend(office::run(10_000).await?);
        }
    }
    Ok(rows)
}
