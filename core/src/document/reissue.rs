//! Edits written again as new changes, when their first changes cannot stand.
//!
//! Each change is rewritten operation by operation: what it did to accepted
//! operations stays as it is, what it did to operations of other rewritten
//! changes follows them. So texts come out character by character as they were
//! typed and counts as the same differences. Operation counters are kept where
//! they can be: between concurrent values the same one wins as before.
//!
//! What a refused change did is undone in passing: a value set over a refused
//! value replaces what that one had replaced, a character typed after a refused
//! character goes where that one went, an edit inside a refused text is left out.

use super::{Actor, Change, Doc, malformed, parse, screen};
use crate::domain::ChangeHash;
use crate::error::Result;
use automerge::legacy::{ElementId, Key, ObjectId, Op, OpId, OpType};
use automerge::{ActorId, ExpandedChange, ReadDoc, ScalarValue};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::num::NonZeroU64;
use std::ops::RangeInclusive;

/// What came of writing edits again.
#[derive(Debug)]
pub struct Reissued {
    /// The new changes, in order.
    pub changes: Vec<Change>,
    /// Which old change became which new one. One that came to nothing without
    /// the refused ones is not in it.
    pub map: HashMap<ChangeHash, ChangeHash>,
}

/// What became of an operation.
enum Fate {
    /// It is this one now.
    Moved(OpId),
    /// It never was: what it replaced, and where it stood in a text.
    Gone { pred: Vec<OpId>, after: Option<ElementId> },
}

/// Of an operation that is nowhere: it rests in a refused change that is not at hand.
static NOWHERE: Fate = Fate::Gone { pred: Vec::new(), after: None };

/// What became of operations.
#[derive(Default)]
struct Fates {
    known: HashMap<OpId, Fate>,
    /// The numbers of the operations that the accepted document has of an actor.
    here: HashMap<ActorId, Vec<RangeInclusive<u64>>>,
}

impl Fates {
    /// What became of it; nothing did where it stands as it was.
    fn get(&self, id: &OpId) -> Option<&Fate> {
        let here = || self.here.get(&id.1).is_some_and(|spans| spans.iter().any(|span| span.contains(&id.0)));
        self.known.get(id).or_else(|| (!here()).then_some(&NOWHERE))
    }
}

/// Replays `pending` (changes of `old`, parents first; those in `refused` are
/// left out) on `accepted` as new changes of `actor`, each keeping its person
/// and time, each made on what the first one was made on. A parent, or an operation,
/// that is neither accepted nor pending counts as refused with nothing known of it.
///
/// # Errors
/// `BadChange` where a pending change is not in `old`, or cannot be replayed.
pub fn reissue(
    old: &Doc,
    accepted: &mut Doc,
    pending: &[ChangeHash],
    refused: &[ChangeHash],
    actor: Actor,
) -> Result<Reissued> {
    let refused: HashSet<_> = refused.iter().copied().collect();
    let mut changes = Vec::new();
    for hash in pending {
        let change = old
            .inner
            .get_change_by_hash(&automerge::ChangeHash(hash.0))
            .ok_or_else(|| malformed(format!("{hash} is not in the document")))?;
        changes.push(change);
    }
    replay(accepted, changes, &refused, actor)
}

/// Writes changes that another device made (from its rescue file, parents
/// first) on `accepted` as new changes of `actor`; each keeps its person and
/// time. What `accepted` has already is passed over.
///
/// # Errors
/// `BadChange`: the screen's codes, or where a change cannot be replayed.
pub fn reissue_foreign(accepted: &mut Doc, changes: &[Vec<u8>], actor: Actor) -> Result<Reissued> {
    let mut parsed = Vec::new();
    for bytes in changes {
        let header = screen::screen(bytes)?;
        if !accepted.has(header.hash) {
            parsed.push(parse(bytes)?);
        }
    }
    replay(accepted, parsed, &HashSet::new(), actor)
}

