//! A storage that lets others in before every call, so that requests overlap.

use async_trait::async_trait;
use onsite_core::domain::{ChangeHash, DeviceId, DocId, DocRef, Kind, Millis, Sha256, StaffId, TenantId};
use onsite_core::sync::protocol::{Digest, Held};
use onsite_server::error::Result;
use onsite_server::storage::{
    Answers, AsideQuery, Asked, Audit, AuditRow, Batch, BlobRow, Bodies, Column, Committed, Device, DeviceSync,
    FactQuery, FactRow, Loaded, LogRow, MemoryStorage, Place, Query, ReadMark, Record, Scan, SetAside, Storage,
    SyncNote, Tenant, View, Waiting, Want,
};
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;

/// A storage in memory whose callers take turns.
pub(super) struct Restless(pub(super) Arc<MemoryStorage>);

/// Ready at the second asking.
async fn rest() {
    let mut rested = false;
    poll_fn(|_| if std::mem::replace(&mut rested, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

macro_rules! restless {
    ($(fn $name:ident($($arg:ident: $type:ty),*) -> $out:ty;)*) => {
        #[async_trait]
        impl Storage for Restless {
            $(async fn $name(&self, $($arg: $type),*) -> Result<$out> {
                rest().await;
                self.0.$name($($arg),*).await
            })*
        }
    };
}

restless! {
    fn create_tenant(tenant: Tenant) -> ();
    fn tenant(id: TenantId) -> Option<Tenant>;
    fn tenants() -> Vec<Tenant>;
    fn set_epoch(id: TenantId, epoch: u64) -> ();
    fn load(tenant: TenantId, docs: &[DocId]) -> Vec<Loaded>;
    fn commit(tenant: TenantId, batch: Batch) -> Committed;
    fn scan(tenant: TenantId, staff: StaffId, place: Place, limit: usize) -> Scan;
    fn bodies(tenant: TenantId, wants: &[Want]) -> Vec<Bodies>;
    fn held_in(tenant: TenantId, staff: StaffId, ranges: &BTreeSet<u8>) -> Vec<Held>;
    fn held(tenant: TenantId, staff: StaffId) -> Vec<Held>;
    fn range_digests(tenant: TenantId, staff: StaffId) -> Vec<Digest>;
    fn knows(tenant: TenantId, doc: DocId, hashes: &[ChangeHash]) -> bool;
    fn in_scope(tenant: TenantId, staff: StaffId, doc: DocId) -> bool;
    fn log(tenant: TenantId, after: u64, limit: usize) -> Vec<LogRow>;
    fn history(tenant: TenantId, doc: DocId) -> Vec<LogRow>;
    fn mark_seen(tenant: TenantId, doc: DocId, mark: ReadMark) -> Committed;
    fn counter(tenant: TenantId, name: &str) -> u64;
    fn aside_of(tenant: TenantId, docs: &[DocId]) -> Vec<SetAside>;
    fn aside(tenant: TenantId, query: &AsideQuery) -> Vec<SetAside>;
    fn views(tenant: TenantId, docs: &[DocId]) -> Vec<View>;
    fn children(tenant: TenantId, kind: Kind, parent: DocId) -> Vec<DocId>;
    fn list(tenant: TenantId, query: &Query) -> Vec<View>;
    fn columns(tenant: TenantId, query: &Query) -> Vec<Column>;
    fn ask(tenant: TenantId, asked: &Asked) -> Answers;
    fn facts(tenant: TenantId, query: &FactQuery) -> Vec<FactRow>;
    fn flags(tenant: TenantId) -> Vec<(DocRef, Vec<String>)>;
    fn waiting(tenant: TenantId) -> Waiting;
    fn put_sync_notes(notes: Vec<(TenantId, DeviceId, SyncNote)>) -> ();
    fn sync_notes(tenant: TenantId, device: DeviceId) -> Vec<SyncNote>;
    fn counts(tenant: TenantId, kind: Kind) -> Vec<(String, u64)>;
    fn answered(tenant: TenantId, key: &str) -> Option<String>;
    fn put_device(tenant: TenantId, device: Device) -> ();
    fn device(tenant: TenantId, id: DeviceId) -> Option<Device>;
    fn devices(tenant: TenantId) -> Vec<(Device, Option<DeviceSync>)>;
    fn device_tenant(id: DeviceId) -> Option<TenantId>;
    fn device_sync(tenant: TenantId, id: DeviceId) -> Option<DeviceSync>;
    fn put_device_sync(tenant: TenantId, sync: DeviceSync) -> ();
    fn put_record(tenant: TenantId, table: &str, record: Record, expect: Option<u64>, now: Millis) -> bool;
    fn record(tenant: TenantId, table: &str, key: &str, now: Millis) -> Option<Record>;
    fn records(tenant: TenantId, table: &str, after: &str, limit: usize, now: Millis) -> Vec<Record>;
    fn records_of(company: TenantId, table: &str, now: Millis) -> Vec<Record>;
    fn take_record(tenant: TenantId, table: &str, key: &str, now: Millis) -> Option<Record>;
    fn expire_records(now: Millis) -> u64;
    fn put_blob(tenant: TenantId, blob: BlobRow) -> ();
    fn blob(tenant: TenantId, sha256: Sha256) -> Option<BlobRow>;
    fn drop_blob(tenant: TenantId, sha256: Sha256) -> ();
    fn audit(tenant: TenantId, entries: Vec<Audit>) -> ();
    fn audit_log(tenant: TenantId, after: u64, limit: usize) -> Vec<AuditRow>;
    fn ready() -> ();
    fn backup(to: &Path) -> ();
}

/// Heads as words, for what is told.
pub(super) fn short(heads: &[ChangeHash]) -> String {
    let all: Vec<String> = heads.iter().map(|h| h.to_string()[..8].to_owned()).collect();
    all.join("+")
}
