//! Who is there, by gossip (DESIGN §6, RULINGS 26). Every period a node raises its own heartbeat, compares what it has
//! heard of the members with a few of them, drawn at random, and judges each by how long its heartbeat has stood still.
//! Suspects are probed, by this node and by others that it asks; one that two of them fail to reach is called dead, and
//! the word spreads. Steers routing alone: nothing irreversible follows from it, and it never says who owns what.

pub mod health;
pub mod member;
pub mod phi;
pub mod probes;
mod sending;
pub mod table;
pub mod talk;
#[cfg(test)]
mod tests;
pub mod watch;

use std::collections::VecDeque;

use smallvec::SmallVec;

use crate::gossip::health::LocalHealth;
use crate::gossip::member::{Load, MemberState, Witnesses};
use crate::gossip::phi::Phi;
use crate::gossip::probes::{Asker, Probes};
use crate::gossip::table::{Change, DIGEST_MEMBERS_MAX, Table};
use crate::gossip::talk::Talk;
use crate::gossip::watch::{FAILED_PROBES_MIN, Reason, Watch};
use crate::id::NodeId;
use crate::liveness::Liveness;
use crate::mutants::{Mutant, active};
use crate::random::Random;
use crate::time::Time;

/// How often a node raises its heartbeat, in milliseconds.
pub const PERIOD_MS: u64 = 1_000;
/// Members that get a digest in a period, and of how many members one more does: a digest tells of 64, so that without
/// this what large clusters know of a member would be ever older.
const FANOUT_MIN: usize = 3;
const MEMBERS_A_FANOUT: usize = 400;
/// Members that are told at once of what can't wait for a period; the others hear of it by gossip.
const ANNOUNCED_MAX: usize = 64;
/// The share of comparisons that are expected to come to an end, although each takes three messages.
const EXCHANGES_DONE: f64 = 0.65;
/// A node whose period begins later than this stood still.
const LATE_MS_MAX: u64 = PERIOD_MS / 2;
/// An answer to a probe that takes longer comes too late.
const PROBE_MS_MAX: u64 = PERIOD_MS - 100;
/// For how many periods a failed probe is evidence (RULINGS 26).
const EVIDENCE_PERIODS: u64 = 3;

/// What gossip asks of the node.
#[derive(Clone, PartialEq, Debug)]
pub enum Output {
    /// Say this.
    Send {
        /// To whom.
        to: SmallVec<[NodeId; 3]>,
        /// What.
        talk: Talk,
    },
    /// Something else is believed of a member.
    Liveness {
        /// Whom.
        node: NodeId,
        /// Before.
        from: Liveness,
        /// Now.
        to: Liveness,
        /// Why.
        reason: Reason,
    },
    /// A member answers none of this node's probes, whatever others hear of it; or does so again.
    Reachable {
        /// Whom.
        node: NodeId,
        /// It answers.
        is_reachable: bool,
    },
    /// There is nobody to ask about a silent member: its connection must be made anew, so that a broken one is not taken
    /// for a broken node.
    Reconnect {
        /// Whom.
        node: NodeId,
    },
}

/// See the module.
#[derive(Debug)]
pub struct Gossip {
    table: Table,
    /// In the order of the table; this node's own is not used.
    watches: Vec<Watch>,
    connected: Vec<bool>,
    said_at: Vec<Time>,
    probes: Probes,
    health: LocalHealth,
    /// Heartbeats by which what one member has heard of another is usually behind what a third has.
    behind_max: u64,
    random: Random,
    next_at: Time,
    /// Added to heartbeats to name questions, so that no answer to an earlier boot is taken for one to this.
    salt: u64,
    next_nonce: u64,
    /// Where the search for members that were not heard directly goes on.
    turn: usize,
    out: VecDeque<Output>,
}

impl Gossip {
    /// A node that has just started and has heard of nobody.
    #[must_use]
    pub fn new(own: NodeId, boot: u64, members: impl Iterator<Item = NodeId>, seed: u64, now: Time) -> Self {
        let mut random = Random::new(seed);
        let table = Table::new(own, boot, members);
        let count = table.len();
        let watch = Watch::new(expected(count), now);
        Self {
            table,
            watches: vec![watch; count],
            connected: vec![false; count],
            said_at: vec![Time(0); count],
            probes: Probes::default(),
            health: LocalHealth::default(),
            behind_max: (8.0 * (expected_ms(count) / PERIOD_MS as f64).powi(2)) as u64,
            salt: random.next_u64(),
            next_nonce: random.next_u64(),
            // Nodes that started together do not speak together for ever.
            next_at: now.plus_ms(random.below(PERIOD_MS / 4)),
            turn: 0,
            random,
            out: VecDeque::new(),
        }
    }

    /// When the next period begins.
    #[must_use]
    pub fn next_deadline(&self) -> Time {
        self.next_at
    }

