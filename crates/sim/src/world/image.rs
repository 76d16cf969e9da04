//! What a disk holds when nothing is in flight, and the log whose entries change it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use torc_core::bucket::StorageClass;
use torc_core::causality::Record;
use torc_core::id::{BucketId, NodeId, PartitionId};
use torc_core::key::RecordKey;
use torc_core::storage::{CleanMarker, Generation, HintMemory, Meta, PeerMemory, ScrubMemory, Write};

/// Records by name.
pub type Records = BTreeMap<RecordKey, Arc<Record>>;

/// Records kept for others, by home and name.
pub type Hints = BTreeMap<(NodeId, RecordKey), Arc<Record>>;

/// What a disk holds when nothing is in flight.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// Records of disk buckets.
    pub records: Records,
    /// The last boot number.
    pub incarnation: u64,
    /// Nonces of its boots, oldest first.
    pub lineage: Vec<u64>,
    /// Left by a clean stop.
    pub marker: Option<CleanMarker>,
    /// What is remembered of peers.
    pub peers: BTreeMap<NodeId, PeerMemory>,
    /// Buckets being rebuilt.
    pub rebuilding: BTreeSet<BucketId>,
    /// Where the scrub was.
    pub scrub: ScrubMemory,
    /// Trees, as the last clean stop kept them.
    pub trees: Vec<u8>,
    /// Records kept for other hosts.
    pub hints: BTreeMap<(NodeId, RecordKey), HintMemory>,
    /// Reap generations.
    pub generations: BTreeMap<(PartitionId, BucketId), Generation>,
}

/// What one log entry says.
#[derive(Clone, Debug)]
pub enum Entry {
    /// Records.
    Writes(Vec<Write>),
    /// A fact.
    Meta(Meta),
    /// A boot begins under this nonce.
    Boot(u64),
    /// A clean stop keeps what it knows of its trees.
    Trees(Vec<u8>),
    /// The clean marker is written or taken away.
    Marker(Option<CleanMarker>),
}

impl Image {
    pub(super) fn apply(&mut self, entry: &Entry) {
        match entry {
            Entry::Writes(writes) => {
                for write in writes.iter().filter(|write| write.class == StorageClass::Disk) {
                    put(&mut self.records, write);
                }
            }
            Entry::Meta(Meta::Peer(node, memory)) => {
                self.peers.insert(*node, *memory);
            }
            Entry::Meta(Meta::Incarnation(incarnation)) => self.incarnation = *incarnation,
            Entry::Meta(Meta::Scrub(memory)) => self.scrub = memory.clone(),
            Entry::Meta(Meta::Hint(hint)) => {
                self.hints.insert((hint.home, hint.key.clone()), (**hint).clone());
            }
            Entry::Meta(Meta::Delivered(home, key)) => {
                self.hints.remove(&(*home, key.clone()));
            }
            Entry::Meta(Meta::Reaped(partition, bucket, generation)) => {
                self.generations.insert((*partition, *bucket), *generation);
            }
            Entry::Meta(Meta::Rebuilding(bucket, true)) => {
                self.rebuilding.insert(*bucket);
            }
            Entry::Meta(Meta::Rebuilding(bucket, false)) => {
                self.rebuilding.remove(bucket);
            }
            Entry::Boot(nonce) => self.lineage.push(*nonce),
            Entry::Trees(trees) => self.trees.clone_from(trees),
            Entry::Marker(marker) => self.marker = *marker,
        }
    }
}

/// Writes or removes a record; gives what was there.
pub(super) fn put(records: &mut Records, write: &Write) -> Option<Arc<Record>> {
    match &write.record {
        Some(record) => records.insert(write.key.clone(), Arc::clone(record)),
        None => records.remove(&write.key),
    }
}
