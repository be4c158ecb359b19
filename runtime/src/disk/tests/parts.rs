//! Files that are not wanted, and the part file.

use super::*;
use std::collections::BTreeSet;

/// Two files share each piece; the wanted one is `d/b`.
const FILES: [(&str, u64, bool); 4] = [("a", 6, false), ("d/b", 10, false), ("e/c", 8, false), ("f/none", 0, false)];
const PIECES: [&[u8]; 3] = [b"AAAAAABB", b"BBBBBBBB", b"CCCCCCCC"];

fn bench_with_wanted_b() -> Bench {
    let bench = Bench::new(&FILES, 8);
    assert_eq!(bench.wants([1]), Ok(DiskOutput::Done));
    for (number, piece) in (0..2).zip(PIECES) {
        assert_eq!(bench.store(number, piece), stored());
    }
    bench
}

fn again(bench: Bench) -> Bench {
    let Bench { workers, folder, .. } = bench;
    workers.shut_down();
    let bench = Bench::closed(DiskConfig::default(), folder, &FILES, 8);
    bench.open(Allocation::Sparse).unwrap();
    bench
}

#[test]
fn what_is_not_wanted_never_appears_but_is_read_and_hashed() {
    let bench = bench_with_wanted_b();
    assert_eq!(bench.names(), [PARTS, "d", "d/b"]);
    assert_eq!(fs::read(bench.path("d/b")).unwrap(), b"BBBBBBBBBB");
    assert_eq!(bench.read(0, 0, 8), read(PIECES[0]));
    assert_eq!(bench.read(0, 4, 8), read(b"AABBBBBB"));
    assert_eq!(bench.verify(0, &PIECES), [true, true, false]);
    let Ok(DiskOutput::Stamps(stamps)) = bench.ask(DiskOperation::Stamp) else { panic!("no stamps") };
    assert_eq!(
        stamps.iter().map(|stamp| stamp.map(|stamp| stamp.aside)).collect::<Vec<_>>(),
        [Some(true), Some(false), Some(true), Some(true)]
    );
}

#[test]
fn full_allocation_takes_room_for_wanted_files_only() {
    let bench = Bench::with(DiskConfig::default(), &FILES, 8, Allocation::Full);
    assert_eq!(bench.wants([1]), Ok(DiskOutput::Done));
    assert_eq!(bench.names(), ["d", "d/b"]);
}

#[test]
fn a_file_that_is_wanted_after_all_gets_what_was_kept_of_it() {
    let bench = bench_with_wanted_b();
    assert_eq!(bench.wants([0, 1]), Ok(DiskOutput::Done));
    assert_eq!(fs::read(bench.path("a")).unwrap(), b"AAAAAA");
    assert_eq!(bench.names(), [PARTS, "a", "d", "d/b"]);
    assert_eq!(bench.prepare(), Ok(DiskOutput::Done));
    assert_eq!(bench.names(), ["a", "d", "d/b", "e", "f", "f/none"], "nothing needs the part file");
    assert_eq!(bench.store(2, PIECES[2]), stored());
    assert_eq!(bench.verify(0, &PIECES), [true; 3]);
}

#[test]
fn the_next_session_finds_what_was_kept_aside_whether_it_is_wanted_now_or_not() {
    let bench = again(bench_with_wanted_b());
    assert_eq!(bench.verify(0, &PIECES), [true, true, false]);
    assert_eq!(bench.wants([1, 2]), Ok(DiskOutput::Done));
    assert_eq!(bench.verify(0, &PIECES), [true, true, false]);
    let bench = again(bench);
    assert_eq!(bench.wants([0, 1]), Ok(DiskOutput::Done));
    assert_eq!(fs::read(bench.path("a")).unwrap(), b"AAAAAA");
    assert_eq!(bench.verify(0, &PIECES), [true, true, false]);
}

