//! Texts edited by character, and clashes settled, in any kind of document.

use super::{Case, Check, Decided, check, no, visit};
use crate::domain::{ChangeHash, Command, DocRef, Entity, Kind, Role, Text, Write};

/// The texts that may be edited, by kind and path, and whether they may be emptied.
pub const FIELDS: &[(Kind, &str, bool)] = &[
    (Kind::Customer, "notes", true),
    (Kind::Request, "problem", false),
    (Kind::WorkOrder, "dispatch/service_description", true),
    (Kind::WorkOrder, "dispatch/remarks", true),
    (Kind::Visit, "service_description", true),
    (Kind::Visit, "diagnosis", true),
    (Kind::Visit, "resolution", true),
    (Kind::Visit, "remarks", true),
    (Kind::Visit, "customer_comment", true),
    (Kind::FollowUp, "opinion", true),
    (Kind::FollowUp, "analysis", true),
    (Kind::Complaint, "description", false),
    (Kind::Statement, "text", false),
    (Kind::Suggestion, "text", false),
];

/// What only the server writes.
const SERVERS: &[&str] = &["number", "record_numbers", "request_number"];

pub(super) fn decide(command: &Command, c: &mut Case<'_, '_>) -> Decided {
    match command {
        Command::EditText { doc, field, text, seen } => edit_text(c, *doc, field, text, seen),
        Command::ChooseClash { doc, path, choice } => choose(c, *doc, path, *choice),
        _ => no("not_found", "", "not about a text"),
    }
}

/// The document, if its rules let this author write it.
fn writable(c: &Case<'_, '_>, doc: DocRef) -> Check<Entity> {
    let Some(entity) = c.world.entity(doc) else {
        return no("not_found", "doc", format!("no such {}", doc.kind.name()));
    };
    match &*entity {
        Entity::Visit(v) => visit::own(c, v, "doc")?,
        Entity::Request(r) if r.author != Some(c.by.staff) && !c.by.is(Role::Clerk) => {
            return no("not_author", "doc", "written by somebody else");
        }
        Entity::Statement(s) if s.author != Some(c.by.staff) => {
            return no("not_author", "doc", "written by somebody else");
        }
        Entity::Suggestion(s) if s.author != Some(c.by.staff) => {
            return no("not_author", "doc", "written by somebody else");
        }
        Entity::WorkOrder(w) if w.closed.is_some() => return no("closed", "doc", "this work order is closed"),
        _ => {}
    }
    Ok(entity.into_owned())
}

/// A text of a document by its path.
fn text_at<'e>(entity: &'e Entity, field: &str) -> Option<&'e Text> {
    Some(match (entity, field) {
        (Entity::Customer(x), "notes") => &x.notes,
        (Entity::Request(x), "problem") => &x.problem,
        (Entity::WorkOrder(x), "dispatch/service_description") => &x.dispatch.service_description,
        (Entity::WorkOrder(x), "dispatch/remarks") => &x.dispatch.remarks,
        (Entity::Visit(x), "service_description") => &x.service_description,
        (Entity::Visit(x), "diagnosis") => &x.diagnosis,
        (Entity::Visit(x), "resolution") => &x.resolution,
        (Entity::Visit(x), "remarks") => &x.remarks,
        (Entity::Visit(x), "customer_comment") => &x.customer_comment,
        (Entity::FollowUp(x), "opinion") => &x.opinion,
        (Entity::FollowUp(x), "analysis") => &x.analysis,
        (Entity::Complaint(x), "description") => &x.description,
        (Entity::Statement(x), "text") => &x.text,
        (Entity::Suggestion(x), "text") => &x.text,
        _ => return None,
    })
}

fn edit_text(c: &mut Case<'_, '_>, doc: DocRef, field: &str, text: &str, seen: &[ChangeHash]) -> Decided {
    let Some((_, _, may_be_empty)) = FIELDS.iter().find(|(kind, path, _)| (*kind, *path) == (doc.kind, field)) else {
        return no("unknown_field", "field", format!("a {} has no such text", doc.kind.name()));
    };
    let entity = writable(c, doc)?;
    let text = check::raw_text("text", text)?;
    let issued = matches!(&entity, Entity::WorkOrder(w) if w.dispatch.issued.is_some() && field == "dispatch/service_description");
    if text.trim().is_empty() && (!may_be_empty || issued) {
        return no("empty", "text", "must not be empty");
    }
    if seen.len() > 64 {
        return no("too_many", "seen", "more than 64 heads");
    }
    if seen.is_empty() && text_at(&entity, field).is_some_and(|old| old.0 == text) {
        return Ok(Vec::new());
    }
    Ok(vec![Write::Text { doc, field: field.into(), text, seen: seen.to_vec() }])
}

fn choose(c: &mut Case<'_, '_>, doc: DocRef, path: &str, choice: ChangeHash) -> Decided {
    let leaf = |s: &str| !s.is_empty() && !s.starts_with('~') && !s.chars().any(char::is_control);
    if path.len() > 300 || !path.split('/').all(leaf) {
        return no("unknown_field", "path", "is not the path of a leaf");
    }
    if doc.kind == Kind::WorkOrder && path.split('/').next().is_some_and(|first| SERVERS.contains(&first)) {
        return no("server_only", "path", "only the server gives numbers");
    }
    if doc.kind == Kind::WorkOrder && path.starts_with("signoffs/") {
        return no("not_allowed", "path", "signatures are not chosen: sign again");
    }
    writable(c, doc)?;
    Ok(vec![Write::Choose { doc, path: path.into(), choice }])
}
