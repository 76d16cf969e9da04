//! Planted bugs: each must be caught by some checker within a bounded number of seeds, or that checker proves nothing.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use torc_core::mutants::{Mutant, plant};

use crate::checkers::Violation;
use crate::run::run;
use crate::village_rules;

/// What became of one planted bug.
#[derive(Clone, Debug)]
pub struct Hunt {
    /// Which.
    pub mutant: Mutant,
    /// The seed that caught it and what was broken; `None` if none did.
    pub caught: Option<(u64, &'static str)>,
}

/// Plants each bug in turn, or those of these names, and runs up to `seeds` seeds until one breaks something.
#[must_use]
pub fn hunt(first: u64, seeds: u64, names: &[&str]) -> Vec<Hunt> {
    let is_wanted = |mutant: &Mutant| names.is_empty() || names.contains(&&*format!("{mutant:?}"));
    let wanted: Vec<Mutant> = Mutant::ALL.into_iter().filter(is_wanted).collect();
    let next = AtomicUsize::new(0);
    let hunts = Mutex::new(Vec::new());
    let workers = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(&mutant) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let caught = hunt_one(mutant, first, seeds);
                    let mut hunts = hunts.lock().expect("no hunter panics: runs catch their panics");
                    hunts.push(Hunt { mutant, caught });
                }
            });
        }
    });
    let mut hunts = hunts.into_inner().expect("no hunter panics");
    hunts.sort_by_key(|hunt| Mutant::ALL.iter().position(|mutant| *mutant == hunt.mutant));
    hunts
}

/// A seed counts only if nothing is broken without the bug.
fn hunt_one(mutant: Mutant, first: u64, seeds: u64) -> Option<(u64, &'static str)> {
    for seed in first..first + seeds {
        plant(Some(mutant));
        let violation = judge(mutant, seed);
        plant(None);
        if let Some(found) = violation
            && judge(mutant, seed).is_none()
        {
            return Some((seed, found.property));
        }
    }
    None
}

/// A bug of gossip that ends with the faults is looked for in gossip alone: in the whole world a wrong belief costs time
/// and breaks no promise.
fn judge(mutant: Mutant, seed: u64) -> Option<Violation> {
    if matches!(mutant, Mutant::DeadOnOneSource | Mutant::PauseIsSilence) {
        village_rules::check(seed).err()
    } else {
        run(seed, false).violation
    }
}
