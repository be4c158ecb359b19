//! An application without any runtime: blocking sockets, threads, and the engine.
//!
//! ```sh
//! cargo run --release -p rustor-core --example blocking -- debian.torrent ~/Downloads 192.0.2.1:6881 192.0.2.2:6881
//! ```
//!
//! It downloads a torrent from the peers that are named. Two threads for each connection (one reads, one writes) and one for the
//! disk do what the engine wants done, one thing at a time, and put the answers into one channel; the main thread takes them out
//! and hands them to the engine. It listens on no port and asks no tracker: those would be further threads of the same kind.
//!
//! A host that is meant for more than a look has pooled buffers, several disk threads, resume files: see `rustor-runtime`.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "this is a host: clocks and threads are its business")]

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant as Moment, UNIX_EPOCH},
};

use bytes::Bytes;
use rustor_core::{
    action::Action,
    command::{AddTorrent, Command},
    config::Config,
    engine::Engine,
    error::{DiskError, DiskErrorKind, HttpError, ResolveError, StreamError},
    event::Event,
    id::{ConnectionId, DiskJobId},
    input::{Input, ReadBuffer},
    metainfo::Metainfo,
    rng::Seed,
    storage::{DiskOperation, DiskOutput, FileStamp, Layout, Span},
    time::Instant,
    wire::BLOCK_LENGTH,
};
use sha1::{Digest, Sha1};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = env::args().skip(1);
    let usage = "usage: blocking TORRENT FOLDER PEER...";
    let (torrent, folder) = (words.next().ok_or(usage)?, words.next().ok_or(usage)?);
    let peers = words.map(|peer| peer.parse()).collect::<Result<_, _>>()?;
    let metainfo = Metainfo::parse(fs::read(torrent)?.into())?;
    // A program that is meant to last draws 32 random bytes here.
    let seed = Seed::from_u64(UNIX_EPOCH.elapsed()?.as_nanos() as u64);
    download(metainfo, folder, peers, seed, |event| println!("{event:?}"))
}

/// Downloads all of a torrent into `folder`, and returns once it is there and checked.
pub fn download(
    metainfo: Metainfo,
    folder: String,
    peers: Vec<SocketAddr>,
    seed: Seed,
    mut tell: impl FnMut(&Event),
) -> Result<(), Box<dyn Error>> {
    let start = Moment::now();
    let now = || Instant::from_micros(start.elapsed().as_micros() as u64);
    let (answers, inputs) = channel();
    let mut host = Host { connections: BTreeMap::new(), disk: disk_thread(answers.clone()), answers };
    let mut engine = Engine::new(Config::default(), seed, now());
    let add = AddTorrent { peers, ..AddTorrent::new(metainfo, folder) };
    engine.command(now(), Command::Add(Box::new(add)))?;

    let mut outcome = Ok(());
    loop {
        while let Some(action) = engine.poll_action() {
            host.perform(action);
        }
        let mut enough = false;
        while let Some(event) = engine.poll_event() {
            tell(&event);
            match event {
                Event::Finished { .. } => enough = true,
                Event::Failed { error, .. } => (outcome, enough) = (Err(error.into()), true),
                Event::ShutDown => return outcome,
                _ => {}
            }
        }
        if enough {
            engine.command(now(), Command::ShutDown)?;
            continue;
        }
        let patience = engine.next_deadline().map_or(Duration::from_secs(3600), |deadline| deadline.since(now()));
        engine.handle(now(), inputs.recv_timeout(patience).unwrap_or(Input::Timeout));
    }
}

/// What carries actions out.
struct Host {
    answers: Sender<Input>,
    connections: BTreeMap<ConnectionId, Connection>,
    disk: Sender<(DiskJobId, DiskOperation)>,
}

/// A connection's threads, which end with their channels.
struct Connection {
    stream: TcpStream,
    reads: Sender<u32>,
    writes: Sender<Vec<Bytes>>,
}

