//! Files fetched from web servers, alone and beside peers (BEP 19).

use crate::{
    BLOCK,
    support::{Content, World, handshake},
};
use rustor_core::{
    command::{Command, TorrentSource},
    config::Limits,
    event::Event,
    id::TorrentId,
    input::{ByteRange, FetchHead},
    metainfo::Metainfo,
    peer::CloseReason,
    status::WebSeedState,
    time::Duration,
    wire::{Handshake, Message, Reserved},
};

const URL: &str = "http://mirror.example/pub/file";

/// Adds a torrent that names these web seeds.
fn leeches(world: &World, content: &Content, urls: &[&str]) -> TorrentId {
    world.adds(content, |add| {
        let web_seeds = urls.iter().map(|url| (*url).to_owned()).collect();
        add.source = TorrentSource::Metainfo(Metainfo { web_seeds, ..content.metainfo() });
    })
}

/// A world with one file of sixteen pieces of four blocks, and a web seed that has it.
fn one_file() -> (World, Content, TorrentId) {
    let content = Content::new(64 * BLOCK as usize - 1000, 4 * BLOCK);
    let world = World::new();
    let torrent = leeches(&world, &content, &[URL]);
    (world, content, torrent)
}

fn is_complete(world: &World, content: &Content) -> bool {
    world.disk(|disk| disk.holds("folder", content))
}

fn failures(world: &World) -> Vec<String> {
    let mut reasons = Vec::new();
    world.count_events(|event| {
        if let Event::WebSeedFailed { reason, .. } = event {
            reasons.push(reason.clone());
        }
        false
    });
    reasons
}

fn range(start: u64, length: u64) -> ByteRange {
    ByteRange { start, length: length.try_into().expect("a length") }
}

#[test]
fn one_file_comes_with_one_request() {
    let (world, content, torrent) = one_file();
    let download = world.download();
    assert_eq!((download.url().as_str(), download.range()), (URL, 0..content.data.len() as u64));
    assert_eq!(world.web_seeds(torrent)[0].state, WebSeedState::Active);
    download.serves(&content.data);
    assert!(is_complete(&world, &content));
    assert!(download.is_over());
    assert_eq!(world.download_count(), 1);
    let status = world.status(torrent);
    assert_eq!((status.downloaded, status.wasted), (content.data.len() as u64, 0));
    assert_eq!(world.count_events(|event| matches!(event, Event::Finished { .. })), 1);
    assert_eq!(world.web_seeds(torrent)[0].downloaded, content.data.len() as u64);
}

#[test]
fn several_files_come_one_after_the_other_and_padding_and_empty_files_are_not_asked_for() {
    let files = [("a b", 3 * BLOCK as usize + 5), ("empty", 0), (".pad1", 2 * BLOCK as usize - 5), ("c", 100), ("d", 6 * BLOCK as usize)];
    let content = Content::files(&files, 2 * BLOCK);
    let world = World::new();
    leeches(&world, &content, &["http://mirror.example/pub/"]);
    let file = |name: &str| {
        let at = files.iter().position(|(other, _)| *other == name).expect("a file");
        let start: usize = files[..at].iter().map(|(_, length)| length).sum();
        content.data.slice(start..start + files[at].1)
    };
    let mut asked = Vec::new();
    while let Some(download) = world.downloads().first().cloned() {
        let name = download.url().strip_prefix("http://mirror.example/pub/folder/").expect("below the folder").replace("%20", " ");
        assert_eq!(download.range(), 0..file(&name).len() as u64);
        download.serves(&file(&name));
        asked.push(name);
    }
    assert_eq!(asked, ["a b", "c", "d"]);
    assert!(is_complete(&world, &content));
}

