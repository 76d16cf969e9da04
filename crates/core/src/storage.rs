//! What the core asks of a store, as values; and the narrow trait that an engine or a simulated disk implements.

use std::sync::Arc;

use bytes::Bytes;

use crate::bucket::{Durability, StorageClass};
use crate::causality::Record;
use crate::id::{BucketId, NodeId, PartitionId};
use crate::key::RecordKey;
use crate::time::{Hlc, Wall};

/// One write of one key: the whole new record, or that there is none any more.
#[derive(Clone, PartialEq, Debug)]
pub struct Write {
    /// Which.
    pub key: RecordKey,
    /// What it holds from now on; `None`: nothing.
    pub record: Option<Arc<Record>>,
    /// Disk or memory, as the key's bucket says.
    pub class: StorageClass,
}

/// The records of one bucket in the range `start..end` of keys; `end` of `None` is the end of everything. Between two
/// partitions lie other buckets' records: a store seeks over them, it does not read them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Range {
    /// The bucket.
    pub bucket: BucketId,
    /// First name included.
    pub start: Bytes,
    /// First name excluded.
    pub end: Option<Bytes>,
}

impl Range {
    /// The first and the last partition that it touches: that which it begins in, and the last whose head it goes beyond.
    /// `None` if there is none between.
    #[must_use]
    pub fn partitions(&self) -> Option<(PartitionId, PartitionId)> {
        let first = u16::from_be_bytes(*self.start.first_chunk()?);
        let last = match &self.end {
            None => u16::MAX,
            Some(end) => {
                let last = u16::from_be_bytes(*end.first_chunk()?);
                let has_head = RecordKey::partition_head(PartitionId(last), self.bucket).as_bytes() < &end[..];
                if has_head { last } else { last.checked_sub(1)? }
            }
        };
        (first <= last).then_some((PartitionId(first), PartitionId(last)))
    }
}

/// A store effect. Each is answered once, by `Input::Stored` with its token.
#[derive(Clone, PartialEq, Debug)]
pub enum StoreOp {
    /// Read one record.
    Get {
        /// Which.
        key: RecordKey,
        /// Where its bucket lives.
        class: StorageClass,
    },
    /// Read records in order from a snapshot.
    Scan {
        /// From where to where.
        range: Range,
        /// Where the bucket lives.
        class: StorageClass,
        /// Most records.
        records_max: u32,
        /// Stop after this many payload bytes (at least one record is given).
        bytes_max: usize,
        /// It is one of many, and nobody waits for it alone: it may take long, and must not hold up anything else.
        may_wait: bool,
    },
    /// Write all or nothing. `Synced`: answered once durable. `Buffered`: answered once applied. Commits are applied and
    /// become durable in the order in which they were asked for.
    Commit {
        /// What to write.
        writes: Vec<Write>,
        /// When to answer.
        durability: Durability,
    },
    /// Keep a small fact about this node durably (answered once durable).
    PutMeta(Meta),
    /// Verify a part of what is on disk, past every cache.
    Scrub {
        /// Where the part before ended; empty at the beginning of a pass.
        from: Bytes,
        /// About how many bytes to read.
        bytes_max: u64,
    },
    /// Drop every file that lies wholly between these names, the damaged one among them. Asked for only when the copies of
    /// all buckets that may have records there are durably marked as being rebuilt.
    Discard(Spoiled),
}

/// A part of what is on disk that can't be read, or not be trusted: more than one record (RULINGS 19).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spoiled {
    /// The first name that may be in it.
    pub first: Bytes,
    /// The last one.
    pub last: Bytes,
    /// Which file it is, for people.
    pub file: String,
}

/// A part of a scrub.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Scrubbed {
    /// Bytes read.
    pub bytes: u64,
    /// Records whose own checksum was verified.
    pub records: u64,
    /// Records that failed it.
    pub damaged: Vec<RecordKey>,
    /// What is damaged beyond a record.
    pub spoiled: Vec<Spoiled>,
    /// Where to go on; `None` at the end of the pass.
    pub next: Option<Bytes>,
    /// How far the pass has come, in thousandths.
    pub done_per_mille: u16,
}

/// A small durable fact.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Meta {
    /// What this node remembers of a peer's boots (RULINGS 2).
    Peer(NodeId, PeerMemory),
    /// This node's own incarnation, where a peer has seen a higher one than the disk held.
    Incarnation(u64),
    /// Whether this node's copy of a bucket is being rebuilt (RULINGS 19).
    Rebuilding(BucketId, bool),
    /// Where the scrub is.
    Scrub(ScrubMemory),
    /// A record that is kept for a home; it takes the place of one kept before for the same home and name.
    Hint(Box<HintMemory>),
    /// The home holds what was kept for it under this name.
    Delivered(NodeId, RecordKey),
    /// The reap generation of a partition of a bucket (RULINGS 24).
    Reaped(PartitionId, BucketId, Generation),
}

/// How far reaping has come in a partition of a bucket at one home. All homes pin a generation before one of them forgets
/// anything under it: whoever has pinned less than another has reaped works on an older disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Generation {
    /// The last one that this home has promised.
    pub pinned: u64,
    /// The last one under which it has forgotten something.
    pub reaped: u64,
}

/// A record that this node keeps for another (RULINGS 23).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HintMemory {
    /// For whom.
    pub home: NodeId,
    /// Its name.
    pub key: RecordKey,
    /// What the home is to merge.
    pub record: Arc<Record>,
    /// When it was taken, or changed last.
    pub since: Wall,
}

