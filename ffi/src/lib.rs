//! The Onsite engine for Kotlin, Swift and Python.
//!
//! A thin mirror of [`onsite_core`]: no rule and no SQL of its own. [`Onsite`]
//! is one phone's records: open it, enrol it, [`Onsite::execute`] commands, ask
//! what screens show, watch for changes, sync. Every call that may touch a
//! file is asynchronous and runs off the caller's thread; every one answers a
//! result or an [`OnsiteError`] whose variant an app acts on.
//!
//! # Units
//! Moments are the platform's own instants, durations milliseconds, money
//! integer fen (1/100 yuan), days the platform's own date, ids UUIDs, hashes
//! 64 hexadecimal digits.
//!
//! # Paging
//! Lists come in pages of about fifty rows: ask again with `next` until it is
//! absent. A page is a mark in the order of the list, so rows that come or go
//! meanwhile neither repeat nor hide others.

mod cipher;
mod command;
mod error;
mod mirror;
mod onsite;
mod records;
mod run;
mod views;
mod words;

pub use command::*;
pub use error::*;
pub use mirror::*;
pub use onsite::*;
pub use records::*;
pub use run::*;
pub use views::*;
pub use words::*;

uniffi::setup_scaffolding!();

/// The engine's version, as in its package.
#[uniffi::export]
pub fn engine_version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}
