//! The audit chain: every entry's hash covers the one before it, so what was
//! changed or taken out in between shows. What was cut off at the end does
//! not: a point of the chain kept elsewhere ([`Point`]) shows that.

use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::storage::{Audit, AuditRow, Storage, audit_hash};
use onsite_core::domain::{Sha256, TenantId};
use std::{fmt, str::FromStr};

/// Entries read at once.
const PAGE: usize = 1000;

/// A point of the chain: the number of its last entry and that entry's hash. Written `N:HASH`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Point {
    /// Entries up to here; 0 for a chain without any.
    pub n: u64,
    /// The last one's hash; zeros for a chain without any.
    pub hash: Sha256,
}

impl Point {
    /// Where every chain begins.
    pub const BEGINNING: Self = Self { n: 0, hash: Sha256([0; 32]) };

    /// Goes on to the next entry.
    ///
    /// # Errors
    /// What is wrong with the entry.
    pub fn follow(&mut self, row: &AuditRow) -> std::result::Result<(), Broken> {
        let next = self.n.saturating_add(1);
        if row.n != next {
            return Err(Broken::Missing { n: next });
        }
        if row.hash != audit_hash(self.hash, &row.entry) {
            return Err(Broken::Changed { n: next });
        }
        *self = Self { n: next, hash: row.hash };
        Ok(())
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.n, self.hash)
    }
}

/// The text is not a [`Point`].
#[derive(Debug, thiserror::Error)]
#[error("not of the form N:HASH, as `onsite audit verify` prints it: {0:?}")]
pub struct BadPoint(String);

impl FromStr for Point {
    type Err = BadPoint;
    fn from_str(s: &str) -> std::result::Result<Self, BadPoint> {
        let bad = || BadPoint(s.chars().take(100).collect());
        let (n, hash) = s.trim().split_once(':').ok_or_else(bad)?;
        Ok(Self { n: n.parse().map_err(|_| bad())?, hash: hash.parse().map_err(|_| bad())? })
    }
}

/// The first entry at which a chain does not hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Broken {
    /// The next entry is not there, a later one is.
    #[error("entry {n} is missing")]
    Missing {
        /// Its number.
        n: u64,
    },
    /// The entry is not what was chained after the one before it.
    #[error("entry {n} was changed, or one before it was written anew")]
    Changed {
        /// Its number.
        n: u64,
    },
    /// The chain ends before a point it once had.
    #[error("entry {n} is missing: the chain ends at {last}")]
    Cut {
        /// The first entry that is not there.
        n: u64,
        /// The last that is.
        last: u64,
    },
    /// The chain holds, but has another entry at a point it once had.
    #[error("entry {n} is not the one expected: the chain was written anew")]
    Rewritten {
        /// Its number.
        n: u64,
    },
}

impl Broken {
    /// The entry's number.
    pub fn entry(self) -> u64 {
        match self {
            Self::Missing { n } | Self::Changed { n } | Self::Cut { n, .. } | Self::Rewritten { n } => n,
        }
    }
}

impl From<Broken> for Error {
    fn from(broken: Broken) -> Self {
        Error::Conflict { code: "audit_broken", detail: broken.to_string() }
    }
}

/// Follows a company's whole chain, a page at a time; answers its end.
/// `expect` is a point the chain must contain.
///
/// # Errors
/// `audit_broken` naming the first entry that does not hold; the storage's.
pub async fn verify(storage: &dyn Storage, tenant: TenantId, expect: Option<Point>) -> Result<Point> {
    let (at, broken) = walk(storage, tenant, expect).await?;
    if let Some(broken) = broken {
        return Err(broken.into());
    }
    match expect {
        Some(e) if e.n > at.n => Err(Broken::Cut { n: at.n + 1, last: at.n }.into()),
        Some(e) if e.n == 0 && e != Point::BEGINNING => Err(Broken::Rewritten { n: 0 }.into()),
        _ => Ok(at),
    }
}

/// Follows a company's whole chain; answers how far it holds, and the first entry that does not.
///
/// # Errors
/// The storage's.
pub async fn follow(storage: &dyn Storage, tenant: TenantId) -> Result<(Point, Option<Broken>)> {
    walk(storage, tenant, None).await
}

