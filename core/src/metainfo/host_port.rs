use alloc::string::String;
use core::{fmt, str::FromStr};

/// A host by name or address, and a port: written `name:6881`, `192.0.2.1:6881` or `[2001:db8::1]:6881`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// A name, or an address without brackets; not resolved, and not checked beyond being there.
    pub host: String,
    /// The TCP or UDP port; not 0 when read from text.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') { write!(f, "[{}]:{}", self.host, self.port) } else { write!(f, "{}:{}", self.host, self.port) }
    }
}

impl FromStr for HostPort {
    type Err = HostPortError;

    fn from_str(text: &str) -> Result<HostPort, HostPortError> {
        let (host, port) = text.rsplit_once(':').ok_or(HostPortError)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(HostPortError)?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) if address.contains(':') => address,
            None if !host.contains([':', '[', ']']) => host,
            _ => return Err(HostPortError),
        };
        if host.is_empty() || host.contains(|character: char| character.is_whitespace() || character.is_control()) {
            return Err(HostPortError);
        }
        Ok(HostPort { host: host.into(), port })
    }
}

/// The text is no host with a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostPortError;

impl fmt::Display for HostPortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a host and a port, as in 192.0.2.1:6881 or [2001:db8::1]:6881")
    }
}

impl core::error::Error for HostPortError {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn names_and_addresses_read_back() {
        for (text, host) in [("peer.example:1", "peer.example"), ("192.0.2.1:6881", "192.0.2.1"), ("[2001:db8::1]:65535", "2001:db8::1")] {
            let address: HostPort = text.parse().unwrap();
            assert_eq!(address.host, host);
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", ":", "host", ":1", "host:", "host:0", "host:65536", "2001:db8::1:6881", "[name]:1", "[::1:1", "a b:1", "[]:1"] {
            assert_eq!(text.parse::<HostPort>(), Err(HostPortError), "{text}");
        }
    }
}
