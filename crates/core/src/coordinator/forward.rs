//! A command that a home runs for this node. It is tried at another home only if the first surely did not run it, or if
//! its client request id lets the next home ask whether it did (RULINGS 17). A put that no home can sign is signed by a
//! node that stands in for one (RULINGS 15). Whoever signs counts local quorums in this node's data centre. The client's
//! connection and deadline stay here (RULINGS 18).
//!
//! ```text
//! homes that are up ──none would──▶ this node, a slow home ──it is none──▶ stand-ins ──none would──▶ refused
//! ```

use std::collections::VecDeque;

use smallvec::SmallVec;

use crate::command::{Command, Put, PutAction, UpdateKey};
use crate::coordinator::put::{self, is_idempotent, may_be_signed_by_stand_in};
use crate::coordinator::validate::{self, Plan};
use crate::coordinator::{Event, Meta, Place, Progress};
use crate::id::NodeId;
use crate::message::{self, Message, Refusal};
use crate::mutants::{Mutant, active};
use crate::outcome::{Cause, Certainty, Failure, Outcome};
use crate::quorum::Home;
use crate::site::Site;

/// A forwarded command in flight.
#[derive(Debug)]
pub struct Forward {
    meta: Meta,
    command: Command,
    candidates: VecDeque<NodeId>,
    /// Who may sign it when no home would, best first; this node may be one of them.
    stand_ins: VecDeque<NodeId>,
    asks_stand_in: bool,
    at: NodeId,
    n: u8,
    /// Answers that the write waits for.
    needed: u8,
    /// A home may have run it.
    may_have_run: bool,
    /// This node is a home itself, and merely slow.
    may_run_here: bool,
    /// Of homes.
    refusals: SmallVec<[Refusal; 3]>,
}

impl Forward {
    /// Sends the command to the first reachable home among `homes`, which leaves out this node.
    pub fn start(meta: Meta, mut command: Command, homes: &[Home], site: &mut Site) -> Option<Self> {
        fix_expiry(&mut command, site);
        fix_quorums(&mut command, site);
        let others = homes.iter().filter(|home| home.node != site.id);
        let mut candidates: Vec<&Home> = others.filter(|home| site.peers.is_up(home.node)).collect();
        // Those that say that they are slow come last, in their order. Updates of a key take turns at its first home, wherever
        // they were asked for: near homes come first for puts alone.
        let (own, is_put) = (site.ring.dc_of(site.id), matches!(command, Command::Put(_)));
        candidates.sort_by_key(|home| (site.circuits.says_slow(home.node), is_put && home.dc != own));
        let candidates = candidates.into_iter().map(|home| home.node).collect();
        let plan = plan_of(&command, site).ok();
        let stand_ins = match &plan {
            Some(plan) if may_be_signed_by_stand_in(&command) => site.stand_ins(&plan.key),
            Some(_) | None => SmallVec::new(),
        };
        let needed = plan.map_or(1, |plan| needed(&command, &plan, site));
        let n = homes.len() as u8;
        let refusal = if site.health.full {
            Refusal::DiskFull
        } else {
            Refusal::CannotMint
        };
        let is_home = homes.iter().any(|home| home.node == site.id);
        let own_refusal = (is_home && !site.can_mint(&command)).then_some(refusal);
        let may_run_here = is_home && site.is_merely_slow(&command);
        let mut op = Self {
            meta,
            command,
            candidates,
            stand_ins: stand_ins.iter().map(|stand_in| stand_in.node).collect(),
            asks_stand_in: false,
            at: site.id,
            n,
            needed,
            may_have_run: false,
            may_run_here,
            refusals: own_refusal.into_iter().collect(),
        };
        (op.send_next(site) == Progress::Continue).then_some(op)
    }

    /// An outcome, a refusal, a loss, or the deadline.
    pub fn on(&mut self, event: Event, site: &mut Site) -> Progress {
        match event {
            Event::Forwarded(from, Outcome::Failed(failure)) if from == self.at && self.may_have_run => {
                // This home speaks for itself: what became of it at the one before nobody can tell.
                let certainty = Certainty::Unknown;
                self.end(Failure { certainty, ..failure }, site)
            }
            // It has no room to keep it: the next one may.
            Event::Forwarded(from, Outcome::Failed(failure))
                if from == self.at && self.asks_stand_in && is_for_others(&failure) && !self.stand_ins.is_empty() =>
            {
                self.send_next(site)
            }
            Event::Forwarded(from, outcome) if from == self.at => {
                site.finish(self.meta.origin, outcome);
                Progress::Done
            }
            // A new boot of the home speaks, or a repeat came late: an earlier copy may have run.
            Event::Refused(from, _, Refusal::StaleSession) if from == self.at => self.on_lost(site),
            Event::Refused(from, _, reason) if from == self.at => {
                if !self.asks_stand_in {
                    self.refusals.push(reason);
                }
                self.send_next(site)
            }
            Event::PeerDown(node) if node == self.at => self.on_lost(site),
            Event::Deadline => {
                let cause = Cause::Deadline {
                    needed: self.needed,
                    answered: 0,
                    n: self.n,
                };
                self.end(
                    Failure {
                        cause,
                        certainty: Certainty::Unknown,
                    },
                    site,
                )
            }
            Event::Forwarded(..)
            | Event::Refused(..)
            | Event::PeerDown(_)
            | Event::Read(..)
            | Event::Wrote(..)
            | Event::Changed(_)
            | Event::LockGranted
            | Event::Carried(_)
            | Event::Hedge
            | Event::Child(..) => Progress::Continue,
        }
    }

