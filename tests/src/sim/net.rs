//! Messages under way.

use onsite_core::domain::Sha256;
use onsite_core::sync::session::{Event, Failure};

/// What a phone asks.
#[derive(Clone)]
pub(super) enum Ask {
    /// `POST /v1/sync`.
    Sync(Vec<u8>),
    /// A part of a blob.
    Upload { blob: Sha256, size: u64, upload: String, offset: u64, part: Vec<u8> },
    /// All of a blob.
    Download { blob: Sha256 },
}

/// A message under way.
#[derive(Clone)]
pub(super) enum Packet {
    /// To the server.
    Ask { phone: usize, flight: u64, ask: Ask },
    /// Back: only the flight it belongs to hears it.
    Reply { phone: usize, flight: u64, event: Event },
}

/// The network is away.
pub(super) fn offline() -> Failure {
    Failure { code: "offline".into(), status: 0, retry_after: None }
}

/// The event of an exchange that failed.
pub(super) fn failed(ask: Option<&Ask>, failure: Failure) -> Event {
    match ask {
        Some(Ask::Upload { blob, .. } | Ask::Download { blob }) => {
            Event::BlobFailed { blob: *blob, failure, restart: false }
        }
        _ => Event::Failed(failure),
    }
}

/// A message as a newer version writes it: with a field nobody here knows.
pub(super) fn from_the_future(body: &mut Vec<u8>) {
    // A map of fewer than 23 fields says so in its first byte.
    if let Some(first) = body.first_mut()
        && (0xa0..0xb7).contains(first)
    {
        *first += 1;
        body.extend_from_slice(b"\x66future\xa1\x61x\x82\x01\xf6");
    }
}
