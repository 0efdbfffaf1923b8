//! A phone's days: enrolled, at work, syncing, restarted, handed on.

use super::Recorded;
use super::town::{NOON, Phone, SharedBlobs, Town};
use crate::disk::{Dice, Disk, Op};
use anyhow::{Context as _, Result, ensure};
use onsite_core::domain::{
    ChangeHash, Command, DeviceId, DocId, Entity, EventKind, Kind, SuggestionId, VisitId, WorkOrderId,
};
use onsite_core::env::Env as _;
use onsite_core::store::{chunks, outbox, views};
use onsite_server::ledger::Session;
use onsite_server::storage::{MemoryStorage, Storage};
use rusqlite::Connection;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;

const DATABASE: &str = "device.sqlite";
/// Days of a recording have so many steps.
const STEPS: usize = 180;

/// A phone's recorded days.
pub(crate) struct Days {
    log: Vec<Op>,
    acks: Vec<usize>,
    /// Own edits, as soon as the engine said they were done.
    edits: Vec<(usize, DocId, ChangeHash)>,
    /// Where a wipe began: what was there before need not be any more.
    wipes: Vec<usize>,
    /// The server, as it was from a position on.
    server: Vec<(usize, Arc<MemoryStorage>)>,
    people: BTreeMap<DeviceId, Session>,
    town: Town,
    blobs: SharedBlobs,
    covered: BTreeSet<&'static str>,
}

/// The recording under way.
struct Camera<'a> {
    disk: &'a Disk,
    path: std::path::PathBuf,
    memory: Arc<MemoryStorage>,
    looker: Option<Connection>,
    acks: Vec<usize>,
    known: HashSet<(DocId, ChangeHash)>,
    edits: Vec<(usize, DocId, ChangeHash)>,
    server: Vec<(usize, Arc<MemoryStorage>)>,
    covered: BTreeSet<&'static str>,
    tail: i64,
}

impl Camera<'_> {
    /// Something was acknowledged: notes it, with the edits that wait.
    fn ack(&mut self) -> Result<()> {
        let at = self.disk.position();
        if self.acks.last() != Some(&at) {
            self.acks.push(at);
        }
        let looker = match &self.looker {
            Some(looker) => looker,
            None => self.looker.insert(Connection::open(&self.path)?),
        };
        for item in outbox::items(looker, NOON, 10_000)? {
            if self.known.insert((item.doc.id, item.hash)) {
                self.edits.push((at, item.doc.id, item.hash));
            }
        }
        let ask = |sql: &str| looker.query_row(sql, [], |r| r.get::<_, i64>(0));
        let longest = ask("SELECT coalesce(max(tail), 0) FROM doc")?;
        for (what, seen) in [
            ("an edit refused", ask("SELECT count(*) FROM refused")? > 0),
            ("a document compacted", longest < self.tail && longest > 0),
            ("a photo that waits", ask("SELECT count(*) FROM blob WHERE state = 0")? > 0),
        ] {
            if seen {
                self.covered.insert(what);
            }
        }
        self.tail = longest;
        Ok(())
    }

    /// The server moved on.
    fn served(&mut self) {
        self.server.push((self.disk.position(), Arc::new(self.memory.fork())));
    }
}

