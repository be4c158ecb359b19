use super::{Finding, Invariant, check};
use bytes::Bytes;
use rustor_core::{
    util::Bitfield,
    wire::{Block, MessageId, extension::Extension},
};
use std::collections::{BTreeSet, VecDeque};

/// Follows both directions of one connection, as its engine sees them, and knows what each side may say.
///
/// It reads the bytes by itself: nothing of the engine's codec is used.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    incoming: Follower,
    outgoing: Follower,
    /// What the engine has asked for and not got, and what it was asked for and has not sent.
    asked: VecDeque<Block>,
    owed: VecDeque<Block>,
    /// What it had asked for when the peer choked it: by the fast extension each is still to be answered.
    doomed: VecDeque<Block>,
    /// The engine has told the peer that it may ask; and the other way round.
    unchokes: bool,
    unchoked: bool,
    /// Pieces that the peer, and the engine, may ask for all the same.
    allowed: BTreeSet<u32>,
    allowed_us: BTreeSet<u32>,
    /// What the peer says that it has.
    holdings: Holdings,
    /// Bytes of blocks that came in whole, and that were handed out at least in part.
    pub(crate) received: u64,
    pub(crate) sent: u64,
    /// What the last bytes that the engine handed out say of peer exchange, if that is looked at.
    pub(crate) exchange: Exchange,
}

/// What extended messages have to do with peer exchange (BEP 11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exchange {
    #[default]
    Nothing,
    /// An extended handshake offers it.
    Offered,
    /// A message tells of peers.
    Told,
}

#[derive(Debug, Default)]
enum Holdings {
    #[default]
    Nothing,
    Some(Bitfield),
    All,
}

/// Finds the messages in one direction of a stream. Payload is skipped.
#[derive(Debug, Default)]
struct Follower {
    state: State,
    /// The handshake says that the sender knows the fast extension, and the extension protocol.
    fast: bool,
    extended: bool,
    shaken: bool,
    /// Bytes of blocks that went past, of those that are not whole, too.
    payload: u64,
    /// Bytes of blocks that have at least begun.
    begun: u64,
    /// Extended messages are of interest.
    keeps_extended: bool,
}

#[derive(Debug)]
enum State {
    Handshake(u8),
    /// So many bytes of a message's length, id and first two or three numbers.
    Head(u8, [u8; 17]),
    /// So many bytes to come of a message whose content is of no interest, and what to do at its end.
    Skip(u32, Option<Head>),
    /// So many bytes to come of a bitfield or an extended message, and what came of it.
    Keep(u32, Box<(Head, Vec<u8>)>),
    /// This is no BitTorrent.
    Lost,
}

impl Default for State {
    fn default() -> State {
        State::Handshake(0)
    }
}

#[derive(Clone, Copy, Debug)]
struct Head {
    id: MessageId,
    /// The message's length, its id included.
    length: u32,
    numbers: [u32; 3],
}

enum Said {
    Head(Head),
    Bitfield(Vec<u8>),
    /// Its number, and what it says.
    Extended(Vec<u8>),
}

/// By this number peers say to us that they have a piece no longer.
const DONT_HAVE: u32 = Extension::DontHave.our_id() as u32;

/// More requests of a peer than any engine keeps: of peers without the fast extension, which are not told what is not answered, no more are
/// followed.
const MOST_OWED: usize = 100_000;

impl Witness {
    /// The engine reads these bytes.
    pub(crate) fn reads(&mut self, mut data: &[u8], pieces: u32) {
        while let Some(said) = self.incoming.next(&mut data) {
            match said {
                Said::Head(head) => self.hears(&head, pieces),
                Said::Bitfield(bytes) => self.hears_bitfield(&bytes, pieces),
                Said::Extended(_) => {}
            }
        }
    }

