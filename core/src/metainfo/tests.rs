use super::*;
use crate::bencode::{self, DictionaryEncoder, Encoder, Expected, Kind, Options};
use bytes::Bytes;
use std::{
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};

/// The bytes of a torrent file whose info dictionary `info` writes, after a name, a piece length and one hash.
fn torrent(info: impl FnOnce(&mut DictionaryEncoder<'_>)) -> Vec<u8> {
    torrent_with(info, |_| ())
}

fn torrent_with(info: impl FnOnce(&mut DictionaryEncoder<'_>), top: impl FnOnce(&mut DictionaryEncoder<'_>)) -> Vec<u8> {
    bencode::dictionary(|entries| {
        entries.key(b"info").dictionary(|entries| {
            entries.key(b"name").str("name");
            entries.key(b"piece length").integer(16384);
            entries.key(b"pieces").bytes(&[7; 20]);
            info(entries);
        });
        top(entries);
    })
}

fn single(length: i64) -> impl FnOnce(&mut DictionaryEncoder<'_>) {
    move |info| info.key(b"length").integer(length)
}

/// An entry of `files`.
fn file(to: Encoder<'_>, length: i64, path: &[&str]) {
    file_with(to, length, path, |_| ());
}

fn file_with(to: Encoder<'_>, length: i64, path: &[&str], more: impl FnOnce(&mut DictionaryEncoder<'_>)) {
    to.dictionary(|file| {
        file.key(b"length").integer(length);
        file.key(b"path").list(|list| path.iter().for_each(|component| list.item().str(component)));
        more(file);
    });
}

fn parse(bytes: Vec<u8>) -> Result<Metainfo, Error> {
    Metainfo::parse(bytes.into())
}

fn error(bytes: Vec<u8>) -> String {
    parse(bytes).unwrap_err().to_string()
}

fn paths(metainfo: &Metainfo) -> Vec<String> {
    metainfo.info.files().iter().map(|file| metainfo.info.path(file)).collect()
}

#[test]
fn a_single_file_keeps_everything_its_torrent_says() {
    let bytes = torrent_with(
        |info| {
            info.key(b"length").integer(16384);
            info.key(b"private").integer(1);
            info.key(b"source").str("SITE");
            info.key(b"attr").str("x?");
            info.key(b"x-unknown").integer(5);
        },
        |top| {
            top.key(b"announce").str("http://ignored/announce");
            top.key(b"announce-list").list(|tiers| {
                tiers.item().list(|tier| {
                    tier.item().str("http://a/announce");
                    tier.item().str(" udp://b:1 ");
                    tier.item().str("");
                });
                tiers.item().list(|_| ());
                tiers.item().list(|tier| {
                    tier.item().str("http://c/announce");
                    tier.item().str("http://a/announce");
                });
                tiers.item().str("http://bare/announce");
            });
            top.key(b"url-list").str("http://seed/");
            top.key(b"httpseeds").list(|list| list.item().str("http://old/seed"));
            top.key(b"nodes").list(|list| {
                for (host, port) in [("router.example", 6881), ("2001:db8::1", 1), ("bad", 0), ("bad", 70_000)] {
                    list.item().list(|pair| {
                        pair.item().str(host);
                        pair.item().integer(port);
                    });
                }
            });
            top.key(b"comment").bytes(b"caf\xe9");
            top.key(b"comment.utf-8").str("café");
            top.key(b"created by").str("RusTor");
            top.key(b"creation date").integer(1_700_000_000);
            top.key(b"encoding").str("UTF-8");
            top.key(b"publisher").list(|list| list.item().str("x"));
        },
    );
    let metainfo = parse(bytes.clone()).unwrap();
    let raw = bencode::decode(&bytes).unwrap().get(b"info").unwrap();
    assert_eq!(metainfo.info.raw(), raw.raw());
    assert_eq!(metainfo.info_hash(), InfoHash::of(raw.raw()));
    assert_eq!(metainfo.trackers, [vec!["http://a/announce", "udp://b:1"], vec!["http://c/announce"], vec!["http://bare/announce"]]);
    assert_eq!(metainfo.web_seeds, ["http://seed/"]);
    assert_eq!(metainfo.http_seeds, ["http://old/seed"]);
    assert_eq!(metainfo.nodes.iter().map(ToString::to_string).collect::<Vec<_>>(), ["router.example:6881", "[2001:db8::1]:1"]);
    assert_eq!(metainfo.comment.as_deref(), Some("café"));
    assert_eq!(metainfo.created_by.as_deref(), Some("RusTor"));
    assert_eq!(metainfo.creation_date, Some(1_700_000_000));
    assert_eq!(metainfo.encoding.as_deref(), Some("UTF-8"));
    assert_eq!(metainfo.other, [(Bytes::from("publisher"), Bytes::from("l1:xe"))].into());

    let info = &metainfo.info;
    assert_eq!((info.name(), info.root(), info.is_private(), info.source()), ("name", None, true, Some("SITE")));
    let [only] = info.files() else { panic!("one file") };
    assert_eq!((only.path(), info.path(only).as_str(), only.length(), only.offset()), ("name", "name", 16384, 0));
    assert!(only.attributes().executable && !only.attributes().hidden && !only.is_padding());

    // Writing it again keeps all of it, and the info dictionary to the byte.
    let again = parse(metainfo.to_bytes()).unwrap();
    assert_eq!(again, metainfo);
    assert_eq!(again.to_bytes(), metainfo.to_bytes());
}

