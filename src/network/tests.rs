//! The network of pods on the real kernel. Needs root. Each test has a bridge,
//! a pool and a network of its own.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::model::PodUid;
use crate::model::plan::NetworkMode;
use crate::sys::netlink::RouteSocket;
use crate::sys::process::{CloneFlags, setns, unshare};

/// A fresh network namespace, held by its descriptor only.
fn new_netns() -> OwnedFd {
    in_thread(|| {
        unshare(CloneFlags::NEWNET).expect("unshare");
        std::fs::File::open("/proc/thread-self/ns/net").expect("ns").into()
    })
}

/// Runs `work` in a thread that may change its namespaces.
fn in_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join().expect("thread"))
}

fn inside<T: Send>(netns: &OwnedFd, work: impl FnOnce() -> T + Send) -> T {
    in_thread(|| {
        setns(netns.as_fd(), CloneFlags::NEWNET).expect("setns");
        work()
    })
}

/// A pod network of one test's own, removed at the end.
struct Bench {
    dir: tempfile::TempDir,
    bridge: String,
    subnet: Subnet,
    network: Network,
}

impl Bench {
    fn new() -> Self {
        Self::with_prefix(24)
    }

    fn with_prefix(prefix_len: u8) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // Unlike those of a test run at the same time: the pid chooses.
        let pid = std::process::id();
        let third = (pid % 32 * 8 + number) % 256;
        let second = 64 + pid / 32 % 64;
        // The benchmarking network of RFC 6890's neighbour, 100.64.0.0/10.
        let base = Ipv4Addr::from_bits(0x6400_0000 | second << 16 | third << 8);
        let subnet = Subnet::new(base, prefix_len).expect("subnet");
        Self::with(vec![subnet], format!("pt{pid:x}n{number}"), subnet)
    }

    fn with(subnets: Vec<Subnet>, bridge: String, subnet: Subnet) -> Self {
        let dir = tempfile::tempdir().expect("dir");
        let settings = Settings {
            machine_dir: dir.path().into(),
            bridge: bridge.clone(),
            subnets,
            linger: Duration::from_millis(50),
        };
        Self { dir, bridge, subnet, network: Network::new(settings) }
    }

    fn attach(&self, owner: &Owner, netns: &OwnedFd) -> Result<Attachment> {
        let mode = NetworkMode::Bridge;
        self.network.attach(&AttachRequest { owner, mode, netns: netns.as_fd() })
    }

    fn has_link(&self, name: &str) -> bool {
        let mut socket = RouteSocket::open().expect("socket");
        link::find(&mut socket, name).expect("find").is_some()
    }

    fn has_bridge(&self) -> bool {
        self.has_link(&self.bridge)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let mut socket = RouteSocket::open().expect("socket");
        if let Ok(Some(index)) = link::find(&mut socket, &self.bridge) {
            let _ = socket.execute(&[link::delete(index, &self.bridge)]);
        }
    }
}

