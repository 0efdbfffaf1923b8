//! The ledger: takes what devices push, gives what they lack.

pub(crate) mod draft;
mod hub;
pub(crate) mod pull;
mod push;
pub(crate) mod reader;
#[cfg(test)]
mod tests;

use crate::error::{Error, Result};
use crate::gate::Gate;
use crate::office::figures::Kept;
use crate::storage::{AsideDecision, Audit, Batch, Committed, DeviceSync, ReadMark, SetAside, Storage, Tenant};
use onsite_core::domain::{ChangeHash, DeviceId, DocId, Entity, Role, StaffId, TenantId};
use onsite_core::env::Env;
use onsite_core::planted::{self, Bug};
use onsite_core::sync::protocol::{
    Decided, MAX_CHANGES, MAX_UNDECIDED, Order, SyncAnswer, SyncRequest, Undecided, VERSION,
};
use sha2::Digest as _;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

pub use hub::{Hub, News, Poke};

/// How often a commit is prepared before the ledger gives up.
const TRIES: usize = 50;

/// Who syncs: comes from the token only.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// The company.
    pub tenant: TenantId,
    /// The device.
    pub device: DeviceId,
    /// Whose it is.
    pub staff: StaffId,
    /// Their roles now (see [`Ledger::roles`]).
    pub roles: BTreeSet<Role>,
}

/// The ledger over a storage. Cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    storage: Arc<dyn Storage>,
    env: Arc<dyn Env>,
    hub: Arc<Hub>,
    pub(crate) gate: Gate,
    aside_quota: u64,
    /// What figures are reckoned from, as last read.
    pub(crate) kept: Arc<Kept>,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").finish_non_exhaustive()
    }
}

impl Ledger {
    /// A ledger over a storage, with the clock and dice of `env`. It tries foreign changes in this process.
    pub fn new(storage: Arc<dyn Storage>, env: Arc<dyn Env>) -> Self {
        Self { storage, env, hub: Arc::default(), gate: Gate::inline(), aside_quota: 0, kept: Arc::default() }
    }

    /// The same ledger with another gate.
    #[must_use]
    pub fn with_gate(self, gate: Gate) -> Self {
        Self { gate, ..self }
    }

    /// Commits what `prepare` makes of the ledger as it stands, and tells who
    /// has something new; prepares again where somebody else committed meanwhile.
    pub(crate) async fn commit<T, F>(&self, tenant: TenantId, prepare: impl Fn() -> F) -> Result<(Committed, T)>
    where
        F: Future<Output = Result<(Batch, T)>>,
    {
        for _ in 0..TRIES {
            let (batch, answer) = match prepare().await {
                // What a rule had read moved before its document was loaded: decide anew.
                Err(Error::Moved) => continue,
                prepared => prepared?,
            };
            if batch.is_empty() {
                return Ok((Committed { head: self.company(tenant).await?.head, ..Committed::default() }, answer));
            }
            let news = News::of(&batch);
            match self.storage.commit(tenant, batch).await {
                Ok(done) => {
                    if !done.people.is_empty() || !news.is_empty() {
                        self.hub.poke(tenant, done.head, done.people.clone(), news);
                    }
                    return Ok((done, answer));
                }
                Err(Error::Moved) if planted::on(Bug::AckBeforeCommit) => return Ok((Committed::default(), answer)),
                Err(Error::Moved) => {}
                Err(e) => return Err(e),
            }
        }
        Err(Error::Moved)
    }

    /// At most so many refused changes of a device may wait for the office; 0: as many as come.
    #[must_use]
    pub fn with_aside_quota(self, most: u64) -> Self {
        Self { aside_quota: most, ..self }
    }

    /// The storage, for what needs no rule: devices, registry, blobs, lists.
    pub fn storage(&self) -> &dyn Storage {
        self.storage.as_ref()
    }

    /// The clock and dice.
    pub fn env(&self) -> &dyn Env {
        self.env.as_ref()
    }

    /// Where pokes are listened to.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Creates a company.
    pub async fn create_tenant(&self, name: &str) -> Result<Tenant> {
        let name = name.trim();
        if name.is_empty() || name.chars().count() > 200 {
            return Err(Error::bad("bad_name", "name", "a company's name has 1 to 200 characters"));
        }
        let mut secret = [0; 32];
        self.env.fill(&mut secret);
        let (now, id) = (self.env.now(), TenantId(self.env.new_id()));
        let tenant = Tenant { id, name: name.into(), epoch: self.fresh_epoch(0), head: 0, secret, created: now };
        self.storage.create_tenant(tenant.clone()).await?;
        Ok(tenant)
    }

    /// An epoch never used before: later than the last, and random besides, since
    /// two copies may be restored from one backup.
    fn fresh_epoch(&self, last: u64) -> u64 {
        let mut dice = [0; 2];
        self.env.fill(&mut dice);
        let by_clock = (self.env.now().0.max(0) as u64) << 12 | u64::from(u16::from_be_bytes(dice)) & 0xfff;
        by_clock.max(last + 1)
    }

