//! Proposed penalties and rewards with what was decided and said about them.

use super::settings;
use super::shown::{Document, Row};
use crate::error::{Error, Result};
use crate::facts::{self, AppraisalFact, ComplaintFact, StaffFact, StatementFact};
use crate::ledger::Ledger;
use crate::ledger::reader::Reader;
use crate::storage::{FactQuery, View};
use onsite_core::domain::appraisal::{self, Grievance, Proposal, Verdict};
use onsite_core::domain::stage::job_visits;
use onsite_core::domain::{
    Appraisal, AppraisalId, Complaint, ComplaintId, DocId, Entity, Kind, Millis, Quarter, Rule, StaffId, Suggestion,
    SuggestionId, TenantId, WorkOrder, World, WorldExt as _, Zone,
};
use serde::Serialize;
use std::collections::HashMap;
use utoipa::ToSchema;

/// Most complaints and suggestions looked at for a part.
const MOST: usize = 2_000;

/// A proposal, as it is to be decided or was.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct ProposalShown {
    /// The proposal with its evidence, as it stands now.
    pub proposal: Proposal,
    /// The decision, if there is one.
    pub decision: Option<Appraisal>,
    /// Its document.
    pub decision_id: Option<AppraisalId>,
    /// The evidence is other than when it was decided.
    pub changed_since: bool,
    /// What was replied to it.
    pub statements: Vec<Document>,
    /// What it is about: the complaint or the suggestion.
    pub subject: Option<Row>,
    /// Where it belongs.
    pub part: Part,
}

/// Where a proposal belongs. Unknown never punishes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ProposalPart)]
pub enum Part {
    /// It is to be decided.
    Waiting,
    /// Too little is known.
    Unknown,
    /// Its conditions are not met.
    NotMet,
    /// It was decided, and its evidence stands.
    Decided,
}

impl Part {
    fn of(proposal: &Proposal, decided: bool, changed_since: bool) -> Self {
        match proposal.verdict {
            _ if decided && !changed_since => Self::Decided,
            _ if decided => Self::Waiting,
            Verdict::Proposed => Self::Waiting,
            // A suggestion is no reward before it is adopted, so it waits for that.
            _ if proposal.rule == Rule::AdoptedSuggestion => Self::Waiting,
            Verdict::Unknown => Self::Unknown,
            Verdict::NotMet => Self::NotMet,
        }
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Unknown => "unknown",
            Self::NotMet => "not_met",
            Self::Decided => "decided",
        }
    }
}

/// A part of the proposals.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct ProposalPage {
    /// Its proposals.
    pub rows: Vec<ProposalShown>,
    /// Ask again with this as `after` for those of older complaints and suggestions.
    pub next: Option<DocId>,
}

/// Which proposals are asked for. All conditions hold together.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wanted {
    /// Only those not decided, or whose evidence has changed since.
    pub open: bool,
    /// Only about this person.
    pub staff: Option<StaffId>,
    /// Of this quarter's complaints and suggestions, and its rewards; else of all, with the rewards of the
    /// last quarter that is over.
    pub quarter: Option<Quarter>,
    /// Only of this complaint or suggestion.
    pub subject: Option<DocId>,
    /// Goes on after this complaint or suggestion; the rewards of a quarter are in the first part.
    pub after: Option<DocId>,
    /// Complaints and suggestions looked at; 0 and more than 2,000: 2,000.
    pub limit: usize,
}

/// Decisions and replies, by proposal.
#[derive(Default)]
struct Known {
    decisions: HashMap<String, Vec<DocId>>,
    replies: HashMap<String, Vec<DocId>>,
    to_complaints: HashMap<ComplaintId, Vec<DocId>>,
}

impl Known {
    async fn of(ledger: &Ledger, tenant: TenantId) -> Result<Self> {
        let mut known = Self::default();
        for row in ledger.storage().facts(tenant, &FactQuery::all(Kind::Appraisal)).await? {
            let fact: AppraisalFact = facts::read(&row)?;
            known.decisions.entry(fact.proposal).or_default().push(row.doc);
        }
        for row in ledger.storage().facts(tenant, &FactQuery::all(Kind::Statement)).await? {
            let fact: StatementFact = facts::read(&row)?;
            if let Some(key) = fact.proposal {
                known.replies.entry(key).or_default().push(row.doc);
            } else if let Some(complaint) = fact.complaint {
                known.to_complaints.entry(complaint).or_default().push(row.doc);
            }
        }
        Ok(known)
    }

