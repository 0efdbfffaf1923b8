//! Documents: Automerge at work. Load, read, change, merge, clashes.
//!
//! [`Doc`] is one document in memory; [`screen`] measures foreign bytes before
//! Automerge sees them; [`reissue()`] writes edits again when their first changes
//! cannot stand. Keys are known to the codec alone.

mod codec;
mod doc;
mod genesis;
mod reissue;
pub mod screen;
#[cfg(test)]
pub(crate) mod tests;

use crate::domain::{ChangeHash, DeviceId, Entity, Millis, StaffId};
use crate::error::{Error, Result};
use automerge::ScalarValue;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

pub use doc::{Again, Doc, History, Misfit, Proof};
pub use reissue::{Reissued, reissue, reissue_foreign};

/// Who writes: 16 bytes of device, 8 of incarnation. One linear history: a new
/// incarnation is minted whenever the file may be a copy.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Actor {
    /// The device.
    pub device: DeviceId,
    /// Its incarnation.
    pub incarnation: [u8; 8],
}

/// What a change says of itself, read from its header without trusting more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// Its identity.
    pub hash: ChangeHash,
    /// Its author's actor bytes.
    pub actor: Vec<u8>,
    /// Its place in the actor's history of this document, from 1.
    pub seq: u64,
    /// What it was made on.
    pub deps: Vec<ChangeHash>,
    /// Its first operation's counter.
    pub start_op: u64,
    /// How many operations.
    pub ops: u64,
    /// When, by its author's best estimate.
    pub at: Millis,
    /// The person, from the change's message; `None` where there is none or it is no staff id.
    pub by: Option<StaffId>,
}

/// A change as bytes, with its header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// What it says of itself.
    pub header: Header,
    /// The bytes: stored, sent and hashed as they are.
    pub bytes: Vec<u8>,
}

/// A change as Automerge takes it in, with its header.
#[derive(Debug)]
pub struct Parsed {
    /// What it says of itself.
    pub header: Header,
    inner: automerge::Change,
}

/// One of several concurrent values of a leaf.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct ClashValue {
    /// The change that set it: names the value in `ChooseClash`.
    pub change: ChangeHash,
    /// The value as JSON.
    pub value: serde_json::Value,
    /// The person, where known.
    pub by: Option<StaffId>,
    /// The device.
    pub device: Option<DeviceId>,
    /// When, by its author's best estimate.
    pub at: Millis,
    /// Whether reads show this one.
    pub shown: bool,
}

/// A leaf set to several values at once.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Clash {
    /// The leaf, such as `outcome` or `checks/model/result`.
    pub path: String,
    /// Every value.
    pub values: Vec<ClashValue>,
}

/// A document's content as read, and what could not be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reading {
    /// The content.
    pub entity: Entity,
    /// Leaves this version cannot make sense of (a newer version's word, a wrong type): read as their defaults.
    pub dropped: Vec<String>,
}

impl Actor {
    /// Length of an actor's bytes.
    pub const LEN: usize = 24;

    /// The actor's 24 bytes.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[..16].copy_from_slice(self.device.as_bytes());
        out[16..].copy_from_slice(&self.incarnation);
        out
    }

    /// The actor of these bytes; `None` unless they are 24.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::LEN] = bytes.try_into().ok()?;
        let (mut device, mut incarnation) = ([0; 16], [0; 8]);
        device.copy_from_slice(&bytes[..16]);
        incarnation.copy_from_slice(&bytes[16..]);
        Some(Self { device: DeviceId(uuid::Uuid::from_bytes(device)), incarnation })
    }
}

impl Header {
    /// The author's actor; `None` where the bytes are no actor of ours.
    pub fn author(&self) -> Option<Actor> {
        Actor::from_bytes(&self.actor)
    }
}

impl Parsed {
    /// As [`Change::parse`].
    ///
    /// # Errors
    /// As [`Change::parse`].
    pub fn of(bytes: &[u8]) -> Result<Parsed> {
        let header = screen::screen(bytes)?;
        let inner = parse(bytes)?;
        if inner.hash().0 != header.hash.0 || inner.len() as u64 != header.ops {
            return Err(malformed("the screen and the parser differ".into()));
        }
        shaped(&inner)?;
        Ok(Parsed { header, inner })
    }
}

