use bytes::Bytes;
use rustor_core::{
    metainfo::{Magnet, Metainfo},
    rng::{Purpose, Rng, Seed},
};
use sha1::{Digest, Sha1};
use std::ops::Range;

/// All blocks of a torrent, each behind the head of the message that carries it, one message behind the other: whoever reads such a
/// message gets a slice of this.
#[derive(Clone, Debug)]
pub(crate) struct Framed {
    pub(crate) messages: Bytes,
    /// What the blocks are slices of.
    data: Bytes,
    piece_length: usize,
}

impl Framed {
    /// The length of a message up to its block: its own length, its kind, the piece, the offset.
    pub(crate) const HEAD: usize = 13;
    const BLOCK: usize = 16 << 10;
    /// The length of all messages but the last.
    pub(crate) const MESSAGE: usize = Framed::HEAD + Framed::BLOCK;

    /// Empty where pieces are not made of whole blocks.
    fn new(data: &Bytes, piece_length: usize) -> Framed {
        let mut framed = Framed { messages: Bytes::new(), data: data.clone(), piece_length };
        if piece_length.is_multiple_of(Framed::BLOCK) {
            let mut messages = Vec::with_capacity(data.len() + data.len().div_ceil(Framed::BLOCK) * Framed::HEAD);
            for (number, block) in data.chunks(Framed::BLOCK).enumerate() {
                messages.extend(framed.head(number as u32));
                messages.extend(block);
            }
            framed.messages = messages.into();
        }
        framed
    }

    /// The number of a block, if it is a slice of the payload and `before` ends with its head.
    pub(crate) fn find(&self, before: &[u8], block: &[u8]) -> Option<u32> {
        let start = (block.as_ptr() as usize).checked_sub(self.data.as_ptr() as usize)?;
        if start >= self.data.len() || !start.is_multiple_of(Framed::BLOCK) || self.messages.is_empty() {
            return None;
        }
        let number = (start / Framed::BLOCK) as u32;
        (block.len() == self.block_length(number) && before.ends_with(&self.head(number))).then_some(number)
    }

    /// The head of a block's message. It is not looked up: that would be a look into memory that nobody else needs.
    fn head(&self, number: u32) -> [u8; Framed::HEAD] {
        let start = number as usize * Framed::BLOCK;
        let mut head = [0; Framed::HEAD];
        head[..4].copy_from_slice(&(9 + self.block_length(number) as u32).to_be_bytes());
        head[4] = 7;
        head[5..9].copy_from_slice(&((start / self.piece_length) as u32).to_be_bytes());
        head[9..].copy_from_slice(&((start % self.piece_length) as u32).to_be_bytes());
        head
    }

    /// How long a block is.
    pub(crate) fn block_length(&self, number: u32) -> usize {
        Framed::BLOCK.min(self.data.len() - number as usize * Framed::BLOCK)
    }

    /// Where among the messages those of the blocks from `first` to before `end` stand.
    pub(crate) fn range(&self, first: u32, end: u32) -> Range<usize> {
        first as usize * Framed::MESSAGE..(end as usize * Framed::MESSAGE).min(self.messages.len())
    }

    /// The head of a message, and its block.
    pub(crate) fn parts(&self, number: u32) -> [Bytes; 2] {
        let at = number as usize * Framed::MESSAGE;
        let start = number as usize * Framed::BLOCK;
        [self.messages.slice(at..at + Framed::HEAD), self.data.slice(start..start + self.block_length(number))]
    }

    /// Whether this is the very block of the messages that begins at `start` of the payload.
    fn is_at(&self, start: usize, part: &[u8]) -> bool {
        let at = start / Framed::BLOCK * Framed::MESSAGE + Framed::HEAD + start % Framed::BLOCK;
        let within = start % Framed::BLOCK + part.len() <= Framed::BLOCK;
        within && self.messages.get(at..at + part.len()).is_some_and(|here| here.as_ptr() == part.as_ptr())
    }
}

/// A torrent and its content, made from a seed. All nodes of a world share one copy of it.
#[derive(Clone, Debug)]
pub struct Payload {
    /// The torrent.
    pub metainfo: Metainfo,
    /// Its bytes, one file behind the other.
    pub data: Bytes,
    /// Its blocks as peers send them.
    pub(crate) framed: Framed,
    /// Its files: their paths below a download folder, and where in `data` they begin and end.
    pub files: Vec<(String, u64, u64)>,
}

impl Payload {
    /// A single file of `length` bytes in pieces of `piece_length`, announced to the world's tracker over HTTP.
    pub fn new(name: &str, length: usize, piece_length: usize, seed: u64) -> Payload {
        Payload::with_tracker(name, length, piece_length, seed, "http://tracker.sim/announce")
    }

