//! Refused edits and rescue files: what the office decides about them.

use super::shown::{Said, opened};
use crate::error::{Error, Result};
use crate::gate::{Offer, Outcome, Placed, Screened};
use crate::ledger::draft::Draft;
use crate::ledger::{Ledger, Session};
use crate::storage::{AsideDecision, AsidePlace, AsideQuery, Audit, Batch, SetAside};
use onsite_core::document::{Change, Doc, leaves};
use onsite_core::domain::authority::may_write;
use onsite_core::domain::{
    Author, ChangeHash, Command, DeviceId, DocId, DocRef, Entity, Millis, Rejection, Role, StaffId, Stamp, TenantId,
};
use onsite_core::messages;
use onsite_core::store::rescue;
use onsite_core::sync::protocol::{Fate, Push};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use utoipa::ToSchema;

/// Most leaves told of one refused change.
const LEAVES: usize = 100;

/// A leaf of a refused edit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct RefusedLeaf {
    /// The leaf.
    pub path: String,
    /// Its name.
    pub label: Said,
    /// As it was written.
    pub mine: Value,
    /// As it stands.
    pub stands: Value,
}

/// A refused edit, as its phone shows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct RefusedRow {
    /// The document.
    pub doc: DocRef,
    /// The change.
    pub hash: ChangeHash,
    /// The document's head.
    pub title: String,
    /// The document's number.
    pub number: String,
    /// Who wrote it.
    pub staff: StaffId,
    /// On which device.
    pub device: DeviceId,
    /// That device's code.
    pub device_code: String,
    /// Stable code of the reason.
    pub code: String,
    /// The field concerned, if one.
    pub field: String,
    /// Why, in words.
    pub why: Said,
    /// The refused edit it rests on, if that is the reason.
    pub because_of: Option<ChangeHash>,
    /// When it came.
    pub at: Millis,
    /// Its bytes.
    pub bytes: u64,
    /// What it set, and what stands.
    pub leaves: Vec<RefusedLeaf>,
    /// What the office decided.
    pub decided: Option<AsideDecision>,
}

impl fmt::Display for AsidePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0.0.0, self.1, self.2)
    }
}

impl FromStr for AsidePlace {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut parts = text.splitn(3, '.');
        let mut part = || parts.next().ok_or_else(Error::bad_after);
        let (at, doc, hash) = (part()?, part()?, part()?);
        let place = (|| Some(Self(Reverse(Millis(at.parse().ok()?)), doc.parse().ok()?, hash.parse().ok()?)))();
        place.ok_or_else(Error::bad_after)
    }
}

impl RefusedRow {
    /// Its place among all.
    pub fn place(&self) -> AsidePlace {
        AsidePlace(Reverse(self.at), self.doc.id, self.hash)
    }
}

/// What the office decides about a refused change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
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
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Adopted {
    /// Changes taken in (or there already).
    pub accepted: usize,
    /// Changes set aside.
    pub aside: usize,
    /// Blobs in it: (hash, media type, bytes) for the caller to store.
    #[serde(skip)]
    pub blobs: Vec<(onsite_core::domain::Sha256, String, Vec<u8>)>,
}

/// What a refused change set, beside what stands; `others` are the document's refused changes.
/// One whose parents are gone cannot be told leaf by leaf.
fn leaves_of(row: &SetAside, doc: &Doc, others: &[SetAside]) -> onsite_core::Result<Vec<RefusedLeaf>> {
    let change = Change::parse(row.body.clone())?;
    let stands = leaves(&doc.entity()?)?;
    let mut old = doc.clone();
    // Whatever can be put under it: what a round leaves out another may take in.
    let mut waiting: Vec<&SetAside> = others.iter().filter(|o| o.device == row.device).collect();
    while !old.has(row.hash) {
        let before = waiting.len();
        waiting.retain(|o| old.apply([o.body.as_slice()]).is_err() || !old.has(o.hash));
        if waiting.len() == before {
            return Ok(Vec::new());
        }
    }
    let set = old.leaves_set(&change)?.into_iter().take(LEAVES).map(|(path, mine)| RefusedLeaf {
        label: Said::path(row.kind, &path),
        mine: opened(mine),
        stands: opened(stands.get(&path).cloned().unwrap_or(Value::Null)),
        path,
    });
    Ok(set.collect())
}

