//! Documents as bytes: a snapshot plus later changes, with heads and digest.

use crate::document::{Change, Doc};
use crate::domain::{ChangeHash, DocId, DocRef, Kind, Millis};
use crate::error::Result;
use crate::planted::{self, Bug};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;

use super::rows::{Lane, Row, not_held, wrong_kind};
use super::{blobs, hash_at, kind, meta, pack, unpack, uuid_at, views};

/// Heads a server vouched for, with its seal over them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Seal {
    /// The heads, sorted.
    pub heads: Vec<ChangeHash>,
    /// The server's HMAC over them.
    pub seal: Vec<u8>,
}

/// What is held of a document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held {
    /// The document.
    pub doc: DocRef,
    /// Its heads here.
    pub heads: Vec<ChangeHash>,
    /// The heads the server accepted, as far as known here; empty where none.
    pub accepted: Vec<ChangeHash>,
    /// The newest sealed heads; an older state than `accepted` where changes were acknowledged since.
    pub sealed: Option<Seal>,
    /// It left this device's scope and waits only for its unsent edits.
    pub leaving: bool,
}

/// What became of a document that left the scope.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Left {
    /// It is gone.
    Purged,
    /// It holds unsent edits or photos: it goes when the last is acknowledged.
    Leaving,
    /// It was not here.
    Unknown,
}

/// What is held of a document; `None` where nothing is.
///
/// # Errors
/// The database's.
pub fn held(conn: &Connection, doc: DocId) -> Result<Option<Held>> {
    let sql = "SELECT id, kind, heads, accepted, sealed, seal, leaving FROM doc WHERE id = ?1";
    conn.prepare_cached(sql)?.query_row([doc.as_bytes()], held_row).optional()?.transpose()
}

/// Every document held whose SHA-256(id) begins with one of `ranges` (all where empty), not those leaving.
///
/// # Errors
/// The database's.
pub fn held_in(conn: &Connection, ranges: &[u8]) -> Result<Vec<Held>> {
    let sql = "SELECT id, kind, heads, accepted, sealed, seal, leaving FROM doc WHERE leaving = 0";
    let mut statement = conn.prepare_cached(sql)?;
    let mut out = Vec::new();
    for row in statement.query_map([], held_row)? {
        let held = row??;
        if ranges.is_empty() || ranges.contains(&range_of(held.doc.id)) {
            out.push(held);
        }
    }
    Ok(out)
}

/// Loads a document: snapshot plus later changes. `None` where it is not held.
///
/// # Errors
/// `BadChange` where the bytes do not load; the database's.
pub fn load(conn: &Connection, doc: DocId) -> Result<Option<Doc>> {
    let Some(row) = Row::find(conn, doc)? else { return Ok(None) };
    let snapshot = snapshot(conn, row.no)?;
    let mut statement = conn.prepare_cached("SELECT n, body FROM change WHERE doc = ?1 AND covered = 0")?;
    let mut tail = statement
        .query_map([row.no], |r| Ok((r.get::<_, i64>(0)?, r.get::<_, Vec<u8>>(1)?)))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    tail.sort_unstable_by_key(|(n, _)| *n);
    Ok(Some(Doc::load(row.kind, snapshot.as_deref(), tail.iter().map(|(_, body)| body.as_slice()))?))
}

/// Loads a document, or starts a new one of that kind.
///
/// # Errors
/// As [`load`]; `Invalid` where the document held is of another kind.
pub fn load_or_new(conn: &Connection, doc: DocRef) -> Result<Doc> {
    match load(conn, doc.id)? {
        Some(held) if held.kind() != doc.kind => Err(wrong_kind(doc, held.kind())),
        Some(held) => Ok(held),
        None => Ok(Doc::new(doc.kind)),
    }
}

/// Stores a change made here, and queues it to be sent. `heads` are the document's after it.
///
/// # Errors
/// `Invalid` where the document held is of another kind; the database's.
pub fn put_own(
    tx: &Transaction<'_>,
    doc: DocRef,
    change: &Change,
    heads: &[ChangeHash],
    lane: Lane,
    at: Millis,
) -> Result<()> {
    let row = Row::find_or_insert(tx, doc)?;
    let n = next_n(tx, &row)?;
    let lane = Some(lane).filter(|_| !(planted::on(Bug::NotQueued) && n % 7 == 0));
    let added = insert_change(tx, row.no, change, n, lane, at, false)?;
    let (count, bytes) = if added { (1, change.bytes.len()) } else { (0, 0) };
    tx.prepare_cached(
        "UPDATE doc SET heads = ?2, own = 1, seen = 0, waiting = waiting + ?3, tail = tail + ?3, tail_bytes = tail_bytes + ?4, last_n = ?5 WHERE no = ?1",
    )?
    .execute(params![row.no, pack(heads), count, as_i64(bytes), n])?;
    Ok(())
}

