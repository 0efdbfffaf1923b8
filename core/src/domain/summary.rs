//! What lists show of a document: one row, the same on phone and server.

use super::stage::{Stage, job_visits, next_call, request_stage, stage, visit_stage};
use super::{
    Appraisal, Complaint, Customer, CustomerId, DocId, DocRef, Entity, FollowUp, ItemId, Kind, Millis, Outcome,
    Request, RequestId, ReturnStep, SignoffRole, Staff, StaffId, Suggestion, Visit, VisitId, WorkOrder, WorkOrderId,
    World, WorldExt, Zone, forms_content,
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeSet;

#[cfg(test)]
mod tests;

/// The row of a list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Summary {
    /// The document.
    pub doc: DocRef,
    /// What it hangs on (see [`parent`]).
    pub parent: Option<DocId>,
    /// Final number, or provisional while there is none; empty for kinds without.
    pub number: String,
    /// The line's head, such as the customer's name.
    pub title: String,
    /// The line's second line, such as the service description's beginning.
    pub subtitle: String,
    /// The stage's or state's word; empty for kinds without.
    pub status: String,
    /// When it is due or planned: what lists sort by.
    pub due: Option<Millis>,
    /// Whom it concerns: assigned technicians, an author.
    pub people: Vec<StaffId>,
    /// Keys of contradictions, voided signatures and other things the office should see.
    pub flags: Vec<String>,
    /// All words it is found by, blank-separated: numbers, names, phones, texts.
    pub search: String,
}

/// Flags of rows besides the keys of contradictions (which the messages have under their names):
/// each alone or with what it concerns behind a colon.
pub const FLAGS: &[&str] = &["follow_on_missing", "opinion_open", "signature_voided", "signoff_voided"];

/// What a document hangs on: a visit on its work order (or request), a work
/// order and a request on their customer, and so on.
pub fn parent(entity: &Entity) -> Option<DocId> {
    match entity {
        Entity::Visit(v) => v.work_order.map(Into::into).or(v.request.map(Into::into)),
        Entity::WorkOrder(w) => w.customer.map(Into::into),
        Entity::Request(r) => r.customer.map(Into::into),
        Entity::FollowUp(f) => f.customer.map(Into::into),
        Entity::Complaint(c) => c.work_order.map(Into::into).or(c.customer.map(Into::into)),
        Entity::Statement(s) => s.complaint.map(Into::into),
        Entity::Suggestion(s) => s.work_order.map(Into::into),
        Entity::Appraisal(a) => a.suggestion.map(Into::into).or(a.staff.map(Into::into)),
        Entity::Staff(_) | Entity::Settings(_) | Entity::Customer(_) => None,
    }
}

/// Whether this is a work order that names a request, and so answers it.
pub fn answers(entity: &Entity, request: RequestId) -> bool {
    matches!(entity, Entity::WorkOrder(w) if w.request == Some(request))
}

/// Stands for every member of staff among [`readers`].
pub const EVERYBODY: StaffId = StaffId(uuid::Uuid::nil());

/// The work order that answers a request: one not cancelled before one that
/// is, then the first opened.
pub fn answering<'a>(request: RequestId, world: &'a dyn World) -> Option<(WorkOrderId, Cow<'a, WorkOrder>)> {
    naming(request, world).into_iter().min_by_key(|(o, w)| (w.cancelled.is_some(), *o))
}

/// Every work order that names a request.
fn naming<'a>(request: RequestId, world: &'a dyn World) -> Vec<(WorkOrderId, Cow<'a, WorkOrder>)> {
    let orders = world.answers(request).into_iter().filter_map(|o| Some((o, world.get::<WorkOrder>(o)?)));
    orders.filter(|(_, w)| w.request == Some(request)).collect()
}

/// The job a visit belongs to: its work order, or for an unplanned visit the
/// one that answers its request.
pub fn order_of<'a>(visit: &Visit, world: &'a dyn World) -> Option<(WorkOrderId, Cow<'a, WorkOrder>)> {
    match (visit.work_order, visit.request) {
        (Some(id), _) => world.get(id).map(|w| (id, w)),
        (None, Some(id)) => answering(id, world),
        (None, None) => None,
    }
}

