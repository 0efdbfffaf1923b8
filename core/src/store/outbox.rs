//! What waits to be sent, what was refused, and where each item stands.

use crate::document::Change;
use crate::domain::{ChangeHash, Command, DocId, DocRef, Kind, Millis, Sha256, StaffId, WorldExt as _, Zone};
use crate::error::{Error, Result};
use crate::planted::{self, Bug};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

use super::rows::{Row, delivery_at, not_held};
use super::{blobs, chunks, hash_at, kind, meta, unpack, uuid_at, views};

pub use super::rows::{Delivery, Lane};

/// Changes of one document waiting to be sent, dependencies first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Waiting {
    /// The document.
    pub doc: DocRef,
    /// The changes: hash and bytes.
    pub changes: Vec<(ChangeHash, Vec<u8>)>,
}

/// The device's own account of what waits.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Account {
    /// Changes not yet acknowledged.
    pub changes: u64,
    /// Blobs not yet acknowledged.
    pub blobs: u64,
    /// Their bytes still to be sent.
    pub blob_bytes: u64,
    /// When the oldest waiting item was queued.
    pub oldest: Option<Millis>,
    /// Documents held.
    pub documents: u64,
    /// Refused changes nobody has dealt with yet.
    pub refused: u64,
}

impl Account {
    /// Whether nothing would be lost if this phone were handed in now.
    /// Refused changes count as safe: the server keeps them aside too.
    pub fn safe_to_hand_in(&self) -> bool {
        self.changes == 0 && self.blobs == 0
    }
}

/// Why a change was refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// Stable code.
    pub code: String,
    /// The field concerned, if one.
    pub field: String,
    /// In words.
    pub detail: String,
}

/// A refused change, kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Its number here.
    pub id: i64,
    /// The document.
    pub doc: DocRef,
    /// The change.
    pub hash: ChangeHash,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Why.
    pub why: Refusal,
    /// When the refusal came, by the device's clock.
    pub at: Millis,
    /// Whether its author dealt with it (amended, re-sent or dropped).
    pub settled: bool,
    /// The change written in its place, if one was.
    pub instead: Option<ChangeHash>,
    /// What the office decided, once it is known here.
    pub decision: Option<Decision>,
}

/// What the office decided about a refused change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Decision {
    /// `accepted`, `amended` or `dismissed`; `rewritten` where its author wrote it again.
    pub verdict: String,
    /// By whom.
    pub by: StaffId,
    /// When, by the server's clock.
    pub at: Millis,
    /// Why.
    pub reason: String,
}

/// Rows of the documents of today's jobs: what is due or still open of this
/// device's person, with visits, request and customer.
fn of_today(conn: &Connection, now: Millis) -> Result<BTreeSet<i64>> {
    let Some(identity) = meta::identity(conn)? else { return Ok(BTreeSet::new()) };
    let view = views::View::new(conn);
    let zone = Zone::of(&view.settings());
    view.finish()?;
    let day = zone.day(now);
    views::job_rows(conn, identity.staff, zone.start(day), zone.end(day))
}

/// The next changes to send: by lane, then in the order queued; within a
/// document dependencies first. At least one change where any waits, then as
/// many as fit `max_bytes` and `max_changes`. `now` says which jobs are today's.
///
/// # Errors
/// The database's.
pub fn next_batch(conn: &Connection, now: Millis, max_bytes: usize, max_changes: usize) -> Result<Vec<Waiting>> {
    let mut out: Vec<Waiting> = Vec::new();
    let mut taken = BTreeSet::new();
    let (mut bytes, mut changes) = (0_usize, 0_usize);
    let mut today = None;
    // What failed again and again goes last, so that it blocks nothing.
    for (lane, which) in [
        (Lane::Work, "lane = 0 AND attempts < 3"),
        (Lane::Today, "lane > 0 AND attempts < 3"),
        (Lane::Rest, "lane > 0 AND attempts < 3"),
        (Lane::Rest, "lane IS NOT NULL AND attempts >= 3"),
    ] {
        let sql =
            format!("SELECT doc FROM change INDEXED BY outbox WHERE lane IS NOT NULL AND {which} ORDER BY lane, n");
        let mut statement = conn.prepare_cached(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let no: i64 = row.get(0)?;
            if taken.contains(&no) {
                continue;
            }
            if lane == Lane::Today {
                let today = match &mut today {
                    Some(known) => known,
                    none => none.insert(of_today(conn, now)?),
                };
                if !today.contains(&no) {
                    continue;
                }
            }
            taken.insert(no);
            let mut waiting = Waiting { doc: doc_ref(conn, no)?, changes: Vec::new() };
            for change in bodies(conn, no)? {
                if changes > 0 && (changes >= max_changes || bytes + change.1.len() > max_bytes) {
                    if !waiting.changes.is_empty() {
                        out.push(waiting);
                    }
                    return Ok(out);
                }
                changes += 1;
                bytes += change.1.len();
                waiting.changes.push(change);
            }
            out.push(waiting);
        }
    }
    Ok(out)
}

