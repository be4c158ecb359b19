//! Why things are as they are: for people who look at a running engine, or at one that a recording has brought to a moment.

mod piece;

pub use piece::{PickOrder, PieceExplanation, PieceState};

use super::Engine;
use crate::{
    id::TorrentId,
    peer::{Connection, Withheld},
    time::{Duration, Instant},
    torrent::{
        Phase, Torrent,
        choker::{Candidate, Stance},
    },
};
use alloc::{format, string::String, vec::Vec};
use core::{fmt, net::SocketAddr};

/// Why a torrent does what it does, and each of its peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Why the torrent fetches, or does not. The first reason is the one to look at first.
    pub torrent: Vec<TorrentReason>,
    /// Every peer that has shaken hands.
    pub peers: Vec<PeerExplanation>,
    /// What slots are given for.
    pub stance: Stance,
    /// Time to the next choke round, if one is planned.
    pub next_choke_round: Option<Duration>,
}

/// Why a torrent fetches, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TorrentReason {
    /// It stands still because its owner wants that.
    Paused,
    /// It stands still because its disk failed, or its metadata is of no use.
    Failed,
    /// It is on its way out.
    Ending,
    /// What is on disk is being looked at.
    Checking,
    /// Peers are asked for its metadata; so many were there to ask.
    Metadata {
        /// Peers that have shaken hands.
        peers: u32,
    },
    /// It has everything.
    Complete,
    /// So many blocks are asked for, of so many peers.
    Fetching {
        /// Blocks that are to come.
        blocks: u32,
        /// Peers that owe them.
        peers: u32,
    },
    /// So many web seeds send.
    WebSeeds {
        /// How many they are.
        active: u32,
    },
    /// Nobody is known to connect to, and trackers are asked again after so long, if ever.
    NobodyKnown {
        /// Time to the next announce.
        next_announce: Option<Duration>,
    },
    /// Peers are known but none is connected; the next one is tried after so long.
    NobodyConnected {
        /// Peers known.
        known: u32,
        /// Time to the next attempt.
        next_attempt: Option<Duration>,
    },
    /// Nobody who is connected has a piece that is missing here.
    NobodyHasMore {
        /// Peers that have shaken hands.
        peers: u32,
    },
    /// Everybody who has something that is missing here chokes us.
    AllChoke {
        /// How many they are.
        peers: u32,
    },
    /// The disk is behind: nothing more is read from peers until it has written what came.
    DiskBehind,
    /// Peers would send faster than a rate limit of the owner's allows.
    RateLimit,
}

/// Why a peer is treated as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerExplanation {
    /// Which peer.
    pub remote: SocketAddr,
    /// Why it may, or may not, fetch from us.
    pub upload: UploadReason,
    /// What it did that slots are given for, by [`Explanation::stance`]; 0 if it wants nothing.
    pub merit: u64,
    /// Why we fetch from it, or do not.
    pub download: DownloadReason,
    /// Pieces that it has and we want.
    pub interesting: u32,
    /// The pieces of which it owes us blocks, and how many, in the order in which they were asked for.
    pub owes: Vec<(u32, u32)>,
}

/// Why a peer may, or may not, fetch from us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadReason {
    /// It wants nothing that we have.
    WantsNothing,
    /// It has one of the slots.
    HasSlot,
    /// It has the slot that goes round, to find out what it gives for it.
    Optimistic,
    /// It wants something and gets a slot with the next choke round, if nothing changes until then.
    Waits,
    /// It wants something, owes us blocks and sends none. Only the slot that goes round can still reach it.
    Snubs,
    /// It wants something and gives nothing, while others do. Such peers share the slot that goes round.
    GivesNothing,
    /// It wants something; others that did more for it, or whose turn it is, have the slots and keep them.
    NoSlot {
        /// Interested peers that have a slot.
        taken: u32,
        /// Slots that there are.
        slots: u32,
    },
}

/// Why we fetch from a peer, or do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownloadReason {
    /// It has nothing that we want.
    HasNothing,
    /// It has what we want, and chokes us.
    ChokesUs,
    /// It owes us so many blocks, and has sent nothing for too long.
    Snubs {
        /// Blocks.
        blocks: u32,
    },
    /// It owes us so many blocks.
    Owes {
        /// Blocks.
        blocks: u32,
    },
    /// All that it has and we want was asked of others already, or waits for the disk.
    AskedElsewhere,
}

