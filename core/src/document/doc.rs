//! One document in memory.

use super::{
    Actor, Change, Clash, ClashValue, Header, Parsed, Reading, codec, genesis, guard, malformed, parse, person, screen,
    shaped,
};
use crate::domain::{ChangeHash, DeviceId, Entity, Kind, Millis, StaffId, Write};
use crate::error::{Error, Result};
use automerge::transaction::{CommitOptions, Transactable, Transaction};
use automerge::{ActorId, Automerge, ObjId, ObjType, PatchLog, ROOT, ReadDoc, ScalarValue, Value};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Most bytes of keys and values that one change may write: what is over could
/// not pass a gate once operations are added ([`screen::MAX_CHANGE_BYTES`]).
const MAX_WRITE: usize = 512 << 10;
/// No document lives long enough for more operations; honest counters stay far below.
const MAX_OP: u64 = screen::MAX_COUNTER;

/// A document in memory: short-lived, never kept resident.
#[derive(Clone)]
pub struct Doc {
    kind: Kind,
    pub(super) inner: Automerge,
}

impl std::fmt::Debug for Doc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Doc").field("kind", &self.kind).field("heads", &self.heads()).finish_non_exhaustive()
    }
}

/// What a document's changes say of the next one: who may follow whom.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The last operation of each change.
    ends: HashMap<ChangeHash, u64>,
    /// The last number of each actor, and its last operation.
    seqs: HashMap<Vec<u8>, (u64, u64)>,
    heads: HashSet<ChangeHash>,
    max: u64,
}

/// Why a change does not continue a history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Misfit {
    /// It is in it.
    Known,
    /// Its parents that are not.
    MissingDeps(Vec<ChangeHash>),
    /// Another change of its actor has its number, or a later one.
    DuplicateSeq(String),
    /// Its number leaves a gap.
    SeqGap(String),
    /// Its first operation does not follow.
    BadStartOp(String),
    /// With it there would be more heads than a change can have parents: nobody could write on.
    TooManyHeads(String),
}

impl Misfit {
    fn into_error(self) -> Error {
        let (code, detail) = match self {
            Self::Known => ("duplicate_seq", "it is here already".into()),
            Self::MissingDeps(deps) => {
                ("missing_deps", deps.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
            }
            Self::DuplicateSeq(detail) => ("duplicate_seq", detail),
            Self::SeqGap(detail) => ("bad_seq", detail),
            Self::BadStartOp(detail) => ("bad_start_op", detail),
            Self::TooManyHeads(detail) => ("too_many_heads", detail),
        };
        Error::BadChange { code, detail }
    }
}

impl History {
    /// Whether a change is in it.
    pub fn has(&self, hash: ChangeHash) -> bool {
        self.ends.contains_key(&hash)
    }

    /// Takes a change in, if it continues what is here as an honest one does.
    ///
    /// # Errors
    /// Why it does not; the history is as it was.
    pub fn place(&mut self, h: &Header) -> Result<(), Misfit> {
        self.put(h, screen::MAX_DEPS)
    }

    /// As [`History::place`], leaving at most so many heads: who takes what a gate let pass does
    /// not see it in the gate's order, and has heads of its own.
    fn put(&mut self, h: &Header, most_heads: usize) -> Result<(), Misfit> {
        if self.has(h.hash) {
            return Err(Misfit::Known);
        }
        let missing: Vec<_> = h.deps.iter().filter(|d| !self.has(**d)).copied().collect();
        if !missing.is_empty() {
            return Err(Misfit::MissingDeps(missing));
        }
        let after = h.deps.iter().filter_map(|d| self.ends.get(d)).copied().max().unwrap_or_default();
        let (seq, own) = self.seqs.get(&h.actor).copied().unwrap_or_default();
        // An actor counts on from its own last operation too, or two operations would have one name.
        let after = after.max(own);
        let numbers = || format!("{} has number {}, its actor is at {seq}", h.hash, h.seq);
        if h.seq <= seq {
            return Err(Misfit::DuplicateSeq(numbers()));
        }
        if h.seq != seq + 1 {
            return Err(Misfit::SeqGap(numbers()));
        }
        if h.start_op <= after || h.start_op > self.max + 1 {
            let detail = format!("{} starts at {}, not in {}..={}", h.hash, h.start_op, after + 1, self.max + 1);
            return Err(Misfit::BadStartOp(detail));
        }
        let met = h.deps.iter().filter(|d| self.heads.contains(d)).count();
        if self.heads.len() - met >= most_heads {
            return Err(Misfit::TooManyHeads(format!("{} would be head {}", h.hash, self.heads.len() - met + 1)));
        }
        let end = h.start_op + h.ops - 1;
        h.deps.iter().for_each(|d| {
            self.heads.remove(d);
        });
        self.heads.insert(h.hash);
        self.seqs.insert(h.actor.clone(), (h.seq, end));
        self.ends.insert(h.hash, end);
        self.max = self.max.max(end);
        Ok(())
    }
}

/// What a write does to one key.
enum Step {
    Put(String, ScalarValue),
    Text(String, String),
    Add(String, i64),
}

impl Doc {
    /// A new document: the kind's genesis, byte for byte the same everywhere.
    pub fn new(kind: Kind) -> Doc {
        Doc { kind, inner: genesis::of(kind).doc.clone() }
    }

