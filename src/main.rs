//! The `podrt` command.

use std::process::ExitCode;

use podrt::sys::arena::Arena;

/// Most runs are over before an allocator could gain by taking memory back.
#[global_allocator]
static ALLOCATOR: Arena = Arena::new();

fn main() -> ExitCode {
    podrt::cli::run()
}
