//! The store as the shell's node thread sees it: operations go in, answers come back at once where nothing blocks, and
//! through [`Completions`] where a commit must become durable first.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::Instant;

use fjall::PersistMode;
use smallvec::SmallVec;
use torc_core::bucket::StorageClass;
use torc_core::causality::Record;
use torc_core::id::Token;
use torc_core::key::RecordKey;
use torc_core::storage::{
    AtHand, BootState, CleanMarker, Page, Range, Storage, StoreError, StoreHealth, StoreOp, StoreReply, Write,
};

use crate::boot::boot;
use crate::budget::Budget;
use crate::cache::RecordCache;
use crate::committer::Committer;
use crate::directory::Directory;
use crate::engine::{Engine, engine_dir};
use crate::error::OpenError;
use crate::faults::Faults;
use crate::journal::{self, Runway};
use crate::loader::{LOADERS, Loader};
use crate::loads::Loads;
use crate::memory::MemoryRecords;
use crate::meta;
use crate::options::StoreOptions;
use crate::queue::Entry;
use crate::reader::{Job, Reader, Scan};
use crate::shared::Shared;
use crate::stats::{StoreStats, add};
use crate::trees;
use crate::watch::{Stop, Watch, free_bytes};

/// Where answers go; called from the store's threads.
pub trait Completions: Send + Sync + 'static {
    /// Answers to operations for which [`Store::submit`] gave `None`: all of one batch at once. Whatever is left in
    /// `batch` is dropped.
    fn stored(&self, batch: &mut Vec<(Token, StoreReply)>);
    /// The store's health has changed.
    fn health(&self, health: StoreHealth);
}

/// An open store and what it found.
pub struct Opened {
    /// The store.
    pub store: Store,
    /// For the core. The incarnation is already durable and counted up, the marker already durably deleted.
    pub boot: BootState,
}

/// See the module. Used by one thread.
pub struct Store {
    dir: PathBuf,
    engine: Engine,
    shared: Arc<Shared>,
    cache: RecordCache,
    loads: Loads,
    /// What was shown last: the cache need not keep it.
    shown: Option<Arc<Record>>,
    memory: MemoryRecords,
    budget: Budget,
    cache_hits: u64,
    cache_misses: u64,
    /// Where long reads go; dropped to end the reader.
    jobs: Option<Sender<(Token, Job)>>,
    reader: Option<JoinHandle<()>>,
    loaders: Vec<JoinHandle<()>>,
    committer: Option<JoinHandle<()>>,
    watch: Option<JoinHandle<()>>,
    watch_stop: Arc<Stop>,
    // Last, so that the lock outlives the engine.
    _directory: Directory,
}

