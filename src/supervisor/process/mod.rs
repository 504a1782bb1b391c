//! What a container's process is given: its environment and arguments
//! ([`mod@env`], [`env_file`]), what the downward API tells ([`downward`]).

pub mod downward;
pub mod env;
pub mod env_file;