/// The waiting changes of a document, dependencies first.
///
/// # Errors
/// The database's.
pub fn waiting(conn: &Connection, doc: DocId) -> Result<Vec<Change>> {
    let Some(row) = Row::find(conn, doc)? else { return Ok(Vec::new()) };
    bodies(conn, row.no)?.into_iter().map(|(_, body)| Change::parse(body)).collect()
}

/// The server has these changes, durably. Returns how many were waiting:
/// saying it twice is harmless. A document that was leaving goes with its last.
///
/// # Errors
/// The database's.
pub fn acknowledge(tx: &Transaction<'_>, doc: DocId, hashes: &[ChangeHash]) -> Result<usize> {
    let Some(row) = Row::find(tx, doc)? else { return Ok(0) };
    let waiting = chunks::waiting_rows(tx, row.no)?;
    let done = chunks::mark_accepted(tx, row.no, &waiting, hashes.to_vec())?;
    if done.is_empty() {
        return Ok(0);
    }
    chunks::decide(tx, row.no, done.len())?;
    let mut accepted = row.accepted.clone();
    for change in &done {
        accepted.retain(|h| !change.deps.contains(h));
        if !accepted.contains(&change.hash) {
            accepted.push(change.hash);
        }
    }
    if row.leaving {
        chunks::purge_if_done(tx, doc)?;
    } else {
        chunks::write_accepted(tx, row.no, doc, &row.accepted, &accepted)?;
    }
    Ok(done.len())
}

/// The server has a blob, durably. Documents that were leaving and waited only for it go.
///
/// # Errors
/// The database's.
pub fn acknowledge_blob(tx: &Transaction<'_>, name: Sha256) -> Result<()> {
    blobs::acknowledged(tx, name)?.into_iter().try_for_each(|doc| chunks::purge_if_done(tx, doc).map(drop))
}

/// Notes that a change was sent and not decided: attempts and the last error.
///
/// # Errors
/// The database's.
pub fn attempted(tx: &Transaction<'_>, doc: DocId, hash: ChangeHash, error: &str) -> Result<()> {
    let Some(row) = Row::find(tx, doc)? else { return Ok(()) };
    tx.prepare_cached(
        "UPDATE change SET attempts = attempts + 1, last_error = ?3 WHERE doc = ?1 AND hash = ?2 AND lane IS NOT NULL",
    )?
    .execute(params![row.no, hash.0, error])?;
    Ok(())
}

/// The server refused a change: it and the waiting changes that depend on it
/// move out of the outbox into the refused ones, bytes and all. Returns
/// what moved, dependencies first; empty where it was not waiting.
/// The document is then rebuilt without them ([`super::chunks::rebuild`]); one that was leaving goes only once
/// what was written again has been sent.
///
/// # Errors
/// The database's.
pub fn set_aside(
    tx: &Transaction<'_>,
    doc: DocId,
    hash: ChangeHash,
    why: &Refusal,
    at: Millis,
) -> Result<Vec<ChangeHash>> {
    let Some(row) = Row::find(tx, doc)? else { return Ok(Vec::new()) };
    let mut aside: Vec<ChangeHash> = Vec::new();
    for change in chunks::waiting_rows(tx, row.no)? {
        if change.hash != hash && !change.deps.iter().any(|d| aside.contains(d)) {
            continue;
        }
        aside.push(change.hash);
        let put = "INSERT OR IGNORE INTO refused (doc, kind, hash, body, code, field, detail, at)
            SELECT ?3, ?4, hash, body, ?5, ?6, ?7, ?8 FROM change WHERE doc = ?1 AND hash = ?2";
        let (id, kind) = (doc.as_bytes(), row.kind.number());
        if !planted::on(Bug::RefusalForgotten) {
            let why = params![row.no, change.hash.0, id, kind, why.code, why.field, why.detail, at.0];
            tx.prepare_cached(put)?.execute(why)?;
        }
        tx.prepare_cached("DELETE FROM change WHERE doc = ?1 AND hash = ?2")?
            .execute(params![row.no, change.hash.0])?;
    }
    chunks::decide(tx, row.no, aside.len())?;
    tx.prepare_cached("UPDATE doc SET refused = refused + ?2 WHERE no = ?1")?
        .execute(params![row.no, i64::try_from(aside.len()).unwrap_or(0)])?;
    Ok(aside)
}

