//! The engine: one fjall database with two keyspaces, `records` and `meta`. Everything that depends on fjall's ways is
//! here, in `committer.rs` and in `journal/`.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use fjall::{
    AbstractTree, CompressionType, Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, LsmError,
    PersistMode, Readable,
};
use torc_core::causality::{Record, codec};
use torc_core::key::RecordKey;
use torc_core::storage::{Page, Range, Scrubbed, Spoiled, StoreError};

use crate::budget::Budget;
use crate::error::OpenError;
use crate::memory::{Position, next_of_bucket};

/// Records with an encoded length from here on are kept outside the tables, so that compactions don't copy them.
const SEPARATED_BYTES_MIN: u32 = 4 << 10;
/// The engine's own limit is stored at creation and never changes; rotation by the committer comes first.
const MEMTABLE_BYTES_NEVER: u64 = 1 << 30;
const WORKER_THREADS: usize = 2;
const OPEN_FILES_MAX: usize = 400;

/// Handles of the database; clones are cheap.
#[derive(Clone)]
pub(crate) struct Engine {
    pub db: Database,
    pub records: Keyspace,
    pub meta: Keyspace,
}

impl Engine {
    /// Opens or creates the database in `dir`, whose journals have been checked.
    pub fn open(dir: &Path, budget: &Budget) -> Result<Self, OpenError> {
        // The engine meets some kinds of damage with a panic.
        let opened = std::panic::catch_unwind(|| Self::open_fjall(dir, budget));
        let panicked = |_| OpenError::DamagedEngine {
            dir: dir.to_owned(),
            what: "it failed on what it read".into(),
        };
        opened.map_err(panicked)?.map_err(OpenError::engine(dir))
    }

    fn open_fjall(dir: &Path, budget: &Budget) -> fjall::Result<Self> {
        let db = Database::builder(dir)
            .cache_size(budget.block_cache)
            .max_journaling_size(budget.journals)
            .max_cached_files(Some(OPEN_FILES_MAX))
            .worker_threads(WORKER_THREADS)
            // Recovery compresses again to check the sum, so a new version of the compressor could lose a journal.
            .journal_compression(CompressionType::None)
            .manual_journal_persist(true)
            .open()?;
        let records = db.keyspace("records", || {
            let separation = KvSeparationOptions::default()
                .separation_threshold(SEPARATED_BYTES_MIN)
                .compression(CompressionType::Lz4);
            KeyspaceCreateOptions::default()
                .max_memtable_size(MEMTABLE_BYTES_NEVER)
                .manual_journal_persist(true)
                .with_kv_separation(Some(separation))
        })?;
        let meta = db.keyspace("meta", || {
            KeyspaceCreateOptions::default()
                .max_memtable_size(MEMTABLE_BYTES_NEVER)
                .manual_journal_persist(true)
        })?;
        Ok(Self { db, records, meta })
    }

    /// One record. Reads what is applied; the core never asks for a key with a commit on the way.
    pub fn get(&self, key: &RecordKey) -> Result<Option<Record>, StoreError> {
        match self.records.get(key.as_bytes()) {
            Ok(Some(stored)) => decode(&stored).map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(read_error(&error)),
        }
    }

