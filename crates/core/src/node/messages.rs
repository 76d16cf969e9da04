//! What peers say, and to which part of the node it goes.

use std::collections::BTreeSet;

use super::Node;
use crate::boot::Verdict;
use crate::bucket::StorageClass;
use crate::command::Command;
use crate::coordinator::validate::Plan;
use crate::coordinator::{Event, Origin, Place, forward, put};
use crate::effect::Notice;
use crate::id::{NodeId, OpId};
use crate::limits::TIMEOUT_MS_MAX;
use crate::message::{self, Envelope, Message, ReadAnswer, Refusal, WriteResult};
use crate::mutants::{Mutant, active};
use crate::replica::Asker;
use crate::storage::StoreOp;

/// Records of one page that a rebuilding peer is given.
const PULL_RECORDS_MAX: u32 = 1_000;
/// Payload bytes of one such page.
const PULL_BYTES_MAX: usize = 4 << 20;

impl Node {
    pub(super) fn on_message(&mut self, from: NodeId, envelope: Envelope) {
        let Envelope {
            epoch,
            hlc,
            wall,
            session,
            message,
        } = envelope;
        if !self.site.peers.is_known(from) {
            return;
        }
        let ours = self.site.ring.epoch();
        if epoch != ours && !active(Mutant::StaleEpochAccepted) {
            self.site.stats.wrong_epoch += 1;
            if epoch.number == ours.number {
                self.site.notice(Notice::RingConflict { node: from });
            }
            if let Some(op) = message.awaited_op() {
                self.site.refuse(from, op, message.attempt(), Refusal::WrongEpoch);
            } else if let Message::Refused(refused) = message
                && let Some(op) = refused.op
            {
                self.site
                    .notify(op, Event::Refused(from, refused.attempt, Refusal::WrongEpoch));
            }
            return;
        }
        self.site.observe_hlc(hlc);
        if self.site.peers.observe(from, session, wall.0, self.site.now) {
            // A node that starts with a wrong clock is to know it before it signs by it, not half a second later.
            self.site.judge_clock();
        }
        self.gossip.on_direct(from, self.site.now.time);
        if message.is_for_introduced() && !self.site.peers.is_introduced(from) {
            if let Some(op) = message.awaited_op() {
                self.site.refuse(from, op, message.attempt(), Refusal::Stranger);
            }
            return;
        }
        match message {
            Message::Read(read) => {
                let asker = Asker {
                    node: from,
                    op: read.op,
                    attempt: read.attempt,
                };
                self.read(asker, read.want);
            }
            Message::Write(write) => self.on_write(from, write),
            Message::ReadReply(reply) => {
                let now = self.site.now.time;
                self.site.circuits.on_answer(from, reply.op, reply.attempt, now);
                self.site
                    .notify(reply.op, Event::Read(from, reply.attempt, reply.answer));
            }
            Message::WriteReply(reply) => {
                if !self.hints.on_reply(from, &reply, &mut self.site) {
                    if matches!(reply.result, WriteResult::DiskFull | WriteResult::Failed) {
                        self.entropy.on_refused(from, reply.op, &mut self.site);
                    }
                    self.site
                        .notify(reply.op, Event::Wrote(from, reply.attempt, reply.result));
                }
            }
            Message::Forward(forward) => self.on_forward(from, forward),
            Message::ForwardReply(reply) => self.site.notify(reply.op, Event::Forwarded(from, reply.outcome)),
            Message::Refused(refused) => {
                if let Some(op) = refused.op {
                    self.on_refused(from, op, refused.attempt, refused.reason);
                }
            }
            Message::Boot(boot) => {
                let unsure_of = if boot.must_learn {
                    self.unsure_of()
                } else {
                    BTreeSet::new()
                };
                self.boots.on_boot(from, &boot, &unsure_of, &mut self.site);
            }
            Message::BootReply(reply) => {
                if let Some(reaped) = &reply.reaped
                    && self.boots.is_answer(&reply)
                {
                    self.quarantine.on_generations(from, reaped, &self.site);
                }
                if self.boots.on_reply(from, &reply, &mut self.site) == Verdict::Regressed {
                    self.rebuild_everything();
                    self.begin_settling();
                }
            }
            Message::Pull(pull) => {
                let class = self
                    .site
                    .bucket(pull.range.bucket)
                    .map_or(StorageClass::Disk, |bucket| bucket.storage);
                let bucket = pull.range.bucket;
                let (records_max, bytes_max) = (PULL_RECORDS_MAX, PULL_BYTES_MAX);
                let token = self.site.ask_store(StoreOp::Scan {
                    range: pull.range,
                    class,
                    records_max,
                    bytes_max,
                    may_wait: true,
                });
                self.pulls.insert(token, (from, pull.op, bucket));
            }
            Message::PullReply(reply) => {
                if self.rebuild.on_page(from, &reply, &mut self.site) {
                    self.site.stats.rebuilt_records += reply.records.len() as u64;
                    self.replica.merge_rebuilt(reply.records, &mut self.site);
                    // While clients wait, a page every half second is enough.
                    if !self.admission.is_pressed(self.site.now.time) {
                        self.go_on_rebuilding();
                    }
                }
            }
            Message::Pulse => {}
            Message::Entropy(talk) => self.entropy.on_talk(from, talk, &mut self.site),
            Message::Reaping(talk) => self.on_reap_talk(from, talk),
            Message::Gossip(talk) => {
                self.site.stats.gossip_messages += 1;
                self.gossip.on_talk(from, talk, self.site.now.time);
                self.note_load(from);
            }
        }
    }