    /// A document from its snapshot (its genesis where absent) and the changes
    /// after it, all from this side's own store: they were screened when they came.
    ///
    /// # Errors
    /// `BadChange`: `malformed`, `wrong_genesis` (of another kind, or no document of ours), `missing_deps`, `duplicate_seq`.
    pub fn load(
        kind: Kind,
        snapshot: Option<&[u8]>,
        changes: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Result<Doc> {
        let mut doc = match snapshot {
            None => Self::new(kind),
            Some(bytes) => {
                let inner = guard(|| Automerge::load(bytes).map_err(|e| malformed(e.to_string())))?;
                Self { kind, inner }
            }
        };
        if !doc.has(genesis::of(kind).hash) {
            return Err(Error::BadChange { code: "wrong_genesis", detail: format!("not a {} of ours", kind.name()) });
        }
        let mut parsed = Vec::new();
        for bytes in changes {
            for chunk in screen::chunks(bytes.as_ref()) {
                parsed.push(parse(chunk?)?);
            }
        }
        if !parsed.is_empty() {
            doc.take_in_place(parsed)?;
        }
        Ok(doc)
    }

    /// Like [`Doc::load`], for what came over the network: everything is screened first.
    ///
    /// # Errors
    /// As [`Doc::load`], and the screen's codes.
    pub fn load_foreign(
        kind: Kind,
        snapshot: Option<&[u8]>,
        changes: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Result<Doc> {
        if let Some(bytes) = snapshot {
            screen::screen_document(bytes)?;
        }
        let mut doc = Self::load(kind, snapshot, std::iter::empty::<&[u8]>())?;
        doc.apply(changes)?;
        Ok(doc)
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its heads, sorted.
    pub fn heads(&self) -> Vec<ChangeHash> {
        let mut heads: Vec<_> = self.inner.get_heads().into_iter().map(|h| ChangeHash(h.0)).collect();
        heads.sort_unstable();
        heads
    }

    /// Its content.
    ///
    /// # Errors
    /// `BadChange{malformed}` where Automerge cannot read it: it was never proved (see [`Doc::prove`]).
    pub fn entity(&self) -> Result<Entity> {
        Ok(self.read()?.entity)
    }

    /// Its content, and which leaves could not be read.
    ///
    /// # Errors
    /// As [`Doc::entity`].
    pub fn read(&self) -> Result<Reading> {
        guard(|| Ok(codec::unflatten(self.kind, codec::leaves(&self.inner, self.kind, None))))
    }

    /// Its content as it was at these heads.
    ///
    /// # Errors
    /// `Invalid{heads}` where one is not in the document.
    pub fn entity_at(&self, heads: &[ChangeHash]) -> Result<Entity> {
        let heads = self.known(heads, "heads")?;
        guard(|| Ok(codec::unflatten(self.kind, codec::leaves(&self.inner, self.kind, Some(&heads))).entity))
    }

    /// What a change of this document set, by path, with the values it left; null where it took a value out.
    ///
    /// # Errors
    /// Where its parents or itself are not here.
    pub fn leaves_set(&self, change: &Change) -> Result<BTreeMap<String, serde_json::Value>> {
        let before = super::leaves(&self.entity_at(&change.header.deps)?)?;
        let mut after = super::leaves(&self.entity_at(&[change.header.hash])?)?;
        for path in before.keys() {
            if !after.contains_key(path) {
                after.insert(path.clone(), serde_json::Value::Null);
            }
        }
        after.retain(|path, value| before.get(path) != Some(value));
        Ok(after)
    }

    /// Does all `writes` as one change of `actor`; `None` if nothing differs.
    /// The writes are taken to be for this document: whole contents first, then
    /// texts, then choices.
    ///
    /// # Errors
    /// `Invalid`: `entity` (another kind), `seen` (heads unknown here), `field` (no such text),
    /// `change` (more than one change can hold). `NotFound`: no such value to choose.
    pub fn write(&mut self, actor: Actor, by: StaffId, at: Millis, writes: &[Write]) -> Result<Option<Change>> {
        let steps = self.plan(actor, writes)?;
        let choices = self.choices(writes)?;
        if steps.is_empty() && choices.is_empty() {
            return Ok(None);
        }
        let size: usize = steps
            .iter()
            .map(|step| match step {
                Step::Put(key, ScalarValue::Str(s)) => key.len() + s.len(),
                Step::Text(key, text) => key.len() + text.len(),
                Step::Put(key, _) | Step::Add(key, _) => key.len() + 8,
            })
            .sum();
        let too_much = |detail: String| Error::Invalid { field: "change", detail };
        if size > MAX_WRITE {
            return Err(too_much(format!("{size} bytes at once, at most {MAX_WRITE}")));
        }
        let held = self.inner.stats().num_ops;
        if self.max_op() > MAX_OP - 2 * screen::MAX_OPS || held > screen::MAX_DOCUMENT_OPS - screen::MAX_OPS {
            return Err(too_much("the document has no room for more operations".into()));
        }
        let options =
            CommitOptions::default().with_message(by.0.simple().to_string()).with_time(at.0.clamp(0, screen::MAX_TIME));
        // A document that hostile changes broke may panic here; the copy is then thrown away.
        let mut next = self.inner.clone();
        let made = guard(|| {
            next.set_actor(ActorId::from(actor.to_bytes()));
            let mut tx = next.transaction();
            for step in &steps {
                step_into(&mut tx, step).map_err(|e| malformed(e.to_string()))?;
            }
            for (path, value) in &choices {
                choose_into(&mut tx, path, value).map_err(|e| malformed(e.to_string()))?;
            }
            if tx.pending_ops() as u64 > screen::MAX_OPS {
                return Err(too_much(format!("{} operations at once, at most {}", tx.pending_ops(), screen::MAX_OPS)));
            }
            let Some(hash) = tx.commit_with(options).0 else { return Ok(None) };
            let change = next.get_change_by_hash(&hash).ok_or_else(|| malformed("the change is not there".into()))?;
            Ok(Some(change))
        })?;
        let Some(mut change) = made else { return Ok(None) };
        self.inner = next;
        Ok(Some(Change::own(&mut change)))
    }

    /// What the writes put, text by text and leaf by leaf.
    fn plan(&self, actor: Actor, writes: &[Write]) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        let puts = writes.iter().filter_map(|w| match w {
            Write::Put(_, entity) => Some(entity),
            Write::Text { .. } | Write::Choose { .. } => None,
        });
        let mut before = None;
        for entity in puts {
            if entity.kind() != self.kind {
                let detail = format!("a {} into a {}", entity.kind().name(), self.kind.name());
                return Err(Error::Invalid { field: "entity", detail });
            }
            let old = match before.take() {
                Some(flat) => flat,
                None => codec::flatten(&self.entity()?)?,
            };
            let new = codec::flatten(entity)?;
            for (key, leaf) in &new {
                let was = old.get(key);
                if was == Some(leaf) {
                    continue;
                }
                if codec::is_text(self.kind, key) {
                    steps.push(Step::Text(key.clone(), leaf.as_str().unwrap_or_default().to_owned()));
                } else if codec::is_count(self.kind, key) {
                    let of = |v: Option<&serde_json::Value>| v.and_then(serde_json::Value::as_i64).unwrap_or_default();
                    match of(Some(leaf)).saturating_sub(of(was)) {
                        0 => {}
                        by => steps.push(Step::Add(codec::share_key(key, actor), by)),
                    }
                } else {
                    steps.push(Step::Put(key.clone(), codec::to_scalar(leaf)));
                }
            }
            for key in old.keys().filter(|k| !new.contains_key(*k)) {
                if !codec::is_text(self.kind, key) && !codec::is_count(self.kind, key) {
                    steps.push(Step::Put(key.clone(), ScalarValue::Null));
                }
            }
            before = Some(new);
        }
        for write in writes {
            if let Write::Text { field, text, seen, .. } = write {
                if !codec::is_text(self.kind, field) {
                    let detail = format!("{field:?} is no text of a {}", self.kind.name());
                    return Err(Error::Invalid { field: "field", detail });
                }
                steps.push(Step::Text(field.clone(), self.edited(field, text, seen)?));
            }
        }
        Ok(steps)
    }

    /// What the text becomes when it is edited to `text` by one who saw `seen`.
    ///
    /// The edit is made as of `seen` on a copy, where Automerge merges it with what
    /// others wrote since; the result is then this side's edit. Made as of `seen` in
    /// the document itself, the change would fork its actor's own history.
    fn edited(&self, field: &str, text: &str, seen: &[ChangeHash]) -> Result<String> {
        if seen.is_empty() {
            return Ok(text.to_owned());
        }
        let seen = self.known(seen, "seen")?;
        let mut now = self.inner.get_heads();
        let mut then = seen.clone();
        now.sort_unstable();
        then.sort_unstable();
        let Ok(Some((Value::Object(ObjType::Text), id))) = self.inner.get(ROOT, field) else {
            return Ok(text.to_owned());
        };
        if now == then {
            return Ok(text.to_owned());
        }
        guard(|| {
            let broken = |e: &dyn std::fmt::Display| malformed(e.to_string());
            let mut scratch = self.inner.clone();
            scratch.set_actor(ActorId::from([0xff; Actor::LEN]));
            let mut tx = scratch.transaction_at(PatchLog::inactive(), &seen).map_err(|e| broken(&e))?;
            tx.update_text(&id, text).map_err(|e| broken(&e))?;
            tx.commit();
            scratch.text(&id).map_err(|e| broken(&e))
        })
    }

    /// The values chosen, by leaf.
    fn choices(&self, writes: &[Write]) -> Result<Vec<(String, Chosen)>> {
        let mut out = Vec::new();
        for write in writes {
            let Write::Choose { path, choice, .. } = write else { continue };
            let values = guard(|| self.inner.get_all(ROOT, path).map_err(|e| malformed(e.to_string())))?;
            let chosen = values
                .iter()
                .find(|(_, id)| self.inner.hash_for_opid(id).is_some_and(|h| h.0 == choice.0))
                .ok_or_else(|| Error::NotFound(format!("no value of {path:?} set by {choice}")))?;
            if values.len() < 2 {
                continue;
            }
            let chosen = match chosen {
                (Value::Object(ObjType::Text), id) => {
                    Chosen::Text(self.inner.text(id).map_err(|e| malformed(e.to_string()))?)
                }
                (Value::Scalar(s), _) => Chosen::Scalar(match s.as_ref() {
                    ScalarValue::Counter(c) => ScalarValue::counter(c.into()),
                    other => other.clone(),
                }),
                (Value::Object(_), _) => {
                    return Err(Error::NotFound(format!("no value of {path:?} that can be chosen")));
                }
            };
            out.push((path.clone(), chosen));
        }
        Ok(out)
    }

    /// Applies foreign changes, in any order; all or none.
    ///
    /// # Errors
    /// `BadChange`: the screen's codes, `missing_deps`, `duplicate_seq` (another change of
    /// that actor has the number), `bad_seq` (a gap), `bad_start_op`, `malformed`.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Result<()> {
        let mut headers = Vec::new();
        let mut parsed = Vec::new();
        let mut batch = HashSet::new();
        for bytes in changes {
            let header = screen::screen(bytes.as_ref())?;
            if !self.has(header.hash) && batch.insert(header.hash) {
                let change = parse(bytes.as_ref())?;
                shaped(&change)?;
                parsed.push(change);
                headers.push(header);
            }
        }
        if parsed.is_empty() {
            return Ok(());
        }
        self.fits(headers)?;
        self.take(parsed)
    }

    /// Whether these new changes continue the document's history as honest ones do.
    fn fits(&self, mut headers: Vec<Header>) -> Result<()> {
        let mut history = self.history();
        // A child starts after its parents end, so this order has parents first.
        headers.sort_by_key(|h| h.start_op);
        headers.iter().try_for_each(|h| history.put(h, usize::MAX).map_err(Misfit::into_error))
    }

    /// What new changes must continue.
    pub fn history(&self) -> History {
        let mut history = History { heads: self.heads().into_iter().collect(), ..History::default() };
        for meta in self.inner.get_changes_meta(&[]) {
            history.ends.insert(ChangeHash(meta.hash.0), meta.max_op);
            history.max = meta.max_op.max(history.max);
            let last = (meta.seq, meta.max_op);
            match history.seqs.get_mut(meta.actor.to_bytes()) {
                Some((seq, end)) => (*seq, *end) = (last.0.max(*seq), last.1.max(*end)),
                None => {
                    history.seqs.insert(meta.actor.to_bytes().to_vec(), last);
                }
            }
        }
        history
    }

    /// Applies on a copy, so that a failure leaves the document as it was.
    fn take(&mut self, changes: Vec<automerge::Change>) -> Result<()> {
        let mut next = self.clone();
        next.take_in_place(changes)?;
        *self = next;
        Ok(())
    }

    /// Applies changes that continue its [`History`], without a copy: a document that fails is lost.
    ///
    /// # Errors
    /// As [`Doc::apply`].
    pub fn applied(mut self, changes: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Result<Doc> {
        let parsed = changes.into_iter().map(|bytes| parse(bytes.as_ref())).collect::<Result<Vec<_>>>()?;
        self.take_in_place(parsed)?;
        Ok(self)
    }

    /// As [`Doc::applied`], of changes that are parsed already.
    ///
    /// # Errors
    /// As [`Doc::apply`].
    pub fn with(mut self, changes: impl IntoIterator<Item = Parsed>) -> Result<Doc> {
        self.take_in_place(changes.into_iter().map(|change| change.inner).collect())?;
        Ok(self)
    }

    fn take_in_place(&mut self, changes: Vec<automerge::Change>) -> Result<()> {
        let hashes: Vec<_> = changes.iter().map(automerge::Change::hash).collect();
        guard(|| {
            self.inner.apply_changes(changes).map_err(|e| match e {
                automerge::AutomergeError::DuplicateSeqNumber(..) => {
                    Error::BadChange { code: "duplicate_seq", detail: e.to_string() }
                }
                e => malformed(e.to_string()),
            })
        })?;
        // What lacks a parent waits in a queue: not here.
        if let Some(hash) = hashes.iter().find(|h| self.inner.get_change_meta_by_hash(h).is_none()) {
            return Err(Error::BadChange { code: "missing_deps", detail: format!("{hash} lacks a parent") });
        }
        Ok(())
    }

    /// Which of the change's parents are not here.
    pub fn missing(&self, header: &Header) -> Vec<ChangeHash> {
        header.deps.iter().filter(|d| !self.has(**d)).copied().collect()
    }

    /// Whether the change is here (the genesis is, always).
    pub fn has(&self, hash: ChangeHash) -> bool {
        self.inner.get_change_meta_by_hash(&automerge::ChangeHash(hash.0)).is_some()
    }

    /// The whole document, compressed.
    pub fn save(&self) -> Vec<u8> {
        self.inner.save()
    }

    /// The whole document, not compressed: some eight times faster to make, and some four times longer.
    pub fn save_plain(&self) -> Vec<u8> {
        self.inner.save_nocompress()
    }

    /// The changes that `heads` do not cover, one after another; loads as one of `changes`.
    pub fn save_after(&self, heads: &[ChangeHash]) -> Vec<u8> {
        self.changes_since(heads).into_iter().flat_map(|c| c.bytes).collect()
    }

    /// The changes that `have` does not cover, parents first, without the genesis; unknown hashes are passed over.
    pub fn changes_since(&self, have: &[ChangeHash]) -> Vec<Change> {
        let have: Vec<_> = have.iter().filter(|h| self.has(**h)).map(|h| automerge::ChangeHash(h.0)).collect();
        let genesis = genesis::of(self.kind).hash.0;
        let mut changes = self.inner.get_changes(&have);
        changes.iter_mut().filter(|c| c.hash().0 != genesis).map(Change::own).collect()
    }

    /// Every change but the genesis, parents first.
    pub fn changes(&self) -> Vec<Change> {
        self.changes_since(&[])
    }

    /// As [`Doc::changes`], of a snapshot that came from elsewhere: Automerge takes some whose changes it
    /// then tells as others, of other hashes.
    ///
    /// # Errors
    /// `BadChange{malformed}`.
    pub fn foreign_changes(&self) -> Result<Vec<Change>> {
        let told = guard(|| Ok(self.changes()))?;
        match told.iter().find(|c| !self.has(c.header.hash)) {
            Some(other) => Err(malformed(format!("its history comes back with {}", other.header.hash))),
            None => Ok(told),
        }
    }

    /// One change; `None` where it is not here.
    pub fn change(&self, hash: ChangeHash) -> Option<Change> {
        self.inner.get_change_by_hash(&automerge::ChangeHash(hash.0)).map(|mut c| Change::own(&mut c))
    }

    /// The number the actor's next change will have, from 1.
    pub fn next_seq(&self, actor: Actor) -> u64 {
        let actor = ActorId::from(actor.to_bytes());
        let metas = self.inner.get_changes_meta(&[]);
        1 + metas.iter().filter(|m| *m.actor == actor).map(|m| m.seq).max().unwrap_or_default()
    }

    /// The highest operation counter.
    pub fn max_op(&self) -> u64 {
        self.inner.get_changes_meta(&[]).iter().map(|m| m.max_op).max().unwrap_or_default()
    }

    /// How many changes, without the genesis.
    pub fn len(&self) -> usize {
        (self.inner.stats().num_changes as usize).saturating_sub(1)
    }

    /// Whether nothing was ever written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every leaf set to several different values at once, with each value's
    /// author and time. A leaf cleared by one and set by another has a null among
    /// them. Counts never clash: they add up.
    pub fn clashes(&self) -> Vec<Clash> {
        // A document that Automerge cannot read has no clashes to show; `entity` reports it.
        guard(|| Ok(self.find_clashes())).unwrap_or_default()
    }

    fn find_clashes(&self) -> Vec<Clash> {
        let mut out = Vec::new();
        for item in self.inner.map_range(ROOT, ..).filter(|i| i.conflict) {
            if &*item.key == codec::KIND_KEY || codec::share_of(self.kind, &item.key).is_some() {
                continue;
            }
            let shown = item.id();
            let all = self.inner.get_all(ROOT, &*item.key).unwrap_or_default();
            let mut values: Vec<_> = all.iter().filter_map(|(v, id)| self.clash_value(v, id, *id == shown)).collect();
            values.sort_by_key(|v| (v.at, v.change));
            let differ = values.windows(2).any(|w| w[0].value != w[1].value);
            if differ {
                out.push(Clash { path: item.key.into_owned(), values });
            }
        }
        out
    }

    fn clash_value(&self, value: &Value<'_>, id: &ObjId, shown: bool) -> Option<ClashValue> {
        let value = match value {
            Value::Scalar(s) => codec::scalar(s)?,
            Value::Object(ObjType::Text) => self.inner.text(id).ok()?.into(),
            Value::Object(_) => return None,
        };
        let hash = self.inner.hash_for_opid(id)?;
        let meta = self.inner.get_change_meta_by_hash(&hash)?;
        let device: Option<DeviceId> = Actor::from_bytes(meta.actor.to_bytes()).map(|a| a.device);
        Some(ClashValue {
            change: ChangeHash(hash.0),
            value,
            by: meta.message.as_deref().and_then(person),
            device,
            at: Millis(meta.timestamp),
            shown,
        })
    }

    /// How many fields it has, those that this version does not know too.
    pub fn fields(&self) -> usize {
        use automerge::ReadDoc as _;
        self.inner.length(automerge::ROOT)
    }

    /// That it has no more fields than a document may have: reading costs as much as there are.
    ///
    /// # Errors
    /// `BadChange{too_large}`.
    pub fn few_fields(&self) -> Result<()> {
        match self.fields() {
            n if n > screen::MAX_DOCUMENT_FIELDS => Err(Error::BadChange {
                code: "too_large",
                detail: format!("{n} fields, at most {}", screen::MAX_DOCUMENT_FIELDS),
            }),
            _ => Ok(()),
        }
    }

    /// Proves that the document can live on: saved and loaded again it has the
    /// same heads, changes and content. Answers the content, and the snapshot that was loaded again.
    ///
    /// # Errors
    /// `BadChange{poisoned}` where it does not come back the same; the codes of
    /// [`screen::screen_document`] where it has grown too large to be passed on.
    pub fn prove(&self) -> Result<Proof> {
        self.again()?.proves(self)
    }

    /// The first half of [`Doc::prove`]: saves the document and loads it again.
    ///
    /// # Errors
    /// As [`Doc::prove`].
    pub fn again(&self) -> Result<Again> {
        self.few_fields()?;
        let lives = || {
            // Deflating it would cost more than all else here, and prove nothing more.
            let saved = self.save_plain();
            let doc = Self::load(self.kind, Some(&saved), std::iter::empty::<&[u8]>())?;
            Ok(Again { saved, doc })
        };
        let again = guard(lives).map_err(|_| poisoned("does not load again"))?;
        // What no other side would take as a snapshot must not come to be.
        screen::screen_document(&again.saved)?;
        Ok(again)
    }

    fn known(&self, heads: &[ChangeHash], field: &'static str) -> Result<Vec<automerge::ChangeHash>> {
        match heads.iter().find(|h| !self.has(**h)) {
            Some(h) => Err(Error::Invalid { field, detail: format!("{h} is not in this document") }),
            None => Ok(heads.iter().map(|h| automerge::ChangeHash(h.0)).collect()),
        }
    }
}

/// A document that was saved and loaded again.
#[derive(Debug)]
pub struct Again {
    saved: Vec<u8>,
    doc: Doc,
}

impl Again {
    /// The second half of [`Doc::prove`]: that it is what `doc` is.
    ///
    /// # Errors
    /// As [`Doc::prove`].
    pub fn proves(self, doc: &Doc) -> Result<Proof> {
        let Self { saved, doc: again } = self;
        // A change is named by a hash of itself and its parents: of the same heads the whole history is the same.
        let size = |doc: &Doc| (doc.inner.stats().num_changes, doc.inner.stats().num_ops);
        if again.heads() != doc.heads() || size(&again) != size(doc) {
            return Err(poisoned("comes back with another history"));
        }
        let leaves = |doc: &Doc| guard(|| Ok(codec::leaves(&doc.inner, doc.kind, None)));
        let content = leaves(doc)?;
        if leaves(&again)? != content {
            return Err(poisoned("comes back with another content"));
        }
        let reading = guard(|| Ok(codec::unflatten(doc.kind, content)))?;
        Ok(Proof { reading, snapshot: saved })
    }
}

fn poisoned(detail: &str) -> Error {
    Error::BadChange { code: "poisoned", detail: detail.into() }
}

/// What [`Doc::prove`] found.
#[derive(Clone, PartialEq, Debug)]
pub struct Proof {
    /// The content.
    pub reading: Reading,
    /// The document as [`Doc::save_plain`] saves it.
    pub snapshot: Vec<u8>,
}

/// A value chosen among clashing ones.
enum Chosen {
    Scalar(ScalarValue),
    Text(String),
}

fn step_into(tx: &mut Transaction<'_>, step: &Step) -> Result<(), automerge::AutomergeError> {
    match step {
        Step::Put(key, value) => tx.put(ROOT, key.as_str(), value.clone()),
        Step::Text(key, text) => {
            let id = match tx.get(ROOT, key.as_str())? {
                Some((Value::Object(ObjType::Text), id)) => id,
                _ => tx.put_object(ROOT, key.as_str(), ObjType::Text)?,
            };
            tx.update_text(&id, text)
        }
        Step::Add(key, by) => {
            let all = tx.get_all(ROOT, key.as_str())?;
            match all.as_slice() {
                [(value, _)] if codec::counter(value).is_some() => tx.increment(ROOT, key.as_str(), *by),
                // None yet, or one from each file of a copied actor: an increment would count for all of them.
                all => {
                    let sum = all.iter().filter_map(|(v, _)| codec::counter(v)).fold(*by, i64::saturating_add);
                    tx.put(ROOT, key.as_str(), ScalarValue::counter(sum))
                }
            }
        }
    }
}

fn choose_into(tx: &mut Transaction<'_>, path: &str, chosen: &Chosen) -> Result<(), automerge::AutomergeError> {
    match chosen {
        Chosen::Scalar(value) => tx.put(ROOT, path, value.clone()),
        Chosen::Text(text) => {
            let id = tx.put_object(ROOT, path, ObjType::Text)?;
            tx.splice_text(&id, 0, 0, text)
        }
    }
}
