//! On site: the visit, its photos, its signature.

use super::{Case, Check, Decided, check, create, edit, no};
use crate::domain::forms_content::{SignatureState, signature_state, visit_content};
use crate::domain::{
    Acceptance, Atomic, ChangeHash, Check as Line, CheckResult, Command, ContactLog, Count, Dissatisfaction, DocRef,
    EventKind, Expense, IncompleteReason, ItemId, Kind, Note, Outcome, Photo, Position, Receipt, Request, RequestId,
    Role, Satisfaction, Sha256, Signature, Stamp, Strokes, Text, UsedItem, Visit, VisitEvent, VisitId, WorkOrder,
    WorkOrderId, WorldExt as _,
};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

/// What a photo may be.
pub const MEDIA_TYPES: &[&str] = &["image/jpeg", "image/png", "image/webp", "image/heic", "image/heif"];

pub(super) fn decide(command: &Command, c: &mut Case<'_, '_>) -> Decided {
    match command {
        Command::OpenVisit { work_order } => open(c, *work_order),
        Command::OpenUnplannedVisit { request } => open_unplanned(c, *request),
        Command::RecordEvent { visit, id, event, at, position, corrects } => {
            on(c, *visit, |c, v| record_event(c, v, *id, *event, *at, *position, *corrects))
        }
        Command::Inspect { visit, check, result, note } => on(c, *visit, |c, v| inspect(c, v, check, *result, note)),
        Command::AddNote { visit, id, text } => on(c, *visit, |c, v| {
            let note = Note { mark: c.mark(), text: check::full_text("text", text)? };
            check::add("id", &mut v.notes, *id, note, |a, b| (a.mark.by, &a.text) == (b.mark.by, &b.text)).map(drop)
        }),
        Command::LogContact { visit, id, channel, with, summary, at } => on(c, *visit, |c, v| {
            let log = ContactLog {
                mark: c.mark_at("at", *at)?,
                channel: *channel,
                with: check::word("with", with)?,
                summary: check::full_text("summary", summary)?,
            };
            check::add("id", &mut v.contacts, *id, log, |a, b| {
                (a.mark.by, a.channel, &a.with, &a.summary) == (b.mark.by, b.channel, &b.with, &b.summary)
                    && at.is_none_or(|at| at == a.mark.at)
            })
            .map(drop)
        }),
        Command::UseItem { visit, item, part_no, name, unit, used, taken_back } => {
            on(c, *visit, |c, v| use_item(c, v, *item, [part_no, name, unit], [*used, *taken_back]))
        }
        Command::AddPhoto { doc, id, blob, size, media_type, caption, check } => {
            let photo = Photo {
                blob: Some(*blob),
                size: *size,
                media_type: media_type.clone(),
                caption: caption.clone(),
                check: check.clone(),
                taken: Some(Atomic(c.mark())),
                removed: false,
            };
            add_photo(c, *doc, *id, photo)
        }
        Command::RemovePhoto { doc, id } => photos(c, *doc, |_, photos| match photos.get_mut(id) {
            Some(photo) => {
                photo.removed = true;
                Ok(())
            }
            None => no("not_found", "id", "no such photo"),
        }),
        Command::SetOutcome { visit, outcome, incomplete_reason, remarks } => {
            on(c, *visit, |c, v| set_outcome(c, v, *outcome, *incomplete_reason, remarks))
        }
        Command::Accept { visit, accepted, remark } => on(c, *visit, |c, v| {
            let remark = check::note("remark", remark)?;
            if v.acceptance.as_ref().is_some_and(|a| (a.accepted, &a.remark) == (*accepted, &remark)) {
                return Ok(());
            }
            v.acceptance = Some(Atomic(Acceptance { mark: c.mark(), accepted: *accepted, remark }));
            Ok(())
        }),
        Command::Rate { visit, satisfaction, reasons, comment } => {
            on(c, *visit, |_, v| rate(v, *satisfaction, reasons, comment))
        }
        Command::Sign { visit, name, strokes, heads, content } => {
            on(c, *visit, |c, v| sign(c, v, name, strokes, heads, *content))
        }
        Command::RefuseSignature { visit, reason } => on(c, *visit, |c, v| {
            let why = c.reasoned(reason)?;
            if v.signature_refused.as_ref().is_some_and(|old| old.reason == why.reason) {
                return Ok(());
            }
            if signature_state(v) == SignatureState::Valid {
                return no("already_signed", "visit", "the customer has signed this");
            }
            if v.outcome.is_none() {
                return no("no_outcome", "outcome", "there is no result to sign for yet");
            }
            v.signature_refused = Some(Atomic(why));
            Ok(())
        }),
        Command::TakePayment { visit, id, amount, method, reference } => on(c, *visit, |c, v| {
            let receipt = Receipt {
                mark: c.mark(),
                amount: check::amount("amount", *amount)?,
                method: *method,
                reference: check::word("reference", reference)?,
            };
            let same = |a: &Receipt, b: &Receipt| {
                (a.mark.by, a.amount, a.method, &a.reference) == (b.mark.by, b.amount, b.method, &b.reference)
            };
            let added = check::add("id", &mut v.receipts, *id, receipt, same)?;
            total(added, v.receipts.values().map(|r| r.amount).sum())
        }),
        Command::Spend { visit, id, amount, category, note } => on(c, *visit, |c, v| {
            let expense = Expense {
                mark: c.mark(),
                amount: check::amount("amount", *amount)?,
                category: *category,
                note: check::note("note", note)?,
            };
            let same = |a: &Expense, b: &Expense| {
                (a.mark.by, a.amount, a.category, &a.note) == (b.mark.by, b.amount, b.category, &b.note)
            };
            let added = check::add("id", &mut v.expenses, *id, expense, same)?;
            total(added, v.expenses.values().map(|e| e.amount).sum())
        }),
        _ => no("not_found", "", "not a command on site"),
    }
}

