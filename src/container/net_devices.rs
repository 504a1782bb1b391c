//! `linux.netDevices`: interfaces of the host's that go into the container's
//! network namespace, with their addresses, and maybe under other names.
//!
//! When the namespace ends, the kernel gives a device with hardware behind it
//! back to the host, and removes one without.

use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use netlink_packet_core::Parseable;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{
    AddressAttribute, AddressHeaderFlags, AddressMessage, AddressMessageBuffer, AddressScope,
};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use nix::errno::Errno;
use nix::unistd::Pid;
use oci_spec::runtime::Linux;

use super::error::{Error, Result};
use super::init::procfs::ProcDir;
use super::plan::invalid;
use crate::sys::SyscallError;
use crate::sys::netlink::{Mode, Request, RouteSocket, Verb};

type Call<T> = std::result::Result<T, SyscallError>;

/// One device and its name inside.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Device {
    name: String,
    inside: String,
}

/// Refuses names that no device can have, and two of one name.
pub(super) fn check(linux: &Linux) -> Result<()> {
    let devices = devices(linux);
    for (at, device) in devices.iter().enumerate() {
        for name in [&device.name, &device.inside] {
            if !is_name(name) {
                return Err(invalid(format!("linux.netDevices: invalid device name {name:?}")));
            }
        }
        if devices[..at].iter().any(|other| other.inside == device.inside) {
            let name = &device.inside;
            return Err(invalid(format!("linux.netDevices: two devices named {name:?}")));
        }
    }
    Ok(())
}

/// Whether there are any.
pub(super) fn given(linux: &Linux) -> bool {
    linux.net_devices().as_ref().is_some_and(|devices| !devices.is_empty())
}

fn devices(linux: &Linux) -> Vec<Device> {
    let given = linux.net_devices().iter().flatten();
    let mut devices: Vec<Device> = given
        .map(|(name, device)| {
            let inside = device.name().clone().filter(|inside| !inside.is_empty());
            Device { name: name.clone(), inside: inside.unwrap_or_else(|| name.clone()) }
        })
        .collect();
    devices.sort_by(|a, b| a.name.cmp(&b.name));
    devices
}

/// The kernel's rule (`dev_valid_name`), without the pattern of `%`.
fn is_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
        && name.len() <= 15
        && !name.contains(['/', ':', '%'])
        && !name.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// Moves all devices into the network namespace of `pid`.
pub(super) fn move_all(linux: &Linux, pid: Pid) -> Result<()> {
    let failed = |what: String| Error::call(what);
    let netns = ProcDir::open()
        .and_then(|proc| proc.open_namespace(&pid.to_string(), "net"))
        .map_err(failed("open the container's network namespace".to_owned()))?;
    for device in devices(linux) {
        move_one(&device, &netns).map_err(failed(format!("move netDevice {:?}", device.name)))?;
    }
    Ok(())
}

fn move_one(device: &Device, netns: &OwnedFd) -> Call<()> {
    let mut host = RouteSocket::open()?;
    let index = index_of(&mut host, &device.name)?;
    let addresses = addresses(&mut host, index)?;
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.attributes = vec![
        LinkAttribute::NetNsFd(netns.as_raw_fd()),
        LinkAttribute::IfName(device.inside.clone()),
    ];
    host.execute(&[Request::new(Verb::NewLink, Mode::Change, &device.name, &link)])?;
    settle(device, netns.as_fd(), addresses)
}

/// Inside the device has lost its addresses, and is down.
fn settle(device: &Device, netns: BorrowedFd, addresses: Vec<AddressMessage>) -> Call<()> {
    let mut inside = RouteSocket::open_in(netns)?;
    let index = index_of(&mut inside, &device.inside)?;
    let mut up = LinkMessage::default();
    up.header.index = index;
    up.header.flags = LinkFlags::Up;
    up.header.change_mask = LinkFlags::Up;
    let mut requests = vec![Request::new(Verb::NewLink, Mode::Change, &device.inside, &up)];
    for mut address in addresses {
        address.header.index = index;
        requests.push(Request::new(Verb::NewAddress, Mode::Create, &device.inside, &address));
    }
    inside.execute(&requests)
}

fn index_of(socket: &mut RouteSocket, name: &str) -> Call<u32> {
    let mut link = LinkMessage::default();
    link.attributes = vec![LinkAttribute::IfName(name.into())];
    let bodies = socket.query(&Request::new(Verb::GetLink, Mode::Get, name, &link))?;
    // The answer's head: family, padding, type, index (struct ifinfomsg).
    let index = bodies.first().and_then(|body| body.get(4..8)?.try_into().ok());
    index
        .map(u32::from_ne_bytes)
        .ok_or_else(|| SyscallError::new("netlink", format!("RTM_GETLINK, {name}"), Errno::ENODEV))
}

/// The addresses that an administrator gave it: the kernel makes the others
/// anew.
fn addresses(socket: &mut RouteSocket, index: u32) -> Call<Vec<AddressMessage>> {
    let mut found = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut message = AddressMessage::default();
        message.header.family = family;
        let request = Request::new(Verb::GetAddresses, Mode::Dump, "addresses", &message);
        let bodies = socket.query(&request)?;
        found.extend(bodies.iter().filter_map(|body| parse(body)).filter(|address| {
            address.header.index == index
                && address.header.scope == AddressScope::Universe
                && address.header.flags.contains(AddressHeaderFlags::Permanent)
        }));
    }
    Ok(found.into_iter().map(wanted).collect())
}

fn parse(body: &[u8]) -> Option<AddressMessage> {
    AddressMessage::parse(&AddressMessageBuffer::new_checked(&body).ok()?).ok()
}

/// What makes the same address again.
fn wanted(mut address: AddressMessage) -> AddressMessage {
    address.attributes.retain(|attribute| {
        matches!(
            attribute,
            AddressAttribute::Local(_)
                | AddressAttribute::Address(_)
                | AddressAttribute::Broadcast(_)
        )
    });
    // IPv6 addresses have no local part of their own.
    let has_local = address.attributes.iter().any(|one| matches!(one, AddressAttribute::Local(_)));
    let plain: Option<IpAddr> = address.attributes.iter().find_map(|one| match one {
        AddressAttribute::Address(address) => Some(*address),
        _ => None,
    });
    if let (false, Some(plain)) = (has_local, plain) {
        address.attributes.push(AddressAttribute::Local(plain));
    }
    address
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn checked(devices: serde_json::Value) -> Result<()> {
        check(&serde_json::from_value(json!({ "netDevices": devices })).unwrap())
    }

    #[test]
    fn names_that_no_device_can_have_are_refused() {
        assert!(checked(json!({"eth0": {}, "eth1": {"name": "eth0x"}})).is_ok());
        for bad in [
            json!({"": {}}),
            json!({"eth0": {"name": "a/b"}}),
            json!({"eth0": {"name": "eth%d"}}),
            json!({"eth0": {"name": "a b"}}),
            json!({"a-name-too-long-for-it": {}}),
            json!({"eth0": {}, "eth1": {"name": "eth0"}}),
        ] {
            assert!(checked(bad.clone()).is_err(), "{bad}");
        }
    }
}
