//! The field-service rules: pure functions over plain values. No Automerge,
//! SQL, I/O or clock.

pub mod appraisal;
pub mod authority;
pub mod command;
pub mod entitlement;
pub mod entity;
pub mod facts;
pub mod figures;
pub mod forms_content;
pub mod id;
pub mod rules;
#[cfg(feature = "schema")]
pub mod schema;
pub mod stage;
pub mod summary;
#[cfg(test)]
pub(crate) mod testing;
pub mod time;
pub mod value;
pub mod words;

pub use command::{Author, Command, DispatchPatch, Moment, Rejection, SERVER, SettingsPatch, World, WorldExt, Write};
pub use entity::*;
pub use id::*;
pub use rules::{decide, roles_for};
pub use time::{Date, Millis, Quarter, Stamp, Zone};
pub use value::{Atomic, ChangeHash, Count, Fen, Flags, Sha256, Text};