#[test]
fn only_what_is_missing_is_asked_for() {
    let content = Content::new(64 * BLOCK as usize, 4 * BLOCK);
    let world = World::new();
    world.has(&content, (0..16).filter(|piece| !matches!(piece, 2 | 7..=9)));
    leeches(&world, &content, &[URL]);
    let length = u64::from(4 * BLOCK);
    assert_eq!(world.download().range(), 7 * length..10 * length, "the biggest gap first");
    world.download().serves(&content.data);
    assert_eq!(world.download().range(), 2 * length..3 * length);
    world.download().serves(&content.data);
    assert!(is_complete(&world, &content));
    assert!(world.downloads().is_empty());
}

#[test]
fn other_protocols_and_complete_torrents_are_not_asked_for_anything() {
    let content = Content::new(64 * BLOCK as usize, 4 * BLOCK);
    let world = World::new();
    let torrent = leeches(&world, &content, &["ftp://mirror.example/file", "nonsense"]);
    assert!(world.downloads().is_empty() && world.web_seeds(torrent).is_empty());
    let world = World::new();
    world.has(&content, 0..16);
    leeches(&world, &content, &[URL]);
    assert!(world.downloads().is_empty());
}

#[test]
fn a_private_torrents_own_web_seeds_are_used() {
    let content = Content::private(8 * BLOCK as usize, BLOCK, &[]);
    let world = World::new();
    leeches(&world, &content, &[URL]);
    world.download().serves(&content.data);
    assert!(is_complete(&world, &content));
}

#[test]
fn peers_and_web_seeds_share_the_work_and_little_comes_twice() {
    let content = Content::new(4096 * BLOCK as usize, 16 * BLOCK);
    let world = World::new();
    let torrent = leeches(&world, &content, &[URL]);
    let peer = world.seed_joins(&content, "10.0.0.1:5000");
    peer.says(Message::Unchoke);
    // Each sends two and a half megabytes a second.
    let (mut current, mut sent) = (None, 0);
    for _ in 0..400 {
        peer.serves_some(&content, 16);
        if let Some(download) = world.downloads().first() {
            if current.replace(download.url_and_range()) != Some(download.url_and_range()) {
                download.begins(&content.data);
                sent = download.range().start as usize;
            }
            let end = download.range().end.min(sent as u64 + u64::from(16 * BLOCK)) as usize;
            download.sends(content.data.slice(sent..end));
            sent = end;
        }
        world.passes(Duration::from_millis(100));
        if is_complete(&world, &content) {
            break;
        }
    }
    assert!(is_complete(&world, &content));
    let (status, seed) = (world.status(torrent), &world.web_seeds(torrent)[0]);
    assert!(seed.downloaded > 20 << 20 && status.downloaded - seed.downloaded > 20 << 20, "{} bytes from the server", seed.downloaded);
    assert!(status.wasted * 20 < status.downloaded, "{} bytes came twice", status.wasted);
    assert!(world.download_count() < 40, "{} requests", world.download_count());
}

#[test]
fn a_run_ends_where_others_have_fetched_what_follows() {
    let content = Content::new(1024 * BLOCK as usize, 16 * BLOCK);
    let world = World::with(|config| (config.web_seed.claim_minimum, config.random_first_pieces) = (1, 0));
    leeches(&world, &content, &[URL]);
    let first = world.download();
    first.begins(&content.data);
    // A peer that has the pieces 4 to 33 sends them all.
    let peer = world.joins(&content, "10.0.0.1:5000");
    peer.says_all([content.bitfield(4..34), Message::Unchoke]);
    peer.serves(&content);
    let length = 16 * BLOCK as usize;
    first.sends(content.data.slice(..4 * length));
    assert!(first.is_over());
    assert_eq!(world.download().range(), 34 * length as u64..64 * length as u64);
}

#[test]
fn a_small_hole_is_read_over() {
    let content = Content::new(1024 * BLOCK as usize, 4 * BLOCK);
    let world = World::with(|config| config.random_first_pieces = 0);
    let torrent = leeches(&world, &content, &[URL]);
    let download = world.download();
    download.begins(&content.data);
    let peer = world.joins(&content, "10.0.0.1:5000");
    peer.says_all([content.bitfield(100..102), Message::Unchoke]);
    peer.serves(&content);
    download.sends(content.data.clone());
    assert!(is_complete(&world, &content));
    assert_eq!(world.download_count(), 1);
    assert_eq!(world.status(torrent).wasted, u64::from(8 * BLOCK));
}