    fn decisions(&self, proposal: &Proposal) -> &[DocId] {
        self.decisions.get(&proposal.key).map(Vec::as_slice).unwrap_or_default()
    }

    /// Replies to it, and to the complaint it rests on.
    fn replies(&self, proposal: &Proposal) -> impl Iterator<Item = DocId> {
        let own = self.replies.get(&proposal.key).into_iter().flatten();
        let to_complaint = proposal.complaint.and_then(|c| self.to_complaints.get(&c)).into_iter().flatten();
        own.chain(to_complaint).copied()
    }
}

/// What proposals are derived from.
struct Subjects {
    complaints: Vec<ComplaintId>,
    suggestions: Vec<SuggestionId>,
    technicians: Vec<StaffId>,
    quarter: Quarter,
}

impl Subjects {
    fn derive(&self, staff: Option<StaffId>, now: Millis, world: &dyn World) -> Vec<Proposal> {
        let settings = world.settings();
        let mut out = Vec::new();
        for id in &self.complaints {
            let Some(complaint) = world.get::<Complaint>(*id) else { continue };
            let order = complaint.work_order.and_then(|w| Some((w, world.get::<WorkOrder>(w)?)));
            let visits = order.as_ref().map(|(id, w)| job_visits(*id, w, world)).unwrap_or_default();
            let order = order.as_ref().map(|(id, w)| (*id, w));
            let grievance = Grievance { id: *id, complaint: &complaint, order, visits: &visits };
            out.extend(appraisal::for_complaint(grievance, &settings, &|staff| world.synced_until(staff)));
        }
        let zone = Zone::of(&settings);
        let inside = world.complaints(self.quarter.start(zone), self.quarter.end(zone)).unwrap_or_default();
        let inside: Vec<_> = inside.into_iter().filter_map(|id| Some((id, world.get::<Complaint>(id)?))).collect();
        for staff in &self.technicians {
            let synced = world.synced_until(*staff);
            out.push(appraisal::for_quarter(self.quarter, *staff, &inside, synced, now, world));
        }
        for id in &self.suggestions {
            let Some(suggestion) = world.get::<Suggestion>(*id) else { continue };
            let rulings: Vec<Appraisal> =
                world.children(Kind::Appraisal, (*id).into()).into_iter().filter_map(|a| world.get(a)).collect();
            out.push(appraisal::for_suggestion(*id, &suggestion, &rulings));
        }
        out.retain(|p| staff.is_none_or(|s| p.staff == Some(s)));
        out
    }
}

impl Ledger {
    /// Proposals of the rules about the newest complaints and suggestions, or those after a place: P1 to P3 of
    /// complaints, newest first, then R1, then R2.
    ///
    /// # Errors
    /// The storage's.
    pub async fn proposals(&self, tenant: TenantId, wanted: &Wanted) -> Result<ProposalPage> {
        let known = Known::of(self, tenant).await?;
        let (proposals, next) = self.derived(tenant, wanted).await?;
        let mut ids: Vec<DocId> = Vec::new();
        for proposal in &proposals {
            ids.extend(known.decisions(proposal));
            ids.extend(known.replies(proposal));
            ids.extend(proposal.complaint.map(DocId::from).or(proposal.suggestion.map(DocId::from)));
        }
        ids.sort_unstable();
        ids.dedup();
        let views = self.storage().views(tenant, &ids).await?;
        let views: HashMap<DocId, View> = views.into_iter().map(|v| (v.summary.doc.id, v)).collect();
        let mut shown = Vec::new();
        for proposal in proposals {
            let mut decision: Option<(DocId, Appraisal)> = None;
            for id in known.decisions(&proposal) {
                let Some(Entity::Appraisal(a)) = views.get(id).map(View::entity).transpose()? else { continue };
                let when = |a: &Appraisal| a.decision.as_ref().map(|d| d.why.at.best());
                // Of two who decided at once, the last word stands.
                if decision.as_ref().is_none_or(|(_, kept)| when(kept) <= when(&a)) {
                    decision = Some((*id, a));
                }
            }
            let changed_since = decision.as_ref().is_some_and(|(_, a)| appraisal::changed_since(a, &proposal));
            if wanted.open && decision.is_some() && !changed_since {
                continue;
            }
            let mut statements = Vec::new();
            for view in known.replies(&proposal).filter_map(|id| views.get(&id)) {
                let said = Document::of(view)?;
                // What one technician says of a complaint is no word of another's.
                if matches!(&said.entity, Entity::Statement(s) if s.author == proposal.staff) {
                    statements.push(said);
                }
            }
            let subject = proposal.complaint.map(DocId::from).or(proposal.suggestion.map(DocId::from));
            let (decision_id, decision) = decision.map(|(id, a)| (AppraisalId::from(id), a)).unzip();
            shown.push(ProposalShown {
                part: Part::of(&proposal, decision.is_some(), changed_since),
                subject: subject.and_then(|id| views.get(&id)).map(Row::from),
                decision,
                decision_id,
                changed_since,
                statements,
                proposal,
            });
        }
        Ok(ProposalPage { rows: shown, next })
    }

