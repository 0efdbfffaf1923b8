//! The engine: one door in (`execute`), one door out (queries), one notice (`watch`), and sync.

mod view;

use crate::domain::{Author, Command, Date, DocRef, Kind, Sha256, Stamp, VisitId};
use crate::env::Env;
use crate::error::{Error, Result};
use crate::store::Blobs;
use crate::sync::device::Device;
use crate::sync::protocol::{EnrolAnswer, TokenRequest};
use uuid::Uuid;

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
    pub fn open(conn: rusqlite::Connection, env: Box<dyn Env + Send>, blobs: Box<dyn Blobs + Send>) -> Result<Self> {
        Ok(Self { device: Device::open(conn, env, blobs)? })
    }

    // ---- identity ----

    /// Whose this device is; `None` before enrolment.
    pub fn identity(&self) -> Result<Option<Identity>> {
        Err(Error::NotEnrolled)
    }

    /// Makes the device's key (once) and answers its public half, for `POST /v1/enrol`.
    pub fn begin_enrolment(&mut self) -> Result<[u8; 32]> {
        Err(Error::NotEnrolled)
    }

    /// Takes the server's answer to the enrolment. `server` is its address, such as `https://onsite.example`.
    pub fn finish_enrolment(&mut self, server: &str, answer: &EnrolAnswer) -> Result<()> {
        let _ = (server, answer);
        Err(Error::NotEnrolled)
    }

    /// Signs a token challenge: `onsite-token-v1` ‖ device (16 bytes) ‖ nonce (its text's bytes).
    pub fn sign_challenge(&self, nonce: &str) -> Result<TokenRequest> {
        let _ = nonce;
        Err(Error::NotEnrolled)
    }

    /// Mints a new actor incarnation: whenever this file may be a copy.
    pub fn mint_actor(&mut self) -> Result<()> {
        Err(Error::NotEnrolled)
    }

    /// Who acts on this device: roles of the staff document, or as given at enrolment.
    pub fn author(&self) -> Result<Author> {
        Err(Error::NotEnrolled)
    }

    /// A fresh `UUIDv7` for what a command creates.
    pub fn new_id(&self) -> Uuid {
        self.device.env.new_id()
    }

    /// The device's clock with the offset and doubt of the last contact.
    pub fn now(&self) -> Stamp {
        Stamp::unchecked(self.device.env.now())
    }

    // ---- the door in ----

    /// Does a command: decided, written, projected and queued in one transaction.
    pub fn execute(&mut self, command: &Command) -> Result<Executed> {
        let _ = command;
        Err(Error::NotEnrolled)
    }

    /// Stores a blob, before it is linked by `AddPhoto`. Storing it twice is harmless.
    pub fn add_blob(&mut self, bytes: &[u8], media_type: &str) -> Result<StoredBlob> {
        let _ = (bytes, media_type);
        Err(Error::NotEnrolled)
    }

    /// A blob's bytes, if they are on this device.
    pub fn blob(&self, blob: Sha256) -> Result<Option<Vec<u8>>> {
        let _ = blob;
        Ok(None)
    }

    /// Writes a refused edit again as it is (after its cause was removed).
    pub fn resend(&mut self, refused: i64) -> Result<Executed> {
        let _ = refused;
        Err(Error::NotEnrolled)
    }

    /// Does `command` in place of a refused edit, which is then settled.
    pub fn amend(&mut self, refused: i64, command: &Command) -> Result<Executed> {
        let _ = (refused, command);
        Err(Error::NotEnrolled)
    }

    /// Lets a refused edit rest; it stays in the file.
    pub fn dismiss(&mut self, refused: i64) -> Result<()> {
        let _ = refused;
        Err(Error::NotEnrolled)
    }

    /// Forgets who is signed in and wipes the records. [`Error::UnsentWork`] while anything is unsent.
    pub fn sign_out(&mut self) -> Result<()> {
        Err(Error::NotEnrolled)
    }

    /// Everything unsent, with its blobs, sealed with a passphrase: for another phone or the office.
    pub fn rescue_export(&self, passphrase: &str) -> Result<Vec<u8>> {
        let _ = passphrase;
        Err(Error::NotEnrolled)
    }

    /// Takes over what a rescue file holds, as this device's own edits.
    pub fn rescue_import(&mut self, bytes: &[u8], passphrase: &str) -> Result<Imported> {
        let _ = (bytes, passphrase);
        Err(Error::NotEnrolled)
    }

    // ---- the notice ----

    /// Calls `f` after each commit with the documents that changed.
    pub fn watch(&mut self, f: Box<dyn Fn(&[DocRef]) + Send>) -> WatchId {
        let _ = f;
        WatchId(0)
    }

    /// Ends a watch.
    pub fn unwatch(&mut self, id: WatchId) {
        let _ = id;
    }

    // ---- the door out ----

    /// The day's work.
    pub fn today(&self, day: Date) -> Result<Today> {
        let _ = day;
        Err(Error::NotEnrolled)
    }

    /// Documents of a kind, newest due first; of one status, if given. A page at a time.
    pub fn list(&self, kind: Kind, status: Option<&str>, after: Option<&str>) -> Result<Page> {
        let _ = (kind, status, after);
        Ok(Page::default())
    }

    /// Everything about one document.
    pub fn show(&self, doc: DocRef) -> Result<Detail> {
        Err(Error::NotFound(doc.id.to_string()))
    }

    /// A document's changes, newest first.
    pub fn history(&self, doc: DocRef) -> Result<Vec<HistoryEntry>> {
        Err(Error::NotFound(doc.id.to_string()))
    }

    /// Full-text search; finds single Chinese characters too.
    pub fn search(&self, words: &str, after: Option<&str>) -> Result<Page> {
        let _ = (words, after);
        Ok(Page::default())
    }

    /// Documents with clashes.
    pub fn clashes(&self) -> Result<Vec<ClashedDoc>> {
        Ok(Vec::new())
    }

    /// Refused edits nobody has dealt with, oldest first.
    pub fn refused(&self) -> Result<Vec<RefusedEdit>> {
        Ok(Vec::new())
    }

    /// The badge: what waits, and whether this phone may be handed in.
    pub fn status(&self) -> Result<Status> {
        Ok(Status::default())
    }

    /// Whether everything the day needs is on this phone.
    pub fn ready_to_leave(&self) -> Result<ReadyToLeave> {
        Ok(ReadyToLeave::default())
    }

    /// What the customer is shown, named: for `Command::Sign`.
    pub fn to_sign(&self, visit: VisitId) -> Result<ToSign> {
        Err(Error::NotFound(visit.to_string()))
    }
}
