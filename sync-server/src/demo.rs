//! `onsite demo`: a service company with a year behind it, and six simulated
//! technicians who are real engines on their own files, over real HTTP.
#![expect(clippy::print_stdout, reason = "a command answers on its standard output")]

use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::storage::Query;
use crate::{Config, auth, cli};
use onsite_core::domain::{
    Address, Author, CallOutcome, Command, ComplaintAbout, ComplaintId, Contact, Contract, ContractKind, CustomerId,
    Date, DispatchPatch, DocRef, Entity, Equipment, EventKind, Fen, FollowUpId, ItemId, Kind, Millis, Outcome,
    RequestId, Role, Satisfaction, SignoffRole, StaffId, Strokes, SuggestionId, TenantId, VisitId, WorkOrderId,
    WorkType, Zone, forms_content,
};
use onsite_core::engine::{Client, Engine};
use onsite_core::env::Env;
use onsite_core::store::blobs::FolderBlobs;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The first dispatch of a work order.
const ROUND: u32 = 1;
const PASSWORD: &str = "onsite-demo";
const COMPANY: &str = "渭北纸模机械有限公司";
const PEOPLE: [(&str, &str, Role); 7] = [
    ("admin", "何志远", Role::Admin),
    ("clerk", "刘芳", Role::Clerk),
    ("manager", "王建国", Role::ServiceManager),
    ("warehouse", "陈库生", Role::Warehouse),
    ("finance", "周丽", Role::Finance),
    ("director", "孙明德", Role::OfficeDirector),
    ("production", "高铁军", Role::Production),
];
const TECHNICIANS: [&str; 6] = ["李卫东", "赵敏", "马强", "杨小龙", "郭海涛", "张三"];
const PLACES: [&str; 10] = ["三原", "礼泉", "泾阳", "兴平", "武功", "蒲城", "富平", "大荔", "眉县", "洛川"];
const TRADES: [&str; 4] = ["蛋托包装厂", "果托有限公司", "纸塑餐具厂", "工业包装公司"];
const FAULTS: [&str; 5] =
    ["成型机真空不足,湿坯脱落", "热压机温度不稳", "碎浆机异响", "转移辊定位偏差", "烘干线链条跳齿"];

/// The system's clock, moved back while the past is written.
#[derive(Debug, Default)]
struct DemoEnv {
    back: AtomicI64,
}

impl Env for DemoEnv {
    fn now(&self) -> Millis {
        crate::SystemEnv.now().plus(-self.back.load(Ordering::SeqCst))
    }
    fn fill(&self, buf: &mut [u8]) {
        crate::SystemEnv.fill(buf);
    }
}

/// What the demo is to do.
#[derive(clap::Args, Debug)]
pub struct DemoArgs {
    /// Port; 0 takes a free one.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Folder for the server's data and the phones; must be new or empty.
    #[arg(long, default_value = "onsite-demo")]
    dir: PathBuf,
    /// Plays one day, checks that the office sees all of it, and ends.
    #[arg(long)]
    once: bool,
}

struct Office {
    ledger: Ledger,
    env: Arc<DemoEnv>,
    tenant: TenantId,
    people: Vec<(Role, StaffId)>,
    technicians: Vec<StaffId>,
}

impl Office {
    fn staff(&self, role: Role) -> StaffId {
        self.people.iter().find(|(r, _)| *r == role).map_or(StaffId(uuid::Uuid::nil()), |(_, id)| *id)
    }

    async fn by(&self, staff: StaffId, role: Role, command: Command) -> Result<()> {
        let author = Author { staff, roles: BTreeSet::from([role]), device_code: None };
        self.ledger.execute(self.tenant, &author, &command, None).await.map(|_| ()).map_err(|e| {
            tracing::error!("demo: {command:?}: {e}");
            e
        })
    }

    async fn office(&self, role: Role, command: Command) -> Result<()> {
        self.by(self.staff(role), role, command).await
    }

    fn id(&self) -> uuid::Uuid {
        self.ledger.env().new_id()
    }

    fn item(&self) -> ItemId {
        ItemId(self.id())
    }

    async fn entity(
        &self,
        kind: Kind,
        id: uuid::Uuid,
    ) -> Result<Option<(Entity, Vec<onsite_core::domain::ChangeHash>)>> {
        let doc = DocRef::new(kind, onsite_core::domain::DocId(id));
        let views = self.ledger.storage().views(self.tenant, &[doc.id]).await?;
        views.first().map(|v| Ok((v.entity()?, v.heads.clone()))).transpose()
    }

