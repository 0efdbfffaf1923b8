//! People, settings, the customer file.

use super::{Case, Check, Decided, check, edit, no};
use crate::domain::{
    Address, Atomic, Charge, Command, Contact, Contract, ContractKind, Customer, CustomerId, Date, Equipment, Fen,
    ItemId, Role, SETTINGS, Settings, SettingsPatch, Staff, StaffId, WorldExt as _, Write,
};
use std::collections::BTreeSet;

pub(super) fn decide(command: &Command, c: &mut Case<'_, '_>) -> Decided {
    match command {
        Command::PutStaff { id, name, code, phone, roles } => put_staff(c, *id, [name, code, phone], roles),
        Command::StaffLeaves { id, reason } => staff_leaves(c, *id, reason),
        Command::ChangeSettings(patch) => change_settings(c, patch),
        Command::PutCustomer { id, name, code, project_completed, call_interval_days } => {
            put_customer(c, *id, name, code, *project_completed, *call_interval_days)
        }
        Command::PutContact { customer, id, contact } => put_contact(c, *customer, *id, contact),
        Command::PutAddress { customer, id, address } => put_address(c, *customer, *id, address),
        Command::PutEquipment { customer, id, equipment } => put_equipment(c, *customer, *id, equipment),
        Command::PutContract { customer, id, contract } => put_contract(c, *customer, *id, contract),
        Command::Charge { customer, id, amount, what } => charge(c, *customer, *id, *amount, what),
        Command::PlanCall { customer, due } => plan_call(c, *customer, *due),
        _ => no("not_found", "", "not a command of the office"),
    }
}

fn put_staff(c: &mut Case<'_, '_>, id: StaffId, [name, code, phone]: [&str; 3], roles: &BTreeSet<Role>) -> Decided {
    let before = c.find::<Staff>("id", id)?.unwrap_or_default();
    if id == crate::domain::SERVER {
        return no("bad_id", "id", "is the server's own");
    }
    if before.left.is_some() {
        return no("has_left", "id", "has left the company");
    }
    if roles.is_empty() {
        return no("empty", "roles", "needs a role");
    }
    if id == c.by.staff && before.roles.contains(&Role::Admin) && !roles.contains(&Role::Admin) {
        return no("own_account", "roles", "an admin cannot take that role from themselves");
    }
    let mut after = before.clone();
    after.name = check::name("name", name)?;
    after.code = check::word("code", code)?;
    // Only a code newly taken: where two were given apart, both people can still be changed.
    let taken = |code: &str| c.world.coded(code).into_iter().any(|other| other != id);
    if !after.code.is_empty() && after.code != before.code && taken(&after.code) {
        return no("code_taken", "code", "another member of staff has this work number");
    }
    after.phone = check::phone("phone", phone)?;
    after.roles.assign(roles.iter().copied());
    Ok(edit(id, &before, after))
}

fn staff_leaves(c: &mut Case<'_, '_>, id: StaffId, reason: &str) -> Decided {
    let before: Staff = c.get("id", id)?;
    let why = c.reasoned(reason)?;
    if let Some(left) = &before.left {
        return if left.reason == why.reason { Ok(Vec::new()) } else { no("has_left", "id", "has already left") };
    }
    if id == c.by.staff {
        return no("own_account", "id", "an admin cannot end their own account");
    }
    let mut after = before.clone();
    after.left = Some(Atomic(why));
    Ok(edit(id, &before, after))
}

