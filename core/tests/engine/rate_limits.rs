//! Rate limits: of the whole engine and of each torrent, both ways, exact over ten seconds, fair, and without harm to anyone.

use crate::{
    BLOCK,
    support::{Content, Peer, World},
};
use rustor_core::{
    choices::{Choices, RateLimits},
    command::{Command, TorrentSource},
    config::Limits,
    id::TorrentId,
    metainfo::Metainfo,
    time::Duration,
    wire::{Block, Message},
};

const STEP: Duration = Duration::from_millis(20);

fn content() -> Content {
    Content::new(400 * BLOCK as usize, 4 * BLOCK)
}

fn down(rate: u64) -> RateLimits {
    RateLimits { download: Some(rate), upload: None }
}

fn up(rate: u64) -> RateLimits {
    RateLimits { download: None, upload: Some(rate) }
}

fn limited(rates: RateLimits) -> World {
    World::with(|config| config.limits.rates = rates)
}

fn sets(world: &World, rates: RateLimits) {
    world.does(Command::SetLimits(Limits { rates, ..Limits::default() }));
}

fn chooses(world: &World, torrent: TorrentId, rates: RateLimits) {
    world.does(Command::Choose { torrent, choices: Choices { rates, ..Choices::default() }.into() });
}

/// Peers that have everything and send whatever is asked of them, as fast as they are read.
fn seeds(world: &World, content: &Content, network: u8, count: usize) -> Vec<Peer> {
    let seeds = (0..count).map(|number| {
        let seed = world.seed_joins(content, &format!("10.0.{network}.{}:5000", number + 1));
        seed.says(Message::Unchoke);
        seed
    });
    seeds.collect()
}

/// Peers that keep asking for more, as fast as they are served.
fn leechers(world: &World, content: &Content, network: u8, count: usize) -> Vec<Peer> {
    let leechers = (0..count).map(|number| {
        let leecher = world.joins(content, &format!("10.0.{network}.{}:5000", number + 1));
        leecher.says(Message::Interested);
        leecher.says_all(requests(content).take(50));
        leecher
    });
    leechers.collect()
}

fn requests(content: &Content) -> impl Iterator<Item = Message> {
    let blocks: Vec<Block> = (0..content.pieces()).flat_map(|piece| content.blocks(piece)).collect();
    blocks.into_iter().cycle().map(Message::Request)
}

/// Lets seeds send for so long.
fn send(world: &World, content: &Content, seeds: &[&[Peer]], duration: Duration) {
    for _ in 0..duration.as_micros() / STEP.as_micros() {
        for seed in seeds.iter().copied().flatten() {
            seed.sends(content, &seed.hears_requests());
        }
        world.passes(STEP);
    }
}

/// Lets leechers ask for so long.
fn ask(world: &World, content: &Content, leechers: &[&[Peer]], duration: Duration) {
    for _ in 0..duration.as_micros() / STEP.as_micros() {
        for leecher in leechers.iter().copied().flatten() {
            let came = leecher.hears_blocks().len();
            if came > 0 {
                leecher.says_all(requests(content).take(came));
            }
        }
        world.passes(STEP);
    }
}

fn read(peers: &[Peer]) -> u64 {
    peers.iter().map(|peer| peer.read_bytes() as u64).sum()
}

fn heard(peers: &[Peer]) -> u64 {
    peers.iter().map(|peer| peer.heard_bytes() as u64).sum()
}

const TEN: Duration = Duration::from_secs(10);

#[track_caller]
fn within(percent: u64, actual: u64, expected: u64) {
    assert!(actual.abs_diff(expected) * 100 <= expected * percent, "{actual} instead of {expected}");
}

#[test]
fn downloads_keep_the_limit_within_five_percent_over_ten_seconds() {
    for (rate, peers) in [(200_000, 1), (150_000, 20), (5_000, 1), (5_000, 20)] {
        let (world, content) = (limited(down(rate)), content());
        world.leeches(&content);
        let seeds = seeds(&world, &content, 0, peers);
        let mut before = 0;
        for window in 0..2 {
            send(&world, &content, &[&seeds], TEN);
            println!("{rate} bytes a second from {peers} peers, ten seconds number {window}");
            within(5, read(&seeds) - before, 10 * rate);
            before = read(&seeds);
        }
    }
}

