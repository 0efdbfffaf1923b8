//! In one SQLite file: the embedded default.
//!
//! One thread owns the connection that writes. What waits for it goes into one
//! transaction, each job in its own savepoint, so that many small pushes share
//! one sync of the disk; nobody is answered before that. Readers have their
//! own connections (WAL: neither waits for the other), and each call reads in
//! one snapshot.

use super::apply::{self, Cell, Rows};
use super::*;
use onsite_core::domain::{RequestId, WorkOrderId, World, summary, words};
use rusqlite::{
    Connection, OpenFlags, Row, TransactionBehavior, backup, config::DbConfig, params, params_from_iter, types::Value,
};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Marks the file as ours: "Onsv".
const APPLICATION: i64 = 0x4f6e_7376;
/// One script per schema version, never edited after a release.
const MIGRATIONS: &[&str] = &[
    include_str!("sql/0001.sql"),
    include_str!("sql/0002.sql"),
    include_str!("sql/0003.sql"),
    include_str!("sql/0004.sql"),
    include_str!("sql/0005.sql"),
];
/// The records under [`GLOBAL`] that name a company.
pub(super) const RECORDS_OF: &str = "SELECT key, body, expires, ver FROM record WHERE tenant = ?1 AND tbl = ?2 \
    AND body ->> '$.tenant' = ?3 AND (expires IS NULL OR expires > ?4) ORDER BY key";
/// Connections that read.
const READERS: usize = 4;
/// Documents (or rows by key) that are read without changing threads.
const FEW: usize = 32;
/// Pages of the log, 16 MB, that go into the file together: what many commits wrote goes there once.
const LOG_PAGES: u32 = 4000;
/// Jobs that may wait for the writer; more wait to be put.
const WAITING: usize = 1024;
/// Most jobs in one transaction: bounds how long the first waits.
const TOGETHER: usize = 128;

/// A storage in one SQLite file.
#[derive(Debug)]
pub struct SqliteStorage {
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
    readers: Arc<Readers>,
    turns: Arc<Semaphore>,
}

/// Runs in a savepoint; says whether that is to be kept, and how to tell the one who waits.
/// Without a connection it does nothing: there is only somebody to tell.
type Job = Box<dyn FnOnce(Option<&Connection>) -> (Result<()>, Answer) + Send>;
/// Tells the one who waits: `Some`, where the transaction failed.
type Answer = Box<dyn FnOnce(Option<Error>) + Send>;

impl Drop for SqliteStorage {
    fn drop(&mut self) {
        // The thread finishes what waits and ends when nobody can send any more.
        self.jobs = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the thread that writes the database panicked");
        }
    }
}

impl SqliteStorage {
    /// Opens the file, or creates it, and brings its schema up to date.
    ///
    /// # Errors
    /// [`Error::TooNew`], [`Error::Damaged`] (also: another program's file),
    /// [`Error::Locked`], [`Error::DiskFull`] and other errors of the database.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_logging(path, LOG_PAGES)
    }

    /// As [`SqliteStorage::open`], with a log (the WAL) that goes into the file after so many pages.
    ///
    /// # Errors
    /// As [`SqliteStorage::open`].
    pub fn open_logging(path: &Path, pages: u32) -> Result<Self> {
        let mut conn = connect(path)?;
        set_up(&mut conn)?;
        conn.pragma_update(None, "wal_autocheckpoint", pages)?;
        let readers = Readers { path: path.to_owned(), free: Mutex::default() };
        for _ in 0..READERS {
            readers.give(readers.open()?);
        }
        let (jobs, waiting) = mpsc::channel(WAITING);
        let writer =
            std::thread::Builder::new().name("onsite-sqlite".into()).spawn(move || write_on(&mut conn, waiting))?;
        Ok(Self {
            jobs: Some(jobs),
            writer: Some(writer),
            readers: Arc::new(readers),
            turns: Arc::new(Semaphore::new(READERS)),
        })
    }

    /// Runs `f` on a reading connection, in one snapshot, on a thread that may block.
    async fn read_any<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| closed())?;
        let readers = Arc::clone(&self.readers);
        let run = move || {
            let _turn = turn;
            Lease::take(readers)?.snapshot(f)
        };
        tokio::task::spawn_blocking(run).await.map_err(|e| Error::Internal(format!("reading the database: {e}")))?
    }

    /// As [`Self::read_any`], right here: for a few rows by their keys, which are
    /// read in less time than another thread takes to wake up.
    async fn look_any<T>(&self, f: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let _turn = self.turns.acquire().await.map_err(|_| closed())?;
        Lease::take(Arc::clone(&self.readers))?.snapshot(f)
    }

    /// As [`Self::look_any`], for a company that must be there.
    async fn look<T>(&self, tenant: TenantId, f: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.look_any(|conn| {
            company(conn, tenant)?;
            f(conn)
        })
        .await
    }

    /// Looks where `n` is a few, else reads.
    async fn look_or_read<T: Send + 'static>(
        &self,
        tenant: TenantId,
        n: usize,
        f: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if n <= FEW { self.look(tenant, f).await } else { self.read(tenant, f).await }
    }

    /// As [`Self::read_any`], for a company that must be there.
    async fn read<T: Send + 'static>(
        &self,
        tenant: TenantId,
        f: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.read_any(move |conn| {
            company(conn, tenant)?;
            f(conn)
        })
        .await
    }

    /// Runs `f` on the writing connection; durable when it answers.
    async fn write_any<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (tell, told) = oneshot::channel();
        let job: Job = Box::new(move |conn| {
            let result = conn.map_or_else(|| Err(closed()), f);
            let done = result.as_ref().map(drop).map_err(same);
            let answer: Answer = Box::new(move |failed| {
                let result = match failed {
                    Some(e) => Err(e),
                    None => result,
                };
                // Whoever has gone away meanwhile need not be told.
                let _: Result<(), _> = tell.send(result);
            });
            (done, answer)
        });
        self.jobs.as_ref().ok_or_else(closed)?.send(job).await.map_err(|_| closed())?;
        told.await.map_err(|_| closed())?
    }

    /// As [`Self::write_any`], for a company that must be there.
    async fn write<T: Send + 'static>(
        &self,
        tenant: TenantId,
        f: impl FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.write_any(move |conn| {
            company(conn, tenant)?;
            f(&mut Tx { conn, tenant })
        })
        .await
    }
}

fn closed() -> Error {
    Error::Internal("the database's thread has ended".into())
}

/// Connections that read.
#[derive(Debug)]
struct Readers {
    path: PathBuf,
    free: Mutex<Vec<Connection>>,
}

impl Readers {
    fn open(&self) -> Result<Connection> {
        let conn = connect(&self.path)?;
        conn.pragma_update(None, "query_only", true)?;
        Ok(conn)
    }

    fn give(&self, conn: Connection) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
    }
}

/// A reading connection, given back when dropped.
struct Lease {
    conn: Option<Connection>,
    home: Arc<Readers>,
}

impl Lease {
    fn take(home: Arc<Readers>) -> Result<Self> {
        let free = home.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let conn = match free {
            Some(conn) => conn,
            // One was given up, below.
            None => home.open()?,
        };
        Ok(Self { conn: Some(conn), home })
    }

    /// Runs `f` in one snapshot.
    fn snapshot<T>(&self, f: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let conn = self.conn.as_ref().ok_or_else(|| Error::Internal("no connection to read".into()))?;
        run(conn, "BEGIN", [])?;
        let end = End(conn);
        let found = f(conn);
        drop(end);
        found
    }
}

/// Ends a snapshot, also where its reader panics.
struct End<'a>(&'a Connection);

impl Drop for End<'_> {
    fn drop(&mut self) {
        if let Err(e) = run(self.0, "COMMIT", []) {
            tracing::error!(error = %e, "ending a snapshot");
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // One that could not end its transaction (no memory, say) would fail whoever comes next, and keep the log
        // from being checkpointed.
        if let Some(conn) = self.conn.take()
            && ended(&conn)
        {
            self.home.give(conn);
        }
    }
}

/// Whether no transaction is open, or it could be ended now.
fn ended(conn: &Connection) -> bool {
    if !conn.is_autocommit()
        && let Err(e) = conn.execute_batch("ROLLBACK")
    {
        tracing::warn!(error = %e, "rolling back");
    }
    conn.is_autocommit()
}

// ---- the thread that writes ----

fn write_on(conn: &mut Connection, mut waiting: mpsc::Receiver<Job>) {
    while let Some(first) = waiting.blocking_recv() {
        let mut jobs = vec![first];
        while jobs.len() < TOGETHER
            && let Ok(job) = waiting.try_recv()
        {
            jobs.push(job);
        }
        let mut answers = Vec::with_capacity(jobs.len());
        let failed = together(conn, jobs, &mut answers).err();
        for answer in answers {
            answer(failed.as_ref().map(same));
        }
    }
    if let Err(e) = conn.execute_batch("PRAGMA optimize") {
        tracing::debug!(error = %e, "optimizing the database at its end");
    }
}

/// Runs the jobs in one transaction. An error concerns all of them: each is still run or at
/// least asked for its answer, so that nobody waits in vain.
fn together(conn: &mut Connection, jobs: Vec<Job>, answers: &mut Vec<Answer>) -> Result<()> {
    // The last one may have failed to end.
    ended(conn);
    let mut failed = conn.execute_batch("BEGIN IMMEDIATE").err().map(Error::from);
    let (single, mut undo) = (jobs.len() == 1, false);
    for job in jobs {
        if failed.is_none() && single {
            // Nobody else is in the transaction: it is the savepoint.
            let (done, answer) = guarded(Some(conn), job).unzip();
            answers.extend(answer);
            undo = done.as_ref().is_none_or(Result::is_err);
            if conn.is_autocommit() {
                failed = Some(rolled_back(done));
            }
            break;
        }
        if failed.is_some() {
            answers.extend(guarded(None, job).map(|(_, answer)| answer));
            continue;
        }
        if let Err(e) = alone(conn, job, answers) {
            failed = Some(e);
        }
    }
    if failed.is_none() && !undo {
        failed = conn.execute_batch("COMMIT").err().map(Error::from);
    }
    ended(conn);
    failed.map_or(Ok(()), Err)
}

