//! Trials of honest and hostile changes, in this process.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use onsite_core::document::Change;
use onsite_core::domain::{DocId, Entity, Millis, Outcome as Result_, Visit, Write};

const KIND: Kind = Kind::Visit;
const DOC: DocId = DocId(uuid::Uuid::from_u128(7));

fn actor(n: u128) -> Actor {
    Actor { device: DeviceId(uuid::Uuid::from_u128(n)), incarnation: [1; 8] }
}

/// A change of the device `n` to the outcome of a visit.
fn set(doc: &mut Doc, n: u128, outcome: Result_) -> Change {
    let Entity::Visit(mut visit) = doc.entity().unwrap() else { unreachable!() };
    visit = Visit { outcome: Some(outcome), ..visit };
    let by = StaffId(uuid::Uuid::from_u128(n));
    doc.write(actor(n), by, Millis(1), &[Write::Put(DOC, Entity::Visit(visit))]).unwrap().unwrap()
}

fn trial(tail: &[&Change], offers: &[&Change]) -> Trial {
    Trial {
        kind: KIND,
        snapshot: None,
        tail: tail.iter().map(|c| c.bytes.clone().into()).collect(),
        clashes: 0,
        offers: offers.iter().map(|c| Offer { bytes: c.bytes.clone().into(), objected: false }).collect(),
        due: true,
        each: false,
    }
}

fn run(trial: Trial) -> Tried {
    here(&[trial]).pop().unwrap()
}

