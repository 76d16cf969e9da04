//! A Redis read-modify-write at the first healthy home of its key: take the key's lock, read at quorum, compute, commit
//! head and fields in one batch here while the other homes get the same, answer when w hold it durably (RULINGS 8, 10).
//! Those that wait for the lock by then and are of the same kind go along (`riders.rs`).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::causality::{LwwRecord, Record, Stamp};
use crate::change::{Change, Changed, Registers};
use crate::command::{Command, UpdateKey};
use crate::coordinator::earlier::Earlier;
use crate::coordinator::locks::Waiting;
use crate::coordinator::put::unreadable;
use crate::coordinator::read_round::{RoundState, Sources};
use crate::coordinator::riders::{Riders, Share};
use crate::coordinator::spread::{Signer, Spread, SpreadState};
use crate::coordinator::validate::{self, Plan};
use crate::coordinator::view::Gathering;
use crate::coordinator::{Event, Meta, Progress};
use crate::key::RecordKey;
use crate::keyspace::{self, Chain, MintStamp, Want};
use crate::limits::REMINTS_MAX;
use crate::message::{Space, WriteResult};
use crate::outcome::{Answered, Cause, Certainty, Failure, Outcome};
use crate::quorum::Need;
use crate::site::Site;
use crate::time::Hlc;

/// An update in flight.
#[derive(Debug)]
pub struct Update {
    meta: Meta,
    command: UpdateKey,
    plan: Plan,
    read_need: Need,
    write_need: Need,
    group: Bytes,
    want: Want,
    share: Share,
    riders: Riders,
    earlier: Earlier,
    /// The first and the last clock that the attempt at hand has signed with.
    signed: Option<(Hlc, Hlc)>,
    floor: Hlc,
    attempt: u16,
    gathered: Option<Box<Gathering>>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Locking,
    Reading,
    Committing,
    Spreading(Spread),
}

impl Update {
    /// Checks, then queues for the key's lock.
    pub fn start(meta: Meta, command: UpdateKey, site: &mut Site) -> Option<Self> {
        match Self::prepare(meta, command, site) {
            Ok(mut op) => {
                let waiting = || Waiting {
                    op: meta.id,
                    command: op.command.clone(),
                    deadline: meta.deadline,
                };
                let progress = if site.lock(&op.group, meta.id, waiting) {
                    op.read(site)
                } else {
                    Progress::Continue
                };
                (progress == Progress::Continue).then_some(op)
            }
            Err(failure) => validate::fail(meta, failure, site),
        }
    }

    /// An answer, a loss, the lock, or the deadline.
    pub fn on(&mut self, event: Event, site: &mut Site) -> Progress {
        match (&mut self.stage, event) {
            (Stage::Locking, Event::LockGranted) => self.read(site),
            (Stage::Locking, Event::Carried(outcome)) => self.on_carried(outcome, site),
            (Stage::Locking, Event::Deadline) => {
                let is_carried = !site.locks.knows(&self.group, self.meta.id);
                let certainty = if is_carried {
                    Certainty::Unknown
                } else {
                    Certainty::NotApplied
                };
                self.fail(self.deadline(), certainty, site)
            }
            (Stage::Locking, _) => Progress::Continue,
            (Stage::Reading, event) => {
                let Some(gathering) = &mut self.gathered else {
                    return Progress::Continue;
                };
                let state = gathering.on(event, &self.want, site);
                self.on_read(state, site)
            }
            (Stage::Committing, Event::Changed(changes)) => self.on_signed(changes, site),
            (Stage::Committing, Event::Wrote(from, attempt, result)) if from == site.id && attempt == self.attempt => {
                match result {
                    WriteResult::Done { .. } => Progress::Continue,
                    WriteResult::DiskFull => self.fail(Cause::DiskFull, Certainty::NotApplied, site),
                    WriteResult::Failed => self.fail(unavailable(), Certainty::NotApplied, site),
                }
            }
            (Stage::Committing, Event::Deadline) => self.fail(self.deadline(), Certainty::Unknown, site),
            (Stage::Committing, _) => Progress::Continue,
            (Stage::Spreading(spread), event) => {
                let state = spread.on(event, site);
                self.on_spread(state, site)
            }
        }
    }

