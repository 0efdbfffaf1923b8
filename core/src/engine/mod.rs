//! The engine: one door in (`execute`), one door out (queries), one notice (`watch`), and sync.

mod query;
mod rescue;
#[cfg(test)]
mod tests;
mod view;

use crate::document::reissue_foreign;
use crate::domain::{Author, Command, DocRef, Moment, Sha256, Stamp, Write, decide};
use crate::env::Env;
use crate::error::{Error, Result};
use crate::store::outbox::{Lane, lane_of};
use crate::store::{Blobs, View, blobs, chunks, meta, outbox};
use crate::sync::device::{Device, Written};
use crate::sync::protocol::{EnrolAnswer, TokenRequest};
use rusqlite::Transaction;
use std::cell::RefCell;
use uuid::Uuid;

pub use crate::store::outbox::Delivery;
pub use crate::sync::device::Watcher;
pub use view::*;

/// A device's records: single-owner and synchronous. Behind a mutex where
/// several threads want it.
pub struct Engine {
    device: Device,
}

impl AsMut<Device> for Engine {
    fn as_mut(&mut self) -> &mut Device {
        &mut self.device
    }
}

/// The engine's line to its server.
#[cfg(feature = "client")]
pub type Client = crate::sync::client::Client<Engine>;

/// Names a watcher.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct WatchId(pub u64);

impl Engine {
    /// Opens the device's file (migrating it) with its environment and blob store.
    ///
    /// # Errors
    /// `TooNew`, `Damaged`, `Locked`, `DiskFull`; the file stays as it was.
    pub fn open(conn: rusqlite::Connection, env: Box<dyn Env + Send>, blobs: Box<dyn Blobs + Send>) -> Result<Self> {
        Ok(Self { device: Device::open(conn, env, blobs)? })
    }

    // ---- identity ----

    /// Whose this device is; `None` before enrolment.
    ///
    /// # Errors
    /// The store's.
    pub fn identity(&self) -> Result<Option<Identity>> {
        let Some(who) = meta::identity(self.device.read())? else { return Ok(None) };
        let roles = self.device.roles(who.staff)?;
        Ok(Some(Identity {
            tenant: who.tenant,
            company: who.company,
            server: who.server,
            device: who.device,
            device_code: who.device_code,
            staff: who.staff,
            roles,
        }))
    }

    /// Makes the device's key (once) and answers its public half, for `POST /v1/enrol`.
    ///
    /// # Errors
    /// The store's.
    pub fn begin_enrolment(&mut self) -> Result<[u8; 32]> {
        self.device.begin_enrolment()
    }

    /// Takes the server's answer to the enrolment. `server` is its address, such as `https://onsite.example`.
    ///
    /// # Errors
    /// As [`Device::finish_enrolment`].
    pub fn finish_enrolment(&mut self, server: &str, answer: &EnrolAnswer) -> Result<()> {
        self.device.finish_enrolment(server, answer)
    }

    /// Signs a token challenge: `onsite-token-v1` ‖ device (16 bytes) ‖ nonce (its text's bytes).
    ///
    /// # Errors
    /// `NotEnrolled`; the store's.
    pub fn sign_challenge(&self, nonce: &str) -> Result<TokenRequest> {
        self.device.sign_challenge(nonce)
    }

    /// Mints a new actor incarnation: whenever this file may be a copy.
    ///
    /// # Errors
    /// `NotEnrolled`; the store's.
    pub fn mint_actor(&mut self) -> Result<()> {
        self.device.mint_actor()
    }

    /// Who acts on this device: roles of the staff document, or as given at enrolment.
    ///
    /// # Errors
    /// `NotEnrolled`; the store's.
    pub fn author(&self) -> Result<Author> {
        self.device.author()
    }

    /// A fresh `UUIDv7` for what a command creates.
    pub fn new_id(&self) -> Uuid {
        self.device.env.new_id()
    }

    /// The device's clock with the offset and doubt of the last contact.
    pub fn now(&self) -> Stamp {
        self.device.stamp().unwrap_or_else(|_| Stamp::unchecked(self.device.env.now()))
    }

    /// An edit compacts its document once that has more changes than this after its snapshot; 8 where nothing
    /// is said.
    pub fn compact_beyond(&mut self, changes: u32) {
        self.device.tail = changes;
    }

