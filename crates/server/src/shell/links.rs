//! The way to each peer: which have a connection, what waits to be sent, and the faults that tests ask for.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::Notify;
use torc_core::id::NodeId;
use torc_core::message::Envelope;
use torc_core::random::Random;
use torc_core::wire::encode_frame;

/// What waits to be written to one connection. A turn's messages pile up here and leave in one write.
#[derive(Debug, Default)]
pub struct Outgoing {
    queue: RefCell<BytesMut>,
    written: Notify,
    closed: Cell<bool>,
}

impl Outgoing {
    /// Waits until there is something to write, and takes it; `None` once the connection is to be closed.
    pub async fn next(&self) -> Option<BytesMut> {
        loop {
            if self.closed.get() {
                return None;
            }
            let queue = std::mem::take(&mut *self.queue.borrow_mut());
            if !queue.is_empty() {
                return Some(queue);
            }
            self.written.notified().await;
        }
    }

    /// Gives back a buffer that was written, so that it is used again.
    pub fn recycle(&self, mut buffer: BytesMut) {
        const KEPT_BYTES_MAX: usize = 256 << 10;
        let mut queue = self.queue.borrow_mut();
        if queue.capacity() == 0 && buffer.capacity() <= KEPT_BYTES_MAX {
            buffer.clear();
            *queue = buffer;
        }
    }

    fn close(&self) {
        self.closed.set(true);
        self.written.notify_one();
    }

    fn push(&self, frame: &[u8]) -> usize {
        let mut queue = self.queue.borrow_mut();
        let was_empty = queue.is_empty();
        queue.extend_from_slice(frame);
        if was_empty {
            self.written.notify_one();
        }
        queue.len()
    }
}

/// Faults between nodes, for tests.
#[derive(Clone, Debug, Default)]
pub struct LinkFaults {
    /// Peers whose messages are dropped.
    pub cut: BTreeSet<NodeId>,
    /// Only those that this node sends.
    pub one_way: bool,
    /// The share of sent messages that is lost, 0 to 1.
    pub drop: f64,
    /// Sent messages are held back for a time between these, in milliseconds.
    pub delay_ms: Option<(u64, u64)>,
}

/// What is counted of a peer's connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinkStats {
    /// Connections made.
    pub connections: u64,
    /// Messages queued.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Messages that found no connection.
    pub unsent: u64,
    /// Connections given up because the peer took too little.
    pub overflows: u64,
}

#[derive(Debug)]
struct Link {
    outgoing: Option<Rc<Outgoing>>,
    stats: LinkStats,
}

/// The connections to all peers.
#[derive(Debug)]
pub struct Links {
    links: BTreeMap<NodeId, Link>,
    queue_bytes_max: usize,
    scratch: BytesMut,
    faults: LinkFaults,
    random: Random,
}

impl Links {
    /// No connection to any of `peers` yet. More than `queue_bytes_max` unsent bytes end a connection.
    pub fn new(peers: impl Iterator<Item = NodeId>, queue_bytes_max: usize, seed: u64) -> Self {
        let link = |id| {
            let outgoing = None;
            let stats = LinkStats::default();
            (id, Link { outgoing, stats })
        };
        Self {
            links: peers.map(link).collect(),
            queue_bytes_max,
            scratch: BytesMut::new(),
            faults: LinkFaults::default(),
            random: Random::new(seed),
        }
    }

    /// A connection came up; one that was there is closed. Returns what to write on the new one, and whether an old one
    /// was replaced; `None` if the node is no member.
    pub fn connect(&mut self, node: NodeId) -> Option<(Rc<Outgoing>, bool)> {
        let link = self.links.get_mut(&node)?;
        let outgoing = Rc::new(Outgoing::default());
        let replaced = link.outgoing.replace(Rc::clone(&outgoing));
        if let Some(old) = &replaced {
            old.close();
        }
        link.stats.connections += 1;
        Some((outgoing, replaced.is_some()))
    }

    /// A connection ended. True if it was the current one, so that the peer is now unreachable.
    pub fn disconnect(&mut self, node: NodeId, outgoing: &Rc<Outgoing>) -> bool {
        let Some(link) = self.links.get_mut(&node) else {
            return false;
        };
        let is_current = link
            .outgoing
            .as_ref()
            .is_some_and(|current| Rc::ptr_eq(current, outgoing));
        if is_current {
            link.outgoing = None;
        }
        is_current
    }

    /// Gives up a peer's connection, if there is one, so that it is made anew.
    pub fn renew(&mut self, node: NodeId) {
        if let Some(outgoing) = self.links.get(&node).and_then(|link| link.outgoing.as_ref()) {
            outgoing.close();
        }
    }

    /// Closes every connection.
    pub fn close(&mut self) {
        for link in self.links.values_mut() {
            if let Some(outgoing) = link.outgoing.take() {
                outgoing.close();
            }
        }
    }

    /// Queues a message for each of these nodes; it is encoded once.
    pub fn send(&mut self, to: &[NodeId], envelope: &Envelope) {
        self.scratch.clear();
        if let Err(error) = encode_frame(envelope, &mut self.scratch) {
            tracing::error!(%error, "a message could not be sent");
            return;
        }
        for node in to {
            if self.is_lost(*node) {
                continue;
            }
            let Some(link) = self.links.get_mut(node) else { continue };
            // One that was given up is still there until its task has noticed.
            let Some(outgoing) = link.outgoing.as_ref().filter(|outgoing| !outgoing.closed.get()) else {
                link.stats.unsent += 1;
                continue;
            };
            link.stats.messages += 1;
            link.stats.bytes += self.scratch.len() as u64;
            if let Some((least, most)) = self.faults.delay_ms {
                let delay = Duration::from_millis(least + self.random.below(most.saturating_sub(least) + 1));
                let (outgoing, frame) = (Rc::clone(outgoing), self.scratch.clone());
                tokio::task::spawn_local(async move {
                    tokio::time::sleep(delay).await;
                    outgoing.push(&frame);
                });
            } else if outgoing.push(&self.scratch) > self.queue_bytes_max {
                tracing::warn!(
                    peer = node.0,
                    limit_bytes = self.queue_bytes_max,
                    "a peer takes its messages too slowly: its connection is made anew (limits.peer_queue_bytes_max)"
                );
                link.stats.overflows += 1;
                outgoing.close();
            }
        }
    }

    /// True if a test wants messages from this node dropped.
    pub fn is_deaf_to(&self, node: NodeId) -> bool {
        !self.faults.one_way && self.faults.cut.contains(&node)
    }

    /// Replaces the faults.
    pub fn set_faults(&mut self, faults: LinkFaults) {
        self.faults = faults;
    }

    /// Every peer: whether it has a connection, its counters, and its unsent bytes.
    pub fn stats(&self) -> impl Iterator<Item = (NodeId, bool, LinkStats, usize)> {
        self.links.iter().map(|(&node, link)| {
            let queued = link
                .outgoing
                .as_ref()
                .map_or(0, |outgoing| outgoing.queue.borrow().len());
            (node, link.outgoing.is_some(), link.stats, queued)
        })
    }

    fn is_lost(&mut self, node: NodeId) -> bool {
        let LinkFaults { cut, drop, .. } = &self.faults;
        cut.contains(&node) || (*drop > 0.0 && self.random.below(1_000_000) < (drop * 1e6) as u64)
    }
}
