//! The company of the demo: forty customers, a year of jobs over four
//! quarters and more, and a present with a job at every stage.

use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::storage::View;
use crate::{auth, office};
use onsite_core::domain::appraisal::Key;
use onsite_core::domain::{
    Address, AppraisalId, Author, CallOutcome, CataloguePart, ChangeHash, Channel, CheckResult, Command,
    ComplaintAbout, ComplaintId, Contact, Contract, ContractKind, CustomerId, Date, Decision, DispatchPatch,
    Dissatisfaction, DocId, DocRef, Entitlement, Entity, Equipment, EventKind, ExpenseCategory, Fen, FollowUpId,
    IncompleteReason, ItemId, Kind, Millis, Outcome, PayMethod, Quarter, RequestId, ReturnStep, Role, Rule,
    Satisfaction, SettingsPatch, Severity, Sha256, SignoffRole, StaffId, Stamp, StatementId, Strokes, SuggestionId,
    TenantId, VisitId, WorkOrderId, WorkType, Zone, forms_content,
};
use onsite_core::env::Env;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// The first dispatch of a work order.
pub(super) const ROUND: u32 = 1;
pub(super) const PASSWORD: &str = "onsite-demo";
pub(super) const COMPANY: &str = "渭北纸模机械有限公司";
pub(super) const PEOPLE: [(&str, &str, Role); 7] = [
    ("admin", "何志远", Role::Admin),
    ("clerk", "刘芳", Role::Clerk),
    ("manager", "王建国", Role::ServiceManager),
    ("warehouse", "陈库生", Role::Warehouse),
    ("finance", "周丽", Role::Finance),
    ("director", "孙明德", Role::OfficeDirector),
    ("production", "高铁军", Role::Production),
];
pub(super) const TECHNICIANS: [&str; 6] = ["李卫东", "赵敏", "马强", "杨小龙", "郭海涛", "张三"];
const CUSTOMERS: usize = 40;
const PLACES: [&str; 10] = ["三原", "礼泉", "泾阳", "兴平", "武功", "蒲城", "富平", "大荔", "眉县", "洛川"];
const NAMES: [&str; 8] = ["华丰", "金穗", "绿源", "恒通", "兴业", "秦川", "长青", "永盛"];
const TRADES: [&str; 4] = ["蛋托包装厂", "果托有限公司", "纸塑餐具厂", "工业包装公司"];
const FAMILY: [&str; 10] = ["吴", "郑", "冯", "蒋", "韩", "曹", "许", "邓", "萧", "田"];
const POSTS: [&str; 4] = ["厂长", "设备科长", "车间主任", "电工班长"];
const MACHINES: [(&str, &str); 4] =
    [("ZM-3000", "纸浆模塑成型机"), ("ZM-6000", "全自动成型机"), ("RY-200", "热压整形机"), ("HX-12", "六层烘干线")];
const PARTS: [(&str, &str, &str, i64); 5] = [
    ("MF-032", "真空阀密封圈", "个", 3_500),
    ("JR-110", "热压板加热管", "根", 26_000),
    ("LT-08", "烘干线链条", "米", 8_800),
    ("ZC-6205", "碎浆机轴承", "套", 12_000),
    ("WK-2", "温控表", "块", 32_000),
];
/// What breaks, what it was, what was done, and the part it takes.
pub(super) const FAULTS: [(&str, &str, &str, usize); 6] = [
    ("成型机真空不足,湿坯脱落", "真空阀密封圈老化漏气", "更换密封圈,清洗阀组,试机两小时真空稳定。", 0),
    ("热压机温度不稳", "上压板一根加热管断路", "更换加热管,校准温控表,连续压制五十模合格。", 1),
    ("烘干线链条跳齿", "链条拉长,张紧轮卡死", "更换链条两米,调整张紧轮。", 2),
    ("碎浆机异响", "主轴轴承磨损", "更换轴承并重新对中,空载、带料各试一小时。", 3),
    ("温控表不显示", "温控表进水", "更换温控表,接线盒加装防水圈。", 4),
    ("转移辊定位偏差", "气缸节流阀松动", "重新调整节流阀并锁紧,定位误差在一毫米内。", 0),
];
const OPINIONS: [&str; 4] =
    ["设备正常,希望定期保养。", "运行良好,师傅讲解很清楚。", "产量比去年高了。", "希望备件能常备一些。"];

/// The system's clock, held still while the past is written.
#[derive(Debug, Default)]
pub(super) struct DemoEnv {
    held: AtomicI64,
}

impl DemoEnv {
    /// Holds the clock at a moment, or lets it run for `None`.
    pub(super) fn hold(&self, at: Option<Millis>) {
        self.held.store(at.map_or(0, |m| m.0), Ordering::SeqCst);
    }
}

