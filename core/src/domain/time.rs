//! Honest time: what the device's clock said, how far it was off, how sure we are.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr};

/// Milliseconds since the Unix epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct Millis(pub i64);

impl Millis {
    /// One minute.
    pub const MINUTE: i64 = 60_000;
    /// One day.
    pub const DAY: i64 = 86_400_000;

    /// This time plus so many milliseconds.
    #[must_use]
    pub fn plus(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this time; negative if it lies before.
    pub fn since(self, earlier: Millis) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A moment as a device saw it. One leaf of a document: it never mixes with another.
///
/// Written as `at`, `at+offset` or `at+offset~doubt`, all in milliseconds,
/// the offset signed: `1763942400000-1500~40`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Stamp {
    /// What the device's clock showed.
    pub device: Millis,
    /// Server clock minus device clock, measured at the last contact, if any.
    pub offset: Option<i64>,
    /// Half the width of the interval the true time lies in, if known.
    pub doubt: Option<i64>,
}

impl Stamp {
    /// A moment of a clock that is known to be right (the server's).
    pub fn exact(at: Millis) -> Self {
        Self { device: at, offset: Some(0), doubt: Some(0) }
    }

    /// A moment of a clock never compared with the server's.
    pub fn unchecked(at: Millis) -> Self {
        Self { device: at, offset: None, doubt: None }
    }

    /// The best estimate of the true time.
    pub fn best(&self) -> Millis {
        self.device.plus(self.offset.unwrap_or(0))
    }

    /// Whether the true time may be more than `limit` milliseconds away from
    /// [`Stamp::best`]. A clock never compared is always doubtful.
    pub fn doubtful(&self, limit: i64) -> bool {
        self.doubt.is_none_or(|d| d > limit)
    }

    /// Whether this moment certainly lies after `deadline`: `None` where the
    /// doubt spans it.
    pub fn after(&self, deadline: Millis) -> Option<bool> {
        let doubt = self.doubt?;
        let best = self.best();
        if best.plus(-doubt) > deadline {
            Some(true)
        } else if best.plus(doubt) <= deadline {
            Some(false)
        } else {
            None
        }
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.device.0)?;
        if let Some(offset) = self.offset {
            write!(f, "{offset:+}")?;
            if let Some(doubt) = self.doubt {
                write!(f, "~{doubt}")?;
            }
        }
        Ok(())
    }
}

/// The text is not a [`Stamp`].
#[derive(Debug, thiserror::Error)]
#[error("not a time stamp of the form at±offset~doubt: {0:?}")]
pub struct BadStamp(pub String);

impl FromStr for Stamp {
    type Err = BadStamp;
    fn from_str(s: &str) -> Result<Self, BadStamp> {
        let bad = || BadStamp(s.chars().take(40).collect());
        let (rest, doubt) = match s.split_once('~') {
            Some((rest, d)) => (rest, Some(d.parse::<i64>().ok().filter(|d| *d >= 0).ok_or_else(bad)?)),
            None => (s, None),
        };
        // The first character may be the sign of a time before 1970.
        let split = rest.char_indices().skip(1).find(|(_, c)| matches!(c, '+' | '-')).map(|(i, _)| i);
        let (at, offset) = match split {
            Some(i) => (&rest[..i], Some(rest[i..].parse::<i64>().map_err(|_| bad())?)),
            None => (rest, None),
        };
        if doubt.is_some() && offset.is_none() {
            return Err(bad());
        }
        Ok(Self { device: Millis(at.parse().map_err(|_| bad())?), offset, doubt })
    }
}

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let s = std::borrow::Cow::<'de, str>::deserialize(d)?;
        s.parse().map_err(serde::de::Error::custom)
    }
}

/// A calendar day of the company, `YYYY-MM-DD`.
pub type Date = jiff::civil::Date;

/// A span of the company's calendar: first day included, last day excluded.
/// Written `2026Q3`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Quarter {
    /// The year.
    pub year: i16,
    /// 1 to 4.
    pub quarter: i8,
}

impl Quarter {
    /// The quarter a day lies in.
    pub fn of(day: Date) -> Self {
        Self { year: day.year(), quarter: (day.month() - 1) / 3 + 1 }
    }

    /// The quarter after this one.
    #[must_use]
    pub fn next(self) -> Self {
        if self.quarter >= 4 {
            Self { year: self.year.saturating_add(1), quarter: 1 }
        } else {
            Self { year: self.year, quarter: self.quarter + 1 }
        }
    }

    /// The quarter before this one.
    #[must_use]
    pub fn previous(self) -> Self {
        if self.quarter <= 1 {
            Self { year: self.year.saturating_sub(1), quarter: 4 }
        } else {
            Self { year: self.year, quarter: self.quarter - 1 }
        }
    }

