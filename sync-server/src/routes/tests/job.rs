//! One job with everything on it, and how answers about it are told in snapshots.

use super::World;
use onsite_core::document::{Actor, Change, Doc};
use onsite_core::domain::{
    Address, Author, Command, ComplaintAbout, ComplaintId, Contact, CustomerId, DeviceId, DispatchPatch,
    Dissatisfaction, DocId, DocRef, Entity, Equipment, EventKind, ExpenseCategory, Fen, IncompleteReason, ItemId, Kind,
    Millis, Outcome, PayMethod, RequestId, Role, Satisfaction, SignoffRole, StaffId, Strokes, SuggestionId, VisitId,
    WorkOrderId, WorkType, Write, forms_content,
};
use onsite_core::env::Env as _;
use onsite_core::sync::protocol::{Account, Push, SyncAnswer, SyncRequest};
use serde_json::Value;

/// A job, the people around it, and the cookie of somebody with every office role.
pub(super) struct Job {
    pub(super) cookie: String,
    pub(super) boss: Author,
    pub(super) technician: Author,
    pub(super) customer: CustomerId,
    pub(super) machine: ItemId,
    pub(super) order: WorkOrderId,
    pub(super) visit: VisitId,
    pub(super) complaint: ComplaintId,
}

impl Job {
    /// A further work order for its customer.
    pub(super) fn opens(&self, id: WorkOrderId, work_type: WorkType, what: &str, deadline: Option<Millis>) -> Command {
        Command::OpenWorkOrder {
            id,
            customer: self.customer,
            equipment: None,
            work_type,
            request: None,
            follow_on_of: None,
            service_description: what.into(),
            arrival_deadline: deadline,
        }
    }
}

impl World {
    fn item(&self) -> ItemId {
        ItemId(self.env.new_id())
    }

    pub(super) async fn done(&self, by: &Author, commands: &[Command]) {
        for command in commands {
            self.env.advance(1000);
            if let Err(e) = self.app.ledger.execute(self.tenant, by, command, None).await {
                panic!("{command:?}: {e}");
            }
        }
    }

    pub(super) async fn entity(&self, doc: impl Into<DocId>) -> Entity {
        self.app.ledger.storage().views(self.tenant, &[doc.into()]).await.unwrap().pop().unwrap().entity().unwrap()
    }