/// Puts changes already accepted once back into the outbox: after a restored server lost them. Returns how many.
///
/// # Errors
/// The database's; `BadChange`.
pub fn requeue(tx: &Transaction<'_>, doc: DocRef, changes: &[Change], lane: Lane, at: Millis) -> Result<usize> {
    let row = Row::find(tx, doc.id)?.ok_or_else(|| not_held(doc.id))?;
    let mut n = chunks::next_n(tx, &row)?;
    let mut count = 0;
    for change in changes {
        // What is not in the tail lies in the snapshot: its bytes come back only to be sent.
        let new = chunks::insert_change(tx, row.no, change, n, Some(lane), at, true)?;
        let sql =
            "UPDATE change SET lane = ?3, queued_at = ?4, attempts = 0 WHERE doc = ?1 AND hash = ?2 AND lane IS NULL";
        let again =
            !new && tx.prepare_cached(sql)?.execute(params![row.no, change.header.hash.0, lane as u8, at.0])? > 0;
        if new || again {
            n += 1;
            count += 1;
        }
    }
    tx.prepare_cached("UPDATE doc SET waiting = waiting + ?2, last_n = ?3 WHERE no = ?1")?
        .execute(params![row.no, count, n])?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Refused changes, newest first; those not dealt with only, where `open`.
///
/// # Errors
/// The database's.
pub fn refused(conn: &Connection, open: bool) -> Result<Vec<Refused>> {
    let sql =
        "SELECT id, doc, kind, hash, body, code, field, detail, at, settled, instead, verdict, reason, decided_by,
        decided_at FROM refused WHERE settled <= ?1 ORDER BY id DESC";
    let mut statement = conn.prepare_cached(sql)?;
    let rows = statement.query_map([!open], |r| {
        let instead = match r.get_ref(10)? {
            rusqlite::types::ValueRef::Null => None,
            _ => Some(ChangeHash(hash_at(r, 10)?)),
        };
        let verdict: String = r.get(11)?;
        let decision = match verdict.is_empty() {
            true => None,
            false => {
                Some(Decision { verdict, reason: r.get(12)?, by: StaffId(uuid_at(r, 13)?), at: Millis(r.get(14)?) })
            }
        };
        let refused = Refused {
            id: r.get(0)?,
            doc: DocRef { kind: Kind::Settings, id: DocId(uuid_at(r, 1)?) },
            hash: ChangeHash(hash_at(r, 3)?),
            bytes: r.get(4)?,
            why: Refusal { code: r.get(5)?, field: r.get(6)?, detail: r.get(7)? },
            at: Millis(r.get(8)?),
            settled: r.get(9)?,
            instead,
            decision,
        };
        Ok((r.get::<_, u8>(2)?, refused))
    })?;
    rows.map(|row| {
        let (number, mut refused) = row?;
        refused.doc.kind = kind(number)?;
        Ok(refused)
    })
    .collect()
}

/// Refused changes of which the office's decision is not known here, with what was written in
/// their place; newest first, at most `limit`. Not those that their author let rest.
///
/// # Errors
/// The database's.
pub fn undecided(conn: &Connection, limit: usize) -> Result<Vec<(DocId, ChangeHash, Option<ChangeHash>)>> {
    let sql = "SELECT doc, hash, instead FROM refused INDEXED BY undecided
        WHERE verdict = '' AND (settled = 0 OR instead IS NOT NULL) ORDER BY id DESC LIMIT ?1";
    let mut statement = conn.prepare_cached(sql)?;
    let rows = statement.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |r| {
        let instead = match r.get_ref(2)? {
            rusqlite::types::ValueRef::Null => None,
            _ => Some(ChangeHash(hash_at(r, 2)?)),
        };
        Ok((DocId(uuid_at(r, 0)?), ChangeHash(hash_at(r, 1)?), instead))
    })?;
    rows.map(|r| Ok(r?)).collect()
}