    /// The engine, which may ask for so many blocks at once, hands these bytes out. Of a private torrent, what they say of peer exchange is
    /// looked at.
    pub(crate) fn writes(&mut self, buffers: &[Bytes], most_requests: usize, private: bool) -> Finding {
        let mut finding = Ok(());
        self.exchange = Exchange::Nothing;
        self.outgoing.keeps_extended = private;
        for buffer in buffers {
            let mut data = &buffer[..];
            while let Some(said) = self.outgoing.next(&mut data) {
                match said {
                    Said::Head(head) => finding = finding.and(self.says(&head, most_requests)),
                    Said::Bitfield(_) => {}
                    Said::Extended(message) => self.exchange = self.exchange.max(Exchange::of(&message)),
                }
            }
        }
        self.sent = self.outgoing.begun;
        finding
    }

    /// How many blocks the engine has asked for and not got.
    pub(crate) fn asked(&self) -> usize {
        self.asked.len() + self.doomed.len()
    }

    /// Whether the engine has told the peer that it may ask.
    pub(crate) fn unchokes(&self) -> bool {
        self.unchokes
    }

    /// How many requests of the peer wait for an answer.
    pub(crate) fn owed(&self) -> usize {
        self.owed.len()
    }

    /// How long the longest block is that it is asked for, in bytes.
    pub(crate) fn longest_owed(&self) -> u32 {
        self.owed.iter().map(|block| block.length).max().unwrap_or_default()
    }

    /// The engine is in the midst of a block, where nothing else can be said.
    pub(crate) fn is_cut(&self) -> bool {
        self.outgoing.block().is_some()
    }

    /// A request of the peer that should have been answered by now, if the engine has heard all that was read, may speak, and, for `all`,
    /// if neither a disk nor a rate limit keeps it from answering.
    ///
    /// By the fast extension what was asked is rejected with the choke, or goes out yet if the piece may be had all the same (BEP 6).
    /// Without it, what is not answered is not told.
    pub(crate) fn unanswered(&self, all: bool) -> Option<Block> {
        if self.owed.is_empty() || !self.fast() || !self.stands() {
            return None;
        }
        let overdue = |block: &&Block| all || (!self.unchokes && !self.allowed.contains(&block.piece));
        self.owed.iter().find(overdue).copied()
    }

    /// Bytes of blocks that came in, and that were handed out, of those that are not whole, too.
    pub(crate) fn payload(&self) -> [u64; 2] {
        [self.incoming.payload, self.outgoing.payload]
    }

    /// Whether the peer says that it has a piece.
    pub(crate) fn has(&self, piece: u32) -> bool {
        match &self.holdings {
            Holdings::Nothing => false,
            Holdings::Some(bits) => bits.get(piece),
            Holdings::All => true,
        }
    }

    /// How many pieces the peer says that it has.
    pub(crate) fn holds(&self, pieces: u32) -> u32 {
        match &self.holdings {
            Holdings::Nothing => 0,
            Holdings::Some(bits) => bits.count(),
            Holdings::All => pieces,
        }
    }

    /// Both have shaken hands.
    pub(crate) fn stands(&self) -> bool {
        self.incoming.shaken && self.outgoing.shaken
    }

    /// Both sides know the fast extension (BEP 6).
    pub(crate) fn fast(&self) -> bool {
        self.incoming.fast && self.outgoing.fast
    }

