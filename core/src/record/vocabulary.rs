//! The forms of all that an engine is told and says, and of what it is made with.

use super::{
    ReplayError,
    form::{Form, Reader, Writer, form, put_all, put_bytes},
    stream::{self, Framing},
};
use crate::{
    action::{Action, AddressFamily},
    bencode::{Error as BencodeError, Expected, Options},
    choices::{Choices, Priority, RateLimits, SeedingGoal},
    command::{AddTorrent, Command, TorrentSource},
    config::{Config, Limits},
    error::{DiskError, DiskErrorKind, HttpError, ResolveError, StreamError},
    event::Event,
    id::IncomingId,
    input::{ByteRange, FetchHead, HttpReply, Input, ReadBuffer},
    local_discovery::LocalDiscoveryConfig,
    metadata::MetadataConfig,
    metainfo::{HostPort, Info, Magnet, Metainfo},
    peer::{CloseReason, ProtocolError},
    rng::Seed,
    storage::{Allocation, DiskOperation, DiskOutput, FileStamp, Kept, Layout, LayoutFile, Span},
    torrent::super_seed::SuperSeedConfig,
    tracker::{AnnouncerConfig, Reach, udp::UdpTrackerConfig},
    util::Bitfield,
    web_seed::WebSeedConfig,
    wire::{MessageId, WireError, extension::ExtensionError},
};
use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use bytes::Bytes;

form! { enum Input {
    0 => Timeout,
    1 => Listening(address),
    2 => Incoming { incoming, remote },
    3 => Connected { connection, result },
    4 => Read { connection, result },
    5 => Written { connection, result },
    6 => Disk { job, result },
    7 => Http { request, result },
    8 => Resolved { resolve, result },
    9 => Datagram { remote, payload },
    10 => Multicast { remote, payload },
    11 => FetchHead { fetch, result },
    12 => FetchBody { fetch, result as body },
} }

form! { enum Command {
    0 => Add(torrent),
    1 => Pause(torrent),
    2 => Resume(torrent),
    3 => Remove { torrent, delete_data },
    4 => Recheck(torrent),
    5 => AddPeers { torrent, peers },
    6 => Announce(torrent),
    7 => SetLimits(limits),
    8 => ShutDown,
    9 => Choose { torrent, choices },
} }

form! { enum Action {
    0 => Connect { connection, remote },
    1 => Accept { incoming, connection },
    2 => Refuse { incoming },
    3 => Read { connection, limit },
    4 => Write { connection, buffers as streams },
    5 => Close { connection },
    6 => Disk { job, torrent, operation },
    7 => Http { request, url, family, body_limit, timeout_millis },
    8 => Resolve { resolve, host, port },
    9 => SendDatagram { remote, payload },
    10 => Multicast { group, payload },
    11 => Fetch { fetch, url, range },
    12 => FetchRead { fetch, limit },
    13 => FetchCancel { fetch },
} }

form! { enum Event {
    0 => Checked { torrent, verified, pieces },
    1 => PieceVerified { torrent, piece },
    2 => PieceFailed { torrent, piece },
    3 => Finished { torrent },
    4 => Failed { torrent, error },
    5 => TrackerReplied { torrent, url, peers, warning },
    6 => TrackerFailed { torrent, url, reason },
    7 => PeerConnected { torrent, remote },
    8 => PeerDisconnected { torrent, remote, reason },
    9 => PeerBanned { torrent, remote },
    10 => Removed { torrent },
    11 => ShutDown,
    12 => MetadataReceived { torrent },
    13 => MetadataUnusable { torrent, reason },
    14 => GoalReached { torrent },
    15 => WebSeedFailed { torrent, url, reason },
    16 => WebSeedBanned { torrent, url },
} }

form! { struct Config {
    peer_id_prefix, limits, announcer, udp_tracker, local_discovery, super_seed, metadata,
    connect_timeout, handshake_timeout, idle_timeout, keep_alive_interval, write_timeout,
    reconnect_interval, reconnect_maximum, reconnect_attempts, useless_time, trade_time, turnover_interval, half_open_limit, known_peers_limit,
    choke_interval, optimistic_rounds, snub_timeout, block_timeout, reject_timeout, reject_interval, allowed_fast_pieces,
    request_queue_time, request_minimum, request_initial, request_maximum,
    upload_queue_limit, upload_block_limit, upload_read_limit, upload_buffer, read_limit,
    random_first_pieces, endgame_requests, begun_limit, block_budget, have_delay, have_patience,
    peer_exchange_delay, checking_jobs, checking_bytes, resume_interval, tracker_timeout, tracker_body_limit, event_limit, web_seed,
} }

form! { struct WebSeedConfig {
    silence_timeout, retry_interval, retry_maximum, active_limit, url_limit, claim_time, claim_minimum, claim_maximum,
} }

