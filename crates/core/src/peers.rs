//! What this node knows of its peers: connections, liveness as the detector judges it, session tokens (RULINGS 24) and how
//! their clocks stand to ours (RULINGS 6).

use std::collections::BTreeMap;

use crate::forwards::ForwardsSeen;
use crate::id::{NodeId, OpId};
use crate::limits::{CLOCK_SKEW_MS_MAX, SESSION_ROTATION_MS};
use crate::liveness::Liveness;
use crate::random::Random;
use crate::time::{Now, Time};

/// How long one window of clock samples lasts, in milliseconds.
const CLOCK_WINDOW_MS: u64 = 20_000;

/// One peer.
#[derive(Debug, Default)]
struct Peer {
    connected: bool,
    /// Its words at its start came on this connection, and its disk is the one that it had or says durably that it is not.
    introduced: bool,
    /// It answers none of our probes, although others may hear it.
    unreachable: bool,
    liveness: Liveness,
    since: Time,
    session: u64,
    /// The highest (its wall − our monotonic), in milliseconds, of this window and the one before: the sample with the
    /// least delay in it.
    offset: Option<i64>,
    offset_before: Option<i64>,
}

impl Peer {
    fn is_up(&self) -> bool {
        self.connected && self.introduced && !self.unreachable && self.liveness == Liveness::Alive
    }
}

/// All peers, and the session tokens that this node issues.
#[derive(Debug)]
pub struct Peers {
    peers: BTreeMap<NodeId, Peer>,
    session: u64,
    session_before: u64,
    forwards: ForwardsSeen,
    rotate_at: Time,
    window_ends_at: Time,
}

impl Peers {
    /// All peers unconnected and not yet heard of, no tokens known.
    #[must_use]
    pub fn new(nodes: impl Iterator<Item = NodeId>, now: Now, random: &mut Random) -> Self {
        Self {
            peers: nodes.map(|node| (node, Peer::default())).collect(),
            session: random.next_u64(),
            session_before: 0,
            forwards: ForwardsSeen::default(),
            rotate_at: now.time.plus_ms(SESSION_ROTATION_MS),
            window_ends_at: now.time.plus_ms(CLOCK_WINDOW_MS),
        }
    }

    /// True if the node is a member.
    #[must_use]
    pub fn is_known(&self, node: NodeId) -> bool {
        self.peers.contains_key(&node)
    }

    /// True if the peer can be asked now: there is a connection, it has introduced itself, it is neither suspect nor dead,
    /// and answers this node.
    #[must_use]
    pub fn is_up(&self, node: NodeId) -> bool {
        self.peers.get(&node).is_some_and(Peer::is_up)
    }

    /// Peers that can be asked now, by id.
    pub fn up(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.peers.iter().filter(|peer| peer.1.is_up()).map(|peer| *peer.0)
    }

    /// True if a connection to the peer is up, whatever is believed of the peer.
    #[must_use]
    pub fn is_connected(&self, node: NodeId) -> bool {
        self.peers.get(&node).is_some_and(|peer| peer.connected)
    }

    /// Peers with a connection, by id.
    pub fn connected(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.peers.iter().filter(|peer| peer.1.connected).map(|peer| *peer.0)
    }

    /// What is believed of a node; `Dead` of one that is no member.
    #[must_use]
    pub fn liveness(&self, node: NodeId) -> Liveness {
        self.peers.get(&node).map_or(Liveness::Dead, |peer| peer.liveness)
    }

    /// Since when that is believed.
    #[must_use]
    pub fn since(&self, node: NodeId) -> Time {
        self.peers.get(&node).map_or(Time(0), |peer| peer.since)
    }

