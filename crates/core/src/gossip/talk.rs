//! What nodes say to one another about who is there.

use crate::gossip::member::{MemberState, Version};
use crate::id::NodeId;

/// The messages of gossip. All may be lost, repeated or late.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Talk {
    /// This is what I am, and how new what I know of these members is.
    Digest {
        /// The sender.
        own: MemberState,
        /// Others, at most [`crate::gossip::table::DIGEST_MEMBERS_MAX`].
        members: Vec<(NodeId, Version)>,
    },
    /// This is newer than what you know.
    Delta {
        /// The sender first, if this answers a digest.
        states: Vec<MemberState>,
        /// Of these you know more than I do: tell me.
        wanted: Vec<NodeId>,
    },
    /// Are you there?
    Probe {
        /// Given back.
        nonce: u64,
    },
    /// Yes.
    ProbeReply {
        /// Of the probe.
        nonce: u64,
        /// The sender.
        own: MemberState,
    },
    /// I can't reach this member: can you?
    ProbeFor {
        /// Whom.
        node: NodeId,
        /// Given back.
        nonce: u64,
    },
    /// Whether I could: the sender's own probe was answered, or failed.
    ProbeReport {
        /// Whom.
        node: NodeId,
        /// Of the request.
        nonce: u64,
        /// It answered.
        is_reached: bool,
    },
}