    /// A dispatched job.
    async fn dispatch(
        &self,
        customer: CustomerId,
        machine: ItemId,
        fault: &str,
        who: &[StaffId],
    ) -> Result<WorkOrderId> {
        let (request, id) = (RequestId(self.id()), WorkOrderId(self.id()));
        let text = String::new;
        self.office(
            Role::Clerk,
            Command::ReportRepair {
                id: request,
                customer: Some(customer),
                customer_name: text(),
                contact_name: text(),
                contact_phone: text(),
                address: text(),
                equipment: Some(machine),
                problem: fault.into(),
                reported: None,
            },
        )
        .await?;
        self.office(
            Role::Clerk,
            Command::OpenWorkOrder {
                id,
                customer,
                equipment: Some(machine),
                work_type: WorkType::Repair,
                request: Some(request),
                follow_on_of: None,
                service_description: fault.into(),
                arrival_deadline: None,
            },
        )
        .await?;
        let patch = DispatchPatch {
            expected_stay_minutes: Some(480),
            cash_advance: Some(Fen(80_000)),
            ..DispatchPatch::default()
        };
        self.office(Role::ServiceManager, Command::PlanDispatch { id, patch }).await?;
        let assign = Command::Assign { id, technicians: who.to_vec(), reason: String::new() };
        self.office(Role::ServiceManager, assign).await?;
        self.office(Role::ServiceManager, Command::IssueDispatch { id }).await?;
        for (sign, role) in [
            (SignoffRole::Warehouse, Role::Warehouse),
            (SignoffRole::ServiceManager, Role::ServiceManager),
            (SignoffRole::Finance, Role::Finance),
            (SignoffRole::OfficeDirector, Role::OfficeDirector),
        ] {
            let Some((Entity::WorkOrder(order), _)) = self.entity(Kind::WorkOrder, id.0).await? else {
                return Err(Error::NotFound(id.to_string()));
            };
            let content = forms_content::dispatch_content(&order);
            self.office(role, Command::SignOff { id, role: sign, content }).await?;
        }
        Ok(id)
    }

    /// The past of a job: done, told, closed, archived.
    async fn finish(&self, id: WorkOrderId, who: StaffId, rate: Satisfaction) -> Result<()> {
        let visit = VisitId::of_dispatch(id, ROUND);
        self.by(who, Role::Technician, Command::OpenVisit { work_order: id }).await?;
        for event in [EventKind::Acknowledged, EventKind::TravelStarted, EventKind::Arrived, EventKind::WorkStarted] {
            self.by(who, Role::Technician, event_of(visit, self.item(), event)).await?;
            self.env.back.fetch_sub(40 * Millis::MINUTE, Ordering::SeqCst);
        }
        for command in day(visit, self.item(), rate) {
            self.by(who, Role::Technician, command).await?;
        }
        let Some((Entity::Visit(v), heads)) = self.entity(Kind::Visit, visit.0).await? else {
            return Err(Error::NotFound(visit.to_string()));
        };
        let content = forms_content::visit_content(&v);
        self.by(who, Role::Technician, sign(visit, heads, content)).await?;
        let told = Command::TellCustomer { id, problem: "故障已排除".into(), solved: true };
        self.office(Role::Clerk, told).await?;
        self.office(Role::Clerk, Command::CloseWorkOrder { id }).await?;
        self.office(Role::Clerk, Command::ArchiveWorkOrder { id }).await
    }
}

fn event_of(visit: VisitId, id: ItemId, event: EventKind) -> Command {
    Command::RecordEvent { visit, id, event, at: None, position: None, corrects: None }
}

/// The work on site up to the signature.
fn day(visit: VisitId, id: ItemId, satisfaction: Satisfaction) -> Vec<Command> {
    let doc = DocRef::new(Kind::Visit, visit);
    let reasons = if satisfaction == Satisfaction::Dissatisfied {
        BTreeSet::from([onsite_core::domain::Dissatisfaction::Speed])
    } else {
        BTreeSet::new()
    };
    vec![
        Command::EditText {
            doc,
            field: "resolution".into(),
            text: "更换密封件并试机两小时,运行正常。".into(),
            seen: vec![],
        },
        event_of(visit, id, EventKind::WorkEnded),
        Command::SetOutcome { visit, outcome: Outcome::Completed, incomplete_reason: None, remarks: String::new() },
        Command::Accept { visit, accepted: true, remark: String::new() },
        Command::Rate { visit, satisfaction, reasons, comment: String::new() },
    ]
}

