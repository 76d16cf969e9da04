//! One record, or a few of one key, on their way to w homes: the local commit and the other homes in parallel, each
//! counted only when it is durable there.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::causality::{Record, Stamp};
use crate::coordinator::{Event, Meta};
use crate::id::NodeId;
use crate::key::RecordKey;
use crate::message::{Refusal, WriteResult};
use crate::mutants::{Mutant, active};
use crate::outcome::{Answered, Cause, Certainty, Failure};
use crate::quorum::{Home, Need, Tally, Verdict};
use crate::site::Site;

/// How often one home may say that our session token is too old.
const SESSION_RETRIES_MAX: u8 = 3;

/// Where a spread stands.
#[derive(Clone, PartialEq, Debug)]
pub enum SpreadState {
    /// More acknowledgements are needed.
    Pending,
    /// w homes hold it.
    Reached,
    /// A home holds a greater stamp that this operation had not seen: mint above it (RULINGS 5).
    Outbid(Stamp),
    /// It can't be reached; some home may hold it.
    Failed(Failure),
}

/// See the module.
#[derive(Debug)]
pub struct Spread {
    meta: Meta,
    attempt: u16,
    records: Vec<(RecordKey, Arc<Record>)>,
    tally: Tally,
    retries: SmallVec<[(NodeId, u8); 3]>,
    outbid: Option<Stamp>,
    yields: bool,
    full: u8,
}

impl Spread {
    /// Sends the records to the other homes. This node's own commit is under way.
    #[must_use]
    pub fn start(
        meta: Meta,
        attempt: u16,
        homes: &[Home],
        need: Need,
        records: Vec<(RecordKey, Arc<Record>)>,
        site: &mut Site,
    ) -> Self {
        let mut tally = Tally::new(homes, need);
        let mut to: SmallVec<[NodeId; 3]> = SmallVec::new();
        for home in homes {
            if !site.is_reachable(home.node) {
                tally.fail(home.node);
            } else if home.node != site.id {
                to.push(home.node);
            }
        }
        if !to.is_empty() {
            site.ask_merge(&to, Some((meta.id, attempt)), records.clone());
        }
        Self {
            meta,
            attempt,
            records,
            tally,
            retries: SmallVec::new(),
            outbid: None,
            yields: false,
            full: 0,
        }
    }

    /// Hands over an event and says where the spread stands.
    pub fn on(&mut self, event: Event, site: &mut Site) -> SpreadState {
        match event {
            Event::Wrote(from, attempt, result) if attempt == self.attempt => self.on_wrote(from, &result),
            Event::Refused(from, Refusal::StaleSession) => self.on_stale_session(from, site),
            Event::Refused(from, _) | Event::PeerDown(from) => self.tally.fail(from),
            Event::Deadline => return SpreadState::Failed(self.deadline()),
            Event::Wrote(..)
            | Event::Read(..)
            | Event::Changed(_)
            | Event::Forwarded(..)
            | Event::LockGranted
            | Event::Child(..) => {}
        }
        self.state()
    }

    /// Lets the greater stamp stand: a home that holds it is waited for and counts like any other, for it holds something
    /// that has replaced what was sent.
    pub fn yield_to_winner(&mut self) -> SpreadState {
        self.yields = true;
        self.state()
    }

    /// Where the spread stands.
    #[must_use]
    pub fn state(&self) -> SpreadState {
        if let Some(stamp) = self.outbid
            && !self.yields
        {
            return SpreadState::Outbid(stamp);
        }
        if active(Mutant::QuorumOfOne) && self.tally.answered() > 0 {
            return SpreadState::Reached;
        }
        match self.tally.verdict() {
            Verdict::Pending => SpreadState::Pending,
            Verdict::Reached => SpreadState::Reached,
            Verdict::Unreachable => SpreadState::Failed(self.not_enough()),
        }
    }

    /// Whose acknowledgements count so far.
    #[must_use]
    pub fn answered(&self) -> Answered {
        Answered {
            answered: self.tally.answered(),
            n: self.tally.n(),
            sloppy: false,
        }
    }

    fn on_wrote(&mut self, from: NodeId, result: &WriteResult) {
        match result {
            WriteResult::Done { winner: None } => self.tally.count(from),
            WriteResult::Done { winner: Some(stamp) } => {
                self.outbid = self.outbid.max(Some(*stamp));
                self.tally.count(from);
            }
            WriteResult::DiskFull => {
                self.full += 1;
                self.tally.fail(from);
            }
            WriteResult::Failed => self.tally.fail(from),
        }
    }

    /// The receiver has rotated its token since we last heard of it; this operation is live, so it may send again.
    fn on_stale_session(&mut self, from: NodeId, site: &mut Site) {
        let at = self
            .retries
            .iter()
            .position(|retry| retry.0 == from)
            .unwrap_or_else(|| {
                self.retries.push((from, 0));
                self.retries.len() - 1
            });
        self.retries[at].1 += 1;
        if self.retries[at].1 > SESSION_RETRIES_MAX {
            self.tally.fail(from);
        } else {
            site.ask_merge(&[from], Some((self.meta.id, self.attempt)), self.records.clone());
        }
    }

    fn not_enough(&self) -> Failure {
        let (needed, answered, n) = (self.tally.needed(), self.tally.answered(), self.tally.n());
        let cause = if self.full == n {
            Cause::DiskFull
        } else {
            Cause::NotEnoughReplicas { needed, answered, n }
        };
        Failure {
            cause,
            certainty: Certainty::Unknown,
        }
    }

    fn deadline(&self) -> Failure {
        let (needed, answered, n) = (self.tally.needed(), self.tally.answered(), self.tally.n());
        Failure {
            cause: Cause::Deadline { needed, answered, n },
            certainty: Certainty::Unknown,
        }
    }
}