fn owner(root: &str, uid: &str) -> Owner {
    Owner { root: root.into(), uid: PodUid::new(uid).expect("uid") }
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Serves one connection in `netns` and connects to it from `from`.
fn reaches(listener_in: &OwnedFd, address: IpAddr, from: impl FnOnce(SocketAddr) -> TcpStream) {
    let (netns_address, any) = (address, IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let listener = inside(listener_in, || TcpListener::bind((any, 0)).expect("bind"));
    let port = listener.local_addr().expect("address").port();
    let mut client = from((netns_address, port).into());
    let (mut server, _) = listener.accept().expect("accept");
    server.write_all(b"hello").expect("write");
    drop(server);
    let mut text = String::new();
    client.read_to_string(&mut text).expect("read");
    assert_eq!(text, "hello");
}

#[test]
fn host_and_pods_reach_a_pod_by_its_address_and_pods_reach_the_host() {
    let bench = Bench::new();
    let (web, db) = (new_netns(), new_netns());
    let at_web = bench.attach(&owner("/a", "web"), &web).expect("attach");
    let at_db = bench.attach(&owner("/a", "db"), &db).expect("attach");
    assert_ne!(at_web.addresses, at_db.addresses);
    reaches(&web, at_web.addresses[0], |to| TcpStream::connect(to).expect("from the host"));
    reaches(&web, at_web.addresses[0], |to| {
        inside(&db, || TcpStream::connect(to).expect("from a pod"))
    });
    reaches(&web, Ipv4Addr::LOCALHOST.into(), |to| {
        inside(&web, || TcpStream::connect(to).expect("over lo"))
    });
    let gateway = at_web.gateway.expect("gateway");
    let host = TcpListener::bind((gateway, 0)).expect("the host has the gateway's address");
    let port = host.local_addr().expect("address").port();
    inside(&db, || TcpStream::connect((gateway, port)).expect("from a pod to the host"));
    assert_eq!(at_web.interface.as_deref(), Some("eth0"));
}

#[test]
fn forwarding_stays_as_the_machine_has_it() {
    let read = || std::fs::read("/proc/sys/net/ipv4/ip_forward").expect("read");
    let before = read();
    let bench = Bench::new();
    bench.attach(&owner("/a", "web"), &new_netns()).expect("attach");
    assert_eq!(read(), before);
}

#[test]
fn the_last_pod_of_all_roots_takes_the_bridge_along() {
    let bench = Bench::new();
    let (one, two) = (owner("/a", "same-uid"), owner("/b", "same-uid"));
    let (netns_one, netns_two) = (new_netns(), new_netns());
    let at_one = bench.attach(&one, &netns_one).expect("attach");
    let at_two = bench.attach(&two, &netns_two).expect("attach");
    // The other root's pod of that uid keeps its address.
    assert_eq!(bench.network.release(&one, &at_two.addresses).expect("release"), House::Kept);
    assert_eq!(bench.network.entries().expect("entries").len(), 2);
    assert_eq!(bench.network.release(&one, &at_one.addresses).expect("release"), House::Kept);
    assert_eq!(bench.network.release(&one, &at_one.addresses).expect("again"), House::Kept);
    drop(netns_one);
    assert_eq!(bench.network.release(&two, &at_two.addresses).expect("release"), House::Empty);
    assert!(bench.has_bridge(), "it lingers");
    drop(netns_two);
    bench.network.keep_house().expect("keep house");
    assert!(!bench.has_bridge());
    for attachment in [at_one, at_two] {
        let name = attachment.host_interface.expect("name");
        wait_until("the veth goes with its namespace", || !bench.has_link(&name));
    }
    assert_eq!(bench.network.entries().expect("entries"), []);
}

#[test]
fn a_pod_that_comes_while_the_bridge_lingers_finds_it() {
    let bench = Bench::new();
    let (old, new) = (owner("/a", "old"), owner("/a", "new"));
    let netns = new_netns();
    let at = bench.attach(&old, &netns).expect("attach");
    drop(netns);
    assert_eq!(bench.network.release(&old, &at.addresses).expect("release"), House::Empty);
    let netns = new_netns();
    bench.attach(&new, &netns).expect("attach");
    bench.network.keep_house().expect("keep house");
    assert!(bench.has_bridge());
}

#[test]
fn an_address_is_not_given_out_while_the_old_interface_lives() {
    let bench = Bench::with_prefix(29);
    let netns = new_netns();
    let first = bench.attach(&owner("/a", "first"), &netns).expect("attach");
    // The namespace lives on: somebody still holds it.
    bench.network.release(&owner("/a", "first"), &first.addresses).expect("release");
    let mut others = Vec::new();
    let error = loop {
        let netns = new_netns();
        match bench.attach(&owner("/a", "other"), &netns) {
            Ok(attachment) => others.push((netns, attachment)),
            Err(error) => break error,
        }
    };
    assert_eq!(others.len(), 4, "of five addresses");
    assert!(others.iter().all(|(_, at)| at.addresses != first.addresses));
    assert_eq!(error, Error::Exhausted { subnet: bench.subnet });
    drop(netns);
    let name = first.host_interface.expect("name");
    wait_until("the old interface goes", || !bench.has_link(&name));
    let netns = new_netns();
    let again = bench.attach(&owner("/a", "again"), &netns).expect("attach");
    assert_eq!(again.addresses, first.addresses);
}

#[test]
fn addresses_of_owners_that_crashed_are_found_again() {
    let bench = Bench::with_prefix(30);
    let netns = new_netns();
    let crashed = bench.attach(&owner("/a", "crashed"), &netns).expect("attach");
    drop(netns);
    let name = crashed.host_interface.expect("name");
    wait_until("its namespace dies", || !bench.has_link(&name));
    // Nobody released the only address.
    let netns = new_netns();
    let next = bench.attach(&owner("/b", "next"), &netns).expect("attach");
    assert_eq!(next.addresses, crashed.addresses);
    let house = bench.network.release(&owner("/a", "crashed"), &crashed.addresses);
    assert_eq!(house.expect("release"), House::Kept);
    assert_eq!(bench.network.entries().expect("entries").len(), 1, "it is the next one's now");
    let house = bench.network.release_all(&owner("/b", "next")).expect("release");
    assert_eq!(house, House::Empty);
}

#[test]
fn a_garbled_entry_of_a_crash_is_stale() {
    let bench = Bench::with_prefix(30);
    let folder = bench.dir.path().join("network/addresses");
    std::fs::create_dir_all(&folder).expect("folder");
    let only = bench.subnet.addresses_after(None).next().expect("one");
    std::fs::write(folder.join(only.to_string()), b"{\"root\"").expect("write");
    let netns = new_netns();
    let at = bench.attach(&owner("/a", "web"), &netns).expect("attach");
    assert_eq!(at.addresses, [IpAddr::V4(only)]);
}

#[test]
fn a_bridge_that_a_crash_left_half_made_or_unnoted_is_completed() {
    let bench = Bench::new();
    let mut socket = RouteSocket::open().expect("socket");
    let netns = new_netns();
    bench.attach(&owner("/a", "one"), &netns).expect("attach");
    // The note is lost: the address tells whose bridge it is.
    std::fs::remove_file(bench.dir.path().join("network/subnet")).expect("note");
    bench.attach(&owner("/a", "two"), &new_netns()).expect("attach");
    // The address is lost: the note tells which to set.
    let index = link::find(&mut socket, &bench.bridge).expect("find").expect("bridge");
    socket.execute(&[link::delete(index, &bench.bridge)]).expect("delete");
    let mac = link::mac_of(bench.subnet.gateway());
    socket.execute(&[link::new_bridge(&bench.bridge, mac)]).expect("bridge");
    let web = new_netns();
    let at = bench.attach(&owner("/a", "three"), &web).expect("attach");
    reaches(&web, at.addresses[0], |to| TcpStream::connect(to).expect("from the host"));
}

#[test]
fn a_foreign_bridge_of_that_name_is_left_alone() {
    let bench = Bench::new();
    let mut socket = RouteSocket::open().expect("socket");
    socket.execute(&[link::new_bridge(&bench.bridge, [2, 0, 0, 0, 0, 1])]).expect("bridge");
    let error = bench.attach(&owner("/a", "web"), &new_netns()).expect_err("refused");
    assert!(matches!(error, Error::ForeignBridge { .. }), "{error}");
}

#[test]
fn a_network_that_the_machine_has_a_route_into_is_passed_over() {
    let taken = Bench::new();
    taken.attach(&owner("/a", "web"), &new_netns()).expect("attach");
    let free = Bench::new();
    let both = vec![taken.subnet, free.subnet];
    let name = format!("pb{:x}", std::process::id());
    let bench = Bench::with(both, name.clone(), free.subnet);
    let at = bench.attach(&owner("/a", "web"), &new_netns()).expect("attach");
    assert_eq!(at.gateway, Some(free.subnet.gateway().into()));
    drop(bench);
    let bench = Bench::with(vec![taken.subnet], name, taken.subnet);
    let error = bench.attach(&owner("/a", "web"), &new_netns()).expect_err("overlaps");
    assert_eq!(error, Error::NoSubnet { tried: vec![taken.subnet] });
}

#[test]
fn pods_that_start_at_once_get_different_addresses() {
    let bench = Bench::new();
    let all: Vec<(OwnedFd, Attachment)> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..16)
            .map(|number| {
                let bench = &bench;
                scope.spawn(move || {
                    let netns = new_netns();
                    let root = if number % 2 == 0 { "/a" } else { "/b" };
                    let at = bench.attach(&owner(root, &format!("pod{number}")), &netns);
                    (netns, at.expect("attach"))
                })
            })
            .collect();
        starts.into_iter().map(|start| start.join().expect("thread")).collect()
    });
    let mut addresses: Vec<_> = all.iter().map(|(_, at)| at.addresses.clone()).collect();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), 16);
}

