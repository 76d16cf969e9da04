//! What the threads of one store share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::faults::Faults;
use crate::loader::LoadQueue;
use crate::pace::ReadPace;
use crate::queue::Queue;
use crate::stats::Counters;
use crate::store::Completions;

/// Shared state; everything in it may be read at any time.
pub(crate) struct Shared {
    pub queue: Queue,
    pub loads: LoadQueue,
    pub pace: ReadPace,
    pub faults: Faults,
    pub counters: Counters,
    pub completions: Arc<dyn Completions>,
    out_of_service: AtomicBool,
    /// Records were given up that the cache may still hold.
    cache_is_stale: AtomicBool,
    /// When the batch that is being written was begun, in microseconds since `origin`; 0 if none is.
    batch_since_us: AtomicU64,
    /// When the last batch over the limit ended, likewise.
    slow_until_us: AtomicU64,
    origin: Instant,
}

impl Shared {
    pub fn new(completions: Arc<dyn Completions>) -> Self {
        Self {
            queue: Queue::default(),
            loads: LoadQueue::default(),
            pace: ReadPace::default(),
            faults: Faults::default(),
            counters: Counters::default(),
            completions,
            out_of_service: AtomicBool::new(false),
            cache_is_stale: AtomicBool::new(false),
            batch_since_us: AtomicU64::new(0),
            slow_until_us: AtomicU64::new(0),
            // Never 0 microseconds ago: 0 means "none".
            origin: Instant::now() - Duration::from_micros(1),
        }
    }

    /// Takes the store out of service until it is reopened.
    pub fn fail(&self) {
        self.out_of_service.store(true, Ordering::Release);
    }

    pub fn is_out_of_service(&self) -> bool {
        self.out_of_service.load(Ordering::Acquire)
    }

    /// Before whoever asked for it is told that records were given up.
    pub fn make_cache_stale(&self) {
        self.cache_is_stale.store(true, Ordering::Release);
    }

    /// True after [`Shared::make_cache_stale`], until somebody has taken note of it.
    pub fn is_cache_stale(&self) -> bool {
        self.cache_is_stale.load(Ordering::Acquire)
    }

    /// True once after [`Shared::make_cache_stale`].
    pub fn take_cache_is_stale(&self) -> bool {
        self.is_cache_stale() && self.cache_is_stale.swap(false, Ordering::AcqRel)
    }

    pub fn begin_batch(&self) {
        self.batch_since_us.store(self.now_us(), Ordering::Relaxed);
    }

    /// Notes the end of a batch, and how long the store stays slow if it took too long.
    pub fn end_batch(&self, was_slow: bool) {
        if was_slow {
            self.slow_until_us.store(self.now_us(), Ordering::Relaxed);
        }
        self.batch_since_us.store(0, Ordering::Relaxed);
    }

    /// How long the current batch has been going on.
    pub fn batch_age(&self) -> Duration {
        match self.batch_since_us.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => Duration::from_micros(self.now_us().saturating_sub(since)),
        }
    }

    /// How long ago the last slow batch ended.
    pub fn since_slow_batch(&self) -> Option<Duration> {
        match self.slow_until_us.load(Ordering::Relaxed) {
            0 => None,
            until => Some(Duration::from_micros(self.now_us().saturating_sub(until))),
        }
    }

    fn now_us(&self) -> u64 {
        self.origin.elapsed().as_micros() as u64
    }
}
