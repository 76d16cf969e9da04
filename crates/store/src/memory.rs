//! The records of `memory` buckets: on no disk, gone with the process. Used by the node thread alone, so that reads and
//! writes of such buckets are answered at once.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use torc_core::causality::Record;
use torc_core::key::RecordKey;
use torc_core::storage::{Page, Range};

use crate::cache::{copy_key, copy_record, weight_of};

/// All of them, in key order.
#[derive(Debug, Default)]
pub(crate) struct MemoryRecords {
    /// By the bytes of their names, so that a scan may begin at bytes that are no name.
    records: BTreeMap<Bytes, (RecordKey, Arc<Record>)>,
    bytes: u64,
}

impl MemoryRecords {
    pub fn get(&self, key: &RecordKey) -> Option<&Arc<Record>> {
        self.records.get(key.as_bytes()).map(|held| &held.1)
    }

    pub fn put(&mut self, key: &RecordKey, record: &Record) {
        let record = Arc::new(copy_record(record));
        self.bytes += weight_of(key, Some(&record));
        let replaced = match self.records.get_mut(key.as_bytes()) {
            Some(held) => Some(std::mem::replace(&mut held.1, record)),
            None => {
                let key = copy_key(key);
                self.records.insert(key.to_bytes(), (key, record));
                None
            }
        };
        if let Some(replaced) = replaced {
            self.bytes -= weight_of(key, Some(&replaced));
        }
    }

    pub fn remove(&mut self, key: &RecordKey) {
        if let Some((key, record)) = self.records.remove(key.as_bytes()) {
            self.bytes -= weight_of(&key, Some(&record));
        }
    }

    /// What the records weigh, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn scan(&self, range: &Range, records_max: u32, bytes_max: usize) -> Page {
        let mut page = Page::default();
        let mut bytes = 0;
        let mut from = range.start.clone();
        'seek: loop {
            let start = std::mem::take(&mut from);
            for (name, (key, record)) in self
                .records
                .range::<[u8], _>((Bound::Included(&*start), Bound::Unbounded))
            {
                if range.end.as_ref().is_some_and(|end| name >= end) {
                    return page;
                }
                match next_of_bucket(name, range) {
                    Position::Inside => {}
                    Position::SkipTo(next) => {
                        from = next;
                        continue 'seek;
                    }
                    Position::End => return page,
                }
                if !page.records.is_empty() && (page.records.len() >= records_max as usize || bytes >= bytes_max) {
                    page.next = Some(name.clone());
                    return page;
                }
                bytes += record.weight();
                page.records.push((key.clone(), Arc::clone(record)));
            }
            return page;
        }
    }
}

/// Where a name lies, seen from a scan of one bucket.
pub(crate) enum Position {
    /// In the bucket.
    Inside,
    /// In another bucket: the scan goes on at this name.
    SkipTo(Bytes),
    /// Behind the last partition's records of the bucket.
    End,
}

/// Names begin with partition and bucket: between two partitions' records of one bucket lie those of the others.
pub(crate) fn next_of_bucket(name: &[u8], range: &Range) -> Position {
    let (Some(partition), Some(bucket)) = (name.first_chunk::<2>(), name.get(2..6)) else {
        return Position::End;
    };
    let partition = u16::from_be_bytes(*partition);
    let wanted = range.bucket.0.to_be_bytes();
    match bucket.cmp(&wanted[..]) {
        std::cmp::Ordering::Equal => Position::Inside,
        std::cmp::Ordering::Less => Position::SkipTo(range_start(partition, range)),
        std::cmp::Ordering::Greater => match partition.checked_add(1) {
            Some(next) => Position::SkipTo(range_start(next, range)),
            None => Position::End,
        },
    }
}

fn range_start(partition: u16, range: &Range) -> Bytes {
    RecordKey::range_start(torc_core::id::PartitionId(partition), range.bucket)
}
