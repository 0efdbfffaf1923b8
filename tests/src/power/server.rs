//! A server's days: pushes of several phones at once, office commands, the
//! audit chain, the registry, blobs' lines, refused changes and decisions on them.

use super::Recorded;
use super::town::{NOON, Phone, SharedBlobs, Town};
use crate::disk::{Dice, Disk, Op};
use anyhow::{Context as _, Result, ensure};
use onsite_core::document::{Actor, Doc};
use onsite_core::domain::{
    Author, ChangeHash, Command, Customer, DocId, DocRef, Kind, Millis, Record as _, Sha256, SuggestionId, VisitId,
    WorkOrder, Write,
};
use onsite_core::env::Env as _;
use onsite_core::sync::protocol::{Fate, Push, SyncAnswer, SyncRequest, VERSION};
use onsite_core::sync::session::{Effect, Event, Failure};
use onsite_server::ledger::Session;
use onsite_server::office::AsideCommand;
use onsite_server::storage::{AsideQuery, Audit, BlobRow, GLOBAL, Record, SqliteStorage, audit_holds};
use rusqlite::Connection;
use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

const DATABASE: &str = "onsite.sqlite";
/// Rounds of a recording.
const ROUNDS: usize = 22;

/// What the server said it had done.
#[derive(Clone, Debug)]
enum Fact {
    /// A change is in the log.
    Change(ChangeHash),
    /// A change is held aside.
    Aside(ChangeHash),
    /// The log reaches this number.
    Head(u64),
    /// A command of this key was carried out.
    Key(String),
    /// A record is there.
    Record(String),
    /// A blob's line is there.
    Blob(Sha256),
    /// The audit chain has so many entries at least.
    Audit(u64),
}

/// A message to the server, from its sending to its answer.
struct Exchange {
    from: usize,
    to: usize,
    who: Session,
    body: Vec<u8>,
    fates: Vec<(DocId, ChangeHash, Fate)>,
}

/// A server's recorded days.
pub(crate) struct Days {
    log: Vec<Op>,
    acks: Vec<usize>,
    facts: Vec<(usize, Fact)>,
    exchanges: Vec<Exchange>,
    town: Town,
}

/// What is noted while requests run side by side.
#[derive(Default)]
struct Notes {
    acks: BTreeSet<usize>,
    facts: Vec<(usize, Fact)>,
    exchanges: Vec<Exchange>,
    audits: u64,
}

#[derive(Clone)]
struct Camera {
    disk: Arc<Disk>,
    notes: Arc<Mutex<Notes>>,
}

impl Camera {
    fn notes(&self) -> std::sync::MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server said so, now.
    fn said(&self, facts: impl IntoIterator<Item = Fact>) {
        let mut notes = self.notes();
        let at = self.disk.position();
        notes.acks.insert(at);
        notes.facts.extend(facts.into_iter().map(|f| (at, f)));
    }

    fn audited(&self, n: u64) {
        let count = {
            let mut notes = self.notes();
            notes.audits += n;
            notes.audits
        };
        self.said([Fact::Audit(count)]);
    }
}

fn decode<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T> {
    Ok(minicbor_serde::from_slice(body)?)
}

/// One message to the server, noted.
async fn exchange(town: &Town, camera: &Camera, who: &Session, body: Vec<u8>) -> Result<Event> {
    let request: SyncRequest = decode(&body)?;
    let from = camera.disk.position();
    let answer = town.ledger.sync(who, request).await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(e) => return Ok(Event::Failed(Failure { code: e.code().into(), status: e.status(), retry_after: None })),
    };
    let facts = answer.verdicts.iter().filter_map(|v| match v.fate {
        Fate::Accepted => Some(Fact::Change(v.hash)),
        Fate::SetAside { .. } => Some(Fact::Aside(v.hash)),
        _ => None,
    });
    camera.said(facts.collect::<Vec<_>>());
    let to = camera.disk.position();
    let fates = answer.verdicts.iter().map(|v| (v.doc, v.hash, v.fate.clone())).collect();
    camera.notes().exchanges.push(Exchange { from, to, who: who.clone(), body, fates });
    Ok(Event::Answer(minicbor_serde::to_vec(&answer)?))
}

