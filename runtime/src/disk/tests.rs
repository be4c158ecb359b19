mod gone;
mod parts;

use super::*;
use bytes::Bytes;
use proptest::prelude::*;
use rustor_core::{
    error::DiskErrorKind,
    storage::{Allocation, Digest, FileStamp, Fingerprint, Kept, Layout, LayoutFile, Span},
    util::Bitfield,
};
use sha1::{Digest as _, Sha1};
use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Mutex,
        mpsc::{self, Receiver},
    },
};

type Answer = Result<DiskOutput, Box<DiskError>>;

const TORRENT: TorrentId = TorrentId::from_bits(7);

const PARTS: &str = ".hash.parts";

/// Workers, one torrent of theirs, and its folder.
struct Bench {
    workers: DiskWorkers,
    answers: Receiver<(DiskJobId, Answer)>,
    folder: tempfile::TempDir,
    layout: Arc<Layout>,
}

impl Bench {
    /// Files by path, length and whether they are padding.
    fn new(files: &[(&str, u64, bool)], piece_length: u32) -> Bench {
        Bench::with(DiskConfig::default(), files, piece_length, Allocation::Sparse)
    }

    fn with(config: DiskConfig, files: &[(&str, u64, bool)], piece_length: u32, allocation: Allocation) -> Bench {
        let bench = Bench::closed(config, tempfile::tempdir().unwrap(), files, piece_length);
        let opened = bench.open(allocation).unwrap();
        assert_eq!(opened, DiskOutput::Opened(vec![None; files.len()]));
        bench
    }

    fn closed(config: DiskConfig, folder: tempfile::TempDir, files: &[(&str, u64, bool)], piece_length: u32) -> Bench {
        let (sender, answers) = mpsc::channel();
        let workers = DiskWorkers::start(config, Arc::new(move |job, answer| drop(sender.send((job, answer))))).unwrap();
        let file = |(path, length, padding): &(&str, u64, bool)| LayoutFile {
            path: path.split('/').map(String::from).collect(),
            length: *length,
            padding: *padding,
        };
        let layout = Arc::new(Layout::new(files.iter().map(file).collect(), piece_length).unwrap());
        Bench { workers, answers, folder, layout }
    }

    fn open(&self, allocation: Allocation) -> Answer {
        let folder = self.folder.path().to_str().unwrap().into();
        self.ask(DiskOperation::Open { layout: Arc::clone(&self.layout), folder, allocation, parts: PARTS.into() })
    }

    fn ask(&self, operation: DiskOperation) -> Answer {
        self.workers.submit(DiskJobId::from_bits(1), TORRENT, operation);
        let (job, answer) = self.answers.recv().unwrap();
        assert_eq!(job, DiskJobId::from_bits(1));
        answer
    }

    /// Every file is wanted.
    fn prepare(&self) -> Answer {
        self.wants(0..self.layout.files().len() as u32)
    }

    /// These files are wanted.
    fn wants(&self, files: impl IntoIterator<Item = u32>) -> Answer {
        let mut wanted = Bitfield::new(self.layout.files().len() as u32);
        for file in files {
            wanted.set(file);
        }
        self.ask(DiskOperation::Prepare { wanted })
    }

    fn store_operation(&self, piece: u32, bytes: &[u8]) -> DiskOperation {
        DiskOperation::Store {
            piece,
            segments: bytes.chunks(5).map(Bytes::copy_from_slice).collect(),
            spans: self.layout.spans(piece, 0, self.layout.piece_size(piece)),
            digest: Sha1::digest(bytes).into(),
            fingerprints: false,
        }
    }

    fn store(&self, piece: u32, bytes: &[u8]) -> Answer {
        self.ask(self.store_operation(piece, bytes))
    }

    fn read(&self, piece: u32, offset: u32, length: u32) -> Answer {
        self.ask(DiskOperation::Read { spans: self.layout.spans(piece, offset, length), length })
    }

    fn verify(&self, first: u32, pieces: &[&[u8]]) -> Vec<bool> {
        let digests: Vec<u8> = pieces.iter().flat_map(|piece| Sha1::digest(piece).to_vec()).collect();
        match self.ask(DiskOperation::Verify { first, digests: digests.into() }) {
            Ok(DiskOutput::Verified(good)) => good,
            other => panic!("{other:?}"),
        }
    }

