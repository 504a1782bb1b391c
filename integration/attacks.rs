//! Containers, images and neighbours that mean harm, as published attacks did.
//! Each shows that the attack fails, and where it can, that it would do what it
//! is meant to against something that nothing defends.
//!
//! Attacks on the making of a root file system alone are tested beside it.

mod exchange;
mod runtime_file;
mod streams;
mod users;
mod views;
