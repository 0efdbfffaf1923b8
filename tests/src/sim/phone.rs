//! A phone: a real engine on its disk, its session, its copies.

use super::dice::Dice;
use onsite_core::Engine;
use onsite_core::document::{Actor, Change, Doc};
use onsite_core::domain::summary::{summary, touches};
use onsite_core::domain::{ChangeHash, DeviceId, DocId, DocRef, Kind, Millis, Sha256, StaffId, TenantId};
use onsite_core::env::SeededEnv;
use onsite_core::error::{Error, Result};
use onsite_core::store::blobs::{Incoming, MemoryBlobs};
use onsite_core::store::outbox::{self, Lane};
use onsite_core::store::{Blobs, Store, View, chunks, meta, views};
use onsite_core::sync::protocol::EnrolAnswer;
use onsite_core::sync::session::{Effect, Event, Session, SessionOptions};
use rusqlite::{Connection, OpenFlags, backup};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Names of disks in memory: unique in the process, never part of what a seed does.
static DISKS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// An empty file with its schema: copying it is quicker than making it.
    static EMPTY: RefCell<Option<Disk>> = const { RefCell::new(None) };
}

/// A database in memory that lives as long as this, whoever opens and leaves it.
pub(super) struct Disk {
    name: String,
    /// The checker's own way in, and that of writers who pass the rules by.
    pub(super) store: Store,
}

impl Disk {
    fn connect(name: &str) -> Result<Connection> {
        // Each is used by one thread.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Ok(Connection::open_with_flags(format!("file:{name}?vfs=memdb"), flags)?)
    }

    fn made() -> Result<Self> {
        let name = format!("/sim-{}", DISKS.fetch_add(1, Ordering::Relaxed));
        let store = Store::open(Self::connect(&name)?)?;
        Ok(Self { name, store })
    }

    fn copy_of(from: &Connection) -> Result<Self> {
        let name = format!("/sim-{}", DISKS.fetch_add(1, Ordering::Relaxed));
        let mut conn = Self::connect(&name)?;
        backup::Backup::new(from, &mut conn)?.step(-1)?;
        Ok(Self { name, store: Store::open(conn)? })
    }

    /// An empty one.
    pub(super) fn new() -> Result<Self> {
        EMPTY.with_borrow_mut(|empty| {
            let empty = match empty {
                Some(empty) => empty,
                None => empty.insert(Self::made()?),
            };
            Self::copy_of(empty.store.read())
        })
    }

    pub(super) fn copy(&self) -> Result<Self> {
        Self::copy_of(self.store.read())
    }
}

/// Blobs that outlive a crash.
#[derive(Clone, Default)]
pub(super) struct Album(Arc<Mutex<MemoryBlobs>>);

impl Album {
    fn with<T>(&self, f: impl FnOnce(&mut MemoryBlobs) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.with(|b| b.clone()))))
    }
}

struct Picture<'a>(&'a Album, Vec<u8>);

impl Incoming for Picture<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.1.extend_from_slice(bytes);
        Ok(())
    }
    fn finish(self: Box<Self>) -> Result<(Sha256, u64)> {
        let name = self.0.with(|b| b.put(&self.1))?;
        Ok((name, self.1.len() as u64))
    }
    fn finish_as(self: Box<Self>, expected: Sha256) -> Result<u64> {
        self.0.with(|b| {
            let mut incoming = b.begin()?;
            incoming.write(&self.1)?;
            incoming.finish_as(expected)
        })
    }
}

impl Blobs for Album {
    fn begin(&mut self) -> Result<Box<dyn Incoming + '_>> {
        Ok(Box::new(Picture(self, Vec::new())))
    }
    fn read(&self, name: Sha256, offset: u64, len: usize) -> Result<Vec<u8>> {
        self.with(|b| b.read(name, offset, len))
    }
    fn size(&self, name: Sha256) -> Result<Option<u64>> {
        self.with(|b| b.size(name))
    }
    fn remove(&mut self, name: Sha256) -> Result<()> {
        self.with(|b| b.remove(name))
    }
}

/// A copy of a phone's file, put away.
pub(super) struct Copy {
    pub(super) disk: Disk,
    pub(super) album: Album,
    pub(super) wrote: Vec<usize>,
    pub(super) heard_refused: BTreeSet<(DocId, ChangeHash)>,
}

/// An exchange under way.
pub(super) struct Flight {
    pub(super) id: u64,
    pub(super) ask: super::net::Ask,
    /// What it pushes.
    pub(super) pushed: BTreeSet<(DocId, ChangeHash)>,
}