fn alone(conn: &Connection, job: Job, answers: &mut Vec<Answer>) -> Result<()> {
    if let Err(e) = run(conn, "SAVEPOINT job", []) {
        answers.extend(guarded(None, job).map(|(_, answer)| answer));
        return Err(e);
    }
    let (done, answer) = guarded(Some(conn), job).unzip();
    answers.extend(answer);
    if conn.is_autocommit() {
        return Err(rolled_back(done));
    }
    if done.is_none_or(|d| d.is_err()) {
        conn.prepare_cached("ROLLBACK TO job")?.execute([])?;
    }
    conn.prepare_cached("RELEASE job")?.execute([])?;
    Ok(())
}

/// Why the whole transaction is gone: a full disk, for one, rolls it back by itself.
fn rolled_back(done: Option<Result<()>>) -> Error {
    done.and_then(Result::err).unwrap_or_else(|| Error::Database("the transaction was rolled back".into()))
}

/// Runs a job; `None` where it panicked: dropping it has told who waits.
fn guarded(conn: Option<&Connection>, job: Job) -> Option<(Result<()>, Answer)> {
    let done = catch_unwind(AssertUnwindSafe(|| job(conn)));
    if done.is_err() {
        tracing::error!("a job of the database panicked");
    }
    done.ok()
}

/// The same error once more, for another who waits.
fn same(e: &Error) -> Error {
    match e {
        Error::DiskFull => Error::DiskFull,
        Error::OutOfMemory => Error::OutOfMemory,
        Error::Locked => Error::Locked,
        Error::File(e) => Error::File(std::io::Error::new(e.kind(), e.to_string())),
        Error::Damaged(d) => Error::Damaged(d.clone()),
        Error::Database(d) => Error::Database(d.clone()),
        other => Error::Database(other.to_string()),
    }
}

// ---- opening ----

fn connect(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(Duration::from_secs(5))?;
    // A plan stays as it is: with statistics SQLite would else plan anew for every value bound.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.set_prepared_statement_cache_capacity(128);
    Ok(conn)
}

fn set_up(conn: &mut Connection) -> Result<()> {
    let (application, version) = identify(conn)?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if application != APPLICATION {
        let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0))?;
        if application != 0 || version != 0 || tables != 0 {
            // Unless another process has just created it, between the two questions.
            if identify(conn)?.0 != APPLICATION {
                return Err(Error::Damaged("the file belongs to another program".into()));
            }
        }
    } else if version > known {
        return Err(Error::TooNew { found: version, known });
    }
    conn.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.pragma_update(None, "cache_size", -32_768)?;
    conn.pragma_update(None, "journal_size_limit", 64 << 20)?;
    if version < known {
        migrate(conn, known)?;
    }
    Ok(())
}

/// Runs what is missing, all in one transaction.
fn migrate(conn: &mut Connection, known: i64) -> Result<()> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Asked again under the lock: another process may have been here first.
    let (_, version) = identify(&tx)?;
    let from = usize::try_from(version).map_err(|_| Error::Damaged(format!("schema version {version}")))?;
    for sql in MIGRATIONS.get(from..).unwrap_or_default() {
        tx.execute_batch(sql)?;
    }
    if from == 1 {
        reindex(&tx)?;
    }
    if (1..3).contains(&from) {
        gather(&tx)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION)?;
    tx.pragma_update(None, "user_version", version.max(known))?;
    tx.commit()?;
    Ok(())
}

/// Writes the words of every row anew: since schema 2 texts are split as in
/// [`onsite_core::domain::words`], and a row does not keep its text.
fn reindex(conn: &Connection) -> Result<()> {
    let rows = all(conn, "SELECT id, tenant, doc, kind FROM view", [], |r| {
        Ok((r.get::<_, i64>(0)?, TenantId(uuid(r, 1)?), DocRef { kind: kind(r, 3)?, id: doc_id(r, 2)? }))
    })?;
    tracing::info!(rows = rows.len(), "the search index is written anew");
    for (id, tenant, doc) in rows {
        let world = Stored { conn, tenant, error: RefCell::default() };
        // What cannot be read stays as it is: opening must not fail for it.
        let Some(entity) = world.entity(doc) else { continue };
        let search = summary::summary(doc, &entity, &world, Millis(0)).search;
        if let Some(e) = world.error.into_inner() {
            return Err(e);
        }
        index(conn, id, &search, true)?;
        run(conn, "UPDATE view SET words = ?2 WHERE id = ?1", params![id, search_mark(&search)])?;
    }
    Ok(())
}

/// Works out the facts of every row: there are none before schema 3.
fn gather(conn: &Connection) -> Result<()> {
    for of in crate::facts::KINDS {
        let rows = all(conn, "SELECT tenant, doc, status, due FROM view WHERE kind = ?1", [of.number()], |r| {
            let due = r.get::<_, Option<i64>>(3)?.map(Millis);
            Ok((TenantId(uuid(r, 0)?), doc_id(r, 1)?, r.get::<_, String>(2)?, due))
        })?;
        for (tenant, id, status, due) in rows {
            let world = Stored { conn, tenant, error: RefCell::default() };
            let doc = DocRef { kind: of, id };
            // What cannot be read has none: opening must not fail for it.
            let Some(entity) = world.entity(doc) else { continue };
            let fact = crate::facts::of(doc, &entity, due, &world)?;
            if let Some(e) = world.error.into_inner() {
                return Err(e);
            }
            put_fact(conn, tenant, doc, &status, fact.as_ref())?;
        }
    }
    Ok(())
}

/// Columns whose values are others than they were, to be set: with one that stays SQLite would write its indexes too.
fn moved<'a>(now: impl IntoIterator<Item = (&'a str, Value)>, then: Vec<Value>) -> (Vec<String>, Vec<Value>) {
    let differ = now.into_iter().zip(then).filter(|((_, now), then)| now != then);
    differ.map(|((name, now), _)| (format!("{name} = ?"), now)).unzip()
}

/// Puts a document's fact in the place of what was kept, where it is another.
fn put_fact(conn: &Connection, tenant: TenantId, doc: DocRef, status: &str, fact: Option<&Fact>) -> Result<()> {
    let Some(Fact { starts, ends, body }) = fact else { return Ok(()) };
    let (tenant, kind, id) = (tenant.as_bytes(), doc.kind.number(), doc.id.as_bytes());
    let of = "WHERE tenant = ? AND kind = ? AND doc = ?";
    let sql = format!("SELECT status, starts, ends, body FROM fact {of}");
    let old =
        one(conn, &sql, params![tenant, kind, id], |r| Ok((0..4).map(|i| r.get(i)).collect::<Result<_, _>>()?))?;
    let Some(then) = old else {
        let sql =
            "INSERT INTO fact (tenant, kind, doc, status, starts, ends, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        run(conn, sql, params![tenant, kind, id, status, starts.map(|m| m.0), ends.map(|m| m.0), body])?;
        return Ok(());
    };
    let now: [(&str, Value); 4] = [
        ("status", status.to_owned().into()),
        ("starts", starts.map(|m| m.0).into()),
        ("ends", ends.map(|m| m.0).into()),
        ("body", body.clone().into()),
    ];
    let (set, mut values) = moved(now, then);
    if !set.is_empty() {
        values.extend([tenant.to_vec().into(), i64::from(kind).into(), id.to_vec().into()]);
        run(conn, &format!("UPDATE fact SET {} {of}", set.join(", ")), params_from_iter(values))?;
    }
    Ok(())
}

fn linked_to(conn: &Connection, tenant: TenantId, doc: DocId) -> Result<Vec<DocId>> {
    let sql = "SELECT origin FROM link WHERE tenant = ?1 AND target = ?2 ORDER BY origin";
    all(conn, sql, params![tenant.as_bytes(), doc.as_bytes()], |r| Ok(doc_id(r, 0)?))
}

/// The read model as the world, where a connection is at hand.
struct Stored<'a> {
    conn: &'a Connection,
    tenant: TenantId,
    error: RefCell<Option<Error>>,
}

impl Stored<'_> {
    fn keep<T: Default>(&self, result: Result<T>) -> T {
        result.unwrap_or_else(|e| {
            self.error.borrow_mut().get_or_insert(e);
            T::default()
        })
    }
}

impl World for Stored<'_> {
    fn entity(&self, doc: DocRef) -> Option<Cow<'_, Entity>> {
        let sql = "SELECT entity FROM view WHERE tenant = ?1 AND doc = ?2 AND kind = ?3";
        let values = params![self.tenant.as_bytes(), doc.id.as_bytes(), doc.kind.number()];
        let json = self.keep(one(self.conn, sql, values, |r| Ok(r.get::<_, String>(0)?)))?;
        serde_json::from_str(&json).ok()
    }
    fn children(&self, kind: Kind, of: DocId) -> Vec<DocId> {
        self.keep(children(self.conn, self.tenant, kind, of))
    }
    fn answers(&self, request: RequestId) -> Vec<WorkOrderId> {
        let linked = self.keep(linked_to(self.conn, self.tenant, request.into()));
        linked.into_iter().map(WorkOrderId::from).collect()
    }
    fn coded(&self, code: &str) -> Vec<StaffId> {
        self.keep(coded(self.conn, self.tenant, code))
    }
}

fn identify(conn: &Connection) -> Result<(i64, i64)> {
    let ask = |name: &str| conn.pragma_query_value(None, name, |r| r.get::<_, i64>(0));
    Ok((ask("application_id")?, ask("user_version")?))
}

// ---- values ----

