//! Running off the caller's thread: the runtime, cancelling, listening.

use crate::error::{OnsiteError, Result};
use crate::mirror::Doc;
use std::future::Future;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::{Handle, Runtime};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::AbortOnDropHandle;

/// Worker threads of the one runtime in a process; SQLite has its own, of which few run at once.
const WORKERS: usize = 2;
/// Threads that wait for files and for listeners.
const BLOCKING: usize = 8;

/// How long the threads' end is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Gone once its threads were ended.
static RUNTIME: LazyLock<std::io::Result<Mutex<Option<Runtime>>>> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING)
        .thread_name("onsite")
        .enable_all()
        .build()?;
    Ok(Mutex::new(Some(runtime)))
});

pub(crate) fn runtime() -> Result<Handle> {
    let failed = |e: &std::io::Error| OnsiteError::Failed { code: "no_threads".into(), detail: e.to_string() };
    let kept = RUNTIME.as_ref().map_err(failed)?.lock().unwrap_or_else(PoisonError::into_inner);
    kept.as_ref().map(|runtime| runtime.handle().clone()).ok_or(OnsiteError::ShutDown)
}

/// Ends the engine's threads at the end of a process, and waits until none is in a listener any more, five seconds
/// at most: a Python that ends meanwhile would be ended by the one that comes back to it. What was stored stays;
/// every call answers `ShutDown` from then on. Apps have no need of it.
#[uniffi::export]
pub fn end_threads() {
    let Ok(kept) = RUNTIME.as_ref() else { return };
    let Some(runtime) = kept.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
    match Handle::try_current() {
        // In a listener: it cannot wait for itself.
        Ok(_) => runtime.shutdown_background(),
        Err(_) => runtime.shutdown_timeout(PATIENCE),
    }
}

/// Runs blocking work on a thread of its own, whatever polls the future.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    joined(runtime()?.spawn_blocking(work)).await
}

/// Runs a future on the runtime; dropping the answer drops it.
pub(crate) async fn spawned<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    joined(runtime()?.spawn(work)).await
}

async fn joined<T>(task: JoinHandle<Result<T>>) -> Result<T> {
    match AbortOnDropHandle::new(task).await {
        Ok(done) => done,
        Err(e) if e.is_cancelled() => Err(OnsiteError::Cancelled),
        Err(e) => Err(OnsiteError::Failed { code: "panic".into(), detail: e.to_string() }),
    }
}

/// Ends calls under way. Kotlin's and Python's own cancellation does the same
/// by itself; Swift's `Task.cancel()` needs it.
#[derive(Debug, Default, uniffi::Object)]
pub struct CancelToken {
    token: CancellationToken,
}

#[uniffi::export]
impl CancelToken {
    /// A token that ends nothing yet.
    #[uniffi::constructor]
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }
    /// Ends what was begun with it, and at once what will be.
    pub fn cancel(&self) {
        self.token.cancel();
    }
    /// Whether it was cancelled.
    pub fn cancelled(&self) -> bool {
        self.token.is_cancelled()
    }
}

/// Runs until done or cancelled.
pub(crate) async fn unless<T>(token: Option<Arc<CancelToken>>, work: impl Future<Output = Result<T>>) -> Result<T> {
    match token {
        None => work.await,
        Some(token) => {
            tokio::select! {
                biased;
                () = token.token.cancelled() => Err(OnsiteError::Cancelled),
                done = work => done,
            }
        }
    }
}

/// Something that goes on until it is stopped, or let go.
#[derive(Debug, uniffi::Object)]
pub struct Subscription {
    token: CancellationToken,
    _ends: DropGuard,
}

impl Subscription {
    pub(crate) fn new(token: CancellationToken) -> Arc<Self> {
        Arc::new(Self { _ends: token.clone().drop_guard(), token })
    }
}

#[uniffi::export]
impl Subscription {
    /// Stops it. Nothing is heard of it afterwards but what is under way.
    pub fn stop(&self) {
        self.token.cancel();
    }
}

/// What a listener could not do; the engine goes on.
#[derive(Debug, thiserror::Error, uniffi::Error)]
pub enum ListenerError {
    /// The listener threw something.
    #[error("the listener failed: {detail}")]
    Failed {
        /// In words.
        detail: String,
    },
}

impl From<uniffi::UnexpectedUniFFICallbackError> for ListenerError {
    fn from(e: uniffi::UnexpectedUniFFICallbackError) -> Self {
        Self::Failed { detail: e.reason }
    }
}

/// Hears which documents changed, or how far they have got: by own commands and
/// by syncs, each once however often it changed meanwhile. Called on a thread of
/// the engine's.
#[uniffi::export(foreign)]
pub trait ChangeListener: Send + Sync {
    /// These changed: ask for them again where they are shown.
    ///
    /// # Errors
    /// Whatever a listener throws is logged and changes nothing.
    fn changed(&self, docs: Vec<Doc>) -> std::result::Result<(), ListenerError>;
}

/// How far a sync has got.
#[derive(Clone, Debug, PartialEq, uniffi::Record)]
pub struct SyncProgress {
    /// Documents on this device.
    pub documents: u64,
    /// Documents still to come; an estimate.
    pub remaining: u64,
    /// Changes the server has not acknowledged.
    pub unsent_changes: u64,
    /// Bytes of photos still to go.
    pub blob_bytes_waiting: u64,
}

/// Hears how far a sync has got, at most ten times a second and once at its end.
#[uniffi::export(foreign)]
pub trait ProgressListener: Send + Sync {
    /// So far.
    ///
    /// # Errors
    /// Whatever a listener throws is logged and changes nothing.
    fn progressed(&self, progress: SyncProgress) -> std::result::Result<(), ListenerError>;
}
