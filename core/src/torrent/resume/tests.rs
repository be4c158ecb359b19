use super::*;
use crate::{
    choices::{Priority, RateLimits, SeedingGoal},
    storage::LayoutFile,
};
use alloc::{string::String, vec};
use proptest::prelude::*;

const INFO_HASH: InfoHash = InfoHash([7; 20]);

fn layout() -> Layout {
    let file = |name: &str, length| LayoutFile { path: vec![name.into()], length, padding: false };
    Layout::new(vec![file("a", 250_000), file("b", 150_000)], 100_000).unwrap()
}

fn peer(address: &str, from_tracker: bool) -> ResumePeer {
    ResumePeer { address: address.parse().unwrap(), from_tracker }
}

fn sample() -> Resume {
    let mut verified = Bitfield::new(4);
    verified.set(2);
    let mut blocks = Bitfield::new(7);
    blocks.set(6);
    Resume {
        files: vec![
            Some(FileStamp { length: 250_000, modified: -5, aside: false }),
            Some(FileStamp { length: 7, modified: 9, aside: true }),
        ],
        unfinished: [(3, blocks)].into(),
        choices: Choices { other_files: Priority::Skip, files: [(1, Priority::High)].into(), ..Choices::default() },
        uploaded: 7,
        downloaded: 8,
        seeding: Duration::from_secs(9),
        trackers: vec![SavedTracker { url: "http://t/a".into(), tracker_id: Some(vec![0, 255]) }],
        peers: vec![peer("1.2.3.4:5", false), peer("1.2.3.4:84", true), peer("[::1]:6", true), peer("[::1]:84", false)],
        info: Some(Bytes::from_static(b"de")),
        ..Resume::new(verified)
    }
}

#[test]
fn another_torrents_data_is_refused() {
    let data = sample().encode(INFO_HASH);
    assert_eq!(Resume::decode(&data, InfoHash([8; 20]), &layout()), Err(ResumeError::OtherTorrent));
}

#[test]
fn no_prefix_of_it_is_believed() {
    let data = sample().encode(INFO_HASH);
    for end in 0..data.len() {
        assert_eq!(Resume::decode(&data[..end], INFO_HASH, &layout()), Err(ResumeError::Malformed));
    }
}

#[test]
fn version_1_is_still_read_and_a_later_one_is_not() {
    let of_version = |version: u8| {
        let mut data = b"d10:downloadedi8e5:fileslli250000ei-5eelee9:info-hash20:".to_vec();
        data.extend([7; 20]);
        data.extend(b"5:peersl6:\x01\x02\x03\x04\x00\x05e6:pieces1:\x20");
        data.extend(b"8:uploadedi7e7:versioni");
        data.push(version);
        data.extend(b"ee");
        data
    };
    let first = Resume::decode(&of_version(b'1'), INFO_HASH, &layout()).unwrap();
    let mut verified = Bitfield::new(4);
    verified.set(2);
    let expected = Resume {
        files: vec![Some(FileStamp { length: 250_000, modified: -5, aside: false }), None],
        uploaded: 7,
        downloaded: 8,
        peers: vec![peer("1.2.3.4:5", false)],
        ..Resume::new(verified)
    };
    assert_eq!(first, expected);
    assert_eq!(Resume::decode(&of_version(b'3'), INFO_HASH, &layout()), Err(ResumeError::UnknownVersion));
}

#[test]
fn numbers_that_fit_nothing_are_left_out() {
    let mut resume = sample();
    resume.unfinished.insert(4, Bitfield::new(7));
    resume.unfinished.insert(1, Bitfield::full(100));
    resume.choices.files.insert(2, Priority::Low);
    resume.trackers[0].tracker_id = Some(vec![0; 1000]);
    let mut expected = sample();
    expected.trackers[0].tracker_id = None;
    assert_eq!(Resume::decode(&resume.encode(INFO_HASH), INFO_HASH, &layout()), Ok(expected));
}

fn bits(length: u32) -> impl Strategy<Value = Bitfield> {
    prop::collection::vec(any::<bool>(), length as usize).prop_map(|bits| {
        let mut bitfield = Bitfield::new(bits.len() as u32);
        for (index, _) in (0..).zip(bits).filter(|(_, bit)| *bit) {
            bitfield.set(index);
        }
        bitfield
    })
}

fn choices() -> impl Strategy<Value = Choices> {
    let priority = || prop::sample::select(vec![Priority::High, Priority::Normal, Priority::Low, Priority::Skip]);
    let files = prop::collection::btree_map(0u32..2, priority(), 0..2);
    let rates = any::<(Option<u64>, Option<u64>)>().prop_map(|(download, upload)| RateLimits { download, upload });
    let goal = any::<(Option<u32>, Option<u32>)>().prop_map(|(ratio_permille, seconds)| SeedingGoal {
        ratio_permille,
        time: seconds.map(|seconds| Duration::from_secs(seconds.into())),
    });
    (files, priority(), any::<[bool; 5]>(), rates, goal).prop_map(|(files, other_files, flags, rates, goal)| {
        let [sequential, first_and_last, super_seeding, peer_exchange, local_discovery] = flags;
        Choices { files, other_files, sequential, first_and_last, super_seeding, peer_exchange, local_discovery, rates, goal }
    })
}

fn resume() -> impl Strategy<Value = Resume> {
    let stamp = any::<(u64, i64, bool)>().prop_map(|(length, modified, aside)| FileStamp { length, modified, aside });
    let unfinished = prop::collection::btree_map(0u32..4, bits(7), 0..4);
    let tracker = ("[a-z:/]{0,20}", any::<Option<Vec<u8>>>()).prop_map(|(url, tracker_id): (String, _)| SavedTracker { url, tracker_id });
    let peers = prop::collection::vec(any::<(bool, [u8; 16], u16, bool)>(), 0..9).prop_map(|peers| {
        let ip = |v4, bytes: [u8; 16]| if v4 { IpAddr::from([bytes[0], bytes[1], bytes[2], bytes[3]]) } else { IpAddr::from(bytes) };
        let peer = |(v4, bytes, port, from_tracker)| ResumePeer { address: SocketAddr::new(ip(v4, bytes), port), from_tracker };
        peers.into_iter().map(peer).collect()
    });
    let numbers = any::<(u64, u64, u32)>();
    let files = prop::collection::vec(prop::option::of(stamp), 2);
    (bits(4), files, unfinished, choices(), numbers, prop::collection::vec(tracker, 0..4), peers, any::<Option<Vec<u8>>>()).prop_map(
        |(verified, files, mut unfinished, choices, (uploaded, downloaded, seconds), trackers, peers, info)| {
            // Each piece of the layout has seven blocks.
            unfinished.retain(|_, blocks| blocks.len() == 7);
            let seeding = Duration::from_secs(seconds.into());
            Resume { files, unfinished, choices, uploaded, downloaded, seeding, trackers, peers, info: info.map(Bytes::from), verified }
        },
    )
}

proptest! {
    #[test]
    fn what_was_written_is_read_again(resume in resume()) {
        prop_assert_eq!(Resume::decode(&resume.encode(INFO_HASH), INFO_HASH, &layout()), Ok(resume));
    }

    #[test]
    fn nothing_panics(data in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let _ = Resume::decode(&data, INFO_HASH, &layout());
        let mut damaged = sample().encode(INFO_HASH);
        let at = at.index(damaged.len());
        damaged[at] = byte;
        let _ = Resume::decode(&damaged, INFO_HASH, &layout());
    }
}