#[test]
fn a_file_that_is_there_is_used_although_it_is_not_wanted() {
    let bench = Bench::new(&FILES, 8);
    fs::write(bench.path("a"), "??").unwrap();
    assert_eq!(bench.wants([1]), Ok(DiskOutput::Done));
    assert_eq!(bench.store(0, PIECES[0]), stored());
    assert_eq!(bench.names(), ["a", "d", "d/b"]);
    assert_eq!(fs::read(bench.path("a")).unwrap(), b"AAAAAA");
}

#[test]
fn a_piece_of_a_file_that_just_ceased_to_be_wanted_does_not_bring_it_back() {
    let bench = bench_with_wanted_b();
    assert_eq!(bench.store(2, PIECES[2]), stored());
    assert_eq!(bench.names(), [PARTS, "d", "d/b"]);
    assert_eq!(bench.verify(0, &PIECES), [true; 3]);
    assert_eq!(bench.wants([1, 2]), Ok(DiskOutput::Done));
    assert_eq!(fs::read(bench.path("e/c")).unwrap(), b"CCCCCCCC");
}

#[test]
fn a_crash_while_a_file_is_brought_loses_nothing() {
    let bench = bench_with_wanted_b();
    fs::write(bench.path(&format!("{PARTS}.a")), "AAA").unwrap();
    let bench = again(bench);
    assert_eq!(bench.prepare(), Ok(DiskOutput::Done));
    assert_eq!(bench.verify(0, &PIECES), [true, true, false]);
    assert_eq!(bench.names(), ["a", "d", "d/b", "e", "f", "f/none"]);
}

#[test]
fn a_crash_between_two_writes_of_a_piece_is_found_and_made_good() {
    let bench = bench_with_wanted_b();
    fs::write(bench.path(PARTS), "AAA").unwrap();
    let bench = again(bench);
    assert_eq!(bench.verify(0, &PIECES), [false, true, false]);
    assert_eq!(bench.wants([1]), Ok(DiskOutput::Done));
    assert_eq!(bench.store(0, PIECES[0]), stored());
    assert_eq!(bench.prepare(), Ok(DiskOutput::Done));
    assert_eq!(bench.verify(0, &PIECES), [true, true, false]);
}

#[test]
fn what_is_in_the_part_files_way_is_named() {
    let bench = Bench::new(&FILES, 8);
    assert_eq!(bench.wants([1]), Ok(DiskOutput::Done));
    fs::create_dir(bench.path(PARTS)).unwrap();
    assert_eq!(kind_and_path(bench.store(0, PIECES[0])), (DiskErrorKind::WrongKind, bench.path(PARTS)));
    fs::remove_dir(bench.path(PARTS)).unwrap();
    assert_eq!(kind_and_path(bench.read(0, 0, 8)), (DiskErrorKind::Missing, bench.path(PARTS)));
    assert_eq!(bench.store(0, PIECES[0]), stored());
}

#[test]
fn without_its_torrent_the_part_file_goes() {
    for (forget, delete, left) in [(false, false, &[PARTS, "d", "d/b"][..]), (true, false, &["d", "d/b"]), (false, true, &[])] {
        let bench = bench_with_wanted_b();
        assert_eq!(bench.ask(DiskOperation::Close { forget, delete }), Ok(DiskOutput::Done));
        assert_eq!(bench.names(), left);
    }
}

