//! Seeding ends at a ratio or after a time, and the trackers hear of it.

use crate::{
    BLOCK,
    support::{Content, Peer, World},
};
use rustor_core::{
    choices::{Choices, SeedingGoal},
    command::Command,
    event::Event,
    id::TorrentId,
    status::TorrentState,
    time::Duration,
    wire::Message,
};

const TRACKER: &str = "http://tracker.test/announce";

fn content() -> Content {
    Content::tracked(40 * BLOCK as usize, 4 * BLOCK, &[&[TRACKER]])
}

fn ratio(permille: u32) -> SeedingGoal {
    SeedingGoal { ratio_permille: Some(permille), time: None }
}

fn time(seconds: u64) -> SeedingGoal {
    SeedingGoal { ratio_permille: None, time: Some(Duration::from_secs(seconds)) }
}

fn choices(goal: SeedingGoal) -> Choices {
    Choices { goal, ..Choices::default() }
}

fn seeds(world: &World, content: &Content, goal: SeedingGoal) -> TorrentId {
    world.has(content, 0..content.pieces());
    world.adds(content, |add| add.choices = choices(goal))
}

fn leecher(world: &World, content: &Content) -> Peer {
    let peer = world.joins(content, "10.0.0.1:5000");
    peer.says(Message::Interested);
    peer
}

fn asks(peer: &Peer, content: &Content, pieces: std::ops::Range<u32>) {
    peer.says_all(pieces.flat_map(|piece| content.blocks(piece)).map(Message::Request));
}

fn reached(world: &World) -> usize {
    world.count_events(|event| matches!(event, Event::GoalReached { .. }))
}

#[test]
fn at_the_ratio_the_torrent_pauses_and_says_so() {
    let (world, content) = (World::new(), content());
    let torrent = seeds(&world, &content, ratio(500));
    world.tracker_answers(TRACKER, &[]);
    let peer = leecher(&world, &content);
    asks(&peer, &content, 0..4);
    world.seconds(20);
    assert_eq!((reached(&world), world.state(torrent)), (0, TorrentState::Seeding));
    asks(&peer, &content, 4..5);
    assert!(!peer.is_closed(), "what was sent last is to arrive");
    world.seconds(3);
    assert_eq!((reached(&world), world.state(torrent)), (1, TorrentState::Paused));
    assert!(peer.is_closed());
    assert_eq!(world.takes_announce(TRACKER).event(), Some("stopped"));
}

#[test]
fn what_earlier_sessions_sent_counts() {
    let content = content();
    let saved = {
        let world = World::new();
        let torrent = seeds(&world, &content, SeedingGoal::default());
        asks(&leecher(&world, &content), &content, 0..9);
        world.does(Command::Recheck(torrent));
        world.seconds(60);
        world.does(Command::Choose { torrent, choices: choices(SeedingGoal::default()).into() });
        world.does(Command::Pause(torrent));
        world.disk(|disk| disk.resume["folder"].clone())
    };
    let world = World::new();
    world.has(&content, 0..content.pieces());
    let torrent = world.adds(&content, |add| (add.resume, add.choices) = (Some(saved), choices(ratio(1000))));
    assert_eq!(world.state(torrent), TorrentState::Seeding);
    asks(&leecher(&world, &content), &content, 0..1);
    world.seconds(3);
    assert_eq!((reached(&world), world.state(torrent)), (1, TorrentState::Paused));
}

#[test]
fn only_the_time_of_seeding_counts() {
    let (world, content) = (World::new(), content());
    world.has(&content, 0..9);
    let torrent = world.adds(&content, |add| add.choices = choices(time(100)));
    world.seconds(200);
    assert_eq!(world.state(torrent), TorrentState::Downloading);
    let seed = world.seed_joins(&content, "10.0.0.2:5000");
    seed.says(Message::Unchoke);
    seed.serves(&content);
    world.seconds(60);
    assert_eq!(world.state(torrent), TorrentState::Seeding);
    world.does(Command::Pause(torrent));
    world.seconds(1000);
    world.does(Command::Resume(torrent));
    world.seconds(39);
    assert_eq!(world.state(torrent), TorrentState::Seeding);
    world.seconds(2);
    assert_eq!((reached(&world), world.state(torrent)), (1, TorrentState::Paused));
}