#[test]
fn uploads_keep_the_limit_within_five_percent_over_ten_seconds() {
    for (rate, peers) in [(200_000, 1), (200_000, 20), (5_000, 1), (5_000, 20)] {
        let (world, content) = (World::with(|config| (config.limits.rates, config.limits.upload_slots) = (up(rate), 20)), content());
        world.seeds(&content);
        let leechers = leechers(&world, &content, 0, peers);
        let mut before = 0;
        for window in 0..2 {
            ask(&world, &content, &[&leechers], TEN);
            println!("{rate} bytes a second to {peers} peers, ten seconds number {window}");
            let heard = heard(&leechers) - before;
            // Blocks go whole: there may be one more or less.
            if heard.abs_diff(10 * rate) > u64::from(BLOCK) + 13 {
                within(5, heard, 10 * rate);
            }
            before += heard;
        }
    }
}

#[test]
fn peers_that_all_wake_at_once_do_not_break_the_limit() {
    let (world, content) = (limited(down(50_000)), content());
    world.leeches(&content);
    let seeds: Vec<_> = (1..=20).map(|number| world.seed_joins(&content, &format!("10.0.0.{number}:5000"))).collect();
    world.seconds(30);
    let before = read(&seeds);
    seeds.iter().for_each(|seed| seed.says(Message::Unchoke));
    send(&world, &content, &[&seeds], TEN);
    within(5, read(&seeds) - before, 500_000);
}

#[test]
fn a_huge_limit_is_none() {
    let (world, content) = (limited(RateLimits { download: Some(u64::MAX), upload: Some(1 << 40) }), content());
    let torrent = world.leeches(&content);
    let seeds = seeds(&world, &content, 0, 2);
    send(&world, &content, &[&seeds], Duration::from_secs(2));
    assert_eq!(world.status(torrent).pieces_verified, content.pieces());
    let leechers = leechers(&world, &content, 1, 2);
    ask(&world, &content, &[&leechers], Duration::from_secs(1));
    assert!(heard(&leechers) > 2_000_000, "{}", heard(&leechers));
}

#[test]
fn a_torrent_keeps_its_own_limit_and_the_others_have_the_rest() {
    let (world, one, two) = (limited(down(100_000)), content(), Content::new(390 * BLOCK as usize, 4 * BLOCK));
    let limited = world.leeches(&one);
    world.adds(&two, |add| add.folder = "other".to_owned());
    chooses(&world, limited, down(30_000));
    let (of_one, of_two) = (seeds(&world, &one, 1, 5), seeds(&world, &two, 2, 5));
    let before = (read(&of_one), read(&of_two));
    for _ in 0..500 {
        for (seeds, content) in [(&of_one, &one), (&of_two, &two)] {
            seeds.iter().for_each(|seed| seed.sends(content, &seed.hears_requests()));
        }
        world.passes(STEP);
    }
    within(5, read(&of_one) - before.0, 300_000);
    within(5, read(&of_two) - before.1, 700_000);
}

#[test]
fn torrents_share_the_limit_whatever_the_number_of_their_peers() {
    let (world, one, two) = (limited(down(100_000)), content(), Content::new(390 * BLOCK as usize, 4 * BLOCK));
    world.leeches(&one);
    world.adds(&two, |add| add.folder = "other".to_owned());
    let (of_one, of_two) = (seeds(&world, &one, 1, 1), seeds(&world, &two, 2, 12));
    for _ in 0..1000 {
        for (seeds, content) in [(&of_one, &one), (&of_two, &two)] {
            seeds.iter().for_each(|seed| seed.sends(content, &seed.hears_requests()));
        }
        world.passes(STEP);
    }
    within(5, read(&of_one) + read(&of_two), 2_000_000);
    within(20, read(&of_one), 1_000_000);
}

#[test]
fn peers_of_a_torrent_share_its_limit() {
    let (world, content) = (World::with(|config| config.limits.upload_slots = 10), content());
    let torrent = world.seeds(&content);
    chooses(&world, torrent, up(100_000));
    let leechers = leechers(&world, &content, 0, 10);
    ask(&world, &content, &[&leechers], 2 * TEN);
    for leecher in &leechers {
        within(20, leecher.heard_bytes() as u64, 200_000);
    }
}

#[test]
fn nothing_but_blocks_waits_for_the_upload_limit() {
    let (world, content) = (limited(up(500)), content());
    world.has(&content, 0..50);
    world.leeches(&content);
    let leecher = leechers(&world, &content, 0, 1).remove(0);
    world.seconds(10);
    let newcomer = world.joins(&content, "10.0.9.1:5000");
    newcomer.says_all([content.bitfield(90..100), Message::Interested, Message::Unchoke]);
    let heard = newcomer.hears();
    assert!(heard.iter().any(|message| matches!(message, Message::Bitfield(_))) && heard.contains(&Message::Interested));
    assert!(heard.contains(&Message::Unchoke) && heard.iter().any(|message| matches!(message, Message::Request(_))));
    assert!(leecher.hears_blocks().len() <= 1);
}

