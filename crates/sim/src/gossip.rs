//! Gossip alone, for many nodes and for long: the same state machine that runs in every node, with a network that loses,
//! delays and is cut, and nothing else. Answers how fast news spreads, how often the living are called dead, and what it
//! costs.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use bytes::BytesMut;
use torc_core::gossip::member::Load;
use torc_core::gossip::talk::Talk;
use torc_core::gossip::watch::Reason;
use torc_core::gossip::{Gossip, Output};
use torc_core::id::NodeId;
use torc_core::liveness::Liveness;
use torc_core::message::{Envelope, Message, RingEpoch};
use torc_core::time::{Hlc, Time, Wall};
use torc_core::wire::encode_frame;

use crate::chance::Chance;

/// Of so many messages one is encoded, to know how long they are.
const MEASURED_ONE_OF: u64 = 16;

/// What the network does to every message.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Of a thousand messages so many are lost.
    pub loss_per_mille: u64,
    /// The shortest and the longest way, in microseconds.
    pub delay_us: (u64, u64),
}

impl Weather {
    /// Nothing is lost.
    pub const FAIR: Self = Self {
        loss_per_mille: 0,
        delay_us: (200, 20_000),
    };
    /// A fifth is lost.
    pub const FOUL: Self = Self {
        loss_per_mille: 200,
        delay_us: (200, 20_000),
    };
}

/// A change of what one node believes of another.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// When, in microseconds.
    pub at_us: u64,
    /// Who believes it.
    pub at: usize,
    /// Of whom.
    pub of: usize,
    /// What was believed.
    pub from: Liveness,
    /// What is.
    pub to: Liveness,
    /// Why.
    pub reason: Reason,
}

#[derive(Debug)]
struct Host {
    gossip: Option<Gossip>,
    boot: u64,
    /// Stands still until then.
    paused_until_us: u64,
    waiting: Vec<(NodeId, Talk)>,
}

#[derive(Debug, PartialEq, Eq)]
enum Event {
    Tick(usize, u64),
    Deliver(usize, usize, Box<Talk>),
    Resume(usize),
}

#[derive(Debug)]
struct Queued {
    at_us: u64,
    order: u64,
    event: Event,
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Queued {}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_us, self.order).cmp(&(other.at_us, other.order))
    }
}

/// See the module.
#[derive(Debug)]
pub struct Village {
    /// What the network does.
    pub weather: Weather,
    /// The true time, in microseconds.
    pub now_us: u64,
    /// Everything that changed in what the nodes believe.
    pub turns: Vec<Turn>,
    /// Messages sent.
    pub messages: u64,
    hosts: Vec<Host>,
    /// Ways on which everything is lost.
    cuts: BTreeSet<(usize, usize)>,
    queue: BinaryHeap<Reverse<Queued>>,
    order: u64,
    chance: Chance,
    seed: u64,
    measured: (u64, u64),
    index_of: BTreeMap<NodeId, usize>,
}

impl Village {
    /// So many nodes, all connected, that have just started.
    #[must_use]
    pub fn new(nodes: usize, weather: Weather, seed: u64) -> Self {
        let host = || Host {
            gossip: None,
            boot: 0,
            paused_until_us: 0,
            waiting: Vec::new(),
        };
        let mut village = Self {
            weather,
            now_us: 0,
            turns: Vec::new(),
            messages: 0,
            hosts: (0..nodes).map(|_| host()).collect(),
            cuts: BTreeSet::new(),
            queue: BinaryHeap::new(),
            order: 0,
            chance: Chance::new(seed, 4),
            seed,
            measured: (0, 0),
            index_of: (0..nodes).map(|index| (node_of(index), index)).collect(),
        };
        for index in 0..nodes {
            village.start(index);
        }
        village
    }

    /// Nodes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    /// True if there is no node.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// What one node believes of another.
    #[must_use]
    pub fn belief(&self, at: usize, of: usize) -> Liveness {
        let gossip = self.hosts[at].gossip.as_ref();
        gossip.map_or(Liveness::Suspect, |gossip| gossip.liveness(node_of(of)))
    }

    /// The mean length of a message with all that goes around it, in bytes, and how many a node sends a second.
    #[must_use]
    pub fn bytes_a_message(&self) -> f64 {
        self.measured.1 as f64 / self.measured.0.max(1) as f64
    }

    /// Starts a node anew.
    pub fn start(&mut self, index: usize) {
        let host = &mut self.hosts[index];
        host.boot += 1;
        let seed = self.seed ^ (host.boot << 32) ^ index as u64;
        let members = (0..self.hosts.len()).map(node_of);
        let now = Time(self.now_us);
        let boot = self.hosts[index].boot;
        let mut gossip = Gossip::new(node_of(index), boot, members, seed.wrapping_mul(0x9e37_79b9), now);
        for peer in 0..self.hosts.len() {
            if peer != index && self.hosts.len() <= 100 {
                gossip.on_connection(node_of(peer), true, now);
            } else if peer != index {
                gossip.connect_quietly(node_of(peer));
            }
        }
        self.hosts[index].gossip = Some(gossip);
        self.hosts[index].waiting.clear();
        self.after(index);
        // Not all at once.
        let at_us = self.now_us + self.chance.below(1_000_000);
        self.schedule(at_us, Event::Tick(index, boot));
    }

