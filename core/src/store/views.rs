//! Rows for screens: written with the document, read without loading it.

use crate::domain::summary::Summary;
use crate::domain::{DocId, DocRef, Entity, Kind, Millis, RequestId, SETTINGS, StaffId, WorkOrderId, World, words};
use crate::error::{Error, Result};
use rusqlite::{Connection, OptionalExtension as _, Params, Transaction, params};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::blobs::{self, BlobState};
use super::rows::{Delivery, delivery_at, not_held};
use super::{kind, meta, uuid_at};

/// Lines of a page.
pub const PAGE: usize = 50;

/// Documents a search leads to at most: the newest.
const MOST_FOUND: usize = 1_000;
/// Documents whose words wait to be indexed at most; fewer than [`PAGE`].
const MOST_FRESH: usize = 32;
/// Estimate of a document's size on the wire.
const DOCUMENT_BYTES: u64 = 4_096;
/// Stored where there is no due time: it comes first in order, last in lists.
const NEVER: i64 = i64::MIN;
/// The columns [`line`] reads. Where they are joined to a few rows, CROSS JOIN
/// keeps the planner from scanning all documents for them.
const LINE: &str =
    "id, doc.kind, parent, number, title, subtitle, status, doc.due, people, flags, waiting, sent, refused, own, seen";

/// A line of a list: its summary (without the search words) and where its edits stand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// What it shows; `search` is left empty.
    pub summary: Summary,
    /// Where this device's edits to it stand.
    pub delivery: Delivery,
}

/// A page of a list.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Page {
    /// At most [`PAGE`] lines.
    pub lines: Vec<Line>,
    /// Opaque mark of the next page; `None` at the end.
    pub next: Option<String>,
}

/// A document's rows, to show one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    /// Its line.
    pub line: Line,
    /// Its content.
    pub entity: Entity,
}

/// How many documents of a kind have a status.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Counted {
    /// The kind.
    pub kind: Kind,
    /// The status word.
    pub status: String,
    /// How many.
    pub count: u64,
}

/// Writes a document's rows: list line, search words, people, blobs referred
/// to, content. The document must have been stored before.
///
/// # Errors
/// `NotFound`; the database's.
pub fn put(tx: &Transaction<'_>, summary: &Summary, entity: &Entity) -> Result<()> {
    let doc = summary.doc;
    let old = tx
        .prepare_cached("SELECT no, status, due, parent, people, search FROM doc WHERE id = ?1 AND kind = ?2")?
        .query_row(params![doc.id.as_bytes(), doc.kind.number()], Indexed::read)
        .optional()?
        .ok_or_else(|| not_held(doc.id))?;
    let new = Indexed {
        no: old.no,
        status: summary.status.clone(),
        due: summary.due.map_or(NEVER, |d| d.0),
        parent: summary.parent.map(|p| *p.as_bytes()),
        people: summary.people.iter().flat_map(|p| *p.as_bytes()).collect(),
        search: storable(&summary.search),
    };
    tx.prepare_cached("UPDATE doc SET number = ?2, title = ?3, subtitle = ?4, people = ?5, flags = ?6, entity = ?7, search = ?8 WHERE no = ?1")?
        .execute(params![
            old.no,
            summary.number,
            summary.title,
            summary.subtitle,
            new.people,
            flags_out(&summary.flags),
            encode(entity)?,
            new.search,
        ])?;
    // Each index is touched only where its columns changed: it is a page to write and sync.
    if (new.due, &new.status) != (old.due, &old.status) {
        tx.prepare_cached("UPDATE doc SET due = ?2, status = ?3 WHERE no = ?1")?
            .execute(params![old.no, new.due, new.status])?;
    }
    if new.parent != old.parent {
        tx.prepare_cached("UPDATE doc SET parent = ?2 WHERE no = ?1")?.execute(params![old.no, new.parent])?;
    }
    if let Entity::WorkOrder(order) = entity {
        tx.prepare_cached("UPDATE doc SET answers = ?2 WHERE no = ?1 AND answers IS NOT ?2")?
            .execute(params![old.no, order.request.map(|r| *r.as_bytes())])?;
    }
    if (&new.people, new.due, new.open()) != (&old.people, old.due, old.open()) {
        old.unlist(tx, doc.kind)?;
        new.list(tx, doc.kind)?;
    }
    if new.search != old.search
        && tx.prepare_cached("INSERT OR IGNORE INTO fresh (doc) VALUES (?1)")?.execute([old.no])? > 0
    {
        let fresh: usize = tx.prepare_cached("SELECT count(*) FROM fresh")?.query_row([], |r| r.get(0))?;
        if fresh > MOST_FRESH {
            index(tx)?;
        }
    }
    blobs::refer(tx, doc.id, entity)
}