/// A correction takes back no more than was entered.
fn total(added: bool, sum: crate::domain::Fen) -> Check<()> {
    if added && sum.0 < 0 {
        return no("negative_total", "amount", "takes back more than was entered");
    }
    Ok(())
}

/// Whether this author works on this visit: whoever its work order ever
/// assigned, or who wrote the request of an unplanned one. Neither
/// reassigning, cancelling nor closing refuses the work of one who was there.
pub(super) fn own(c: &Case<'_, '_>, visit: &Visit, field: &str) -> Check<()> {
    let assigned = match (visit.work_order, visit.request) {
        (Some(order), _) => c.world.get::<WorkOrder>(order).is_some_and(|w| w.ever_assigned().contains(&c.by.staff)),
        (None, Some(request)) => c.world.get::<Request>(request).is_some_and(|r| r.author == Some(c.by.staff)),
        (None, None) => false,
    };
    if assigned { Ok(()) } else { no("not_assigned", field, "you were never assigned to this job") }
}

/// Changes a visit, if it is there and the author's.
fn on<'a, 'm>(
    c: &mut Case<'a, 'm>,
    id: VisitId,
    change: impl FnOnce(&mut Case<'a, 'm>, &mut Visit) -> Check<()>,
) -> Decided {
    let before: Visit = c.get("visit", id)?;
    own(c, &before, "visit")?;
    let mut after = before.clone();
    change(c, &mut after)?;
    Ok(edit(id, &before, after))
}

fn open(c: &mut Case<'_, '_>, work_order: WorkOrderId) -> Decided {
    let order: WorkOrder = c.get("work_order", work_order)?;
    if !order.ever_assigned().contains(&c.by.staff) {
        return no("not_assigned", "work_order", "you were never assigned to this job");
    }
    let id = VisitId::of_dispatch(work_order, order.round);
    let before = c.world.get::<Visit>(id).map(Cow::into_owned);
    if before.is_none() && order.closed.is_some() {
        return no("closed", "work_order", "this work order is closed");
    }
    if before.is_none() && order.cancelled.is_some() {
        return no("cancelled", "work_order", "this work order is cancelled");
    }
    let fresh = Visit { work_order: Some(work_order), round: order.round, ..Visit::default() };
    numbered(c, id, before, fresh)
}

fn open_unplanned(c: &mut Case<'_, '_>, request: RequestId) -> Decided {
    let written: Request = c.get("request", request)?;
    if written.author != Some(c.by.staff) {
        return no("not_author", "request", "written by somebody else");
    }
    let id = VisitId::of_request(request);
    let before = c.world.get::<Visit>(id).map(Cow::into_owned);
    if before.is_none() && written.withdrawn.is_some() {
        return no("withdrawn", "request", "this request was taken back");
    }
    numbered(c, id, before, Visit { request: Some(request), ..Visit::default() })
}

/// Opens a visit, with this person's provisional number on it.
fn numbered(c: &mut Case<'_, '_>, id: VisitId, before: Option<Visit>, fresh: Visit) -> Decided {
    let is_new = before.is_none();
    let before = before.unwrap_or(fresh);
    let mut after = before.clone();
    if let Entry::Vacant(slot) = after.provisional_numbers.entry(c.by.staff) {
        let number = c.provisional_number();
        if !number.is_empty() {
            slot.insert(number);
        }
    }
    if is_new { create(id, after) } else { Ok(edit(id, &before, after)) }
}