#[test]
fn blocks_of_a_piece_that_is_not_complete_are_kept_where_they_belong() {
    let bench = Bench::new(&FILES, 8);
    assert_eq!(bench.wants([1]), Ok(DiskOutput::Done));
    let run = |offset, bytes: &'static [u8]| Kept {
        spans: bench.layout.spans(0, offset, bytes.len() as u32),
        segments: vec![Bytes::from_static(bytes)],
    };
    let runs = vec![run(0, b"AA"), run(4, b"AAB")];
    assert_eq!(bench.ask(DiskOperation::Keep { piece: 0, runs }), Ok(DiskOutput::Done));
    assert_eq!(bench.read(0, 4, 3), read(b"AAB"));
    assert_eq!(bench.names(), [PARTS, "d", "d/b"]);
    let stamp = |stamp: &Option<FileStamp>| stamp.map(|stamp| stamp.length);
    let Ok(DiskOutput::Stamps(stamps)) = bench.ask(DiskOperation::Stamp) else { panic!("no stamps") };
    assert_eq!(stamps.iter().map(stamp).collect::<Vec<_>>(), [Some(6), Some(10), Some(6), Some(6)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_wanted_when_the_content_is_right_and_nothing_else_exists(
        lengths in prop::collection::vec((0u64..60, prop::bool::weighted(0.1)), 1..7),
        piece_length in 1u32..50,
        changes in prop::collection::vec((any::<u8>(), any::<bool>()), 1..5),
    ) {
        let names: Vec<String> = (0..lengths.len()).map(|number| format!("d{}/{number}", number % 3)).collect();
        let files: Vec<_> = names.iter().zip(&lengths).map(|(name, (length, padding))| (name.as_str(), *length, *padding)).collect();
        let mut bench = Bench::with(DiskConfig { open_files: 2, ..DiskConfig::default() }, &files, piece_length, Allocation::Sparse);
        let mut content = Vec::new();
        for (length, padding) in &lengths {
            content.extend((0..*length).map(|at| if *padding { 0 } else { at as u8 | 0x80 }));
        }
        let pieces: Vec<&[u8]> = content.chunks(piece_length as usize).collect();
        // A piece of padding alone is there without being stored.
        let is_padding = |number: u32| bench.layout.spans(number, 0, bench.layout.piece_size(number)).iter().all(|span| files[span.file as usize].2);
        let mut stored_pieces: Vec<bool> = (0..pieces.len() as u32).map(is_padding).collect();
        let mut ever = BTreeSet::new();
        for (bits, restart) in changes {
            let wanted: Vec<u32> = (0..files.len() as u32).filter(|file| bits >> file & 1 != 0).collect();
            if restart {
                let Bench { workers, folder, .. } = bench;
                workers.shut_down();
                bench = Bench::closed(DiskConfig::default(), folder, &files, piece_length);
                bench.open(Allocation::Sparse).unwrap();
                prop_assert_eq!(bench.verify(0, &pieces), stored_pieces.clone());
            }
            prop_assert_eq!(bench.wants(wanted.iter().copied()), Ok(DiskOutput::Done));
            ever.extend(wanted.iter().copied());
            for (number, piece) in (0..).zip(&pieces) {
                let spans = bench.layout.spans(number, 0, bench.layout.piece_size(number));
                let real = |file: u32| wanted.contains(&file) && !files[file as usize].2;
                if !stored_pieces[number as usize] && spans.iter().any(|span| real(span.file)) {
                    prop_assert_eq!(bench.store(number, piece), stored());
                    stored_pieces[number as usize] = true;
                }
            }
            prop_assert_eq!(bench.verify(0, &pieces), stored_pieces.clone());
            let mut start = 0;
            for (number, (name, length, padding)) in (0..).zip(&files) {
                let expected = &content[start..start + *length as usize];
                start += *length as usize;
                let found = fs::read(bench.path(name)).ok();
                match found {
                    Some(found) if wanted.contains(&number) => prop_assert_eq!(found, expected),
                    Some(_) => prop_assert!(ever.contains(&number), "{} was never wanted", name),
                    None => prop_assert!(*padding || !wanted.contains(&number), "{} is missing", name),
                }
            }
            let hidden = bench.names().into_iter().filter(|name| name.contains(".hash")).collect::<Vec<_>>();
            prop_assert!(hidden.is_empty() || hidden == [PARTS], "{:?}", hidden);
            let all_wanted = (0..).zip(&files).all(|(number, (_, length, padding))| *padding || *length == 0 || wanted.contains(&number));
            prop_assert!(!all_wanted || hidden.is_empty());
        }
    }
}
