//! The connections that network probes and hooks make: one step for each time
//! the kernel reports something.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;

use crate::supervisor::probe::http::{self, Agent, Answer, Response};
use crate::supervisor::probe::url::{Url, bracketed};
use crate::sys::error::describe;
use crate::sys::event::Interest;
use crate::sys::tcp::begin_connect;

/// A connection under way, and what it is for.
#[derive(Debug)]
pub struct Connection {
    socket: TcpStream,
    address: SocketAddr,
    state: State,
}

#[derive(Debug)]
enum State {
    /// tcpSocket: to be connected is all.
    Knocking,
    Connecting {
        request: Vec<u8>,
    },
    Sending {
        request: Vec<u8>,
        sent: usize,
    },
    Receiving {
        response: Response,
    },
}

/// What an httpGet handler asks of the server.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub url: &'a Url,
    pub headers: &'a [(String, String)],
    pub agent: Agent,
}

/// What a step came to.
#[derive(Debug)]
pub enum Step {
    /// Wait for this, then step again.
    Wait(Interest),
    Connected,
    Answered(Answer),
    /// In the words of Go's client, without the `Get "…": ` in front.
    Failed(String),
}

impl Connection {
    /// Begins to connect, and to ask for `url` if there is one.
    ///
    /// # Errors
    /// In the words of Go's dialler.
    pub fn begin(address: SocketAddr, ask: Option<Asked<'_>>) -> Result<Self, String> {
        let socket = begin_connect(address).map_err(|error| dial_error(address, error.errno))?;
        let state = match ask {
            None => State::Knocking,
            Some(Asked { url, headers, agent }) => {
                State::Connecting { request: http::request(url, headers, agent) }
            }
        };
        Ok(Self { socket, address, state })
    }

    /// Goes on as far as the kernel lets it.
    pub fn step(&mut self) -> Step {
        loop {
            match &mut self.state {
                State::Knocking => {
                    return match self.connected() {
                        Ok(()) => Step::Connected,
                        Err(message) => Step::Failed(message),
                    };
                }
                State::Connecting { request } => {
                    let request = std::mem::take(request);
                    if let Err(message) = self.connected() {
                        return Step::Failed(message);
                    }
                    self.state = State::Sending { request, sent: 0 };
                }
                State::Sending { request, sent } => {
                    match self.socket.write(&request[*sent..]) {
                        Ok(count) => *sent += count,
                        Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                            return Step::Wait(Interest::Write);
                        }
                        Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                        Err(e) => return Step::Failed(self.io_error("write", &e)),
                    }
                    if *sent == request.len() {
                        self.state = State::Receiving { response: Response::default() };
                    }
                }
                State::Receiving { response } => {
                    let mut bytes = [0; 4096];
                    let answer = match self.socket.read(&mut bytes) {
                        Ok(0) => response.close().map(Some),
                        Ok(count) => response.feed(&bytes[..count]),
                        Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                            return Step::Wait(Interest::Read);
                        }
                        Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                        Err(e) => return Step::Failed(self.io_error("read", &e)),
                    };
                    match answer {
                        Ok(None) => {}
                        Ok(Some(answer)) => return Step::Answered(answer),
                        Err(malformed) => return Step::Failed(malformed.to_string()),
                    }
                }
            }
        }
    }

    fn connected(&self) -> Result<(), String> {
        match self.socket.take_error() {
            Ok(None) => Ok(()),
            Ok(Some(error)) | Err(error) => Err(dial_error(self.address, errno_of(&error))),
        }
    }

    fn io_error(&self, call: &str, error: &io::Error) -> String {
        let own = self.socket.local_addr().map_or_else(|_| String::new(), |own| own.to_string());
        let text = describe(errno_of(error));
        format!("{call} tcp {own}->{}: {call}: {text}", self.address)
    }

    /// The text of a connection that did not come up in time.
    #[must_use]
    pub fn dial_timeout(&self) -> String {
        format!("dial tcp {}: i/o timeout", self.address)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn errno_of(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

fn dial_error(address: SocketAddr, errno: Errno) -> String {
    format!("dial tcp {address}: connect: {}", describe(errno))
}

/// `host:port` as Go prints it.
#[must_use]
pub fn host_port(host: &str, port: u16) -> String {
    format!("{}:{port}", bracketed(host))
}
