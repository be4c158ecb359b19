//! Adding, pausing, resuming, removing, rechecking and shutting down, at every awkward moment.

use crate::{
    BLOCK,
    support::{Content, Job, Peer, World},
};
use rustor_core::{
    command::{Command, CommandError},
    event::Event,
    id::TorrentId,
    peer::CloseReason,
    status::TorrentState,
    wire::Message,
};

const TRACKER: &str = "http://one.test/announce";

fn content() -> Content {
    Content::tracked(16 * BLOCK as usize, 4 * BLOCK, &[&[TRACKER]])
}

fn removed(world: &World, torrent: TorrentId) -> usize {
    world.count_events(|event| *event == Event::Removed { torrent })
}

/// What a torrent may be in the middle of.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Moment {
    Opening,
    Checking,
    Preparing,
    Announcing,
    Connecting,
    ShakingHands,
    Downloading,
    Storing,
    Writing,
    Complete,
    Paused,
    Failed,
    Removing,
}

const MOMENTS: [Moment; 13] = [
    Moment::Opening,
    Moment::Checking,
    Moment::Preparing,
    Moment::Announcing,
    Moment::Connecting,
    Moment::ShakingHands,
    Moment::Downloading,
    Moment::Storing,
    Moment::Writing,
    Moment::Complete,
    Moment::Paused,
    Moment::Failed,
    Moment::Removing,
];

/// A torrent at this moment, and a peer if there is one.
fn at(moment: Moment) -> (World, Content, TorrentId, Option<Peer>) {
    let (world, content) = (World::new(), content());
    let early = matches!(moment, Moment::Opening | Moment::Checking | Moment::Preparing);
    if early {
        world.disk_holds();
    }
    if moment == Moment::Checking {
        world.has(&content, 0..2);
    }
    let torrent = world.adds(&content, |add| add.peers = vec!["10.0.0.1:6881".parse().unwrap()]);
    match moment {
        Moment::Opening => assert_eq!(world.jobs(), [Job::Open]),
        Moment::Checking => {
            world.disk_does_next(Job::Open);
            assert_eq!(world.jobs(), [Job::Verify(0)]);
        }
        Moment::Preparing => {
            world.disk_does_next(Job::Open);
            assert_eq!(world.jobs(), [Job::Prepare]);
        }
        _ => {}
    }
    if early || matches!(moment, Moment::Announcing | Moment::Connecting) {
        return (world, content, torrent, None);
    }
    world.tracker_answers(TRACKER, &[]);
    let peer = world.answers("10.0.0.1:6881");
    if moment == Moment::ShakingHands {
        return (world, content, torrent, Some(peer));
    }
    peer.shakes_hands(&content);
    peer.says_all([content.bitfield(0..4), Message::Unchoke]);
    match moment {
        Moment::Storing => {
            world.disk_holds();
            let requests = peer.hears_requests();
            peer.sends(&content, &requests[..4]);
            assert!(world.jobs()[0].is_like(Job::Store(0)));
        }
        Moment::Writing => {
            peer.takes_no_writes();
            let requests = peer.hears_requests();
            peer.sends(&content, &requests[..6]);
        }
        Moment::Complete => peer.serves(&content),
        Moment::Paused => world.does(Command::Pause(torrent)),
        Moment::Failed => {
            world.disk_fails(Job::Store(0));
            let requests = peer.hears_requests();
            peer.sends(&content, &requests[..4]);
            assert_eq!(world.state(torrent), TorrentState::Failed);
            world.disk_works();
        }
        Moment::Removing => {
            world.disk_holds();
            world.does(Command::Remove { torrent, delete_data: false });
        }
        _ => {}
    }
    (world, content, torrent, Some(peer))
}

/// Everything under way is answered, late.
fn everything_ends(world: &World) {
    world.disk_catches_up();
    while !world.announces().is_empty() {
        world.tracker_answers(TRACKER, &[]);
    }
    world.seconds(30);
}

#[test]
fn a_torrent_can_be_removed_at_any_moment_and_is_gone_exactly_once() {
    for moment in MOMENTS {
        for delete_data in [false, true] {
            let (world, content, torrent, peer) = at(moment);
            let result = world.command(Command::Remove { torrent, delete_data });
            assert_eq!(result.is_err(), moment == Moment::Removing, "{moment:?}");
            assert!(peer.is_none_or(|peer| peer.is_closed()), "{moment:?}: its connections end at once");
            assert!(world.dials().is_empty(), "{moment:?}");
            everything_ends(&world);
            assert_eq!(removed(&world, torrent), 1, "{moment:?}");
            assert!(!world.is_listed(torrent));
            assert!(world.disk(|disk| disk.resume.is_empty()), "{moment:?}: resume data is forgotten");
            let delete = delete_data && moment != Moment::Removing;
            assert!(!delete || world.disk(|disk| disk.files.is_empty()), "{moment:?}");
            // It may come back, and completes.
            completes(&world, &content);
        }
    }
}

