//! Worker processes that hold trials.
//!
//! A worker is this very program, started with a hidden command. It reads
//! trials from its standard input and answers on its standard output, frame by
//! frame (length, then CBOR); it has no file, no network, an empty environment
//! and limits on memory and on processor time per trial. One that dies or
//! stalls is replaced; its trials are held again one by one, so that only the
//! guilty is refused. A worker that ran out of its own limits or crashed convicts;
//! one that somebody killed, or that was too slow on a busy machine, does not:
//! its changes are sent again later.

use super::{Trial, Tried, hold};
use crate::config;
use futures_util::future::join_all;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Serialize, de::DeserializeOwned};
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Semaphore;

/// The hidden command that makes this program a worker.
const COMMAND: &str = "gate-worker";
/// Most trials given to a worker at once.
const TOGETHER: usize = 64;
/// Most bytes of trials given at once, unless one is larger.
const BYTES: usize = 4 << 20;
/// Trials after which a worker is replaced, so that what it may have lost of its memory comes back.
const LIFE: usize = 50_000;
/// Largest frame, in bytes: more than any answer can be.
const MAX_FRAME: usize = 512 << 20;

/// Signals that a process earns by what it does: ILL, ABRT, BUS, SEGV, XCPU.
const FATAL: [i32; 5] = [4, 6, 7, 11, 24];

/// The workers of a server.
#[derive(Debug)]
pub(super) struct Pool {
    program: PathBuf,
    idle: Mutex<Vec<Worker>>,
    turns: Semaphore,
    memory: u64,
    seconds: u64,
}

#[derive(Debug)]
struct Worker {
    /// Killed when dropped.
    child: Child,
    to: ChildStdin,
    from: ChildStdout,
    held: usize,
}

impl Pool {
    pub(super) fn new(program: PathBuf, config: &config::Gate) -> Self {
        Self {
            program,
            idle: Mutex::default(),
            turns: Semaphore::new(match config.workers {
                0 => std::thread::available_parallelism().map_or(1, usize::from),
                n => n,
            }),
            memory: config.memory_bytes,
            seconds: config.cpu_seconds,
        }
    }

    /// Holds trials, some at a time on each worker.
    pub(super) async fn run(&self, trials: Vec<Trial>) -> Vec<Tried> {
        let mut parts: Vec<Vec<Trial>> = Vec::new();
        let mut bytes = 0;
        for trial in trials {
            bytes += trial.size();
            match parts.last_mut() {
                Some(part) if part.len() < TOGETHER && bytes <= BYTES => part.push(trial),
                _ => {
                    bytes = trial.size();
                    parts.push(vec![trial]);
                }
            }
        }
        join_all(parts.into_iter().map(|part| self.part(part))).await.into_iter().flatten().collect()
    }

    async fn part(&self, trials: Vec<Trial>) -> Vec<Tried> {
        match self.hold(&trials).await {
            Ok(tried) => return tried,
            Err(lost) => tracing::warn!(trials = trials.len(), ?lost, "a worker of the gate was lost"),
        }
        // One by one, each on another worker if need be: who is lost twice is known.
        let mut out = Vec::with_capacity(trials.len());
        for trial in trials {
            let alone = std::slice::from_ref(&trial);
            let mut tried = self.hold(alone).await;
            if tried.is_err() {
                tried = self.hold(alone).await;
            }
            out.extend(match tried {
                Ok(tried) => tried,
                Err(Lost::Guilty(why)) => {
                    metrics::counter!("onsite_gate_refused_total").increment(1);
                    tracing::warn!(%why, "a trial that no worker survives");
                    vec![trial.died(&why)]
                }
                Err(Lost::Innocent(why)) => vec![trial.unheard(why)],
            });
        }
        out
    }

