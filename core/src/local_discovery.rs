//! Local discovery (BEP 14): peers in the same network find each other by multicast.
//!
//! [`LocalAnnounce`] is the datagram, [`LocalDiscovery`] says when to send one and what to make of others'. The host joins the
//! [groups](LOCAL_GROUPS) and sends with a TTL above 1, for they reach further than one link.
//!
//! Private torrents (BEP 27) must never be added.

use crate::{
    metainfo::InfoHash,
    rng::Rng,
    time::{Duration, Instant},
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::{
    fmt::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// The multicast groups to which announces are sent, and on which they are heard.
pub const LOCAL_GROUPS: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(239, 192, 152, 143)), LOCAL_PORT),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0xefc0, 0x988f)), LOCAL_PORT),
];

/// The UDP port of local discovery.
pub const LOCAL_PORT: u16 = 6771;

/// The longest datagram that is sent, in bytes.
pub const MAX_LOCAL_ANNOUNCE: usize = 1400;

/// The longest datagram that is read, in bytes: others may not keep to [`MAX_LOCAL_ANNOUNCE`], but an Ethernet does.
pub const MAX_LOCAL_DATAGRAM: usize = 1500;

/// What a peer tells its network: which torrents it has, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalAnnounce {
    /// The port on which the sender accepts connections. Its address is that of the datagram. Never 0.
    pub port: u16,
    /// The torrents; at least one.
    pub info_hashes: Vec<InfoHash>,
    /// By which the sender knows its own announces.
    pub cookie: Option<String>,
}

impl LocalAnnounce {
    /// The datagram to send to `group`. It is no longer than [`MAX_LOCAL_ANNOUNCE`]: torrents that find no room are left out, as is a cookie of
    /// more than 64 bytes.
    pub fn encode(&self, group: SocketAddr) -> Vec<u8> {
        // An IPv6 address is shown in brackets because it is shown with its port.
        let mut text = format!("BT-SEARCH * HTTP/1.1\r\nHost: {group}\r\nPort: {}\r\n", self.port);
        let cookie = self.cookie.as_deref().filter(|cookie| is_header_value(cookie)).map(|cookie| format!("cookie: {cookie}\r\n"));
        let end = format!("{}\r\n\r\n", cookie.unwrap_or_default());
        for info_hash in &self.info_hashes {
            if text.len() + HEADER_LENGTH + end.len() > MAX_LOCAL_ANNOUNCE {
                break;
            }
            let _ = write!(text, "Infohash: {info_hash}\r\n");
        }
        text.push_str(&end);
        text.into_bytes()
    }

    /// Reads a datagram. Header names are read in any case, unknown headers and torrents with impossible hashes ignored.
    ///
    /// `None` if it is no announce of local discovery, says no port or names no torrent, or is longer than [`MAX_LOCAL_DATAGRAM`].
    pub fn parse(datagram: &[u8]) -> Option<LocalAnnounce> {
        if datagram.len() > MAX_LOCAL_DATAGRAM {
            return None;
        }
        let text = core::str::from_utf8(datagram).ok()?;
        let mut lines = text.lines();
        let mut request = lines.next()?.split_ascii_whitespace();
        let known = request.next() == Some("BT-SEARCH") && request.next() == Some("*") && request.next()?.starts_with("HTTP/1.");
        if !known {
            return None;
        }
        let (mut port, mut info_hashes, mut cookie) = (None, Vec::new(), None);
        for line in lines.take_while(|line| !line.is_empty()) {
            let Some((name, value)) = line.split_once(':') else { continue };
            let (name, value) = (name.trim(), value.trim());
            if name.eq_ignore_ascii_case("port") {
                port = value.parse().ok().filter(|port| *port != 0);
            } else if name.eq_ignore_ascii_case("infohash") {
                info_hashes.extend(value.parse::<InfoHash>().ok().filter(|info_hash| !info_hashes.contains(info_hash)));
            } else if name.eq_ignore_ascii_case("cookie") {
                cookie = Some(value.to_string());
            }
        }
        (!info_hashes.is_empty()).then_some(LocalAnnounce { port: port?, info_hashes, cookie })
    }
}

/// Announces torrents to the local network and hears of others' there.
///
/// Call [`poll_announce`](Self::poll_announce) whenever [`next_deadline`](Self::next_deadline) has passed.
#[derive(Debug)]
pub struct LocalDiscovery {
    config: LocalDiscoveryConfig,
    cookie: String,
    /// When each torrent is announced next.
    torrents: BTreeMap<InfoHash, Instant>,
    /// The same in order of time.
    schedule: BTreeSet<(Instant, InfoHash)>,
    /// No announce before then.
    next: Instant,
}

