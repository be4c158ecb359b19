//! Whatever happens, in whatever order: the contract holds (the world's audit sees to that), nothing panics, and afterwards a good
//! seed can still bring every torrent to its end.

use crate::{
    BLOCK,
    support::{Content, Job, Peer, World},
};
use bytes::Bytes;
use proptest::prelude::*;
use rustor_core::{
    command::{AddTorrent, Command},
    config::Limits,
    error::{DiskErrorKind, StreamError},
    event::Event,
    id::TorrentId,
    input::{FetchHead, HttpReply, Input, ReadBuffer},
    metainfo::Metainfo,
    storage::DiskOutput,
    time::Duration,
    util::Key,
    wire::{Block, Message, Reserved},
};

/// Something that happens. Numbers choose among what there is, modulo how many.
#[derive(Clone, Debug)]
enum Step {
    Stranger(u8),
    /// A stranger that does what good peers do first.
    Join {
        remote: u8,
        torrent: usize,
        unchokes: bool,
        fast: bool,
    },
    Dial {
        at: usize,
        accept: bool,
    },
    Handshake {
        peer: usize,
        torrent: usize,
    },
    Say {
        peer: usize,
        messages: Vec<Message>,
    },
    Bytes {
        peer: usize,
        bytes: Vec<u8>,
    },
    Serve {
        peer: usize,
        blocks: usize,
        good: bool,
    },
    End {
        peer: usize,
        breaks: bool,
    },
    Writes {
        peer: usize,
        taken: u8,
    },
    Disk {
        at: usize,
    },
    DiskMode {
        held: bool,
        fault: Option<u8>,
    },
    DiskMeddling {
        torrent: usize,
        piece: u32,
    },
    Tracker {
        at: usize,
        body: u8,
    },
    /// A web server does something with one of the requests that it has.
    Web {
        at: usize,
        act: u8,
        bytes: usize,
    },
    Command {
        torrent: usize,
        command: u8,
    },
    Late {
        id: u64,
        kind: u8,
    },
    Time {
        micros: u64,
    },
    /// The next inputs come before anyone asks for actions.
    Defer(u32),
}

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 0u32..6, 1 => Just(u32::MAX), 1 => any::<u32>()]
}

fn block() -> impl Strategy<Value = Block> {
    let offset = prop_oneof![6 => (0u32..4).prop_map(|at| at * BLOCK), 1 => number()];
    let length = prop_oneof![6 => Just(BLOCK), 1 => number(), 1 => Just(100)];
    (number(), offset, length).prop_map(|(piece, offset, length)| Block { piece, offset, length })
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        1 => Just(Message::KeepAlive),
        3 => Just(Message::Choke),
        9 => Just(Message::Unchoke),
        6 => Just(Message::Interested),
        3 => Just(Message::NotInterested),
        9 => (0u32..3).prop_map(Message::Have),
        1 => number().prop_map(Message::Have),
        1 => prop::collection::vec(any::<u8>(), 0..3).prop_map(|bits| Message::Bitfield(bits.into())),
        3 => Just(Message::Bitfield(vec![0xe0].into())),
        9 => block().prop_map(Message::Request),
        3 => block().prop_map(Message::Cancel),
        1 => block().prop_map(|block| Message::Piece {
            piece: block.piece,
            offset: block.offset,
            data: Bytes::from(vec![1; block.length.min(BLOCK) as usize]).into(),
        }),
        1 => any::<u16>().prop_map(Message::Port),
        1 => Just(Message::HaveAll),
        1 => Just(Message::HaveNone),
        2 => (0u32..3).prop_map(Message::AllowedFast),
        1 => number().prop_map(Message::AllowedFast),
        1 => (0u32..3).prop_map(Message::Suggest),
        3 => block().prop_map(Message::Reject),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let peer = 0usize..12;
    let torrent = prop::sample::select(vec![0usize, 0, 0, 1, 2]);
    let messages = prop::collection::vec(message(), 1..6);
    let micros = prop_oneof![2 => Just(0u64), 2 => 1u64..1000, 4 => 1000u64..1_000_000, 3 => 1_000_000u64..20_000_000, 1 => 20_000_000u64..400_000_000];
    prop_oneof![
        2 => (0u8..6).prop_map(Step::Stranger),
        6 => (0u8..60, torrent.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(remote, torrent, unchokes, fast)| Step::Join { remote, torrent, unchokes, fast }),
        4 => (any::<usize>(), prop::bool::weighted(0.8)).prop_map(|(at, accept)| Step::Dial { at, accept }),
        4 => (peer.clone(), torrent).prop_map(|(peer, torrent)| Step::Handshake { peer, torrent }),
        9 => (peer.clone(), messages).prop_map(|(peer, messages)| Step::Say { peer, messages }),
        1 => (peer.clone(), prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(peer, bytes)| Step::Bytes { peer, bytes }),
        20 => (0usize..5, 1usize..12, prop::bool::weighted(0.8)).prop_map(|(peer, blocks, good)| Step::Serve { peer, blocks, good }),
        1 => (peer.clone(), any::<bool>()).prop_map(|(peer, breaks)| Step::End { peer, breaks }),
        3 => (peer, 0u8..3).prop_map(|(peer, taken)| Step::Writes { peer, taken }),
        9 => any::<usize>().prop_map(|at| Step::Disk { at }),
        2 => (any::<bool>(), prop::option::weighted(0.2, 0u8..7)).prop_map(|(held, fault)| Step::DiskMode { held, fault }),
        1 => (0usize..3, 0u32..3).prop_map(|(torrent, piece)| Step::DiskMeddling { torrent, piece }),
        3 => (any::<usize>(), 0u8..6).prop_map(|(at, body)| Step::Tracker { at, body }),
        9 => (any::<usize>(), 0u8..24, 0usize..60_000).prop_map(|(at, act, bytes)| Step::Web { at, act, bytes }),
        4 => (0usize..3, 0u8..12).prop_map(|(torrent, command)| Step::Command { torrent, command }),
        2 => ((0u64..4, 0u64..3).prop_map(|(index, generation)| generation << 32 | index), 0u8..8).prop_map(|(id, kind)| Step::Late { id, kind }),
        6 => micros.prop_map(|micros| Step::Time { micros }),
        2 => (1u32..6).prop_map(Step::Defer),
    ]
}

