//! Honest time: what the device's clock said, how far it was off, how sure we are.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr};

/// Milliseconds since the Unix epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
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
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Quarter {
    /// The year.
    pub year: i16,
    /// 1 to 4.
    pub quarter: i8,
}

/// The company's clock: a fixed offset from UTC.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Zone {
    /// Minutes east of UTC.
    pub minutes: i32,
}
