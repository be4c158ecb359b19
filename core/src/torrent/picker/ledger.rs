use super::{Picker, Priority, availability::Class, begun::Begun};

/// What follows from the facts about one piece: its share of the picker's sums and its place in the picker's indexes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing<P> {
    pub(super) class: Class,
    open: Option<(Priority, u32, u32)>,
    restricted_to: Option<P>,
    wanted: bool,
    missing_blocks: u32,
    begun_bytes: u32,
}

impl<P: Copy + Ord> Picker<P> {
    /// Lets `f` change the facts about `piece` and draws the consequences. Every change of a piece goes through here.
    pub(super) fn change<R>(&mut self, piece: u32, f: impl FnOnce(&mut Self) -> R) -> R {
        let before = self.standing(piece);
        let result = f(self);
        if self.begun.get(&piece).is_some_and(Begun::is_untouched) {
            self.begun.remove(&piece);
        }
        let after = self.standing(piece);
        if before != after {
            self.withdraw(piece, &before);
            self.enter(piece, &after);
        }
        if before.class != after.class {
            if let Some(order) = &mut self.order {
                order.set_class(piece, after.class);
            }
            if before.class == Class::Out {
                self.epoch = self.epoch.wrapping_add(1);
            }
        }
        result
    }

    /// What follows from the facts about `piece`.
    pub(super) fn standing(&self, piece: u32) -> Standing<P> {
        let wanted = self.wants(piece);
        let priority = self.priority(piece);
        match self.begun.get(&piece) {
            Some(begun) => {
                let open = wanted && begun.free() > 0 && begun.restricted_to.is_none();
                Standing {
                    class: Class::Out,
                    open: open.then_some((priority, begun.free(), piece)),
                    restricted_to: begun.restricted_to,
                    wanted,
                    missing_blocks: if wanted { begun.missing() } else { 0 },
                    begun_bytes: if wanted && begun.missing() > 0 && !begun.is_claimed() { self.geometry.piece_size(piece) } else { 0 },
                }
            }
            None => Standing {
                class: match priority {
                    _ if !wanted => Class::Out,
                    Priority::High => Class::High,
                    Priority::Normal => Class::Normal,
                    Priority::Low => Class::Low,
                    Priority::Skip => Class::Out,
                },
                open: None,
                restricted_to: None,
                wanted,
                missing_blocks: if wanted { self.geometry.blocks_in(piece) } else { 0 },
                begun_bytes: 0,
            },
        }
    }

    /// Sums up all pieces, where nothing was summed up before.
    pub(super) fn recount(&mut self) {
        for piece in 0..self.geometry.piece_count() {
            let standing = self.standing(piece);
            self.enter(piece, &standing);
        }
    }

    fn enter(&mut self, piece: u32, standing: &Standing<P>) {
        self.fresh_count += u32::from(standing.class != Class::Out);
        self.wanted_count += u32::from(standing.wanted);
        self.missing_blocks += u64::from(standing.missing_blocks);
        self.begun_bytes += u64::from(standing.begun_bytes);
        self.open.extend(standing.open);
        self.restricted.extend(standing.restricted_to.map(|peer| (peer, piece)));
        if standing.class == Class::High {
            self.high.insert(piece);
        }
    }

    fn withdraw(&mut self, piece: u32, standing: &Standing<P>) {
        self.fresh_count -= u32::from(standing.class != Class::Out);
        self.wanted_count -= u32::from(standing.wanted);
        self.missing_blocks -= u64::from(standing.missing_blocks);
        self.begun_bytes -= u64::from(standing.begun_bytes);
        if standing.class == Class::High {
            self.high.remove(&piece);
        }
        if let Some(key) = &standing.open {
            self.open.remove(key);
        }
        if let Some(peer) = standing.restricted_to {
            self.restricted.remove(&(peer, piece));
        }
    }

    /// Recounts everything and panics where a sum or an index is not what follows from the facts.
    #[cfg(test)]
    pub(super) fn assert_consistent(&self)
    where
        P: core::fmt::Debug,
    {
        let mut recounted = Picker::seeding(self.geometry, self.config);
        recounted.have = self.have.clone();
        recounted.priorities = self.priorities.clone();
        recounted.begun = self.begun.clone();
        recounted.recount();
        assert_eq!(self.fresh_count, recounted.fresh_count);
        assert_eq!(self.wanted_count, recounted.wanted_count);
        assert_eq!(self.missing_blocks, recounted.missing_blocks);
        assert_eq!(self.begun_bytes, recounted.begun_bytes);
        assert_eq!(self.open, recounted.open);
        assert_eq!(self.restricted, recounted.restricted);
        assert_eq!(self.high, recounted.high);
        for (piece, begun) in &self.begun {
            assert!(!self.has(*piece) && !begun.is_untouched());
            begun.assert_consistent(self.config.endgame_requests.max(1) as usize);
            assert_eq!(begun.len(), self.geometry.blocks_in(*piece));
        }
        if let Some(order) = &self.order {
            order.assert_consistent();
            for piece in 0..self.geometry.piece_count() {
                assert_eq!(order.class(piece), self.standing(piece).class);
                assert!(order.level(piece) <= self.leechers);
            }
        }
        if self.have.is_none() {
            assert!(self.order.is_none() && self.begun.is_empty() && self.priorities.is_empty());
        }
        assert!(self.have.as_ref().is_none_or(|have| !have.is_full()));
    }
}