/// Stores what the server sent: a snapshot for a document new here, changes,
/// and the accepted heads after them. `heads` are the document's after all of
/// it, pending changes included. Own pending changes that the delivery shows
/// to be accepted leave the outbox.
///
/// # Errors
/// `Invalid` where the document held is of another kind; the database's.
pub fn put_received(
    tx: &Transaction<'_>,
    doc: DocRef,
    snapshot: Option<&[u8]>,
    changes: &[Change],
    heads: &[ChangeHash],
    sealed: &Seal,
) -> Result<()> {
    let row = Row::find_or_insert(tx, doc)?;
    let waiting = waiting_rows(tx, row.no)?;
    let mut accepted_now: Vec<ChangeHash> = sealed.heads.clone();
    let (mut count, mut bytes) = (0_i64, 0_usize);
    let mut n = next_n(tx, &row)?;
    let mut add = |change: &Change, count: &mut i64, bytes: &mut usize| -> Result<()> {
        if insert_change(tx, row.no, change, n, None, Millis(0), false)? {
            n += 1;
            *count += 1;
            *bytes += change.bytes.len();
        }
        Ok(())
    };
    if let Some(body) = snapshot {
        if !waiting.is_empty() || !row.is_new {
            // What is here already stays: the snapshot's changes join it.
            let theirs = Doc::load_foreign(doc.kind, Some(body), std::iter::empty::<&[u8]>())?;
            accepted_now.extend(waiting.iter().map(|w| w.hash).filter(|h| theirs.has(*h)));
            let ours = load(tx, doc.id)?;
            for change in theirs.foreign_changes()? {
                if !ours.as_ref().is_some_and(|d| d.has(change.header.hash)) {
                    add(&change, &mut count, &mut bytes)?;
                }
            }
        } else {
            put_snapshot(tx, row.no, body)?;
        }
    }
    for change in changes {
        accepted_now.extend(&change.header.deps);
        accepted_now.push(change.header.hash);
        add(change, &mut count, &mut bytes)?;
    }
    let decided = mark_accepted(tx, row.no, &waiting, accepted_now)?.len();
    tx.prepare_cached(
        "UPDATE doc SET heads = ?2, sealed = ?3, seal = ?4, tail = tail + ?5, tail_bytes = tail_bytes + ?6, last_n = ?7 WHERE no = ?1",
    )?
    .execute(params![row.no, pack(heads), pack(&sealed.heads), sealed.seal, count, as_i64(bytes), n])?;
    if row.leaving {
        tx.prepare_cached("UPDATE doc SET leaving = 0 WHERE no = ?1")?.execute([row.no])?;
    }
    decide(tx, row.no, decided)?;
    // While it was leaving it had no part in the digest.
    let before = if row.leaving { Vec::new() } else { row.accepted };
    write_accepted(tx, row.no, doc.id, &before, &sealed.heads)
}

/// Replaces all that is stored of a document by this snapshot: after refused
/// changes were taken out ([`super::outbox::set_aside`]) and before innocent edits are
/// written again with [`put_own`]. Pending changes that stay in the outbox are
/// named in `keep`; others are taken out of it.
///
/// # Errors
/// The database's.
pub fn rebuild(
    tx: &Transaction<'_>,
    doc: DocRef,
    snapshot: &[u8],
    heads: &[ChangeHash],
    keep: &[ChangeHash],
) -> Result<()> {
    let row = Row::find(tx, doc.id)?.ok_or_else(|| not_held(doc.id))?;
    tx.prepare_cached("DELETE FROM change WHERE doc = ?1 AND lane IS NULL")?.execute([row.no])?;
    for waiting in waiting_rows(tx, row.no)? {
        let sql = if keep.contains(&waiting.hash) {
            "UPDATE change SET covered = 1 WHERE doc = ?1 AND hash = ?2"
        } else {
            "DELETE FROM change WHERE doc = ?1 AND hash = ?2"
        };
        tx.prepare_cached(sql)?.execute(params![row.no, waiting.hash.0])?;
    }
    put_snapshot(tx, row.no, snapshot)?;
    tx.prepare_cached(
        "UPDATE doc SET heads = ?2, tail = 0, tail_bytes = 0, waiting = (SELECT count(*) FROM change WHERE doc = ?1 AND lane IS NOT NULL) WHERE no = ?1",
    )?
    .execute(params![row.no, pack(heads)])?;
    Ok(())
}

