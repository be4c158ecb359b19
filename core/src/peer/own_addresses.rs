use core::net::{IpAddr, SocketAddr};

/// By which addresses peers know us, one a family: what [`canonical_priority`](super::canonical_priority) is computed from.
///
/// Behind a translator of addresses only peers can tell (BEP 10, `yourip`). What one says is a claim; what two say in a row counts.
/// Nothing but an order depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnAddresses {
    port: u16,
    families: [Family; 2],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Family {
    listening: Option<IpAddr>,
    told: Option<IpAddr>,
    /// Who said last what we are.
    claim: Option<(IpAddr, IpAddr)>,
}

impl OwnAddresses {
    /// We listen at `address`; an unspecified one tells only the port.
    pub fn listening(&mut self, address: SocketAddr) {
        let ip = address.ip().to_canonical();
        self.port = address.port();
        if !ip.is_unspecified() {
            self.family(ip).listening = Some(ip);
        }
    }

    /// `peer` says that it knows us by `ours`; `true` if that changes something.
    pub fn told(&mut self, peer: IpAddr, ours: IpAddr) -> bool {
        let (peer, ours) = (peer.to_canonical(), ours.to_canonical());
        if peer.is_ipv4() != ours.is_ipv4() {
            return false;
        }
        let family = self.family(ours);
        let agrees = family.claim.is_some_and(|(other, claimed)| other != peer && claimed == ours);
        family.claim = Some((peer, ours));
        let changes = agrees && family.told != Some(ours);
        if changes {
            family.told = Some(ours);
        }
        changes
    }

    /// By which address `peer` knows us, if that is known.
    pub fn toward(&self, peer: SocketAddr) -> Option<SocketAddr> {
        let family = self.families.get(usize::from(peer.ip().to_canonical().is_ipv6()))?;
        Some(SocketAddr::new(family.told.or(family.listening)?, self.port))
    }

    fn family(&mut self, ip: IpAddr) -> &mut Family {
        let [v4, v6] = &mut self.families;
        if ip.is_ipv4() { v4 } else { v6 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_peers_in_a_row_say_counts() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let peer: SocketAddr = "9.9.9.9:1".parse().unwrap();
        let mut own = OwnAddresses::default();
        own.listening("0.0.0.0:6881".parse().unwrap());
        assert_eq!(own.toward(peer), None);
        assert!(!own.told(ip("1.1.1.1"), ip("5.5.5.5")));
        assert!(!own.told(ip("1.1.1.1"), ip("5.5.5.5")), "the same one twice");
        assert!(!own.told(ip("2.2.2.2"), ip("6.6.6.6")));
        assert!(!own.told(ip("3.3.3.3"), ip("::5")), "of another family than the connection");
        assert!(own.told(ip("4.4.4.4"), ip("6.6.6.6")));
        assert_eq!(own.toward(peer), Some("6.6.6.6:6881".parse().unwrap()));
        assert_eq!(own.toward("[2001:db8::1]:1".parse().unwrap()), None);
    }
}
