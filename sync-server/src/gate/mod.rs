//! The gate: what a change from elsewhere must pass before it is in the log.
//!
//! In order: shape and size (`screen`: nothing is allocated for what bytes only
//! say they hold); then a `Trial`, where foreign operations meet Automerge for
//! the first time: place in the history, parse, apply, save, load again, compare,
//! once per document and push. A trial touches nothing but the bytes it is given,
//! so it runs in a process of its own (`pool`) with limits on time and memory:
//! one that dies or stalls costs its input's author a refusal and the server
//! nothing. Authority by kind is asked afterwards, by the ledger, which sets
//! aside what was refused.

mod pool;
#[cfg(test)]
mod tests;

use onsite_core::document::{Actor, Again, Doc, Header, Misfit, Parsed, Proof, screen::screen};
use onsite_core::domain::{ChangeHash, DeviceId, Kind, Rejection, StaffId};
use pool::Pool;
pub use pool::{work, worker_limits};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use sha2::Digest as _;
use std::path::PathBuf;
use std::sync::Arc;

/// Most bytes of contents between the changes of one trial.
const MAX_STEPS: usize = 4 << 20;
/// Most fields read for them: a document of very many is tried in smaller parts, not for minutes.
const MAX_READ: usize = 500_000;
/// Largest document, in bytes and not compressed, whose snapshot is kept anew after every push; largest trial that is
/// held beside others.
const SMALL: usize = 16 << 10;
/// Most trials of small documents that take their steps side by side.
const ABREAST: usize = 16;

/// A change whose shape and size passed.
#[derive(Clone, Debug)]
pub(crate) struct Screened {
    pub(crate) header: Header,
    pub(crate) actor: Actor,
    pub(crate) bytes: Vec<u8>,
}

/// A change that did not even pass for one; named by the hash its bytes would have.
#[derive(Debug)]
pub(crate) struct Misshapen {
    pub(crate) name: ChangeHash,
    pub(crate) bytes: Vec<u8>,
    pub(crate) why: Rejection,
}

impl Screened {
    /// Screens a change's bytes.
    pub(crate) fn of(bytes: Vec<u8>) -> Result<Self, Box<Misshapen>> {
        let header = screen(&bytes).and_then(|header| match header.author() {
            Some(actor) => Ok((header, actor)),
            None => Err(onsite_core::Error::BadChange { code: "bad_actor", detail: "not a device's".into() }),
        });
        match header {
            Ok((header, actor)) => Ok(Self { header, actor, bytes }),
            Err(e) => {
                // The hash of an uncompressed chunk covers all behind magic and checksum.
                let name = ChangeHash(sha2::Sha256::digest(bytes.get(8..).unwrap_or_default()).into());
                Err(Box::new(Misshapen { name, bytes, why: rejection(&e) }))
            }
        }
    }

    /// What is wrong with its author, if anything: a device writes as itself and its person only.
    pub(crate) fn forged(&self, device: DeviceId, staff: StaffId) -> Option<Rejection> {
        if self.actor.device != device {
            return Some(Rejection::new("forged_actor", "", "the change's actor belongs to another device"));
        }
        if self.header.by != Some(staff) {
            return Some(Rejection::new("forged_author", "", "the change names another person than the device's"));
        }
        None
    }
}

/// A change on trial.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Offer {
    pub(crate) bytes: ByteBuf,
    /// Whether something speaks against it already: then it is only asked whether it is in the document.
    pub(crate) objected: bool,
}

/// One document as stored, and what is to be put onto it, in order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Trial {
    pub(crate) kind: Kind,
    pub(crate) snapshot: Option<ByteBuf>,
    pub(crate) tail: Vec<ByteBuf>,
    /// How many leaves of it hold several values.
    pub(crate) clashes: u32,
    pub(crate) offers: Vec<Offer>,
    /// Whether a snapshot of the outcome is due, also of a large document.
    pub(crate) due: bool,
    /// Whether the content after each of them is wanted, not after the last only.
    pub(crate) each: bool,
}

/// Where a change stands against its document.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Placed {
    /// It was applied.
    Fits,
    /// It is in the document already.
    Known,
    /// It is not, and something spoke against it.
    Objected,
    /// These must come first.
    NeedDeps(Vec<ChangeHash>),
    /// Its actor's history has this number already.
    ActorReused,
    /// It is refused: code and words.
    Refused(String, String),
}

/// The document with what fits.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct After {
    pub(crate) heads: Vec<ChangeHash>,
    /// The content, as the JSON that the read model keeps.
    pub(crate) entity: String,
    /// Where it was asked for: the content after each change but the last. Shorter where it would be too much.
    pub(crate) steps: Vec<String>,
    pub(crate) clashes: u32,
    /// The whole of it, of a small document always.
    pub(crate) snapshot: Option<ByteBuf>,
}

/// What came of a trial.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Tried {
    /// For each offer, in order.
    pub(crate) placed: Vec<Placed>,
    pub(crate) after: Outcome,
}

