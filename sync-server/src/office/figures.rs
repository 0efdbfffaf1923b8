//! The company's figures with the cases they are summed from.

use super::settings as settings_of;
use crate::error::{Error, Result};
use crate::facts::{self, ComplaintFact, JobFact};
use crate::ledger::Ledger;
use crate::storage::{FactQuery, FactRow};
use onsite_core::domain::figures::{CallFacts, Case, FigureName, Figures, JobFacts, Period, Reckoning, Unit};
use onsite_core::domain::{Date, DocId, DocRef, Kind, Millis, Quarter, Settings, StaffId, TenantId, Zone};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use utoipa::ToSchema;

/// Companies whose facts are kept in memory.
const KEPT: usize = 8;
/// Most jobs of a company that are: with more, they are read for each question.
const KEPT_JOBS: usize = 100_000;
/// Most periods of a trend.
const PERIODS: usize = 60;

/// Figures of a period.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct FiguresShown {
    /// Of all jobs; of one person's, where asked so.
    pub all: Figures,
    /// Of each technician's.
    pub by_technician: BTreeMap<StaffId, Figures>,
}

/// Figures of one of several periods.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct FiguresOf {
    /// The period: `2026-10` or `2026Q4`.
    pub period: String,
    /// Its figures.
    pub figures: Figures,
}

/// How long the periods of a trend are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Calendar months.
    #[default]
    Month,
    /// Quarters.
    Quarter,
}

/// How a case counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Counted {
    /// In the numerator.
    Hit,
    /// In the denominator only.
    Miss,
    /// Not at all: too little is known.
    Unknown,
    /// As it says for now: it may still change.
    Provisional,
}

impl Counted {
    fn of(case: &Case) -> Self {
        match case.adds {
            None => Self::Unknown,
            Some(_) if case.provisional => Self::Provisional,
            Some((0, _)) if case.figure.unit() == Unit::Share => Self::Miss,
            Some(_) => Self::Hit,
        }
    }
}

/// A case that a figure is summed from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct FigureCase {
    /// The job, the call, or the customer to be called.
    pub doc: DocRef,
    /// Its number.
    pub number: String,
    /// Its head.
    pub title: String,
    /// How it counted.
    pub counted: Counted,
    /// What it adds to the numerator, where that is more than one or nothing.
    pub value: Option<i64>,
}

/// A part of the cases that a figure is summed from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct FigureCases {
    /// How many there are in all, by how they counted.
    pub counts: BTreeMap<Counted, u64>,
    /// This part's, newest first.
    pub rows: Vec<FigureCase>,
    /// Ask again with this as `after` for more.
    pub next: Option<String>,
}

/// A place among the cases of a figure: a document, and how many of its cases were told up to there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct CasePlace(std::cmp::Reverse<DocId>, usize);

impl fmt::Display for CasePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0.0, self.1)
    }
}

impl FromStr for CasePlace {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let place = text.split_once('.').and_then(|(doc, nth)| Some((doc.parse().ok()?, nth.parse().ok()?)));
        let (doc, nth) = place.ok_or_else(Error::bad_after)?;
        Ok(Self(std::cmp::Reverse(doc), nth))
    }
}

/// Which part of the cases is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CasesWanted {
    /// Only those that counted so.
    pub counted: Option<Counted>,
    /// Goes on after this place.
    pub after: Option<CasePlace>,
    /// At most so many.
    pub limit: usize,
}

/// Days of the company's calendar, both included; open ends are the quarter's first day and today.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Days {
    /// First day.
    pub from: Option<Date>,
    /// Last day.
    pub to: Option<Date>,
}

/// What all figures of a company are reckoned from.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    jobs: Vec<JobFacts>,
    calls: Vec<CallFacts>,
}

/// A company, its epoch and head.
type AsOf = (TenantId, u64, u64);

/// Facts as they were at some head, the newest last.
#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<VecDeque<(AsOf, Arc<Facts>)>>);

impl Kept {
    fn get(&self, key: AsOf) -> Option<Arc<Facts>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|(k, _)| *k == key).map(|(_, facts)| Arc::clone(facts))
    }

    fn put(&self, key: AsOf, facts: &Arc<Facts>) {
        if facts.jobs.len() > KEPT_JOBS {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|((tenant, ..), _)| *tenant != key.0);
        while kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back((key, Arc::clone(facts)));
    }
}

