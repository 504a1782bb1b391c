//! The `podrt` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    podrt::cli::run()
}