impl Host {
    fn perform(&mut self, action: Action) {
        let answer = match action {
            Action::Connect { connection, remote } => {
                let result = self.connect(connection, remote);
                Input::Connected { connection, result }
            }
            Action::Read { connection, limit } => match self.connections.get(&connection) {
                Some(open) if open.reads.send(limit).is_ok() => return,
                _ => Input::Read { connection, result: Err(StreamError::Other) },
            },
            Action::Write { connection, buffers } => match self.connections.get(&connection) {
                Some(open) if open.writes.send(buffers).is_ok() => return,
                _ => Input::Written { connection, result: Err(StreamError::Other) },
            },
            Action::Close { connection } => {
                if let Some(open) = self.connections.remove(&connection) {
                    // Ends the waits of its threads.
                    let _ = open.stream.shutdown(Shutdown::Both);
                }
                return;
            }
            Action::Disk { job, operation, .. } => return drop(self.disk.send((job, operation))),
            Action::Http { request, .. } => Input::Http { request, result: Err(HttpError::Failed("no HTTP in this example".into())) },
            Action::Fetch { fetch, .. } => Input::FetchHead { fetch, result: Err(HttpError::Failed("no HTTP in this example".into())) },
            Action::Resolve { resolve, .. } => Input::Resolved { resolve, result: Err(ResolveError("no names in this example".into())) },
            // Nobody was let in, and datagrams may be lost.
            Action::Accept { .. } | Action::Refuse { .. } | Action::SendDatagram { .. } | Action::Multicast { .. } => return,
            // Of what was never begun nothing is read.
            Action::FetchRead { .. } | Action::FetchCancel { .. } => return,
        };
        // Not at once, in the midst of what the engine wants done, but in its turn.
        let _ = self.answers.send(answer);
    }

    /// Connects, and waits for it: with a handful of peers that will do.
    fn connect(&mut self, id: ConnectionId, remote: SocketAddr) -> Result<(), StreamError> {
        let stream = TcpStream::connect_timeout(&remote, Duration::from_secs(5)).map_err(stream_error)?;
        stream.set_nodelay(true).map_err(stream_error)?;
        let (reader, writer) = (stream.try_clone().map_err(stream_error)?, stream.try_clone().map_err(stream_error)?);
        let ((reads, limits), (writes, buffers)) = (channel(), channel());
        let (read, written) = (self.answers.clone(), self.answers.clone());
        thread::spawn(move || read_thread(id, reader, &limits, &read));
        thread::spawn(move || write_thread(id, writer, &buffers, &written));
        self.connections.insert(id, Connection { stream, reads, writes });
        Ok(())
    }
}

fn read_thread(connection: ConnectionId, mut stream: TcpStream, limits: &Receiver<u32>, answers: &Sender<Input>) {
    for limit in limits {
        let mut buffer = vec![0; limit as usize];
        let result = stream.read(&mut buffer).map_err(stream_error).map(|length| {
            buffer.truncate(length);
            // A block that is kept must not pin the whole buffer.
            buffer.shrink_to_fit();
            ReadBuffer { data: buffer.into(), allocation: length as u32 }
        });
        let _ = answers.send(Input::Read { connection, result });
    }
}

fn write_thread(connection: ConnectionId, mut stream: TcpStream, writes: &Receiver<Vec<Bytes>>, answers: &Sender<Input>) {
    for buffers in writes {
        let result = stream.write_all(&buffers.concat()).map_err(stream_error);
        let _ = answers.send(Input::Written { connection, result });
    }
}

fn stream_error(error: io::Error) -> StreamError {
    match error.kind() {
        ErrorKind::ConnectionRefused => StreamError::Refused,
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => StreamError::Reset,
        ErrorKind::TimedOut | ErrorKind::WouldBlock => StreamError::TimedOut,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => StreamError::Unreachable,
        _ => StreamError::Other,
    }
}

/// Starts the thread that does all disk jobs, in order, and ends with the host.
fn disk_thread(answers: Sender<Input>) -> Sender<(DiskJobId, DiskOperation)> {
    let (jobs, waiting) = channel();
    thread::spawn(move || {
        let mut disk = None;
        for (job, operation) in waiting {
            if let DiskOperation::Open { layout, folder, .. } = &operation {
                disk = Some(Disk { layout: layout.clone(), folder: folder.into() });
            }
            let Some(disk) = &disk else { return };
            let result = disk.perform(operation).map_err(|error| Box::new(disk_error(&disk.folder, &error)));
            let _ = answers.send(Input::Disk { job, result });
        }
    });
    jobs
}

