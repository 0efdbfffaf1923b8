//! The same storm with automerge-repo and samod, by their own programs.

use crate::storm::Storm;
use crate::table::Row;
use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use std::path::Path;
use std::process::Command;

/// Target: how many times less than automerge-repo.
const TARGET: f64 = 10.0;

/// What a peer's program prints last.
#[derive(Deserialize)]
struct Said {
    /// Server CPU for each changed document, in ms.
    cpu_ms: f64,
    /// Until the office had all, in ms.
    wall_ms: f64,
    /// The server's resident memory in MB.
    rss_mb: f64,
    /// Whether the office got all.
    converged: bool,
}

/// The peers' figures for a storm beside ours.
pub(crate) fn rows(dir: &Path, ours: &Storm) -> Result<Vec<Row>> {
    let size = [ours.devices, ours.documents, ours.changed].map(|n| n.to_string());
    let mut rows = Vec::new();
    let repo = dir.join("automerge-repo");
    if !repo.join("node_modules").is_dir() && on_path("npm") {
        // Not `ci`: where a registry lacks an optional package of another system, that takes the lock file for wrong.
        let status = Command::new("npm").args(["install", "--no-audit", "--no-fund"]).current_dir(&repo).status()?;
        ensure!(status.success(), "npm install failed in {}", repo.display());
    }
    match on_path("node") {
        true => {
            let said = ask(Command::new("node").arg("storm.mjs").args(&size).current_dir(&repo))?;
            let mut row = row("automerge-repo", Some(TARGET), &said, ours);
            row.target = format!("{}: ours ≥ {TARGET} × less", row.target);
            rows.push(row);
        }
        false => rows.push(Row::figure("automerge-repo, the same storm", "not measured: no Node here", "")),
    }
    let samod = dir.join("samod");
    let mut cargo = Command::new("cargo");
    // Its own lock file and target folder: it is no part of this workspace.
    cargo.args(["run", "--quiet", "--release", "--locked", "--", "storm"]).args(&size).current_dir(&samod);
    rows.push(row("samod", None, &ask(&mut cargo)?, ours));
    Ok(rows)
}

fn row(name: &str, least: Option<f64>, said: &Said, ours: &Storm) -> Row {
    let ratio = said.cpu_ms / ours.cpu;
    let end = if said.converged { "until the office has all" } else { "and the office still lacked some" };
    let measured =
        format!("{:.2} ms a changed document; {:.0} ms {end}; server {:.0} MB", said.cpu_ms, said.wall_ms, said.rss_mb);
    println!("{name}: {measured}");
    Row {
        target: format!("{name}, the same storm"),
        measured,
        ratio: format!("{ratio:.1}"),
        ok: least.map(|least| ratio >= least),
    }
}

fn ask(command: &mut Command) -> Result<Said> {
    let out = command.stderr(std::process::Stdio::inherit()).output().with_context(|| format!("{command:?}"))?;
    let text = String::from_utf8_lossy(&out.stdout);
    let last = text.lines().rfind(|l| l.starts_with('{')).with_context(|| format!("{command:?} said: {text}"))?;
    Ok(serde_json::from_str(last)?)
}

fn on_path(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}
