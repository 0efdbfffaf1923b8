//! Rows for screens: written with the document, read without loading it.

use crate::domain::summary::Summary;
use crate::domain::{DocId, DocRef, Entity, Kind, Millis, StaffId, World};
use crate::error::{Error, Result};
use rusqlite::{Connection, Transaction};
use std::cell::RefCell;

use super::outbox::Delivery;

/// Lines of a page.
pub const PAGE: usize = 50;

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
    let _ = (tx, summary, entity);
    unimplemented!()
}

/// A document's content.
///
/// # Errors
/// The database's; `Damaged` where the row cannot be read.
pub fn entity(conn: &Connection, doc: DocId) -> Result<Option<Entity>> {
    let _ = (conn, doc);
    unimplemented!()
}

/// One document's rows.
///
/// # Errors
/// `NotFound`; the database's.
pub fn show(conn: &Connection, doc: DocId) -> Result<Shown> {
    let _ = (conn, doc);
    unimplemented!()
}

/// A person's jobs of a day that begins at `from` and ends before `to`: what is
/// due in it, and what is still open from earlier or without a date. By due time.
///
/// # Errors
/// The database's.
pub fn today(conn: &Connection, person: StaffId, from: Millis, to: Millis) -> Result<Vec<Line>> {
    let _ = (conn, person, from, to);
    unimplemented!()
}

/// Documents of a kind (with that status, where given), by due time, newest first, a page at a time.
///
/// # Errors
/// `Invalid` where `after` is no mark of a page; the database's.
pub fn list(conn: &Connection, kind: Kind, status: Option<&str>, after: Option<&str>) -> Result<Page> {
    let _ = (conn, kind, status, after);
    unimplemented!()
}

/// Documents found by all the words of `query`, best first, a page at a time.
/// CJK words match anywhere, others by whole words, the last by its beginning.
///
/// # Errors
/// `Invalid` where `after` is no mark of a page; the database's.
pub fn search(conn: &Connection, query: &str, after: Option<&str>) -> Result<Page> {
    let _ = (conn, query, after);
    unimplemented!()
}

/// How many documents there are, by kind and status.
///
/// # Errors
/// The database's.
pub fn counts(conn: &Connection) -> Result<Vec<Counted>> {
    let _ = conn;
    unimplemented!()
}

/// The documents of a kind that concern a person, open or not.
///
/// # Errors
/// The database's.
pub fn of_person(conn: &Connection, person: StaffId, kind: Kind) -> Result<Vec<DocId>> {
    let _ = (conn, person, kind);
    unimplemented!()
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

    /// The first error met while reading.
    ///
    /// # Errors
    /// That one.
    pub fn finish(self) -> Result<()> {
        self.error.into_inner().map_or(Ok(()), Err)
    }
}

impl World for View<'_> {
    fn entity(&self, doc: DocRef) -> Option<Entity> {
        let _ = (doc, self.conn, &self.error);
        unimplemented!()
    }
    fn children(&self, kind: Kind, of: DocId) -> Vec<DocId> {
        let _ = (kind, of);
        unimplemented!()
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
    let _ = (conn, person, from, to);
    unimplemented!()
}