    /// What it asks of the node; to be drained after each call.
    pub fn take(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// What is said of a member; `None` of one that is none.
    #[must_use]
    pub fn state(&self, node: NodeId) -> Option<&MemberState> {
        self.table.index_of(node).map(|index| self.table.state(index))
    }

    /// What is believed of a member; `Dead` of one that is none.
    #[must_use]
    pub fn liveness(&self, node: NodeId) -> Liveness {
        let index = self.table.index_of(node);
        index.map_or(Liveness::Dead, |index| {
            if index == self.table.own() {
                Liveness::Alive
            } else {
                self.watches[index].liveness()
            }
        })
    }

    /// When this node last sent a digest to a member.
    #[must_use]
    pub fn said_at(&self, node: NodeId) -> Time {
        self.table.index_of(node).map_or(Time(0), |index| self.said_at[index])
    }

    /// How much less than usual this node trusts its suspicions: 1 is full trust.
    #[must_use]
    pub fn patience(&self) -> f64 {
        self.health.patience()
    }

    /// Must be called before everything else of a step: notices that this node stood still, in which time nobody was
    /// silent but itself.
    pub fn enter(&mut self, now: Time) {
        let has_begun = self.table.state(self.table.own()).heartbeat > 0;
        if has_begun && now > self.next_at.plus_ms(LATE_MS_MAX) && !active(Mutant::PauseIsSilence) {
            let gap_ms = self.next_at.ms_until(now);
            for watch in &mut self.watches {
                watch.forgive(gap_ms, now);
            }
            self.probes.forget();
            self.health.on_paused();
            self.next_at = now;
        }
    }

    /// This node's boot number has become known to be higher.
    pub fn raise_boot(&mut self, boot: u64) {
        self.table.raise_boot(boot);
    }

    /// A connection came up or went away.
    pub fn on_connection(&mut self, node: NodeId, is_up: bool, now: Time) {
        let Some(index) = self.peer(node) else { return };
        self.connected[index] = is_up;
        if is_up {
            self.on_direct(node, now);
            self.send_digest(&[index], now);
        }
    }

    /// There is a connection that has been there for long: nothing is to be said at once.
    pub fn connect_quietly(&mut self, node: NodeId) {
        if let Some(index) = self.peer(node) {
            self.connected[index] = true;
        }
    }

    /// Anything came from a member.
    pub fn on_direct(&mut self, node: NodeId, now: Time) {
        let Some(index) = self.peer(node) else { return };
        self.watch(index, |watch| watch.on_direct(now));
    }

    /// A member says something about who is there.
    pub fn on_talk(&mut self, from: NodeId, talk: Talk, now: Time) {
        let Some(index) = self.peer(from) else { return };
        match talk {
            Talk::Digest { own, members } => {
                self.merge(&own, now);
                self.answer(from, &members);
            }
            Talk::Delta { states, wanted } => {
                for state in states.iter().take(DIGEST_MEMBERS_MAX + 1) {
                    self.merge(state, now);
                }
                if !wanted.is_empty() {
                    let states = self.table.tell(&wanted);
                    let wanted = Vec::new();
                    self.send(&[from], Talk::Delta { states, wanted });
                }
            }
            Talk::Probe { nonce } => {
                let own = *self.table.state(self.table.own());
                self.send(&[from], Talk::ProbeReply { nonce, own });
            }
            Talk::ProbeReply { nonce, own } => {
                self.merge(&own, now);
                let Some(probe) = self.probes.on_reply(from, nonce) else {
                    return;
                };
                self.watch(index, |watch| watch.on_answered(now));
                if let Asker::Other(asker, nonce) = probe.asker {
                    self.report(asker, from, nonce, true);
                }
            }
            Talk::ProbeFor { node, nonce } => self.probe_for(from, node, nonce, now),
            Talk::ProbeReport {
                node,
                nonce,
                is_reached,
            } => self.on_report(from, node, nonce, is_reached, now),
        }
    }

    /// Begins a period if it is time.
    pub fn on_tick(&mut self, load: Load, now: Time) {
        if now < self.next_at {
            return;
        }
        self.next_at = now.plus_ms(PERIOD_MS);
        let unanswered = self.take_failed_probes(now);
        self.health.on_period(self.table.len() - 1, unanswered);
        self.table.beat(load);
        let patience = self.health.patience();
        for index in 0..self.watches.len() {
            if index != self.table.own() {
                let called_dead = self.table.state(index).death;
                self.watch(index, |watch| watch.on_period(now, patience, called_dead));
            }
        }
        self.judge_suspects(now);
        self.send_probes(now);
        self.send_digests(now);
    }

    /// Says at once how busy this node is, to those that it can.
    pub fn announce(&mut self, load: Load, now: Time) {
        self.table.beat(load);
        let own = self.table.own();
        let can_hear = |&index: &usize| index != own && self.connected[index];
        let targets: Vec<usize> = (0..self.table.len()).filter(can_hear).take(ANNOUNCED_MAX).collect();
        if !targets.is_empty() {
            self.send_digest(&targets, now);
        }
    }

    /// Calls those dead that two failed to reach, or that nobody else can be asked about.
    fn judge_suspects(&mut self, now: Time) {
        let recent_ms = EVIDENCE_PERIODS * PERIOD_MS;
        for index in 0..self.watches.len() {
            if index == self.table.own() || self.watches[index].liveness() != Liveness::Suspect {
                continue;
            }
            let own = self.table.state(self.table.own()).node;
            if active(Mutant::DeadOnOneSource) && self.watches[index].failed_probes() >= FAILED_PROBES_MIN {
                let second = own;
                self.call_dead(index, Witnesses { first: own, second }, now);
            } else if let Some(second) = self.watches[index].second_source(now, recent_ms)
                && self.is_trusted(second)
            {
                self.call_dead(index, Witnesses { first: own, second }, now);
            } else if !self.has_helper(index) {
                if self.connected[index] && self.watches[index].take_reconnect() {
                    let node = self.table.state(index).node;
                    self.out.push_back(Output::Reconnect { node });
                }
                if self.watches[index].is_lost_alone(now, recent_ms) {
                    let silence_ms = self.watches[index].silence_ms(now);
                    self.watch(index, |watch| watch.die(now, Reason::Alone { silence_ms }));
                }
            }
        }
    }

    fn call_dead(&mut self, index: usize, witnesses: Witnesses, now: Time) {
        self.table.call_dead(index, witnesses);
        self.watch(index, |watch| watch.die(now, Reason::Witnessed(witnesses)));
    }

    /// A second source counts while it is not suspect itself.
    fn is_trusted(&self, node: NodeId) -> bool {
        self.peer(node)
            .is_some_and(|index| self.watches[index].liveness() == Liveness::Alive)
    }

    /// True if there is somebody to ask about a suspect.
    fn has_helper(&self, suspect: usize) -> bool {
        (0..self.watches.len()).any(|index| index != suspect && self.can_help(index))
    }

    fn can_help(&self, index: usize) -> bool {
        let watch = &self.watches[index];
        index != self.table.own()
            && watch.liveness() == Liveness::Alive
            && self.connected[index]
            && watch.is_reachable()
    }

    fn merge(&mut self, said: &MemberState, now: Time) {
        let Some(change) = self.table.merge(said) else { return };
        let Some(index) = self.peer(said.node) else { return };
        match change {
            Change::Rose => self.watch(index, |watch| watch.on_rose(now)),
            Change::Returned => self.watch(index, |watch| watch.on_returned(now)),
            Change::CalledDead { witnesses, behind } => {
                let is_latest = behind <= self.behind_max;
                self.watch(index, |watch| watch.on_called_dead(witnesses, is_latest, now));
            }
        }
    }

    fn on_report(&mut self, from: NodeId, node: NodeId, nonce: u64, is_reached: bool, now: Time) {
        let Some(index) = self.peer(node) else { return };
        let heartbeat = self.table.state(self.table.own()).heartbeat;
        let age = heartbeat.wrapping_sub(nonce.wrapping_sub(self.salt));
        if age <= EVIDENCE_PERIODS && from != node {
            self.watch(index, |watch| watch.on_report(from, is_reached, now));
        }
    }

    /// Changes what is known of a member, and says so if that changes what is believed.
    fn watch(&mut self, index: usize, change: impl FnOnce(&mut Watch)) {
        let watch = &mut self.watches[index];
        let (before, was_reachable) = (watch.liveness(), watch.is_reachable());
        change(watch);
        let node = self.table.state(index).node;
        let is_reachable = watch.is_reachable();
        if is_reachable != was_reachable {
            self.out.push_back(Output::Reachable { node, is_reachable });
        }
        let after = watch.liveness();
        if after != before {
            self.out.push_back(Output::Liveness {
                node,
                from: before,
                to: after,
                reason: watch.reason(),
            });
        }
    }

    /// Where another member is; `None` for this node and strangers.
    fn peer(&self, node: NodeId) -> Option<usize> {
        self.table.index_of(node).filter(|&index| index != self.table.own())
    }

    fn send(&mut self, to: &[NodeId], talk: Talk) {
        let to = to.iter().copied().collect();
        self.out.push_back(Output::Send { to, talk });
    }
}

/// The intervals to expect, and the chance that a period brings no news of a given member: in each a node compares its
/// table with a few members that it draws and with about as many that draw it, and a digest tells of 64 in all.
fn expected(members: usize) -> Phi {
    let missed = missed_share(members);
    let deviation = PERIOD_MS as f64 * missed.sqrt() / (1.0 - missed);
    Phi::expecting(expected_ms(members), deviation.max(PERIOD_MS as f64 / 2.0))
}

fn expected_ms(members: usize) -> f64 {
    PERIOD_MS as f64 / (1.0 - missed_share(members))
}

fn fanout(members: usize) -> usize {
    FANOUT_MIN + members / MEMBERS_A_FANOUT
}

fn missed_share(members: usize) -> f64 {
    let told = (DIGEST_MEMBERS_MAX as f64 / members as f64).min(1.0) * EXCHANGES_DONE;
    (0..2 * fanout(members)).fold(1.0, |missed, _| missed * (1.0 - told))
}
