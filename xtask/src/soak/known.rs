//! What a client knows of a key that only it writes: what it was promised, what may have happened, and what must never be
//! seen again. It shares no code with the store.

use std::collections::BTreeSet;

/// What is kept of things that must not come back, for each key.
const DEAD_MAX: usize = 256;

/// See the module. Every write of a key has a number, one higher than the one before.
#[derive(Debug, Default, Clone)]
pub struct Known {
    /// The highest number that was sent.
    sent: u64,
    /// The highest acknowledged write, and whether it deleted.
    acknowledged: Option<(u64, bool)>,
    /// A delete was sent after it, and its fate is not known.
    may_be_deleted: bool,
    /// Numbers of values that an acknowledged write has replaced, as its context had seen them.
    dead: BTreeSet<u64>,
    /// What the context at hand has seen.
    seen: BTreeSet<u64>,
    /// The context for the next write.
    pub context: Option<String>,
}

/// A promise that was broken.
#[derive(Debug, PartialEq, Eq)]
pub enum Broken {
    /// An acknowledged write is missing.
    Lost { acknowledged: u64, shown: Vec<u64> },
    /// A value that an acknowledged write replaced or deleted is there again.
    CameBack { number: u64, shown: Vec<u64> },
    /// A value that nobody wrote.
    Invented { number: u64 },
}

impl Known {
    /// The number of a write that is about to be sent.
    pub fn next(&mut self, deletes: bool) -> u64 {
        self.sent += 1;
        self.may_be_deleted |= deletes;
        self.sent
    }

    /// A write was acknowledged; `context` is what its answer carried.
    pub fn acknowledged(&mut self, number: u64, deletes: bool, context: Option<String>) {
        self.acknowledged = Some((number, deletes));
        self.may_be_deleted = false;
        self.dead.append(&mut self.seen);
        while self.dead.len() > DEAD_MAX {
            self.dead.pop_first();
        }
        if !deletes {
            self.seen.insert(number);
        }
        self.context = context;
    }

    /// A read was answered: `shown` are the numbers of all values, `context` what the answer carried.
    pub fn shown(&mut self, shown: &[u64], context: Option<String>) {
        self.seen = shown.iter().copied().collect();
        self.context = context;
    }

    /// Judges what a read showed that sees all acknowledged writes.
    pub fn judge(&self, shown: &[u64]) -> Result<(), Broken> {
        if let Some(&number) = shown.iter().find(|&&number| number > self.sent || number == 0) {
            return Err(Broken::Invented { number });
        }
        if let Some(&number) = shown.iter().find(|number| self.dead.contains(number)) {
            return Err(Broken::CameBack {
                number,
                shown: shown.to_vec(),
            });
        }
        match self.acknowledged {
            // It is there, or a later write that had seen it.
            Some((number, false)) if !self.may_be_deleted && !shown.iter().any(|&other| other >= number) => {
                Err(Broken::Lost {
                    acknowledged: number,
                    shown: shown.to_vec(),
                })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(known: &mut Known) -> u64 {
        let number = known.next(false);
        known.acknowledged(number, false, None);
        number
    }

    #[test]
    fn an_acknowledged_write_that_is_missing_is_lost() {
        let mut known = Known::default();
        let number = written(&mut known);
        assert_eq!(known.judge(&[number]), Ok(()));
        assert!(matches!(known.judge(&[]), Err(Broken::Lost { .. })));
    }

    #[test]
    fn a_write_of_unknown_fate_may_stand_beside_or_instead_of_the_acknowledged_one() {
        let mut known = Known::default();
        let first = written(&mut known);
        let second = known.next(false);
        for shown in [&[first][..], &[first, second], &[second]] {
            assert_eq!(known.judge(shown), Ok(()), "{shown:?}");
        }
        assert!(matches!(known.judge(&[]), Err(Broken::Lost { .. })));
        known.next(true);
        assert_eq!(known.judge(&[]), Ok(()), "the delete may have been carried out");
    }

    #[test]
    fn a_value_that_was_deleted_after_it_was_seen_must_not_come_back() {
        let mut known = Known::default();
        let first = written(&mut known);
        let delete = known.next(true);
        known.acknowledged(delete, true, None);
        assert_eq!(known.judge(&[]), Ok(()));
        assert!(matches!(known.judge(&[first]), Err(Broken::CameBack { .. })));
    }

    #[test]
    fn a_value_that_no_context_had_seen_may_stay() {
        let mut known = Known::default();
        let lost_answer = known.next(false);
        let number = written(&mut known);
        assert_eq!(known.judge(&[lost_answer, number]), Ok(()));
        known.shown(&[lost_answer, number], None);
        let next = written(&mut known);
        assert!(matches!(
            known.judge(&[lost_answer, next]),
            Err(Broken::CameBack { .. })
        ));
    }
}
