//! A run as data: who is there, what they hold and want, what goes wrong and when. Readable and writable as TOML.
//!
//! ```
//! use rustor_sim::Scenario;
//!
//! let scenario: Scenario = r#"
//!     name = "three and a seed"
//!     about = "Three leechers come one after the other; the tracker is away for a while."
//!     seed = 7
//!
//!     [torrent]
//!     files = ["1 MiB", "300 KiB"]
//!     piece = "64 KiB"
//!
//!     [[group]]
//!     name = "seed"
//!     role = "seed"
//!     link = { up = "1 MiB/s", delay = "20 ms" }
//!
//!     [[group]]
//!     name = "leechers"
//!     count = 3
//!     arrives = "1 s"
//!     every = "500 ms"
//!     link = { up = "256 KiB/s", down = "2 MiB/s", delay = "30 ms" }
//!     policy = { upload-slots = 4 }
//!
//!     [[fault]]
//!     at = "0 s"
//!     lasts = "90 s"
//!     tracker = "absent"
//! "#.parse()?;
//! let report = scenario.run();
//! assert_eq!(report.violations, []);
//! assert_eq!(report.finished, 3);
//! assert_eq!(scenario.to_string().parse(), Ok(scenario));
//! # Ok::<(), rustor_sim::ScenarioError>(())
//! ```

mod draw;
mod shrink;
mod theory;

pub use shrink::Shrunk;
pub use theory::Bound;

use crate::{
    adversary::Mischief,
    disk::{self, DiskFault},
    network::{self, Link},
    payload::Payload,
    services::{NameFault, TRACKER_NAME, TrackerFault, WebFault, WebSeed},
    units::{Rate, Size, Span},
    world::Families,
};
use rustor_core::config::Config;
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use std::{fmt, str::FromStr};

/// Everything that decides a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    /// A short name.
    pub name: String,
    /// What it is about, in a sentence.
    #[serde(default)]
    pub about: String,
    /// What every draw follows from.
    #[serde(default)]
    pub seed: u64,
    /// Draws the order of what happens at the same microsecond.
    #[serde(default)]
    pub shuffle_ties: bool,
    /// After so long the run ends, whatever is left to do; without it, once everybody who can has finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<Span>,
    /// It is an error if the last honest leecher takes longer than this, counted from its arrival.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_within: Option<Span>,
    /// What all share.
    pub torrent: Torrent,
    /// What holds for all links.
    #[serde(default)]
    pub network: network::Settings,
    /// Who is there.
    #[serde(rename = "group")]
    pub groups: Vec<Group>,
    /// Web servers that have the files, too.
    #[serde(default, rename = "web-seed", skip_serializing_if = "Vec::is_empty")]
    pub web_seeds: Vec<WebSeed>,
    /// What goes wrong.
    #[serde(default, rename = "fault", skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
}

/// The torrent that a scenario is about. Its content is drawn from the scenario's seed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Torrent {
    /// The lengths of its files.
    pub files: Vec<Size>,
    /// The length of its pieces.
    pub piece: Size,
    /// How peers find each other.
    #[serde(default)]
    pub tracker: TrackerKind,
    /// How often clients come back to the tracker.
    #[serde(default = "ten_minutes")]
    pub interval: Span,
    /// Peers come from the tracker alone (BEP 27).
    #[serde(default)]
    pub private: bool,
    /// What the tracker adds to the way to it.
    #[serde(default, skip_serializing_if = "is_no_time")]
    pub tracker_delay: Span,
}

fn is_no_time(span: &Span) -> bool {
    *span == Span::ZERO
}

fn ten_minutes() -> Span {
    Span::seconds(600)
}

/// The tracker of a torrent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrackerKind {
    /// Over HTTP.
    #[default]
    Http,
    /// Over UDP.
    Udp,
    /// There is none.
    None,
}

/// Nodes of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Group {
    /// Its name; its nodes are `name/0`, `name/1` and so on.
    pub name: String,
    /// How many there are.
    pub count: u32,
    /// What they are.
    pub role: Role,
    /// When the first one comes.
    pub arrives: Span,
    /// The time between one and the next.
    pub every: Span,
    /// Each goes so long after it has finished; without it, they stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaves: Option<Span>,
    /// Groups whose nodes they know of when they come, as far as these are there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub knows: Vec<String>,
    /// They come with a magnet link, and get the metadata from peers (BEP 9).
    pub magnet: bool,
    /// Their addresses are of IPv6.
    pub v6: bool,
    /// They have addresses of both families.
    pub dual: bool,
    /// Of a thousand writes of these honest engines, so many go out changed.
    pub mutations: u16,
    /// How they are connected.
    pub link: Link,
    /// How their disks behave.
    pub disk: disk::Settings,
    /// Where their configuration differs from the default.
    pub policy: Policy,
}

