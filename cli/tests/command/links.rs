//! Magnet links, and trackers asked for figures.

use serde_json::{Value, json};

use crate::lab::{Lab, noise};

const HASH: &str = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d";

#[test]
fn a_torrents_magnet_link_says_what_is_known_without_the_file() {
    let lab = Lab::new();
    lab.file("name & more", &noise(20_000));
    let trackers = ["-t", "http://a.example/announce,udp://b.example:1", "-t", "http://a.example/announce"];
    let torrent = lab.torrent("name & more", &[&trackers[..], &["--web-seed", "http://w.example/"]].concat());
    let shown: Value = serde_json::from_str(&lab.succeed(&["show", "--json", &torrent])).unwrap();
    let link = lab.succeed(&["magnet", &torrent]);
    let hash = shown["info_hash"].as_str().unwrap();
    assert!(link.starts_with(&format!("magnet:?xt=urn:btih:{hash}&dn=name%20%26%20more&tr=http:")), "{link}");

    let shown: Value = serde_json::from_str(&lab.succeed(&["show", "--json", link.trim()])).unwrap();
    assert_eq!((&shown["info_hash"], &shown["name"]), (&json!(hash), &json!("name & more")));
    assert_eq!(shown["trackers"], json!(["http://a.example/announce", "udp://b.example:1"]));
    assert_eq!(shown["web_seeds"], json!(["http://w.example/"]));
    lab.run(&["magnet", "magnet:?xt=urn:btih:x"]).is_one_line(1, "magnet");
}

#[test]
fn a_magnet_link_can_be_shown() {
    let lab = Lab::new();
    let version_2 = "00".repeat(31) + "ff";
    let link = format!("magnet:?xt=urn:btih:{HASH}&xt=urn:btmh:1220{version_2}&dn=a%1bb&x.pe=192.0.2.1:6881&so=0,2-4&x=y");
    let text = lab.succeed(&["show", &link]);
    let expected = format!(
        "Name         a\u{fffd}b\nInfo-hash    {HASH}\n             {version_2} (version 2)\nPeers        192.0.2.1:6881\n\
         Files        0, 2-4 (counted from 0)\nOther        x=y\n"
    );
    assert_eq!(text, expected);
    let shown: Value = serde_json::from_str(&lab.succeed(&["show", "--json", &link])).unwrap();
    assert_eq!((&shown["info_hash"], &shown["info_hash_v2"]), (&json!(HASH), &json!(version_2)));
    assert_eq!((&shown["selected"], &shown["other"]), (&json!([[0, 0], [2, 4]]), &json!([["x", "y"]])));
    lab.run(&["show", "magnet:?dn=nothing"]).is_one_line(1, "names no torrent");
    lab.run(&["show", "magnet:?xt=urn:btih:123"]).is_one_line(1, "hash");
}

#[test]
fn every_tracker_that_answers_gets_a_line_and_every_other_a_reason() {
    let lab = Lab::new();
    let tracker = lab.start(&["tracker", "--bind", "127.0.0.1:0"]);
    let http = tracker.result(|line| line.starts_with("http://"));
    let udp = tracker.result(|line| line.starts_with("udp://"));
    lab.file("file", &noise(20_000));
    let torrent = lab.torrent("file", &["-t", &http, "-t", &udp, "-t", "http://127.0.0.1:1/no-scrape"]);
    let seeder = lab.start(&["seed", &torrent, ".", "--port", "0", "--listen", "127.0.0.1"]);
    seeder.line("seeding");
    let line = |url: &str| format!("{url}  1 seeder, 0 leechers, 0 downloads");
    // The tracker knows the seeder once it has answered the announce, of which the seeder says nothing.
    let outcome = loop {
        let outcome = lab.run(&["scrape", &torrent]);
        if outcome.stdout.contains("1 seeder") {
            break outcome;
        }
    };
    assert_eq!(outcome.stdout.lines().collect::<Vec<_>>(), [line(&http), line(&udp)]);
    assert_eq!(outcome.code, Some(0));
    let warnings: Vec<&str> = outcome.stderr.lines().collect();
    assert!(
        matches!(warnings[..], [one] if one.contains("http://127.0.0.1:1/no-scrape: ") && one.contains("no scrape convention")),
        "{outcome:?}"
    );

    let link = lab.succeed(&["magnet", &torrent]);
    let told: Value = serde_json::from_str(&lab.succeed(&["scrape", "--json", link.trim()])).unwrap();
    let trackers = told["trackers"].as_array().unwrap();
    assert_eq!(trackers[1], json!({ "url": udp, "known": true, "seeders": 1, "leechers": 0, "downloads": 0 }));
    assert!(trackers[2]["error"].as_str().unwrap().contains("no scrape convention"));
    let unknown = format!("magnet:?xt=urn:btih:{HASH}&tr={http}");
    assert_eq!(lab.succeed(&["scrape", &unknown]), format!("{http}  does not know the torrent\n"));
}

#[test]
fn a_scrape_that_nobody_answers_fails() {
    let lab = Lab::new();
    let link = |tracker: &str| format!("magnet:?xt=urn:btih:{HASH}{tracker}");
    lab.run(&["scrape", &link("")]).is_one_line(1, "names no tracker");
    let outcome = lab.run(&["scrape", &link("&tr=http://127.0.0.1:1/announce&tr=wss://t.example/announce")]);
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    assert!(outcome.code == Some(1) && outcome.stdout.is_empty() && lines.len() == 3, "{outcome:?}");
    assert!(lines[0].starts_with("warning: http://127.0.0.1:1/announce: ") && lines[2] == "error: no tracker answered", "{outcome:?}");
    let outcome = lab.run(&["scrape", "--json", &link("&tr=http://127.0.0.1:1/announce")]);
    assert!(outcome.code == Some(1) && outcome.stdout.contains("\"error\""), "{outcome:?}");
}
