//! Updates of a key that wait while another begins go along with it: one quorum read, each applied to what the one before left,
//! one commit, one spread. So a key that many update pays one sync for all of them
//! ([why that is safe](../../../../docs/decisions/0010-waiting-updates-share-a-sync.md)).

use bytes::Bytes;

use crate::command::UpdateKey;
use crate::coordinator::locks::{KeyLocks, Waiting};
use crate::event::Event;
use crate::id::OpId;
use crate::keyspace::{self, Update, UpdateReply, Want};
use crate::mutants::{Mutant, active};
use crate::outcome::{Answered, Cause, Certainty, Failure, Outcome};
use crate::site::Site;
use crate::time::Time;

/// Most updates that go along: the first is answered no sooner than the last.
const RIDERS_MAX: usize = 256;
/// Most bytes that they write, with [`FIELD_BYTES`] for each field.
const WEIGHT_MAX: usize = 64 << 10;
const FIELD_BYTES: usize = 32;
/// How much longer than the one that it goes with an update may want to wait: it shares its deadline.
const PATIENCE_MS: u64 = 1_000;

/// What becomes of an update whose reply is known, when the commit that carries it ends.
#[derive(Debug)]
pub struct Share {
    /// What to answer, or why it is refused; nothing that the others do changes it.
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
    op: OpId,
    /// What it does.
    pub update: Update,
    /// What is answered to it.
    pub share: Share,
}

/// Those that go along with one update, in their order.
#[derive(Debug, Default)]
pub struct Riders {
    riders: Vec<Rider>,
    /// They have left the queue: their answers come from here.
    are_aboard: bool,
}

impl Riders {
    /// Those of the first that wait for `leader`'s key that may go along with it: what they want to know is read for them too.
    pub fn of(leader: &UpdateKey, deadline: Time, locks: &KeyLocks, group: &Bytes) -> Self {
        let mut weight = weight_of(&leader.update);
        let may_ride = |waiting: &&Waiting| {
            weight += weight_of(&waiting.command.update);
            weight <= WEIGHT_MAX && suits(leader, deadline, waiting)
        };
        let riders = locks.waiting(group).take_while(may_ride).take(RIDERS_MAX);
        let riders = riders.map(|waiting| Rider {
            op: waiting.op,
            update: waiting.command.update.clone(),
            share: Share::default(),
        });
        Self {
            riders: riders.collect(),
            are_aboard: false,
        }
    }

    /// What to read for all.
    pub fn want(&self, mut want: Want) -> Want {
        for rider in &self.riders {
            keyspace::add_want(&mut want, &rider.update);
        }
        want
    }

    /// Takes out of the queue those that still wait. From now on they share what becomes of this commit.
    pub fn board(&mut self, group: &Bytes, site: &mut Site) {
        if self.are_aboard {
            return;
        }
        self.are_aboard = true;
        self.riders.retain(|rider| site.locks.take(group, rider.op));
        site.stats.updates_carried += self.riders.len() as u64;
    }

    /// Those aboard, in their order.
    pub fn aboard(&mut self) -> &mut [Rider] {
        let count = if self.are_aboard { self.riders.len() } else { 0 };
        &mut self.riders[..count]
    }

    /// Tells each what became of it.
    pub fn tell(&mut self, fate: &Result<Answered, Failure>, site: &mut Site) {
        for rider in self.aboard() {
            let outcome = rider.share.outcome(fate);
            site.notify(rider.op, Event::Carried(Some(outcome)));
        }
    }

    /// Nothing was done for any, for this node's copy can't be read: each looks for another home.
    pub fn set_down(&mut self, site: &mut Site) {
        for rider in self.aboard() {
            site.notify(rider.op, Event::Carried(None));
        }
    }

    /// A planted bug: they are answered before what carries them is durable anywhere.
    pub fn tell_too_early(&mut self, site: &mut Site) {
        if active(Mutant::RiderAnsweredEarly) {
            let answered = Answered::default();
            self.tell(&Ok(answered), site);
        }
    }
}

/// True if `waiting` may go along: it may share the read, wants to be as sure, and is about as patient.
fn suits(leader: &UpdateKey, deadline: Time, waiting: &Waiting) -> bool {
    let (asked, also) = (&leader.options, &waiting.command.options);
    keyspace::may_share(&leader.update, &waiting.command.update)
        && (asked.read, asked.write, asked.strict) == (also.read, also.write, also.strict)
        && waiting.deadline <= deadline.plus_ms(PATIENCE_MS)
}

fn weight_of(update: &Update) -> usize {
    let fields = match keyspace::want_of(update) {
        Want::Fields(fields) => fields.len(),
        Want::Head | Want::AllFields => 1,
    };
    update.payload_bytes() + fields * FIELD_BYTES
}