/// Every phone does one sync, their messages side by side, and the office works meanwhile.
async fn round(town: &Arc<Town>, camera: &Camera, phones: &mut [(Phone, Session)], commands: &[Command]) -> Result<()> {
    town.env.advance(1_000);
    let mut office = Some(commands.to_vec());
    let mut effects = Vec::new();
    for (phone, _) in phones.iter_mut() {
        effects.push(phone.handle(Event::Start)?);
    }
    for _ in 0..20 {
        let mut tasks = tokio::task::JoinSet::new();
        for (i, effect) in effects.iter().enumerate() {
            if let Some(Effect::Send(body)) = effect.last() {
                let (town, camera, who, body) = (Arc::clone(town), camera.clone(), phones[i].1.clone(), body.clone());
                tasks.spawn(async move { Ok::<_, anyhow::Error>((i, exchange(&town, &camera, &who, body).await?)) });
            }
        }
        if tasks.is_empty() {
            return Ok(());
        }
        let commands = office.take().unwrap_or_default();
        let (town, camera) = (Arc::clone(town), camera.clone());
        let desk = tokio::spawn(async move {
            for command in &commands {
                let head = town.office(command).await?;
                camera.said([Fact::Head(head)]);
            }
            Ok::<_, anyhow::Error>(())
        });
        while let Some(done) = tasks.join_next().await {
            let (i, event) = done??;
            effects[i] = phones[i].0.handle(event)?;
        }
        desk.await??;
        for (i, (phone, _)) in phones.iter_mut().enumerate() {
            while let Some(Effect::Upload { blob, size, .. }) = effects[i].last().cloned() {
                effects[i] = phone.handle(Event::BlobProgress { blob, upload: String::new(), sent: size })?;
            }
            while let Some(Effect::Download { blob, .. }) = effects[i].last().cloned() {
                let bytes = onsite_core::store::Blobs::read_all(&phone.blobs, blob)?;
                effects[i] = phone.handle(Event::BlobFetched { blob, bytes })?;
            }
        }
    }
    anyhow::bail!("the syncs do not end")
}

/// A technician's hand-made change to a document of the office.
async fn trespass(town: &Town, camera: &Camera, who: &Session, n: u8) -> Result<()> {
    let id = DocId(town.env.new_id());
    let mut doc = Doc::new(Kind::Customer);
    let customer = Customer { name: format!("假客户 {n}"), ..Customer::default() };
    let actor = Actor { device: who.device, incarnation: [n; 8] };
    let change = doc.write(actor, who.staff, NOON, &[Write::Put(id, customer.wrap())])?.context("no change")?;
    let push = vec![Push { doc: id, kind: Kind::Customer, changes: vec![change.bytes.into()], sealed: None }];
    let request = SyncRequest { v: VERSION, app: "hostile".into(), push, ..SyncRequest::default() };
    exchange(town, camera, who, minicbor_serde::to_vec(&request)?).await?;
    Ok(())
}

