use std::collections::BTreeSet;

use clap::Args;
use rustor_runtime::http::{HttpClient, Roots};
use rustor_tokio::{
    TokioRuntime,
    core::{
        metainfo::InfoHash,
        tracker::{ScrapeError, SwarmCounts},
    },
};
use serde_json::{Value, json};

use crate::{
    failure::{Exit, Failure},
    output::{Count, Output, plural, safe},
    session,
    signals::Signals,
    torrent_file::{Named, load_named},
};

/// Ask trackers how many peers a torrent has.
///
/// A line for each tracker that answers. Nobody joins the swarm by asking. Fails if no tracker answers.
#[derive(Debug, Args)]
pub(crate) struct Scrape {
    /// The torrent file, '-' for standard input; or a magnet link
    #[arg(value_name = "TORRENT|MAGNET")]
    torrent: std::path::PathBuf,
    /// Write JSON, for programs
    #[arg(long)]
    json: bool,
}

/// What a tracker says of the torrent: nothing if it does not know it.
type Answer = Result<Option<SwarmCounts>, ScrapeError>;

impl Scrape {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let (info_hash, trackers) = match load_named(output, &self.torrent)? {
            Named::Torrent(metainfo) => (metainfo.info_hash(), metainfo.trackers.into_iter().flatten().collect()),
            Named::Magnet(magnet) => {
                let info_hash = magnet.info_hash();
                (
                    info_hash.ok_or_else(|| Failure::new("the magnet link has no version 1 hash, by which trackers know torrents"))?,
                    magnet.trackers,
                )
            }
        };
        let mut known = BTreeSet::new();
        let trackers: Vec<String> = trackers.into_iter().filter(|url: &String| known.insert(url.clone())).collect();
        if trackers.is_empty() {
            return Err(Failure::new("the torrent names no tracker"));
        }
        session::run(async {
            let mut signals = Signals::new()?;
            tokio::select! {
                biased;
                () = signals.next() => Ok(Exit::Failed),
                answers = self.ask(output, info_hash, trackers) => {
                    let answers = answers?;
                    if self.json {
                        output.result(format_args!("{:#}", to_json(info_hash, &answers)))?;
                    }
                    if answers.iter().all(|(_, answer)| answer.is_err()) {
                        return Err(Failure::new("no tracker answered"));
                    }
                    Ok(Exit::Done)
                }
            }
        })
    }

    /// Asks all at once, and tells in their order.
    async fn ask(&self, output: &Output, info_hash: InfoHash, trackers: Vec<String>) -> Result<Vec<(String, Answer)>, Failure> {
        let http = HttpClient::new(Roots::system());
        let ask = |url: String| {
            let http = http.clone();
            tokio::spawn(async move {
                let response = rustor_runtime::scrape(&TokioRuntime::current(), &http, &url, &[info_hash]).await;
                let counts = response.map(|response| response.swarms.into_iter().map(|(_, counts)| counts).next());
                (url, counts)
            })
        };
        let under_way: Vec<_> = trackers.into_iter().map(ask).collect();
        let mut answers = Vec::with_capacity(under_way.len());
        for answer in under_way {
            let (url, answer) = answer.await.map_err(Failure::new)?;
            if !self.json {
                match &answer {
                    Ok(counts) => output.result(format_args!("{}  {}", safe(&url), counts.as_ref().map_or_else(unknown, words)))?,
                    Err(error) => output.warning(format_args!("{}: {}", safe(&url), safe(&error.to_string()))),
                }
            }
            answers.push((url, answer));
        }
        Ok(answers)
    }
}

fn unknown() -> String {
    "does not know the torrent".to_owned()
}

fn words(counts: &SwarmCounts) -> String {
    let count = |count: Option<u32>, what: &str| match count {
        Some(count) => format!("{} {what}{}", Count(count.into()), plural(count.into())),
        None => format!("? {what}s"),
    };
    format!("{}, {}, {}", count(counts.complete, "seeder"), count(counts.incomplete, "leecher"), count(counts.downloaded, "download"))
}

/// What trackers say, for programs. Keys may be added, never renamed.
fn to_json(info_hash: InfoHash, answers: &[(String, Answer)]) -> Value {
    let trackers = answers.iter().map(|(url, answer)| match answer {
        Ok(counts) => {
            let SwarmCounts { complete, incomplete, downloaded, .. } = counts.unwrap_or_default();
            json!({ "url": url, "known": counts.is_some(), "seeders": complete, "leechers": incomplete, "downloads": downloaded })
        }
        Err(error) => json!({ "url": url, "error": error.to_string() }),
    });
    json!({ "info_hash": info_hash.to_string(), "trackers": trackers.collect::<Vec<_>>() })
}