    fn stamps(&self) -> Vec<Option<u64>> {
        match self.ask(DiskOperation::Stamp) {
            Ok(DiskOutput::Stamps(stamps)) => stamps.iter().map(|stamp| stamp.as_ref().map(|stamp| stamp.length)).collect(),
            other => panic!("{other:?}"),
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// All files below the folder with their contents, and all folders.
    fn tree(&self) -> BTreeMap<String, Option<Vec<u8>>> {
        fn walk(root: &Path, folder: &Path, tree: &mut BTreeMap<String, Option<Vec<u8>>>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                tree.insert(name, fs::read(&path).ok());
                if path.is_dir() {
                    walk(root, &path, tree);
                }
            }
        }
        let mut tree = BTreeMap::new();
        walk(self.folder.path(), self.folder.path(), &mut tree);
        tree
    }

    fn names(&self) -> Vec<String> {
        self.tree().into_keys().collect()
    }
}

fn stored() -> Answer {
    Ok(DiskOutput::Stored(Vec::new()))
}

fn read(bytes: &[u8]) -> Answer {
    Ok(DiskOutput::Read(Bytes::copy_from_slice(bytes)))
}

fn kind_and_path(answer: Answer) -> (DiskErrorKind, PathBuf) {
    let error = answer.unwrap_err();
    (error.kind, error.path.into())
}

/// Two files, the second in folders, with padding and an empty file between.
const TREE: [(&str, u64, bool); 4] = [("a", 6, false), ("none", 0, false), (".pad/2", 2, true), ("d/e/b", 8, false)];

#[test]
fn opening_looks_and_creates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a"), "abc").unwrap();
    let bench = Bench::closed(DiskConfig::default(), folder, &TREE, 8);
    let Ok(DiskOutput::Opened(found)) = bench.open(Allocation::Full) else { panic!("not opened") };
    assert_eq!(found[0].unwrap().length, 3);
    assert!(found[0].unwrap().modified > 1_500_000_000_000_000_000, "nanoseconds since 1970");
    assert_eq!(found[1..], [None; 3]);
    assert_eq!(bench.names(), ["a"]);
}

#[test]
fn preparing_creates_folders_and_empty_files_but_no_padding() {
    let bench = Bench::new(&TREE, 8);
    assert_eq!(bench.prepare(), Ok(DiskOutput::Done));
    assert_eq!(bench.names(), ["d", "d/e", "none"]);
    assert_eq!(bench.stamps(), [None, Some(0), None, None]);
}

#[test]
fn preparing_under_full_allocation_takes_the_room_and_keeps_what_is_there() {
    let length = 3 << 20;
    let files = [("a", length, false), ("pad", 9, true), ("d/b", length, false)];
    let bench = Bench::with(DiskConfig::default(), &files, 1 << 20, Allocation::Full);
    fs::write(bench.path("a"), "kept").unwrap();
    assert_eq!(bench.prepare(), Ok(DiskOutput::Done));
    assert_eq!(bench.stamps(), [Some(length), None, Some(length)]);
    assert_eq!(&fs::read(bench.path("a")).unwrap()[..5], b"kept\0");
    #[cfg(unix)]
    for path in ["a", "d/b"] {
        use std::os::unix::fs::MetadataExt;
        assert!(fs::metadata(bench.path(path)).unwrap().blocks() * 512 >= length, "{path}");
    }
}

#[test]
fn preparing_cuts_what_is_too_long_and_leaves_the_rest_alone() {
    let bench = Bench::new(&TREE, 8);
    fs::write(bench.path("a"), "123456789").unwrap();
    fs::write(bench.path("none"), "x").unwrap();
    fs::create_dir_all(bench.path("d/e")).unwrap();
    fs::write(bench.path("d/e/b"), "short").unwrap();
    assert_eq!(bench.prepare(), Ok(DiskOutput::Done));
    assert_eq!(bench.stamps(), [Some(6), Some(0), None, Some(5)]);
    assert_eq!(fs::read(bench.path("a")).unwrap(), b"123456");
}

