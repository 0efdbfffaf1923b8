//! 核对保修期: in warranty, under an annual contract, or paid per visit.

use super::{
    Contract, ContractKind, Customer, Date, Entitlement, Equipment, ItemId, Millis, Settings, WorkOrder, Zone,
};
use serde::{Deserialize, Serialize};

/// An entitlement and what it rests on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
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

/// The last day of a machine's warranty: the day agreed, else `installed` plus
/// the company's months by the calendar (31 January plus one month is the last
/// of February). The day itself is still covered.
pub fn warranty_until(equipment: &Equipment, settings: &Settings) -> Option<Date> {
    equipment.warranty_until.or_else(|| {
        let months = settings.warranty_months.clamp(0, 1_200);
        equipment.installed?.checked_add(jiff::Span::new().months(months)).ok()
    })
}

/// Whether a contract is in force on that day for that machine. An open end is
/// without bound; a contract for one machine covers no job without a machine.
fn covers(contract: &Contract, equipment: Option<ItemId>, day: Date) -> bool {
    !contract.removed
        && contract.from.is_none_or(|from| from <= day)
        && contract.to.is_none_or(|to| day <= to)
        && contract.equipment.is_none_or(|covered| equipment == Some(covered))
}

/// Derives the entitlement of a job reported at `reported`: the warranty where
/// it covers that day of the company's calendar, else an annual contract that
/// does, else per visit (on a contract where there is one).
pub fn entitlement(customer: &Customer, equipment: Option<ItemId>, reported: Millis, settings: &Settings) -> Entitled {
    let day = Zone::of(settings).day(reported);
    let nothing =
        Entitled { entitlement: Entitlement::PerVisit, warranty_until: None, contract: None, overridden: None };
    let machine = equipment.and_then(|id| customer.equipment.get(&id));
    if let Some(until) = machine.and_then(|m| warranty_until(m, settings)).filter(|until| day <= *until) {
        return Entitled { entitlement: Entitlement::InWarranty, warranty_until: Some(until), ..nothing };
    }
    // Of several contracts the one for this very machine decides, then the one that lasts longest.
    let in_force = |kind| {
        let fitting = customer.contracts.iter().filter(|(_, c)| c.kind == kind && covers(c, equipment, day));
        fitting
            .max_by_key(|(id, c)| (c.equipment.is_some(), c.to.unwrap_or(Date::MAX), std::cmp::Reverse(**id)))
            .map(|(id, _)| *id)
    };
    match in_force(ContractKind::Annual) {
        Some(id) => Entitled { entitlement: Entitlement::AnnualContract, contract: Some(id), ..nothing },
        None => Entitled { contract: in_force(ContractKind::PerVisit), ..nothing },
    }
}

