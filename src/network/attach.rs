//! A pod's way into its network and out of it.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::bridge::{self, Bridge};
use super::link::{self, LOOPBACK, PodEnd};
use super::pool::{Entry, Owner, Pool, read_note, remove_note, write_note};
use super::{Error, Result, Subnet, host};
use crate::model::plan::NetworkMode;
use crate::model::roots::MACHINE_DIR;
use crate::store::atomic::{Durability, create_dirs};
use crate::store::lock;
use crate::sys::fault::{self, Point};
use crate::sys::netlink::RouteSocket;
use crate::sys::{SyscallError, clock};

/// What the machine's podrt agree on.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Machine-wide state, on a file system that a reboot empties.
    pub machine_dir: PathBuf,
    /// The bridge's name.
    pub bridge: String,
    /// Networks for pods; the first that the machine has no route into is
    /// taken when the bridge is made.
    pub subnets: Vec<Subnet>,
    /// How long an unused bridge waits for the next pod.
    pub linger: Duration,
}

impl Default for Settings {
    /// Private networks (RFC 1918) that no common container engine or cluster
    /// takes by default.
    fn default() -> Self {
        let subnets = [([10, 213, 0, 0], 16), ([10, 187, 0, 0], 16), ([172, 27, 0, 0], 16)];
        let subnets = subnets.into_iter().chain([([192, 168, 211, 0], 24)]);
        Self {
            machine_dir: MACHINE_DIR.into(),
            bridge: "podrt0".into(),
            subnets: subnets.filter_map(|(net, len)| Subnet::new(net.into(), len)).collect(),
            linger: Duration::from_millis(500),
        }
    }
}

/// A pod that wants its network.
#[derive(Debug, Clone, Copy)]
pub struct AttachRequest<'a> {
    pub owner: &'a Owner,
    pub mode: NetworkMode,
    /// The pod's namespace.
    pub netns: BorrowedFd<'a>,
}

/// What a pod got.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// At most one of each family.
    pub addresses: Vec<IpAddr>,
    /// The machine's address as the pod sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// The interface in the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// Its other end on the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_interface: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
}

/// What became of the bridge when a pod left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum House {
    /// Other pods use it, or somebody else looks after it.
    Kept,
    /// No pod is left: [`Network::keep_house`] is to run in a process of its
    /// own.
    Empty,
}

/// The machine's pod network.
#[derive(Debug, Clone)]
pub struct Network {
    settings: Settings,
    folder: PathBuf,
}

const POD_INTERFACE: &str = "eth0";

const LOCK: &str = "lock";
const LAST_NOTE: &str = "last";
const IDLE_NOTE: &str = "idle-since";
const HOUSEKEEPER_LOCK: &str = "housekeeper";

