//! The host loop: one future that owns the engine and every socket of its peers.
//!
//! Bytes go from a socket into the engine and back without a channel, a lock or a task switch. Other threads and tasks (disk
//! workers, HTTP requests, clients) leave what they have in the [`Mailbox`] and wake the loop.
//!
//! Each poll takes turns until nothing is left to do or its share of time is over. A turn is: what was left in the mailbox, a
//! bounded number of ready streams, what clients ask for, the time; then all that the engine wants done and has to tell.

mod alarm;
mod errand;
mod fetch;
mod listen;
mod promises;
mod recording;
mod request;
mod stream;
mod wake;

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    future::Future,
    mem,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant as Moment},
};

use bytes::Bytes;
use rustor_core::{
    action::Action,
    error::StreamError,
    id::{ConnectionId, IncomingId},
    input::Input,
    record::AddressMask,
    rng::Seed,
    time::Instant,
};

use self::{
    alarm::Alarm,
    errand::Errands,
    fetch::Fetches,
    listen::{Acceptor, Mailer},
    promises::Promises,
    recording::RecordedEngine,
    request::Desk,
    stream::{ReadBuffers, Streams},
    wake::{Mail, Source},
};
pub(crate) use self::{
    errand::{get, look_up},
    request::{Outcome, Request},
    wake::Mailbox,
};
use crate::{
    adapter::{Listener, Runtime, multicast},
    buffer::BufferPool,
    client::{ClientConfig, StartError},
    disk::DiskWorkers,
};

/// Streams that are driven in one turn, so that what the engine wants done for the first does not wait for hundreds.
const STREAMS_PER_TURN: usize = 32;
/// How long one poll goes on while there is more to do: other tasks of the runtime are waiting.
const SHARE: Duration = Duration::from_millis(5);

/// The loop that drives an engine: a future to be spawned on the runtime, which ends after a graceful shutdown.
///
/// Nothing happens unless it is polled. Dropped before its end, it closes everything at once; what was saved stays saved.
#[must_use = "nothing happens unless the host is polled"]
pub struct Host<R: Runtime> {
    runtime: R,
    engine: RecordedEngine,
    /// The engine's time is counted from here.
    origin: Moment,
    mailbox: Arc<Mailbox>,
    /// What was taken out of the mailbox; kept for its room.
    mail: Mail,
    /// Answers to actions that were done at once: for the next turn.
    answers: Vec<Input>,
    streams: Streams<R::Stream>,
    /// Streams that may have something, each once.
    scheduled: VecDeque<ConnectionId>,
    read_buffers: ReadBuffers,
    acceptors: Vec<Acceptor<R::Listener>>,
    /// Streams taken in that the engine has not decided on yet.
    incoming: BTreeMap<IncomingId, R::Stream>,
    next_incoming: u64,
    mailers: Vec<Mailer<R::Datagram>>,
    alarm: Alarm<R::Timer>,
    /// None once the host has ended.
    disk: Option<DiskWorkers>,
    errands: Errands,
    fetches: Fetches,
    promises: Promises,
    desk: Desk,
}

impl<R: Runtime> fmt::Debug for Host<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("torrents", &self.engine.torrents().len()).finish_non_exhaustive()
    }
}

// Nothing in it is ever pinned.
impl<R: Runtime> Unpin for Host<R> {}

impl<R: Runtime> Host<R> {
    /// Opens the listeners and starts the disk workers. The second result is where it listens.
    pub(crate) fn new(runtime: R, config: ClientConfig, mailbox: Arc<Mailbox>) -> Result<(Host<R>, Vec<SocketAddr>), StartError> {
        let listeners = listen::listen(&runtime, &config.listen, config.port)?;
        let mut listening = Vec::new();
        for listener in &listeners {
            listening.push(listener.local_address().map_err(StartError::System)?);
        }
        // Without a datagram socket only what needs datagrams is missing.
        let sockets = listening.iter().filter_map(|address| runtime.bind(*address).ok()).enumerate();
        let mailers = sockets.map(|(place, socket)| Mailer::new(&mailbox, place, socket)).collect();
        let acceptors = listeners.into_iter().enumerate();
        let acceptors: Vec<_> = acceptors.map(|(place, listener)| Acceptor::new(&mailbox, place, listener)).collect();

        let seed = config.seed.map_or_else(random_seed, Ok)?;
        // Never the engine's: that stands in the recording.
        let mask = config.mask_addresses.then(random_seed).transpose()?.map(AddressMask::new);
        let completions = mailbox.clone();
        let complete = Arc::new(move |job, result| completions.complete(Input::Disk { job, result }));
        let buffer_size = config.engine.read_limit.max(1) as usize;
        let engine = RecordedEngine::new(config.engine, seed, Instant::ZERO, config.record.as_deref(), mask);
        let host = Host {
            engine: engine.map_err(|error| StartError::Record { file: config.record.unwrap_or_default(), error })?,
            origin: Moment::now(),
            mail: Mail::default(),
            answers: listening.iter().map(|address| Input::Listening(*address)).collect(),
            streams: Streams::new(mailbox.clone()),
            scheduled: VecDeque::new(),
            read_buffers: ReadBuffers::new(BufferPool::new(buffer_size, config.read_buffers)),
            acceptors,
            incoming: BTreeMap::new(),
            next_incoming: 0,
            mailers,
            alarm: Alarm::new(&mailbox, runtime.timer()),
            disk: Some(DiskWorkers::start(config.disk, complete).map_err(StartError::System)?),
            errands: Errands::new(config.certificates, config.user_agent),
            fetches: Fetches::default(),
            promises: Promises::default(),
            desk: Desk::default(),
            runtime,
            mailbox,
        };
        Ok((host, listening))
    }

