//! Between a document's flat root map and an [`Entity`]: the only place that knows keys.
//!
//! Every leaf of the entity is one key, its path joined by `/` (a `/` or `~`
//! inside a map's own key is written `~1`, `~0`, as in JSON pointers):
//! `dispatch/cash_advance`, `items/<uuid>/part_no`. Three kinds of leaf are special:
//! - a text is an Automerge text object, there since the genesis;
//! - a count is one Automerge counter per actor at `<path>/~<actor>`, summed;
//! - an option that is `None` is absent, or null once somebody has cleared it
//!   (null, and not deleted, so that clearing clashes visibly with setting).
//!
//! Reading never fails for what a newer version, or a hostile one, put there:
//! unknown keys are passed over, unreadable leaves read as their defaults.

use super::{Actor, Reading};
use crate::domain::{Entity, Kind};
use crate::error::{Error, Result};
use automerge::{ObjType, ROOT, ReadDoc, ScalarValue, ScalarValueRef, Value as AmValue, ValueRef};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// A key no leaf can have: the kind's name, written by the genesis.
pub(super) const KIND_KEY: &str = "~kind";
/// Deeper keys are nobody's: they are passed over before they cost anything.
const MAX_DEPTH: usize = 8;

/// Leaves by key.
pub(super) type Flat = BTreeMap<String, Value>;

/// The texts of a kind, in the order of the genesis: only ever appended to, with a new genesis never.
pub(super) fn texts(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Customer => &["notes"],
        Kind::Request => &["problem"],
        Kind::WorkOrder => &["dispatch/remarks", "dispatch/service_description"],
        Kind::Visit => &["customer_comment", "diagnosis", "remarks", "resolution", "service_description"],
        Kind::FollowUp => &["analysis", "opinion"],
        Kind::Complaint => &["description"],
        Kind::Statement | Kind::Suggestion => &["text"],
        Kind::Staff | Kind::Settings | Kind::Appraisal => &[],
    }
}

/// The counts of a kind; `*` stands for one segment.
pub(super) fn counts(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::WorkOrder => &["dispatch/items/*/issued", "dispatch/items/*/returned"],
        Kind::Visit => &["items/*/used", "items/*/taken_back"],
        _ => &[],
    }
}

pub(super) fn is_text(kind: Kind, path: &str) -> bool {
    texts(kind).contains(&path)
}

pub(super) fn is_count(kind: Kind, path: &str) -> bool {
    counts(kind).iter().any(|pattern| {
        let (mut p, mut s) = (pattern.split('/'), path.split('/'));
        loop {
            match (p.next(), s.next()) {
                (None, None) => return true,
                (Some("*"), Some(_)) => {}
                (Some(a), Some(b)) if a == b => {}
                _ => return false,
            }
        }
    })
}

/// The key of an actor's share of a count.
pub(super) fn share_key(path: &str, actor: Actor) -> String {
    let hex: String = actor.to_bytes().iter().map(|b| format!("{b:02x}")).collect();
    format!("{path}/~{hex}")
}

/// The count that `key` is a share of.
pub(super) fn share_of(kind: Kind, key: &str) -> Option<&str> {
    let (path, share) = key.rsplit_once('/')?;
    let hex = share.strip_prefix('~')?;
    (hex.len() == 2 * Actor::LEN && hex.bytes().all(|b| b.is_ascii_hexdigit()) && is_count(kind, path)).then_some(path)
}

// ---- entity to leaves ----

/// The entity's leaves.
///
/// # Errors
/// `Invalid` where the content cannot be a document (a list outside an `Atomic`).
pub(super) fn flatten(entity: &Entity) -> Result<Flat> {
    let invalid = |detail: String| Error::Invalid { field: "entity", detail };
    let value = match entity {
        Entity::Staff(x) => serde_json::to_value(x),
        Entity::Settings(x) => serde_json::to_value(x),
        Entity::Customer(x) => serde_json::to_value(x),
        Entity::Request(x) => serde_json::to_value(x),
        Entity::WorkOrder(x) => serde_json::to_value(x),
        Entity::Visit(x) => serde_json::to_value(x),
        Entity::FollowUp(x) => serde_json::to_value(x),
        Entity::Complaint(x) => serde_json::to_value(x),
        Entity::Statement(x) => serde_json::to_value(x),
        Entity::Suggestion(x) => serde_json::to_value(x),
        Entity::Appraisal(x) => serde_json::to_value(x),
    }
    .map_err(|e| invalid(e.to_string()))?;
    let mut flat = Flat::new();
    walk(&mut String::new(), value, &mut flat).map_err(invalid)?;
    Ok(flat)
}

