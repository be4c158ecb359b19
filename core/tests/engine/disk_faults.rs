//! A disk that fails stops its torrent, loses nothing, and is tried again when the owner says so.

use crate::{
    BLOCK,
    support::{Content, Job, Peer, World},
};
use rustor_core::{
    choices::Choices, command::Command, error::DiskErrorKind, event::Event, id::TorrentId, status::TorrentState, torrent::Resume,
    wire::Message,
};

fn content() -> Content {
    Content::new(16 * BLOCK as usize, 4 * BLOCK)
}

fn failures(world: &World) -> usize {
    world.count_events(|event| matches!(event, Event::Failed { .. }))
}

#[test]
fn a_disk_that_cannot_be_opened_verified_or_prepared_fails_the_torrent() {
    for fault in [Job::Open, Job::Verify(0), Job::Prepare] {
        let (world, content) = (World::new(), content());
        world.has(&content, [0]);
        world.disk_fails(fault);
        let torrent = world.leeches(&content);
        let status = world.status(torrent);
        assert_eq!((status.state, failures(&world)), (TorrentState::Failed, 1), "{fault:?}");
        assert_eq!(status.error.map(|error| error.kind), Some(DiskErrorKind::Full));
        world.seconds(600);
        assert_eq!((world.state(torrent), failures(&world)), (TorrentState::Failed, 1), "it is not tried again unasked");
        world.disk_works();
        world.does(Command::Resume(torrent));
        let status = world.status(torrent);
        assert_eq!((status.state, status.pieces_verified, status.error), (TorrentState::Downloading, 1, None), "{fault:?}");
    }
}

#[test]
fn a_full_disk_fails_the_torrent_and_after_making_room_the_rest_comes() {
    let (world, content) = (World::new(), content());
    let torrent = world.leeches(&content);
    let seed = world.seed_joins(&content, "10.0.0.1:5000");
    seed.says(Message::Unchoke);
    let requests = seed.hears_requests();
    seed.sends(&content, &requests[..4]);
    world.disk_fails(Job::Store(0));
    seed.sends(&content, &requests[4..8]);
    assert!(seed.is_closed());
    assert_eq!((world.state(torrent), failures(&world)), (TorrentState::Failed, 1));
    world.disk_works();
    world.does(Command::Resume(torrent));
    assert_eq!(world.status(torrent).pieces_verified, 1, "what was stored is found again");
    let seed = world.seed_joins(&content, "10.0.0.2:5000");
    seed.says(Message::Unchoke);
    seed.serves(&content);
    assert!(world.disk(|disk| disk.holds("folder", &content)));
}

#[test]
fn several_stores_that_fail_are_one_failure() {
    let (world, content) = (World::new(), content());
    let torrent = world.leeches(&content);
    let seed = world.seed_joins(&content, "10.0.0.1:5000");
    seed.says(Message::Unchoke);
    world.disk_holds();
    seed.sends(&content, &seed.hears_requests());
    assert_eq!(world.jobs().len(), 4);
    world.disk_fails(Job::Store(0));
    world.disk_catches_up();
    assert_eq!((world.state(torrent), failures(&world)), (TorrentState::Failed, 1));
}

#[test]
fn a_failure_from_before_a_resumption_does_not_count_any_more() {
    let (world, content) = (World::new(), content());
    let torrent = world.leeches(&content);
    let seed = world.seed_joins(&content, "10.0.0.1:5000");
    seed.says(Message::Unchoke);
    world.disk_holds();
    seed.sends(&content, &seed.hears_requests());
    world.disk_fails(Job::Store(0));
    world.disk_does(0);
    world.does(Command::Resume(torrent));
    world.disk_does(0);
    assert_eq!(failures(&world), 1);
    world.disk_works();
    world.disk_catches_up();
    assert_eq!(world.state(torrent), TorrentState::Downloading);
    assert_eq!(world.status(torrent).pieces_verified, 2, "those that did arrive");
}

#[test]
fn a_file_that_cannot_be_read_fails_the_torrent() {
    let (world, content) = (World::new(), content());
    let torrent = world.seeds(&content);
    let peer = world.joins(&content, "10.0.0.1:5000");
    peer.says(Message::Interested);
    world.disk(|disk| disk.files.clear());
    peer.says(Message::Request(content.blocks(0)[0]));
    assert_eq!((world.state(torrent), failures(&world)), (TorrentState::Failed, 1));
    assert!(peer.is_closed());
    world.does(Command::Resume(torrent));
    assert_eq!((world.state(torrent), world.status(torrent).pieces_verified), (TorrentState::Downloading, 0));
}

#[test]
fn resume_data_that_cannot_be_saved_stops_nothing() {
    for fault in [Job::Stamp, Job::SaveResume] {
        let (world, content) = (World::new(), content());
        world.disk_fails(fault);
        let torrent = world.leeches(&content);
        let seed = world.seed_joins(&content, "10.0.0.1:5000");
        seed.says(Message::Unchoke);
        seed.serves(&content);
        assert_eq!((world.state(torrent), failures(&world)), (TorrentState::Seeding, 0));
        world.does(Command::ShutDown);
        assert_eq!(world.count_events(|event| *event == Event::ShutDown), 1);
    }
}

#[test]
fn a_disk_that_cannot_close_holds_up_nothing() {
    let (world, content) = (World::new(), content());
    let torrent = world.leeches(&content);
    world.disk_fails(Job::Close { forget: false, delete: false });
    world.does(Command::Remove { torrent, delete_data: true });
    assert_eq!(world.count_events(|event| *event == Event::Removed { torrent }), 1);
}

