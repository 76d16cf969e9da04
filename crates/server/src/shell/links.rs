//! The way to each peer: which have a connection, what waits to be sent, and the faults that tests ask for.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::Notify;
use torc_core::id::NodeId;
use torc_core::message::{Envelope, Urgency};
use torc_core::random::Random;
use torc_core::wire::encode_frame;

/// What is written at once: a more urgent message waits for no more than this.
const SEGMENT_BYTES: usize = 128 << 10;

/// Whole frames of one urgency, in order.
#[derive(Debug, Default)]
struct Lane {
    segments: VecDeque<BytesMut>,
    bytes: usize,
}

/// What waits to be written to one connection. A turn's messages pile up here and leave in one write, the urgent ones
/// first.
#[derive(Debug, Default)]
pub struct Outgoing {
    lanes: RefCell<[Lane; Urgency::COUNT]>,
    /// A buffer that was written, for the next segment.
    spare: RefCell<Option<BytesMut>>,
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
            let next = self.take();
            if next.is_some() {
                return next;
            }
            self.written.notified().await;
        }
    }

    /// Gives back a buffer that was written, so that it is used again.
    pub fn recycle(&self, mut buffer: BytesMut) {
        const KEPT_BYTES_MAX: usize = 256 << 10;
        if buffer.capacity() <= KEPT_BYTES_MAX {
            buffer.clear();
            *self.spare.borrow_mut() = Some(buffer);
        }
    }

    /// What is to be written next: the most urgent, and of the others what fits into the same write.
    fn take(&self) -> Option<BytesMut> {
        let mut next: Option<BytesMut> = None;
        for lane in self.lanes.borrow_mut().iter_mut() {
            while let Some(segment) = lane.segments.front() {
                match &mut next {
                    Some(next) if next.len() + segment.len() > SEGMENT_BYTES => break,
                    Some(next) => {
                        next.extend_from_slice(segment);
                        lane.bytes -= segment.len();
                        lane.segments.pop_front();
                    }
                    None => {
                        lane.bytes -= segment.len();
                        next = lane.segments.pop_front();
                    }
                }
            }
        }
        next
    }

    /// Bytes that wait.
    fn len(&self) -> usize {
        self.lanes.borrow().iter().map(|lane| lane.bytes).sum()
    }

    fn close(&self) {
        self.closed.set(true);
        self.written.notify_one();
    }

    fn push(&self, frame: &[u8], urgency: Urgency) -> usize {
        let was_empty = self.len() == 0;
        let mut lanes = self.lanes.borrow_mut();
        let lane = &mut lanes[urgency as usize];
        match lane.segments.back_mut() {
            Some(last) if last.len() < SEGMENT_BYTES => last.extend_from_slice(frame),
            Some(_) | None => {
                let mut segment = self.spare.borrow_mut().take().unwrap_or_default();
                segment.extend_from_slice(frame);
                lane.segments.push_back(segment);
            }
        }
        lane.bytes += frame.len();
        drop(lanes);
        if was_empty {
            self.written.notify_one();
        }
        self.len()
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
        let urgency = envelope.message.urgency();
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
                    outgoing.push(&frame, urgency);
                });
            } else if outgoing.push(&self.scratch, urgency) > self.queue_bytes_max {
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
            let queued = link.outgoing.as_ref().map_or(0, |outgoing| outgoing.len());
            (node, link.outgoing.is_some(), link.stats, queued)
        })
    }

    fn is_lost(&mut self, node: NodeId) -> bool {
        let LinkFaults { cut, drop, .. } = &self.faults;
        cut.contains(&node) || (*drop > 0.0 && self.random.below(1_000_000) < (drop * 1e6) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(outgoing: &Outgoing) -> Vec<u8> {
        let mut written = Vec::new();
        while outgoing.len() > 0 {
            let next = std::pin::pin!(outgoing.next());
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            match next.poll(&mut context) {
                std::task::Poll::Ready(Some(segment)) => written.extend_from_slice(&segment),
                other => panic!("{other:?}"),
            }
        }
        written
    }

    #[test]
    fn what_nodes_say_of_themselves_leaves_before_client_work_and_that_before_repair() {
        let outgoing = Outgoing::default();
        outgoing.push(b"repair", Urgency::Background);
        outgoing.push(b"client ", Urgency::Client);
        outgoing.push(b"more ", Urgency::Client);
        outgoing.push(b"gossip ", Urgency::Control);
        assert_eq!(outgoing.len(), 25);
        assert_eq!(drain(&outgoing), b"gossip client more repair");
    }

    #[test]
    fn a_frame_is_never_torn_by_a_more_urgent_one() {
        let outgoing = Outgoing::default();
        let large = vec![1_u8; 3 * SEGMENT_BYTES];
        outgoing.push(&large, Urgency::Client);
        outgoing.push(&[2; 10], Urgency::Client);
        outgoing.push(&[3; 5], Urgency::Control);
        let written = drain(&outgoing);
        assert_eq!(&written[..5], &[3; 5]);
        assert_eq!(&written[5..5 + large.len()], &large[..]);
        assert_eq!(&written[5 + large.len()..], &[2; 10]);
    }
}