#[test]
fn many_files_lie_one_behind_the_other() {
    let bytes = torrent(|info| {
        info.key(b"pieces").bytes(&[[1; 20], [2; 20], [3; 20]].concat());
        info.key(b"files").list(|files| {
            file(files.item(), 16383, &["a"]);
            file(files.item(), 0, &["empty"]);
            file(files.item(), 16400, &["日本", "ü.txt"]);
        });
    });
    let metainfo = parse(bytes).unwrap();
    let info = &metainfo.info;
    assert_eq!(info.root(), Some("name"));
    assert_eq!(paths(&metainfo), ["name/a", "name/empty", "name/日本/ü.txt"]);
    assert_eq!(info.files()[2].components().collect::<Vec<_>>(), ["日本", "ü.txt"]);
    assert_eq!(info.files().iter().map(File::offset).collect::<Vec<_>>(), [0, 16383, 16383]);
    assert_eq!((info.total_length(), info.piece_length(), info.piece_count()), (32783, 16384, 3));
    assert_eq!((0..4).map(|piece| info.piece_size(piece)).collect::<Vec<_>>(), [Some(16384), Some(16384), Some(15), None]);
    assert_eq!(info.piece_hash(1), Some(&[2; 20]));
    assert_eq!(info.piece_hash(3), None);
    assert_eq!(info.piece_hash(u32::MAX), None);
    // No copies: hashes are a slice of the dictionary.
    assert!(info.raw().as_ptr_range().contains(&info.pieces().as_ptr()));
}

#[test]
fn the_last_piece_may_be_whole_and_a_torrent_may_be_empty() {
    let metainfo = parse(torrent(single(16384))).unwrap();
    assert_eq!((metainfo.info.piece_size(0), metainfo.info.piece_size(1)), (Some(16384), None));
    let empty = parse(torrent(|info| {
        info.key(b"length").integer(0);
        info.key(b"pieces").bytes(b"");
    }));
    assert_eq!(empty.unwrap().info.piece_size(0), None);
}

#[test]
fn an_info_dictionary_alone_reads_the_same() {
    let metainfo = parse(torrent(single(5))).unwrap();
    let alone = Info::parse(Bytes::copy_from_slice(metainfo.info.raw())).unwrap();
    assert_eq!(alone, metainfo.info);
    assert_eq!(parse(Metainfo::from_info(alone).to_bytes()).unwrap().info, metainfo.info);
    let behind = Bytes::from([metainfo.info.raw(), &b"\n"[..]].concat());
    assert!(Info::parse(behind.clone()).is_err());
    assert_eq!(Info::parse_with(behind, Options::LENIENT).unwrap(), metainfo.info);
}