async fn walk(storage: &dyn Storage, tenant: TenantId, expect: Option<Point>) -> Result<(Point, Option<Broken>)> {
    let mut at = Point::BEGINNING;
    loop {
        let rows = storage.audit_log(tenant, at.n, PAGE).await?;
        for row in &rows {
            if let Err(broken) = at.follow(row) {
                return Ok((at, Some(broken)));
            }
            if expect.is_some_and(|e| e.n == at.n && e.hash != at.hash) {
                return Ok((at, Some(Broken::Rewritten { n: at.n })));
            }
        }
        if rows.len() < PAGE {
            return Ok((at, None));
        }
    }
}

/// An entry of the chain, read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its number.
    pub n: u64,
    /// What it says.
    pub entry: Audit,
    /// Its hash.
    pub hash: Sha256,
}

/// A part of a company's chain: `limit` entries after the entry `after`, or
/// the newest where it is not given; oldest first.
///
/// # Errors
/// `audit_broken` where an entry cannot be read; the storage's.
pub async fn list(ledger: &Ledger, tenant: TenantId, after: Option<u64>, limit: usize) -> Result<Vec<Entry>> {
    let after = match after {
        Some(after) => after,
        None => last(ledger.storage(), tenant).await?.saturating_sub(limit as u64),
    };
    read(ledger.storage().audit_log(tenant, after, limit).await?)
}

fn read(rows: Vec<AuditRow>) -> Result<Vec<Entry>> {
    let read = |row: AuditRow| match serde_json::from_str(&row.entry) {
        Ok(entry) => Ok(Entry { n: row.n, entry, hash: row.hash }),
        Err(_) => Err(Broken::Changed { n: row.n }.into()),
    };
    rows.into_iter().map(read).collect()
}

/// A page of the chain: `limit` entries after the number `after`, or, `descending`, those before it (the
/// newest where it is not given), newest first.
///
/// # Errors
/// As [`list`].
pub async fn page(
    ledger: &Ledger,
    tenant: TenantId,
    after: Option<u64>,
    limit: usize,
    descending: bool,
) -> Result<Vec<Entry>> {
    if !descending {
        return list(ledger, tenant, Some(after.unwrap_or(0)), limit).await;
    }
    let end = match after {
        Some(before) => before.saturating_sub(1),
        None => last(ledger.storage(), tenant).await?,
    };
    let from = end.saturating_sub(limit as u64);
    let most = usize::try_from(end - from).unwrap_or(limit);
    let mut found = read(ledger.storage().audit_log(tenant, from, most).await?)?;
    found.retain(|e| e.n <= end);
    found.reverse();
    Ok(found)
}

