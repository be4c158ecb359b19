//! Why a piece is fetched, or is not.

use super::super::Engine;
use crate::{
    id::TorrentId,
    peer::Connection,
    torrent::{
        Torrent,
        picker::{Priority, Rarest},
    },
};
use alloc::vec::Vec;
use core::{fmt, net::SocketAddr};

/// Why a piece is fetched, or is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PieceExplanation {
    /// The piece's index.
    pub piece: u32,
    /// How far it has come, and why no further.
    pub state: PieceState,
    /// How much its owner wants it: all pieces of a better priority that can be had come first.
    pub priority: Priority,
    /// By what the next piece is chosen, of those with the same priority.
    pub order: PickOrder,
    /// Connected peers that hold it.
    pub availability: u32,
    /// How rare the rarest pieces are.
    pub rarest: Rarest,
    /// Who owes us blocks of it, and how many.
    pub asked: Vec<(SocketAddr, u32)>,
}

/// How far a piece has come, and why no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceState {
    /// It is verified and on disk.
    Verified,
    /// The owner does not want the files that it is a part of.
    NotWanted,
    /// All of it came, and the disk hashes and writes it.
    Storing,
    /// Some of it came or is asked for.
    Begun {
        /// Its blocks.
        blocks: u32,
        /// Those that came.
        received: u32,
        /// Those that are asked for.
        requested: u32,
    },
    /// Nobody who is connected holds it.
    NobodyHasIt,
    /// Everybody who holds it chokes us.
    HoldersChoke,
    /// Its turn has not come.
    Waits,
}

/// By what the next piece is chosen, once nothing is left to ask for of those that are begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PickOrder {
    /// The first few pieces come at random.
    Random {
        /// How many more.
        left: u32,
    },
    /// The rarest comes first.
    RarestFirst,
    /// The first comes first, as the owner wants.
    Sequential,
    /// All that is missing was asked for, and the last blocks are asked of several peers.
    Endgame,
}

impl Engine {
    /// Why a piece is fetched or not; `None` if there is no such torrent or piece, or not yet.
    pub fn explain_piece(&self, torrent: TorrentId, piece: u32) -> Option<PieceExplanation> {
        let torrent = self.torrents.get(torrent).filter(|torrent| piece < torrent.geometry.piece_count())?;
        let open = torrent.connections.iter().filter_map(|id| self.connections.get(*id)).filter(|open| open.is_open());
        let holders: Vec<&Connection> = open.filter(|open| open.holdings.has(piece)).collect();
        let asked = holders.iter().map(|open| (open.remote, open.download.as_ref().map_or(0, |download| download.owed_of(piece))));
        Some(PieceExplanation {
            piece,
            state: piece_state(torrent, piece, &holders),
            priority: torrent.picker.priority(piece),
            order: self.pick_order(torrent),
            availability: holders.len() as u32,
            rarest: torrent.picker.rarest(),
            asked: asked.filter(|(_, blocks)| *blocks > 0).collect(),
        })
    }

    fn pick_order(&self, torrent: &Torrent) -> PickOrder {
        let left = self.config.random_first_pieces.saturating_sub(torrent.picker.have_count());
        match () {
            () if torrent.picker.endgame() => PickOrder::Endgame,
            () if torrent.choices.sequential => PickOrder::Sequential,
            () if left > 0 => PickOrder::Random { left },
            () => PickOrder::RarestFirst,
        }
    }
}

fn piece_state(torrent: &Torrent, piece: u32, holders: &[&Connection]) -> PieceState {
    match torrent.picker.progress(piece) {
        _ if torrent.verified.get(piece) => PieceState::Verified,
        Some(progress) if progress.received == progress.blocks => PieceState::Storing,
        _ if !torrent.selection.wants(piece) => PieceState::NotWanted,
        Some(progress) => PieceState::Begun { blocks: progress.blocks, received: progress.received, requested: progress.requested },
        None if holders.is_empty() => PieceState::NobodyHasIt,
        None if holders.iter().all(|open| open.peer_choking) => PieceState::HoldersChoke,
        None => PieceState::Waits,
    }
}

impl fmt::Display for PieceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PieceState::Verified => f.write_str("verified and on disk"),
            PieceState::NotWanted => f.write_str("not wanted"),
            PieceState::Storing => f.write_str("all of it came; the disk hashes and writes it"),
            PieceState::Begun { blocks, received, requested } => {
                write!(f, "{received} of {blocks} blocks came, asked for: {requested}")
            }
            PieceState::NobodyHasIt => f.write_str("nobody who is connected has it"),
            PieceState::HoldersChoke => f.write_str("everybody who has it chokes us"),
            PieceState::Waits => f.write_str("its turn has not come"),
        }
    }
}

impl fmt::Display for PickOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PickOrder::Random { left } => write!(f, "the first pieces come at random (still {left}), then the rarest first"),
            PickOrder::RarestFirst => f.write_str("the rarest piece comes first"),
            PickOrder::Sequential => f.write_str("the first piece comes first, as its owner wants"),
            PickOrder::Endgame => f.write_str("all that is missing is asked for; the last blocks are asked of several peers"),
        }
    }
}