    // ---- the door in ----

    /// Does a command: decided, written, projected and queued in one transaction.
    ///
    /// # Errors
    /// `NotEnrolled`; `Refused` with the rule's code and field; `NotFound` for a photo whose bytes were not
    /// stored by [`Engine::add_blob`]; the store's. Nothing is written then.
    pub fn execute(&mut self, command: &Command) -> Result<Executed> {
        self.settle(command, None)
    }

    /// Does a command, and settles a refused edit with it.
    fn settle(&mut self, command: &Command, refused: Option<i64>) -> Result<Executed> {
        let by = self.device.author()?;
        let now = self.device.stamp()?;
        let device = &mut self.device;
        if let Command::AddPhoto { blob, size, .. } = command {
            let held = device.blobs.size(*blob)?.ok_or_else(|| Error::NotFound(format!("blob {blob}")))?;
            if i64::try_from(held) != Ok(*size) {
                return Err(Error::Invalid { field: "size", detail: format!("the blob has {held} bytes") });
            }
        }
        let (env, tail) = (&device.env, device.tail);
        let docs = device.store.commit(|tx| {
            if now.offset.is_none() {
                // Once seen to be set back, the clock is doubtful until the next contact.
                meta::forget_offset(tx)?;
            }
            let docs = execute(tx, command, &by, now, env.as_ref(), tail)?;
            if let Some(id) = refused {
                outbox::settle_refused(tx, id)?;
            }
            Ok(docs)
        })?;
        device.notify(&docs);
        Ok(Executed { docs })
    }

    /// Stores a blob, before it is linked by `AddPhoto`. Storing it twice is harmless.
    ///
    /// # Errors
    /// `Invalid`: `photo` over the company's limit or empty, `media_type` not of the form `type/subtype`;
    /// `DiskFull`, `File`.
    pub fn add_blob(&mut self, bytes: &[u8], media_type: &str) -> Result<StoredBlob> {
        use crate::domain::WorldExt as _;
        let limit = View::new(self.device.read()).settings().photo_bytes;
        let size = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        if size == 0 || size > limit {
            return Err(Error::Invalid { field: "photo", detail: format!("{size} bytes; 1 to {limit} are taken") });
        }
        let good = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-._".contains(&b));
        if !media_type.split_once('/').is_some_and(|(a, b)| good(a) && good(b)) {
            return Err(Error::Invalid { field: "media_type", detail: "not of the form type/subtype".into() });
        }
        Ok(StoredBlob { blob: self.device.blobs.put(bytes)?, size })
    }

    /// A blob's bytes, if they are on this device.
    ///
    /// # Errors
    /// `File`.
    pub fn blob(&self, blob: Sha256) -> Result<Option<Vec<u8>>> {
        match self.device.blobs.size(blob)? {
            None => Ok(None),
            Some(_) => self.device.blobs.read_all(blob).map(Some),
        }
    }

    /// Writes a refused edit again as it is (after its cause was removed).
    ///
    /// # Errors
    /// `NotFound` where no such refusal is open; `BadChange` where it cannot be written again.
    pub fn resend(&mut self, refused: i64) -> Result<Executed> {
        self.device.identity()?;
        let now = self.device.env.now();
        let docs = self.device.store.commit(|tx| {
            let edit = open_refusal(tx, refused)?;
            let actor = meta::actor(tx)?;
            let mut doc = chunks::load_or_new(tx, edit.doc)?;
            let again = reissue_foreign(&mut doc, std::slice::from_ref(&edit.bytes), actor)?;
            for change in &again.changes {
                chunks::put_own(tx, edit.doc, change, &doc.heads(), Lane::Work, now)?;
            }
            // Where nothing was left to write, it is in the document as it was.
            match again.map.get(&edit.hash) {
                Some(instead) => outbox::written_instead(tx, refused, *instead)?,
                None => outbox::settle_refused(tx, refused)?,
            }
            let mut written = Written::new(tx)?;
            written.put(edit.doc, &doc)?;
            written.finish(tx, now)
        })?;
        self.device.notify(&docs);
        Ok(Executed { docs })
    }

