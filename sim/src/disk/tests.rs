use super::*;
use rustor_core::{
    rng::{Purpose, Seed},
    storage::{Allocation, Layout},
    util::Bitfield,
};

const FOLDER: &str = "downloads";

/// A disk with one torrent of four pieces in two files, whose second piece lies in both.
struct Bench {
    disk: Disk,
    payload: Payload,
    layout: Arc<Layout>,
    rng: Rng,
    jobs: u64,
}

impl Bench {
    fn new(settings: Settings, power_may_fail: bool) -> Bench {
        let payload = Payload::with_files("folder", &[50_000, 70_000], 32_768, 1, "", false);
        let layout = Arc::new(Layout::of(&payload.metainfo.info).expect("it fits"));
        let rng = Rng::new(Seed::from_u64(1)).fork(Purpose::Simulation, 0);
        Bench { disk: Disk::new(settings, power_may_fail), payload, layout, rng, jobs: 0 }
    }

    /// Such a disk whose files are open.
    fn open(settings: Settings) -> Bench {
        let mut bench = Bench::new(settings, false);
        bench.opens().expect("it opens");
        bench
    }

    fn torrent() -> TorrentId {
        TorrentId::from_bits(1 << 32)
    }

    fn begin(&mut self, operation: DiskOperation) -> (DiskJobId, bool) {
        self.jobs += 1;
        let job = DiskJobId::from_bits(self.jobs << 32);
        let (_, deadly) = self.disk.begin(job, Bench::torrent(), operation, &mut self.rng);
        (job, deadly)
    }

    fn does(&mut self, operation: DiskOperation) -> Result<DiskOutput, Box<DiskError>> {
        let (job, _) = self.begin(operation);
        self.disk.finish(Instant::from_micros(self.jobs), job, &self.payload, &mut self.rng).expect("it is under way")
    }

    fn dies(&mut self, power: bool) {
        let payload = self.payload.clone();
        self.disk.crash(Instant::from_micros(self.jobs), power, |_| Some(payload.clone()), &mut self.rng);
    }

    fn opens(&mut self) -> Result<DiskOutput, Box<DiskError>> {
        let layout = self.layout.clone();
        self.does(DiskOperation::Open { layout, folder: FOLDER.into(), allocation: Allocation::Sparse, parts: String::new() })
    }

    fn piece(&self, piece: u32) -> Bytes {
        self.payload.slice(u64::from(piece) * 32_768, 32_768)
    }

    fn digest(&self, piece: u32) -> [u8; 20] {
        *self.payload.metainfo.info.piece_hash(piece).expect("it is one of the pieces")
    }

    /// A job to write these bytes where `at` lies.
    fn store(&self, at: u32, data: &Bytes, digest: [u8; 20]) -> DiskOperation {
        let segments = data.chunks(10_000).map(|part| data.slice_ref(part)).collect();
        let spans = self.layout.spans(at, 0, self.layout.piece_size(at));
        DiskOperation::Store { piece: at, segments, spans, digest, fingerprints: false }
    }

    fn stores(&mut self, piece: u32) {
        let operation = self.store(piece, &self.piece(piece), self.digest(piece));
        assert_eq!(self.does(operation), Ok(DiskOutput::Stored(Vec::new())));
    }

    fn verifies(&mut self, first: u32, digests: &[[u8; 20]]) -> Vec<bool> {
        let digests = digests.concat().into();
        let Ok(DiskOutput::Verified(valid)) = self.does(DiskOperation::Verify { first, digests }) else { panic!("it is verified") };
        valid
    }

    fn holds(&self, piece: u32) -> bool {
        self.disk.holds_piece(FOLDER, piece, &self.payload)
    }

    fn is_unchanged(&self, piece: u32) -> bool {
        self.disk.is_unchanged(FOLDER, piece, &self.payload)
    }

    /// All that is there, one file behind the other.
    fn content(&self) -> Vec<u8> {
        let file = |number| self.disk.get(&format!("{FOLDER}/folder/{number}"), &self.payload).unwrap_or_default().to_vec();
        [0, 1].map(file).concat()
    }
}