#[test]
fn several_web_seeds_fetch_from_different_places() {
    let content = Content::new(1024 * BLOCK as usize, 4 * BLOCK);
    let world = World::new();
    leeches(&world, &content, &["http://a.example/", "http://b.example/", "http://c.example/"]);
    let downloads = world.downloads();
    let urls: Vec<String> = downloads.iter().map(|download| download.url()).collect();
    assert_eq!(urls, ["http://a.example/file", "http://b.example/file", "http://c.example/file"]);
    let mut starts: Vec<u64> = downloads.iter().map(|download| download.range().start).collect();
    starts.sort_unstable();
    assert!(starts.windows(2).all(|pair| pair[1] - pair[0] >= 2 << 20), "{starts:?}");
    world.web_serves(|_| Some(content.data.clone()));
    assert!(is_complete(&world, &content));
    assert!(world.download_count() < 20);
}

#[test]
fn a_server_that_has_sent_its_part_takes_over_half_of_a_slower_ones() {
    let content = Content::new(256 * BLOCK as usize, 4 * BLOCK);
    let world = World::with(|config| config.web_seed.claim_minimum = 1 << 30);
    let torrent = leeches(&world, &content, &["http://slow.example/", "http://fast.example/"]);
    let (slow, fast) = (world.downloads()[0].clone(), world.downloads()[1].clone());
    slow.begins(&content.data);
    slow.sends_next(&content.data, 100);
    assert_eq!(fast.range().start, 32 * u64::from(4 * BLOCK), "all was claimed; half of it is given up");
    while let Some(next) = world.downloads().into_iter().find(|download| download.url().contains("fast") && !download.has_head()) {
        next.serves(&content.data);
    }
    assert!(world.status(torrent).verified > 56 * u64::from(4 * BLOCK));
    slow.sends_next(&content.data, content.data.len());
    assert!(is_complete(&world, &content));
    assert!(slow.is_over());
}

#[test]
fn no_more_web_seeds_than_the_limit_are_asked_at_once() {
    let content = Content::new(1024 * BLOCK as usize, 4 * BLOCK);
    let world = World::with(|config| config.web_seed.active_limit = 2);
    leeches(&world, &content, &["http://a.example/", "http://b.example/", "http://c.example/"]);
    assert_eq!(world.downloads().len(), 2);
    world.downloads()[0].fails();
    assert_eq!(world.downloads().last().map(|download| download.url()), Some("http://c.example/file".to_owned()));
}

#[test]
fn a_server_that_stops_half_way_is_asked_for_the_rest() {
    let (world, content, torrent) = one_file();
    let download = world.download();
    download.begins(&content.data);
    download.sends(content.data.slice(..500_000));
    download.breaks();
    assert_eq!(failures(&world), ["broken"]);
    assert!(matches!(world.web_seeds(torrent)[0].state, WebSeedState::Waiting(_)));
    world.seconds(9);
    assert!(world.downloads().is_empty());
    world.seconds(2);
    let rest = world.download();
    // The block that was cut in two is fetched again.
    assert_eq!(rest.range().start, 500_000 / u64::from(BLOCK) * u64::from(BLOCK));
    rest.serves(&content.data);
    assert!(is_complete(&world, &content));
}

#[test]
fn a_server_that_stops_half_way_and_a_peer_that_comes_complete_it() {
    let (world, content, torrent) = one_file();
    let download = world.download();
    download.begins(&content.data);
    download.sends(content.data.slice(..500_000));
    download.breaks();
    let peer = world.seed_joins(&content, "10.0.0.1:5000");
    peer.says(Message::Unchoke);
    peer.serves(&content);
    assert!(is_complete(&world, &content));
    assert_eq!(world.status(torrent).wasted, 0);
    world.seconds(7200);
    assert_eq!(world.download_count(), 1, "what is complete needs no server");
}

