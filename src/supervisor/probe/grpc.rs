//! The client of grpc probes, without I/O: one health check over HTTP/2
//! (RFC 9113) in plain text.

use super::hpack;

/// How a health check ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    Serving,
    /// The name of the status the service answered with.
    Other(&'static str),
    /// gRPC's code and message.
    Status {
        code: u32,
        message: String,
    },
    /// The other side does not speak the protocol.
    Broken(String),
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

/// Of SETTINGS and PING.
const ACK: u8 = 1;
/// Of DATA and HEADERS.
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

/// The largest frame: the peer is told of no larger one.
const FRAME_BYTES: usize = 16 * 1024;
/// Of a message: its head, and the field that says the status.
const MESSAGE_BYTES: usize = 5 + 2;
/// The only stream of the connection.
const STREAM: u32 = 1;

/// The bytes of a request: preface, settings, one call.
#[must_use]
pub fn request(authority: &str, service: &str) -> Vec<u8> {
    let mut bytes = PREFACE.to_vec();
    // SETTINGS_HEADER_TABLE_SIZE = 0, SETTINGS_ENABLE_PUSH = 0.
    frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0], &mut bytes);
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/grpc.health.v1.Health/Check"),
        (":authority", authority),
        ("content-type", "application/grpc"),
        ("user-agent", "kube-probe/1.36"),
        ("te", "trailers"),
    ] {
        hpack::encode(name, value, &mut block);
    }
    frame(HEADERS, END_HEADERS, STREAM, &block, &mut bytes);
    frame(DATA, END_STREAM, STREAM, &message(service), &mut bytes);
    bytes
}

/// `HealthCheckRequest { service }` with gRPC's prefix.
fn message(service: &str) -> Vec<u8> {
    let mut request = Vec::new();
    if !service.is_empty() {
        request.push(0x0a);
        let mut length = service.len();
        while length >= 128 {
            request.push(u8::try_from(length % 128 + 128).unwrap_or(0));
            length /= 128;
        }
        request.push(u8::try_from(length).unwrap_or(0));
        request.extend_from_slice(service.as_bytes());
    }
    let mut message = vec![0];
    message.extend_from_slice(&u32::try_from(request.len()).unwrap_or(0).to_be_bytes());
    message.extend_from_slice(&request);
    message
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8], output: &mut Vec<u8>) {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    output.extend_from_slice(&length[1..]);
    output.extend_from_slice(&[kind, flags]);
    output.extend_from_slice(&stream.to_be_bytes());
    output.extend_from_slice(payload);
}

/// A call whose answer is being received.
#[derive(Debug, Default)]
pub struct Call {
    /// The server's settings have come: it speaks HTTP/2.
    greeted: bool,
    received: Vec<u8>,
    /// Header blocks may come in several frames.
    block: Vec<u8>,
    ends_after_block: bool,
    data: Vec<u8>,
    status: Option<u32>,
    message: String,
}

/// What received bytes lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fed {
    /// Send these (acknowledgements), and go on receiving.
    Send(Vec<u8>),
    Done(Health),
}

impl Call {
    /// Takes in what was received.
    pub fn feed(&mut self, bytes: &[u8]) -> Fed {
        self.received.extend_from_slice(bytes);
        let mut replies = Vec::new();
        while let Some((kind, flags, stream, payload)) = self.next_frame() {
            if payload.len() > FRAME_BYTES {
                return Fed::Done(Health::Broken("frame too large".to_owned()));
            }
            match self.handle(kind, flags, stream, &payload, &mut replies) {
                Ok(false) => {}
                Ok(true) => return Fed::Done(self.result()),
                Err(problem) => return Fed::Done(Health::Broken(problem)),
            }
        }
        if self.received.len() > FRAME_BYTES + 9 || self.looks_like_http1() {
            return Fed::Done(Health::Broken("no HTTP/2".to_owned()));
        }
        Fed::Send(replies)
    }

    /// Whether the connection counts as made: gRPC's dialler waits for the
    /// server's settings.
    #[must_use]
    pub fn is_greeted(&self) -> bool {
        self.greeted
    }

    /// The connection was closed before the answer was whole.
    #[must_use]
    pub fn close(&self) -> Health {
        match self.status {
            Some(_) => self.result(),
            None => Health::Broken("connection closed".to_owned()),
        }
    }