/// Notes the office's decision about a refused change; whether it was news. The change stays
/// listed until its author has taken note ([`settle_refused`]).
///
/// # Errors
/// The database's.
pub fn decided(tx: &Transaction<'_>, doc: DocId, hash: ChangeHash, decision: &Decision) -> Result<bool> {
    let sql = "UPDATE refused SET verdict = ?3, reason = ?4, decided_by = ?5, decided_at = ?6
        WHERE doc = ?1 AND hash = ?2 AND verdict = ''";
    let Decision { verdict, by, at, reason } = decision;
    let values = params![doc.as_bytes(), hash.0, verdict, reason, by.as_bytes(), at.0];
    Ok(!verdict.is_empty() && tx.prepare_cached(sql)?.execute(values)? > 0)
}

/// Marks a refused change as dealt with by another written in its place.
///
/// # Errors
/// `NotFound`; the database's.
pub fn written_instead(tx: &Transaction<'_>, id: i64, instead: ChangeHash) -> Result<()> {
    tx.prepare_cached("UPDATE refused SET instead = ?2 WHERE id = ?1")?.execute(params![id, instead.0])?;
    settle_refused(tx, id)
}

/// Marks a refused change as dealt with.
///
/// # Errors
/// `NotFound`; the database's.
pub fn settle_refused(tx: &Transaction<'_>, id: i64) -> Result<()> {
    let doc: [u8; 16] = tx
        .prepare_cached("UPDATE refused SET settled = 1 WHERE id = ?1 AND settled = 0 RETURNING doc")?
        .query_row([id], |r| r.get(0))
        .optional()?
        .ok_or_else(|| Error::NotFound(format!("refused change {id}")))?;
    tx.prepare_cached("UPDATE doc SET refused = max(refused - 1, 0) WHERE id = ?1")?.execute([doc])?;
    Ok(())
}

/// The device's own account.
///
/// # Errors
/// The database's.
pub fn account(conn: &Connection) -> Result<Account> {
    let (changes, oldest): (u64, Option<i64>) = conn
        .prepare_cached("SELECT count(*), min(queued_at) FROM change INDEXED BY outbox WHERE lane IS NOT NULL")?
        .query_row([], |r| Ok((r.get(0)?, r.get(1)?)))?;
    let (blobs, blob_bytes, oldest_blob): (u64, u64, Option<i64>) = conn
        .prepare_cached(
            "SELECT count(*), coalesce(sum(max(size - sent, 0)), 0), min(added_at) FROM blob WHERE state = 0",
        )?
        .query_row([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?;
    let count = |sql: &str| Ok::<u64, Error>(conn.prepare_cached(sql)?.query_row([], |r| r.get(0))?);
    Ok(Account {
        changes,
        blobs,
        blob_bytes,
        oldest: oldest.into_iter().chain(oldest_blob).min().map(Millis),
        documents: count("SELECT count(*) FROM doc")?,
        refused: count("SELECT count(*) FROM refused WHERE settled = 0")?,
    })
}

/// Where a document's edits made here stand. A document never edited here counts as accepted.
///
/// # Errors
/// `NotFound`; the database's.
pub fn delivery(conn: &Connection, doc: DocId) -> Result<Delivery> {
    let sql = "SELECT waiting, sent, refused, own, seen FROM doc WHERE id = ?1";
    let found = conn.prepare_cached(sql)?.query_row([doc.as_bytes()], |r| delivery_at(r, 0)).optional()?;
    found.ok_or_else(|| not_held(doc))
}

/// Where one change made here stands: only here, held aside by the server, or accepted.
///
/// # Errors
/// `NotFound` where the document is not held and the change not refused; the database's.
pub fn delivery_of(conn: &Connection, doc: DocId, change: ChangeHash) -> Result<Delivery> {
    let refused = "SELECT 1 FROM refused WHERE doc = ?1 AND hash = ?2";
    if conn.prepare_cached(refused)?.exists(params![doc.as_bytes(), change.0])? {
        return Ok(Delivery::Received);
    }
    let row = Row::find(conn, doc)?.ok_or_else(|| not_held(doc))?;
    let waiting = "SELECT 1 FROM change WHERE doc = ?1 AND hash = ?2 AND lane IS NOT NULL";
    Ok(match conn.prepare_cached(waiting)?.exists(params![row.no, change.0])? {
        true => Delivery::OnThisPhone,
        false if row.seen => Delivery::SeenByOffice,
        false => Delivery::Accepted,
    })
}

/// What the device's clock showed when the newest waiting change was queued.
///
/// # Errors
/// The database's.
pub fn last_queued(conn: &Connection) -> Result<Option<Millis>> {
    let last = |lane: u8| {
        format!(
            "SELECT * FROM (SELECT n, queued_at FROM change INDEXED BY outbox WHERE lane = {lane} ORDER BY n DESC LIMIT 1)"
        )
    };
    let sql = format!("{} UNION ALL {} UNION ALL {} ORDER BY n DESC LIMIT 1", last(0), last(1), last(2));
    Ok(conn.prepare_cached(&sql)?.query_row([], |r| r.get(1).map(Millis)).optional()?)
}

/// A change and where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Item {
    /// The document.
    pub doc: DocRef,
    /// The change.
    pub hash: ChangeHash,
    /// Its size in bytes.
    pub size: u64,
    /// Its lane.
    pub lane: Lane,
    /// When it was queued.
    pub queued_at: Millis,
    /// How often it was sent without being decided.
    pub attempts: u32,
    /// The last error's stable code; empty where none.
    pub last_error: String,
}

/// Everything that waits, lane by lane and then in the order queued; at most `limit`.
///
/// # Errors
/// The database's.
pub fn items(conn: &Connection, now: Millis, limit: usize) -> Result<Vec<Item>> {
    let today = of_today(conn, now)?;
    let sql = "SELECT id, kind, hash, length(body), lane, queued_at, attempts, last_error, no
        FROM change INDEXED BY outbox CROSS JOIN doc ON doc.no = change.doc WHERE lane IS NOT NULL ORDER BY lane, n";
    let mut statement = conn.prepare_cached(sql)?;
    let rows = statement.query_map([], |r| {
        let lane = match r.get::<_, u8>(4)? {
            0 => Lane::Work,
            _ if today.contains(&r.get(8)?) => Lane::Today,
            _ => Lane::Rest,
        };
        let item = Item {
            doc: DocRef { kind: Kind::Settings, id: DocId(uuid_at(r, 0)?) },
            hash: ChangeHash(hash_at(r, 2)?),
            size: r.get(3)?,
            lane,
            queued_at: Millis(r.get(5)?),
            attempts: r.get(6)?,
            last_error: r.get(7)?,
        };
        Ok((r.get::<_, u8>(1)?, item))
    })?;
    let mut out = Vec::new();
    for row in rows {
        let (number, mut item) = row?;
        item.doc.kind = kind(number)?;
        out.push(item);
    }
    // Stable: within a lane the order queued stays.
    out.sort_by_key(|item| (item.attempts >= 3, item.lane));
    out.truncate(limit);
    Ok(out)
}

/// The office's read mark on a document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadMark {
    /// The heads that were shown.
    pub heads: Vec<ChangeHash>,
    /// When.
    pub at: Millis,
    /// By whom.
    pub by: StaffId,
}

