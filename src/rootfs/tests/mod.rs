//! Root file systems made for real, each in a thread with a mount namespace of
//! its own: unshare(CLONE_NEWNS) and pivot_root(2) reach no other thread.

mod attacks;
mod devices;
mod mounts;
mod support;
mod whole;