/// Whether a document has more than `tail` changes after its snapshot, or many bytes of them.
///
/// # Errors
/// The database's.
pub fn wants_compaction(conn: &Connection, doc: DocId, tail: u32) -> Result<bool> {
    let sql = "SELECT 1 FROM doc WHERE id = ?1 AND (tail > ?2 OR (tail_bytes > 8192 AND tail_bytes > snap_bytes))";
    Ok(conn.prepare_cached(sql)?.exists(params![doc.as_bytes(), tail])?)
}

/// A snapshot of a document that proves itself; none of one that would not load again.
pub fn proved(doc: DocId, held: &Doc) -> Option<Vec<u8>> {
    if held.prove().is_err() {
        tracing::warn!(%doc, "not compacted: it would not load again");
        return None;
    }
    Some(held.save())
}

/// Compacts a document that wants it; `held` is all that is stored of it. One that does not prove itself is
/// left as it is.
///
/// # Errors
/// The database's.
pub fn shorten(tx: &Transaction<'_>, doc: DocId, held: &Doc, tail: u32) -> Result<()> {
    if !wants_compaction(tx, doc, tail)? {
        return Ok(());
    }
    let Some(snapshot) = proved(doc, held) else { return Ok(()) };
    let sql = "SELECT hash FROM change JOIN doc ON doc.no = change.doc WHERE doc.id = ?1 AND covered = 0";
    let covered = tx
        .prepare_cached(sql)?
        .query_map([doc.as_bytes()], |r| Ok(ChangeHash(r.get(0)?)))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    compact(tx, doc, &snapshot, &covered)
}

/// Changes after a document's snapshot from which on it is compacted. The index `doc_tail` holds those with more.
pub const LONG_TAIL: u32 = 32;

/// Documents with more than `tail` changes after their snapshot, or many bytes of them; a few at most.
///
/// # Errors
/// The database's.
pub fn compactable(conn: &Connection, tail: u32, limit: usize) -> Result<Vec<DocRef>> {
    // The number stands in the text: with [`LONG_TAIL`] it is the index's own condition.
    let sql = format!(
        "SELECT id, kind FROM doc WHERE tail > {tail} OR (tail_bytes > 8192 AND tail_bytes > snap_bytes) LIMIT ?1"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let rows = statement.query_map([as_i64(limit)], |r| Ok((uuid_at(r, 0)?, r.get::<_, u8>(1)?)))?;
    rows.map(|row| {
        let (id, number) = row?;
        Ok(DocRef { kind: kind(number)?, id: DocId(id) })
    })
    .collect()
}

/// Puts a snapshot, then deletes what it supersedes. Changes still to be sent
/// stay until acknowledged.
///
/// # Errors
/// The database's.
pub fn compact(tx: &Transaction<'_>, doc: DocId, snapshot: &[u8], covered: &[ChangeHash]) -> Result<()> {
    let row = Row::find(tx, doc)?.ok_or_else(|| not_held(doc))?;
    put_snapshot(tx, row.no, snapshot)?;
    for hash in covered {
        tx.prepare_cached("UPDATE change SET covered = 1 WHERE doc = ?1 AND hash = ?2 AND lane IS NOT NULL")?
            .execute(params![row.no, hash.0])?;
        tx.prepare_cached("DELETE FROM change WHERE doc = ?1 AND hash = ?2 AND lane IS NULL")?
            .execute(params![row.no, hash.0])?;
    }
    tx.prepare_cached(
        "UPDATE doc SET (tail, tail_bytes) = (SELECT count(*), coalesce(sum(length(body)), 0) FROM change WHERE doc = ?1 AND covered = 0) WHERE no = ?1",
    )?
    .execute([row.no])?;
    Ok(())
}

/// A document leaves this device's scope: it is purged, unless it holds
/// unsent edits or photos; then it waits for them.
///
/// # Errors
/// The database's.
pub fn leave(tx: &Transaction<'_>, doc: DocId) -> Result<Left> {
    let Some(row) = Row::find(tx, doc)? else { return Ok(Left::Unknown) };
    if planted::on(Bug::PurgeUnsent) || row.waiting == 0 && !has_unsent_blobs(tx, doc)? {
        purge(tx, &row, doc)?;
        return Ok(Left::Purged);
    }
    if !row.leaving {
        tx.prepare_cached("UPDATE doc SET leaving = 1 WHERE no = ?1")?.execute([row.no])?;
        shift_digest(tx, doc, &row.accepted, &[])?;
    }
    Ok(Left::Leaving)
}

/// The digest of what the server accepted and this device holds: XOR of
/// SHA-256(doc id ‖ sorted accepted heads) over the documents in scope.
///
/// # Errors
/// The database's.
pub fn digest(conn: &Connection) -> Result<[u8; 32]> {
    Ok(meta::get(conn, "digest")?.unwrap_or_default())
}

/// The same digest by range: by the first byte of SHA-256(doc id), 256 of them.
///
/// # Errors
/// The database's.
pub fn range_digests(conn: &Connection) -> Result<Vec<[u8; 32]>> {
    let mut out = vec![[0; 32]; 256];
    let mut statement = conn.prepare_cached("SELECT id, accepted FROM doc WHERE leaving = 0 AND accepted <> x''")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id = DocId(uuid_at(row, 0)?);
        let part = digest_of(id, &unpack(row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?));
        xor(&mut out[usize::from(range_of(id))], &part);
    }
    Ok(out)
}

