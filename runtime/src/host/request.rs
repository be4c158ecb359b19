//! What clients ask the host for, and who waits for what.

use std::path::PathBuf;

use futures_channel::oneshot::Sender;
use rustor_core::{
    choices::Choices,
    command::{AddTorrent, Command, CommandError, Reply},
    error::DiskError,
    event::Event,
    id::TorrentId,
    metainfo::Metainfo,
    status::{FileStatus, PeerStatus, TorrentState, TorrentStatus, WebSeedStatus},
    time::Instant,
};

use super::recording::RecordedEngine;
use crate::client::Publisher;

/// One request of a client. Where the answer's receiver is gone the request still counts.
#[derive(Debug)]
pub(crate) enum Request {
    /// Hand the engine a command.
    Command(Command, Sender<Result<Reply, CommandError>>),
    /// Take a torrent in, whose resume data is kept in this file.
    Add(Box<AddTorrent>, Option<PathBuf>, Sender<Result<Reply, CommandError>>),
    /// Remove a torrent; answered once it is gone.
    Remove(TorrentId, bool, Sender<Result<(), CommandError>>),
    /// All torrents.
    List(Sender<Vec<TorrentStatus>>),
    /// One torrent.
    Status(TorrentId, Sender<Option<TorrentStatus>>),
    /// A torrent's peers; `None` if there is no such torrent.
    Peers(TorrentId, Sender<Option<Vec<PeerStatus>>>),
    /// A torrent's web seeds; `None` if there is no such torrent.
    WebSeeds(TorrentId, Sender<Option<Vec<WebSeedStatus>>>),
    /// What a torrent consists of; the outer `None` if there is no such torrent, the inner while its metadata is to come.
    Metainfo(TorrentId, Sender<Option<Option<Metainfo>>>),
    /// What its owner chose for a torrent; `None` if there is no such torrent.
    Choices(TorrentId, Sender<Option<Choices>>),
    /// Answered once the torrent is complete, failed or gone.
    Files(TorrentId, Sender<Option<Vec<FileStatus>>>),
    Finished(TorrentId, Sender<Outcome>),
    /// Tell this subscriber all events from here on.
    Subscribe(Publisher),
    /// Shut down; answered once all is closed.
    ShutDown(Option<Sender<()>>),
}

/// How waiting for a torrent ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// All is here.
    Finished,
    /// Its disk failed.
    Failed(Box<DiskError>),
    /// Its magnet link stands for nothing that could be fetched.
    Unusable(String),
    /// It was removed, or never there.
    Gone,
}

/// Clients that wait for something that the engine will tell by an event.
#[derive(Default)]
pub(crate) struct Desk {
    subscribers: Vec<Publisher>,
    removals: Vec<(TorrentId, Sender<Result<(), CommandError>>)>,
    finishes: Vec<(TorrentId, Sender<Outcome>)>,
    shutdowns: Vec<Sender<()>>,
}