/// The rows that change when this document does, besides its own: a visit
/// changes its work order's stage, a work order its visits' numbers. `world`
/// already holds the new content. Not recursive: re-project just these.
pub fn touches(doc: DocRef, entity: &Entity, world: &dyn World) -> Vec<DocRef> {
    let mut rows = BTreeSet::new();
    match entity {
        Entity::Visit(_) if crate::planted::on(crate::planted::Bug::StageStored) => {}
        Entity::Visit(v) => {
            let order = order_of(v, world);
            let request = v.request.or(order.as_ref().and_then(|(_, w)| w.request));
            rows.extend(v.work_order.or(order.map(|(id, _)| id)).map(|id| DocRef::new(Kind::WorkOrder, id)));
            rows.extend(request.map(|id| DocRef::new(Kind::Request, id)));
            // An unplanned visit counts for whoever names its request.
            if let (None, Some(id)) = (v.work_order, v.request) {
                rows.extend(naming(id, world).into_iter().map(|(id, _)| DocRef::new(Kind::WorkOrder, id)));
            }
        }
        Entity::WorkOrder(w) => {
            // What it goes on from lacks a follow-on no more.
            rows.extend(w.follow_on_of.map(|id| DocRef::new(Kind::WorkOrder, id)));
            rows.extend(world.children(Kind::Visit, doc.id).into_iter().map(|id| DocRef::new(Kind::Visit, id)));
            if let Some(request) = w.request {
                rows.insert(DocRef::new(Kind::Request, request));
                let unplanned = world.children(Kind::Visit, request.into());
                rows.extend(unplanned.into_iter().map(|id| DocRef::new(Kind::Visit, id)));
            }
        }
        Entity::Request(_) => {
            rows.extend(world.children(Kind::Visit, doc.id).into_iter().map(|id| DocRef::new(Kind::Visit, id)));
            // A job without a number of its own shows the request's.
            let orders = naming(doc.id.into(), world);
            rows.extend(orders.into_iter().map(|(id, _)| DocRef::new(Kind::WorkOrder, id)));
        }
        Entity::FollowUp(f) => rows.extend(f.customer.map(|id| DocRef::new(Kind::Customer, id))),
        Entity::Appraisal(a) => rows.extend(a.suggestion.map(|id| DocRef::new(Kind::Suggestion, id))),
        _ => {}
    }
    rows.remove(&doc);
    rows.into_iter().collect()
}

/// Most documents of a kind that [`retitled`] looks at: the newest.
const RETITLED: usize = 200;

/// The rows whose title is a customer's name, for when it has changed: jobs not dispatched yet, requests that
/// name nobody else, visits, calls and complaints; of each kind the newest.
pub fn retitled(doc: DocRef, world: &dyn World) -> Vec<DocRef> {
    if doc.kind != Kind::Customer {
        return Vec::new();
    }
    let newest = |kind| world.children(kind, doc.id).into_iter().rev().take(RETITLED);
    let under = |kind, of: DocId| world.children(kind, of).into_iter().map(move |id| DocRef::new(kind, id));
    let mut rows: Vec<DocRef> = newest(Kind::FollowUp).map(|id| DocRef::new(Kind::FollowUp, id)).collect();
    rows.extend(newest(Kind::Complaint).map(|id| DocRef::new(Kind::Complaint, id)));
    for id in newest(Kind::WorkOrder) {
        // Form 1 keeps the name it was issued with.
        if world.get::<WorkOrder>(id).is_some_and(|w| w.dispatch.customer_name.trim().is_empty()) {
            rows.push(DocRef::new(Kind::WorkOrder, id));
            rows.extend(under(Kind::Visit, id));
        }
        rows.extend(under(Kind::Complaint, id));
    }
    for id in newest(Kind::Request) {
        if world.get::<Request>(id).is_some_and(|r| r.customer_name.trim().is_empty()) {
            rows.push(DocRef::new(Kind::Request, id));
        }
        rows.extend(under(Kind::Visit, id));
    }
    rows
}

