//! What the owner may ask. Nothing here changes anything.

use super::Engine;
use crate::{
    choices::Choices,
    config::Config,
    id::TorrentId,
    metainfo::{InfoHash, Metainfo},
    peer::client_name,
    status::{Buffers, FileStatus, PeerStatus, TorrentState, TorrentStatus, WebSeedState, WebSeedStatus},
    torrent::{PeerSource, Phase, Torrent, WebSource},
    tracker::TrackerStatus,
    util::Bitfield,
};
use alloc::{string::ToString, vec::Vec};

impl Engine {
    /// All torrents, in the order of their places.
    pub fn torrents(&self) -> Vec<TorrentStatus> {
        self.torrents.iter().map(|(_, torrent)| self.status(torrent)).collect()
    }

    /// One torrent.
    pub fn torrent(&self, torrent: TorrentId) -> Option<TorrentStatus> {
        self.torrents.get(torrent).map(|torrent| self.status(torrent))
    }

    /// The torrent with this info-hash, if it is listed.
    pub fn find(&self, info_hash: InfoHash) -> Option<TorrentId> {
        self.by_info_hash.get(&info_hash).copied()
    }

    /// What a torrent consists of; `None` while a magnet link's metadata is still to come.
    pub fn metainfo(&self, torrent: TorrentId) -> Option<&Metainfo> {
        self.torrents.get(torrent).and_then(|torrent| torrent.metainfo())
    }

    /// The files of a torrent, padding left out, and how much of each is there; empty while a magnet link's metadata is still to come.
    pub fn files(&self, torrent: TorrentId) -> Vec<FileStatus> {
        let Some(torrent) = self.torrents.get(torrent) else { return Vec::new() };
        let layout = &torrent.layout;
        let verified = |place: u32| {
            let (start, end) = (layout.start_of(place), layout.start_of(place.saturating_add(1)));
            let bytes = |piece: u32| {
                let first = u64::from(piece) * u64::from(layout.piece_length());
                end.min(first + u64::from(layout.piece_size(piece))).saturating_sub(start.max(first))
            };
            layout.pieces_of(place as usize).filter(|piece| torrent.verified.get(*piece)).map(bytes).sum()
        };
        let files = (0..).zip(layout.files()).filter(|(_, file)| !file.padding);
        files
            .map(|(place, file)| FileStatus {
                place,
                path: file.path.clone(),
                length: file.length,
                verified: verified(place),
                priority: torrent.choices.file(place),
            })
            .collect()
    }

    /// What its owner chose for a torrent.
    pub fn choices(&self, torrent: TorrentId) -> Option<&Choices> {
        self.torrents.get(torrent).map(|torrent| &torrent.choices)
    }

    /// The pieces of a torrent that are verified and on disk.
    pub fn verified(&self, torrent: TorrentId) -> Option<&Bitfield> {
        self.torrents.get(torrent).map(|torrent| &torrent.verified)
    }

    /// How many connected peers hold each piece, in the order of pieces; web seeds do not count. `None` where nobody keeps count: while a
    /// magnet link's metadata is still to come, and once every piece is verified.
    pub fn availability(&self, torrent: TorrentId) -> Option<Vec<u32>> {
        let torrent = self.torrents.get(torrent).filter(|torrent| torrent.metainfo().is_some() && !torrent.picker.is_complete())?;
        Some((0..torrent.geometry.piece_count()).map(|piece| torrent.picker.availability(piece)).collect())
    }

