//! What nftables holds in this network namespace, asked of the kernel: `nft`
//! is not on every machine.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};

// linux/netlink.h, linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h
const REQUEST: u16 = 1;
const DUMP: u16 = 0x300;
const CREATE: u16 = 0x400;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const NFTABLES: u16 = 10;
const GETS: [(&str, u16); 6] =
    [("table", 1), ("chain", 4), ("rule", 7), ("set", 10), ("object", 19), ("flowtable", 23)];

/// A line for each table, chain, rule, set, object and flow table.
pub fn objects() -> Vec<String> {
    let mut found = Vec::new();
    for (what, kind) in GETS {
        let socket = open();
        let request = message(NFTABLES << 8 | kind, REQUEST | DUMP, [0; 4], &[]);
        send(socket.as_raw_fd(), &request, MsgFlags::empty()).expect("ask netfilter");
        let answers = std::iter::repeat_with(|| receive(&socket));
        for (kind, body) in answers.flatten().take_while(|(kind, _)| *kind != DONE) {
            if kind == ERROR {
                found.push(format!("nft {what} error {:?}", &body[..4]));
                break;
            }
            found.push(format!("nft {what} {}", body.escape_ascii()));
        }
    }
    found
}

/// Makes a table for IPv4; nothing where the kernel has no nftables.
pub fn add_table(name: &str) {
    let mut attribute = u16::try_from(name.len() + 5).expect("short").to_ne_bytes().to_vec();
    attribute.extend_from_slice(&1_u16.to_ne_bytes());
    attribute.extend_from_slice(name.as_bytes());
    attribute.resize((name.len() + 5).next_multiple_of(4), 0);
    let [high, low] = NFTABLES.to_be_bytes();
    let (begin, end, ipv4) = (0x10, 0x11, 2);
    let mut batch = message(begin, REQUEST, [0, 0, high, low], &[]);
    batch.extend(message(NFTABLES << 8, REQUEST | CREATE, [ipv4, 0, 0, 0], &attribute));
    batch.extend(message(end, REQUEST, [0, 0, high, low], &[]));
    let _ = send(open().as_raw_fd(), &batch, MsgFlags::empty());
}

fn open() -> OwnedFd {
    let flags = SockFlag::SOCK_CLOEXEC;
    let protocol = SockProtocol::NetlinkNetFilter;
    socket(AddressFamily::Netlink, SockType::Raw, flags, protocol).expect("a netlink socket")
}

/// A message: its head (struct nlmsghdr), family, version and number (struct
/// nfgenmsg), attributes.
fn message(kind: u16, flags: u16, head: [u8; 4], attributes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(20 + attributes.len()).expect("short");
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&flags.to_ne_bytes());
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(&head);
    bytes.extend_from_slice(attributes);
    bytes
}

/// The messages of one packet: kind and body.
fn receive(socket: &OwnedFd) -> Vec<(u16, Vec<u8>)> {
    let mut buffer = vec![0; 1 << 16];
    let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()).expect("an answer");
    let mut rest = &buffer[..length];
    let mut messages = Vec::new();
    while let Some((head, _)) = rest.split_first_chunk::<16>() {
        let size = u32::from_ne_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let kind = u16::from_ne_bytes([head[4], head[5]]);
        messages.push((kind, rest[16..size].to_vec()));
        rest = rest.get(size.next_multiple_of(4)..).unwrap_or_default();
    }
    messages
}
