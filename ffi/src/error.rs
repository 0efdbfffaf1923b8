//! The one error.

use onsite_core::Error as Core;

/// What can go wrong, by what an app does about it. `code` is stable: the
/// same as the message key `error.<code>` or `reject.<code>`.
#[derive(Debug, thiserror::Error, uniffi::Error)]
pub enum OnsiteError {
    /// No network, or no answer: what was written stays queued. Try again later.
    #[error("offline: {detail}")]
    Offline {
        /// In words, for a log.
        detail: String,
    },
    /// The server does not know this device any more: enrol again.
    #[error("unauthorized: {detail}")]
    Unauthorized {
        /// In words, for a log.
        detail: String,
    },
    /// The server answered with a problem.
    #[error("the server answered {status} {code}: {detail}")]
    Server {
        /// HTTP status.
        status: u16,
        /// Stable code.
        code: String,
        /// In words, for a log.
        detail: String,
        /// Milliseconds to wait before trying again, where the server said so.
        retry_after_ms: Option<i64>,
    },
    /// A rule refused the command; nothing was written. Show it at its field.
    #[error("refused ({code}) {field}: {detail}")]
    Refused {
        /// Stable code.
        code: String,
        /// The field concerned; empty where it is none in particular.
        field: String,
        /// In words, in English.
        detail: String,
    },
    /// There is no such thing on this device.
    #[error("not found: {detail}")]
    NotFound {
        /// What.
        detail: String,
    },
    /// A value is not of its form; nothing was done.
    #[error("invalid {field}: {detail}")]
    Invalid {
        /// Which value.
        field: String,
        /// Why.
        detail: String,
    },
    /// Unsent work would be lost: sync, or export a rescue file, first.
    #[error("unsent work: {detail}")]
    UnsentWork {
        /// How much.
        detail: String,
    },
    /// Not enrolled yet.
    #[error("this device is not enrolled")]
    NotEnrolled,
    /// The disk is full; nothing was half written.
    #[error("the disk is full")]
    DiskFull,
    /// The records are open elsewhere.
    #[error("the database is locked by another process")]
    Locked,
    /// The records are damaged or of a newer version: keep the file, call for help.
    #[error("the records cannot be read ({code}): {detail}")]
    Unreadable {
        /// Stable code.
        code: String,
        /// In words, for a log.
        detail: String,
    },
    /// The records are encrypted, and this key does not open them, or none was given. Nothing was touched; a file
    /// whose beginning is damaged answers the same.
    #[error("the records are encrypted with another key")]
    WrongKey,
    /// A rescue file that cannot be opened with this passphrase, or is damaged.
    #[error("the rescue file cannot be opened: wrong passphrase or damaged")]
    Rescue,
    /// The call was cancelled by its token. What had been done before stays done.
    #[error("cancelled")]
    Cancelled,
    /// The engine was shut down.
    #[error("the engine was shut down")]
    ShutDown,
    /// Anything else: a defect, or the file system.
    #[error("failed ({code}): {detail}")]
    Failed {
        /// Stable code.
        code: String,
        /// In words, for a log.
        detail: String,
    },
}

/// Results of the engine.
pub(crate) type Result<T> = std::result::Result<T, OnsiteError>;

impl OnsiteError {
    pub(crate) fn invalid(field: &str, detail: impl ToString) -> Self {
        Self::Invalid { field: field.to_owned(), detail: detail.to_string() }
    }
}

impl From<Core> for OnsiteError {
    fn from(e: Core) -> Self {
        let (code, words) = (e.code().to_owned(), e.to_string());
        match e {
            Core::Offline(detail) => Self::Offline { detail },
            Core::Unauthorized(detail) => Self::Unauthorized { detail },
            Core::Server { status, code, detail, retry_after } => {
                Self::Server { status, code, detail, retry_after_ms: retry_after }
            }
            Core::Refused(r) => Self::Refused { code: r.code, field: r.field, detail: r.detail },
            Core::NotFound(detail) => Self::NotFound { detail },
            Core::Invalid { field, detail } => Self::invalid(field, detail),
            Core::UnsentWork(detail) => Self::UnsentWork { detail },
            Core::NotEnrolled => Self::NotEnrolled,
            Core::DiskFull => Self::DiskFull,
            Core::Locked => Self::Locked,
            Core::Damaged(_) | Core::TooNew { .. } => Self::Unreadable { code, detail: words },
            Core::Rescue => Self::Rescue,
            _ => Self::Failed { code, detail: words },
        }
    }
}
