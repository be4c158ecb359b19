//! Every time-out, interval, depth and cap, with its default and the reason for it.

use crate::{
    choices::RateLimits,
    local_discovery::LocalDiscoveryConfig,
    metadata::MetadataConfig,
    time::Duration,
    torrent::super_seed::SuperSeedConfig,
    tracker::{AnnouncerConfig, udp::UdpTrackerConfig},
    web_seed::WebSeedConfig,
};

/// How an engine behaves. Every field may be varied by a simulation.
#[derive(Clone, Debug)]
pub struct Config {
    /// The first eight bytes of our peer id (BEP 20). Default `-Ru0100-`: a code that nobody has registered.
    pub peer_id_prefix: [u8; 8],
    /// What the owner may change while running.
    pub limits: Limits,
    /// How trackers are spoken to.
    pub announcer: AnnouncerConfig,
    /// How UDP trackers are spoken to. Default: as BEP 15 says, but given up after two retransmissions (105 s), so that the next
    /// tracker has its turn.
    pub udp_tracker: UdpTrackerConfig,
    /// How often torrents are announced to the local network; `None` turns local discovery off altogether. Default as BEP 14 says.
    pub local_discovery: Option<LocalDiscoveryConfig>,
    /// How patiently super-seeding waits for peers (BEP 16).
    pub super_seed: SuperSeedConfig,
    /// How metadata is fetched.
    pub metadata: MetadataConfig,

    /// Give up on a connection that does not stand by then. Default 10 s: a SYN and two retransmissions.
    pub connect_timeout: Duration,
    /// Give up on a peer whose handshake is not complete by then. Default 10 s.
    pub handshake_timeout: Duration,
    /// Close a connection on which nothing came for so long. Default 150 s: keep-alives are due every 120 s (BEP 3).
    pub idle_timeout: Duration,
    /// Send a keep-alive after so long a silence of ours. Default 100 s: ahead of the two minutes of BEP 3.
    pub keep_alive_interval: Duration,
    /// Close a connection whose write is not taken for so long. Default 120 s.
    pub write_timeout: Duration,

    /// Try a peer again after this, doubled for each failure, up to [`Config::reconnect_maximum`]. Default 30 s.
    pub reconnect_interval: Duration,
    /// The longest wait before a peer is tried again. Default 1 h.
    pub reconnect_maximum: Duration,
    /// Forget a peer after so many failures in a row. Default 5.
    pub reconnect_attempts: u8,
    /// Where there is room for no further connection, one that was of no use for so long makes room for a peer that was not tried
    /// yet. Default 5 min: a few rounds of optimistic unchokes.
    pub useless_time: Duration,
    /// While we download, a connection to another leecher over which for so long nothing went either way makes room, too. Default 20 s,
    /// two choke rounds: whoever knows nobody but a handful of slow peers would stay with them, though others have finished and have
    /// time.
    pub trade_time: Duration,
    /// At most one connection makes room in so long a time, in each torrent and in the whole engine. Default 5 s.
    pub turnover_interval: Duration,
    /// Connections being opened at once, in the whole engine. Default 30: home routers dislike more.
    pub half_open_limit: u32,
    /// Peers remembered for each torrent. Default 1,000.
    pub known_peers_limit: usize,

    /// Time between choke rounds. Default 10 s (BEP 3).
    pub choke_interval: Duration,
    /// Choke rounds that an optimistic unchoke lasts. Default 3, so 30 s (BEP 3).
    pub optimistic_rounds: u32,
    /// A peer that owes us blocks and has sent none for so long is snubbing us. Default 60 s (BEP 3's "over a minute").
    pub snub_timeout: Duration,
    /// A peer that owes us blocks and has brought none to its end for so long loses them to others, even if bytes come. Time in which
    /// we do not read does not count. Default 3 min: 91 bytes a second.
    pub block_timeout: Duration,
    /// A peer with the fast extension that chokes us rejects what we asked for (BEP 6). If it has not done so by then, nor sent any of it,
    /// others are asked. Default 30 s: a full send buffer may come first.
    pub reject_timeout: Duration,
    /// A piece that a peer rejects although it let us ask is not asked of it again for so long, doubled for each time that no block came
    /// between, up to 64 times. Default 10 s.
    pub reject_interval: Duration,
    /// Pieces that a peer which has few may fetch while it is choked (BEP 6). Default 10, as the specification has it; 0 for none.
    pub allowed_fast_pieces: u32,

    /// Requests are sent for as much as the peer sends in this time. Default 1 s: longer than any usual round trip, and what is asked for further
    /// ahead nobody else can send meanwhile.
    pub request_queue_time: Duration,
    /// The fewest blocks requested ahead. Default 4.
    pub request_minimum: u32,
    /// Blocks requested from a peer that has sent none yet. Default 16.
    pub request_initial: u32,
    /// The most blocks requested ahead. Default 500: what other clients are known to queue for a peer.
    pub request_maximum: u32,
    /// Requests of a peer that wait to be answered, over which nothing more is read from it; none is ever dropped. Peers are told
    /// (BEP 10, `reqq`). A peer that does not take what we send is read on up to four times as many: perhaps it listens only once it
    /// has spoken. Default 2,000: 32 MiB ahead, and a cancel is found quickly.
    pub upload_queue_limit: u32,
    /// The longest block that a peer may request. Default 128 KiB; more closes the connection.
    pub upload_block_limit: u32,
    /// The most bytes that are read from disk at once for a peer. Default 256 KiB.
    pub upload_read_limit: u32,
    /// Bytes of blocks that are read ahead or under way to a peer. Default 1 MiB.
    pub upload_buffer: u32,
    /// The most bytes of one socket read. Default 256 KiB.
    pub read_limit: u32,