    /// Does `command` in place of a refused edit, which is then settled.
    ///
    /// # Errors
    /// `NotFound` where no such refusal is open; as [`Engine::execute`].
    pub fn amend(&mut self, refused: i64, command: &Command) -> Result<Executed> {
        open_refusal(self.device.read(), refused)?;
        self.settle(command, Some(refused))
    }

    /// Lets a refused edit rest, or takes note of what the office decided about it; it stays in the file.
    ///
    /// # Errors
    /// `NotFound` where no such refusal is open; the store's.
    pub fn dismiss(&mut self, refused: i64) -> Result<()> {
        let doc = open_refusal(self.device.read(), refused)?.doc;
        self.device.store.commit(|tx| outbox::settle_refused(tx, refused))?;
        self.device.notify(&[doc]);
        Ok(())
    }

    /// Forgets who is signed in and wipes the records.
    ///
    /// # Errors
    /// [`Error::UnsentWork`] while anything is unsent; the store's.
    pub fn sign_out(&mut self) -> Result<()> {
        let account = outbox::account(self.device.read())?;
        if !account.safe_to_hand_in() {
            let detail = format!("{} changes and {} photos are only on this phone", account.changes, account.blobs);
            return Err(Error::UnsentWork(detail));
        }
        self.device.wipe()
    }

    // ---- the notice ----

    /// Calls `f` after each commit with the documents that changed, or whose delivery did: own commands and syncs.
    pub fn watch(&mut self, f: Watcher) -> WatchId {
        WatchId(self.device.watch(f))
    }

    /// Ends a watch.
    pub fn unwatch(&mut self, id: WatchId) {
        self.device.unwatch(id.0);
    }
}

fn open_refusal(conn: &rusqlite::Connection, id: i64) -> Result<outbox::Refused> {
    let mut open = outbox::refused(conn, true)?;
    let at = open.iter().position(|r| r.id == id).ok_or_else(|| Error::NotFound(format!("refused edit {id}")))?;
    Ok(open.swap_remove(at))
}

/// Decides a command and writes what comes of it; answers the documents whose rows changed.
/// A document with more than `tail` changes after its snapshot is compacted: a day without a network is long, and
/// what an edit costs must not grow with those before it.
fn execute(
    tx: &Transaction<'_>,
    command: &Command,
    by: &Author,
    now: Stamp,
    env: &dyn Env,
    tail: u32,
) -> Result<Vec<DocRef>> {
    let failed = RefCell::new(None);
    let view = View::new(tx);
    let writes = {
        let mut new_id = || env.new_id();
        let mut next_number = || {
            meta::next_number(tx).unwrap_or_else(|e| {
                *failed.borrow_mut() = Some(e);
                0
            })
        };
        let mut moment = Moment { now, new_id: &mut new_id, next_number: &mut next_number };
        decide(command, by, &mut moment, &view)
    };
    view.finish()?;
    if let Some(e) = failed.into_inner() {
        return Err(e);
    }
    let mut by_doc: Vec<(DocRef, Vec<Write>)> = Vec::new();
    for write in writes? {
        let doc = match &write {
            Write::Put(id, entity) => DocRef::new(entity.kind(), *id),
            Write::Text { doc, .. } | Write::Choose { doc, .. } => *doc,
        };
        match by_doc.iter_mut().find(|(d, _)| *d == doc) {
            Some((_, writes)) => writes.push(write),
            None => by_doc.push((doc, vec![write])),
        }
    }
    if let Command::AddPhoto { doc, blob, size, media_type, .. } = command {
        // Linked before the change that names it: a cut between leaves no photo without its bytes.
        blobs::link(tx, *doc, *blob, u64::try_from(*size).unwrap_or(0), media_type, now.device)?;
    }
    let actor = meta::actor(tx)?;
    let mut written = Written::new(tx)?;
    for (id, writes) in by_doc {
        let mut doc = chunks::load_or_new(tx, id)?;
        if let Some(change) = doc.write(actor, by.staff, now.best(), &writes)? {
            chunks::put_own(tx, id, &change, &doc.heads(), lane_of(command), now.device)?;
            chunks::shorten(tx, id.id, &doc, tail)?;
            written.put(id, &doc)?;
        }
    }
    written.finish(tx, now.device)
}