#[test]
fn the_info_hash_is_of_the_bytes_as_they_stand() {
    let info = "d4:name1:x6:lengthi1e12:piece lengthi1e6:pieces20:aaaaaaaaaaaaaaaaaaaae";
    let bytes = Bytes::from(format!("d4:info{info}e"));
    assert_eq!(
        Metainfo::parse(bytes.clone()).unwrap_err().to_string(),
        "not a torrent: byte 17: expected a key that sorts after the one before it"
    );
    let metainfo = Metainfo::parse_with(bytes, Options::LENIENT).unwrap();
    assert_eq!(metainfo.info_hash(), InfoHash::of(info.as_bytes()));
    assert_eq!(Metainfo::parse_with(metainfo.to_bytes().into(), Options::LENIENT).unwrap(), metainfo);
}

#[test]
fn what_is_no_torrent_is_called_by_its_name() {
    for (bytes, expected) in [
        (&b""[..], Error::Empty),
        (b" \r\n", Error::Empty),
        (b"<!DOCTYPE html><html>", Error::WebPage),
        (b"\xef\xbb\xbf\n <html>", Error::WebPage),
        (b"Magnet:?xt=urn:btih:", Error::MagnetLink),
        (b"\x1f\x8b\x08\0\0", Error::Compressed),
        (b"i1e", Error::NotADictionary),
        (b"de", Error::Missing(Key::top("info"))),
        (b"d4:infolee", Error::Kind(Key::top("info"), Kind::Dictionary)),
    ] {
        assert_eq!(Metainfo::parse(Bytes::from_static(bytes)), Err(expected));
    }
    assert_eq!(error(b"hello".to_vec()), "not a torrent: byte 0: expected an integer, a string, a list or a dictionary, found 'h'");
    let nested = parse(b"l".repeat(10_000)).unwrap_err();
    assert!(matches!(nested, Error::Bencode(bencode::Error { expected: Expected::Depth(64), .. })));
    let whole = torrent(single(1));
    for end in 1..whole.len() {
        assert!(matches!(parse(whole[..end].to_vec()), Err(Error::Bencode(_))));
    }
}

#[test]
fn what_is_missing_or_contradicts_itself_is_refused_with_its_name() {
    let without = |missing: &[u8]| {
        let bytes = torrent(single(1));
        let entries = bencode::decode(&bytes).unwrap().get(b"info").unwrap().as_dictionary().unwrap();
        let info = bencode::dictionary(|info| {
            entries.iter().filter(|(key, _)| *key != missing).for_each(|(key, value)| info.key(key).verbatim(value))
        });
        Info::parse(info.into()).unwrap_err().to_string()
    };
    assert_eq!(without(b"name"), "'name' is missing");
    assert_eq!(without(b"piece length"), "'piece length' is missing");
    assert_eq!(without(b"pieces"), "'pieces' is missing");
    assert_eq!(without(b"length"), "'length' is missing");

    let with = |key: &'static [u8], write: fn(Encoder<'_>)| {
        error(torrent(move |info| {
            info.key(b"length").integer(1);
            write(info.key(key));
        }))
    };
    assert_eq!(with(b"piece length", |to| to.integer(0)), "the piece length is 0, which is not between 1 and 4294967295 bytes");
    assert_eq!(with(b"piece length", |to| to.integer(-1)), "the piece length is -1, which is not between 1 and 4294967295 bytes");
    assert_eq!(with(b"piece length", |to| to.unsigned(1 << 63)), "the piece length is not between 1 and 4294967295 bytes");
    assert_eq!(with(b"piece length", |to| to.str("1")), "'piece length' is not an integer");
    assert_eq!(with(b"pieces", |to| to.bytes(&[0; 21])), "'pieces' is 21 bytes long, which is no multiple of 20");
    assert_eq!(with(b"pieces", |to| to.bytes(&[0; 40])), "the number of hashes does not fit: 2 hashes for 1 pieces");
    assert_eq!(with(b"pieces", |to| to.bytes(b"")), "the number of hashes does not fit: 0 hashes for 1 pieces");
    assert_eq!(with(b"length", |to| to.integer(-1)), "'length' is negative");
    assert_eq!(with(b"length", |to| to.unsigned(1 << 63)), "'length' is above the limit of 2^63 - 1 bytes");
    assert_eq!(with(b"files", |to| to.list(|_| ())), "the torrent has both 'length' and 'files', which contradict each other");

    let files = |write: fn(&mut bencode::ListEncoder<'_>)| error(torrent(|info| info.key(b"files").list(write)));
    assert_eq!(files(|_| ()), "the torrent has no files");
    assert_eq!(files(|list| list.item().integer(1)), "'files' of file 1 is not a dictionary");
    assert_eq!(files(|list| file(list.item(), 1, &[])), "the path of file 1 is empty");
    let second = files(|list| {
        file(list.item(), 1, &["a"]);
        list.item().dictionary(|file| file.key(b"length").integer(1));
    });
    assert_eq!(second, "'path' of file 2 is missing");
    assert_eq!(files(|list| list.item().dictionary(|_| ())), "'length' of file 1 is missing");
    assert_eq!(files(|list| file(list.item(), -1, &["a"])), "'length' of file 1 is negative");
    let sum = files(|list| {
        file(list.item(), i64::MAX, &["a"]);
        file(list.item(), 1, &["b"]);
    });
    assert_eq!(sum, "the files' total length is above the limit of 2^63 - 1 bytes");
    let component = files(|list| {
        list.item().dictionary(|file| {
            file.key(b"length").integer(1);
            file.key(b"path").list(|path| path.item().integer(1));
        });
    });
    assert_eq!(component, "'a component of the path' of file 1 is not a string");
}

