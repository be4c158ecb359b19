//! Resume data: what an earlier session knew is believed as far as the files are still the same.

use crate::{
    BLOCK,
    support::{Content, Job, World},
};
use bytes::Bytes;
use rustor_core::{command::Command, event::Event, id::TorrentId, status::TorrentState, time::Duration, wire::Message};

fn content() -> Content {
    Content::files(&[("a", 6 * BLOCK as usize + 100), ("b", 2 * BLOCK as usize), ("empty", 0)], 2 * BLOCK)
}

/// A session that fetched these pieces and shut down: its disk, and the resume data that it left.
fn session(content: &Content, pieces: &[u32], meanwhile: impl FnOnce(&World)) -> (World, Bytes) {
    let world = World::new();
    world.leeches(content);
    let peer = world.joins(content, "10.0.0.1:5000");
    peer.says_all([content.bitfield(pieces.iter().copied()), Message::Unchoke]);
    peer.serves(content);
    meanwhile(&world);
    world.does(Command::ShutDown);
    assert_eq!(world.count_events(|event| *event == Event::ShutDown), 1);
    let resume = world.disk(|disk| disk.resume["folder"].clone());
    (world, resume)
}

/// A new session on the same disk.
fn next(old: &World, content: &Content, resume: Bytes) -> (World, TorrentId) {
    let world = World::new();
    let files = old.disk(|disk| std::mem::take(&mut disk.files));
    world.disk(|disk| disk.files = files);
    let torrent = world.adds(content, |add| add.resume = Some(resume));
    (world, torrent)
}

fn verified(world: &World) -> usize {
    world.disk(|disk| disk.count(Job::Verify(0)))
}

#[test]
fn unchanged_files_are_believed_without_a_look_inside() {
    let content = content();
    for pieces in [&[0, 2][..], &[0, 1, 2, 3, 4]] {
        let (old, resume) = session(&content, pieces, |_| {});
        let (world, torrent) = next(&old, &content, resume);
        assert_eq!((world.status(torrent).pieces_verified as usize, verified(&world)), (pieces.len(), 0));
        assert_eq!(world.state(torrent) == TorrentState::Seeding, pieces.len() == 5);
    }
}

#[test]
fn flipped_bytes_are_found() {
    let content = content();
    let (old, resume) = session(&content, &[0, 1, 2, 3, 4], |_| {});
    old.disk(|disk| {
        let file = disk.files.get_mut("folder/folder/a").unwrap();
        file.data[3 * BLOCK as usize] ^= 1;
        file.modified += 1;
    });
    let (world, torrent) = next(&old, &content, resume);
    assert_eq!(world.status(torrent).pieces_verified, 4);
    assert!(verified(&world) > 0);
}

#[test]
fn a_deleted_and_a_truncated_file_cost_exactly_their_pieces() {
    let content = content();
    for (truncated, left) in [(None, 1), (Some(2 * BLOCK as usize), 2), (Some(0), 1)] {
        let (old, resume) = session(&content, &[0, 1, 2, 3, 4], |_| {});
        old.disk(|disk| match truncated {
            None => drop(disk.files.remove("folder/folder/a")),
            Some(length) => disk.files.get_mut("folder/folder/a").unwrap().data.truncate(length),
        });
        let (world, torrent) = next(&old, &content, resume);
        assert_eq!(world.status(torrent).pieces_verified, left, "{truncated:?}");
        assert_eq!(world.state(torrent), TorrentState::Downloading);
    }
}

/// The stamps of the resume data then tell of files that are not there, and so do the files.
#[test]
fn files_that_went_away_before_resume_data_was_saved_are_not_believed() {
    let content = content();
    for truncated in [None, Some(100)] {
        let (old, resume) = session(&content, &[0, 1, 2], |world| {
            world.disk(|disk| match truncated {
                None => drop(disk.files.remove("folder/folder/a")),
                Some(length) => disk.files.get_mut("folder/folder/a").unwrap().data.truncate(length),
            });
        });
        let (world, torrent) = next(&old, &content, resume);
        assert_eq!(world.status(torrent).pieces_verified, 0, "{truncated:?}");
    }
}

#[test]
fn a_missing_empty_file_is_made_again() {
    let content = content();
    let (old, resume) = session(&content, &[0, 1, 2, 3, 4], |_| {});
    old.disk(|disk| disk.files.remove("folder/folder/empty"));
    let (world, torrent) = next(&old, &content, resume);
    assert_eq!(world.state(torrent), TorrentState::Seeding);
    assert!(world.disk(|disk| disk.holds("folder", &content)));
}

