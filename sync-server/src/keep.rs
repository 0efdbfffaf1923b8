//! Backup and restore of everything the server keeps.
//!
//! A backup is a folder: `onsite.sqlite` (a consistent copy, taken while
//! serving), `blobs/` and `backup.json`. The database is copied first, so every
//! blob it knows is in the folder copied after it.

use crate::config::Config;
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::storage::Audit;
use onsite_core::domain::{Millis, StaffId};
use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use std::{
    fs,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

const DATABASE: &str = "onsite.sqlite";
const BLOBS: &str = "blobs";
const MANIFEST: &str = "backup.json";

/// What a backup says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// Form of the backup: 1.
    pub version: u32,
    /// The program that wrote it.
    pub program: String,
    /// When.
    pub at: Millis,
    /// SHA-256 of the database's copy, in hexadecimal.
    pub database_sha256: String,
    /// How many blobs are in it; absent where they are in a store of their own.
    pub blobs: Option<u64>,
    /// Companies, with the last number of each log.
    pub companies: Vec<(String, u64)>,
}

fn sync(path: &Path) -> Result<()> {
    Ok(fs::File::open(path)?.sync_all()?)
}

/// Copies a file durably. Answers the SHA-256 of what was copied, in hexadecimal.
fn copy(from: &Path, to: &Path) -> Result<String> {
    let (mut from, mut out) = (fs::File::open(from)?, fs::File::create(to)?);
    let (mut hash, mut buffer) = (sha2::Sha256::new(), vec![0; 256 << 10]);
    loop {
        let n = from.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        hash.update(&buffer[..n]);
        out.write_all(&buffer[..n])?;
    }
    out.sync_all()?;
    Ok(crate::auth::hex(&hash.finalize()))
}

/// Copies the blobs of a folder that the other lacks, each checked against its name.
fn copy_blobs(from: &Path, to: &Path) -> Result<u64> {
    fs::create_dir_all(to)?;
    let mut copied = 0;
    if !from.is_dir() {
        return Ok(0);
    }
    for entry in fs::read_dir(from)? {
        let (path, name) = entry.map(|e| (e.path(), e.file_name()))?;
        let target = to.join(&name);
        if path.is_dir() {
            copied += copy_blobs(&path, &target)?;
            continue;
        }
        let name = name.to_string_lossy().into_owned();
        // The store's unfinished files have other names.
        if name.len() != 64 || !name.bytes().all(|b| b.is_ascii_hexdigit()) {
            continue;
        }
        if !target.exists() {
            let fresh = target.with_extension("new");
            if copy(&path, &fresh)? != name {
                fs::remove_file(&fresh)?;
                return Err(Error::Damaged(format!("the blob {} is not what its name says", path.display())));
            }
            fs::rename(&fresh, &target)?;
        }
        copied += 1;
    }
    sync(to)?;
    Ok(copied)
}

