//! Commands and questions of the office: the server is one more author.

use crate::error::{Error, Result};
use crate::gate::{Offer, Outcome, Placed, Screened};
use crate::ledger::draft::Draft;
use crate::ledger::{Ledger, Session};
use crate::storage::{AsideDecision, Audit, Batch, CounterStep, Device, DeviceSync, Idempotent, Query, SetAside, View};
use onsite_core::document::{Change, Clash, Doc};
use onsite_core::domain::authority::may_write;
use onsite_core::domain::{
    Author, ChangeHash, Command, DeviceId, DocId, DocRef, Entity, Kind, Millis, Moment, Record as _, Rejection, Role,
    SETTINGS, Settings, SettingsPatch, StaffId, Stamp, TenantId, WorkOrderId, Write, decide,
};
use onsite_core::store::rescue;
use onsite_core::sync::protocol::{Fate, Push};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};

/// Counts the commands that may give somebody a work number.
const STAFF_CODES: &str = "staff_codes";

/// What a command did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Executed {
    /// The documents written, in order.
    pub docs: Vec<DocRef>,
    /// The log's last number after it.
    pub head: u64,
}

/// A device as the office sees it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct DeviceState {
    /// The device.
    pub device: Device,
    /// Its account, once it has synced.
    pub sync: Option<DeviceSync>,
}

/// A document with clashes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ClashItem {
    /// The document.
    pub doc: DocRef,
    /// Its list's head.
    pub title: String,
    /// Its number.
    pub number: String,
    /// Every leaf with several values.
    pub clashes: Vec<Clash>,
}

/// A line of a job's timeline.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct TimelineItem {
    /// When, by its author's best estimate.
    pub at: Millis,
    /// When the server took it.
    pub received: Millis,
    /// The document.
    pub doc: DocRef,
    /// Who, where known.
    pub by: Option<StaffId>,
    /// The device that brought it; nil for the office.
    pub device: DeviceId,
    /// The leaves it set.
    pub paths: Vec<String>,
    /// The change.
    pub hash: ChangeHash,
}

/// What the office decides about a refused change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "decide", rename_all = "snake_case")]
pub enum AsideCommand {
    /// Take it in as it is, on the office's authority.
    Accept {
        /// Why.
        reason: String,
    },
    /// Leave it out for good.
    Dismiss {
        /// Why.
        reason: String,
    },
    /// Do this instead.
    Amend {
        /// Why.
        reason: String,
        /// What to do.
        command: Box<Command>,
    },
}

/// What came of a rescue file.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Adopted {
    /// Changes taken in (or there already).
    pub accepted: usize,
    /// Changes set aside.
    pub aside: usize,
    /// Blobs in it: (hash, media type, bytes) for the caller to store.
    #[serde(skip)]
    pub blobs: Vec<(onsite_core::domain::Sha256, String, Vec<u8>)>,
}

impl Ledger {
    /// Decides and commits a command of somebody at the office. With a `key`, sending it twice does it once.
    ///
    /// # Errors
    /// [`Error::Refused`] with the field; the storage's.
    pub async fn execute(
        &self,
        tenant: TenantId,
        author: &Author,
        command: &Command,
        key: Option<&str>,
    ) -> Result<Executed> {
        if let Some(key) = key
            && let Some(answer) = self.storage().answered(tenant, key).await?
        {
            return Ok(serde_json::from_str(&answer)?);
        }
        let at = Stamp::exact(self.env().now());
        match self.carry_out(tenant, author, std::slice::from_ref(command), at, key, Vec::new()).await {
            // The same command came twice at once: the other one's answer is ours.
            Err(Error::Conflict { code: "command_repeated", .. }) => {
                let answer = self.storage().answered(tenant, key.unwrap_or_default()).await?;
                let answer = answer.ok_or_else(|| Error::Internal("a repeated command without an answer".into()))?;
                Ok(serde_json::from_str(&answer)?)
            }
            other => other,
        }
    }

    /// Several commands as one transaction: all or none (imports).
    pub async fn execute_all(&self, tenant: TenantId, author: &Author, commands: &[Command]) -> Result<Executed> {
        self.carry_out(tenant, author, commands, Stamp::exact(self.env().now()), None, Vec::new()).await
    }

    /// As [`Ledger::execute_all`], with an entry in the audit chain: both or neither.
    pub async fn execute_audited(
        &self,
        tenant: TenantId,
        author: &Author,
        commands: &[Command],
        entry: Audit,
    ) -> Result<Executed> {
        self.carry_out(tenant, author, commands, Stamp::exact(self.env().now()), None, vec![entry]).await
    }

