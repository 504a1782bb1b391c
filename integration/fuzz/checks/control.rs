//! The control socket: packets of anybody's making, and requests that come out
//! as they went in.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, send, socketpair};
use podrt::supervisor::control::channel::{Channel, Flushed, Received};
use podrt::supervisor::control::protocol::{Message, Reply, Request};

fn pair() -> (OwnedFd, OwnedFd) {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).expect("socketpair")
}

pub fn check(bytes: &[u8]) {
    let (ours, theirs) = pair();
    for packet in bytes.split(|&byte| byte == b'\n') {
        let _ = send(theirs.as_raw_fd(), packet, MsgFlags::empty());
    }
    drop(theirs);
    let mut channel = Channel::new(ours);
    while let Ok(Received::Message(..)) = channel.receive::<Request>() {}

    let _ = serde_json::from_slice::<Message<Reply>>(bytes);
    let Ok(Message { body: request, .. }) = serde_json::from_slice::<Message<Request>>(bytes)
    else {
        return;
    };
    let (ours, theirs) = pair();
    let mut sender = Channel::new(theirs);
    sender.queue(&request, Vec::new());
    if sender.flush() == Flushed::All {
        match Channel::new(ours).receive::<Request>() {
            Ok(Received::Message(received, _)) => assert_eq!(received, request),
            other => panic!("{other:?}"),
        }
    }
}
