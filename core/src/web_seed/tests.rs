use super::*;
use alloc::{format, string::ToString};
use proptest::prelude::*;
use std::{vec, vec::Vec};

const URL: &str = "http://mirror.example/";

/// Files of these lengths in a folder, in pieces of 16 KiB; every third one pads.
fn tree(lengths: &[u64]) -> (Info, Layout) {
    let files: String = lengths
        .iter()
        .enumerate()
        .map(|(number, length)| {
            let attributes = if number % 3 == 2 { "4:attr1:p" } else { "" };
            format!("d{attributes}6:lengthi{length}e4:pathl2:{number:02}ee")
        })
        .collect();
    let pieces = lengths.iter().sum::<u64>().div_ceil(16384) as usize * 20;
    let info = format!("d5:filesl{files}e4:name1:t12:piece lengthi16384e6:pieces{pieces}:{}e", "a".repeat(pieces));
    let info = Info::parse(info.into()).unwrap();
    let layout = Layout::of(&info).unwrap();
    (info, layout)
}

fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

fn seed() -> WebSeed {
    WebSeed::new(URL, WebSeedConfig::default()).unwrap()
}

fn part(range: ByteRange, total: u64) -> FetchHead {
    FetchHead { status: 206, length: Some(range.length.get()), range: Some(range), total: Some(total), retry_after: None }
}

/// Begins the run `0..40_000` over two files of 20,000 bytes.
fn opening() -> (WebSeed, Info, Layout) {
    let (info, layout) = tree(&[20_000, 20_000]);
    let mut seed = seed();
    seed.begin(at(0), 0..40_000);
    assert!(matches!(seed.poll(at(0), &info, &layout), Some(WebSeedStep::Fetch { .. })));
    assert_eq!(seed.poll(at(0), &info, &layout), None, "one request at a time");
    (seed, info, layout)
}

#[test]
fn silence_counts_while_we_wait_for_the_server_and_not_while_it_waits_for_us() {
    let (mut seed, info, layout) = opening();
    assert_eq!(seed.next_deadline(), Some(at(30)));
    let range = ByteRange { start: 0, length: 20_000.try_into().unwrap() };
    seed.handle_head(at(10), &layout, Ok(part(range, 20_000))).unwrap();
    assert_eq!(seed.next_deadline(), None);
    assert_eq!(seed.poll(at(100), &info, &layout), Some(WebSeedStep::Read));
    assert_eq!(seed.next_deadline(), Some(at(130)));
    seed.handle_timeout(at(129)).unwrap();
    assert_eq!(seed.handle_timeout(at(130)), Err(WebSeedFault::Silent));
    assert_eq!(seed.waits_until(), Some(at(140)));
    assert!(!seed.is_requesting());
    seed.handle_timeout(at(140)).unwrap();
    assert!(seed.is_idle());
}

#[test]
fn answers_that_nobody_waits_for_mean_nothing() {
    let (mut seed, _, layout) = opening();
    seed.end();
    seed.handle_head(at(1), &layout, Ok(FetchHead { status: 500, ..FetchHead::default() })).unwrap();
    assert_eq!(seed.handle_body(at(1), Ok(Bytes::new())), Ok((0, Bytes::new())));
    assert!(seed.is_idle());
}

#[test]
fn each_status_means_what_it_says() {
    let faults = [
        (404, WebSeedFault::Status(404), true),
        (403, WebSeedFault::Status(403), true),
        (416, WebSeedFault::Status(416), true),
        (500, WebSeedFault::Status(500), false),
        (204, WebSeedFault::Status(204), false),
        (429, WebSeedFault::Busy, false),
        (503, WebSeedFault::Busy, false),
    ];
    for (status, fault, lacks_file) in faults {
        let (mut seed, _, layout) = opening();
        assert_eq!(seed.handle_head(at(0), &layout, Ok(FetchHead { status, ..FetchHead::default() })), Err(fault));
        // The piece that lies in both files is not complete there.
        assert_eq!([0, 1, 2].map(|piece| seed.holdings().contains(piece)), [!lacks_file, !lacks_file, true], "{status}");
        assert_eq!(seed.is_idle(), lacks_file, "other files may be there");
        seed.handle_timeout(at(3600)).unwrap();
        assert!(seed.holdings().is_all(), "what was not there may come");
    }
}

#[test]
fn a_ban_is_for_ever() {
    let mut seed = seed();
    assert!(seed.ban());
    assert!(!seed.ban(), "no news");
    seed.handle_timeout(at(1_000_000)).unwrap();
    seed.begin(at(1_000_000), 0..1);
    assert!(seed.is_banned() && !seed.is_running());
    assert_eq!(seed.last_fault().unwrap().to_string(), "the server's file does not fit the torrent's hashes");
}