    /// A job that was signed off, changed since, left incomplete on site, signed by the customer, changed
    /// since, and complained about.
    pub(super) async fn job(&self) -> Job {
        let office = [
            Role::Admin,
            Role::Clerk,
            Role::ServiceManager,
            Role::Warehouse,
            Role::Finance,
            Role::OfficeDirector,
            Role::Production,
        ];
        let boss = self.office("boss", &office).await;
        let boss = Author { staff: boss, roles: office.into(), device_code: None };
        let li = self.staff(self.tenant, "李卫东", &[Role::Technician]).await;
        let technician = Author { staff: li, roles: [Role::Technician].into(), device_code: Some("A1".into()) };
        let (customer, machine) = (CustomerId(self.env.new_id()), self.item());
        let (request, order) = (RequestId(self.env.new_id()), WorkOrderId(self.env.new_id()));
        let visit = VisitId::of_dispatch(order, 1);
        let deadline = self.env.now().plus(60 * Millis::MINUTE);
        let contact = Contact { name: "吴厂长".into(), phone: "029-88886666".into(), ..Contact::default() };
        let address = Address { text: "陕西省三原县工业园".into(), ..Address::default() };
        let equipment = Equipment {
            model: "ZM-3000".into(),
            serial: "WB0001".into(),
            name: "成型机".into(),
            installed: Some("2025-06-01".parse().unwrap()),
            ..Equipment::default()
        };
        let patch = DispatchPatch {
            expected_stay_minutes: Some(240),
            cash_advance: Some(Fen(80_000)),
            balance_to_collect: Some(Fen(1_250_000)),
            arrival_deadline: Some(deadline),
            planned_start: Some(deadline.plus(-30 * Millis::MINUTE)),
            ..DispatchPatch::default()
        };
        let required = self.item();
        let setup = vec![
            Command::PutCustomer {
                id: customer,
                name: "宏远纸塑".into(),
                code: "C1".into(),
                project_completed: Some("2025-06-01".parse().unwrap()),
                call_interval_days: None,
            },
            Command::PutContact { customer, id: self.item(), contact },
            Command::PutAddress { customer, id: self.item(), address },
            Command::PutEquipment { customer, id: machine, equipment },
            Command::Charge { customer, id: self.item(), amount: Fen(5_000_000), what: "设备尾款".into() },
            Command::ReportRepair {
                id: request,
                customer: Some(customer),
                customer_name: String::new(),
                contact_name: "吴厂长".into(),
                contact_phone: "029-88886666".into(),
                address: String::new(),
                equipment: Some(machine),
                problem: "成型机真空不足,湿坯脱落".into(),
                reported: None,
            },
            Command::OpenWorkOrder {
                id: order,
                customer,
                equipment: Some(machine),
                work_type: WorkType::Repair,
                request: Some(request),
                follow_on_of: None,
                service_description: "检查真空系统".into(),
                arrival_deadline: None,
            },
            Command::PlanDispatch { id: order, patch },
            Command::RequireItem {
                id: order,
                item: required,
                part_no: "MF-032".into(),
                name: "真空阀密封圈".into(),
                unit: "个".into(),
                required: 2,
                removed: false,
            },
            Command::Assign { id: order, technicians: vec![li], reason: String::new() },
            Command::IssueDispatch { id: order },
        ];
        self.done(&boss, &setup).await;
        let content = match self.entity(order).await {
            Entity::WorkOrder(w) => forms_content::dispatch_content(&w),
            other => panic!("{other:?}"),
        };
        let sign = |role| Command::SignOff { id: order, role, content };
        let raised = DispatchPatch { cash_advance: Some(Fen(90_000)), ..DispatchPatch::default() };
        self.done(&boss, &[sign(SignoffRole::Warehouse), sign(SignoffRole::ServiceManager)]).await;
        self.done(&boss, &[Command::PlanDispatch { id: order, patch: raised }]).await;
        let content = match self.entity(order).await {
            Entity::WorkOrder(w) => forms_content::dispatch_content(&w),
            other => panic!("{other:?}"),
        };
        let again = Command::SignOff { id: order, role: SignoffRole::ServiceManager, content };
        let issue = Command::IssueItem { id: order, item: required, quantity: 2 };
        self.done(&boss, &[again, issue]).await;

        self.done(&technician, &[Command::OpenVisit { work_order: order }]).await;
        for (event, minutes) in [
            (EventKind::Acknowledged, 1),
            (EventKind::TravelStarted, 10),
            (EventKind::Arrived, 80),
            (EventKind::WorkStarted, 5),
            (EventKind::WorkEnded, 120),
            (EventKind::Departed, 15),
        ] {
            self.env.advance(minutes * Millis::MINUTE);
            let id = self.item();
            let event = Command::RecordEvent { visit, id, event, at: None, position: None, corrects: None };
            self.done(&technician, &[event]).await;
        }
        let text = |text: &str| Command::EditText {
            doc: DocRef::new(Kind::Visit, visit),
            field: "resolution".into(),
            text: text.into(),
            seen: Vec::new(),
        };
        let photo = Command::AddPhoto {
            doc: DocRef::new(Kind::Visit, visit),
            id: self.item(),
            blob: onsite_core::domain::Sha256([7; 32]),
            size: 1234,
            media_type: "image/jpeg".into(),
            caption: "阀体".into(),
            check: None,
        };
        let spend = Command::Spend {
            visit,
            id: self.item(),
            amount: Fen(12_000),
            category: ExpenseCategory::Travel,
            note: "高铁".into(),
        };
        let paid = Command::TakePayment {
            visit,
            id: self.item(),
            amount: Fen(250_000),
            method: PayMethod::Qr,
            reference: String::new(),
        };
        let outcome = Command::SetOutcome {
            visit,
            outcome: Outcome::Incomplete,
            incomplete_reason: Some(IncompleteReason::ReturnForRepair),
            remarks: "阀体返厂".into(),
        };
        let accept = Command::Accept { visit, accepted: false, remark: "等返修".into() };
        let rate = Command::Rate {
            visit,
            satisfaction: Satisfaction::Dissatisfied,
            reasons: [Dissatisfaction::Speed].into(),
            comment: "来得太慢".into(),
        };
        let day = [text("更换密封圈,仍漏气"), photo, spend, paid, outcome, accept, rate];
        self.done(&technician, &day).await;
        let view = self.app.ledger.storage().views(self.tenant, &[visit.into()]).await.unwrap().pop().unwrap();
        let Entity::Visit(shown) = view.entity().unwrap() else { panic!("no visit") };
        let sign = Command::Sign {
            visit,
            name: "吴厂长".into(),
            strokes: Strokes("1,1 5,5".into()),
            heads: view.heads,
            content: forms_content::visit_content(&shown),
        };
        self.done(&technician, &[sign, text("更换密封圈,仍漏气,阀体返厂")]).await;
        let complaint = ComplaintId(self.env.new_id());
        let filed = Command::FileComplaint {
            id: complaint,
            customer,
            work_order: Some(order),
            staff: [li].into(),
            about: ComplaintAbout::LateArrival,
            description: "说好上午到,下午才来".into(),
            received: None,
        };
        let suggestion = Command::Suggest {
            id: SuggestionId(self.env.new_id()),
            title: "阀体加过滤网".into(),
            text: "能少一半堵塞。".into(),
            work_order: Some(order),
        };
        self.done(&boss, &[filed]).await;
        self.done(&technician, &[suggestion]).await;
        let cookie = self.cookie("boss").await;
        Job { cookie, boss, technician, customer, machine, order, visit, complaint }
    }