struct Chaos {
    world: World,
    contents: [Content; 3],
    peers: Vec<(Peer, usize)>,
    is_down: bool,
}

impl Chaos {
    fn new() -> Chaos {
        let world = World::with(|config| {
            config.limits = Limits { connections: 10, connections_per_torrent: 5, upload_slots: 2, ..Limits::default() };
            config.half_open_limit = 2;
            config.block_budget = 3 * u64::from(BLOCK);
            config.known_peers_limit = 10;
        });
        let contents = [
            Content::tracked(11 * BLOCK as usize + 5, 4 * BLOCK, &[&["http://one.test/a", "http://two.test/a"], &["http://three.test/a"]]),
            Content::files(&[("a", 20_000), (".pad1", 12_768), ("b", 1), ("empty", 0), ("c", 40_000)], 2 * BLOCK),
            Content::private(5, BLOCK, &[&["http://one.test/a"], &["http://two.test/a"]]),
        ];
        Chaos { world, contents, peers: Vec::new(), is_down: false }
    }

    fn torrent(&self, torrent: usize) -> Option<TorrentId> {
        self.world.find(&self.contents[torrent])
    }

    fn add(&self, torrent: usize, paused: bool) {
        let add = AddTorrent {
            resume: self.world.disk(|disk| disk.resume.get(&torrent.to_string()).cloned()),
            peers: (0..3).map(|peer| std::net::SocketAddr::from(([10, 0, 1, peer], 6881))).collect(),
            paused,
            ..AddTorrent::new(self.with_web_seeds(torrent), torrent.to_string())
        };
        let _ = self.world.command(Command::Add(Box::new(add)));
    }

    fn with_web_seeds(&self, torrent: usize) -> Metainfo {
        let web_seeds = (0..torrent.min(2)).map(|number| format!("http://web{number}.test/{torrent}/")).collect();
        Metainfo { web_seeds, ..self.contents[torrent].metainfo() }
    }

    /// What lies at a URL.
    fn web_file(&self, url: &str) -> Bytes {
        let (_, path) = url.split_once(".test/").expect("a server of ours");
        let (torrent, path) = path.split_once('/').expect("below a torrent's folder");
        let content = &self.contents[torrent.parse::<usize>().expect("a number")];
        let mut start = 0;
        for file in content.layout.files() {
            let end = start + file.length as usize;
            if file.path.join("/") == path {
                return content.data.slice(start..end);
            }
            start = end;
        }
        panic!("nobody asks for {url}");
    }

    fn web(&self, at: usize, act: u8, bytes: usize) {
        let downloads = self.world.downloads();
        let Some(download) = downloads.get(at % downloads.len().max(1)) else { return };
        let file = self.web_file(&download.url());
        match (download.has_head(), act) {
            (false, 0) => download.fails(),
            (false, 1) => download.says(404),
            (false, 2) => download.says(503),
            (false, 3) => download.says(206),
            (false, 4..8) => download.begins_whole(&file),
            (false, _) => download.begins(&file),
            (true, 0) => download.breaks(),
            (true, 1) => download.ends(),
            (true, 2) => download.sends(vec![7; bytes.max(1)]),
            (true, _) if bytes > 0 => download.sends_next(&file, bytes),
            (true, _) => {}
        }
    }

