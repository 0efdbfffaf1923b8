//! The command `onsite`: see `onsite --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    onsite_server::cli::run()
}
