use core::net::{IpAddr, SocketAddr};

/// How much two peers of a swarm should want a connection with each other, the same from either side (BEP 40): higher is better.
///
/// If all prefer higher ones, a newcomer finds room everywhere, and nobody can fill a swarm's places from few networks. The own address
/// must be the one by which the peer knows us. `None` if the two are of different families, between which there is no priority.
pub fn canonical_priority(one: SocketAddr, other: SocketAddr) -> Option<u32> {
    match (one.ip().to_canonical(), other.ip().to_canonical()) {
        (one_ip, other_ip) if one_ip == other_ip => Some(sorted_crc(one.port().to_be_bytes(), other.port().to_be_bytes())),
        (IpAddr::V4(one), IpAddr::V4(other)) => Some(masked_crc(one.octets(), other.octets(), 2)),
        (IpAddr::V6(one), IpAddr::V6(other)) => Some(masked_crc(one.octets(), other.octets(), 6)),
        _ => None,
    }
}

/// Takes the first `whole` bytes as they are, or more: all that agree and one further. Of the rest, every other bit.
fn masked_crc<const N: usize>(one: [u8; N], other: [u8; N], whole: usize) -> u32 {
    let equal = one.iter().zip(&other).take_while(|(one, other)| one == other).count();
    // Equal in the first `whole` bytes, the mask is one byte longer; and so on for each further byte.
    let kept = whole.max(equal.saturating_add(1));
    let mask = |mut address: [u8; N]| {
        address.iter_mut().skip(kept).for_each(|byte| *byte &= 0x55);
        address
    };
    sorted_crc(mask(one), mask(other))
}

fn sorted_crc<const N: usize>(one: [u8; N], other: [u8; N]) -> u32 {
    let (first, second) = if one <= other { (one, other) } else { (other, one) };
    !first.iter().chain(&second).fold(!0, |crc, byte| (crc >> 8) ^ TABLE[usize::from(crc as u8 ^ byte)])
}

/// CRC-32C (Castagnoli), a byte at a time.
static TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn priority(one: &str, other: &str) -> Option<u32> {
        canonical_priority(one.parse().unwrap(), other.parse().unwrap())
    }

    #[test]
    fn the_vectors_of_the_specification_hold() {
        assert_eq!(priority("123.213.32.10:1", "98.76.54.32:2"), Some(0xec2d_7224));
        assert_eq!(priority("123.213.32.10:1", "123.213.32.234:2"), Some(0x9956_8189));
    }

    #[test]
    fn the_checksum_is_crc32c() {
        // RFC 3720, B.4: 32 bytes of zeros, and 32 bytes of ones.
        assert_eq!(sorted_crc([0; 16], [0; 16]), 0x8a91_36aa);
        assert_eq!(sorted_crc([0xff; 16], [0xff; 16]), 0x62a8_ab43);
    }

    #[test]
    fn addresses_in_one_16_keep_a_byte_more() {
        let masked = |one: [u8; 4], other: [u8; 4]| Some(sorted_crc(one, other));
        assert_eq!(priority("10.1.255.255:1", "10.2.255.255:1"), masked([10, 1, 0x55, 0x55], [10, 2, 0x55, 0x55]));
        assert_eq!(priority("10.1.255.255:1", "10.1.254.255:1"), masked([10, 1, 255, 0x55], [10, 1, 254, 0x55]));
        assert_eq!(priority("10.1.255.255:1", "10.1.255.254:1"), masked([10, 1, 255, 255], [10, 1, 255, 254]));
    }

    #[test]
    fn ipv6_begins_with_six_whole_bytes() {
        let ip = |text: &str| text.parse::<core::net::Ipv6Addr>().unwrap().octets();
        let masked = |one: &str, other: &str| Some(sorted_crc(ip(one), ip(other)));
        assert_eq!(priority("[2001:db8:1:ffff:ffff::]:1", "[2001:db8:2:ffff::]:1"), masked("2001:db8:1:5555:5555::", "2001:db8:2:5555::"));
        assert_eq!(priority("[2001:db8:1:feff::]:1", "[2001:db8:1:fdff::]:1"), masked("2001:db8:1:fe55::", "2001:db8:1:fd55::"));
        assert_eq!(priority("[2001:db8:1:feff:f::]:1", "[2001:db8:1:fefe:f::]:1"), masked("2001:db8:1:feff:5::", "2001:db8:1:fefe:5::"));
    }

    #[test]
    fn behind_one_address_the_ports_decide() {
        assert_eq!(priority("1.2.3.4:258", "1.2.3.4:1"), Some(sorted_crc([0, 1], [1, 2])));
    }

    #[test]
    fn families_do_not_mix_but_a_mapped_address_is_ipv4() {
        assert_eq!(priority("1.2.3.4:1", "[2001:db8::1]:1"), None);
        assert_eq!(priority("[::ffff:123.213.32.10]:1", "98.76.54.32:2"), Some(0xec2d_7224));
    }

    proptest! {
        #[test]
        fn both_sides_arrive_at_the_same(one: [u8; 4], other: [u8; 4], ports: [u16; 2]) {
            let (one, other) = (SocketAddr::from((one, ports[0])), SocketAddr::from((other, ports[1])));
            prop_assert_eq!(canonical_priority(one, other), canonical_priority(other, one));
        }
    }
}
