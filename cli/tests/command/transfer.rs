//! Data on its way: downloads, seeding, trackers, and what happens when somebody ends it.
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::process::ExitStatusExt,
    thread,
};

use serde_json::Value;

use crate::{
    lab::{Lab, Running, assert_same, noise},
    peer::Peer,
};

pub(crate) const PIECE: usize = 16 << 10;
pub(crate) const LOOPBACK: [&str; 4] = ["--port", "0", "--listen", "127.0.0.1"];

pub(crate) fn seeder(lab: &Lab, torrent: &str, folder: &str) -> (Running, String) {
    let seeder = lab.start(&[&["seed", torrent, folder][..], &LOOPBACK].concat());
    let peer = format!("127.0.0.1:{}", seeder.port("seeding"));
    (seeder, peer)
}

pub(crate) fn download<'a>(torrent: &'a str, folder: &'a str, peer: &'a str) -> Vec<&'a str> {
    [&["download", torrent, "-o", folder, "--peer", peer][..], &LOOPBACK].concat()
}

#[test]
fn a_tree_goes_from_a_seeder_to_a_downloader() {
    let lab = Lab::new();
    lab.file("from/tree/cd 1/one.bin", &noise(300_000));
    lab.file("from/tree/cd 1/empty", b"");
    lab.file("from/tree/名前", &noise(1234));
    lab.succeed(&["create", "from/tree", "-o", "tree.torrent"]);
    let (seeder, peer) = seeder(&lab, "tree.torrent", "from");
    assert_eq!(lab.succeed(&download("tree.torrent", "to", &peer)), "to/tree\n");
    assert_same(&lab.path("from"), &lab.path("to"));
    // All is there: nobody is needed.
    seeder.signal("TERM");
    assert_eq!(seeder.end().0.code(), Some(0));
    lab.succeed(&download("tree.torrent", "to", &peer));
}

#[test]
fn peers_find_each_other_by_our_own_tracker_and_torrents_by_their_urls() {
    let lab = Lab::new();
    let tracker = lab.start(&["tracker", "--bind", "127.0.0.1:0"]);
    let url = tracker.result(|line| line.starts_with("http://"));
    let udp_url = tracker.result(|line| line.starts_with("udp://"));
    assert_eq!(url.trim_start_matches("http"), udp_url.trim_start_matches("udp"));
    lab.file("from/one", &noise(200_000));
    lab.file("from/two", &noise(300_000));
    lab.succeed(&["create", "from/one", "-o", "one.torrent", "-t", &url]);
    lab.succeed(&["create", "from/two", "-o", "two.torrent", "-t", &udp_url]);
    let (first, _) = seeder(&lab, "one.torrent", "from");
    let (second, _) = seeder(&lab, "two.torrent", "from");
    until_tracked(&url, 2);
    let two = serve(fs::read(lab.path("two.torrent")).unwrap());
    // Named twice is no more than named once.
    let paths = lab.succeed(&[&["download", "one.torrent", &two, "one.torrent", "-o", "to"][..], &LOOPBACK].concat());
    let mut paths: Vec<&str> = paths.lines().collect();
    paths.sort_unstable();
    assert_eq!(paths, ["to/one", "to/two"]);
    assert_same(&lab.path("from"), &lab.path("to"));
    drop((first, second));
    tracker.signal("INT");
    assert_eq!(tracker.end().0.code(), Some(0));
}

#[test]
fn a_recorded_download_is_replayed_and_explained() {
    let lab = Lab::new();
    lab.file("from/film", &noise(400_000));
    lab.succeed(&["create", "from/film", "-o", "film.torrent"]);
    let (_seeder, peer) = seeder(&lab, "film.torrent", "from");
    lab.succeed(&[&download("film.torrent", "to", &peer)[..], &["--record", "session"]].concat());
    let text = lab.succeed(&["replay", "session", "--events"]);
    assert!(text.contains("Finished") && text.contains("checkpoints agree"), "{text}");
    let entries = |arguments: &[&str]| {
        let told: Value = serde_json::from_str(&lab.succeed(&[&["replay", "session", "--json"], arguments].concat())).unwrap();
        told["entries"].as_u64().unwrap()
    };
    assert_eq!(entries(&["--at", "0"]), 0);
    assert!(entries(&[]) > 50);
    // A recording that was cut off goes as far as it goes; one that was changed does not go unnoticed.
    let whole = fs::read(lab.path("session")).unwrap();
    lab.file("short", &whole[..whole.len() - 30]);
    lab.succeed(&["replay", "short"]);
    let mut other = whole.clone();
    *other.last_mut().unwrap() ^= 1;
    lab.file("other", &other);
    lab.run(&["replay", "other"]).is_one_line(1, "went another way");
    lab.run(&["replay", "film.torrent"]).is_one_line(1, "not a recording");
}

