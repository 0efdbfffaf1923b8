//! 处罚规则 / 奖励规则: evidence gathered, proposals derived. The service manager decides.
//!
//! Unknown never punishes: what is missing or doubtful makes a proposal
//! [`Verdict::Unknown`]. Proposals are never stored; they are derived anew, so
//! a phone that syncs late changes them ([`changed_since`]).

use super::{
    Appraisal, CheckResult, Complaint, ComplaintAbout, ComplaintId, Decision, DocRef, Kind, Millis, Quarter, Rule,
    Settings, StaffId, Stamp, Suggestion, SuggestionId, Visit, VisitId, WorkOrder, WorkOrderId, World, WorldExt, Zone,
    stage::job_visits,
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::{collections::BTreeSet, fmt, str::FromStr};

#[cfg(test)]
mod tests;

/// Every word that [`Evidence::fact`] may be; each has words in the messages.
pub const FACTS: &[&str] = &[
    "arrival_deadline",
    "arrival_doubtful",
    "arrival_unknown",
    "arrived",
    "assigned_after_deadline",
    "check_contradicted",
    "check_failed",
    "check_missing",
    "check_not_applicable",
    "check_passed",
    "communication_limit",
    "complaint",
    "complaint_dismissed",
    "complaint_unclear",
    "complaints_unknown",
    "contact_doubtful",
    "contacted",
    "decision",
    "decision_major",
    "feedback_doubtful",
    "feedback_received",
    "feedback_unknown",
    "job_unknown",
    "no_complaints",
    "no_contact",
    "no_deadline",
    "not_on_site",
    "not_synced",
    "photo_missing",
    "suggestion",
];

/// What the evidence says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The rule's conditions are met.
    Proposed,
    /// What is missing or doubtful does not allow to say.
    Unknown,
    /// They are not met.
    NotMet,
}

/// One fact a proposal rests on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Evidence {
    /// What it is: a stable word, also the message key's last part (`evidence.<fact>`).
    pub fact: String,
    /// When, with its doubt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Stamp>,
    /// A word or text belonging to it, such as a checklist key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The document that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doc: Option<DocRef>,
}

/// A proposed penalty or reward with its evidence.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Proposal {
    /// Stable name: see [`Key`].
    pub key: String,
    /// The rule.
    pub rule: Rule,
    /// Whom it concerns; `None` for a suggestion without an author.
    pub staff: Option<StaffId>,
    /// The job concerned.
    pub work_order: Option<WorkOrderId>,
    /// The complaint it rests on.
    pub complaint: Option<ComplaintId>,
    /// The suggestion it rewards.
    pub suggestion: Option<SuggestionId>,
    /// The quarter it rewards.
    pub quarter: Option<Quarter>,
    /// What the evidence says.
    pub verdict: Verdict,
    /// May still change: the quarter is not over, or a phone has not synced past it.
    pub provisional: bool,
    /// What it rests on.
    pub evidence: Vec<Evidence>,
}

/// A proposal's stable name: `P1:<complaint>:<staff>`, `R1:<quarter>:<staff>`, `R2:<suggestion>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Key {
    /// P1, P2 or P3.
    Penalty(Rule, ComplaintId, StaffId),
    /// R1.
    Quarter(Quarter, StaffId),
    /// R2.
    Suggestion(SuggestionId),
}

impl Key {
    /// The rule.
    pub fn rule(&self) -> Rule {
        match self {
            Key::Penalty(rule, ..) => *rule,
            Key::Quarter(..) => Rule::NoComplaints,
            Key::Suggestion(_) => Rule::AdoptedSuggestion,
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Penalty(rule, complaint, staff) => write!(f, "{rule}:{complaint}:{staff}"),
            Key::Quarter(quarter, staff) => write!(f, "R1:{quarter}:{staff}"),
            Key::Suggestion(suggestion) => write!(f, "R2:{suggestion}"),
        }
    }
}

/// The text names no proposal.
#[derive(Debug, thiserror::Error)]
#[error("not a proposal's key: {0:?}")]
pub struct BadKey(pub String);