/// Who reads a document of their own account, and which documents share readers with it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ties {
    /// Who reads it by its own content; [`EVERYBODY`] for all.
    pub readers: BTreeSet<StaffId>,
    /// Documents whose readers read this one too.
    pub under: BTreeSet<DocId>,
    /// Documents that this one's readers read too.
    pub over: BTreeSet<DocId>,
}

/// What a document's content alone says about who reads what: the one truth
/// of it. All documents' ties together are [`readers`]; a server keeps them as
/// links, and never has to search.
pub fn ties(entity: &Entity) -> Ties {
    let mut t = Ties::default();
    match entity {
        Entity::Staff(_) | Entity::Settings(_) => t.readers.extend([EVERYBODY]),
        Entity::WorkOrder(w) => {
            t.readers = w.ever_assigned();
            t.over.extend(w.customer.map(DocId::from));
            t.over.extend(w.request.map(DocId::from));
            // The visit may be there before its request is.
            t.over.extend(w.request.map(|r| DocId::from(VisitId::of_request(r))));
        }
        Entity::Visit(v) => {
            t.under.extend(v.work_order.map(DocId::from));
            t.under.extend(v.request.map(DocId::from));
        }
        Entity::Request(r) => t.readers.extend(r.author),
        Entity::Customer(_) | Entity::FollowUp(_) => {}
        Entity::Complaint(c) => t.readers.extend(c.staff.iter().copied()),
        Entity::Statement(s) => t.readers.extend(s.author),
        Entity::Suggestion(s) => t.readers.extend(s.author),
        Entity::Appraisal(a) => {
            t.readers.extend(a.staff);
            // Whom it concerns is the suggestion's author, also where the decision does not say.
            t.under.extend(a.suggestion.map(DocId::from));
        }
    }
    t
}

/// Who must have this document on their phone ([`EVERYBODY`] for staff and
/// settings): whoever a work order ever assigned has it, its visits, its
/// customer and its request; an author what they wrote; a person what is
/// decided or said about them. The meaning of [`ties`], by searching.
pub fn readers(doc: DocRef, entity: &Entity, world: &dyn World) -> BTreeSet<StaffId> {
    match entity {
        Entity::Staff(_) | Entity::Settings(_) => [EVERYBODY].into(),
        Entity::WorkOrder(w) => w.ever_assigned(),
        Entity::Visit(v) => {
            let mut who = order_of(v, world).map(|(_, w)| w.ever_assigned()).unwrap_or_default();
            if let (None, Some(request)) = (v.work_order, v.request) {
                who.extend(world.get::<Request>(request).and_then(|r| r.author));
            }
            who
        }
        Entity::Customer(_) => {
            let orders = world.children(Kind::WorkOrder, doc.id);
            orders.into_iter().filter_map(|id| world.get::<WorkOrder>(id)).flat_map(|w| w.ever_assigned()).collect()
        }
        Entity::Request(r) => {
            let mut who = answering(doc.id.into(), world).map(|(_, w)| w.ever_assigned()).unwrap_or_default();
            who.extend(r.author);
            who
        }
        Entity::FollowUp(_) => BTreeSet::new(),
        Entity::Complaint(c) => c.staff.iter().copied().collect(),
        Entity::Statement(s) => s.author.into_iter().collect(),
        Entity::Suggestion(s) => s.author.into_iter().collect(),
        Entity::Appraisal(a) => {
            let author = a.suggestion.and_then(|id| world.get::<Suggestion>(id)).and_then(|s| s.author);
            a.staff.into_iter().chain(author).collect()
        }
    }
}

