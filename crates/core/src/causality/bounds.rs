//! What keeps contexts short (RULINGS 3). Folding takes out the entries of actors that will never sign again, once it is
//! proven that nothing older is left anywhere. Pruning is the last resort, of client puts alone: it drops the entries that
//! have not grown for longest, and what they had replaced may come back. Neither touches an actor with a live sibling.

use crate::causality::{Context, SiblingsRecord};
use crate::id::{ActorId, Life, NodeId};
use crate::limits::{
    CONTEXT_ENTRIES_FOLDED_FROM, CONTEXT_ENTRIES_MAX, CONTEXT_ENTRIES_SPARE, CONTEXT_ENTRIES_TIMED_FROM,
};
use crate::mutants::{Mutant, active};
use crate::time::Wall;

/// The same on every node, but for tests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ContextLimits {
    /// Entries past which a client put prunes.
    pub entries_max: usize,
    /// Entries that a pruned context may have beside those of live siblings.
    pub spare: usize,
    /// With more entries than this a context says when they grew.
    pub timed_from: usize,
    /// With more entries than this a context is worth the proof that folding takes.
    pub folded_from: usize,
}

impl Default for ContextLimits {
    fn default() -> Self {
        Self {
            entries_max: CONTEXT_ENTRIES_MAX,
            spare: CONTEXT_ENTRIES_SPARE,
            timed_from: CONTEXT_ENTRIES_TIMED_FROM,
            folded_from: CONTEXT_ENTRIES_FOLDED_FROM,
        }
    }
}

/// The current life of each node that said so, by node.
pub type Lives = Vec<(NodeId, Life)>;

impl SiblingsRecord {
    /// Writes down what grew at `at`: every entry that `before` had not, or had with less. What had no moment yet gets this
    /// one: it grew no later.
    pub fn note_growth(&mut self, before: &Context, at: Wall) {
        for actor in actors_of(&self.seen) {
            if self.growth.of(actor).is_none() || self.seen.highest(actor) > before.highest(actor) {
                self.growth.note(actor, at);
            }
        }
    }

    /// Actors whose entries have grown since the context was this.
    #[must_use]
    pub fn grown_since(&self, before: &Context) -> Vec<ActorId> {
        let mut actors = actors_of(&self.seen);
        actors.retain(|&actor| self.seen.highest(actor) > before.highest(actor));
        actors
    }

    /// Drops the oldest entries of a context that is too long; gives their actors. Entries of live siblings stay, and so do
    /// `fresh` ones: those of siblings that were just replaced, which other homes still hold until they hear of it, and those
    /// that this home had not heard of, which may be of siblings elsewhere. So the rest may stay longer than the limit says.
    pub fn prune(&mut self, limits: &ContextLimits, fresh: &[ActorId]) -> Vec<ActorId> {
        if self.seen.entries() <= limits.entries_max {
            return Vec::new();
        }
        let mut idle = if active(Mutant::PruneLiveActor) {
            actors_of(&self.seen)
        } else {
            self.idle_actors()
        };
        idle.retain(|actor| !fresh.contains(actor));
        let idle_entries: usize = idle.iter().map(|&actor| self.seen.entries_of(actor)).sum();
        let live_entries = self.seen.entries() - idle_entries;
        let most = limits.entries_max.max(live_entries + limits.spare);
        idle.sort_by_key(|&actor| (self.growth.of(actor), actor));
        let mut dropped = Vec::new();
        for actor in idle {
            if self.seen.entries() <= most {
                break;
            }
            self.forget(actor);
            dropped.push(actor);
        }
        dropped
    }

    /// Actors in the context that signed none of the siblings.
    #[must_use]
    pub fn idle_actors(&self) -> Vec<ActorId> {
        let is_live = |actor: &ActorId| self.siblings.iter().any(|sibling| sibling.0.actor == *actor);
        let mut actors = actors_of(&self.seen);
        actors.retain(|actor| !is_live(actor));
        actors
    }

