//! The office's lists as tables: a page at a time, in the reader's language.

use super::appraisals::Wanted;
use super::figures::Days;
use super::{names, settings};
use crate::audit;
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::sheets::Cell;
use crate::storage::{Key, Query, View};
use onsite_core::domain::entitlement::{of_work_order, warranty_until};
use onsite_core::domain::figures::{Figure, FigureName, Figures, Unit};
use onsite_core::domain::stage::{Stage, signed_off};
use onsite_core::domain::{
    Appraisal, Complaint, Contract, Customer, Date, DocId, DocRef, Entity, Equipment, Fen, FollowUp, Kind, Millis,
    Quarter, Request, Settings, SignoffRole, Staff, StaffId, Stamp, Suggestion, TenantId, Visit, WorkOrder, Zone,
};
use onsite_core::messages::{self, Labelled, Language, label, t};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Documents read at once.
const PAGE: usize = 500;

/// A list that can be exported.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = ExportList)]
pub enum List {
    /// Work orders.
    WorkOrders,
    /// Repair requests.
    Requests,
    /// Visits.
    Visits,
    /// Customers.
    Customers,
    /// Customers' machines.
    Equipment,
    /// Customers' contracts.
    Contracts,
    /// Follow-up calls made.
    Calls,
    /// Complaints.
    Complaints,
    /// Suggestions.
    Suggestions,
    /// Penalties and rewards proposed.
    Proposals,
    /// Figures, of all and of each technician.
    Figures,
    /// Phones.
    Devices,
    /// Members of staff.
    Staff,
    /// The audit chain.
    Audit,
}

impl List {
    /// Every list.
    pub const ALL: [Self; 14] = [
        Self::WorkOrders,
        Self::Requests,
        Self::Visits,
        Self::Customers,
        Self::Equipment,
        Self::Contracts,
        Self::Calls,
        Self::Complaints,
        Self::Suggestions,
        Self::Proposals,
        Self::Figures,
        Self::Devices,
        Self::Staff,
        Self::Audit,
    ];

    /// Its word, as in addresses.
    pub fn word(self) -> &'static str {
        match self {
            Self::WorkOrders => "work-orders",
            Self::Requests => "requests",
            Self::Visits => "visits",
            Self::Customers => "customers",
            Self::Equipment => "equipment",
            Self::Contracts => "contracts",
            Self::Calls => "calls",
            Self::Complaints => "complaints",
            Self::Suggestions => "suggestions",
            Self::Proposals => "proposals",
            Self::Figures => "figures",
            Self::Devices => "devices",
            Self::Staff => "staff",
            Self::Audit => "audit",
        }
    }

    /// Its title.
    pub fn title(self, lang: Language) -> &'static str {
        messages::find(lang, &format!("export.list.{}", self.word())).unwrap_or(self.word())
    }

    /// The kind of document whose rows it is made of.
    fn kind(self) -> Option<Kind> {
        Some(match self {
            Self::WorkOrders => Kind::WorkOrder,
            Self::Requests => Kind::Request,
            Self::Visits => Kind::Visit,
            Self::Customers | Self::Equipment | Self::Contracts => Kind::Customer,
            Self::Calls => Kind::FollowUp,
            Self::Complaints => Kind::Complaint,
            Self::Suggestions => Kind::Suggestion,
            Self::Staff => Kind::Staff,
            Self::Proposals | Self::Figures | Self::Devices | Self::Audit => return None,
        })
    }
}

/// Which rows are wanted. Conditions a list does not know are passed over.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Conditions {
    /// In this state; of proposals the part, of phones what they are shown for.
    pub status: Option<String>,
    /// Without jobs and requests with which nobody has anything left to do, and such jobs' visits.
    pub unfinished: bool,
    /// Of this quarter: proposals.
    pub quarter: Option<Quarter>,
    /// Concerning this person.
    pub person: Option<StaffId>,
    /// Hanging on this document.
    pub parent: Option<DocId>,
    /// Holding these words.
    pub search: Option<String>,
    /// Only with a flag.
    pub flagged: bool,
    /// Only with clashes.
    pub clashes: bool,
    /// First day: due from it on; of figures, the period's.
    pub from: Option<Date>,
    /// Last day: due by it; of figures, the period's.
    pub to: Option<Date>,
}