impl FromStr for Key {
    type Err = BadKey;
    fn from_str(s: &str) -> Result<Self, BadKey> {
        let parse = || {
            let mut parts = s.split(':');
            let rule = parts.next()?.parse::<Rule>().ok()?;
            let first = parts.next()?;
            let second = parts.next();
            if parts.next().is_some() {
                return None;
            }
            Some(match rule {
                Rule::LateArrival | Rule::NotCommunicated | Rule::NotInspected => {
                    Key::Penalty(rule, first.parse().ok()?, second?.parse().ok()?)
                }
                Rule::NoComplaints => Key::Quarter(first.parse().ok()?, second?.parse().ok()?),
                Rule::AdoptedSuggestion if second.is_none() => Key::Suggestion(first.parse().ok()?),
                Rule::AdoptedSuggestion => return None,
            })
        };
        parse().ok_or_else(|| BadKey(s.chars().take(120).collect()))
    }
}

/// What the evidence gathers while a rule is weighed.
struct Case(Vec<Evidence>);

impl Case {
    fn note(&mut self, fact: &str, at: Option<Stamp>, value: Option<&str>, doc: Option<DocRef>) {
        debug_assert!(FACTS.contains(&fact), "{fact} is not among the facts");
        self.0.push(Evidence { fact: fact.into(), at, value: value.map(Into::into), doc });
    }
}

/// A complaint with its job, as a penalty is weighed on it.
#[derive(Clone, Copy)]
pub struct Grievance<'a> {
    /// The complaint's id.
    pub id: ComplaintId,
    /// The complaint.
    pub complaint: &'a Complaint,
    /// Its work order, where it names one that is held.
    pub order: Option<(WorkOrderId, &'a WorkOrder)>,
    /// That job's visits.
    pub visits: &'a [(VisitId, Cow<'a, Visit>)],
}

impl Grievance<'_> {
    /// Whom it may concern: those named, else everybody the job ever assigned.
    fn people(&self) -> BTreeSet<StaffId> {
        if self.complaint.staff.is_empty() {
            self.order.map(|(_, w)| w.ever_assigned()).unwrap_or_default()
        } else {
            self.complaint.staff.iter().copied().collect()
        }
    }

    /// The rules it may support: that of what it is about, or all where it does not say.
    fn rules(&self) -> &'static [Rule] {
        match self.complaint.about {
            Some(ComplaintAbout::LateArrival) => &[Rule::LateArrival],
            Some(ComplaintAbout::Communication) => &[Rule::NotCommunicated],
            Some(ComplaintAbout::GoodsNotInspected) => &[Rule::NotInspected],
            Some(ComplaintAbout::Other) | None => &[Rule::LateArrival, Rule::NotCommunicated, Rule::NotInspected],
        }
    }
}

/// P1 to P3 for one complaint and everybody it may concern. `synced_until`
/// says up to when all devices of a person have sent what they hold.
pub fn for_complaint(
    g: Grievance<'_>,
    settings: &Settings,
    synced_until: &dyn Fn(StaffId) -> Option<Millis>,
) -> Vec<Proposal> {
    let people = g.people();
    let each =
        |rule: &Rule| people.iter().map(|s| penalty(*rule, g, *s, settings, synced_until(*s))).collect::<Vec<_>>();
    g.rules().iter().flat_map(each).collect()
}

/// One penalty rule weighed for one person.
pub fn penalty(rule: Rule, g: Grievance<'_>, staff: StaffId, settings: &Settings, synced: Option<Millis>) -> Proposal {
    let mut case = Case(Vec::new());
    let complaint = DocRef::new(Kind::Complaint, g.id);
    case.note("complaint", g.complaint.received, g.complaint.about.map(|a| a.word()), Some(complaint));
    let verdict = if let Some(dismissed) = &g.complaint.dismissed {
        case.note("complaint_dismissed", Some(dismissed.at), Some(&dismissed.reason), Some(complaint));
        Verdict::NotMet
    } else if let Some((order_id, order)) = g.order {
        let doc = DocRef::new(Kind::WorkOrder, order_id);
        match rule {
            Rule::LateArrival => late_arrival(order, doc, g, staff, settings, &mut case),
            Rule::NotCommunicated => not_communicated(order, doc, g, staff, settings, synced, &mut case),
            Rule::NotInspected => not_inspected(g, staff, settings, synced, &mut case),
            Rule::NoComplaints | Rule::AdoptedSuggestion => Verdict::NotMet,
        }
    } else {
        case.note("job_unknown", None, None, None);
        Verdict::Unknown
    };
    Proposal {
        key: Key::Penalty(rule, g.id, staff).to_string(),
        rule,
        staff: Some(staff),
        work_order: g.complaint.work_order,
        complaint: Some(g.id),
        suggestion: None,
        quarter: None,
        verdict,
        provisional: verdict == Verdict::Unknown,
        evidence: case.0,
    }
}

