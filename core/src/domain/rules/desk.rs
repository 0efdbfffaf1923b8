//! The desk: repair requests, follow-up calls, complaints, statements,
//! suggestions and the manager's decisions.

use super::{Case, Check, Decided, again, check, create, edit, no, office};
use crate::domain::appraisal::{self, Key};
use crate::domain::{
    Appraisal, AppraisalId, Atomic, CallOutcome, Command, Complaint, ComplaintAbout, ComplaintId, Customer, CustomerId,
    Date, Decision, Fen, FollowUp, FollowUpId, ItemId, Request, RequestId, Role, Ruling, Staff, StaffId, Stamp,
    Statement, StatementId, Suggestion, SuggestionId, Text, WorkOrder, WorkOrderId,
};
use std::collections::BTreeSet;

pub(super) fn decide(command: &Command, c: &mut Case<'_, '_>) -> Decided {
    match command {
        Command::ReportRepair { .. } => report(c, command),
        Command::IdentifyRequest { id, customer, equipment } => identify(c, *id, *customer, *equipment),
        Command::WithdrawRequest { id, reason } => withdraw(c, *id, reason),
        Command::RecordCall { id, customer, due, outcome, opinion, request } => {
            record_call(c, *id, *customer, *due, *outcome, opinion, *request)
        }
        Command::FileComplaint { id, customer, work_order, staff, about, description, received } => {
            file_complaint(c, *id, *customer, *work_order, staff, *about, description, *received)
        }
        Command::ResolveComplaint { id, dismiss, reason } => resolve_complaint(c, *id, *dismiss, reason),
        Command::State { id, complaint, proposal, text } => state(c, *id, *complaint, proposal.as_deref(), text),
        Command::Suggest { id, title, text, work_order } => suggest(c, *id, title, text, *work_order),
        Command::Appraise { id, proposal, decision, severity, amount, major, reason } => {
            let ruling = Ruling {
                why: c.reasoned(reason)?,
                decision: *decision,
                severity: *severity,
                amount: Fen(check::within("amount", amount.0, -check::MAX_MONEY, check::MAX_MONEY)?),
                major: *major,
            };
            appraise(c, *id, proposal, ruling)
        }
        _ => no("not_found", "", "not a command of the desk"),
    }
}

// ---- requests ----

fn report(c: &mut Case<'_, '_>, command: &Command) -> Decided {
    let Command::ReportRepair {
        id,
        customer,
        customer_name,
        contact_name,
        contact_phone,
        address,
        equipment,
        problem,
        reported,
    } = command
    else {
        return no("not_found", "", "not a repair report");
    };
    let before = c.find::<Request>("id", *id)?;
    let mut request = Request {
        author: Some(c.by.staff),
        customer: *customer,
        customer_name: check::word("customer_name", customer_name)?,
        contact_name: check::word("contact_name", contact_name)?,
        contact_phone: check::phone("contact_phone", contact_phone)?,
        address: check::word("address", address)?,
        equipment: *equipment,
        problem: Text(check::full_text("problem", problem)?),
        reported: Some(c.mark_at("reported", *reported)?.at),
        ..Request::default()
    };
    match customer {
        Some(customer) => {
            let file: Customer = c.get("customer", *customer)?;
            office::equipment_of("equipment", &file, *equipment)?;
            if request.customer_name.is_empty() {
                request.customer_name = file.name;
            }
        }
        None if equipment.is_some() => return no("empty", "customer", "a machine needs its customer"),
        None if request.customer_name.is_empty() => {
            return no("empty", "customer_name", "needs the customer or their name");
        }
        None => {}
    }
    if let Some(before) = before {
        let told = |r: &Request| {
            let r = r.clone();
            (r.author, r.customer, r.customer_name, r.contact_name, r.contact_phone, r.address, r.equipment, r.problem)
        };
        return again(told(&before) == told(&request) && (reported.is_none() || before.reported == *reported));
    }
    request.provisional_number = c.provisional_number();
    create(*id, request)
}

/// A request its author, or a clerk on the author's behalf, may still change.
fn own_request(c: &Case<'_, '_>, id: RequestId) -> Check<Request> {
    let request: Request = c.get("id", id)?;
    if request.author != Some(c.by.staff) && !c.by.is(Role::Clerk) {
        return no("not_author", "id", "written by somebody else");
    }
    Ok(request)
}

fn identify(c: &mut Case<'_, '_>, id: RequestId, customer: CustomerId, equipment: Option<ItemId>) -> Decided {
    let before = own_request(c, id)?;
    let file: Customer = c.get("customer", customer)?;
    office::equipment_of("equipment", &file, equipment)?;
    if before.withdrawn.is_some() {
        return no("withdrawn", "id", "this request was taken back");
    }
    let mut after = before.clone();
    (after.customer, after.equipment) = (Some(customer), equipment);
    if after.customer_name.is_empty() {
        after.customer_name = file.name;
    }
    Ok(edit(id, &before, after))
}