fn change_settings(c: &mut Case<'_, '_>, patch: &SettingsPatch) -> Decided {
    let before = c.world.settings();
    let mut after: Settings = before.clone().into_owned();
    if let Some(company) = &patch.company {
        after.company = check::name("company", company)?;
    }
    if let Some(minutes) = patch.utc_offset_minutes {
        check::within("utc_offset_minutes", minutes.into(), -14 * 60, 14 * 60)?;
        after.utc_offset_minutes = minutes;
    }
    let numbers = [
        ("arrival_hours", patch.arrival_hours, &mut after.arrival_hours, 1, 8_760),
        ("communication_hours", patch.communication_hours, &mut after.communication_hours, 1, 8_760),
        ("call_interval_days", patch.call_interval_days, &mut after.call_interval_days, 1, 3_650),
        ("warranty_months", patch.warranty_months, &mut after.warranty_months, 0, 600),
        ("doubtful_minutes", patch.doubtful_minutes, &mut after.doubtful_minutes, 0, 1_440),
        ("repeat_days", patch.repeat_days, &mut after.repeat_days, 1, 3_650),
        ("photo_bytes", patch.photo_bytes, &mut after.photo_bytes, 10_000, 1 << 30),
    ];
    for (field, value, place, min, max) in numbers {
        if let Some(value) = value {
            *place = check::within(field, value, min, max)?;
        }
    }
    for (key, item) in &patch.checklist {
        check::key("checklist", key)?;
        check::room("checklist", &after.checklist, key)?;
        let mut item = item.clone();
        item.label = check::name("checklist", &item.label)?;
        item.label_en = check::word("checklist", &item.label_en)?;
        after.checklist.insert(key.clone(), item);
    }
    for (key, part) in &patch.parts {
        check::part_key("parts", key)?;
        check::room("parts", &after.parts, key)?;
        let mut part = part.clone();
        part.name = check::name("parts", &part.name)?;
        part.unit = check::word("parts", &part.unit)?;
        check::due("parts", part.price)?;
        after.parts.insert(key.clone(), part);
    }
    for (severity, level) in &patch.severities {
        let mut level = level.clone();
        level.label = check::name("severities", &level.label)?;
        level.label_en = check::word("severities", &level.label_en)?;
        check::due("severities", level.penalty)?;
        after.severities.insert(*severity, level);
    }
    Ok(edit(SETTINGS, &*before, after))
}

fn put_customer(
    c: &mut Case<'_, '_>,
    id: CustomerId,
    name: &str,
    code: &str,
    project_completed: Option<Date>,
    call_interval_days: Option<i64>,
) -> Decided {
    let before = c.find::<Customer>("id", id)?.unwrap_or_default();
    let mut after = before.clone();
    after.name = check::name("name", name)?;
    after.code = check::word("code", code)?;
    after.project_completed = project_completed.map(|d| check::date("project_completed", d)).transpose()?;
    after.call_interval_days =
        call_interval_days.map(|n| check::within("call_interval_days", n, 1, 3_650)).transpose()?;
    Ok(edit(id, &before, after))
}

fn put_contact(c: &mut Case<'_, '_>, customer: CustomerId, id: ItemId, contact: &Contact) -> Decided {
    let before: Customer = c.get("customer", customer)?;
    check::id("id", id.0)?;
    check::room("contact", &before.contacts, &id)?;
    let contact = Contact {
        name: check::name("contact/name", &contact.name)?,
        phone: check::phone("contact/phone", &contact.phone)?,
        position: check::word("contact/position", &contact.position)?,
        removed: contact.removed,
    };
    let mut after = before.clone();
    after.contacts.insert(id, contact);
    Ok(edit(customer, &before, after))
}

fn put_address(c: &mut Case<'_, '_>, customer: CustomerId, id: ItemId, address: &Address) -> Decided {
    let before: Customer = c.get("customer", customer)?;
    check::id("id", id.0)?;
    check::room("address", &before.addresses, &id)?;
    let address = Address {
        label: check::word("address/label", &address.label)?,
        text: check::name("address/text", &address.text)?,
        removed: address.removed,
    };
    let mut after = before.clone();
    after.addresses.insert(id, address);
    Ok(edit(customer, &before, after))
}

