//! The door out: lists, details, the badge.

use super::{
    ClashedDoc, Detail, Engine, Explanation, HistoryEntry, Job, Line, Missing, Page, ReadyToLeave, RefusedDecision,
    RefusedEdit, RefusedLeaf, Status, ToSign, Today,
};
use crate::document::{Change, Clash, Doc, leaves};
use crate::domain::entitlement::of_work_order;
use crate::domain::forms_content::{dispatch_content, visit_content};
use crate::domain::stage::{Contradiction, job_visits, request_stage, stage, visit_stage};
use crate::domain::summary::{answering, order_of};
use crate::domain::{
    Customer, Date, DocRef, Entity, Kind, Staff, StaffId, VisitId, WorkOrder, WorkOrderId, World as _, WorldExt as _,
    Zone,
};
use crate::error::{Error, Result};
use crate::forms::{dispatch_data, render_dispatch, render_visit, visit_data};
use crate::messages::Language;
use crate::store::outbox::Refused;
use crate::store::{View, chunks, meta, outbox, views};
use crate::sync::device::clashed;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Changes of a document that [`Engine::history`] explains leaf by leaf.
const EXPLAINED: usize = 200;
/// Leaves named of one change.
const PATHS: usize = 100;

impl From<views::Line> for Line {
    fn from(line: views::Line) -> Self {
        Self { summary: line.summary, delivery: line.delivery }
    }
}

impl From<views::Page> for Page {
    fn from(page: views::Page) -> Self {
        Self { lines: page.lines.into_iter().map(Into::into).collect(), next: page.next }
    }
}

impl Engine {
    fn zone(&self) -> Zone {
        Zone::of(&View::new(self.device.read()).settings())
    }

    /// The company's day it is now, by the best estimate of the time.
    pub fn day(&self) -> Date {
        self.zone().day(self.now().best())
    }

    /// The day's work.
    ///
    /// # Errors
    /// `NotEnrolled`; the store's.
    pub fn today(&self, day: Date) -> Result<Today> {
        let me = self.device.identity()?.staff;
        let zone = self.zone();
        let conn = self.device.read();
        let view = View::new(conn);
        let now = self.now().best();
        let mut today = Today { day, jobs: Vec::new(), requests: Vec::new() };
        for line in views::today(conn, me, zone.start(day), zone.end(day))? {
            let id: WorkOrderId = line.summary.doc.id.into();
            let Some(order) = view.get::<WorkOrder>(id).filter(|_| line.summary.doc.kind == Kind::WorkOrder) else {
                if line.summary.doc.kind == Kind::Request {
                    today.requests.push(line.into());
                }
                continue;
            };
            let (stage, _) = stage(&order, &job_visits(id, &order, &view), now);
            today.jobs.push(Job {
                line: line.into(),
                visit: VisitId::of_dispatch(id, order.round),
                stage,
                arrival_deadline: order.arrival_deadline,
                planned_start: order.planned_start,
                customer_name: order.dispatch.customer_name.clone(),
                service_address: order.dispatch.service_address.clone(),
                contact_phone: order.dispatch.contact_phone.clone(),
            });
        }
        let mut requests = BTreeSet::new();
        requests.extend(today.requests.iter().map(|l| l.summary.doc.id));
        for id in views::of_person(conn, me, Kind::Request)? {
            if requests.contains(&id) {
                continue;
            }
            let open = view
                .get::<crate::domain::Request>(id)
                .is_some_and(|r| r.withdrawn.is_none() && answering(id.into(), &view).is_none());
            if open {
                today.requests.push(views::show(conn, id)?.line.into());
            }
        }
        view.finish()?;
        Ok(today)
    }

    /// Documents of a kind, newest due first; of one status, if given. A page at a time.
    ///
    /// # Errors
    /// `Invalid` where `after` is no mark of a page; the store's.
    pub fn list(&self, kind: Kind, status: Option<&str>, after: Option<&str>) -> Result<Page> {
        Ok(views::list(self.device.read(), kind, status, after)?.into())
    }

    /// Full-text search; finds single Chinese characters too.
    ///
    /// # Errors
    /// `Invalid` where `after` is no mark of a page; the store's.
    pub fn search(&self, words: &str, after: Option<&str>) -> Result<Page> {
        Ok(views::search(self.device.read(), words, after)?.into())
    }

