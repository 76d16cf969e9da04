//! The committer: the only thread that writes and syncs. It takes everything that waits, writes it as one batch, syncs
//! once and answers all of it with one call. The engine holds its journal lock while it syncs, so a second writer would
//! only wait for it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fjall::{OwnedWriteBatch, PersistMode};
use torc_core::bucket::StorageClass;
use torc_core::causality::codec;
use torc_core::id::Token;
use torc_core::key::RecordKey;
use torc_core::map::FastMap;
use torc_core::storage::{StoreError, StoreReply, Write};

use crate::budget::Budget;
use crate::damage::Examination;
use crate::engine::Engine;
use crate::faults::FsyncFault;
use crate::journal::Runway;
use crate::meta;
use crate::queue::{Entry, Taken};
use crate::shared::Shared;
use crate::stats::add;
use crate::watch::{BATCH_LIMIT, free_bytes};

/// A batch is cut at about this many bytes, so that one huge import does not hold up everybody's sync.
const BATCH_BYTES_MAX: usize = 8 << 20;
/// A batch waits for more commits for at most this part of a sync.
const GATHER_PART: u32 = 3;
const GATHER_MAX: Duration = Duration::from_micros(100);
/// An alarm is due above this (RULINGS 30).
const SLOW_BATCH: Duration = Duration::from_millis(50);
/// With this many sealed memtables the committer waits; at four the engine would sleep in steps of 100 ms.
const SEALED_MEMTABLES_MAX: usize = 3;
/// With this many unmerged tables the committer waits; at thirty the engine would sleep in steps of 10 ms.
const UNMERGED_TABLES_MAX: usize = 26;
/// What the engine writes about a record in its journal, about.
const ITEM_BYTES: u64 = 16;
const STALL_STEP: Duration = Duration::from_millis(1);
/// Free space that is never used: with less, a flush might fail half way, and the engine would be lost until reopened.
const RESERVE_BYTES: u64 = 32 << 20;
/// How often free space is asked for while batches are written.
const RESERVE_CHECK_PERIOD: Duration = Duration::from_millis(20);

/// See the module.
pub(crate) struct Committer {
    engine: Engine,
    shared: Arc<Shared>,
    dir: PathBuf,
    memtable_bytes_max: u64,
    reserve_bytes: u64,
    sync_interval: Duration,
    entries: Vec<Entry>,
    replies: Vec<(Token, StoreReply)>,
    scratch: Vec<u8>,
    runway: Runway,
    /// About how much was appended to the journal and not told to the runway yet.
    appended: u64,
    /// How many entries the last batch had.
    expected: usize,
    /// How long the last synced batch took.
    last_sync: Duration,
    /// When the first commit that is not synced yet was applied.
    unsynced_since: Option<Instant>,
    reserve_checked_at: Option<Instant>,
    /// Once the engine has failed.
    examination: Option<Examination>,
}

impl Committer {
    pub fn new(
        engine: Engine,
        shared: Arc<Shared>,
        dir: PathBuf,
        runway: Runway,
        budget: &Budget,
        sync_interval: Duration,
    ) -> Self {
        Self {
            engine,
            shared,
            dir,
            memtable_bytes_max: budget.memtable,
            // Memtables that wait are flushed even when nothing more is written.
            reserve_bytes: RESERVE_BYTES + 4 * budget.memtable,
            sync_interval,
            entries: Vec::new(),
            replies: Vec::new(),
            scratch: Vec::new(),
            runway,
            appended: 0,
            expected: 0,
            last_sync: Duration::ZERO,
            unsynced_since: None,
            reserve_checked_at: None,
            examination: None,
        }
    }