    /// Commands as one transaction, at a moment given: for history taken over from elsewhere.
    pub async fn execute_at(
        &self,
        tenant: TenantId,
        author: &Author,
        commands: &[Command],
        at: Millis,
    ) -> Result<Executed> {
        self.carry_out(tenant, author, commands, Stamp::exact(at), None, Vec::new()).await
    }

    async fn carry_out(
        &self,
        tenant: TenantId,
        author: &Author,
        commands: &[Command],
        at: Stamp,
        key: Option<&str>,
        audit: Vec<Audit>,
    ) -> Result<Executed> {
        let company = self.company(tenant).await?;
        let prepare = || async {
            let mut draft = Draft::new(self, tenant, company.epoch);
            let (docs, counters) = self.draw_up(&mut draft, author, commands, at).await?;
            let mut batch = Batch { counters, audit: audit.clone(), ..Batch::default() };
            if let Some(key) = key {
                let answer = serde_json::to_string(&Executed { docs: docs.clone(), head: 0 })?;
                batch.idempotent = Some(Idempotent { key: key.to_owned(), answer });
            }
            Ok((draft.batch(batch).await?, docs))
        };
        let (done, docs) = self.commit(tenant, prepare).await?;
        Ok(Executed { docs, head: done.head })
    }

    /// Writes what commands decide into a draft; answers the documents, in order.
    async fn draw_up(
        &self,
        draft: &mut Draft<'_>,
        author: &Author,
        commands: &[Command],
        at: Stamp,
    ) -> Result<(Vec<DocRef>, Vec<CounterStep>)> {
        draft.by = author.staff;
        // Two people given one work number at once meet at this counter: the second decides anew.
        let codes = commands.iter().any(|c| matches!(c, Command::PutStaff { .. }));
        let stands = if codes { self.storage().counter(draft.tenant, STAFF_CODES).await? } else { 0 };
        let mut docs = Vec::new();
        for command in commands {
            let env = self.env();
            let decided = draft
                .reader
                .ask(|world| {
                    let mut moment = Moment { now: at, new_id: &mut || env.new_id(), next_number: &mut || 0 };
                    decide(command, author, &mut moment, world)
                })
                .await?;
            for (doc, writes) in by_document(decided?) {
                draft.load(&[doc]).await?;
                let actor = draft.actor;
                draft.work(doc.id)?.write(actor, author.staff, at.device, &writes)?;
                draft.show(doc.id)?;
                if !docs.contains(&doc) {
                    docs.push(doc);
                }
            }
        }
        let mut counters = Vec::new();
        if codes && !docs.is_empty() {
            counters.push(CounterStep { name: STAFF_CODES.into(), from: stands, to: stands + 1 });
        }
        Ok((docs, counters))
    }

    /// Work orders by stage, at most `limit` of each, by due time.
    pub async fn board(&self, tenant: TenantId, limit: usize) -> Result<Vec<(String, Vec<View>)>> {
        let mut board = Vec::new();
        for (status, _) in self.storage().counts(tenant, Kind::WorkOrder).await? {
            let query = Query { kind: Some(Kind::WorkOrder), status: Some(status.clone()), limit, ..Query::default() };
            board.push((status, self.storage().list(tenant, &query).await?));
        }
        Ok(board)
    }

    /// All devices with their accounts.
    pub async fn devices(&self, tenant: TenantId) -> Result<Vec<DeviceState>> {
        let devices = self.storage().devices(tenant).await?;
        Ok(devices.into_iter().map(|(device, sync)| DeviceState { device, sync }).collect())
    }

    /// Documents with clashes, at most `limit`.
    pub async fn clashes(&self, tenant: TenantId, limit: usize) -> Result<Vec<ClashItem>> {
        let query = Query { clashes: true, limit, ..Query::default() };
        let mut items = Vec::new();
        for view in self.storage().list(tenant, &query).await? {
            let clashes = self.document(tenant, view.summary.doc.id).await?.clashes();
            items.push(ClashItem {
                doc: view.summary.doc,
                title: view.summary.title,
                number: view.summary.number,
                clashes,
            });
        }
        Ok(items)
    }

    /// A document, loaded.
    async fn document(&self, tenant: TenantId, doc: DocId) -> Result<Doc> {
        let loaded = self.storage().load(tenant, &[doc]).await?.pop();
        let loaded = loaded.ok_or_else(|| Error::NotFound(format!("document {doc}")))?;
        Ok(Doc::load(loaded.row.kind, loaded.snapshot.as_deref(), &loaded.tail)?)
    }

