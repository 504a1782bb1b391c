//! The `podrt` command.

fn main() {}
