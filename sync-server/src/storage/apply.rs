//! What a commit means, once for every storage that keeps rows: checks, the
//! log's numbers, scopes and digests.

use super::*;
use std::collections::BTreeMap;

/// Reads it of its own account.
pub(super) const DIRECT: u8 = 1;
/// Reads it because it reads another.
pub(super) const LINKED: u8 = 2;

/// A person's line about a document.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Cell {
    /// Why: [`DIRECT`], [`LINKED`]; 0: left.
    pub(super) flags: u8,
    pub(super) since: u64,
    pub(super) ver: u64,
}

/// The rows of one company, inside one transaction.
pub(super) trait Rows {
    /// The log's last number; `None`: no such company.
    fn head(&mut self) -> Result<Option<u64>>;
    fn set_head(&mut self, head: u64) -> Result<()>;
    /// Whether the device exists and is not revoked.
    fn device_good(&mut self, device: DeviceId) -> Result<bool>;
    fn answered(&mut self, key: &str) -> Result<bool>;
    fn put_answer(&mut self, answer: &Idempotent) -> Result<()>;
    fn doc(&mut self, doc: DocId) -> Result<Option<DocRow>>;
    fn put_doc(&mut self, row: &DocRow) -> Result<()>;
    fn append(&mut self, cursor: u64, doc: &DocWrite, change: &NewChange, now: Millis) -> Result<()>;
    fn put_snapshot(&mut self, doc: DocId, body: &[u8]) -> Result<()>;
    /// A document's line, and its row's `rev`.
    fn standing(&mut self, doc: DocId) -> Result<Option<(DocRow, u64)>>;
    fn put_view(&mut self, view: &View, ver: u64, rev: u64) -> Result<()>;
    fn scope_of(&mut self, doc: DocId) -> Result<BTreeMap<StaffId, Cell>>;
    fn put_scope(&mut self, doc: DocId, staff: StaffId, cell: Cell) -> Result<()>;
    /// Adds an edge; whether it is new.
    fn link(&mut self, from: DocId, to: DocId) -> Result<bool>;
    fn links_from(&mut self, from: DocId) -> Result<Vec<DocId>>;
    fn links_to(&mut self, to: DocId) -> Result<Vec<DocId>>;
    fn digest(&mut self, staff: StaffId) -> Result<Digest>;
    fn put_digest(&mut self, staff: StaffId, digest: Digest) -> Result<()>;
    fn counter(&mut self, name: &str) -> Result<u64>;
    fn put_counter(&mut self, name: &str, n: u64) -> Result<()>;
    /// Keeps what is there.
    fn put_aside(&mut self, aside: &SetAside) -> Result<()>;
    /// Whether it is there, and decided.
    fn aside_decided(&mut self, doc: DocId, hash: ChangeHash) -> Result<Option<bool>>;
    fn decide(&mut self, doc: DocId, hash: ChangeHash, decision: &AsideDecision) -> Result<()>;
    /// How many refused changes of a device nobody has decided.
    fn asides_open(&mut self, device: DeviceId) -> Result<u64>;
    /// The last entry's number and hash.
    fn last_audit(&mut self) -> Result<(u64, Sha256)>;
    fn put_audit(&mut self, row: &AuditRow) -> Result<()>;
    fn put_device_sync(&mut self, sync: &DeviceSync) -> Result<()>;
    /// Whether another device has this one's code.
    fn code_taken(&mut self, device: &Device) -> Result<bool>;
    fn put_device(&mut self, device: &Device) -> Result<()>;
    fn put_mark(&mut self, cursor: u64, doc: DocId, mark: &ReadMark) -> Result<()>;
}

