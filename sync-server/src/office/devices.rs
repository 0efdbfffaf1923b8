//! Phones and their syncs; clashes to be chosen from.

use super::settings;
use super::shown::{Said, Teller, opened, place};
use crate::auth;
use crate::error::{Error, Result};
use crate::ledger::{Ledger, pull};
use crate::office::aside::RefusedRow;
use crate::storage::{AsideQuery, Device, DeviceSync, Key, Query, SyncNote, Tenant, View};
use onsite_core::domain::{ChangeHash, DeviceId, DocRef, Millis, StaffId, TenantId};
use onsite_core::sync::protocol::Cursor;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// Not heard of for so long, a phone is silent: a day.
const SILENT: i64 = Millis::DAY;

/// What a phone is shown for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = DeviceShow)]
pub enum Show {
    /// It is in use.
    Use,
    /// It is in use and holds unsent work.
    Unsent,
    /// It is silent.
    Silent,
    /// Edits of it were refused.
    Refused,
    /// It is revoked.
    Revoked,
}

impl Show {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Use => "use",
            Self::Unsent => "unsent",
            Self::Silent => "silent",
            Self::Refused => "refused",
            Self::Revoked => "revoked",
        }
    }

    fn of(device: &DeviceRow) -> Vec<Self> {
        let used = device.revoked.is_none();
        let all = [
            (Self::Use, used),
            (Self::Unsent, used && device.holds()),
            (Self::Silent, device.silent),
            (Self::Refused, device.refused.unwrap_or(0) > 0),
            (Self::Revoked, !used),
        ];
        all.into_iter().filter_map(|(show, holds)| holds.then_some(show)).collect()
    }
}

/// A phone as the office sees it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct DeviceRow {
    /// Its id.
    pub id: DeviceId,
    /// Its short code.
    pub code: String,
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub staff: StaffId,
    /// App version.
    pub app: String,
    /// When it was enrolled.
    pub enrolled: Millis,
    /// When it was revoked.
    pub revoked: Option<Millis>,
    /// Of a revoked one: whether it has been told to wipe itself.
    pub wiped: Option<bool>,
    /// When it was last heard of.
    pub contact: Option<Millis>,
    /// Server clock minus its clock, in milliseconds.
    pub offset: Option<i64>,
    /// Changes that wait on it, by its own account.
    pub unsent_changes: Option<u64>,
    /// Photos that wait on it, by its own account.
    pub unsent_blobs: Option<u64>,
    /// The oldest of those.
    pub oldest_unsent: Option<Millis>,
    /// Edits of it that were refused and nobody has decided about.
    pub refused: Option<u64>,
    /// The log number up to which it has everything.
    pub cursor: Option<u64>,
    /// How many log numbers it is behind.
    pub behind: Option<u64>,
    /// Documents it holds, by its own account.
    pub documents: Option<u64>,
    /// Not heard of for a day.
    pub silent: bool,
    /// What it is shown for.
    pub shown: Vec<Show>,
}

impl DeviceRow {
    fn of(device: Device, sync: Option<DeviceSync>, refused: u64, told: bool, company: &Tenant, now: Millis) -> Self {
        let account = sync.as_ref().map(|s| &s.account);
        // Of another life of the log a number says nothing.
        let cursor = sync.as_ref().filter(|s| !s.cursor.is_empty());
        let cursor = cursor.and_then(|s| pull::At::parse(&Cursor(s.cursor.clone())).ok());
        let cursor = cursor.filter(|at| at.epoch == company.epoch).map(|at| at.place.ver);
        let contact = sync.as_ref().map(|s| s.contact);
        let mut row = Self {
            id: device.id,
            code: device.code,
            name: device.name,
            staff: device.staff,
            app: sync.as_ref().map_or(device.app, |s| s.app.clone()),
            enrolled: device.enrolled,
            revoked: device.revoked,
            wiped: device.revoked.map(|_| told),
            contact,
            offset: sync.as_ref().map(|s| s.offset),
            unsent_changes: account.map(|a| a.changes),
            unsent_blobs: account.map(|a| a.blobs),
            oldest_unsent: account.and_then(|a| a.oldest),
            refused: Some(refused),
            cursor,
            behind: cursor.map(|c| company.head.saturating_sub(c)),
            documents: account.map(|a| a.documents),
            silent: device.revoked.is_none() && now.since(contact.unwrap_or(device.enrolled)) > SILENT,
            shown: Vec::new(),
        };
        row.shown = Show::of(&row);
        row
    }
}

impl DeviceRow {
    /// Whether work waits on it, by its own account.
    pub(crate) fn holds(&self) -> bool {
        self.unsent_changes.unwrap_or(0) + self.unsent_blobs.unwrap_or(0) > 0
    }
}

