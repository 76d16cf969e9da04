//! What nodes say to one another. Every message may be lost, repeated, late, or from an earlier life of its sender.

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::causality::{Record, Stamp};
use crate::command::Command;
use crate::gossip::talk::Talk;
use crate::id::{BucketId, NodeId, OpId, PartitionId};
use crate::key::RecordKey;
use crate::outcome::Outcome;
use crate::storage::Range;
use crate::time::{Hlc, Wall};

/// The ring's version, with a hash of the ring and the buckets: two nodes that disagree about either refuse one another
/// (RULINGS 21).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RingEpoch {
    /// Rises with each change.
    pub number: u64,
    /// XXH3-64 of the canonical ring and buckets.
    pub hash: u64,
}

/// A message with what every message carries.
#[derive(Clone, PartialEq, Debug)]
pub struct Envelope {
    /// The sender's ring.
    pub epoch: RingEpoch,
    /// The sender's hybrid logical clock.
    pub hlc: Hlc,
    /// The sender's wall clock: a node that is far off the median of its peers stops minting (RULINGS 6).
    pub wall: Wall,
    /// The session token that the sender currently issues: writes to it must carry this one or its predecessor.
    pub session: u64,
    /// The message.
    pub message: Message,
}

/// The messages.
#[derive(Clone, PartialEq, Debug)]
pub enum Message {
    /// What do you hold?
    Read(Read),
    /// This.
    ReadReply(ReadReply),
    /// Merge these records.
    Write(WriteRecords),
    /// How that went.
    WriteReply(WriteReply),
    /// Run this for me: you are a home and I am not.
    Forward(Forward),
    /// Its outcome.
    ForwardReply(ForwardReply),
    /// I did nothing with your message.
    Refused(Refused),
    /// I have just started.
    Boot(Boot),
    /// What I remember of you.
    BootReply(BootReply),
    /// Give me a page of a partition: I am rebuilding.
    Pull(Pull),
    /// The page.
    PullReply(PullReply),
    /// Nothing but the envelope: keeps session tokens and clock samples fresh between idle nodes.
    Pulse,
    /// Who is there.
    Gossip(Talk),
    /// Comparing copies.
    Entropy(crate::entropy::talk::EntropyTalk),
    /// Forgetting dead records.
    Reaping(crate::reaping::talk::ReapTalk),
}

/// Which messages leave first where several wait.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Urgency {
    /// Who is there, who starts, what is durable.
    Control,
    /// What a client waits for.
    Client,
    /// What nobody waits for.
    Background,
}

impl Urgency {
    /// How many there are.
    pub const COUNT: usize = 3;
}

impl Message {
    /// How urgent it is.
    #[must_use]
    pub fn urgency(&self) -> Urgency {
        match self {
            Self::Boot(_)
            | Self::BootReply(_)
            | Self::Pulse
            | Self::Gossip(_)
            | Self::WriteReply(_)
            | Self::Refused(_) => Urgency::Control,
            Self::Write(write) if write.op.is_none() => Urgency::Background,
            Self::Read(_) | Self::Write(_) | Self::ReadReply(_) | Self::Forward(_) | Self::ForwardReply(_) => {
                Urgency::Client
            }
            Self::Pull(_) | Self::PullReply(_) | Self::Entropy(_) | Self::Reaping(_) => Urgency::Background,
        }
    }

    /// Whether a message asks for something that a node may be given only once it is known whose disk it works on. A forward
    /// is refused elsewhere, after it has been noted; answers belong to what was asked of the node before.
    #[must_use]
    pub fn is_for_introduced(&self) -> bool {
        match self {
            Self::Read(_) | Self::Write(_) | Self::Pull(_) | Self::Entropy(_) | Self::Reaping(_) => true,
            Self::Forward(_)
            | Self::ReadReply(_)
            | Self::WriteReply(_)
            | Self::ForwardReply(_)
            | Self::Refused(_)
            | Self::Boot(_)
            | Self::BootReply(_)
            | Self::PullReply(_)
            | Self::Pulse
            | Self::Gossip(_) => false,
        }
    }

    /// The operation that waits for an answer to this message: a refusal must reach it.
    #[must_use]
    pub fn awaited_op(&self) -> Option<Option<OpId>> {
        match self {
            Self::Read(read) => Some(Some(read.op)),
            Self::Write(write) => Some(write.op),
            Self::Forward(forward) => Some(Some(forward.op)),
            Self::Pull(pull) => Some(Some(pull.op)),
            Self::ReadReply(_)
            | Self::WriteReply(_)
            | Self::ForwardReply(_)
            | Self::Refused(_)
            | Self::Boot(_)
            | Self::BootReply(_)
            | Self::PullReply(_)
            | Self::Pulse
            | Self::Gossip(_)
            | Self::Entropy(_)
            | Self::Reaping(_) => None,
        }
    }