    /// Notes a connection that came or went.
    pub fn set_connected(&mut self, node: NodeId, connected: bool) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.connected = connected;
            peer.introduced = false;
        }
    }

    /// Notes whether it is known whose disk the peer works on.
    pub fn set_introduced(&mut self, node: NodeId, introduced: bool) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.introduced = introduced && peer.connected;
        }
    }

    /// True if it is known whose disk the peer works on: only then is it answered, and asked.
    #[must_use]
    pub fn is_introduced(&self, node: NodeId) -> bool {
        self.peers.get(&node).is_some_and(|peer| peer.introduced)
    }

    /// Notes whether a peer answers this node's probes.
    pub fn set_reachable(&mut self, node: NodeId, is_reachable: bool) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.unreachable = !is_reachable;
        }
    }

    /// Changes what is believed of a peer; says what was believed before if that was something else.
    pub fn set_liveness(&mut self, node: NodeId, liveness: Liveness, now: Time) -> Option<Liveness> {
        let peer = self.peers.get_mut(&node)?;
        if peer.liveness == liveness {
            return None;
        }
        peer.since = now;
        Some(std::mem::replace(&mut peer.liveness, liveness))
    }

    /// The token that this node issues now.
    #[must_use]
    pub fn session(&self) -> u64 {
        self.session
    }

    /// True if a write that carries `token` was started at most two rotations ago.
    #[must_use]
    pub fn accepts(&self, token: u64) -> bool {
        token == self.session || (token == self.session_before && token != 0)
    }

    /// Notes a forwarded command; true if it has not come before.
    pub fn note_forward(&mut self, from: NodeId, op: OpId) -> bool {
        self.forwards.note(from, op)
    }

    /// The token last heard from a peer; 0 if none was.
    #[must_use]
    pub fn session_of(&self, node: NodeId) -> u64 {
        self.peers.get(&node).map_or(0, |peer| peer.session)
    }

    /// Takes note of what an envelope says about its sender. True if it is the first that was heard of its clock.
    pub fn observe(&mut self, node: NodeId, session: u64, wall_ms: u64, now: Now) -> bool {
        let Some(peer) = self.peers.get_mut(&node) else {
            return false;
        };
        peer.session = session;
        let offset = wall_ms as i64 - (now.time.0 / 1_000) as i64;
        let is_first = peer.offset.is_none() && peer.offset_before.is_none();
        peer.offset = Some(peer.offset.map_or(offset, |known| known.max(offset)));
        is_first
    }

    /// How far our wall clock is off the median of all (ours included), in milliseconds; positive is ahead.
    #[must_use]
    pub fn clock_skew_ms(&self, now: Now) -> i64 {
        let mono_ms = (now.time.0 / 1_000) as i64;
        let wall_ms = now.wall.0 as i64;
        let theirs = self
            .peers
            .values()
            .filter_map(|peer| peer.offset.max(peer.offset_before));
        let mut skews: Vec<i64> = theirs.map(|offset| wall_ms - (mono_ms + offset)).chain([0]).collect();
        skews.sort_unstable();
        skews[skews.len() / 2]
    }

    /// True if this node's clock is near enough to its peers' for minting and expiring.
    #[must_use]
    pub fn is_clock_sound(&self, now: Now) -> bool {
        self.clock_skew_ms(now).unsigned_abs() <= CLOCK_SKEW_MS_MAX
    }

    /// Rotates the session token and the clock windows when they are due.
    pub fn on_tick(&mut self, now: Now, random: &mut Random) {
        if now.time >= self.rotate_at {
            // After a long pause both tokens are too old.
            let paused = now.time >= self.rotate_at.plus_ms(SESSION_ROTATION_MS);
            self.session_before = if paused { 0 } else { self.session };
            self.session = random.next_u64();
            self.forwards.rotate();
            self.rotate_at = now.time.plus_ms(SESSION_ROTATION_MS);
        }
        if now.time >= self.window_ends_at {
            for peer in self.peers.values_mut() {
                peer.offset_before = peer.offset.take();
            }
            self.window_ends_at = now.time.plus_ms(CLOCK_WINDOW_MS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Wall;

    #[test]
    fn a_peer_is_up_while_it_is_connected_and_not_suspect() {
        let mut peers = peers();
        let node = NodeId(1);
        assert_eq!(peers.liveness(node), Liveness::Suspect, "nothing was heard of it yet");
        peers.set_connected(node, true);
        assert!(!peers.is_up(node) && peers.is_connected(node));
        let before = peers.set_liveness(node, Liveness::Alive, Time(7));
        assert_eq!((before, peers.since(node)), (Some(Liveness::Suspect), Time(7)));
        assert!(!peers.is_up(node), "whose disk it works on is not known yet");
        peers.set_introduced(node, true);
        assert!(peers.is_up(node));
        assert_eq!(peers.set_liveness(node, Liveness::Alive, Time(9)), None);
        assert_eq!(peers.since(node), Time(7), "nothing has changed since");
        peers.set_connected(node, false);
        assert!(
            !peers.is_up(node),
            "a lost connection is noticed before the heartbeats are missed"
        );
        peers.set_connected(node, true);
        assert!(!peers.is_up(node), "it may have started anew in between");
    }

    fn now(ms: u64) -> Now {
        Now {
            time: Time(ms * 1_000),
            wall: Wall(1_000_000 + ms),
        }
    }

    fn peers() -> Peers {
        Peers::new([NodeId(1), NodeId(2)].into_iter(), now(0), &mut Random::new(1))
    }

    #[test]
    fn a_token_is_accepted_for_two_rotations_and_then_dropped() {
        let mut peers = peers();
        let token = peers.session();
        let mut random = Random::new(2);
        assert!(peers.accepts(token) && !peers.accepts(0));
        peers.on_tick(now(SESSION_ROTATION_MS), &mut random);
        assert!(peers.accepts(token));
        peers.on_tick(now(2 * SESSION_ROTATION_MS), &mut random);
        assert!(!peers.accepts(token));
    }

    #[test]
    fn a_node_that_slept_over_two_rotations_accepts_no_old_token() {
        let mut peers = peers();
        let token = peers.session();
        peers.on_tick(now(5 * SESSION_ROTATION_MS), &mut Random::new(2));
        assert!(!peers.accepts(token));
    }

    #[test]
    fn the_odd_clock_of_three_is_the_one_that_is_unsound() {
        let mut mine_is_off = peers();
        mine_is_off.observe(NodeId(1), 5, 1_030_000, now(0));
        mine_is_off.observe(NodeId(2), 5, 1_030_100, now(0));
        assert!(!mine_is_off.is_clock_sound(now(1)));
        let mut theirs_is_off = peers();
        theirs_is_off.observe(NodeId(1), 5, 1_030_000, now(0));
        theirs_is_off.observe(NodeId(2), 5, 1_000_000, now(0));
        assert!(theirs_is_off.is_clock_sound(now(1)));
    }

    #[test]
    fn a_delayed_message_does_not_make_the_clock_look_off() {
        let mut peers = peers();
        for node in [NodeId(1), NodeId(2)] {
            peers.observe(node, 5, 1_000_000, now(0));
            peers.observe(node, 5, 1_000_001, now(60_000));
        }
        assert!(peers.is_clock_sound(now(60_000)));
    }
}
