//! Hedged reads: a read that holds a home back, because it is slow, asks it after all if the others take longer than they
//! usually do. At most 5 % of the reads may do that, so that a slow cluster is not asked ever more. Puts are never hedged
//! (RULINGS 13): a second copy of a put is a second put.

use crate::limits::HEDGES_PERCENT;

/// Hedges that may be saved up, so that a stall of a moment is bridged.
const SAVED_MAX: u64 = 100;
/// A hedge costs as much as so many reads earn.
const COST: u64 = 100;

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HedgeStats {
    /// Reads begun that asked other nodes.
    pub reads: u64,
    /// Of these, reads that held a home back.
    pub held_back: u64,
    /// Homes asked after the others took too long.
    pub hedges: u64,
    /// Answers of these that came before the read was answered.
    pub won: u64,
    /// Hedges that the budget did not allow.
    pub denied: u64,
    /// Homes asked although the budget was spent: the read had waited too long, or others had failed.
    pub called: u64,
}

/// The budget of a node's hedges.
#[derive(Debug, Default)]
pub struct Hedging {
    saved: u64,
    /// Counters.
    pub stats: HedgeStats,
}

impl Hedging {
    /// A read begins.
    pub fn on_read(&mut self, holds_back: bool) {
        self.stats.reads += 1;
        self.stats.held_back += u64::from(holds_back);
        self.saved = (self.saved + HEDGES_PERCENT).min(SAVED_MAX * COST);
    }

    /// True if a home may be asked now; it then must be.
    pub fn take(&mut self) -> bool {
        let may = self.saved >= COST;
        if may {
            self.saved -= COST;
            self.stats.hedges += 1;
        } else {
            self.stats.denied += 1;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_read_in_twenty_may_be_hedged_whatever_came_before() {
        let mut hedging = Hedging::default();
        let mut asked = 0;
        for _ in 0..10_000 {
            hedging.on_read(true);
            asked += u32::from(hedging.take());
        }
        assert_eq!(asked, 500);
        assert_eq!(hedging.stats.denied, 9_500);
    }

    #[test]
    fn what_was_saved_in_quiet_times_is_bounded() {
        let mut hedging = Hedging::default();
        for _ in 0..1_000_000 {
            hedging.on_read(false);
        }
        let burst = (0..1_000_000).take_while(|_| hedging.take()).count();
        assert_eq!(burst as u64, SAVED_MAX);
        assert!(!hedging.take(), "it is earned anew");
    }
}
