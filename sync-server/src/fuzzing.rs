//! Doors for the fuzz targets of the tests to what is not public otherwise. No part of any interface.

use crate::gate::{Offer, Outcome, Placed, Screened, Trial, here};
use crate::ledger::pull::At;
use onsite_core::domain::{ChangeHash, Kind};
use onsite_core::sync::protocol::{Cursor, SyncRequest};

/// A cursor as read and written again; `None` where it is none of a server's.
pub fn cursor(text: &str) -> Option<String> {
    At::parse(&Cursor(text.to_owned())).ok().map(|at| at.cursor().0)
}

/// A request's body, read as the route reads it; `None` where it is refused.
pub fn request(body: &[u8]) -> Option<SyncRequest> {
    crate::routes::sync::decode(body).ok()
}

/// What the gate made of a change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Tried {
    /// Refused, by which step, with which code.
    Refused(&'static str, String),
    /// Admitted.
    Lives {
        /// The document's heads with it.
        heads: Vec<ChangeHash>,
        /// The document's content with it, as JSON.
        entity: String,
        /// The document with it, saved.
        snapshot: Vec<u8>,
    },
}

/// Puts a change through the gate, in this process, as a worker would hold its trial: `snapshot`
/// is the document as stored, of whose leaves `clashes` hold several values.
pub fn gate(kind: Kind, snapshot: &[u8], clashes: u32, change: &[u8]) -> Tried {
    let screened = match Screened::of(change.to_vec()) {
        Ok(screened) => screened,
        Err(misshapen) => return Tried::Refused("screen", misshapen.why.code),
    };
    let trial = Trial {
        kind,
        snapshot: Some(snapshot.to_vec().into()),
        tail: Vec::new(),
        clashes,
        offers: vec![Offer { bytes: screened.bytes.into(), objected: false }],
        due: true,
        each: false,
    };
    let Some(tried) = here(&[trial]).pop() else { return Tried::Refused("trial", "unheard".into()) };
    let code = match tried.placed.first() {
        Some(Placed::Fits) => None,
        Some(Placed::Refused(code, _)) => Some(code.clone()),
        Some(Placed::Known) => Some("known".into()),
        Some(Placed::NeedDeps(_)) => Some("need_deps".into()),
        Some(Placed::ActorReused) => Some("actor_reused".into()),
        Some(Placed::Objected) | None => Some("unheard".into()),
    };
    match (code, tried.after) {
        (Some(code), _) => Tried::Refused("place", code),
        (None, Outcome::Lives(after)) => Tried::Lives {
            heads: after.heads,
            entity: after.entity,
            snapshot: after.snapshot.map(serde_bytes::ByteBuf::into_vec).unwrap_or_default(),
        },
        (None, Outcome::Dies(code, _)) => Tried::Refused("trial", code),
        (None, Outcome::Same | Outcome::Unheard(_)) => Tried::Refused("trial", "unheard".into()),
    }
}
