//! What a visit's and a work order's facts add up to: arrivals, hours worked,
//! people, money, parts. Total over any merged state.

use super::{Assignment, EventKind, Fen, ItemId, Mark, Millis, Outcome, StaffId, Stamp, Visit, VisitId, WorkOrder};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// An event as it stands after corrections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LiveEvent {
    /// Its id: the last correction's, if it was corrected.
    pub id: ItemId,
    /// What happened.
    pub kind: EventKind,
    /// When.
    pub at: Stamp,
    /// To whom: the author of the first of a chain of corrections.
    pub by: StaffId,
}

impl Visit {
    /// The events that stand, by time. A corrected one is left out; of several
    /// corrections of the same event the last made (by id) stands.
    pub fn live_events(&self) -> Vec<LiveEvent> {
        let mut correction: BTreeMap<ItemId, ItemId> = BTreeMap::new();
        for (id, event) in &self.events {
            if let Some(target) = event.corrects.filter(|t| t != id && self.events.contains_key(t)) {
                // Ids ascend, so a later correction takes the place of an earlier one.
                correction.insert(target, *id);
            }
        }
        let mut live = Vec::new();
        for (root, first) in &self.events {
            if first.corrects.is_some_and(|t| t != *root && self.events.contains_key(&t)) {
                continue;
            }
            let (mut id, mut steps) = (*root, 0);
            while let Some(next) = correction.get(&id) {
                (id, steps) = (*next, steps + 1);
                if steps > self.events.len() {
                    break;
                }
            }
            if let Some(last) = self.events.get(&id) {
                live.push(LiveEvent { id, kind: last.kind, at: last.mark.at, by: first.mark.by });
            }
        }
        live.sort_by_key(|e| (e.at.best(), e.kind, e.id));
        live
    }

    fn first(&self, kind: EventKind, by: Option<StaffId>) -> Option<Stamp> {
        self.live_events().into_iter().find(|e| e.kind == kind && by.is_none_or(|by| by == e.by)).map(|e| e.at)
    }

    fn last(&self, kind: EventKind, by: Option<StaffId>) -> Option<Stamp> {
        self.live_events().into_iter().rev().find(|e| e.kind == kind && by.is_none_or(|by| by == e.by)).map(|e| e.at)
    }

    /// When the first person arrived.
    pub fn arrived_at(&self) -> Option<Stamp> {
        self.first(EventKind::Arrived, None)
    }

    /// When this person first arrived.
    pub fn arrived_at_by(&self, staff: StaffId) -> Option<Stamp> {
        self.first(EventKind::Arrived, Some(staff))
    }

    /// When the last person departed.
    pub fn departed_at(&self) -> Option<Stamp> {
        self.last(EventKind::Departed, None)
    }

    /// When this person last departed.
    pub fn departed_at_by(&self, staff: StaffId) -> Option<Stamp> {
        self.last(EventKind::Departed, Some(staff))
    }

    /// When the machine ran again (the last time, if it failed again).
    pub fn restored_at(&self) -> Option<Stamp> {
        self.last(EventKind::Restored, None)
    }

    /// When the result was given, as well as it is known: its own moment, else
    /// the customer's signature, refusal or acceptance, else the end of work
    /// or the last event. `None` while there is no result.
    pub fn result_mark(&self) -> Option<Mark> {
        self.outcome?;
        if let Some(mark) = &self.outcome_given {
            return Some(mark.0.clone());
        }
        let of = |mark: &Mark| mark.clone();
        let events = self.live_events();
        let event = |kind| events.iter().rev().find(|e| e.kind == kind).map(|e| Mark { at: e.at, by: e.by });
        (self.signature.as_ref().map(|s| of(&s.mark)))
            .or_else(|| self.signature_refused.as_ref().map(|r| Mark { at: r.at, by: r.by }))
            .or_else(|| self.acceptance.as_ref().map(|a| of(&a.mark)))
            .or_else(|| event(EventKind::WorkEnded))
            .or_else(|| event(EventKind::Restored))
            .or_else(|| event(EventKind::Departed))
            .or_else(|| events.last().map(|e| Mark { at: e.at, by: e.by }))
    }

    /// When the service was completed; `None` unless the result says so and a moment is known.
    pub fn completed_at(&self) -> Option<Stamp> {
        if self.outcome == Some(Outcome::Completed) { self.result_mark().map(|m| m.at) } else { None }
    }

    /// Milliseconds one person worked, pauses taken off. `None` unless they
    /// started and the end is known.
    pub fn work_ms_by(&self, staff: StaffId) -> Option<i64> {
        let spans = spans(self.live_events().iter().filter(|e| e.by == staff))?;
        Some(total(spans))
    }

