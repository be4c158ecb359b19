//! How fast the wire codec is: `cargo bench -p rustor-core --bench wire`.
#![allow(missing_docs, reason = "criterion's macros make public functions")]

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rustor_core::wire::{BLOCK_LENGTH, Block, Decoder, Encoder, Limits, Message};
use std::hint::black_box;

/// A read from the socket at its largest.
const READ: usize = 256 * 1024;

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wire decode");
    let data = Bytes::from(vec![0x55; BLOCK_LENGTH as usize]);
    let blocks =
        (0..1024).map(|number| Message::Piece { piece: number / 16, offset: number % 16 * BLOCK_LENGTH, data: data.clone().into() });
    let mixed = (0..16384).map(|piece| match piece % 4 {
        0 => Message::Request(Block { piece, offset: 0, length: BLOCK_LENGTH }),
        _ => Message::Have(piece),
    });
    for (name, messages) in [("blocks", blocks.collect::<Vec<_>>()), ("haves and requests", mixed.collect())] {
        let stream = encoded(&messages);
        for size in [READ, 1448] {
            // Each read has its own allocation, as it has when it comes from a socket.
            let reads = stream.chunks(size).map(Bytes::copy_from_slice).collect::<Vec<_>>();
            group.throughput(Throughput::Bytes(stream.len() as u64));
            group.bench_function(format!("{name} in reads of {size}"), |bencher| {
                bencher.iter_batched(
                    || reads.clone(),
                    |reads| {
                        let mut decoder = Decoder::new(Limits::default());
                        let mut count = 0;
                        for read in reads {
                            decoder.push(read);
                            while let Ok(Some(message)) = decoder.next() {
                                black_box(&message);
                                count += 1;
                            }
                        }
                        assert_eq!(count, messages.len());
                    },
                    BatchSize::SmallInput,
                );
            });
        }
    }
    group.finish();
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wire encode");
    let data = Bytes::from(vec![0x55; BLOCK_LENGTH as usize]);
    let requests = (0..256).map(|piece| Message::Request(Block { piece, offset: 0, length: BLOCK_LENGTH })).collect::<Vec<_>>();
    let blocks = (0..16).map(|piece| Message::Piece { piece, offset: 0, data: data.clone().into() }).collect::<Vec<_>>();
    for (name, messages) in [("256 requests", requests), ("16 blocks", blocks)] {
        let mut encoder = Encoder::new();
        group.throughput(Throughput::Bytes(messages.iter().map(Message::wire_length).sum()));
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || messages.clone(),
                |messages| {
                    messages.into_iter().for_each(|message| encoder.push(message));
                    encoder.take()
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn encoded(messages: &[Message]) -> BytesMut {
    let mut encoder = Encoder::new();
    messages.iter().for_each(|message| encoder.push(message.clone()));
    encoder.take().into_iter().flatten().collect()
}

criterion_group!(benches, decode, encode);
criterion_main!(benches);