#[test]
fn a_server_that_falls_silent_is_given_up_and_peers_get_its_part() {
    let (world, content, _) = one_file();
    let download = world.download();
    download.begins(&content.data);
    let peer = world.seed_joins(&content, "10.0.0.1:5000");
    peer.says(Message::Unchoke);
    world.seconds(31);
    assert!(download.is_over());
    assert_eq!(failures(&world), ["the server said nothing for too long"]);
    peer.serves(&content);
    assert!(is_complete(&world, &content));
}

#[test]
fn a_slow_server_does_not_hold_up_the_end() {
    let (world, content, _) = one_file();
    let download = world.download();
    download.begins(&content.data);
    let peer = world.seed_joins(&content, "10.0.0.1:5000");
    peer.says(Message::Unchoke);
    // A byte from time to time is not silence, but all that is left is asked of the peer, too.
    for at in 0..10 {
        download.sends(content.data.slice(at..at + 1));
        world.seconds(20);
        peer.serves(&content);
    }
    assert!(is_complete(&world, &content));
    assert!(download.is_over());
}

#[test]
fn what_a_slow_peer_owes_at_the_end_comes_from_the_server() {
    let content = Content::new(8 * BLOCK as usize, 4 * BLOCK);
    let world = World::new();
    leeches(&world, &content, &[URL]);
    let peer = world.seed_joins(&content, "10.0.0.1:5000");
    world.download().says(503);
    peer.says(Message::Unchoke);
    assert_eq!(peer.hears_requests().len(), 8);
    world.seconds(11);
    world.web_serves(|_| Some(content.data.clone()));
    assert!(is_complete(&world, &content));
}

#[test]
fn a_busy_server_is_left_alone_for_as_long_as_it_says() {
    let (world, content, torrent) = one_file();
    world.download().heads(FetchHead { status: 503, retry_after: Some(100), ..FetchHead::default() });
    assert_eq!(failures(&world), ["the server is busy"]);
    world.seconds(99);
    assert!(world.downloads().is_empty());
    world.seconds(1);
    // One that does not say is asked after a while, which grows.
    world.download().says(429);
    let until = |world: &World| match world.web_seeds(torrent)[0].state {
        WebSeedState::Waiting(until) => until.since(world.now()).as_secs(),
        other => panic!("{other:?}"),
    };
    assert_eq!(until(&world), 20);
    world.seconds(20);
    // Nor is it believed that it wants to be left alone for ever.
    world.download().heads(FetchHead { status: 503, retry_after: Some(u32::MAX), ..FetchHead::default() });
    assert_eq!(until(&world), 3600);
    world.seconds(3600);
    world.download().serves(&content.data);
    assert!(is_complete(&world, &content));
    assert_eq!(world.web_seeds(torrent)[0].fault, None);
}

#[test]
fn a_server_that_cannot_be_reached_is_tried_less_and_less_often() {
    let (world, _, _) = one_file();
    let mut waits = Vec::new();
    for _ in 0..12 {
        world.download().fails();
        let before = world.now();
        while world.downloads().is_empty() {
            world.seconds(1);
        }
        waits.push((world.now() - before).as_secs());
    }
    assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600, 3600]);
}

#[test]
fn a_whole_file_that_answers_the_first_request_is_taken() {
    let (world, content, _) = one_file();
    let download = world.download();
    download.begins_whole(&content.data);
    download.sends(content.data.clone());
    assert!(is_complete(&world, &content));
    assert_eq!(failures(&world), [""; 0]);
}

#[test]
fn a_server_that_ignores_ranges_is_asked_for_whole_files_as_long_as_half_of_them_is_missing() {
    let content = Content::new(64 * BLOCK as usize, 4 * BLOCK);
    let world = World::new();
    world.has(&content, 0..6);
    let torrent = leeches(&world, &content, &[URL]);
    let first = world.download();
    assert_eq!(first.range().start, u64::from(24 * BLOCK));
    first.begins_whole(&content.data);
    assert!(first.is_over(), "this is not the part that was asked for");
    let whole = world.download();
    assert_eq!(whole.range(), 0..content.data.len() as u64);
    whole.begins_whole(&content.data);
    whole.sends(content.data.clone());
    assert!(is_complete(&world, &content));
    assert_eq!(world.status(torrent).wasted, u64::from(24 * BLOCK));
    assert_eq!(failures(&world), [""; 0]);
}

