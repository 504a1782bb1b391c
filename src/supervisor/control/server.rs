//! The shim's end of the control socket: connections, what they wait for, and
//! what they are sent. What a request means is decided by its reader.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;

use super::channel::{Channel, Flushed, Received};
use super::protocol::{Reply, Request};
use crate::model::ErrorKind;
use crate::store::StatusRecord;
use crate::supervisor::error::{Error, Result};
use crate::supervisor::token::{ClientId, Token};
use crate::sys::SyscallError;
use crate::sys::event::{Epoll, Interest};
use crate::sys::pipe::set_nonblocking;

/// All connections of a pod's clients.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    clients: BTreeMap<ClientId, Client>,
    next_id: u32,
}

#[derive(Debug)]
struct Client {
    channel: Channel,
    watching: Option<Watching>,
    waits_for_end: bool,
    interest: Interest,
}

/// How much a watcher has been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watching {
    /// The newest status is on its way.
    Told,
    /// A newer one waits until the outbox is empty.
    Behind,
}

/// What a connection brought.
#[derive(Debug)]
pub enum Incoming {
    Request(Request, Vec<OwnedFd>),
    /// The client is gone.
    Closed,
}

impl Server {
    /// Serves the listening socket that the keeper holds.
    ///
    /// # Errors
    /// `epoll_ctl`, `fcntl`.
    pub fn new(listener: OwnedFd, epoll: &Epoll<Token>) -> Result<Self> {
        let failed = |cause| Error::Launch { step: "serve control socket", cause };
        set_nonblocking(&listener).map_err(failed)?;
        epoll.add(&listener, Interest::Read, Token::Listener).map_err(failed)?;
        Ok(Self { listener: listener.into(), clients: BTreeMap::new(), next_id: 0 })
    }

    /// Takes in one new connection; the socket stays readable while there are
    /// more.
    ///
    /// # Errors
    /// `accept`, out of descriptors among them.
    pub fn accept(&mut self, epoll: &Epoll<Token>) -> Result<()> {
        let failed = |cause| Error::Launch { step: "accept client", cause };
        let socket = match self.listener.accept() {
            Ok((socket, _)) => OwnedFd::from(socket),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(e) => return Err(failed(SyscallError::from_io("accept4", "", &e))),
        };
        set_nonblocking(&socket).map_err(failed)?;
        let id = ClientId(self.next_id);
        self.next_id += 1;
        epoll.add(&socket, Interest::Read, Token::Client(id)).map_err(failed)?;
        let channel = Channel::new(socket);
        let interest = Interest::Read;
        let client = Client { channel, watching: None, waits_for_end: false, interest };
        self.clients.insert(id, client);
        Ok(())
    }

    /// What a readable connection says, one message at a time; a message that
    /// is not understood is answered here.
    pub fn receive(&mut self, id: ClientId, epoll: &Epoll<Token>) -> Option<Incoming> {
        let client = self.clients.get_mut(&id)?;
        match client.channel.receive() {
            Ok(Received::Message(request, fds)) => Some(Incoming::Request(request, fds)),
            Ok(Received::Nothing) => None,
            Ok(Received::End) => {
                self.clients.remove(&id);
                Some(Incoming::Closed)
            }
            Err(error) => {
                self.refuse(id, error.kind(), error.to_string(), epoll);
                None
            }
        }
    }

    /// Sends a reply; to a client that is gone, nothing happens.
    pub fn reply(&mut self, id: ClientId, reply: &Reply, fds: Vec<OwnedFd>, epoll: &Epoll<Token>) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.channel.queue(reply, fds);
            self.flush(id, None, epoll);
        }
    }

    /// Sends a refusal.
    pub fn refuse(&mut self, id: ClientId, kind: ErrorKind, message: String, epoll: &Epoll<Token>) {
        let reply = Reply::Failed { kind: kind.into(), message };
        self.reply(id, &reply, Vec::new(), epoll);
    }

    /// From now on the client is sent every status.
    pub fn watch(&mut self, id: ClientId, status: &StatusRecord, epoll: &Epoll<Token>) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.watching = Some(Watching::Behind);
            self.flush(id, Some(status), epoll);
        }
    }

    /// The client is told when nothing of the pod is left.
    pub fn wait_for_end(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.waits_for_end = true;
        }
    }

    /// Tells all watchers; one that has not read the last status yet gets the
    /// newest when it has.
    pub fn publish(&mut self, status: &StatusRecord, epoll: &Epoll<Token>) {
        for id in self.watchers() {
            if let Some(client) = self.clients.get_mut(&id) {
                client.watching = Some(Watching::Behind);
            }
            self.flush(id, Some(status), epoll);
        }
    }

    /// Tells all who wait for it that nothing of the pod is left, and returns
    /// copies of their connections: as long as somebody holds one, its client
    /// knows that the pod's processes are not all gone. A client that does not
    /// read sees only the end of the connection.
    pub fn announce_end(&mut self, epoll: &Epoll<Token>) -> Vec<OwnedFd> {
        let waiting = |client: &Client| client.waits_for_end || client.watching.is_some();
        let ids: Vec<ClientId> =
            self.clients.iter().filter(|(_, client)| waiting(client)).map(|(&id, _)| id).collect();
        let sockets = ids.iter().filter_map(|id| self.clients.get(id));
        let copies =
            sockets.filter_map(|client| client.channel.as_fd().try_clone_to_owned().ok()).collect();
        for id in ids {
            self.reply(id, &Reply::Ended, Vec::new(), epoll);
        }
        copies
    }

    /// True while somebody watches.
    #[must_use]
    pub fn has_watchers(&self) -> bool {
        self.clients.values().any(|client| client.watching.is_some())
    }

    /// Sends what waits, `newest` to a watcher that is behind, and waits for
    /// the socket to become writable if it has to.
    pub fn flush(&mut self, id: ClientId, newest: Option<&StatusRecord>, epoll: &Epoll<Token>) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        if let (Some(status), Some(Watching::Behind), false) =
            (newest, client.watching, client.channel.has_outgoing())
        {
            client.channel.queue(&Reply::Status(Box::new(status.clone())), Vec::new());
            client.watching = Some(Watching::Told);
        }
        let wanted = match client.channel.flush() {
            Flushed::Gone => {
                self.clients.remove(&id);
                return;
            }
            Flushed::All => Interest::Read,
            Flushed::Some => Interest::ReadWrite,
        };
        if wanted != client.interest {
            client.interest = wanted;
            // It was added when it was accepted, and lives.
            let _ = epoll.modify(client.channel.as_fd(), wanted, Token::Client(id));
        }
    }

    fn watchers(&self) -> Vec<ClientId> {
        let watching = self.clients.iter().filter(|(_, client)| client.watching.is_some());
        watching.map(|(&id, _)| id).collect()
    }
}
