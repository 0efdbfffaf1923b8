//! A world in memory, for tests of the rules.

use super::{
    Author, Command, ComplaintId, DocId, DocRef, Entity, Kind, Millis, Moment, Rejection, RequestId, Role, StaffId,
    Stamp, WorkOrderId, World, Write, summary,
};
use std::borrow::Cow;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Contents by document: what a device or the server would hold.
#[derive(Clone, Default)]
pub(crate) struct MemoryWorld {
    /// Every document.
    pub(crate) docs: BTreeMap<DocRef, Entity>,
    /// The number given out last.
    pub(crate) counter: u64,
    /// The id given out last.
    pub(crate) ids: u128,
    /// Up to when everybody's devices have sent what they hold.
    pub(crate) synced: Option<Millis>,
}

impl World for MemoryWorld {
    fn entity(&self, doc: DocRef) -> Option<Cow<'_, Entity>> {
        self.docs.get(&doc).map(Cow::Borrowed)
    }
    fn children(&self, kind: Kind, of: DocId) -> Vec<DocId> {
        (self.docs.iter().filter(|(d, e)| d.kind == kind && summary::parent(e) == Some(of)))
            .map(|(d, _)| d.id)
            .collect()
    }
    fn answers(&self, request: RequestId) -> Vec<WorkOrderId> {
        self.docs.iter().filter(|(_, e)| summary::answers(e, request)).map(|(d, _)| d.id.into()).collect()
    }
    fn coded(&self, code: &str) -> Vec<StaffId> {
        let here = |e: &Entity| matches!(e, Entity::Staff(s) if s.code == code && s.left.is_none());
        self.docs.iter().filter(|(_, e)| here(e)).map(|(d, _)| d.id.into()).collect()
    }
    fn complaints(&self, from: Millis, to: Millis) -> Option<Vec<ComplaintId>> {
        let inside = |e: &Entity| matches!(e, Entity::Complaint(c) if c.received.is_none_or(|r| from <= r.best() && r.best() < to));
        Some(self.docs.iter().filter(|(_, e)| inside(e)).map(|(d, _)| d.id.into()).collect())
    }
    fn synced_until(&self, _staff: StaffId) -> Option<Millis> {
        self.synced
    }
}

/// An author of these roles.
pub(crate) fn author(staff: StaffId, roles: &[Role]) -> Author {
    Author { staff, roles: roles.iter().copied().collect(), device_code: Some("T1".into()) }
}

impl MemoryWorld {
    /// Decides a command at a moment, without applying it.
    pub(crate) fn decide(&mut self, command: &Command, by: &Author, now: Stamp) -> Result<Vec<Write>, Rejection> {
        let (mut ids, mut counter) = (self.ids, self.counter);
        let result = {
            let mut new_id = || {
                ids += 1;
                Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + ids)
            };
            let mut next_number = || {
                counter += 1;
                counter
            };
            let mut moment = Moment { now, new_id: &mut new_id, next_number: &mut next_number };
            super::decide(command, by, &mut moment, self)
        };
        (self.ids, self.counter) = (ids, counter);
        result
    }

    /// The content `write` leaves in its document.
    pub(crate) fn after(&self, write: &Write) -> Option<(DocRef, Entity)> {
        match write {
            Write::Put(id, entity) => Some((DocRef { kind: entity.kind(), id: *id }, entity.clone())),
            Write::Text { doc, field, text, .. } => {
                let mut json = serde_json::to_value(self.entity(*doc)?).ok()?;
                *json.pointer_mut(&format!("/{field}"))? = text.clone().into();
                Some((*doc, serde_json::from_value(json).ok()?))
            }
            Write::Choose { .. } => None,
        }
    }

    /// Applies what was decided.
    pub(crate) fn apply(&mut self, writes: &[Write]) {
        for write in writes {
            if let Some((doc, entity)) = self.after(write) {
                self.docs.insert(doc, entity);
            }
        }
    }

    /// Decides and applies.
    pub(crate) fn run(&mut self, command: &Command, by: &Author, now: Stamp) -> Result<Vec<Write>, Rejection> {
        let writes = self.decide(command, by, now)?;
        self.apply(&writes);
        Ok(writes)
    }
}
