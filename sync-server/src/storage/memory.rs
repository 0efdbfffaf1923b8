//! In memory: for tests and simulation. Durable as long as it lives.

use super::apply::{self, Cell, Rows};
use super::*;
use onsite_core::domain::words;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A storage of maps.
#[derive(Debug, Default)]
pub struct MemoryStorage {
    all: Mutex<All>,
}

#[derive(Debug, Default, Clone)]
struct All {
    companies: BTreeMap<TenantId, Company>,
    records: BTreeMap<(TenantId, String, String), Record>,
}

#[derive(Debug, Clone)]
struct Company {
    tenant: Tenant,
    docs: BTreeMap<DocId, DocRow>,
    log: BTreeMap<u64, (LogRow, Option<(Actor, u64)>)>,
    by_doc: BTreeMap<DocId, Vec<u64>>,
    hashes: BTreeSet<(DocId, ChangeHash)>,
    seqs: BTreeSet<(DocId, Actor, u64)>,
    snapshots: BTreeMap<DocId, Vec<u8>>,
    views: BTreeMap<DocId, (View, Vec<String>)>,
    facts: BTreeMap<(Kind, DocId), FactRow>,
    scope: BTreeMap<DocId, BTreeMap<StaffId, Cell>>,
    links: BTreeSet<(DocId, DocId)>,
    back: BTreeSet<(DocId, DocId)>,
    digests: BTreeMap<StaffId, Digest>,
    seen: BTreeMap<DocId, ReadMark>,
    aside: BTreeMap<(DocId, ChangeHash), SetAside>,
    counters: BTreeMap<String, u64>,
    answers: BTreeMap<String, String>,
    devices: BTreeMap<DeviceId, Device>,
    syncs: BTreeMap<DeviceId, DeviceSync>,
    notes: BTreeMap<DeviceId, VecDeque<SyncNote>>,
    blobs: BTreeMap<Sha256, BlobRow>,
    audit: Vec<AuditRow>,
}

impl All {
    fn there(&self, put: &RecordWrite, now: Millis) -> u64 {
        let key = (put.tenant, put.table.clone(), put.record.key.clone());
        self.records.get(&key).filter(|r| live(r, now)).map_or(0, |r| r.ver)
    }

    /// Whether a record may be put over what is there.
    fn fits(&self, put: &RecordWrite, now: Millis) -> bool {
        put.expect.is_none_or(|e| e == self.there(put, now))
    }

    fn put(&mut self, put: RecordWrite, now: Millis) {
        let ver = self.there(&put, now) + 1;
        self.records.insert((put.tenant, put.table, put.record.key.clone()), Record { ver, ..put.record });
    }
}

impl Company {
    fn new(tenant: Tenant) -> Self {
        Self {
            tenant,
            docs: BTreeMap::new(),
            log: BTreeMap::new(),
            by_doc: BTreeMap::new(),
            hashes: BTreeSet::new(),
            seqs: BTreeSet::new(),
            snapshots: BTreeMap::new(),
            views: BTreeMap::new(),
            facts: BTreeMap::new(),
            scope: BTreeMap::new(),
            links: BTreeSet::new(),
            back: BTreeSet::new(),
            digests: BTreeMap::new(),
            seen: BTreeMap::new(),
            aside: BTreeMap::new(),
            counters: BTreeMap::new(),
            answers: BTreeMap::new(),
            devices: BTreeMap::new(),
            syncs: BTreeMap::new(),
            notes: BTreeMap::new(),
            blobs: BTreeMap::new(),
            audit: Vec::new(),
        }
    }

    fn view(&self, doc: DocId) -> Option<View> {
        let (view, _) = self.views.get(&doc)?;
        let row = self.docs.get(&doc)?;
        Some(View { heads: row.heads.clone(), ver: row.ver, fact: None, ..view.clone() })
    }

