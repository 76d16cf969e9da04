//! How each peer answers reads: its usual latency, how many reads it may have in flight, and whether it is asked at all.
//! A peer that is slow and not dead holds up everybody who waits for it: reads avoid it while enough others answer.
//! ```text
//! closed ──several reads and no answer at all──▶ open ──after a while──▶ probing ──answers──▶ closed
//!                                                 ▲                        │
//!                                                 └──── twice as long ─────┘
//! ```

use std::collections::{BTreeMap, VecDeque};

use crate::id::{NodeId, OpId};
use crate::limits::{PEER_READS_MAX, PEER_READS_MIN, PEER_READS_START, PEER_STALL_MS};
use crate::time::Time;

/// Unanswered reads that make a silence a stall: one or two may have been lost on their way.
const STALL_READS_MIN: usize = 3;
/// How long a circuit stays open at first, and at most.
const OPEN_MS_MIN: u64 = 500;
const OPEN_MS_MAX: u64 = 8_000;
/// A read that is this old is no longer counted as in flight.
const LOST_MS: u64 = 5_000;
/// An answer is slow if it takes longer than this, and this many times the least that the peer takes.
const SLOW_US_MIN: u64 = 20_000;
const SLOW_FACTOR: u64 = 8;
/// The limit is lowered by this, at most once in this time.
const DECREASE: f64 = 0.7;
const DECREASE_GAP_MS: u64 = 100;
/// The least latency is that of one or two of these.
const FLOOR_WINDOW_MS: u64 = 30_000;
/// How far one answer moves the 95th percentile.
const P95_STEP: f64 = 0.1;
const P95_START_US: f64 = 10_000.0;
const P95_US_MIN: f64 = 100.0;

/// What a circuit says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CircuitState {
    /// The peer is asked.
    Closed,
    /// It is avoided.
    Open,
    /// It is avoided but for one read, by whose answer it is judged.
    Probing,
}

impl CircuitState {
    /// Its name in `/v1/status`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::Probing => "probing",
        }
    }
}

/// What is known of a peer.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct CircuitView {
    /// Whether it is asked.
    pub state: CircuitState,
    /// Reads in flight.
    pub in_flight: usize,
    /// Most reads in flight.
    pub limit: usize,
    /// Nineteen of twenty reads are answered sooner, in microseconds.
    pub p95_us: u64,
    /// How often it was opened.
    pub opened: u64,
    /// Reads that avoided the peer.
    pub avoided: u64,
    /// The peer said of itself that its syncs are slow.
    pub says_slow: bool,
}

#[derive(Debug)]
struct Circuit {
    in_flight: VecDeque<(OpId, u16, Time)>,
    limit: f64,
    decreased_at: Time,
    answered_at: Time,
    p95_us: f64,
    floor_us: u64,
    floor_before_us: u64,
    floor_ends_at: Time,
    state: CircuitState,
    open_ms: u64,
    open_until: Time,
    opened: u64,
    avoided: u64,
    says_slow: bool,
}

impl Circuit {
    fn new(now: Time) -> Self {
        Self {
            in_flight: VecDeque::new(),
            limit: PEER_READS_START,
            decreased_at: Time(0),
            answered_at: now,
            p95_us: P95_START_US,
            floor_us: u64::MAX,
            floor_before_us: u64::MAX,
            floor_ends_at: now.plus_ms(FLOOR_WINDOW_MS),
            state: CircuitState::Closed,
            open_ms: OPEN_MS_MIN,
            open_until: now,
            opened: 0,
            avoided: 0,
            says_slow: false,
        }
    }

    /// The least latency known, in microseconds; 0 if none is.
    fn least_us(&self) -> u64 {
        let least = self.floor_us.min(self.floor_before_us);
        if least == u64::MAX { 0 } else { least }
    }

    fn stall_us(&self) -> u64 {
        (PEER_STALL_MS * 1_000).max(SLOW_FACTOR * self.least_us())
    }

