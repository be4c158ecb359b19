//! Decoding torrent files of 2,500 pieces: this crate against `bt_bencode`, `serde_bencode` and `bendy`.
//!
//! `value` is what each library offers to look into any bencode; here that is a checked view, with or without an outline, so `visited`
//! adds a walk over every value in it. `torrent` fills the same owned structs in each library. `metainfo` is the whole of reading a torrent, with its
//! info-hash and safe paths, which none of the others does.

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use rustor_core::{
    bencode::{Dictionary, Options, Outline, Value, decode},
    metainfo::{Draft, Metainfo},
    rng::{Rng, Seed},
};
use serde::{Deserialize, Deserializer, de};
use std::{fmt, hint::black_box};

const PIECES: u64 = 2500;
const PIECE_LENGTH: u32 = 1 << 20;

fn sample_torrents() -> [(&'static str, Vec<u8>); 2] {
    let total = PIECES * u64::from(PIECE_LENGTH) - 12345;
    let single = Draft::single_file("debian-13.0.0-amd64-DVD-1.iso", total);
    let files = (0..2000).map(|file| {
        let path = [format!("season {:02}", file / 25), format!("an episode with a rather long name, number {file:04}.mkv")];
        (path, if file == 0 { total - 1999 * 1_000_003 } else { 1_000_003 })
    });
    let many = Draft::folder("a collection of many files", files);
    [("single_file", single), ("2000_files", many)].map(|(name, draft)| {
        let mut draft = draft.expect("the files are sound");
        draft.set_piece_length(PIECE_LENGTH).expect("a power of two");
        let mut rng = Rng::new(Seed::from_u64(1));
        let hashes = (0..draft.piece_count()).map(|_| {
            let mut hash = [0; 20];
            rng.fill(&mut hash);
            hash
        });
        let mut metainfo = draft.finish(hashes).expect("the hashes fit");
        metainfo.trackers = (0..8).map(|tier| vec![format!("udp://tracker{tier}.example.org:1337/announce")]).collect();
        metainfo.comment = Some("A torrent as they are found in the wild".into());
        metainfo.created_by = Some("RusTor".into());
        metainfo.creation_date = Some(1_700_000_000);
        (name, metainfo.to_bytes())
    })
}

fn decoding(criterion: &mut Criterion) {
    for (name, bytes) in sample_torrents() {
        let mut group = criterion.benchmark_group(format!("bencode/{name}"));
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        values(&mut group, &bytes);
        torrents(&mut group, &bytes);
        group.bench_function("metainfo/rustor", |bencher| {
            let bytes = bytes::Bytes::from(bytes.clone());
            bencher.iter(|| Metainfo::parse(black_box(bytes.clone())));
        });
        group.finish();
    }
}

fn values(group: &mut BenchmarkGroup<'_, WallTime>, bytes: &[u8]) {
    group.bench_function("value/rustor", |bencher| bencher.iter(|| decode(black_box(bytes)).unwrap()));
    group.bench_function("value/rustor_outline", |bencher| {
        let mut outline = Outline::new();
        bencher.iter(|| outline.decode(black_box(bytes), Options::STRICT).unwrap().range());
    });
    group.bench_function("value/rustor_visited", |bencher| {
        bencher.iter(|| visit(Outline::new().decode(black_box(bytes), Options::STRICT).unwrap()));
    });
    group.bench_function("value/bt_bencode", |bencher| {
        bencher.iter(|| bt_bencode::from_slice::<bt_bencode::Value>(black_box(bytes)).unwrap());
    });
    group.bench_function("value/serde_bencode", |bencher| {
        bencher.iter(|| serde_bencode::from_bytes::<serde_bencode::value::Value>(black_box(bytes)).unwrap());
    });
    group.bench_function("value/bendy", |bencher| {
        bencher.iter(|| bendy::serde::from_bytes::<bendy::value::Value<'_>>(black_box(bytes)).unwrap());
    });
}

fn torrents(group: &mut BenchmarkGroup<'_, WallTime>, bytes: &[u8]) {
    let ours = Torrent::read(bytes).expect("a torrent");
    assert_eq!(bt_bencode::from_slice::<Torrent>(bytes).expect("a torrent"), ours);
    assert_eq!(serde_bencode::from_bytes::<Torrent>(bytes).expect("a torrent"), ours);
    assert_eq!(bendy::serde::from_bytes::<Torrent>(bytes).expect("a torrent"), ours);
    group.bench_function("torrent/rustor", |bencher| bencher.iter(|| Torrent::read(black_box(bytes)).unwrap()));
    group.bench_function("torrent/bt_bencode", |bencher| {
        bencher.iter(|| bt_bencode::from_slice::<Torrent>(black_box(bytes)).unwrap());
    });
    group.bench_function("torrent/serde_bencode", |bencher| {
        bencher.iter(|| serde_bencode::from_bytes::<Torrent>(black_box(bytes)).unwrap());
    });
    group.bench_function("torrent/bendy", |bencher| {
        bencher.iter(|| bendy::serde::from_bytes::<Torrent>(black_box(bytes)).unwrap());
    });
}

/// Looks at every value, as building a tree would; returns a sum of what it saw.
fn visit(value: Value<'_>) -> u64 {
    let mut sum = value.as_unsigned().unwrap_or(value.as_bytes().map_or(0, <[u8]>::len) as u64);
    for item in value.as_list().unwrap_or_default() {
        sum = sum.wrapping_add(visit(item));
    }
    for (key, item) in value.as_dictionary().unwrap_or_default() {
        sum = sum.wrapping_add(key.len() as u64).wrapping_add(visit(item));
    }
    sum
}

#[derive(Debug, PartialEq, Deserialize)]
struct Torrent {
    announce: String,
    #[serde(rename = "announce-list")]
    announce_list: Vec<Vec<String>>,
    comment: String,
    #[serde(rename = "creation date")]
    creation_date: i64,
    info: Info,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Info {
    #[serde(default)]
    files: Vec<File>,
    #[serde(default)]
    length: u64,
    name: String,
    #[serde(rename = "piece length")]
    piece_length: u64,
    pieces: Hashes,
}

#[derive(Debug, PartialEq, Deserialize)]
struct File {
    length: u64,
    path: Vec<String>,
}

#[derive(Debug, PartialEq, Default)]
struct Hashes(Vec<u8>);

impl<'de> Deserialize<'de> for Hashes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Hashes, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Hashes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a byte string")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Hashes, E> {
                Ok(Hashes(bytes.into()))
            }

            fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Hashes, E> {
                Ok(Hashes(bytes))
            }
        }
        deserializer.deserialize_byte_buf(Visitor)
    }
}

