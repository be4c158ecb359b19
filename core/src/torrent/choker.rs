//! Who may download from us: a pure decision, taken every ten seconds (BEP 3).

use crate::{id::ConnectionId, rng::Rng, time::Instant};
use alloc::vec::Vec;

/// One interested peer, as a choke round sees it.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Who.
    pub connection: ConnectionId,
    /// What it did for us: bytes that it sent us in the last two rounds, or ever ([`Stance::Seeding`]), or pieces that it passed on in the
    /// last two rounds ([`Stance::First`]).
    pub received: u64,
    /// It has passed on something before, if not lately ([`Stance::First`]).
    pub passes_on: bool,
    /// It is unchoked now.
    pub unchoked: bool,
    /// When it was last unchoked or choked; the moment it connected if it never was.
    pub changed: Instant,
    /// It owes us blocks and sends none: only the optimistic unchoke may still reach it.
    pub snubbed: bool,
    /// It connected less than three optimistic rounds ago: three times as likely to be the optimistic one (BEP 3).
    pub new: bool,
}

/// What we want from those who download from us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stance {
    /// That they send us something in return.
    Leeching,
    /// Nothing any more: everybody has a turn, those first that gave us something while we had not finished.
    Seeding,
    /// That they pass on what nobody else has: we have the only copy, or the only one of some pieces.
    First,
}

/// What a torrent's choker remembers from round to round.
#[derive(Clone, Debug)]
pub struct Choker {
    rng: Rng,
    round: u32,
    optimistic: Option<ConnectionId>,
}

impl Choker {
    /// A choker that has seen no round.
    pub fn new(rng: Rng) -> Choker {
        Choker { rng, round: 0, optimistic: None }
    }

    /// The peers to unchoke until the next round, at most `slots`; all others are to be choked.
    ///
    /// While leeching, slots go to those that sent us most, and the last one to an optimistic unchoke that stays for
    /// `optimistic_rounds` rounds. While seeding, slots go round: whoever holds one keeps it for `optimistic_rounds` rounds, then
    /// it goes to the one who has waited longest. Of those who gave us something before, that is: to others goes the last slot, and what these
    /// leave. With the only copy, all slots but one may go to those who pass on most, and the rest
    /// go round.
    pub fn round(&mut self, candidates: &[Candidate], slots: usize, optimistic_rounds: u32, stance: Stance) -> Vec<ConnectionId> {
        let turn = self.round.is_multiple_of(optimistic_rounds.max(1));
        self.round = self.round.wrapping_add(1);
        let strangers = !candidates.iter().any(|candidate| candidate.received > 0);
        if slots == 0 || (candidates.len() <= slots && (stance != Stance::Leeching || strangers)) {
            self.optimistic = None;
            return candidates.iter().take(slots).map(|candidate| candidate.connection).collect();
        }
        match stance {
            Stance::Leeching => {}
            Stance::Seeding => return grateful(candidates, slots, turn),
            Stance::First => return first_copy(candidates, slots, turn),
        }
        let gives = |candidate: &&Candidate| candidate.received > 0;
        let mut chosen: Vec<&Candidate> =
            candidates.iter().filter(|candidate| !candidate.snubbed && (strangers || gives(candidate))).collect();
        // Equal rates are broken by who holds a slot already, so that nobody is choked for nothing.
        chosen.sort_by_key(|candidate| (core::cmp::Reverse((candidate.received, candidate.unchoked)), candidate.connection));
        chosen.truncate(slots.saturating_sub(1));
        let mut unchoked: Vec<ConnectionId> = chosen.iter().map(|candidate| candidate.connection).collect();
        let still = |candidate: &&Candidate| Some(candidate.connection) == self.optimistic;
        let others = || candidates.iter().filter(|candidate| !unchoked.contains(&candidate.connection));
        let next = match others().find(still).filter(|_| !turn) {
            Some(kept) => Some(kept.connection),
            None => {
                let weight = |candidate: &Candidate| if candidate.new { 3 } else { 1 };
                let mut draw = self.rng.below(others().map(weight).sum());
                others()
                    .find(|candidate| match draw.checked_sub(weight(candidate)) {
                        Some(rest) => {
                            draw = rest;
                            false
                        }
                        None => true,
                    })
                    .map(|candidate| candidate.connection)
            }
        };
        self.optimistic = next;
        unchoked.extend(next);
        unchoked
    }