impl Env for DemoEnv {
    fn now(&self) -> Millis {
        match self.held.load(Ordering::SeqCst) {
            0 => crate::SystemEnv.now(),
            held => Millis(held),
        }
    }
    fn fill(&self, buf: &mut [u8]) {
        // Ids and secrets stay the system's: only what the company is comes from the seed.
        crate::SystemEnv.fill(buf);
    }
}

/// Dice of a seed: the same content for the same seed, whatever libraries do (SplitMix64).
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn of(seed: u64) -> Self {
        Self(seed)
    }
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    /// A number below `n`.
    pub(super) fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n.max(1) as u64).unwrap_or(0)
    }
    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
    fn minutes(&mut self, from: usize, to: usize) -> i64 {
        i64::try_from(from + self.below(to - from)).unwrap_or(0) * Millis::MINUTE
    }
}

/// A customer with a machine.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub(super) customer: CustomerId,
    pub(super) machine: ItemId,
    pub(super) name: String,
    pub(super) contact: String,
}

/// The company's office, as the demo acts in it.
pub(super) struct Office {
    pub(super) ledger: Ledger,
    pub(super) env: Arc<DemoEnv>,
    pub(super) tenant: TenantId,
    pub(super) people: Vec<(Role, StaffId)>,
    pub(super) technicians: Vec<StaffId>,
    pub(super) sites: Vec<Site>,
    pub(super) dice: Dice,
}

/// How a job of the past went.
struct Went {
    fault: usize,
    who: StaffId,
    /// Milliseconds from the report to the arrival.
    arrives: i64,
    /// When the customer is first spoken to, from the report; `None`: on arrival.
    speaks: Option<i64>,
    rate: Satisfaction,
    /// 货物检查
    checks: bool,
    work_type: WorkType,
    /// 尾款
    balance: Fen,
}

impl Office {
    pub(super) fn staff(&self, role: Role) -> StaffId {
        self.people.iter().find(|(r, _)| *r == role).map_or(StaffId(uuid::Uuid::nil()), |(_, id)| *id)
    }

    /// Commands of one person, as one transaction.
    async fn by(&self, staff: StaffId, role: Role, commands: &[Command]) -> Result<()> {
        let author = Author { staff, roles: BTreeSet::from([role]), device_code: None };
        match self.ledger.execute_all(self.tenant, &author, commands).await {
            Ok(_) => Ok(()),
            Err(e) => {
                tracing::error!("demo: {commands:?}: {e}");
                Err(e)
            }
        }
    }

    pub(super) async fn office(&self, role: Role, commands: &[Command]) -> Result<()> {
        self.by(self.staff(role), role, commands).await
    }

    fn id(&self) -> uuid::Uuid {
        self.ledger.env().new_id()
    }

    fn item(&self) -> ItemId {
        ItemId(self.id())
    }

    fn wait(&self, ms: i64) {
        self.env.hold(Some(self.env.now().plus(ms)));
    }

    pub(super) async fn view(&self, doc: impl Into<DocId>) -> Result<View> {
        let doc = doc.into();
        let found = self.ledger.storage().views(self.tenant, &[doc]).await?.pop();
        found.ok_or_else(|| Error::NotFound(format!("the demo's document {doc}")))
    }

    /// A repair reported and its work order opened. `deadline` counts from the report.
    async fn open(&mut self, site: &Site, fault: &str, work_type: WorkType, deadline: i64) -> Result<WorkOrderId> {
        let (request, id) = (RequestId(self.id()), WorkOrderId(self.id()));
        let report = Command::ReportRepair {
            id: request,
            customer: Some(site.customer),
            customer_name: String::new(),
            contact_name: site.contact.clone(),
            contact_phone: String::new(),
            address: String::new(),
            equipment: Some(site.machine),
            problem: fault.into(),
            reported: None,
        };
        let open = Command::OpenWorkOrder {
            id,
            customer: site.customer,
            equipment: Some(site.machine),
            work_type,
            request: (work_type == WorkType::Repair).then_some(request),
            follow_on_of: None,
            service_description: fault.into(),
            arrival_deadline: Some(self.env.now().plus(deadline)),
        };
        // An installation follows from the sale, nobody reports it.
        let commands = if work_type == WorkType::Repair { vec![report, open] } else { vec![open] };
        self.office(Role::Clerk, &commands).await?;
        Ok(id)
    }

