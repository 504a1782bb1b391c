//! A gRPC server of one method: the health check.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::http::listen;
use crate::{Outcome, Words};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Answers every health check with `--status N` (1 is SERVING) or, as a failed
/// call, with `--code N`. One connection at a time.
pub fn serve(words: &[String]) -> Outcome {
    let words = Words::new(words, &[]);
    let listener = listen(words.need(0, "PORT")?)?;
    let status: u8 = words.parsed("--status")?.unwrap_or(1);
    let code: Option<u32> = words.parsed("--code")?;
    println!("serving");
    for stream in listener.incoming().flatten() {
        // A client that goes away is no reason to end.
        let _ = converse(stream, status, code);
    }
    Ok(0)
}

fn converse(mut stream: TcpStream, status: u8, code: Option<u32>) -> std::io::Result<()> {
    let mut preface = [0; 24];
    stream.read_exact(&mut preface)?;
    send(&mut stream, SETTINGS, 0, 0, &[])?;
    loop {
        let mut header = [0; 9];
        stream.read_exact(&mut header)?;
        let [a, b, c, kind, flags, stream_id @ ..] = header;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload)?;
        match kind {
            SETTINGS if flags & 1 == 0 => send(&mut stream, SETTINGS, 1, 0, &[])?,
            HEADERS | DATA if flags & END_STREAM != 0 => {
                answer(&mut stream, u32::from_be_bytes(stream_id), status, code)?;
            }
            _ => {}
        }
    }
}

fn answer(stream: &mut TcpStream, id: u32, status: u8, code: Option<u32>) -> std::io::Result<()> {
    // `:status: 200` is entry 8 of the static table.
    let mut head = vec![0x88];
    literal("content-type", "application/grpc", &mut head);
    if code.is_none() {
        send(stream, HEADERS, END_HEADERS, id, &head)?;
        send(stream, DATA, 0, id, &[0, 0, 0, 0, 2, 8, status])?;
        head.clear();
    }
    literal("grpc-status", &code.unwrap_or(0).to_string(), &mut head);
    literal("grpc-message", "as%20told", &mut head);
    send(stream, HEADERS, END_HEADERS | END_STREAM, id, &head)
}

/// A header that goes into no table.
fn literal(name: &str, value: &str, block: &mut Vec<u8>) {
    block.push(0);
    for text in [name, value] {
        block.push(text.len() as u8);
        block.extend_from_slice(text.as_bytes());
    }
}

fn send(
    stream: &mut TcpStream,
    kind: u8,
    flags: u8,
    id: u32,
    payload: &[u8],
) -> std::io::Result<()> {
    let [_, a, b, c] = (payload.len() as u32).to_be_bytes();
    let mut frame = vec![a, b, c, kind, flags];
    frame.extend_from_slice(&id.to_be_bytes());
    frame.extend_from_slice(payload);
    stream.write_all(&frame)
}