fn disk_error(folder: &Path, error: &io::Error) -> DiskError {
    let kind = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => DiskErrorKind::Full,
        ErrorKind::PermissionDenied => DiskErrorKind::PermissionDenied,
        ErrorKind::NotFound | ErrorKind::UnexpectedEof => DiskErrorKind::Missing,
        _ => DiskErrorKind::Other,
    };
    DiskError { kind, path: folder.display().to_string(), message: error.to_string() }
}

/// The files of the one torrent.
struct Disk {
    layout: Arc<Layout>,
    folder: PathBuf,
}

impl Disk {
    fn perform(&self, operation: DiskOperation) -> io::Result<DiskOutput> {
        Ok(match operation {
            DiskOperation::Open { .. } => DiskOutput::Opened(self.stamps()),
            DiskOperation::Stamp => DiskOutput::Stamps(self.stamps()),
            DiskOperation::Prepare => {
                for file in self.layout.files().iter().filter(|file| !file.padding) {
                    self.open(&file.path)?.set_len(file.length)?;
                }
                DiskOutput::Done
            }
            DiskOperation::Store { segments, spans, digest, fingerprints, .. } => {
                let piece = segments.concat();
                let blocks = piece.chunks(BLOCK_LENGTH as usize).map(|block| {
                    let digest: [u8; 20] = Sha1::digest(block).into();
                    *digest.first_chunk().expect("a fingerprint is shorter than a digest")
                });
                if Sha1::digest(&piece)[..] != digest {
                    return Ok(DiskOutput::Mismatch(blocks.collect()));
                }
                let mut rest = &piece[..];
                for span in spans {
                    let (bytes, others) = rest.split_at(span.length as usize);
                    if let Some(mut file) = self.at(span)? {
                        file.write_all(bytes)?;
                    }
                    rest = others;
                }
                DiskOutput::Stored(if fingerprints { blocks.collect() } else { Vec::new() })
            }
            DiskOperation::Read { spans, .. } => DiskOutput::Read(self.read(&spans)?.into()),
            DiskOperation::Verify { first, digests } => {
                let fits = |(piece, digest): (u32, &[u8])| {
                    let spans = self.layout.spans(piece, 0, self.layout.piece_size(piece));
                    self.read(&spans).is_ok_and(|bytes| Sha1::digest(bytes)[..] == *digest)
                };
                DiskOutput::Verified((first..).zip(digests.chunks(20)).map(fits).collect())
            }
            // The next start hashes everything again, and this example never removes a torrent.
            DiskOperation::SaveResume { .. } | DiskOperation::Close { .. } => DiskOutput::Done,
        })
    }

    fn stamps(&self) -> Vec<Option<FileStamp>> {
        let stamp = |path: &[String]| {
            let metadata = fs::metadata(self.path(path)).ok()?;
            let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos() as i64;
            Some(FileStamp { length: metadata.len(), modified })
        };
        self.layout.files().iter().map(|file| stamp(&file.path).filter(|_| !file.padding)).collect()
    }

    fn read(&self, spans: &[Span]) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for span in spans {
            let end = bytes.len() + span.length as usize;
            match self.at(*span)? {
                Some(file) => drop(file.take(span.length).read_to_end(&mut bytes)?),
                None => bytes.resize(end, 0),
            }
            if bytes.len() != end {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(bytes)
    }

    /// The span's file, where the span begins; `None` for padding, which is never on disk.
    fn at(&self, span: Span) -> io::Result<Option<File>> {
        let file = &self.layout.files()[span.file as usize];
        if file.padding {
            return Ok(None);
        }
        let mut file = self.open(&file.path)?;
        file.seek(SeekFrom::Start(span.offset))?;
        Ok(Some(file))
    }

    /// Opens a file, and makes it and its folders if they are not there.
    fn open(&self, path: &[String]) -> io::Result<File> {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap_or(&self.folder))?;
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
    }

    fn path(&self, path: &[String]) -> PathBuf {
        path.iter().fold(self.folder.clone(), |folder, name| folder.join(name))
    }
}
