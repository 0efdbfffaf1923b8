//! A customer's file with what hangs on it; entitlement; calls due.

use super::settings;
use super::shown::{Page, Row};
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::storage::{Key, Query};
use onsite_core::domain::entitlement::{Entitled, entitlement, warranty_until};
use onsite_core::domain::stage::{job_visits, next_call, overdue_call};
use onsite_core::domain::{
    Customer, CustomerId, Date, DocId, Entitlement, Entity, Fen, FollowUp, ItemId, Kind, Millis, Settings, TenantId,
    WorkOrder, WorldExt as _, Zone,
};
use serde::Serialize;
use std::borrow::Cow;
use utoipa::ToSchema;

/// Most rows of each list of a customer's file: the newest.
const NEWEST: usize = 200;

/// A machine at a customer's.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct EquipmentShown {
    /// Its id.
    pub id: ItemId,
    /// First day in service.
    pub warranty_from: Option<Date>,
    /// Last day of warranty.
    pub warranty_until: Option<Date>,
    /// The contract that covers it today.
    pub contract: Option<ItemId>,
    /// 客户属性 of a report of today.
    pub entitlement_today: Entitlement,
    /// Jobs on it.
    pub jobs: u64,
}

/// A customer's file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct CustomerDetail {
    /// Its row.
    pub row: Row,
    /// Its content.
    pub entity: Customer,
    /// Its machines, those taken out left out.
    pub equipment: Vec<EquipmentShown>,
    /// Charged and not collected.
    pub owed: Fen,
    /// Charged in all.
    pub charged: Fen,
    /// Collected on its jobs.
    pub collected: Fen,
    /// Day of the next follow-up call.
    pub next_call: Option<Date>,
    /// Whether that day is over.
    pub call_overdue: bool,
    /// Its jobs, newest first.
    pub jobs: Vec<Row>,
    /// Its requests, newest first.
    pub requests: Vec<Row>,
    /// Its calls, newest first.
    pub calls: Vec<Row>,
    /// Its complaints, newest first.
    pub complaints: Vec<Row>,
}

impl Ledger {
    /// A customer's file with what hangs on it.
    ///
    /// # Errors
    /// `NotFound`; the storage's.
    pub async fn customer_detail(&self, tenant: TenantId, id: CustomerId) -> Result<CustomerDetail> {
        let view = self.row_of(tenant, Kind::Customer, id.into()).await?;
        let now = self.env().now();
        let mut reader = self.reader(tenant);
        let found = reader.ask(|w| {
            let file = w.get::<Customer>(id)?;
            let newest = |kind| w.children(kind, id.into()).into_iter().rev().take(NEWEST).collect::<Vec<_>>();
            let orders: Vec<(DocId, Cow<'_, WorkOrder>)> = w
                .children(Kind::WorkOrder, id.into())
                .into_iter()
                .filter_map(|o| Some((o, w.get::<WorkOrder>(o)?)))
                .collect();
            let visits =
                |(id, order): &(DocId, Cow<'_, WorkOrder>)| order.collected(&job_visits((*id).into(), order, w));
            let collected: Fen = orders.iter().map(visits).sum();
            let calls = w.children(Kind::FollowUp, id.into()).into_iter().filter_map(|c| w.get::<FollowUp>(c));
            let calls: Vec<FollowUp> = calls.map(Cow::into_owned).collect();
            let mut complaints = w.children(Kind::Complaint, id.into());
            complaints.extend(orders.iter().flat_map(|(o, _)| w.children(Kind::Complaint, *o)));
            complaints.sort_unstable_by(|a, b| b.cmp(a));
            complaints.truncate(NEWEST);
            let settings = w.settings();
            let due = next_call(&file, &calls, &settings);
            let lists = [newest(Kind::WorkOrder), newest(Kind::Request), newest(Kind::FollowUp), complaints];
            let equipment = machines(&file, &orders, &settings, now);
            let file = file.into_owned();
            Some((file, collected, due, due.is_some_and(|d| overdue_call(d, now, &settings)), equipment, lists))
        });
        let found = found.await?.ok_or_else(|| Error::NotFound(format!("no customer {id}")))?;
        let (file, collected, due, overdue, equipment, [jobs, requests, calls, complaints]) = found;
        let charged: Fen = file.charges.values().map(|c| c.amount).sum();
        Ok(CustomerDetail {
            row: Row::from(&view),
            equipment,
            owed: charged - collected,
            charged,
            collected,
            next_call: due,
            call_overdue: overdue,
            jobs: self.rows_of(tenant, &jobs).await?,
            requests: self.rows_of(tenant, &requests).await?,
            calls: self.rows_of(tenant, &calls).await?,
            complaints: self.rows_of(tenant, &complaints).await?,
            entity: file,
        })
    }

    /// 客户属性 of a report about a customer's machine, as it would be worked out.
    ///
    /// # Errors
    /// `NotFound`; the storage's.
    pub async fn entitlement_of(
        &self,
        tenant: TenantId,
        customer: CustomerId,
        machine: Option<ItemId>,
        reported: Option<Millis>,
    ) -> Result<Entitled> {
        let view = self.row_of(tenant, Kind::Customer, customer.into()).await?;
        let Entity::Customer(file) = view.entity()? else {
            return Err(Error::NotFound(format!("no customer {customer}")));
        };
        if machine.is_some_and(|m| file.equipment.get(&m).is_none_or(|e| e.removed)) {
            return Err(Error::NotFound("this customer has no such machine".into()));
        }
        let reported = reported.unwrap_or_else(|| self.env().now());
        Ok(entitlement(&file, machine, reported, &settings(self, tenant).await?))
    }

    /// Customers with a call due before a day (by default: by today), by its due day.
    ///
    /// # Errors
    /// The storage's.
    pub async fn calls_due(
        &self,
        tenant: TenantId,
        before: Option<Date>,
        after: Option<Key>,
        limit: usize,
    ) -> Result<Page> {
        let zone = Zone::of(&settings(self, tenant).await?);
        let before = before.map_or_else(|| zone.end(zone.day(self.env().now())), |day| zone.start(day));
        let query = Query { kind: Some(Kind::Customer), due_before: Some(before), after, limit, ..Query::default() };
        let views = self.storage().list(tenant, &query).await?;
        Ok(Page::of(&views, query.page()))
    }
}

/// The machines of a file, with what a report of today would be entitled to.
fn machines(
    file: &Customer,
    orders: &[(DocId, Cow<'_, WorkOrder>)],
    settings: &Settings,
    now: Millis,
) -> Vec<EquipmentShown> {
    let shown = file.equipment.iter().filter(|(_, e)| !e.removed).map(|(id, machine)| {
        let entitled = entitlement(file, Some(*id), now, settings);
        EquipmentShown {
            id: *id,
            warranty_from: machine.installed,
            warranty_until: warranty_until(machine, settings),
            contract: entitled.contract,
            entitlement_today: entitled.entitlement,
            jobs: orders.iter().filter(|(_, w)| w.equipment == Some(*id)).count() as u64,
        }
    });
    shown.collect()
}
