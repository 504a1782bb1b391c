//! A synchronous NETLINK_ROUTE socket (rtnetlink(7)) with the kernel's own
//! words in its errors.
//!
//! Messages are built with `netlink-packet-route`, one type each, and never
//! through its enum of all messages: that would link the parsers of the whole
//! family into the shim.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use netlink_packet_core::Emitable;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};

use super::SyscallError;
use super::error::cerr;
use super::process::{CloneFlags, setns};

/// What a request does, as its message type says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Verb {
    NewLink = libc::RTM_NEWLINK,
    DeleteLink = libc::RTM_DELLINK,
    GetLink = libc::RTM_GETLINK,
    NewAddress = libc::RTM_NEWADDR,
    GetAddresses = libc::RTM_GETADDR,
    NewRoute = libc::RTM_NEWROUTE,
    GetRoutes = libc::RTM_GETROUTE,
}

impl Verb {
    const fn name(self) -> &'static str {
        match self {
            Self::NewLink => "RTM_NEWLINK",
            Self::DeleteLink => "RTM_DELLINK",
            Self::GetLink => "RTM_GETLINK",
            Self::NewAddress => "RTM_NEWADDR",
            Self::GetAddresses => "RTM_GETADDR",
            Self::NewRoute => "RTM_NEWROUTE",
            Self::GetRoutes => "RTM_GETROUTE",
        }
    }
}

/// How a request is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Make it; EEXIST when it is there.
    Create,
    /// Change or delete what is there.
    Change,
    /// One answer.
    Get,
    /// All there are.
    Dump,
}

impl Mode {
    const fn flags(self) -> u16 {
        let flags = libc::NLM_F_REQUEST
            | match self {
                Self::Create => libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL,
                Self::Change => libc::NLM_F_ACK,
                Self::Get => 0,
                Self::Dump => libc::NLM_F_DUMP,
            };
        // All flags lie within 16 bits.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let flags = flags as u16;
        flags
    }
}

/// One message to the kernel.
#[derive(Debug, Clone)]
pub struct Request {
    verb: Verb,
    mode: Mode,
    /// The object, for error texts.
    about: String,
    payload: Vec<u8>,
}

impl Request {
    /// A request with the message `body`; `about` names its object in errors.
    #[must_use]
    pub fn new(verb: Verb, mode: Mode, about: impl Into<String>, body: &impl Emitable) -> Self {
        let mut payload = vec![0; body.buffer_len()];
        body.emit(&mut payload);
        Self { verb, mode, about: about.into(), payload }
    }

    fn failed(&self, errno: Errno, reason: Option<&str>) -> SyscallError {
        let reason = reason.map(|text| format!(", {text}")).unwrap_or_default();
        SyscallError::new("netlink", format!("{}, {}{reason}", self.verb.name(), self.about), errno)
    }
}

const HEADER_BYTES: usize = 16;
const ALIGNMENT: usize = 4;

/// A socket bound to the network namespace it was opened in.
#[derive(Debug)]
pub struct RouteSocket {
    fd: OwnedFd,
    sequence: u32,
}