/// The intervals of a [`LocalDiscovery`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalDiscoveryConfig {
    /// Each torrent is announced so often. Default 5 min (BEP 14).
    pub interval: Duration,
    /// Announces are at least so far apart. Default 60 s (BEP 14).
    pub minimum_interval: Duration,
}

impl Default for LocalDiscoveryConfig {
    fn default() -> LocalDiscoveryConfig {
        LocalDiscoveryConfig { interval: Duration::from_secs(300), minimum_interval: Duration::from_secs(60) }
    }
}

impl LocalDiscovery {
    /// Knows no torrent yet. `rng` chooses the cookie, which must differ from that of others in the network.
    pub fn new(config: LocalDiscoveryConfig, rng: &mut Rng) -> LocalDiscovery {
        let cookie = format!("{:016x}", rng.next_u64());
        LocalDiscovery { config, cookie, torrents: BTreeMap::new(), schedule: BTreeSet::new(), next: Instant::ZERO }
    }

    /// Announces a torrent from now on, and hears of its peers. It must not be private.
    pub fn add(&mut self, now: Instant, info_hash: InfoHash) {
        let at = *self.torrents.entry(info_hash).or_insert(now);
        self.schedule.insert((at, info_hash));
    }

    /// Has nothing to do with this torrent any more.
    pub fn remove(&mut self, info_hash: InfoHash) {
        if let Some(at) = self.torrents.remove(&info_hash) {
            self.schedule.remove(&(at, info_hash));
        }
    }

    /// The announce to send now to each of the [`LOCAL_GROUPS`], if one is due. We accept connections on `port`.
    pub fn poll_announce(&mut self, now: Instant, port: u16) -> Option<LocalAnnounce> {
        if self.next_deadline()? > now {
            return None;
        }
        let mut info_hashes = Vec::new();
        while info_hashes.len() < TORRENTS_PER_ANNOUNCE
            && let Some((at, info_hash)) = self.schedule.first().copied()
            && at <= now
        {
            self.schedule.remove(&(at, info_hash));
            let next = now + self.config.interval;
            self.schedule.insert((next, info_hash));
            self.torrents.insert(info_hash, next);
            info_hashes.push(info_hash);
        }
        self.next = now + self.config.minimum_interval;
        Some(LocalAnnounce { port, info_hashes, cookie: Some(self.cookie.clone()) })
    }

    /// When the next announce is due, if there is any torrent.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.schedule.first().map(|(at, _)| (*at).max(self.next))
    }

    /// A datagram came from `source`: which of our torrents have a peer there, and where it accepts connections. Nothing if we sent it
    /// ourselves, or it is no announce.
    pub fn handle(&self, source: SocketAddr, datagram: &[u8]) -> Vec<(InfoHash, SocketAddr)> {
        let ip = source.ip().to_canonical();
        let Some(announce) = LocalAnnounce::parse(datagram) else { return Vec::new() };
        if announce.cookie.as_ref() == Some(&self.cookie) || ip.is_unspecified() || ip.is_multicast() {
            return Vec::new();
        }
        let ours = announce.info_hashes.into_iter().filter(|info_hash| self.torrents.contains_key(info_hash));
        ours.map(|info_hash| (info_hash, reachable(source, announce.port))).collect()
    }
}

/// `Infohash: `, 40 digits, and the end of the line.
const HEADER_LENGTH: usize = 52;

/// As many as fit a datagram, whatever the group, the port and our cookie are.
const TORRENTS_PER_ANNOUNCE: usize = 24;

/// The peer behind `source`, at its port. An IPv6 address of one link means nothing without that link.
fn reachable(source: SocketAddr, port: u16) -> SocketAddr {
    let mut address = source;
    address.set_port(port);
    match address {
        SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() => address,
        _ => SocketAddr::new(source.ip().to_canonical(), port),
    }
}

