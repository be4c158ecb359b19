use std::{
    error::Error,
    fmt,
    io::{self, ErrorKind},
    net::SocketAddr,
    path::PathBuf,
};

use rustor_core::{command::CommandError, error::DiskError};

/// Why a client could not start.
#[derive(Debug)]
pub enum StartError {
    /// An address could not be listened on.
    Listen {
        /// Which one.
        address: SocketAddr,
        /// The operating system's reason.
        error: io::Error,
    },
    /// The recording could not be begun.
    Record {
        /// The file.
        file: PathBuf,
        /// The operating system's reason.
        error: io::Error,
    },
    /// The operating system gave no threads, randomness or the like.
    System(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Listen { address, error } if error.kind() == ErrorKind::AddrInUse => {
                write!(f, "port {} is in use by another program", address.port())
            }
            StartError::Listen { address, error } if error.kind() == ErrorKind::PermissionDenied => {
                write!(f, "listening on port {} is not permitted", address.port())
            }
            StartError::Listen { address, error } => write!(f, "cannot listen on {address}: {error}"),
            StartError::Record { file, error } => write!(f, "cannot write the recording {}: {error}", file.display()),
            StartError::System(error) => write!(f, "cannot start: {error}"),
        }
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            StartError::Listen { error, .. } | StartError::Record { error, .. } | StartError::System(error) => Some(error),
        }
    }
}

/// Why a [`Client`](crate::Client) did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientError {
    /// The engine refused the command.
    Command(CommandError),
    /// The torrent stopped because its disk failed.
    Disk(Box<DiskError>),
    /// What the magnet link stands for cannot be fetched by anyone; why, in words for people.
    Metadata(String),
    /// The folder's name is no Unicode text, and cannot be kept in resume data.
    Folder(PathBuf),
    /// The engine has stopped.
    Stopped,
}

impl From<CommandError> for ClientError {
    fn from(error: CommandError) -> ClientError {
        ClientError::Command(error)
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::Command(error) => error.fmt(f),
            ClientError::Disk(error) => error.fmt(f),
            ClientError::Metadata(reason) => write!(f, "the torrent's metadata is of no use: {reason}"),
            ClientError::Folder(folder) => write!(f, "the folder's name is not Unicode: {}", folder.display()),
            ClientError::Stopped => f.write_str("the engine has stopped"),
        }
    }
}

impl Error for ClientError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            ClientError::Command(error) => Some(error),
            ClientError::Disk(error) => Some(error),
            ClientError::Metadata(_) | ClientError::Folder(_) | ClientError::Stopped => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_named() {
        let address = "[::]:6881".parse().unwrap();
        let error = StartError::Listen { address, error: ErrorKind::AddrInUse.into() };
        assert_eq!(error.to_string(), "port 6881 is in use by another program");
    }
}