/// Checks everything before anything is written: what follows fails only by the storage's own fault. Answers the
/// log's last number and the written documents' lines as they are.
fn check(rows: &mut dyn Rows, batch: &Batch) -> Result<(u64, Vec<Option<DocRow>>)> {
    let head = rows.head()?.ok_or_else(|| Error::NotFound("company".into()))?;
    if let Some(device) = batch.device
        && !rows.device_good(device)?
    {
        return Err(Error::Revoked);
    }
    if let Some(i) = &batch.idempotent
        && rows.answered(&i.key)?
    {
        return Err(Error::Conflict {
            code: "command_repeated",
            detail: "this command was carried out already".into(),
        });
    }
    for step in &batch.counters {
        if rows.counter(&step.name)? != step.from {
            return Err(Error::Moved);
        }
    }
    for device in &batch.devices {
        free_code(rows, device)?;
    }
    let mut lines = Vec::with_capacity(batch.docs.len());
    for write in &batch.docs {
        let (old, rev) = rows.standing(write.doc)?.unzip();
        if old.as_ref().map_or(0, |r| r.ver) != write.expect || rev.unwrap_or_default() != write.view.rev {
            return Err(Error::Moved);
        }
        if write.changes.is_empty() || old.as_ref().is_some_and(|r| r.kind != write.kind) {
            return Err(Error::Internal("a write without changes, or of another kind".into()));
        }
        lines.push(old);
    }
    for view in &batch.touched {
        let doc = view.summary.doc.id;
        let (row, rev) = rows.standing(doc)?.ok_or(Error::Moved)?;
        if rev != view.rev || row.ver != view.ver {
            return Err(Error::Moved);
        }
    }
    if let Some(device) = batch.device
        && batch.aside_quota > 0
    {
        let mut new = 0;
        for aside in &batch.aside {
            new += u64::from(rows.aside_decided(aside.doc, aside.hash)?.is_none());
        }
        if new > 0 && rows.asides_open(device)?.saturating_add(new) > batch.aside_quota {
            let detail = format!("{} refused changes of this device wait for the office", batch.aside_quota);
            return Err(Error::Quota { code: "set_aside_quota", detail });
        }
    }
    for (doc, hash, _) in &batch.decisions {
        match rows.aside_decided(*doc, *hash)? {
            Some(false) => {}
            Some(true) => {
                return Err(Error::Conflict {
                    code: "already_decided",
                    detail: "somebody has decided about this change".into(),
                });
            }
            None => return Err(Error::NotFound(format!("refused change {hash}"))),
        }
    }
    Ok((head, lines))
}

pub(super) fn commit(rows: &mut dyn Rows, batch: &Batch) -> Result<Committed> {
    let (head, lines) = check(rows, batch)?;
    let mut scopes =
        Scopes { at: head + batch.docs.iter().map(|d| d.changes.len() as u64).sum::<u64>(), ..Scopes::default() };
    let mut cursor = head;
    // Documents first, then who reads them: what enters a scope enters with its new heads.
    for (write, old) in batch.docs.iter().zip(lines) {
        for change in &write.changes {
            let gap = onsite_core::planted::on(onsite_core::planted::Bug::CursorGap) && cursor % 50 == 49;
            cursor += if gap { 2 } else { 1 };
            rows.append(cursor, write, change, batch.now)?;
        }
        let upto = match &write.snapshot {
            Some(body) => {
                rows.put_snapshot(write.doc, body)?;
                cursor
            }
            None => old.as_ref().map_or(0, |r| r.snapshot_upto),
        };
        rows.put_doc(&DocRow {
            doc: write.doc,
            kind: write.kind,
            ver: cursor,
            heads: write.heads.clone(),
            snapshot_upto: upto,
        })?;
        rows.put_view(&write.view, cursor, write.view.rev + 1)?;
        let mut change = doc_digest(write.doc, &write.heads);
        if let Some(old) = &old {
            xor(&mut change, doc_digest(write.doc, &old.heads));
        }
        let mut cells = rows.scope_of(write.doc)?;
        for (staff, cell) in cells.iter_mut().filter(|(_, c)| c.flags != 0) {
            cell.ver = cursor;
            rows.put_scope(write.doc, *staff, *cell)?;
            scopes.turn(*staff, change);
        }
        scopes.cells.insert(write.doc, cells);
        scopes.heads.insert(write.doc, Some(write.heads.clone()));
    }
    for write in &batch.docs {
        scopes.settle(rows, write)?;
    }
    let people = scopes.finish(rows)?;
    for view in &batch.touched {
        rows.put_view(view, view.ver, view.rev + 1)?;
    }
    for step in &batch.counters {
        rows.put_counter(&step.name, step.to)?;
    }
    for aside in &batch.aside {
        rows.put_aside(aside)?;
    }
    for (doc, hash, decision) in &batch.decisions {
        rows.decide(*doc, *hash, decision)?;
    }
    for device in &batch.devices {
        rows.put_device(device)?;
    }
    audit(rows, &batch.audit)?;
    if let Some(i) = &batch.idempotent {
        rows.put_answer(i)?;
    }
    if let Some(sync) = &batch.device_sync {
        rows.put_device_sync(sync)?;
    }
    if cursor != head {
        rows.set_head(cursor)?;
    }
    Ok(Committed { head: cursor, people })
}

