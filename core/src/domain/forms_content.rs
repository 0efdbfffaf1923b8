//! What is signed: canonical content of the two forms and its hash.

use super::{Sha256, Visit, WorkOrder};

/// Hash of form 1's signed content (all but signatures, remainders and office bookkeeping).
pub fn dispatch_content(order: &WorkOrder) -> Sha256 {
    let _ = order;
    Sha256([0; 32])
}

/// Hash of form 2's content as shown to the customer.
pub fn visit_content(visit: &Visit) -> Sha256 {
    let _ = visit;
    Sha256([0; 32])
}
