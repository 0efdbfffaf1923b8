//! The file's schema: settings of the connection, migrations by `PRAGMA user_version`.

use crate::error::{Error, Result};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, TransactionBehavior};
use std::time::Duration;

use super::views;

/// `ONST`: tells our files from other programs'.
const APPLICATION: i64 = 0x4f4e_5354;

/// Each brings the schema from its index to the next; released ones never change.
const MIGRATIONS: &[&str] = &[
    include_str!("sql/0001.sql"),
    include_str!("sql/0002.sql"),
    include_str!("sql/0003.sql"),
    include_str!("sql/0004.sql"),
];

/// How long to wait for another process that holds the file.
const BUSY: Duration = if cfg!(test) { Duration::from_millis(20) } else { Duration::from_secs(5) };

/// Sets the connection up and brings the file to the newest schema.
pub(super) fn prepare(conn: &mut Connection) -> Result<()> {
    conn.busy_timeout(BUSY)?;
    // A plan stays as it is: with statistics SQLite would else plan anew for every value bound.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.set_prepared_statement_cache_capacity(128);
    let (application, version) = identify(conn)?;
    let newest = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if application != APPLICATION {
        let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0))?;
        if application != 0 || version != 0 || tables != 0 {
            return Err(Error::Damaged("the file belongs to another program".into()));
        }
    } else if version > newest {
        return Err(Error::TooNew { found: version, known: newest });
    }
    // Where the platform has no WAL (a browser), the journal it has serves as well.
    conn.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.pragma_update(None, "journal_size_limit", 8 << 20)?;
    if version < newest {
        migrate(conn)?;
    }
    Ok(())
}

/// Runs what is missing, all in one transaction.
fn migrate(conn: &mut Connection) -> Result<()> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Asked again under the lock: another process may have been here first.
    let (_, version) = identify(&tx)?;
    let from = usize::try_from(version).map_err(|_| Error::Damaged(format!("schema version {version}")))?;
    for sql in MIGRATIONS.get(from..).unwrap_or_default() {
        tx.execute_batch(sql)?;
    }
    views::index(&tx)?;
    tx.pragma_update(None, "application_id", APPLICATION)?;
    tx.pragma_update(None, "user_version", i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX))?;
    tx.commit()?;
    Ok(())
}

fn identify(conn: &Connection) -> Result<(i64, i64)> {
    let ask = |name: &str| conn.pragma_query_value(None, name, |r| r.get::<_, i64>(0));
    Ok((ask("application_id")?, ask("user_version")?))
}