fn record_event(
    c: &mut Case<'_, '_>,
    v: &mut Visit,
    id: ItemId,
    kind: EventKind,
    at: Option<Stamp>,
    position: Option<Position>,
    corrects: Option<ItemId>,
) -> Check<()> {
    position.map(|p| check::position("position", p)).transpose()?;
    if let Some(corrected) = corrects {
        match v.events.get(&corrected) {
            Some(old) if old.kind != kind => return no("other_kind", "corrects", "is an event of another kind"),
            Some(_) if corrected == id => return no("bad_id", "corrects", "an event cannot correct itself"),
            Some(_) => {}
            None => return no("not_found", "corrects", "no such event"),
        }
    }
    let event = VisitEvent { kind, mark: c.mark_at("at", at)?, position, corrects };
    check::add("id", &mut v.events, id, event, |a, b| {
        (a.kind, a.mark.by, a.position, a.corrects) == (b.kind, b.mark.by, b.position, b.corrects)
            && at.is_none_or(|at| at == a.mark.at)
    })
    .map(drop)
}

fn known_check(c: &Case<'_, '_>, v: Option<&Visit>, key: &str) -> Check<()> {
    let listed = c.world.settings().checklist.get(key).is_some_and(|line| !line.dropped);
    if listed || v.is_some_and(|v| v.checks.contains_key(key)) {
        return Ok(());
    }
    no("unknown_check", "check", "is not on the checklist")
}

fn inspect(c: &mut Case<'_, '_>, v: &mut Visit, key: &str, result: CheckResult, note: &str) -> Check<()> {
    known_check(c, Some(v), key)?;
    let note = check::note("note", note)?;
    check::room("check", &v.checks, &key.to_owned())?;
    let line = v.checks.entry(key.to_owned()).or_default();
    if (line.result, &line.note) != (Some(result), &note) {
        *line = Line { result: Some(result), note, mark: Some(Atomic(c.mark())) };
    }
    Ok(())
}

fn use_item(c: &mut Case<'_, '_>, v: &mut Visit, id: ItemId, words: [&str; 3], quantities: [i64; 2]) -> Check<()> {
    check::id("item", id.0)?;
    let [used, taken_back] = quantities;
    for (field, n) in [("used", used), ("taken_back", taken_back)] {
        check::within(field, n, -check::MAX_QUANTITY, check::MAX_QUANTITY)?;
    }
    if used == 0 && taken_back == 0 {
        return no("out_of_range", "used", "must not be nothing");
    }
    let part_no = check::word("part_no", words[0])?;
    let name = check::word("name", words[1])?;
    let unit = check::word("unit", words[2])?;
    check::room("item", &v.items, &id)?;
    let required = v
        .work_order
        .and_then(|order| c.world.get::<WorkOrder>(order))
        .and_then(|order| order.dispatch.items.get(&id).cloned());
    let item = v.items.entry(id).or_insert_with(|| match required {
        Some(r) => UsedItem { part_no: r.part_no, name: r.name, unit: r.unit, ..UsedItem::default() },
        None => UsedItem::default(),
    });
    if item.name.is_empty() {
        if name.is_empty() {
            return no("empty", "name", "must not be empty");
        }
        (item.part_no, item.name, item.unit) = (part_no, name, unit);
    } else if !name.is_empty() && name != item.name {
        return no("id_taken", "item", "this id already names another part");
    }
    item.used = Count(check::stock("used", item.used.0, used)?);
    item.taken_back = Count(check::stock("taken_back", item.taken_back.0, taken_back)?);
    Ok(())
}

/// Changes the photos of a visit or a request, if it is the author's.
fn photos<'a, 'm>(
    c: &mut Case<'a, 'm>,
    doc: DocRef,
    change: impl FnOnce(&mut Case<'a, 'm>, &mut BTreeMap<ItemId, Photo>) -> Check<()>,
) -> Decided {
    match doc.kind {
        Kind::Visit => {
            let before: Visit = c.get("doc", doc.id)?;
            own(c, &before, "doc")?;
            let mut after = before.clone();
            change(c, &mut after.photos)?;
            Ok(edit(doc.id, &before, after))
        }
        Kind::Request => {
            let before: Request = c.get("doc", doc.id)?;
            if before.author != Some(c.by.staff) && !c.by.is(Role::Clerk) {
                return no("not_author", "doc", "written by somebody else");
            }
            let mut after = before.clone();
            change(c, &mut after.photos)?;
            Ok(edit(doc.id, &before, after))
        }
        _ => no("no_photos", "doc", "only visits and requests have photos"),
    }
}

