//! A simulated disk with a store on it. Commits are applied and synced in the order in which they were asked for; a
//! crash keeps what was synced and any beginning of the rest.
//!
//! ```text
//! asked ──batch──▶ applied, in the log ──sync──▶ durable
//!                  (reads see it)       lie: believed, still only in the log
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use torc_core::bucket::{Durability, StorageClass};
use torc_core::causality::Record;
use torc_core::id::{NodeId, Token};
use torc_core::key::RecordKey;
use torc_core::storage::{
    AtHand, CleanMarker, HintMemory, Meta, Page, Range, Scrubbed, Spoiled, StoreError, StoreOp, StoreReply, Write,
};

use crate::chance::Chance;
use crate::world::image::{Entry, Hints, Image, Records, put};

/// How syncs go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyncMode {
    /// As they should.
    Honest,
    /// They say that they succeeded and did nothing.
    Lying,
    /// The next one fails.
    Failing,
    /// They take this many microseconds more.
    Slow(u64),
}

#[derive(Debug)]
struct Asked {
    token: Token,
    entry: Entry,
    must_sync: bool,
}

/// One record that a batch changed.
#[derive(Clone, Debug)]
pub struct Changed {
    /// Which.
    pub key: RecordKey,
    /// What reads gave before.
    pub before: Option<Arc<Record>>,
    /// What they give now.
    pub after: Arc<Record>,
}

/// What applying a batch did.
#[derive(Debug, Default)]
pub struct Batch {
    /// In order.
    pub changed: Vec<Changed>,
    /// Records that are no more, as they were.
    pub removed: Vec<(RecordKey, Arc<Record>)>,
    /// What is kept for others, as it was for the same home and as it is.
    pub kept: Vec<Changed>,
    /// What is not kept for others any more.
    pub delivered: Vec<HintMemory>,
    /// Commits that are answered now.
    pub answers: Vec<(Token, StoreReply)>,
    /// A sync must follow.
    pub must_sync: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Disk {
    /// Survives everything but a wipe.
    durable: Image,
    /// What whoever trusts the answers believes to be durable.
    believed: Records,
    /// What reads see.
    applied: Records,
    /// Records of memory buckets.
    memory: Records,
    /// What is kept for others, as the committer has applied it.
    hints: BTreeMap<(NodeId, RecordKey), HintMemory>,
    /// What of it whoever trusts the answers believes to be durable.
    believed_hints: Hints,
    log: VecDeque<Entry>,
    /// How many log entries the sync in flight covers.
    syncing: usize,
    asked: VecDeque<Asked>,
    waiting: Vec<Token>,
    is_busy: bool,
    /// How syncs go.
    pub mode: SyncMode,
    /// Free space is under the watermark.
    pub is_full: bool,
    /// A sync failed.
    pub is_out_of_service: bool,
    /// Reads that fail without proof of damage, in percent.
    pub failing_reads: u64,
    /// Something on it has ever been damaged.
    pub was_damaged: bool,
    /// It lied, and some of what it lied about is still not durable.
    pub has_lied: bool,
    damaged: BTreeSet<RecordKey>,
    /// Damaged files: of the names between their first and last, what is not in memory is unknown, absent or not.
    spoiled: Vec<Spoiled>,
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            durable: Image::default(),
            believed: Records::new(),
            applied: Records::new(),
            memory: Records::new(),
            hints: BTreeMap::new(),
            believed_hints: Hints::new(),
            log: VecDeque::new(),
            syncing: 0,
            asked: VecDeque::new(),
            waiting: Vec::new(),
            is_busy: false,
            mode: SyncMode::Honest,
            is_full: false,
            is_out_of_service: false,
            failing_reads: 0,
            was_damaged: false,
            has_lied: false,
            damaged: BTreeSet::new(),
            spoiled: Vec::new(),
        }
    }
}

impl AtHand for Disk {
    fn at_hand(&mut self, key: &RecordKey, class: StorageClass) -> Option<Option<&Arc<Record>>> {
        self.cached(key, class)
    }
}