    /// Refused changes nobody has decided, newest first.
    pub async fn aside(&self, tenant: TenantId, limit: usize) -> Result<Vec<SetAside>> {
        self.storage().aside(tenant, true, limit).await
    }

    /// Decides about a refused change.
    ///
    /// # Errors
    /// `NotFound`, `already_decided`; for `Accept`: `Refused` where the change
    /// cannot be applied (`accept_first`: what it rests on is refused too and not
    /// decided, `phone_rewrites`: its phone is about to write it again, or it is
    /// malformed); for `Amend`: as [`Ledger::execute`]. Then nothing is decided.
    pub async fn decide_aside(
        &self,
        tenant: TenantId,
        author: &Author,
        doc: DocId,
        hash: ChangeHash,
        what: &AsideCommand,
    ) -> Result<()> {
        let company = self.company(tenant).await?;
        let refused = self.storage().aside_of(tenant, &[doc]).await?.into_iter().find(|a| a.hash == hash);
        let refused = refused.ok_or_else(|| Error::NotFound(format!("refused change {hash}")))?;
        if refused.decided.is_some() {
            return Err(Error::Conflict { code: "already_decided", detail: "somebody has decided about it".into() });
        }
        let (verdict, reason) = match what {
            AsideCommand::Accept { reason } => ("accepted", reason),
            AsideCommand::Dismiss { reason } => ("dismissed", reason),
            AsideCommand::Amend { reason, .. } => ("amended", reason),
        };
        let prepare = || async {
            let mut draft = Draft::new(self, tenant, company.epoch);
            draft.by = author.staff;
            let now = draft.now;
            let mut counters = Vec::new();
            match what {
                AsideCommand::Accept { .. } => {
                    self.may_admit(tenant, &refused).await?;
                    draft.load(&[DocRef { kind: refused.kind, id: doc }]).await?;
                    self.admit(&mut draft, &refused).await?;
                }
                // Together with the decision: of two who decide at once, one has done something.
                AsideCommand::Amend { command, .. } => {
                    let commands = std::slice::from_ref(&**command);
                    (_, counters) = self.draw_up(&mut draft, author, commands, Stamp::exact(now)).await?;
                }
                AsideCommand::Dismiss { .. } => {}
            }
            let decision = AsideDecision { verdict: verdict.into(), by: author.staff, at: now, reason: reason.clone() };
            let audit = Audit {
                at: now,
                by: author.staff,
                action: format!("set_aside.{verdict}"),
                subject: format!("{doc}/{hash}"),
                detail: serde_json::json!({ "reason": reason, "code": refused.code }),
            };
            let decisions = vec![(doc, hash, decision)];
            let batch = Batch { decisions, audit: vec![audit], counters, ..Batch::default() };
            Ok((draft.batch(batch).await?, ()))
        };
        self.commit(tenant, prepare).await?;
        Ok(())
    }

    /// Whether a refused change may come in now, as far as other refused ones go.
    async fn may_admit(&self, tenant: TenantId, refused: &SetAside) -> Result<()> {
        let no = |code: &str, detail: String| Err(Error::Refused(Rejection::new(code, "", detail)));
        let Some(on) = refused.because_of else { return Ok(()) };
        let others = self.storage().aside_of(tenant, &[refused.doc]).await?;
        if let Some(guilty) = others.iter().find(|a| a.hash == on)
            && guilty.decided.as_ref().is_none_or(|d| d.verdict != "accepted")
        {
            return no("accept_first", format!("it rests on the change {on}, which is refused"));
        }
        // Its phone writes it again at the contact after the one that brought it: both would double it.
        let device = self.storage().device(tenant, refused.device).await?;
        let contact = self.storage().device_sync(tenant, refused.device).await?.map(|s| s.contact);
        if device.is_some_and(|d| d.revoked.is_none()) && contact.is_some_and(|c| c <= refused.at) {
            return no("phone_rewrites", "its phone has not been heard of since, and will write it again".into());
        }
        Ok(())
    }

