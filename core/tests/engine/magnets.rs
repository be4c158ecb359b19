//! Magnet links (BEP 9, BEP 53): from a hash to a download, whoever lies on the way.

use crate::{
    BLOCK,
    support::{Content, Job, Peer, World, handshake},
};
use rustor_core::{
    choices::Priority,
    command::{AddTorrent, Command, Reply, TorrentSource},
    event::Event,
    id::TorrentId,
    input::Input,
    metainfo::Magnet,
    peer::CloseReason,
    status::TorrentState,
    wire::{
        Handshake, Message, PeerId, Reserved,
        extension::{ExtensionMessage, METADATA_PIECE_LENGTH, MetadataMessage},
    },
};
use std::net::SocketAddr;

const TRACKER: &str = "http://tracker.test/announce";

fn content() -> Content {
    Content::new(4 * BLOCK as usize, BLOCK)
}

/// Its metadata has three pieces.
fn large() -> Content {
    Content::new(2000, 1)
}

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn magnet(content: &Content, parameters: &str) -> Magnet {
    format!("magnet:?xt=urn:btih:{}{parameters}", content.info_hash()).parse().expect("a magnet link")
}

fn adds(world: &World, magnet: Magnet, change: impl FnOnce(&mut AddTorrent)) -> TorrentId {
    let mut add = AddTorrent::new(magnet, "folder");
    change(&mut add);
    match world.command(Command::Add(Box::new(add))) {
        Ok(Reply::Added(torrent)) => torrent,
        other => panic!("adding a magnet link brought {other:?}"),
    }
}

fn info(content: &Content) -> bytes::Bytes {
    content.metainfo().info.raw().clone()
}

/// A peer that has everything connects, and says how long the metadata is.
fn seed_joins(world: &World, content: &Content, remote: &str) -> Peer {
    joins_with_size(world, content, remote, Some(info(content).len() as u32))
}

fn joins_with_size(world: &World, content: &Content, remote: &str, size: Option<u32>) -> Peer {
    let peer = world.stranger(remote);
    peer.offers_extensions(content);
    peer.introduces(|handshake| handshake.metadata_size = size);
    peer.says(content.bitfield(0..content.pieces()));
    peer
}

fn requests(peer: &Peer) -> Vec<u32> {
    let piece = |message| if let MetadataMessage::Request { piece } = message { Some(piece) } else { None };
    peer.hears_metadata().into_iter().filter_map(piece).collect()
}

/// Answers the requests that wait, those that follow from the answers, too, with these bytes.
fn gives(peer: &Peer, metadata: &[u8]) {
    loop {
        let pieces = requests(peer);
        if pieces.is_empty() || peer.is_closed() {
            return;
        }
        for piece in pieces.into_iter().filter(|_| !peer.is_closed()) {
            peer.says_extended(ExtensionMessage::Metadata(data(metadata, piece)));
        }
    }
}

fn data(metadata: &[u8], piece: u32) -> MetadataMessage {
    let start = (piece * METADATA_PIECE_LENGTH) as usize;
    let end = metadata.len().min(start + METADATA_PIECE_LENGTH as usize);
    let data = metadata[start.min(end)..end].to_vec().into();
    MetadataMessage::Data { piece, total_size: Some(metadata.len() as u32), data }
}

fn rejects(peer: &Peer) {
    requests(peer).into_iter().for_each(|piece| peer.says_extended(ExtensionMessage::Metadata(MetadataMessage::Reject { piece })));
}

/// Gives the metadata and the pieces, whatever was said before.
fn serves_all(world: &World, content: &Content, peer: &Peer) {
    gives(peer, &info(content));
    peer.says(Message::Unchoke);
    peer.serves(content);
    assert!(world.disk(|disk| disk.holds("folder", content)), "{:?}", world.status(world.torrent_of(content)));
}

fn is_known(world: &World) -> bool {
    world.count_events(|event| matches!(event, Event::MetadataReceived { .. })) > 0
}

// From link to download