#[test]
fn a_piece_goes_to_all_its_files_and_comes_back_from_them() {
    let bench = Bench::new(&TREE, 16);
    assert_eq!(bench.store(0, b"AAAAAA\0\0BBBBBBBB"), stored());
    assert_eq!(fs::read(bench.path("a")).unwrap(), b"AAAAAA");
    assert_eq!(fs::read(bench.path("d/e/b")).unwrap(), b"BBBBBBBB");
    assert_eq!(bench.names(), ["a", "d", "d/e", "d/e/b"], "no padding, and no empty file that nobody asked for");
    assert_eq!(bench.read(0, 0, 16), read(b"AAAAAA\0\0BBBBBBBB"));
    assert_eq!(bench.read(0, 5, 4), read(b"A\0\0B"));
    assert_eq!(bench.read(0, 0, 0), read(b""));
}

#[test]
fn reused_buffers_still_read_zeros_where_padding_is() {
    let bench = Bench::new(&TREE, 16);
    assert_eq!(bench.store(0, b"AAAAAA\0\0BBBBBBBB"), stored());
    for _ in 0..3 {
        assert_eq!(bench.read(0, 0, 6), read(b"AAAAAA"));
        assert_eq!(bench.read(0, 6, 2), read(&[0, 0]));
    }
}

#[test]
fn a_file_gets_its_full_length_with_its_first_piece() {
    let bench = Bench::new(&[("a", 20, false)], 8);
    assert_eq!(bench.store(1, b"22222222"), stored());
    assert_eq!(fs::read(bench.path("a")).unwrap(), b"\0\0\0\0\0\0\0\x0022222222\0\0\0\0");
}

#[test]
fn what_is_in_a_file_already_stays_and_what_is_too_much_goes() {
    let bench = Bench::new(&[("a", 20, false), ("b", 4, false)], 8);
    fs::write(bench.path("a"), "11111111").unwrap();
    fs::write(bench.path("b"), "????and more").unwrap();
    assert_eq!(bench.store(2, b"3333BBBB"), stored());
    assert_eq!(fs::read(bench.path("a")).unwrap(), b"11111111\0\0\0\0\0\0\0\x003333");
    assert_eq!(fs::read(bench.path("b")).unwrap(), b"BBBB");
}

#[test]
fn a_bad_piece_touches_nothing_and_its_bad_block_can_be_told() {
    let (block, length) = (16 << 10, 40_000);
    let bench = Bench::new(&[("a", length, false)], 1 << 20);
    let good: Vec<u8> = (0..length).map(|at| (at / 100) as u8).collect();
    let mut bad = good.clone();
    bad[block + 1] ^= 1;
    let store = |bytes: &[u8], fingerprints| DiskOperation::Store {
        piece: 0,
        segments: bytes.chunks(7000).map(Bytes::copy_from_slice).collect(),
        spans: bench.layout.spans(0, 0, length as u32),
        digest: Sha1::digest(&good).into(),
        fingerprints,
    };
    let Ok(DiskOutput::Mismatch(bad_prints)) = bench.ask(store(&bad, false)) else { panic!("no mismatch") };
    assert!(bench.names().is_empty());
    let Ok(DiskOutput::Stored(good_prints)) = bench.ask(store(&good, true)) else { panic!("not stored") };
    let expected: Vec<Fingerprint> = good.chunks(block).map(|block| Sha1::digest(block)[..8].try_into().unwrap()).collect();
    assert_eq!(good_prints, expected);
    assert_eq!((bad_prints[0], bad_prints[2]), (good_prints[0], good_prints[2]));
    assert_ne!(bad_prints[1], good_prints[1]);
    assert_eq!(bench.ask(store(&good, false)), stored());
}

#[test]
fn reading_what_is_not_there_names_the_file() {
    let bench = Bench::new(&TREE, 16);
    assert_eq!(kind_and_path(bench.read(0, 0, 4)), (DiskErrorKind::Missing, bench.path("a")));
    fs::write(bench.path("a"), "short").unwrap();
    assert_eq!(bench.read(0, 0, 5), read(b"short"));
    assert_eq!(kind_and_path(bench.read(0, 0, 6)), (DiskErrorKind::Missing, bench.path("a")));
}

#[test]
fn a_file_is_written_after_it_was_read() {
    let bench = Bench::new(&[("a", 16, false)], 8);
    fs::write(bench.path("a"), "11111111????????").unwrap();
    assert_eq!(bench.read(0, 0, 8), read(b"11111111"));
    assert_eq!(bench.store(1, b"22222222"), stored());
    assert_eq!(bench.read(1, 0, 8), read(b"22222222"));
}

