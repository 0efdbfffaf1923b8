//! The generator of the platforms' sources, of the version that the library was built with.

fn main() {
    uniffi::uniffi_bindgen_main();
}
