//! A read of a Redis key: its head, and as many of its fields as the command needs.

use std::sync::Arc;

use bytes::Bytes;

use crate::causality::Record;
use crate::command::ViewKey;
use crate::coordinator::merged::Merged;
use crate::coordinator::read_round::{ReadRound, RoundState, Sources};
use crate::coordinator::validate::{self, Plan};
use crate::coordinator::{Event, Meta, Progress};
use crate::key::RecordKey;
use crate::keyspace::{Gathered, Want, decides, records_wanted, view};
use crate::limits::GATHER_BYTES_MAX;
use crate::message::ReadWant;
use crate::outcome::{Cause, Failure, Outcome};
use crate::quorum::Need;
use crate::site::Site;

/// A view in flight.
#[derive(Debug)]
pub struct View {
    meta: Meta,
    want: Want,
    gathering: Gathering,
    replied: bool,
}

impl View {
    /// Asks the homes.
    pub fn start(meta: Meta, command: ViewKey, site: &mut Site) -> Option<Self> {
        let begun = validate::plan(&command.target, site).and_then(|plan| {
            validate::lww_only(&plan.bucket, "this command")?;
            let need = plan.read_need(&command.options, site)?;
            Ok((plan, need))
        });
        let (plan, need) = match begun {
            Ok(begun) => begun,
            Err(failure) => return validate::fail(meta, failure, site),
        };
        let sources = Sources::of(command.options.strict);
        let mut gathering = Gathering::start(meta, plan, need, &command.want, sources, site);
        let state = gathering.state(&command.want, site);
        let mut op = Self {
            meta,
            want: command.want,
            gathering,
            replied: false,
        };
        (op.advance(state, site) == Progress::Continue).then_some(op)
    }

    /// An answer, a loss, or the deadline.
    pub fn on(&mut self, event: Event, site: &mut Site) -> Progress {
        let is_deadline = event == Event::Deadline;
        if self.replied {
            let complete = self.gathering.on_late(event, site);
            if is_deadline || complete {
                self.gathering.repair(site);
                return Progress::Done;
            }
            return Progress::Continue;
        }
        let state = self.gathering.on(event, &self.want, site);
        match self.advance(state, site) {
            Progress::Continue if is_deadline => {
                self.gathering.repair(site);
                Progress::Done
            }
            progress => progress,
        }
    }

    fn advance(&mut self, state: RoundState, site: &mut Site) -> Progress {
        match state {
            RoundState::Pending => return Progress::Continue,
            // The other homes are still heard: what kept the read from an answer may be what they can mend.
            RoundState::Failed(cause) => site.finish(self.meta.origin, Outcome::Failed(Failure::refused(cause))),
            RoundState::Ready => {
                let seen = view(&self.gathering.gathered, &self.want, site.expiry_wall());
                let answered = self.gathering.round.answered();
                site.finish(self.meta.origin, Outcome::View(Box::new(seen), answered));
            }
        }
        self.replied = true;
        if self.gathering.round.is_complete() {
            self.gathering.repair(site);
            return Progress::Done;
        }
        Progress::Continue
    }
}

/// The records of one Redis key, read in as many rounds as it takes.
#[derive(Debug)]
pub struct Gathering {
    meta: Meta,
    plan: Plan,
    need: Need,
    sources: Sources,
    /// What is known so far.
    pub gathered: Gathered,
    /// The whole records behind `gathered`, for writes that must not forget what a quorum holds.
    pub records: Vec<(RecordKey, Arc<Record>)>,
    /// The round in flight, or the last one.
    pub round: ReadRound,
    range: Option<ReadWant>,
    bytes: usize,
}

impl Gathering {
    /// Asks the homes for the first round.
    pub fn start(meta: Meta, plan: Plan, need: Need, want: &Want, sources: Sources, site: &mut Site) -> Self {
        let ask = records_wanted(&plan.key, want);
        let round = ReadRound::start_at(sources, meta, &plan.homes, need.clone(), &ask, site);
        let range = matches!(ask, ReadWant::Range { .. }).then_some(ask);
        let gathered = Gathered::default();
        Self {
            meta,
            plan,
            need,
            sources,
            gathered,
            records: Vec::new(),
            round,
            range,
            bytes: 0,
        }
    }

    /// Asks for more of the same key, keeping what is known.
    pub fn again(&mut self, want: &Want, site: &mut Site) -> RoundState {
        let ask = records_wanted(&self.plan.key, want);
        self.round = ReadRound::start_at(self.sources, self.meta, &self.plan.homes, self.need.clone(), &ask, site);
        self.range = matches!(ask, ReadWant::Range { .. }).then_some(ask);
        self.state(want, site)
    }

    /// Hands over an event; `Ready` once everything wanted is gathered.
    pub fn on(&mut self, event: Event, want: &Want, site: &mut Site) -> RoundState {
        match self.round.on(event, site) {
            RoundState::Ready => self.on_ready(want, site),
            state => state,
        }
    }

    /// Where it stands.
    pub fn state(&mut self, want: &Want, site: &mut Site) -> RoundState {
        match self.round.state(site) {
            RoundState::Ready => self.on_ready(want, site),
            state => state,
        }
    }

    /// An answer that came after the reply; true once all have come.
    pub fn on_late(&mut self, event: Event, site: &mut Site) -> bool {
        let _ = self.round.on(event, site);
        self.round.is_complete()
    }

    /// Mends the homes that were behind in the last round.
    pub fn repair(&self, site: &mut Site) {
        self.round.repair(site);
    }

    fn on_ready(&mut self, want: &Want, site: &mut Site) -> RoundState {
        let merged = self.round.merged();
        self.add(&merged);
        if self.bytes > GATHER_BYTES_MAX {
            return RoundState::Failed(Cause::ResultTooLarge {
                limit: GATHER_BYTES_MAX as u64,
            });
        }
        match merged.complete_up_to {
            Some(next) if !decides(&self.gathered, want, site.expiry_wall()) => self.read_on(next, want, site),
            Some(_) | None => RoundState::Ready,
        }
    }

    /// The page was full and does not decide yet: the next one.
    fn read_on(&mut self, from: Bytes, want: &Want, site: &mut Site) -> RoundState {
        let Some(ReadWant::Range { range, .. }) = &mut self.range else {
            return RoundState::Ready;
        };
        range.start = from;
        self.round.repair(site);
        let ask = self.range.clone().expect("checked above");
        self.round = ReadRound::start_at(self.sources, self.meta, &self.plan.homes, self.need.clone(), &ask, site);
        self.state(want, site)
    }

    fn add(&mut self, merged: &Merged) {
        self.gathered.partition_cleared_at = merged.cleared_at(&self.plan.key);
        self.gathered.whole |= self.range.is_some() && merged.complete_up_to.is_none();
        for (key, record) in &merged.records {
            self.bytes += record.weight();
            self.records.push((key.clone(), Arc::clone(record)));
            self.gathered.absorb(key, record);
        }
    }
}
