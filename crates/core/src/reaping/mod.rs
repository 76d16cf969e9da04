//! Reaping: a deleted or expired record is forgotten once every home holds exactly it, and nothing older is outstanding
//! anywhere (RULINGS 24); a record that lives is rid of the entries of lives that are over by the same proof (RULINGS 3).
//! Nothing is forgotten for its age alone. See `docs/reaping.md`.

mod copies;
mod dead;
mod home;
mod lead;
pub mod quarantine;
pub mod talk;
mod walk;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::background::{Runs, Work};
use crate::causality::Lives;
use crate::id::{Life, NodeId, Token};
use crate::site::Site;
use crate::storage::{StoreError, StoreReply};
use crate::time::Time;

pub use copies::Copies;
pub use lead::{AGE_MS, Block};

use home::{Goal, Home, say};
use lead::{Lead, Questions};
use talk::ReapTalk;
use walk::{Found, Walk};

/// Reaping draws its numbers from a generator of its own, so that what it does moves no other choice.
const SEED: u64 = 0x7265_6170_696e_6731;
/// How soon a walk may go on when there is no room for what it found, in milliseconds.
const FULL_MS: u64 = 10_000;
/// How soon a run walks once more after it has dropped something, or has forgotten what hid something else, in milliseconds.
const AGAIN_MS: u64 = 10_000;
/// How often it does: a page that stays unreadable ends it, and so does a peer that never answers.
const AGAIN_MAX: u8 = 4;
/// How soon a walk that may not go on asks again, in milliseconds.
const RETRY_MS: u64 = 1_000;

/// What an operator may know of reaping.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ReapingProgress {
    /// Dead records on their way to be forgotten.
    pub records: usize,
    /// Whole walks over the partitions that this node leads.
    pub walks: u64,
    /// Who is in the way, why, and since when.
    pub blocks: Vec<(NodeId, Block, Time)>,
}

/// See the module.
#[derive(Debug)]
pub struct Reaping {
    home: Home,
    lead: Lead,
    walk: Walk,
    /// What this node says to itself.
    own: VecDeque<ReapTalk>,
    runs: Runs,
    /// How often the run at hand has walked once more, and not for want of room.
    again: u8,
    /// The run does not walk before.
    again_at: Time,
}

impl Reaping {
    /// Nothing is on its way.
    #[must_use]
    pub fn new(seed: u64, now: Time) -> Self {
        Self {
            home: Home::default(),
            lead: Lead::new(seed ^ SEED),
            walk: Walk::new(now),
            own: VecDeque::new(),
            runs: Runs::default(),
            again: 0,
            again_at: now,
        }
    }

    /// When something is due.
    #[must_use]
    pub fn due(&self) -> Time {
        self.lead.due().min(self.walk.due())
    }

    /// For operators.
    #[must_use]
    pub fn progress(&self) -> ReapingProgress {
        ReapingProgress {
            records: self.lead.records(),
            walks: self.walk.walks,
            blocks: self.lead.blocks().collect(),
        }
    }

    /// A run that was asked for is not over.
    #[must_use]
    pub fn is_run_going(&self) -> bool {
        self.runs.is_going()
    }

