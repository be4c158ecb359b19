//! What links do to datagrams and streams, seen by whoever uses the network.

use super::*;
use crate::units::{Rate, Span};
use rustor_core::rng::Seed;

/// Some nodes, and what they have been told.
struct Net {
    network: Network,
    agenda: Agenda<Event>,
    /// All that was told, and when.
    told: Vec<(Instant, Notice)>,
    /// Who reads on whenever something has come, as sockets and ends.
    readers: BTreeMap<u64, End>,
    /// What each of them has read.
    read: BTreeMap<u64, Vec<u8>>,
}

fn address(number: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number as u8], 6881))
}

fn milliseconds(time: u64) -> Duration {
    Duration::from_millis(time)
}

/// A link that takes a millisecond.
fn near() -> Link {
    Link { delay: Span::millis(1), ..Link::default() }
}

impl Net {
    fn with(settings: Settings, links: &[Link], seed: u64) -> Net {
        let mut network = Network::new(settings, Rng::new(Seed::from_u64(seed)));
        links.iter().enumerate().for_each(|(number, link)| network.join(address(number), link.clone()));
        Net { network, agenda: Agenda::new(None), told: Vec::new(), readers: BTreeMap::new(), read: BTreeMap::new() }
    }

    fn new(links: &[Link]) -> Net {
        Net::with(Settings::default(), links, 1)
    }

    fn now(&self) -> Instant {
        self.agenda.now()
    }

    /// Lets time pass.
    fn pass(&mut self, time: Duration) {
        let end = self.now() + time;
        loop {
            while let Some(notice) = self.network.notice() {
                if let Notice::Read { socket, result: Ok(data), .. } = &notice
                    && let Some(end) = self.readers.get(socket)
                {
                    self.read.entry(*socket).or_default().extend(data);
                    if !data.is_empty() {
                        self.network.read(*end, 1 << 20, &mut self.agenda);
                    }
                }
                self.told.push((self.agenda.now(), notice));
            }
            let Some(event) = self.agenda.next(end) else { break };
            self.network.happen(event, &mut self.agenda);
        }
        assert!(self.network.counts_agree());
    }

    fn send(&mut self, from: usize, to: usize, number: u32, length: usize) {
        let mut payload = number.to_be_bytes().to_vec();
        payload.resize(length.max(4), 0);
        self.network.send_datagram(from, address(to), payload.into(), &mut self.agenda);
    }

    /// The numbers of the datagrams that came, and when.
    fn came(&mut self) -> Vec<(Instant, u32)> {
        let number = |payload: Bytes| u32::from_be_bytes([payload[0], payload[1], payload[2], payload[3]]);
        let datagram = |(at, notice)| if let Notice::Datagram { payload, .. } = notice { Some((at, number(payload))) } else { None };
        std::mem::take(&mut self.told).into_iter().filter_map(datagram).collect()
    }

    /// Sends so many datagrams, one each millisecond, and says which came.
    fn send_many(&mut self, count: u32) -> Vec<u32> {
        for number in 0..count {
            self.send(0, 1, number, 100);
            self.pass(milliseconds(1));
        }
        self.pass(milliseconds(1000));
        self.came().into_iter().map(|(_, number)| number).collect()
    }

    /// Opens a stream; its ends have the sockets `2 * name` and `2 * name + 1`.
    fn stream(&mut self, from: usize, to: usize, name: u64) -> [End; 2] {
        let opened = self.network.connect(from, 2 * name, address(to), &mut self.agenda).expect("somebody is there");
        self.pass(milliseconds(1000));
        let incoming = |(_, notice): &(Instant, Notice)| if let Notice::Incoming { end, .. } = notice { Some(*end) } else { None };
        let accepted = self.told.iter().find_map(incoming).expect("it knocks");
        self.network.accept(accepted, 2 * name + 1, &mut self.agenda);
        self.pass(milliseconds(1000));
        self.told.clear();
        [opened, accepted]
    }

    /// An end reads all that comes.
    fn reads(&mut self, end: End, socket: u64) {
        self.readers.insert(socket, end);
        self.network.read(end, 1 << 20, &mut self.agenda);
    }

