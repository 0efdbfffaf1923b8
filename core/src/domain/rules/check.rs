//! Single values checked: each answer names the field.

use crate::domain::{Date, Fen, ItemId, Millis, Position, Rejection, Stamp, Strokes};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Most characters of a name or a word.
pub const MAX_NAME: usize = 200;
/// Most characters of a text.
pub const MAX_TEXT: usize = 20_000;
/// Most characters of a reason.
pub const MAX_REASON: usize = 2_000;
/// Largest amount of money, either sign, in fen.
pub const MAX_MONEY: i64 = 1_000_000_000_000;
/// Largest quantity, either sign.
pub const MAX_QUANTITY: i64 = 1_000_000;
/// Most items of one list of a document.
pub const MAX_ITEMS: usize = 2_000;
/// Most bytes of a signature's strokes.
pub const MAX_STROKES: usize = 200_000;

/// 2000-01-01 and 2100-01-01 in UTC: what lies outside is a broken clock.
const TIMES: std::ops::Range<i64> = 946_684_800_000..4_102_444_800_000;

pub(super) type Check<T> = Result<T, Rejection>;

pub(super) fn no<T>(code: &str, field: &str, detail: impl Into<String>) -> Check<T> {
    Err(Rejection::new(code, field, detail))
}

fn capped<'s>(field: &str, s: &'s str, max: usize, lines: bool) -> Check<&'s str> {
    let s = s.trim();
    if s.chars().count() > max {
        return no("too_long", field, format!("longer than {max} characters"));
    }
    if s.chars().any(|c| c.is_control() && !(lines && matches!(c, '\n' | '\r' | '\t'))) {
        return no("bad_characters", field, "holds control characters");
    }
    Ok(s)
}

fn filled<'s>(field: &str, s: &'s str) -> Check<&'s str> {
    if s.is_empty() { no("empty", field, "must not be empty") } else { Ok(s) }
}

/// A word that may be empty, trimmed.
pub(super) fn word(field: &str, s: &str) -> Check<String> {
    capped(field, s, MAX_NAME, false).map(str::to_owned)
}

/// A name that must not be empty, trimmed.
pub(super) fn name(field: &str, s: &str) -> Check<String> {
    filled(field, capped(field, s, MAX_NAME, false)?).map(str::to_owned)
}

/// A text that may be empty, trimmed.
pub(super) fn text(field: &str, s: &str) -> Check<String> {
    capped(field, s, MAX_TEXT, true).map(str::to_owned)
}

/// A text that must not be empty, trimmed.
pub(super) fn full_text(field: &str, s: &str) -> Check<String> {
    filled(field, capped(field, s, MAX_TEXT, true)?).map(str::to_owned)
}

/// A text somebody goes on typing: not trimmed.
pub(super) fn raw_text(field: &str, s: &str) -> Check<String> {
    capped(field, s, MAX_TEXT, true)?;
    if s.chars().count() > MAX_TEXT {
        return no("too_long", field, format!("longer than {MAX_TEXT} characters"));
    }
    Ok(s.to_owned())
}

/// A reason: never empty.
pub(super) fn reason(field: &str, s: &str) -> Check<String> {
    filled(field, capped(field, s, MAX_REASON, true)?).map(str::to_owned)
}

/// A short note that may be empty.
pub(super) fn note(field: &str, s: &str) -> Check<String> {
    capped(field, s, MAX_REASON, true).map(str::to_owned)
}

/// A phone number as people write them, or nothing.
pub(super) fn phone(field: &str, s: &str) -> Check<String> {
    let s = capped(field, s, 60, false)?;
    if !s.chars().all(|c| c.is_ascii_digit() || " +-()/#*.,;:转分机ext（）、，".contains(c)) {
        return no("bad_phone", field, "holds characters that are not of a phone number");
    }
    if !s.is_empty() && s.chars().filter(char::is_ascii_digit).count() < 3 {
        return no("bad_phone", field, "holds fewer than three digits");
    }
    Ok(s.to_owned())
}

/// A key of the documents: small letters, digits, `_`, `-`.
pub(super) fn key(field: &str, s: &str) -> Check<()> {
    let ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
    if s.is_empty() || s.len() > 40 || !s.chars().all(ok) {
        return no("bad_key", field, "must be 1 to 40 small letters, digits, _ or -");
    }
    Ok(())
}

/// A part number used as a key: no `/`, since that parts the paths of a document.
pub(super) fn part_key(field: &str, s: &str) -> Check<()> {
    if s.trim() != s
        || s.is_empty()
        || s.chars().count() > 60
        || s.chars().any(|c| c.is_control() || matches!(c, '/' | '~'))
    {
        return no("bad_key", field, "must be 1 to 60 characters without / and ~");
    }
    Ok(())
}

/// An id chosen by the caller.
pub(super) fn id(field: &str, id: Uuid) -> Check<()> {
    if id.is_nil() || id.is_max() { no("bad_id", field, "is not an id") } else { Ok(()) }
}