    /// Commits until the queue is closed and empty.
    pub fn run(mut self) {
        // A bug here must not leave a node that takes writes and never answers them.
        let _fail_on_panic = FailOnPanic(Arc::clone(&self.shared));
        self.runway.extend(0);
        loop {
            let deadline = self.unsynced_since.map(|since| since + self.sync_interval);
            match self.shared.queue.take(&mut self.entries, deadline) {
                Taken::Some => {
                    self.gather();
                    self.commit_entries();
                }
                Taken::Deadline => {}
                Taken::Closed => break,
            }
            if let Some(since) = self.unsynced_since
                && since.elapsed() >= self.sync_interval
            {
                self.sync();
            }
            self.examine_if_failed();
        }
        if self.unsynced_since.is_some() {
            self.sync();
        }
        if let Some(examination) = self.examination.take() {
            examination.stop();
        }
    }

    /// An engine that failed may have met damage, and would meet it again: that is looked for, once.
    fn examine_if_failed(&mut self) {
        if self.examination.is_some() || !self.shared.is_out_of_service() || !self.engine.has_failed() {
            return;
        }
        match Examination::start(self.engine.clone(), self.dir.clone()) {
            Ok(examination) => self.examination = Some(examination),
            Err(error) => tracing::error!(%error, "why the engine failed can't be looked into"),
        }
    }

    /// The first commit of a turn of the node thread wakes the committer, the rest of the turn comes a moment later. To
    /// sync at once would make every second sync carry almost nothing, so as many commits are awaited as came last
    /// time, for a small part of what a sync takes.
    fn gather(&mut self) {
        if self.entries.len() < self.expected {
            let patience = (self.last_sync / GATHER_PART).min(GATHER_MAX);
            self.shared.queue.gather(&mut self.entries, self.expected, patience);
        }
        self.expected = self.entries.len();
    }

    fn commit_entries(&mut self) {
        let mut entries = std::mem::take(&mut self.entries);
        let mut rest = &entries[..];
        while !rest.is_empty() {
            let count = batch_length(rest);
            let (now, later) = rest.split_at(count);
            let result = self.commit(now);
            let reply = match result {
                Ok(()) => {
                    add(&self.shared.counters.commits, count as u64);
                    StoreReply::Done
                }
                Err(error) => {
                    self.shared.fail();
                    StoreReply::Failed(error)
                }
            };
            self.replies
                .extend(now.iter().map(|entry| (entry.token(), reply.clone())));
            self.shared.completions.stored(&mut self.replies);
            self.replies.clear();
            // Whoever waited has been answered.
            self.runway.extend(std::mem::take(&mut self.appended));
            rest = later;
        }
        entries.clear();
        self.entries = entries;
    }

    /// Writes entries as one batch, durable if one of them asks for it.
    fn commit(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        if self.shared.is_out_of_service() || self.reserve_is_reached() {
            return Err(StoreError::OutOfService);
        }
        // A wait counts as part of the batch for the store's health: nothing becomes durable meanwhile.
        self.shared.begin_batch();
        if let Err(error) = self.wait_for_flushes() {
            self.shared.end_batch(false);
            return Err(error);
        }
        let begun = Instant::now();
        let must_sync = entries.iter().any(Entry::must_sync);
        let batch = self.batch_of(entries);
        let written = self.write(batch, must_sync);
        let took = begun.elapsed();
        self.shared.end_batch(took > BATCH_LIMIT);
        let counters = &self.shared.counters;
        add(&counters.batches, 1);
        if took > SLOW_BATCH {
            add(&counters.slow_batches, 1);
            tracing::warn!(
                ms = took.as_millis() as u64,
                entries = entries.len(),
                "a commit took long"
            );
        }
        written?;
        if must_sync {
            add(&counters.syncs, 1);
            counters.note_sync(took);
            self.last_sync = took;
            self.unsynced_since = None;
        } else if self.unsynced_since.is_none() {
            self.unsynced_since = Some(begun);
        }
        self.rotate_memtable()
    }