#[test]
fn what_limits_hold_back_costs_no_connection_and_snubs_nobody() {
    let content = Content::new(900 * BLOCK as usize, 4 * BLOCK);
    let world = limited(RateLimits { download: Some(2_000), upload: Some(200) });
    world.has(&content, 0..50);
    let torrent = world.leeches(&content);
    let seeds = seeds(&world, &content, 0, 10);
    let leechers = leechers(&world, &content, 1, 3);
    for _ in 0..60 {
        send(&world, &content, &[&seeds], Duration::from_millis(200));
        leechers.iter().for_each(|leecher| leecher.says(Message::KeepAlive));
        world.passes(Duration::from_millis(14_800));
    }
    assert!(seeds.iter().chain(&leechers).all(|peer| !peer.is_closed()), "{:?}", world.events());
    assert!(seeds.iter().all(|seed| seed.hears_cancels().is_empty()));
    assert!(world.peers(torrent).iter().all(|peer| !peer.snubbed));
}

#[test]
fn limits_change_while_everything_runs() {
    let (world, content) = (limited(down(5_000)), content());
    let torrent = world.leeches(&content);
    let seeds = seeds(&world, &content, 0, 5);
    send(&world, &content, &[&seeds], TEN);
    let windows = [(down(50_000), 500_000), (down(10_000), 100_000), (down(100_000), 1_000_000)];
    for (rates, expected) in windows {
        sets(&world, rates);
        let before = read(&seeds);
        send(&world, &content, &[&seeds], TEN);
        within(5, read(&seeds) - before, expected);
    }
    chooses(&world, torrent, down(20_000));
    sets(&world, RateLimits::default());
    let before = read(&seeds);
    send(&world, &content, &[&seeds], TEN);
    within(5, read(&seeds) - before, 200_000);
    // Without any limit, nobody who waited goes on waiting.
    chooses(&world, torrent, RateLimits::default());
    assert!(seeds.iter().all(Peer::is_read) || world.status(torrent).pieces_verified > 100);
    send(&world, &content, &[&seeds], Duration::from_secs(2));
    assert_eq!(world.status(torrent).pieces_verified, content.pieces());
}

#[test]
fn raising_the_upload_limit_lets_whoever_waits_go_at_once() {
    let (world, content) = (limited(up(0)), content());
    world.seeds(&content);
    let leechers = leechers(&world, &content, 0, 3);
    world.seconds(5);
    assert!(leechers.iter().all(|leecher| leecher.hears_blocks().is_empty()));
    sets(&world, RateLimits::default());
    for leecher in &leechers {
        assert_eq!(leecher.hears_blocks().len(), 50);
    }
}

/// Eight peers that hold what we lack and lack what we hold, and give as fast as they are asked, as long as we let them ask.
fn traders(world: &World, content: &Content) -> Vec<Peer> {
    let traders = (1..=8).map(|number| {
        let trader = world.joins(content, &format!("10.0.0.{number}:5000"));
        trader.says_all([content.bitfield(50..100), Message::Interested, Message::Unchoke]);
        trader.says_all(requests(content).take(50));
        trader
    });
    traders.collect()
}

/// How many steps it takes until all has come from traders.
fn steps_of_trade(rates: RateLimits) -> u64 {
    let content = content();
    let world = World::with(|config| (config.limits.rates, config.limits.upload_slots) = (rates, 8));
    world.has(&content, 0..50);
    let torrent = world.leeches(&content);
    let traders = traders(&world, &content);
    for step in 0..1000 {
        if world.status(torrent).pieces_verified == content.pieces() {
            return step;
        }
        // What they send takes its time; meanwhile the limit is reached.
        traders.iter().for_each(|trader| trader.serves_some(&content, 1));
        world.passes(STEP * 5);
    }
    1000
}

#[test]
fn what_is_asked_of_peers_does_not_wait_for_our_upload_limit() {
    let unlimited = steps_of_trade(RateLimits::default());
    for rate in [0, 1_000, 5_000, 20_000, 50_000, 200_000] {
        let limited = steps_of_trade(up(rate));
        assert!(limited <= unlimited + 2, "{limited} steps instead of {unlimited} at {rate} bytes a second");
    }
}

#[test]
fn a_limit_that_falls_to_nothing_stops_no_download() {
    let content = content();
    let world = World::with(|config| (config.limits.rates, config.limits.upload_slots) = (up(100_000), 8));
    world.has(&content, 0..50);
    let torrent = world.leeches(&content);
    let traders = traders(&world, &content);
    world.passes(Duration::from_millis(600));
    sets(&world, up(0));
    for _ in 0..200 {
        traders.iter().for_each(|trader| trader.serves_some(&content, 2));
        world.passes(STEP);
    }
    assert_eq!(world.status(torrent).pieces_verified, content.pieces());
}