/// Projects a document to its row.
pub fn summary(doc: DocRef, entity: &Entity, world: &dyn World, now: Millis) -> Summary {
    let row = Summary {
        doc,
        parent: parent(entity),
        number: String::new(),
        title: String::new(),
        subtitle: String::new(),
        status: String::new(),
        due: None,
        people: Vec::new(),
        flags: Vec::new(),
        search: String::new(),
    };
    let mut words = Words::default();
    let mut row = match entity {
        Entity::Staff(s) => {
            words.add([&s.name, &s.code, &s.phone]);
            let status = if s.left.is_some() { "left" } else { "active" };
            Summary {
                number: s.code.clone(),
                title: s.name.clone(),
                subtitle: clip(&s.phone),
                status: status.into(),
                people: vec![doc.id.into()],
                ..row
            }
        }
        Entity::Settings(s) => {
            words.add([&s.company]);
            Summary { title: s.company.clone(), ..row }
        }
        Entity::Customer(c) => of_customer(doc.id.into(), c, world, &mut words, row),
        Entity::Request(r) => of_request(doc.id.into(), r, world, now, &mut words, row),
        Entity::WorkOrder(w) => of_order(doc.id.into(), w, world, now, &mut words, row),
        Entity::Visit(v) => of_visit(doc.id.into(), v, world, &mut words, row),
        Entity::FollowUp(f) => of_follow_up(f, world, &mut words, row),
        Entity::Complaint(c) => of_complaint(c, world, &mut words, row),
        Entity::Statement(s) => {
            let name = s.author.and_then(|id| world.get::<Staff>(id)).map(|s| s.name.clone()).unwrap_or_default();
            words.add([&name, &s.text.0]);
            Summary {
                title: name,
                subtitle: clip(&s.text),
                due: s.written.as_ref().map(|m| m.at.best()),
                people: s.author.into_iter().collect(),
                ..row
            }
        }
        Entity::Suggestion(s) => {
            let ruled = world.children(Kind::Appraisal, doc.id).into_iter().filter_map(|id| world.get::<Appraisal>(id));
            let decision = ruled.filter_map(|a| a.decision.clone()).max_by_key(|d| (d.why.at.best(), d.decision));
            words.add([&s.title, &s.text.0]);
            words.staff(s.author, world);
            Summary {
                title: s.title.clone(),
                subtitle: clip(&s.text),
                status: decision.map_or("open", |d| d.decision.word()).into(),
                due: s.written.as_ref().map(|m| m.at.best()),
                people: s.author.into_iter().collect(),
                ..row
            }
        }
        Entity::Appraisal(a) => {
            let author = a.suggestion.and_then(|id| world.get::<Suggestion>(id)).and_then(|s| s.author);
            let staff = a.staff.or(author);
            let name = staff.and_then(|id| world.get::<Staff>(id)).map(|s| s.name.clone()).unwrap_or_default();
            let reason = a.decision.as_ref().map(|d| d.why.reason.clone()).unwrap_or_default();
            words.add([&name, &reason, &a.proposal]);
            Summary {
                number: a.proposal.clone(),
                title: name,
                subtitle: clip(&reason),
                status: a.decision.as_ref().map_or("open", |d| d.decision.word()).into(),
                due: a.decision.as_ref().map(|d| d.why.at.best()),
                people: staff.into_iter().collect(),
                ..row
            }
        }
    };
    row.search = words.text();
    row
}

fn of_customer(id: CustomerId, c: &Customer, world: &dyn World, words: &mut Words, row: Summary) -> Summary {
    let settings = world.settings();
    let calls = world.children(Kind::FollowUp, id.into()).into_iter();
    let calls: Vec<FollowUp> = calls.filter_map(|id| world.get::<FollowUp>(id).map(Cow::into_owned)).collect();
    words.customer(c);
    words.add([&c.notes.0]);
    for (_, e) in c.equipment.iter().filter(|(_, e)| !e.removed) {
        words.add([&e.model, &e.serial, &e.name]);
    }
    words.add(c.contracts.values().filter(|k| !k.removed).map(|k| &k.number));
    let address = c.addresses.values().find(|a| !a.removed).map(|a| clip(&a.text)).unwrap_or_default();
    Summary {
        number: c.code.clone(),
        title: c.name.clone(),
        subtitle: address,
        due: next_call(c, &calls, &settings).map(|day| Zone::of(&settings).start(day)),
        ..row
    }
}