#[test]
fn a_magnet_link_is_listed_at_once_under_its_name_or_its_hash() {
    let (world, content) = (World::new(), content());
    let torrent = adds(&world, magnet(&content, "&dn=a%2Fname"), |_| {});
    let status = world.status(torrent);
    assert_eq!((status.state, status.metadata, status.pieces), (TorrentState::FetchingMetadata, false, 0));
    assert!(!status.name.contains('/'), "{}", status.name);
    assert!(world.jobs().is_empty() && world.disk(|disk| disk.done.is_empty()));
    let other = Content::new(5, 5);
    let torrent = adds(&world, magnet(&other, ""), |_| {});
    assert_eq!(world.status(torrent).name, other.info_hash().to_string());
}

#[test]
fn a_peer_gives_the_metadata_and_then_the_pieces_on_the_same_connection() {
    let (world, content) = (World::new(), content());
    let torrent = adds(&world, magnet(&content, ""), |add| add.peers = vec![at("10.0.0.1:6881")]);
    let peer = world.extended_answers(&content, "10.0.0.1:6881");
    peer.introduces(|handshake| handshake.metadata_size = Some(info(&content).len() as u32));
    peer.has_all(&content);
    serves_all(&world, &content, &peer);
    assert_eq!(world.state(torrent), TorrentState::Seeding);
    assert_eq!(world.status(torrent).name, "file");
    assert_eq!(world.count_events(|event| matches!(event, Event::PeerConnected { .. })), 1);
}

#[test]
fn what_peers_said_of_their_pieces_before_the_metadata_came_counts() {
    let (world, content) = (World::new(), content());
    adds(&world, magnet(&content, ""), |_| {});
    let by_bitfield = world.extended_joins(&content, "10.0.0.1:5000", None);
    by_bitfield.says(content.bitfield([0, 1]));
    let by_haves = world.extended_joins(&content, "10.0.0.2:5000", None);
    by_haves.says_all([Message::Have(2), Message::Have(3)]);
    let poor = world.extended_joins(&content, "10.0.0.3:5000", None);
    let giver = world.extended_joins(&content, "10.0.0.4:5000", None);
    giver.introduces(|handshake| handshake.metadata_size = Some(info(&content).len() as u32));
    gives(&giver, &info(&content));
    assert!(is_known(&world));
    assert!(by_bitfield.heard(&Message::Interested) && by_haves.heard(&Message::Interested));
    assert!(!poor.heard(&Message::Interested));
    for peer in [&by_bitfield, &by_haves] {
        peer.says(Message::Unchoke);
        peer.serves(&content);
    }
    assert!(world.disk(|disk| disk.holds("folder", &content)));
    assert_eq!(poor.hears_haves().len(), 4, "and everybody hears of what came");
}

#[test]
fn a_seed_that_speaks_the_fast_extension_is_one_from_the_first_message_on() {
    let (world, content) = (World::new(), content());
    let torrent = adds(&world, magnet(&content, ""), |_| {});
    let seed = world.stranger("10.0.0.1:5000");
    let reserved = Reserved::default().with_extension().with_fast();
    seed.says_bytes(Handshake { reserved, ..handshake(&content, seed.remote()) }.encode().to_vec());
    seed.says_all([Message::HaveAll, Message::AllowedFast(1), Message::Suggest(2), Message::AllowedFast(77)]);
    assert!(!seed.is_closed());
    seed.introduces(|handshake| handshake.metadata_size = Some(info(&content).len() as u32));
    serves_all(&world, &content, &seed);
    assert_eq!(world.state(torrent), TorrentState::Seeding);
}

#[test]
fn what_was_said_of_pieces_that_the_torrent_does_not_have_costs_the_connection_once_that_is_known() {
    let (world, content) = (World::new(), content());
    adds(&world, magnet(&content, ""), |_| {});
    let beyond = world.extended_joins(&content, "10.0.0.1:5000", None);
    beyond.says(Message::Have(4));
    let spare = world.extended_joins(&content, "10.0.0.2:5000", None);
    spare.says(Message::Bitfield((&[0xff][..]).into()));
    let seed = seed_joins(&world, &content, "10.0.0.3:5000");
    assert!(!beyond.is_closed() && !spare.is_closed());
    serves_all(&world, &content, &seed);
    assert!(matches!(beyond.reason(), Some(CloseReason::Protocol(_))));
    assert!(matches!(spare.reason(), Some(CloseReason::Protocol(_))));
}

