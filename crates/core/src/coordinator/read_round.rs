//! One question put to all homes of a partition: counts who has answered, merges what they hold, writes back before a
//! strict answer, and mends the homes that were behind once it is over. Gets, views, listings and updates all read so.
//!
//! ```text
//! ask all homes ──r counted──▶ (strict: too few homes hold it ──write back──▶) ready ──all answered──▶ repair
//! ```
//!
//! Homes that are slow are held back while the others are enough; one is asked after all if these take long (a hedge).

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::bucket::Conflict;
use crate::causality::{LwwRecord, Record, SiblingsRecord};
use crate::coordinator::merged::{Merged, Places, Records};
use crate::coordinator::{Event, Meta};
use crate::id::NodeId;
use crate::key::RecordKey;
use crate::limits::HOLD_BACK_MS_MAX;
use crate::message::{ReadAnswer, ReadWant, Refusal, Space, WriteResult};
use crate::mutants::{Mutant, active};
use crate::outcome::{Answered, Cause};
use crate::quorum::{Home, Need, Tally, Verdict};
use crate::site::Site;
use crate::time::{Time, Wall};

/// Where a round stands.
#[derive(Clone, PartialEq, Debug)]
pub enum RoundState {
    /// More answers are needed.
    Pending,
    /// The answer may be given.
    Ready,
    /// It can't be given.
    Failed(Cause),
}

#[derive(Debug)]
struct WriteBack {
    /// How many answers it rests on.
    answers: usize,
    records: Records,
    holders: Tally,
}

/// See the module.
#[derive(Debug)]
pub struct ReadRound {
    meta: Meta,
    attempt: u16,
    is_range: bool,
    /// What is asked about.
    places: Option<Places>,
    tally: Tally,
    answers: Vec<(NodeId, ReadAnswer)>,
    strict: bool,
    /// What stand-ins may be asked for, until they are.
    kept: Option<Vec<RecordKey>>,
    write_back: Option<Box<WriteBack>>,
    /// What was not asked of slow homes yet.
    held_back: Option<Box<HeldBack>>,
}

/// Homes that a round has not asked, because the others are enough.
#[derive(Debug)]
struct HeldBack {
    homes: SmallVec<[NodeId; 3]>,
    want: ReadWant,
    /// When the budget no longer matters.
    called_at: Time,
    /// Asked by a hedge, and not answered yet.
    hedged: Option<NodeId>,
}

/// Whose answers count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sources {
    /// What is answered is written back first where too few homes hold it.
    pub strict: bool,
    /// Stand-ins are not asked.
    pub homes_alone: bool,
}

impl Sources {
    /// Homes, and stand-ins unless it is strict.
    #[must_use]
    pub fn of(strict: bool) -> Self {
        let homes_alone = strict;
        Self { strict, homes_alone }
    }
}

impl ReadRound {
    /// Asks every reachable home but the slow ones, if the others are enough; the unreachable have failed already.
    #[must_use]
    pub fn start(meta: Meta, homes: &[Home], need: Need, want: &ReadWant, strict: bool, site: &mut Site) -> Self {
        Self::start_at(Sources::of(strict), meta, homes, need, want, site)
    }

    /// The same, from these sources.
    #[must_use]
    pub fn start_at(
        sources: Sources,
        meta: Meta,
        homes: &[Home],
        need: Need,
        want: &ReadWant,
        site: &mut Site,
    ) -> Self {
        let mut tally = Tally::new(homes, need);
        let mut ask: SmallVec<[NodeId; 3]> = SmallVec::new();
        for home in homes {
            if site.is_reachable(home.node) {
                ask.push(home.node);
            } else {
                tally.fail(home.node);
            }
        }
        let attempt = site.next_attempt();
        let is_range = matches!(want, ReadWant::Range { .. });
        // What is kept for others is in no listing.
        let kept = match want {
            ReadWant::Records(keys) if !sources.homes_alone => Some(keys.clone()),
            ReadWant::Records(_) | ReadWant::Range { .. } => None,
        };
        let is_short = ask.len() < homes.len();
        let held_back = hold_back(&mut ask, &tally, want, meta, site);
        site.ask_reads(&ask, meta.id, attempt, want);
        let mut round = Self {
            meta,
            attempt,
            is_range,
            places: Places::of(want),
            tally,
            answers: Vec::with_capacity(homes.len()),
            strict: sources.strict,
            kept,
            write_back: None,
            held_back,
        };
        if is_short {
            round.ask_stand_ins(site);
        }
        round
    }

