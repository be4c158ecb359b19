//! The handle by which an application speaks to a running engine.

mod config;
mod error;
mod events;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, thread};

use futures_channel::oneshot;
use rustor_core::{
    choices::Choices,
    command::{AddTorrent, Command, CommandError, Reply, TorrentSource},
    config::Limits,
    id::TorrentId,
    metainfo::Metainfo,
    status::{FileStatus, PeerStatus, TorrentStatus, WebSeedStatus},
    storage::Allocation,
};

pub(crate) use self::events::Publisher;
pub use self::{
    config::ClientConfig,
    error::{ClientError, StartError},
    events::EventStream,
};
use crate::{
    adapter::Runtime,
    host::{Host, Mailbox, Outcome, Request},
    resume,
};

/// A running engine, as an application sees it. Clones are handles to the same engine and may be used from any task or thread.
///
/// Its futures need no particular runtime, and any of them may be dropped at any time: what was asked for is done all the same
/// (a future that was never polled has not asked yet). Once the engine has stopped they end with [`ClientError::Stopped`].
///
/// When the last handle is dropped the engine shuts down as after [`Client::shutdown`].
#[derive(Clone, Debug)]
pub struct Client {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    mailbox: Arc<Mailbox>,
    listening: Vec<SocketAddr>,
    state_folder: Option<PathBuf>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.mailbox.request(Request::ShutDown(None));
    }
}

/// A torrent to add.
#[derive(Clone, Debug)]
pub struct AddOptions {
    /// A torrent file's content, or a magnet link.
    pub source: TorrentSource,
    /// The folder that its file, or the folder of its files, lies in or will lie in.
    pub folder: PathBuf,
    /// Peers to try at once, besides those that its trackers know.
    pub peers: Vec<SocketAddr>,
    /// How files get their length.
    pub allocation: Allocation,
    /// List it, but do not start it.
    pub paused: bool,
    /// Go by the resume data of an earlier session; otherwise everything on disk is hashed.
    pub resume: bool,
    /// What to fetch, and how.
    pub choices: Choices,
}

impl AddOptions {
    /// A torrent that starts at once, goes on where an earlier session left it, and whose files are sparse.
    pub fn new(source: impl Into<TorrentSource>, folder: impl Into<PathBuf>) -> AddOptions {
        let folder = folder.into();
        AddOptions {
            source: source.into(),
            folder,
            peers: Vec::new(),
            allocation: Allocation::Sparse,
            paused: false,
            resume: true,
            choices: Choices::default(),
        }
    }
}

impl Client {
    /// An engine on `runtime`, and the handle to it. Listens from here on; all else happens while the host is polled, so spawn it.
    ///
    /// Must be called where `runtime` is running.
    pub fn start<R: Runtime>(runtime: R, config: ClientConfig) -> Result<(Client, Host<R>), StartError> {
        let mailbox = Arc::new(Mailbox::new());
        let state_folder = config.state_folder.clone();
        let (host, listening) = Host::new(runtime, config, mailbox.clone())?;
        Ok((Client { handle: Arc::new(Handle { mailbox, listening, state_folder }) }, host))
    }

    /// Where the engine listens for peers.
    pub fn listen_addresses(&self) -> &[SocketAddr] {
        &self.handle.listening
    }

    /// Takes a torrent in. What is on disk is looked at first: [`Event::Checked`](rustor_core::event::Event::Checked) tells.
    pub async fn add(&self, options: AddOptions) -> Result<TorrentId, ClientError> {
        let info_hash = options.source.info_hash().ok_or(ClientError::Command(CommandError::NoInfoHash))?;
        // The folder must mean the same after the process has changed its own.
        let folder = std::path::absolute(&options.folder).unwrap_or(options.folder);
        let resume_file = self.handle.state_folder.as_ref();
        let resume_file = resume_file.map(|state| resume::resume_path(state, info_hash.0, &folder));
        let resume = match resume_file.clone().filter(|_| options.resume) {
            Some(file) => beside(move || resume::load(&file)).await.unwrap_or_default(),
            None => None,
        };
        let folder = folder.into_os_string().into_string().map_err(|folder| ClientError::Folder(folder.into()))?;
        let AddOptions { source, peers, allocation, paused, choices, .. } = options;
        let torrent = Box::new(AddTorrent { source, folder, resume, peers, allocation, paused, choices });
        match self.ask(|reply| Request::Add(torrent, resume_file, reply)).await?? {
            Reply::Added(torrent) => Ok(torrent),
            Reply::Done => Err(ClientError::Stopped),
        }
    }

    /// Stops a torrent's traffic and tells its trackers. It stays listed.
    pub async fn pause(&self, torrent: TorrentId) -> Result<(), ClientError> {
        self.command(Command::Pause(torrent)).await
    }

    /// Lets a paused or failed torrent go on.
    pub async fn resume(&self, torrent: TorrentId) -> Result<(), ClientError> {
        self.command(Command::Resume(torrent)).await
    }

    /// Takes a torrent off the list, and with `delete_data` its files off the disk. Returns once all of it is gone.
    pub async fn remove(&self, torrent: TorrentId, delete_data: bool) -> Result<(), ClientError> {
        Ok(self.ask(|reply| Request::Remove(torrent, delete_data, reply)).await??)
    }

