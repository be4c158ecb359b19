use bytes::Bytes;
use rustor_core::{
    metainfo::{InfoHash, Metainfo},
    rng::{Purpose, Rng, Seed},
    storage::Layout,
    wire::{BLOCK_LENGTH, Block, Message},
};
use sha1::{Digest, Sha1};

/// A torrent and its bytes.
#[derive(Clone)]
pub struct Content {
    metainfo: Metainfo,
    pub layout: Layout,
    pub data: Bytes,
    pub piece_length: u32,
}

impl Content {
    /// One file of random bytes, without a tracker.
    pub fn new(length: usize, piece_length: u32) -> Content {
        Content::tracked(length, piece_length, &[])
    }

    /// One file, with trackers in tiers.
    pub fn tracked(length: usize, piece_length: u32, tiers: &[&[&str]]) -> Content {
        Content::build(&format!("6:lengthi{length}e4:name4:file"), length, piece_length, tiers, "", |_| {})
    }

    /// One file of a private torrent (BEP 27).
    pub fn private(length: usize, piece_length: u32, tiers: &[&[&str]]) -> Content {
        Content::build(&format!("6:lengthi{length}e4:name4:file"), length, piece_length, tiers, "7:privatei1e", |_| {})
    }

    /// Files in a folder; those whose name begins with `.pad` are padding (BEP 47).
    pub fn files(files: &[(&str, usize)], piece_length: u32) -> Content {
        let mut list = String::from("5:filesl");
        for (name, length) in files {
            let attributes = if name.starts_with(".pad") { "4:attr1:p" } else { "" };
            list += &format!("d{attributes}6:lengthi{length}e4:pathl{}:{name}ee", name.len());
        }
        list += "e4:name6:folder";
        let length = files.iter().map(|(_, length)| length).sum();
        Content::build(&list, length, piece_length, &[], "", |data| {
            let mut start = 0;
            for (name, length) in files {
                if name.starts_with(".pad") {
                    data[start..start + length].fill(0);
                }
                start += length;
            }
        })
    }

    /// Files in a folder, with a tracker.
    pub fn files_tracked(files: &[(&str, usize)], piece_length: u32, url: &str) -> Content {
        let list: String = files.iter().map(|(name, length)| format!("d6:lengthi{length}e4:pathl{}:{name}ee", name.len())).collect();
        let length = files.iter().map(|(_, length)| length).sum();
        Content::build(&format!("5:filesl{list}e4:name6:folder"), length, piece_length, &[&[url]], "", |_| {})
    }

    fn build(files: &str, length: usize, piece_length: u32, tiers: &[&[&str]], last: &str, change: impl FnOnce(&mut [u8])) -> Content {
        let mut data = vec![0; length];
        Rng::new(Seed::from_u64(length as u64)).fork(Purpose::Simulation, 0).fill(&mut data);
        change(&mut data);
        let hashes: Vec<u8> = data.chunks(piece_length as usize).flat_map(|piece| Sha1::digest(piece).to_vec()).collect();
        let mut torrent = b"d".to_vec();
        if !tiers.is_empty() {
            torrent.extend(b"13:announce-listl");
            for tier in tiers {
                let urls: String = tier.iter().map(|url| format!("{}:{url}", url.len())).collect();
                torrent.extend(format!("l{urls}e").bytes());
            }
            torrent.extend(b"e");
        }
        torrent.extend(format!("4:infod{files}12:piece lengthi{piece_length}e6:pieces{}:", hashes.len()).bytes());
        torrent.extend(hashes);
        torrent.extend(format!("{last}ee").bytes());
        let metainfo = Metainfo::parse(torrent.into()).expect("a torrent made here is well-formed");
        let layout = Layout::of(&metainfo.info).expect("its lengths fit");
        Content { metainfo, layout, data: data.into(), piece_length }
    }

    pub fn metainfo(&self) -> Metainfo {
        self.metainfo.clone()
    }

    pub fn info_hash(&self) -> InfoHash {
        self.metainfo.info_hash()
    }

    pub fn pieces(&self) -> u32 {
        self.layout.piece_count()
    }

    /// The bytes of a piece.
    pub fn piece(&self, piece: u32) -> Bytes {
        let start = piece as usize * self.piece_length as usize;
        self.data.slice(start..start + self.layout.piece_size(piece) as usize)
    }

    /// All blocks of a piece.
    pub fn blocks(&self, piece: u32) -> Vec<Block> {
        let size = self.layout.piece_size(piece);
        (0..size).step_by(BLOCK_LENGTH as usize).map(|offset| Block { piece, offset, length: BLOCK_LENGTH.min(size - offset) }).collect()
    }

    /// The message that brings a block.
    pub fn message(&self, block: Block) -> Message {
        let start = block.offset as usize;
        let data = self.piece(block.piece).slice(start..start + block.length as usize);
        Message::Piece { piece: block.piece, offset: block.offset, data: data.into() }
    }

    /// The message that brings a block of nonsense instead.
    pub fn bad_message(&self, block: Block) -> Message {
        Message::Piece { piece: block.piece, offset: block.offset, data: Bytes::from(vec![0xbad_u32 as u8; block.length as usize]).into() }
    }

    /// The bitfield message of whoever has these pieces.
    pub fn bitfield(&self, pieces: impl IntoIterator<Item = u32>) -> Message {
        let mut bits = vec![0; self.pieces().div_ceil(8) as usize];
        pieces.into_iter().for_each(|piece| bits[piece as usize / 8] |= 0x80 >> (piece % 8));
        Message::Bitfield(bits.into())
    }
}