    /// The same, with another tracker; with none, if that is empty.
    pub fn with_tracker(name: &str, length: usize, piece_length: usize, seed: u64, tracker: &str) -> Payload {
        Payload::with_files(name, &[length], piece_length, seed, tracker, false)
    }

    /// A torrent of files of these lengths: one file of this name, or a folder of this name with files `0`, `1` and so on.
    pub fn with_files(name: &str, lengths: &[usize], piece_length: usize, seed: u64, tracker: &str, private: bool) -> Payload {
        Payload::with_web_seeds(name, lengths, piece_length, seed, tracker, private, &[])
    }

    /// The same, which web servers have, too, at these URLs.
    pub fn with_web_seeds(
        name: &str,
        lengths: &[usize],
        piece_length: usize,
        seed: u64,
        tracker: &str,
        private: bool,
        web_seeds: &[String],
    ) -> Payload {
        let mut data = vec![0; lengths.iter().sum()];
        Rng::new(Seed::from_u64(seed)).fork(Purpose::Simulation, 0).fill(&mut data);
        let mut torrent = b"d".to_vec();
        if !tracker.is_empty() {
            torrent.extend(format!("8:announce{}:{tracker}", tracker.len()).bytes());
        }
        torrent.extend(b"4:infod");
        match lengths {
            [length] => torrent.extend(format!("6:lengthi{length}e").bytes()),
            _ => {
                torrent.extend(b"5:filesl");
                for (number, length) in lengths.iter().enumerate() {
                    let path = number.to_string();
                    torrent.extend(format!("d6:lengthi{length}e4:pathl{}:{path}ee", path.len()).bytes());
                }
                torrent.extend(b"e");
            }
        }
        torrent.extend(format!("4:name{}:{name}", name.len()).bytes());
        let hashes: Vec<u8> = data.chunks(piece_length).flat_map(|piece| Sha1::digest(piece).to_vec()).collect();
        torrent.extend(format!("12:piece lengthi{piece_length}e6:pieces{}:", hashes.len()).bytes());
        torrent.extend(hashes);
        if private {
            torrent.extend(b"7:privatei1e");
        }
        torrent.extend(b"e");
        if !web_seeds.is_empty() {
            torrent.extend(b"8:url-listl");
            web_seeds.iter().for_each(|url| torrent.extend(format!("{}:{url}", url.len()).bytes()));
            torrent.extend(b"e");
        }
        torrent.extend(b"e");
        let metainfo = Metainfo::parse(torrent.into()).expect("a torrent made here is well-formed");
        let mut start = 0;
        let files = lengths.iter().enumerate().map(|(number, length)| {
            let path = if lengths.len() == 1 { name.to_owned() } else { format!("{name}/{number}") };
            let begin = start;
            start += *length as u64;
            (path, begin, start)
        });
        let files = files.collect();
        let data = Bytes::from(data);
        Payload { metainfo, framed: Framed::new(&data, piece_length), data, files }
    }

    /// The torrent's magnet link, with its trackers and web seeds.
    pub fn magnet(&self) -> Magnet {
        let hash: String = self.metainfo.info_hash().0.iter().map(|byte| format!("{byte:02x}")).collect();
        let trackers: String = self.metainfo.trackers.iter().flatten().map(|tracker| format!("&tr={tracker}")).collect();
        let web_seeds: String = self.metainfo.web_seeds.iter().map(|url| format!("&ws={url}")).collect();
        format!("magnet:?xt=urn:btih:{hash}{trackers}{web_seeds}").parse().expect("a link made here is well-formed")
    }

    /// Peers come from its trackers alone (BEP 27).
    pub fn is_private(&self) -> bool {
        self.metainfo.info.is_private()
    }

    /// How many pieces there are.
    pub fn pieces(&self) -> u32 {
        self.data.len().div_ceil(self.piece_length() as usize) as u32
    }

    /// Bytes of all pieces but the last.
    pub fn piece_length(&self) -> u32 {
        self.metainfo.info.piece_length()
    }

    /// The true bytes of a range; cut where the torrent ends.
    pub fn slice(&self, start: u64, length: u64) -> Bytes {
        let total = self.data.len() as u64;
        let (start, end) = (start.min(total), start.saturating_add(length).min(total));
        self.data.slice(start as usize..end as usize)
    }

    /// Whether these are the torrent's bytes from `start` on. Slices of the shared copy are known by their address, without a look
    /// at what they hold.
    pub fn is_true<'a>(&self, start: u64, parts: impl IntoIterator<Item = &'a [u8]>) -> bool {
        let mut at = start as usize;
        parts.into_iter().all(|part| {
            let Some(truth) = self.data.get(at..at + part.len()) else { return false };
            let same = truth.as_ptr() == part.as_ptr() || self.framed.is_at(at, part) || truth == part;
            at += part.len();
            same
        })
    }
}
