//! The Onsite sync server: ledger, gate, office, routes.

pub mod error;
pub mod gate;
pub mod ledger;
pub mod office;
pub mod storage;

pub use error::{Error, Result};
