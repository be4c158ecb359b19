//! Buffers that are used again: memory for socket and disk reads that comes back when the last slice of it is gone.

use bytes::Bytes;
use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, PoisonError},
};

/// A bounded stock of buffers of one size. Clones share the stock.
///
/// A pool never refuses: past its stock it allocates, and what comes back over [`keep`](BufferPool::new) is freed. Whoever takes
/// buffers bounds how many are out at once.
///
/// ```
/// use rustor_runtime::buffer::BufferPool;
///
/// let pool = BufferPool::new(16 << 10, 8);
/// let mut buffer = pool.take();
/// buffer[..5].copy_from_slice(b"hello");
/// let bytes = buffer.freeze(5);
/// assert_eq!(bytes, "hello");
/// ```
#[derive(Clone)]
pub struct BufferPool(Arc<Stock>);

impl BufferPool {
    /// A pool of buffers of `buffer_size` bytes each, of which at most `keep` are kept while nobody uses them.
    pub fn new(buffer_size: usize, keep: usize) -> BufferPool {
        BufferPool(Arc::new(Stock { buffer_size, keep, idle: Mutex::new(Vec::with_capacity(keep)) }))
    }

    /// A buffer of [`buffer_size`](BufferPool::buffer_size) bytes. What is in it is left from its last use, or zeros.
    pub fn take(&self) -> Buffer {
        let idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let memory = idle.unwrap_or_else(|| vec![0; self.0.buffer_size].into_boxed_slice());
        Buffer { memory, stock: Arc::clone(&self.0) }
    }

    /// Bytes of each buffer.
    pub fn buffer_size(&self) -> usize {
        self.0.buffer_size
    }

    /// How many buffers wait for their next use.
    pub fn idle(&self) -> usize {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BufferPool({} of {} bytes idle)", self.idle(), self.0.buffer_size)
    }
}

/// Memory to write into, owned until it is frozen or dropped; either way it goes back to its pool.
pub struct Buffer {
    memory: Box<[u8]>,
    stock: Arc<Stock>,
}

impl Buffer {
    /// The first `length` bytes (all of them if there are fewer), to be shared without copying.
    ///
    /// The whole buffer stays taken as long as any slice of it lives.
    pub fn freeze(self, length: usize) -> Bytes {
        let length = length.min(self.memory.len());
        if length == 0 {
            return Bytes::new();
        }
        Bytes::from_owner(Frozen { buffer: self, length })
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} bytes)", self.memory.len())
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        let mut idle = self.stock.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.stock.keep {
            idle.push(memory);
        }
    }
}

struct Stock {
    buffer_size: usize,
    keep: usize,
    /// Last in, first out: the buffer used last is the likeliest to be in a cache.
    idle: Mutex<Vec<Box<[u8]>>>,
}

struct Frozen {
    buffer: Buffer,
    length: usize,
}

impl AsRef<[u8]> for Frozen {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_its_last_slice_is_gone() {
        let pool = BufferPool::new(8, 4);
        let mut buffer = pool.take();
        buffer.copy_from_slice(b"abcdefgh");
        let address = buffer.as_ptr();
        let bytes = buffer.freeze(6);
        let slice = bytes.slice(2..4);
        drop(bytes);
        assert_eq!((pool.idle(), &slice[..]), (0, &b"cd"[..]));
        drop(slice);
        assert_eq!(pool.idle(), 1);
        assert_eq!(pool.take().as_ptr(), address);
    }

    #[test]
    fn no_more_than_the_stock_is_kept() {
        let pool = BufferPool::new(8, 2);
        let out: Vec<_> = (0..5).map(|_| pool.take()).collect();
        drop(out);
        assert_eq!(pool.idle(), 2);
    }

    #[test]
    fn freezing_more_than_there_is_gives_what_there_is() {
        let pool = BufferPool::new(8, 2);
        assert_eq!(pool.take().freeze(9).len(), 8);
        assert!(pool.take().freeze(0).is_empty());
        assert_eq!(pool.idle(), 1);
    }

    #[test]
    fn buffers_outlive_their_pool() {
        let bytes = BufferPool::new(8, 2).take().freeze(3);
        assert_eq!(bytes.len(), 3);
    }
}
