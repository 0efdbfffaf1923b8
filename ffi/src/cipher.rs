//! Opening the database's file, with its key where the build encrypts.

use crate::error::{OnsiteError, Result};
use rusqlite::Connection;
use std::path::Path;

/// Opens the file; with `next` it is encrypted with that key from then on.
#[cfg(not(feature = "cipher"))]
pub(crate) fn open(file: &Path, key: Option<&[u8]>, next: Option<&[u8]>) -> Result<Connection> {
    for (field, given) in [("key", key), ("new_key", next)] {
        if given.is_some() {
            return Err(OnsiteError::invalid(field, "this build of the engine does not encrypt"));
        }
    }
    Ok(Connection::open(file).map_err(onsite_core::Error::from)?)
}

#[cfg(feature = "cipher")]
pub(crate) use encrypted::open;

#[cfg(feature = "cipher")]
mod encrypted {
    use super::{Connection, OnsiteError, Path, Result};
    use onsite_core::Error;
    use rusqlite::ErrorCode;
    use std::fmt::Write as _;
    use std::io::Read as _;

    /// How a file that is not encrypted begins.
    const PLAIN: &[u8] = b"SQLite format 3\0";
    /// Bytes of a key: a whole one, from which none is derived.
    const KEY: usize = 32;

    /// Opens the file; with `next` it is encrypted with that key from then on.
    pub(crate) fn open(file: &Path, key: Option<&[u8]>, next: Option<&[u8]>) -> Result<Connection> {
        let (key, next) = (literal("key", key)?, literal("new_key", next)?);
        let state = state(file).map_err(Error::from)?;
        match (state, key, next) {
            (State::New, _, Some(first)) | (State::New, Some(first), None) => unlocked(file, &first),
            (State::New | State::Plain, None, None) => plain(file),
            (State::Plain, None, Some(next)) => {
                encrypt(file, &next)?;
                unlocked(file, &next)
            }
            (State::Plain, Some(_), _) => Err(OnsiteError::invalid("key", "the records are not encrypted")),
            (State::Encrypted, None, _) => Err(OnsiteError::WrongKey),
            (State::Encrypted, Some(key), None) => unlocked(file, &key),
            (State::Encrypted, Some(key), Some(next)) => match unlocked(file, &key) {
                Ok(conn) => {
                    run(&conn, &format!("PRAGMA rekey = {next}"))?;
                    Ok(conn)
                }
                // It was done already, and the app did not get to hear of it.
                Err(OnsiteError::WrongKey) => unlocked(file, &next),
                Err(e) => Err(e),
            },
        }
    }

    enum State {
        New,
        Plain,
        Encrypted,
    }

    fn state(file: &Path) -> std::io::Result<State> {
        let mut head = Vec::new();
        match std::fs::File::open(file) {
            Ok(opened) => opened.take(PLAIN.len() as u64).read_to_end(&mut head)?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(State::New),
            Err(e) => return Err(e),
        };
        Ok(if head.is_empty() {
            State::New
        } else if head == PLAIN {
            State::Plain
        } else {
            State::Encrypted
        })
    }

    /// The key as SQL.
    fn literal(field: &str, key: Option<&[u8]>) -> Result<Option<String>> {
        let Some(key) = key else { return Ok(None) };
        if key.len() != KEY {
            return Err(OnsiteError::invalid(field, format!("{} bytes, not {KEY}", key.len())));
        }
        let mut sql = String::from("\"x'");
        for byte in key {
            let _ = write!(sql, "{byte:02x}");
        }
        sql.push_str("'\"");
        Ok(Some(sql))
    }

    fn plain(file: &Path) -> Result<Connection> {
        Ok(Connection::open(file).map_err(Error::from)?)
    }

    fn run(conn: &Connection, sql: &str) -> Result<()> {
        Ok(conn.execute_batch(sql).map_err(Error::from)?)
    }

    fn unlocked(file: &Path, key: &str) -> Result<Connection> {
        let conn = plain(file)?;
        run(&conn, &format!("PRAGMA key = {key}"))?;
        // The key is tried at the first page read.
        match conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())) {
            Ok(()) => Ok(conn),
            Err(e) if e.sqlite_error_code() == Some(ErrorCode::NotADatabase) => Err(OnsiteError::WrongKey),
            Err(e) => Err(Error::from(e).into()),
        }
    }

    /// Writes the file again, encrypted, and puts it in the old one's place: at every moment one of them is whole.
    fn encrypt(file: &Path, key: &str) -> Result<()> {
        let (old, new) = (plain(file)?, file.with_extension("encrypting"));
        match std::fs::remove_file(&new) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::from(e).into()),
            _ => {}
        }
        let mark = |name: &str| old.pragma_query_value(None, name, |r| r.get::<_, i64>(0)).map_err(Error::from);
        let (version, application) = (mark("user_version")?, mark("application_id")?);
        // Nothing stays behind in a log beside the old file.
        old.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(Error::from)?;
        old.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(())).map_err(Error::from)?;
        let path = new.to_str().ok_or_else(|| OnsiteError::invalid("folder", "not text"))?.replace('\'', "''");
        run(&old, &format!("ATTACH '{path}' AS encrypted KEY {key}"))?;
        old.query_row("SELECT sqlcipher_export('encrypted')", [], |_| Ok(())).map_err(Error::from)?;
        run(
            &old,
            &format!(
                "PRAGMA encrypted.user_version = {version}; PRAGMA encrypted.application_id = {application};
                 DETACH encrypted"
            ),
        )?;
        old.close().map_err(|(_, e)| Error::from(e))?;
        std::fs::File::open(&new).and_then(|f| f.sync_all()).map_err(Error::from)?;
        std::fs::rename(&new, file).map_err(Error::from)?;
        if let Some(folder) = file.parent() {
            std::fs::File::open(folder).and_then(|f| f.sync_all()).map_err(Error::from)?;
        }
        Ok(())
    }
}
