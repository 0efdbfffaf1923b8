//! What the two paper forms show of a job and of a visit, and which photos a document names.

use super::{names, settings};
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use onsite_core::domain::{
    Customer, DocId, Entity, Kind, Photo, Record, Request, Sha256, TenantId, Visit, VisitId, WorkOrder, WorkOrderId,
};
use onsite_core::forms::{self, DispatchFormData, VisitFormData};
use std::borrow::Cow;

impl Ledger {
    /// Form 1 of a job.
    ///
    /// # Errors
    /// `NotFound`; the storage's.
    pub async fn dispatch_form(&self, tenant: TenantId, id: WorkOrderId) -> Result<DispatchFormData> {
        let view = self.row_of(tenant, Kind::WorkOrder, id.into()).await?;
        let order = WorkOrder::unwrap(view.entity()?).unwrap_or_default();
        let ids = self.storage().children(tenant, Kind::Visit, id.into()).await?;
        let mut visits = Vec::new();
        for v in self.storage().views(tenant, &ids).await? {
            visits.extend(Visit::unwrap(v.entity()?).map(|visit| (VisitId::from(v.summary.doc.id), Cow::Owned(visit))));
        }
        let (settings, names) = (settings(self, tenant).await?, names(self, tenant).await?);
        let name = |id| names.get(&id).cloned().unwrap_or_default();
        Ok(forms::dispatch_data(&order, &visits, &name, &settings))
    }

    /// Form 2 of a visit; its photos without their pictures.
    ///
    /// # Errors
    /// `NotFound`; the storage's.
    pub async fn visit_form(&self, tenant: TenantId, id: VisitId) -> Result<VisitFormData> {
        let view = self.row_of(tenant, Kind::Visit, id.into()).await?;
        let visit = Visit::unwrap(view.entity()?).unwrap_or_default();
        let order: Option<WorkOrder> = self.content(tenant, visit.work_order).await?;
        let request = order.as_ref().and_then(|o| o.request).or(visit.request);
        let request: Option<Request> = self.content(tenant, request).await?;
        let customer = order.as_ref().and_then(|o| o.customer).or_else(|| request.as_ref().and_then(|r| r.customer));
        let customer: Option<Customer> = self.content(tenant, customer).await?;
        let (settings, names) = (settings(self, tenant).await?, names(self, tenant).await?);
        let name = |id| names.get(&id).cloned().unwrap_or_default();
        Ok(forms::visit_data(id, &visit, order.as_ref(), request.as_ref(), customer.as_ref(), &name, &settings))
    }

    async fn content<R: Record>(&self, tenant: TenantId, doc: Option<impl Into<DocId>>) -> Result<Option<R>> {
        let Some(doc) = doc else { return Ok(None) };
        let found = self.storage().views(tenant, &[doc.into()]).await?.pop();
        Ok(found.map(|v| v.entity()).transpose()?.and_then(R::unwrap))
    }

    /// The photo of this hash that a document names, taken out or not.
    ///
    /// # Errors
    /// `NotFound` where there is no such document or it names no such photo; the storage's.
    pub async fn photo_of(&self, tenant: TenantId, doc: DocId, blob: Sha256) -> Result<Photo> {
        let nowhere = || Error::NotFound(format!("no document {doc} with a photo {blob}"));
        let view = self.storage().views(tenant, &[doc]).await?.pop().ok_or_else(nowhere)?;
        let photos = match view.entity()? {
            Entity::Visit(v) => v.photos,
            Entity::Request(r) => r.photos,
            _ => return Err(nowhere()),
        };
        photos.into_values().find(|p| p.blob == Some(blob)).ok_or_else(nowhere)
    }
}