#[test]
fn a_server_that_ignores_ranges_is_set_aside_for_a_little_that_a_peer_may_send() {
    let content = Content::new(64 * BLOCK as usize, 4 * BLOCK);
    let world = World::new();
    world.has(&content, 0..14);
    leeches(&world, &content, &[URL]);
    let peer = world.seed_joins(&content, "10.0.0.1:5000");
    world.download().begins_whole(&content.data);
    assert_eq!(failures(&world).len(), 1);
    assert!(world.downloads().is_empty());
    // Without the peer it is the only hope.
    peer.ends();
    world.seconds(11);
    let whole = world.download();
    whole.begins_whole(&content.data);
    whole.sends(content.data.clone());
    assert!(is_complete(&world, &content));
}

#[test]
fn a_server_that_ignores_ranges_sends_several_files() {
    let files = [("a", 3 * BLOCK as usize + 5), ("b", 2 * BLOCK as usize), ("c", 100)];
    let content = Content::files(&files, 2 * BLOCK);
    let world = World::new();
    world.has(&content, [0]);
    leeches(&world, &content, &["http://mirror.example/"]);
    let file = |url: &str| {
        let at = files.iter().position(|(name, _)| url.ends_with(&format!("/folder/{name}"))).expect("a file");
        let start: usize = files[..at].iter().map(|(_, length)| length).sum();
        content.data.slice(start..start + files[at].1)
    };
    for _ in 0..6 {
        let Some(download) = world.downloads().first().cloned() else { break };
        download.begins_whole(&file(&download.url()));
        if !download.is_over() {
            download.sends(file(&download.url()));
        }
    }
    assert!(is_complete(&world, &content));
}

#[test]
fn a_server_that_sends_wrong_bytes_is_banned_and_the_piece_fetched_from_others() {
    let (world, content, torrent) = one_file();
    let download = world.download();
    download.begins(&content.data);
    download.sends(vec![7; 4 * BLOCK as usize]);
    assert!(download.is_over());
    assert_eq!(world.count_events(|event| *event == Event::WebSeedBanned { torrent, url: URL.to_owned() }), 1);
    assert_eq!(world.web_seeds(torrent)[0].state, WebSeedState::Banned);
    world.seconds(7200);
    assert!(world.downloads().is_empty());
    let peer = world.seed_joins(&content, "10.0.0.1:5000");
    peer.says(Message::Unchoke);
    peer.serves(&content);
    assert!(is_complete(&world, &content));
}

#[test]
fn a_banned_server_stays_banned_when_the_torrent_is_paused_and_resumed() {
    let (world, content, torrent) = one_file();
    world.download().begins(&content.data);
    world.download().sends(vec![7; 4 * BLOCK as usize]);
    world.does(Command::Pause(torrent));
    world.does(Command::Resume(torrent));
    assert!(world.downloads().is_empty());
}

/// A piece of two blocks: the first one from a peer, the second one from the web seed.
fn shared_piece(bad_peer: bool) -> (World, Content, TorrentId) {
    let content = Content::new(2 * BLOCK as usize, 2 * BLOCK);
    let world = World::with(|config| (config.request_initial, config.request_minimum) = (1, 1));
    let torrent = leeches(&world, &content, &[URL]);
    world.download().fails();
    let peer = world.seed_joins(&content, "10.0.0.66:5000");
    peer.says(Message::Unchoke);
    let asked = peer.hears_requests();
    if bad_peer {
        peer.says(content.bad_message(asked[0]));
    } else {
        peer.sends(&content, &asked);
    }
    // It owes the other block, and sends none.
    world.seconds(11);
    let download = world.download();
    assert_eq!(download.range(), u64::from(BLOCK)..u64::from(2 * BLOCK));
    download.begins(&content.data);
    if bad_peer {
        download.sends(content.data.slice(BLOCK as usize..));
    } else {
        download.sends(vec![7; BLOCK as usize]);
    }
    assert_eq!(world.count_events(|event| matches!(event, Event::PieceFailed { .. })), 1);
    assert_eq!(world.count_events(|event| matches!(event, Event::WebSeedBanned { .. } | Event::PeerBanned { .. })), 0, "who was it?");
    (world, content, torrent)
}

