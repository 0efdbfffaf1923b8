//! Photos and other blobs: content-addressed bytes, and the rows that follow them.

use crate::domain::{DocId, DocRef, Entity, Millis, Sha256};
use crate::error::{Error, Result};
use rusqlite::{Connection, OptionalExtension as _, Params, Transaction, params};
use sha2::Digest as _;

use super::{hash_at, uuid_at};

/// The columns [`read_row`] reads.
const ROW: &str = "name, size, media_type, state, sent, upload, added_at, attempts, last_error";

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
        Ok(Box::new(MemoryIncoming { blobs: self, bytes: Vec::new() }))
    }

    fn read(&self, name: Sha256, offset: u64, len: usize) -> Result<Vec<u8>> {
        let bytes = self.map.get(&name).ok_or_else(|| no_blob(name))?;
        let rest = usize::try_from(offset).ok().and_then(|o| bytes.get(o..)).unwrap_or_default();
        Ok(rest.iter().take(len).copied().collect())
    }

    fn size(&self, name: Sha256) -> Result<Option<u64>> {
        Ok(self.map.get(&name).map(|b| b.len() as u64))
    }

    fn remove(&mut self, name: Sha256) -> Result<()> {
        self.map.remove(&name);
        Ok(())
    }
}

struct MemoryIncoming<'a> {
    blobs: &'a mut MemoryBlobs,
    bytes: Vec<u8>,
}

impl Incoming for MemoryIncoming<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(Sha256, u64)> {
        let name = name_of(&self.bytes);
        let size = self.bytes.len() as u64;
        self.blobs.map.insert(name, self.bytes);
        Ok((name, size))
    }

    fn finish_as(self: Box<Self>, expected: Sha256) -> Result<u64> {
        let found = name_of(&self.bytes);
        if found != expected {
            return Err(other_name(expected, found));
        }
        Ok(self.finish()?.1)
    }
}

/// The name of these bytes.
pub fn name_of(bytes: &[u8]) -> Sha256 {
    Sha256(sha2::Sha256::digest(bytes).into())
}

fn no_blob(name: Sha256) -> Error {
    Error::NotFound(format!("blob {name}"))
}

fn other_name(expected: Sha256, found: Sha256) -> Error {
    Error::Invalid { field: "sha256", detail: format!("expected {expected}, the bytes are {found}") }
}

#[cfg(feature = "client")]
pub use folder::FolderBlobs;

#[cfg(feature = "client")]
mod folder {
    use super::{Blobs, Error, Incoming, Result, Sha256, no_blob, other_name};
    use sha2::Digest as _;
    use std::collections::BTreeSet;
    use std::fs::{self, File};
    use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
    use std::path::{Path, PathBuf};

    /// Blobs in a folder, in shards by the name's first byte. A blob is written
    /// to a temporary file and synced, then renamed, so a name never shows half a blob.
    #[derive(Debug)]
    pub struct FolderBlobs {
        root: PathBuf,
        begun: u64,
        /// Shards whose names are known to be durable.
        shards: BTreeSet<PathBuf>,
    }

    impl FolderBlobs {
        /// Opens (and makes) the folder, and sweeps away what a crash left half-written.
        ///
        /// # Errors
        /// `DiskFull`, `File`.
        pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
            let root = root.into();
            let partial = root.join("partial");
            fs::create_dir_all(&partial).map_err(of_io)?;
            // Also the folder's own name must outlive a power cut.
            for folder in
                [Some(root.as_path()), root.parent().filter(|p| !p.as_os_str().is_empty())].into_iter().flatten()
            {
                sync_folder(folder).map_err(of_io)?;
            }
            for entry in fs::read_dir(&partial).map_err(of_io)? {
                fs::remove_file(entry.map_err(of_io)?.path()).map_err(of_io)?;
            }
            Ok(Self { root, begun: 0, shards: BTreeSet::new() })
        }