    /// Milliseconds somebody was at work, pauses taken off; hours worked side
    /// by side count once. Where one person's own record does not close (one
    /// started, another ended), the events of all are read as one sequence.
    /// `None` where even that has no start or no end.
    pub fn work_ms(&self) -> Option<i64> {
        let events: Vec<_> = self.live_events().into_iter().filter(|e| is_work(e.kind)).collect();
        let people: BTreeSet<_> = events.iter().map(|e| e.by).collect();
        let mut all = Vec::new();
        for person in people {
            match spans(events.iter().filter(|e| e.by == person)) {
                Some(own) => all.extend(own),
                None => return spans(events.iter()).map(total),
            }
        }
        if all.is_empty() { None } else { Some(total(all)) }
    }

    /// [`Visit::work_ms`] in whole minutes.
    pub fn work_minutes(&self) -> Option<i64> {
        self.work_ms().map(|ms| ms / Millis::MINUTE)
    }

    /// [`Visit::work_ms_by`] in whole minutes.
    pub fn work_minutes_by(&self, staff: StaffId) -> Option<i64> {
        self.work_ms_by(staff).map(|ms| ms / Millis::MINUTE)
    }

    /// Departure minus arrival in minutes, where both are known and in order.
    pub fn stay_minutes(&self) -> Option<i64> {
        let stay = self.departed_at()?.best().since(self.arrived_at()?.best());
        (stay >= 0).then_some(stay / Millis::MINUTE)
    }

    /// The moments of work on site (not of reading, noting or claiming expenses), by time.
    pub fn work_marks(&self) -> Vec<Mark> {
        let mut marks: Vec<Mark> = self
            .live_events()
            .iter()
            .filter(|e| e.kind != EventKind::Acknowledged)
            .map(|e| Mark { at: e.at, by: e.by })
            .collect();
        marks.extend(self.checks.values().filter_map(|c| c.mark.as_ref()).map(|m| m.0.clone()));
        marks.extend(self.outcome.and(self.outcome_given.as_ref()).map(|m| m.0.clone()));
        marks.extend(self.acceptance.as_ref().map(|a| a.mark.clone()));
        marks.extend(self.signature.as_ref().map(|s| s.mark.clone()));
        marks.extend(self.receipts.values().map(|r| r.mark.clone()));
        marks.sort_by_key(|m| (m.at.best(), m.by));
        marks
    }

    /// Whether somebody is known to be on site at `at`: arrived by then, and
    /// neither departed nor the result given by then.
    pub fn on_site_at(&self, at: Millis, staff: Option<StaffId>) -> bool {
        let mut present: BTreeSet<StaffId> = BTreeSet::new();
        for e in self.live_events().iter().filter(|e| e.at.best() <= at) {
            match e.kind {
                EventKind::Departed => present.remove(&e.by),
                EventKind::Arrived | EventKind::WorkStarted | EventKind::Resumed => present.insert(e.by),
                _ => false,
            };
        }
        let ended = self.result_mark().is_some_and(|m| m.at.best() <= at);
        !ended && staff.map_or(!present.is_empty(), |s| present.contains(&s))
    }

    /// Everybody who wrote something of the day.
    pub fn people(&self) -> BTreeSet<StaffId> {
        let mut people: BTreeSet<StaffId> = self.work_marks().into_iter().map(|m| m.by).collect();
        people.extend(self.events.values().map(|e| e.mark.by));
        people.extend(self.notes.values().map(|n| n.mark.by));
        people.extend(self.contacts.values().map(|c| c.mark.by));
        people.extend(self.expenses.values().map(|e| e.mark.by));
        people.extend(self.provisional_numbers.keys());
        people
    }

    /// Money taken from the customer.
    pub fn collected(&self) -> Fen {
        self.receipts.values().map(|r| r.amount).sum()
    }

    /// Money spent of the advance.
    pub fn spent(&self) -> Fen {
        self.expenses.values().map(|e| e.amount).sum()
    }

    /// The customer was dealt with: signed, or refused to.
    pub fn signed_or_refused(&self) -> bool {
        self.signature.is_some() || self.signature_refused.is_some()
    }
}

fn is_work(kind: EventKind) -> bool {
    matches!(kind, EventKind::WorkStarted | EventKind::Paused | EventKind::Resumed | EventKind::WorkEnded)
}

/// The spans of work of one sequence of events; `None` where it does not start or does not close.
fn spans<'a>(events: impl Iterator<Item = &'a LiveEvent>) -> Option<Vec<(Millis, Millis)>> {
    enum At {
        Idle,
        Working(Millis),
        Paused,
    }
    let (mut at, mut spans, mut known) = (At::Idle, Vec::new(), false);
    for e in events {
        let t = e.at.best();
        at = match (e.kind, at) {
            (EventKind::WorkStarted | EventKind::Resumed, At::Idle | At::Paused) => {
                known = true;
                At::Working(t)
            }
            (EventKind::Paused, At::Working(from)) => {
                spans.push((from, t));
                At::Paused
            }
            (EventKind::WorkEnded, At::Working(from)) => {
                spans.push((from, t));
                At::Idle
            }
            (EventKind::WorkEnded, At::Paused) => At::Idle,
            // An end without a start: what came before it is not known.
            (EventKind::WorkEnded, At::Idle) if !known => return None,
            (_, other) => other,
        };
    }
    (known && matches!(at, At::Idle)).then_some(spans)
}

