//! What happened to documents, change by change.

use super::differ;
use super::shown::Said;
use crate::error::Result;
use crate::ledger::Ledger;
use onsite_core::document::{Change, Doc};
use onsite_core::domain::{
    ChangeHash, DeviceId, DocId, DocRef, Entity, Kind, Millis, StaffId, TenantId, WorkOrder, WorkOrderId,
};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A line of a document's history.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
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
    /// That device's code.
    pub device_code: Option<String>,
    /// The leaves it set.
    pub paths: Vec<String>,
    /// Their names, each once.
    pub labels: Vec<Said>,
    /// The change.
    pub hash: ChangeHash,
}

impl Ledger {
    /// Everything that happened to a job, its request and its visits, oldest first.
    ///
    /// # Errors
    /// `NotFound`; the storage's.
    pub async fn timeline(&self, tenant: TenantId, order: WorkOrderId) -> Result<Vec<TimelineItem>> {
        let view = self.row_of(tenant, Kind::WorkOrder, order.into()).await?;
        let mut docs = vec![DocId::from(order)];
        docs.extend(self.storage().children(tenant, Kind::Visit, order.into()).await?);
        if let Entity::WorkOrder(WorkOrder { request: Some(request), .. }) = view.entity()? {
            docs.push(request.into());
            docs.extend(self.storage().children(tenant, Kind::Visit, request.into()).await?);
        }
        self.histories(tenant, &docs).await
    }

    /// Everything that happened to documents, oldest first.
    ///
    /// # Errors
    /// The storage's.
    pub async fn histories(&self, tenant: TenantId, docs: &[DocId]) -> Result<Vec<TimelineItem>> {
        let codes: BTreeMap<DeviceId, String> =
            self.storage().devices(tenant).await?.into_iter().map(|(d, _)| (d.id, d.code)).collect();
        let mut items = Vec::new();
        for doc in docs {
            let rows = self.storage().history(tenant, *doc).await?;
            let Some(kind) = rows.first().map(|r| r.kind) else { continue };
            let mut past = Doc::new(kind);
            let mut before = serde_json::to_value(past.entity()?)?;
            for row in rows {
                let change = Change::parse(row.body)?;
                past.apply([&change.bytes])?;
                let after = serde_json::to_value(past.entity()?)?;
                let mut paths = Vec::new();
                differ("", &before, &after, &mut paths);
                before = after;
                items.push(TimelineItem {
                    at: change.header.at,
                    received: row.received,
                    doc: DocRef { kind, id: *doc },
                    by: change.header.by,
                    device: row.device,
                    device_code: codes.get(&row.device).cloned(),
                    labels: Said::paths(kind, &paths),
                    paths,
                    hash: change.header.hash,
                });
            }
        }
        items.sort_by_key(|i| (i.at, i.received));
        Ok(items)
    }
}
