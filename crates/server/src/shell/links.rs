//! The way to each peer: which have a connection, what waits to be sent, and the faults that tests ask for.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use smallvec::SmallVec;
use tokio::sync::Notify;
use torc_core::id::{NodeId, OpId};
use torc_core::message::{Envelope, Message, Urgency};
use torc_core::random::Random;
use torc_core::time::Time;
use torc_core::wire::encode_frame;

/// What is written at once: a more urgent message waits for no more than this.
const SEGMENT_BYTES: usize = 128 << 10;
/// An answer to a read from here on is long: Torc is tuned for values under 10 KB.
const LONG_ANSWER_BYTES: usize = 16 << 10;
/// Reads of one peer that wait until earlier answers have left: as many as it ever has in flight.
const POSTPONED_MAX: usize = 16_384;
/// For so long. Whoever asked has gone on to other homes by then, and an envelope so old still carries a session token that
/// its sender accepts (`SESSION_ROTATION_MS` is a minute).
const POSTPONED_MS_MAX: u64 = 1_000;
/// Outcomes of forwarded commands up to here are queued whatever waits, like acknowledgements.
const SHORT_OUTCOME_BYTES: usize = 1 << 10;

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
    /// Reads of the peer that are answered once earlier answers have left.
    postponed: RefCell<VecDeque<(Time, Envelope)>>,
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

    /// True if reads of the peer wait for earlier answers to leave.
    pub fn has_postponed(&self) -> bool {
        !self.postponed.borrow().is_empty()
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
    /// Messages that found too long a queue: whoever waits for them is told `busy`.
    pub refused: u64,
    /// Reads of the peer that were answered later, because earlier answers had not left.
    pub postponed: u64,
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
    /// No connection to any of `peers` yet. More than `queue_bytes_max` unsent bytes end a connection; what clients cause is
    /// refused before.
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

    /// Queues a message for each of these nodes; it is encoded once. Tells those whose queue is too long for it, or all if it
    /// is too long for a frame.
    #[must_use]
    pub fn send(&mut self, to: &[NodeId], envelope: &Envelope) -> SmallVec<[NodeId; 3]> {
        let mut refused = SmallVec::new();
        self.scratch.clear();
        if let Err(error) = encode_frame(envelope, &mut self.scratch) {
            tracing::error!(%error, "a message could not be sent");
            return SmallVec::from_slice(to);
        }
        let urgency = envelope.message.urgency();
        let bytes_max = bytes_max(&envelope.message, self.scratch.len(), self.queue_bytes_max);
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
            // One message alone is always taken, or what is larger than the bound could never be sent.
            let queued = outgoing.len();
            if queued > 0 && bytes_max.is_some_and(|bytes_max| queued + self.scratch.len() > bytes_max) {
                link.stats.refused += 1;
                refused.push(*node);
                continue;
            }
            link.stats.messages += 1;
            link.stats.bytes += self.scratch.len() as u64;
            if let Some((least, most)) = self.faults.delay_ms {
                let delay = Duration::from_millis(least + self.random.below(most.saturating_sub(least) + 1));
                let (outgoing, frame) = (Rc::clone(outgoing), self.scratch.clone());
                tokio::task::spawn_local(async move {
                    tokio::time::sleep(delay).await;
                    outgoing.push(&frame, urgency);
                });
            } else if outgoing.push(&self.scratch, urgency) > self.queue_bytes_max && queued > 0 {
                tracing::warn!(
                    peer = node.0,
                    limit_bytes = self.queue_bytes_max,
                    "a peer takes its messages too slowly: its connection is made anew (limits.peer_queue_bytes_max)"
                );
                link.stats.overflows += 1;
                outgoing.close();
            }
        }
        refused
    }

    /// Keeps a peer's message for later if it is a read and earlier answers have not left, so that a client that asks for more than the
    /// connection takes waits, and nobody else; gives back what is to be handed on now.
    pub fn postpone(&mut self, from: NodeId, envelope: Envelope, now: Time) -> Postponed {
        let queue_bytes_max = self.queue_bytes_max;
        let link = self.links.get_mut(&from);
        let (
            Message::Read(read),
            Some(Link {
                outgoing: Some(outgoing),
                stats,
            }),
        ) = (&envelope.message, link)
        else {
            return Postponed::No(envelope);
        };
        let mut postponed = outgoing.postponed.borrow_mut();
        if postponed.is_empty() && !is_crowded(outgoing, queue_bytes_max) {
            return Postponed::No(envelope);
        }
        if postponed.len() >= POSTPONED_MAX {
            stats.refused += 1;
            return Postponed::Full(read.op, read.attempt);
        }
        stats.postponed += 1;
        postponed.push_back((now, envelope));
        Postponed::Yes
    }

    /// The next read of a peer that was postponed, once there is room for its answer or it has waited too long.
    pub fn next_postponed(&mut self, from: NodeId, now: Time) -> Option<Resumed> {
        let link = self.links.get_mut(&from)?;
        let outgoing = link.outgoing.as_ref()?;
        let mut postponed = outgoing.postponed.borrow_mut();
        let (since, oldest) = postponed.front()?;
        if since.ms_until(now) > POSTPONED_MS_MAX
            && let Message::Read(read) = &oldest.message
        {
            let late = Resumed::TooLate(read.op, read.attempt);
            postponed.pop_front();
            link.stats.refused += 1;
            return Some(late);
        }
        if is_crowded(outgoing, self.queue_bytes_max) {
            return None;
        }
        postponed.pop_front().map(|(_, envelope)| Resumed::Read(envelope))
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

/// What became of a read that may have to wait.
#[derive(Debug)]
pub enum Postponed {
    /// It may be answered now.
    No(Envelope),
    /// It is kept.
    Yes,
    /// Too many wait already: the operation that asked, and which of its reads it was, are to be refused.
    Full(OpId, u16),
}

/// A read that has waited.
#[derive(Debug, PartialEq)]
pub enum Resumed {
    /// It may be answered now.
    Read(Envelope),
    /// It has waited so long that the operation that asked, and which of its reads it was, are to be refused.
    TooLate(OpId, u16),
}

/// How long a queue may be, this message included; `None`: it is small or sent one at a time, and queued whatever waits.
/// Long answers to reads leave room for short ones and for writes, and these for what nodes say of themselves: no client can
/// fill a queue.
fn bytes_max(message: &Message, bytes: usize, queue_bytes_max: usize) -> Option<usize> {
    match message {
        Message::ReadReply(_) if bytes > LONG_ANSWER_BYTES => Some(queue_bytes_max / 4),
        // Repairs, which nobody waits for: what is not mended now is found by a comparison.
        Message::Write(write) if write.op.is_none() => Some(queue_bytes_max / 4),
        Message::Read(_) | Message::ReadReply(_) | Message::Write(_) | Message::Forward(_) => {
            Some(queue_bytes_max / 4 * 3)
        }
        Message::ForwardReply(_) if bytes > SHORT_OUTCOME_BYTES => Some(queue_bytes_max / 4 * 3),
        Message::WriteReply(_)
        | Message::ForwardReply(_)
        | Message::Refused(_)
        | Message::Boot(_)
        | Message::BootReply(_)
        | Message::Pull(_)
        | Message::PullReply(_)
        | Message::Pulse
        | Message::Gossip(_)
        | Message::Entropy(_)
        | Message::Reaping(_) => None,
    }
}

/// True if so much waits that the next read had better wait too: half of what answers to reads may take.
fn is_crowded(outgoing: &Outgoing, queue_bytes_max: usize) -> bool {
    outgoing.len() > queue_bytes_max / 8
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use torc_core::id::BucketId;
    use torc_core::keyspace::UpdateReply;
    use torc_core::message::{ForwardReply, Read, ReadAnswer, ReadReply, ReadWant, RingEpoch};
    use torc_core::outcome::{Answered, Outcome};
    use torc_core::storage::Range;
    use torc_core::time::{Hlc, Wall};

    use super::super::engine::without_answer;
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

    const QUEUE_BYTES_MAX: usize = 1 << 20;

    /// Links to one peer, and what waits to be written to it.
    fn linked() -> (Links, NodeId, Rc<Outgoing>) {
        let peer = NodeId(2);
        let mut links = Links::new([peer].into_iter(), QUEUE_BYTES_MAX, 1);
        let (outgoing, _) = links.connect(peer).expect("a member");
        (links, peer, outgoing)
    }

    fn envelope(message: Message) -> Envelope {
        Envelope {
            epoch: RingEpoch { number: 1, hash: 2 },
            hlc: Hlc(3),
            wall: Wall(4),
            session: 5,
            message,
        }
    }

    fn answer(bytes: usize) -> Envelope {
        let answer = ReadAnswer {
            complete_up_to: Some(Bytes::from(vec![7; bytes])),
            ..ReadAnswer::default()
        };
        envelope(Message::ReadReply(ReadReply {
            op: OpId(1),
            attempt: 0,
            answer,
        }))
    }

    fn read(op: u64, bytes: usize) -> Envelope {
        let range = Range {
            bucket: BucketId(1),
            start: Bytes::from(vec![7; bytes]),
            end: None,
        };
        let want = ReadWant::Range {
            range,
            records_max: 1,
            bytes_max: 1,
        };
        let (op, attempt) = (OpId(op), 0);
        envelope(Message::Read(Read { op, attempt, want }))
    }

    /// How long the queue is when the first of these is refused.
    fn filled(links: &mut Links, peer: NodeId, outgoing: &Outgoing, with: &Envelope) -> usize {
        for _ in 0..10_000 {
            if !links.send(&[peer], with).is_empty() {
                return outgoing.len();
            }
        }
        panic!("a client fills the queue");
    }

    /// A client's pipeline of reads of 100 KB closed the connection, and with it went the certainty of everybody's writes.
    #[test]
    fn long_answers_leave_room_for_short_ones_and_both_for_what_nodes_say_of_themselves() {
        let (mut links, peer, outgoing) = linked();
        let long = filled(&mut links, peer, &outgoing, &answer(100_000));
        assert!((QUEUE_BYTES_MAX / 8..=QUEUE_BYTES_MAX / 4).contains(&long), "{long}");
        let short = filled(&mut links, peer, &outgoing, &answer(1_000));
        assert!(
            (QUEUE_BYTES_MAX / 2..=QUEUE_BYTES_MAX / 4 * 3).contains(&short),
            "{short}"
        );
        assert_eq!(links.send(&[peer], &read(1, 1_000)).as_slice(), [peer], "reads neither");
        for _ in 0..100 {
            assert!(links.send(&[peer], &envelope(Message::Pulse)).is_empty());
        }
        assert!(!outgoing.closed.get());
        drain(&outgoing);
        assert!(links.send(&[peer], &answer(100_000)).is_empty(), "there is room again");
        let (_, _, stats, _) = links.stats().next().expect("a peer");
        assert_eq!((stats.refused, stats.overflows), (3, 0));
    }

    #[test]
    fn one_message_alone_is_taken_whatever_its_length() {
        let (mut links, peer, outgoing) = linked();
        assert!(links.send(&[peer], &answer(2 * QUEUE_BYTES_MAX)).is_empty());
        assert!(!outgoing.closed.get());
    }

    #[test]
    fn reads_of_a_peer_wait_in_order_while_earlier_answers_have_not_left() {
        let (mut links, peer, outgoing) = linked();
        let is_at_once = |links: &mut Links, op| matches!(links.postpone(peer, read(op, 1), Time(0)), Postponed::No(_));
        assert!(is_at_once(&mut links, 1));
        assert!(links.send(&[peer], &answer(QUEUE_BYTES_MAX / 7)).is_empty());
        assert!(!is_at_once(&mut links, 2) && !is_at_once(&mut links, 3));
        let other = envelope(Message::Pulse);
        assert!(
            matches!(links.postpone(peer, other, Time(0)), Postponed::No(_)),
            "nothing else waits"
        );
        assert_eq!(links.next_postponed(peer, Time(0)), None);
        drain(&outgoing);
        assert!(!is_at_once(&mut links, 4), "it does not pass those that wait");
        for op in [2, 3, 4] {
            assert_eq!(links.next_postponed(peer, Time(0)), Some(Resumed::Read(read(op, 1))));
        }
        assert_eq!(links.next_postponed(peer, Time(0)), None);
        assert!(is_at_once(&mut links, 5) && !outgoing.has_postponed());
    }

    #[test]
    fn too_many_reads_that_wait_are_refused() {
        let (mut links, peer, _outgoing) = linked();
        assert!(links.send(&[peer], &answer(QUEUE_BYTES_MAX / 7)).is_empty());
        for op in 0..POSTPONED_MAX as u64 {
            assert!(matches!(links.postpone(peer, read(op, 1), Time(0)), Postponed::Yes));
        }
        assert!(matches!(
            links.postpone(peer, read(7, 1), Time(0)),
            Postponed::Full(OpId(7), 0)
        ));
    }

    /// They were answered however late, at the cost of those that somebody still waited for.
    #[test]
    fn a_read_that_has_waited_for_a_second_is_refused_even_while_there_is_no_room() {
        let (mut links, peer, outgoing) = linked();
        assert!(links.send(&[peer], &answer(QUEUE_BYTES_MAX / 7)).is_empty());
        let at = |ms: u64| Time(ms * 1_000);
        for (op, ms) in [(1, 0), (2, 500)] {
            assert!(matches!(links.postpone(peer, read(op, 1), at(ms)), Postponed::Yes));
        }
        assert_eq!(links.next_postponed(peer, at(1_000)), None);
        let late = at(1_001);
        assert_eq!(links.next_postponed(peer, late), Some(Resumed::TooLate(OpId(1), 0)));
        assert_eq!(links.next_postponed(peer, late), None, "the other one may wait");
        drain(&outgoing);
        assert_eq!(links.next_postponed(peer, late), Some(Resumed::Read(read(2, 1))));
    }

    fn outcome(bytes: usize) -> Envelope {
        let reply = UpdateReply::Value(Some(Bytes::from(vec![7; bytes])));
        let outcome = Outcome::Updated(reply, Answered::default());
        envelope(Message::ForwardReply(ForwardReply { op: OpId(1), outcome }))
    }

    /// Updates that give back what was there, GETSET and GETDEL of long values, closed the connection.
    #[test]
    fn long_outcomes_of_forwarded_commands_leave_room_for_what_nodes_say_of_themselves() {
        let (mut links, peer, outgoing) = linked();
        let length = filled(&mut links, peer, &outgoing, &outcome(100_000));
        assert!(
            (QUEUE_BYTES_MAX / 2..=QUEUE_BYTES_MAX / 4 * 3).contains(&length),
            "{length}"
        );
        for _ in 0..100 {
            let unknown = envelope(Message::ForwardReply(without_answer(OpId(1))));
            assert!(
                links.send(&[peer], &unknown).is_empty(),
                "this one is in doubt, the others are not"
            );
        }
        assert!(!outgoing.closed.get());
    }
}
