//! What lists show of a document: one row, the same on phone and server.

use super::{DocId, DocRef, Entity, Kind, Millis, StaffId, World};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The row of a list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
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
        Entity::Appraisal(a) => a.suggestion.map(Into::into),
        Entity::Staff(_) | Entity::Settings(_) | Entity::Customer(_) => None,
    }
}

/// Stands for every member of staff among [`readers`].
pub const EVERYBODY: StaffId = StaffId(uuid::Uuid::nil());

/// The rows that change when this document does, besides its own: a visit
/// changes its work order's stage, a work order its visits' numbers. `world`
/// already holds the new content. Not recursive: re-project just these.
pub fn touches(doc: DocRef, entity: &Entity, world: &dyn World) -> Vec<DocRef> {
    let _ = (doc, world);
    match entity {
        Entity::Visit(v) => v.work_order.map(|w| DocRef::new(Kind::WorkOrder, w)).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// Who must have this document on their phone ([`EVERYBODY`] for staff and settings).
pub fn readers(doc: DocRef, entity: &Entity, world: &dyn World) -> BTreeSet<StaffId> {
    let _ = (doc, entity, world);
    BTreeSet::new()
}

/// What this document's content brings to whom: itself, and for a work order
/// also its visits, request and customer. Only ever grows while assignments do.
pub fn grants(doc: DocRef, entity: &Entity, world: &dyn World) -> Vec<(DocRef, StaffId)> {
    let _ = (doc, entity, world);
    Vec::new()
}

/// Projects a document to its row.
pub fn summary(doc: DocRef, entity: &Entity, world: &dyn World, now: Millis) -> Summary {
    let _ = (world, now);
    Summary {
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
    }
}