    fn content(&self, doc: DocId) -> Option<Content> {
        let View { ver, rev, heads, entity, summary, clashes, changed, fact: _ } = self.view(doc)?;
        Some(Content { doc: summary.doc, ver, rev, heads, entity, clashes, changed })
    }

    fn children(&self, kind: Kind, parent: DocId) -> Vec<DocId> {
        let rows = self.views.values().map(|(v, _)| &v.summary);
        rows.filter(|s| s.doc.kind == kind && s.parent == Some(parent)).map(|s| s.doc.id).collect()
    }

    /// The rows that meet a list's conditions, in no order.
    fn matching(&self, query: &Query) -> impl Iterator<Item = &View> {
        let phrases = query.search.as_deref().map(words::phrases).unwrap_or_default();
        let meets = move |(v, found): &&(View, Vec<String>)| {
            let s = &v.summary;
            query.kind.is_none_or(|k| s.doc.kind == k)
                && query.status.as_ref().is_none_or(|w| s.status == *w)
                && query.parent.is_none_or(|p| s.parent == Some(p))
                && query.person.is_none_or(|p| s.people.contains(&p))
                && query.due_from.is_none_or(|t| s.due.is_some_and(|d| d >= t))
                && query.due_before.is_none_or(|t| s.due.is_some_and(|d| d < t))
                && (!query.clashes || v.clashes > 0)
                && (!query.flagged || !s.flags.is_empty())
                && query.beyond(v.key())
                && words::found(found, &phrases)
        };
        self.views.values().filter(meets).map(|(v, _)| v)
    }

    fn changes(&self, doc: DocId, after: u64) -> impl Iterator<Item = &LogRow> {
        self.by_doc
            .get(&doc)
            .into_iter()
            .flatten()
            .filter(move |n| **n > after)
            .filter_map(|n| Some(&self.log.get(n)?.0))
    }
}

/// A company within a transaction. Commits check everything before they write.
struct Tx<'a>(&'a mut Company);