    /// This record without the entries of lives that are over; `None` if there are none. The same everywhere: it follows
    /// from the record and from `lives` alone.
    #[must_use]
    pub fn folded(&self, lives: &[(NodeId, Life)], limits: &ContextLimits) -> Option<Self> {
        let mut dead = self.idle_actors();
        dead.retain(|actor| is_over(*actor, lives));
        if dead.is_empty() {
            return None;
        }
        let mut folded = self.clone();
        for actor in dead {
            folded.forget(actor);
        }
        if folded.seen.entries() <= limits.timed_from {
            folded.growth = Default::default();
        }
        Some(folded)
    }

    fn forget(&mut self, actor: ActorId) {
        self.seen.forget(actor);
        self.growth.forget(actor);
    }
}

/// True if the actor's node has said that it lives another life.
#[must_use]
pub fn is_over(actor: ActorId, lives: &[(NodeId, Life)]) -> bool {
    lives
        .iter()
        .any(|&(node, life)| node == actor.node && life != actor.life)
}

/// Every actor of a context, sorted, once.
fn actors_of(context: &Context) -> Vec<ActorId> {
    let vector = context.vector().iter().map(|entry| entry.0);
    let mut actors: Vec<ActorId> = vector.chain(context.dots().iter().map(|dot| dot.actor)).collect();
    actors.sort_unstable();
    actors.dedup();
    actors
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::causality::{Dot, Payload, Value, Version};
    use crate::time::Hlc;

    const LIMITS: ContextLimits = ContextLimits {
        entries_max: 4,
        spare: 1,
        timed_from: 0,
        folded_from: 0,
    };

    fn actor(node: u32, life: u64) -> ActorId {
        ActorId {
            node: NodeId(node),
            life: Life(life),
            birth: 1,
        }
    }

    fn dot(actor: ActorId, counter: u64) -> Dot {
        Dot { actor, counter }
    }

    fn version() -> Version {
        Version {
            payload: Payload::Value(Value::plain(Bytes::from_static(b"v"))),
            written_at: Hlc(1),
            expires_at: None,
        }
    }

    /// A put of an actor that has seen everything, or nothing.
    fn put(record: &mut SiblingsRecord, actor: ActorId, counter: u64, has_seen: bool, at: u64) {
        let before = record.seen.clone();
        let context = if has_seen { before.clone() } else { Context::new() };
        record.put(&context, dot(actor, counter), version());
        record.note_growth(&before, Wall(at));
    }

    #[test]
    fn the_entries_that_have_not_grown_for_longest_are_dropped() {
        let mut record = SiblingsRecord::default();
        for node in 1..=5 {
            put(&mut record, actor(node, 1), 1, true, u64::from(node) * 10);
        }
        put(&mut record, actor(1, 1), 2, true, 60);
        put(&mut record, actor(6, 1), 1, true, 70);
        assert_eq!(record.prune(&LIMITS, &[]), [actor(2, 1), actor(3, 1)]);
        assert_eq!(record.seen.entries(), 4);
        assert_eq!(
            record.growth.as_slice(),
            [
                (actor(1, 1), Wall(60)),
                (actor(4, 1), Wall(40)),
                (actor(5, 1), Wall(50)),
                (actor(6, 1), Wall(70))
            ]
        );
        assert_eq!(record.prune(&LIMITS, &[]), [], "once is enough");
    }

    #[test]
    fn an_actor_with_a_live_sibling_is_never_dropped() {
        let mut record = SiblingsRecord::default();
        for node in 1..=6 {
            put(&mut record, actor(node, 1), 1, false, u64::from(node));
        }
        assert_eq!(record.prune(&LIMITS, &[]), [], "six siblings have six entries");
        put(&mut record, actor(7, 1), 1, true, 7);
        let replaced: Vec<ActorId> = (1..=6).map(|node| actor(node, 1)).collect();
        let mut just_replaced = record.clone();
        assert_eq!(just_replaced.prune(&LIMITS, &replaced), [], "others hold them still");
        assert_eq!(record.prune(&LIMITS, &[]), [actor(1, 1), actor(2, 1), actor(3, 1)]);
        assert!(record.seen.covers(dot(actor(7, 1), 1)));
    }

    #[test]
    fn what_grew_before_moments_were_written_down_goes_first() {
        let mut record = SiblingsRecord::default();
        put(&mut record, actor(9, 1), 1, true, 5);
        let unknown = (1..=4).map(|node| dot(actor(node, 1), 1));
        record.seen.merge(&Context::from_parts([], unknown));
        let before = record.seen.clone();
        record.put(&before, dot(actor(8, 1), 1), version());
        record.growth.note(actor(8, 1), Wall(6));
        assert_eq!(record.prune(&LIMITS, &[]), [actor(1, 1), actor(2, 1)]);
    }

    #[test]
    fn single_dots_of_an_idle_actor_go_with_it() {
        let mut record = SiblingsRecord::default();
        let gaps = [dot(actor(1, 1), 3), dot(actor(1, 1), 5), dot(actor(1, 1), 7)];
        record.put(&Context::from_parts([], gaps), dot(actor(2, 1), 1), version());
        record.put(&Context::new(), dot(actor(3, 1), 1), version());
        assert_eq!(record.prune(&LIMITS, &[]), [actor(1, 1)]);
        assert_eq!(record.seen.entries(), 2);
    }

    #[test]
    fn folding_takes_lives_that_are_over_and_no_others() {
        let mut record = SiblingsRecord::default();
        put(&mut record, actor(1, 1), 1, true, 1);
        put(&mut record, actor(1, 2), 1, true, 2);
        put(&mut record, actor(2, 1), 1, true, 3);
        put(&mut record, actor(3, 1), 1, true, 4);
        put(&mut record, actor(1, 3), 1, true, 5);
        let lives = [(NodeId(1), Life(3)), (NodeId(2), Life(1))];
        let folded = record.folded(&lives, &LIMITS).expect("two lives of node 1 are over");
        // Of node 3 nobody has said anything.
        let kept = [actor(1, 3), actor(2, 1), actor(3, 1)];
        assert_eq!(actors_of(&folded.seen), kept);
        assert_eq!(folded.siblings, record.siblings);
        assert_eq!(folded.folded(&lives, &LIMITS), None, "nothing is left to fold");
        // A life that is over and whose sibling stands stays.
        let over = [(NodeId(1), Life(4))];
        let folded = record.folded(&over, &LIMITS).expect("two lives without a sibling");
        assert!(folded.seen.covers(dot(actor(1, 3), 1)));
    }

    #[test]
    fn merging_a_folded_record_with_one_that_missed_it_gives_the_latter() {
        let mut record = SiblingsRecord::default();
        put(&mut record, actor(1, 1), 1, true, 1);
        put(&mut record, actor(1, 2), 1, true, 2);
        let folded = record.folded(&[(NodeId(1), Life(2))], &LIMITS).expect("a life is over");
        let mut merged = folded.clone();
        merged.merge(&record);
        assert_eq!(merged, record);
        let mut reversed = record.clone();
        reversed.merge(&folded);
        assert_eq!(reversed, record);
    }

    #[test]
    fn a_context_that_folding_made_short_forgets_when_it_grew() {
        let mut record = SiblingsRecord::default();
        put(&mut record, actor(1, 1), 1, true, 1);
        put(&mut record, actor(1, 2), 1, true, 2);
        let limits = ContextLimits {
            timed_from: 1,
            ..LIMITS
        };
        let folded = record.folded(&[(NodeId(1), Life(2))], &limits).expect("a life is over");
        assert!(folded.growth.is_empty() && !record.growth.is_empty());
    }
}