fn walk(path: &mut String, value: Value, flat: &mut Flat) -> Result<(), String> {
    match value {
        Value::Null => {}
        Value::Array(_) => return Err(format!("{path} is a list")),
        Value::Object(map) => {
            let len = path.len();
            for (key, value) in map {
                if len > 0 {
                    path.push('/');
                }
                escape(&key, path);
                walk(path, value, flat)?;
                path.truncate(len);
            }
        }
        leaf => {
            flat.insert(path.clone(), leaf);
        }
    }
    Ok(())
}

fn escape(segment: &str, out: &mut String) {
    for c in segment.chars() {
        match c {
            '~' => out.push_str("~0"),
            '/' => out.push_str("~1"),
            c => out.push(c),
        }
    }
}

fn unescape(segment: &str) -> String {
    if segment.contains('~') { segment.replace("~1", "/").replace("~0", "~") } else { segment.to_owned() }
}

// ---- leaves to entity ----

/// Builds the entity: the kind's defaults, overlaid by the leaves.
pub(super) fn unflatten(kind: Kind, flat: Flat) -> Reading {
    let mut dropped = Vec::new();
    let mut tree = defaults(kind).clone();
    for (key, value) in &flat {
        if !overlay(&mut tree, key, value.clone()) {
            dropped.push(key.clone());
        }
    }
    if let Ok(entity) = decode(kind, tree) {
        return Reading { entity, dropped };
    }
    // Some leaf cannot be read. Each is independent of the others (maps and structs with defaults
    // only), so each is tried alone, and what fails is left out.
    dropped.clear();
    let mut tree = defaults(kind).clone();
    for (key, value) in flat {
        let mut alone = Map::new();
        if !overlay(&mut alone, &key, value.clone()) || decode(kind, alone).is_err() || !overlay(&mut tree, &key, value)
        {
            dropped.push(key);
        }
    }
    let entity = decode(kind, tree).unwrap_or_else(|_| Entity::new(kind));
    Reading { entity, dropped }
}

/// Puts a leaf in its place; `false` where something of another shape stands in the way.
fn overlay(tree: &mut Map<String, Value>, key: &str, leaf: Value) -> bool {
    let mut segments = key.split('/');
    let Some(last) = segments.next_back() else { return false };
    if segments.clone().nth(MAX_DEPTH).is_some() {
        return true;
    }
    let mut at = tree;
    for segment in segments {
        match at.entry(unescape(segment)).or_insert_with(|| Value::Object(Map::new())) {
            Value::Object(map) => at = map,
            _ => return false,
        }
    }
    match at.entry(unescape(last)) {
        serde_json::map::Entry::Occupied(mut e) => {
            if e.get().is_object() {
                return false;
            }
            if leaf.is_null() {
                e.remove();
            } else {
                e.insert(leaf);
            }
        }
        serde_json::map::Entry::Vacant(e) => {
            if !leaf.is_null() {
                e.insert(leaf);
            }
        }
    }
    true
}

fn decode(kind: Kind, tree: Map<String, Value>) -> serde_json::Result<Entity> {
    use serde_json::from_value as from;
    let tree = Value::Object(tree);
    Ok(match kind {
        Kind::Staff => Entity::Staff(from(tree)?),
        Kind::Settings => Entity::Settings(from(tree)?),
        Kind::Customer => Entity::Customer(from(tree)?),
        Kind::Request => Entity::Request(from(tree)?),
        Kind::WorkOrder => Entity::WorkOrder(from(tree)?),
        Kind::Visit => Entity::Visit(from(tree)?),
        Kind::FollowUp => Entity::FollowUp(from(tree)?),
        Kind::Complaint => Entity::Complaint(from(tree)?),
        Kind::Statement => Entity::Statement(from(tree)?),
        Kind::Suggestion => Entity::Suggestion(from(tree)?),
        Kind::Appraisal => Entity::Appraisal(from(tree)?),
    })
}

/// What a new document's content has that its fields' own defaults lack
/// (such as the checklist of the settings), as a tree.
fn defaults(kind: Kind) -> &'static Map<String, Value> {
    static TREES: OnceLock<Vec<Map<String, Value>>> = OnceLock::new();
    static NONE: OnceLock<Map<String, Value>> = OnceLock::new();
    let trees = TREES.get_or_init(|| {
        let tree = |kind| {
            let mut tree = Map::new();
            // Texts and plain fields have the defaults of their types: only kinds with own
            // defaults need a tree, and a smaller tree reads faster.
            if kind == Kind::Settings {
                for (key, leaf) in flatten(&Entity::new(kind)).unwrap_or_default() {
                    overlay(&mut tree, &key, leaf);
                }
            }
            tree
        };
        Kind::ALL.into_iter().map(tree).collect()
    });
    trees.get(usize::from(kind.number())).unwrap_or_else(|| NONE.get_or_init(Map::new))
}

