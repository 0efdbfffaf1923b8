//! The office's questions to a company of many work orders: how long each answer takes.

use crate::meter::{self, mb, ms};
use crate::seed;
use crate::table::Row;
use anyhow::{Context as _, Result, ensure};
use onsite_core::domain::{
    Author, CallOutcome, CheckResult, Command, ComplaintAbout, ComplaintId, CustomerId, DeviceId, DispatchPatch, DocId,
    DocRef, Entity, EventKind, ExpenseCategory, Fen, FollowUpId, ItemId, Kind, Millis, Outcome, PayMethod, RequestId,
    Role, Satisfaction, SignoffRole, StaffId, Stamp, Strokes, SuggestionId, TenantId, VisitId, WorkOrderId, WorkType,
    forms_content,
};
use onsite_core::env::Env as _;
use onsite_core::sync::protocol::Account;
use onsite_e2e::world::{Office, PASSWORD, Server};
use onsite_server::ledger::Ledger;
use onsite_server::storage::{Device, DeviceSync};
use onsite_server::{Config, SystemEnv, auth, office};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Names the folder of the page, with what a browser test needs installed.
const PAGE: &str = "OFFICE_PAGE";
/// Target of a screen's first paint.
const PAINTED: f64 = 1_500.0;
/// Target of each answer.
const TARGET: f64 = 200.0;
/// Requests of each kind.
const TIMES: usize = 30;
/// Exports of each kind: a whole list each.
const EXPORTS: usize = 3;
/// Technicians.
const TECHNICIANS: usize = 50;
/// Jobs in one transaction.
const TOGETHER: usize = 25;
/// How far back the jobs reach.
const PAST: i64 = 365 * Millis::DAY;
/// Every so many jobs, one with a complaint.
const COMPLAINTS: usize = 30;
/// Jobs not through yet, the newest.
const OPEN: usize = 300;
/// A login with every office role.
const LOGIN: &str = "boss";

/// A company of so many work orders, and every list, detail and figure of it.
pub(crate) async fn run(orders: usize) -> Result<Vec<Row>> {
    let beside = std::env::current_exe()?.parent().context("no folder")?.to_owned();
    let dir = tempfile::Builder::new().prefix("load-").tempdir_in(beside)?;
    let data = dir.path().join("server");
    let begin = Instant::now();
    let company = Company::found(&data, orders).await?;
    println!("office: a company of {orders} work orders written in {:.0} s", begin.elapsed().as_secs_f64());
    let server = Server::start(&data).await?;
    let office = Office::login(&server, LOGIN, PASSWORD).await?;
    let mut rows = Vec::new();
    for (what, paths) in company.questions() {
        rows.push(measure(&office, &what, &paths).await?);
    }
    match std::env::var_os(PAGE) {
        Some(page) => rows.extend(painted(&server, page.as_ref())?),
        None => println!("office: {PAGE} is not set: the page is not opened"),
    }
    let used = meter::quiet_usage(server.pid()).await?;
    println!("office: the server's memory after all of it: {} (peak {})", mb(used.rss), mb(used.peak));
    Ok(rows)
}

/// Asks, by turns where there are several addresses; the first answer warms up and counts too.
async fn measure(office: &Office, what: &str, paths: &[String]) -> Result<Row> {
    let mut took: Vec<Duration> = Vec::new();
    let mut bytes = 0;
    let export = paths.first().is_some_and(|path| path.starts_with("/api/export/"));
    for n in 0..if export { EXPORTS } else { TIMES } {
        let path = paths.get(n % paths.len()).context("no address")?;
        let begin = Instant::now();
        let (status, body) = office.request("GET", path, None).await?;
        took.push(begin.elapsed());
        bytes = body.len().max(bytes);
        ensure!(status == 200, "{path}: {status} {body}");
    }
    took.sort_unstable();
    let (median, worst) = (took[took.len() / 2], took[took.len() - 1]);
    let measured = format!("{:.1} ms, worst {:.1} ms; {:.1} KB", ms(median), ms(worst), bytes as f64 / 1e3);
    println!("  {what}: {measured}");
    if export {
        return Ok(Row::figure(what, measured, ""));
    }
    Ok(Row::at_most(format!("{what} ≤ {TARGET:.0} ms"), measured, ms(worst), TARGET))
}