    /// Form 1 filled in and issued.
    async fn issue(&mut self, id: WorkOrderId, part: usize, who: &[StaffId], balance: Fen) -> Result<()> {
        let (part_no, name, unit, _) = PARTS[part];
        let required = 2;
        let item = self.item();
        let patch = DispatchPatch {
            planned_start: Some(self.env.now().plus(60 * Millis::MINUTE)),
            expected_stay_minutes: Some([240, 480, 1_440][self.dice.below(3)]),
            cash_advance: Some(Fen([50_000, 80_000, 150_000][self.dice.below(3)])),
            balance_to_collect: Some(balance),
            ..DispatchPatch::default()
        };
        let commands = [
            Command::PlanDispatch { id, patch },
            Command::RequireItem {
                id,
                item,
                part_no: part_no.into(),
                name: name.into(),
                unit: unit.into(),
                required,
                removed: false,
            },
            Command::Assign { id, technicians: who.to_vec(), reason: String::new() },
            Command::IssueDispatch { id },
        ];
        self.office(Role::ServiceManager, &commands).await?;
        self.office(Role::Warehouse, &[Command::IssueItem { id, item, quantity: required }]).await
    }

    /// The first so many of the four signatures under form 1; with all, finance pays the advance.
    async fn sign_off(&self, id: WorkOrderId, count: usize) -> Result<()> {
        let places = [
            (SignoffRole::Warehouse, Role::Warehouse),
            (SignoffRole::ServiceManager, Role::ServiceManager),
            (SignoffRole::Finance, Role::Finance),
            (SignoffRole::OfficeDirector, Role::OfficeDirector),
        ];
        let Entity::WorkOrder(order) = self.view(id).await?.entity()? else {
            return Err(Error::NotFound(id.to_string()));
        };
        let content = forms_content::dispatch_content(&order);
        for (place, role) in places.into_iter().take(count) {
            let mut commands = vec![Command::SignOff { id, role: place, content }];
            if role == Role::Finance {
                commands.push(Command::PayAdvance { id });
            }
            self.office(role, &commands).await?;
        }
        Ok(())
    }

    /// A job dispatched with everything on it.
    pub(super) async fn dispatch(&mut self, site: &Site, fault: usize, who: &[StaffId]) -> Result<WorkOrderId> {
        let id = self.open(site, FAULTS[fault].0, WorkType::Repair, 48 * 60 * Millis::MINUTE).await?;
        self.issue(id, FAULTS[fault].3, who, Fen(120_000)).await?;
        self.sign_off(id, 4).await?;
        Ok(id)
    }

    async fn technician(&self, who: StaffId, commands: &[Command]) -> Result<()> {
        self.by(who, Role::Technician, commands).await
    }

    /// The customer signs what stands there.
    async fn signed(&self, who: StaffId, visit: VisitId, name: &str) -> Result<()> {
        let view = self.view(visit).await?;
        let Entity::Visit(v) = view.entity()? else { return Err(Error::NotFound(visit.to_string())) };
        let command = sign(visit, name, view.heads, forms_content::visit_content(&v));
        self.technician(who, &[command]).await
    }

    /// A job of the past from the report to the archive. Answers it.
    async fn past(&mut self, site: &Site, went: &Went) -> Result<WorkOrderId> {
        let reported = self.env.now();
        let (fault, found, done, part) = FAULTS[went.fault];
        let fault = if went.work_type == WorkType::Installation { "新机安装调试" } else { fault };
        let id = self.open(site, fault, went.work_type, 24 * 60 * Millis::MINUTE).await?;
        self.wait(20 * Millis::MINUTE);
        self.issue(id, part, &[went.who], went.balance).await?;
        self.sign_off(id, 4).await?;
        let visit = VisitId::of_dispatch(id, ROUND);
        let mut commands = vec![Command::OpenVisit { work_order: id }];
        let arrived = reported.plus(went.arrives);
        let at = |ms: i64| Some(Stamp::exact(arrived.plus(ms)));
        for (event, offset) in [
            (EventKind::Acknowledged, -120),
            (EventKind::TravelStarted, -90),
            (EventKind::Arrived, 0),
            (EventKind::WorkStarted, 15),
        ] {
            let id = self.item();
            let at = at(offset * Millis::MINUTE);
            commands.push(Command::RecordEvent { visit, id, event, at, position: None, corrects: None });
        }
        let spoken = went.speaks.map_or(arrived, |ms| reported.plus(ms));
        commands.push(Command::LogContact {
            visit,
            id: self.item(),
            channel: Channel::Phone,
            with: site.contact.clone(),
            summary: "说明到达时间,确认故障现象。".into(),
            at: Some(Stamp::exact(spoken)),
        });
        if went.checks {
            for check in ["model", "quantity", "label", "packaging"] {
                let result = CheckResult::Passed;
                commands.push(Command::Inspect { visit, check: check.into(), result, note: String::new() });
            }
        }
        let doc = DocRef::new(Kind::Visit, visit);
        let worked = self.dice.minutes(60, 300);
        let text =
            |field: &str, text: &str| Command::EditText { doc, field: field.into(), text: text.into(), seen: vec![] };
        commands.extend([text("diagnosis", found), text("resolution", done)]);
        for (event, ms) in [
            (EventKind::WorkEnded, worked),
            (EventKind::Restored, worked),
            (EventKind::Departed, worked + 30 * Millis::MINUTE),
        ] {
            let id = self.item();
            commands.push(Command::RecordEvent { visit, id, event, at: at(ms), position: None, corrects: None });
        }
        let Entity::WorkOrder(order) = self.view(id).await?.entity()? else {
            return Err(Error::NotFound(id.to_string()));
        };
        if let Some((item, i)) = order.dispatch.items.iter().next() {
            commands.push(Command::UseItem {
                visit,
                item: *item,
                part_no: i.part_no.clone(),
                name: i.name.clone(),
                unit: i.unit.clone(),
                used: i.required,
                taken_back: 0,
            });
        }
        commands.extend(result(visit, went.rate));
        if went.balance != Fen(0) {
            let (id, reference) = (self.item(), format!("SJ-{:04}", self.dice.below(10_000)));
            let method = self.dice.pick(&[PayMethod::Cash, PayMethod::Transfer, PayMethod::Qr]);
            commands.push(Command::TakePayment { visit, id, amount: went.balance, method, reference });
        }
        let (spend, note) = (self.item(), "往返车费".to_owned());
        let amount = Fen(i64::try_from(self.dice.below(200)).unwrap_or(0) * 100 + 3_000);
        commands.push(Command::Spend { visit, id: spend, amount, category: ExpenseCategory::Travel, note });
        self.env.hold(Some(arrived.plus(worked + 20 * Millis::MINUTE)));
        self.technician(went.who, &commands).await?;
        self.signed(went.who, visit, &site.contact).await?;
        self.wait(3 * 60 * Millis::MINUTE);
        if went.balance != Fen(0) {
            let booking =
                Command::Book { id, booking: self.item(), receipt: None, amount: went.balance, what: "尾款".into() };
            self.office(Role::Finance, &[booking]).await?;
        }
        let told = Command::TellCustomer { id, problem: found.into(), solved: true };
        self.office(Role::Clerk, &[told, Command::CloseWorkOrder { id }, Command::ArchiveWorkOrder { id }]).await?;
        Ok(id)
    }
}

