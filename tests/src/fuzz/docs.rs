//! Documents as phones and offices write them, and honest changes to go on with.

use super::chunk::{Key, Op, Parts, columns, open, seal};
use onsite_core::document::{Actor, Change, Doc};
use onsite_core::domain::*;
use rand::{Rng, RngExt, seq::IndexedRandom};
use std::sync::OnceLock;
use uuid::Uuid;

pub(super) const ID: DocId = DocId(Uuid::from_u128(7));
pub(super) const AT: Millis = Millis(1_763_942_400_000);

pub(super) fn actor(n: u8) -> Actor {
    Actor { device: DeviceId(Uuid::from_bytes([n; 16])), incarnation: [1; 8] }
}

pub(super) fn staff(n: u8) -> StaffId {
    StaffId(Uuid::from_bytes([0x50 + n; 16]))
}

pub(super) fn item(n: u8) -> ItemId {
    ItemId(Uuid::from_bytes([n; 16]))
}

/// A document, and changes that may come next.
#[derive(Clone, Debug)]
pub struct Base {
    /// The document.
    pub doc: Doc,
    /// The same, saved.
    pub snapshot: Vec<u8>,
    /// Its heads.
    pub heads: Vec<ChangeHash>,
    /// How many of its leaves hold several values.
    pub clashes: u32,
    /// Changes that fit, each alone.
    pub next: Vec<Change>,
    max_op: u64,
    /// Operations that are there: counter, actor.
    ops: Vec<(u64, Vec<u8>)>,
    /// How many of the genesis's operations make a text.
    texts: u64,
}

fn put(doc: &mut Doc, n: u8, entity: Entity) -> Option<Change> {
    doc.write(actor(n), staff(n), AT, &[Write::Put(ID, entity)]).expect("an honest write")
}

fn visit(doc: &mut Doc, n: u8, f: impl FnOnce(&mut Visit)) -> Option<Change> {
    let Ok(Entity::Visit(mut v)) = doc.entity() else { return None };
    f(&mut v);
    put(doc, n, Entity::Visit(v))
}

fn mark() -> Mark {
    Mark { at: Stamp::exact(AT), by: staff(1) }
}

/// What a technician writes at a customer's, step `n` of it.
fn step(v: &mut Visit, n: usize) {
    match n % 9 {
        0 => v.remarks.0.push_str("泵漏油，"),
        1 => {
            v.outcome =
                Some(if v.outcome == Some(Outcome::Completed) { Outcome::Incomplete } else { Outcome::Completed })
        }
        2 => {
            let used = v.items.entry(item(1)).or_default();
            used.used.0 = used.used.0.saturating_add(2);
            used.name = "密封圈".into();
        }
        3 => {
            let note = Note { mark: mark(), text: format!("第 {} 条", v.notes.len()) };
            v.notes.insert(item(100_u8.wrapping_add(v.notes.len() as u8)), Atomic(note));
        }
        4 => v.remarks.0 = v.remarks.0.chars().skip(1).collect(),
        5 => v.outcome = None,
        6 => {
            let check = v.checks.entry("model".into()).or_default();
            check.result = Some(CheckResult::Passed);
            check.note.push('好');
        }
        7 => v.diagnosis.0 = format!("断路 {}", v.diagnosis.0),
        _ => v.round = v.round.saturating_add(1),
    }
}

impl Base {
    /// The document as the gate left it, to go on with.
    ///
    /// # Panics
    /// Where it does not load.
    #[must_use]
    pub fn after(&self, snapshot: &[u8]) -> Self {
        let doc = Doc::load(self.doc.kind(), Some(snapshot), std::iter::empty::<&[u8]>()).expect("loads");
        Self::of(doc, self.next.clone())
    }

    fn of(doc: Doc, next: Vec<Change>) -> Self {
        let snapshot = doc.save();
        let doc = Doc::load(doc.kind(), Some(&snapshot), std::iter::empty::<&[u8]>()).expect("loads");
        let changes = doc.changes();
        let all: u64 = changes.iter().map(|c| c.header.ops).sum();
        let genesis = Doc::new(doc.kind()).max_op();
        let mut ops: Vec<_> = (1..=genesis).map(|n| (n, vec![0; 24])).collect();
        for change in &changes {
            let h = &change.header;
            ops.extend((h.start_op..h.start_op + h.ops).map(|n| (n, h.actor.clone())));
        }
        assert_eq!(ops.len() as u64, all + genesis);
        let (heads, clashes, max_op) = (doc.heads(), doc.clashes().len() as u32, doc.max_op());
        Self { doc, snapshot, heads, clashes, next, max_op, ops, texts: genesis - 1 }
    }

