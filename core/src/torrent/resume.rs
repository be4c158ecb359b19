mod choices;

use crate::{
    bencode,
    choices::Choices,
    metainfo::{Info, InfoHash},
    storage::{FileStamp, Layout},
    time::Duration,
    torrent::Geometry,
    tracker::SavedTracker,
    util::Bitfield,
};
use alloc::{collections::BTreeMap, vec::Vec};
use bytes::Bytes;
use core::{
    fmt,
    net::{IpAddr, SocketAddr},
};

/// What a session leaves to the next: which pieces were verified, and by what to tell whether the files are still the same.
///
/// Nothing of it is believed without a check: it names the files' sizes and times, and what does not match is hashed again.
/// [`Resume::encode`] writes version 2; version 1, which knew nothing of choices, unfinished pieces and trackers, is read, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The pieces that were verified and written.
    pub verified: Bitfield,
    /// The files as they were after that, in the layout's order.
    pub files: Vec<Option<FileStamp>>,
    /// Blocks that were written of pieces that were not complete, by the piece's index; a bit for each block. Not verified.
    pub unfinished: BTreeMap<u32, Bitfield>,
    /// What the owner chose.
    pub choices: Choices,
    /// Payload that went to peers in all sessions, in bytes.
    pub uploaded: u64,
    /// Payload that came from peers in all sessions, in bytes.
    pub downloaded: u64,
    /// Time spent seeding in all sessions; whole seconds.
    pub seeding: Duration,
    /// What trackers said, in the order in which they are to be tried.
    pub trackers: Vec<SavedTracker>,
    /// Peers worth trying first, in that order.
    pub peers: Vec<ResumePeer>,
    /// The info dictionary of a torrent that came as a magnet link.
    pub info: Option<Bytes>,
}

/// A peer that an earlier session knew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResumePeer {
    /// Where it listens.
    pub address: SocketAddr,
    /// A tracker had named it: a private torrent may try it again (BEP 27).
    pub from_tracker: bool,
}

/// Why resume data is of no use. The file is to blame; the torrent is hashed instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResumeError {
    /// It is not what [`Resume::encode`] writes.
    Malformed,
    /// It is another torrent's.
    OtherTorrent,
    /// A later version of this program wrote it.
    UnknownVersion,
}

impl fmt::Display for ResumeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ResumeError::Malformed => "the resume data is damaged",
            ResumeError::OtherTorrent => "the resume data belongs to another torrent",
            ResumeError::UnknownVersion => "the resume data is of a later version",
        })
    }
}

impl core::error::Error for ResumeError {}

/// Peers that are kept: enough to find the swarm again without a tracker.
const PEERS: usize = 100;

/// Trackers that are kept, and bytes of what one of them asked to be told: more is nobody's good will.
const TRACKERS: usize = 100;
const TRACKER_ID: usize = 256;

const VERSION: i64 = 2;

impl Resume {
    /// What is left where these pieces were verified and the files are unknown, and nothing else.
    pub fn new(verified: Bitfield) -> Resume {
        Resume {
            verified,
            files: Vec::new(),
            unfinished: BTreeMap::new(),
            choices: Choices::default(),
            uploaded: 0,
            downloaded: 0,
            seeding: Duration::ZERO,
            trackers: Vec::new(),
            peers: Vec::new(),
            info: None,
        }
    }

    /// As it goes to disk: bencoded, the same bytes for the same content.
    pub fn encode(&self, info_hash: InfoHash) -> Vec<u8> {
        bencode::dictionary(|entries| {
            entries.key(b"choices").dictionary(|entries| choices::encode(&self.choices, entries));
            entries.key(b"downloaded").unsigned(self.downloaded);
            entries.key(b"files").list(|files| {
                for file in &self.files {
                    files.item().list(|stamp| {
                        if let Some(file) = file {
                            stamp.item().unsigned(file.length);
                            stamp.item().integer(file.modified);
                            if file.aside {
                                stamp.item().integer(1);
                            }
                        }
                    });
                }
            });
            if let Some(info) = &self.info {
                entries.key(b"info").bytes(info);
            }
            entries.key(b"info-hash").bytes(&info_hash.0);
            entries.key(b"peers").list(|peers| self.peers.iter().take(PEERS).for_each(|peer| peers.item().bytes(&compact(*peer))));
            entries.key(b"pieces").bytes(self.verified.as_bytes());
            entries.key(b"seeding").unsigned(self.seeding.as_secs());
            entries.key(b"trackers").list(|trackers| {
                for tracker in self.trackers.iter().take(TRACKERS) {
                    trackers.item().dictionary(|entries| {
                        if let Some(id) = tracker.tracker_id.as_ref().filter(|id| id.len() <= TRACKER_ID) {
                            entries.key(b"id").bytes(id);
                        }
                        entries.key(b"url").str(&tracker.url);
                    });
                }
            });
            entries.key(b"unfinished").list(|pieces| {
                for (piece, blocks) in &self.unfinished {
                    pieces.item().list(|entry| {
                        entry.item().unsigned(u64::from(*piece));
                        entry.item().bytes(blocks.as_bytes());
                    });
                }
            });
            entries.key(b"uploaded").unsigned(self.uploaded);
            entries.key(b"version").integer(VERSION);
        })
    }

