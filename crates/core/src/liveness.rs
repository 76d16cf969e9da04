//! What this node believes of a peer: heard of, not heard of for too long, or gone by the word of two.

/// A peer's state as this node sees it. It steers whom to ask; nothing irreversible follows from it (RULINGS 26).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Liveness {
    /// Its heartbeats rise.
    Alive,
    /// Not heard of for too long, or not yet since this node started.
    #[default]
    Suspect,
    /// Suspect, and somebody else failed to reach it as well.
    Dead,
}

impl Liveness {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Alive, Self::Suspect, Self::Dead];

    /// Its name in logs, metrics and answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Dead => "dead",
        }
    }
}
