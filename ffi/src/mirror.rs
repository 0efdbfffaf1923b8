//! How values of the core look on the other side, and the macros that mirror its structs.

use crate::error::{OnsiteError, Result};
use onsite_core::domain::{self as core, Atomic, Count, Fen, Flags, Text};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

/// The id of a document, a person, a device or an item: a UUID. Ids of what a
/// command creates are chosen by the app (`Onsite.new_id`), so that
/// sending it twice does it once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Id(pub uuid::Uuid);

uniffi::custom_type!(Id, String, {
    try_lift: |text| Ok(Id(uuid::Uuid::parse_str(&text)?)),
    lower: |id| id.0.hyphenated().to_string(),
});

/// A calendar day of the company.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Day(pub core::Date);

uniffi::custom_type!(Day, String, {
    try_lift: |text| Ok(Day(text.parse()?)),
    lower: |day| day.0.to_string(),
});

/// A moment by a phone's clock, set right by the offset that was measured at
/// its last contact with the server.
#[derive(Clone, Copy, Debug, PartialEq, uniffi::Record)]
pub struct When {
    /// The best estimate of the true time.
    pub at: SystemTime,
    /// What the phone's clock showed.
    pub device_clock: SystemTime,
    /// The true time lies within so many milliseconds of `at`; absent where the clock was never compared.
    pub doubt_ms: Option<i64>,
}

/// A document, named by kind and id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, uniffi::Record)]
pub struct Doc {
    /// Its kind.
    pub kind: crate::words::Kind,
    /// Its id.
    pub id: Id,
}

impl From<Doc> for core::DocRef {
    fn from(doc: Doc) -> Self {
        Self { kind: doc.kind.into(), id: core::DocId(doc.id.0) }
    }
}

/// A value of the core as the platforms see it.
pub(crate) trait Mirror {
    /// There.
    type As;
    /// Turns it over.
    fn mirror(self) -> Self::As;
}

/// A value of the core that is kept under a key which belongs to it there.
pub(crate) trait Keyed<K> {
    /// There.
    type As;
    /// Turns it over, with its key.
    fn keyed(self, key: K) -> Self::As;
}

/// A map by key as the list of its items, in the order of their keys.
pub(crate) fn items<K, T: Keyed<K>>(map: BTreeMap<K, T>) -> Vec<T::As> {
    map.into_iter().map(|(key, item)| item.keyed(key)).collect()
}

impl<K, T: Keyed<K>> Keyed<K> for Atomic<T> {
    type As = T::As;
    fn keyed(self, key: K) -> T::As {
        self.0.keyed(key)
    }
}

macro_rules! same {
    ($($t:ty),+) => {$(impl Mirror for $t { type As = $t; fn mirror(self) -> $t { self } })+};
}
same!(String, bool, i64, u64, u32, i32, u8, SystemTime);

macro_rules! ids {
    ($($t:ident),+) => {$(impl Mirror for core::$t { type As = Id; fn mirror(self) -> Id { Id(self.0) } })+};
}
ids!(
    TenantId,
    DeviceId,
    DocId,
    ItemId,
    StaffId,
    CustomerId,
    RequestId,
    WorkOrderId,
    VisitId,
    FollowUpId,
    ComplaintId,
    StatementId,
    SuggestionId,
    AppraisalId
);

macro_rules! by {
    ($($from:ty => $to:ty: |$x:ident| $as:expr);+ $(;)?) => {$(
        impl Mirror for $from { type As = $to; fn mirror(self) -> $to { let $x = self; $as } }
    )+};
}
by! {
    Text => String: |t| t.0;
    Count => i64: |c| c.0;
    Fen => i64: |f| f.0;
    core::Date => Day: |d| Day(d);
    core::Sha256 => String: |h| h.to_string();
    core::ChangeHash => String: |h| h.to_string();
    core::Strokes => String: |s| s.0;
    core::Quarter => String: |q| q.to_string();
    core::Millis => SystemTime: |m| instant(m);
    core::Stamp => When: |s| When { at: instant(s.best()), device_clock: instant(s.device), doubt_ms: s.doubt };
    core::DocRef => Doc: |d| Doc { kind: d.kind.mirror(), id: Id(d.id.0) };
    serde_json::Value => String: |v| v.to_string();
}

