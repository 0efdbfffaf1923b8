//! Pokes: who should ask for news. Losing one loses nothing.

use crate::storage::Batch;
use onsite_core::domain::{DocRef, StaffId, TenantId};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::broadcast;

/// Pokes waiting for one listener; one that lags just asks.
const WAITING: usize = 64;

/// Most documents that a poke names.
const NAMED: usize = 200;

/// What changed, for those who look at it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct News {
    /// Documents that changed, or whose rows did.
    pub docs: BTreeSet<DocRef>,
    /// There are more than are named.
    pub more: bool,
    /// Phones, or what they say of themselves.
    pub devices: bool,
    /// Refused edits, or what was decided about them.
    pub set_aside: bool,
}

impl News {
    /// What a batch changes.
    pub fn of(batch: &Batch) -> Self {
        let touched = batch.touched.iter().map(|v| v.summary.doc);
        let mut news = Self {
            devices: batch.device_sync.is_some() || !batch.devices.is_empty(),
            set_aside: !batch.aside.is_empty() || !batch.decisions.is_empty(),
            ..Self::default()
        };
        news.name(batch.docs.iter().map(|d| d.view.summary.doc).chain(touched));
        news
    }

    /// Of phones only.
    pub fn devices() -> Self {
        Self { devices: true, ..Self::default() }
    }

    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Takes in what another poke told.
    pub fn add(&mut self, other: &News) {
        self.more |= other.more;
        self.devices |= other.devices;
        self.set_aside |= other.set_aside;
        self.name(other.docs.iter().copied());
    }

    fn name(&mut self, docs: impl IntoIterator<Item = DocRef>) {
        for doc in docs {
            if self.docs.len() >= NAMED && !self.docs.contains(&doc) {
                self.more = true;
                break;
            }
            self.docs.insert(doc);
        }
    }
}

/// Something new in a company's log.
#[derive(Clone, Debug)]
pub struct Poke {
    /// The log's last number.
    pub head: u64,
    /// Whom it concerns; [`crate::storage::EVERYBODY`] for all. The office listens to every poke.
    pub people: Arc<BTreeSet<StaffId>>,
    /// What it is.
    pub news: Arc<News>,
}

impl Poke {
    /// Whether it concerns this person.
    pub fn concerns(&self, staff: StaffId) -> bool {
        self.people.contains(&staff) || self.people.contains(&crate::storage::EVERYBODY)
    }
}

/// Where listeners wait, one channel a company.
#[derive(Debug, Default)]
pub struct Hub {
    channels: Mutex<HashMap<TenantId, broadcast::Sender<Poke>>>,
}

impl Hub {
    /// Listens to a company's pokes.
    pub fn listen(&self, tenant: TenantId) -> broadcast::Receiver<Poke> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        channels.entry(tenant).or_insert_with(|| broadcast::channel(WAITING).0).subscribe()
    }

    /// Pokes those who listen; forgets a channel that nobody listens to.
    pub fn poke(&self, tenant: TenantId, head: u64, people: BTreeSet<StaffId>, news: News) {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(&tenant)
            && channel.send(Poke { head, people: Arc::new(people), news: Arc::new(news) }).is_err()
        {
            channels.remove(&tenant);
        }
    }
}
