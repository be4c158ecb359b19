//! Downloads a torrent: `cargo run -p rustor-tokio --example download -- FILE.torrent FOLDER [PEER]…`
//!
//! Peers are given as `ADDRESS:PORT`, besides those that the torrent's trackers know. What FOLDER holds already is kept.

use std::{env, error::Error, time::Duration};

use rustor_tokio::{
    AddOptions, ClientConfig,
    core::{event::Event, metainfo::Metainfo},
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(torrent), Some(folder)) = (arguments.next(), arguments.next()) else {
        return Err("usage: download FILE.torrent FOLDER [PEER]…".into());
    };
    let peers = arguments.map(|peer| peer.parse()).collect::<Result<_, _>>()?;
    let metainfo = Metainfo::parse(std::fs::read(torrent)?.into())?;
    let config = ClientConfig { port: 0, ..ClientConfig::default() };

    rustor_tokio::run(config, async |client| {
        let mut events = client.events();
        let torrent = client.add(AddOptions { peers, ..AddOptions::new(metainfo, folder) }).await?;

        let mut finished = std::pin::pin!(client.wait_finished(torrent));
        loop {
            tokio::select! {
                result = &mut finished => return Ok(result?),
                Some(event) = events.next() => {
                    // What goes wrong with a tracker or a peer is news, but no reason to stop.
                    if let Event::TrackerFailed { url, reason, .. } = event {
                        eprintln!("{url}: {reason}");
                    }
                }
                () = tokio::time::sleep(Duration::from_secs(1)) => {
                    let status = client.status(torrent).await?;
                    let percent = status.verified * 100 / status.total.max(1);
                    eprintln!("{percent} %, {} peers, {} kB/s", status.peers, status.download_rate / 1000);
                }
            }
        }
    })?
}