/// Adds the torrent (or finds it), and a seed that serves all of it.
fn completes(world: &World, content: &Content) {
    let _ = world.command(Command::Add(Box::new(rustor_core::command::AddTorrent::new(content.metainfo(), "folder"))));
    let seed = world.joins(content, "10.7.7.7:7777");
    if !world.disk(|disk| disk.holds("folder", content)) {
        seed.says_all([content.bitfield(0..content.pieces()), Message::Unchoke]);
        for _ in 0..20 {
            if seed.is_closed() {
                break;
            }
            seed.serves(content);
            world.seconds(10);
        }
    }
    assert!(world.disk(|disk| disk.holds("folder", content)));
}

#[test]
fn an_engine_can_be_shut_down_at_any_moment_and_says_so_exactly_once() {
    for moment in MOMENTS {
        let (world, _, torrent, peer) = at(moment);
        let stranger = world.stranger("10.0.0.99:5000");
        world.does(Command::ShutDown);
        world.does(Command::ShutDown);
        assert!(peer.is_none_or(|peer| peer.is_closed()) && stranger.is_closed(), "{moment:?}");
        let late = world.stranger("10.0.0.98:5000");
        assert!(late.is_closed(), "{moment:?}");
        everything_ends(&world);
        assert_eq!(removed(&world, torrent), 1, "{moment:?}");
        assert_eq!(world.count_events(|event| *event == Event::ShutDown), 1, "{moment:?}");
    }
}

#[test]
fn a_torrent_can_be_paused_and_resumed_at_any_moment() {
    for moment in MOMENTS.into_iter().filter(|moment| *moment != Moment::Removing) {
        for late in [false, true] {
            let (world, content, torrent, peer) = at(moment);
            world.does(Command::Pause(torrent));
            world.does(Command::Pause(torrent));
            assert!(peer.is_none_or(|peer| peer.is_closed()), "{moment:?}");
            assert!(world.dials().is_empty(), "{moment:?}");
            if late {
                everything_ends(&world);
                let paused = if moment == Moment::Failed { TorrentState::Failed } else { TorrentState::Paused };
                assert_eq!(world.state(torrent), paused, "{moment:?}");
                assert!(world.dials().is_empty());
            }
            world.does(Command::Resume(torrent));
            world.does(Command::Resume(torrent));
            world.disk_catches_up();
            assert!(matches!(world.state(torrent), TorrentState::Downloading | TorrentState::Seeding), "{moment:?}");
            completes(&world, &content);
            assert_eq!(world.status(torrent).pieces_verified, 4, "{moment:?}");
        }
    }
}

#[test]
fn a_torrent_can_be_rechecked_at_any_moment() {
    for moment in MOMENTS.into_iter().filter(|moment| *moment != Moment::Removing) {
        let (world, content, torrent, peer) = at(moment);
        let was_paused = moment == Moment::Paused;
        world.does(Command::Recheck(torrent));
        assert!(peer.is_none_or(|peer| peer.is_closed()), "{moment:?}");
        world.does(Command::Recheck(torrent));
        world.disk_catches_up();
        assert_eq!(world.state(torrent) == TorrentState::Paused, was_paused, "{moment:?}");
        if was_paused {
            world.does(Command::Resume(torrent));
        }
        completes(&world, &content);
        assert_eq!(world.status(torrent).pieces_verified, 4, "{moment:?}");
    }
}

#[test]
fn all_of_it_in_a_row_at_any_moment() {
    for moment in MOMENTS.into_iter().filter(|moment| *moment != Moment::Removing) {
        let (world, content, torrent, _) = at(moment);
        world.disk_holds();
        world.does(Command::Pause(torrent));
        world.does(Command::Recheck(torrent));
        world.does(Command::Resume(torrent));
        world.does(Command::Pause(torrent));
        world.does(Command::Resume(torrent));
        everything_ends(&world);
        assert!(matches!(world.state(torrent), TorrentState::Downloading | TorrentState::Seeding), "{moment:?}");
        completes(&world, &content);
    }
}

#[test]
fn a_paused_torrent_is_looked_at_and_then_stands_still() {
    let (world, content) = (World::new(), content());
    world.has(&content, [1]);
    let torrent = world.adds(&content, |add| {
        add.paused = true;
        add.peers = vec!["10.0.0.1:6881".parse().unwrap()];
    });
    world.seconds(60);
    assert_eq!((world.state(torrent), world.status(torrent).pieces_verified), (TorrentState::Paused, 1));
    assert!(world.dials().is_empty() && world.announces().is_empty());
    assert_eq!(world.disk(|disk| disk.count(Job::Prepare)), 0);
    world.does(Command::Resume(torrent));
    assert_eq!((world.dials().len(), world.announces().len()), (1, 1));
}

