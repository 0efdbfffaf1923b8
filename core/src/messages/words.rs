//! Leaves of documents in words: what a clash, a refused edit or a line of
//! history is about, without a path, an id or a bare number.

use super::{Language, find, stamp, t, tf};
use crate::domain::stage::{Explanation, Fact};
use crate::domain::{Fen, Kind, Millis, StaffId, Stamp};
use serde_json::{Map, Value};
use uuid::Uuid;

/// A leaf's name for people, such as `货物检查 · 产品型号 · 结果` for
/// `checks/model/result`. Ids are left out; what has no name stays as it is.
pub fn path(lang: Language, kind: Kind, path: &str) -> String {
    let mut parts = path.split('/').filter(|p| Uuid::parse_str(p).is_err()).peekable();
    let mut names: Vec<&str> = Vec::new();
    let mut above = "";
    while let Some(part) = parts.next() {
        // Form 1 is a part of the work order: naming it says nothing.
        if !(part == "dispatch" && parts.peek().is_some()) {
            let set = if matches!(above, "" | "dispatch") { kind.name() } else { above };
            let key = match above {
                "checks" | "checklist" => format!("check.{part}"),
                "signoffs" => format!("signoff_role.{part}"),
                "returned_machine" => format!("return_step.{part}"),
                "dissatisfaction_reasons" => format!("dissatisfaction.{part}"),
                "roles" => format!("role.{part}"),
                "severities" => format!("severity.{part}"),
                _ => format!("field.{part}"),
            };
            let name = find(lang, &format!("field.{set}.{part}")).or_else(|| find(lang, &key)).unwrap_or(part);
            // What is settled is named by a key that only machines read.
            if above != "settled" && names.last() != Some(&name) {
                names.push(name);
            }
        }
        above = part;
    }
    names.join(" · ")
}

/// A flag of a list's row, such as `cancelled_but_completed:…`, in a few words.
pub fn flag(lang: Language, flag: &str) -> String {
    let (name, about) = flag.split_once(':').unwrap_or((flag, ""));
    // A signature's flag names who signed.
    let role = find(lang, &format!("role.{about}")).unwrap_or(about);
    match find(lang, &format!("flag.{name}")) {
        Some(_) => tf(lang, &format!("flag.{name}"), &[("role", role)]),
        None => name.to_owned(),
    }
}

/// Tells the values of leaves.
#[derive(Clone, Copy)]
pub struct Words<'a> {
    /// The language.
    pub lang: Language,
    /// Minutes east of UTC of the company's clock.
    pub utc_offset_minutes: i32,
    /// Looks a person's name up; an empty name where unknown.
    pub names: &'a (dyn Fn(StaffId) -> String + Sync),
}