impl Ledger {
    /// Refused edits, newest first: as their phones show them.
    ///
    /// # Errors
    /// The storage's.
    pub async fn refused_rows(&self, tenant: TenantId, query: &AsideQuery) -> Result<Vec<RefusedRow>> {
        let rows = self.storage().aside(tenant, query).await?;
        let docs: Vec<DocId> = rows.iter().map(|r| r.doc).collect::<BTreeSet<_>>().into_iter().collect();
        let mut all: HashMap<DocId, Vec<SetAside>> = HashMap::new();
        for aside in self.storage().aside_of(tenant, &docs).await? {
            all.entry(aside.doc).or_default().push(aside);
        }
        let views = self.by_id(tenant, &docs).await?;
        let mut held: HashMap<DocId, Doc> = HashMap::new();
        for loaded in self.storage().load(tenant, &docs).await? {
            let doc = Doc::load(loaded.content.doc.kind, loaded.snapshot.as_deref(), &loaded.tail)?;
            held.insert(loaded.content.doc.id, doc);
        }
        let codes: HashMap<DeviceId, String> =
            self.storage().devices(tenant).await?.into_iter().map(|(d, _)| (d.id, d.code)).collect();
        let shown = rows.into_iter().map(|row| {
            let (view, doc) = (views.get(&row.doc), held.get(&row.doc));
            let fresh;
            let doc = match doc {
                Some(doc) => doc,
                None => {
                    fresh = Doc::new(row.kind);
                    &fresh
                }
            };
            let others = all.get(&row.doc).map(Vec::as_slice).unwrap_or_default();
            RefusedRow {
                leaves: leaves_of(&row, doc, others).unwrap_or_default(),
                doc: DocRef { kind: row.kind, id: row.doc },
                hash: row.hash,
                title: view.map(|v| v.summary.title.clone()).unwrap_or_default(),
                number: view.map(|v| v.summary.number.clone()).unwrap_or_default(),
                staff: row.staff,
                device: row.device,
                device_code: codes.get(&row.device).cloned().unwrap_or_default(),
                why: Said::of(|lang| messages::refusal(lang, &row.code, &row.field, &row.detail)),
                code: row.code,
                field: row.field,
                because_of: row.because_of,
                at: row.at,
                bytes: row.body.len() as u64,
                decided: row.decided,
            }
        });
        Ok(shown.collect())
    }

    /// Refused changes nobody has decided, newest first.
    pub async fn aside(&self, tenant: TenantId, limit: usize) -> Result<Vec<SetAside>> {
        self.storage().aside(tenant, &AsideQuery { open: true, limit, ..AsideQuery::default() }).await
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
                let entity = Arc::new(Entity::from_json(refused.kind, &after.entity)?);
                // On the server's own authority: kind and size are asked of everybody.
                let work = draft.work(refused.doc)?;
                let (at, before) = (work.at, work.there().then(|| Arc::clone(&work.entity)));
                let server = Author::server();
                draft.reader.ask(|world| may_write(at, before.as_deref(), &entity, &server, world)).await??;
                // The office brought it: its own device, which took it out, has it delivered.
                draft.take(at.id, *after, entity, vec![change], DeviceId(uuid::Uuid::nil()))
            }
            (Some(Placed::Known), _) => Ok(()),
            (Some(Placed::Refused(code, detail)), _) => no(code, detail),
            (_, Outcome::Dies(code, detail)) => no(&code, &detail),
            (_, Outcome::Unheard(detail)) => Err(Error::Internal(detail)),
            _ => no("cannot_apply", "what it rests on is not accepted, or its place is taken"),
        }
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
