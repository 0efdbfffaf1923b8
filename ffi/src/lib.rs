//! The Onsite engine for Kotlin, Swift and Python.
//!
//! A thin mirror of [`onsite_core`]: no rule and no SQL of its own. What the
//! platforms' packages call will grow here; today it tells its version.

uniffi::setup_scaffolding!();

/// The engine's version, as in its package.
#[uniffi::export]
pub fn engine_version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}
