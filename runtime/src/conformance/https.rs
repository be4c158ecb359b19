//! The HTTP client against encrypted servers, whose certificates are made on the spot.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use futures_rustls::pki_types::{CertificateDer, PrivateKeyDer};
use futures_rustls::rustls::crypto::ring;
use futures_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

use super::support::{Rerouted, Server, ok, read_head, redirect, wait_for_close};
use crate::adapter::Runtime;
use crate::http::{HttpClient, HttpError, Request, Response, Roots, TlsError};

const HOST: &str = "tracker.example";

/// One who signs certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Vec<u8>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new([]).unwrap();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = parameters.self_signed(&key).unwrap().der().to_vec();
        Self { issuer: Issuer::new(parameters, key), certificate }
    }

    /// A server's configuration with a certificate for `name`, changed by `change` before it is signed.
    fn server(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new([name.to_owned()]).unwrap();
        change(&mut parameters);
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        Arc::new(builder.with_single_cert(chain, key).unwrap())
    }

    fn client(&self) -> HttpClient {
        HttpClient::new(Roots::none().with_der(self.certificate.clone()))
    }
}

type Encrypted = StreamOwned<ServerConnection, TcpStream>;

/// A server that encrypts, for one connection; `play` answers once the request's head was read.
fn serve(configuration: Arc<ServerConfig>, mut play: impl FnMut(Encrypted) + Send + 'static) -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(configuration).unwrap(), stream);
        // Where the client refuses the certificate there is no request.
        if read_head(&mut stream).ends_with("\r\n\r\n") {
            play(stream);
        }
    });
    address
}

fn answer(mut stream: Encrypted) {
    stream.write_all(ok("hello").as_bytes()).unwrap();
    stream.conn.send_close_notify();
    stream.flush().unwrap();
    wait_for_close(stream);
}

async fn get<R: Runtime>(runtime: R, client: &HttpClient, configuration: Arc<ServerConfig>) -> Result<Response, HttpError> {
    let address = serve(configuration, answer);
    let runtime = Rerouted::new(runtime).name(HOST, &["203.0.113.1"]).route("203.0.113.1", Some(address));
    client.get(&runtime, Request::get(format!("https://{HOST}/announce"))).await
}

pub async fn a_trusted_server_is_talked_to<R: Runtime>(runtime: R) {
    let authority = Authority::new("trusted");
    let response = get(runtime.clone(), &authority.client(), authority.server(HOST, |_| ())).await.unwrap();
    assert_eq!((response.body.as_ref(), response.head.url.as_str()), (&b"hello"[..], "https://tracker.example/announce"));

    // A certificate can be for an address too.
    let address = serve(authority.server("127.0.0.1", |_| ()), answer);
    let response = authority.client().get(&runtime, Request::get(format!("https://{address}/"))).await.unwrap();
    assert_eq!(response.body, "hello");
}

pub async fn a_redirect_can_lead_to_encryption<R: Runtime>(runtime: R) {
    let authority = Authority::new("trusted");
    let encrypted = serve(authority.server("127.0.0.1", |_| ()), answer);
    let plain = Server::answering([redirect(301, &format!("https://{encrypted}/"))]);
    let response = authority.client().get(&runtime, Request::get(plain.url("/"))).await.unwrap();
    assert_eq!((response.body.as_ref(), response.head.url), (&b"hello"[..], format!("https://{encrypted}/")));
}

pub async fn an_unknown_issuer_is_refused<R: Runtime>(runtime: R) {
    let (trusted, other) = (Authority::new("trusted"), Authority::new("other"));
    let error = get(runtime, &trusted.client(), other.server(HOST, |_| ())).await.unwrap_err();
    assert_eq!(error.to_string(), "the server's certificate is signed by an unknown issuer");
}

pub async fn the_system_does_not_trust_strangers<R: Runtime>(runtime: R) {
    let client = HttpClient::new(Roots::system());
    let error = get(runtime, &client, Authority::new("stranger").server(HOST, |_| ())).await.unwrap_err();
    // A machine may have nobody to trust at all.
    assert!(matches!(error, HttpError::Tls(TlsError::UnknownIssuer | TlsError::NoRoots(_))), "{error}");
}

pub async fn an_expired_certificate_is_refused<R: Runtime>(runtime: R) {
    let authority = Authority::new("trusted");
    let expired = authority.server(HOST, |parameters| parameters.not_after = date_time_ymd(2001, 1, 1));
    let error = get(runtime.clone(), &authority.client(), expired).await.unwrap_err();
    assert_eq!(error.to_string(), "the server's certificate has expired");
    let early = authority.server(HOST, |parameters| parameters.not_before = date_time_ymd(4000, 1, 1));
    let error = get(runtime, &authority.client(), early).await.unwrap_err();
    assert_eq!(error.to_string(), "the server's certificate is not valid yet");
}

pub async fn a_certificate_for_another_name_is_refused<R: Runtime>(runtime: R) {
    let authority = Authority::new("trusted");
    let error = get(runtime, &authority.client(), authority.server("other.example", |_| ())).await.unwrap_err();
    assert_eq!(error.to_string(), "the server's certificate is not for the name tracker.example");
}

pub async fn a_server_without_encryption_is_told<R: Runtime>(runtime: R) {
    let client = Authority::new("trusted").client();
    // It takes the greeting for a request and says what it thinks of it.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").unwrap();
        wait_for_close(stream);
    });
    let error = client.get(&runtime, Request::get(format!("https://{address}/"))).await.unwrap_err();
    assert_eq!(error.to_string(), "the server does not speak TLS on this port");
}

pub async fn a_server_that_hangs_up_on_the_greeting_is_told<R: Runtime>(runtime: R) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.accept().unwrap().0.read_exact(&mut [0]).unwrap());
    let client = Authority::new("trusted").client();
    let error = client.get(&runtime, Request::get(format!("https://{address}/"))).await.unwrap_err();
    assert_eq!(error.to_string(), "the server closed the connection before agreeing on encryption");
}

pub async fn no_trust_at_all_is_told<R: Runtime>(runtime: R) {
    let authority = Authority::new("trusted");
    let error = get(runtime, &HttpClient::new(Roots::none()), authority.server(HOST, |_| ())).await.unwrap_err();
    assert_eq!(error.to_string(), "this machine has no trusted certificates: none found");
}

pub async fn a_cut_encrypted_body_is_an_error<R: Runtime>(runtime: R) {
    // Without its farewell, an end of the connection could be anyone's doing.
    let authority = Authority::new("trusted");
    let address = serve(authority.server("127.0.0.1", |_| ()), |mut stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nhello").unwrap();
        stream.flush().unwrap();
    });
    let error = authority.client().get(&runtime, Request::get(format!("https://{address}/"))).await.unwrap_err();
    assert!(matches!(error, HttpError::Truncated), "{error}");
}