    /// Notices what did not happen: answers.
    fn look(&mut self, now: Time) {
        while let Some(&(_, _, asked_at)) = self.in_flight.front()
            && now > asked_at.plus_ms(LOST_MS)
        {
            self.in_flight.pop_front();
        }
        let stall_us = self.stall_us();
        let is_over = |at: Time| now.0.saturating_sub(at.0) > stall_us;
        let asked = |index: usize| self.in_flight.get(index).is_some_and(|read| is_over(read.2));
        match self.state {
            CircuitState::Closed if asked(STALL_READS_MIN - 1) && is_over(self.answered_at) => self.open(now),
            CircuitState::Probing if asked(0) => {
                self.open_ms = (self.open_ms * 2).min(OPEN_MS_MAX);
                self.open(now);
            }
            CircuitState::Closed | CircuitState::Open | CircuitState::Probing => {}
        }
    }

    fn open(&mut self, now: Time) {
        self.state = CircuitState::Open;
        self.opened += 1;
        self.open_until = now.plus_ms(self.open_ms);
        self.limit = PEER_READS_MIN;
        // What comes late is not counted.
        self.in_flight.clear();
    }

    fn close(&mut self) {
        self.state = CircuitState::Closed;
        self.open_ms = OPEN_MS_MIN;
    }

    fn is_avoided(&mut self, now: Time) -> bool {
        self.look(now);
        let is_avoided = match self.state {
            CircuitState::Closed => self.says_slow || self.in_flight.len() >= self.limit as usize,
            CircuitState::Open if now >= self.open_until && !self.says_slow => {
                self.state = CircuitState::Probing;
                false
            }
            // Until the probe is on its way nobody has been asked.
            CircuitState::Probing => !self.in_flight.is_empty(),
            CircuitState::Open => true,
        };
        self.avoided += u64::from(is_avoided);
        is_avoided
    }

    fn on_answer(&mut self, took_us: u64, now: Time) {
        self.answered_at = now;
        if now >= self.floor_ends_at {
            self.floor_before_us = self.floor_us;
            self.floor_us = u64::MAX;
            self.floor_ends_at = now.plus_ms(FLOOR_WINDOW_MS);
        }
        self.floor_us = self.floor_us.min(took_us);
        let step = if took_us as f64 > self.p95_us {
            1.0 + 0.95 * P95_STEP
        } else {
            1.0 - 0.05 * P95_STEP
        };
        self.p95_us = (self.p95_us * step).max(P95_US_MIN);
        if took_us > SLOW_US_MIN.max(SLOW_FACTOR * self.least_us()) {
            if now >= self.decreased_at.plus_ms(DECREASE_GAP_MS) {
                self.decreased_at = now;
                self.limit = (self.limit * DECREASE).max(PEER_READS_MIN);
            }
        } else if (self.in_flight.len() + 1) as f64 * 2.0 > self.limit {
            // A limit that nobody comes near says nothing.
            self.limit = (self.limit + 8.0 / self.limit).min(PEER_READS_MAX);
        }
        if self.state == CircuitState::Probing {
            self.close();
        }
    }
}

/// The circuits of all peers.
#[derive(Debug, Default)]
pub struct Circuits {
    circuits: BTreeMap<NodeId, Circuit>,
}

impl Circuits {
    /// All closed.
    #[must_use]
    pub fn new(peers: impl Iterator<Item = NodeId>, now: Time) -> Self {
        Self {
            circuits: peers.map(|peer| (peer, Circuit::new(now))).collect(),
        }
    }

    /// True if a read should ask others instead, if these are enough. False of this node and of strangers.
    pub fn is_avoided(&mut self, node: NodeId, now: Time) -> bool {
        self.circuits
            .get_mut(&node)
            .is_some_and(|circuit| circuit.is_avoided(now))
    }

    /// A read was sent.
    pub fn on_asked(&mut self, node: NodeId, op: OpId, attempt: u16, now: Time) {
        if let Some(circuit) = self.circuits.get_mut(&node) {
            circuit.in_flight.push_back((op, attempt, now));
        }
    }

    /// Its answer came.
    pub fn on_answer(&mut self, node: NodeId, op: OpId, attempt: u16, now: Time) {
        let Some(circuit) = self.circuits.get_mut(&node) else {
            return;
        };
        let read = circuit
            .in_flight
            .iter()
            .position(|read| (read.0, read.1) == (op, attempt));
        if let Some((_, _, asked_at)) = read.and_then(|at| circuit.in_flight.remove(at)) {
            circuit.on_answer(now.0.saturating_sub(asked_at.0), now);
        }
    }