    /// Which of the operation's reads or writes it belongs to; 0 if they have no numbers.
    #[must_use]
    pub fn attempt(&self) -> u16 {
        match self {
            Self::Read(read) => read.attempt,
            Self::ReadReply(reply) => reply.attempt,
            Self::Write(write) => write.attempt,
            Self::WriteReply(reply) => reply.attempt,
            Self::Refused(refused) => refused.attempt,
            Self::Forward(_)
            | Self::ForwardReply(_)
            | Self::Boot(_)
            | Self::BootReply(_)
            | Self::Pull(_)
            | Self::PullReply(_)
            | Self::Pulse
            | Self::Gossip(_)
            | Self::Entropy(_)
            | Self::Reaping(_) => 0,
        }
    }
}

/// What a read asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReadWant {
    /// These records.
    Records(Vec<RecordKey>),
    /// The first records of a range.
    Range {
        /// From where to where.
        range: Range,
        /// Most records.
        records_max: u32,
        /// Most payload bytes.
        bytes_max: u32,
    },
}

/// Ask a replica for durable records.
#[derive(Clone, PartialEq, Debug)]
pub struct Read {
    /// Given back.
    pub op: OpId,
    /// Which of the operation's reads this is, given back: a late answer to one page must not pass for the next.
    pub attempt: u16,
    /// What.
    pub want: ReadWant,
}

/// A replica's answer to a read.
#[derive(Clone, PartialEq, Debug)]
pub struct ReadReply {
    /// Whose answer it is.
    pub op: OpId,
    /// Which of its reads.
    pub attempt: u16,
    /// What it holds.
    pub answer: ReadAnswer,
}

/// What a replica holds of what was asked. Absent records are left out.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ReadAnswer {
    /// In key order.
    pub records: Vec<(RecordKey, Arc<Record>)>,
    /// Names whose record is damaged: unknown, not absent.
    pub damaged: Vec<RecordKey>,
    /// For a range: the answer is complete below this name; `None`: to the end of the range.
    pub complete_up_to: Option<Bytes>,
    /// `cleared_at` of the partitions and buckets that the answer touches, where there is one.
    pub cleared: Vec<(PartitionId, BucketId, Hlc)>,
    /// If a partition's head was asked for: no record of that partition and bucket has a higher clock. What clears the
    /// partition is signed above it.
    pub highest: Hlc,
    /// This replica is rebuilding: what it holds is merged, but it counts for no r (RULINGS 19).
    pub rebuilding: bool,
}

/// What a write asks of a disk that is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Space {
    /// A client's value needs it: it is refused.
    Needed,
    /// A delete, or what makes copies equal, is taken: that is how space comes back.
    NotNeeded,
}

impl Space {
    /// What a client's write needs, which may free space.
    #[must_use]
    pub fn of_write(frees_space: bool) -> Self {
        if frees_space { Self::NotNeeded } else { Self::Needed }
    }
}

/// Merge these records and say when that is durable.
#[derive(Clone, PartialEq, Debug)]
pub struct WriteRecords {
    /// Given back; `None` for repairs, which nobody waits for.
    pub op: Option<OpId>,
    /// Which of the operation's writes this is, given back: an acknowledgement of an earlier one must not count for it.
    pub attempt: u16,
    /// The session token of each receiver, as the sender knew it when the operation started: the message is encoded once
    /// for all of them.
    pub sessions: SmallVec<[(NodeId, u64); 3]>,
    /// The home that could not be reached: the receiver keeps the records for it.
    pub stand_in_for: Option<NodeId>,
    /// What the receiver does if its disk is full.
    pub space: Space,
    /// Whole records.
    pub records: Vec<(RecordKey, Arc<Record>)>,
}

/// A replica's answer to a write.
#[derive(Clone, PartialEq, Debug)]
pub struct WriteReply {
    /// Whose answer it is.
    pub op: OpId,
    /// Which of its writes.
    pub attempt: u16,
    /// What became of it.
    pub result: WriteResult,
}

