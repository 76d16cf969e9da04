//! What a node and its peers tell one another when it has started (RULINGS 2): whether its life may go on, and whether
//! its disk is the one it had.

use std::collections::{BTreeMap, BTreeSet};

use crate::effect::Notice;
use crate::id::{NodeId, Token};
use crate::message::{Boot, BootReply, Message};
use crate::mutants::{Mutant, active};
use crate::site::Site;
use crate::storage::{BootState, CleanMarker, Meta, PeerMemory, StoreOp};
use crate::time::Time;

/// How long a node that was stopped cleanly is not ready for want of confirmations, in milliseconds.
const CONFIRM_MS_MAX: u64 = 2_000;

/// This node's boot, and what it remembers of its peers'.
#[derive(Debug)]
pub struct Boots {
    incarnation: u64,
    nonce: u64,
    marker: Option<CleanMarker>,
    /// Peers for whom the marker's boot was the last one.
    confirmed: BTreeSet<NodeId>,
    started: Time,
    peers: BTreeMap<NodeId, PeerMemory>,
    /// Answers that wait until what they rest on is durable.
    replies: BTreeMap<Token, (NodeId, BootReply)>,
}

/// What a peer's answer means for this node's copies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Nothing.
    Sound,
    /// The directory is older than what the peer has seen: it was wiped or restored from a backup.
    Regressed,
}

impl Boots {
    /// As the disk says.
    #[must_use]
    pub fn new(state: &BootState, site: &mut Site) -> Self {
        let nonce = site.random.next_u64();
        let peers = state.peers.iter().copied().collect();
        Self {
            incarnation: state.incarnation,
            nonce,
            marker: state.marker,
            confirmed: BTreeSet::new(),
            started: site.now.time,
            peers,
            replies: BTreeMap::new(),
        }
    }

    /// This boot's number.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// True while peers may still confirm that the life before the clean stop goes on.
    #[must_use]
    pub fn is_waiting(&self, site: &Site) -> bool {
        let is_early = site.now.time < self.started.plus_ms(CONFIRM_MS_MAX);
        self.marker.is_some() && is_early && site.ring.members().len() > 1
    }

    /// Says to a peer that this node has started, and asks what it remembers.
    pub fn greet(&self, peer: NodeId, site: &mut Site) {
        site.send(
            &[peer],
            Message::Boot(Boot {
                incarnation: self.incarnation,
                nonce: self.nonce,
            }),
        );
    }

    /// A peer has started: remember it durably, then answer.
    pub fn on_boot(&mut self, from: NodeId, boot: Boot, site: &mut Site) {
        let known = self.peers.get(&from).copied().unwrap_or_default();
        if known.nonce == boot.nonce {
            self.reply(from, known, site);
            return;
        }
        let memory = PeerMemory {
            incarnation: known.incarnation.max(boot.incarnation),
            nonce: boot.nonce,
            before: known.incarnation,
        };
        self.peers.insert(from, memory);
        let token = site.ask_store(StoreOp::PutMeta(Meta::Peer(from, memory)));
        let reply = BootReply {
            nonce: boot.nonce,
            highest_before: memory.before,
        };
        self.replies.insert(token, (from, reply));
    }

    /// A fact is durable; true if it was one of these.
    pub fn on_stored(&mut self, token: Token, done: bool, site: &mut Site) -> bool {
        let Some((node, reply)) = self.replies.remove(&token) else {
            return false;
        };
        if done {
            site.send(&[node], Message::BootReply(reply));
        }
        true
    }

    /// What a peer remembers of this node.
    pub fn on_reply(&mut self, from: NodeId, reply: BootReply, site: &mut Site) -> Verdict {
        if reply.nonce != self.nonce {
            return Verdict::Sound;
        }
        if reply.highest_before >= self.incarnation {
            let marker = self.marker.take();
            if active(Mutant::ActorReused)
                && let Some(marker) = marker
            {
                site.minter.resume(&marker);
            }
            self.incarnation = reply.highest_before + 1;
            site.ask_store(StoreOp::PutMeta(Meta::Incarnation(self.incarnation)));
            if !active(Mutant::ActorReused) {
                site.new_life("a peer has seen a later life of this node");
            }
            site.notice(Notice::Regressed);
            return Verdict::Regressed;
        }
        if let Some(marker) = self.marker
            && marker.incarnation == reply.highest_before
        {
            self.confirmed.insert(from);
            // One peer may have been away while a later boot of this node went on with the same life, whose disk was then
            // replaced by an older copy. Such a boot was confirmed by more than half of the peers: one of them knows it.
            let peers = site.ring.members().len() - 1;
            if 2 * self.confirmed.len() > peers {
                self.marker = None;
                site.minter.resume(&marker);
            }
        }
        Verdict::Sound
    }

    fn reply(&self, to: NodeId, memory: PeerMemory, site: &mut Site) {
        let reply = BootReply {
            nonce: memory.nonce,
            highest_before: memory.before,
        };
        site.send(&[to], Message::BootReply(reply));
    }
}