fn add_photo(c: &mut Case<'_, '_>, doc: DocRef, id: ItemId, mut photo: Photo) -> Decided {
    check::id("id", id.0)?;
    let most = c.world.settings().photo_bytes;
    if photo.size > most {
        return no("photo_too_large", "size", format!("larger than {most} bytes"));
    }
    check::within("size", photo.size, 1, most)?;
    if !MEDIA_TYPES.contains(&photo.media_type.as_str()) {
        return no("bad_media_type", "media_type", format!("must be one of {}", MEDIA_TYPES.join(", ")));
    }
    photo.caption = check::word("caption", &photo.caption)?;
    if let Some(key) = &photo.check {
        if doc.kind != Kind::Visit {
            return no("not_allowed", "check", "only a visit has a checklist");
        }
        known_check(c, c.world.get::<Visit>(doc.id).as_deref(), key)?;
    }
    photos(c, doc, |_, photos| {
        if let Some(old) = photos.get(&id) {
            let shown = |p: &Photo| (p.blob, p.size, p.media_type.clone(), p.caption.clone(), p.check.clone());
            return if shown(old) == shown(&photo) {
                Ok(())
            } else {
                no("id_taken", "id", "this id already names another photo")
            };
        }
        check::room("id", photos, &id)?;
        photos.insert(id, photo);
        Ok(())
    })
}

fn set_outcome(
    c: &Case<'_, '_>,
    v: &mut Visit,
    outcome: Outcome,
    why: Option<IncompleteReason>,
    remarks: &str,
) -> Check<()> {
    let remarks = check::text("remarks", remarks)?;
    match (outcome, why) {
        (Outcome::Completed, Some(_)) => return no("not_allowed", "incomplete_reason", "a completed service has none"),
        (Outcome::Incomplete, None) => {
            return no("empty", "incomplete_reason", "an incomplete service needs its reason");
        }
        (Outcome::Incomplete, Some(IncompleteReason::Other)) if remarks.is_empty() && v.remarks.trim().is_empty() => {
            return no("empty", "remarks", "the reason `other` is told in the remarks");
        }
        _ => {}
    }
    if (v.outcome, v.incomplete_reason) != (Some(outcome), why) {
        (v.outcome, v.incomplete_reason) = (Some(outcome), why);
        v.outcome_given = Some(Atomic(c.mark()));
    }
    // Told again, the remarks are there already.
    if !remarks.is_empty() && !v.remarks.contains(&remarks) {
        let joined = if v.remarks.is_empty() { remarks } else { format!("{}\n{remarks}", v.remarks.0) };
        v.remarks = Text(check::raw_text("remarks", &joined)?);
    }
    Ok(())
}

fn rate(v: &mut Visit, satisfaction: Satisfaction, reasons: &BTreeSet<Dissatisfaction>, comment: &str) -> Check<()> {
    match (satisfaction == Satisfaction::Dissatisfied, reasons.is_empty()) {
        (true, true) => return no("empty", "reasons", "dissatisfaction needs its reasons"),
        (false, false) => return no("not_allowed", "reasons", "only dissatisfaction has reasons"),
        _ => {}
    }
    let comment = check::text("comment", comment)?;
    v.satisfaction = Some(satisfaction);
    if !v.dissatisfaction_reasons.iter().eq(reasons) {
        v.dissatisfaction_reasons.assign(reasons.iter().copied());
    }
    if !comment.is_empty() {
        v.customer_comment = Text(comment);
    }
    Ok(())
}

fn sign(
    c: &mut Case<'_, '_>,
    v: &mut Visit,
    name: &str,
    strokes: &Strokes,
    heads: &[ChangeHash],
    content: Sha256,
) -> Check<()> {
    let name = check::name("name", name)?;
    check::strokes("strokes", strokes)?;
    if v.outcome.is_none() {
        return no("no_outcome", "outcome", "the result is not filled in");
    }
    if v.acceptance.is_none() {
        return no("no_acceptance", "acceptance", "the customer has not said whether they accept the equipment");
    }
    if heads.is_empty() || heads.len() > 64 {
        return no("bad_heads", "heads", "needs the 1 to 64 heads of the document shown");
    }
    if content != visit_content(v) {
        return no("content_changed", "content", "the form is no longer what was shown");
    }
    if let Some(old) = v.signature.as_ref().filter(|old| old.content == content) {
        let same = (&old.name, &old.strokes) == (&name, strokes);
        return if same { Ok(()) } else { no("already_signed", "visit", "the customer has signed this") };
    }
    v.signature =
        Some(Atomic(Signature { mark: c.mark(), name, strokes: strokes.clone(), heads: heads.to_vec(), content }));
    Ok(())
}
