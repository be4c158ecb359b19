//! Resume data: what an earlier session knew is believed as far as the files are still the same.

use crate::{
    BLOCK,
    support::{Content, Job, Peer, World, only},
};
use bytes::Bytes;
use rustor_core::{
    choices::{Choices, Priority},
    command::{AddTorrent, Command},
    event::Event,
    id::TorrentId,
    status::TorrentState,
    time::Duration,
    torrent::Resume,
    wire::{Block, Message},
};

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
fn who_has_nothing_and_chooses_nothing_saves_nothing() {
    let content = content();
    let world = World::new();
    world.disk_holds();
    let torrent = world.leeches(&content);
    world.chooses(torrent, |_| ());
    world.disk_catches_up();
    assert_eq!(world.status(torrent).state, TorrentState::Downloading);
    world.chooses(torrent, |_| ());
    world.seconds(100);
    assert_eq!(world.disk(|disk| disk.count(Job::SaveResume)), 0);
    world.chooses(torrent, |choices| choices.sequential = true);
    world.seconds(100);
    assert_eq!(world.disk(|disk| disk.count(Job::SaveResume)), 1);
}

/// A session that has one piece, is about to be sent others, and waits for its files' stamps.
fn stamping() -> (World, Content, TorrentId, Peer, Vec<Block>) {
    let content = Content::new(8 * BLOCK as usize, 2 * BLOCK);
    let world = World::new();
    let torrent = world.leeches(&content);
    let seed = world.seed_joins(&content, "10.0.0.1:5000");
    seed.says(Message::Unchoke);
    let requests = seed.hears_requests();
    seed.sends(&content, &requests[..2]);
    world.disk_holds();
    world.passes(Duration::from_secs(31));
    (world, content, torrent, seed, requests)
}

#[test]
fn what_was_verified_after_the_files_were_looked_at_is_not_claimed() {
    // A store that ends between the stamp and the save must not be named by resume data whose stamps are older.
    let (world, content, _, seed, requests) = stamping();
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
    let (world, content, _, seed, requests) = stamping();
    seed.sends(&content, &requests[2..4]);
    world.disk_does_next(Job::Store(0));
    world.disk_does_next(Job::Stamp);
    world.disk_does_next(Job::SaveResume);
    let resume = world.disk(|disk| disk.resume["folder"].clone());
    let (next, torrent) = next(&world, &content, resume);
    assert_eq!(next.status(torrent).pieces_verified, 2);
}

#[test]
fn what_is_saved_last_was_noted_last() {
    let (world, content, torrent, seed, requests) = stamping();
    seed.sends(&content, &requests[2..4]);
    world.disk_does_next(Job::Store(0));
    world.does(Command::Pause(torrent));
    assert_eq!(world.jobs(), [Job::Stamp], "a sync takes its time; what is noted now must not overtake it");
    world.disk_does_next(Job::Stamp);
    assert_eq!(world.jobs(), [Job::SaveResume]);
    world.disk_does_next(Job::SaveResume);
    assert_eq!(world.jobs(), [Job::Stamp]);
    world.disk_catches_up();
    let resume = world.disk(|disk| disk.resume["folder"].clone());
    let (next, torrent) = next(&world, &content, resume);
    assert_eq!((next.status(torrent).pieces_verified, verified(&next)), (2, 0));
}

#[test]
fn what_is_not_known_yet_is_not_saved() {
    let content = content();
    let world = World::new();
    let torrent = world.leeches(&content);
    let peer = world.joins(&content, "10.0.0.1:5000");
    peer.says_all([content.bitfield([0, 2]), Message::Unchoke]);
    peer.serves(&content);
    world.seconds(31);
    world.disk_holds();
    world.does(Command::Recheck(torrent));
    world.disk_does_next(Job::Open);
    assert!(world.jobs().iter().all(|job| job.is_like(Job::Verify(0))), "{:?}", world.jobs());
    world.does(Command::ShutDown);
    world.disk_catches_up();
    assert_eq!(world.count_events(|event| *event == Event::ShutDown), 1);
    let resume = world.disk(|disk| disk.resume["folder"].clone());
    let (next, torrent) = next(&world, &content, resume);
    assert_eq!(next.status(torrent).pieces_verified, 2);
}

