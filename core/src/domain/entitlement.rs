//! 核对保修期: in warranty, under an annual contract, or paid per visit.

use super::{Customer, Date, Entitlement, ItemId, Millis, Settings, WorkOrder};
use serde::{Deserialize, Serialize};

/// An entitlement and what it rests on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entitled {
    /// What the customer is entitled to.
    pub entitlement: Entitlement,
    /// The warranty's last day, where that decided.
    pub warranty_until: Option<Date>,
    /// The contract, where that decided.
    pub contract: Option<ItemId>,
    /// Set by hand, with this reason.
    pub overridden: Option<String>,
}

/// Derives the entitlement of a job reported at `reported`.
pub fn entitlement(customer: &Customer, equipment: Option<ItemId>, reported: Millis, settings: &Settings) -> Entitled {
    let _ = (customer, equipment, reported, settings);
    Entitled { entitlement: Entitlement::PerVisit, warranty_until: None, contract: None, overridden: None }
}

/// The entitlement of a work order: the override where there is one.
pub fn of_work_order(order: &WorkOrder, customer: Option<&Customer>, settings: &Settings) -> Entitled {
    let _ = (order, customer, settings);
    Entitled { entitlement: Entitlement::PerVisit, warranty_until: None, contract: None, overridden: None }
}
