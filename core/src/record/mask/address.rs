//! Addresses under other addresses: a secret permutation that keeps what belongs together together.

use crate::rng::{Rng, Seed};
use core::net::{IpAddr, SocketAddr};
use sha1::{Digest, Sha1};

/// Which way: from real addresses to masked ones, or back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Mask,
    Unmask,
}

/// The two forms of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    /// Bytes of an address.
    pub(super) const fn length(self) -> usize {
        match self {
            Family::V4 => 4,
            Family::V6 => 16,
        }
    }
}

/// A permutation of all addresses that follows from a key. Addresses that agree in their first bytes still do, in exactly as many, so
/// that networks stay networks (as Crypto-PAn does it, byte by byte instead of bit by bit). What stands for no place in the Internet stays
/// as it is: see [`is_free`].
#[derive(Clone, Debug)]
pub(super) struct Permutation {
    key: Seed,
}

impl Permutation {
    pub(super) fn new(key: Seed) -> Permutation {
        Permutation { key }
    }

    /// The byte of an address that comes after the real bytes `before`: under the permutation, and as it really is.
    pub(super) fn byte(&self, way: Way, family: Family, before: &[u8], byte: u8) -> (u8, u8) {
        if let (Family::V6, Some(rest)) = (family, before.strip_prefix(&V4_MAPPED).or_else(|| before.strip_prefix(&NAT64))) {
            return self.byte(way, Family::V4, rest, byte);
        }
        if !is_free(family, before, byte) {
            return (byte, byte);
        }
        let mut hash = Sha1::new();
        hash.update(self.key.0);
        hash.update([family.length() as u8]);
        hash.update(before);
        let mut seed = Seed([0; 32]);
        seed.0.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
        let free = || (0..=u8::MAX).filter(|byte| is_free(family, before, *byte));
        let mut table = [0; 256];
        let count = free().zip(&mut table).map(|(byte, to)| *to = byte).count();
        let table = table.get_mut(..count).unwrap_or_default();
        Rng::new(seed).shuffle(table);
        let mut pairs = free().zip(table.iter().copied());
        match way {
            Way::Mask => pairs.find(|(real, _)| *real == byte).map_or((byte, byte), |(real, masked)| (masked, real)),
            Way::Unmask => pairs.find(|(_, masked)| *masked == byte).map_or((byte, byte), |(real, _)| (real, real)),
        }
    }

    fn octets<const N: usize>(&self, way: Way, family: Family, mut octets: [u8; N]) -> [u8; N] {
        let mut real = [0; N];
        for (at, octet) in octets.iter_mut().enumerate() {
            let (out, was) = self.byte(way, family, real.get(..at).unwrap_or_default(), *octet);
            *octet = out;
            if let Some(place) = real.get_mut(at) {
                *place = was;
            }
        }
        octets
    }

    pub(super) fn ip(&self, way: Way, ip: IpAddr) -> IpAddr {
        match ip {
            IpAddr::V4(ip) => self.octets(way, Family::V4, ip.octets()).into(),
            IpAddr::V6(ip) => self.octets(way, Family::V6, ip.octets()).into(),
        }
    }

    /// The port stays.
    pub(super) fn socket(&self, way: Way, mut address: SocketAddr) -> SocketAddr {
        address.set_ip(self.ip(way, address.ip()));
        address
    }

    /// Each address of a packed list, with what follows it up to the next: a port, or nothing.
    pub(super) fn packed(&self, way: Way, family: Family, stride: usize, bytes: &mut [u8]) {
        for entry in bytes.chunks_exact_mut(stride.max(1)) {
            match family {
                Family::V4 => self.chunk::<4>(way, family, entry),
                Family::V6 => self.chunk::<16>(way, family, entry),
            }
        }
    }

    fn chunk<const N: usize>(&self, way: Way, family: Family, entry: &mut [u8]) {
        if let Some(octets) = entry.first_chunk_mut::<N>() {
            *octets = self.octets(way, family, *octets);
        }
    }
}

/// IPv4 addresses as IPv6 writes them, and as NAT64 does (RFC 6052).
const V4_MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
const NAT64: [u8; 12] = [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0];

