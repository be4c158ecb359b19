//! Recordings without addresses: the engine is told other ones.
//!
//! What an engine does depends on the addresses of its peers in many ways, most of them small: the order in which peers are tried, the
//! priority between two peers (BEP 40), who is a neighbour. So it would not do to replace addresses in a recording: its replay would go
//! another way. An [`AddressMask`] stands between an engine and its host instead, as a translator of addresses does between two networks.
//! The engine, and with it the recording, sees masked addresses only, and replays exactly.

mod address;
mod names;
mod stream;

use self::{
    address::{Family, Permutation, Way},
    names::Names,
    stream::StreamMask,
};
use crate::{
    action::Action,
    bencode::{self, Value},
    command::{AddTorrent, Command, TorrentSource},
    error::{HttpError, ResolveError},
    event::Event,
    id::ConnectionId,
    input::Input,
    metainfo::{InfoHash, Magnet, Metainfo},
    rng::Seed,
    storage::DiskOperation,
    tracker::udp::Request,
};
use alloc::{
    boxed::Box,
    collections::BTreeMap,
    string::{String, ToString},
    vec::Vec,
};
use bytes::Bytes;
use core::net::{IpAddr, SocketAddr};

/// Gives everybody another address, and trackers and web seeds another URL; stands between an engine and its host.
///
/// Whatever the host has for the engine goes through [`input`](AddressMask::input) or [`command`](AddressMask::command), and before
/// that into no recording; whatever the engine says goes through [`action`](AddressMask::action) or [`event`](AddressMask::event).
///
/// # What is replaced
///
/// The addresses of peers, trackers and ourselves, in whatever they come: connections, datagrams, answers of trackers, peer exchange,
/// extension handshakes, resume data. The URLs of trackers and web seeds, passkeys included, and the names of hosts, also in error
/// messages. Comments and other parts of a torrent file that the engine does not need are left out.
///
/// Addresses that had so many bytes in common still have: networks can be told apart, but not which they are. Whoever knows the real
/// addresses of some peers of a recording learns something about their neighbours.
///
/// # What is kept
///
/// Ports; addresses that mean the same everywhere, such as those of private networks; the torrents' names, files and info-hashes; local
/// paths; peer ids and the names of clients; sizes and times. A recording tells what was downloaded, and when.
#[derive(Clone, Debug)]
pub struct AddressMask {
    permutation: Permutation,
    names: Names,
    /// What came with torrent files, for their owner.
    metainfos: BTreeMap<InfoHash, Metainfo>,
    /// What comes in and what goes out on each connection.
    streams: BTreeMap<ConnectionId, [StreamMask; 2]>,
}

impl AddressMask {
    /// A mask that nobody can take off who does not know `key`. It must be drawn for the mask alone: an engine's seed stands in its
    /// recording.
    pub fn new(key: Seed) -> AddressMask {
        AddressMask { permutation: Permutation::new(key), names: Names::default(), metainfos: BTreeMap::new(), streams: BTreeMap::new() }
    }

    /// An input, as the engine is to be told.
    pub fn input(&mut self, input: Input) -> Input {
        match input {
            Input::Listening(address) => Input::Listening(self.masked(address)),
            Input::Incoming { incoming, remote } => Input::Incoming { incoming, remote: self.masked(remote) },
            Input::Read { connection, result } => Input::Read {
                connection,
                result: result.map(|mut buffer| {
                    buffer.data = self.rewrite(connection, Way::Mask, &buffer.data);
                    buffer
                }),
            },
            Input::Http { request, result } => Input::Http {
                request,
                result: match result {
                    Ok(mut reply) => {
                        reply.body = self.announce_body(&reply.body);
                        Ok(reply)
                    }
                    Err(error) => Err(self.http_error(error)),
                },
            },
            Input::FetchHead { fetch, result } => Input::FetchHead { fetch, result: result.map_err(|error| self.http_error(error)) },
            Input::FetchBody { fetch, result } => Input::FetchBody { fetch, result: result.map_err(|error| self.http_error(error)) },
            Input::Resolved { resolve, result } => Input::Resolved {
                resolve,
                result: match result {
                    Ok(addresses) => Ok(addresses.into_iter().map(|address| self.masked(address)).collect()),
                    Err(ResolveError(text)) => Err(ResolveError(self.text(Way::Mask, &text))),
                },
            },
            Input::Datagram { remote, payload } => {
                Input::Datagram { remote: self.masked(remote), payload: self.tracker_datagram(remote, &payload) }
            }
            Input::Multicast { remote, payload } => Input::Multicast { remote: self.masked(remote), payload },
            Input::Timeout | Input::Connected { .. } | Input::Written { .. } | Input::Disk { .. } => input,
        }
    }

