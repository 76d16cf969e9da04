//! What an operation is told: answers of replicas and of other nodes, losses, and time.

use crate::change::Changed;
use crate::id::NodeId;
use crate::key::RecordKey;
use crate::message::{ReadAnswer, Refusal, WriteResult};
use crate::outcome::Outcome;

/// What can happen to an operation.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// A replica answered a read: which node, which of the operation's reads, what it holds.
    Read(NodeId, u16, ReadAnswer),
    /// A replica answered a write: which node, which of the operation's writes, how.
    Wrote(NodeId, u16, WriteResult),
    /// The local replica made the changes asked for; they are not durable yet.
    Changed(Vec<(RecordKey, Changed)>),
    /// A node did nothing with what it was asked: which node, which of the operation's reads or writes (0: not told), why.
    Refused(NodeId, u16, Refusal),
    /// A home ran a forwarded command.
    Forwarded(NodeId, Outcome),
    /// A connection was lost.
    PeerDown(NodeId),
    /// The key's lock is held now.
    LockGranted,
    /// The update that held the key's lock took this one along: what became of it. `None`: nothing, this node's copy can't be read.
    Carried(Option<Outcome>),
    /// A part of a batch is done.
    Child(usize, Outcome),
    /// The homes that a read asked take longer than they usually do.
    Hedge,
    /// Its time is up.
    Deadline,
}