    /// Pieces fetched at random before the rarest come first. Default 4 (BEP 3).
    pub random_first_pieces: u32,
    /// Peers that may owe us the same block in endgame. Default 3.
    pub endgame_requests: u32,
    /// Pieces begun and not yet complete, in bytes, over which no further piece is begun. Default 64 MiB.
    pub begun_limit: u64,
    /// Memory held by blocks that came and are not yet on disk, each counted with its share of the buffer that it was read into. While
    /// the disk has work to do and more than this is held, nothing is read from peers. Default 64 MiB.
    pub block_budget: u64,
    /// Have messages are gathered for so long and then sent together. Default 50 ms.
    pub have_delay: Duration,
    /// A peer that waits for us, or for nothing that we have just got, hears of new pieces with whatever else it is sent, or this much
    /// later. Default 1 s: a swarm of many small pieces is otherwise busy with little else.
    pub have_patience: Duration,

    /// Peers are told of others so long after they want to be, and of what changes after so long again, but once a minute at most (BEP 11).
    /// Default 2 s: connections come in groups.
    pub peer_exchange_delay: Duration,
    /// Verification jobs that are under way for a torrent. Default 4.
    pub checking_jobs: u32,
    /// Bytes that one verification job hashes. Default 4 MiB.
    pub checking_bytes: u32,
    /// Time between saves of resume data while it changes. Default 30 s.
    pub resume_interval: Duration,
    /// Give up on an HTTP tracker by then. Default 30 s.
    pub tracker_timeout: Duration,
    /// The longest answer that an HTTP tracker may give. Default 2 MiB.
    pub tracker_body_limit: u32,
    /// Events that wait to be polled; the oldest go first. Default 10,000.
    pub event_limit: usize,
    /// How web seeds are used.
    pub web_seed: WebSeedConfig,
}

/// What the owner may change while the engine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections in the whole engine. Default 500.
    pub connections: u32,
    /// Connections of one torrent. Default 100. While it downloads, one in sixteen is for peers on trial, if there are more than eight.
    pub connections_per_torrent: u32,
    /// Peers unchoked at once by one torrent, the optimistic one included. Default 8.
    pub upload_slots: u32,
    /// How fast all torrents together may be. Default: as fast as it goes.
    pub rates: RateLimits,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { connections: 500, connections_per_torrent: 100, upload_slots: 8, rates: RateLimits::default() }
    }
}

impl Default for Config {
    fn default() -> Config {
        let seconds = Duration::from_secs;
        Config {
            peer_id_prefix: *b"-Ru0100-",
            limits: Limits::default(),
            announcer: AnnouncerConfig::default(),
            udp_tracker: UdpTrackerConfig { max_retransmissions: 2, ..UdpTrackerConfig::default() },
            local_discovery: Some(LocalDiscoveryConfig::default()),
            super_seed: SuperSeedConfig::default(),
            metadata: MetadataConfig::default(),
            connect_timeout: seconds(10),
            handshake_timeout: seconds(10),
            idle_timeout: seconds(150),
            keep_alive_interval: seconds(100),
            write_timeout: seconds(120),
            reconnect_interval: seconds(30),
            reconnect_maximum: seconds(3600),
            reconnect_attempts: 5,
            useless_time: seconds(300),
            trade_time: seconds(20),
            turnover_interval: seconds(5),
            half_open_limit: 30,
            known_peers_limit: 1000,
            choke_interval: seconds(10),
            optimistic_rounds: 3,
            snub_timeout: seconds(60),
            block_timeout: seconds(180),
            reject_timeout: seconds(30),
            reject_interval: seconds(10),
            allowed_fast_pieces: 10,
            request_queue_time: seconds(1),
            request_minimum: 4,
            request_initial: 16,
            request_maximum: 500,
            upload_queue_limit: 2000,
            upload_block_limit: 128 << 10,
            upload_read_limit: 256 << 10,
            upload_buffer: 1 << 20,
            read_limit: 256 << 10,
            random_first_pieces: 4,
            endgame_requests: 3,
            begun_limit: 64 << 20,
            block_budget: 64 << 20,
            have_delay: Duration::from_millis(50),
            have_patience: seconds(1),
            peer_exchange_delay: seconds(2),
            checking_jobs: 4,
            checking_bytes: 4 << 20,
            resume_interval: seconds(30),
            tracker_timeout: seconds(30),
            tracker_body_limit: 2 << 20,
            event_limit: 10_000,
            web_seed: WebSeedConfig::default(),
        }
    }
}