impl Default for Group {
    fn default() -> Group {
        Group {
            name: String::new(),
            count: 1,
            role: Role::Leecher,
            arrives: Span::ZERO,
            every: Span::ZERO,
            leaves: None,
            knows: Vec::new(),
            magnet: false,
            v6: false,
            dual: false,
            mutations: 0,
            link: Link::default(),
            disk: disk::Settings::default(),
            policy: Policy::default(),
        }
    }
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Has everything.
    Seed,
    /// Has so many percent of the pieces, drawn by chance.
    Partial(u8),
    /// Has nothing.
    Leecher,
    /// Means ill.
    Adversary(Mischief),
}

macro_rules! policy {
    ($($(#[doc = $about:literal])+ $field:ident: $kind:ty => |$config:ident, $value:ident| $set:expr;)*) => {
        /// Where an engine's configuration differs from the default.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
        pub struct Policy {
            $($(#[doc = $about])+ #[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<$kind>,)*
        }

        impl Policy {
            /// The configuration that this makes.
            pub fn config(&self) -> Config {
                let mut config = Config::default();
                $(if let Some($value) = self.$field {
                    let $config = &mut config;
                    $set;
                })*
                config
            }

            /// All policies that differ in one field less from the default.
            fn simpler(&self) -> Vec<Policy> {
                let mut all = Vec::new();
                $(if self.$field.is_some() {
                    all.push(Policy { $field: None, ..self.clone() });
                })*
                all
            }
        }
    };
}

policy! {
    /// Peers unchoked at once; 0 for a free rider.
    upload_slots: u32 => |config, value| config.limits.upload_slots = value;
    /// Connections, of the only torrent there is. Who has as many takes no further one in.
    connections: u32 => |config, value| (config.limits.connections, config.limits.connections_per_torrent) = (value, value);
    /// Peers remembered.
    known_peers: u32 => |config, value| config.known_peers_limit = value as usize;
    /// Time between choke rounds.
    choke_interval: Span => |config, value| config.choke_interval = value.duration();
    /// Choke rounds that an optimistic unchoke lasts.
    optimistic_rounds: u32 => |config, value| config.optimistic_rounds = value;
    /// How long a peer may owe blocks and send none.
    snub_timeout: Span => |config, value| config.snub_timeout = value.duration();
    /// Requests are sent for as much as the peer sends in this time.
    request_queue_time: Span => |config, value| config.request_queue_time = value.duration();
    /// Blocks requested of a peer that has sent none yet.
    request_initial: u32 => |config, value| config.request_initial = value;
    /// The most blocks requested ahead.
    request_maximum: u32 => |config, value| config.request_maximum = value;
    /// Bytes of blocks that are read ahead or under way to a peer.
    upload_buffer: u32 => |config, value| config.upload_buffer = value;
    /// The most bytes that are read from disk at once for a peer.
    upload_read_limit: u32 => |config, value| config.upload_read_limit = value;
    /// The most bytes of one socket read.
    read_limit: u32 => |config, value| config.read_limit = value;
    /// Pieces that a newcomer may have while it is choked.
    allowed_fast_pieces: u32 => |config, value| config.allowed_fast_pieces = value;
    /// Pieces fetched at random before the rarest come first.
    random_first_pieces: u32 => |config, value| config.random_first_pieces = value;
    /// Peers that may owe the same block in endgame.
    endgame_requests: u32 => |config, value| config.endgame_requests = value;
    /// Memory held by blocks that are not yet on disk.
    block_budget: Size => |config, value| config.block_budget = value.0;
    /// Have messages are gathered for so long.
    have_delay: Span => |config, value| config.have_delay = value.duration();
    /// Time between saves of resume data.
    resume_interval: Span => |config, value| config.resume_interval = value.duration();
    /// The most that is received, from all peers together.
    download_limit: Rate => |config, value| config.limits.rates.download = Some(value.0);
    /// The most that is sent, to all peers together.
    upload_limit: Rate => |config, value| config.limits.rates.upload = Some(value.0);
    /// Try a peer again after this.
    reconnect_interval: Span => |config, value| config.reconnect_interval = value.duration();
    /// Connections being opened at once.
    half_open_limit: u32 => |config, value| config.half_open_limit = value;
}

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Fault {
    /// When. Of the nodes that it names, those that come while it lasts are concerned, too, but for crashes and failures of the power.
    pub at: Span,
    /// For how long; without it, for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Span>,
    /// What.
    #[serde(flatten)]
    pub trouble: Trouble,
}

impl<'de> Deserialize<'de> for Fault {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fault, D::Error> {
        /// What is flattened cannot be told from what is unknown, so it is looked at by hand.
        #[derive(Deserialize)]
        struct Parts {
            at: Span,
            #[serde(default)]
            lasts: Option<Span>,
            #[serde(flatten)]
            rest: toml::Table,
        }
        let Parts { at, lasts, rest } = Parts::deserialize(deserializer)?;
        if rest.len() != 1 {
            let found = rest.keys().cloned().collect::<Vec<_>>().join(", ");
            let found = if found.is_empty() { "nothing" } else { &found };
            return Err(D::Error::custom(format!("beside `at` and `lasts`, a fault says one thing that goes wrong; here it is {found}")));
        }
        let trouble = Trouble::deserialize(toml::Value::Table(rest)).map_err(D::Error::custom)?;
        Ok(Fault { at, lasts, trouble })
    }
}

/// What can go wrong. Nodes are named by their group, or by group and number: `leechers`, `leechers/3`. Partitions may name the `tracker`
/// and web seeds, too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Trouble {
    /// Programs die, and are started again when the fault is over.
    Crash(String),
    /// The power of these nodes fails: nobody is told, and disks lose what was not durable.
    PowerFailure(String),
    /// Links are dead, without a word.
    Dark(String),
    /// Nothing gets from some nodes to others.
    Partition {
        /// From these.
        from: String,
        /// To these.
        to: String,
        /// The other way is open.
        #[serde(default)]
        one_way: bool,
    },
    /// Links are slower.
    Slow {
        /// Whose.
        nodes: String,
        /// Rates are divided by this: 1 or more.
        by: u64,
    },
    /// Links lose packets, but for those to and from HTTP trackers and web seeds, whose ways are sound unless they are cut.
    Loss {
        /// Whose.
        nodes: String,
        /// Of a hundred; 90 at most.
        percent: u8,
        /// How many in a row, on average.
        burst: u32,
    },
    /// All streams of these nodes break.
    Sever(String),
    /// Disks do not do what they should.
    Disk {
        /// Whose.
        nodes: String,
        /// What is wrong.
        fault: DiskFault,
    },
    /// Bits on disks change.
    Rot {
        /// Whose.
        nodes: String,
        /// How many.
        bits: u32,
    },
    /// The tracker does not do what it should.
    Tracker(TrackerFault),
    /// Name servers do not do what they should.
    Names(NameFault),
    /// A web server does not do what it should.
    Web {
        /// Its name.
        server: String,
        /// What is wrong.
        fault: WebFault,
    },
}

/// What a scenario has on the agenda.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A member of the cast comes.
    Arrive(usize),
    /// A node that died comes back.
    Revive(usize),
    /// Everything that was to happen has happened.
    Heal,
    /// A fault begins, or is over.
    Begin(usize),
    End(usize),
    /// Time to look at everything.
    Sample,
}

/// A scenario that cannot be read, or makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError(String);

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.trim_end())
    }
}

