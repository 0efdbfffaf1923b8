//! Proposed penalties and rewards with what was decided and said about them.

use super::settings;
use super::shown::{Document, Row};
use crate::error::Result;
use crate::facts::{self, AppraisalFact, ComplaintFact, StaffFact, StatementFact};
use crate::ledger::Ledger;
use crate::ledger::reader::Reader;
use crate::storage::{FactQuery, View};
use onsite_core::domain::appraisal::{self, Grievance, Proposal, Verdict};
use onsite_core::domain::stage::job_visits;
use onsite_core::domain::{
    Appraisal, AppraisalId, Complaint, ComplaintId, DocId, DocRef, Entity, Kind, Millis, Quarter, Rule, StaffId,
    Suggestion, SuggestionId, TenantId, WorkOrder, World, WorldExt as _, Zone,
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::HashMap;
use utoipa::ToSchema;

/// Most complaints and suggestions looked at for an answer.
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
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
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

/// Some of the proposals.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct ProposalPage {
    /// They themselves.
    pub rows: Vec<ProposalShown>,
    /// Ask again with this as `after` for those of older complaints and suggestions.
    pub next: Option<DocId>,
    /// How many there are, wherever they belong.
    pub counts: PartCounts,
}

/// How many proposals belong where, of the 2,000 complaints and suggestions looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, ToSchema)]
pub struct PartCounts {
    /// To be decided.
    pub waiting: u64,
    /// Of which too little is known.
    pub unknown: u64,
    /// Whose conditions are not met.
    pub not_met: u64,
    /// Decided.
    pub decided: u64,
    /// There are older complaints and suggestions, which are not counted.
    pub more: bool,
}

impl PartCounts {
    fn of(judged: &[Judged], more: bool) -> Self {
        let mut counts = Self { more, ..Self::default() };
        for one in judged {
            *match one.part {
                Part::Waiting => &mut counts.waiting,
                Part::Unknown => &mut counts.unknown,
                Part::NotMet => &mut counts.not_met,
                Part::Decided => &mut counts.decided,
            } += 1;
        }
        counts
    }
}

/// Which proposals are asked for. All conditions hold together.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wanted {
    /// Only those not decided, or whose evidence has changed since.
    pub open: bool,
    /// Only those that belong here.
    pub part: Option<Part>,
    /// Only about this person.
    pub staff: Option<StaffId>,
    /// Of this quarter's complaints and suggestions, and its rewards; else of all, with the rewards of the
    /// last quarter that is over.
    pub quarter: Option<Quarter>,
    /// Only of this complaint or suggestion.
    pub subject: Option<DocId>,
    /// Goes on after this complaint or suggestion; the rewards of a quarter are in the first part.
    pub after: Option<DocId>,
    /// Goes no further once there are so many, but for others of the same complaint; 0: as many as there are.
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

/// A proposal, and what was decided about it.
struct Judged {
    proposal: Proposal,
    decision: Option<(DocId, Appraisal)>,
    changed_since: bool,
    part: Part,
}

impl Judged {
    /// The complaint or suggestion it is about; a quarter's reward is about neither.
    fn subject(&self) -> Option<DocId> {
        let Proposal { complaint, suggestion, .. } = self.proposal;
        complaint.map(DocId::from).or(suggestion.map(DocId::from))
    }
}

/// What proposals are derived from.
struct Subjects {
    /// Complaints and suggestions, newest first.
    docs: Vec<DocRef>,
    technicians: Vec<StaffId>,
    quarter: Quarter,
}

impl Subjects {
    fn derive(&self, staff: Option<StaffId>, now: Millis, world: &dyn World) -> Vec<Proposal> {
        let settings = world.settings();
        let mut out = Vec::new();
        let zone = Zone::of(&settings);
        let inside = world.complaints(self.quarter.start(zone), self.quarter.end(zone)).unwrap_or_default();
        let inside: Vec<_> =
            inside.into_iter().filter_map(|id| Some((id, world.get::<Complaint>(id)?.into_owned()))).collect();
        for staff in &self.technicians {
            let synced = world.synced_until(*staff);
            out.push(appraisal::for_quarter(self.quarter, *staff, &inside, synced, now, world));
        }
        for doc in &self.docs {
            if doc.kind == Kind::Suggestion {
                let id = SuggestionId::from(doc.id);
                let Some(suggestion) = world.get::<Suggestion>(id) else { continue };
                let rulings = world.children(Kind::Appraisal, doc.id).into_iter();
                let rulings = rulings.filter_map(|a| world.get::<Appraisal>(a)).map(Cow::into_owned);
                let rulings: Vec<Appraisal> = rulings.collect();
                out.push(appraisal::for_suggestion(id, &suggestion, &rulings));
                continue;
            }
            let id = ComplaintId::from(doc.id);
            let Some(complaint) = world.get::<Complaint>(id) else { continue };
            let order = complaint.work_order.and_then(|w| Some((w, world.get::<WorkOrder>(w)?)));
            let visits = order.as_ref().map(|(id, w)| job_visits(*id, w, world)).unwrap_or_default();
            let order = order.as_ref().map(|(id, w)| (*id, &**w));
            let grievance = Grievance { id, complaint: &complaint, order, visits: &visits };
            out.extend(appraisal::for_complaint(grievance, &settings, &|staff| world.synced_until(staff)));
        }
        out.retain(|p| staff.is_none_or(|s| p.staff == Some(s)));
        out
    }
}