    /// Ends a node.
    pub fn kill(&mut self, index: usize) {
        self.hosts[index].gossip = None;
    }

    /// Lets a node stand still.
    pub fn pause(&mut self, index: usize, for_us: u64) {
        let until = self.now_us + for_us;
        self.hosts[index].paused_until_us = until;
        self.schedule(until, Event::Resume(index));
    }

    /// Loses everything from one node to another.
    pub fn cut(&mut self, from: usize, to: usize) {
        self.cuts.insert((from, to));
    }

    /// Loses no more than the weather does.
    pub fn mend(&mut self, from: usize, to: usize) {
        self.cuts.remove(&(from, to));
    }

    /// Lets everything happen for so long.
    pub fn go_on_for(&mut self, us: u64) {
        let until_us = self.now_us + us;
        while self.queue.peek().is_some_and(|next| next.0.at_us <= until_us) {
            let Some(Reverse(Queued { at_us, event, .. })) = self.queue.pop() else {
                break;
            };
            self.now_us = at_us;
            self.on_event(event);
        }
        self.now_us = until_us;
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Tick(index, boot) => {
                let host = &mut self.hosts[index];
                if host.boot != boot || host.gossip.is_none() {
                    return;
                }
                if host.paused_until_us > self.now_us {
                    let at_us = host.paused_until_us;
                    self.schedule(at_us, Event::Tick(index, boot));
                    return;
                }
                let now = Time(self.now_us);
                if let Some(gossip) = &mut host.gossip {
                    gossip.enter(now);
                    gossip.on_tick(Load::default(), now);
                }
                self.after(index);
                let due = self.hosts[index].gossip.as_ref().map_or(Time(0), Gossip::next_deadline);
                // A busy machine wakes a process a little late.
                let at_us = due.0.max(self.now_us) + self.chance.below(5_000);
                self.schedule(at_us, Event::Tick(index, boot));
            }
            Event::Deliver(from, to, talk) => {
                if self.hosts[to].paused_until_us > self.now_us {
                    self.hosts[to].waiting.push((node_of(from), *talk));
                } else {
                    self.deliver(node_of(from), to, *talk);
                }
            }
            Event::Resume(index) => {
                // What piled up is read after the timers, as it may be on a real machine.
                for (from, talk) in std::mem::take(&mut self.hosts[index].waiting) {
                    let at_us = self.now_us + 1_000 + self.chance.below(50_000);
                    self.schedule(at_us, Event::Deliver(self.index_of[&from], index, Box::new(talk)));
                }
            }
        }
    }

    fn deliver(&mut self, from: NodeId, to: usize, talk: Talk) {
        let now = Time(self.now_us);
        let Some(gossip) = &mut self.hosts[to].gossip else {
            return;
        };
        gossip.enter(now);
        gossip.on_direct(from, now);
        gossip.on_talk(from, talk, now);
        self.after(to);
    }

    /// Does what a node's gossip asks for.
    fn after(&mut self, index: usize) {
        while let Some(output) = self.hosts[index].gossip.as_mut().and_then(Gossip::take) {
            match output {
                Output::Send { to, talk } => {
                    for node in to {
                        self.send(index, self.index_of[&node], &talk);
                    }
                }
                Output::Liveness { node, from, to, reason } => self.turns.push(Turn {
                    at_us: self.now_us,
                    at: index,
                    of: self.index_of[&node],
                    from,
                    to,
                    reason,
                }),
                // What is cut here stays cut on a fresh connection, and whom to route to is not asked here.
                Output::Reachable { .. } | Output::Reconnect { .. } => {}
            }
        }
    }

    fn send(&mut self, from: usize, to: usize, talk: &Talk) {
        self.messages += 1;
        if self.messages.is_multiple_of(MEASURED_ONE_OF) {
            self.measured.0 += 1;
            self.measured.1 += frame_bytes(talk);
        }
        if self.cuts.contains(&(from, to)) || self.chance.per_mille(self.weather.loss_per_mille) {
            return;
        }
        let (least, most) = self.weather.delay_us;
        let at_us = self.now_us + self.chance.between(least, most);
        self.schedule(at_us, Event::Deliver(from, to, Box::new(talk.clone())));
    }

    fn schedule(&mut self, at_us: u64, event: Event) {
        self.order += 1;
        let order = self.order;
        self.queue.push(Reverse(Queued { at_us, order, event }));
    }
}

/// The node of an index: ids as far apart as names make them.
fn node_of(index: usize) -> NodeId {
    NodeId((index as u32).wrapping_mul(0x9e37_79b9))
}

fn frame_bytes(talk: &Talk) -> u64 {
    let envelope = Envelope {
        epoch: RingEpoch {
            number: 1,
            hash: u64::MAX,
        },
        hlc: Hlc(u64::MAX),
        wall: Wall(1_790_000_000_000),
        session: u64::MAX,
        message: Message::Gossip(talk.clone()),
    };
    let mut frame = BytesMut::new();
    encode_frame(&envelope, &mut frame).expect("small");
    frame.len() as u64
}
