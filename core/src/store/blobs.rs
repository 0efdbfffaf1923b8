//! Photos and other blobs: content-addressed bytes, and the rows that follow them.

use crate::domain::{DocId, DocRef, Millis, Sha256};
use crate::error::Result;
use rusqlite::{Connection, Transaction};

/// Where blobs' bytes are kept. Handed in; the core opens no file of its own.
pub trait Blobs: Send {
    /// Keeps these bytes durably. The name is their SHA-256.
    ///
    /// # Errors
    /// `DiskFull`, `File`.
    fn put(&mut self, bytes: &[u8]) -> Result<Sha256> {
        let mut upload = self.begin()?;
        upload.write(bytes)?;
        Ok(upload.finish()?.0)
    }
    /// Begins to keep bytes piece by piece, for what comes from a camera or a download.
    ///
    /// # Errors
    /// `DiskFull`, `File`.
    fn begin(&mut self) -> Result<Box<dyn Incoming + '_>>;
    /// Reads up to `len` bytes from `offset`; fewer at the end.
    ///
    /// # Errors
    /// `NotFound`, `File`.
    fn read(&self, name: Sha256, offset: u64, len: usize) -> Result<Vec<u8>>;
    /// A blob's size in bytes; `None` where it is not here.
    ///
    /// # Errors
    /// `File`.
    fn size(&self, name: Sha256) -> Result<Option<u64>>;
    /// Takes a blob away; harmless where it is not here.
    ///
    /// # Errors
    /// `File`.
    fn remove(&mut self, name: Sha256) -> Result<()>;
    /// All of a blob.
    ///
    /// # Errors
    /// `NotFound`, `File`.
    fn read_all(&self, name: Sha256) -> Result<Vec<u8>> {
        let size = self.size(name)?.ok_or_else(|| crate::Error::NotFound(format!("blob {name}")))?;
        self.read(name, 0, usize::try_from(size).unwrap_or(usize::MAX))
    }
}

/// Bytes on their way into [`Blobs`]. Dropped unfinished, nothing is kept.
pub trait Incoming {
    /// Adds bytes.
    ///
    /// # Errors
    /// `DiskFull`, `File`.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;
    /// Keeps them durably: name and size.
    ///
    /// # Errors
    /// `DiskFull`, `File`.
    fn finish(self: Box<Self>) -> Result<(Sha256, u64)>;
    /// Keeps them only if their name is `expected`.
    ///
    /// # Errors
    /// `Invalid` where it is another; `DiskFull`, `File`.
    fn finish_as(self: Box<Self>, expected: Sha256) -> Result<u64>;
}

/// Blobs in memory: for tests, the simulation and browsers without a file system.
#[derive(Debug, Default, Clone)]
pub struct MemoryBlobs {
    map: std::collections::BTreeMap<Sha256, Vec<u8>>,
}

impl MemoryBlobs {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Blobs for MemoryBlobs {
    fn begin(&mut self) -> Result<Box<dyn Incoming + '_>> {
        let _ = &self.map;
        unimplemented!()
    }
    fn read(&self, name: Sha256, offset: u64, len: usize) -> Result<Vec<u8>> {
        let _ = (name, offset, len);
        unimplemented!()
    }
    fn size(&self, name: Sha256) -> Result<Option<u64>> {
        let _ = name;
        unimplemented!()
    }
    fn remove(&mut self, name: Sha256) -> Result<()> {
        let _ = name;
        unimplemented!()
    }
}

/// Blobs in a folder, by shards of the name's first byte. A blob is written
/// to a temporary file, synced, then renamed.
#[cfg(feature = "client")]
#[derive(Debug)]
pub struct FolderBlobs {
    root: std::path::PathBuf,
}

#[cfg(feature = "client")]
impl FolderBlobs {
    /// Opens (and makes) the folder, and sweeps what a crash left half-written.
    ///
    /// # Errors
    /// `File`.
    pub fn open(root: impl Into<std::path::PathBuf>) -> Result<Self> {
        Ok(Self { root: root.into() })
    }
}