impl Change {
    /// Screens the bytes (see [`screen::screen`]), parses them, and sees that they are of our documents' shape.
    ///
    /// # Errors
    /// `BadChange` with the screen's code, `malformed` or `bad_shape`.
    pub fn parse(bytes: Vec<u8>) -> Result<Change> {
        let header = Parsed::of(&bytes)?.header;
        Ok(Change { header, bytes })
    }

    /// A change of our own making.
    fn own(change: &mut automerge::Change) -> Self {
        let header = Header {
            hash: ChangeHash(change.hash().0),
            actor: change.actor_id().to_bytes().to_vec(),
            seq: change.seq(),
            deps: change.deps().iter().map(|d| ChangeHash(d.0)).collect(),
            start_op: change.start_op().get(),
            ops: change.len() as u64,
            at: Millis(change.timestamp()),
            by: change.message().and_then(person),
        };
        // Deflating a short change costs more time than its bytes are worth.
        let plain = change.raw_bytes().len() <= DEFLATE_FROM;
        let bytes = if plain { change.raw_bytes().to_vec() } else { change.bytes().into_owned() };
        Self { header, bytes }
    }
}

/// Changes longer than this are kept deflated.
const DEFLATE_FROM: usize = 1024;

/// The person a change's message names.
fn person(message: &str) -> Option<StaffId> {
    let simple = message.len() == 32 && message.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    simple.then(|| message.parse().ok()).flatten()
}

fn parse(bytes: &[u8]) -> Result<automerge::Change> {
    guard(|| automerge::Change::try_from(bytes).map_err(|e| malformed(e.to_string())))
}

/// That a change writes a flat map of values and texts, as every version of ours does. Automerge takes
/// in other shapes, such as a map's key in a text, and panics at the next honest edit.
fn shaped(change: &automerge::Change) -> Result<()> {
    use automerge::ObjType;
    use automerge::legacy::{Key, ObjectId, OpType};
    let operations = guard(|| Ok(change.decode().operations))?;
    for (n, op) in operations.iter().enumerate() {
        let fits = match (&op.obj, &op.key, op.insert) {
            (ObjectId::Root, Key::Map(_), false) => match &op.action {
                OpType::Put(_) | OpType::Delete | OpType::Make(ObjType::Text) => true,
                OpType::Increment(_) => op.pred.iter().next().is_some(),
                OpType::Make(_) | OpType::MarkBegin(_) | OpType::MarkEnd(_) => false,
            },
            // A letter put in, or taken out.
            (ObjectId::Id(_), Key::Seq(_), true) => {
                matches!(&op.action, OpType::Put(ScalarValue::Str(s)) if !s.is_empty())
                    && op.pred.iter().next().is_none()
            }
            (ObjectId::Id(_), Key::Seq(_), false) => matches!(op.action, OpType::Delete),
            _ => false,
        };
        if !fits {
            let detail = format!("operation {} is none of a flat map of values and texts", n + 1);
            return Err(Error::BadChange { code: "bad_shape", detail });
        }
    }
    Ok(())
}

/// A content's leaves by path; what is empty has none.
///
/// # Errors
/// Where the content cannot be told as JSON.
pub fn leaves(entity: &Entity) -> Result<BTreeMap<String, Value>> {
    fn walk(prefix: &str, map: Map<String, Value>, out: &mut BTreeMap<String, Value>) {
        for (key, value) in map {
            let path = if prefix.is_empty() { key } else { format!("{prefix}/{key}") };
            match value {
                Value::Null => {}
                Value::Object(inner) => walk(&path, inner, out),
                leaf => {
                    out.insert(path, leaf);
                }
            }
        }
    }
    let mut out = BTreeMap::new();
    let json = serde_json::to_value(entity).map_err(|e| Error::Damaged(format!("a document's content: {e}")))?;
    if let Value::Object(mut map) = json {
        map.remove("kind");
        walk("", map, &mut out);
    }
    Ok(out)
}

/// Runs Automerge over bytes or documents that others made. It panics on some malformed
/// ones (measured: 19,730 of 285,763 mutated changes); here that becomes an error. What `f`
/// changed meanwhile is to be thrown away on error.
fn guard<T>(f: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(f))
        .unwrap_or_else(|_| Err(malformed("cannot be taken in".into())))
}

fn malformed(detail: String) -> Error {
    Error::BadChange { code: "malformed", detail }
}