    /// Its first day. A quarter outside the calendar gives the calendar's edge.
    pub fn first_day(self) -> Date {
        let month = (self.quarter.clamp(1, 4) - 1) * 3 + 1;
        Date::new(self.year, month, 1).unwrap_or(if self.year < 0 { Date::MIN } else { Date::MAX })
    }

    /// The first moment of the quarter.
    pub fn start(self, zone: Zone) -> Millis {
        zone.start(self.first_day())
    }

    /// The first moment after the quarter.
    pub fn end(self, zone: Zone) -> Millis {
        zone.start(self.next().first_day())
    }
}

impl fmt::Display for Quarter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}Q{}", self.year, self.quarter)
    }
}

/// The text is not a [`Quarter`].
#[derive(Debug, thiserror::Error)]
#[error("not a quarter of the form 2026Q3: {0:?}")]
pub struct BadQuarter(pub String);

impl FromStr for Quarter {
    type Err = BadQuarter;
    fn from_str(s: &str) -> Result<Self, BadQuarter> {
        let bad = || BadQuarter(s.chars().take(20).collect());
        let (year, quarter) = s.split_once(['Q', 'q']).ok_or_else(bad)?;
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if year.len() != 4 || quarter.len() != 1 || !digits(year) || !digits(quarter) {
            return Err(bad());
        }
        let (year, quarter) = (year.parse().map_err(|_| bad())?, quarter.parse().map_err(|_| bad())?);
        if (1..=4).contains(&quarter) { Ok(Self { year, quarter }) } else { Err(bad()) }
    }
}

/// The company's clock: a fixed offset from UTC.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Zone {
    /// Minutes east of UTC.
    pub minutes: i32,
}

impl Zone {
    /// The company's zone.
    pub fn of(settings: &super::Settings) -> Self {
        Self { minutes: settings.utc_offset_minutes }
    }

    /// The offset; one beyond a day and an hour is taken at that bound.
    fn offset(self) -> jiff::tz::Offset {
        let seconds = self.minutes.clamp(-25 * 60, 25 * 60) * 60;
        jiff::tz::Offset::from_seconds(seconds).unwrap_or(jiff::tz::Offset::UTC)
    }

    /// The wall clock at `at`; a time outside the calendar gives its edge.
    pub fn wall(self, at: Millis) -> jiff::civil::DateTime {
        let edge = if at.0 < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
        self.offset().to_datetime(jiff::Timestamp::from_millisecond(at.0).unwrap_or(edge))
    }

    /// The company's day that `at` lies in.
    pub fn day(self, at: Millis) -> Date {
        self.wall(at).date()
    }

    /// The first moment of a day.
    pub fn start(self, day: Date) -> Millis {
        self.at(day, 0, 0)
    }

    /// The first moment after a day.
    pub fn end(self, day: Date) -> Millis {
        day.tomorrow().map_or(Millis(jiff::Timestamp::MAX.as_millisecond()), |d| self.start(d))
    }

    /// The moment of a day's hour (0 to 23) and minute (0 to 59); values beyond are taken at the bound.
    pub fn at(self, day: Date, hour: i8, minute: i8) -> Millis {
        let edge = if day.year() < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
        let wall = day.at(hour.clamp(0, 23), minute.clamp(0, 59), 0, 0);
        Millis(self.offset().to_timestamp(wall).unwrap_or(edge).as_millisecond())
    }

    /// `YYYY-MM-DD HH:MM`
    pub fn format(self, at: Millis) -> String {
        let t = self.wall(at);
        format!("{} {:02}:{:02}", t.date(), t.hour(), t.minute())
    }

    /// `HH:MM`
    pub fn clock(self, at: Millis) -> String {
        let t = self.wall(at);
        format!("{:02}:{:02}", t.hour(), t.minute())
    }

    /// `YYYY-MM-DD HH:MM`, and how doubtful it is; `minutes` is the word for
    /// minutes (`分`, `min`).
    pub fn format_stamp(self, at: &Stamp, minutes: &str) -> String {
        self.format(at.best()) + &at.doubt_mark(minutes)
    }

    /// `HH:MM`, and how doubtful it is: `14:05 ± 2 分`.
    pub fn clock_stamp(self, at: &Stamp, minutes: &str) -> String {
        self.clock(at.best()) + &at.doubt_mark(minutes)
    }
}

