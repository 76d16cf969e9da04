//! How unlikely it is that a member that has been silent for so long is alive, from the intervals seen so far
//! (Hayashibara et al., "The φ Accrual Failure Detector", 2004): φ = 8 means one in 10⁸.
//!
//! The intervals of gossip are nearer to an exponential than to a normal distribution, whose thin tail would suspect a
//! member of a lossy network every few minutes. So silence is taken to have an exponential tail with the mean and the
//! deviation observed: P(silence > t) = exp(−(t − mean + deviation) / deviation).

/// A sample counts for this share: what is remembered is about the last 16 intervals. What is expected before the first
/// counts as much: a few short intervals in a row must not make the detector of a large cluster hasty.
const WEIGHT: f64 = 1.0 / 16.0;
/// A sample above the mean by more than this many deviations counts as that many: one long pause makes the detector more
/// patient, not blind.
const OUTLIER_DEVIATIONS: f64 = 5.0;
/// Deviations below this share of the mean are not believed.
const DEVIATION_SHARE_MIN: f64 = 0.2;
/// No interval counts as longer than this.
const INTERVAL_MS_MAX: f64 = 15_000.0;
/// No silence is waited for longer than that of a deviation of this many milliseconds.
const DEVIATION_MS_MAX: f64 = 6_000.0;
/// ln 10, to turn exponents into orders of magnitude.
const LN_10: f64 = std::f64::consts::LN_10;

/// The intervals between the news of one member.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Phi {
    mean_ms: f64,
    variance: f64,
    /// Its root within bounds, kept because it is asked for far more often than it changes.
    deviation_ms: f64,
}

impl Phi {
    /// Before any interval was seen.
    #[must_use]
    pub fn expecting(mean_ms: f64, deviation_ms: f64) -> Self {
        let variance = deviation_ms * deviation_ms;
        Self {
            mean_ms,
            variance,
            deviation_ms: bounded(variance, mean_ms),
        }
    }

    /// An interval was seen.
    pub fn observe(&mut self, interval_ms: u64) {
        let longest = self.mean_ms + OUTLIER_DEVIATIONS * self.deviation_ms;
        let interval = (interval_ms as f64).min(longest).min(INTERVAL_MS_MAX);
        let off = interval - self.mean_ms;
        self.mean_ms += WEIGHT * off;
        self.variance = (1.0 - WEIGHT) * (self.variance + WEIGHT * off * off);
        self.deviation_ms = bounded(self.variance, self.mean_ms);
    }

    /// φ after so much silence; 0 while it is shorter than usual.
    #[must_use]
    pub fn after(&self, silence_ms: u64) -> f64 {
        let deviation = self.deviation_ms;
        ((silence_ms as f64 - self.mean_ms + deviation) / (deviation * LN_10)).max(0.0)
    }
}

/// The deviation in milliseconds, neither too small nor too large to be believed.
fn bounded(variance: f64, mean_ms: f64) -> f64 {
    variance.sqrt().max(DEVIATION_SHARE_MIN * mean_ms).min(DEVIATION_MS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// The silence after which φ reaches 8.
    fn patience_ms(phi: &Phi) -> u64 {
        (0..1_000_000)
            .step_by(10)
            .find(|&ms| phi.after(ms) >= 8.0)
            .expect("some day")
    }

    #[test]
    fn regular_news_makes_the_detector_quick_and_irregular_news_makes_it_patient() {
        let mut regular = Phi::expecting(1_000.0, 500.0);
        let mut irregular = regular;
        let mut random = Random::new(1);
        for _ in 0..200 {
            regular.observe(950 + random.below(100));
            let mut periods = 1;
            while random.chance(1, 2) {
                periods += 1;
            }
            irregular.observe(1_000 * periods);
        }
        assert!(
            (3_500..5_500).contains(&patience_ms(&regular)),
            "{}",
            patience_ms(&regular)
        );
        assert!(patience_ms(&irregular) > 2 * patience_ms(&regular));
        assert!(regular.after(900) < 0.5 && regular.after(2_500) > 3.0);
    }

    #[test]
    fn one_pause_of_a_minute_leaves_the_detector_able_to_see_the_next() {
        let mut phi = Phi::expecting(1_000.0, 500.0);
        (0..100).for_each(|_| phi.observe(1_000));
        let before = patience_ms(&phi);
        phi.observe(60_000);
        let after = patience_ms(&phi);
        assert!(after > before && after < 2 * before, "{before} to {after} ms");
        (0..100).for_each(|_| phi.observe(60_000));
        assert!(patience_ms(&phi) < 180_000, "there is a longest patience");
        (0..200).for_each(|_| phi.observe(1_000));
        assert_eq!(patience_ms(&phi), before, "and it is forgotten");
    }

    #[test]
    fn of_exponential_silences_one_in_a_thousand_reaches_phi_three() {
        let mut phi = Phi::expecting(1_000.0, 500.0);
        let mut random = Random::new(7);
        let mut reached = 0;
        const SAMPLES: u32 = 1_000_000;
        for _ in 0..SAMPLES {
            let uniform = (random.below(1 << 40) + 1) as f64 / (1_u64 << 40) as f64;
            let silence_ms = (-uniform.ln() * 1_500.0) as u64;
            reached += u32::from(phi.after(silence_ms) >= 3.0);
            phi.observe(silence_ms);
        }
        // The estimate wanders with its sixteen samples, so that more than the ideal 1,000 get there.
        assert!((500..10_000).contains(&reached), "{reached} of {SAMPLES}");
    }
}
