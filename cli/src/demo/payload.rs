use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use rustor_runtime::create::{hash, scan};
use rustor_tokio::core::{
    metainfo::{Draft, Metainfo},
    rng::{Rng, Seed},
};

use super::failed;
use crate::{
    failure::Failure,
    output::{Output, Progress},
    verify::threads,
};

/// Files and their shares of the payload, in hundredths: large and small ones, folders in folders, an empty file, and names that
/// are not English.
const FILES: [(&str, u64); 9] = [
    ("read me.txt", 0),
    ("film/feature.mkv", 62),
    ("film/subtitles/english.srt", 1),
    ("film/subtitles/日本語.srt", 1),
    ("music/Ærø/01 prelude.flac", 14),
    ("music/Ærø/02 fugue.flac", 13),
    ("pictures/été.jpg", 5),
    ("pictures/winter.jpg", 4),
    ("nothing", 0),
];

const README: &str = "These files were made by 'rustor demo'. If you can read this, the demo was stopped rudely; remove them.\n";

/// What the swarm trades.
pub(super) struct Payload {
    /// The folder that the payload's folder is in.
    pub(super) folder: PathBuf,
    pub(super) metainfo: Metainfo,
    pub(super) files: usize,
    pub(super) pieces: u32,
}

impl Payload {
    /// Makes about `bytes` of it below `folder`.
    pub(super) fn make(output: &Output, folder: &Path, bytes: u64) -> Result<Payload, Failure> {
        let folder = folder.join("seeder");
        let root = folder.join("payload");
        let mut random = Rng::new(Seed::from_u64(bytes));
        let progress = Progress::new(output, "making files", bytes);
        let mut done = 0;
        for (name, share) in FILES {
            let path = root.join(name);
            let length = bytes * share / 100;
            let made = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| {
                let mut file = File::create(&path)?;
                if name == "read me.txt" {
                    file.write_all(README.as_bytes())?;
                }
                fill(&mut file, length, &mut random, |written| progress.set(done + written))
            });
            made.map_err(|error| failed(&path, &error))?;
            done += length;
        }
        drop(progress);
        let scan = scan(&root).map_err(Failure::new)?;
        let files = scan.files.iter().map(|file| (file.path.clone(), file.length));
        let mut draft = Draft::folder("payload", files).map_err(Failure::new)?;
        // Small pieces, so that even a small payload has enough of them to trade.
        draft.set_piece_length(if bytes >= 64 << 20 { 128 << 10 } else { 64 << 10 }).map_err(Failure::new)?;
        let progress = Progress::new(output, "hashing", scan.total_length());
        let digests = hash(&scan, draft.piece_length(), threads(), |done| progress.set(done)).map_err(Failure::new)?;
        drop(progress);
        let metainfo = draft.finish(digests).map_err(Failure::new)?;
        let (files, pieces) = (scan.files.len(), metainfo.info.piece_count());
        Ok(Payload { folder, metainfo, files, pieces })
    }

    /// Whether every byte of it is in `folder`, too.
    pub(super) fn check(&self, folder: &Path) -> Result<(), Failure> {
        for (name, _) in FILES {
            let (original, copy) = (self.folder.join("payload").join(name), folder.join("payload").join(name));
            if !same(&original, &copy).map_err(|error| failed(&copy, &error))? {
                return Err(Failure::about(copy.display(), "differs from the original"));
            }
        }
        Ok(())
    }
}

fn fill(file: &mut File, length: u64, random: &mut Rng, progress: impl Fn(u64)) -> io::Result<()> {
    let mut buffer = vec![0u8; 1 << 18];
    let mut written = 0;
    while written < length {
        for word in buffer.chunks_exact_mut(8) {
            word.copy_from_slice(&random.next_u64().to_le_bytes());
        }
        let part = buffer.len().min((length - written) as usize);
        file.write_all(&buffer[..part])?;
        written += part as u64;
        progress(written);
    }
    Ok(())
}

fn same(one: &Path, other: &Path) -> io::Result<bool> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    let (mut left, mut right) = (Vec::with_capacity(1 << 20), Vec::with_capacity(1 << 20));
    loop {
        left.clear();
        right.clear();
        Read::by_ref(&mut one).take(1 << 20).read_to_end(&mut left)?;
        Read::by_ref(&mut other).take(1 << 20).read_to_end(&mut right)?;
        if left != right {
            return Ok(false);
        }
        if left.is_empty() {
            return Ok(true);
        }
    }
}