        /// Where a blob's bytes lie, for a viewer that wants a file.
        pub fn path(&self, name: Sha256) -> PathBuf {
            let text = name.to_string();
            self.root.join(&text[..2]).join(&text)
        }
    }

    /// A full disk has a name of its own.
    fn of_io(e: std::io::Error) -> Error {
        match e.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::DiskFull,
            _ => Error::File(e),
        }
    }

    /// A rename is durable once its folder is synced.
    fn sync_folder(path: &Path) -> std::io::Result<()> {
        if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
    }

    impl Blobs for FolderBlobs {
        fn begin(&mut self) -> Result<Box<dyn Incoming + '_>> {
            self.begun += 1;
            let path = self.root.join("partial").join(format!("{}-{}", std::process::id(), self.begun));
            let file = File::create(&path).map_err(of_io)?;
            let temporary = Temporary(path);
            Ok(Box::new(FolderIncoming { blobs: self, file, temporary, hash: sha2::Sha256::new(), size: 0 }))
        }

        fn read(&self, name: Sha256, offset: u64, len: usize) -> Result<Vec<u8>> {
            let mut file = File::open(self.path(name)).map_err(|e| match e.kind() {
                ErrorKind::NotFound => no_blob(name),
                _ => of_io(e),
            })?;
            file.seek(SeekFrom::Start(offset)).map_err(of_io)?;
            let mut out = Vec::new();
            file.take(len as u64).read_to_end(&mut out).map_err(of_io)?;
            Ok(out)
        }

        fn size(&self, name: Sha256) -> Result<Option<u64>> {
            match fs::metadata(self.path(name)) {
                Ok(found) => Ok(Some(found.len())),
                Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
                Err(e) => Err(of_io(e)),
            }
        }

        fn remove(&mut self, name: Sha256) -> Result<()> {
            match fs::remove_file(self.path(name)) {
                Err(e) if e.kind() != ErrorKind::NotFound => Err(of_io(e)),
                _ => Ok(()),
            }
        }
    }

    /// Goes when dropped, unless it was renamed.
    struct Temporary(PathBuf);

    impl Drop for Temporary {
        fn drop(&mut self) {
            // Nothing to do about a failure: the next opening sweeps.
            let _ = fs::remove_file(&self.0);
        }
    }

    struct FolderIncoming<'a> {
        blobs: &'a mut FolderBlobs,
        file: File,
        temporary: Temporary,
        hash: sha2::Sha256,
        size: u64,
    }

    impl FolderIncoming<'_> {
        fn keep(self, expected: Option<Sha256>) -> Result<(Sha256, u64)> {
            let name = Sha256(self.hash.finalize().into());
            if let Some(expected) = expected.filter(|e| *e != name) {
                return Err(other_name(expected, name));
            }
            self.file.sync_all().map_err(of_io)?;
            drop(self.file);
            let path = self.blobs.path(name);
            let shard = path.parent().unwrap_or(&self.blobs.root);
            if !self.blobs.shards.contains(shard) {
                // That it exists says nothing: syncing its name may have failed the last time.
                fs::create_dir_all(shard).map_err(of_io)?;
                sync_folder(&self.blobs.root).map_err(of_io)?;
                self.blobs.shards.insert(shard.to_owned());
            }
            fs::rename(&self.temporary.0, &path).map_err(of_io)?;
            sync_folder(shard).map_err(of_io)?;
            Ok((name, self.size))
        }
    }

    impl Incoming for FolderIncoming<'_> {
        fn write(&mut self, bytes: &[u8]) -> Result<()> {
            self.file.write_all(bytes).map_err(of_io)?;
            self.hash.update(bytes);
            self.size += bytes.len() as u64;
            Ok(())
        }

        fn finish(self: Box<Self>) -> Result<(Sha256, u64)> {
            self.keep(None)
        }

        fn finish_as(self: Box<Self>, expected: Sha256) -> Result<u64> {
            Ok(self.keep(Some(expected))?.1)
        }
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
    tx.prepare_cached("INSERT OR IGNORE INTO blob_ref (doc, name) VALUES (?1, ?2)")?
        .execute(params![doc.id.as_bytes(), name.0])?;
    // The bytes are here: one the server is known to have needs no sending.
    tx.prepare_cached(
        "INSERT INTO blob (name, size, media_type, state, added_at) VALUES (?1, ?2, ?3, 0, ?4)
         ON CONFLICT (name) DO UPDATE SET state = 1 WHERE state = 2",
    )?
    .execute(params![name.0, i64::try_from(size).unwrap_or(i64::MAX), media_type, at.0])?;
    Ok(())
}

/// A blob's row.
///
/// # Errors
/// The database's.
pub fn row(conn: &Connection, name: Sha256) -> Result<Option<BlobRow>> {
    let sql = format!("SELECT {ROW} FROM blob WHERE name = ?1");
    Ok(conn.prepare_cached(&sql)?.query_row([name.0], read_row).optional()?)
}

