//! What a node and its peers tell one another when it has started (RULINGS 2): whether its life may go on, and whether
//! its disk is the one it had.

use std::collections::{BTreeMap, BTreeSet};

use crate::effect::Notice;
use crate::id::{BucketId, NodeId, PartitionId, Token};
use crate::message::{Boot, BootReply, Generations, Message};
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
    /// Nonces of this directory's last boots, this one at the end.
    lineage: Vec<u64>,
    /// The write that says on disk what a peer has found out: that earlier boots were forgotten.
    settling: Option<Token>,
    /// That write is durable.
    settled: bool,
    /// It waits until this node knows what was reaped since its disk was the one that it had.
    learning: bool,
    /// It goes on asking for that, although it has nothing that could be older.
    asks_generations: bool,
    marker: Option<CleanMarker>,
    /// Peers for whom the marker's boot was the last one.
    confirmed: BTreeSet<NodeId>,
    started: Time,
    peers: BTreeMap<NodeId, PeerMemory>,
    /// Peers that have not yet said that this node's disk is the one they know, or that they accept it as it is.
    strangers: BTreeSet<NodeId>,
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
    pub fn new(state: &BootState, started: Time) -> Self {
        Self {
            incarnation: state.incarnation,
            lineage: state.lineage.clone(),
            settling: None,
            settled: false,
            learning: false,
            asks_generations: false,
            marker: state.marker,
            confirmed: BTreeSet::new(),
            peers: state.peers.iter().copied().collect(),
            strangers: BTreeSet::new(),
            replies: BTreeMap::new(),
            started,
        }
    }

    fn nonce(&self) -> u64 {
        self.lineage.last().copied().unwrap_or_default()
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
    pub fn greet(&mut self, peer: NodeId, site: &mut Site) {
        self.strangers.insert(peer);
        self.say(peer, site);
    }

    /// Greets again those who have not answered, or have not introduced themselves: until both is done the two have no
    /// dealings.
    pub fn go_on(&self, site: &mut Site) {
        let is_strange = |peer: &NodeId| {
            self.learning || self.asks_generations || self.strangers.contains(peer) || !site.peers.is_introduced(*peer)
        };
        let strangers: Vec<NodeId> = site.peers.connected().filter(is_strange).collect();
        for peer in strangers {
            self.say(peer, site);
        }
    }

    fn say(&self, peer: NodeId, site: &mut Site) {
        let boot = Boot {
            incarnation: self.incarnation,
            nonce: self.nonce(),
            lineage: self.lineage.clone(),
            settled: self.settled,
            asks: !site.peers.is_introduced(peer),
            must_learn: self.learning || self.asks_generations,
            pinned: pinned(site),
        };
        site.send(&[peer], Message::Boot(boot));
    }

    /// A peer has started: remember it durably, then answer.
    pub fn on_boot(&mut self, from: NodeId, boot: &Boot, rebuilding: &BTreeSet<BucketId>, site: &mut Site) {
        if boot.asks && self.strangers.insert(from) {
            self.say(from, site);
        }
        let known = self.peers.get(&from).copied().unwrap_or_default();
        let memory = remember(known, boot);
        let reply = BootReply {
            nonce: boot.nonce,
            highest_before: if known.nonce == boot.nonce {
                known.before
            } else {
                known.incarnation
            },
            regressed: !boot.settled && (is_foreign(&known, boot) || is_behind(from, boot, site)),
            reaped: boot.must_learn.then(|| Generations {
                known: pinned(site),
                rebuilding: rebuilding.iter().copied().collect(),
            }),
        };
        // A copy of an earlier boot's words that comes late says nothing of the one that goes on now. Whoever starts anew comes
        // over a new connection, and is a stranger until it has spoken.
        if boot.incarnation >= known.incarnation {
            site.peers.set_introduced(from, memory == known && !reply.regressed);
        }
        if memory == known {
            site.send(&[from], Message::BootReply(reply));
            return;
        }
        self.peers.insert(from, memory);
        let token = site.ask_store(StoreOp::PutMeta(Meta::Peer(from, memory)));
        self.replies.insert(token, (from, reply));
    }

    /// A fact is durable; true if it was one of these.
    pub fn on_stored(&mut self, token: Token, done: bool, site: &mut Site) -> bool {
        if self.settling == Some(token) {
            self.settling = None;
            self.settled = done;
            // A store that failed stays out of service until the next boot, which will be told again.
            if done {
                let connected: Vec<NodeId> = site.peers.connected().collect();
                for peer in connected {
                    self.greet(peer, site);
                }
            }
            return true;
        }
        let Some((node, reply)) = self.replies.remove(&token) else {
            return false;
        };
        if done {
            let is_latest = self.peers.get(&node).is_some_and(|known| known.nonce == reply.nonce);
            if is_latest && !reply.regressed {
                site.peers.set_introduced(node, true);
            }
            site.send(&[node], Message::BootReply(reply));
        }
        true
    }

    /// What a peer remembers of this node.
    pub fn on_reply(&mut self, from: NodeId, reply: &BootReply, site: &mut Site) -> Verdict {
        if reply.nonce != self.nonce() {
            return Verdict::Sound;
        }
        if !reply.regressed {
            self.strangers.remove(&from);
        }
        let is_older = reply.highest_before >= self.incarnation;
        if is_older || (reply.regressed && !self.settled && !self.learning && self.settling.is_none()) {
            let marker = self.marker.take();
            if active(Mutant::ActorReused)
                && let Some(marker) = marker
            {
                site.minter.resume(&marker);
            }
            self.incarnation = self.incarnation.max(reply.highest_before + 1);
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

    /// True if this answers this boot's words.
    #[must_use]
    pub fn is_answer(&self, reply: &BootReply) -> bool {
        reply.nonce == self.nonce()
    }

    /// True if the directory has been booted before: it may hold something old.
    #[must_use]
    pub fn has_a_past(&self) -> bool {
        self.lineage.len() > 1
    }

    /// This node asks what was reaped, or no longer.
    pub fn ask_generations(&mut self, asks: bool) {
        self.asks_generations = asks;
    }

    /// Before it may settle, this node must know what was reaped: it asks.
    pub fn learn(&mut self, site: &mut Site) {
        self.learning = true;
        let connected: Vec<NodeId> = site.peers.connected().collect();
        for peer in connected {
            self.say(peer, site);
        }
    }

    /// The node has begun to rebuild all its copies, and has asked its disk to say so: once this number is durable, and so
    /// what was asked before it, peers may forget the boots that this disk knows nothing of.
    pub fn settle(&mut self, site: &mut Site) {
        self.settled = false;
        self.learning = false;
        self.settling = Some(site.ask_store(StoreOp::PutMeta(Meta::Incarnation(self.incarnation))));
    }
}

/// What to remember of a peer after these words of it. A disk that knows of all boots heard of is the one it was, or a
/// newer one: its own boot stands for them. Else each is kept, until the peer's disk says itself that it has forgotten.
fn remember(known: PeerMemory, boot: &Boot) -> PeerMemory {
    // Words of an earlier boot that come late, or a disk that was replaced by an older copy: it will settle with a higher
    // number.
    if boot.incarnation < known.incarnation {
        return known;
    }
    let mut heard = known.heard;
    if boot.settled || !is_foreign(&known, boot) {
        heard = [boot.nonce, 0, 0, 0];
    } else if !heard.contains(&boot.nonce)
        && let Some(free) = heard.iter_mut().find(|nonce| **nonce == 0)
    {
        *free = boot.nonce;
    }
    let is_new = known.nonce != boot.nonce;
    PeerMemory {
        incarnation: boot.incarnation,
        nonce: boot.nonce,
        before: if is_new { known.incarnation } else { known.before },
        heard,
    }
}

/// What this disk has promised of reaping.
fn pinned(site: &Site) -> Vec<(PartitionId, BucketId, u64)> {
    let generations = site.generations.iter();
    generations
        .map(|(place, generation)| (place.0, place.1, generation.pinned))
        .collect()
}

/// True if a node is a home of a place, or may stand in for one.
fn is_concerned(node: NodeId, (partition, bucket): (PartitionId, BucketId), site: &Site) -> bool {
    site.bucket(bucket).is_some_and(|bucket| {
        let list = site.ring.preference_list(partition, bucket.n);
        list.fallbacks.contains(&node) || list.homes.iter().any(|home| home.node == node)
    })
}

/// True if the peer's disk does not know of a promise that it gave: something was forgotten here under it. That may be all
/// that tells an older copy of a disk, made since its last boot, from the disk itself.
fn is_behind(peer: NodeId, boot: &Boot, site: &Site) -> bool {
    let known: BTreeMap<(PartitionId, BucketId), u64> =
        boot.pinned.iter().map(|&(p, b, number)| ((p, b), number)).collect();
    let mut reaped = site.generations.iter().filter(|entry| entry.1.reaped > 0);
    reaped.any(|(place, generation)| {
        is_concerned(peer, *place, site) && known.get(place).copied().unwrap_or(0) < generation.reaped
    })
}

/// True if a boot was heard of that the peer's disk knows nothing of.
fn is_foreign(known: &PeerMemory, boot: &Boot) -> bool {
    let mut heard = known.heard.iter().filter(|&&nonce| nonce != 0);
    heard.any(|nonce| !boot.lineage.contains(nonce))
}

#[cfg(test)]
mod tests {
    use super::{is_foreign, remember};
    use crate::message::Boot;
    use crate::storage::PeerMemory;

    fn boot(incarnation: u64, lineage: &[u64], settled: bool) -> Boot {
        Boot {
            incarnation,
            nonce: lineage.last().copied().expect("its own"),
            lineage: lineage.to_vec(),
            settled,
            asks: false,
            must_learn: false,
            pinned: Vec::new(),
        }
    }

    /// What is remembered after these boots, each found as foreign as said.
    fn after(boots: &[(Boot, bool)]) -> PeerMemory {
        let mut known = PeerMemory::default();
        for (boot, expected) in boots {
            assert_eq!(is_foreign(&known, boot), *expected, "{boot:?} after {known:?}");
            known = remember(known, boot);
        }
        known
    }

    #[test]
    fn a_disk_that_remembers_all_boots_is_the_one_it_was() {
        let known = after(&[
            (boot(1, &[11], false), false),
            (boot(2, &[11, 12], false), false),
            (boot(5, &[11, 12, 13, 14, 15], false), false),
        ]);
        assert_eq!((known.incarnation, known.before, known.nonce), (5, 2, 15));
        assert_eq!(known.heard, [15, 0, 0, 0]);
    }

    #[test]
    fn an_older_copy_that_has_booted_as_often_is_not_the_disk_it_was() {
        // The copy was taken after the first boot, and booted once where nobody heard of it.
        after(&[
            (boot(2, &[11, 12], false), false),
            (boot(3, &[11, 22, 23], false), true),
        ]);
    }

    #[test]
    fn an_older_copy_that_crashed_before_its_disk_said_so_is_caught_at_its_next_boot() {
        let known = after(&[
            (boot(7, &[11, 17], false), false),
            (boot(8, &[11, 28], false), true),
            (boot(9, &[11, 28, 29], false), true),
            // Now its marks are durable: the boots before are forgotten, and the next is no news.
            (boot(10, &[11, 28, 29], true), true),
            (boot(11, &[11, 28, 29, 31], false), false),
        ]);
        assert_eq!(known.heard, [31, 0, 0, 0]);
    }

    #[test]
    fn words_of_an_earlier_boot_that_come_late_change_nothing() {
        let known = after(&[(boot(1, &[11], false), false), (boot(2, &[11, 12], false), false)]);
        assert_eq!(remember(known, &boot(1, &[11], false)), known);
    }
}
