//! The ledger: takes what devices push, gives what they lack.

mod hub;

use crate::error::{Error, Result};
use crate::storage::{Storage, Tenant};
use onsite_core::domain::{ChangeHash, DeviceId, DocId, Role, StaffId, TenantId};
use onsite_core::env::Env;
use onsite_core::sync::protocol::{SyncAnswer, SyncRequest};
use std::collections::BTreeSet;
use std::sync::Arc;

pub use hub::{Hub, Poke};

/// Who syncs: comes from the token only.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// The company.
    pub tenant: TenantId,
    /// The device.
    pub device: DeviceId,
    /// Whose it is.
    pub staff: StaffId,
    /// Their roles now (see [`Ledger::roles`]).
    pub roles: BTreeSet<Role>,
}

/// The ledger over a storage. Cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    storage: Arc<dyn Storage>,
    env: Arc<dyn Env>,
    hub: Arc<Hub>,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").finish_non_exhaustive()
    }
}

impl Ledger {
    /// A ledger over a storage, with the clock and dice of `env`.
    pub fn new(storage: Arc<dyn Storage>, env: Arc<dyn Env>) -> Self {
        Self { storage, env, hub: Arc::default() }
    }

    /// The storage, for what needs no rule: devices, registry, blobs, lists.
    pub fn storage(&self) -> &dyn Storage {
        self.storage.as_ref()
    }

    /// The clock and dice.
    pub fn env(&self) -> &dyn Env {
        self.env.as_ref()
    }

    /// Where pokes are listened to.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Creates a company.
    pub async fn create_tenant(&self, name: &str) -> Result<Tenant> {
        let _ = name;
        Err(Error::Internal("seam".into()))
    }

    /// Starts another epoch: after a restore, before serving. Answers it.
    pub async fn new_epoch(&self, tenant: TenantId) -> Result<u64> {
        let _ = tenant;
        Err(Error::Internal("seam".into()))
    }

    /// The roles a person holds now; empty where they left or are unknown.
    pub async fn roles(&self, tenant: TenantId, staff: StaffId) -> Result<BTreeSet<Role>> {
        let _ = (tenant, staff);
        Err(Error::Internal("seam".into()))
    }

    /// One sync message: push, then pull.
    ///
    /// # Errors
    /// `bad_version`, `bad_cursor`, `too_many_changes` and the like ([`Error::Bad`]); [`Error::Revoked`]; the storage's.
    pub async fn sync(&self, session: &Session, request: SyncRequest) -> Result<SyncAnswer> {
        let _ = (session, request);
        Err(Error::Internal("seam".into()))
    }

    /// The office looked at a document at these heads (current ones where empty).
    pub async fn mark_seen(&self, tenant: TenantId, doc: DocId, heads: Vec<ChangeHash>, by: StaffId) -> Result<()> {
        let _ = (tenant, doc, heads, by);
        Err(Error::Internal("seam".into()))
    }
}