    /// Questions of others that are being looked into.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.home.in_flight()
    }

    /// Goes on with what is due.
    pub fn go_on(&mut self, copies: &mut impl Copies, site: &mut Site) {
        let now = site.now.time;
        let pace = *site.background.pace(Work::Reaping);
        if !self.walk.is_walking() && self.lead.is_idle() {
            if std::mem::take(&mut self.lead.has_left_some) && self.again < AGAIN_MAX {
                self.again += 1;
                self.again_at = now.plus_ms(AGAIN_MS);
                self.runs.miss();
            }
            self.runs.end_pass();
        }
        let is_asked = self.runs.begins(&pace);
        if is_asked {
            self.again = 0;
            self.again_at = now;
        }
        let is_next = self.runs.needs_pass() && !self.walk.is_walking() && self.lead.is_idle();
        if is_asked || is_next {
            self.walk.begin_at(now.max(self.again_at));
        }
        if self.due() > now {
            return;
        }
        let is_paused = self.runs.is_paused(&pace);
        let lead = &mut self.lead;
        let may_walk = if self.walk.is_walking() {
            !is_paused
        } else {
            (!pace.paused || self.runs.needs_pass()) && lead.has_room()
        };
        if !may_walk || site.out_of_service {
            self.walk.wait(now.plus_ms(RETRY_MS));
        }
        if self.walk.go_on(site, |node| lead.block(node, Block::Away, now)) {
            self.runs.begin_pass();
        }
        let questions = self.lead.go_on(is_paused, site);
        self.ask(questions, copies, site);
    }

    /// A peer says something.
    pub fn on_talk(&mut self, from: NodeId, talk: ReapTalk, copies: &mut impl Copies, site: &mut Site) {
        self.hear(from, talk, copies, site);
        self.hear_own(copies, site);
    }

    /// A store effect is answered; gives it back if it was not asked for here.
    pub fn on_stored(
        &mut self,
        token: Token,
        reply: StoreReply,
        copies: &mut impl Copies,
        site: &mut Site,
    ) -> Option<StoreReply> {
        if self.walk.is_reading(token) {
            self.on_page(reply, copies, site);
            return None;
        }
        match self.home.on_stored(token, reply, copies, site) {
            Err(reply) => return Some(reply),
            Ok(None) => {}
            Ok(Some((asker, answer))) => {
                self.answer(asker, answer, site);
                self.hear_own(copies, site);
            }
        }
        None
    }

    /// A peer went away.
    pub fn on_peer_down(&mut self, node: NodeId) {
        self.lead.on_peer_down(node);
    }

    /// Runs every half second.
    pub fn on_tick(&mut self, site: &mut Site) {
        self.home.on_tick(site.now.time);
        self.lead.on_tick(site);
        if site.minter.is_worn() {
            site.new_life("too many records of the life before were reaped to tell them apart");
        }
    }

    fn on_page(&mut self, reply: StoreReply, copies: &mut impl Copies, site: &mut Site) {
        let page = match reply {
            StoreReply::Page(page) => Some(page),
            StoreReply::Failed(StoreError::Damaged) => {
                site.damage.note_somewhere();
                None
            }
            StoreReply::Record(_) | StoreReply::Done | StoreReply::Scrubbed(_) | StoreReply::Failed(_) => None,
        };
        self.lead.has_left_some |= page.is_none();
        for (place, goal, mut found) in self.walk.on_page(page, copies, site) {
            found.retain(|found| !self.lead.has(&found.key));
            if found.is_empty() {
                continue;
            }
            if home::decides_alone(goal) {
                carry_out_alone(goal, found, copies, site);
            } else if self.lead.has_room() {
                self.lead.add(place, goal, found, site);
            } else {
                // The next walk finds them again.
                self.runs.miss();
                self.walk.wait(site.now.time.plus_ms(FULL_MS));
            }
        }
        self.go_on(copies, site);
    }

    fn hear(&mut self, from: NodeId, talk: ReapTalk, copies: &mut impl Copies, site: &mut Site) {
        match talk {
            ReapTalk::Ask {
                op,
                partition,
                bucket,
                generation,
                entries,
            } => {
                let place = (partition, bucket);
                if let Some(answer) = self.home.on_ask(from, op, place, generation, entries, copies, site) {
                    self.answer(from, answer, site);
                }
            }
            ReapTalk::Answer {
                op,
                differing,
                unable,
                generation,
                life,
            } => {
                let lead = &mut self.lead;
                let questions = lead.on_answer(from, op, &differing, unable, generation, life, site);
                self.ask(questions, copies, site);
            }
            ReapTalk::Outstanding {
                op,
                partition,
                bucket,
                generation,
            } => {
                let is_clear = copies.is_clear_of_hints(partition, site.reap_age_ms, site.now.time);
                let answer = if is_clear {
                    self.home.on_clear(from, op, (partition, bucket), generation, site)
                } else {
                    let life = site.minter.settled_life();
                    Some(ReapTalk::Clear { op, is_clear, life })
                };
                if let Some(answer) = answer {
                    self.answer(from, answer, site);
                }
            }
            ReapTalk::Clear { op, is_clear, life } => {
                let questions = self.lead.on_clear(from, op, is_clear, life, site);
                self.ask(questions, copies, site);
            }
            ReapTalk::Reap {
                partition,
                bucket,
                generation,
                spared,
            } => {
                let place = (partition, bucket);
                let dead = self.home.on_agreed(from, place, generation, &spared, site);
                if !dead.is_empty() {
                    copies.reap(dead, site);
                }
            }
            ReapTalk::Fold {
                partition,
                bucket,
                generation,
                spared,
                lives,
            } => {
                let place = (partition, bucket);
                let long = self.home.on_agreed(from, place, generation, &spared, site);
                if !long.is_empty() {
                    copies.fold(long, &Arc::new(lives), site);
                }
            }
        }
    }

    fn ask(&mut self, questions: Questions, copies: &mut impl Copies, site: &mut Site) {
        for (to, talk) in questions {
            self.answer(to, talk, site);
        }
        self.hear_own(copies, site);
    }

    fn answer(&mut self, to: NodeId, talk: ReapTalk, site: &mut Site) {
        if to == site.id {
            self.own.push_back(talk);
        } else {
            say(to, talk, site);
        }
    }

    /// What this node asked of itself, it answers.
    fn hear_own(&mut self, copies: &mut impl Copies, site: &mut Site) {
        while let Some(talk) = self.own.pop_front() {
            self.hear(site.id, talk, copies, site);
        }
    }
}