/// Lives a server's days on a disk.
pub(crate) async fn record(disk: Arc<Disk>, root: &Path, seed: u64) -> Result<Days> {
    let mut dice = Dice::new(seed ^ 0x5e7e7);
    let camera = Camera { disk, notes: Arc::default() };
    // These days are short: the log goes into the file as often as it does in long ones.
    let storage = Arc::new(SqliteStorage::open_logging(&root.join(DATABASE), 1000)?);
    camera.said([]);
    let town = Arc::new(Town::found(storage.clone(), seed).await?);
    camera.said([]);
    let people = [town.technicians[0], town.technicians[0], town.technicians[1]];
    let (first, commands) = town.job(&town.technicians);
    let mut orders = vec![first];
    for command in &commands {
        let head = town.office(command).await?;
        camera.said([Fact::Head(head)]);
    }
    let blobs = SharedBlobs::default();
    let mut phones = Vec::new();
    for (i, who) in people.into_iter().enumerate() {
        let conn = Connection::open_in_memory()?;
        let mut phone = Phone::open(conn, (seed << 8) | i as u64, NOON, blobs.clone())?;
        let session = phone.enrol(&town, who, || {}).await?;
        camera.said([]);
        phones.push((phone, session));
    }
    round(&town, &camera, &mut phones, &[]).await?;
    let visit = VisitId::of_dispatch(first, 1);
    for (phone, _) in &mut phones {
        phone.arrive(first)?;
    }
    for n in 0..ROUNDS {
        for (i, (phone, _)) in phones.iter_mut().enumerate() {
            for _ in 0..dice.below(3) {
                match dice.below(6) {
                    0..=2 => phone.note(visit, &format!("{i}: {n} {}", "记录".repeat(dice.below(20))))?,
                    3 => phone.write(visit, "resolution", &format!("{n}: {}", "更换".repeat(dice.below(100))))?,
                    4 => phone.photo(visit, &[i as u8, n as u8, 7])?,
                    _ => {
                        let id = SuggestionId(phone.engine.new_id());
                        let text = "滤芯".repeat(dice.below(90) + 1);
                        phone
                            .execute(&Command::Suggest { id, title: format!("建议 {n}"), text, work_order: None })?;
                    }
                }
            }
        }
        let commands = match dice.below(3) {
            0 => {
                let (order, commands) = town.job(&town.technicians[dice.below(2)..]);
                orders.push(order);
                commands
            }
            1 => vec![Command::EditText {
                doc: DocRef::new(Kind::WorkOrder, *dice.one(&orders[..1])),
                field: "dispatch/remarks".into(),
                text: format!("第 {n} 次"),
                seen: Vec::new(),
            }],
            _ => Vec::new(),
        };
        round(&town, &camera, &mut phones, &commands).await?;
        aside_of_pushes(&town, &camera, &phones, &mut dice, n, visit).await?;
    }
    let Camera { disk, notes } = camera;
    drop(phones);
    drop(storage);
    let town = Arc::into_inner(town).context("somebody still works")?;
    let log = disk.log();
    let notes = std::mem::take(&mut *notes.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(Days { log, acks: notes.acks.into_iter().collect(), facts: notes.facts, exchanges: notes.exchanges, town })
}

/// What else the server keeps.
async fn aside_of_pushes(
    town: &Town,
    camera: &Camera,
    phones: &[(Phone, Session)],
    dice: &mut Dice,
    n: usize,
    visit: VisitId,
) -> Result<()> {
    let (storage, now) = (town.ledger.storage(), town.env.now());
    match dice.below(8) {
        0 => {
            trespass(town, camera, &phones[dice.below(3)].1, n as u8).await?;
        }
        1 => {
            if let Some(open) =
                storage.aside(town.tenant, &AsideQuery { open: true, limit: 1, ..AsideQuery::default() }).await?.pop()
            {
                let decision = match dice.percent(50) {
                    true => AsideCommand::Dismiss { reason: "假的".into() },
                    false => AsideCommand::Accept { reason: "真的".into() },
                };
                match town.ledger.decide_aside(town.tenant, &town.boss, open.doc, open.hash, &decision).await {
                    Ok(_) => camera.audited(1),
                    // What rests on another refused change cannot be accepted yet.
                    Err(onsite_server::Error::Refused(_)) => {}
                    Err(e) => return Err(e.into()),
                }
            }
        }
        2 => {
            let entry = Audit {
                at: now,
                by: town.boss.staff,
                action: "test".into(),
                subject: n.to_string(),
                detail: serde_json::Value::Null,
            };
            let count = dice.below(3) + 1;
            storage.audit(town.tenant, vec![entry; count]).await?;
            camera.audited(count as u64);
        }
        3 => {
            let record = Record { key: format!("k{n}"), body: serde_json::json!(n), expires: None, ver: 0 };
            storage.put_record(GLOBAL, "test", record, None, now).await?;
            camera.said([Fact::Record(format!("k{n}"))]);
        }
        4 => {
            let key = format!("once {n}");
            let id = SuggestionId(town.env.new_id());
            let command = Command::Suggest { id, title: key.clone(), text: "改进".into(), work_order: None };
            let author = Author {
                staff: town.technicians[0],
                roles: [onsite_core::domain::Role::Technician].into(),
                device_code: None,
            };
            let done = town.ledger.execute(town.tenant, &author, &command, Some(&key)).await?;
            camera.said([Fact::Key(key), Fact::Head(done.head)]);
        }
        5 => {
            let row = BlobRow {
                sha256: Sha256([n as u8; 32]),
                size: 10,
                complete: true,
                received: 10,
                state: String::new(),
                device: phones[0].1.device,
                created: now,
            };
            storage.put_blob(town.tenant, row).await?;
            camera.said([Fact::Blob(Sha256([n as u8; 32]))]);
        }
        6 => {
            town.ledger.mark_seen(town.tenant, visit.into(), Vec::new(), town.boss.staff).await?;
            camera.said([]);
        }
        _ => {
            storage.ready().await?;
            storage.expire_records(Millis(now.0)).await?;
            camera.said([]);
        }
    }
    Ok(())
}

impl Recorded for Days {
    fn log(&self) -> &[Op] {
        &self.log
    }

    fn acks(&self) -> &[usize] {
        &self.acks
    }

    fn database(&self) -> &'static str {
        DATABASE
    }

    fn covered(&self) -> BTreeSet<&'static str> {
        let kind = |fact: &Fact| match fact {
            Fact::Change(_) => "a change accepted",
            Fact::Aside(_) => "a change set aside",
            Fact::Head(_) => "an office command",
            Fact::Key(_) => "a command with a key",
            Fact::Record(_) => "a record",
            Fact::Blob(_) => "a blob's line",
            Fact::Audit(_) => "an audit entry",
        };
        self.facts.iter().map(|(_, fact)| kind(fact)).collect()
    }

    fn open(&self, dir: &Path) -> Result<()> {
        SqliteStorage::open(&dir.join(DATABASE))?;
        Ok(())
    }

    fn live(
        &self,
        dir: &Path,
        at: usize,
        dice: &mut Dice,
        look: &mut dyn FnMut(&Connection) -> Result<()>,
    ) -> Result<()> {
        let path = dir.join(DATABASE);
        let storage = Arc::new(SqliteStorage::open(&path).context("opening")?);
        let conn = Connection::open(&path)?;
        look(&conn)?;
        let town = Arc::new(self.town.over(storage, dice.draw()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            if town.ledger.storage().tenant(town.tenant).await?.is_none() {
                // Cut before the company was there: it can be founded now.
                town.ledger.create_tenant("又一家").await?;
                return Ok(());
            }
            self.facts_hold(&town, &conn, at).await?;
            rows_equal_documents(&town).await?;
            self.retries(&town, at).await?;
            self.goes_on(&town, dice).await
        })
    }
}