    fn write(&mut self, end: End, data: Vec<u8>) {
        self.network.write(end, [Bytes::from(data)], &mut self.agenda);
    }

    /// How a node's socket ended, as its reads and its writes were told.
    fn ends(&self, of: u64) -> (Option<StreamError>, Option<StreamError>) {
        let (mut read, mut written) = (None, None);
        for (_, notice) in &self.told {
            match notice {
                Notice::Read { socket, result: Err(error), .. } if *socket == of => read = Some(*error),
                Notice::Written { socket, result: Err(error), .. } if *socket == of => written = Some(*error),
                _ => {}
            }
        }
        (read, written)
    }

    fn written(&self, of: u64) -> usize {
        self.told.iter().filter(|(_, notice)| matches!(notice, Notice::Written { socket, result: Ok(()), .. } if *socket == of)).count()
    }
}

// Datagrams

#[test]
fn a_full_queue_drops_what_comes_last() {
    let link = Link { up: Some(Rate(10_000)), queue: Size(1000), ..near() };
    let mut net = Net::new(&[link, near()]);
    (0..10).for_each(|number| net.send(0, 1, number, 200));
    net.pass(milliseconds(300));
    let came = net.came();
    let expected: Vec<_> = (0..6).map(|number| (Instant::ZERO + milliseconds(20 * (u64::from(number) + 1) + 2), number)).collect();
    assert_eq!(came, expected, "as much as the queue holds, and one that is being sent");
    net.send(0, 1, 10, 200);
    net.pass(milliseconds(300));
    assert_eq!(net.came().len(), 1, "there is room again");
}

/// What was lost of so many, and how many in a row on average.
fn losses(burst: u32) -> (f64, f64) {
    const COUNT: u32 = 20_000;
    let mut net = Net::new(&[Link { loss: 20, burst, ..near() }, near()]);
    let came = net.send_many(COUNT);
    let gaps = came.windows(2).filter(|pair| pair[1] > pair[0] + 1).count();
    let lost = COUNT as usize - came.len();
    (lost as f64 / f64::from(COUNT), lost as f64 / gaps.max(1) as f64)
}

#[test]
fn losses_come_in_bursts_of_the_length_that_the_link_says() {
    let (single, bursts) = (losses(1), losses(10));
    assert!((0.18..0.22).contains(&single.0) && (1.1..1.4).contains(&single.1), "{single:?}");
    // Bursts that follow upon each other look like one; while one lasts, none begins.
    assert!((0.13..0.22).contains(&bursts.0) && (9.0..14.0).contains(&bursts.1), "{bursts:?}");
}

#[test]
fn a_burst_is_over_when_nothing_is_sent_for_a_while() {
    let mut net = Net::new(&[Link { loss: 20, burst: 10, ..near() }, near()]);
    let mut lost_after_loss = 0;
    for number in 0..400 {
        net.send(0, 1, number, 100);
        net.pass(milliseconds(500));
        lost_after_loss += u32::from(net.came().is_empty());
    }
    assert!((1..30).contains(&lost_after_loss), "one in fifty begins a burst, and nothing else is lost: {lost_after_loss}");
}

#[test]
fn some_take_a_longer_way_and_come_late() {
    let mut net = Net::new(&[Link { reorder: 30, ..near() }, near()]);
    for number in 0..1000 {
        net.send(0, 1, number, 100);
        net.pass(milliseconds(1));
    }
    net.pass(milliseconds(100));
    let took: Vec<u64> =
        net.came().into_iter().map(|(at, number)| at.since(Instant::ZERO).as_micros() as u64 - 1000 * u64::from(number)).collect();
    assert_eq!(took.len(), 1000, "none is lost");
    let late = took.iter().filter(|took| **took == 12_000).count();
    assert!((250..350).contains(&late), "{late}");
    assert!(took.iter().all(|took| [2000, 12_000].contains(took)), "all others come in time");
}