    fn says(&mut self, head: &Head, most_requests: usize) -> Finding {
        let block = head.block();
        match head.id {
            MessageId::CHOKE => {
                self.unchokes = false;
                if !self.fast() {
                    self.owed.clear();
                }
            }
            MessageId::UNCHOKE => self.unchokes = true,
            MessageId::ALLOWED_FAST => drop(self.allowed.insert(head.numbers[0])),
            MessageId::PIECE => {
                let block = Block { length: head.length.saturating_sub(9), ..block };
                let may = self.unchokes || (self.fast() && self.allowed.contains(&block.piece));
                check(may, Invariant::NoBlockToChoked, || format!("{block:?} to a peer that is choked"))?;
                check(remove(&mut self.owed, block), Invariant::OnlyWhatWasAsked, || format!("{block:?}, which nobody waits for"))?;
            }
            MessageId::REJECT => {
                check(remove(&mut self.owed, block), Invariant::RequestsEndOnce, || {
                    format!("a reject of {block:?}, which nobody waits for")
                })?;
            }
            MessageId::REQUEST => {
                let may = self.unchoked || (self.fast() && self.allowed_us.contains(&block.piece));
                check(may, Invariant::RequestsEndOnce, || format!("{block:?} asked of a peer that chokes us"))?;
                let again = self.asked.contains(&block) || self.doomed.contains(&block);
                check(!again, Invariant::RequestsEndOnce, || format!("{block:?} asked for again"))?;
                self.asked.push_back(block);
                check(self.asked.len() <= most_requests, Invariant::BoundedBuffers, || format!("{} requests at once", self.asked.len()))?;
            }
            MessageId::CANCEL => self.ends(block),
            _ => {}
        }
        Ok(())
    }

    fn hears(&mut self, head: &Head, pieces: u32) {
        let block = head.block();
        match head.id {
            MessageId::CHOKE => {
                self.unchoked = false;
                let asked = self.asked.drain(..);
                self.doomed.extend(asked);
                if !self.fast() {
                    self.doomed.clear();
                }
            }
            MessageId::UNCHOKE => self.unchoked = true,
            MessageId::ALLOWED_FAST => drop(self.allowed_us.insert(head.numbers[0])),
            MessageId::PIECE => {
                let block = Block { length: head.length.saturating_sub(9), ..block };
                self.received += u64::from(block.length);
                self.ends(block);
            }
            MessageId::REJECT => self.ends(block),
            MessageId::REQUEST if (self.unchokes || self.fast()) && self.owed.len() < MOST_OWED => self.owed.push_back(block),
            // What has begun to go out has to go on.
            MessageId::CANCEL if !self.fast() && self.outgoing.block() != Some(block) => drop(remove(&mut self.owed, block)),
            MessageId::HAVE => {
                if let Holdings::Nothing = self.holdings {
                    self.holdings = Holdings::Some(Bitfield::new(pieces));
                }
                if let Holdings::Some(bits) = &mut self.holdings {
                    bits.set(head.numbers[0]);
                }
            }
            MessageId::HAVE_ALL => self.holdings = Holdings::All,
            MessageId::EXTENDED if head.length == 6 && head.numbers[0] >> 24 == DONT_HAVE => {
                self.hears_dont_have(head.numbers[0] << 8 | head.numbers[1] >> 24, pieces);
            }
            _ => {}
        }
    }

    /// The peer takes a piece back (BEP 54), and with it, by the fast extension after a reject, what it was asked of that piece.
    fn hears_dont_have(&mut self, piece: u32, pieces: u32) {
        if !self.incoming.extended || piece >= pieces {
            return;
        }
        if let Holdings::All = self.holdings {
            self.holdings = Holdings::Some(Bitfield::full(pieces));
        }
        if let Holdings::Some(bits) = &mut self.holdings {
            bits.clear(piece);
        }
        let (of_this, others) = self.asked.drain(..).partition(|block: &Block| block.piece == piece);
        self.asked = others;
        if self.fast() {
            let of_this: VecDeque<Block> = of_this;
            self.doomed.extend(of_this);
        }
    }

    /// A request of the engine is answered, or taken back.
    fn ends(&mut self, block: Block) {
        let _ = remove(&mut self.asked, block) || remove(&mut self.doomed, block);
    }

    fn hears_bitfield(&mut self, bytes: &[u8], pieces: u32) {
        let Some(news) = Bitfield::from_bytes(pieces, bytes) else { return };
        match &mut self.holdings {
            Holdings::All => {}
            Holdings::Nothing => self.holdings = Holdings::Some(news),
            Holdings::Some(bits) => news.iter().for_each(|piece| {
                bits.set(piece);
            }),
        }
    }
}