    /// A command, as the engine is to be given it.
    pub fn command(&mut self, command: Command) -> Command {
        match command {
            Command::Add(torrent) => Command::Add(Box::new(self.torrent(*torrent))),
            Command::AddPeers { torrent, peers } => Command::AddPeers { torrent, peers: self.all_masked(peers) },
            Command::Pause(_)
            | Command::Resume(_)
            | Command::Remove { .. }
            | Command::Recheck(_)
            | Command::Announce(_)
            | Command::SetLimits(_)
            | Command::ShutDown
            | Command::Choose { .. } => command,
        }
    }

    /// An action of the engine's, as the host is to do it.
    pub fn action(&mut self, action: Action) -> Action {
        match action {
            Action::Connect { connection, remote } => {
                self.streams.insert(connection, [StreamMask::new(), StreamMask::new()]);
                Action::Connect { connection, remote: self.unmasked(remote) }
            }
            Action::Accept { connection, .. } => {
                self.streams.insert(connection, [StreamMask::new(), StreamMask::new()]);
                action
            }
            Action::Close { connection } => {
                self.streams.remove(&connection);
                action
            }
            Action::Write { connection, mut buffers } => {
                buffers.iter_mut().for_each(|data| *data = self.rewrite(connection, Way::Unmask, data));
                Action::Write { connection, buffers }
            }
            Action::Disk { job, torrent, operation: DiskOperation::SaveResume { data } } => {
                Action::Disk { job, torrent, operation: DiskOperation::SaveResume { data: self.resume(Way::Unmask, &data).into() } }
            }
            Action::Http { request, url, family, body_limit, timeout_millis } => {
                Action::Http { request, url: self.names.unmask_url(&url), family, body_limit, timeout_millis }
            }
            Action::Fetch { fetch, url, range } => Action::Fetch { fetch, url: self.names.unmask_url(&url), range },
            Action::Resolve { resolve, host, port } => Action::Resolve { resolve, host: self.unmasked_host(&host), port },
            Action::SendDatagram { remote, payload } => {
                Action::SendDatagram { remote: self.unmasked(remote), payload: self.announce_datagram(payload) }
            }
            Action::Multicast { group, payload } => Action::Multicast { group: self.unmasked(group), payload },
            Action::Refuse { .. } | Action::Read { .. } | Action::Disk { .. } | Action::FetchRead { .. } | Action::FetchCancel { .. } => {
                action
            }
        }
    }

    /// An event, as its owner is to be told.
    pub fn event(&self, event: Event) -> Event {
        match event {
            Event::TrackerReplied { torrent, url, peers, warning } => {
                let warning = warning.map(|warning| self.text(Way::Unmask, &warning));
                Event::TrackerReplied { torrent, url: self.names.unmask_url(&url), peers, warning }
            }
            Event::TrackerFailed { torrent, url, reason } => {
                Event::TrackerFailed { torrent, url: self.names.unmask_url(&url), reason: self.text(Way::Unmask, &reason) }
            }
            Event::PeerConnected { torrent, remote } => Event::PeerConnected { torrent, remote: self.unmasked(remote) },
            Event::PeerDisconnected { torrent, remote, reason } => {
                Event::PeerDisconnected { torrent, remote: self.unmasked(remote), reason }
            }
            Event::PeerBanned { torrent, remote } => Event::PeerBanned { torrent, remote: self.unmasked(remote) },
            Event::WebSeedFailed { torrent, url, reason } => {
                Event::WebSeedFailed { torrent, url: self.names.unmask_url(&url), reason: self.text(Way::Unmask, &reason) }
            }
            Event::WebSeedBanned { torrent, url } => Event::WebSeedBanned { torrent, url: self.names.unmask_url(&url) },
            Event::MetadataReceived { .. }
            | Event::MetadataUnusable { .. }
            | Event::Checked { .. }
            | Event::PieceVerified { .. }
            | Event::PieceFailed { .. }
            | Event::Finished { .. }
            | Event::GoalReached { .. }
            | Event::Failed { .. }
            | Event::Removed { .. }
            | Event::ShutDown => event,
        }
    }

    /// What a torrent really consists of, which the engine knows in this form.
    pub fn metainfo(&self, masked: &Metainfo) -> Metainfo {
        let url = |url: &String| self.names.unmask_url(url);
        self.metainfos.get(&masked.info_hash()).cloned().unwrap_or_else(|| Metainfo {
            trackers: masked.trackers.iter().map(|tier| tier.iter().map(url).collect()).collect(),
            web_seeds: masked.web_seeds.iter().map(url).collect(),
            ..masked.clone()
        })
    }