/// A document's part of the digest.
pub fn digest_of(doc: DocId, accepted: &[ChangeHash]) -> [u8; 32] {
    if accepted.is_empty() {
        return [0; 32];
    }
    let mut hash = Sha256::new();
    hash.update(doc.as_bytes());
    hash.update(pack(accepted));
    hash.finalize().into()
}

/// The office looked at a document at these heads.
///
/// # Errors
/// The database's.
pub fn put_seen(
    tx: &Transaction<'_>,
    doc: DocId,
    heads: &[ChangeHash],
    at: Millis,
    by: crate::domain::StaffId,
) -> Result<()> {
    let Some(row) = Row::find(tx, doc)? else { return Ok(()) };
    tx.prepare_cached("INSERT OR REPLACE INTO mark (doc, heads, at, by) VALUES (?1, ?2, ?3, ?4)")?.execute(params![
        row.no,
        pack(heads),
        at.0,
        by.as_bytes()
    ])?;
    if row.own && !row.seen && row.waiting == 0 && covers_own(tx, &row, doc, heads)? {
        tx.prepare_cached("UPDATE doc SET seen = 1 WHERE no = ?1")?.execute([row.no])?;
    }
    Ok(())
}

/// How many documents of each kind are held.
///
/// # Errors
/// The database's.
pub fn counts(conn: &Connection) -> Result<Vec<(Kind, u64)>> {
    let mut statement = conn.prepare_cached("SELECT kind, count(*) FROM doc GROUP BY kind ORDER BY kind")?;
    let rows = statement.query_map([], |r| Ok((r.get::<_, u8>(0)?, r.get::<_, u64>(1)?)))?;
    rows.map(|row| {
        let (number, count) = row?;
        Ok((kind(number)?, count))
    })
    .collect()
}

fn as_i64(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn held_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Result<Held>> {
    let hashes = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<Vec<u8>>>(column)?.map(|b| unpack(&b)));
    let (id, number) = (DocId(uuid_at(row, 0)?), row.get::<_, u8>(1)?);
    let sealed = match (hashes(4)?, row.get(5)?) {
        (Some(heads), Some(seal)) => Some(Seal { heads, seal }),
        _ => None,
    };
    let (heads, accepted, leaving) = (hashes(2)?.unwrap_or_default(), hashes(3)?.unwrap_or_default(), row.get(6)?);
    Ok(kind(number).map(|kind| Held { doc: DocRef { kind, id }, heads, accepted, sealed, leaving }))
}

fn snapshot(conn: &Connection, no: i64) -> Result<Option<Vec<u8>>> {
    Ok(conn.prepare_cached("SELECT body FROM snapshot WHERE doc = ?1")?.query_row([no], |r| r.get(0)).optional()?)
}

