use crate::{
    time::{Duration, Instant},
    wire::extension::{METADATA_PIECE_LENGTH, MetadataMessage},
};
use bytes::Bytes;

/// Gives the metadata that is known to be good to peers that ask for it (BEP 9).
///
/// It is made of the info dictionary as a whole. Whoever has not got that yet must answer every request with
/// [`MetadataMessage::Reject`].
#[derive(Clone, Debug)]
pub struct MetadataServe {
    info: Bytes,
    total_size: u32,
}

impl MetadataServe {
    /// Serves `info`, the bytes of the info dictionary exactly as they are hashed.
    pub fn new(info: Bytes) -> MetadataServe {
        let total_size = u32::try_from(info.len()).unwrap_or(u32::MAX);
        MetadataServe { info, total_size }
    }

    /// What our extension handshake says as `metadata_size`, in bytes.
    pub fn total_size(&self) -> u32 {
        self.total_size
    }

    /// The answer to a request: the piece, or a reject if there is none such or the peer has used up its quota.
    pub fn answer(&self, now: Instant, quota: &mut MetadataQuota, piece: u32) -> MetadataMessage {
        let start = piece.saturating_mul(METADATA_PIECE_LENGTH);
        let end = start.saturating_add(METADATA_PIECE_LENGTH).min(self.total_size);
        if start >= end || !quota.take(now, self.total_size.div_ceil(METADATA_PIECE_LENGTH)) {
            return MetadataMessage::Reject { piece };
        }
        MetadataMessage::Data { piece, total_size: Some(self.total_size), data: self.info.slice(start as usize..end as usize) }
    }
}

/// How much metadata one peer may still have: all of it twice, and again twice a minute later.
///
/// Nobody needs it more often, and it costs a peer 30 bytes to ask for 16 KiB.
#[derive(Clone, Copy, Debug, Default)]
pub struct MetadataQuota {
    since: Instant,
    given: u32,
}

impl MetadataQuota {
    fn take(&mut self, now: Instant, pieces: u32) -> bool {
        if now.since(self.since) >= INTERVAL {
            *self = MetadataQuota { since: now, given: 0 };
        }
        let allowed = self.given < pieces.saturating_mul(2);
        self.given = self.given.saturating_add(u32::from(allowed));
        allowed
    }
}

const INTERVAL: Duration = Duration::from_secs(60);