/// The result, the customer's confirmation and rating.
pub(super) fn result(visit: VisitId, satisfaction: Satisfaction) -> Vec<Command> {
    let unhappy = satisfaction == Satisfaction::Dissatisfied;
    let reasons = if unhappy { BTreeSet::from([Dissatisfaction::Speed]) } else { BTreeSet::new() };
    let comment = if unhappy { "来得太慢。" } else { "" }.to_owned();
    vec![
        Command::SetOutcome { visit, outcome: Outcome::Completed, incomplete_reason: None, remarks: String::new() },
        Command::Accept { visit, accepted: true, remark: String::new() },
        Command::Rate { visit, satisfaction, reasons, comment },
    ]
}

pub(super) fn sign(visit: VisitId, name: &str, heads: Vec<ChangeHash>, content: Sha256) -> Command {
    Command::Sign { visit, name: name.into(), strokes: Strokes(crate::device::doodle(name)), heads, content }
}

/// Writes the company as it stands at `now`: people, customers, the year and the present.
pub(super) async fn company(ledger: Ledger, env: Arc<DemoEnv>, seed: u64, now: Millis) -> Result<Office> {
    let zone = Zone { minutes: 480 };
    let today = zone.day(now);
    env.hold(Some(now.plus(-420 * Millis::DAY)));
    let tenant = ledger.create_tenant(COMPANY).await?.id;
    office::open_company(&ledger, tenant, COMPANY).await?;
    let mut office = Office {
        ledger,
        env,
        tenant,
        people: Vec::new(),
        technicians: Vec::new(),
        sites: Vec::new(),
        dice: Dice::of(seed),
    };
    for (i, (_, name, role)) in PEOPLE.iter().enumerate() {
        let (code, phone) = (format!("B{:02}", i + 1), format!("029-5551{:04}", 800 + i));
        let id = office::add_staff(&office.ledger, tenant, name, &code, &phone, BTreeSet::from([*role])).await?;
        office.people.push((*role, id));
    }
    for (i, name) in TECHNICIANS.iter().enumerate() {
        let (code, phone) = (format!("S{:02}", i + 1), format!("1390913{:04}", 2_000 + office.dice.below(7_000)));
        let roles = BTreeSet::from([Role::Technician]);
        office.technicians.push(office::add_staff(&office.ledger, tenant, name, &code, &phone, roles).await?);
    }
    let parts = PARTS.map(|(no, name, unit, price)| {
        (no.to_owned(), CataloguePart { name: name.into(), unit: unit.into(), price: Fen(price) })
    });
    let patch = SettingsPatch { parts: parts.into(), ..SettingsPatch::default() };
    office.office(Role::Admin, &[Command::ChangeSettings(patch)]).await?;
    customers(&mut office, today).await?;
    year(&mut office, now).await?;
    present(&mut office, now).await?;
    calls(&mut office, now, today).await?;
    office.env.hold(None);
    Ok(office)
}

