//! The head of a document's row, and the words that say where its edits
//! stand: what the modules of the store share, below all of them.

use crate::domain::{ChangeHash, DocId, DocRef, Kind};
use crate::error::{Error, Result};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::{kind, unpack};

/// Which goes first. Photos have a queue of their own (see [`super::blobs`]) and come last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Lane {
    /// Texts and signatures.
    Work = 0,
    /// Today's jobs: asked when it is sent and never stored, for what is today's changes overnight.
    Today = 1,
    /// The rest.
    Rest = 2,
}

/// Where a document's edits made on this device stand.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Only here.
    OnThisPhone,
    /// The server has some, or holds some aside.
    Received,
    /// The server has all, durably.
    Accepted,
    /// And somebody at the office looked at it since.
    SeenByOffice,
}

/// Reads (waiting, sent, refused, own, seen) from five columns.
pub(super) fn delivery_at(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Delivery> {
    let (waiting, sent, refused): (i64, i64, i64) = (row.get(column)?, row.get(column + 1)?, row.get(column + 2)?);
    let (own, seen): (bool, bool) = (row.get(column + 3)?, row.get(column + 4)?);
    Ok(match (waiting, sent, refused) {
        (1.., 0, _) => Delivery::OnThisPhone,
        (1.., _, _) | (_, _, 1..) => Delivery::Received,
        _ if own && seen => Delivery::SeenByOffice,
        _ => Delivery::Accepted,
    })
}

/// The head of a document's row.
pub(super) struct Row {
    pub(super) no: i64,
    pub(super) kind: Kind,
    pub(super) accepted: Vec<ChangeHash>,
    pub(super) leaving: bool,
    pub(super) waiting: i64,
    pub(super) own: bool,
    pub(super) seen: bool,
    pub(super) last_n: i64,
    /// Nothing was stored of it before.
    pub(super) is_new: bool,
}

impl Row {
    pub(super) fn find(conn: &Connection, doc: DocId) -> Result<Option<Self>> {
        let sql = "SELECT no, kind, accepted, leaving, waiting, own, seen, last_n FROM doc WHERE id = ?1";
        let found = conn.prepare_cached(sql)?.query_row([doc.as_bytes()], |r| {
            let accepted = unpack(r.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?);
            let (no, leaving, waiting) = (r.get(0)?, r.get(3)?, r.get(4)?);
            let (own, seen, last_n) = (r.get(5)?, r.get(6)?, r.get(7)?);
            let row = Self { no, kind: Kind::Settings, accepted, leaving, waiting, own, seen, last_n, is_new: false };
            Ok((r.get::<_, u8>(1)?, row))
        });
        let Some((number, row)) = found.optional()? else { return Ok(None) };
        Ok(Some(Self { kind: kind(number)?, ..row }))
    }

    pub(super) fn find_or_insert(tx: &Transaction<'_>, doc: DocRef) -> Result<Self> {
        if let Some(row) = Self::find(tx, doc.id)? {
            return if row.kind == doc.kind { Ok(row) } else { Err(wrong_kind(doc, row.kind)) };
        }
        tx.prepare_cached("INSERT INTO doc (id, kind, heads) VALUES (?1, ?2, x'')")?
            .execute(params![doc.id.as_bytes(), doc.kind.number()])?;
        Ok(Self {
            no: tx.last_insert_rowid(),
            kind: doc.kind,
            accepted: Vec::new(),
            leaving: false,
            waiting: 0,
            own: false,
            seen: false,
            last_n: 0,
            is_new: true,
        })
    }
}

pub(super) fn wrong_kind(doc: DocRef, held: Kind) -> Error {
    Error::Invalid { field: "kind", detail: format!("{} is a {}, not a {}", doc.id, held.name(), doc.kind.name()) }
}

pub(super) fn not_held(doc: DocId) -> Error {
    Error::NotFound(format!("document {doc}"))
}