fn free_code(rows: &mut dyn Rows, device: &Device) -> Result<()> {
    if rows.code_taken(device)? {
        return Err(Error::Conflict { code: "device_code_taken", detail: "another device has this code".into() });
    }
    Ok(())
}

pub(super) fn put_device(rows: &mut dyn Rows, device: &Device) -> Result<()> {
    free_code(rows, device)?;
    rows.put_device(device)
}

pub(super) fn audit(rows: &mut dyn Rows, entries: &[Audit]) -> Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let (mut n, mut hash) = rows.last_audit()?;
    for entry in entries {
        let entry = serde_json::to_string(entry)?;
        n += 1;
        hash = audit_hash(hash, &entry);
        rows.put_audit(&AuditRow { n, entry, hash })?;
    }
    Ok(())
}

/// Keeps what is newer than the snapshot there is. The changes it covers stay: they are the truth.
pub(super) fn put_snapshots(rows: &mut dyn Rows, snapshots: &[(DocId, u64, Vec<u8>)]) -> Result<()> {
    for (doc, upto, body) in snapshots {
        if let Some(row) = rows.doc(*doc)?
            && (row.snapshot_upto + 1..=row.ver).contains(upto)
        {
            rows.put_snapshot(*doc, body)?;
            rows.put_doc(&DocRow { snapshot_upto: *upto, ..row })?;
        }
    }
    Ok(())
}

pub(super) fn mark_seen(rows: &mut dyn Rows, doc: DocId, mark: &ReadMark) -> Result<Committed> {
    let head = rows.head()?.ok_or_else(|| Error::NotFound("company".into()))?;
    rows.doc(doc)?.ok_or_else(|| Error::NotFound(format!("document {doc}")))?;
    let cursor = head + 1;
    rows.put_mark(cursor, doc, &ReadMark { ver: cursor, ..mark.clone() })?;
    rows.set_head(cursor)?;
    let mut people = BTreeSet::new();
    for (staff, cell) in rows.scope_of(doc)? {
        if cell.flags != 0 {
            rows.put_scope(doc, staff, Cell { ver: cursor, ..cell })?;
            people.insert(staff);
        }
    }
    Ok(Committed { head: cursor, people })
}

/// Who reads what, while a commit runs.
#[derive(Default)]
struct Scopes {
    /// The log number at which people enter and leave: the commit's last.
    at: u64,
    cells: BTreeMap<DocId, BTreeMap<StaffId, Cell>>,
    heads: BTreeMap<DocId, Option<Vec<ChangeHash>>>,
    turns: BTreeMap<StaffId, Digest>,
}

impl Scopes {
    fn turn(&mut self, staff: StaffId, by: Digest) {
        xor(self.turns.entry(staff).or_default(), by);
    }

    fn cells(&mut self, rows: &mut dyn Rows, doc: DocId) -> Result<&mut BTreeMap<StaffId, Cell>> {
        Ok(match self.cells.entry(doc) {
            std::collections::btree_map::Entry::Occupied(e) => e.into_mut(),
            std::collections::btree_map::Entry::Vacant(e) => e.insert(rows.scope_of(doc)?),
        })
    }