    /// Hashes all that is on disk of a torrent again.
    pub async fn recheck(&self, torrent: TorrentId) -> Result<(), ClientError> {
        self.command(Command::Recheck(torrent)).await
    }

    /// Asks a torrent's trackers for peers as soon as they allow it.
    pub async fn announce(&self, torrent: TorrentId) -> Result<(), ClientError> {
        self.command(Command::Announce(torrent)).await
    }

    /// Tries these peers for a torrent.
    pub async fn add_peers(&self, torrent: TorrentId, peers: Vec<SocketAddr>) -> Result<(), ClientError> {
        self.command(Command::AddPeers { torrent, peers }).await
    }

    /// Chooses anew what to fetch of a torrent, and how.
    pub async fn choose(&self, torrent: TorrentId, choices: Choices) -> Result<(), ClientError> {
        self.command(Command::Choose { torrent, choices: Box::new(choices) }).await
    }

    /// Changes limits while running.
    pub async fn set_limits(&self, limits: Limits) -> Result<(), ClientError> {
        self.command(Command::SetLimits(limits)).await
    }

    /// All torrents.
    pub async fn list(&self) -> Result<Vec<TorrentStatus>, ClientError> {
        self.ask(Request::List).await
    }

    /// One torrent.
    pub async fn status(&self, torrent: TorrentId) -> Result<TorrentStatus, ClientError> {
        let status = self.ask(|reply| Request::Status(torrent, reply)).await?;
        status.ok_or(ClientError::Command(CommandError::NoSuchTorrent))
    }

    /// The connected peers of a torrent.
    pub async fn peers(&self, torrent: TorrentId) -> Result<Vec<PeerStatus>, ClientError> {
        let peers = self.ask(|reply| Request::Peers(torrent, reply)).await?;
        peers.ok_or(ClientError::Command(CommandError::NoSuchTorrent))
    }

    /// The web seeds of a torrent, in the order in which it names them; none before it is active for the first time.
    pub async fn web_seeds(&self, torrent: TorrentId) -> Result<Vec<WebSeedStatus>, ClientError> {
        let seeds = self.ask(|reply| Request::WebSeeds(torrent, reply)).await?;
        seeds.ok_or(ClientError::Command(CommandError::NoSuchTorrent))
    }

    /// What a torrent consists of; `None` while a magnet link's metadata is still to come, of which
    /// [`Event::MetadataReceived`](rustor_core::event::Event::MetadataReceived) tells.
    pub async fn metainfo(&self, torrent: TorrentId) -> Result<Option<Metainfo>, ClientError> {
        let metainfo = self.ask(|reply| Request::Metainfo(torrent, reply)).await?;
        metainfo.ok_or(ClientError::Command(CommandError::NoSuchTorrent))
    }

    /// The files of a torrent, padding left out, and how much of each is there; none while a magnet link's metadata is still to come.
    pub async fn files(&self, torrent: TorrentId) -> Result<Vec<FileStatus>, ClientError> {
        let files = self.ask(|reply| Request::Files(torrent, reply)).await?;
        files.ok_or(ClientError::Command(CommandError::NoSuchTorrent))
    }

    /// What was chosen for a torrent.
    pub async fn choices(&self, torrent: TorrentId) -> Result<Choices, ClientError> {
        let choices = self.ask(|reply| Request::Choices(torrent, reply)).await?;
        choices.ok_or(ClientError::Command(CommandError::NoSuchTorrent))
    }

    /// Waits until every wanted piece of a torrent is verified and on disk, at once if they are already.
    ///
    /// A paused torrent is waited for, too. Where the disk fails: [`ClientError::Disk`].
    pub async fn wait_finished(&self, torrent: TorrentId) -> Result<(), ClientError> {
        match self.ask(|reply| Request::Finished(torrent, reply)).await? {
            Outcome::Finished => Ok(()),
            Outcome::Failed(error) => Err(ClientError::Disk(error)),
            Outcome::Unusable(reason) => Err(ClientError::Metadata(reason)),
            Outcome::Gone => Err(ClientError::Command(CommandError::NoSuchTorrent)),
        }
    }

    /// All events from here on: those of commands given later are among them for certain.
    pub fn events(&self) -> EventStream {
        let (publisher, stream) = events::channel();
        self.handle.mailbox.request(Request::Subscribe(publisher));
        stream
    }

    /// Tells all trackers, saves everything and stops. Returns once all files and sockets are closed, at once if they are.
    pub async fn shutdown(&self) {
        // An error means that there is no host any more, which is what was wanted.
        let _ = self.ask(|reply| Request::ShutDown(Some(reply))).await;
    }

    async fn command(&self, command: Command) -> Result<(), ClientError> {
        self.ask(|reply| Request::Command(command, reply)).await??;
        Ok(())
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, ClientError> {
        let (reply, answer) = oneshot::channel();
        self.handle.mailbox.request(request(reply));
        answer.await.map_err(|_| ClientError::Stopped)
    }
}

/// Runs `work`, which may block, on a thread of its own; `None` if it panics.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, result) = oneshot::channel();
    thread::spawn(move || drop(done.send(work())));
    result.await.ok()
}
