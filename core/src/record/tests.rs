use super::{
    form::{Form, Reader},
    *,
};
use crate::{
    action::AddressFamily,
    choices::{Choices, Priority, RateLimits, SeedingGoal},
    command::{AddTorrent, TorrentSource},
    config::Limits,
    error::{DiskError, DiskErrorKind, HttpError, ResolveError, StreamError},
    id::{ConnectionId, IncomingId},
    input::{ByteRange, FetchHead, HttpReply, ReadBuffer},
    metainfo::{HostPort, Magnet, Metainfo},
    peer::{CloseReason, ProtocolError},
    storage::{Allocation, DiskOperation, DiskOutput, FileStamp, Kept, Layout, LayoutFile, Span},
    time::Duration,
    util::{Bitfield, Key},
    wire::{Decoder, Encoder, Handshake, HandshakeDecoder, Message, MessageId, PeerId, Reserved, WireError},
};
use alloc::{boxed::Box, format, string::String, vec};
use bytes::Bytes;
use core::{fmt::Debug, net::SocketAddr};
use proptest::{collection::vec as list, option, prelude::*, result::maybe_err, sample};

const START: Instant = Instant::from_micros(1_000_000);

fn id<K: 'static>() -> impl Strategy<Value = Key<K>> + Clone {
    any::<u64>().prop_map(Key::from_bits)
}

