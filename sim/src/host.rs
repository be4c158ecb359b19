//! A host around an engine: tells it what happens, does what it wants, and looks at both with the checks.

use crate::{
    checks::{
        Finding, Invariant, check,
        contract::{Line, most_waiting},
        limits::{DOWN, UP},
        wire::Exchange,
    },
    difference,
    network::Notice,
    node::{Brain, Host, Node},
    world::{FOLDER, Happening, World},
};
use rustor_core::{
    action::Action,
    command::{Command, Reply},
    event::Event,
    id::{ConnectionId, DiskJobId, IncomingId, TorrentId},
    input::{Input, ReadBuffer},
    status::{PeerStatus, TorrentState},
    time::{Duration, Instant},
};

/// How many actions one input may lead to, and how many more for each connection.
const MOST_ACTIONS: usize = 1000;
const MOST_ACTIONS_A_CONNECTION: usize = 16;

impl World {
    /// Tells nodes what the network has for them, until it has nothing.
    pub(crate) fn deliver(&mut self) {
        while let Some(notice) = self.network.notice() {
            let node = match &notice {
                Notice::Incoming { node, .. }
                | Notice::Connected { node, .. }
                | Notice::Read { node, .. }
                | Notice::Written { node, .. }
                | Notice::Datagram { node, .. } => *node,
            };
            assert!(self.agenda.is_turn_of(node), "{} is told something sooner than it can know: {notice:?}", self.nodes[node].name);
            match &self.nodes[node].brain {
                _ if !self.nodes[node].alive => {}
                Brain::Engine(_) => {
                    if let Notice::Datagram { from, payload, .. } = &notice {
                        self.told(node, *from, payload);
                    }
                    if let Some(input) = input_of(notice) {
                        self.tell(node, input);
                    }
                }
                Brain::Adversary(_) => self.tempt(node, notice),
                Brain::Tracker(_) => self.ask_tracker(node, notice),
            }
        }
    }

    /// Tells an engine what happened, and does what it wants.
    pub(crate) fn tell(&mut self, node: usize, input: Input) {
        let now = self.now();
        let state = &mut self.nodes[node];
        let pieces = state.pieces;
        let Brain::Engine(host) = &mut state.brain else { return };
        self.statistics.inputs += 1;
        host.transcript.input(now, &input);
        overhear(&mut self.overheard, now, &state.name, "is told", &input);
        if let Some((recorder, recording)) = host.recording.as_deref_mut() {
            recorder.input(now, &input, recording);
        }
        host.contract.input(&input);
        let mut came = match &input {
            Input::FetchBody { result: Ok(buffer), .. } => buffer.data.len() as u64,
            _ => 0,
        };
        if let Input::Read { connection, result: Ok(buffer) } = &input
            && let Some(line) = host.contract.line(*connection)
        {
            let [before, _] = line.witness.payload();
            line.witness.reads(&buffer.data, pieces);
            came += line.witness.payload()[0] - before;
        }
        if let Some(limits) = &mut host.limits {
            let over = limits.pass(DOWN, came, now);
            self.checks.hold(now, &state.name, Invariant::RateLimits, over.is_none(), || format!("{over:?} bytes too many came in"));
        }
        #[cfg(feature = "planted-bugs")]
        let input = match &mut host.tamper {
            Some(tamper) => tamper.input(input),
            None => input,
        };
        host.over_budget = host.engine.is_over_budget();
        host.engine.handle(host.clock(now), input);
        self.settle(node);
    }

    /// Gives an engine a command. What follows from it waits for [`World::settle`].
    pub(crate) fn say(&mut self, node: usize, command: Command) -> Reply {
        let now = self.now();
        let Node { name, brain: Brain::Engine(host), .. } = &mut self.nodes[node] else { panic!("the node has no engine") };
        host.transcript.command(now, &command);
        overhear(&mut self.overheard, now, name, "is to", &command);
        if let Some((recorder, recording)) = host.recording.as_deref_mut() {
            recorder.command(now, &command, recording);
        }
        host.engine.command(host.clock(now), command).expect("the command is valid")
    }