fn of_request(id: RequestId, r: &Request, world: &dyn World, now: Millis, words: &mut Words, row: Summary) -> Summary {
    let order = answering(id, world);
    let final_number = order.as_ref().and_then(|(_, w)| w.request_number.clone());
    let customer = r.customer.and_then(|id| world.get::<Customer>(id));
    let status = match &order {
        Some((id, w)) if r.withdrawn.is_none() || w.cancelled.is_none() => stage(w, &job_visits(*id, w, world), now).0,
        _ => request_stage(r),
    };
    words.add([&r.provisional_number]);
    words.add(&final_number);
    words.add([&r.customer_name, &r.contact_name, &r.contact_phone, &r.address, &r.problem.0]);
    words.machine(customer.as_deref(), r.equipment);
    words.add(customer.iter().map(|c| &c.name));
    let due = r.reported.map(|at| at.best().plus(world.settings().arrival_hours.saturating_mul(60 * Millis::MINUTE)));
    Summary {
        number: final_number.unwrap_or_else(|| r.provisional_number.clone()),
        title: first_of([&r.customer_name, customer.as_ref().map_or(&String::new(), |c| &c.name)]),
        subtitle: clip(&r.problem),
        status: status.word().into(),
        due: order.and_then(|(_, w)| w.arrival_deadline).or(due),
        people: r.author.into_iter().collect(),
        ..row
    }
}

fn of_order(
    id: WorkOrderId,
    w: &WorkOrder,
    world: &dyn World,
    now: Millis,
    words: &mut Words,
    row: Summary,
) -> Summary {
    let visits = job_visits(id, w, world);
    let (at, contradictions) = stage(w, &visits, now);
    let customer = w.customer.and_then(|id| world.get::<Customer>(id));
    let request = w.request.and_then(|id| world.get::<Request>(id));
    words.add(&w.number);
    words.add(&w.request_number);
    words.add(w.record_numbers.values());
    words.add(visits.iter().flat_map(|(_, v)| v.provisional_numbers.values()));
    words.add(request.iter().map(|r| &r.provisional_number));
    words.order(w);
    if let Some(customer) = &customer {
        words.customer(customer);
    }
    words.machine(customer.as_deref(), w.equipment);
    for staff in w.ever_assigned() {
        words.staff(Some(staff), world);
    }
    let provisional = || {
        let own = visits.iter().flat_map(|(_, v)| v.provisional_numbers.values().cloned()).next();
        own.or(request.as_ref().map(|r| r.provisional_number.clone())).unwrap_or_default()
    };
    let mut flags: Vec<String> = contradictions.into_iter().map(|c| c.key).collect();
    let content = forms_content::dispatch_content(w);
    for role in SignoffRole::ALL {
        if w.signoffs.get(role).is_some_and(|s| s.content != content) {
            flags.push(format!("signoff_voided:{role}"));
        }
    }
    if visits.iter().any(|(_, v)| signature_voided(v)) {
        flags.push("signature_voided".into());
    }
    if visits.iter().any(|(id, v)| !v.customer_comment.trim().is_empty() && !w.opinions.contains_key(id)) {
        flags.push("opinion_open".into());
    }
    let incomplete =
        |v: &Visit| v.outcome == Some(Outcome::Incomplete) && (v.work_order.is_none() || v.round == w.round);
    if matches!(at, Stage::Incomplete | Stage::CustomerTold)
        && visits.iter().any(|(_, v)| incomplete(v))
        && !followed(id, w, world)
    {
        flags.push("follow_on_missing".into());
    }
    // Those on the job now come first: lists show them.
    let mut people = w.current_technicians();
    people.extend(w.ever_assigned().into_iter().filter(|s| !w.current_technicians().contains(s)));
    Summary {
        number: w.number.clone().unwrap_or_else(provisional),
        title: first_of([&w.dispatch.customer_name, customer.as_ref().map_or(&String::new(), |c| &c.name)]),
        subtitle: clip(&w.dispatch.service_description),
        status: at.word().into(),
        due: w.planned_start.or(w.arrival_deadline),
        people,
        flags,
        ..row
    }
}