#[test]
fn connected_peers_get_pieces_that_are_on_disk_already() {
    let (world, content) = (World::new(), content());
    world.has(&content, 0..3);
    adds(&world, magnet(&content, ""), |_| {});
    let leecher = world.extended_joins(&content, "10.0.0.1:5000", None);
    leecher.says(Message::Interested);
    let seed = seed_joins(&world, &content, "10.0.0.2:5000");
    gives(&seed, &info(&content));
    assert_eq!(leecher.hears_haves(), [0, 1, 2]);
    assert!(leecher.heard(&Message::Unchoke));
    leecher.says(Message::Request(content.blocks(1)[0]));
    assert_eq!(leecher.hears_blocks(), content.blocks(1));
}

#[test]
fn seeds_go_when_all_of_it_is_on_disk_already() {
    let (world, content) = (World::new(), content());
    world.has(&content, 0..4);
    let torrent = adds(&world, magnet(&content, ""), |_| {});
    let seed = seed_joins(&world, &content, "10.0.0.2:5000");
    gives(&seed, &info(&content));
    assert_eq!(world.state(torrent), TorrentState::Seeding);
    assert_eq!(seed.reason(), Some(CloseReason::NoUse));
}

#[test]
fn metadata_of_many_pieces_comes_from_several_peers_at_once() {
    let (world, content) = (World::new(), large());
    adds(&world, magnet(&content, ""), |_| {});
    let peers: Vec<Peer> = (1..=3).map(|number| seed_joins(&world, &content, &format!("10.0.0.{number}:5000"))).collect();
    let whole = info(&content);
    for (piece, peer) in (0..).zip(&peers) {
        let asked = requests(peer);
        assert!(!asked.is_empty());
        peer.says_extended(ExtensionMessage::Metadata(data(&whole, if asked.contains(&piece) { piece } else { asked[0] })));
    }
    peers.iter().for_each(|peer| gives(peer, &whole));
    assert!(is_known(&world));
    assert!(peers.iter().all(|peer| !peer.is_closed()));
}

// Lies

#[test]
fn liars_among_the_peers_do_not_keep_the_download_from_the_one_that_is_honest() {
    let content = large();
    let good = info(&content);
    let length = good.len() as u32;
    type Lie = fn(&Peer, &[u8]);
    let wrong_bytes: Lie = |peer, good| gives(peer, &vec![b'x'; good.len()]);
    let a_wrong_byte: Lie = |peer, good| {
        let mut bad = good.to_vec();
        bad[20_000] ^= 1;
        gives(peer, &bad);
    };
    let silence: Lie = |_, _| {};
    let reject: Lie = |peer, _| rejects(peer);
    let cut_short: Lie = |peer, good| {
        for piece in requests(peer) {
            let MetadataMessage::Data { piece, total_size, data } = data(good, piece) else { return };
            let data = data.slice(..data.len() / 2);
            if !peer.is_closed() {
                peer.says_extended(ExtensionMessage::Metadata(MetadataMessage::Data { piece, total_size, data }));
            }
        }
    };
    let leaves: Lie = |peer, _| {
        if !requests(peer).is_empty() {
            peer.ends();
        }
    };
    let cases: [(&str, Option<u32>, Lie); 9] = [
        ("a huge size", Some(u32::MAX), silence),
        ("as much as is allowed", Some(32 << 20), wrong_bytes),
        ("a wrong size", Some(length - 1), wrong_bytes),
        ("the right size and wrong bytes", Some(length), wrong_bytes),
        ("one wrong byte", Some(length), a_wrong_byte),
        ("silence", Some(length), silence),
        ("rejects for ever", Some(length), reject),
        ("pieces cut short", Some(length), cut_short),
        ("going when asked", Some(length), leaves),
    ];
    for honest_first in [true, false] {
        for liars in [1u8, 6] {
            for (case, size, lies) in &cases {
                let world = World::new();
                adds(&world, magnet(&content, ""), |_| {});
                let join_liar = |number: u8| joins_with_size(&world, &content, &format!("10.0.1.{number}:5000"), *size);
                let early = honest_first.then(|| seed_joins(&world, &content, "10.0.0.1:5000"));
                let liars: Vec<Peer> = (0..liars).map(join_liar).collect();
                let honest = early.unwrap_or_else(|| seed_joins(&world, &content, "10.0.0.1:5000"));
                for _ in 0..60 {
                    liars.iter().filter(|liar| !liar.is_closed()).for_each(|liar| lies(liar, &good));
                    liars.iter().chain([&honest]).filter(|peer| !peer.is_closed()).for_each(|peer| peer.says(Message::KeepAlive));
                    // The honest one answers once only, and slowly.
                    if let Some(piece) = requests(&honest).first() {
                        honest.says_extended(ExtensionMessage::Metadata(data(&good, *piece)));
                    }
                    world.seconds(11);
                }
                assert!(is_known(&world), "{case}, {} liars, honest first: {honest_first}", liars.len());
                assert!(!honest.is_closed(), "{case}: no innocent one is banned");
                serves_all(&world, &content, &honest);
            }
        }
    }
}