    /// Does all that an engine wants, and sees when it is to be woken.
    pub(crate) fn settle(&mut self, node: usize) {
        let now = self.now();
        let mut actions = 0;
        while let Some(action) = self.nodes[node].host_mut().and_then(|host| host.engine.poll_action()) {
            actions += 1;
            if let Some((recorder, _)) = self.nodes[node].host_mut().and_then(|host| host.recording.as_deref_mut()) {
                recorder.action(&action);
            }
            #[cfg(feature = "planted-bugs")]
            if let Some(tamper) = self.nodes[node].host_mut().and_then(|host| host.tamper.as_mut()) {
                let tampered = tamper.action(action);
                actions += tampered.len().saturating_sub(1);
                tampered.into_iter().for_each(|action| self.act(node, action));
                continue;
            }
            self.act(node, action);
        }
        self.statistics.actions += actions as u64;
        let mut events = 0;
        while let Some(event) = self.nodes[node].host_mut().and_then(|host| host.engine.poll_event()) {
            if let Some((recorder, _)) = self.nodes[node].host_mut().and_then(|host| host.recording.as_deref_mut()) {
                recorder.event(&event);
            }
            events += 1;
            self.note(node, event);
        }
        let life = self.nodes[node].life;
        let Node { name, brain: Brain::Engine(host), .. } = &mut self.nodes[node] else { return };
        if let Some((recorder, _)) = host.recording.as_deref_mut() {
            recorder.drained();
        }
        let deadline = host.engine.next_deadline();
        self.checks.hold(now, name, Invariant::Deadline, deadline.is_none_or(|at| at > now), || format!("{deadline:?}"));
        let most = MOST_ACTIONS + MOST_ACTIONS_A_CONNECTION * host.contract.lines_at_most();
        self.checks.hold(now, name, Invariant::BoundedWork, actions <= most, || format!("{actions} actions"));
        let most = host.engine.config().event_limit;
        self.checks.hold(now, name, Invariant::BoundedBuffers, events <= most, || format!("{events} events"));
        if std::mem::take(&mut host.over_budget) {
            let reads_on = std::mem::take(&mut host.reads_on) && host.engine.is_over_budget();
            self.checks.hold(now, name, Invariant::BoundedBuffers, !reads_on, || "a read although too much waits for the disk".to_owned());
        }
        #[cfg(feature = "planted-bugs")]
        let deadline = host.tamper.as_ref().map_or(deadline, |tamper| tamper.deadline(deadline));
        if let Some(at) = deadline
            && host.woken_at.is_none_or(|woken| at < woken)
        {
            let at = at.max(now + Duration::from_micros(1));
            host.woken_at = Some(at);
            self.agenda.at(at, node, Happening::Wake(node, life));
        }
    }

