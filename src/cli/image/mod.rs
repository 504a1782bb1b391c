//! `podrt image`: what is in the image store, and what goes in and out.

mod args;
mod config;
mod list;
mod transfer;
mod verbs;

pub use args::ImageArgs;
pub use verbs::run;
