use rustor_core::{
    bencode::decode,
    metainfo::InfoHash,
    rng::{Rng, Seed},
    time::{Duration, Instant},
    tracker::{
        AnnounceResponse, TrackerFailure, TrackerServer, TrackerServerConfig,
        http::{decode_announce, decode_scrape},
        udp::{Request, Response, UdpAnswer, UdpTrackerClient, UdpTrackerConfig},
    },
};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Reads `data` as an HTTP tracker's answer to an announce and to a scrape.
pub fn tracker_reply(data: &[u8]) {
    const ALL: usize = usize::MAX;
    let announce = decode_announce(200, data, ALL);
    match &announce {
        Ok(response) => {
            for peer in &response.peers {
                assert_ne!(peer.address.port(), 0);
                assert!(!peer.address.ip().is_unspecified() && !peer.address.ip().is_multicast());
            }
            // Each peer takes at least its packed bytes.
            assert!(response.peers.len() * 6 <= data.len());
            let few = decode_announce(200, data, 3).expect("a limit drops peers, nothing else");
            assert_eq!(few.peers, response.peers[..response.peers.len().min(3)]);
            assert_eq!(AnnounceResponse { peers: Vec::new(), ..few }, AnnounceResponse { peers: Vec::new(), ..response.clone() });
            if let Some(warning) = &response.warning {
                assert_printable(warning);
            }
            assert_eq!(decode_announce(503, data, ALL), Err(TrackerFailure::Status(503)));
        }
        Err(failure @ TrackerFailure::Refused { .. }) => {
            assert_eq!(decode_announce(503, data, ALL).as_ref(), Err(failure), "a reason counts whatever the status");
            assert_printable(&failure.to_string());
        }
        Err(failure) => assert_printable(&failure.to_string()),
    }

    match decode_scrape(200, data, ALL) {
        Ok(response) => {
            assert!(response.swarms.len() * 22 <= data.len());
            let few = decode_scrape(200, data, 2).expect("a limit drops swarms, nothing else");
            assert_eq!(few.swarms, response.swarms[..response.swarms.len().min(2)]);
        }
        Err(failure) => assert_printable(&failure.to_string()),
    }
}

/// Takes each line of `data` as the target of a GET to a tracker, from one of a few addresses, a minute after the one before.
pub fn tracker_request(data: &[u8]) {
    let mut tracker = TrackerServer::new(TrackerServerConfig { max_peers_per_torrent: 5, ..Default::default() }, Seed::from_u64(0));
    let mut now = Instant::ZERO;
    let mut announces = 0;
    for line in data.split(|byte| *byte == b'\n') {
        let target = String::from_utf8_lossy(line);
        let last = line.len() as u8 % 4;
        let remote = if last == 0 { IpAddr::from(Ipv6Addr::LOCALHOST) } else { IpAddr::from([10, 0, 0, last]) };
        now += Duration::from_secs(60);
        let reply = tracker.handle_http(now, remote, &target);
        announces += usize::from(target.starts_with("/announce"));
        match reply.status {
            200 if target.starts_with("/stats") => {}
            200 => {
                let value = decode(&reply.body).expect("an answer is correct bencode");
                let refused = value.get(b"failure reason").is_some();
                if target.starts_with("/announce") {
                    let response = decode_announce(200, &reply.body, usize::MAX);
                    assert_eq!(response.is_err(), refused);
                    assert!(response.is_ok_and(|response| response.external_ip == Some(remote)) || refused);
                } else {
                    assert_eq!(decode_scrape(200, &reply.body, usize::MAX).is_err(), refused);
                }
            }
            status => assert_eq!(status, 404),
        }
        assert!(tracker.totals().peers <= announces);
        assert!(tracker.totals().torrents <= tracker.totals().peers);
    }
    while let Some(deadline) = tracker.next_deadline() {
        tracker.expire(deadline);
    }
    assert_eq!(tracker.totals().torrents, 0);
}

/// Reads `data` as a datagram of a UDP tracker's client and of a UDP tracker, and hands it to both.
pub fn udp_tracker(data: &[u8]) {
    let source = SocketAddr::from(([10, 0, 0, 1], 6969));
    let now = Instant::ZERO;
    if let Some((request, transaction)) = Request::decode(data) {
        assert_eq!(Request::decode(&request.encode(transaction)), Some((request, transaction)), "written again it is the same");
    }
    for v6 in [false, true] {
        if let Some((Response::Announce(response), _)) = Response::decode(data, v6, usize::MAX) {
            assert!(20 + response.peers.len() * if v6 { 18 } else { 6 } <= data.len());
        }
    }

    let mut tracker = TrackerServer::new(TrackerServerConfig::default(), Seed::from_u64(0));
    if let Some(answer) = tracker.handle_udp(now, source, data) {
        assert!(answer.len() <= data.len(), "who has no connection id gets no more than was sent");
    }
    // The same with a connection id that counts.
    let connect = tracker.handle_udp(now, source, &Request::Connect.encode(1)).expect("a connect is answered");
    let Some((Response::Connect(connection), 1)) = Response::decode(&connect, false, 0) else { panic!("no connection id") };
    let connected = [&connection.to_be_bytes(), data.get(8..).unwrap_or_default()].concat();
    if let Some(answer) = tracker.handle_udp(now, source, &connected) {
        assert!(answer.len() <= 1400);
        assert!(Response::decode(&answer, false, usize::MAX).is_some());
    }

    // An announce and a scrape under way, answered by the datagram with the right transaction id.
    let mut client = UdpTrackerClient::new(UdpTrackerConfig::default(), Rng::new(Seed::from_u64(0)));
    client.scrape(now, source, &[InfoHash([1; 20]), InfoHash([2; 20])]);
    for _ in 0..2 {
        client.handle_datagram(now, source, data);
        let sent = std::iter::from_fn(|| client.poll_datagram()).last();
        if let Some((_, transaction)) = sent.and_then(|sent| Request::decode(&sent.payload)) {
            let mut answer = data.to_vec();
            if let Some(place) = answer.get_mut(4..8) {
                place.copy_from_slice(&transaction.to_be_bytes());
            }
            client.handle_datagram(now, source, &answer);
            client.handle_datagram(now, source, &Response::Connect(1).encode(transaction));
        }
    }
    while let Some((_, result)) = client.poll_result() {
        match result {
            Ok(UdpAnswer::Scrape(swarms)) => assert!(swarms.len() <= 2),
            Ok(UdpAnswer::Announce(_)) => panic!("nobody announced"),
            Err(failure) => assert_printable(&failure.to_string()),
        }
    }
}

fn assert_printable(text: &str) {
    assert!(text.len() < 2000 && !text.chars().any(char::is_control), "{text:?}");
}
