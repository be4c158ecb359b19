use crate::metainfo::InfoHash;
use alloc::vec::Vec;
use core::net::IpAddr;
use sha1::{Digest, Sha1};

/// The pieces that a peer at `ip` may ask for while choked: `count` of them or, if there are fewer, all `pieces` (BEP 6).
///
/// Every peer of the swarm arrives at the same, so that nobody gets more by asking around, and everyone in a /24 gets the same, too. There is no
/// such set for IPv6: it is empty. `count` should be small, 10 or so; time and memory follow it.
pub fn allowed_fast(ip: IpAddr, info_hash: &InfoHash, pieces: u32, count: u32) -> Vec<u32> {
    let IpAddr::V4(ip) = ip.to_canonical() else { return Vec::new() };
    // Drawing until all pieces are there would take long, and drawing more for ever.
    if pieces <= count {
        return (0..pieces).collect();
    }
    let [a, b, c, _] = ip.octets();
    let mut digest: [u8; 20] = Sha1::new().chain_update([a, b, c, 0]).chain_update(info_hash.as_bytes()).finalize().into();
    let mut set = Vec::new();
    // Nearly all pieces may be wanted of many: that the last ones are late to come up must not take for ever.
    for _ in 0..count.saturating_mul(ROUNDS) {
        for word in digest.as_chunks::<4>().0 {
            let Some(piece) = u32::from_be_bytes(*word).checked_rem(pieces) else { return set };
            if set.len() < count as usize && !set.contains(&piece) {
                set.push(piece);
            }
        }
        if set.len() >= count as usize {
            break;
        }
        digest = Sha1::digest(digest).into();
    }
    set
}

/// Digests that are tried for each piece wanted, five draws each: all but never fewer than needed.
const ROUNDS: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use proptest::prelude::*;

    const HASH: InfoHash = InfoHash([0xaa; 20]);

    #[test]
    fn the_vectors_of_the_specification_hold() {
        let ip = IpAddr::from([80, 4, 4, 200]);
        assert_eq!(allowed_fast(ip, &HASH, 1313, 7), [1059, 431, 808, 1217, 287, 376, 1188]);
        assert_eq!(allowed_fast(ip, &HASH, 1313, 9), [1059, 431, 808, 1217, 287, 376, 1188, 353, 508]);
    }

    #[test]
    fn a_network_of_256_addresses_has_one_set() {
        let set = |ip: [u8; 4]| allowed_fast(ip.into(), &HASH, 1000, 10);
        assert_eq!(set([80, 4, 4, 200]), set([80, 4, 4, 1]));
        assert_ne!(set([80, 4, 4, 200]), set([80, 4, 5, 200]));
    }

    #[test]
    fn a_torrent_with_fewer_pieces_allows_all() {
        let ip = IpAddr::from([80, 4, 4, 200]);
        assert_eq!(allowed_fast(ip, &HASH, 3, 10), [0, 1, 2]);
        assert_eq!(allowed_fast(ip, &HASH, 0, 10), []);
        assert_eq!(allowed_fast(ip, &HASH, 10, 10).len(), 10);
    }

    #[test]
    fn ipv6_has_no_set_but_a_mapped_address_is_ipv4() {
        assert_eq!(allowed_fast("2001:db8::1".parse().unwrap(), &HASH, 100, 10), []);
        let mapped = allowed_fast("::ffff:80.4.4.200".parse().unwrap(), &HASH, 1313, 1);
        assert_eq!(mapped, [1059]);
    }

    proptest! {
        #[test]
        fn a_larger_set_begins_with_the_smaller(ip: [u8; 4], hash: [u8; 20], pieces in 0..200u32, count in 0..20u32) {
            let set = |count| allowed_fast(ip.into(), &hash.into(), pieces, count);
            let (smaller, larger) = (set(count), set(count + 1));
            if pieces > count + 1 {
                prop_assert!(larger.starts_with(&smaller));
            }
            prop_assert_eq!(smaller.len(), pieces.min(count) as usize);
            prop_assert_eq!(smaller.iter().collect::<BTreeSet<_>>().len(), smaller.len());
            prop_assert!(smaller.iter().all(|piece| *piece < pieces));
        }
    }
}
