//! Plain numbers about a store, for metrics and status pages.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the buckets of [`SyncTimes`], in microseconds; the last bucket has none.
pub const SYNC_BUCKET_BOUNDS_US: [u64; 15] = [
    50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 5_000_000,
];

/// How long batches took to be written, synced and applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SyncTimes {
    /// Batches per bucket of [`SYNC_BUCKET_BOUNDS_US`]; not cumulative.
    pub buckets: [u64; 16],
    /// All batches.
    pub count: u64,
    /// Their time together, in microseconds.
    pub sum_us: u64,
    /// The longest, in microseconds.
    pub max_us: u64,
}

/// What a store has done since it was opened, and how it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StoreStats {
    /// Tables, blobs and journals on disk, in bytes.
    pub disk_bytes: u64,
    /// Journals among them, in bytes; a journal is 64 MiB long from its beginning.
    pub journal_bytes: u64,
    /// Free space of the file system, in bytes.
    pub free_bytes: u64,
    /// Weight of the record cache, in bytes.
    pub cache_bytes: u64,
    /// Records in it, absent ones included.
    pub cache_entries: u64,
    /// Reads that it answered.
    pub cache_hits: u64,
    /// Reads that went to the engine.
    pub cache_misses: u64,
    /// Weight of the records of `memory` buckets, in bytes.
    pub memory_bytes: u64,
    /// Records of `memory` buckets.
    pub memory_entries: u64,
    /// The engine's memtables, in bytes.
    pub memtable_bytes: u64,
    /// Commits and facts answered as done.
    pub commits: u64,
    /// Records written.
    pub records_written: u64,
    /// Writes that a later write of the same batch made unnecessary.
    pub coalesced: u64,
    /// Batches that carried the commits.
    pub batches: u64,
    /// Batches and intervals that were synced.
    pub syncs: u64,
    /// How long synced batches took.
    pub sync_times: SyncTimes,
    /// Times the committer had to wait for flushes or compactions.
    pub stalls: u64,
    /// How long it waited, in microseconds.
    pub stalled_us: u64,
    /// Batches over 50 ms (RULINGS 30).
    pub slow_batches: u64,
    /// Entries that wait for the committer.
    pub queue_depth: u64,
    /// Records that failed their checksum when they were read.
    pub damaged_records: u64,
    /// Memtables written to tables.
    pub memtables_rotated: u64,
    /// Compactions completed.
    pub compactions: u64,
    /// True once a write or sync has failed.
    pub out_of_service: bool,
}

/// The numbers that store threads count.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub free_bytes: AtomicU64,
    pub memory_bytes: AtomicU64,
    pub commits: AtomicU64,
    pub records_written: AtomicU64,
    pub coalesced: AtomicU64,
    pub batches: AtomicU64,
    pub syncs: AtomicU64,
    pub stalls: AtomicU64,
    pub stalled_us: AtomicU64,
    pub slow_batches: AtomicU64,
    pub damaged_records: AtomicU64,
    pub memtables_rotated: AtomicU64,
    sync_buckets: [AtomicU64; 16],
    sync_sum_us: AtomicU64,
    sync_max_us: AtomicU64,
}

/// Adds to a counter that only gives numbers.
pub(crate) fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Relaxed);
}

impl Counters {
    /// Notes how long a synced batch took.
    pub fn note_sync(&self, took: Duration) {
        let us = took.as_micros() as u64;
        let bucket = SYNC_BUCKET_BOUNDS_US.partition_point(|&bound| bound < us);
        add(&self.sync_buckets[bucket], 1);
        add(&self.sync_sum_us, us);
        self.sync_max_us.fetch_max(us, Relaxed);
    }

    /// The part of the stats that is counted here.
    pub fn stats(&self) -> StoreStats {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        let mut buckets = [0; 16];
        for (bucket, counter) in buckets.iter_mut().zip(&self.sync_buckets) {
            *bucket = read(counter);
        }
        StoreStats {
            free_bytes: read(&self.free_bytes),
            memory_bytes: read(&self.memory_bytes),
            commits: read(&self.commits),
            records_written: read(&self.records_written),
            coalesced: read(&self.coalesced),
            batches: read(&self.batches),
            syncs: read(&self.syncs),
            sync_times: SyncTimes {
                buckets,
                count: buckets.iter().sum(),
                sum_us: read(&self.sync_sum_us),
                max_us: read(&self.sync_max_us),
            },
            stalls: read(&self.stalls),
            stalled_us: read(&self.stalled_us),
            slow_batches: read(&self.slow_batches),
            damaged_records: read(&self.damaged_records),
            memtables_rotated: read(&self.memtables_rotated),
            ..StoreStats::default()
        }
    }
}
