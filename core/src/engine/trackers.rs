//! Announces: the announcer decides when and to whom, the host carries it, the peers that come back are tried.

use super::Engine;
use crate::{
    action::{Action, AddressFamily},
    command::CommandError,
    error::{HttpError, ResolveError},
    event::Event,
    id::{HttpId, ResolveId, TorrentId},
    input::HttpReply,
    metainfo::HostPort,
    torrent::{PeerSource, canonical},
    tracker::{
        Announce, AnnounceId, AnnounceRequest, AnnounceResponse, Handled, TrackerFailure, http,
        udp::{UdpAnswer, authority_of},
    },
    util::Key,
};
use alloc::{
    borrow::ToOwned,
    string::{String, ToString},
    vec::Vec,
};
use bytes::Bytes;
use core::{net::SocketAddr, str::FromStr};

/// Marks the keys of announces.
pub(super) enum AnnounceKind {}

/// What an HTTP request is for.
#[derive(Debug)]
pub(super) enum HttpPurpose {
    /// One address family's part of an announce.
    Announce(Key<AnnounceKind>),
}

/// What a name is looked up for.
#[derive(Debug)]
pub(super) enum Resolving {
    /// A UDP tracker.
    Tracker { announce: Key<AnnounceKind>, url: String, request: AnnounceRequest },
    /// A peer that a magnet link names.
    Peer(TorrentId),
}

const NO_ADDRESS: &str = "the tracker's name has no address";

/// An announce that is under way, to one tracker over every address family (BEP 7).
#[derive(Debug)]
pub(super) struct PendingAnnounce {
    torrent: TorrentId,
    id: AnnounceId,
    url: String,
    /// Requests not answered yet.
    parts: u32,
    response: Option<AnnounceResponse>,
    failure: Option<TrackerFailure>,
}

impl Engine {
    pub(super) fn announce_now(&mut self, id: TorrentId) -> Result<(), CommandError> {
        let torrent = self.torrents.get_mut(id).ok_or(CommandError::NoSuchTorrent)?;
        torrent.announcer.update(self.now);
        self.announce(id);
        self.arm_torrent(id);
        Ok(())
    }

    /// Makes every announce that is due.
    pub(super) fn announce(&mut self, id: TorrentId) {
        loop {
            let limit = self.config.limits.connections_per_torrent;
            let Some(torrent) = self.torrents.get_mut(id) else { return };
            // Seeds ask, too: a leecher that came before them may not ask again for half an hour. A leecher may like others better than those
            // it is connected to.
            let wanted = if torrent.is_finished() { limit.saturating_sub(torrent.connections.len() as u32) } else { limit };
            let statistics = torrent.statistics(wanted);
            let Some(announce) = torrent.announcer.poll(self.now, &statistics) else { break };
            self.send_announce(id, announce);
        }
        self.finish_ending(id);
    }

    fn send_announce(&mut self, torrent: TorrentId, announce: Announce) {
        let Some(state) = self.torrents.get(torrent) else { return };
        let port = self.listening.first().map_or(0, |address| address.port());
        let request = announce.request(state.info_hash, self.peer_id.0, port);
        let pending = PendingAnnounce { torrent, id: announce.id, url: announce.url, parts: 1, response: None, failure: None };
        if let Some(authority) = authority_of(&pending.url) {
            let address = HostPort::from_str(authority);
            let url = pending.url.clone();
            let key = self.announces.insert(pending);
            match address {
                Ok(HostPort { host, port }) => {
                    let resolve = self.resolves.insert(Resolving::Tracker { announce: key, url, request });
                    self.actions.push_back(Action::Resolve { resolve, host, port });
                }
                Err(_) => self.answered(key, Err(TrackerFailure::Unreachable("the tracker's URL names no host and port".to_owned()))),
            }
            return;
        }
        let url = http::announce_url(&pending.url, &request);
        let families = self.families();
        let key = self.announces.insert(PendingAnnounce { parts: families.len() as u32, ..pending });
        for family in families {
            let request = self.http.insert(HttpPurpose::Announce(key));
            self.actions.push_back(Action::Http {
                request,
                url: url.clone(),
                family: *family,
                body_limit: self.config.tracker_body_limit,
                timeout_millis: u32::try_from(self.config.tracker_timeout.as_millis()).unwrap_or(u32::MAX),
            });
        }
    }

