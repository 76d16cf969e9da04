//! What became of a command. Three results, never confused: it was done, it was not applied, or nobody can tell.

use bytes::Bytes;

use crate::causality::{ClientContext, Dot, Record, Value};
use crate::id::NodeId;
use crate::keyspace::{KeyKind, KeyView, UpdateReply};
use crate::time::{Hlc, Wall};

/// A command's result.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// To `Get`.
    Found(Box<Found>),
    /// To `Put` and `Clear`.
    Written(Written),
    /// To `Update`.
    Updated(UpdateReply, Answered),
    /// To `View`.
    View(Box<KeyView>, Answered),
    /// To `List`.
    Listed(Listed),
    /// To `Keys` with `Records`, `Keys`, `AllKeys` or `Random`.
    Keys(KeysPage),
    /// To `Keys` with `Count`.
    Count(u64),
    /// To `Batch`: one each, in order.
    Batch(Vec<Outcome>),
    /// To `Inspect`.
    Inspected(Inspected),
    /// It was refused, failed or is unknown.
    Failed(Failure),
}

/// Whose answers a result rests on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Answered {
    /// Distinct nodes whose answer counted when the reply left.
    pub answered: u8,
    /// Over effective n.
    pub n: u8,
    /// Whether stand-ins counted.
    pub sloppy: bool,
}

/// One visible version.
#[derive(Clone, PartialEq, Debug)]
pub struct Sibling {
    /// Its name.
    pub dot: Dot,
    /// Its bytes.
    pub value: Value,
    /// When it was minted.
    pub written_at: Hlc,
    /// When it expires.
    pub expires_at: Option<Wall>,
}

/// What a read found. Not found: no siblings.
#[derive(Clone, PartialEq, Debug)]
pub struct Found {
    /// To be handed back with the next put; `None` if the key was never written as far as the quorum knows.
    pub context: Option<ClientContext>,
    /// The visible versions, by dot.
    pub siblings: Vec<Sibling>,
    /// Hidden tombstones and expired versions.
    pub tombstones: u32,
    /// `HashHead` under `lww`: the key is a Redis hash, which this read does not show.
    pub is_hash: bool,
    /// Who answered.
    pub answered: Answered,
}

/// A put that was acknowledged by its quorum.
#[derive(Clone, PartialEq, Debug)]
pub struct Written {
    /// What the client sent plus its own dot (RULINGS 1).
    pub context: ClientContext,
    /// Who answered.
    pub answered: Answered,
}

/// One item of a listing.
#[derive(Clone, PartialEq, Debug)]
pub struct Item {
    /// The partition key.
    pub key: Bytes,
    /// The sort key.
    pub sort: Bytes,
    /// Context and visible versions.
    pub found: Found,
}

/// A page of sort keys.
#[derive(Clone, PartialEq, Debug)]
pub struct Listed {
    /// In byte order.
    pub items: Vec<Item>,
    /// The sort key to start the next page from; `None` only at the end.
    pub next: Option<Bytes>,
    /// The weakest quorum of the page's reads.
    pub answered: Answered,
}

/// One key of a walk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyItem {
    /// The partition key.
    pub key: Bytes,
    /// The sort key (`KeysWant::Records`), else empty.
    pub sort: Bytes,
    /// String or hash (`lww`); `String` for siblings.
    pub kind: KeyKind,
}

/// A page of keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeysPage {
    /// In ring order.
    pub items: Vec<KeyItem>,
    /// `KeysStart::After` of the next page; `None` only at the end.
    pub next: Option<Bytes>,
    /// SCAN's next cursor: the placement hash that the page ends with; 0 at the end.
    pub next_hash: u64,
    /// The weakest quorum of the page's reads.
    pub answered: Answered,
}

/// What one home says of a key.
#[derive(Clone, PartialEq, Debug)]
pub struct Holding {
    /// The home.
    pub node: NodeId,
    /// Its answer.
    pub state: HoldingState,
}

/// What a home holds.
#[derive(Clone, PartialEq, Debug)]
pub enum HoldingState {
    /// This record.
    Record(Box<Record>),
    /// Nothing.
    Absent,
    /// It holds a record that fails its checksum.
    Damaged,
    /// It did not answer.
    Silent,
}

/// What each home holds for a key.
#[derive(Clone, PartialEq, Debug)]
pub struct Inspected {
    /// In preference order.
    pub homes: Vec<Holding>,
    /// All of them merged.
    pub merged: Option<Box<Record>>,
}

/// Whether a failed write may still appear.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Certainty {
    /// Nothing was written and nothing will be.
    NotApplied,
    /// Some replica may hold it; it may yet appear.
    Unknown,
}

/// Why a command was not done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// By cause.
    pub cause: Cause,
    /// Whether the write may still appear; reads say `NotApplied`.
    pub certainty: Certainty,
}

impl Failure {
    /// A failure that certainly changed nothing.
    #[must_use]
    pub fn refused(cause: Cause) -> Self {
        Self {
            cause,
            certainty: Certainty::NotApplied,
        }
    }
}

/// The causes of failures. Frontends give each its code and words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cause {
    /// Something about the request itself: says what is wrong and what to do.
    BadRequest(String),
    /// The context is of the other kind of bucket, or missing where one is needed.
    BadContext(String),
    /// No bucket has this id (any more).
    NoSuchBucket,
    /// The bucket's mode or conflict policy can't honour the command; says why and what to use instead.
    WrongMode(String),
    /// Not in this version.
    NotInThisVersion(String),
    /// A put would leave more siblings than the bucket allows.
    TooManySiblings {
        /// The bucket's limit.
        limit: u32,
        /// What the put would have left.
        actual: u32,
    },
    /// The value is longer than the bucket allows.
    ValueTooLarge {
        /// Bytes allowed.
        limit: u64,
        /// Bytes given.
        actual: u64,
    },
    /// The partition key or sort key is too long (or the partition key is empty).
    KeyTooLarge {
        /// Bytes allowed.
        limit: u64,
        /// Bytes given.
        actual: u64,
    },
    /// A queue is full; try again later.
    Busy {
        /// When to try again, in milliseconds.
        retry_after_ms: u32,
    },
    /// Too few replicas can answer, and that is known.
    NotEnoughReplicas {
        /// Answers needed.
        needed: u8,
        /// Distinct nodes that had answered.
        answered: u8,
        /// Effective n.
        n: u8,
    },
    /// Somebody stayed silent until the deadline.
    Deadline {
        /// Answers needed.
        needed: u8,
        /// Distinct nodes that had answered.
        answered: u8,
        /// Effective n.
        n: u8,
    },
    /// All homes are full.
    DiskFull,
    /// The client request id was used for another request.
    RequestIdReused,
    /// A Redis command met a key of the other type.
    WrongType,
    /// A Redis command's own refusal, with its words ("ERR value is not an integer …").
    Redis(String),
    /// A Redis command met several siblings.
    Siblings,
    /// The result is larger than one command may gather; says the limit.
    ResultTooLarge {
        /// Bytes allowed.
        limit: u64,
    },
    /// This node can't serve: its clock is off, its store is out of service.
    Unavailable(String),
}
