//! Bad input gives one clear line and the right exit code.

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
};

use serde_json::Value;

use crate::lab::{Lab, assert_same, noise};

/// A torrent file with this after the name in its info dictionary, which is of five bytes in one piece.
fn with_info(rest: &str) -> Vec<u8> {
    format!("d4:infod{rest}ee").into_bytes()
}

fn with_files(files: &str, pieces: usize) -> Vec<u8> {
    with_info(&format!("5:filesl{files}e4:name1:x12:piece lengthi16384e6:pieces{}:{}", pieces * 20, "p".repeat(pieces * 20)))
}

const HASH: &str = "20:pppppppppppppppppppp";

#[test]
fn broken_torrent_files_are_refused_in_one_line() {
    let lab = Lab::new();
    let one =
        |length: &str, piece_length: &str| with_info(&format!("6:lengthi{length}e4:name1:x12:piece lengthi{piece_length}e6:pieces{HASH}"));
    let valid = one("5", "16384");
    let huge = "d6:lengthi5000000000000000000e4:pathl1:aeed6:lengthi5000000000000000000e4:pathl1:bee";
    let cases: &[(&str, Vec<u8>, &str)] = &[
        ("empty", b"".to_vec(), "empty"),
        ("html", b"<!DOCTYPE html>\n<html>Please sign in</html>\n".to_vec(), "web page"),
        ("truncated", valid[..valid.len() - 9].to_vec(), "not a torrent"),
        ("trailing", [&valid[..], b"and more"].concat(), "not a torrent"),
        ("nested", [vec![b'l'; 10_000], vec![b'e'; 10_000]].concat(), "not a torrent"),
        ("nested-unclosed", [b"d4:info".to_vec(), vec![b'l'; 10_000]].concat(), "not a torrent"),
        ("string-too-long", b"d4:info99999999999999999999:x".to_vec(), "not a torrent"),
        ("no-dictionary", b"i42e".to_vec(), "dictionary"),
        ("no-info", b"d8:announce8:http://xe".to_vec(), "'info'"),
        ("pieces", with_info("6:lengthi5e4:name1:x12:piece lengthi16384e6:pieces21:ppppppppppppppppppppp"), "multiple of 20"),
        ("too-few-pieces", one("99999", "16384"), "1 hashes for 7 pieces"),
        ("negative", one("-5", "16384"), "negative"),
        ("negative-file", with_files("d6:lengthi10e4:pathl1:aeed6:lengthi-5e4:pathl1:bee", 1), "negative"),
        ("two-to-63", one("9223372036854775808", "16384"), "2^63"),
        ("total", with_files(huge, 1), "2^63"),
        ("piece-length-zero", one("5", "0"), "piece length is 0"),
        ("piece-length-negative", one("5", "-16384"), "piece length is -16384"),
        ("no-files", with_files("", 0), "no files"),
    ];
    for (name, content, mentions) in cases {
        let file = format!("{name}.torrent");
        lab.file(&file, content);
        for arguments in [&["show", &file][..], &["download", &file, "-o", "out"], &["verify", &file, "."], &["seed", &file, "."]] {
            let outcome = lab.run(arguments);
            outcome.is_one_line(1, mentions);
            assert!(outcome.stderr.contains(&file), "{outcome:?}");
        }
    }
    assert!(!lab.path("out").exists());
}

#[test]
fn careless_order_of_keys_is_forgiven() {
    let lab = Lab::new();
    lab.file("x.torrent", with_info(&format!("4:name1:x6:lengthi5e6:pieces{HASH}12:piece lengthi16384e")).as_slice());
    lab.succeed(&["show", "x.torrent"]);
}

#[test]
fn names_cannot_lead_out_of_the_folder() {
    let lab = Lab::new();
    let file = |path: &str| format!("d6:lengthi1e4:pathl{path}ee");
    let files = [file("2:..2:..3:etc6:passwd"), file("11:/etc/passwd"), file("0:1:a")].concat();
    lab.file("x.torrent", &with_files(&files, 1));
    let shown: Value = serde_json::from_str(&lab.succeed(&["show", "x.torrent", "--json"])).unwrap();
    for file in shown["files"].as_array().unwrap() {
        for component in file["path"].as_array().unwrap() {
            let component = component.as_str().unwrap();
            assert!(!component.is_empty() && component != ".." && !component.contains('/'), "{file}");
        }
    }
}

