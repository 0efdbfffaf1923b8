//! Words for people, from message files: zh-CN first, English second.
//!
//! Keys are stable: `<set>.<word>` for the closed sets of the domain (as in
//! their `word()`), `stage.<stage>`, `form.…` for the labels of the paper
//! forms, `reject.<code>` for refusals, `cli.…` for the terminal client.

mod words;

pub use words::{Words, flag, path};

use crate::domain::{self, Millis, Rejection, Stamp, Zone, stage::Stage};
use std::{collections::HashMap, fmt, str::FromStr, sync::OnceLock};

/// A language of screens and forms; in JSON by its tag.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Language {
    /// Simplified Chinese: the first language.
    #[default]
    #[serde(rename = "zh-CN")]
    ZhCn,
    /// English.
    #[serde(rename = "en")]
    En,
}

impl Language {
    /// Every language.
    pub const ALL: [Language; 2] = [Language::ZhCn, Language::En];

    /// Its tag, as in HTML's `lang`.
    pub fn tag(self) -> &'static str {
        match self {
            Language::ZhCn => "zh-CN",
            Language::En => "en",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.tag())
    }
}

/// The text names no language known here.
#[derive(Debug, thiserror::Error)]
#[error("unknown language {0:?}: zh-CN or en")]
pub struct UnknownLanguage(pub String);

impl FromStr for Language {
    type Err = UnknownLanguage;
    fn from_str(s: &str) -> Result<Self, UnknownLanguage> {
        match s.to_ascii_lowercase().replace('_', "-").as_str() {
            "zh" | "zh-cn" | "zh-hans" | "zh-hans-cn" => Ok(Language::ZhCn),
            "en" | "en-us" | "en-gb" => Ok(Language::En),
            _ => Err(UnknownLanguage(s.chars().take(20).collect())),
        }
    }
}

type Table = HashMap<String, String>;

fn table(lang: Language) -> &'static Table {
    static TABLES: [OnceLock<Table>; 2] = [OnceLock::new(), OnceLock::new()];
    let (cell, json) = match lang {
        Language::ZhCn => (&TABLES[0], include_str!("../messages/zh-CN.json")),
        Language::En => (&TABLES[1], include_str!("../messages/en.json")),
    };
    // The files are part of the program and a test parses them.
    cell.get_or_init(|| serde_json::from_str(json).unwrap_or_default())
}

/// The message for a key, if there is one.
pub fn find(lang: Language, key: &str) -> Option<&'static str> {
    table(lang).get(key).map(String::as_str)
}

/// The message for a key; the key itself where there is none.
pub fn t(lang: Language, key: &str) -> &str {
    match find(lang, key) {
        Some(text) => text,
        None => key,
    }
}

/// The message for a key with its `{name}`s filled in. What is filled in is
/// not looked at again, so a value may hold braces.
pub fn tf(lang: Language, key: &str, values: &[(&str, &str)]) -> String {
    let mut rest = t(lang, key);
    let mut out = String::with_capacity(rest.len() + 16);
    while let Some(open) = rest.find('{') {
        out.push_str(&rest[..open]);
        let tail = &rest[open + 1..];
        let value = tail.find('}').and_then(|close| {
            let name = &tail[..close];
            values.iter().find(|(n, _)| *n == name).map(|(_, v)| (close, *v))
        });
        match value {
            Some((close, v)) => {
                out.push_str(v);
                rest = &tail[close + 1..];
            }
            None => {
                out.push('{');
                rest = tail;
            }
        }
    }
    out.push_str(rest);
    out
}

/// Something with a name for people.
pub trait Labelled {
    /// Its message key, such as `role.clerk`.
    fn key(&self) -> String;
}

macro_rules! labelled {
    ($($name:ident = $set:literal),+ $(,)?) => {
        $(impl Labelled for domain::$name {
            fn key(&self) -> String {
                format!(concat!($set, ".{}"), self.word())
            }
        })+
        #[cfg(test)]
        fn all_words() -> Vec<String> {
            let mut keys = Vec::new();
            $(keys.extend(domain::$name::ALL.iter().map(Labelled::key));)+
            keys
        }
    };
}

labelled! {
    Role = "role",
    WorkType = "work_type",
    Entitlement = "entitlement",
    Outcome = "outcome",
    IncompleteReason = "incomplete_reason",
    Satisfaction = "satisfaction",
    Dissatisfaction = "dissatisfaction",
    SignoffRole = "signoff_role",
    EventKind = "event_kind",
    CheckResult = "check_result",
    ContractKind = "contract_kind",
    CallOutcome = "call_outcome",
    ComplaintAbout = "complaint_about",
    Rule = "rule",
    Decision = "decision",
    Severity = "severity",
    PayMethod = "pay_method",
    ExpenseCategory = "expense_category",
    ReturnStep = "return_step",
    Channel = "channel",
}

impl Labelled for Stage {
    fn key(&self) -> String {
        format!(
            "stage.{}",
            serde_json::to_value(self).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
        )
    }
}

impl Labelled for domain::Kind {
    fn key(&self) -> String {
        format!("kind.{}", self.name())
    }
}

/// The name for people of a word of the domain.
pub fn label(lang: Language, word: impl Labelled) -> &'static str {
    // Every word of every set is in both files, by test.
    find(lang, &word.key()).unwrap_or("?")
}

