//! The wire protocol between peers: pure codecs of handshake and messages.
