//! The targets of `onsite_e2e::fuzz` under libFuzzer: `cargo xtask fuzz`.

pub mod meter;

use onsite_e2e::fuzz::Target;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

/// A target and its mutator.
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        libfuzzer_sys::fuzz_target!(init: { onsite_e2e::fuzz::quiet(); }, |data: &[u8]| {
            onsite_e2e::fuzz::Target::$name.run(data);
        });

        libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
            $crate::bend(onsite_e2e::fuzz::Target::$name, data, size, max_size, seed)
        });
    };
}

/// Bends an input as its target does, with libFuzzer's own dice where bytes have no form.
pub fn bend(target: Target, data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let raw = &mut |bytes: &mut Vec<u8>| {
        let len = bytes.len();
        bytes.resize(len.max(max_size), 0);
        let len = libfuzzer_sys::fuzzer_mutate(bytes, len, len.max(max_size));
        bytes.truncate(len);
    };
    let bent = target.bend(&data[..size], &mut ChaCha8Rng::seed_from_u64(u64::from(seed)), raw);
    let len = bent.len().min(max_size);
    data[..len].copy_from_slice(&bent[..len]);
    len
}