#[test]
fn who_alone_sent_wrong_metadata_is_banned() {
    let (world, content) = (World::new(), content());
    adds(&world, magnet(&content, ""), |_| {});
    let liar = seed_joins(&world, &content, "10.0.0.1:5000");
    gives(&liar, &vec![b'x'; info(&content).len()]);
    assert_eq!(liar.reason(), Some(CloseReason::Banned));
    assert!(world.joins(&content, "10.0.0.1:5001").is_closed());
}

#[test]
fn what_a_peer_was_asked_for_when_it_left_is_asked_of_others_at_once() {
    let (world, content) = (World::new(), content());
    adds(&world, magnet(&content, ""), |_| {});
    let peers: Vec<Peer> = (1..=4).map(|number| seed_joins(&world, &content, &format!("10.0.0.{number}:5000"))).collect();
    let (asked, idle): (Vec<&Peer>, Vec<&Peer>) = peers.iter().partition(|peer| !requests(peer).is_empty());
    assert_eq!((asked.len(), idle.len()), (3, 1));
    asked.into_iter().for_each(Peer::ends);
    assert_eq!(requests(idle[0]), [0]);
}

#[test]
fn a_peer_that_says_no_size_is_asked_all_the_same() {
    let (world, content) = (World::new(), content());
    adds(&world, magnet(&content, ""), |_| {});
    let peer = joins_with_size(&world, &content, "10.0.0.1:5000", None);
    rejects(&peer);
    assert!(requests(&peer).is_empty());
    // By now it has got it itself.
    world.seconds(20);
    serves_all(&world, &content, &peer);
}

#[test]
fn a_peer_that_stops_speaking_the_exchange_is_not_asked_until_it_speaks_it_again() {
    let (world, content) = (World::new(), content());
    adds(&world, magnet(&content, ""), |_| {});
    let peer = seed_joins(&world, &content, "10.0.0.1:5000");
    assert_eq!(requests(&peer), [0]);
    let says = |id| {
        peer.introduces(|handshake| {
            handshake.ids = handshake.ids.with(rustor_core::wire::extension::Extension::Metadata, id);
            handshake.metadata_size = Some(info(&content).len() as u32);
        });
    };
    says(0);
    world.seconds(100);
    assert!(requests(&peer).is_empty());
    says(1);
    serves_all(&world, &content, &peer);
}