    /// One frame on one worker; a worker that fails is not used again.
    async fn hold(&self, trials: &[Trial]) -> Result<Vec<Tried>, Lost> {
        let _turn = self.turns.acquire().await.map_err(innocent)?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut worker = match idle {
            Some(worker) => worker,
            None => self.spawn().map_err(innocent)?,
        };
        // Its own limit ends one that works; this is for one that does not.
        let patience = Duration::from_secs(self.seconds.max(1).saturating_mul(10));
        match tokio::time::timeout(patience, worker.hold(trials)).await {
            Ok(Ok(tried)) => {
                worker.held += trials.len();
                if worker.held < LIFE {
                    self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(worker);
                }
                Ok(tried)
            }
            Ok(Err(e)) => Err(worker.end(&e).await),
            Err(_) => Err(Lost::Innocent("the worker took too long".into())),
        }
    }

    fn spawn(&self) -> std::io::Result<Worker> {
        let mut command = Command::new(&self.program);
        command
            .args([COMMAND, &self.memory.to_string(), &self.seconds.to_string()])
            .env_clear()
            // The allocator would else ask for more address space at once than a worker may have.
            .env("MIMALLOC_ARENA_RESERVE", "16384")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let mut child = command.spawn()?;
        let missing = || std::io::Error::other("a worker without pipes");
        let (to, from) = (child.stdin.take().ok_or_else(missing)?, child.stdout.take().ok_or_else(missing)?);
        metrics::counter!("onsite_gate_workers_started_total").increment(1);
        Ok(Worker { child, to, from, held: 0 })
    }
}

/// How a worker was lost.
#[derive(Debug)]
enum Lost {
    /// By what it was given.
    Guilty(String),
    /// By something else.
    Innocent(String),
}

fn innocent(e: impl std::fmt::Display) -> Lost {
    Lost::Innocent(e.to_string())
}

impl Worker {
    /// Waits for the end of a worker that does not answer, and judges it.
    async fn end(mut self, e: &std::io::Error) -> Lost {
        match tokio::time::timeout(Duration::from_secs(1), self.child.wait()).await {
            Ok(Ok(status)) => match std::os::unix::process::ExitStatusExt::signal(&status) {
                // Out of time, out of memory, out of bounds.
                Some(signal) if FATAL.contains(&signal) => {
                    Lost::Guilty(format!("the worker ended with signal {signal}"))
                }
                _ => Lost::Innocent(format!("{e} ({status})")),
            },
            _ => innocent(e),
        }
    }

    async fn hold(&mut self, trials: &[Trial]) -> std::io::Result<Vec<Tried>> {
        let frame = encode(&trials)?;
        self.to.write_all(&frame).await?;
        let len = self.from.read_u32().await? as usize;
        if len > MAX_FRAME {
            return Err(std::io::Error::other("an answer too large"));
        }
        let mut body = vec![0; len];
        self.from.read_exact(&mut body).await?;
        let tried: Vec<Tried> = decode(&body)?;
        let fits = tried.len() == trials.len()
            && tried.iter().zip(trials).all(|(done, trial)| done.placed.len() == trial.offers.len());
        if fits { Ok(tried) } else { Err(std::io::Error::other("an answer to something else")) }
    }
}