/// Milliseconds covered by the spans, overlaps once.
fn total(mut spans: Vec<(Millis, Millis)>) -> i64 {
    spans.sort();
    let (mut sum, mut until) = (0i64, Millis(i64::MIN));
    for (from, to) in spans {
        let from = from.max(until);
        if to > from {
            sum = sum.saturating_add(to.since(from));
            until = to;
        }
    }
    sum
}

/// One tool or part: what was required, issued, used and brought back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ItemAccount {
    /// The item.
    pub item: ItemId,
    /// Number in the catalogue, if it is there.
    pub part_no: String,
    /// Name.
    pub name: String,
    /// Unit of count.
    pub unit: String,
    /// Quantity required; 0 for what was not on the list.
    pub required: i64,
    /// Quantity the warehouse issued.
    pub issued: i64,
    /// Quantity used on site.
    pub used: i64,
    /// Quantity not used, by the technicians' account.
    pub taken_back: i64,
    /// Quantity the warehouse got back.
    pub returned: i64,
}

impl ItemAccount {
    /// Issued and neither used nor returned; negative where more was used than issued.
    pub fn unaccounted(&self) -> i64 {
        self.issued.saturating_sub(self.used).saturating_sub(self.returned)
    }
}

impl WorkOrder {
    /// The assignments that stand, the lead's first, then by time.
    fn current(&self) -> Vec<(StaffId, &Assignment)> {
        let mut current: Vec<_> = self
            .assignments
            .iter()
            .filter(|(_, a)| a.ended.is_none())
            .filter_map(|(id, a)| Some((*id, a.technician?, a)))
            .collect();
        let at = |a: &Assignment| a.assigned.as_ref().map(|m| m.at.best());
        // Of several leads (two offices assigned at once) the last one named leads.
        current.sort_by_key(|(id, _, a)| {
            (!a.lead, if a.lead { at(a).map(|t| -t.0.max(-i64::MAX)) } else { at(a).map(|t| t.0) }, *id)
        });
        let mut seen = BTreeSet::new();
        current.into_iter().filter(|(_, t, _)| seen.insert(*t)).map(|(_, t, a)| (t, a)).collect()
    }

    /// Who is assigned now, the lead first.
    pub fn current_technicians(&self) -> Vec<StaffId> {
        self.current().into_iter().map(|(t, _)| t).collect()
    }

    /// Who leads: the first of [`WorkOrder::current_technicians`].
    pub fn lead(&self) -> Option<StaffId> {
        self.current().first().map(|(t, _)| *t)
    }

    /// Everybody whom this work order has ever assigned.
    pub fn ever_assigned(&self) -> BTreeSet<StaffId> {
        self.assignments.values().filter_map(|a| a.technician).collect()
    }

    /// Money the technicians took from the customer on these visits.
    pub fn collected(&self, visits: &[(VisitId, Cow<'_, Visit>)]) -> Fen {
        visits.iter().map(|(_, v)| v.collected()).sum()
    }

    /// What of the balance is still to be collected; negative where too much was taken.
    pub fn remaining_balance(&self, visits: &[(VisitId, Cow<'_, Visit>)]) -> Fen {
        self.dispatch.balance_to_collect - self.collected(visits)
    }

    /// Every tool and part, required or used unforeseen.
    pub fn items(&self, visits: &[(VisitId, Cow<'_, Visit>)]) -> Vec<ItemAccount> {
        let mut accounts: BTreeMap<ItemId, ItemAccount> = BTreeMap::new();
        for (id, item) in self.dispatch.items.iter() {
            if item.removed && item.issued.0 == 0 && item.returned.0 == 0 {
                continue;
            }
            accounts.insert(
                *id,
                ItemAccount {
                    item: *id,
                    part_no: item.part_no.clone(),
                    name: item.name.clone(),
                    unit: item.unit.clone(),
                    required: if item.removed { 0 } else { item.required },
                    issued: item.issued.0,
                    used: 0,
                    taken_back: 0,
                    returned: item.returned.0,
                },
            );
        }
        for (id, used) in visits.iter().flat_map(|(_, v)| &v.items) {
            let account = accounts.entry(*id).or_insert_with(|| ItemAccount {
                item: *id,
                part_no: used.part_no.clone(),
                name: used.name.clone(),
                unit: used.unit.clone(),
                required: 0,
                issued: 0,
                used: 0,
                taken_back: 0,
                returned: 0,
            });
            account.used = account.used.saturating_add(used.used.0);
            account.taken_back = account.taken_back.saturating_add(used.taken_back.0);
        }
        accounts.into_values().collect()
    }
}
