//! Metadata (BEP 9): asked of peers while only a magnet link is known, given to peers ever after.

use super::Engine;
use crate::{
    bencode::Options,
    command::TorrentSource,
    config::Config,
    event::Event,
    id::{ConnectionId, TorrentId},
    metadata::{MetadataEvent, MetadataFetch, MetadataServe},
    metainfo::{Info, Metainfo},
    peer::{CloseReason, Connection, Early, Holdings, ProtocolError},
    time::Instant,
    torrent::{PeerSource, Phase, Torrent, picker::Picker},
    util::Bitfield,
    wire::{
        Limits,
        extension::{Extension, ExtensionMessage, MetadataMessage},
    },
};
use alloc::{boxed::Box, string::ToString, sync::Arc, vec::Vec};
use bytes::Bytes;
use core::net::SocketAddr;

impl Engine {
    /// Looks for peers that know what a magnet link stands for. Tries for ever.
    pub(super) fn fetch_metadata(&mut self, id: TorrentId) {
        let (now, config) = (self.now, self.config.metadata);
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        if torrent.paused {
            torrent.phase = Phase::Paused;
            return;
        }
        torrent.phase = Phase::Metadata(Box::new(MetadataFetch::new(torrent.info_hash, config)));
        let named = match &torrent.source {
            TorrentSource::Magnet(magnet) => magnet.peers.clone(),
            TorrentSource::Metainfo(_) => Vec::new(),
        };
        torrent.announcer.start(now);
        torrent.peers.restart(now);
        self.resolve_peers(id, named);
        self.announce(id);
        self.discover_locally(id);
        self.connect_peers(id);
        self.arm_torrent(id);
    }

    /// A peer has said whether it speaks the metadata exchange, and perhaps how long the metadata is.
    pub(super) fn metadata_offered(&mut self, id: ConnectionId, size: Option<u32>) {
        let now = self.now;
        let Some((connection, torrent)) = self.pair(id) else { return };
        let Phase::Metadata(fetch) = &mut torrent.phase else { return };
        let peer = (id, connection.remote);
        if connection.extended.as_ref().is_some_and(|extended| extended.ids.get(Extension::Metadata).is_some()) {
            fetch.add_peer(now, peer, size);
        } else {
            fetch.remove_peer(now, peer);
        }
        let torrent = torrent.id;
        self.pump_metadata(torrent);
    }

    /// A peer is gone; what it was asked for is asked of others.
    pub(super) fn metadata_peer_gone(&mut self, torrent: TorrentId, id: ConnectionId, remote: SocketAddr) {
        if let Some(Phase::Metadata(fetch)) = self.torrents.get_mut(torrent).map(|torrent| &mut torrent.phase) {
            fetch.remove_peer(self.now, (id, remote));
            self.pump_metadata(torrent);
        }
    }

    pub(super) fn metadata_message(&mut self, id: ConnectionId, message: MetadataMessage) {
        let now = self.now;
        let Some((connection, torrent)) = self.pair(id) else { return };
        let peer = (id, connection.remote);
        match (message, &mut torrent.phase) {
            (MetadataMessage::Request { piece }, _) => {
                let Some(extended) = &mut connection.extended else { return };
                let answer = match torrent.metainfo() {
                    Some(metainfo) => {
                        MetadataServe::new(metainfo.info.raw().clone()).answer(now, extended.quota.get_or_insert_default(), piece)
                    }
                    None => MetadataMessage::Reject { piece },
                };
                return self.say(id, ExtensionMessage::Metadata(answer));
            }
            (MetadataMessage::Data { piece, total_size, data }, Phase::Metadata(fetch)) => {
                fetch.handle_data(now, peer, piece, total_size, &data);
            }
            (MetadataMessage::Reject { piece }, Phase::Metadata(fetch)) => fetch.handle_reject(now, peer, piece),
            // It is here already.
            (MetadataMessage::Data { .. } | MetadataMessage::Reject { .. }, _) => return,
        }
        let torrent = torrent.id;
        self.pump_metadata(torrent);
    }

    /// Makes the requests that are due, and sees what came of earlier ones: a liar that goes leaves its requests to others.
    pub(super) fn pump_metadata(&mut self, id: TorrentId) {
        let now = self.now;
        while let Some(Phase::Metadata(fetch)) = self.torrents.get_mut(id).map(|torrent| &mut torrent.phase) {
            if let Some(event) = fetch.poll_event() {
                match event {
                    MetadataEvent::Liar((_, remote)) => self.ban(id, remote),
                    MetadataEvent::Complete(info) => self.metadata_complete(id, info),
                }
            } else if let Some(((connection, _), piece)) = fetch.poll_request(now) {
                self.say(connection, ExtensionMessage::Metadata(MetadataMessage::Request { piece }));
            } else {
                break;
            }
        }
        self.arm_torrent(id);
    }

