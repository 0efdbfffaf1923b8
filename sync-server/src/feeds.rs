//! A technician's visits as a calendar that other programs read: at a secret
//! address, of which only the hash is kept. Who knows the address sees where
//! one person is expected, and nothing else.

use crate::auth::{digest, long_code};
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::office;
use crate::storage::{Audit, Batch, GLOBAL, Record, RecordWrite};
use icalendar::{Calendar, Component as _, Event, EventLike as _, EventStatus};
use onsite_core::domain::stage::Stage;
use onsite_core::domain::{DocId, Millis, StaffId, TenantId};
use onsite_core::messages::{Language, label, t, tf};
use serde::{Deserialize, Serialize};

/// Table of the feeds: by the hash of their secret, and by person.
const TABLE: &str = "calendar_feed";
/// Days of the past that a feed shows.
const BEFORE: i64 = 30;
/// Days of the future that a feed shows.
const AFTER: i64 = 180;
const DAY: i64 = 24 * 60 * Millis::MINUTE;

/// Whose a secret is: kept under its hash.
#[derive(Serialize, Deserialize)]
struct Owner {
    tenant: TenantId,
    staff: StaffId,
}

/// A person's feed, as kept.
#[derive(Clone, Serialize, Deserialize)]
struct Kept {
    digest: String,
    made: Millis,
    by: StaffId,
}

/// A person's feed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = CalendarFeed)]
pub struct Feed {
    /// Whose.
    pub staff: StaffId,
    /// When its address was made.
    pub made: Millis,
    /// By whom.
    pub by: StaffId,
}

fn put(tenant: TenantId, key: String, body: &impl Serialize, expires: Option<Millis>) -> Result<RecordWrite> {
    let record = Record { key, body: serde_json::to_value(body)?, expires, ver: 0 };
    Ok(RecordWrite { tenant, table: TABLE.into(), record, expect: None })
}

fn entry(ledger: &Ledger, by: StaffId, action: &str, staff: StaffId) -> Audit {
    let detail = serde_json::Value::Null;
    Audit { at: ledger.env().now(), by, action: action.into(), subject: staff.to_string(), detail }
}

async fn kept(ledger: &Ledger, tenant: TenantId, staff: StaffId) -> Result<Option<(Kept, u64)>> {
    let found = ledger.storage().record(tenant, TABLE, &staff.to_string(), ledger.env().now()).await?;
    found.map(|r| Ok((serde_json::from_value(r.body)?, r.ver))).transpose()
}

/// Makes the secret of a person's feed; one made before serves no more.
///
/// # Errors
/// [`Error::NotFound`] where there is no such person, or they left; the storage's.
pub async fn issue(ledger: &Ledger, tenant: TenantId, by: StaffId, staff: StaffId) -> Result<String> {
    if ledger.roles(tenant, staff).await?.is_empty() {
        return Err(Error::NotFound(format!("no member of staff {staff} with a role")));
    }
    let now = ledger.env().now();
    let secret = long_code(ledger.env()).to_lowercase();
    let fresh = Kept { digest: digest(&secret), made: now, by };
    let mut records = vec![put(GLOBAL, fresh.digest.clone(), &Owner { tenant, staff }, None)?];
    let mut mine = put(tenant, staff.to_string(), &fresh, None)?;
    // Of two at once, one has to ask again: a secret must not live on that nobody knows of.
    mine.expect = Some(0);
    if let Some((old, ver)) = kept(ledger, tenant, staff).await? {
        records.push(put(GLOBAL, old.digest, &(), Some(now))?);
        mine.expect = Some(ver);
    }
    records.push(mine);
    let audit = vec![entry(ledger, by, "calendar.issue", staff)];
    ledger.storage().commit(tenant, Batch { now, records, audit, ..Batch::default() }).await?;
    Ok(secret)
}

