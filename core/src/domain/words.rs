//! What a row is found by: one way to split texts and questions into words,
//! for phones and server alike.
//!
//! A CJK character is a word of its own; others are runs of letters and digits,
//! folded: compatibility forms (full-width digits, ligatures), case and Latin
//! accents make no difference. What dashes hold together (`HK-2000`,
//! `029-88886666`) is also one word without them. A long number is also found
//! from its middle on: people remember the last digits of a phone number.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use unicode_normalization::UnicodeNormalization as _;

/// Digits of a number that is found from its middle on: phones, orders, serial numbers.
const LONG_NUMBER: RangeInclusive<usize> = 7..=20;
/// Fewest digits it is found by.
const FEWEST_DIGITS: usize = 4;
/// Longest word that dashes are left out of, in bytes.
const JOINED: usize = 64;
/// Characters of a word of a question that are looked at.
const MOST_TYPED: usize = 64;
/// Phrases of a question that are looked at.
const MOST_PHRASES: usize = 12;

/// Chinese, Japanese and Korean characters.
fn is_cjk(c: char) -> bool {
    matches!(u32::from(c), 0x2e80..=0x9fff | 0xac00..=0xd7af | 0xf900..=0xfaff | 0x20000..=0x3ffff)
}

/// One word, and whether only a dash stands between it and the one before.
struct Word {
    text: String,
    dashed: bool,
}

impl Word {
    fn cjk(&self) -> bool {
        self.text.starts_with(is_cjk)
    }
}

fn split(text: &str) -> Vec<Word> {
    let folded = text.nfkd().filter(|c| !matches!(c, '\u{300}'..='\u{36f}')).nfc().flat_map(char::to_lowercase);
    let mut out: Vec<Word> = Vec::new();
    let (mut word, mut gap, mut dashes) = (String::new(), 0, 0);
    let mut end = |word: &mut String, gap: &mut usize, dashes: &mut usize| {
        if !word.is_empty() {
            out.push(Word { text: std::mem::take(word), dashed: (*gap, *dashes) == (1, 1) });
            (*gap, *dashes) = (0, 0);
        }
    };
    for c in folded {
        if c.is_alphanumeric() && !is_cjk(c) {
            word.push(c);
            continue;
        }
        end(&mut word, &mut gap, &mut dashes);
        if c.is_alphanumeric() {
            word.push(c);
            end(&mut word, &mut gap, &mut dashes);
        } else {
            gap += 1;
            dashes += usize::from(matches!(c, '-' | '\u{2010}' | '\u{2013}' | '\u{2014}'));
        }
    }
    end(&mut word, &mut gap, &mut dashes);
    out
}

/// The words held together by dashes, as ranges of two and more.
fn runs(words: &[Word]) -> impl Iterator<Item = std::ops::Range<usize>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from;
        if start >= words.len() {
            return None;
        }
        from += 1;
        while from < words.len() && words[from].dashed && !words[from].cjk() && !words[from - 1].cjk() {
            from += 1;
        }
        Some(start..from)
    })
}

fn joined(words: &[Word]) -> String {
    let mut out = String::new();
    for word in words {
        if out.len() + word.text.len() > JOINED {
            break;
        }
        out.push_str(&word.text);
    }
    out
}

/// The words a text is found by: its own in their order, then those that only dashes or length hide.
pub fn indexed(text: &str) -> Vec<String> {
    let words = split(text);
    let mut more = Vec::new();
    for run in runs(&words) {
        for start in run.start..run.end {
            let whole = joined(&words[start..run.end]);
            if whole.bytes().all(|b| b.is_ascii_digit()) && LONG_NUMBER.contains(&whole.len()) {
                more.extend((1..=whole.len() - FEWEST_DIGITS).map(|from| whole[from..].to_owned()));
            }
            if start + 1 < run.end {
                more.push(whole);
            }
        }
    }
    let mut seen = BTreeSet::new();
    more.retain(|word| seen.insert(word.clone()));
    words.into_iter().map(|w| w.text).chain(more).collect()
}