impl Disk {
    /// Answers a read.
    #[must_use]
    pub fn read(&self, op: &StoreOp) -> StoreReply {
        if self.is_out_of_service {
            return StoreReply::Failed(StoreError::OutOfService);
        }
        match op {
            StoreOp::Get { key, class } => {
                if *class == StorageClass::Disk && self.is_unreadable(key) {
                    return StoreReply::Failed(StoreError::Damaged);
                }
                StoreReply::Record(self.records(*class).get(key).cloned())
            }
            StoreOp::Scan {
                range,
                class,
                records_max,
                bytes_max,
                may_wait: _,
            } => match self.scan(range, *class, *records_max, *bytes_max) {
                Ok(page) => StoreReply::Page(page),
                Err(error) => StoreReply::Failed(error),
            },
            StoreOp::Scrub { from, bytes_max } => StoreReply::Scrubbed(self.scrub(from, *bytes_max)),
            StoreOp::Commit { .. } | StoreOp::PutMeta(_) | StoreOp::Discard(_) => unreachable!("a read"),
        }
    }

    fn scan(&self, range: &Range, class: StorageClass, records_max: u32, bytes_max: usize) -> Result<Page, StoreError> {
        let mut page = Page::default();
        let mut bytes = 0;
        for (key, record) in self.records(class) {
            let name = key.as_bytes();
            if range.end.as_ref().is_some_and(|end| name >= &end[..]) {
                break;
            }
            if name < &range.start[..] || key.bucket() != range.bucket {
                continue;
            }
            let is_full = page.records.len() >= records_max as usize || bytes >= bytes_max;
            if is_full && !page.records.is_empty() {
                page.next = Some(key.to_bytes());
                break;
            }
            if class == StorageClass::Disk && self.damaged.contains(key) {
                if self.is_spoiled(key) {
                    return Err(StoreError::Damaged);
                }
                page.damaged.push(key.clone());
                continue;
            }
            bytes += record.weight();
            page.records.push((key.clone(), Arc::clone(record)));
        }
        Ok(page)
    }

    fn is_spoiled(&self, key: &RecordKey) -> bool {
        let within = |part: &Spoiled| (&part.first[..]..=&part.last[..]).contains(&key.as_bytes());
        self.spoiled.iter().any(within)
    }

    fn is_unreadable(&self, key: &RecordKey) -> bool {
        self.damaged.contains(key) || (self.is_spoiled(key) && !self.applied.contains_key(key))
    }

    /// A part of a scrub: so many bytes' worth of records in their order.
    fn scrub(&self, from: &[u8], bytes_max: u64) -> Scrubbed {
        let mut part = Scrubbed::default();
        if from.is_empty() {
            part.spoiled = self.spoiled.clone();
        }
        for (key, record) in &self.applied {
            if key.as_bytes() < from {
                continue;
            }
            if part.bytes >= bytes_max {
                part.next = Some(key.to_bytes());
                break;
            }
            part.bytes += record.weight() as u64;
            if self.damaged.contains(key) && !self.is_spoiled(key) {
                part.damaged.push(key.clone());
            } else {
                part.records += 1;
            }
        }
        part
    }

    /// Queues a commit; true if the committer must be woken.
    pub fn ask(&mut self, token: Token, op: StoreOp) -> bool {
        let (entry, must_sync) = match op {
            StoreOp::Commit { writes, durability } => {
                let on_disk = writes.iter().any(|write| write.class == StorageClass::Disk);
                (Entry::Writes(writes), on_disk && durability == Durability::Synced)
            }
            StoreOp::PutMeta(meta) => (Entry::Meta(meta), true),
            StoreOp::Get { .. } | StoreOp::Scan { .. } | StoreOp::Scrub { .. } | StoreOp::Discard(_) => {
                unreachable!("a commit")
            }
        };
        self.asked.push_back(Asked {
            token,
            entry,
            must_sync,
        });
        !std::mem::replace(&mut self.is_busy, true)
    }

