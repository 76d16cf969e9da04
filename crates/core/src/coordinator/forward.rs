//! A command that a home runs for this node. It is tried at another home only if the first surely did not run it, or if
//! its client request id lets the next home ask whether it did (RULINGS 17). The client's connection and deadline stay
//! here (RULINGS 18).

use std::collections::VecDeque;

use crate::command::{Command, PutAction, Ttl};
use crate::coordinator::put::is_idempotent;
use crate::coordinator::{Event, Meta, Progress, validate};
use crate::id::NodeId;
use crate::message::{self, Message, Refusal};
use crate::outcome::{Cause, Certainty, Failure, Outcome};
use crate::quorum::Home;
use crate::site::Site;
use crate::time::Wall;

/// A forwarded command in flight.
#[derive(Debug)]
pub struct Forward {
    meta: Meta,
    command: Command,
    candidates: VecDeque<NodeId>,
    at: NodeId,
    n: u8,
    /// A home may have run it.
    may_have_run: bool,
    /// This node is a home itself, and merely slow.
    may_run_here: bool,
    last_refusal: Option<Refusal>,
}

impl Forward {
    /// Sends the command to the first reachable home among `homes`, which leaves out this node.
    pub fn start(meta: Meta, mut command: Command, homes: &[Home], site: &mut Site) -> Option<Self> {
        fix_expiry(&mut command, site);
        let others = homes.iter().map(|home| home.node).filter(|&node| node != site.id);
        let mut candidates: Vec<NodeId> = others.filter(|&node| site.peers.is_up(node)).collect();
        // Those that say that they are slow come last, in their order.
        candidates.sort_by_key(|&node| site.circuits.says_slow(node));
        let candidates = VecDeque::from(candidates);
        let n = homes.len() as u8;
        let refusal = if site.health.full {
            Refusal::DiskFull
        } else {
            Refusal::CannotMint
        };
        let is_home = homes.iter().any(|home| home.node == site.id);
        let last_refusal = (is_home && !site.can_mint(&command)).then_some(refusal);
        let may_run_here = is_home && site.is_merely_slow(&command);
        let mut op = Self {
            meta,
            command,
            candidates,
            at: site.id,
            n,
            may_have_run: false,
            may_run_here,
            last_refusal,
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
            Event::Forwarded(from, outcome) if from == self.at => {
                site.finish(self.meta.origin, outcome);
                Progress::Done
            }
            // A new boot of the home speaks, or a repeat came late: an earlier copy may have run.
            Event::Refused(from, Refusal::StaleSession) if from == self.at => self.on_lost(site),
            Event::Refused(from, reason) if from == self.at => {
                self.last_refusal = Some(reason);
                self.send_next(site)
            }
            Event::PeerDown(node) if node == self.at => self.on_lost(site),
            Event::Deadline => {
                let cause = Cause::Deadline {
                    needed: 1,
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
            if !site.peers.is_up(node) {
                continue;
            }
            self.at = node;
            site.stats.forwards += 1;
            let deadline_ms = site.now.time.ms_until(self.meta.deadline) as u32;
            let command = self.command.clone();
            let forward = message::Forward {
                op: self.meta.id,
                command,
                deadline_ms,
                session: site.peers.session_of(node),
                retry: self.may_have_run,
            };
            site.send(&[node], Message::Forward(forward));
            return Progress::Continue;
        }
        if self.may_have_run {
            self.fail_silent(site)
        } else if self.may_run_here {
            site.begin_here(self.meta.origin, self.command.clone(), self.meta.deadline);
            Progress::Done
        } else {
            self.fail_refused(site)
        }
    }

    fn can_retry(&self) -> bool {
        match &self.command {
            Command::Put(put) => is_idempotent(put.request.as_ref()),
            Command::Get(_)
            | Command::Update(_)
            | Command::View(_)
            | Command::List(_)
            | Command::Keys(_)
            | Command::Clear(_)
            | Command::Batch(_)
            | Command::Inspect(_)
            | Command::Import(_) => false,
        }
    }

    /// Every home said no, and said that it did nothing.
    fn fail_refused(&mut self, site: &mut Site) -> Progress {
        let cause = match self.last_refusal {
            Some(Refusal::DiskFull) => Cause::DiskFull,
            Some(Refusal::Busy) => Cause::Busy { retry_after_ms: 100 },
            Some(Refusal::CannotMint) => {
                Cause::Unavailable("no home of the key can sign writes now: see /v1/status of each".into())
            }
            Some(Refusal::WrongEpoch | Refusal::NotHome | Refusal::StaleSession | Refusal::Stranger) | None => {
                Cause::NotEnoughReplicas {
                    needed: 1,
                    answered: 0,
                    n: self.n,
                }
            }
        };
        self.end(Failure::refused(cause), site)
    }

    fn fail_silent(&mut self, site: &mut Site) -> Progress {
        let cause = Cause::NotEnoughReplicas {
            needed: 1,
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

/// The expiry is fixed once, by the node that received the command (RULINGS 7).
fn fix_expiry(command: &mut Command, site: &Site) {
    let Command::Put(put) = command else { return };
    let bucket_ttl = site.bucket(put.target.bucket).and_then(|bucket| bucket.ttl_seconds);
    let PutAction::Value(_, ttl) = &mut put.action else {
        return;
    };
    let after = |ms: u64| Ttl::At(Wall(site.now.wall.0.saturating_add(ms)));
    *ttl = match *ttl {
        Ttl::AfterMs(ms) => after(ms),
        Ttl::BucketDefault => bucket_ttl.map_or(Ttl::Never, |seconds| after(seconds.saturating_mul(1_000))),
        Ttl::Never | Ttl::At(_) => *ttl,
    };
}
