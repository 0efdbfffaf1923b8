//! The document layer beside bare Automerge, on one job's document.
#![expect(clippy::unwrap_used, reason = "a benchmark")]

use divan::{Bencher, black_box};
use onsite_core::document::{Actor, Change, Doc, screen::screen};
use onsite_core::domain::*;
use uuid::Uuid;

fn main() {
    divan::main();
}

const ID: DocId = DocId(Uuid::from_u128(7));

fn actor(n: u8) -> Actor {
    Actor { device: DeviceId(Uuid::from_bytes([n; 16])), incarnation: [n; 8] }
}

fn write(doc: &mut Doc, n: u8, f: impl FnOnce(&mut Visit)) -> Change {
    let mut v = Visit::unwrap(doc.entity().unwrap()).unwrap();
    f(&mut v);
    let by = StaffId(Uuid::from_bytes([n; 16]));
    doc.write(actor(n), by, Millis(1_763_942_400_000), &[Write::Put(ID, v.wrap())]).unwrap().unwrap()
}

/// A visit in the middle of the day: some twenty changes by two technicians.
fn visit() -> Doc {
    let mut doc = Doc::new(Kind::Visit);
    let mark = Mark { at: Stamp::exact(Millis(1_763_942_400_000)), by: StaffId(Uuid::from_bytes([1; 16])) };
    for n in 0..20_u8 {
        let id = ItemId(Uuid::from_bytes([n; 16]));
        write(&mut doc, 1 + n % 2, |v| match n % 5 {
            0 => {
                let event = VisitEvent {
                    kind: EventKind::ALL[usize::from(n % 9)],
                    mark: mark.clone(),
                    position: None,
                    corrects: None,
                };
                v.events.insert(id, Atomic(event));
            }
            1 => v.resolution.0.push_str("更换加热管两根, 试机正常。"),
            2 => {
                let item = UsedItem {
                    part_no: format!("P{n}"),
                    name: "加热管".into(),
                    unit: "根".into(),
                    used: Count(2),
                    ..Default::default()
                };
                v.items.insert(id, item);
            }
            3 => {
                v.notes.insert(id, Atomic(Note { mark: mark.clone(), text: "客户要求周末前恢复".into() }));
            }
            _ => {
                let check =
                    Check {
                        result: Some(CheckResult::Passed), note: "完好".into(), mark: Some(Atomic(mark.clone()))
                    };
                v.checks.insert(format!("line{n}"), check);
            }
        });
    }
    doc
}

/// The document as stored, and one change that comes in.
fn incoming() -> (Vec<u8>, Change) {
    let doc = visit();
    let mut other = doc.clone();
    let change = write(&mut other, 3, |v| {
        v.outcome = Some(Outcome::Completed);
        v.remarks.0.push_str("已试机");
    });
    (doc.save(), change)
}

#[divan::bench]
fn bare_automerge_load_apply(b: Bencher<'_, '_>) {
    let (snapshot, change) = incoming();
    b.bench(|| {
        let mut doc = automerge::Automerge::load(&snapshot).unwrap();
        doc.apply_changes([automerge::Change::from_bytes(change.bytes.clone()).unwrap()]).unwrap();
        doc
    });
}

#[divan::bench]
fn doc_load_apply_entity(b: Bencher<'_, '_>) {
    let (snapshot, change) = incoming();
    b.bench(|| {
        let mut doc = Doc::load(Kind::Visit, Some(&snapshot), std::iter::empty::<&[u8]>()).unwrap();
        doc.apply([&change.bytes]).unwrap();
        doc.entity().unwrap()
    });
}

#[divan::bench]
fn bare_automerge_apply(b: Bencher<'_, '_>) {
    let (snapshot, change) = incoming();
    let doc = automerge::Automerge::load(&snapshot).unwrap();
    b.with_inputs(|| doc.clone()).bench_values(|mut doc| {
        doc.apply_changes([automerge::Change::from_bytes(change.bytes.clone()).unwrap()]).unwrap();
        doc
    });
}

#[divan::bench]
fn doc_apply(b: Bencher<'_, '_>) {
    let (_, change) = incoming();
    let doc = visit();
    b.with_inputs(|| doc.clone()).bench_values(|mut doc| {
        doc.apply([&change.bytes]).unwrap();
        doc
    });
}

#[divan::bench]
fn doc_clone(b: Bencher<'_, '_>) {
    let doc = visit();
    b.bench(|| doc.clone());
}

#[divan::bench]
fn doc_new_entity(b: Bencher<'_, '_>) {
    b.bench(|| Doc::new(Kind::Visit).entity().unwrap());
}

#[divan::bench]
fn doc_entity(b: Bencher<'_, '_>) {
    let doc = visit();
    b.bench(|| doc.entity().unwrap());
}

#[divan::bench]
fn doc_write(b: Bencher<'_, '_>) {
    let doc = visit();
    let mut v = Visit::unwrap(doc.entity().unwrap()).unwrap();
    v.outcome = Some(Outcome::Completed);
    let put = [Write::Put(ID, v.wrap())];
    b.with_inputs(|| doc.clone())
        .bench_values(|mut doc| doc.write(actor(1), StaffId(Uuid::nil()), Millis(1), &put).unwrap());
}

#[divan::bench]
fn doc_save(b: Bencher<'_, '_>) {
    let doc = visit();
    b.bench(|| doc.save());
}

#[divan::bench]
fn doc_load(b: Bencher<'_, '_>) {
    let snapshot = visit().save();
    b.bench(|| Doc::load(Kind::Visit, Some(&snapshot), std::iter::empty::<&[u8]>()).unwrap());
}

#[divan::bench]
fn doc_prove(b: Bencher<'_, '_>) {
    let doc = visit();
    b.bench(|| doc.prove().unwrap());
}

#[divan::bench]
fn screen_change(b: Bencher<'_, '_>) {
    let (_, change) = incoming();
    b.bench(|| screen(black_box(&change.bytes)).unwrap());
}
