//! The engine's own randomness: seeded by the host, split by purpose.

/// What a host seeds an engine with. The same seed and the same inputs give the same actions.
///
/// Use 32 bytes of the system's randomness in the field, a fixed array in a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub [u8; 32]);

impl Seed {
    /// A seed for tests and simulations, spread from a small number.
    pub const fn from_u64(number: u64) -> Seed {
        let mut state = number;
        let mut bytes = [0; 32];
        let mut at = 0;
        while at < 32 {
            let (word, next) = split_mix(state);
            state = next;
            let word = word.to_le_bytes();
            let mut byte = 0;
            while byte < 8 {
                bytes[at + byte] = word[byte];
                byte += 1;
            }
            at += 8;
        }
        Seed(bytes)
    }
}

/// What a stream of random numbers is for. A draw added to one purpose shifts nothing in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// Our peer id.
    PeerId = 1,
    /// The key by which trackers know us across addresses.
    TrackerKey = 2,
    /// Shuffles of tracker tiers and jitter of announces.
    Announcer = 3,
    /// The optimistic unchoke.
    Choker = 4,
    /// Ties between equally rare pieces.
    Picker = 5,
    /// The order in which equally good peers are tried.
    PeerList = 6,
    /// Transaction and connection ids of UDP trackers.
    UdpTracker = 7,
    /// What a test or a simulation draws for itself.
    Simulation = 8,
    /// Which peers our own tracker tells of.
    TrackerServer = 9,
    /// The cookie by which local discovery knows its own announces.
    LocalDiscovery = 10,
}

/// xoshiro256\*\* (Blackman and Vigna): 256 bits of state, fast, and the same on every platform.
///
/// Not for secrets: nothing in the protocol needs one from here.
#[derive(Clone, Debug)]
pub struct Rng([u64; 4]);

impl Rng {
    /// The stream that `seed` decides.
    pub fn new(seed: Seed) -> Rng {
        let mut state = [0; 4];
        for (word, bytes) in state.iter_mut().zip(seed.0.chunks_exact(8)) {
            *word = bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
        // The all-zero state is the generator's one fixed point.
        if state == [0; 4] {
            state = [1, 2, 3, 4];
        }
        Rng(state)
    }

    /// An independent stream for `purpose` and `instance` (a torrent's number, say), without drawing from this one.
    pub fn fork(&self, purpose: Purpose, instance: u64) -> Rng {
        // Each word is mixed from the one before it, so that every bit of purpose and instance reaches all of them.
        let (mut mix, _) = split_mix((purpose as u64) << 32 ^ self.0[0]);
        (mix, _) = split_mix(mix ^ instance ^ self.0[1].rotate_left(32));
        let mut state = [0; 4];
        for (word, own) in state.iter_mut().zip(self.0) {
            (mix, _) = split_mix(mix ^ own);
            *word = mix;
        }
        Rng(state)
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        let state = &mut self.0;
        let result = state[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let shifted = state[1] << 17;
        state[2] ^= state[0];
        state[3] ^= state[1];
        state[1] ^= state[2];
        state[0] ^= state[3];
        state[2] ^= shifted;
        state[3] = state[3].rotate_left(45);
        result
    }

    /// 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    /// A number below `bound`, each as likely as any other to within 2⁻⁶⁴ · `bound`; 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A random index of a slice of `length` elements; `None` if it is empty.
    pub fn index(&mut self, length: usize) -> Option<usize> {
        (length > 0).then(|| self.below(length as u64) as usize)
    }

    /// Shuffles `items` (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            items.swap(last, other);
        }
    }

    /// Fills `bytes` with random ones.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.next_u64().to_le_bytes();
            for (to, from) in chunk.iter_mut().zip(word) {
                *to = from;
            }
        }
    }
}

/// One step of SplitMix64: a well-mixed word and the next state.
const fn split_mix(state: u64) -> (u64, u64) {
    let next = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut word = next;
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (word ^ (word >> 31), next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forks_differ_by_purpose_and_instance_and_repeat() {
        let root = Rng::new(Seed::from_u64(1));
        let draw = |purpose, instance| root.fork(purpose, instance).next_u64();
        assert_eq!(draw(Purpose::Choker, 1), draw(Purpose::Choker, 1));
        assert_ne!(draw(Purpose::Choker, 1), draw(Purpose::Choker, 2));
        assert_ne!(draw(Purpose::Choker, 1), draw(Purpose::Picker, 1));
    }

    #[test]
    fn the_sequence_never_changes() {
        let mut rng = Rng::new(Seed::from_u64(0));
        let first = [rng.next_u64(), rng.next_u64(), rng.next_u64()];
        assert_eq!(first, [0x99ec_5f36_cb75_f2b4, 0xbf6e_1f78_4956_452a, 0x1a5f_849d_4933_e6e0]);
    }

    #[test]
    fn below_stays_below_and_reaches_everything() {
        let mut rng = Rng::new(Seed::from_u64(7));
        let mut seen = [false; 10];
        for _ in 0..1000 {
            seen[rng.below(10) as usize] = true;
        }
        assert!(seen.iter().all(|seen| *seen));
        assert_eq!(rng.below(0), 0);
    }
}
