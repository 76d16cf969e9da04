//! Whom gossip speaks to: digests to members drawn at random, probes to those that are late, questions about suspects.

use crate::gossip::member::Version;
use crate::gossip::probes::{Asker, Probe};
use crate::gossip::talk::Talk;
use crate::gossip::{Gossip, PERIOD_MS, PROBE_MS_MAX, fanout};
use crate::id::NodeId;
use crate::liveness::Liveness;
use crate::time::Time;

/// Probes of late members and suspects in a period.
const PROBES_A_PERIOD: usize = 32;
/// Suspects that others are asked about in a period, and how many others.
const SUSPECTS_ASKED_ABOUT: usize = 8;
const HELPERS: usize = 3;
/// A member that was not heard directly for so long is probed, at most so many in a period: others may hear it although
/// this node can't. Idle nodes say something every five seconds.
const DIRECT_SILENCE_MS_MAX: u64 = 8_000;
const DIRECT_PROBES: usize = 4;
/// How often in a hundred periods one of the dead is told so, in case that it is not.
const DEAD_TOLD_PERCENT: u64 = 50;

impl Gossip {
    /// Compares the table with a few members.
    pub(super) fn send_digests(&mut self, now: Time) {
        let mut targets = self.draw(fanout(self.table.len()), |gossip, index| {
            gossip.watches[index].liveness() != Liveness::Dead && gossip.connected[index]
        });
        if self.random.chance(DEAD_TOLD_PERCENT, 100) {
            targets.extend(self.draw(1, |gossip, index| {
                gossip.watches[index].liveness() == Liveness::Dead && gossip.connected[index]
            }));
        }
        if !targets.is_empty() {
            self.send_digest(&targets, now);
        }
    }

    /// Sends a digest to members.
    pub(super) fn send_digest(&mut self, targets: &[usize], now: Time) {
        let mut members = self.table.digest(&mut self.random);
        let own = *self.table.state(self.table.own());
        members.retain(|entry| entry.0 != own.node);
        let nodes: Vec<NodeId> = targets.iter().map(|&index| self.table.state(index).node).collect();
        for &index in targets {
            self.said_at[index] = now;
        }
        self.send(&nodes, Talk::Digest { own, members });
    }

    /// Answers a digest with what is newer here.
    pub(super) fn answer(&mut self, from: NodeId, members: &[(NodeId, Version)]) {
        let own = self.table.state(self.table.own()).node;
        if let Some((_, version)) = members.iter().find(|entry| entry.0 == own) {
            self.table.refute(*version);
        }
        let (states, wanted) = self.table.compare(members);
        self.send(&[from], Talk::Delta { states, wanted });
    }

    /// Probes whoever is late, and asks others about suspects.
    pub(super) fn send_probes(&mut self, now: Time) {
        let count = self.watches.len();
        let (mut probed, mut direct, mut asked) = (0, 0, 0);
        // Not always the same ones first, if there are too many.
        self.turn = (self.turn + 1) % count;
        for step in 0..count {
            let index = (self.turn + step) % count;
            let watch = &self.watches[index];
            if index == self.table.own() || watch.liveness() == Liveness::Dead {
                continue;
            }
            let is_suspect = watch.liveness() == Liveness::Suspect;
            let has_failed = watch.failed_probes() > 0;
            if watch.wants_probe(now) {
                if probed < PROBES_A_PERIOD {
                    probed += 1;
                    self.probe(index, Asker::Own, now);
                }
                if is_suspect && has_failed && asked < SUSPECTS_ASKED_ABOUT {
                    asked += 1;
                    self.ask_helpers(index);
                }
            } else if direct < DIRECT_PROBES
                && self.connected[index]
                && watch.direct_at().ms_until(now) >= DIRECT_SILENCE_MS_MAX
            {
                direct += 1;
                self.probe(index, Asker::Own, now);
            }
        }
    }

    /// Another node asks whether a member can be reached from here.
    pub(super) fn probe_for(&mut self, asker: NodeId, node: NodeId, nonce: u64, now: Time) {
        let Some(index) = self.peer(node) else { return };
        if self.watches[index].direct_at().ms_until(now) <= PERIOD_MS && self.connected[index] {
            self.report(asker, node, nonce, true);
        } else {
            self.probe(index, Asker::Other(asker, nonce), now);
        }
    }

    pub(super) fn report(&mut self, asker: NodeId, node: NodeId, nonce: u64, is_reached: bool) {
        let report = Talk::ProbeReport {
            node,
            nonce,
            is_reached,
        };
        self.send(&[asker], report);
    }

    /// Takes the probes that were not answered; returns of how many members.
    pub(super) fn take_failed_probes(&mut self, now: Time) -> usize {
        let mut unanswered = 0;
        while let Some(Probe { node, asker, .. }) = self.probes.pop_failed(now) {
            match asker {
                Asker::Own => {
                    unanswered += 1;
                    if let Some(index) = self.peer(node) {
                        self.watch(index, |watch| watch.on_probe_failed(now));
                    }
                }
                Asker::Other(asker, nonce) => self.report(asker, node, nonce, false),
            }
        }
        unanswered
    }

    /// Without a connection nothing is sent, and the probe fails in its time.
    fn probe(&mut self, index: usize, asker: Asker, now: Time) {
        let node = self.table.state(index).node;
        if !self.probes.has_room() || self.probes.is_asking(node, asker) {
            return;
        }
        self.next_nonce = self.next_nonce.wrapping_add(1);
        let nonce = self.next_nonce;
        self.probes.insert(Probe {
            node,
            asker,
            nonce,
            until: now.plus_ms(PROBE_MS_MAX),
        });
        if self.connected[index] {
            self.send(&[node], Talk::Probe { nonce });
        }
    }

    fn ask_helpers(&mut self, suspect: usize) {
        let helpers = self.draw(HELPERS, |gossip, index| index != suspect && gossip.can_help(index));
        if helpers.is_empty() {
            return;
        }
        let node = self.table.state(suspect).node;
        let heartbeat = self.table.state(self.table.own()).heartbeat;
        let nonce = self.salt.wrapping_add(heartbeat);
        let helpers: Vec<NodeId> = helpers.iter().map(|&index| self.table.state(index).node).collect();
        self.send(&helpers, Talk::ProbeFor { node, nonce });
    }

    /// Other members drawn at random from those that fit. Tries at random while most fit, else looks at all.
    fn draw(&mut self, wanted: usize, fits: impl Fn(&Self, usize) -> bool) -> Vec<usize> {
        let count = self.watches.len();
        let mut drawn = Vec::with_capacity(wanted);
        if count > 8 * wanted {
            for _ in 0..4 * wanted {
                let index = self.random.below(count as u64) as usize;
                if index != self.table.own() && !drawn.contains(&index) && fits(self, index) {
                    drawn.push(index);
                    if drawn.len() == wanted {
                        return drawn;
                    }
                }
            }
            drawn.clear();
        }
        let mut fitting: Vec<usize> = (0..count)
            .filter(|&index| index != self.table.own() && fits(self, index))
            .collect();
        for chosen in 0..wanted.min(fitting.len()) {
            let other = chosen + self.random.below((fitting.len() - chosen) as u64) as usize;
            fitting.swap(chosen, other);
            drawn.push(fitting[chosen]);
        }
        drawn
    }
}