#[cfg(feature = "client")]
impl Blobs for FolderBlobs {
    fn begin(&mut self) -> Result<Box<dyn Incoming + '_>> {
        let _ = &self.root;
        unimplemented!()
    }
    fn read(&self, name: Sha256, offset: u64, len: usize) -> Result<Vec<u8>> {
        let _ = (name, offset, len);
        unimplemented!()
    }
    fn size(&self, name: Sha256) -> Result<Option<u64>> {
        let _ = name;
        unimplemented!()
    }
    fn remove(&mut self, name: Sha256) -> Result<()> {
        let _ = name;
        unimplemented!()
    }
}

/// Where a blob stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BlobState {
    /// Here, not yet at the server; so many bytes of it have been taken there.
    Local {
        /// Bytes the server confirmed.
        sent: u64,
    },
    /// Here and at the server.
    Acknowledged,
    /// At the server only.
    RemoteOnly,
}

/// A blob's row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BlobRow {
    /// Its name.
    pub name: Sha256,
    /// Its size in bytes.
    pub size: u64,
    /// Its media type.
    pub media_type: String,
    /// Where it stands.
    pub state: BlobState,
    /// Where the server takes its bytes (tus), once it said so; empty before.
    pub upload: String,
    /// When it was added here.
    pub added_at: Millis,
    /// How often sending it failed.
    pub attempts: u32,
    /// The last failure's stable code; empty where none.
    pub last_error: String,
}

/// Links a blob whose bytes are already kept to a document, and queues it to
/// be sent: before the change that names it is saved.
///
/// # Errors
/// The database's.
pub fn link(tx: &Transaction<'_>, doc: DocRef, name: Sha256, size: u64, media_type: &str, at: Millis) -> Result<()> {
    let _ = (tx, doc, name, size, media_type, at);
    unimplemented!()
}

/// A blob's row.
///
/// # Errors
/// The database's.
pub fn row(conn: &Connection, name: Sha256) -> Result<Option<BlobRow>> {
    let _ = (conn, name);
    unimplemented!()
}

/// The blobs a document refers to.
///
/// # Errors
/// The database's.
pub fn of_document(conn: &Connection, doc: DocId) -> Result<Vec<BlobRow>> {
    let _ = (conn, doc);
    unimplemented!()
}

/// The next blobs to send, oldest first; those that failed often come later.
///
/// # Errors
/// The database's.
pub fn to_send(conn: &Connection, limit: usize) -> Result<Vec<BlobRow>> {
    let _ = (conn, limit);
    unimplemented!()
}

/// The server confirmed so many bytes of a blob, at that upload address.
///
/// # Errors
/// The database's.
pub fn progress(tx: &Transaction<'_>, name: Sha256, upload: &str, sent: u64) -> Result<()> {
    let _ = (tx, name, upload, sent);
    unimplemented!()
}

/// Sending a blob failed.
///
/// # Errors
/// The database's.
pub fn failed(tx: &Transaction<'_>, name: Sha256, code: &str) -> Result<()> {
    let _ = (tx, name, code);
    unimplemented!()
}

/// The server has a blob, durably. Documents that were leaving and waited only for it go.
///
/// # Errors
/// The database's.
pub fn acknowledge(tx: &Transaction<'_>, name: Sha256) -> Result<()> {
    let _ = (tx, name);
    unimplemented!()
}

/// A blob's bytes were fetched from the server and are kept here now.
///
/// # Errors
/// The database's.
pub fn fetched(tx: &Transaction<'_>, name: Sha256) -> Result<()> {
    let _ = (tx, name);
    unimplemented!()
}

/// A blob the server acknowledged is lost there (a restored server): queued again.
/// Returns whether its bytes are here.
///
/// # Errors
/// The database's.
pub fn requeue(tx: &Transaction<'_>, name: Sha256, at: Millis) -> Result<bool> {
    let _ = (tx, name, at);
    unimplemented!()
}

/// Blobs referred to that are only on the server, those of open jobs first.
///
/// # Errors
/// The database's.
pub fn to_fetch(conn: &Connection, limit: usize) -> Result<Vec<BlobRow>> {
    let _ = (conn, limit);
    unimplemented!()
}

/// Frees space: acknowledged blobs, those nobody refers to and the oldest
/// first, until what is kept of them fits `budget` bytes. Their rows become
/// remote-only, or go where nobody refers to them; the names are to be removed
/// from [`Blobs`] after the commit.
///
/// # Errors
/// The database's.
pub fn evict(tx: &Transaction<'_>, budget: u64) -> Result<Vec<Sha256>> {
    let _ = (tx, budget);
    unimplemented!()
}