/// A number of the log; beyond what SQLite counts there is none.
fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn most(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn uuid(row: &Row<'_>, i: usize) -> rusqlite::Result<uuid::Uuid> {
    Ok(uuid::Uuid::from_bytes(row.get(i)?))
}

fn doc_id(row: &Row<'_>, i: usize) -> rusqlite::Result<DocId> {
    Ok(DocId(uuid(row, i)?))
}

fn kind(row: &Row<'_>, i: usize) -> rusqlite::Result<Kind> {
    let n: u8 = row.get(i)?;
    Kind::from_number(n).ok_or_else(|| rusqlite::Error::IntegralValueOutOfRange(i, n.into()))
}

fn heads(row: &Row<'_>, i: usize) -> rusqlite::Result<Vec<ChangeHash>> {
    let bytes = row.get_ref(i)?.as_blob()?;
    Ok(bytes.as_chunks::<32>().0.iter().map(|h| ChangeHash(*h)).collect())
}

fn joined(heads: &[ChangeHash]) -> Vec<u8> {
    heads.iter().flat_map(|h| h.0).collect()
}

fn parsed<T: serde::de::DeserializeOwned>(json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|e| Error::Damaged(format!("a row's JSON: {e}")))
}

fn json<T: Serialize>(value: &T) -> Result<String> {
    Ok(serde_json::to_string(value)?)
}

/// All rows, each through `f`.
fn all<T>(
    conn: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    mut f: impl FnMut(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push(f(row)?);
    }
    Ok(out)
}

/// The first row, through `f`.
fn one<T>(
    conn: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    f: impl FnOnce(&Row<'_>) -> Result<T>,
) -> Result<Option<T>> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    rows.next()?.map(f).transpose()
}

fn run(conn: &Connection, sql: &str, params: impl rusqlite::Params) -> Result<usize> {
    Ok(conn.prepare_cached(sql)?.execute(params)?)
}

// ---- rows ----

fn company(conn: &Connection, tenant: TenantId) -> Result<()> {
    let there = one(conn, "SELECT 1 FROM tenant WHERE id = ?1", [tenant.as_bytes()], |_| Ok(()))?;
    there.ok_or_else(|| Error::NotFound("company".into()))
}

const TENANT: &str = "SELECT id, name, epoch, head, secret, created FROM tenant";

fn tenant_row(row: &Row<'_>) -> Result<Tenant> {
    Ok(Tenant {
        id: TenantId(uuid(row, 0)?),
        name: row.get(1)?,
        epoch: row.get::<_, i64>(2)?.cast_unsigned(),
        head: row.get(3)?,
        secret: row.get(4)?,
        created: Millis(row.get(5)?),
    })
}

fn doc_row(conn: &Connection, tenant: TenantId, doc: DocId) -> Result<Option<DocRow>> {
    let sql = "SELECT kind, ver, heads, snapshot_upto FROM doc WHERE tenant = ?1 AND doc = ?2";
    one(conn, sql, params![tenant.as_bytes(), doc.as_bytes()], |r| doc_line(doc, r))
}

fn doc_line(doc: DocId, r: &Row<'_>) -> Result<DocRow> {
    Ok(DocRow { doc, kind: kind(r, 0)?, ver: r.get(1)?, heads: heads(r, 2)?, snapshot_upto: r.get(3)? })
}

fn snapshot(conn: &Connection, tenant: TenantId, doc: DocId) -> Result<Option<Vec<u8>>> {
    let sql = "SELECT body FROM snapshot WHERE tenant = ?1 AND doc = ?2";
    one(conn, sql, params![tenant.as_bytes(), doc.as_bytes()], |r| Ok(r.get(0)?))
}

const VIEW: &str = "d.ver, v.rev, d.heads, v.entity, v.summary, v.clashes, v.changed";

fn view_row(row: &Row<'_>) -> Result<View> {
    Ok(View {
        ver: row.get(0)?,
        rev: row.get(1)?,
        heads: heads(row, 2)?,
        entity: row.get(3)?,
        summary: parsed(row.get_ref(4)?.as_str().map_err(rusqlite::Error::from)?)?,
        clashes: row.get(5)?,
        changed: Millis(row.get(6)?),
        fact: None,
    })
}

fn view(conn: &Connection, tenant: TenantId, doc: DocId) -> Result<Option<View>> {
    let sql = format!(
        "SELECT {VIEW} FROM view v JOIN doc d ON d.tenant = v.tenant AND d.doc = v.doc \
         WHERE v.tenant = ?1 AND v.doc = ?2"
    );
    one(conn, &sql, params![tenant.as_bytes(), doc.as_bytes()], view_row)
}

const CONTENT: &str = "d.kind, d.ver, v.rev, d.heads, v.entity, v.clashes, v.changed";

fn content_row(doc: DocId, row: &Row<'_>) -> Result<Content> {
    Ok(Content {
        doc: DocRef { kind: kind(row, 0)?, id: doc },
        ver: row.get(1)?,
        rev: row.get(2)?,
        heads: heads(row, 3)?,
        entity: row.get(4)?,
        clashes: row.get(5)?,
        changed: Millis(row.get(6)?),
    })
}

fn content(conn: &Connection, tenant: TenantId, doc: DocId) -> Result<Option<Content>> {
    let sql = format!(
        "SELECT {CONTENT} FROM view v JOIN doc d ON d.tenant = v.tenant AND d.doc = v.doc \
         WHERE v.tenant = ?1 AND v.doc = ?2"
    );
    one(conn, &sql, params![tenant.as_bytes(), doc.as_bytes()], |r| content_row(doc, r))
}

const LOG: &str = "SELECT cursor, doc, kind, hash, device, body, received FROM change";

fn log_row(row: &Row<'_>) -> Result<LogRow> {
    Ok(LogRow {
        cursor: row.get(0)?,
        doc: doc_id(row, 1)?,
        kind: kind(row, 2)?,
        hash: ChangeHash(row.get::<_, Option<[u8; 32]>>(3)?.unwrap_or_default()),
        device: DeviceId(uuid(row, 4)?),
        body: row.get(5)?,
        received: Millis(row.get(6)?),
    })
}

/// Changes of a document after a number.
fn changes<T>(
    conn: &Connection,
    tenant: TenantId,
    doc: DocId,
    after: u64,
    f: impl FnMut(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    // The index alone tells which, of all there are of the document: loading it costs far more for each of them.
    let sql = format!(
        "{LOG} WHERE id IN (SELECT id FROM change INDEXED BY change_of_doc \
         WHERE tenant = ?1 AND doc = ?2 AND actor IS NOT NULL AND id > coalesce((SELECT id FROM change \
         WHERE tenant = ?1 AND cursor <= ?3 ORDER BY cursor DESC LIMIT 1), 0)) ORDER BY cursor"
    );
    all(conn, &sql, params![tenant.as_bytes(), doc.as_bytes(), int(after)], f)
}

/// As [`changes`], without asking where the document has none after that.
fn later<T>(
    conn: &Connection,
    tenant: TenantId,
    (doc, ver): (DocId, u64),
    after: u64,
    f: impl FnMut(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    if after < ver { changes(conn, tenant, doc, after, f) } else { Ok(Vec::new()) }
}

const ASIDE: &str =
    "SELECT doc, kind, hash, staff, device, code, field, detail, because_of, body, at, decision FROM aside";

fn aside_row(row: &Row<'_>) -> Result<SetAside> {
    Ok(SetAside {
        doc: doc_id(row, 0)?,
        kind: kind(row, 1)?,
        hash: ChangeHash(row.get(2)?),
        staff: StaffId(uuid(row, 3)?),
        device: DeviceId(uuid(row, 4)?),
        code: row.get(5)?,
        field: row.get(6)?,
        detail: row.get(7)?,
        because_of: row.get::<_, Option<[u8; 32]>>(8)?.map(ChangeHash),
        body: row.get(9)?,
        at: Millis(row.get(10)?),
        decided: row.get::<_, Option<String>>(11)?.as_deref().map(parsed).transpose()?,
    })
}

fn record_row(row: &Row<'_>) -> Result<Record> {
    Ok(Record {
        key: row.get(0)?,
        body: parsed(row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?)?,
        expires: row.get::<_, Option<i64>>(2)?.map(Millis),
        ver: row.get(3)?,
    })
}

fn digest(conn: &Connection, tenant: TenantId, staff: StaffId) -> Result<Digest> {
    let sql = "SELECT digest FROM digest WHERE tenant = ?1 AND staff = ?2";
    let found = one(conn, sql, params![tenant.as_bytes(), staff.as_bytes()], |r| Ok(Digest(r.get(0)?)))?;
    Ok(found.unwrap_or_default())
}

fn counter(conn: &Connection, tenant: TenantId, name: &str) -> Result<u64> {
    let sql = "SELECT n FROM counter WHERE tenant = ?1 AND name = ?2";
    Ok(one(conn, sql, params![tenant.as_bytes(), name], |r| Ok(r.get(0)?))?.unwrap_or(0))
}

/// Whom a row concerns, of its summary.
#[derive(Deserialize)]
struct Concerned {
    people: BTreeSet<StaffId>,
}

/// What stands for a search text in its row: another one is indexed anew.
fn search_mark(search: &str) -> [u8; 32] {
    sha2::Sha256::digest(search.as_bytes()).into()
}

/// Puts a row's words in the place of those it had.
fn index(conn: &Connection, id: i64, search: &str, had: bool) -> Result<()> {
    if had {
        run(conn, "DELETE FROM words WHERE rowid = ?1", [id])?;
    }
    run(conn, "INSERT INTO words (rowid, body) VALUES (?1, ?2)", params![id, words::indexed(search).join(" ")])?;
    Ok(())
}

/// Puts a record over what may be there; whether it was as it must be.
fn put_record(conn: &Connection, put: &RecordWrite, now: Millis) -> Result<bool> {
    let RecordWrite { tenant, table, record, expect } = put;
    let sql = "SELECT ver FROM record WHERE tenant = ?1 AND tbl = ?2 AND key = ?3 \
               AND (expires IS NULL OR expires > ?4)";
    let there = one(conn, sql, params![tenant.as_bytes(), table, record.key, now.0], |r| Ok(r.get(0)?))?;
    let there: u64 = there.unwrap_or(0);
    if expect.is_some_and(|e| e != there) {
        return Ok(false);
    }
    let sql = "INSERT INTO record (tenant, tbl, key, body, expires, ver) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
               ON CONFLICT DO UPDATE SET body = ?4, expires = ?5, ver = ?6";
    let (id, expires) = (tenant.as_bytes(), record.expires.map(|e| e.0));
    run(conn, sql, params![id, table, record.key, json(&record.body)?, expires, there + 1])?;
    Ok(true)
}

/// The rows of one company, within a job's savepoint.
struct Tx<'a> {
    conn: &'a Connection,
    tenant: TenantId,
}

impl Tx<'_> {
    fn id(&self) -> &[u8; 16] {
        self.tenant.as_bytes()
    }

    fn run(&self, sql: &str, params: impl rusqlite::Params) -> Result<()> {
        run(self.conn, sql, params).map(drop)
    }

    fn docs(&self, sql: &str, doc: DocId) -> Result<Vec<DocId>> {
        all(self.conn, sql, params![self.id(), doc.as_bytes()], |r| Ok(doc_id(r, 0)?))
    }

    /// Keeps who is concerned, where that changed.
    fn put_people(&self, id: i64, old: &BTreeSet<StaffId>, new: &BTreeSet<StaffId>) -> Result<()> {
        for staff in old.difference(new) {
            let sql = "DELETE FROM person WHERE tenant = ?1 AND staff = ?2 AND view = ?3";
            self.run(sql, params![self.id(), staff.as_bytes(), id])?;
        }
        for staff in new.difference(old) {
            let sql = "INSERT INTO person (tenant, staff, view) VALUES (?1, ?2, ?3)";
            self.run(sql, params![self.id(), staff.as_bytes(), id])?;
        }
        Ok(())
    }
}