    /// The info dictionary in what [`Resume::encode`] wrote, if it is the one that `info_hash` names.
    pub fn info(data: &[u8], info_hash: InfoHash) -> Option<Info> {
        let info = bencode::decode(data).ok()?.get(b"info")?.as_bytes()?;
        let info = Info::parse_with(Bytes::copy_from_slice(info), bencode::Options::LENIENT).ok()?;
        (info.info_hash() == info_hash).then_some(info)
    }

    /// Reads what [`Resume::encode`] wrote for this torrent.
    ///
    /// # Errors
    ///
    /// If it is damaged, belongs to another torrent, or was written by a later version.
    pub fn decode(data: &[u8], info_hash: InfoHash, layout: &Layout) -> Result<Resume, ResumeError> {
        let value = bencode::decode(data).map_err(|_| ResumeError::Malformed)?;
        let bytes = |key: &[u8]| value.get(key).and_then(|value| value.as_bytes()).ok_or(ResumeError::Malformed);
        if bytes(b"info-hash")? != info_hash.0 {
            return Err(ResumeError::OtherTorrent);
        }
        // Version 1 is version 2 without what came later.
        if !value.get(b"version").and_then(|version| version.as_integer()).is_some_and(|version| (1..=VERSION).contains(&version)) {
            return Err(ResumeError::UnknownVersion);
        }
        let number = |key: &[u8]| value.get(key).and_then(|value| value.as_unsigned()).unwrap_or(0);
        let list = |key: &[u8]| value.get(key).and_then(|value| value.as_list()).unwrap_or_default();
        let stamp = |file: bencode::Value<'_>| {
            let mut numbers = file.as_list()?.iter();
            let (length, modified) = (numbers.next()?.as_unsigned()?, numbers.next()?.as_integer()?);
            Some(FileStamp { length, modified, aside: numbers.next().is_some() })
        };
        let files: Vec<_> = list(b"files").iter().take(layout.files().len() + 1).map(stamp).collect();
        if files.len() != layout.files().len() {
            return Err(ResumeError::Malformed);
        }
        Ok(Resume {
            verified: Bitfield::from_bytes(layout.piece_count(), bytes(b"pieces")?).ok_or(ResumeError::Malformed)?,
            files,
            unfinished: unfinished(list(b"unfinished"), layout),
            choices: value.get(b"choices").map(|choices| choices::decode(choices, layout.files().len())).unwrap_or_default(),
            uploaded: number(b"uploaded"),
            downloaded: number(b"downloaded"),
            seeding: Duration::from_secs(number(b"seeding")),
            trackers: list(b"trackers").iter().take(TRACKERS).filter_map(tracker).collect(),
            info: bytes(b"info").ok().map(Bytes::copy_from_slice),
            peers: list(b"peers").iter().take(PEERS).filter_map(|peer| expand(peer.as_bytes()?)).collect(),
        })
    }
}

fn unfinished(list: bencode::List<'_>, layout: &Layout) -> BTreeMap<u32, Bitfield> {
    let Some(geometry) = Geometry::new(layout.total_length(), layout.piece_length()) else { return BTreeMap::new() };
    let piece = |entry: bencode::Value<'_>| {
        let mut entry = entry.as_list()?.iter();
        let piece = u32::try_from(entry.next()?.as_unsigned()?).ok().filter(|piece| *piece < geometry.piece_count())?;
        Some((piece, Bitfield::from_bytes(geometry.blocks_in(piece), entry.next()?.as_bytes()?)?))
    };
    list.iter().take(geometry.piece_count() as usize).filter_map(piece).collect()
}

fn tracker(entry: bencode::Value<'_>) -> Option<SavedTracker> {
    let url = core::str::from_utf8(entry.get(b"url")?.as_bytes()?).ok()?.into();
    let tracker_id = entry.get(b"id").and_then(|id| id.as_bytes()).filter(|id| id.len() <= TRACKER_ID).map(<[u8]>::to_vec);
    Some(SavedTracker { url, tracker_id })
}

/// An address as compact peer lists write it (BEP 23, BEP 7): the IP, then the port, big-endian. A byte behind it says that it came from
/// a tracker.
fn compact(peer: ResumePeer) -> Vec<u8> {
    let mut bytes = match peer.address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    bytes.extend(peer.address.port().to_be_bytes());
    if peer.from_tracker {
        bytes.push(FROM_TRACKER);
    }
    bytes
}

const FROM_TRACKER: u8 = b'T';

fn expand(bytes: &[u8]) -> Option<ResumePeer> {
    let (bytes, from_tracker) = match bytes {
        [address @ .., FROM_TRACKER] if matches!(address.len(), 6 | 18) => (address, true),
        _ => (bytes, false),
    };
    let (ip, port) = bytes.split_last_chunk::<2>()?;
    let ip = match ip.len() {
        4 => IpAddr::from(*ip.first_chunk::<4>()?),
        16 => IpAddr::from(*ip.first_chunk::<16>()?),
        _ => return None,
    };
    Some(ResumePeer { address: SocketAddr::new(ip, u16::from_be_bytes(*port)), from_tracker })
}

#[cfg(test)]
mod tests;
