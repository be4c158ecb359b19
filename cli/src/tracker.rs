use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use clap::Args;
use rustor_runtime::{adapter::Listener, tracker};
use rustor_tokio::{TokioDatagram, TokioListener, TokioRuntime, core::tracker::TrackerServerConfig};
use tokio::{sync::watch, task::JoinSet, time::interval};

use crate::{
    failure::{Exit, Failure},
    output::{Count, Output, plural},
    session::{self, addresses},
    signals::{Signals, exit_at_once},
};

/// The port where trackers are looked for.
const PORT: u16 = 6969;
/// Between two looks at how much is tracked.
const LOOK: Duration = Duration::from_secs(10);

/// Run a tracker, by which peers find each other, until Ctrl-C.
///
/// It serves HTTP and UDP on the same port: http://HOST:PORT/announce and udp://HOST:PORT/announce are the same tracker, and it
/// prints both. It tracks every torrent that somebody announces, and forgets all of them when it ends. Statistics are at
/// http://HOST:PORT/stats.
#[derive(Debug, Args)]
pub(crate) struct Tracker {
    /// Address and port to serve on; may be given several times [default: all addresses, port 6969]
    #[arg(long, value_name = "ADDR", value_parser = bind)]
    bind: Vec<SocketAddr>,
    /// Seconds between two announces of a peer
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    interval: u32,
}

/// `IP:PORT`, `IP` or `PORT`.
fn bind(text: &str) -> Result<SocketAddr, String> {
    let address = text.trim_matches(['[', ']']).parse().map(|ip: IpAddr| SocketAddr::new(ip, PORT));
    let port = || text.trim_start_matches(':').parse().map(|port: u16| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port));
    text.parse().or(address).or_else(|_| port()).map_err(|_| "expected an IP address, a port, or both as IP:PORT".to_owned())
}

impl Tracker {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        session::run(async {
            let mut signals = Signals::new()?;
            let sockets = self.listen()?;
            let local: Vec<SocketAddr> = sockets.iter().filter_map(|(listener, _)| listener.local_address().ok()).collect();
            let seconds = Duration::from_secs(self.interval.into());
            let config = TrackerServerConfig {
                interval: seconds,
                min_interval: TrackerServerConfig::default().min_interval.min(seconds),
                ..TrackerServerConfig::default()
            };
            let tracker = Running::start(sockets, config)?;
            for address in local.iter().filter(|address| address.is_ipv4() || local.len() == 1) {
                for scheme in ["http", "udp"] {
                    output.result(announce_url(scheme, *address))?;
                }
            }
            output.note(format_args!("tracking on {} over HTTP and UDP; Ctrl-C stops", addresses(&local)));
            tokio::select! {
                () = signals.next() => {}
                () = tracker.report(output) => {}
            }
            tokio::select! {
                () = tracker.stop() => {}
                () = signals.next() => exit_at_once(output),
            }
            Ok(Exit::Done)
        })
    }

    fn listen(&self) -> Result<Vec<Sockets>, Failure> {
        let runtime = TokioRuntime::current();
        let listen = |address: SocketAddr| {
            tracker::open(&runtime, address).map_err(|error| match error.kind() {
                ErrorKind::AddrInUse => Failure::new(format_args!(
                    "port {} is in use by another program; --bind {}:0 takes any that is free",
                    address.port(),
                    address.ip()
                )),
                ErrorKind::PermissionDenied => Failure::new(format_args!("listening on port {} is not permitted", address.port())),
                ErrorKind::AddrNotAvailable => Failure::about(address, "this machine has no such address"),
                _ => Failure::about(address, format_args!("cannot listen: {error}")),
            })
        };
        if !self.bind.is_empty() {
            return self.bind.iter().map(|address| listen(*address)).collect();
        }
        let mut sockets = vec![listen((Ipv4Addr::UNSPECIFIED, PORT).into())?];
        // Many machines have no IPv6.
        sockets.extend(listen((Ipv6Addr::UNSPECIFIED, PORT).into()));
        Ok(sockets)
    }
}

/// The two sockets of a tracker at one address.
pub(crate) type Sockets = (TokioListener, TokioDatagram);

