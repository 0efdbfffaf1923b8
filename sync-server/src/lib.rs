//! The Onsite sync server: ledger, gate, office, routes.

pub mod audit;
pub mod auth;
pub mod blobs;
pub mod cli;
pub mod config;
pub mod demo;
pub mod device;
pub mod error;
mod facts;
pub mod feeds;
#[doc(hidden)]
pub mod fuzzing;
pub mod gate;
pub mod import;
pub mod keep;
pub mod ledger;
pub mod metrics;
pub mod office;
mod oidc;
pub mod pictures;
pub mod problem;
pub mod routes;
pub mod sheets;
pub mod storage;
mod sync_log;
mod term;
pub mod webhooks;

pub use config::Config;
pub use error::{Error, Result};

use crate::auth::{Lockout, Rate};
use crate::blobs::Blobs;
use crate::ledger::Ledger;
use crate::sync_log::SyncLog;
use onsite_core::domain::{DeviceId, Millis};
use onsite_core::env::Env;
use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// Time for a connection to say what it wants.
const FIRST_REQUEST: Duration = Duration::from_secs(30);

/// The machine's clock and dice.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEnv;

impl Env for SystemEnv {
    fn now(&self) -> Millis {
        Millis(jiff::Timestamp::now().as_millisecond())
    }

    fn fill(&self, buf: &mut [u8]) {
        if let Err(e) = getrandom::fill(buf) {
            // Going on with guessable secrets would be worse than stopping.
            tracing::error!("the system gives no randomness: {e}");
            std::process::abort();
        }
    }
}

/// Everything that requests share.
#[derive(Debug)]
pub struct App {
    /// The configuration.
    pub config: Config,
    /// The ledger.
    pub ledger: Ledger,
    /// Blobs.
    pub blobs: Blobs,
    /// Tells other programs what happens.
    pub webhooks: Arc<webhooks::Sender>,
    /// Photos made small.
    pub thumbnails: pictures::Thumbnails,
    /// Cancelled when the server stops: streams end.
    pub stopping: CancellationToken,
    /// Listeners to `/v1/events`.
    pub(crate) listeners: AtomicUsize,
    pub(crate) device_rate: Rate<DeviceId>,
    pub(crate) nonce_rate: Rate<DeviceId>,
    pub(crate) login_rate: Rate<IpAddr>,
    pub(crate) lockout: Lockout,
    pub(crate) sync_log: SyncLog,
    pub(crate) oidc: oidc::Oidc,
}

impl App {
    /// Puts an app together.
    ///
    /// # Errors
    /// Where the blob store cannot be opened.
    pub fn new(config: Config, ledger: Ledger) -> Result<Arc<Self>> {
        let blobs = Blobs::open(&config)?;
        let webhooks = Arc::new(webhooks::Sender::new(&config));
        let thumbnails = pictures::Thumbnails::new(config.thumbnails_path());
        Ok(Arc::new(Self {
            config,
            ledger,
            blobs,
            webhooks,
            thumbnails,
            stopping: CancellationToken::new(),
            listeners: AtomicUsize::new(0),
            device_rate: Rate::default(),
            nonce_rate: Rate::default(),
            login_rate: Rate::default(),
            lockout: Lockout::default(),
            sync_log: SyncLog::default(),
            oidc: oidc::Oidc::new()?,
        }))
    }

    /// The session cookie's name. Browsers take `__Host-` only with `Secure`.
    pub fn cookie_name(&self) -> &'static str {
        if self.config.secure_cookies() { "__Host-onsite" } else { "onsite" }
    }
}

/// A server that runs.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub addr: SocketAddr,
    /// What its requests share.
    pub app: Arc<App>,
    handle: axum_server::Handle<SocketAddr>,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Running {
    /// Stops taking requests, finishes those under way, and waits for that.
    ///
    /// # Errors
    /// Where serving had failed.
    pub async fn shutdown(self) -> Result<()> {
        self.app.stopping.cancel();
        self.handle.graceful_shutdown(Some(Duration::from_secs(self.app.config.limits.shutdown_seconds)));
        self.wait().await
    }

    /// Waits until the server has ended.
    ///
    /// # Errors
    /// Where serving failed.
    pub async fn wait(self) -> Result<()> {
        let served = self.task.await.map_err(|e| Error::Internal(format!("serving: {e}")))?.map_err(Error::File);
        // What the last requests left to be written.
        self.app.sync_log.flush(&self.app.ledger).await?;
        served
    }
}

