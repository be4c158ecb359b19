//! Peer exchange (BEP 11): peers are told of peers, and we learn of others from them.

use super::Engine;
use crate::{
    id::{ConnectionId, TorrentId},
    peer::{Connection, ProtocolError},
    torrent::PeerSource,
    wire::extension::{Extension, ExtensionMessage, PexFlags, PexMessage},
};
use alloc::{boxed::Box, vec::Vec};

/// Peers that are looked at in one go; others have their turn right after.
const ROUND: usize = 16;

impl Engine {
    /// It is known where a peer listens: from the start where we connected to it, from its extension handshake where it did.
    pub(super) fn listens(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let Some(torrent) = connection.torrent.and_then(|torrent| self.torrents.get_mut(torrent)) else { return };
        let Some(address) = connection.listens_at() else { return };
        if connection.incoming
            && let Some(extended) = &mut connection.extended
            && !extended.listed
        {
            // A private torrent must not try whom its tracker has not named (BEP 27).
            extended.listed = torrent.peers.met(address, torrent.is_public(), &self.config);
        }
        if torrent.exchanges_peers() && torrent.exchange.is_some() {
            self.log_peer(id);
        }
    }

    /// From now on others are told of this peer.
    fn log_peer(&mut self, id: ConnectionId) {
        let (now, delay) = (self.now, self.config.peer_exchange_delay);
        let Some((connection, torrent)) = self.pair(id) else { return };
        let (Some(exchange), Some(address)) = (&mut torrent.exchange, connection.listens_at()) else { return };
        if connection.incoming {
            let Some(extended) = connection.extended.as_mut().filter(|extended| !extended.logged) else { return };
            // Two cannot listen at one place: the first one counts.
            if exchange.is_connected(address) {
                return;
            }
            extended.logged = true;
        }
        exchange.connected(now, delay, address, flags(connection));
        let torrent = torrent.id;
        self.arm_torrent(torrent);
    }

    /// Something has become known that others are told of a peer: it has everything, say.
    pub(super) fn update_flags(&mut self, id: ConnectionId) {
        let Some((connection, torrent)) = self.pair(id) else { return };
        if let Some(exchange) = &mut torrent.exchange
            && let Some(address) = connection.listens_at()
            && (!connection.incoming || connection.extended.as_ref().is_some_and(|extended| extended.logged))
        {
            exchange.update(address, flags(connection));
        }
    }

    /// A peer has said whether it wants to be told of others.
    pub(super) fn exchange_wanted(&mut self, id: ConnectionId) {
        let first = self.now + self.config.peer_exchange_delay;
        let Some((connection, torrent)) = self.pair(id) else { return };
        let Some(extended) = &mut connection.extended else { return };
        if extended.ids.get(Extension::PeerExchange).is_none() {
            if let (Some(exchange), Some(told)) = (&mut torrent.exchange, extended.told.take()) {
                exchange.leave(id, *told);
            }
            return;
        }
        if extended.told.is_some() || !torrent.exchanges_peers() {
            return;
        }
        let news = torrent.exchange.is_none();
        let exchange = torrent.exchange.get_or_insert_default();
        extended.told = Some(Box::new(exchange.join(id, first)));
        let torrent = torrent.id;
        if news {
            // Nobody wanted to know of these before.
            self.open_connections(torrent).into_iter().for_each(|connection| self.log_peer(connection));
        }
        self.arm_torrent(torrent);
    }

    /// A connection is gone: others are told, itself no more.
    pub(super) fn exchange_gone(&mut self, torrent: TorrentId, id: ConnectionId, connection: &mut Connection) {
        let (now, delay) = (self.now, self.config.peer_exchange_delay);
        let Some(exchange) = self.torrents.get_mut(torrent).and_then(|torrent| torrent.exchange.as_mut()) else { return };
        if let Some(told) = connection.extended.as_mut().and_then(|extended| extended.told.take()) {
            exchange.leave(id, *told);
        }
        let logged = !connection.incoming || connection.extended.as_ref().is_some_and(|extended| extended.logged);
        if let Some(address) = connection.listens_at().filter(|_| logged) {
            exchange.disconnected(now, delay, address);
        }
    }

    /// Tells those whose turn it is.
    pub(super) fn exchange_round(&mut self, id: TorrentId) {
        let now = self.now;
        for _ in 0..ROUND {
            let Some(exchange) = self.torrents.get_mut(id).and_then(|torrent| torrent.exchange.as_mut()) else { return };
            let Some(receiver) = exchange.poll(now) else { return };
            let Some(connection) = self.connections.get_mut(receiver) else { continue };
            let address = connection.listens_at().unwrap_or(connection.remote);
            let Some(told) = connection.extended.as_mut().and_then(|extended| extended.told.as_mut()) else { continue };
            if let Some(message) = exchange.tell(now, receiver, told, address) {
                self.say(receiver, ExtensionMessage::PeerExchange(message));
            }
        }
    }

    /// A peer tells of others. Those that it has lost are not forgotten: others may know better, and forgetting must not be theirs to
    /// decide who were strangers to us before.
    pub(super) fn told_of_peers(&mut self, id: ConnectionId, message: &PexMessage) -> Result<(), ProtocolError> {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(id) else { return Ok(()) };
        let Some(torrent) = connection.torrent.and_then(|torrent| self.torrents.get_mut(torrent)) else { return Ok(()) };
        let Some(extended) = connection.extended.as_mut().filter(|_| torrent.exchanges_peers()) else { return Ok(()) };
        let accepted = extended.heard.accept(now, connection.remote.ip(), message);
        for peer in accepted.map_err(|_| ProtocolError::PeerExchange)? {
            torrent.learn(now, peer.address, PeerSource::PeerExchange, &self.config);
            if peer.flags.contains(PexFlags::SEED) {
                torrent.peers.said_to_be_seed(peer.address);
            }
        }
        let torrent = torrent.id;
        self.connect_peers(torrent);
        self.arm_torrent(torrent);
        Ok(())
    }

    /// The owner has switched peer exchange on or off, or the torrent turned out to be private: peers are told.
    pub(super) fn peer_exchange_changed(&mut self, id: TorrentId) {
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        torrent.exchange = None;
        for id in self.open_connections(id) {
            let Some(extended) = self.connections.get_mut(id).and_then(|connection| connection.extended.as_mut()) else { continue };
            (extended.told, extended.logged, extended.handshake_due) = (None, false, true);
            self.mark_dirty(id);
        }
        for connection in self.open_connections(id) {
            self.exchange_wanted(connection);
        }
    }

    fn open_connections(&self, id: TorrentId) -> Vec<ConnectionId> {
        let all = self.torrents.get(id).into_iter().flat_map(|torrent| &torrent.connections);
        all.copied().filter(|id| self.connections.get(*id).is_some_and(Connection::is_open)).collect()
    }
}

/// What others are told of a peer.
fn flags(connection: &Connection) -> PexFlags {
    let wants_nothing = connection.holdings.is_seed() || connection.extended.as_ref().is_some_and(|extended| extended.upload_only);
    let seed = if wants_nothing { PexFlags::SEED } else { PexFlags::default() };
    let reachable = if connection.incoming { PexFlags::default() } else { PexFlags::REACHABLE };
    seed | reachable
}
