//! Servers and clients for probes, ports and networks.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::{Outcome, Words, parse, seconds};

/// Answers every request, one at a time.
///
/// `--file-toggle FILE`: 200 while FILE exists, else 503. `--echo`: the body is
/// the request's head. `--log FILE`: a line for each request.
pub fn serve(words: &[String]) -> Outcome {
    let words = Words::new(words, &["--echo"]);
    let listener = listen(words.need(0, "PORT")?)?;
    let status: u16 = words.parsed("--status")?.unwrap_or(200);
    let delay = words.flag("--delay").map(seconds).transpose()?.unwrap_or_default();
    println!("serving");
    for stream in listener.incoming() {
        // A client that goes away is no reason to end.
        let Ok(mut stream) = stream else { continue };
        let Ok(head) = read_head(&stream) else { continue };
        std::thread::sleep(delay);
        if let Some(path) = words.flag("--log") {
            let line = head.lines().next().unwrap_or_default();
            let log = OpenOptions::new().append(true).create(true).open(path);
            log.and_then(|mut log| writeln!(log, "{line}")).map_err(|e| format!("{path}: {e}"))?;
        }
        let status = match words.flag("--file-toggle") {
            Some(path) if !fs::exists(path).unwrap_or(false) => 503,
            _ if words.flag("--redirect").is_some() => 302,
            _ => status,
        };
        let location = words.flag("--redirect").map(|url| format!("Location: {url}\r\n"));
        let body = if words.switch("--echo") {
            head
        } else {
            words.flag("--body").map_or_else(|| format!("status {status}\n"), str::to_owned)
        };
        let _ = write!(
            stream,
            "HTTP/1.1 {status} Fixture\r\nContent-Length: {}\r\nConnection: close\r\n{}\r\n{body}",
            body.len(),
            location.unwrap_or_default(),
        );
    }
    Ok(0)
}

/// Prints the answer's status line and body; 0 for a status below 400.
pub fn get(words: &[String]) -> Outcome {
    let words = Words::new(words, &[]);
    let address = words.need(0, "ADDRESS:PORT")?;
    let path = words.word(1).unwrap_or("/");
    let mut stream = connect(address)?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").map_err(|e| e.to_string())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|error| error.to_string())?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let line = head.lines().next().unwrap_or_default();
    println!("{line}");
    print!("{body}");
    let status: u16 = parse(line.split(' ').nth(1).unwrap_or_default())?;
    Ok(u8::from(status >= 400))
}

/// Accepts connections and closes them again.
pub fn tcp_listen(words: &[String]) -> Outcome {
    let listener = listen(Words::new(words, &[]).need(0, "PORT")?)?;
    println!("listening");
    for stream in listener.incoming() {
        drop(stream);
    }
    Ok(0)
}

pub fn tcp_connect(words: &[String]) -> Outcome {
    connect(Words::new(words, &[]).need(0, "ADDRESS:PORT")?)?;
    println!("connected");
    Ok(0)
}

/// All addresses, of both families where there is IPv6.
pub fn listen(port: &str) -> Result<TcpListener, String> {
    let port = parse(port)?;
    TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))
        .or_else(|_| TcpListener::bind(("0.0.0.0", port)))
        .map_err(|error| format!("listen on {port}: {error}"))
}

fn connect(address: &str) -> Result<TcpStream, String> {
    let failed = |error: std::io::Error| format!("connect to {address}: {error}");
    let stream = TcpStream::connect(address).map_err(failed)?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(failed)?;
    Ok(stream)
}

fn read_head(stream: &TcpStream) -> std::io::Result<String> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut head = String::new();
    let mut lines = BufReader::new(stream.take(64 << 10));
    while lines.read_line(&mut head)? > 2 {}
    Ok(head)
}