/// A question as phrases, all of which must be met: words that stand in a row,
/// the last of them perhaps only a word's beginning.
pub fn phrases(question: &str) -> Vec<Vec<String>> {
    let mut out = Vec::new();
    for typed in question.split_whitespace() {
        let typed: String = typed.chars().take(MOST_TYPED).collect();
        let words = split(&typed);
        let mut phrase = Vec::new();
        for run in runs(&words) {
            if run.len() == 1 {
                phrase.push(words[run.start].text.clone());
                continue;
            }
            // Without its dashes it is no neighbour of what stands before and after.
            out.extend((!phrase.is_empty()).then(|| std::mem::take(&mut phrase)));
            out.push(vec![joined(&words[run])]);
        }
        out.extend((!phrase.is_empty()).then_some(phrase));
    }
    out.truncate(MOST_PHRASES);
    out
}

/// Whether words (of [`indexed`]) answer a question: the meaning of [`matching`].
pub fn found(words: &[String], phrases: &[Vec<String>]) -> bool {
    phrases.iter().all(|phrase| {
        let Some((last, firsts)) = phrase.split_last() else { return true };
        words.windows(phrase.len()).any(|w| w[..firsts.len()] == *firsts && w[firsts.len()].starts_with(last.as_str()))
    })
}

/// The question for an FTS5 table that holds [`indexed`] words set apart by
/// blanks, split by its tokenizer `ascii` (which splits at nothing else of
/// them). `None` where there is no word in it. Words are letters and digits
/// only, in quotes: no operator of FTS5 gets through.
pub fn matching(question: &str) -> Option<String> {
    let of = |phrase: Vec<String>| {
        // A CJK character has no beginning shorter than itself.
        let whole = phrase.last().is_some_and(|last| last.starts_with(is_cjk));
        format!("\"{}\"{}", phrase.join(" "), if whole { "" } else { " *" })
    };
    let all: Vec<String> = phrases(question).into_iter().map(of).collect();
    (!all.is_empty()).then(|| all.join(" AND "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn finds(text: &str, question: &str) -> bool {
        found(&indexed(text), &phrases(question))
    }

    #[test]
    fn what_people_type_finds_what_was_written() {
        let text = "张三丰 西安纸托厂 HK-2000 成型机 SN-20260601-0042 029-88886666 13800138000 Café ﬁlter";
        for question in [
            "张",
            "三丰",
            "张三",
            "纸托",
            "hk-2000",
            "HK2000",
            "hk",
            "2000",
            "hk-20",
            "ＨＫ－２０００",
            "sn-2026",
            "SN20260601",
            "20260601-0042",
            "0042",
            "02988886666",
            "029-8888",
            "88886666",
            "6666",
            "138001",
            "38001",
            "8000",
            "１３８００",
            "cafe",
            "CAFÉ",
            "filter",
            "成型机hk-2000",
            "厂 6666 张三",
        ] {
            assert!(finds(text, question), "{question}");
        }
        for question in ["三张", "张丰", "李", "hk-3000", "000", "a-2000", "029-9999", "99", "西厂"] {
            assert!(!finds(text, question), "{question}");
        }
        assert!(finds("HK2000", "HK-2000") && finds("GX-HK-2000-A", "hk-2000"), "dashes make no difference");
        assert!(finds("02988886666", "029-88886666"));
    }

    #[test]
    fn words_are_pinned() {
        insta::assert_snapshot!(indexed("张三 HK-2000 029-8888666").join(" "), @"张 三 hk 2000 029 8888666 hk2000 298888666 98888666 8888666 888666 88666 8666 0298888666");
        insta::assert_snapshot!(matching("液压HK-2000 \"张*").unwrap_or_default(), @r#""液 压" AND "hk2000" * AND "张""#);
        assert_eq!((matching(" -*\" "), phrases("").len()), (None, 0));
    }

    proptest! {
        #[test]
        fn words_hold_nothing_to_split_or_escape(text in "\\PC{0,40}") {
            for word in indexed(&text).into_iter().chain(phrases(&text).into_iter().flatten()) {
                prop_assert!(!word.is_empty() && word.chars().all(char::is_alphanumeric), "{word:?}");
            }
        }

        #[test]
        fn a_text_is_found_by_any_of_its_own_words(words in proptest::collection::vec("[a-zé]{1,6}|[0-9]{1,12}|[张三李四空调]{1,4}|[A-Z]{2}-[0-9]{4}", 1..6), n in 0..6_usize) {
            let text = words.join(" ");
            let word = &words[n % words.len()];
            prop_assert!(finds(&text, word), "{text:?} by {word:?}");
            let beginning: String = word.chars().take(n + 1).collect();
            prop_assert!(finds(&text, &beginning), "{text:?} by {beginning:?}");
        }
    }
}
