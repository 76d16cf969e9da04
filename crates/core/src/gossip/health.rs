//! How far this node trusts its own suspicions (Dadgar et al., "Lifeguard", 2018). A node that gets its time late, or that
//! reaches nobody, is more likely at fault than all the others: it waits longer before it suspects them.

/// The worst score.
const SCORE_MAX: u32 = 4;
/// Periods on time after which the score falls by one.
const CALM_PERIODS: u32 = 2;

/// 0 is healthy.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalHealth {
    score: u32,
    calm: u32,
}

impl LocalHealth {
    /// What suspicion is divided by.
    #[must_use]
    pub fn patience(&self) -> f64 {
        1.0 + f64::from(self.score)
    }

    /// This node stood still.
    pub fn on_paused(&mut self) {
        self.score = SCORE_MAX;
        self.calm = 0;
    }

    /// A period is over: of so many other members, so many did not answer their probe in it.
    pub fn on_period(&mut self, others: usize, unanswered: usize) {
        if unanswered >= 2 && 2 * unanswered > others {
            self.score = (self.score + 1).min(SCORE_MAX);
            self.calm = 0;
            return;
        }
        self.calm += 1;
        if self.calm >= CALM_PERIODS {
            self.calm = 0;
            self.score = self.score.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_stood_still_trusts_itself_again_after_a_while() {
        let mut health = LocalHealth::default();
        assert_eq!(health.patience(), 1.0);
        health.on_paused();
        assert_eq!(health.patience(), 5.0);
        for _ in 0..8 {
            health.on_period(9, 1);
        }
        assert_eq!(health.patience(), 1.0);
    }

    #[test]
    fn a_node_that_reaches_less_than_half_of_the_others_trusts_itself_less() {
        let mut health = LocalHealth::default();
        health.on_period(9, 4);
        assert_eq!(health.patience(), 1.0, "most were not asked, or answered");
        health.on_period(9, 5);
        assert_eq!(health.patience(), 2.0);
        health.on_period(1, 1);
        assert_eq!(health.patience(), 2.0, "the only other node says nothing of this one");
    }
}