/// A document's content.
///
/// # Errors
/// The database's; `Damaged` where the row cannot be read.
pub fn entity(conn: &Connection, doc: DocId) -> Result<Option<Entity>> {
    let sql = "SELECT kind, entity FROM doc WHERE id = ?1 AND entity IS NOT NULL";
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query([doc.as_bytes()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    decode(kind(row.get(0)?)?, row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?).map(Some)
}

/// One document's rows.
///
/// # Errors
/// `NotFound`; the database's.
pub fn show(conn: &Connection, doc: DocId) -> Result<Shown> {
    let sql = format!("SELECT {LINE} FROM doc WHERE id = ?1");
    let line =
        conn.prepare_cached(&sql)?.query_row([doc.as_bytes()], line).optional()?.ok_or_else(|| not_held(doc))??;
    let entity = entity(conn, doc)?.ok_or_else(|| not_held(doc))?;
    Ok(Shown { line, entity })
}

/// A person's jobs of a day that begins at `from` and ends before `to`: what is
/// due in it, and what is still open from earlier or without a date. By due time.
///
/// # Errors
/// The database's.
pub fn today(conn: &Connection, person: StaffId, from: Millis, to: Millis) -> Result<Vec<Line>> {
    let sql = format!(
        "SELECT {LINE} FROM (
           SELECT doc, due AS at FROM person WHERE staff = ?1 AND kind = ?2 AND open = 1 AND due < ?4
           UNION ALL
           SELECT doc, due FROM person WHERE staff = ?1 AND kind = ?2 AND open = 0 AND due >= ?3 AND due < ?4
         ) AS mine CROSS JOIN doc ON no = mine.doc ORDER BY at = {NEVER}, at, no"
    );
    let mut out = Vec::new();
    for kind in [Kind::WorkOrder, Kind::Request] {
        lines(conn, &sql, params![person.as_bytes(), kind.number(), from.0, to.0], &mut out)?;
    }
    // A request that was answered shows as its work order, to whoever was assigned.
    out.retain(|l: &Line| l.summary.doc.kind != Kind::Request || l.summary.status == "reported");
    // Stable, so each kind keeps its order.
    out.sort_by_key(|l| l.summary.due.unwrap_or(Millis(i64::MAX)));
    Ok(out)
}

/// Rows of a person's jobs of a day (as [`today`] has them) and of what hangs on them.
pub(super) fn job_rows(conn: &Connection, person: StaffId, from: Millis, to: Millis) -> Result<BTreeSet<i64>> {
    let mut docs = BTreeSet::new();
    for job in today(conn, person, from, to)? {
        docs.insert(job.summary.doc.id);
        let request = match entity(conn, job.summary.doc.id)? {
            Some(Entity::WorkOrder(order)) => {
                docs.extend(order.customer.map(DocId::from));
                order.request.map(DocId::from)
            }
            _ => None,
        };
        docs.extend(request);
        for parent in [Some(job.summary.doc.id), request].into_iter().flatten() {
            docs.extend(children(conn, Kind::Visit, parent)?);
        }
    }
    let mut statement = conn.prepare_cached("SELECT no FROM doc WHERE id = ?1")?;
    let mut rows = BTreeSet::new();
    for doc in docs {
        rows.extend(statement.query_row([doc.as_bytes()], |r| r.get::<_, i64>(0)).optional()?);
    }
    Ok(rows)
}

/// Documents of a kind (with that status, where given), by due time, newest first, a page at a time.
///
/// # Errors
/// `Invalid` where `after` is no mark of a page; the database's.
pub fn list(conn: &Connection, kind: Kind, status: Option<&str>, after: Option<&str>) -> Result<Page> {
    let (due, no) = after.map_or(Ok((i64::MAX, i64::MAX)), |mark| {
        let parts = mark.strip_prefix("l1.").and_then(|m| m.split_once('.'));
        let numbers = parts.and_then(|(d, n)| Some((d.parse().ok()?, n.parse().ok()?)));
        numbers.ok_or_else(|| bad_mark(mark))
    })?;
    let with = if status.is_some() { "AND status = ?5" } else { "" };
    let sql = format!(
        "SELECT {LINE} FROM doc WHERE kind = ?1 AND (due, no) < (?2, ?3) {with} ORDER BY due DESC, no DESC LIMIT ?4"
    );
    let mut out = Vec::new();
    let limit = PAGE + 1;
    match status {
        Some(status) => lines(conn, &sql, params![kind.number(), due, no, limit, status], &mut out)?,
        None => lines(conn, &sql, params![kind.number(), due, no, limit], &mut out)?,
    }
    let next = if out.len() > PAGE {
        out.truncate(PAGE);
        out.last().map(|l| mark_of(conn, l)).transpose()?
    } else {
        None
    };
    Ok(Page { lines: out, next })
}

/// Documents found by all the words of `query`, best first, a page at a time.
/// What a word of it means is in [`words`].
///
/// # Errors
/// `Invalid` where `after` is no mark of a page; the database's.
pub fn search(conn: &Connection, query: &str, after: Option<&str>) -> Result<Page> {
    let skip: usize = after.map_or(Ok(0), |mark| {
        mark.strip_prefix("s1.").and_then(|n| n.parse().ok()).filter(|n| *n <= MOST_FOUND).ok_or_else(|| bad_mark(mark))
    })?;
    let Some(expression) = words::matching(query) else { return Ok(Page::default()) };
    let mut out = Vec::new();
    if skip == 0 && conn.prepare_cached("SELECT 1 FROM fresh")?.exists([])? {
        found_fresh(conn, &expression, &mut out)?;
    }
    let fresh = out.len();
    // Ranking reads every match: the newest are enough.
    let sql = format!(
        "SELECT {LINE} FROM (
           SELECT found, r FROM (
             SELECT rowid AS found, bm25(words) AS r FROM words
             WHERE words MATCH ?1 AND rowid NOT IN (SELECT fresh.doc FROM fresh) ORDER BY rowid DESC LIMIT {MOST_FOUND}
           ) ORDER BY r, found DESC LIMIT ?2 OFFSET ?3
         ) CROSS JOIN doc ON no = found ORDER BY r, no DESC"
    );
    lines(conn, &sql, params![expression, PAGE + 1 - fresh, skip], &mut out)?;
    let next = (out.len() > PAGE).then(|| format!("s1.{}", skip + PAGE - fresh));
    out.truncate(PAGE);
    Ok(Page { lines: out, next })
}