    /// Applies everything that was asked for.
    pub fn apply_batch(&mut self) -> Batch {
        let mut batch = Batch::default();
        for asked in std::mem::take(&mut self.asked) {
            if self.is_out_of_service {
                batch
                    .answers
                    .push((asked.token, StoreReply::Failed(StoreError::OutOfService)));
                continue;
            }
            self.apply(&asked.entry, &mut batch);
            self.log.push_back(asked.entry);
            if asked.must_sync {
                batch.must_sync = true;
                self.waiting.push(asked.token);
            } else {
                batch.answers.push((asked.token, StoreReply::Done));
            }
        }
        self.syncing = self.log.len();
        self.is_busy = batch.must_sync;
        batch
    }

    /// The sync in flight is over. True if more was asked for meanwhile.
    pub fn finish_sync(&mut self) -> (Vec<(Token, StoreReply)>, bool) {
        let waiting = std::mem::take(&mut self.waiting);
        let reply = match self.mode {
            SyncMode::Honest | SyncMode::Slow(_) => {
                self.make_durable(self.syncing);
                StoreReply::Done
            }
            SyncMode::Lying => {
                let synced: Vec<Entry> = self.log.iter().take(self.syncing).cloned().collect();
                synced.iter().for_each(|entry| self.believe(entry));
                self.has_lied = true;
                StoreReply::Done
            }
            SyncMode::Failing => {
                self.is_out_of_service = true;
                StoreReply::Failed(StoreError::OutOfService)
            }
        };
        self.syncing = 0;
        self.is_busy = !self.asked.is_empty();
        (
            waiting.into_iter().map(|token| (token, reply.clone())).collect(),
            self.is_busy,
        )
    }

    /// The periodic sync of buffered commits.
    pub fn sync_in_background(&mut self) {
        let is_honest = matches!(self.mode, SyncMode::Honest | SyncMode::Slow(_));
        if is_honest && !self.is_busy && !self.is_out_of_service {
            self.make_durable(self.log.len());
        }
    }

    /// True if the log has entries that only a background sync will make durable.
    #[must_use]
    pub fn has_unsynced(&self) -> bool {
        !self.log.is_empty()
    }

