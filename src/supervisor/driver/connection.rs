//! The connections that network probes and hooks make: one step for each time
//! the kernel reports something.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::errno::Errno;

use crate::supervisor::probe::grpc::{self, Call, Fed, Health};
use crate::supervisor::probe::http::{self, Agent, Answer, Response};
use crate::supervisor::probe::url::{Url, bracketed};
use crate::sys::SyscallError;
use crate::sys::error::describe;
use crate::sys::event::Interest;
use crate::sys::fd::pipe;
use crate::sys::helper::run_program;
use crate::sys::pipe::set_nonblocking;
use crate::sys::tcp::begin_connect;

/// Steps for one report of the kernel: a server that sends without end must not
/// keep the loop from its deadlines.
const STEPS: usize = 64;

/// A line of `podrt-net`.
const FAILURE_BYTES: usize = 1024;

/// A connection under way, and what it is for.
#[derive(Debug)]
pub struct Connection {
    socket: Socket,
    address: SocketAddr,
    state: State,
}

/// What is written to and read from.
#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    /// The plain side of `podrt-net`, which has the connection.
    Secured {
        plain: UnixStream,
        failure: File,
    },
}

/// A connection that has been handed to `podrt-net`.
#[derive(Debug)]
pub struct Handed {
    /// To be reaped when it has ended, which it does with the connection.
    pub process: OwnedFd,
}

#[derive(Debug)]
enum State {
    /// tcpSocket: to be connected is all.
    Knocking,
    Connecting {
        request: Vec<u8>,
        dialogue: Dialogue,
        /// To be secured before the request is sent.
        tls: bool,
    },
    Sending {
        request: Vec<u8>,
        sent: usize,
        dialogue: Dialogue,
    },
    Receiving {
        dialogue: Dialogue,
    },
}

/// What the other side is expected to say.
#[derive(Debug)]
enum Dialogue {
    Http(Response),
    Grpc(Call),
}