// ---- the document ----

/// The document's leaves, now or as at `heads`.
pub(super) fn leaves(doc: &automerge::Automerge, kind: Kind, heads: Option<&[automerge::ChangeHash]>) -> Flat {
    let mut flat = Flat::new();
    let items = match heads {
        None => doc.map_range(ROOT, ..),
        Some(heads) => doc.map_range_at(ROOT, .., heads),
    };
    for item in items {
        let key: &str = &item.key;
        if key == KIND_KEY {
            continue;
        }
        if let Some(path) = share_of(kind, key) {
            let share = if item.conflict {
                // Two files with one actor (a copy) opened the share apart: both count.
                let all = match heads {
                    None => doc.get_all(ROOT, key),
                    Some(heads) => doc.get_all_at(ROOT, key, heads),
                };
                all.unwrap_or_default()
                    .iter()
                    .fold(0_i64, |sum, (v, _)| sum.saturating_add(counter(v).unwrap_or_default()))
            } else {
                match &item.value {
                    ValueRef::Scalar(ScalarValueRef::Counter(c)) => *c,
                    _ => continue,
                }
            };
            let sum = flat.get(path).and_then(Value::as_i64).unwrap_or_default().saturating_add(share);
            flat.insert(path.to_owned(), sum.into());
            continue;
        }
        let leaf = match &item.value {
            ValueRef::Object(ObjType::Text) => {
                let id = item.id();
                let text = match heads {
                    None => doc.text(&id),
                    Some(heads) => doc.text_at(&id, heads),
                };
                match text {
                    Ok(text) => Value::String(text),
                    Err(_) => continue,
                }
            }
            ValueRef::Object(_) => continue,
            ValueRef::Scalar(s) => match scalar_ref(s) {
                Some(v) => v,
                None => continue,
            },
        };
        // A plain value where a count should be is nobody's: counts live in their shares.
        if !is_count(kind, key) {
            flat.insert(item.key.into_owned(), leaf);
        }
    }
    flat
}

fn scalar_ref(s: &ScalarValueRef<'_>) -> Option<Value> {
    Some(match s {
        ScalarValueRef::Str(s) => Value::String(s.to_string()),
        ScalarValueRef::Int(i) | ScalarValueRef::Counter(i) | ScalarValueRef::Timestamp(i) => (*i).into(),
        ScalarValueRef::Uint(u) => (*u).into(),
        ScalarValueRef::F64(f) => serde_json::Number::from_f64(*f)?.into(),
        ScalarValueRef::Boolean(b) => (*b).into(),
        ScalarValueRef::Null => Value::Null,
        ScalarValueRef::Bytes(_) | ScalarValueRef::Unknown { .. } => return None,
    })
}

/// A scalar as JSON; `None` where JSON has no such thing.
pub(super) fn scalar(s: &ScalarValue) -> Option<Value> {
    Some(match s {
        ScalarValue::Str(s) => Value::String(s.to_string()),
        ScalarValue::Int(i) | ScalarValue::Timestamp(i) => (*i).into(),
        ScalarValue::Counter(c) => i64::from(c).into(),
        ScalarValue::Uint(u) => (*u).into(),
        ScalarValue::F64(f) => serde_json::Number::from_f64(*f)?.into(),
        ScalarValue::Boolean(b) => (*b).into(),
        ScalarValue::Null => Value::Null,
        ScalarValue::Bytes(_) | ScalarValue::Unknown { .. } => return None,
    })
}

/// A leaf as a scalar.
pub(super) fn to_scalar(leaf: &Value) -> ScalarValue {
    match leaf {
        Value::String(s) => ScalarValue::Str(s.as_str().into()),
        Value::Bool(b) => ScalarValue::Boolean(*b),
        Value::Number(n) => match (n.as_i64(), n.as_u64(), n.as_f64()) {
            (Some(i), ..) => ScalarValue::Int(i),
            (_, Some(u), _) => ScalarValue::Uint(u),
            (.., Some(f)) => ScalarValue::F64(f),
            _ => ScalarValue::Null,
        },
        Value::Null | Value::Array(_) | Value::Object(_) => ScalarValue::Null,
    }
}

/// The value of a counter.
pub(super) fn counter(value: &AmValue<'_>) -> Option<i64> {
    match value {
        AmValue::Scalar(s) => match s.as_ref() {
            ScalarValue::Counter(c) => Some(i64::from(c)),
            _ => None,
        },
        AmValue::Object(_) => None,
    }
}
