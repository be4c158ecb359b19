use super::pieces::{PeerPieces, bit, pieces_of_word};
use crate::{rng::Rng, util::Bitfield};
use alloc::{vec, vec::Vec};
use core::ops::Range;

/// Where a piece stands in the picker's order, apart from its rarity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// Not begun, and wanted before all others.
    High,
    /// Not begun, and wanted.
    Normal,
    /// Not begun, and wanted after all others.
    Low,
    /// Not to be begun: held, begun already, or not wanted.
    Out,
}

const CLASSES: usize = 4;

impl Class {
    const ALL: [Class; CLASSES] = [Class::High, Class::Normal, Class::Low, Class::Out];
    const FRESH: [Class; CLASSES - 1] = [Class::High, Class::Normal, Class::Low];

    fn from_bucket(bucket: usize) -> Class {
        Class::ALL[bucket % CLASSES]
    }
}

/// All pieces of a torrent, sorted by how many peers hold them: 8 bytes and a bit a piece.
///
/// One array holds the pieces bucket behind bucket; there is a bucket for each level (the number of peers that hold a piece,
/// seeds not counted) and in it each class. A piece's bucket is not stored but found from its place, by a binary search over
/// the few buckets' ends. A piece moves to the next bucket by changing places with the piece at the border: a `have` costs at
/// most four swaps, a change of class three, whatever the number of pieces and peers.
#[derive(Debug)]
pub(super) struct Order {
    /// The pieces, bucket behind bucket.
    pieces: Vec<u32>,
    /// Where in `pieces` each piece stands.
    places: Vec<u32>,
    /// Where in `pieces` each bucket ends: that of `level` and `class` is number `level * CLASSES + class`.
    ends: Vec<u32>,
    /// How many pieces are in each class.
    counts: [u32; CLASSES],
    /// Below this level there is no piece of that class. May lag behind; searches catch up.
    lowest: [u32; CLASSES],
    /// The pieces that are not [`Class::Out`], in words of a [`Bitfield`].
    fresh: Vec<u64>,
}

impl Order {
    /// All pieces at level 0.
    pub(super) fn new(piece_count: u32, class: impl Fn(u32) -> Class) -> Order {
        let classes: Vec<Class> = (0..piece_count).map(class).collect();
        let mut order = Order {
            pieces: Vec::with_capacity(classes.len()),
            places: vec![0; classes.len()],
            ends: Vec::with_capacity(CLASSES),
            counts: [0; CLASSES],
            lowest: [0; CLASSES],
            fresh: vec![0; classes.len().div_ceil(64)],
        };
        for bucket in Class::ALL {
            let begin = order.pieces.len();
            order.pieces.extend((0..piece_count).zip(&classes).filter(|(_, class)| **class == bucket).map(|(piece, _)| piece));
            order.counts[bucket as usize] = (order.pieces.len() - begin) as u32;
            order.ends.push(order.pieces.len() as u32);
        }
        for (place, piece) in order.pieces.iter().enumerate() {
            order.places[*piece as usize] = place as u32;
        }
        for (piece, _) in classes.iter().enumerate().filter(|(_, class)| **class != Class::Out) {
            order.fresh[piece / 64] |= bit(piece as u32);
        }
        order
    }

    /// How many peers hold `piece`, seeds not counted.
    pub(super) fn level(&self, piece: u32) -> u32 {
        (self.bucket_of(piece) / CLASSES) as u32
    }

    /// The class of `piece`.
    pub(super) fn class(&self, piece: u32) -> Class {
        Class::from_bucket(self.bucket_of(piece))
    }

    /// The lowest level at which there is any piece, and how many are there; of no pieces, zero.
    pub(super) fn lowest_level(&self) -> (u32, u32) {
        let bucket = self.ends.iter().position(|end| *end > 0).unwrap_or(0);
        let level = bucket / CLASSES;
        (level as u32, self.ends.get(level * CLASSES + CLASSES - 1).copied().unwrap_or(0))
    }

    /// How many words of 64 pieces there are.
    pub(super) fn words(&self) -> usize {
        self.fresh.len()
    }

    /// One more peer holds `piece`.
    pub(super) fn raise(&mut self, piece: u32) {
        let bucket = self.bucket_of(piece);
        if bucket + CLASSES >= self.ends.len() {
            self.ends.extend([self.pieces.len() as u32; CLASSES]);
        }
        for bucket in bucket..bucket + CLASSES {
            self.move_up(piece, bucket);
        }
    }

    /// One peer less holds `piece`. At level 0 nothing happens.
    pub(super) fn lower(&mut self, piece: u32) {
        let bucket = self.bucket_of(piece);
        let Some(below) = bucket.checked_sub(CLASSES) else { return };
        for bucket in (below..bucket).rev() {
            self.move_down(piece, bucket);
        }
        let lowest = &mut self.lowest[bucket % CLASSES];
        *lowest = (*lowest).min((below / CLASSES) as u32);
        self.drop_empty_levels();
    }

