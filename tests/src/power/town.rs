//! A company without a network: its real ledger, and phones that are real engines.

use anyhow::{Context as _, Result, bail, ensure};
use onsite_core::domain::command::DispatchPatch;
use onsite_core::domain::{
    Address, Author, Command, Contact, CustomerId, DeviceId, DocRef, Equipment, EventKind, ItemId, Kind, Millis,
    RequestId, Role, Sha256, StaffId, TenantId, VisitId, WorkOrderId, WorkType,
};
use onsite_core::engine::Engine;
use onsite_core::env::{Env as _, SeededEnv};
use onsite_core::store::blobs::{Blobs, Incoming, name_of};
use onsite_core::sync::protocol::{EnrolAnswer, SyncRequest};
use onsite_core::sync::session::{Effect, Event, Failure, Session as Sync, SessionOptions, SyncReport};
use onsite_server::ledger::{Ledger, Session};
use onsite_server::storage::{Device, Storage};
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) const NOON: Millis = Millis(1_764_000_000_000);

const OFFICE: [Role; 7] = [
    Role::Admin,
    Role::Clerk,
    Role::ServiceManager,
    Role::Warehouse,
    Role::Finance,
    Role::OfficeDirector,
    Role::Production,
];

/// A company on a ledger.
pub(crate) struct Town {
    pub(crate) ledger: Ledger,
    pub(crate) env: Arc<SeededEnv>,
    pub(crate) tenant: TenantId,
    pub(crate) boss: Author,
    pub(crate) technicians: Vec<StaffId>,
    pub(crate) customer: CustomerId,
    pub(crate) machine: ItemId,
}

impl Town {
    /// A new company with two technicians and a customer.
    pub(crate) async fn found(storage: Arc<dyn Storage>, seed: u64) -> Result<Self> {
        let env = Arc::new(SeededEnv::new(seed, NOON));
        let ledger = Ledger::new(storage, env.clone());
        let tenant = ledger.create_tenant("浆模设备公司").await?.id;
        let boss = Author { staff: StaffId(env.new_id()), roles: OFFICE.into(), device_code: None };
        let technicians = vec![StaffId(env.new_id()), StaffId(env.new_id())];
        let (customer, machine) = (CustomerId(env.new_id()), ItemId(env.new_id()));
        let town = Self { ledger, env, tenant, boss, technicians, customer, machine };
        let staff = |id, name: &str, code: &str, roles: &[Role]| Command::PutStaff {
            id,
            name: name.into(),
            code: code.into(),
            phone: "13900001111".into(),
            roles: roles.iter().copied().collect(),
        };
        let contact = Contact { name: "张三".into(), phone: "029-88886666".into(), ..Contact::default() };
        let address = Address { text: "西安市高新区 8 号".into(), ..Address::default() };
        let equipment = Equipment {
            model: "HK-2000".into(),
            serial: "SN-1".into(),
            name: "纸浆模塑成型机".into(),
            ..Equipment::default()
        };
        let name = "西安纸托厂".into();
        for command in [
            staff(town.boss.staff, "赵主任", "B1", &OFFICE),
            staff(town.technicians[0], "李工", "T1", &[Role::Technician]),
            staff(town.technicians[1], "王工", "T2", &[Role::Technician]),
            Command::PutCustomer {
                id: customer,
                name,
                code: "C-1".into(),
                project_completed: None,
                call_interval_days: None,
            },
            Command::PutContact { customer, id: town.item(), contact },
            Command::PutAddress { customer, id: town.item(), address },
            Command::PutEquipment { customer, id: machine, equipment },
        ] {
            town.office(&command).await?;
        }
        Ok(town)
    }

    /// The same company over another storage that holds it.
    pub(crate) fn over(&self, storage: Arc<dyn Storage>, seed: u64) -> Self {
        let env = Arc::new(SeededEnv::new(seed, self.env.now().plus(1000)));
        Self {
            ledger: Ledger::new(storage, env.clone()),
            env,
            tenant: self.tenant,
            boss: self.boss.clone(),
            technicians: self.technicians.clone(),
            customer: self.customer,
            machine: self.machine,
        }
    }

    pub(crate) fn item(&self) -> ItemId {
        ItemId(self.env.new_id())
    }