    /// The real address that the engine knows in this form.
    pub fn address(&self, masked: SocketAddr) -> SocketAddr {
        self.unmasked(masked)
    }

    /// The real URL that the engine knows in this form.
    pub fn url(&self, masked: &str) -> String {
        self.names.unmask_url(masked)
    }

    // Single things

    fn masked(&self, address: SocketAddr) -> SocketAddr {
        self.permutation.socket(Way::Mask, address)
    }

    fn unmasked(&self, address: SocketAddr) -> SocketAddr {
        self.permutation.socket(Way::Unmask, address)
    }

    fn all_masked(&self, addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
        addresses.into_iter().map(|address| self.masked(address)).collect()
    }

    fn unmasked_host(&self, host: &str) -> String {
        match host.parse::<IpAddr>() {
            Ok(ip) => self.permutation.ip(Way::Unmask, ip).to_string(),
            Err(_) => self.names.unmask_host(host),
        }
    }

    fn text(&self, way: Way, text: &str) -> String {
        self.names.text(&self.permutation, way, text)
    }

    fn http_error(&self, error: HttpError) -> HttpError {
        match error {
            HttpError::Failed(text) => HttpError::Failed(self.text(Way::Mask, &text)),
            HttpError::NoAddress => HttpError::NoAddress,
        }
    }

    fn rewrite(&mut self, connection: ConnectionId, way: Way, data: &Bytes) -> Bytes {
        match (self.streams.get_mut(&connection), way) {
            (Some([incoming, _]), Way::Mask) => incoming.rewrite(&self.permutation, way, data),
            (Some([_, outgoing]), Way::Unmask) => outgoing.rewrite(&self.permutation, way, data),
            // It comes for a connection that is gone: the engine does not look at it.
            (None, _) => Bytes::new(),
        }
    }

    // Torrents

    fn torrent(&mut self, torrent: AddTorrent) -> AddTorrent {
        let source = match torrent.source {
            TorrentSource::Metainfo(metainfo) => {
                let masked = self.torrent_file(&metainfo);
                self.metainfos.insert(metainfo.info_hash(), metainfo);
                TorrentSource::Metainfo(masked)
            }
            TorrentSource::Magnet(magnet) => TorrentSource::Magnet(self.magnet(magnet)),
        };
        let resume = torrent.resume.map(|data| self.resume(Way::Mask, &data).into());
        AddTorrent { source, resume, peers: self.all_masked(torrent.peers), ..torrent }
    }

    fn torrent_file(&mut self, metainfo: &Metainfo) -> Metainfo {
        Metainfo {
            trackers: metainfo.trackers.iter().map(|tier| tier.iter().map(|url| self.names.mask_url(url)).collect()).collect(),
            web_seeds: metainfo.web_seeds.iter().map(|url| self.names.mask_url(url)).collect(),
            ..Metainfo::from_info(metainfo.info.clone())
        }
    }

    fn magnet(&mut self, magnet: Magnet) -> Magnet {
        let mut peers = magnet.peers;
        for peer in &mut peers {
            peer.host = match peer.host.parse::<IpAddr>() {
                Ok(ip) => self.permutation.ip(Way::Mask, ip).to_string(),
                Err(_) => self.names.mask_host(&peer.host),
            };
        }
        Magnet {
            trackers: magnet.trackers.iter().map(|url| self.names.mask_url(url)).collect(),
            web_seeds: magnet.web_seeds.iter().map(|url| self.names.mask_url(url)).collect(),
            peers,
            other: Vec::new(),
            ..magnet
        }
    }

    /// What [`Resume::encode`](crate::torrent::Resume::encode) wrote. What is damaged is of no use to the engine, and left out.
    fn resume(&mut self, way: Way, data: &[u8]) -> Vec<u8> {
        let Ok(value) = bencode::decode(data) else { return if way == Way::Mask { Vec::new() } else { data.to_vec() } };
        let entries = value.as_dictionary().unwrap_or_default();
        bencode::dictionary(|out| {
            for (key, value) in entries {
                match (key, value.as_list()) {
                    (b"peers", Some(peers)) => out.key(key).list(|out| {
                        for peer in peers.iter().filter_map(|peer| peer.as_bytes()) {
                            // A mark may stand behind the port.
                            let family = if peer.len() < 8 { Family::V4 } else { Family::V6 };
                            let mut peer = peer.to_vec();
                            self.permutation.packed(way, family, peer.len(), &mut peer);
                            out.item().bytes(&peer);
                        }
                    }),
                    (b"trackers", Some(trackers)) => out.key(key).list(|out| {
                        for tracker in trackers.iter().filter_map(|tracker| tracker.as_dictionary()) {
                            out.item().dictionary(|out| {
                                for (key, value) in tracker {
                                    match (key, value.as_str(), way) {
                                        (b"url", Some(url), Way::Mask) => out.key(key).str(&self.names.mask_url(url)),
                                        (b"url", Some(url), Way::Unmask) => out.key(key).str(&self.names.unmask_url(url)),
                                        _ => out.key(key).verbatim(value),
                                    }
                                }
                            });
                        }
                    }),
                    _ => out.key(key).verbatim(value),
                }
            }
        })
    }