    /// One more peer holds what `has` does, or one less.
    pub(super) fn shift(&mut self, has: &Bitfield, up: bool) {
        if (has.count() as usize) < self.pieces.len() / 8 {
            let count = self.places.len() as u32;
            for piece in has.iter().filter(|piece| *piece < count) {
                if up { self.raise(piece) } else { self.lower(piece) }
            }
        } else {
            self.sort_again(has, up);
        }
    }

    /// Each piece is one level lower, because a peer that held all but was counted at each piece is now counted as a seed.
    pub(super) fn sink(&mut self) {
        // Level 0 is empty, for the peer held every piece.
        if self.ends.len() > CLASSES && self.ends[CLASSES - 1] == 0 {
            self.ends.drain(..CLASSES);
            self.lowest = self.lowest.map(|lowest| lowest.saturating_sub(1));
        }
    }

    /// Each piece is one level higher: the reverse of [`Order::sink`].
    pub(super) fn lift(&mut self) {
        self.ends.splice(..0, [0; CLASSES]);
        self.lowest = self.lowest.map(|lowest| lowest.saturating_add(1));
    }

    /// Puts `piece` into another class.
    pub(super) fn set_class(&mut self, piece: u32, class: Class) {
        let bucket = self.bucket_of(piece);
        let (old, level) = (Class::from_bucket(bucket), bucket / CLASSES);
        let target = level * CLASSES + class as usize;
        for bucket in bucket..target {
            self.move_up(piece, bucket);
        }
        for bucket in (target..bucket).rev() {
            self.move_down(piece, bucket);
        }
        self.counts[old as usize] -= 1;
        self.counts[class as usize] += 1;
        self.lowest[class as usize] = self.lowest[class as usize].min(level as u32);
        if class == Class::Out {
            self.fresh[piece as usize / 64] &= !bit(piece);
        } else {
            self.fresh[piece as usize / 64] |= bit(piece);
        }
    }

    /// A piece of the best class that `has`, any with the same chance, where most peers hold most pieces. Gives up after
    /// `probes` looks.
    pub(super) fn random(&self, has: &PeerPieces<'_>, probes: u32, rng: &mut Rng, steps: &mut u32) -> Option<u32> {
        let class = Class::FRESH.into_iter().find(|class| self.counts[*class as usize] > 0)?;
        let start = rng.index(self.pieces.len())?;
        let (before, after) = self.pieces.split_at(start);
        after.iter().chain(before).copied().take(probes as usize).find(|piece| {
            *steps += 1;
            has.contains(*piece) && self.class(*piece) == class
        })
    }

    /// The rarest piece of the best class that `has`, any of equally rare ones. Gives up after `probes` looks.
    pub(super) fn rarest(&mut self, has: &PeerPieces<'_>, probes: u32, rng: &mut Rng, steps: &mut u32) -> Option<u32> {
        let levels = (self.ends.len() / CLASSES) as u32;
        let classes = Class::FRESH.map(|class| (class, self.counts[class as usize])).into_iter().filter(|(_, count)| *count > 0);
        for (class, _) in classes.clone() {
            while self.lowest[class as usize] < levels && self.bucket(self.lowest[class as usize], class).is_empty() {
                self.lowest[class as usize] += 1;
                *steps += 1;
            }
        }
        let last = *steps + probes;
        // What a peer that is no seed holds is at level 1 or above.
        let lowest = u32::from(!has.is_all());
        for (class, _) in classes {
            for level in self.lowest[class as usize].max(lowest)..levels {
                let bucket = self.bucket(level, class);
                let (before, after) = bucket.split_at(rng.index(bucket.len()).unwrap_or(0));
                for piece in after.iter().chain(before) {
                    if *steps >= last {
                        return None;
                    }
                    *steps += 1;
                    if has.contains(*piece) {
                        return Some(*piece);
                    }
                }
                // An empty bucket costs a look, too.
                *steps += 1;
            }
        }
        None
    }

    /// The first word of `range` in which `has` a fresh piece; its end if there is none.
    pub(super) fn first_word(&self, has: &PeerPieces<'_>, range: Range<usize>, steps: &mut u32) -> usize {
        let end = range.end;
        range.inspect(|_| *steps += 1).find(|at| self.word(has, *at) != 0).unwrap_or(end)
    }

    /// The first fresh piece that `has` in word `at`.
    pub(super) fn first_in(&self, has: &PeerPieces<'_>, at: usize) -> Option<u32> {
        pieces_of_word(at, self.word(has, at)).next()
    }