    fn act(&mut self, node: usize, action: Action) {
        let now = self.now();
        let life = self.nodes[node].life;
        let Node { name, brain: Brain::Engine(host), mutations, torrents, private, pieces, named, rng, .. } = &mut self.nodes[node] else {
            return;
        };
        let host = &mut **host;
        let is_private = *private;
        // Of a magnet link nobody knows before its metadata is there.
        let private = *private && torrents.first().is_some_and(|(id, _)| host.engine.metainfo(*id).is_some());
        host.transcript.action(now, &action);
        overhear(&mut self.overheard, now, name, "wants", &action);
        let finding = host.contract.action(&action, host.engine.config(), *pieces);
        let allowed = finding.is_ok();
        let kind = if matches!(finding, Err((Invariant::BoundedBuffers, _))) {
            Invariant::BoundedBuffers
        } else if matches!(action, Action::Read { .. } | Action::Write { .. } | Action::Close { .. }) {
            Invariant::ClosedConnection
        } else {
            Invariant::Contract
        };
        self.checks.take(now, name, kind, finding);
        if !allowed {
            return;
        }
        match action {
            Action::Connect { connection, remote } => {
                if private {
                    let known = named.contains(&remote.ip());
                    self.checks.hold(now, name, Invariant::PrivateStaysPrivate, known, || {
                        format!("a connection to {remote}, of which no tracker told")
                    });
                }
                let end = self.network.connect(node, connection.to_bits(), remote, &mut self.agenda);
                if let Some(line) = host.contract.line(connection) {
                    line.end = end;
                }
            }
            Action::Accept { incoming, connection } => {
                let end = end_of(incoming);
                if let Some(line) = host.contract.line(connection) {
                    line.end = Some(end);
                }
                self.network.accept(end, connection.to_bits(), &mut self.agenda);
            }
            Action::Refuse { incoming } => self.network.refuse(end_of(incoming), &mut self.agenda),
            Action::Read { connection, limit } => {
                let line = host.contract.find(connection);
                // Handshakes bring no blocks.
                host.reads_on |= host.over_budget && line.is_some_and(|line| line.witness.stands());
                if let Some(end) = line.and_then(|line| line.end) {
                    self.network.read(end, limit, &mut self.agenda);
                }
            }
            Action::Write { connection, mut buffers } => {
                let Some(line) = host.contract.line(connection) else { return };
                let [_, before] = line.witness.payload();
                if let Some(limits) = &mut host.limits {
                    limits.blocks_of(line.witness.longest_owed());
                }
                let finding = line.witness.writes(&buffers, host.most_requests, is_private);
                let [_, after] = line.witness.payload();
                let (end, exchange) = (line.end, line.witness.exchange);
                if let Some(limits) = &mut host.limits {
                    let over = limits.pass(UP, after - before, now);
                    self.checks.hold(now, name, Invariant::RateLimits, over.is_none(), || format!("{over:?} bytes too many went out"));
                }
                if private {
                    let nothing = exchange == Exchange::Nothing;
                    self.checks.hold(now, name, Invariant::PrivateStaysPrivate, nothing, || format!("peer exchange: {exchange:?}"));
                }
                for invariant in [Invariant::NoBlockToChoked, Invariant::OnlyWhatWasAsked, Invariant::RequestsEndOnce] {
                    let of_this = finding.as_ref().err().is_none_or(|(found, _)| *found == invariant);
                    self.checks.take(now, name, invariant, if of_this { finding.clone() } else { Ok(()) });
                }
                if matches!(finding, Err((Invariant::BoundedBuffers, _))) {
                    self.checks.take(now, name, Invariant::BoundedBuffers, finding);
                }
                if *mutations > 0 && rng.below(1000) < *mutations {
                    mutate(&mut buffers, rng);
                }
                if let Some(end) = end {
                    self.network.write(end, buffers, &mut self.agenda);
                }
            }
            Action::Close { connection } => {
                if let Some(line) = host.contract.close(connection) {
                    let state = &mut self.nodes[node];
                    state.sent += line.witness.sent;
                    state.received += line.witness.received;
                    if let Some(end) = line.end {
                        self.network.close(end, &mut self.agenda);
                    }
                }
            }
            Action::Disk { job, torrent, operation } => {
                let (delay, deadly) = {
                    let Node { disk, rng, .. } = &mut self.nodes[node];
                    disk.begin(job, torrent, operation, rng)
                };
                self.agenda.after(delay, node, Happening::Disk(node, life, job));
                if deadly {
                    self.agenda.after(delay / 2, node, Happening::DiskCrash(node, life));
                }
            }
            action @ (Action::Http { .. } | Action::Resolve { .. }) => self.ask(node, action),
            Action::Fetch { fetch, url, range } => self.fetch(node, fetch, &url, range),
            Action::FetchRead { fetch, limit } => self.fetch_read(node, fetch, limit),
            Action::FetchCancel { fetch } => self.fetch_cancel(node, fetch),
            // Every node lives in a network of its own.
            Action::Multicast { .. } if private => {
                self.checks.hold(now, name, Invariant::PrivateStaysPrivate, false, || "a multicast".to_owned());
            }
            Action::Multicast { .. } => {}
            Action::SendDatagram { remote, payload } => self.network.send_datagram(node, remote, payload, &mut self.agenda),
        }
    }

    /// A disk has done a job.
    pub(crate) fn disk_done(&mut self, node: usize, job: DiskJobId) {
        let now = self.now();
        let Some(torrent) = self.nodes[node].disk.torrent_of(job) else { return };
        let Some(payload) = self.payload_of(node, torrent) else { return };
        let payload = &self.payloads[payload];
        let Node { disk, rng, .. } = &mut self.nodes[node];
        let Some(result) = disk.finish(now, job, payload, rng) else { return };
        self.tell(node, Input::Disk { job, result });
    }