    /// A home can't answer: whoever may keep something for it is asked, once. It counts only if it does (RULINGS 13).
    fn ask_stand_ins(&mut self, site: &mut Site) {
        let Some(keys) = self.kept.take() else { return };
        let stand_ins = keys.first().map(|key| site.stand_ins(key)).unwrap_or_default();
        if stand_ins.is_empty() {
            return;
        }
        for stand_in in &stand_ins {
            // It may keep something for any of them: what it says counts where it stands.
            self.tally.add_stand_in(*stand_in, stand_in.dc);
        }
        let ask: SmallVec<[NodeId; 3]> = stand_ins.iter().map(|stand_in| stand_in.node).collect();
        site.ask_reads(&ask, self.meta.id, self.attempt, &ReadWant::Records(keys));
    }

    /// Hands over an event and says where the round stands. Events that are none of its business change nothing.
    pub fn on(&mut self, event: Event, site: &mut Site) -> RoundState {
        match event {
            Event::Read(from, attempt, answer) if attempt == self.attempt => self.on_answer(from, answer, site),
            Event::Refused(_, attempt, _) if attempt != 0 && attempt != self.attempt => {}
            Event::Refused(from, _, reason) => self.on_refused(from, reason, site),
            Event::PeerDown(node) => self.on_failed(node, site),
            Event::Hedge => self.hedge(site),
            // A write-back has its round's number: an operation of several rounds must not count a late answer.
            Event::Wrote(from, attempt, result) if attempt == self.attempt => self.on_written_back(from, &result),
            Event::Deadline => return RoundState::Failed(self.deadline()),
            Event::Read(..)
            | Event::Wrote(..)
            | Event::Changed(_)
            | Event::Forwarded(..)
            | Event::LockGranted
            | Event::Carried(_)
            | Event::Child(..) => {}
        }
        self.call_if_needed(site);
        self.state(site)
    }

    /// The homes that were asked take long: one more is asked, as the budget allows.
    fn hedge(&mut self, site: &mut Site) {
        if self.verdict() != Verdict::Pending {
            return;
        }
        let Some(held_back) = &mut self.held_back else { return };
        let now = site.now.time;
        if now >= held_back.called_at {
            self.call_all(site);
            return;
        }
        let called_at = held_back.called_at;
        let home = held_back.homes.first().copied();
        if let Some(home) = home
            && site.hedging.take()
        {
            held_back.homes.remove(0);
            held_back.hedged = Some(home);
            site.ask_reads(&[home], self.meta.id, self.attempt, &held_back.want);
        }
        if !held_back.homes.is_empty() {
            site.hedges.insert(called_at, self.meta.id);
        }
    }

    /// Others have failed, so that what was held back is needed.
    fn call_if_needed(&mut self, site: &mut Site) {
        let Some(held_back) = &self.held_back else { return };
        let mut without = self.tally.clone();
        held_back.homes.iter().for_each(|&home| without.fail(home));
        if !held_back.homes.is_empty() && without.verdict() == Verdict::Unreachable {
            self.call_all(site);
        }
    }

    fn call_all(&mut self, site: &mut Site) {
        if let Some(held_back) = &mut self.held_back {
            let homes = std::mem::take(&mut held_back.homes);
            site.hedging.stats.called += homes.len() as u64;
            site.ask_reads(&homes, self.meta.id, self.attempt, &held_back.want);
        }
    }

    /// Where the round stands; starts the write-back when a strict answer needs one.
    pub fn state(&mut self, site: &mut Site) -> RoundState {
        match self.verdict() {
            Verdict::Pending => return RoundState::Pending,
            Verdict::Unreachable => return RoundState::Failed(self.not_enough()),
            Verdict::Reached => {}
        }
        if !self.strict {
            return RoundState::Ready;
        }
        if self.write_back.is_none() {
            self.start_write_back(site);
        }
        let verdict = self
            .write_back
            .as_ref()
            .map_or(Verdict::Reached, |back| back.holders.verdict());
        match verdict {
            Verdict::Reached => RoundState::Ready,
            Verdict::Pending => RoundState::Pending,
            Verdict::Unreachable => RoundState::Failed(self.not_enough()),
        }
    }