#[test]
fn what_is_about_to_be_forgotten_or_hashed_need_not_be_durable() {
    for command in [|torrent| Command::Remove { torrent, delete_data: true }, Command::Recheck] {
        let content = content();
        let world = World::new();
        let torrent = world.leeches(&content);
        let peer = world.joins(&content, "10.0.0.1:5000");
        peer.says_all([content.bitfield([0]), Message::Unchoke]);
        peer.serves(&content);
        world.disk_holds();
        world.does(command(torrent));
        assert!(!world.jobs().contains(&Job::Stamp), "{:?}", world.jobs());
    }
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

/// A session in which these blocks came and no others, cleanly stopped.
fn session_with_blocks(content: &Content, wanted: impl Fn(&Block) -> bool) -> (World, Bytes) {
    let world = World::new();
    world.leeches(content);
    let seed = world.seed_joins(content, "10.0.0.1:5000");
    seed.says(Message::Unchoke);
    let blocks: Vec<Block> = seed.hears_requests().into_iter().filter(|block| wanted(block)).collect();
    seed.sends(content, &blocks);
    world.does(Command::ShutDown);
    let resume = world.disk(|disk| disk.resume["folder"].clone());
    (world, resume)
}

/// All blocks that a seed is asked for until nothing is missing.
fn asked_for(world: &World, content: &Content, remote: &str) -> Vec<Block> {
    let seed = world.seed_joins(content, remote);
    seed.says(Message::Unchoke);
    let mut asked: Vec<Block> = Vec::new();
    loop {
        let requests = seed.hears_requests();
        if requests.is_empty() {
            asked.sort_by_key(|block| (block.piece, block.offset));
            return asked;
        }
        seed.sends(content, &requests);
        asked.extend(requests);
    }
}

#[test]
fn blocks_of_unfinished_pieces_are_not_fetched_again_after_a_clean_stop() {
    let content = content();
    let came = |block: &Block| block.offset == 0 || block.piece == 1;
    let (old, resume) = session_with_blocks(&content, came);
    let (world, torrent) = next(&old, &content, resume);
    assert_eq!((world.status(torrent).pieces_verified, verified(&world)), (2, 0), "two pieces were complete, nothing is hashed");
    let missing: Vec<Block> = (0..content.pieces()).flat_map(|piece| content.blocks(piece)).filter(|block| !came(block)).collect();
    assert_eq!(asked_for(&world, &content, "10.0.0.1:5000"), missing);
    assert!(world.disk(|disk| disk.holds("folder", &content)));
    assert_eq!(world.status(torrent).wasted, 0);
}

#[test]
fn a_pause_loses_no_block() {
    let content = content();
    let world = World::new();
    let torrent = world.leeches(&content);
    let seed = world.seed_joins(&content, "10.0.0.1:5000");
    seed.says(Message::Unchoke);
    let first: Vec<Block> = seed.hears_requests().into_iter().filter(|block| block.offset == 0).collect();
    seed.sends(&content, &first);
    for _ in 0..2 {
        world.does(Command::Pause(torrent));
        world.does(Command::Resume(torrent));
    }
    assert!(asked_for(&world, &content, "10.0.0.2:5000").iter().all(|block| !first.contains(block)));
    assert!(world.disk(|disk| disk.holds("folder", &content)));
}

#[test]
fn a_pause_while_blocks_are_read_back_loses_none() {
    let content = content();
    let (old, resume) = session_with_blocks(&content, |block| block.offset == 0);
    let world = World::new();
    let files = old.disk(|disk| std::mem::take(&mut disk.files));
    world.disk(|disk| disk.files = files);
    world.disk_holds();
    let torrent = world.adds(&content, |add| add.resume = Some(resume));
    world.disk_does_next(Job::Open);
    world.disk_does_next(Job::Prepare);
    world.does(Command::Pause(torrent));
    world.does(Command::Resume(torrent));
    world.disk_catches_up();
    assert!(asked_for(&world, &content, "10.0.0.2:5000").iter().all(|block| block.offset > 0));
    assert!(world.disk(|disk| disk.holds("folder", &content)));
}

#[test]
fn a_piece_with_a_damaged_block_of_an_earlier_session_is_fetched_again_and_nobody_is_banned() {
    let content = content();
    let (old, resume) = session_with_blocks(&content, |block| block.piece == 1 && block.offset == 0);
    old.disk(|disk| disk.files.get_mut("folder/folder/a").unwrap().data[2 * BLOCK as usize] ^= 1);
    let (world, torrent) = next(&old, &content, resume);
    let asked = asked_for(&world, &content, "10.0.0.1:5000");
    assert_eq!(asked.iter().filter(|block| block.piece == 1).count(), 3, "the missing one, then both");
    assert_eq!(world.count_events(|event| *event == Event::PieceFailed { torrent, piece: 1 }), 1);
    assert_eq!(world.count_events(|event| matches!(event, Event::PeerBanned { .. })), 0);
    assert!(world.disk(|disk| disk.holds("folder", &content)));
}

#[test]
fn blocks_that_cannot_be_read_back_are_fetched_again() {
    let content = content();
    let (old, resume) = session_with_blocks(&content, |block| block.offset == 0);
    let world = World::new();
    let files = old.disk(|disk| std::mem::take(&mut disk.files));
    world.disk(|disk| disk.files = files);
    world.disk_fails(Job::Read(0));
    let torrent = world.adds(&content, |add| add.resume = Some(resume));
    assert_eq!(world.state(torrent), TorrentState::Downloading);
    assert_eq!(asked_for(&world, &content, "10.0.0.1:5000").len(), 8, "all but the last piece, which is one block");
    assert!(world.disk(|disk| disk.holds("folder", &content)));
}

#[test]
fn unfinished_pieces_of_a_changed_file_are_not_believed() {
    let content = content();
    let (old, resume) = session_with_blocks(&content, |block| block.piece == 1 && block.offset == 0);
    old.disk(|disk| disk.files.get_mut("folder/folder/a").unwrap().modified += 1);
    let (world, _) = next(&old, &content, resume);
    assert_eq!(asked_for(&world, &content, "10.0.0.1:5000").len(), 9);
}

#[test]
fn a_disk_that_takes_no_blocks_at_the_end_costs_only_those() {
    let content = content();
    let world = World::new();
    world.leeches(&content);
    let seed = world.seed_joins(&content, "10.0.0.1:5000");
    seed.says(Message::Unchoke);
    let first = seed.hears_requests().into_iter().filter(|block| block.offset == 0).collect::<Vec<_>>();
    seed.sends(&content, &first);
    world.disk_fails(Job::Keep(0));
    world.does(Command::ShutDown);
    assert_eq!(world.count_events(|event| *event == Event::ShutDown), 1);
}

#[test]
fn what_is_removed_for_good_leaves_no_blocks() {
    let content = content();
    let world = World::new();
    let torrent = world.leeches(&content);
    let seed = world.seed_joins(&content, "10.0.0.1:5000");
    seed.says(Message::Unchoke);
    let requests = seed.hears_requests();
    seed.sends(&content, &requests[..1]);
    world.does(Command::Remove { torrent, delete_data: true });
    assert_eq!(world.disk(|disk| disk.count(Job::Keep(0))), 0);
}

#[test]
fn the_owners_choices_are_remembered_and_what_is_said_anew_counts() {
    let content = content();
    let world = World::new();
    let torrent = world.adds(&content, |add| add.choices = Choices { sequential: true, ..only(&[1]) });
    world.chooses(torrent, |choices| choices.first_and_last = true);
    world.does(Command::ShutDown);
    let resume = world.disk(|disk| disk.resume["folder"].clone());
    let expected = Choices { sequential: true, first_and_last: true, ..only(&[1]) };
    let choices = |change: &dyn Fn(&mut AddTorrent)| {
        let world = World::new();
        let torrent = world.adds(&content, |add| {
            add.resume = Some(resume.clone());
            change(add);
        });
        world.choices(torrent)
    };
    assert_eq!(choices(&|_| {}), expected);
    assert_eq!(choices(&|add| add.choices.super_seeding = true), Choices { super_seeding: true, ..expected.clone() });
    let anew = Choices { files: [(0, Priority::High)].into(), other_files: Priority::Normal, ..expected };
    assert_eq!(choices(&|add| add.choices.files = [(0, Priority::High)].into()), anew);
}

#[test]
fn statistics_add_up_over_sessions() {
    let content = content();
    let (world, resume) = session(&content, &[0, 1, 2, 3, 4], |world| world.seconds(100));
    let decoded = |resume: &[u8]| Resume::decode(resume, content.info_hash(), &content.layout).unwrap();
    let total = content.layout.total_length();
    assert_eq!((decoded(&resume).downloaded, decoded(&resume).seeding.as_secs()), (total, 100));
    let (world, _) = next(&world, &content, resume);
    let leecher = world.joins(&content, "10.0.0.9:5000");
    leecher.says_all([Message::Interested, Message::Request(content.blocks(0)[0])]);
    leecher.says(Message::Request(content.blocks(0)[0]));
    world.seconds(50);
    world.does(Command::ShutDown);
    let resume = decoded(&world.disk(|disk| disk.resume["folder"].clone()));
    assert_eq!((resume.downloaded, resume.seeding.as_secs()), (total, 150));
    assert_eq!(resume.uploaded % u64::from(BLOCK), 0);
    assert!(resume.uploaded > 0);
}

const TRACKER: &str = "http://one.test/announce";

/// What a tracker says that wants to hear nothing for ten minutes, and calls us `me`.
const RESTS: Bytes = Bytes::from_static(b"d8:intervali1800e12:min intervali600e5:peers0:10:tracker id2:mee");

#[test]
fn whoever_starts_again_announces_at_once_whatever_trackers_and_peers_an_earlier_session_knew() {
    let content = Content::tracked(4 * BLOCK as usize, BLOCK, &[&["http://two.test/announce", TRACKER]]);
    for pieces in [&[0][..], &[0, 1, 2, 3]] {
        let old = World::new();
        old.adds(&content, |add| add.peers = vec!["10.0.0.7:6881".parse().unwrap()]);
        // The other tracker of the tier does not answer, whichever comes first.
        if !old.announces()[0].url.starts_with(TRACKER) {
            old.tracker_fails("http://two.test/announce");
        }
        old.tracker_says(TRACKER, RESTS);
        let peer = old.answers("10.0.0.7:6881");
        peer.shakes_hands(&content);
        peer.says_all([content.bitfield(pieces.iter().copied()), Message::Unchoke]);
        peer.serves(&content);
        old.does(Command::ShutDown);
        let resume = old.disk(|disk| disk.resume["folder"].clone());
        assert!(Resume::decode(&resume, content.info_hash(), &content.layout).unwrap().peers.len() == 1, "a peer is remembered");

        let (world, torrent) = next(&old, &content, resume);
        assert_eq!(world.status(torrent).pieces_verified as usize, pieces.len());
        let announces = world.announces();
        assert_eq!(announces.len(), 1, "{announces:?}");
        assert!(announces[0].url.starts_with(TRACKER), "who answered last is asked first: {announces:?}");
        assert_eq!((announces[0].event(), announces[0].parameter("trackerid")), (Some("started"), Some("me")));
        if pieces.len() < 4 {
            world.refuses("10.0.0.7:6881");
            world.tracker_answers(TRACKER, &["10.0.0.8:6881"]);
            assert_eq!(world.dials(), ["10.0.0.8:6881".parse().unwrap()], "the peer remembered is gone, another is there");
        }
    }
}

#[test]
fn what_is_kept_aside_is_believed_as_long_as_the_part_file_is_the_same() {
    let content = Content::files(&[("a", 3 * BLOCK as usize), ("b", 3 * BLOCK as usize)], 2 * BLOCK);
    let world = World::new();
    world.adds(&content, |add| add.choices = only(&[1]));
    asked_for(&world, &content, "10.0.0.1:5000");
    world.does(Command::ShutDown);
    let resume = world.disk(|disk| disk.resume["folder"].clone());
    let parts = format!("folder/.{}.parts", content.info_hash());
    for (change, left, hashed) in [(0, 2, false), (1, 2, true), (2, 1, false), (3, 1, true)] {
        let files = world.disk(|disk| disk.files.clone());
        let next = World::new();
        next.disk(|disk| disk.files = files);
        next.disk(|disk| match change {
            0 => {}
            1 => disk.files.get_mut(&parts).unwrap().modified += 1,
            2 => drop(disk.files.remove(&parts)),
            _ => {
                let file = disk.files.get_mut(&parts).unwrap();
                file.data[5] ^= 1;
                file.modified += 1;
            }
        });
        let torrent = next.adds(&content, |add| add.resume = Some(resume.clone()));
        assert_eq!((next.status(torrent).pieces_verified, verified(&next) > 0), (left, hashed), "{change}");
    }
}

#[test]
fn what_a_recheck_found_bad_is_not_claimed_again() {
    let content = Content::new(2 * BLOCK as usize, 2 * BLOCK);
    let (old, resume) = session(&content, &[0], |_| {});
    // Bit rot: neither length nor time tell of it.
    old.disk(|disk| disk.files.values_mut().for_each(|file| file.data[0] ^= 1));
    let (world, torrent) = next(&old, &content, resume);
    assert_eq!(world.status(torrent).pieces_verified, 1, "it is believed");
    world.does(Command::Recheck(torrent));
    assert_eq!(world.status(torrent).pieces_verified, 0);
    world.does(Command::ShutDown);
    let resume = world.disk(|disk| disk.resume["folder"].clone());
    let (world, torrent) = next(&world, &content, resume);
    assert_eq!(world.status(torrent).pieces_verified, 0);
}

#[test]
fn a_pause_before_all_blocks_of_a_piece_are_read_back_loses_nothing() {
    let (world, content) = (World::with(|config| config.block_budget = BLOCK.into()), content());
    let torrent = world.leeches(&content);
    let sends = |remote: &str, wanted: fn(&Block) -> bool| {
        let seed = world.seed_joins(&content, remote);
        seed.says(Message::Unchoke);
        let blocks: Vec<Block> = seed.hears_requests().into_iter().filter(wanted).collect();
        blocks.iter().for_each(|block| seed.sends(&content, &[*block]));
    };
    // Of the second piece first one block is kept and then the other: it did not fit into the budget that things are read back with.
    sends("10.0.0.1:5000", |block| block.piece < 2 && block.offset == 0);
    world.does(Command::Pause(torrent));
    world.does(Command::Resume(torrent));
    sends("10.0.0.2:5000", |block| block.piece < 2 && block.offset > 0);
    world.does(Command::Pause(torrent));
    assert_eq!(world.status(torrent).pieces_verified, 1);
    world.disk_holds();
    world.does(Command::Resume(torrent));
    while world.jobs().contains(&Job::Prepare) {
        world.disk_does_next(Job::Prepare);
    }
    assert_eq!(world.jobs(), [Job::Read(2 * BLOCK)], "all of it");
    world.does(Command::Pause(torrent));
    world.disk_catches_up();
    world.does(Command::Resume(torrent));
    world.disk_catches_up();
    asked_for(&world, &content, "10.0.0.3:5000");
    assert!(world.disk(|disk| disk.holds("folder", &content)));
    assert_eq!(world.status(torrent).wasted, 0);
}
