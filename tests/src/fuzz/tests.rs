//! Every target over its seeds and some thousand mutations, on any compiler: the same functions
//! that `cargo xtask fuzz` gives to libFuzzer.

use super::{Target, chunk, docs, gate};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Feeds a target its seeds and `count` inputs bent from them, one after another.
fn smoke(target: Target, count: u64) {
    let mut inputs: Vec<Vec<u8>> = target.seeds().into_iter().map(|(_, bytes)| bytes).collect();
    assert!(!inputs.is_empty());
    inputs.iter().for_each(|input| target.run(input));
    let seeds = inputs.len();
    for seed in 0..count {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut dice = ChaCha8Rng::seed_from_u64(!seed);
        let at = rng.random_range(0..inputs.len());
        let bent = target.bend(&inputs[at], &mut rng, &mut |data| chunk::bytes(&mut dice, data));
        target.run(&bent);
        // Bent again later, or forgotten.
        if inputs.len() < 4 * seeds {
            inputs.push(bent);
        } else if at >= seeds {
            inputs[at] = bent;
        }
    }
}

#[test]
fn screen() {
    smoke(Target::Screen, 4_000);
}

#[test]
fn gate() {
    smoke(Target::Gate, 1_500);
}

#[test]
fn messages() {
    smoke(Target::Messages, 4_000);
}

#[test]
fn request() {
    smoke(Target::Request, 300);
}

#[test]
fn session() {
    smoke(Target::Session, 300);
}

#[test]
fn rescue() {
    smoke(Target::Rescue, 300);
}

#[test]
fn cursor() {
    smoke(Target::Cursor, 4_000);
}

#[test]
fn import() {
    smoke(Target::Import, 1_500);
}

#[test]
fn what_was_found_once_does_no_harm() {
    Target::Rescue.run(include_bytes!("../../fixtures/finds/rescue-other-history"));
}

#[test]
fn a_maps_key_in_a_text_is_refused() {
    for base in docs::bases().iter().filter(|b| b.doc.kind() == onsite_core::domain::Kind::Visit) {
        let met = gate::meet(base, &base.key_in_a_text());
        assert_eq!(met, gate::Met::Refused("place", "bad_shape".into()));
    }
}

#[test]
fn honest_changes_are_admitted_and_bent_ones_are_met_both_ways() {
    let (mut admitted, mut refused) = (0, 0);
    for (n, base) in docs::bases().iter().enumerate() {
        for change in &base.next {
            assert!(matches!(gate::meet(base, &change.bytes), gate::Met::Admitted(_)), "document {n}");
        }
        let mut rng = ChaCha8Rng::seed_from_u64(n as u64);
        for n in 0..200 {
            let change = if n % 2 == 0 { base.forge(&mut rng) } else { base.bend(&mut rng) };
            match gate::meet(base, &change) {
                gate::Met::Admitted(saved) => {
                    admitted += 1;
                    assert_ne!(base.after(&saved).heads, base.heads);
                }
                gate::Met::Refused(..) => refused += 1,
            }
        }
    }
    assert!(admitted > 20 && refused > 20, "{admitted} admitted, {refused} refused");
}
