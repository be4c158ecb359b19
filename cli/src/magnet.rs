use std::path::PathBuf;

use clap::Args;
use rustor_tokio::core::metainfo::{self, Metainfo};

use crate::{
    failure::{Exit, Failure},
    output::Output,
    torrent_file,
};

/// Make a magnet link of a torrent file.
///
/// The link names the torrent by its hash, and tells its name, its trackers and its web seeds. Whoever has it fetches the rest from
/// peers.
#[derive(Debug, Args)]
pub(crate) struct Magnet {
    /// The torrent file; '-' for standard input
    #[arg(value_name = "TORRENT")]
    torrent: PathBuf,
}

impl Magnet {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let metainfo = torrent_file::load(output, &self.torrent)?;
        if metainfo.info.is_private() && metainfo.trackers.is_empty() {
            output.warning("a private torrent without a tracker: nobody will be found by this link");
        }
        output.result(link(metainfo))?;
        Ok(Exit::Done)
    }
}

/// The link to a torrent.
fn link(metainfo: Metainfo) -> metainfo::Magnet {
    let mut magnet = metainfo::Magnet {
        topics: vec![metainfo::Topic::Version1(metainfo.info_hash())],
        name: Some(metainfo.info.name().to_owned()).filter(|name| !name.is_empty()),
        ..metainfo::Magnet::default()
    };
    for url in metainfo.trackers.into_iter().flatten() {
        if !magnet.trackers.contains(&url) {
            magnet.trackers.push(url);
        }
    }
    magnet.web_seeds = metainfo.web_seeds;
    magnet
}