/// A screen in a browser, as `first-paint.mjs` tells of it, in milliseconds.
#[derive(serde::Deserialize)]
struct Painted {
    path: String,
    painted: f64,
    filled: f64,
}

/// Opens screens in a real browser that has never seen the page.
fn painted(server: &Server, page: &std::path::Path) -> Result<Vec<Row>> {
    let url = format!("http://{}", server.addr);
    let script = ["scripts/first-paint.mjs", &url, LOGIN, PASSWORD];
    let out = std::process::Command::new("node").current_dir(page).args(script).output().context("no node")?;
    ensure!(out.status.success(), "first-paint.mjs: {}", String::from_utf8_lossy(&out.stderr));
    let mut rows = Vec::new();
    for line in String::from_utf8_lossy(&out.stdout).lines() {
        let Painted { path, painted, filled } = serde_json::from_str(line)?;
        let measured = format!("{painted:.0} ms, its content after {filled:.0} ms (worst of 5, nothing cached)");
        println!("  page {path}: {measured}");
        rows.push(Row::at_most(format!("first paint of {path} ≤ {PAINTED:.0} ms"), measured, painted, PAINTED));
    }
    Ok(rows)
}

struct Company {
    ledger: Ledger,
    tenant: TenantId,
    office: Author,
    technicians: Vec<Author>,
    customers: Vec<(CustomerId, ItemId)>,
    orders: Vec<WorkOrderId>,
    devices: Vec<DeviceId>,
    now: Millis,
}

fn item() -> ItemId {
    ItemId(Uuid::now_v7())
}

/// One job of a batch.
struct Job {
    n: usize,
    order: WorkOrderId,
    visit: VisitId,
    customer: CustomerId,
    machine: ItemId,
    staff: StaffId,
}

impl Company {
    async fn found(data: &std::path::Path, orders: usize) -> Result<Self> {
        let config = Config { data: data.to_owned(), ..Config::default() };
        let ledger = onsite_server::open(&config).await?;
        let tenant = ledger.create_tenant("负载试验").await?.id;
        office::open_company(&ledger, tenant, "负载试验").await?;
        let roles: BTreeSet<Role> = Role::ALL.iter().copied().filter(|r| *r != Role::Technician).collect();
        let boss = office::add_staff(&ledger, tenant, "王经理", "B01", "", roles.clone()).await?;
        auth::set_password(&ledger, tenant, boss, LOGIN, PASSWORD).await?;
        let mut company = Self {
            tenant,
            office: Author { staff: boss, roles, device_code: None },
            technicians: Vec::new(),
            customers: seed::customers(&ledger, tenant, boss).await?,
            orders: Vec::new(),
            devices: Vec::new(),
            now: SystemEnv.now(),
            ledger,
        };
        for n in 0..TECHNICIANS {
            company.technician(n).await?;
        }
        let all: Vec<usize> = (0..orders).collect();
        for part in all.chunks(TOGETHER) {
            company.jobs(part, orders).await?;
        }
        company.calls().await?;
        Ok(company)
    }

    async fn technician(&mut self, n: usize) -> Result<()> {
        let roles: BTreeSet<Role> = [Role::Technician].into();
        let (name, code) = (format!("李工{n}"), format!("T{n:04}"));
        let staff = office::add_staff(&self.ledger, self.tenant, &name, &code, "", roles.clone()).await?;
        self.technicians.push(Author { staff, roles, device_code: None });
        let id = DeviceId(Uuid::now_v7());
        let device = Device {
            id,
            staff,
            code: format!("D{n}"),
            name: "手机".into(),
            public_key: vec![0; 32],
            alg: "ed25519".into(),
            app: "1.0".into(),
            enrolled: self.now.plus(-PAST),
            revoked: None,
        };
        let sync = DeviceSync {
            device: id,
            contact: self.now,
            app: "1.0".into(),
            offset: 0,
            cursor: String::new(),
            account: Account::default(),
            pushes: 0,
            last_push: Vec::new(),
            own_upto: 0,
        };
        self.ledger.storage().put_device(self.tenant, device).await?;
        self.ledger.storage().put_device_sync(self.tenant, sync).await?;
        self.devices.push(id);
        Ok(())
    }

    async fn by(&self, author: &Author, commands: &[Command], at: Millis) -> Result<()> {
        self.ledger.execute_at(self.tenant, author, commands, at).await?;
        Ok(())
    }