    /// Starts another epoch: after a restore, before serving. Answers it.
    pub async fn new_epoch(&self, tenant: TenantId) -> Result<u64> {
        let epoch = self.fresh_epoch(self.company(tenant).await?.epoch);
        self.storage.set_epoch(tenant, epoch).await?;
        Ok(epoch)
    }

    /// A company that must be there.
    pub(crate) async fn company(&self, id: TenantId) -> Result<Tenant> {
        self.storage.tenant(id).await?.ok_or_else(|| Error::NotFound("company".into()))
    }

    /// The roles a person holds now; empty where they left or are unknown.
    pub async fn roles(&self, tenant: TenantId, staff: StaffId) -> Result<BTreeSet<Role>> {
        let view = self.storage.views(tenant, &[staff.into()]).await?.pop();
        Ok(match view.map(|v| v.entity()).transpose()? {
            Some(Entity::Staff(s)) if s.left.is_none() => s.roles.iter().copied().collect(),
            _ => BTreeSet::new(),
        })
    }

    /// One sync message: push, then pull.
    ///
    /// # Errors
    /// `unsupported_version`, `bad_cursor`, `too_many_changes` and the like ([`Error::Bad`]); [`Error::Revoked`]; the storage's.
    pub async fn sync(&self, session: &Session, request: SyncRequest) -> Result<SyncAnswer> {
        if request.v != VERSION {
            return Err(Error::bad("unsupported_version", "v", format!("this server speaks version {VERSION}")));
        }
        if request.push.iter().map(|p| p.changes.len()).sum::<usize>() > MAX_CHANGES {
            return Err(Error::bad("too_many_changes", "push", format!("at most {MAX_CHANGES} changes at once")));
        }
        let at = request.cursor.as_ref().map(pull::At::parse).transpose()?;
        let tenant = self.company(session.tenant).await?;
        let device = self.storage.device(tenant.id, session.device).await?.ok_or(Error::Revoked)?;
        if device.revoked.is_some() {
            return Err(Error::Revoked);
        }
        let now = self.env.now();
        let mut answer = SyncAnswer { v: VERSION, clock: now, ..SyncAnswer::default() };
        let before = self.storage.device_sync(tenant.id, session.device).await?;
        let sync = self.account(session, &request, before.as_ref(), &tenant, &mut answer);
        answer.mark = sync.pushes.to_be_bytes().to_vec();
        // Of another life of the log: what the push rests on may have to be given back first, so
        // nothing is said of it, and it comes again.
        let elsewhere = at.is_some_and(|at| at.epoch != tenant.epoch);
        if request.push.is_empty() || elsewhere {
            // An idle contact is worth a durable line once a while only.
            let news = before.as_ref().is_none_or(|b| {
                b.account != sync.account
                    || b.app != sync.app
                    || b.own_upto != sync.own_upto
                    || now.since(b.contact) > 20_000
            });
            if news {
                self.storage.put_device_sync(tenant.id, sync.clone()).await?;
                if before.as_ref().is_none_or(|b| b.account != sync.account || b.app != sync.app) {
                    self.hub.poke(tenant.id, tenant.head, BTreeSet::new(), News::devices());
                }
            }
        } else {
            let prepare = || async {
                let mut judged = self.judge(&tenant, session, &request.push, Some(sync.clone())).await?;
                judged.batch.aside_quota = self.aside_quota;
                Ok((judged.batch, judged.verdicts))
            };
            (_, answer.verdicts) = self.commit(tenant.id, prepare).await?;
        }
        answer.decided = self.decided(&tenant, session, &request.refused).await?;
        let tenant = match planted::on(Bug::WrongTenant) {
            true => self.storage.tenants().await?.pop().unwrap_or(tenant),
            false => tenant,
        };
        let mut budget = pull::Budget::new(request.budget);
        if let Some(step) = request.reconcile {
            self.reconcile(&tenant, session, step, &mut budget, &mut answer).await?;
            if answer.more {
                // The comparison goes on; what is new comes after it.
                answer.cursor = request.cursor.unwrap_or_default();
                return Ok(answer);
            }
        }
        let digest = request.digest.filter(|_| request.push.is_empty());
        self.pull(&tenant, session, request.cursor.as_ref(), sync.own_upto, digest, &mut budget, &mut answer).await?;
        Ok(answer)
    }