#[test]
fn what_is_reached_first_counts() {
    let (world, content) = (World::new(), content());
    let torrent = seeds(&world, &content, SeedingGoal { time: Some(Duration::from_secs(50)), ..ratio(100) });
    asks(&leecher(&world, &content), &content, 0..1);
    world.seconds(3);
    assert_eq!(world.state(torrent), TorrentState::Paused);
    let other = Content::new(3 * BLOCK as usize, BLOCK);
    let torrent = {
        (0..3).for_each(|piece| world.disk(|disk| disk.put_piece("other", &other, piece)));
        let goal = SeedingGoal { time: Some(Duration::from_secs(50)), ..ratio(100) };
        world.adds(&other, |add| (add.folder, add.choices) = ("other".to_owned(), choices(goal)))
    };
    world.seconds(51);
    assert_eq!(world.state(torrent), TorrentState::Paused);
}

#[test]
fn an_owner_who_resumes_wants_more_until_he_chooses_anew() {
    let (world, content) = (World::new(), content());
    let torrent = seeds(&world, &content, time(10));
    world.seconds(11);
    assert_eq!(world.state(torrent), TorrentState::Paused);
    world.does(Command::Resume(torrent));
    world.seconds(100);
    assert_eq!(world.state(torrent), TorrentState::Seeding);
    world.does(Command::Choose { torrent, choices: choices(time(200)).into() });
    world.seconds(88);
    assert_eq!(world.state(torrent), TorrentState::Seeding);
    world.seconds(2);
    assert_eq!((reached(&world), world.state(torrent)), (2, TorrentState::Paused));
}

#[test]
fn files_that_are_not_wanted_do_not_count_for_the_ratio() {
    use rustor_core::choices::Priority;
    let content = Content::files(&[("big", 30 * BLOCK as usize), ("small", 10 * BLOCK as usize)], BLOCK);
    let world = World::new();
    world.has(&content, 0..content.pieces());
    let goal = Choices { files: [(0, Priority::Skip)].into(), ..choices(ratio(1000)) };
    let torrent = world.adds(&content, |add| add.choices = goal);
    asks(&leecher(&world, &content), &content, 0..10);
    world.seconds(3);
    assert_eq!(world.state(torrent), TorrentState::Paused);
}

#[test]
fn without_a_goal_it_seeds_for_ever() {
    let (world, content) = (World::new(), content());
    let torrent = seeds(&world, &content, SeedingGoal::default());
    asks(&leecher(&world, &content), &content, 0..10);
    world.seconds(100_000);
    assert_eq!((reached(&world), world.state(torrent)), (0, TorrentState::Seeding));
}

#[test]
fn a_recheck_does_not_forget_what_earlier_sessions_sent() {
    let content = content();
    let saved = {
        let world = World::new();
        let torrent = seeds(&world, &content, SeedingGoal::default());
        asks(&leecher(&world, &content), &content, 0..9);
        world.does(Command::Pause(torrent));
        world.disk(|disk| disk.resume["folder"].clone())
    };
    let world = World::new();
    world.has(&content, 0..content.pieces());
    let torrent = world.adds(&content, |add| (add.resume, add.choices) = (Some(saved), choices(ratio(1000))));
    world.does(Command::Recheck(torrent));
    assert_eq!(world.state(torrent), TorrentState::Seeding);
    asks(&leecher(&world, &content), &content, 0..1);
    world.seconds(3);
    assert_eq!((reached(&world), world.state(torrent)), (1, TorrentState::Paused));
}
