//! The HTTP/1.1 client of httpGet probes and hooks, without I/O: what to send,
//! and what the bytes that come back mean.

use super::url::Url;

/// What is read of a body; the rest is not looked at.
const BODY_BYTES: usize = 10 * 1024;
/// More than any server's headers.
const HEAD_BYTES: usize = 64 * 1024;
/// More than that much of a body takes in the smallest chunks.
const CHUNKS_BYTES: usize = 128 * 1024;

/// Who asks, as the header says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agent {
    Probe,
    Lifecycle,
}

impl Agent {
    fn name(self) -> &'static str {
        match self {
            Self::Probe => "kube-probe/1.36",
            Self::Lifecycle => "kube-lifecycle/1.36",
        }
    }
}

/// The bytes of a request: a connection of its own for each, as the kubelet
/// does it.
#[must_use]
pub fn request(url: &Url, headers: &[(String, String)], agent: Agent) -> Vec<u8> {
    let find = |name: &str| headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
    let host = find("host").map_or_else(|| url.authority(), |(_, value)| value.clone());
    let mut text = format!("GET {} HTTP/1.1\r\nHost: {host}\r\n", url.target());
    if find("user-agent").is_none() {
        text.push_str(&format!("User-Agent: {}\r\n", agent.name()));
    }
    if find("accept").is_none() {
        text.push_str("Accept: */*\r\n");
    }
    for (name, value) in headers {
        let dropped = name.eq_ignore_ascii_case("host")
            || (name.eq_ignore_ascii_case("accept") && value.is_empty());
        if !dropped {
            // A line break in a value would make two headers of one.
            let value: String = value.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
            text.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    text.push_str("Connection: close\r\n\r\n");
    text.into_bytes()
}

/// An answer that is being received.
#[derive(Debug, Default)]
pub struct Response {
    received: Vec<u8>,
    head: Option<Head>,
}

#[derive(Debug)]
struct Head {
    status: u16,
    location: Option<String>,
    framing: Framing,
    /// Where the body begins.
    length: usize,
}

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

/// A whole answer, or as much of it as is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub location: Option<String>,
    pub body: Vec<u8>,
}

/// Why bytes are no answer, in the words of Go's client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Malformed {
    /// The connection was closed before anything was answered.
    Eof,
    UnexpectedEof,
    NoHttp(String),
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Eof => f.write_str("EOF"),
            Self::UnexpectedEof => f.write_str("unexpected EOF"),
            Self::NoHttp(line) => write!(
                f,
                "net/http: HTTP/1.x transport connection broken: malformed HTTP response {line:?}"
            ),
        }
    }
}

impl Response {
    /// Takes in what was received; `Some` once enough is there.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<Answer>, Malformed> {
        self.received.extend_from_slice(bytes);
        self.answer(false)
    }

    /// The connection was closed.
    ///
    /// # Errors
    /// [`Malformed`], when the answer was not whole.
    pub fn close(&mut self) -> Result<Answer, Malformed> {
        if self.received.is_empty() {
            return Err(Malformed::Eof);
        }
        self.answer(true)?.ok_or(Malformed::UnexpectedEof)
    }

    fn answer(&mut self, closed: bool) -> Result<Option<Answer>, Malformed> {
        while self.head.is_none() {
            let Some(head) = parse_head(&self.received)? else {
                let too_long = self.received.len() > HEAD_BYTES;
                return if too_long { Err(Malformed::UnexpectedEof) } else { Ok(None) };
            };
            if (100..200).contains(&head.status) && head.status != 101 {
                // An interim answer: the real one follows.
                self.received.drain(..head.length);
            } else {
                self.head = Some(head);
            }
        }
        let Some(head) = &self.head else { return Ok(None) };
        let rest = &self.received[head.length..];
        let body = match head.framing {
            Framing::Length(length) if rest.len() >= length.min(BODY_BYTES) => {
                Some(rest[..length.min(BODY_BYTES)].to_vec())
            }
            Framing::Length(_) if closed => return Err(Malformed::UnexpectedEof),
            Framing::UntilClose if closed || rest.len() >= BODY_BYTES => {
                Some(rest[..rest.len().min(BODY_BYTES)].to_vec())
            }
            Framing::Chunked => match chunked(rest) {
                None if rest.len() > CHUNKS_BYTES => return Err(Malformed::UnexpectedEof),
                body => body,
            },
            Framing::Length(_) | Framing::UntilClose => None,
        };
        let (status, location) = (head.status, head.location.clone());
        Ok(body.map(|body| Answer { status, location, body }))
    }
}

