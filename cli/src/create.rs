use std::{
    fs::{self, OpenOptions},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use clap::Args;
use rustor_runtime::create::{Scan, hash, scan};
use rustor_tokio::core::metainfo::{Draft, Metainfo};
use serde_json::json;

use crate::{
    failure::{Exit, Failure},
    output::{Bytes, Count, Output, Progress, Rate, parse_size, plural, safe},
    torrent_file::words,
    verify::threads,
};

/// Make a torrent file of a file or a folder.
///
/// The same files and options always give the same bytes.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The file or folder to share
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// The torrent file to write, or the folder to put it in; '-' for standard output [default: the name with '.torrent', here]
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    /// Announce URL of a tracker. Each -t is a tier, asked in turn; commas separate equal trackers within a tier
    #[arg(short = 't', long = "tracker", value_name = "URL", value_parser = tier)]
    trackers: Vec<Tier>,
    /// Bytes of a piece, a power of two, such as 262144, 256K or 1M [default: by size]
    #[arg(short, long, value_name = "SIZE", value_parser = parse_size)]
    piece_length: Option<u64>,
    /// Let peers come from the trackers alone
    #[arg(long)]
    private: bool,
    /// A comment for people
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// URL of a web server that has the files
    #[arg(long = "web-seed", value_name = "URL", value_parser = web_url)]
    web_seeds: Vec<String>,
    /// The site that the torrent is for; gives it an info-hash of its own
    #[arg(long, value_name = "TEXT")]
    source: Option<String>,
    /// The torrent's name, in place of that of the file or folder
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Write down when it was made: now, or a Unix time in seconds. By default it is left out
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true)]
    date: Option<Option<i64>>,
    /// Replace the torrent file if there is one
    #[arg(short, long)]
    force: bool,
    /// Write JSON, for programs
    #[arg(long)]
    json: bool,
}

/// The trackers of one tier.
#[derive(Clone, Debug)]
struct Tier(Vec<String>);

impl Create {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let scan = scan(&self.path).map_err(Failure::new)?;
        let mut draft = self.draft(&scan)?;
        let target = self.target(draft.name());
        if let Some(target) = target.as_deref()
            && !self.force
            && target.symlink_metadata().is_ok()
        {
            return Err(exists(target));
        }
        if let Some(length) = self.piece_length {
            let bytes = u32::try_from(length).unwrap_or(u32::MAX);
            draft.set_piece_length(bytes).map_err(Failure::new)?;
        }
        self.mention(output, &scan, target.as_deref());

        let begin = Instant::now();
        let progress = Progress::new(output, "hashing", scan.total_length());
        let digests = hash(&scan, draft.piece_length(), threads(), |done| progress.set(done)).map_err(Failure::new)?;
        drop(progress);
        let mut metainfo = draft.finish(digests).map_err(Failure::new)?;
        self.describe(&mut metainfo);
        let bytes = metainfo.to_bytes();
        let Some(target) = target else {
            output.result_bytes(&bytes)?;
            return Ok(Exit::Done);
        };
        write(&target, &bytes, self.force)?;
        self.tell(output, &metainfo, &target, begin.elapsed())?;
        Ok(Exit::Done)
    }

    fn draft(&self, scan: &Scan) -> Result<Draft, Failure> {
        let name = self.name.as_ref().unwrap_or(&scan.name);
        let draft = if scan.is_folder {
            Draft::folder(name, scan.files.iter().map(|file| (file.path.clone(), file.length)))
        } else {
            Draft::single_file(name, scan.total_length())
        };
        let mut draft = draft.map_err(|error| Failure::about(self.path.display(), error))?;
        draft.private = self.private;
        draft.source.clone_from(&self.source);
        Ok(draft)
    }

    /// Where the torrent file goes; `None` for standard output.
    fn target(&self, name: &str) -> Option<PathBuf> {
        let file = format!("{name}.torrent");
        match &self.output {
            None => Some(file.into()),
            Some(path) if path.as_os_str() == "-" => None,
            Some(path) if path.is_dir() => Some(path.join(file)),
            Some(path) => Some(path.clone()),
        }
    }

    fn describe(&self, metainfo: &mut Metainfo) {
        metainfo.trackers = self.trackers.iter().map(|tier| tier.0.clone()).collect();
        metainfo.web_seeds.clone_from(&self.web_seeds);
        metainfo.comment.clone_from(&self.comment);
        metainfo.created_by = Some(concat!("RusTor/", env!("CARGO_PKG_VERSION")).into());
        metainfo.creation_date = self.date.map(|date| date.unwrap_or_else(now));
    }

    /// Says what the caller may not expect.
    fn mention(&self, output: &Output, scan: &Scan, target: Option<&Path>) {
        if let [first, more @ ..] = &scan.empty_folders[..] {
            let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
            output
                .warning(format_args!("{}{more}: left out, a torrent has no place for empty folders", safe(&first.display().to_string())));
        }
        let inside = |target: &Path| Some(target.parent()?.canonicalize().ok()?.starts_with(self.path.canonicalize().ok()?));
        if scan.is_folder && target.and_then(|target| inside(&std::path::absolute(target).ok()?)).unwrap_or(false) {
            output.warning(
                "the torrent file goes into the folder that it is made of, and the next one made of it will hold it; -o puts it elsewhere",
            );
        }
        if self.private && self.trackers.is_empty() {
            output.warning("a private torrent without a tracker finds no peers; -t names one");
        }
    }

    fn tell(&self, output: &Output, metainfo: &Metainfo, target: &Path, time: Duration) -> Result<(), Failure> {
        let info = &metainfo.info;
        if self.json {
            return output.result(format_args!(
                "{:#}",
                json!({
                    "path": target.display().to_string(),
                    "name": info.name(),
                    "info_hash": info.info_hash().to_string(),
                    "piece_length": info.piece_length(),
                    "pieces": info.piece_count(),
                    "total_length": info.total_length(),
                    "files": info.files().len(),
                })
            ));
        }
        let (files, pieces) = (info.files().len() as u64, u64::from(info.piece_count()));
        let rate = (info.total_length() as f64 / time.as_secs_f64().max(0.001)) as u64;
        output.note(format_args!(
            "{} in {} file{}: {} piece{} of {}, hashed at {}",
            Bytes(info.total_length()),
            Count(files),
            plural(files),
            Count(pieces),
            plural(pieces),
            Bytes(info.piece_length().into()),
            Rate(rate),
        ));
        let style = output.style();
        output.result(format_args!("{} {}", style.bold("info-hash"), info.info_hash()))?;
        output.result(format_args!("{} {}", style.bold("torrent  "), target.display()))
    }
}

