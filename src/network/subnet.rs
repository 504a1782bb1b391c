//! IPv4 networks and the addresses in them.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A network with room for a gateway and at least one pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet {
    network: u32,
    prefix_len: u8,
}

/// The text is no network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidSubnet(String);

impl fmt::Display for InvalidSubnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid network {:?}: want ADDRESS/PREFIX with a prefix of 8 to 30", self.0)
    }
}

impl std::error::Error for InvalidSubnet {}

impl Subnet {
    /// The network of `prefix_len` bits that `address` lies in; `None` outside
    /// 8 to 30 bits.
    #[must_use]
    pub const fn new(address: Ipv4Addr, prefix_len: u8) -> Option<Self> {
        if prefix_len < 8 || prefix_len > 30 {
            return None;
        }
        Some(Self { network: address.to_bits() & mask(prefix_len), prefix_len })
    }

    /// The number of fixed bits.
    #[must_use]
    pub fn prefix_len(self) -> u8 {
        self.prefix_len
    }

    /// The machine's own address in it: the first.
    #[must_use]
    pub fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.network + 1)
    }

    /// True if `address` lies in it.
    #[must_use]
    pub fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & mask(self.prefix_len) == self.network
    }

    /// True if any address lies both in it and in the first `prefix_len` bits
    /// of `address` (a route's destination, up to 32 bits).
    #[must_use]
    pub fn overlaps(self, address: Ipv4Addr, prefix_len: u8) -> bool {
        let common = mask(self.prefix_len.min(prefix_len));
        address.to_bits() & common == self.network & common
    }

    /// Every address a pod may have, each once, beginning behind `last` and
    /// going round.
    pub fn addresses_after(self, last: Option<Ipv4Addr>) -> impl Iterator<Item = Ipv4Addr> {
        // Without the network's own address, the gateway's and the broadcast.
        let first = self.network + 2;
        let end = self.network | !mask(self.prefix_len);
        let start = last.map_or(first, |last| last.to_bits().saturating_add(1));
        let start = if (first..end).contains(&start) { start } else { first };
        (start..end).chain(first..start).map(Ipv4Addr::from_bits)
    }
}

const fn mask(prefix_len: u8) -> u32 {
    match prefix_len {
        0 => 0,
        1..=31 => u32::MAX << (32 - prefix_len),
        _ => u32::MAX,
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from_bits(self.network), self.prefix_len)
    }
}

impl FromStr for Subnet {
    type Err = InvalidSubnet;

    fn from_str(text: &str) -> std::result::Result<Self, InvalidSubnet> {
        let parsed = text.split_once('/').and_then(|(address, prefix_len)| {
            Self::new(address.parse().ok()?, prefix_len.parse().ok()?)
        });
        parsed.ok_or_else(|| InvalidSubnet(text.to_owned()))
    }
}

impl TryFrom<String> for Subnet {
    type Error = InvalidSubnet;

    fn try_from(text: String) -> std::result::Result<Self, InvalidSubnet> {
        text.parse()
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> Self {
        subnet.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().expect("valid")
    }

    #[test]
    fn a_network_reads_back_without_its_host_bits() {
        assert_eq!(subnet("10.213.7.9/16").to_string(), "10.213.0.0/16");
        assert_eq!(subnet("10.213.0.0/16").gateway(), Ipv4Addr::new(10, 213, 0, 1));
        for bad in ["", "10.0.0.0", "10.0.0.0/7", "10.0.0.0/31", "10.0.0/8", "x/8", "::/16"] {
            assert!(bad.parse::<Subnet>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_smallest_network_has_one_address_for_a_pod() {
        let all: Vec<_> = subnet("10.0.0.0/30").addresses_after(None).collect();
        assert_eq!(all, [Ipv4Addr::new(10, 0, 0, 2)]);
    }

    #[test]
    fn addresses_go_round_behind_the_last_one() {
        let all = |last: [u8; 4]| -> Vec<u8> {
            let addresses = subnet("10.0.0.0/29").addresses_after(Some(last.into()));
            addresses.map(|address| address.octets()[3]).collect()
        };
        assert_eq!(all([10, 0, 0, 4]), [5, 6, 2, 3, 4]);
        assert_eq!(all([10, 0, 0, 6]), [2, 3, 4, 5, 6]);
        assert_eq!(all([192, 0, 2, 9]), [2, 3, 4, 5, 6]);
    }

    #[test]
    fn networks_overlap_when_one_holds_the_other() {
        let ours = subnet("10.213.0.0/16");
        let table = [
            ([10, 213, 4, 0], 24, true),
            ([10, 0, 0, 0], 8, true),
            ([10, 213, 0, 9], 32, true),
            ([0, 0, 0, 0], 0, true),
            ([10, 212, 0, 0], 16, false),
            ([10, 214, 0, 1], 32, false),
        ];
        for (address, prefix_len, want) in table {
            assert_eq!(ours.overlaps(address.into(), prefix_len), want, "{address:?}/{prefix_len}");
        }
    }

    proptest! {
        #[test]
        fn every_address_comes_once_and_lies_inside(bits: u32, prefix_len in 20_u8..=30, last: u32) {
            let subnet = Subnet::new(bits.into(), prefix_len).expect("valid");
            let mut all: Vec<_> = subnet.addresses_after(Some(last.into())).collect();
            prop_assert!(all.iter().all(|address| subnet.contains(*address)));
            prop_assert_eq!(all.len(), (1 << (32 - prefix_len)) - 3);
            all.sort();
            all.dedup();
            prop_assert_eq!(all.len(), (1 << (32 - prefix_len)) - 3);
            prop_assert!(!all.contains(&subnet.gateway()));
        }
    }
}