#[test]
fn metadata_that_was_not_asked_for_means_nothing() {
    let (world, content) = (World::new(), content());
    let torrent = adds(&world, magnet(&content, ""), |_| {});
    let peer = world.stranger("10.0.0.1:5000");
    peer.offers_extensions(&content);
    peer.says_extended(ExtensionMessage::Metadata(data(&info(&content), 0)));
    peer.says_extended(ExtensionMessage::Metadata(MetadataMessage::Reject { piece: 7 }));
    assert_eq!(world.state(torrent), TorrentState::FetchingMetadata);
    assert!(!peer.is_closed());
}

// For ever

#[test]
fn a_magnet_link_tries_for_ever() {
    let (world, content) = (World::new(), content());
    let torrent = adds(&world, magnet(&content, &format!("&tr={TRACKER}&x.pe=10.0.0.9:6881")), |add| add.peers = vec![at("10.0.0.8:6881")]);
    let (resolve, ..) = world.look_ups()[0].clone();
    world.input(Input::Resolved { resolve, result: Ok(vec![at("10.0.0.9:6881")]) });
    let mut tried = 0;
    for _ in 0..24 * 60 {
        while let Some(remote) = world.dials().first().map(SocketAddr::to_string) {
            world.refuses(&remote);
            tried += 1;
        }
        if !world.announces().is_empty() {
            world.tracker_fails(TRACKER);
        }
        world.seconds(60);
    }
    assert!(tried > 40, "{tried}");
    assert_eq!(world.state(torrent), TorrentState::FetchingMetadata);
    while world.announces().is_empty() {
        world.seconds(60);
    }
    world.tracker_answers(TRACKER, &["10.0.1.1:6881"]);
    let peer = world.answers("10.0.1.1:6881");
    peer.offers_extensions(&content);
    peer.introduces(|handshake| handshake.metadata_size = Some(info(&content).len() as u32));
    peer.has_all(&content);
    serves_all(&world, &content, &peer);
}

#[test]
fn trackers_are_told_that_something_is_missing() {
    let (world, content) = (World::new(), content());
    adds(&world, magnet(&content, &format!("&tr={TRACKER}")), |_| {});
    let announce = &world.announces()[0];
    assert_eq!(announce.event(), Some("started"));
    assert!(announce.number("left") > 0);
}

#[test]
fn the_peers_that_a_link_names_are_looked_up_and_tried() {
    let (world, content) = (World::new(), content());
    let torrent = adds(&world, magnet(&content, "&x.pe=peer.test:6881&x.pe=10.0.0.2:6882"), |_| {});
    let look_ups = world.look_ups();
    assert_eq!(
        look_ups.iter().map(|(_, host, port)| (host.as_str(), *port)).collect::<Vec<_>>(),
        [("peer.test", 6881), ("10.0.0.2", 6882)]
    );
    world.input(Input::Resolved { resolve: look_ups[0].0, result: Ok(vec![at("10.0.0.1:6881"), at("[2001:db8::1]:6881")]) });
    world.input(Input::Resolved { resolve: look_ups[1].0, result: Ok(vec![at("10.0.0.2:6882")]) });
    assert_eq!(world.dials().len(), 3);
    world.answers("10.0.0.1:6881").shakes_hands(&content);
    assert_eq!(world.peers(torrent)[0].source, rustor_core::torrent::PeerSource::Magnet);
}

// The owner's choices

#[test]
fn the_files_that_a_link_selects_become_choices() {
    let (world, content) = (World::new(), Content::files(&[("a", 10), ("b", 10), ("c", 10)], 10));
    let torrent = adds(&world, magnet(&content, "&so=0,2"), |_| {});
    let choices = world.choices(torrent);
    assert_eq!([0, 1, 2].map(|place| choices.file(place)), [Priority::Normal, Priority::Skip, Priority::Normal]);
    world.does(Command::Remove { torrent, delete_data: false });
    let torrent = adds(&world, magnet(&content, "&so=0,2"), |add| {
        add.choices.files.insert(1, Priority::High);
    });
    assert_eq!(world.choices(torrent).file(0), Priority::Normal, "what the owner chose comes first");
}