    /// What the answer may show: what the homes that answered hold together. Of a strict read, only what was known when
    /// its write-back began: what came later is not known to be held widely enough to be shown.
    #[must_use]
    pub fn merged(&self) -> Merged {
        let shown = self.write_back.as_ref().map_or(self.answers.len(), |back| back.answers);
        self.merge(&self.answers[..shown])
    }

    fn merge(&self, answers: &[(NodeId, ReadAnswer)]) -> Merged {
        let mut merged = Merged::default();
        for (node, answer) in answers {
            merged.cleared.extend_from_slice(&answer.cleared);
            merged.highest = merged.highest.max(answer.highest);
            if self.is_range && self.tally.has_counted(*node) {
                merged.complete_up_to = smaller(merged.complete_up_to, answer.complete_up_to.clone());
            }
        }
        let mut all: Records = answers
            .iter()
            .flat_map(|(_, answer)| answer.records.iter().cloned())
            .collect();
        if answers.len() > 1 {
            all.sort_by(|a, b| a.0.cmp(&b.0));
        }
        for (key, record) in all {
            if merged
                .complete_up_to
                .as_ref()
                .is_some_and(|end| key.as_bytes() >= &end[..])
            {
                continue;
            }
            match merged.records.last_mut() {
                Some(last) if last.0 == key => merge_into(&mut last.1, &record),
                Some(_) | None => merged.records.push((key, record)),
            }
        }
        merged
    }