    /// Does a command as the office; answers the log's last number.
    pub(crate) async fn office(&self, command: &Command) -> Result<u64> {
        self.env.advance(1_000);
        let done = self.ledger.execute(self.tenant, &self.boss, command, None).await;
        Ok(done.with_context(|| format!("{command:?}"))?.head)
    }

    /// The commands that make a job for these people.
    pub(crate) fn job(&self, technicians: &[StaffId]) -> (WorkOrderId, Vec<Command>) {
        let (request, id) = (RequestId(self.env.new_id()), WorkOrderId(self.env.new_id()));
        let patch = DispatchPatch { expected_stay_minutes: Some(240), ..DispatchPatch::default() };
        let commands = vec![
            Command::ReportRepair {
                id: request,
                customer: Some(self.customer),
                customer_name: String::new(),
                contact_name: "张三".into(),
                contact_phone: "029-88886666".into(),
                address: "西安".into(),
                equipment: Some(self.machine),
                problem: "液压站压力不足".into(),
                reported: None,
            },
            Command::OpenWorkOrder {
                id,
                customer: self.customer,
                equipment: Some(self.machine),
                work_type: WorkType::Repair,
                request: Some(request),
                follow_on_of: None,
                service_description: "检查液压站".into(),
                arrival_deadline: None,
            },
            Command::PlanDispatch { id, patch },
            Command::Assign { id, technicians: technicians.to_vec(), reason: "就近".into() },
            Command::IssueDispatch { id },
        ];
        (id, commands)
    }

    /// A phone's enrolment, written down at the server.
    pub(crate) async fn enrol(&self, staff: StaffId, key: [u8; 32]) -> Result<(EnrolAnswer, Session)> {
        let device = DeviceId(self.env.new_id());
        let code = format!("D{}", &device.0.simple().to_string()[20..]);
        let row = Device {
            id: device,
            staff,
            code: code.clone(),
            name: "测试手机".into(),
            public_key: key.to_vec(),
            alg: "ed25519".into(),
            app: "test".into(),
            enrolled: self.env.now(),
            revoked: None,
        };
        self.ledger.storage().put_device(self.tenant, row).await?;
        let roles = [Role::Technician];
        let answer = EnrolAnswer {
            tenant: self.tenant,
            company: "浆模设备公司".into(),
            device,
            device_code: code,
            staff,
            roles: roles.into(),
        };
        Ok((answer, Session { tenant: self.tenant, device, staff, roles: roles.into() }))
    }

    /// The log without a gap, each change once.
    pub(crate) async fn log_is_whole(&self) -> Result<()> {
        let log = self.ledger.storage().log(self.tenant, 0, usize::MAX >> 1).await?;
        ensure!(log.iter().map(|r| r.cursor).eq(1..=log.len() as u64), "a gap in the log");
        let mut seen = std::collections::BTreeSet::new();
        for row in log.iter().filter(|r| !r.body.is_empty()) {
            ensure!(seen.insert((row.doc, row.hash)), "change {} twice in the log", row.hash);
        }
        Ok(())
    }
}

/// Blobs in memory that several engines share, as the files of one phone.
#[derive(Clone, Default)]
pub(crate) struct SharedBlobs(Arc<Mutex<BTreeMap<Sha256, Vec<u8>>>>);

impl SharedBlobs {
    fn map(&self) -> std::sync::MutexGuard<'_, BTreeMap<Sha256, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Piece(SharedBlobs, Vec<u8>);

impl Incoming for Piece {
    fn write(&mut self, bytes: &[u8]) -> onsite_core::Result<()> {
        self.1.extend_from_slice(bytes);
        Ok(())
    }
    fn finish(self: Box<Self>) -> onsite_core::Result<(Sha256, u64)> {
        let (name, size) = (name_of(&self.1), self.1.len() as u64);
        self.0.map().insert(name, self.1);
        Ok((name, size))
    }
    fn finish_as(self: Box<Self>, expected: Sha256) -> onsite_core::Result<u64> {
        let found = name_of(&self.1);
        if found != expected {
            return Err(onsite_core::Error::Invalid { field: "sha256", detail: found.to_string() });
        }
        Ok(self.finish()?.1)
    }
}

impl Blobs for SharedBlobs {
    fn begin(&mut self) -> onsite_core::Result<Box<dyn Incoming + '_>> {
        Ok(Box::new(Piece(self.clone(), Vec::new())))
    }
    fn read(&self, name: Sha256, offset: u64, len: usize) -> onsite_core::Result<Vec<u8>> {
        let map = self.map();
        let bytes = map.get(&name).ok_or_else(|| onsite_core::Error::NotFound(name.to_string()))?;
        Ok(bytes.iter().skip(offset as usize).take(len).copied().collect())
    }
    fn size(&self, name: Sha256) -> onsite_core::Result<Option<u64>> {
        Ok(self.map().get(&name).map(|b| b.len() as u64))
    }
    // A file already deleted may be back after a cut; never the other way round.
    fn remove(&mut self, _: Sha256) -> onsite_core::Result<()> {
        Ok(())
    }
}