/// When this person was first put on the job.
fn assigned_at(order: &WorkOrder, staff: StaffId) -> Option<Stamp> {
    let own = order.assignments.values().filter(|a| a.technician == Some(staff));
    own.filter_map(|a| a.assigned.as_ref()).map(|m| m.at).min_by_key(Stamp::best)
}

fn doubtful(at: &Stamp, settings: &Settings) -> bool {
    at.doubtful(settings.doubtful_minutes.saturating_mul(Millis::MINUTE))
}

fn late_arrival(
    order: &WorkOrder,
    doc: DocRef,
    g: Grievance<'_>,
    staff: StaffId,
    settings: &Settings,
    case: &mut Case,
) -> Verdict {
    let Some(deadline) = order.arrival_deadline else {
        case.note("no_deadline", None, None, Some(doc));
        return Verdict::Unknown;
    };
    case.note("arrival_deadline", Some(Stamp::exact(deadline)), None, Some(doc));
    if let Some(assigned) = assigned_at(order, staff).filter(|a| a.best() > deadline) {
        case.note("assigned_after_deadline", Some(assigned), None, Some(doc));
        return Verdict::Unknown;
    }
    let arrivals = g.visits.iter().filter_map(|(id, v)| Some((v.round == order.round, *id, v.arrived_at_by(staff)?)));
    // The deadline is that of the current dispatch; an earlier arrival speaks where there is none on it.
    let arrival = arrivals.min_by_key(|(current, id, at)| (!current, at.best(), *id));
    let Some((_, visit, at)) = arrival else {
        case.note("arrival_unknown", None, None, None);
        return Verdict::Unknown;
    };
    let visit = Some(DocRef::new(Kind::Visit, visit));
    case.note("arrived", Some(at), None, visit);
    if doubtful(&at, settings) {
        case.note("arrival_doubtful", Some(at), None, visit);
        return Verdict::Unknown;
    }
    match at.after(deadline) {
        Some(true) => Verdict::Proposed,
        Some(false) => Verdict::NotMet,
        None => {
            case.note("arrival_doubtful", Some(at), None, visit);
            Verdict::Unknown
        }
    }
}

fn not_communicated(
    order: &WorkOrder,
    doc: DocRef,
    g: Grievance<'_>,
    staff: StaffId,
    settings: &Settings,
    synced: Option<Millis>,
    case: &mut Case,
) -> Verdict {
    let assigned = assigned_at(order, staff);
    let (Some(reported), Some(assigned)) = (order.reported, assigned) else {
        case.note("feedback_unknown", order.reported, None, Some(doc));
        return Verdict::Unknown;
    };
    // The clock runs from when the problem had reached this person.
    let received = if assigned.best() > reported.best() { assigned } else { reported };
    let limit = received.best().plus(settings.communication_hours.saturating_mul(60 * Millis::MINUTE));
    case.note("feedback_received", Some(received), None, Some(doc));
    case.note("communication_limit", Some(Stamp::exact(limit)), None, None);
    if doubtful(&received, settings) {
        case.note("feedback_doubtful", Some(received), None, Some(doc));
        return Verdict::Unknown;
    }
    // Being there is speaking to the customer, too.
    let spoken = g.visits.iter().flat_map(|(id, v)| {
        let logged = v.contacts.values().filter(|c| c.mark.by == staff).map(|c| c.mark.at);
        logged.chain(v.arrived_at_by(staff)).map(|at| (at, *id))
    });
    match spoken.min_by_key(|(at, id)| (at.best(), *id)) {
        Some((at, visit)) => {
            case.note("contacted", Some(at), None, Some(DocRef::new(Kind::Visit, visit)));
            match at.after(limit) {
                Some(true) if !doubtful(&at, settings) => Verdict::Proposed,
                Some(false) => Verdict::NotMet,
                _ => {
                    case.note("contact_doubtful", Some(at), None, Some(DocRef::new(Kind::Visit, visit)));
                    Verdict::Unknown
                }
            }
        }
        // No entry proves silence only once the phones have sent all they hold.
        None if synced.is_some_and(|s| s > limit) => {
            case.note("no_contact", None, None, None);
            Verdict::Proposed
        }
        None => {
            case.note("not_synced", synced.map(Stamp::exact), None, None);
            Verdict::Unknown
        }
    }
}

