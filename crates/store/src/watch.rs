//! The thread that watches free space and the age of the current batch, and tells when the store's health changes. A
//! thread of its own, because a committer that hangs in a sync can't tell anybody.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use torc_core::storage::StoreHealth;

use crate::shared::Shared;

/// How often health is looked at.
const PERIOD: Duration = Duration::from_millis(100);
/// A batch that takes longer makes the store slow.
pub(crate) const BATCH_LIMIT: Duration = Duration::from_millis(500);
/// For this long after a slow batch the store stays slow, so that it does not flap.
const SLOW_FOR: Duration = Duration::from_secs(2);

/// Tells the watch to end.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    pub fn stop(&self) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// Sleeps for a while; true if it is time to end.
    fn sleep(&self, period: Duration) -> bool {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let (stopped, _) = self
            .changed
            .wait_timeout_while(stopped, period, |stopped| !*stopped)
            .unwrap_or_else(PoisonError::into_inner);
        *stopped
    }
}

/// What is watched.
pub(crate) struct Watch {
    pub dir: PathBuf,
    pub shared: Arc<Shared>,
    pub stop: Arc<Stop>,
    pub free_space_bytes_min: u64,
    pub memory_bytes_max: u64,
}

impl Watch {
    /// Watches until it is stopped.
    pub fn run(self) {
        let mut told = StoreHealth::default();
        loop {
            let now = self.health(told);
            if now != told {
                told = now;
                self.shared.completions.health(now);
            }
            if self.stop.sleep(PERIOD) {
                return;
            }
        }
    }

    fn health(&self, before: StoreHealth) -> StoreHealth {
        let measured = free_bytes(&self.dir);
        let free = self.shared.faults.free_bytes().or(measured);
        let counters = &self.shared.counters;
        counters.free_bytes.store(free.unwrap_or(0), Relaxed);
        // A little more than the watermark ends it, so that the store does not flap.
        let margin = if before.full { self.free_space_bytes_min / 16 } else { 0 };
        let disk_is_full = free.is_some_and(|free| free < self.free_space_bytes_min + margin);
        let memory_is_full = counters.memory_bytes.load(Relaxed) > self.memory_bytes_max;
        let was_slow = self.shared.since_slow_batch().is_some_and(|ago| ago < SLOW_FOR);
        StoreHealth {
            full: disk_is_full || memory_is_full,
            slow: was_slow || self.shared.batch_age() > BATCH_LIMIT || self.shared.is_out_of_service(),
            // Asked for where it is needed: adding it up takes longer than the rest.
            bytes: 0,
        }
    }
}

/// Free space for this process on the file system of `dir`; `None` if it can't be told.
pub(crate) fn free_bytes(dir: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}