#[test]
fn verifying_finds_exactly_what_is_missing_short_or_wrong() {
    let bench = Bench::new(&TREE, 4);
    let pieces: [&[u8]; 4] = [b"AAAA", b"AA\0\0", b"BBBB", b"bbbb"];
    assert_eq!(bench.verify(0, &pieces), [false; 4]);
    for (number, piece) in (0..).zip(pieces) {
        assert_eq!(bench.store(number, piece), stored());
    }
    assert_eq!(bench.verify(0, &pieces), [true; 4]);
    assert_eq!(bench.verify(2, &pieces[2..]), [true, true]);
    assert_eq!(bench.verify(3, &[b"bbbb", b"beyond the end"]), [true, false]);
    fs::write(bench.path("a"), "AAaAAA").unwrap();
    assert_eq!(bench.verify(0, &pieces), [false, true, true, true]);
    fs::write(bench.path("d/e/b"), "BBBBb").unwrap();
    assert_eq!(bench.verify(0, &pieces), [false, true, true, false]);
    assert_eq!(bench.verify(0, &[]), [false; 0]);
    fs::remove_file(bench.path("a")).unwrap();
    assert_eq!(bench.verify(0, &pieces), [false, false, true, false]);
}

#[test]
fn after_verifying_a_moved_file_nothing_is_written_to_where_it_went() {
    let bench = Bench::new(&[("a", 8, false)], 8);
    assert_eq!(bench.store(0, b"11111111"), stored());
    fs::rename(bench.path("a"), bench.path("moved")).unwrap();
    assert_eq!(bench.open(Allocation::Sparse), Ok(DiskOutput::Opened(vec![None])));
    assert_eq!(bench.verify(0, &[b"11111111"]), [false]);
    assert_eq!(bench.store(0, b"22222222"), stored());
    assert_eq!(fs::read(bench.path("moved")).unwrap(), b"11111111");
    assert_eq!(fs::read(bench.path("a")).unwrap(), b"22222222");
}

#[test]
fn a_stamp_changes_with_the_file() {
    let bench = Bench::new(&[("a", 8, false)], 8);
    assert_eq!(bench.store(0, b"11111111"), stored());
    let before = bench.ask(DiskOperation::Stamp);
    assert_eq!(bench.ask(DiskOperation::Stamp), before);
    let touched = std::time::SystemTime::now() - std::time::Duration::from_secs(100);
    fs::File::options().write(true).open(bench.path("a")).unwrap().set_modified(touched).unwrap();
    assert_ne!(bench.ask(DiskOperation::Stamp), before);
}

/// A bench whose system says this when a file is to be synced, and the files that it was asked to sync.
fn with_sync(files: &[(&str, u64, bool)], answer: fn() -> io::Result<()>) -> (Bench, Receiver<fs::Metadata>) {
    let mut bench = Bench::closed(DiskConfig::default(), tempfile::tempdir().unwrap(), files, 8);
    let (synced, seen) = mpsc::channel();
    let sync = move |file: &fs::File| {
        synced.send(file.metadata()?).unwrap();
        answer()
    };
    let config = DiskConfig::default();
    let storage = Arc::new(Storage::with_sync(&config, Box::new(sync)));
    let (sender, answers) = mpsc::channel();
    bench.workers = DiskWorkers::with_storage(config, storage, Arc::new(move |job, answer| drop(sender.send((job, answer))))).unwrap();
    bench.answers = answers;
    bench.open(Allocation::Sparse).unwrap();
    (bench, seen)
}

#[test]
fn a_stamp_says_that_what_was_written_before_is_durable() {
    let (bench, synced) = with_sync(&[("a", 8, false), ("b", 12, false), ("c", 4, false)], || Ok(()));
    assert_eq!(bench.store(0, b"11111111"), stored());
    assert_eq!(bench.store(1, b"22222222"), stored());
    assert_eq!(synced.try_iter().count(), 0);
    assert_eq!(bench.stamps(), [Some(8), Some(12), None]);
    assert_eq!(synced.try_iter().map(|file| file.len()).collect::<Vec<_>>(), [8, 12]);
    assert_eq!(bench.stamps(), [Some(8), Some(12), None]);
    assert_eq!(synced.try_iter().count(), 0, "nothing was written since");
    // What was found may have been left by a process that was killed a moment ago.
    assert_eq!(bench.verify(0, &[b"11111111"]), [true]);
    assert_eq!(bench.stamps(), [Some(8), Some(12), None]);
    assert_eq!(synced.try_iter().map(|file| file.len()).collect::<Vec<_>>(), [8]);
}