    /// A change of operations that nobody would write, on what is here.
    pub fn forge(&self, rng: &mut impl Rng) -> Vec<u8> {
        let own = match rng.random_range(0..3_u32) {
            0 => actor(9),
            n => actor(n as u8),
        };
        let own_bytes = own.to_bytes().to_vec();
        let mut others: Vec<Vec<u8>> = self.ops.iter().map(|o| o.1.clone()).collect();
        others.sort();
        others.dedup();
        others.retain(|a| *a != own_bytes);
        let index = |a: &Vec<u8>| others.iter().position(|o| o == a).map_or(0, |n| n as u64 + 1);
        let start = self.max_op + 1;
        let count = rng.random_range(1..=5_u64);
        let id = |rng: &mut dyn Rng| -> (u64, u64) {
            match rng.random_range(0..12_u32) {
                // One of this very change, before or after.
                0..3 => (start + rng.random_range(0..count + 1), 0),
                // None that is there.
                3 => (rng.random_range(0..start + 4), rng.random_range(0..=others.len() as u64)),
                _ => self.ops.choose(rng).map_or((1, 0), |(n, a)| (*n, index(a))),
            }
        };
        let ops: Vec<Op> = (0..count)
            .map(|_| {
                let text = (2 + rng.random_range(0..self.texts.max(1)), index(&vec![0; 24]));
                let obj = match rng.random_range(0..6_u32) {
                    0 | 1 => None,
                    2..5 if self.texts > 0 => Some(text),
                    _ => Some(id(rng)),
                };
                let known = ["remarks", "outcome", "round", "~kind", "items", "", "x", "diagnosis"];
                let key = match (rng.random_range(0..8_u32), obj) {
                    (0, _) => Key::Head,
                    (1, _) => {
                        let (n, a) = id(rng);
                        Key::Elem(n, a)
                    }
                    (2..6, Some(_)) => {
                        let (n, a) = id(rng);
                        if rng.random() { Key::Elem(n, a) } else { Key::Head }
                    }
                    _ => Key::Map((*known.choose(rng).unwrap_or(&"x")).to_owned()),
                };
                let insert =
                    !matches!(key, Key::Map(_)) && rng.random_range(0..3_u32) > 0 || rng.random_range(0..20_u32) == 0;
                let (meta, raw) = match rng.random_range(0..9_u32) {
                    0 => (0, vec![]),
                    1 => (2, vec![]),
                    2 => (16 | 3, vec![5]),
                    3 => (16 | 4, vec![0x7f]),
                    4 => (16 | 8, vec![1]),
                    5 => (128 | 5, vec![0xff; 8]),
                    6 => (16 | rng.random_range(0..16_u64), vec![rng.random()]),
                    7 => ((3 << 4) | 6, "好".into()),
                    _ => (16 | 6, vec![b'a']),
                };
                let action = match rng.random_range(0..10_u32) {
                    0 => rng.random_range(0..=5),
                    1 => 3,
                    2 => 5,
                    3 => 4,
                    _ => 1,
                };
                let mut pred: Vec<_> = (0..rng.random_range(0..3_u32)).map(|_| id(rng)).collect();
                if rng.random_range(0..4_u32) > 0 {
                    pred.sort();
                    pred.dedup();
                }
                let mut op = Op { obj, key, insert, action, meta, raw, pred };
                // Two of three have a shape that is let through to Automerge.
                if rng.random_range(0..3_u32) > 0 {
                    op.straighten(rng);
                }
                op
            })
            .collect();
        self.sealed(own, others, &ops)
    }

    /// A change of these operations on what is here, whose actors are `own` and `others`.
    fn sealed(&self, own: Actor, others: Vec<Vec<u8>>, ops: &[Op]) -> Vec<u8> {
        let mut deps: Vec<[u8; 32]> = self.heads.iter().map(|h| h.0).collect();
        deps.sort_unstable();
        let parts = Parts {
            deps,
            actor: own.to_bytes().to_vec(),
            seq: self.doc.next_seq(own),
            start: self.max_op + 1,
            time: AT.0,
            message: staff(1).0.simple().to_string().into_bytes(),
            others,
            columns: columns(ops),
            rest: Vec::new(),
        };
        seal(1, &parts.body())
    }

    /// A letter in a text, and behind it a map's key in a text: Automerge takes both in, and panics at the next
    /// honest edit.
    #[cfg(test)]
    pub(super) fn key_in_a_text(&self) -> Vec<u8> {
        let in_text = |key, insert, counter| {
            let (raw, pred) = (vec![b'a'], Vec::new());
            Op { obj: Some((counter, 1)), key, insert, action: 1, meta: 16 | 6, raw, pred }
        };
        let ops = [in_text(Key::Head, true, 4), in_text(Key::Map("round".into()), false, 3)];
        self.sealed(actor(1), vec![vec![0; 24]], &ops)
    }

