//! This node's life: who signs its dots (RULINGS 2). A life continues after a restart only if it was stopped cleanly and
//! a peer confirms that nothing happened since; a failed commit or anything forgotten ends it.

use crate::births::Births;
use crate::causality::{Context, Dot, Record, Stamp};
use crate::id::{ActorId, Life, NodeId};
use crate::storage::CleanMarker;
use crate::time::{Hlc, HlcClock, Wall};

/// Ranges of births that are remembered as reaped; with more a new life begins, of which none was.
const REAPED_RANGES_MAX: usize = 100_000;

/// Leads from a random life to one that is as good as random.
const SUCCESSOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Which actor the next dot of a key continues.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lineage {
    /// This node is a home: its record names all that it ever signed for the key.
    Record,
    /// This node keeps the key for a home, and remembers this dot as the last that it signed for it. What it signed may have been
    /// handed over and forgotten here, and come back in part with what others keep: nothing but the dot tells.
    Kept(Option<Dot>),
}

/// Mints dots and stamps.
#[derive(Debug)]
pub struct Minter {
    node: NodeId,
    life: Life,
    birth: u64,
    /// Counter of stamps, which have no record of their own to count in.
    stamps: u64,
    has_minted: bool,
    /// Births of this life whose record was reaped, or whose entry was pruned: none of them signs again.
    reaped: Births,
    /// It has signed a record that no stop leaves: of a memory bucket.
    signs_in_memory: bool,
    /// The life before the clean stop may still go on in place of this one.
    may_resume: bool,
}

impl Minter {
    /// A new life.
    #[must_use]
    pub fn new(node: NodeId, life: Life) -> Self {
        Self {
            node,
            life,
            birth: 0,
            stamps: 0,
            has_minted: false,
            reaped: Births::default(),
            signs_in_memory: false,
            may_resume: false,
        }
    }

    /// The current life.
    #[must_use]
    pub fn life(&self) -> Life {
        self.life
    }

    /// The current life, if no other life of this node can sign any more.
    #[must_use]
    pub fn settled_life(&self) -> Option<Life> {
        let may_change = self.may_resume && !self.has_minted;
        (!may_change).then_some(self.life)
    }

    /// Peers may confirm that the life before the clean stop goes on.
    pub fn await_resumption(&mut self) {
        self.may_resume = true;
    }

    /// Ends the current life. Whoever has signed since its start goes back to none before it, whatever peers may confirm
    /// yet: it may have said that they are over.
    pub fn begin(&mut self, life: Life) {
        *self = Self {
            may_resume: self.may_resume,
            has_minted: self.has_minted,
            ..Self::new(self.node, life)
        };
    }

    /// Goes on with the life that was stopped cleanly, unless something was minted under the new one already.
    /// Says whether it does.
    pub fn resume(&mut self, marker: &CleanMarker) -> bool {
        if self.has_minted {
            return false;
        }
        self.may_resume = false;
        self.life = marker.life;
        self.birth = marker.birth;
        self.stamps = marker.birth;
        true
    }

    /// What a clean stop writes.
    #[must_use]
    pub fn marker(&self, hlc: Hlc, incarnation: u64) -> CleanMarker {
        // Which births were reaped is not kept, and records in memory are not either: a client's context may bring back a part
        // of what these actors had signed. The next boot goes on with a life of which nothing is gone.
        let is_whole = self.reaped.is_empty() && !self.signs_in_memory;
        let life = if is_whole {
            self.life
        } else {
            Life(self.life.0.wrapping_mul(SUCCESSOR) ^ self.birth)
        };
        CleanMarker {
            life,
            birth: self.birth.max(self.stamps),
            hlc,
            incarnation,
        }
    }