    /// What became of refused changes of a person. Those which that person wrote again, as
    /// changes that are here, are decided by that: both would double what they say.
    async fn decided(&self, tenant: &Tenant, session: &Session, asked: &[Undecided]) -> Result<Vec<Decided>> {
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let asked = asked.get(..MAX_UNDECIDED).unwrap_or(asked);
        let docs: Vec<DocId> = asked.iter().map(|a| a.doc).collect::<BTreeSet<_>>().into_iter().collect();
        let rows: HashMap<(DocId, ChangeHash), SetAside> =
            self.storage.aside_of(tenant.id, &docs).await?.into_iter().map(|a| ((a.doc, a.hash), a)).collect();
        let (mut said, mut fresh) = (Vec::new(), Batch { device: Some(session.device), ..Batch::default() });
        fresh.now = self.env.now();
        let mut seen = BTreeSet::new();
        for ask in asked {
            let key = (ask.doc, ask.hash);
            let Some(row) = rows.get(&key).filter(|r| r.staff == session.staff && seen.insert(key)) else { continue };
            let (decision, instead) = match (&row.decided, ask.instead) {
                (Some(decision), _) => (decision.clone(), None),
                (None, Some(instead)) if instead != ask.hash => {
                    let here = rows.contains_key(&(ask.doc, instead))
                        || self.storage.knows(tenant.id, ask.doc, &[instead]).await?;
                    if !here {
                        continue;
                    }
                    let by = session.staff;
                    let decision =
                        AsideDecision { verdict: "rewritten".into(), by, at: fresh.now, reason: String::new() };
                    (decision, Some(instead))
                }
                (None, _) => continue,
            };
            if let Some(instead) = instead {
                fresh.audit.push(Audit {
                    at: fresh.now,
                    by: session.staff,
                    action: "set_aside.rewritten".into(),
                    subject: format!("{}/{}", ask.doc, ask.hash),
                    detail: serde_json::json!({ "instead": instead, "code": row.code }),
                });
                fresh.decisions.push((ask.doc, ask.hash, decision.clone()));
            }
            let AsideDecision { verdict, by, at, reason } = decision;
            said.push(Decided { doc: ask.doc, hash: ask.hash, verdict, by, at, reason });
        }
        if !fresh.decisions.is_empty() {
            let news: BTreeSet<_> = fresh.decisions.iter().map(|(doc, hash, _)| (*doc, *hash)).collect();
            let aside = News::of(&fresh);
            match self.storage.commit(tenant.id, fresh).await {
                Ok(done) => self.hub.poke(tenant.id, done.head, BTreeSet::new(), aside),
                // Somebody at the office was faster: it is asked again.
                Err(Error::Conflict { .. }) => said.retain(|d| !news.contains(&(d.doc, d.hash))),
                Err(e) => return Err(e),
            }
        }
        Ok(said)
    }

    /// The device's account after this message; orders a new actor where the file looks like a copy.
    fn account(
        &self,
        session: &Session,
        request: &SyncRequest,
        before: Option<&DeviceSync>,
        tenant: &Tenant,
        answer: &mut SyncAnswer,
    ) -> DeviceSync {
        let now = self.env.now();
        let hashes: Vec<ChangeHash> = request
            .push
            .iter()
            .flat_map(|p| &p.changes)
            .take(8)
            .map(|c| ChangeHash(sha2::Sha256::digest(c).into()))
            .collect();
        let pushes = before.map_or(0, |b| b.pushes);
        let mark = request.mark.as_slice().try_into().map_or(0, u64::from_be_bytes);
        // A retry of the last push after a lost answer repeats its changes; a copy does not.
        let retry = mark.checked_add(1) == Some(pushes)
            && before.is_some_and(|b| b.last_push.iter().any(|h| hashes.contains(h)));
        let copy = mark != pushes && !retry;
        if copy {
            answer.orders.push(Order::NewActor);
        }
        let pushed = !request.push.is_empty();
        DeviceSync {
            device: session.device,
            contact: now,
            app: request.app.chars().take(100).collect(),
            offset: now.since(request.clock),
            cursor: request.cursor.as_ref().map(|c| c.0.clone()).unwrap_or_default(),
            account: request.account.clone(),
            pushes: if pushed && !retry { pushes + 1 } else { pushes },
            last_push: if pushed { hashes } else { before.map(|b| b.last_push.clone()).unwrap_or_default() },
            own_upto: if copy { tenant.head } else { before.map_or(0, |b| b.own_upto) },
        }
    }

    /// The office looked at a document at these heads (current ones where empty).
    pub async fn mark_seen(&self, tenant: TenantId, doc: DocId, heads: Vec<ChangeHash>, by: StaffId) -> Result<()> {
        let view = self.storage.views(tenant, &[doc]).await?.pop();
        let view = view.ok_or_else(|| Error::NotFound(format!("document {doc}")))?;
        let news = News { docs: [view.summary.doc].into(), ..News::default() };
        let heads = if heads.is_empty() { view.heads } else { heads };
        let mark = ReadMark { heads, at: self.env.now(), by, ver: 0 };
        let done = self.storage.mark_seen(tenant, doc, mark).await?;
        self.hub.poke(tenant, done.head, done.people, news);
        Ok(())
    }
}
