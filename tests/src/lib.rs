//! The product by real processes: real servers, real device files, links that can be cut.
//!
//! `world` builds it; `stories` (one module each) live in it. `disk` remembers
//! and fails; `power` cuts it off.

pub mod disk;
pub mod link;
pub mod power;
mod vfs;
pub mod world;

#[cfg(all(test, target_os = "linux"))]
mod durable;
#[cfg(test)]
mod failing;
#[cfg(test)]
mod stories;
