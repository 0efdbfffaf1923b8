//! What is known of phones' last syncs: noted in memory as they happen, and
//! written together every little while, so that no sync costs a transaction
//! of its own. A server that dies loses the last seconds of it, and nothing else.

use crate::error::Result;
use crate::ledger::Ledger;
use crate::storage::{NOTES, SyncNote};
use onsite_core::domain::{DeviceId, TenantId};
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How long notes wait for others.
const TOGETHER: Duration = Duration::from_secs(2);
/// Notes that wait to be written, by device; of each no more than are kept.
#[derive(Debug, Default)]
pub(crate) struct SyncLog {
    waiting: Mutex<HashMap<(TenantId, DeviceId), VecDeque<SyncNote>>>,
    some: Notify,
}

impl SyncLog {
    /// Takes a note. A contact without news takes the place of the one before it.
    pub(crate) fn note(&self, tenant: TenantId, device: DeviceId, note: SyncNote) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let theirs = waiting.entry((tenant, device)).or_default();
        match theirs.back_mut() {
            Some(last) if last.idle() && note.idle() => *last = note,
            _ => theirs.push_back(note),
        }
        if theirs.len() > NOTES {
            theirs.pop_front();
        }
        drop(waiting);
        self.some.notify_one();
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// The storage's: then it is forgotten.
    pub(crate) async fn flush(&self, ledger: &Ledger) -> Result<()> {
        let notes = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        let of = |((tenant, device), notes): (_, VecDeque<_>)| notes.into_iter().map(move |n| (tenant, device, n));
        let notes: Vec<_> = notes.into_iter().flat_map(of).collect();
        if notes.is_empty() { Ok(()) } else { ledger.storage().put_sync_notes(notes).await }
    }

    /// Writes what waits, now and then, until the server stops.
    pub(crate) async fn run(&self, ledger: &Ledger, stopping: &CancellationToken) {
        loop {
            tokio::select! {
                () = stopping.cancelled() => break,
                () = self.some.notified() => {}
            }
            tokio::select! {
                () = stopping.cancelled() => break,
                () = tokio::time::sleep(TOGETHER) => {}
            }
            self.written(ledger).await;
        }
        self.written(ledger).await;
    }

    async fn written(&self, ledger: &Ledger) {
        if let Err(e) = self.flush(ledger).await {
            tracing::warn!(error = %e, "notes of syncs are lost");
        }
    }
}