/// What became of a write at one replica.
#[derive(Clone, PartialEq, Debug)]
pub enum WriteResult {
    /// Durable (or applied, in a buffered bucket). In `lww` buckets: the greatest stamp that now stands there above one of
    /// the records sent (RULINGS 5).
    Done {
        /// `None` if what was sent won.
        winner: Option<Stamp>,
    },
    /// The replica's disk is full. Nothing was written.
    DiskFull,
    /// The replica's store failed. Some of it may be on disk.
    Failed,
}

/// Run a command at a home.
#[derive(Clone, PartialEq, Debug)]
pub struct Forward {
    /// Given back.
    pub op: OpId,
    /// What to run; its time to live is already absolute.
    pub command: Command,
    /// Milliseconds that the receiver's client still waits.
    pub deadline_ms: u32,
    /// The receiver's session token, as the sender knew it: a forward that is older than two rotations, or meant for an
    /// earlier boot of the receiver, is not run.
    pub session: u64,
    /// An earlier home may have run it: ask N−W+1 homes for its client request id first (RULINGS 17).
    pub retry: bool,
    /// No home can sign it, as far as the sender knows: the receiver is to stand in for one (RULINGS 15).
    pub stand_in: bool,
}

/// What became of a forwarded command.
#[derive(Clone, PartialEq, Debug)]
pub struct ForwardReply {
    /// Whose answer it is.
    pub op: OpId,
    /// The result.
    pub outcome: Outcome,
}

/// Nothing was done with a message.
#[derive(Clone, PartialEq, Debug)]
pub struct Refused {
    /// The operation that asked, if it waits.
    pub op: Option<OpId>,
    /// Which of its reads or writes, so that a late refusal of a read is not taken for one of the write that followed; 0 where
    /// there is one alone.
    pub attempt: u16,
    /// Why.
    pub reason: Refusal,
}

/// Why a message was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The rings differ; the receiver's is in the envelope.
    WrongEpoch,
    /// The receiver is no home of the key.
    NotHome,
    /// A queue is full.
    Busy,
    /// The session token is older than two rotations, or from an earlier boot.
    StaleSession,
    /// The receiver's clock or store keeps it from minting.
    CannotMint,
    /// The receiver's disk is full.
    DiskFull,
    /// The receiver does not know yet whether the sender's disk is the one that it had.
    Stranger,
}

/// A node's first words after a start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Boot {
    /// Its boot number.
    pub incarnation: u64,
    /// Random, new at every boot: tells a repeated message from another boot with the same number (a restored backup).
    pub nonce: u64,
    /// Nonces of the boots that its disk remembers, this one included.
    pub lineage: Vec<u64>,
    /// It knows that its disk is not the one it had, and its disk says so too: earlier boots may be forgotten.
    pub settled: bool,
    /// It wants to hear the same of the receiver.
    pub asks: bool,
    /// It works on an older disk, and must know what was reaped since before it has dealings with anybody.
    pub must_learn: bool,
    /// The reap generations that it has promised, where there are any.
    pub pinned: Vec<(PartitionId, BucketId, u64)>,
}

/// What a peer remembers of a node that has just started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BootReply {
    /// The boot that this answers.
    pub nonce: u64,
    /// The highest earlier incarnation that the peer had durably seen; 0 if it never heard of the node.
    pub highest_before: u64,
    /// The peer has heard of a boot that the node's disk knows nothing of.
    pub regressed: bool,
    /// For a node that must learn them: the peer's reap generations.
    pub reaped: Option<Generations>,
}

/// What a node on an older disk is told of what was reaped since.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Generations {
    /// Those above 0.
    pub known: Vec<(PartitionId, BucketId, u64)>,
    /// Buckets whose copy at the peer is being rebuilt: it may not know all of theirs.
    pub rebuilding: Vec<BucketId>,
}

/// A rebuilding replica asks for a page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pull {
    /// Given back.
    pub op: OpId,
    /// Which bucket, from where to where.
    pub range: Range,
}

/// A page for a rebuilding replica.
#[derive(Clone, PartialEq, Debug)]
pub struct PullReply {
    /// Whose answer it is.
    pub op: OpId,
    /// In key order; damaged records are left out.
    pub records: Vec<(RecordKey, Arc<Record>)>,
    /// Where to go on; `None` at the end.
    pub next: Option<Bytes>,
    /// What the peer holds may not be all that it has acknowledged: its own copy is being rebuilt, or a record in the range
    /// of the page is damaged. The records are good, but the exchange proves nothing (RULINGS 19).
    pub partial: bool,
    /// The page is not to be relied on: the peer's store could not read it.
    pub failed: bool,
}