fn of_visit(id: VisitId, v: &Visit, world: &dyn World, words: &mut Words, row: Summary) -> Summary {
    let order = order_of(v, world).map(|(_, w)| w);
    let request = v.request.or(order.as_ref().and_then(|w| w.request)).and_then(|id| world.get::<Request>(id));
    let customer = order.as_ref().and_then(|w| w.customer).or(request.as_ref().and_then(|r| r.customer));
    let customer = customer.and_then(|id| world.get::<Customer>(id));
    let number = order.as_ref().and_then(|w| w.record_numbers.get(&id)).cloned();
    words.add(&number);
    words.add(v.provisional_numbers.values());
    words.add(order.iter().filter_map(|w| w.number.as_ref()));
    if let Some(order) = &order {
        words.order(order);
    }
    if let Some(r) = &request {
        words.add([&r.customer_name, &r.contact_name, &r.contact_phone, &r.address]);
    }
    words.add(customer.iter().map(|c| &c.name));
    let equipment = order.as_ref().and_then(|w| w.equipment).or(request.as_ref().and_then(|r| r.equipment));
    words.machine(customer.as_deref(), equipment);
    words.add([&v.service_description.0, &v.diagnosis.0, &v.resolution.0, &v.remarks.0, &v.customer_comment.0]);
    words.add(v.notes.values().map(|n| &n.text));
    words.add(v.items.values().flat_map(|i| [&i.part_no, &i.name]));
    let mut people = order.as_ref().map(|w| w.current_technicians()).unwrap_or_default();
    let others = order.iter().flat_map(|w| w.ever_assigned()).chain(request.as_ref().and_then(|r| {
        // An unplanned visit is its request's author's.
        r.author.filter(|_| v.work_order.is_none())
    }));
    let others: BTreeSet<StaffId> = others.chain(v.people()).filter(|s| !people.contains(s)).collect();
    people.extend(others);
    let nothing = String::new();
    Summary {
        number: number.or(v.provisional_numbers.values().next().cloned()).unwrap_or_default(),
        title: first_of([
            order.as_ref().map_or(&nothing, |w| &w.dispatch.customer_name),
            customer.as_ref().map_or(&nothing, |c| &c.name),
            request.as_ref().map_or(&nothing, |r| &r.customer_name),
        ]),
        subtitle: clip(&first_of([
            &v.service_description.0,
            order.as_ref().map_or(&nothing, |w| &w.dispatch.service_description.0),
            request.as_ref().map_or(&nothing, |r| &r.problem.0),
        ])),
        status: visit_stage(v).word().into(),
        due: order.as_ref().and_then(|w| w.planned_start.or(w.arrival_deadline)),
        people,
        flags: signature_voided(v).then(|| "signature_voided".into()).into_iter().collect(),
        ..row
    }
}

fn of_follow_up(f: &FollowUp, world: &dyn World, words: &mut Words, row: Summary) -> Summary {
    let customer = f.customer.and_then(|id| world.get::<Customer>(id));
    let name = customer.map(|c| c.name.clone()).unwrap_or_default();
    words.add([&name, &f.opinion.0, &f.analysis.0]);
    let due = f.due.map(|day| Zone::of(&world.settings()).start(day));
    Summary {
        title: name,
        subtitle: clip(&f.opinion),
        status: f.outcome.map_or("due", |o| o.word()).into(),
        due: f.done.as_ref().map(|m| m.at.best()).or(due),
        people: f.done.iter().map(|m| m.by).collect(),
        flags: open_opinion(f).then(|| "opinion_open".into()).into_iter().collect(),
        ..row
    }
}