/// A phone.
pub(crate) struct Phone {
    pub(crate) engine: Engine,
    sync: Sync,
    pub(crate) env: Arc<SeededEnv>,
    pub(crate) blobs: SharedBlobs,
}

/// Whose a phone is.
async fn who_owns(town: &Town, who: &Session) -> Result<StaffId> {
    Ok(town.ledger.storage().device(town.tenant, who.device).await?.context("no such phone")?.staff)
}

/// A sync's last word.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    /// All was done.
    Done(SyncReport),
    /// It waits to try again.
    Waits,
    /// The phone was told to wipe.
    Wiped,
}

impl Phone {
    /// A phone on a connection. Its dice must not repeat those of the same file's earlier days.
    pub(crate) fn open(conn: Connection, seed: u64, now: Millis, blobs: SharedBlobs) -> onsite_core::Result<Self> {
        let env = Arc::new(SeededEnv::new(seed, now));
        let engine = Engine::open(conn, Box::new(Arc::clone(&env)), Box::new(blobs.clone()))?;
        let options = SessionOptions { push_changes: 8, ..SessionOptions::default() };
        Ok(Self { engine, sync: Sync::new(options), env, blobs })
    }

    /// Enrols at the server; `served` is called once that knows the phone.
    pub(crate) async fn enrol(&mut self, town: &Town, staff: StaffId, served: impl FnOnce()) -> Result<Session> {
        let key = self.engine.begin_enrolment()?;
        let (answer, session) = town.enrol(staff, key).await?;
        served();
        self.engine.finish_enrolment("https://onsite.example", &answer)?;
        Ok(session)
    }

    pub(crate) fn execute(&mut self, command: &Command) -> onsite_core::Result<()> {
        self.env.advance(1_000);
        self.engine.execute(command).map(drop)
    }

    pub(crate) fn handle(&mut self, event: Event) -> onsite_core::Result<Vec<Effect>> {
        self.env.advance(20);
        let now = self.env.now();
        self.sync.handle(self.engine.as_mut(), now, event)
    }

    /// One sync to its end. `step` is called after each step of the session, with the message
    /// just answered; where it answers false to a message, the answer is lost on the way.
    pub(crate) async fn sync(
        &mut self,
        town: &Town,
        who: &Session,
        step: &mut dyn FnMut(bool) -> bool,
    ) -> Result<Ended> {
        let mut effects = self.handle(Event::Start)?;
        for _ in 0..1_000 {
            step(false);
            let Some(effect) = effects.pop() else { bail!("the session stands still") };
            effects = match effect {
                Effect::Send(body) => {
                    let event = Self::ask(town, who, &body).await?;
                    match step(true) {
                        true => self.handle(event)?,
                        false => self.handle(Event::Failed(Failure {
                            code: "offline".into(),
                            status: 0,
                            retry_after: None,
                        }))?,
                    }
                }
                Effect::Upload { blob, size, upload, .. } => match upload.is_empty() {
                    true => self.handle(Event::BlobProgress { blob, upload: "u/1".into(), sent: size / 2 })?,
                    false => self.handle(Event::BlobProgress { blob, upload: String::new(), sent: size })?,
                },
                Effect::Download { blob, .. } => {
                    // What is nowhere comes empty: its name is another's, and it is passed over.
                    let bytes = self.blobs.read_all(blob).unwrap_or_default();
                    self.handle(Event::BlobFetched { blob, bytes })?
                }
                Effect::Wait { .. } => return Ok(Ended::Waits),
                Effect::Done(report) if report.wiped => return Ok(Ended::Wiped),
                Effect::Done(report) => return Ok(Ended::Done(report)),
                Effect::Wipe => return Ok(Ended::Wiped),
            };
        }
        bail!("the sync does not end")
    }

