//! Photos and other blobs: resumable uploads on this machine's disk, then an
//! object store.
//!
//! An upload is two files, `<id>.json` and `<id>.part`, in a folder of its
//! company and device. Its offset is the part file's length: what was
//! acknowledged was on disk first, and a restart loses nothing. Complete, its
//! hash is checked, it goes to the store (durably), then the company's line of
//! it is written; only then is it acknowledged.

use crate::config::Config;
use crate::error::{Error, Result};
use crate::ledger::Session;
use crate::storage::{BlobRow, Storage};
use axum::body::Bytes;
use futures_util::{Stream, StreamExt};
use object_store::{ObjectStore, ObjectStoreExt, path::Path as Key};
use onsite_core::domain::{DeviceId, Millis, Sha256, TenantId};
use serde::{Deserialize, Serialize};
use sha1::Digest as _;
use std::{
    collections::HashMap,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};
use tokio::{
    fs,
    io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt},
};
use uuid::Uuid;

/// An upload that was begun.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Upload {
    /// Its id.
    pub id: Uuid,
    /// The company.
    pub tenant: TenantId,
    /// Who sends it.
    pub device: DeviceId,
    /// The hash it will have.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub length: u64,
    /// The name its sender gave it; never used as a path.
    pub filename: String,
    /// When it was begun.
    pub created: Millis,
    /// Whether it is in the store: the part file is gone.
    pub done: bool,
}

/// A chunk's checksum as its sender reckoned it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Checksum {
    /// SHA-1.
    Sha1(Vec<u8>),
    /// SHA-256.
    Sha256(Vec<u8>),
}

/// What a `PATCH` came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Received {
    /// The offset now.
    Upto(u64),
    /// Complete, checked, stored.
    Stored(u64),
    /// The chunk is not what its checksum says; it was dropped.
    ChecksumMismatch,
    /// The whole is not what its hash says; the upload was dropped.
    HashMismatch,
}

/// Where blobs go.
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
    folder: Option<PathBuf>,
    uploads: PathBuf,
    busy: Mutex<HashMap<Uuid, Weak<tokio::sync::Mutex<()>>>>,
    max: u64,
    quota: u64,
    idle: Duration,
    keep: i64,
}

impl std::fmt::Debug for Blobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blobs").field("store", &self.store.to_string()).finish_non_exhaustive()
    }
}

/// A full disk, by its own name.
fn file(e: std::io::Error) -> Error {
    match e.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::DiskFull,
        _ => Error::File(e),
    }
}

fn store_error(e: object_store::Error) -> Error {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&e);
    while let Some(s) = source {
        if let Some(io) = s.downcast_ref::<std::io::Error>()
            && matches!(io.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
        {
            return Error::DiskFull;
        }
        source = s.source();
    }
    match e {
        object_store::Error::NotFound { path, .. } => Error::NotFound(path),
        other => Error::Internal(format!("blob store: {other}")),
    }
}

/// Makes a folder's entries durable.
async fn sync_folder(folder: &Path) -> Result<()> {
    fs::File::open(folder).await.map_err(file)?.sync_all().await.map_err(file)
}

/// Makes a folder and those above it, and their names durable.
pub(crate) fn make_durably(folder: &Path) -> std::io::Result<()> {
    let missing = folder.ancestors().take_while(|f| !f.as_os_str().is_empty() && !f.exists()).count();
    std::fs::create_dir_all(folder)?;
    for made in folder.ancestors().take(missing + 1) {
        if let Some(above) = made.parent().filter(|p| !p.as_os_str().is_empty()) {
            std::fs::File::open(above)?.sync_all()?;
        }
    }
    Ok(())
}

