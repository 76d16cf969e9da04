//! Many seeds on all cores.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

use crate::run::{Report, run};

/// Runs `count` seeds from `first` on, hands each report to `look` as it comes, and stops early if that says so.
pub fn sweep(first: u64, count: u64, mut look: impl FnMut(Report) -> bool) {
    let next = AtomicU64::new(first);
    let is_over = AtomicBool::new(false);
    let (sender, reports) = mpsc::channel();
    let workers = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            let sender = sender.clone();
            let (next, is_over) = (&next, &is_over);
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count
                        || is_over.load(Ordering::Relaxed)
                        || sender.send(run(seed, false)).is_err()
                    {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for report in reports {
            if !look(report) {
                is_over.store(true, Ordering::Relaxed);
            }
        }
    });
}