    // Trackers

    /// An HTTP tracker's answer to an announce.
    fn announce_body(&self, body: &[u8]) -> Bytes {
        let value = bencode::decode_lenient(body).ok();
        let Some(entries) = value.and_then(|value| value.as_dictionary()) else {
            // Whatever it is, it names no peers; its beginning tells what.
            let start = String::from_utf8_lossy(body.get(..64).unwrap_or(body)).into_owned();
            return self.text(Way::Mask, &start).into_bytes().into();
        };
        let packed = |family: Family, stride: usize, bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            self.permutation.packed(Way::Mask, family, stride, &mut bytes);
            bytes
        };
        let masked = bencode::dictionary(|out| {
            for (key, value) in entries {
                match (key, value.as_bytes()) {
                    (b"peers", Some(bytes)) => out.key(key).bytes(&packed(Family::V4, 6, bytes)),
                    (b"peers6", Some(bytes)) => out.key(key).bytes(&packed(Family::V6, 18, bytes)),
                    (b"external ip", Some(bytes)) => {
                        let family = if bytes.len() == 4 { Family::V4 } else { Family::V6 };
                        out.key(key).bytes(&packed(family, family.length(), bytes));
                    }
                    (b"peers", None) => match value.as_list() {
                        Some(peers) => out.key(key).list(|out| peers.iter().for_each(|peer| self.dictionary_peer(peer, out.item()))),
                        None => out.key(key).verbatim(value),
                    },
                    (b"failure reason" | b"warning message", Some(text)) => {
                        out.key(key).str(&self.text(Way::Mask, &String::from_utf8_lossy(text)));
                    }
                    (b"tracker id" | b"interval" | b"min interval" | b"retry in", _) => out.key(key).verbatim(value),
                    _ if value.as_integer().is_some() => out.key(key).verbatim(value),
                    _ => {}
                }
            }
        });
        masked.into()
    }

    /// A peer in the older form of a list.
    fn dictionary_peer(&self, peer: Value<'_>, out: bencode::Encoder<'_>) {
        out.dictionary(|out| {
            for (key, value) in peer.as_dictionary().unwrap_or_default() {
                match (key, value.as_str().map(str::parse::<IpAddr>)) {
                    (b"ip", Some(Ok(ip))) => out.key(key).str(&self.permutation.ip(Way::Mask, ip).to_string()),
                    // A name, which nobody looks up.
                    (b"ip", _) => out.key(key).str("masked"),
                    _ => out.key(key).verbatim(value),
                }
            }
        });
    }

    /// What came from a UDP tracker (BEP 15).
    fn tracker_datagram(&self, remote: SocketAddr, payload: &Bytes) -> Bytes {
        let (header, text) = (20, 8);
        match payload.first_chunk::<4>().map(|action| u32::from_be_bytes(*action)) {
            Some(1) => {
                let mut payload = payload.to_vec();
                let v4 = remote.ip().to_canonical().is_ipv4();
                let (family, stride) = if v4 { (Family::V4, 6) } else { (Family::V6, 18) };
                self.permutation.packed(Way::Mask, family, stride, payload.get_mut(header..).unwrap_or_default());
                payload.into()
            }
            Some(3) => {
                let words = String::from_utf8_lossy(payload.get(text..).unwrap_or_default()).into_owned();
                let mut masked = payload.get(..text).unwrap_or(payload).to_vec();
                masked.extend(self.text(Way::Mask, &words).into_bytes());
                masked.into()
            }
            _ => payload.clone(),
        }
    }

    /// What goes to a UDP tracker: the path and query of its URL stand in announces (BEP 41).
    fn announce_datagram(&self, payload: Bytes) -> Bytes {
        match Request::decode(&payload) {
            Some((Request::Announce { connection, announce, url_data }, transaction)) if !url_data.is_empty() => {
                let url_data = self.names.unmask_url_data(&url_data);
                Request::Announce { connection, announce, url_data }.encode(transaction).into()
            }
            _ => payload,
        }
    }
}