fn not_inspected(
    g: Grievance<'_>,
    staff: StaffId,
    settings: &Settings,
    synced: Option<Millis>,
    case: &mut Case,
) -> Verdict {
    let theirs: Vec<_> = g.visits.iter().filter(|(_, v)| v.people().contains(&staff)).collect();
    if theirs.is_empty() {
        case.note("not_on_site", None, None, None);
        return Verdict::Unknown;
    }
    let (mut missing, mut contradicted) = (false, false);
    for (key, line) in settings.checklist.iter().filter(|(_, l)| !l.dropped) {
        let results =
            |r: CheckResult| g.visits.iter().any(|(_, v)| v.checks.get(key).is_some_and(|c| c.result == Some(r)));
        let own = theirs.iter().find_map(|(id, v)| Some((*id, v.checks.get(key).filter(|c| c.result.is_some())?)));
        let Some((id, check)) = own else {
            missing = true;
            case.note("check_missing", None, Some(key), None);
            continue;
        };
        let (doc, at) = (Some(DocRef::new(Kind::Visit, id)), check.mark.as_ref().map(|m| m.at));
        match check.result {
            Some(CheckResult::Passed) => {
                if results(CheckResult::Failed) || g.complaint.about == Some(ComplaintAbout::GoodsNotInspected) {
                    contradicted = true;
                    case.note("check_contradicted", at, Some(key), doc);
                } else {
                    case.note("check_passed", at, Some(key), doc);
                }
            }
            Some(CheckResult::Failed) => case.note("check_failed", at, Some(key), doc),
            Some(CheckResult::NotApplicable) | None => {
                case.note("check_not_applicable", at, Some(key), doc);
                continue;
            }
        }
        let shown = g.visits.iter().flat_map(|(_, v)| v.photos.values());
        if line.photo && !shown.into_iter().any(|p| !p.removed && p.check.as_deref() == Some(key)) {
            missing = true;
            case.note("photo_missing", None, Some(key), doc);
        }
    }
    let received = g.complaint.received.map(|r| r.best());
    if contradicted {
        Verdict::Proposed
    } else if !missing {
        Verdict::NotMet
    } else if received.is_some_and(|r| synced.is_some_and(|s| s >= r)) {
        Verdict::Proposed
    } else {
        case.note("not_synced", synced.map(Stamp::exact), None, None);
        Verdict::Unknown
    }
}

/// R1 as the world has it: [`for_quarter`] over the complaints it holds.
/// Where it does not hold all of them, nothing can be said.
pub fn quarter(quarter: Quarter, staff: StaffId, now: Millis, world: &dyn World) -> Proposal {
    let zone = Zone::of(&world.settings());
    let synced = world.synced_until(staff);
    match world.complaints(quarter.start(zone), quarter.end(zone)) {
        Some(ids) => {
            let held: Vec<_> =
                ids.into_iter().filter_map(|id| Some((id, world.get::<Complaint>(id)?.into_owned()))).collect();
            for_quarter(quarter, staff, &held, synced, now, world)
        }
        None => {
            let mut unknown = for_quarter(quarter, staff, &[], synced, now, world);
            let mut case = Case(Vec::new());
            case.note("complaints_unknown", None, None, None);
            (unknown.verdict, unknown.provisional, unknown.evidence) = (Verdict::Unknown, true, case.0);
            unknown
        }
    }
}

/// R1: a quarter without complaints about this person. `complaints` are all
/// the company's (others are passed over); `synced_until` as in [`for_complaint`].
pub fn for_quarter(
    quarter: Quarter,
    staff: StaffId,
    complaints: &[(ComplaintId, Complaint)],
    synced_until: Option<Millis>,
    now: Millis,
    world: &dyn World,
) -> Proposal {
    let zone = Zone::of(&world.settings());
    let (start, end) = (quarter.start(zone), quarter.end(zone));
    let mut case = Case(Vec::new());
    let mut verdict = Verdict::Proposed;
    let mut sorted: Vec<_> = complaints.iter().filter(|(_, c)| c.dismissed.is_none()).collect();
    sorted.sort_by_key(|(id, _)| *id);
    for (id, c) in sorted {
        let named = c.staff.contains(&staff);
        // A complaint that names nobody may mean anybody of the job.
        let perhaps = c.staff.is_empty()
            && c.work_order.and_then(|w| world.get::<WorkOrder>(w)).is_some_and(|w| w.ever_assigned().contains(&staff));
        let inside = c.received.is_none_or(|r| start <= r.best() && r.best() < end);
        if !(named || perhaps) || !inside {
            continue;
        }
        let doc = Some(DocRef::new(Kind::Complaint, *id));
        if named && c.received.is_some() {
            verdict = Verdict::NotMet;
            case.note("complaint", c.received, c.about.map(|a| a.word()), doc);
        } else {
            verdict = if verdict == Verdict::NotMet { verdict } else { Verdict::Unknown };
            case.note("complaint_unclear", c.received, c.about.map(|a| a.word()), doc);
        }
    }
    if case.0.is_empty() {
        case.note("no_complaints", None, Some(&quarter.to_string()), None);
    }
    let synced = synced_until.is_some_and(|s| s >= end);
    if !synced {
        // Which moment it reached is left out: it moves daily and would mark every decision as changed.
        case.note("not_synced", None, None, None);
    }
    Proposal {
        key: Key::Quarter(quarter, staff).to_string(),
        rule: Rule::NoComplaints,
        staff: Some(staff),
        work_order: None,
        complaint: None,
        suggestion: None,
        quarter: Some(quarter),
        verdict,
        provisional: now < end || !synced,
        evidence: case.0,
    }
}