fn encode<T: Serialize>(value: &T) -> std::io::Result<Vec<u8>> {
    let body = minicbor_serde::to_vec(value).map_err(|e| std::io::Error::other(e.to_string()))?;
    let len = u32::try_from(body.len()).ok().filter(|n| *n as usize <= MAX_FRAME);
    let len = len.ok_or_else(|| std::io::Error::other("a frame too large"))?;
    let mut frame = Vec::with_capacity(body.len() + 4);
    frame.extend(len.to_be_bytes());
    frame.extend(body);
    Ok(frame)
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> std::io::Result<T> {
    minicbor_serde::from_slice(body).map_err(|e| std::io::Error::other(e.to_string()))
}

/// The limits given to a worker; `None` where the arguments do not ask for one.
pub fn worker_limits(mut args: impl Iterator<Item = std::ffi::OsString>) -> Option<(u64, u64)> {
    let hidden = args.nth(1)?;
    let mut number = || args.next()?.to_str()?.parse().ok();
    (hidden == COMMAND).then(|| number().zip(number())).flatten()
}

/// A worker's whole life: trials in, answers out, until the input ends.
pub fn work(memory: u64, seconds: u64) -> ExitCode {
    // A malformed change makes Automerge panic; that is caught, and nobody's news.
    std::panic::set_hook(Box::new(|_| {}));
    match answers().and_then(|output| confine(memory).and_then(|()| serve(seconds, output))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Where answers go, and nothing else: Automerge prints of some malformed documents, and one word
/// among the answers would cost the worker. What is printed is lost.
fn answers() -> std::io::Result<std::fs::File> {
    let output = rustix::io::dup(std::io::stdout())?;
    rustix::stdio::dup2_stdout(std::io::stderr())?;
    Ok(output.into())
}

fn serve(seconds: u64, mut output: std::fs::File) -> std::io::Result<()> {
    let mut input = std::io::stdin().lock();
    loop {
        let mut len = [0; 4];
        match input.read_exact(&mut len) {
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
            other => other?,
        }
        let len = u32::from_be_bytes(len) as usize;
        if len > MAX_FRAME {
            return Err(std::io::Error::other("a frame too large"));
        }
        let mut body = vec![0; len];
        input.read_exact(&mut body)?;
        let trials: Vec<Trial> = decode(&body)?;
        let mut allowance = Allowance::new(seconds, trials.len());
        let tried = hold(&trials, |trial| allowance.grant(trial))?;
        allowance.end()?;
        output.write_all(&encode(&tried)?)?;
        output.flush()?;
    }
}

/// No more memory than this, no files, no dumps.
fn confine(memory: u64) -> std::io::Result<()> {
    let cap = |resource, limit: u64| {
        // Where a system does not know a limit, or a lower one holds already, what can be had must do.
        let most = getrlimit(resource).maximum.map_or(limit, |most| most.min(limit));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })
    };
    cap(Resource::Core, 0)?;
    cap(Resource::Fsize, 0)?;
    cap(Resource::Nofile, 16)?;
    if cfg!(target_os = "linux") {
        cap(Resource::As, memory)?;
    }
    Ok(())
}

/// Processor time for the trials of a frame: the system ends the process when one has used up its own.
struct Allowance {
    each: Duration,
    spent: Vec<Duration>,
    /// Which trial works, and since when by the clock of this process.
    works: Option<(usize, Duration)>,
    /// The system's limit, in seconds of that clock, and the highest that it may be.
    until: u64,
    most: Option<u64>,
}

impl Allowance {
    fn new(seconds: u64, trials: usize) -> Self {
        Self {
            each: Duration::from_secs(seconds),
            spent: vec![Duration::ZERO; trials],
            works: None,
            until: 0,
            most: getrlimit(Resource::Cpu).maximum,
        }
    }

    /// Lets this trial work with what is left to it.
    fn grant(&mut self, trial: usize) -> std::io::Result<()> {
        let used = Self::used();
        if let Some((last, since)) = self.works.replace((trial, used))
            && let Some(spent) = self.spent.get_mut(last)
        {
            *spent += used.saturating_sub(since);
        }
        let spent = self.spent.get(trial).copied().unwrap_or_default();
        self.limit(used + self.each.saturating_sub(spent))
    }

    /// What comes between frames is not to be had from the last trial's.
    fn end(&mut self) -> std::io::Result<()> {
        self.limit(Self::used() + self.each)
    }

    fn used() -> Duration {
        let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Duration::try_from(used).unwrap_or_default()
    }

    /// In whole seconds, so that it is up to one more.
    fn limit(&mut self, until: Duration) -> std::io::Result<()> {
        let until = until.as_secs() + 1;
        if until != self.until {
            setrlimit(Resource::Cpu, Rlimit { current: Some(until), maximum: self.most })?;
            self.until = until;
        }
        Ok(())
    }
}