fn lives(tried: &Tried) -> &After {
    match &tried.after {
        Outcome::Lives(after) => after,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_fits_lives_and_what_is_known_is_known() {
    let mut doc = Doc::new(KIND);
    let one = set(&mut doc, 1, Result_::Completed);
    let two = set(&mut doc, 1, Result_::Incomplete);
    let tried = run(trial(&[&one], &[&one, &two]));
    assert_eq!(tried.placed, [Placed::Known, Placed::Fits]);
    let after = lives(&tried);
    assert_eq!((after.heads.clone(), after.clashes), (doc.heads(), 0));
    assert_eq!(serde_json::from_str::<Entity>(&after.entity).unwrap(), doc.entity().unwrap());
    let again = Doc::load(KIND, after.snapshot.as_ref().map(|s| s.as_slice()), std::iter::empty::<&[u8]>()).unwrap();
    assert_eq!(again.heads(), doc.heads());
}

#[test]
fn what_lacks_a_parent_says_which_and_a_number_taken_twice_is_reused() {
    let mut doc = Doc::new(KIND);
    let one = set(&mut doc, 1, Result_::Completed);
    let two = set(&mut doc, 1, Result_::Incomplete);
    let tried = run(trial(&[], &[&two]));
    assert_eq!(tried.placed, [Placed::NeedDeps(vec![one.header.hash])]);
    assert_eq!(tried.after, Outcome::Same);
    let twin = set(&mut Doc::new(KIND), 1, Result_::Incomplete);
    assert_eq!(run(trial(&[&one], &[&twin])).placed, [Placed::ActorReused]);
}

#[test]
fn what_somebody_objected_to_is_asked_for_only() {
    let one = set(&mut Doc::new(KIND), 1, Result_::Completed);
    let mut objected = trial(&[], &[&one]);
    objected.offers[0].objected = true;
    assert_eq!(run(objected).placed, [Placed::Objected]);
    let mut known = trial(&[&one], &[&one]);
    known.offers[0].objected = true;
    assert_eq!(run(known).placed, [Placed::Known]);
}

#[test]
fn a_clash_is_counted_and_settling_it_counts_it_out() {
    let (mut a, mut b) = (Doc::new(KIND), Doc::new(KIND));
    let one = set(&mut a, 1, Result_::Completed);
    let other = set(&mut b, 2, Result_::Incomplete);
    let tried = run(trial(&[&one], &[&other]));
    assert_eq!(lives(&tried).clashes, 1);
    // Somebody who saw both writes one value: the change is made on all heads, and the clash is gone.
    a.apply([&other.bytes]).unwrap();
    let shown = a.clashes()[0].values.iter().find(|v| !v.shown).unwrap().change;
    let choose = Write::Choose {
        doc: onsite_core::domain::DocRef { kind: KIND, id: DOC },
        path: "outcome".into(),
        choice: shown,
    };
    let settled = a.write(actor(1), StaffId(uuid::Uuid::from_u128(1)), Millis(2), &[choose]).unwrap().unwrap();
    let mut last = trial(&[&one, &other], &[&settled]);
    last.clashes = 1;
    assert_eq!(lives(&run(last)).clashes, 0);
}

#[test]
fn damaged_bytes_of_our_own_are_nobodys_guilt() {
    let one = set(&mut Doc::new(KIND), 1, Result_::Completed);
    let mut broken = trial(&[], &[&one]);
    broken.snapshot = Some(b"not a document".to_vec().into());
    assert!(matches!(run(broken).after, Outcome::Unheard(_)));
}

/// Whatever stands beside it, and wherever that ends.
#[test]
fn a_trial_abreast_of_others_ends_as_it_does_alone() {
    let mut doc = Doc::new(KIND);
    let one = set(&mut doc, 1, Result_::Completed);
    let two = set(&mut doc, 1, Result_::Incomplete);
    let twin = set(&mut Doc::new(KIND), 1, Result_::Incomplete);
    let mut broken = trial(&[], &[&one]);
    broken.snapshot = Some(b"not a document".to_vec().into());
    let mut noise = trial(&[&one], &[&two]);
    noise.offers.insert(0, Offer { bytes: b"no change".to_vec().into(), objected: false });
    let mut large = trial(&[&one], &[&two]);
    large.offers.extend(vec![large.offers[0].clone(); SMALL / two.bytes.len() + 1]);
    let kinds = [
        trial(&[], &[&one, &two]),
        broken,
        trial(&[&one], &[&one]),
        trial(&[], &[&two]),
        noise,
        large,
        trial(&[&one], &[&twin]),
    ];
    assert!(kinds.iter().any(|t| !small(t, t)) && kinds.iter().any(|t| small(t, t)));
    let many: Vec<Trial> =
        (0..3 * ABREAST).map(|n| kinds[n * n % kinds.len()].clone()).chain(kinds.iter().cloned()).collect();
    let alone: Vec<Tried> = many.iter().cloned().map(run).collect();
    assert_eq!(here(&many), alone);
    let ends = |f: fn(&Outcome) -> bool| alone.iter().filter(|t| f(&t.after)).count();
    assert!(ends(|o| matches!(o, Outcome::Lives(_))) > 9, "{alone:?}");
    assert!(ends(|o| matches!(o, Outcome::Same)) > 9 && ends(|o| matches!(o, Outcome::Unheard(_))) > 3, "{alone:?}");
    // Every step is granted to the trial that takes it, and one that is refused its time ends all of them.
    let (mut granted, mut left) = (vec![0; many.len()], 40);
    let cut = hold(&many, |n| {
        granted[n] += 1;
        left -= 1;
        if left == 0 { Err(n) } else { Ok(()) }
    });
    assert_eq!((cut.is_err(), granted.iter().sum::<i32>()), (true, 40));
    granted.fill(0);
    let _: Result<_, ()> = hold(&many, |n| {
        granted[n] += 1;
        Ok(())
    });
    for (tried, steps) in alone.iter().zip(granted) {
        let all = match tried.after {
            Outcome::Lives(_) => 5,
            Outcome::Same => 2,
            _ => 1,
        };
        assert_eq!(steps, all, "{tried:?}");
    }
}

#[test]
fn only_a_worker_is_a_worker() {
    let args = |a: &[&str]| worker_limits(a.iter().map(std::ffi::OsString::from).collect::<Vec<_>>().into_iter());
    assert_eq!(args(&["onsite", "gate-worker", "1000", "3"]), Some((1000, 3)));
    assert_eq!(args(&["onsite", "gate-worker", "1000"]), None);
    assert_eq!(args(&["onsite", "serve"]), None);
    assert_eq!(args(&["onsite"]), None);
}