impl Engine {
    /// Why a torrent and its peers are as they are now; `None` if there is no such torrent.
    pub fn explain(&self, torrent: TorrentId) -> Option<Explanation> {
        let torrent = self.torrents.get(torrent)?;
        let open: Vec<&Connection> = self.open_peers(torrent).map(|(_, open)| open).collect();
        let (candidates, stance) = self.candidates(torrent);
        let slots = self.config.limits.upload_slots;
        // The choker is a function of what it sees: what it would say now is what it will say if nothing changes.
        let next = torrent.choker.clone().round(&candidates, slots as usize, self.config.optimistic_rounds, stance);
        let taken = candidates.iter().filter(|candidate| candidate.unchoked).count() as u32;
        let others_give = candidates.iter().any(|candidate| candidate.received > 0);
        let upload = |candidate: &Candidate| match () {
            () if candidate.unchoked && torrent.choker.optimistic() == Some(candidate.connection) => UploadReason::Optimistic,
            () if candidate.unchoked => UploadReason::HasSlot,
            () if next.contains(&candidate.connection) => UploadReason::Waits,
            () if stance == Stance::Leeching && candidate.snubbed => UploadReason::Snubs,
            () if stance == Stance::Leeching && candidate.received == 0 && others_give => UploadReason::GivesNothing,
            () => UploadReason::NoSlot { taken, slots },
        };
        let peers = self.open_peers(torrent).map(|(id, open)| {
            let candidate = candidates.iter().find(|candidate| candidate.connection == id);
            PeerExplanation {
                remote: open.remote,
                upload: candidate.map_or(UploadReason::WantsNothing, upload),
                merit: candidate.map_or(0, |candidate| candidate.received),
                download: download_reason(open),
                interesting: open.interesting,
                owes: open.download.as_ref().map(|download| download.owed()).unwrap_or_default(),
            }
        });
        let next_choke_round = torrent.choke_due.map(|at| at.since(self.now));
        Some(Explanation { peers: peers.collect(), torrent: self.torrent_reasons(torrent, &open), stance, next_choke_round })
    }

    fn torrent_reasons(&self, torrent: &Torrent, open: &[&Connection]) -> Vec<TorrentReason> {
        let peers = open.len() as u32;
        let phase = match &torrent.phase {
            Phase::Active if torrent.is_finished() => Some(TorrentReason::Complete),
            Phase::Active => None,
            Phase::Metadata(_) => Some(TorrentReason::Metadata { peers }),
            Phase::Settling | Phase::Opening | Phase::Checking(..) | Phase::Preparing => Some(TorrentReason::Checking),
            Phase::Paused => Some(TorrentReason::Paused),
            Phase::Failed => Some(TorrentReason::Failed),
            Phase::Ending(_) => Some(TorrentReason::Ending),
        };
        let mut reasons: Vec<TorrentReason> = phase.into_iter().collect();
        if !torrent.takes_peers() || torrent.is_finished() {
            return reasons;
        }
        let active = torrent.web_seeds.iter().filter(|web| web.seed.is_running()).count() as u32;
        if active > 0 {
            reasons.push(TorrentReason::WebSeeds { active });
        }
        let until = |at: Option<Instant>| at.map(|at| at.since(self.now));
        if peers == 0 {
            let known = u32::try_from(torrent.peers.len()).unwrap_or(u32::MAX);
            reasons.push(match known {
                0 => TorrentReason::NobodyKnown { next_announce: until(torrent.announcer.next_deadline()) },
                _ => TorrentReason::NobodyConnected { known, next_attempt: until(torrent.peers.next_deadline()) },
            });
            return reasons;
        }
        if !torrent.is_active() {
            return reasons;
        }
        let owed = open.iter().filter_map(|open| open.download.as_ref()).map(|download| download.outstanding() as u32);
        let (blocks, owing) = owed.filter(|owed| *owed > 0).fold((0, 0), |(blocks, peers), owed| (blocks + owed, peers + 1));
        let useful = open.iter().filter(|open| open.interesting > 0);
        let (useful, choking) = useful.fold((0, 0), |(useful, choking), open| (useful + 1, choking + u32::from(open.peer_choking)));
        if open.iter().any(|open| open.withheld == Some(Withheld::Disk)) {
            reasons.push(TorrentReason::DiskBehind);
        }
        if open.iter().any(|open| open.withheld == Some(Withheld::Rate)) {
            reasons.push(TorrentReason::RateLimit);
        }
        reasons.push(match () {
            () if blocks > 0 => TorrentReason::Fetching { blocks, peers: owing },
            () if useful == 0 => TorrentReason::NobodyHasMore { peers },
            () if choking == useful => TorrentReason::AllChoke { peers: useful },
            () => return reasons,
        });
        reasons
    }
}

