//! One job or visit with everything the office needs to see of it.

use super::can::could;
use super::devices::ClashShown;
use super::shown::{Contradicted, Diff, Document, Row, Said, Teller, rows};
use super::{differ, settings};
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::ledger::reader::Reader;
use crate::storage::View;
use onsite_core::document::Doc;
use onsite_core::domain::entitlement::{Entitled, of_work_order};
use onsite_core::domain::forms_content::{
    SignatureState, SignoffState, dispatch_content, dispatch_shown, fully_signed, signature_state, signoff_state,
    visit_shown,
};
use onsite_core::domain::stage::{Contradiction, Stage, job_visits, overdue_arrival, stage, visit_stage};
use onsite_core::domain::summary::order_of;
use onsite_core::domain::{
    Author, Customer, DocId, DocRef, Entity, EventKind, Fen, ItemId, Kind, Millis, Position, Sha256, SignoffRole,
    StaffId, Stamp, TenantId, Visit, VisitId, WorkOrder, WorkOrderId, World, WorldExt as _,
};
use onsite_core::messages::{self, tf};
use serde::Serialize;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use utoipa::ToSchema;

/// Where a place of form 1's signatures stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SignoffWord {
    /// Not signed.
    Missing,
    /// Signed as it stands.
    Signed,
    /// Signed, and changed since.
    Voided,
}

/// A signature under form 1.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct SignoffShown {
    /// The place.
    pub role: SignoffRole,
    /// Where it stands.
    pub state: SignoffWord,
    /// Who signed.
    pub by: Option<StaffId>,
    /// When.
    pub at: Option<Stamp>,
    /// Of a voided one: what was changed since it was signed.
    pub changed: Vec<Diff>,
}

/// A job's money.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct Money {
    /// 借款金额
    pub cash_advance: Fen,
    /// Whether it was paid.
    pub advance_paid: bool,
    /// Spent by the technicians.
    pub spent: Fen,
    /// 需要收回的尾款金额
    pub balance_to_collect: Fen,
    /// Taken from the customer.
    pub collected: Fen,
    /// Still to be collected.
    pub remaining: Fen,
    /// Booked by finance.
    pub booked: Fen,
}

/// A job.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct WorkOrderDetail {
    /// Its row.
    pub row: Row,
    /// Its content.
    pub entity: WorkOrder,
    /// Where it stands.
    pub stage: Stage,
    /// What contradicts and is not settled.
    pub contradictions: Vec<Contradicted>,
    /// 客户属性, and what it rests on.
    pub entitlement: Entitled,
    /// The customer.
    pub customer: Option<Document>,
    /// The request it answers.
    pub request: Option<Document>,
    /// What a signature under form 1 signs now: `content` in the command `sign_off`.
    pub content: Sha256,
    /// The four signatures.
    pub signoffs: Vec<SignoffShown>,
    /// Whether all four are there and valid.
    pub fully_signed: bool,
    /// Its visits, oldest first.
    pub visits: Vec<VisitDetail>,
    /// Complaints about it.
    pub complaints: Vec<Row>,
    /// Work orders that go on with it.
    pub follow_ons: Vec<Row>,
    /// The work order it goes on from.
    pub goes_on_from: Option<Row>,
    /// The deadline, where it has passed and nobody has come.
    pub overdue_arrival: Option<Millis>,
    /// Its money.
    pub money: Money,
    /// The commands that the asker could give about it now.
    pub can: Vec<String>,
}

/// Something that happened in a technician's day.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct EventShown {
    /// Its id: the last correction's, if it was corrected.
    pub id: ItemId,
    /// What.
    pub kind: EventKind,
    /// When.
    pub at: Stamp,
    /// To whom.
    pub by: StaffId,
    /// Whether it was told otherwise at first.
    pub corrected: bool,
    /// Where.
    pub position: Option<Position>,
}

/// A visit's times.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct VisitTimes {
    /// The first arrival.
    pub arrived: Option<Stamp>,
    /// The last departure.
    pub departed: Option<Stamp>,
    /// Time worked, pauses taken off.
    pub work_ms: Option<i64>,
    /// Departure minus arrival.
    pub stay_ms: Option<i64>,
    /// Expected stay.
    pub expected_stay_ms: Option<i64>,
}

