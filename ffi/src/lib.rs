//! ffi
uniffi::setup_scaffolding!();