    /// The last write of each key, encoded.
    fn batch_of(&mut self, entries: &[Entry]) -> OwnedWriteBatch {
        let counters = &self.shared.counters;
        let writes: usize = entries.iter().map(writes_of).map(<[Write]>::len).sum();
        let mut batch = OwnedWriteBatch::with_capacity(self.engine.db.clone(), writes + 1);
        // All records of a batch get one sequence number in the engine, so a key may be in it once only.
        let mut latest: FastMap<&RecordKey, ()> = FastMap::default();
        if writes > 1 {
            latest.reserve(writes);
        }
        let mut written = 0;
        let mut removes = false;
        let mut facts: BTreeMap<Vec<u8>, meta::Stored> = BTreeMap::new();
        for entry in entries.iter().rev() {
            match entry {
                Entry::Writes { writes, .. } => {
                    for write in writes.iter().rev() {
                        let is_on_disk = match write.class {
                            StorageClass::Disk => true,
                            StorageClass::Memory => false,
                        };
                        if !is_on_disk || (latest.insert(&write.key, ()).is_some()) {
                            continue;
                        }
                        written += 1;
                        let Some(record) = &write.record else {
                            batch.remove(&self.engine.records, write.key.as_bytes());
                            removes = true;
                            continue;
                        };
                        self.scratch.clear();
                        codec::encode_into(record, &mut self.scratch);
                        batch.insert(&self.engine.records, write.key.as_bytes(), &self.scratch[..]);
                        self.appended += (write.key.as_bytes().len() + self.scratch.len()) as u64 + ITEM_BYTES;
                        if write.key.is_partition_head() {
                            let head = meta::stored_head(&write.key);
                            facts.insert(head.key.clone(), head);
                        }
                    }
                }
                Entry::Meta { .. } => {}
            }
        }
        for entry in entries.iter().rev() {
            if let Entry::Meta { meta, .. } = entry {
                let stored = meta::stored(meta);
                facts.entry(stored.key.clone()).or_insert(stored);
            }
        }
        for fact in facts.into_values() {
            if meta::is_removed(&fact) {
                batch.remove(&self.engine.meta, fact.key);
                removes = true;
            } else {
                batch.insert(&self.engine.meta, fact.key, fact.value);
            }
        }
        if removes {
            batch.insert(&self.engine.meta, meta::REMOVAL_KEY, b"");
        }
        add(&counters.records_written, written as u64);
        add(&counters.coalesced, (writes - written) as u64);
        batch
    }

    fn write(&mut self, batch: OwnedWriteBatch, must_sync: bool) -> Result<(), StoreError> {
        // `Buffer` hands the journal to the operating system, so that a kill of this process loses nothing applied.
        let (mode, fails) = match (must_sync, self.shared.faults.fsync()) {
            (true, FsyncFault::Ok) => (Some(PersistMode::SyncData), false),
            (true, FsyncFault::Fail) => (Some(PersistMode::Buffer), true),
            (_, FsyncFault::Lie) => {
                // It may stay in the engine's buffer.
                self.appended = 0;
                (None, false)
            }
            (true, FsyncFault::Slow(by)) => {
                std::thread::sleep(by);
                (Some(PersistMode::SyncData), false)
            }
            (false, FsyncFault::Ok | FsyncFault::Fail | FsyncFault::Slow(_)) => (Some(PersistMode::Buffer), false),
        };
        if let Err(error) = batch.durability(mode).commit() {
            tracing::error!(%error, "a commit failed: the store is out of service until it is reopened");
            return Err(StoreError::OutOfService);
        }
        if fails {
            tracing::error!("a sync failed, as a fault asks for: the store is out of service until it is reopened");
            return Err(StoreError::OutOfService);
        }
        Ok(())
    }

