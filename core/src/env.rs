//! Time and randomness as arguments: the core has neither of its own.

use crate::domain::Millis;
use sha2::{Digest as _, Sha256};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use uuid::Uuid;

/// The clock and the dice that are handed in.
pub trait Env: Send + Sync {
    /// What the device's clock shows, in milliseconds since the Unix epoch.
    fn now(&self) -> Millis;
    /// Fills `buf` with random bytes, fit for keys.
    fn fill(&self, buf: &mut [u8]);

    /// A fresh `UUIDv7` at the clock's time.
    fn new_id(&self) -> Uuid {
        let mut random = [0; 10];
        self.fill(&mut random);
        uuid::Builder::from_unix_timestamp_millis(u64::try_from(self.now().0).unwrap_or(0), &random).into_uuid()
    }
}

/// A clock that moves when told and dice that repeat: for tests and simulation.
#[derive(Debug)]
pub struct SeededEnv {
    seed: u64,
    drawn: AtomicU64,
    now: AtomicI64,
}

impl SeededEnv {
    /// A repeatable environment: the same seed draws the same bytes.
    pub fn new(seed: u64, now: Millis) -> Self {
        Self { seed, drawn: AtomicU64::new(0), now: AtomicI64::new(now.0) }
    }

    /// Moves the clock on (or back) by so many milliseconds.
    pub fn advance(&self, ms: i64) {
        self.now.fetch_add(ms, Ordering::SeqCst);
    }

    /// Sets the clock.
    pub fn set(&self, now: Millis) {
        self.now.store(now.0, Ordering::SeqCst);
    }
}

impl Env for SeededEnv {
    fn now(&self) -> Millis {
        Millis(self.now.load(Ordering::SeqCst))
    }

    fn fill(&self, buf: &mut [u8]) {
        for part in buf.chunks_mut(32) {
            let n = self.drawn.fetch_add(1, Ordering::SeqCst);
            let mut hash = Sha256::new();
            hash.update(self.seed.to_be_bytes());
            hash.update(n.to_be_bytes());
            let bytes: [u8; 32] = hash.finalize().into();
            part.copy_from_slice(&bytes[..part.len()]);
        }
    }
}

/// The system's clock and its random source.
#[cfg(feature = "client")]
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemEnv;

#[cfg(feature = "client")]
impl Env for SystemEnv {
    fn now(&self) -> Millis {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Millis(since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)))
    }

    fn fill(&self, buf: &mut [u8]) {
        #[expect(
            clippy::expect_used,
            reason = "a system without a random source cannot make keys: going on would be worse"
        )]
        getrandom::fill(buf).expect("the system has no random source");
    }
}

impl<E: Env + ?Sized> Env for std::sync::Arc<E> {
    fn now(&self) -> Millis {
        (**self).now()
    }

    fn fill(&self, buf: &mut [u8]) {
        (**self).fill(buf);
    }
}