    /// The peer refused what an operation asked: it answers, but that says nothing of how soon it reads.
    pub fn on_refused(&mut self, node: NodeId, op: OpId, attempt: u16, now: Time) {
        if let Some(circuit) = self.circuits.get_mut(&node) {
            circuit
                .in_flight
                .retain(|read| read.0 != op || (attempt != 0 && read.1 != attempt));
            circuit.answered_at = now;
        }
    }

    /// The connection came or went: what was in flight is lost, and nothing is known of the new one.
    pub fn on_connection(&mut self, node: NodeId, now: Time) {
        if let Some(circuit) = self.circuits.get_mut(&node) {
            circuit.in_flight.clear();
            circuit.answered_at = now;
            circuit.close();
        }
    }

    /// What a peer says of itself.
    pub fn set_slow(&mut self, node: NodeId, says_slow: bool) {
        if let Some(circuit) = self.circuits.get_mut(&node) {
            circuit.says_slow = says_slow;
        }
    }

    /// True if a peer says of itself that its syncs are slow.
    #[must_use]
    pub fn says_slow(&self, node: NodeId) -> bool {
        self.circuits.get(&node).is_some_and(|circuit| circuit.says_slow)
    }

    /// How long a read waits for these before it asks one more, in microseconds: as long as the slowest of them usually
    /// takes at most.
    #[must_use]
    pub fn patience_us(&self, nodes: &[NodeId]) -> u64 {
        let of = |node| self.circuits.get(node).map_or(0.0, |circuit| circuit.p95_us);
        nodes.iter().map(of).fold(P95_US_MIN, f64::max) as u64
    }

    /// Looks at the peers that nobody asks.
    pub fn on_tick(&mut self, now: Time) {
        for circuit in self.circuits.values_mut() {
            circuit.look(now);
        }
    }

