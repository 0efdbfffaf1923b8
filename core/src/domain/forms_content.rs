//! What is signed: canonical content of the two forms and its hash.
//!
//! The content is the JSON of an ordered struct holding what the form shows to
//! its signer, so the same facts always hash alike. Changing any of them voids
//! a signature visibly; nothing ever erases it.

use super::{
    Date, Dissatisfaction, Fen, IncompleteReason, ItemId, Outcome, RequestId, Satisfaction, Sha256, SignoffRole,
    StaffId, Visit, WorkOrder, WorkOrderId, WorkType,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::Digest as _;
use std::collections::BTreeMap;

/// Form 1 as signed by the office.
#[derive(Serialize)]
struct DispatchContent<'a> {
    form: &'static str,
    order_date: Option<Date>,
    customer_name: &'a str,
    contact_name: &'a str,
    contact_phone: &'a str,
    service_address: &'a str,
    technicians: Vec<StaffId>,
    expected_stay_minutes: Option<i64>,
    work_type: Option<WorkType>,
    service_description: &'a str,
    items: Vec<ItemContent<'a>>,
    cash_advance: Fen,
    balance_to_collect: Fen,
    remarks: &'a str,
}

/// A tool or part as either form shows it.
#[derive(Serialize)]
struct ItemContent<'a> {
    id: ItemId,
    part_no: &'a str,
    name: &'a str,
    unit: &'a str,
    quantity: i64,
}

/// Form 2 as shown to the customer.
#[derive(Serialize)]
struct VisitContent<'a> {
    form: &'static str,
    work_order: Option<WorkOrderId>,
    request: Option<RequestId>,
    round: u32,
    service_description: &'a str,
    diagnosis: &'a str,
    resolution: &'a str,
    items: Vec<ItemContent<'a>>,
    outcome: Option<Outcome>,
    incomplete_reason: Option<IncompleteReason>,
    remarks: &'a str,
    accepted: Option<bool>,
    acceptance_remark: &'a str,
    satisfaction: Option<Satisfaction>,
    dissatisfaction_reasons: Vec<Dissatisfaction>,
    customer_comment: &'a str,
}

/// What is signed as JSON, the items by their ids: to be compared leaf by leaf.
fn shown(content: &impl Serialize) -> Value {
    let mut json = serde_json::to_value(content).unwrap_or_default();
    if let Some(items) = json.get_mut("items").map(Value::take) {
        let by_id = |item: Value| {
            let id = item["id"].as_str()?.to_owned();
            Some((id, item))
        };
        let items = items.as_array().cloned().unwrap_or_default().into_iter().filter_map(by_id);
        json["items"] = Value::Object(items.collect());
    }
    json
}

/// Form 1's signed content (see [`dispatch_content`]) as JSON, leaf by leaf; items by their ids.
pub fn dispatch_shown(order: &WorkOrder) -> Value {
    shown(&dispatch_form(order))
}

/// Form 2's signed content (see [`visit_content`]) as JSON, leaf by leaf; items by their ids.
pub fn visit_shown(visit: &Visit) -> Value {
    shown(&visit_form(visit))
}

fn hash(content: &impl Serialize) -> Sha256 {
    // Plain structs of strings and numbers: there is nothing in them that JSON could refuse.
    let json = serde_json::to_vec(content).unwrap_or_default();
    Sha256(sha2::Sha256::digest(&json).into())
}

/// Hash of form 1's signed content: all it shows but the signatures, the
/// quantities issued and brought back, the final number and the bookings.
pub fn dispatch_content(order: &WorkOrder) -> Sha256 {
    hash(&dispatch_form(order))
}