#[test]
fn without_reordering_jitter_or_loss_all_come_once_and_in_order() {
    let mut net = Net::new(&[near(), near()]);
    assert_eq!(net.send_many(1000), (0..1000).collect::<Vec<_>>());
}

#[test]
fn some_come_twice_and_none_three_times() {
    let mut net = Net::new(&[Link { duplicate: 30, ..near() }, near()]);
    let came = net.send_many(1000);
    let times = |number| came.iter().filter(|other| **other == number).count();
    assert!((0..1000).all(|number| (1..=2).contains(&times(number))));
    assert!((1250..1350).contains(&came.len()), "{}", came.len());
}

#[test]
fn jitter_stays_within_its_bounds_and_takes_all_of_them() {
    let link = Link { jitter: Span::millis(5), delay: Span::millis(10), ..Link::default() };
    let mut net = Net::new(&[link.clone(), link]);
    let mut took = Vec::new();
    for number in 0..1000 {
        let sent = net.now();
        net.send(0, 1, number, 100);
        net.pass(milliseconds(50));
        took.extend(net.came().into_iter().map(|(at, _)| at.since(sent)));
    }
    let (least, most) = (took.iter().min().copied().unwrap_or_default(), took.iter().max().copied().unwrap_or_default());
    assert_eq!(took.len(), 1000);
    assert!(least >= milliseconds(20) && least < milliseconds(21), "{least:?}");
    assert!(most <= milliseconds(30) && most > milliseconds(29), "{most:?}");
}

#[test]
fn large_datagrams_vanish_in_a_black_hole_both_ways_and_small_ones_pass() {
    let mut net = Net::new(&[Link { largest_datagram: Some(Size(576)), ..near() }, near()]);
    for (from, to) in [(0, 1), (1, 0)] {
        net.send(from, to, 1, 577);
        net.send(from, to, 2, 576);
        net.pass(milliseconds(100));
        let came: Vec<u32> = net.came().into_iter().map(|(_, number)| number).collect();
        assert_eq!(came, [2], "from {from}");
    }
    // Streams find out how long their packets may be.
    let [one, other] = net.stream(0, 1, 1);
    net.reads(other, 3);
    net.write(one, vec![7; 100_000]);
    net.pass(milliseconds(1000));
    assert_eq!(net.read[&3].len(), 100_000);
}

#[test]
fn a_partition_may_be_one_way() {
    let mut net = Net::new(&[near(), near(), near()]);
    net.network.cut(1, vec![0], vec![1]);
    [(0, 1), (1, 0), (0, 2), (2, 1)].into_iter().enumerate().for_each(|(number, (from, to))| net.send(from, to, number as u32, 100));
    net.pass(milliseconds(100));
    let came: Vec<u32> = net.came().into_iter().map(|(_, number)| number).collect();
    assert_eq!(came, [1, 2, 3], "only from the first to the second nothing comes");
    net.network.mend(1);
    net.send(0, 1, 9, 100);
    net.pass(milliseconds(100));
    assert_eq!(net.came().len(), 1);
}

#[test]
fn a_stream_over_a_one_way_partition_carries_the_other_way_alone() {
    let mut net = Net::new(&[near(), near()]);
    let [one, other] = net.stream(0, 1, 1);
    net.reads(one, 2);
    net.reads(other, 3);
    net.network.cut(1, vec![0], vec![1]);
    net.write(one, vec![1; 1000]);
    net.write(other, vec![2; 1000]);
    net.pass(milliseconds(5000));
    assert_eq!((net.read.get(&3), net.read[&2].len()), (None, 1000));
    net.network.mend(1);
    net.pass(milliseconds(21_000));
    assert_eq!(net.read[&3].len(), 1000, "what was cut off is sent again");
}

#[test]
fn a_datagram_waits_behind_what_streams_have_handed_to_the_link() {
    let mut net = Net::new(&[Link { up: Some(Rate(16 << 10)), ..near() }, near()]);
    let [one, other] = net.stream(0, 1, 1);
    net.reads(other, 3);
    net.write(one, vec![0; 16 << 10]);
    let sent = net.now();
    net.send(0, 1, 1, 1 << 10);
    net.pass(milliseconds(3000));
    let took = net.came()[0].0.since(sent);
    assert!((milliseconds(1060)..milliseconds(1070)).contains(&took), "a second for the stream's segment: {took:?}");
}