    /// Each peer's, by id.
    pub fn views(&self) -> impl Iterator<Item = (NodeId, CircuitView)> + '_ {
        self.circuits.iter().map(|(&node, circuit)| {
            let view = CircuitView {
                state: circuit.state,
                in_flight: circuit.in_flight.len(),
                limit: circuit.limit as usize,
                p95_us: circuit.p95_us as u64,
                opened: circuit.opened,
                avoided: circuit.avoided,
                says_slow: circuit.says_slow,
            };
            (node, view)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: NodeId = NodeId(1);

    fn circuits() -> Circuits {
        Circuits::new([PEER].into_iter(), Time(0))
    }

    fn view(circuits: &Circuits) -> CircuitView {
        circuits.views().next().expect("the peer").1
    }

    /// Reads one after another, each answered after `took_us`.
    fn reads(circuits: &mut Circuits, count: u64, took_us: u64, mut now: Time) -> Time {
        for read in 0..count {
            circuits.on_asked(PEER, OpId(read), 1, now);
            now = Time(now.0 + took_us);
            circuits.on_answer(PEER, OpId(read), 1, now);
        }
        now
    }

    #[test]
    fn a_peer_that_answers_nothing_is_avoided_and_one_that_loses_some_is_not() {
        let mut stalled = circuits();
        let mut now = reads(&mut stalled, 10, 1_000, Time(0));
        for op in 0..3 {
            stalled.on_asked(PEER, OpId(100 + op), 1, now);
        }
        assert!(!stalled.is_avoided(PEER, now.plus_ms(PEER_STALL_MS)));
        assert!(stalled.is_avoided(PEER, now.plus_ms(PEER_STALL_MS + 1)));
        assert_eq!(view(&stalled).opened, 1);

        let mut lossy = circuits();
        for op in 0..200 {
            lossy.on_asked(PEER, OpId(1_000 + op), 1, now);
            now = reads(&mut lossy, 4, 1_000, now);
        }
        assert!(!lossy.is_avoided(PEER, now));
        assert_eq!(view(&lossy).opened, 0, "a fifth of the answers never came");
    }

    #[test]
    fn an_open_circuit_lets_one_read_probe_and_an_answer_closes_it() {
        let mut circuits = circuits();
        for op in 0..3 {
            circuits.on_asked(PEER, OpId(op), 1, Time(0));
        }
        let opened_at = Time(0).plus_ms(PEER_STALL_MS + 1);
        assert!(circuits.is_avoided(PEER, opened_at));
        assert!(circuits.is_avoided(PEER, opened_at.plus_ms(OPEN_MS_MIN - 1)));
        let probed_at = opened_at.plus_ms(OPEN_MS_MIN);
        assert!(!circuits.is_avoided(PEER, probed_at), "this read probes it");
        circuits.on_asked(PEER, OpId(9), 1, probed_at);
        assert!(circuits.is_avoided(PEER, probed_at), "and no other");
        circuits.on_answer(PEER, OpId(9), 1, probed_at.plus_ms(1));
        assert!(!circuits.is_avoided(PEER, probed_at.plus_ms(1)));
    }

    #[test]
    fn a_probe_without_an_answer_doubles_the_time_up_to_a_bound() {
        let mut circuits = circuits();
        for op in 0..3 {
            circuits.on_asked(PEER, OpId(op), 1, Time(0));
        }
        let mut now = Time(0).plus_ms(PEER_STALL_MS + 1);
        assert!(circuits.is_avoided(PEER, now));
        let mut open_ms = OPEN_MS_MIN;
        for probe in 0..10 {
            assert!(circuits.is_avoided(PEER, now.plus_ms(open_ms - 1)));
            now = now.plus_ms(open_ms);
            assert!(!circuits.is_avoided(PEER, now));
            circuits.on_asked(PEER, OpId(10 + probe), 1, now);
            now = now.plus_ms(PEER_STALL_MS + 1);
            assert!(circuits.is_avoided(PEER, now));
            open_ms = (open_ms * 2).min(OPEN_MS_MAX);
        }
        assert_eq!(view(&circuits).opened, 11);
    }

    #[test]
    fn the_limit_of_a_peer_that_slows_down_falls_and_rises_again_with_use() {
        let mut circuits = circuits();
        let mut now = reads(&mut circuits, 100, 1_000, Time(0));
        let before = view(&circuits).limit;
        now = reads(&mut circuits, 50, 150_000, now);
        let slow = view(&circuits).limit;
        assert_eq!(slow, PEER_READS_MIN as usize, "from {before}");
        for op in 0..PEER_READS_MIN as u64 {
            circuits.on_asked(PEER, OpId(5_000 + op), 1, now);
        }
        assert!(circuits.is_avoided(PEER, now), "as many as it may have are in flight");
        for op in 0..2_000 {
            circuits.on_asked(PEER, OpId(6_000 + op), 1, now);
            now = Time(now.0 + 100);
            circuits.on_answer(PEER, OpId(6_000 + op), 1, now);
        }
        assert!(view(&circuits).limit > 2 * slow, "{}", view(&circuits).limit);
    }

    #[test]
    fn the_percentile_settles_where_one_answer_in_twenty_takes_longer() {
        let mut circuits = circuits();
        let mut now = Time(0);
        for op in 0..40_000_u64 {
            // 1 to 100 ms, each as often.
            let took_us = (op * 37 % 100 + 1) * 1_000;
            circuits.on_asked(PEER, OpId(op), 1, now);
            now = Time(now.0 + took_us);
            circuits.on_answer(PEER, OpId(op), 1, now);
        }
        let p95_us = circuits.patience_us(&[PEER]);
        assert!((85_000..=110_000).contains(&p95_us), "{p95_us}");
    }

    #[test]
    fn a_peer_that_says_that_its_syncs_are_slow_is_avoided_until_it_says_otherwise() {
        let mut circuits = circuits();
        circuits.set_slow(PEER, true);
        assert!(circuits.is_avoided(PEER, Time(0)) && circuits.says_slow(PEER));
        circuits.set_slow(PEER, false);
        assert!(!circuits.is_avoided(PEER, Time(0)));
        assert!(!circuits.is_avoided(NodeId(7), Time(0)), "nobody's circuit");
    }
}
