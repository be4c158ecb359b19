//! Downloads and seeding by magnet link, and what may be chosen for them.

use std::fs;

use serde_json::{Value, json};

use crate::{
    lab::{Lab, assert_same, noise},
    transfer::{LOOPBACK, download, seeder, until_tracked},
};

/// A tree with a torrent of it, and the torrent's magnet link.
fn tree(lab: &Lab, more: &[&str]) -> String {
    lab.file("from/tree/cd 1/one.bin", &noise(300_000));
    lab.file("from/tree/cd 1/two.bin", &noise(70_000));
    lab.file("from/tree/cover.jpg", &noise(1234));
    lab.succeed(&[&["create", "from/tree", "-o", "tree.torrent", "-p", "16K"], more].concat());
    lab.succeed(&["magnet", "tree.torrent"]).trim().to_owned()
}

fn json(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_magnet_link_and_the_address_of_a_seeder_are_enough() {
    let lab = Lab::new();
    let link = tree(&lab, &[]);
    let (_seeder, peer) = seeder(&lab, "tree.torrent", "from");
    let outcome = lab.run(&download(&link, "to", &peer));
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(0), "to/tree\n"), "{outcome:?}");
    assert!(outcome.stderr.contains("tree: the metadata is here: 362.5 KiB in 3 files"), "{outcome:?}");
    assert_same(&lab.path("from"), &lab.path("to"));
}

#[test]
fn the_metadata_is_kept_and_the_second_time_nobody_is_needed() {
    let lab = Lab::new();
    let link = tree(&lab, &[]);
    let (seeder, peer) = seeder(&lab, "tree.torrent", "from");
    lab.succeed(&download(&link, "to", &peer));
    drop(seeder);
    assert_eq!(lab.succeed(&[&["download", &link, "-o", "to"][..], &LOOPBACK].concat()), "to/tree\n");
}

#[test]
fn programs_are_told_of_the_metadata_before_anything_else_is_known() {
    let lab = Lab::new();
    let link = tree(&lab, &[]);
    let bare = link.split('&').next().unwrap();
    let hash = bare.rsplit(':').next().unwrap();
    let (_seeder, peer) = seeder(&lab, "tree.torrent", "from");
    let steps = json(&lab.succeed(&[&download(bare, "to", &peer)[..], &["--json"]].concat()));
    let step = |event: &str| steps.iter().position(|step| step["event"] == event).unwrap_or_else(|| panic!("{event} in {steps:?}"));
    let metadata = json!({
        "event": "metadata", "name": "tree", "info_hash": hash, "total": 371_234, "files": 3, "private": false,
    });
    assert_eq!(steps[step("metadata")], metadata);
    assert!(step("metadata") < step("finished"));
    assert_eq!(steps[step("finished")], json!({ "event": "finished", "name": "tree", "info_hash": hash, "path": "to/tree" }));
    for step in &steps[..step("metadata")] {
        assert_eq!((&step["state"], &step["name"]), (&json!("fetching metadata"), &json!(hash)));
    }
}

#[test]
fn links_files_and_trackers_mix() {
    let lab = Lab::new();
    let tracker = lab.start(&["tracker", "--bind", "127.0.0.1:0"]);
    let url = tracker.result(|line| line.starts_with("http://"));
    let link = tree(&lab, &["-t", &url]);
    lab.file("from/film", &noise(100_000));
    lab.succeed(&["create", "from/film", "-o", "film.torrent", "-t", &url]);
    let (_tree, _) = seeder(&lab, "tree.torrent", "from");
    let (_film, _) = seeder(&lab, "film.torrent", "from");
    until_tracked(&url, 2);
    // The link twice, once in another form, is once.
    let again = link.split('&').next().unwrap().to_uppercase().replace("MAGNET:?XT=URN:BTIH", "magnet:?xt=urn:btih");
    let paths = lab.succeed(&[&["download", &link, "film.torrent", &again, "-o", "to"][..], &LOOPBACK].concat());
    let mut paths: Vec<&str> = paths.lines().collect();
    paths.sort_unstable();
    assert_eq!(paths, ["to/film", "to/tree"]);
    assert_same(&lab.path("from"), &lab.path("to"));
}

#[test]
fn data_on_disk_is_seeded_by_its_link_alone() {
    let lab = Lab::new();
    let link = tree(&lab, &[]);
    let (first, peer) = seeder(&lab, "tree.torrent", "from");
    lab.file("copy/tree/cd 1/one.bin", &noise(300_000));
    lab.file("copy/tree/cd 1/two.bin", &noise(70_000));
    lab.file("copy/tree/cover.jpg", &noise(1234));
    let second = lab.start(&[&["seed", &link, "copy", "--peer", &peer][..], &LOOPBACK].concat());
    let address = format!("127.0.0.1:{}", second.port("seeding tree"));
    drop(first);
    lab.succeed(&download(&link, "to", &address));
    assert_same(&lab.path("from"), &lab.path("to"));
    second.signal("INT");
    assert_eq!(second.end().0.code(), Some(0));
}

