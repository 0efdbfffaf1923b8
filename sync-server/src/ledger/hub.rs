//! Pokes: who should ask for news. Losing one loses nothing.

use onsite_core::domain::{StaffId, TenantId};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::broadcast;

/// Pokes waiting for one listener; one that lags just asks.
const WAITING: usize = 64;

/// Something new in a company's log.
#[derive(Clone, Debug)]
pub struct Poke {
    /// The log's last number.
    pub head: u64,
    /// Whom it concerns; [`crate::storage::EVERYBODY`] for all. The office listens to every poke.
    pub people: Arc<BTreeSet<StaffId>>,
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
    pub fn poke(&self, tenant: TenantId, head: u64, people: BTreeSet<StaffId>) {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(&tenant)
            && channel.send(Poke { head, people: Arc::new(people) }).is_err()
        {
            channels.remove(&tenant);
        }
    }
}
