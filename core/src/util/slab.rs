use super::push;
use alloc::vec::Vec;
use core::{fmt, marker::PhantomData};

/// A place in a [`Slab`] and the generation of its tenant: once that is removed, the key finds nothing, for ever.
///
/// Late answers for things that are gone are no-ops because of this.
pub struct Key<T> {
    index: u32,
    generation: u32,
    tenant: PhantomData<fn() -> T>,
}

impl<T> Key<T> {
    /// The key as one number: for logs, recordings and hosts that keep their own tables.
    pub const fn to_bits(self) -> u64 {
        (self.generation as u64) << 32 | self.index as u64
    }

    /// The key that [`Key::to_bits`] wrote. A made-up one finds nothing, or something alive: it is never unsafe.
    pub const fn from_bits(bits: u64) -> Self {
        Key { index: bits as u32, generation: (bits >> 32) as u32, tenant: PhantomData }
    }

    /// The place, reused once its tenant is gone: what a host may index its own table with.
    pub const fn index(self) -> usize {
        self.index as usize
    }
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Key<T> {}
impl<T> PartialEq for Key<T> {
    fn eq(&self, other: &Self) -> bool {
        self.to_bits() == other.to_bits()
    }
}
impl<T> Eq for Key<T> {}
impl<T> PartialOrd for Key<T> {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Key<T> {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (self.index, self.generation).cmp(&(other.index, other.generation))
    }
}
impl<T> core::hash::Hash for Key<T> {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.to_bits().hash(state);
    }
}
impl<T> fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

/// A vector with stable, generational keys: O(1) insertion, removal and look-up, iteration in order of place.
///
/// `M` marks the keys' kind, so that a torrent's key does not fit the table of connections.
pub struct Slab<M, T> {
    places: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
    marker: PhantomData<fn() -> M>,
}

impl<M, T: fmt::Debug> fmt::Debug for Slab<M, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<M, T> Default for Slab<M, T> {
    fn default() -> Self {
        Slab { places: Vec::new(), free: Vec::new(), marker: PhantomData }
    }
}

impl<M, T> Slab<M, T> {
    /// An empty slab; allocates nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes `value` in, under a key that no earlier tenant had.
    pub fn insert(&mut self, value: T) -> Key<M> {
        self.insert_with(|_| value)
    }

    /// Like [`Slab::insert`], for a value that must know its own key.
    pub fn insert_with(&mut self, make: impl FnOnce(Key<M>) -> T) -> Key<M> {
        let index = self.free.pop().unwrap_or(self.places.len() as u32);
        if index as usize == self.places.len() {
            push(&mut self.places, 1, (0, None));
        }
        let (generation, place) = &mut self.places[index as usize];
        let key = Key { index, generation: *generation, tenant: PhantomData };
        *place = Some(make(key));
        key
    }

    /// Removes and returns what `key` stands for, if it is still there.
    pub fn remove(&mut self, key: Key<M>) -> Option<T> {
        let (generation, place) = self.places.get_mut(key.index as usize)?;
        if *generation != key.generation {
            return None;
        }
        let value = place.take()?;
        *generation = generation.wrapping_add(1);
        self.free.push(key.index);
        Some(value)
    }

    /// What `key` stands for, if it is still there.
    pub fn get_mut(&mut self, key: Key<M>) -> Option<&mut T> {
        match self.places.get_mut(key.index as usize) {
            Some((generation, value)) if *generation == key.generation => value.as_mut(),
            _ => None,
        }
    }

    /// What `key` stands for, if it is still there.
    pub fn get(&self, key: Key<M>) -> Option<&T> {
        match self.places.get(key.index as usize) {
            Some((generation, value)) if *generation == key.generation => value.as_ref(),
            _ => None,
        }
    }

    /// Whether `key` still stands for something.
    pub fn contains(&self, key: Key<M>) -> bool {
        self.get(key).is_some()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All, in order of place.
    pub fn iter(&self) -> impl Iterator<Item = (Key<M>, &T)> {
        self.places.iter().enumerate().filter_map(|(index, (generation, value))| {
            Some((Key { index: index as u32, generation: *generation, tenant: PhantomData }, value.as_ref()?))
        })
    }

    /// All, in order of place.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Key<M>, &mut T)> {
        self.places.iter_mut().enumerate().filter_map(|(index, (generation, value))| {
            Some((Key { index: index as u32, generation: *generation, tenant: PhantomData }, value.as_mut()?))
        })
    }

    /// The keys of all, in order of place.
    pub fn keys(&self) -> impl Iterator<Item = Key<M>> {
        self.iter().map(|(key, _)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_outlives_its_tenant_and_finds_nothing() {
        let mut slab = Slab::<(), _>::new();
        let first = slab.insert("first");
        assert_eq!(slab.remove(first), Some("first"));
        let second = slab.insert("second");
        assert_eq!(first.index(), second.index());
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get(second), Some(&"second"));
        assert_eq!(slab.len(), 1);
        assert_eq!(Key::from_bits(second.to_bits()), second);
    }
}
