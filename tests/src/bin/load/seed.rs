//! A company with jobs, written into a server's folder before it serves; its phones.

use anyhow::{Context as _, Result};
use onsite_core::domain::{
    Address, Author, Command, Contact, CustomerId, DispatchPatch, DocRef, Equipment, EventKind, Fen, ItemId, Kind,
    RequestId, Role, StaffId, TenantId, VisitId, WorkOrderId, WorkType,
};
use onsite_e2e::link::Link;
use onsite_e2e::world::{Phone, Server};
use onsite_server::ledger::Ledger;
use onsite_server::{Config, auth, office};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use uuid::Uuid;

/// A job is a request, a work order and a visit.
pub(crate) const PER_JOB: usize = 3;
/// The company's customers, however many jobs there are.
const CUSTOMERS: usize = 200;
/// Jobs written in one transaction.
const TOGETHER: usize = 20;

/// A company in a server's folder.
pub(crate) struct Company {
    /// Everything lies in it.
    dir: TempDir,
    /// The jobs of each technician.
    pub(crate) jobs: Vec<Vec<Job>>,
    /// A code for each technician's phone.
    codes: Vec<String>,
}

/// A job of a technician.
#[derive(Clone, Copy)]
pub(crate) struct Job {
    pub(crate) order: WorkOrderId,
    pub(crate) visit: VisitId,
}

impl Company {
    /// The server's folder.
    pub(crate) fn server(&self) -> PathBuf {
        self.dir.path().join("server")
    }

    /// Writes a company where each of `technicians` has `jobs` jobs under way.
    pub(crate) async fn found(technicians: usize, jobs: usize) -> Result<Self> {
        // Beside the program: on a disk, where /tmp may be memory.
        let beside = std::env::current_exe()?.parent().context("no folder")?.to_owned();
        let dir = tempfile::Builder::new().prefix("load-").tempdir_in(beside)?;
        let config = Config { data: dir.path().join("server"), ..Config::default() };
        let ledger = onsite_server::open(&config).await?;
        let mut founding = Founding { tenant: ledger.create_tenant("负载试验").await?.id, ledger, boss: None };
        let customers = founding.customers().await?;
        let mut all = Vec::new();
        let mut codes = Vec::new();
        for n in 0..technicians {
            let (staff, mine) = founding.technician(n, jobs, &customers).await?;
            all.push(mine);
            codes.push(
                auth::device_code(&founding.ledger, founding.tenant, staff, staff, "http://x", 86_400).await?.code,
            );
        }
        Ok(Self { dir, jobs: all, codes })
    }

    /// Technician `n`'s phone, enrolled and empty.
    pub(crate) async fn phone(&self, server: &Server, n: usize) -> Result<Phone> {
        let phone = Phone::open(&self.dir.path().join(format!("phone-{n}")), Link::to(server.addr)?)?;
        phone.client.enrol(&phone.link.url(), self.codes.get(n).context("no code")?, "负载手机").await?;
        Ok(phone)
    }
}

/// The folder a phone's file lies in.
pub(crate) fn file_of(phone: &Phone) -> PathBuf {
    Path::new(&phone.dir).join("device.sqlite")
}

struct Founding {
    ledger: Ledger,
    tenant: TenantId,
    boss: Option<StaffId>,
}

/// Customers, each with a machine.
pub(crate) async fn customers(ledger: &Ledger, tenant: TenantId, clerk: StaffId) -> Result<Vec<(CustomerId, ItemId)>> {
    let by = Author { staff: clerk, roles: [Role::Clerk].into(), device_code: None };
    let mut out = Vec::new();
    let mut commands = Vec::new();
    for n in 0..CUSTOMERS {
        let (customer, machine) = (CustomerId(Uuid::now_v7()), item());
        let put = Command::PutCustomer {
            id: customer,
            name: format!("华南纸浆模塑{n}厂"),
            code: format!("C{n:04}"),
            project_completed: None,
            call_interval_days: None,
        };
        let contact = Contact { name: "张三".into(), phone: format!("1380000{n:04}"), ..Contact::default() };
        let address = Address { text: format!("广东省东莞市第{n}工业区"), ..Address::default() };
        let equipment = Equipment {
            model: "ZM-3000".into(),
            serial: format!("WB{n:05}"),
            name: "纸浆模塑成型机".into(),
            ..Equipment::default()
        };
        commands.extend([
            put,
            Command::PutContact { customer, id: item(), contact },
            Command::PutAddress { customer, id: item(), address },
            Command::PutEquipment { customer, id: machine, equipment },
        ]);
        out.push((customer, machine));
    }
    for part in commands.chunks(4 * TOGETHER) {
        ledger.execute_all(tenant, &by, part).await?;
    }
    Ok(out)
}