    pub(crate) async fn ask(town: &Town, who: &Session, body: &[u8]) -> Result<Event> {
        let mut request: SyncRequest = minicbor_serde::from_slice(body)?;
        town.env.advance(20);
        if who.staff != who_owns(town, who).await? && !request.push.is_empty() {
            // Pushed in another's name, to be refused; the rest is asked for in the owner's.
            let (mut push, owner) = (request.clone(), Session { staff: who_owns(town, who).await?, ..who.clone() });
            (push.cursor, push.reconcile) = (None, None);
            let refused = town.ledger.sync(who, push).await?;
            request.push.clear();
            request.mark = refused.mark;
            let mut answer = town.ledger.sync(&owner, request).await?;
            answer.verdicts = refused.verdicts;
            return Ok(Event::Answer(minicbor_serde::to_vec(&answer)?));
        }
        let who = &Session { staff: who_owns(town, who).await?, ..who.clone() };
        Ok(match town.ledger.sync(who, request).await {
            Ok(answer) => Event::Answer(minicbor_serde::to_vec(&answer)?),
            Err(e) => Event::Failed(Failure { code: e.code().into(), status: e.status(), retry_after: None }),
        })
    }

    /// Syncs until nothing is left to do.
    pub(crate) async fn settle(&mut self, town: &Town, who: &Session) -> Result<()> {
        for _ in 0..4 {
            let Ended::Done(report) = self.sync(town, who, &mut |_| true).await? else {
                bail!("the sync came to nothing: {:?}", self.engine.status()?);
            };
            ensure!(report.skipped.is_empty(), "skipped: {:?}", report.skipped);
            if report.pushed == 0 && report.received == 0 && report.left == 0 && !report.reconciled {
                return Ok(());
            }
        }
        bail!("the phone does not come to rest")
    }

    /// Syncs once; photos that are nowhere may be missing.
    pub(crate) async fn first_sync(&mut self, town: &Town, who: &Session) -> Result<()> {
        match self.sync(town, who, &mut |_| true).await? {
            Ended::Done(report) => {
                let bad: Vec<_> = report.skipped.iter().filter(|(_, why)| why != "blob_mismatch").collect();
                ensure!(bad.is_empty(), "skipped: {bad:?}");
                Ok(())
            }
            other => bail!("the sync came to nothing: {other:?}"),
        }
    }

    /// Opens the visit of a job, and arrives.
    pub(crate) fn arrive(&mut self, order: WorkOrderId) -> onsite_core::Result<VisitId> {
        self.execute(&Command::OpenVisit { work_order: order })?;
        let visit = VisitId::of_dispatch(order, 1);
        self.happen(visit, EventKind::Arrived)?;
        Ok(visit)
    }

    pub(crate) fn happen(&mut self, visit: VisitId, event: EventKind) -> onsite_core::Result<()> {
        let id = ItemId(self.engine.new_id());
        self.execute(&Command::RecordEvent { visit, id, event, at: None, position: None, corrects: None })
    }

    pub(crate) fn note(&mut self, visit: VisitId, text: &str) -> onsite_core::Result<()> {
        let id = ItemId(self.engine.new_id());
        self.execute(&Command::AddNote { visit, id, text: text.into() })
    }

    pub(crate) fn write(&mut self, visit: VisitId, field: &str, text: &str) -> onsite_core::Result<()> {
        let doc = DocRef::new(Kind::Visit, visit);
        self.execute(&Command::EditText { doc, field: field.into(), text: text.into(), seen: Vec::new() })
    }

    pub(crate) fn photo(&mut self, visit: VisitId, bytes: &[u8]) -> onsite_core::Result<()> {
        let stored = self.engine.add_blob(bytes, "image/jpeg")?;
        let id = ItemId(self.engine.new_id());
        self.execute(&Command::AddPhoto {
            doc: DocRef::new(Kind::Visit, visit),
            id,
            blob: stored.blob,
            size: stored.size,
            media_type: "image/jpeg".into(),
            caption: "铭牌".into(),
            check: None,
        })
    }
}
