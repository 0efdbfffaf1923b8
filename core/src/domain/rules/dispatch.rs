//! The office's side of a job: work order, form 1, warehouse, finance, closing.

use super::{Case, Check, Decided, again, check, create, edit, no, office};
use crate::domain::forms_content::{SignoffState, dispatch_content, signoff_state};
use crate::domain::stage::{job_visits, stage};
use crate::domain::summary::answering;
use crate::domain::{
    Analysis, Assignment, Atomic, Booking, Command, Count, Customer, DispatchPatch, Entitlement, EntitlementOverride,
    Feedback, Fen, IncompleteReason, ItemId, Kind, Millis, Outcome, Record as _, Request, RequestId, RequiredItem,
    ReturnStep, Role, Sha256, Signoff, SignoffRole, Staff, StaffId, Text, Visit, VisitId, WorkOrder, WorkOrderId,
    WorkType, WorldExt as _, Write, Zone,
};
use std::borrow::Cow;

/// The role that signs in a place of form 1.
pub fn role_of(place: SignoffRole) -> Role {
    match place {
        SignoffRole::Warehouse => Role::Warehouse,
        SignoffRole::ServiceManager => Role::ServiceManager,
        SignoffRole::Finance => Role::Finance,
        SignoffRole::OfficeDirector => Role::OfficeDirector,
    }
}

pub(super) fn decide(command: &Command, c: &mut Case<'_, '_>) -> Decided {
    match command {
        Command::OpenWorkOrder { .. } => open(c, command),
        Command::OverrideEntitlement { id, entitlement, reason } => override_entitlement(c, *id, *entitlement, reason),
        Command::PlanDispatch { id, patch } => plan(c, *id, patch),
        Command::RequireItem { id, item, part_no, name, unit, required, removed } => {
            require(c, *id, *item, [part_no, name, unit], *required, *removed)
        }
        Command::Assign { id, technicians, reason } => assign(c, *id, technicians, reason),
        Command::IssueDispatch { id } => issue(c, *id),
        Command::Redispatch { id, reason } => redispatch(c, *id, reason),
        Command::SignOff { id, role, content } => sign_off(c, *id, *role, *content),
        Command::IssueItem { id, item, quantity } => {
            let quantity = check::quantity("quantity", *quantity)?;
            stock(c, *id, *item, |line| {
                line.issued = Count(check::stock("quantity", line.issued.0, quantity)?);
                Ok(())
            })
        }
        Command::TakeBackItem { id, item, quantity } => {
            let quantity = check::quantity("quantity", *quantity)?;
            stock(c, *id, *item, |line| {
                line.returned = Count(check::stock("quantity", line.returned.0, quantity)?);
                if quantity > 0 && line.returned > line.issued {
                    return no("more_than_issued", "quantity", "more comes back than was issued");
                }
                Ok(())
            })
        }
        Command::PayAdvance { id } => pay_advance(c, *id),
        Command::Book { id, booking, receipt, amount, what } => book(c, *id, *booking, *receipt, *amount, what),
        Command::CancelWorkOrder { id, reason } => cancel(c, *id, reason),
        Command::MoveReturnedMachine { id, step } => move_machine(c, *id, *step),
        Command::TellCustomer { id, problem, solved } => tell(c, *id, problem, *solved),
        Command::CloseWorkOrder { id } => close(c, *id),
        Command::ArchiveWorkOrder { id } => archive(c, *id),
        Command::AnalyseOpinion { id, visit, text } => analyse(c, *id, *visit, text),
        Command::Settle { id, contradiction, reason } => settle(c, *id, contradiction, reason),
        _ => no("not_found", "", "not a command about a work order"),
    }
}

/// A work order that is not closed.
fn unclosed(c: &Case<'_, '_>, id: WorkOrderId) -> Check<WorkOrder> {
    let order: WorkOrder = c.get("id", id)?;
    if order.closed.is_some() { no("closed", "id", "this work order is closed") } else { Ok(order) }
}

/// A work order that is neither closed nor cancelled.
fn active(c: &Case<'_, '_>, id: WorkOrderId) -> Check<WorkOrder> {
    let order = unclosed(c, id)?;
    if order.cancelled.is_some() { no("cancelled", "id", "this work order is cancelled") } else { Ok(order) }
}