/// Gives the office's people their login names.
pub(super) async fn logins(office: &Office) -> Result<()> {
    for (login, _, role) in PEOPLE {
        auth::set_password(&office.ledger, office.tenant, office.staff(role), login, PASSWORD).await?;
    }
    Ok(())
}

/// Forty customers: machines in and out of warranty, contracts of each kind.
async fn customers(office: &mut Office, today: Date) -> Result<()> {
    let ago = |days: i64| today.checked_sub(jiff::Span::new().days(days)).ok();
    for i in 0..CUSTOMERS {
        let (customer, machine) = (CustomerId(office.id()), office.item());
        let name = format!("{}{}{}", PLACES[i % 10], office.dice.pick(&NAMES), TRADES[i / 10]);
        let contact = format!("{}{}", office.dice.pick(&FAMILY), office.dice.pick(&POSTS));
        // Every third machine is younger than the company's year of warranty.
        let age = match i % 3 {
            0 => 30 + i64::try_from(office.dice.below(250)).unwrap_or(0),
            _ => 450 + i64::try_from(office.dice.below(900)).unwrap_or(0),
        };
        let (model, kind) = office.dice.pick(&MACHINES);
        let equipment = |model: &str, kind: &str, serial: String, installed| Equipment {
            model: model.into(),
            serial,
            name: kind.into(),
            installed,
            ..Equipment::default()
        };
        let mut commands = vec![
            Command::PutCustomer {
                id: customer,
                name: name.clone(),
                code: format!("C{:03}", i + 1),
                project_completed: ago(age),
                call_interval_days: (i % 10 == 0).then_some(60),
            },
            Command::PutContact {
                customer,
                id: office.item(),
                contact: Contact {
                    name: contact.clone(),
                    phone: format!("029-5550{:04}", 1_000 + office.dice.below(9_000)),
                    ..Contact::default()
                },
            },
            Command::PutAddress {
                customer,
                id: office.item(),
                address: Address {
                    text: format!("陕西省{}县工业园{}号", PLACES[i % 10], 1 + office.dice.below(90)),
                    ..Address::default()
                },
            },
            Command::PutEquipment {
                customer,
                id: machine,
                equipment: equipment(model, kind, format!("WB{:05}", 20_000 + i), ago(age)),
            },
        ];
        if i % 4 == 1 {
            let second = equipment("HX-12", "六层烘干线", format!("WB{:05}", 30_000 + i), ago(age + 200));
            commands.push(Command::PutEquipment { customer, id: office.item(), equipment: second });
        }
        let contract = match i % 5 {
            1 => Some((ContractKind::Annual, ago(100), ago(-265), None)),
            2 => Some((ContractKind::PerVisit, ago(300), None, None)),
            3 => Some((ContractKind::Annual, ago(150), ago(-215), Some(machine))),
            // One that has run out.
            4 if i % 2 == 0 => Some((ContractKind::Annual, ago(500), ago(135), None)),
            _ => None,
        };
        if let Some((kind, from, to, equipment)) = contract {
            let contract = Contract { kind, number: format!("HT-{:03}", i + 1), from, to, equipment, removed: false };
            commands.push(Command::PutContract { customer, id: office.item(), contract });
        }
        if i % 6 == 2 {
            let (id, amount) = (office.item(), Fen(1_200_000));
            commands.push(Command::Charge { customer, id, amount, what: "设备尾款".into() });
        }
        office.office(Role::Clerk, &commands).await?;
        office.sites.push(Site { customer, machine, name, contact });
    }
    Ok(())
}