impl Rows for Tx<'_> {
    fn head(&mut self) -> Result<Option<u64>> {
        Ok(Some(self.0.tenant.head))
    }
    fn set_head(&mut self, head: u64) -> Result<()> {
        self.0.tenant.head = head;
        Ok(())
    }
    fn device_good(&mut self, device: DeviceId) -> Result<bool> {
        Ok(self.0.devices.get(&device).is_some_and(|d| d.revoked.is_none()))
    }
    fn answered(&mut self, key: &str) -> Result<bool> {
        Ok(self.0.answers.contains_key(key))
    }
    fn put_answer(&mut self, answer: &Idempotent) -> Result<()> {
        self.0.answers.insert(answer.key.clone(), answer.answer.clone());
        Ok(())
    }
    fn doc(&mut self, doc: DocId) -> Result<Option<DocRow>> {
        Ok(self.0.docs.get(&doc).cloned())
    }
    fn put_doc(&mut self, row: &DocRow) -> Result<()> {
        self.0.docs.insert(row.doc, row.clone());
        Ok(())
    }
    fn append(&mut self, cursor: u64, doc: &DocWrite, change: &NewChange, now: Millis) -> Result<()> {
        if !self.0.hashes.insert((doc.doc, change.hash)) || !self.0.seqs.insert((doc.doc, change.actor, change.seq)) {
            return Err(Error::Internal(format!("change {} twice in the log", change.hash)));
        }
        let row = LogRow {
            cursor,
            doc: doc.doc,
            kind: doc.kind,
            hash: change.hash,
            device: change.device,
            body: change.body.clone(),
            received: now,
        };
        self.0.log.insert(cursor, (row, Some((change.actor, change.seq))));
        self.0.by_doc.entry(doc.doc).or_default().push(cursor);
        Ok(())
    }
    fn put_snapshot(&mut self, doc: DocId, body: &[u8]) -> Result<()> {
        self.0.snapshots.insert(doc, body.to_vec());
        Ok(())
    }
    fn standing(&mut self, doc: DocId) -> Result<Option<(DocRow, u64)>> {
        let rev = self.0.views.get(&doc).map_or(0, |(v, _)| v.rev);
        Ok(self.doc(doc)?.map(|row| (row, rev)))
    }
    fn put_view(&mut self, view: &View, ver: u64, rev: u64) -> Result<()> {
        let mut view = View { ver, rev, heads: Vec::new(), ..view.clone() };
        let words = words::indexed(&std::mem::take(&mut view.summary.search));
        let doc = view.summary.doc;
        if let Some(fact) = view.fact.take() {
            let row = FactRow { doc: doc.id, status: view.summary.status.clone(), fact };
            self.0.facts.insert((doc.kind, doc.id), row);
        }
        self.0.views.insert(doc.id, (view, words));
        Ok(())
    }
    fn scope_of(&mut self, doc: DocId) -> Result<BTreeMap<StaffId, Cell>> {
        Ok(self.0.scope.get(&doc).cloned().unwrap_or_default())
    }
    fn put_scope(&mut self, doc: DocId, staff: StaffId, cell: Cell) -> Result<()> {
        self.0.scope.entry(doc).or_default().insert(staff, cell);
        Ok(())
    }
    fn link(&mut self, from: DocId, to: DocId) -> Result<bool> {
        self.0.back.insert((to, from));
        Ok(self.0.links.insert((from, to)))
    }
    fn links_from(&mut self, from: DocId) -> Result<Vec<DocId>> {
        Ok(pairs(&self.0.links, from))
    }
    fn links_to(&mut self, to: DocId) -> Result<Vec<DocId>> {
        Ok(pairs(&self.0.back, to))
    }
    fn digest(&mut self, staff: StaffId) -> Result<Digest> {
        Ok(self.0.digests.get(&staff).copied().unwrap_or_default())
    }
    fn put_digest(&mut self, staff: StaffId, digest: Digest) -> Result<()> {
        self.0.digests.insert(staff, digest);
        Ok(())
    }
    fn counter(&mut self, name: &str) -> Result<u64> {
        Ok(self.0.counters.get(name).copied().unwrap_or(0))
    }
    fn put_counter(&mut self, name: &str, n: u64) -> Result<()> {
        self.0.counters.insert(name.into(), n);
        Ok(())
    }
    fn put_aside(&mut self, aside: &SetAside) -> Result<()> {
        self.0.aside.entry((aside.doc, aside.hash)).or_insert_with(|| aside.clone());
        Ok(())
    }
    fn aside_decided(&mut self, doc: DocId, hash: ChangeHash) -> Result<Option<bool>> {
        Ok(self.0.aside.get(&(doc, hash)).map(|a| a.decided.is_some()))
    }
    fn decide(&mut self, doc: DocId, hash: ChangeHash, decision: &AsideDecision) -> Result<()> {
        if let Some(a) = self.0.aside.get_mut(&(doc, hash)) {
            a.decided = Some(decision.clone());
        }
        Ok(())
    }
    fn asides_open(&mut self, device: DeviceId) -> Result<u64> {
        Ok(self.0.aside.values().filter(|a| a.device == device && a.decided.is_none()).count() as u64)
    }
    fn last_audit(&mut self) -> Result<(u64, Sha256)> {
        Ok(self.0.audit.last().map_or((0, Sha256([0; 32])), |r| (r.n, r.hash)))
    }
    fn put_audit(&mut self, row: &AuditRow) -> Result<()> {
        self.0.audit.push(row.clone());
        Ok(())
    }
    fn code_taken(&mut self, device: &Device) -> Result<bool> {
        Ok(self.0.devices.values().any(|d| d.code == device.code && d.id != device.id))
    }
    fn put_device(&mut self, device: &Device) -> Result<()> {
        self.0.devices.insert(device.id, device.clone());
        Ok(())
    }
    fn put_device_sync(&mut self, sync: &DeviceSync) -> Result<()> {
        self.0.syncs.insert(sync.device, sync.clone());
        Ok(())
    }
    fn put_mark(&mut self, cursor: u64, doc: DocId, mark: &ReadMark) -> Result<()> {
        let kind = self.0.docs.get(&doc).map_or(Kind::Staff, |d| d.kind);
        let row = LogRow {
            cursor,
            doc,
            kind,
            hash: ChangeHash([0; 32]),
            device: DeviceId(uuid::Uuid::nil()),
            body: Vec::new(),
            received: mark.at,
        };
        self.0.log.insert(cursor, (row, None));
        self.0.seen.insert(doc, mark.clone());
        Ok(())
    }
}

