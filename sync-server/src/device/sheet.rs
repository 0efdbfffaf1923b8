//! A document as a person reads it: labels, names, money and times, no ids.

use super::Phone;
use super::show::{columns, delivery};
use onsite_core::domain::{
    Customer, DocId, DocRef, Entity, Fen, Kind, Mark, Photo, Reasoned, Request, StaffId, VisitId, WorkOrder,
    WorkOrderId, entitlement,
};
use onsite_core::engine::Detail;
use onsite_core::forms;
use onsite_core::messages::{self, Language, Words, label, t, tf};
use std::borrow::Cow;
use std::fmt::Write as _;

/// Label and value lines, the values in one column; lines of a value go below each other.
pub(super) fn fields(rows: &[(String, String)]) -> String {
    let widest = rows.iter().map(|(name, _)| columns(name)).max().unwrap_or(0);
    let mut out = String::new();
    for (name, value) in rows {
        let mut lines = value.trim_end().lines();
        let pad = " ".repeat(widest - columns(name) + 2);
        let _ = writeln!(out, "  {name}{pad}{}", lines.next().unwrap_or_default());
        for line in lines {
            let _ = writeln!(out, "  {}{line}", " ".repeat(widest + 2));
        }
    }
    out
}

/// A document's parts: fields under its heading, then sections.
struct Sheet<'a> {
    words: Words<'a>,
    rows: Vec<(String, String)>,
    sections: Vec<(String, Vec<String>)>,
}

impl Sheet<'_> {
    /// A field, unless it is empty; `key` is a message's key.
    fn put(&mut self, key: &str, value: impl Into<String>) {
        let value = value.into();
        if !value.trim().is_empty() {
            self.rows.push((heading(self.words.lang, key), value));
        }
    }

    fn money(&mut self, key: &str, value: Fen) {
        if value != Fen(0) {
            self.put(key, format!("¥ {value}"));
        }
    }

    fn mark(&mut self, key: &str, mark: Option<&Mark>) {
        if let Some(m) = mark {
            let said = self.marked(m);
            self.put(key, said);
        }
    }

    fn reasoned(&mut self, key: &str, why: Option<&Reasoned>) {
        if let Some(r) = why {
            let said = format!("{}  {} {}", r.reason, self.words.name(r.by), self.words.stamp(&r.at));
            self.put(key, said);
        }
    }

    fn marked(&self, m: &Mark) -> String {
        format!("{} {}", self.words.name(m.by), self.words.stamp(&m.at))
    }

    /// A section, unless it is empty.
    fn section(&mut self, key: &str, lines: Vec<String>) {
        if !lines.is_empty() {
            self.sections.push((heading(self.words.lang, key), lines));
        }
    }

    fn photos<'p>(&mut self, photos: impl Iterator<Item = &'p Photo>) {
        let mut lines = Vec::new();
        for p in photos.filter(|p| !p.removed) {
            let check = p.check.as_ref().map(|c| messages::path(self.words.lang, Kind::Visit, &format!("checks/{c}")));
            let size = crate::term::bytes(u64::try_from(p.size).unwrap_or(0));
            let taken = p.taken.as_ref().map(|m| self.marked(m)).unwrap_or_default();
            lines.push(join([p.caption.clone(), check.unwrap_or_default(), size, taken]));
        }
        self.section("form.visit.photos", lines);
    }

    fn list(&self, items: impl IntoIterator<Item = String>) -> String {
        let comma = if self.words.lang == Language::ZhCn { "、" } else { ", " };
        items.into_iter().filter(|i| !i.is_empty()).collect::<Vec<_>>().join(comma)
    }
}