    /// The next dot for a key of which `seen` is all that this replica knows. An actor continues only on a record that
    /// holds an entry of it: otherwise an older, handed-off dot of our own could be covered by the new one (riak_kv #679).
    /// One that was reaped or pruned never does: a client's context may bring back a part of what it had signed, and the next
    /// number after that part was used.
    pub fn mint_dot(&mut self, seen: &Context, lineage: Lineage) -> Dot {
        self.has_minted = true;
        let mine =
            |actor: &ActorId| actor.node == self.node && actor.life == self.life && !self.reaped.contains(actor.birth);
        let continued = match lineage {
            Lineage::Kept(last) => last.map(|dot| dot.actor).filter(mine),
            Lineage::Record => {
                let from_vector = seen.vector().iter().map(|entry| entry.0);
                from_vector
                    .chain(seen.dots().iter().map(|dot| dot.actor))
                    .filter(mine)
                    .max()
            }
        };
        let actor = continued.unwrap_or_else(|| {
            self.birth += 1;
            ActorId {
                node: self.node,
                life: self.life,
                birth: self.birth,
            }
        });
        let last = match lineage {
            Lineage::Kept(Some(last)) if last.actor == actor => last.counter,
            Lineage::Kept(_) | Lineage::Record => 0,
        };
        Dot {
            actor,
            counter: seen.highest(actor).max(last) + 1,
        }
    }

    /// The next stamp: above the wall clock, everything this node has seen, and `floor`.
    pub fn mint_stamp(&mut self, clock: &mut HlcClock, wall: Wall, floor: Hlc) -> Stamp {
        self.has_minted = true;
        self.stamps += 1;
        let actor = ActorId {
            node: self.node,
            life: self.life,
            birth: 0,
        };
        Stamp {
            hlc: clock.mint(wall, floor),
            dot: Dot {
                actor,
                counter: self.stamps,
            },
        }
    }

    /// The dot that was minted last is of a record in memory.
    pub fn note_signed_in_memory(&mut self) {
        self.signs_in_memory = true;
    }

    /// A record was reaped: that it is not held any more is no sign of having forgotten something.
    pub fn note_reaped(&mut self, record: &Record) {
        let Record::Siblings(record) = record else { return };
        let actors = record.seen.vector().iter().map(|entry| entry.0);
        for actor in actors.chain(record.seen.dots().iter().map(|dot| dot.actor)) {
            self.note_gone(actor);
        }
    }

    /// An actor's entry is gone from a record that goes on: what others still have of it is no sign of having forgotten
    /// something, and it signs no more.
    pub fn note_gone(&mut self, actor: ActorId) {
        if actor.node != self.node {
            return;
        }
        if actor.life == self.life {
            self.reaped.insert(actor.birth);
        } else if self.may_resume {
            // The life before the stop would go on without knowing: it is over.
            self.has_minted = true;
        }
    }

    /// True if too many births of this life were reaped to go on remembering them: a new one is due.
    #[must_use]
    pub fn is_worn(&self) -> bool {
        self.reaped.ranges() > REAPED_RANGES_MAX
    }