    /// Nobody can tell whether the home ran it.
    fn on_lost(&mut self, site: &mut Site) -> Progress {
        self.may_have_run = true;
        if self.can_retry() {
            self.send_next(site)
        } else {
            self.fail_silent(site)
        }
    }

    fn send_next(&mut self, site: &mut Site) -> Progress {
        while let Some(node) = self.candidates.pop_front() {
            if site.peers.is_up(node) {
                return self.send(node, false, site);
            }
        }
        if self.may_have_run {
            return self.fail_silent(site);
        }
        if self.may_run_here {
            return self.run_here(Place::Here, site);
        }
        while let Some(node) = self.stand_ins.pop_front().filter(|_| self.may_stand_in()) {
            if node == site.id && site.can_stand_in(&self.command) {
                return self.run_here(Place::StandIn, site);
            } else if site.peers.is_up(node) {
                return self.send(node, true, site);
            }
        }
        self.fail_refused(site)
    }

    fn send(&mut self, node: NodeId, stand_in: bool, site: &mut Site) -> Progress {
        self.at = node;
        self.asks_stand_in = stand_in;
        site.stats.forwards += 1;
        let forward = message::Forward {
            op: self.meta.id,
            command: self.command.clone(),
            deadline_ms: site.now.time.ms_until(self.meta.deadline) as u32,
            session: site.peers.session_of(node),
            retry: self.may_have_run,
            stand_in,
        };
        site.send(&[node], Message::Forward(forward));
        Progress::Continue
    }

    fn run_here(&mut self, place: Place, site: &mut Site) -> Progress {
        site.begin_at(place, self.meta.origin, self.command.clone(), self.meta.deadline);
        Progress::Done
    }

    /// Homes that are overloaded or full say no for all: others that took their writes would be overloaded or filled next.
    fn may_stand_in(&self) -> bool {
        let are_all_full = self.is_full() && self.refusals.len() >= usize::from(self.n);
        !self.refusals.contains(&Refusal::Busy) && !are_all_full
    }

    /// All homes that could be asked are full.
    fn is_full(&self) -> bool {
        !self.refusals.is_empty() && self.refusals.iter().all(|&refusal| refusal == Refusal::DiskFull)
    }

    fn can_retry(&self) -> bool {
        matches!(&self.command, Command::Put(put) if is_idempotent(put.request.as_ref()))
    }

    /// Every home said no, and said that it did nothing.
    fn fail_refused(&mut self, site: &mut Site) -> Progress {
        let cause = if self.is_full() {
            Cause::DiskFull
        } else if self.refusals.contains(&Refusal::Busy) {
            Cause::Busy { retry_after_ms: 100 }
        } else if self.refusals.contains(&Refusal::CannotMint) {
            Cause::Unavailable("no home of the key can sign writes now: see /v1/status of each".into())
        } else {
            Cause::NotEnoughReplicas {
                needed: self.needed,
                answered: 0,
                n: self.n,
            }
        };
        self.end(Failure::refused(cause), site)
    }

    fn fail_silent(&mut self, site: &mut Site) -> Progress {
        let cause = Cause::NotEnoughReplicas {
            needed: self.needed,
            answered: 0,
            n: self.n,
        };
        self.end(
            Failure {
                cause,
                certainty: Certainty::Unknown,
            },
            site,
        )
    }

    fn end(&mut self, failure: Failure, site: &mut Site) -> Progress {
        validate::fail::<()>(self.meta, failure, site);
        Progress::Done
    }
}

/// Checks the target of a command that may be forwarded.
///
/// # Errors
/// As `validate::plan`, and `BadRequest` for any other command.
pub fn plan_of(command: &Command, site: &Site) -> Result<Plan, Failure> {
    if let Command::Put(put) = command {
        return put::plan_of(put, site);
    }
    let Some((target, _)) = command.write() else {
        let cause = Cause::BadRequest("only writes are forwarded".into());
        return Err(Failure::refused(cause));
    };
    validate::plan(target, site)
}

/// True if nothing was done for want of something that another node may have.
fn is_for_others(failure: &Failure) -> bool {
    failure.certainty == Certainty::NotApplied
        && matches!(
            failure.cause,
            Cause::Busy { .. } | Cause::DiskFull | Cause::Unavailable(_)
        )
}

/// How many answers the write waits for.
fn needed(command: &Command, plan: &Plan, site: &Site) -> u8 {
    let need = command
        .write()
        .and_then(|(_, options)| plan.write_need(options, site).ok());
    need.map_or(1, |need| need.count())
}

/// What is local is so to this node, wherever the command runs.
fn fix_quorums(command: &mut Command, site: &Site) {
    if active(Mutant::LocalQuorumElsewhere) {
        return;
    }
    let (Command::Put(Put { target, options, .. }) | Command::Update(UpdateKey { target, options, .. })) = command
    else {
        return;
    };
    let Some(bucket) = site.bucket(target.bucket) else {
        return;
    };
    let own = site.ring.dc_of(site.id);
    for (size, of_bucket) in [(&mut options.read, bucket.r), (&mut options.write, bucket.w)] {
        let asked = size.unwrap_or(of_bucket);
        if asked.is_local() {
            *size = Some(asked.fixed(own));
        }
    }
}

/// The expiry is fixed once, by the node that received the command (RULINGS 7).
fn fix_expiry(command: &mut Command, site: &Site) {
    let Command::Put(put) = command else { return };
    let bucket_ttl = site.bucket(put.target.bucket).and_then(|bucket| bucket.ttl_seconds);
    let PutAction::Value(_, ttl) = &mut put.action else {
        return;
    };
    *ttl = ttl.fixed(bucket_ttl, site.now.wall);
}
