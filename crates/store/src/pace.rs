//! Whether reads of records that are not in the cache find their pages in the operating system's memory, as far as their
//! time tells. A read that does is cheaper on the spot than two thread hops; one that waits for the disk must not hold
//! up the node thread.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Reads that take less than this on average are done on the spot.
const QUICK_NS: u64 = 25_000;
/// The average moves by this part of each read's distance from it.
const WEIGHT: u64 = 32;
/// A read counts as no longer than this: one that the scheduler held up must not count for hundreds.
const READ_NS_MAX: u64 = 400_000;

/// The average time of the last reads.
#[derive(Debug, Default)]
pub(crate) struct ReadPace {
    mean_ns: AtomicU64,
}

impl ReadPace {
    /// A read took this long. Of two threads that say so at once, one may not be heard.
    pub fn note(&self, took: Duration) {
        let ns = (took.as_nanos() as u64).min(READ_NS_MAX);
        let mean = self.mean_ns.load(Relaxed);
        self.mean_ns.store(mean - mean / WEIGHT + ns / WEIGHT, Relaxed);
    }

    /// True if the next read may be done on the spot.
    pub fn is_quick(&self) -> bool {
        self.mean_ns.load(Relaxed) < QUICK_NS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_that_wait_for_the_disk_leave_the_node_thread_and_come_back_when_they_are_quick_again() {
        let pace = ReadPace::default();
        assert!(pace.is_quick(), "until something else is known");
        let reads_until = |quick: bool, took_us: u64| {
            let mut reads = 0;
            while pace.is_quick() != quick {
                pace.note(Duration::from_micros(took_us));
                reads += 1;
                assert!(reads < 1_000, "{pace:?}");
            }
            reads
        };
        assert!(reads_until(false, 150) < 10, "a disk's reads are noticed at once");
        (0..100).for_each(|_| pace.note(Duration::from_micros(150)));
        assert!((20..200).contains(&reads_until(true, 5)));
        (0..100).for_each(|_| pace.note(Duration::from_micros(5)));
        pace.note(Duration::from_secs(1));
        assert!(
            pace.is_quick(),
            "one read that the scheduler held up is no disk: {pace:?}"
        );
    }

    #[test]
    fn a_disk_that_one_read_in_six_must_ask_is_asked_elsewhere() {
        let pace = ReadPace::default();
        for read in 0..600 {
            pace.note(Duration::from_micros(if read % 6 == 0 { 200 } else { 5 }));
        }
        assert!(!pace.is_quick(), "{pace:?}");
    }
}
