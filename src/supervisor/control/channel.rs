//! Messages of any length over a socket that keeps message borders: packets of
//! one byte that tells whether more follow, and up to [`PACKET_BYTES`].

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::protocol::{Message, PROTOCOL_VERSION, Version};
use crate::supervisor::error::{Error, Result};
use crate::sys::SyscallError;
use crate::sys::fd::{receive_with_fds, send_with_fds};

const PACKET_BYTES: usize = 16 * 1024;
/// More than any message needs: arguments of exec are at most 2 MiB.
const MESSAGE_BYTES: usize = 4 << 20;
/// A request brings at most three descriptors.
const MESSAGE_FDS: usize = 8;

const LAST: u8 = 0;
const MORE: u8 = 1;

/// One end of a connection: what is half received, what is still to be sent.
#[derive(Debug)]
pub struct Channel {
    socket: OwnedFd,
    inbox: Vec<u8>,
    inbox_fds: Vec<OwnedFd>,
    outbox: VecDeque<Packet>,
}

#[derive(Debug)]
struct Packet {
    bytes: Vec<u8>,
    fds: Vec<OwnedFd>,
}

/// What a look into the socket brought.
#[derive(Debug)]
pub enum Received<T> {
    Message(T, Vec<OwnedFd>),
    /// Nothing whole has come yet (a socket that does not block).
    Nothing,
    /// The other end is closed.
    End,
}

/// What became of the packets to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    All,
    /// The other end is slow: try again when the socket is writable.
    Some,
    /// The other end is gone.
    Gone,
}

impl Channel {
    #[must_use]
    pub fn new(socket: OwnedFd) -> Self {
        Self { socket, inbox: Vec::new(), inbox_fds: Vec::new(), outbox: VecDeque::new() }
    }

    /// Puts a message in the outbox; its descriptors go with the first packet.
    pub fn queue<T: Serialize>(&mut self, body: &T, fds: Vec<OwnedFd>) {
        let message = Message { version: PROTOCOL_VERSION, body };
        // Only maps with keys that are no strings fail, and there are none.
        let bytes = serde_json::to_vec(&message).unwrap_or_default();
        let mut fds = Some(fds);
        let mut chunks = bytes.chunks(PACKET_BYTES).peekable();
        while let Some(chunk) = chunks.next() {
            let flag = if chunks.peek().is_some() { MORE } else { LAST };
            let bytes = std::iter::once(flag).chain(chunk.iter().copied()).collect();
            self.outbox.push_back(Packet { bytes, fds: fds.take().unwrap_or_default() });
        }
    }

    /// True while there is something to send.
    #[must_use]
    pub fn has_outgoing(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Sends from the outbox what the socket takes.
    pub fn flush(&mut self) -> Flushed {
        while let Some(packet) = self.outbox.front() {
            let fds: Vec<BorrowedFd> = packet.fds.iter().map(AsFd::as_fd).collect();
            match send_with_fds(self.socket.as_fd(), &packet.bytes, &fds) {
                Ok(()) => drop(self.outbox.pop_front()),
                Err(error) if error.errno == Errno::EAGAIN => return Flushed::Some,
                Err(_) => return Flushed::Gone,
            }
        }
        Flushed::All
    }

    /// The next message, waiting for it unless the socket does not block.
    ///
    /// # Errors
    /// [`Error::Garbled`] and [`Error::Version`] for a message that is not
    /// understood, [`Error::Socket`].
    pub fn receive<T: DeserializeOwned>(&mut self) -> Result<Received<T>> {
        let mut packet = vec![0; PACKET_BYTES + 1];
        loop {
            let (length, fds) = match receive_with_fds(self.socket.as_fd(), &mut packet) {
                Ok((0, _)) => return Ok(Received::End),
                Ok(received) => received,
                Err(error) => return unless_over(error),
            };
            self.inbox_fds.extend(fds);
            self.inbox.extend_from_slice(&packet[1..length]);
            if self.inbox.len() > MESSAGE_BYTES || self.inbox_fds.len() > MESSAGE_FDS {
                return Err(Error::Garbled { cause: "message too large".to_owned() });
            }
            if packet[0] == LAST {
                let fds = std::mem::take(&mut self.inbox_fds);
                let body = parse(&std::mem::take(&mut self.inbox))?;
                return Ok(Received::Message(body, fds));
            }
        }
    }
}

fn unless_over<T>(error: SyscallError) -> Result<Received<T>> {
    match error.errno {
        Errno::EAGAIN => Ok(Received::Nothing),
        Errno::ECONNRESET => Ok(Received::End),
        _ => Err(Error::Garbled { cause: error.to_string() }),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let garbled = |e: serde_json::Error| Error::Garbled { cause: e.to_string() };
    // The body of another version may have another shape: look there first.
    let Version { version } = serde_json::from_slice(bytes).map_err(garbled)?;
    if version != PROTOCOL_VERSION {
        return Err(Error::Version { found: version });
    }
    serde_json::from_slice::<Message<T>>(bytes).map(|message| message.body).map_err(garbled)
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::super::protocol::{ExecOrder, Request};
    use super::*;
    use crate::sys::fd::{pipe, seqpacket_pair};
    use crate::sys::pipe::set_nonblocking;

    fn pair() -> (Channel, Channel) {
        let (a, b) = seqpacket_pair().unwrap();
        (Channel::new(a), Channel::new(b))
    }

    fn exec(argument: String) -> Request {
        Request::Exec(ExecOrder {
            container: "c".to_owned(),
            command: vec![argument],
            tty: false,
            size: None,
        })
    }

    #[test]
    fn a_message_of_any_length_arrives_whole_with_its_descriptors() {
        for length in [0, 1, PACKET_BYTES, 100_000] {
            let (mut client, mut server) = pair();
            let request = exec("x".repeat(length));
            client.queue(&request, vec![pipe().unwrap().0]);
            assert_eq!(client.flush(), Flushed::All);
            match server.receive::<Request>().unwrap() {
                Received::Message(received, fds) => {
                    assert_eq!((received, fds.len()), (request, 1));
                }
                other => panic!("{other:?}"),
            }
            drop(client);
            assert!(matches!(server.receive::<Request>().unwrap(), Received::End));
        }
    }

    #[test]
    fn a_slow_reader_leaves_packets_in_the_outbox() {
        let (mut client, mut server) = pair();
        set_nonblocking(&client).unwrap();
        set_nonblocking(&server).unwrap();
        let request = exec("x".repeat(1 << 20));
        client.queue(&request, Vec::new());
        assert_eq!(client.flush(), Flushed::Some);
        loop {
            match server.receive::<Request>().unwrap() {
                Received::Message(received, _) => break assert_eq!(received, request),
                Received::Nothing => drop(client.flush()),
                Received::End => panic!("closed"),
            }
        }
        drop(server);
        client.queue(&request, Vec::new());
        assert_eq!(client.flush(), Flushed::Gone);
    }

    #[test]
    fn what_is_no_message_of_this_version_is_refused() {
        let (client, mut server) = pair();
        for text in ["\0{\"version\":2,\"body\":{\"new\":1}}", "\0{}", "\0", "\0{\"version\":1}"] {
            send_with_fds(client.as_fd(), text.as_bytes(), &[]).unwrap();
        }
        let refusal = server.receive::<Request>().unwrap_err();
        assert!(matches!(refusal, Error::Version { found: 2 }));
        for _ in 0..3 {
            assert!(matches!(server.receive::<Request>(), Err(Error::Garbled { .. })));
        }
    }
}