/// The blobs a document refers to.
///
/// # Errors
/// The database's.
pub fn of_document(conn: &Connection, doc: DocId) -> Result<Vec<BlobRow>> {
    rows(
        conn,
        &format!("SELECT {ROW} FROM blob_ref JOIN blob USING (name) WHERE doc = ?1 ORDER BY added_at, name"),
        [doc.as_bytes()],
    )
}

/// The next blobs to send, oldest first; those that failed often come later.
///
/// # Errors
/// The database's.
pub fn to_send(conn: &Connection, limit: usize) -> Result<Vec<BlobRow>> {
    rows(conn, &format!("SELECT {ROW} FROM blob WHERE state = 0 ORDER BY attempts, added_at LIMIT ?1"), [limit])
}

/// The server confirmed so many bytes of a blob, at that upload address.
///
/// # Errors
/// The database's.
pub fn progress(tx: &Transaction<'_>, name: Sha256, upload: &str, sent: u64) -> Result<()> {
    tx.prepare_cached("UPDATE blob SET upload = ?2, sent = min(?3, size) WHERE name = ?1 AND state = 0")?
        .execute(params![name.0, upload, i64::try_from(sent).unwrap_or(i64::MAX)])?;
    Ok(())
}

/// Sending a blob failed.
///
/// # Errors
/// The database's.
pub fn failed(tx: &Transaction<'_>, name: Sha256, code: &str) -> Result<()> {
    tx.prepare_cached("UPDATE blob SET attempts = attempts + 1, last_error = ?2 WHERE name = ?1 AND state = 0")?
        .execute(params![name.0, code])?;
    Ok(())
}

/// Marks a blob as kept by the server; answers the documents that were leaving and refer to it.
pub(super) fn acknowledged(tx: &Transaction<'_>, name: Sha256) -> Result<Vec<DocId>> {
    tx.prepare_cached(
        "UPDATE blob SET state = 1, sent = size, upload = '', attempts = 0, last_error = '' WHERE name = ?1 AND state = 0",
    )?
    .execute([name.0])?;
    let mut statement =
        tx.prepare_cached("SELECT id FROM blob_ref JOIN doc ON id = doc WHERE name = ?1 AND leaving = 1")?;
    let leaving = statement.query_map([name.0], |r| uuid_at(r, 0).map(DocId))?;
    Ok(leaving.collect::<rusqlite::Result<_>>()?)
}

/// A blob's bytes were fetched from the server and are kept here now.
///
/// # Errors
/// The database's.
pub fn fetched(tx: &Transaction<'_>, name: Sha256) -> Result<()> {
    tx.prepare_cached("UPDATE blob SET state = 1, sent = size WHERE name = ?1 AND state = 2")?.execute([name.0])?;
    Ok(())
}

