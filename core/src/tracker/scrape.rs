//! Scrapes: how many seed and load a torrent, asked of a tracker without joining the swarm (BEP 48 over HTTP, BEP 15 over UDP).

use super::{
    ScrapeResponse, TrackerFailure, http,
    udp::{Datagram, UdpAnswer, UdpExchangeId, UdpTrackerClient, UdpTrackerConfig, authority_of},
};
use crate::{
    action::AddressFamily,
    error::{HttpError, ResolveError},
    input::HttpReply,
    metainfo::{HostPort, InfoHash},
    rng::Rng,
    time::{Duration, Instant},
};
use alloc::{
    borrow::ToOwned,
    collections::{BTreeSet, VecDeque},
    string::{String, ToString},
    vec::Vec,
};
use core::{fmt, net::SocketAddr};

/// One scrape of one tracker.
///
/// After every call the owner does what [`poll_action`](Scrape::poll_action) says, until [`poll_result`](Scrape::poll_result) has the
/// result. A UDP tracker is asked at its first address of each family; the first answer counts.
#[derive(Debug)]
pub struct Scrape {
    config: ScrapeConfig,
    info_hashes: Vec<InfoHash>,
    udp: UdpTrackerClient,
    exchanges: BTreeSet<UdpExchangeId>,
    /// When to give up.
    deadline: Instant,
    actions: VecDeque<ScrapeAction>,
    state: State,
}

#[derive(Debug)]
enum State {
    Asking,
    Ended(Result<ScrapeResponse, TrackerFailure>),
    /// Somebody has the result.
    Told,
}

/// What a scrape can be tuned by.
#[derive(Clone, Debug)]
pub struct ScrapeConfig {
    /// How UDP trackers are asked. As BEP 15 says.
    pub udp: UdpTrackerConfig,
    /// When to give up, name look-up included. 40 s: over UDP the first question and one more, 15 s later, have had their time.
    pub timeout: Duration,
    /// The longest answer that an HTTP tracker may give, in bytes. 2 MiB: some tell of all their torrents, whatever is asked.
    pub body_limit: u32,
}

impl Default for ScrapeConfig {
    fn default() -> ScrapeConfig {
        ScrapeConfig { udp: UdpTrackerConfig::default(), timeout: Duration::from_secs(40), body_limit: 2 << 20 }
    }
}

/// What a scrape wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScrapeAction {
    /// GET this URL. Answered by [`ScrapeInput::Http`].
    Http {
        /// `http:` or `https:`.
        url: String,
        /// Give up on bodies longer than this many bytes, after decompression.
        body_limit: u32,
    },
    /// Look a name up. Answered by [`ScrapeInput::Resolved`].
    Resolve(HostPort),
    /// Send a datagram, best effort; what comes back is [`ScrapeInput::Datagram`].
    Send(Datagram),
}

/// What happened to a scrape.
#[derive(Clone, Debug)]
pub enum ScrapeInput {
    /// [`Scrape::next_deadline`] has passed. Harmless at any other time.
    Timeout,
    /// Answers [`ScrapeAction::Http`].
    Http(Result<HttpReply, HttpError>),
    /// Answers [`ScrapeAction::Resolve`], in the resolver's order.
    Resolved(Result<Vec<SocketAddr>, ResolveError>),
    /// A datagram came.
    Datagram {
        /// Where it says it came from.
        from: SocketAddr,
        /// Its payload.
        payload: Vec<u8>,
    },
}

/// Why there is nothing to tell of a tracker's swarms. Displayed as one line for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScrapeError {
    /// The URL does not say where scrapes are answered: its last part does not begin with `announce` (BEP 48).
    NoConvention,
    /// The URL is neither `http:`, `https:` nor `udp:`.
    Scheme,
    /// A UDP tracker's URL that names no host and port.
    Authority,
    /// The tracker was asked, to no avail.
    Failed(TrackerFailure),
}

impl From<TrackerFailure> for ScrapeError {
    fn from(failure: TrackerFailure) -> ScrapeError {
        ScrapeError::Failed(failure)
    }
}

impl fmt::Display for ScrapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScrapeError::NoConvention => {
                f.write_str("this tracker has no scrape convention: the last part of its URL does not begin with \"announce\"")
            }
            ScrapeError::Scheme => f.write_str("the tracker's URL is neither http, https nor udp"),
            ScrapeError::Authority => f.write_str("the tracker's URL names no host and port"),
            ScrapeError::Failed(failure) => failure.fmt(f),
        }
    }
}

impl core::error::Error for ScrapeError {}

