//! What fuzzing feeds, and what must hold: one [`Target`] for every door where foreign bytes come
//! in. `tests/fuzz` runs them under libFuzzer; a test here runs each over its seeds and some
//! thousand mutations; `mutated` counts changes through the gate.
//!
//! Bytes alone would die at a checksum, so every target bends its inputs itself: changes are
//! taken apart and put together again with a right one (`chunk`).

mod chunk;
pub mod docs;
pub mod gate;
mod phone;
mod rescue;
mod seeds;
mod server;
mod targets;
#[cfg(test)]
mod tests;
mod xlsx;

use std::sync::atomic::{AtomicU64, Ordering};

pub use targets::Target;

static PANICS: AtomicU64 = AtomicU64::new(0);

/// From here on a panic that somebody catches is counted and not told, unless
/// `ONSITE_FUZZ_LOUD` is set. What escapes still ends its thread.
pub fn quiet() {
    let loud = std::env::var_os("ONSITE_FUZZ_LOUD").is_some();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        if loud {
            eprintln!("{info}");
        }
    }));
}

/// Panics since [`quiet`], those that were caught included.
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}