    /// An engine tells something.
    fn note(&mut self, node: usize, event: Event) {
        let now = self.now();
        let life = self.nodes[node].life;
        let Node { name, brain: Brain::Engine(host), .. } = &mut self.nodes[node] else { return };
        host.transcript.event(now, &event);
        overhear(&mut self.overheard, now, name, "tells", &event);
        let finding = host.contract.event(&event);
        self.checks.take(now, name, Invariant::Contract, finding);
        if self.options.keep_events {
            host.events.push(event.clone());
        }
        match event {
            Event::PieceVerified { torrent, piece } => self.check_pieces(node, torrent, Invariant::TruePieces, [piece]),
            Event::Checked { torrent, verified, pieces } => {
                let claimed = host.verified(torrent).unwrap_or_default();
                let invariant = if life > 0 { Invariant::CrashConsistency } else { Invariant::TruePieces };
                self.check_pieces(node, torrent, invariant, claimed);
                // What is there is whole once its files are ready, too: then the engine says that it has finished.
                self.nodes[node].whole = false;
                if verified == pieces {
                    self.nodes[node].finished.get_or_insert(now);
                }
            }
            Event::Finished { .. } => {
                self.nodes[node].whole = true;
                self.nodes[node].finished.get_or_insert(now);
            }
            Event::Failed { torrent, .. } => self.agenda.after(Duration::from_secs(10), node, Happening::Resume(node, life, torrent)),
            Event::PeerBanned { remote, .. } => {
                let banned = self
                    .nodes
                    .iter()
                    .enumerate()
                    .find(|(other, _)| self.network.addresses(*other).any(|address| address.ip() == remote.ip()));
                let blameless = banned.filter(|(_, banned)| banned.is_blameless()).map(|(_, banned)| banned.name.clone());
                let name = &self.nodes[node].name;
                self.checks.hold(now, name, Invariant::HonestNotBanned, blameless.is_none(), || format!("{blameless:?} was banned"));
            }
            Event::WebSeedBanned { url, .. } => {
                let blameless = self.web_servers.iter().any(|server| !server.lied && url.contains(&format!("//{}/", server.host)));
                let name = &self.nodes[node].name;
                self.checks.hold(now, name, Invariant::HonestNotBanned, !blameless, || format!("{url} was banned"));
            }
            _ => {}
        }
    }

    /// Pieces that an engine counts as verified are on its disk, and true.
    fn check_pieces(&mut self, node: usize, torrent: TorrentId, invariant: Invariant, pieces: impl IntoIterator<Item = u32>) {
        let now = self.now();
        let Some(payload) = self.payload_of(node, torrent) else { return };
        let (payload, Node { name, disk, .. }) = (&self.payloads[payload], &self.nodes[node]);
        for piece in pieces {
            // What was changed behind an engine's back it cannot know, and nothing else is forgiven.
            let holds = disk.holds_piece(FOLDER, piece, payload) || !disk.is_unchanged(FOLDER, piece, payload);
            self.checks.hold(now, name, invariant, holds, || format!("piece {piece} is not what it should be"));
        }
    }

    /// What an engine counts as verified is on its disk, and whoever says that it has everything has each file, byte for byte.
    pub(crate) fn check_claims(&mut self, node: usize) {
        let now = self.now();
        let Node { name, brain: Brain::Engine(host), torrents, disk, alive: true, .. } = &self.nodes[node] else { return };
        for (torrent, payload) in torrents {
            let (payload, Some(claimed)) = (&self.payloads[*payload], host.verified(*torrent)) else { continue };
            // That no file is missing, too long or too short can be said of those who have made them ready.
            let seeds = host.engine.torrent(*torrent).is_some_and(|status| status.state == TorrentState::Seeding)
                && disk.has_nothing_changed()
                && !disk.is_making_ready(*torrent);
            if seeds || claimed.len() == payload.pieces() as usize {
                let holds = disk.holds(FOLDER, payload);
                self.checks.hold(now, name, Invariant::TruePieces, holds || !seeds, || {
                    "it says it has all, and its files are not the torrent's".to_owned()
                });
                if holds {
                    continue;
                }
            }
            let wrong = |piece: &u32| !disk.holds_piece(FOLDER, *piece, payload) && disk.is_unchanged(FOLDER, *piece, payload);
            let wrong: Vec<u32> = claimed.into_iter().filter(wrong).collect();
            self.checks
                .hold(now, name, Invariant::TruePieces, wrong.is_empty(), || format!("pieces {wrong:?} are not what they should be"));
        }
    }

