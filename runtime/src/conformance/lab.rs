//! What clients are tested with: folders, payloads, torrents.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{Client, ClientConfig, adapter::Runtime, create};
use futures_channel::oneshot;
use rustor_core::{
    metainfo::{Draft, Metainfo},
    rng::{Rng, Seed},
};
use tempfile::TempDir;

/// A folder of its own for each test, gone at its end.
pub struct Lab {
    root: TempDir,
}

impl Default for Lab {
    fn default() -> Lab {
        Lab::new()
    }
}

impl Lab {
    pub fn new() -> Lab {
        Lab { root: TempDir::new().unwrap() }
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
        // Peers are tried again at once and again and again, for instance while they still look at their files.
        config.engine.reconnect_interval = Duration::from_millis(1);
        config.engine.reconnect_maximum = Duration::from_millis(10);
        config.engine.reconnect_attempts = u8::MAX;
        config
    }

    /// A client whose host runs in the background.
    pub fn start<R: Runtime>(&self, runtime: &R, name: &str) -> Client {
        let (client, host) = Client::start(runtime.clone(), self.config(name)).unwrap();
        runtime.spawn(host);
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

pub const PIECE: u32 = 16 << 10;

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

/// Where others find it.
pub fn address(client: &Client) -> SocketAddr {
    client.listen_addresses()[0]
}

/// Runs a task in the background; what it comes to is there to be waited for.
pub fn background<T: Send + 'static>(
    runtime: &impl Runtime,
    task: impl Future<Output = T> + Send + 'static,
) -> impl Future<Output = Option<T>> {
    let (done, result) = oneshot::channel();
    runtime.spawn(async move { drop(done.send(task.await)) });
    async { result.await.ok() }
}
