//! The gate's first steps: foreign bytes are measured before Automerge sees them.

use super::Header;
use crate::error::{Error, Result};

/// Largest change as sent, in bytes.
pub const MAX_CHANGE_BYTES: usize = 1 << 20;
/// Largest change inflated, in bytes.
pub const MAX_INFLATED: usize = 4 << 20;
/// Most operations of a change.
pub const MAX_OPS: u64 = 20_000;
/// Most parents of a change.
pub const MAX_DEPS: usize = 64;
/// Longest message of a change, in bytes.
pub const MAX_MESSAGE: usize = 200;
/// Largest snapshot as sent, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 16 << 20;
/// Largest snapshot inflated, in bytes.
pub const MAX_DOCUMENT_INFLATED: usize = 64 << 20;
/// Most operations of a snapshot.
pub const MAX_DOCUMENT_OPS: u64 = 2_000_000;

/// Screens a change.
///
/// # Errors
/// `BadChange` with a stable code.
pub fn screen(bytes: &[u8]) -> Result<Header> {
    let _ = bytes;
    Err(Error::BadChange { code: "malformed", detail: String::new() })
}

/// Screens a snapshot that a server sent.
///
/// # Errors
/// `BadChange` with a stable code.
pub fn screen_document(bytes: &[u8]) -> Result<()> {
    let _ = bytes;
    Ok(())
}
