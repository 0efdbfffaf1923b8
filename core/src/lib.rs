//! On-site service records as CRDT documents.

pub mod document;
pub mod domain;
pub mod engine;
pub mod env;
pub mod error;
pub mod forms;
pub mod messages;
pub mod store;
pub mod sync;

pub use error::{Error, Result};