impl Words<'_> {
    /// A moment on the company's clock, with its doubt.
    pub fn stamp(&self, at: &Stamp) -> String {
        stamp(self.lang, at, self.utc_offset_minutes)
    }

    /// A moment known to be right.
    pub fn time(&self, at: Millis) -> String {
        self.stamp(&Stamp::exact(at))
    }

    /// A person's name; `某人` where it is not known.
    pub fn name(&self, id: StaffId) -> String {
        let name = (self.names)(id);
        if name.is_empty() { t(self.lang, "value.person_unknown").to_owned() } else { name }
    }

    /// Facts that contradict each other, in one sentence: who did what, and when.
    pub fn contradiction(&self, said: &Explanation) -> String {
        let unknown = || t(self.lang, "value.person_unknown").to_owned();
        let who = |fact: &Fact| fact.by.map_or_else(unknown, |by| self.name(by));
        let (first, second) = (&said.first, &said.second);
        let values = [
            ("who", who(first)),
            ("at", self.stamp(&first.at)),
            ("other", who(second)),
            ("other_at", self.stamp(&second.at)),
        ];
        tf(self.lang, &said.message, &values.each_ref().map(|(name, value)| (*name, value.as_str())))
    }

    /// The value of the leaf at `path`, as JSON has it, in words.
    pub fn value(&self, path: &str, value: &Value) -> String {
        let leaf = path.split('/').rfind(|p| Uuid::parse_str(p).is_err()).unwrap_or(path);
        self.of(leaf, value)
    }

    /// As [`Words::value`], without who set it and when: for a sentence that says so itself.
    pub fn told(&self, path: &str, value: &Value) -> String {
        let leaf = path.split('/').rfind(|p| Uuid::parse_str(p).is_err()).unwrap_or(path);
        match value.as_str().and_then(|s| serde_json::from_str(s).ok()) {
            Some(Value::Object(map)) => match self.parts(leaf, &map) {
                // A value that is nothing but who and when stays.
                (said, who) if said.is_empty() => who,
                (said, _) => said,
            },
            _ => self.of(leaf, value),
        }
    }

    fn of(&self, leaf: &str, value: &Value) -> String {
        match value {
            Value::Null => t(self.lang, "value.empty").to_owned(),
            Value::Bool(b) if leaf == "solved" => self.say(if *b { "value.solved" } else { "value.unsolved" }),
            Value::Bool(b) if leaf == "accepted" => {
                self.say(if *b { "form.visit.accepted_yes" } else { "form.visit.accepted_no" })
            }
            Value::Bool(b) => self.say(if *b { "value.yes" } else { "value.no" }),
            Value::Number(n) => match (n.as_i64(), leaf) {
                (Some(fen), "amount" | "cash_advance" | "balance_to_collect" | "price" | "penalty") => {
                    format!("¥ {}", Fen(fen))
                }
                (Some(ms), "arrival_deadline" | "planned_start") => self.time(Millis(ms)),
                _ => n.to_string(),
            },
            Value::String(s) => self.text(leaf, s),
            Value::Array(all) => all.iter().map(|v| self.of(leaf, v)).collect::<Vec<_>>().join("、"),
            Value::Object(map) => self.object(leaf, map),
        }
    }

    fn say(&self, key: &str) -> String {
        t(self.lang, key).to_owned()
    }

    fn text(&self, leaf: &str, text: &str) -> String {
        if text.is_empty() {
            return self.say("value.empty");
        }
        // What is set as one is kept as JSON in a text.
        if text.starts_with('{')
            && let Ok(Value::Object(map)) = serde_json::from_str(text)
        {
            return self.object(leaf, &map);
        }
        let set = match leaf {
            "result" => "check_result",
            "kind" => "contract_kind",
            "about" => "complaint_about",
            "method" => "pay_method",
            "category" => "expense_category",
            other => other,
        };
        if let Some(word) = find(self.lang, &format!("{set}.{text}")) {
            return word.to_owned();
        }
        match leaf {
            "reported" | "received" | "at" => {
                text.parse::<Stamp>().map_or_else(|_| text.to_owned(), |at| self.stamp(&at))
            }
            "by" | "author" | "technician" | "taken_by" | "staff" => {
                text.parse::<StaffId>().map_or_else(|_| text.to_owned(), |id| self.name(id))
            }
            _ => text.to_owned(),
        }
    }

    fn object(&self, leaf: &str, map: &Map<String, Value>) -> String {
        let (said, who) = self.parts(leaf, map);
        match (said.is_empty(), who.is_empty()) {
            (true, _) => who,
            (false, true) => said,
            (false, false) => format!("{said} ({who})"),
        }
    }

    /// What a value of several parts says, and by whom and when it was set.
    fn parts(&self, leaf: &str, map: &Map<String, Value>) -> (String, String) {
        const MACHINE: [&str; 8] = ["mark", "why", "at", "by", "heads", "content", "strokes", "corrects"];
        let mark = ["mark", "why"].iter().find_map(|k| map.get(*k)?.as_object()).unwrap_or(map);
        let mut said: Vec<String> = Vec::new();
        for (key, value) in map {
            let empty = value.is_null() || value.as_str().is_some_and(str::is_empty);
            if MACHINE.contains(&key.as_str()) || empty || (key == "major" && value == &Value::Bool(false)) {
                continue;
            }
            let set = if leaf == "events" && key == "kind" { "event_kind" } else { key };
            said.push(self.of(set, value));
        }
        if let Some(reason) = map.get("why").and_then(|w| w.get("reason")).and_then(Value::as_str) {
            said.push(reason.to_owned());
        }
        let part = |key: &str| mark.get(key).map(|v| self.of(key, v));
        let who: Vec<String> = [part("by"), part("at")].into_iter().flatten().collect();
        (said.join(" "), who.join(" "))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::domain::*;
    use serde_json::json;

    const ID: &str = "01a21050-093c-7f6f-9f77-ea326f6adb64";

    fn names(id: StaffId) -> String {
        if id.to_string() == ID { "李卫东".into() } else { String::new() }
    }

    fn words(lang: Language) -> Words<'static> {
        Words { lang, utc_offset_minutes: 480, names: &names }
    }

    #[test]
    fn flags_are_told() {
        assert_eq!(flag(Language::ZhCn, "signoff_voided:finance"), "财务签字后派遣单内容有改动");
        assert_eq!(flag(Language::En, "signature_voided"), "the form was changed after the customer signed");
        assert_eq!(flag(Language::En, "unheard_of:1"), "unheard_of");
    }

    #[test]
    fn paths_are_named() {
        let zh = |kind, p: &str| path(Language::ZhCn, kind, p);
        assert_eq!(zh(Kind::Visit, "checks/model/result"), "货物检查 · 产品型号 · 结果");
        assert_eq!(zh(Kind::WorkOrder, "dispatch/cash_advance"), "借款金额");
        assert_eq!(zh(Kind::Visit, &format!("events/{ID}")), "现场时间");
        assert_eq!(zh(Kind::Visit, &format!("contacts/{ID}")), "与客户沟通");
        assert_eq!(zh(Kind::Customer, &format!("contacts/{ID}/phone")), "联系人 · 电话");
        assert_eq!(zh(Kind::Customer, &format!("equipment/{ID}/name")), "设备 · 设备名称");
        assert_eq!(zh(Kind::WorkOrder, "settled/cancelled_but_completed:x"), "矛盾核定");
        assert_eq!(path(Language::En, Kind::WorkOrder, "signoffs/finance"), "sign-off · Finance");
        assert_eq!(zh(Kind::Visit, "something_new"), "something_new");
    }

    #[test]
    fn values_are_told() {
        let zh = |p: &str, v: serde_json::Value| words(Language::ZhCn).value(p, &v);
        assert_eq!(zh("outcome", json!("completed")), "已完成服务");
        assert_eq!(zh("checks/model/result", json!("failed")), "不合格");
        assert_eq!(zh("dispatch/cash_advance", json!(123_456)), "¥ 1234.56");
        assert_eq!(zh("remarks", json!("")), "(空)");
        assert_eq!(zh("dispatch/issued", json!(null)), "(空)");
        assert_eq!(zh("assignments/x/technician", json!(ID)), "李卫东");
        let mark = json!({ "at": "1795570010428+4~90000", "by": ID });
        let accepted = json!({ "mark": mark, "accepted": false, "remark": "再试机" }).to_string();
        assert_eq!(zh("acceptance", json!(accepted)), "未予验收 再试机 (李卫东 2026-11-25 09:26 ± 2 分)");
        let event = json!({ "mark": mark, "kind": "arrived" }).to_string();
        assert_eq!(zh(&format!("events/{ID}"), json!(event)), "到达现场 (李卫东 2026-11-25 09:26 ± 2 分)");
        assert_eq!(words(Language::ZhCn).told("acceptance", &json!(accepted)), "未予验收 再试机");
        assert_eq!(words(Language::ZhCn).told("closed", &json!(mark.to_string())), "李卫东 2026-11-25 09:26 ± 2 分");
        let cancelled =
            json!({ "at": "1795570010428+4~7", "by": StaffId(Uuid::nil()), "reason": "客户撤单" }).to_string();
        assert_eq!(words(Language::En).value("cancelled", &json!(cancelled)), "客户撤单 (somebody 2026-11-25 09:26)");
    }

    /// An entity of each kind with one item of each sort, so that every leaf is there.
    fn samples() -> Vec<Entity> {
        let id = ItemId(Uuid::nil());
        let mut settings = Settings::default();
        settings.parts.insert("P-1".into(), CataloguePart::default());
        let mut customer = Customer::default();
        customer.contacts.insert(id, Contact::default());
        customer.addresses.insert(id, Address::default());
        customer.equipment.insert(id, Equipment::default());
        customer.contracts.insert(id, Contract::default());
        let mut order = WorkOrder::default();
        order.dispatch.items.insert(id, RequiredItem::default());
        order.assignments.insert(id, Assignment::default());
        let mut visit = Visit::default();
        visit.checks.insert("model".into(), Check::default());
        visit.items.insert(id, UsedItem::default());
        visit.photos.insert(id, Photo::default());
        let mut all: Vec<Entity> = Kind::ALL.into_iter().map(Entity::new).collect();
        all.extend([
            Entity::Settings(settings),
            Entity::Customer(customer),
            Entity::WorkOrder(order),
            Entity::Visit(visit),
        ]);
        all
    }

    #[test]
    fn every_leaf_has_a_name_in_both_languages() {
        fn walk(prefix: &str, map: &Map<String, Value>, out: &mut Vec<String>) {
            for (key, value) in map {
                let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}/{key}") };
                match value {
                    Value::Object(inner) if !inner.is_empty() => walk(&path, inner, out),
                    _ => out.push(path),
                }
            }
        }
        for entity in samples() {
            let kind = entity.kind();
            let mut json = serde_json::to_value(&entity).unwrap();
            json.as_object_mut().unwrap().remove("kind");
            let mut paths = Vec::new();
            walk("", json.as_object().unwrap(), &mut paths);
            assert!(!paths.is_empty(), "{kind:?}");
            for (p, lang) in paths.iter().flat_map(|p| Language::ALL.map(|l| (p, l))) {
                let name = path(lang, kind, p);
                assert!(!name.is_empty() && !name.contains('_'), "{kind:?} {p} is called {name:?} in {lang}");
                if lang == Language::ZhCn {
                    let last = name.rsplit(" · ").next().unwrap();
                    assert!(!last.is_ascii(), "{kind:?} {p} is called {name:?}");
                }
            }
        }
    }
}