#[test]
fn what_the_disk_lost_has_no_stamp() {
    let (bench, _synced) = with_sync(&[("a", 8, false), ("b", 8, false)], || Err(io::ErrorKind::StorageFull.into()));
    assert_eq!(bench.store(1, b"22222222"), stored());
    assert_eq!(bench.stamps(), [None, None]);
    fs::write(bench.path("a"), "11111111").unwrap();
    assert_eq!(bench.stamps(), [Some(8), None]);
}

#[test]
fn resume_data_is_saved_where_the_host_said_and_forgotten_on_demand() {
    let bench = Bench::new(&[("a", 8, false)], 8);
    let save = |data: &'static [u8]| bench.ask(DiskOperation::SaveResume { data: Bytes::from_static(data) });
    assert_eq!(save(b"nowhere to go"), Ok(DiskOutput::Done));
    assert!(bench.names().is_empty());
    let path = bench.path("state/torrent.resume");
    bench.workers.set_resume_file(TORRENT, path.clone());
    assert_eq!(save(b"one"), Ok(DiskOutput::Done));
    assert_eq!(save(b"two"), Ok(DiskOutput::Done));
    assert_eq!(resume_data(&path).as_deref(), Some(&b"two"[..]));
    assert_eq!(bench.ask(DiskOperation::Close { forget: false, delete: false }), Ok(DiskOutput::Done));
    assert_eq!(resume_data(&path).as_deref(), Some(&b"two"[..]));
    bench.workers.set_resume_file(TORRENT, path.clone());
    assert_eq!(bench.ask(DiskOperation::Close { forget: true, delete: false }), Ok(DiskOutput::Done));
    assert_eq!(resume_data(&path), None);
}

fn resume_data(path: &Path) -> Option<Bytes> {
    crate::resume::load(path)
}

#[test]
fn deleting_takes_the_torrents_files_and_emptied_folders_and_nothing_else() {
    let files = [("t/a", 4, false), ("t/d/e/b", 4, false), ("t/d/c", 4, false), ("t/pad", 4, true), ("t/never", 4, false)];
    let bench = Bench::new(&files, 12);
    assert_eq!(bench.store(0, b"aaaabbbbcccc"), stored());
    fs::write(bench.path("t/d/mine"), "keep").unwrap();
    fs::write(bench.path("t/pad"), "not of the torrent").unwrap();
    fs::create_dir(bench.path("t/d/e/empty but not ours")).unwrap();
    assert_eq!(bench.ask(DiskOperation::Close { forget: true, delete: true }), Ok(DiskOutput::Done));
    assert_eq!(bench.names(), ["t", "t/d", "t/d/e", "t/d/e/empty but not ours", "t/d/mine", "t/pad"]);
}

#[test]
fn deleting_everything_leaves_the_download_folder() {
    let bench = Bench::new(&TREE, 16);
    assert_eq!(bench.store(0, b"AAAAAA\0\0BBBBBBBB"), stored());
    assert_eq!(bench.ask(DiskOperation::Close { forget: false, delete: true }), Ok(DiskOutput::Done));
    assert!(bench.names().is_empty() && bench.folder.path().is_dir());
}

#[test]
fn without_delete_the_files_stay() {
    let bench = Bench::new(&TREE, 16);
    assert_eq!(bench.store(0, b"AAAAAA\0\0BBBBBBBB"), stored());
    assert_eq!(bench.ask(DiskOperation::Close { forget: true, delete: false }), Ok(DiskOutput::Done));
    assert_eq!(bench.names(), ["a", "d", "d/e", "d/e/b"]);
    assert_eq!(bench.read(0, 0, 1).unwrap_err().message, "the torrent is not open");
}

#[test]
fn a_file_where_a_folder_is_needed_is_named() {
    let bench = Bench::new(&TREE, 16);
    fs::write(bench.path("d"), "in the way").unwrap();
    let answers = [bench.open(Allocation::Sparse), bench.prepare(), bench.store(0, b"AAAAAA\0\0BBBBBBBB")];
    for answer in answers {
        let error = answer.unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (DiskErrorKind::WrongKind, "is a file, but a folder is needed"));
        assert_eq!(error.path, bench.path("d").display().to_string());
    }
    assert_eq!(fs::read(bench.path("d")).unwrap(), b"in the way");
}

