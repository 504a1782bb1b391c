//! The pod shim: one per pod, started by the keeper.

use std::process::ExitCode;

fn main() -> ExitCode {
    podrt::supervisor::run()
}
