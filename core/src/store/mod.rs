//! The device's store: one SQLite file, one writer, one transaction a command.
//!
//! Functions take `&Connection` to read and `&Transaction` to write: a
//! command's change bytes, its outbox entry and the rows screens read commit
//! together, through [`Store::commit`]. Lists, search and details read rows and
//! never load a document.
//!
//! Its modules build on each other one way:
//! `rows, meta ← blobs ← views ← schema, chunks ← outbox ← rescue`.

pub mod blobs;
pub mod chunks;
pub mod meta;
pub mod outbox;
pub mod rescue;
mod rows;
mod schema;
#[cfg(test)]
mod tests;
pub mod views;

use crate::domain::{ChangeHash, Kind};
use crate::error::{Error, Result};
use rusqlite::{Connection, Transaction, TransactionBehavior};

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
    pub fn open(mut conn: Connection) -> Result<Self> {
        schema::prepare(&mut conn)?;
        Ok(Self { conn })
    }

    /// Runs `f` in one transaction: all of it is durable when this returns, or
    /// none of it happened.
    ///
    /// # Errors
    /// What `f` answers, or what the commit meets.
    pub fn commit<T>(&mut self, f: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        if !self.conn.is_autocommit() {
            // The last one failed, and so did ending it (no memory, say): it must not fail all that follow.
            self.conn.execute_batch("ROLLBACK")?;
        }
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let out = f(&tx)?;
        tx.commit()?;
        Ok(out)
    }

    /// Deletes every record and overwrites what it stood in; answers the blobs that were kept.
    ///
    /// # Errors
    /// The database's.
    pub fn erase(&mut self) -> Result<Vec<crate::domain::Sha256>> {
        self.conn.query_row("PRAGMA secure_delete = ON", [], |_| Ok(()))?;
        self.commit(wipe)
    }

    /// The connection, to read.
    pub fn read(&self) -> &Connection {
        &self.conn
    }

    /// Reads the whole file and checks its structure: slow, for when something looks wrong.
    ///
    /// # Errors
    /// `Damaged`, saying where.
    pub fn check(&self) -> Result<()> {
        let found: String = self.conn.query_row("PRAGMA integrity_check(1)", [], |r| r.get(0))?;
        if found == "ok" { Ok(()) } else { Err(Error::Damaged(found)) }
    }

    /// Brings the search index and the query planner's figures up to date and
    /// empties the write-ahead log: when the app goes to the background.
    ///
    /// # Errors
    /// The database's.
    pub fn tidy(&mut self) -> Result<()> {
        self.commit(views::index)?;
        self.conn.execute_batch("PRAGMA optimize")?;
        self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }
}

/// Hashes as stored: one after another, 32 bytes each.
fn pack(hashes: &[ChangeHash]) -> Vec<u8> {
    let mut sorted = hashes.to_vec();
    sorted.sort_unstable();
    sorted.iter().flat_map(|h| h.0).collect()
}

fn unpack(bytes: &[u8]) -> Vec<ChangeHash> {
    bytes.as_chunks::<32>().0.iter().map(|c| ChangeHash(*c)).collect()
}

fn kind(number: u8) -> Result<Kind> {
    Kind::from_number(number).ok_or_else(|| Error::Damaged(format!("unknown kind {number}")))
}

fn hash_at(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<[u8; 32]> {
    row.get(column)
}

fn uuid_at(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<uuid::Uuid> {
    row.get::<_, [u8; 16]>(column).map(uuid::Uuid::from_bytes)
}

/// Deletes everything the file holds, whoever it belonged to. Answers the
/// blobs whose bytes are to be removed after the commit.
///
/// # Errors
/// The database's.
pub fn wipe(tx: &Transaction<'_>) -> Result<Vec<crate::domain::Sha256>> {
    let names = {
        let mut statement = tx.prepare("SELECT name FROM blob")?;
        let rows = statement.query_map([], |r| hash_at(r, 0))?;
        rows.map(|n| Ok(crate::domain::Sha256(n?))).collect::<Result<Vec<_>>>()?
    };
    tx.execute_batch(
        "INSERT INTO words (words) VALUES ('delete-all');
         DELETE FROM fresh; DELETE FROM change; DELETE FROM snapshot; DELETE FROM mark; DELETE FROM person; DELETE FROM refused;
         DELETE FROM blob_ref; DELETE FROM blob; DELETE FROM doc; DELETE FROM meta;",
    )?;
    Ok(names)
}