#[test]
fn damaged_resume_data_is_ignored_and_everything_hashed() {
    let content = content();
    let (old, resume) = session(&content, &[0, 1, 2], |_| {});
    let others = {
        let other = Content::new(10, 10);
        let world = World::new();
        world.leeches(&other);
        world.has(&other, [0]);
        let torrent = world.torrent_of(&other);
        world.does(Command::Recheck(torrent));
        world.does(Command::ShutDown);
        world.disk(|disk| disk.resume["folder"].clone())
    };
    let truncated = resume.slice(..resume.len() / 2);
    let half_zero: Bytes = resume.iter().enumerate().map(|(at, byte)| if at > 100 { 0 } else { *byte }).collect();
    let files = old.disk(|disk| disk.files.clone());
    for damaged in [Bytes::new(), Bytes::from_static(b"de"), Bytes::from_static(b"\0\0\0"), truncated, half_zero, others] {
        let world = World::new();
        world.disk(|disk| disk.files = files.clone());
        let torrent = world.adds(&content, |add| add.resume = Some(damaged));
        assert_eq!(world.status(torrent).pieces_verified, 3);
        assert!(verified(&world) > 0);
    }
}

#[test]
fn without_resume_data_what_is_there_is_hashed() {
    let content = content();
    let world = World::new();
    world.has(&content, [1, 4]);
    let torrent = world.leeches(&content);
    assert_eq!(world.status(torrent).pieces_verified, 2);
    assert_eq!(world.count_events(|event| *event == Event::Checked { torrent, verified: 2, pieces: 5 }), 1);
}

#[test]
fn resume_data_is_saved_every_half_minute_while_pieces_come() {
    let content = Content::new(64 * BLOCK as usize, 2 * BLOCK);
    let world = World::new();
    world.leeches(&content);
    let seed = world.seed_joins(&content, "10.0.0.1:5000");
    seed.says(Message::Unchoke);
    let saved = || world.disk(|disk| disk.count(Job::SaveResume));
    for _ in 0..12 {
        seed.serves_some(&content, 2);
        world.seconds(10);
    }
    assert!((3..=4).contains(&saved()), "{} times in two minutes", saved());
    seed.says(Message::Choke);
    world.seconds(35);
    let before = saved();
    for _ in 0..10 {
        world.seconds(100);
        seed.says(Message::KeepAlive);
    }
    assert_eq!(saved(), before, "nothing new, nothing saved");
}

#[test]
fn what_was_verified_after_the_files_were_looked_at_is_not_claimed() {
    // A store that ends between the stamp and the save must not be named by resume data whose stamps are older.
    let content = Content::new(8 * BLOCK as usize, 2 * BLOCK);
    let world = World::new();
    world.leeches(&content);
    let seed = world.seed_joins(&content, "10.0.0.1:5000");
    seed.says(Message::Unchoke);
    let requests = seed.hears_requests();
    seed.sends(&content, &requests[..2]);
    world.disk_holds();
    world.passes(Duration::from_secs(31));
    assert_eq!(world.jobs(), [Job::Stamp]);
    seed.sends(&content, &requests[2..4]);
    world.disk_does_next(Job::Stamp);
    world.disk_does_next(Job::Store(0));
    world.disk_does_next(Job::SaveResume);
    let resume = world.disk(|disk| disk.resume["folder"].clone());
    let (next, torrent) = next(&world, &content, resume);
    assert_eq!(next.status(torrent).pieces_verified, 2, "the file has changed, so it was hashed");
    assert!(verified(&next) > 0);
}

#[test]
fn what_was_written_while_the_files_were_looked_at_is_not_forgotten() {
    // A store that ends before the stamp, but after what is verified was noted: the stamp fits the file, and the piece is unnamed.
    let content = Content::new(8 * BLOCK as usize, 2 * BLOCK);
    let world = World::new();
    world.leeches(&content);
    let seed = world.seed_joins(&content, "10.0.0.1:5000");
    seed.says(Message::Unchoke);
    let requests = seed.hears_requests();
    seed.sends(&content, &requests[..2]);
    world.disk_holds();
    world.passes(Duration::from_secs(31));
    seed.sends(&content, &requests[2..4]);
    world.disk_does_next(Job::Store(0));
    world.disk_does_next(Job::Stamp);
    world.disk_does_next(Job::SaveResume);
    let resume = world.disk(|disk| disk.resume["folder"].clone());
    let (next, torrent) = next(&world, &content, resume);
    assert_eq!(next.status(torrent).pieces_verified, 2);
}

#[test]
fn peers_that_were_good_are_tried_first_in_the_next_session() {
    let content = content();
    let world = World::new();
    world.adds(&content, |add| add.peers = vec!["10.0.0.1:6881".parse().unwrap()]);
    let peer = world.answers("10.0.0.1:6881");
    peer.shakes_hands(&content);
    peer.says_all([content.bitfield([0]), Message::Unchoke]);
    peer.serves(&content);
    world.does(Command::ShutDown);
    let resume = world.disk(|disk| disk.resume["folder"].clone());
    let (next, _) = next(&world, &content, resume);
    assert_eq!(next.dials(), ["10.0.0.1:6881".parse().unwrap()]);
}
