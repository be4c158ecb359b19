//! Names for what comes and goes. All are generational: an id that is gone finds nothing, so late answers are no-ops.

use crate::util::Key;

/// Marks the ids of torrents.
pub enum TorrentKind {}
/// Marks the ids of connections.
pub enum ConnectionKind {}
/// Marks the ids of disk jobs.
pub enum DiskJobKind {}
/// Marks the ids of HTTP requests.
pub enum HttpKind {}
/// Marks the ids of streamed downloads.
pub enum FetchKind {}
/// Marks the ids of name look-ups.
pub enum ResolveKind {}

/// One torrent, from [`Command::Add`](crate::command::Command::Add) to its removal.
pub type TorrentId = Key<TorrentKind>;
/// One stream to a peer, from [`Action::Connect`](crate::action::Action::Connect) or
/// [`Action::Accept`](crate::action::Action::Accept) to [`Action::Close`](crate::action::Action::Close).
pub type ConnectionId = Key<ConnectionKind>;
/// One [`Action::Disk`](crate::action::Action::Disk) and its answer.
pub type DiskJobId = Key<DiskJobKind>;
/// One [`Action::Http`](crate::action::Action::Http) and its answer.
pub type HttpId = Key<HttpKind>;
/// One [`Action::Fetch`](crate::action::Action::Fetch), to the end of its body or to
/// [`Action::FetchCancel`](crate::action::Action::FetchCancel).
pub type FetchId = Key<FetchKind>;
/// One [`Action::Resolve`](crate::action::Action::Resolve) and its answer.
pub type ResolveId = Key<ResolveKind>;

/// The host's own name for a stream that it accepted, until the engine adopts or refuses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IncomingId(pub u64);