#[test]
fn an_innocent_server_is_not_banned_for_a_peers_block() {
    let (world, content, torrent) = shared_piece(true);
    let honest = world.seed_joins(&content, "10.0.0.1:5000");
    honest.says(Message::Unchoke);
    for _ in 0..4 {
        honest.serves(&content);
        world.web_serves(|_| Some(content.data.clone()));
        world.seconds(61);
    }
    assert!(is_complete(&world, &content));
    assert_eq!(world.reason("10.0.0.66:5000".parse().expect("an address")), Some(CloseReason::Banned));
    assert_ne!(world.web_seeds(torrent)[0].state, WebSeedState::Banned);
}

#[test]
fn an_innocent_peer_is_not_banned_for_a_servers_block() {
    let (world, content, torrent) = shared_piece(false);
    let honest = world.seed_joins(&content, "10.0.0.1:5000");
    honest.says(Message::Unchoke);
    for _ in 0..4 {
        honest.serves(&content);
        world.seconds(61);
    }
    assert!(is_complete(&world, &content));
    assert_eq!(world.count_events(|event| matches!(event, Event::PeerBanned { .. })), 0);
    assert_eq!(world.web_seeds(torrent)[0].state, WebSeedState::Banned);
}

#[test]
fn a_server_that_sends_another_part_than_the_one_asked_for_is_not_read() {
    let content = Content::new(64 * BLOCK as usize, 4 * BLOCK);
    let total = Some(content.data.len() as u64);
    let asked = u64::from(8 * BLOCK)..content.data.len() as u64;
    let length = asked.end - asked.start;
    for part in [None, Some(range(0, length)), Some(range(asked.start, length + 1)), Some(range(asked.start, 1))] {
        let world = World::new();
        world.has(&content, 0..2);
        leeches(&world, &content, &[URL]);
        let download = world.download();
        assert_eq!(download.range(), asked);
        download.heads(FetchHead { status: 206, range: part, total, ..FetchHead::default() });
        assert!(download.is_over());
        assert_eq!(failures(&world), ["the server sent another part of the file than the one asked for"], "{part:?}");
    }
}

#[test]
fn a_shorter_part_than_the_one_asked_for_is_taken_and_the_rest_asked_for() {
    let (world, content, _) = one_file();
    while let Some(download) = world.downloads().first().cloned() {
        let asked = download.range();
        let end = asked.end.min(asked.start + 100_000);
        let part = Some(range(asked.start, end - asked.start));
        download.heads(FetchHead { status: 206, range: part, total: Some(content.data.len() as u64), ..FetchHead::default() });
        download.sends(content.data.slice(asked.start as usize..end as usize));
    }
    assert!(is_complete(&world, &content));
}

#[test]
fn a_server_whose_file_has_another_length_is_not_read() {
    let whole = |length| FetchHead { status: 200, length: Some(length), ..FetchHead::default() };
    let part = |total| FetchHead { status: 206, range: Some(range(0, 64 * u64::from(BLOCK) - 1000)), total: Some(total), ..whole(1) };
    for head in [whole(5), whole(1 << 40), part(1 << 30), part(64 * u64::from(BLOCK) - 999)] {
        let (world, content, _) = one_file();
        world.download().heads(head);
        assert_eq!(failures(&world), ["the server's file has another length than the torrent's"]);
        assert!(world.downloads().is_empty());
        world.seconds(3600);
        world.download().serves(&content.data);
        assert!(is_complete(&world, &content), "it was put right");
    }
}

