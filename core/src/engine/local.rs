//! Local discovery (BEP 14): what is announced to the network that this machine is part of, and who is heard there.

use super::{
    Engine,
    timers::{STEP, Timer},
};
use crate::{
    action::{Action, AddressFamily},
    id::TorrentId,
    local_discovery::{LOCAL_GROUPS, LocalAnnounce},
    torrent::{PeerSource, Torrent},
};
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;

impl Engine {
    /// Has a torrent announced, or not any more, as its phase, its metainfo and its owner say.
    pub(super) fn discover_locally(&mut self, id: TorrentId) {
        let (Some(local), Some(torrent)) = (&mut self.local, self.torrents.get(id)) else { return };
        if torrent.is_discovered_locally() {
            local.add(self.now, torrent.info_hash);
            self.arm_local();
        } else {
            local.remove(torrent.info_hash);
        }
    }

    pub(super) fn local_due(&mut self) {
        self.local_armed = None;
        let groups = self.local_groups();
        let Some(local) = self.local.as_mut().filter(|_| !groups.is_empty()) else { return };
        if let Some(announce) = local.poll_announce(self.now, 0) {
            for (group, port) in groups {
                let announce = LocalAnnounce { port, ..announce.clone() };
                self.actions.push_back(Action::Multicast { group, payload: announce.encode(group).into() });
            }
        }
        self.arm_local();
    }

    pub(super) fn on_multicast(&mut self, remote: SocketAddr, payload: &Bytes) {
        let Some(local) = &self.local else { return };
        for (info_hash, peer) in local.handle(remote, payload) {
            let Some(id) = self.by_info_hash.get(&info_hash).copied() else { continue };
            let Some(torrent) = self.torrents.get_mut(id).filter(|torrent| torrent.is_discovered_locally()) else { continue };
            torrent.learn(self.now, peer, PeerSource::LocalDiscovery, &self.config);
            self.connect_peers(id);
            self.arm_torrent(id);
        }
    }

    /// Makes sure that the next announce comes when it is due. Without a listener there is nothing to announce.
    pub(super) fn arm_local(&mut self) {
        let due = self.local.as_ref().and_then(|local| local.next_deadline());
        if let Some(at) = due.filter(|_| !self.local_groups().is_empty()) {
            self.timers.arm(&mut self.local_armed, Timer::Local, at.max(self.now + STEP));
        }
    }

    /// The groups whose members could connect to us, and at which port.
    fn local_groups(&self) -> Vec<(SocketAddr, u16)> {
        let port = |group: &SocketAddr| {
            let reached = |ours: &&SocketAddr| AddressFamily::of(ours) == AddressFamily::of(group) && !ours.ip().is_loopback();
            self.listening.iter().find(reached).map(|ours| (*group, ours.port()))
        };
        LOCAL_GROUPS.iter().filter_map(port).collect()
    }
}

impl Torrent {
    /// Whether peers are looked for in the local network. A magnet link's torrent may be private, which only its metadata tells.
    fn is_discovered_locally(&self) -> bool {
        self.choices.local_discovery && self.takes_peers() && self.is_public()
    }
}
