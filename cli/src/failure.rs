use std::{fmt, process::ExitCode};

/// How a command ended. The numbers are part of the command's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked for is done.
    Done = 0,
    /// It is not done, also where a first Ctrl-C stopped it; standard error says why.
    Failed = 1,
    /// Data is missing or not what the torrent says.
    Verification = 3,
    /// A second Ctrl-C ended it at once.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why a command could not do its work: one line for people, which says what to do about it where that is known.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(message: impl fmt::Display) -> Failure {
        Failure(message.to_string())
    }

    /// A failure over something that has a name, such as a file.
    pub(crate) fn about(what: impl fmt::Display, message: impl fmt::Display) -> Failure {
        Failure(format!("{what}: {message}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
