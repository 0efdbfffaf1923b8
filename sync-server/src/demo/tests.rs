//! What the demo promises to show is there, on whichever day it runs.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use super::past::{self, DemoEnv, Office};
use crate::ledger::Ledger;
use crate::storage::{MemoryStorage, Query, View};
use onsite_core::domain::appraisal::{Grievance, Proposal, Verdict, for_complaint, for_quarter, for_suggestion};
use onsite_core::domain::entitlement::of_work_order;
use onsite_core::domain::stage::{Stage, job_visits, next_call, overdue_call};
use onsite_core::domain::{
    Appraisal, Complaint, ContractKind, Customer, Date, DocId, DocRef, Entitlement, Entity, FollowUp, Kind, Millis,
    Quarter, RequestId, Rule, StaffId, Suggestion, WorkOrder, WorkOrderId, World, WorldExt as _, Zone,
};
use onsite_core::env::Env;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

const ZONE: Zone = Zone { minutes: 480 };

/// Everything the office holds.
struct All {
    views: Vec<View>,
    entities: HashMap<DocRef, Entity>,
}

impl World for All {
    fn entity(&self, doc: DocRef) -> Option<Cow<'_, Entity>> {
        self.entities.get(&doc).map(Cow::Borrowed)
    }
    fn children(&self, kind: Kind, of: DocId) -> Vec<DocId> {
        let own = self.views.iter().filter(|v| v.summary.doc.kind == kind && v.summary.parent == Some(of));
        own.map(|v| v.summary.doc.id).collect()
    }
    fn answers(&self, request: RequestId) -> Vec<WorkOrderId> {
        self.entities
            .iter()
            .filter(|(_, e)| onsite_core::domain::summary::answers(e, request))
            .map(|(d, _)| d.id.into())
            .collect()
    }
    fn coded(&self, code: &str) -> Vec<StaffId> {
        let own = self.views.iter().filter(|v| v.summary.doc.kind == Kind::Staff && v.summary.number == code);
        own.map(|v| v.summary.doc.id.into()).collect()
    }
}

impl All {
    fn of<R: onsite_core::domain::Record>(&self) -> Vec<(DocId, R)> {
        let own = self.entities.iter().filter_map(|(doc, e)| Some((doc.id, R::unwrap(e.clone())?)));
        let mut all: Vec<_> = own.collect();
        all.sort_by_key(|(id, _)| *id);
        all
    }
}

async fn company(seed: u64, now: Millis) -> (Office, All) {
    let env = Arc::new(DemoEnv::default());
    let ledger = Ledger::new(Arc::new(MemoryStorage::default()), Arc::clone(&env) as Arc<dyn Env>);
    let office = past::company(ledger, env, seed, now).await.unwrap();
    let mut views = Vec::new();
    for kind in Kind::ALL {
        let mut query = Query { kind: Some(kind), limit: 1000, ..Query::default() };
        loop {
            let page = office.ledger.storage().list(office.tenant, &query).await.unwrap();
            let last = page.last().map(View::key);
            let full = page.len() == query.page();
            views.extend(page);
            if !full {
                break;
            }
            query.after = last;
        }
    }
    let entities = views.iter().map(|v| (v.summary.doc, v.entity().unwrap())).collect();
    (office, All { views, entities })
}

fn proposals(all: &All, office: &Office, now: Millis) -> Vec<Proposal> {
    let settings = all.settings();
    let synced = |_| Some(now);
    let complaints: Vec<_> = all.of::<Complaint>().into_iter().map(|(id, c)| (id.into(), c)).collect();
    let mut out = Vec::new();
    for (id, complaint) in &complaints {
        let order = complaint.work_order.and_then(|w| Some((w, all.get::<WorkOrder>(w)?)));
        let visits = order.as_ref().map(|(id, w)| job_visits(*id, w, all)).unwrap_or_default();
        let order = order.as_ref().map(|(id, w)| (*id, &**w));
        out.extend(for_complaint(Grievance { id: *id, complaint, order, visits: &visits }, &settings, &synced));
    }
    for (id, suggestion) in all.of::<Suggestion>() {
        let rulings: Vec<Appraisal> = all.of::<Appraisal>().into_iter().map(|(_, a)| a).collect();
        out.push(for_suggestion(id.into(), &suggestion, &rulings));
    }
    let quarter = Quarter::of(ZONE.day(now)).previous();
    out.extend(office.technicians.iter().map(|t| for_quarter(quarter, *t, &complaints, Some(now), now, all)));
    out
}