    /// True once every home that was asked has answered or failed.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let is_held_back = |node: NodeId| self.held_back.as_ref().is_some_and(|held| held.homes.contains(&node));
        self.tally.waiting().all(is_held_back)
    }

    /// True if this home's answer counts.
    #[must_use]
    pub fn has_counted(&self, node: NodeId) -> bool {
        self.tally.has_counted(node)
    }

    /// Whose answers count so far.
    #[must_use]
    pub fn answered(&self) -> Answered {
        Answered {
            answered: self.tally.answered(),
            n: self.tally.n(),
            sloppy: self.tally.is_sloppy(),
        }
    }

    /// Sends the homes that answered what they lack; nobody waits for it.
    pub fn repair(&self, site: &mut Site) {
        let merged = self.merge(&self.answers);
        let clears = self.clears();
        for (node, answer) in self.answers.iter().filter(|(node, _)| !self.tally.is_stand_in(*node)) {
            let mendable = answer.damaged.iter().filter(|key| self.may_mend(key));
            // No other home has anything: an empty record ends the damage, or the key could never be read at all homes.
            let empty: Records = mendable
                .filter(|key| merged.record(key).is_none())
                .filter_map(|key| Some((key.clone(), empty_record(key, site)?)))
                .collect();
            let lacking: Records = merged
                .records
                .iter()
                .filter(|record| !holds(answer, record))
                .filter(|record| !answer.damaged.contains(&record.0) || self.may_mend(&record.0))
                .cloned()
                .chain(empty)
                .chain(clears.iter().filter(|clear| !holds(answer, clear)).cloned())
                .collect();
            let lacking = if active(Mutant::ExpiredResurrected) {
                lacking
                    .into_iter()
                    .map(|record| revived(record, site.now.wall))
                    .collect()
            } else {
                lacking
            };
            if !lacking.is_empty() {
                site.stats.read_repairs += 1;
                site.ask_merge(&[*node], None, lacking, Space::NotNeeded);
            }
        }
    }

    fn clears(&self) -> Records {
        let places = self.places.as_ref();
        places.map_or_else(Records::new, |places| places.clears(&self.answers))
    }

    /// A damaged record is mended only from all other homes together: until then what its home had acknowledged is unknown
    /// (RULINGS 19). Homes whose record is damaged too have nothing to add, but one home at least must know the record.
    fn may_mend(&self, key: &RecordKey) -> bool {
        let speaks_of = |answer: &ReadAnswer| {
            let end = answer.complete_up_to.as_ref();
            !answer.rebuilding && end.is_none_or(|end| key.as_bytes() < &end[..])
        };
        let of_homes = self.answers.iter().filter(|(node, _)| !self.tally.is_stand_in(*node));
        let mut answers = of_homes.map(|(_, answer)| answer);
        answers.clone().count() == usize::from(self.tally.n())
            && answers.clone().all(speaks_of)
            && answers.any(|answer| !answer.damaged.contains(key))
    }

    fn verdict(&self) -> Verdict {
        if active(Mutant::QuorumOfOne) && self.tally.answered() > 0 {
            return Verdict::Reached;
        }
        self.tally.verdict()
    }

    fn on_answer(&mut self, from: NodeId, answer: ReadAnswer, site: &mut Site) {
        if !self.tally.waiting().any(|node| node == from) {
            return;
        }
        if let Some(held_back) = &self.held_back
            && held_back.hedged == Some(from)
            && self.tally.verdict() == Verdict::Pending
        {
            site.hedging.stats.won += 1;
        }
        let rebuilding = answer.rebuilding && !active(Mutant::RebuildingCounts);
        let keeps_nothing = self.tally.is_stand_in(from) && answer.records.is_empty();
        if rebuilding || keeps_nothing || !answer.damaged.is_empty() {
            self.tally.fail(from);
        } else {
            self.tally.count(from);
        }
        if let Some(back) = &mut self.write_back
            && back.records.iter().all(|record| holds(&answer, record))
        {
            back.holders.count(from);
        }
        self.answers.push((from, answer));
    }

    fn on_failed(&mut self, node: NodeId, site: &mut Site) {
        if self.tally.waiting().any(|waiting| waiting == node) {
            self.ask_stand_ins(site);
        }
        self.tally.fail(node);
        if let Some(back) = &mut self.write_back {
            back.holders.fail(node);
        }
    }

    fn on_refused(&mut self, from: NodeId, reason: Refusal, site: &mut Site) {
        match (&mut self.write_back, reason) {
            // The receiver has rotated its token since we last heard of it; this operation is live, so it may go again.
            (Some(back), Refusal::StaleSession) => {
                let records = back.records.clone();
                site.ask_merge(&[from], Some((self.meta.id, self.attempt)), records, Space::NotNeeded);
            }
            _ => self.on_failed(from, site),
        }
    }

    fn on_written_back(&mut self, from: NodeId, result: &WriteResult) {
        if let Some(back) = &mut self.write_back {
            match result {
                WriteResult::Done { .. } => back.holders.count(from),
                WriteResult::DiskFull | WriteResult::Failed => back.holders.fail(from),
            }
        }
    }

    /// RULINGS 14: at least N−R+1 homes must hold what a strict read returns, and what hides what it does not.
    fn start_write_back(&mut self, site: &mut Site) {
        let merged = self.merged();
        let clears = self.clears();
        let n = usize::from(self.tally.n());
        let r = usize::from(self.tally.needed());
        let holders_min = (n + 1).saturating_sub(r).max(1);
        let holders =
            |record: &(RecordKey, Arc<Record>)| self.answers.iter().filter(|(_, answer)| holds(answer, record)).count();
        let short: Records = merged
            .records
            .into_iter()
            .filter(|record| !record.0.is_partition_head())
            .chain(clears)
            .filter(|record| holders(record) < holders_min)
            .collect();
        let homes = self.tally.homes();
        if short.is_empty() {
            self.write_back = Some(Box::new(WriteBack {
                answers: self.answers.len(),
                records: short,
                holders: Tally::new(&homes, Need::Any(0)),
            }));
            return;
        }
        let mut tally = Tally::new(&homes, Need::Any(holders_min as u8));
        let mut to: SmallVec<[NodeId; 3]> = SmallVec::new();
        for home in &homes {
            let answer = self.answers.iter().find(|answer| answer.0 == home.node);
            if answer.is_some_and(|answer| short.iter().all(|record| holds(&answer.1, record))) {
                tally.count(home.node);
            } else if site.is_reachable(home.node) {
                to.push(home.node);
            } else {
                tally.fail(home.node);
            }
        }
        site.stats.write_backs += 1;
        site.ask_merge(&to, Some((self.meta.id, self.attempt)), short.clone(), Space::NotNeeded);
        self.write_back = Some(Box::new(WriteBack {
            answers: self.answers.len(),
            records: short,
            holders: tally,
        }));
    }

    /// It is refused as soon as too few can answer: those that still may are counted, as they are for a put that is refused
    /// before anything is sent.
    fn not_enough(&self) -> Cause {
        let (needed, answered, n) = self.counts();
        let waiting = match &self.write_back {
            Some(back) => back.holders.waiting().count(),
            None => self.tally.waiting().count(),
        };
        let answered = (answered + waiting as u8).min(needed.saturating_sub(1));
        Cause::NotEnoughReplicas { needed, answered, n }
    }

    fn deadline(&self) -> Cause {
        let (needed, answered, n) = self.counts();
        Cause::Deadline { needed, answered, n }
    }

    /// What is short: answers, or holders of what was answered.
    fn counts(&self) -> (u8, u8, u8) {
        match &self.write_back {
            Some(back) => (back.holders.needed(), back.holders.answered(), back.holders.n()),
            None => (self.tally.needed(), self.tally.answered(), self.tally.n()),
        }
    }
}