#[test]
fn datagrams_take_their_part_of_the_link_from_streams() {
    let took = |datagrams: u32| {
        let mut net = Net::new(&[Link { up: Some(Rate(100_000)), ..near() }, near()]);
        let [one, other] = net.stream(0, 1, 1);
        net.reads(other, 3);
        net.write(one, vec![0; 100_000]);
        let began = net.now();
        (0..datagrams).for_each(|number| net.send(0, 1, number, 500));
        net.pass(milliseconds(3000));
        let last = net.told.iter().rev().find(|(_, notice)| matches!(notice, Notice::Read { .. })).map(|(at, _)| *at);
        (net.read[&3].len(), last.expect("something was read").since(began).as_millis())
    };
    let (alone, beside) = (took(0), took(100));
    assert_eq!([alone.0, beside.0], [100_000; 2]);
    assert!((1000..1010).contains(&alone.1) && (1500..1510).contains(&beside.1), "{alone:?} {beside:?}");
}

#[test]
fn datagrams_come_in_at_the_receivers_rate() {
    let mut net = Net::new(&[near(), Link { down: Some(Rate(10_000)), ..near() }]);
    (0..10).for_each(|number| net.send(0, 1, number, 200));
    net.pass(milliseconds(1000));
    let came = net.came();
    assert_eq!(came.len(), 10);
    let between = came.last().expect("ten came").0.since(came[0].0);
    assert!((milliseconds(160)..=milliseconds(180)).contains(&between), "{between:?}");
}

#[test]
fn where_families_are_apart_only_who_has_both_reaches_both() {
    let mut net = Net::with(Settings { families_apart: true, ..Settings::default() }, &[near(), near()], 1);
    let v6 = |number| SocketAddr::from(([0xfd00, 0, 0, 0, 0, 0, 0, number], 6881));
    net.network.join(v6(2), near());
    let mut sees = |from: usize, to: SocketAddr| {
        net.network.send_datagram(from, to, Bytes::from_static(b"datagram"), &mut net.agenda);
        let end = net.network.connect(from, 1, to, &mut net.agenda);
        net.pass(milliseconds(100));
        let told = std::mem::take(&mut net.told);
        let from = |(_, notice): &(Instant, Notice)| match notice {
            Notice::Datagram { from, .. } => Some(from.ip()),
            Notice::Connected { result: Err(StreamError::Unreachable), .. } => None,
            Notice::Incoming { from, .. } => Some(from.ip()),
            other => panic!("{other:?}"),
        };
        assert_eq!(told.len(), 1 + usize::from(end.is_some()), "both ways of speaking agree");
        told.iter().filter_map(from).collect::<Vec<_>>()
    };
    assert_eq!(sees(0, v6(2)), [] as [IpAddr; 0]);
    assert_eq!(sees(2, address(0)), [] as [IpAddr; 0]);
    assert_eq!(sees(0, address(1)), [address(0).ip(); 2]);
    net.network.also_at(1, v6(1));
    let mut sees = |from: usize, to: SocketAddr| {
        net.network.send_datagram(from, to, Bytes::from_static(b"datagram"), &mut net.agenda);
        net.pass(milliseconds(100));
        net.told.drain(..).find_map(|(_, notice)| if let Notice::Datagram { node, from, .. } = notice { Some((node, from)) } else { None })
    };
    assert_eq!(sees(2, v6(1)), Some((1, v6(2))));
    assert_eq!(sees(1, v6(2)), Some((2, v6(1))));
    assert_eq!(sees(1, address(0)), Some((0, address(1))));
    assert_eq!(sees(0, v6(2)), None);
}

// Streams