    /// Some jobs: reported, dispatched, signed off; all but the newest also done, signed, closed and archived.
    async fn jobs(&mut self, part: &[usize], of: usize) -> Result<()> {
        let first = i64::try_from(part.first().copied().unwrap_or(0))?;
        let at = self.now.plus(-PAST + PAST * first / i64::try_from(of.max(1))?);
        let technician = part.first().map_or(0, |n| n / TOGETHER) % self.technicians.len();
        let site = self.technicians.get(technician).context("no technician")?.clone();
        let job = |n: usize| {
            let order = WorkOrderId(Uuid::now_v7());
            let (customer, machine) = self.customers[n % self.customers.len()];
            Job { n, order, visit: VisitId::of_dispatch(order, 1), customer, machine, staff: site.staff }
        };
        let jobs: Vec<Job> = part.iter().map(|n| job(*n)).collect();
        let done: Vec<&Job> = jobs.iter().filter(|j| j.n + OPEN < of).collect();
        // Of those still open, some are planned only, some wait for signatures, some are dispatched.
        let issued: Vec<&Job> = jobs.iter().filter(|j| j.n + OPEN < of || !j.n.is_multiple_of(4)).collect();
        let signed: Vec<&Job> = issued.iter().copied().filter(|j| j.n + OPEN < of || j.n.is_multiple_of(2)).collect();

        let opened: Vec<Command> = jobs.iter().flat_map(|j| dispatched(j, at)).collect();
        self.by(&self.office, &opened, at).await?;
        let issue: Vec<Command> = issued.iter().map(|j| Command::IssueDispatch { id: j.order }).collect();
        self.by(&self.office, &issue, at).await?;
        let mut signatures = Vec::new();
        for view in self.ledger.storage().views(self.tenant, &ids(signed.iter().map(|j| j.order))).await? {
            let Entity::WorkOrder(order) = view.entity()? else { continue };
            let (id, content) = (view.summary.doc.id.into(), forms_content::dispatch_content(&order));
            signatures.extend(SignoffRole::ALL.iter().map(|role| Command::SignOff { id, role: *role, content }));
            signatures.push(Command::PayAdvance { id });
        }
        self.by(&self.office, &signatures, at).await?;
        let arrival = at.plus(5 * 60 * Millis::MINUTE);
        let work: Vec<Command> = done.iter().flat_map(|j| worked(j, arrival)).collect();
        self.by(&site, &work, arrival.plus(4 * 60 * Millis::MINUTE)).await?;
        let mut shown = Vec::new();
        for view in self.ledger.storage().views(self.tenant, &ids(done.iter().map(|j| j.visit))).await? {
            let Entity::Visit(visit) = view.entity()? else { continue };
            shown.push(Command::Sign {
                visit: view.summary.doc.id.into(),
                name: "张三".into(),
                strokes: Strokes("10,10 200,90 300,40;40,200 80,260".into()),
                heads: view.heads,
                content: forms_content::visit_content(&visit),
            });
        }
        let evening = arrival.plus(5 * 60 * Millis::MINUTE);
        self.by(&site, &shown, evening).await?;
        let closed: Vec<Command> = done.iter().flat_map(|j| closed(j)).collect();
        self.by(&self.office, &closed, evening.plus(Millis::DAY)).await?;
        let mut said = Vec::new();
        for j in done.iter().filter(|j| j.n.is_multiple_of(COMPLAINTS)) {
            said.push(Command::FileComplaint {
                id: ComplaintId(Uuid::now_v7()),
                customer: j.customer,
                work_order: Some(j.order),
                staff: [j.staff].into(),
                about: ComplaintAbout::ALL[j.n / COMPLAINTS % ComplaintAbout::ALL.len()],
                description: "说好上午到,下午才来。".into(),
                received: None,
            });
        }
        self.by(&self.office, &said, evening.plus(Millis::DAY)).await?;
        if first % 250 == 0 {
            let id = SuggestionId(Uuid::now_v7());
            let idea =
                Command::Suggest { id, title: "加过滤网".into(), text: "少堵塞。".into(), work_order: None };
            self.by(&site, &[idea], evening).await?;
        }
        self.orders.extend(jobs.iter().map(|j| j.order));
        Ok(())
    }