impl Stamp {
    /// ` ± 2 min` where the doubt is a minute or more (rounded up), ` ± ? min`
    /// where it is not known, else nothing.
    pub fn doubt_mark(&self, minutes: &str) -> String {
        match self.doubt {
            Some(d) if d < Millis::MINUTE => String::new(),
            Some(d) => format!(" ± {} {minutes}", d.div_euclid(Millis::MINUTE) + i64::from(d % Millis::MINUTE != 0)),
            None => format!(" ± ? {minutes}"),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CN: Zone = Zone { minutes: 480 };

    fn stamps() -> impl Strategy<Value = Stamp> {
        (any::<i64>(), any::<Option<i64>>(), proptest::option::of(0..=i64::MAX)).prop_map(|(at, offset, doubt)| Stamp {
            device: Millis(at),
            offset,
            doubt: doubt.filter(|_| offset.is_some()),
        })
    }

    proptest! {
        #[test]
        fn a_stamp_survives_text_and_json(s in stamps()) {
            prop_assert_eq!(s.to_string().parse::<Stamp>().unwrap(), s);
            let json = serde_json::to_string(&s).unwrap();
            prop_assert_eq!(serde_json::from_str::<Stamp>(&json).unwrap(), s);
        }

        #[test]
        fn no_text_panics(s in ".{0,40}") {
            let _ = s.parse::<Stamp>();
            let _ = s.parse::<Quarter>();
        }

        #[test]
        fn after_agrees_with_every_true_time(at in -1_000_000i64..1_000_000, doubt in 0i64..5_000, deadline in -1_000_000i64..1_000_000) {
            let s = Stamp { device: Millis(at), offset: Some(0), doubt: Some(doubt) };
            match s.after(Millis(deadline)) {
                Some(true) => prop_assert!(at - doubt > deadline),
                Some(false) => prop_assert!(at + doubt <= deadline),
                None => prop_assert!(at - doubt <= deadline && at + doubt > deadline),
            }
        }

        #[test]
        fn a_moment_lies_in_its_day_and_quarter(ms in -60_000_000_000_000i64..200_000_000_000_000, minutes in -720i32..=840) {
            let (zone, at) = (Zone { minutes }, Millis(ms));
            let day = zone.day(at);
            prop_assert!(zone.start(day) <= at && at < zone.end(day));
            let q = Quarter::of(day);
            prop_assert!(q.start(zone) <= at && at < q.end(zone));
            prop_assert_eq!(q.next().previous(), q);
            prop_assert_eq!(q.end(zone), q.next().start(zone));
        }

        #[test]
        fn any_moment_of_any_zone_is_shown(ms in any::<i64>(), minutes in any::<i32>(), doubt in 0..=i64::MAX) {
            let zone = Zone { minutes };
            let _ = (zone.day(Millis(ms)), zone.start(zone.day(Millis(ms))), zone.end(zone.day(Millis(ms))));
            let _ = zone.format_stamp(&Stamp { device: Millis(ms), offset: Some(1), doubt: Some(doubt) }, "min");
        }

        #[test]
        fn a_quarter_survives_text(year in 0i16..=9999, quarter in 1i8..=4) {
            let q = Quarter { year, quarter };
            prop_assert_eq!(q.to_string().parse::<Quarter>().unwrap(), q);
        }
    }

    #[test]
    fn words_that_are_no_stamp_or_quarter() {
        for s in ["", "x", "1+", "1~2", "1+2~", "1+2~-3", "1+2~3~4", "1+2+3"] {
            assert!(s.parse::<Stamp>().is_err(), "{s}");
        }
        for s in ["", "2026", "2026Q0", "2026Q5", "26Q1", "2026Q11", "-026Q1", "+026Q1", "2026Q+"] {
            assert!(s.parse::<Quarter>().is_err(), "{s}");
        }
    }

    #[test]
    fn the_day_turns_at_the_companys_midnight() {
        // 2026-06-30T16:00:00Z is midnight in China.
        let midnight = Millis(1_782_835_200_000);
        assert_eq!(CN.format(midnight), "2026-07-01 00:00");
        assert_eq!(CN.format(midnight.plus(-1)), "2026-06-30 23:59");
        assert_eq!(Quarter::of(CN.day(midnight)).to_string(), "2026Q3");
        assert_eq!("2026Q3".parse::<Quarter>().unwrap().start(CN), midnight);
    }

    #[test]
    fn doubt_is_shown_from_a_minute_on() {
        let at = Stamp { device: CN.at(Date::new(2026, 7, 1).unwrap(), 14, 5), offset: Some(0), doubt: Some(59_999) };
        assert_eq!(CN.clock_stamp(&at, "分"), "14:05");
        assert_eq!(CN.clock_stamp(&Stamp { doubt: Some(90_000), ..at }, "分"), "14:05 ± 2 分");
        assert_eq!(CN.format_stamp(&Stamp { doubt: Some(120_000), ..at }, "min"), "2026-07-01 14:05 ± 2 min");
        assert_eq!(CN.clock_stamp(&Stamp::unchecked(at.device), "min"), "14:05 ± ? min");
    }
}
