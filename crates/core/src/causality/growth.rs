//! When the entries of a long context last grew, as far as is known: what pruning goes by (RULINGS 3). Short contexts
//! have none. Merging takes the later moment of each actor, whatever the rest of the record holds, so that two homes that
//! have heard the same hold the same.

use crate::id::ActorId;
use crate::time::Wall;

/// By actor, in order. An actor that is not in it grew before anybody wrote such moments down.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Growth(Vec<(ActorId, Wall)>);

impl Growth {
    /// Moments that are already sorted and unique; `None` if they are not.
    #[must_use]
    pub fn from_sorted(moments: Vec<(ActorId, Wall)>) -> Option<Self> {
        moments.is_sorted_by(|a, b| a.0 < b.0).then_some(Self(moments))
    }

    /// True if nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, by actor.
    #[must_use]
    pub fn as_slice(&self) -> &[(ActorId, Wall)] {
        &self.0
    }

    /// When the actor's entry last grew.
    #[must_use]
    pub fn of(&self, actor: ActorId) -> Option<Wall> {
        self.slot(actor).ok().map(|at| self.0[at].1)
    }

    /// The actor's entry grew no later than this.
    pub fn note(&mut self, actor: ActorId, at: Wall) {
        match self.slot(actor) {
            Ok(slot) => self.0[slot].1 = self.0[slot].1.max(at),
            Err(slot) => self.0.insert(slot, (actor, at)),
        }
    }

    /// The later moment of each actor: associative, commutative, idempotent.
    pub fn merge(&mut self, other: &Self) {
        for &(actor, at) in &other.0 {
            self.note(actor, at);
        }
    }

    /// The actor's entry is no more.
    pub fn forget(&mut self, actor: ActorId) {
        self.0.retain(|entry| entry.0 != actor);
    }

    fn slot(&self, actor: ActorId) -> Result<usize, usize> {
        self.0.binary_search_by_key(&actor, |entry| entry.0)
    }
}