impl Days {
    /// By notes taken outside: what was said to be done is done.
    async fn facts_hold(&self, town: &Town, conn: &Connection, at: usize) -> Result<()> {
        let hashes = |sql: &str| -> Result<HashSet<ChangeHash>> {
            let mut statement = conn.prepare(sql)?;
            let rows = statement.query_map([], |r| r.get::<_, [u8; 32]>(0).map(ChangeHash))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        };
        let log = hashes("SELECT hash FROM change WHERE hash IS NOT NULL")?;
        let aside = hashes("SELECT hash FROM aside")?;
        let storage = town.ledger.storage();
        let head = storage.tenant(town.tenant).await?.context("no company")?.head;
        let audit = storage.audit_log(town.tenant, 0, 10_000).await?;
        ensure!(audit_holds(&audit), "the audit chain is broken");
        for (noted, fact) in self.facts.iter().filter(|(noted, _)| *noted <= at) {
            let good = match fact {
                Fact::Change(hash) => log.contains(hash),
                Fact::Aside(hash) => aside.contains(hash),
                Fact::Head(n) => head >= *n,
                Fact::Key(key) => storage.answered(town.tenant, key).await?.is_some(),
                Fact::Record(key) => storage.record(GLOBAL, "test", key, town.env.now()).await?.is_some(),
                Fact::Blob(name) => storage.blob(town.tenant, *name).await?.is_some(),
                Fact::Audit(n) => audit.len() as u64 >= *n,
            };
            ensure!(good, "said at {noted} and not so: {fact:?}");
        }
        Ok(())
    }