    fn prepare(meta: Meta, command: UpdateKey, site: &mut Site) -> Result<Self, Failure> {
        let plan = validate::plan(&command.target, site)?;
        validate::lww_only(&plan.bucket, "this command")?;
        let read_need = plan.read_need(&command.options, site)?;
        let write_need = plan.write_need(&command.options, site)?;
        validate::reachable(&plan, &write_need, command.options.strict, site)?;
        validate::reachable(&plan, &read_need, command.options.strict, site)?;
        let want = keyspace::want_of(&command.update);
        let group = Bytes::copy_from_slice(plan.key.group());
        Ok(Self {
            meta,
            command,
            plan,
            read_need,
            write_need,
            group,
            want,
            share: Share::default(),
            riders: Riders::default(),
            earlier: Earlier::default(),
            signed: None,
            floor: Hlc::ZERO,
            attempt: 0,
            gathered: None,
            stage: Stage::Locking,
        })
    }

    /// Another update that held the lock took this one along; `None`: it could not, and did nothing.
    fn on_carried(&mut self, outcome: Option<Outcome>, site: &mut Site) -> Progress {
        if let Some(outcome) = outcome {
            site.finish(self.meta.origin, outcome);
            return Progress::Done;
        }
        let command = Command::Update(self.command.clone());
        if site.hand_over(self.meta.origin, command, self.meta.deadline) {
            return Progress::Done;
        }
        self.fail(unreadable().cause, Certainty::NotApplied, site)
    }

    fn read(&mut self, site: &mut Site) -> Progress {
        self.stage = Stage::Reading;
        self.riders.choose(&self.command, self.meta.deadline, site, &self.group);
        self.want = self.riders.want(keyspace::want_of(&self.command.update));
        let sources = Sources {
            strict: self.command.options.strict,
            // Who keeps something that one of a company asks for need not know what another does.
            homes_alone: self.riders.is_company(),
        };
        let (plan, need) = (self.plan.clone(), self.read_need.clone());
        let mut gathering = Gathering::start(self.meta, plan, need, &self.want, sources, site);
        let state = gathering.state(&self.want, site);
        self.gathered = Some(Box::new(gathering));
        self.on_read(state, site)
    }

    fn on_read(&mut self, state: RoundState, site: &mut Site) -> Progress {
        match state {
            RoundState::Pending => Progress::Continue,
            RoundState::Failed(cause) => {
                if self.riders.leave_behind() && site.now.time < self.meta.deadline {
                    return self.read(site);
                }
                self.fail(cause, Certainty::NotApplied, site)
            }
            RoundState::Ready => {
                if let Some(gathering) = &mut self.gathered
                    && let seen = self.earlier.taken_back(site.id, &gathering.gathered)
                    && let Some(want) = keyspace::look_again(&self.command.update, &seen, site.expiry_wall())
                    && self.want != want
                {
                    let state = gathering.again(&want, site);
                    self.want = want;
                    return self.on_read(state, site);
                }
                self.compute(site)
            }
        }
    }

    /// Computes the new registers and asks the local replica to commit them, on top of what the quorum holds.
    fn compute(&mut self, site: &mut Site) -> Progress {
        let Some(mut gathering) = self.gathered.take() else {
            return Progress::Continue;
        };
        let string_bytes = gathering.gathered.string_bytes();
        let riders = self.riders.board(&self.group, string_bytes, site);
        let wall = site.expiry_wall();
        let floor = self.floor.max(gathering.gathered.highest());
        // What an earlier attempt wrote and nobody has outbid stands at fewer than w homes: where it is not written again it goes
        // along.
        let mut standing = std::mem::take(&mut self.earlier.records);
        standing.retain(|(key, record)| gathering.gathered.shows(key, record));
        if let Cow::Owned(before) = self.earlier.taken_back(site.id, &gathering.gathered) {
            gathering.gathered = before;
        }
        let mut stamps = Stamps {
            site,
            floor,
            first: None,
        };
        let mut chain = Chain {
            head: &self.plan.key,
            gathered: &mut gathering.gathered,
            wall,
            value_bytes_max: self.plan.bucket.value_bytes_max,
            writes: BTreeMap::new(),
        };
        self.share.reply = chain.apply(&self.command.update, riders.is_empty(), &mut stamps);
        for rider in riders {
            rider.share.reply = chain.apply(rider.update(), false, &mut stamps);
        }
        let writes = chain.writes;
        self.signed = stamps.first.map(|first| (first, stamps.floor));
        standing.retain(|(key, _)| !writes.contains_key(key.sort_key()));
        if writes.is_empty() && standing.is_empty() {
            gathering.repair(site);
            return self.answer(gathering.round.answered(), site);
        }
        self.riders.tell_too_early(site);
        // The first round that found a record found it as the update was computed.
        let found = gathering.records.iter().rev();
        let found: BTreeMap<_, _> = found.map(|(key, record)| (key, record)).collect();
        let written = writes.into_iter().map(|(sort, registers)| {
            let key = self.plan.key.with_sort_key(&sort);
            let base = found.get(&key).map(|record| Arc::clone(record));
            (key, Change::Registers(Registers { base, registers }))
        });
        let standing = standing.into_iter().map(|(key, record)| {
            let (base, registers) = (Some(record), LwwRecord::default());
            (key, Change::Registers(Registers { base, registers }))
        });
        let changes = written.chain(standing).collect();
        self.gathered = Some(gathering);
        self.stage = Stage::Committing;
        self.attempt += 1;
        let space = Space::of_write(self.command.update.frees_space());
        site.ask_change(self.meta.id, self.attempt, changes, space);
        Progress::Continue
    }

