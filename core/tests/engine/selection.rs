//! What the owner wants is fetched, in the order that they want, and nothing else: also after a change of mind.

use crate::{
    BLOCK,
    support::{Content, Job, Peer, World, only},
};
use proptest::prelude::*;
use rustor_core::{
    choices::{Choices, Priority},
    command::Command,
    event::Event,
    id::TorrentId,
    status::TorrentState,
    wire::{Block, Message},
};
use std::collections::BTreeSet;

const SEED: &str = "10.0.0.1:5000";

/// Pieces of two blocks: `a` holds 0 to 2, `b` 2 to 4, `c` 4 and 5; files meet in 2 and 4.
fn content() -> Content {
    Content::files(&[("a", 5 * BLOCK as usize), ("b", 4 * BLOCK as usize), ("c", 3 * BLOCK as usize), ("none", 0)], 2 * BLOCK)
}

/// A seed that lets us have everything.
fn seed(world: &World, content: &Content) -> Peer {
    let seed = world.seed_joins(content, SEED);
    seed.says(Message::Unchoke);
    seed
}

fn pieces(blocks: &[Block]) -> BTreeSet<u32> {
    blocks.iter().map(|block| block.piece).collect()
}

/// Lets a seed send all that is asked of it; the pieces that were asked for.
fn serve_all(seed: &Peer, content: &Content) -> BTreeSet<u32> {
    let mut asked = BTreeSet::new();
    loop {
        let requests = seed.hears_requests();
        if requests.is_empty() {
            return asked;
        }
        asked.extend(pieces(&requests));
        seed.sends(content, &requests);
    }
}

fn finished(world: &World, torrent: TorrentId) -> usize {
    world.count_events(|event| *event == Event::Finished { torrent })
}

fn names(world: &World) -> Vec<String> {
    world.disk(|disk| disk.files.keys().cloned().collect())
}

/// The content of a file, by its name.
fn bytes(content: &Content, name: &str) -> Vec<u8> {
    let place = content.layout.files().iter().position(|file| file.path.last().unwrap() == name).unwrap() as u32;
    content.data[content.layout.start_of(place) as usize..content.layout.start_of(place + 1) as usize].to_vec()
}

#[test]
fn only_pieces_with_bytes_of_wanted_files_are_fetched_and_only_wanted_files_appear() {
    let content = content();
    let world = World::new();
    let torrent = world.adds(&content, |add| add.choices = only(&[1]));
    let seed = seed(&world, &content);
    assert_eq!(serve_all(&seed, &content), [2, 3, 4].into());
    assert_eq!((finished(&world, torrent), world.state(torrent)), (1, TorrentState::Seeding));
    let parts = format!("folder/.{}.parts", content.info_hash());
    assert_eq!(names(&world), [parts, "folder/folder/b".into()]);
    assert_eq!(world.disk(|disk| disk.files["folder/folder/b"].data.clone()), bytes(&content, "b"));
    let status = world.status(torrent);
    assert_eq!((status.wanted, status.wanted_verified), (6 * u64::from(BLOCK), 6 * u64::from(BLOCK)));
    assert_eq!((status.total, status.verified), (12 * u64::from(BLOCK), 6 * u64::from(BLOCK)));
    assert!(seed.is_closed(), "neither side wants anything");
}

#[test]
fn a_change_of_mind_fetches_the_rest_and_leaves_no_trace_of_the_first() {
    let content = content();
    let world = World::new();
    let torrent = world.adds(&content, |add| add.choices = only(&[1]));
    serve_all(&seed(&world, &content), &content);
    world.chooses(torrent, |choices| *choices = Choices::default());
    assert_eq!(world.state(torrent), TorrentState::Downloading);
    let again = world.seed_joins(&content, "10.0.0.2:5000");
    again.says(Message::Unchoke);
    assert_eq!(serve_all(&again, &content), [0, 1, 5].into(), "what is there is not fetched again");
    assert_eq!((finished(&world, torrent), world.state(torrent)), (2, TorrentState::Seeding));
    assert!(world.disk(|disk| disk.holds("folder", &content)));
    assert_eq!(names(&world).len(), 4, "the part file is gone");
}

