//! Metrics of the store.

use torc_store::{SYNC_BUCKET_BOUNDS_US, StoreStats};

use crate::shell::exposition::{Exposition, Histogram, Labels};

pub(super) fn store(stats: &StoreStats, exposition: &mut Exposition) {
    for (name, help, value) in [
        ("torc_store_commits", "Commits answered as done", stats.commits),
        ("torc_store_records_written", "Records written", stats.records_written),
        (
            "torc_store_coalesced_writes",
            "Writes that a later one of the same batch made unnecessary",
            stats.coalesced,
        ),
        ("torc_store_batches", "Batches that carried the commits", stats.batches),
        (
            "torc_store_syncs",
            "Batches and intervals that were synced",
            stats.syncs,
        ),
        (
            "torc_store_stalls",
            "Times the committer waited for flushes or compactions",
            stats.stalls,
        ),
        ("torc_store_slow_batches", "Batches over 50 ms", stats.slow_batches),
        (
            "torc_store_damaged_records",
            "Records that failed their checksum",
            stats.damaged_records,
        ),
        (
            "torc_store_cache_hits",
            "Reads answered by the record cache",
            stats.cache_hits,
        ),
        (
            "torc_store_cache_misses",
            "Reads that went to the engine",
            stats.cache_misses,
        ),
        (
            "torc_store_memtables_rotated",
            "Memtables written to tables",
            stats.memtables_rotated,
        ),
        ("torc_store_compactions", "Compactions completed", stats.compactions),
    ] {
        exposition.counter(name, help, value);
    }
    exposition.counter_of(
        "torc_store_stalled_seconds",
        "How long the committer has waited for flushes or compactions",
        stats.stalled_us as f64 / 1e6,
    );
    for (name, help, value) in [
        (
            "torc_store_disk_bytes",
            "Tables, blobs and journals on disk",
            stats.disk_bytes as f64,
        ),
        (
            "torc_store_journal_bytes",
            "Journals among them",
            stats.journal_bytes as f64,
        ),
        (
            "torc_store_free_bytes",
            "Free space of the file system",
            stats.free_bytes as f64,
        ),
        (
            "torc_store_cache_bytes",
            "Weight of the record cache",
            stats.cache_bytes as f64,
        ),
        (
            "torc_store_cache_entries",
            "Records in the cache, absent ones included",
            stats.cache_entries as f64,
        ),
        (
            "torc_store_memory_bytes",
            "Weight of the records of memory buckets",
            stats.memory_bytes as f64,
        ),
        (
            "torc_store_memtable_bytes",
            "The engine's memtables",
            stats.memtable_bytes as f64,
        ),
        (
            "torc_store_queue_depth",
            "Entries that wait for the committer",
            stats.queue_depth as f64,
        ),
        (
            "torc_store_out_of_service",
            "1 once a write or sync has failed",
            f64::from(u8::from(stats.out_of_service)),
        ),
    ] {
        exposition.gauge(name, help, value);
    }
    let times = &stats.sync_times;
    let bounds = SYNC_BUCKET_BOUNDS_US
        .iter()
        .map(|&us| us as f64 / 1e6)
        .chain([f64::INFINITY]);
    let histogram = Histogram {
        buckets: bounds.zip(times.buckets).collect(),
        sum: times.sum_us as f64 / 1e6,
    };
    exposition.histograms(
        "torc_store_sync_duration_seconds",
        "Batches written, synced and applied",
        vec![(Labels::new(), histogram)],
    );
}