    /// What an engine counts of its peers is what was said.
    pub(crate) fn recount(&mut self, node: usize) {
        let (now, pieces) = (self.now(), self.nodes[node].pieces);
        let Node { name, brain: Brain::Engine(host), torrents, alive: true, .. } = &self.nodes[node] else { return };
        for (torrent, _) in torrents {
            let active = |state| matches!(state, TorrentState::Downloading | TorrentState::Seeding);
            // What a peer has means something once it is known of what.
            let known = host.engine.metainfo(*torrent).is_some();
            if !known || !host.engine.torrent(*torrent).is_some_and(|status| active(status.state)) {
                continue;
            }
            let mut peers = host.engine.peers(*torrent);
            let mut lines: Vec<_> = host.contract.lines().filter(|line| line.witness.stands()).collect();
            // What stands behind more requests than an engine takes has come, and is not looked at yet.
            let most = host.engine.config().upload_queue_limit as usize;
            let behind = lines.iter().any(|line| line.witness.owed() > most);
            // The engine's list says nothing of ids; what it counts does not depend on the order.
            peers.sort_by_key(|peer| (peer.downloaded, peer.uploaded, peer.pieces));
            lines.sort_by_key(|line| (line.witness.received, line.witness.sent, line.witness.holds(pieces)));
            let same = peers.len() == lines.len()
                && peers.iter().zip(&lines).all(|(peer, line)| {
                    let witness = &line.witness;
                    (peer.downloaded, peer.uploaded, peer.pieces) == (witness.received, witness.sent, witness.holds(pieces))
                });
            let finding = check(same || behind, Invariant::Recount, || {
                let ours: Vec<_> = peers.iter().map(|peer| (peer.downloaded, peer.uploaded, peer.pieces)).collect();
                let theirs: Vec<_> =
                    lines.iter().map(|line| (line.witness.received, line.witness.sent, line.witness.holds(pieces))).collect();
                format!("the engine counts {ours:?}, on the wire went {theirs:?}")
            });
            self.checks.take(now, name, Invariant::Recount, finding);
            if let Some(availability) = host.engine.availability(*torrent).filter(|_| !behind) {
                let held: Vec<u32> = (0..pieces).map(|piece| lines.iter().filter(|line| line.witness.has(piece)).count() as u32).collect();
                self.checks.hold(now, name, Invariant::Availability, availability == held, || {
                    format!("the engine counts {availability:?}, peers said {held:?}")
                });
            }
            // Peers of whom all else is the same cannot be told apart, and need not be.
            let alike = |one: &&PeerStatus, other: &&PeerStatus| {
                (one.downloaded, one.uploaded, one.pieces) == (other.downloaded, other.uploaded, other.pieces)
            };
            let peers: Vec<&PeerStatus> = peers.iter().collect();
            let mut rest = &lines[..];
            for peers in peers.chunk_by(alike).filter(|_| same) {
                let (lines, others) = rest.split_at(peers.len());
                rest = others;
                let counted: usize = peers.iter().map(|peer| peer.requests as usize).sum();
                let said: usize = lines.iter().map(|line| line.witness.asked()).sum();
                // What is cancelled counts no more, though the peer hears of it with the next write.
                let cancels = lines.iter().any(|line| !line.may_speak());
                let same = counted == said || (cancels && counted < said);
                self.checks.hold(now, name, Invariant::Recount, same, || format!("{counted} requests are counted, {said} were sent"));
            }
            // Who waits for a disk or a rate limit may let others wait.
            let free = host.engine.config().limits.rates.upload.is_none() && !host.contract.reads_from_disk();
            let listening = lines.iter().filter(|line| line.reading && line.may_speak());
            let unanswered: Vec<_> = listening.filter_map(|line| line.witness.unanswered(free)).collect();
            self.checks.hold(now, name, Invariant::RequestsEndOnce, unanswered.is_empty(), || format!("{unanswered:?} not answered"));
            let known_peers = host.engine.torrent(*torrent).map_or(0, |status| status.known_peers as usize);
            self.checks.take(now, name, Invariant::BoundedBuffers, within_caps(host, known_peers, &lines));
        }
    }

    /// What one engine says that it sent to another is what that one says it received, where nothing is under way; and what one has asked
    /// for and not got, the other knows that it owes.
    pub(crate) fn compare_ends(&mut self) {
        let now = self.agenda.now();
        for (ends, quiet) in self.network.standing() {
            let line = |(node, name): (usize, u64)| {
                let node = &self.nodes[node];
                Some((node, node.host()?.contract.find(ConnectionId::from_bits(name))?))
            };
            let [Some(one), Some(other)] = ends.map(line) else { continue };
            for ((from, writes), (to, reads), quiet) in [(one, other, quiet[0]), (other, one, quiet[1])] {
                // What is changed on its way may mean anything.
                if !quiet || from.mutations > 0 {
                    continue;
                }
                let ([_, sent], [received, _]) = (writes.witness.payload(), reads.witness.payload());
                self.checks.hold(now, &from.name, Invariant::Conservation, sent == received, || {
                    format!("{sent} bytes of blocks were sent to {}, which received {received}", to.name)
                });
            }
            let (a, b) = (&one.1.witness, &other.1.witness);
            if quiet == [true; 2] && one.0.mutations + other.0.mutations == 0 && a.fast() {
                let agree = a.asked() <= b.owed() && b.asked() <= a.owed();
                self.checks.hold(now, &one.0.name, Invariant::RequestsEndOnce, agree, || {
                    let (other, counts) = (&other.0.name, [a.asked(), b.owed(), b.asked(), a.owed()]);
                    format!("asked and owed there, by this node and by {other}: {counts:?}")
                });
            }
        }
    }