#[test]
fn a_masked_recording_knows_no_passkey_and_replays_the_same() {
    let lab = Lab::new();
    lab.file("from/film", &noise(400_000));
    lab.succeed(&["create", "from/film", "-o", "film.torrent", "--tracker", "http://127.0.0.1:9/secretpasskey/announce"]);
    let (_seeder, peer) = seeder(&lab, "film.torrent", "from");
    lab.succeed(&[&download("film.torrent", "to", &peer)[..], &["--record", "session", "--mask-addresses"]].concat());
    let recording = fs::read(lab.path("session")).unwrap();
    assert!(recording.windows(6).any(|window| window == b"masked") && !recording.windows(6).any(|window| window == b"secret"));
    let text = lab.succeed(&["replay", "session", "--events"]);
    assert!(text.contains("Finished") && text.contains("checkpoints agree"), "{text}");
    // Without a recording there is nothing to mask.
    assert_eq!(lab.run(&["download", "film.torrent", "--mask-addresses"]).code, Some(2));
}

/// Waits until the tracker knows so many peers.
pub(crate) fn until_tracked(url: &str, peers: usize) {
    let address = url.trim_start_matches("http://").trim_end_matches("/announce");
    loop {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /stats HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        if answer.contains(&format!("\"peers\":{peers}}}")) {
            return;
        }
        thread::yield_now();
    }
}

/// Serves one file over HTTP; returns its URL.
fn serve(content: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/a.torrent", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 4096]);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", content.len());
            let _ = stream.write_all(&[head.as_bytes(), &content].concat());
        }
    });
    url
}

#[test]
fn one_torrent_that_fails_does_not_stop_the_others() {
    let lab = Lab::new();
    lab.file("from/film", &noise(100_000));
    lab.succeed(&["create", "from/film", "-o", "film.torrent"]);
    lab.file("bad.torrent", b"<html>");
    let (_seeder, peer) = seeder(&lab, "film.torrent", "from");
    let mut arguments = download("bad.torrent", "to", &peer);
    arguments.push("film.torrent");
    let outcome = lab.run(&arguments);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.contains("bad.torrent") && outcome.stdout.contains("to/film"), "{outcome:?}");
    assert_same(&lab.path("from"), &lab.path("to"));
}

#[test]
fn a_torrent_of_nothing_is_done_at_once() {
    let lab = Lab::new();
    lab.file("x.torrent", b"d4:infod5:filesld6:lengthi0e4:pathl1:aeee4:name1:x12:piece lengthi16384e6:pieces0:ee");
    lab.succeed(&[&["download", "x.torrent", "-o", "to"][..], &LOOPBACK].concat());
    assert_eq!(fs::read(lab.path("to/x/a")).unwrap(), b"");
    lab.succeed(&["verify", "x.torrent", "to"]);
}