#[test]
fn what_is_written_is_what_was_given() {
    let mut bench = Bench::open(Settings::default());
    (0..4).for_each(|piece| bench.stores(piece));
    assert!(bench.disk.holds(FOLDER, &bench.payload));
    // The third piece, with its own digest, where the second belongs.
    let operation = bench.store(1, &bench.piece(2), bench.digest(2));
    assert_eq!(bench.does(operation), Ok(DiskOutput::Stored(Vec::new())));
    assert!(!bench.holds(1) && bench.holds(2));
    assert_eq!(bench.content()[32_768..65_536], bench.piece(2)[..]);
    let (first, second) = (bench.digest(1), bench.digest(2));
    assert_eq!(bench.verifies(1, &[first, second]), [false, true]);
    assert_eq!(bench.verifies(1, &[second, second]), [true, true]);
    // That was no secret of the disk's: whoever claims it is wrong.
    assert!(bench.is_unchanged(1));
}

#[test]
fn a_copy_of_the_true_bytes_is_as_good_as_they_are() {
    let mut bench = Bench::open(Settings::default());
    let operation = bench.store(1, &bench.piece(1).to_vec().into(), bench.digest(1));
    assert_eq!(bench.does(operation), Ok(DiskOutput::Stored(Vec::new())));
    assert!(bench.holds(1) && !bench.holds(0));
}

#[test]
fn the_digest_that_is_asked_for_counts_even_for_what_is_true() {
    let mut bench = Bench::open(Settings::default());
    let operation = bench.store(0, &bench.piece(0), bench.digest(1));
    assert!(matches!(bench.does(operation), Ok(DiskOutput::Mismatch(_))));
    assert!(bench.content().is_empty(), "nothing was written");
    bench.stores(0);
    let [right, wrong] = [0, 1].map(|piece| bench.digest(piece));
    assert_eq!((bench.verifies(0, &[right]), bench.verifies(0, &[wrong])), (vec![true], vec![false]));
}

#[test]
fn a_write_that_goes_astray_takes_its_data_with_it() {
    let mut bench = Bench::open(Settings { misdirected: 1000, ..Settings::default() });
    bench.stores(0);
    assert!(!bench.holds(0));
    assert_eq!(bench.content()[4096..4096 + 32_768], bench.piece(0)[..], "a little further on");
    assert!(bench.content()[..4096].iter().all(|byte| *byte == 0), "nothing is where it belongs");
    assert!(!bench.is_unchanged(0) && !bench.is_unchanged(1) && bench.is_unchanged(2), "it reached into the second piece");
    assert!(!bench.disk.is_sound());
    bench.stores(3);
    assert!(!bench.holds(3) && !bench.is_unchanged(3), "its place was spared, and it should not have been");
    // Written again it is what it should be.
    bench.disk.heal();
    bench.stores(0);
    assert!(bench.holds(0) && bench.is_unchanged(0) && !bench.is_unchanged(1));
    // And who has looked knows what is there.
    let digests = [1, 2, 3].map(|piece| bench.digest(piece));
    assert!(!bench.verifies(1, &digests)[0]);
    assert!(bench.is_unchanged(1) && bench.disk.is_sound());
}

#[test]
fn what_is_written_to_its_own_place_has_not_gone_astray() {
    let payload = Payload::new("file", 20_000, 32_768, 1);
    let layout = Arc::new(Layout::of(&payload.metainfo.info).expect("it fits"));
    let mut bench = Bench { payload, layout, ..Bench::new(Settings { misdirected: 1000, ..Settings::default() }, false) };
    bench.opens().expect("it opens");
    bench.stores(0);
    assert!(bench.holds(0) && bench.disk.is_sound(), "there is no other place in a file of one piece");
}

#[test]
fn rot_is_forgiven_until_somebody_has_looked_or_written() {
    let mut bench = Bench::open(Settings::default());
    (0..4).for_each(|piece| bench.stores(piece));
    while bench.disk.has_nothing_changed() || bench.holds(0) || bench.holds(3) {
        bench.disk.rot(1, &bench.payload, &mut bench.rng);
    }
    assert!(!bench.is_unchanged(0) && !bench.is_unchanged(3));
    let digest = bench.digest(0);
    assert_eq!(bench.verifies(0, &[digest]), [false]);
    assert!(bench.is_unchanged(0) && !bench.is_unchanged(3));
    (0..4).for_each(|piece| bench.stores(piece));
    assert!(bench.disk.holds(FOLDER, &bench.payload) && bench.disk.is_sound());
}

