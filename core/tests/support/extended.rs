use super::{Content, Peer, World, handshake};
use rustor_core::wire::{
    Handshake, Message, PeerId, Reserved,
    extension::{ExtensionHandshake, ExtensionIds, ExtensionMessage, MetadataMessage, PexMessage},
};

/// Extended messages (BEP 10), by the same ids in both directions.
impl Peer {
    /// Shakes hands as one who speaks the extension protocol, and says nothing of it yet.
    pub fn offers_extensions(&self, content: &Content) {
        let handshake = handshake(content, self.remote());
        self.says_bytes(Handshake { reserved: Reserved::default().with_extension(), ..handshake }.encode().to_vec());
    }

    /// Does so under another peer id.
    pub fn offers_extensions_as(&self, content: &Content, peer_id: PeerId) {
        let handshake = Handshake { peer_id, ..handshake(content, self.remote()) };
        self.says_bytes(Handshake { reserved: Reserved::default().with_extension(), ..handshake }.encode().to_vec());
    }

    pub fn says_extended(&self, message: ExtensionMessage) {
        self.says(message.encode(&ExtensionIds::OURS).expect("the ids are those of all extensions"));
    }

    /// Says an extension handshake, the ids of all extensions in it.
    pub fn introduces(&self, change: impl FnOnce(&mut ExtensionHandshake)) {
        let mut handshake = ExtensionHandshake { ids: ExtensionIds::OURS, ..ExtensionHandshake::default() };
        change(&mut handshake);
        self.says_extended(ExtensionMessage::Handshake(handshake.into()));
    }

    /// All extended messages since the last call; other messages stay to be heard.
    pub fn hears_extended(&self) -> Vec<ExtensionMessage> {
        self.hears_some(|message| match message {
            Message::Extended { id, payload } => {
                Some(ExtensionMessage::parse(*id, payload).expect("the engine says proper messages").expect("of a known kind"))
            }
            _ => None,
        })
    }

    /// The messages of peer exchange among those. The others are lost.
    pub fn hears_exchange(&self) -> Vec<PexMessage> {
        let only = |message| if let ExtensionMessage::PeerExchange(exchange) = message { Some(exchange) } else { None };
        self.hears_extended().into_iter().filter_map(only).collect()
    }

    /// The messages of metadata exchange among those. The others are lost.
    pub fn hears_metadata(&self) -> Vec<MetadataMessage> {
        let only = |message| if let ExtensionMessage::Metadata(metadata) = message { Some(metadata) } else { None };
        self.hears_extended().into_iter().filter_map(only).collect()
    }
}

impl World {
    /// A peer that speaks all extensions connects; `port` is where it says that it listens.
    pub fn extended_joins(&self, content: &Content, remote: &str, port: Option<u16>) -> Peer {
        let peer = self.stranger(remote);
        peer.offers_extensions(content);
        peer.introduces(|handshake| handshake.listen_port = port);
        peer
    }

    /// A peer that the engine dials answers, and speaks all extensions.
    pub fn extended_answers(&self, content: &Content, remote: &str) -> Peer {
        let peer = self.answers(remote);
        peer.offers_extensions(content);
        peer.introduces(|_| {});
        peer
    }
}