fn sign(visit: VisitId, heads: Vec<onsite_core::domain::ChangeHash>, content: onsite_core::domain::Sha256) -> Command {
    Command::Sign {
        visit, name: "吴厂长".into(), strokes: Strokes(crate::device::doodle("吴厂长")), heads, content
    }
}

/// A simulated phone.
struct Phone {
    name: &'static str,
    engine: Arc<Mutex<Engine>>,
    client: Client,
}

impl Phone {
    fn with<T>(&self, f: impl FnOnce(&mut Engine) -> onsite_core::Result<T>) -> Result<T> {
        f(&mut self.engine.lock().unwrap_or_else(PoisonError::into_inner)).map_err(Error::Core)
    }

    fn execute(&self, command: &Command) -> Result<()> {
        self.with(|e| e.execute(command).map(|_| ()))
    }

    /// Works a whole job with no network.
    fn work(&self, order: WorkOrderId, sign_it: bool) -> Result<()> {
        let visit = VisitId::of_dispatch(order, ROUND);
        self.execute(&Command::OpenVisit { work_order: order })?;
        for event in [EventKind::Acknowledged, EventKind::TravelStarted, EventKind::Arrived, EventKind::WorkStarted] {
            let id = ItemId(self.with(|e| Ok(e.new_id()))?);
            self.execute(&event_of(visit, id, event))?;
        }
        let id = ItemId(self.with(|e| Ok(e.new_id()))?);
        for command in day(visit, id, Satisfaction::VerySatisfied) {
            self.execute(&command)?;
        }
        if sign_it {
            let shown = self.with(|e| e.to_sign(visit))?;
            self.execute(&sign(visit, shown.heads, shown.content))?;
        }
        println!("  {} 离线完成一单 finished a job offline", self.name);
        Ok(())
    }

    async fn sync(&self) -> Result<()> {
        let r = self.client.sync_once().await.map_err(Error::Core)?;
        println!("  {} 同步 synced: ↑{} ✓{} ↓{}", self.name, r.pushed, r.accepted, r.received);
        Ok(())
    }
}

