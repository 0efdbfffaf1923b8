//! The server's one error: each variant has a status and a stable code.

use onsite_core::domain::Rejection;

/// What can go wrong on the server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request is not of its form.
    #[error("{detail}")]
    Bad {
        /// Stable code.
        code: &'static str,
        /// The field concerned, if one.
        field: String,
        /// Why.
        detail: String,
    },
    /// Nobody is signed in, or the token has ended.
    #[error("sign in first: {0}")]
    Unauthorized(String),
    /// Signed in, but not allowed.
    #[error("not allowed: {0}")]
    Forbidden(String),
    /// The device was revoked.
    #[error("this device was revoked")]
    Revoked,
    /// There is no such thing in this company.
    #[error("not found: {0}")]
    NotFound(String),
    /// It exists already, or changed meanwhile.
    #[error("conflict: {detail}")]
    Conflict {
        /// Stable code.
        code: &'static str,
        /// Why.
        detail: String,
    },
    /// A rule refused the command.
    #[error("refused: {0}")]
    Refused(#[from] Rejection),
    /// Larger than the limit.
    #[error("too large: {0}")]
    TooLarge(String),
    /// More than this device may have waiting.
    #[error("over quota: {detail}")]
    Quota {
        /// Stable code.
        code: &'static str,
        /// Why.
        detail: String,
    },
    /// Too many requests.
    #[error("too many requests")]
    Busy {
        /// Milliseconds to wait.
        retry_after: i64,
    },
    /// Somebody else committed to the same document meanwhile: read again, try again.
    #[error("the document moved on")]
    Moved,
    /// A change or document is not well formed.
    #[error(transparent)]
    Core(onsite_core::Error),
    /// The disk is full.
    #[error("the disk is full")]
    DiskFull,
    /// There was no memory left for the database.
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
    /// Anything else of the database.
    #[error("database: {0}")]
    Database(String),
    /// Anything else of the file system.
    #[error("file: {0}")]
    File(#[source] std::io::Error),
    /// Something that must not happen.
    #[error("internal: {0}")]
    Internal(String),
}

/// The server's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A malformed request.
    pub fn bad(code: &'static str, field: &str, detail: impl Into<String>) -> Self {
        Error::Bad { code, field: field.into(), detail: detail.into() }
    }

    /// A place in a list that no list answered.
    pub fn bad_after() -> Self {
        Self::bad("bad_after", "after", "not a place that a list answered")
    }

    /// An address that cannot be listened on.
    pub fn listen(addr: std::net::SocketAddr, e: std::io::Error) -> Self {
        match e.kind() {
            std::io::ErrorKind::AddrInUse => Error::Conflict {
                code: "address_in_use",
                detail: format!("another program listens on {addr}: stop it, or listen elsewhere"),
            },
            kind => Error::File(std::io::Error::new(kind, format!("listen on {addr}: {e}"))),
        }
    }

    /// The stable code.
    pub fn code(&self) -> &str {
        match self {
            Error::Bad { code, .. } | Error::Conflict { code, .. } | Error::Quota { code, .. } => code,
            Error::Unauthorized(_) => "unauthorized",
            Error::Forbidden(_) => "forbidden",
            Error::Revoked => "device_revoked",
            Error::NotFound(_) => "not_found",
            Error::Refused(r) => &r.code,
            Error::TooLarge(_) => "too_large",
            Error::Busy { .. } => "busy",
            Error::Moved => "moved",
            Error::Core(e) => e.code(),
            Error::DiskFull => "disk_full",
            Error::OutOfMemory => "out_of_memory",
            Error::Locked => "database_locked",
            Error::Damaged(_) => "database_damaged",
            Error::TooNew { .. } => "database_too_new",
            Error::Database(_) => "database",
            Error::File(_) => "file",
            Error::Internal(_) => "internal",
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Error::Bad { code: "bad_content_type" | "no_thumbnail", .. } => 415,
            Error::Bad { .. } => 400,
            Error::Unauthorized(_) => 401,
            Error::Forbidden(_) | Error::Revoked => 403,
            Error::NotFound(_) => 404,
            Error::Conflict { .. } => 409,
            Error::TooLarge(_) | Error::Quota { .. } => 413,
            Error::Refused(_) => 422,
            Error::Busy { .. } => 429,
            Error::Core(e) => match e {
                onsite_core::Error::Refused(_) | onsite_core::Error::BadChange { .. } | onsite_core::Error::Rescue => {
                    422
                }
                onsite_core::Error::NotFound(_) => 404,
                onsite_core::Error::Invalid { .. } => 400,
                onsite_core::Error::DiskFull => 507,
                onsite_core::Error::Locked | onsite_core::Error::OutOfMemory => 503,
                _ => 500,
            },
            Error::DiskFull => 507,
            Error::Locked | Error::OutOfMemory | Error::Moved => 503,
            Error::Damaged(_) | Error::TooNew { .. } | Error::Database(_) | Error::File(_) | Error::Internal(_) => 500,
        }
    }
}

impl From<onsite_core::Error> for Error {
    fn from(e: onsite_core::Error) -> Self {
        use onsite_core::Error as C;
        match e {
            C::Refused(r) => Error::Refused(r),
            C::DiskFull => Error::DiskFull,
            C::OutOfMemory => Error::OutOfMemory,
            C::Locked => Error::Locked,
            C::Damaged(d) => Error::Damaged(d),
            C::TooNew { found, known } => Error::TooNew { found, known },
            other => Error::Core(other),
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(e: rusqlite::Error) -> Self {
        match onsite_core::Error::from(e) {
            onsite_core::Error::Database(e) => Error::Database(e.to_string()),
            onsite_core::Error::File(e) => Error::File(e),
            other => other.into(),
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Self {
        match onsite_core::Error::from(e) {
            onsite_core::Error::File(e) => Error::File(e),
            other => other.into(),
        }
    }
}

impl From<serde_json::Error> for Error {
    fn from(e: serde_json::Error) -> Self {
        Error::Internal(format!("json: {e}"))
    }
}