    fn looks_like_http1(&self) -> bool {
        self.received.starts_with(b"HTTP/1")
    }

    fn next_frame(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let header: [u8; 9] = self.received.get(..9)?.try_into().ok()?;
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = header;
        let length = usize::try_from(u32::from_be_bytes([0, l0, l1, l2])).ok()?;
        let stream = u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]);
        let payload = self.received.get(9..9 + length)?.to_vec();
        self.received.drain(..9 + length);
        Some((kind, flags, stream, payload))
    }

    /// True once the call has ended.
    fn handle(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: &[u8],
        replies: &mut Vec<u8>,
    ) -> Result<bool, String> {
        match (kind, stream) {
            (SETTINGS, 0) if flags & ACK == 0 => {
                self.greeted = true;
                frame(SETTINGS, ACK, 0, &[], replies);
            }
            (PING, 0) if flags & ACK == 0 => frame(PING, ACK, 0, payload, replies),
            (GOAWAY, 0) => return Err("the server closes the connection".to_owned()),
            (RST_STREAM, STREAM) => return Err("the server closes the stream".to_owned()),
            (DATA, STREAM) => {
                let data = unpadded(flags, 0, payload).ok_or("bad padding")?;
                let room = MESSAGE_BYTES.saturating_sub(self.data.len());
                self.data.extend_from_slice(&data[..data.len().min(room)]);
                return Ok(flags & END_STREAM != 0);
            }
            (HEADERS, STREAM) => {
                let priority = if flags & PRIORITY == 0 { 0 } else { 5 };
                let block = unpadded(flags, priority, payload).ok_or("bad padding")?;
                self.block.extend_from_slice(block);
                self.ends_after_block = flags & END_STREAM != 0;
                return self.block_part(flags);
            }
            (CONTINUATION, STREAM) => {
                self.block.extend_from_slice(payload);
                return self.block_part(flags);
            }
            _ => {}
        }
        Ok(false)
    }

    fn block_part(&mut self, flags: u8) -> Result<bool, String> {
        if self.block.len() > FRAME_BYTES {
            return Err("headers too large".to_owned());
        }
        if flags & END_HEADERS == 0 {
            return Ok(false);
        }
        let block = std::mem::take(&mut self.block);
        let headers = hpack::decode(&block).map_err(|_| "headers cannot be read".to_owned())?;
        for (name, value) in headers {
            match name.as_str() {
                "grpc-status" => self.status = value.parse().ok(),
                "grpc-message" => self.message = percent_decoded(&value),
                _ => {}
            }
        }
        Ok(self.ends_after_block)
    }

    fn result(&self) -> Health {
        match self.status {
            Some(0) => self.health(),
            Some(code) => Health::Status { code, message: self.message.clone() },
            None => Health::Broken("no grpc-status".to_owned()),
        }
    }

    /// `HealthCheckResponse.status` of the message: field 1, a number; absent is
    /// 0.
    fn health(&self) -> Health {
        let status = match self.data.get(5..) {
            Some([0x08, status, ..]) => *status,
            _ => 0,
        };
        match status {
            1 => Health::Serving,
            2 => Health::Other("NOT_SERVING"),
            3 => Health::Other("SERVICE_UNKNOWN"),
            _ => Health::Other("UNKNOWN"),
        }
    }
}

/// A payload without its padding and what stands before it.
fn unpadded(flags: u8, before: usize, payload: &[u8]) -> Option<&[u8]> {
    if flags & PADDED == 0 {
        return payload.get(before..);
    }
    let (&padding, rest) = payload.split_first()?;
    rest.get(before..rest.len().checked_sub(usize::from(padding))?)
}

