//! Torrent files: making them, showing them, checking data against them.

use std::{fs, io::Write, process::Stdio};

use serde_json::{Value, json};

use crate::lab::{Lab, noise};

/// A folder with folders, an empty file, names that are not English, and files that share pieces.
fn album(lab: &Lab) {
    lab.file("album/cd 1/01 Ærø.flac", &noise(100_000));
    lab.file("album/cd 1/empty", b"");
    lab.file("album/cd 2/名前.flac", &noise(50_000));
    lab.file("album/cover.jpg", &noise(20_000));
}

#[test]
fn what_create_was_told_is_what_show_tells() {
    let lab = Lab::new();
    album(&lab);
    let made = lab.succeed(&[
        "create",
        "album",
        "-o",
        "x.torrent",
        "-p",
        "32K",
        "-t",
        "http://a.example/announce,udp://b.example:1",
        "-t",
        "https://c.example/x",
        "--private",
        "--comment",
        "naïve",
        "--web-seed",
        "http://d.example/",
        "--source",
        "S",
        "--date=1700000000",
    ]);
    let shown: Value = serde_json::from_str(&lab.succeed(&["show", "x.torrent", "--json"])).unwrap();
    assert_eq!(shown["name"], "album");
    assert_eq!((&shown["piece_length"], &shown["pieces"], &shown["total_length"]), (&json!(32768), &json!(6), &json!(170_000)));
    assert_eq!(shown["trackers"], json!([["http://a.example/announce", "udp://b.example:1"], ["https://c.example/x"]]));
    assert_eq!((&shown["web_seeds"], &shown["private"]), (&json!(["http://d.example/"]), &json!(true)));
    assert_eq!((&shown["comment"], &shown["source"], &shown["creation_date"]), (&json!("naïve"), &json!("S"), &json!(1_700_000_000)));
    assert!(shown["created_by"].as_str().unwrap().starts_with("RusTor/"));
    let files = json!([
        { "number": 1, "path": ["cd 1", "01 Ærø.flac"], "length": 100_000 },
        { "number": 2, "path": ["cd 1", "empty"], "length": 0 },
        { "number": 3, "path": ["cd 2", "名前.flac"], "length": 50_000 },
        { "number": 4, "path": ["cover.jpg"], "length": 20_000 },
    ]);
    assert_eq!(shown["files"], files);
    let info_hash = shown["info_hash"].as_str().unwrap();
    assert!(info_hash.len() == 40 && made.contains(info_hash) && made.contains("x.torrent"), "{made}");
}

#[test]
fn what_is_not_said_is_null_or_empty() {
    let lab = Lab::new();
    lab.file("film", b"hello");
    lab.succeed(&["create", "film"]);
    let shown: Value = serde_json::from_str(&lab.succeed(&["show", "film.torrent", "--json"])).unwrap();
    assert_eq!(shown["files"], json!([{ "number": 1, "path": ["film"], "length": 5 }]));
    assert_eq!((&shown["trackers"], &shown["web_seeds"], &shown["private"]), (&json!([]), &json!([]), &json!(false)));
    assert_eq!((&shown["comment"], &shown["creation_date"]), (&Value::Null, &Value::Null));
}

#[test]
fn the_same_files_give_the_same_bytes() {
    let lab = Lab::new();
    album(&lab);
    lab.succeed(&["create", "album", "-o", "one.torrent", "-t", "http://a/"]);
    let before = fs::metadata(lab.path("one.torrent")).unwrap().len();
    let standard_output = lab.command(&["create", "album", "-o", "-", "-t", "http://a/"]).output().unwrap().stdout;
    assert_eq!(standard_output.len() as u64, before);
    assert_eq!(fs::read(lab.path("one.torrent")).unwrap(), standard_output);
}

#[test]
fn create_replaces_nothing_unless_forced() {
    let lab = Lab::new();
    lab.file("film", b"hello");
    lab.file("film.torrent", b"precious");
    let outcome = lab.run(&["create", "film"]);
    outcome.is_one_line(1, "film.torrent");
    assert!(outcome.stderr.contains("--force"));
    assert_eq!(fs::read(lab.path("film.torrent")).unwrap(), b"precious");
    lab.succeed(&["create", "film", "--force"]);
    assert!(fs::read(lab.path("film.torrent")).unwrap().starts_with(b"d10:created by"));
    assert_eq!(fs::read_dir(lab.path("")).unwrap().count(), 2, "nothing else is left");
}

#[test]
fn create_for_programs_tells_in_json() {
    let lab = Lab::new();
    lab.file("film", b"hello");
    let made: Value = serde_json::from_str(&lab.succeed(&["create", "film", "--json", "-q"])).unwrap();
    assert_eq!((&made["path"], &made["name"], &made["pieces"]), (&json!("film.torrent"), &json!("film"), &json!(1)));
}