/// Whether the byte after `before` is replaced. Not where the address is of a kind that means the same everywhere: private networks,
/// loopback, link-local, shared, multicast, documentation, unspecified. Of IPv6 all global addresses are replaced, of unique local ones all
/// but the first byte, of link-local ones the interface's half.
fn is_free(family: Family, before: &[u8], byte: u8) -> bool {
    match (family, before) {
        (Family::V4, []) => !matches!(byte, 0 | 10 | 100 | 127 | 169 | 172 | 192 | 198 | 203 | 224..),
        (Family::V4, [first]) => match first {
            0 | 10 | 127 | 224.. => false,
            100 => !(64..128).contains(&byte),
            169 => byte != 254,
            172 => !(16..32).contains(&byte),
            192 => !matches!(byte, 0 | 88 | 168),
            198 => !matches!(byte, 18 | 19 | 51),
            203 => byte != 0,
            _ => true,
        },
        (Family::V4, [first, second, ..]) => is_free(Family::V4, &[*first], *second),
        (Family::V6, []) => (0x20..0x40).contains(&byte),
        (Family::V6, [0x20..0x40 | 0xfc | 0xfd, ..]) => true,
        (Family::V6, [0xfe, ..]) => before.len() >= 8,
        (Family::V6, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    fn permutation(key: u64) -> Permutation {
        Permutation::new(Seed::from_u64(key))
    }

    #[test]
    fn what_stands_for_no_place_in_the_internet_stays() {
        let kept = [
            "0.0.0.0",
            "10.1.2.3",
            "127.0.0.1",
            "192.168.1.1",
            "172.31.0.9",
            "169.254.3.4",
            "100.64.0.1",
            "239.192.152.143",
            "192.0.2.7",
            "::",
            "::1",
            "ff15::efc0:988f",
            "::ffff:10.0.0.1",
        ];
        for ip in kept {
            let ip: IpAddr = ip.parse().unwrap();
            assert_eq!(permutation(1).ip(Way::Mask, ip), ip);
        }
        for ip in ["8.8.8.8", "172.32.0.9", "192.167.1.1", "2001:db8::1", "fd12:3456::1", "fe80::1234:5678:9abc:def0", "::ffff:8.8.8.8"] {
            let ip: IpAddr = ip.parse().unwrap();
            assert_ne!(permutation(1).ip(Way::Mask, ip), ip);
        }
    }

    #[test]
    fn an_ipv4_address_is_the_same_in_either_form() {
        let [plain, mapped] = ["81.2.69.142", "::ffff:81.2.69.142"].map(|ip| permutation(3).ip(Way::Mask, ip.parse().unwrap()));
        assert_eq!(plain, mapped.to_canonical());
        assert_ne!(plain.to_string(), "81.2.69.142");
    }

    proptest! {
        #[test]
        fn every_address_comes_back_and_keeps_its_kind(address: IpAddr, key: u64) {
            let masked = permutation(key).ip(Way::Mask, address);
            prop_assert_eq!(permutation(key).ip(Way::Unmask, masked), address);
            prop_assert_eq!(masked.is_ipv4(), address.is_ipv4());
            prop_assert_eq!((masked.is_loopback(), masked.is_multicast()), (address.is_loopback(), address.is_multicast()));
            if let (IpAddr::V4(masked), IpAddr::V4(address)) = (masked, address) {
                prop_assert_eq!((masked.is_private(), masked.is_link_local()), (address.is_private(), address.is_link_local()));
            }
        }

        #[test]
        fn addresses_agree_in_as_many_bytes_as_before(one: [u8; 4], other: [u8; 4], equal in 0usize..=4, key: u64) {
            let mut other = other;
            other[..equal].copy_from_slice(&one[..equal]);
            let agree = |one: [u8; 4], other: [u8; 4]| one.iter().zip(&other).take_while(|(one, other)| one == other).count();
            let mask = |octets| permutation(key).octets(Way::Mask, Family::V4, octets);
            prop_assert_eq!(agree(mask(one), mask(other)), agree(one, other));
        }
    }
}
