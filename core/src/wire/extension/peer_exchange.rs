use super::{ExtensionError, dictionary};
use crate::bencode::{self, Value};
use alloc::vec::Vec;
use core::{
    fmt, iter,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::BitOr,
};

/// The most addresses that are taken from each list of a message, both families together. BEP 11 allows 50 after the first message;
/// real clients send up to twice as many.
pub const MAX_PEX_ADDRESSES: usize = 100;

/// Peers that the sender met and lost, `ut_pex` (BEP 11).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PexMessage {
    /// Peers to which the sender has connected since its last message.
    pub added: Vec<PexPeer>,
    /// Peers to which it no longer is connected.
    pub dropped: Vec<SocketAddr>,
}

/// A peer as peer exchange tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PexPeer {
    /// Where it accepts connections.
    pub address: SocketAddr,
    /// What is known of it.
    pub flags: PexFlags,
}

impl PexMessage {
    /// Reads the payload of an extended message. At most [`MAX_PEX_ADDRESSES`] of each list are kept. Addresses at which no peer can be are
    /// left out; flags that are missing are off.
    ///
    /// # Errors
    ///
    /// No dictionary at the start, or a list whose length is no multiple of an address's.
    pub fn parse(payload: &[u8]) -> Result<PexMessage, ExtensionError> {
        let (root, _) = dictionary(payload)?;
        let bytes = |key: &[u8]| root.get(key).as_ref().and_then(Value::as_bytes).unwrap_or_default();
        let added = addresses_v4(bytes(b"added"))?.zip(flags(bytes(b"added.f")));
        let added6 = addresses_v6(bytes(b"added6"))?.zip(flags(bytes(b"added6.f")));
        let dropped = addresses_v4(bytes(b"dropped"))?.chain(addresses_v6(bytes(b"dropped6"))?);
        Ok(PexMessage {
            added: added
                .chain(added6)
                .take(MAX_PEX_ADDRESSES)
                .filter(|(address, _)| is_peer(*address))
                .map(|(address, flags)| PexPeer { address, flags })
                .collect(),
            dropped: dropped.take(MAX_PEX_ADDRESSES).filter(|address| is_peer(*address)).collect(),
        })
    }

    /// The payload of an extended message. It holds all that the lists hold: keeping to the caps is for the sender's policy.
    pub fn encode(&self) -> Vec<u8> {
        let [mut added, mut added6, mut dropped, mut dropped6] = [const { Vec::new() }; 4];
        let [mut flags, mut flags6] = [const { Vec::new() }; 2];
        for peer in &self.added {
            match put(peer.address, &mut added, &mut added6) {
                IpAddr::V4(_) => flags.push(peer.flags.0),
                IpAddr::V6(_) => flags6.push(peer.flags.0),
            }
        }
        for address in &self.dropped {
            put(*address, &mut dropped, &mut dropped6);
        }
        let lists: [(&[u8], Vec<u8>); 6] = [
            (b"added", added),
            (b"added.f", flags),
            (b"added6", added6),
            (b"added6.f", flags6),
            (b"dropped", dropped),
            (b"dropped6", dropped6),
        ];
        bencode::dictionary(|entries| {
            for (key, list) in &lists {
                // A message must have one list at least.
                if !list.is_empty() || *key == b"added" {
                    entries.key(key).bytes(list);
                }
            }
        })
    }

    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.dropped.is_empty()
    }
}

/// What is known of a peer (BEP 11). Bits without a meaning are kept.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PexFlags(pub u8);

impl PexFlags {
    /// It prefers encrypted connections.
    pub const ENCRYPTION: PexFlags = PexFlags(0x01);
    /// It is a seed or a partial one: it wants nothing.
    pub const SEED: PexFlags = PexFlags(0x02);
    /// It speaks uTP.
    pub const UTP: PexFlags = PexFlags(0x04);
    /// It knows how to punch holes (BEP 55).
    pub const HOLEPUNCH: PexFlags = PexFlags(0x08);
    /// The sender connected to it, not the other way round: it can be reached.
    pub const REACHABLE: PexFlags = PexFlags(0x10);

    /// Whether all of `flags` are set.
    pub const fn contains(self, flags: PexFlags) -> bool {
        self.0 & flags.0 == flags.0
    }
}

impl BitOr for PexFlags {
    type Output = PexFlags;

    fn bitor(self, other: PexFlags) -> PexFlags {
        PexFlags(self.0 | other.0)
    }
}

impl fmt::Debug for PexFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PexFlags({:#04x})", self.0)
    }
}

fn addresses_v4(bytes: &[u8]) -> Result<impl Iterator<Item = SocketAddr>, ExtensionError> {
    let (addresses, rest) = bytes.as_chunks::<6>();
    let parts = |[a, b, c, d, high, low]: &[u8; 6]| (IpAddr::from([*a, *b, *c, *d]), u16::from_be_bytes([*high, *low]));
    whole(bytes, rest, 6)?;
    Ok(addresses.iter().map(parts).map(SocketAddr::from))
}

fn addresses_v6(bytes: &[u8]) -> Result<impl Iterator<Item = SocketAddr>, ExtensionError> {
    let (addresses, rest) = bytes.as_chunks::<18>();
    let parts = |[ip @ .., high, low]: &[u8; 18]| (IpAddr::from(*ip).to_canonical(), u16::from_be_bytes([*high, *low]));
    whole(bytes, rest, 18)?;
    Ok(addresses.iter().map(parts).map(SocketAddr::from))
}

fn whole(bytes: &[u8], rest: &[u8], stride: usize) -> Result<(), ExtensionError> {
    if rest.is_empty() { Ok(()) } else { Err(ExtensionError::PexLength { length: bytes.len(), stride }) }
}

/// The flags in order, and then none for ever.
fn flags(bytes: &[u8]) -> impl Iterator<Item = PexFlags> {
    bytes.iter().copied().chain(iter::repeat(0)).map(PexFlags)
}

/// Whether a peer can be at `address`.
fn is_peer(address: SocketAddr) -> bool {
    let ip = address.ip();
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && ip != IpAddr::V4(Ipv4Addr::BROADCAST)
}

/// Appends the packed form of `address` to the list of its family. Returns its one true form.
fn put(address: SocketAddr, list: &mut Vec<u8>, list6: &mut Vec<u8>) -> IpAddr {
    let ip = address.ip().to_canonical();
    let list = match ip {
        IpAddr::V4(ip) => {
            list.extend_from_slice(&ip.octets());
            list
        }
        IpAddr::V6(ip) => {
            list6.extend_from_slice(&ip.octets());
            list6
        }
    };
    list.extend_from_slice(&address.port().to_be_bytes());
    ip
}