impl Network {
    /// The network with these settings; nothing is touched yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let folder = settings.machine_dir.join("network");
        Self { settings, folder }
    }

    /// The network that all podrt of this machine share.
    #[must_use]
    pub fn machine() -> Self {
        Self::new(Settings::default())
    }

    /// Connects a pod: `lo` is up in every mode but the machine's own network.
    ///
    /// # Errors
    /// [`Error::Exhausted`], [`Error::NoSubnet`], [`Error::ForeignBridge`], or
    /// the failing step; nothing is held then.
    pub fn attach(&self, request: &AttachRequest) -> Result<Attachment> {
        match request.mode {
            NetworkMode::Host => Ok(self.attach_to_host()),
            NetworkMode::None => {
                let mut inside = open_inside(request.netns)?;
                inside
                    .execute(&[link::set_up(LOOPBACK, "lo")])
                    .map_err(Error::step("switch on interface", "lo"))?;
                Ok(Attachment::default())
            }
            NetworkMode::Bridge => self.attach_to_bridge(request),
        }
    }

    /// A pod on the machine's own network has the machine's addresses.
    #[must_use]
    pub fn attach_to_host(&self) -> Attachment {
        Attachment { addresses: host::addresses(), ..Attachment::default() }
    }

    fn attach_to_bridge(&self, request: &AttachRequest) -> Result<Attachment> {
        let mut outside = RouteSocket::open().map_err(Error::step("open", "rtnetlink"))?;
        let plugged = {
            let _guard = self.lock()?;
            fault::at(Point::EnsureBridge).map_err(Error::step("make bridge", "podrt0"))?;
            let bridge = bridge::ensure(&mut outside, &self.settings, &self.folder)?;
            self.plug_in(&mut outside, bridge, request)?
        };
        match configure(request.netns, &plugged) {
            Ok(()) => Ok(plugged.attachment()),
            Err(error) => {
                // The first error is the one to tell; a stale entry is found.
                let _ = self.release(request.owner, &[plugged.address.into()]);
                Err(error)
            }
        }
    }

    /// Takes an address and makes the veth pair of that name.
    fn plug_in(
        &self,
        socket: &mut RouteSocket,
        bridge: Bridge,
        request: &AttachRequest,
    ) -> Result<Plugged> {
        fault::at(Point::TakeAddress).map_err(Error::step("take", "address"))?;
        let pool = self.pool()?;
        let last_note = self.folder.join(LAST_NOTE);
        let last = read_note(&last_note);
        // The second round looks at addresses whose owner may have crashed.
        for reclaim in [false, true] {
            for address in bridge.subnet.addresses_after(last) {
                if reclaim && is_stale(socket, address)? {
                    pool.free(address)?;
                }
                if !pool.take(address, request.owner)? {
                    continue;
                }
                match make_veth(socket, bridge.index, address, request.netns) {
                    Ok(true) => {
                        write_note(&last_note, address)?;
                        return Ok(Plugged { address, subnet: bridge.subnet });
                    }
                    Ok(false) => pool.free(address)?,
                    Err(error) => {
                        pool.free(address)?;
                        return Err(error);
                    }
                }
            }
        }
        Err(Error::Exhausted { subnet: bridge.subnet })
    }

    /// Gives a pod's addresses back; one that is not the owner's is left
    /// alone. An address is not given out again before the machine's end of
    /// its interface is gone, which the death of the pod's namespace brings.
    ///
    /// # Errors
    /// [`Error::Pool`], [`Error::Store`] or [`Error::Step`].
    pub fn release(&self, owner: &Owner, addresses: &[IpAddr]) -> Result<House> {
        fault::at(Point::ReleaseAddress).map_err(Error::step("release", "address"))?;
        let _guard = self.lock()?;
        let pool = self.pool()?;
        for address in addresses {
            if let IpAddr::V4(address) = *address
                && pool.entry(address).is_some_and(|entry| entry.owner == *owner)
            {
                pool.free(address)?;
            }
        }
        self.look_around(&pool)
    }

    /// As [`Self::release`], for an owner whose record of its addresses is
    /// lost: every entry is looked at.
    ///
    /// # Errors
    /// As [`Self::release`].
    pub fn release_all(&self, owner: &Owner) -> Result<House> {
        let _guard = self.lock()?;
        let pool = self.pool()?;
        for address in pool.taken()? {
            if pool.entry(address).is_some_and(|entry| entry.owner == *owner) {
                pool.free(address)?;
            }
        }
        self.look_around(&pool)
    }

    /// Who has which address.
    ///
    /// # Errors
    /// As [`Self::release`].
    pub fn entries(&self) -> Result<Vec<(Ipv4Addr, Option<Entry>)>> {
        let _guard = self.lock()?;
        let pool = self.pool()?;
        Ok(pool.taken()?.map(|address| (address, pool.entry(address))).collect())
    }

    /// Decides whether the bridge still serves anybody, and whether somebody
    /// looks after an empty one. Under the lock.
    fn look_around(&self, pool: &Pool) -> Result<House> {
        let mut socket = RouteSocket::open().map_err(Error::step("open", "rtnetlink"))?;
        if in_use(&mut socket, pool)? {
            return Ok(House::Kept);
        }
        let found = link::find(&mut socket, &self.settings.bridge);
        if found.map_err(Error::step("look up bridge", &*self.settings.bridge))?.is_none() {
            return Ok(House::Kept);
        }
        write_note(&self.folder.join(IDLE_NOTE), clock::now().boot_ns)?;
        // The housekeeper lets go of its lock only under ours, so one that is
        // there now will see the note.
        let busy = lock::try_exclusive(&self.folder.join(HOUSEKEEPER_LOCK))?.is_none();
        Ok(if busy { House::Kept } else { House::Empty })
    }

    /// Removes the bridge once it has been without a pod for the lingering
    /// time (a next pod right behind finds it still there); returns early when
    /// one comes. Blocks that long: for a short-lived process of its own,
    /// which holds nothing of the pod's.
    ///
    /// # Errors
    /// As [`Self::release`].
    pub fn keep_house(&self) -> Result<()> {
        let Some(housekeeper) = lock::try_exclusive(&self.folder.join(HOUSEKEEPER_LOCK))? else {
            return Ok(());
        };
        loop {
            let wait = {
                let guard = self.lock()?;
                let wait = self.tidy()?;
                if wait.is_none() {
                    drop(housekeeper);
                    drop(guard);
                    return Ok(());
                }
                wait
            };
            std::thread::sleep(wait.unwrap_or_default());
        }
    }

    /// One look under the lock: `None` when there is nothing left to do, else
    /// how long to wait.
    fn tidy(&self) -> Result<Option<Duration>> {
        let mut socket = RouteSocket::open().map_err(Error::step("open", "rtnetlink"))?;
        if in_use(&mut socket, &self.pool()?)? {
            return Ok(None);
        }
        let since = read_note(&self.folder.join(IDLE_NOTE)).unwrap_or(0);
        let idle = Duration::from_nanos(clock::now().boot_ns.saturating_sub(since));
        match self.settings.linger.checked_sub(idle) {
            Some(rest) if !rest.is_zero() => Ok(Some(rest)),
            _ => {
                bridge::remove(&mut socket, &self.settings, &self.folder)?;
                remove_note(&self.folder.join(LAST_NOTE));
                remove_note(&self.folder.join(IDLE_NOTE));
                Ok(None)
            }
        }
    }

    fn lock(&self) -> Result<lock::Guard> {
        create_dirs(&self.folder, Durability::Volatile)?;
        Ok(lock::exclusive(&self.folder.join(LOCK))?)
    }

    fn pool(&self) -> Result<Pool> {
        Pool::open(self.folder.join("addresses"))
    }
}

