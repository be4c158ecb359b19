use crate::{torrent::picker::PeerPieces, util::Bitfield};

/// What a peer has. Seeds, which most connections of most torrents are to or from, need no bitfield.
#[derive(Debug)]
pub(crate) enum Holdings {
    /// Everything.
    All,
    /// These.
    Some(Bitfield),
}

impl Holdings {
    pub(crate) fn new(bitfield: Bitfield) -> Holdings {
        if bitfield.is_full() && !bitfield.is_empty() { Holdings::All } else { Holdings::Some(bitfield) }
    }

    pub(crate) fn view(&self) -> PeerPieces<'_> {
        match self {
            Holdings::All => PeerPieces::All,
            Holdings::Some(bitfield) => PeerPieces::Some(bitfield),
        }
    }

    pub(crate) fn has(&self, piece: u32) -> bool {
        self.view().contains(piece)
    }

    pub(crate) fn is_seed(&self) -> bool {
        matches!(self, Holdings::All)
    }

    /// What the peer has of all `pieces`, but for some.
    pub(crate) fn without(&self, some: &[u32], pieces: u32) -> Bitfield {
        let mut rest = match self {
            Holdings::All => Bitfield::full(pieces),
            Holdings::Some(bitfield) => bitfield.clone(),
        };
        for piece in some {
            rest.clear(*piece);
        }
        rest
    }

    pub(crate) fn count(&self, pieces: u32) -> u32 {
        match self {
            Holdings::All => pieces,
            Holdings::Some(bitfield) => bitfield.count(),
        }
    }
}