fn integrity(database: &Path) -> Result<()> {
    let connection = rusqlite::Connection::open_with_flags(database, rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let said: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    if said == "ok" { Ok(()) } else { Err(Error::Damaged(format!("{}: {said}", database.display()))) }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Writes a backup to a new folder, while the server may be serving.
///
/// # Errors
/// Where the folder is there already, or anything cannot be copied: then there is no folder of that name.
pub async fn backup(config: &Config, ledger: &Ledger, to: &Path) -> Result<Manifest> {
    if to.exists() {
        return Err(Error::Conflict { code: "exists", detail: format!("{} is there already", to.display()) });
    }
    // First, so that the copy knows of it too.
    for tenant in ledger.storage().tenants().await? {
        let entry = Audit {
            at: ledger.env().now(),
            by: StaffId(uuid::Uuid::nil()),
            action: "server.backup".into(),
            subject: String::new(),
            detail: serde_json::Value::Null,
        };
        ledger.storage().audit(tenant.id, vec![entry]).await?;
    }
    let partial = beside(to, ".partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    fs::create_dir_all(&partial)?;
    let database = partial.join(DATABASE);
    ledger.storage().backup(&database).await?;
    let companies = ledger.storage().tenants().await?.into_iter().map(|t| (t.name, t.head)).collect();
    let at = ledger.env().now();
    let store = config.blob_store();
    let (partial, to) = (partial, to.to_owned());
    let work = move || {
        integrity(&database)?;
        let blobs = match store.contains("://") {
            true => None,
            false => Some(copy_blobs(Path::new(&store), &partial.join(BLOBS))?),
        };
        let mut hash = sha2::Sha256::new();
        hash.update(fs::read(&database)?);
        sync(&database)?;
        let manifest = Manifest {
            version: 1,
            program: concat!("onsite ", env!("CARGO_PKG_VERSION")).into(),
            at,
            database_sha256: crate::auth::hex(&hash.finalize()),
            blobs,
            companies,
        };
        fs::write(partial.join(MANIFEST), serde_json::to_vec_pretty(&manifest)?)?;
        sync(&partial.join(MANIFEST))?;
        sync(&partial)?;
        fs::rename(&partial, &to)?;
        if let Some(folder) = to.parent().filter(|f| !f.as_os_str().is_empty()) {
            sync(folder)?;
        }
        Ok(manifest)
    };
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::Internal(format!("backup: {e}")))?
}

/// Puts a backup in the place of what the server keeps, and starts a new epoch
/// for every company. The server must not be running. A database that was
/// there is kept beside, under a name that ends in `.replaced-<time>`.
///
/// # Errors
/// [`Error::Conflict`] (`exists`) where there is a database and `force` is not
/// set; [`Error::Damaged`] where the backup is not whole. Then nothing was changed.
pub async fn restore(config: &Config, from: &Path, force: bool) -> Result<Manifest> {
    let bad = |why: String| Error::bad("bad_backup", "", why);
    let manifest = fs::read(from.join(MANIFEST)).map_err(|e| bad(format!("{}: no backup: {e}", from.display())))?;
    let manifest: Manifest = serde_json::from_slice(&manifest).map_err(|e| bad(format!("{MANIFEST}: {e}")))?;
    if manifest.version != 1 {
        return Err(bad(format!("the backup has form {}, this program knows 1", manifest.version)));
    }
    let target = config.database_path();
    if target.exists() && !force {
        let detail = format!("{} is there already; --force puts the backup in its place", target.display());
        return Err(Error::Conflict { code: "exists", detail });
    }
    fs::create_dir_all(&config.data)?;
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder)?;
    }
    let fresh = beside(&target, ".restoring");
    for suffix in ["", "-wal", "-shm"] {
        let left = beside(&fresh, suffix);
        if left.exists() {
            fs::remove_file(&left)?;
        }
    }
    if copy(&from.join(DATABASE), &fresh)? != manifest.database_sha256 {
        fs::remove_file(&fresh)?;
        return Err(Error::Damaged("the backup's database is not the one that was written".into()));
    }
    integrity(&fresh)?;
    let store = config.blob_store();
    if !store.contains("://") {
        copy_blobs(&from.join(BLOBS), Path::new(&store))?;
    }
    // The new epochs stand before the file has its name: nobody can serve the old ones again.
    {
        let ledger = crate::open_at(&fresh)?;
        for tenant in ledger.storage().tenants().await? {
            let epoch = ledger.new_epoch(tenant.id).await?;
            let entry = Audit {
                at: ledger.env().now(),
                by: StaffId(uuid::Uuid::nil()),
                action: "server.restore".into(),
                subject: format!("epoch {epoch}"),
                detail: serde_json::json!({ "taken": manifest.at, "database": manifest.database_sha256 }),
            };
            ledger.storage().audit(tenant.id, vec![entry]).await?;
        }
    }
    {
        let connection = rusqlite::Connection::open(&fresh)?;
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    }
    if target.exists() {
        let now = jiff::Timestamp::now().as_millisecond();
        for suffix in ["", "-wal", "-shm"] {
            let old = beside(&target, suffix);
            if old.exists() {
                fs::rename(&old, beside(&target, &format!(".replaced-{now}{suffix}")))?;
            }
        }
    }
    fs::rename(&fresh, &target)?;
    if let Some(folder) = target.parent().filter(|f| !f.as_os_str().is_empty()) {
        sync(folder)?;
    }
    Ok(manifest)
}