#[test]
fn pausing_gives_up_what_was_begun_but_not_what_the_disk_has() {
    let (world, content, torrent, _) = at(Moment::Storing);
    world.does(Command::Pause(torrent));
    world.disk_catches_up();
    assert_eq!(world.status(torrent).pieces_verified, 1);
    world.does(Command::Resume(torrent));
    completes(&world, &content);
}

#[test]
fn the_last_piece_may_be_stored_while_paused() {
    let content = Content::tracked(BLOCK as usize, BLOCK, &[&[TRACKER]]);
    let world = World::new();
    let torrent = world.leeches(&content);
    world.tracker_answers(TRACKER, &[]);
    let seed = world.seed_joins(&content, "10.0.0.1:5000");
    seed.says(Message::Unchoke);
    world.disk_holds();
    seed.sends(&content, &seed.hears_requests());
    world.does(Command::Pause(torrent));
    everything_ends(&world);
    assert_eq!((world.state(torrent), world.status(torrent).pieces_verified), (TorrentState::Paused, 1));
    world.does(Command::Resume(torrent));
    assert_eq!(world.state(torrent), TorrentState::Seeding);
    assert_eq!(world.count_events(|event| *event == Event::Finished { torrent }), 1);
}

#[test]
fn the_same_torrent_is_added_once() {
    let (world, content) = (World::new(), content());
    let torrent = world.leeches(&content);
    let again = rustor_core::command::AddTorrent::new(content.metainfo(), "elsewhere");
    assert_eq!(world.command(Command::Add(Box::new(again.clone()))), Err(CommandError::AlreadyAdded(torrent)));
    world.does(Command::ShutDown);
    assert_eq!(world.command(Command::Add(Box::new(again))), Err(CommandError::ShuttingDown));
}

#[test]
fn commands_for_a_torrent_that_is_gone_are_refused() {
    let (world, content) = (World::new(), content());
    let torrent = world.leeches(&content);
    world.does(Command::Remove { torrent, delete_data: false });
    everything_ends(&world);
    for command in [
        Command::Pause(torrent),
        Command::Resume(torrent),
        Command::Recheck(torrent),
        Command::Announce(torrent),
        Command::AddPeers { torrent, peers: Vec::new() },
        Command::Remove { torrent, delete_data: true },
    ] {
        assert_eq!(world.command(command), Err(CommandError::NoSuchTorrent));
    }
}

#[test]
fn a_tracker_that_never_answers_holds_up_the_end_for_some_seconds_only() {
    let (world, content) = (World::new(), content());
    let torrent = world.leeches(&content);
    world.tracker_answers(TRACKER, &[]);
    world.does(Command::Remove { torrent, delete_data: false });
    assert_eq!(world.announces()[0].event(), Some("stopped"));
    assert_eq!(removed(&world, torrent), 0);
    world.seconds(11);
    assert_eq!(removed(&world, torrent), 1);
    // Its answer comes in the end.
    world.tracker_answers(TRACKER, &["10.0.0.1:6881"]);
    assert!(world.dials().is_empty());
}

#[test]
fn a_disk_that_is_slow_to_close_is_asked_for_nothing_more() {
    let (world, _, torrent, _) = at(Moment::Storing);
    world.does(Command::Remove { torrent, delete_data: true });
    while !world.jobs().iter().any(|job| job.is_like(Job::Close { forget: true, delete: true })) {
        world.disk_does(0);
    }
    world.seconds(600);
    assert_eq!(world.jobs(), [Job::Close { forget: true, delete: true }]);
    world.disk_catches_up();
    assert_eq!(removed(&world, torrent), 1);
}

#[test]
fn an_empty_engine_shuts_down_at_once() {
    let world = World::new();
    world.does(Command::ShutDown);
    assert_eq!(world.events(), [Event::ShutDown]);
}

#[test]
fn a_shutdown_with_a_store_under_way_saves_what_it_brought() {
    let (world, content, torrent, _) = at(Moment::Storing);
    world.does(Command::ShutDown);
    everything_ends(&world);
    assert_eq!(removed(&world, torrent), 1);
    let resume = world.disk(|disk| disk.resume.get("folder").cloned());
    let files = world.disk(|disk| std::mem::take(&mut disk.files));
    let next = World::new();
    next.disk(|disk| disk.files = files);
    let torrent = next.adds(&content, |add| add.resume = resume);
    assert_eq!(next.status(torrent).pieces_verified, 1);
    assert_eq!(next.disk(|disk| disk.count(Job::Verify(0))), 0, "nothing has to be hashed again");
}

#[test]
fn peers_are_told_nothing_after_a_removal() {
    let (world, _, torrent, peer) = at(Moment::Downloading);
    let peer = peer.unwrap();
    world.does(Command::Remove { torrent, delete_data: false });
    assert_eq!(peer.reason(), Some(CloseReason::TorrentStopped));
    everything_ends(&world);
    assert_eq!(world.count_events(|event| matches!(event, Event::PeerDisconnected { .. })), 1);
}