/// Status line and headers, once they are whole.
fn parse_head(bytes: &[u8]) -> Result<Option<Head>, Malformed> {
    let Some((end, gap)) = find_blank_line(bytes) else {
        let start = &bytes[..bytes.len().min(5)];
        if !b"HTTP/".starts_with(start) {
            return Err(no_http(bytes));
        }
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = text.split('\n').map(|line| line.trim_end_matches('\r'));
    let status = lines.next().and_then(parse_status).ok_or_else(|| no_http(bytes))?;
    let mut head = Head { status, location: None, framing: Framing::UntilClose, length: end + gap };
    let mut chunked = false;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        match name.trim().to_ascii_lowercase().as_str() {
            "location" => head.location = Some(value.to_owned()),
            "content-length" => {
                head.framing = value.parse().map_or(Framing::UntilClose, Framing::Length);
            }
            "transfer-encoding" => chunked |= value.to_ascii_lowercase().ends_with("chunked"),
            _ => {}
        }
    }
    if chunked {
        head.framing = Framing::Chunked;
    }
    if matches!(status, 100..200 | 204 | 304) {
        head.framing = Framing::Length(0);
    }
    Ok(Some(head))
}

/// Where the headers end, and the length of the blank line after them.
fn find_blank_line(bytes: &[u8]) -> Option<(usize, usize)> {
    let crlf = bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| (at, 4));
    let lf = bytes.windows(2).position(|two| two == b"\n\n").map(|at| (at, 2));
    match (crlf, lf) {
        (Some(crlf), Some(lf)) => Some(if crlf.0 < lf.0 { crlf } else { lf }),
        (found, None) | (None, found) => found,
    }
}

/// `HTTP/1.1 200 OK`.
fn parse_status(line: &str) -> Option<u16> {
    let (version, rest) = line.split_once(' ')?;
    let code = rest.split(' ').next()?;
    let known = version.starts_with("HTTP/1.");
    (known && code.len() == 3).then(|| code.parse().ok())?.filter(|code| *code >= 100)
}

fn no_http(bytes: &[u8]) -> Malformed {
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = &line[..line.len().min(80)];
    Malformed::NoHttp(String::from_utf8_lossy(line).trim_end_matches('\r').to_owned())
}