#[test]
fn a_pod_without_a_network_has_lo_and_one_on_the_hosts_has_its_addresses() {
    let bench = Bench::new();
    let netns = new_netns();
    let owner = owner("/a", "web");
    let request = AttachRequest { owner: &owner, mode: NetworkMode::None, netns: netns.as_fd() };
    assert_eq!(bench.network.attach(&request).expect("attach"), Attachment::default());
    reaches(&netns, Ipv4Addr::LOCALHOST.into(), |to| {
        inside(&netns, || TcpStream::connect(to).expect("over lo"))
    });
    let host = AttachRequest { mode: NetworkMode::Host, ..request };
    assert_eq!(bench.network.attach(&host).expect("attach").addresses, host_addresses());
    assert!(!bench.has_bridge());
}

#[test]
fn a_namespace_born_with_other_interfaces_gets_its_own_all_the_same() {
    let bench = Bench::new();
    let netns = new_netns();
    inside(&netns, || {
        let mut socket = RouteSocket::open().expect("socket");
        socket.execute(&[link::new_bridge("other", [2, 0, 0, 0, 0, 1])]).expect("index 2");
    });
    let at = bench.attach(&owner("/a", "web"), &netns).expect("attach");
    reaches(&netns, at.addresses[0], |to| TcpStream::connect(to).expect("from the host"));
}
