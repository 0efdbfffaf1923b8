//! The crate's one error: variants an app acts on, each with a stable code.

use crate::domain::Rejection;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No network, or the server did not answer.
    #[error("offline: {0}")]
    Offline(String),
    /// The server does not know this device any more, or the token is not valid.
    #[error("unauthorized: {0}")]
    Unauthorized(String),
    /// The server answered with a problem.
    #[error("server: {status} {code}: {detail}")]
    Server {
        /// HTTP status.
        status: u16,
        /// Stable code of the problem.
        code: String,
        /// Its detail.
        detail: String,
        /// Milliseconds to wait before trying again, if the server said so.
        retry_after: Option<i64>,
    },
    /// A rule refused the command.
    #[error("refused: {0}")]
    Refused(#[from] Rejection),
    /// There is no such thing on this device.
    #[error("not found: {0}")]
    NotFound(String),
    /// A value is not of its form.
    #[error("invalid {field}: {detail}")]
    Invalid {
        /// Which.
        field: &'static str,
        /// Why.
        detail: String,
    },
    /// Unsent work would be lost.
    #[error("unsent work: {0}")]
    UnsentWork(String),
    /// Not enrolled yet.
    #[error("this device is not enrolled")]
    NotEnrolled,
    /// A change or a document is not well formed or beyond the caps.
    #[error("bad change ({code}): {detail}")]
    BadChange {
        /// Stable code.
        code: &'static str,
        /// Why.
        detail: String,
    },
    /// The disk is full.
    #[error("the disk is full")]
    DiskFull,
    /// There was no memory left for the database; what was asked may be asked again.
    #[error("out of memory")]
    OutOfMemory,
    /// The database is locked by another process.
    #[error("the database is locked by another process")]
    Locked,
    /// The database is damaged.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// The database was written by a newer version.
    #[error("the database has schema {found}, this version knows {known}")]
    TooNew {
        /// Its schema version.
        found: i64,
        /// The newest known here.
        known: i64,
    },
    /// The rescue file cannot be opened with this passphrase, or is damaged.
    #[error("the rescue file cannot be opened: wrong passphrase or damaged")]
    Rescue,
    /// Anything else of the database.
    #[error("database: {0}")]
    Database(rusqlite::Error),
    /// Anything else of the file system.
    #[error("file: {0}")]
    File(#[source] std::io::Error),
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The error's stable code.
    pub fn code(&self) -> &str {
        match self {
            Error::Offline(_) => "offline",
            Error::Unauthorized(_) => "unauthorized",
            Error::Server { code, .. } => code,
            Error::Refused(r) => &r.code,
            Error::NotFound(_) => "not_found",
            Error::Invalid { .. } => "invalid",
            Error::UnsentWork(_) => "unsent_work",
            Error::NotEnrolled => "not_enrolled",
            Error::BadChange { code, .. } => code,
            Error::DiskFull => "disk_full",
            Error::OutOfMemory => "out_of_memory",
            Error::Locked => "database_locked",
            Error::Damaged(_) => "database_damaged",
            Error::TooNew { .. } => "database_too_new",
            Error::Rescue => "rescue_unreadable",
            Error::Database(_) => "database",
            Error::File(_) => "file",
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(e: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        match e.sqlite_error_code() {
            Some(Code::DiskFull) => Error::DiskFull,
            Some(Code::OutOfMemory) => Error::OutOfMemory,
            Some(Code::DatabaseBusy | Code::DatabaseLocked) => Error::Locked,
            Some(Code::DatabaseCorrupt | Code::NotADatabase) => Error::Damaged(e.to_string()),
            // The shared memory's file could not grow: what SQLite says where the disk is full.
            Some(Code::SystemIoFailure) if extended(&e) == Some(rusqlite::ffi::SQLITE_IOERR_SHMSIZE) => Error::DiskFull,
            Some(Code::SystemIoFailure) if extended(&e) == Some(rusqlite::ffi::SQLITE_IOERR_NOMEM) => {
                Error::OutOfMemory
            }
            Some(Code::SystemIoFailure | Code::CannotOpen) => Error::File(std::io::Error::other(e)),
            _ => Error::Database(e),
        }
    }
}

fn extended(e: &rusqlite::Error) -> Option<std::ffi::c_int> {
    e.sqlite_error().map(|e| e.extended_code)
}

impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Self {
        match e.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Error::DiskFull,
            _ => Error::File(e),
        }
    }
}