impl Scrape {
    /// Asks the tracker that announces go to at the URL `tracker` about swarms.
    ///
    /// Over UDP about [`MAX_SCRAPE`](super::udp::MAX_SCRAPE) at most; more are left out.
    ///
    /// # Errors
    ///
    /// If the URL does not say how.
    pub fn new(config: ScrapeConfig, rng: Rng, now: Instant, tracker: &str, info_hashes: &[InfoHash]) -> Result<Scrape, ScrapeError> {
        let scheme = tracker.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        let action = match scheme.as_deref() {
            Some("http" | "https") => {
                let url = http::scrape_url(tracker, info_hashes).ok_or(ScrapeError::NoConvention)?;
                ScrapeAction::Http { url, body_limit: config.body_limit }
            }
            Some("udp") => {
                let authority = authority_of(tracker).and_then(|authority| authority.parse().ok());
                ScrapeAction::Resolve(authority.ok_or(ScrapeError::Authority)?)
            }
            _ => return Err(ScrapeError::Scheme),
        };
        Ok(Scrape {
            info_hashes: info_hashes.to_vec(),
            udp: UdpTrackerClient::new(config.udp.clone(), rng),
            exchanges: BTreeSet::new(),
            deadline: now + config.timeout,
            actions: VecDeque::from([action]),
            state: State::Asking,
            config,
        })
    }

    /// Takes in what happened. After the result this does nothing.
    pub fn handle(&mut self, now: Instant, input: ScrapeInput) {
        if !matches!(self.state, State::Asking) {
            return;
        }
        match input {
            ScrapeInput::Timeout => self.udp.handle_timeout(now),
            ScrapeInput::Http(Ok(reply)) => {
                let all = http::decode_scrape(reply.status, &reply.body, self.config.body_limit as usize);
                let asked = |response: ScrapeResponse| ScrapeResponse {
                    swarms: response.swarms.into_iter().filter(|(info_hash, _)| self.info_hashes.contains(info_hash)).collect(),
                    ..response
                };
                self.state = State::Ended(all.map(asked));
            }
            ScrapeInput::Http(Err(HttpError::NoAddress)) => self.fail(NO_ADDRESS.to_owned()),
            ScrapeInput::Http(Err(HttpError::Failed(reason))) => self.fail(reason),
            ScrapeInput::Resolved(Ok(addresses)) => {
                let first = |family| addresses.iter().find(|address| AddressFamily::of(address) == family);
                for address in [AddressFamily::V4, AddressFamily::V6].into_iter().filter_map(first) {
                    self.exchanges.insert(self.udp.scrape(now, *address, &self.info_hashes));
                }
                if self.exchanges.is_empty() {
                    self.fail(NO_ADDRESS.to_owned());
                }
            }
            ScrapeInput::Resolved(Err(error)) => self.fail(error.to_string()),
            ScrapeInput::Datagram { from, payload } => self.udp.handle_datagram(now, from, &payload),
        }
        self.pump();
        if matches!(self.state, State::Asking) && self.deadline <= now {
            self.fail("the tracker does not answer".to_owned());
        }
    }

    /// What to do next; `None` once all is said.
    pub fn poll_action(&mut self) -> Option<ScrapeAction> {
        self.actions.pop_front()
    }

    /// What came of it, once.
    pub fn poll_result(&mut self) -> Option<Result<ScrapeResponse, TrackerFailure>> {
        match core::mem::replace(&mut self.state, State::Told) {
            State::Ended(result) => Some(result),
            other => {
                self.state = other;
                None
            }
        }
    }

    /// When to tell [`ScrapeInput::Timeout`] at the latest; `None` once it has ended.
    pub fn next_deadline(&self) -> Option<Instant> {
        let asking = matches!(self.state, State::Asking);
        asking.then(|| self.udp.next_deadline().map_or(self.deadline, |deadline| deadline.min(self.deadline)))
    }

    fn pump(&mut self) {
        while let Some(datagram) = self.udp.poll_datagram() {
            self.actions.push_back(ScrapeAction::Send(datagram));
        }
        while let Some((exchange, result)) = self.udp.poll_result() {
            let last = self.exchanges.remove(&exchange) && self.exchanges.is_empty();
            match result {
                Ok(UdpAnswer::Scrape(swarms)) => self.state = State::Ended(Ok(ScrapeResponse { swarms, min_interval: None })),
                Ok(UdpAnswer::Announce(_)) => {}
                Err(failure) if last && matches!(self.state, State::Asking) => self.state = State::Ended(Err(failure)),
                Err(_) => {}
            }
        }
        if !matches!(self.state, State::Asking) {
            self.actions.clear();
        }
    }

    fn fail(&mut self, reason: String) {
        self.actions.clear();
        self.state = State::Ended(Err(TrackerFailure::Unreachable(reason)));
    }
}