/// A visit's money.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct VisitMoney {
    /// Taken from the customer.
    pub collected: Fen,
    /// Spent of the advance.
    pub spent: Fen,
}

/// A photo.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct PhotoShown {
    /// Its id.
    pub id: ItemId,
    /// Its blob.
    pub blob: Option<Sha256>,
    /// Its media type.
    pub media_type: String,
    /// Its size in bytes.
    pub size: i64,
    /// Its caption.
    pub caption: String,
    /// The line of the checklist that it shows.
    pub check: Option<String>,
    /// When it was taken.
    pub taken: Option<Stamp>,
    /// By whom.
    pub by: Option<StaffId>,
    /// Whether its bytes are here.
    pub arrived: bool,
}

/// Where the customer's signature stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SignatureWord {
    /// Neither signed nor refused.
    None,
    /// Signed as it stands.
    Valid,
    /// Signed, and changed since.
    Voided,
    /// Refused.
    Refused,
}

/// A visit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct VisitDetail {
    /// Its row.
    pub row: Row,
    /// Its content.
    pub entity: Visit,
    /// How far it has come.
    pub stage: Stage,
    /// 编号
    pub number: String,
    /// Where the customer's signature stands.
    pub signature: SignatureWord,
    /// Of a voided one: what was changed since it was signed.
    pub signature_changed: Vec<Diff>,
    /// The day's events by time, corrections applied.
    pub events: Vec<EventShown>,
    /// Its times.
    pub times: VisitTimes,
    /// Its money.
    pub money: VisitMoney,
    /// What merges did to it, a sentence each.
    pub merges: Vec<Said>,
    /// Its job.
    pub work_order: Option<DocRef>,
    /// Its photos, those taken out left out.
    pub photos: Vec<PhotoShown>,
}

/// What the world says of a job.
struct Job {
    order: WorkOrder,
    visits: Vec<(VisitId, Cow<'static, Visit>)>,
    stage: Stage,
    contradictions: Vec<Contradiction>,
    entitlement: Entitled,
    complaints: Vec<DocId>,
    follow_ons: Vec<DocId>,
    overdue: Option<Millis>,
    can: Vec<String>,
}

impl Job {
    fn of(id: WorkOrderId, author: &Author, now: Millis, world: &dyn World) -> Option<Self> {
        let order = world.get::<WorkOrder>(id)?;
        let mut visits = job_visits(id, &order, world);
        visits.sort_by_key(|(id, v)| (v.work_order.is_some(), v.round, *id));
        let (stage, contradictions) = stage(&order, &visits, now);
        let customer = order.customer.and_then(|c| world.get::<Customer>(c));
        let siblings = order.customer.map(|c| world.children(Kind::WorkOrder, c.into())).unwrap_or_default();
        let goes_on = |o: &DocId| world.get::<WorkOrder>(*o).is_some_and(|w| w.follow_on_of == Some(id));
        Some(Self {
            stage,
            entitlement: of_work_order(&order, customer.as_deref(), &world.settings()),
            complaints: world.children(Kind::Complaint, id.into()),
            follow_ons: siblings.into_iter().filter(goes_on).collect(),
            overdue: overdue_arrival(&order, &visits, now),
            can: could(id, &order, &visits, &contradictions, author, now, world),
            contradictions,
            visits: visits.into_iter().map(|(id, visit)| (id, Cow::Owned(visit.into_owned()))).collect(),
            order: order.into_owned(),
        })
    }

