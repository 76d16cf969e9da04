//! A dot names one write: who minted it and the how-manieth of that actor it was.

use crate::id::ActorId;

/// (actor, counter). Never minted twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Dot {
    /// Who minted it.
    pub actor: ActorId,
    /// From 1.
    pub counter: u64,
}
