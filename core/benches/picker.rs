//! What the piece picker costs at 100,000 pieces: `cargo bench -p rustor-core --bench picker`.
#![allow(missing_docs, reason = "criterion's macros make public functions")]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rustor_core::{
    rng::{Rng, Seed},
    torrent::{
        geometry::{BLOCK_LENGTH, Geometry},
        picker::{PeerCursor, PeerPieces, Picker, PickerConfig, Received, Source, Speed},
    },
    util::Bitfield,
};
use std::hint::black_box;

const PIECES: u32 = 100_000;
const BLOCKS: u32 = 16;
const PEERS: u32 = 100;

criterion_group!(benches, have, pick, membership, download);
criterion_main!(benches);

/// A swarm of leechers, each with its own random half of the pieces, and a few seeds.
fn swarm(blocks: u32) -> (Picker<u32>, Vec<Bitfield>, Rng) {
    let length = blocks * BLOCK_LENGTH;
    let geometry = Geometry::new(u64::from(PIECES) * u64::from(length), length).expect("a valid geometry");
    let config = PickerConfig { random_first_pieces: 0, begun_limit: u64::MAX, ..PickerConfig::default() };
    let mut picker = Picker::new(geometry, config);
    let mut rng = Rng::new(Seed::from_u64(1));
    let peers: Vec<_> = (0..PEERS).map(|_| holdings(2, &mut rng)).collect();
    for peer in &peers {
        picker.peer_joined(PeerPieces::Some(peer));
    }
    for _ in 0..5 {
        picker.peer_joined(PeerPieces::All);
    }
    (picker, peers, rng)
}

/// One random piece in `every`.
fn holdings(every: u64, rng: &mut Rng) -> Bitfield {
    let mut has = Bitfield::new(PIECES);
    for piece in 0..PIECES {
        if rng.below(every) == 0 {
            has.set(piece);
        }
    }
    has
}

fn have(c: &mut Criterion) {
    let (mut picker, mut peers, mut rng) = swarm(BLOCKS);
    let mut cursor = PeerCursor::default();
    c.bench_function("have, or its loss", |b| {
        b.iter(|| {
            let Some(peer) = rng.index(peers.len()) else { return };
            let (has, piece) = (&mut peers[peer], rng.below(u64::from(PIECES)) as u32);
            if has.set(piece) {
                picker.peer_has(has, piece, &mut cursor);
            } else {
                has.clear(piece);
                picker.peer_lost(has, piece);
            }
        });
    });
}

fn pick(c: &mut Criterion) {
    let mut group = c.benchmark_group("pick a piece of 16 blocks, give it back");
    let (mut picker, peers, mut rng) = swarm(BLOCKS);
    let mut out = Vec::new();
    let mut turn = |picker: &mut Picker<u32>, peer, has: PeerPieces<'_>, cursor: &mut PeerCursor, rng: &mut Rng| {
        out.clear();
        picker.pick(&Source { peer, has, speed: Speed::Slow }, cursor, BLOCKS as usize, rng, &mut out);
        for block in &out {
            picker.released(peer, *block);
        }
        black_box(out.len())
    };
    let mut cursors = vec![PeerCursor::default(); peers.len()];
    group.bench_function("of a seed", |b| b.iter(|| turn(&mut picker, PEERS, PeerPieces::All, &mut PeerCursor::default(), &mut rng)));
    group.bench_function("of 100 peers with half of the pieces", |b| {
        b.iter(|| {
            let Some(peer) = rng.index(peers.len()) else { return 0 };
            turn(&mut picker, peer as u32, PeerPieces::Some(&peers[peer]), &mut cursors[peer], &mut rng)
        });
    });
    for every in [10, 1000, 20_000] {
        let has = holdings(every, &mut rng);
        picker.peer_joined(PeerPieces::Some(&has));
        let mut cursor = PeerCursor::default();
        group.bench_function(format!("of a peer with one piece in {every}"), |b| {
            b.iter(|| turn(&mut picker, PEERS + 1, PeerPieces::Some(&has), &mut cursor, &mut rng));
        });
        picker.peer_left(PeerPieces::Some(&has));
    }
    group.finish();
}

fn membership(c: &mut Criterion) {
    let mut group = c.benchmark_group("join and leave");
    let (mut picker, _, mut rng) = swarm(BLOCKS);
    let mut turn = |has: PeerPieces<'_>| {
        picker.peer_joined(has);
        picker.peer_left(has);
    };
    group.bench_function("a seed", |b| b.iter(|| turn(PeerPieces::All)));
    for every in [2, 1000] {
        let has = holdings(every, &mut rng);
        group.bench_function(format!("a peer with one piece in {every}"), |b| b.iter(|| turn(PeerPieces::Some(&has))));
    }
    group.finish();
}

/// Everything from the first pick to the last piece, 100 peers in turn; the time is a block's.
fn download(c: &mut Criterion) {
    let blocks = 4;
    let mut group = c.benchmark_group("whole download");
    group.sample_size(10).throughput(Throughput::Elements(u64::from(PIECES * blocks)));
    group.bench_function("400,000 blocks", |b| {
        b.iter_batched(
            || swarm(blocks),
            |(mut picker, peers, mut rng)| {
                let mut cursors = vec![PeerCursor::default(); peers.len()];
                let mut out = Vec::new();
                while !picker.is_complete() {
                    let leechers = (0..).zip(&peers).map(|(peer, has)| (peer, PeerPieces::Some(has)));
                    for (peer, has) in leechers.chain([(PEERS, PeerPieces::All)]) {
                        let mut own = PeerCursor::default();
                        let cursor = cursors.get_mut(peer as usize).unwrap_or(&mut own);
                        picker.pick(&Source { peer, has, speed: Speed::Slow }, cursor, 6, &mut rng, &mut out);
                        for block in out.drain(..) {
                            if let Received::New { piece_complete: true, .. } = picker.received(peer, block) {
                                picker.piece_verified(block.piece);
                            }
                        }
                    }
                }
                picker
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}
