//! Announces: the announcer decides when and to whom, the host carries it, the peers that come back are tried.

use super::Engine;
use crate::{
    action::{Action, AddressFamily},
    command::CommandError,
    error::HttpError,
    event::Event,
    id::{HttpId, TorrentId},
    input::HttpReply,
    tracker::{Announce, AnnounceId, AnnounceRequest, AnnounceResponse, Handled, TrackerFailure, http},
    util::Key,
};
use alloc::{
    borrow::ToOwned,
    string::{String, ToString},
};

/// Marks the keys of announces.
pub(super) enum AnnounceKind {}

/// What an HTTP request is for.
#[derive(Debug)]
pub(super) enum HttpPurpose {
    /// One address family's part of an announce.
    Announce(Key<AnnounceKind>),
}

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
            let wanted = limit.saturating_sub(torrent.connections.len() as u32);
            let statistics = torrent.statistics(if torrent.is_complete() { 0 } else { wanted });
            let Some(announce) = torrent.announcer.poll(self.now, &statistics) else { break };
            self.send_announce(id, announce);
        }
        self.finish_ending(id);
    }

    fn send_announce(&mut self, torrent: TorrentId, announce: Announce) {
        let Some(state) = self.torrents.get_mut(torrent) else { return };
        let port = self.listening.first().map_or(0, |address| address.port());
        let announce_id = announce.id;
        if announce.url.starts_with("udp") {
            let failure = TrackerFailure::Unreachable("UDP trackers are not supported yet".to_owned());
            state.announcer.handle(self.now, announce_id, Err(&failure));
            self.event(Event::TrackerFailed { torrent, url: announce.url, reason: failure.to_string() });
            return;
        }
        let request = AnnounceRequest {
            info_hash: state.metainfo.info_hash(),
            peer_id: self.peer_id.0,
            port,
            uploaded: announce.uploaded,
            downloaded: announce.downloaded,
            left: announce.left,
            event: announce.event,
            peers_wanted: Some(announce.peers_wanted),
            key: Some(announce.key),
            tracker_id: announce.tracker_id,
        };
        let url = http::announce_url(&announce.url, &request);
        let families = self.families();
        let pending =
            PendingAnnounce { torrent, id: announce_id, url: announce.url, parts: families.len() as u32, response: None, failure: None };
        let key = self.announces.insert(pending);
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
        let Some(pending) = self.announces.get_mut(key) else { return };
        let torrent = pending.torrent;
        pending.parts = pending.parts.saturating_sub(1);
        let outcome = match result {
            Ok(reply) => http::decode_announce(reply.status, &reply.body, self.config.known_peers_limit),
            Err(HttpError::NoAddress) => Err(TrackerFailure::Unreachable("the tracker's name has no address".to_owned())),
            Err(HttpError::Failed(reason)) => Err(TrackerFailure::Unreachable(reason)),
        };
        match outcome {
            Ok(response) => {
                // Peers are of use before the other family has answered.
                let peers = response.peers.iter().map(|peer| peer.address);
                if let Some(state) = self.torrents.get_mut(torrent) {
                    for peer in peers {
                        state.peers.add(self.now, peer, &self.config);
                    }
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
        let handled = state.announcer.handle(self.now, id, result);
        let event = match (response, failure) {
            _ if handled == Handled::Stale => return,
            (Some(response), _) => Event::TrackerReplied { torrent, url, peers: response.peers.len(), warning: response.warning },
            (None, failure) => {
                Event::TrackerFailed { torrent, url, reason: failure.map(|failure| failure.to_string()).unwrap_or_default() }
            }
        };
        self.event(event);
        if handled == (Handled::Answered { switched: true }) {
            // A private torrent's peers come from the tracker in use alone (BEP 27).
            self.close_all(torrent, crate::peer::CloseReason::TorrentStopped);
        }
    }
}