impl Torrent {
    fn read(bytes: &[u8]) -> Option<Torrent> {
        let mut outline = Outline::new();
        let entries = outline.decode(bytes, Options::STRICT).ok()?.as_dictionary()?;
        Some(Torrent {
            announce: entries.get(b"announce")?.as_str()?.into(),
            announce_list: entries.get(b"announce-list")?.as_list()?.iter().map(strings).collect::<Option<_>>()?,
            comment: entries.get(b"comment")?.as_str()?.into(),
            creation_date: entries.get(b"creation date")?.as_integer()?,
            info: Info::read(entries.get(b"info")?.as_dictionary()?)?,
        })
    }
}

impl Info {
    fn read(entries: Dictionary<'_>) -> Option<Info> {
        let mut info = Info { files: Vec::new(), length: 0, name: String::new(), piece_length: 0, pieces: Hashes::default() };
        for (key, value) in entries {
            match key {
                b"files" => info.files = value.as_list()?.iter().map(File::read).collect::<Option<_>>()?,
                b"length" => info.length = value.as_unsigned()?,
                b"name" => info.name = value.as_str()?.into(),
                b"piece length" => info.piece_length = value.as_unsigned()?,
                b"pieces" => info.pieces = Hashes(value.as_bytes()?.into()),
                _ => {}
            }
        }
        Some(info)
    }
}

impl File {
    fn read(value: Value<'_>) -> Option<File> {
        let entries = value.as_dictionary()?;
        Some(File { length: entries.get(b"length")?.as_unsigned()?, path: strings(entries.get(b"path")?)? })
    }
}

fn strings(value: Value<'_>) -> Option<Vec<String>> {
    value.as_list()?.iter().map(|item| item.as_str().map(Into::into)).collect()
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(50);
    targets = decoding
}
criterion_main!(benches);
