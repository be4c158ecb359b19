//! Files that somebody takes away, or replaces, while they are in use.

use super::*;

/// Two files share each piece.
const FILES: [(&str, u64, bool); 4] = [("a", 6, false), ("d/b", 10, false), ("e/c", 8, false), ("f/none", 0, false)];
const PIECES: [&[u8]; 3] = [b"AAAAAABB", b"BBBBBBBB", b"CCCCCCCC"];

/// The files in `wanted` are, and these pieces are stored.
fn bench(wanted: &[u32], pieces: &[u32]) -> Bench {
    let bench = Bench::new(&FILES, 8);
    assert_eq!(bench.wants(wanted.iter().copied()), Ok(DiskOutput::Done));
    for piece in pieces {
        assert_eq!(bench.store(*piece, PIECES[*piece as usize]), stored());
    }
    bench
}

fn missing(bench: &Bench, path: &str) -> (DiskErrorKind, PathBuf) {
    (DiskErrorKind::Missing, bench.path(path))
}

#[test]
fn a_file_that_was_there_is_not_kept_aside_as_if_nothing_had_been_in_it() {
    for there_at_the_start in [false, true] {
        let bench = bench(&[0, 1, 2, 3], &[0, 1, 2]);
        if there_at_the_start {
            bench.open(Allocation::Sparse).unwrap();
        }
        fs::remove_file(bench.path("a")).unwrap();
        assert_eq!(kind_and_path(bench.wants([1, 2])), missing(&bench, "a"));
        bench.open(Allocation::Sparse).unwrap();
        assert_eq!(bench.verify(0, &PIECES), [false, true, true]);
        assert_eq!(bench.wants([1, 2]), Ok(DiskOutput::Done));
        assert_eq!(bench.store(0, PIECES[0]), stored());
        assert_eq!(bench.names(), [PARTS, "d", "d/b", "e", "e/c", "f", "f/none"]);
        assert_eq!(bench.verify(0, &PIECES), [true; 3]);
    }
}

#[test]
fn nor_is_it_where_there_is_a_part_file_or_the_file_is_wanted() {
    for wanted in [&[1][..], &[1, 2]] {
        let bench = bench(&[1, 2], &[0, 1, 2]);
        fs::remove_file(bench.path("e/c")).unwrap();
        assert_eq!(kind_and_path(bench.wants(wanted.iter().copied())), missing(&bench, "e/c"));
    }
}

#[test]
fn an_empty_file_is_made_again() {
    let bench = bench(&[0, 1, 2, 3], &[0]);
    for wanted in [&[0, 1, 2, 3][..], &[0, 1, 2]] {
        fs::remove_file(bench.path("f/none")).unwrap();
        assert_eq!(bench.stamps(), [Some(6), Some(10), None, None]);
        assert_eq!(bench.wants(wanted.iter().copied()), Ok(DiskOutput::Done));
        assert_eq!(bench.path("f/none").exists(), wanted.contains(&3));
    }
}

#[test]
fn without_the_part_file_no_file_is_made_of_what_was_in_it() {
    let bench = bench(&[1], &[0, 1]);
    fs::remove_file(bench.path(PARTS)).unwrap();
    assert_eq!(kind_and_path(bench.wants([0, 1])), missing(&bench, PARTS));
    bench.open(Allocation::Sparse).unwrap();
    assert_eq!(bench.verify(0, &PIECES), [false, true, false]);
    assert_eq!(bench.prepare(), Ok(DiskOutput::Done));
}

#[test]
fn a_file_that_somebody_put_where_kept_bytes_belong_is_looked_at_first() {
    let bench = bench(&[1], &[0, 1]);
    fs::write(bench.path("a"), "??????").unwrap();
    assert_eq!(kind_and_path(bench.wants([0, 1])), missing(&bench, "a"));
    bench.open(Allocation::Sparse).unwrap();
    assert_eq!(bench.verify(0, &PIECES), [false, true, false]);
    assert_eq!(bench.wants([0, 1]), Ok(DiskOutput::Done));
}

#[test]
fn no_piece_goes_into_a_new_file_in_place_of_one_that_was_there() {
    let files = [("a", 16, false), ("b", 8, false)];
    let bench = Bench::with(DiskConfig { open_files: 1, ..DiskConfig::default() }, &files, 8, Allocation::Sparse);
    assert_eq!(bench.store(0, b"11111111"), stored());
    // This closes the other one.
    assert_eq!(bench.store(2, b"33333333"), stored());
    fs::remove_file(bench.path("a")).unwrap();
    assert_eq!(kind_and_path(bench.store(1, b"22222222")), missing(&bench, "a"));
    assert_eq!(bench.names(), ["b"]);
    bench.open(Allocation::Sparse).unwrap();
    assert_eq!(bench.store(1, b"22222222"), stored());
}

/// A file of two pieces, of which the first is stored.
fn half() -> Bench {
    let bench = Bench::new(&[("a", 16, false), ("b", 8, false)], 8);
    assert_eq!(bench.prepare(), Ok(DiskOutput::Done));
    assert_eq!(bench.store(0, b"11111111"), stored());
    bench
}

