use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use ureq_proto::client::state::RecvResponse;
use ureq_proto::client::{Call, SendRequestResult, header_raw};
use ureq_proto::http::header::{CONTENT_ENCODING, LOCATION};
use ureq_proto::http::{self, HeaderMap};

use super::decode::Decoder;
use super::stream::Body;
use super::tls::{Connection, Roots, Tls};
use super::url::Url;
use super::wire::Wire;
use super::{HttpError, Request, Response, ResponseHead, ResponseStream, ahead, connect, is_private, unless_expired};
use crate::adapter::{FuturesStream, Runtime, Stream, Timer};

/// How much room a request's longest line gets, URL and headers: what the URL library allows, and some.
const LONGEST_REQUEST: usize = 128 * 1024;

/// An HTTP and HTTPS client. Clones share their trusted certificates.
///
/// It has no runtime of its own: each call is handed one, so that the same code serves them all.
#[derive(Debug, Clone)]
pub struct HttpClient {
    tls: Arc<Tls>,
}

impl HttpClient {
    /// A client that trusts servers whose certificates `roots` vouch for. Certificates are loaded at first use.
    pub fn new(roots: Roots) -> Self {
        Self { tls: Arc::new(Tls::new(roots)) }
    }

    /// Gets an answer with its whole body.
    pub async fn get<R: Runtime>(&self, runtime: &R, request: Request) -> Result<Response, HttpError> {
        let mut stream = self.open(runtime, request).await?;
        let first = stream.next_chunk().await?.unwrap_or_default();
        let body = match stream.next_chunk().await? {
            None => first,
            Some(second) => join(first, second, &mut stream).await?,
        };
        Ok(Response { head: stream.into_head(), body })
    }

    /// Gets an answer up to its body, which the returned stream then yields part by part.
    ///
    /// The request's time-out and size limit go on to hold for the body.
    pub async fn open<R: Runtime>(&self, runtime: &R, request: Request) -> Result<ResponseStream<R>, HttpError> {
        let mut timer = runtime.timer();
        timer.reset(ahead(request.timeout));
        let opened = unless_expired(&mut timer, self.follow(runtime, &request)).await.ok_or(HttpError::Timeout)?;
        let (wire, head, body, decoder) = opened?;
        Ok(ResponseStream::new(wire, timer, head, body, decoder, request.maximum_body))
    }

    /// Sends the request, and again wherever the answers redirect to.
    async fn follow<R: Runtime>(
        &self,
        runtime: &R,
        request: &Request,
    ) -> Result<(Wire<R::Stream>, ResponseHead, Body, Decoder), HttpError> {
        let mut url = Url::parse(&request.url)?;
        let mut redirects = 0;
        let mut from_public = false;
        loop {
            let addresses = connect::addresses(runtime, &url, request.address_family, from_public).await?;
            let (stream, address) = connect::connect(runtime, &addresses, request.connect_timeout).await?;
            from_public |= !is_private(address.ip());
            let connection = if url.is_encrypted() {
                Connection::Encrypted(Box::new(self.tls.connect(url.host(), stream).await?))
            } else {
                Connection::Plain(FuturesStream(stream))
            };

            let mut wire = Wire::new(connection, url.host());
            let mut call = send(&mut wire, &url, request).await?;
            let answer = receive_head(&mut wire, &mut call).await?;
            let (status, headers) = (answer.status().as_u16(), answer.headers());
            if matches!(status, 301 | 302 | 303 | 307 | 308) {
                if redirects == request.maximum_redirects {
                    return Err(HttpError::TooManyRedirects { maximum: redirects });
                }
                redirects += 1;
                url = url.join(&location(headers)?)?;
                continue;
            }

            let head = ResponseHead::new(status, url.to_string(), headers);
            let decoder = decoder(status, headers, request.maximum_body)?;
            let body = Body::new(call);
            // No body at all is not an empty body packed.
            let decoder = if body.length() == Some(0) { Decoder::new("", request.maximum_body)? } else { decoder };
            // A body that is known to be too large is not even begun. One that is packed is measured as it is unpacked.
            if decoder.is_identity() && body.length().is_some_and(|length| length > request.maximum_body as u64) {
                return Err(HttpError::TooLarge { maximum: request.maximum_body });
            }
            return Ok((wire, head, body, decoder));
        }
    }
}