#[test]
fn what_ceases_to_be_wanted_is_cancelled_and_asked_for_no_more() {
    let content = content();
    let world = World::new();
    let torrent = world.leeches(&content);
    let seed = seed(&world, &content);
    let asked = seed.hears_requests();
    assert_eq!(pieces(&asked).len(), 6);
    world.wants(torrent, &[0]);
    assert_eq!(pieces(&seed.hears_cancels()), [3, 4, 5].into());
    // They may come all the same.
    seed.sends(&content, &asked);
    serve_all(&seed, &content);
    assert_eq!((finished(&world, torrent), world.state(torrent)), (1, TorrentState::Seeding));
    assert_eq!(names(&world).iter().filter(|name| !name.contains("parts")).count(), 2, "{:?}", names(&world));
    assert!(names(&world).contains(&"folder/folder/none".into()), "an empty file that was wanted once is there");
}

#[test]
fn blocks_that_came_of_pieces_that_nobody_wants_any_more_are_not_held() {
    let content = content();
    let world = World::with(|config| config.block_budget = 1);
    let torrent = world.leeches(&content);
    let seed = seed(&world, &content);
    let asked = seed.hears_requests();
    let first = asked.iter().find(|block| block.piece == 5).unwrap();
    seed.sends(&content, &[*first]);
    world.wants(torrent, &[0]);
    let rest: Vec<Block> = asked.iter().filter(|block| *block != first).copied().collect();
    seed.sends(&content, &rest);
    serve_all(&seed, &content);
    assert_eq!(world.state(torrent), TorrentState::Seeding);
    world.chooses(torrent, |choices| *choices = Choices::default());
    let again = world.seed_joins(&content, "10.0.0.2:5000");
    again.says(Message::Unchoke);
    assert!(serve_all(&again, &content).contains(&5));
    assert!(world.disk(|disk| disk.holds("folder", &content)));
}

#[test]
fn interest_is_about_wanted_pieces() {
    let content = content();
    let world = World::new();
    let torrent = world.adds(&content, |add| add.choices = only(&[0]));
    let peer = world.joins(&content, SEED);
    peer.says(content.bitfield([4, 5]));
    assert!(!peer.heard(&Message::Interested));
    peer.says(Message::Have(3));
    assert!(!peer.heard(&Message::Interested));
    peer.says(Message::Have(1));
    assert!(peer.heard(&Message::Interested));
    world.wants(torrent, &[2]);
    world.wants(torrent, &[]);
    assert!(peer.heard(&Message::NotInterested));
    world.wants(torrent, &[2]);
    assert!(peer.heard(&Message::Interested));
    peer.says(Message::Unchoke);
    assert_eq!(serve_all(&peer, &content), [4, 5].into());
    world.seconds(1);
    assert!(peer.heard(&Message::NotInterested));
    assert!(!peer.is_closed(), "it may want something of ours");
}

#[test]
fn who_wants_nothing_is_finished_and_asks_for_nothing() {
    let content = content();
    let world = World::new();
    let torrent = world.adds(&content, |add| add.choices = only(&[]));
    assert_eq!((finished(&world, torrent), world.state(torrent)), (1, TorrentState::Seeding));
    let peer = world.joins(&content, SEED);
    peer.says_all([content.bitfield([0, 1]), Message::Unchoke]);
    assert!(peer.hears_requests().is_empty() && names(&world).is_empty());
}

#[test]
fn what_is_there_already_counts_and_unwanted_files_are_left_alone() {
    let content = content();
    let world = World::new();
    world.has(&content, [2, 3, 4]);
    let before = world.disk(|disk| disk.files.clone());
    let torrent = world.adds(&content, |add| add.choices = only(&[1]));
    assert_eq!((finished(&world, torrent), world.state(torrent)), (1, TorrentState::Seeding));
    assert_eq!(world.disk(|disk| disk.files.clone()), before);
}

#[test]
fn more_wanted_files_come_first_and_less_wanted_ones_last() {
    let content = Content::files(&[("low", 8 * BLOCK as usize), ("normal", 8 * BLOCK as usize), ("high", 8 * BLOCK as usize)], BLOCK);
    let world = World::with(|config| config.request_initial = 4);
    world.adds(&content, |add| add.choices.files = [(0, Priority::Low), (2, Priority::High)].into());
    let seed = seed(&world, &content);
    let mut order = Vec::new();
    loop {
        let requests = seed.hears_requests();
        if requests.is_empty() {
            break;
        }
        order.extend(requests.iter().map(|block| block.piece));
        seed.sends(&content, &requests[..1]);
        requests[1..].iter().for_each(|block| seed.sends(&content, &[*block]));
    }
    let file = |range: &[u32]| range.iter().map(|piece| piece / 8).collect::<BTreeSet<_>>();
    assert_eq!((file(&order[..8]), file(&order[8..16]), file(&order[16..24])), ([2].into(), [1].into(), [0].into()));
}

