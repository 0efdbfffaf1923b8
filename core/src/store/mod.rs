//! The device's store: one SQLite file, one writer, one transaction a command.
//!
//! Functions take `&Connection` to read and `&Transaction` to write: a
//! command's change bytes, its outbox entry and the rows screens read commit
//! together, through [`Store::commit`]. Lists, search and details read rows and
//! never load a document.

pub mod blobs;
pub mod chunks;
pub mod meta;
pub mod outbox;
pub mod rescue;
mod schema;
pub mod views;

use crate::error::Result;
use rusqlite::{Connection, Transaction};

pub use blobs::Blobs;
pub use views::View;

/// The open store: the one writer of its file.
#[derive(Debug)]
pub struct Store {
    conn: Connection,
}

impl Store {
    /// Takes an open connection, sets it up (WAL, `synchronous=FULL`) and
    /// brings the file to the current schema.
    ///
    /// # Errors
    /// `TooNew`, `Damaged`, `Locked`, `DiskFull`; the file stays as it was.
    pub fn open(conn: Connection) -> Result<Self> {
        let _ = conn;
        unimplemented!()
    }

    /// Runs `f` in one transaction: all of it is durable when this returns, or
    /// none of it happened.
    ///
    /// # Errors
    /// What `f` answers, or what the commit meets.
    pub fn commit<T>(&mut self, f: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        let _ = (f, &self.conn);
        unimplemented!()
    }

    /// The connection, to read.
    pub fn read(&self) -> &Connection {
        &self.conn
    }
}