    /// Takes a refused change into its document after all, if it can live there.
    async fn admit(&self, draft: &mut Draft<'_>, refused: &SetAside) -> Result<()> {
        let change = Screened::of(refused.body.clone()).map_err(|bad| Error::Refused(bad.why))?;
        if let Some(why) = change.forged(refused.device, refused.staff) {
            // In another's name it would be that one's word, and take the place of what they write.
            return Err(Error::Refused(why));
        }
        let offer = Offer { bytes: change.bytes.clone().into(), objected: false };
        let trial = draft.work(refused.doc)?.trial(vec![offer], false);
        let tried = self.gate.run(vec![trial]).await.pop();
        let tried = tried.ok_or_else(|| Error::Internal("a trial without an outcome".into()))?;
        let no = |code: &str, detail: &str| Err(Error::Refused(Rejection::new(code, "", detail)));
        match (tried.placed.first(), tried.after) {
            (Some(Placed::Fits), Outcome::Lives(after)) => {
                let entity = Entity::from_json(refused.kind, &after.entity)?;
                // On the server's own authority: kind and size are asked of everybody.
                let work = draft.work(refused.doc)?;
                let (at, before) = (work.at, work.there().then(|| work.entity.clone()));
                let server = Author::server();
                draft.reader.ask(|world| may_write(at, before.as_ref(), &entity, &server, world)).await??;
                // The office brought it: its own device, which took it out, has it delivered.
                draft.work(at.id)?.take(*after, entity, vec![change], DeviceId(uuid::Uuid::nil()));
                draft.show(at.id)
            }
            (Some(Placed::Known), _) => Ok(()),
            (Some(Placed::Refused(code, detail)), _) => no(code, detail),
            (_, Outcome::Dies(code, detail)) => no(&code, &detail),
            (_, Outcome::Unheard(detail)) => Err(Error::Internal(detail)),
            _ => no("cannot_apply", "what it rests on is not accepted, or its place is taken"),
        }
    }

    /// Everything that happened to a job and its visits, oldest first.
    pub async fn timeline(&self, tenant: TenantId, order: WorkOrderId) -> Result<Vec<TimelineItem>> {
        let mut items = Vec::new();
        let mut docs = vec![DocId::from(order)];
        docs.extend(self.storage().children(tenant, Kind::Visit, order.into()).await?);
        for doc in docs {
            let rows = self.storage().history(tenant, doc).await?;
            let Some(kind) = rows.first().map(|r| r.kind) else { continue };
            let mut past = Doc::new(kind);
            let mut before = serde_json::to_value(past.entity()?)?;
            for row in rows {
                let change = Change::parse(row.body)?;
                past.apply([&change.bytes])?;
                let after = serde_json::to_value(past.entity()?)?;
                let mut paths = Vec::new();
                differ("", &before, &after, &mut paths);
                before = after;
                items.push(TimelineItem {
                    at: change.header.at,
                    received: row.received,
                    doc: DocRef { kind, id: doc },
                    by: change.header.by,
                    device: row.device,
                    paths,
                    hash: change.header.hash,
                });
            }
        }
        items.sort_by_key(|i| (i.at, i.received));
        Ok(items)
    }

    /// Takes a rescue file's changes in, as from their device.
    ///
    /// # Errors
    /// `rescue_unreadable`; `NotFound` where the device is not of this company.
    pub async fn adopt(&self, tenant: TenantId, author: &Author, file: &[u8], passphrase: &str) -> Result<Adopted> {
        if !author.is(Role::Admin) && !author.is(Role::ServiceManager) {
            return Err(Error::Forbidden("taking in a rescue file".into()));
        }
        let rescue = rescue::open(file, passphrase)?;
        let device = self.storage().device(tenant, rescue.device).await?;
        let device = device.filter(|_| rescue.tenant == tenant);
        let device = device.ok_or_else(|| Error::NotFound("the file's device is not of this company".into()))?;
        let company = self.company(tenant).await?;
        let roles = self.roles(tenant, device.staff).await?;
        let session = Session { tenant, device: device.id, staff: device.staff, roles };
        let pushes: Vec<Push> = rescue
            .docs
            .into_iter()
            .map(|d| Push { doc: d.doc, kind: d.kind, changes: d.changes, sealed: None })
            .collect();
        let mut adopted = Adopted {
            blobs: rescue.blobs.into_iter().map(|b| (b.name, b.media_type, b.bytes)).collect(),
            ..Adopted::default()
        };
        let prepare = || async {
            let mut judged = self.judge(&company, &session, &pushes, None).await?;
            // The phone may be lost and revoked: what it had written before still counts.
            judged.batch.device = None;
            judged.batch.audit.push(Audit {
                at: self.env().now(),
                by: author.staff,
                action: "rescue.adopt".into(),
                subject: device.id.to_string(),
                detail: serde_json::json!({ "documents": pushes.len(), "exported_at": rescue.exported_at }),
            });
            Ok((judged.batch, judged.verdicts))
        };
        let (_, verdicts) = self.commit(tenant, prepare).await?;
        for verdict in verdicts {
            match verdict.fate {
                Fate::Accepted => adopted.accepted += 1,
                _ => adopted.aside += 1,
            }
        }
        Ok(adopted)
    }
}

