use core::future::poll_fn;

use super::HttpError;
use super::tls::Connection;
use crate::adapter::Stream;

/// Bytes read at a time. It also bounds the head of an answer.
const BUFFER: usize = 32 * 1024;

/// A connection to a server, with what was read from it and not used yet.
#[derive(Debug)]
pub(super) struct Wire<S> {
    connection: Connection<S>,
    host: String,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl<S: Stream> Wire<S> {
    pub(super) fn new(connection: Connection<S>, host: &str) -> Self {
        Self { connection, host: host.to_owned(), buffer: vec![0; BUFFER].into(), start: 0, end: 0 }
    }

    /// What was read and not consumed.
    pub(super) fn unread(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    pub(super) fn consume(&mut self, length: usize) {
        self.start = self.start.saturating_add(length).min(self.end);
    }

    /// Whether reading more needs something to be consumed first.
    pub(super) fn is_full(&self) -> bool {
        self.unread().len() == self.buffer.len()
    }

    /// Reads more and returns how much; 0 is the end, or a full buffer.
    pub(super) async fn fill(&mut self) -> Result<usize, HttpError> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let spare = self.buffer.get_mut(self.end..).unwrap_or_default();
        let read = poll_fn(|context| self.connection.poll_read(context, spare)).await;
        let read = read.map_err(|error| HttpError::from_connection(error, &self.host))?;
        self.end = self.end.saturating_add(read).min(self.buffer.len());
        Ok(read)
    }

    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> Result<(), HttpError> {
        self.connection.write_all(bytes).await.map_err(|error| HttpError::from_connection(error, &self.host))
    }
}
