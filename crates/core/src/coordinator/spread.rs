//! One record, or a few of one key, on their way to w homes: the local commit and the other homes in parallel, each
//! counted only when it is durable there. For a home that can't be reached another node keeps them, unless only homes may
//! count (`strict`).

use std::sync::Arc;

use smallvec::SmallVec;

use crate::causality::{Record, Stamp};
use crate::coordinator::{Event, Meta};
use crate::id::NodeId;
use crate::key::RecordKey;
use crate::message::{Refusal, Space, WriteResult};
use crate::mutants::{Mutant, active};
use crate::outcome::{Answered, Cause, Certainty, Failure};
use crate::quorum::{Home, Need, Tally, Verdict, take_stand_ins};
use crate::site::Site;

/// How often one home may say that our session token is too old.
const SESSION_RETRIES_MAX: u8 = 3;

/// Who signed the records, and who else may count for them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signer {
    /// A home.
    Home {
        /// Homes alone count.
        strict: bool,
    },
    /// A node that keeps them for this home.
    StandIn(NodeId),
}

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
    space: Space,
    records: Vec<(RecordKey, Arc<Record>)>,
    tally: Tally,
    retries: SmallVec<[(NodeId, u8); 3]>,
    /// Nodes that may yet stand in, best first.
    stand_ins: SmallVec<[Home; 3]>,
    /// Who keeps the records, and for which home.
    hired: SmallVec<[(NodeId, NodeId); 2]>,
    outbid: Option<Stamp>,
    yields: bool,
    full: u8,
}

impl Spread {
    /// What is spread.
    #[must_use]
    pub fn records(&self) -> &[(RecordKey, Arc<Record>)] {
        &self.records
    }

    /// Sends the records to the other homes. This node's own commit is under way: of its copy, or of what it keeps.
    #[must_use]
    pub fn start(
        meta: Meta,
        attempt: u16,
        homes: &[Home],
        need: Need,
        signer: Signer,
        space: Space,
        records: Vec<(RecordKey, Arc<Record>)>,
        site: &mut Site,
    ) -> Self {
        let mut to: SmallVec<[NodeId; 3]> = SmallVec::new();
        let mut away: SmallVec<[Home; 3]> = SmallVec::new();
        for home in homes {
            if !site.is_reachable(home.node) {
                away.push(*home);
            } else if home.node != site.id {
                to.push(home.node);
            }
        }
        let mut stand_ins = match records.first() {
            Some((key, _)) if signer != (Signer::Home { strict: true }) => site.stand_ins(key),
            Some(_) | None => SmallVec::new(),
        };
        let mut tally = Tally::new(homes, need);
        let mut hired = SmallVec::new();
        if let Signer::StandIn(home) = signer {
            let own = stand_ins.iter().position(|stand_in| stand_in.node == site.id);
            if let Some(own) = own.map(|own| stand_ins.remove(own)) {
                tally.add_stand_in(own, site.ring.dc_of(home));
                hired.push((own.node, home));
            }
            if let Some(at) = away.iter().position(|other| other.node == home) {
                away.remove(at);
                tally.fail(home);
            }
        }
        if !to.is_empty() {
            site.ask_merge(&to, Some((meta.id, attempt)), records.clone(), space);
        }
        let mut spread = Self {
            meta,
            attempt,
            space,
            records,
            tally,
            retries: SmallVec::new(),
            stand_ins,
            hired,
            outbid: None,
            yields: false,
            full: 0,
        };
        away.iter().for_each(|home| spread.tally.fail(home.node));
        spread.replace(&away, site);
        spread
    }

    /// Hands over an event and says where the spread stands.
    pub fn on(&mut self, event: Event, site: &mut Site) -> SpreadState {
        match event {
            Event::Wrote(from, attempt, result) if attempt == self.attempt => self.on_wrote(from, &result, site),
            // Of the operation's read, or of a write before this one: it says nothing of this one.
            Event::Refused(_, attempt, _) if attempt != 0 && attempt != self.attempt => {}
            Event::Refused(from, _, Refusal::StaleSession) => self.on_stale_session(from, site),
            Event::Refused(from, ..) | Event::PeerDown(from) => self.lose(from, site),
            Event::Deadline => return SpreadState::Failed(self.deadline()),
            Event::Wrote(..)
            | Event::Read(..)
            | Event::Changed(_)
            | Event::Forwarded(..)
            | Event::LockGranted
            | Event::Carried(_)
            | Event::Hedge
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
            sloppy: self.tally.is_sloppy(),
        }
    }

    /// A home, or who stands in for it, takes nothing: the next node in line does.
    fn lose(&mut self, node: NodeId, site: &mut Site) {
        if self.tally.waiting().all(|waiting| waiting != node) {
            return;
        }
        self.tally.fail(node);
        let stood_in = self.hired.iter().find(|hired| hired.0 == node);
        let home = stood_in.map_or(node, |hired| hired.1);
        let home = Home {
            node: home,
            dc: site.ring.dc_of(home),
        };
        self.replace(&[home], site);
    }

    /// For homes that take nothing, or whoever stood in for them, the next nodes in line do.
    fn replace(&mut self, lost: &[Home], site: &mut Site) {
        let is_kept = |home: &&Home| self.is_kept_for(home.node);
        let without: SmallVec<[Home; 3]> = lost.iter().filter(|home| !is_kept(home)).copied().collect();
        let pairs = take_stand_ins(&mut self.stand_ins, &without);
        for &(next, home) in &pairs {
            self.tally.add_stand_in(next, home.dc);
            self.hired.push((next.node, home.node));
            let write = (self.meta.id, self.attempt);
            site.ask_to_keep(next.node, home.node, write, self.records.clone(), self.space);
        }
        let Some((key, _)) = self.records.first() else { return };
        for home in without {
            if pairs.iter().all(|pair| pair.1.node != home.node) {
                // Nobody keeps it for that home: it is compared with first when it is back.
                site.dirty.push((key.partition(), key.bucket(), home.node));
            }
        }
    }

    /// True if a node that was not lost stands in for a home.
    fn is_kept_for(&self, home: NodeId) -> bool {
        let stands = |node: NodeId| self.tally.has_counted(node) || self.tally.waiting().any(|waiting| waiting == node);
        self.hired.iter().any(|hired| hired.1 == home && stands(hired.0))
    }

    fn on_wrote(&mut self, from: NodeId, result: &WriteResult, site: &mut Site) {
        match result {
            WriteResult::Done { winner: None } => self.tally.count(from),
            WriteResult::Done { winner: Some(stamp) } => {
                self.outbid = self.outbid.max(Some(*stamp));
                self.tally.count(from);
            }
            WriteResult::DiskFull => {
                self.full += u8::from(!self.tally.is_stand_in(from));
                self.lose(from, site);
            }
            WriteResult::Failed => self.lose(from, site),
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
        let hired = self.hired.iter().find(|hired| hired.0 == from).copied();
        let write = (self.meta.id, self.attempt);
        if self.retries[at].1 > SESSION_RETRIES_MAX {
            self.lose(from, site);
        } else if let Some((stand_in, home)) = hired {
            site.ask_to_keep(stand_in, home, write, self.records.clone(), self.space);
        } else {
            site.ask_merge(&[from], Some(write), self.records.clone(), self.space);
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