/// What became of the document.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// Nothing fits: it is as it was.
    Same,
    /// It lives on with what fits.
    Lives(Box<After>),
    /// With what fits it does not live: one of them is guilty. Code and words.
    Dies(String, String),
    /// It was not tried: as stored it does not load, or no worker could be had. Nobody's guilt.
    Unheard(String),
}

/// A trial whose offers are placed.
struct Fitting {
    doc: Doc,
    /// Those that fit.
    changes: Vec<Parsed>,
    placed: Vec<Placed>,
    /// Whether each was made on all that was here.
    linear: bool,
}

/// A trial whose document has all that fits.
struct Applied {
    doc: Doc,
    /// Its content on the way there.
    steps: Vec<String>,
    placed: Vec<Placed>,
    linear: bool,
}

/// Holds trials, small ones abreast: a step of each, then the next step of each, for a processor is quicker at what it
/// has just done. Pure, but for `grant`, which is asked before each step of the trial with this number.
fn hold<E>(trials: &[Trial], mut grant: impl FnMut(usize) -> Result<(), E>) -> Result<Vec<Tried>, E> {
    let mut out = Vec::with_capacity(trials.len());
    for some in trials.chunk_by(small).flat_map(|small| small.chunks(ABREAST)) {
        let from = out.len();
        let mut grant = |n: usize| grant(from + n);
        let held = each(some, vec![Ok(()); some.len()], &mut grant, |trial, ()| trial.load())?;
        let held = each(some, held, &mut grant, Trial::place)?;
        let held = each(some, held, &mut grant, Trial::apply)?;
        let held = each(some, held, &mut grant, Trial::again)?;
        let held = each(some, held, &mut grant, Trial::prove)?;
        out.extend(held.into_iter().map(|held| held.unwrap_or_else(|ended| ended)));
    }
    Ok(out)
}

/// The next step of each trial; one that ended takes no more.
fn each<A, B, E>(
    trials: &[Trial],
    held: Vec<Result<A, Tried>>,
    grant: &mut impl FnMut(usize) -> Result<(), E>,
    step: impl Fn(&Trial, A) -> Result<B, Tried>,
) -> Result<Vec<Result<B, Tried>>, E> {
    let mut out = Vec::with_capacity(held.len());
    for (n, (trial, held)) in trials.iter().zip(held).enumerate() {
        out.push(match held {
            Ok(held) => {
                grant(n)?;
                step(trial, held)
            }
            Err(ended) => Err(ended),
        });
    }
    Ok(out)
}

/// Holds trials right here, where nobody is hostile.
pub(crate) fn here(trials: &[Trial]) -> Vec<Tried> {
    let Ok(tried) = hold(trials, |_| Ok::<_, std::convert::Infallible>(()));
    tried
}

impl Trial {
    fn load(&self) -> Result<Doc, Tried> {
        Doc::load(self.kind, self.snapshot.as_ref().map(|s| s.as_slice()), &self.tail)
            .map_err(|e| self.unheard(format!("the stored document does not load: {e}")))
    }

    /// Where each offer stands against the document's history.
    fn place(&self, doc: Doc) -> Result<Fitting, Tried> {
        let mut history = doc.history();
        let mut heads = doc.heads();
        let mut linear = self.clashes == 0;
        let mut changes = Vec::new();
        let mut placed = Vec::with_capacity(self.offers.len());
        for offer in &self.offers {
            let change = match Parsed::of(&offer.bytes) {
                Ok(change) => change,
                Err(e) => {
                    placed.push(Placed::Refused(e.code().into(), e.to_string()));
                    continue;
                }
            };
            if offer.objected && !history.has(change.header.hash) {
                placed.push(Placed::Objected);
                continue;
            }
            placed.push(match history.place(&change.header) {
                Err(Misfit::Known) => Placed::Known,
                Err(Misfit::MissingDeps(deps)) => Placed::NeedDeps(deps),
                Err(Misfit::DuplicateSeq(_)) => Placed::ActorReused,
                Err(Misfit::SeqGap(detail)) => Placed::Refused("bad_seq".into(), detail),
                Err(Misfit::BadStartOp(detail)) => Placed::Refused("bad_start_op".into(), detail),
                Err(Misfit::TooManyHeads(detail)) => Placed::Refused("too_many_heads".into(), detail),
                Ok(()) => {
                    // Made on all that was here, it clashes with nothing.
                    linear &= change.header.deps == heads;
                    heads = vec![change.header.hash];
                    changes.push(change);
                    Placed::Fits
                }
            });
        }
        match changes.is_empty() {
            true => Err(Tried { placed, after: Outcome::Same }),
            false => Ok(Fitting { doc, changes, placed, linear }),
        }
    }

    fn apply(&self, Fitting { doc, changes, placed, linear }: Fitting) -> Result<Applied, Tried> {
        match self.steps(doc, changes) {
            Ok((doc, steps)) => Ok(Applied { doc, steps, placed, linear }),
            Err(e) => Err(dies(placed, &e)),
        }
    }