    /// Nothing was done with what an operation has asked of a peer.
    pub(super) fn on_refused(&mut self, from: NodeId, op: OpId, attempt: u16, reason: Refusal) {
        if !self.hints.on_refused(from, op, &mut self.site) {
            self.site.circuits.on_refused(from, op, attempt, self.site.now.time);
            self.rebuild.on_refused(from, op);
            self.entropy.on_refused(from, op, &mut self.site);
            self.site.notify(op, Event::Refused(from, attempt, reason));
        }
    }

    /// Asks what of a key this node holds: its own copy, or what it keeps for others.
    pub(super) fn read(&mut self, asker: Asker, want: message::ReadWant) {
        match &want {
            message::ReadWant::Records(keys) if keys.iter().any(|key| !self.site.is_home(key)) => {
                let answer = ReadAnswer {
                    records: self.hints.read(keys),
                    ..ReadAnswer::default()
                };
                let Asker { node, op, attempt } = asker;
                if node == self.site.id {
                    self.site.notify(op, Event::Read(node, attempt, answer));
                } else {
                    let reply = message::ReadReply { op, attempt, answer };
                    self.site.send(&[node], Message::ReadReply(reply));
                }
            }
            message::ReadWant::Records(_) | message::ReadWant::Range { .. } => {
                self.replica.read(asker, want, &mut self.site);
            }
        }
    }

    fn on_write(&mut self, from: NodeId, write: message::WriteRecords) {
        let token = write
            .sessions
            .iter()
            .find(|session| session.0 == self.site.id)
            .map_or(0, |session| session.1);
        if !self.site.peers.accepts(token) {
            self.site.refuse(from, write.op, write.attempt, Refusal::StaleSession);
            return;
        }
        if let Some(home) = write.stand_in_for {
            if write
                .records
                .iter()
                .all(|record| self.site.may_stand_in(home, &record.0))
            {
                self.hints.keep(from, home, write, &mut self.site);
            } else {
                self.site.refuse(from, write.op, write.attempt, Refusal::NotHome);
            }
            return;
        }
        if !write.records.iter().all(|record| self.site.is_home(&record.0)) {
            self.site.refuse(from, write.op, write.attempt, Refusal::NotHome);
            return;
        }
        let asker = write.op.map(|op| Asker {
            node: from,
            op,
            attempt: write.attempt,
        });
        self.replica.merge(asker, write.records, write.space, &mut self.site);
    }

    fn on_forward(&mut self, from: NodeId, forward: message::Forward) {
        // A copy of one that was run or refused. Not even a refusal may be said: the sender would try elsewhere.
        if !self.site.peers.note_forward(from, forward.op) {
            return;
        }
        if !self.site.peers.accepts(forward.session) {
            self.site.refuse(from, Some(forward.op), 0, Refusal::StaleSession);
            return;
        }
        if !self.site.peers.is_introduced(from) {
            self.site.refuse(from, Some(forward.op), 0, Refusal::Stranger);
            return;
        }
        let place = if forward.stand_in { Place::StandIn } else { Place::Here };
        let reason = match forward::plan_of(&forward.command, &self.site) {
            Ok(plan) => self.reason_not_to_run(&forward.command, &plan, place),
            // Its checks fail: run it, so that the client is told which.
            Err(_) => None,
        };
        let reason = reason.or_else(|| (!self.admission.enter_forwarded()).then_some(Refusal::Busy));
        if let Some(reason) = reason {
            self.site.refuse(from, Some(forward.op), 0, reason);
            return;
        }
        let deadline_ms = u64::from(forward.deadline_ms.min(TIMEOUT_MS_MAX));
        let deadline = self.site.now.time.plus_ms(deadline_ms);
        self.begin(Origin::Forwarder(from, forward.op), forward.command, deadline, place);
    }

    /// Why this node does not run a command that was forwarded to it as a home, or as a stand-in.
    fn reason_not_to_run(&self, command: &Command, plan: &Plan, place: Place) -> Option<Refusal> {
        let site = &self.site;
        let (is_in_place, can_run) = match place {
            Place::StandIn => (
                put::may_be_signed_by_stand_in(command) && site.is_stand_in(&plan.key),
                site.can_stand_in(command),
            ),
            Place::Here | Place::Anywhere => (
                plan.homes.iter().any(|home| home.node == site.id),
                site.can_sign(command, &plan.homes),
            ),
        };
        match (is_in_place, can_run) {
            (false, _) => Some(Refusal::NotHome),
            (true, true) => None,
            (true, false) if site.health.full => Some(Refusal::DiskFull),
            (true, false) => Some(Refusal::CannotMint),
        }
    }
}
