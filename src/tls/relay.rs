//! Between a TLS connection and the socket of whoever asks, until one of them
//! has ended.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustls::ClientConnection;

use super::session::session;
use super::words::failure;
use crate::sys::error::describe;

/// How long a handshake may take, as Go's transport has it.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Carries bytes both ways until the server or the asker has ended.
///
/// # Errors
/// In the words of Go's client.
pub fn relay(network: TcpStream, asker: UnixStream, host: &str) -> Result<(), String> {
    let session = session(host).map_err(|error| failure(&error, &[]))?;
    network.set_nonblocking(true).map_err(|error| error.to_string())?;
    asker.set_nonblocking(false).map_err(|error| error.to_string())?;
    let begun = Instant::now();
    let mut relay = Relay { network, asker, session, first: Vec::new() };
    while relay.turn(begun)? == Turn::GoOn {}
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    GoOn,
    Over,
}

struct Relay {
    network: TcpStream,
    /// Read only when there is something: a write may wait, for the asker
    /// reads or hangs up.
    asker: UnixStream,
    session: ClientConnection,
    /// The first bytes that the server sent.
    first: Vec<u8>,
}

impl Relay {
    fn turn(&mut self, begun: Instant) -> Result<Turn, String> {
        let (network, asker) = self.wait(begun)?;
        if asker && self.take_in()? == Turn::Over {
            return Ok(Turn::Over);
        }
        let over = network && self.receive()? == Turn::Over;
        self.send()?;
        let told = self.pass_on()?;
        Ok(if over || told == Turn::Over { Turn::Over } else { Turn::GoOn })
    }