    fn peer(&self, peer: usize) -> Option<&(Peer, usize)> {
        self.peers.iter().rev().nth(peer)
    }

    fn happens(&mut self, step: Step) {
        match step {
            Step::Stranger(last) => self.peers.push((self.world.stranger(&format!("10.0.0.{last}:5000")), 0)),
            Step::Join { remote, torrent, unchokes, fast } => {
                let peer = self.world.stranger(&format!("10.0.2.{remote}:5000"));
                let content = &self.contents[torrent];
                match fast {
                    true => peer.shakes_hands_with(content, Reserved::default().with_fast().with_extension()),
                    false => peer.shakes_hands(content),
                }
                peer.says_all([content.bitfield(0..content.pieces()), Message::Interested]);
                if unchokes {
                    peer.says(Message::Unchoke);
                }
                self.peers.push((peer, torrent));
            }
            Step::Dial { at, accept } => {
                let dials = self.world.dials();
                let Some(remote) = dials.get(at % dials.len().max(1)) else { return };
                match accept {
                    true => self.peers.push((self.world.answers(&remote.to_string()), 0)),
                    false => self.world.refuses(&remote.to_string()),
                }
            }
            Step::Handshake { peer, torrent } => {
                let count = self.peers.len();
                let Some((peer, of)) = count.checked_sub(peer + 1).and_then(|at| self.peers.get_mut(at)) else { return };
                if peer.has_spoken() {
                    return;
                }
                *of = torrent;
                peer.shakes_hands(&self.contents[torrent]);
            }
            Step::Say { peer, messages } => self.peer(peer).into_iter().for_each(|(peer, _)| peer.says_all(messages.clone())),
            Step::Bytes { peer, bytes } => self.peer(peer).into_iter().for_each(|(peer, _)| peer.says_bytes(bytes.clone())),
            Step::Serve { peer, blocks, good } => {
                let Some((peer, of)) = self.peer(peer) else { return };
                let content = &self.contents[*of];
                for (number, block) in peer.hears_requests().into_iter().take(blocks).enumerate() {
                    assert!(content.blocks(block.piece).contains(&block), "a request that is no block: {block:?}");
                    if good && number % 5 == 4 {
                        // Whoever does not know rejects is closed for this: that must do no harm, either.
                        peer.says(Message::Reject(block));
                        continue;
                    }
                    peer.says(if good { content.message(block) } else { content.bad_message(block) });
                }
            }
            Step::End { peer, breaks } => match self.peer(peer) {
                Some((peer, _)) if breaks => peer.breaks(),
                Some((peer, _)) => peer.ends(),
                None => {}
            },
            Step::Writes { peer, taken } => match (self.peer(peer), taken) {
                (Some((peer, _)), 0) => peer.takes_no_writes(),
                (Some((peer, _)), 1) => peer.takes_one_write(),
                (Some((peer, _)), _) => peer.takes_writes(),
                (None, _) => {}
            },
            Step::Disk { at } => match self.world.jobs().len() {
                0 => {}
                jobs => self.world.disk_does(at % jobs),
            },
            Step::DiskMode { held, fault } => {
                let kinds = [
                    Job::Open,
                    Job::Prepare,
                    Job::Store(0),
                    Job::Read(0),
                    Job::Verify(0),
                    Job::Stamp,
                    Job::Close { forget: true, delete: true },
                ];
                let fault = fault.and_then(|fault| kinds.get(fault as usize).copied());
                self.world.disk(|disk| disk.fault = fault.map(|kind| (kind, DiskErrorKind::Other)));
                if held { self.world.disk_holds() } else { self.world.disk_catches_up() }
            }
            Step::DiskMeddling { torrent, piece } => {
                let content = &self.contents[torrent];
                if piece < content.pieces() {
                    self.world.disk(|disk| disk.put_piece(&torrent.to_string(), content, piece));
                } else {
                    self.world.disk(|disk| disk.files.clear());
                }
            }
            Step::Tracker { at, body } => self.tracker(at, body),
            Step::Web { at, act, bytes } => self.web(at, act, bytes),
            Step::Command { torrent, command } => self.command(torrent, command),
            Step::Late { id, kind } => self.late(id, kind),
            Step::Time { micros } => self.world.passes(Duration::from_micros(micros)),
            Step::Defer(inputs) => self.world.defers(inputs),
        }
    }