    /// Four follow-up calls to every customer.
    async fn calls(&self) -> Result<()> {
        for round in 1..=4 {
            let at = self.now.plus(-PAST / 4 * round);
            let call = |(customer, _): &(CustomerId, ItemId)| Command::RecordCall {
                id: FollowUpId(Uuid::now_v7()),
                customer: *customer,
                due: None,
                outcome: CallOutcome::Normal,
                opinion: "设备正常。".into(),
                request: None,
            };
            let calls: Vec<Command> = self.customers.iter().map(call).collect();
            for part in calls.chunks(4 * TOGETHER) {
                self.by(&self.office, part, at).await?;
            }
        }
        Ok(())
    }

    /// What the office asks, each with its addresses.
    fn questions(&self) -> Vec<(String, Vec<String>)> {
        let spread = |n: usize| (0..n).filter_map(move |i| self.orders.get(self.orders.len() * i / n));
        let orders: Vec<WorkOrderId> = spread(15).copied().collect();
        let of = |prefix: &str, suffix: &str, ids: &mut dyn Iterator<Item = String>| -> Vec<String> {
            ids.map(|id| format!("{prefix}{id}{suffix}")).collect()
        };
        let visits = || orders.iter().map(|o| VisitId::of_dispatch(*o, 1).to_string());
        let people = || self.technicians.iter().map(|t| t.staff.to_string());
        let week = |n: i64| {
            let from = self.now.plus(-n * 30 * Millis::DAY);
            format!("/api/calendar?from={}&to={}", from.0, from.plus(7 * Millis::DAY).0)
        };
        let day = |ms: i64| onsite_core::domain::Zone { minutes: 480 }.day(self.now.plus(ms)).to_string();
        let (year, today) = (day(-PAST), day(0));
        let one = |path: &str| vec![path.to_owned()];
        let documents = |query: &str| vec![format!("/api/documents?{query}")];
        let mut all = vec![
            ("today", one("/api/today")),
            ("board", one("/api/board")),
            ("board of a person", of("/api/board?person=", "", &mut people())),
            ("board, search", one("/api/board?search=%E5%AF%86%E5%B0%81%E5%9C%88&limit=20")),
            ("calendar, a week", (0..10).map(week).collect()),
            ("list of work orders", documents("kind=work_order&limit=100")),
            ("list of a stage", documents("kind=work_order&status=archived&limit=100")),
            ("list of a person's jobs", of("/api/documents?kind=work_order&limit=100&person=", "", &mut people())),
            ("list of visits", documents("kind=visit&limit=100")),
            ("list of customers", documents("kind=customer&limit=100")),
            ("search of a word in every job", documents("search=%E5%AF%86%E5%B0%81%E5%9C%88&limit=50")),
            ("search of a number", documents("search=WO-2&limit=50")),
            ("search of a telephone", documents("search=13800000117&limit=50")),
            ("work order", of("/api/work-orders/", "", &mut orders.iter().map(ToString::to_string))),
            ("timeline", of("/api/work-orders/", "/timeline", &mut orders.iter().map(ToString::to_string))),
            ("visit", of("/api/visits/", "", &mut visits())),
            ("customer", of("/api/customers/", "", &mut self.customers.iter().map(|c| c.0.to_string()))),
            ("calls due", one("/api/calls")),
            ("proposals", one("/api/proposals")),
            ("proposals to be decided", one("/api/proposals?open=true")),
            ("figures of a year", vec![format!("/api/figures?from={year}&to={today}")]),
            ("figures of a person", of(&format!("/api/figures?from={year}&to={today}&staff="), "", &mut people())),
            ("trend by month", vec![format!("/api/figures/trend?from={year}&to={today}&by=month")]),
            ("cases of a figure", vec![format!("/api/figures/jobs?figure=on_time_arrival&from={year}&to={today}")]),
            ("devices", one("/api/devices")),
            ("device", of("/api/devices/", "", &mut self.devices.iter().map(ToString::to_string))),
            ("clashes", one("/api/clashes")),
            ("refused edits", one("/api/set-aside")),
            ("audit chain, newest", one("/api/audit?descending=true")),
        ];
        all.extend([
            ("export of work orders, CSV", one("/api/export/work-orders?form=csv")),
            ("export of customers, XLSX", one("/api/export/customers?form=xlsx")),
        ]);
        // Only visits that there are: those of the newest orders were never begun.
        all.iter_mut().filter(|(what, _)| *what == "visit").for_each(|(_, paths)| paths.truncate(10));
        all.into_iter().map(|(what, paths)| (what.to_owned(), paths)).collect()
    }
}