/// Blobs that are here and, by its own word, at the server too; newest first.
///
/// # Errors
/// The database's.
pub fn acknowledged_here(conn: &Connection, limit: usize) -> Result<Vec<Sha256>> {
    let sql = "SELECT name FROM blob INDEXED BY blob_kept WHERE state = 1 ORDER BY added_at DESC LIMIT ?1";
    let mut statement = conn.prepare_cached(sql)?;
    let rows = statement.query_map([limit], |r| hash_at(r, 0).map(Sha256))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// A blob the server acknowledged is lost there (a restored server): queued again.
/// Returns whether its bytes are here.
///
/// # Errors
/// The database's.
pub fn requeue(tx: &Transaction<'_>, name: Sha256, at: Millis) -> Result<bool> {
    let here = tx
        .prepare_cached("UPDATE blob SET state = 0, sent = 0, upload = '', attempts = 0, added_at = ?2 WHERE name = ?1 AND state = 1")?
        .execute(params![name.0, at.0])?;
    Ok(here > 0)
}

/// Blobs that are only on the server, newest first. What the next jobs need is
/// in [`super::views::ready_to_leave`].
///
/// # Errors
/// The database's.
pub fn to_fetch(conn: &Connection, limit: usize) -> Result<Vec<BlobRow>> {
    rows(conn, &format!("SELECT {ROW} FROM blob WHERE state = 2 ORDER BY added_at DESC LIMIT ?1"), [limit])
}

/// Frees space: acknowledged blobs, those nobody refers to and the oldest
/// first, until what is kept of them fits `budget` bytes. Their rows become
/// remote-only, or go where nobody refers to them; the names are to be removed
/// from [`Blobs`] after the commit.
///
/// # Errors
/// The database's.
pub fn evict(tx: &Transaction<'_>, budget: u64) -> Result<Vec<Sha256>> {
    let mut out = Vec::new();
    let unreferenced =
        "DELETE FROM blob WHERE state <> 0 AND NOT EXISTS (SELECT 1 FROM blob_ref WHERE blob_ref.name = blob.name)
        RETURNING name, state";
    for gone in tx.prepare_cached(unreferenced)?.query_map([], |r| Ok((Sha256(hash_at(r, 0)?), r.get::<_, i64>(1)?)))? {
        let (name, state) = gone?;
        if state == 1 {
            out.push(name);
        }
    }
    let mut kept: u64 =
        tx.prepare_cached("SELECT coalesce(sum(size), 0) FROM blob WHERE state = 1")?.query_row([], |r| r.get(0))?;
    if kept > budget {
        let mut statement = tx.prepare_cached("SELECT name, size FROM blob WHERE state = 1 ORDER BY added_at, name")?;
        let oldest = statement.query_map([], |r| Ok((Sha256(hash_at(r, 0)?), r.get::<_, u64>(1)?)))?;
        let oldest = oldest.collect::<rusqlite::Result<Vec<_>>>()?;
        let mut forget = tx.prepare_cached("UPDATE blob SET state = 2, sent = 0 WHERE name = ?1")?;
        for (name, size) in oldest {
            if kept <= budget {
                break;
            }
            forget.execute([name.0])?;
            kept -= size;
            out.push(name);
        }
    }
    Ok(out)
}

fn read_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<BlobRow> {
    let state = match row.get(3)? {
        0 => BlobState::Local { sent: row.get(4)? },
        1 => BlobState::Acknowledged,
        _ => BlobState::RemoteOnly,
    };
    Ok(BlobRow {
        name: Sha256(hash_at(row, 0)?),
        size: row.get(1)?,
        media_type: row.get(2)?,
        state,
        upload: row.get(5)?,
        added_at: Millis(row.get(6)?),
        attempts: row.get(7)?,
        last_error: row.get(8)?,
    })
}

fn rows(conn: &Connection, sql: &str, params: impl Params) -> Result<Vec<BlobRow>> {
    let mut statement = conn.prepare_cached(sql)?;
    Ok(statement.query_map(params, read_row)?.collect::<rusqlite::Result<_>>()?)
}

/// Notes the blobs a document's content names: those not known here are at the server.
pub(super) fn refer(tx: &Transaction<'_>, doc: DocId, entity: &Entity) -> Result<()> {
    let photos = match entity {
        Entity::Visit(visit) => &visit.photos,
        Entity::Request(request) => &request.photos,
        _ => return Ok(()),
    };
    for photo in photos.values() {
        let Some(name) = photo.blob else { continue };
        tx.prepare_cached("INSERT OR IGNORE INTO blob_ref (doc, name) VALUES (?1, ?2)")?
            .execute(params![doc.as_bytes(), name.0])?;
        let at = photo.taken.as_ref().map_or(0, |mark| mark.at.best().0);
        tx.prepare_cached(
            "INSERT OR IGNORE INTO blob (name, size, media_type, state, added_at) VALUES (?1, ?2, ?3, 2, ?4)",
        )?
        .execute(params![name.0, photo.size.max(0), photo.media_type, at])?;
    }
    Ok(())
}

/// A document that refers to a blob and is held here.
pub(crate) fn document_of(conn: &Connection, name: Sha256) -> Result<Option<DocRef>> {
    let sql = "SELECT id, kind FROM blob_ref JOIN doc ON id = blob_ref.doc WHERE name = ?1 LIMIT 1";
    let found =
        conn.prepare_cached(sql)?.query_row([name.0], |r| Ok((uuid_at(r, 0)?, r.get::<_, u8>(1)?))).optional()?;
    found.map(|(id, number)| Ok(DocRef { kind: super::kind(number)?, id: DocId(id) })).transpose()
}

/// A document goes, and its claims with it. What nobody else refers to is left to [`evict`].
pub(super) fn unlink(tx: &Transaction<'_>, doc: DocId) -> Result<()> {
    tx.prepare_cached("DELETE FROM blob_ref WHERE doc = ?1")?.execute([doc.as_bytes()])?;
    Ok(())
}