/// Reads what was kept of jobs, complaints, calls and customers.
fn gathered(jobs: &[FactRow], complaints: &[FactRow], calls: &[FactRow], due: &[FactRow], zone: Zone) -> Result<Facts> {
    let mut about: HashMap<DocId, i64> = HashMap::new();
    for row in complaints {
        let complaint: ComplaintFact = facts::read(row)?;
        if let Some(job) = complaint.job.filter(|_| !complaint.dismissed) {
            *about.entry(job.into()).or_default() += 1;
        }
    }
    let job = |row: &FactRow| {
        let mut job = facts::read::<JobFact>(row)?.job;
        job.complaints = about.get(&row.doc).copied().unwrap_or(0);
        Ok::<_, Error>(job)
    };
    let jobs = jobs.iter().map(job).collect::<Result<_>>()?;
    let mut all = Vec::new();
    for row in calls {
        all.extend(facts::read::<Option<CallFacts>>(row)?);
    }
    let open = |row: &FactRow| Some(CallFacts::open(row.doc.into(), zone.day(row.fact.starts?)));
    all.extend(due.iter().filter_map(open));
    Ok(Facts { jobs, calls: all })
}

impl Ledger {
    async fn figure_facts(&self, tenant: TenantId, zone: Zone) -> Result<Arc<Facts>> {
        let company = self.company(tenant).await?;
        let key = (tenant, company.epoch, company.head);
        if let Some(facts) = self.kept.get(key) {
            return Ok(facts);
        }
        let of = async |kind| self.storage().facts(tenant, &FactQuery::all(kind)).await;
        let (jobs, complaints) = (of(Kind::WorkOrder).await?, of(Kind::Complaint).await?);
        let (calls, due) = (of(Kind::FollowUp).await?, of(Kind::Customer).await?);
        let read = move || gathered(&jobs, &complaints, &calls, &due, zone);
        let facts = Arc::new(aside(read).await??);
        self.kept.put(key, &facts);
        Ok(facts)
    }

    /// The period, with what is needed to reckon in it.
    async fn reckoned(&self, tenant: TenantId, days: Days) -> Result<(Period, Settings, Arc<Facts>, Millis)> {
        let (settings, now) = (settings_of(self, tenant).await?, self.env().now());
        let zone = Zone::of(&settings);
        let period = period(days, zone, now)?;
        let facts = self.figure_facts(tenant, zone).await?;
        Ok((period, settings, facts, now))
    }

    /// The figures of a period; of one person's jobs only, where `staff` is given.
    ///
    /// # Errors
    /// `bad_period`; the storage's.
    pub async fn figures(&self, tenant: TenantId, days: Days, staff: Option<StaffId>) -> Result<FiguresShown> {
        let (period, settings, facts, now) = self.reckoned(tenant, days).await?;
        aside(move || {
            let reckoning = Reckoning::new(&facts.jobs, &facts.calls, &settings, now);
            match staff {
                None => FiguresShown { all: reckoning.figures(period), by_technician: reckoning.by_technician(period) },
                Some(staff) => {
                    let theirs = reckoning.figures_of(period, staff);
                    FiguresShown { all: theirs, by_technician: [(staff, theirs)].into() }
                }
            }
        })
        .await
    }