/// What a connection is made for.
#[derive(Debug, Clone, Copy)]
pub enum Talk<'a> {
    Knock,
    Http(Asked<'a>),
    /// A health check of this service.
    Grpc(&'a str),
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
    /// Connected: to be handed to `podrt-net`, then step again.
    Secure,
    Answered(Answer),
    Health(Health),
    /// In the words of Go's client, without the `Get "…": ` in front.
    Failed(String),
}

impl Connection {
    /// Begins to connect and to talk.
    ///
    /// # Errors
    /// In the words of Go's dialler.
    pub fn begin(address: SocketAddr, talk: Talk<'_>) -> Result<Self, String> {
        let socket = begin_connect(address).map_err(|error| dial_error(address, error.errno))?;
        let state = match talk {
            Talk::Knock => State::Knocking,
            Talk::Http(Asked { url, headers, agent }) => State::Connecting {
                request: http::request(url, headers, agent),
                dialogue: Dialogue::Http(Response::default()),
                tls: url.https,
            },
            Talk::Grpc(service) => State::Connecting {
                request: grpc::request(&address.to_string(), service),
                dialogue: Dialogue::Grpc(Call::default()),
                tls: false,
            },
        };
        Ok(Self { socket: Socket::Tcp(socket), address, state })
    }

    /// Hands the connection, which is to be let go by the event loop, to
    /// `podrt-net`, and talks to that one from now on.
    ///
    /// # Errors
    /// The failed call.
    pub fn secure(&mut self, program: BorrowedFd, host: &str) -> Result<Handed, SyscallError> {
        let failed = |call: &'static str| move |e: io::Error| SyscallError::from_io(call, "", &e);
        let (plain, theirs) = UnixStream::pair().map_err(failed("socketpair"))?;
        plain.set_nonblocking(true).map_err(failed("ioctl"))?;
        let (failure, told) = pipe()?;
        set_nonblocking(&failure)?;
        let stdio = [self.as_fd(), theirs.as_fd(), told.as_fd()];
        let process = run_program(program, &["podrt-net", host], stdio)?;
        self.socket = Socket::Secured { plain, failure: File::from(failure) };
        Ok(Handed { process })
    }

    /// Goes on as far as the kernel lets it, or for a while.
    pub fn step(&mut self) -> Step {
        for _ in 0..STEPS {
            let state = std::mem::replace(&mut self.state, State::Knocking);
            let (next, step) = match state {
                State::Knocking => match self.connected() {
                    Ok(()) => return Step::Connected,
                    Err(message) => return Step::Failed(message),
                },
                State::Connecting { request, dialogue, tls } => match self.connected() {
                    Ok(()) if tls => {
                        (State::Sending { request, sent: 0, dialogue }, Some(Step::Secure))
                    }
                    Ok(()) => (State::Sending { request, sent: 0, dialogue }, None),
                    Err(message) => return Step::Failed(message),
                },
                State::Sending { request, sent, dialogue } => self.send(request, sent, dialogue),
                State::Receiving { dialogue } => self.receive(dialogue),
            };
            self.state = next;
            if let Some(step) = step {
                return step;
            }
        }
        Step::Wait(match self.state {
            State::Receiving { .. } => Interest::Read,
            _ => Interest::Write,
        })
    }

    fn send(&mut self, request: Vec<u8>, sent: usize, dialogue: Dialogue) -> (State, Option<Step>) {
        let (sent, step) = match self.socket.write(&request[sent..]) {
            Ok(count) => (sent + count, None),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                (sent, Some(Step::Wait(Interest::Write)))
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => (sent, None),
            // What is wrong is read.
            Err(_) if self.is_secured() => (request.len(), None),
            Err(e) => (sent, Some(Step::Failed(self.io_error("write", &e)))),
        };
        if sent == request.len() {
            return (State::Receiving { dialogue }, step);
        }
        (State::Sending { request, sent, dialogue }, step)
    }

    fn receive(&mut self, mut dialogue: Dialogue) -> (State, Option<Step>) {
        let mut bytes = [0; 4096];
        let step = match self.socket.read(&mut bytes) {
            Ok(0) => Some(self.failure().map_or_else(|| dialogue.close(), Step::Failed)),
            Ok(count) => {
                let (replies, step) = dialogue.feed(&bytes[..count]);
                // Acknowledgements: a peer that does not read them does not
                // answer either.
                let _ = self.socket.write(&replies);
                step
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Some(Step::Wait(Interest::Read)),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => None,
            // It ended with something of ours unread.
            Err(_) if self.is_secured() => {
                Some(self.failure().map_or_else(|| dialogue.close(), Step::Failed))
            }
            Err(e) => Some(Step::Failed(self.io_error("read", &e))),
        };
        (State::Receiving { dialogue }, step)
    }

    fn is_secured(&self) -> bool {
        matches!(self.socket, Socket::Secured { .. })
    }

    /// What `podrt-net` has told of a failure, before it hung up.
    fn failure(&mut self) -> Option<String> {
        let Socket::Secured { failure, .. } = &mut self.socket else { return None };
        let mut bytes = [0; FAILURE_BYTES];
        let count = failure.read(&mut bytes).unwrap_or(0);
        (count > 0).then(|| String::from_utf8_lossy(&bytes[..count]).into_owned())
    }

    fn connected(&self) -> Result<(), String> {
        let Socket::Tcp(socket) = &self.socket else { return Ok(()) };
        match socket.take_error() {
            Ok(None) => Ok(()),
            Ok(Some(error)) | Err(error) => Err(dial_error(self.address, errno_of(&error))),
        }
    }

    fn io_error(&self, call: &str, error: &io::Error) -> String {
        let own = match &self.socket {
            Socket::Tcp(socket) => socket.local_addr().ok(),
            Socket::Secured { .. } => None,
        };
        let own = own.map(|own| own.to_string()).unwrap_or_default();
        let text = describe(errno_of(error));
        format!("{call} tcp {own}->{}: {call}: {text}", self.address)
    }

    /// True once the server of a health check has shown that it is one.
    #[must_use]
    pub fn is_greeted(&self) -> bool {
        matches!(&self.state, State::Receiving { dialogue: Dialogue::Grpc(call) } if call.is_greeted())
    }

    /// The text of a connection that did not come up in time.
    #[must_use]
    pub fn dial_timeout(&self) -> String {
        format!("dial tcp {}: i/o timeout", self.address)
    }
}

impl Dialogue {
    /// What to send back, and what is known now.
    fn feed(&mut self, bytes: &[u8]) -> (Vec<u8>, Option<Step>) {
        match self {
            Self::Http(response) => match response.feed(bytes) {
                Ok(answer) => (Vec::new(), answer.map(Step::Answered)),
                Err(malformed) => (Vec::new(), Some(Step::Failed(malformed.to_string()))),
            },
            Self::Grpc(call) => match call.feed(bytes) {
                Fed::Send(replies) => (replies, None),
                Fed::Done(health) => (Vec::new(), Some(Step::Health(health))),
            },
        }
    }

    fn close(&mut self) -> Step {
        match self {
            Self::Http(response) => match response.close() {
                Ok(answer) => Step::Answered(answer),
                Err(malformed) => Step::Failed(malformed.to_string()),
            },
            Self::Grpc(call) => Step::Health(call.close()),
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Tcp(socket) => socket.as_fd(),
            Socket::Secured { plain, .. } => plain.as_fd(),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.read(bytes),
            Self::Secured { plain, .. } => plain.read(bytes),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.write(bytes),
            Self::Secured { plain, .. } => plain.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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