/// Whether nobody has anything left to do with a job or request in this state.
fn finished(status: &str) -> bool {
    Stage::ALL.iter().any(|s| s.finished() && s.word() == status)
}

/// Where a table goes on.
#[derive(Clone, Copy)]
enum Place {
    Document(Option<Key>),
    Entry(u64),
    Whole,
    Done,
}

/// A table that is being read.
pub struct Export {
    ledger: Ledger,
    tenant: TenantId,
    list: List,
    lang: Language,
    settings: Settings,
    names: HashMap<StaffId, String>,
    query: Query,
    conditions: Conditions,
    place: Place,
}

/// A row with its columns' names.
type Row = Vec<(&'static str, Cell)>;

impl Export {
    /// Begins to read a list.
    ///
    /// # Errors
    /// The storage's.
    pub async fn open(
        ledger: &Ledger,
        tenant: TenantId,
        list: List,
        lang: Language,
        conditions: Conditions,
    ) -> Result<Self> {
        let (settings, names) = (settings(ledger, tenant).await?, names(ledger, tenant).await?);
        let zone = Zone::of(&settings);
        let c = conditions.clone();
        let query = Query {
            kind: list.kind(),
            status: c.status,
            parent: c.parent,
            person: c.person,
            due_from: c.from.map(|d| zone.start(d)),
            due_before: c.to.map(|d| zone.end(d)),
            clashes: c.clashes,
            flagged: c.flagged,
            search: c.search,
            latest: false,
            after: None,
            limit: PAGE,
        };
        let place = match list {
            List::Audit => Place::Entry(0),
            _ if list.kind().is_some() => Place::Document(None),
            _ => Place::Whole,
        };
        Ok(Self { ledger: ledger.clone(), tenant, list, lang, settings, names, query, conditions, place })
    }

    /// The names of its columns.
    pub fn headings(&self) -> Vec<String> {
        let nobody = &Context::default();
        let columns = match self.list {
            List::WorkOrders => self.work_order(&WorkOrder::default(), nobody),
            List::Requests => self.request(&Request::default(), nobody),
            List::Visits => self.visit(&Visit::default(), nobody),
            List::Customers => self.customer(&Customer::default(), nobody),
            List::Equipment => self.machine(&Customer::default(), &Equipment::default()),
            List::Contracts => self.contract(&Customer::default(), &Contract::default()),
            List::Calls => self.call(&FollowUp::default(), nobody),
            List::Complaints => self.complaint(&Complaint::default(), nobody),
            List::Suggestions => self.suggestion(&Suggestion::default(), nobody),
            List::Staff => self.staff(&Staff::default(), nobody),
            List::Proposals => self.proposal(None),
            List::Figures => self.figure("", FigureName::Mttr, None),
            List::Devices => self.device(None),
            List::Audit => self.entry(None),
        };
        columns.into_iter().map(|(key, _)| capital(t(self.lang, key))).collect()
    }

    /// The next rows; none where there are no more.
    ///
    /// # Errors
    /// The storage's.
    pub async fn next(&mut self) -> Result<Option<Vec<Vec<Cell>>>> {
        let rows = match self.place {
            Place::Done => return Ok(None),
            Place::Document(after) => {
                self.query.after = after;
                let views = self.ledger.storage().list(self.tenant, &self.query).await?;
                self.place = match views.last() {
                    Some(last) if views.len() == self.query.page() => Place::Document(Some(last.key())),
                    _ => Place::Done,
                };
                self.documents(&views).await?
            }
            Place::Entry(after) => {
                let found = audit::page(&self.ledger, self.tenant, Some(after), PAGE, false).await?;
                self.place = match found.last() {
                    Some(last) if found.len() == PAGE => Place::Entry(last.n),
                    _ => Place::Done,
                };
                found.iter().map(|e| self.entry(Some(e))).collect()
            }
            Place::Whole => {
                self.place = Place::Done;
                self.whole().await?
            }
        };
        Ok(Some(rows.into_iter().map(|row| row.into_iter().map(|(_, cell)| cell).collect()).collect()))
    }

    async fn documents(&self, views: &[View]) -> Result<Vec<Row>> {
        let around = self.around(views).await?;
        let mut rows = Vec::new();
        for view in views {
            let above = view.summary.parent.and_then(|p| around.get(&p));
            // A visit is through when its job is.
            let job = above.filter(|_| self.list == List::Visits).map(|job| &job.status);
            if self.conditions.unfinished && finished(job.unwrap_or(&view.summary.status)) {
                continue;
            }
            let context = Context {
                id: Some(view.summary.doc),
                number: view.summary.number.clone(),
                title: view.summary.title.clone(),
                status: view.summary.status.clone(),
                people: view.summary.people.clone(),
                flags: view.summary.flags.clone(),
                due: view.summary.due,
                above,
            };
            match view.entity()? {
                Entity::WorkOrder(w) => rows.push(self.work_order(&w, &context)),
                Entity::Request(r) => rows.push(self.request(&r, &context)),
                Entity::Visit(v) => rows.push(self.visit(&v, &context)),
                Entity::Customer(c) => match self.list {
                    List::Equipment => {
                        rows.extend(c.equipment.values().filter(|e| !e.removed).map(|e| self.machine(&c, e)));
                    }
                    List::Contracts => {
                        rows.extend(c.contracts.values().filter(|k| !k.removed).map(|k| self.contract(&c, k)));
                    }
                    _ => rows.push(self.customer(&c, &context)),
                },
                Entity::FollowUp(f) => rows.push(self.call(&f, &context)),
                Entity::Complaint(c) => rows.push(self.complaint(&c, &context)),
                Entity::Suggestion(s) => rows.push(self.suggestion(&s, &context)),
                Entity::Staff(s) => rows.push(self.staff(&s, &context)),
                Entity::Settings(_) | Entity::Statement(_) | Entity::Appraisal(_) => {}
            }
        }
        Ok(rows)
    }

    /// What the documents of a page hang on.
    async fn around(&self, views: &[View]) -> Result<HashMap<DocId, Above>> {
        let mut ids: Vec<DocId> = views.iter().filter_map(|v| v.summary.parent).collect();
        ids.sort_unstable();
        ids.dedup();
        let found = self.ledger.storage().views(self.tenant, &ids).await?;
        found
            .into_iter()
            .map(|v| {
                let entity = v.entity()?;
                Ok((v.summary.doc.id, Above { number: v.summary.number, status: v.summary.status, entity }))
            })
            .collect()
    }

    async fn whole(&self) -> Result<Vec<Row>> {
        match self.list {
            List::Proposals => {
                let (staff, quarter) = (self.conditions.person, self.conditions.quarter);
                let mut wanted = Wanted { staff, quarter, ..Wanted::default() };
                let mut rows = Vec::new();
                loop {
                    let found = self.ledger.proposals(self.tenant, &wanted).await?;
                    let shown = found.rows.iter().filter(|p| self.wants(|part| part == p.part.word()));
                    rows.extend(shown.map(|p| self.proposal(Some(p))));
                    if found.next.is_none() {
                        return Ok(rows);
                    }
                    wanted.after = found.next;
                }
            }
            List::Figures => {
                let days = Days { from: self.conditions.from, to: self.conditions.to };
                let found = self.ledger.figures(self.tenant, days, self.conditions.person).await?;
                let mut rows = Vec::new();
                let mut add = |who: &str, figures: &Figures| {
                    let all = FigureName::ALL.iter();
                    rows.extend(all.map(|name| self.figure(who, *name, Some(one(figures, *name)))));
                };
                add(t(self.lang, "export.all"), &found.all);
                for (staff, theirs) in &found.by_technician {
                    add(&self.name(*staff), theirs);
                }
                Ok(rows)
            }
            List::Devices => {
                let found = self.ledger.device_rows(self.tenant).await?;
                Ok(found
                    .iter()
                    .filter(|d| self.wants(|word| d.shown.iter().any(|s| s.word() == word)))
                    .map(|d| self.device(Some(d)))
                    .collect())
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Whether something is in the state asked for, if one is.
    fn wants(&self, is: impl Fn(&str) -> bool) -> bool {
        self.conditions.status.as_deref().is_none_or(is)
    }

    // ---- values ----

    fn name(&self, id: StaffId) -> String {
        self.names.get(&id).cloned().unwrap_or_default()
    }

    fn people<'a>(&self, ids: impl IntoIterator<Item = &'a StaffId>) -> Cell {
        let names: Vec<String> = ids.into_iter().map(|id| self.name(*id)).filter(|n| !n.is_empty()).collect();
        names.join(if self.lang == Language::ZhCn { "、" } else { ", " }).into()
    }

    fn time(&self, at: Option<Millis>) -> Cell {
        at.map_or(Cell::Empty, |at| Cell::Time(Zone::of(&self.settings).wall(at)))
    }

    fn stamp(&self, at: Option<Stamp>) -> Cell {
        self.time(at.map(|s| s.best()))
    }

    fn word(&self, word: Option<impl Labelled>) -> Cell {
        word.map_or(Cell::Empty, |w| label(self.lang, w).into())
    }

    fn yes(&self, yes: bool) -> Cell {
        t(self.lang, if yes { "value.yes" } else { "value.no" }).into()
    }

    /// A list's state, by whichever of these sets of words has it.
    fn status(&self, sets: &[&str], word: &str) -> Cell {
        let found = sets.iter().find_map(|set| messages::find(self.lang, &format!("{set}.{word}")));
        found.unwrap_or(word).into()
    }

    fn flags(&self, flags: &[String]) -> Cell {
        let told: Vec<String> = flags.iter().map(|f| messages::flag(self.lang, f)).collect();
        told.join("; ").into()
    }

    // ---- rows ----

    fn work_order(&self, w: &WorkOrder, at: &Context<'_>) -> Row {
        let customer = match at.above.map(|a| &a.entity) {
            Some(Entity::Customer(c)) => Some(c),
            _ => None,
        };
        let machine = customer.zip(w.equipment).and_then(|(c, id)| c.equipment.get(&id));
        let entitled = at.id.map(|_| of_work_order(w, customer, &self.settings).entitlement);
        let signed: Vec<&str> =
            SignoffRole::ALL.iter().filter(|role| signed_off(w, **role)).map(|role| label(self.lang, *role)).collect();
        let booked: Fen = w.bookings.values().map(|b| b.amount).sum();
        vec![
            ("field.number", at.number.clone().into()),
            ("export.status", self.status(&["stage"], &at.status)),
            ("field.work_type", self.word(w.work_type)),
            ("export.customer_code", customer.map(|c| &c.code).into()),
            ("field.customer_name", at.title.clone().into()),
            ("field.contact_name", (&w.dispatch.contact_name).into()),
            ("field.contact_phone", (&w.dispatch.contact_phone).into()),
            ("field.service_address", (&w.dispatch.service_address).into()),
            ("field.model", machine.map(|e| &e.model).into()),
            ("field.serial", machine.map(|e| &e.serial).into()),
            ("form.visit.entitlement", self.word(entitled)),
            ("field.service_description", (&w.dispatch.service_description.0).into()),
            ("field.technicians", self.people(&w.current_technicians())),
            ("field.reported", self.stamp(w.reported)),
            ("field.opened", self.stamp(w.opened.as_ref().map(|m| m.at))),
            ("field.order_date", w.dispatch.order_date.into()),
            ("field.planned_start", self.time(w.planned_start)),
            ("field.arrival_deadline", self.time(w.arrival_deadline)),
            ("field.expected_stay_minutes", w.dispatch.expected_stay_minutes.into()),
            ("field.signoffs", signed.join("; ").into()),
            ("field.cash_advance", w.dispatch.cash_advance.into()),
            ("field.balance_to_collect", w.dispatch.balance_to_collect.into()),
            ("field.bookings", booked.into()),
            ("field.cancelled", self.stamp(w.cancelled.as_ref().map(|m| m.at))),
            ("field.closed", self.stamp(w.closed.as_ref().map(|m| m.at))),
            ("field.archived", self.stamp(w.archived.as_ref().map(|m| m.at))),
            ("field.remarks", (&w.dispatch.remarks.0).into()),
            ("export.flags", self.flags(&at.flags)),
            ("export.id", at.id()),
        ]
    }

    fn request(&self, r: &Request, at: &Context<'_>) -> Row {
        vec![
            ("field.number", at.number.clone().into()),
            ("export.status", self.status(&["stage"], &at.status)),
            ("field.customer_name", at.title.clone().into()),
            ("field.contact_name", (&r.contact_name).into()),
            ("field.contact_phone", (&r.contact_phone).into()),
            ("field.address", (&r.address).into()),
            ("field.problem", (&r.problem.0).into()),
            ("field.reported", self.stamp(r.reported)),
            ("field.author", self.people(&r.author)),
            ("field.withdrawn", r.withdrawn.as_ref().map(|w| w.reason.as_str()).into()),
            ("export.id", at.id()),
        ]
    }

    fn visit(&self, v: &Visit, at: &Context<'_>) -> Row {
        let reasons: Vec<&str> = v.dissatisfaction_reasons.iter().map(|r| label(self.lang, *r)).collect();
        let refused = v.signature_refused.as_ref().map(|r| r.reason.as_str());
        let spent: Fen = v.expenses.values().map(|e| e.amount).sum();
        vec![
            ("field.number", at.number.clone().into()),
            ("kind.work_order", at.above.map(|a| &a.number).into()),
            ("export.status", self.status(&["stage"], &at.status)),
            ("field.customer_name", at.title.clone().into()),
            ("field.technicians", self.people(&at.people)),
            ("event_kind.arrived", self.stamp(v.arrived_at())),
            ("event_kind.departed", self.stamp(v.departed_at())),
            ("export.work_minutes", v.work_ms().map(|ms| ms / Millis::MINUTE).into()),
            ("field.service_description", (&v.service_description.0).into()),
            ("field.diagnosis", (&v.diagnosis.0).into()),
            ("field.resolution", (&v.resolution.0).into()),
            ("field.outcome", self.word(v.outcome)),
            ("field.incomplete_reason", self.word(v.incomplete_reason)),
            ("field.remarks", (&v.remarks.0).into()),
            ("field.acceptance", v.acceptance.as_ref().map_or(Cell::Empty, |a| self.yes(a.accepted))),
            ("field.satisfaction", self.word(v.satisfaction)),
            ("field.dissatisfaction_reasons", reasons.join("; ").into()),
            ("field.customer_comment", (&v.customer_comment.0).into()),
            ("field.signature", v.signature.as_ref().map(|s| s.name.as_str()).into()),
            ("form.visit.signed_at", self.stamp(v.signature.as_ref().map(|s| s.mark.at))),
            ("field.signature_refused", refused.into()),
            ("field.receipts", v.collected().into()),
            ("field.expenses", spent.into()),
            ("export.photos", (v.photos.values().filter(|p| !p.removed).count() as i64).into()),
            ("export.flags", self.flags(&at.flags)),
            ("export.id", at.id()),
        ]
    }

    fn customer(&self, c: &Customer, at: &Context<'_>) -> Row {
        let contact = c.contacts.values().find(|x| !x.removed);
        let address = c.addresses.values().find(|x| !x.removed);
        let charged: Fen = c.charges.values().map(|x| x.amount).sum();
        vec![
            ("export.customer_code", (&c.code).into()),
            ("field.customer.name", (&c.name).into()),
            ("field.contact_name", contact.map(|x| &x.name).into()),
            ("field.contact_phone", contact.map(|x| &x.phone).into()),
            ("field.address", address.map(|x| &x.text).into()),
            ("field.project_completed", c.project_completed.into()),
            ("field.call_interval_days", c.call_interval_days.into()),
            ("field.next_call", at.due.map(|d| Zone::of(&self.settings).day(d)).into()),
            ("field.equipment", (c.equipment.values().filter(|e| !e.removed).count() as i64).into()),
            ("field.charges", charged.into()),
            ("field.customer.notes", (&c.notes.0).into()),
            ("export.id", at.id()),
        ]
    }

    fn machine(&self, c: &Customer, e: &Equipment) -> Row {
        let address = e.address.and_then(|a| c.addresses.get(&a)).or(c.addresses.values().find(|a| !a.removed));
        vec![
            ("export.customer_code", (&c.code).into()),
            ("field.customer.name", (&c.name).into()),
            ("field.model", (&e.model).into()),
            ("field.serial", (&e.serial).into()),
            ("field.equipment.name", (&e.name).into()),
            ("field.installed", e.installed.into()),
            ("field.warranty_until", warranty_until(e, &self.settings).into()),
            ("field.address", address.map(|a| &a.text).into()),
        ]
    }

    fn contract(&self, c: &Customer, k: &Contract) -> Row {
        let machine = k.equipment.and_then(|id| c.equipment.get(&id));
        vec![
            ("export.customer_code", (&c.code).into()),
            ("field.customer.name", (&c.name).into()),
            ("field.number", (&k.number).into()),
            ("field.kind", label(self.lang, k.kind).into()),
            ("field.from", k.from.into()),
            ("field.to", k.to.into()),
            ("field.serial", machine.map(|e| &e.serial).into()),
        ]
    }

    fn call(&self, f: &FollowUp, at: &Context<'_>) -> Row {
        vec![
            ("field.customer_name", at.title.clone().into()),
            ("field.due", f.due.into()),
            ("field.done", self.stamp(f.done.as_ref().map(|m| m.at))),
            ("export.by", self.people(f.done.as_ref().map(|m| &m.by))),
            ("field.follow_up.outcome", self.status(&["call_outcome", "status"], &at.status)),
            ("field.opinion", (&f.opinion.0).into()),
            ("field.analysis", (&f.analysis.0).into()),
            ("export.id", at.id()),
        ]
    }

    fn complaint(&self, c: &Complaint, at: &Context<'_>) -> Row {
        let order = at.above.filter(|a| matches!(a.entity, Entity::WorkOrder(_)));
        let settled = c.resolved.as_ref().or(c.dismissed.as_ref());
        vec![
            ("field.received", self.stamp(c.received)),
            ("field.customer_name", at.title.clone().into()),
            ("kind.work_order", order.map(|a| &a.number).into()),
            ("field.about", self.word(c.about)),
            ("field.staff", self.people(c.staff.iter())),
            ("field.description", (&c.description.0).into()),
            ("export.status", self.status(&["status"], &at.status)),
            ("field.resolved", settled.map(|r| r.reason.as_str()).into()),
            ("export.decided_at", self.stamp(settled.map(|r| r.at))),
            ("field.taken_by", self.people(&c.taken_by)),
            ("export.id", at.id()),
        ]
    }

    fn suggestion(&self, s: &Suggestion, at: &Context<'_>) -> Row {
        vec![
            ("field.title", (&s.title).into()),
            ("field.author", self.people(&s.author)),
            ("field.written", self.stamp(s.written.as_ref().map(|m| m.at))),
            ("field.text", (&s.text.0).into()),
            ("export.status", self.status(&["decision", "status"], &at.status)),
            ("export.id", at.id()),
        ]
    }

    fn staff(&self, s: &Staff, at: &Context<'_>) -> Row {
        let roles: Vec<&str> = s.roles.iter().map(|r| label(self.lang, *r)).collect();
        vec![
            ("field.code", (&s.code).into()),
            ("field.name", (&s.name).into()),
            ("field.phone", (&s.phone).into()),
            ("field.roles", roles.join("; ").into()),
            ("export.status", self.status(&["status"], &at.status)),
            ("export.id", at.id()),
        ]
    }

    fn proposal(&self, shown: Option<&super::appraisals::ProposalShown>) -> Row {
        let p = shown.map(|s| &s.proposal);
        let ruling = shown.and_then(|s| s.decision.as_ref()).and_then(|a: &Appraisal| a.decision.as_ref());
        let verdict = p.and_then(|p| serde_json::to_value(p.verdict).ok());
        let verdict = verdict.as_ref().and_then(|v| v.as_str()).unwrap_or_default();
        let evidence: Vec<String> = p
            .into_iter()
            .flat_map(|p| &p.evidence)
            .map(|e| {
                let fact = t(self.lang, &format!("evidence.{}", e.fact)).to_owned();
                match e.at {
                    Some(at) => {
                        format!("{fact} {}", messages::stamp(self.lang, &at, self.settings.utc_offset_minutes))
                    }
                    None => fact,
                }
            })
            .collect();
        vec![
            ("field.rule", self.word(p.map(|p| p.rule))),
            ("export.person", self.people(p.and_then(|p| p.staff.as_ref()))),
            ("export.quarter", p.and_then(|p| p.quarter).map(|q| q.to_string()).into()),
            ("export.subject", shown.and_then(|s| s.subject.as_ref()).map(|r| &r.summary.title).into()),
            ("export.verdict", self.status(&["export.verdict"], verdict)),
            ("export.provisional", p.map_or(Cell::Empty, |p| self.yes(p.provisional))),
            ("field.evidence", evidence.join("; ").into()),
            ("field.decision", self.word(ruling.map(|r| r.decision))),
            ("field.severities", self.word(ruling.and_then(|r| r.severity))),
            ("field.amount", ruling.map(|r| r.amount).into()),
            ("field.reason", ruling.map(|r| r.why.reason.as_str()).into()),
            ("export.decided_at", self.stamp(ruling.map(|r| r.why.at))),
            ("export.by", self.people(ruling.map(|r| &r.why.by))),
            ("export.changed_since", shown.map_or(Cell::Empty, |s| self.yes(s.changed_since))),
        ]
    }

    fn figure(&self, who: &str, name: FigureName, figure: Option<&Figure>) -> Row {
        let word = serde_json::to_value(name).ok();
        let word = word.as_ref().and_then(|v| v.as_str()).unwrap_or_default();
        let unit = match name.unit() {
            Unit::Share => "export.unit.share",
            Unit::Rate => "export.unit.rate",
            Unit::Milliseconds => "export.unit.hours",
            Unit::Fen => "export.unit.yuan",
        };
        // Times in hours and money in yuan, as people count them.
        let scaled = |n: i64| match name.unit() {
            Unit::Milliseconds => Cell::Real(n as f64 / 3_600_000.0),
            Unit::Fen => Cell::Money(Fen(n)),
            _ => Cell::Number(n),
        };
        let value = figure.and_then(|f| {
            let scale = if name.unit() == Unit::Milliseconds { 3_600_000.0 } else { 1.0 };
            Some(Cell::Real(f.value()? / scale))
        });
        // What is collected of what is due is money over money.
        let below = |n: i64| if name.unit() == Unit::Fen { Cell::Money(Fen(n)) } else { Cell::Number(n) };
        vec![
            ("export.person", who.into()),
            ("export.figure", t(self.lang, &format!("figure.{word}")).into()),
            ("export.value", value.unwrap_or(Cell::Empty)),
            ("export.numerator", figure.map_or(Cell::Empty, |f| scaled(f.numerator))),
            ("export.denominator", figure.map_or(Cell::Empty, |f| below(f.denominator))),
            ("export.unknown", figure.map(|f| f.unknown).into()),
            ("export.provisional", figure.map(|f| f.provisional).into()),
            ("export.unit", t(self.lang, unit).into()),
        ]
    }

    fn device(&self, d: Option<&super::devices::DeviceRow>) -> Row {
        let count = |n: Option<u64>| n.map(|n| i64::try_from(n).unwrap_or(i64::MAX));
        vec![
            ("field.code", d.map(|d| &d.code).into()),
            ("export.device", d.map(|d| &d.name).into()),
            ("export.person", self.people(d.map(|d| &d.staff))),
            ("export.app", d.map(|d| &d.app).into()),
            ("export.enrolled", self.time(d.map(|d| d.enrolled))),
            ("cli.last_contact", self.time(d.and_then(|d| d.contact))),
            ("cli.unsent", count(d.and_then(|d| d.unsent_changes)).into()),
            ("cli.photos_waiting", count(d.and_then(|d| d.unsent_blobs)).into()),
            ("cli.oldest_unsent", self.time(d.and_then(|d| d.oldest_unsent))),
            ("cli.refused_open", count(d.and_then(|d| d.refused)).into()),
            ("export.documents", count(d.and_then(|d| d.documents)).into()),
            ("export.offset_ms", d.and_then(|d| d.offset).into()),
            ("export.silent", d.map_or(Cell::Empty, |d| self.yes(d.silent))),
            ("export.revoked", self.time(d.and_then(|d| d.revoked))),
        ]
    }

    fn entry(&self, e: Option<&audit::Entry>) -> Row {
        let detail = e.map(|e| &e.entry.detail).filter(|d| !d.is_null()).map(ToString::to_string);
        vec![
            ("export.n", e.map(|e| i64::try_from(e.n).unwrap_or(i64::MAX)).into()),
            ("field.mark", self.time(e.map(|e| e.entry.at))),
            ("export.by", self.people(e.map(|e| &e.entry.by))),
            ("export.action", e.map(|e| &e.entry.action).into()),
            ("export.subject", e.map(|e| &e.entry.subject).into()),
            ("export.detail", detail.into()),
            ("export.hash", e.map(|e| e.hash.to_string()).into()),
        ]
    }
}

/// What a document hangs on.
struct Above {
    number: String,
    status: String,
    entity: Entity,
}

/// What a row needs beside its document's content.
#[derive(Default)]
struct Context<'a> {
    id: Option<DocRef>,
    number: String,
    title: String,
    status: String,
    people: Vec<StaffId>,
    flags: Vec<String>,
    due: Option<Millis>,
    above: Option<&'a Above>,
}

impl Context<'_> {
    fn id(&self) -> Cell {
        self.id.map(|d| d.id.to_string()).into()
    }
}

fn one(figures: &Figures, name: FigureName) -> &Figure {
    match name {
        FigureName::FirstTimeFix => &figures.first_time_fix,
        FigureName::RepeatVisits => &figures.repeat_visits,
        FigureName::OnTimeArrival => &figures.on_time_arrival,
        FigureName::Mttr => &figures.mttr,
        FigureName::TimeToRestore => &figures.time_to_restore,
        FigureName::Csat => &figures.csat,
        FigureName::AnswerRate => &figures.answer_rate,
        FigureName::ComplaintRate => &figures.complaint_rate,
        FigureName::CallsOnTime => &figures.calls_on_time,
        FigureName::Collection => &figures.collection,
        FigureName::StayVariance => &figures.stay_variance,
    }
}

/// A heading begins with a capital, where its script has some.
fn capital(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map_or_else(String::new, |first| first.to_uppercase().chain(rest).collect())
}

/// The list of this word.
///
/// # Errors
/// [`Error::NotFound`] where there is none.
pub fn list_of(word: &str) -> Result<List> {
    let found = List::ALL.into_iter().find(|l| l.word() == word);
    found.ok_or_else(|| Error::NotFound(format!("no list {:?}", word.chars().take(40).collect::<String>())))
}
