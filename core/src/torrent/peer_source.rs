use core::fmt;

/// Where the address of a peer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum PeerSource {
    /// The owner named it.
    Owner,
    /// A tracker named it, in this session or an earlier one.
    Tracker,
    /// The magnet link names it (`x.pe`).
    Magnet,
    /// It is in the same network (BEP 14).
    LocalDiscovery,
    /// A peer told of it (BEP 11).
    PeerExchange,
    /// An earlier session knew it.
    Resume,
    /// It connected to us.
    Incoming,
}

impl PeerSource {
    /// All there are, those that say most about a peer first.
    pub const ALL: [PeerSource; 7] = [
        PeerSource::Owner,
        PeerSource::Tracker,
        PeerSource::Magnet,
        PeerSource::LocalDiscovery,
        PeerSource::PeerExchange,
        PeerSource::Resume,
        PeerSource::Incoming,
    ];
}

impl fmt::Display for PeerSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            PeerSource::Owner => "owner",
            PeerSource::Tracker => "tracker",
            PeerSource::Magnet => "magnet link",
            PeerSource::LocalDiscovery => "local discovery",
            PeerSource::PeerExchange => "peer exchange",
            PeerSource::Resume => "resume data",
            PeerSource::Incoming => "incoming",
        })
    }
}

/// All sources that named one peer, in one byte.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct PeerSources(u8);

impl PeerSources {
    /// The same, and `source`.
    #[must_use]
    pub const fn with(self, source: PeerSource) -> PeerSources {
        PeerSources(self.0 | 1 << source as u8)
    }

    /// What either of both holds.
    #[must_use]
    pub const fn union(self, other: PeerSources) -> PeerSources {
        PeerSources(self.0 | other.0)
    }

    /// Whether `source` is one of them.
    pub const fn contains(self, source: PeerSource) -> bool {
        self.0 & 1 << source as u8 != 0
    }

    /// The one that says most about the peer.
    pub fn best(self) -> Option<PeerSource> {
        PeerSource::ALL.into_iter().find(|source| self.contains(*source))
    }

    /// Whether a private torrent may connect to such a peer: its tracker named it (BEP 27), or its owner did, who knows what that means.
    pub const fn suit_private(self) -> bool {
        self.contains(PeerSource::Owner) || self.contains(PeerSource::Tracker)
    }

    /// Whether only strangers vouch for the peer, who may name any number of addresses at which nobody is.
    pub(super) fn are_strangers(self) -> bool {
        let trusted = [PeerSource::Owner, PeerSource::Tracker, PeerSource::Magnet, PeerSource::Resume];
        !trusted.into_iter().any(|source| self.contains(source))
    }
}

impl From<PeerSource> for PeerSources {
    fn from(source: PeerSource) -> PeerSources {
        PeerSources::default().with(source)
    }
}

impl fmt::Debug for PeerSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(PeerSource::ALL.into_iter().filter(|source| self.contains(*source))).finish()
    }
}