/// One or more tracker URLs with commas between them.
fn tier(text: &str) -> Result<Tier, String> {
    let urls = text.split(',').map(str::trim).filter(|url| !url.is_empty());
    let urls: Vec<String> = urls.map(|url| with_scheme(url, &["http", "https", "udp"])).collect::<Result<_, _>>()?;
    if urls.is_empty() { Err("expected a URL".into()) } else { Ok(Tier(urls)) }
}

/// The URL of a web seed.
pub(crate) fn web_url(text: &str) -> Result<String, String> {
    with_scheme(text.trim(), &["http", "https"])
}

/// `url`, if it has one of these schemes and a host.
fn with_scheme(url: &str, schemes: &[&str]) -> Result<String, String> {
    let known = url.split_once("://").filter(|(scheme, _)| schemes.iter().any(|known| scheme.eq_ignore_ascii_case(known)));
    match known {
        Some((_, rest)) if !rest.is_empty() && !rest.starts_with('/') && !url.contains(|c: char| c.is_whitespace() || c.is_control()) => {
            Ok(url.into())
        }
        _ => Err(format!("'{url}' is not a URL that begins with {}://", schemes.join("://, "))),
    }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs().min(i64::MAX as u64) as i64)
}

fn exists(target: &Path) -> Failure {
    Failure::about(target.display(), "there is such a file already; --force replaces it, -o names another one")
}

/// Writes the file whole or not at all: first under another name, so that a failure harms no file that was there.
fn write(target: &Path, bytes: &[u8], force: bool) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::about(target.display(), words(&error));
    let mut name = target.file_name().ok_or_else(|| Failure::about(target.display(), "this is no name for a file"))?.to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = target.with_file_name(name);
    let result = OpenOptions::new().write(true).create_new(true).open(&part).and_then(|mut file| file.write_all(bytes)).and_then(|()| {
        if force {
            return fs::rename(&part, target);
        }
        // Unlike a rename this never replaces. Where there are no links, the check at the start has to do.
        match fs::hard_link(&part, target) {
            Ok(()) => fs::remove_file(&part),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(error),
            Err(_) => fs::rename(&part, target),
        }
    });
    result.map_err(|error| {
        let _ = fs::remove_file(&part);
        if error.kind() == ErrorKind::AlreadyExists { exists(target) } else { failed(error) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiers_are_lists_of_urls() {
        assert_eq!(tier("http://a/announce, UDP://b:1").unwrap().0, ["http://a/announce", "UDP://b:1"]);
        for text in ["", ",", "a", "ftp://a", "http://", "http:///x", "http://a b", "http://a,b"] {
            assert!(tier(text).is_err(), "{text}");
        }
    }
}