/// Removes a block, which is mostly the first.
fn remove(blocks: &mut VecDeque<Block>, block: Block) -> bool {
    let Some(at) = blocks.iter().position(|other| *other == block) else { return false };
    blocks.remove(at);
    if blocks.is_empty() {
        // Idle connections take no room.
        *blocks = VecDeque::new();
    }
    true
}

impl Follower {
    /// The block of which a part has passed.
    fn block(&self) -> Option<Block> {
        match &self.state {
            State::Skip(_, Some(head)) if head.id == MessageId::PIECE => {
                Some(Block { length: head.length.saturating_sub(9), ..head.block() })
            }
            _ => None,
        }
    }

    /// A message begins, of which so many bytes are behind us; its head, if that is all of it.
    fn begins(&mut self, head: Head, looked: u32) -> Option<Head> {
        if head.id == MessageId::PIECE {
            self.begun += u64::from(head.length.saturating_sub(9));
        }
        let left = head.length - looked;
        if left == 0 {
            return Some(head);
        }
        self.state = match head.id {
            MessageId::BITFIELD => State::Keep(left, Box::new((head, Vec::new()))),
            MessageId::EXTENDED if self.keeps_extended => {
                let [first, second, _] = head.numbers.map(u32::to_be_bytes);
                State::Keep(left, Box::new((head, [first, second].concat()[..looked as usize - 1].to_vec())))
            }
            _ => State::Skip(left, Some(head)),
        };
        None
    }

    /// The next message that ends in `data`; what was looked at is taken away.
    fn next(&mut self, data: &mut &[u8]) -> Option<Said> {
        while let Some(first) = data.first() {
            if let State::Head(0, _) = self.state
                && let Some((head, looked)) = Head::front(data)
            {
                *data = &data[looked..];
                match head.and_then(|head| self.begins(head, looked as u32 - 4)) {
                    Some(head) => return Some(Said::Head(head)),
                    None => continue,
                }
            }
            match &mut self.state {
                State::Handshake(seen) => {
                    match *seen {
                        0 if *first != 19 => self.state = State::Lost,
                        25 => self.extended = first & 0x10 != 0,
                        27 => self.fast = first & 4 != 0,
                        67 => (self.state, self.shaken) = (State::Head(0, [0; 17]), true),
                        _ => {}
                    }
                    if let State::Handshake(seen) = &mut self.state {
                        *seen += 1;
                    }
                    *data = &data[1..];
                }
                State::Head(filled, bytes) => {
                    let length = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                    let wanted = if *filled < 4 { 4 } else { 4 + length.min(numbered(bytes[4], *filled)) as usize };
                    let taken = (wanted - usize::from(*filled)).min(data.len());
                    bytes[usize::from(*filled)..][..taken].copy_from_slice(&data[..taken]);
                    *filled += taken as u8;
                    *data = &data[taken..];
                    if usize::from(*filled) < wanted {
                        return None;
                    }
                    if let Some((head, looked)) = Head::front(&bytes[..wanted]) {
                        self.state = State::Head(0, [0; 17]);
                        if let Some(head) = head.and_then(|head| self.begins(head, looked as u32 - 4)) {
                            return Some(Said::Head(head));
                        }
                    }
                }
                State::Skip(left, head) => {
                    let taken = data.len().min(*left as usize);
                    *left -= taken as u32;
                    *data = &data[taken..];
                    if head.is_some_and(|head| head.id == MessageId::PIECE) {
                        self.payload += taken as u64;
                    }
                    if *left == 0 {
                        let head = *head;
                        self.state = State::Head(0, [0; 17]);
                        return head.map(Said::Head);
                    }
                }
                State::Keep(left, kept) => {
                    let taken = data.len().min(*left as usize);
                    *left -= taken as u32;
                    kept.1.extend_from_slice(&data[..taken]);
                    *data = &data[taken..];
                    if *left == 0 {
                        let bytes = std::mem::take(&mut kept.1);
                        let is_bitfield = kept.0.id == MessageId::BITFIELD;
                        self.state = State::Head(0, [0; 17]);
                        return Some(if is_bitfield { Said::Bitfield(bytes) } else { Said::Extended(bytes) });
                    }
                }
                State::Lost => *data = &[],
            }
        }
        None
    }
}

