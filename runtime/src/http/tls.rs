use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use futures_io::{AsyncRead, AsyncWrite};
use futures_rustls::TlsConnector;
use futures_rustls::client::TlsStream;
use futures_rustls::pki_types::{CertificateDer, ServerName};
use futures_rustls::rustls::crypto::ring;
use futures_rustls::rustls::{ClientConfig, RootCertStore};

use super::{HttpError, TlsError};
use crate::adapter::{FuturesStream, Stream};

/// Whose signatures under a server's certificate are trusted.
#[derive(Debug, Clone)]
pub struct Roots {
    system: bool,
    extra: Vec<CertificateDer<'static>>,
}

impl Roots {
    /// What the operating system trusts, or what the environment's `SSL_CERT_FILE` and `SSL_CERT_DIR` name instead.
    pub fn system() -> Self {
        Self { system: true, extra: Vec::new() }
    }

    /// Nobody.
    pub fn none() -> Self {
        Self { system: false, extra: Vec::new() }
    }

    /// These and one more authority, whose certificate is given in DER form.
    #[must_use]
    pub fn with_der(mut self, certificate: Vec<u8>) -> Self {
        self.extra.push(certificate.into());
        self
    }
}

impl Default for Roots {
    fn default() -> Self {
        Self::system()
    }
}

/// Makes encrypted connections.
///
/// Reading the system's certificates takes milliseconds of work and file access, so the first connection has a thread of
/// its own do it, and who never needs encryption never pays.
pub(super) struct Tls {
    loading: Arc<Mutex<Loading>>,
}

enum Loading {
    NotYet(Roots),
    UnderWay(Vec<Waker>),
    Done(Result<Arc<ClientConfig>, TlsError>),
}

impl Tls {
    pub(super) fn new(roots: Roots) -> Self {
        Self { loading: Arc::new(Mutex::new(Loading::NotYet(roots))) }
    }

    /// Encrypts `stream`, whose other end has to prove that it is `host`.
    pub(super) async fn connect<S: Stream>(&self, host: &str, stream: S) -> Result<TlsStream<FuturesStream<S>>, HttpError> {
        let configuration = poll_fn(|context| self.poll_configuration(context)).await.map_err(HttpError::Tls)?;
        let name = ServerName::try_from(host.to_owned()).map_err(|_| HttpError::BadUrl("its host is not a DNS name"))?;
        let connecting = TlsConnector::from(configuration).connect(name, FuturesStream(stream));
        connecting.await.map_err(|error| match HttpError::from_connection(error, host) {
            HttpError::Truncated => {
                HttpError::Tls(TlsError::Other("the server closed the connection before agreeing on encryption".to_owned()))
            }
            error => error,
        })
    }

    fn poll_configuration(&self, context: &mut Context<'_>) -> Poll<Result<Arc<ClientConfig>, TlsError>> {
        let mut loading = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *loading {
            Loading::Done(result) => Poll::Ready(result.clone()),
            Loading::UnderWay(wakers) => {
                if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                    wakers.push(context.waker().clone());
                }
                Poll::Pending
            }
            Loading::NotYet(roots) => {
                let roots = roots.clone();
                let shared = self.loading.clone();
                let load = move || {
                    let result = configuration(roots);
                    let before = {
                        let mut loading = shared.lock().unwrap_or_else(PoisonError::into_inner);
                        core::mem::replace(&mut *loading, Loading::Done(result))
                    };
                    if let Loading::UnderWay(wakers) = before {
                        wakers.into_iter().for_each(Waker::wake);
                    }
                };
                match thread::Builder::new().name("certificates".to_owned()).spawn(load) {
                    Ok(_) => {
                        *loading = Loading::UnderWay(vec![context.waker().clone()]);
                        Poll::Pending
                    }
                    Err(error) => Poll::Ready(Err(TlsError::NoRoots(format!("no thread to load them: {error}")))),
                }
            }
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Tls")
    }
}

fn configuration(roots: Roots) -> Result<Arc<ClientConfig>, TlsError> {
    let mut store = RootCertStore::empty();
    let mut trouble = None;
    if roots.system {
        let found = rustls_native_certs::load_native_certs();
        trouble = found.errors.first().map(ToString::to_string);
        // One certificate that cannot be parsed must not cost all the others.
        store.add_parsable_certificates(found.certs);
    }
    for certificate in roots.extra {
        store.add(certificate).map_err(|error| TlsError::NoRoots(format!("one that was handed in is not valid: {error}")))?;
    }
    if store.is_empty() {
        return Err(TlsError::NoRoots(trouble.unwrap_or_else(|| "none found".to_owned())));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Other(error.to_string()))?;
    let mut configuration = builder.with_root_certificates(store).with_no_client_auth();
    configuration.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(configuration))
}

/// A connection to a server, encrypted or not.
#[derive(Debug)]
pub(super) enum Connection<S> {
    Plain(FuturesStream<S>),
    Encrypted(Box<TlsStream<FuturesStream<S>>>),
}

impl<S: Stream> Connection<S> {
    /// Reads up to `buffer.len()` bytes; 0 is the end.
    pub(super) fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Encrypted(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }

    /// Writes all of `bytes` and pushes it out.
    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => write_all(stream, bytes).await,
            Self::Encrypted(stream) => write_all(stream, bytes).await,
        }
    }
}

async fn write_all(stream: &mut (impl AsyncWrite + Unpin), mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = poll_fn(|context| Pin::new(&mut *stream).poll_write(context, bytes)).await?;
        match bytes.get(written..) {
            Some(rest) if written > 0 => bytes = rest,
            _ => return Err(io::ErrorKind::WriteZero.into()),
        }
    }
    poll_fn(|context| Pin::new(&mut *stream).poll_flush(context)).await
}