impl ScenarioError {
    pub(crate) fn new(text: String) -> ScenarioError {
        ScenarioError(text)
    }
}

impl std::error::Error for ScenarioError {}

impl FromStr for Scenario {
    type Err = ScenarioError;

    fn from_str(text: &str) -> Result<Scenario, ScenarioError> {
        let scenario: Scenario = toml::from_str(text).map_err(|error| ScenarioError(error.to_string()))?;
        scenario.check().map_err(ScenarioError)?;
        Ok(scenario)
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = toml::Table::try_from(self).map_err(|_| fmt::Error)?;
        let plain = toml::Table::try_from(Group::default()).map_err(|_| fmt::Error)?;
        if let Some(toml::Value::Array(groups)) = table.get_mut("group") {
            groups.iter_mut().filter_map(toml::Value::as_table_mut).for_each(|group| leave_out(group, &plain));
        }
        let plain = toml::Table::try_from(network::Settings::default()).map_err(|_| fmt::Error)?;
        if let Some(toml::Value::Table(network)) = table.get_mut("network") {
            leave_out(network, &plain);
        }
        table.retain(|_, value| value.as_table().is_none_or(|table| !table.is_empty()));
        f.write_str(&toml::to_string(&table).map_err(|_| fmt::Error)?)
    }
}

