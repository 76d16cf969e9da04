//! How one memory budget is split. The record cache gets half, because a hit there is far cheaper than any engine read;
//! blocks get a quarter; the engine holds at most four memtables, a sixteenth each.

const MIB: u64 = 1 << 20;
/// Below this no sensible split exists; the budget is then taken to be this.
const MEMORY_BYTES_LEAST: u64 = 8 * MIB;
/// Larger memtables make fewer flushes, but longer recoveries.
const MEMTABLE_BYTES_MAX: u64 = 128 * MIB;
const MEMTABLE_BYTES_MIN: u64 = MIB / 2;

/// The shares, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    /// Decoded records, keys and bookkeeping counted.
    pub record_cache: u64,
    /// The engine's blocks.
    pub block_cache: u64,
    /// One memtable; the committer waits before a fifth would exist.
    pub memtable: u64,
    /// Records of `memory` buckets: past this the store reports itself full.
    pub memory_buckets: u64,
    /// Journals on disk, together. Flushing keeps up with it.
    pub journals: u64,
}

impl Budget {
    /// Splits `memory_bytes_max`.
    #[must_use]
    pub fn split(memory_bytes_max: u64) -> Self {
        let total = memory_bytes_max.max(MEMORY_BYTES_LEAST);
        let memtable = (total / 16).clamp(MEMTABLE_BYTES_MIN, MEMTABLE_BYTES_MAX);
        Self {
            record_cache: total / 2,
            block_cache: total / 4,
            memtable,
            memory_buckets: total / 2,
            // The engine's journals are 64 MB each, and it refuses a lower bound than one.
            journals: (8 * memtable).clamp(128 * MIB, 1024 * MIB),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_stay_within_the_budget() {
        for total in [8 * MIB, 16 * MIB, 100 * MIB, 1024 * MIB, 64 * 1024 * MIB] {
            let budget = Budget::split(total);
            assert!(
                budget.record_cache + budget.block_cache + 4 * budget.memtable <= total,
                "{total}: {budget:?}"
            );
        }
    }

    #[test]
    fn a_small_budget_has_small_memtables() {
        assert_eq!(Budget::split(16 * MIB).memtable, MIB);
        assert_eq!(Budget::split(1024 * MIB).memtable, 64 * MIB);
        assert_eq!(Budget::split(64 * 1024 * MIB).memtable, 128 * MIB);
    }
}