impl RouteSocket {
    /// A socket in the caller's network namespace.
    ///
    /// # Errors
    /// The errno of socket(2).
    pub fn open() -> Result<Self, SyscallError> {
        let fd = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )
        .map_err(|errno| SyscallError::new("socket", "NETLINK_ROUTE", errno))?;
        // Both exist since Linux 4.12. Without them errors merely say less.
        set_option(fd.as_fd(), libc::NETLINK_EXT_ACK);
        set_option(fd.as_fd(), libc::NETLINK_CAP_ACK);
        Ok(Self { fd, sequence: 0 })
    }

    /// A socket in the namespace `netns`. The calling thread visits it.
    ///
    /// # Errors
    /// The errno of setns(2) or socket(2).
    ///
    /// # Panics
    /// When the way back fails: every later call would hit the wrong network.
    pub fn open_in(netns: BorrowedFd) -> Result<Self, SyscallError> {
        let path = "/proc/thread-self/ns/net";
        let home = std::fs::File::open(path)
            .map_err(|error| SyscallError::from_io("open", path, &error))?;
        setns(netns, CloneFlags::NEWNET)?;
        let socket = Self::open();
        setns(home.as_fd(), CloneFlags::NEWNET).expect("return to the own network namespace");
        socket
    }

    /// Sends all requests in one message and waits until each is acknowledged.
    /// The kernel works on all of them; the first failure is told.
    ///
    /// # Errors
    /// The kernel's errno for the request, with its reason where it gives one.
    pub fn execute(&mut self, requests: &[Request]) -> Result<(), SyscallError> {
        let first = self.send(requests)?;
        let mut result = Ok(());
        let mut open = requests.len();
        while open > 0 {
            for answer in self.receive()? {
                let at = answer.sequence.wrapping_sub(first) as usize;
                let (Some(request), Answered::Done(outcome)) = (requests.get(at), &answer.content)
                else {
                    continue;
                };
                open -= 1;
                if let (true, Err((errno, reason))) = (result.is_ok(), outcome) {
                    result = Err(request.failed(*errno, reason.as_deref()));
                }
            }
        }
        result
    }

    /// Sends one request and collects the bodies of the answers.
    ///
    /// # Errors
    /// As [`Self::execute`]; ENODEV, ENOENT and the like for a [`Mode::Get`]
    /// without a match.
    pub fn query(&mut self, request: &Request) -> Result<Vec<Vec<u8>>, SyscallError> {
        let sequence = self.send(std::slice::from_ref(request))?;
        let mut bodies = Vec::new();
        loop {
            for answer in self.receive()? {
                if answer.sequence != sequence {
                    continue;
                }
                match answer.content {
                    Answered::Done(Ok(())) => return Ok(bodies),
                    Answered::Done(Err((errno, reason))) => {
                        return Err(request.failed(errno, reason.as_deref()));
                    }
                    Answered::Body(body) => bodies.push(body),
                }
            }
            if request.mode == Mode::Get && !bodies.is_empty() {
                return Ok(bodies);
            }
        }
    }

    /// Returns the sequence number of the first request.
    fn send(&mut self, requests: &[Request]) -> Result<u32, SyscallError> {
        let first = self.sequence;
        let mut bytes = Vec::new();
        for request in requests {
            let len = u32::try_from(HEADER_BYTES + request.payload.len())
                .map_err(|_| request.failed(Errno::EMSGSIZE, None))?;
            bytes.extend_from_slice(&len.to_ne_bytes());
            bytes.extend_from_slice(&(request.verb as u16).to_ne_bytes());
            bytes.extend_from_slice(&request.mode.flags().to_ne_bytes());
            bytes.extend_from_slice(&self.sequence.to_ne_bytes());
            bytes.extend_from_slice(&0_u32.to_ne_bytes());
            bytes.extend_from_slice(&request.payload);
            bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
            self.sequence = self.sequence.wrapping_add(1);
        }
        loop {
            match send(self.fd.as_raw_fd(), &bytes, MsgFlags::empty()) {
                Ok(_) => return Ok(first),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(SyscallError::new("send", "NETLINK_ROUTE", errno)),
            }
        }
    }

    fn receive(&self) -> Result<Vec<Answer>, SyscallError> {
        // The kernel fills at most 32 KiB for a dump.
        let mut buffer = vec![0; 32 * 1024];
        loop {
            match recv(self.fd.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(len) => return Ok(answers(&buffer[..len])),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(SyscallError::new("recv", "NETLINK_ROUTE", errno)),
            }
        }
    }
}

fn set_option(socket: BorrowedFd, option: libc::c_int) {
    let on: libc::c_int = 1;
    // SAFETY: the option's value is an int that lives through the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_NETLINK,
            option,
            (&raw const on).cast(),
            libc::socklen_t::try_from(size_of_val(&on)).unwrap_or(4),
        )
    };
    let _ = cerr(result.into(), "setsockopt", String::new);
}

type Outcome = Result<(), (Errno, Option<String>)>;

#[derive(Debug, PartialEq, Eq)]
enum Answered {
    Body(Vec<u8>),
    Done(Outcome),
}

#[derive(Debug, PartialEq, Eq)]
struct Answer {
    sequence: u32,
    content: Answered,
}

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;

