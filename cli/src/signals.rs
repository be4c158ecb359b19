//! The wish to stop: Ctrl-C, or what a system sends for it.

use std::{env, ffi::OsString, process};

use crate::{
    failure::{Exit, Failure},
    output::Output,
};

/// Ctrl-C, and on Unix the signals to terminate and of a terminal that is gone.
pub(crate) struct Signals {
    #[cfg(unix)]
    kinds: [tokio::signal::unix::Signal; 3],
}

impl Signals {
    /// From here on a signal no longer ends the process by itself. Must be called on a runtime.
    pub(crate) fn new() -> Result<Signals, Failure> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};

            let listen = |kind| signal(kind).map_err(|error| Failure::about("cannot listen for signals", error));
            let kinds = [listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?, listen(SignalKind::hangup())?];
            Ok(Signals { kinds })
        }
        #[cfg(not(unix))]
        Ok(Signals {})
    }

    /// Waits for the next one. Dropping the future loses none.
    pub(crate) async fn next(&mut self) {
        #[cfg(unix)]
        {
            let [interrupt, terminate, hangup] = &mut self.kinds;
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
        }
        #[cfg(not(unix))]
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Whoever asks twice does not want to wait.
pub(crate) fn exit_at_once(output: &Output) -> ! {
    let _ = output.bars().clear();
    process::exit(Exit::Interrupted as i32)
}

/// The command that this process was started with, to be typed again.
pub(crate) fn same_command() -> String {
    env::args_os().map(|argument| quoted(&argument)).collect::<Vec<_>>().join(" ")
}

fn quoted(argument: &OsString) -> String {
    let text = argument.to_string_lossy();
    let plain = |character: char| character.is_alphanumeric() || "-_./:=,+@%".contains(character);
    if !text.is_empty() && text.chars().all(plain) { text.into_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_take_apart_is_quoted() {
        for (argument, text) in [("a/b-1.torrent", "a/b-1.torrent"), ("a b", "'a b'"), ("it's", r"'it'\''s'"), ("", "''"), ("$x", "'$x'")] {
            assert_eq!(quoted(&argument.into()), text);
        }
    }
}