impl Desk {
    /// Does what `request` asks. `added` hears of a new torrent before the engine says what to do for it.
    pub(crate) fn serve(&mut self, engine: &mut RecordedEngine, now: Instant, request: Request, added: impl FnOnce(TorrentId, PathBuf)) {
        match request {
            Request::Command(command, reply) => tell(reply, engine.command(now, command)),
            Request::Add(torrent, resume_file, reply) => {
                let result = engine.command(now, Command::Add(torrent));
                if let (Ok(Reply::Added(torrent)), Some(resume_file)) = (&result, resume_file) {
                    added(*torrent, resume_file);
                }
                tell(reply, result);
            }
            Request::Remove(torrent, delete_data, reply) => match engine.command(now, Command::Remove { torrent, delete_data }) {
                Ok(_) => self.removals.push((torrent, reply)),
                Err(error) => tell(reply, Err(error)),
            },
            Request::List(reply) => tell(reply, engine.torrents()),
            Request::Status(torrent, reply) => tell(reply, engine.torrent(torrent)),
            Request::Peers(torrent, reply) => tell(reply, engine.torrent(torrent).map(|_| engine.peers(torrent))),
            Request::WebSeeds(torrent, reply) => tell(reply, engine.torrent(torrent).map(|_| engine.web_seeds(torrent))),
            Request::Metainfo(torrent, reply) => tell(reply, engine.torrent(torrent).map(|_| engine.metainfo(torrent))),
            Request::Files(torrent, reply) => tell(reply, engine.torrent(torrent).map(|_| engine.files(torrent))),
            Request::Choices(torrent, reply) => tell(reply, engine.choices(torrent).cloned()),
            Request::Finished(torrent, reply) => match outcome(engine.torrent(torrent)) {
                Some(outcome) => tell(reply, outcome),
                None => {
                    self.finishes.retain(|(_, reply)| !reply.is_canceled());
                    self.finishes.push((torrent, reply));
                }
            },
            Request::Subscribe(subscriber) => self.subscribers.push(subscriber),
            Request::ShutDown(reply) => {
                self.shutdowns.extend(reply);
                // Torrents are taken off the list now, but who waits for one is to hear the reason.
                self.finishes.clear();
                // An engine that is shutting down already refuses: nothing is left to be done then.
                let _ = engine.command(now, Command::ShutDown);
            }
        }
    }

    /// Tells everyone concerned about `event`.
    pub(crate) fn publish(&mut self, engine: &RecordedEngine, event: &Event) {
        self.subscribers.retain(|subscriber| subscriber.publish(event));
        match event {
            Event::Finished { torrent } => self.settle(*torrent, Outcome::Finished),
            Event::Failed { torrent, error } => self.settle(*torrent, Outcome::Failed(error.clone())),
            Event::MetadataUnusable { torrent, reason } => self.settle(*torrent, Outcome::Unusable(reason.clone())),
            // A paused torrent that has all that is wanted says nothing more.
            Event::Checked { torrent, .. }
                if engine
                    .torrent(*torrent)
                    .is_some_and(|status| status.state == TorrentState::Paused && status.wanted_verified == status.wanted) =>
            {
                self.settle(*torrent, Outcome::Finished);
            }
            Event::Removed { torrent } => {
                self.settle(*torrent, Outcome::Gone);
                for (_, reply) in self.removals.extract_if(.., |(waits_for, _)| waits_for == torrent) {
                    tell(reply, Ok(()));
                }
            }
            _ => {}
        }
    }

    fn settle(&mut self, torrent: TorrentId, outcome: Outcome) {
        for (_, reply) in self.finishes.extract_if(.., |(waits_for, _)| *waits_for == torrent) {
            tell(reply, outcome.clone());
        }
    }

    /// Lets everyone go: nothing will come any more. Those that wait for the end are told last.
    pub(crate) fn close(&mut self) {
        let desk = std::mem::take(self);
        drop((desk.subscribers, desk.removals, desk.finishes));
        for reply in desk.shutdowns {
            tell(reply, ());
        }
    }
}

fn tell<T>(reply: Sender<T>, answer: T) {
    // Who is not interested any more has dropped the receiver: that is no fault.
    let _ = reply.send(answer);
}

/// What waiting for a torrent in this state has come to; `None` while it goes on.
fn outcome(status: Option<TorrentStatus>) -> Option<Outcome> {
    let Some(status) = status else { return Some(Outcome::Gone) };
    match (status.state, status.error) {
        (TorrentState::Seeding, _) => Some(Outcome::Finished),
        (TorrentState::Failed, Some(error)) => Some(Outcome::Failed(error)),
        // The event has told the details.
        (TorrentState::Failed, None) if !status.metadata => Some(Outcome::Unusable("no client could make sense of it".into())),
        (TorrentState::Paused, _) if status.metadata && status.wanted_verified == status.wanted => Some(Outcome::Finished),
        _ => None,
    }
}
