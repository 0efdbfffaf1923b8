//! The product by real processes: real servers, real device files, links that can be cut.
//!
//! `world` builds it; `stories` (one module each) live in it.

pub mod disk;
pub mod link;
pub mod power;
mod vfs;
pub mod world;

#[cfg(test)]
mod failing;
#[cfg(test)]
mod stories;