    fn heads(&mut self, rows: &mut dyn Rows, doc: DocId) -> Result<Option<Vec<ChangeHash>>> {
        if let Some(heads) = self.heads.get(&doc) {
            return Ok(heads.clone());
        }
        let heads = rows.doc(doc)?.map(|r| r.heads);
        self.heads.insert(doc, heads.clone());
        Ok(heads)
    }

    /// Everybody who reads `doc` now, but [`EVERYBODY`].
    fn readers(&mut self, rows: &mut dyn Rows, doc: DocId) -> Result<Vec<StaffId>> {
        Ok(self.cells(rows, doc)?.iter().filter(|(s, c)| c.flags != 0 && **s != EVERYBODY).map(|(s, _)| *s).collect())
    }

    fn settle(&mut self, rows: &mut dyn Rows, write: &DocWrite) -> Result<()> {
        for staff in &write.readers {
            self.enter(rows, write.doc, *staff, DIRECT)?;
        }
        let gone: Vec<StaffId> = self
            .cells(rows, write.doc)?
            .iter()
            .filter(|(s, c)| c.flags & DIRECT != 0 && !write.readers.contains(s))
            .map(|(s, _)| *s)
            .collect();
        for staff in gone {
            self.leave(rows, write.doc, staff)?;
        }
        for from in &write.under {
            if rows.link(*from, write.doc)? && write.expect != 0 {
                for staff in self.readers(rows, *from)? {
                    self.enter(rows, write.doc, staff, LINKED)?;
                }
            }
        }
        if write.expect == 0 {
            // It may have been linked to before it was there.
            for from in rows.links_to(write.doc)? {
                for staff in self.readers(rows, from)? {
                    self.enter(rows, write.doc, staff, LINKED)?;
                }
            }
        }
        for to in &write.over {
            if rows.link(write.doc, *to)? {
                for staff in self.readers(rows, write.doc)? {
                    self.enter(rows, *to, staff, LINKED)?;
                }
            }
        }
        Ok(())
    }

    fn enter(&mut self, rows: &mut dyn Rows, doc: DocId, staff: StaffId, flag: u8) -> Result<()> {
        let mut todo = vec![(doc, flag)];
        while let Some((doc, flag)) = todo.pop() {
            let Some(heads) = self.heads(rows, doc)? else { continue };
            let at = self.at;
            let cells = self.cells(rows, doc)?;
            let old = cells.get(&staff).copied();
            let new = match old {
                Some(c) if c.flags & flag == flag => continue,
                Some(c) if c.flags != 0 => Cell { flags: c.flags | flag, ..c },
                _ => Cell { flags: flag, since: at, ver: at },
            };
            cells.insert(staff, new);
            rows.put_scope(doc, staff, new)?;
            if old.is_none_or(|c| c.flags == 0) {
                self.turn(staff, doc_digest(doc, &heads));
                if staff != EVERYBODY {
                    todo.extend(rows.links_from(doc)?.into_iter().map(|to| (to, LINKED)));
                }
            }
        }
        Ok(())
    }

    fn leave(&mut self, rows: &mut dyn Rows, doc: DocId, staff: StaffId) -> Result<()> {
        let heads = self.heads(rows, doc)?.unwrap_or_default();
        let at = self.at;
        let Some(cell) = self.cells(rows, doc)?.get_mut(&staff) else { return Ok(()) };
        cell.flags &= !DIRECT;
        let gone = cell.flags == 0;
        if gone {
            cell.ver = at;
        }
        let cell = *cell;
        rows.put_scope(doc, staff, cell)?;
        if gone {
            self.turn(staff, doc_digest(doc, &heads));
        }
        Ok(())
    }

    fn finish(self, rows: &mut dyn Rows) -> Result<BTreeSet<StaffId>> {
        for (staff, by) in &self.turns {
            let mut digest = rows.digest(*staff)?;
            xor(&mut digest, *by);
            rows.put_digest(*staff, digest)?;
        }
        Ok(self.turns.into_keys().collect())
    }
}