/// Jobs every nine days for more than four quarters, with complaints under
/// each rule, suggestions, decisions taken and still open.
async fn year(office: &mut Office, now: Millis) -> Result<()> {
    const HOUR: i64 = 60 * Millis::MINUTE;
    const JOBS: usize = 44;
    let zone = Zone { minutes: 480 };
    for n in 0..JOBS {
        let day = zone.day(now.plus(-(400 - i64::try_from(n).unwrap_or(0) * 9) * Millis::DAY));
        office.env.hold(Some(zone.at(day, 8, 0).plus(office.dice.minutes(0, 100))));
        let site = office.sites[(n * 7) % CUSTOMERS].clone();
        let who = office.technicians[n % 6];
        let complaint = match n {
            9 | 31 => Some(ComplaintAbout::LateArrival),
            14 | 38 => Some(ComplaintAbout::Communication),
            20 | 40 => Some(ComplaintAbout::GoodsNotInspected),
            26 => Some(ComplaintAbout::Other),
            _ => None,
        };
        let slow = matches!(complaint, Some(ComplaintAbout::LateArrival | ComplaintAbout::Communication));
        let rate = [Satisfaction::VerySatisfied, Satisfaction::Satisfied, Satisfaction::Neutral];
        let went = Went {
            fault: office.dice.below(FAULTS.len()),
            who,
            arrives: if slow { 31 * HOUR } else { 2 * HOUR + office.dice.minutes(0, 240) },
            speaks: if slow { Some(30 * HOUR) } else { Some(HOUR) },
            rate: if complaint.is_some() { Satisfaction::Dissatisfied } else { office.dice.pick(&rate) },
            checks: n % 4 == 0 || complaint == Some(ComplaintAbout::GoodsNotInspected),
            work_type: if n % 8 == 4 { WorkType::Installation } else { WorkType::Repair },
            balance: if n % 6 == 2 { Fen(350_000) } else { Fen(0) },
        };
        let order = office.past(&site, &went).await?;
        if let Some(about) = complaint {
            complain(office, n, &site, order, who, about).await?;
        }
        if matches!(n, 5 | 17 | 28 | 36) {
            suggest(office, n, order, who).await?;
        }
        if n % 3 == 1 {
            let call = Command::RecordCall {
                id: FollowUpId(office.id()),
                customer: site.customer,
                due: None,
                outcome: CallOutcome::Normal,
                opinion: office.dice.pick(&OPINIONS).into(),
                request: None,
            };
            office.office(Role::Clerk, &[call]).await?;
        }
    }
    // 奖励规则1: one quiet quarter is rewarded, the others wait for the manager.
    office.env.hold(Some(now.plus(-6 * Millis::DAY)));
    let quarter = Quarter::of(zone.day(now)).previous();
    let quiet = quiet(office, quarter).await?;
    if let Some(staff) = quiet.first() {
        let key = Key::Quarter(quarter, *staff);
        appraise(office, key, Decision::Confirmed, None, Fen(50_000), false, "本季度无客户投诉。").await?;
    }
    Ok(())
}

/// Technicians without a complaint in a quarter.
async fn quiet(office: &Office, quarter: Quarter) -> Result<Vec<StaffId>> {
    let zone = Zone { minutes: 480 };
    let query = crate::storage::Query { kind: Some(Kind::Complaint), limit: 1000, ..Default::default() };
    let mut loud = BTreeSet::new();
    for view in office.ledger.storage().list(office.tenant, &query).await? {
        if let Entity::Complaint(c) = view.entity()?
            && c.received.is_some_and(|r| quarter.start(zone) <= r.best() && r.best() < quarter.end(zone))
        {
            loud.extend(c.staff.iter().copied());
        }
    }
    Ok(office.technicians.iter().copied().filter(|t| !loud.contains(t)).collect())
}

async fn appraise(
    office: &Office,
    key: Key,
    decision: Decision,
    severity: Option<Severity>,
    amount: Fen,
    major: bool,
    reason: &str,
) -> Result<()> {
    let command = Command::Appraise {
        id: AppraisalId(office.id()),
        proposal: key.to_string(),
        decision,
        severity,
        amount,
        major,
        reason: reason.into(),
    };
    office.office(Role::ServiceManager, &[command]).await
}

/// A complaint; the first under each rule is decided, the second waits.
async fn complain(
    office: &Office,
    n: usize,
    site: &Site,
    order: WorkOrderId,
    who: StaffId,
    about: ComplaintAbout,
) -> Result<()> {
    let (rule, text) = match about {
        ComplaintAbout::LateArrival => (Rule::LateArrival, "来得太慢,停产一天半。"),
        ComplaintAbout::Communication => (Rule::NotCommunicated, "报修后一天多没有人联系我们。"),
        ComplaintAbout::GoodsNotInspected => (Rule::NotInspected, "送来的加热管型号不对,当场没人发现。"),
        ComplaintAbout::Other => (Rule::LateArrival, "离开时没有清理现场。"),
    };
    let id = ComplaintId(office.id());
    office.wait(Millis::DAY);
    let file = Command::FileComplaint {
        id,
        customer: site.customer,
        work_order: Some(order),
        staff: BTreeSet::from([who]),
        about,
        description: text.into(),
        received: None,
    };
    office.office(Role::Clerk, &[file]).await?;
    office.wait(Millis::DAY);
    if about == ComplaintAbout::Other {
        let resolve = Command::ResolveComplaint { id, dismiss: true, reason: "照片显示现场已清理。".into() };
        return office.office(Role::ServiceManager, &[resolve]).await;
    }
    let text = "前一单延误,已在路上电话说明。".to_owned();
    let reply = Command::State { id: StatementId(office.id()), complaint: Some(id), proposal: None, text };
    office.technician(who, &[reply]).await?;
    let key = Key::Penalty(rule, id, who);
    match n {
        9 => {
            appraise(office, key, Decision::Confirmed, Some(Severity::Moderate), Fen(-20_000), false, "超时限七小时。")
                .await?
        }
        14 => appraise(office, key, Decision::Waived, Some(Severity::Minor), Fen(0), false, "当日山区无信号。").await?,
        20 => {
            appraise(office, key, Decision::Confirmed, Some(Severity::Minor), Fen(-10_000), false, "验货走过场。")
                .await?
        }
        // The later ones are open.
        _ => return Ok(()),
    }
    let resolve = Command::ResolveComplaint { id, dismiss: false, reason: "已上门致歉。".into() };
    office.office(Role::ServiceManager, &[resolve]).await
}