impl Rows for Tx<'_> {
    fn head(&mut self) -> Result<Option<u64>> {
        one(self.conn, "SELECT head FROM tenant WHERE id = ?1", [self.id()], |r| Ok(r.get(0)?))
    }
    fn set_head(&mut self, head: u64) -> Result<()> {
        self.run("UPDATE tenant SET head = ?2 WHERE id = ?1", params![self.id(), head])
    }
    fn device_good(&mut self, device: DeviceId) -> Result<bool> {
        let sql = "SELECT revoked IS NULL FROM device WHERE tenant = ?1 AND id = ?2";
        Ok(one(self.conn, sql, params![self.id(), device.as_bytes()], |r| Ok(r.get(0)?))?.unwrap_or(false))
    }
    fn answered(&mut self, key: &str) -> Result<bool> {
        let sql = "SELECT 1 FROM answer WHERE tenant = ?1 AND key = ?2";
        Ok(one(self.conn, sql, params![self.id(), key], |_| Ok(()))?.is_some())
    }
    fn put_answer(&mut self, answer: &Idempotent) -> Result<()> {
        let sql = "INSERT INTO answer (tenant, key, answer) VALUES (?1, ?2, ?3)";
        self.run(sql, params![self.id(), answer.key, answer.answer])
    }
    fn doc(&mut self, doc: DocId) -> Result<Option<DocRow>> {
        doc_row(self.conn, self.tenant, doc)
    }
    fn put_doc(&mut self, row: &DocRow) -> Result<()> {
        let sql = "INSERT INTO doc (tenant, doc, kind, ver, heads, snapshot_upto) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
                   ON CONFLICT DO UPDATE SET kind = ?3, ver = ?4, heads = ?5, snapshot_upto = ?6";
        let heads = joined(&row.heads);
        let values = params![self.id(), row.doc.as_bytes(), row.kind.number(), row.ver, heads, row.snapshot_upto];
        self.run(sql, values)
    }
    fn append(&mut self, cursor: u64, doc: &DocWrite, change: &NewChange, now: Millis) -> Result<()> {
        let sql = "INSERT OR IGNORE INTO change (tenant, cursor, doc, kind, hash, actor, seq, device, body, received) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        let values = params![
            self.id(),
            cursor,
            doc.doc.as_bytes(),
            doc.kind.number(),
            change.hash.0,
            change.actor.to_bytes(),
            change.seq.cast_signed(),
            change.device.as_bytes(),
            change.body,
            now.0
        ];
        match run(self.conn, sql, values)? {
            0 => Err(Error::Internal(format!("change {} twice in the log", change.hash))),
            _ => Ok(()),
        }
    }
    fn put_snapshot(&mut self, doc: DocId, body: &[u8]) -> Result<()> {
        let sql = "INSERT INTO snapshot (tenant, doc, body) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET body = ?3";
        self.run(sql, params![self.id(), doc.as_bytes(), body])
    }
    fn standing(&mut self, doc: DocId) -> Result<Option<(DocRow, u64)>> {
        let sql = "SELECT d.kind, d.ver, d.heads, d.snapshot_upto, v.rev FROM doc d \
                   LEFT JOIN view v ON v.tenant = d.tenant AND v.doc = d.doc WHERE d.tenant = ?1 AND d.doc = ?2";
        one(self.conn, sql, params![self.id(), doc.as_bytes()], |r| {
            Ok((doc_line(doc, r)?, r.get::<_, Option<u64>>(4)?.unwrap_or(0)))
        })
    }
    fn put_view(&mut self, view: &View, _ver: u64, rev: u64) -> Result<()> {
        let mut summary = view.summary.clone();
        let search = std::mem::take(&mut summary.search);
        let words = search_mark(&search);
        let doc = summary.doc.id;
        let people: BTreeSet<StaffId> = summary.people.iter().copied().collect();
        let sql = "SELECT id, words, summary, status, parent, due, place, clashes, flagged FROM view \
                   WHERE tenant = ?1 AND doc = ?2";
        let old = one(self.conn, sql, params![self.id(), doc.as_bytes()], |r| {
            let concerned: Concerned = parsed(r.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?)?;
            let sorts: Vec<Value> = (3..9).map(|i| r.get(i)).collect::<rusqlite::Result<_>>()?;
            Ok((r.get::<_, i64>(0)?, r.get::<_, [u8; 32]>(1)?, concerned.people, sorts))
        })?;
        // Of these there are indexes.
        let parent = summary.parent.map(|p| p.as_bytes().to_vec());
        let sorts: [(&str, Value); 6] = [
            ("status", summary.status.clone().into()),
            ("parent", parent.into()),
            ("due", summary.due.map(|d| d.0).into()),
            ("place", view.key().due.into()),
            ("clashes", i64::from(view.clashes).into()),
            ("flagged", i64::from(!summary.flags.is_empty()).into()),
        ];
        let mut values: Vec<Value> = vec![
            int(rev).into(),
            view.changed.0.into(),
            words.to_vec().into(),
            json(&summary)?.into(),
            view.entity.clone().into(),
        ];
        let (id, had, before) = match old {
            Some((id, had, before, then)) => {
                let (set, moved) = moved(sorts, then);
                values.extend(moved.into_iter().chain([id.into()]));
                let set: String = set.iter().flat_map(|column| [", ", column]).collect();
                let sql = format!(
                    "UPDATE view SET rev = ?, changed = ?, words = ?, summary = ?, entity = ?{set} WHERE id = ?"
                );
                self.run(&sql, params_from_iter(values))?;
                (id, Some(had), before)
            }
            None => {
                values.extend(sorts.into_iter().map(|(_, value)| value));
                let of = [self.id().to_vec().into(), doc.as_bytes().to_vec().into()];
                values.extend(of.into_iter().chain([i64::from(summary.doc.kind.number()).into()]));
                let sql = "INSERT INTO view (rev, changed, words, summary, entity, status, parent, due, place, \
                           clashes, flagged, tenant, doc, kind) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
                self.run(sql, params_from_iter(values))?;
                (self.conn.last_insert_rowid(), None, BTreeSet::new())
            }
        };
        self.put_people(id, &before, &people)?;
        if had != Some(words) {
            index(self.conn, id, &search, had.is_some())?;
        }
        put_fact(self.conn, self.tenant, summary.doc, &summary.status, view.fact.as_ref())
    }
    fn scope_of(&mut self, doc: DocId) -> Result<BTreeMap<StaffId, Cell>> {
        let sql = "SELECT staff, flags, since, ver FROM scope WHERE tenant = ?1 AND doc = ?2";
        let cells = all(self.conn, sql, params![self.id(), doc.as_bytes()], |r| {
            Ok((StaffId(uuid(r, 0)?), Cell { flags: r.get(1)?, since: r.get(2)?, ver: r.get(3)? }))
        })?;
        Ok(cells.into_iter().collect())
    }
    fn put_scope(&mut self, doc: DocId, staff: StaffId, cell: Cell) -> Result<()> {
        let sql = "INSERT INTO scope (tenant, doc, staff, flags, since, ver) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
                   ON CONFLICT DO UPDATE SET flags = ?4, since = ?5, ver = ?6";
        self.run(sql, params![self.id(), doc.as_bytes(), staff.as_bytes(), cell.flags, cell.since, cell.ver])
    }
    fn link(&mut self, from: DocId, to: DocId) -> Result<bool> {
        let sql = "INSERT OR IGNORE INTO link (tenant, origin, target) VALUES (?1, ?2, ?3)";
        Ok(run(self.conn, sql, params![self.id(), from.as_bytes(), to.as_bytes()])? == 1)
    }
    fn links_from(&mut self, from: DocId) -> Result<Vec<DocId>> {
        self.docs("SELECT target FROM link WHERE tenant = ?1 AND origin = ?2 ORDER BY target", from)
    }
    fn links_to(&mut self, to: DocId) -> Result<Vec<DocId>> {
        self.docs("SELECT origin FROM link WHERE tenant = ?1 AND target = ?2 ORDER BY origin", to)
    }
    fn digest(&mut self, staff: StaffId) -> Result<Digest> {
        digest(self.conn, self.tenant, staff)
    }
    fn put_digest(&mut self, staff: StaffId, digest: Digest) -> Result<()> {
        let sql =
            "INSERT INTO digest (tenant, staff, digest) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET digest = ?3";
        self.run(sql, params![self.id(), staff.as_bytes(), digest.0])
    }
    fn counter(&mut self, name: &str) -> Result<u64> {
        counter(self.conn, self.tenant, name)
    }
    fn put_counter(&mut self, name: &str, n: u64) -> Result<()> {
        let sql = "INSERT INTO counter (tenant, name, n) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET n = ?3";
        self.run(sql, params![self.id(), name, n])
    }
    fn put_aside(&mut self, aside: &SetAside) -> Result<()> {
        let sql = "INSERT INTO aside (tenant, doc, hash, kind, staff, device, code, field, detail, because_of, body, \
                   at, decision) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) \
                   ON CONFLICT DO NOTHING";
        let values = params![
            self.id(),
            aside.doc.as_bytes(),
            aside.hash.0,
            aside.kind.number(),
            aside.staff.as_bytes(),
            aside.device.as_bytes(),
            aside.code,
            aside.field,
            aside.detail,
            aside.because_of.map(|h| h.0),
            aside.body,
            aside.at.0,
            aside.decided.as_ref().map(json).transpose()?
        ];
        self.run(sql, values)
    }
    fn aside_decided(&mut self, doc: DocId, hash: ChangeHash) -> Result<Option<bool>> {
        let sql = "SELECT decision IS NOT NULL FROM aside WHERE tenant = ?1 AND doc = ?2 AND hash = ?3";
        one(self.conn, sql, params![self.id(), doc.as_bytes(), hash.0], |r| Ok(r.get(0)?))
    }
    fn decide(&mut self, doc: DocId, hash: ChangeHash, decision: &AsideDecision) -> Result<()> {
        let sql = "UPDATE aside SET decision = ?4 WHERE tenant = ?1 AND doc = ?2 AND hash = ?3";
        self.run(sql, params![self.id(), doc.as_bytes(), hash.0, json(decision)?])
    }
    fn asides_open(&mut self, device: DeviceId) -> Result<u64> {
        let sql = "SELECT count(*) FROM aside INDEXED BY aside_of_device \
                   WHERE tenant = ?1 AND device = ?2 AND decision IS NULL";
        Ok(one(self.conn, sql, params![self.id(), device.as_bytes()], |r| Ok(r.get(0)?))?.unwrap_or(0))
    }
    fn last_audit(&mut self) -> Result<(u64, Sha256)> {
        let sql = "SELECT n, hash FROM audit WHERE tenant = ?1 ORDER BY n DESC LIMIT 1";
        let last = one(self.conn, sql, [self.id()], |r| Ok((r.get(0)?, Sha256(r.get(1)?))))?;
        Ok(last.unwrap_or((0, Sha256([0; 32]))))
    }
    fn put_audit(&mut self, row: &AuditRow) -> Result<()> {
        let sql = "INSERT INTO audit (tenant, n, entry, hash) VALUES (?1, ?2, ?3, ?4)";
        self.run(sql, params![self.id(), row.n, row.entry, row.hash.0])
    }
    fn code_taken(&mut self, device: &Device) -> Result<bool> {
        let sql = "SELECT 1 FROM device WHERE tenant = ?1 AND code = ?2 AND id <> ?3";
        let other = one(self.conn, sql, params![self.id(), device.code, device.id.as_bytes()], |_| Ok(()))?;
        Ok(other.is_some())
    }
    fn put_device(&mut self, device: &Device) -> Result<()> {
        let sql = "INSERT INTO device (tenant, id, code, revoked, body) VALUES (?1, ?2, ?3, ?4, ?5) \
                   ON CONFLICT (tenant, id) DO UPDATE SET code = ?3, revoked = ?4, body = ?5";
        let id = device.id.as_bytes();
        self.run(sql, params![self.id(), id, device.code, device.revoked.map(|r| r.0), json(device)?])
    }
    fn put_device_sync(&mut self, sync: &DeviceSync) -> Result<()> {
        let sql = "INSERT INTO device_sync (tenant, id, body) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET body = ?3";
        self.run(sql, params![self.id(), sync.device.as_bytes(), json(sync)?])
    }
    fn put_mark(&mut self, cursor: u64, doc: DocId, mark: &ReadMark) -> Result<()> {
        let kind = self.doc(doc)?.map_or(Kind::Staff, |d| d.kind);
        let sql = "INSERT INTO change (tenant, cursor, doc, kind, device, body, received) \
                   VALUES (?1, ?2, ?3, ?4, zeroblob(16), x'', ?5)";
        self.run(sql, params![self.id(), cursor, doc.as_bytes(), kind.number(), mark.at.0])?;
        let sql = "INSERT INTO seen (tenant, doc, mark) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET mark = ?3";
        self.run(sql, params![self.id(), doc.as_bytes(), json(mark)?])
    }
}

