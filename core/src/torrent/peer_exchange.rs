use crate::{
    id::ConnectionId,
    pex::{PEX_INTERVAL, PexCursor, PexLog},
    time::{Duration, Instant},
    wire::extension::{PexFlags, PexMessage},
};
use alloc::collections::BTreeSet;
use core::net::SocketAddr;

/// Peer exchange of one torrent (BEP 11): of whom is told, and who is told when.
///
/// A peer is looked at when its minute is over, and then again once something has changed; so it costs nothing as long as nothing does, and
/// a change costs the same for few peers and for many.
#[derive(Debug, Default)]
pub(crate) struct PeerExchange {
    log: PexLog,
    /// Who may be told something again, and when.
    waiting: BTreeSet<(Instant, ConnectionId)>,
    /// Who knew all there was, after how many changes.
    informed: BTreeSet<(u64, ConnectionId)>,
    /// How often someone came or went.
    changes: u64,
    /// When those who were informed hear of what has changed since.
    news_due: Option<Instant>,
}

/// One peer to tell of others.
#[derive(Debug)]
pub(crate) struct ToldPeer {
    cursor: PexCursor,
    turn: Turn,
}

/// When it is looked at next.
#[derive(Clone, Copy, Debug)]
enum Turn {
    At(Instant),
    AfterChange(u64),
}

impl PeerExchange {
    /// A connection stands to whoever listens at `address`. What changes is gathered for `delay`.
    pub(crate) fn connected(&mut self, now: Instant, delay: Duration, address: SocketAddr, flags: PexFlags) {
        self.log.connected(address, flags);
        self.changed(now + delay);
    }

    /// More is known of the peer at `address`, if it is connected.
    pub(crate) fn update(&mut self, address: SocketAddr, flags: PexFlags) {
        if self.log.is_connected(address) {
            self.log.connected(address, flags);
        }
    }

    /// Whether it is known that a connection to `address` stands.
    pub(crate) fn is_connected(&self, address: SocketAddr) -> bool {
        self.log.is_connected(address)
    }

    /// The connection to `address` has ended.
    pub(crate) fn disconnected(&mut self, now: Instant, delay: Duration, address: SocketAddr) {
        self.log.disconnected(address);
        self.changed(now + delay);
    }

    fn changed(&mut self, due: Instant) {
        self.changes = self.changes.saturating_add(1);
        if !self.informed.is_empty() {
            self.news_due.get_or_insert(due);
        }
    }

    /// A peer is to be told of others, for the first time at `first`.
    pub(crate) fn join(&mut self, id: ConnectionId, first: Instant) -> ToldPeer {
        self.waiting.insert((first, id));
        ToldPeer { cursor: self.log.join(), turn: Turn::At(first) }
    }

    /// A peer is told no more.
    pub(crate) fn leave(&mut self, id: ConnectionId, peer: ToldPeer) {
        match peer.turn {
            Turn::At(at) => self.waiting.remove(&(at, id)),
            Turn::AfterChange(changes) => self.informed.remove(&(changes, id)),
        };
        self.log.leave(peer.cursor);
    }

    /// Whose turn it is; [`PeerExchange::tell`] must follow.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<ConnectionId> {
        if let Some((at, id)) = self.waiting.first().copied().filter(|(at, _)| *at <= now) {
            self.waiting.remove(&(at, id));
            return Some(id);
        }
        self.news_due.filter(|due| *due <= now)?;
        let behind = self.informed.first().copied().filter(|(changes, _)| *changes < self.changes);
        match behind {
            Some(first) => {
                self.informed.remove(&first);
            }
            None => self.news_due = None,
        }
        behind.map(|(_, id)| id)
    }

    /// What there is to tell the peer whose turn it is, which listens at `receiver`.
    pub(crate) fn tell(&mut self, now: Instant, id: ConnectionId, peer: &mut ToldPeer, receiver: SocketAddr) -> Option<PexMessage> {
        let message = self.log.poll_message(now, &mut peer.cursor, receiver);
        if message.is_some() {
            let next = now + PEX_INTERVAL;
            peer.turn = Turn::At(next);
            self.waiting.insert((next, id));
        } else {
            peer.turn = Turn::AfterChange(self.changes);
            self.informed.insert((self.changes, id));
        }
        message
    }

    /// When it will be someone's turn, unless nothing changes.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let waiting = self.waiting.first().map(|(at, _)| *at);
        [waiting, self.news_due].into_iter().flatten().min()
    }
}
