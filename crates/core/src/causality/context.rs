//! A context: the set of dots that somebody has seen, as a version vector plus single dots (RULINGS 1). It is exact:
//! a dot joins the vector only when every counter below it is known, so a context never claims an unseen write.

use crate::causality::Dot;
use crate::id::ActorId;
use crate::mutants::{Mutant, active};

/// A set of dots: `vector` covers 1..=counter of its actors, `dots` are single ones above it. Both stay sorted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Context {
    vector: Vec<(ActorId, u64)>,
    dots: Vec<Dot>,
}

impl Context {
    /// A context that has seen nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            vector: Vec::new(),
            dots: Vec::new(),
        }
    }

    /// Rebuilds a context from parts in any order; counters of 0 are dropped.
    #[must_use]
    pub fn from_parts(vector: impl IntoIterator<Item = (ActorId, u64)>, dots: impl IntoIterator<Item = Dot>) -> Self {
        let mut context = Self::new();
        for (actor, counter) in vector {
            context.raise(actor, counter);
        }
        for dot in dots {
            context.insert(dot);
        }
        context
    }

    /// A context of parts that are already in their one form; `None` if they are not: sorted, unique, no counter of 0, no
    /// single dot that the vector covers or could absorb.
    #[must_use]
    pub fn from_canonical(vector: Vec<(ActorId, u64)>, dots: Vec<Dot>) -> Option<Self> {
        let vector_is_sorted = vector.is_sorted_by(|a, b| a.0 < b.0) && vector.iter().all(|entry| entry.1 > 0);
        if !vector_is_sorted || !dots.is_sorted_by(|a, b| a < b) {
            return None;
        }
        let context = Self { vector, dots };
        let stands_alone = |dot: &Dot| dot.counter > 1 && dot.counter - 1 > context.contiguous(dot.actor);
        context.dots.iter().all(stands_alone).then_some(context)
    }

    /// True if nothing was seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.vector.is_empty() && self.dots.is_empty()
    }

    /// Vector entries and single dots together: what the bound of RULINGS 3 counts.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.vector.len() + self.dots.len()
    }

    /// The same of one actor.
    #[must_use]
    pub fn entries_of(&self, actor: ActorId) -> usize {
        let single = self.dots.iter().filter(|dot| dot.actor == actor).count();
        usize::from(self.slot(actor).is_ok()) + single
    }

    /// The vector part, by actor.
    #[must_use]
    pub fn vector(&self) -> &[(ActorId, u64)] {
        &self.vector
    }

    /// The single dots above the vector, in order.
    #[must_use]
    pub fn dots(&self) -> &[Dot] {
        &self.dots
    }

    /// True if `dot` was seen.
    #[must_use]
    pub fn covers(&self, dot: Dot) -> bool {
        let top = self.contiguous(dot.actor) + u64::from(active(Mutant::CoversOffByOne));
        dot.counter <= top || self.dots.binary_search(&dot).is_ok()
    }

    /// The highest counter of `actor` that was seen, single dots included; 0 if none.
    #[must_use]
    pub fn highest(&self, actor: ActorId) -> u64 {
        let single = self
            .dots
            .iter()
            .filter(|dot| dot.actor == actor)
            .map(|dot| dot.counter)
            .max();
        self.contiguous(actor).max(single.unwrap_or(0))
    }

    /// True if everything that `other` has seen was seen here too.
    #[must_use]
    pub fn descends(&self, other: &Self) -> bool {
        let vector_covered = other
            .vector
            .iter()
            .all(|&(actor, counter)| self.covers_all_up_to(actor, counter));
        vector_covered && other.dots.iter().all(|&dot| self.covers(dot))
    }

    /// Adds one dot.
    pub fn insert(&mut self, dot: Dot) {
        if dot.counter == 0 || self.covers(dot) {
            return;
        }
        if let Err(at) = self.dots.binary_search(&dot) {
            self.dots.insert(at, dot);
        }
        self.absorb(dot.actor);
    }

    /// Adds everything that `other` has seen.
    pub fn merge(&mut self, other: &Self) {
        for &(actor, counter) in &other.vector {
            self.raise(actor, counter);
        }
        for &dot in &other.dots {
            self.insert(dot);
        }
    }

    /// Forgets one actor: for folding and pruning (RULINGS 3), never part of a merge.
    pub fn forget(&mut self, actor: ActorId) {
        self.vector.retain(|entry| entry.0 != actor);
        self.dots.retain(|dot| dot.actor != actor);
    }

    /// Every counter from 1 up to this one was seen.
    fn contiguous(&self, actor: ActorId) -> u64 {
        self.slot(actor).map_or(0, |at| self.vector[at].1)
    }

    fn covers_all_up_to(&self, actor: ActorId, counter: u64) -> bool {
        let base = self.contiguous(actor);
        // Single dots sit above the vector; only a full run of them reaches further, and `absorb` leaves none.
        counter <= base
    }

    fn raise(&mut self, actor: ActorId, counter: u64) {
        if counter == 0 {
            return;
        }
        match self.slot(actor) {
            Ok(at) => self.vector[at].1 = self.vector[at].1.max(counter),
            Err(at) => self.vector.insert(at, (actor, counter)),
        }
        self.absorb(actor);
    }

    /// Moves the actor's single dots into the vector while they continue it, and drops those that it passed.
    fn absorb(&mut self, actor: ActorId) {
        if self.dots.is_empty() {
            return;
        }
        let mut top = self.contiguous(actor);
        self.dots.retain(|dot| {
            if dot.actor != actor || dot.counter > top.saturating_add(1) {
                return true;
            }
            top = top.max(dot.counter);
            false
        });
        if top > 0 {
            match self.slot(actor) {
                Ok(at) => self.vector[at].1 = top,
                Err(at) => self.vector.insert(at, (actor, top)),
            }
        }
    }

    fn slot(&self, actor: ActorId) -> Result<usize, usize> {
        self.vector.binary_search_by_key(&actor, |entry| entry.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::causality::arbitrary::{actor, context};

    /// A context as what it means: the set of all its dots.
    fn dots_of(context: &Context) -> BTreeSet<Dot> {
        let vector = context.vector().iter();
        let runs = vector.flat_map(|&(actor, top)| (1..=top).map(move |counter| Dot { actor, counter }));
        runs.chain(context.dots().iter().copied()).collect()
    }

    #[test]
    fn a_single_dot_is_not_rounded_up_to_a_vector() {
        let actor = actor_of(1);
        let mut context = Context::new();
        context.insert(Dot { actor, counter: 3 });
        assert!(context.covers(Dot { actor, counter: 3 }));
        assert!(!context.covers(Dot { actor, counter: 2 }));
        context.insert(Dot { actor, counter: 1 });
        context.insert(Dot { actor, counter: 2 });
        assert_eq!((context.vector(), context.dots()), (&[(actor, 3)][..], &[][..]));
    }

    #[test]
    fn the_highest_counter_there_can_be_does_not_overflow() {
        let actor = actor_of(1);
        let mut context = Context::from_parts(
            [],
            [
                Dot { actor, counter: 5 },
                Dot {
                    actor,
                    counter: u64::MAX,
                },
            ],
        );
        context.merge(&Context::from_parts([(actor, u64::MAX)], []));
        assert_eq!((context.vector(), context.dots()), (&[(actor, u64::MAX)][..], &[][..]));
    }

    #[test]
    fn parts_that_are_not_in_their_one_form_are_refused() {
        let (a, b) = (actor_of(1), actor_of(2));
        let dot = |actor, counter| Dot { actor, counter };
        assert!(Context::from_canonical(vec![(a, 2), (b, 1)], vec![dot(a, 4), dot(a, 5), dot(b, 3)]).is_some());
        assert_eq!(
            Context::from_canonical(vec![(b, 1), (a, 2)], vec![]),
            None,
            "not sorted"
        );
        assert_eq!(Context::from_canonical(vec![(a, 1), (a, 2)], vec![]), None, "twice");
        assert_eq!(Context::from_canonical(vec![(a, 0)], vec![]), None, "counter of 0");
        assert_eq!(Context::from_canonical(vec![(a, 2)], vec![dot(a, 2)]), None, "covered");
        assert_eq!(
            Context::from_canonical(vec![(a, 2)], vec![dot(a, 3)]),
            None,
            "continues the vector"
        );
        assert_eq!(
            Context::from_canonical(vec![], vec![dot(a, 1)]),
            None,
            "begins a vector"
        );
        assert_eq!(
            Context::from_canonical(vec![], vec![dot(a, 5), dot(a, 4)]),
            None,
            "not sorted"
        );
    }

    fn actor_of(node: u32) -> ActorId {
        ActorId {
            node: crate::id::NodeId(node),
            life: crate::id::Life(7),
            birth: 0,
        }
    }

    proptest! {
        #[test]
        fn a_context_covers_what_the_set_of_its_dots_holds(seen in context(), who in actor(), counter in 1_u64..14) {
            let dot = Dot { actor: who, counter };
            prop_assert_eq!(seen.covers(dot), dots_of(&seen).contains(&dot));
        }

        #[test]
        fn a_context_descends_another_if_its_set_holds_the_other(a in context(), b in context()) {
            prop_assert_eq!(a.descends(&b), dots_of(&a).is_superset(&dots_of(&b)));
            let mut both = a.clone();
            both.merge(&b);
            prop_assert!(both.descends(&a) && both.descends(&b));
        }

        #[test]
        fn merging_contexts_is_the_union_of_their_sets(a in context(), b in context()) {
            let mut both = a.clone();
            both.merge(&b);
            let union: BTreeSet<Dot> = dots_of(&a).union(&dots_of(&b)).copied().collect();
            prop_assert_eq!(dots_of(&both), union.clone());
            // One set has one form, whatever order it grew in.
            prop_assert_eq!(&both, &Context::from_parts([], union.into_iter().rev()));
            let again = Context::from_canonical(both.vector().to_vec(), both.dots().to_vec());
            prop_assert_eq!(again, Some(both));
        }

        #[test]
        fn inserting_a_dot_adds_it_and_nothing_else(seen in context(), who in actor(), counter in 1_u64..14) {
            let dot = Dot { actor: who, counter };
            let mut expected = dots_of(&seen);
            expected.insert(dot);
            let mut grown = seen;
            grown.insert(dot);
            prop_assert_eq!(dots_of(&grown), expected);
        }
    }
}
