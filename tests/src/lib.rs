//! The product by real processes: real servers, real device files, links that can be cut.
//!
//! `world` builds it; `stories` (one module each) live in it. `disk` remembers
//! and fails; `power` cuts it off.
//! `fuzz` feeds it foreign bytes.
//! `sim` lives the same product without processes or time, on one seed.

pub mod disk;
pub mod fuzz;
pub mod link;
pub mod power;
pub mod sim;
mod vfs;
pub mod world;

#[cfg(all(test, target_os = "linux"))]
mod durable;
#[cfg(test)]
mod failing;
#[cfg(test)]
mod stories;
