//! Where a job stands: derived from merged facts, never stored.

use super::{Kind, Millis, Request, Visit, VisitId, WorkOrder, WorkOrderId, World, WorldExt};
use serde::{Deserialize, Serialize};

/// The stages of the flow chart, in its order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// 报修: reported, no work order yet.
    Reported,
    /// 报修 taken back.
    Withdrawn,
    /// Work order opened, form 1 not issued.
    Planning,
    /// Form 1 issued, signatures missing.
    AwaitingSignoffs,
    /// Signed; not acknowledged.
    Dispatched,
    /// 接单
    Acknowledged,
    /// On the way.
    Travelling,
    /// On site.
    OnSite,
    /// Result given, customer has neither signed nor refused.
    AwaitingCustomer,
    /// 已完成
    Completed,
    /// 未完成: return, replacement or other; the follow-on is not through.
    Incomplete,
    /// 已回馈: the customer was told.
    CustomerTold,
    /// 注销
    Closed,
    /// 存档
    Archived,
    /// 取消
    Cancelled,
}

/// Facts that contradict each other; both stay, the office settles.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Contradiction {
    /// Stable name, such as `cancelled_but_completed`, with what it concerns: `key` in [`super::Command::Settle`].
    pub key: String,
    /// The moments of the two facts, earlier first.
    pub at: (Millis, Millis),
}

/// The visits of a job: those of the work order, and the unplanned one of its request.
pub fn job_visits(id: WorkOrderId, order: &WorkOrder, world: &dyn World) -> Vec<(VisitId, Visit)> {
    let mut visits = world.visits(id);
    if let Some(request) = order.request {
        for child in world.children(Kind::Visit, request.into()) {
            visits.extend(world.get::<Visit>(child).map(|v| (child.into(), v)));
        }
    }
    visits
}

/// A job's stage, and what contradicts.
pub fn stage(order: &WorkOrder, visits: &[(VisitId, Visit)], now: Millis) -> (Stage, Vec<Contradiction>) {
    let _ = (order, visits, now);
    (Stage::Planning, Vec::new())
}

/// A request's stage, where no work order answers it yet.
pub fn request_stage(request: &Request) -> Stage {
    if request.withdrawn.is_some() { Stage::Withdrawn } else { Stage::Reported }
}