/// Opens the storage that the configuration names, with the ledger over it.
///
/// # Errors
/// Where the data folder cannot be made; the storage's.
pub async fn open(config: &Config) -> Result<Ledger> {
    blobs::make_durably(&config.data)?;
    Ok(open_at(&config.database_path())?.with_aside_quota(config.limits.set_aside_per_device))
}

/// A ledger over the SQLite file at `path`, which is created where there is none.
pub(crate) fn open_at(path: &std::path::Path) -> Result<Ledger> {
    Ok(Ledger::new(open_storage(path)?, Arc::new(SystemEnv)))
}

/// The SQLite storage at `path`.
pub(crate) fn open_storage(path: &std::path::Path) -> Result<Arc<dyn storage::Storage>> {
    Ok(Arc::new(storage::SqliteStorage::open(path)?))
}

/// Starts a whole server in this process; on port 0 it takes a free one.
///
/// # Errors
/// Where the configuration, storage, certificate or address does not serve.
pub async fn serve(config: Config) -> Result<Running> {
    let ledger = open(&config).await?;
    serve_with(config, ledger).await
}

/// As [`serve`], over a ledger of one's own.
///
/// # Errors
/// As [`serve`].
pub async fn serve_with(mut config: Config, ledger: Ledger) -> Result<Running> {
    config.check().map_err(|e| Error::bad("bad_config", "", e.to_string()))?;
    metrics::install();
    let listener = std::net::TcpListener::bind(config.listen).map_err(|e| Error::listen(config.listen, e))?;
    listener.set_nonblocking(true)?;
    let addr = listener.local_addr()?;
    // So that addresses made from it are right on port 0 too.
    config.listen = addr;
    let tls = match (&config.tls.certificate, &config.tls.key) {
        (Some(certificate), Some(key)) => Some(
            axum_server::tls_rustls::RustlsConfig::from_pem_file(certificate, key)
                .await
                .map_err(|e| Error::bad("bad_config", "tls", format!("certificate or key cannot be used: {e}")))?,
        ),
        _ => None,
    };
    let app = App::new(config, ledger)?;
    let service = routes::router(Arc::clone(&app)).into_make_service_with_connect_info::<SocketAddr>();
    let handle = axum_server::Handle::new();
    let task = match tls {
        Some(tls) => {
            let server = axum_server::from_tcp_rustls(listener, tls)?
                .handle(handle.clone())
                .first_request_timeout(FIRST_REQUEST);
            tokio::spawn(server.serve(service))
        }
        None => {
            let server = axum_server::from_tcp(listener)?.handle(handle.clone()).first_request_timeout(FIRST_REQUEST);
            tokio::spawn(server.serve(service))
        }
    };
    tokio::spawn(housekeeping(Arc::clone(&app)));
    let noting = Arc::clone(&app);
    tokio::spawn(async move { noting.sync_log.run(&noting.ledger, &noting.stopping).await });
    let sender = Arc::clone(&app.webhooks);
    tokio::spawn(sender.run(app.ledger.clone(), app.stopping.clone()));
    Ok(Running { addr, app, handle, task })
}

/// Drops what has ended, now and then, until the server stops.
async fn housekeeping(app: Arc<App>) {
    let mut minutes = 0u64;
    loop {
        tokio::select! {
            () = app.stopping.cancelled() => return,
            () = tokio::time::sleep(Duration::from_secs(60)) => {}
        }
        metrics::upkeep();
        minutes += 1;
        if !minutes.is_multiple_of(10) {
            continue;
        }
        let now = app.ledger.env().now();
        if let Err(e) = app.ledger.storage().expire_records(now).await {
            tracing::warn!("dropping ended records: {e}");
        }
        if let Err(e) = app.blobs.sweep(now).await {
            tracing::warn!("dropping old uploads: {e}");
        }
    }
}