    /// One turn; `true` once the engine has shut down.
    fn turn(&mut self, moment: Moment) -> bool {
        let now = self.engine_time(moment);
        let mut mail = mem::take(&mut self.mail);
        self.mailbox.take(&mut mail);
        for input in self.answers.drain(..).chain(mail.inputs.drain(..)) {
            if self.fetches.lets_pass(&input) {
                self.promises.answered(&input);
                self.engine.handle(now, input);
            }
        }
        self.promises.settled();
        for source in mail.ready.drain(..) {
            match source {
                Source::Stream(connection) => self.schedule(connection),
                Source::Listener(place) => self.accept(place, moment, now),
                Source::Datagram(place) => {
                    if let Some(mailer) = self.mailers.get_mut(place) {
                        let to_a_group = mailer.group().is_some();
                        mailer.drive(|remote, payload| {
                            let input = if to_a_group { Input::Multicast { remote, payload } } else { Input::Datagram { remote, payload } };
                            self.engine.handle(now, input);
                        });
                    }
                }
                Source::Timer => self.alarm.rang(),
            }
        }
        for place in 0..self.acceptors.len() {
            if self.acceptors[place].rests_until().is_some_and(|until| until <= moment) {
                self.accept(place, moment, now);
            }
        }
        let due = self.scheduled.len().min(STREAMS_PER_TURN);
        for connection in self.scheduled.drain(..due) {
            if let Some(connection) = self.streams.get(connection) {
                connection.drive(&mut self.read_buffers, |input| {
                    self.promises.answered(&input);
                    self.engine.handle(now, input);
                });
            }
        }
        if !mail.requests.is_empty() {
            // Whoever asks is told how things stand now, not when something happened last.
            self.engine.handle(now, Input::Timeout);
        }
        for request in mail.requests.drain(..) {
            self.desk.serve(&mut self.engine, now, request, |torrent, file| {
                if let Some(disk) = &self.disk {
                    disk.set_resume_file(torrent, file);
                }
            });
        }
        self.mail = mail;
        if self.engine.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.engine.handle(now, Input::Timeout);
        }
        while let Some(action) = self.engine.poll_action() {
            self.perform(action);
        }
        let mut stopped = false;
        while let Some(event) = self.engine.poll_event() {
            stopped |= event == rustor_core::event::Event::ShutDown;
            self.desk.publish(&self.engine, &event);
        }
        if stopped {
            self.promises.ended();
        }
        stopped
    }

    fn accept(&mut self, place: usize, moment: Moment, now: Instant) {
        let Some(acceptor) = self.acceptors.get_mut(place) else { return };
        acceptor.accept(moment, |stream, remote| {
            let incoming = IncomingId(self.next_incoming);
            self.next_incoming += 1;
            self.incoming.insert(incoming, stream);
            self.engine.handle(now, Input::Incoming { incoming, remote });
        });
    }

    fn perform(&mut self, action: Action) {
        self.promises.asked(&action);
        match action {
            Action::Connect { connection, remote } => {
                let runtime = self.runtime.clone();
                self.streams.open(connection, Box::pin(async move { runtime.connect(remote).await }));
                self.schedule(connection);
            }
            Action::Accept { incoming, connection } => {
                if let Some(stream) = self.incoming.remove(&incoming) {
                    self.streams.adopt(connection, stream);
                }
            }
            Action::Refuse { incoming } => drop(self.incoming.remove(&incoming)),
            Action::Read { connection, limit } => match self.streams.get(connection) {
                Some(open) => {
                    open.read(limit);
                    self.schedule(connection);
                }
                None => self.answers.push(Input::Read { connection, result: Err(StreamError::Other) }),
            },
            Action::Write { connection, buffers } => match self.streams.get(connection) {
                Some(open) => self.answers.extend(open.write(buffers)),
                None => self.answers.push(Input::Written { connection, result: Err(StreamError::Other) }),
            },
            Action::Close { connection } => self.streams.close(connection),
            Action::Disk { job, torrent, operation } => {
                if let Some(disk) = &self.disk {
                    disk.submit(job, torrent, operation);
                }
            }
            Action::Http { request, url, family, body_limit, timeout_millis } => {
                let get = errand::request(url, family, body_limit, timeout_millis);
                self.errands.get(&self.runtime, &self.mailbox, request, get);
            }
            Action::Fetch { fetch, url, range } => {
                let get = self.errands.introduce(fetch::request(url, range));
                self.fetches.begin(&self.runtime, &self.mailbox, self.errands.http(), fetch, get);
            }
            Action::FetchRead { fetch, limit } => self.fetches.read(fetch, limit),
            Action::FetchCancel { fetch } => self.fetches.cancel(fetch),
            Action::Resolve { resolve, host, port } => errand::resolve(&self.runtime, &self.mailbox, resolve, host, port),
            Action::SendDatagram { remote, payload } => {
                if let Some(mailer) = self.mailers.iter_mut().find(|mailer| mailer.reaches(&remote)) {
                    mailer.send(remote, payload);
                }
            }
            Action::Multicast { group, payload } => self.multicast(group, &payload),
        }
    }

    /// Sends to a group, joining it first where that was not done yet, or could not be done.
    fn multicast(&mut self, group: SocketAddr, payload: &Bytes) {
        if self.mailers.iter().all(|mailer| mailer.group() != Some(group)) {
            for socket in multicast::join(group).into_iter().filter_map(|socket| self.runtime.datagram(socket).ok()) {
                self.mailers.push(Mailer::member(&self.mailbox, self.mailers.len(), socket, group));
            }
        }
        for mailer in self.mailers.iter_mut().filter(|mailer| mailer.group() == Some(group)) {
            mailer.send(group, payload.clone());
        }
    }

    fn schedule(&mut self, connection: ConnectionId) {
        if self.streams.get(connection).is_some_and(|connection| connection.schedule()) {
            self.scheduled.push_back(connection);
        }
    }

    fn engine_time(&self, moment: Moment) -> Instant {
        Instant::ZERO + moment.saturating_duration_since(self.origin)
    }

    /// Whether nothing can happen before somebody wakes the loop: its alarm is set, and the mailbox knows.
    fn rest(&mut self) -> bool {
        if !self.scheduled.is_empty() || !self.answers.is_empty() {
            return false;
        }
        let deadline = self.engine.next_deadline().and_then(|deadline| self.origin.checked_add(deadline - Instant::ZERO));
        let listeners = self.acceptors.iter().filter_map(Acceptor::rests_until);
        let rings = self.alarm.set(listeners.chain(deadline).min());
        !rings && self.mailbox.sleep()
    }
}

fn random_seed() -> Result<Seed, StartError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| StartError::System(error.into()))?;
    Ok(Seed(seed))
}

impl<R: Runtime> Future for Host<R> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let host = self.get_mut();
        if host.mailbox.is_closed() {
            return Poll::Ready(());
        }
        host.mailbox.wake_up(context.waker());
        let begin = Moment::now();
        let mut now = begin;
        loop {
            if host.turn(now) {
                host.end();
                return Poll::Ready(());
            }
            if host.rest() {
                return Poll::Pending;
            }
            now = Moment::now();
            if now.saturating_duration_since(begin) >= SHARE {
                host.runtime.yield_now(context);
                return Poll::Pending;
            }
        }
    }
}

impl<R: Runtime> Host<R> {
    /// Closes everything, and only then tells those who wait for it.
    fn end(&mut self) {
        self.mailbox.close();
        self.acceptors.clear();
        self.incoming.clear();
        self.mailers.clear();
        self.streams.clear();
        self.fetches.clear();
        // Waits for the workers.
        self.disk = None;
        self.engine.finish();
        self.desk.close();
    }
}

impl<R: Runtime> Drop for Host<R> {
    fn drop(&mut self) {
        self.end();
    }
}
