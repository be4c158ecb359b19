//! The tracker's UDP side (BEP 15): datagrams in, datagrams out, and no memory of who connected.

use super::{
    super::udp::{Request, Response},
    *,
};
use alloc::{string::ToString, vec::Vec};
use sha1::{Digest, Sha1};

impl TrackerServer {
    /// Answers a datagram that came from `from`; `None` where there is nothing to say.
    ///
    /// An answer to who has not yet proven its address is never longer than the question, so that nobody can be flooded through us.
    pub fn handle_udp(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Option<Vec<u8>> {
        let ip = from.ip().to_canonical();
        let (request, transaction) = Request::decode(datagram)?;
        let response = match request {
            Request::Connect => Response::Connect(self.connection_id(ip, window(now))),
            Request::Announce { connection, .. } | Request::Scrape { connection, .. } if !self.is_connected(now, ip, connection) => {
                return None;
            }
            Request::Announce { announce, .. } => {
                let most = if ip.is_ipv6() { MAX_PEERS_V6 } else { MAX_PEERS_V4 };
                let wanted = announce.peers_wanted.unwrap_or(self.config.default_peers).min(most);
                let announce = AnnounceRequest { peers_wanted: Some(wanted), ..announce };
                match self.announce(now, ip, &announce, Families::Own) {
                    Ok(response) => Response::Announce(response),
                    Err(refusal) => Response::Error(refusal.to_string()),
                }
            }
            Request::Scrape { info_hashes, .. } => {
                Response::Scrape(info_hashes.iter().map(|info_hash| self.scrape(info_hash).unwrap_or_default()).collect())
            }
        };
        Some(response.encode(transaction))
    }

    /// A number that only who receives at `ip` learns, and that needs no memory here.
    fn connection_id(&self, ip: IpAddr, window: u64) -> u64 {
        let mut hasher = Sha1::new();
        hasher.update(self.secret);
        hasher.update(window.to_be_bytes());
        match ip {
            IpAddr::V4(ip) => hasher.update(ip.to_ipv6_mapped().octets()),
            IpAddr::V6(ip) => hasher.update(ip.octets()),
        }
        let [a, b, c, d, e, f, g, h, ..]: [u8; 20] = hasher.finalize().into();
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// Whether `connection` was given to `ip` in this minute or one of the two before: for two minutes at least.
    fn is_connected(&self, now: Instant, ip: IpAddr, connection: u64) -> bool {
        (0..=2).filter_map(|age| window(now).checked_sub(age)).any(|window| self.connection_id(ip, window) == connection)
    }
}

/// What tells one tracker's connection ids from another's.
pub(super) fn secret(seed: Seed) -> [u8; 20] {
    let mut hasher = Sha1::new();
    hasher.update(b"UDP tracker connection ids");
    hasher.update(seed.0);
    hasher.finalize().into()
}

/// The minute that `now` lies in.
fn window(now: Instant) -> u64 {
    now.as_micros() / 60_000_000
}

/// As many peers as an answer of 1,400 bytes holds, which passes every network whole.
const MAX_PEERS_V4: u32 = 230;
const MAX_PEERS_V6: u32 = 76;

#[cfg(test)]
mod tests;