#[test]
fn blocks_go_whole_at_the_lowest_limits_and_keep_them() {
    for torrents_own in [false, true] {
        let content = content();
        let world = World::with(|config| config.limits.upload_slots = 4);
        let torrent = world.seeds(&content);
        if torrents_own {
            chooses(&world, torrent, up(1_000));
        } else {
            sets(&world, up(1_000));
        }
        let leechers = leechers(&world, &content, 0, 4);
        let head = 13;
        let mut blocks = [0; 4];
        let greetings: Vec<usize> = leechers.iter().map(Peer::heard_bytes).collect();
        for _ in 0..164 {
            world.seconds(1);
            for (leecher, (blocks, greeting)) in leechers.iter().zip(blocks.iter_mut().zip(&greetings)) {
                *blocks += leecher.hears_blocks().len();
                let rest = leecher.heard_bytes() - greeting - *blocks * (BLOCK as usize + head);
                // Keep-alives.
                assert!(rest <= 8, "{rest} bytes are no block");
                leecher.says(Message::KeepAlive);
            }
        }
        // One in 16.4 seconds, each peer in turn.
        assert!((9..=11).contains(&blocks.iter().sum::<usize>()), "{blocks:?}");
        assert!(blocks.iter().all(|blocks| (2..=3).contains(blocks)), "{blocks:?}");
    }
}

#[test]
fn long_blocks_keep_a_limit_too() {
    let content = Content::new(64 * BLOCK as usize, 16 * BLOCK);
    let world = limited(up(10_000));
    world.seeds(&content);
    let leecher = world.joins(&content, "10.0.0.1:5000");
    leecher.says(Message::Interested);
    leecher.says_all((0..4).map(|piece| Message::Request(Block { piece, offset: 0, length: 8 * BLOCK })));
    let mut at = Vec::new();
    for second in 0..60 {
        if !leecher.hears_blocks().is_empty() {
            at.push(second);
        }
        world.seconds(1);
    }
    // 128 KiB are 13 seconds' worth.
    assert_eq!(at, [1, 14, 27, 40]);
}

#[test]
fn a_choke_does_not_wait_for_the_limit() {
    let (world, content) = (World::with(|config| (config.limits.rates, config.limits.upload_slots) = (up(1_000), 1)), content());
    world.seeds(&content);
    let leecher = leechers(&world, &content, 0, 1).remove(0);
    let other = world.joins(&content, "10.0.9.1:5000");
    other.says(Message::Interested);
    // The slot goes to the other one within a minute.
    let unchoked = (0..60).find(|_| {
        world.seconds(1);
        other.heard(&Message::Unchoke)
    });
    assert!(unchoked.is_some());
    assert!(leecher.hears().contains(&Message::Choke));
}

#[test]
fn limits_wake_the_engine_seldom_and_not_at_all_where_nothing_goes_on() {
    let (world, content) = (limited(RateLimits { download: Some(200_000), upload: Some(200_000) }), content());
    world.leeches(&content);
    let seeds = seeds(&world, &content, 0, 20);
    let own = (TEN.as_micros() / STEP.as_micros()) as u32;
    let before = world.wakes();
    send(&world, &content, &[&seeds], TEN);
    let wakes = world.wakes() - before - own;
    assert!(wakes < 400, "{wakes} wakes in ten seconds");
    // Whoever has nothing to say does not wake anyone.
    let (world, content) = (limited(down(10_000)), self::content());
    world.seeds(&content);
    let _idle: Vec<_> = (1..=20).map(|number| world.joins(&content, &format!("10.0.0.{number}:5000"))).collect();
    world.seconds(2);
    let before = world.wakes();
    world.seconds(90);
    assert!(world.wakes() - before <= 5, "{} wakes", world.wakes() - before);
}

#[test]
fn slow_servers_do_not_pile_up_what_was_paid_for_and_comes_at_once() {
    let content = Content::new(4000 * BLOCK as usize, 4 * BLOCK);
    let world = World::with(|config| config.limits.rates = down(500_000));
    let urls = (0..4).map(|number| format!("http://{number}.example/file"));
    world.adds(&content, |add| add.source = TorrentSource::Metainfo(Metainfo { web_seeds: urls.collect(), ..content.metainfo() }));
    let downloads = world.downloads();
    assert_eq!(downloads.len(), 4);
    downloads.iter().for_each(|download| download.begins(&content.data));
    for _ in 0..10 {
        world.seconds(1);
        let awaited: u64 = downloads.iter().filter_map(|download| download.awaited()).map(u64::from).sum();
        // Half a second's worth, and a sixteenth for each of those that came later.
        assert!((250_000..=250_000 + 3 * 31_250).contains(&awaited), "{awaited} bytes");
    }
}