#[test]
fn choices_made_before_the_metadata_is_there_are_harmless() {
    let (world, content) = (World::new(), content());
    let torrent = adds(&world, magnet(&content, ""), |_| {});
    world.does(Command::Choose { torrent, choices: Box::default() });
    world.does(Command::Recheck(torrent));
    world.seconds(100);
    world.does(Command::Pause(torrent));
    world.does(Command::Resume(torrent));
    assert!(world.disk(|disk| disk.done.is_empty()), "there is nothing on disk yet");
    let seed = seed_joins(&world, &content, "10.0.0.1:5000");
    serves_all(&world, &content, &seed);
}

// Resume data

fn saved(world: &World) -> bytes::Bytes {
    world.disk(|disk| disk.resume.get("folder").cloned()).expect("it was saved")
}

#[test]
fn metadata_is_saved_and_a_later_session_asks_nobody() {
    let (world, content) = (World::new(), content());
    adds(&world, magnet(&content, &format!("&tr={TRACKER}")), |_| {});
    let peer = seed_joins(&world, &content, "10.0.0.1:5000");
    gives(&peer, &info(&content));
    // Not one piece of it is there: the metadata alone is worth saving.
    let saved = saved(&world);
    let world = World::new();
    let torrent = adds(&world, magnet(&content, &format!("&tr={TRACKER}")), |add| add.resume = Some(saved.clone()));
    let status = world.status(torrent);
    assert_eq!((status.state, status.metadata, status.pieces), (TorrentState::Downloading, true, 4));
    assert_eq!(status.name, "file");
    assert_eq!(world.announces()[0].event(), Some("started"));
    // Another torrent's is of no use.
    let world = World::new();
    let torrent = adds(&world, magnet(&Content::new(5, 5), ""), |add| add.resume = Some(saved));
    assert_eq!(world.state(torrent), TorrentState::FetchingMetadata);
}

#[test]
fn a_torrent_that_came_as_a_link_keeps_its_metadata_over_many_sessions() {
    let content = content();
    let world = World::new();
    adds(&world, magnet(&content, ""), |_| {});
    let peer = seed_joins(&world, &content, "10.0.0.1:5000");
    gives(&peer, &info(&content));
    let mut data = saved(&world);
    for piece in 0..4 {
        let world = World::new();
        world.has(&content, 0..piece);
        let torrent = adds(&world, magnet(&content, ""), |add| add.resume = Some(data.clone()));
        assert_eq!(world.status(torrent).pieces, 4);
        let peer = world.seed_joins(&content, "10.0.0.1:5000");
        peer.says(Message::Unchoke);
        peer.serves_some(&content, 1);
        world.does(Command::ShutDown);
        world.seconds(60);
        data = saved(&world);
    }
}

// Pause, resume, remove, shut down

/// Worlds in every phase that a magnet link goes through, and the peer that gives the metadata.
fn phases(content: &Content) -> Vec<(&'static str, World, TorrentId)> {
    let mut phases = Vec::new();
    for phase in ["alone", "asking", "settling", "checking", "preparing", "downloading", "complete"] {
        let world = World::new();
        world.has(content, [0]);
        let torrent = adds(&world, magnet(content, &format!("&tr={TRACKER}")), |_| {});
        if phase != "alone" {
            let peer = seed_joins(&world, content, "10.0.0.1:5000");
            if phase != "asking" {
                world.disk_holds();
                gives(&peer, &info(content));
                match phase {
                    "settling" => {}
                    "checking" => world.disk_does_next(Job::Open),
                    "preparing" => {
                        world.disk_does_next(Job::Open);
                        world.disk_does_next(Job::Verify(0));
                    }
                    _ => world.disk_catches_up(),
                }
            }
            if phase == "complete" {
                peer.says(Message::Unchoke);
                peer.serves(content);
                assert_eq!(world.state(torrent), TorrentState::Seeding);
            }
        }
        phases.push((phase, world, torrent));
    }
    phases
}