    /// The best fresh piece that `has` in the words `range`: best class, then rarest. Looks at no more than 64.
    pub(super) fn best_in(&self, has: &PeerPieces<'_>, range: Range<usize>, steps: &mut u32) -> Option<u32> {
        let words = range.inspect(|_| *steps += 1).flat_map(|at| pieces_of_word(at, self.word(has, at)));
        words.take(64).min_by_key(|piece| {
            let bucket = self.bucket_of(*piece);
            (bucket % CLASSES, bucket / CLASSES)
        })
    }

    /// The fresh pieces that `has` in word `at`.
    fn word(&self, has: &PeerPieces<'_>, at: usize) -> u64 {
        self.fresh.get(at).map_or(0, |fresh| fresh & has.word(at))
    }

    fn bucket(&self, level: u32, class: Class) -> &[u32] {
        let bucket = level as usize * CLASSES + class as usize;
        let Some(end) = self.ends.get(bucket) else { return &[] };
        self.pieces.get(self.begin_of(bucket)..*end as usize).unwrap_or(&[])
    }

    fn begin_of(&self, bucket: usize) -> usize {
        bucket.checked_sub(1).map_or(0, |before| self.ends[before] as usize)
    }

    fn bucket_of(&self, piece: u32) -> usize {
        let place = self.places[piece as usize];
        self.ends.partition_point(|end| *end <= place)
    }

    /// Moves `piece` from `bucket` to the next one.
    fn move_up(&mut self, piece: u32, bucket: usize) {
        let last = self.ends[bucket] - 1;
        self.swap(piece, last);
        self.ends[bucket] = last;
    }

    /// Moves `piece` from the bucket behind `bucket` to `bucket`.
    fn move_down(&mut self, piece: u32, bucket: usize) {
        let first = self.ends[bucket];
        self.swap(piece, first);
        self.ends[bucket] = first + 1;
    }

    /// Lets `piece` change places with the one at `place`.
    fn swap(&mut self, piece: u32, place: u32) {
        let old = self.places[piece as usize];
        let other = self.pieces[place as usize];
        self.pieces.swap(old as usize, place as usize);
        self.places[other as usize] = old;
        self.places[piece as usize] = place;
    }

    fn drop_empty_levels(&mut self) {
        let all = self.pieces.len() as u32;
        // The last level is empty if the one before it ends where all pieces end.
        while self.ends.len() > CLASSES && self.ends[self.ends.len() - CLASSES - 1] == all {
            self.ends.truncate(self.ends.len() - CLASSES);
        }
    }

    /// Counting sort by the new buckets: for a peer that holds many pieces cheaper than moving one after the other.
    fn sort_again(&mut self, has: &Bitfield, up: bool) {
        let mut ends = vec![0u32; self.ends.len() + CLASSES];
        let moved = |bucket: usize, piece: u32| match (has.get(piece), up) {
            (false, _) => bucket,
            (true, true) => bucket + CLASSES,
            (true, false) => bucket.checked_sub(CLASSES).unwrap_or(bucket),
        };
        for bucket in 0..self.ends.len() {
            for piece in &self.pieces[self.begin_of(bucket)..self.ends[bucket] as usize] {
                ends[moved(bucket, *piece)] += 1;
            }
        }
        // From sizes to beginnings; each then advances to its bucket's end while the bucket is filled.
        let mut begin = 0;
        for end in &mut ends {
            begin += core::mem::replace(end, begin);
        }
        let mut pieces = vec![0; self.pieces.len()];
        for bucket in 0..self.ends.len() {
            for piece in &self.pieces[self.begin_of(bucket)..self.ends[bucket] as usize] {
                let place = &mut ends[moved(bucket, *piece)];
                pieces[*place as usize] = *piece;
                self.places[*piece as usize] = *place;
                *place += 1;
            }
        }
        self.pieces = pieces;
        self.ends = ends;
        self.lowest = [0; CLASSES];
        self.drop_empty_levels();
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        (self.pieces.capacity() + self.places.capacity() + self.ends.capacity()) * 4 + self.fresh.capacity() * 8
    }

    #[cfg(test)]
    pub(super) fn assert_consistent(&self) {
        assert!(self.ends.is_sorted());
        assert_eq!(self.ends.len() % CLASSES, 0);
        assert_eq!(self.ends.last().copied(), Some(self.pieces.len() as u32));
        let mut counts = [0; CLASSES];
        for bucket in 0..self.ends.len() {
            let class = Class::from_bucket(bucket);
            for place in self.begin_of(bucket)..self.ends[bucket] as usize {
                let piece = self.pieces[place];
                assert_eq!(self.places[piece as usize] as usize, place);
                assert_eq!(self.fresh[piece as usize / 64] & bit(piece) != 0, class != Class::Out);
                assert!(self.lowest[class as usize] as usize <= bucket / CLASSES);
                counts[class as usize] += 1;
            }
        }
        assert_eq!(self.counts, counts);
    }
}