/// Where clients reach a tracker that listens on `address`, over `http` or `udp`.
pub(crate) fn announce_url(scheme: &str, address: SocketAddr) -> String {
    let ip = if address.ip().is_unspecified() { own_address(address.is_ipv6()) } else { address.ip() };
    format!("{scheme}://{}/announce", SocketAddr::new(ip, address.port()))
}

/// The address by which this machine is known in its network, as far as can be told without asking anybody.
fn own_address(v6: bool) -> IpAddr {
    // Addresses for documentation: nothing is ever sent there, and connecting a datagram socket sends nothing either.
    let (local, remote, fallback): (SocketAddr, &str, IpAddr) = if v6 {
        ((Ipv6Addr::UNSPECIFIED, 0).into(), "[2001:db8::1]:9", Ipv6Addr::LOCALHOST.into())
    } else {
        ((Ipv4Addr::UNSPECIFIED, 0).into(), "192.0.2.1:9", Ipv4Addr::LOCALHOST.into())
    };
    let address = UdpSocket::bind(local).and_then(|socket| {
        socket.connect(remote)?;
        socket.local_addr()
    });
    address.map_or(fallback, |address| address.ip())
}

/// A tracker that is being served.
pub(crate) struct Running {
    tracker: tracker::Tracker,
    stop: watch::Sender<bool>,
    serving: JoinSet<()>,
}

impl Running {
    /// Serves on `sockets`. Must be called on a runtime.
    pub(crate) fn start(sockets: Vec<Sockets>, config: TrackerServerConfig) -> Result<Running, Failure> {
        let tracker = tracker::Tracker::new(config).map_err(|error| Failure::about("cannot start", error))?;
        let (stop, stopped) = watch::channel(false);
        let mut serving = JoinSet::new();
        for (listener, socket) in sockets {
            let shutdown = || {
                let mut stopped = stopped.clone();
                async move {
                    // An error means that nobody is left who could ask for it.
                    let _ = stopped.wait_for(|stop| *stop).await;
                }
            };
            let (http, udp, on_http, on_udp) = (tracker.clone(), tracker.clone(), shutdown(), shutdown());
            serving.spawn(async move { http.serve_http(&TokioRuntime::current(), listener, on_http).await });
            serving.spawn(async move { udp.serve_udp(&TokioRuntime::current(), socket, on_udp).await });
        }
        Ok(Running { tracker, stop, serving })
    }

    /// Tells how much is tracked whenever that has changed. Never ends.
    async fn report(&self, output: &Output) {
        let (mut looks, mut last) = (interval(LOOK), None);
        loop {
            looks.tick().await;
            let totals = self.tracker.totals();
            let (torrents, peers) = (totals.torrents as u64, totals.peers as u64);
            if last.unwrap_or_default() != (torrents, peers) {
                let words = (Count(torrents), plural(torrents), Count(peers), plural(peers));
                output.note(format_args!("{} torrent{}, {} peer{}", words.0, words.1, words.2, words.3));
            }
            last = Some((torrents, peers));
        }
    }

    /// Waits until so many peers are tracked.
    pub(crate) async fn until_peers(&self, peers: usize) {
        while self.tracker.totals().peers < peers {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends once requests under way are answered.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.serving.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_lack_its_port_or_the_other_way_round() {
        for (text, address) in [
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("127.0.0.1", "127.0.0.1:6969"),
            ("[::1]:0", "[::1]:0"),
            ("::1", "[::1]:6969"),
            ("[::1]", "[::1]:6969"),
            ("8080", "0.0.0.0:8080"),
            (":8080", "0.0.0.0:8080"),
        ] {
            assert_eq!(bind(text).unwrap(), address.parse().unwrap(), "{text}");
        }
        assert!(bind("localhost:80").is_err() && bind("99999").is_err() && bind("").is_err());
    }

    #[test]
    fn urls_are_for_others() {
        assert_eq!(announce_url("http", "127.0.0.1:80".parse().unwrap()), "http://127.0.0.1:80/announce");
        assert_eq!(announce_url("udp", "[::1]:80".parse().unwrap()), "udp://[::1]:80/announce");
        assert!(!announce_url("http", "0.0.0.0:80".parse().unwrap()).contains("//0.0.0.0"));
    }
}
