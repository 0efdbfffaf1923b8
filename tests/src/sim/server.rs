//! The server: the ledger, requests in the middle of being served, its backups.

use super::store::Restless;
use onsite_core::domain::{Author, DeviceId, Millis, Sha256, TenantId};
use onsite_core::env::SeededEnv;
use onsite_core::sync::protocol::SyncRequest;
use onsite_core::sync::session::{Event, Failure};
use onsite_server::error::{Error, Result};
use onsite_server::ledger::{Ledger, Session};
use onsite_server::storage::{MemoryStorage, SqliteStorage, Storage};
use serde::Deserialize as _;
use sha2::Digest as _;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// What a request came to.
pub(super) enum Done {
    /// A phone's sync.
    Sync(Result<Vec<u8>>),
    /// A command of the office: whether it was done, or the refusal's code.
    Office(Result<(), String>),
}

/// Something under way at the server.
pub(super) struct Job {
    pub(super) flight: u64,
    future: Pin<Box<dyn Future<Output = Done>>>,
}

/// Where it keeps things.
enum Keep {
    Memory(Arc<MemoryStorage>),
    File { folder: tempfile::TempDir, runtime: tokio::runtime::Runtime, backups: usize },
}

/// A copy of everything the server kept at a time.
pub(super) enum Backup {
    Memory(MemoryStorage, Shelf),
    File(std::path::PathBuf, Shelf),
}

/// Blobs as the server keeps them: uploads under way, and what is whole and durable.
#[derive(Clone, Default)]
pub(super) struct Shelf {
    uploads: BTreeMap<String, Upload>,
    pub(super) whole: BTreeMap<(TenantId, Sha256), Vec<u8>>,
    begun: u64,
}

#[derive(Clone)]
struct Upload {
    tenant: TenantId,
    blob: Sha256,
    size: u64,
    bytes: Vec<u8>,
}

/// The server.
pub(super) struct Server {
    keep: Keep,
    pub(super) ledger: Ledger,
    pub(super) env: Arc<SeededEnv>,
    pub(super) jobs: Vec<Job>,
    pub(super) shelf: Shelf,
}

fn text(e: impl std::fmt::Display) -> String {
    e.to_string()
}