fn download_reason(connection: &Connection) -> DownloadReason {
    let blocks = connection.download.as_ref().map_or(0, |download| download.outstanding() as u32);
    match () {
        () if blocks > 0 && connection.is_snubbed() => DownloadReason::Snubs { blocks },
        () if blocks > 0 => DownloadReason::Owes { blocks },
        () if connection.interesting == 0 => DownloadReason::HasNothing,
        () if connection.peer_choking => DownloadReason::ChokesUs,
        () => DownloadReason::AskedElsewhere,
    }
}

/// So many of something, as people say it.
fn count(number: u32, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

impl fmt::Display for TorrentReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TorrentReason::Paused => f.write_str("its owner paused it"),
            TorrentReason::Failed => f.write_str("it failed, and waits for its owner"),
            TorrentReason::Ending => f.write_str("it says goodbye"),
            TorrentReason::Checking => f.write_str("what is on disk is being looked at"),
            TorrentReason::Metadata { peers } => write!(f, "it asks for its metadata; connected peers: {peers}"),
            TorrentReason::Complete => f.write_str("it has everything"),
            TorrentReason::Fetching { blocks, peers } => {
                write!(f, "it is owed {} by {}", count(*blocks, "block"), count(*peers, "peer"))
            }
            TorrentReason::WebSeeds { active: 1 } => f.write_str("a web seed sends"),
            TorrentReason::WebSeeds { active } => write!(f, "{active} web seeds send"),
            TorrentReason::NobodyKnown { next_announce: Some(wait) } => {
                write!(f, "it knows no peer; trackers are asked in {} s", wait.as_secs())
            }
            TorrentReason::NobodyKnown { next_announce: None } => f.write_str("it knows no peer, and has no tracker to ask"),
            TorrentReason::NobodyConnected { known, next_attempt: Some(wait) } => {
                write!(f, "none of {} is connected; the next is tried in {} s", count(*known, "known peer"), wait.as_secs())
            }
            TorrentReason::NobodyConnected { known, next_attempt: None } => {
                write!(f, "none of {} has answered yet", count(*known, "known peer"))
            }
            TorrentReason::NobodyHasMore { peers } => write!(f, "none of {} has a piece that is missing", count(*peers, "peer")),
            TorrentReason::AllChoke { peers } => write!(f, "whoever has something chokes us: {}", count(*peers, "peer")),
            TorrentReason::RateLimit => f.write_str("peers would send faster than its rate limit"),
            TorrentReason::DiskBehind => f.write_str("the disk is behind: reading from peers waits for it"),
        }
    }
}

impl fmt::Display for UploadReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UploadReason::WantsNothing => f.write_str("wants nothing from us"),
            UploadReason::HasSlot => f.write_str("may fetch from us"),
            UploadReason::Optimistic => f.write_str("may fetch from us on trial"),
            UploadReason::Waits => f.write_str("choked until the next round"),
            UploadReason::Snubs => f.write_str("choked: it owes us blocks and sends none"),
            UploadReason::GivesNothing => f.write_str("choked: it gives us nothing, and others do"),
            UploadReason::NoSlot { taken, slots } => write!(f, "choked: {taken} of {slots} slots are taken"),
        }
    }
}

impl fmt::Display for DownloadReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DownloadReason::HasNothing => f.write_str("has nothing that we want"),
            DownloadReason::ChokesUs => f.write_str("chokes us"),
            DownloadReason::Snubs { blocks } => write!(f, "owes us {} and sends none", count(*blocks, "block")),
            DownloadReason::Owes { blocks } => write!(f, "owes us {}", count(*blocks, "block")),
            DownloadReason::AskedElsewhere => f.write_str("all that it has was asked of others"),
        }
    }
}
