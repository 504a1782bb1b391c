//! The pod shim: one per pod, started by the keeper.

fn main() {}
