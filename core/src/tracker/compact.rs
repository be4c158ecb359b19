//! Lists of peers as packed addresses and ports (BEP 23, 7).

use super::{GarbledResponse, TrackerPeer};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes of an IPv4 peer.
pub(super) const STRIDE_V4: usize = 6;
/// Bytes of an IPv6 peer.
pub(super) const STRIDE_V6: usize = 18;

/// Appends the IPv4 peers in `bytes` until there are `max_peers`.
pub(super) fn decode_v4(bytes: &[u8], peers: &mut Vec<TrackerPeer>, max_peers: usize) -> Result<(), GarbledResponse> {
    let (chunks, []) = bytes.as_chunks::<STRIDE_V4>() else { return Err(GarbledResponse::Stride(STRIDE_V4)) };
    let addresses = chunks.iter().map(|[a, b, c, d, high, low]| (Ipv4Addr::new(*a, *b, *c, *d).into(), u16::from_be_bytes([*high, *low])));
    extend(peers, max_peers, addresses);
    Ok(())
}

/// Appends the IPv6 peers in `bytes` until there are `max_peers`.
pub(super) fn decode_v6(bytes: &[u8], peers: &mut Vec<TrackerPeer>, max_peers: usize) -> Result<(), GarbledResponse> {
    let (chunks, []) = bytes.as_chunks::<STRIDE_V6>() else { return Err(GarbledResponse::Stride(STRIDE_V6)) };
    let addresses = chunks.iter().map(|[ip @ .., high, low]| (Ipv6Addr::from(*ip).to_canonical(), u16::from_be_bytes([*high, *low])));
    extend(peers, max_peers, addresses);
    Ok(())
}

/// A peer at `ip` and `port`, unless nothing can be reached there.
pub(super) fn peer_at(ip: IpAddr, port: u16) -> Option<TrackerPeer> {
    let reachable = port != 0 && !ip.is_unspecified() && !ip.is_multicast();
    reachable.then_some(TrackerPeer::new(SocketAddr::new(ip, port)))
}

/// Appends the packed form of `address`.
pub(super) fn encode(out: &mut Vec<u8>, address: SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
    }
    out.extend_from_slice(&address.port().to_be_bytes());
}

fn extend(peers: &mut Vec<TrackerPeer>, max_peers: usize, addresses: impl Iterator<Item = (IpAddr, u16)>) {
    let room = max_peers.saturating_sub(peers.len());
    peers.extend(addresses.filter_map(|(ip, port)| peer_at(ip, port)).take(room));
}
