//! Names of things: nodes, partitions, buckets, operations, actors. Each is its own type, so that none is mistaken for
//! another.

use std::fmt;

use twox_hash::XxHash3_64;

/// A node, for ever: the first 32 bits of the XXH3-64 of its configured name. Two names with one id are refused when
/// the configuration is read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeId(pub u32);

impl NodeId {
    /// The id of the node that is configured under `name`.
    #[must_use]
    pub fn of_name(name: &str) -> Self {
        Self((XxHash3_64::oneshot(name.as_bytes()) >> 32) as u32)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// One of the P equal slices of the hash space.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PartitionId(pub u16);

/// A bucket, never reused after a drop.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BucketId(pub u32);

/// A client's request as the shell numbered it; meaningful on this node alone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestId(pub u64);

/// An operation that this node coordinates. Unique across restarts with overwhelming probability: a late answer to an
/// operation of an earlier boot must not be taken for an answer to a new one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OpId(pub u64);

/// Names one store effect until its answer comes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Token(pub u64);

/// A commit of this node: they are numbered in the order in which they were asked for, which is the order in which they become durable.
pub type CommitId = u64;

/// One life of one node's memory: 64 random bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Life(pub u64);

/// Who signs dots: one life of one replica's memory, and the birth of the key's record in that life, so that a key
/// that was forgotten and written anew never meets its own old dots (riak_kv #679).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ActorId {
    /// The node that mints.
    pub node: NodeId,
    /// Its life.
    pub life: Life,
    /// Drawn from a per-life counter whenever the minter holds no entry of this life for the key.
    pub birth: u64,
}

/// A client-supplied request id: 1 to 64 of `[A-Za-z0-9_-]`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClientRequestId(Box<str>);

impl ClientRequestId {
    /// The longest id accepted, in bytes.
    pub const LENGTH_MAX: usize = 64;

    /// `None` if `text` is empty, too long or has another character.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=Self::LENGTH_MAX).contains(&text.len());
        let plain = text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        (fits && plain).then(|| Self(text.into()))
    }

    /// The id as the client wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