/// Joins a body that comes in more than one part.
async fn join<R: Runtime>(first: Bytes, second: Bytes, stream: &mut ResponseStream<R>) -> Result<Bytes, HttpError> {
    let mut body = BytesMut::from(first);
    body.extend_from_slice(&second);
    while let Some(chunk) = stream.next_chunk().await? {
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

async fn send<S: Stream>(wire: &mut Wire<S>, url: &Url, request: &Request) -> Result<Call<RecvResponse>, HttpError> {
    // Names in the case that the standard writes them in: some trackers compare them byte by byte.
    let mut builder = http::Request::get(url.uri().clone());
    builder = header_raw(builder, "Host", url.host_header().as_bytes());
    builder = header_raw(builder, "User-Agent", request.user_agent.as_bytes());
    builder = match request.range {
        // A part of a packed file is no use.
        Some(range) => {
            let builder = header_raw(builder, "Accept-Encoding", b"identity");
            header_raw(builder, "Range", range.header().as_bytes())
        }
        None => header_raw(builder, "Accept-Encoding", b"gzip"),
    };
    builder = header_raw(builder, "Connection", b"close");
    // The URL was parsed and the other headers are our own: only this one can be unfit.
    let built = builder.body(()).map_err(|_| HttpError::BadUserAgent)?;

    let refused = |_| HttpError::BadUrl("it cannot be asked for");
    let mut call = Call::new(built).map_err(refused)?.proceed();
    let mut text = vec![0; LONGEST_REQUEST];
    let mut length = 0;
    while !call.can_proceed() {
        length += call.write(text.get_mut(length..).unwrap_or_default()).map_err(refused)?;
    }
    wire.write_all(text.get(..length).unwrap_or_default()).await?;
    match call.proceed().map_err(refused)? {
        Some(SendRequestResult::RecvResponse(call)) => Ok(call),
        // A GET has no body to send.
        _ => Err(HttpError::BadUrl("it cannot be asked for")),
    }
}

async fn receive_head<S: Stream>(wire: &mut Wire<S>, call: &mut Call<RecvResponse>) -> Result<http::Response<()>, HttpError> {
    /// How many interim answers (status 1xx) to skip.
    const MAXIMUM_INTERIM: usize = 8;

    let mut interim = 0;
    loop {
        if wire.is_full() {
            return Err(HttpError::Malformed("its headers are too long".to_owned()));
        }
        if wire.fill().await? == 0 {
            return Err(HttpError::Truncated);
        }
        loop {
            let (used, answer) = call.try_response(wire.unread(), false).map_err(HttpError::from_protocol)?;
            wire.consume(used);
            if let Some(answer) = answer {
                return Ok(answer);
            }
            if used == 0 {
                break;
            }
            interim += 1;
            if interim > MAXIMUM_INTERIM {
                return Err(HttpError::Malformed("it never gets past interim answers".to_owned()));
            }
        }
    }
}

fn location(headers: &HeaderMap) -> Result<String, HttpError> {
    let location = headers.get(LOCATION).ok_or_else(|| HttpError::Malformed("it redirects without saying where".to_owned()))?;
    Ok(String::from_utf8_lossy(location.as_bytes()).into_owned())
}

fn decoder(status: u16, headers: &HeaderMap, maximum: usize) -> Result<Decoder, HttpError> {
    let encoding = headers.get(CONTENT_ENCODING).map(|value| String::from_utf8_lossy(value.as_bytes())).unwrap_or_default();
    let decoder = Decoder::new(&encoding, maximum)?;
    if status == 206 && !decoder.is_identity() {
        // A part of a packed file cannot be unpacked.
        return Err(HttpError::UnsupportedEncoding(encoding.chars().take(32).collect()));
    }
    Ok(decoder)
}
