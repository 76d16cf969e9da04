//! The seam between the core and whoever drives it: inputs in, effects out.

use std::collections::VecDeque;

use smallvec::SmallVec;

use crate::background::{PaceChange, Work};
use crate::command::Request;
use crate::gossip::watch::Reason;
use crate::id::{NodeId, OpId, RequestId, Token};
use crate::liveness::Liveness;
use crate::message::Envelope;
use crate::outcome::Outcome;
use crate::storage::{StoreHealth, StoreOp, StoreReply};

/// What happens to a node.
#[derive(Clone, Debug)]
pub enum Input {
    /// A client asks.
    Request(Request),
    /// Another node says something.
    Message {
        /// Who.
        from: NodeId,
        /// What.
        envelope: Envelope,
    },
    /// A store effect is answered. For a synced commit this means durable.
    Stored {
        /// Which.
        token: Token,
        /// How.
        reply: StoreReply,
    },
    /// A connection to a peer came up or went away.
    Peer {
        /// Who.
        node: NodeId,
        /// Reachable or not.
        up: bool,
    },
    /// A message for which an operation waits was not sent, because too much waits for that peer already.
    Unsent {
        /// Whom it was for.
        node: NodeId,
        /// The operation.
        op: OpId,
        /// Which of its reads or writes; 0 if they have no numbers.
        attempt: u16,
    },
    /// A peer's read is not answered, because too much waits for that peer already.
    Unanswered {
        /// Who asked.
        node: NodeId,
        /// Its operation.
        op: OpId,
        /// Which of its reads.
        attempt: u16,
    },
    /// The store's health has changed.
    StoreHealth(StoreHealth),
    /// An operator changes how background work goes.
    Control {
        /// Which.
        work: Work,
        /// How.
        change: PaceChange,
    },
    /// Time has passed `next_deadline`.
    Tick,
}

/// What a node asks of the world.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// Send one message to these nodes; encode it once.
    Send {
        /// To whom; never this node.
        to: SmallVec<[NodeId; 3]>,
        /// What. A write among these may leave before the local commit is durable.
        envelope: Envelope,
    },
    /// Do this on the store and answer with `Input::Stored`.
    Store {
        /// Given back.
        token: Token,
        /// What.
        op: StoreOp,
    },
    /// Answer a client.
    Reply {
        /// Which request.
        request: RequestId,
        /// Its result.
        outcome: Outcome,
    },
    /// The connection to this peer may be broken although it looks whole: make it anew. `Input::Peer` says when it is.
    Reconnect {
        /// Whom.
        node: NodeId,
    },
    /// Something an operator should know.
    Notice(Notice),
}

/// Events for logs, metrics and alarms.
#[derive(Clone, PartialEq, Debug)]
pub enum Notice {
    /// A peer's ring or buckets differ from ours under the same number.
    RingConflict {
        /// The peer.
        node: NodeId,
    },
    /// This node took a new life, and why.
    NewLife {
        /// In a few words.
        reason: &'static str,
    },
    /// This node had forgotten something that a peer remembers; it rebuilds.
    Regressed,
    /// A bucket's copy is being rebuilt.
    Rebuilding {
        /// The bucket.
        bucket: crate::id::BucketId,
    },
    /// A bucket's copy is complete again.
    Rebuilt {
        /// The bucket.
        bucket: crate::id::BucketId,
    },
    /// A part of the store beyond one record is damaged; the copies that may have records in it are rebuilt.
    Spoiled {
        /// The file, as the store names it.
        file: String,
        /// False if no other node has copies: then it stays as it is.
        can_rebuild: bool,
    },
    /// A scrub has verified everything on disk.
    ScrubEnded {
        /// Records verified.
        records: u64,
        /// Damaged records found.
        damaged: u64,
    },
    /// Two homes hold different bytes under the same dots, and neither follows from the other: both are kept.
    Contradiction {
        /// Which.
        key: crate::key::RecordKey,
    },
    /// A record failed its checksum and was treated as unknown.
    DamagedRecord {
        /// Which.
        key: crate::key::RecordKey,
    },
    /// The only copy of a record was damaged and has been replaced by a client's write: what it held is lost.
    LostRecord {
        /// Which.
        key: crate::key::RecordKey,
    },
    /// A client put dropped the oldest entries of a context that had grown too long (RULINGS 3): what they had replaced may
    /// come back.
    ContextPruned {
        /// Which.
        key: crate::key::RecordKey,
        /// Whose entries.
        dropped: Vec<crate::id::ActorId>,
    },
    /// The store failed; the node serves no writes until it is restarted.
    StoreOutOfService,
    /// Something else is believed of a peer.
    Liveness {
        /// The peer.
        node: NodeId,
        /// Before.
        from: Liveness,
        /// Now.
        to: Liveness,
        /// Why.
        reason: Reason,
    },
    /// A peer answers none of this node's probes, whatever others hear of it, and is asked for nothing; or does so again.
    Reachable {
        /// The peer.
        node: NodeId,
        /// It answers.
        is_reachable: bool,
    },
    /// This node's clock is this many milliseconds off the median of its peers (RULINGS 6).
    ClockSkew {
        /// Signed: positive is ahead.
        ms: i64,
    },
}

/// The effects of a step, in order. Drain it before the next step.
#[derive(Debug, Default)]
pub struct Outbox {
    effects: VecDeque<Effect>,
}

impl Outbox {
    /// An empty outbox.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an effect.
    pub fn push(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }

    /// The next effect.
    pub fn pop(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// True if nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.effects.is_empty()
    }
}