/// Leaves out what is as it would be anyway.
fn leave_out(table: &mut toml::Table, plain: &toml::Table) {
    table.retain(|key, value| {
        if let (toml::Value::Table(inner), Some(toml::Value::Table(plain))) = (&mut *value, plain.get(key)) {
            leave_out(inner, plain);
            return !inner.is_empty();
        }
        plain.get(key) != Some(value)
    });
}

impl Scenario {
    /// Its torrent and the content.
    pub fn payload(&self) -> Payload {
        let lengths: Vec<usize> = self.torrent.files.iter().map(|size| size.0 as usize).collect();
        let tracker = match self.torrent.tracker {
            TrackerKind::Http => "http://tracker.sim/announce",
            TrackerKind::Udp => "udp://tracker.sim:6969/announce",
            TrackerKind::None => "",
        };
        let (piece, web_seeds): (_, Vec<String>) = (self.torrent.piece.0 as usize, self.web_seeds.iter().map(WebSeed::url).collect());
        Payload::with_web_seeds("payload", &lengths, piece, self.seed, tracker, self.torrent.private, &web_seeds)
    }

    /// All bytes of the torrent.
    pub fn length(&self) -> u64 {
        self.torrent.files.iter().map(|size| size.0).sum()
    }

    /// When the last fault is over and the last node has come, in microseconds.
    pub fn settled(&self) -> u64 {
        let faults = self.faults.iter().map(|fault| fault.at.0 + fault.lasts.map_or(0, |span| span.0));
        let arrivals = self.groups.iter().map(|group| group.arrives.0 + group.every.0 * u64::from(group.count.saturating_sub(1)));
        faults.chain(arrivals).max().unwrap_or_default()
    }

    /// The group of a member of the cast.
    pub(crate) fn group_of(&self, member: usize) -> &Group {
        let mut end = 0;
        let holds = |group: &&Group| {
            end += group.count as usize;
            member < end
        };
        self.groups.iter().find(holds).expect("whoever is in the cast is in a group")
    }

    /// The nodes that a name stands for, as indices into the cast: group by group, each in order.
    pub(crate) fn named(&self, name: &str) -> Vec<usize> {
        let mut start = 0;
        let mut found = Vec::new();
        for group in &self.groups {
            let count = group.count as usize;
            let number =
                name.strip_prefix(&group.name).and_then(|rest| rest.strip_prefix('/')).and_then(|number| number.parse::<usize>().ok());
            match number {
                _ if name == group.name => found.extend(start..start + count),
                Some(number) if number < count => found.push(start + number),
                _ => {}
            }
            start += count;
        }
        found
    }

    /// Says what makes no sense.
    fn check(&self) -> Result<(), String> {
        let length = self.length();
        let piece = self.torrent.piece.0;
        if length == 0 || length > 4 << 30 {
            return Err("a torrent has from 1 B to 4 GiB".to_owned());
        }
        if !piece.is_power_of_two() || !(16 << 10..=16 << 20).contains(&piece) {
            return Err("a piece has 16 KiB, 32 KiB, and so on up to 16 MiB".to_owned());
        }
        if self.network.segment.0 == 0 || self.network.window.0 < self.network.segment.0 {
            return Err("a segment has at least a byte, and fits into the window".to_owned());
        }
        for (index, group) in self.groups.iter().enumerate() {
            if group.name.is_empty() || self.groups[..index].iter().any(|other| other.name == group.name) {
                return Err(format!("group {} needs a name of its own", index + 1));
            }
            if let Some(unknown) = group.knows.iter().find(|name| self.named(name).is_empty() && !self.is_empty_group(name)) {
                return Err(format!("\"{}\" knows \"{unknown}\", which is not there", group.name));
            }
            if [group.link.up, group.link.down].contains(&Some(Rate(0))) {
                return Err(format!("\"{}\" has a link that carries nothing", group.name));
            }
        }
        for group in &self.groups {
            self.check_group(group).map_err(|what| format!("\"{}\" {what}", group.name))?;
        }
        if self.ends.is_some() && self.finish_within.is_some() {
            return Err("what ends at a time of its own is not asked whether all have finished in time".to_owned());
        }
        for (index, server) in self.web_seeds.iter().enumerate() {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            let others = &self.web_seeds[..index];
            if server.name.is_empty() || !server.name.chars().all(plain) || others.iter().any(|other| other.name == server.name) {
                return Err(format!("web seed {} needs a name of its own, of a to z, 0 to 9 and -", index + 1));
            }
        }
        for fault in &self.faults {
            if let Trouble::Web { server, .. } = &fault.trouble
                && !self.web_seeds.iter().any(|known| known.name == *server)
            {
                return Err(format!("a fault concerns the web seed \"{server}\", which is not there"));
            }
            let is_service = |name: &str| matches!(fault.trouble, Trouble::Partition { .. }) && self.is_service(name);
            let is_there = |name: &str| !self.named(name).is_empty() || self.is_empty_group(name) || is_service(name);
            if let Some(unknown) = fault.trouble.names().into_iter().find(|name| !is_there(name)) {
                return Err(format!("a fault concerns \"{unknown}\", which is not there"));
            }
            self.check_fault(fault)?;
        }
        Ok(())
    }