impl Store {
    /// Opens the store in `options.dir`, creating it if there is none.
    ///
    /// # Errors
    /// [`OpenError`] says what is in the way and what to do.
    pub fn open(options: StoreOptions, completions: Arc<dyn Completions>) -> Result<Opened, OpenError> {
        let directory = Directory::claim(&options)?;
        let dir = engine_dir(&options.dir);
        if dir.exists() {
            journal::check(&dir)?;
        }
        let runway = Runway::new(&dir);
        let budget = Budget::split(options.memory_bytes_max);
        let engine = Engine::open(&dir, &budget)?;
        let mut boot = boot(&engine, &dir)?;
        boot.trees = trees::take(&options.dir, boot.marker.as_ref());
        let shared = Arc::new(Shared::new(completions));
        if let Some(free) = free_bytes(&options.dir) {
            shared.counters.free_bytes.store(free, Relaxed);
        }
        let committer = Committer::new(
            engine.clone(),
            Arc::clone(&shared),
            options.dir.clone(),
            runway,
            &budget,
            options.sync_interval,
        );
        let watch_stop = Arc::new(Stop::default());
        let watch = Watch {
            dir: options.dir.clone(),
            shared: Arc::clone(&shared),
            stop: Arc::clone(&watch_stop),
            free_space_bytes_min: options.free_space_bytes_min,
            memory_bytes_max: budget.memory_buckets,
        };
        let io = |source| OpenError::Io {
            path: options.dir.clone(),
            source,
        };
        let committer = spawn("torc-committer", move || committer.run()).map_err(io)?;
        let (jobs, reader) = Reader::new(engine.clone(), Arc::clone(&shared));
        let mut loaders = Vec::with_capacity(LOADERS);
        for _ in 0..LOADERS {
            let (engine, shared) = (engine.clone(), Arc::clone(&shared));
            loaders.push(spawn("torc-loader", move || Loader { engine, shared }.run()).map_err(io)?);
        }
        let store = Self {
            dir: options.dir.clone(),
            jobs: Some(jobs),
            reader: Some(spawn("torc-reader", move || reader.run()).map_err(io)?),
            engine,
            cache: RecordCache::new(budget.record_cache),
            loads: Loads::default(),
            shown: None,
            loaders,
            shared,
            memory: MemoryRecords::default(),
            budget,
            cache_hits: 0,
            cache_misses: 0,
            committer: Some(committer),
            watch: Some(spawn("torc-watch", move || watch.run()).map_err(io)?),
            watch_stop,
            _directory: directory,
        };
        Ok(Opened { store, boot })
    }

    /// Performs an operation. `Some`: its answer. `None`: the answer comes through [`Completions::stored`].
    pub fn submit(&mut self, token: Token, op: StoreOp) -> Option<StoreReply> {
        if self.shared.take_cache_is_stale() {
            self.cache = RecordCache::new(self.budget.record_cache);
            self.loads.all_old();
        }
        match op {
            StoreOp::Get { key, class } => self.read(token, key, class),
            StoreOp::Scan {
                range,
                class,
                records_max,
                bytes_max,
                may_wait,
            } => match class {
                StorageClass::Memory => Some(StoreReply::Page(self.memory.scan(&range, records_max, bytes_max))),
                StorageClass::Disk => {
                    let scan = Scan {
                        range,
                        records_max,
                        bytes_max,
                    };
                    self.submit_scan(token, scan, may_wait)
                }
            },
            StoreOp::Commit { writes, durability } => {
                if self.shared.is_out_of_service() {
                    return Some(StoreReply::Failed(StoreError::OutOfService));
                }
                if !self.apply(&writes) {
                    return Some(StoreReply::Done);
                }
                self.shared.queue.push(Entry::Writes {
                    token,
                    writes,
                    durability,
                });
                None
            }
            StoreOp::Scrub { from, bytes_max } => {
                if self.shared.is_out_of_service() {
                    return Some(StoreReply::Failed(StoreError::OutOfService));
                }
                self.submit_read(token, Job::Scrub { from, bytes_max })
            }
            StoreOp::Discard(spoiled) => self.submit_read(token, Job::Discard(spoiled)),
            StoreOp::PutMeta(meta) => {
                if self.shared.is_out_of_service() {
                    return Some(StoreReply::Failed(StoreError::OutOfService));
                }
                self.shared.queue.push(Entry::Meta { token, meta });
                None
            }
        }
    }

    /// Stops: commits what was submitted, syncs, keeps the marker and the trees that belong to it durably, ends all threads. Nothing may be asked of the
    /// store afterwards.
    ///
    /// # Errors
    /// `OutOfService`: the store had failed, or fails now; no marker was written, so the next boot takes a new life.
    pub fn stop(&mut self, marker: Option<CleanMarker>, trees: &[u8]) -> Result<(), StoreError> {
        self.end_threads();
        if self.shared.is_out_of_service() {
            return Err(StoreError::OutOfService);
        }
        let write = || -> fjall::Result<()> {
            self.engine.db.persist(PersistMode::SyncAll)?;
            if let Some(marker) = marker {
                // Without them the next boot reads everything to know them; it can.
                if let Err(error) = trees::keep(&self.dir, &marker, trees) {
                    tracing::warn!(%error, "trees are not kept: the next start counts them again");
                }
                let stored = meta::stored_marker(&marker);
                let mut batch = self.engine.db.batch().durability(Some(PersistMode::SyncAll));
                batch.insert(&self.engine.meta, stored.key, stored.value);
                batch.commit()?;
            }
            Ok(())
        };
        write().map_err(|error| {
            tracing::error!(%error, "the store could not be stopped cleanly");
            StoreError::OutOfService
        })
    }