fn put_snapshot(tx: &Transaction<'_>, no: i64, body: &[u8]) -> Result<()> {
    tx.prepare_cached("INSERT OR REPLACE INTO snapshot (doc, body) VALUES (?1, ?2)")?.execute(params![no, body])?;
    tx.prepare_cached("UPDATE doc SET snap_bytes = ?2 WHERE no = ?1")?.execute(params![no, as_i64(body.len())])?;
    Ok(())
}

/// The next number in the order of arrival: after all of this document and all that waits.
pub(super) fn next_n(conn: &Connection, row: &Row) -> Result<i64> {
    let sql = "SELECT 1 + max(?1,
        coalesce((SELECT max(n) FROM change WHERE lane = 0), 0),
        coalesce((SELECT max(n) FROM change WHERE lane = 1), 0),
        coalesce((SELECT max(n) FROM change WHERE lane = 2), 0))";
    Ok(conn.prepare_cached(sql)?.query_row([row.last_n], |r| r.get(0))?)
}

/// Stores a change unless it is stored; says whether it was new.
pub(super) fn insert_change(
    tx: &Transaction<'_>,
    no: i64,
    change: &Change,
    n: i64,
    lane: Option<Lane>,
    at: Millis,
    covered: bool,
) -> Result<bool> {
    let sql = "INSERT OR IGNORE INTO change (doc, hash, n, lane, covered, queued_at, deps, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let (hash, deps) = (change.header.hash.0, pack(&change.header.deps));
    let added = tx.prepare_cached(sql)?.execute(params![
        no,
        hash,
        n,
        lane.map(|l| l as u8),
        covered,
        at.0,
        deps,
        change.bytes
    ])?;
    Ok(added > 0)
}

/// A change in the outbox.
pub(super) struct WaitingRow {
    pub(super) hash: ChangeHash,
    pub(super) deps: Vec<ChangeHash>,
    covered: bool,
}

/// A document's changes in the outbox, dependencies first.
pub(super) fn waiting_rows(conn: &Connection, no: i64) -> Result<Vec<WaitingRow>> {
    let sql = "SELECT hash, deps, covered, n FROM change WHERE doc = ?1 AND lane IS NOT NULL";
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement
        .query_map([no], |r| {
            let deps = unpack(r.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?);
            Ok((r.get::<_, i64>(3)?, WaitingRow { hash: ChangeHash(hash_at(r, 0)?), deps, covered: r.get(2)? }))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    rows.sort_unstable_by_key(|(n, _)| *n);
    Ok(dependencies_first(rows.into_iter().map(|(_, row)| row).collect()))
}

/// The order of arrival, unless something queued again came after what depends on it.
fn dependencies_first(mut left: Vec<WaitingRow>) -> Vec<WaitingRow> {
    let mut out: Vec<WaitingRow> = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let waiting: BTreeSet<ChangeHash> = left.iter().map(|w| w.hash).collect();
        let (ready, rest): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|w| !w.deps.iter().any(|d| waiting.contains(d)));
        if ready.is_empty() {
            // Hashes cannot go round in a circle; were the file damaged, the server says so.
            out.extend(rest);
            break;
        }
        out.extend(ready);
        left = rest;
    }
    out
}

/// Takes out of the outbox what is among `accepted` or below it, and says which those were.
pub(super) fn mark_accepted<'w>(
    tx: &Transaction<'_>,
    no: i64,
    waiting: &'w [WaitingRow],
    accepted: Vec<ChangeHash>,
) -> Result<Vec<&'w WaitingRow>> {
    let mut accepted: BTreeSet<ChangeHash> = accepted.into_iter().collect();
    let mut out = Vec::new();
    // Dependencies lie before their dependants, so one pass from the end meets all.
    for row in waiting.iter().rev() {
        if accepted.contains(&row.hash) {
            accepted.extend(&row.deps);
            out.push(row);
            let sql = if row.covered {
                "DELETE FROM change WHERE doc = ?1 AND hash = ?2"
            } else {
                "UPDATE change SET lane = NULL WHERE doc = ?1 AND hash = ?2"
            };
            tx.prepare_cached(sql)?.execute(params![no, row.hash.0])?;
        }
    }
    out.reverse();
    Ok(out)
}

