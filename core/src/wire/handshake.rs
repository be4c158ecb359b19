use super::WireError;
use crate::{metainfo::InfoHash, rng::Rng};
use bytes::{Buf, Bytes};
use core::fmt;

/// The first thing that each side of a connection sends (BEP 3): 68 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The extensions that the sender knows.
    pub reserved: Reserved,
    /// The torrent that the connection is about.
    pub info_hash: InfoHash,
    /// The sender.
    pub peer_id: PeerId,
}

impl Handshake {
    /// How long a handshake is, in bytes.
    pub const LENGTH: usize = 68;

    /// The handshake as it goes on the wire.
    pub fn encode(&self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        let parts = PROTOCOL.iter().chain(&self.reserved.0).chain(&self.info_hash.0).chain(&self.peer_id.0);
        for (to, from) in bytes.iter_mut().zip(parts) {
            *to = *from;
        }
        bytes
    }
}

/// Reads one [`Handshake`] from whatever fragments it comes in.
///
/// The responder must know the torrent before it can answer, and some ask without ever sending their peer id (trackers that
/// check whether a peer can be reached): [`reserved`](Self::reserved) and [`info_hash`](Self::info_hash) are there as soon as
/// their bytes are.
#[derive(Clone)]
pub struct HandshakeDecoder {
    bytes: [u8; Handshake::LENGTH],
    filled: u8,
}

impl HandshakeDecoder {
    /// A decoder that has read nothing.
    pub const fn new() -> HandshakeDecoder {
        HandshakeDecoder { bytes: [0; Handshake::LENGTH], filled: 0 }
    }

    /// Takes from the front of `input` what belongs to the handshake, and leaves the rest for the message
    /// [`Decoder`](super::Decoder). Returns the handshake once it is complete.
    ///
    /// # Errors
    ///
    /// [`WireError::NotBitTorrent`] at the first byte that differs from the protocol's name.
    pub fn push(&mut self, input: &mut Bytes) -> Result<Option<Handshake>, WireError> {
        let free = self.bytes.get_mut(usize::from(self.filled)..).unwrap_or_default();
        let taken = free.len().min(input.len());
        for (to, from) in free.iter_mut().zip(input.iter()) {
            *to = *from;
        }
        input.advance(taken);
        self.filled = self.filled.saturating_add(taken as u8);
        if self.received().iter().zip(PROTOCOL).any(|(ours, theirs)| ours != theirs) {
            return Err(WireError::NotBitTorrent);
        }
        Ok(self.handshake())
    }

    /// The bytes taken so far.
    pub fn received(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.filled)).unwrap_or_default()
    }

    /// The sender's extensions, once their bytes came.
    pub fn reserved(&self) -> Option<Reserved> {
        self.part(PROTOCOL.len()).map(Reserved)
    }

    /// The torrent asked for, once its bytes came: 48 are enough.
    pub fn info_hash(&self) -> Option<InfoHash> {
        self.part(PROTOCOL.len() + 8).map(InfoHash)
    }

    fn handshake(&self) -> Option<Handshake> {
        let peer_id = PeerId(self.part(PROTOCOL.len() + 28)?);
        Some(Handshake { reserved: self.reserved()?, info_hash: self.info_hash()?, peer_id })
    }

    /// The `N` bytes from `start`, if they came.
    fn part<const N: usize>(&self, start: usize) -> Option<[u8; N]> {
        self.received().get(start..)?.first_chunk().copied()
    }
}

impl Default for HandshakeDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for HandshakeDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HandshakeDecoder({} of {} bytes)", self.filled, Handshake::LENGTH)
    }
}

/// The handshake's eight reserved bytes, in which a peer says what it knows beyond BEP 3. All bits are kept.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Reserved(pub [u8; 8]);

impl Reserved {
    /// Whether the sender knows the fast extension (BEP 6).
    pub const fn fast(self) -> bool {
        self.0[7] & 0x04 != 0
    }

    /// Whether the sender knows the extension protocol (BEP 10).
    pub const fn extension(self) -> bool {
        self.0[5] & 0x10 != 0
    }

    /// Whether the sender is a node of the DHT (BEP 5).
    pub const fn dht(self) -> bool {
        self.0[7] & 0x01 != 0
    }

    /// Whether the sender knows version 2 torrents and can go over to one (BEP 52).
    pub const fn version_2(self) -> bool {
        self.0[7] & 0x10 != 0
    }

    /// The same, with [`fast`](Self::fast) set.
    #[must_use]
    pub const fn with_fast(self) -> Reserved {
        self.with(7, 0x04)
    }

    /// The same, with [`extension`](Self::extension) set.
    #[must_use]
    pub const fn with_extension(self) -> Reserved {
        self.with(5, 0x10)
    }

    /// The same, with [`dht`](Self::dht) set.
    #[must_use]
    pub const fn with_dht(self) -> Reserved {
        self.with(7, 0x01)
    }

    /// The same, with [`version_2`](Self::version_2) set.
    #[must_use]
    pub const fn with_version_2(self) -> Reserved {
        self.with(7, 0x10)
    }

    const fn with(mut self, byte: usize, bit: u8) -> Reserved {
        self.0[byte] |= bit;
        self
    }
}

