//! What every answer of the office's API is made of: rows, texts in both languages, differences.

use super::names;
use crate::error::Result;
use crate::ledger::Ledger;
use crate::storage::View;
use onsite_core::domain::stage::Contradiction;
use onsite_core::domain::summary::Summary;
use onsite_core::domain::{ChangeHash, DocRef, Entity, Kind, Millis, StaffId, TenantId};
use onsite_core::messages::{self, Language, Words};
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;
use utoipa::ToSchema;

/// A text for people, in both languages.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct Said {
    /// Chinese.
    pub zh: String,
    /// English.
    pub en: String,
}

impl Said {
    /// The text in each language.
    pub fn of(mut text: impl FnMut(Language) -> String) -> Self {
        Self { zh: text(Language::ZhCn), en: text(Language::En) }
    }

    /// A leaf's name.
    pub fn path(kind: Kind, path: &str) -> Self {
        Self::of(|lang| messages::path(lang, kind, path))
    }

    /// Leaves' names, each once: bookkeeping of the same name falls together.
    pub fn paths<'a>(kind: Kind, paths: impl IntoIterator<Item = &'a String>) -> Vec<Self> {
        let mut labels = Vec::new();
        for path in paths {
            let label = Self::path(kind, path);
            if !labels.contains(&label) {
                labels.push(label);
            }
        }
        labels
    }
}

/// A row of a list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct Row {
    /// The document.
    pub doc: DocRef,
    /// Log number of its last change.
    pub ver: u64,
    /// Its heads.
    pub heads: Vec<ChangeHash>,
    /// When it last changed, by the server's clock.
    pub changed: Millis,
    /// Leaves with several values.
    pub clashes: u32,
    /// What lists show; of a job, its people are those on it now.
    pub summary: Summary,
}

impl From<&View> for Row {
    fn from(view: &View) -> Self {
        let mut summary = view.summary.clone();
        // It is found by whoever was ever sent; who was taken off it is told in its detail.
        if summary.doc.kind == Kind::WorkOrder
            && !summary.people.is_empty()
            && let Ok(Entity::WorkOrder(order)) = view.entity()
        {
            summary.people = order.current_technicians();
        }
        Self {
            doc: view.summary.doc,
            ver: view.ver,
            heads: view.heads.clone(),
            changed: view.changed,
            clashes: view.clashes,
            summary,
        }
    }
}

/// Rows of views.
pub(crate) fn rows<'a>(views: impl IntoIterator<Item = &'a View>) -> Vec<Row> {
    views.into_iter().map(Row::from).collect()
}

/// A row's place in a list, for `after`.
pub(crate) fn place(view: &View) -> String {
    let key = view.key();
    format!("{}.{}", key.due, key.doc)
}

/// A leaf's value as the API tells it: what is set as one is kept as JSON in a text.
pub(crate) fn opened(value: Value) -> Value {
    match &value {
        Value::String(text) if text.starts_with('{') => serde_json::from_str(text).unwrap_or(value),
        _ => value,
    }
}

/// A document: its row and its content.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct Document {
    /// Its row.
    #[serde(flatten)]
    pub row: Row,
    /// Its content.
    pub entity: Entity,
}

impl Document {
    /// A view with its content.
    ///
    /// # Errors
    /// Where the content cannot be read.
    pub fn of(view: &View) -> Result<Self> {
        Ok(Self { row: Row::from(view), entity: view.entity()? })
    }
}

/// A part of a list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct Page {
    /// Its rows.
    pub rows: Vec<Row>,
    /// Ask again with this as `after` for more.
    pub next: Option<String>,
}

impl Page {
    /// A page of at most `limit` rows, in the order of their keys.
    pub(crate) fn of(views: &[View], limit: usize) -> Self {
        Self { rows: rows(views), next: views.last().filter(|_| views.len() == limit).map(place) }
    }
}

/// What differs between two contents.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct Diff {
    /// The leaf.
    pub path: String,
    /// Its name.
    pub label: Said,
    /// As it was.
    pub before: Value,
    /// As it is.
    pub after: Value,
}

/// Facts that contradict each other.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct Contradicted {
    /// Its key: names it in the command `settle`.
    pub key: String,
    /// In a sentence.
    pub sentence: Said,
    /// When the two facts came about, the earlier first.
    pub at: [Millis; 2],
}

/// Tells values in both languages.
pub(crate) struct Teller {
    names: HashMap<StaffId, String>,
    utc_offset_minutes: i32,
}

impl Teller {
    pub(crate) async fn of(ledger: &Ledger, tenant: TenantId, utc_offset_minutes: i32) -> Result<Self> {
        Ok(Self { names: names(ledger, tenant).await?, utc_offset_minutes })
    }

    /// A sentence made of words in each language.
    pub(crate) fn say(&self, say: impl Fn(&Words<'_>) -> String) -> Said {
        let names = |id| self.names.get(&id).cloned().unwrap_or_default();
        Said::of(|lang| say(&Words { lang, utc_offset_minutes: self.utc_offset_minutes, names: &names }))
    }

    pub(crate) fn contradiction(&self, found: &Contradiction) -> Contradicted {
        let said = found.explain();
        Contradicted {
            key: found.key.clone(),
            sentence: self.say(|words| words.contradiction(&said)),
            at: [found.at.0, found.at.1],
        }
    }
}
