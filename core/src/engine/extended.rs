//! The extension protocol (BEP 10): what we speak, what peers say they speak, and where their messages go.

use super::Engine;
use crate::{
    id::ConnectionId,
    peer::{Connection, ProtocolError},
    torrent::Torrent,
    wire::{
        Encoder,
        extension::{Extension, ExtensionHandshake, ExtensionIds, ExtensionMessage},
    },
};
use bytes::Bytes;
use core::net::SocketAddr;

/// What peers are told that we are.
const CLIENT: &str = concat!("RusTor ", env!("CARGO_PKG_VERSION"));

/// Bytes of extended messages that go out with one write: metadata is to leave room for blocks.
const BATCH: usize = 128 << 10;

impl Engine {
    /// An extended message has come. What an extension prescribes otherwise closes the connection.
    pub(super) fn extended(&mut self, id: ConnectionId, kind: u8, payload: &Bytes) -> Result<(), ProtocolError> {
        let Some(connection) = self.connections.get(id) else { return Ok(()) };
        if connection.extended.is_none() {
            return Err(ProtocolError::Unexpected);
        }
        let message = ExtensionMessage::parse(kind, payload).map_err(ProtocolError::Extension)?;
        match message {
            Some(ExtensionMessage::Handshake(handshake)) => self.extension_handshake(id, *handshake),
            Some(ExtensionMessage::Metadata(message)) => self.metadata_message(id, message),
            Some(ExtensionMessage::PeerExchange(message)) => self.told_of_peers(id, &message)?,
            Some(ExtensionMessage::DontHave(piece)) => return self.dont_have(id, piece),
            None => {}
        }
        Ok(())
    }

    fn extension_handshake(&mut self, id: ConnectionId, handshake: ExtensionHandshake) {
        let metadata_size = handshake.metadata_size;
        let Some(connection) = self.connections.get_mut(id) else { return };
        if handshake.your_ip.is_some_and(|ours| self.own_addresses.told(connection.remote.ip(), ours)) {
            self.own_addresses_changed();
        }
        let Some(extended) = self.connections.get_mut(id).and_then(|connection| connection.extended.as_mut()) else { return };
        extended.merge(handshake);
        self.listens(id);
        self.update_flags(id);
        self.exchange_wanted(id);
        self.metadata_offered(id, metadata_size);
        self.part_if_useless(id);
    }

    /// Says `message` to a peer, if it knows the extension.
    pub(super) fn say(&mut self, id: ConnectionId, message: ExtensionMessage) {
        if let Some(extended) = self.connections.get_mut(id).and_then(|connection| connection.extended.as_mut()) {
            extended.say(message);
            self.mark_dirty(id);
        }
    }
}

/// What we say of ourselves.
fn handshake(connection: &mut Connection, torrent: &Torrent, listening: &[SocketAddr], request_queue: u32) -> ExtensionHandshake {
    let mut ids = ExtensionIds::OURS;
    if !torrent.exchanges_peers() {
        let offered = connection.extended.as_ref().is_some_and(|extended| extended.offered_exchange);
        ids = if offered { ids.with(Extension::PeerExchange, 0) } else { ids.without(Extension::PeerExchange) };
    }
    // A change is told, and that is a change from wanting everything.
    let upload_only = connection.extended.as_mut().and_then(|extended| {
        let told = core::mem::replace(&mut extended.told_upload_only, torrent.is_upload_only());
        (told || extended.told_upload_only).then_some(extended.told_upload_only)
    });
    let metadata = torrent.metainfo().map(|metainfo| metainfo.info.raw().len());
    ExtensionHandshake {
        ids,
        client: Some(CLIENT.into()),
        listen_port: listening.first().map(SocketAddr::port),
        your_ip: Some(connection.remote.ip()),
        request_queue: Some(request_queue),
        metadata_size: metadata.and_then(|length| u32::try_from(length).ok()),
        upload_only,
        ..ExtensionHandshake::default()
    }
}

/// Puts into a write what a peer is told by extended messages.
pub(super) fn push_extended(
    connection: &mut Connection,
    torrent: &Torrent,
    listening: &[SocketAddr],
    request_queue: u32,
    encoder: &mut Encoder,
) {
    if connection.extended.as_ref().is_some_and(|extended| extended.handshake_due) {
        let handshake = handshake(connection, torrent, listening, request_queue);
        let message = ExtensionMessage::Handshake(handshake.into()).encode(&ExtensionIds::default());
        message.into_iter().for_each(|message| encoder.push(message));
    }
    let Some(extended) = &mut connection.extended else { return };
    extended.handshake_due = false;
    extended.offered_exchange |= torrent.exchanges_peers();
    let mut room = BATCH;
    while room > 0
        && let Some(message) = extended.next()
    {
        // What was to be said before it was switched off, or the torrent turned out to be private, is not said any more.
        if matches!(message, ExtensionMessage::PeerExchange(_)) && !torrent.exchanges_peers() {
            continue;
        }
        if let ExtensionMessage::Metadata(crate::wire::extension::MetadataMessage::Data { data, .. }) = &message {
            room = room.saturating_sub(data.len());
        }
        message.encode(&extended.ids).into_iter().for_each(|message| encoder.push(message));
    }
}
