//! Builds the keeper and pause programs that the executables embed.

fn main() {}