    /// The peer that is unchoked on trial.
    pub fn optimistic(&self) -> Option<ConnectionId> {
        self.optimistic
    }
}

/// Those who gave us something have their turns in all slots but one, the others in what is left.
fn grateful(candidates: &[Candidate], slots: usize, turn: bool) -> Vec<ConnectionId> {
    let (givers, mut others): (Vec<Candidate>, Vec<Candidate>) = candidates.iter().partition(|candidate| candidate.received > 0);
    let mut chosen = round_robin(&givers, if others.is_empty() { slots } else { slots - 1 }, turn);
    if others.len() + chosen.len() < slots {
        others.extend(givers.iter().filter(|giver| !chosen.contains(&giver.connection)));
    }
    chosen.extend(round_robin(&others, slots - chosen.len(), turn));
    chosen
}

/// Those who pass on most keep their slots. The others have their turns in what is left, in all but the last slot those who once passed
/// something on: what the rest keeps to itself is lost to the swarm.
fn first_copy(candidates: &[Candidate], slots: usize, turn: bool) -> Vec<ConnectionId> {
    let (mut passing, others): (Vec<Candidate>, Vec<Candidate>) = candidates.iter().partition(|candidate| candidate.received > 0);
    passing.sort_by_key(|candidate| (core::cmp::Reverse((candidate.received, candidate.unchoked)), candidate.connection));
    let kept = passing.len().min(slots.saturating_sub(1));
    let rest: Vec<Candidate> = passing.split_off(kept).into_iter().chain(others).collect();
    let mut chosen: Vec<ConnectionId> = passing.iter().map(|candidate| candidate.connection).collect();
    let proven: Vec<Candidate> = rest.iter().filter(|candidate| candidate.passes_on).copied().collect();
    chosen.extend(round_robin(&proven, (slots - kept).saturating_sub(1), turn));
    let rest: Vec<Candidate> = rest.into_iter().filter(|candidate| !chosen.contains(&candidate.connection)).collect();
    chosen.extend(round_robin(&rest, slots - chosen.len(), turn));
    chosen
}