fn replay(
    accepted: &mut Doc,
    changes: Vec<automerge::Change>,
    refused: &HashSet<ChangeHash>,
    actor: Actor,
) -> Result<Reissued> {
    let held = accepted.inner.get_changes_meta(&[]);
    let mut ends: HashMap<ChangeHash, u64> = held.iter().map(|m| (ChangeHash(m.hash.0), m.max_op)).collect();
    let new_actor = ActorId::from(actor.to_bytes());
    let mut last =
        held.iter().filter(|m| *m.actor == new_actor).max_by_key(|m| m.seq).map(|m| (ChangeHash(m.hash.0), m.seq));
    let mut max = ends.values().copied().max().unwrap_or_default();
    // What stands in for an old change as a parent: its new one, or its own parents' stand-ins.
    let mut stands: HashMap<ChangeHash, Vec<ChangeHash>> = HashMap::new();
    let mut fates = Fates::default();
    for meta in &held {
        fates.here.entry(meta.actor.as_ref().clone()).or_default().push(meta.start_op..=meta.max_op);
    }
    let mut out = Reissued { changes: Vec::new(), map: HashMap::new() };
    let mut doc = accepted.clone();

    for change in changes {
        let hash = ChangeHash(change.hash().0);
        if ends.contains_key(&hash) {
            continue;
        }
        // Decoding trusts the parser; both are Automerge's.
        let old = super::guard(|| Ok(ExpandedChange::from(&change)))?;
        let mut deps = BTreeSet::new();
        for dep in &old.deps {
            let dep = ChangeHash(dep.0);
            match stands.get(&dep) {
                Some(instead) => deps.extend(instead.iter().copied()),
                None if ends.contains_key(&dep) => {
                    deps.insert(dep);
                }
                None => {}
            }
        }
        if refused.contains(&hash) {
            stands.insert(hash, deps.into_iter().collect());
            for (i, op) in old.operations.into_iter().enumerate() {
                let id = OpId(old.start_op.get() + i as u64, old.actor_id.clone());
                let fate = gone(&fates, op);
                fates.known.insert(id, fate);
            }
            continue;
        }
        let base: Vec<_> = deps.iter().copied().collect();
        // One actor's history is one line, whatever device the edits came from.
        deps.extend(last.map(|(hash, _)| hash));
        if deps.is_empty() {
            deps.extend(doc.heads());
        }
        let after = deps.iter().filter_map(|d| ends.get(d)).max().copied().unwrap_or_default();
        // Where refused ones left a gap it moves down: no change may start beyond the document's end.
        let start = old.start_op.get().min(max + 1).max(after + 1);
        let mut operations = Vec::new();
        for (i, op) in old.operations.into_iter().enumerate() {
            let id = OpId(old.start_op.get() + i as u64, old.actor_id.clone());
            let fate = match moved(&fates, &op) {
                Some(now) => {
                    let new = OpId(start + operations.len() as u64, new_actor.clone());
                    if let (OpType::Increment(_), OpType::Put(_)) = (&op.action, &now.action) {
                        // It opened the counter again: what else was added to the old one goes there.
                        fates.known.extend(op.pred.iter().map(|id| (id.clone(), Fate::Moved(new.clone()))));
                    }
                    operations.push(now);
                    Fate::Moved(new)
                }
                None => gone(&fates, op),
            };
            fates.known.insert(id, fate);
        }
        let Some(start_op) = NonZeroU64::new(start).filter(|_| !operations.is_empty()) else {
            stands.insert(hash, base);
            continue;
        };
        let end = start + operations.len() as u64 - 1;
        let seq = last.map_or(1, |(_, seq)| seq + 1);
        let rewritten = ExpandedChange {
            operations,
            actor_id: new_actor.clone(),
            hash: None,
            seq,
            start_op,
            time: old.time,
            message: old.message,
            deps: deps.iter().map(|d| automerge::ChangeHash(d.0)).collect(),
            extra_bytes: Vec::new(),
            author: None,
        };
        let mut new = super::guard(|| Ok(automerge::Change::from(rewritten)))?;
        let new = Change::own(&mut new);
        doc.apply([&new.bytes])?;
        let made = new.header.hash;
        ends.insert(made, end);
        max = max.max(end);
        stands.insert(hash, vec![made]);
        last = Some((made, seq));
        out.map.insert(hash, made);
        out.changes.push(new);
    }
    *accepted = doc;
    Ok(out)
}

/// The operation as it must be now; `None` where nothing is left for it to do.
fn moved(fates: &Fates, op: &Op) -> Option<Op> {
    let obj = match &op.obj {
        ObjectId::Root => ObjectId::Root,
        ObjectId::Id(id) => match fates.get(id) {
            None => ObjectId::Id(id.clone()),
            Some(Fate::Moved(id)) => ObjectId::Id(id.clone()),
            Some(Fate::Gone { .. }) => return None,
        },
    };
    let key = match &op.key {
        Key::Seq(at) if op.insert => Key::Seq(place(fates, at.clone())),
        Key::Seq(ElementId::Id(id)) => match fates.get(id) {
            None => op.key.clone(),
            Some(Fate::Moved(id)) => Key::Seq(ElementId::Id(id.clone())),
            // A change of a character that never was.
            Some(Fate::Gone { .. }) => return None,
        },
        key => key.clone(),
    };
    let pred = replaced(fates, op.pred.iter());
    let action = match &op.action {
        // Deleting what never was, though it replaced nothing.
        OpType::Delete if pred.is_empty() => return None,
        // The counter never was: the difference is the whole of it.
        OpType::Increment(by) if pred.is_empty() => OpType::Put(ScalarValue::counter(*by)),
        action => action.clone(),
    };
    Some(Op { action, obj, key, pred: pred.into(), insert: op.insert })
}

fn gone(fates: &Fates, op: Op) -> Fate {
    let after = match (op.insert, op.key) {
        (true, Key::Seq(at)) => Some(place(fates, at)),
        _ => None,
    };
    Fate::Gone { pred: replaced(fates, op.pred.iter()), after }
}

/// What an operation replaces now. What is here is final: a fate names no operation that has a fate.
fn replaced<'a>(fates: &Fates, pred: impl Iterator<Item = &'a OpId>) -> Vec<OpId> {
    let mut out: Vec<OpId> = Vec::new();
    for id in pred {
        let instead: &[OpId] = match fates.get(id) {
            None => std::slice::from_ref(id),
            Some(Fate::Moved(id)) => std::slice::from_ref(id),
            Some(Fate::Gone { pred, .. }) => pred,
        };
        for id in instead {
            if !out.contains(id) {
                out.push(id.clone());
            }
        }
    }
    out
}

/// Where an insertion goes now.
fn place(fates: &Fates, at: ElementId) -> ElementId {
    match at {
        ElementId::Head => ElementId::Head,
        ElementId::Id(id) => match fates.get(&id) {
            None => ElementId::Id(id),
            Some(Fate::Moved(id)) => ElementId::Id(id.clone()),
            Some(Fate::Gone { after, .. }) => after.clone().unwrap_or(ElementId::Head),
        },
    }
}