#[test]
fn what_is_not_there_is_named() {
    let lab = Lab::new();
    lab.file("film", &noise(100));
    let torrent = lab.torrent("film", &[]);
    for arguments in [&["show", "gone"][..], &["download", "gone"], &["verify", "gone", "."], &["seed", "gone", "."], &["create", "gone"]] {
        lab.run(arguments).is_one_line(1, "gone");
    }
    lab.run(&["show", "."]).is_one_line(1, "folder");
    lab.run(&["verify", "magnet:?xt=urn:btih:aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d", "."]).is_one_line(1, "torrent file is needed");
    let outcome = lab.run(&["seed", &torrent, "nowhere"]);
    assert!(outcome.code == Some(3) && outcome.stderr.contains("film: missing"), "{outcome:?}");
}

#[test]
fn an_output_folder_that_is_a_file_is_named() {
    let lab = Lab::new();
    lab.file("film", &noise(100));
    let torrent = lab.torrent("film", &[]);
    lab.file("occupied", b"");
    lab.run(&["download", &torrent, "-o", "occupied"]).is_one_line(1, "occupied");
}

#[test]
fn a_port_in_use_is_named_with_a_way_out() {
    let lab = Lab::new();
    lab.file("film", &noise(100));
    let torrent = lab.torrent("film", &[]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let port = port.to_string();
    for arguments in [
        &["download", &torrent, "-o", "out", "--port", &port, "--listen", "127.0.0.1"][..],
        &["seed", &torrent, ".", "--port", &port, "--listen", "127.0.0.1"],
        &["tracker", "--bind", &address],
    ] {
        let outcome = lab.run(arguments);
        outcome.is_one_line(1, &port);
        assert!(outcome.stderr.contains("in use") && outcome.stderr.contains('0'), "{outcome:?}");
    }
}

#[test]
fn wrong_usage_is_told_with_code_2() {
    let lab = Lab::new();
    let cases: &[&[&str]] = &[
        &[],
        &["download"],
        &["nonsense"],
        &["download", "x.torrent", "--port", "99999"],
        &["download", "x.torrent", "--peer", "nowhere"],
        &["verify", "x.torrent"],
        &["download", "x.torrent", "--files", "0"],
        &["download", "x.torrent", "--match", "a[b"],
        &["download", "x.torrent", "--max-down", "0"],
        &["download", "x.torrent", "--seed-ratio", "much"],
        &["download", "x.torrent", "--web-seed", "ftp://server/"],
        &["seed", "x.torrent", ".", "--max-up", "fast"],
        &["seed", "x.torrent", ".", "--seed-time", "90"],
        &["create", "x", "-t", "ftp://tracker"],
        &["create", "x", "-p", "much"],
        &["tracker", "--bind", "nowhere"],
        &["show", "x", "-q", "-v"],
    ];
    for arguments in cases {
        let outcome = lab.run(arguments);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(!outcome.stderr.is_empty());
    }
    lab.file("film", &noise(100));
    lab.run(&["create", "film", "-p", "1000"]).is_one_line(1, "power of two");
}

/// A server that gives this answer to everything; returns its address.
fn server(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer);
        }
    });
    address
}

const GARBAGE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
const NOT_FOUND: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nConnection: close\r\n\r\ngone";

#[test]
fn urls_that_give_no_torrent_are_named() {
    let lab = Lab::new();
    for (answer, mentions) in [(GARBAGE, "not a torrent"), (NOT_FOUND, "404"), (b"nonsense".as_slice(), "malformed")] {
        let url = format!("http://{}/x.torrent", server(answer));
        let outcome = lab.run(&["download", &url, "-o", "out", "--port", "0"]);
        outcome.is_one_line(1, mentions);
        assert!(outcome.stderr.contains(&url), "{outcome:?}");
    }
}

#[test]
fn trackers_that_do_not_serve_are_named_while_the_download_goes_on() {
    let lab = Lab::new();
    lab.file("seed/film", &noise(100_000));
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for (number, address) in [server(GARBAGE), server(NOT_FOUND), gone].into_iter().enumerate() {
        let (url, torrent) = (format!("http://{address}/announce"), format!("{number}.torrent"));
        lab.succeed(&["create", "seed/film", "-o", &torrent, "-t", &url]);
        let alone = lab.run(&["download", &torrent, "-o", "alone", "--port", "0", "--timeout", "2"]);
        assert!(alone.code == Some(1) && alone.stderr.contains(&url), "{alone:?}");
        assert!(alone.stderr.contains("nothing has come for 2"), "{alone:?}");

        let seeder = lab.start(&["seed", &torrent, "seed", "--port", "0", "--listen", "127.0.0.1"]);
        let peer = format!("127.0.0.1:{}", seeder.port("seeding"));
        lab.succeed(&["download", &torrent, "-o", &format!("out {number}"), "--port", "0", "--peer", &peer]);
        assert_same(&lab.path("seed"), &lab.path(&format!("out {number}")));
    }
}
