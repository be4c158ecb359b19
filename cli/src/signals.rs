//! The wish to stop: Ctrl-C, or what a system sends for it.

use std::{env, ffi::OsString, process};

use crate::{
    failure::{Exit, Failure},
    output::Output,
};

/// Ctrl-C, and on Unix the signals to terminate and of a terminal that is gone.
pub(crate) struct Signals {
    #[cfg(unix)]
    kinds: Vec<tokio::signal::unix::Signal>,
}

impl Signals {
    /// From here on a signal no longer ends the process by itself. Must be called on a runtime.
    pub(crate) fn new() -> Result<Signals, Failure> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};

            let mut wanted = vec![SignalKind::interrupt(), SignalKind::terminate()];
            if is_heeded(SignalKind::hangup().as_raw_value()) {
                wanted.push(SignalKind::hangup());
            }
            let kinds = wanted.into_iter().map(signal).collect::<Result<_, _>>();
            Ok(Signals { kinds: kinds.map_err(|error| Failure::about("cannot listen for signals", error))? })
        }
        #[cfg(not(unix))]
        Ok(Signals {})
    }

    /// Waits for the next one. Dropping the future loses none.
    pub(crate) async fn next(&mut self) {
        #[cfg(unix)]
        std::future::poll_fn(|context| {
            let came = self.kinds.iter_mut().any(|kind| kind.poll_recv(context).is_ready());
            if came { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
        #[cfg(not(unix))]
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Whether the process was not started with this signal ignored, as `nohup` does; `false` where the system does not tell.
#[cfg(unix)]
fn is_heeded(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    ignored.is_some_and(|ignored| ignored >> (signal - 1) & 1 == 0)
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