fn pairs(set: &BTreeSet<(DocId, DocId)>, first: DocId) -> Vec<DocId> {
    let (low, high) = (DocId(uuid::Uuid::nil()), DocId(uuid::Uuid::max()));
    set.range((first, low)..=(first, high)).map(|(_, second)| *second).collect()
}

impl MemoryStorage {
    /// An empty storage.
    pub fn new() -> Self {
        Self::default()
    }

    /// A copy of everything, as a backup would hold it.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self { all: Mutex::new(self.all().clone()) }
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, tenant: TenantId, f: impl FnOnce(&Company) -> Result<T>) -> Result<T> {
        let all = self.all();
        f(all.companies.get(&tenant).ok_or_else(|| Error::NotFound("company".into()))?)
    }

    fn write<T>(&self, tenant: TenantId, f: impl FnOnce(&mut Company) -> Result<T>) -> Result<T> {
        let mut all = self.all();
        f(all.companies.get_mut(&tenant).ok_or_else(|| Error::NotFound("company".into()))?)
    }
}

fn live(record: &Record, now: Millis) -> bool {
    record.expires.is_none_or(|e| e > now)
}

fn place_after(row: &ScopeRow, place: Place) -> bool {
    match place.doc {
        None => row.ver > place.ver,
        Some(doc) => (row.ver, row.doc) > (place.ver, doc),
    }
}

#[async_trait]
impl Storage for MemoryStorage {
    async fn create_tenant(&self, tenant: Tenant) -> Result<()> {
        let mut all = self.all();
        if all.companies.contains_key(&tenant.id) {
            return Err(Error::Conflict { code: "company_exists", detail: "there is such a company already".into() });
        }
        all.companies.insert(tenant.id, Company::new(tenant));
        Ok(())
    }

    async fn tenant(&self, id: TenantId) -> Result<Option<Tenant>> {
        Ok(self.all().companies.get(&id).map(|c| c.tenant.clone()))
    }

    async fn tenants(&self) -> Result<Vec<Tenant>> {
        Ok(self.all().companies.values().map(|c| c.tenant.clone()).collect())
    }

    async fn set_epoch(&self, id: TenantId, epoch: u64) -> Result<()> {
        self.write(id, |c| {
            c.tenant.epoch = epoch;
            Ok(())
        })
    }

    async fn load(&self, tenant: TenantId, docs: &[DocId]) -> Result<Vec<Loaded>> {
        self.read(tenant, |c| {
            Ok(docs
                .iter()
                .filter_map(|doc| {
                    let after = c.docs.get(doc)?.snapshot_upto;
                    Some(Loaded {
                        content: c.content(*doc)?,
                        snapshot: c.snapshots.get(doc).cloned(),
                        tail: c.changes(*doc, after).map(|r| r.body.clone()).collect(),
                    })
                })
                .collect())
        })
    }

    async fn commit(&self, tenant: TenantId, batch: Batch) -> Result<Committed> {
        let mut all = self.all();
        if batch.records.iter().any(|put| !all.fits(put, batch.now)) {
            return Err(Error::Moved);
        }
        let company = all.companies.get_mut(&tenant).ok_or_else(|| Error::NotFound("company".into()))?;
        let done = apply::commit(&mut Tx(company), &batch)?;
        for put in batch.records {
            all.put(put, batch.now);
        }
        Ok(done)
    }