/// A planted bug: nobody else is asked. Every actor without a sibling is taken for dead.
fn carry_out_alone(goal: Goal, found: Vec<Found>, copies: &mut impl Copies, site: &mut Site) {
    let nobody = Life(0);
    let actors = found.iter().flat_map(|found| &found.idle);
    let lives: Lives = actors.map(|actor| (actor.node, nobody)).collect();
    let entries = found.into_iter().map(|found| (found.key, found.hash)).collect();
    match goal {
        Goal::Reap => copies.reap(entries, site),
        Goal::Fold => copies.fold(entries, &Arc::new(lives), site),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bucket::{Bucket, Catalog};
    use crate::id::{BucketId, PartitionId};
    use crate::key::RecordKey;
    use crate::ring::{Member, Ring};
    use crate::time::{Hlc, HlcClock, Now, Wall};

    /// A node that is its whole cluster.
    pub(super) fn alone() -> Site {
        let catalog = Arc::new(Catalog::new(Bucket::initial()));
        let id = NodeId::of_name("n1");
        let member = Member {
            id,
            name: "n1".into(),
            dc: "dc1".into(),
            rack: "r1".into(),
            capacity: 1,
        };
        let ring = Arc::new(Ring::new(vec![member], 16, &catalog));
        let now = Now {
            time: Time(1_000_000),
            wall: Wall(1_700_000_000_000),
        };
        Site::new(id, ring, catalog, HlcClock::resume(Hlc::ZERO), 1, now)
    }

    pub(super) struct NoCopies;

    impl Copies for NoCopies {
        fn is_rebuilding(&self, _: BucketId) -> bool {
            false
        }

        fn is_busy_with(&self, _: &RecordKey) -> bool {
            false
        }

        fn is_idle(&self) -> bool {
            true
        }

        fn cleared_at(&self, _: &RecordKey) -> Hlc {
            Hlc::ZERO
        }

        fn is_clear_of_hints(&self, _: PartitionId, _: u64, _: Time) -> bool {
            true
        }

        fn fold(&mut self, _: Vec<(RecordKey, u128)>, _: &Arc<Lives>, _: &mut Site) {}

        fn reap(&mut self, _: Vec<(RecordKey, u128)>, _: &mut Site) {}
    }
}