/// The entitlement of a work order: the override where there is one. Reckoned
/// from the report, else from the opening of the work order.
pub fn of_work_order(order: &WorkOrder, customer: Option<&Customer>, settings: &Settings) -> Entitled {
    let nobody = Customer::default();
    let from = order.reported.or(order.opened.as_ref().map(|o| o.at)).map(|s| s.best()).unwrap_or_default();
    let derived = entitlement(customer.unwrap_or(&nobody), order.equipment, from, settings);
    match &order.entitlement_override {
        None => derived,
        Some(set) => {
            // What the derivation rests on stays, where it says the same.
            let same = set.entitlement == derived.entitlement;
            Entitled {
                entitlement: set.entitlement,
                warranty_until: derived.warranty_until.filter(|_| same),
                contract: derived.contract.filter(|_| same),
                overridden: Some(set.why.reason.clone()),
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::{Atomic, EntitlementOverride, Reasoned, StaffId, Stamp};
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn day(s: &str) -> Date {
        s.parse().unwrap()
    }
    fn item(n: u128) -> ItemId {
        ItemId(Uuid::from_u128(n))
    }
    fn settings() -> Settings {
        Settings::default()
    }
    fn at(d: &str, hour: i8, minute: i8) -> Millis {
        Zone::of(&settings()).at(day(d), hour, minute)
    }
    fn customer(machine: Equipment) -> Customer {
        Customer { equipment: [(item(1), machine)].into(), ..Customer::default() }
    }
    fn annual(from: &str, to: &str, equipment: Option<ItemId>) -> Contract {
        Contract {
            kind: ContractKind::Annual,
            from: Some(day(from)),
            to: Some(day(to)),
            equipment,
            ..Contract::default()
        }
    }

    #[test]
    fn the_last_day_of_warranty_still_counts_in_the_companys_zone() {
        let c = customer(Equipment { warranty_until: Some(day("2026-03-31")), ..Equipment::default() });
        let of = |t| entitlement(&c, Some(item(1)), t, &settings()).entitlement;
        assert_eq!(of(at("2026-03-31", 23, 59)), Entitlement::InWarranty);
        // In UTC this is still 31 March, 16:00.
        assert_eq!(of(at("2026-04-01", 0, 0)), Entitlement::PerVisit);
    }

    #[test]
    fn months_of_warranty_go_by_the_calendar() {
        let s = Settings { warranty_months: 1, ..settings() };
        let until = |d| warranty_until(&Equipment { installed: Some(day(d)), ..Equipment::default() }, &s);
        assert_eq!(until("2026-01-31"), Some(day("2026-02-28")));
        assert_eq!(until("2028-01-31"), Some(day("2028-02-29")));
        assert_eq!(until("2026-03-15"), Some(day("2026-04-15")));
        assert_eq!(warranty_until(&Equipment::default(), &s), None);
    }

    #[test]
    fn an_annual_contract_covers_its_days_and_its_machine() {
        let mut c = customer(Equipment::default());
        c.contracts.insert(item(10), annual("2026-01-01", "2026-12-31", Some(item(1))));
        let of = |machine, t| entitlement(&c, machine, t, &settings());
        assert_eq!(of(Some(item(1)), at("2026-01-01", 0, 0)).contract, Some(item(10)));
        assert_eq!(of(Some(item(1)), at("2026-12-31", 23, 59)).entitlement, Entitlement::AnnualContract);
        for (machine, t) in [
            (Some(item(1)), at("2025-12-31", 23, 59)),
            (Some(item(1)), at("2027-01-01", 0, 0)),
            (Some(item(2)), at("2026-06-01", 9, 0)),
            (None, at("2026-06-01", 9, 0)),
        ] {
            assert_eq!(of(machine, t).entitlement, Entitlement::PerVisit);
        }
    }

    #[test]
    fn warranty_comes_before_contract_before_per_visit() {
        let mut c = customer(Equipment { warranty_until: Some(day("2026-06-30")), ..Equipment::default() });
        c.contracts.insert(item(10), annual("2026-01-01", "2026-12-31", None));
        c.contracts.insert(item(11), Contract { kind: ContractKind::PerVisit, ..Contract::default() });
        let of = |t| entitlement(&c, Some(item(1)), t, &settings());
        assert_eq!(of(at("2026-06-30", 12, 0)).entitlement, Entitlement::InWarranty);
        assert_eq!(of(at("2026-07-01", 12, 0)).entitlement, Entitlement::AnnualContract);
        let last = of(at("2027-01-01", 12, 0));
        assert_eq!((last.entitlement, last.contract), (Entitlement::PerVisit, Some(item(11))));
        c.contracts.get_mut(&item(10)).unwrap().removed = true;
        assert_eq!(
            entitlement(&c, Some(item(1)), at("2026-07-01", 12, 0), &settings()).entitlement,
            Entitlement::PerVisit
        );
    }

    #[test]
    fn an_override_wins_with_its_reason() {
        let c = customer(Equipment { warranty_until: Some(day("2026-06-30")), ..Equipment::default() });
        let mut order = WorkOrder {
            equipment: Some(item(1)),
            reported: Some(Stamp::exact(at("2026-06-01", 9, 0))),
            ..WorkOrder::default()
        };
        assert_eq!(of_work_order(&order, Some(&c), &settings()).entitlement, Entitlement::InWarranty);
        order.entitlement_override = Some(Atomic(EntitlementOverride {
            entitlement: Entitlement::PerVisit,
            why: Reasoned { at: Stamp::exact(Millis(0)), by: StaffId(Uuid::nil()), reason: "人为损坏".into() },
        }));
        let set = of_work_order(&order, Some(&c), &settings());
        assert_eq!(set.entitlement, Entitlement::PerVisit);
        assert_eq!((set.overridden.as_deref(), set.warranty_until), (Some("人为损坏"), None));
    }

    proptest! {
        #[test]
        fn it_never_panics_and_rests_on_what_it_says(
            reported in any::<i64>(), months in any::<i64>(), zone in any::<i32>(),
            installed in proptest::option::of(0i16..9999), to in proptest::option::of(-9999i16..9999),
        ) {
            let s = Settings { warranty_months: months, utc_offset_minutes: zone, ..Settings::default() };
            let date = |y| Date::new(y, 12, 31).unwrap();
            let mut c = customer(Equipment { installed: installed.map(date), ..Equipment::default() });
            c.contracts.insert(item(10), Contract { kind: ContractKind::Annual, to: to.map(date), ..Contract::default() });
            let e = entitlement(&c, Some(item(1)), Millis(reported), &s);
            match e.entitlement {
                Entitlement::InWarranty => prop_assert!(e.warranty_until.is_some()),
                Entitlement::AnnualContract => prop_assert!(e.contract.is_some()),
                Entitlement::PerVisit => prop_assert!(e.warranty_until.is_none()),
            }
        }
    }
}