    /// Makes buffered commits durable.
    fn sync(&mut self) {
        self.unsynced_since = None;
        if self.shared.is_out_of_service() {
            return;
        }
        self.shared.begin_batch();
        let begun = Instant::now();
        let synced = match self.shared.faults.fsync() {
            FsyncFault::Ok => self.engine.db.persist(PersistMode::SyncData).is_ok(),
            FsyncFault::Fail => false,
            FsyncFault::Lie => true,
            FsyncFault::Slow(by) => {
                std::thread::sleep(by);
                self.engine.db.persist(PersistMode::SyncData).is_ok()
            }
        };
        let took = begun.elapsed();
        self.shared.end_batch(took > BATCH_LIMIT);
        add(&self.shared.counters.syncs, 1);
        self.shared.counters.note_sync(took);
        if !synced {
            tracing::error!("a sync failed: the store is out of service until it is reopened");
            self.shared.fail();
        }
    }

    /// Seals the memtable when it is full, so that its size follows this boot's memory budget.
    fn rotate_memtable(&mut self) -> Result<(), StoreError> {
        if self.engine.active_memtable_bytes() < self.memtable_bytes_max {
            return Ok(());
        }
        add(&self.shared.counters.memtables_rotated, 1);
        // Facts are few, but a journal goes only when all that it holds is in tables.
        let rotated = self
            .engine
            .records
            .rotate_memtable()
            .and_then(|_| self.engine.meta.rotate_memtable());
        if let Err(error) = rotated {
            tracing::error!(%error, "a memtable can't be sealed: the store is out of service until it is reopened");
            self.shared.fail();
        }
        // What was committed is durable all the same.
        Ok(())
    }

    /// Waits while flushes or compactions are behind, in short steps, before the engine would sleep in long ones.
    fn wait_for_flushes(&self) -> Result<(), StoreError> {
        let is_behind = || {
            self.engine.sealed_memtables() >= SEALED_MEMTABLES_MAX
                || self.engine.unmerged_tables() >= UNMERGED_TABLES_MAX
        };
        if !is_behind() {
            return Ok(());
        }
        let begun = Instant::now();
        let mut result = Ok(());
        while result.is_ok() && is_behind() {
            std::thread::sleep(STALL_STEP);
            // A flush that failed never ends; the engine says so to nobody but the next writer.
            result = self.engine.db.persist(PersistMode::Buffer);
        }
        add(&self.shared.counters.stalls, 1);
        add(&self.shared.counters.stalled_us, begun.elapsed().as_micros() as u64);
        result.map_err(|error| {
            tracing::error!(%error, "a flush failed: the store is out of service until it is reopened");
            StoreError::OutOfService
        })
    }

    fn reserve_is_reached(&mut self) -> bool {
        if self.shared.faults.reserve_reached() {
            tracing::error!("the disk is at its last reserve, as a fault asks for: the store is out of service");
            return true;
        }
        let now = Instant::now();
        if self
            .reserve_checked_at
            .is_some_and(|at| now - at < RESERVE_CHECK_PERIOD)
        {
            return false;
        }
        self.reserve_checked_at = Some(now);
        let is_reached = free_bytes(&self.dir).is_some_and(|free| free < self.reserve_bytes);
        if is_reached {
            tracing::error!(
                reserve_bytes = self.reserve_bytes,
                "the disk is at its last reserve: the store is out of service until space is freed and it is reopened"
            );
        }
        is_reached
    }
}

struct FailOnPanic(Arc<Shared>);

impl Drop for FailOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail();
        }
    }
}

fn writes_of(entry: &Entry) -> &[Write] {
    match entry {
        Entry::Writes { writes, .. } => writes,
        Entry::Meta { .. } => &[],
    }
}

/// How many of the entries make one batch.
fn batch_length(entries: &[Entry]) -> usize {
    let mut bytes = 0;
    for (index, entry) in entries.iter().enumerate() {
        if bytes > BATCH_BYTES_MAX {
            return index;
        }
        bytes += writes_of(entry)
            .iter()
            .map(|write| write.record.as_ref().map_or(0, |record| record.weight()))
            .sum::<usize>();
    }
    entries.len()
}