    /// Everything about one document.
    ///
    /// # Errors
    /// `NotFound`; the store's.
    pub fn show(&self, doc: DocRef) -> Result<Detail> {
        let conn = self.device.read();
        let held = self.load(doc)?;
        let shown = views::show(conn, doc.id)?;
        let view = View::new(conn);
        let now = self.now().best();
        let order_detail = |id: WorkOrderId, order: &WorkOrder| {
            let visits = job_visits(id, order, &view);
            let (stage, contradictions) = stage(order, &visits, now);
            let customer = order.customer.and_then(|c| view.get::<Customer>(c));
            let entitled = of_work_order(order, customer.as_deref(), &view.settings());
            (stage, contradictions, entitled, visits.into_iter().map(|(id, _)| id).collect::<Vec<_>>())
        };
        let (mut stages, mut contradictions, mut entitlement, mut content, mut visits) =
            (None, Vec::new(), None, None, Vec::new());
        match &shown.entity {
            Entity::WorkOrder(order) => {
                let (s, c, e, v) = order_detail(doc.id.into(), order);
                (stages, contradictions, entitlement, visits) = (Some(s), c, Some(e), v);
                content = Some(dispatch_content(order));
            }
            Entity::Visit(visit) => {
                content = Some(visit_content(visit));
                stages = Some(visit_stage(visit));
                if let Some((id, order)) = order_of(visit, &view) {
                    let (_, c, e, v) = order_detail(id, &order);
                    (contradictions, entitlement, visits) = (c, Some(e), v);
                }
            }
            Entity::Request(request) => {
                stages = Some(match answering(doc.id.into(), &view) {
                    Some((id, order)) => order_detail(id, &order).0,
                    None => request_stage(request),
                });
            }
            _ => {}
        }
        view.finish()?;
        let clashes = held.clashes();
        let refused = self.refused_of(Some(doc))?;
        let explanations = self.explain(&clashes, &contradictions, &refused);
        Ok(Detail {
            summary: shown.line.summary,
            entity: shown.entity,
            delivery: shown.line.delivery,
            heads: held.heads(),
            clashes,
            explanations,
            stage: stages,
            contradictions,
            entitlement,
            content,
            refused,
            visits,
        })
    }

    fn load(&self, doc: DocRef) -> Result<Doc> {
        chunks::load(self.device.read(), doc.id)?
            .filter(|d| d.kind() == doc.kind)
            .ok_or_else(|| Error::NotFound(format!("{} {}", doc.kind.name(), doc.id)))
    }

    fn name(&self, staff: StaffId) -> String {
        View::new(self.device.read()).get::<Staff>(staff).map_or_else(String::new, |s| s.name.clone())
    }

    /// What merges did, one sentence each.
    fn explain(&self, clashes: &[Clash], against: &[Contradiction], refused: &[RefusedEdit]) -> Vec<Explanation> {
        let who = |by: Option<StaffId>| by.map_or_else(String::new, |by| self.name(by));
        let mut out = Vec::new();
        for clash in clashes {
            let shown = clash.values.iter().find(|v| v.shown);
            for (n, value) in clash.values.iter().filter(|v| !v.shown).enumerate() {
                if n == 8 {
                    break;
                }
                let mut args = BTreeMap::from([("field".to_owned(), clash.path.clone())]);
                args.insert("other".into(), who(value.by));
                args.insert("other_at".into(), value.at.0.to_string());
                args.insert("other_value".into(), value.value.to_string());
                if let Some(shown) = shown {
                    args.insert("who".into(), who(shown.by));
                    args.insert("at".into(), shown.at.0.to_string());
                    args.insert("value".into(), shown.value.to_string());
                }
                out.push(Explanation { key: "merge.clash".into(), args });
            }
        }
        for against in against {
            let said = against.explain();
            let mut args = BTreeMap::from([
                ("who".to_owned(), who(said.first.by)),
                ("at".to_owned(), said.first.at.best().0.to_string()),
                ("at_doubt".to_owned(), said.first.at.doubt.map_or_else(String::new, |d| d.to_string())),
                ("other".to_owned(), who(said.second.by)),
                ("other_at".to_owned(), said.second.at.best().0.to_string()),
                ("other_doubt".to_owned(), said.second.at.doubt.map_or_else(String::new, |d| d.to_string())),
            ]);
            if let Some(staff) = said.staff {
                args.insert("staff".into(), self.name(staff));
            }
            out.push(Explanation { key: said.message, args });
        }
        for edit in refused {
            let args = BTreeMap::from([
                ("code".to_owned(), edit.code.clone()),
                ("field".to_owned(), edit.field.clone()),
                ("at".to_owned(), edit.at.0.to_string()),
            ]);
            out.push(Explanation { key: "merge.refused".into(), args });
            if let Some(said) = &edit.decision {
                let args = BTreeMap::from([
                    ("who".to_owned(), said.who.clone()),
                    ("at".to_owned(), said.at.0.to_string()),
                    ("reason".to_owned(), said.reason.clone()),
                ]);
                out.push(Explanation { key: format!("aside.{}", said.verdict), args });
            }
        }
        out
    }

