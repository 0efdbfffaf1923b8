//! The product by real processes: real servers, real device files, links that can be cut.
//!
//! `world` builds it; `stories` (one module each) live in it.

pub mod link;
pub mod world;

#[cfg(test)]
mod stories;