fn of_complaint(c: &Complaint, world: &dyn World, words: &mut Words, row: Summary) -> Summary {
    let order = c.work_order.and_then(|id| world.get::<WorkOrder>(id));
    let customer = c.customer.or(order.as_ref().and_then(|w| w.customer)).and_then(|id| world.get::<Customer>(id));
    let name = customer.map(|c| c.name.clone()).unwrap_or_default();
    words.add([&name, &c.description.0]);
    words.add(order.iter().filter_map(|w| w.number.as_ref()));
    for staff in c.staff.iter() {
        words.staff(Some(*staff), world);
    }
    let status = match (&c.dismissed, &c.resolved) {
        (Some(_), _) => "dismissed",
        (None, Some(_)) => "resolved",
        (None, None) => "open",
    };
    Summary {
        title: name,
        subtitle: clip(&c.description),
        status: status.into(),
        due: c.received.map(|at| at.best()),
        people: c.staff.iter().copied().collect(),
        ..row
    }
}

/// Whether somebody goes on with a job left incomplete: production with the machine, or another work order.
fn followed(id: WorkOrderId, w: &WorkOrder, world: &dyn World) -> bool {
    let orders = w.customer.map(|c| world.children(Kind::WorkOrder, c.into())).unwrap_or_default();
    let mut others = orders.into_iter().filter_map(|o| world.get::<WorkOrder>(o));
    let machine = &w.returned_machine;
    machine.contains_key(&ReturnStep::SentBack)
        || machine.contains_key(&ReturnStep::Replaced)
        || others.any(|o| o.follow_on_of == Some(id) && o.cancelled.is_none())
}

/// Whether a customer's opinion waits to be analysed.
fn open_opinion(call: &FollowUp) -> bool {
    !call.opinion.trim().is_empty() && call.analysis.trim().is_empty()
}

/// Whether what the customer signed is no longer what the form says.
pub fn signature_voided(visit: &Visit) -> bool {
    visit.signature.as_ref().is_some_and(|s| s.content != forms_content::visit_content(visit))
}

/// The first line, at most 80 characters.
fn clip(text: &str) -> String {
    text.trim_start().lines().next().unwrap_or_default().chars().take(80).collect::<String>().trim_end().into()
}

fn first_of<const N: usize>(texts: [&String; N]) -> String {
    texts.into_iter().find(|t| !t.trim().is_empty()).cloned().unwrap_or_default()
}

/// The words a row is found by, each text once.
#[derive(Default)]
struct Words {
    seen: BTreeSet<String>,
    out: String,
}

impl Words {
    fn add<'a>(&mut self, texts: impl IntoIterator<Item = &'a String>) {
        for text in texts {
            let before = self.out.len();
            for word in text.split_whitespace() {
                if !self.out.is_empty() {
                    self.out.push(' ');
                }
                self.out.push_str(word);
            }
            let added = self.out[before..].trim_start();
            if !added.is_empty() && !self.seen.insert(added.to_owned()) {
                self.out.truncate(before);
            }
        }
    }
    fn staff(&mut self, id: Option<StaffId>, world: &dyn World) {
        if let Some(s) = id.and_then(|id| world.get::<Staff>(id)) {
            self.add([&s.name]);
        }
    }
    fn customer(&mut self, c: &Customer) {
        self.add([&c.name, &c.code]);
        self.add(c.contacts.values().filter(|k| !k.removed).flat_map(|k| [&k.name, &k.phone]));
        self.add(c.addresses.values().filter(|a| !a.removed).map(|a| &a.text));
    }
    fn machine(&mut self, customer: Option<&Customer>, id: Option<ItemId>) {
        if let Some(e) = id.and_then(|id| customer?.equipment.get(&id)) {
            self.add([&e.model, &e.serial, &e.name]);
        }
    }
    fn order(&mut self, w: &WorkOrder) {
        let d = &w.dispatch;
        self.add([&d.customer_name, &d.contact_name, &d.contact_phone, &d.service_address]);
        self.add([&d.service_description.0, &d.remarks.0]);
        self.add(d.items.values().filter(|i| !i.removed).flat_map(|i| [&i.part_no, &i.name]));
    }
    fn text(self) -> String {
        self.out
    }
}