fn is_header_value(text: &str) -> bool {
    text.len() <= 64 && text.chars().all(|letter| !letter.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Rng, Seed};
    use alloc::vec;
    use proptest::prelude::*;

    const HASH: InfoHash = InfoHash([0xaa; 20]);
    const SOURCE: &str = "192.168.1.7:40000";

    fn discovery(seed: u64) -> LocalDiscovery {
        LocalDiscovery::new(LocalDiscoveryConfig::default(), &mut Rng::new(Seed::from_u64(seed)))
    }

    fn after(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn hash(number: u8) -> InfoHash {
        InfoHash([number; 20])
    }

    fn announce() -> LocalAnnounce {
        LocalAnnounce { port: 6881, info_hashes: vec![HASH], cookie: Some("me".into()) }
    }

    #[test]
    fn an_announce_is_the_datagram_of_the_specification_and_ends_with_two_blank_lines() {
        let expected = "BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 6881\r\n\
            Infohash: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\ncookie: me\r\n\r\n\r\n";
        assert_eq!(announce().encode(LOCAL_GROUPS[0]), expected.as_bytes());
    }

    #[test]
    fn an_ipv6_host_is_in_brackets() {
        let datagram = String::from_utf8(announce().encode(LOCAL_GROUPS[1])).unwrap();
        assert!(datagram.contains("\r\nHost: [ff15::efc0:988f]:6771\r\n"));
    }

    #[test]
    fn several_infohash_headers_may_come_and_unknown_headers_are_ignored() {
        let text = format!(
            "BT-SEARCH * HTTP/1.1\r\nhost: x\r\nX-Thing: 1\r\nINFOHASH: {}\r\ngarbage\r\nPORT:51413\r\nInfohash: {}\r\nInfohash: 12\r\n\
             Infohash:{}\r\n\r\n",
            hash(1),
            hash(2).to_string().to_uppercase(),
            hash(1),
        );
        let announce = LocalAnnounce::parse(text.as_bytes()).unwrap();
        assert_eq!(announce, LocalAnnounce { port: 51413, info_hashes: vec![hash(1), hash(2)], cookie: None });
    }

    #[test]
    fn what_is_no_announce_is_nothing() {
        let hash = "Infohash: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n";
        for text in [
            "",
            "M-SEARCH * HTTP/1.1\r\nPort: 1\r\n",
            &format!("BT-SEARCH * HTTP/1.1\r\nPort: 0\r\n{hash}\r\n"),
            &format!("BT-SEARCH * HTTP/1.1\r\nPort: 65536\r\n{hash}\r\n"),
            &format!("BT-SEARCH * HTTP/1.1\r\n{hash}\r\n"),
            "BT-SEARCH * HTTP/1.1\r\nPort: 1\r\n\r\n",
            &format!("BT-SEARCH * HTTP/1.1\r\nPort: 1\r\n\r\n{hash}\r\n"),
            &format!("BT-SEARCH * HTTP/1.1\r\nPort: 1\r\n{hash}X: {}\r\n\r\n", "x".repeat(1500)),
        ] {
            assert_eq!(LocalAnnounce::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(LocalAnnounce::parse(b"BT-SEARCH * HTTP/1.1\r\nPort: \xff\r\n\r\n"), None);
    }

    #[test]
    fn an_announce_never_passes_1400_bytes() {
        let mut many = announce();
        many.info_hashes = (0..=255).map(hash).collect();
        for group in LOCAL_GROUPS {
            let datagram = many.encode(group);
            assert!(datagram.len() <= MAX_LOCAL_ANNOUNCE);
            assert!(LocalAnnounce::parse(&datagram).unwrap().info_hashes.len() >= TORRENTS_PER_ANNOUNCE);
        }
    }

    #[test]
    fn a_cookie_cannot_smuggle_headers_in() {
        let mut evil = announce();
        evil.cookie = Some("x\r\nPort: 1".into());
        assert_eq!(LocalAnnounce::parse(&evil.encode(LOCAL_GROUPS[0])), Some(LocalAnnounce { cookie: None, ..announce() }));
    }

    #[test]
    fn a_torrent_is_announced_at_once_and_then_every_five_minutes() {
        let mut discovery = discovery(1);
        assert_eq!((discovery.poll_announce(after(0), 1), discovery.next_deadline()), (None, None));
        discovery.add(after(7), HASH);
        let announce = discovery.poll_announce(after(7), 6881).unwrap();
        assert_eq!((announce.port, announce.info_hashes), (6881, vec![HASH]));
        assert_eq!(discovery.next_deadline(), Some(after(307)));
        assert_eq!(discovery.poll_announce(after(306), 6881), None);
        assert!(discovery.poll_announce(after(307), 6881).is_some());
        discovery.remove(HASH);
        assert_eq!(discovery.next_deadline(), None);
    }

    #[test]
    fn there_is_at_most_one_announce_a_minute() {
        let mut discovery = discovery(1);
        discovery.add(after(0), hash(1));
        assert!(discovery.poll_announce(after(0), 1).is_some());
        discovery.add(after(1), hash(2));
        discovery.add(after(2), hash(3));
        assert_eq!(discovery.next_deadline(), Some(after(60)));
        assert_eq!(discovery.poll_announce(after(59), 1), None);
        assert_eq!(discovery.poll_announce(after(60), 1).unwrap().info_hashes, [hash(2), hash(3)]);
        discovery.remove(hash(1));
        discovery.add(after(61), hash(1));
        assert_eq!(discovery.next_deadline(), Some(after(120)), "taking a torrent out and in changes nothing");
    }

    #[test]
    fn many_torrents_take_turns_and_each_gets_one() {
        let mut discovery = discovery(1);
        (0..=255).for_each(|number| discovery.add(after(0), hash(number)));
        let mut announced = Vec::new();
        let mut now = after(0);
        while announced.len() < 256 {
            let announce = discovery.poll_announce(now, u16::MAX).unwrap();
            let datagram = announce.encode(LOCAL_GROUPS[1]);
            announced.extend(LocalAnnounce::parse(&datagram).unwrap().info_hashes);
            now = discovery.next_deadline().unwrap();
        }
        announced.sort();
        announced.dedup();
        assert_eq!(announced.len(), 256);
    }

    #[test]
    fn a_peer_is_at_the_address_of_its_datagram_and_the_port_of_its_announce() {
        let mut discovery = discovery(1);
        discovery.add(after(0), HASH);
        let heard = |source: &str| discovery.handle(source.parse().unwrap(), &announce().encode(LOCAL_GROUPS[0]));
        assert_eq!(heard(SOURCE), [(HASH, "192.168.1.7:6881".parse().unwrap())]);
        assert_eq!(heard("[::ffff:192.168.1.7]:4"), [(HASH, "192.168.1.7:6881".parse().unwrap())]);
        assert_eq!(heard("[2001:db8::1]:4"), [(HASH, "[2001:db8::1]:6881".parse().unwrap())]);
        assert_eq!(heard("[fe80::1%3]:4"), [(HASH, "[fe80::1%3]:6881".parse().unwrap())]);
        assert_eq!(heard("0.0.0.0:4"), []);
    }

    #[test]
    fn torrents_that_we_do_not_have_are_not_ours() {
        let mut discovery = discovery(1);
        let mut both = announce();
        both.info_hashes.push(hash(2));
        let datagram = both.encode(LOCAL_GROUPS[0]);
        assert_eq!(discovery.handle(SOURCE.parse().unwrap(), &datagram), []);
        discovery.add(after(0), hash(2));
        assert_eq!(discovery.handle(SOURCE.parse().unwrap(), &datagram), [(hash(2), "192.168.1.7:6881".parse().unwrap())]);
    }

    #[test]
    fn our_own_announce_is_known_by_its_cookie() {
        let (mut ours, mut other) = (discovery(1), discovery(2));
        ours.add(after(0), HASH);
        other.add(after(0), HASH);
        let datagram = ours.poll_announce(after(0), 6881).unwrap().encode(LOCAL_GROUPS[0]);
        assert_eq!(ours.handle(SOURCE.parse().unwrap(), &datagram), []);
        assert_eq!(other.handle(SOURCE.parse().unwrap(), &datagram).len(), 1);
    }

    proptest! {
        #[test]
        fn every_announce_reads_back(port in 1..=u16::MAX, hashes in proptest::collection::btree_set(any::<[u8; 20]>(), 1..20), group in 0..2usize) {
            let announce = LocalAnnounce { port, info_hashes: hashes.into_iter().map(InfoHash).collect(), cookie: Some("c".into()) };
            prop_assert_eq!(LocalAnnounce::parse(&announce.encode(LOCAL_GROUPS[group])), Some(announce));
        }

        #[test]
        fn no_datagram_panics(datagram: Vec<u8>, text in "(BT-SEARCH \\* HTTP/1.1\r\n)?([A-Za-z]{0,8}:?[ -~]{0,50}\r?\n){0,8}") {
            let _ = LocalAnnounce::parse(&datagram);
            let _ = LocalAnnounce::parse(text.as_bytes());
        }
    }
}
