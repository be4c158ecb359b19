use super::{Extension, ExtensionError, ExtensionIds, dictionary};
use crate::bencode::{self, Value};
use alloc::{boxed::Box, string::String, vec::Vec};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The longest client name that is kept, in characters.
pub const MAX_CLIENT_LENGTH: usize = 64;

/// What a peer says of itself in the handshake of the extension protocol (BEP 10). It may say it again, in part, at any time.
///
/// Every field is a claim. What is missing, or makes no sense, is `None`: real clients put all kinds of things there, and none is worth
/// a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtensionHandshake {
    /// `m`: the extensions and their ids. Names that we do not know are left out.
    pub ids: ExtensionIds,
    /// `v`: the client's name and version, without control characters and at most [`MAX_CLIENT_LENGTH`] characters.
    pub client: Option<Box<str>>,
    /// `p`: the port on which the sender accepts connections. Never 0.
    pub listen_port: Option<u16>,
    /// `yourip`: the address by which the sender knows the receiver.
    pub your_ip: Option<IpAddr>,
    /// `ipv4`: an address of the sender.
    pub ipv4: Option<Ipv4Addr>,
    /// `ipv6`: an address of the sender.
    pub ipv6: Option<Ipv6Addr>,
    /// `reqq`: how many requests the sender queues; further ones may be dropped. Never 0.
    pub request_queue: Option<u32>,
    /// `metadata_size`: how long the info dictionary is, in bytes (BEP 9). Never 0; unchecked otherwise.
    pub metadata_size: Option<u32>,
    /// `upload_only`: whether the sender wants nothing more (BEP 21).
    pub upload_only: Option<bool>,
    /// `e`: whether the sender prefers encrypted connections (named in BEP 11).
    pub prefers_encryption: Option<bool>,
}

impl ExtensionHandshake {
    /// Reads the payload of an extended message with id 0. Bytes after the dictionary are ignored.
    ///
    /// # Errors
    ///
    /// [`ExtensionError::Bencode`] and [`ExtensionError::NoDictionary`]; odd values never are errors.
    pub fn parse(payload: &[u8]) -> Result<ExtensionHandshake, ExtensionError> {
        let (root, _) = dictionary(payload)?;
        let integer = |key: &[u8]| root.get(key).and_then(|value| value.as_unsigned());
        let flag = |key: &[u8]| root.get(key).and_then(|value| value.as_integer()).map(|number| number != 0);
        let positive = |key: &[u8]| integer(key).filter(|number| *number > 0);
        Ok(ExtensionHandshake {
            ids: root.get(b"m").map(ids).unwrap_or_default(),
            client: root.get(b"v").and_then(|value| readable(value.as_bytes()?)),
            listen_port: positive(b"p").and_then(|port| u16::try_from(port).ok()),
            your_ip: root.get(b"yourip").and_then(address),
            ipv4: root.get(b"ipv4").and_then(|value| Some(<[u8; 4]>::try_from(value.as_bytes()?).ok()?.into())),
            ipv6: root.get(b"ipv6").and_then(|value| Some(<[u8; 16]>::try_from(value.as_bytes()?).ok()?.into())),
            request_queue: positive(b"reqq").map(|number| u32::try_from(number).unwrap_or(u32::MAX)),
            metadata_size: positive(b"metadata_size").and_then(|size| u32::try_from(size).ok()),
            upload_only: flag(b"upload_only"),
            prefers_encryption: flag(b"e"),
        })
    }

    /// The payload of an extended message with id 0.
    pub fn encode(&self) -> Vec<u8> {
        bencode::dictionary(|entries| {
            if let Some(prefers) = self.prefers_encryption {
                entries.key(b"e").integer(prefers.into());
            }
            if let Some(ip) = self.ipv4 {
                entries.key(b"ipv4").bytes(&ip.octets());
            }
            if let Some(ip) = self.ipv6 {
                entries.key(b"ipv6").bytes(&ip.octets());
            }
            entries.key(b"m").dictionary(|names| {
                for extension in Extension::ALL {
                    if let Some(id) = self.ids.mentioned(extension) {
                        names.key(extension.name().as_bytes()).unsigned(id.into());
                    }
                }
            });
            if let Some(size) = self.metadata_size {
                entries.key(b"metadata_size").unsigned(size.into());
            }
            if let Some(port) = self.listen_port {
                entries.key(b"p").unsigned(port.into());
            }
            if let Some(number) = self.request_queue {
                entries.key(b"reqq").unsigned(number.into());
            }
            if let Some(upload_only) = self.upload_only {
                entries.key(b"upload_only").integer(upload_only.into());
            }
            if let Some(client) = &self.client {
                entries.key(b"v").str(client);
            }
            match self.your_ip.map(|ip| ip.to_canonical()) {
                Some(IpAddr::V4(ip)) => entries.key(b"yourip").bytes(&ip.octets()),
                Some(IpAddr::V6(ip)) => entries.key(b"yourip").bytes(&ip.octets()),
                None => {}
            }
        })
    }

    /// Takes over what a later handshake of the same peer says, and leaves as it is what that does not mention.
    pub fn merge(&mut self, later: ExtensionHandshake) {
        self.ids.merge(&later.ids);
        self.client = later.client.or(self.client.take());
        self.listen_port = later.listen_port.or(self.listen_port);
        self.your_ip = later.your_ip.or(self.your_ip);
        self.ipv4 = later.ipv4.or(self.ipv4);
        self.ipv6 = later.ipv6.or(self.ipv6);
        self.request_queue = later.request_queue.or(self.request_queue);
        self.metadata_size = later.metadata_size.or(self.metadata_size);
        self.upload_only = later.upload_only.or(self.upload_only);
        self.prefers_encryption = later.prefers_encryption.or(self.prefers_encryption);
    }
}

/// What `m` says of the extensions that we know; ids that do not fit a byte say nothing.
fn ids(names: Value<'_>) -> ExtensionIds {
    let mut ids = ExtensionIds::default();
    for (name, id) in names.as_dictionary().unwrap_or_default() {
        let (Some(extension), Some(id)) = (Extension::from_name(name), id.as_unsigned()) else { continue };
        if let (None, Ok(id)) = (ids.mentioned(extension), u8::try_from(id)) {
            ids = ids.with(extension, id);
        }
    }
    ids
}

fn address(value: Value<'_>) -> Option<IpAddr> {
    let bytes = value.as_bytes()?;
    let ip = match (<[u8; 4]>::try_from(bytes), <[u8; 16]>::try_from(bytes)) {
        (Ok(ip), _) => IpAddr::from(ip),
        (_, Ok(ip)) => IpAddr::from(ip).to_canonical(),
        _ => return None,
    };
    (!ip.is_unspecified()).then_some(ip)
}

/// A name that is safe to print, whatever a peer put there.
fn readable(bytes: &[u8]) -> Option<Box<str>> {
    // No character is longer than four bytes: what is further behind cannot be kept anyway.
    let bytes = bytes.get(..bytes.len().min(4 * MAX_CLIENT_LENGTH)).unwrap_or_default();
    let text: String = String::from_utf8_lossy(bytes).chars().filter(|letter| !hidden(*letter)).take(MAX_CLIENT_LENGTH).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.into())
}

/// Control characters, and those that change the direction of text around them.
fn hidden(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