/// The office's read mark on a document, if it has one.
///
/// # Errors
/// The database's.
pub fn read_mark(conn: &Connection, doc: DocId) -> Result<Option<ReadMark>> {
    let sql = "SELECT mark.heads, at, by FROM mark JOIN doc ON doc.no = mark.doc WHERE id = ?1";
    let found = conn.prepare_cached(sql)?.query_row([doc.as_bytes()], |r| {
        let heads = unpack(r.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?);
        Ok(ReadMark { heads, at: Millis(r.get(1)?), by: StaffId(uuid_at(r, 2)?) })
    });
    Ok(found.optional()?)
}

/// The lane of a command's change: what somebody wrote or signed cannot be
/// had again if the phone is lost, so it goes first.
pub fn lane_of(command: &Command) -> Lane {
    if command.words() { Lane::Work } else { Lane::Rest }
}

fn doc_ref(conn: &Connection, no: i64) -> Result<DocRef> {
    let (id, number) = conn
        .prepare_cached("SELECT id, kind FROM doc WHERE no = ?1")?
        .query_row([no], |r| Ok((uuid_at(r, 0)?, r.get::<_, u8>(1)?)))?;
    Ok(DocRef { kind: kind(number)?, id: DocId(id) })
}

/// The waiting changes of a document as bytes, dependencies first.
fn bodies(conn: &Connection, no: i64) -> Result<Vec<(ChangeHash, Vec<u8>)>> {
    let mut statement = conn.prepare_cached("SELECT body FROM change WHERE doc = ?1 AND hash = ?2")?;
    let waiting = chunks::waiting_rows(conn, no)?.into_iter();
    waiting.map(|w| Ok((w.hash, statement.query_row(params![no, w.hash.0], |r| r.get(0))?))).collect()
}