// ---- reading ----

fn children(conn: &Connection, tenant: TenantId, kind: Kind, parent: DocId) -> Result<Vec<DocId>> {
    let sql = "SELECT doc FROM view WHERE tenant = ?1 AND parent = ?2 AND kind = ?3 ORDER BY doc";
    all(conn, sql, params![tenant.as_bytes(), parent.as_bytes(), kind.number()], |r| Ok(doc_id(r, 0)?))
}

fn coded(conn: &Connection, tenant: TenantId, code: &str) -> Result<Vec<StaffId>> {
    // As the index `staff_by_code` has it.
    let sql = "SELECT doc FROM view WHERE tenant = ?1 AND kind = 0 AND summary ->> '$.number' = ?2 \
               AND status <> 'left' ORDER BY doc";
    all(conn, sql, params![tenant.as_bytes(), code], |r| Ok(StaffId(uuid(r, 0)?)))
}

/// Each document of a person's scope (with everybody's), by id, heads and all where its range is wanted.
fn each_held(
    conn: &Connection,
    tenant: TenantId,
    staff: StaffId,
    ranges: &BTreeSet<u8>,
    mut each: impl FnMut(Held),
) -> Result<()> {
    // The index alone answers which; heads are read of those that are wanted.
    let sql = "SELECT doc FROM scope WHERE tenant = ?1 AND staff IN (?2, ?3) AND flags <> 0";
    let scope = params![tenant.as_bytes(), staff.as_bytes(), EVERYBODY.as_bytes()];
    let docs: BTreeSet<DocId> = all(conn, sql, scope, |r| Ok(doc_id(r, 0)?))?.into_iter().collect();
    for doc in docs.into_iter().filter(|d| ranges.contains(&range(*d))) {
        if let Some(row) = doc_row(conn, tenant, doc)? {
            each(Held { doc, kind: row.kind, heads: row.heads });
        }
    }
    Ok(())
}

/// A person's scope and everybody's, in order.
fn scan(conn: &Connection, tenant: TenantId, staff: StaffId, place: Place, limit: usize) -> Result<Scan> {
    let fresh = place == Place { ver: 0, doc: None };
    // No document has the greatest id: after it, all of the number is done.
    let doc = place.doc.map_or(uuid::Uuid::max(), |d| d.0);
    let rows = "SELECT s.ver, s.doc, s.since, s.flags FROM scope s \
                WHERE s.tenant = ?1 AND s.staff = ?2 AND (s.ver, s.doc) > (?4, ?5) AND (s.flags <> 0 OR NOT ?6) \
                UNION ALL SELECT s.ver, s.doc, s.since, s.flags FROM scope s \
                WHERE s.tenant = ?1 AND s.staff = ?3 AND (s.ver, s.doc) > (?4, ?5) AND (s.flags <> 0 OR NOT ?6)";
    let sql = format!(
        "SELECT x.doc, d.kind, x.ver, x.since, x.flags, d.ver, m.mark FROM ({rows} ORDER BY 1, 2 LIMIT ?7) x \
         CROSS JOIN doc d ON d.tenant = ?1 AND d.doc = x.doc LEFT JOIN seen m ON m.tenant = ?1 AND m.doc = x.doc \
         ORDER BY x.ver, x.doc"
    );
    let (t, s, e, ver) = (tenant.as_bytes(), staff.as_bytes(), EVERYBODY, int(place.ver));
    let values = params![t, s, e.as_bytes(), ver, doc.as_bytes(), fresh, most(limit)];
    let rows_found = all(conn, &sql, values, |r| {
        Ok(ScopeRow {
            doc: doc_id(r, 0)?,
            kind: kind(r, 1)?,
            ver: r.get(2)?,
            since: r.get(3)?,
            left: r.get::<_, u8>(4)? == 0,
            doc_ver: r.get(5)?,
            seen: r.get::<_, Option<String>>(6)?.as_deref().map(parsed).transpose()?,
        })
    })?;
    let mut remaining = 0;
    if rows_found.len() >= limit {
        let sql = format!("SELECT count(*) FROM ({rows})");
        let values = params![t, s, e.as_bytes(), ver, doc.as_bytes(), fresh];
        let count: u64 = one(conn, &sql, values, |r| Ok(r.get(0)?))?.unwrap_or(0);
        remaining = count.saturating_sub(limit as u64);
    }
    let mut sum = digest(conn, tenant, staff)?;
    if staff != EVERYBODY {
        xor(&mut sum, digest(conn, tenant, EVERYBODY)?);
    }
    let sql = "SELECT epoch, head FROM tenant WHERE id = ?1";
    let life = one(conn, sql, [t], |r| Ok((r.get::<_, i64>(0)?.cast_unsigned(), r.get::<_, u64>(1)?)))?;
    let (epoch, head) = life.ok_or_else(|| Error::NotFound("company".into()))?;
    Ok(Scan { epoch, head, rows: rows_found, remaining, digest: sum })
}