    /// Phones that got no answer ask again, and so do some that did: the answer is the same, nothing is doubled.
    async fn retries(&self, town: &Town, at: usize) -> Result<()> {
        let (mut again, mut cut) = (0, 0);
        for e in self.exchanges.iter().rev() {
            if e.from > at || (e.to <= at && again >= 2) {
                continue;
            }
            let mut request: SyncRequest = decode(&e.body)?;
            request.cursor = None;
            let device = town.ledger.storage().device(town.tenant, e.who.device).await?;
            if device.is_none() {
                continue;
            }
            let answer: SyncAnswer = town.ledger.sync(&e.who, request).await?;
            if e.to <= at {
                again += 1;
            } else {
                cut += 1;
            }
            for (doc, hash, fate) in &e.fates {
                let now = answer.verdicts.iter().find(|v| v.doc == *doc && v.hash == *hash).map(|v| &v.fate);
                let decided = |f: &Fate| matches!(f, Fate::Accepted | Fate::SetAside { .. });
                // What waited for others then may be decided now, and what was refused accepted by the office.
                let same = match (fate, now) {
                    (Fate::Accepted, Some(Fate::Accepted)) => true,
                    (Fate::Accepted, _) => false,
                    (_, Some(now)) => !decided(fate) || decided(now),
                    (_, None) => false,
                };
                // Its parents may have been in a message that is cut off as well.
                ensure!(same || e.to > at, "asked again, {hash}: {fate:?} is {now:?}");
            }
        }
        town.log_is_whole().await.with_context(|| format!("after {cut} cut and {again} other messages again"))
    }

    /// The office's next job gets a number of its own, and a new phone gets everything.
    async fn goes_on(&self, town: &Town, dice: &mut Dice) -> Result<()> {
        let staff = town.technicians[0];
        if town.ledger.roles(town.tenant, staff).await?.is_empty() {
            return Ok(());
        }
        let (order, commands) = town.job(&[staff]);
        let machine: Option<Customer> = read(town, town.customer).await?;
        if machine.is_none_or(|c| c.equipment.is_empty()) {
            return Ok(());
        }
        for command in &commands {
            town.office(command).await?;
        }
        let number = read::<WorkOrder>(town, order).await?.context("the new job")?.number;
        let query = onsite_server::storage::Query { kind: Some(Kind::WorkOrder), limit: 1_000, ..Default::default() };
        let rows = town.ledger.storage().list(town.tenant, &query).await?;
        let same = rows.iter().filter(|v| v.summary.number == number.clone().unwrap_or_default()).count();
        ensure!(number.is_some() && same == 1, "{same} jobs have the number {number:?}");
        let mut phone =
            Phone::open(Connection::open_in_memory()?, dice.draw(), town.env.now(), SharedBlobs::default())?;
        let who = phone.enrol(town, staff, || {}).await?;
        phone.first_sync(town, &who).await?;
        let visit = phone.arrive(order)?;
        phone.first_sync(town, &who).await?;
        let seen = town.ledger.storage().views(town.tenant, &[visit.into()]).await?;
        ensure!(seen.len() == 1, "the visit made after the cut");
        town.log_is_whole().await
    }
}

pub(crate) async fn read<R: onsite_core::domain::Record>(town: &Town, doc: impl Into<DocId>) -> Result<Option<R>> {
    let view = town.ledger.storage().views(town.tenant, &[doc.into()]).await?.pop();
    Ok(view.map(|v| v.entity()).transpose()?.and_then(R::unwrap))
}

/// What the office sees is what the documents say.
pub(crate) async fn rows_equal_documents(town: &Town) -> Result<()> {
    let storage = town.ledger.storage();
    let held = storage.log(town.tenant, 0, usize::MAX >> 1).await?;
    let docs: BTreeSet<DocId> = held.iter().map(|r| r.doc).collect();
    for loaded in storage.load(town.tenant, &docs.into_iter().collect::<Vec<_>>()).await? {
        let doc =
            Doc::load(loaded.content.doc.kind, loaded.snapshot.as_deref(), loaded.tail.iter().map(Vec::as_slice))?;
        let mut heads = doc.heads();
        heads.sort_unstable();
        ensure!(heads == loaded.content.heads, "heads of {}", loaded.content.doc.id);
        ensure!(doc.entity()? == loaded.content.entity()?, "the row of {} is not its document", loaded.content.doc.id);
    }
    Ok(())
}
