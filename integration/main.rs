//! Black-box tests of the built executables, and of the source tree's shape.
//!
//! The tests drive the real commands as root and leave the machine as it was.

mod rooms;
mod support;