#[test]
fn sequential_downloads_come_in_order_and_the_ends_of_files_first_if_wanted() {
    let content = Content::files(&[("a", 10 * BLOCK as usize), ("b", 10 * BLOCK as usize)], BLOCK);
    for (first_and_last, expected) in [(false, [0, 1, 2, 3, 4, 5]), (true, [0, 9, 10, 19, 1, 2])] {
        let world = World::with(|config| config.request_initial = 6);
        world.adds(&content, |add| (add.choices.sequential, add.choices.first_and_last) = (true, first_and_last));
        let requests = seed(&world, &content).hears_requests();
        assert_eq!(requests.iter().map(|block| block.piece).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_partial_seed_says_so_and_says_completed_only_once_it_has_everything() {
    let url = "http://t/announce";
    let content = Content::files_tracked(&[("a", 3 * BLOCK as usize), ("b", 3 * BLOCK as usize)], BLOCK, url);
    let world = World::new();
    let torrent = world.adds(&content, |add| add.choices = only(&[0]));
    assert_eq!(world.announced(url).event(), Some("started"));
    serve_all(&seed(&world, &content), &content);
    world.seconds(600);
    let announce = world.announced(url);
    assert_eq!((announce.event(), announce.number("left")), (Some("paused"), 3 * u64::from(BLOCK)));
    world.seconds(100);
    assert!(world.announces().is_empty(), "once is enough");
    world.chooses(torrent, |choices| *choices = Choices::default());
    world.seconds(600);
    assert_eq!(world.announced(url).event(), None);
    let again = world.seed_joins(&content, "10.0.0.2:5000");
    again.says(Message::Unchoke);
    serve_all(&again, &content);
    let announce = world.announced(url);
    assert_eq!((announce.event(), announce.number("left")), (Some("completed"), 0));
}

#[test]
fn seeds_that_were_of_no_use_are_tried_again_when_more_is_wanted() {
    let content = content();
    let world = World::new();
    let torrent = world.adds(&content, |add| {
        add.choices = only(&[1]);
        add.peers = vec!["10.0.0.1:6881".parse().unwrap()];
    });
    let seed = world.answers("10.0.0.1:6881");
    seed.shakes_hands(&content);
    seed.has_all(&content);
    seed.says(Message::Unchoke);
    serve_all(&seed, &content);
    assert!(seed.is_closed());
    world.seconds(3600);
    assert!(world.dials().is_empty());
    world.wants(torrent, &[0, 1]);
    assert_eq!(world.dials(), ["10.0.0.1:6881".parse().unwrap()]);
}

#[test]
fn a_choice_made_while_the_disk_is_busy_is_told_to_it_next() {
    let content = content();
    let world = World::new();
    world.disk_holds();
    let torrent = world.leeches(&content);
    world.disk_does_next(Job::Open);
    assert_eq!(world.jobs(), [Job::Prepare]);
    world.wants(torrent, &[0]);
    world.wants(torrent, &[2]);
    assert_eq!(world.jobs(), [Job::Prepare], "one at a time");
    world.disk_does(0);
    assert_eq!(world.jobs(), [Job::Prepare]);
    assert_eq!(world.state(torrent), TorrentState::Downloading);
    world.disk_catches_up();
    serve_all(&seed(&world, &content), &content);
    assert_eq!((finished(&world, torrent), world.state(torrent)), (1, TorrentState::Seeding));
    assert!(names(&world).contains(&"folder/folder/c".into()) && !names(&world).contains(&"folder/folder/a".into()));
}

#[test]
fn a_choice_made_while_paused_counts_when_it_goes_on() {
    let content = content();
    let world = World::new();
    let torrent = world.adds(&content, |add| add.paused = true);
    world.wants(torrent, &[1]);
    world.does(Command::Resume(torrent));
    assert_eq!(serve_all(&seed(&world, &content), &content), [2, 3, 4].into());
}

#[test]
fn a_disk_that_is_full_for_the_part_file_fails_the_torrent_and_later_it_goes_on() {
    let content = content();
    let world = World::new();
    let torrent = world.adds(&content, |add| add.choices = only(&[1]));
    world.disk_fails(Job::Store(0));
    serve_all(&seed(&world, &content), &content);
    assert_eq!(world.state(torrent), TorrentState::Failed);
    world.disk_works();
    world.does(Command::Resume(torrent));
    let again = world.seed_joins(&content, "10.0.0.2:5000");
    again.says(Message::Unchoke);
    serve_all(&again, &content);
    assert_eq!(world.state(torrent), TorrentState::Seeding);
}

#[test]
fn files_tell_how_much_of_them_is_there() {
    let content = content();
    let world = World::new();
    world.has(&content, [2, 5]);
    let torrent = world.adds(&content, |add| add.choices = only(&[1]));
    let told: Vec<_> =
        world.files(torrent).into_iter().map(|file| (file.place, file.path.join("/"), file.length, file.verified, file.priority)).collect();
    let block = u64::from(BLOCK);
    assert_eq!(
        told,
        [
            (0, "folder/a".to_owned(), 5 * block, block, Priority::Skip),
            (1, "folder/b".to_owned(), 4 * block, block, Priority::Normal),
            (2, "folder/c".to_owned(), 3 * block, 2 * block, Priority::Skip),
            (3, "folder/none".to_owned(), 0, 0, Priority::Skip),
        ]
    );
}

#[test]
fn uploads_come_out_of_the_part_file_too() {
    let content = content();
    let world = World::new();
    world.adds(&content, |add| add.choices = only(&[1]));
    serve_all(&seed(&world, &content), &content);
    let leecher = world.joins(&content, "10.0.0.3:5000");
    leecher.says_all([content.bitfield([]), Message::Interested]);
    assert!(leecher.heard(&Message::Unchoke));
    let block = content.blocks(2)[0];
    leecher.says(Message::Request(block));
    let sent = leecher.hears().into_iter().find(|message| matches!(message, Message::Piece { .. }));
    assert_eq!(sent, Some(content.message(block)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn for_any_choices_wanted_files_are_right_and_others_do_not_exist(
        lengths in prop::collection::vec(0usize..80_000, 1..7),
        piece_length in prop_oneof![Just(16384u32), 20_000u32..60_000, Just(65536)],
        choices in prop::collection::vec((any::<u8>(), any::<bool>()), 1..4),
    ) {
        let names: Vec<String> = (0..lengths.len()).map(|number| number.to_string()).collect();
        let files: Vec<(&str, usize)> = names.iter().zip(&lengths).map(|(name, length)| (name.as_str(), *length)).collect();
        let content = Content::files(&files, piece_length);
        let world = World::new();
        let mut ever = BTreeSet::new();
        let torrent = world.adds(&content, |add| add.choices = only(&[]));
        for (round, (bits, recheck)) in (0..).zip(choices) {
            let wanted: Vec<u32> = (0..files.len() as u32).filter(|file| bits >> file & 1 != 0).collect();
            ever.extend(wanted.iter().copied());
            if recheck {
                world.does(Command::Recheck(torrent));
            }
            world.wants(torrent, &wanted);
            let seed = world.seed_joins(&content, &format!("10.0.0.{}:5000", round + 1));
            seed.says(Message::Unchoke);
            serve_all(&seed, &content);
            prop_assert_eq!(world.state(torrent), TorrentState::Seeding);
            for (place, (name, length)) in (0..).zip(&files) {
                let found = world.disk(|disk| disk.files.get(&format!("folder/folder/{name}")).map(|file| file.data.clone()));
                if wanted.contains(&place) {
                    prop_assert_eq!(found, Some(bytes(&content, name)), "{} of {} bytes", name, length);
                } else if !ever.contains(&place) {
                    prop_assert_eq!(found, None);
                }
            }
            let needed = (0..files.len() as u32).any(|place| files[place as usize].1 > 0 && !ever.contains(&place));
            let parts = names_with_parts(&world);
            prop_assert!(parts <= usize::from(needed), "{:?}", self::names(&world));
            for file in world.files(torrent) {
                if wanted.contains(&file.place) {
                    prop_assert_eq!(file.verified, file.length);
                }
            }
        }
    }
}

fn names_with_parts(world: &World) -> usize {
    names(world).iter().filter(|name| name.ends_with(".parts")).count()
}