/// A moment on the company's clock, `2026-11-24 14:05`, with its doubt
/// (`± 2 分`) where it is half a minute or more; says so where the device's
/// clock was never compared. `offset_minutes` is minutes east of UTC.
pub fn stamp(lang: Language, at: &Stamp, offset_minutes: i32) -> String {
    let clock = Zone { minutes: offset_minutes }.format(at.best());
    match at.doubt {
        Some(ms) if ms >= Millis::MINUTE / 2 => {
            let minutes = (ms.saturating_add(Millis::MINUTE - 1) / Millis::MINUTE).to_string();
            format!("{clock} {}", tf(lang, "form.doubt_minutes", &[("minutes", &minutes)]))
        }
        Some(_) => clock,
        None => format!("{clock} ({})", t(lang, "form.unchecked")),
    }
}

/// A field's name for people: `field.<field>`, the field itself where there is none.
pub fn field(lang: Language, name: &str) -> &str {
    find(lang, &format!("field.{name}")).unwrap_or(name)
}

/// A refusal in words: the field's name, then why. Falls back to the English
/// detail where the code has no message.
pub fn rejection(lang: Language, r: &Rejection) -> String {
    refusal(lang, &r.code, &r.field, &r.detail)
}

/// As [`rejection`], from its parts (as a server's verdict or problem carries them).
pub fn refusal(lang: Language, code: &str, name: &str, detail: &str) -> String {
    let named = field(lang, name);
    match find(lang, &format!("reject.{code}")) {
        Some(_) => {
            let text = tf(lang, &format!("reject.{code}"), &[("field", named), ("detail", detail)]);
            match (name.is_empty(), lang) {
                (true, _) => text,
                (false, Language::ZhCn) => format!("{named}:{text}"),
                (false, Language::En) => format!("{named}: {text}"),
            }
        }
        None if name.is_empty() => detail.to_owned(),
        None => format!("{named}: {detail}"),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn file(lang: Language) -> BTreeMap<String, String> {
        let json = match lang {
            Language::ZhCn => include_str!("../messages/zh-CN.json"),
            Language::En => include_str!("../messages/en.json"),
        };
        serde_json::from_str(json).unwrap()
    }

    fn holes(text: &str) -> Vec<&str> {
        let mut names: Vec<_> = text.split('{').skip(1).filter_map(|s| s.split_once('}')).map(|(n, _)| n).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn both_files_have_the_same_keys_and_holes() {
        let (zh, en) = (file(Language::ZhCn), file(Language::En));
        assert_eq!(zh.keys().collect::<Vec<_>>(), en.keys().collect::<Vec<_>>());
        for (key, text) in &zh {
            assert!(!text.is_empty() && !en[key].is_empty(), "{key} is empty");
            assert_eq!(holes(text), holes(&en[key]), "{key}");
        }
    }

    #[test]
    fn every_word_and_stage_has_a_name_in_both_languages() {
        let keys = all_words()
            .into_iter()
            .chain(Stage::ALL.iter().map(Labelled::key))
            .chain(domain::Kind::ALL.iter().map(Labelled::key));
        for key in keys {
            for lang in Language::ALL {
                assert!(find(lang, &key).is_some(), "{key} has no {lang} name");
            }
        }
        assert_eq!(label(Language::ZhCn, domain::Role::Clerk), "销售内勤");
        assert_eq!(label(Language::En, Stage::OnSite), "On site");
    }

    #[test]
    fn every_refusal_has_words_in_both_languages() {
        for (code, _) in domain::rules::CODES {
            for lang in Language::ALL {
                assert!(find(lang, &format!("reject.{code}")).is_some(), "reject.{code} has no {lang} words");
            }
        }
    }

    #[test]
    fn all_evidence_and_every_flag_has_words_in_both_languages() {
        let evidence = domain::appraisal::FACTS.iter().map(|fact| format!("evidence.{fact}"));
        let flags = domain::summary::FLAGS.iter().map(|flag| format!("flag.{flag}"));
        for key in evidence.chain(flags) {
            for lang in Language::ALL {
                assert!(find(lang, &key).is_some(), "{key} has no {lang} words");
            }
        }
    }

    #[test]
    fn values_are_filled_in_once() {
        assert_eq!(tf(Language::ZhCn, "form.date", &[("y", "2026"), ("m", "{d}"), ("d", "3")]), "2026 年 {d} 月 3 日");
        assert_eq!(tf(Language::En, "no such key {x}", &[("x", "1")]), "no such key 1");
        assert_eq!(t(Language::En, "no.such.key"), "no.such.key");
    }

    #[test]
    fn an_unknown_refusal_falls_back_to_its_detail() {
        let r = Rejection::new("never_heard_of", "cash_advance", "must not be negative");
        assert_eq!(
            rejection(Language::En, &r),
            format!("{}: must not be negative", field(Language::En, "cash_advance"))
        );
        assert_eq!(rejection(Language::ZhCn, &Rejection::new("never_heard_of", "", "so it is")), "so it is");
    }

    #[test]
    fn languages_are_parsed() {
        assert_eq!("zh_CN".parse::<Language>().unwrap(), Language::ZhCn);
        assert_eq!("EN".parse::<Language>().unwrap(), Language::En);
        assert!("fr".parse::<Language>().is_err());
    }
}