    /// Says what a group is told that has no effect on it.
    fn check_group(&self, group: &Group) -> Result<(), &'static str> {
        let plain = Group::default();
        let engine = (&group.disk, &group.policy, group.magnet, group.mutations, group.leaves);
        let nothing = (&plain.disk, &plain.policy, plain.magnet, plain.mutations, plain.leaves);
        match group.role {
            Role::Adversary(_) if engine != nothing => Err("means ill: it has no engine, no disk, and does not leave"),
            Role::Seed if group.leaves.is_some() => Err("leaves after it has finished, but it has everything when it comes"),
            Role::Partial(percent) if percent > 100 => Err("has more than all"),
            _ if group.disk.crash_at.is_none() && group.disk.crash_again > 0 => Err("crashes again, but never a first time"),
            _ => Ok(()),
        }
    }

    /// Says why a fault has no effect.
    fn check_fault(&self, fault: &Fault) -> Result<(), String> {
        let no_tracker = self.torrent.tracker == TrackerKind::None;
        let ill = |name: &str| self.named(name).iter().all(|member| matches!(self.group_of(*member).role, Role::Adversary(_)));
        let why = match &fault.trouble {
            Trouble::Loss { percent, .. } if *percent > 90 => "at most 90 of a hundred packets can be lost",
            Trouble::Slow { by: 0, .. } => "a link cannot be slowed by 0",
            Trouble::Tracker(_) if no_tracker => "a fault concerns the tracker, which is not there",
            Trouble::Names(_) if no_tracker && self.web_seeds.is_empty() => "a fault concerns names, and nobody asks for any",
            Trouble::Sever(_) | Trouble::Rot { .. } if fault.lasts.is_some() => "what severs streams or changes bits is over at once",
            Trouble::Sever(nodes) | Trouble::Rot { nodes, .. } | Trouble::Disk { nodes, .. }
                if !self.named(nodes).is_empty() && ill(nodes) =>
            {
                "a fault concerns disks, or streams that engines know, of those who mean ill"
            }
            _ => return Ok(()),
        };
        Err(why.to_owned())
    }

    fn is_service(&self, name: &str) -> bool {
        let tracker = name == TRACKER_NAME && self.torrent.tracker != TrackerKind::None;
        tracker || self.web_seeds.iter().any(|server| server.name == name)
    }

    fn is_empty_group(&self, name: &str) -> bool {
        self.groups.iter().any(|group| group.name == name && group.count == 0)
    }
}

impl Group {
    /// Of which families its nodes have addresses.
    pub(crate) fn families(&self) -> Families {
        match (self.dual, self.v6) {
            (true, _) => Families::Both,
            (false, true) => Families::V6,
            (false, false) => Families::V4,
        }
    }
}

impl Trouble {
    /// Whether it goes on until somebody ends it.
    pub(crate) fn lasts(&self) -> bool {
        !matches!(self, Trouble::Sever(_) | Trouble::Rot { .. })
    }

    /// The nodes that it names.
    pub(crate) fn names(&self) -> Vec<&str> {
        match self {
            Trouble::Crash(nodes) | Trouble::PowerFailure(nodes) | Trouble::Dark(nodes) | Trouble::Sever(nodes) => vec![nodes],
            Trouble::Slow { nodes, .. } | Trouble::Loss { nodes, .. } | Trouble::Disk { nodes, .. } | Trouble::Rot { nodes, .. } => {
                vec![nodes]
            }
            Trouble::Partition { from, to, .. } => vec![from, to],
            Trouble::Tracker(_) | Trouble::Names(_) | Trouble::Web { .. } => Vec::new(),
        }
    }
}