/// Who acts where the operator does, by command on the server's machine.
fn operator(roles: impl IntoIterator<Item = Role>) -> Author {
    Author { staff: StaffId(uuid::Uuid::nil()), roles: roles.into_iter().collect(), device_code: None }
}

/// Gives a new company its settings document, with its name for the forms:
/// without one no phone could say that it holds the settings.
///
/// # Errors
/// What the rule says; the storage's.
pub async fn open_company(ledger: &Ledger, company: TenantId, name: &str) -> Result<()> {
    let patch = SettingsPatch { company: Some(name.to_owned()), ..SettingsPatch::default() };
    ledger.execute(company, &operator([Role::Admin]), &Command::ChangeSettings(patch), None).await?;
    Ok(())
}

/// Creates a member of staff, on the operator's authority.
///
/// # Errors
/// What the rule says.
pub async fn add_staff(
    ledger: &Ledger,
    company: TenantId,
    name: &str,
    code: &str,
    phone: &str,
    roles: BTreeSet<Role>,
) -> Result<StaffId> {
    let id = StaffId(ledger.env().new_id());
    let command = Command::PutStaff { id, name: name.into(), code: code.into(), phone: phone.into(), roles };
    ledger.execute(company, &operator([Role::Admin]), &command, None).await?;
    Ok(id)
}

/// Finds a company by its id or name.
///
/// # Errors
/// [`Error::NotFound`], or `ambiguous`.
pub async fn find_company(ledger: &Ledger, who: &str) -> Result<TenantId> {
    let all = ledger.storage().tenants().await?;
    let mut found = all.iter().filter(|t| t.id.to_string() == who || t.name == who);
    match (found.next(), found.next()) {
        (Some(t), None) => Ok(t.id),
        (None, _) => Err(Error::NotFound(format!("no company {who:?}"))),
        _ => Err(Error::bad("ambiguous", "company", format!("several companies are called {who:?}: give the id"))),
    }
}

/// A company's settings, or their defaults.
///
/// # Errors
/// The storage's.
pub async fn settings(ledger: &Ledger, company: TenantId) -> Result<Settings> {
    Ok(match ledger.storage().views(company, &[SETTINGS]).await?.pop() {
        Some(view) => Settings::unwrap(view.entity()?).unwrap_or_default(),
        None => Settings::default(),
    })
}

/// The names of a company's people, those who left too.
///
/// # Errors
/// The storage's.
pub async fn names(ledger: &Ledger, company: TenantId) -> Result<HashMap<StaffId, String>> {
    let mut names = HashMap::new();
    let mut query = Query { kind: Some(Kind::Staff), limit: 1000, ..Query::default() };
    loop {
        let page = ledger.storage().list(company, &query).await?;
        names.extend(page.iter().map(|v| (v.summary.doc.id.into(), v.summary.title.clone())));
        match page.last() {
            Some(last) if page.len() == query.page() => query.after = Some(last.key()),
            _ => return Ok(names),
        }
    }
}

/// A decision's writes, by document, in the order they first appear.
fn by_document(writes: Vec<Write>) -> Vec<(DocRef, Vec<Write>)> {
    let mut grouped: Vec<(DocRef, Vec<Write>)> = Vec::new();
    for write in writes {
        let doc = match &write {
            Write::Put(id, entity) => DocRef { kind: entity.kind(), id: *id },
            Write::Text { doc, .. } | Write::Choose { doc, .. } => *doc,
        };
        match grouped.iter_mut().find(|(d, _)| *d == doc) {
            Some((_, list)) => list.push(write),
            None => grouped.push((doc, vec![write])),
        }
    }
    grouped
}

/// The leaves in which two contents differ.
pub(crate) fn differ(path: &str, a: &Value, b: &Value, out: &mut Vec<String>) {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let path = if path.is_empty() { key.clone() } else { format!("{path}/{key}") };
                differ(&path, a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null), out);
            }
        }
        (a, b) if a != b => out.push(path.to_owned()),
        _ => {}
    }
}