/// The machine's end of the interface with this address.
pub(super) fn host_interface(address: Ipv4Addr) -> String {
    format!("podrt{:08x}", address.to_bits())
}

fn is_stale(socket: &mut RouteSocket, address: Ipv4Addr) -> Result<bool> {
    let name = host_interface(address);
    let found = link::find(socket, &name).map_err(Error::step("look up interface", &*name))?;
    Ok(found.is_none())
}

/// True if any entry is not stale; stale ones met on the way are dropped.
fn in_use(socket: &mut RouteSocket, pool: &Pool) -> Result<bool> {
    for address in pool.taken()? {
        if !is_stale(socket, address)? {
            return Ok(true);
        }
        pool.free(address)?;
    }
    Ok(false)
}

/// The veth pair of `address`; false when its name is taken: the interface of
/// the address's last owner is still dying.
fn make_veth(
    socket: &mut RouteSocket,
    bridge: u32,
    address: Ipv4Addr,
    netns: BorrowedFd,
) -> Result<bool> {
    let name = host_interface(address);
    let pod = PodEnd { netns, name: POD_INTERFACE, mac: link::mac_of(address) };
    let made = fault::at(Point::MakeVeth)
        .and_then(|()| socket.execute(&[link::new_veth(&name, bridge, pod)]));
    match made {
        Ok(()) => Ok(true),
        // EEXIST might also mean that the pod has an eth0 already.
        Err(error) if error.errno == Errno::EEXIST && !is_stale(socket, address)? => Ok(false),
        Err(error) => Err(Error::step("create interface", name)(error)),
    }
}

/// A pod whose interface exists and is not yet configured.
struct Plugged {
    address: Ipv4Addr,
    subnet: Subnet,
}

impl Plugged {
    fn attachment(&self) -> Attachment {
        let mac = link::mac_of(self.address).map(|byte| format!("{byte:02x}")).join(":");
        Attachment {
            addresses: vec![self.address.into()],
            gateway: Some(self.subnet.gateway().into()),
            interface: Some(POD_INTERFACE.into()),
            host_interface: Some(host_interface(self.address)),
            mac: Some(mac),
        }
    }
}

/// Inside the pod: both interfaces up, address, default route, in one message.
fn configure(netns: BorrowedFd, plugged: &Plugged) -> Result<()> {
    let failed = || Error::step("configure interface", POD_INTERFACE);
    fault::at(Point::ConfigureLink).map_err(failed())?;
    let mut inside = open_inside(netns)?;
    // Index 2 as a rule, but kernels with tunnels built in give each namespace
    // a few devices at birth.
    let found = link::find(&mut inside, POD_INTERFACE).map_err(failed())?;
    let index = found.ok_or_else(|| {
        failed()(SyscallError::new("netlink", "RTM_GETLINK, eth0", Errno::ENODEV))
    })?;
    let steps = [
        link::set_up(LOOPBACK, "lo"),
        link::new_address(index, plugged.address, plugged.subnet),
        link::set_up(index, POD_INTERFACE),
        link::new_default_route(index, plugged.subnet.gateway()),
    ];
    inside.execute(&steps).map_err(failed())
}

fn open_inside(netns: BorrowedFd) -> Result<RouteSocket> {
    RouteSocket::open_in(netns).map_err(Error::step("open", "rtnetlink in the pod"))
}
