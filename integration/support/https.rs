//! A web server on this machine, with TLS or without, for probes to ask.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rustls::crypto;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, ServerConnection};

/// How a server treats those who ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manner {
    /// A status and, for a redirect, where it leads.
    Answers(u16, String),
    /// Takes the connection and says nothing.
    Hangs,
}

/// A server that lives as long as the test program.
#[derive(Debug)]
pub struct Server {
    pub port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    manner: Manner,
    asked: Vec<String>,
    /// Connections that are kept open, so that who asked waits.
    hanging: Vec<TcpStream>,
}

impl Server {
    /// At any port of that address.
    pub fn start(address: &str, tls: bool, manner: Manner) -> Self {
        let listener = TcpListener::bind((address, 0)).expect("bind");
        let port = listener.local_addr().expect("address").port();
        let state = State { manner, asked: Vec::new(), hanging: Vec::new() };
        let state = Arc::new(Mutex::new(state));
        let (config, shared) = (tls.then(config), Arc::clone(&state));
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (config, state) = (config.clone(), Arc::clone(&shared));
                std::thread::spawn(move || serve(connection, config, &state));
            }
        });
        Self { port, state }
    }

    pub fn change(&self, manner: Manner) {
        let mut state = self.state.lock().expect("state");
        state.manner = manner;
        state.hanging.clear();
    }

    /// The head of every request so far.
    pub fn asked(&self) -> Vec<String> {
        self.state.lock().expect("state").asked.clone()
    }
}

fn serve(mut connection: TcpStream, config: Option<Arc<ServerConfig>>, state: &Mutex<State>) {
    {
        let mut state = state.lock().expect("state");
        if state.manner == Manner::Hangs {
            state.hanging.push(connection);
            return;
        }
    }
    // A client that gives up is no failure of the server's.
    let _ = match config {
        Some(config) => {
            let mut session = ServerConnection::new(config).expect("session");
            let answered = answer(&mut rustls::Stream::new(&mut session, &mut connection), state);
            session.send_close_notify();
            answered.and_then(|()| session.complete_io(&mut connection).map(drop))
        }
        None => answer(&mut connection, state),
    };
    // Closing with something unread would reset what is on its way.
    let _ = connection.shutdown(Shutdown::Write);
    let _ = connection.set_read_timeout(Some(Duration::from_secs(30)));
    let _ = std::io::copy(&mut connection, &mut std::io::sink());
}

fn answer(stream: &mut (impl Read + Write), state: &Mutex<State>) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0; 1];
    // What is no request is answered too, as web servers do.
    while !head.ends_with(b"\r\n\r\n") && !head.starts_with(&[22]) {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let manner = {
        let mut state = state.lock().expect("state");
        state.asked.push(String::from_utf8_lossy(&head).into_owned());
        state.manner.clone()
    };
    let Manner::Answers(status, location) = manner else { return Ok(()) };
    let location = match location.as_str() {
        "" => String::new(),
        to => format!("Location: {to}\r\n"),
    };
    let body = "x".repeat(20_000);
    write!(
        stream,
        "HTTP/1.1 {status} So\r\n{location}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    stream.flush()
}

/// With a certificate that is none: nobody shall look at it.
fn config() -> Arc<ServerConfig> {
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).expect("key");
    let key = PrivatePkcs8KeyDer::from(key.as_ref().to_vec());
    let signing = crypto::ring::sign::any_ecdsa_type(&key.into()).expect("key");
    let certificate = CertificateDer::from(b"no certificate".to_vec());
    let own = Own(Arc::new(CertifiedKey::new(vec![certificate], signing)));
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(own));
    Arc::new(config)
}

#[derive(Debug)]
struct Own(Arc<CertifiedKey>);

impl ResolvesServerCert for Own {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}
