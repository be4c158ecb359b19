use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

const UNCHOKE: u8 = 1;
const BITFIELD: u8 = 5;
const REQUEST: u8 = 6;
const PIECE: u8 = 7;

/// A seeder that sends so many bytes in all, and then falls silent.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    sent: Arc<AtomicU64>,
}

impl Peer {
    /// Seeds `data`, a torrent with pieces of `piece_length` bytes, but no more than `limit` bytes of it.
    pub(crate) fn new(data: Vec<u8>, piece_length: usize, limit: u64) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let sent = Arc::new(AtomicU64::new(0));
        let (data, counter) = (Arc::new(data), sent.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (data, sent) = (data.clone(), counter.clone());
                // A client that goes away ends its connection, nothing else.
                thread::spawn(move || serve(stream, &data, piece_length, limit, &sent));
            }
        });
        Peer { address, sent }
    }

    /// Bytes of payload sent so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }
}

fn serve(mut stream: TcpStream, data: &[u8], piece_length: usize, limit: u64, sent: &AtomicU64) -> io::Result<()> {
    let mut handshake = [0; 68];
    stream.read_exact(&mut handshake)?;
    handshake[20..28].fill(0);
    // Each of them is somebody else: of two connections with one peer id a client keeps one.
    handshake[48..].copy_from_slice(format!("-XX0000-peer@{:07}", stream.local_addr()?.port()).as_bytes());
    stream.write_all(&handshake)?;
    let pieces = data.len().div_ceil(piece_length);
    let mut bitfield = vec![0u8; pieces.div_ceil(8)];
    (0..pieces).for_each(|piece| bitfield[piece / 8] |= 0x80 >> (piece % 8));
    send(&mut stream, BITFIELD, &[&bitfield])?;
    send(&mut stream, UNCHOKE, &[])?;
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let mut message = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut message)?;
        let [REQUEST, request @ ..] = &message[..] else { continue };
        let number = |at: usize| u32::from_be_bytes(request[at..at + 4].try_into().unwrap()) as usize;
        let (piece, begin, length) = (number(0), number(4), number(8));
        if sent.fetch_add(length as u64, Ordering::SeqCst) + length as u64 > limit {
            sent.fetch_sub(length as u64, Ordering::SeqCst);
            continue;
        }
        let start = piece * piece_length + begin;
        send(&mut stream, PIECE, &[&request[..8], &data[start..start + length]])?;
    }
}

fn send(stream: &mut TcpStream, kind: u8, parts: &[&[u8]]) -> io::Result<()> {
    let length = 1 + parts.iter().map(|part| part.len()).sum::<usize>();
    let mut message = (length as u32).to_be_bytes().to_vec();
    message.push(kind);
    parts.iter().for_each(|part| message.extend_from_slice(part));
    stream.write_all(&message)
}