    /// True if nothing is asked for or in flight.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        !self.is_busy && self.asked.is_empty()
    }

    /// The process died. A beginning of the log survives: all of it, if only the process died.
    pub fn crash(&mut self, loses_power: bool, chance: &mut Chance) {
        let kept = if loses_power {
            chance.index(self.log.len() + 1)
        } else {
            self.log.len()
        };
        self.make_durable(kept);
        self.restart();
    }

    /// Everything is gone.
    pub fn wipe(&mut self) {
        self.durable = Image::default();
        self.damaged.clear();
        self.spoiled.clear();
        self.restart();
    }

    /// A copy of what is durable.
    #[must_use]
    pub fn copy(&self) -> Image {
        self.durable.clone()
    }

    /// The disk is replaced by a copy.
    pub fn restore(&mut self, image: Image) {
        self.durable = image;
        self.damaged.clear();
        self.spoiled.clear();
        self.restart();
    }

    /// A record's bytes are changed. False if there is no such record.
    pub fn flip_bit(&mut self, key: &RecordKey) -> bool {
        // What is still in the log would be written again over the damage.
        if !self.log.is_empty() || !self.durable.records.contains_key(key) {
            return false;
        }
        self.was_damaged = true;
        self.damaged.insert(key.clone())
    }

    /// A file is damaged that may hold every name from `first` to `last`. False if it can't be told what would be in it.
    pub fn spoil(&mut self, first: &RecordKey, last: &RecordKey) -> bool {
        if !self.log.is_empty() {
            return false;
        }
        let names = self.durable.records.range(first..=last).map(|entry| entry.0.clone());
        self.was_damaged = true;
        self.damaged.extend(names);
        self.spoiled.push(Spoiled {
            first: first.to_bytes(),
            last: last.to_bytes(),
            file: format!("file {}", self.spoiled.len()),
        });
        true
    }

    /// Gives up what lies within a damaged file, newer records of other files too; what is in memory alone stays.
    pub fn discard(&mut self, spoiled: &Spoiled) {
        let in_memory: BTreeSet<RecordKey> = self
            .log
            .iter()
            .filter_map(|entry| match entry {
                Entry::Writes(writes) => Some(writes),
                Entry::Boot(_) | Entry::Meta(_) | Entry::Trees(_) | Entry::Marker(_) => None,
            })
            .flatten()
            .map(|write| write.key.clone())
            .collect();
        let is_outside = |key: &RecordKey| !(&spoiled.first[..]..=&spoiled.last[..]).contains(&key.as_bytes());
        self.durable.records.retain(|key, _| is_outside(key));
        self.believed.retain(|key, _| is_outside(key));
        self.applied.retain(|key, _| is_outside(key) || in_memory.contains(key));
        self.damaged.retain(is_outside);
        self.spoiled.retain(|other| other != spoiled);
    }

    /// True if something on it is damaged.
    #[must_use]
    pub fn has_damage(&self) -> bool {
        !self.damaged.is_empty() || !self.spoiled.is_empty()
    }

    /// True if the record is damaged.
    #[must_use]
    pub fn is_damaged(&self, key: &RecordKey) -> bool {
        self.damaged.contains(key)
    }

    /// What a damaged record held.
    #[must_use]
    pub fn damaged_record(&self, key: &RecordKey) -> Option<&Arc<Record>> {
        self.believed.get(key)
    }

    /// Names of all records that reads see, of disk and of memory buckets.
    #[must_use]
    pub fn all_names(&self) -> Vec<RecordKey> {
        self.applied.keys().chain(self.memory.keys()).cloned().collect()
    }

    /// What the next boot finds. Its number is durable, and the marker gone, before the node starts.
    pub fn boot(&mut self, nonce: u64) -> Image {
        let found = self.durable.clone();
        for entry in [
            Entry::Meta(Meta::Incarnation(found.incarnation + 1)),
            Entry::Boot(nonce),
            Entry::Marker(None),
        ] {
            self.log.push_back(entry);
        }
        self.sync_in_background();
        found
    }

    /// A clean stop writes its marker and syncs.
    pub fn stop_cleanly(&mut self, marker: Option<CleanMarker>, trees: Vec<u8>) {
        if let Some(marker) = marker {
            self.log.push_back(Entry::Trees(trees));
            self.log.push_back(Entry::Marker(Some(marker)));
        }
        // The page cache outlives the process: what a lying sync left in it is still there.
        self.make_durable(self.log.len());
        self.restart();
    }

    /// What a running process would read: the record and whether it can be read.
    #[must_use]
    pub fn current(&self, key: &RecordKey, class: StorageClass) -> Option<&Arc<Record>> {
        if class == StorageClass::Disk && self.is_unreadable(key) {
            return None;
        }
        self.records(class).get(key)
    }

    /// What a cache in front of the disk would know: about three records of four, the same ones until they are written.
    fn cached(&self, key: &RecordKey, class: StorageClass) -> Option<Option<&Arc<Record>>> {
        let is_unreadable = class == StorageClass::Disk && self.damaged.contains(key);
        let record = self.records(class).get(key);
        let version = record.map_or(0, |record| record.weight() as u64);
        let is_cold = (key.hash64() ^ version).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 62 == 0;
        (!self.is_out_of_service && !is_unreadable && !is_cold).then_some(record)
    }

    /// What whoever trusts the disk's answers believes to be durable.
    #[must_use]
    pub fn believed(&self, key: &RecordKey) -> Option<&Arc<Record>> {
        if self.damaged.contains(key) {
            return None;
        }
        self.believed.get(key)
    }

    /// What it keeps for others and is believed to be durable.
    #[must_use]
    pub fn believed_hints(&self) -> &Hints {
        &self.believed_hints
    }

    /// The number of records that it keeps for others.
    #[must_use]
    pub fn hints(&self) -> usize {
        self.hints.len()
    }

    fn records(&self, class: StorageClass) -> &Records {
        match class {
            StorageClass::Disk => &self.applied,
            StorageClass::Memory => &self.memory,
        }
    }

    fn apply(&mut self, entry: &Entry, batch: &mut Batch) {
        match entry {
            Entry::Writes(writes) => self.apply_writes(writes, batch),
            Entry::Meta(Meta::Hint(hint)) => {
                let before = self.hints.insert((hint.home, hint.key.clone()), (**hint).clone());
                batch.kept.push(Changed {
                    key: hint.key.clone(),
                    before: before.map(|before| before.record),
                    after: Arc::clone(&hint.record),
                });
            }
            Entry::Meta(Meta::Delivered(home, key)) => {
                let name = (*home, key.clone());
                // Nobody should rely on it any more, although it is there again after a crash at the wrong moment.
                self.believed_hints.remove(&name);
                batch.delivered.extend(self.hints.remove(&name));
            }
            Entry::Meta(
                Meta::Peer(..) | Meta::Incarnation(_) | Meta::Scrub(_) | Meta::Rebuilding(..) | Meta::Reaped(..),
            )
            | Entry::Boot(_)
            | Entry::Trees(_)
            | Entry::Marker(_) => {}
        }
    }

    fn apply_writes(&mut self, writes: &[Write], batch: &mut Batch) {
        for write in writes {
            let records = match write.class {
                StorageClass::Disk => &mut self.applied,
                StorageClass::Memory => &mut self.memory,
            };
            let before = put(records, write);
            let was_damaged = write.class == StorageClass::Disk && self.damaged.remove(&write.key);
            let before = before.filter(|_| !was_damaged);
            match &write.record {
                Some(after) => batch.changed.push(Changed {
                    key: write.key.clone(),
                    before,
                    after: Arc::clone(after),
                }),
                None => {
                    // Nobody should rely on it any more, although it is there again after a crash at the wrong moment.
                    self.believed.remove(&write.key);
                    batch.removed.extend(before.map(|before| (write.key.clone(), before)));
                }
            }
        }
    }

    fn believe(&mut self, entry: &Entry) {
        let writes = match entry {
            Entry::Writes(writes) => writes,
            Entry::Meta(Meta::Hint(hint)) => {
                let name = (hint.home, hint.key.clone());
                self.believed_hints.insert(name, Arc::clone(&hint.record));
                return;
            }
            Entry::Meta(Meta::Delivered(home, key)) => {
                self.believed_hints.remove(&(*home, key.clone()));
                return;
            }
            Entry::Meta(
                Meta::Peer(..) | Meta::Incarnation(_) | Meta::Scrub(_) | Meta::Rebuilding(..) | Meta::Reaped(..),
            )
            | Entry::Boot(_)
            | Entry::Trees(_)
            | Entry::Marker(_) => return,
        };
        for write in writes.iter().filter(|write| write.class == StorageClass::Disk) {
            put(&mut self.believed, write);
        }
    }

    fn make_durable(&mut self, entries: usize) {
        for _ in 0..entries {
            let Some(entry) = self.log.pop_front() else { break };
            self.durable.apply(&entry);
            self.believe(&entry);
        }
        self.has_lied &= !self.log.is_empty();
    }

    /// Memory is empty, reads see what is durable.
    fn restart(&mut self) {
        self.log.clear();
        self.syncing = 0;
        self.asked.clear();
        self.waiting.clear();
        self.is_busy = false;
        self.memory.clear();
        self.applied = self.durable.records.clone();
        self.believed = self.durable.records.clone();
        self.hints = self.durable.hints.clone();
        let hints = self.hints.iter();
        self.believed_hints = hints
            .map(|(name, hint)| (name.clone(), Arc::clone(&hint.record)))
            .collect();
        self.is_out_of_service = false;
        self.has_lied = false;
        if self.mode == SyncMode::Failing {
            self.mode = SyncMode::Honest;
        }
    }
}
