//! Who may write which kind of document: asked by the gate for every change.

use super::rules::dispatch_role;
use super::{
    Appraisal, Atomic, Author, Complaint, Customer, DocRef, Entity, FollowUp, ItemId, Photo, Rejection, Request, Role,
    SETTINGS, StaffId, Statement, Suggestion, Visit, VisitId, WorkOrder, World, WorldExt as _,
};
use std::collections::BTreeMap;

/// Largest document, as the JSON of its content, in bytes.
pub const MAX_ENTITY: usize = 1 << 20;

type Verdict = Result<(), Rejection>;

fn no(code: &str, field: &str, detail: &str) -> Verdict {
    Err(Rejection::new(code, field, detail))
}

fn need(ok: bool, code: &str, field: &str, detail: &str) -> Verdict {
    if ok { Ok(()) } else { no(code, field, detail) }
}

/// Whether `by` may turn `before` (absent: new) into `after`. Looks only at what
/// the kinds' rules in the procedure fix; never refuses the work of one who was
/// on site. `world` is the server's accepted state.
///
/// # Errors
/// A [`Rejection`] whose code is one of [`super::rules::CODES`].
pub fn may_write(
    doc: DocRef,
    before: Option<&Entity>,
    after: &Entity,
    by: &Author,
    world: &dyn World,
) -> Result<(), Rejection> {
    let kinds = after.kind() == doc.kind && before.is_none_or(|b| b.kind() == doc.kind);
    need(kinds, "wrong_kind", "", "the document is of another kind")?;
    let mut size = Size(0);
    let told = serde_json::to_writer(&mut size, after).is_ok();
    need(told && size.0 <= MAX_ENTITY, "too_large", "", "the document is larger than 1 MiB")?;
    if by.is_server() {
        return Ok(());
    }
    let new = Entity::new(doc.kind);
    let fresh = before.is_none();
    match (before.unwrap_or(&new), after) {
        (Entity::Staff(_), Entity::Staff(_)) => roles(by, &[Role::Admin]),
        (Entity::Settings(_), Entity::Settings(_)) => {
            need(doc.id == SETTINGS, "bad_id", "", "a company has one settings document")?;
            roles(by, &[Role::Admin, Role::ServiceManager])
        }
        (Entity::Customer(b), Entity::Customer(a)) => customer(b, a, by),
        (Entity::Request(b), Entity::Request(a)) => request(b, a, by),
        (Entity::WorkOrder(b), Entity::WorkOrder(a)) => work_order(b, a, by),
        (Entity::Visit(b), Entity::Visit(a)) => visit(VisitId::from(doc.id), b, a, by, world),
        (Entity::FollowUp(b), Entity::FollowUp(a)) => follow_up(b, a, by),
        (Entity::Complaint(b), Entity::Complaint(a)) => complaint(b, a, by),
        (Entity::Statement(b), Entity::Statement(a)) => statement(b, a, by),
        (Entity::Suggestion(b), Entity::Suggestion(a)) => suggestion(b, a, by),
        (Entity::Appraisal(b), Entity::Appraisal(a)) => appraisal(b, a, by, fresh),
        _ => no("wrong_kind", "", "the document is of another kind"),
    }
}

/// Counts what is written.
struct Size(usize);