/// What is found among the documents not indexed yet: edited last, so shown
/// first. They are indexed in memory for the question.
fn found_fresh(conn: &Connection, expression: &str, out: &mut Vec<Line>) -> Result<()> {
    conn.prepare_cached(
        "CREATE VIRTUAL TABLE IF NOT EXISTS temp.fresh_words USING fts5 (text, content = '', tokenize = 'ascii')",
    )?
    .execute([])?;
    conn.prepare_cached("INSERT INTO temp.fresh_words (fresh_words) VALUES ('delete-all')")?.execute([])?;
    let mut statement =
        conn.prepare_cached("SELECT no, search FROM main.fresh CROSS JOIN main.doc ON no = fresh.doc")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (no, search): (i64, String) = (row.get(0)?, row.get(1)?);
        conn.prepare_cached("INSERT INTO temp.fresh_words (rowid, text) VALUES (?1, ?2)")?
            .execute(params![no, words::indexed(&search).join(" ")])?;
    }
    let sql = format!(
        "SELECT {LINE} FROM (SELECT rowid AS found, rank AS r FROM temp.fresh_words WHERE fresh_words MATCH ?1)
         CROSS JOIN doc ON no = found ORDER BY r, no DESC"
    );
    lines(conn, &sql, params![expression], out)
}

/// How many documents there are, by kind and status.
///
/// # Errors
/// The database's.
pub fn counts(conn: &Connection) -> Result<Vec<Counted>> {
    let mut statement =
        conn.prepare_cached("SELECT kind, status, count(*) FROM doc GROUP BY kind, status ORDER BY kind, status")?;
    let rows = statement.query_map([], |r| Ok((r.get::<_, u8>(0)?, r.get(1)?, r.get(2)?)))?;
    rows.map(|row| {
        let (number, status, count) = row?;
        Ok(Counted { kind: kind(number)?, status, count })
    })
    .collect()
}