#[test]
fn programs_are_told_in_json() {
    let lab = Lab::new();
    let data = film(&lab);
    let peer = Peer::new(data, PIECE, u64::MAX).address.to_string();
    let lines = lab.succeed(&[&download("film.torrent", "to", &peer)[..], &["--json"]].concat());
    let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!((&last["event"], &last["name"], &last["path"]), (&"finished".into(), &"film".into(), &"to/film".into()));
    assert!(lines.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
}

#[test]
fn programs_are_told_of_seeding_in_json() {
    let lab = Lab::new();
    film(&lab);
    let json = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    let link = lab.succeed(&["magnet", "film.torrent"]);
    let options = ["--json", "--seed-ratio", "1"];
    let first = lab.start(&[&["seed", "film.torrent", "from"][..], &options, &LOOPBACK].concat());
    let seeding = json(&first.result(|line| json(line)["event"] == "seeding"));
    assert_eq!(seeding["name"], "film");
    let address = seeding["listening"][0].as_str().unwrap().to_owned();
    first.result(|line| json(line)["state"] == "seeding");

    let linked = lab.start(&[&["seed", link.trim(), "from", "--json", "--peer", &address][..], &LOOPBACK].concat());
    let metadata = json(&linked.result(|line| json(line)["event"] == "metadata"));
    assert_eq!((&metadata["info_hash"], &metadata["files"]), (&seeding["info_hash"], &1.into()));
    linked.result(|line| json(line)["event"] == "seeding");

    lab.succeed(&download("film.torrent", "to", &address));
    let goal = json(&first.result(|line| json(line)["event"] == "goal_reached"));
    assert!(goal["uploaded"].as_u64() >= Some(fs::metadata(lab.path("from/film")).unwrap().len()));
    assert_eq!(first.end().0.code(), Some(0));

    fs::write(lab.path("from/film"), "too short").unwrap();
    let refused = lab.run(&[&["seed", "film.torrent", "from", "--json"][..], &LOOPBACK].concat());
    assert_eq!((refused.code, &json(refused.stdout.trim())["event"]), (Some(3), &"failed".into()));
}

#[test]
fn a_super_seed_without_peer_exchange_and_local_discovery_serves_all_the_same() {
    let lab = Lab::new();
    film(&lab);
    let alone = ["--no-pex", "--no-lsd"];
    let seeder = lab.start(&[&["seed", "film.torrent", "from", "--super-seed"][..], &alone, &LOOPBACK].concat());
    let peer = format!("127.0.0.1:{}", seeder.port("seeding"));
    lab.succeed(&[&download("film.torrent", "to", &peer)[..], &alone].concat());
    assert_same(&lab.path("from"), &lab.path("to"));
}

/// A web server that has one file, and serves ranges of it.
fn web_server(data: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, data) = (stream.unwrap(), data.clone());
            thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut range = None;
                loop {
                    let mut line = String::new();
                    if reader.read_line(&mut line).unwrap_or(0) == 0 {
                        return;
                    }
                    let line = line.trim().to_lowercase();
                    if let Some(asked) = line.strip_prefix("range: bytes=") {
                        let (first, last) = asked.split_once('-').unwrap();
                        range = Some((first.parse::<usize>().unwrap(), last.parse::<usize>().unwrap_or(data.len() - 1)));
                    }
                    if line.is_empty() {
                        let (first, last) = range.take().unwrap_or((0, data.len() - 1));
                        let (length, all) = (last + 1 - first, data.len());
                        let head = format!(
                            "HTTP/1.1 206 Partial Content\r\ncontent-length: {length}\r\ncontent-range: bytes {first}-{last}/{all}\r\n\r\n"
                        );
                        if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&data[first..=last])).is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    format!("http://{address}/film")
}

#[test]
fn a_web_seed_that_is_named_has_all_that_is_wanted() {
    let lab = Lab::new();
    let url = web_server(film(&lab));
    lab.succeed(&[&["download", "film.torrent", "-o", "to", "--web-seed", &url][..], &LOOPBACK].concat());
    assert_same(&lab.path("from"), &lab.path("to"));
}

/// A download of which so many pieces are on disk, the rest of which does not come.
fn half_done(lab: &Lab, data: &[u8], pieces: u64) -> Running {
    let peer = Peer::new(data.to_vec(), PIECE, pieces * PIECE as u64);
    let running = lab.start(&[&download("film.torrent", "to", &peer.address.to_string())[..], &["--json"]].concat());
    running.result(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        // A piece is a block here. The last one of the torrent is short, and may be among those that came.
        line["verified"] == line["downloaded"] && line["verified"].as_u64() > Some((pieces - 1) * PIECE as u64)
    });
    running
}

fn film(lab: &Lab) -> Vec<u8> {
    let data = noise(100 * PIECE + 99);
    lab.file("from/film", &data);
    lab.succeed(&["create", "from/film", "-o", "film.torrent", "-p", "16K"]);
    data
}