#[test]
fn a_link_that_nobody_knows_is_given_up_when_told_to() {
    let lab = Lab::new();
    let link = tree(&lab, &[]);
    let outcome = lab.run(&[&["download", &link, "-o", "to", "--timeout", "1"][..], &LOOPBACK].concat());
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.contains("nothing has come for 1"), "{outcome:?}");
    assert!(outcome.stderr.contains("tree: stopped before its metadata came"), "{outcome:?}");
    assert!(!lab.path("to").exists());
}

#[test]
fn broken_links_are_refused_in_one_line_while_others_go_on() {
    let lab = Lab::new();
    let link = tree(&lab, &[]);
    let version_2 = format!("magnet:?xt=urn:btmh:1220{}", "0".repeat(64));
    for (broken, mentions) in [
        ("magnet:?xt=urn:btih:123", "hexadecimal"),
        ("magnet:?dn=name", "names no torrent"),
        ("magnet:", "magnet:?"),
        (&version_2, "version 1"),
    ] {
        lab.run(&[&["download", broken, "-o", "to"][..], &LOOPBACK].concat()).is_one_line(1, mentions);
    }
    let (_seeder, peer) = seeder(&lab, "tree.torrent", "from");
    let outcome = lab.run(&[&download("magnet:?dn=name", "to", &peer)[..], &[&link]].concat());
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(1), "to/tree\n"), "{outcome:?}");
}

#[test]
fn a_selection_that_selects_nothing_is_named_whether_by_file_or_by_link() {
    let lab = Lab::new();
    let link = tree(&lab, &[]);
    let (_seeder, peer) = seeder(&lab, "tree.torrent", "from");
    for torrent in ["tree.torrent", &link] {
        for (selection, mentions) in
            [(["--match", "*.mkv"], "tree: no file matches '*.mkv'"), (["--files", "2-4"], "tree: there is no file 4")]
        {
            let outcome = lab.run(&[&download(torrent, "to", &peer)[..], &selection].concat());
            assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(1), ""), "{outcome:?}");
            assert!(outcome.stderr.contains(mentions), "{outcome:?}");
        }
    }
}

#[test]
fn what_is_not_whole_is_not_seeded_by_its_link_either() {
    let lab = Lab::new();
    let link = tree(&lab, &[]);
    let (_seeder, peer) = seeder(&lab, "tree.torrent", "from");
    fs::create_dir(lab.path("empty")).unwrap();
    let outcome = lab.run(&[&["seed", &link, "empty", "--peer", &peer][..], &LOOPBACK].concat());
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    assert!(outcome.stderr.contains("tree: cannot be seeded") && fs::read_dir(lab.path("empty")).unwrap().count() == 0, "{outcome:?}");
}

#[test]
fn two_torrents_of_one_name_do_not_get_into_each_others_way() {
    let lab = Lab::new();
    let link = tree(&lab, &[]);
    lab.file("other/tree", &noise(100_000));
    lab.succeed(&["create", "other/tree", "-o", "other.torrent"]);
    let (_other, peer) = seeder(&lab, "other.torrent", "other");
    let (_tree, another) = seeder(&lab, "tree.torrent", "from");
    for second in ["tree.torrent", &link] {
        let outcome = lab.run(&[&download("other.torrent", "to", &peer)[..], &[second, "--peer", &another]].concat());
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(1), "to/tree\n"), "{outcome:?}");
        assert!(outcome.stderr.contains("tree: another torrent of this name"), "{outcome:?}");
        assert_same(&lab.path("other"), &lab.path("to"));
        fs::remove_file(lab.path("to/tree")).unwrap();
    }
}

#[test]
fn only_what_is_selected_comes_and_later_the_rest() {
    let lab = Lab::new();
    let link = tree(&lab, &[]);
    let (_seeder, peer) = seeder(&lab, "tree.torrent", "from");
    for (torrent, folder, selection) in [
        ("tree.torrent", "by number", ["--files", "2"]),
        (&link, "by name", ["--match", "two.*"]),
        (&format!("{link}&so=1"), "by link", ["--timeout", "60"]),
    ] {
        let (only, cover) = (format!("{folder}/tree/cd 1/two.bin"), format!("{folder}/tree/cover.jpg"));
        lab.succeed(&[&download(torrent, folder, &peer)[..], &selection].concat());
        assert_same(&lab.path("from/tree/cd 1/two.bin"), &lab.path(&only));
        assert!(!lab.path(&cover).exists() && !lab.path(&format!("{folder}/tree/cd 1/one.bin")).exists(), "{folder}");
        lab.succeed(&download("tree.torrent", folder, &peer));
        assert_same(&lab.path("from"), &lab.path(folder));
    }
}

#[test]
fn help_tells_options_in_groups() {
    let lab = Lab::new();
    for (command, headings) in
        [("download", &["Files", "Peers", "Limits", "Seeding", "Network"][..]), ("seed", &["Peers", "Limits", "Seeding", "Network"])]
    {
        let help = lab.succeed(&[command, "-h"]);
        let mut at = 0;
        for heading in headings {
            let found = help[at..].find(&format!("\n{heading}:\n")).unwrap_or_else(|| panic!("no {heading} after {at} in\n{help}"));
            at += found + 1;
            assert!(!help[at..].contains(&format!("\n{heading}:\n")), "{heading} is there once in\n{help}");
        }
    }
}