impl Head {
    /// The head that `data` begins with, if all is there that is looked at, and how long that is; no head if it is a keep-alive's.
    fn front(data: &[u8]) -> Option<(Option<Head>, usize)> {
        let (length, rest) = data.split_first_chunk()?;
        let length = u32::from_be_bytes(*length);
        if length == 0 {
            return Some((None, 4));
        }
        let id = *rest.first()?;
        let looked = length.min(numbered(id, 5)) as usize;
        let mut bytes = [0; 13];
        bytes[..looked].copy_from_slice(rest.get(..looked)?);
        let number = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Some((Some(Head { id: MessageId(id), length, numbers: [number(1), number(5), number(9)] }), 4 + looked))
    }

    fn block(&self) -> Block {
        let [piece, offset, length] = self.numbers;
        Block { piece, offset, length }
    }
}

impl Exchange {
    /// What an extended message is, by what it says: which number peers gave to what does not matter.
    fn of(message: &[u8]) -> Exchange {
        let Some((number, body)) = message.split_first() else { return Exchange::Nothing };
        let says = |what: &[u8]| body.windows(what.len()).any(|window| window == what);
        // With the number 0 it is taken back.
        let offers = |window: &[u8]| window.starts_with(b"6:ut_pexi") && !window.ends_with(b"0");
        match number {
            0 if body.windows(10).any(offers) => Exchange::Offered,
            0 => Exchange::Nothing,
            _ if !body.starts_with(b"d") || says(b"8:msg_type") => Exchange::Nothing,
            _ if [&b"5:added"[..], b"6:added6", b"7:dropped", b"8:dropped6"].into_iter().any(says) => Exchange::Told,
            _ => Exchange::Nothing,
        }
    }
}

