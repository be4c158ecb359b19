use crate::{
    bencode,
    metainfo::{Info, InfoHash},
    storage::{FileStamp, Layout},
    util::Bitfield,
};
use alloc::vec::Vec;
use bytes::Bytes;
use core::{
    fmt,
    net::{IpAddr, SocketAddr},
};

/// What a session leaves to the next: which pieces were verified, and by what to tell whether the files are still the same.
///
/// Nothing of it is believed without a check: it names the files' sizes and times, and what does not match is hashed again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The pieces that were verified and written.
    pub verified: Bitfield,
    /// The files as they were after that, in the layout's order.
    pub files: Vec<Option<FileStamp>>,
    /// Payload that went to peers in all sessions, in bytes.
    pub uploaded: u64,
    /// Payload that came from peers in all sessions, in bytes.
    pub downloaded: u64,
    /// Peers worth trying first.
    pub peers: Vec<SocketAddr>,
    /// The info dictionary of a torrent that came as a magnet link.
    pub info: Option<Bytes>,
}

/// Why resume data is of no use. The file is to blame; the torrent is hashed instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResumeError {
    /// It is not what [`Resume::encode`] writes.
    Malformed,
    /// It is another torrent's.
    OtherTorrent,
}

impl fmt::Display for ResumeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ResumeError::Malformed => "the resume data is damaged",
            ResumeError::OtherTorrent => "the resume data belongs to another torrent",
        })
    }
}

impl core::error::Error for ResumeError {}

/// Peers that are kept: enough to find the swarm again without a tracker.
const PEERS: usize = 100;

impl Resume {
    /// As it goes to disk: bencoded, the same bytes for the same content.
    pub fn encode(&self, info_hash: InfoHash) -> Vec<u8> {
        bencode::dictionary(|entries| {
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
            entries.key(b"uploaded").unsigned(self.uploaded);
            entries.key(b"version").integer(1);
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
    /// If it is damaged or belongs to another torrent.
    pub fn decode(data: &[u8], info_hash: InfoHash, layout: &Layout) -> Result<Resume, ResumeError> {
        let value = bencode::decode(data).map_err(|_| ResumeError::Malformed)?;
        let bytes = |key: &[u8]| value.get(key).and_then(|value| value.as_bytes()).ok_or(ResumeError::Malformed);
        if bytes(b"info-hash")? != info_hash.0 {
            return Err(ResumeError::OtherTorrent);
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
            uploaded: number(b"uploaded"),
            downloaded: number(b"downloaded"),
            info: bytes(b"info").ok().map(Bytes::copy_from_slice),
            peers: list(b"peers").iter().take(PEERS).filter_map(|peer| expand(peer.as_bytes()?)).collect(),
        })
    }
}

/// An address as compact peer lists write it (BEP 23, BEP 7): the IP, then the port, big-endian.
fn compact(address: SocketAddr) -> Vec<u8> {
    let mut bytes = match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    bytes.extend(address.port().to_be_bytes());
    bytes
}

fn expand(bytes: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = bytes.split_last_chunk::<2>()?;
    let ip = match ip.len() {
        4 => IpAddr::from(*ip.first_chunk::<4>()?),
        16 => IpAddr::from(*ip.first_chunk::<16>()?),
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_be_bytes(*port)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::LayoutFile;
    use alloc::vec;

    fn sample() -> (Layout, Resume) {
        let file = |name: &str, length| LayoutFile { path: vec![name.into()], length, padding: false };
        let layout = Layout::new(vec![file("a", 25), file("b", 15)], 10).unwrap();
        let mut verified = Bitfield::new(4);
        verified.set(2);
        let files = vec![Some(FileStamp { length: 25, modified: -5, aside: false }), None];
        let peers = vec!["1.2.3.4:5".parse().unwrap(), "[::1]:6".parse().unwrap()];
        (layout, Resume { verified, files, uploaded: 7, downloaded: 8, peers, info: Some(Bytes::from_static(b"de")) })
    }

    #[test]
    fn what_was_written_is_read_again() {
        let (layout, resume) = sample();
        let info_hash = InfoHash([7; 20]);
        let data = resume.encode(info_hash);
        assert_eq!(Resume::decode(&data, info_hash, &layout), Ok(resume));
        assert_eq!(Resume::decode(&data, InfoHash([8; 20]), &layout), Err(ResumeError::OtherTorrent));
    }

    #[test]
    fn no_prefix_of_it_is_believed() {
        let (layout, resume) = sample();
        let data = resume.encode(InfoHash([7; 20]));
        for end in 0..data.len() {
            assert_eq!(Resume::decode(&data[..end], InfoHash([7; 20]), &layout), Err(ResumeError::Malformed));
        }
    }
}