fn bytes() -> impl Strategy<Value = Bytes> + Clone {
    list(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn zeros() -> impl Strategy<Value = Bytes> + Clone {
    (0..40_000usize).prop_map(|length| vec![0; length].into())
}

fn text() -> impl Strategy<Value = String> + Clone {
    list(any::<char>(), 0..9).prop_map(|characters| characters.into_iter().collect())
}

fn stream_error() -> impl Strategy<Value = StreamError> + Clone {
    use StreamError::*;
    sample::select(vec![Refused, Unreachable, Reset, TimedOut, OutOfResources, Other])
}

fn disk_error() -> impl Strategy<Value = Box<DiskError>> + Clone {
    use DiskErrorKind::*;
    let kind = sample::select(vec![Full, PermissionDenied, Missing, WrongKind, Other]);
    (kind, text(), text()).prop_map(|(kind, path, message)| Box::new(DiskError { kind, path, message }))
}

fn disk_output() -> impl Strategy<Value = DiskOutput> + Clone {
    let stamp = any::<(u64, i64, bool)>().prop_map(|(length, modified, aside)| FileStamp { length, modified, aside });
    let stamps = list(option::of(stamp), 0..5);
    prop_oneof![
        stamps.clone().prop_map(DiskOutput::Opened),
        list(any::<[u8; 8]>(), 0..5).prop_map(DiskOutput::Stored),
        list(any::<[u8; 8]>(), 0..5).prop_map(DiskOutput::Mismatch),
        zeros().prop_map(DiskOutput::Read),
        list(any::<bool>(), 0..20).prop_map(DiskOutput::Verified),
        stamps.prop_map(DiskOutput::Stamps),
        Just(DiskOutput::Done),
    ]
}

fn byte_range() -> impl Strategy<Value = ByteRange> + Clone {
    (any::<u64>(), 1..u64::MAX).prop_map(|(start, length)| ByteRange { start, length: length.try_into().unwrap() })
}

fn fetch_head() -> impl Strategy<Value = FetchHead> {
    (any::<u16>(), any::<[Option<u64>; 2]>(), option::of(byte_range()), any::<Option<u32>>())
        .prop_map(|(status, [length, total], range, retry_after)| FetchHead { status, length, range, total, retry_after })
}

fn input() -> impl Strategy<Value = Input> {
    let buffer = (bytes(), any::<u32>()).prop_map(|(data, allocation)| ReadBuffer { data, allocation });
    let http_error = prop_oneof![Just(HttpError::NoAddress), text().prop_map(HttpError::Failed)];
    let reply = (any::<u16>(), bytes()).prop_map(|(status, body)| HttpReply { status, body });
    let addresses = list(any::<SocketAddr>(), 0..5);
    let content = (zeros(), any::<u32>()).prop_map(|(data, allocation)| ReadBuffer { data, allocation });
    prop_oneof![
        Just(Input::Timeout),
        any::<SocketAddr>().prop_map(Input::Listening),
        any::<(u64, SocketAddr)>().prop_map(|(incoming, remote)| Input::Incoming { incoming: IncomingId(incoming), remote }),
        (id(), maybe_err(Just(()), stream_error())).prop_map(|(connection, result)| Input::Connected { connection, result }),
        (id(), maybe_err(buffer, stream_error())).prop_map(|(connection, result)| Input::Read { connection, result }),
        (id(), maybe_err(Just(()), stream_error())).prop_map(|(connection, result)| Input::Written { connection, result }),
        (id(), maybe_err(disk_output(), disk_error())).prop_map(|(job, result)| Input::Disk { job, result }),
        (id(), maybe_err(reply, http_error.clone())).prop_map(|(request, result)| Input::Http { request, result }),
        (id(), maybe_err(addresses, text().prop_map(ResolveError))).prop_map(|(resolve, result)| Input::Resolved { resolve, result }),
        (any::<SocketAddr>(), bytes()).prop_map(|(remote, payload)| Input::Datagram { remote, payload }),
        (id(), maybe_err(fetch_head(), http_error.clone())).prop_map(|(fetch, result)| Input::FetchHead { fetch, result }),
        (id(), maybe_err(content, http_error)).prop_map(|(fetch, result)| Input::FetchBody { fetch, result }),
        (any::<SocketAddr>(), bytes()).prop_map(|(remote, payload)| Input::Multicast { remote, payload }),
    ]
}

fn metainfo() -> Metainfo {
    // Keys out of order, as only the lenient reader takes them.
    let info = "d4:name1:n12:piece lengthi16384e6:lengthi5e6:pieces20:aaaaaaaaaaaaaaaaaaaae";
    Metainfo::parse_with(format!("d4:info{info}e").into(), crate::bencode::Options::LENIENT).unwrap()
}

fn magnet() -> Magnet {
    "magnet:?xt=urn:btih:aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d&dn=a+b%26c&tr=udp://t:1&so=0,2,4-6&x=y".parse().unwrap()
}

fn rates() -> impl Strategy<Value = RateLimits> {
    any::<(Option<u64>, Option<u64>)>().prop_map(|(download, upload)| RateLimits { download, upload })
}

fn choices() -> impl Strategy<Value = Choices> {
    let priority = || sample::select(vec![Priority::High, Priority::Normal, Priority::Low, Priority::Skip]);
    let files = prop::collection::btree_map(any::<u32>(), priority(), 0..4);
    let goal = (option::of(any::<u32>()), option::of(0u64..1 << 40))
        .prop_map(|(ratio_permille, micros)| SeedingGoal { ratio_permille, time: micros.map(Duration::from_micros) });
    (files, priority(), any::<[bool; 5]>(), rates(), goal).prop_map(|(files, other_files, flags, rates, goal)| {
        let [sequential, first_and_last, super_seeding, peer_exchange, local_discovery] = flags;
        Choices { files, other_files, sequential, first_and_last, super_seeding, peer_exchange, local_discovery, rates, goal }
    })
}

fn command() -> impl Strategy<Value = Command> {
    let torrent = (list(list(text(), 1..3), 0..3), list(text(), 0..3), option::of(text()), option::of(any::<i64>()), bytes()).prop_map(
        |(trackers, urls, comment, creation_date, other)| Metainfo {
            trackers,
            web_seeds: urls.clone(),
            nodes: urls.into_iter().map(|host| HostPort { host, port: 1 }).collect(),
            comment,
            creation_date,
            other: [(other.clone(), other)].into(),
            ..metainfo()
        },
    );
    let peers = list(any::<SocketAddr>(), 0..5);
    let add = (torrent, text(), option::of(bytes()), peers.clone(), any::<bool>()).prop_map(|(metainfo, folder, resume, peers, paused)| {
        let allocation = if paused { Allocation::Full } else { Allocation::Sparse };
        let source = if folder.len() % 2 == 0 { TorrentSource::Metainfo(metainfo) } else { TorrentSource::Magnet(magnet()) };
        Command::Add(Box::new(AddTorrent { source, folder, resume, peers, allocation, paused, choices: Choices::default() }))
    });
    prop_oneof![
        add,
        id().prop_map(Command::Pause),
        id().prop_map(Command::Resume),
        (id(), any::<bool>()).prop_map(|(torrent, delete_data)| Command::Remove { torrent, delete_data }),
        id().prop_map(Command::Recheck),
        (id(), peers).prop_map(|(torrent, peers)| Command::AddPeers { torrent, peers }),
        id().prop_map(Command::Announce),
        (id(), choices()).prop_map(|(torrent, choices)| Command::Choose { torrent, choices: choices.into() }),
        (any::<[u32; 3]>(), rates()).prop_map(|([connections, connections_per_torrent, upload_slots], rates)| {
            Command::SetLimits(Limits { connections, connections_per_torrent, upload_slots, rates })
        }),
        Just(Command::ShutDown),
    ]
}

fn operation() -> impl Strategy<Value = DiskOperation> {
    let spans = list(any::<(u32, u64, u64)>(), 0..4)
        .prop_map(|spans| spans.into_iter().map(|(file, offset, length)| Span { file, offset, length }).collect::<smallvec::SmallVec<_>>());
    let file = (list(text(), 0..3), 0..1u64 << 40, any::<bool>()).prop_map(|(path, length, padding)| LayoutFile { path, length, padding });
    let layout = (list(file, 0..4), 1 << 14..1u32 << 20).prop_map(|(files, piece)| Layout::new(files, piece).unwrap());
    prop_oneof![
        (layout, text(), text()).prop_map(|(layout, folder, parts)| DiskOperation::Open {
            layout: layout.into(),
            folder,
            allocation: Allocation::Full,
            parts
        }),
        list(any::<bool>(), 0..20).prop_map(|bits| {
            let mut wanted = Bitfield::new(bits.len() as u32);
            for (file, _) in (0..).zip(bits).filter(|(_, bit)| *bit) {
                wanted.set(file);
            }
            DiskOperation::Prepare { wanted }
        }),
        (any::<u32>(), list((spans.clone(), list(zeros(), 0..3)), 0..3)).prop_map(|(piece, runs)| {
            let runs = runs.into_iter().map(|(spans, segments)| Kept { spans, segments }).collect();
            DiskOperation::Keep { piece, runs }
        }),
        (any::<u32>(), list(zeros(), 0..3), spans.clone(), any::<[u8; 20]>(), any::<bool>()).prop_map(
            |(piece, segments, spans, digest, fingerprints)| DiskOperation::Store { piece, segments, spans, digest, fingerprints }
        ),
        (spans, any::<u32>()).prop_map(|(spans, length)| DiskOperation::Read { spans, length }),
        (any::<u32>(), bytes()).prop_map(|(first, digests)| DiskOperation::Verify { first, digests }),
        Just(DiskOperation::Stamp),
        bytes().prop_map(|data| DiskOperation::SaveResume { data }),
        any::<(bool, bool)>().prop_map(|(forget, delete)| DiskOperation::Close { forget, delete }),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let family = sample::select(vec![None, Some(AddressFamily::V4), Some(AddressFamily::V6)]);
    prop_oneof![
        (id(), any::<SocketAddr>()).prop_map(|(connection, remote)| Action::Connect { connection, remote }),
        (any::<u64>(), id()).prop_map(|(incoming, connection)| Action::Accept { incoming: IncomingId(incoming), connection }),
        any::<u64>().prop_map(|incoming| Action::Refuse { incoming: IncomingId(incoming) }),
        (id(), any::<u32>()).prop_map(|(connection, limit)| Action::Read { connection, limit }),
        (id(), list(bytes(), 0..4)).prop_map(|(connection, buffers)| Action::Write { connection, buffers }),
        id().prop_map(|connection| Action::Close { connection }),
        (id(), id(), operation()).prop_map(|(job, torrent, operation)| Action::Disk { job, torrent, operation }),
        (id(), text(), family, any::<(u32, u32)>()).prop_map(|(request, url, family, (body_limit, timeout_millis))| Action::Http {
            request,
            url,
            family,
            body_limit,
            timeout_millis
        }),
        (id(), text(), any::<u16>()).prop_map(|(resolve, host, port)| Action::Resolve { resolve, host, port }),
        (any::<SocketAddr>(), bytes()).prop_map(|(remote, payload)| Action::SendDatagram { remote, payload }),
        (id(), text(), byte_range()).prop_map(|(fetch, url, range)| Action::Fetch { fetch, url, range }),
        (id(), any::<u32>()).prop_map(|(fetch, limit)| Action::FetchRead { fetch, limit }),
        id().prop_map(|fetch| Action::FetchCancel { fetch }),
        (any::<SocketAddr>(), bytes()).prop_map(|(group, payload)| Action::Multicast { group, payload }),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let wire = WireError::MessageTooLong { id: Some(MessageId::PIECE), length: 1 << 30, limit: 9 };
    let reasons = vec![CloseReason::Stream(StreamError::Reset), CloseReason::Limit, CloseReason::Protocol(ProtocolError::Wire(wire))];
    prop_oneof![
        (id(), any::<(u32, u32)>()).prop_map(|(torrent, (verified, pieces))| Event::Checked { torrent, verified, pieces }),
        (id(), any::<u32>()).prop_map(|(torrent, piece)| Event::PieceVerified { torrent, piece }),
        (id(), any::<u32>()).prop_map(|(torrent, piece)| Event::PieceFailed { torrent, piece }),
        id().prop_map(|torrent| Event::Finished { torrent }),
        id().prop_map(|torrent| Event::GoalReached { torrent }),
        id().prop_map(|torrent| Event::MetadataReceived { torrent }),
        (id(), text()).prop_map(|(torrent, reason)| Event::MetadataUnusable { torrent, reason }),
        (id(), disk_error()).prop_map(|(torrent, error)| Event::Failed { torrent, error }),
        (id(), text(), 0..9usize, option::of(text()))
            .prop_map(|(torrent, url, peers, warning)| { Event::TrackerReplied { torrent, url, peers, warning } }),
        (id(), text(), text()).prop_map(|(torrent, url, reason)| Event::TrackerFailed { torrent, url, reason }),
        (id(), any::<SocketAddr>()).prop_map(|(torrent, remote)| Event::PeerConnected { torrent, remote }),
        (id(), any::<SocketAddr>(), sample::select(reasons)).prop_map(|(torrent, remote, reason)| Event::PeerDisconnected {
            torrent,
            remote,
            reason
        }),
        (id(), any::<SocketAddr>()).prop_map(|(torrent, remote)| Event::PeerBanned { torrent, remote }),
        (id(), text(), text()).prop_map(|(torrent, url, reason)| Event::WebSeedFailed { torrent, url, reason }),
        (id(), text()).prop_map(|(torrent, url)| Event::WebSeedBanned { torrent, url }),
        id().prop_map(|torrent| Event::Removed { torrent }),
        Just(Event::ShutDown),
    ]
}

fn assert_reads_back<T: Form + Debug>(value: &T) {
    let mut bytes = Vec::new();
    value.put(&mut Writer { bytes: &mut bytes, framing: &mut Framing::Unknown });
    let mut reader = Reader::new(bytes.into());
    assert_eq!(format!("{:?}", T::take(&mut reader).unwrap()), format!("{value:?}"));
    assert!(reader.is_empty());
}

/// A recording of what a connection's reads brought, and what its replay says they were.
fn record_stream(stream: &[u8], cuts: &[usize]) -> (Vec<u8>, Vec<Bytes>) {
    let mut recording = Vec::new();
    let mut recorder = Recorder::new(Seed::from_u64(0), &Config::default(), START, &mut recording);
    let header = recording.len();
    let mut rest = stream;
    for cut in cuts.iter().copied().chain([usize::MAX]) {
        let (read, later) = rest.split_at(cut.min(rest.len()));
        let buffer = ReadBuffer { data: Bytes::copy_from_slice(read), allocation: 1 << 18 };
        recorder.input(START, &Input::Read { connection: Key::from_bits(3), result: Ok(buffer) }, &mut recording);
        rest = later;
    }
    let reads = Replay::new(recording.clone().into()).unwrap().map(|entry| match entry.unwrap().what {
        Told::Input(Input::Read { result: Ok(buffer), .. }) => {
            assert_eq!(buffer.allocation, 1 << 18);
            buffer.data
        }
        other => panic!("{other:?}"),
    });
    let reads = reads.collect();
    (recording.split_off(header), reads)
}

/// What a peer says, the content of blocks left out.
fn decode(stream: &[u8]) -> Vec<String> {
    let mut input = Bytes::copy_from_slice(stream);
    let mut said = vec![format!("{:?}", HandshakeDecoder::new().push(&mut input))];
    let mut decoder = Decoder::new(crate::wire::Limits::default());
    decoder.push(input);
    while let Some(message) = decoder.next().transpose() {
        // Payload shows how many bytes it has, and not which.
        said.push(format!("{message:?}"));
        if message.is_err() {
            break;
        }
    }
    said
}

fn messages() -> impl Strategy<Value = Vec<u8>> {
    let message = prop_oneof![
        Just(Message::KeepAlive),
        any::<u32>().prop_map(Message::Have),
        bytes().prop_map(Message::Bitfield),
        (any::<u8>(), bytes()).prop_map(|(id, payload)| Message::Extended { id, payload }),
        (any::<(u32, u32)>(), list(1..255u8, 0..3000)).prop_map(|((piece, offset), data)| {
            let data = Bytes::from(data).into();
            Message::Piece { piece, offset, data }
        }),
    ];
    list(message, 0..10).prop_map(|messages| {
        let mut encoder = Encoder::new();
        let handshake = Handshake { reserved: Reserved::default(), info_hash: [7; 20].into(), peer_id: PeerId([8; 20]) };
        encoder.push_handshake(&handshake);
        messages.into_iter().for_each(|message| encoder.push(message));
        encoder.take().concat()
    })
}

proptest! {
    #[test]
    fn inputs_read_back(input in input()) {
        assert_reads_back(&input);
    }

    #[test]
    fn commands_read_back(command in command()) {
        assert_reads_back(&command);
    }

    #[test]
    fn actions_read_back(action in action()) {
        assert_reads_back(&action);
    }

    #[test]
    fn events_read_back(event in event()) {
        assert_reads_back(&event);
    }

    #[test]
    fn numbers_read_back(unsigned: u64, signed: i64, shift in 0..64) {
        assert_reads_back(&(unsigned >> shift));
        assert_reads_back(&(signed >> shift));
    }

    #[test]
    fn however_a_stream_is_cut_all_but_blocks_is_kept(stream in messages(), cuts in list(0..2000usize, 0..20)) {
        let (_, reads) = record_stream(&stream, &cuts);
        let replayed = reads.concat();
        prop_assert_eq!(decode(&replayed), decode(&stream));
        prop_assert!(reads.iter().zip(&cuts).all(|(read, cut)| read.len() <= *cut));
        // Blocks here have no zeros of their own.
        prop_assert!(replayed.iter().zip(&stream).all(|(replayed, sent)| replayed == sent || *replayed == 0));
    }

    #[test]
    fn whatever_a_peer_sends_is_decoded_alike(
        mut stream in messages(), cuts in list(0..300usize, 0..9), wrong in list((any::<sample::Index>(), any::<u8>()), 0..4)
    ) {
        wrong.into_iter().for_each(|(index, byte)| *index.get_mut(&mut stream) = byte);
        let (_, reads) = record_stream(&stream, &cuts);
        prop_assert_eq!(decode(&reads.concat()), decode(&stream));
    }

    #[test]
    fn what_is_no_recording_never_panics(garbage in list(any::<u8>(), 0..300), headed: bool) {
        let mut bytes = Vec::new();
        if headed {
            Recorder::new(Seed::from_u64(0), &Config::default(), START, &mut bytes);
        }
        bytes.extend(garbage);
        if let Ok(replay) = Replay::new(bytes.into()) {
            replay.for_each(drop);
        }
    }

    #[test]
    fn a_damaged_or_cut_recording_never_panics(
        told in list(input(), 1..9), command in command(), wrong in list((any::<sample::Index>(), any::<u8>()), 0..4), end: sample::Index
    ) {
        let mut bytes = Vec::new();
        let mut recorder = Recorder::new(Seed::from_u64(0), &Config::default(), START, &mut bytes);
        recorder.command(START, &command, &mut bytes);
        told.iter().for_each(|input| recorder.input(START, input, &mut bytes));
        wrong.into_iter().for_each(|(index, byte)| *index.get_mut(&mut bytes) = byte);
        bytes.truncate(end.index(bytes.len()));
        if let Ok(replay) = Replay::new(bytes.into()) {
            replay.for_each(drop);
        }
    }
}

#[test]
fn blocks_take_no_room_in_a_recording() {
    let mut encoder = Encoder::new();
    encoder.push_handshake(&Handshake { reserved: Reserved::default(), info_hash: [7; 20].into(), peer_id: PeerId([8; 20]) });
    for offset in 0..64 {
        encoder.push(Message::Piece { piece: 0, offset: offset << 14, data: Bytes::from(vec![1; 1 << 14]).into() });
    }
    let (recording, _) = record_stream(&encoder.take().concat(), &[100_000; 20]);
    assert!(recording.len() < 68 + 64 * 20 + 20 * 20, "{} bytes", recording.len());
}

#[test]
fn another_protocol_is_kept_whole() {
    let stream = b"\x13BitTorrent protokol, and then something long enough to be a piece: \0\0\0\x20\x07 with a block like this";
    assert_eq!(record_stream(stream, &[3, 30]).1.concat(), stream);
}

#[test]
fn what_comes_for_a_connection_whose_place_was_taken_does_not_disturb_its_successor() {
    let (old, new) = (ConnectionId::from_bits(5), ConnectionId::from_bits(1 << 32 | 5));
    let mut streams = Streams::default();
    *streams.framing(old, Direction::Incoming).unwrap() = Framing::HEAD;
    assert!(matches!(streams.framing(old, Direction::Outgoing), Some(Framing::Handshake(0))));
    assert!(matches!(streams.framing(new, Direction::Incoming), Some(Framing::Handshake(0))));
    assert!(streams.framing(old, Direction::Incoming).is_none());
}

#[test]
fn a_replay_knows_when_actions_were_taken_and_never_goes_back_in_time() {
    let config = Config { endgame_requests: 77, ..Config::default() };
    let mut recording = Vec::new();
    let mut recorder = Recorder::new(Seed::from_u64(5), &config, START, &mut recording);
    let later = |micros| Instant::from_micros(START.as_micros() + micros);
    recorder.input(later(10), &Input::Timeout, &mut recording);
    recorder.input(later(7), &Input::Timeout, &mut recording);
    recorder.drained();
    recorder.command(later(30), &Command::ShutDown, &mut recording);
    recorder.drained();

    let replay = Replay::new(recording.into()).unwrap();
    assert_eq!((replay.seed(), replay.start()), (Seed::from_u64(5), START));
    assert_eq!(format!("{:?}", replay.config()), format!("{config:?}"));
    let entries: Vec<_> = replay.map(|entry| entry.unwrap()).map(|entry| (entry.now, entry.drained)).collect();
    assert_eq!(entries, [(later(10), false), (later(10), false), (later(30), true)]);
}

#[test]
fn a_recording_that_was_cut_short_is_sound_up_to_there() {
    let mut recording = Vec::new();
    let mut recorder = Recorder::new(Seed::from_u64(5), &Config::default(), START, &mut recording);
    recorder.input(START, &Input::Timeout, &mut recording);
    recorder.input(START, &Input::Listening(([1, 2, 3, 4], 5).into()), &mut recording);
    recording.pop();
    let mut replay = Replay::new(recording.into()).unwrap();
    assert!(replay.next().unwrap().is_ok());
    assert_eq!(replay.next().unwrap().unwrap_err(), ReplayError::Truncated);
    assert!(replay.next().is_none());
}

#[test]
fn a_few_bytes_cannot_make_a_replay_take_memory() {
    let mut recording = Vec::new();
    Recorder::new(Seed::from_u64(5), &Config::default(), START, &mut recording);
    // A read of 4 GiB, none of it kept.
    recording.extend(b"\x00\x00\x04\x00\x00\x00\x80\x80\x80\x80\x10\x00\x80\x80\x80\x80\x10\x00");
    let entry = Replay::new(recording.into()).unwrap().next().unwrap();
    assert!(matches!(entry, Err(ReplayError::Corrupt { .. })));
}

#[test]
fn a_transcript_hears_everything_but_the_content_of_blocks() {
    let hash = |offset, content: u8, micros| {
        let mut encoder = Encoder::new();
        encoder.push_handshake(&Handshake { reserved: Reserved::default(), info_hash: [7; 20].into(), peer_id: PeerId([8; 20]) });
        encoder.push(Message::Piece { piece: 0, offset, data: Bytes::from(vec![content; 1 << 14]).into() });
        let mut transcript = Transcript::new(Seed::from_u64(5), &Config::default(), START);
        let action = Action::Write { connection: Key::from_bits(1), buffers: encoder.take() };
        transcript.action(Instant::from_micros(START.as_micros() + micros), &action);
        transcript.hash()
    };
    assert_eq!(hash(0, 1, 0), hash(0, 2, 0));
    assert_ne!(hash(0, 1, 0), hash(1, 1, 0));
    assert_ne!(hash(0, 1, 0), hash(0, 1, 1));
}

#[test]
fn files_that_are_no_recordings_are_told_apart() {
    assert_eq!(Replay::new(Bytes::new()).unwrap_err(), ReplayError::NotARecording);
    assert_eq!(Replay::new("d8:announce".into()).unwrap_err(), ReplayError::NotARecording);
    assert_eq!(Replay::new(b"RusTor\r\n\x63"[..].into()).unwrap_err(), ReplayError::Version(99));
}

#[test]
fn the_form_is_stable() {
    let mut recording = Vec::new();
    let mut recorder = Recorder::new(Seed::from_u64(5), &Config::default(), START, &mut recording);
    recording.clear();
    let connection = ConnectionId::from_bits(2 << 32 | 300);
    recorder.input(Instant::from_micros(1_000_300), &Input::Connected { connection, result: Err(StreamError::Reset) }, &mut recording);
    recorder.drained();
    let data = Bytes::from_static(b"\x13Bit");
    recorder.input(START, &Input::Read { connection, result: Ok(ReadBuffer { data, allocation: 4 }) }, &mut recording);
    recorder.command(START, &Command::Remove { torrent: Key::from_bits(1), delete_data: true }, &mut recording);
    let expected: [&[u8]; 3] =
        [b"\x00\xac\x02\x03\xac\x02\x02\x01\x02", b"\x80\x00\x04\xac\x02\x02\x00\x04\x04\x13Bit\x00", b"\x01\x00\x03\x01\x00\x01"];
    assert_eq!(recording, expected.concat());
}