    fn tracker(&self, at: usize, body: u8) {
        let announces = self.world.announces();
        let Some(announce) = announces.get(at % announces.len().max(1)) else { return };
        let url = announce.url.clone();
        match body {
            0 => self.world.tracker_fails(&url),
            1 => self.world.tracker_says(&url, (&b"d14:failure reason2:noe"[..]).into()),
            2 => self.world.tracker_says(&url, (&b"garbage"[..]).into()),
            _ => self.world.tracker_answers(&url, &["10.0.1.1:6881", "10.0.1.9:6881", "10.0.0.3:5000"][..body as usize % 4]),
        }
    }

    fn command(&mut self, torrent: usize, command: u8) {
        if command < 4 {
            return self.add(torrent, command == 0);
        }
        let Some(torrent) = self.torrent(torrent) else { return };
        // Some are refused because the torrent is ending.
        let _ = self.world.command(match command {
            4 => Command::Pause(torrent),
            5 | 6 => Command::Resume(torrent),
            7 => Command::Recheck(torrent),
            8 => Command::Remove { torrent, delete_data: false },
            9 => Command::Remove { torrent, delete_data: true },
            10 => Command::AddPeers { torrent, peers: vec!["10.0.1.5:6881".parse().unwrap(), "10.0.0.1:5000".parse().unwrap()] },
            _ => Command::Announce(torrent),
        });
    }

    /// An answer for something that is long gone, or never was.
    fn late(&self, id: u64, kind: u8) {
        let connection = Key::from_bits(id | 0xffff << 32);
        self.world.input(match kind {
            0 => Input::Connected { connection, result: Err(StreamError::Refused) },
            1 => Input::Read { connection, result: Ok(ReadBuffer { data: (&b"late"[..]).into(), allocation: 4 }) },
            2 => Input::Written { connection, result: Ok(()) },
            3 => Input::Disk { job: Key::from_bits(id | 0xffff << 32), result: Ok(DiskOutput::Done) },
            4 => {
                Input::Http { request: Key::from_bits(id | 0xffff << 32), result: Ok(HttpReply { status: 200, body: Default::default() }) }
            }
            5 => Input::FetchHead { fetch: Key::from_bits(id | 0xffff << 32), result: Ok(FetchHead::default()) },
            6 => {
                Input::FetchBody { fetch: Key::from_bits(id | 0xffff << 32), result: Ok(ReadBuffer { data: Bytes::new(), allocation: 0 }) }
            }
            _ => Input::Timeout,
        });
    }

    /// From here on everything goes well.
    fn all_turns_well(&self) {
        self.world.undefer();
        self.world.disk_works();
        self.world.disk_catches_up();
        self.world.does(Command::SetLimits(Limits::default()));
        for (number, content) in self.contents.iter().enumerate() {
            self.world.seconds(60);
            self.add(number, false);
            let torrent = self.torrent(number).expect("it was just added, or is listed");
            self.world.does(Command::Resume(torrent));
            let folder = number.to_string();
            // It may be that somebody deleted files behind the engine's back.
            self.world.does(Command::Recheck(torrent));
            for attempt in 0..10 {
                if self.world.disk(|disk| disk.holds(&folder, content)) {
                    break;
                }
                let seed = self.world.joins(content, &format!("10.9.{attempt}.{number}:5000"));
                seed.says_all([content.bitfield(0..content.pieces()), Message::Unchoke]);
                for _ in 0..20 {
                    if !seed.is_closed() {
                        seed.serves(content);
                        seed.says(Message::KeepAlive);
                    }
                    self.world.seconds(10);
                }
            }
            assert!(
                self.world.disk(|disk| disk.holds(&folder, content)),
                "torrent {number} does not complete: {:?}",
                self.world.status(torrent)
            );
            assert_eq!(self.world.status(torrent).pieces_verified, content.pieces());
        }
    }

    fn ends(&mut self) {
        self.is_down = true;
        self.world.does(Command::ShutDown);
        self.world.seconds(60);
        assert_eq!(self.world.count_events(|event| *event == Event::ShutDown), 1);
        assert!(self.contents.iter().all(|content| self.world.find(content).is_none()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_contract_holds_and_all_can_turn_well(steps in prop::collection::vec(step(), 0..120)) {
        let mut chaos = Chaos::new();
        for torrent in 0..3 {
            chaos.add(torrent, false);
        }
        for step in steps {
            chaos.happens(step);
        }
        chaos.all_turns_well();
        chaos.ends();
    }

    #[test]
    fn a_shutdown_in_the_middle_of_anything_comes_to_its_end(steps in prop::collection::vec(step(), 0..60)) {
        let mut chaos = Chaos::new();
        for torrent in 0..3 {
            chaos.add(torrent, false);
        }
        for step in steps {
            chaos.happens(step);
        }
        chaos.world.undefer();
        chaos.world.does(Command::ShutDown);
        chaos.world.disk_catches_up();
        chaos.ends();
    }
}
