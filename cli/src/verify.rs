use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    thread,
};

use clap::Args;
use rustor_runtime::verify::{FileReport, FileState, Report, verify};
use rustor_tokio::core::{
    metainfo::{Info, Metainfo},
    storage::Layout,
};
use serde_json::{Value, json};

use crate::{
    failure::{Exit, Failure},
    output::{Bytes, Count, Output, Progress, plural, safe},
    torrent_file,
};

/// Check files on disk against a torrent.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The torrent file; '-' for standard input
    #[arg(value_name = "TORRENT")]
    torrent: PathBuf,
    /// The folder that holds what the torrent names
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Write JSON, for programs
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let metainfo = torrent_file::load(output, &self.torrent)?;
        let report = check(output, &metainfo, &self.folder)?;
        if self.json {
            output.result(format_args!("{:#}", to_json(&metainfo, &report)))?;
        } else {
            let name = safe(metainfo.info.name());
            for wrong in report.wrong_files() {
                output.result(format_args!("{}: {}", safe(&wrong.path.display().to_string()), wrong.state))?;
            }
            if report.is_complete() {
                let (pieces, size) = (report.pieces.len() as u64, Bytes(metainfo.info.total_length()));
                output.result(format_args!("{name}: complete, all {} piece{} good ({size})", Count(pieces), plural(pieces)))?;
            } else {
                output.result(format_args!("{name}: {}", summary(&report)))?;
                if let Some(hint) = hint(&metainfo.info, &self.folder, &report) {
                    output.note(hint);
                }
            }
        }
        Ok(if report.is_complete() { Exit::Done } else { Exit::Verification })
    }
}

/// Hashes what is in `folder`, showing how far it is.
pub(crate) fn check(output: &Output, metainfo: &Metainfo, folder: &Path) -> Result<Report, Failure> {
    let info = &metainfo.info;
    let layout = Layout::of(info).ok_or_else(|| Failure::about(info.name(), "its lengths do not fit together"))?;
    let progress = Progress::new(output, "checking", info.total_length());
    let report = verify(&layout, info.pieces(), folder, threads(), |done| progress.set(done));
    report.map_err(Failure::new)
}

/// One line about what is wrong.
pub(crate) fn summary(report: &Report) -> String {
    let bad = report.pieces.iter().filter(|good| !**good).count() as u64;
    let (wrong, files, pieces) = (report.wrong_files().count() as u64, report.files.len() as u64, report.pieces.len() as u64);
    let of_files = format!("{} of {} file{} wrong or missing", Count(wrong), Count(files), plural(files));
    format!("{of_files}, {} of {} piece{} bad", Count(bad), Count(pieces), plural(pieces))
}

/// What the caller probably meant, if nothing at all is there: the folder itself was given, not the one that holds it.
pub(crate) fn hint(info: &Info, folder: &Path, report: &Report) -> Option<String> {
    if !report.files.iter().all(|file| file.state == FileState::Missing) {
        return None;
    }
    let given = std::path::absolute(folder).ok()?;
    if given.file_name()?.to_str()? == info.name() {
        let parent = given.parent()?;
        return Some(format!("DIR is the folder that holds '{}'; did you mean {}?", info.name(), parent.display()));
    }
    Some(format!("DIR is the folder that holds '{}', and there is nothing of that name in {}", safe(info.name()), folder.display()))
}

/// As many threads as there are processors.
pub(crate) fn threads() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// What was found, for programs. Keys may be added, never renamed.
fn to_json(metainfo: &Metainfo, report: &Report) -> Value {
    let info = &metainfo.info;
    let files = info.files().iter().filter(|file| !file.is_padding());
    let files: Vec<Value> =
        files.zip(&report.files).map(|(file, found)| file_json(file.components().collect(), file.length(), found)).collect();
    json!({
        "name": info.name(),
        "info_hash": info.info_hash().to_string(),
        "complete": report.is_complete(),
        "pieces": report.pieces.len(),
        "pieces_good": report.pieces.iter().filter(|good| **good).count(),
        "files": files,
    })
}

fn file_json(path: Vec<&str>, length: u64, found: &FileReport) -> Value {
    let mut entry = json!({ "path": path, "length": length });
    let (state, more) = match found.state {
        FileState::Ok => ("ok", None),
        FileState::Missing => ("missing", None),
        FileState::NotAFile => ("not_a_file", None),
        FileState::WrongLength { found, .. } => ("wrong_length", Some(("found_length", found))),
        FileState::Damaged { bad_pieces } => ("damaged", Some(("bad_pieces", bad_pieces.into()))),
    };
    entry["state"] = state.into();
    if let Some((key, number)) = more {
        entry[key] = number.into();
    }
    entry
}