#[test]
fn one_torrents_failure_is_no_other_torrents() {
    let (world, content) = (World::new(), content());
    let other_content = Content::new(5 * BLOCK as usize, BLOCK);
    let torrent = world.leeches(&content);
    let other = world.adds(&other_content, |add| add.folder = "other".to_owned());
    let seed = world.seed_joins(&content, "10.0.0.1:5000");
    seed.says(Message::Unchoke);
    world.disk_fails(Job::Store(0));
    seed.sends(&content, &seed.hears_requests()[..4]);
    assert_eq!((world.state(torrent), world.state(other)), (TorrentState::Failed, TorrentState::Downloading));
    world.disk_works();
    let seed = world.seed_joins(&other_content, "10.0.0.2:5000");
    seed.says(Message::Unchoke);
    seed.serves(&other_content);
    assert!(world.disk(|disk| disk.holds("other", &other_content)));
}

/// Files of which each two share a piece: `a` is in 0 to 2, `b` in 2 to 4, `c` in 4 and 5.
fn files() -> Content {
    Content::files(&[("a", 5 * BLOCK as usize), ("b", 4 * BLOCK as usize), ("c", 3 * BLOCK as usize)], 2 * BLOCK)
}

/// A seed that has these pieces only, and sends what is asked of it.
fn gives(world: &World, content: &Content, address: &str, pieces: &[u32]) -> Peer {
    let seed = world.joins(content, address);
    seed.says_all([content.bitfield(pieces.iter().copied()), Message::Unchoke]);
    seed.serves(content);
    seed
}

fn somebody_deletes(world: &World, name: &str) {
    assert!(world.disk(|disk| disk.files.remove(&format!("folder/folder/{name}"))).is_some());
}

/// The torrent has failed, once, for a file of this name is missing.
fn misses(world: &World, torrent: TorrentId, name: &str) -> bool {
    let error = world.status(torrent).error.expect("nothing failed");
    assert_eq!((world.state(torrent), failures(world), error.kind), (TorrentState::Failed, 1, DiskErrorKind::Missing));
    error.path.ends_with(name)
}

#[test]
fn a_file_that_was_deleted_and_is_wanted_no_more_takes_its_pieces_along() {
    let (world, content) = (World::new(), files());
    let torrent = world.leeches(&content);
    gives(&world, &content, "10.0.0.1:5000", &[0, 1, 2, 3, 4, 5]);
    assert_eq!(world.state(torrent), TorrentState::Seeding);
    somebody_deletes(&world, "a");
    world.wants(torrent, &[1, 2]);
    assert!(misses(&world, torrent, "/a"));
    world.does(Command::Resume(torrent));
    assert_eq!((world.state(torrent), world.status(torrent).pieces_verified), (TorrentState::Downloading, 3));
    gives(&world, &content, "10.0.0.2:5000", &[0, 1, 2, 3, 4, 5]);
    assert_eq!((world.state(torrent), world.status(torrent).pieces_verified), (TorrentState::Seeding, 4));
    world.chooses(torrent, |choices| *choices = Choices::default());
    gives(&world, &content, "10.0.0.3:5000", &[0, 1, 2, 3, 4, 5]);
    assert_eq!(world.state(torrent), TorrentState::Seeding);
    assert!(world.disk(|disk| disk.holds("folder", &content)));
}

#[test]
fn a_download_whose_file_went_away_fails_and_what_is_saved_does_not_vouch_for_it() {
    let (world, content) = (World::new(), files());
    let torrent = world.leeches(&content);
    gives(&world, &content, "10.0.0.1:5000", &[0, 1, 2, 3]);
    somebody_deletes(&world, "a");
    gives(&world, &content, "10.0.0.2:5000", &[4, 5]);
    assert!(misses(&world, torrent, "/a"));
    let resume = world.disk(|disk| disk.resume["folder"].clone());
    let resume = Resume::decode(&resume, content.info_hash(), &content.layout).unwrap();
    assert_eq!(resume.files.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, true]);
    world.does(Command::Resume(torrent));
    assert_eq!((world.state(torrent), world.status(torrent).pieces_verified), (TorrentState::Downloading, 3));
    gives(&world, &content, "10.0.0.3:5000", &[0, 1, 2]);
    assert!(world.disk(|disk| disk.holds("folder", &content)));
}

#[test]
fn a_missing_file_is_told_even_while_the_torrent_is_paused() {
    let (world, content) = (World::new(), files());
    let torrent = world.leeches(&content);
    gives(&world, &content, "10.0.0.1:5000", &[0, 1, 2, 3, 4, 5]);
    world.seconds(60);
    somebody_deletes(&world, "b");
    world.does(Command::Pause(torrent));
    assert!(misses(&world, torrent, "/b"));
    world.does(Command::Resume(torrent));
    assert_eq!((world.state(torrent), world.status(torrent).pieces_verified), (TorrentState::Downloading, 3));
}

#[test]
fn a_missing_file_does_not_hold_up_the_end() {
    let (world, content) = (World::new(), files());
    world.leeches(&content);
    gives(&world, &content, "10.0.0.1:5000", &[0, 1, 2]);
    somebody_deletes(&world, "a");
    world.does(Command::ShutDown);
    assert_eq!((world.count_events(|event| *event == Event::ShutDown), failures(&world)), (1, 0));
    assert_eq!(world.disk(|disk| disk.count(Job::SaveResume)), 1);
}

#[test]
fn a_disk_that_keeps_missing_files_is_asked_no_third_time() {
    let (world, content) = (World::new(), files());
    world.leeches(&content);
    world.disk(|disk| disk.fault = Some((Job::Stamp, DiskErrorKind::Missing)));
    gives(&world, &content, "10.0.0.1:5000", &[0, 1, 2]);
    world.does(Command::ShutDown);
    assert_eq!((world.count_events(|event| *event == Event::ShutDown), world.disk(|disk| disk.count(Job::Stamp))), (1, 2));
}
