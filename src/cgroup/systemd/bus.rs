//! A connection to systemd's own socket: calls one after the other, no bus in
//! between.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::wire::{self, Body, Message};
use crate::cgroup::Error;
use crate::sys::SyscallError;

/// How long systemd may take to answer, or to end a job.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Bus {
    stream: UnixStream,
    path: PathBuf,
    serial: u32,
}

/// What a call came to.
pub(super) enum Answer {
    Done,
    /// systemd's own name and words for what is wrong.
    Refused {
        name: String,
        text: String,
    },
}

impl Bus {
    /// The system's manager for root, else the user's.
    pub(super) fn connect() -> Result<Self, Error> {
        let path = socket();
        let failed = |call| {
            let path = path.clone();
            move |error: std::io::Error| bus_error(call, &path, &error)
        };
        let stream = UnixStream::connect(&path).map_err(failed("connect"))?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(failed("setsockopt"))?;
        let mut bus = Self { stream, path, serial: 0 };
        bus.authenticate()?;
        Ok(bus)
    }

    /// The kernel tells systemd who we are; the number is only a claim. BEGIN
    /// goes along: systemd leaves a call that it reads together with BEGIN
    /// lying until more comes, so BEGIN must be behind it when we call.
    fn authenticate(&mut self) -> Result<(), Error> {
        let uid = nix::unistd::geteuid().to_string();
        let claim: String = uid.bytes().map(|byte| format!("{byte:02x}")).collect();
        self.write(format!("\0AUTH EXTERNAL {claim}\r\nBEGIN\r\n").as_bytes())?;
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") && line.len() < 512 {
            let mut byte = [0];
            self.read(&mut byte)?;
            line.push(byte[0]);
        }
        if !line.starts_with(b"OK ") {
            return Err(self.malformed());
        }
        Ok(())
    }

    /// Calls `member` and waits for the answer, with `job` until a job of that
    /// unit has ended too: how.
    pub(super) fn call(
        &mut self,
        member: &str,
        signature: &str,
        body: &Body,
        job: Option<&str>,
    ) -> Result<(Answer, Option<String>), Error> {
        self.serial += 1;
        let message = wire::call(self.serial, member, signature, body);
        self.write(&message)?;
        let mut answer = None;
        let mut ended = None;
        loop {
            match self.receive()? {
                Message::Return { to } if to == self.serial => answer = Some(Answer::Done),
                Message::Error { to, name, text } if to == self.serial => {
                    return Ok((Answer::Refused { name, text }, None));
                }
                Message::JobRemoved { unit, result } if job == Some(unit.as_str()) => {
                    ended = Some(result);
                }
                _ => {}
            }
            if (job.is_none() || ended.is_some())
                && let Some(answer) = answer.take()
            {
                return Ok((answer, ended));
            }
        }
    }

    fn receive(&mut self) -> Result<Message, Error> {
        let mut message = vec![0; wire::HEAD];
        self.read(&mut message)?;
        let length = wire::whole_length(&message).ok_or_else(|| self.malformed())?;
        message.resize(length.max(wire::HEAD), 0);
        let mut rest = message.split_off(wire::HEAD);
        self.read(&mut rest)?;
        message.append(&mut rest);
        wire::parse(&message).ok_or_else(|| self.malformed())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.stream.write_all(bytes).map_err(|error| bus_error("write", &self.path, &error))
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.stream.read_exact(bytes).map_err(|error| bus_error("read", &self.path, &error))
    }

    fn malformed(&self) -> Error {
        let source = SyscallError::new("read", "no D-Bus message", nix::errno::Errno::EPROTO);
        Error::Bus { path: self.path.clone(), source }
    }
}

pub(super) fn socket() -> PathBuf {
    let user = std::env::var_os("XDG_RUNTIME_DIR").filter(|_| !nix::unistd::geteuid().is_root());
    match user {
        Some(folder) => Path::new(&folder).join("systemd/private"),
        None => PathBuf::from("/run/systemd/private"),
    }
}

fn bus_error(call: &'static str, path: &Path, error: &std::io::Error) -> Error {
    Error::Bus { path: path.to_owned(), source: SyscallError::from_io(call, "", error) }
}
