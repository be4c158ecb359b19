mod payload;
mod swarm;
mod uplink;

use std::{
    num::NonZeroU8,
    path::Path,
    time::{Duration, Instant},
};

use clap::Args;
use rustor_runtime::disk::free_space;
use tempfile::TempDir;

use self::{
    payload::Payload,
    swarm::{Progress, Shares, Swarm},
};
use crate::{
    failure::{Exit, Failure},
    output::{Bytes, Output, Rate, Span, Style, percent, plural},
    session,
    signals::Signals,
};

/// Between two looks at the swarm: often, because peers that have everything part at once, and take their figures along.
const LOOK: Duration = Duration::from_millis(40);
/// How long the seeder takes to send the payload once.
const SECONDS: u64 = 4;
/// A swarm on one machine that takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Show a whole swarm at work, on this machine alone.
///
/// Makes files, a torrent of them, a tracker, a seeder and some leechers, lets them trade until all have everything, checks every
/// byte, and removes all of it. Needs no network and no other program.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// How many leechers there are
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(NonZeroU8))]
    leechers: NonZeroU8,
    /// Size of the payload in MiB
    #[arg(long, value_name = "MIB", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=4096))]
    size: u16,
}

impl Demo {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let folder = tempfile::Builder::new().prefix("rustor-demo-").tempdir();
        let folder = folder.map_err(|error| Failure::about("cannot make a temporary folder", error))?;
        let result = session::run(async {
            let mut signals = Signals::new()?;
            tokio::select! {
                biased;
                () = signals.next() => Ok(Exit::Failed),
                result = self.show(output, &folder) => result,
            }
        });
        let path = folder.path().to_owned();
        let removed = folder.close();
        let exit = result?;
        removed.map_err(|error| Failure::about(path.display(), format_args!("cannot be removed: {error}")))?;
        if exit == Exit::Done {
            output.result(next_steps(output.style()))?;
        } else {
            output.note("stopped; everything is removed again");
        }
        Ok(exit)
    }

    async fn show(&self, output: &Output, folder: &TempDir) -> Result<Exit, Failure> {
        let begin = Instant::now();
        let leechers = usize::from(self.leechers.get());
        let bytes = u64::from(self.size) << 20;
        let needed = bytes.saturating_mul(leechers as u64 + 1);
        if let Some(free) = free_space(folder.path()).filter(|free| *free < needed) {
            return Err(Failure::new(format_args!(
                "the demo needs {}, and {} has {} left; --size and --leechers make it smaller, TMPDIR puts it elsewhere",
                Bytes(needed),
                folder.path().display(),
                Bytes(free),
            )));
        }
        let step = |number: u8, what: String| output.note(format_args!("{} {what}", output.error_style().bold(&format!("{number}."))));

        let payload = Payload::make(output, folder.path(), bytes)?;
        step(1, format!("made {} in {} files, and their torrent: {} pieces", Bytes(bytes), payload.files, payload.pieces));
        // Without a limit all would be over before anybody can look.
        let uplink = bytes / SECONDS;
        let swarm = Swarm::start(folder.path(), &payload, leechers, uplink).await?;
        step(2, format!("started a tracker, {}", swarm.announce_url()));
        step(3, format!("started a seeder that sends {} at most, and {leechers} leecher{}", Rate(uplink), plural(leechers as u64)));
        let (shares, time) = watch(output, &swarm).await?;
        step(4, format!("all leechers have everything after {}", Span(time)));
        output.result(table(&swarm.progress().await?, &shares, output.style()))?;
        swarm.stop().await;
        for number in 0..leechers {
            payload.check(&swarm::leecher_folder(folder.path(), number))?;
        }
        step(5, format!("checked all {} that were downloaded, byte by byte: identical", Bytes(bytes * leechers as u64)));
        output.note(format_args!("   done in {}", Span(begin.elapsed())));
        Ok(Exit::Done)
    }
}

/// Shows how the leechers come along, until all have everything.
async fn watch(output: &Output, swarm: &Swarm) -> Result<(Shares, Duration), Failure> {
    let begin = Instant::now();
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut view = swarm::View::new(output);
    let mut shares = Shares::default();
    loop {
        looks.tick().await;
        let progress = swarm.progress().await?;
        swarm.sample(&mut shares).await?;
        view.show(&progress, begin.elapsed());
        if progress.leechers.iter().all(|leecher| leecher.state == rustor_tokio::core::status::TorrentState::Seeding) {
            return Ok((shares, begin.elapsed()));
        }
        if begin.elapsed() > PATIENCE {
            return Err(Failure::new(format_args!("the swarm was not done after {}", Span(PATIENCE))));
        }
    }
}

/// Who got how much from whom.
fn table(progress: &Progress, shares: &Shares, style: Style) -> String {
    let heading = format!("   {:<12}{:>10}{:>12}{:>14}{:>15}", "", "received", "sent", "from seeder", "from leechers");
    let mut text = format!("\n{}\n", style.bold(&heading));
    let mut row = |name: &str, received: Bytes, sent: Bytes, shares: Option<(u64, u64)>| {
        let shares = shares.map(|(seeder, others)| (percent(seeder, seeder + others), 100 - percent(seeder, seeder + others)));
        let shares = shares.map(|(seeder, others)| format!("{seeder:>13}%{others:>14}%")).unwrap_or_default();
        text.push_str(format!("   {name:<12}{received:>10}{sent:>12}{shares}").trim_end());
        text.push('\n');
    };
    let seeder = &progress.seeder;
    row("seeder", Bytes(0), Bytes(seeder.uploaded), None);
    for (number, leecher) in progress.leechers.iter().enumerate() {
        row(&format!("leecher {}", number + 1), Bytes(leecher.downloaded), Bytes(leecher.uploaded), Some(shares.of(number)));
    }
    let received: u64 = progress.leechers.iter().map(|leecher| leecher.downloaded).sum();
    let saved = percent(received - seeder.uploaded.min(received), received);
    let sent = style.green(&format!("{saved}%")).into_owned();
    text.push_str(&format!(
        "\n   The seeder sent {}, the leechers received {}: {sent} of it came from each other.\n",
        Bytes(seeder.uploaded),
        Bytes(received)
    ));
    text
}

fn next_steps(style: Style) -> String {
    let command = |text: &str, what: &str| format!("  {}  {what}\n", style.bold(&format!("{text:<52}")));
    let mut text = String::from("\nNow with files of your own:\n");
    text.push_str(&command("rustor tracker", "run a tracker; it prints its announce URLs"));
    text.push_str(&command("rustor create FOLDER -t ANNOUNCE-URL", "make a torrent of a folder"));
    text.push_str(&command("rustor seed FOLDER.torrent .", "share it"));
    text.push_str(&command("rustor download FOLDER.torrent -o DIR", "get it, on another machine"));
    text.push_str(&command("rustor help", "all there is"));
    text.trim_end().to_owned()
}

/// What errors of files come to here.
fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::about(path.display(), crate::torrent_file::words(error))
}