#[test]
fn a_link_can_be_paused_and_resumed_in_every_phase() {
    let content = content();
    for (phase, world, torrent) in phases(&content) {
        world.does(Command::Pause(torrent));
        world.disk_catches_up();
        assert_eq!(world.state(torrent), TorrentState::Paused, "{phase}");
        assert!(world.peers(torrent).is_empty(), "{phase}");
        assert!(world.joins(&content, "10.0.0.7:5000").is_closed(), "{phase}");
        world.seconds(1000);
        assert!(world.dials().is_empty(), "{phase}");
        world.does(Command::Resume(torrent));
        if phase != "complete" {
            let seed = seed_joins(&world, &content, "10.0.0.2:5000");
            serves_all(&world, &content, &seed);
        }
        assert_eq!(world.state(torrent), TorrentState::Seeding, "{phase}");
    }
}

#[test]
fn a_link_that_is_added_paused_asks_nobody_anything() {
    let (world, content) = (World::new(), content());
    let link = magnet(&content, &format!("&tr={TRACKER}&x.pe=peer.test:1"));
    let torrent = adds(&world, link, |add| (add.paused, add.peers) = (true, vec![at("10.0.0.1:6881")]));
    world.seconds(100);
    assert_eq!(world.state(torrent), TorrentState::Paused);
    assert!(world.announces().is_empty() && world.dials().is_empty() && world.look_ups().is_empty());
    world.does(Command::Resume(torrent));
    assert_eq!((world.announces().len(), world.dials().len(), world.look_ups().len()), (1, 1, 1));
}

#[test]
fn a_link_can_be_removed_in_every_phase() {
    let content = content();
    for delete_data in [false, true] {
        for (phase, world, torrent) in phases(&content) {
            world.does(Command::Remove { torrent, delete_data });
            world.disk_catches_up();
            world.seconds(60);
            assert!(!world.is_listed(torrent), "{phase}");
            assert_eq!(world.count_events(|event| matches!(event, Event::Removed { .. })), 1, "{phase}");
            // And can be added again.
            adds(&world, magnet(&content, ""), |_| {});
        }
    }
}

#[test]
fn a_shutdown_ends_in_every_phase_of_a_link() {
    let content = content();
    for (phase, world, torrent) in phases(&content) {
        world.does(Command::ShutDown);
        world.disk_catches_up();
        world.seconds(60);
        assert!(!world.is_listed(torrent), "{phase}");
        assert_eq!(world.count_events(|event| *event == Event::ShutDown), 1, "{phase}");
    }
}

// Giving metadata

#[test]
fn peers_are_given_metadata_each_its_share() {
    let (world, content) = (World::new(), large());
    world.seeds(&content);
    let whole = info(&content);
    let peer = world.extended_joins(&content, "10.0.0.1:5000", None);
    assert_eq!(peer.hears_introductions()[0].metadata_size, Some(whole.len() as u32));
    let ask = |peer: &Peer, piece| {
        peer.says_extended(ExtensionMessage::Metadata(MetadataMessage::Request { piece }));
        peer.hears_metadata().remove(0)
    };
    for _ in 0..2 {
        for piece in 0..3 {
            assert_eq!(ask(&peer, piece), data(&whole, piece));
        }
    }
    assert_eq!(ask(&peer, 0), MetadataMessage::Reject { piece: 0 }, "it has had all of it twice");
    assert_eq!(ask(&peer, 3), MetadataMessage::Reject { piece: 3 });
    let other = world.extended_joins(&content, "10.0.0.2:5000", None);
    assert_eq!(ask(&other, 2), data(&whole, 2));
    world.seconds(60);
    assert_eq!(ask(&peer, 0), data(&whole, 0));
}

#[test]
fn who_has_no_metadata_rejects_and_gives_it_once_it_has() {
    let (world, content) = (World::new(), content());
    adds(&world, magnet(&content, ""), |_| {});
    let peer = world.extended_joins(&content, "10.0.0.1:5000", None);
    assert_eq!(peer.hears_introductions()[0].metadata_size, None);
    peer.says_extended(ExtensionMessage::Metadata(MetadataMessage::Request { piece: 0 }));
    assert!(peer.hears_metadata().contains(&MetadataMessage::Reject { piece: 0 }));
    let seed = seed_joins(&world, &content, "10.0.0.2:5000");
    gives(&seed, &info(&content));
    let heard = peer.hears_extended();
    let said = heard.iter().find_map(|message| if let ExtensionMessage::Handshake(said) = message { said.metadata_size } else { None });
    assert_eq!(said, Some(info(&content).len() as u32), "it is told that there is metadata now");
    peer.says_extended(ExtensionMessage::Metadata(MetadataMessage::Request { piece: 0 }));
    assert_eq!(peer.hears_metadata(), [data(&info(&content), 0)]);
}

