use super::*;
use std::{
    cell::RefCell,
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, Mutex},
};

use crate::host::wake::Mail;

/// What a stream does when it is read from or written to; "not now" once nothing is left.
#[derive(Default)]
struct Script {
    reads: VecDeque<io::Result<Vec<u8>>>,
    /// How many bytes each write takes.
    writes: VecDeque<io::Result<usize>>,
    written: Vec<u8>,
    calls: usize,
    reader: Option<Waker>,
}

#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Script>>);

impl Stream for Scripted {
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut script = self.0.lock().unwrap();
        let Some(read) = script.reads.pop_front() else {
            script.reader = Some(context.waker().clone());
            return Poll::Pending;
        };
        Poll::Ready(read.map(|mut data| {
            let length = data.len().min(buffer.len());
            let rest = data.split_off(length);
            buffer[..length].copy_from_slice(&data);
            if !rest.is_empty() {
                script.reads.push_front(Ok(rest));
            }
            length
        }))
    }

    fn poll_write(&mut self, _context: &mut Context<'_>, buffers: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut script = self.0.lock().unwrap();
        script.calls += 1;
        let Some(write) = script.writes.pop_front() else { return Poll::Pending };
        Poll::Ready(write.map(|most| {
            let all: Vec<u8> = buffers.iter().flat_map(|buffer| buffer.iter().copied()).collect();
            let taken = most.min(all.len());
            script.written.extend_from_slice(&all[..taken]);
            taken
        }))
    }

    fn poll_shutdown(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        Err(ErrorKind::Unsupported.into())
    }
}

const ID: ConnectionId = ConnectionId::from_bits(3);
/// The same place, a generation later.
const NEXT: ConnectionId = ConnectionId::from_bits(1 << 32 | 3);

struct Bench {
    streams: Streams<Scripted>,
    buffers: ReadBuffers,
    pool: BufferPool,
    mailbox: Arc<Mailbox>,
    script: Scripted,
}

fn bench(buffer_size: usize) -> Bench {
    let mailbox = Arc::new(Mailbox::new());
    let pool = BufferPool::new(buffer_size, 8);
    let mut streams = Streams::new(mailbox.clone());
    let script = Scripted::default();
    streams.adopt(ID, script.clone());
    Bench { streams, buffers: ReadBuffers::new(pool.clone()), pool, mailbox, script }
}

impl Bench {
    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.script.0.lock().unwrap()
    }

    fn drive(&mut self) -> Vec<Input> {
        let answers = Rc::new(RefCell::new(Vec::new()));
        self.streams.get(ID).unwrap().drive(&mut self.buffers, |input| answers.borrow_mut().push(input));
        answers.take()
    }

    fn read(&mut self, limit: u32) -> Option<ReadBuffer> {
        self.streams.get(ID).unwrap().read(limit);
        match self.drive().pop()? {
            Input::Read { result, .. } => Some(result.unwrap()),
            other => panic!("not a read: {other:?}"),
        }
    }
}

#[test]
fn little_data_is_copied_into_memory_of_its_own_size() {
    let mut bench = bench(1000);
    bench.script().reads.push_back(Ok(vec![7; 249]));
    let read = bench.read(1000).unwrap();
    assert_eq!((read.data.len(), read.allocation), (249, 249));
}

#[test]
fn much_data_stays_in_its_buffer_and_counts_as_all_of_it() {
    let mut bench = bench(1000);
    bench.script().reads.push_back(Ok(vec![7; 250]));
    let read = bench.read(1000).unwrap();
    assert_eq!((read.data.len(), read.allocation), (250, 1000));
    assert_eq!(bench.pool.idle(), 0);
    drop(read);
    assert_eq!(bench.pool.idle(), 1);
}

#[test]
fn no_more_than_the_limit_is_read() {
    let mut bench = bench(1000);
    bench.script().reads.push_back(Ok((0..=99).collect()));
    assert_eq!(bench.read(40).unwrap().data, (0..40).collect::<Vec<u8>>());
    assert_eq!(bench.read(4000).unwrap().data, (40..100).collect::<Vec<u8>>());
}

#[test]
fn waiting_reads_share_one_buffer() {
    let mut bench = bench(1000);
    assert!(bench.read(10).is_none());
    for place in 10..20 {
        let id = ConnectionId::from_bits(place);
        bench.streams.adopt(id, Scripted::default());
        let connection = bench.streams.get(id).unwrap();
        connection.read(10);
        connection.drive(&mut bench.buffers, |input| panic!("{input:?}"));
    }
    // One in the loop's hand, none waiting: no other was ever made.
    assert_eq!(bench.pool.idle(), 0);
    drop(bench.buffers);
    assert_eq!(bench.pool.idle(), 1);
}

#[test]
fn the_end_of_a_stream_is_an_empty_read() {
    let mut bench = bench(1000);
    bench.script().reads.push_back(Ok(Vec::new()));
    assert_eq!(bench.read(10).unwrap().data.len(), 0);
}

#[test]
fn an_interrupted_read_is_tried_again() {
    let mut bench = bench(1000);
    bench.script().reads.extend([Err(ErrorKind::Interrupted.into()), Ok(vec![1])]);
    assert_eq!(bench.read(10).unwrap().data, [1][..]);
}

