//! The machine's own addresses, which pods on its network have.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

/// The addresses by which the machine is known, at most one of each family:
/// the sources it would use towards the world. The loopback address where it
/// has no route there.
#[must_use]
pub fn addresses() -> Vec<IpAddr> {
    // Connecting a UDP socket sends nothing; it asks the routing table. The
    // targets are documentation addresses (RFC 5737, RFC 3849).
    let targets = ["192.0.2.1:9", "203.0.113.1:9", "[2001:db8::1]:9"];
    let mut found: Vec<IpAddr> = Vec::new();
    for target in targets.iter().filter_map(|target| target.parse().ok()) {
        match source_towards(target) {
            Some(address) if !found.iter().any(|known| known.is_ipv4() == address.is_ipv4()) => {
                found.push(address);
            }
            _ => {}
        }
    }
    if found.is_empty() {
        found.push(Ipv4Addr::LOCALHOST.into());
    }
    found
}

fn source_towards(target: SocketAddr) -> Option<IpAddr> {
    let unspecified: SocketAddr =
        if target.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(unspecified).ok()?;
    socket.connect(target).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_unspecified()).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_always_has_an_address_and_one_of_each_family_at_most() {
        let all = addresses();
        assert!(!all.is_empty());
        assert!(all.iter().filter(|address| address.is_ipv4()).count() <= 1);
        assert!(all.iter().filter(|address| address.is_ipv6()).count() <= 1);
    }
}
