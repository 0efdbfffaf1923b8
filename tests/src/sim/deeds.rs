//! What technicians and the office do.

use super::dice::Dice;
use super::phone::{Phone, raw};
use super::server::{self, Done, Server};
use super::world::{Company, Needle, Wrote};
use onsite_core::domain::command::{DispatchPatch, SettingsPatch};
use onsite_core::domain::{
    Atomic, Author, Channel, CheckResult, Command, CustomerId, DocId, DocRef, Entity, EventKind, ExpenseCategory, Fen,
    IncompleteReason, ItemId, Kind, Mark, Note, Outcome, PayMethod, RequestId, Role, Satisfaction, StaffId, Stamp,
    Visit, VisitId, WorkOrder, WorkOrderId, WorkType, Write,
};
use onsite_core::error::{Error, Result};
use onsite_core::store::views;
use onsite_server::ledger::Ledger;
use onsite_server::office::AsideCommand;
use std::collections::BTreeSet;

/// What came of a deed.
pub(super) enum Deed {
    /// Nothing to do it to, or a rule said no.
    Nothing(&'static str),
    /// It was written.
    Wrote(&'static str, Option<Wrote>),
}

fn entity<R: onsite_core::domain::entity::Record>(phone: &Phone, doc: DocId) -> Result<Option<R>> {
    Ok(views::entity(phone.disk.store.read(), doc)?.and_then(R::unwrap))
}

/// Somebody does something on a phone. `n` tells this deed from all others.
pub(super) fn on_phone(phone: &mut Phone, n: usize, dice: &mut Dice) -> Result<Deed> {
    let now = phone.env_now();
    let item = || ItemId(uuid::Uuid::from_u128(0x0e51_0000_0000_7000_8000_0000_0000_0000 | n as u128));
    let word = format!("〔{n}号〕");
    let visits = phone.docs(Kind::Visit)?;
    let weights: &[usize] = if visits.is_empty() { &[50, 0, 10, 4, 4, 2, 0] } else { &[8, 60, 8, 4, 4, 5, 5] };
    match dice.weighted(weights) {
        0 => {
            let orders = phone.docs(Kind::WorkOrder)?;
            let own: Vec<DocId> = phone.docs(Kind::Request)?;
            let unplanned = dice.percent(30);
            let command = match (unplanned, dice.pick(&orders), dice.pick(&own)) {
                (true, _, Some(request)) => Command::OpenUnplannedVisit { request: request.into() },
                (_, Some(order), _) => Command::OpenVisit { work_order: order.into() },
                _ => return Ok(Deed::Nothing("open")),
            };
            execute(phone, "open", &command, None, None)
        }
        1 => {
            let Some(visit) = dice.pick(&visits) else { return Ok(Deed::Nothing("visit")) };
            on_visit(phone, visit.into(), item(), word, now, dice)
        }
        2 => {
            let id = RequestId(dice.id(now.0));
            let command = Command::ReportRepair {
                id,
                customer: dice.pick(&phone.docs(Kind::Customer)?).map(CustomerId::from).filter(|_| dice.percent(50)),
                customer_name: "东莞绿源包装".into(),
                contact_name: "张三".into(),
                contact_phone: "13800000000".into(),
                address: "一车间".into(),
                equipment: None,
                problem: format!("漏油{word}"),
                reported: None,
            };
            execute(phone, "report", &command, Some(id.into()), Some(Needle::Word(word)))
        }
        3 => {
            let id = onsite_core::domain::SuggestionId(dice.id(now.0));
            let text = format!("改用快换接头{word}");
            let command = Command::Suggest { id, title: "接头".into(), text, work_order: None };
            execute(phone, "suggest", &command, Some(id.into()), Some(Needle::Word(word)))
        }
        // A text or a photo of a request.
        4 => {
            let Some(request) = dice.pick(&phone.docs(Kind::Request)?) else { return Ok(Deed::Nothing("request")) };
            let doc = DocRef { kind: Kind::Request, id: request };
            if dice.percent(50) {
                return photo(phone, doc, item(), n, dice);
            }
            let Some(old) = entity::<onsite_core::domain::Request>(phone, request)? else {
                return Ok(Deed::Nothing("request"));
            };
            let text = format!("{}{word}", old.problem.0);
            let command = Command::EditText { doc, field: "problem".into(), text, seen: Vec::new() };
            execute(phone, "problem", &command, Some(request), Some(Needle::Word(word)))
        }
        // A newer app: a field and a word that nobody here knows.
        5 => {
            let Some(visit) = dice.pick(&visits) else { return Ok(Deed::Nothing("newer")) };
            let key = format!("future/{n}");
            let strange = dice.percent(40);
            let id = DocRef { kind: Kind::Visit, id: visit };
            let hash = phone.write_past_rules(id, |doc, actor, by, at| {
                let puts = [(key.as_str(), "新"), ("outcome", "half_done")];
                raw(doc, actor, by, at, &puts[..if strange { 2 } else { 1 }])
            })?;
            let wrote = Wrote { doc: id, hash, needle: Needle::Key(key) };
            Ok(Deed::Wrote("newer", Some(wrote)))
        }
        _ => past_authority(phone, item(), word, dice),
    }
}

/// What the server's authority will refuse.
fn past_authority(phone: &mut Phone, item: ItemId, word: String, dice: &mut Dice) -> Result<Deed> {
    let staff = phone.staff;
    let orders = phone.docs(Kind::WorkOrder)?;
    let visits = phone.docs(Kind::Visit)?;
    let (id, needle, write) = match (dice.percent(40), dice.pick(&orders), dice.pick(&visits)) {
        // A technician writes the office's document.
        (true, Some(order), _) => {
            let doc = DocRef { kind: Kind::WorkOrder, id: order };
            let Some(old) = entity::<WorkOrder>(phone, order)? else { return Ok(Deed::Nothing("forbidden")) };
            let text = format!("{}{word}", old.dispatch.remarks.0);
            (doc, word, Write::Text { doc, field: "dispatch/remarks".into(), text, seen: Vec::new() })
        }
        // A note under somebody else's name.
        (_, _, Some(visit)) => {
            let Some(mut v) = entity::<Visit>(phone, visit)? else { return Ok(Deed::Nothing("forbidden")) };
            let other = StaffId(uuid::Uuid::from_u128(staff.0.as_u128() ^ 1));
            let mark = Mark { at: Stamp::unchecked(phone.env_now()), by: other };
            v.notes.insert(item, Atomic(Note { mark, text: word }));
            (DocRef { kind: Kind::Visit, id: visit }, item.to_string(), Write::Put(visit, Entity::Visit(v)))
        }
        _ => return Ok(Deed::Nothing("forbidden")),
    };
    let hash = phone.write_past_rules(id, |doc, actor, by, at| doc.write(actor, by, at, &[write]))?;
    Ok(Deed::Wrote("forbidden", Some(Wrote { doc: id, hash, needle: Needle::Word(needle) })))
}

fn on_visit(
    phone: &mut Phone,
    visit: VisitId,
    id: ItemId,
    word: String,
    now: onsite_core::domain::Millis,
    dice: &mut Dice,
) -> Result<Deed> {
    let _ = now;
    let doc = DocRef { kind: Kind::Visit, id: visit.into() };
    let Some(v) = entity::<Visit>(phone, doc.id)? else { return Ok(Deed::Nothing("visit")) };
    let known = Some(Needle::Word(id.to_string()));
    let (what, command, needle) = match dice.weighted(&[22, 14, 20, 8, 6, 8, 6, 4, 4, 3, 5]) {
        0 => ("note", Command::AddNote { visit, id, text: word }, known),
        1 => {
            let event = dice.pick(EventKind::ALL).unwrap_or(EventKind::Arrived);
            let corrects =
                v.events.iter().find(|(_, e)| e.kind == event).map(|(id, _)| *id).filter(|_| dice.percent(30));
            ("event", Command::RecordEvent { visit, id, event, at: None, position: None, corrects }, known)
        }
        2 => {
            let fields = [("resolution", &v.resolution.0), ("diagnosis", &v.diagnosis.0), ("remarks", &v.remarks.0)];
            let (field, old) = fields[dice.below(fields.len())];
            // Somewhere in the middle as well as at the end.
            let at = if dice.percent(40) { old.char_indices().map(|(i, _)| i).nth(dice.below(8)) } else { None };
            let at = at
                .filter(|at| old[..*at].matches('〔').count() == old[..*at].matches('〕').count())
                .unwrap_or(old.len());
            let text = format!("{}{word}{}", &old[..at], &old[at..]);
            ("text", Command::EditText { doc, field: field.into(), text, seen: Vec::new() }, Some(Needle::Word(word)))
        }
        3 => {
            let all = [None, Some(IncompleteReason::ReturnForRepair), Some(IncompleteReason::ReplaceEquipment)];
            let why = all[dice.below(3)];
            let outcome = if why.is_none() { Outcome::Completed } else { Outcome::Incomplete };
            ("outcome", Command::SetOutcome { visit, outcome, incomplete_reason: why, remarks: String::new() }, None)
        }
        4 => {
            let check = dice.pick(&["model", "quantity", "label", "packaging"]).unwrap_or("model");
            let result = dice.pick(CheckResult::ALL).unwrap_or(CheckResult::Passed);
            ("inspect", Command::Inspect { visit, check: check.into(), result, note: String::new() }, None)
        }
        5 => {
            let item = v.items.keys().next().copied().filter(|_| dice.percent(60)).unwrap_or(id);
            let used = dice.within(1, 5);
            let name = "密封圈".into();
            let command =
                Command::UseItem { visit, item, part_no: String::new(), name, unit: "个".into(), used, taken_back: 0 };
            ("use", command, None)
        }
        6 => {
            let amount = Fen(dice.within(1, 100_000));
            ("payment", Command::TakePayment { visit, id, amount, method: PayMethod::Cash, reference: word }, known)
        }
        7 => {
            let command = Command::LogContact {
                visit,
                id,
                channel: Channel::Phone,
                with: "张三".into(),
                summary: word,
                at: None,
            };
            ("contact", command, known)
        }
        8 => {
            let amount = Fen(dice.within(1, 10_000));
            ("expense", Command::Spend { visit, id, amount, category: ExpenseCategory::Other, note: word }, known)
        }
        9 => {
            if dice.percent(50) {
                ("accept", Command::Accept { visit, accepted: dice.percent(80), remark: word }, None)
            } else {
                let satisfaction = dice
                    .pick(&[Satisfaction::VerySatisfied, Satisfaction::Satisfied])
                    .unwrap_or(Satisfaction::Satisfied);
                let command = Command::Rate { visit, satisfaction, reasons: BTreeSet::new(), comment: String::new() };
                ("rate", command, None)
            }
        }
        _ => {
            if dice.percent(60) {
                return photo(phone, doc, id, usize::try_from(id.0.as_u128() & 0xffff_ffff).unwrap_or(0), dice);
            }
            // Somebody settles what clashes.
            let detail = phone.engine()?.show(doc)?;
            let Some(clash) = detail.clashes.first() else { return Ok(Deed::Nothing("clash")) };
            let choice = clash.values[dice.below(clash.values.len())].change;
            ("clash", Command::ChooseClash { doc, path: clash.path.clone(), choice }, None)
        }
    };
    execute(phone, what, &command, Some(doc.id), needle)
}

fn photo(phone: &mut Phone, doc: DocRef, id: ItemId, n: usize, dice: &mut Dice) -> Result<Deed> {
    let bytes: Vec<u8> =
        (0..8 + dice.below(60)).map(|i| u8::try_from((i * 31 + n) % 251).unwrap_or(0)).chain(n.to_be_bytes()).collect();
    let stored = phone.engine()?.add_blob(&bytes, "image/jpeg")?;
    let command = Command::AddPhoto {
        doc,
        id,
        blob: stored.blob,
        size: stored.size,
        media_type: "image/jpeg".into(),
        caption: String::new(),
        check: None,
    };
    execute(phone, "photo", &command, Some(doc.id), Some(Needle::Word(id.to_string())))
}

/// Does a command; what a rule refuses is no failure.
fn execute(
    phone: &mut Phone,
    what: &'static str,
    command: &Command,
    doc: Option<DocId>,
    needle: Option<Needle>,
) -> Result<Deed> {
    match phone.engine()?.execute(command) {
        Ok(done) => {
            let wrote = match (doc, needle) {
                (Some(doc), Some(needle)) => {
                    let at = done.docs.iter().find(|d| d.id == doc).copied();
                    let Some(at) = at else { return Ok(Deed::Nothing(what)) };
                    Some(Wrote { doc: at, hash: phone.newest(doc)?, needle })
                }
                _ => None,
            };
            Ok(Deed::Wrote(what, wrote))
        }
        Err(Error::Refused(_) | Error::NotFound(_)) => Ok(Deed::Nothing(what)),
        Err(e) => Err(e),
    }
}

impl Phone {
    pub(super) fn env_now(&self) -> onsite_core::domain::Millis {
        onsite_core::env::Env::now(&self.env)
    }

    /// Deals with what was refused: sends it again, or lets it rest.
    pub(super) fn deal_with_refusal(&mut self, dice: &mut Dice) -> Result<&'static str> {
        let refused = self.engine()?.refused()?;
        if refused.is_empty() {
            return Ok("nothing");
        }
        let at = dice.below(refused.len());
        let id = refused[at].id;
        let engine = self.engine()?;
        let done = if dice.percent(50) {
            engine.resend(id).map(|_| "resent")
        } else {
            engine.dismiss(id).map(|()| "dismissed")
        };
        match done {
            Ok(what) => Ok(what),
            Err(Error::BadChange { .. } | Error::NotFound(_) | Error::Invalid { .. }) => Ok("cannot"),
            Err(e) => Err(e),
        }
    }
}

/// What the office begins with: people, customers, jobs.
pub(super) fn founding(company: &mut Company, technicians: usize, dice: &mut Dice, now: i64) -> Vec<Command> {
    let mut all = Vec::new();
    let staff = |id, name: &str, code: String, roles: BTreeSet<Role>| Command::PutStaff {
        id,
        name: name.into(),
        code,
        phone: String::new(),
        roles,
    };
    let settings =
        SettingsPatch { company: Some(format!("第{}公司", dice.below(1_000_000))), ..SettingsPatch::default() };
    all.push(Command::ChangeSettings(settings));
    all.push(staff(company.boss, "赵经理", "B".into(), Role::ALL.iter().copied().collect()));
    for n in 0..technicians {
        let id = StaffId(dice.id(now));
        // Some are of the office too.
        let roles = if dice.percent(20) { [Role::Technician, Role::Clerk].into() } else { [Role::Technician].into() };
        all.push(staff(id, "李工", format!("T{n}"), roles));
        company.technicians.push(id);
    }
    for n in 0..1 + dice.below(2) {
        let id = CustomerId(dice.id(now));
        all.push(Command::PutCustomer {
            id,
            name: format!("第{n}纸厂"),
            code: format!("C-{n}"),
            project_completed: None,
            call_interval_days: None,
        });
        company.customers.push(id);
    }
    for _ in 0..1 + dice.below(3) {
        let (open, id) = open_order(company, None, dice, now);
        all.push(open);
        let technicians = some(&company.technicians, dice);
        all.push(Command::Assign { id, technicians, reason: "就近".into() });
        let patch = DispatchPatch { expected_stay_minutes: Some(240), ..DispatchPatch::default() };
        all.push(Command::PlanDispatch { id, patch });
        all.push(Command::IssueDispatch { id });
    }
    all
}

fn open_order(company: &mut Company, request: Option<RequestId>, dice: &mut Dice, now: i64) -> (Command, WorkOrderId) {
    let id = WorkOrderId(dice.id(now));
    company.orders.push(id);
    let customer = dice.pick(&company.customers).unwrap_or(CustomerId(uuid::Uuid::nil()));
    let open = Command::OpenWorkOrder {
        id,
        customer,
        equipment: None,
        work_type: WorkType::Repair,
        request,
        follow_on_of: None,
        service_description: "检查液压站".into(),
        arrival_deadline: None,
    };
    (open, id)
}

/// At least one of them, each once.
fn some(of: &[StaffId], dice: &mut Dice) -> Vec<StaffId> {
    let mut out: Vec<StaffId> = of.iter().copied().filter(|_| dice.percent(50)).collect();
    if out.is_empty() {
        out.extend(dice.pick(of));
    }
    out
}

/// What the office does next.
pub(super) enum Office {
    Command(&'static str, Box<Command>),
    /// Looks at a document.
    Look(DocId),
    /// Decides about the n-th refused change.
    Decide(usize, bool),
}

pub(super) fn in_office(company: &mut Company, n: usize, dice: &mut Dice, now: i64) -> Option<Office> {
    let order = dice.pick(&company.orders)?;
    let word = format!("〈{n}〉");
    let command = |what, c| Some(Office::Command(what, Box::new(c)));
    match dice.weighted(&[24, 5, 6, 5, 4, 12, 8, 6, 4, 8, 3, 1, 10]) {
        0 => command(
            "assign",
            Command::Assign { id: order, technicians: some(&company.technicians, dice), reason: word },
        ),
        1 => command("cancel", Command::CancelWorkOrder { id: order, reason: word }),
        2 => command("redispatch", Command::Redispatch { id: order, reason: word }),
        3 => command("close", Command::CloseWorkOrder { id: order }),
        4 => {
            let id = company.customers[dice.below(company.customers.len())];
            command(
                "customer",
                Command::PutCustomer {
                    id,
                    name: word,
                    code: format!("N{n}"),
                    project_completed: None,
                    call_interval_days: Some(30),
                },
            )
        }
        5 => {
            let doc = DocRef::new(Kind::WorkOrder, order);
            command(
                "description",
                Command::EditText { doc, field: "dispatch/service_description".into(), text: word, seen: Vec::new() },
            )
        }
        6 => {
            let request = dice.pick(&company.requests);
            let (open, id) = open_order(company, request, dice, now);
            company.to_assign.push(id);
            command("open", open)
        }
        7 => {
            let id = company.to_assign.pop().unwrap_or(order);
            command("assign", Command::Assign { id, technicians: some(&company.technicians, dice), reason: word })
        }
        8 => {
            let item = ItemId(uuid::Uuid::from_u128(n as u128 | 1 << 100));
            command(
                "require",
                Command::RequireItem {
                    id: order,
                    item,
                    part_no: String::new(),
                    name: "密封圈".into(),
                    unit: "个".into(),
                    required: 2,
                    removed: false,
                },
            )
        }
        9 => Some(Office::Look(if dice.percent(50) { order.into() } else { VisitId::of_dispatch(order, 1).into() })),
        10 => {
            let id = dice.pick(&company.technicians)?;
            let roles =
                if dice.percent(50) { [Role::Technician].into() } else { [Role::Technician, Role::Clerk].into() };
            command("roles", Command::PutStaff { id, name: word, code: format!("R{n}"), phone: String::new(), roles })
        }
        11 => {
            let id = dice.pick(&company.technicians)?;
            command("leaves", Command::StaffLeaves { id, reason: word })
        }
        _ => Some(Office::Decide(dice.below(8), dice.percent(50))),
    }
}

/// Carries it out at the server.
pub(super) fn carry_out(server: &mut Server, flight: u64, company: &Company, what: Office) -> Option<Done> {
    let ledger = server.ledger.clone();
    let (tenant, author) = (company.tenant, server::boss(company.boss));
    server.begin(flight, async move { Done::Office(office(ledger, tenant, author, what).await) })
}

async fn office(
    ledger: Ledger,
    tenant: onsite_core::domain::TenantId,
    author: Author,
    what: Office,
) -> Result<(), String> {
    let said = |e: onsite_server::error::Error| e.code().to_owned();
    match what {
        Office::Command(_, command) => ledger.execute(tenant, &author, &command, None).await.map(drop).map_err(said),
        Office::Look(doc) => ledger.mark_seen(tenant, doc, Vec::new(), author.staff).await.map_err(said),
        Office::Decide(n, accept) => {
            let open = ledger.aside(tenant, 100).await.map_err(said)?;
            if open.is_empty() {
                return Err("nothing_refused".into());
            }
            let row = &open[n % open.len()];
            let reason = "查过了".to_owned();
            let what = if accept { AsideCommand::Accept { reason } } else { AsideCommand::Dismiss { reason } };
            ledger.decide_aside(tenant, &author, row.doc, row.hash, &what).await.map_err(said)
        }
    }
}
