//! What the homes that answered a read hold together, and what clears the partitions that it is about.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::causality::{LwwRecord, Record};
use crate::id::{BucketId, NodeId, PartitionId};
use crate::key::RecordKey;
use crate::message::{ReadAnswer, ReadWant};
use crate::time::Hlc;

/// Records to send to a home.
pub type Records = Vec<(RecordKey, Arc<Record>)>;

/// What the homes hold together.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Merged {
    /// In key order; for a range, only what every counted answer covers.
    pub records: Records,
    /// For a range: complete below this name; `None` to its end.
    pub complete_up_to: Option<Bytes>,
    /// For a partition's head: no record of its partition and bucket has a higher clock at those who count.
    pub highest: Hlc,
    /// What the answers say clears the partitions that they touch.
    pub cleared: Vec<(PartitionId, BucketId, Hlc)>,
}

impl Merged {
    /// The record of this name.
    #[must_use]
    pub fn record(&self, key: &RecordKey) -> Option<&Arc<Record>> {
        self.records
            .iter()
            .find(|record| record.0 == *key)
            .map(|record| &record.1)
    }

    /// `cleared_at` of the key's partition.
    #[must_use]
    pub fn cleared_at(&self, key: &RecordKey) -> Hlc {
        let of_key = self
            .cleared
            .iter()
            .filter(|entry| entry.0 == key.partition() && entry.1 == key.bucket());
        of_key.map(|entry| entry.2).max().unwrap_or(Hlc::ZERO)
    }
}

/// The partitions that a read is about.
#[derive(Debug)]
pub struct Places {
    first: PartitionId,
    last: PartitionId,
    bucket: BucketId,
}

impl Places {
    /// Those of a read.
    #[must_use]
    pub fn of(want: &ReadWant) -> Option<Self> {
        match want {
            ReadWant::Records(keys) => {
                let key = keys.first()?;
                let (first, last, bucket) = (key.partition(), key.partition(), key.bucket());
                Some(Self { first, last, bucket })
            }
            ReadWant::Range { range, .. } => {
                let (first, last) = range.partitions()?;
                let bucket = range.bucket;
                Some(Self { first, last, bucket })
            }
        }
    }

    /// What clears them, as records to send.
    #[must_use]
    pub fn clears(&self, answers: &[(NodeId, ReadAnswer)]) -> Records {
        let is_asked = |clear: &&(PartitionId, BucketId, Hlc)| {
            (self.first..=self.last).contains(&clear.0) && clear.1 == self.bucket
        };
        let mut highest: BTreeMap<PartitionId, Hlc> = BTreeMap::new();
        for clear in answers.iter().flat_map(|(_, answer)| &answer.cleared).filter(is_asked) {
            let at = highest.entry(clear.0).or_default();
            *at = (*at).max(clear.2);
        }
        let head = |(partition, cleared_at)| {
            let record = LwwRecord {
                cleared_at,
                ..LwwRecord::default()
            };
            let key = RecordKey::partition_head(partition, self.bucket);
            (key, Arc::new(Record::Lww(record)))
        };
        highest.into_iter().map(head).collect()
    }
}
