//! Unsent work out of one phone and into another.

use super::{Engine, Imported};
use crate::document::{Change, Doc, reissue};
use crate::domain::DocRef;
use crate::error::{Error, Result};
use crate::store::chunks::Seal;
use crate::store::outbox::Lane;
use crate::store::rescue::{RescuedDoc, gather, open, seal};
use crate::store::{blobs, chunks, meta};
use crate::sync::device::Written;
use rusqlite::Transaction;

impl Engine {
    /// Everything unsent, with its blobs, sealed with a passphrase: for another phone or the office.
    ///
    /// # Errors
    /// `NotEnrolled`; `Invalid` for a passphrase under 8 characters; the store's.
    pub fn rescue_export(&self, passphrase: &str) -> Result<Vec<u8>> {
        let device = &self.device;
        let rescue = gather(device.read(), device.blobs.as_ref(), device.env.now())?;
        seal(&rescue, passphrase, device.env.as_ref())
    }

    /// Takes over what a rescue file holds, as this device's own edits. The
    /// same file twice, or work that reached the server meanwhile, does it once.
    ///
    /// # Errors
    /// `NotEnrolled`; `Rescue` for a wrong passphrase or a damaged file; `Invalid` for a file of
    /// another company; the store's. A document that cannot be taken over is named in the answer.
    pub fn rescue_import(&mut self, bytes: &[u8], passphrase: &str) -> Result<Imported> {
        let identity = self.device.identity()?;
        let rescue = open(bytes, passphrase)?;
        if rescue.tenant != identity.tenant {
            return Err(Error::Invalid { field: "file", detail: "it is of another company".into() });
        }
        let now = self.device.env.now();
        let mut imported = Imported::default();
        for blob in &rescue.blobs {
            self.device.blobs.put(&blob.bytes)?;
        }
        for rescued in &rescue.docs {
            let id = DocRef::new(rescued.kind, rescued.doc);
            let taken = self.device.store.commit(|tx| {
                for blob in &rescue.blobs {
                    if blob.doc.is_some_and(|(doc, _)| doc == id.id) {
                        blobs::link(tx, id, blob.name, blob.bytes.len() as u64, &blob.media_type, now)?;
                    }
                }
                take_over(tx, id, rescued, now)
            });
            match taken {
                Ok((0, _)) => {}
                Ok((count, docs)) => {
                    imported.changes += count;
                    imported.docs.push(id);
                    self.device.notify(&docs);
                }
                Err(e) => imported.failed.push((id, e.to_string())),
            }
        }
        imported.blobs = rescue.blobs.len() as u64;
        Ok(imported)
    }
}

/// Writes a rescued document's unsent edits again; answers how many, and the rows that changed.
fn take_over(
    tx: &Transaction<'_>,
    id: DocRef,
    rescued: &RescuedDoc,
    now: crate::domain::Millis,
) -> Result<(u64, Vec<DocRef>)> {
    let unsent = rescued.changes.iter().map(|c| Change::parse(c.to_vec())).collect::<Result<Vec<_>>>()?;
    let mut old = Doc::load_foreign(id.kind, Some(&rescued.snapshot), std::iter::empty::<&[u8]>())?;
    // Refused changes are not in the snapshot; where they do not fit they stay behind in the file.
    for change in &unsent {
        if !old.has(change.header.hash) {
            old.apply([change.bytes.as_slice()])?;
        }
    }
    let mut here = chunks::load_or_new(tx, id)?;
    let mut edits = Vec::new();
    for change in &unsent {
        let hash = change.header.hash;
        if !here.has(hash) && meta::app_value(tx, &format!("rescued.{hash}"))?.is_none() {
            edits.push(hash);
        }
    }
    if edits.is_empty() {
        return Ok((0, Vec::new()));
    }
    // What the edits were made on: the server had it, so it may stand here as received.
    let hashes: Vec<_> = unsent.iter().map(|c| c.header.hash).collect();
    let mut base = old.foreign_changes()?;
    base.retain(|c| !hashes.contains(&c.header.hash) && !here.has(c.header.hash));
    if !base.is_empty() {
        here.apply(base.iter().map(|c| c.bytes.as_slice()))?;
        let held = chunks::held(tx, id.id)?;
        let accepted = match held {
            None => here.heads(),
            Some(held) => held.accepted,
        };
        chunks::put_received(tx, id, None, &base, &here.heads(), &Seal { heads: accepted, seal: Vec::new() })?;
    }
    let actor = meta::actor(tx)?;
    let again = reissue(&old, &mut here, &edits, &[], actor)?;
    for change in &again.changes {
        chunks::put_own(tx, id, change, &here.heads(), Lane::Work, now)?;
    }
    for hash in edits {
        meta::set_app_value(tx, &format!("rescued.{hash}"), Some("1"))?;
    }
    let mut written = Written::new(tx)?;
    written.put(id, &here)?;
    Ok((again.changes.len() as u64, written.finish(tx, now)?))
}
