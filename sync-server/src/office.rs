//! Commands and questions of the office: the server is one more author.

use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::storage::{Device, DeviceSync, SetAside, View};
use onsite_core::document::Clash;
use onsite_core::domain::{
    Author, ChangeHash, Command, DeviceId, DocId, DocRef, Millis, StaffId, TenantId, WorkOrderId,
};
use serde::{Deserialize, Serialize};

/// What a command did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Executed {
    /// The documents written, in order.
    pub docs: Vec<DocRef>,
    /// The log's last number after it.
    pub head: u64,
}

/// A device as the office sees it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct DeviceState {
    /// The device.
    pub device: Device,
    /// Its account, once it has synced.
    pub sync: Option<DeviceSync>,
}

/// A document with clashes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ClashItem {
    /// The document.
    pub doc: DocRef,
    /// Its list's head.
    pub title: String,
    /// Its number.
    pub number: String,
    /// Every leaf with several values.
    pub clashes: Vec<Clash>,
}

/// A line of a job's timeline.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct TimelineItem {
    /// When, by its author's best estimate.
    pub at: Millis,
    /// When the server took it.
    pub received: Millis,
    /// The document.
    pub doc: DocRef,
    /// Who, where known.
    pub by: Option<StaffId>,
    /// The device that brought it; nil for the office.
    pub device: DeviceId,
    /// The leaves it set.
    pub paths: Vec<String>,
    /// The change.
    pub hash: ChangeHash,
}

/// What the office decides about a refused change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "decide", rename_all = "snake_case")]
pub enum AsideCommand {
    /// Take it in as it is, on the office's authority.
    Accept {
        /// Why.
        reason: String,
    },
    /// Leave it out for good.
    Dismiss {
        /// Why.
        reason: String,
    },
    /// Do this instead.
    Amend {
        /// Why.
        reason: String,
        /// What to do.
        command: Command,
    },
}

/// What came of a rescue file.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Adopted {
    /// Changes taken in (or there already).
    pub accepted: usize,
    /// Changes set aside.
    pub aside: usize,
    /// Blobs in it: (hash, media type, bytes) for the caller to store.
    #[serde(skip)]
    pub blobs: Vec<(onsite_core::domain::Sha256, String, Vec<u8>)>,
}

impl Ledger {
    /// Decides and commits a command of somebody at the office. With a `key`, sending it twice does it once.
    ///
    /// # Errors
    /// [`Error::Refused`] with the field; the storage's.
    pub async fn execute(
        &self,
        tenant: TenantId,
        author: &Author,
        command: &Command,
        key: Option<&str>,
    ) -> Result<Executed> {
        let _ = (tenant, author, command, key);
        Err(Error::Internal("seam".into()))
    }

    /// Several commands as one transaction: all or none (imports).
    pub async fn execute_all(&self, tenant: TenantId, author: &Author, commands: &[Command]) -> Result<Executed> {
        let _ = (tenant, author, commands);
        Err(Error::Internal("seam".into()))
    }

    /// Work orders by stage, at most `limit` of each, by due time.
    pub async fn board(&self, tenant: TenantId, limit: usize) -> Result<Vec<(String, Vec<View>)>> {
        let _ = (tenant, limit);
        Err(Error::Internal("seam".into()))
    }

    /// All devices with their accounts.
    pub async fn devices(&self, tenant: TenantId) -> Result<Vec<DeviceState>> {
        let _ = tenant;
        Err(Error::Internal("seam".into()))
    }

    /// Documents with clashes, at most `limit`.
    pub async fn clashes(&self, tenant: TenantId, limit: usize) -> Result<Vec<ClashItem>> {
        let _ = (tenant, limit);
        Err(Error::Internal("seam".into()))
    }

    /// Refused changes nobody has decided, newest first.
    pub async fn aside(&self, tenant: TenantId, limit: usize) -> Result<Vec<SetAside>> {
        let _ = (tenant, limit);
        Err(Error::Internal("seam".into()))
    }

    /// Decides about a refused change.
    pub async fn decide_aside(
        &self,
        tenant: TenantId,
        author: &Author,
        doc: DocId,
        hash: ChangeHash,
        what: &AsideCommand,
    ) -> Result<()> {
        let _ = (tenant, author, doc, hash, what);
        Err(Error::Internal("seam".into()))
    }

    /// Everything that happened to a job and its visits, oldest first.
    pub async fn timeline(&self, tenant: TenantId, order: WorkOrderId) -> Result<Vec<TimelineItem>> {
        let _ = (tenant, order);
        Err(Error::Internal("seam".into()))
    }

    /// Takes a rescue file's changes in, as from their device.
    pub async fn adopt(&self, tenant: TenantId, author: &Author, file: &[u8], passphrase: &str) -> Result<Adopted> {
        let _ = (tenant, author, file, passphrase);
        Err(Error::Internal("seam".into()))
    }
}