/// So many changes of a document left the outbox, decided by the server.
pub(super) fn decide(tx: &Transaction<'_>, no: i64, count: usize) -> Result<()> {
    if count > 0 {
        // `sent` tells a document partly received from one not sent at all.
        tx.prepare_cached(
            "UPDATE doc SET sent = iif(waiting > ?2, sent + ?2, 0), waiting = max(waiting - ?2, 0) WHERE no = ?1",
        )?
        .execute(params![no, as_i64(count)])?;
    }
    Ok(())
}

/// Writes the accepted heads, and the digest with them.
pub(super) fn write_accepted(
    tx: &Transaction<'_>,
    no: i64,
    doc: DocId,
    before: &[ChangeHash],
    after: &[ChangeHash],
) -> Result<()> {
    tx.prepare_cached("UPDATE doc SET accepted = ?2 WHERE no = ?1")?.execute(params![no, pack(after)])?;
    shift_digest(tx, doc, before, after)
}

fn shift_digest(tx: &Transaction<'_>, doc: DocId, before: &[ChangeHash], after: &[ChangeHash]) -> Result<()> {
    let mut change = digest_of(doc, before);
    xor(&mut change, &digest_of(doc, after));
    if change != [0; 32] {
        let mut total = digest(tx)?;
        xor(&mut total, &change);
        meta::put(tx, "digest", total)?;
    }
    Ok(())
}

fn xor(a: &mut [u8; 32], b: &[u8; 32]) {
    a.iter_mut().zip(b).for_each(|(a, b)| *a ^= b);
}

fn range_of(doc: DocId) -> u8 {
    let hash: [u8; 32] = Sha256::digest(doc.as_bytes()).into();
    hash[0]
}

fn has_unsent_blobs(conn: &Connection, doc: DocId) -> Result<bool> {
    let sql = "SELECT 1 FROM blob_ref JOIN blob USING (name) WHERE doc = ?1 AND state = 0";
    Ok(conn.prepare_cached(sql)?.exists([doc.as_bytes()])?)
}

/// Whether every edit made on this device lies at or below `heads`.
fn covers_own(conn: &Connection, row: &Row, doc: DocId, heads: &[ChangeHash]) -> Result<bool> {
    if pack(heads) == pack(&row.accepted) {
        return Ok(true);
    }
    let (Some(identity), Some(held)) = (meta::identity(conn)?, load(conn, doc)?) else { return Ok(false) };
    let device = identity.device.as_bytes().as_slice();
    Ok(!held.changes_since(heads).iter().any(|c| c.header.actor.starts_with(device)))
}

/// Purges a document that was leaving, once nothing of it waits any more; answers whether it did.
///
/// # Errors
/// The database's.
pub(crate) fn purge_if_done(tx: &Transaction<'_>, doc: DocId) -> Result<bool> {
    match Row::find(tx, doc)? {
        Some(row) if row.leaving && row.waiting == 0 && !has_unsent_blobs(tx, doc)? => {
            purge(tx, &row, doc)?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

fn purge(tx: &Transaction<'_>, row: &Row, doc: DocId) -> Result<()> {
    views::forget(tx, row.no)?;
    if !row.leaving {
        shift_digest(tx, doc, &row.accepted, &[])?;
    }
    blobs::unlink(tx, doc)?;
    tx.prepare_cached("DELETE FROM doc WHERE no = ?1")?.execute([row.no])?;
    Ok(())
}

/// Sets the heads the server is known to have accepted: after a reconciliation.
///
/// # Errors
/// `NotFound`; the database's.
pub fn set_accepted(tx: &Transaction<'_>, doc: DocId, accepted: &[ChangeHash]) -> Result<()> {
    let row = Row::find(tx, doc)?.ok_or_else(|| not_held(doc))?;
    if row.leaving {
        return Ok(());
    }
    write_accepted(tx, row.no, doc, &row.accepted, accepted)
}

/// Sets the seal that vouches for what may have to be given back to a restored server.
///
/// # Errors
/// The database's.
pub fn put_seal(tx: &Transaction<'_>, doc: DocId, seal: &Seal) -> Result<()> {
    tx.prepare_cached("UPDATE doc SET sealed = ?2, seal = ?3 WHERE id = ?1")?.execute(params![
        doc.as_bytes(),
        pack(&seal.heads),
        seal.seal
    ])?;
    Ok(())
}