#[test]
fn an_output_folder_that_is_a_file_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let bench = Bench::new(&TREE, 16);
    let folder = file.path().to_str().unwrap().to_owned();
    let open = DiskOperation::Open { layout: Arc::clone(&bench.layout), folder, allocation: Allocation::Sparse, parts: PARTS.into() };
    assert_eq!(kind_and_path(bench.ask(open)), (DiskErrorKind::WrongKind, file.path().into()));
}

#[test]
fn a_folder_where_a_file_is_needed_is_named() {
    let bench = Bench::new(&TREE, 16);
    fs::create_dir(bench.path("a")).unwrap();
    let answers = [
        bench.open(Allocation::Sparse),
        bench.prepare(),
        bench.store(0, b"AAAAAA\0\0BBBBBBBB"),
        bench.read(0, 0, 1),
        bench.ask(DiskOperation::Stamp),
    ];
    for answer in answers {
        let error = answer.unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (DiskErrorKind::WrongKind, "is a folder, but a file is needed"));
        assert_eq!(error.path, bench.path("a").display().to_string());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_pipe_where_a_file_is_needed_does_not_hang_the_worker() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let bench = Bench::new(&TREE, 16);
    mknodat(CWD, bench.path("a"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    assert_eq!(kind_and_path(bench.read(0, 0, 1)), (DiskErrorKind::WrongKind, bench.path("a")));
    assert_eq!(kind_and_path(bench.store(0, b"AAAAAA\0\0BBBBBBBB")), (DiskErrorKind::WrongKind, bench.path("a")));
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_may_not_be_written_is_named() {
    let bench = Bench::new(&TREE, 16);
    // Nobody may create anything there, not even root.
    let folder = PathBuf::from("/sys/rustor");
    let open = DiskOperation::Open {
        layout: Arc::clone(&bench.layout),
        folder: folder.to_str().unwrap().into(),
        allocation: Allocation::Sparse,
        parts: PARTS.into(),
    };
    assert_eq!(bench.ask(open), Ok(DiskOutput::Opened(vec![None; 4])));
    assert_eq!(kind_and_path(bench.prepare()), (DiskErrorKind::PermissionDenied, folder.clone()));
    assert_eq!(kind_and_path(bench.store(0, b"AAAAAA\0\0BBBBBBBB")), (DiskErrorKind::PermissionDenied, folder.clone()));
    bench.workers.set_resume_file(TORRENT, folder.join("state").join("resume"));
    let save = DiskOperation::SaveResume { data: Bytes::from_static(b"data") };
    assert_eq!(bench.ask(save).unwrap_err().kind, DiskErrorKind::PermissionDenied);
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_too_small_for_full_allocation_is_full() {
    // A file system in memory refuses at once what is larger than it can ever be, and takes no room for it.
    let shared_memory = Path::new("/dev/shm");
    let Ok(system) = rustix::fs::statvfs(shared_memory) else { return };
    let too_much = system.f_blocks * system.f_frsize + (1 << 20);
    let folder = tempfile::tempdir_in(shared_memory).unwrap();
    let bench = Bench::closed(DiskConfig::default(), folder, &[("small", 10, false), ("d/large", too_much, false)], u32::MAX);
    assert!(bench.open(Allocation::Full).is_ok());
    let error = bench.prepare().unwrap_err();
    assert_eq!((error.kind, error.path.as_str()), (DiskErrorKind::Full, bench.path("d/large").to_str().unwrap()));
}

#[test]
fn free_space_is_told_for_folders_that_are_still_to_be_made() {
    let folder = tempfile::tempdir().unwrap();
    let here = free_space(folder.path());
    assert_eq!(here.is_some(), cfg!(unix));
    assert_eq!(free_space(&folder.path().join("to").join("be")).is_some(), here.is_some());
}

#[test]
fn names_that_lead_out_of_the_folder_are_refused() {
    for path in [&[".."][..], &["a", "..", "b"], &["/etc/passwd"], &["a/b"], &["."], &[""], &[]] {
        let bench = Bench::new(&[], 16);
        let file = LayoutFile { path: path.iter().map(|name| (*name).into()).collect(), length: 1, padding: false };
        let layout = Arc::new(Layout::new(vec![file], 16).unwrap());
        let folder = bench.folder.path().to_str().unwrap().into();
        let answer = bench.ask(DiskOperation::Open { layout, folder, allocation: Allocation::Sparse, parts: PARTS.into() });
        assert_eq!(answer.unwrap_err().message, "this path leads out of the download folder", "{path:?}");
    }
}

#[test]
fn jobs_that_do_not_fit_the_torrent_are_refused() {
    let bench = Bench::new(&[("a", 8, false)], 8);
    let read = |file, offset, span_length, length| {
        let spans = [Span { file, offset, length: span_length }].into_iter().collect();
        bench.ask(DiskOperation::Read { spans, length }).unwrap_err().message
    };
    let refused = "a job does not fit the torrent's files";
    assert_eq!(read(1, 0, 1, 1), refused);
    assert_eq!(read(0, 7, 2, 2), refused);
    assert_eq!(read(0, u64::MAX, 2, 2), refused);
    assert_eq!(read(0, 0, 2, 3), refused);
    let store = bench.store_operation(0, b"more than eight");
    assert_eq!(bench.ask(store).unwrap_err().message, refused);
    assert!(bench.names().is_empty());
}

#[test]
fn closing_a_torrent_that_was_never_opened_is_done() {
    let bench = Bench::closed(DiskConfig::default(), tempfile::tempdir().unwrap(), &TREE, 8);
    assert_eq!(bench.prepare().unwrap_err().message, "the torrent is not open");
    assert_eq!(bench.ask(DiskOperation::Close { forget: true, delete: true }), Ok(DiskOutput::Done));
}

#[test]
fn pieces_stored_side_by_side_in_new_files_do_not_hurt_each_other() {
    // So few handles that files are opened again and again while others write to them.
    let config = DiskConfig { threads: NonZeroUsize::new(4).unwrap(), open_files: 2, ..DiskConfig::default() };
    let files = [("a", 40_000, false), ("d/b", 30_000, false), ("d/c", 7, false), ("d/d", 50_000, false)];
    let bench = Bench::with(config, &files, 100, Allocation::Sparse);
    let content: Vec<u8> = (0..bench.layout.total_length()).map(|at| (at % 251) as u8).collect();
    // From the last to the first: the files begin as holes.
    for (number, piece) in (0..).zip(content.chunks(100)).collect::<Vec<_>>().into_iter().rev() {
        bench.workers.submit(DiskJobId::from_bits(u64::from(number)), TORRENT, bench.store_operation(number, piece));
    }
    for _ in 0..bench.layout.piece_count() {
        assert_eq!(bench.answers.recv().unwrap().1, stored());
    }
    let on_disk: Vec<u8> = files.iter().flat_map(|(path, _, _)| fs::read(bench.path(path)).unwrap()).collect();
    assert!(on_disk == content);
    assert!(bench.verify(0, &content.chunks(100).collect::<Vec<_>>()).iter().all(|good| *good));
}

#[test]
fn a_worker_that_panics_answers_and_goes_on() {
    let storage = Arc::new(Storage::new(&DiskConfig::default()));
    let (sender, answers) = mpsc::channel();
    let perform = |_: &mut PieceHasher, _: TorrentId, operation: DiskOperation| match operation {
        DiskOperation::Prepare { .. } => panic!("as {} as can be", "bad"),
        _ => Ok(DiskOutput::Done),
    };
    let config = DiskConfig { threads: NonZeroUsize::MIN, ..DiskConfig::default() };
    let complete = move |job: DiskJobId, answer: Answer| {
        sender.send((job.to_bits(), answer)).unwrap();
        assert_ne!(job.to_bits(), 2, "a host may panic, too");
    };
    let workers = DiskWorkers::start_with(config, storage, Arc::new(perform), Arc::new(complete)).unwrap();
    workers.submit(DiskJobId::from_bits(1), TORRENT, DiskOperation::Prepare { wanted: Bitfield::full(1) });
    workers.submit(DiskJobId::from_bits(2), TORRENT, DiskOperation::Close { forget: false, delete: false });
    workers.submit(DiskJobId::from_bits(3), TORRENT, DiskOperation::Close { forget: false, delete: false });
    let (job, answer) = answers.recv().unwrap();
    let error = answer.unwrap_err();
    assert_eq!((job, error.kind), (1, DiskErrorKind::Other));
    assert_eq!(error.message, "internal error: as bad as can be");
    assert_eq!(answers.recv().unwrap(), (2, Ok(DiskOutput::Done)));
    assert_eq!(answers.recv().unwrap(), (3, Ok(DiskOutput::Done)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_job_is_answered_exactly_once_whatever_comes_of_it(
        jobs in prop::collection::vec(0u8..9, 0..60),
        threads in 1usize..5,
    ) {
        let answers = Arc::new(Mutex::new(vec![0; jobs.len()]));
        let counting = Arc::clone(&answers);
        let config = DiskConfig { threads: NonZeroUsize::new(threads).unwrap(), open_files: 1, ..DiskConfig::default() };
        let complete = move |job: DiskJobId, _: Answer| counting.lock().unwrap()[job.to_bits() as usize] += 1;
        let workers = DiskWorkers::start(config, Arc::new(complete)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = LayoutFile { path: vec!["d".into(), "a".into()], length: 8, padding: false };
        let layout = Arc::new(Layout::new(vec![file], 8).unwrap());
        for (number, job) in jobs.iter().enumerate() {
            let spans = layout.spans(0, 0, 8);
            let operation = match job {
                0 => DiskOperation::Open {
                    layout: Arc::clone(&layout),
                    folder: folder.path().to_str().unwrap().into(),
                    allocation: Allocation::Full,
                    parts: PARTS.into(),
                },
                1 => DiskOperation::Prepare { wanted: if number % 2 == 0 { Bitfield::full(1) } else { Bitfield::new(1) } },
                2 | 3 => DiskOperation::Store {
                    piece: 0,
                    segments: vec![Bytes::from_static(b"12345678")],
                    spans,
                    digest: if *job == 2 { Sha1::digest(b"12345678").into() } else { Digest::default() },
                    fingerprints: true,
                },
                4 => DiskOperation::Read { spans, length: 8 },
                5 => DiskOperation::Verify { first: 0, digests: Bytes::from_static(&[0; 41]) },
                6 => DiskOperation::Stamp,
                7 => DiskOperation::SaveResume { data: Bytes::new() },
                _ => DiskOperation::Close { forget: true, delete: true },
            };
            workers.submit(DiskJobId::from_bits(number as u64), TORRENT, operation);
        }
        workers.shut_down();
        prop_assert!(answers.lock().unwrap().iter().all(|count| *count == 1));
    }

    #[test]
    fn what_is_stored_in_any_order_is_what_is_read_and_verified(
        lengths in prop::collection::vec((0u64..3000, prop::bool::weighted(0.2)), 1..8),
        piece_length in 1u32..2000,
        seed in any::<u64>(),
        open_files in 1usize..4,
        reads in prop::collection::vec((any::<u32>(), any::<u32>(), any::<u32>()), 8),
    ) {
        let names: Vec<String> = (0..lengths.len()).map(|number| format!("d{}/{number}", number % 3)).collect();
        let files: Vec<_> = names.iter().zip(&lengths).map(|(name, (length, padding))| (name.as_str(), *length, *padding)).collect();
        let bench = Bench::with(DiskConfig { open_files, ..DiskConfig::default() }, &files, piece_length, Allocation::Sparse);
        let byte = |at: u64, padding| if padding { 0 } else { (at.wrapping_mul(seed | 1) >> 7) as u8 };
        let content: Vec<u8> = lengths.iter().flat_map(|(length, padding)| (0..*length).map(|at| byte(at, *padding))).collect();
        let mut pieces: Vec<(u32, &[u8])> = (0..).zip(content.chunks(piece_length as usize)).collect();
        let count = pieces.len().max(1);
        pieces.rotate_left(seed as usize % count);
        for (number, piece) in &pieces {
            bench.workers.submit(DiskJobId::from_bits(0), TORRENT, bench.store_operation(*number, piece));
        }
        for _ in &pieces {
            prop_assert_eq!(bench.answers.recv().unwrap().1, stored());
        }
        let whole: Vec<&[u8]> = content.chunks(piece_length as usize).collect();
        prop_assert_eq!(bench.verify(0, &whole), vec![true; whole.len()]);
        for (piece, offset, length) in reads {
            if whole.is_empty() {
                break;
            }
            let piece = piece as usize % whole.len();
            let offset = offset as usize % whole[piece].len();
            let length = length as usize % (whole[piece].len() - offset + 1);
            let answer = bench.read(piece as u32, offset as u32, length as u32);
            prop_assert_eq!(answer, read(&whole[piece][offset..offset + length]));
        }
    }
}
