//! What an engine costs in memory while nothing happens.

#![allow(unsafe_code, reason = "an allocator that counts cannot be had without")]

mod support;

use rustor_core::{
    action::Action,
    command::{AddTorrent, Command},
    config::Config,
    engine::Engine,
    id::ConnectionId,
    input::{Input, ReadBuffer},
    rng::Seed,
    storage::{DiskOperation, DiskOutput, FileStamp},
    time::{Duration, Instant},
    wire::{
        Handshake, Message, PeerId, Reserved,
        extension::{Extension, ExtensionHandshake, ExtensionIds, ExtensionMessage},
    },
};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    net::SocketAddr,
};
use support::{Content, handshake};

/// Counts the bytes that each thread holds.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // The thread may be ending; what it frees then is of no interest.
    let _ = HELD.try_with(|held| held.set(held.get() + bytes));
}

// SAFETY: all is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn held() -> isize {
    HELD.with(Cell::get)
}

const NOW: Instant = Instant::from_micros(1_000_000);

/// Answers the disk's part of the engine's wishes; the other actions are only noted.
fn drains(engine: &mut Engine, has_all: bool) -> Vec<ConnectionId> {
    let mut accepted = Vec::new();
    while let Some(action) = engine.poll_action() {
        match action {
            Action::Accept { connection, .. } => accepted.push(connection),
            Action::Write { connection, .. } => engine.handle(NOW, Input::Written { connection, result: Ok(()) }),
            Action::Disk { job, operation, .. } => {
                let output = match operation {
                    DiskOperation::Open { layout, .. } => {
                        let stamp = |length| Some(FileStamp { length, modified: 1, aside: false }).filter(|_| has_all);
                        DiskOutput::Opened(layout.files().iter().map(|file| stamp(file.length)).collect())
                    }
                    DiskOperation::Verify { digests, .. } => DiskOutput::Verified(vec![true; digests.len() / 20]),
                    DiskOperation::Stamp => DiskOutput::Stamps(Vec::new()),
                    _ => DiskOutput::Done,
                };
                engine.handle(NOW, Input::Disk { job, result: Ok(output) });
            }
            _ => {}
        }
    }
    while engine.poll_event().is_some() {}
    accepted
}

fn add(engine: &mut Engine, content: &Content, has_all: bool) {
    let add = AddTorrent::new(content.metainfo(), "folder");
    engine.command(NOW, Command::Add(Box::new(add))).expect("the torrent is added");
    drains(engine, has_all);
}

/// So many idle peers connect, each with a bitfield; what one of them costs.
fn cost_of_a_connection(content: &Content, has_all: bool, extensions: Option<ExtensionIds>) -> isize {
    const PEERS: u16 = 256;
    let mut config = Config::default();
    (config.limits.connections, config.limits.connections_per_torrent) = (10_000, 10_000);
    let mut engine = Engine::new(config, Seed::from_u64(1), NOW);
    add(&mut engine, content, has_all);
    let connects = |engine: &mut Engine, number: u16| {
        let remote = SocketAddr::from(([10, 0, (number >> 8) as u8, number as u8], 5000));
        engine.handle(NOW, Input::Incoming { incoming: rustor_core::id::IncomingId(u64::from(number)), remote });
        let connection = drains(engine, has_all)[0];
        let mut id = [0; 20];
        id[..2].copy_from_slice(&number.to_be_bytes());
        let reserved = if extensions.is_some() { Reserved::default().with_extension() } else { Reserved::default() };
        let mut said = Handshake { peer_id: PeerId(id), reserved, ..handshake(content, remote) }.encode().to_vec();
        if let Some(ids) = extensions {
            let handshake = ExtensionHandshake {
                ids,
                client: Some("libtorrent/2.0.9".into()),
                listen_port: ids.get(Extension::PeerExchange).map(|_| 6881),
                request_queue: Some(500),
                your_ip: Some([192, 0, 2, 1].into()),
                metadata_size: Some(16_384),
                ..ExtensionHandshake::default()
            };
            let message = ExtensionMessage::Handshake(handshake.into()).encode(&ExtensionIds::OURS);
            message.expect("handshakes need no id").encode(&mut said);
        }
        content.bitfield((0..content.pieces()).filter(|piece| piece % 3 == 0)).encode(&mut said);
        Message::KeepAlive.encode(&mut said);
        let read = ReadBuffer { allocation: said.len() as u32, data: said.into() };
        engine.handle(NOW, Input::Read { connection, result: Ok(read) });
        drains(engine, has_all);
    };
    // The first one brings what is there once for all, the availability of pieces say.
    connects(&mut engine, 0);
    let before = held();
    for number in 1..PEERS {
        connects(&mut engine, number);
    }
    engine.handle(NOW + Duration::from_secs(30), Input::Timeout);
    drains(&mut engine, has_all);
    assert_eq!(engine.torrents()[0].peers, u32::from(PEERS));
    (held() - before) / isize::try_from(PEERS - 1).expect("small")
}

#[test]
fn an_idle_connection_costs_512_bytes_and_its_extensions_as_much_again_at_most() {
    let content = Content::new(800, 1);
    let metadata = ExtensionIds::OURS.without(Extension::PeerExchange);
    for (extensions, limit) in [(None, 512), (Some(metadata), 640), (Some(ExtensionIds::OURS), 1024)] {
        let seeding = cost_of_a_connection(&content, true, extensions);
        let leeching = cost_of_a_connection(&content, false, extensions);
        println!("an idle connection costs {seeding} bytes while seeding, {leeching} while leeching; it speaks {extensions:?}");
        assert!(seeding <= limit && leeching <= limit, "{seeding} bytes while seeding, {leeching} while leeching; {extensions:?}");
    }
}

#[test]
fn an_engine_with_a_small_torrent_costs_no_more_than_24_kib() {
    for has_all in [true, false] {
        let content = Content::tracked(200, 1, &[&["http://one.test/announce", "http://two.test/announce"]]);
        let before = held();
        let mut engine = Engine::new(Config::default(), Seed::from_u64(1), NOW);
        add(&mut engine, &content, has_all);
        let cost = held() - before + size_of::<Engine>() as isize;
        println!("an engine with a small torrent costs {cost} bytes, {} of them itself", size_of::<Engine>());
        assert!(cost <= 24 << 10, "{cost} bytes");
    }
}

#[test]
fn a_torrent_that_is_removed_leaves_nothing_behind() {
    let content = Content::new(200, 1);
    let mut engine = Engine::new(Config::default(), Seed::from_u64(1), NOW);
    let mut costs = Vec::new();
    for _ in 0..50 {
        add(&mut engine, &content, true);
        let torrent = engine.find(content.info_hash()).expect("it is listed");
        engine.command(NOW, Command::Remove { torrent, delete_data: false }).expect("it is listed");
        drains(&mut engine, true);
        assert!(engine.torrents().is_empty());
        costs.push(held());
    }
    assert!(costs[49] - costs[9] <= 4096 + 40 * 8, "{costs:?}");
}
