//! The record cache: decoded records by name, absent ones included. Used by the node thread alone, so it needs no lock.
//! What goes in is copied to its exact size first: a slice of a read buffer would keep all of that buffer (RULINGS 32).

use std::hash::BuildHasherDefault;
use std::mem::size_of;
use std::sync::Arc;

use bytes::Bytes;
use quick_cache::unsync::Cache;
use quick_cache::{OptionsBuilder, Weighter};
use torc_core::causality::{LwwRecord, Payload, Record, RequestMark, SiblingsRecord, Value, Version};
use torc_core::key::RecordKey;
use torc_core::map::FoldHasher;

/// What an entry costs beside its key's and record's own bytes: its slot, its place in the index, two allocations.
const ENTRY_BYTES: u64 = 120;
/// Entries expected when the cache is full; only the size of the ghost list depends on it.
const ENTRY_BYTES_EXPECTED: u64 = 512;

pub(crate) type Entry = Option<Arc<Record>>;

#[derive(Clone, Copy, Debug)]
struct ByBytes;

impl Weighter<RecordKey, Entry> for ByBytes {
    fn weight(&self, key: &RecordKey, entry: &Entry) -> u64 {
        weight_of(key, entry.as_deref())
    }
}

/// See the module.
pub(crate) struct RecordCache {
    records: Cache<RecordKey, Entry, ByBytes, BuildHasherDefault<FoldHasher>>,
}

impl RecordCache {
    pub fn new(bytes_max: u64) -> Self {
        let options = OptionsBuilder::new()
            .weight_capacity(bytes_max)
            .estimated_items_capacity((bytes_max / ENTRY_BYTES_EXPECTED).max(64) as usize)
            .build()
            .expect("both capacities are set");
        let records = Cache::with_options(
            options,
            ByBytes,
            BuildHasherDefault::default(),
            quick_cache::unsync::DefaultLifecycle::default(),
        );
        Self { records }
    }

    /// `None`: not known here. `Some(None)`: known to be absent.
    pub fn get(&self, key: &RecordKey) -> Option<&Entry> {
        self.records.get(key)
    }

    /// What a read found; `record` is of exact size already.
    pub fn fill(&mut self, key: &RecordKey, record: Entry) {
        self.records.insert(copy_key(key), record);
    }

    /// What a commit will make of the record; `None`: it removes it.
    pub fn put(&mut self, key: &RecordKey, record: Option<&Record>) {
        let entry = record.map(|record| Arc::new(copy_record(record)));
        match self.records.get_mut(key) {
            Some(mut held) => *held = entry,
            None => self.records.insert(copy_key(key), entry),
        }
    }

    pub fn set_bytes_max(&mut self, bytes_max: u64) {
        if self.records.capacity() != bytes_max {
            self.records.set_capacity(bytes_max);
        }
    }

    pub fn bytes(&self) -> u64 {
        self.records.weight()
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }
}

/// What a key and its record occupy, in bytes.
pub(crate) fn weight_of(key: &RecordKey, record: Option<&Record>) -> u64 {
    key.as_bytes().len() as u64 + ENTRY_BYTES + record.map_or(0, record_bytes)
}

fn record_bytes(record: &Record) -> u64 {
    let own = size_of::<Record>() + 2 * size_of::<usize>();
    let heap = match record {
        Record::Lww(lww) => payload_bytes(&lww.payload) + lww.marks.as_slice().len() * (size_of::<RequestMark>() + 64),
        Record::Siblings(siblings) => {
            let payloads: usize = siblings
                .siblings
                .iter()
                .map(|sibling| payload_bytes(&sibling.1.payload))
                .sum();
            let versions = siblings.siblings.len() * size_of::<(torc_core::causality::Dot, Version)>();
            let marks = siblings.marks.as_slice().len() * (size_of::<RequestMark>() + 64);
            payloads + versions + marks + siblings.seen.entries() * 40
        }
    };
    (own + heap) as u64
}

fn payload_bytes(payload: &Payload) -> usize {
    match payload {
        Payload::Value(value) => value.data.len() + value.content_type.len(),
        Payload::Tombstone | Payload::HashHead => 0,
    }
}

/// The same name in memory of its own.
pub(crate) fn copy_key(key: &RecordKey) -> RecordKey {
    key.with_sort_key(key.sort_key())
}

/// The same record in memory of its own.
pub(crate) fn copy_record(record: &Record) -> Record {
    match record {
        Record::Lww(lww) => Record::Lww(LwwRecord {
            stamp: lww.stamp,
            payload: copy_payload(&lww.payload),
            cleared_at: lww.cleared_at,
            expiry: lww.expiry,
            marks: lww.marks.clone(),
        }),
        Record::Siblings(siblings) => {
            let copy_version = |(dot, version): &(torc_core::causality::Dot, Version)| {
                let payload = copy_payload(&version.payload);
                (*dot, Version { payload, ..*version })
            };
            Record::Siblings(SiblingsRecord {
                seen: siblings.seen.clone(),
                siblings: siblings.siblings.iter().map(copy_version).collect(),
                marks: siblings.marks.clone(),
                growth: siblings.growth.clone(),
            })
        }
    }
}

fn copy_payload(payload: &Payload) -> Payload {
    match payload {
        Payload::Value(value) => Payload::Value(Value {
            data: Bytes::copy_from_slice(&value.data),
            content_type: Bytes::copy_from_slice(&value.content_type),
        }),
        Payload::Tombstone => Payload::Tombstone,
        Payload::HashHead => Payload::HashHead,
    }
}
