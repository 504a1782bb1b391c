//! `podrt-net HOST`: standard input is a connection to that host, standard
//! output the socket of whoever asks, standard error where a failure is told.

use std::io::{stderr, stdin, stdout};
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use nix::unistd::{Gid, Uid, geteuid};

use super::relay::relay;
use crate::sys::prctl;

/// Nobody: what a hostile server might make of this process is worth nothing.
const NOBODY: u32 = 65534;

/// Carries one connection, then ends: with a line on standard error, in the
/// words of Go's client, when it failed.
#[must_use]
pub fn run() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let result = match args.as_slice() {
        [_, host] => carry(host),
        _ => Err("usage: podrt-net HOST, started by podrt-shim".to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            use std::io::Write as _;
            // Nobody listens any more: nothing to do about that.
            let _ = stderr().write_all(message.as_bytes());
            ExitCode::FAILURE
        }
    }
}

fn carry(host: &str) -> Result<(), String> {
    if geteuid().is_root() {
        let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
        prctl::become_user(uid, gid, &[]).map_err(|error| error.to_string())?;
    }
    prctl::set_no_new_privs().map_err(|error| error.to_string())?;
    let own = |fd: std::io::Result<OwnedFd>| fd.map_err(|error| error.to_string());
    let network = TcpStream::from(own(stdin().as_fd().try_clone_to_owned())?);
    let asker = UnixStream::from(own(stdout().as_fd().try_clone_to_owned())?);
    relay(network, asker, host)
}