fn dispatch_form(order: &WorkOrder) -> DispatchContent<'_> {
    let d = &order.dispatch;
    DispatchContent {
        form: "dispatch-1",
        order_date: d.order_date,
        customer_name: &d.customer_name,
        contact_name: &d.contact_name,
        contact_phone: &d.contact_phone,
        service_address: &d.service_address,
        technicians: order.current_technicians(),
        expected_stay_minutes: d.expected_stay_minutes,
        work_type: order.work_type,
        service_description: &d.service_description,
        items: (d.items.iter().filter(|(_, i)| !i.removed))
            .map(|(id, i)| ItemContent {
                id: *id,
                part_no: &i.part_no,
                name: &i.name,
                unit: &i.unit,
                quantity: i.required,
            })
            .collect(),
        cash_advance: d.cash_advance,
        balance_to_collect: d.balance_to_collect,
        remarks: &d.remarks,
    }
}

/// Hash of form 2's content as shown to the customer. Left out: the signature
/// itself, the technician's own day (events, notes, contacts, money, goods
/// inspection), office numbers, and photos: those are bound by the document
/// heads kept in the signature, and a photo of the running machine taken
/// afterwards must not void it.
pub fn visit_content(visit: &Visit) -> Sha256 {
    hash(&visit_form(visit))
}

fn visit_form(visit: &Visit) -> VisitContent<'_> {
    let acceptance = visit.acceptance.as_ref();
    VisitContent {
        form: "visit-1",
        work_order: visit.work_order,
        request: visit.request,
        round: visit.round,
        service_description: &visit.service_description,
        diagnosis: &visit.diagnosis,
        resolution: &visit.resolution,
        items: (visit.items.iter().filter(|(_, i)| i.used.0 != 0))
            .map(|(id, i)| ItemContent {
                id: *id,
                part_no: &i.part_no,
                name: &i.name,
                unit: &i.unit,
                quantity: i.used.0,
            })
            .collect(),
        outcome: visit.outcome,
        incomplete_reason: visit.incomplete_reason,
        remarks: &visit.remarks,
        accepted: acceptance.map(|a| a.accepted),
        acceptance_remark: acceptance.map_or("", |a| &a.remark),
        satisfaction: visit.satisfaction,
        dissatisfaction_reasons: visit.dissatisfaction_reasons.iter().copied().collect(),
        customer_comment: &visit.customer_comment,
    }
}

/// Where a signature under form 1 stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignoffState {
    /// Not signed yet.
    Missing,
    /// Signed, and the form is still what was signed.
    Valid,
    /// Signed, but the form was changed since.
    Voided {
        /// Hash of what was signed.
        signed: Sha256,
    },
}

/// Where each of the four signatures under form 1 stands.
pub fn signoff_state(order: &WorkOrder) -> BTreeMap<SignoffRole, SignoffState> {
    let content = dispatch_content(order);
    let state = |role| match order.signoffs.get(&role) {
        None => SignoffState::Missing,
        Some(s) if s.content == content => SignoffState::Valid,
        Some(s) => SignoffState::Voided { signed: s.content },
    };
    SignoffRole::ALL.iter().map(|role| (*role, state(*role))).collect()
}

/// Whether form 1 carries all four signatures, each of what it shows now.
pub fn fully_signed(order: &WorkOrder) -> bool {
    signoff_state(order).values().all(|s| *s == SignoffState::Valid)
}

/// Where the customer's signature under form 2 stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignatureState {
    /// Neither signed nor refused.
    None,
    /// Signed, and the form is still what was signed.
    Valid,
    /// Signed, but the form was changed since.
    Voided {
        /// Hash of what was signed.
        signed: Sha256,
    },
    /// The customer would not sign (or not again, after the form was changed).
    Refused,
}

/// Where the customer's signature stands.
pub fn signature_state(visit: &Visit) -> SignatureState {
    match (&visit.signature, &visit.signature_refused) {
        (Some(s), _) if s.content == visit_content(visit) => SignatureState::Valid,
        (Some(s), Some(r)) if r.at.best() > s.mark.at.best() => SignatureState::Refused,
        (Some(s), _) => SignatureState::Voided { signed: s.content },
        (None, Some(_)) => SignatureState::Refused,
        (None, None) => SignatureState::None,
    }
}
