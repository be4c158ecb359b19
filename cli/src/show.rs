use std::path::PathBuf;

use clap::Args;
use rustor_tokio::core::metainfo::{Info, Metainfo};
use serde_json::{Value, json};

use crate::{
    failure::{Exit, Failure},
    output::{Bytes, Count, Date, Exact, Output, Style, safe, tree},
    torrent_file,
};

/// Lines of the tree of files unless all are asked for.
const TREE: usize = 40;

/// Tell what is in a torrent file.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The torrent file; '-' for standard input
    #[arg(value_name = "TORRENT")]
    torrent: PathBuf,
    /// Write JSON, for programs
    #[arg(long)]
    json: bool,
    /// List all files, however many
    #[arg(long)]
    all: bool,
}

impl Show {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let metainfo = torrent_file::load(output, &self.torrent)?;
        if self.json {
            output.result(format_args!("{:#}", to_json(&metainfo)))?;
        } else {
            output.result(to_text(&metainfo, output.style(), if self.all { usize::MAX } else { TREE }))?;
        }
        Ok(Exit::Done)
    }
}

/// What is in a torrent file, for programs. Keys may be added, never renamed.
fn to_json(metainfo: &Metainfo) -> Value {
    let info = &metainfo.info;
    let files: Vec<Value> = info
        .files()
        .iter()
        .map(|file| {
            let mut entry = json!({ "path": file.components().collect::<Vec<_>>(), "length": file.length() });
            if file.is_padding() {
                entry["padding"] = true.into();
            }
            if let Some(target) = file.symlink() {
                entry["symlink"] = target.split('/').collect::<Vec<_>>().into();
            }
            entry
        })
        .collect();
    json!({
        "name": info.name(),
        "info_hash": info.info_hash().to_string(),
        "piece_length": info.piece_length(),
        "pieces": info.piece_count(),
        "total_length": info.total_length(),
        "single_file": info.root().is_none(),
        "files": files,
        "trackers": metainfo.trackers,
        "web_seeds": metainfo.web_seeds,
        "nodes": metainfo.nodes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "private": info.is_private(),
        "source": info.source(),
        "comment": metainfo.comment,
        "created_by": metainfo.created_by,
        "creation_date": metainfo.creation_date,
    })
}

fn to_text(metainfo: &Metainfo, style: Style, limit: usize) -> String {
    let info = &metainfo.info;
    let mut text = String::new();
    let mut row = |label: &str, value: &str| {
        let label = format!("{label:<12}");
        text.push_str(&format!("{} {value}\n", style.bold(&label)));
    };
    row("Name", &safe(info.name()));
    row("Info-hash", &info.info_hash().to_string());
    let (size, exact) = (Bytes(info.total_length()).to_string(), Exact(info.total_length()).to_string());
    row("Size", &if info.total_length() < 1024 { exact } else { format!("{size} ({exact})") });
    row("Pieces", &format!("{} of {}", Count(info.piece_count().into()), Bytes(info.piece_length().into())));
    row("Files", &files_line(info));
    row("Private", if info.is_private() { "yes: peers come from its trackers alone" } else { "no" });
    let lists = [("Web seeds", &metainfo.web_seeds), ("HTTP seeds", &metainfo.http_seeds)];
    for (number, tier) in metainfo.trackers.iter().enumerate() {
        for (at, url) in tier.iter().enumerate() {
            let label = if number + at == 0 { "Trackers" } else { "" };
            let tier = if metainfo.trackers.len() == 1 { String::new() } else { format!("tier {:<3} ", number + 1) };
            row(label, &format!("{}{}", style.dim(if at == 0 { &tier } else { "         " }.get(..tier.len()).unwrap_or("")), safe(url)));
        }
    }
    for (label, urls) in lists {
        for (at, url) in urls.iter().enumerate() {
            row(if at == 0 { label } else { "" }, &safe(url));
        }
    }
    for (at, node) in metainfo.nodes.iter().enumerate() {
        row(if at == 0 { "DHT nodes" } else { "" }, &safe(&node.to_string()));
    }
    for (label, value) in
        [("Source", info.source()), ("Comment", metainfo.comment.as_deref()), ("Created by", metainfo.created_by.as_deref())]
    {
        for (at, line) in value.unwrap_or_default().lines().enumerate() {
            row(if at == 0 { label } else { "" }, &safe(line));
        }
    }
    if let Some(date) = metainfo.creation_date {
        row("Created", &Date(date).to_string());
    }
    if let Some(root) = info.root() {
        let files = info.files().iter().filter(|file| !file.is_padding()).map(|file| (file.components().collect(), file.length()));
        text.push('\n');
        text.push_str(&tree(root, files, limit).join("\n"));
    } else {
        text.truncate(text.trim_end().len());
    }
    text
}

fn files_line(info: &Info) -> String {
    let padding = info.files().iter().filter(|file| file.is_padding()).count() as u64;
    let files = info.files().len() as u64 - padding;
    let padding = if padding == 0 { String::new() } else { format!(", and {} of padding", Count(padding)) };
    format!("{}{padding}", if info.root().is_none() { "1".into() } else { Count(files).to_string() })
}