    async fn scan(&self, tenant: TenantId, staff: StaffId, place: Place, limit: usize) -> Result<Scan> {
        self.read(tenant, |c| {
            let fresh = place == Place { ver: 0, doc: None };
            let mut rows: Vec<ScopeRow> = c
                .scope
                .iter()
                .flat_map(|(doc, cells)| [staff, EVERYBODY].into_iter().filter_map(|s| Some((*doc, *cells.get(&s)?))))
                .filter_map(|(doc, cell)| {
                    let row = c.docs.get(&doc)?;
                    Some(ScopeRow {
                        doc,
                        kind: row.kind,
                        ver: cell.ver,
                        since: cell.since,
                        left: cell.flags == 0,
                        doc_ver: row.ver,
                        seen: c.seen.get(&doc).cloned(),
                    })
                })
                .filter(|r| place_after(r, place) && !(fresh && r.left))
                .collect();
            rows.sort_by_key(|r| (r.ver, r.doc));
            let remaining = rows.len().saturating_sub(limit) as u64;
            rows.truncate(limit);
            let mut digest = c.digests.get(&staff).copied().unwrap_or_default();
            if staff != EVERYBODY {
                xor(&mut digest, c.digests.get(&EVERYBODY).copied().unwrap_or_default());
            }
            Ok(Scan { epoch: c.tenant.epoch, head: c.tenant.head, rows, remaining, digest })
        })
    }

    async fn bodies(&self, tenant: TenantId, wants: &[Want]) -> Result<Vec<Bodies>> {
        self.read(tenant, |c| {
            Ok(wants
                .iter()
                .filter_map(|want| {
                    let row = c.docs.get(&want.doc)?.clone();
                    let after = want.after.unwrap_or(row.snapshot_upto);
                    Some(Bodies {
                        snapshot: c.snapshots.get(&want.doc).filter(|_| want.after.is_none()).cloned(),
                        changes: c.changes(want.doc, after).map(|r| (r.cursor, r.device, r.body.clone())).collect(),
                        row,
                    })
                })
                .collect())
        })
    }

    async fn held_in(&self, tenant: TenantId, staff: StaffId, ranges: &BTreeSet<u8>) -> Result<Vec<Held>> {
        self.read(tenant, |c| {
            Ok(c.scope
                .iter()
                .filter(|(doc, _)| ranges.contains(&range(**doc)))
                .filter(|(_, cells)| [staff, EVERYBODY].iter().any(|s| cells.get(s).is_some_and(|c| c.flags != 0)))
                .filter_map(|(doc, _)| {
                    let row = c.docs.get(doc)?;
                    Some(Held { doc: *doc, kind: row.kind, heads: row.heads.clone() })
                })
                .collect())
        })
    }

    async fn range_digests(&self, tenant: TenantId, staff: StaffId) -> Result<Vec<Digest>> {
        let mut out = vec![Digest::default(); 256];
        for held in self.held(tenant, staff).await? {
            xor(&mut out[usize::from(range(held.doc))], doc_digest(held.doc, &held.heads));
        }
        Ok(out)
    }

    async fn knows(&self, tenant: TenantId, doc: DocId, hashes: &[ChangeHash]) -> Result<bool> {
        self.read(tenant, |c| Ok(hashes.iter().all(|h| c.hashes.contains(&(doc, *h)))))
    }

    async fn in_scope(&self, tenant: TenantId, staff: StaffId, doc: DocId) -> Result<bool> {
        self.read(tenant, |c| {
            let cells = c.scope.get(&doc);
            Ok([staff, EVERYBODY].iter().any(|s| cells.and_then(|x| x.get(s)).is_some_and(|c| c.flags != 0)))
        })
    }

