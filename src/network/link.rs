//! The rtnetlink messages that make and find interfaces, addresses and routes.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::Parseable;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use nix::errno::Errno;

use super::Subnet;
use crate::sys::SyscallError;
use crate::sys::netlink::{Mode, Request, RouteSocket, Verb};

/// The index of `lo` in every network namespace.
pub(super) const LOOPBACK: u32 = 1;

/// A MAC address of our own making.
pub(super) type Mac = [u8; 6];

/// The MAC address that goes with an IP address: locally administered, and the
/// same whoever has the address next, so that no neighbour table goes stale.
pub(super) fn mac_of(address: Ipv4Addr) -> Mac {
    let [a, b, c, d] = address.octets();
    [0x0a, 0x58, a, b, c, d]
}

/// A bridge that forwards at once: it has no spanning tree to wait for.
pub(super) fn new_bridge(name: &str, mac: Mac) -> Request {
    let mut link = up(LinkMessage::default());
    link.attributes = vec![
        LinkAttribute::IfName(name.into()),
        LinkAttribute::Address(mac.into()),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]),
    ];
    Request::new(Verb::NewLink, Mode::Create, name, &link)
}

/// One end of a new veth pair, as it is to be in the pod.
#[derive(Debug, Clone, Copy)]
pub(super) struct PodEnd<'a> {
    pub(super) netns: BorrowedFd<'a>,
    pub(super) name: &'a str,
    pub(super) mac: Mac,
}

/// A veth pair made in place: the machine's end on the bridge and up, the
/// pod's end born in its namespace (moving it there would take milliseconds).
pub(super) fn new_veth(host_name: &str, bridge: u32, pod: PodEnd) -> Request {
    // IFF_UP of the peer in this message is refused (ENOTCONN), and an index
    // for it is ignored.
    let mut peer = LinkMessage::default();
    peer.attributes = vec![
        LinkAttribute::IfName(pod.name.into()),
        LinkAttribute::Address(pod.mac.into()),
        LinkAttribute::NetNsFd(pod.netns.as_raw_fd()),
    ];
    let mut link = up(LinkMessage::default());
    link.attributes = vec![
        LinkAttribute::IfName(host_name.into()),
        LinkAttribute::Controller(bridge),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]),
    ];
    Request::new(Verb::NewLink, Mode::Create, host_name, &link)
}

/// Switches the interface on.
pub(super) fn set_up(index: u32, name: &str) -> Request {
    let mut link = up(LinkMessage::default());
    link.header.index = index;
    Request::new(Verb::NewLink, Mode::Change, name, &link)
}

/// Deletes the interface.
pub(super) fn delete(index: u32, name: &str) -> Request {
    let mut link = LinkMessage::default();
    link.header.index = index;
    Request::new(Verb::DeleteLink, Mode::Change, name, &link)
}

fn up(mut link: LinkMessage) -> LinkMessage {
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
    link
}

/// Gives the interface an address in `subnet`.
pub(super) fn new_address(index: u32, address: Ipv4Addr, subnet: Subnet) -> Request {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = subnet.prefix_len();
    message.header.index = index;
    let broadcast = Ipv4Addr::from_bits(address.to_bits() | (u32::MAX >> subnet.prefix_len()));
    message.attributes = vec![
        AddressAttribute::Local(IpAddr::V4(address)),
        AddressAttribute::Address(IpAddr::V4(address)),
        AddressAttribute::Broadcast(broadcast),
    ];
    Request::new(Verb::NewAddress, Mode::Create, address.to_string(), &message)
}

/// Everything the pod does not know goes to `gateway`.
pub(super) fn new_default_route(index: u32, gateway: Ipv4Addr) -> Request {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Boot;
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unicast;
    message.attributes =
        vec![RouteAttribute::Gateway(RouteAddress::Inet(gateway)), RouteAttribute::Oif(index)];
    Request::new(Verb::NewRoute, Mode::Create, format!("default via {gateway}"), &message)
}

/// The index of the interface `name`; `None` when there is none.
pub(super) fn find(socket: &mut RouteSocket, name: &str) -> Result<Option<u32>, SyscallError> {
    let mut link = LinkMessage::default();
    link.attributes = vec![LinkAttribute::IfName(name.into())];
    match socket.query(&Request::new(Verb::GetLink, Mode::Get, name, &link)) {
        Err(error) if error.errno == Errno::ENODEV => Ok(None),
        Err(error) => Err(error),
        // The answer's head: family, padding, type, index (struct ifinfomsg).
        Ok(bodies) => Ok(bodies
            .first()
            .and_then(|body| Some(u32::from_ne_bytes(body.get(4..8)?.try_into().ok()?)))),
    }
}

/// Destinations of all IPv4 routes but default ones: address and prefix.
pub(super) fn routes(socket: &mut RouteSocket) -> Result<Vec<(Ipv4Addr, u8)>, SyscallError> {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    let bodies = socket.query(&Request::new(Verb::GetRoutes, Mode::Dump, "IPv4", &message))?;
    Ok(bodies.iter().filter_map(|body| destination(body)).collect())
}

fn destination(body: &[u8]) -> Option<(Ipv4Addr, u8)> {
    let buffer = netlink_packet_route::route::RouteMessageBuffer::new_checked(&body).ok()?;
    let route = RouteMessage::parse(&buffer).ok()?;
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => {
            Some((*address, route.header.destination_prefix_length))
        }
        _ => None,
    })
}

/// True if the interface has `address`.
pub(super) fn has_address(
    socket: &mut RouteSocket,
    index: u32,
    address: Ipv4Addr,
) -> Result<bool, SyscallError> {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    let bodies = socket.query(&Request::new(Verb::GetAddresses, Mode::Dump, "IPv4", &message))?;
    Ok(bodies.iter().filter_map(|body| local_address(body)).any(|found| found == (index, address)))
}

fn local_address(body: &[u8]) -> Option<(u32, Ipv4Addr)> {
    let buffer = netlink_packet_route::address::AddressMessageBuffer::new_checked(&body).ok()?;
    let message = AddressMessage::parse(&buffer).ok()?;
    message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(IpAddr::V4(address)) => Some((message.header.index, *address)),
        _ => None,
    })
}