/// The documents of a kind that concern a person, open or not.
///
/// # Errors
/// The database's.
pub fn of_person(conn: &Connection, person: StaffId, kind: Kind) -> Result<Vec<DocId>> {
    let sql = "SELECT id FROM person CROSS JOIN doc ON no = person.doc WHERE staff = ?1 AND person.kind = ?2 ORDER BY open DESC, person.due, no";
    let mut statement = conn.prepare_cached(sql)?;
    let rows = statement.query_map(params![person.as_bytes(), kind.number()], |r| uuid_at(r, 0).map(DocId))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The world as the store holds it: also inside a transaction, where it sees
/// what the transaction wrote. [`World`] has no errors, so they are kept:
/// ask [`View::finish`] before trusting what was decided.
pub struct View<'a> {
    conn: &'a Connection,
    error: RefCell<Option<Error>>,
}

impl<'a> View<'a> {
    /// The world behind a connection (or a transaction).
    pub fn new(conn: &'a Connection) -> Self {
        Self { conn, error: RefCell::new(None) }
    }

    fn keep<T>(&self, result: Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.error.borrow_mut().get_or_insert(error);
                None
            }
        }
    }

    /// The first error met while reading.
    ///
    /// # Errors
    /// That one.
    pub fn finish(self) -> Result<()> {
        self.error.into_inner().map_or(Ok(()), Err)
    }
}

impl World for View<'_> {
    fn entity(&self, doc: DocRef) -> Option<Cow<'_, Entity>> {
        let found = self.keep(entity(self.conn, doc.id))?;
        found.filter(|e| e.kind() == doc.kind).map(Cow::Owned)
    }
    fn children(&self, kind: Kind, of: DocId) -> Vec<DocId> {
        self.keep(children(self.conn, kind, of)).unwrap_or_default()
    }
    fn answers(&self, request: RequestId) -> Vec<WorkOrderId> {
        self.keep(answers(self.conn, request)).unwrap_or_default()
    }
    fn coded(&self, code: &str) -> Vec<StaffId> {
        self.keep(coded(self.conn, code)).unwrap_or_default()
    }
}

/// What a phone lacks for its person's jobs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Readiness {
    /// Documents the jobs refer to that are not here.
    pub documents: Vec<DocRef>,
    /// Documents the server announced that have not come yet; an estimate.
    pub announced: u64,
    /// Photos the jobs refer to that are only on the server.
    pub blobs: Vec<(crate::domain::Sha256, u64)>,
    /// The company's settings (limits, checklist, parts) are here.
    pub settings: bool,
    /// Bytes to fetch; documents are estimated.
    pub bytes: u64,
    /// Seconds that takes at the rate last measured; `None` where none was.
    pub seconds: Option<u64>,
}

impl Readiness {
    /// Whether nothing is missing.
    pub fn ready(&self) -> bool {
        self.documents.is_empty() && self.announced == 0 && self.blobs.is_empty() && self.settings
    }
}

/// What is missing on this phone for a person's jobs due before `to`, or without a date.
///
/// # Errors
/// The database's.
pub fn ready_to_leave(conn: &Connection, person: StaffId, from: Millis, to: Millis) -> Result<Readiness> {
    let mut out = Readiness { settings: entity(conn, SETTINGS)?.is_some(), ..Readiness::default() };
    let state = meta::sync_state(conn)?;
    out.announced = state.remaining;
    let mut wanted: BTreeSet<DocRef> = BTreeSet::new();
    for job in today(conn, person, from, to)? {
        if !is_open(&job.summary.status) {
            continue;
        }
        wanted.insert(job.summary.doc);
        match entity(conn, job.summary.doc.id)? {
            Some(Entity::WorkOrder(order)) => {
                wanted.extend(order.customer.map(|id| DocRef::new(Kind::Customer, id)));
                wanted.extend(order.request.map(|id| DocRef::new(Kind::Request, id)));
            }
            Some(Entity::Request(request)) => wanted.extend(request.customer.map(|id| DocRef::new(Kind::Customer, id))),
            Some(_) => {}
            None => out.documents.push(job.summary.doc),
        }
        wanted.extend(
            children(conn, Kind::Visit, job.summary.doc.id)?.into_iter().map(|id| DocRef { kind: Kind::Visit, id }),
        );
    }
    let mut blobs = BTreeMap::new();
    for doc in wanted {
        if entity(conn, doc.id)?.is_none() && !out.documents.contains(&doc) {
            out.documents.push(doc);
        }
        let missing = blobs::of_document(conn, doc.id)?.into_iter().filter(|b| b.state == BlobState::RemoteOnly);
        blobs.extend(missing.map(|b| (b.name, b.size)));
    }
    out.blobs = blobs.into_iter().collect();
    let documents = out.documents.len() as u64 + out.announced + u64::from(!out.settings);
    out.bytes = out.blobs.iter().map(|(_, size)| size).sum::<u64>() + documents * DOCUMENT_BYTES;
    out.seconds = (state.rate > 0).then(|| out.bytes.div_ceil(state.rate));
    Ok(out)
}