/// Takes the slow homes out of those to ask, if the others are enough.
fn hold_back(
    ask: &mut SmallVec<[NodeId; 3]>,
    tally: &Tally,
    want: &ReadWant,
    meta: Meta,
    site: &mut Site,
) -> Option<Box<HeldBack>> {
    if ask.iter().all(|&node| node == site.id) {
        return None;
    }
    let now = site.now.time;
    let mut homes: SmallVec<[NodeId; 3]> = SmallVec::new();
    for &node in ask.iter() {
        if site.circuits.is_avoided(node, now) {
            homes.push(node);
        }
    }
    let mut without = tally.clone();
    homes.iter().for_each(|&home| without.fail(home));
    if homes.is_empty() || without.verdict() == Verdict::Unreachable {
        site.hedging.on_read(false);
        return None;
    }
    site.hedging.on_read(true);
    ask.retain(|node| !homes.contains(node));
    let patience_us = site.circuits.patience_us(ask);
    site.hedges.insert(Time(now.0 + patience_us), meta.id);
    Some(Box::new(HeldBack {
        homes,
        want: want.clone(),
        called_at: now.plus_ms(HOLD_BACK_MS_MAX),
        hedged: None,
    }))
}

fn empty_record(key: &RecordKey, site: &Site) -> Option<Arc<Record>> {
    let record = match site.catalog.bucket(key.bucket())?.conflict {
        Conflict::Siblings => Record::Siblings(SiblingsRecord::default()),
        Conflict::Lww => Record::Lww(LwwRecord::default()),
    };
    Some(Arc::new(record))
}

/// The planted bug: what has expired is written back as if it never would.
fn revived((key, record): (RecordKey, Arc<Record>), wall: Wall) -> (RecordKey, Arc<Record>) {
    let mut record = (*record).clone();
    match &mut record {
        Record::Siblings(siblings) => {
            for sibling in &mut siblings.siblings {
                sibling.1.expires_at = sibling.1.expires_at.filter(|&at| at > wall);
            }
        }
        Record::Lww(lww) if lww.is_expired(wall) => lww.expiry.at = None,
        Record::Lww(_) => {}
    }
    (key, Arc::new(record))
}

fn holds(answer: &ReadAnswer, record: &(RecordKey, Arc<Record>)) -> bool {
    if record.0.is_partition_head()
        && let Some(head) = record.1.as_lww()
    {
        let place = (record.0.partition(), record.0.bucket());
        let mut clears = answer.cleared.iter().filter(|clear| (clear.0, clear.1) == place);
        return clears.any(|clear| clear.2 >= head.cleared_at);
    }
    let at = answer.records.binary_search_by(|held| held.0.cmp(&record.0));
    at.is_ok_and(|at| Arc::ptr_eq(&answer.records[at].1, &record.1) || answer.records[at].1 == record.1)
}

fn merge_into(mine: &mut Arc<Record>, theirs: &Arc<Record>) {
    if Arc::ptr_eq(mine, theirs) || mine == theirs {
        return;
    }
    // Kinds differ only if a replica is damaged beyond its checksums: keep the first, its own bucket's checks will speak.
    let _ = Arc::make_mut(mine).merge(theirs);
}

fn smaller(a: Option<Bytes>, b: Option<Bytes>) -> Option<Bytes> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, None) => a,
        (None, b) => b,
    }
}