#[test]
fn a_broken_read_is_answered_once() {
    let mut bench = bench(1000);
    bench.script().reads.push_back(Err(ErrorKind::ConnectionReset.into()));
    bench.streams.get(ID).unwrap().read(10);
    let answers = bench.drive();
    assert!(matches!(answers[..], [Input::Read { connection: _, result: Err(StreamError::Reset) }]), "{answers:?}");
    assert!(bench.drive().is_empty());
}

#[test]
fn a_write_begins_at_once_and_is_answered_when_all_is_taken() {
    let mut bench = bench(1000);
    bench.script().writes.extend([Ok(4), Ok(3)]);
    let buffers = [&b"head"[..], b"", b"block", b"tail"].map(Bytes::from_static).to_vec();
    assert!(bench.streams.get(ID).unwrap().write(buffers).is_none());
    assert_eq!(bench.script().written, b"headblo");
    assert!(bench.drive().is_empty());
    bench.script().writes.push_back(Ok(100));
    let answers = bench.drive();
    assert!(matches!(answers[..], [Input::Written { connection: _, result: Ok(()) }]), "{answers:?}");
    assert_eq!(bench.script().written, b"headblocktail");
    assert!(bench.drive().is_empty());
}

#[test]
fn many_buffers_take_few_writes() {
    let mut bench = bench(1000);
    bench.script().writes.extend((0..9).map(|_| Ok(usize::MAX)));
    let written = bench.streams.get(ID).unwrap().write(vec![Bytes::from_static(b"x"); 2 * WRITE_SLICES + 1]);
    assert!(matches!(written, Some(Input::Written { result: Ok(()), .. })));
    let script = bench.script();
    assert_eq!((script.calls, script.written.len()), (3, 2 * WRITE_SLICES + 1));
}

#[test]
fn a_stream_that_takes_nothing_is_broken() {
    let mut bench = bench(1000);
    bench.script().writes.push_back(Ok(0));
    let written = bench.streams.get(ID).unwrap().write(vec![Bytes::from_static(b"x")]);
    assert!(matches!(written, Some(Input::Written { result: Err(_), .. })), "{written:?}");
}

#[test]
fn reading_and_writing_do_not_wait_for_each_other() {
    let mut bench = bench(1000);
    assert!(bench.streams.get(ID).unwrap().write(vec![Bytes::from_static(b"x")]).is_none());
    bench.script().reads.push_back(Ok(vec![1]));
    assert_eq!(bench.read(10).unwrap().data.len(), 1);
    assert!(bench.read(10).is_none());
    bench.script().writes.push_back(Ok(1));
    assert!(matches!(bench.drive()[..], [Input::Written { .. }]));
}

#[test]
fn a_connection_is_answered_whether_it_stands_or_not() {
    for (result, expected) in [(Ok(()), Ok(())), (Err(ErrorKind::ConnectionRefused.into()), Err(StreamError::Refused))] {
        let mut bench = bench(1000);
        bench.streams.close(ID);
        let opened = result.map(|()| bench.script.clone());
        bench.streams.open(ID, Box::pin(std::future::ready(opened)));
        let answers = bench.drive();
        assert!(matches!(&answers[..], [Input::Connected { connection: _, result }] if *result == expected), "{answers:?}");
        assert!(bench.drive().is_empty());
    }
}

#[test]
fn what_is_asked_of_a_connection_that_never_stood_fails() {
    let mut bench = bench(1000);
    bench.streams.close(ID);
    bench.streams.open(ID, Box::pin(std::future::ready(Err(ErrorKind::ConnectionRefused.into()))));
    bench.drive();
    bench.streams.get(ID).unwrap().read(1);
    assert!(matches!(bench.drive()[..], [Input::Read { result: Err(_), .. }]));
    let written = bench.streams.get(ID).unwrap().write(vec![Bytes::from_static(b"x")]);
    assert!(matches!(written, Some(Input::Written { result: Err(_), .. })));
}

#[test]
fn a_closed_connection_leaves_no_trace_for_the_next_in_its_place() {
    let mut bench = bench(1000);
    assert!(bench.read(10).is_none());
    let late = bench.script().reader.take().unwrap();
    bench.streams.close(ID);
    // Only we hold on to it.
    assert_eq!(Arc::strong_count(&bench.script.0), 1);
    bench.streams.adopt(NEXT, Scripted::default());
    late.wake();
    let mut mail = Mail::default();
    bench.mailbox.take(&mut mail);
    assert_eq!(mail.ready, [Source::Stream(ID)]);
    assert!(bench.streams.get(ID).is_none() && bench.streams.get(NEXT).is_some());
    bench.streams.close(ID);
    assert!(bench.streams.get(NEXT).is_some());
}

#[test]
fn a_connection_stands_on_the_list_once() {
    let mut bench = bench(1000);
    let connection = bench.streams.get(ID).unwrap();
    assert!(connection.schedule());
    assert!(!connection.schedule());
    bench.drive();
    assert!(bench.streams.get(ID).unwrap().schedule());
}
