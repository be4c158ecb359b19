//! Downloads what a torrent file or a magnet link names, and serves it afterwards with `--seed`:
//!
//! ```sh
//! cargo run --release -p rustor-tokio --example download-tokio -- debian.torrent ~/Downloads --port 6881
//! ```
//!
//! Ctrl-C tells the trackers, saves everything and stops; the next start goes on from there.

use std::{env, error::Error, fs, net::SocketAddr, pin::pin, time::Duration};

use rustor_tokio::{
    AddOptions, Client, ClientConfig, ClientError,
    core::{
        command::TorrentSource,
        metainfo::{Magnet, Metainfo},
    },
};
use tokio::{signal::ctrl_c, time::timeout};

const USAGE: &str = "usage: download-tokio TORRENT|MAGNET FOLDER [--port NUMBER] [--peer ADDRESS]... [--seed]";

struct Arguments {
    torrent: String,
    folder: String,
    port: u16,
    peers: Vec<SocketAddr>,
    seed: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = arguments()?;
    let config = ClientConfig { port: arguments.port, ..ClientConfig::default() };
    rustor_tokio::run(config, async |client| {
        let to_stop = client.clone();
        tokio::spawn(async move {
            if ctrl_c().await.is_ok() {
                // Whoever waits for the client hears that it has stopped.
                to_stop.shutdown().await;
            }
        });
        download(&client, arguments).await
    })?
}

async fn download(client: &Client, arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let mut events = client.events();
    let options = AddOptions { peers: arguments.peers, ..AddOptions::new(source(&arguments.torrent)?, arguments.folder) };
    let torrent = client.add(options).await?;
    let mut finished = pin!(client.wait_finished(torrent));
    loop {
        match timeout(Duration::from_secs(1), &mut finished).await {
            Ok(Ok(())) => break,
            Ok(Err(ClientError::Stopped)) => {
                eprintln!("stopped; start again to go on");
                return Ok(());
            }
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => {}
        }
        // If the client has stopped meanwhile, the next turn says so.
        if let Ok(status) = client.status(torrent).await {
            let rate = status.download_rate >> 10;
            eprintln!("{:?}: {} of {} bytes, {rate} KiB/s, {} peers", status.state, status.verified, status.total, status.peers);
        }
    }
    eprintln!("finished");
    // A client serves what it has as long as it runs, and its events end with it.
    while arguments.seed && events.next().await.is_some() {}
    Ok(())
}

/// A magnet link, or the path of a torrent file. What a link stands for comes from peers, and all else is the same.
fn source(torrent: &str) -> Result<TorrentSource, Box<dyn Error>> {
    Ok(match torrent.starts_with("magnet:") {
        true => torrent.parse::<Magnet>()?.into(),
        false => Metainfo::parse(fs::read(torrent)?.into())?.into(),
    })
}

fn arguments() -> Result<Arguments, Box<dyn Error>> {
    let mut words = env::args().skip(1);
    let (torrent, folder) = (words.next().ok_or(USAGE)?, words.next().ok_or(USAGE)?);
    let mut arguments = Arguments { torrent, folder, port: 6881, peers: Vec::new(), seed: false };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--port" => arguments.port = words.next().ok_or(USAGE)?.parse()?,
            "--peer" => arguments.peers.push(words.next().ok_or(USAGE)?.parse()?),
            "--seed" => arguments.seed = true,
            _ => return Err(USAGE.into()),
        }
    }
    Ok(arguments)
}