    /// Records of one bucket in order, from a snapshot: without one, the engine would show what is half applied.
    pub fn scan(&self, range: &Range, records_max: u32, bytes_max: usize) -> Result<Page, StoreError> {
        let snapshot = self.db.snapshot();
        let mut page = Page::default();
        let mut bytes = 0;
        let mut from = range.start.clone();
        'seek: loop {
            let start = std::mem::take(&mut from);
            if range.end.as_ref().is_some_and(|end| start >= *end) {
                return Ok(page);
            }
            for item in snapshot.range(&self.records, &start[..]..) {
                let wanted = |name: &fjall::UserKey| {
                    let before_end = range.end.as_ref().is_none_or(|end| name[..] < end[..]);
                    before_end && matches!(next_of_bucket(name, range), Position::Inside)
                };
                let (name, stored) = item.into_inner_if(wanted).map_err(|error| read_error(&error))?;
                if range.end.as_ref().is_some_and(|end| name[..] >= end[..]) {
                    return Ok(page);
                }
                match next_of_bucket(&name, range) {
                    Position::Inside => {}
                    Position::SkipTo(next) => {
                        from = next;
                        continue 'seek;
                    }
                    Position::End => return Ok(page),
                }
                let given = page.records.len() + page.damaged.len();
                if given > 0 && (given >= records_max as usize || bytes >= bytes_max) {
                    page.next = Some(Bytes::copy_from_slice(&name));
                    return Ok(page);
                }
                let Some(key) = RecordKey::from_bytes(&name) else {
                    // Not the form of a name: nobody can ask for it, and nobody can be told of it.
                    continue;
                };
                match stored.map(|stored| (stored.len(), decode(&stored))) {
                    Some((length, Ok(record))) => {
                        bytes += length;
                        page.records.push((key, Arc::new(record)));
                    }
                    Some((_, Err(_))) | None => page.damaged.push(key),
                }
            }
            return Ok(page);
        }
    }

    /// Reads records of all buckets in order and verifies the checksum of each.
    pub fn verify(&self, from: &[u8], bytes_max: u64) -> Result<Scrubbed, StoreError> {
        let snapshot = self.db.snapshot();
        let mut part = Scrubbed::default();
        let mut at = Bytes::copy_from_slice(from);
        for item in snapshot.range(&self.records, from..) {
            let (name, stored) = match item.into_inner() {
                Ok(item) => item,
                // The files were sound a while ago. Which of them it is, the next pass will say.
                Err(error) if read_error(&error) == StoreError::Damaged => {
                    let partition = at.first_chunk::<2>().map_or(0, |bytes| u16::from_be_bytes(*bytes));
                    let next = partition.checked_add(1);
                    part.next = next.map(|next| Bytes::copy_from_slice(&next.to_be_bytes()));
                    part.spoiled.push(Spoiled {
                        first: at,
                        last: Bytes::from([&partition.to_be_bytes()[..], &[0xff; 16]].concat()),
                        file: format!("records of partition {partition}"),
                    });
                    return Ok(part);
                }
                Err(error) => return Err(read_error(&error)),
            };
            if part.bytes >= bytes_max {
                part.next = Some(Bytes::copy_from_slice(&name));
                break;
            }
            part.bytes += (name.len() + stored.len()) as u64;
            at = Bytes::copy_from_slice(&name);
            match (RecordKey::from_bytes(&name), decode(&stored)) {
                (Some(_), Ok(_)) => part.records += 1,
                (Some(key), Err(_)) => part.damaged.push(key),
                (None, _) => tracing::error!(?name, "not the name of a record: nobody can ask for it"),
            }
        }
        Ok(part)
    }

    /// Gives up every table whose records lie between the two names.
    pub fn discard(&self, spoiled: &Spoiled) -> fjall::Result<()> {
        let names = spoiled.first.to_vec()..=spoiled.last.to_vec();
        Ok(self.records.tree.drop_range(names)?)
    }

    /// Bytes of the memtable that takes writes.
    pub fn active_memtable_bytes(&self) -> u64 {
        self.records.tree.active_memtable().size()
    }

    /// Tables that flushes have written and no compaction has merged yet.
    pub fn unmerged_tables(&self) -> usize {
        self.records.tree.l0_run_count()
    }

    /// True if the engine has failed for good: a flush, a compaction, a sync.
    pub fn has_failed(&self) -> bool {
        matches!(self.db.persist(PersistMode::Buffer), Err(fjall::Error::Poisoned))
    }

    pub fn sealed_memtables(&self) -> usize {
        self.records.tree.sealed_memtable_count()
    }
}

fn decode(stored: &[u8]) -> Result<Record, StoreError> {
    // The engine's slice may keep a whole block; a copy of exact size is what a cache may keep.
    codec::decode(&Bytes::copy_from_slice(stored)).map_err(|_| StoreError::Damaged)
}

/// A record that can't be read is unknown, whatever the cause. Only what is proven to be damaged may ever be overwritten
/// unseen: what failed for want of a file handle or for the disk's mood may be there the next time.
fn read_error(error: &fjall::Error) -> StoreError {
    tracing::error!(%error, "a read of the storage engine failed");
    match error {
        fjall::Error::Poisoned => StoreError::OutOfService,
        fjall::Error::Storage(error) => tree_error(error),
        fjall::Error::Decompress(_) | fjall::Error::InvalidTrailer | fjall::Error::InvalidTag(_) => StoreError::Damaged,
        _ => StoreError::Unreadable,
    }
}

fn tree_error(error: &LsmError) -> StoreError {
    match error {
        LsmError::ChecksumMismatch { .. }
        | LsmError::Decompress(_)
        | LsmError::InvalidVersion(_)
        | LsmError::InvalidTag(_)
        | LsmError::InvalidTrailer
        | LsmError::InvalidHeader(_)
        | LsmError::Utf8(_) => StoreError::Damaged,
        // A file that ends before what its index says is in it.
        LsmError::Io(error) if error.kind() == ErrorKind::UnexpectedEof => StoreError::Damaged,
        _ => StoreError::Unreadable,
    }
}

/// The engine's directory inside a data directory.
pub(crate) fn engine_dir(dir: &Path) -> PathBuf {
    dir.join("engine")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An update of a node without peers wrote over what it could not read for want of a file handle.
    #[test]
    fn only_what_is_proven_is_damage() {
        let io = |kind: ErrorKind| std::io::Error::from(kind);
        let no_handles = || std::io::Error::from_raw_os_error(24);
        for error in [
            fjall::Error::Storage(LsmError::InvalidHeader("block")),
            fjall::Error::Storage(LsmError::InvalidTrailer),
            fjall::Error::Storage(LsmError::InvalidTag(("ValueType", 9))),
            fjall::Error::Storage(LsmError::Decompress(CompressionType::Lz4)),
            fjall::Error::Storage(LsmError::Io(io(ErrorKind::UnexpectedEof))),
            fjall::Error::InvalidTrailer,
        ] {
            assert_eq!(read_error(&error), StoreError::Damaged, "{error}");
        }
        for error in [
            fjall::Error::Io(no_handles()),
            fjall::Error::Storage(LsmError::Io(no_handles())),
            fjall::Error::Storage(LsmError::Io(io(ErrorKind::Other))),
            fjall::Error::Storage(LsmError::Unrecoverable),
            fjall::Error::KeyspaceDeleted,
        ] {
            assert_eq!(read_error(&error), StoreError::Unreadable, "{error}");
        }
        assert_eq!(read_error(&fjall::Error::Poisoned), StoreError::OutOfService);
    }
}
