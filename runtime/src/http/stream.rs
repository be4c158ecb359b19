use core::fmt;
use std::time::Instant;

use bytes::Bytes;
use ureq_proto::BodyMode;
use ureq_proto::client::state::{RecvBody, RecvResponse};
use ureq_proto::client::{Call, RecvResponseResult};

use super::decode::Decoder;
use super::wire::Wire;
use super::{HttpError, ResponseHead, unless_expired};
use crate::adapter::{Runtime, Stream, Timer};

/// An answer whose body comes part by part, for what is too large or too urgent to wait for as a whole.
pub struct ResponseStream<R: Runtime> {
    wire: Wire<R::Stream>,
    timer: R::Timer,
    head: ResponseHead,
    body: Body,
    decoder: Decoder,
    /// How many more bytes may come over the wire. Far above any honest packaging of a body of the largest size, it
    /// only stops what makes no progress: endless trailers, empty blocks.
    wire_budget: usize,
    maximum_body: usize,
}

impl<R: Runtime> ResponseStream<R> {
    pub(super) fn new(
        wire: Wire<R::Stream>,
        timer: R::Timer,
        head: ResponseHead,
        body: Body,
        decoder: Decoder,
        maximum_body: usize,
    ) -> Self {
        // Chunks of one byte each are six times their content.
        let wire_budget = maximum_body.saturating_mul(8).saturating_add(64 * 1024);
        Self { wire, timer, head, body, decoder, wire_budget, maximum_body }
    }

    /// Status and headers.
    pub fn head(&self) -> &ResponseHead {
        &self.head
    }

    pub(super) fn into_head(self) -> ResponseHead {
        self.head
    }

    /// Replaces the request's time-out: from now on waiting ends at `deadline`.
    ///
    /// Who reads a large body sets it again after each part, and so limits the silence rather than the whole.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.timer.reset(deadline);
    }

    /// The next part of the body, unpacked and not empty, or `None` after its end.
    ///
    /// A body that ends early, or goes on beyond the size limit, is an error. After an error the stream is of no more use.
    /// Dropping the returned future loses nothing.
    pub async fn next_chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        let result = self.try_next_chunk().await;
        if result.is_err() {
            self.body.state = State::Failed;
        }
        result
    }

    async fn try_next_chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        loop {
            if let Some(packed) = self.body.take(&mut self.wire)? {
                let chunk = self.decoder.decode(packed)?;
                if !chunk.is_empty() {
                    return Ok(Some(chunk));
                }
                continue;
            }
            match self.body.state {
                State::Ended => {
                    self.body.state = State::Finished;
                    let rest = self.decoder.finish()?;
                    return Ok(Some(rest).filter(|rest| !rest.is_empty()));
                }
                State::Finished => return Ok(None),
                State::Failed => return Err(HttpError::Truncated),
                State::Reading(_) => {}
            }
            let read = unless_expired(&mut self.timer, self.wire.fill()).await.ok_or(HttpError::Timeout)??;
            if read == 0 {
                self.body.connection_ended()?;
            }
            let too_large = HttpError::TooLarge { maximum: self.maximum_body };
            self.wire_budget = self.wire_budget.checked_sub(read).ok_or(too_large)?;
        }
    }
}

impl<R: Runtime> fmt::Debug for ResponseStream<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ResponseStream").field("head", &self.head).finish_non_exhaustive()
    }
}

/// How far a body has come, as it lies on the wire.
pub(super) struct Body {
    state: State,
}

enum State {
    Reading(Box<Call<RecvBody>>),
    /// All of it is there.
    Ended,
    /// All of it was handed out.
    Finished,
    Failed,
}

impl Body {
    /// The body behind a head that was received.
    pub(super) fn new(call: Call<RecvResponse>) -> Self {
        let state = match call.proceed() {
            Some(RecvResponseResult::RecvBody(call)) => State::Reading(Box::new(call)),
            Some(_) => State::Ended,
            None => State::Failed,
        };
        Self { state }
    }

    /// Its length in bytes, where the head announced one.
    pub(super) fn length(&self) -> Option<u64> {
        match &self.state {
            State::Reading(call) => match call.body_mode() {
                BodyMode::LengthDelimited(length) => Some(length),
                _ => None,
            },
            _ => Some(0),
        }
    }

    /// Takes what is there of it out of `wire`; `None` where more has to be read first or nothing more comes.
    fn take<S: Stream>(&mut self, wire: &mut Wire<S>) -> Result<Option<Bytes>, HttpError> {
        let State::Reading(call) = &mut self.state else { return Ok(None) };
        let mut content = vec![0; wire.unread().len()];
        let mut length = 0;
        loop {
            let (used, made) = call
                .read(wire.unread(), content.get_mut(length..).unwrap_or_default())
                .map_err(|error| HttpError::Malformed(format!("its body: {error}")))?;
            wire.consume(used);
            length += made;
            if used == 0 {
                break;
            }
        }
        if call.can_proceed() && call.body_mode() != BodyMode::CloseDelimited {
            self.state = State::Ended;
        } else if wire.is_full() {
            // Nothing that is waited for here is longer than a line.
            return Err(HttpError::Malformed("its body has no end of line where one belongs".to_owned()));
        }
        content.truncate(length);
        Ok(Some(Bytes::from(content)).filter(|content| !content.is_empty()))
    }

    /// The server sends no more.
    fn connection_ended(&mut self) -> Result<(), HttpError> {
        match &self.state {
            // Some servers leave out the very last empty line: the body is complete without it.
            State::Reading(call) if call.body_mode() == BodyMode::CloseDelimited || call.is_ended_chunked() => {
                self.state = State::Ended;
                Ok(())
            }
            State::Reading(_) => Err(HttpError::Truncated),
            _ => Ok(()),
        }
    }
}