fn put_equipment(c: &mut Case<'_, '_>, customer: CustomerId, id: ItemId, equipment: &Equipment) -> Decided {
    let before: Customer = c.get("customer", customer)?;
    check::id("id", id.0)?;
    check::room("equipment", &before.equipment, &id)?;
    let mut e = equipment.clone();
    e.model = check::name("equipment/model", &e.model)?;
    e.serial = check::word("equipment/serial", &e.serial)?;
    e.name = check::word("equipment/name", &e.name)?;
    if e.address.is_some_and(|a| !before.addresses.contains_key(&a)) {
        return no("not_found", "equipment/address", "the customer has no such address");
    }
    e.installed.map(|d| check::date("equipment/installed", d)).transpose()?;
    e.warranty_until.map(|d| check::date("equipment/warranty_until", d)).transpose()?;
    check::span("equipment/warranty_until", e.installed, e.warranty_until)?;
    if let Some(successor) = e.replaced_by {
        // Following the successors must end, and not here.
        let mut next = Some(successor);
        for _ in 0..=before.equipment.len() {
            let Some(at) = next else { break };
            if at == id {
                return no("replaces_itself", "equipment/replaced_by", "a machine cannot replace itself");
            }
            let Some(machine) = before.equipment.get(&at) else {
                return no("not_found", "equipment/replaced_by", "the customer has no such machine");
            };
            next = machine.replaced_by;
        }
    }
    let mut after = before.clone();
    after.equipment.insert(id, e);
    Ok(edit(customer, &before, after))
}

fn put_contract(c: &mut Case<'_, '_>, customer: CustomerId, id: ItemId, contract: &Contract) -> Decided {
    let before: Customer = c.get("customer", customer)?;
    check::id("id", id.0)?;
    check::room("contract", &before.contracts, &id)?;
    let mut k = contract.clone();
    k.number = check::word("contract/number", &k.number)?;
    k.from.map(|d| check::date("contract/from", d)).transpose()?;
    k.to.map(|d| check::date("contract/to", d)).transpose()?;
    if k.from.is_none() {
        return no("empty", "contract/from", "needs its first day");
    }
    if k.kind == ContractKind::Annual && k.to.is_none() {
        return no("empty", "contract/to", "an annual contract needs its last day");
    }
    check::span("contract/to", k.from, k.to)?;
    equipment_of("contract/equipment", &before, k.equipment)?;
    let mut after = before.clone();
    after.contracts.insert(id, k);
    Ok(edit(customer, &before, after))
}

/// Whether the machine named is the customer's.
pub(super) fn equipment_of(field: &str, customer: &Customer, equipment: Option<ItemId>) -> Check<()> {
    match equipment {
        Some(id) if !customer.equipment.contains_key(&id) => no("not_found", field, "the customer has no such machine"),
        _ => Ok(()),
    }
}

fn charge(c: &mut Case<'_, '_>, customer: CustomerId, id: ItemId, amount: Fen, what: &str) -> Decided {
    let before: Customer = c.get("customer", customer)?;
    let charge = Charge { mark: c.mark(), amount: check::amount("amount", amount)?, what: check::name("what", what)? };
    let mut after = before.clone();
    check::add("id", &mut after.charges, id, charge, |a, b| {
        (a.mark.by, a.amount, &a.what) == (b.mark.by, b.amount, &b.what)
    })?;
    Ok(edit(customer, &before, after))
}

fn plan_call(c: &mut Case<'_, '_>, customer: CustomerId, due: Option<Date>) -> Decided {
    let before: Customer = c.get("customer", customer)?;
    let mut after = before.clone();
    after.next_call = due.map(|d| check::date("due", d)).transpose()?;
    Ok(edit(customer, &before, after))
}

/// The customer's next call set back to the plan, once one was made.
pub(super) fn call_made(id: CustomerId, before: &Customer) -> Vec<Write> {
    let mut after = before.clone();
    after.next_call = None;
    edit(id, before, after)
}
