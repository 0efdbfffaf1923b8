//! Edits written again as new changes, when their first changes cannot stand.

use super::{Actor, Change, Doc};
use crate::domain::ChangeHash;
use crate::error::Result;
use std::collections::HashMap;

/// What came of writing edits again.
#[derive(Debug)]
pub struct Reissued {
    /// The new changes, in order.
    pub changes: Vec<Change>,
    /// Which old change became which new one.
    pub map: HashMap<ChangeHash, ChangeHash>,
}

/// Replays `pending` (changes of `old`, in order, less those in `refused`) on `accepted` as new changes of `actor`.
pub fn reissue(
    old: &Doc,
    accepted: &mut Doc,
    pending: &[ChangeHash],
    refused: &[ChangeHash],
    actor: Actor,
) -> Result<Reissued> {
    let _ = (old, accepted, pending, refused, actor);
    Ok(Reissued { changes: Vec::new(), map: HashMap::new() })
}

/// Writes changes that another device made (from its rescue file, parents first) on `accepted` as new changes of
/// `actor`; each keeps its person and time. What `accepted` has already is passed over.
pub fn reissue_foreign(accepted: &mut Doc, changes: &[Vec<u8>], actor: Actor) -> Result<Reissued> {
    let _ = (accepted, changes, actor);
    Ok(Reissued { changes: Vec::new(), map: HashMap::new() })
}