/// R2: an adopted major suggestion. `rulings` are the appraisals of it; the last decision counts.
pub fn for_suggestion(id: SuggestionId, suggestion: &Suggestion, rulings: &[Appraisal]) -> Proposal {
    let mut case = Case(Vec::new());
    let doc = Some(DocRef::new(Kind::Suggestion, id));
    case.note("suggestion", suggestion.written.as_ref().map(|m| m.at), Some(&suggestion.title), doc);
    let decisions = rulings.iter().filter(|a| a.suggestion == Some(id)).filter_map(|a| a.decision.as_ref());
    let last = decisions.max_by_key(|d| (d.why.at.best(), d.decision, d.major));
    let verdict = match last {
        None => Verdict::Unknown,
        Some(d) if matches!(d.decision, Decision::Adopted | Decision::Confirmed) && d.major => Verdict::Proposed,
        Some(_) => Verdict::NotMet,
    };
    if let Some(d) = last {
        case.note("decision", Some(d.why.at), Some(d.decision.word()), None);
        if d.major {
            case.note("decision_major", None, None, None);
        }
    }
    Proposal {
        key: Key::Suggestion(id).to_string(),
        rule: Rule::AdoptedSuggestion,
        staff: suggestion.author,
        work_order: suggestion.work_order,
        complaint: None,
        suggestion: Some(id),
        quarter: None,
        verdict,
        provisional: last.is_none(),
        evidence: case.0,
    }
}

/// Derives a proposal anew by its key; `None` where what it names is not held.
pub fn find(world: &dyn World, key: &str, now: Millis) -> Option<Proposal> {
    match key.parse().ok()? {
        Key::Penalty(rule, id, staff) => {
            let complaint = world.get::<Complaint>(id)?;
            let order = complaint.work_order.and_then(|w| Some((w, world.get::<WorkOrder>(w)?)));
            let visits = order.as_ref().map(|(id, w)| job_visits(*id, w, world)).unwrap_or_default();
            let g = Grievance {
                id,
                complaint: &complaint,
                order: order.as_ref().map(|(i, w)| (*i, &**w)),
                visits: &visits,
            };
            Some(penalty(rule, g, staff, &world.settings(), world.synced_until(staff)))
        }
        Key::Quarter(of, staff) => Some(quarter(of, staff, now, world)),
        Key::Suggestion(id) => {
            let suggestion = world.get::<Suggestion>(id)?;
            let rulings = world
                .children(Kind::Appraisal, id.into())
                .into_iter()
                .filter_map(|a| world.get::<Appraisal>(a))
                .map(Cow::into_owned);
            Some(for_suggestion(id, &suggestion, &rulings.collect::<Vec<_>>()))
        }
    }
}

/// Whether a decided appraisal rests on evidence that has changed since: a
/// late phone synced, a complaint was dismissed. False where none was kept.
pub fn changed_since(appraisal: &Appraisal, now: &Proposal) -> bool {
    let Some(kept) = &appraisal.evidence else { return false };
    let Ok(kept) = serde_json::from_value::<Proposal>(kept.0.clone()) else { return true };
    if now.rule == Rule::AdoptedSuggestion {
        // The decision itself is evidence of R2: only what it was taken on counts.
        let basis =
            |p: &Proposal| p.evidence.iter().filter(|e| !e.fact.starts_with("decision")).cloned().collect::<Vec<_>>();
        return basis(&kept) != basis(now);
    }
    (kept.verdict, kept.provisional, &kept.evidence) != (now.verdict, now.provisional, &now.evidence)
}
