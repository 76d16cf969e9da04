//! Where a worker's operations come from: the fill of all keys, or the mix, until a budget shared by all workers is used up.

use std::sync::atomic::{AtomicU64, Ordering};

use super::keys::KeyChooser;
use super::mix::{Kind, Mix};
use super::random::Random;

/// Workers claim this many operations of a budget at once, so that the shared counter is touched rarely.
const CLAIM: u64 = 64;

/// What all workers of one phase share.
#[derive(Debug)]
pub struct Shared {
    claimed: AtomicU64,
    budget: u64,
    next_insert: AtomicU64,
    /// Keys below this exist, but for inserts still in flight when a later one was acknowledged.
    acknowledged: AtomicU64,
}

impl Shared {
    /// A phase of at most `budget` measured operations over `keys` existing keys.
    pub fn new(budget: u64, keys: u64) -> Shared {
        Shared {
            claimed: AtomicU64::new(0),
            budget,
            next_insert: AtomicU64::new(keys),
            acknowledged: AtomicU64::new(keys),
        }
    }
}

/// What a phase does.
#[derive(Debug, Clone)]
pub enum Work {
    /// Insert the keys 0, 1, 2, … once each.
    Fill,
    /// Draw operations from a mix.
    Mixed(Mix, KeyChooser),
}

/// One worker's operations.
#[derive(Debug)]
pub struct Source<'a> {
    shared: &'a Shared,
    work: Work,
    /// For keys, kinds and values.
    pub random: Random,
    claim: std::ops::Range<u64>,
    retries: Vec<u64>,
}

impl<'a> Source<'a> {
    /// The operations of one worker; `random` must differ between workers.
    pub fn new(shared: &'a Shared, work: Work, random: Random) -> Source<'a> {
        Source {
            shared,
            work,
            random,
            claim: 0..0,
            retries: Vec::new(),
        }
    }

    /// The next operation, or `None` when the budget is used up. Unmeasured ones (of a warm-up) are not taken from the budget.
    pub fn next(&mut self, measured: bool) -> Option<(Kind, u64)> {
        if let Some(key) = self.retries.pop() {
            return Some((Kind::Insert, key));
        }
        let number = if measured { Some(self.claim_one()?) } else { None };
        match &mut self.work {
            Work::Fill => number.map(|key| (Kind::Insert, key)),
            Work::Mixed(mix, chooser) => {
                let kind = mix.draw(&mut self.random);
                let key = match kind {
                    Kind::Insert => self.shared.next_insert.fetch_add(1, Ordering::Relaxed),
                    Kind::Get | Kind::Set | Kind::Rmw => {
                        chooser.draw(&mut self.random, self.shared.acknowledged.load(Ordering::Relaxed))
                    }
                };
                Some((kind, key))
            }
        }
    }

    /// An insert was acknowledged: the latest distribution may read the key.
    pub fn acknowledge(&self, key: u64) {
        self.shared.acknowledged.fetch_max(key + 1, Ordering::Relaxed);
    }

    /// An insert had no answer; a fill tries it again, so that all keys are there in the end.
    pub fn give_back(&mut self, kind: Kind, key: u64) {
        match (&self.work, kind) {
            (Work::Fill, Kind::Insert) => self.retries.push(key),
            (Work::Fill | Work::Mixed(..), _) => {}
        }
    }

    /// Nothing was given back since the budget was used up.
    pub fn is_exhausted(&self) -> bool {
        self.retries.is_empty()
    }

    fn claim_one(&mut self) -> Option<u64> {
        if self.claim.is_empty() {
            let start = self
                .shared
                .claimed
                .fetch_add(CLAIM, Ordering::Relaxed)
                .min(self.shared.budget);
            self.claim = start..(start + CLAIM).min(self.shared.budget);
        }
        self.claim.next()
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::{Distribution, KeyChooser};
    use super::super::mix::{Kind, Mix};
    use super::super::random::Random;
    use super::{Shared, Source, Work};

    #[test]
    fn a_fill_inserts_every_key_once_over_all_workers_and_retries_lost_ones() {
        let shared = Shared::new(1_000, 0);
        let mut first = Source::new(&shared, Work::Fill, Random::new(1));
        let mut second = Source::new(&shared, Work::Fill, Random::new(2));
        let mut seen = vec![0; 1_000];
        loop {
            let drawn = [first.next(true), second.next(true)];
            for (kind, key) in drawn.iter().flatten() {
                assert_eq!(*kind, Kind::Insert);
                seen[*key as usize] += 1;
            }
            if drawn == [None, None] {
                break;
            }
        }
        assert!(seen.iter().all(|count| *count == 1));
        second.give_back(Kind::Insert, 77);
        assert_eq!(second.next(true), Some((Kind::Insert, 77)));
        assert_eq!(second.next(true), None);
    }

    #[test]
    fn warm_up_is_not_taken_from_the_budget() {
        let shared = Shared::new(10, 100);
        let chooser = KeyChooser::new(Distribution::Uniform, 100);
        let mut source = Source::new(&shared, Work::Mixed(Mix::Get, chooser), Random::new(1));
        assert!((0..1_000).all(|_| source.next(false).is_some()));
        assert_eq!((0..1_000).filter(|_| source.next(true).is_some()).count(), 10);
    }

    #[test]
    fn inserts_extend_the_key_space_and_are_read_once_acknowledged() {
        let shared = Shared::new(u64::MAX, 100);
        let chooser = KeyChooser::new(Distribution::Latest, 100);
        let mut source = Source::new(&shared, Work::Mixed(Mix::YcsbD, chooser), Random::new(1));
        let mut inserted = 100;
        for _ in 0..10_000 {
            match source.next(true) {
                Some((Kind::Insert, key)) => {
                    assert_eq!(key, inserted);
                    source.acknowledge(key);
                    inserted += 1;
                }
                Some((kind, key)) => {
                    assert_eq!(kind, Kind::Get);
                    assert!(key < inserted);
                }
                None => unreachable!("the budget is unlimited"),
            }
        }
        assert!(inserted > 400, "{inserted}");
    }
}
