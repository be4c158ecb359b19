use crate::{
    adversary::Adversary,
    checks::{contract::Contract, limits::Limits},
    disk::Disk,
    services::Tracker,
};
use rustor_core::{
    config::Config,
    engine::Engine,
    event::Event,
    id::TorrentId,
    record::{Recorder, Transcript},
    rng::Rng,
    time::Instant,
};
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

/// One participant: who it is, where, and what thinks for it.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) brain: Brain,
    pub(crate) disk: Box<Disk>,
    pub(crate) config: Box<Config>,
    /// It does what the protocol says, and so must be treated well.
    pub(crate) honest: bool,
    pub(crate) alive: bool,
    /// How often it was started: answers for an earlier life are lost.
    pub(crate) life: u32,
    /// Its torrents, and which of the world's payloads each is.
    pub(crate) torrents: Vec<(TorrentId, usize)>,
    /// Of the first: how many pieces it has, and whether its peers come from its tracker alone.
    pub(crate) pieces: u32,
    pub(crate) private: bool,
    /// Bytes of payload that went out and came in over connections that are closed.
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// Bytes that came from web seeds, and those that it had from the start.
    pub(crate) fetched: u64,
    pub(crate) had: u64,
    /// When it was first told of a torrent, and when it first had all of it.
    pub(crate) started: Option<Instant>,
    pub(crate) finished: Option<Instant>,
    /// It has all of it now, by its own count. A disk may lose what was there.
    pub(crate) whole: bool,
    /// Of a thousand writes of an honest engine, so many go out with something changed.
    pub(crate) mutations: u64,
    /// It knows its torrents by their magnet links only.
    pub(crate) magnet: bool,
    /// Whom its tracker, or its owner, has told it of.
    pub(crate) named: BTreeSet<IpAddr>,
    /// It died of its disk, and will be back.
    pub(crate) returns: bool,
    /// What its disk and its mutations draw from, so that nobody else's turn matters.
    pub(crate) rng: Rng,
}

/// What thinks for a node.
#[derive(Debug)]
pub(crate) enum Brain {
    /// An engine, with a host around it.
    Engine(Box<Host>),
    /// Somebody who means ill, on raw bytes.
    Adversary(Box<Adversary>),
    /// A tracker.
    Tracker(Box<Tracker>),
}

/// What a host keeps for its engine. What few worlds need is boxed: there may be ten thousand of these, and each is looked at in turn.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) engine: Engine,
    pub(crate) contract: Contract,
    pub(crate) transcript: Transcript,
    /// There if a rate is limited.
    pub(crate) limits: Option<Box<Limits>>,
    /// What the engine was told, if the world is recorded.
    pub(crate) recording: Option<Box<(Recorder, Vec<u8>)>>,
    /// So many blocks its engine asks for at once of one peer.
    pub(crate) most_requests: usize,
    pub(crate) events: Vec<Event>,
    /// When the engine is woken next.
    pub(crate) woken_at: Option<Instant>,
    #[cfg(feature = "planted-bugs")]
    pub(crate) tamper: Option<crate::planted::Tamper>,
}

impl Host {
    /// How many peers hold each piece, as the engine counts.
    pub(crate) fn availability(&self, torrent: TorrentId) -> Option<Vec<u32>> {
        #[allow(unused_mut, reason = "only a planted bug changes it")]
        let mut availability = self.engine.availability(torrent)?;
        #[cfg(feature = "planted-bugs")]
        self.tamper.iter().for_each(|tamper| tamper.availability(&mut availability));
        Some(availability)
    }

    /// The pieces that the engine counts as verified.
    pub(crate) fn verified(&self, torrent: TorrentId) -> Option<Vec<u32>> {
        let verified = self.engine.verified(torrent)?;
        #[allow(unused_mut, reason = "only a planted bug changes it")]
        let mut pieces: Vec<u32> = verified.iter().collect();
        #[cfg(feature = "planted-bugs")]
        self.tamper.iter().for_each(|tamper| tamper.verified(verified.len(), &mut pieces));
        Some(pieces)
    }
}

impl Node {
    pub(crate) fn host(&self) -> Option<&Host> {
        match &self.brain {
            Brain::Engine(host) => Some(host),
            _ => None,
        }
    }

    pub(crate) fn host_mut(&mut self) -> Option<&mut Host> {
        match &mut self.brain {
            Brain::Engine(host) => Some(host),
            _ => None,
        }
    }

    /// Bytes of payload that went out, and came in, so far.
    pub(crate) fn transferred(&self) -> (u64, u64) {
        let lines = || self.host().into_iter().flat_map(|host| host.contract.lines());
        let sent: u64 = lines().map(|line| line.witness.sent).sum();
        let received: u64 = lines().map(|line| line.witness.received).sum();
        (self.sent + sent, self.received + received)
    }

    /// It does what the protocol says, its disk holds what it wrote, and it never read anything else: nobody has a reason to ban it.
    pub(crate) fn is_blameless(&self) -> bool {
        self.honest && self.mutations == 0 && self.disk.is_sound()
    }
}
