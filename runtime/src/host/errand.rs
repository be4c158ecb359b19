//! What is done beside the loop, by tasks of their own: HTTP requests and name look-ups.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rustor_core::{
    action::AddressFamily,
    error::{HttpError, ResolveError},
    id::{HttpId, ResolveId},
    input::{HttpReply, Input},
};

use super::wake::Mailbox;
use crate::{
    adapter::Runtime,
    http::{self, HttpClient, Request, Roots},
};

/// Sends tasks out, each of which comes back once.
pub(crate) struct Errands {
    http: HttpClient,
    user_agent: Option<String>,
}

impl Errands {
    pub(crate) fn new(roots: Roots, user_agent: Option<String>) -> Errands {
        Errands { http: HttpClient::new(roots), user_agent }
    }

    /// Gets `url`.
    pub(crate) fn get<R: Runtime>(&self, runtime: &R, mailbox: &Arc<Mailbox>, id: HttpId, request: Request) {
        let failed = HttpError::Failed("the request was given up".into());
        let mut answer = Answer::new(mailbox, Input::Http { request: id, result: Err(failed) });
        let request = self.introduce(request);
        let (http, on) = (self.http.clone(), runtime.clone());
        runtime.spawn(async move {
            answer.is(Input::Http { request: id, result: get(&on, &http, request).await });
        });
    }

    /// A client for tasks of others.
    pub(crate) fn http(&self) -> HttpClient {
        self.http.clone()
    }

    /// Puts our name into a request.
    pub(crate) fn introduce(&self, mut request: Request) -> Request {
        if let Some(user_agent) = &self.user_agent {
            request.user_agent.clone_from(user_agent);
        }
        request
    }
}

/// What the engine is told of what went wrong.
pub(super) fn http_error(error: &http::HttpError) -> HttpError {
    match error {
        http::HttpError::NoAddress { .. } => HttpError::NoAddress,
        error => HttpError::Failed(error.to_string()),
    }
}

/// What the server says, as the engine wants to hear it.
pub(crate) async fn get<R: Runtime>(runtime: &R, http: &HttpClient, request: Request) -> Result<HttpReply, HttpError> {
    match http.get(runtime, request).await {
        Ok(response) => Ok(HttpReply { status: response.head.status, body: response.body }),
        Err(error) => Err(http_error(&error)),
    }
}

/// The request that the engine means.
pub(crate) fn request(url: String, family: Option<AddressFamily>, body_limit: u32, timeout_millis: u32) -> Request {
    Request {
        address_family: family.map(|family| match family {
            AddressFamily::V4 => http::AddressFamily::V4,
            AddressFamily::V6 => http::AddressFamily::V6,
        }),
        maximum_body: body_limit as usize,
        timeout: Duration::from_millis(timeout_millis.into()),
        ..Request::get(url)
    }
}

/// Looks `host` up.
pub(crate) fn resolve<R: Runtime>(runtime: &R, mailbox: &Arc<Mailbox>, id: ResolveId, host: String, port: u16) {
    let failed = ResolveError("the look-up was given up".into());
    let mut answer = Answer::new(mailbox, Input::Resolved { resolve: id, result: Err(failed) });
    let on = runtime.clone();
    runtime.spawn(async move {
        answer.is(Input::Resolved { resolve: id, result: look_up(&on, host, port).await });
    });
}

/// The addresses of `host`, at least one.
pub(crate) async fn look_up<R: Runtime>(runtime: &R, host: String, port: u16) -> Result<Vec<SocketAddr>, ResolveError> {
    match runtime.resolve(host, port).await {
        Ok(addresses) if addresses.is_empty() => Err(ResolveError("the name has no address".into())),
        Ok(addresses) => Ok(addresses),
        Err(error) => Err(ResolveError(error.to_string())),
    }
}

/// An answer that is given in any case, even if its task panics or is dropped.
pub(super) struct Answer {
    mailbox: Arc<Mailbox>,
    input: Option<Input>,
}

impl Answer {
    pub(super) fn new(mailbox: &Arc<Mailbox>, failed: Input) -> Answer {
        Answer { mailbox: mailbox.clone(), input: Some(failed) }
    }

    pub(super) fn is(&mut self, input: Input) {
        self.input = Some(input);
    }

    /// Nobody waits for it any more.
    pub(super) fn withdraw(&mut self) {
        self.input = None;
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(input) = self.input.take() {
            self.mailbox.complete(input);
        }
    }
}