    /// How many proposals wait for a decision: those whose conditions are met, of the newest complaints and
    /// suggestions.
    pub(crate) async fn proposals_open(&self, tenant: TenantId) -> Result<u64> {
        let wanted = Wanted { open: true, ..Wanted::default() };
        let shown = self.proposals(tenant, &wanted).await?.rows;
        Ok(shown.iter().filter(|p| p.proposal.verdict == Verdict::Proposed).count() as u64)
    }

    async fn derived(&self, tenant: TenantId, wanted: &Wanted) -> Result<(Vec<Proposal>, Option<DocId>)> {
        let now = self.env().now();
        let zone = Zone::of(&settings(self, tenant).await?);
        let quarter = wanted.quarter.unwrap_or_else(|| Quarter::of(zone.day(now)).previous());
        let starts = wanted.quarter.map(|q| (q.start(zone), q.end(zone)));
        let of = async |kind| {
            let mut rows = self.storage().facts(tenant, &FactQuery { starts, ..FactQuery::all(kind) }).await?;
            rows.retain(|row| {
                wanted.subject.is_none_or(|s| s == row.doc) && wanted.after.is_none_or(|after| row.doc < after)
            });
            rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.doc));
            Ok::<_, Error>(rows)
        };
        let (mut complaints, mut suggestions) = (of(Kind::Complaint).await?, of(Kind::Suggestion).await?);
        let mut places: Vec<DocId> = complaints.iter().chain(&suggestions).map(|row| row.doc).collect();
        places.sort_unstable_by(|a, b| b.cmp(a));
        let limit = if wanted.limit == 0 { MOST } else { wanted.limit.min(MOST) };
        let next = places.get(limit - 1).copied().filter(|_| places.len() > limit);
        if let Some(last) = next {
            complaints.retain(|row| row.doc >= last);
            suggestions.retain(|row| row.doc >= last);
        }
        let mut reader = Reader::new(self.storage(), tenant);
        let mut docs: Vec<DocId> = complaints.iter().chain(&suggestions).map(|r| r.doc).collect();
        for row in &complaints {
            docs.extend(facts::read::<ComplaintFact>(row)?.job.map(DocId::from));
        }
        reader.prefetch(docs).await?;
        let mut technicians = Vec::new();
        let active = FactQuery { statuses: vec!["active".into()], ..FactQuery::all(Kind::Staff) };
        // The rewards of a quarter are no document's: they come once.
        let rewards = wanted.after.is_none() && wanted.subject.is_none();
        let rows = if rewards { self.storage().facts(tenant, &active).await? } else { Vec::new() };
        for row in rows {
            let staff = StaffId::from(row.doc);
            if facts::read::<StaffFact>(&row)?.technician && wanted.staff.is_none_or(|s| s == staff) {
                technicians.push(staff);
            }
        }
        let subjects = Subjects {
            complaints: complaints.iter().map(|r| r.doc.into()).collect(),
            suggestions: suggestions.iter().map(|r| r.doc.into()).collect(),
            technicians,
            quarter,
        };
        Ok((reader.ask(|w| subjects.derive(wanted.staff, now, w)).await?, next))
    }
}