fn item() -> ItemId {
    ItemId(Uuid::now_v7())
}

impl Founding {
    async fn office(&mut self) -> Result<Author> {
        let roles = [Role::Clerk, Role::ServiceManager, Role::Admin].into_iter().collect();
        let staff = match self.boss {
            Some(staff) => staff,
            None => office::add_staff(&self.ledger, self.tenant, "王经理", "B01", "", roles).await?,
        };
        self.boss = Some(staff);
        let roles = [Role::Clerk, Role::ServiceManager, Role::Admin].into_iter().collect();
        Ok(Author { staff, roles, device_code: None })
    }

    async fn customers(&mut self) -> Result<Vec<(CustomerId, ItemId)>> {
        let boss = self.office().await?.staff;
        customers(&self.ledger, self.tenant, boss).await
    }

    /// A technician with jobs: dispatched, the work on site begun.
    async fn technician(
        &mut self,
        n: usize,
        jobs: usize,
        customers: &[(CustomerId, ItemId)],
    ) -> Result<(StaffId, Vec<Job>)> {
        let roles = [Role::Technician].into_iter().collect();
        let staff =
            office::add_staff(&self.ledger, self.tenant, &format!("李工{n}"), &format!("T{n:04}"), "", roles).await?;
        let office = self.office().await?;
        let site = Author { staff, roles: [Role::Technician].into_iter().collect(), device_code: None };
        let mut out = Vec::new();
        let numbers: Vec<usize> = (0..jobs).collect();
        for part in numbers.chunks(TOGETHER) {
            let (mut dispatch, mut work) = (Vec::new(), Vec::new());
            for i in part {
                let (customer, machine) = customers[(n * jobs + i) % customers.len()];
                let order = WorkOrderId(Uuid::now_v7());
                let visit = VisitId::of_dispatch(order, 1);
                dispatch.extend(dispatched(order, customer, machine, staff, *i));
                work.extend(begun(order, visit));
                out.push(Job { order, visit });
            }
            self.ledger.execute_all(self.tenant, &office, &dispatch).await?;
            self.ledger.execute_all(self.tenant, &site, &work).await?;
        }
        Ok((staff, out))
    }
}

fn dispatched(id: WorkOrderId, customer: CustomerId, machine: ItemId, staff: StaffId, n: usize) -> Vec<Command> {
    let request = RequestId(Uuid::now_v7());
    let problem = format!("第{n}号:主泵漏油,液压站压力不足,需更换密封圈");
    let patch = DispatchPatch {
        expected_stay_minutes: Some(480),
        cash_advance: Some(Fen(80_000)),
        balance_to_collect: Some(Fen(1_250_000)),
        ..DispatchPatch::default()
    };
    vec![
        Command::ReportRepair {
            id: request,
            customer: Some(customer),
            customer_name: String::new(),
            contact_name: "张三".into(),
            contact_phone: "029-88886666".into(),
            address: "东莞".into(),
            equipment: Some(machine),
            problem: problem.clone(),
            reported: None,
        },
        Command::OpenWorkOrder {
            id,
            customer,
            equipment: Some(machine),
            work_type: WorkType::Repair,
            request: Some(request),
            follow_on_of: None,
            service_description: problem,
            arrival_deadline: None,
        },
        Command::PlanDispatch { id, patch },
        Command::Assign { id, technicians: vec![staff], reason: String::new() },
        Command::IssueDispatch { id },
    ]
}

fn begun(work_order: WorkOrderId, visit: VisitId) -> Vec<Command> {
    let mut commands = vec![Command::OpenVisit { work_order }];
    for event in [EventKind::Acknowledged, EventKind::TravelStarted, EventKind::Arrived, EventKind::WorkStarted] {
        commands.push(Command::RecordEvent { visit, id: item(), event, at: None, position: None, corrects: None });
    }
    commands.push(Command::EditText {
        doc: DocRef::new(Kind::Visit, visit),
        field: "resolution".into(),
        text: "现场检查:液压站压力不足,更换密封圈后恢复正常。".into(),
        seen: Vec::new(),
    });
    commands
}