/// Whether somebody still has something to do about a document of that status.
fn is_open(status: &str) -> bool {
    const DONE: [&str; 7] =
        ["withdrawn", "completed", "incomplete", "customer_told", "closed", "archived", "cancelled"];
    !DONE.contains(&status)
}

/// The columns of a document's row that indices follow.
struct Indexed {
    no: i64,
    status: String,
    due: i64,
    parent: Option<[u8; 16]>,
    people: Vec<u8>,
    search: String,
}

impl Indexed {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        let (no, status, due) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(Self { no, status, due, parent: row.get(3)?, people: row.get(4)?, search: row.get(5)? })
    }

    fn open(&self) -> bool {
        is_open(&self.status)
    }

    fn list(&self, tx: &Transaction<'_>, kind: Kind) -> Result<()> {
        let sql = "INSERT OR IGNORE INTO person (staff, kind, open, due, doc) VALUES (?1, ?2, ?3, ?4, ?5)";
        self.people(tx, kind, sql)
    }

    fn unlist(&self, tx: &Transaction<'_>, kind: Kind) -> Result<()> {
        let sql = "DELETE FROM person WHERE staff = ?1 AND kind = ?2 AND open = ?3 AND due = ?4 AND doc = ?5";
        self.people(tx, kind, sql)
    }

    fn people(&self, tx: &Transaction<'_>, kind: Kind, sql: &str) -> Result<()> {
        let mut statement = tx.prepare_cached(sql)?;
        for staff in self.people.as_chunks::<16>().0 {
            statement.execute(params![staff, kind.number(), self.open(), self.due, self.no])?;
        }
        Ok(())
    }
}

/// Takes a document's line, people and words away, before its row goes.
pub(super) fn forget(tx: &Transaction<'_>, no: i64) -> Result<()> {
    let sql = "SELECT no, status, due, parent, people, search, kind FROM doc WHERE no = ?1";
    let (old, number) = tx.prepare_cached(sql)?.query_row([no], |r| Ok((Indexed::read(r)?, r.get(6)?)))?;
    old.unlist(tx, kind(number)?)?;
    tx.prepare_cached("DELETE FROM fresh WHERE doc = ?1")?.execute([no])?;
    unindex(tx, no)
}

/// Brings the search index up to date.
pub(super) fn index(tx: &Transaction<'_>) -> Result<()> {
    let mut statement = tx.prepare_cached("SELECT no, search FROM fresh CROSS JOIN doc ON no = fresh.doc")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (no, search): (i64, String) = (row.get(0)?, row.get(1)?);
        unindex(tx, no)?;
        if !search.is_empty() {
            let words = words::indexed(&search).join(" ");
            tx.prepare_cached("INSERT INTO words (rowid, text) VALUES (?1, ?2)")?.execute(params![no, words])?;
        }
    }
    tx.prepare_cached("DELETE FROM fresh")?.execute([])?;
    Ok(())
}

fn unindex(tx: &Transaction<'_>, no: i64) -> Result<()> {
    if tx.prepare_cached("SELECT 1 FROM words_docsize WHERE id = ?1")?.exists([no])? {
        tx.prepare_cached("DELETE FROM words WHERE rowid = ?1")?.execute([no])?;
    }
    Ok(())
}

fn line(row: &rusqlite::Row<'_>) -> rusqlite::Result<Result<Line>> {
    let people: Vec<u8> = row.get(8)?;
    let due: i64 = row.get(7)?;
    let mut summary = Summary {
        doc: DocRef { kind: Kind::Settings, id: DocId(uuid_at(row, 0)?) },
        parent: row.get::<_, Option<[u8; 16]>>(2)?.map(|b| DocId(uuid::Uuid::from_bytes(b))),
        number: row.get(3)?,
        title: row.get(4)?,
        subtitle: row.get(5)?,
        status: row.get(6)?,
        due: (due != NEVER).then_some(Millis(due)),
        people: people.as_chunks::<16>().0.iter().map(|b| StaffId(uuid::Uuid::from_bytes(*b))).collect(),
        flags: flags_in(&row.get::<_, String>(9)?),
        search: String::new(),
    };
    let (number, delivery) = (row.get(1)?, delivery_at(row, 10)?);
    Ok(kind(number).map(|kind| {
        summary.doc.kind = kind;
        Line { summary, delivery }
    }))
}