#[test]
fn version_2_alone_is_refused_and_hybrids_work_as_version_1() {
    let version_2 = bencode::dictionary(|top| {
        top.key(b"info").dictionary(|info| {
            info.key(b"file tree").dictionary(|_| ());
            info.key(b"meta version").integer(2);
            info.key(b"name").str("name");
            info.key(b"piece length").integer(16384);
        });
    });
    assert_eq!(error(version_2), "this torrent is of version 2 only (BEP 52), which is not supported yet");
    let hybrid = torrent(|info| {
        info.key(b"length").integer(1);
        info.key(b"file tree").dictionary(|_| ());
        info.key(b"meta version").integer(2);
    });
    assert!(parse(hybrid).is_ok());
}

#[test]
fn paths_never_lead_out_of_the_folder() {
    let metainfo = parse(torrent(|info| {
        info.key(b"name").str("..");
        info.key(b"files").list(|files| {
            file(files.item(), 1, &["..", "..", "etc", "passwd"]);
            file(files.item(), 1, &["../../etc/passwd"]);
            file(files.item(), 1, &["/etc/passwd"]);
            file(files.item(), 1, &["", ""]);
            file(files.item(), 1, &["C:\\windows", "NUL"]);
            file(files.item(), 1, &["a"]);
            file(files.item(), 1, &["A"]);
            file(files.item(), 1, &["a", "b"]);
        });
    }))
    .unwrap();
    assert_eq!(
        paths(&metainfo),
        ["_/_/_/etc/passwd", "_/.._.._etc_passwd", "_/_etc_passwd", "_/_/_ (1)", "_/C__windows/_NUL", "_/a", "_/A (1)", "_/a (2)/b"]
    );
    let single = parse(torrent_with(
        |info| {
            info.key(b"name").str("/etc/passwd");
            info.key(b"length").integer(1);
        },
        |_| (),
    ));
    assert_eq!(paths(&single.unwrap()), ["_etc_passwd"]);
}

#[test]
fn utf_8_names_win_over_others_unless_they_are_none() {
    let with = |utf8: &'static [u8]| {
        let metainfo = parse(torrent(move |info| {
            info.key(b"name").bytes(b"caf\xe9");
            info.key(b"name.utf-8").bytes(utf8);
            info.key(b"files").list(|files| {
                file_with(files.item(), 1, &["old"], |file| file.key(b"path.utf-8").list(|path| path.item().bytes(utf8)));
            });
        }));
        paths(&metainfo.unwrap())[0].clone()
    };
    assert_eq!(with("café".as_bytes()), "café/café");
    assert_eq!(with(b"\xff"), "caf\u{fffd}/old");
    assert_eq!(with(b""), "caf\u{fffd}/old");
}