/// Lives a phone's days on a disk.
pub(crate) async fn record(disk: &Disk, root: &Path, seed: u64) -> Result<Days> {
    let mut dice = Dice::new(seed ^ 0xde71ce);
    let memory = Arc::new(MemoryStorage::new());
    let town = Town::found(memory.clone(), seed).await?;
    let (li, wang) = (town.technicians[0], town.technicians[1]);
    let path = root.join(DATABASE);
    let mut camera = Camera {
        disk,
        path: path.clone(),
        memory,
        looker: None,
        acks: Vec::new(),
        known: HashSet::new(),
        edits: Vec::new(),
        server: Vec::new(),
        covered: BTreeSet::new(),
        tail: 0,
    };
    camera.served();
    let mut people = BTreeMap::new();
    let (mut wipes, blobs, mut life) = (Vec::new(), SharedBlobs::default(), seed << 16);
    let mut open = |now| {
        life += 1;
        Phone::open(Connection::open(&path)?, life, now, blobs.clone()).map_err(anyhow::Error::from)
    };
    let mut phone = open(NOON)?;
    camera.ack()?;
    // A colleague whose phone is of no interest here.
    let mut other = Phone::open(Connection::open_in_memory()?, seed ^ 0x0ff, NOON, blobs.clone())?;
    let other_is = other.enrol(&town, wang, || {}).await?;
    let mut me = phone.enrol(&town, li, || camera.served()).await?;
    people.insert(me.device, me.clone());
    camera.ack()?;
    let mut orders = Vec::new();
    for who in [vec![li], vec![li, wang], vec![wang]] {
        let (order, commands) = town.job(&who);
        for command in &commands {
            town.office(command).await?;
        }
        orders.push(order);
    }
    camera.served();
    sync(&mut phone, &town, &me, &mut camera, &mut dice, 0).await?;
    other.settle(&town, &other_is).await?;
    let mut visits = Vec::new();
    for order in [orders[0], orders[1]] {
        visits.push(phone.arrive(order)?);
        camera.ack()?;
    }
    other.arrive(orders[1])?;
    for step in 0..STEPS {
        let visit = *dice.one(&visits);
        match dice.below(22) {
            0..=6 => done(phone.note(visit, &format!("记录 {step} {}", "液压站".repeat(dice.below(12)))))?,
            7 => {
                let text = format!("处理 {step}: {}", "更换密封圈。".repeat(dice.below(40)));
                done(phone.write(visit, "resolution", &text))?;
            }
            8 => {
                let event = *dice.one(&[EventKind::TravelStarted, EventKind::WorkStarted, EventKind::Paused]);
                done(phone.happen(visit, event))?;
            }
            9 => done(phone.photo(visit, &vec![step as u8; 1_000 + dice.below(5_000)]))?,
            10 => {
                let id = SuggestionId(phone.engine.new_id());
                let (title, text) = (format!("建议 {step}"), "加一个滤芯。".repeat(dice.below(60) + 1));
                phone.execute(&Command::Suggest { id, title, text, work_order: None })?;
            }
            11 => {
                // The colleague works on the shared job.
                other.note(VisitId::of_dispatch(orders[1], 1), &format!("王 {step}"))?;
                other.write(VisitId::of_dispatch(orders[1], 1), "resolution", &format!("王的处理 {step}"))?;
                other.settle(&town, &other_is).await?;
                camera.served();
            }
            12 => {
                let order = *dice.one(&orders);
                let text = "请注意安全".to_owned() + &step.to_string();
                let edit = Command::EditText {
                    doc: onsite_core::domain::DocRef::new(Kind::WorkOrder, order),
                    field: "dispatch/remarks".into(),
                    text,
                    seen: Vec::new(),
                };
                town.office(&edit).await?;
                let doc = VisitId::of_dispatch(orders[0], 1).into();
                // There is nothing to look at before the visit's first sync.
                let _ = town.ledger.mark_seen(town.tenant, doc, Vec::new(), town.boss.staff).await;
                camera.served();
            }
            13 => {
                let (order, commands) = town.job(&[li]);
                for command in &commands {
                    town.office(command).await?;
                }
                orders.push(order);
                camera.served();
            }
            14 => {
                // Unsent work that the server will refuse: it comes in another's name.
                let forged = Session { staff: if me.staff == li { wang } else { li }, ..me.clone() };
                done(phone.note(visit, &format!("冒名 {step}")))?;
                camera.ack()?;
                sync(&mut phone, &town, &forged, &mut camera, &mut dice, 0).await?;
            }
            15 if dice.percent(30) => {
                // The app is closed and opened again.
                let now = phone.env.now();
                drop(phone);
                camera.looker = None;
                phone = open(now)?;
            }
            16 => {
                if let Some(refused) = phone.engine.refused()?.first() {
                    let id = refused.id;
                    match dice.percent(50) {
                        true => phone.engine.dismiss(id)?,
                        // An edit that cannot be written again says so and changes nothing.
                        false => drop(phone.engine.resend(id)),
                    }
                }
            }
            _ => sync(&mut phone, &town, &me, &mut camera, &mut dice, 10).await?,
        }
        camera.ack()?;
        // Handed on once, when everything is at the server.
        if step == STEPS * 3 / 4 {
            sync(&mut phone, &town, &me, &mut camera, &mut dice, 0).await?;
            if phone.engine.status()?.safe_to_hand_in {
                wipes.push(disk.position());
                phone.engine.sign_out()?;
                camera.ack()?;
                let who = *dice.one(&[li, wang]);
                me = phone.enrol(&town, who, || camera.served()).await?;
                people.insert(me.device, me.clone());
                camera.ack()?;
                sync(&mut phone, &town, &me, &mut camera, &mut dice, 0).await?;
                visits.clear();
                visits.extend(held_visit(camera.looker.as_ref(), &orders)?);
                if visits.is_empty() {
                    let (order, commands) = town.job(&[who]);
                    for command in &commands {
                        town.office(command).await?;
                    }
                    camera.served();
                    sync(&mut phone, &town, &me, &mut camera, &mut dice, 0).await?;
                    visits.push(phone.arrive(order)?);
                }
            }
        }
    }
    drop(phone);
    let Camera { acks, edits, server, looker, mut covered, .. } = camera;
    drop(looker);
    if !wipes.is_empty() {
        covered.insert("a wipe");
    }
    Ok(Days { log: disk.log(), acks, edits, wipes, server, people, town, blobs, covered })
}

