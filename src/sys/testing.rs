//! For tests of code that clones this process: a copy of a process with other
//! threads may find a lock of the allocator taken for ever.

use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

use super::process::exit_now;

/// Runs `work` in a process of its own that has no other threads, unlike the
/// harness.
///
/// # Panics
/// When it panics there.
pub(crate) fn alone(work: impl FnOnce()) {
    // SAFETY: the C library's fork leaves its allocator usable in the child
    // even when other threads are at work in it, and the child ends by _exit.
    match unsafe { fork() }.expect("fork") {
        ForkResult::Child => {
            // The harness would show what the panic says only for its own
            // process.
            set_hook(Box::new(|panic| {
                let _ = nix::unistd::write(std::io::stderr(), format!("{panic}\n").as_bytes());
            }));
            exit_now(catch_unwind(AssertUnwindSafe(work)).map_or(1, |()| 0))
        }
        ForkResult::Parent { child } => {
            let status = waitpid(child, None).expect("wait");
            assert_eq!(status, WaitStatus::Exited(child, 0), "see the panic above");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "see the panic above")]
    fn a_failure_of_work_alone_is_a_failure_of_the_test() {
        alone(|| assert_eq!(std::hint::black_box(1), 2, "on purpose"));
    }
}