    /// An honest change, bent a little, its checksum right again.
    pub fn bend(&self, rng: &mut impl Rng) -> Vec<u8> {
        let parts = |c: &Change| open(&c.bytes).and_then(|(_, body)| Parts::of(body));
        let (Some(mine), Some(theirs)) = (self.next.choose(rng), self.next.choose(rng)) else { return Vec::new() };
        let (Some(mut bent), Some(donor)) = (parts(mine), parts(theirs)) else { return Vec::new() };
        for _ in 0..rng.random_range(1..=3_u32) {
            bent.bend(rng, &donor);
        }
        seal(1, &bent.body())
    }
}

/// The documents; always the same.
pub fn bases() -> &'static [Base] {
    static ALL: OnceLock<Vec<Base>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut all = Vec::new();
        // Nobody wrote yet; one phone; two phones that met, with clashes; a long one.
        for size in [0, 4, 9, 30] {
            let (mut a, mut b) = (Doc::new(Kind::Visit), Doc::new(Kind::Visit));
            for n in 0..size {
                visit(&mut a, 1, |v| step(v, n));
                visit(&mut b, 2, |v| step(v, n * 2 + 1));
            }
            let old = a.clone();
            if size > 4 {
                a.apply(b.changes().iter().map(|c| &c.bytes)).expect("they meet");
            }
            let mut next = Vec::new();
            for n in 0..9 {
                // By an author who is there, by a new one, and by one who has not seen the last.
                next.extend(visit(&mut a.clone(), 1, |v| step(v, n)));
                next.extend(visit(&mut a.clone(), 3, |v| step(v, n)));
                next.extend(visit(&mut old.clone(), 3, |v| step(v, n)));
                next.extend(visit(&mut a.clone(), 2, |v| (0..9).for_each(|m| step(v, n + m))));
            }
            // Kept plain, so that they can be taken apart.
            next.retain(|c| open(&c.bytes).is_some_and(|(kind, _)| kind == 1));
            all.push(Base::of(a, next));
        }
        let customer = |name: &str, notes: &str| {
            let mut c = Customer { name: name.into(), notes: Text(notes.into()), ..Customer::default() };
            c.contacts.insert(item(1), Contact { name: "李".into(), phone: "1".into(), ..Contact::default() });
            Entity::Customer(c)
        };
        let mut doc = Doc::new(Kind::Customer);
        put(&mut doc, 1, customer("甲", "备忘"));
        let next = [customer("乙", "备忘录"), customer("甲", ""), customer("丙", "新备忘")];
        let next = next.into_iter().zip([1, 2, 3]).filter_map(|(c, n)| put(&mut doc.clone(), n, c)).collect();
        all.push(Base::of(doc, next));
        let order = |n: u32| {
            let mut w = WorkOrder { round: n, arrival_deadline: Some(AT), ..WorkOrder::default() };
            w.dispatch.service_description = Text("换加热管".repeat(n as usize));
            let need = RequiredItem {
                name: "管".into(),
                required: n.into(),
                issued: Count(n.into()),
                ..RequiredItem::default()
            };
            w.dispatch.items.insert(item(1), need);
            Entity::WorkOrder(w)
        };
        let mut doc = Doc::new(Kind::WorkOrder);
        put(&mut doc, 1, order(1));
        let next = [1, 2, 3].into_iter().filter_map(|n| put(&mut doc.clone(), n, order(1 + u32::from(n)))).collect();
        all.push(Base::of(doc, next));
        all
    })
}

/// An edit as anybody's next one: texts, values, counts.
pub(super) fn honest(doc: &mut Doc, n: u8) -> onsite_core::Result<Option<Change>> {
    let mut entity = doc.entity()?;
    match &mut entity {
        Entity::Visit(v) => {
            for n in [0, 1, 2, 3, 6, 7, 8] {
                step(v, n);
            }
        }
        Entity::Customer(c) => {
            c.name.push('甲');
            c.notes.0.insert(0, '新');
        }
        Entity::WorkOrder(w) => {
            w.round = w.round.saturating_add(1);
            w.dispatch.remarks.0.push('早');
            let need = w.dispatch.items.entry(item(1)).or_default();
            need.issued.0 = need.issued.0.saturating_add(1);
        }
        _ => {}
    }
    doc.write(actor(n), staff(n), AT, &[Write::Put(ID, entity)])
}