/// The visit whose result stands for the job: that of the current round, or
/// an unplanned one where the current round was never opened.
fn decisive<'v>(order: &WorkOrder, visits: &'v [(VisitId, Cow<'_, Visit>)]) -> Option<&'v Visit> {
    let planned = visits.iter().map(|(_, v)| &**v).filter(|v| v.work_order.is_some()).max_by_key(|v| v.round);
    let unplanned = visits.iter().map(|(_, v)| &**v).find(|v| v.work_order.is_none() && v.outcome.is_some());
    match planned {
        Some(v) if v.round >= order.round && v.outcome.is_some() => Some(v),
        _ if order.round <= 1 => unplanned,
        _ => None,
    }
}

fn open(c: &mut Case<'_, '_>, command: &Command) -> Decided {
    let Command::OpenWorkOrder {
        id,
        customer,
        equipment,
        work_type,
        request,
        follow_on_of,
        service_description,
        arrival_deadline,
    } = command
    else {
        return no("not_found", "", "not an opening");
    };
    let before = c.find::<WorkOrder>("id", *id)?;
    let file: Customer = c.get("customer", *customer)?;
    office::equipment_of("equipment", &file, *equipment)?;
    let description = check::text("service_description", service_description)?;
    let mut reported = c.now();
    let mut identified = None;
    if let Some(request) = request {
        let written: Request = c.get("request", *request)?;
        if written.customer.is_none() {
            // Whoever answers it knows whose it is, and a job is found through its customer.
            identified = Some(Request { customer: Some(*customer), equipment: *equipment, ..written.clone() });
        }
        if written.customer.is_some_and(|x| x != *customer) {
            return no("other_customer", "request", "of another customer");
        }
        if before.is_none() {
            if written.withdrawn.is_some() {
                return no("withdrawn", "request", "this request was taken back");
            }
            unanswered(c, *request)?;
        }
        reported = written.reported.unwrap_or(reported);
    }
    if let Some(previous) = follow_on_of {
        if previous == id {
            return no("bad_id", "follow_on_of", "a work order cannot follow itself");
        }
        let previous: WorkOrder = c.get("follow_on_of", *previous)?;
        if previous.customer != Some(*customer) {
            return no("other_customer", "follow_on_of", "of another customer");
        }
    }
    let deadline = match arrival_deadline {
        Some(at) => Some(check::time("arrival_deadline", *at)?),
        None if *work_type == WorkType::Repair => {
            Some(reported.best().plus(c.world.settings().arrival_hours.saturating_mul(60 * Millis::MINUTE)))
        }
        None => None,
    };
    if let Some(before) = before {
        let same = (before.customer, before.equipment, before.work_type, before.request, before.follow_on_of)
            == (Some(*customer), *equipment, Some(*work_type), *request, *follow_on_of)
            && before.dispatch.service_description.0 == description
            && (arrival_deadline.is_none() || before.arrival_deadline == deadline);
        return again(same);
    }
    let mut order = WorkOrder {
        request: *request,
        customer: Some(*customer),
        equipment: *equipment,
        work_type: Some(*work_type),
        opened: Some(Atomic(c.mark())),
        follow_on_of: *follow_on_of,
        reported: Some(reported),
        arrival_deadline: deadline,
        round: 1,
        ..WorkOrder::default()
    };
    order.dispatch.service_description = Text(description);
    let mut writes = create(*id, order)?;
    if let (Some(request), Some(identified)) = (request, identified) {
        writes.push(Write::Put((*request).into(), identified.wrap()));
    }
    Ok(writes)
}

/// A request is answered by one work order, unless that was cancelled.
fn unanswered(c: &Case<'_, '_>, request: RequestId) -> Check<()> {
    if answering(request, c.world).is_some_and(|(_, w)| w.cancelled.is_none()) {
        no("already_dispatched", "request", "another work order answers this request")
    } else {
        Ok(())
    }
}

fn override_entitlement(c: &mut Case<'_, '_>, id: WorkOrderId, entitlement: Entitlement, reason: &str) -> Decided {
    let before = unclosed(c, id)?;
    let why = c.reasoned(reason)?;
    if before
        .entitlement_override
        .as_ref()
        .is_some_and(|o| (o.entitlement, &o.why.reason) == (entitlement, &why.reason))
    {
        return Ok(Vec::new());
    }
    let mut after = before.clone();
    after.entitlement_override = Some(Atomic(EntitlementOverride { entitlement, why }));
    Ok(edit(id, &before, after))
}

fn plan(c: &mut Case<'_, '_>, id: WorkOrderId, patch: &DispatchPatch) -> Decided {
    let before = active(c, id)?;
    let mut after = before.clone();
    let d = &mut after.dispatch;
    if let Some(minutes) = patch.expected_stay_minutes {
        d.expected_stay_minutes = Some(check::within("patch/expected_stay_minutes", minutes, 1, 525_600)?);
    }
    if let Some(fen) = patch.cash_advance {
        d.cash_advance = check::due("patch/cash_advance", fen)?;
    }
    if let Some(fen) = patch.balance_to_collect {
        d.balance_to_collect = check::due("patch/balance_to_collect", fen)?;
    }
    if let Some(name) = &patch.contact_name {
        d.contact_name = check::word("patch/contact_name", name)?;
    }
    if let Some(phone) = &patch.contact_phone {
        d.contact_phone = check::phone("patch/contact_phone", phone)?;
    }
    if let Some(address) = &patch.service_address {
        d.service_address = check::word("patch/service_address", address)?;
    }
    if let Some(at) = patch.arrival_deadline {
        after.arrival_deadline = Some(check::time("patch/arrival_deadline", at)?);
    }
    if let Some(at) = patch.planned_start {
        after.planned_start = Some(check::time("patch/planned_start", at)?);
    }
    if before.advance_paid.is_some() && after.dispatch.cash_advance != before.dispatch.cash_advance {
        return no("already_paid", "patch/cash_advance", "the advance was paid");
    }
    Ok(edit(id, &before, after))
}

fn require(
    c: &mut Case<'_, '_>,
    id: WorkOrderId,
    item: ItemId,
    words: [&str; 3],
    required: i64,
    removed: bool,
) -> Decided {
    let before = active(c, id)?;
    check::id("item", item.0)?;
    check::room("item", &before.dispatch.items, &item)?;
    let mut after = before.clone();
    let line = after.dispatch.items.entry(item).or_default();
    line.part_no = check::word("part_no", words[0])?;
    line.name = check::name("name", words[1])?;
    line.unit = check::word("unit", words[2])?;
    line.required = check::within("required", required, 1, check::MAX_QUANTITY)?;
    if removed && line.issued > line.returned {
        return no("items_open", "removed", "it was issued and is not back");
    }
    line.removed = removed;
    Ok(edit(id, &before, after))
}

fn assign(c: &mut Case<'_, '_>, id: WorkOrderId, technicians: &[StaffId], reason: &str) -> Decided {
    let before = active(c, id)?;
    if technicians.len() > 50 {
        return no("too_many", "technicians", "more than 50 people");
    }
    for (n, person) in technicians.iter().enumerate() {
        if technicians[..n].contains(person) {
            return no("twice", "technicians", "names somebody twice");
        }
        let staff: Staff = c.get("technicians", *person)?;
        if staff.left.is_some() {
            return no("has_left", "technicians", "has left the company");
        }
        if !staff.roles.contains(&Role::Technician) {
            return no("not_technician", "technicians", "is not a technician");
        }
    }
    let mut after = before.clone();
    let lead = technicians.first().copied();
    let mut kept = Vec::new();
    for assignment in after.assignments.values_mut().filter(|a| a.ended.is_none()) {
        match assignment.technician.filter(|t| technicians.contains(t) && !kept.contains(t)) {
            Some(person) => {
                kept.push(person);
                assignment.lead = Some(person) == lead;
            }
            None => assignment.ended = Some(Atomic(c.reasoned(reason)?)),
        }
    }
    for person in technicians.iter().filter(|t| !kept.contains(t)) {
        let item = c.new_item();
        check::room("technicians", &after.assignments, &item)?;
        let assigned = Some(Atomic(c.mark()));
        let assignment = Assignment { technician: Some(*person), lead: Some(*person) == lead, assigned, ended: None };
        after.assignments.insert(item, assignment);
    }
    Ok(edit(id, &before, after))
}

fn issue(c: &mut Case<'_, '_>, id: WorkOrderId) -> Decided {
    let before = active(c, id)?;
    if before.dispatch.issued.is_some() {
        return Ok(Vec::new());
    }
    if before.current_technicians().is_empty() {
        return no("no_technician", "assignments", "nobody is assigned");
    }
    if before.dispatch.service_description.trim().is_empty() {
        return no("empty", "dispatch/service_description", "says nothing about what is to be done");
    }
    let Some(customer) = before.customer else {
        return no("not_found", "customer", "has no customer");
    };
    let file: Customer = c.get("customer", customer)?;
    let mut after = before.clone();
    let d = &mut after.dispatch;
    d.issued = Some(Atomic(c.mark()));
    d.order_date = Some(Zone::of(&c.world.settings()).day(c.now().best()));
    d.customer_name = file.name.clone();
    // What was planned by hand for this job stays; the file fills the rest.
    if let Some(contact) = file.contacts.values().find(|x| !x.removed)
        && d.contact_name.is_empty()
        && d.contact_phone.is_empty()
    {
        (d.contact_name, d.contact_phone) = (contact.name.clone(), contact.phone.clone());
    }
    if d.service_address.is_empty() {
        let machine = before.equipment.and_then(|e| file.equipment.get(&e)).and_then(|e| e.address);
        let address = machine.and_then(|a| file.addresses.get(&a)).filter(|a| !a.removed);
        let address = address.or_else(|| file.addresses.values().find(|a| !a.removed));
        d.service_address = address.map(|a| a.text.clone()).unwrap_or_default();
    }
    Ok(edit(id, &before, after))
}

fn redispatch(c: &mut Case<'_, '_>, id: WorkOrderId, reason: &str) -> Decided {
    let before = active(c, id)?;
    let why = c.reasoned(reason)?;
    if before.dispatch.issued.is_none() {
        return no("not_issued", "dispatch/issued", "form 1 was not issued yet");
    }
    // A round that nobody has begun is still good for the next trip; this also makes sending twice harmless.
    let current = c.world.get::<Visit>(VisitId::of_dispatch(id, before.round));
    if current.is_none_or(|v| v.events.is_empty() && v.outcome.is_none()) {
        return no("round_unused", "round", "the current visit was not begun");
    }
    if before.round >= 1_000 {
        return no("too_many", "round", "more than 1000 visits");
    }
    let item = c.new_item();
    let mut after = before.clone();
    after.round += 1;
    after.redispatched.insert(item, Atomic(why));
    Ok(edit(id, &before, after))
}

fn sign_off(c: &mut Case<'_, '_>, id: WorkOrderId, place: SignoffRole, content: Sha256) -> Decided {
    let before = active(c, id)?;
    if !c.by.is(role_of(place)) {
        return no("not_your_role", "role", format!("signs only for {}", role_of(place)));
    }
    if before.dispatch.issued.is_none() {
        return no("not_issued", "dispatch/issued", "form 1 was not issued yet");
    }
    if content != dispatch_content(&before) {
        return no("content_changed", "content", "form 1 is no longer what was shown");
    }
    if let Some(old) = before.signoffs.get(&place).filter(|old| old.content == content) {
        return if old.mark.by == c.by.staff {
            Ok(Vec::new())
        } else {
            no("already_signed", "role", "somebody has signed here")
        };
    }
    if place == SignoffRole::OfficeDirector {
        let missing: Vec<_> = signoff_state(&before)
            .into_iter()
            .filter(|(role, state)| *role != place && *state != SignoffState::Valid)
            .map(|(role, _)| role.word())
            .collect();
        if !missing.is_empty() {
            return no("signatures_missing", "signoffs", format!("signs last; missing: {}", missing.join(", ")));
        }
    }
    let mut after = before.clone();
    after.signoffs.insert(place, Atomic(Signoff { mark: c.mark(), content }));
    Ok(edit(id, &before, after))
}

/// Goods move even after a cancellation: what went out comes back.
fn stock(
    c: &mut Case<'_, '_>,
    id: WorkOrderId,
    item: ItemId,
    change: impl FnOnce(&mut RequiredItem) -> Check<()>,
) -> Decided {
    let before = unclosed(c, id)?;
    let mut after = before.clone();
    match after.dispatch.items.get_mut(&item) {
        Some(line) => change(line)?,
        None => return no("not_found", "item", "is not on form 1"),
    }
    Ok(edit(id, &before, after))
}

fn pay_advance(c: &mut Case<'_, '_>, id: WorkOrderId) -> Decided {
    let before = active(c, id)?;
    if before.advance_paid.is_some() {
        return Ok(Vec::new());
    }
    if before.dispatch.issued.is_none() {
        return no("not_issued", "dispatch/issued", "form 1 was not issued yet");
    }
    if before.dispatch.cash_advance.0 == 0 {
        return no("no_advance", "dispatch/cash_advance", "no advance is planned");
    }
    let mut after = before.clone();
    after.advance_paid = Some(Atomic(c.mark()));
    Ok(edit(id, &before, after))
}

/// Money may come in after closing: finance books until the form is archived.
fn book(
    c: &mut Case<'_, '_>,
    id: WorkOrderId,
    item: ItemId,
    receipt: Option<ItemId>,
    amount: Fen,
    what: &str,
) -> Decided {
    let before: WorkOrder = c.get("id", id)?;
    let booking =
        Booking { mark: c.mark(), receipt, amount: check::amount("amount", amount)?, what: check::name("what", what)? };
    if let Some(receipt) = receipt
        && !job_visits(id, &before, c.world).iter().any(|(_, v)| v.receipts.contains_key(&receipt))
    {
        return no("not_found", "receipt", "no visit has this receipt");
    }
    let mut after = before.clone();
    let added = check::add("booking", &mut after.bookings, item, booking, |a, b| {
        (a.mark.by, a.receipt, a.amount, &a.what) == (b.mark.by, b.receipt, b.amount, &b.what)
    })?;
    if added && before.archived.is_some() {
        return no("archived", "id", "the form is archived");
    }
    Ok(edit(id, &before, after))
}

fn cancel(c: &mut Case<'_, '_>, id: WorkOrderId, reason: &str) -> Decided {
    let before = unclosed(c, id)?;
    let why = c.reasoned(reason)?;
    if let Some(old) = &before.cancelled {
        return if old.reason == why.reason { Ok(Vec::new()) } else { no("cancelled", "id", "already cancelled") };
    }
    if decisive(&before, &job_visits(id, &before, c.world)).is_some_and(|v| v.outcome == Some(Outcome::Completed)) {
        return no("already_completed", "id", "the service was completed");
    }
    let mut after = before.clone();
    after.cancelled = Some(Atomic(why));
    Ok(edit(id, &before, after))
}

fn move_machine(c: &mut Case<'_, '_>, id: WorkOrderId, step: ReturnStep) -> Decided {
    let before = unclosed(c, id)?;
    let steps = &before.returned_machine;
    if steps.contains_key(&step) {
        return Ok(Vec::new());
    }
    let returns = |v: &Visit| {
        matches!(v.incomplete_reason, Some(IncompleteReason::ReturnForRepair | IncompleteReason::ReplaceEquipment))
    };
    if !job_visits(id, &before, c.world).iter().any(|(_, v)| returns(v)) {
        return no("nothing_returned", "step", "no visit ended with a return or a replacement");
    }
    let needed = match step {
        ReturnStep::Received | ReturnStep::Replaced => None,
        ReturnStep::Repaired => Some(ReturnStep::Received),
        ReturnStep::SentBack => Some(ReturnStep::Repaired),
    };
    if let Some(missing) = needed.filter(|n| !steps.contains_key(n)) {
        return no("wrong_order", "step", format!("comes after `{missing}`"));
    }
    let mut after = before.clone();
    after.returned_machine.insert(step, Atomic(c.mark()));
    Ok(edit(id, &before, after))
}

fn tell(c: &mut Case<'_, '_>, id: WorkOrderId, problem: &str, solved: bool) -> Decided {
    let before = unclosed(c, id)?;
    let problem = check::full_text("problem", problem)?;
    if before.feedback.as_ref().is_some_and(|f| (&f.problem, f.solved) == (&problem, solved)) {
        return Ok(Vec::new());
    }
    let mut after = before.clone();
    after.feedback = Some(Atomic(Feedback { mark: c.mark(), problem, solved }));
    Ok(edit(id, &before, after))
}

/// Whether what one visit could not solve is through: the machine is back or
/// replaced, or every follow-on work order is done with.
fn followed_up(c: &Case<'_, '_>, id: WorkOrderId, order: &WorkOrder) -> bool {
    let machine = &order.returned_machine;
    if machine.contains_key(&ReturnStep::SentBack) || machine.contains_key(&ReturnStep::Replaced) {
        return true;
    }
    let siblings = order.customer.map(|x| c.world.children(Kind::WorkOrder, x.into())).unwrap_or_default();
    let follow_ons: Vec<(WorkOrderId, Cow<'_, WorkOrder>)> = siblings
        .into_iter()
        .filter_map(|id| Some((id.into(), c.world.get::<WorkOrder>(id)?)))
        .filter(|(_, w)| w.follow_on_of == Some(id))
        .collect();
    let through = |(id, w): &(WorkOrderId, Cow<'_, WorkOrder>)| {
        let done = || decisive(w, &job_visits(*id, w, c.world)).is_some_and(|v| v.outcome == Some(Outcome::Completed));
        w.closed.is_some() || w.cancelled.is_some() || done()
    };
    !follow_ons.is_empty() && follow_ons.iter().all(through)
}

fn close(c: &mut Case<'_, '_>, id: WorkOrderId) -> Decided {
    let before: WorkOrder = c.get("id", id)?;
    if before.closed.is_some() {
        return Ok(Vec::new());
    }
    let visits = job_visits(id, &before, c.world);
    if let Some(open) = contradictions(c, &before, &visits).first() {
        return no("contradiction", "settled", format!("to be settled first: {open}"));
    }
    let outcome = decisive(&before, &visits).and_then(|v| v.outcome);
    match outcome {
        Some(Outcome::Completed) => {}
        _ if before.cancelled.is_some() => return no("cancelled", "id", "a cancelled work order is not closed"),
        Some(Outcome::Incomplete) if followed_up(c, id, &before) => {}
        Some(Outcome::Incomplete) => {
            return no("follow_on_open", "outcome", "what was left incomplete is not through");
        }
        None => return no("not_completed", "outcome", "the current visit has no result"),
    }
    if before.feedback.is_none() {
        return no("customer_not_told", "feedback", "the customer was not told how it ended");
    }
    let open = open_items(&before, &visits);
    if !open.is_empty() {
        return no("items_open", "dispatch/items", format!("issued, neither used nor back: {}", open.join(", ")));
    }
    let mut after = before.clone();
    after.closed = Some(Atomic(c.mark()));
    Ok(edit(id, &before, after))
}

/// Names of required items that do not add up: issued = used + brought back.
/// What the technician says they took back and what the warehouse counted are
/// the same goods, so the larger of the two counts.
pub fn open_items(order: &WorkOrder, visits: &[(VisitId, Cow<'_, Visit>)]) -> Vec<String> {
    let open = |(id, line): (&ItemId, &RequiredItem)| {
        let on_site = visits.iter().filter_map(|(_, v)| v.items.get(id));
        let (used, taken_back) =
            on_site.fold((0_i64, 0_i64), |(u, t), i| (u.saturating_add(i.used.0), t.saturating_add(i.taken_back.0)));
        let back = taken_back.max(line.returned.0);
        (line.issued.0 != 0 && line.issued.0 != used.saturating_add(back)).then(|| line.name.clone())
    };
    order.dispatch.items.iter().filter_map(open).collect()
}

fn archive(c: &mut Case<'_, '_>, id: WorkOrderId) -> Decided {
    let before: WorkOrder = c.get("id", id)?;
    if before.archived.is_some() {
        return Ok(Vec::new());
    }
    if before.closed.is_none() {
        return no("not_closed", "closed", "is not closed yet");
    }
    let mut after = before.clone();
    after.archived = Some(Atomic(c.mark()));
    Ok(edit(id, &before, after))
}

/// Comes last in the procedure, so neither closing nor archiving ends it.
fn analyse(c: &mut Case<'_, '_>, id: WorkOrderId, visit: VisitId, text: &str) -> Decided {
    let before: WorkOrder = c.get("id", id)?;
    let text = check::full_text("text", text)?;
    if !job_visits(id, &before, c.world).iter().any(|(v, _)| *v == visit) {
        return no("not_found", "visit", "no such visit of this job");
    }
    if before.opinions.get(&visit).is_some_and(|old| old.text == text) {
        return Ok(Vec::new());
    }
    check::room("visit", &before.opinions, &visit)?;
    let mut after = before.clone();
    after.opinions.insert(visit, Atomic(Analysis { mark: c.mark(), text }));
    Ok(edit(id, &before, after))
}

/// Keys of what contradicts and was not settled.
fn contradictions(c: &Case<'_, '_>, order: &WorkOrder, visits: &[(VisitId, Cow<'_, Visit>)]) -> Vec<String> {
    let (_, list) = stage(order, visits, c.now().best());
    list.into_iter().map(|x| x.key).filter(|key| !order.settled.contains_key(key)).collect()
}

fn settle(c: &mut Case<'_, '_>, id: WorkOrderId, key: &str, reason: &str) -> Decided {
    let before: WorkOrder = c.get("id", id)?;
    let why = c.reasoned(reason)?;
    if let Some(old) = before.settled.get(key) {
        return if old.reason == why.reason {
            Ok(Vec::new())
        } else {
            no("already_settled", "contradiction", "already settled")
        };
    }
    if !contradictions(c, &before, &job_visits(id, &before, c.world)).iter().any(|k| k == key) {
        return no("not_found", "contradiction", "nothing contradicts under this key");
    }
    let mut after = before.clone();
    after.settled.insert(key.to_owned(), Atomic(why));
    Ok(edit(id, &before, after))
}