/// The number of the last entry, found in as many questions as it has binary digits.
async fn last(storage: &dyn Storage, tenant: TenantId) -> Result<u64> {
    let is_any_after = async |n: u64| Ok::<_, Error>(!storage.audit_log(tenant, n, 1).await?.is_empty());
    let (mut low, mut high) = (0u64, 1u64);
    while is_any_after(high).await? {
        (low, high) = (high, high.saturating_mul(2));
    }
    // Entries after `low` (or none at all), none after `high`.
    while low < high {
        let middle = low + (high - low) / 2;
        if is_any_after(middle).await? {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::SystemEnv;
    use crate::storage::{MemoryStorage, SqliteStorage};
    use onsite_core::domain::{Millis, StaffId};
    use std::sync::Arc;

    fn entry(n: u64) -> Audit {
        Audit {
            at: Millis(1_795_570_000_000),
            by: StaffId(uuid::Uuid::nil()),
            action: "user.sign_in".into(),
            subject: format!("entry {n}"),
            detail: serde_json::Value::Null,
        }
    }

    /// A file with a chain of so many entries, and its company.
    async fn chain(dir: &std::path::Path, entries: u64) -> (std::path::PathBuf, TenantId, Point) {
        let file = dir.join("onsite.sqlite");
        let ledger = Ledger::new(Arc::new(SqliteStorage::open(&file).unwrap()), Arc::new(SystemEnv));
        let tenant = ledger.create_tenant("某某机械").await.unwrap().id;
        ledger.storage().audit(tenant, (1..=entries).map(entry).collect()).await.unwrap();
        let end = verify(ledger.storage(), tenant, None).await.unwrap();
        assert_eq!(end.n, entries);
        (file, tenant, end)
    }

    async fn after_sql(sql: &str, expect: bool) -> Result<Point> {
        let dir = tempfile::tempdir().unwrap();
        // More than one page, so that the pages are joined too.
        let (file, tenant, end) = chain(dir.path(), 2 * PAGE as u64 + 5).await;
        let done = rusqlite::Connection::open(&file).unwrap().execute(sql, []).unwrap();
        assert!(done > 0, "{sql} changed nothing");
        let storage = SqliteStorage::open(&file).unwrap();
        verify(&storage, tenant, expect.then_some(end)).await
    }

    #[tokio::test]
    async fn a_changed_or_missing_entry_is_named() {
        let changed = "UPDATE audit SET entry = replace(entry, 'sign_in', 'sign_on') WHERE n = 1003";
        let e = after_sql(changed, false).await.unwrap_err();
        assert_eq!(e.code(), "audit_broken");
        assert!(e.to_string().contains("entry 1003 was changed"), "{e}");
        for (n, named) in [(1, 1), (1000, 1000), (1500, 1500)] {
            let e = after_sql(&format!("DELETE FROM audit WHERE n = {n}"), false).await.unwrap_err();
            assert!(e.to_string().contains(&format!("entry {named} is missing")), "{e}");
        }
    }

    #[tokio::test]
    async fn a_cut_tail_is_seen_by_what_was_noted_before() {
        let cut = "DELETE FROM audit WHERE n > 2000";
        assert_eq!(after_sql(cut, false).await.unwrap().n, 2000, "the chain alone cannot show it");
        let e = after_sql(cut, true).await.unwrap_err();
        assert!(e.to_string().contains("entry 2001 is missing: the chain ends at 2000"), "{e}");
    }

    #[tokio::test]
    async fn a_chain_written_anew_is_seen_by_what_was_noted_before() {
        let ledger = Ledger::new(Arc::new(MemoryStorage::default()), Arc::new(SystemEnv));
        let tenant = ledger.create_tenant("某某机械").await.unwrap().id;
        ledger.storage().audit(tenant, (1..=3).map(entry).collect()).await.unwrap();
        let noted = verify(ledger.storage(), tenant, None).await.unwrap();
        ledger.storage().audit(tenant, vec![entry(4)]).await.unwrap();
        assert_eq!(verify(ledger.storage(), tenant, Some(noted)).await.unwrap().n, 4, "it may have grown");
        let other = Point { hash: Sha256([7; 32]), ..noted };
        let e = verify(ledger.storage(), tenant, Some(other)).await.unwrap_err();
        assert!(e.to_string().contains("entry 3 is not the one expected"), "{e}");
        assert_eq!(noted.to_string().parse::<Point>().unwrap(), noted);
        assert!("3".parse::<Point>().is_err() && "x:00".parse::<Point>().is_err());
    }

    #[tokio::test]
    async fn the_newest_entries_are_listed() {
        let ledger = Ledger::new(Arc::new(MemoryStorage::default()), Arc::new(SystemEnv));
        let tenant = ledger.create_tenant("某某机械").await.unwrap().id;
        assert!(list(&ledger, tenant, None, 5).await.unwrap().is_empty());
        for count in 1..=70u64 {
            ledger.storage().audit(tenant, vec![entry(count)]).await.unwrap();
            assert_eq!(last(ledger.storage(), tenant).await.unwrap(), count);
        }
        let numbers = |l: Vec<Entry>| l.into_iter().map(|e| e.n).collect::<Vec<_>>();
        assert_eq!(numbers(list(&ledger, tenant, None, 3).await.unwrap()), [68, 69, 70]);
        assert_eq!(numbers(list(&ledger, tenant, Some(10), 2).await.unwrap()), [11, 12]);
    }
}
