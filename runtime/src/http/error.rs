use core::error::Error;
use core::fmt;
use core::time::Duration;
use std::io;
use std::net::{IpAddr, SocketAddr};

use futures_rustls::rustls::{self, CertificateError};

use super::AddressFamily;

/// Why a request got no answer that can be used.
///
/// The texts name what failed in one line and are fit to be shown. Whatever a server chose is shortened and escaped in them.
#[derive(Debug)]
#[non_exhaustive]
pub enum HttpError {
    /// The URL, given or redirected to, cannot be used; says why.
    BadUrl(&'static str),
    /// The URL's scheme is neither `http` nor `https`.
    UnsupportedScheme(String),
    /// The user agent handed in holds what a header may not hold, such as a line break.
    BadUserAgent,
    /// The host's name could not be resolved.
    Resolve {
        /// The name.
        host: String,
        /// What the look-up said.
        error: io::Error,
    },
    /// The host has no address of the family asked for (BEP 7: a tracker may serve one family only).
    NoAddress {
        /// The host's name.
        host: String,
        /// The family asked for, or `None` where the look-up gave no address at all.
        family: Option<AddressFamily>,
    },
    /// No address of the host could be connected to; this is what the last one said.
    Connect {
        /// The address tried last.
        address: SocketAddr,
        /// Why that failed.
        error: io::Error,
    },
    /// No encrypted connection came about, or it broke.
    Tls(TlsError),
    /// The whole request took longer than its time-out.
    Timeout,
    /// The answer's body, unpacked, is larger than the request allows.
    TooLarge {
        /// What the request allows, in bytes.
        maximum: usize,
    },
    /// The connection ended before the answer did.
    Truncated,
    /// The answer breaks HTTP; says where.
    Malformed(String),
    /// The body is packed in a way that was not asked for.
    UnsupportedEncoding(String),
    /// One redirect too many.
    TooManyRedirects {
        /// How many the request allows.
        maximum: u8,
    },
    /// A server on the public internet redirected to an address inside a private network, which is refused (BEP 19 in practice).
    RedirectToPrivate(IpAddr),
    /// The connection broke.
    Connection(io::Error),
}

/// What is wrong with the encryption, or with the certificate that the server showed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsError {
    /// The certificate is signed by nobody that this machine trusts.
    UnknownIssuer,
    /// The certificate's time is over.
    Expired,
    /// The certificate's time has not begun.
    NotValidYet,
    /// The certificate is for other names than this.
    WrongName(String),
    /// The certificate was revoked.
    Revoked,
    /// What answers there does not speak TLS.
    NotTls,
    /// This machine has no trusted certificates to check with; says why.
    NoRoots(String),
    /// Anything else, in the words of the TLS library.
    Other(String),
}

impl HttpError {
    /// The error for what reading from or writing to a connection to `host` failed with.
    pub(super) fn from_connection(error: io::Error, host: &str) -> Self {
        if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Self::Tls(TlsError::new(error, host));
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Self::Truncated,
            _ => Self::Connection(error),
        }
    }

    /// The error for a server's text that the protocol library refused.
    pub(super) fn from_protocol(error: ureq_proto::Error) -> Self {
        use ureq_proto::Error as E;
        Self::Malformed(match error {
            E::HttpParseFail(_) | E::UnsupportedVersion => "it is not HTTP/1".to_owned(),
            E::HttpParseTooManyHeaders => "it has too many headers".to_owned(),
            other => other.to_string(),
        })
    }

    /// The error for a connection attempt that had `patience` and ran out of it.
    pub(super) fn connect_timeout(address: SocketAddr, patience: Duration) -> Self {
        let text = format!("no answer within {patience:?}");
        Self::Connect { address, error: io::Error::new(io::ErrorKind::TimedOut, text) }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadUrl(reason) => write!(formatter, "bad URL: {reason}"),
            Self::UnsupportedScheme(scheme) => write!(formatter, "the scheme {scheme:?} is not supported, only http and https are"),
            Self::BadUserAgent => formatter.write_str("the user agent holds characters that cannot be sent"),
            Self::Resolve { host, error } => write!(formatter, "cannot resolve {host}: {error}"),
            Self::NoAddress { host, family: Some(family) } => write!(formatter, "{host} has no {family} address"),
            Self::NoAddress { host, family: None } => write!(formatter, "{host} has no address"),
            Self::Connect { address, error } if error.kind() == io::ErrorKind::ConnectionRefused => {
                write!(formatter, "{address} refused the connection")
            }
            Self::Connect { address, error } => write!(formatter, "cannot connect to {address}: {error}"),
            Self::Tls(error) => error.fmt(formatter),
            Self::Timeout => formatter.write_str("the server took too long to answer"),
            Self::TooLarge { maximum } => write!(formatter, "the server's answer is larger than {maximum} bytes"),
            Self::Truncated => formatter.write_str("the server closed the connection before the end of its answer"),
            Self::Malformed(reason) => write!(formatter, "the server's answer is malformed: {reason}"),
            Self::UnsupportedEncoding(encoding) => write!(formatter, "the server's answer has the encoding {encoding:?}, not asked for"),
            Self::TooManyRedirects { maximum } => write!(formatter, "the server redirected more than {maximum} times"),
            Self::RedirectToPrivate(address) => write!(formatter, "the server redirected into a private network, to {address}"),
            Self::Connection(error) => write!(formatter, "the connection to the server broke: {error}"),
        }
    }
}

impl Error for HttpError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Resolve { error, .. } | Self::Connect { error, .. } | Self::Connection(error) => Some(error),
            Self::Tls(error) => Some(error),
            _ => None,
        }
    }
}

impl TlsError {
    /// Sorts what the TLS library says about a connection to `host`.
    pub(super) fn new(error: &rustls::Error, host: &str) -> Self {
        use CertificateError as C;
        match error {
            rustls::Error::InvalidCertificate(reason) => match reason {
                C::UnknownIssuer => Self::UnknownIssuer,
                C::Expired | C::ExpiredContext { .. } => Self::Expired,
                C::NotValidYet | C::NotValidYetContext { .. } => Self::NotValidYet,
                C::NotValidForName | C::NotValidForNameContext { .. } => Self::WrongName(host.to_owned()),
                C::Revoked => Self::Revoked,
                other => Self::Other(format!("the server's certificate is not valid: {other}")),
            },
            rustls::Error::InvalidMessage(_) => Self::NotTls,
            other => Self::Other(format!("cannot agree with the server on encryption: {other}")),
        }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownIssuer => formatter.write_str("the server's certificate is signed by an unknown issuer"),
            Self::Expired => formatter.write_str("the server's certificate has expired"),
            Self::NotValidYet => formatter.write_str("the server's certificate is not valid yet"),
            Self::WrongName(host) => write!(formatter, "the server's certificate is not for the name {host}"),
            Self::Revoked => formatter.write_str("the server's certificate was revoked"),
            Self::NotTls => formatter.write_str("the server does not speak TLS on this port"),
            Self::NoRoots(reason) => write!(formatter, "this machine has no trusted certificates: {reason}"),
            Self::Other(text) => formatter.write_str(text),
        }
    }
}

impl Error for TlsError {}