/// A phone.
pub(super) struct Phone {
    /// Index of its company.
    pub(super) company: usize,
    pub(super) tenant: TenantId,
    pub(super) device: DeviceId,
    pub(super) staff: StaffId,
    pub(super) disk: Disk,
    pub(super) album: Album,
    pub(super) env: Arc<SeededEnv>,
    /// How far its clock is from the truth.
    pub(super) skew: i64,
    pub(super) engine: Option<Engine>,
    pub(super) session: Session,
    pub(super) options: SessionOptions,
    pub(super) flight: Option<Flight>,
    pub(super) wait: Option<Millis>,
    /// Counts down to the commit that does not come through.
    failing: Arc<AtomicU8>,
    /// Out of reach.
    pub(super) away: bool,
    /// Its device was revoked.
    pub(super) revoked: bool,
    /// Wiped: it is nobody's phone any more.
    pub(super) wiped: bool,
    /// What was written on it, by number.
    pub(super) wrote: Vec<usize>,
    /// What it heard refused.
    pub(super) heard_refused: BTreeSet<(DocId, ChangeHash)>,
    pub(super) copies: Vec<Copy>,
    /// Whether its last sync ended as it should, and with what was skipped.
    pub(super) skipped: Vec<(String, String)>,
}

/// How phones sync: some in small bites.
fn options(dice: &mut Dice) -> SessionOptions {
    let mut options = SessionOptions::default();
    match dice.below(4) {
        0 => options.push_changes = 1 + dice.below(4),
        1 => options.push_bytes = 300 + dice.below(900),
        2 => options.budget = 500 + dice.below(4_000) as u64,
        _ => {}
    }
    options.chunk = 8 + dice.below(40);
    // Days are short here: some phones compact after a few changes.
    options.tail = [1, 2, 4, 32][dice.below(4)];
    options
}

impl Phone {
    #[expect(clippy::too_many_arguments, reason = "what a phone is made of")]
    pub(super) fn new(
        company: usize,
        device: DeviceId,
        (disk, album): (Disk, Album),
        answer: Option<&EnrolAnswer>,
        (tenant, staff): (TenantId, StaffId),
        seed: u64,
        now: i64,
        dice: &mut Dice,
    ) -> Result<Self> {
        let options = options(dice);
        let mut phone = Self {
            company,
            tenant,
            device,
            staff,
            disk,
            album,
            env: Arc::new(SeededEnv::new(seed, Millis(now))),
            skew: dice.within(-90_000, 90_000),
            engine: None,
            session: Session::new(options.clone()),
            options,
            flight: None,
            wait: None,
            failing: Arc::new(AtomicU8::new(0)),
            away: false,
            revoked: false,
            wiped: false,
            wrote: Vec::new(),
            heard_refused: BTreeSet::new(),
            copies: Vec::new(),
            skipped: Vec::new(),
        };
        phone.set_clock(now);
        if let Some(answer) = answer {
            let engine = phone.engine()?;
            engine.begin_enrolment()?;
            engine.finish_enrolment("https://onsite.example", answer)?;
        }
        Ok(phone)
    }

    pub(super) fn set_clock(&self, now: i64) {
        self.env.set(Millis(now + self.skew));
    }