    fn money(&self) -> Money {
        let d = &self.order.dispatch;
        Money {
            cash_advance: d.cash_advance,
            advance_paid: self.order.advance_paid.is_some(),
            spent: self.visits.iter().map(|(_, v)| v.spent()).sum(),
            balance_to_collect: d.balance_to_collect,
            collected: self.order.collected(&self.visits),
            remaining: self.order.remaining_balance(&self.visits),
            booked: self.order.bookings.values().map(|b| b.amount).sum(),
        }
    }
}

/// What differs between what was signed and what stands.
pub(crate) fn changed(kind: Kind, signed: &Value, stands: &Value) -> Vec<Diff> {
    let mut paths = Vec::new();
    differ("", signed, stands, &mut paths);
    let at = |json: &Value, path: &str| {
        let found = path.split('/').try_fold(json, |at, part| at.get(part));
        found.cloned().unwrap_or(Value::Null)
    };
    let shown = paths.into_iter().map(|path| Diff {
        label: Said::path(kind, &leaf(kind, &path)),
        before: at(signed, &path),
        after: at(stands, &path),
        path,
    });
    shown.collect()
}

/// The document's leaf that a leaf of the signed content shows.
fn leaf(kind: Kind, path: &str) -> String {
    match (kind, path.rsplit('/').next().unwrap_or(path)) {
        (Kind::WorkOrder, "quantity") => path.replace("quantity", "required"),
        (Kind::Visit, "quantity") => path.replace("quantity", "used"),
        (_, "accepted" | "acceptance_remark") => "acceptance".into(),
        _ => path.into(),
    }
}

impl Ledger {
    pub(super) fn reader(&self, tenant: TenantId) -> Reader<'_> {
        Reader::new(self.storage(), tenant)
    }

    /// A row that must be there, of this kind.
    pub(super) async fn row_of(&self, tenant: TenantId, kind: Kind, id: DocId) -> Result<View> {
        let found = self.storage().views(tenant, &[id]).await?.pop().filter(|v| v.summary.doc.kind == kind);
        found.ok_or_else(|| Error::NotFound(format!("no {} {id}", kind.name())))
    }

    pub(super) async fn rows_of(&self, tenant: TenantId, ids: &[DocId]) -> Result<Vec<Row>> {
        Ok(rows(&self.storage().views(tenant, ids).await?))
    }

    /// The rows of those that exist, by document.
    pub(crate) async fn by_id(&self, tenant: TenantId, ids: &[DocId]) -> Result<HashMap<DocId, View>> {
        Ok(self.storage().views(tenant, ids).await?.into_iter().map(|v| (v.summary.doc.id, v)).collect())
    }

    async fn shown(&self, tenant: TenantId, id: Option<impl Into<DocId>>) -> Result<Option<Document>> {
        let Some(id) = id else { return Ok(None) };
        self.storage().views(tenant, &[id.into()]).await?.pop().map(|v| Document::of(&v)).transpose()
    }

    async fn teller(&self, tenant: TenantId) -> Result<Teller> {
        let offset = settings(self, tenant).await?.utc_offset_minutes;
        Teller::of(self, tenant, offset).await
    }

    /// A job with its visits, as somebody sees it.
    ///
    /// # Errors
    /// `NotFound`; the storage's.
    pub async fn work_order_detail(
        &self,
        tenant: TenantId,
        author: &Author,
        id: WorkOrderId,
    ) -> Result<WorkOrderDetail> {
        let now = self.env().now();
        let view = self.row_of(tenant, Kind::WorkOrder, id.into()).await?;
        let mut reader = self.reader(tenant);
        let job = reader.ask(|w| Job::of(id, author, now, w)).await?;
        let job = job.ok_or_else(|| Error::NotFound(format!("no work order {id}")))?;
        let teller = self.teller(tenant).await?;
        let mut visits = Vec::new();
        let ids: Vec<DocId> = job.visits.iter().map(|(visit, _)| DocId::from(*visit)).collect();
        let rows = self.by_id(tenant, &ids).await?;
        for (visit, content) in &job.visits {
            let Some(view) = rows.get(&DocId::from(*visit)) else { continue };
            let order = Some((id, &job.order));
            visits.push(self.visit_of(tenant, view, content, order, &job.contradictions, &teller).await?);
        }
        let from = job.order.follow_on_of.map(DocId::from);
        Ok(WorkOrderDetail {
            row: Row::from(&view),
            stage: job.stage,
            contradictions: job.contradictions.iter().map(|c| teller.contradiction(c)).collect(),
            entitlement: job.entitlement.clone(),
            customer: self.shown(tenant, job.order.customer).await?,
            request: self.shown(tenant, job.order.request).await?,
            content: dispatch_content(&job.order),
            signoffs: self.signoffs(tenant, id, &job.order).await?,
            fully_signed: fully_signed(&job.order),
            visits,
            complaints: self.rows_of(tenant, &job.complaints).await?,
            follow_ons: self.rows_of(tenant, &job.follow_ons).await?,
            goes_on_from: self.rows_of(tenant, from.as_slice()).await?.pop(),
            overdue_arrival: job.overdue,
            money: job.money(),
            can: job.can,
            entity: job.order,
        })
    }