    /// What the store has done, and how it is.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        StoreStats {
            disk_bytes: self.engine.db.disk_space().unwrap_or(0),
            journal_bytes: self.engine.db.journal_disk_space().unwrap_or(0),
            cache_bytes: self.cache.bytes(),
            cache_entries: self.cache.len() as u64,
            cache_hits: self.cache_hits,
            cache_misses: self.cache_misses,
            memory_entries: self.memory.len() as u64,
            memtable_bytes: self.engine.db.write_buffer_size(),
            queue_depth: self.shared.queue.len() as u64,
            compactions: self.engine.db.compactions_completed() as u64,
            out_of_service: self.shared.is_out_of_service(),
            ..self.shared.counters.stats()
        }
    }

    /// The faults in force.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    fn submit_scan(&mut self, token: Token, scan: Scan, may_wait: bool) -> Option<StoreReply> {
        let failed = StoreReply::Failed(StoreError::OutOfService);
        if self.shared.is_out_of_service() {
            return Some(failed);
        }
        if !may_wait && let Some(page) = scan.on_the_spot(&self.engine, &self.shared) {
            return Some(page.map_or_else(StoreReply::Failed, StoreReply::Page));
        }
        self.submit_read(token, Job::Scan(scan))
    }

    fn submit_read(&self, token: Token, job: Job) -> Option<StoreReply> {
        match &self.jobs {
            Some(jobs) if jobs.send((token, job)).is_ok() => None,
            Some(_) | None => Some(StoreReply::Failed(StoreError::OutOfService)),
        }
    }

    fn read(&mut self, token: Token, key: RecordKey, class: StorageClass) -> Option<StoreReply> {
        match class {
            StorageClass::Memory => return Some(StoreReply::Record(self.memory.get(&key).cloned())),
            StorageClass::Disk => {}
        }
        if self.shared.is_out_of_service() {
            return Some(StoreReply::Failed(StoreError::OutOfService));
        }
        if let Some(entry) = self.cache.get(&key).cloned() {
            self.cache_hits += 1;
            return Some(StoreReply::Record(entry));
        }
        self.cache_misses += 1;
        if self.shared.pace.is_quick() {
            return Some(match self.load(&key) {
                Ok(record) => StoreReply::Record(record.cloned()),
                Err(error) => StoreReply::Failed(error),
            });
        }
        if self.loads.wait(token, &key) {
            self.shared.loads.push(token, key);
        }
        None
    }

    /// Reads a record on the spot.
    fn load(&mut self, key: &RecordKey) -> Result<Option<&Arc<Record>>, StoreError> {
        let begun = Instant::now();
        let loaded = self.engine.get(key);
        self.shared.faults.delay_read();
        self.shared.pace.note(begun.elapsed());
        let record = loaded.inspect_err(|error| self.note_damage(*error))?.map(Arc::new);
        self.cache.fill(key, record.clone());
        self.shown = record;
        Ok(self.shown.as_ref())
    }

    /// To be told of every answer of [`Completions::stored`] before anybody else is: a record that was loaded is kept.
    /// Gives the other operations that have the same answer.
    #[must_use]
    pub fn answered(&mut self, token: Token, reply: &StoreReply) -> SmallVec<[Token; 2]> {
        let Some(loaded) = self.loads.loaded(token) else {
            return SmallVec::new();
        };
        if let (Some(key), StoreReply::Record(record)) = (loaded.keep_as, reply)
            && !self.shared.is_cache_stale()
        {
            self.cache.fill(&key, record.clone());
        }
        loaded.others
    }

    /// Applies what needs no committer; true if some writes go to disk. The core asks for no record with a commit on the
    /// way, and after a failed commit for none at all, so the cache may know the new record already now.
    fn apply(&mut self, writes: &[Write]) -> bool {
        let mut any_on_disk = false;
        let mut any_in_memory = false;
        for write in writes {
            match write.class {
                StorageClass::Disk => {
                    self.cache.put(&write.key, write.record.as_deref());
                    self.loads.written(&write.key);
                    any_on_disk = true;
                }
                StorageClass::Memory => {
                    match &write.record {
                        Some(record) => self.memory.put(&write.key, record),
                        None => self.memory.remove(&write.key),
                    }
                    any_in_memory = true;
                }
            }
        }
        if any_in_memory {
            let bytes = self.memory.bytes();
            self.shared.counters.memory_bytes.store(bytes, Relaxed);
            // Both live on one half of the budget; the records must stay, the cache gives way.
            self.cache.set_bytes_max(
                self.budget
                    .record_cache
                    .saturating_sub(bytes)
                    .max(self.budget.record_cache / 16),
            );
        }
        any_on_disk
    }

    fn note_damage(&self, error: StoreError) {
        if error == StoreError::Damaged {
            add(&self.shared.counters.damaged_records, 1);
        }
    }

    fn end_threads(&mut self) {
        self.shared.queue.close();
        self.shared.loads.close();
        self.watch_stop.stop();
        self.jobs = None;
        let threads = [self.committer.take(), self.reader.take(), self.watch.take()];
        for thread in threads.into_iter().flatten().chain(self.loaders.drain(..)) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
                self.shared.fail();
            }
        }
    }
}

