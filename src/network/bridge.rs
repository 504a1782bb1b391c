//! The machine's bridge: made for the first pod, gone after the last.

use std::path::Path;

use nix::errno::Errno;

use super::pool::{read_note, remove_note, write_note};
use super::{Error, Result, Settings, Subnet, link};
use crate::sys::netlink::RouteSocket;

/// A bridge that is up and has the gateway's address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bridge {
    pub(super) index: u32,
    pub(super) subnet: Subnet,
}

/// Where the machine's podrt noted which network the bridge has.
const SUBNET_NOTE: &str = "subnet";

/// Finds the bridge or makes it. Under the machine's network lock.
pub(super) fn ensure(
    socket: &mut RouteSocket,
    settings: &Settings,
    folder: &Path,
) -> Result<Bridge> {
    let name = settings.bridge.as_str();
    let failed = || Error::step("look up bridge", name);
    let noted = read_note(&folder.join(SUBNET_NOTE));
    match (link::find(socket, name).map_err(failed())?, noted) {
        (Some(index), Some(subnet)) => complete(socket, name, Bridge { index, subnet }),
        (Some(index), None) => adopt(socket, settings, index, folder),
        (None, _) => create(socket, settings, folder),
    }
}

/// A bridge without a note is ours if a crash or a lost folder explains it: it
/// then has the gateway of one of our networks.
fn adopt(
    socket: &mut RouteSocket,
    settings: &Settings,
    index: u32,
    folder: &Path,
) -> Result<Bridge> {
    let name = settings.bridge.as_str();
    for &subnet in &settings.subnets {
        let ours = link::has_address(socket, index, subnet.gateway());
        if ours.map_err(Error::step("look up bridge", name))? {
            write_note(&folder.join(SUBNET_NOTE), subnet)?;
            return Ok(Bridge { index, subnet });
        }
    }
    let gateway = settings.subnets.first().map_or([0; 4].into(), |subnet| subnet.gateway());
    Err(Error::ForeignBridge { name: name.into(), gateway })
}

fn create(socket: &mut RouteSocket, settings: &Settings, folder: &Path) -> Result<Bridge> {
    let name = settings.bridge.as_str();
    let subnet = choose(socket, settings)?;
    // Noted first: a crash before the address is there leaves a bridge that
    // the next caller completes.
    write_note(&folder.join(SUBNET_NOTE), subnet)?;
    let mac = link::mac_of(subnet.gateway());
    let failed = || Error::step("create bridge", name);
    socket.execute(&[link::new_bridge(name, mac)]).map_err(failed())?;
    let index = link::find(socket, name).map_err(failed())?;
    let index = index
        .ok_or_else(|| Error::ForeignBridge { name: name.into(), gateway: subnet.gateway() })?;
    complete(socket, name, Bridge { index, subnet })
}

/// Gives the bridge its address unless it has it: whoever made it may have been
/// killed before that.
fn complete(socket: &mut RouteSocket, name: &str, bridge: Bridge) -> Result<Bridge> {
    let address = link::new_address(bridge.index, bridge.subnet.gateway(), bridge.subnet);
    match socket.execute(&[address]) {
        Err(error) if error.errno != Errno::EEXIST => {
            Err(Error::step("address bridge", name)(error))
        }
        _ => Ok(bridge),
    }
}

/// The first of the networks that the machine has no route into.
fn choose(socket: &mut RouteSocket, settings: &Settings) -> Result<Subnet> {
    let routes = link::routes(socket).map_err(Error::step("list routes", "IPv4"))?;
    let free = |subnet: &&Subnet| {
        !routes.iter().any(|&(address, prefix_len)| subnet.overlaps(address, prefix_len))
    };
    let chosen = settings.subnets.iter().find(free).copied();
    chosen.ok_or_else(|| Error::NoSubnet { tried: settings.subnets.clone() })
}

/// Deletes the bridge and its note. The kernel takes 11 to 35 ms.
pub(super) fn remove(socket: &mut RouteSocket, settings: &Settings, folder: &Path) -> Result<()> {
    let name = settings.bridge.as_str();
    let failed = || Error::step("delete bridge", name);
    if let Some(index) = link::find(socket, name).map_err(failed())? {
        match socket.execute(&[link::delete(index, name)]) {
            Err(error) if error.errno != Errno::ENODEV => return Err(failed()(error)),
            _ => {}
        }
    }
    remove_note(&folder.join(SUBNET_NOTE));
    Ok(())
}
