use core::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};
use std::{
    collections::VecDeque,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Instant as Moment,
};

use rustor_core::{
    metainfo::{HostPort, InfoHash},
    rng::{Purpose, Rng, Seed},
    time::Instant,
    tracker::{Scrape, ScrapeAction, ScrapeConfig, ScrapeError, ScrapeInput, ScrapeResponse, TrackerFailure, udp::Datagram as Outgoing},
};

use crate::{
    adapter::{Datagram, Runtime, Timer},
    host::{get, look_up},
    http::{HttpClient, Request},
};

/// Things done before other tasks have their turn.
const BURST: usize = 64;
/// What a datagram is cut to: answers about as many swarms as are asked about fit.
const DATAGRAM_SIZE: usize = 2048;

/// Asks the tracker that announces go to at the URL `tracker` how many peers are in swarms, over HTTP or UDP.
///
/// Swarms that the tracker says nothing of are missing in the answer.
pub async fn scrape<R: Runtime>(
    runtime: &R,
    http: &HttpClient,
    tracker: &str,
    info_hashes: &[InfoHash],
) -> Result<ScrapeResponse, ScrapeError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| TrackerFailure::Unreachable(error.to_string()))?;
    let rng = Rng::new(Seed(seed)).fork(Purpose::UdpTracker, 0);
    let mut scraper = Scraper {
        machine: Scrape::new(ScrapeConfig::default(), rng, Instant::ZERO, tracker, info_hashes)?,
        origin: Moment::now(),
        runtime: runtime.clone(),
        http: http.clone(),
        errand: None,
        sockets: Vec::new(),
        outgoing: VecDeque::new(),
        timer: runtime.timer(),
    };
    Ok(poll_fn(|context| scraper.poll(context)).await?)
}

/// What the machine's actions need.
struct Scraper<R: Runtime> {
    machine: Scrape,
    /// The machine's time is counted from here.
    origin: Moment,
    runtime: R,
    http: HttpClient,
    /// A request or a name look-up under way.
    errand: Option<Pin<Box<dyn Future<Output = ScrapeInput> + Send>>>,
    sockets: Vec<R::Datagram>,
    outgoing: VecDeque<Outgoing>,
    timer: R::Timer,
}

impl<R: Runtime> Scraper<R> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<ScrapeResponse, TrackerFailure>> {
        for _ in 0..BURST {
            while let Some(action) = self.machine.poll_action() {
                self.perform(action);
            }
            if let Some(result) = self.machine.poll_result() {
                return Poll::Ready(result);
            }
            self.send(context);
            let Poll::Ready(input) = self.poll_input(context) else { return Poll::Pending };
            self.machine.handle(Instant::ZERO + self.origin.elapsed(), input);
        }
        self.runtime.yield_now(context);
        Poll::Pending
    }

    fn perform(&mut self, action: ScrapeAction) {
        let runtime = self.runtime.clone();
        match action {
            ScrapeAction::Http { url, body_limit } => {
                let request = Request { maximum_body: body_limit as usize, ..Request::get(url) };
                let http = self.http.clone();
                self.errand = Some(Box::pin(async move { ScrapeInput::Http(get(&runtime, &http, request).await) }));
            }
            ScrapeAction::Resolve(HostPort { host, port }) => {
                self.errand = Some(Box::pin(async move { ScrapeInput::Resolved(look_up(&runtime, host, port).await) }));
            }
            ScrapeAction::Send(datagram) => self.outgoing.push_back(datagram),
        }
    }

    /// Sends what waits, best effort.
    fn send(&mut self, context: &mut Context<'_>) {
        while let Some(Outgoing { to, payload }) = self.outgoing.front() {
            let sent = match socket(&self.runtime, &mut self.sockets, to) {
                Ok(socket) => socket.poll_send(context, payload, *to).map(drop),
                // This machine has no addresses of that family: a datagram lost.
                Err(_) => Poll::Ready(()),
            };
            if sent.is_pending() {
                return;
            }
            self.outgoing.pop_front();
        }
    }

    /// What happens next.
    fn poll_input(&mut self, context: &mut Context<'_>) -> Poll<ScrapeInput> {
        if let Some(errand) = &mut self.errand
            && let Poll::Ready(input) = errand.as_mut().poll(context)
        {
            self.errand = None;
            return Poll::Ready(input);
        }
        let mut buffer = [0; DATAGRAM_SIZE];
        for socket in &mut self.sockets {
            match socket.poll_receive(context, &mut buffer) {
                Poll::Ready(Ok((length, from))) => {
                    let payload = buffer.get(..length).unwrap_or_default().to_vec();
                    return Poll::Ready(ScrapeInput::Datagram { from, payload });
                }
                // "Port unreachable" and the like: the next look finds out whether there is more.
                Poll::Ready(Err(_)) => return Poll::Ready(ScrapeInput::Timeout),
                Poll::Pending => {}
            }
        }
        if let Some(deadline) = self.machine.next_deadline().and_then(|deadline| self.origin.checked_add(deadline - Instant::ZERO)) {
            self.timer.reset(deadline);
        }
        self.timer.poll_expired(context).map(|()| ScrapeInput::Timeout)
    }
}

/// The socket for addresses of the family that `remote` is of.
fn socket<'a, R: Runtime>(runtime: &R, sockets: &'a mut Vec<R::Datagram>, remote: &SocketAddr) -> io::Result<&'a mut R::Datagram> {
    let fits = |socket: &R::Datagram| socket.local_address().is_ok_and(|local| local.is_ipv4() == remote.is_ipv4());
    let place = match sockets.iter().position(fits) {
        Some(place) => place,
        None => {
            let any = if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
            sockets.push(runtime.bind(SocketAddr::new(any, 0))?);
            sockets.len() - 1
        }
    };
    sockets.get_mut(place).ok_or_else(|| io::ErrorKind::NotConnected.into())
}