/// The body of chunks, once the last one is there or enough has come.
fn chunked(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line_end = bytes.iter().position(|&byte| byte == b'\n')?;
        // A size that is none ends the body: the status is what counts.
        let line = std::str::from_utf8(&bytes[..line_end]).unwrap_or_default();
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).unwrap_or(0);
        bytes = &bytes[line_end + 1..];
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(&bytes[..bytes.len().min(size)]);
        if body.len() >= BODY_BYTES {
            body.truncate(BODY_BYTES);
            return Some(body);
        }
        bytes = bytes.get(size..)?;
        bytes = bytes.strip_prefix(b"\r").unwrap_or(bytes);
        bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn a_request_has_the_kubelets_headers_unless_others_are_given() {
        let plain = request(&url("http://10.0.0.5:8080/healthz?a=b"), &[], Agent::Probe);
        assert_eq!(
            String::from_utf8(plain).unwrap(),
            "GET /healthz?a=b HTTP/1.1\r\nHost: 10.0.0.5:8080\r\nUser-Agent: kube-probe/1.36\r\n\
             Accept: */*\r\nConnection: close\r\n\r\n"
        );
        let headers = [("host", "x"), ("Accept", ""), ("X-A", "1"), ("X-A", "2\r\nEvil: 3")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let given = request(&url("http://h/"), &headers, Agent::Lifecycle);
        assert_eq!(
            String::from_utf8(given).unwrap(),
            "GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: kube-lifecycle/1.36\r\n\
             X-A: 1\r\nX-A: 2Evil: 3\r\nConnection: close\r\n\r\n"
        );
    }

    /// Feeds `text` in two parts at every place; all must come to the same.
    fn receive(text: &str, closed: bool) -> Result<Option<Answer>, Malformed> {
        let whole = |cut: usize| {
            let mut response = Response::default();
            for part in [&text.as_bytes()[..cut], &text.as_bytes()[cut..]] {
                if let Some(answer) = response.feed(part)? {
                    return Ok(Some(answer));
                }
            }
            if closed { response.close().map(Some) } else { Ok(None) }
        };
        let first = whole(0);
        for cut in 1..=text.len() {
            assert_eq!(whole(cut), first, "cut at {cut}");
        }
        first
    }

    fn body(answer: Result<Option<Answer>, Malformed>) -> (u16, String) {
        let answer = answer.unwrap().expect("whole");
        (answer.status, String::from_utf8(answer.body).unwrap())
    }

    #[test]
    fn the_end_of_an_answer_is_found_in_every_framing() {
        let length = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        assert_eq!(body(receive(length, false)), (200, "ok".to_owned()));
        let until_close = "HTTP/1.0 503 No\n\ndown";
        assert_eq!(body(receive(until_close, true)), (503, "down".to_owned()));
        assert_eq!(receive(until_close, false), Ok(None));
        let chunks =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x\r\nc\r\n0\r\n\r\n";
        assert_eq!(body(receive(chunks, false)), (200, "abc".to_owned()));
        let none = "HTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(body(receive(none, false)), (204, String::new()));
        let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(body(receive(interim, false)), (200, String::new()));
    }

    #[test]
    fn what_is_no_answer_is_told_in_gos_words() {
        assert_eq!(receive("", true), Err(Malformed::Eof));
        assert_eq!(receive("HTTP/1.1 200 OK\r\n", true), Err(Malformed::UnexpectedEof));
        let short = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok";
        assert_eq!(receive(short, true), Err(Malformed::UnexpectedEof));
        let mut ssh = Response::default();
        let refusal = ssh.feed(b"SSH-2.0-OpenSSH_9.2\r\n").unwrap_err();
        assert!(refusal.to_string().ends_with("malformed HTTP response \"SSH-2.0-OpenSSH_9.2\""));
    }

    #[test]
    fn no_more_than_ten_kibibytes_of_a_body_are_kept() {
        let mut response = Response::default();
        let head = b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 99999\r\n\r\n";
        assert_eq!(response.feed(head), Ok(None));
        let answer = response.feed(&[b'x'; 20_000]).unwrap().unwrap();
        assert_eq!((answer.body.len(), answer.location.as_deref()), (BODY_BYTES, Some("/x")));
    }

    #[test]
    fn chunks_without_end_are_not_kept_without_end() {
        let mut response = Response::default();
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(response.feed(head), Ok(None));
        let pieces = std::iter::repeat_n([b'1'; 4096], 64);
        let end = pieces.map(|piece| response.feed(&piece)).find(|fed| *fed != Ok(None));
        assert_eq!(end, Some(Err(Malformed::UnexpectedEof)));
        let no_text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut response = Response::default();
        assert_eq!(response.feed(no_text.as_bytes()), Ok(None));
        let answer = response.feed(b"\xff\r\n").unwrap().unwrap();
        assert_eq!((answer.status, answer.body.len()), (200, 0));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut response = Response::default();
            let _ = response.feed(&bytes);
            let mut response = Response::default();
            let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            let _ = response.feed(head);
            let _ = response.feed(&bytes);
            let _ = response.close();
        }
    }
}