/// Writes the company's past; answers the office and each customer's first machine.
async fn company(ledger: Ledger, env: Arc<DemoEnv>) -> Result<(Office, Vec<(CustomerId, ItemId)>)> {
    let now = env.now();
    env.back.store(370 * Millis::DAY, Ordering::SeqCst);
    let tenant = ledger.create_tenant(COMPANY).await?.id;
    let mut office = Office { ledger, env, tenant, people: Vec::new(), technicians: Vec::new() };
    for (i, (login, name, role)) in PEOPLE.iter().enumerate() {
        let code = format!("B{:02}", i + 1);
        let id = cli::add_staff(&office.ledger, tenant, name, &code, "", BTreeSet::from([*role])).await?;
        auth::set_password(&office.ledger, tenant, id, login, PASSWORD).await?;
        office.people.push((*role, id));
    }
    for (i, name) in TECHNICIANS.iter().enumerate() {
        let code = format!("S{:02}", i + 1);
        let roles = BTreeSet::from([Role::Technician]);
        office.technicians.push(cli::add_staff(&office.ledger, tenant, name, &code, "", roles).await?);
    }
    let today = Zone { minutes: 480 }.day(now);
    let ago = |days: i32| -> Option<Date> { today.checked_sub(jiff::Span::new().days(days)).ok() };
    let mut customers = Vec::new();
    for i in 0..40usize {
        let (customer, machine) = (CustomerId(office.id()), office.item());
        let days = i32::try_from(i).unwrap_or(0) * 12;
        let completed = ago(400 + days);
        let put = Command::PutCustomer {
            id: customer,
            name: format!("{}{}", PLACES[i % 10], TRADES[i / 10]),
            code: format!("C{:03}", i + 1),
            project_completed: completed,
            call_interval_days: None,
        };
        let contact =
            Contact { name: "吴厂长".into(), phone: format!("029-5550{:04}", 1000 + i), ..Contact::default() };
        let address =
            Address { text: format!("陕西省{}县工业园{}号", PLACES[i % 10], i + 1), ..Address::default() };
        let equipment = Equipment {
            model: format!("ZM-{}000", 3 + i % 4),
            serial: format!("WB{:05}", 20_000 + i),
            name: "纸浆模塑成型机".into(),
            installed: ago(60 + days),
            ..Equipment::default()
        };
        for command in [
            put,
            Command::PutContact { customer, id: office.item(), contact },
            Command::PutAddress { customer, id: office.item(), address },
            Command::PutEquipment { customer, id: machine, equipment },
        ] {
            office.office(Role::Clerk, command).await?;
        }
        if i % 3 == 0 {
            let contract = Contract {
                kind: ContractKind::Annual,
                number: format!("HT-{:03}", i + 1),
                from: ago(200),
                to: ago(-165),
                ..Contract::default()
            };
            office.office(Role::Clerk, Command::PutContract { customer, id: office.item(), contract }).await?;
        }
        customers.push((customer, machine));
    }
    // A year of jobs, eleven days apart, with calls, complaints and ideas.
    for n in 0..32usize {
        let days = 360 - i64::try_from(n).unwrap_or(0) * 11;
        office.env.back.store(days * Millis::DAY, Ordering::SeqCst);
        let (customer, machine) = customers[n % customers.len()];
        let who = office.technicians[n % 6];
        let order = office.dispatch(customer, machine, FAULTS[n % 5], &[who]).await?;
        let rate =
            [Satisfaction::VerySatisfied, Satisfaction::Satisfied, Satisfaction::Neutral, Satisfaction::Dissatisfied];
        office.finish(order, who, rate[if n % 8 == 7 { 3 } else { n % 3 }]).await?;
        if n % 8 == 7 {
            let complaint = Command::FileComplaint {
                id: ComplaintId(office.id()),
                customer,
                work_order: Some(order),
                staff: BTreeSet::from([who]),
                about: ComplaintAbout::LateArrival,
                description: "来得太慢,停产半天。".into(),
                received: None,
            };
            office.office(Role::Clerk, complaint).await?;
        }
        if n % 10 == 5 {
            let title = "成型机滤网改快拆结构".to_owned();
            let (id, text) = (SuggestionId(office.id()), "现场拆洗滤网要四十分钟,改为快拆可减到五分钟。".to_owned());
            office.by(who, Role::Technician, Command::Suggest { id, title, text, work_order: Some(order) }).await?;
        }
        let call = Command::RecordCall {
            id: FollowUpId(office.id()),
            customer,
            due: None,
            outcome: CallOutcome::Normal,
            opinion: "设备正常,希望定期保养。".into(),
            request: None,
        };
        office.office(Role::Clerk, call).await?;
    }
    office.env.back.store(0, Ordering::SeqCst);
    Ok((office, customers))
}

/// Runs the demo. With `--once` it ends after a day that the office has seen.
///
/// # Errors
/// Where something is not as it should be.
pub async fn run(args: DemoArgs) -> Result<()> {
    if args.dir.exists() && std::fs::read_dir(&args.dir)?.next().is_some() {
        return Err(Error::Conflict { code: "not_empty", detail: format!("{} is not empty", args.dir.display()) });
    }
    std::fs::create_dir_all(&args.dir)?;
    let config = Config {
        listen: std::net::SocketAddr::from(([127, 0, 0, 1], args.port)),
        data: args.dir.join("server"),
        ..Config::default()
    };
    std::fs::create_dir_all(&config.data)?;
    let env = Arc::new(DemoEnv::default());
    let storage = crate::open_storage(&config.database_path())?;
    let gate = crate::gate::Gate::workers(&config.gate)?;
    let ledger = Ledger::new(storage, Arc::clone(&env) as Arc<dyn Env>).with_gate(gate);
    println!("正在准备 {COMPANY} 的一年 preparing a year of the company …");
    let (office, customers) = company(ledger.clone(), env).await?;
    let server = crate::serve_with(config, ledger).await?;
    let url = format!("http://{}", server.addr);
    println!("地址 address: {url}");
    for (login, name, role) in PEOPLE {
        println!("  {login} / {PASSWORD}  {name} ({role})");
    }
    let played = play(&office, &customers, &args, &url).await;
    if args.once || played.is_err() {
        server.shutdown().await?;
        return played;
    }
    println!("按 Ctrl-C 结束 Ctrl-C ends");
    let _ = tokio::signal::ctrl_c().await;
    server.shutdown().await
}