    /// Whether the network and the asker have something.
    fn wait(&self, begun: Instant) -> Result<(bool, bool), String> {
        let deadline = self.session.is_handshaking().then(|| begun + HANDSHAKE);
        let writes = self.session.wants_write();
        let wanted =
            if writes { PollFlags::POLLIN | PollFlags::POLLOUT } else { PollFlags::POLLIN };
        // More of the asker's only when what it said has been sent; that it
        // hangs up is told in any case.
        let from_asker = if writes { PollFlags::empty() } else { PollFlags::POLLIN };
        let mut fds = [
            PollFd::new(self.network.as_fd(), wanted),
            PollFd::new(self.asker.as_fd(), from_asker),
        ];
        let timeout = deadline.map_or(PollTimeout::NONE, |deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(format!("poll: {}", describe(errno))),
        }
        let ready = |fd: &PollFd| fd.revents().is_some_and(|flags| !flags.is_empty());
        let [network, asker] = [ready(&fds[0]), ready(&fds[1])];
        if !network && !asker && deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err("net/http: TLS handshake timeout".to_owned());
        }
        Ok((network, asker))
    }

    /// From the asker into the session.
    fn take_in(&mut self) -> Result<Turn, String> {
        let mut bytes = [0; 4096];
        match self.asker.read(&mut bytes) {
            Ok(0) => Ok(Turn::Over),
            Ok(count) => {
                let written = self.session.writer().write_all(&bytes[..count]);
                written.map(|()| Turn::GoOn).map_err(|error| error.to_string())
            }
            Err(error) if is_passing(&error) => Ok(Turn::GoOn),
            // It hung up with something unread.
            Err(_) => Ok(Turn::Over),
        }
    }

    /// From the network into the session.
    fn receive(&mut self) -> Result<Turn, String> {
        if self.first.is_empty() {
            let mut bytes = [0; 5];
            let count = self.network.peek(&mut bytes).unwrap_or(0);
            self.first.extend_from_slice(&bytes[..count]);
        }
        match self.session.read_tls(&mut self.network) {
            Ok(0) if self.session.is_handshaking() => return Err("EOF".to_owned()),
            Ok(0) => return Ok(Turn::Over),
            Ok(_) => {}
            Err(error) if is_passing(&error) => return Ok(Turn::GoOn),
            Err(error) => return Err(self.io_failure("read", &error)),
        }
        if let Err(error) = self.session.process_new_packets() {
            // The server is told why; if it does not listen, so be it.
            let _ = self.session.write_tls(&mut self.network);
            return Err(failure(&error, &self.first));
        }
        Ok(Turn::GoOn)
    }

    /// From the session to the network, as much as it takes now.
    fn send(&mut self) -> Result<(), String> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.network) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(self.io_failure("write", &error)),
            }
        }
        Ok(())
    }

    /// From the session to the asker.
    fn pass_on(&mut self) -> Result<Turn, String> {
        let mut bytes = [0; 4096];
        loop {
            match self.session.reader().read(&mut bytes) {
                // The server has said goodbye, or just gone.
                Ok(0) => break,
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
                Ok(count) => {
                    if self.asker.write_all(&bytes[..count]).is_err() {
                        return Ok(Turn::Over);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Turn::GoOn),
                Err(error) => return Err(error.to_string()),
            }
        }
        let _ = self.asker.shutdown(Shutdown::Write);
        Ok(Turn::Over)
    }

    fn io_failure(&self, call: &str, error: &io::Error) -> String {
        let text = |address: io::Result<std::net::SocketAddr>| {
            address.map_or_else(|_| String::new(), |address| address.to_string())
        };
        let (own, peer) = (text(self.network.local_addr()), text(self.network.peer_addr()));
        let cause = describe(Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)));
        format!("{call} tcp {own}->{peer}: {call}: {cause}")
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::sync::Arc;

    use ::ring::rand::SystemRandom;
    use ::ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
    use rustls::crypto::ring;
    use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
    use rustls::server::{ClientHello, ResolvesServerCert};
    use rustls::sign::CertifiedKey;
    use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion, version};

    use super::*;

    /// A key, and a certificate that is none.
    #[derive(Debug)]
    struct Self_(Arc<CertifiedKey>);

    impl ResolvesServerCert for Self_ {
        fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            Some(Arc::clone(&self.0))
        }
    }

    fn server(versions: &[&'static SupportedProtocolVersion]) -> ServerConnection {
        let key =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
                .unwrap();
        let key = PrivatePkcs8KeyDer::from(key.as_ref().to_vec());
        let signing = ring::sign::any_ecdsa_type(&key.into()).unwrap();
        let certificate = CertificateDer::from(b"no certificate".to_vec());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Self_(Arc::new(CertifiedKey::new(
                vec![certificate],
                signing,
            )))));
        ServerConnection::new(Arc::new(config)).unwrap()
    }

    /// A relay in a thread of its own: the server's end, the asker's, and how
    /// it ended.
    fn begin() -> (UnixStream, UnixStream, std::thread::JoinHandle<Result<(), String>>) {
        let (network, server) = UnixStream::pair().unwrap();
        let (theirs, asker) = UnixStream::pair().unwrap();
        let network = TcpStream::from(OwnedFd::from(network));
        let ended = std::thread::spawn(move || relay(network, theirs, "example.org"));
        (server, asker, ended)
    }

    #[test]
    fn bytes_come_through_both_ways_whatever_the_certificate() {
        for versions in [[&version::TLS12], [&version::TLS13]] {
            let (mut network, mut asker, ended) = begin();
            let mut session = server(&versions);
            asker.write_all(b"question").unwrap();
            let mut stream = rustls::Stream::new(&mut session, &mut network);
            let mut question = [0; 8];
            stream.read_exact(&mut question).unwrap();
            assert_eq!(&question, b"question");
            stream.write_all(&[b'x'; 100_000]).unwrap();
            session.send_close_notify();
            session.complete_io(&mut network).unwrap();
            assert_eq!(session.server_name(), Some("example.org"));
            let mut answer = Vec::new();
            asker.read_to_end(&mut answer).unwrap();
            assert_eq!(answer.len(), 100_000);
            assert_eq!(ended.join().unwrap(), Ok(()));
        }
    }

    #[test]
    fn a_server_that_speaks_no_tls_is_told_from_one_that_hangs_up() {
        let table: [(&[u8], &str); 3] = [
            (
                b"HTTP/1.1 400 Bad Request\r\n\r\n",
                "http: server gave HTTP response to HTTPS client",
            ),
            (b"SSH-2.0-OpenSSH\r\n", "tls: first record does not look like a TLS handshake"),
            (b"", "EOF"),
        ];
        for (bytes, want) in table {
            let (mut network, asker, ended) = begin();
            network.write_all(bytes).unwrap();
            network.shutdown(Shutdown::Write).unwrap();
            assert_eq!(ended.join().unwrap(), Err(want.to_owned()));
            drop(asker);
        }
    }

    #[test]
    fn it_ends_when_the_asker_does() {
        let (_network, asker, ended) = begin();
        drop(asker);
        assert_eq!(ended.join().unwrap(), Ok(()));
    }
}