#[test]
fn after_a_kill_the_same_command_goes_on_and_fetches_only_what_is_missing() {
    let lab = Lab::new();
    let data = film(&lab);
    let running = half_done(&lab, &data, 40);
    running.signal("KILL");
    assert_eq!(running.end().0.signal(), Some(9));
    let on_disk = fs::read(lab.path("to/film")).unwrap();
    let missing = data.chunks(PIECE).zip(on_disk.chunks(PIECE)).filter(|(one, other)| one != other).map(|(piece, _)| piece.len() as u64);
    let missing = missing.sum::<u64>();
    assert!(missing < data.len() as u64);
    let peer = Peer::new(data.clone(), PIECE, u64::MAX);
    lab.succeed(&download("film.torrent", "to", &peer.address.to_string()));
    assert_same(&lab.path("from"), &lab.path("to"));
    assert!(peer.sent() <= missing, "{missing} bytes were missing, and {} were sent again", peer.sent());
}

#[test]
fn damage_is_found_and_only_that_is_fetched_again() {
    let lab = Lab::new();
    let data = film(&lab);
    let peer = Peer::new(data.clone(), PIECE, u64::MAX);
    let address = peer.address.to_string();
    lab.succeed(&download("film.torrent", "to", &address));
    let sent = peer.sent();
    let mut damaged = data.clone();
    damaged[5 * PIECE] ^= 1;
    damaged.truncate(99 * PIECE);
    fs::write(lab.path("to/film"), damaged).unwrap();
    lab.succeed(&download("film.torrent", "to", &address));
    assert_same(&lab.path("from"), &lab.path("to"));
    assert_eq!((sent, peer.sent() - sent), (data.len() as u64, 2 * PIECE as u64 + 99));
}

#[test]
fn the_first_interrupt_says_how_to_go_on_and_tells_the_tracker() {
    let lab = Lab::new();
    let tracker = lab.start(&["tracker", "--bind", "127.0.0.1:0"]);
    let url = tracker.result(|line| line.starts_with("http://"));
    lab.file("film", &noise(100_000));
    let torrent = lab.torrent("film", &["-t", &url]);
    let running = lab.start(&[&["download", &torrent, "-o", "a folder", "-v"][..], &LOOPBACK].concat());
    running.line("named 0 peers");
    until_tracked(&url, 1);
    running.signal("INT");
    let (status, said) = running.end();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("film: stopped at 0%") && said.contains("-o 'a folder'"), "{said}");
    until_tracked(&url, 0);
}

#[test]
fn the_second_interrupt_waits_for_nobody() {
    let lab = Lab::new();
    // Takes connections in, and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/announce", silent.local_addr().unwrap());
    let data = film(&lab);
    lab.succeed(&["create", "from/film", "-o", "film.torrent", "-p", "16K", "-t", &url, "--force"]);
    let running = half_done(&lab, &data, 3);
    running.signal("INT");
    running.line("waiting for trackers");
    running.signal("INT");
    assert_eq!(running.end().0.code(), Some(130));
}

#[test]
fn with_seed_a_download_stays_and_serves() {
    let lab = Lab::new();
    let data = film(&lab);
    let peer = Peer::new(data, PIECE, u64::MAX).address.to_string();
    let staying = lab.start(&[&download("film.torrent", "to", &peer)[..], &["--seed", "-v"]].concat());
    let address = format!("127.0.0.1:{}", staying.port("listening on"));
    staying.result(|line| line == "to/film");
    lab.succeed(&download("film.torrent", "further", &address));
    assert_same(&lab.path("from"), &lab.path("further"));
    staying.signal("INT");
    assert_eq!(staying.end().0.code(), Some(0));
}

#[test]
fn what_is_not_whole_is_not_seeded_and_stays_as_it_is() {
    let lab = Lab::new();
    let mut data = film(&lab);
    data[3 * PIECE] ^= 1;
    fs::write(lab.path("from/film"), &data).unwrap();
    let outcome = lab.run(&[&["seed", "film.torrent", "from"][..], &LOOPBACK].concat());
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    assert!(outcome.stderr.contains("film: damaged: 1 bad piece"), "{outcome:?}");
    assert!(fs::read(lab.path("from/film")).unwrap() == data);
}