/// The rows that meet a list's conditions, `after` among them: tables, condition and values.
fn matching(tenant: TenantId, query: &Query) -> (&'static str, String, Vec<Value>) {
    let mut values = vec![Value::Blob(tenant.as_bytes().to_vec())];
    let mut wheres = String::from("v.tenant = ?1");
    let mut need = |condition: &str, value: Value| {
        values.push(value);
        wheres.push_str(" AND ");
        wheres.push_str(&condition.replace('?', &format!("?{}", values.len())));
    };
    let mut from = "view v";
    if let Some(kind) = query.kind {
        need("v.kind = ?", Value::Integer(kind.number().into()));
    }
    if let Some(status) = &query.status {
        need("v.status = ?", Value::Text(status.clone()));
    }
    if let Some(parent) = query.parent {
        need("v.parent = ?", Value::Blob(parent.as_bytes().to_vec()));
    }
    if let Some(person) = query.person {
        from = "person p CROSS JOIN view v ON v.id = p.view";
        need("p.tenant = v.tenant AND p.staff = ?", Value::Blob(person.as_bytes().to_vec()));
    }
    if let Some(t) = query.due_from {
        need("v.due IS NOT NULL AND v.place >= ?", Value::Integer(t.0));
    }
    if let Some(t) = query.due_before {
        need("v.due IS NOT NULL AND v.place < ?", Value::Integer(t.0));
    }
    if let Some(key) = query.after {
        let beyond = if query.latest { "<" } else { ">" };
        need(&format!("v.place {beyond}= ?"), Value::Integer(key.due));
        let at = values.len();
        values.push(Value::Blob(key.doc.as_bytes().to_vec()));
        wheres.push_str(&format!(" AND (v.place, v.doc) {beyond} (?{at}, ?{})", at + 1));
    }
    if query.clashes {
        wheres.push_str(" AND v.clashes > 0");
    }
    if query.flagged {
        wheres.push_str(" AND v.flagged");
    }
    if let Some(question) = query.search.as_deref().and_then(words::matching) {
        values.push(Value::Text(question));
        let at = values.len();
        // What is searched for is what narrows most.
        if query.person.is_none() {
            from = "words CROSS JOIN view v ON v.id = words.rowid";
            wheres.push_str(&format!(" AND words.words MATCH ?{at}"));
        } else {
            wheres.push_str(&format!(" AND v.id IN (SELECT rowid FROM words WHERE words MATCH ?{at})"));
        }
    }
    (from, wheres, values)
}

fn list(conn: &Connection, tenant: TenantId, query: &Query) -> Result<Vec<View>> {
    let (from, wheres, mut values) = matching(tenant, query);
    values.push(Value::Integer(most(query.page())));
    let order = if query.latest { "v.place DESC, v.doc DESC" } else { "v.place, v.doc" };
    let sql = format!(
        "SELECT {VIEW} FROM (SELECT v.id AS id FROM {from} WHERE {wheres} ORDER BY {order} LIMIT ?{}) x \
         CROSS JOIN view v ON v.id = x.id JOIN doc d ON d.tenant = v.tenant AND d.doc = v.doc \
         ORDER BY {order}",
        values.len()
    );
    all(conn, &sql, params_from_iter(values), view_row)
}

fn columns(conn: &Connection, tenant: TenantId, query: &Query) -> Result<Vec<Column>> {
    let (from, wheres, mut values) = matching(tenant, query);
    values.push(Value::Integer(most(query.page())));
    // Each row with how many there are in its state.
    let sql = format!(
        "SELECT {VIEW}, x.count FROM (SELECT v.id AS id, row_number() OVER state AS n, \
         count(*) OVER (PARTITION BY v.status) AS count FROM {from} WHERE {wheres} \
         WINDOW state AS (PARTITION BY v.status ORDER BY v.place, v.doc)) x \
         CROSS JOIN view v ON v.id = x.id JOIN doc d ON d.tenant = v.tenant AND d.doc = v.doc \
         WHERE x.n <= ?{} ORDER BY v.status, v.place, v.doc",
        values.len()
    );
    let mut out: Vec<Column> = Vec::new();
    for (row, count) in all(conn, &sql, params_from_iter(values), |r| Ok((view_row(r)?, r.get::<_, u64>(7)?)))? {
        match out.last_mut().filter(|c| c.status == row.summary.status) {
            Some(column) => column.rows.push(row),
            None => out.push(Column { status: row.summary.status.clone(), count, rows: vec![row] }),
        }
    }
    Ok(out)
}

fn facts(conn: &Connection, tenant: TenantId, query: &FactQuery) -> Result<Vec<FactRow>> {
    let mut values = vec![Value::Blob(tenant.as_bytes().to_vec()), Value::Integer(query.kind.number().into())];
    let mut wheres = String::from("tenant = ?1 AND kind = ?2");
    if let Some((from, to)) = query.starts {
        values.extend([Value::Integer(from.0), Value::Integer(to.0)]);
        wheres.push_str(" AND starts IS NOT NULL AND starts >= ?3 AND starts < ?4");
    }
    if !query.statuses.is_empty() {
        let first = values.len() + 1;
        values.extend(query.statuses.iter().cloned().map(Value::Text));
        let marks: Vec<String> = (first..=values.len()).map(|n| format!("?{n}")).collect();
        wheres.push_str(&format!(" AND status IN ({})", marks.join(", ")));
    }
    let sql = format!("SELECT doc, status, starts, ends, body FROM fact WHERE {wheres} ORDER BY doc");
    all(conn, &sql, params_from_iter(values), |r| {
        let moment = |i| Ok::<_, rusqlite::Error>(r.get::<_, Option<i64>>(i)?.map(Millis));
        let fact = Fact { starts: moment(2)?, ends: moment(3)?, body: r.get(4)? };
        Ok(FactRow { doc: doc_id(r, 0)?, status: r.get(1)?, fact })
    })
}