#[test]
fn a_stream_is_whole_and_in_order_however_it_is_cut_and_whatever_is_lost() {
    for seed in 0..60 {
        let mut rng = Rng::new(Seed::from_u64(seed));
        let segment = [1, 100, 1460, 16 << 10][rng.below(4) as usize];
        let settings = Settings {
            level: if seed % 3 == 0 { Level::Fluid } else { Level::Streams },
            segment: Size(segment),
            window: Size(segment + rng.below(5000)),
            send_buffer: Size(1 + rng.below(3000)),
            split: seed % 2 == 0,
            ..Settings::default()
        };
        let link = Link { up: Some(Rate(20_000)), jitter: Span::millis(rng.below(30)), loss: rng.below(20) as u8, reorder: 50, ..near() };
        let mut net = Net::with(settings, &[link, near()], seed);
        let [one, other] = net.stream(0, 1, 1);
        net.reads(other, 3);
        let mut sent = Vec::new();
        for _ in 0..20 {
            let data: Vec<u8> = (0..rng.below(200)).map(|_| rng.next_u32() as u8).collect();
            sent.extend(&data);
            net.write(one, data);
            net.pass(milliseconds(rng.below(50)));
        }
        // Byte by byte, with one under way at a time, it takes its time.
        net.pass(Duration::from_secs(6000));
        let read = net.read.remove(&3).unwrap_or_default();
        assert!(read == sent, "seed {seed}: {} of {} bytes, {:?}", read.len(), sent.len(), net.ends(2));
        net.network.close(one, &mut net.agenda);
        net.pass(Duration::from_secs(60));
        let ended = |(_, notice): &(Instant, Notice)| matches!(notice, Notice::Read { result: Ok(data), .. } if data.is_empty());
        assert!(net.told.iter().any(ended), "and its end comes behind all of it: seed {seed}");
    }
}

#[test]
fn who_does_not_read_stops_the_writer_at_the_window() {
    let settings = Settings { window: Size(100_000), segment: Size(10_000), send_buffer: Size(30_000), ..Settings::default() };
    let mut net = Net::with(settings, &[near(), near()], 1);
    let [one, other] = net.stream(0, 1, 1);
    let mut asked = 0;
    while net.written(2) == asked && asked < 100 {
        net.write(one, vec![0; 10_000]);
        asked += 1;
        net.pass(milliseconds(1000));
    }
    // A window is full or a segment more, the socket holds what it may, and what was written last is not taken.
    assert_eq!((asked, net.network.under_way()), (14, 140_000));
    assert_eq!(net.network.traffic().read, 0);
    net.pass(milliseconds(100_000));
    assert_eq!((net.written(2), net.ends(2)), (13, (None, None)), "it waits as long as it takes");
    net.reads(other, 3);
    net.pass(milliseconds(1000));
    assert_eq!((net.written(2), net.read[&3].len()), (14, 140_000));
}

#[test]
fn both_sides_learn_of_a_reset() {
    let mut net = Net::new(&[Link { up: Some(Rate(1000)), ..near() }, Link { up: Some(Rate(1000)), ..near() }]);
    let ends = net.stream(0, 1, 1);
    for (end, socket) in ends.into_iter().zip([2, 3]) {
        net.reads(end, socket);
        net.write(end, vec![0; 200_000]);
    }
    net.pass(milliseconds(1000));
    net.network.sever(ends[0]);
    net.pass(milliseconds(1000));
    for socket in [2, 3] {
        assert_eq!(net.ends(socket), (Some(StreamError::Reset), Some(StreamError::Reset)));
    }
    net.write(ends[1], vec![0]);
    net.pass(milliseconds(1));
    assert_eq!(net.ends(3).1, Some(StreamError::Reset), "and nothing can be written any more");
}

#[test]
fn who_writes_to_a_closed_end_is_reset() {
    let mut net = Net::new(&[near(), near()]);
    let [one, other] = net.stream(0, 1, 1);
    net.network.close(other, &mut net.agenda);
    net.reads(one, 2);
    net.pass(milliseconds(100));
    assert_eq!(net.ends(2), (None, None), "an end that is closed is no error");
    net.network.read(one, 100, &mut net.agenda);
    net.write(one, vec![0; 100]);
    net.pass(milliseconds(100));
    net.write(one, vec![0; 100]);
    net.pass(milliseconds(100));
    assert_eq!(net.ends(2).1, Some(StreamError::Reset));
}

