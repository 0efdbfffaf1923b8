//! The command `onsite`: see `onsite --help`.

use std::process::ExitCode;

// Bugs are planted in the simulation only.
const _: () = assert!(!onsite_core::planted::POSSIBLE, "a server has no place for planted bugs");

/// Documents are many small allocations that live for one message.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // A worker of the gate is this program too: with nothing around it, before anything is started.
    match onsite_server::gate::worker_limits(std::env::args_os()) {
        Some((memory, seconds)) => onsite_server::gate::work(memory, seconds),
        None => onsite_server::cli::run(),
    }
}
