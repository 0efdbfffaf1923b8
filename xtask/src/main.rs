//! Build, test, demo and bench of the Onsite workspace: `cargo xtask <task>`.
#![expect(clippy::print_stdout, reason = "a terminal program")]

mod api;
mod mobile;

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Instant, SystemTime};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Tasks of the Onsite workspace")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build what is needed and run the demo; further arguments go to `onsite demo`.
    Demo {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Build the office's page (needs Node), where its sources have changed; `onsite` then carries it.
    Dashboard,
    /// Install what is missing, then formatting, clippy, all tests.
    Test {
        /// Leave out the tests that start processes.
        #[arg(long)]
        quick: bool,
    },
    /// The page's stories: a real server, real phones, Chromium.
    Stories,
    /// Cut the power of a phone's and a server's files again and again, and look what is left.
    Power {
        /// How many cuts for each role.
        #[arg(long, default_value_t = 500)]
        cuts: u64,
        /// The number of the first.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// `device` or `server`; both where absent.
        #[arg(long)]
        role: Option<String>,
    },
    /// Live seeds of whole companies: a simulated network, clock and fate over the real engines and ledger.
    Sim {
        /// How many seeds.
        #[arg(long, default_value_t = 2_000)]
        seeds: u64,
        /// The first seed.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// Threads; by default one a core.
        #[arg(long)]
        jobs: Option<usize>,
        /// Tell every step (of one seed).
        #[arg(long)]
        loud: bool,
    },
    /// Plant bugs one at a time and see that the simulation catches each; writes the table of them.
    Planted {
        /// Only see that each is still caught, by the table's seed first; leave the table as it is.
        #[arg(long)]
        check: bool,
    },
    /// Measure the speed targets on a release build: all of them, or what `args` say
    /// (`storm D M C`, `idle D M`, `first-sync N`, `memory N`, `office N`, `device`); `small` runs the
    /// benchmarks of documents and store, `bindings` the calls of a screen in every language.
    Bench {
        /// Also the same storm with automerge-repo and samod.
        #[arg(long)]
        peers: bool,
        /// What to measure, with its figures.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Generate the Kotlin and Swift sources anew from the engine's interface.
    Bindings {
        /// Only see whether those committed are still what it generates.
        #[arg(long)]
        check: bool,
    },
    /// Build the Kotlin package and run its tests.
    Kotlin {
        /// Pack its documentation as a jar instead.
        #[arg(long)]
        documentation: bool,
    },
    /// Build the Swift package and run its tests, where there is a toolchain.
    Swift,
    /// Build the Python package and run its tests.
    Python,
    /// Build the engine with SQLCipher, apart from everything else, and run the tests of the database's key.
    Cipher,
    /// Fuzz (needs a nightly compiler and `cargo install cargo-fuzz`): every target, or one. Finds
    /// end it and lie in `tests/fuzz/artifacts`. `mutated` counts changes through the gate instead; `api` asks
    /// the office's API what its document makes possible (Schemathesis, by pip).
    Fuzz {
        /// `screen`, `gate`, `messages`, `request`, `session`, `rescue`, `cursor`, `import`, `mutated` or `api`.
        target: Option<String>,
        /// How long each.
        #[arg(long, default_value_t = 600)]
        seconds: u32,
        /// How many changes `mutated` counts.
        #[arg(long, default_value_t = 1_000_000)]
        changes: u64,
        /// The first seed of `mutated`.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

/// The fuzz targets.
const TARGETS: [&str; 8] = ["screen", "gate", "messages", "request", "session", "rescue", "cursor", "import"];

fn main() -> Result<()> {
    std::env::set_current_dir(root())?;
    match Cli::parse().task {
        Task::Demo { args } => demo(&args),
        Task::Dashboard => dashboard().map(drop),
        Task::Test { quick } => test(quick),
        Task::Bindings { check } => mobile::bindings(check),
        Task::Kotlin { documentation } => mobile::kotlin(documentation),
        Task::Swift => mobile::swift(),
        Task::Python => mobile::python(),
        Task::Cipher => mobile::cipher(),
        Task::Stories => install_what_is_missing().and_then(|()| stories()),
        Task::Power { cuts, from, role } => power(cuts, from, role.as_deref()),
        Task::Sim { seeds, from, jobs, loud } => {
            let (seeds, from) = (seeds.to_string(), from.to_string());
            let mut args = vec!["--seeds", &seeds, "--from", &from];
            let jobs = jobs.map(|n| n.to_string());
            if let Some(jobs) = &jobs {
                args.extend(["--jobs", jobs]);
            }
            if loud {
                args.push("--loud");
            }
            sim(&[], &args)
        }
        Task::Planted { check } => {
            let table = if check { "--known" } else { "--table" };
            sim(PLANTED, &["--planted", table, PLANTED_TABLE])
        }
        Task::Bench { peers, args } => bench(peers, &args),
        Task::Fuzz { target, seconds, changes, seed } => fuzz(target.as_deref(), seconds, changes, seed),
    }
}

/// The workspace's folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Runs a command, showing it; fails if it fails.
fn run(name: &str, args: &[&str], env: &[(&str, &str)]) -> Result<()> {
    println!("\n$ {name} {}", args.join(" "));
    let begin = Instant::now();
    let status = Command::new(name)
        .args(args)
        .envs(env.iter().copied())
        .status()
        .with_context(|| format!("`{name}` cannot be started: is it installed?"))?;
    if !status.success() {
        bail!("`{name} {}` failed ({status})", args.join(" "));
    }
    println!("  ({:.1} s)", begin.elapsed().as_secs_f64());
    Ok(())
}

fn on_path(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

/// The Debian packages the tests need, each with a file that tells it is there.
fn missing_packages() -> Vec<&'static str> {
    let mut missing = Vec::new();
    if !on_path("cc") {
        missing.push("gcc");
    }
    // Debian's Python brings no environments of its own; a Python from elsewhere does.
    let makes_environments = Command::new("python3").args(["-c", "import ensurepip, venv"]).output();
    if !makes_environments.is_ok_and(|o| o.status.success()) {
        missing.push("python3-venv");
    }
    if !on_path("mvn") {
        missing.push("maven");
    }
    // Kotlin needs the runtime's modules; Maven alone brings a runtime without them.
    if !on_path("javac") {
        missing.push("default-jdk-headless");
    }
    // The forms are printed as a browser does.
    if !on_path("chromium") {
        missing.push("chromium");
    }
    if !on_path("pdftotext") {
        missing.push("poppler-utils");
    }
    if !Path::new("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc").exists() {
        missing.push("fonts-noto-cjk");
    }
    missing
}

fn install_what_is_missing() -> Result<()> {
    let missing = missing_packages();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !on_path("apt-get") {
        bail!("these are missing and there is no apt-get to install them with: {list}");
    }
    let sudo = if on_path("sudo") { "sudo" } else { "env" };
    let quiet = [("DEBIAN_FRONTEND", "noninteractive")];
    run(sudo, &["apt-get", "update", "-qq"], &quiet)
        .and_then(|()| {
            let mut args = vec!["apt-get", "install", "-y", "-qq", "--no-install-recommends"];
            args.extend(&missing);
            run(sudo, &args, &quiet)
        })
        .with_context(|| format!("could not install {list}: install them by hand, then run this again"))
}

/// Where the office's page lies.
const DASHBOARD: &str = "sync-server/dashboard";

/// The newest change of a file, or of anything in a folder; the beginning of time where there is none.
fn changed(path: &Path) -> SystemTime {
    let own = std::fs::metadata(path).and_then(|m| m.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let Ok(entries) = std::fs::read_dir(path) else { return own };
    entries.flatten().map(|entry| changed(&entry.path())).fold(own, SystemTime::max)
}

/// Runs a script of the page.
fn npm(args: &[&str]) -> Result<()> {
    run("npm", &[&["--prefix", DASHBOARD], args].concat(), &[])
}

/// Builds the page where it is older than its sources. Without Node it says so, and there is none.
fn dashboard() -> Result<bool> {
    if !(on_path("node") && on_path("npm")) {
        println!(
            "Node is missing (20.19 or newer, with npm): the office's page is not built. The server says so in its place."
        );
        return Ok(false);
    }
    let at = |name: &str| Path::new(DASHBOARD).join(name);
    if changed(&at("package-lock.json")) > changed(&at("node_modules/.package-lock.json")) {
        npm(&["ci", "--no-audit", "--no-fund"])?;
    }
    let made_of =
        ["src", "public", "scripts", "index.html", "package-lock.json", "tsconfig.json", "vite.config.ts", "words.ts"];
    let newest = made_of.iter().map(|name| changed(&at(name))).chain([changed(Path::new("core/messages"))]).max();
    // The folder is made anew by each build; a page that could not be built leaves none.
    if newest > std::fs::metadata(at("dist/index.html")).and_then(|m| m.modified()).ok() {
        npm(&["run", "build"])?;
    }
    Ok(true)
}

/// The page's own checks: lint, types, unit tests, and that its types are those of the API's document.
fn dashboard_test() -> Result<()> {
    if !dashboard()? {
        return Ok(());
    }
    for script in ["lint", "check", "test"] {
        npm(&["run", script])?;
    }
    npm(&["run", "schema", "--", "--check"])
        .context("the page's types are not those of openapi.json: `npm run schema` in its folder, and commit")
}

/// The page's stories, on the program as it is built now, with real phones behind it.
fn stories() -> Result<()> {
    if !dashboard()? {
        return Ok(());
    }
    run("cargo", &["build", "--locked", "-p", "onsite-server", "--bin", "onsite"], &[])?;
    let onsite = mobile::target()?.join("debug/onsite").display().to_string();
    run("npm", &["--prefix", DASHBOARD, "run", "e2e"], &[("ONSITE_BIN", &onsite)])
}

fn demo(args: &[String]) -> Result<()> {
    dashboard()?;
    let mut all = vec!["run", "--quiet", "--package", "onsite-server", "--bin", "onsite", "--", "demo"];
    all.extend(args.iter().map(String::as_str));
    println!("building …");
    run("cargo", &all, &[])
}

/// Features of a simulation in which bugs can be planted.
const PLANTED: &[&str] = &["--features", "planted"];
/// Which seed catches which of them.
const PLANTED_TABLE: &str = "tests/planted-bugs.md";

/// Builds the simulation and runs it.
fn sim(features: &[&str], args: &[&str]) -> Result<()> {
    let mut all = vec!["run", "--quiet", "--profile", "sim", "--locked", "-p", "onsite-e2e", "--bin", "sim"];
    all.extend(features);
    all.push("--");
    all.extend(args);
    run("cargo", &all, &[])
}

fn test(quick: bool) -> Result<()> {
    let begin = Instant::now();
    install_what_is_missing()?;
    run("cargo", &["fmt", "--all", "--check"], &[])?;
    // Before anything of Rust: the server carries what is built.
    dashboard_test()?;
    run("cargo", &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"], &[])?;
    // The core must build without its client, as in a browser's worker.
    run(
        "cargo",
        &["clippy", "-p", "onsite-core", "--no-default-features", "--lib", "--locked", "--", "-D", "warnings"],
        &[],
    )?;
    let references = root().join("target/snapshot-references");
    let _ = std::fs::remove_file(&references);
    let references_text = references.display().to_string();
    let env = [("INSTA_UPDATE", "no"), ("INSTA_SNAPSHOT_REFERENCES_FILE", references_text.as_str())];
    let mut args = vec!["test", "--workspace", "--locked"];
    if quick {
        args.extend(["--exclude", "onsite-e2e"]);
    } else {
        // The end-to-end tests start this binary.
        run("cargo", &["build", "--locked", "-p", "onsite-server", "--bin", "onsite"], &[])?;
    }
    run("cargo", &args, &env)?;
    unreferenced_snapshots(&references)?;
    if !quick {
        stories()?;
        mobile::python()?;
        mobile::bindings(true)?;
        mobile::kotlin(false)?;
        mobile::swift()?;
        // One build for both: where nothing is planted, nothing is different.
        sim(PLANTED, &["--seeds", "2000"])?;
        sim(PLANTED, &["--planted", "--known", PLANTED_TABLE])?;
    }
    run("cargo", &["doc", "--workspace", "--no-deps", "--locked", "--quiet"], &[("RUSTDOCFLAGS", "-D warnings")])?;
    if on_path("cargo-deny") {
        run("cargo", &["deny", "--offline", "check", "licenses", "bans", "sources"], &[])?;
    }
    println!("\nall green in {:.0} s", begin.elapsed().as_secs_f64());
    Ok(())
}

/// A snapshot that no test asked for is a leftover: fail.
fn unreferenced_snapshots(references: &Path) -> Result<()> {
    let asked: BTreeSet<PathBuf> = std::fs::read_to_string(references)
        .unwrap_or_default()
        .lines()
        .filter_map(|line| Path::new(line).canonicalize().ok())
        .collect();
    let mut left = Vec::new();
    for dir in ["core/src", "ffi/src", "sync-server/src", "tests/src"] {
        snapshots(Path::new(dir), &mut left)?;
    }
    left.retain(|path| path.canonicalize().is_ok_and(|p| !asked.contains(&p)));
    if left.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = left.iter().map(|p| format!("  {}", p.display())).collect();
    bail!("snapshots that no test asks for:\n{}", list.join("\n"))
}

fn snapshots(dir: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            snapshots(&path, found)?;
        } else if path.extension().is_some_and(|e| e == "snap") {
            found.push(path);
        }
    }
    Ok(())
}

fn power(cuts: u64, from: u64, role: Option<&str>) -> Result<()> {
    let (cuts, from) = (cuts.to_string(), from.to_string());
    let mut args = vec!["run", "--quiet", "--locked", "--profile", "sim", "-p", "onsite-e2e", "--bin", "power", "--"];
    args.extend(["--cuts", &cuts, "--from", &from]);
    if let Some(role) = role {
        args.extend(["--role", role]);
    }
    run("cargo", &args, &[])
}

fn bench(peers: bool, args: &[String]) -> Result<()> {
    if args == ["bindings"] {
        return mobile::bench();
    }
    if let Some((first, filter)) = args.split_first()
        && first == "small"
    {
        let mut all = vec!["bench", "-p", "onsite-core", "--locked", "--bench", "document", "--bench", "store"];
        if !filter.is_empty() {
            all.push("--");
            all.extend(filter.iter().map(String::as_str));
        }
        return run("cargo", &all, &[]);
    }
    // The page's first paint is seen in a browser.
    if args.first().is_none_or(|what| what == "office") {
        install_what_is_missing()?;
    }
    // Both at once, so that they share what they are built of.
    let build = ["build", "--release", "--locked", "-p", "onsite-server", "-p", "onsite-e2e"];
    run("cargo", &[&build[..], &["--bin", "onsite", "--bin", "load"]].concat(), &[])?;
    let target = mobile::target()?;
    let program = |name: &str| target.join("release").join(name).display().to_string();
    let (load, onsite, others) = (program("load"), program("onsite"), root().join("tests/peers").display().to_string());
    let mut all: Vec<&str> = if peers { vec!["--peers", &others] } else { Vec::new() };
    all.extend(args.iter().map(String::as_str));
    let page = root().join("sync-server/dashboard");
    let mut env = vec![("ONSITE_BIN", onsite.as_str())];
    let page_text = page.display().to_string();
    if page.join("node_modules/playwright-core").is_dir() {
        env.push(("OFFICE_PAGE", &page_text));
    }
    run(&load, &all, &env)
}

fn fuzz(target: Option<&str>, seconds: u32, changes: u64, seed: u64) -> Result<()> {
    if target == Some("api") {
        return api::fuzz(seconds);
    }
    let program = ["run", "--quiet", "--locked", "-p", "onsite-e2e", "--bin", "fuzz"];
    if target == Some("mutated") {
        let (changes, seed) = (changes.to_string(), seed.to_string());
        let count = ["--release", "--", "mutated", "--changes", &changes, "--from", &seed];
        return run("cargo", &[&program[..], &count].concat(), &[]);
    }
    if !on_path("cargo-fuzz") {
        bail!("cargo-fuzz is missing: `cargo install cargo-fuzz --locked`, and `rustup toolchain install nightly`");
    }
    let targets: Vec<&str> = match target {
        None => TARGETS.to_vec(),
        Some(one) if TARGETS.contains(&one) => vec![one],
        Some(other) => bail!("no target {other:?}: {}, mutated, api", TARGETS.join(", ")),
    };
    run("cargo", &[&program[..], &["--", "seeds", "tests/fuzz/corpus"]].concat(), &[])?;
    let limit = format!("-max_total_time={seconds}");
    for target in targets {
        // What is found on the way is kept apart from the seeds.
        let found = format!("tests/fuzz/found/{target}");
        std::fs::create_dir_all(&found)?;
        let seeds = format!("tests/fuzz/corpus/{target}");
        // No sanitizer: our code has no unsafe line, and automerge and SQLite run far more often without.
        // Debug assertions are on by default, those of all dependencies too.
        let mut args = vec!["+nightly", "fuzz", "run", "--fuzz-dir", "tests/fuzz", "--sanitizer", "none"];
        args.extend([target, &found, &seeds, "--", &limit]);
        args.extend(["-max_len=65536", "-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1"]);
        run("cargo", &args, &[])?;
    }
    Ok(())
}
