//! Decoding torrent files of 2,500 pieces: this crate against `bt_bencode`, `serde_bencode` and `bendy`.
//!
//! `value` is what each library offers to look into any bencode; here that is a checked view, with or without an outline, so `visited`
//! adds a walk over every value in it. `torrent` fills the same structs in each library, which borrow where it can. `metainfo` is the whole of reading a torrent, with its
//! info-hash and safe paths, which none of the others does.

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use rustor_core::{
    bencode::{Dictionary, Options, Outline, Value, decode},
    metainfo::{Draft, Metainfo},
    rng::{Rng, Seed},
};
use serde::{Deserialize, Deserializer, de};
use std::{borrow::Cow, fmt, hint::black_box};

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
    let mut outline = Outline::new();
    let ours = Torrent::read(bytes, &mut outline).expect("a torrent");
    assert_eq!(bt_bencode::from_slice::<Torrent<'_>>(bytes).expect("a torrent"), ours);
    assert_eq!(serde_bencode::from_bytes::<Torrent<'_>>(bytes).expect("a torrent"), ours);
    assert_eq!(bendy::serde::from_bytes::<Torrent<'_>>(bytes).expect("a torrent"), ours);
    group.bench_function("torrent/rustor", |bencher| {
        let mut outline = Outline::new();
        bencher.iter(|| Torrent::read(black_box(bytes), &mut outline).unwrap().creation_date);
    });
    group.bench_function("torrent/bt_bencode", |bencher| {
        bencher.iter(|| bt_bencode::from_slice::<Torrent<'_>>(black_box(bytes)).unwrap());
    });
    group.bench_function("torrent/serde_bencode", |bencher| {
        bencher.iter(|| serde_bencode::from_bytes::<Torrent<'_>>(black_box(bytes)).unwrap());
    });
    group.bench_function("torrent/bendy", |bencher| {
        bencher.iter(|| bendy::serde::from_bytes::<Torrent<'_>>(black_box(bytes)).unwrap());
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
struct Torrent<'a> {
    #[serde(borrow)]
    announce: Text<'a>,
    #[serde(borrow, rename = "announce-list")]
    announce_list: Vec<Vec<Text<'a>>>,
    #[serde(borrow)]
    comment: Text<'a>,
    #[serde(rename = "creation date")]
    creation_date: i64,
    #[serde(borrow)]
    info: Info<'a>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Info<'a> {
    #[serde(borrow, default)]
    files: Vec<File<'a>>,
    #[serde(default)]
    length: u64,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(rename = "piece length")]
    piece_length: u64,
    #[serde(borrow)]
    pieces: Hashes<'a>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct File<'a> {
    length: u64,
    #[serde(borrow)]
    path: Vec<Text<'a>>,
}

/// A byte string, borrowed where the library can.
#[derive(Debug, PartialEq, Default)]
struct Hashes<'a>(Cow<'a, [u8]>);

impl<'de: 'a, 'a> Deserialize<'de> for Hashes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Hashes<'a>, D::Error> {
        deserializer.deserialize_bytes(Visitor).map(Hashes)
    }
}

/// A byte string checked to be text, borrowed where the library can.
#[derive(Debug, PartialEq, Default)]
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text<'a>, D::Error> {
        let text = match deserializer.deserialize_bytes(Visitor)? {
            Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).ok(),
            Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).ok(),
        };
        text.map(Text).ok_or_else(|| de::Error::custom("not UTF-8"))
    }
}

struct Visitor;

impl<'de> de::Visitor<'de> for Visitor {
    type Value = Cow<'de, [u8]>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a byte string")
    }

    fn visit_borrowed_bytes<E: de::Error>(self, bytes: &'de [u8]) -> Result<Cow<'de, [u8]>, E> {
        Ok(Cow::Borrowed(bytes))
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Cow<'de, [u8]>, E> {
        Ok(Cow::Owned(bytes.into()))
    }

    fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Cow<'de, [u8]>, E> {
        Ok(Cow::Owned(bytes))
    }
}

impl<'a> Torrent<'a> {
    fn read(bytes: &'a [u8], outline: &'a mut Outline) -> Option<Torrent<'a>> {
        let mut torrent = Torrent {
            announce: Text::default(),
            announce_list: Vec::new(),
            comment: Text::default(),
            creation_date: 0,
            info: Info { files: Vec::new(), length: 0, name: Text::default(), piece_length: 0, pieces: Hashes::default() },
        };
        for (key, value) in outline.decode(bytes, Options::STRICT).ok()?.as_dictionary()? {
            match key {
                b"announce" => torrent.announce = Text::read(value)?,
                b"announce-list" => torrent.announce_list = value.as_list()?.iter().map(texts).collect::<Option<_>>()?,
                b"comment" => torrent.comment = Text::read(value)?,
                b"creation date" => torrent.creation_date = value.as_integer()?,
                b"info" => torrent.info.read(value.as_dictionary()?)?,
                _ => {}
            }
        }
        Some(torrent)
    }
}

impl<'a> Info<'a> {
    fn read(&mut self, entries: Dictionary<'a>) -> Option<()> {
        for (key, value) in entries {
            match key {
                b"files" => self.files = value.as_list()?.iter().map(File::read).collect::<Option<_>>()?,
                b"length" => self.length = value.as_unsigned()?,
                b"name" => self.name = Text::read(value)?,
                b"piece length" => self.piece_length = value.as_unsigned()?,
                b"pieces" => self.pieces = Hashes(Cow::Borrowed(value.as_bytes()?)),
                _ => {}
            }
        }
        Some(())
    }
}

impl<'a> File<'a> {
    fn read(value: Value<'a>) -> Option<File<'a>> {
        let mut file = File { length: 0, path: Vec::new() };
        for (key, value) in value.as_dictionary()? {
            match key {
                b"length" => file.length = value.as_unsigned()?,
                b"path" => file.path = texts(value)?,
                _ => {}
            }
        }
        Some(file)
    }
}

impl<'a> Text<'a> {
    fn read(value: Value<'a>) -> Option<Text<'a>> {
        value.as_str().map(|text| Text(Cow::Borrowed(text)))
    }
}

fn texts(value: Value<'_>) -> Option<Vec<Text<'_>>> {
    value.as_list()?.iter().map(Text::read).collect()
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(50);
    targets = decoding
}
criterion_main!(benches);