/// Copies the database in one snapshot, under another name until it is whole.
fn copy(conn: &Connection, to: &Path) -> Result<()> {
    let part = beside(to, ".part");
    for old in [&part, &beside(&part, "-journal"), &beside(&part, "-wal"), &beside(&part, "-shm")] {
        match std::fs::remove_file(old) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e.into()),
            _ => {}
        }
    }
    let mut copy = Connection::open(&part)?;
    let done = backup::Backup::new(conn, &mut copy)?.step(-1)?;
    if done != backup::StepResult::Done {
        return Err(Error::Locked);
    }
    // One file, without the writer's log beside it.
    copy.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))?;
    let found: String = copy.query_row("PRAGMA quick_check(1)", [], |r| r.get(0))?;
    if found != "ok" {
        return Err(Error::Damaged(found));
    }
    copy.close().map_err(|(_, e)| e)?;
    std::fs::File::open(&part)?.sync_all()?;
    std::fs::rename(&part, to)?;
    if let Some(folder) = to.parent().filter(|f| !f.as_os_str().is_empty()) {
        std::fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[async_trait]
impl Storage for SqliteStorage {
    async fn create_tenant(&self, tenant: Tenant) -> Result<()> {
        self.write_any(move |conn| {
            let sql = "INSERT INTO tenant (id, name, epoch, head, secret, created) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
                       ON CONFLICT DO NOTHING";
            let epoch = tenant.epoch.cast_signed();
            let values =
                params![tenant.id.as_bytes(), tenant.name, epoch, tenant.head, tenant.secret, tenant.created.0];
            match run(conn, sql, values)? {
                0 => Err(Error::Conflict { code: "company_exists", detail: "there is such a company already".into() }),
                _ => Ok(()),
            }
        })
        .await
    }

    async fn tenant(&self, id: TenantId) -> Result<Option<Tenant>> {
        self.look_any(move |conn| one(conn, &format!("{TENANT} WHERE id = ?1"), [id.as_bytes()], tenant_row)).await
    }

    async fn tenants(&self) -> Result<Vec<Tenant>> {
        self.read_any(|conn| all(conn, &format!("{TENANT} ORDER BY id"), [], tenant_row)).await
    }

    async fn set_epoch(&self, id: TenantId, epoch: u64) -> Result<()> {
        self.write(id, move |tx| {
            tx.run("UPDATE tenant SET epoch = ?2 WHERE id = ?1", params![tx.id(), epoch.cast_signed()])
        })
        .await
    }

    async fn load(&self, tenant: TenantId, docs: &[DocId]) -> Result<Vec<Loaded>> {
        let docs = docs.to_vec();
        self.look_or_read(tenant, docs.len(), move |conn| {
            let mut out = Vec::with_capacity(docs.len());
            let sql = format!(
                "SELECT {CONTENT}, d.snapshot_upto, s.body FROM doc d \
                 JOIN view v ON v.tenant = d.tenant AND v.doc = d.doc \
                 LEFT JOIN snapshot s ON s.tenant = d.tenant AND s.doc = d.doc WHERE d.tenant = ?1 AND d.doc = ?2"
            );
            for doc in docs {
                let found = one(conn, &sql, params![tenant.as_bytes(), doc.as_bytes()], |r| {
                    Ok((content_row(doc, r)?, r.get(7)?, r.get(8)?))
                })?;
                let Some((content, upto, snapshot)) = found else { continue };
                let tail = later(conn, tenant, (doc, content.ver), upto, |r| Ok(r.get(5)?))?;
                out.push(Loaded { content, snapshot, tail });
            }
            Ok(out)
        })
        .await
    }

    async fn commit(&self, tenant: TenantId, batch: Batch) -> Result<Committed> {
        self.write(tenant, move |tx| {
            let done = apply::commit(tx, &batch)?;
            for put in &batch.records {
                if !put_record(tx.conn, put, batch.now)? {
                    return Err(Error::Moved);
                }
            }
            Ok(done)
        })
        .await
    }

    async fn scan(&self, tenant: TenantId, staff: StaffId, place: Place, limit: usize) -> Result<Scan> {
        self.look(tenant, move |conn| scan(conn, tenant, staff, place, limit)).await
    }

    async fn bodies(&self, tenant: TenantId, wants: &[Want]) -> Result<Vec<Bodies>> {
        let wants = wants.to_vec();
        self.look_or_read(tenant, wants.len(), move |conn| {
            let mut out = Vec::with_capacity(wants.len());
            for want in wants {
                let Some(row) = doc_row(conn, tenant, want.doc)? else { continue };
                let snapshot = match want.after {
                    None => snapshot(conn, tenant, want.doc)?,
                    Some(_) => None,
                };
                let after = want.after.unwrap_or(row.snapshot_upto);
                let changes = later(conn, tenant, (row.doc, row.ver), after, |r| {
                    Ok((r.get(0)?, DeviceId(uuid(r, 4)?), r.get(5)?))
                })?;
                out.push(Bodies { row, snapshot, changes });
            }
            Ok(out)
        })
        .await
    }

    async fn held_in(&self, tenant: TenantId, staff: StaffId, ranges: &BTreeSet<u8>) -> Result<Vec<Held>> {
        let ranges = ranges.clone();
        self.read(tenant, move |conn| {
            let mut out = Vec::new();
            each_held(conn, tenant, staff, &ranges, |held| out.push(held))?;
            Ok(out)
        })
        .await
    }

    async fn range_digests(&self, tenant: TenantId, staff: StaffId) -> Result<Vec<Digest>> {
        self.read(tenant, move |conn| {
            let mut out = vec![Digest::default(); 256];
            each_held(conn, tenant, staff, &(0..=255).collect(), |held| {
                xor(&mut out[usize::from(range(held.doc))], doc_digest(held.doc, &held.heads));
            })?;
            Ok(out)
        })
        .await
    }

    async fn knows(&self, tenant: TenantId, doc: DocId, hashes: &[ChangeHash]) -> Result<bool> {
        let hashes = hashes.to_vec();
        self.read(tenant, move |conn| {
            let sql = "SELECT 1 FROM change INDEXED BY change_of_doc WHERE tenant = ?1 AND doc = ?2 AND hash = ?3";
            for hash in hashes {
                if one(conn, sql, params![tenant.as_bytes(), doc.as_bytes(), hash.0], |_| Ok(()))?.is_none() {
                    return Ok(false);
                }
            }
            Ok(true)
        })
        .await
    }

    async fn in_scope(&self, tenant: TenantId, staff: StaffId, doc: DocId) -> Result<bool> {
        self.look(tenant, move |conn| {
            let sql = "SELECT 1 FROM scope WHERE tenant = ?1 AND doc = ?2 AND staff IN (?3, ?4) AND flags <> 0";
            let values = params![tenant.as_bytes(), doc.as_bytes(), staff.as_bytes(), EVERYBODY.as_bytes()];
            Ok(one(conn, sql, values, |_| Ok(()))?.is_some())
        })
        .await
    }

    async fn log(&self, tenant: TenantId, after: u64, limit: usize) -> Result<Vec<LogRow>> {
        self.read(tenant, move |conn| {
            let sql = format!("{LOG} WHERE tenant = ?1 AND cursor > ?2 ORDER BY cursor LIMIT ?3");
            all(conn, &sql, params![tenant.as_bytes(), int(after), most(limit)], log_row)
        })
        .await
    }

    async fn history(&self, tenant: TenantId, doc: DocId) -> Result<Vec<LogRow>> {
        self.read(tenant, move |conn| changes(conn, tenant, doc, 0, log_row)).await
    }

    async fn put_snapshots(&self, tenant: TenantId, snapshots: Vec<(DocId, u64, Vec<u8>)>) -> Result<()> {
        self.write(tenant, move |tx| apply::put_snapshots(tx, &snapshots)).await
    }

    async fn mark_seen(&self, tenant: TenantId, doc: DocId, mark: ReadMark) -> Result<Committed> {
        self.write(tenant, move |tx| apply::mark_seen(tx, doc, &mark)).await
    }

    async fn counter(&self, tenant: TenantId, name: &str) -> Result<u64> {
        let name = name.to_owned();
        self.look(tenant, move |conn| counter(conn, tenant, &name)).await
    }

    async fn aside_of(&self, tenant: TenantId, docs: &[DocId]) -> Result<Vec<SetAside>> {
        let docs: BTreeSet<DocId> = docs.iter().copied().collect();
        self.look_or_read(tenant, docs.len(), move |conn| {
            let sql = format!("{ASIDE} WHERE tenant = ?1 AND doc = ?2 ORDER BY hash");
            let mut out = Vec::new();
            for doc in docs {
                out.extend(all(conn, &sql, params![tenant.as_bytes(), doc.as_bytes()], aside_row)?);
            }
            Ok(out)
        })
        .await
    }

    async fn aside(&self, tenant: TenantId, query: &AsideQuery) -> Result<Vec<SetAside>> {
        let AsideQuery { open, device, after, limit } = *query;
        self.read(tenant, move |conn| {
            let mut sql = format!("{ASIDE} WHERE tenant = ?1");
            let mut given = vec![Value::Blob(tenant.as_bytes().to_vec()), Value::Integer(most(limit))];
            if open {
                sql.push_str(" AND decision IS NULL");
            }
            if let Some(device) = device {
                given.push(Value::Blob(device.as_bytes().to_vec()));
                sql.push_str(&format!(" AND device = ?{}", given.len()));
            }
            if let Some(AsidePlace(Reverse(at), doc, hash)) = after {
                let n = given.len();
                given.push(Value::Integer(at.0));
                given.extend([doc.as_bytes().to_vec(), hash.0.to_vec()].map(Value::Blob));
                sql.push_str(&format!(
                    " AND at <= ?{0} AND (at < ?{0} OR (doc, hash) > (?{1}, ?{2}))",
                    n + 1,
                    n + 2,
                    n + 3
                ));
            }
            sql.push_str(" ORDER BY at DESC, doc, hash LIMIT ?2");
            all(conn, &sql, params_from_iter(given), aside_row)
        })
        .await
    }

    async fn views(&self, tenant: TenantId, docs: &[DocId]) -> Result<Vec<View>> {
        let docs = docs.to_vec();
        self.look_or_read(tenant, docs.len(), move |conn| {
            docs.into_iter().filter_map(|d| view(conn, tenant, d).transpose()).collect()
        })
        .await
    }

    async fn children(&self, tenant: TenantId, kind: Kind, parent: DocId) -> Result<Vec<DocId>> {
        self.look(tenant, |conn| children(conn, tenant, kind, parent)).await
    }

    async fn list(&self, tenant: TenantId, query: &Query) -> Result<Vec<View>> {
        let query = query.clone();
        self.read(tenant, move |conn| list(conn, tenant, &query)).await
    }

    async fn columns(&self, tenant: TenantId, query: &Query) -> Result<Vec<Column>> {
        let query = query.clone();
        self.read(tenant, move |conn| columns(conn, tenant, &query)).await
    }

    async fn ask(&self, tenant: TenantId, asked: &Asked) -> Result<Answers> {
        let asked = asked.clone();
        let n = asked.docs.len() + asked.children.len() + asked.linked_to.len() + asked.coded.len();
        self.look_or_read(tenant, n, move |conn| {
            let contents = asked.docs.into_iter().filter_map(|doc| content(conn, tenant, doc).transpose());
            let children =
                asked.children.into_iter().map(|(kind, of)| Ok(((kind, of), children(conn, tenant, kind, of)?)));
            let linked = asked.linked_to.into_iter().map(|doc| Ok((doc, linked_to(conn, tenant, doc)?)));
            let coded = asked.coded.into_iter().map(|code| {
                let found = coded(conn, tenant, &code)?;
                Ok((code, found))
            });
            Ok(Answers {
                contents: contents.collect::<Result<_>>()?,
                children: children.collect::<Result<_>>()?,
                linked_to: linked.collect::<Result<_>>()?,
                coded: coded.collect::<Result<_>>()?,
            })
        })
        .await
    }

    async fn facts(&self, tenant: TenantId, query: &FactQuery) -> Result<Vec<FactRow>> {
        let query = query.clone();
        self.read(tenant, move |conn| facts(conn, tenant, &query)).await
    }

    async fn flags(&self, tenant: TenantId) -> Result<Vec<(DocRef, Vec<String>)>> {
        self.read(tenant, move |conn| {
            let sql = "SELECT kind, doc, summary ->> '$.flags' FROM view INDEXED BY view_flagged \
                       WHERE tenant = ?1 AND flagged";
            let mut rows = all(conn, sql, [tenant.as_bytes()], |r| {
                Ok((DocRef { kind: kind(r, 0)?, id: doc_id(r, 1)? }, parsed(&r.get::<_, String>(2)?)?))
            })?;
            rows.sort_by_key(|(doc, _)| *doc);
            Ok(rows)
        })
        .await
    }

    async fn waiting(&self, tenant: TenantId) -> Result<Waiting> {
        self.read(tenant, move |conn| {
            let sql = "SELECT count(*) FROM view INDEXED BY view_clashing WHERE tenant = ?1 AND clashes > 0";
            let clashing = one(conn, sql, [tenant.as_bytes()], |r| Ok(r.get(0)?))?.unwrap_or(0);
            let sql = "SELECT device, count(*) FROM aside INDEXED BY aside_of_device \
                       WHERE tenant = ?1 AND decision IS NULL GROUP BY device";
            let refused = all(conn, sql, [tenant.as_bytes()], |r| Ok((DeviceId(uuid(r, 0)?), r.get(1)?)))?;
            Ok(Waiting { clashing, refused: refused.into_iter().collect() })
        })
        .await
    }

    async fn counts(&self, tenant: TenantId, kind: Kind) -> Result<Vec<(String, u64)>> {
        self.read(tenant, move |conn| {
            let sql =
                "SELECT status, count(*) FROM view WHERE tenant = ?1 AND kind = ?2 GROUP BY status ORDER BY status";
            all(conn, sql, params![tenant.as_bytes(), kind.number()], |r| Ok((r.get(0)?, r.get(1)?)))
        })
        .await
    }

    async fn answered(&self, tenant: TenantId, key: &str) -> Result<Option<String>> {
        let key = key.to_owned();
        self.look(tenant, move |conn| {
            let sql = "SELECT answer FROM answer WHERE tenant = ?1 AND key = ?2";
            one(conn, sql, params![tenant.as_bytes(), key], |r| Ok(r.get(0)?))
        })
        .await
    }

    async fn put_device(&self, tenant: TenantId, device: Device) -> Result<()> {
        self.write(tenant, move |tx| apply::put_device(tx, &device)).await
    }

    async fn device(&self, tenant: TenantId, id: DeviceId) -> Result<Option<Device>> {
        self.look(tenant, move |conn| {
            let sql = "SELECT body FROM device WHERE tenant = ?1 AND id = ?2";
            one(conn, sql, params![tenant.as_bytes(), id.as_bytes()], |r| parsed(&r.get::<_, String>(0)?))
        })
        .await
    }

    async fn devices(&self, tenant: TenantId) -> Result<Vec<(Device, Option<DeviceSync>)>> {
        self.read(tenant, move |conn| {
            let sql = "SELECT d.body, s.body FROM device d LEFT JOIN device_sync s ON s.tenant = d.tenant AND s.id = d.id \
                       WHERE d.tenant = ?1 ORDER BY d.id";
            all(conn, sql, [tenant.as_bytes()], |r| {
                let sync = r.get::<_, Option<String>>(1)?;
                Ok((parsed(&r.get::<_, String>(0)?)?, sync.as_deref().map(parsed).transpose()?))
            })
        })
        .await
    }

    async fn device_tenant(&self, id: DeviceId) -> Result<Option<TenantId>> {
        self.look_any(move |conn| {
            let sql = "SELECT tenant FROM device WHERE id = ?1 ORDER BY tenant LIMIT 1";
            one(conn, sql, [id.as_bytes()], |r| Ok(TenantId(uuid(r, 0)?)))
        })
        .await
    }

    async fn device_sync(&self, tenant: TenantId, id: DeviceId) -> Result<Option<DeviceSync>> {
        self.look(tenant, move |conn| {
            let sql = "SELECT body FROM device_sync WHERE tenant = ?1 AND id = ?2";
            one(conn, sql, params![tenant.as_bytes(), id.as_bytes()], |r| parsed(&r.get::<_, String>(0)?))
        })
        .await
    }

    async fn put_device_sync(&self, tenant: TenantId, sync: DeviceSync) -> Result<()> {
        self.write(tenant, move |tx| tx.put_device_sync(&sync)).await
    }

    async fn put_sync_notes(&self, notes: Vec<(TenantId, DeviceId, SyncNote)>) -> Result<()> {
        self.write_any(move |conn| {
            for (tenant, device, note) in &notes {
                let (tenant, device) = (tenant.as_bytes(), device.as_bytes());
                let sql = "INSERT INTO sync_note (tenant, device, n, body) VALUES (?1, ?2, \
                           (SELECT coalesce(max(n), 0) + 1 FROM sync_note WHERE tenant = ?1 AND device = ?2), ?3) \
                           RETURNING n";
                let n: i64 = conn.prepare_cached(sql)?.query_row(params![tenant, device, json(note)?], |r| r.get(0))?;
                let sql = "DELETE FROM sync_note WHERE tenant = ?1 AND device = ?2 AND n <= ?3";
                run(conn, sql, params![tenant, device, n - most(NOTES)])?;
            }
            Ok(())
        })
        .await
    }

    async fn sync_notes(&self, tenant: TenantId, device: DeviceId) -> Result<Vec<SyncNote>> {
        self.read(tenant, move |conn| {
            let sql = "SELECT body FROM sync_note WHERE tenant = ?1 AND device = ?2 ORDER BY n DESC";
            all(conn, sql, params![tenant.as_bytes(), device.as_bytes()], |r| parsed(&r.get::<_, String>(0)?))
        })
        .await
    }

    async fn put_record(
        &self,
        tenant: TenantId,
        table: &str,
        record: Record,
        expect: Option<u64>,
        now: Millis,
    ) -> Result<bool> {
        let put = RecordWrite { tenant, table: table.to_owned(), record, expect };
        self.write_any(move |conn| put_record(conn, &put, now)).await
    }

    async fn record(&self, tenant: TenantId, table: &str, key: &str, now: Millis) -> Result<Option<Record>> {
        let (table, key) = (table.to_owned(), key.to_owned());
        self.look_any(move |conn| {
            let sql = "SELECT key, body, expires, ver FROM record WHERE tenant = ?1 AND tbl = ?2 AND key = ?3 \
                       AND (expires IS NULL OR expires > ?4)";
            one(conn, sql, params![tenant.as_bytes(), table, key, now.0], record_row)
        })
        .await
    }

    async fn records(
        &self,
        tenant: TenantId,
        table: &str,
        after: &str,
        limit: usize,
        now: Millis,
    ) -> Result<Vec<Record>> {
        let (table, after) = (table.to_owned(), after.to_owned());
        self.read_any(move |conn| {
            let sql = "SELECT key, body, expires, ver FROM record WHERE tenant = ?1 AND tbl = ?2 AND key > ?3 \
                       AND (expires IS NULL OR expires > ?4) ORDER BY key LIMIT ?5";
            all(conn, sql, params![tenant.as_bytes(), table, after, now.0, most(limit)], record_row)
        })
        .await
    }

    async fn records_of(&self, company: TenantId, table: &str, now: Millis) -> Result<Vec<Record>> {
        let table = table.to_owned();
        self.read_any(move |conn| {
            let values = params![GLOBAL.as_bytes(), table, company.to_string(), now.0];
            all(conn, RECORDS_OF, values, record_row)
        })
        .await
    }

    async fn take_record(&self, tenant: TenantId, table: &str, key: &str, now: Millis) -> Result<Option<Record>> {
        let (table, key) = (table.to_owned(), key.to_owned());
        self.write_any(move |conn| {
            let sql = "DELETE FROM record WHERE tenant = ?1 AND tbl = ?2 AND key = ?3 \
                       RETURNING key, body, expires, ver";
            let taken = one(conn, sql, params![tenant.as_bytes(), table, key], record_row)?;
            Ok(taken.filter(|r| r.expires.is_none_or(|e| e > now)))
        })
        .await
    }

    async fn expire_records(&self, now: Millis) -> Result<u64> {
        self.write_any(move |conn| {
            Ok(run(conn, "DELETE FROM record WHERE expires IS NOT NULL AND expires <= ?1", [now.0])? as u64)
        })
        .await
    }

    async fn put_blob(&self, tenant: TenantId, blob: BlobRow) -> Result<()> {
        self.write(tenant, move |tx| {
            let sql = "INSERT INTO blob (tenant, sha256, body) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET body = ?3";
            tx.run(sql, params![tx.id(), blob.sha256.0, json(&blob)?])
        })
        .await
    }

    async fn blob(&self, tenant: TenantId, sha256: Sha256) -> Result<Option<BlobRow>> {
        self.look(tenant, move |conn| {
            let sql = "SELECT body FROM blob WHERE tenant = ?1 AND sha256 = ?2";
            one(conn, sql, params![tenant.as_bytes(), sha256.0], |r| parsed(&r.get::<_, String>(0)?))
        })
        .await
    }

    async fn drop_blob(&self, tenant: TenantId, sha256: Sha256) -> Result<()> {
        self.write(tenant, move |tx| {
            tx.run("DELETE FROM blob WHERE tenant = ?1 AND sha256 = ?2", params![tx.id(), sha256.0])
        })
        .await
    }

    async fn audit(&self, tenant: TenantId, entries: Vec<Audit>) -> Result<()> {
        self.write(tenant, move |tx| apply::audit(tx, &entries)).await
    }

    async fn audit_log(&self, tenant: TenantId, after: u64, limit: usize) -> Result<Vec<AuditRow>> {
        self.read(tenant, move |conn| {
            let sql = "SELECT n, entry, hash FROM audit WHERE tenant = ?1 AND n > ?2 ORDER BY n LIMIT ?3";
            all(conn, sql, params![tenant.as_bytes(), int(after), most(limit)], |r| {
                Ok(AuditRow { n: r.get(0)?, entry: r.get(1)?, hash: Sha256(r.get(2)?) })
            })
        })
        .await
    }

    async fn ready(&self) -> Result<()> {
        // Put and taken out again in one transaction: its pages do go to the disk, but no row stays.
        self.write_any(|conn| {
            run(conn, "INSERT INTO probe (at) VALUES (1)", [])?;
            run(conn, "DELETE FROM probe", [])?;
            Ok(())
        })
        .await?;
        self.read_any(|conn| one(conn, "SELECT 1 FROM probe", [], |_| Ok(())).map(|_| ())).await
    }

    async fn backup(&self, to: &Path) -> Result<()> {
        let to = to.to_owned();
        self.read_any(move |conn| {
            // The snapshot begins with the first read: what is committed meanwhile is not in the copy.
            one(conn, "SELECT count(*) FROM tenant", [], |_| Ok(()))?;
            copy(conn, &to)
        })
        .await
    }
}