    /// True if `seen` names a dot of the current life beyond what `held` has: this replica has forgotten something.
    #[must_use]
    pub fn has_forgotten(&self, seen: &Context, held: Option<&Context>) -> bool {
        let mine =
            |actor: ActorId| actor.node == self.node && actor.life == self.life && !self.reaped.contains(actor.birth);
        let held_highest = |actor: ActorId| held.map_or(0, |context| context.highest(actor));
        seen.vector()
            .iter()
            .any(|&(actor, counter)| mine(actor) && counter > held_highest(actor))
            || seen
                .dots()
                .iter()
                .any(|dot| mine(dot.actor) && dot.counter > held_highest(dot.actor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causality::SiblingsRecord;

    fn minter() -> Minter {
        Minter::new(NodeId(1), Life(7))
    }

    #[test]
    fn a_key_without_a_record_gets_an_actor_of_its_own() {
        let mut minter = minter();
        let first = minter.mint_dot(&Context::new(), Lineage::Record);
        let second = minter.mint_dot(&Context::new(), Lineage::Record);
        assert_eq!((first.counter, second.counter), (1, 1));
        assert_ne!(first.actor, second.actor);
    }

    #[test]
    fn a_key_with_a_record_of_this_life_continues_its_actor() {
        let mut minter = minter();
        let first = minter.mint_dot(&Context::new(), Lineage::Record);
        let mut seen = Context::new();
        seen.insert(first);
        assert_eq!(
            minter.mint_dot(&seen, Lineage::Record),
            Dot {
                actor: first.actor,
                counter: 2
            }
        );
    }

    #[test]
    fn a_stand_in_continues_only_what_it_signed_last_on_what_it_still_keeps() {
        let mut minter = minter();
        let first = minter.mint_dot(&Context::new(), Lineage::Kept(None));
        let mut seen = Context::new();
        seen.insert(first);
        let second = minter.mint_dot(&seen, Lineage::Kept(Some(first)));
        assert_eq!((second.actor, second.counter), (first.actor, 2));
        // The second was handed over and forgotten here; an older record with the first comes from elsewhere.
        let third = minter.mint_dot(&seen, Lineage::Kept(None));
        assert_ne!(third.actor, first.actor, "or it would be the second again");
    }

    #[test]
    fn a_new_life_never_continues_an_old_actor() {
        let mut minter = minter();
        let mut seen = Context::new();
        seen.insert(minter.mint_dot(&Context::new(), Lineage::Record));
        minter.begin(Life(8));
        let dot = minter.mint_dot(&seen, Lineage::Record);
        assert_eq!((dot.actor.life, dot.counter), (Life(8), 1));
    }

    #[test]
    fn a_life_resumes_only_before_anything_was_minted() {
        let marker = CleanMarker {
            life: Life(3),
            birth: 9,
            hlc: Hlc::ZERO,
            incarnation: 1,
        };
        let mut fresh = minter();
        assert!(fresh.resume(&marker));
        assert_eq!(
            fresh.mint_dot(&Context::new(), Lineage::Record).actor,
            ActorId {
                node: NodeId(1),
                life: Life(3),
                birth: 10
            }
        );
        let mut used = minter();
        used.mint_dot(&Context::new(), Lineage::Record);
        assert!(!used.resume(&marker));
    }

    /// Reaped after two writes; then a client that had read between them put with its old context at another home. The
    /// actor went on from there: its second dot named two writes, and a context that had seen the first covered the second.
    #[test]
    fn an_actor_whose_record_was_reaped_never_signs_again() {
        let mut minter = minter();
        let mut record = SiblingsRecord::default();
        let first = minter.mint_dot(&record.seen, Lineage::Record);
        record.seen.insert(first);
        let after_first = record.seen.clone();
        record.seen.insert(minter.mint_dot(&record.seen, Lineage::Record));
        minter.note_reaped(&Record::Siblings(record));
        assert!(!minter.has_forgotten(&after_first, None));
        assert_ne!(minter.mint_dot(&after_first, Lineage::Record).actor, first.actor);
    }

    /// The stop lost the record; a client put with an old context of it, and the actor went on from there.
    #[test]
    fn a_life_that_signed_in_memory_does_not_go_on_after_a_stop() {
        let mut minter = minter();
        minter.mint_dot(&Context::new(), Lineage::Record);
        assert_eq!(minter.marker(Hlc::ZERO, 1).life, Life(7));
        minter.note_signed_in_memory();
        assert_ne!(minter.marker(Hlc::ZERO, 1).life, Life(7));
        minter.begin(Life(8));
        assert_eq!(
            minter.marker(Hlc::ZERO, 1).life,
            Life(8),
            "which has signed nothing yet"
        );
    }

    #[test]
    fn a_life_is_settled_once_no_earlier_one_can_go_on() {
        let mut minter = minter();
        assert_eq!(minter.settled_life(), Some(Life(7)));
        minter.await_resumption();
        minter.begin(Life(8));
        assert_eq!(minter.settled_life(), None, "the one before the stop may go on");
        minter.mint_dot(&Context::new(), Lineage::Record);
        assert_eq!(minter.settled_life(), Some(Life(8)));
        minter.begin(Life(9));
        assert_eq!(minter.settled_life(), Some(Life(9)));
        let before_the_stop = CleanMarker {
            life: Life(3),
            birth: 9,
            hlc: Hlc::ZERO,
            incarnation: 1,
        };
        assert!(!minter.resume(&before_the_stop), "it was said to be over");
    }

    #[test]
    fn a_dot_of_this_life_beyond_what_is_held_means_something_was_forgotten() {
        let mut minter = minter();
        let mut seen = Context::new();
        seen.insert(minter.mint_dot(&Context::new(), Lineage::Record));
        assert!(minter.has_forgotten(&seen, None));
        assert!(!minter.has_forgotten(&seen, Some(&seen)));
        minter.begin(Life(8));
        assert!(!minter.has_forgotten(&seen, None), "another life's dots prove nothing");
    }
}
