//! What waits for the office today, the board of jobs by stage, the calendar.

use super::devices::{DeviceRow, Show};
use super::settings;
use super::shown::{Row, place, rows};
use crate::error::Result;
use crate::facts::{self, JobFact};
use crate::ledger::Ledger;
use crate::storage::{FactQuery, Query, View};
use onsite_core::domain::rules::dispatch_role;
use onsite_core::domain::stage::Stage;
use onsite_core::domain::summary::FLAGS;
use onsite_core::domain::{Author, Date, DocId, DocRef, Kind, Millis, StaffId, TenantId, Zone};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use utoipa::ToSchema;

/// Rows of each task of the day.
const FIRST: usize = 10;
/// No job is looked for that began longer before what a calendar shows.
const LONGEST: i64 = 62 * Millis::DAY;
/// Widest calendar, in days.
pub const CALENDAR_DAYS: i64 = 100;
/// Stages in which nothing is left to do.
const DONE: [Stage; 4] = [Stage::Completed, Stage::Closed, Stage::Archived, Stage::Cancelled];

/// What waits for somebody.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct Task {
    /// How many.
    pub count: u64,
    /// Whether there are more than `rows`.
    pub more: bool,
    /// The first of them.
    pub rows: Vec<Row>,
}

/// What is known of phones that need a look.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct Phones {
    /// Not heard of for a day.
    pub silent: Vec<DeviceRow>,
    /// With work that has not been sent, by their own account.
    pub unsent: u64,
    /// Revoked while they held such work.
    pub revoked_with_unsent: u64,
}

/// What waits for the office.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct Today {
    /// The server's clock.
    pub now: Millis,
    /// The company's day.
    pub day: Date,
    /// Jobs whose deadline has passed and nobody has come.
    pub overdue_arrivals: Task,
    /// Customers to be called by today.
    pub calls_due: Task,
    /// Dispatch orders that wait for signatures, those of the asker's roles first.
    pub signoffs: Task,
    /// Repair reports without a work order.
    pub requests: Task,
    /// Machines that came back, or are to.
    pub returned_machines: Task,
    /// Opinions of customers to be analysed.
    pub opinions: Task,
    /// Jobs whose facts contradict each other.
    pub contradictions: Task,
    /// Jobs left incomplete that nobody goes on with.
    pub follow_ons: Task,
    /// Proposed penalties and rewards to be decided.
    pub proposals: u64,
    /// Open complaints.
    pub complaints: Task,
    /// Documents with clashes to be chosen from.
    pub clashes: u64,
    /// Refused edits to be decided about.
    pub refused: u64,
    /// Phones that need a look.
    pub phones: Phones,
    /// Jobs by stage.
    pub stages: BTreeMap<String, u64>,
}

/// A column of the board.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct BoardColumn {
    /// The stage.
    pub stage: Stage,
    /// Whether nobody has anything left to do with its jobs.
    pub finished: bool,
    /// Jobs in it.
    pub count: u64,
    /// The first of them.
    pub rows: Vec<Row>,
    /// Goes on after these: `after` of a list of that status.
    pub next: Option<String>,
}

/// When somebody really was on site.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct Actual {
    /// The first arrival.
    pub arrived: Option<Millis>,
    /// The last departure.
    pub departed: Option<Millis>,
}

/// A job in somebody's calendar.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct Slot {
    /// The work order.
    pub doc: DocRef,
    /// Its number.
    pub number: String,
    /// Whose.
    pub title: String,
    /// Where.
    pub address: String,
    /// Where it stands.
    pub stage: Stage,
    /// As it was, else as planned, else from its deadline on.
    pub start: Millis,
    /// Its end.
    pub end: Millis,
    /// Start and end are a plan.
    pub planned: bool,
    /// Latest arrival.
    pub deadline: Option<Millis>,
    /// Whether this person leads.
    pub lead: bool,
    /// As it was.
    pub actual: Actual,
    /// Other jobs of the same person at the same time.
    pub conflicts: Vec<DocId>,
}

/// One person's calendar.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct PersonsJobs {
    /// The person.
    pub staff: StaffId,
    /// Their jobs by time.
    pub jobs: Vec<Slot>,
}

/// The jobs of a time, by person.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct Calendar {
    /// Everybody with a job in it.
    pub people: Vec<PersonsJobs>,
    /// Jobs that nobody is assigned to.
    pub unassigned: Vec<Slot>,
}

fn stage_of(status: &str) -> Option<Stage> {
    Stage::ALL.into_iter().find(|s| s.word() == status)
}

impl Ledger {
    /// The first rows of these, in this order.
    async fn task(&self, tenant: TenantId, docs: &[DocId]) -> Result<Task> {
        let first = docs.get(..FIRST).unwrap_or(docs);
        let views = self.storage().views(tenant, first).await?;
        Ok(Task { count: docs.len() as u64, more: docs.len() > first.len(), rows: rows(&views) })
    }