impl std::io::Write for Size {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

// ---- what is common ----

fn roles(by: &Author, any: &[Role]) -> Verdict {
    need(any.iter().any(|role| by.is(*role)), "not_your_role", "", "this kind of document is not for your role")
}

fn office(by: &Author) -> Verdict {
    need(by.office(), "not_your_role", "", "this kind of document is written by the office")
}

/// A name newly put under something must be one's own.
fn signed_by(field: &str, who: Option<StaffId>, by: &Author) -> Verdict {
    need(who.is_none_or(|w| w == by.staff), "forged_author", field, "names somebody else as the author")
}

/// A field that, once set, never changes.
fn fixed<T: PartialEq>(field: &str, before: &Option<T>, after: &Option<T>) -> Verdict {
    need(before.is_none() || before == after, "fixed", field, "cannot be changed once set")
}

/// Entries are added under one's own name, and neither change nor go.
fn append_only<T: PartialEq>(
    field: &str,
    before: &BTreeMap<ItemId, Atomic<T>>,
    after: &BTreeMap<ItemId, Atomic<T>>,
    by: &Author,
    author: impl Fn(&T) -> StaffId,
) -> Verdict {
    for (id, entry) in after {
        match before.get(id) {
            Some(old) => need(old == entry, "append_only", field, "an entry was changed")?,
            None => signed_by(field, Some(author(entry)), by)?,
        }
    }
    need(before.keys().all(|id| after.contains_key(id)), "append_only", field, "an entry was taken out")
}

/// Photos keep their picture and its author; caption and removal may change.
fn photos(before: &BTreeMap<ItemId, Photo>, after: &BTreeMap<ItemId, Photo>, by: &Author) -> Verdict {
    for (id, photo) in after {
        match before.get(id) {
            Some(old) => {
                fixed("photos", &old.blob, &photo.blob)?;
                fixed("photos", &old.taken, &photo.taken)?;
                if old.taken.is_none() {
                    signed_by("photos", photo.taken.as_ref().map(|m| m.by), by)?;
                }
            }
            None => signed_by("photos", photo.taken.as_ref().map(|m| m.by), by)?,
        }
    }
    need(before.keys().all(|id| after.contains_key(id)), "append_only", "photos", "a photo was taken out of the record")
}

// ---- the kinds ----

fn customer(before: &Customer, after: &Customer, by: &Author) -> Verdict {
    office(by)?;
    append_only("charges", &before.charges, &after.charges, by, |x| x.mark.by)
}

fn request(before: &Request, after: &Request, by: &Author) -> Verdict {
    let own = before.author.or(after.author) == Some(by.staff);
    // A clerk identifies the customer of a request, or takes a double one out.
    need(own || by.is(Role::Clerk), "not_author", "author", "written by somebody else")?;
    if before.author.is_none() {
        signed_by("author", after.author, by)?;
    }
    fixed("author", &before.author, &after.author)?;
    let number = |r: &Request| Some(r.provisional_number.clone()).filter(|n| !n.is_empty());
    fixed("provisional_number", &number(before), &number(after))?;
    photos(&before.photos, &after.photos, by)
}

fn work_order(before: &WorkOrder, after: &WorkOrder, by: &Author) -> Verdict {
    office(by)?;
    need(before.number == after.number, "server_only", "number", "only the server gives numbers")?;
    need(
        before.record_numbers == after.record_numbers,
        "server_only",
        "record_numbers",
        "only the server gives numbers",
    )?;
    need(
        before.request_number == after.request_number,
        "server_only",
        "request_number",
        "only the server gives numbers",
    )?;
    for (place, signoff) in &after.signoffs {
        if before.signoffs.get(place) != Some(signoff) {
            need(by.is(dispatch_role(*place)), "not_your_role", "signoffs", "signs only for a role held")?;
            signed_by("signoffs", Some(signoff.mark.by), by)?;
        }
    }
    let kept = before.signoffs.keys().all(|place| after.signoffs.contains_key(place));
    need(kept, "append_only", "signoffs", "a signature was taken out")?;
    for (visit, opinion) in &after.opinions {
        if before.opinions.get(visit) != Some(opinion) {
            signed_by("opinions", Some(opinion.mark.by), by)?;
        }
    }
    let kept = before.opinions.keys().all(|visit| after.opinions.contains_key(visit));
    need(kept, "append_only", "opinions", "an analysis was taken out")?;
    append_only("bookings", &before.bookings, &after.bookings, by, |x| x.mark.by)?;
    append_only("redispatched", &before.redispatched, &after.redispatched, by, |x| x.by)?;
    if before.bookings.len() != after.bookings.len() || before.advance_paid != after.advance_paid {
        need(by.is(Role::Finance), "not_your_role", "bookings", "money is booked by finance")?;
    }
    if before.returned_machine != after.returned_machine {
        need(by.is(Role::Production), "not_your_role", "returned_machine", "machines are moved on by production")?;
    }
    let moved = |id, line: &super::RequiredItem| {
        let old = before.dispatch.items.get(id);
        (line.issued, line.returned) != old.map_or_else(Default::default, |o| (o.issued, o.returned))
    };
    if after.dispatch.items.iter().any(|(id, line)| moved(id, line)) {
        need(by.is(Role::Warehouse), "not_your_role", "dispatch/items", "goods are issued by the warehouse")?;
    }
    for (id, old) in &before.assignments {
        let Some(new) = after.assignments.get(id) else {
            return no("append_only", "assignments", "an assignment was taken out");
        };
        fixed("assignments", &old.technician, &new.technician)?;
        fixed("assignments", &old.assigned, &new.assigned)?;
    }
    for (field, b, a) in [("closed", &before.closed, &after.closed), ("archived", &before.archived, &after.archived)] {
        if b.is_none() {
            signed_by(field, a.as_ref().map(|m| m.by), by)?;
        }
        need(b.is_none() || a.is_some(), "fixed", field, "cannot be taken back")?;
    }
    if before.cancelled.is_none() {
        signed_by("cancelled", after.cancelled.as_ref().map(|m| m.by), by)?;
    }
    Ok(())
}

/// Whoever the work order ever assigned writes its visits, also after being
/// reassigned, and whatever became of the job meanwhile.
fn visit(id: VisitId, before: &Visit, after: &Visit, by: &Author, world: &dyn World) -> Verdict {
    fixed("work_order", &before.work_order, &after.work_order)?;
    fixed("request", &before.request, &after.request)?;
    need(before.round == 0 || before.round == after.round, "fixed", "round", "cannot be changed once set")?;
    let writer: Box<dyn Fn(StaffId) -> bool> = match (after.work_order, after.request) {
        (Some(order_id), None) => {
            need(
                id == VisitId::of_dispatch(order_id, after.round),
                "wrong_visit_id",
                "round",
                "is not the id of this visit",
            )?;
            let Some(order) = world.get::<WorkOrder>(order_id) else {
                return no("not_assigned", "work_order", "no such work order");
            };
            need(after.round <= order.round, "wrong_visit_id", "round", "there was no such round")?;
            Box::new(move |staff| order.ever_assigned().contains(&staff))
        }
        (None, Some(request_id)) => {
            let of = after.round == 0 && id == VisitId::of_request(request_id);
            need(of, "wrong_visit_id", "request", "is not the id of this visit")?;
            let author = world.get::<Request>(request_id).and_then(|r| r.author);
            Box::new(move |staff| author == Some(staff))
        }
        _ => return no("wrong_visit_id", "work_order", "a visit serves a work order or a request"),
    };
    need(writer(by.staff), "not_assigned", "work_order", "was never assigned to this job")?;

    append_only("events", &before.events, &after.events, by, |x| x.mark.by)?;
    append_only("notes", &before.notes, &after.notes, by, |x| x.mark.by)?;
    append_only("contacts", &before.contacts, &after.contacts, by, |x| x.mark.by)?;
    append_only("receipts", &before.receipts, &after.receipts, by, |x| x.mark.by)?;
    append_only("expenses", &before.expenses, &after.expenses, by, |x| x.mark.by)?;
    photos(&before.photos, &after.photos, by)?;
    let numbers = (&before.provisional_numbers, &after.provisional_numbers);
    // One's own may become another: two phones of one person each number it while apart.
    let kept = |(who, n): (&StaffId, &String)| numbers.1.get(who).is_some_and(|new| new == n || *who == by.staff);
    need(numbers.0.iter().all(kept), "fixed", "provisional_numbers", "a number was changed")?;
    for who in numbers.1.keys().filter(|who| !numbers.0.contains_key(who)) {
        signed_by("provisional_numbers", Some(*who), by)?;
    }
    // Set for the first time these carry one's own name. Replacing may also
    // bring back a colleague's: that is what choosing between two does.
    let named = |field: &str, old: Option<StaffId>, new: Option<StaffId>, changed: bool| match new {
        Some(who) if changed && who != by.staff => {
            need(old.is_some() && writer(who), "forged_author", field, "names somebody else as the author")
        }
        _ => Ok(()),
    };
    for (key, line) in &after.checks {
        let old = before.checks.get(key).and_then(|l| l.mark.as_ref());
        let new = line.mark.as_ref();
        named("checks", old.map(|m| m.by), new.map(|m| m.by), old != new)?;
    }
    let (old, new) = (&before.outcome_given, &after.outcome_given);
    named("outcome_given", old.as_ref().map(|x| x.by), new.as_ref().map(|x| x.by), old != new)?;
    let (old, new) = (&before.acceptance, &after.acceptance);
    named("acceptance", old.as_ref().map(|x| x.mark.by), new.as_ref().map(|x| x.mark.by), old != new)?;
    let (old, new) = (&before.signature, &after.signature);
    named("signature", old.as_ref().map(|x| x.mark.by), new.as_ref().map(|x| x.mark.by), old != new)?;
    need(old.is_none() || new.is_some(), "append_only", "signature", "a signature was taken out")?;
    let (old, new) = (&before.signature_refused, &after.signature_refused);
    named("signature_refused", old.as_ref().map(|x| x.by), new.as_ref().map(|x| x.by), old != new)?;
    need(old.is_none() || new.is_some(), "append_only", "signature_refused", "a refusal was taken out")
}

fn follow_up(before: &FollowUp, after: &FollowUp, by: &Author) -> Verdict {
    roles(by, &[Role::Clerk])?;
    if before.done.is_none() {
        signed_by("done", after.done.as_ref().map(|m| m.by), by)?;
    }
    fixed("customer", &before.customer, &after.customer)
}

fn complaint(before: &Complaint, after: &Complaint, by: &Author) -> Verdict {
    office(by)?;
    if before.taken_by.is_none() {
        signed_by("taken_by", after.taken_by, by)?;
    }
    fixed("taken_by", &before.taken_by, &after.taken_by)
}

fn statement(before: &Statement, after: &Statement, by: &Author) -> Verdict {
    need(after.author == Some(by.staff), "forged_author", "author", "a statement is its author's own")?;
    fixed("author", &before.author, &after.author)?;
    fixed("written", &before.written, &after.written)?;
    if before.written.is_none() {
        signed_by("written", after.written.as_ref().map(|m| m.by), by)?;
    }
    Ok(())
}

fn suggestion(before: &Suggestion, after: &Suggestion, by: &Author) -> Verdict {
    need(after.author == Some(by.staff), "forged_author", "author", "a suggestion is its author's own")?;
    fixed("author", &before.author, &after.author)?;
    fixed("written", &before.written, &after.written)?;
    if before.written.is_none() {
        signed_by("written", after.written.as_ref().map(|m| m.by), by)?;
    }
    Ok(())
}

fn appraisal(before: &Appraisal, after: &Appraisal, by: &Author, fresh: bool) -> Verdict {
    roles(by, &[Role::ServiceManager])?;
    if fresh {
        signed_by("decision", after.decision.as_ref().map(|d| d.why.by), by)?;
    }
    need(fresh || before.proposal == after.proposal, "fixed", "proposal", "cannot be changed once set")?;
    need(before.decision.is_none() || after.decision.is_some(), "append_only", "decision", "a decision was taken out")
}
