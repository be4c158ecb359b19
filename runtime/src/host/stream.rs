//! The table of the peers' streams, and what is under way on each.

use std::{
    collections::VecDeque,
    future::Future,
    io::{self, ErrorKind, IoSlice},
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::{Buf, Bytes};
use rustor_core::{
    error::StreamError,
    id::ConnectionId,
    input::{Input, ReadBuffer},
};

use super::wake::{Mailbox, Source, SourceWaker};
use crate::{
    adapter::Stream,
    buffer::{Buffer, BufferPool},
};

/// Slices handed to one vectored write: the blocks and headers of half a megabyte.
const WRITE_SLICES: usize = 64;

/// A connection being opened.
pub(crate) type Opening<S> = Pin<Box<dyn Future<Output = io::Result<S>> + Send>>;

/// All connections, each at its id's place, so that finding one is a look at an index and a comparison.
pub(crate) struct Streams<S> {
    places: Vec<Option<Box<Connection<S>>>>,
    mailbox: Arc<Mailbox>,
}

/// One connection and what is under way on it: at most a read and a write.
pub(crate) struct Connection<S> {
    id: ConnectionId,
    link: Link<S>,
    /// The most bytes that the read under way may bring.
    read: Option<u32>,
    /// What is left of the write under way.
    write: Option<VecDeque<Bytes>>,
    waker: Waker,
    source: Arc<SourceWaker>,
    /// It stands on the host's own list of connections to drive.
    scheduled: bool,
}

enum Link<S> {
    Opening(Opening<S>),
    Open(S),
    /// It could not be opened; nothing can be asked of it.
    Failed,
}

impl<S: Stream> Streams<S> {
    pub(crate) fn new(mailbox: Arc<Mailbox>) -> Streams<S> {
        Streams { places: Vec::new(), mailbox }
    }

    /// Takes in a connection that is being opened.
    pub(crate) fn open(&mut self, id: ConnectionId, opening: Opening<S>) {
        self.insert(id, Link::Opening(opening));
    }

    /// Takes in a connection that stands.
    pub(crate) fn adopt(&mut self, id: ConnectionId, stream: S) {
        self.insert(id, Link::Open(stream));
    }

    fn insert(&mut self, id: ConnectionId, link: Link<S>) {
        if self.places.len() <= id.index() {
            self.places.resize_with(id.index() + 1, || None);
        }
        let source = SourceWaker::new(&self.mailbox, Source::Stream(id));
        let waker = Waker::from(source.clone());
        let connection = Connection { id, link, read: None, write: None, waker, source, scheduled: false };
        let earlier = self.places[id.index()].replace(Box::new(connection));
        debug_assert!(earlier.is_none(), "the place of {id:?} is taken by a connection that was not closed");
    }

    /// The connection, if it was not closed.
    pub(crate) fn get(&mut self, id: ConnectionId) -> Option<&mut Connection<S>> {
        self.places.get_mut(id.index())?.as_deref_mut().filter(|connection| connection.id == id)
    }

    /// Closes the connection, whatever is under way on it.
    pub(crate) fn close(&mut self, id: ConnectionId) {
        if self.get(id).is_some() {
            self.places[id.index()] = None;
        }
    }

    /// Closes all.
    pub(crate) fn clear(&mut self) {
        self.places.clear();
    }
}

impl<S: Stream> Connection<S> {
    /// Whether it is to be put on the list of those to drive: it was not on it.
    pub(crate) fn schedule(&mut self) -> bool {
        !mem::replace(&mut self.scheduled, true)
    }

    /// Has the next [`Connection::drive`] read at most `limit` bytes.
    pub(crate) fn read(&mut self, limit: u32) {
        debug_assert!(self.read.is_none(), "two reads at once on {:?}", self.id);
        self.read = Some(limit);
    }

    /// Begins to write at once: what is taken now survives a close that follows.
    pub(crate) fn write(&mut self, buffers: Vec<Bytes>) -> Option<Input> {
        debug_assert!(self.write.is_none(), "two writes at once on {:?}", self.id);
        self.write = Some(buffers.into());
        self.drive_write()
    }

    /// Does what can be done now and tells `answer`.
    pub(crate) fn drive(&mut self, buffers: &mut ReadBuffers, mut answer: impl FnMut(Input)) {
        self.scheduled = false;
        self.source.clear();
        if let Link::Opening(opening) = &mut self.link {
            let Poll::Ready(opened) = opening.as_mut().poll(&mut Context::from_waker(&self.waker)) else { return };
            let (link, result) = match opened {
                Ok(stream) => (Link::Open(stream), Ok(())),
                Err(error) => (Link::Failed, Err(stream_error(&error))),
            };
            self.link = link;
            answer(Input::Connected { connection: self.id, result });
        }
        // Writing first: it frees memory and gives the peer something to do, reading takes memory and gives us something to do.
        if let Some(written) = self.drive_write() {
            answer(written);
        }
        if let Some(read) = self.drive_read(buffers) {
            answer(read);
        }
    }

    fn drive_read(&mut self, buffers: &mut ReadBuffers) -> Option<Input> {
        let limit = self.read?;
        let mut context = Context::from_waker(&self.waker);
        let result = match &mut self.link {
            Link::Open(stream) => match buffers.read(limit, |buffer| stream.poll_read(&mut context, buffer)) {
                Poll::Ready(result) => result,
                Poll::Pending => return None,
            },
            _ => Err(ErrorKind::NotConnected.into()),
        };
        self.read = None;
        Some(Input::Read { connection: self.id, result: result.map_err(|error| stream_error(&error)) })
    }

    fn drive_write(&mut self) -> Option<Input> {
        let left = self.write.as_mut()?;
        let mut context = Context::from_waker(&self.waker);
        let result = loop {
            // Empty buffers too are taken off here, so that "nothing was taken" below means what it says.
            while left.front().is_some_and(|buffer| buffer.is_empty()) {
                left.pop_front();
            }
            if left.is_empty() {
                break Ok(());
            }
            let Link::Open(stream) = &mut self.link else { break Err(StreamError::Other) };
            let mut slices = [IoSlice::new(&[]); WRITE_SLICES];
            let mut count = 0;
            for (slice, buffer) in slices.iter_mut().zip(left.iter()) {
                *slice = IoSlice::new(buffer);
                count += 1;
            }
            match stream.poll_write(&mut context, &slices[..count]) {
                Poll::Ready(Ok(0)) => break Err(StreamError::Other),
                Poll::Ready(Ok(taken)) => advance(left, taken),
                Poll::Ready(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
                Poll::Ready(Err(error)) => break Err(stream_error(&error)),
                Poll::Pending => return None,
            }
        };
        self.write = None;
        Some(Input::Written { connection: self.id, result })
    }
}

/// Takes the first `taken` bytes off, and drops buffers as soon as they are used up: they hold memory.
fn advance(buffers: &mut VecDeque<Bytes>, mut taken: usize) {
    while let Some(first) = buffers.front_mut() {
        if taken < first.len() {
            first.advance(taken);
            return;
        }
        taken -= first.len();
        buffers.pop_front();
    }
}

/// The one buffer that every read goes into first: an idle connection holds none.
pub(crate) struct ReadBuffers {
    pool: BufferPool,
    spare: Option<Buffer>,
}

impl ReadBuffers {
    pub(crate) fn new(pool: BufferPool) -> ReadBuffers {
        ReadBuffers { pool, spare: None }
    }

    /// One successful call of `read` with a buffer of at most `limit` bytes.
    ///
    /// If it fills a good part of the buffer, the buffer itself is handed on; otherwise the bytes are copied into memory of
    /// their own size, because what is made of them would pin the whole buffer.
    fn read(&mut self, limit: u32, mut read: impl FnMut(&mut [u8]) -> Poll<io::Result<usize>>) -> Poll<io::Result<ReadBuffer>> {
        let mut buffer = self.spare.take().unwrap_or_else(|| self.pool.take());
        let size = buffer.len();
        let room = size.min(limit as usize);
        let mut outcome = read(&mut buffer[..room]);
        while matches!(&outcome, Poll::Ready(Err(error)) if error.kind() == ErrorKind::Interrupted) {
            outcome = read(&mut buffer[..room]);
        }
        let result = match outcome {
            Poll::Ready(Ok(length)) if length >= size / 4 => {
                return Poll::Ready(Ok(ReadBuffer { data: buffer.freeze(length), allocation: size as u32 }));
            }
            Poll::Ready(Ok(length)) => {
                Poll::Ready(Ok(ReadBuffer { data: Bytes::copy_from_slice(&buffer[..length]), allocation: length as u32 }))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        };
        self.spare = Some(buffer);
        result
    }
}

/// What the operating system says, as far as the engine tells faults apart.
pub(crate) fn stream_error(error: &io::Error) -> StreamError {
    match error.kind() {
        ErrorKind::ConnectionRefused => StreamError::Refused,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => StreamError::Unreachable,
        ErrorKind::AddrNotAvailable | ErrorKind::Unsupported => StreamError::Unreachable,
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => StreamError::Reset,
        ErrorKind::TimedOut => StreamError::TimedOut,
        ErrorKind::OutOfMemory | ErrorKind::AddrInUse => StreamError::OutOfResources,
        _ if super::listen::out_of_descriptors(error) => StreamError::OutOfResources,
        _ => StreamError::Other,
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