const NO_ADDRESS: &str = "the tracker's name has no address";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        rng::Seed,
        tracker::{AnnounceEvent, AnnounceRequest, Families, SwarmCounts, TrackerServer, TrackerServerConfig},
    };
    use alloc::vec;
    use core::net::IpAddr;

    const HASH: InfoHash = InfoHash([7; 20]);
    const V4: &str = "10.0.0.99:6969";
    const V6: &str = "[2001:db8::99]:6969";

    fn scrape(tracker: &str) -> Result<Scrape, ScrapeError> {
        Scrape::new(ScrapeConfig::default(), Rng::new(Seed::from_u64(1)), Instant::ZERO, tracker, &[HASH])
    }

    fn after(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn resolved(addresses: &[&str]) -> ScrapeInput {
        ScrapeInput::Resolved(Ok(addresses.iter().map(|address| address.parse().unwrap()).collect()))
    }

    /// A tracker with one seed and two leechers of [`HASH`].
    fn server() -> TrackerServer {
        let mut server = TrackerServer::new(TrackerServerConfig::default(), Seed::from_u64(2));
        for number in 0..3_u8 {
            let request = AnnounceRequest {
                info_hash: HASH,
                peer_id: [number; 20],
                port: 6881,
                uploaded: 0,
                downloaded: 0,
                left: number.into(),
                event: AnnounceEvent::Started,
                peers_wanted: None,
                key: None,
                tracker_id: None,
            };
            server.announce(Instant::ZERO, IpAddr::from([10, 0, 0, number]), &request, Families::Both).unwrap();
        }
        server
    }

    /// Carries datagrams to the server, but only those that `reaches` lets pass; returns how many were sent.
    fn carry(scrape: &mut Scrape, server: &mut TrackerServer, now: Instant, reaches: impl Fn(&SocketAddr) -> bool) -> usize {
        let mut sent = 0;
        while let Some(action) = scrape.poll_action() {
            let ScrapeAction::Send(datagram) = action else { panic!("{action:?}") };
            sent += 1;
            if reaches(&datagram.to)
                && let Some(payload) = server.handle_udp(now, "10.0.0.1:5000".parse().unwrap(), &datagram.payload)
            {
                scrape.handle(now, ScrapeInput::Datagram { from: datagram.to, payload });
            }
        }
        sent
    }

    fn counts(seeders: u32, leechers: u32) -> SwarmCounts {
        SwarmCounts { complete: Some(seeders), incomplete: Some(leechers), downloaded: Some(0), downloaders: None }
    }

    #[test]
    fn a_tracker_without_the_convention_is_not_asked() {
        for (tracker, error) in [
            ("http://t.example/a", ScrapeError::NoConvention),
            ("http://t.example/announce/", ScrapeError::NoConvention),
            ("https://t.example", ScrapeError::NoConvention),
            ("http://t.example/x?announce", ScrapeError::NoConvention),
            ("wss://t.example/announce", ScrapeError::Scheme),
            ("t.example:80", ScrapeError::Scheme),
            ("udp://t.example/announce", ScrapeError::Authority),
        ] {
            assert_eq!(scrape(tracker).err(), Some(error), "{tracker}");
        }
    }

    #[test]
    fn an_http_tracker_is_asked_by_its_scrape_url_and_only_what_was_asked_for_counts() {
        let mut scrape = scrape("HTTP://t.example/x/announce?key=1").unwrap();
        let url = ["HTTP://t.example/x/scrape?key=1&info_hash=", &"%07".repeat(20)].concat();
        assert_eq!(scrape.poll_action(), Some(ScrapeAction::Http { url, body_limit: 2 << 20 }));
        let mut body = b"d5:filesd".to_vec();
        for (byte, seeders) in [(6_u8, 1), (7, 5)] {
            body.extend_from_slice(b"20:");
            body.extend_from_slice(&[byte; 20]);
            body.extend_from_slice(alloc::format!("d8:completei{seeders}e10:downloadedi0e10:incompletei2ee").as_bytes());
        }
        body.extend_from_slice(b"ee");
        scrape.handle(after(1), ScrapeInput::Http(Ok(HttpReply { status: 200, body: body.into() })));
        let response = scrape.poll_result().unwrap().unwrap();
        assert_eq!(response.swarms, [(HASH, counts(5, 2))]);
        assert_eq!((scrape.poll_result(), scrape.next_deadline(), scrape.poll_action()), (None, None, None));
    }

    #[test]
    fn a_udp_tracker_is_asked_over_both_families_and_the_first_answer_counts() {
        for answers in [[true, true], [true, false], [false, true]] {
            let (mut scrape, mut server) = (scrape("udp://t.example:6969").unwrap(), server());
            let name = HostPort { host: "t.example".to_owned(), port: 6969 };
            assert_eq!(scrape.poll_action(), Some(ScrapeAction::Resolve(name)));
            scrape.handle(after(0), resolved(&[V6, V4, "10.0.0.98:6969"]));
            let sent = carry(&mut scrape, &mut server, after(0), |to| answers[usize::from(to.is_ipv6())]);
            assert!((3..=4).contains(&sent), "a request for a connection id each, and the scrapes: {sent}");
            assert_eq!(scrape.poll_result().unwrap().unwrap().swarms, [(HASH, counts(1, 2))]);
            assert_eq!((scrape.next_deadline(), scrape.poll_action()), (None, None));
        }
    }

    #[test]
    fn a_datagram_that_is_lost_is_sent_again() {
        let (mut scrape, mut server) = (scrape("udp://t.example:6969").unwrap(), server());
        scrape.poll_action();
        scrape.handle(after(1), resolved(&[V4]));
        assert_eq!(carry(&mut scrape, &mut server, after(1), |_| false), 1);
        assert_eq!(scrape.next_deadline(), Some(after(16)));
        scrape.handle(after(16), ScrapeInput::Timeout);
        assert_eq!(carry(&mut scrape, &mut server, after(16), |_| true), 2);
        assert!(scrape.poll_result().unwrap().is_ok());
    }

    #[test]
    fn whoever_does_not_answer_in_time_is_given_up() {
        let does_not_answer = Some(Err(TrackerFailure::Unreachable("the tracker does not answer".to_owned())));
        for tracker in ["udp://t.example:6969", "http://t.example/announce"] {
            let mut scrape = scrape(tracker).unwrap();
            assert_eq!(scrape.next_deadline(), Some(after(40)));
            scrape.handle(after(39), ScrapeInput::Timeout);
            assert_eq!(scrape.poll_result(), None);
            scrape.handle(after(40), ScrapeInput::Timeout);
            assert_eq!(scrape.poll_result(), does_not_answer);
            // What comes now is too late.
            scrape.handle(after(41), resolved(&[V4]));
            assert_eq!((scrape.poll_action(), scrape.poll_result(), scrape.next_deadline()), (None, None, None));
        }
        let (mut scrape, mut server) = (scrape("udp://t.example:6969").unwrap(), server());
        scrape.poll_action();
        scrape.handle(after(0), resolved(&[V4, V6]));
        let (mut now, mut sent) = (after(0), vec![]);
        while let Some(deadline) = scrape.next_deadline() {
            sent.push((now, carry(&mut scrape, &mut server, now, |_| false)));
            now = deadline;
            scrape.handle(now, ScrapeInput::Timeout);
        }
        assert_eq!((sent, now), (vec![(after(0), 2), (after(15), 2)], after(40)));
        assert_eq!(scrape.poll_result(), does_not_answer);
    }

    #[test]
    fn a_failure_says_why() {
        let ended = |tracker, input| {
            let mut scrape = scrape(tracker).unwrap();
            scrape.handle(after(1), input);
            scrape.poll_result().unwrap().unwrap_err().to_string()
        };
        let (http, udp) = ("http://t.example/announce", "udp://t.example:1");
        assert_eq!(ended(udp, resolved(&[])), NO_ADDRESS);
        assert_eq!(ended(udp, ScrapeInput::Resolved(Err(ResolveError("no such name".to_owned())))), "no such name");
        assert_eq!(ended(http, ScrapeInput::Http(Err(HttpError::NoAddress))), NO_ADDRESS);
        assert_eq!(ended(http, ScrapeInput::Http(Err(HttpError::Failed("refused".to_owned())))), "refused");
        let reply = |status, body: &'static [u8]| ScrapeInput::Http(Ok(HttpReply { status, body: body.into() }));
        assert_eq!(ended(http, reply(404, b"nothing here")), "the tracker answered HTTP status 404");
        assert_eq!(ended(http, reply(200, b"d14:failure reason4:busye")), "the tracker refused: busy");
    }

    #[test]
    fn one_family_that_refuses_does_not_end_the_wait_for_the_other() {
        let (mut scrape, mut server) = (scrape("udp://t.example:6969").unwrap(), server());
        scrape.poll_action();
        scrape.handle(after(0), resolved(&[V4, V6]));
        let questions: Vec<ScrapeAction> = core::iter::from_fn(|| scrape.poll_action()).collect();
        let refuse = |question: &ScrapeAction| {
            let ScrapeAction::Send(Datagram { to, payload }) = question else { panic!("{question:?}") };
            let payload = [&[0, 0, 0, 3][..], &payload[12..16], b"no"].concat();
            ScrapeInput::Datagram { from: *to, payload }
        };
        scrape.handle(after(1), refuse(&questions[0]));
        assert_eq!(scrape.poll_result(), None);
        scrape.handle(after(2), ScrapeInput::Timeout);
        assert_eq!(carry(&mut scrape, &mut server, after(2), |_| true), 0);
        scrape.handle(after(2), refuse(&questions[1]));
        assert_eq!(scrape.poll_result().unwrap().unwrap_err().to_string(), "the tracker refused: no");
    }
}
