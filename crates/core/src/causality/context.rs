//! A context: the set of dots that somebody has seen, as a version vector plus single dots (RULINGS 1). It is exact:
//! a dot joins the vector only when every counter below it is known, so a context never claims an unseen write.

use crate::causality::Dot;
use crate::id::ActorId;

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
        Self { vector: Vec::new(), dots: Vec::new() }
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
        dot.counter <= self.contiguous(dot.actor) || self.dots.binary_search(&dot).is_ok()
    }

    /// The highest counter of `actor` that was seen, single dots included; 0 if none.
    #[must_use]
    pub fn highest(&self, actor: ActorId) -> u64 {
        let single = self.dots.iter().filter(|dot| dot.actor == actor).map(|dot| dot.counter).max();
        self.contiguous(actor).max(single.unwrap_or(0))
    }

    /// True if everything that `other` has seen was seen here too.
    #[must_use]
    pub fn descends(&self, other: &Self) -> bool {
        let vector_covered = other.vector.iter().all(|&(actor, counter)| self.covers_all_up_to(actor, counter));
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

    /// Forgets one actor: the counted last resort of RULINGS 3, never part of a merge.
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
            if dot.actor != actor || dot.counter > top + 1 {
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
