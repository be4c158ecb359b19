//! Rate limits between real engines, over links that would carry more.

use rustor_core::{choices::RateLimits, config::Config};
use rustor_sim::{Link, Payload, World};

fn limited(rates: RateLimits) -> Config {
    let mut config = Config::default();
    config.limits.rates = rates;
    config
}

#[track_caller]
fn within_five_percent(actual: u64, expected: u64) {
    assert!(actual.abs_diff(expected) * 20 <= expected, "{actual} instead of {expected}");
}

#[test]
fn a_download_from_many_keeps_its_limit() {
    for rate in [20_000, 400_000] {
        let payload = Payload::new("file", 10_000_000, 65_536, 1);
        let mut world = World::new(1);
        let seeds: Vec<_> = (0..5).map(|_| world.node(Link::default())).collect();
        let leecher = world.node_with(Link::default(), limited(RateLimits { download: Some(rate), upload: None }));
        for seed in &seeds {
            world.add_seed(*seed, &payload);
        }
        let addresses: Vec<_> = seeds.iter().map(|seed| world.address(*seed)).collect();
        world.add(leecher, &payload, &addresses);
        world.run_until(|_| false, 5);
        let before = world.engine(leecher).torrents()[0].downloaded;
        world.run_until(|_| false, 20);
        // Blocks count once they are whole; so there may be one more or less of each seed.
        let came = world.engine(leecher).torrents()[0].downloaded - before;
        assert!(came.abs_diff(20 * rate) <= 20 * rate / 20 + 5 * 16_384, "{came} instead of {}", 20 * rate);
    }
}

#[test]
fn an_upload_to_many_keeps_its_limit_and_they_complete() {
    let payload = Payload::new("file", 3_000_000, 65_536, 1);
    let mut world = World::new(2);
    let seed = world.node_with(Link::default(), limited(RateLimits { download: None, upload: Some(200_000) }));
    let leechers: Vec<_> = (0..4).map(|_| world.node(Link::default())).collect();
    world.add_seed(seed, &payload);
    let addresses: Vec<_> = leechers.iter().chain([&seed]).map(|node| world.address(*node)).collect();
    for leecher in &leechers {
        world.add(*leecher, &payload, &addresses);
    }
    world.run_until(|_| false, 2);
    let before = world.engine(seed).torrents()[0].uploaded;
    world.run_until(|_| false, 10);
    within_five_percent(world.engine(seed).torrents()[0].uploaded - before, 2_000_000);
    assert!(world.run_until(|world| leechers.iter().all(|leecher| world.is_complete(*leecher, &payload)), 60));
}
