//! Bugs planted on purpose, to see that the tests catch them.
//!
//! Only with the feature `planted`, which no program but the simulation turns
//! on, and then only by a call of `plant`: neither environment nor
//! configuration can. Without it [`on`] is the constant `false`, and the
//! server's program does not compile with it.

/// A bug that can be planted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Bug {
    /// The server acknowledges a push whose commit came to nothing.
    AckBeforeCommit = 1,
    /// The server logs a change again that it has.
    DedupeSkipped,
    /// A file that may be a copy goes on under its old actor.
    ActorReused,
    /// The log's numbers leave a gap.
    CursorGap,
    /// A phone asks for news only when poked.
    PokeOnly,
    /// A document that leaves the scope goes with its unsent edits.
    PurgeUnsent,
    /// Compaction deletes changes in one transaction and puts the snapshot in the next.
    SnapshotLate,
    /// The phone takes refused edits out, and keeps them nowhere.
    RefusalForgotten,
    /// The server refuses edits, and keeps them nowhere.
    AsideForgotten,
    /// A phone is answered from another company's log.
    WrongTenant,
    /// A photo counts as received once the server has its first bytes.
    BlobEarly,
    /// A job's stage is stored when it is written, not derived when a visit changes.
    StageStored,
    /// The phone takes its own clock for the server's.
    ClockTrusted,
    /// An exchange that failed counts as acknowledged.
    AckOnFailure,
    /// A restored server is not compared with.
    ReconcileIgnored,
    /// A restored server's newer seal replaces the one over what it lost.
    SealReplaced,
    /// Innocent edits that rest on refused ones are not written again.
    RestForgotten,
    /// A change is stored, and not queued to be sent.
    NotQueued,
}

impl Bug {
    /// Every one.
    pub const ALL: &'static [Self] = &[
        Self::AckBeforeCommit,
        Self::DedupeSkipped,
        Self::ActorReused,
        Self::CursorGap,
        Self::PokeOnly,
        Self::PurgeUnsent,
        Self::SnapshotLate,
        Self::RefusalForgotten,
        Self::AsideForgotten,
        Self::WrongTenant,
        Self::BlobEarly,
        Self::StageStored,
        Self::ClockTrusted,
        Self::AckOnFailure,
        Self::ReconcileIgnored,
        Self::SealReplaced,
        Self::RestForgotten,
        Self::NotQueued,
    ];

    /// What it does, in a line.
    pub const fn what(self) -> &'static str {
        match self {
            Self::AckBeforeCommit => "the server acknowledges a push whose commit came to nothing",
            Self::DedupeSkipped => "the server logs a change again that it has",
            Self::ActorReused => "a file that may be a copy goes on under its old actor",
            Self::CursorGap => "the log's numbers leave a gap",
            Self::PokeOnly => "a phone asks for news only when poked",
            Self::PurgeUnsent => "a document that leaves the scope goes with its unsent edits",
            Self::SnapshotLate => "compaction deletes changes in one transaction and puts the snapshot in the next",
            Self::RefusalForgotten => "the phone takes refused edits out and keeps them nowhere",
            Self::AsideForgotten => "the server refuses edits and keeps them nowhere",
            Self::WrongTenant => "a phone is answered from another company's log",
            Self::BlobEarly => "a photo counts as received once the server has its first bytes",
            Self::StageStored => "a job's stage is stored when it is written, not derived when a visit changes",
            Self::ClockTrusted => "the phone takes its own clock for the server's",
            Self::AckOnFailure => "an exchange that failed counts as acknowledged",
            Self::ReconcileIgnored => "a restored server is not compared with",
            Self::SealReplaced => "a restored server's newer seal replaces the one over what it lost",
            Self::RestForgotten => "innocent edits that rest on refused ones are not written again",
            Self::NotQueued => "a change is stored and not queued to be sent",
        }
    }
}

/// Whether bugs can be planted in this build.
pub const POSSIBLE: bool = cfg!(feature = "planted");

#[cfg(feature = "planted")]
static PLANTED: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);

/// Plants a bug in this process, or (with `None`) takes it out.
#[cfg(feature = "planted")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.store(bug.map_or(0, |b| b as u8), std::sync::atomic::Ordering::SeqCst);
}

/// Whether this bug is planted.
#[cfg(feature = "planted")]
#[inline]
pub fn on(bug: Bug) -> bool {
    PLANTED.load(std::sync::atomic::Ordering::Relaxed) == bug as u8
}

/// Whether this bug is planted: never, in this build.
#[cfg(not(feature = "planted"))]
#[inline]
pub const fn on(_: Bug) -> bool {
    false
}
