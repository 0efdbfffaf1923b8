//! One module a story. What they share: a company with jobs to do.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on has failed")]

mod aside;
mod bad_input;
mod faults;
mod flow;
mod gate;
mod print;
mod shared;
mod tenants;
mod terminal;

use crate::world::{Company, Office, Phone, Server};
use onsite_core::domain::command::DispatchPatch;
use onsite_core::domain::{
    Address, Command, Contact, CustomerId, Date, DocRef, Equipment, EventKind, ItemId, Kind, RequestId, StaffId,
    VisitId, WorkOrderId, WorkType,
};
use std::path::Path;
use uuid::Uuid;

fn item() -> ItemId {
    ItemId(Uuid::now_v7())
}

fn day(text: &str) -> Date {
    text.parse().unwrap()
}

/// A customer with a contact, an address and a machine in warranty.
async fn customer(office: &Office, name: &str) -> (CustomerId, ItemId) {
    let id = CustomerId(Uuid::now_v7());
    let project_completed = Some(day("2026-06-01"));
    let code = format!("C-{}", &id.to_string()[24..]);
    let put = Command::PutCustomer { id, name: name.into(), code, project_completed, call_interval_days: None };
    office.execute(&put).await.unwrap();
    let contact = Contact { name: "张三".into(), phone: "029-88886666".into(), ..Contact::default() };
    office.execute(&Command::PutContact { customer: id, id: item(), contact }).await.unwrap();
    let address = Address { text: "陕西省西安市高新区 8 号".into(), ..Address::default() };
    office.execute(&Command::PutAddress { customer: id, id: item(), address }).await.unwrap();
    let machine = item();
    let equipment = Equipment {
        model: "HK-2000".into(),
        serial: format!("SN-{}", &machine.to_string()[24..]),
        name: "纸浆模塑成型机".into(),
        installed: Some(day("2026-06-01")),
        ..Equipment::default()
    };
    office.execute(&Command::PutEquipment { customer: id, id: machine, equipment }).await.unwrap();
    (id, machine)
}

/// A repair job, reported, opened, assigned and issued.
async fn job(office: &Office, customer: CustomerId, machine: ItemId, technicians: &[StaffId]) -> WorkOrderId {
    let request = RequestId(Uuid::now_v7());
    let report = Command::ReportRepair {
        id: request,
        customer: Some(customer),
        customer_name: String::new(),
        contact_name: "张三".into(),
        contact_phone: "029-88886666".into(),
        address: "西安".into(),
        equipment: Some(machine),
        problem: "液压站压力不足".into(),
        reported: None,
    };
    office.execute(&report).await.unwrap();
    let id = WorkOrderId(Uuid::now_v7());
    let open = Command::OpenWorkOrder {
        id,
        customer,
        equipment: Some(machine),
        work_type: WorkType::Repair,
        request: Some(request),
        follow_on_of: None,
        service_description: "检查液压站".into(),
        arrival_deadline: None,
    };
    office.execute(&open).await.unwrap();
    let patch = DispatchPatch { expected_stay_minutes: Some(240), ..DispatchPatch::default() };
    office.execute(&Command::PlanDispatch { id, patch }).await.unwrap();
    let technicians = technicians.to_vec();
    office.execute(&Command::Assign { id, technicians, reason: "就近".into() }).await.unwrap();
    office.execute(&Command::IssueDispatch { id }).await.unwrap();
    id
}

/// A company with one technician, whose phone has their one job.
struct OnSite<'a> {
    company: Company<'a>,
    technician: StaffId,
    customer: CustomerId,
    machine: ItemId,
    order: WorkOrderId,
    phone: Phone,
}

impl<'a> OnSite<'a> {
    /// The phone synced once, its files below `dir`.
    async fn new(server: &'a Server, dir: &Path) -> Self {
        let company = server.company("陕西环科").await.unwrap();
        let technician = company.technician("李工", "T1").await.unwrap();
        let (customer, machine) = customer(&company.office, "西安纸托厂").await;
        let order = job(&company.office, customer, machine, &[technician]).await;
        let phone = company.phone(&dir.join("phone"), technician).await.unwrap();
        phone.sync().await.unwrap();
        Self { company, technician, customer, machine, order, phone }
    }
}

/// One technician with one job, on a visit that the office knows of.
async fn ready<'a>(server: &'a Server, dir: &Path) -> (Company<'a>, Phone, VisitId) {
    let OnSite { company, order, phone, .. } = OnSite::new(server, dir).await;
    let visit = arrive(&phone, order);
    phone.sync().await.unwrap();
    (company, phone, visit)
}

/// Opens the visit on a phone and arrives.
fn arrive(phone: &Phone, order: WorkOrderId) -> VisitId {
    phone.execute(&Command::OpenVisit { work_order: order }).unwrap();
    let visit = VisitId::of_dispatch(order, 1);
    for event in [EventKind::Acknowledged, EventKind::TravelStarted, EventKind::Arrived] {
        happen(phone, visit, event);
    }
    visit
}

fn happen(phone: &Phone, visit: VisitId, event: EventKind) {
    let record = Command::RecordEvent { visit, id: item(), event, at: None, position: None, corrects: None };
    phone.execute(&record).unwrap();
}

fn note(phone: &Phone, visit: VisitId, text: &str) {
    phone.execute(&Command::AddNote { visit, id: item(), text: text.into() }).unwrap();
}

fn write(phone: &Phone, visit: VisitId, field: &str, text: &str) {
    let doc = DocRef::new(Kind::Visit, visit);
    phone.execute(&Command::EditText { doc, field: field.into(), text: text.into(), seen: Vec::new() }).unwrap();
}

/// The notes of a visit, as the office has them.
async fn notes_at(office: &Office, visit: VisitId) -> Vec<String> {
    let visit: onsite_core::domain::Visit = office.entity(Kind::Visit, visit.0).await.unwrap();
    let mut notes: Vec<String> = visit.notes.values().map(|n| n.text.clone()).collect();
    notes.sort();
    notes
}

/// Syncs after the network came back; a connection that broke meanwhile is found out and tried again.
async fn sync_through(phone: &Phone) {
    for _ in 0..3 {
        if phone.sync().await.is_ok() {
            return;
        }
    }
    phone.sync().await.unwrap();
}

/// Every change in the log exactly once, and its numbers without a gap.
fn log_is_sound(company: &Company<'_>) {
    let db = company.server.database().unwrap();
    let count = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(
        count("SELECT count(*) FROM change"),
        count("SELECT count(*) FROM (SELECT DISTINCT tenant, doc, hash FROM change)")
    );
}
