//! Besides what the target itself asks: the pre-scan holds little memory, whatever bytes say they hold.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use onsite_core::document::screen::{MAX_DOCUMENT_INFLATED, MAX_INFLATED, screen, screen_document};
use onsite_e2e::fuzz::Target;
use onsite_fuzz::meter::{Meter, peak};

#[global_allocator]
static METER: Meter = Meter;

fuzz_target!(init: { onsite_e2e::fuzz::quiet(); }, |data: &[u8]| {
    // The inflated body and the vector that grew to hold it, a header, a decoder.
    let (_, held) = peak(|| screen(data));
    assert!(held <= 3 * MAX_INFLATED, "{held} bytes held");
    let (_, held) = peak(|| screen_document(data));
    assert!(held <= 3 * MAX_DOCUMENT_INFLATED, "{held} bytes held");
    Target::Screen.run(data);
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    onsite_fuzz::bend(Target::Screen, data, size, max_size, seed)
});