    /// The first rows of a kind in a state, where how many there are is known.
    async fn waiting_in(&self, tenant: TenantId, kind: Kind, status: &str) -> Result<Task> {
        let counts = self.storage().counts(tenant, kind).await?;
        let count = counts.iter().find(|(s, _)| s == status).map_or(0, |(_, n)| *n);
        let query = Query { kind: Some(kind), status: Some(status.into()), limit: FIRST, ..Query::default() };
        let views = if count == 0 { Vec::new() } else { self.storage().list(tenant, &query).await? };
        Ok(Task { count, more: count > views.len() as u64, rows: rows(&views) })
    }

    /// What waits for the office, as somebody with these roles sees it.
    ///
    /// # Errors
    /// The storage's.
    pub async fn today(&self, tenant: TenantId, author: &Author) -> Result<Today> {
        let (now, storage) = (self.env().now(), self.storage());
        let settings = settings(self, tenant).await?;
        let zone = Zone::of(&settings);
        let day = zone.day(now);
        let stages: BTreeMap<String, u64> = storage.counts(tenant, Kind::WorkOrder).await?.into_iter().collect();

        let statuses = Stage::ALL.iter().filter(|s| !DONE.contains(s)).map(|s| s.word().to_owned()).collect();
        let alive = storage.facts(tenant, &FactQuery { statuses, ..FactQuery::all(Kind::WorkOrder) }).await?;
        let (mut overdue, mut signoffs, mut machines) = (Vec::new(), Vec::new(), Vec::new());
        for row in &alive {
            let fact: JobFact = facts::read(row)?;
            let waits = stage_of(&row.status).is_some_and(|at| at < Stage::OnSite) && fact.arrived.is_none();
            if let Some(deadline) = fact.job.deadline.filter(|d| *d < now && waits) {
                overdue.push((deadline, row.doc));
            }
            if row.status == Stage::AwaitingSignoffs.word() {
                let mine = fact.unsigned.iter().any(|place| author.is(dispatch_role(*place)));
                let due = fact.planned.or(fact.job.deadline).unwrap_or(Millis(i64::MAX));
                signoffs.push((!mine, due, row.doc));
            }
            if fact.machine {
                machines.push(row.doc);
            }
        }
        overdue.sort_unstable();
        signoffs.sort_unstable();
        let overdue: Vec<DocId> = overdue.into_iter().map(|(_, doc)| doc).collect();
        let signoffs: Vec<DocId> = signoffs.into_iter().map(|(.., doc)| doc).collect();

        let tomorrow = zone.end(day);
        let due = FactQuery { starts: Some((Millis(i64::MIN), tomorrow)), ..FactQuery::all(Kind::Customer) };
        let mut calls: Vec<(Option<Millis>, DocId)> =
            storage.facts(tenant, &due).await?.into_iter().map(|r| (r.fact.starts, r.doc)).collect();
        calls.sort_unstable();
        let calls: Vec<DocId> = calls.into_iter().map(|(_, doc)| doc).collect();

        let (mut opinions, mut contradictions, mut follow_ons) = (Vec::new(), Vec::new(), Vec::new());
        for (doc, flags) in storage.flags(tenant).await? {
            if flags.iter().any(|f| f == "opinion_open") {
                opinions.push(doc.id);
            }
            if doc.kind == Kind::WorkOrder && flags.iter().any(|f| f == "follow_on_missing") {
                follow_ons.push(doc.id);
            }
            // Every other flag is the key of a contradiction.
            let name = |f: &String| f.split(':').next().unwrap_or_default().to_owned();
            if doc.kind == Kind::WorkOrder && flags.iter().any(|f| !FLAGS.contains(&name(f).as_str())) {
                contradictions.push(doc.id);
            }
        }

        let left = storage.waiting(tenant).await?;
        let devices = self.device_rows(tenant).await?;
        let phones = Phones {
            unsent: devices.iter().filter(|d| d.shown.contains(&Show::Unsent)).count() as u64,
            revoked_with_unsent: devices.iter().filter(|d| d.revoked.is_some() && d.holds()).count() as u64,
            silent: devices.into_iter().filter(|d| d.silent).collect(),
        };
        Ok(Today {
            now,
            day,
            overdue_arrivals: self.task(tenant, &overdue).await?,
            calls_due: self.task(tenant, &calls).await?,
            signoffs: self.task(tenant, &signoffs).await?,
            requests: self.waiting_in(tenant, Kind::Request, Stage::Reported.word()).await?,
            returned_machines: self.task(tenant, &machines).await?,
            opinions: self.task(tenant, &opinions).await?,
            contradictions: self.task(tenant, &contradictions).await?,
            follow_ons: self.task(tenant, &follow_ons).await?,
            proposals: self.proposals_open(tenant).await?,
            complaints: self.waiting_in(tenant, Kind::Complaint, "open").await?,
            clashes: left.clashing,
            refused: left.refused.values().sum(),
            phones,
            stages,
        })
    }

