//! Seed → scenario: small swarms with a bit of everything, so that a thousand of them run in minutes.

use super::{Fault, Group, Policy, Role, Scenario, Torrent, TrackerKind, Trouble};
use crate::{
    adversary::Mischief,
    disk::{self, DiskFault},
    network::{self, Level, Link, Nat, NatKind},
    services::{NameFault, TRACKER_NAME, TrackerFault, WebFault, WebSeed},
    units::{Rate, Size, Span},
};
use rustor_core::rng::{Purpose, Rng, Seed};

impl Scenario {
    /// Draws a scenario.
    pub fn draw(seed: u64) -> Scenario {
        let mut draw = Draw(Rng::new(Seed::from_u64(seed)).fork(Purpose::Simulation, 7));
        let torrent = draw.torrent();
        let groups = draw.groups(torrent.tracker);
        let mut scenario = Scenario {
            name: format!("drawn {seed}"),
            about: String::new(),
            seed,
            shuffle_ties: draw.chance(50),
            ends: None,
            finish_within: None,
            torrent,
            network: draw.network(),
            groups,
            web_seeds: draw.web_seeds(),
            faults: Vec::new(),
        };
        for _ in 0..draw.below(5) {
            let fault = draw.fault(&scenario);
            scenario.faults.push(fault);
        }
        draw.services(&mut scenario);
        draw.families(&mut scenario);
        scenario.faults.sort_by_key(|fault| fault.at);
        scenario
    }
}