fn ids<T: Into<DocId>>(all: impl Iterator<Item = T>) -> Vec<DocId> {
    all.map(Into::into).collect()
}

fn dispatched(j: &Job, at: Millis) -> Vec<Command> {
    let (id, request) = (j.order, RequestId(Uuid::now_v7()));
    let problem = format!("第{}号:主泵漏油,液压站压力不足,需更换密封圈", j.n);
    let patch = DispatchPatch {
        expected_stay_minutes: Some(240),
        cash_advance: Some(Fen(80_000)),
        balance_to_collect: Some(Fen(1_250_000)),
        planned_start: Some(at.plus(4 * 60 * Millis::MINUTE)),
        arrival_deadline: Some(at.plus(6 * 60 * Millis::MINUTE)),
        ..DispatchPatch::default()
    };
    vec![
        Command::ReportRepair {
            id: request,
            customer: Some(j.customer),
            customer_name: String::new(),
            contact_name: "张三".into(),
            contact_phone: "029-88886666".into(),
            address: String::new(),
            equipment: Some(j.machine),
            problem: problem.clone(),
            reported: None,
        },
        Command::OpenWorkOrder {
            id,
            customer: j.customer,
            equipment: Some(j.machine),
            work_type: WorkType::Repair,
            request: Some(request),
            follow_on_of: None,
            service_description: problem,
            arrival_deadline: None,
        },
        Command::PlanDispatch { id, patch },
        Command::Assign { id, technicians: vec![j.staff], reason: String::new() },
    ]
}

fn worked(j: &Job, arrival: Millis) -> Vec<Command> {
    let visit = j.visit;
    let mut commands = vec![Command::OpenVisit { work_order: j.order }];
    // Every seventh comes late.
    let late = if j.n.is_multiple_of(7) { 120 } else { 0 };
    for (event, minutes) in [
        (EventKind::Acknowledged, -180),
        (EventKind::TravelStarted, -120),
        (EventKind::Arrived, late),
        (EventKind::WorkStarted, late + 5),
        (EventKind::WorkEnded, late + 95),
        (EventKind::Restored, late + 95),
        (EventKind::Departed, late + 110),
    ] {
        let at = Some(Stamp::exact(arrival.plus(minutes * Millis::MINUTE)));
        commands.push(Command::RecordEvent { visit, id: item(), event, at, position: None, corrects: None });
    }
    let check =
        |check: &str| Command::Inspect { visit, check: check.into(), result: CheckResult::Passed, note: String::new() };
    commands.extend(["model", "quantity", "label"].map(check));
    let unhappy = j.n.is_multiple_of(40);
    commands.extend([
        Command::EditText {
            doc: DocRef::new(Kind::Visit, visit),
            field: "resolution".into(),
            text: "现场检查:液压站压力不足,更换密封圈后恢复正常。".into(),
            seen: Vec::new(),
        },
        Command::TakePayment {
            visit,
            id: item(),
            amount: Fen(1_250_000),
            method: PayMethod::Transfer,
            reference: String::new(),
        },
        Command::Spend {
            visit,
            id: item(),
            amount: Fen(6_000),
            category: ExpenseCategory::Travel,
            note: String::new(),
        },
        Command::SetOutcome { visit, outcome: Outcome::Completed, incomplete_reason: None, remarks: String::new() },
        Command::Accept { visit, accepted: true, remark: String::new() },
        Command::Rate {
            visit,
            satisfaction: if unhappy { Satisfaction::Neutral } else { Satisfaction::VerySatisfied },
            reasons: BTreeSet::new(),
            comment: if unhappy { "希望再快些。".into() } else { String::new() },
        },
    ]);
    commands
}

fn closed(j: &Job) -> Vec<Command> {
    let id = j.order;
    let mut commands = vec![
        Command::TellCustomer { id, problem: "密封圈老化".into(), solved: true },
        Command::CloseWorkOrder { id },
        Command::ArchiveWorkOrder { id },
    ];
    if j.n.is_multiple_of(40) && !j.n.is_multiple_of(400) {
        commands.push(Command::AnalyseOpinion { id, visit: j.visit, text: "增加备件".into() });
    }
    commands
}