    /// The board: work orders by stage in the flow's order, with reports nobody has answered first.
    ///
    /// # Errors
    /// The storage's.
    pub async fn board_of(
        &self,
        tenant: TenantId,
        person: Option<StaffId>,
        search: Option<&str>,
        limit: usize,
    ) -> Result<Vec<BoardColumn>> {
        let of = |kind, status: Option<&str>, limit| Query {
            kind: Some(kind),
            status: status.map(Into::into),
            person,
            search: search.map(Into::into),
            limit,
            ..Query::default()
        };
        let next = |views: &[View], count: u64| views.last().filter(|_| count > views.len() as u64).map(place);
        let mut columns: HashMap<Stage, (u64, Vec<View>)> = HashMap::new();
        for (kind, status) in [(Kind::WorkOrder, None), (Kind::Request, Some(Stage::Reported.word()))] {
            if person.is_some() || search.is_some() {
                for column in self.storage().columns(tenant, &of(kind, status, limit)).await? {
                    columns.extend(stage_of(&column.status).map(|stage| (stage, (column.count, column.rows))));
                }
                continue;
            }
            // Without conditions, how many there are is counted without looking at the rows.
            for (found, count) in self.storage().counts(tenant, kind).await? {
                let Some(stage) = stage_of(&found).filter(|_| status.is_none_or(|s| s == found)) else { continue };
                let views = self.storage().list(tenant, &of(kind, Some(&found), limit)).await?;
                columns.insert(stage, (count, views));
            }
        }
        let column = |stage: Stage| {
            let (count, views) = columns.remove(&stage)?;
            Some(BoardColumn {
                stage,
                finished: stage.finished(),
                count,
                next: next(&views, count),
                rows: rows(&views),
            })
        };
        Ok(Stage::ALL.into_iter().filter_map(column).collect())
    }

    /// The jobs of a time, by person.
    ///
    /// # Errors
    /// The storage's.
    pub async fn calendar(&self, tenant: TenantId, from: Millis, to: Millis) -> Result<Calendar> {
        let query = FactQuery { starts: Some((from.plus(-LONGEST), to)), ..FactQuery::all(Kind::WorkOrder) };
        let mut found = Vec::new();
        for row in self.storage().facts(tenant, &query).await? {
            let Some(stage) = stage_of(&row.status) else { continue };
            if row.fact.ends.is_none_or(|end| end <= from) {
                continue;
            }
            let fact: JobFact = facts::read(&row)?;
            // What was cancelled before anybody came is no plan any more.
            if let Some(span) = fact.span().filter(|_| stage != Stage::Cancelled || fact.arrived.is_some()) {
                found.push((row.doc, stage, span, fact));
            }
        }
        found.sort_by_key(|(doc, _, (start, ..), _)| (*start, *doc));
        let docs: Vec<DocId> = found.iter().map(|(doc, ..)| *doc).collect();
        let views = self.storage().views(tenant, &docs).await?;
        let mut titles: HashMap<DocId, (String, String)> =
            views.into_iter().map(|v| (v.summary.doc.id, (v.summary.number, v.summary.title))).collect();
        let mut people: BTreeMap<StaffId, Vec<Slot>> = BTreeMap::new();
        let mut unassigned = Vec::new();
        for (doc, stage, (start, end, planned), fact) in found {
            let (number, title) = titles.remove(&doc).unwrap_or_default();
            let slot = Slot {
                doc: DocRef { kind: Kind::WorkOrder, id: doc },
                number,
                title,
                address: fact.address,
                stage,
                start,
                end,
                planned,
                deadline: fact.job.deadline,
                lead: false,
                actual: Actual { arrived: fact.arrived, departed: fact.departed },
                conflicts: Vec::new(),
            };
            if fact.people.is_empty() && !stage.over() {
                unassigned.push(slot.clone());
            }
            let mut seen = BTreeSet::new();
            for (n, staff) in fact.people.iter().enumerate().filter(|(_, s)| seen.insert(**s)) {
                people.entry(*staff).or_default().push(Slot { lead: n == 0, ..slot.clone() });
            }
        }
        let people = people.into_iter().map(|(staff, mut jobs)| {
            mark_conflicts(&mut jobs);
            PersonsJobs { staff, jobs }
        });
        Ok(Calendar { people: people.collect(), unassigned })
    }
}

/// Notes for each of a person's jobs, which are in the order of their starts, which others overlap it.
fn mark_conflicts(jobs: &mut [Slot]) {
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (n, job) in jobs.iter().enumerate() {
        let later = jobs.iter().enumerate().skip(n + 1).take_while(|(_, other)| other.start < job.end);
        found.extend(later.map(|(m, _)| (n, m)));
    }
    for (a, b) in found {
        let (x, y) = (jobs[a].doc.id, jobs[b].doc.id);
        jobs[a].conflicts.push(y);
        jobs[b].conflicts.push(x);
    }
}