/// A message that begins a line: with a capital.
fn heading(lang: Language, key: &str) -> String {
    let mut chars = t(lang, key).chars();
    chars.next().map(|c| c.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// What is not empty, two blanks between.
fn join(parts: impl IntoIterator<Item = String>) -> String {
    parts.into_iter().filter(|p| !p.trim().is_empty()).collect::<Vec<_>>().join("  ")
}

impl Phone {
    /// A document's sheet, with its heading.
    pub(super) fn sheet(&self, d: &Detail) -> String {
        let names = |id: StaffId| self.name(id);
        let mut sheet = Sheet { words: self.words(&names), rows: Vec::new(), sections: Vec::new() };
        let s = &d.summary;
        let stage = match d.stage {
            Some(stage) => self.stage_name(Some(stage)),
            None => self.word(s.doc.kind, &s.status),
        };
        sheet.put("cli.stage", stage);
        sheet.put("cli.delivery", delivery(self.lang, d.delivery));
        match &d.entity {
            Entity::WorkOrder(order) => self.order_sheet(d, order, &mut sheet),
            Entity::Visit(_) => self.visit_sheet(d, &mut sheet),
            Entity::Customer(c) => self.customer_sheet(d, c, &mut sheet),
            Entity::Request(r) => self.request_sheet(r, &mut sheet),
            other => self.small_sheet(other, &mut sheet),
        }
        let number = if s.doc.kind == Kind::Appraisal { "" } else { s.number.as_str() };
        let mut out = join([label(self.lang, s.doc.kind).to_owned(), number.to_owned(), s.title.clone()]);
        out.push('\n');
        out.push_str(&fields(&sheet.rows));
        for (heading, lines) in sheet.sections {
            let _ = writeln!(out, "{heading}");
            for line in lines {
                let _ = writeln!(out, "  {}", line.replace('\n', "\n    "));
            }
        }
        out
    }

    fn customer(&self, id: Option<impl Into<DocId>>) -> Option<Customer> {
        match self.entity(DocRef::new(Kind::Customer, id?)) {
            Some(Entity::Customer(c)) => Some(c),
            _ => None,
        }
    }

    /// 客户属性 with what decided it.
    fn entitled(&self, d: &Detail, customer: Option<&Customer>) -> String {
        let Some(e) = &d.entitlement else { return String::new() };
        let mut said = label(self.lang, e.entitlement).to_owned();
        let contract = e.contract.and_then(|id| customer?.contracts.get(&id)).map(|c| c.number.clone());
        let why = match (e.warranty_until, contract, &e.overridden) {
            (_, _, Some(reason)) => tf(self.lang, "form.visit.entitlement_override", &[("reason", reason)]),
            (Some(day), _, _) => format!("{} {day}", t(self.lang, "field.warranty_until")),
            (_, Some(number), _) => format!("{} {number}", t(self.lang, "field.contracts")),
            _ => String::new(),
        };
        if !why.is_empty() {
            let _ = write!(said, " ({why})");
        }
        said
    }

    fn machine(customer: Option<&Customer>, id: Option<onsite_core::domain::ItemId>) -> String {
        let machine = id.and_then(|id| customer?.equipment.get(&id));
        machine.map(|m| join([m.name.clone(), m.model.clone(), m.serial.clone()])).unwrap_or_default()
    }

    fn order_sheet(&self, d: &Detail, order: &WorkOrder, sheet: &mut Sheet<'_>) {
        let customer = self.customer(order.customer);
        let visits: Vec<_> = d
            .visits
            .iter()
            .filter_map(|id| match self.entity(DocRef::new(Kind::Visit, *id)) {
                Some(Entity::Visit(v)) => Some((*id, Cow::Owned(v))),
                _ => None,
            })
            .collect();
        let form = forms::dispatch_data(order, &visits, sheet.words.names, &self.settings());
        sheet.put("form.visit.reported_at", order.reported.map(|at| sheet.words.stamp(&at)).unwrap_or_default());
        sheet.put("form.visit.entitlement", self.entitled(d, customer.as_ref()));
        sheet.put("field.equipment", Self::machine(customer.as_ref(), order.equipment));
        sheet.put("form.visit.contact_name", form.contact_name);
        sheet.put("form.dispatch.contact_phone", form.contact_phone);
        sheet.put("form.dispatch.service_address", form.service_address);
        sheet.put("field.work_type", form.work_type.map(|w| label(self.lang, w)).unwrap_or_default());
        sheet.put("form.dispatch.service_description", form.service_description);
        sheet.put("field.arrival_deadline", order.arrival_deadline.map(|at| self.clock(at)).unwrap_or_default());
        sheet.put("field.planned_start", order.planned_start.map(|at| self.clock(at)).unwrap_or_default());
        let mut people = form.technicians;
        if let Some(first) = people.first_mut().filter(|_| order.current_technicians().len() > 1) {
            let _ = write!(first, " ({})", t(self.lang, "form.dispatch.lead"));
        }
        sheet.put("form.dispatch.technicians", sheet.list(people));
        let stay = form.expected_stay_minutes.map(|m| forms::stay(self.lang, m));
        sheet.put("form.dispatch.expected_stay", stay.unwrap_or_default());
        sheet.money("form.dispatch.cash_advance", form.cash_advance);
        sheet.mark("field.advance_paid", order.advance_paid.as_deref());
        sheet.money("form.dispatch.balance_to_collect", form.balance_to_collect);
        if form.collected != Fen(0) {
            let (got, left) = (form.collected.to_string(), (form.balance_to_collect - form.collected).to_string());
            let said = tf(self.lang, "form.dispatch.collected", &[("collected", &got), ("remaining", &left)]);
            sheet.put("form.visit.receipts", said);
        }
        sheet.put("form.dispatch.remarks", form.remarks);
        sheet.put("field.follow_on_of", self.other(Kind::WorkOrder, order.follow_on_of));
        sheet.put("field.request", self.other(Kind::Request, order.request));
        sheet.reasoned("field.cancelled", order.cancelled.as_deref());
        if let Some(f) = &order.feedback {
            let solved = t(self.lang, if f.solved { "value.solved" } else { "value.unsolved" });
            sheet.put("field.feedback", format!("{solved}: {}  {}", f.problem, sheet.marked(&f.mark)));
        }
        sheet.mark("field.closed", order.closed.as_deref());
        sheet.mark("field.archived", order.archived.as_deref());
        let counts = [
            ("form.dispatch.item_required", 0),
            ("form.dispatch.item_issued", 1),
            ("form.dispatch.item_used", 2),
            ("form.dispatch.item_returned", 3),
        ];
        let items = form.items.iter().map(|i| {
            let n = [i.required, i.issued, i.used, i.returned];
            let counted = counts.map(|(key, at)| format!("{} {}", t(self.lang, key), n[at]));
            join([i.name.clone(), i.part_no.clone(), counted.join("  "), i.unit.clone()])
        });
        sheet.section("form.dispatch.items", items.collect());
        let signed = form.signoffs.iter().map(|s| {
            let state = match (s.at, s.voided) {
                (None, _) => t(self.lang, "value.waiting").to_owned(),
                (Some(at), true) => {
                    let void = (t(self.lang, "form.voided"), t(self.lang, "form.voided_why"));
                    format!("{} {}  {}: {}", s.name, sheet.words.stamp(&at), void.0, void.1)
                }
                (Some(at), false) => format!("{} {}", s.name, sheet.words.stamp(&at)),
            };
            format!("{}  {state}", label(self.lang, s.role))
        });
        if order.dispatch.issued.is_some() {
            sheet.section("field.signoffs", signed.collect());
        }
        let ended = order.assignments.values().filter_map(|a| {
            let (who, ended) = (a.technician?, a.ended.as_ref()?);
            let by = format!("{} {}", sheet.words.name(ended.by), sheet.words.stamp(&ended.at));
            Some(join([sheet.words.name(who), ended.reason.clone(), by]))
        });
        sheet.section("cli.taken_off", ended.collect());
        let moved =
            order.returned_machine.iter().map(|(step, m)| join([label(self.lang, *step).into(), sheet.marked(m)]));
        sheet.section("field.returned_machine", moved.collect());
        let visits = d.visits.iter().map(|id| self.visit_line(*id, &sheet.words));
        sheet.section("kind.visit", visits.collect());
    }

    /// A visit in a line of its work order.
    fn visit_line(&self, id: VisitId, words: &Words<'_>) -> String {
        let Ok(d) = self.engine().show(DocRef::new(Kind::Visit, id)) else { return String::new() };
        let arrived = match &d.entity {
            Entity::Visit(v) => {
                let first = v.events.values().filter(|e| e.kind == onsite_core::domain::EventKind::Arrived);
                first.min_by_key(|e| e.mark.at.best()).map(|e| words.stamp(&e.mark.at))
            }
            _ => None,
        };
        let arrived = arrived.map(|at| format!("{} {at}", t(self.lang, "event_kind.arrived")));
        join([d.summary.number.clone(), self.stage_name(d.stage), arrived.unwrap_or_default()])
    }

    /// Another document, as people call it; empty where it is not on this phone.
    fn other(&self, kind: Kind, id: Option<impl Into<DocId>>) -> String {
        let Some(id) = id else { return String::new() };
        match self.engine().show(DocRef::new(kind, id)) {
            Ok(d) => join([d.summary.number, d.summary.title]),
            Err(_) => String::new(),
        }
    }

    fn visit_sheet(&self, d: &Detail, sheet: &mut Sheet<'_>) {
        let Entity::Visit(v) = &d.entity else { return };
        let order = v.work_order.and_then(|id: WorkOrderId| self.order(id).ok().flatten());
        let request = v.request.or(order.as_ref().and_then(|o| o.request));
        let request: Option<Request> = match request.and_then(|id| self.entity(DocRef::new(Kind::Request, id))) {
            Some(Entity::Request(r)) => Some(r),
            _ => None,
        };
        let customer = order.as_ref().and_then(|o| o.customer).or(request.as_ref().and_then(|r| r.customer));
        let customer = self.customer(customer);
        let (id, settings) = (d.summary.doc.id.into(), self.settings());
        let f =
            forms::visit_data(id, v, order.as_ref(), request.as_ref(), customer.as_ref(), sheet.words.names, &settings);
        sheet.put("field.work_order", self.other(Kind::WorkOrder, v.work_order));
        sheet.put("field.request", self.other(Kind::Request, v.request));
        sheet.put("form.visit.contact_name", f.contact_name);
        sheet.put("form.visit.contact_phone", f.contact_phone);
        sheet.put("form.visit.service_address", f.service_address);
        sheet.put("form.visit.reported_at", f.reported_at.map(|at| sheet.words.stamp(&at)).unwrap_or_default());
        sheet.put("form.visit.entitlement", self.entitled(d, customer.as_ref()));
        let machine = order.as_ref().and_then(|o| o.equipment).or(request.as_ref().and_then(|r| r.equipment));
        sheet.put("field.equipment", Self::machine(customer.as_ref(), machine));
        sheet.put("form.visit.technicians", sheet.list(f.technicians));
        sheet.put("form.visit.service_description", f.service_description);
        sheet.put("form.visit.diagnosis", f.diagnosis);
        sheet.put("form.visit.resolution", f.resolution);
        let reason = f.incomplete_reason.filter(|_| f.outcome == Some(onsite_core::domain::Outcome::Incomplete));
        let outcome = f.outcome.map(|o| label(self.lang, o).to_owned());
        sheet.put("form.visit.outcome", join([outcome.unwrap_or_default(), words_of(self.lang, reason)]));
        sheet.put("form.visit.remarks", f.remarks);
        if let Some((accepted, remark)) = f.acceptance {
            let said = t(self.lang, if accepted { "form.visit.accepted_yes" } else { "form.visit.accepted_no" });
            sheet.put("field.acceptance", join([said.to_owned(), remark]));
        }
        let reasons = sheet.list(f.dissatisfaction_reasons.iter().map(|r| label(self.lang, *r).to_owned()));
        sheet.put("field.satisfaction", join([words_of(self.lang, f.satisfaction), reasons]));
        sheet.put("field.customer_comment", f.customer_comment);
        if let Some(s) = f.signature {
            let void = if s.voided {
                format!("{}: {}", t(self.lang, "form.voided"), t(self.lang, "form.voided_why"))
            } else {
                String::new()
            };
            sheet.put("form.visit.signature", join([s.name, sheet.words.stamp(&s.at), void]));
        }
        if let Some((reason, at)) = f.refused {
            let said = tf(self.lang, "form.visit.signature_refused", &[("reason", &reason)]);
            sheet.put("form.visit.signature", join([said, sheet.words.stamp(&at)]));
        }
        let events =
            f.events.iter().map(|e| join([sheet.words.stamp(&e.at), label(self.lang, e.kind).into(), e.by.clone()]));
        sheet.section("form.visit.times", events.collect());
        let checks = f.checks.iter().map(|c| {
            let name = if self.lang == Language::ZhCn { &c.label } else { &c.label_en };
            let result = c.result.map_or(t(self.lang, "value.empty"), |r| label(self.lang, r));
            join([name.clone(), result.to_owned(), c.note.clone()])
        });
        sheet.section("form.visit.checks", checks.collect());
        let parts = f.parts.iter().map(|p| {
            let count = |key: &str, n: i64| match n {
                0 => String::new(),
                n => format!("{} {n} {}", t(self.lang, key), p.unit),
            };
            let counts = [count("form.dispatch.item_used", p.used), count("form.visit.taken_back", p.taken_back)];
            join([p.name.clone(), p.part_no.clone()].into_iter().chain(counts))
        });
        sheet.section("form.visit.parts", parts.collect());
        let mut notes: Vec<_> = v.notes.values().collect();
        notes.sort_by_key(|n| n.mark.at.best());
        let notes = notes
            .into_iter()
            .map(|n| join([sheet.words.stamp(&n.mark.at), sheet.words.name(n.mark.by), n.text.clone()]));
        sheet.section("field.notes", notes.collect());
        let mut contacts: Vec<_> = v.contacts.values().collect();
        contacts.sort_by_key(|c| c.mark.at.best());
        let contacts = contacts.into_iter().map(|c| {
            let how = label(self.lang, c.channel).to_owned();
            join([sheet.words.stamp(&c.mark.at), sheet.words.name(c.mark.by), how, c.with.clone(), c.summary.clone()])
        });
        sheet.section("field.visit.contacts", contacts.collect());
        let money = f.receipts.iter().map(|r| {
            let how = label(self.lang, r.method).to_owned();
            join([format!("¥ {}", r.amount), how, r.reference.clone(), sheet.words.stamp(&r.at)])
        });
        sheet.section("form.visit.receipts", money.collect());
        let spent = v.expenses.values().map(|e| {
            let what = label(self.lang, e.category).to_owned();
            join([format!("¥ {}", e.amount), what, e.note.clone(), sheet.marked(&e.mark)])
        });
        sheet.section("field.expenses", spent.collect());
        sheet.photos(v.photos.values());
    }

    fn customer_sheet(&self, d: &Detail, c: &Customer, sheet: &mut Sheet<'_>) {
        sheet.put("field.project_completed", c.project_completed.map(|d| d.to_string()).unwrap_or_default());
        sheet.put("field.call_interval_days", c.call_interval_days.map(|n| n.to_string()).unwrap_or_default());
        let call = d.summary.due.map(|at| onsite_core::domain::Zone::of(&self.settings()).day(at).to_string());
        sheet.put("field.next_call", call.unwrap_or_default());
        let owed: Fen = c.charges.values().map(|x| x.amount).sum();
        sheet.money("field.charges", owed);
        sheet.put("field.customer.notes", c.notes.0.clone());
        let contacts = c.contacts.values().filter(|x| !x.removed);
        let contacts = contacts.map(|x| join([x.name.clone(), x.phone.clone(), x.position.clone()]));
        sheet.section("field.contacts", contacts.collect());
        let places = c.addresses.values().filter(|x| !x.removed);
        sheet.section("field.addresses", places.map(|x| join([x.label.clone(), x.text.clone()])).collect());
        let settings = self.settings();
        let machines = c.equipment.values().filter(|x| !x.removed).map(|m| {
            let until = entitlement::warranty_until(m, &settings);
            let until = until.map(|day| format!("{} {day}", t(self.lang, "field.warranty_until")));
            join([m.name.clone(), m.model.clone(), m.serial.clone(), until.unwrap_or_default()])
        });
        sheet.section("field.equipment", machines.collect());
        let contracts = c.contracts.values().filter(|x| !x.removed).map(|k| {
            let (from, to) = (k.from.map(|d| d.to_string()), k.to.map(|d| d.to_string()));
            let span = format!("{} – {}", from.unwrap_or_default(), to.unwrap_or_default());
            join([label(self.lang, k.kind).to_owned(), k.number.clone(), span])
        });
        sheet.section("field.contracts", contracts.collect());
    }

    fn request_sheet(&self, r: &Request, sheet: &mut Sheet<'_>) {
        let customer = self.customer(r.customer);
        sheet.put("field.provisional_number", r.provisional_number.clone());
        sheet.put("form.visit.reported_at", r.reported.map(|at| sheet.words.stamp(&at)).unwrap_or_default());
        sheet.put("field.author", r.author.map(|id| sheet.words.name(id)).unwrap_or_default());
        sheet.put("field.contact_name", r.contact_name.clone());
        sheet.put("field.contact_phone", r.contact_phone.clone());
        sheet.put("field.address", r.address.clone());
        sheet.put("field.equipment", Self::machine(customer.as_ref(), r.equipment));
        sheet.put("field.problem", r.problem.0.clone());
        sheet.reasoned("field.withdrawn", r.withdrawn.as_deref());
        sheet.photos(r.photos.values());
    }

    /// The kinds of a few fields.
    fn small_sheet(&self, entity: &Entity, sheet: &mut Sheet<'_>) {
        match entity {
            Entity::Staff(s) => {
                sheet.put("field.phone", s.phone.clone());
                sheet.put("field.roles", sheet.list(s.roles.iter().map(|r| label(self.lang, *r).to_owned())));
                sheet.reasoned("field.left", s.left.as_deref());
            }
            Entity::Complaint(c) => {
                sheet.put("field.work_order", self.other(Kind::WorkOrder, c.work_order));
                sheet.put("field.about", words_of(self.lang, c.about));
                sheet.put("field.description", c.description.0.clone());
                sheet.put("field.received", c.received.map(|at| sheet.words.stamp(&at)).unwrap_or_default());
                sheet.put("field.staff", sheet.list(c.staff.iter().map(|id| sheet.words.name(*id))));
                sheet.reasoned("field.resolved", c.resolved.as_deref());
                sheet.reasoned("field.dismissed", c.dismissed.as_deref());
            }
            Entity::Statement(s) => {
                sheet.put("field.complaint", self.other(Kind::Complaint, s.complaint));
                sheet.put("field.proposal", s.proposal.as_deref().map(|p| self.proposal(p)).unwrap_or_default());
                sheet.put("field.text", s.text.0.clone());
                sheet.mark("field.written", s.written.as_deref());
            }
            Entity::Suggestion(s) => {
                sheet.put("field.text", s.text.0.clone());
                sheet.put("field.work_order", self.other(Kind::WorkOrder, s.work_order));
                sheet.mark("field.written", s.written.as_deref());
            }
            Entity::Appraisal(a) => {
                sheet.put("field.rule", words_of(self.lang, a.rule));
                sheet.put("field.suggestion", self.other(Kind::Suggestion, a.suggestion));
                if let Some(d) = &a.decision {
                    sheet.put(
                        "field.decision",
                        join([label(self.lang, d.decision).into(), words_of(self.lang, d.severity)]),
                    );
                    sheet.money("field.amount", d.amount);
                    sheet.reasoned("field.reason", Some(&d.why));
                }
            }
            Entity::FollowUp(f) => {
                sheet.put("field.due", f.due.map(|d| d.to_string()).unwrap_or_default());
                sheet.mark("field.done", f.done.as_deref());
                sheet.put("field.opinion", f.opinion.0.clone());
                sheet.put("field.analysis", f.analysis.0.clone());
            }
            Entity::Settings(s) => {
                for (key, n) in [
                    ("field.arrival_hours", s.arrival_hours),
                    ("field.communication_hours", s.communication_hours),
                    ("field.call_interval_days", s.call_interval_days),
                    ("field.warranty_months", s.warranty_months),
                    ("field.doubtful_minutes", s.doubtful_minutes),
                    ("field.repeat_days", s.repeat_days),
                ] {
                    sheet.put(key, n.to_string());
                }
                let lines = s.checklist.values().filter(|c| !c.dropped);
                let lines =
                    lines.map(|c| if self.lang == Language::ZhCn { c.label.clone() } else { c.label_en.clone() });
                sheet.section("field.checklist", lines.collect());
                let parts = s
                    .parts
                    .iter()
                    .map(|(no, p)| join([no.clone(), p.name.clone(), format!("¥ {} / {}", p.price, p.unit)]));
                sheet.section("field.parts", parts.collect());
            }
            _ => {}
        }
    }

    /// A proposal's rule, by its key.
    fn proposal(&self, key: &str) -> String {
        let key = key.parse::<onsite_core::domain::appraisal::Key>();
        key.map_or_else(|e| e.0, |k| label(self.lang, k.rule()).to_owned())
    }
}

/// A word's name, or nothing.
fn words_of(lang: Language, word: Option<impl messages::Labelled>) -> String {
    word.map(|w| label(lang, w).to_owned()).unwrap_or_default()
}