/// An improvement idea: one adopted as a major one, one adopted, one declined, one open.
async fn suggest(office: &Office, n: usize, order: WorkOrderId, who: StaffId) -> Result<()> {
    let (title, text) = match n {
        5 => ("成型机滤网改快拆结构", "现场拆洗滤网要四十分钟,改为快拆可减到五分钟。"),
        17 => ("加热管出厂前贴型号标签", "现场常分不清两种加热管,贴标签可避免装错。"),
        28 => ("所有螺丝改为内六角", "统一规格,工具可少带一半。"),
        _ => ("烘干线加装链条张力指示", "跳齿前能看出链条松了。"),
    };
    let id = SuggestionId(office.id());
    office
        .technician(who, &[Command::Suggest { id, title: title.into(), text: text.into(), work_order: Some(order) }])
        .await?;
    office.wait(2 * Millis::DAY);
    let key = Key::Suggestion(id);
    match n {
        5 => appraise(office, key, Decision::Adopted, None, Fen(200_000), true, "已改图纸,全系列采用。").await,
        17 => appraise(office, key, Decision::Adopted, None, Fen(20_000), false, "仓库照办。").await,
        28 => appraise(office, key, Decision::Declined, None, Fen(0), false, "成本过高。").await,
        _ => Ok(()),
    }
}

/// A job at every stage of the flow chart.
async fn present(office: &mut Office, now: Millis) -> Result<()> {
    const HOUR: i64 = 60 * Millis::MINUTE;
    let begin = now.plus(-30 * HOUR);
    let mut n = 30;
    let mut next = |office: &Office| {
        n += 1;
        office.sites[n % CUSTOMERS].clone()
    };
    // 已报修, and one taken back.
    office.env.hold(Some(now.plus(-2 * HOUR)));
    for withdrawn in [false, false, true] {
        let (site, id) = (next(office), RequestId(office.id()));
        let report = Command::ReportRepair {
            id,
            customer: Some(site.customer),
            customer_name: String::new(),
            contact_name: site.contact.clone(),
            contact_phone: String::new(),
            address: String::new(),
            equipment: Some(site.machine),
            problem: FAULTS[office.dice.below(FAULTS.len())].0.into(),
            reported: None,
        };
        office.office(Role::Clerk, &[report]).await?;
        if withdrawn {
            office.office(Role::Clerk, &[Command::WithdrawRequest { id, reason: "客户自行修好。".into() }]).await?;
        }
    }
    // 待派工
    let site = next(office);
    office.open(&site, FAULTS[1].0, WorkType::Repair, 40 * HOUR).await?;
    let site = next(office);
    office.open(&site, "新机安装调试", WorkType::Installation, 90 * HOUR).await?;
    // 待签字: two of four.
    let (site, who) = (next(office), office.technicians[5]);
    let order = office.open(&site, FAULTS[3].0, WorkType::Repair, 30 * HOUR).await?;
    office.issue(order, 3, &[who], Fen(0)).await?;
    office.sign_off(order, 2).await?;
    // From 已派工 to 已取消, each a step further than the one before.
    let steps = [
        "dispatched",
        "acknowledged",
        "travelling",
        "on_site",
        "awaiting_customer",
        "completed",
        "incomplete",
        "customer_told",
        "closed",
        "cancelled",
    ];
    for (i, step) in steps.into_iter().enumerate() {
        office.env.hold(Some(begin.plus(i64::try_from(i).unwrap_or(0) * HOUR)));
        let (site, who) = (next(office), office.technicians[i % 6]);
        let fault = i % FAULTS.len();
        let order = office.dispatch(&site, fault, &[who]).await?;
        if step == "cancelled" {
            office.wait(HOUR);
            let reason = "客户停产检修,改期。".to_owned();
            office.office(Role::ServiceManager, &[Command::CancelWorkOrder { id: order, reason }]).await?;
            continue;
        }
        at_stage(office, &site, order, fault, who, step).await?;
    }
    Ok(())
}

