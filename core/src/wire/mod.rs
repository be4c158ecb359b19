//! The wire protocol between peers: pure codecs of handshake and messages.

/// Placeholder until the room is furnished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireError;
impl core::fmt::Display for WireError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("broke the wire protocol")
    }
}