    /// One announce for each family that we listen on; where that is one, or unknown, the host may choose.
    fn families(&self) -> &'static [Option<AddressFamily>] {
        let has = |v4: bool| self.listening.iter().any(|address| address.is_ipv4() == v4);
        if has(true) && has(false) { &[Some(AddressFamily::V4), Some(AddressFamily::V6)] } else { &[None] }
    }

    pub(super) fn on_http(&mut self, request: HttpId, result: Result<HttpReply, HttpError>) {
        let Some(HttpPurpose::Announce(key)) = self.http.remove(request) else { return };
        let outcome = match result {
            Ok(reply) => http::decode_announce(reply.status, &reply.body, self.config.known_peers_limit),
            Err(HttpError::NoAddress) => Err(TrackerFailure::Unreachable(NO_ADDRESS.to_owned())),
            Err(HttpError::Failed(reason)) => Err(TrackerFailure::Unreachable(reason)),
        };
        self.answered(key, outcome);
    }

    // UDP trackers (BEP 15)

    pub(super) fn on_resolved(&mut self, id: ResolveId, result: Result<Vec<SocketAddr>, ResolveError>) {
        match self.resolves.remove(id) {
            Some(Resolving::Tracker { announce, url, request }) => self.tracker_resolved(announce, &url, &request, result),
            Some(Resolving::Peer(torrent)) => {
                // A name without an address is as good as no peer.
                let _ = self.add_peers(torrent, result.unwrap_or_default(), PeerSource::Magnet);
            }
            None => {}
        }
    }

    /// Looks up the peers that a magnet link names.
    pub(super) fn resolve_peers(&mut self, torrent: TorrentId, peers: Vec<HostPort>) {
        for HostPort { host, port } in peers {
            let resolve = self.resolves.insert(Resolving::Peer(torrent));
            self.actions.push_back(Action::Resolve { resolve, host, port });
        }
    }

    /// A UDP tracker's name has addresses: announces to the first of each family that we listen on (BEP 7).
    fn tracker_resolved(
        &mut self,
        key: Key<AnnounceKind>,
        url: &str,
        request: &AnnounceRequest,
        result: Result<Vec<SocketAddr>, ResolveError>,
    ) {
        let addresses = match result {
            Ok(addresses) => addresses,
            Err(error) => return self.answered(key, Err(TrackerFailure::Unreachable(error.to_string()))),
        };
        let first = |family: Option<AddressFamily>| {
            addresses.iter().copied().find(|address| family.is_none_or(|family| AddressFamily::of(address) == family))
        };
        let targets: Vec<SocketAddr> = self.families().iter().filter_map(|family| first(*family)).collect();
        if targets.is_empty() {
            return self.answered(key, Err(TrackerFailure::Unreachable(NO_ADDRESS.to_owned())));
        }
        if let Some(pending) = self.announces.get_mut(key) {
            pending.parts = targets.len() as u32;
        }
        for target in targets {
            let exchange = self.udp.announce(self.now, target, url, request.clone());
            self.udp_announces.insert(exchange, key);
        }
        self.pump_udp();
    }

    pub(super) fn on_datagram(&mut self, remote: SocketAddr, payload: &Bytes) {
        self.udp.handle_datagram(self.now, canonical(remote), payload);
        self.pump_udp();
    }

    pub(super) fn udp_due(&mut self) {
        self.udp_armed = None;
        self.udp.handle_timeout(self.now);
        self.pump_udp();
    }

    /// Passes on what the machine of UDP trackers has to say.
    fn pump_udp(&mut self) {
        while let Some(datagram) = self.udp.poll_datagram() {
            self.actions.push_back(Action::SendDatagram { remote: datagram.to, payload: datagram.payload.into() });
        }
        while let Some((exchange, result)) = self.udp.poll_result() {
            let Some(key) = self.udp_announces.remove(&exchange) else { continue };
            match result {
                Ok(UdpAnswer::Announce(response)) => self.answered(key, Ok(response)),
                Ok(UdpAnswer::Scrape(_)) => {}
                Err(failure) => self.answered(key, Err(failure)),
            }
        }
        if let Some(at) = self.udp.next_deadline() {
            self.arm_udp(at);
        }
    }

    // Answers

    /// One part of an announce has ended.
    fn answered(&mut self, key: Key<AnnounceKind>, outcome: Result<AnnounceResponse, TrackerFailure>) {
        let Some(pending) = self.announces.get_mut(key) else { return };
        let torrent = pending.torrent;
        pending.parts = pending.parts.saturating_sub(1);
        match outcome {
            Ok(response) => {
                // Peers are of use before the other family has answered; but a private torrent must first know whether it is the tracker
                // in use that named them.
                if let Some(state) = self.torrents.get_mut(torrent).filter(|state| state.is_public() && state.announcer.awaits(pending.id))
                {
                    let peers = response.peers.iter().map(|peer| peer.address);
                    peers.for_each(|peer| state.learn(self.now, peer, PeerSource::Tracker, &self.config));
                }
                match &mut pending.response {
                    Some(first) => first.merge(response),
                    None => pending.response = Some(response),
                }
            }
            Err(failure) => pending.failure = Some(failure),
        }
        if pending.parts == 0
            && let Some(pending) = self.announces.remove(key)
        {
            self.announced(pending);
        }
        self.connect_peers(torrent);
        self.announce(torrent);
        self.arm_torrent(torrent);
    }

    /// Every family has answered.
    fn announced(&mut self, pending: PendingAnnounce) {
        let PendingAnnounce { torrent, id, url, response, failure, .. } = pending;
        let Some(state) = self.torrents.get_mut(torrent) else { return };
        let result = match (&response, &failure) {
            (Some(response), _) => Ok(response),
            (None, Some(failure)) => Err(failure),
            (None, None) => return,
        };
        let in_use = state.announcer.awaits(id);
        let handled = state.announcer.handle(self.now, id, result);
        let switched = handled == (Handled::Answered { switched: true });
        if switched {
            // A private torrent's peers come from the tracker in use alone (BEP 27), or its owner wishes otherwise.
            state.peers.retain(|sources| sources.contains(PeerSource::Owner));
        }
        if !state.is_public() && in_use {
            let peers = response.iter().flat_map(|response| &response.peers);
            peers.for_each(|peer| state.learn(self.now, peer.address, PeerSource::Tracker, &self.config));
        }
        let event = match (response, failure) {
            _ if handled == Handled::Stale => return,
            (Some(response), _) => Event::TrackerReplied { torrent, url, peers: response.peers.len(), warning: response.warning },
            (None, failure) => {
                Event::TrackerFailed { torrent, url, reason: failure.map(|failure| failure.to_string()).unwrap_or_default() }
            }
        };
        self.event(event);
        if switched {
            self.close_all(torrent, crate::peer::CloseReason::TorrentStopped);
        }
    }
}
