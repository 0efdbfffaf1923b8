//! The native HTTP client: the crate's only network code.