#[tokio::test]
async fn everything_there_is_occurs_on_any_day() {
    // The first day of a year, the last of a quarter, and one in between.
    for day in ["2026-01-01", "2026-06-30", "2026-11-25"] {
        let now = ZONE.at(day.parse::<Date>().unwrap(), 10, 0);
        let (office, all) = company(20_261, now).await;
        let stages: BTreeSet<&str> = all
            .views
            .iter()
            .filter(|v| matches!(v.summary.doc.kind, Kind::WorkOrder | Kind::Request))
            .map(|v| v.summary.status.as_str())
            .collect();
        for stage in Stage::ALL {
            assert!(stages.contains(stage.word()), "no job is at {stage:?} on {day}");
        }
        let settings = all.settings();
        let customers = all.of::<Customer>();
        assert_eq!(customers.len(), 40);
        let machines = customers.iter().map(|(_, c)| c.equipment.len()).sum::<usize>();
        assert!(machines > 40, "some have two machines");
        let contracts: BTreeSet<ContractKind> =
            customers.iter().flat_map(|(_, c)| c.contracts.values()).map(|c| c.kind).collect();
        assert_eq!(contracts.len(), ContractKind::ALL.len());

        let orders = all.of::<WorkOrder>();
        let quarters: BTreeSet<Quarter> =
            orders.iter().filter_map(|(_, o)| o.reported).map(|r| Quarter::of(ZONE.day(r.best()))).collect();
        assert!(quarters.len() >= 4, "{quarters:?}");
        assert!(orders.iter().all(|(_, o)| o.reported.is_none_or(|r| r.best() <= now)), "nothing lies in the future");
        let entitled: BTreeSet<Entitlement> = orders
            .iter()
            .map(|(_, o)| of_work_order(o, o.customer.and_then(|c| all.get(c)).as_deref(), &settings).entitlement)
            .collect();
        assert_eq!(entitled.len(), Entitlement::ALL.len(), "{entitled:?}");

        let due: Vec<Date> = customers
            .iter()
            .filter_map(|(id, c)| {
                let calls: Vec<FollowUp> = all
                    .children(Kind::FollowUp, *id)
                    .into_iter()
                    .filter_map(|f| all.get::<FollowUp>(f).map(Cow::into_owned))
                    .collect();
                next_call(c, &calls, &settings)
            })
            .collect();
        assert!(due.iter().any(|d| overdue_call(*d, now, &settings)), "calls are overdue");
        assert!(due.contains(&ZONE.day(now)), "calls are due today");

        let proposals = proposals(&all, &office, now);
        let decided: BTreeSet<String> = all.of::<Appraisal>().into_iter().map(|(_, a)| a.proposal).collect();
        for rule in Rule::ALL {
            let proposed: Vec<_> =
                proposals.iter().filter(|p| p.rule == *rule && p.verdict == Verdict::Proposed).collect();
            assert!(!proposed.is_empty(), "no proposal under {rule} on {day}");
            assert!(proposed.iter().any(|p| decided.contains(&p.key)), "none is decided under {rule} on {day}");
            // An adopted suggestion is its own decision: the open one is not proposed yet.
            if *rule != Rule::AdoptedSuggestion {
                assert!(proposed.iter().any(|p| !decided.contains(&p.key)), "none is open under {rule} on {day}");
            }
        }
        assert!(proposals.iter().any(|p| p.rule == Rule::AdoptedSuggestion && p.provisional), "a suggestion is open");
    }
}

#[tokio::test]
async fn a_seed_is_a_company() {
    let now = ZONE.at("2026-11-25".parse::<Date>().unwrap(), 10, 0);
    let content = async |seed| {
        let (_, all) = company(seed, now).await;
        let mut lines: BTreeMap<String, usize> = BTreeMap::new();
        for v in all.views {
            let s = v.summary;
            // A proposal's key is made of ids.
            let number = if s.doc.kind == Kind::Appraisal { String::new() } else { s.number };
            let line = format!("{:?} {number} {} {} {} {:?}", s.doc.kind, s.title, s.subtitle, s.status, s.due);
            *lines.entry(line).or_default() += 1;
        }
        lines
    };
    let one = content(7).await;
    assert_eq!(one, content(7).await);
    assert_ne!(one, content(8).await);
}