impl Server {
    pub(super) fn new(seed: u64, now: i64, on_disk: bool) -> Result<Self, String> {
        let env = Arc::new(SeededEnv::new(seed ^ 0x5e7e_5e7e, Millis(now)));
        let (keep, storage): (Keep, Arc<dyn Storage>) = if on_disk {
            // In memory where the machine has such a folder: the tests of power cuts look at disks.
            let shm = std::path::Path::new("/dev/shm");
            let folder = if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() }.map_err(text)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(text)?;
            let storage = SqliteStorage::open(&folder.path().join("onsite.sqlite")).map_err(text)?;
            (Keep::File { folder, runtime, backups: 0 }, Arc::new(storage))
        } else {
            let memory = Arc::new(MemoryStorage::new());
            (Keep::Memory(Arc::clone(&memory)), Arc::new(Restless(memory)))
        };
        let ledger = Ledger::new(storage, env.clone());
        Ok(Self { keep, ledger, env, jobs: Vec::new(), shelf: Shelf::default() })
    }

    pub(super) fn on_disk(&self) -> bool {
        matches!(self.keep, Keep::File { .. })
    }

    /// Runs something to its end.
    pub(super) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        if let Keep::File { runtime, .. } = &self.keep {
            return runtime.block_on(future);
        }
        let mut future = std::pin::pin!(future);
        loop {
            if let Poll::Ready(out) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return out;
            }
        }
    }

    /// Begins a job; over a file it runs to its end at once.
    pub(super) fn begin(&mut self, flight: u64, future: impl Future<Output = Done> + 'static) -> Option<Done> {
        if self.on_disk() {
            return Some(self.wait(future));
        }
        self.jobs.push(Job { flight, future: Box::pin(future) });
        None
    }

    /// Lets a job go on for one turn; it leaves when done.
    pub(super) fn turn(&mut self, n: usize) -> Option<(u64, Done)> {
        let job = self.jobs.get_mut(n)?;
        match job.future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => Some((self.jobs.remove(n).flight, done)),
            Poll::Pending => None,
        }
    }

    pub(super) fn backup(&mut self) -> Result<Backup, String> {
        let shelf = Shelf { uploads: BTreeMap::new(), ..self.shelf.clone() };
        match &mut self.keep {
            Keep::Memory(memory) => Ok(Backup::Memory(memory.fork(), shelf)),
            Keep::File { folder, backups, runtime } => {
                *backups += 1;
                let to = folder.path().join(format!("backup-{backups}.sqlite"));
                runtime.block_on(self.ledger.storage().backup(&to)).map_err(text)?;
                Ok(Backup::File(to, shelf))
            }
        }
    }

    /// Puts a backup in place, in another epoch. What was under way is cut off.
    pub(super) fn restore(&mut self, backup: &Backup) -> Result<(), String> {
        self.jobs.clear();
        match (&mut self.keep, backup) {
            (Keep::Memory(memory), Backup::Memory(from, shelf)) => {
                *memory = Arc::new(from.fork());
                self.ledger = Ledger::new(Arc::new(Restless(Arc::clone(memory))), self.env.clone());
                self.shelf = shelf.clone();
            }
            (Keep::File { folder, backups, .. }, Backup::File(from, shelf)) => {
                *backups += 1;
                let to = folder.path().join(format!("restored-{backups}.sqlite"));
                std::fs::copy(from, &to).map_err(text)?;
                let storage = SqliteStorage::open(&to).map_err(text)?;
                self.ledger = Ledger::new(Arc::new(storage), self.env.clone());
                self.shelf = shelf.clone();
            }
            _ => return Err("a backup of another kind of storage".into()),
        }
        for tenant in self.wait(self.ledger.storage().tenants()).map_err(text)? {
            self.wait(self.ledger.new_epoch(tenant.id)).map_err(text)?;
        }
        Ok(())
    }

    pub(super) fn revoke(&self, tenant: TenantId, device: DeviceId, now: i64) -> Result<(), String> {
        let storage = self.ledger.storage();
        let found = self.wait(storage.device(tenant, device)).map_err(text)?;
        let Some(mut found) = found else { return Err("revoked a device that is not there".into()) };
        found.revoked = Some(Millis(now));
        self.wait(storage.put_device(tenant, found)).map_err(text)
    }

    /// A part of a blob, as the server's route takes it; what its client makes of the answer.
    pub(super) fn take_blob(
        &mut self,
        tenant: TenantId,
        (blob, size): (Sha256, u64),
        upload: &str,
        offset: u64,
        part: &[u8],
    ) -> Event {
        if upload.is_empty() {
            self.shelf.begun += 1;
            let upload = format!("/v1/blobs/uploads/{}", self.shelf.begun);
            self.shelf.uploads.insert(upload.clone(), Upload { tenant, blob, size, bytes: Vec::new() });
            return Event::BlobProgress { blob, upload, sent: 0 };
        }
        let fail = |code: &str, status| Failure { code: code.into(), status, retry_after: None };
        let Some(taken) = self.shelf.uploads.get_mut(upload).filter(|u| u.tenant == tenant && u.blob == blob) else {
            return Event::BlobFailed { blob, failure: fail("upload_gone", 404), restart: true };
        };
        // Another offset than the phone thought: it asks how far it is.
        if offset == taken.bytes.len() as u64 {
            taken.bytes.extend_from_slice(part);
        }
        let sent = taken.bytes.len() as u64;
        if sent < taken.size {
            return Event::BlobProgress { blob, upload: upload.to_owned(), sent };
        }
        let whole: [u8; 32] = sha2::Sha256::digest(&taken.bytes).into();
        if whole != taken.blob.0 {
            self.shelf.uploads.remove(upload);
            return Event::BlobFailed { blob, failure: fail("blob_mismatch", 460), restart: true };
        }
        let bytes = taken.bytes.clone();
        self.shelf.whole.insert((tenant, blob), bytes);
        Event::BlobProgress { blob, upload: String::new(), sent }
    }

    pub(super) fn give_blob(&self, tenant: TenantId, blob: Sha256) -> Event {
        match self.shelf.whole.get(&(tenant, blob)) {
            Some(bytes) => Event::BlobFetched { blob, bytes: bytes.clone() },
            None => {
                let failure = Failure { code: "not_found".into(), status: 404, retry_after: None };
                Event::BlobFailed { blob, failure, restart: false }
            }
        }
    }
}

/// Who a device is, as its token says: a revoked one is nobody.
pub(super) async fn who(ledger: &Ledger, tenant: TenantId, device: DeviceId) -> Result<Session> {
    let found = ledger.storage().device(tenant, device).await?;
    let found = found.ok_or_else(|| Error::Unauthorized("no such device".into()))?;
    if found.revoked.is_some() {
        return Err(Error::Revoked);
    }
    let roles = ledger.roles(tenant, found.staff).await?;
    Ok(Session { tenant, device, staff: found.staff, roles })
}

/// `POST /v1/sync`, without HTTP.
pub(super) async fn sync(
    ledger: Ledger,
    tenant: TenantId,
    device: DeviceId,
    body: Vec<u8>,
    whole: BTreeSet<Sha256>,
) -> Done {
    let answer = async {
        let session = who(&ledger, tenant, device).await?;
        let mut d = minicbor_serde::Deserializer::new(&body);
        let request = SyncRequest::deserialize(&mut d).map_err(|e| Error::bad("bad_body", "", e.to_string()))?;
        if d.decoder().position() != body.len() {
            return Err(Error::bad("bad_body", "", "bytes too many"));
        }
        let asked = request.blobs.clone();
        let mut answer = ledger.sync(&session, request).await?;
        answer.lost = asked.into_iter().filter(|b| !whole.contains(b)).collect();
        minicbor_serde::to_vec(&answer).map_err(|e| Error::Internal(e.to_string()))
    };
    Done::Sync(answer.await)
}

/// What a phone's client makes of an error.
pub(super) fn failure(e: &Error) -> Failure {
    let retry_after = if let Error::Busy { retry_after } = e { Some(*retry_after) } else { None };
    Failure { code: e.code().to_owned(), status: e.status(), retry_after }
}

/// Somebody at the office with every role.
pub(super) fn boss(id: onsite_core::domain::StaffId) -> Author {
    let roles: BTreeSet<_> = onsite_core::domain::Role::ALL.iter().copied().collect();
    Author { staff: id, roles, device_code: None }
}
