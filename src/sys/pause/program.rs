//! `pause`: holds a pod's namespaces and, where the pod shares one, is process
//! 1 of its pid namespace.
//!
//! | signal    | action                       |
//! |-----------|------------------------------|
//! | CHLD      | reap every ended child       |
//! | TERM, INT | end with 0                   |
//! | others    | stay blocked                 |
//!
//! Signals are blocked before anything else: one that arrives between exec and
//! the wait is kept by the kernel, also for a process 1 without handlers.

#![no_std]
#![no_main]
#![no_builtins]

#[path = "../tiny/mod.rs"]
#[allow(dead_code)]
mod tiny;

use tiny::calls::{self, SIGCHLD, SIGINT, SIGTERM, signal_bit};

#[unsafe(no_mangle)]
extern "C" fn podrt_main(_stack: *const usize) -> ! {
    calls::block_signals(u64::MAX);
    calls::set_name(c"pause");
    let awaited = signal_bit(SIGCHLD) | signal_bit(SIGTERM) | signal_bit(SIGINT);
    loop {
        match calls::wait_for_signal(awaited) as i32 {
            SIGTERM | SIGINT => calls::exit(0),
            // Also after a failed wait (EINTR by a tracer): reaping more often
            // than needed does no harm.
            _ => while calls::wait_any(calls::WEXITED | calls::WNOHANG).is_some() {},
        }
    }
}
