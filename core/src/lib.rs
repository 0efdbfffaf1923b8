//! On-site service records as CRDT documents.
//!
//! A technician works where there is no network; the office works where there
//! is. Both do the same [`Command`](domain::Command)s on the same documents,
//! apart, and what they wrote is merged, not overwritten. This crate is
//! everything a phone needs for it, and the half of it that a server shares.
//!
//! # The one way of the data
//!
//! ```text
//!  tap ─► Engine::execute ─► domain::decide ─► document::Doc::write ─► store (one transaction) ─► sync ─► server
//!                                 ▲                                       │
//!                                 └────────────── rows ◄──────────────────┤
//!  screen ◄────────── Engine::{today, show, list, search, …} ◄────────────┘
//! ```
//!
//! 1. [`domain::decide`] turns a command into writes, or refuses it with a
//!    reason that names the field. It reads a [`World`](domain::World) and
//!    nothing else: no clock, no dice, no SQL.
//! 2. [`document::Doc`] makes one Automerge change of the writes to one document.
//! 3. [`store`] commits the change, the rows that screens read and the entry
//!    in the outbox in ONE transaction. When `execute` returns, the edit is durable.
//! 4. [`sync`] carries changes both ways. A change's identity is its hash, so
//!    sending it twice is harmless; an acknowledgement means the server has it durably.
//!
//! # The law
//!
//! A module imports only from modules to its left (a test reads the sources):
//!
//! ```text
//! domain ◄─ document ◄─ store ◄─ sync ◄─ engine        forms, messages read domain only
//! ```
//!
//! # What never happens
//!
//! - No thread, clock, random source, environment or file of its own: an
//!   [`Env`](env::Env), an open SQLite connection and a [`Blobs`](store::Blobs)
//!   are handed in. Only the feature `client` knows the network.
//! - No list or search loads a document; no merge asks a person to choose before work can go on.
//! - No edit is dropped: what a server refuses is kept aside with the reason,
//!   what was innocent beside it is written again.
//! - Nothing derived is stored in a document: stages, entitlements and sums
//!   are functions of merged facts.
//!
//! # Begin here
//!
//! [`Engine`] is the door: open, enrol, execute, query, watch. With the
//! feature `client`, `engine::Client` syncs it with a server.

pub mod document;
pub mod domain;
pub mod engine;
pub mod env;
pub mod error;
pub mod forms;
pub mod messages;
pub mod planted;
pub mod store;
pub mod sync;

pub use engine::Engine;
pub use error::{Error, Result};