#[test]
fn a_file_that_goes_away_is_told_once_and_has_no_stamp_until_it_is_looked_at_again() {
    let bench = half();
    assert_eq!(bench.store(2, b"33333333"), stored());
    fs::remove_file(bench.path("a")).unwrap();
    assert_eq!(kind_and_path(bench.ask(DiskOperation::Stamp)), missing(&bench, "a"));
    assert_eq!(bench.stamps(), [None, Some(8)]);
    fs::write(bench.path("a"), "1111111122222222").unwrap();
    assert_eq!(bench.stamps(), [None, Some(8)], "nobody has looked at it");
    for answer in [bench.store(1, b"22222222"), bench.read(0, 0, 8), bench.prepare()] {
        assert_eq!(kind_and_path(answer), missing(&bench, "a"));
    }
    bench.open(Allocation::Sparse).unwrap();
    assert_eq!(bench.verify(0, &[b"11111111", b"22222222"]), [true, true]);
    assert_eq!(bench.stamps(), [Some(16), Some(8)]);
}

#[cfg(unix)]
mod replaced {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_file_that_is_replaced_while_it_is_open_is_not_believed() {
        for stamped_before in [false, true] {
            let bench = half();
            if stamped_before {
                assert_eq!(bench.stamps(), [Some(16), None]);
            }
            fs::write(bench.path("new"), "????????????????").unwrap();
            fs::rename(bench.path("new"), bench.path("a")).unwrap();
            assert_eq!(kind_and_path(bench.ask(DiskOperation::Stamp)), missing(&bench, "a"));
            assert_eq!(bench.stamps(), [None, None]);
            assert_eq!(kind_and_path(bench.store(1, b"22222222")), missing(&bench, "a"));
            bench.open(Allocation::Sparse).unwrap();
            assert_eq!(bench.store(1, b"22222222"), stored());
            assert_eq!(fs::read(bench.path("a")).unwrap(), b"????????22222222");
            assert_eq!(bench.stamps(), [Some(16), None]);
        }
    }

    #[test]
    fn nor_is_it_if_it_was_closed_meanwhile_for_others() {
        let config = DiskConfig { open_files: 1, ..DiskConfig::default() };
        let bench = Bench::with(config, &[("a", 16, false), ("b", 8, false)], 8, Allocation::Sparse);
        assert_eq!(bench.store(0, b"11111111"), stored());
        fs::copy(bench.path("a"), bench.path("new")).unwrap();
        fs::rename(bench.path("new"), bench.path("a")).unwrap();
        let earlier = std::time::SystemTime::now() - std::time::Duration::from_secs(100);
        fs::File::options().write(true).open(bench.path("a")).unwrap().set_modified(earlier).unwrap();
        assert_eq!(bench.store(2, b"33333333"), stored());
        assert_eq!(kind_and_path(bench.ask(DiskOperation::Stamp)), missing(&bench, "a"));
        assert_eq!(bench.stamps(), [None, Some(8)]);
    }

    #[test]
    fn what_is_written_to_a_file_that_was_deleted_is_not_stored() {
        let bench = half();
        fs::remove_file(bench.path("a")).unwrap();
        assert_eq!(kind_and_path(bench.store(1, b"22222222")), missing(&bench, "a"));
        assert_eq!(kind_and_path(bench.ask(DiskOperation::Stamp)), missing(&bench, "a"));
        assert!(bench.names().is_empty());
    }

    #[test]
    fn a_file_that_was_moved_away_is_missed_although_it_can_be_written_to() {
        let bench = half();
        fs::rename(bench.path("a"), bench.path("moved")).unwrap();
        assert_eq!(bench.store(1, b"22222222"), stored());
        assert_eq!(kind_and_path(bench.ask(DiskOperation::Stamp)), missing(&bench, "a"));
    }

    #[test]
    fn a_file_that_was_moved_and_linked_is_the_same() {
        let bench = half();
        fs::rename(bench.path("a"), bench.path("moved")).unwrap();
        symlink(bench.path("moved"), bench.path("a")).unwrap();
        assert_eq!(bench.store(1, b"22222222"), stored());
        assert_eq!(bench.stamps(), [Some(16), None]);
    }

    #[test]
    fn a_file_that_was_moved_to_another_disk_and_linked_goes_on_there() {
        let bench = half();
        let elsewhere = tempfile::tempdir().unwrap();
        let target = elsewhere.path().join("a");
        let earlier = std::time::SystemTime::now() - std::time::Duration::from_secs(100);
        let modified = |path: &Path| fs::File::options().write(true).open(path).unwrap().set_modified(earlier).unwrap();
        modified(&bench.path("a"));
        fs::copy(bench.path("a"), &target).unwrap();
        modified(&target);
        fs::remove_file(bench.path("a")).unwrap();
        symlink(&target, bench.path("a")).unwrap();
        assert_eq!(bench.stamps(), [None, None], "it may not be durable there");
        assert_eq!(bench.stamps(), [Some(16), None]);
        assert_eq!(bench.store(1, b"22222222"), stored());
        assert_eq!(fs::read(&target).unwrap(), b"1111111122222222");
    }

    #[test]
    fn the_part_file_is_missed_as_well() {
        let bench = bench(&[1], &[0]);
        fs::remove_file(bench.path(PARTS)).unwrap();
        assert_eq!(kind_and_path(bench.ask(DiskOperation::Stamp)), missing(&bench, PARTS));
        fs::write(bench.path(PARTS), "??????").unwrap();
        assert_eq!(bench.stamps(), [None, Some(10), None, None]);
    }
}