fn lines(conn: &Connection, sql: &str, params: impl Params, out: &mut Vec<Line>) -> Result<()> {
    let mut statement = conn.prepare_cached(sql)?;
    for found in statement.query_map(params, line)? {
        out.push(found??);
    }
    Ok(())
}

fn mark_of(conn: &Connection, line: &Line) -> Result<String> {
    let no: i64 = conn
        .prepare_cached("SELECT no FROM doc WHERE id = ?1")?
        .query_row([line.summary.doc.id.as_bytes()], |r| r.get(0))?;
    Ok(format!("l1.{}.{no}", line.summary.due.map_or(NEVER, |d| d.0)))
}

fn bad_mark(mark: &str) -> Error {
    Error::Invalid {
        field: "after",
        detail: format!("no mark of a page: {:?}", mark.chars().take(40).collect::<String>()),
    }
}

fn children(conn: &Connection, kind: Kind, of: DocId) -> Result<Vec<DocId>> {
    let sql = "SELECT id FROM doc WHERE parent = ?1 AND kind = ?2 ORDER BY no";
    let mut statement = conn.prepare_cached(sql)?;
    let rows = statement.query_map(params![of.as_bytes(), kind.number()], |r| uuid_at(r, 0).map(DocId))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The work orders that name a request.
fn answers(conn: &Connection, request: RequestId) -> Result<Vec<WorkOrderId>> {
    let mut statement = conn.prepare_cached("SELECT id FROM doc WHERE answers = ?1 ORDER BY no")?;
    let rows = statement.query_map([request.as_bytes()], |r| uuid_at(r, 0).map(WorkOrderId))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Members of staff, not those who left, by their work number.
fn coded(conn: &Connection, code: &str) -> Result<Vec<StaffId>> {
    let sql = "SELECT id FROM doc WHERE kind = ?1 AND number = ?2 AND status <> 'left' ORDER BY no";
    let mut statement = conn.prepare_cached(sql)?;
    let rows = statement.query_map(params![Kind::Staff.number(), code], |r| uuid_at(r, 0).map(StaffId))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn flags_out(flags: &[String]) -> String {
    serde_json::to_string(flags).unwrap_or_else(|_| "[]".into())
}

fn flags_in(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap_or_default()
}

/// The content's JSON, without the kind, which has its own column.
fn encode(entity: &Entity) -> Result<Vec<u8>> {
    let json = match entity {
        Entity::Staff(e) => serde_json::to_vec(e),
        Entity::Settings(e) => serde_json::to_vec(e),
        Entity::Customer(e) => serde_json::to_vec(e),
        Entity::Request(e) => serde_json::to_vec(e),
        Entity::WorkOrder(e) => serde_json::to_vec(e),
        Entity::Visit(e) => serde_json::to_vec(e),
        Entity::FollowUp(e) => serde_json::to_vec(e),
        Entity::Complaint(e) => serde_json::to_vec(e),
        Entity::Statement(e) => serde_json::to_vec(e),
        Entity::Suggestion(e) => serde_json::to_vec(e),
        Entity::Appraisal(e) => serde_json::to_vec(e),
    };
    json.map_err(|e| Error::Damaged(format!("content: {e}")))
}

fn decode(kind: Kind, json: &[u8]) -> Result<Entity> {
    let entity = match kind {
        Kind::Staff => serde_json::from_slice(json).map(Entity::Staff),
        Kind::Settings => serde_json::from_slice(json).map(Entity::Settings),
        Kind::Customer => serde_json::from_slice(json).map(Entity::Customer),
        Kind::Request => serde_json::from_slice(json).map(Entity::Request),
        Kind::WorkOrder => serde_json::from_slice(json).map(Entity::WorkOrder),
        Kind::Visit => serde_json::from_slice(json).map(Entity::Visit),
        Kind::FollowUp => serde_json::from_slice(json).map(Entity::FollowUp),
        Kind::Complaint => serde_json::from_slice(json).map(Entity::Complaint),
        Kind::Statement => serde_json::from_slice(json).map(Entity::Statement),
        Kind::Suggestion => serde_json::from_slice(json).map(Entity::Suggestion),
        Kind::Appraisal => serde_json::from_slice(json).map(Entity::Appraisal),
    };
    entity.map_err(|e| Error::Damaged(format!("content of a {}: {e}", kind.name())))
}

/// The text without NUL, which would end it for SQLite.
fn storable(text: &str) -> String {
    text.replace('\0', " ")
}