impl<T: Mirror> Mirror for Option<T> {
    type As = Option<T::As>;
    fn mirror(self) -> Self::As {
        self.map(Mirror::mirror)
    }
}
impl<T: Mirror> Mirror for Vec<T> {
    type As = Vec<T::As>;
    fn mirror(self) -> Self::As {
        self.into_iter().map(Mirror::mirror).collect()
    }
}
impl<T: Mirror> Mirror for BTreeSet<T> {
    type As = Vec<T::As>;
    fn mirror(self) -> Self::As {
        self.into_iter().map(Mirror::mirror).collect()
    }
}
impl<T: Mirror + Ord> Mirror for Flags<T> {
    type As = Vec<T::As>;
    fn mirror(self) -> Self::As {
        self.0.into_iter().filter(|(_, on)| *on).map(|(item, _)| item.mirror()).collect()
    }
}
impl<T: Mirror> Mirror for Atomic<T> {
    type As = T::As;
    fn mirror(self) -> Self::As {
        self.0.mirror()
    }
}

/// A moment as the platforms' own instant.
fn instant(at: core::Millis) -> SystemTime {
    let span = Duration::from_millis(at.0.unsigned_abs());
    let moment =
        if at.0 < 0 { SystemTime::UNIX_EPOCH.checked_sub(span) } else { SystemTime::UNIX_EPOCH.checked_add(span) };
    moment.unwrap_or(SystemTime::UNIX_EPOCH)
}

/// An instant as milliseconds since the epoch.
pub(crate) fn millis(at: SystemTime) -> core::Millis {
    let ms = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
    core::Millis(at.duration_since(SystemTime::UNIX_EPOCH).map_or_else(|e| -ms(e.duration()), ms))
}

/// A hash from its text.
pub(crate) fn hash<H: std::str::FromStr>(field: &str, text: &str) -> Result<H> {
    text.parse().map_err(|_| OnsiteError::invalid(field, "not 64 hexadecimal digits"))
}

/// Declares the mirror of a struct of the core, field by field; `= items`
/// where a map becomes the list of its items.
macro_rules! record {
    ($(#[$m:meta])* $name:ident of $core:ty { $($(#[$fm:meta])* $field:ident : $ty:ty $(= $how:path)?),* $(,)? }) => {
        $(#[$m])*
        #[derive(Clone, Debug, PartialEq, uniffi::Record)]
        pub struct $name { $($(#[$fm])* pub $field: $ty),* }
        impl $crate::mirror::Mirror for $core {
            type As = $name;
            fn mirror(self) -> $name {
                $name { $($field: $crate::mirror::record!(@ self.$field $(, $how)?)),* }
            }
        }
    };
    (@ $e:expr) => { $crate::mirror::Mirror::mirror($e) };
    (@ $e:expr, $how:path) => { $how($e) };
}
pub(crate) use record;

/// As [`record`], of a struct that is kept under a key: the key is the first field.
macro_rules! item {
    ($(#[$m:meta])* $name:ident of $core:path, by $key:ident : $kt:path => $ks:ident
        { $($(#[$fm:meta])* $field:ident : $ty:ty $(= $how:path)?),* $(,)? }) => {
        $(#[$m])*
        #[derive(Clone, Debug, PartialEq, uniffi::Record)]
        pub struct $name {
            /// What it is kept under: names it in commands.
            pub $key: $ks,
            $($(#[$fm])* pub $field: $ty),*
        }
        impl $crate::mirror::Keyed<$kt> for $core {
            type As = $name;
            fn keyed(self, key: $kt) -> $name {
                $name {
                    $key: $crate::mirror::Mirror::mirror(key),
                    $($field: $crate::mirror::record!(@ self.$field $(, $how)?)),*
                }
            }
        }
    };
}
pub(crate) use item;