/// Brings a dispatched job to a stage.
async fn at_stage(
    office: &mut Office,
    site: &Site,
    order: WorkOrderId,
    fault: usize,
    who: StaffId,
    step: &str,
) -> Result<()> {
    if step == "dispatched" {
        return Ok(());
    }
    let visit = VisitId::of_dispatch(order, ROUND);
    let event = |office: &Office, event| {
        let id = office.item();
        Command::RecordEvent { visit, id, event, at: None, position: None, corrects: None }
    };
    office.wait(30 * Millis::MINUTE);
    let first = [Command::OpenVisit { work_order: order }, event(office, EventKind::Acknowledged)];
    office.technician(who, &first).await?;
    if step == "acknowledged" {
        return Ok(());
    }
    office.wait(40 * Millis::MINUTE);
    office.technician(who, &[event(office, EventKind::TravelStarted)]).await?;
    if step == "travelling" {
        return Ok(());
    }
    office.wait(80 * Millis::MINUTE);
    let on_site = [event(office, EventKind::Arrived), event(office, EventKind::WorkStarted)];
    office.technician(who, &on_site).await?;
    if step == "on_site" {
        let note = Command::AddNote { visit, id: office.item(), text: "已停机断电,开始拆检。".into() };
        return office.technician(who, &[note]).await;
    }
    office.wait(150 * Millis::MINUTE);
    let doc = DocRef::new(Kind::Visit, visit);
    let text =
        |field: &str, text: &str| Command::EditText { doc, field: field.into(), text: text.into(), seen: vec![] };
    let (_, found, done, _) = FAULTS[fault];
    let mut commands = vec![text("diagnosis", found), event(office, EventKind::WorkEnded)];
    if step == "incomplete" {
        commands.push(Command::SetOutcome {
            visit,
            outcome: Outcome::Incomplete,
            incomplete_reason: Some(IncompleteReason::ReturnForRepair),
            remarks: "主轴座裂纹,现场无法修复,整机返厂。".into(),
        });
        commands.push(Command::Accept { visit, accepted: false, remark: "等返修后再验收".into() });
    } else {
        commands.push(text("resolution", done));
        commands.extend(result(visit, Satisfaction::Satisfied));
    }
    office.technician(who, &commands).await?;
    if step == "awaiting_customer" {
        return Ok(());
    }
    office.signed(who, visit, &site.contact).await?;
    if step == "completed" {
        return Ok(());
    }
    office.wait(HOUR_LATER);
    if step == "incomplete" {
        let follow_on = Command::OpenWorkOrder {
            id: WorkOrderId(office.id()),
            customer: site.customer,
            equipment: Some(site.machine),
            work_type: WorkType::Repair,
            request: None,
            follow_on_of: Some(order),
            service_description: "返修完成后送回安装".into(),
            arrival_deadline: None,
        };
        office.office(Role::Clerk, &[follow_on]).await?;
        let received = Command::MoveReturnedMachine { id: order, step: ReturnStep::Received };
        return office.office(Role::Production, &[received]).await;
    }
    office.office(Role::Clerk, &[Command::TellCustomer { id: order, problem: found.into(), solved: true }]).await?;
    if step == "customer_told" {
        let override_it = Command::OverrideEntitlement {
            id: order,
            entitlement: Entitlement::InWarranty,
            reason: "上次维修未满三个月,按保内处理。".into(),
        };
        return office.office(Role::ServiceManager, &[override_it]).await;
    }
    // The warehouse takes back what was not used, then nothing stands against closing.
    let Entity::WorkOrder(w) = office.view(order).await?.entity()? else { return Ok(()) };
    let back: Vec<Command> = w
        .dispatch
        .items
        .iter()
        .map(|(item, i)| Command::TakeBackItem { id: order, item: *item, quantity: i.issued.0 })
        .collect();
    office.office(Role::Warehouse, &back).await?;
    office.office(Role::Clerk, &[Command::CloseWorkOrder { id: order }]).await
}

const HOUR_LATER: i64 = 60 * Millis::MINUTE;

/// Most customers were called lately; some calls are due, some overdue.
async fn calls(office: &mut Office, now: Millis, today: Date) -> Result<()> {
    let later = |days: i64| today.checked_add(jiff::Span::new().days(days)).ok();
    for i in 0..CUSTOMERS {
        let customer = office.sites[i].customer;
        if i % 8 == 3 {
            // Not called for a long time: the plan itself says overdue.
            continue;
        }
        office.env.hold(Some(now.plus(-(20 + i64::try_from(i).unwrap_or(0)) * Millis::DAY)));
        let outcome = if i % 13 == 6 { CallOutcome::Unreachable } else { CallOutcome::Normal };
        let opinion = if outcome == CallOutcome::Normal { office.dice.pick(&OPINIONS) } else { "" };
        let call = Command::RecordCall {
            id: FollowUpId(office.id()),
            customer,
            due: None,
            outcome,
            opinion: opinion.into(),
            request: None,
        };
        let mut commands = vec![call];
        if i % 8 == 5 {
            commands.push(Command::PlanCall { customer, due: later([0, 1, -4][i / 8 % 3]) });
        }
        office.office(Role::Clerk, &commands).await?;
    }
    Ok(())
}