#[test]
fn more_than_was_announced_is_not_taken() {
    let (world, content, _) = one_file();
    let download = world.download();
    download.begins(&content.data);
    download.sends([&content.data[..], b"and more"].concat());
    assert!(is_complete(&world, &content));
    assert!(download.is_over());
}

#[test]
fn a_body_that_ends_too_early_is_a_fault() {
    let (world, content, _) = one_file();
    let download = world.download();
    download.begins(&content.data);
    download.sends(content.data.slice(..20_000));
    download.ends();
    assert_eq!(failures(&world), ["the server closed the connection before the end of its answer"]);
}

#[test]
fn files_that_a_server_lacks_are_not_asked_for_again_and_the_others_are() {
    let length = 4 * BLOCK as usize;
    let files: Vec<(String, usize)> = (0..6).map(|number| (format!("file{number}"), length)).collect();
    let files: Vec<(&str, usize)> = files.iter().map(|(name, length)| (name.as_str(), *length)).collect();
    let content = Content::files(&files, 2 * BLOCK);
    let world = World::new();
    let torrent = leeches(&world, &content, &["http://mirror.example"]);
    let lacks = |number: usize| matches!(number, 1 | 4);
    let file = |url: &str| {
        let number: usize = url[url.len() - 1..].parse().expect("a number");
        (!lacks(number)).then(|| content.data.slice(number * length..(number + 1) * length))
    };
    world.web_serves(file);
    assert_eq!(world.status(torrent).verified, 4 * length as u64);
    assert_eq!(failures(&world), ["the server does not have the file"; 2]);
    assert!(world.download_count() <= 8);
    let peer = world.seed_joins(&content, "10.0.0.1:5000");
    peer.says(Message::Unchoke);
    peer.serves(&content);
    assert!(is_complete(&world, &content));
}

#[test]
fn a_server_that_lacks_everything_is_not_asked_for_one_file_after_the_other() {
    let files: Vec<(String, usize)> = (0..100).map(|number| (format!("file{number}"), BLOCK as usize)).collect();
    let files: Vec<(&str, usize)> = files.iter().map(|(name, length)| (name.as_str(), *length)).collect();
    let content = Content::files(&files, BLOCK);
    let world = World::new();
    leeches(&world, &content, &["http://mirror.example"]);
    world.web_serves(|_| None);
    assert!(world.download_count() < 10, "{}", world.download_count());
}

#[test]
fn nothing_is_read_while_too_many_blocks_wait_for_the_disk() {
    let content = Content::new(64 * BLOCK as usize, 4 * BLOCK);
    let world = World::with(|config| config.block_budget = u64::from(8 * BLOCK));
    leeches(&world, &content, &[URL]);
    world.disk_holds();
    let download = world.download();
    download.serves(&content.data);
    assert!(download.unread() > 50 * BLOCK as usize, "{} bytes unread", download.unread());
    // That is our own silence, and not the server's.
    world.seconds(3600);
    assert!(!download.is_over());
    world.disk_catches_up();
    assert!(is_complete(&world, &content));
}

#[test]
fn a_download_limit_holds_for_web_seeds_too() {
    let content = Content::new(1024 * BLOCK as usize, 4 * BLOCK);
    let world = World::with(|config| config.limits.rates.download = Some(500_000));
    let torrent = leeches(&world, &content, &["http://a.example/", "http://b.example/"]);
    world.downloads().iter().for_each(|download| download.serves(&content.data));
    world.seconds(5);
    let before = world.status(torrent).downloaded;
    world.seconds(10);
    let rate = (world.status(torrent).downloaded - before) / 10;
    assert!((475_000..=525_000).contains(&rate), "{rate} bytes a second");
    assert!(world.wakes() < 2000, "{} wakes", world.wakes());
    world.does(Command::SetLimits(Limits::default()));
    world.seconds(2);
    world.web_serves(|_| Some(content.data.clone()));
    world.seconds(1);
    world.web_serves(|_| Some(content.data.clone()));
    assert!(is_complete(&world, &content));
}