form! { struct Limits { connections, connections_per_torrent, upload_slots, rates } }

form! { struct RateLimits { download, upload } }

form! { struct SeedingGoal { ratio_permille, time } }

form! { struct Choices {
    files, other_files, sequential, first_and_last, super_seeding, peer_exchange, local_discovery, rates, goal,
} }

form! { enum Priority { 0 => High, 1 => Normal, 2 => Low, 3 => Skip } }

form! { struct SuperSeedConfig { passing_timeout, fetching_timeout } }

form! { struct MetadataConfig {
    size_limit, memory_limit, candidate_limit, candidate_time, request_timeout, requests_per_peer, requests_per_piece,
    retry_interval, retry_maximum,
} }

form! { struct AnnouncerConfig {
    reach, default_interval, default_min_interval, shortest_interval, longest_interval, jitter_percent,
    first_retry, first_retry_refused, longest_retry, few_peers, max_peers_wanted, max_under_way, max_trackers, stop_timeout,
} }

form! { struct UdpTrackerConfig { first_timeout, max_retransmissions, connection_lifetime, max_peers } }

form! { struct LocalDiscoveryConfig { interval, minimum_interval } }

form! { enum Reach { 0 => OneTracker, 1 => EveryTier, 2 => EveryTracker } }

form! { struct AddTorrent { source, folder, resume, peers, allocation, paused, choices } }

form! { enum TorrentSource { 0 => Metainfo(metainfo), 1 => Magnet(magnet) } }

impl Form for Magnet {
    fn put(&self, to: &mut Writer<'_>) {
        self.to_string().put(to);
    }

    fn take(from: &mut Reader) -> Result<Magnet, ReplayError> {
        String::take(from)?.parse().map_err(|_| from.corrupt())
    }
}

form! { struct Metainfo {
    info, trackers, web_seeds, http_seeds, nodes, comment, created_by, creation_date, encoding, other,
} }

impl Form for Info {
    fn put(&self, to: &mut Writer<'_>) {
        self.raw().put(to);
    }

    fn take(from: &mut Reader) -> Result<Info, ReplayError> {
        // However strictly it was read, leniently it gives the same.
        Info::parse_with(Form::take(from)?, Options::LENIENT).map_err(|_| from.corrupt())
    }
}

form! { struct HostPort { host, port } }

form! { enum Allocation { 0 => Sparse, 1 => Full } }

form! { struct HttpReply { status, body } }

form! { struct FetchHead { status, length, range, total, retry_after } }

form! { struct ByteRange { start, length } }

impl Form for ReadBuffer {
    fn put(&self, to: &mut Writer<'_>) {
        let ReadBuffer { data, allocation } = self;
        stream::put(data, to);
        // Mostly all of the buffer, so 0.
        (u64::from(*allocation)).wrapping_sub(data.len() as u64).cast_signed().put(to);
    }

    fn take(from: &mut Reader) -> Result<ReadBuffer, ReplayError> {
        let data = stream::take(from)?;
        let allocation = i64::take(from)?.cast_unsigned().wrapping_add(data.len() as u64);
        Ok(ReadBuffer { data, allocation: u32::try_from(allocation).map_err(|_| from.corrupt())? })
    }
}

form! { enum DiskOperation {
    0 => Open { layout, folder, allocation, parts },
    1 => Prepare { wanted },
    2 => Store { piece, segments as payloads, spans, digest, fingerprints },
    3 => Read { spans, length },
    4 => Verify { first, digests },
    5 => Stamp,
    6 => SaveResume { data },
    7 => Close { forget, delete },
    8 => Keep { piece, runs },
} }

form! { enum DiskOutput {
    0 => Opened(stamps),
    1 => Stored(fingerprints),
    2 => Mismatch(fingerprints),
    3 => Read(data as payload),
    4 => Verified(valid),
    5 => Stamps(stamps),
    6 => Done,
} }

impl Form for Layout {
    fn put(&self, to: &mut Writer<'_>) {
        put_all(self.files(), to);
        self.piece_length().put(to);
    }

    fn take(from: &mut Reader) -> Result<Layout, ReplayError> {
        Layout::new(Form::take(from)?, Form::take(from)?).ok_or_else(|| from.corrupt())
    }
}

form! { struct LayoutFile { path, length, padding } }

form! { struct Span { file, offset, length } }

form! { struct FileStamp { length, modified, aside } }

impl Form for Kept {
    fn put(&self, to: &mut Writer<'_>) {
        let Kept { spans, segments } = self;
        spans.put(to);
        payloads::put(segments, to);
    }

    fn take(from: &mut Reader) -> Result<Kept, ReplayError> {
        Ok(Kept { spans: Form::take(from)?, segments: payloads::take(from)? })
    }
}

