//! What people and scripts get to see: results on standard output, all else on standard error.

mod measure;
mod progress;
mod transfers;
mod tree;

use std::{
    borrow::Cow,
    env,
    fmt::Display,
    io::{self, ErrorKind, IsTerminal, Write},
};

use clap::ValueEnum;
use indicatif::MultiProgress;

pub(crate) use self::{
    measure::{Bytes, Count, Date, Exact, Rate, Span, parse_rate, parse_ratio, parse_size, parse_span},
    progress::{Progress, bar_style, percent},
    transfers::{Transfers, shared},
    tree::{Leaf, tree},
};
use crate::failure::Failure;

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Everywhere
    Always,
    /// Nowhere
    Never,
}

/// Where a command says what it has to say.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    quiet: bool,
    verbose: bool,
    /// Standard error is a terminal that can do more than print lines.
    live: bool,
    style: Style,
    error_style: Style,
    bars: MultiProgress,
}

impl Output {
    pub(crate) fn new(quiet: bool, verbose: bool, color: Color) -> Output {
        let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        let live = io::stderr().is_terminal() && !dumb;
        let colored = |terminal: bool| match color {
            Color::Auto => terminal && !dumb && !is_set("NO_COLOR"),
            Color::Always => true,
            Color::Never => false,
        };
        let (style, error_style) = (Style { on: colored(io::stdout().is_terminal()) }, Style { on: colored(live) });
        Output { quiet, verbose, live, style, error_style, bars: MultiProgress::new() }
    }

    /// A line, or several, of what was asked for.
    pub(crate) fn result(&self, text: impl Display) -> Result<(), Failure> {
        self.write(format_args!("{text}\n"))
    }

    /// Something of what was asked for that is no text.
    pub(crate) fn result_bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        written(io::stdout().lock().write_all(bytes))
    }

    fn write(&self, text: std::fmt::Arguments<'_>) -> Result<(), Failure> {
        self.suspended(|| {
            let mut stdout = io::stdout().lock();
            written(stdout.write_fmt(text).and_then(|()| stdout.flush()))
        })
    }

    /// A line about what is going on. Not with `--quiet`.
    pub(crate) fn note(&self, text: impl Display) {
        if !self.quiet {
            self.say(text);
        }
    }

    /// A line for those who want to know everything.
    pub(crate) fn detail(&self, text: impl Display) {
        if self.verbose {
            self.say(text);
        }
    }

    /// A line about what is not as it should be, but does not end the command. Not with `--quiet`.
    pub(crate) fn warning(&self, text: impl Display) {
        self.note(format_args!("{} {text}", self.error_style.yellow("warning:")));
    }

    /// The line about why the command ends.
    pub(crate) fn error(&self, failure: &Failure) {
        self.say(format_args!("{} {failure}", self.error_style.red("error:")));
    }

    /// Where nobody reads, nobody misses it.
    fn say(&self, text: impl Display) {
        self.suspended(|| {
            let _ = writeln!(io::stderr().lock(), "{text}");
        });
    }

    fn suspended<T>(&self, print: impl FnOnce() -> T) -> T {
        if self.live { self.bars.suspend(print) } else { print() }
    }

    /// Whether progress is shown by bars that move; otherwise by lines now and then, or with `--quiet` not at all.
    pub(crate) fn is_live(&self) -> bool {
        self.live && !self.quiet
    }

    /// Whether those who want to know everything are there.
    pub(crate) fn is_verbose(&self) -> bool {
        self.verbose
    }

    pub(crate) fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// The style of what goes to standard error.
    pub(crate) fn error_style(&self) -> Style {
        self.error_style
    }

    /// The style of what goes to standard output.
    pub(crate) fn style(&self) -> Style {
        self.style
    }
}

/// Who reads the results may stop reading at any time: `rustor show … | head` is no failure.
fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::about("standard output", error)),
        _ => Ok(()),
    }
}

/// Colours, or none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    on: bool,
}

impl Style {
    pub(crate) fn bold(self, text: &str) -> Cow<'_, str> {
        self.with("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> Cow<'_, str> {
        self.with("2", text)
    }

    pub(crate) fn green(self, text: &str) -> Cow<'_, str> {
        self.with("32", text)
    }

    pub(crate) fn red(self, text: &str) -> Cow<'_, str> {
        self.with("1;31", text)
    }

    pub(crate) fn yellow(self, text: &str) -> Cow<'_, str> {
        self.with("1;33", text)
    }

    fn with<'a>(self, code: &str, text: &'a str) -> Cow<'a, str> {
        if self.on { format!("\x1b[{code}m{text}\x1b[0m").into() } else { text.into() }
    }
}

/// `text` of strangers, with whatever could move a terminal's cursor or turn its text around replaced.
pub(crate) fn safe(text: &str) -> Cow<'_, str> {
    let harmful = |character: char| {
        character.is_control() || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if text.contains(harmful) { text.replace(harmful, "\u{fffd}").into() } else { text.into() }
}

/// `s` where there is not exactly one.
pub(crate) fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_do_not_reach_the_terminal() {
        assert_eq!(safe("naïve 名前"), "naïve 名前");
        assert_eq!(safe("\x1b[2Jgone\r\u{202e}txt.exe\u{9b}"), "\u{fffd}[2Jgone\u{fffd}\u{fffd}txt.exe\u{fffd}");
    }

    #[test]
    fn there_are_no_colours_where_none_are_wanted() {
        assert_eq!(Style { on: false }.red("error:"), "error:");
        assert_eq!(Style { on: true }.red("error:"), "\x1b[1;31merror:\x1b[0m");
    }
}