impl Storage for Store {
    fn get(&self, key: &RecordKey, class: StorageClass) -> Result<Option<Arc<Record>>, StoreError> {
        match class {
            StorageClass::Memory => return Ok(self.memory.get(key).cloned()),
            StorageClass::Disk => {}
        }
        if self.shared.is_out_of_service() {
            return Err(StoreError::OutOfService);
        }
        if let Some(entry) = self.cache.get(key).cloned() {
            return Ok(entry);
        }
        let record = self.engine.get(key).inspect_err(|error| self.note_damage(*error))?;
        Ok(record.map(Arc::new))
    }

    fn scan(&self, range: &Range, class: StorageClass, records_max: u32, bytes_max: usize) -> Result<Page, StoreError> {
        match class {
            StorageClass::Memory => return Ok(self.memory.scan(range, records_max, bytes_max)),
            StorageClass::Disk => {}
        }
        if self.shared.is_out_of_service() {
            return Err(StoreError::OutOfService);
        }
        let scan = Scan {
            range: range.clone(),
            records_max,
            bytes_max,
        };
        scan.perform(&self.engine, &self.shared)
    }
}

impl AtHand for Store {
    /// What is not in the cache is read on the spot as long as that is quick: it costs less than two thread hops.
    fn at_hand(&mut self, key: &RecordKey, class: StorageClass) -> Option<Option<&Arc<Record>>> {
        match class {
            StorageClass::Memory => return Some(self.memory.get(key)),
            StorageClass::Disk => {}
        }
        if self.shared.is_out_of_service() || self.shared.is_cache_stale() {
            return None;
        }
        if let Some(entry) = self.cache.get(key) {
            self.shown.clone_from(entry);
            self.cache_hits += 1;
            return Some(self.shown.as_ref());
        }
        if !self.shared.pace.is_quick() {
            return None;
        }
        self.cache_misses += 1;
        self.load(key).ok()
    }
}

impl Drop for Store {
    /// Without [`Store::stop`] nothing is lost that was acknowledged, but the next boot takes a new life.
    fn drop(&mut self) {
        self.end_threads();
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run)
}
