use crate::error::StreamError;
use core::fmt;

/// Why a connection ended: who ended it, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The stream broke or never stood.
    Stream(StreamError),
    /// The peer closed it.
    ClosedByPeer,
    /// The connection did not stand in time.
    ConnectTimeout,
    /// The handshake was not complete in time.
    HandshakeTimeout,
    /// Nothing came for too long.
    IdleTimeout,
    /// The peer did not take what we wrote for too long.
    WriteTimeout,
    /// The peer broke the protocol.
    Protocol(ProtocolError),
    /// We have no such torrent, or it is not running.
    UnknownTorrent,
    /// The peer is ourselves.
    Ourselves,
    /// We are connected to this peer already.
    Duplicate,
    /// The peer sent bad data and is banned.
    Banned,
    /// Its place was needed, or it is of no use to us nor we to it.
    NoUse,
    /// Too many connections.
    Limit,
    /// The torrent was paused, removed, or failed.
    TorrentStopped,
}

/// What a peer did against the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// What came was no BitTorrent handshake, or a broken message.
    Wire(crate::wire::WireError),
    /// An extended message was not what its extension prescribes (BEP 10).
    Extension(crate::wire::extension::ExtensionError),
    /// It shook hands for another torrent than the one asked for.
    WrongTorrent,
    /// A bitfield of the wrong length, with spare bits set, or not as the first message (BEP 3).
    Bitfield,
    /// A piece index that the torrent does not have.
    PieceOutOfRange,
    /// A request past the end of its piece, empty, or longer than anyone may ask.
    Request,
    /// A piece message that does not lie within its piece.
    Block,
    /// A message of an extension that was not agreed on.
    Unexpected,
    /// Peer exchange far more often than once a minute (BEP 11).
    PeerExchange,
    /// It rejected a request that was never made (BEP 6).
    Reject,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CloseReason::Stream(error) => return error.fmt(f),
            CloseReason::Protocol(error) => return error.fmt(f),
            CloseReason::ClosedByPeer => "closed by the peer",
            CloseReason::ConnectTimeout => "no connection in time",
            CloseReason::HandshakeTimeout => "no handshake in time",
            CloseReason::IdleTimeout => "silent for too long",
            CloseReason::WriteTimeout => "did not read for too long",
            CloseReason::UnknownTorrent => "asked for a torrent that is not here",
            CloseReason::Ourselves => "it is ourselves",
            CloseReason::Duplicate => "connected already",
            CloseReason::Banned => "sent bad data",
            CloseReason::NoUse => "of no use",
            CloseReason::Limit => "too many connections",
            CloseReason::TorrentStopped => "the torrent stopped",
        })
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ProtocolError::Wire(error) => return error.fmt(f),
            ProtocolError::Extension(error) => return error.fmt(f),
            ProtocolError::WrongTorrent => "shook hands for another torrent",
            ProtocolError::Bitfield => "sent an impossible bitfield",
            ProtocolError::PieceOutOfRange => "named a piece that does not exist",
            ProtocolError::Request => "asked for an impossible block",
            ProtocolError::Block => "sent an impossible block",
            ProtocolError::PeerExchange => return crate::pex::TooManyMessages.fmt(f),
            ProtocolError::Unexpected => "used an extension that was not agreed on",
            ProtocolError::Reject => "rejected a request that was never made",
        })
    }
}

impl core::error::Error for CloseReason {}
impl core::error::Error for ProtocolError {}
