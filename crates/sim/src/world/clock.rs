//! A host's clocks: a monotonic one that starts anew with each boot, and a wall clock that may be off, drift and jump.

use torc_core::time::{Now, Time, Wall};

/// What the calendar says when a run begins, in milliseconds since the Unix epoch.
pub const EPOCH_MS: u64 = 1_800_000_000_000;

/// The clocks of one host.
#[derive(Clone, Debug)]
pub struct Clock {
    /// Added to the true time, in milliseconds.
    pub offset_ms: i64,
    /// How much faster it runs, in parts per million.
    pub drift_ppm: i64,
    /// What the monotonic clock said at `booted_us`, in microseconds.
    pub origin_us: u64,
    /// When the host was started last.
    pub booted_us: u64,
}

impl Clock {
    /// Both clocks at a true time.
    #[must_use]
    pub fn now(&self, true_us: u64) -> Now {
        let wall = EPOCH_MS as i64 + (self.fast(true_us) / 1_000) as i64 + self.offset_ms;
        Now {
            time: Time(self.origin_us + self.fast(true_us - self.booted_us)),
            wall: Wall(wall as u64),
        }
    }

    /// The true time at which the monotonic clock has reached `time`.
    #[must_use]
    pub fn true_us(&self, time: Time) -> u64 {
        let passed = time.0.saturating_sub(self.origin_us);
        let slowed = i128::from(passed) * 1_000_000 / (1_000_000 + i128::from(self.drift_ppm));
        let mut at = self.booted_us + slowed as u64;
        while self.origin_us + self.fast(at - self.booted_us) < time.0 {
            at += 1;
        }
        at
    }

    fn fast(&self, us: u64) -> u64 {
        (i128::from(us) * (1_000_000 + i128::from(self.drift_ppm)) / 1_000_000) as u64
    }
}