/// A phone with its last syncs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct DeviceDetail {
    /// The phone.
    pub device: DeviceRow,
    /// Its last syncs, newest first.
    pub syncs: Vec<SyncNote>,
    /// Its refused edits that nobody has decided about, newest first.
    pub refused: Vec<RefusedRow>,
}

/// One of several values of a leaf.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct ClashChoice {
    /// The value.
    pub value: Value,
    /// In words.
    pub told: Said,
    /// Who set it.
    pub by: Option<StaffId>,
    /// When, by their best estimate.
    pub at: Millis,
    /// The change that set it: names it in the command `choose_clash`.
    pub change: ChangeHash,
    /// Whether it is the one shown until somebody chooses.
    pub wins: bool,
}

/// A leaf with several values.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct ClashShown {
    /// The leaf: `path` in the command `choose_clash`.
    pub path: String,
    /// Its name.
    pub label: Said,
    /// Its values.
    pub values: Vec<ClashChoice>,
}

/// A document with clashes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct ClashItem {
    /// The document.
    pub doc: DocRef,
    /// Its row's head.
    pub title: String,
    /// Its number.
    pub number: String,
    /// Its leaves with several values.
    pub clashes: Vec<ClashShown>,
    /// Its place in the list: `after` for those that follow.
    pub key: String,
}

impl Ledger {
    /// All phones, those revoked too.
    ///
    /// # Errors
    /// The storage's.
    pub async fn device_rows(&self, tenant: TenantId) -> Result<Vec<DeviceRow>> {
        let company = self.company(tenant).await?;
        let refused = self.storage().waiting(tenant).await?.refused;
        let told = auth::told_to_wipe(self, tenant).await?;
        let now = self.env().now();
        let devices = self.storage().devices(tenant).await?.into_iter().map(|(device, sync)| {
            let (refused, told) = (refused.get(&device.id).copied().unwrap_or(0), told.contains(&device.id));
            DeviceRow::of(device, sync, refused, told, &company, now)
        });
        Ok(devices.collect())
    }

    /// A phone with its last syncs and its refused edits.
    ///
    /// # Errors
    /// `NotFound`; the storage's.
    pub async fn device_detail(&self, tenant: TenantId, id: DeviceId) -> Result<DeviceDetail> {
        let company = self.company(tenant).await?;
        let device = self.storage().device(tenant, id).await?;
        let device = device.ok_or_else(|| Error::NotFound(format!("no device {id}")))?;
        let sync = self.storage().device_sync(tenant, id).await?;
        let told = auth::told_to_wipe(self, tenant).await?.contains(&id);
        // A phone's are bounded by its quota.
        let theirs = AsideQuery { open: true, device: Some(id), after: None, limit: usize::MAX };
        let refused = self.refused_rows(tenant, &theirs).await?;
        let row = DeviceRow::of(device, sync, refused.len() as u64, told, &company, self.env().now());
        Ok(DeviceDetail { device: row, syncs: self.storage().sync_notes(tenant, id).await?, refused })
    }

    /// Documents with clashes and what can be chosen, after a place that an earlier page named.
    ///
    /// # Errors
    /// The storage's.
    pub async fn clash_page(&self, tenant: TenantId, after: Option<Key>, limit: usize) -> Result<Vec<ClashItem>> {
        let query = Query { clashes: true, after, limit, ..Query::default() };
        let views = self.storage().list(tenant, &query).await?;
        let offset = settings(self, tenant).await?.utc_offset_minutes;
        let teller = Teller::of(self, tenant, offset).await?;
        let mut rows = Vec::new();
        for view in views {
            rows.push(ClashItem {
                doc: view.summary.doc,
                key: place(&view),
                clashes: self.clashes_of(tenant, &view, &teller).await?,
                title: view.summary.title,
                number: view.summary.number,
            });
        }
        Ok(rows)
    }

    /// A document's clashes.
    pub(crate) async fn clashes_of(&self, tenant: TenantId, view: &View, teller: &Teller) -> Result<Vec<ClashShown>> {
        if view.clashes == 0 {
            return Ok(Vec::new());
        }
        let kind = view.summary.doc.kind;
        let clashes = self.document(tenant, view.summary.doc.id).await?.clashes();
        let shown = clashes.into_iter().map(|clash| ClashShown {
            label: Said::path(kind, &clash.path),
            values: (clash.values.into_iter())
                .map(|v| ClashChoice {
                    told: teller.say(|words| words.told(&clash.path, &v.value)),
                    by: v.by,
                    at: v.at,
                    change: v.change,
                    wins: v.shown,
                    value: opened(v.value),
                })
                .collect(),
            path: clash.path,
        });
        Ok(shown.collect())
    }
}