fn round_robin(candidates: &[Candidate], slots: usize, turn: bool) -> Vec<ConnectionId> {
    let mut order: Vec<&Candidate> = candidates.iter().collect();
    if turn {
        // Half of the slots move on, so that those who stay can keep their pipes full.
        order.sort_by_key(|candidate| (!candidate.unchoked, core::cmp::Reverse(candidate.changed), candidate.connection));
        let holders = order.iter().filter(|candidate| candidate.unchoked).count();
        let kept = holders.min(slots / 2);
        let mut chosen: Vec<ConnectionId> = order.iter().take(kept).map(|candidate| candidate.connection).collect();
        let mut waiting: Vec<&&Candidate> = order.iter().skip(kept).collect();
        waiting.sort_by_key(|candidate| (candidate.unchoked, candidate.changed, candidate.connection));
        chosen.extend(waiting.iter().take(slots - kept).map(|candidate| candidate.connection));
        chosen
    } else {
        order.sort_by_key(|candidate| (!candidate.unchoked, candidate.changed, candidate.connection));
        order.iter().take(slots).map(|candidate| candidate.connection).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{rng::Seed, util::Key};

    fn peer(number: u64, received: u64) -> Candidate {
        Candidate {
            connection: Key::from_bits(number),
            received,
            passes_on: false,
            unchoked: false,
            changed: Instant::from_micros(number),
            snubbed: false,
            new: false,
        }
    }

    fn choker() -> Choker {
        Choker::new(Rng::new(Seed::from_u64(1)))
    }

    #[test]
    fn the_best_uploaders_are_unchoked_and_one_other_on_trial() {
        let peers: Vec<_> = (0..10).map(|number| peer(number, number * 100)).collect();
        let unchoked = choker().round(&peers, 4, 3, Stance::Leeching);
        assert_eq!(unchoked[..3], [Key::from_bits(9), Key::from_bits(8), Key::from_bits(7)]);
        assert_eq!(unchoked.len(), 4);
        assert!(unchoked[3].to_bits() < 7);
    }

    #[test]
    fn the_optimistic_unchoke_stays_for_three_rounds_and_reaches_everyone() {
        let peers: Vec<_> = (0..6).map(|number| peer(number, number * 100)).collect();
        let mut choker = choker();
        let mut seen = alloc::collections::BTreeSet::new();
        for _ in 0..60 {
            let trial: Vec<_> = (0..3).map(|_| choker.round(&peers, 2, 3, Stance::Leeching)[1]).collect();
            assert!(trial.iter().all(|one| *one == trial[0]));
            seen.insert(trial[0]);
        }
        assert_eq!(seen.len(), 5);
    }

    #[test]
    fn new_peers_are_three_times_as_likely_on_trial() {
        let mut peers: Vec<_> = (0..4).map(|number| peer(number, 0)).collect();
        peers[0].received = 1;
        peers[1].new = true;
        let mut choker = choker();
        let hits = (0..1000).filter(|_| choker.round(&peers, 2, 1, Stance::Leeching)[1] == Key::from_bits(1)).count();
        assert!((550..650).contains(&hits), "{hits} of 1000, 600 expected");
    }

    #[test]
    fn a_snubbing_peer_has_no_regular_slot() {
        let mut peers: Vec<_> = (0..4).map(|number| peer(number, number * 100)).collect();
        peers[3].snubbed = true;
        let unchoked = choker().round(&peers, 3, 3, Stance::Leeching);
        assert_eq!(unchoked[..2], [Key::from_bits(2), Key::from_bits(1)]);
    }

    #[test]
    fn a_seed_serves_those_first_who_gave_and_others_in_the_last_slot() {
        let mut peers: Vec<_> = (0..9).map(|number| peer(number, if number < 5 { 100 } else { 0 })).collect();
        let mut choker = choker();
        let mut turns = [0; 9];
        for round in 0..60u64 {
            let unchoked = choker.round(&peers, 4, 3, Stance::Seeding);
            let givers = peers.iter().take(5).filter(|peer| unchoked.contains(&peer.connection)).count();
            assert_eq!((unchoked.len(), givers), (4, 3));
            for (at, peer) in peers.iter_mut().enumerate() {
                let now = unchoked.contains(&peer.connection);
                turns[at] += u32::from(now);
                if now != peer.unchoked {
                    (peer.unchoked, peer.changed) = (now, Instant::from_micros(1000 * (round + 1)));
                }
            }
        }
        assert!(turns[..5].iter().all(|turns| *turns >= 30) && turns[5..].iter().all(|turns| *turns >= 12), "{turns:?}");
        let few: Vec<_> = peers.split_off(3);
        let unchoked = choker.round(&few, 4, 3, Stance::Seeding);
        assert_eq!(unchoked.len(), 4, "no slot is left empty while somebody wants something");
        assert!(few[..2].iter().all(|giver| unchoked.contains(&giver.connection)));
    }

    #[test]
    fn with_the_only_copy_those_who_ever_passed_on_go_before_the_rest_which_gets_the_last_slot() {
        let mut peers: Vec<_> = (0..9).map(|number| peer(number, 0)).collect();
        peers[3].received = 2;
        [4, 5, 6].into_iter().for_each(|place: usize| peers[place].passes_on = true);
        let unchoked = choker().round(&peers, 4, 3, Stance::First);
        let places: Vec<u64> = unchoked.iter().map(|id| id.to_bits()).collect();
        assert_eq!((places[0], places.len()), (3, 4));
        assert!(places[1..3].iter().all(|place| (4..7).contains(place)), "{places:?}");
        peers.iter_mut().for_each(|peer| peer.received = 0);
        let few: Vec<_> = peers.into_iter().filter(|peer| peer.passes_on).collect();
        assert_eq!(choker().round(&few, 2, 3, Stance::First).len(), 2, "no slot is left empty");
    }

    #[test]
    fn a_seed_serves_everyone_in_turn() {
        let mut peers: Vec<_> = (0..9).map(|number| peer(number, 0)).collect();
        let mut choker = choker();
        let mut turns = [0; 9];
        for round in 0..27u64 {
            let unchoked = choker.round(&peers, 3, 3, Stance::Seeding);
            assert_eq!(unchoked.len(), 3);
            for (at, peer) in peers.iter_mut().enumerate() {
                let now = unchoked.contains(&peer.connection);
                turns[at] += u32::from(now);
                if now != peer.unchoked {
                    (peer.unchoked, peer.changed) = (now, Instant::from_micros(1000 * (round + 1)));
                }
            }
        }
        assert!(turns.iter().all(|turns| *turns >= 3), "{turns:?}");
    }
}