async fn play(office: &Office, customers: &[(CustomerId, ItemId)], args: &DemoArgs, url: &str) -> Result<()> {
    let mut phones = Vec::new();
    for (i, name) in TECHNICIANS.iter().enumerate() {
        let folder = args.dir.join(format!("phone-{}", i + 1));
        std::fs::create_dir_all(&folder)?;
        let conn = rusqlite::Connection::open(folder.join("device.sqlite")).map_err(onsite_core::Error::from);
        let blobs = FolderBlobs::open(folder.join("blobs")).map_err(Error::Core)?;
        let engine = Engine::open(conn.map_err(Error::Core)?, Box::new(onsite_core::env::SystemEnv), Box::new(blobs));
        let engine = Arc::new(Mutex::new(engine.map_err(Error::Core)?));
        let client = Client::new(Arc::clone(&engine), "onsite-demo").map_err(Error::Core)?;
        let code = auth::device_code(&office.ledger, office.tenant, office.technicians[i], url, 600).await?;
        client.enrol(url, &code.code, name).await.map_err(Error::Core)?;
        phones.push(Phone { name, engine, client });
    }
    let mut round = 0;
    loop {
        println!("第 {} 天 day {}", round + 1, round + 1);
        let mut orders = Vec::new();
        for (i, phone) in phones.iter().enumerate() {
            let (customer, machine) = customers[(round * 6 + i) % customers.len()];
            // The first job is shared with the second technician.
            let mut who = vec![office.technicians[i]];
            if i == 0 {
                who.push(office.technicians[1]);
            }
            orders.push(office.dispatch(customer, machine, FAULTS[i % 5], &who).await?);
            phone.sync().await?;
        }
        for phone in &phones {
            phone.sync().await?;
        }
        println!("— 全部离线 everybody offline —");
        for (i, phone) in phones.iter().enumerate() {
            phone.work(orders[i], i != 0)?;
        }
        // The second phone writes into the first's visit at the same time.
        let shared = VisitId::of_dispatch(orders[0], ROUND);
        phones[1].execute(&Command::OpenVisit { work_order: orders[0] })?;
        let note = ItemId(phones[1].with(|e| Ok(e.new_id()))?);
        phones[1].execute(&Command::AddNote { visit: shared, id: note, text: "副手:阀组已清洗".into() })?;
        let other = Command::Accept { visit: shared, accepted: false, remark: "客户要求再试机".into() };
        phones[1].execute(&other)?;
        println!("— 恢复网络 network is back —");
        for _ in 0..2 {
            for phone in &phones {
                phone.sync().await?;
            }
        }
        check(office, &phones, &orders).await?;
        println!("办公室已看到全部 {} 单 the office sees all {} jobs", orders.len(), orders.len());
        round += 1;
        if args.once {
            return Ok(());
        }
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(()),
            () = tokio::time::sleep(Duration::from_secs(30)) => {}
        }
    }
}

/// Every job done offline must stand at the office as on its phone.
async fn check(office: &Office, phones: &[Phone], orders: &[WorkOrderId]) -> Result<()> {
    let wrong = |what: String| Error::Internal(format!("demo: {what}"));
    for (order, phone) in orders.iter().zip(phones) {
        let visit = VisitId::of_dispatch(*order, ROUND);
        let there = office.entity(Kind::Visit, visit.0).await?;
        let Some((Entity::Visit(v), heads)) = there else {
            return Err(wrong(format!("the office lacks the visit of {order}")));
        };
        let here = phone.with(|e| e.show(DocRef::new(Kind::Visit, visit)))?;
        if here.heads != heads || here.entity != Entity::Visit(v.clone()) {
            return Err(wrong(format!("{} and the office differ about {visit}", phone.name)));
        }
        if v.outcome != Some(Outcome::Completed) || v.events.is_empty() {
            return Err(wrong(format!("the work on {visit} is not all there")));
        }
        let status = phone.with(|e| e.status())?;
        if status.unsent_changes > 0 || status.refused > 0 {
            return Err(wrong(format!(
                "{} has {} unsent, {} refused",
                phone.name, status.unsent_changes, status.refused
            )));
        }
    }
    let clashes = office.ledger.storage().list(office.tenant, &Query { clashes: true, ..Query::default() }).await?;
    println!("  待选定的冲突 clashes for the office: {}", clashes.len());
    Ok(())
}
