//! Updates of a key that wait while another begins go along with it: one quorum read, each applied to what the one before left,
//! one commit, one spread. So a key that many update pays one sync for all of them
//! ([why that is safe](../../../../docs/decisions/0010-waiting-updates-share-a-sync.md)).

use bytes::Bytes;

use crate::command::{Options, UpdateKey};
use crate::coordinator::locks::Waiting;
use crate::event::Event;
use crate::keyspace::{self, Update, UpdateReply, Want};
use crate::mutants::{Mutant, active};
use crate::outcome::{Answered, Cause, Certainty, Failure, Outcome};
use crate::site::Site;
use crate::time::Time;

/// Most updates that go along: the first is answered no sooner than the last.
const RIDERS_MAX: usize = 256;
/// Most bytes that they write, with [`FIELD_BYTES`] for each field.
const WEIGHT_MAX: usize = 64 << 10;
/// Most bytes of a string that all of them together copy in one step.
const COPIED_BYTES_MAX: usize = 4 << 20;
const FIELD_BYTES: usize = 32;
/// How much longer than the one that it goes with an update may want to wait: it shares its deadline.
const PATIENCE_MS: u64 = 1_000;

/// What becomes of an update whose reply is known, when the commit that carries it ends.
#[derive(Debug)]
pub struct Share {
    /// What to answer, or why it is refused.
    pub reply: Result<UpdateReply, Cause>,
    /// An earlier attempt may have reached some home.
    pub is_tried: bool,
}

impl Default for Share {
    fn default() -> Self {
        Self {
            reply: Ok(UpdateReply::Done),
            is_tried: false,
        }
    }
}

impl Share {
    /// The outcome, given that of the commit.
    pub fn outcome(&mut self, fate: &Result<Answered, Failure>) -> Outcome {
        let unless_tried = |certainty| if self.is_tried { Certainty::Unknown } else { certainty };
        let reply = std::mem::replace(&mut self.reply, Ok(UpdateReply::Done));
        match (reply, fate) {
            (Ok(reply), Ok(answered)) => Outcome::Updated(reply, *answered),
            (Ok(_), Err(failure)) => Outcome::Failed(Failure {
                cause: failure.cause.clone(),
                certainty: unless_tried(failure.certainty),
            }),
            (Err(cause), _) => Outcome::Failed(Failure {
                cause,
                certainty: unless_tried(Certainty::NotApplied),
            }),
        }
    }

    /// The attempt is made again: what it wrote stands at some homes.
    pub fn try_again(&mut self) {
        self.is_tried |= self.reply.is_ok();
    }
}

/// One that goes along.
#[derive(Debug)]
pub struct Rider {
    waiting: Waiting,
    /// What is answered to it.
    pub share: Share,
}

impl Rider {
    /// What it does.
    #[must_use]
    pub fn update(&self) -> &Update {
        &self.waiting.command.update
    }
}

/// Those that go along with one update, in their order.
#[derive(Debug, Default)]
pub struct Riders {
    /// What they want to know is being read; they are still in the queue.
    chosen: Vec<Waiting>,
    /// They have left the queue: their answers come from here.
    aboard: Vec<Rider>,
    /// In company it did not work.
    is_alone: bool,
}

impl Riders {
    /// Chooses those of the first that wait for `leader`'s key that may go along with it.
    pub fn choose(&mut self, leader: &UpdateKey, deadline: Time, site: &Site, group: &Bytes) {
        if self.is_alone || !self.aboard.is_empty() {
            return;
        }
        let mut weight = weight_of(&leader.update);
        let may_ride = |waiting: &&Waiting| {
            weight += weight_of(&waiting.command.update);
            weight <= WEIGHT_MAX && suits(leader, deadline, waiting, site)
        };
        let chosen = site.locks.waiting(group).take_while(may_ride).take(RIDERS_MAX);
        self.chosen = chosen.cloned().collect();
    }

    /// True if others are read for, or go along.
    #[must_use]
    pub fn is_company(&self) -> bool {
        !self.chosen.is_empty() || !self.aboard.is_empty()
    }

