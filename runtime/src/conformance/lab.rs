//! What whole clients are tested with: folders, payloads, torrents, clients.

use core::task::{Context, Waker};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use rustor_core::event::Event;
use rustor_core::metainfo::{Draft, Metainfo};
use rustor_core::rng::{Rng, Seed};
use tempfile::TempDir;

use crate::adapter::Runtime;
use crate::{Client, ClientConfig, EventStream, create};

/// A folder of its own for each scenario, gone at its end.
pub struct Lab<R> {
    runtime: R,
    root: TempDir,
}

impl<R: Runtime> Lab<R> {
    pub fn new(runtime: &R) -> Self {
        Self { runtime: runtime.clone(), root: TempDir::new().unwrap() }
    }

    /// A folder in it.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.root.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// A configuration that disturbs nobody: loopback, any free port, resume data in here.
    pub fn config(&self, name: &str) -> ClientConfig {
        let listen = vec![Ipv4Addr::LOCALHOST.into()];
        let mut config = ClientConfig { listen, port: 0, ..ClientConfig::default() };
        config.state_folder = Some(self.folder(&format!("{name}.state")));
        // Peers are tried again at once: no scenario waits for that.
        config.engine.reconnect_interval = Duration::from_millis(1);
        config
    }

    pub fn start(&self, name: &str) -> Client {
        self.start_with(self.config(name))
    }

    pub fn start_with(&self, config: ClientConfig) -> Client {
        let (client, host) = Client::start(self.runtime.clone(), config).unwrap();
        self.runtime.spawn(host);
        client
    }

    /// A file of `length` random bytes in `folder`, and its torrent with pieces of 16 KiB.
    pub fn payload(&self, folder: &str, length: usize) -> Payload {
        let folder = self.folder(folder);
        let mut random = Rng::new(Seed::from_u64(length as u64));
        let data: Vec<u8> = (0..length).map(|_| random.next_u64() as u8).collect();
        fs::write(folder.join("payload"), &data).unwrap();
        let scan = create::scan(&folder.join("payload")).unwrap();
        let digests = create::hash(&scan, PIECE, 1.try_into().unwrap(), |_| {}).unwrap();
        let mut draft = Draft::single_file("payload", length as u64).unwrap();
        draft.set_piece_length(PIECE).unwrap();
        Payload { metainfo: draft.finish(digests).unwrap(), folder, data }
    }
}

const PIECE: u32 = 16 << 10;

pub struct Payload {
    pub metainfo: Metainfo,
    pub folder: PathBuf,
    pub data: Vec<u8>,
}

impl Payload {
    /// Whether `folder` holds the same.
    pub fn is_in(&self, folder: &Path) -> bool {
        fs::read(folder.join("payload")).is_ok_and(|data| data == self.data)
    }

    pub fn pieces(&self) -> u32 {
        self.metainfo.info.piece_count()
    }
}

pub fn address(client: &Client) -> SocketAddr {
    client.listen_addresses()[0]
}

/// The first event that `fits`; all before it are dropped.
pub async fn wait_for(events: &mut EventStream, fits: impl Fn(&Event) -> bool) -> Event {
    loop {
        let event = events.next().await.expect("the engine goes on");
        if fits(&event) {
            return event;
        }
    }
}

/// Polls a future once and drops it.
pub fn abandon(future: impl Future) {
    let _ = pin!(future).poll(&mut Context::from_waker(Waker::noop()));
}