    async fn log(&self, tenant: TenantId, after: u64, limit: usize) -> Result<Vec<LogRow>> {
        self.read(tenant, |c| {
            Ok(c.log
                .range((Bound::Excluded(after), Bound::Unbounded))
                .take(limit)
                .map(|(_, (r, _))| r.clone())
                .collect())
        })
    }

    async fn history(&self, tenant: TenantId, doc: DocId) -> Result<Vec<LogRow>> {
        self.read(tenant, |c| Ok(c.changes(doc, 0).cloned().collect()))
    }

    async fn put_snapshots(&self, tenant: TenantId, snapshots: Vec<(DocId, u64, Vec<u8>)>) -> Result<()> {
        self.write(tenant, |c| apply::put_snapshots(&mut Tx(c), &snapshots))
    }

    async fn mark_seen(&self, tenant: TenantId, doc: DocId, mark: ReadMark) -> Result<Committed> {
        self.write(tenant, |c| apply::mark_seen(&mut Tx(c), doc, &mark))
    }

    async fn counter(&self, tenant: TenantId, name: &str) -> Result<u64> {
        self.read(tenant, |c| Ok(c.counters.get(name).copied().unwrap_or(0)))
    }

    async fn aside_of(&self, tenant: TenantId, docs: &[DocId]) -> Result<Vec<SetAside>> {
        self.read(tenant, |c| Ok(c.aside.values().filter(|a| docs.contains(&a.doc)).cloned().collect()))
    }

    async fn aside(&self, tenant: TenantId, query: &AsideQuery) -> Result<Vec<SetAside>> {
        self.read(tenant, |c| {
            let asked = |a: &&SetAside| {
                (!query.open || a.decided.is_none())
                    && query.device.is_none_or(|d| d == a.device)
                    && query.after.is_none_or(|place| AsidePlace::from(*a) > place)
            };
            let mut rows: Vec<_> = c.aside.values().filter(asked).cloned().collect();
            rows.sort_by_key(|a| AsidePlace::from(a));
            rows.truncate(query.limit);
            Ok(rows)
        })
    }

    async fn views(&self, tenant: TenantId, docs: &[DocId]) -> Result<Vec<View>> {
        self.read(tenant, |c| Ok(docs.iter().filter_map(|d| c.view(*d)).collect()))
    }

    async fn children(&self, tenant: TenantId, kind: Kind, parent: DocId) -> Result<Vec<DocId>> {
        self.read(tenant, |c| Ok(c.children(kind, parent)))
    }

    async fn list(&self, tenant: TenantId, query: &Query) -> Result<Vec<View>> {
        self.read(tenant, |c| {
            let rows = c.matching(query);
            let mut found: Vec<(Key, DocId)> = rows.map(|v| (v.key(), v.summary.doc.id)).collect();
            found.sort();
            if query.latest {
                found.reverse();
            }
            Ok(found.into_iter().take(query.page()).filter_map(|(_, d)| c.view(d)).collect())
        })
    }

    async fn columns(&self, tenant: TenantId, query: &Query) -> Result<Vec<Column>> {
        self.read(tenant, |c| {
            let mut out = BTreeMap::<String, Vec<(Key, DocId)>>::new();
            for view in c.matching(query) {
                out.entry(view.summary.status.clone()).or_default().push((view.key(), view.summary.doc.id));
            }
            let column = |(status, mut found): (String, Vec<(Key, DocId)>)| {
                found.sort();
                let first = found.iter().take(query.page()).filter_map(|(_, d)| c.view(*d));
                Column { status, count: found.len() as u64, rows: first.collect() }
            };
            Ok(out.into_iter().map(column).collect())
        })
    }