#[test]
fn who_was_given_what_has_rotten_may_say_so_for_ever() {
    let mut bench = Bench::open(Settings::default());
    (0..4).for_each(|piece| bench.stores(piece));
    while bench.holds(2) {
        bench.disk.rot(1, &bench.payload, &mut bench.rng);
    }
    for (piece, sound) in [(2, false), (0, true)] {
        let read = DiskOperation::Read { spans: bench.layout.spans(piece, 0, 32_768), length: 32_768 };
        let before = bench.disk.misled;
        bench.does(read).expect("it is read");
        assert!(bench.disk.misled && (sound || !before));
    }
    (0..4).for_each(|piece| bench.stores(piece));
    assert!(bench.disk.has_nothing_changed() && !bench.disk.is_sound());
}

#[test]
fn damage_is_a_secret_only_while_files_are_open() {
    let mut bench = Bench::open(Settings::default());
    bench.stores(0);
    bench.disk.damage("downloads/folder/0", 100, Bytes::from_static(b"damage"));
    assert!(!bench.is_unchanged(0));
    bench.stores(0);
    bench.dies(false);
    bench.disk.damage("downloads/folder/0", 100, Bytes::from_static(b"damage"));
    assert!(bench.is_unchanged(0) && !bench.holds(0), "their times tell whoever opens them");
}

#[test]
fn of_a_save_that_is_cut_off_the_old_or_the_new_is_there() {
    let mut found = BTreeSet::new();
    for seed in 0..40 {
        let power = seed % 2 == 0;
        let mut bench = Bench::new(Settings::default(), power);
        bench.rng = Rng::new(Seed::from_u64(seed)).fork(Purpose::Simulation, 0);
        bench.opens().expect("it opens");
        let [old, new] = ["what was saved before", "something else"].map(|text| Bytes::from_static(text.as_bytes()));
        assert_eq!(bench.does(DiskOperation::SaveResume { data: old.clone() }), Ok(DiskOutput::Done));
        bench.begin(DiskOperation::SaveResume { data: new.clone() });
        bench.dies(power);
        let resume = bench.disk.resume(FOLDER).expect("one of both is there");
        assert!([&old, &new].contains(&&resume), "{resume:?}");
        found.insert((power, resume));
    }
    assert_eq!(found.len(), 4, "each of both, whether the power fails or not");
}

#[test]
fn what_was_saved_outlives_a_failure_of_the_power_at_once() {
    let mut bench = Bench::new(Settings::default(), true);
    bench.opens().expect("it opens");
    bench.does(DiskOperation::SaveResume { data: Bytes::from_static(b"saved") }).expect("it is saved");
    bench.dies(true);
    assert_eq!(bench.disk.resume(FOLDER).as_deref(), Some(&b"saved"[..]));
}

#[test]
fn a_disk_with_errors_fails_at_any_job() {
    let mut bench = Bench::open(Settings::default());
    bench.stores(0);
    let some = |bench: &mut Bench, operation: &dyn Fn(&Bench) -> DiskOperation| {
        bench.disk.settings.errors = 300;
        let failed = (0..100).filter(|_| bench.fails_at(operation)).count();
        assert!((10..60).contains(&failed), "{failed} of 100: {:?}", operation(bench));
    };
    let open = |bench: &Bench| DiskOperation::Open {
        layout: bench.layout.clone(),
        folder: FOLDER.into(),
        allocation: Allocation::Sparse,
        parts: String::new(),
    };
    some(&mut bench, &open);
    some(&mut bench, &|_| DiskOperation::Prepare { wanted: Bitfield::new(2) });
    some(&mut bench, &|bench| bench.store(0, &bench.piece(0), bench.digest(0)));
    some(&mut bench, &|bench| DiskOperation::Read { spans: bench.layout.spans(0, 0, 100), length: 100 });
    some(&mut bench, &|bench| DiskOperation::Verify { first: 0, digests: bench.digest(0).to_vec().into() });
    some(&mut bench, &|_| DiskOperation::SaveResume { data: Bytes::new() });
}

impl Bench {
    /// Whether a job fails.
    fn fails_at(&mut self, operation: &dyn Fn(&Bench) -> DiskOperation) -> bool {
        let operation = operation(self);
        self.does(operation).is_err()
    }
}

#[test]
fn who_dies_again_dies_one_job_later_in_each_life() {
    let mut bench = Bench::new(Settings { crash_at: Some(2), crash_again: 3, ..Settings::default() }, false);
    let mut lives = Vec::new();
    for _ in 0..6 {
        let stamp = |bench: &mut Bench| bench.begin(DiskOperation::Stamp).1;
        lives.push((1..=20).find(|_| stamp(&mut bench)));
        bench.dies(false);
    }
    assert_eq!(lives, [Some(2), Some(3), Some(4), Some(5), None, None]);
}