    /// The four signatures; of those voided, what was changed since.
    async fn signoffs(&self, tenant: TenantId, id: WorkOrderId, order: &WorkOrder) -> Result<Vec<SignoffShown>> {
        let states = signoff_state(order);
        let voided: BTreeSet<Sha256> = states
            .values()
            .filter_map(|s| if let SignoffState::Voided { signed } = s { Some(*signed) } else { None })
            .collect();
        let signed = if voided.is_empty() { HashMap::new() } else { self.signed(tenant, id, &voided).await? };
        let stands = dispatch_shown(order);
        let shown = states.into_iter().map(|(role, state)| {
            let signoff = order.signoffs.get(&role);
            let (word, changes) = match state {
                SignoffState::Missing => (SignoffWord::Missing, Vec::new()),
                SignoffState::Valid => (SignoffWord::Signed, Vec::new()),
                SignoffState::Voided { signed: hash } => {
                    let changes = signed.get(&hash).map(|was| changed(Kind::WorkOrder, was, &stands));
                    (SignoffWord::Voided, changes.unwrap_or_default())
                }
            };
            SignoffShown {
                role,
                state: word,
                by: signoff.map(|s| s.mark.by),
                at: signoff.map(|s| s.mark.at),
                changed: changes,
            }
        });
        Ok(shown.collect())
    }

    /// Form 1 as it was when it had these contents: the log's changes, one after another.
    async fn signed(
        &self,
        tenant: TenantId,
        id: WorkOrderId,
        contents: &BTreeSet<Sha256>,
    ) -> Result<HashMap<Sha256, Value>> {
        let mut past = Doc::new(Kind::WorkOrder);
        let mut found = HashMap::new();
        for row in self.storage().history(tenant, id.into()).await? {
            past.apply([&row.body])?;
            if let Entity::WorkOrder(order) = past.entity()? {
                let content = dispatch_content(&order);
                if contents.contains(&content) && !found.contains_key(&content) {
                    found.insert(content, dispatch_shown(&order));
                }
            }
            if found.len() == contents.len() {
                break;
            }
        }
        Ok(found)
    }

    /// A visit.
    ///
    /// # Errors
    /// `NotFound`; the storage's.
    pub async fn visit_detail(&self, tenant: TenantId, id: VisitId) -> Result<VisitDetail> {
        let view = self.row_of(tenant, Kind::Visit, id.into()).await?;
        let now = self.env().now();
        let mut reader = self.reader(tenant);
        let found = reader.ask(|w| {
            let visit = w.get::<Visit>(id)?;
            let order = order_of(&visit, w);
            let against = order.as_ref().map(|(id, o)| stage(o, &job_visits(*id, o, w), now).1).unwrap_or_default();
            let order = order.map(|(id, order)| (id, order.into_owned()));
            Some((visit.into_owned(), order, against))
        });
        let (visit, order, against) = found.await?.ok_or_else(|| Error::NotFound(format!("no visit {id}")))?;
        let teller = self.teller(tenant).await?;
        let order = order.as_ref().map(|(id, order)| (*id, order));
        self.visit_of(tenant, &view, &visit, order, &against, &teller).await
    }