    fn on_signed(&mut self, changes: Vec<(RecordKey, Changed)>, site: &mut Site) -> Progress {
        let mut records: Vec<(RecordKey, Arc<Record>)> = Vec::with_capacity(changes.len());
        for (key, changed) in changes {
            match changed {
                Changed::New { record, .. }
                | Changed::Unchanged {
                    record: Some(record), ..
                } => {
                    records.push((key, record));
                }
                Changed::Unchanged { record: None, .. } | Changed::Removed => {}
                Changed::Refused(failure) => return self.fail(failure.cause, Certainty::Unknown, site),
                Changed::Unreadable => return self.hand_over(site),
            }
        }
        let need = self.write_need.clone();
        let spread = Spread::start(
            self.meta,
            self.attempt,
            &self.plan.homes,
            need,
            Signer::Home {
                strict: self.command.options.strict,
            },
            Space::of_write(self.command.update.frees_space()),
            records,
            site,
        );
        let state = spread.state();
        self.stage = Stage::Spreading(spread);
        self.on_spread(state, site)
    }

    /// This node's copy can't be read, and so nothing was signed on it: another home has one that can (RULINGS 15).
    fn hand_over(&mut self, site: &mut Site) -> Progress {
        let command = Command::Update(self.command.clone());
        if !self.share.is_tried && !self.riders.are_tried() {
            if site.hand_over(self.meta.origin, command, self.meta.deadline) {
                self.riders.set_down(site);
                site.unlock(&self.group, self.meta.id);
                return Progress::Done;
            }
            // It may be what another of them writes that can't be read.
            if self.riders.put_back(&self.group, site) {
                return self.read(site);
            }
        }
        self.fail(unreadable().cause, Certainty::NotApplied, site)
    }

    fn on_spread(&mut self, state: SpreadState, site: &mut Site) -> Progress {
        let Stage::Spreading(spread) = &mut self.stage else {
            return Progress::Continue;
        };
        let answered = spread.answered();
        match state {
            SpreadState::Pending => Progress::Continue,
            SpreadState::Reached => self.answer(answered, site),
            // A write that the quorum read did not see stands above ours: compute anew on top of it.
            SpreadState::Outbid(stamp) if self.attempt <= REMINTS_MAX => {
                self.floor = self.floor.max(stamp.hlc);
                site.stats.remints += 1;
                let read = self.gathered.as_ref().map_or(&[][..], |gathering| &gathering.records);
                self.earlier.add(site.id, self.signed, read, spread.records());
                self.share.try_again();
                self.riders.try_again();
                self.read(site)
            }
            SpreadState::Outbid(_) => {
                let state = spread.yield_to_winner();
                self.on_spread(state, site)
            }
            SpreadState::Failed(failure) => self.fail(failure.cause, failure.certainty, site),
        }
    }

    fn answer(&mut self, answered: Answered, site: &mut Site) -> Progress {
        self.end(&Ok(answered), site)
    }

    fn fail(&mut self, cause: Cause, certainty: Certainty, site: &mut Site) -> Progress {
        self.end(&Err(Failure { cause, certainty }), site)
    }

    fn end(&mut self, fate: &Result<Answered, Failure>, site: &mut Site) -> Progress {
        site.unlock(&self.group, self.meta.id);
        site.finish(self.meta.origin, self.share.outcome(fate));
        self.riders.tell(fate, site);
        Progress::Done
    }

    fn deadline(&self) -> Cause {
        Cause::Deadline {
            needed: self.write_need.count(),
            answered: 0,
            n: self.plan.homes.len() as u8,
        }
    }
}

struct Stamps<'a> {
    site: &'a mut Site,
    floor: Hlc,
    first: Option<Hlc>,
}

impl MintStamp for Stamps<'_> {
    fn mint(&mut self) -> Stamp {
        let stamp = self
            .site
            .minter
            .mint_stamp(&mut self.site.clock, self.site.now.wall, self.floor);
        self.floor = stamp.hlc;
        self.first.get_or_insert(stamp.hlc);
        stamp
    }
}

fn unavailable() -> Cause {
    Cause::Unavailable("this node's store is out of service".into())
}