    /// A document's changes, newest first.
    ///
    /// # Errors
    /// `NotFound`; the store's.
    pub fn history(&self, doc: DocRef) -> Result<Vec<HistoryEntry>> {
        let held = self.load(doc)?;
        let conn = self.device.read();
        let waiting: BTreeSet<_> = outbox::waiting(conn, doc.id)?.into_iter().map(|c| c.header.hash).collect();
        let seen = outbox::read_mark(conn, doc.id)?.map(|m| m.heads).unwrap_or_default();
        let unseen: BTreeSet<_> = held.changes_since(&seen).into_iter().map(|c| c.header.hash).collect();
        let mut out = Vec::new();
        for (n, change) in held.changes().iter().rev().enumerate() {
            let header = &change.header;
            out.push(HistoryEntry {
                change: header.hash,
                by: header.by,
                name: header.by.map_or_else(String::new, |by| self.name(by)),
                device: header.author().map(|a| a.device),
                at: header.at,
                paths: match n < EXPLAINED {
                    true => held.leaves_set(change)?.into_keys().take(PATHS).collect(),
                    false => Vec::new(),
                },
                delivery: if waiting.contains(&header.hash) {
                    outbox::Delivery::OnThisPhone
                } else if seen.is_empty() || unseen.contains(&header.hash) {
                    outbox::Delivery::Accepted
                } else {
                    outbox::Delivery::SeenByOffice
                },
            });
        }
        Ok(out)
    }

    /// Documents with clashes.
    ///
    /// # Errors
    /// The store's.
    pub fn clashes(&self) -> Result<Vec<ClashedDoc>> {
        let conn = self.device.read();
        let mut out = Vec::new();
        for (id, kind) in clashed(conn)? {
            let Ok(held) = self.load(DocRef::new(kind, id)) else { continue };
            let clashes = held.clashes();
            if !clashes.is_empty() {
                out.push(ClashedDoc { summary: views::show(conn, id)?.line.summary, clashes });
            }
        }
        Ok(out)
    }

    /// Refused edits nobody has dealt with, oldest first.
    ///
    /// # Errors
    /// The store's.
    pub fn refused(&self) -> Result<Vec<RefusedEdit>> {
        self.refused_of(None)
    }

    fn refused_of(&self, doc: Option<DocRef>) -> Result<Vec<RefusedEdit>> {
        let conn = self.device.read();
        let mut open = outbox::refused(conn, true)?;
        open.retain(|r| doc.is_none_or(|d| d == r.doc));
        if open.is_empty() {
            return Ok(Vec::new());
        }
        open.reverse();
        // The settled ones too: what is open may have been written after them.
        let all = outbox::refused(conn, false)?;
        open.iter()
            .map(|edit| {
                let (at, leaves) = self.refused_leaves(edit, &all).unwrap_or((edit.at, Vec::new()));
                Ok(RefusedEdit {
                    id: edit.id,
                    doc: edit.doc,
                    change: edit.hash,
                    code: edit.why.code.clone(),
                    field: edit.why.field.clone(),
                    detail: edit.why.detail.clone(),
                    at,
                    refused: edit.at,
                    leaves,
                    decision: edit.decision.as_ref().map(|d| RefusedDecision {
                        verdict: d.verdict.clone(),
                        who: self.name(d.by),
                        reason: d.reason.clone(),
                        at: d.at,
                    }),
                })
            })
            .collect()
    }

    /// What a refused edit set, beside what stands.
    fn refused_leaves(&self, edit: &Refused, all: &[Refused]) -> Result<(crate::domain::Millis, Vec<RefusedLeaf>)> {
        let change = Change::parse(edit.bytes.clone())?;
        let doc = chunks::load_or_new(self.device.read(), edit.doc)?;
        let stands = leaves(&doc.entity()?)?;
        let mut old = doc;
        // Its own history aside: a new actor's edits written since do not matter to it.
        for other in all.iter().rev().filter(|r| r.doc == edit.doc && r.id <= edit.id) {
            // One whose parents are gone cannot be shown leaf by leaf.
            let _ = old.apply([other.bytes.as_slice()]);
        }
        let leaves = old
            .leaves_set(&change)?
            .into_iter()
            .take(PATHS)
            .map(|(path, mine)| RefusedLeaf { stands: stands.get(&path).cloned().unwrap_or(Value::Null), path, mine })
            .collect();
        Ok((change.header.at, leaves))
    }