    /// What to read for all.
    #[must_use]
    pub fn want(&self, mut want: Want) -> Want {
        let aboard = self.aboard.iter().map(Rider::update);
        for update in self.chosen.iter().map(|waiting| &waiting.command.update).chain(aboard) {
            keyspace::add_want(&mut want, update);
        }
        want
    }

    /// What was asked for all could not be read: that may be for one of them. True if there is somebody to leave behind.
    pub fn leave_behind(&mut self) -> bool {
        self.is_alone = true;
        !std::mem::take(&mut self.chosen).is_empty()
    }

    /// Takes out of the queue those that still wait. From now on they share what becomes of this commit. Each of them may copy the
    /// string, of so many bytes, once more: of a long one few go along.
    pub fn board(&mut self, group: &Bytes, string_bytes: usize, site: &mut Site) -> &mut [Rider] {
        let riders_max = COPIED_BYTES_MAX / string_bytes.max(1);
        for waiting in std::mem::take(&mut self.chosen).into_iter().take(riders_max) {
            if site.locks.take(group, waiting.op) {
                let share = Share::default();
                self.aboard.push(Rider { waiting, share });
                site.stats.updates_carried += 1;
            }
        }
        &mut self.aboard
    }

    /// True if an earlier attempt of one of them may have reached some home.
    #[must_use]
    pub fn are_tried(&self) -> bool {
        self.aboard.iter().any(|rider| rider.share.is_tried)
    }

    /// The attempt is made again.
    pub fn try_again(&mut self) {
        self.aboard.iter_mut().for_each(|rider| rider.share.try_again());
    }

    /// Tells each what became of it. Who was refused because of what others wrote, and these have failed, has failed with them.
    pub fn tell(&mut self, fate: &Result<Answered, Failure>, site: &mut Site) {
        for mut rider in std::mem::take(&mut self.aboard) {
            if let (Err(failure), Err(cause)) = (fate, &mut rider.share.reply) {
                *cause = failure.cause.clone();
            }
            let outcome = rider.share.outcome(fate);
            site.notify(rider.waiting.op, Event::Carried(Some(outcome)));
        }
    }

    /// Nothing was done for any, for this node's copy can't be read: each looks for another home.
    pub fn set_down(&mut self, site: &mut Site) {
        for rider in std::mem::take(&mut self.aboard) {
            site.notify(rider.waiting.op, Event::Carried(None));
        }
    }

    /// Nothing was done for any: they wait again, before those that have come since. True if there were any.
    pub fn put_back(&mut self, group: &Bytes, site: &mut Site) -> bool {
        let aboard = std::mem::take(&mut self.aboard);
        let had_any = self.leave_behind() || !aboard.is_empty();
        for rider in aboard.into_iter().rev() {
            site.locks.wait_first(group, rider.waiting);
        }
        had_any
    }

    /// A planted bug: they are answered before what carries them is durable anywhere.
    pub fn tell_too_early(&mut self, site: &mut Site) {
        if active(Mutant::RiderAnsweredEarly) {
            self.tell(&Ok(Answered::default()), site);
        }
    }
}

/// True if `waiting` may go along: it may share the read, wants to be as sure, and is about as patient.
fn suits(leader: &UpdateKey, deadline: Time, waiting: &Waiting, site: &Site) -> bool {
    let own = site.ring.dc_of(site.id);
    // What was asked here and what was forwarded by a node of the same data centre differ in words.
    let quorums = |command: &UpdateKey| {
        let bucket = site.bucket(command.target.bucket)?;
        let Options {
            read, write, strict, ..
        } = command.options;
        let sizes = [read.unwrap_or(bucket.r), write.unwrap_or(bucket.w)];
        Some((sizes.map(|size| size.fixed(own)), strict))
    };
    keyspace::may_share(&leader.update, &waiting.command.update)
        && quorums(leader) == quorums(&waiting.command)
        && waiting.deadline <= deadline.plus_ms(PATIENCE_MS)
}

fn weight_of(update: &Update) -> usize {
    let fields = match keyspace::want_of(update) {
        Want::Fields(fields) => fields.len(),
        Want::Head | Want::AllFields => 1,
    };
    let gap = match update {
        Update::SetRange { offset, .. } => *offset as usize,
        _ => 0,
    };
    update.payload_bytes() + fields * FIELD_BYTES + gap
}