/// A rule may refuse what was refused to the phone before: a visit whose opening the server did not take is gone.
fn done(result: onsite_core::Result<()>) -> Result<()> {
    match result {
        Err(onsite_core::Error::Refused(_)) => Ok(()),
        other => Ok(other?),
    }
}

/// Visits on the phone.
fn held_visit(conn: Option<&Connection>, orders: &[WorkOrderId]) -> Result<Vec<VisitId>> {
    let conn = conn.context("nobody looks")?;
    let mut out = Vec::new();
    for order in orders {
        let visit = VisitId::of_dispatch(*order, 1);
        if chunks::held(conn, visit.into())?.is_some() {
            out.push(visit);
        }
    }
    Ok(out)
}

async fn sync(
    phone: &mut Phone,
    town: &Town,
    who: &Session,
    camera: &mut Camera<'_>,
    dice: &mut Dice,
    lost: usize,
) -> Result<()> {
    let mut failed = None;
    phone
        .sync(town, who, &mut |asked| {
            if asked {
                camera.served();
                return !dice.percent(lost);
            }
            failed = failed.take().or(camera.ack().err());
            true
        })
        .await?;
    failed.map_or(Ok(()), Err)
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
        self.covered.clone()
    }

    fn open(&self, dir: &Path) -> Result<()> {
        Phone::open(Connection::open(dir.join(DATABASE))?, 1, NOON, self.blobs.clone())?;
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
        let now = self.town.env.now();
        let mut phone =
            Phone::open(Connection::open(&path)?, dice.draw(), now, self.blobs.clone()).context("opening")?;
        let conn = Connection::open(&path)?;
        look(&conn)?;
        let last = self.server.partition_point(|(from, _)| *from <= at);
        let memory = Arc::new(self.server[last.saturating_sub(1)].1.fork());
        let town = self.town.over(memory.clone(), dice.draw());
        let wiped = self.wipes.iter().rev().find(|w| **w < at).copied();
        runtime()?.block_on(self.edits_are_there(&conn, at, wiped, memory.as_ref()))?;
        views_equal_documents(&conn)?;
        // The next command, and the next sync.
        let Some(who) = phone.engine.identity()? else {
            phone.engine.begin_enrolment()?;
            return Ok(());
        };
        let session = self.people.get(&who.device).context("enrolled as nobody")?;
        let id = SuggestionId(phone.engine.new_id());
        phone.execute(&Command::Suggest { id, title: "断电以后".into(), text: "好".into(), work_order: None })?;
        runtime()?.block_on(async {
            phone.settle(&town, session).await?;
            town.log_is_whole().await?;
            ensure!(outbox::account(&conn)?.changes == 0, "something waits after the sync");
            let held = chunks::held_in(&conn, &[])?;
            ensure!(held.iter().any(|h| h.doc.id == id.into()), "the edit made after the cut");
            for held in held {
                let theirs = memory.views(town.tenant, &[held.doc.id]).await?.pop();
                let theirs = theirs.with_context(|| format!("the server has no {}", held.doc.id))?.entity()?;
                let ours = views::entity(&conn, held.doc.id)?;
                ensure!(ours.as_ref() == Some(&theirs), "{} differs from the server's", held.doc.id);
            }
            Ok(())
        })
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

impl Days {
    /// By notes taken outside: every edit once done is in its document, or refused and kept, or at the server.
    async fn edits_are_there(
        &self,
        conn: &Connection,
        at: usize,
        wiped: Option<usize>,
        server: &dyn Storage,
    ) -> Result<()> {
        let refused: HashSet<ChangeHash> = outbox::refused(conn, false)?.into_iter().map(|r| r.hash).collect();
        let mut docs = BTreeMap::new();
        for (noted, doc, hash) in self.edits.iter().filter(|(noted, ..)| *noted <= at) {
            if wiped.is_some_and(|w| *noted <= w) || refused.contains(hash) {
                continue;
            }
            if !docs.contains_key(doc) {
                docs.insert(*doc, chunks::load(conn, *doc)?);
            }
            if docs[doc].as_ref().is_some_and(|d| d.has(*hash)) {
                continue;
            }
            let at_server = server.history(self.town.tenant, *doc).await?.iter().any(|r| r.hash == *hash);
            ensure!(at_server, "edit {hash} of {doc}, done at {noted}, is nowhere");
        }
        Ok(())
    }
}

/// What screens read is what the documents say.
fn views_equal_documents(conn: &Connection) -> Result<()> {
    for held in chunks::held_in(conn, &[])? {
        let doc = chunks::load(conn, held.doc.id)?.context("held and not there")?;
        ensure!(doc.heads().len() == held.heads.len(), "heads of {}", held.doc.id);
        let (says, shown): (Entity, _) = (doc.entity()?, views::entity(conn, held.doc.id)?);
        ensure!(shown.as_ref() == Some(&says), "the row of {} is not its document", held.doc.id);
    }
    Ok(())
}