// Unusable metadata

#[test]
fn metadata_that_fits_the_hash_and_describes_no_torrent_ends_the_search() {
    for nonsense in ["i1e", "de", "d4:name1:a12:piece lengthi0e6:pieces0:e", "garbage"] {
        let world = World::new();
        let hash = rustor_core::metainfo::InfoHash::of(nonsense.as_bytes());
        let link: Magnet = format!("magnet:?xt=urn:btih:{hash}&tr={TRACKER}").parse().expect("a magnet link");
        let torrent = adds(&world, link.clone(), |_| {});
        let peer = world.stranger("10.0.0.1:5000");
        peer.says_bytes(
            Handshake { reserved: Reserved::default().with_extension(), info_hash: hash, peer_id: PeerId([7; 20]) }.encode().to_vec(),
        );
        peer.introduces(|handshake| handshake.metadata_size = Some(nonsense.len() as u32));
        gives(&peer, nonsense.as_bytes());
        assert_eq!(world.state(torrent), TorrentState::Failed, "{nonsense}");
        let unusable = |event: &Event| matches!(event, Event::MetadataUnusable { reason, .. } if !reason.is_empty());
        assert_eq!(world.count_events(unusable), 1, "{nonsense}");
        assert!(peer.is_closed() && !is_known(&world));
        assert_eq!(world.reason(at("10.0.0.1:5000")), Some(CloseReason::TorrentStopped), "it did not lie");
        world.does(Command::Remove { torrent, delete_data: true });
        world.seconds(60);
        assert!(!world.is_listed(torrent));
        assert!(matches!(TorrentSource::from(link), TorrentSource::Magnet(_)));
    }
}

#[test]
fn a_peer_is_spoken_to_by_the_ids_that_it_gave_and_answers_by_ours() {
    use rustor_core::wire::extension::{Extension, ExtensionIds};
    let (world, content) = (World::new(), content());
    adds(&world, magnet(&content, ""), |_| {});
    let peer = world.stranger("10.0.0.1:5000");
    peer.offers_extensions(&content);
    peer.introduces(|handshake| {
        handshake.ids = ExtensionIds::default().with(Extension::Metadata, 33);
        handshake.metadata_size = Some(info(&content).len() as u32);
    });
    let id = |message: &Message| if let Message::Extended { id, .. } = message { Some(*id) } else { None };
    let heard: Vec<u8> = peer.hears().iter().filter_map(id).filter(|id| *id != 0).collect();
    assert_eq!(heard, [33]);
    peer.says_extended(ExtensionMessage::Metadata(data(&info(&content), 0)));
    assert!(is_known(&world));
}

#[test]
fn a_selected_range_has_both_its_ends_and_an_endless_one_is_cut_off() {
    let (world, content) = (World::new(), Content::files(&[("a", 10), ("b", 10), ("c", 10), ("d", 10)], 10));
    let torrent = adds(&world, magnet(&content, "&so=1-2"), |_| {});
    let chosen = [0, 1, 2, 3].map(|place| world.choices(torrent).file(place));
    assert_eq!(chosen, [Priority::Skip, Priority::Normal, Priority::Normal, Priority::Skip]);
    world.does(Command::Remove { torrent, delete_data: false });
    let torrent = adds(&world, magnet(&content, "&so=1-4294967295"), |_| {});
    let choices = world.choices(torrent);
    assert_eq!([0, 1, 3].map(|place| choices.file(place)), [Priority::Skip, Priority::Normal, Priority::Normal]);
    assert!(choices.files.len() <= 100_000);
}
