//! Whom a tracker has named, read by itself: nothing of the engine's codec is used.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses in the body of an answer over HTTP (BEP 23, BEP 7).
pub(crate) fn by_http(body: &[u8]) -> impl Iterator<Item = IpAddr> {
    entries(string_after(body, b"5:peers"), four).chain(entries(string_after(body, b"6:peers6"), sixteen))
}

/// The addresses in an answer over UDP, of the family by which it came (BEP 15).
pub(crate) fn by_udp(datagram: &[u8], v6: bool) -> impl Iterator<Item = IpAddr> {
    let peers = datagram.split_at_checked(20).filter(|(head, _)| head.starts_with(&[0, 0, 0, 1])).map(|(_, peers)| peers);
    let peers = peers.unwrap_or_default();
    let (old, new): (&[u8], &[u8]) = if v6 { (&[], peers) } else { (peers, &[]) };
    entries(old, four).chain(entries(new, sixteen))
}

/// Addresses of `N` bytes, each with its port.
fn entries<const N: usize>(bytes: &[u8], address: fn([u8; N]) -> IpAddr) -> impl Iterator<Item = IpAddr> {
    bytes.chunks_exact(N + 2).filter_map(move |entry| entry.first_chunk().copied().map(address))
}

fn four(bytes: [u8; 4]) -> IpAddr {
    Ipv4Addr::from(bytes).into()
}

fn sixteen(bytes: [u8; 16]) -> IpAddr {
    Ipv6Addr::from(bytes).into()
}

/// The bencoded string behind a key.
fn string_after<'a>(body: &'a [u8], key: &[u8]) -> &'a [u8] {
    let Some(at) = body.windows(key.len()).position(|window| window == key) else { return &[] };
    let rest = &body[at + key.len()..];
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let length = std::str::from_utf8(&rest[..digits]).ok().and_then(|text| text.parse::<usize>().ok()).unwrap_or_default();
    rest.get(digits + 1..).and_then(|rest| rest.get(..length)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_families_are_found_and_garbage_names_nobody() {
        let mut body = b"d8:intervali60e5:peers12:".to_vec();
        body.extend([10, 0, 0, 1, 0, 1, 10, 0, 0, 2, 0, 2]);
        body.extend(b"6:peers618:");
        body.extend([0xfd; 16]);
        body.extend(b"\0\x01e");
        let named: Vec<String> = by_http(&body).map(|ip| ip.to_string()).collect();
        assert_eq!(named, ["10.0.0.1", "10.0.0.2", "fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd"]);
        assert_eq!(by_http(b"<html>5:peers99999:</html>").count(), 0);
        let mut datagram = vec![0; 20];
        datagram[3] = 1;
        datagram.extend([10, 0, 0, 3, 0, 1]);
        assert_eq!(by_udp(&datagram, false).map(|ip| ip.to_string()).collect::<Vec<_>>(), ["10.0.0.3"]);
        datagram[3] = 3;
        assert_eq!(by_udp(&datagram, false).count() + by_udp(&[0, 0, 0, 1], false).count(), 0);
    }
}