impl fmt::Debug for Reserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reserved({:016x})", u64::from_be_bytes(self.0))
    }
}

/// Twenty bytes by which a peer is known to trackers and other peers; by custom they begin with the client's name and version.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub [u8; 20]);

impl PeerId {
    /// A new id: `client`, in the form `-XXnnnn-` (BEP 20), and twelve random bytes.
    pub fn random(client: [u8; 8], rng: &mut Rng) -> PeerId {
        let mut bytes = [0; 20];
        rng.fill(&mut bytes);
        for (to, from) in bytes.iter_mut().zip(client) {
            *to = from;
        }
        PeerId(bytes)
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({self})")
    }
}

/// What every handshake begins with: the name's length and the name.
pub(crate) const PROTOCOL: &[u8; 20] = b"\x13BitTorrent protocol";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Seed;
    use alloc::string::ToString;

    #[test]
    fn a_handshake_is_68_bytes_in_the_order_of_the_specification() {
        let bytes = handshake().encode();
        assert_eq!(&bytes[..20], b"\x13BitTorrent protocol");
        assert_eq!(bytes[20..28], [0x80, 0, 0, 0, 0, 0x10, 0, 0x05]);
        assert_eq!(bytes[28..48], [0xaa; 20]);
        assert_eq!(&bytes[48..], b"-RT0001-abcdefghijkl");
    }

    #[test]
    fn it_is_read_from_any_two_fragments_and_what_follows_is_left() {
        let bytes = [&handshake().encode()[..], b"rest"].concat();
        for at in 0..=bytes.len() {
            let (mut first, mut second) = (Bytes::copy_from_slice(&bytes[..at]), Bytes::copy_from_slice(&bytes[at..]));
            let mut decoder = HandshakeDecoder::new();
            let early = decoder.push(&mut first).unwrap();
            assert_eq!(early.is_some(), at >= 68);
            assert_eq!(early.or(decoder.push(&mut second).unwrap()), Some(handshake()));
            assert_eq!([first, second].concat(), b"rest");
        }
    }

    #[test]
    fn the_torrent_is_known_before_the_peer_id_comes() {
        let bytes = Bytes::copy_from_slice(&handshake().encode());
        let mut decoder = HandshakeDecoder::new();
        assert_eq!(decoder.push(&mut bytes.slice(..27)), Ok(None));
        assert_eq!(decoder.reserved(), None);
        assert_eq!(decoder.push(&mut bytes.slice(27..47)), Ok(None));
        assert_eq!((decoder.reserved(), decoder.info_hash()), (Some(handshake().reserved), None));
        assert_eq!(decoder.push(&mut bytes.slice(47..48)), Ok(None));
        assert_eq!(decoder.info_hash(), Some(handshake().info_hash));
        assert_eq!(decoder.push(&mut bytes.slice(48..)), Ok(Some(handshake())));
    }

    #[test]
    fn another_protocol_is_refused_at_its_first_different_byte() {
        for at in 0..20 {
            let mut bytes = handshake().encode();
            bytes[at] ^= 0x20;
            let bytes = Bytes::copy_from_slice(&bytes);
            let mut decoder = HandshakeDecoder::new();
            assert_eq!(decoder.push(&mut bytes.slice(..at)), Ok(None));
            assert_eq!(decoder.push(&mut bytes.slice(at..=at)), Err(WireError::NotBitTorrent));
            assert_eq!(decoder.received(), &bytes[..=at], "whoever tries an encrypted handshake next needs them");
        }
    }

    #[test]
    fn reserved_bits_have_their_places_and_unknown_ones_are_kept() {
        let none = Reserved::default();
        assert_eq!(none.with_fast(), Reserved([0, 0, 0, 0, 0, 0, 0, 0x04]));
        assert_eq!(none.with_dht(), Reserved([0, 0, 0, 0, 0, 0, 0, 0x01]));
        assert_eq!(none.with_version_2(), Reserved([0, 0, 0, 0, 0, 0, 0, 0x10]));
        assert_eq!(none.with_extension(), Reserved([0, 0, 0, 0, 0, 0x10, 0, 0]));
        assert!(!none.fast() && !none.dht() && !none.extension() && !none.version_2());
        let all = Reserved([0xff; 8]);
        assert!(all.fast() && all.dht() && all.extension() && all.version_2());
        assert_eq!(all.with_fast(), all);
    }

    #[test]
    fn a_random_peer_id_begins_with_the_client() {
        let mut rng = Rng::new(Seed::from_u64(1));
        let (first, second) = (PeerId::random(*b"-RT0001-", &mut rng), PeerId::random(*b"-RT0001-", &mut rng));
        assert!(first.0.starts_with(b"-RT0001-") && second.0.starts_with(b"-RT0001-"));
        assert_ne!(first, second);
        assert_eq!(PeerId(*b"-RT0001-abc\x00efghijk\xff").to_string(), "-RT0001-abc\\x00efghijk\\xff");
    }

    fn handshake() -> Handshake {
        let reserved = Reserved([0x80, 0, 0, 0, 0, 0, 0, 0]).with_fast().with_extension().with_dht();
        Handshake { reserved, info_hash: InfoHash([0xaa; 20]), peer_id: PeerId(*b"-RT0001-abcdefghijkl") }
    }
}