    pub(super) async fn get(&self, path: &str, cookie: &str) -> Value {
        let answer = self.call("GET", path, &[("cookie", cookie)], "").await;
        assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
        answer.json()
    }

    /// A document as it stands.
    pub(super) async fn doc(&self, id: impl Into<DocId>) -> Doc {
        self.app.ledger.document(self.tenant, id.into()).await.unwrap()
    }

    /// A message of a phone.
    pub(super) async fn sync(&self, token: &str, doc: DocRef, changes: Vec<Change>) -> SyncAnswer {
        let push = Push {
            doc: doc.id,
            kind: doc.kind,
            changes: changes.into_iter().map(|c| c.bytes.into()).collect(),
            sealed: None,
        };
        let request = SyncRequest {
            v: 1,
            app: "test 1.0".into(),
            clock: self.env.now().plus(-1500),
            push: vec![push],
            account: Account { changes: 2, documents: 9, ..Account::default() },
            ..SyncRequest::default()
        };
        let headers = [("authorization", token), ("content-type", "application/cbor")];
        let body = minicbor_serde::to_vec(&request).unwrap();
        let answer = self.call("POST", "/v1/sync", &headers, body).await.good(200);
        minicbor_serde::from_slice(&answer.body).unwrap()
    }
}

/// A change of a phone to a document.
pub(super) fn written(doc: &mut Doc, device: DeviceId, by: StaffId, at: Millis, entity: Entity, id: DocId) -> Change {
    let actor = Actor { device, incarnation: [3; 8] };
    doc.write(actor, by, at, &[Write::Put(id, entity)]).unwrap().unwrap()
}

/// JSON for a snapshot: ids and hashes by the order in which they first appear.
pub(super) fn told(json: &Value) -> String {
    fn walk(value: &mut Value, seen: &mut Vec<String>) {
        let mut name = |text: &str| -> Option<String> {
            let kind = match text.len() {
                36 if uuid::Uuid::parse_str(text).is_ok() => "id",
                64 if text.bytes().all(|b| b.is_ascii_hexdigit()) => "hash",
                _ => return None,
            };
            let n = seen.iter().position(|s| s == text).unwrap_or_else(|| {
                seen.push(text.to_owned());
                seen.len() - 1
            });
            Some(format!("{kind} {n}"))
        };
        match value {
            Value::String(text) => {
                let parts: Vec<String> =
                    text.split(':').map(|part| name(part).unwrap_or_else(|| part.to_owned())).collect();
                *text = parts.join(":");
                let parts: Vec<String> =
                    text.split('/').map(|part| name(part).unwrap_or_else(|| part.to_owned())).collect();
                *text = parts.join("/");
            }
            Value::Array(all) => all.iter_mut().for_each(|v| walk(v, seen)),
            Value::Object(map) => {
                for (key, mut inner) in std::mem::take(map) {
                    let mut key = Value::String(key);
                    walk(&mut key, seen);
                    walk(&mut inner, seen);
                    if let Value::String(key) = key {
                        map.insert(key, inner);
                    }
                }
            }
            _ => {}
        }
    }
    let mut json = json.clone();
    walk(&mut json, &mut Vec::new());
    serde_json::to_string_pretty(&json).unwrap()
}