/// A number within bounds, both included.
pub(super) fn within(field: &str, n: i64, min: i64, max: i64) -> Check<i64> {
    if (min..=max).contains(&n) {
        Ok(n)
    } else {
        no("out_of_range", field, format!("must lie between {min} and {max}"))
    }
}

/// An amount that corrects where it is negative, so never nothing.
pub(super) fn amount(field: &str, fen: Fen) -> Check<Fen> {
    if fen.0 == 0 {
        return no("out_of_range", field, "must not be nothing");
    }
    within(field, fen.0, -MAX_MONEY, MAX_MONEY).map(Fen)
}

/// An amount of nothing or more.
pub(super) fn due(field: &str, fen: Fen) -> Check<Fen> {
    within(field, fen.0, 0, MAX_MONEY).map(Fen)
}

/// A quantity added or taken, so never nothing.
pub(super) fn quantity(field: &str, n: i64) -> Check<i64> {
    if n == 0 {
        no("out_of_range", field, "must not be nothing")
    } else {
        within(field, n, -MAX_QUANTITY, MAX_QUANTITY)
    }
}

/// A sum of quantities: neither below nothing nor beyond counting.
pub(super) fn stock(field: &str, before: i64, more: i64) -> Check<i64> {
    within(field, before.saturating_add(more), 0, 1_000 * MAX_QUANTITY)
}

/// A day of this company's life.
pub(super) fn date(field: &str, d: Date) -> Check<Date> {
    if (1990..=2100).contains(&d.year()) { Ok(d) } else { no("bad_date", field, "must lie between 1990 and 2100") }
}

/// A span of days, in order.
pub(super) fn span(field: &str, from: Option<Date>, to: Option<Date>) -> Check<()> {
    match (from, to) {
        (Some(from), Some(to)) if to < from => no("bad_date", field, "ends before it begins"),
        _ => Ok(()),
    }
}

/// A time planned.
pub(super) fn time(field: &str, t: Millis) -> Check<Millis> {
    if TIMES.contains(&t.0) { Ok(t) } else { no("bad_time", field, "must lie between 2000 and 2100") }
}

/// A time in the past. A clock may be wrong by a day before it is refused:
/// its doubt is shown, not its work refused.
pub(super) fn past(field: &str, t: Stamp, now: Stamp) -> Check<Stamp> {
    time(field, t.best())?;
    if t.doubt.is_some_and(|d| d < 0) || (t.doubt.is_some() && t.offset.is_none()) {
        return no("bad_time", field, "its doubt makes no sense");
    }
    if t.best() > now.best().plus(Millis::DAY) {
        return no("in_future", field, "lies in the future");
    }
    Ok(t)
}

/// A place on Earth.
pub(super) fn position(field: &str, p: Position) -> Check<()> {
    let ok = p.lat_e7.unsigned_abs() <= 900_000_000
        && p.lon_e7.unsigned_abs() <= 1_800_000_000
        && p.accuracy_m <= 10_000_000;
    if ok { Ok(()) } else { no("bad_position", field, "is not a place on Earth") }
}

/// Pen strokes: points `x,y` within 1000 × 400, one stroke at least of two points.
pub(super) fn strokes(field: &str, s: &Strokes) -> Check<()> {
    if s.0.len() > MAX_STROKES {
        return no("too_long", field, format!("longer than {MAX_STROKES} bytes"));
    }
    let coordinate = |c: &str, max: u16| {
        c.len() <= 4 && c.bytes().all(|b| b.is_ascii_digit()) && c.parse::<u16>().is_ok_and(|n| n <= max)
    };
    let mut drawn = false;
    for stroke in s.0.split(';') {
        let mut points = 0;
        for point in stroke.split(' ').filter(|p| !p.is_empty()) {
            if !point.split_once(',').is_some_and(|(x, y)| coordinate(x, 1000) && coordinate(y, 400)) {
                return no("bad_strokes", field, "a point is not `x,y` within 1000,400");
            }
            points += 1;
        }
        drawn |= points >= 2;
    }
    if drawn { Ok(()) } else { no("bad_strokes", field, "needs a stroke of two points at least") }
}

/// Room for one more item.
pub(super) fn room<K: Ord, T>(field: &str, map: &BTreeMap<K, T>, key: &K) -> Check<()> {
    if map.len() >= MAX_ITEMS && !map.contains_key(key) {
        return no("too_many", field, format!("more than {MAX_ITEMS}"));
    }
    Ok(())
}

/// Adds an item that never changes: the same again does nothing (`false`),
/// another of the same id is refused.
pub(super) fn add<T>(
    field: &str,
    map: &mut BTreeMap<ItemId, crate::domain::Atomic<T>>,
    key: ItemId,
    item: T,
    same: impl Fn(&T, &T) -> bool,
) -> Check<bool> {
    id(field, key.0)?;
    if let Some(old) = map.get(&key) {
        return if same(old, &item) {
            Ok(false)
        } else {
            no("id_taken", field, "this id already names something else")
        };
    }
    room(field, map, &key)?;
    map.insert(key, crate::domain::Atomic(item));
    Ok(true)
}
