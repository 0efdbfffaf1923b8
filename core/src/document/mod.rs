//! Documents: Automerge at work. Load, read, change, merge, clashes.

mod codec;
mod genesis;
mod reissue;
pub mod screen;

use crate::domain::{ChangeHash, DeviceId, Entity, Kind, Millis, StaffId};
use crate::error::Result;

pub use reissue::{Reissued, reissue};

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

/// A document in memory: short-lived, never kept resident.
#[derive(Clone)]
pub struct Doc {
    kind: Kind,
    inner: automerge::Automerge,
}
