use crate::{torrent::picker::PeerCursor, util::push, wire::Block};
use alloc::vec::Vec;

/// What the fast extension (BEP 6) adds to a connection beyond rejects; made at first use.
#[derive(Debug, Default)]
pub(crate) struct Fast {
    /// Pieces that the peer lets us ask for while it chokes us. It may not have them.
    allowed: Vec<u32>,
    /// Where the picker's last search among them ended.
    pub(crate) cursor: PeerCursor,
    /// Pieces that the peer would like us to ask for.
    suggested: Vec<u32>,
    granted: Vec<Grant>,
    /// How many of the granted pieces the peer has been told of.
    told: usize,
}

/// A piece that the peer may ask for while we choke it.
#[derive(Debug)]
struct Grant {
    piece: u32,
    /// Bytes of it that may still go.
    left: u32,
}

/// Pieces of each kind that are kept: a set of 10 is what everyone uses, and longer ones are not searched at each pick.
const ALLOWED: usize = 32;
const SUGGESTED: usize = 16;

impl Fast {
    /// The peer lets us ask for `piece` while it chokes us.
    pub(crate) fn allow(&mut self, piece: u32) {
        if self.allowed.len() < ALLOWED && !self.allowed.contains(&piece) {
            push(&mut self.allowed, 5, piece);
            self.cursor = PeerCursor::default();
        }
    }

    /// The peer took that back: it rejected a request for `piece`, or did not answer.
    pub(crate) fn disallow(&mut self, piece: u32) {
        self.allowed.retain(|allowed| *allowed != piece);
    }

    /// The pieces that we may ask for while choked.
    pub(crate) fn allowed(&self) -> &[u32] {
        &self.allowed
    }

    /// The peer would like us to ask for `piece`. The latest suggestions count.
    pub(crate) fn suggest(&mut self, piece: u32) {
        self.suggested.retain(|suggested| *suggested != piece);
        if self.suggested.len() >= SUGGESTED {
            self.suggested.remove(0);
        }
        push(&mut self.suggested, 1, piece);
    }

    /// The pieces that the peer suggests.
    pub(crate) fn suggested(&self) -> &[u32] {
        &self.suggested
    }

    /// Forgets the suggestions that are not to be `kept`.
    pub(crate) fn retain_suggested(&mut self, kept: impl FnMut(&u32) -> bool) {
        self.suggested.retain(kept);
    }

    /// Forgets all pieces from number `count` on: the torrent does not have them.
    pub(crate) fn limit_to(&mut self, count: u32) {
        self.allowed.retain(|piece| *piece < count);
        self.suggested.retain(|piece| *piece < count);
    }

    /// Lets the peer have so many bytes of `piece` while we choke it. Each block may go twice, so that one that was lost with a bad piece
    /// can be had again, but nobody fetches the same piece for ever.
    pub(crate) fn grant(&mut self, piece: u32, length: u32) {
        push(&mut self.granted, 5, Grant { piece, left: length.saturating_mul(2) });
    }

    /// Whether the peer may have `block` although we choke it. If so, it is taken off what it may have.
    pub(crate) fn spend(&mut self, block: Block) -> bool {
        let grant = self.granted.iter_mut().find(|grant| grant.piece == block.piece);
        let Some((grant, left)) = grant.and_then(|grant| grant.left.checked_sub(block.length).map(|left| (grant, left))) else {
            return false;
        };
        grant.left = left;
        true
    }

    /// Whether anything was granted.
    pub(crate) fn grants(&self) -> bool {
        !self.granted.is_empty()
    }

    /// The granted pieces that the peer has not been told of; it is told now.
    pub(crate) fn tell(&mut self) -> impl Iterator<Item = u32> + '_ {
        let from = core::mem::replace(&mut self.told, self.granted.len());
        self.granted.iter().skip(from).map(|grant| grant.piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(piece: u32, offset: u32) -> Block {
        Block { piece, offset, length: 16384 }
    }

    #[test]
    fn a_granted_piece_can_be_had_twice_and_another_never() {
        let mut fast = Fast::default();
        fast.grant(3, 2 * 16384);
        assert_eq!(fast.tell().collect::<Vec<_>>(), [3]);
        assert_eq!(fast.tell().next(), None);
        for offset in [0, 16384, 0, 0] {
            assert!(fast.spend(block(3, offset)));
        }
        assert!(!fast.spend(block(3, 0)) && !fast.spend(block(4, 0)));
    }

    #[test]
    fn whatever_a_peer_allows_and_suggests_only_a_few_pieces_are_kept() {
        let mut fast = Fast::default();
        for piece in (0..1000).chain(0..1000) {
            fast.allow(piece);
            fast.suggest(piece);
        }
        assert_eq!(fast.allowed(), (0..32).collect::<Vec<_>>());
        assert_eq!(fast.suggested(), (984..1000).collect::<Vec<_>>());
        fast.limit_to(990);
        fast.disallow(0);
        assert_eq!((fast.allowed().len(), fast.suggested().len()), (31, 6));
    }
}
