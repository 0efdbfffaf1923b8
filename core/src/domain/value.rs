//! Leaf values of documents.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::{Add, Deref, Neg, Sub};

/// Money in fen (1/100 yuan).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct Fen(pub i64);

impl Add for Fen {
    type Output = Fen;
    fn add(self, o: Fen) -> Fen {
        Fen(self.0.saturating_add(o.0))
    }
}
impl Sub for Fen {
    type Output = Fen;
    fn sub(self, o: Fen) -> Fen {
        Fen(self.0.saturating_sub(o.0))
    }
}
impl Neg for Fen {
    type Output = Fen;
    fn neg(self) -> Fen {
        Fen(self.0.saturating_neg())
    }
}
impl std::iter::Sum for Fen {
    fn sum<I: Iterator<Item = Fen>>(iter: I) -> Fen {
        iter.fold(Fen(0), Add::add)
    }
}
impl std::fmt::Display for Fen {
    /// In yuan, with two decimals.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (sign, abs) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        write!(f, "{sign}{}.{:02}", abs / 100, abs % 100)
    }
}

/// Text that several people may edit at once: merged character by character.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct Text(pub String);

impl Deref for Text {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

/// A quantity to which several people may add at once: the additions add up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct Count(pub i64);

/// A set that several people may add to and take from at once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct Flags<T: Ord>(pub BTreeMap<T, bool>);

impl<T: Ord> Default for Flags<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Ord> Flags<T> {
    /// Whether `item` is in the set.
    pub fn contains(&self, item: &T) -> bool {
        self.0.get(item).copied().unwrap_or(false)
    }
    /// The items in the set.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().filter(|(_, on)| **on).map(|(t, _)| t)
    }
    /// Whether nothing is in the set.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
    /// Makes the set hold just `items`; what was once in it stays known as taken out.
    pub fn assign(&mut self, items: impl IntoIterator<Item = T>) {
        for on in self.0.values_mut() {
            *on = false;
        }
        self.0.extend(items.into_iter().map(|t| (t, true)));
    }
}

impl<T: Ord> FromIterator<T> for Flags<T> {
    fn from_iter<I: IntoIterator<Item = T>>(iter: I) -> Self {
        Self(iter.into_iter().map(|t| (t, true)).collect())
    }
}

/// A value of several parts that is set and clashes as one: stored as one
/// JSON text, so no merge can mix the parts of two authors.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
// The schema is the API's, whose answers are [`opened`].
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Atomic<T>(pub T);

impl<T> Deref for Atomic<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

thread_local! {
    static OPENED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f`; whatever it serialises or reads has every [`Atomic`] as the object it holds, not as a text of JSON.
/// For answers and those who read them: a document is never made of one.
pub fn opened<T>(f: impl FnOnce() -> T) -> T {
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            OPENED.set(self.0);
        }
    }
    let _before = Before(OPENED.replace(true));
    f()
}

impl<T: Serialize> Serialize for Atomic<T> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if OPENED.get() {
            return self.0.serialize(s);
        }
        s.serialize_str(&serde_json::to_string(&self.0).map_err(serde::ser::Error::custom)?)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Atomic<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if OPENED.get() {
            return T::deserialize(d).map(Atomic);
        }
        let s = std::borrow::Cow::<'de, str>::deserialize(d)?;
        serde_json::from_str(&s).map(Atomic).map_err(serde::de::Error::custom)
    }
}

macro_rules! hex_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
            }
        }
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{self}")
            }
        }
        impl std::str::FromStr for $name {
            type Err = BadHash;
            fn from_str(s: &str) -> Result<Self, BadHash> {
                let (s, mut out) = (s.as_bytes(), [0; 32]);
                if s.len() != 64 {
                    return Err(BadHash);
                }
                for (byte, pair) in out.iter_mut().zip(s.chunks(2)) {
                    let digit = |c: u8| char::from(c).to_digit(16).ok_or(BadHash);
                    *byte = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
                }
                Ok(Self(out))
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                if s.is_human_readable() { s.collect_str(self) } else { s.serialize_bytes(&self.0) }
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                if d.is_human_readable() {
                    let s = std::borrow::Cow::<'de, str>::deserialize(d)?;
                    s.parse().map_err(serde::de::Error::custom)
                } else {
                    let b: serde_bytes::ByteArray<32> = Deserialize::deserialize(d)?;
                    Ok(Self(b.into_array()))
                }
            }
        }
    };
}

/// The text is not 64 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("not 64 hexadecimal digits")]
pub struct BadHash;

hex_type! {
    /// A SHA-256: of a blob, or of signed content.
    Sha256
}
hex_type! {
    /// The hash of a change: its identity everywhere.
    ChangeHash
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn an_atomic_is_a_text_in_documents_and_an_object_in_answers() {
        let value = Atomic(BTreeMap::from([("why", Atomic(1))]));
        let text = serde_json::to_value(&value).unwrap();
        assert_eq!(text, serde_json::json!(r#"{"why":"1"}"#));
        assert_eq!(opened(|| serde_json::to_value(&value)).unwrap(), serde_json::json!({ "why": 1 }));
        let back: Atomic<BTreeMap<String, Atomic<i32>>> =
            opened(|| serde_json::from_value(serde_json::json!({ "why": 1 }))).unwrap();
        assert_eq!(back.0["why"], Atomic(1));
        let unwound = std::panic::catch_unwind(|| opened(|| panic!("on purpose")));
        assert!(unwound.is_err());
        assert_eq!(serde_json::to_value(&value).unwrap(), text, "and a text again, also after a panic");
    }
}
