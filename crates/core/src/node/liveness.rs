//! Where gossip meets the rest of the node: it is given connections and time, and what it finds out goes to the peers,
//! the operations and the operator.

use super::Node;
use crate::effect::{Effect, Notice};
use crate::event::Event;
use crate::gossip::Output;
use crate::gossip::member::Load;
use crate::id::NodeId;
use crate::message::Message;
use crate::storage::StoreHealth;

impl Node {
    /// A connection came up or went away.
    pub(super) fn on_peer(&mut self, node: NodeId, up: bool) {
        self.site.peers.set_connected(node, up);
        self.site.circuits.on_connection(node, self.site.now.time);
        self.gossip.on_connection(node, up, self.site.now.time);
        if up {
            self.boots.greet(node, &mut self.site);
            self.entropy.on_peer_up(self.site.now.time);
        } else {
            self.entropy.on_peer_down(node, &mut self.site);
            self.hints.on_peer_down(node, &mut self.site);
            self.rebuild.on_peer_down(node);
            self.reaping.on_peer_down(node);
            for id in self.operations.ids() {
                self.site.notify(id, Event::PeerDown(node));
            }
        }
    }

    /// Begins a period of gossip if it is time.
    pub(super) fn go_on_gossiping(&mut self) {
        let now = self.site.now.time;
        if now >= self.gossip.next_deadline() {
            self.gossip.raise_boot(self.boots.incarnation());
            let load = self.load();
            self.gossip.on_tick(load, now);
            let peers: Vec<NodeId> = self.site.peers.connected().collect();
            peers.into_iter().for_each(|peer| self.note_load(peer));
        }
    }

    /// The store's health is another. A node whose syncs have become slow says so at once: the others must not wait for it
    /// until its next turn to speak.
    pub(super) fn on_health(&mut self, health: StoreHealth) {
        let was_slow = std::mem::replace(&mut self.site.health, health).slow;
        if health.slow != was_slow {
            let load = self.load();
            self.gossip.announce(load, self.site.now.time);
        }
    }

    /// What a peer has said of itself steers who is asked to read, and who to sign.
    pub(super) fn note_load(&mut self, node: NodeId) {
        let is_slow = self.gossip.state(node).is_some_and(|state| state.load.slow);
        self.site.circuits.set_slow(node, is_slow);
    }

    /// What gossip says of this node.
    fn load(&self) -> Load {
        Load {
            operations: self.operations.len() as u32,
            store_bytes: self.site.health.bytes,
            full: self.site.health.full,
            slow: self.site.health.slow || self.site.out_of_service,
        }
    }

    /// Sends what gossip wants said, and lets the rest of the node know what is believed of its peers.
    pub(super) fn gossip_to_world(&mut self) {
        while let Some(output) = self.gossip.take() {
            match output {
                Output::Send { to, talk } => self.site.send(&to, Message::Gossip(talk)),
                Output::Liveness { node, from, to, reason } => {
                    self.site.peers.set_liveness(node, to, self.site.now.time);
                    self.site.notice(Notice::Liveness { node, from, to, reason });
                }
                Output::Reachable { node, is_reachable } => {
                    self.site.peers.set_reachable(node, is_reachable);
                    if is_reachable {
                        self.entropy.on_peer_up(self.site.now.time);
                    }
                    self.site.notice(Notice::Reachable { node, is_reachable });
                }
                Output::Reconnect { node } => self.site.out.push(Effect::Reconnect { node }),
            }
        }
    }
}