#[test]
fn a_half_open_stream_is_silent_until_something_is_written() {
    for comes_back in [false, true] {
        let mut net = Net::new(&[near(), near()]);
        let [one, other] = net.stream(0, 1, 1);
        net.reads(one, 2);
        net.network.vanish(other, &mut net.agenda);
        net.network.set_dark(1, true);
        net.pass(milliseconds(1_000_000));
        assert!(net.told.is_empty(), "nobody says a word");
        net.network.set_dark(1, !comes_back);
        net.write(one, vec![0; 100]);
        net.pass(milliseconds(99_000));
        let expected = if comes_back { Some(StreamError::Reset) } else { None };
        assert_eq!(net.ends(2).0, expected, "whoever is back knows of no such stream");
        net.pass(milliseconds(30_000));
        assert_eq!(net.ends(2).0, expected.or(Some(StreamError::TimedOut)));
    }
}

#[test]
fn a_connection_to_nobody_times_out_and_a_deaf_one_refuses_at_once() {
    let mut net = Net::new(&[near(), near()]);
    let outcome = |net: &mut Net, seconds: u64| {
        net.network.connect(0, 1, address(1), &mut net.agenda);
        net.pass(Duration::from_secs(seconds));
        let result = |(_, notice)| if let Notice::Connected { result, .. } = notice { Some(result) } else { None };
        net.told.drain(..).find_map(result)
    };
    net.network.set_dark(1, true);
    assert_eq!(outcome(&mut net, 30), None);
    net.pass(Duration::from_secs(100));
    net.told.clear();
    assert_eq!(outcome(&mut net, 32), Some(Err(StreamError::TimedOut)));
    net.network.set_dark(1, false);
    net.network.set_deaf(1, true);
    assert_eq!(outcome(&mut net, 1), Some(Err(StreamError::Refused)));
    net.network.connect(0, 1, address(99), &mut net.agenda);
    net.pass(milliseconds(1));
    assert!(matches!(net.told[..], [(_, Notice::Connected { result: Err(StreamError::Refused), .. })]));
}

#[test]
fn streams_share_an_uplink_equally() {
    for level in [Level::Streams, Level::Fluid] {
        let link = Link { up: Some(Rate(100_000)), ..near() };
        let mut net = Net::with(Settings { level, ..Settings::default() }, &[link, near(), near(), near()], 1);
        for to in 1..=3 {
            let [one, other] = net.stream(0, to, to as u64);
            net.reads(other, 2 * to as u64 + 1);
            (0..100).for_each(|_| net.write(one, vec![0; 60_000]));
        }
        let read = |net: &Net, to: u64| net.read.get(&(2 * to + 1)).map_or(0, Vec::len);
        let before: Vec<usize> = (1..=3).map(|to| read(&net, to)).collect();
        net.pass(milliseconds(30_000));
        let got: Vec<usize> = (1..=3).map(|to| read(&net, to) - before[to as usize - 1]).collect();
        assert!(got.iter().all(|bytes| bytes.abs_diff(1_000_000) <= 2 * (16 << 10)), "{level:?}: {got:?}");
        assert!(got.iter().sum::<usize>().abs_diff(3_000_000) <= 16 << 10, "the link is never idle: {level:?}");
    }
}

#[test]
fn short_messages_need_not_wait_for_long_ones() {
    let mut net = Net::new(&[Link { up: Some(Rate(16 << 10)), ..near() }, near(), near()]);
    let ([bulk, sink], [chat, hears]) = (net.stream(0, 1, 1), net.stream(0, 2, 2));
    net.reads(sink, 3);
    net.reads(hears, 5);
    net.write(bulk, vec![0; 1 << 20]);
    net.pass(milliseconds(3500));
    net.write(chat, vec![0; 164]);
    net.pass(milliseconds(20));
    assert_eq!(net.read.get(&5).map(Vec::len), Some(164));
}
