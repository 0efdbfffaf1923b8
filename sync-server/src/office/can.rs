//! What somebody could do about a job now: the rules themselves are asked,
//! with commands that are made up and never carried out.

use onsite_core::domain::forms_content::dispatch_content;
use onsite_core::domain::stage::Contradiction;
use onsite_core::domain::{
    Author, Command, DispatchPatch, DocRef, Entitlement, Fen, ItemId, Kind, Millis, Moment, ReturnStep, SignoffRole,
    Stamp, Visit, VisitId, WorkOrder, WorkOrderId, World, decide,
};
use std::borrow::Cow;
use uuid::Uuid;

/// A text that every rule takes for a reason or a description.
const WORD: &str = "…";

/// The words (`do`) of the commands about a job that the rules would let somebody give now,
/// with the right particulars. One that would change nothing is left out, where it has none.
pub(super) fn could(
    id: WorkOrderId,
    order: &WorkOrder,
    visits: &[(VisitId, Cow<'_, Visit>)],
    against: &[Contradiction],
    author: &Author,
    now: Millis,
    world: &dyn World,
) -> Vec<String> {
    let mut n = now.0.unsigned_abs();
    let mut new_id = || {
        n += 1;
        Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 | u128::from(n))
    };
    let item = ItemId(new_id());
    let reason = || WORD.to_owned();
    let required = order.dispatch.items.iter().find(|(_, i)| !i.removed).map(|(id, _)| *id);
    let issued = order.dispatch.items.iter().find(|(_, i)| i.issued > i.returned).map(|(id, _)| *id);
    let opinion =
        visits.iter().find(|(id, v)| !v.customer_comment.trim().is_empty() && !order.opinions.contains_key(id));
    let technicians = order.current_technicians();
    // Whether it may be given though it would change nothing: its particulars are still to be told.
    let mut probes: Vec<(Command, bool)> = vec![
        (Command::PlanDispatch { id, patch: DispatchPatch::default() }, true),
        (
            Command::RequireItem {
                id,
                item,
                part_no: String::new(),
                name: reason(),
                unit: String::new(),
                required: 1,
                removed: false,
            },
            true,
        ),
        (Command::Assign { id, technicians, reason: reason() }, true),
        (Command::OverrideEntitlement { id, entitlement: Entitlement::PerVisit, reason: reason() }, true),
        (Command::IssueDispatch { id }, false),
        (Command::Redispatch { id, reason: reason() }, false),
        (Command::PayAdvance { id }, false),
        (Command::Book { id, booking: item, receipt: None, amount: Fen(1), what: reason() }, true),
        (Command::CancelWorkOrder { id, reason: reason() }, false),
        (Command::TellCustomer { id, problem: reason(), solved: true }, true),
        (Command::CloseWorkOrder { id }, false),
        (Command::ArchiveWorkOrder { id }, false),
        (
            Command::EditText {
                doc: DocRef::new(Kind::WorkOrder, id),
                field: "dispatch/remarks".into(),
                text: format!("{}{WORD}", order.dispatch.remarks.0),
                seen: Vec::new(),
            },
            true,
        ),
    ];
    let content = dispatch_content(order);
    probes.extend(SignoffRole::ALL.iter().map(|role| (Command::SignOff { id, role: *role, content }, false)));
    probes.extend(required.map(|item| (Command::IssueItem { id, item, quantity: 1 }, true)));
    probes.extend(issued.map(|item| (Command::TakeBackItem { id, item, quantity: 1 }, true)));
    probes.extend(ReturnStep::ALL.iter().map(|step| (Command::MoveReturnedMachine { id, step: *step }, false)));
    probes.extend(opinion.map(|(visit, _)| (Command::AnalyseOpinion { id, visit: *visit, text: reason() }, false)));
    let contradiction = against.first().map(|c| c.key.clone());
    probes.extend(contradiction.map(|contradiction| (Command::Settle { id, contradiction, reason: reason() }, false)));

    let mut words: Vec<String> = Vec::new();
    for (command, open) in &probes {
        let mut moment = Moment { now: Stamp::exact(now), new_id: &mut new_id, next_number: &mut || 0 };
        let allowed = decide(command, author, &mut moment, world).is_ok_and(|writes| *open || !writes.is_empty());
        let word = serde_json::to_value(command).ok().and_then(|c| Some(c["do"].as_str()?.to_owned()));
        if let Some(word) = word.filter(|w| allowed && !words.contains(w)) {
            words.push(word);
        }
    }
    words
}