/// What is kept of the scrub, so that a restart goes on with it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ScrubMemory {
    /// Where the pass that is under way goes on.
    pub position: Option<Bytes>,
    /// When it, or the last one, began.
    pub begun: Wall,
    /// When the last whole pass ended.
    pub ended: Option<Wall>,
}

/// The name of no bucket: `Meta::Rebuilding` of it says that the same fact of every bucket is on disk. It is asked for
/// after them, and facts become durable in order. A directory without it may be a new one that was left a moment after
/// its first boot was counted: what it does not say of a bucket means nothing.
pub const COPIES_KNOWN: BucketId = BucketId(u32::MAX);

/// How many of its last boots a node names to its peers, this one included.
pub const LINEAGE_MAX: usize = 64;

/// Boots of one peer that may be remembered at once.
pub const HEARD_MAX: usize = 4;

/// What a node remembers of a peer's boots.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PeerMemory {
    /// The highest incarnation heard of.
    pub incarnation: u64,
    /// The nonce of the boot heard last.
    pub nonce: u64,
    /// The highest incarnation heard of before that boot.
    pub before: u64,
    /// Nonces of boots that the peer's disk must know of, or it is not the disk it had; 0 is none. One boot as a rule.
    pub heard: [u64; HEARD_MAX],
}

/// A store effect's answer.
#[derive(Clone, PartialEq, Debug)]
pub enum StoreReply {
    /// To `Get`.
    Record(Option<Arc<Record>>),
    /// To `Scan`.
    Page(Page),
    /// To `Commit`, `PutMeta` and `Discard`: applied or durable, as was asked.
    Done,
    /// To `Scrub`.
    Scrubbed(Scrubbed),
    /// It failed. For a commit: some of it may be on disk, none of it may be relied upon.
    Failed(StoreError),
}

/// A part of a scan.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Page {
    /// In key order.
    pub records: Vec<(RecordKey, Arc<Record>)>,
    /// Names in the page whose record is damaged: they count as unknown, not as absent.
    pub damaged: Vec<RecordKey>,
    /// Where to go on; `None` at the end of the range. The page is complete below this name.
    pub next: Option<Bytes>,
}

/// What the shell knows of the store's health; given to the core when it changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StoreHealth {
    /// Free space is under the watermark: client writes are refused, deletes and repair pass. The core does the refusing.
    pub full: bool,
    /// Syncs take longer than their limit: this node does not mint while others can (RULINGS 15).
    pub slow: bool,
    /// Bytes in the store, for the others to know.
    pub bytes: u64,
}

/// Why a store effect failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StoreError {
    /// Proven damage: a checksum does not match, or what is stored makes no sense. The record is unknown, not absent
    /// (RULINGS 19), and reading it again would not help.
    #[error("the record is damaged on disk")]
    Damaged,
    /// The record could not be read this time: an I/O error, too many open files. It may be sound, so nothing may be
    /// written in its place.
    #[error("the record could not be read")]
    Unreadable,
    /// Free space is under the watermark. Nothing was written.
    #[error("the disk is full")]
    DiskFull,
    /// A write or sync failed: the store is out of service until it is reopened (RULINGS 20).
    #[error("the store is out of service")]
    OutOfService,
}

/// A store, as a shell or simulator drives it for the core. Implementations answer `get` and `scan` at once and commits
/// through their own completion (see the crate `torc-store`).
pub trait Storage {
    /// One record.
    ///
    /// # Errors
    /// `Damaged`, `Unreadable` or `OutOfService`.
    fn get(&self, key: &RecordKey, class: StorageClass) -> Result<Option<Arc<Record>>, StoreError>;

    /// Records in order.
    ///
    /// # Errors
    /// `Damaged`, `Unreadable` or `OutOfService`.
    fn scan(&self, range: &Range, class: StorageClass, records_max: u32, bytes_max: usize) -> Result<Page, StoreError>;
}

/// The records that a store can show without waiting.
pub trait AtHand {
    /// The record, or that there is none; `None` if that may take long, or if the store can't say.
    fn at_hand(&mut self, key: &RecordKey, class: StorageClass) -> Option<Option<&Arc<Record>>>;
}

/// What the clean marker of the last shutdown says (RULINGS 2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CleanMarker {
    /// The life that ended cleanly.
    pub life: crate::id::Life,
    /// Its last birth.
    pub birth: u64,
    /// The last clock reading.
    pub hlc: Hlc,
    /// The boot that it belongs to.
    pub incarnation: u64,
}

/// What the shell found on disk when it started the node.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct BootState {
    /// This boot's number: one more than the last one kept on disk, 1 on a new directory. Durable before the node starts.
    pub incarnation: u64,
    /// Nonces of the last boots of this directory, at most `LINEAGE_MAX`, this boot's own at the end: random, and durable
    /// before the node starts. A number tells nothing of a disk that was replaced by an older copy and booted as often.
    pub lineage: Vec<u64>,
    /// Present only after a clean stop, and deleted durably before the node starts.
    pub marker: Option<CleanMarker>,
    /// What is remembered of each peer's boots.
    pub peers: Vec<(NodeId, PeerMemory)>,
    /// Buckets whose copy was being rebuilt when the node stopped.
    pub rebuilding: Vec<BucketId>,
    /// `cleared_at` of every partition head on disk.
    pub cleared: Vec<(RecordKey, Hlc)>,
    /// Where the scrub was.
    pub scrub: ScrubMemory,
    /// Records kept for other nodes.
    pub hints: Vec<HintMemory>,
    /// Reap generations.
    pub generations: Vec<(PartitionId, BucketId, Generation)>,
    /// Trees as they were kept by the clean stop that left the marker; empty without.
    pub trees: Vec<u8>,
}