/// gRPC escapes what is no printable ASCII in messages.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if first == b'%' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The name of a code, as Go prints it.
#[must_use]
pub fn code_name(code: u32) -> String {
    const NAMES: [&str; 17] = [
        "OK",
        "Canceled",
        "Unknown",
        "InvalidArgument",
        "DeadlineExceeded",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "ResourceExhausted",
        "FailedPrecondition",
        "Aborted",
        "OutOfRange",
        "Unimplemented",
        "Internal",
        "Unavailable",
        "DataLoss",
        "Unauthenticated",
    ];
    let name = usize::try_from(code).ok().and_then(|code| NAMES.get(code));
    name.map_or_else(|| format!("Code({code})"), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An answer: headers, a message if there is one, trailers.
    fn answer(status: Option<u8>, trailers: &[(&str, &str)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        frame(SETTINGS, 0, 0, &[], &mut bytes);
        frame(SETTINGS, ACK, 0, &[], &mut bytes);
        if let Some(status) = status {
            let mut block = vec![0x88];
            hpack::encode("content-type", "application/grpc", &mut block);
            frame(HEADERS, END_HEADERS, STREAM, &block, &mut bytes);
            frame(DATA, 0, STREAM, &[0, 0, 0, 0, 2, 8, status], &mut bytes);
        }
        let mut block = Vec::new();
        for (name, value) in trailers {
            hpack::encode(name, value, &mut block);
        }
        frame(HEADERS, END_HEADERS | END_STREAM, STREAM, &block, &mut bytes);
        bytes
    }

    /// Feeds `bytes` one at a time.
    fn receive(bytes: &[u8]) -> Option<Health> {
        let mut call = Call::default();
        bytes.iter().find_map(|byte| match call.feed(&[*byte]) {
            Fed::Send(_) => None,
            Fed::Done(health) => Some(health),
        })
    }

    #[test]
    fn the_status_of_the_service_is_read() {
        let ok = [("grpc-status", "0")];
        assert_eq!(receive(&answer(Some(1), &ok)), Some(Health::Serving));
        assert_eq!(receive(&answer(Some(2), &ok)), Some(Health::Other("NOT_SERVING")));
        let refused = [("grpc-status", "12"), ("grpc-message", "unknown%20service \u{25}")];
        let want = Health::Status { code: 12, message: "unknown service %".to_owned() };
        assert_eq!(receive(&answer(None, &refused)), Some(want));
        assert_eq!((code_name(5), code_name(99)), ("NotFound".to_owned(), "Code(99)".to_owned()));
    }

    #[test]
    fn settings_and_pings_are_acknowledged() {
        let mut bytes = Vec::new();
        frame(SETTINGS, 0, 0, &[], &mut bytes);
        frame(PING, 0, 0, b"12345678", &mut bytes);
        let mut want = Vec::new();
        frame(SETTINGS, ACK, 0, &[], &mut want);
        frame(PING, ACK, 0, b"12345678", &mut want);
        let mut call = Call::default();
        assert!(!call.is_greeted());
        assert_eq!(call.feed(&bytes), Fed::Send(want));
        assert!(call.is_greeted());
    }

    #[test]
    fn a_message_without_end_is_not_kept() {
        let mut call = Call::default();
        let mut bytes = Vec::new();
        frame(DATA, 0, STREAM, &[0, 0, 0, 0, 2, 8, 1], &mut bytes);
        frame(DATA, 0, STREAM, &[0; FRAME_BYTES], &mut bytes);
        for _ in 0..100 {
            assert_eq!(call.feed(&bytes), Fed::Send(Vec::new()));
        }
        assert!(call.data.len() <= MESSAGE_BYTES, "{}", call.data.len());
        let mut block = Vec::new();
        hpack::encode("grpc-status", "0", &mut block);
        let mut trailers = Vec::new();
        frame(HEADERS, END_HEADERS | END_STREAM, STREAM, &block, &mut trailers);
        assert_eq!(call.feed(&trailers), Fed::Done(Health::Serving));
    }

    #[test]
    fn another_protocol_is_no_answer() {
        let http1 = Call::default().feed(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        assert!(matches!(http1, Fed::Done(Health::Broken(_))));
        assert!(matches!(Call::default().close(), Health::Broken(_)));
    }

    #[test]
    fn a_request_is_one_call_with_the_name_of_the_service() {
        let bytes = request("10.0.0.5:50051", "db");
        assert!(bytes.starts_with(PREFACE));
        assert!(bytes.ends_with(&[0, 0, 0, 0, 4, 0x0a, 2, b'd', b'b']));
        assert!(request("h", "").ends_with(&[0, 0, 0, 0, 0]));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut call = Call::default();
            let _ = call.feed(&bytes);
            let _ = call.close();
        }
    }
}
