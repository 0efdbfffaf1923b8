//! The gate: what a change from elsewhere must pass before it is in the log.
//!
//! In order: shape and size ([`onsite_core::document::screen`], inside
//! [`Change::parse`]); author, number and parents (`place`); a trial on a copy
//! (`trial`); authority by kind. Refused changes are set aside by the ledger.

use onsite_core::document::{Change, Doc};
use onsite_core::domain::{ChangeHash, DeviceId, Rejection, StaffId};
use onsite_core::sync::protocol::Fate;
use sha2::Digest as _;

/// Where a change stands against a document.
#[derive(Debug)]
pub(crate) enum Placed {
    /// It may be tried.
    Fits,
    /// It is in the document already.
    Known,
    /// It is not looked at this time.
    Not(Fate),
    /// It is refused.
    Refused(Rejection),
}

/// Reads a change; a refused one is named by the hash its bytes would have.
pub(crate) fn read(bytes: Vec<u8>) -> Result<Change, Box<(ChangeHash, Vec<u8>, Rejection)>> {
    // The hash of an uncompressed chunk covers all behind magic and checksum.
    let name = ChangeHash(sha2::Sha256::digest(bytes.get(8..).unwrap_or_default()).into());
    Change::parse(bytes.clone()).map_err(|e| Box::new((name, bytes, Rejection::new(e.code(), "", e.to_string()))))
}

/// Checks author, number and parents of a change against the document as it
/// stands. `vouched`: a seal of ours covers it, so it was accepted once.
pub(crate) fn place(change: &Change, doc: &Doc, device: DeviceId, staff: StaffId, vouched: bool) -> Placed {
    let header = &change.header;
    if doc.has(header.hash) {
        return Placed::Known;
    }
    let refuse = |code: &str, detail: &str| Placed::Refused(Rejection::new(code, "", detail));
    let Some(actor) = header.author() else {
        return refuse("bad_actor", "the change's actor is not of a device");
    };
    if !vouched {
        if actor.device != device {
            return refuse("forged_actor", "the change's actor belongs to another device");
        }
        if header.by != Some(staff) {
            return refuse("forged_author", "the change names another person than the device's");
        }
    }
    let missing = doc.missing(header);
    if !missing.is_empty() {
        return Placed::Not(Fate::NeedDeps(missing));
    }
    let next = doc.next_seq(actor);
    if header.seq < next {
        return Placed::Not(Fate::ActorReused);
    }
    if header.seq > next {
        return refuse("bad_seq", "the change's number leaves a gap in its actor's history");
    }
    if header.start_op == 0 || header.start_op > doc.max_op().saturating_add(1) {
        return refuse("bad_start_op", "the change's first operation lies beyond the document's last");
    }
    Placed::Fits
}

/// Applies a change to a copy and reads what comes of it. The place of the
/// worker process: nothing outside this function touches foreign operations
/// before they were applied once.
pub(crate) fn trial(doc: &Doc, change: &Change) -> Result<Doc, Rejection> {
    let refused = |e: onsite_core::Error| Rejection::new(e.code(), "", e.to_string());
    let mut copy = doc.clone();
    copy.apply([&change.bytes]).map_err(refused)?;
    Ok(copy)
}

/// Saves, reloads and compares: a document that would not load again never gets in.
pub(crate) fn prove(doc: &Doc) -> Result<(), Rejection> {
    doc.prove().map_err(|e| Rejection::new(e.code(), "", e.to_string()))
}
