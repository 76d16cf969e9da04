//! What gossip says of a member, and which of two sayings is the newer: the incarnation decides, then a death, then the
//! heartbeat. A death is final for its incarnation; only the member itself makes another, by refuting it or by starting.

use crate::id::NodeId;

/// One stretch of a member's life in gossip: its boot, and how often it has refuted its death since.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Incarnation {
    /// The boot number; 0 if nothing was heard of the member yet.
    pub boot: u64,
    /// How often it has said since that it is not dead.
    pub refutation: u32,
}

/// How new a saying is. The greater one is the newer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Version {
    /// Of which incarnation.
    pub incarnation: Incarnation,
    /// Two members failed to reach it.
    pub is_dead: bool,
    /// Raised by the member every period.
    pub heartbeat: u64,
}

/// What a member says of how busy it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Load {
    /// Operations that it coordinates.
    pub operations: u32,
    /// Bytes in its store.
    pub store_bytes: u64,
    /// Its disk is full.
    pub full: bool,
    /// Its syncs are slow.
    pub slow: bool,
}

/// Who failed to reach a member before it was called dead: two different members (RULINGS 26).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Witnesses {
    /// The one that called it dead.
    pub first: NodeId,
    /// The one that it had asked.
    pub second: NodeId,
}

/// What gossip says of a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemberState {
    /// Whom.
    pub node: NodeId,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// Its heartbeat counter.
    pub heartbeat: u64,
    /// As of that heartbeat.
    pub load: Load,
    /// Set if it was called dead in this incarnation.
    pub death: Option<Witnesses>,
}

impl MemberState {
    /// Nothing is known yet.
    #[must_use]
    pub fn unknown(node: NodeId) -> Self {
        Self {
            node,
            incarnation: Incarnation::default(),
            heartbeat: 0,
            load: Load::default(),
            death: None,
        }
    }

    /// How new this is.
    #[must_use]
    pub fn version(&self) -> Version {
        Version {
            incarnation: self.incarnation,
            is_dead: self.death.is_some(),
            heartbeat: self.heartbeat,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(boot: u64, refutation: u32, is_dead: bool, heartbeat: u64) -> Version {
        Version {
            incarnation: Incarnation { boot, refutation },
            is_dead,
            heartbeat,
        }
    }

    #[test]
    fn a_death_outlasts_every_heartbeat_of_its_incarnation_and_no_other() {
        let dead = version(3, 0, true, 10);
        assert!(version(3, 0, false, 9_999) < dead);
        assert!(version(3, 1, false, 0) > dead, "a refutation is newer");
        assert!(version(4, 0, false, 0) > dead, "a boot is newer");
        assert!(version(3, 7, false, 0) < version(4, 0, false, 0));
    }
}