    /// The figures of the months or quarters that have a day in a period, one after another.
    ///
    /// # Errors
    /// `bad_period`, `too_many_periods`; the storage's.
    pub async fn figure_trend(
        &self,
        tenant: TenantId,
        days: Days,
        step: Step,
        staff: Option<StaffId>,
    ) -> Result<Vec<FiguresOf>> {
        let (period, settings, facts, now) = self.reckoned(tenant, days).await?;
        let zone = Zone::of(&settings);
        let mut first = zone.day(period.from).first_of_month();
        if step == Step::Quarter {
            first = Quarter::of(first).first_day();
        }
        let mut periods = Vec::new();
        while zone.start(first) < period.to {
            if periods.len() == PERIODS {
                return Err(Error::bad("too_many_periods", "from", format!("more than {PERIODS} periods")));
            }
            let months = if step == Step::Quarter { 3 } else { 1 };
            let Ok(next) = first.checked_add(jiff::Span::new().months(months)) else { break };
            let name = match step {
                Step::Quarter => Quarter::of(first).to_string(),
                Step::Month => format!("{:04}-{:02}", first.year(), first.month()),
            };
            periods.push((name, Period { from: zone.start(first), to: zone.start(next) }));
            first = next;
        }
        aside(move || {
            let reckoning = Reckoning::new(&facts.jobs, &facts.calls, &settings, now);
            let of = |period| match staff {
                None => reckoning.figures(period),
                Some(staff) => reckoning.figures_of(period, staff),
            };
            periods.into_iter().map(|(name, p)| FiguresOf { period: name, figures: of(p) }).collect()
        })
        .await
    }

    /// A part of the cases that one figure of a period is summed from, newest first.
    ///
    /// # Errors
    /// `bad_period`; the storage's.
    pub async fn figure_cases(
        &self,
        tenant: TenantId,
        figure: FigureName,
        days: Days,
        staff: Option<StaffId>,
        wanted: CasesWanted,
    ) -> Result<FigureCases> {
        let (period, settings, facts, now) = self.reckoned(tenant, days).await?;
        let (counts, cases) = aside(move || {
            let mut cases: Vec<Case> = Vec::new();
            let reckoning = Reckoning::new(&facts.jobs, &facts.calls, &settings, now);
            reckoning.each(period, staff, |case| cases.extend((case.figure == figure).then_some(case)));
            cases.sort_by_key(|c| std::cmp::Reverse(c.doc.id));
            part(cases, wanted)
        })
        .await?;
        let more = cases.len() > wanted.limit;
        let next =
            wanted.limit.checked_sub(1).and_then(|last| cases.get(last)).filter(|_| more).map(|(place, ..)| *place);
        let docs: Vec<DocId> = cases.iter().map(|(.., c)| c.doc.id).collect();
        let views = self.storage().views(tenant, &docs).await?;
        let named: HashMap<DocId, (String, String)> =
            views.into_iter().map(|v| (v.summary.doc.id, (v.summary.number, v.summary.title))).collect();
        let shown = cases.into_iter().take(wanted.limit).map(|(_, counted, case)| {
            let (number, title) = named.get(&case.doc.id).cloned().unwrap_or_default();
            let value = case.adds.map(|(n, _)| n).filter(|_| figure.unit() != Unit::Share);
            FigureCase { doc: case.doc, number, title, counted, value }
        });
        Ok(FigureCases { counts, rows: shown.collect(), next: next.map(|place| place.to_string()) })
    }
}

/// A case with its place and how it counted.
type Told = (CasePlace, Counted, Case);

/// Counts all cases; keeps one more than is wanted of those after a place.
fn part(cases: Vec<Case>, wanted: CasesWanted) -> (BTreeMap<Counted, u64>, Vec<Told>) {
    let (mut counts, mut kept, mut last) = (BTreeMap::new(), Vec::new(), None);
    for case in cases {
        let nth = match last {
            Some(CasePlace(doc, nth)) if doc.0 == case.doc.id => nth + 1,
            _ => 1,
        };
        let place = CasePlace(std::cmp::Reverse(case.doc.id), nth);
        last = Some(place);
        let counted = Counted::of(&case);
        *counts.entry(counted).or_default() += 1;
        let wants = wanted.counted.is_none_or(|c| c == counted) && wanted.after.is_none_or(|after| place > after);
        if wants && kept.len() <= wanted.limit {
            kept.push((place, counted, case));
        }
    }
    (counts, kept)
}

/// The moments of a period of days.
fn period(days: Days, zone: Zone, now: Millis) -> Result<Period> {
    let today = zone.day(now);
    let to = days.to.unwrap_or(today);
    let from = days.from.unwrap_or_else(|| Quarter::of(to).first_day());
    if to < from {
        return Err(Error::bad("bad_period", "to", "a period ends before it begins"));
    }
    Ok(Period { from: zone.start(from), to: zone.end(to) })
}

/// Runs what takes a while on a thread of its own.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::Internal(format!("reckoning figures: {e}")))
}