    fn payload_of(&self, node: usize, torrent: TorrentId) -> Option<usize> {
        self.nodes[node].torrents.iter().find(|(known, _)| *known == torrent).map(|(_, payload)| *payload)
    }
}

/// Writes down what an engine is told or says, if somebody wants to read it.
pub(crate) fn overhear(overheard: &mut Option<Vec<String>>, now: Instant, node: &str, how: &str, what: &dyn std::fmt::Debug) {
    if let Some(lines) = overheard {
        let micros = now.as_micros();
        lines.push(format!("{}.{:06} s, {node} {how}: {}", micros / 1_000_000, micros % 1_000_000, difference::shorten(what)));
    }
}

/// Whether what an engine holds, and whom it lets ask, is within its caps.
fn within_caps(host: &Host, known_peers: usize, lines: &[&Line]) -> Finding {
    let (config, buffers) = (host.engine.config(), host.engine.buffers());
    let cap = |holds: bool, what: &str| check(holds, Invariant::BoundedBuffers, || format!("{what}: {buffers:?}"));
    cap(known_peers <= config.known_peers_limit, "too many peers are known")?;
    cap(buffers.blocks == buffers.budgeted && buffers.gathered <= buffers.blocks, "blocks are counted wrongly")?;
    cap(buffers.requests <= most_waiting(config), "too many requests are kept")?;
    // The last read begins while there is room, and is not cut. Of the first, what has gone out is held until all of it has.
    let read = config.upload_read_limit.max(config.upload_block_limit);
    let most = u64::from(config.upload_buffer) + 2 * u64::from(read);
    cap(buffers.read_ahead <= most, "too much is read ahead")?;
    // Who is still being written to may not have been told of a choke.
    let unchoked = lines.iter().filter(|line| line.may_speak() && line.witness.unchokes()).count();
    cap(unchoked <= config.limits.upload_slots as usize, "too many may ask")
}

/// What an engine is told of a notice.
fn input_of(notice: Notice) -> Option<Input> {
    let id = ConnectionId::from_bits;
    Some(match notice {
        Notice::Incoming { end, from, .. } => Input::Incoming { incoming: IncomingId(end.stream.to_bits()), remote: from },
        Notice::Connected { socket, result, .. } => Input::Connected { connection: id(socket), result },
        Notice::Read { socket, result, .. } => {
            let buffer = |data: bytes::Bytes| ReadBuffer { allocation: data.len() as u32, data };
            Input::Read { connection: id(socket), result: result.map(buffer) }
        }
        Notice::Written { socket, result, .. } => Input::Written { connection: id(socket), result },
        Notice::Datagram { from, payload, .. } => Input::Datagram { remote: from, payload },
    })
}

fn end_of(incoming: IncomingId) -> crate::network::End {
    crate::network::End { stream: crate::network::StreamKey::from_bits(incoming.0), side: 1 }
}

/// Changes something about what is written: a bit, a hole, something twice, or the end missing.
fn mutate(buffers: &mut Vec<bytes::Bytes>, rng: &mut rustor_core::rng::Rng) {
    let Some(index) = rng.index(buffers.len()) else { return };
    let buffer = buffers[index].clone();
    let at = rng.below(buffer.len() as u64) as usize;
    buffers[index] = match rng.below(4) {
        0 => {
            let mut changed = buffer.to_vec();
            changed[at] ^= 1 << rng.below(8);
            changed.into()
        }
        1 => [&buffer[..at], &buffer[(at + 1).min(buffer.len())..]].concat().into(),
        2 => [&buffer[..], &buffer[..]].concat().into(),
        _ => buffer.slice(..at),
    };
    buffers.retain(|buffer| !buffer.is_empty());
}