/// What a server may do with a request.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Part { sent: u64, extra: u64 },
    Whole { sent: u64 },
    Status(u16),
    Broken,
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        6 => (0u64..40_000, 0u64..3).prop_map(|(sent, extra)| Answer::Part { sent, extra }),
        2 => (0u64..40_000).prop_map(|sent| Answer::Whole { sent }),
        2 => prop::sample::select(vec![200, 206, 301, 404, 416, 429, 500, 503]).prop_map(Answer::Status),
        1 => Just(Answer::Broken),
    ]
}

proptest! {
    /// Whatever servers answer: what comes out is each byte of the run in its place, or nothing.
    #[test]
    fn bytes_come_out_where_they_belong(
        lengths in prop::collection::vec(0u64..30_000, 1..7), ends: [prop::sample::Index; 2], answers in prop::collection::vec(answer(), 0..30)
    ) {
        let (info, layout) = tree(&lengths);
        let total = layout.total_length();
        prop_assume!(total > 0);
        let [a, b] = ends.map(|end| end.index(total as usize) as u64);
        let (start, end) = (a.min(b), a.max(b) + 1);
        let starts: Vec<u64> = info.files().iter().map(|file| file.offset()).collect();
        // A byte of a file tells where in the torrent it lies.
        let content = |at: u64| if info.files().iter().any(|file| file.is_padding() && at.wrapping_sub(file.offset()) < file.length()) { 0 } else { (at % 251) as u8 };
        let (mut seed, mut now, mut expected) = (seed(), at(0), start);
        seed.begin(now, start..end);
        let mut answers = answers.into_iter();
        let mut body: Vec<u8> = vec![];
        for _ in 0..3000 {
            now += Duration::from_millis(1);
            match seed.poll(now, &info, &layout) {
                Some(WebSeedStep::Padding { offset, length }) => {
                    prop_assert_eq!(offset, expected);
                    expected += u64::from(length);
                }
                Some(WebSeedStep::Fetch { url, range }) => {
                    let file: usize = url.strip_prefix("http://mirror.example/t/").unwrap().parse().unwrap();
                    prop_assert!(!info.files()[file].is_padding());
                    prop_assert_eq!(starts[file] + range.start, expected);
                    let file_length = info.files()[file].length();
                    prop_assert!(range.start + range.length.get() <= file_length);
                    let bytes = |from: u64, length: u64| (from..from + length).map(|at| content(starts[file] + at)).collect::<Vec<u8>>();
                    let head = match answers.next().unwrap_or(Answer::Part { sent: u64::MAX, extra: 0 }) {
                        Answer::Part { sent, extra } => {
                            body = bytes(range.start, range.length.get().min(sent));
                            let is_whole = body.len() as u64 == range.length.get();
                            body.extend((0..extra).filter(|_| is_whole).map(|_| 252));
                            Ok(part(range, file_length))
                        }
                        Answer::Whole { sent } => {
                            body = bytes(0, file_length.min(sent));
                            Ok(FetchHead { status: 200, length: Some(file_length), ..FetchHead::default() })
                        }
                        Answer::Status(status) => Ok(FetchHead { status, ..FetchHead::default() }),
                        Answer::Broken => Err(HttpError::NoAddress),
                    };
                    if matches!(head, Ok(FetchHead { status: 200, length: None, .. })) {
                        body = bytes(0, file_length);
                    }
                    let _ = seed.handle_head(now, &layout, head);
                }
                Some(WebSeedStep::Read) => {
                    let rest = body.split_off(body.len().min(7000));
                    let data = core::mem::replace(&mut body, rest);
                    if let Ok((offset, data)) = seed.handle_body(now, Ok(data.into())) {
                        prop_assert_eq!(offset, expected);
                        for byte in data {
                            prop_assert_eq!(byte, content(expected));
                            expected += 1;
                        }
                    }
                }
                None => {
                    prop_assert!(!seed.is_requesting());
                    if seed.is_idle() && expected == end {
                        return Ok(());
                    }
                    now = seed.next_deadline().unwrap_or(now).max(now);
                    let _ = seed.handle_timeout(now);
                    if seed.ignores_ranges() || !seed.holdings().is_all() {
                        // What its owner does then is not its business.
                        return Ok(());
                    }
                    if seed.is_idle() {
                        seed.begin(now, expected..end);
                    }
                }
            }
        }
        prop_assert!(false, "it never ends");
    }
}