/// Splits what one recv brought into messages; stops at a malformed one.
fn answers(mut bytes: &[u8]) -> Vec<Answer> {
    let mut found = Vec::new();
    while let Some((answer, len)) = answer(bytes) {
        found.push(answer);
        bytes = bytes.get(len.next_multiple_of(ALIGNMENT)..).unwrap_or(&[]);
    }
    found
}

fn answer(bytes: &[u8]) -> Option<(Answer, usize)> {
    let len = usize::try_from(u32_at(bytes, 0)?).ok()?;
    let (kind, flags, sequence) = (u16_at(bytes, 4)?, u16_at(bytes, 6)?, u32_at(bytes, 8)?);
    let body = bytes.get(HEADER_BYTES..len)?;
    let content = match kind {
        NLMSG_ERROR => Answered::Done(outcome(flags, body)),
        NLMSG_DONE => Answered::Done(errno_of(body).map_or(Ok(()), |errno| Err((errno, None)))),
        _ => Answered::Body(body.to_owned()),
    };
    Some((Answer { sequence, content }, len))
}

fn errno_of(body: &[u8]) -> Option<Errno> {
    let code = i32::from_ne_bytes(body.get(..4)?.try_into().ok()?);
    (code != 0).then(|| Errno::from_raw(code.saturating_neg()))
}

/// `struct nlmsgerr`: errno, the request's header (and, not capped, its body),
/// then attributes.
fn outcome(flags: u16, body: &[u8]) -> Outcome {
    let Some(errno) = errno_of(body) else { return Ok(()) };
    let echoed = if flags & NLM_F_CAPPED != 0 {
        HEADER_BYTES
    } else {
        u32_at(body, 4).map_or(HEADER_BYTES, |len| (len as usize).next_multiple_of(ALIGNMENT))
    };
    let attributes = body.get(4 + echoed..).unwrap_or(&[]);
    let reason = if flags & NLM_F_ACK_TLVS != 0 { message_of(attributes) } else { None };
    Err((errno, reason))
}

fn message_of(mut attributes: &[u8]) -> Option<String> {
    loop {
        let (len, kind) = (usize::from(u16_at(attributes, 0)?), u16_at(attributes, 2)?);
        let value = attributes.get(4..len)?;
        if kind == NLMSGERR_ATTR_MSG {
            let text = String::from_utf8_lossy(value);
            return Some(text.trim_end_matches(['\0', '.']).to_owned());
        }
        attributes = attributes.get(len.next_multiple_of(ALIGNMENT)..)?;
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_route::link::{LinkAttribute, LinkMessage};
    use proptest::prelude::*;

    fn link_named(name: &str, mode: Mode) -> Request {
        let mut link = LinkMessage::default();
        link.attributes.push(LinkAttribute::IfName(name.into()));
        Request::new(Verb::GetLink, mode, name, &link)
    }

    #[test]
    fn a_link_is_found_by_name_and_a_missing_one_named_in_the_error() {
        let mut socket = RouteSocket::open().expect("socket");
        let found = socket.query(&link_named("lo", Mode::Get)).expect("lo");
        assert_eq!(u32_at(&found[0], 4), Some(1), "lo has index 1");
        let error = socket.query(&link_named("nope0", Mode::Get)).expect_err("missing");
        assert_eq!(error.to_string(), "netlink(RTM_GETLINK, nope0): no such device");
    }

    #[test]
    fn the_kernels_reason_is_part_of_the_error() {
        let mut socket = RouteSocket::open().expect("socket");
        let mut link = LinkMessage::default();
        link.attributes.push(LinkAttribute::IfName("much-too-long-a-name".into()));
        let request = Request::new(Verb::NewLink, Mode::Create, "x", &link);
        let error = socket.execute(&[request]).expect_err("refused");
        assert!(error.args.len() > "RTM_NEWLINK, x, ".len(), "{error}");
    }

    #[test]
    fn a_dump_brings_every_link() {
        let mut socket = RouteSocket::open().expect("socket");
        let all =
            socket.query(&Request::new(Verb::GetLink, Mode::Dump, "all", &LinkMessage::default()));
        assert!(!all.expect("dump").is_empty());
    }

    proptest! {
        #[test]
        fn reading_answers_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = answers(&bytes);
            let _ = outcome(NLM_F_ACK_TLVS, &bytes);
        }
    }
}