    fn again(&self, applied: Applied) -> Result<(Applied, Again), Tried> {
        match applied.doc.again() {
            Ok(again) => Ok((applied, again)),
            Err(e) => Err(dies(applied.placed, &e)),
        }
    }

    fn prove(&self, (applied, again): (Applied, Again)) -> Result<Tried, Tried> {
        let Applied { doc, steps, placed, linear } = applied;
        match again.proves(&doc) {
            Ok(Proof { reading, snapshot }) => {
                let after = After {
                    heads: doc.heads(),
                    clashes: if linear { 0 } else { u32::try_from(doc.clashes().len()).unwrap_or(u32::MAX) },
                    entity: serde_json::to_string(&reading.entity).unwrap_or_default(),
                    steps,
                    snapshot: kept(&doc, snapshot, self.due).map(Into::into),
                };
                Ok(Tried { placed, after: Outcome::Lives(Box::new(after)) })
            }
            Err(e) => Err(dies(placed, &e)),
        }
    }

    /// The document with all that fits, and its content on the way there.
    fn steps(&self, doc: Doc, fitting: Vec<Parsed>) -> onsite_core::Result<(Doc, Vec<String>)> {
        let (mut doc, mut steps, mut size, mut read) = (doc, Vec::new(), 0, 0);
        let mut rest = fitting.into_iter();
        while self.each
            && size < MAX_STEPS
            && read < MAX_READ
            && rest.len() > 1
            && let Some(next) = rest.next()
        {
            doc = doc.with([next])?;
            doc.few_fields()?;
            read += doc.fields();
            let entity = serde_json::to_string(&doc.entity()?).unwrap_or_default();
            size += entity.len();
            steps.push(entity);
        }
        Ok((doc.with(rest)?, steps))
    }

    /// About how many bytes it is.
    fn size(&self) -> usize {
        self.snapshot.as_ref().map_or(0, |s| s.len())
            + self.tail.iter().map(|t| t.len()).sum::<usize>()
            + self.offers.iter().map(|o| o.bytes.len()).sum::<usize>()
    }

    /// What is said of a trial whose process died of it: any of its offers may be guilty.
    fn died(&self, why: &str) -> Tried {
        let after = Outcome::Dies("unsafe_change".into(), format!("taking it in failed: {why}"));
        Tried { placed: vec![Placed::Fits; self.offers.len()], after }
    }

    /// What is said of a trial that could not be held.
    fn unheard(&self, why: String) -> Tried {
        Tried { placed: vec![Placed::Objected; self.offers.len()], after: Outcome::Unheard(why) }
    }
}

/// What is said of a trial whose document does not live with what fits.
fn dies(placed: Vec<Placed>, e: &onsite_core::Error) -> Tried {
    Tried { placed, after: Outcome::Dies(e.code().into(), e.to_string()) }
}

/// Whether two trials may be held abreast: their documents are in memory at once.
fn small(one: &Trial, other: &Trial) -> bool {
    one.size() <= SMALL && other.size() <= SMALL
}

/// The snapshot to be kept of a document that `plain` is the whole of: of a small one always, for to load a change
/// beside a snapshot costs several times what such a one costs to make and to keep; of a large one where it is due.
pub(crate) fn kept(doc: &Doc, plain: Vec<u8>, due: bool) -> Option<Vec<u8>> {
    match plain.len() {
        0..=SMALL => Some(plain),
        _ => due.then(|| doc.save()),
    }
}

/// Where trials are held.
#[derive(Clone, Debug)]
pub struct Gate {
    pool: Option<Arc<Pool>>,
}

impl Gate {
    /// In this process: for simulations, tools and tests of rules. Malformed changes are
    /// refused here too; one that eats memory or time would eat ours.
    pub fn inline() -> Self {
        Self { pool: None }
    }

    /// In worker processes of this very program, whose `main` must ask [`worker_limits`] first.
    ///
    /// # Errors
    /// Where the program's file cannot be named.
    pub fn workers(config: &crate::config::Gate) -> std::io::Result<Self> {
        // The running program itself, even where its file was replaced by a newer version.
        Ok(Self::workers_of(
            match cfg!(target_os = "linux") {
                true => "/proc/self/exe".into(),
                false => std::env::current_exe()?,
            },
            config,
        ))
    }

    /// As [`Gate::workers`], with another program.
    pub fn workers_of(program: PathBuf, config: &crate::config::Gate) -> Self {
        Self { pool: Some(Arc::new(Pool::new(program, config))) }
    }

    /// Holds trials; answers in their order.
    pub(crate) async fn run(&self, trials: Vec<Trial>) -> Vec<Tried> {
        metrics::counter!("onsite_gate_trials_total").increment(trials.len() as u64);
        match &self.pool {
            Some(pool) => pool.run(trials).await,
            None => here(&trials),
        }
    }
}

/// A failure of Automerge as the reason of a refusal.
fn rejection(e: &onsite_core::Error) -> Rejection {
    Rejection::new(e.code(), "", e.to_string())
}