/// How many bytes of a message are looked at, its id included; that alone is known before it is there.
fn numbered(id: u8, filled: u8) -> u32 {
    match MessageId(id) {
        _ if filled < 5 => 1,
        MessageId::HAVE | MessageId::SUGGEST | MessageId::ALLOWED_FAST => 5,
        MessageId::REQUEST | MessageId::CANCEL | MessageId::REJECT => 13,
        MessageId::PIECE => 9,
        MessageId::EXTENDED => 6,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What is heard of a stream that comes in parts of these lengths, in turns.
    fn heard(stream: &[u8], cuts: &[usize]) -> (Vec<String>, u64, u64) {
        let mut follower = Follower { state: State::Head(0, [0; 17]), ..Follower::default() };
        let (mut heard, mut rest) = (Vec::new(), stream);
        for length in cuts.iter().cycle() {
            let (mut part, after) = rest.split_at((*length).min(rest.len()));
            while let Some(said) = follower.next(&mut part) {
                heard.push(match said {
                    Said::Head(head) => format!("{head:?}"),
                    Said::Bitfield(bytes) | Said::Extended(bytes) => format!("{bytes:?}"),
                });
            }
            rest = after;
            if rest.is_empty() {
                return (heard, follower.payload, follower.begun);
            }
        }
        unreachable!("there is a cut at least")
    }

    /// Messages as one side says them, each an id and its body, behind a handshake if they are the first.
    fn said(shakes: bool, messages: &[(u8, &[u8])]) -> Bytes {
        let mut bytes = Vec::new();
        if shakes {
            bytes.extend([19]);
            bytes.extend([0; 67]);
            bytes[25] = 0x10;
            bytes[27] = 4;
        }
        for (id, body) in messages {
            bytes.extend((1 + body.len() as u32).to_be_bytes());
            bytes.push(*id);
            bytes.extend(*body);
        }
        bytes.into()
    }

    fn block(piece: u32) -> Vec<u8> {
        [piece, 0, 16384].iter().flat_map(|number| number.to_be_bytes()).collect()
    }

    /// Both have shaken hands and let each other ask.
    fn witness() -> Witness {
        let mut witness = Witness::default();
        witness.reads(&said(true, &[(1, &[])]), 1000);
        assert_eq!(witness.writes(&[said(true, &[(1, &[])])], 500, true), Ok(()));
        witness
    }

    #[test]
    fn however_many_were_asked_for_none_is_asked_for_again() {
        let mut witness = witness();
        for piece in 0..300 {
            assert_eq!(witness.writes(&[said(false, &[(6, &block(piece))])], 500, false), Ok(()));
        }
        assert!(witness.writes(&[said(false, &[(6, &block(250))])], 500, false).is_err());
        // The peer chokes, and has rejected one of them; the others it will answer yet.
        witness.reads(&said(false, &[(0, &[]), (16, &block(250)), (16, &block(250)), (1, &[])]), 1000);
        assert_eq!(witness.asked(), 299);
        assert_eq!(witness.writes(&[said(false, &[(6, &block(250))])], 500, false), Ok(()));
        assert!(witness.writes(&[said(false, &[(6, &block(249))])], 500, false).is_err());
        assert_eq!(witness.writes(&[said(false, &[(8, &block(248)), (6, &block(248))])], 500, false), Ok(()));
    }

    #[test]
    fn a_choke_leaves_nothing_unanswered_but_what_is_allowed_fast() {
        let mut witness = witness();
        witness.reads(&said(false, &[(6, &block(1)), (6, &block(2))]), 1000);
        assert_eq!(witness.unanswered(false), None);
        assert_eq!(witness.unanswered(true).map(|block| block.piece), Some(1));
        assert_eq!(witness.writes(&[said(false, &[(17, &2u32.to_be_bytes()), (0, &[])])], 500, false), Ok(()));
        assert_eq!(witness.unanswered(false).map(|block| block.piece), Some(1));
        assert_eq!(witness.writes(&[said(false, &[(16, &block(1))])], 500, false), Ok(()));
        assert_eq!(witness.unanswered(false), None);
        assert_eq!((witness.unanswered(true).map(|block| block.piece), witness.owed()), (Some(2), 1));
    }

    #[test]
    fn peer_exchange_is_known_by_what_is_said() {
        let mut witness = witness();
        let mut says = |message: &[u8]| {
            let whole = said(false, &[(5, &[0xff]), (20, message)]);
            assert_eq!(witness.writes(&[whole.slice(..9), whole.slice(9..)], 500, true), Ok(()));
            witness.exchange
        };
        assert_eq!(says(b"\0d1:md11:ut_metadatai2e6:ut_pexi0eee"), Exchange::Nothing);
        assert_eq!(says(b"\0d1:md11:ut_metadatai2e6:ut_pexi1eee"), Exchange::Offered);
        assert_eq!(says(b"\x07d5:added0:e"), Exchange::Told);
        assert_eq!(says(b"\x07de"), Exchange::Nothing);
        assert_eq!(says(b"\x07d8:msg_typei1e5:piecei0ee5:added"), Exchange::Nothing);
    }

    proptest! {
        /// However a stream is cut, the same is heard of it.
        #[test]
        fn cuts_do_not_matter(
            messages in proptest::collection::vec((0u8..22, proptest::collection::vec(any::<u8>(), 0..20), any::<bool>()), 1..12),
            cuts in proptest::collection::vec(1usize..30, 1..6),
        ) {
            let mut stream = Vec::new();
            for (id, body, empty) in messages {
                if empty {
                    stream.extend([0; 4]);
                } else {
                    stream.extend((1 + body.len() as u32).to_be_bytes());
                    stream.push(id);
                    stream.extend(body);
                }
            }
            let whole = heard(&stream, &[stream.len()]);
            prop_assert_eq!(&heard(&stream, &[1]), &whole);
            prop_assert_eq!(&heard(&stream, &cuts), &whole);
        }
    }
}