    /// The engine; opened anew after a crash.
    pub(super) fn engine(&mut self) -> Result<&mut Engine> {
        if self.engine.is_none() {
            let mut conn = Disk::connect(&self.disk.name)?;
            let failing = Arc::clone(&self.failing);
            let next = |n: u8| n.checked_sub(1);
            let hook = move || failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next) == Ok(1);
            conn.commit_hook(Some(hook))?;
            let (env, album) = (Arc::clone(&self.env), self.album.clone());
            let mut engine = Engine::open(conn, Box::new(env), Box::new(album))?;
            engine.compact_beyond(self.options.tail);
            self.engine = Some(engine);
        }
        self.engine.as_mut().ok_or(Error::NotEnrolled)
    }

    /// The app dies: what was not committed is gone, and so is every answer under way.
    pub(super) fn crash(&mut self) {
        self.engine = None;
        self.session = Session::new(self.options.clone());
        self.flight = None;
        self.wait = None;
        self.failing.store(0, Ordering::SeqCst);
    }

    /// The n-th commit from now fails: a full disk, or the app killed in the middle of it.
    pub(super) fn fail_commit(&self, n: u8) {
        self.failing.store(n, Ordering::SeqCst);
    }

    /// No more failing.
    pub(super) fn mend(&mut self) {
        self.failing.store(0, Ordering::SeqCst);
        self.away = false;
    }

    pub(super) fn handle(&mut self, event: Event) -> Result<Vec<Effect>> {
        self.engine()?;
        let now = onsite_core::env::Env::now(&self.env);
        let Some(engine) = self.engine.as_mut() else { return Err(Error::NotEnrolled) };
        self.session.handle(engine.as_mut(), now, event)
    }

    pub(super) fn put_copy_away(&mut self) -> Result<()> {
        self.copies.push(Copy {
            disk: self.disk.copy()?,
            album: self.album.copy(),
            wrote: self.wrote.clone(),
            heard_refused: self.heard_refused.clone(),
        });
        Ok(())
    }

    /// The file as it was at a copy. Answers what was written since.
    pub(super) fn restore(&mut self, n: usize) -> Result<Vec<usize>> {
        self.crash();
        let copy = &self.copies[n];
        self.disk = copy.disk.copy()?;
        self.album = copy.album.copy();
        let lost = self.wrote.iter().copied().filter(|t| !copy.wrote.contains(t)).collect();
        self.wrote = copy.wrote.clone();
        self.heard_refused = copy.heard_refused.clone();
        Ok(lost)
    }

    /// Documents of a kind, by id.
    pub(super) fn docs(&self, kind: Kind) -> Result<Vec<DocId>> {
        let sql = "SELECT id FROM doc WHERE kind = ?1 AND entity IS NOT NULL ORDER BY id";
        let mut statement = self.disk.store.read().prepare_cached(sql)?;
        let rows = statement.query_map([kind.number()], |r| r.get::<_, [u8; 16]>(0))?;
        Ok(rows.map(|id| Ok(DocId(uuid::Uuid::from_bytes(id?)))).collect::<rusqlite::Result<_>>()?)
    }

    /// How many changes wait to be sent.
    pub(super) fn waiting(&self) -> Result<u64> {
        Ok(outbox::account(self.disk.store.read())?.changes)
    }

    /// The newest change that waits of a document.
    pub(super) fn newest(&self, doc: DocId) -> Result<Option<ChangeHash>> {
        let sql = "SELECT hash FROM change WHERE lane IS NOT NULL AND doc = (SELECT no FROM doc WHERE id = ?1) ORDER BY n DESC LIMIT 1";
        let mut statement = self.disk.store.read().prepare_cached(sql)?;
        let mut rows = statement.query([doc.as_bytes()])?;
        Ok(match rows.next()? {
            Some(row) => Some(ChangeHash(row.get(0)?)),
            None => None,
        })
    }

    /// Writes a change as a command would, past every rule: what a broken, hostile or newer app does.
    pub(super) fn write_past_rules(
        &mut self,
        id: DocRef,
        make: impl FnOnce(&mut Doc, Actor, StaffId, Millis) -> Result<Option<Change>>,
    ) -> Result<Option<ChangeHash>> {
        let now = onsite_core::env::Env::now(&self.env);
        let staff = self.staff;
        self.disk.store.commit(|tx| {
            let mut doc = chunks::load_or_new(tx, id)?;
            let Some(change) = make(&mut doc, meta::actor(tx)?, staff, now)? else { return Ok(None) };
            chunks::put_own(tx, id, &change, &doc.heads(), Lane::Work, now)?;
            let entity = doc.entity()?;
            let put = |at: DocRef, entity: &onsite_core::domain::Entity| -> Result<()> {
                let view = View::new(tx);
                let row = summary(at, entity, &view, now);
                view.finish()?;
                views::put(tx, &row, entity)
            };
            put(id, &entity)?;
            let others = {
                let view = View::new(tx);
                let others = touches(id, &entity, &view);
                view.finish()?;
                others
            };
            for other in others {
                if let Some(entity) = views::entity(tx, other.id)? {
                    put(other, &entity)?;
                }
            }
            Ok(Some(change.header.hash))
        })
    }
}

/// Makes a change of raw Automerge writes: keys that this version does not know.
pub(super) fn raw(
    doc: &mut Doc,
    actor: Actor,
    by: StaffId,
    at: Millis,
    puts: &[(&str, &str)],
) -> Result<Option<Change>> {
    use automerge::ReadDoc as _;
    use automerge::transaction::{CommitOptions, Transactable as _};
    let broken = |e: automerge::AutomergeError| Error::Damaged(e.to_string());
    let mut inner = automerge::Automerge::load(&doc.save()).map_err(broken)?;
    inner.set_actor(automerge::ActorId::from(actor.to_bytes()));
    let mut tx = inner.transaction();
    for (key, value) in puts {
        tx.put(automerge::ROOT, *key, *value).map_err(broken)?;
    }
    let options = CommitOptions::default().with_message(by.0.simple().to_string()).with_time(at.0.max(0));
    let Some(hash) = tx.commit_with(options).0 else { return Ok(None) };
    let Some(change) = inner.get_change_by_hash(&hash) else { return Ok(None) };
    let change = Change::parse(change.raw_bytes().to_vec())?;
    doc.apply([&change.bytes])?;
    Ok(Some(change))
}

/// Whether a document holds a raw key.
pub(super) fn has_key(doc: &Doc, key: &str) -> bool {
    use automerge::ReadDoc as _;
    automerge::Automerge::load(&doc.save()).is_ok_and(|d| matches!(d.get(automerge::ROOT, key), Ok(Some(_))))
}