    /// The trackers of a torrent, in the order in which they are tried.
    pub fn trackers(&self, torrent: TorrentId) -> impl Iterator<Item = TrackerStatus<'_>> {
        self.torrents.get(torrent).into_iter().flat_map(|torrent| torrent.announcer.status())
    }

    /// The connected peers of a torrent that have shaken hands; empty if there is no such torrent.
    pub fn peers(&self, torrent: TorrentId) -> Vec<PeerStatus> {
        let Some(torrent) = self.torrents.get(torrent) else { return Vec::new() };
        let open = torrent.connections.iter().filter_map(|id| self.connections.get(*id)).filter(|connection| connection.is_open());
        open.map(|connection| PeerStatus {
            remote: connection.remote,
            peer_id: connection.peer_id.0,
            incoming: connection.incoming,
            source: match connection.incoming {
                true => PeerSource::Incoming,
                false => torrent.peers.sources(connection.remote).best().unwrap_or(PeerSource::Owner),
            },
            client: client_name(&connection.peer_id, connection.extended.as_ref().and_then(|extended| extended.client.as_deref())),
            pieces: connection.holdings.count(torrent.geometry.piece_count()),
            am_choking: connection.am_choking,
            am_interested: connection.am_interested,
            peer_choking: connection.peer_choking,
            peer_interested: connection.peer_interested,
            snubbed: connection.is_snubbed(),
            requests: connection.download.as_ref().map_or(0, |download| download.outstanding() as u32),
            downloaded: connection.downloaded(),
            uploaded: connection.uploaded(),
            download_rate: connection.download.as_ref().map_or(0, |download| download.rate(self.now)),
            upload_rate: connection.upload.as_ref().map_or(0, |upload| upload.rate(self.now)),
        })
        .collect()
    }

    /// The web seeds of a torrent, in the order in which it names them; empty until it is active for the first time.
    pub fn web_seeds(&self, torrent: TorrentId) -> Vec<WebSeedStatus> {
        let seeds = self.torrents.get(torrent).map(|torrent| torrent.web_seeds.as_slice()).unwrap_or_default();
        let status = |web: &WebSource| WebSeedStatus {
            url: web.seed.url().into(),
            state: match web.seed.waits_until() {
                Some(until) => WebSeedState::Waiting(until),
                None if web.seed.is_banned() => WebSeedState::Banned,
                None if web.seed.is_running() => WebSeedState::Active,
                None => WebSeedState::Idle,
            },
            fault: web.seed.last_fault().map(|fault| fault.to_string()),
            downloaded: web.seed.downloaded(),
            download_rate: web.seed.rate(self.now),
        };
        seeds.iter().map(status).collect()
    }

    /// What is held for all torrents and peers, counted anew; takes as long as there is much of it.
    #[doc(hidden)]
    pub fn buffers(&self) -> Buffers {
        let mut buffers = Buffers { budgeted: self.blocks_held, ..Buffers::default() };
        for (_, torrent) in self.torrents.iter() {
            let (charge, bytes) = torrent.assembly.held();
            buffers.blocks += charge;
            buffers.gathered += bytes;
        }
        buffers.blocks += self.disk_jobs.iter().map(|(_, job)| job.charge()).sum::<u64>();
        for upload in self.connections.iter().filter_map(|(_, connection)| connection.upload.as_ref()) {
            buffers.read_ahead = buffers.read_ahead.max(upload.held());
            buffers.requests = buffers.requests.max(upload.waiting());
        }
        buffers
    }

    /// Whether so many blocks wait for the disk that nothing is read from peers.
    #[doc(hidden)]
    pub fn is_over_budget(&self) -> bool {
        self.budget_is_used_up()
    }

    /// How the engine is configured now.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The peer id by which peers know us.
    pub fn peer_id(&self) -> [u8; 20] {
        self.peer_id.0
    }

    fn status(&self, torrent: &Torrent) -> TorrentStatus {
        let open = torrent.connections.iter().filter_map(|id| self.connections.get(*id)).filter(|connection| connection.is_open());
        TorrentStatus {
            torrent: torrent.id,
            name: torrent.name(),
            metadata: torrent.metainfo().is_some(),
            info_hash: torrent.info_hash,
            state: match &torrent.phase {
                Phase::Metadata(_) => TorrentState::FetchingMetadata,
                Phase::Settling | Phase::Opening | Phase::Checking(..) => TorrentState::Checking,
                Phase::Preparing | Phase::Active if torrent.is_finished() => TorrentState::Seeding,
                Phase::Preparing | Phase::Active => TorrentState::Downloading,
                Phase::Paused => TorrentState::Paused,
                Phase::Failed => TorrentState::Failed,
                Phase::Ending(_) => TorrentState::Stopping,
            },
            error: torrent.error.clone(),
            total: torrent.layout.total_length(),
            verified: torrent.verified_bytes,
            wanted: torrent.selection.bytes,
            wanted_verified: torrent.selection.verified,
            checked: match &torrent.phase {
                Phase::Checking(checking, _) => checking.checked,
                _ => 0,
            },
            pieces: torrent.geometry.piece_count(),
            pieces_verified: torrent.verified.count(),
            downloaded: torrent.downloaded,
            uploaded: torrent.uploaded,
            wasted: torrent.wasted,
            download_rate: torrent.download_meter.rate(self.now),
            upload_rate: torrent.upload_meter.rate(self.now),
            peers: torrent.open,
            seeds: open.filter(|connection| connection.holdings.is_seed()).count() as u32,
            known_peers: u32::try_from(torrent.peers.len()).unwrap_or(u32::MAX),
            next_announce: torrent.announcer.next_deadline(),
        }
    }
}