impl Ledger {
    /// Proposals of the rules: R1 of a quarter, then P1 to P3 and R2 of complaints and suggestions, newest first,
    /// or of those after a place.
    ///
    /// # Errors
    /// The storage's.
    pub async fn proposals(&self, tenant: TenantId, wanted: &Wanted) -> Result<ProposalPage> {
        let known = Known::of(self, tenant).await?;
        let (mut found, mut next) = self.judged(tenant, wanted, &known).await?;
        let counts = PartCounts::of(&found, next.is_some());
        found.retain(|one| wanted.part.is_none_or(|part| part == one.part));
        found.retain(|one| !wanted.open || one.part != Part::Decided);
        if let Some(last) = wanted.limit.checked_sub(1).and_then(|n| found.get(n)).map(Judged::subject) {
            let rest = found.iter().skip(wanted.limit).take_while(|one| one.subject() == last).count();
            if wanted.limit + rest < found.len() {
                found.truncate(wanted.limit + rest);
                // After the rewards come all that have a place.
                next = last.or(Some(DocId(uuid::Uuid::max())));
            }
        }
        let mut ids: Vec<DocId> = Vec::new();
        for one in &found {
            ids.extend(known.replies(&one.proposal).chain(one.subject()));
        }
        ids.sort_unstable();
        ids.dedup();
        let views = self.by_id(tenant, &ids).await?;
        let mut rows = Vec::new();
        for one in found {
            let mut statements = Vec::new();
            for view in known.replies(&one.proposal).filter_map(|id| views.get(&id)) {
                let said = Document::of(view)?;
                // What one technician says of a complaint is no word of another's.
                if matches!(&said.entity, Entity::Statement(s) if s.author == one.proposal.staff) {
                    statements.push(said);
                }
            }
            let subject = one.subject().and_then(|id| views.get(&id)).map(Row::from);
            let Judged { proposal, decision, changed_since, part } = one;
            let (decision_id, decision) = decision.map(|(id, a)| (AppraisalId::from(id), a)).unzip();
            rows.push(ProposalShown { proposal, decision, decision_id, changed_since, statements, subject, part });
        }
        Ok(ProposalPage { rows, next, counts })
    }

    /// How many proposals wait for a decision: those whose conditions are met, of the newest complaints and
    /// suggestions.
    pub(crate) async fn proposals_open(&self, tenant: TenantId) -> Result<u64> {
        let known = Known::of(self, tenant).await?;
        let (found, _) = self.judged(tenant, &Wanted::default(), &known).await?;
        let open = |one: &&Judged| one.part == Part::Waiting && one.proposal.verdict == Verdict::Proposed;
        Ok(found.iter().filter(open).count() as u64)
    }

    /// Proposals with what was decided; wherever they belong.
    async fn judged(&self, tenant: TenantId, wanted: &Wanted, known: &Known) -> Result<(Vec<Judged>, Option<DocId>)> {
        let (proposals, next) = self.derived(tenant, wanted).await?;
        let ids: Vec<DocId> = proposals.iter().flat_map(|p| known.decisions(p)).copied().collect();
        let views = self.by_id(tenant, &ids).await?;
        let mut judged = Vec::with_capacity(proposals.len());
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
            let part = Part::of(&proposal, decision.is_some(), changed_since);
            judged.push(Judged { proposal, decision, changed_since, part });
        }
        Ok((judged, next))
    }

    async fn derived(&self, tenant: TenantId, wanted: &Wanted) -> Result<(Vec<Proposal>, Option<DocId>)> {
        let now = self.env().now();
        let zone = Zone::of(&settings(self, tenant).await?);
        let quarter = wanted.quarter.unwrap_or_else(|| Quarter::of(zone.day(now)).previous());
        let starts = wanted.quarter.map(|q| (q.start(zone), q.end(zone)));
        let (mut docs, mut jobs) = (Vec::new(), HashMap::new());
        for kind in [Kind::Complaint, Kind::Suggestion] {
            for row in self.storage().facts(tenant, &FactQuery { starts, ..FactQuery::all(kind) }).await? {
                let asked = wanted.subject.is_none_or(|s| s == row.doc) && wanted.after.is_none_or(|a| row.doc < a);
                if !asked {
                    continue;
                }
                if kind == Kind::Complaint {
                    jobs.extend(facts::read::<ComplaintFact>(&row)?.job.map(|job| (row.doc, DocId::from(job))));
                }
                docs.push(DocRef { kind, id: row.doc });
            }
        }
        docs.sort_unstable_by_key(|doc| std::cmp::Reverse(doc.id));
        let next = docs.get(MOST - 1).map(|last| last.id).filter(|_| docs.len() > MOST);
        docs.truncate(MOST);
        let mut reader = Reader::new(self.storage(), tenant);
        let mut read: Vec<DocId> = Vec::new();
        for doc in &docs {
            read.extend([doc.id].iter().chain(jobs.get(&doc.id)));
        }
        reader.prefetch(read).await?;
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
        let subjects = Subjects { docs, technicians, quarter };
        Ok((reader.ask(|w| subjects.derive(wanted.staff, now, w)).await?, next))
    }
}