fn withdraw(c: &mut Case<'_, '_>, id: RequestId, reason: &str) -> Decided {
    let before = own_request(c, id)?;
    let why = c.reasoned(reason)?;
    if let Some(old) = &before.withdrawn {
        return if old.reason == why.reason { Ok(Vec::new()) } else { no("withdrawn", "id", "already taken back") };
    }
    let mut after = before.clone();
    after.withdrawn = Some(Atomic(why));
    Ok(edit(id, &before, after))
}

// ---- calls ----

fn record_call(
    c: &mut Case<'_, '_>,
    id: FollowUpId,
    customer: CustomerId,
    due: Option<Date>,
    outcome: CallOutcome,
    opinion: &str,
    request: Option<RequestId>,
) -> Decided {
    let before = c.find::<FollowUp>("id", id)?;
    let file: Customer = c.get("customer", customer)?;
    if let Some(request) = request {
        let request: Request = c.get("request", request)?;
        if request.customer.is_some_and(|x| x != customer) {
            return no("other_customer", "request", "of another customer");
        }
        if outcome != CallOutcome::Problem {
            return no("not_allowed", "request", "only a call that found a problem leads to a request");
        }
    }
    let call = FollowUp {
        customer: Some(customer),
        due: due.map(|d| check::date("due", d)).transpose()?,
        done: Some(Atomic(c.mark())),
        outcome: Some(outcome),
        opinion: Text(check::text("opinion", opinion)?),
        analysis: Text::default(),
        request,
    };
    if let Some(before) = before {
        let told = |f: &FollowUp| (f.customer, f.due, f.outcome, f.opinion.clone(), f.request);
        return again(told(&before) == told(&call));
    }
    let mut writes = create(id, call)?;
    // A date set by hand stood for this call; unreachable customers keep theirs.
    if outcome != CallOutcome::Unreachable {
        writes.extend(office::call_made(customer, &file));
    }
    Ok(writes)
}

// ---- complaints ----

#[expect(clippy::too_many_arguments, reason = "the command's own fields")]
fn file_complaint(
    c: &mut Case<'_, '_>,
    id: ComplaintId,
    customer: CustomerId,
    work_order: Option<WorkOrderId>,
    staff: &BTreeSet<StaffId>,
    about: ComplaintAbout,
    description: &str,
    received: Option<Stamp>,
) -> Decided {
    let before = c.find::<Complaint>("id", id)?;
    c.get::<Customer>("customer", customer)?;
    if let Some(order) = work_order {
        let order: WorkOrder = c.get("work_order", order)?;
        if order.customer != Some(customer) {
            return no("other_customer", "work_order", "of another customer");
        }
    }
    if staff.len() > 50 {
        return no("too_many", "staff", "more than 50 people");
    }
    for person in staff {
        c.get::<Staff>("staff", *person)?;
    }
    let complaint = Complaint {
        customer: Some(customer),
        work_order,
        staff: staff.iter().copied().collect(),
        about: Some(about),
        received: Some(c.mark_at("received", received)?.at),
        taken_by: Some(c.by.staff),
        description: Text(check::full_text("description", description)?),
        ..Complaint::default()
    };
    if let Some(before) = before {
        let told = |k: &Complaint| (k.customer, k.work_order, k.staff.clone(), k.about, k.description.clone());
        return again(told(&before) == told(&complaint) && (received.is_none() || before.received == received));
    }
    create(id, complaint)
}

fn resolve_complaint(c: &mut Case<'_, '_>, id: ComplaintId, dismiss: bool, reason: &str) -> Decided {
    let before: Complaint = c.get("id", id)?;
    let why = c.reasoned(reason)?;
    let mut after = before.clone();
    let (slot, other) = match dismiss {
        true => (&mut after.dismissed, &before.resolved),
        false => (&mut after.resolved, &before.dismissed),
    };
    if slot.as_ref().is_some_and(|old| old.reason == why.reason) {
        return Ok(Vec::new());
    }
    if slot.is_some() || other.is_some() {
        return no("already_resolved", "id", "already resolved or dismissed");
    }
    *slot = Some(Atomic(why));
    Ok(edit(id, &before, after))
}

// ---- statements and suggestions ----