struct Draw(Rng);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0.below(bound)
    }

    fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.0.below(most - least + 1)
    }

    /// True so many times of a hundred.
    fn chance(&mut self, percent: u64) -> bool {
        self.0.below(100) < percent
    }

    fn maybe<T>(&mut self, percent: u64, value: impl FnOnce(&mut Draw) -> T) -> Option<T> {
        if self.chance(percent) { Some(value(self)) } else { None }
    }

    fn one_of<T: Clone>(&mut self, values: &[T]) -> T {
        values[self.below(values.len() as u64) as usize].clone()
    }

    fn torrent(&mut self) -> Torrent {
        let piece = 16384u64 << self.below(4);
        let pieces = self.one_of(&[1, 3, 10, 40, 100]);
        let length = self.between(1, piece * pieces);
        let files = match self.below(4) {
            0 => {
                let first = self.below(length);
                let second = self.below(length - first);
                vec![Size(first), Size(0), Size(second), Size(length - first - second)]
            }
            _ => vec![Size(length)],
        };
        let tracker = self.one_of(&[TrackerKind::Http, TrackerKind::Http, TrackerKind::Udp, TrackerKind::Udp, TrackerKind::None]);
        let (interval, private) = (Span::seconds(self.between(60, 600)), self.chance(10) && tracker != TrackerKind::None);
        Torrent { files, piece: Size(piece), tracker, interval, private, tracker_delay: Span::ZERO }
    }

    fn network(&mut self) -> network::Settings {
        network::Settings {
            level: if self.chance(25) { Level::Fluid } else { Level::Streams },
            segment: Size(self.one_of(&[1460, 16 << 10, 64 << 10])),
            send_buffer: Size(self.one_of(&[1, 16 << 10, 256 << 10])),
            window: Size(self.one_of(&[64 << 10, 512 << 10])),
            split: self.chance(20),
            ..network::Settings::default()
        }
    }

    fn link(&mut self) -> Link {
        let up = if self.chance(33) { self.between(16, 256) } else { self.between(64, 4096) } << 10;
        Link {
            up: self.maybe(80, |_| Rate(up)),
            down: self.maybe(50, |draw| Rate(up * draw.between(1, 8))),
            delay: Span(self.between(100, 150_000)),
            jitter: Span(self.one_of(&[0, 0, 20_000])),
            queue: Size(self.between(2, 64) << 10),
            loss: self.one_of(&[0, 0, 0, 1, 5]),
            burst: self.one_of(&[1, 1, 10]),
            reorder: self.one_of(&[0, 0, 20]),
            duplicate: self.one_of(&[0, 0, 20]),
            largest_datagram: None,
            nat: None,
        }
    }

    fn nat(&mut self) -> Nat {
        Nat {
            kind: self.one_of(&[NatKind::FullCone, NatKind::PortRestricted, NatKind::Symmetric]),
            udp_idle: Span::seconds(self.between(10, 300)),
            tcp_idle: Span::seconds(self.one_of(&[30, 60, 300, 7440])),
        }
    }

    fn disk(&mut self) -> disk::Settings {
        let shortest = self.one_of(&[0, 100, 5000]);
        disk::Settings {
            latency: [Span(shortest), Span(shortest + self.one_of(&[0, 1000, 200_000]))],
            sector: Size(self.one_of(&[512, 4096])),
            write_back: Span::seconds(self.between(0, 30)),
            errors: self.one_of(&[0, 0, 0, 0, 20]),
            short_reads: self.one_of(&[0, 0, 100]),
            misdirected: if self.chance(5) { 100 } else { 0 },
            crash_at: self.maybe(15, |draw| draw.between(1, 30)),
            crash_again: 0,
            crash_takes_power: self.chance(50),
        }
    }

    fn policy(&mut self) -> Policy {
        Policy {
            upload_slots: self.maybe(30, |draw| draw.between(1, 8) as u32),
            connections: self.maybe(20, |draw| draw.between(3, 20) as u32),
            request_initial: self.maybe(20, |draw| draw.between(1, 32) as u32),
            request_maximum: self.maybe(20, |draw| draw.between(4, 300) as u32),
            upload_buffer: self.maybe(20, |draw| 16384 << draw.below(7)),
            read_limit: self.maybe(20, |draw| 1 << draw.between(6, 18)),
            random_first_pieces: self.maybe(20, |draw| draw.below(10) as u32),
            endgame_requests: self.maybe(20, |draw| draw.between(1, 5) as u32),
            block_budget: self.maybe(20, |draw| Size(draw.between(1, 64) << 14)),
            have_delay: self.maybe(20, |draw| Span::millis(draw.below(1000))),
            resume_interval: self.maybe(30, |draw| Span::millis(draw.between(100, 10_000))),
            half_open_limit: self.maybe(10, |draw| draw.between(1, 5) as u32),
            snub_timeout: self.maybe(10, |draw| Span::seconds(draw.between(5, 60))),
            download_limit: self.maybe(10, |draw| Rate(draw.between(16, 1024) << 10)),
            upload_limit: self.maybe(10, |draw| Rate(draw.between(16, 1024) << 10)),
            known_peers: self.maybe(10, |draw| draw.between(30, 200) as u32),
            choke_interval: self.maybe(10, |draw| Span::seconds(draw.between(2, 30))),
            optimistic_rounds: self.maybe(10, |draw| draw.between(1, 5) as u32),
            allowed_fast_pieces: self.maybe(20, |draw| draw.below(20) as u32),
            reconnect_interval: self.maybe(10, |draw| Span::seconds(draw.between(5, 120))),
            ..Policy::default()
        }
    }

    /// One group with everything that can be reached, leechers of some kinds, and mostly somebody who means ill.
    fn groups(&mut self, tracker: TrackerKind) -> Vec<Group> {
        // Over UDP, a tracker tells of peers of the asker's family only; and without one, peers are known from the start or not at all.
        let (both_families, tracked) = (tracker != TrackerKind::Udp, tracker != TrackerKind::None);
        let link = Link { nat: self.maybe(if tracked { 10 } else { 0 }, Draw::nat), ..self.link() };
        let mut disk = disk::Settings { misdirected: 0, ..self.disk() };
        if self.chance(70) {
            (disk.errors, disk.crash_at) = (0, None);
        }
        let mut groups = vec![Group { name: "seed".into(), role: Role::Seed, link, disk, policy: self.policy(), ..Group::default() }];
        for number in 0..self.between(1, 3) {
            groups.push(Group {
                name: format!("leechers-{number}"),
                count: self.between(1, 4) as u32,
                role: self.maybe(25, |draw| Role::Partial(draw.below(100) as u8)).unwrap_or(Role::Leecher),
                arrives: Span(self.below(20_000_000)),
                every: Span(self.one_of(&[0, 1000, 3_000_000])),
                leaves: self.maybe(15, |draw| Span::seconds(draw.below(60))),
                knows: self.maybe(if tracked { 50 } else { 100 }, |_| vec!["seed".to_owned()]).unwrap_or_default(),
                magnet: self.chance(20),
                v6: self.chance(10) && both_families,
                link: Link { nat: self.maybe(25, Draw::nat), ..self.link() },
                disk: self.disk(),
                policy: self.policy(),
                ..Group::default()
            });
        }
        let knows = if tracked { Vec::new() } else { vec!["seed".to_owned()] };
        if self.chance(10) {
            groups.push(Group {
                name: "free-riders".into(),
                count: self.between(1, 2) as u32,
                // Whom they know is there already.
                arrives: Span(self.between(1, 5_000_000)),
                knows: knows.clone(),
                link: self.link(),
                policy: Policy { upload_slots: Some(0), ..self.policy() },
                ..Group::default()
            });
        }
        if self.chance(15) {
            groups.push(Group {
                name: "mutants".into(),
                count: self.between(1, 2) as u32,
                arrives: Span(self.between(1, 5_000_000)),
                mutations: self.between(1, 100) as u16,
                knows,
                link: self.link(),
                ..Group::default()
            });
        }
        for number in 0..self.below(3) {
            groups.push(Group {
                name: format!("adversary-{number}"),
                count: self.one_of(&[1, 1, 1, 1, 2, 3]),
                role: Role::Adversary(match self.one_of(Mischief::ALL) {
                    Mischief::Corrupt(_) => Mischief::Corrupt(self.one_of(&[1, 2, 5, 20, 100])),
                    other => other,
                }),
                arrives: Span(self.below(10_000_000)),
                link: self.link(),
                v6: self.chance(10),
                ..Group::default()
            });
        }
        groups
    }

    fn web_seeds(&mut self) -> Vec<WebSeed> {
        let count = self.one_of(&[0, 0, 0, 1, 2]);
        let seed = |number| WebSeed {
            name: format!("web-{number}"),
            up: self.maybe(80, |draw| Rate(draw.between(64, 4096) << 10)),
            delay: Span(self.between(0, 150_000)),
        };
        (0..count).map(seed).collect()
    }

    fn web_fault(&mut self) -> WebFault {
        match self.below(11) {
            0 => WebFault::Absent,
            1 => WebFault::Silent,
            2 => WebFault::Slow(Span::seconds(self.between(1, 60))),
            3 => WebFault::WrongBytes,
            4 => WebFault::Missing,
            5 => WebFault::Busy { retry: self.one_of(&[0, 5, 600]) },
            6 => WebFault::IgnoresRanges,
            7 => WebFault::Truncated,
            8 => WebFault::Endless,
            9 => WebFault::WrongLength,
            _ => WebFault::Moved,
        }
    }

    /// A distant tracker, links that swallow long datagrams, lies, and services that some are cut off from.
    fn services(&mut self, scenario: &mut Scenario) {
        if self.chance(15) {
            scenario.torrent.tracker_delay = Span::millis(self.between(1, 500));
        }
        if self.chance(15) {
            let (group, largest) = (self.below(scenario.groups.len() as u64) as usize, self.one_of(&[576, 1200]));
            scenario.groups[group].link.largest_datagram = Some(Size(largest));
        }
        let (at, lasts) = self.moment(scenario);
        if self.chance(5) && scenario.torrent.tracker != TrackerKind::None {
            let lie = self.one_of(&[TrackerFault::Boasting, TrackerFault::Unasked]);
            scenario.faults.push(Fault { at, lasts, trouble: Trouble::Tracker(lie) });
        }
        if self.chance(15) && (scenario.torrent.tracker != TrackerKind::None || !scenario.web_seeds.is_empty()) {
            let names = scenario.web_seeds.iter().map(|server| server.name.clone());
            let tracker = (scenario.torrent.tracker != TrackerKind::None).then(|| TRACKER_NAME.to_owned());
            let services: Vec<String> = names.chain(tracker).collect();
            let groups: Vec<String> = scenario.groups.iter().map(|group| group.name.clone()).collect();
            let trouble = Trouble::Partition { from: self.one_of(&groups), to: self.one_of(&services), one_way: self.chance(50) };
            scenario.faults.push(Fault { at, lasts, trouble });
        }
    }

    /// Sometimes families are apart, and some have both.
    fn families(&mut self, scenario: &mut Scenario) {
        scenario.network.families_apart = self.chance(15);
        if !scenario.network.families_apart {
            return;
        }
        for group in &mut scenario.groups {
            (group.dual, group.v6) = self.one_of(&[(true, false), (false, false), (false, true)]);
        }
    }

    /// When something goes wrong, and for how long: mostly while there is something to do.
    fn moment(&mut self, scenario: &Scenario) -> (Span, Option<Span>) {
        let last = scenario.groups.iter().map(|group| group.arrives.0).max().unwrap_or_default();
        let busy = (last + scenario.ideal().saturating_mul(2)).clamp(1, 60_000_000);
        let until = if self.chance(80) { busy } else { 60_000_000 };
        (Span(self.below(until)), Some(Span(self.between(1000, 200_000_000))))
    }

    fn fault(&mut self, scenario: &Scenario) -> Fault {
        let victims: Vec<String> =
            scenario.groups.iter().filter(|group| !matches!(group.role, Role::Adversary(_))).map(|group| group.name.clone()).collect();
        let leechers: Vec<String> = victims.iter().filter(|name| *name != "seed").cloned().collect();
        let (at, mut lasts) = self.moment(scenario);
        let anybody = self.one_of(&victims);
        let untracked = scenario.torrent.tracker == TrackerKind::None;
        let kind = match self.below(if scenario.web_seeds.is_empty() { 12 } else { 14 }) {
            // Without a tracker nobody asks for names, but those of web seeds.
            11 if untracked && scenario.web_seeds.is_empty() => self.below(10),
            10 if untracked => self.below(10),
            kind => kind,
        };
        let trouble = match kind {
            0 => Trouble::Crash(anybody),
            1 => Trouble::PowerFailure(self.one_of(&leechers)),
            2 => Trouble::Dark(anybody),
            3 | 4 => {
                let alone = scenario.groups.iter().any(|group| group.name == anybody && group.count == 1);
                let others: Vec<String> = victims.iter().filter(|other| !alone || **other != anybody).cloned().collect();
                Trouble::Partition { from: anybody, to: self.one_of(&others), one_way: self.chance(50) }
            }
            5 => Trouble::Slow { nodes: anybody, by: self.between(2, 50) },
            6 => Trouble::Loss { nodes: anybody, percent: self.between(1, 60) as u8, burst: self.between(1, 20) as u32 },
            7 => {
                lasts = None;
                Trouble::Sever(anybody)
            }
            8 => Trouble::Disk { nodes: anybody, fault: self.one_of(&[DiskFault::Full, DiskFault::Broken, DiskFault::Short]) },
            9 => {
                lasts = None;
                Trouble::Rot { nodes: self.one_of(&leechers), bits: self.between(1, 20) as u32 }
            }
            11 => Trouble::Names(match self.below(4) {
                0 => NameFault::Absent,
                1 => NameFault::Slow(Span::seconds(self.between(1, 30))),
                2 => NameFault::Unknown,
                _ => NameFault::Wrong,
            }),
            12 | 13 => {
                let server = self.one_of(&scenario.web_seeds).name;
                Trouble::Web { server, fault: self.web_fault() }
            }
            _ => {
                let slow = TrackerFault::Slow(Span::seconds(self.between(1, 60)));
                Trouble::Tracker(self.one_of(&[
                    TrackerFault::Absent,
                    slow,
                    TrackerFault::Garbage,
                    TrackerFault::Lying,
                    TrackerFault::Refusing,
                    TrackerFault::Moved,
                    TrackerFault::Status(503),
                    TrackerFault::Truncated,
                    TrackerFault::Huge,
                    TrackerFault::NoAddress,
                ]))
            }
        };
        // Some are for good.
        let for_good = trouble.lasts() && self.chance(15);
        Fault { at, lasts: lasts.filter(|_| !for_good), trouble }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_can_be_written_and_read() {
        for seed in 0..500 {
            let scenario = Scenario::draw(seed);
            assert_eq!(scenario.to_string().parse(), Ok(scenario), "{seed}");
        }
    }
}