    async fn ask(&self, tenant: TenantId, asked: &Asked) -> Result<Answers> {
        self.read(tenant, |c| {
            let coded = |code: &str| {
                let rows = c.views.values().map(|(v, _)| &v.summary);
                let fits = rows.filter(|s| s.doc.kind == Kind::Staff && s.number == code && s.status != "left");
                fits.map(|s| s.doc.id.into()).collect()
            };
            Ok(Answers {
                contents: asked.docs.iter().filter_map(|doc| c.content(*doc)).collect(),
                children: asked.children.iter().map(|of| (*of, c.children(of.0, of.1))).collect(),
                linked_to: asked.linked_to.iter().map(|doc| (*doc, pairs(&c.back, *doc))).collect(),
                coded: asked.coded.iter().map(|code| (code.clone(), coded(code))).collect(),
            })
        })
    }

    async fn facts(&self, tenant: TenantId, query: &FactQuery) -> Result<Vec<FactRow>> {
        self.read(tenant, |c| {
            let wanted = |row: &&FactRow| {
                (query.statuses.is_empty() || query.statuses.contains(&row.status))
                    && query.starts.is_none_or(|(from, to)| row.fact.starts.is_some_and(|s| from <= s && s < to))
            };
            let of_kind = c.facts.iter().filter(|((kind, _), _)| *kind == query.kind).map(|(_, row)| row);
            Ok(of_kind.filter(wanted).cloned().collect())
        })
    }

    async fn flags(&self, tenant: TenantId) -> Result<Vec<(DocRef, Vec<String>)>> {
        self.read(tenant, |c| {
            let rows = c.views.values().map(|(v, _)| &v.summary).filter(|s| !s.flags.is_empty());
            let mut rows: Vec<_> = rows.map(|s| (s.doc, s.flags.clone())).collect();
            rows.sort_by_key(|(doc, _)| *doc);
            Ok(rows)
        })
    }

    async fn waiting(&self, tenant: TenantId) -> Result<Waiting> {
        self.read(tenant, |c| {
            let clashing = c.views.values().filter(|(v, _)| v.clashes > 0).count() as u64;
            let mut refused = BTreeMap::new();
            for aside in c.aside.values().filter(|a| a.decided.is_none()) {
                *refused.entry(aside.device).or_default() += 1;
            }
            Ok(Waiting { clashing, refused })
        })
    }

    async fn counts(&self, tenant: TenantId, kind: Kind) -> Result<Vec<(String, u64)>> {
        self.read(tenant, |c| {
            let mut out = BTreeMap::<String, u64>::new();
            for (v, _) in c.views.values().filter(|(v, _)| v.summary.doc.kind == kind) {
                *out.entry(v.summary.status.clone()).or_default() += 1;
            }
            Ok(out.into_iter().collect())
        })
    }

    async fn answered(&self, tenant: TenantId, key: &str) -> Result<Option<String>> {
        self.read(tenant, |c| Ok(c.answers.get(key).cloned()))
    }

    async fn put_device(&self, tenant: TenantId, device: Device) -> Result<()> {
        self.write(tenant, |c| apply::put_device(&mut Tx(c), &device))
    }

    async fn device(&self, tenant: TenantId, id: DeviceId) -> Result<Option<Device>> {
        self.read(tenant, |c| Ok(c.devices.get(&id).cloned()))
    }

    async fn devices(&self, tenant: TenantId) -> Result<Vec<(Device, Option<DeviceSync>)>> {
        self.read(tenant, |c| Ok(c.devices.values().map(|d| (d.clone(), c.syncs.get(&d.id).cloned())).collect()))
    }

    async fn device_tenant(&self, id: DeviceId) -> Result<Option<TenantId>> {
        Ok(self.all().companies.values().find(|c| c.devices.contains_key(&id)).map(|c| c.tenant.id))
    }

    async fn device_sync(&self, tenant: TenantId, id: DeviceId) -> Result<Option<DeviceSync>> {
        self.read(tenant, |c| Ok(c.syncs.get(&id).cloned()))
    }

