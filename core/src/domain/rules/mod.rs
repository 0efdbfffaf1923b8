//! Commands decided: `decide` and the rules it asks.

mod roles;

use super::{Author, Command, Moment, Rejection, World, Write};

pub use roles::roles_for;

/// Decides a command: what is to be written, or why not. Reads the world, changes nothing.
pub fn decide(
    command: &Command,
    by: &Author,
    moment: &mut Moment<'_>,
    world: &dyn World,
) -> Result<Vec<Write>, Rejection> {
    let _ = (command, by, moment, world);
    Err(Rejection::new("not_built", "", "seam"))
}
