//! The two clocks of a node, read once a turn.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use torc_core::time::{Now, Time, Wall};

/// Where `Time` counts from, and how far the wall clock pretends to be off.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
    offset_ms: i64,
}

impl Clock {
    /// A clock that starts now; `offset_ms` is added to the calendar (for tests).
    pub fn new(offset_ms: i64) -> Self {
        Self {
            origin: Instant::now(),
            offset_ms,
        }
    }

    /// Both readings.
    pub fn now(&self) -> Now {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall_ms = (since_epoch.as_millis() as u64).saturating_add_signed(self.offset_ms);
        Now {
            time: self.time(),
            // An Hlc has 48 bits of milliseconds.
            wall: Wall(wall_ms.min((1 << 48) - 1)),
        }
    }

    /// The monotonic reading alone.
    pub fn time(&self) -> Time {
        Time(self.origin.elapsed().as_micros() as u64)
    }

    /// The moment that `time` stands for.
    pub fn instant(&self, time: Time) -> Instant {
        self.origin + std::time::Duration::from_micros(time.0.min(u64::from(u32::MAX) * 1_000_000))
    }
}