    async fn put_device_sync(&self, tenant: TenantId, sync: DeviceSync) -> Result<()> {
        self.write(tenant, |c| Tx(c).put_device_sync(&sync))
    }

    async fn put_sync_notes(&self, notes: Vec<(TenantId, DeviceId, SyncNote)>) -> Result<()> {
        for (tenant, device, note) in notes {
            self.write(tenant, |c| {
                let kept = c.notes.entry(device).or_default();
                kept.push_front(note);
                kept.truncate(NOTES);
                Ok(())
            })?;
        }
        Ok(())
    }

    async fn sync_notes(&self, tenant: TenantId, device: DeviceId) -> Result<Vec<SyncNote>> {
        self.read(tenant, |c| Ok(c.notes.get(&device).into_iter().flatten().cloned().collect()))
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
        let mut all = self.all();
        let good = all.fits(&put, now);
        if good {
            all.put(put, now);
        }
        Ok(good)
    }

    async fn record(&self, tenant: TenantId, table: &str, key: &str, now: Millis) -> Result<Option<Record>> {
        Ok(self.all().records.get(&(tenant, table.into(), key.into())).filter(|r| live(r, now)).cloned())
    }

    async fn records(
        &self,
        tenant: TenantId,
        table: &str,
        after: &str,
        limit: usize,
        now: Millis,
    ) -> Result<Vec<Record>> {
        let all = self.all();
        let from = (tenant, table.to_owned(), after.to_owned());
        Ok(all
            .records
            .range((Bound::Excluded(from), Bound::Unbounded))
            .take_while(|((t, tbl, _), _)| *t == tenant && tbl == table)
            .filter(|(_, r)| live(r, now))
            .take(limit)
            .map(|(_, r)| r.clone())
            .collect())
    }

    async fn records_of(&self, company: TenantId, table: &str, now: Millis) -> Result<Vec<Record>> {
        let mut all = self.records(GLOBAL, table, "", usize::MAX, now).await?;
        all.retain(|r| r.body["tenant"] == company.to_string());
        Ok(all)
    }

    async fn take_record(&self, tenant: TenantId, table: &str, key: &str, now: Millis) -> Result<Option<Record>> {
        Ok(self.all().records.remove(&(tenant, table.into(), key.into())).filter(|r| live(r, now)))
    }

    async fn expire_records(&self, now: Millis) -> Result<u64> {
        let mut all = self.all();
        let before = all.records.len();
        all.records.retain(|_, r| live(r, now));
        Ok((before - all.records.len()) as u64)
    }

    async fn put_blob(&self, tenant: TenantId, blob: BlobRow) -> Result<()> {
        self.write(tenant, |c| {
            c.blobs.insert(blob.sha256, blob);
            Ok(())
        })
    }

    async fn blob(&self, tenant: TenantId, sha256: Sha256) -> Result<Option<BlobRow>> {
        self.read(tenant, |c| Ok(c.blobs.get(&sha256).cloned()))
    }

    async fn drop_blob(&self, tenant: TenantId, sha256: Sha256) -> Result<()> {
        self.write(tenant, |c| {
            c.blobs.remove(&sha256);
            Ok(())
        })
    }

    async fn audit(&self, tenant: TenantId, entries: Vec<Audit>) -> Result<()> {
        self.write(tenant, |c| apply::audit(&mut Tx(c), &entries))
    }

    async fn audit_log(&self, tenant: TenantId, after: u64, limit: usize) -> Result<Vec<AuditRow>> {
        self.read(tenant, |c| Ok(c.audit.iter().filter(|r| r.n > after).take(limit).cloned().collect()))
    }

    async fn ready(&self) -> Result<()> {
        Ok(())
    }

    async fn backup(&self, _to: &std::path::Path) -> Result<()> {
        Err(Error::bad("no_file", "storage", "a storage in memory has no file to copy"))
    }
}