/// Ends a person's feed.
///
/// # Errors
/// [`Error::NotFound`] where there is none; the storage's.
pub async fn revoke(ledger: &Ledger, tenant: TenantId, by: StaffId, staff: StaffId) -> Result<()> {
    let now = ledger.env().now();
    let found = kept(ledger, tenant, staff).await?;
    let (old, ver) = found.ok_or_else(|| Error::NotFound(format!("no calendar of {staff}")))?;
    let mut mine = put(tenant, staff.to_string(), &(), Some(now))?;
    mine.expect = Some(ver);
    let records = vec![put(GLOBAL, old.digest, &(), Some(now))?, mine];
    let audit = vec![entry(ledger, by, "calendar.revoke", staff)];
    ledger.storage().commit(tenant, Batch { now, records, audit, ..Batch::default() }).await?;
    Ok(())
}

/// All feeds of a company.
///
/// # Errors
/// The storage's.
pub async fn feeds(ledger: &Ledger, tenant: TenantId) -> Result<Vec<Feed>> {
    let rows = ledger.storage().records(tenant, TABLE, "", usize::MAX, ledger.env().now()).await?;
    rows.into_iter()
        .map(|r| {
            let staff = r.key.parse().map_err(|e| Error::Damaged(format!("a calendar of {:?}: {e}", r.key)))?;
            let Kept { made, by, .. } = serde_json::from_value(r.body)?;
            Ok(Feed { staff, made, by })
        })
        .collect()
}

/// A feed as iCalendar, by its secret.
///
/// # Errors
/// [`Error::NotFound`] where the secret is none, or its person left; the storage's.
pub async fn read(ledger: &Ledger, secret: &str, lang: Language) -> Result<String> {
    let unknown = || Error::NotFound("no such calendar".into());
    let now = ledger.env().now();
    let found = ledger.storage().record(GLOBAL, TABLE, &digest(secret), now).await?.ok_or_else(unknown)?;
    let Owner { tenant, staff } = serde_json::from_value(found.body)?;
    if ledger.roles(tenant, staff).await?.is_empty() {
        return Err(unknown());
    }
    let shown = ledger.calendar(tenant, now.plus(-BEFORE * DAY), now.plus(AFTER * DAY)).await?;
    let jobs = shown.people.into_iter().find(|p| p.staff == staff).map(|p| p.jobs).unwrap_or_default();
    let ids: Vec<DocId> = jobs.iter().map(|j| j.doc.id).collect();
    let views = ledger.by_id(tenant, &ids).await?;
    let name = office::names(ledger, tenant).await?.remove(&staff).unwrap_or_default();
    let mut calendar = Calendar::new();
    calendar.name(&tf(lang, "calendar.name", &[("name", &name)]));
    calendar.append_property(("METHOD", "PUBLISH"));
    calendar.append_property(("REFRESH-INTERVAL;VALUE=DURATION", "PT15M"));
    calendar.append_property(("X-PUBLISHED-TTL", "PT15M"));
    for job in jobs {
        let view = views.get(&job.doc.id);
        let mut about = vec![label(lang, job.stage).to_owned()];
        about.extend(view.map(|v| v.summary.subtitle.clone()).filter(|s| !s.is_empty()));
        if !job.planned {
            about.push(t(lang, "calendar.as_it_was").into());
        }
        let mut event = Event::new();
        event
            .uid(&format!("{}-{staff}@onsite", job.doc.id))
            .summary(format!("{} {}", job.number, job.title).trim())
            .location(&job.address)
            .description(&about.join("\n"))
            .status(if job.stage == Stage::Cancelled { EventStatus::Cancelled } else { EventStatus::Confirmed })
            .add_property("DTSTART", utc(job.start))
            .add_property("DTEND", utc(job.end.max(job.start.plus(Millis::MINUTE))));
        if let Some(view) = view {
            // The same as long as nothing changes, so that a reader can tell.
            event.add_property("DTSTAMP", utc(view.changed));
            event.add_property("LAST-MODIFIED", utc(view.changed));
            event.add_property("SEQUENCE", view.ver.to_string());
        }
        calendar.push(event.done());
    }
    Ok(calendar.to_string())
}

fn utc(at: Millis) -> String {
    let at = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
    at.strftime("%Y%m%dT%H%M%SZ").to_string()
}