#[test]
fn a_pause_ends_all_requests_and_going_on_begins_with_what_is_missing() {
    let (world, content, torrent) = one_file();
    let download = world.download();
    download.begins(&content.data);
    download.sends(content.data.slice(..10 * BLOCK as usize));
    world.does(Command::Pause(torrent));
    assert!(download.is_over());
    world.seconds(3600);
    assert!(world.downloads().is_empty());
    world.does(Command::Resume(torrent));
    // Two whole pieces are there, and of the third what had come was kept.
    assert_eq!(world.download().range().start, u64::from(10 * BLOCK));
    world.download().serves(&content.data);
    assert!(is_complete(&world, &content));
}

#[test]
fn removing_a_torrent_and_shutting_down_end_all_requests() {
    let (world, _, torrent) = one_file();
    world.does(Command::Remove { torrent, delete_data: false });
    assert!(world.downloads().is_empty());
    let (world, _, _) = one_file();
    world.does(Command::ShutDown);
    assert!(world.downloads().is_empty());
    assert_eq!(world.count_events(|event| *event == Event::ShutDown), 1);
}

#[test]
fn answers_for_what_was_given_up_mean_nothing() {
    let (world, content, torrent) = one_file();
    let download = world.download();
    world.does(Command::Pause(torrent));
    world.does(Command::Resume(torrent));
    download.begins(&content.data);
    download.fails();
    let new = world.download();
    assert!(!new.is_over());
    new.serves(&content.data);
    assert!(is_complete(&world, &content));
}

#[test]
fn a_magnet_links_web_seeds_are_asked_once_its_metadata_is_known() {
    let content = Content::new(8 * BLOCK as usize, BLOCK);
    let info = content.metainfo().info.raw().clone();
    let magnet = format!("magnet:?xt=urn:btih:{}&ws={URL}", content.info_hash());
    let world = World::new();
    world.adds(&content, |add| add.source = TorrentSource::Magnet(magnet.parse().expect("a magnet link")));
    assert!(world.downloads().is_empty());
    let peer = world.stranger("10.0.0.1:5000");
    let reserved = Reserved::default().with_extension();
    peer.says_bytes(Handshake { reserved, ..handshake(&content, peer.remote()) }.encode().to_vec());
    let hello = format!("d1:md11:ut_metadatai3ee13:metadata_sizei{}ee", info.len());
    peer.says(Message::Extended { id: 0, payload: hello.into() });
    let data = [format!("d8:msg_typei1e5:piecei0e10:total_sizei{}ee", info.len()).as_bytes(), &info].concat();
    peer.says(Message::Extended { id: 1, payload: data.into() });
    assert_eq!(world.download().url(), URL);
    world.web_serves(|_| Some(content.data.clone()));
    assert!(is_complete(&world, &content));
}

#[test]
fn a_torrent_of_much_padding_takes_its_time() {
    let content = Content::files(&[("a", 100), (".pad0", 20 << 20), ("b", 100)], 16 * BLOCK);
    let world = World::new();
    leeches(&world, &content, &["http://mirror.example/"]);
    let small = |url: &str| if url.ends_with('a') { content.data.slice(..100) } else { content.data.slice(100 + (20 << 20)..) };
    let file = |url: &str| Some(small(url));
    world.web_serves(file);
    assert!(world.downloads().is_empty(), "not all at once");
    world.seconds(1);
    world.web_serves(file);
    assert!(is_complete(&world, &content));
    assert_eq!(world.download_count(), 2);
}

#[test]
fn http_seeds_of_the_older_kind_are_ignored() {
    let (world, content) = (World::new(), Content::new(4 * BLOCK as usize, BLOCK));
    let torrent = world.adds(&content, |add| {
        let http_seeds = vec!["http://mirror.example/seed.php".to_owned()];
        add.source = Metainfo { http_seeds, ..content.metainfo() }.into();
    });
    world.seconds(60);
    assert!(world.downloads().is_empty() && world.announces().is_empty() && world.web_seeds(torrent).is_empty());
}