fn state(
    c: &mut Case<'_, '_>,
    id: StatementId,
    complaint: Option<ComplaintId>,
    proposal: Option<&str>,
    text: &str,
) -> Decided {
    let before = c.find::<Statement>("id", id)?;
    let proposal = proposal.map(|p| check::name("proposal", p)).transpose()?;
    match (complaint, &proposal) {
        (Some(complaint), None) => {
            let complaint: Complaint = c.get("complaint", complaint)?;
            if !complaint.staff.contains(&c.by.staff) {
                return no("not_about_you", "complaint", "this complaint does not name you");
            }
        }
        (None, Some(_)) => {}
        (None, None) => return no("empty", "complaint", "needs a complaint or a proposal to reply to"),
        (Some(_), Some(_)) => {
            return no("not_allowed", "proposal", "replies to a complaint or a proposal, not to both");
        }
    }
    let statement = Statement {
        author: Some(c.by.staff),
        complaint,
        proposal,
        written: Some(Atomic(c.mark())),
        text: Text(check::full_text("text", text)?),
    };
    if let Some(before) = before {
        let told = |s: &Statement| (s.author, s.complaint, s.proposal.clone(), s.text.clone());
        return again(told(&before) == told(&statement));
    }
    create(id, statement)
}

fn suggest(
    c: &mut Case<'_, '_>,
    id: SuggestionId,
    title: &str,
    text: &str,
    work_order: Option<WorkOrderId>,
) -> Decided {
    let before = c.find::<Suggestion>("id", id)?;
    if let Some(order) = work_order {
        c.get::<WorkOrder>("work_order", order)?;
    }
    let suggestion = Suggestion {
        author: Some(c.by.staff),
        written: Some(Atomic(c.mark())),
        title: check::name("title", title)?,
        work_order,
        text: Text(check::full_text("text", text)?),
    };
    if let Some(before) = before {
        let told = |s: &Suggestion| (s.author, s.title.clone(), s.work_order, s.text.clone());
        return again(told(&before) == told(&suggestion));
    }
    create(id, suggestion)
}

// ---- appraisal ----

/// The evidence is kept as it stood where and when it was decided.
fn appraise(c: &mut Case<'_, '_>, id: AppraisalId, proposal: &str, ruling: Ruling) -> Decided {
    let before = c.find::<Appraisal>("id", id)?;
    let key: Key = proposal.parse().or_else(|_| no("bad_key", "proposal", "is not the key of a proposal"))?;
    let on_suggestion = matches!(key, Key::Suggestion(_));
    match ruling.decision {
        Decision::Confirmed | Decision::Waived if on_suggestion => {
            return no("not_allowed", "decision", "a suggestion is adopted or declined");
        }
        Decision::Adopted | Decision::Declined if !on_suggestion => {
            return no("not_allowed", "decision", "a proposal is confirmed or waived");
        }
        _ => {}
    }
    if ruling.major && ruling.decision != Decision::Adopted {
        return no("not_allowed", "major", "only an adopted suggestion is a major one");
    }
    let (staff, suggestion, wrong_sign) = match key {
        Key::Penalty(_, complaint, staff) => {
            c.get::<Complaint>("proposal", complaint)?;
            (Some(staff), None, ruling.amount.0 > 0)
        }
        Key::Quarter(_, staff) => (Some(staff), None, ruling.amount.0 < 0),
        Key::Suggestion(id) => {
            let suggestion: Suggestion = c.get("proposal", id)?;
            (suggestion.author, Some(id), ruling.amount.0 < 0)
        }
    };
    if wrong_sign {
        return no("out_of_range", "amount", "a penalty is negative, a reward positive");
    }
    if matches!(ruling.decision, Decision::Waived | Decision::Declined) && ruling.amount.0 != 0 {
        return no("not_allowed", "amount", "nothing is due where a proposal is waived or declined");
    }
    if let Some(person) = staff {
        c.get::<Staff>("proposal", person)?;
    }
    if matches!(key, Key::Penalty(..)) && ruling.decision == Decision::Confirmed && ruling.severity.is_none() {
        return no("empty", "severity", "a penalty is confirmed with its severity");
    }
    let evidence = appraisal::find(c.world, proposal, c.now().best());
    let evidence = evidence.and_then(|e| serde_json::to_value(e).ok()).map(Atomic);
    let mut after = Appraisal {
        proposal: key.to_string(),
        rule: Some(key.rule()),
        staff,
        suggestion,
        decision: Some(Atomic(ruling)),
        evidence,
    };
    let Some(before) = before else { return create(id, after) };
    if before.proposal != after.proposal {
        return again(false);
    }
    let told =
        |a: &Appraisal| a.decision.as_ref().map(|d| (d.decision, d.severity, d.amount, d.major, d.why.reason.clone()));
    if told(&before) == told(&after) {
        return Ok(Vec::new());
    }
    // Decided anew, on the evidence as it stands now.
    if after.evidence.is_none() {
        after.evidence = before.evidence.clone();
    }
    Ok(edit(id, &before, after))
}