    async fn visit_of(
        &self,
        tenant: TenantId,
        view: &View,
        visit: &Visit,
        order: Option<(WorkOrderId, &WorkOrder)>,
        against: &[Contradiction],
        teller: &Teller,
    ) -> Result<VisitDetail> {
        let id = VisitId::from(view.summary.doc.id);
        let mut merges: Vec<Said> = Vec::new();
        for clash in self.clashes_of(tenant, view, teller).await? {
            merges.extend(told(&clash, teller));
        }
        let ours = against.iter().filter(|c| c.explain().visit == Some(id));
        merges.extend(ours.map(|c| teller.contradiction(c).sentence));
        let signature = match signature_state(visit) {
            SignatureState::None => SignatureWord::None,
            SignatureState::Valid => SignatureWord::Valid,
            SignatureState::Voided { .. } => SignatureWord::Voided,
            SignatureState::Refused => SignatureWord::Refused,
        };
        let mut signature_changed = Vec::new();
        if let (SignatureWord::Voided, Some(signed)) = (signature, &visit.signature) {
            // It names the heads that were shown; they may be of a branch that was refused.
            let doc = self.document(tenant, id.into()).await?;
            if let Ok(Entity::Visit(was)) = doc.entity_at(&signed.heads) {
                signature_changed = changed(Kind::Visit, &visit_shown(&was), &visit_shown(visit));
            }
        }
        let stay = |v: &Visit| {
            let stay = v.departed_at()?.best().since(v.arrived_at()?.best());
            (stay >= 0).then_some(stay)
        };
        let expected = order.and_then(|(_, o)| o.dispatch.expected_stay_minutes);
        let mut photos = Vec::new();
        for (id, photo) in visit.photos.iter().filter(|(_, p)| !p.removed) {
            let blob = match photo.blob {
                Some(blob) => self.storage().blob(tenant, blob).await?,
                None => None,
            };
            photos.push(PhotoShown {
                id: *id,
                blob: photo.blob,
                media_type: photo.media_type.clone(),
                size: photo.size,
                caption: photo.caption.clone(),
                check: photo.check.clone(),
                taken: photo.taken.as_ref().map(|m| m.at),
                by: photo.taken.as_ref().map(|m| m.by),
                arrived: blob.is_some_and(|b| b.complete),
            });
        }
        let event = |e: onsite_core::domain::facts::LiveEvent| {
            let written = visit.events.get(&e.id);
            EventShown {
                id: e.id,
                kind: e.kind,
                at: e.at,
                by: e.by,
                corrected: written.is_some_and(|w| w.corrects.is_some()),
                position: written.and_then(|w| w.position),
            }
        };
        Ok(VisitDetail {
            row: Row::from(view),
            stage: visit_stage(visit),
            number: view.summary.number.clone(),
            signature,
            signature_changed,
            events: visit.live_events().into_iter().map(event).collect(),
            times: VisitTimes {
                arrived: visit.arrived_at(),
                departed: visit.departed_at(),
                work_ms: visit.work_ms(),
                stay_ms: stay(visit),
                expected_stay_ms: expected.map(|m| m.saturating_mul(Millis::MINUTE)),
            },
            money: VisitMoney { collected: visit.collected(), spent: visit.spent() },
            merges,
            work_order: order.map(|(id, _)| DocRef::new(Kind::WorkOrder, id)),
            photos,
            entity: visit.clone(),
        })
    }
}

/// A clash in sentences: each other value beside the one that is shown.
fn told(clash: &ClashShown, teller: &Teller) -> Vec<Said> {
    let Some(shown) = clash.values.iter().find(|v| v.wins) else { return Vec::new() };
    let others = clash.values.iter().filter(|v| !v.wins);
    let sentence = |other: &super::devices::ClashChoice| {
        teller.say(|words| {
            let unknown = || messages::t(words.lang, "value.person_unknown").to_owned();
            let who = |by: Option<StaffId>| by.map_or_else(unknown, |by| words.name(by));
            let text =
                |said: &Said| if words.lang == messages::Language::En { said.en.clone() } else { said.zh.clone() };
            let values = [
                ("field", text(&clash.label)),
                ("who", who(shown.by)),
                ("value", text(&shown.told)),
                ("at", words.time(shown.at)),
                ("other", who(other.by)),
                ("other_value", text(&other.told)),
                ("other_at", words.time(other.at)),
            ];
            tf(words.lang, "merge.clash", &values.each_ref().map(|(name, value)| (*name, value.as_str())))
        })
    };
    others.map(sentence).collect()
}
