use std::path::PathBuf;

use clap::Args;
use rustor_tokio::core::metainfo::{Info, Magnet, Metainfo, Topic};
use serde_json::{Value, json};

use crate::{
    failure::{Exit, Failure},
    output::{Bytes, Count, Date, Exact, Leaf, Output, Style, safe, tree},
    torrent_file::{Named, load_named},
};

/// Lines of the tree of files unless all are asked for.
const TREE: usize = 40;

/// Tell what is in a torrent file or a magnet link.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The torrent file, '-' for standard input; or a magnet link
    #[arg(value_name = "TORRENT|MAGNET")]
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
        let limit = if self.all { usize::MAX } else { TREE };
        match (load_named(output, &self.torrent)?, self.json) {
            (Named::Torrent(metainfo), true) => output.result(format_args!("{:#}", to_json(&metainfo))),
            (Named::Torrent(metainfo), false) => output.result(to_text(&metainfo, output.style(), limit)),
            (Named::Magnet(magnet), true) => output.result(format_args!("{:#}", magnet_to_json(&magnet))),
            (Named::Magnet(magnet), false) => output.result(magnet_to_text(&magnet, output.style())),
        }?;
        Ok(Exit::Done)
    }
}

/// What is in a torrent file, for programs. Keys may be added, never renamed.
fn to_json(metainfo: &Metainfo) -> Value {
    let info = &metainfo.info;
    let files: Vec<Value> = info
        .files()
        .iter()
        .zip(1..)
        .map(|(file, number)| {
            let mut entry = json!({ "number": number, "path": file.components().collect::<Vec<_>>(), "length": file.length() });
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
    let mut row = |label: &str, value: &str| push_row(&mut text, style, label, value);
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
        let files = (1..).zip(info.files()).filter(|(_, file)| !file.is_padding());
        let files = files.map(|(number, file)| Leaf { number, path: file.components().collect(), length: file.length() });
        text.push('\n');
        text.push_str(&tree(root, files, limit).join("\n"));
    } else {
        text.truncate(text.trim_end().len());
    }
    text
}

/// What is in a magnet link, for programs. Keys may be added, never renamed.
fn magnet_to_json(magnet: &Magnet) -> Value {
    let selected = magnet.selected.iter().map(|range| json!([range.start(), range.end()]));
    json!({
        "name": magnet.name,
        "info_hash": magnet.info_hash().map(|info_hash| info_hash.to_string()),
        "info_hash_v2": magnet.topics.iter().find_map(version_2),
        "trackers": magnet.trackers,
        "web_seeds": magnet.web_seeds,
        "peers": magnet.peers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "selected": selected.collect::<Vec<_>>(),
        "other": magnet.other,
    })
}

fn magnet_to_text(magnet: &Magnet, style: Style) -> String {
    let mut text = String::new();
    let mut rows = |label: &str, values: &mut dyn Iterator<Item = String>| {
        for (at, value) in values.enumerate() {
            push_row(&mut text, style, if at == 0 { label } else { "" }, &safe(&value));
        }
    };
    rows("Name", &mut magnet.name.iter().cloned());
    rows(
        "Info-hash",
        &mut magnet.topics.iter().map(|topic| match topic {
            Topic::Version1(info_hash) => info_hash.to_string(),
            Topic::Version2(_) => format!("{} (version 2)", version_2(topic).unwrap_or_default()),
        }),
    );
    rows("Trackers", &mut magnet.trackers.iter().cloned());
    rows("Web seeds", &mut magnet.web_seeds.iter().cloned());
    rows("Peers", &mut magnet.peers.iter().map(ToString::to_string));
    let selected = magnet.selected.iter().map(|range| match range.start() == range.end() {
        true => range.start().to_string(),
        false => format!("{}-{}", range.start(), range.end()),
    });
    let files = selected.collect::<Vec<_>>().join(", ");
    rows("Files", &mut (!files.is_empty()).then(|| format!("{files} (counted from 0)")).into_iter());
    rows("Other", &mut magnet.other.iter().map(|(key, value)| format!("{key}={value}")));
    text.truncate(text.trim_end().len());
    text
}

fn version_2(topic: &Topic) -> Option<String> {
    match topic {
        Topic::Version1(_) => None,
        Topic::Version2(hash) => Some(hash.iter().map(|byte| format!("{byte:02x}")).collect()),
    }
}

fn push_row(text: &mut String, style: Style, label: &str, value: &str) {
    let label = format!("{label:<12}");
    text.push_str(&format!("{} {value}\n", style.bold(&label)));
}

fn files_line(info: &Info) -> String {
    let padding = info.files().iter().filter(|file| file.is_padding()).count() as u64;
    let files = info.files().len() as u64 - padding;
    let padding = if padding == 0 { String::new() } else { format!(", and {} of padding", Count(padding)) };
    format!("{}{padding}", if info.root().is_none() { "1".into() } else { Count(files).to_string() })
}
