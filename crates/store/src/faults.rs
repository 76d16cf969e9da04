//! Faults that an operator may ask for, to see what a cluster does about them (`POST /v1/faults`).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What a sync does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum FsyncFault {
    /// It syncs.
    #[default]
    Ok,
    /// It fails: the batch is written, but not known to be durable.
    Fail,
    /// It claims to have synced: the batch stays in this process, and a kill loses it.
    Lie,
    /// It syncs after this long.
    Slow(Duration),
}

#[derive(Clone, Copy, Debug, Default)]
struct Set {
    fsync: FsyncFault,
    free_bytes: Option<u64>,
    reserve_reached: bool,
}

/// The faults in force.
#[derive(Debug, Default)]
pub struct Faults {
    set: Mutex<Set>,
    /// Beside the others: it is asked for at every read of the disk.
    read_delay_us: AtomicU64,
}

impl Faults {
    /// What syncs do from now on.
    pub fn set_fsync(&self, fault: FsyncFault) {
        self.change(|set| set.fsync = fault);
    }

    /// Pretends that this much space is free; `None` asks the file system again. Moves the watermark alone: what is
    /// written is still written.
    pub fn set_free_bytes(&self, bytes: Option<u64>) {
        self.change(|set| set.free_bytes = bytes);
    }

    /// Pretends that the disk has reached its last reserve, where the committer stops before the engine fails.
    pub fn set_reserve_reached(&self, reached: bool) {
        self.change(|set| set.reserve_reached = reached);
    }

    /// Makes every read of a record that is not in the cache take this much longer.
    pub fn set_read_delay(&self, delay: Duration) {
        self.read_delay_us.store(delay.as_micros() as u64, Relaxed);
    }

    /// Waits as long as a read is to be delayed.
    pub(crate) fn delay_read(&self) {
        let delay_us = self.read_delay_us.load(Relaxed);
        if delay_us > 0 {
            std::thread::sleep(Duration::from_micros(delay_us));
        }
    }

    pub(crate) fn fsync(&self) -> FsyncFault {
        self.now().fsync
    }

    pub(crate) fn free_bytes(&self) -> Option<u64> {
        self.now().free_bytes
    }

    pub(crate) fn reserve_reached(&self) -> bool {
        self.now().reserve_reached
    }

    fn now(&self) -> Set {
        *self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Set)) {
        change(&mut self.set.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