#[test]
fn padding_needs_no_path_and_is_in_nobodys_way() {
    let metainfo = parse(torrent(|info| {
        info.key(b"files").list(|files| {
            file(files.item(), 10, &[".pad", "6"]);
            file_with(files.item(), 6, &[".pad", "6"], |file| file.key(b"attr").str("p"));
            file_with(files.item(), 6, &[".pad", "6"], |file| file.key(b"attr").str("hp"));
            files.item().dictionary(|file| {
                file.key(b"attr").str("p");
                file.key(b"length").integer(3);
            });
        });
    }))
    .unwrap();
    assert_eq!(paths(&metainfo), ["name/.pad/6", "name/.pad/6", "name/.pad/6", "name/.pad/3"]);
    assert_eq!(metainfo.info.files().iter().map(File::is_padding).collect::<Vec<_>>(), [false, true, true, true]);
    assert!(metainfo.info.files()[2].attributes().hidden);
}

#[test]
fn symbolic_links_stay_inside_the_torrent() {
    let with = |length: i64, target: &[&str]| {
        parse(torrent(|info| {
            info.key(b"files").list(|files| {
                file(files.item(), 1, &["dir", "NUL"]);
                file_with(files.item(), length, &["link"], |file| {
                    file.key(b"attr").str("l");
                    file.key(b"symlink path").list(|path| target.iter().for_each(|component| path.item().str(component)));
                });
            });
        }))
    };
    let target = |components: &[&str]| with(0, components).unwrap().info.files()[1].symlink().map(ToString::to_string);
    assert_eq!(target(&["dir", "NUL"]).as_deref(), Some("dir/_NUL"));
    assert_eq!(target(&["dir"]).as_deref(), Some("dir"));
    assert_eq!(target(&["nowhere"]), None);
    assert_eq!(target(&["link"]), None);
    for escape in [&["..", "x"][..], &["dir", "..", "..", "x"], &["/etc"], &["a\\b"], &[""], &["."], &[]] {
        assert_eq!(with(0, escape), Err(Error::SymlinkEscapes { file: 2 }));
    }
    assert_eq!(with(1, &["dir"]), Err(Error::SymlinkWithLength { file: 2 }));
}

#[test]
fn useless_extras_do_not_spoil_a_torrent() {
    let metainfo = parse(torrent_with(single(1), |top| {
        top.key(b"announce").str("http://only/announce");
        top.key(b"announce-list").list(|tiers| tiers.item().list(|tier| tier.item().str("")));
        top.key(b"url-list").str("");
        top.key(b"nodes").integer(1);
        top.key(b"comment").integer(1);
        top.key(b"creation date").str("yesterday");
    }))
    .unwrap();
    assert_eq!(metainfo.trackers, [["http://only/announce"]]);
    assert!(metainfo.web_seeds.is_empty() && metainfo.nodes.is_empty());
    assert_eq!((metainfo.comment, metainfo.creation_date), (None, None));
}

#[test]
fn a_list_of_web_seeds_names_each_once() {
    let metainfo = parse(torrent_with(single(1), |top| {
        top.key(b"url-list").list(|list| ["http://a", "http://b", "http://a"].into_iter().for_each(|url| list.item().str(url)));
    }));
    assert_eq!(metainfo.unwrap().web_seeds, ["http://a", "http://b"]);
}

#[test]
fn private_is_whatever_is_not_zero() {
    for (value, private) in [("i1e", true), ("i0e", false), ("i2e", true), ("1:1", true)] {
        let bytes = torrent(|info| {
            info.key(b"length").integer(1);
            info.key(b"private").verbatim(bencode::decode(value.as_bytes()).unwrap());
        });
        assert_eq!(parse(bytes).unwrap().info.is_private(), private);
    }
}

#[test]
fn private_outside_the_info_dictionary_means_nothing() {
    let bytes = torrent_with(single(1), |top| top.key(b"private").integer(1));
    assert!(!parse(bytes).unwrap().info.is_private());
}

#[test]
fn a_files_own_hash_is_a_hint_that_nobody_believes() {
    for hint in [&[0; 20][..], b"short", b""] {
        let metainfo = parse(torrent(|info| {
            info.key(b"files").list(|files| {
                file_with(files.item(), 5, &["a"], |file| file.key(b"sha1").bytes(hint));
                file_with(files.item(), 5, &["b"], |file| file.key(b"sha1").integer(1));
            });
        }));
        assert_eq!(paths(&metainfo.unwrap()), ["name/a", "name/b"]);
    }
}
