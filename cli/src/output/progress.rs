use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use super::{Bytes, Output};

/// Between two lines where nothing can move.
const INTERVAL: Duration = Duration::from_secs(3);

/// How far a number of bytes is: a bar on a terminal, lines elsewhere, the first of them after some seconds.
///
/// Gone once dropped. May be told from several threads.
pub(crate) struct Progress<'a> {
    output: &'a Output,
    what: String,
    total: u64,
    done: AtomicU64,
    shown: Shown,
}

enum Shown {
    Bar(ProgressBar),
    Lines { last: Mutex<Instant> },
}

impl<'a> Progress<'a> {
    /// `what` is done with `total` bytes.
    pub(crate) fn new(output: &'a Output, what: &str, total: u64) -> Progress<'a> {
        let shown = if output.is_live() {
            let bar = ProgressBar::new(total).with_message(what.to_owned());
            bar.set_style(bar_style(output, "{msg} {bar} {bytes_text} {rate_text:>12} {eta_text:>10}"));
            Shown::Bar(output.bars().add(bar))
        } else {
            Shown::Lines { last: Mutex::new(Instant::now()) }
        };
        Progress { output, what: what.into(), total, done: AtomicU64::new(0), shown }
    }

    /// So many bytes are done in all. Never goes back: threads may be late with their news.
    pub(crate) fn set(&self, done: u64) {
        let done = self.done.fetch_max(done, Ordering::Relaxed).max(done);
        match &self.shown {
            Shown::Bar(bar) => bar.set_position(done),
            Shown::Lines { last } => {
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                if last.elapsed() >= INTERVAL {
                    *last = Instant::now();
                    let percent = percent(done, self.total);
                    self.output.note(format_args!("{}: {percent}% of {}", self.what, Bytes(self.total)));
                }
            }
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

/// A bar's style from indicatif's template, in which `{bar}` takes what room there is, and `{bytes_text}`, `{rate_text}` and
/// `{eta_text}` are written as all else here is.
pub(crate) fn bar_style(output: &Output, template: &str) -> ProgressStyle {
    let bar = if output.error_style().on { "{wide_bar:.green/8}" } else { "{wide_bar}" };
    let style = ProgressStyle::with_template(&template.replace("{bar}", bar));
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    style
        .with_key("bytes_text", |state: &indicatif::ProgressState, text: &mut dyn std::fmt::Write| {
            let _ = write!(text, "{} of {}", Bytes(state.pos()), Bytes(state.len().unwrap_or(0)));
        })
        .with_key("rate_text", |state: &indicatif::ProgressState, text: &mut dyn std::fmt::Write| {
            let _ = write!(text, "{}", super::Rate(state.per_sec() as u64));
        })
        .with_key("eta_text", |state: &indicatif::ProgressState, text: &mut dyn std::fmt::Write| {
            let _ = write!(text, "{}", super::Span(state.eta()));
        })
        .progress_chars("━━─")
}

/// Whole per cent, 100 only when all is done.
pub(crate) fn percent(done: u64, total: u64) -> u64 {
    if total == 0 { 100 } else { (u128::from(done.min(total)) * 100 / u128::from(total)) as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_per_cent_is_all() {
        assert_eq!([percent(0, 3), percent(2, 3), percent(999, 1000), percent(3, 3), percent(0, 0)], [0, 66, 99, 100, 100]);
        assert_eq!(percent(u64::MAX, u64::MAX), 100);
    }
}
