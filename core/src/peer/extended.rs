use crate::{
    metadata::MetadataQuota,
    pex::PexFilter,
    torrent::ToldPeer,
    wire::extension::{ExtensionHandshake, ExtensionIds, ExtensionMessage},
};
use alloc::{boxed::Box, collections::VecDeque, vec::Vec};
use bytes::Bytes;

/// A connection whose peer speaks the extension protocol (BEP 10).
#[derive(Debug)]
pub(crate) struct Extended {
    /// We have not yet said, or not yet said anew, what we speak.
    pub(crate) handshake_due: bool,
    /// By which ids the peer wants to be spoken to.
    pub(crate) ids: ExtensionIds,
    /// What program it says it is.
    pub(crate) client: Option<Box<str>>,
    /// Where it said first that it listens. What it says later does not count: else it could name any number of ports.
    pub(crate) listen_port: Option<u16>,
    /// The list of peers knows it by that port, for a connection that came in.
    pub(crate) listed: bool,
    /// How many requests it says it queues.
    pub(crate) request_queue: Option<u32>,
    /// It wants nothing more (BEP 21).
    pub(crate) upload_only: bool,
    /// We have told it that we want nothing more.
    pub(crate) told_upload_only: bool,
    /// It says that it has metadata.
    pub(crate) has_metadata: bool,
    /// What metadata it may still have; there once it asked for some.
    pub(crate) quota: Option<Box<MetadataQuota>>,
    /// We have offered it peer exchange (BEP 11).
    pub(crate) offered_exchange: bool,
    /// There if it is told of other peers.
    pub(crate) told: Option<Box<ToldPeer>>,
    /// Others are told of it by the port at which it listens, for a connection that came in.
    pub(crate) logged: bool,
    /// What it tells of others.
    pub(crate) heard: PexFilter,
    /// There while it is not empty.
    #[allow(clippy::box_collection, reason = "an idle connection is to be small")]
    outbox: Option<Box<VecDeque<ExtensionMessage>>>,
}

/// Messages that wait for a peer to read on; what is more is not said. A peer that asks for metadata of 16 MiB all at once gets it.
const OUTBOX: usize = 1024;

impl Extended {
    pub(crate) fn new() -> Extended {
        Extended {
            handshake_due: true,
            ids: ExtensionIds::default(),
            client: None,
            listen_port: None,
            listed: false,
            request_queue: None,
            upload_only: false,
            told_upload_only: false,
            has_metadata: false,
            quota: None,
            offered_exchange: false,
            told: None,
            logged: false,
            heard: PexFilter::new(),
            outbox: None,
        }
    }

    /// Takes over what the peer says of itself, and leaves as it is what it does not mention.
    pub(crate) fn merge(&mut self, said: ExtensionHandshake) {
        self.ids.merge(&said.ids);
        self.client = said.client.or(self.client.take());
        self.listen_port = self.listen_port.or(said.listen_port);
        self.request_queue = said.request_queue.or(self.request_queue);
        self.has_metadata |= said.metadata_size.is_some();
        self.upload_only = said.upload_only.unwrap_or(self.upload_only);
    }

    /// Says `message` with the next write; what the peer does not know is left out then.
    pub(crate) fn say(&mut self, message: ExtensionMessage) {
        let outbox = self.outbox.get_or_insert_default();
        if outbox.len() < OUTBOX {
            outbox.push_back(message);
        }
    }

    /// The next message to say.
    pub(crate) fn next(&mut self) -> Option<ExtensionMessage> {
        let outbox = self.outbox.as_mut()?;
        let next = outbox.pop_front();
        if outbox.is_empty() {
            self.outbox = None;
        }
        next
    }
}

/// What a peer said of its pieces before we knew how many there are.
#[derive(Debug, Default)]
pub(crate) struct Early {
    pub(crate) all: bool,
    pub(crate) bitfield: Option<Bytes>,
    /// Pieces that came, and pieces that it lost again (BEP 54), in order.
    pub(crate) changes: Vec<(u32, bool)>,
}

/// Changes that are remembered; whoever has more of them looks poorer than it is, or richer until it rejects.
const CHANGES: usize = 10_000;

impl Early {
    pub(crate) fn change(&mut self, piece: u32, has: bool) {
        if self.changes.len() < CHANGES {
            self.changes.push((piece, has));
        }
    }
}
