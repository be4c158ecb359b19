//! The engine as the host holds it: whatever it is told goes into the recording first, if there is one.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    ops::Deref,
    path::Path,
    sync::mpsc::{SyncSender, sync_channel},
    thread::{self, JoinHandle},
};

use rustor_core::{
    action::Action,
    command::{Command, CommandError, Reply},
    config::Config,
    engine::Engine,
    event::Event,
    id::TorrentId,
    input::Input,
    metainfo::Metainfo,
    record::{AddressMask, Recorder},
    rng::Seed,
    status::{PeerStatus, WebSeedStatus},
    time::Instant,
};

/// An engine, and the recording of all that it is told. With a mask before it, it knows no real addresses, and nobody but it notices.
pub(crate) struct RecordedEngine {
    engine: Engine,
    recording: Option<Recording>,
    mask: Option<AddressMask>,
}

impl RecordedEngine {
    /// An engine that begins now; with `file`, a recording of it that replaces what was there.
    pub(crate) fn new(
        config: Config,
        seed: Seed,
        now: Instant,
        file: Option<&Path>,
        mask: Option<AddressMask>,
    ) -> io::Result<RecordedEngine> {
        let recording = file.map(|file| Recording::new(seed, &config, now, file)).transpose()?;
        Ok(RecordedEngine { engine: Engine::new(config, seed, now), recording, mask })
    }

    pub(crate) fn handle(&mut self, now: Instant, mut input: Input) {
        if let Some(mask) = &mut self.mask {
            input = mask.input(input);
        }
        if let Some(recording) = &mut self.recording {
            recording.recorder.input(now, &input, &mut recording.pending);
            recording.pass_on(PORTION);
        }
        self.engine.handle(now, input);
    }

    pub(crate) fn command(&mut self, now: Instant, mut command: Command) -> Result<Reply, CommandError> {
        if let Some(mask) = &mut self.mask {
            command = mask.command(command);
        }
        if let Some(recording) = &mut self.recording {
            recording.recorder.command(now, &command, &mut recording.pending);
            recording.pass_on(PORTION);
        }
        self.engine.command(now, command)
    }

    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        let action = self.engine.poll_action();
        if let Some(recording) = &mut self.recording {
            match &action {
                Some(action) => recording.recorder.action(action),
                None => recording.recorder.drained(),
            }
        }
        match &mut self.mask {
            Some(mask) => action.map(|action| mask.action(action)),
            None => action,
        }
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        let event = self.engine.poll_event();
        if let (Some(recording), Some(event)) = (&mut self.recording, &event) {
            recording.recorder.event(event);
        }
        match &self.mask {
            Some(mask) => event.map(|event| mask.event(event)),
            None => event,
        }
    }

    /// [`Engine::peers`], at their real addresses.
    pub(crate) fn peers(&self, torrent: TorrentId) -> Vec<PeerStatus> {
        let mut peers = self.engine.peers(torrent);
        if let Some(mask) = &self.mask {
            peers.iter_mut().for_each(|peer| peer.remote = mask.address(peer.remote));
        }
        peers
    }

    /// [`Engine::web_seeds`], by their real URLs.
    pub(crate) fn web_seeds(&self, torrent: TorrentId) -> Vec<WebSeedStatus> {
        let mut seeds = self.engine.web_seeds(torrent);
        if let Some(mask) = &self.mask {
            seeds.iter_mut().for_each(|seed| seed.url = mask.url(&seed.url));
        }
        seeds
    }

    /// [`Engine::metainfo`], as its owner gave it.
    pub(crate) fn metainfo(&self, torrent: TorrentId) -> Option<Metainfo> {
        let metainfo = self.engine.metainfo(torrent)?;
        Some(self.mask.as_ref().map_or_else(|| metainfo.clone(), |mask| mask.metainfo(metainfo)))
    }

    /// Writes the recording to its end. Waits for the disk.
    pub(crate) fn finish(&mut self) {
        self.recording = None;
    }
}

impl Deref for RecordedEngine {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

/// Bytes that are handed to the writing thread at once.
const PORTION: usize = 64 << 10;
/// Portions that wait for the disk. The engine's thread waits for nothing but a disk that is hopelessly behind.
const PORTIONS: usize = 256;

struct Recording {
    recorder: Recorder,
    pending: Vec<u8>,
    /// None once the writer is to end.
    portions: Option<SyncSender<Vec<u8>>>,
    writer: Option<JoinHandle<()>>,
}

impl Recording {
    fn new(seed: Seed, config: &Config, now: Instant, file: &Path) -> io::Result<Recording> {
        let mut file = BufWriter::new(File::create(file)?);
        let (portions, incoming) = sync_channel::<Vec<u8>>(PORTIONS);
        let writer = thread::Builder::new().name("rustor-recording".into()).spawn(move || {
            for portion in incoming {
                // A recording that cannot be written is cut short, which shows when it is replayed; the download goes on.
                if file.write_all(&portion).is_err() {
                    return;
                }
            }
            let _ = file.flush();
        })?;
        let mut pending = Vec::new();
        let recorder = Recorder::new(seed, config, now, &mut pending);
        Ok(Recording { recorder, pending, portions: Some(portions), writer: Some(writer) })
    }

    fn pass_on(&mut self, at_least: usize) {
        if self.pending.len() >= at_least
            && let Some(portions) = &self.portions
        {
            self.recorder.checkpoint(&mut self.pending);
            let portion = std::mem::replace(&mut self.pending, Vec::with_capacity(PORTION + PORTION / 4));
            // The writer has given up: see there.
            let _ = portions.send(portion);
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.pass_on(1);
        self.portions = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}