    /// The badge: what waits, and whether this phone may be handed in.
    ///
    /// # Errors
    /// The store's.
    pub fn status(&self) -> Result<Status> {
        let conn = self.device.read();
        let account = outbox::account(conn)?;
        let state = meta::sync_state(conn)?;
        let enrolled = meta::identity(conn)?.is_some();
        let mut reasons = Vec::new();
        if account.changes > 0 {
            reasons.push("unsafe.changes".to_owned());
        }
        if account.blobs > 0 {
            reasons.push("unsafe.photos".to_owned());
        }
        Ok(Status {
            enrolled,
            unsent_changes: account.changes,
            blobs_waiting: account.blobs,
            blob_bytes_waiting: account.blob_bytes,
            refused: account.refused,
            clashed: clashed(conn)?.len() as u64,
            oldest_unsent: account.oldest,
            last_contact: state.last_sync,
            last_error: state.last_error,
            clock_offset: state.offset.zip(state.doubt),
            documents: account.documents,
            remaining: state.remaining,
            safe_to_hand_in: reasons.is_empty(),
            reasons,
        })
    }

    /// Whether everything the day needs is on this phone.
    ///
    /// # Errors
    /// `NotEnrolled`; the store's.
    pub fn ready_to_leave(&self) -> Result<ReadyToLeave> {
        let me = self.device.identity()?.staff;
        let conn = self.device.read();
        let (zone, day) = (self.zone(), self.day());
        let found = views::ready_to_leave(conn, me, zone.start(day), zone.end(day))?;
        let state = meta::sync_state(conn)?;
        let missing = |key: &str, doc, bytes| Missing { key: key.to_owned(), doc, bytes };
        let mut list = Vec::new();
        if state.last_sync.is_none() {
            list.push(missing("missing.first_sync", None, 0));
        } else if state.last_sync.is_some_and(|at| zone.day(at.plus(state.offset.unwrap_or(0))) != day) {
            list.push(missing("missing.stale", None, 0));
        }
        if found.announced > 0 {
            list.push(missing("missing.announced", None, 0));
        }
        if !found.settings {
            list.push(missing("missing.settings", None, 0));
        }
        list.extend(found.documents.iter().map(|doc| missing("missing.document", Some(*doc), 0)));
        list.extend(found.blobs.iter().map(|(_, size)| missing("missing.photo", None, *size)));
        Ok(ReadyToLeave {
            ready: list.is_empty(),
            missing: list,
            bytes: found.bytes,
            estimate_ms: found.seconds.map(|s| i64::try_from(s.saturating_mul(1000)).unwrap_or(i64::MAX)),
        })
    }

    /// A form as printable HTML: form 1 of a work order, form 2 of a visit.
    ///
    /// # Errors
    /// `NotFound` where it is not held; `Invalid` for a kind without a form; the store's.
    pub fn render(&self, doc: DocRef, language: Language) -> Result<String> {
        let view = View::new(self.device.read());
        let entity = view.entity(doc);
        let settings = view.settings();
        let names = |staff| self.name(staff);
        let page = match entity.ok_or_else(|| Error::NotFound(format!("{} {}", doc.kind.name(), doc.id)))?.as_ref() {
            Entity::WorkOrder(order) => {
                let visits = job_visits(doc.id.into(), order, &view);
                render_dispatch(&dispatch_data(order, &visits, &names, &settings), language)
            }
            Entity::Visit(visit) => {
                let order = order_of(visit, &view).map(|(_, order)| order);
                let request = visit.request.or(order.as_ref().and_then(|o| o.request));
                let request = request.and_then(|id| view.get::<crate::domain::Request>(id));
                let customer = order.as_ref().and_then(|o| o.customer).or(request.as_ref().and_then(|r| r.customer));
                let customer = customer.and_then(|id| view.get::<Customer>(id));
                let (id, order, request) = (doc.id.into(), order.as_deref(), request.as_deref());
                let data = visit_data(id, visit, order, request, customer.as_deref(), &names, &settings);
                render_visit(&data, language)
            }
            other => {
                let detail = format!("a {} has no form", other.kind().name());
                return Err(Error::Invalid { field: "kind", detail });
            }
        };
        view.finish()?;
        Ok(page)
    }

    /// What the customer is shown, named: for `Command::Sign`.
    ///
    /// # Errors
    /// `NotFound`; the store's.
    pub fn to_sign(&self, visit: VisitId) -> Result<ToSign> {
        let held = self.load(DocRef::new(Kind::Visit, visit))?;
        match held.entity()? {
            Entity::Visit(v) => Ok(ToSign { heads: held.heads(), content: visit_content(&v) }),
            _ => Err(Error::NotFound(visit.to_string())),
        }
    }
}