#[test]
fn show_for_people_has_sizes_in_both_forms_and_a_tree() {
    let lab = Lab::new();
    album(&lab);
    let torrent = lab.torrent("album", &["-t", "http://a.example/announce"]);
    let shown = lab.succeed(&["show", &torrent]);
    for text in ["album", "166.0 KiB (170,000 bytes)", "http://a.example/announce", "├─ cd 1/", "└─ cover.jpg", "名前.flac"] {
        assert!(shown.contains(text), "no {text:?} in\n{shown}");
    }
    assert!(!shown.contains('\x1b'), "no colours unless on a terminal");
    assert!(lab.succeed(&["show", &torrent, "--color", "always"]).contains('\x1b'));
}

#[test]
fn a_torrent_file_may_come_from_standard_input() {
    let lab = Lab::new();
    lab.file("film", b"hello");
    let torrent = lab.torrent("film", &[]);
    let output = lab.command(&["show", "-"]).stdin(fs::File::open(lab.path(&torrent)).unwrap()).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), lab.succeed(&["show", &torrent]));
    lab.run(&["show", "-"]).is_one_line(1, "standard input: this is empty");
}

#[test]
fn the_quiet_get_results_and_nothing_else() {
    let lab = Lab::new();
    lab.file("folder/film", b"hello");
    fs::create_dir(lab.path("folder/empty")).unwrap();
    let told = lab.run(&["create", "folder"]);
    assert!(told.stderr.contains("folder/empty: left out"), "{told:?}");
    let quiet = lab.run(&["create", "folder", "--force", "-q"]);
    assert_eq!((quiet.code, quiet.stderr.as_str()), (Some(0), ""));
    assert_eq!(quiet.stdout, told.stdout);
}

#[test]
fn show_keeps_strangers_off_the_terminal() {
    let lab = Lab::new();
    lab.file("film", b"hello");
    let torrent = lab.torrent("film", &["--comment", "\x1b[2Jgone"]);
    assert!(!lab.succeed(&["show", &torrent]).contains('\x1b'));
}

#[test]
fn a_reader_that_stops_reading_is_no_failure() {
    let lab = Lab::new();
    for number in 0..3000 {
        lab.file(&format!("many/a file with a long name, number {number}"), b"x");
    }
    let torrent = lab.torrent("many", &[]);
    let mut child = lab.command(&["show", "--json", &torrent]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}

#[test]
fn verify_finds_nothing_wrong_where_nothing_is() {
    let lab = Lab::new();
    album(&lab);
    let torrent = lab.torrent("album", &[]);
    assert!(lab.succeed(&["verify", &torrent, "."]).contains("complete"));
    let report: Value = serde_json::from_str(&lab.succeed(&["verify", &torrent, ".", "--json"])).unwrap();
    assert_eq!((&report["complete"], &report["pieces"], &report["pieces_good"]), (&json!(true), &json!(11), &json!(11)));
}

#[test]
fn verify_names_what_is_flipped_cut_or_gone() {
    let lab = Lab::new();
    album(&lab);
    lab.file("album/also.bin", &noise(70_000));
    let torrent = lab.torrent("album", &[]);
    let flipped = lab.path("album/cd 1/01 Ærø.flac");
    let mut content = fs::read(&flipped).unwrap();
    content[50_000] ^= 1;
    fs::write(&flipped, content).unwrap();
    fs::OpenOptions::new().write(true).open(lab.path("album/cd 2/名前.flac")).unwrap().set_len(10).unwrap();
    fs::remove_file(lab.path("album/cd 1/empty")).unwrap();

    let outcome = lab.run(&["verify", &torrent, "."]);
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    for text in ["01 Ærø.flac: damaged", "名前.flac: too short: 10 of 50000 bytes", "empty: missing", "3 of 5 files"] {
        assert!(outcome.stdout.contains(text), "{text}: {outcome:?}");
    }
    assert!(!outcome.stdout.contains("also.bin"), "{outcome:?}");

    let outcome = lab.run(&["verify", &torrent, ".", "--json"]);
    assert_eq!(outcome.code, Some(3));
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let states: Vec<&Value> = report["files"].as_array().unwrap().iter().map(|file| &file["state"]).collect();
    assert_eq!(states, ["ok", "damaged", "missing", "wrong_length", "ok"]);
}

#[test]
fn verify_guesses_what_was_meant_where_nothing_is_found() {
    let lab = Lab::new();
    album(&lab);
    let torrent = lab.torrent("album", &[]);
    let outcome = lab.run(&["verify", &torrent, "album"]);
    assert_eq!(outcome.code, Some(3));
    assert!(outcome.stderr.contains("did you mean"), "{outcome:?}");
}

#[test]
fn a_large_torrent_file_is_refused_unread() {
    let lab = Lab::new();
    let path = lab.path("large.torrent");
    let mut file = fs::File::create(&path).unwrap();
    file.write_all(b"d4:info").unwrap();
    file.set_len(1 << 33).unwrap();
    lab.run(&["show", "large.torrent"]).is_one_line(1, "large.torrent: larger than 32 MiB");
}