impl Blobs {
    /// Opens the store that the configuration names, and the folder of unfinished uploads.
    ///
    /// # Errors
    /// Where a folder cannot be made, or the store's address cannot be.
    pub fn open(config: &Config) -> Result<Self> {
        make_durably(&config.uploads_path()).map_err(file)?;
        let at = config.blob_store();
        let (store, folder): (Arc<dyn ObjectStore>, _) = if at.starts_with("s3://") {
            (s3(&at)?, None)
        } else {
            make_durably(Path::new(&at)).map_err(file)?;
            let local = object_store::local::LocalFileSystem::new_with_prefix(&at).map_err(store_error)?;
            (Arc::new(local.with_fsync(true)), Some(PathBuf::from(at)))
        };
        Ok(Self {
            store,
            folder,
            uploads: config.uploads_path(),
            busy: Mutex::default(),
            max: config.limits.photo_bytes,
            quota: config.limits.upload_quota_bytes,
            idle: Duration::from_secs(config.limits.idle_seconds),
            keep: i64::try_from(config.limits.upload_hours).unwrap_or(i64::MAX / 3_600_000).min(1_000_000) * 3_600_000,
        })
    }

    /// Largest blob in bytes.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The folder blobs are in, where it is one.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    fn key(tenant: TenantId, sha256: Sha256) -> Key {
        let name = sha256.to_string();
        Key::from_iter([tenant.to_string(), name[..2].to_owned(), name])
    }

    fn home(&self, tenant: TenantId, device: DeviceId) -> PathBuf {
        self.uploads.join(tenant.to_string()).join(device.to_string())
    }

    fn paths(&self, session: &Session, id: Uuid) -> (PathBuf, PathBuf) {
        let home = self.home(session.tenant, session.device);
        (home.join(format!("{id}.json")), home.join(format!("{id}.part")))
    }

    /// Whoever holds this works on the upload alone.
    async fn lock(&self, id: Uuid) -> Result<tokio::sync::OwnedMutexGuard<()>> {
        let mutex = {
            let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
            busy.retain(|_, m| m.strong_count() > 0);
            match busy.get(&id).and_then(Weak::upgrade) {
                Some(m) => m,
                None => {
                    let m = Arc::default();
                    busy.insert(id, Arc::downgrade(&m));
                    m
                }
            }
        };
        // A cut connection may take a moment to be noticed; its successor waits a little.
        tokio::time::timeout(Duration::from_secs(5), mutex.lock_owned())
            .await
            .map_err(|_| Error::Conflict { code: "upload_busy", detail: "another request works on this upload".into() })
    }

    /// Bytes of unfinished uploads of a device.
    async fn waiting(&self, home: &Path) -> Result<u64> {
        let mut total = 0u64;
        let mut dir = fs::read_dir(home).await.map_err(file)?;
        while let Some(entry) = dir.next_entry().await.map_err(file)? {
            if entry.path().extension().is_some_and(|e| e == "json")
                && let Ok(bytes) = fs::read(entry.path()).await
                && let Ok(upload) = serde_json::from_slice::<Upload>(&bytes)
                && !upload.done
            {
                total = total.saturating_add(upload.length);
            }
        }
        Ok(total)
    }

    async fn write_meta(&self, upload: &Upload, meta: &Path) -> Result<()> {
        let fresh = meta.with_extension("new");
        let mut f = fs::File::create(&fresh).await.map_err(file)?;
        f.write_all(&serde_json::to_vec(upload)?).await.map_err(file)?;
        // Only flushing tells of a write that failed behind our back.
        f.flush().await.map_err(file)?;
        f.sync_all().await.map_err(file)?;
        fs::rename(&fresh, meta).await.map_err(file)?;
        sync_folder(meta.parent().unwrap_or(&self.uploads)).await
    }

    /// Begins an upload.
    ///
    /// # Errors
    /// [`Error::TooLarge`]; [`Error::Conflict`] (`upload_quota`).
    pub async fn create(&self, session: &Session, upload: &Upload) -> Result<()> {
        if upload.length > self.max {
            return Err(Error::TooLarge(format!("{} bytes; at most {} are taken", upload.length, self.max)));
        }
        let home = self.home(session.tenant, session.device);
        fs::create_dir_all(&home).await.map_err(file)?;
        // That they exist says nothing: syncing their names may have failed the last time.
        for folder in home.ancestors().skip(1).take(2) {
            sync_folder(folder).await?;
        }
        if self.waiting(&home).await?.saturating_add(upload.length) > self.quota {
            return Err(Error::Conflict {
                code: "upload_quota",
                detail: format!(
                    "unfinished uploads of this device would exceed {} bytes: finish or end some",
                    self.quota
                ),
            });
        }
        let (meta, part) = self.paths(session, upload.id);
        fs::File::create(&part).await.map_err(file)?.sync_all().await.map_err(file)?;
        let written = self.write_meta(upload, &meta).await;
        if written.is_err() {
            self.drop_files(&meta.with_extension("new"), &part).await?;
        }
        written
    }

    /// An upload of this device and where it stands. One that is complete but
    /// was cut off before it was stored is stored now.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn upload(&self, session: &Session, storage: &dyn Storage, id: Uuid) -> Result<(Upload, u64)> {
        let _alone = self.lock(id).await?;
        let (mut upload, offset) = self.look(session, id).await?;
        if !upload.done
            && offset == upload.length
            && self.finish(session, storage, &mut upload).await? == Received::HashMismatch
        {
            return Err(unknown(id));
        }
        Ok((upload, offset))
    }

    async fn look(&self, session: &Session, id: Uuid) -> Result<(Upload, u64)> {
        let (meta, part) = self.paths(session, id);
        let bytes = match fs::read(&meta).await {
            Ok(b) => b,
            Err(e) if e.kind() == ErrorKind::NotFound => return Err(unknown(id)),
            Err(e) => return Err(file(e)),
        };
        let upload: Upload = serde_json::from_slice(&bytes)?;
        if upload.done {
            let length = upload.length;
            return Ok((upload, length));
        }
        let length = fs::metadata(&part).await.map_err(file)?.len();
        Ok((upload, length))
    }

    /// Takes bytes in at `offset`. What came before a cut is kept.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] (`bad_offset`); [`Error::TooLarge`].
    pub async fn append<E: std::fmt::Display>(
        &self,
        session: &Session,
        storage: &dyn Storage,
        id: Uuid,
        offset: u64,
        checksum: Option<Checksum>,
        mut body: impl Stream<Item = Result<Bytes, E>> + Unpin,
    ) -> Result<Received> {
        let _alone = self.lock(id).await?;
        let (mut upload, at) = self.look(session, id).await?;
        if offset != at {
            return Err(Error::Conflict {
                code: "bad_offset",
                detail: format!("the upload stands at {at}, not {offset}"),
            });
        }
        if upload.done {
            return Ok(Received::Stored(at));
        }
        let (_, part) = self.paths(session, id);
        let mut f = fs::OpenOptions::new().write(true).open(&part).await.map_err(file)?;
        f.seek(std::io::SeekFrom::Start(at)).await.map_err(file)?;
        let (mut sha1, mut sha256) = (sha1::Sha1::new(), sha2::Sha256::new());
        let (mut end, mut failed) = (at, None);
        loop {
            let chunk = match tokio::time::timeout(self.idle, body.next()).await {
                Ok(None) => break,
                Ok(Some(Ok(chunk))) => chunk,
                Ok(Some(Err(e))) => {
                    failed = Some(Error::bad("cut_short", "", format!("the body was cut off: {e}")));
                    break;
                }
                Err(_) => {
                    failed = Some(Error::bad("cut_short", "", "no byte came for too long"));
                    break;
                }
            };
            if end.saturating_add(chunk.len() as u64) > upload.length {
                failed = Some(Error::TooLarge(format!("more bytes than the {} announced", upload.length)));
                break;
            }
            if let Err(e) = f.write_all(&chunk).await {
                failed = Some(file(e));
                break;
            }
            match &checksum {
                Some(Checksum::Sha1(_)) => sha1.update(&chunk),
                Some(Checksum::Sha256(_)) => sha256.update(&chunk),
                None => {}
            }
            end += chunk.len() as u64;
        }
        let flushed = match f.flush().await {
            Ok(()) => f.sync_all().await,
            Err(e) => Err(e),
        };
        if let Some(error) = failed {
            return Err(error);
        }
        flushed.map_err(file)?;
        let good = match &checksum {
            None => true,
            Some(Checksum::Sha1(said)) => sha1.finalize().as_slice() == said.as_slice(),
            Some(Checksum::Sha256(said)) => sha256.finalize().as_slice() == said.as_slice(),
        };
        if !good {
            f.set_len(at).await.map_err(file)?;
            f.sync_all().await.map_err(file)?;
            return Ok(Received::ChecksumMismatch);
        }
        drop(f);
        if end < upload.length {
            return Ok(Received::Upto(end));
        }
        self.finish(session, storage, &mut upload).await
    }

    /// Checks the whole, stores it, writes its line.
    async fn finish(&self, session: &Session, storage: &dyn Storage, upload: &mut Upload) -> Result<Received> {
        let (meta, part) = self.paths(session, upload.id);
        let mut f = fs::File::open(&part).await.map_err(file)?;
        let mut hash = sha2::Sha256::new();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let n = f.read(&mut buffer).await.map_err(file)?;
            if n == 0 {
                break;
            }
            hash.update(&buffer[..n]);
        }
        if hash.finalize().as_slice() != upload.sha256.0 {
            self.drop_files(&meta, &part).await?;
            return Ok(Received::HashMismatch);
        }
        f.seek(std::io::SeekFrom::Start(0)).await.map_err(file)?;
        let key = Self::key(session.tenant, upload.sha256);
        let mut writer = object_store::buffered::BufWriter::with_capacity(Arc::clone(&self.store), key, 4 << 20);
        let copied = async {
            tokio::io::copy_buf(&mut tokio::io::BufReader::with_capacity(64 << 10, &mut f), &mut writer).await?;
            writer.shutdown().await
        };
        copied.await.map_err(file)?;
        let row = BlobRow {
            sha256: upload.sha256,
            size: upload.length,
            complete: true,
            received: upload.length,
            state: String::new(),
            device: session.device,
            created: upload.created,
        };
        storage.put_blob(session.tenant, row).await?;
        upload.done = true;
        // The line stays a while: a sender whose answer was lost asks again.
        self.write_meta(upload, &meta).await?;
        fs::remove_file(&part).await.map_err(file)?;
        Ok(Received::Stored(upload.length))
    }

    async fn drop_files(&self, meta: &Path, part: &Path) -> Result<()> {
        for path in [meta, part] {
            match fs::remove_file(path).await {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(file(e)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Ends an upload; what was stored stays stored.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn terminate(&self, session: &Session, id: Uuid) -> Result<()> {
        let _alone = self.lock(id).await?;
        self.look(session, id).await?;
        let (meta, part) = self.paths(session, id);
        self.drop_files(&meta, &part).await
    }

    /// Stores bytes that came another way (a rescue file). Answers their hash.
    ///
    /// # Errors
    /// [`Error::TooLarge`]; the store's.
    pub async fn put(
        &self,
        tenant: TenantId,
        device: DeviceId,
        storage: &dyn Storage,
        bytes: Vec<u8>,
        now: Millis,
    ) -> Result<Sha256> {
        let size = bytes.len() as u64;
        if size > self.max {
            return Err(Error::TooLarge(format!("{size} bytes; at most {} are taken", self.max)));
        }
        let sha256 = Sha256(sha2::Sha256::digest(&bytes).into());
        self.store.put(&Self::key(tenant, sha256), bytes.into()).await.map_err(store_error)?;
        let row = BlobRow { sha256, size, complete: true, received: size, state: String::new(), device, created: now };
        storage.put_blob(tenant, row).await?;
        Ok(sha256)
    }

    /// The bytes of a stored blob, as they come.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn read(
        &self,
        tenant: TenantId,
        sha256: Sha256,
        range: std::ops::Range<u64>,
    ) -> Result<axum::body::Body> {
        if range.is_empty() {
            return Ok(axum::body::Body::empty());
        }
        let options =
            object_store::GetOptions { range: Some(object_store::GetRange::Bounded(range)), ..Default::default() };
        let found = self.store.get_opts(&Self::key(tenant, sha256), options).await.map_err(store_error)?;
        Ok(axum::body::Body::from_stream(found.into_stream()))
    }

    /// Some bytes of a stored blob, at once.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn bytes(&self, tenant: TenantId, sha256: Sha256, range: std::ops::Range<u64>) -> Result<Vec<u8>> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.store.get_range(&Self::key(tenant, sha256), range).await.map_err(store_error)?;
        Ok(found.into())
    }

    /// Those of these blobs that are not here whole: no line of them, or no
    /// bytes under it (a backup may lack either).
    ///
    /// # Errors
    /// The storage's and the store's.
    pub async fn lacking(&self, tenant: TenantId, storage: &dyn Storage, names: &[Sha256]) -> Result<Vec<Sha256>> {
        let mut lacking = Vec::new();
        for some in names.chunks(32) {
            let looks = some.iter().map(|name| self.holds(tenant, storage, *name));
            let found = futures_util::future::try_join_all(looks).await?;
            lacking.extend(some.iter().zip(found).filter(|(_, here)| !here).map(|(name, _)| *name));
        }
        Ok(lacking)
    }

    async fn holds(&self, tenant: TenantId, storage: &dyn Storage, name: Sha256) -> Result<bool> {
        let Some(row) = storage.blob(tenant, name).await?.filter(|b| b.complete) else { return Ok(false) };
        match self.store.head(&Self::key(tenant, name)).await {
            Ok(found) => Ok(found.size == row.size),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(e) => Err(store_error(e)),
        }
    }

    /// Drops unfinished uploads nobody went on with, and old lines of finished ones. Answers how many.
    ///
    /// # Errors
    /// The file system's.
    pub async fn sweep(&self, now: Millis) -> Result<u64> {
        let (mut dropped, mut folders) = (0, vec![(0, self.uploads.clone())]);
        while let Some((depth, folder)) = folders.pop() {
            let mut dir = match fs::read_dir(&folder).await {
                Ok(dir) => dir,
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(e) => return Err(file(e)),
            };
            while let Some(entry) = dir.next_entry().await.map_err(file)? {
                let path = entry.path();
                if depth < 2 {
                    folders.push((depth + 1, path));
                    continue;
                }
                let Ok(seen) = entry.metadata().await.and_then(|m| m.modified()) else { continue };
                let seen = seen.duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64);
                // The pair goes by the one touched last: the part file's while it grows.
                if now.since(Millis(seen)) > self.keep && path.extension().is_none_or(|e| e != "json") {
                    let id = path.file_stem().and_then(|s| Uuid::parse_str(&s.to_string_lossy()).ok());
                    if let Some(id) = id {
                        let _alone = self.lock(id).await?;
                        self.drop_files(&path.with_extension("json"), &path).await?;
                        dropped += 1;
                    }
                } else if path.extension().is_some_and(|e| e == "json")
                    && now.since(Millis(seen)) > self.keep
                    && !path.with_extension("part").exists()
                {
                    fs::remove_file(&path).await.map_err(file)?;
                    dropped += 1;
                }
            }
        }
        Ok(dropped)
    }
}

fn unknown(id: Uuid) -> Error {
    Error::NotFound(format!("no upload {id}"))
}

#[cfg(feature = "s3")]
fn s3(at: &str) -> Result<Arc<dyn ObjectStore>> {
    let (bucket, prefix) =
        at.trim_start_matches("s3://").split_once('/').unwrap_or((at.trim_start_matches("s3://"), ""));
    let store = object_store::aws::AmazonS3Builder::from_env().with_bucket_name(bucket).build().map_err(store_error)?;
    Ok(match prefix.trim_matches('/') {
        "" => Arc::new(store),
        prefix => Arc::new(object_store::prefix::PrefixStore::new(store, prefix)),
    })
}

#[cfg(not(feature = "s3"))]
fn s3(at: &str) -> Result<Arc<dyn ObjectStore>> {
    Err(Error::bad("bad_blob_store", "blobs.store", format!("{at}: this program was built without the feature `s3`")))
}