    /// The bytes that fit the info-hash are here. Connections stay: what their peers said of pieces before counts now.
    fn metadata_complete(&mut self, id: TorrentId, info: Bytes) {
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        // The hash fits, so what is merely unusual is what its maker meant.
        let info = match Info::parse_with(info, Options::LENIENT) {
            Ok(info) => info,
            Err(error) => return self.metadata_unusable(id, &error.to_string()),
        };
        let private = info.is_private();
        if !torrent.become_known(self.now, info, &self.config) {
            return self.metadata_unusable(id, "its lengths do not fit together");
        }
        self.event(Event::MetadataReceived { torrent: id });
        if let Some(torrent) = self.torrents.get_mut(id) {
            torrent.phase = Phase::Settling;
        }
        if private {
            self.became_private(id);
        }
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        let connections: Vec<ConnectionId> = torrent.connections.iter().copied().collect();
        for connection in connections {
            if let Err(error) = self.pieces_known(connection) {
                self.close(connection, CloseReason::Protocol(error));
            }
        }
        self.settle(id);
    }

    /// A magnet link stands for a private torrent (BEP 27). One tracker is used from now on, and the peers that it named, or the owner did,
    /// are the only ones that may stay: whoever else is connected goes, and what else was learned is forgotten.
    fn became_private(&mut self, id: TorrentId) {
        let now = self.now;
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        let alone = torrent.announcer.use_one_tracker(now);
        torrent.peers.retain(|sources| if alone { sources.suit_private() } else { sources.contains(PeerSource::Owner) });
        if !alone {
            // The tracker in use has named some of those that are forgotten.
            torrent.announcer.update(now);
        }
        let stays = |connection: &Connection| connection.listens_at().is_some_and(|at| torrent.peers.sources(at).suit_private());
        let connections = torrent.connections.iter().copied();
        let gone: Vec<ConnectionId> = connections.filter(|connection| !self.connections.get(*connection).is_some_and(stays)).collect();
        for connection in gone {
            self.close(connection, CloseReason::TorrentStopped);
        }
        self.peer_exchange_changed(id);
        self.discover_locally(id);
    }

    /// Nobody can help that: the torrent fails.
    fn metadata_unusable(&mut self, id: TorrentId, reason: &str) {
        self.stand_still(id, Phase::Failed);
        self.event(Event::MetadataUnusable { torrent: id, reason: reason.into() });
    }

    /// Where to note what a peer says of pieces, as long as we do not know how many there are.
    pub(super) fn early(&mut self, id: ConnectionId) -> Option<&mut Early> {
        let connection = self.connections.get_mut(id)?;
        if self.torrents.get(connection.torrent?)?.metainfo().is_some() {
            return None;
        }
        Some(connection.download(&self.config).early.get_or_insert_default())
    }

    /// The number of pieces is known, after the handshake: takes in what the peer said of them.
    fn pieces_known(&mut self, id: ConnectionId) -> Result<(), ProtocolError> {
        let Some((connection, torrent)) = self.pair(id) else { return Ok(()) };
        if !connection.is_open() {
            return Ok(());
        }
        let pieces = torrent.geometry.piece_count();
        connection.decoder.set_limits(Limits::default().for_pieces(pieces));
        connection.holdings = Holdings::Some(Bitfield::new(pieces));
        torrent.picker.peer_joined(connection.holdings.view());
        if let Some(extended) = &mut connection.extended {
            // Now we have metadata to give.
            extended.handshake_due = true;
        }
        if let Some(fast) = connection.fast_mut() {
            fast.limit_to(pieces);
        }
        let Some(early) = connection.download.as_mut().and_then(|download| download.early.take()) else {
            self.grant_fast(id);
            return Ok(());
        };
        let Early { all, bitfield, changes } = *early;
        if all {
            self.have_all(id);
        } else if let Some(bitfield) = bitfield {
            self.bitfield(id, &bitfield)?;
        }
        changes.into_iter().try_for_each(|(piece, has)| if has { self.have(id, piece) } else { self.dont_have(id, piece) })
    }
}

impl Torrent {
    /// Turns from a magnet link into a torrent; `false` if its lengths are impossible.
    fn become_known(&mut self, now: Instant, info: Info, config: &Config) -> bool {
        let TorrentSource::Magnet(magnet) = &self.source else { return false };
        let metainfo = Metainfo {
            trackers: magnet.trackers.iter().map(|url| Vec::from([url.clone()])).collect(),
            web_seeds: magnet.web_seeds.clone(),
            ..Metainfo::from_info(info)
        };
        let Some((layout, geometry)) = Torrent::shape(&metainfo) else { return false };
        self.source = TorrentSource::Metainfo(metainfo);
        self.layout = Arc::new(layout);
        self.geometry = geometry;
        self.verified = Bitfield::new(geometry.piece_count());
        self.picker = Picker::new(geometry, config.into());
        self.resume = self.saved.take().and_then(|data| crate::torrent::Resume::decode(&data, self.info_hash, &self.layout).ok());
        self.learn_saved(now, config);
        true
    }
}