impl Form for Bitfield {
    fn put(&self, to: &mut Writer<'_>) {
        self.len().put(to);
        put_bytes(self.as_bytes(), to);
    }

    fn take(from: &mut Reader) -> Result<Bitfield, ReplayError> {
        let length = u32::take(from)?;
        Bitfield::from_bytes(length, &Bytes::take(from)?).ok_or_else(|| from.corrupt())
    }
}

form! { enum StreamError { 0 => Refused, 1 => Unreachable, 2 => Reset, 3 => TimedOut, 4 => OutOfResources, 5 => Other } }

form! { struct DiskError { kind, path, message } }

form! { enum DiskErrorKind { 0 => Full, 1 => PermissionDenied, 2 => Missing, 3 => WrongKind, 4 => Other } }

form! { enum HttpError { 0 => NoAddress, 1 => Failed(message) } }

form! { enum AddressFamily { 0 => V4, 1 => V6 } }

form! { enum CloseReason {
    0 => Stream(error),
    1 => ClosedByPeer,
    2 => ConnectTimeout,
    3 => HandshakeTimeout,
    4 => IdleTimeout,
    5 => WriteTimeout,
    6 => Protocol(error),
    7 => UnknownTorrent,
    8 => Ourselves,
    9 => Duplicate,
    10 => Banned,
    11 => NoUse,
    12 => Limit,
    13 => TorrentStopped,
} }

form! { enum ProtocolError {
    0 => Wire(error),
    1 => WrongTorrent,
    2 => Bitfield,
    3 => PieceOutOfRange,
    4 => Request,
    5 => Block,
    6 => Unexpected,
    7 => Extension(error),
    8 => PeerExchange,
    9 => Reject,
} }

form! { enum Expected {
    0 => Value, 1 => ValueOrEnd, 2 => KeyOrEnd, 3 => Integer, 4 => IntegerEnd, 5 => Colon, 6 => StringBytes { length },
    7 => NoLeadingZero, 8 => NoNegativeZero, 9 => SortedKey, 10 => DistinctKey, 11 => Depth(levels), 12 => EndOfInput,
} }

form! { struct BencodeError { offset, expected, found } }

form! { enum ExtensionError {
    0 => Bencode(error),
    1 => NoDictionary,
    2 => Metadata,
    3 => PexLength { length, stride },
    4 => DontHaveLength(length),
} }

form! { enum WireError {
    0 => NotBitTorrent,
    1 => MessageTooLong { id, length, limit },
    2 => MessageTooShort { id, length, minimum },
    3 => WrongLength { id, length, expected },
} }

/// The forms of types that only give a name to one value.
macro_rules! form_transparent {
    ($($name:ident),*) => {$(
        impl Form for $name {
            fn put(&self, to: &mut Writer<'_>) {
                self.0.put(to);
            }

            fn take(from: &mut Reader) -> Result<$name, ReplayError> {
                Form::take(from).map($name)
            }
        }
    )*};
}

/// What came of a file's body: all of it is payload, whatever it is. The engine never looks into it, and never has a body read that is
/// not part of a file: of an answer like 404 only the head is used.
mod body {
    use super::*;

    pub(super) fn put(result: &Result<ReadBuffer, HttpError>, to: &mut Writer<'_>) {
        result.put(&mut Writer { bytes: to.bytes, framing: &mut Framing::Payload });
    }

    pub(super) fn take(from: &mut Reader) -> Result<Result<ReadBuffer, HttpError>, ReplayError> {
        Form::take(from)
    }
}

form_transparent!(IncomingId, MessageId, ResolveError, Seed);

/// Bytes of which only the number is kept.
mod payload {
    use super::*;

    pub(super) fn put(data: &Bytes, to: &mut Writer<'_>) {
        stream::put(data, &mut Writer { bytes: to.bytes, framing: &mut Framing::Payload });
    }

    pub(super) use super::stream::take;
}

/// Buffers of which only the lengths are kept.
mod payloads {
    use super::*;

    pub(super) fn put(buffers: &[Bytes], to: &mut Writer<'_>) {
        streams::put(buffers, &mut Writer { bytes: to.bytes, framing: &mut Framing::Payload });
    }

    pub(super) use super::streams::take;
}

/// Buffers that follow each other in a stream.
mod streams {
    use super::*;

    pub(super) fn put(buffers: &[Bytes], to: &mut Writer<'_>) {
        buffers.len().put(to);
        buffers.iter().for_each(|data| stream::put(data, to));
    }

    pub(super) fn take(from: &mut Reader) -> Result<Vec<Bytes>, ReplayError> {
        (0..u64::take(from)?).map(|_| stream::take(from)).collect()
    }
}
