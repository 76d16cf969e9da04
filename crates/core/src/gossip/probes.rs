//! Questions of one node to another whether it is there, each with its number and the time by which it must be answered;
//! for itself, or for a third that asked.

use crate::id::NodeId;
use crate::time::Time;

/// Questions that are open at once.
const PROBES_MAX: usize = 256;

/// Why a probe was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asker {
    /// This node wants to know.
    Own,
    /// Another does, and named its question so.
    Other(NodeId, u64),
}

/// One open question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Probe {
    /// Who should answer.
    pub node: NodeId,
    /// Who wants to know.
    pub asker: Asker,
    /// Its number.
    pub nonce: u64,
    /// When it has failed.
    pub until: Time,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Probes {
    /// In the order of `until`.
    open: Vec<Probe>,
}

impl Probes {
    /// True if another question can be asked.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.open.len() < PROBES_MAX
    }

    /// True if this node waits for an answer of `node` for `asker`.
    #[must_use]
    pub fn is_asking(&self, node: NodeId, asker: Asker) -> bool {
        self.open.iter().any(|probe| probe.node == node && probe.asker == asker)
    }

    /// A question was asked.
    pub fn insert(&mut self, probe: Probe) {
        let at = self.open.partition_point(|other| other.until <= probe.until);
        self.open.insert(at, probe);
    }

    /// It was answered; `None` if it was not asked, or has failed.
    pub fn on_reply(&mut self, node: NodeId, nonce: u64) -> Option<Probe> {
        let at = self
            .open
            .iter()
            .position(|probe| probe.node == node && probe.nonce == nonce)?;
        Some(self.open.remove(at))
    }

    /// A question that was not answered in time.
    pub fn pop_failed(&mut self, now: Time) -> Option<Probe> {
        let is_due = self.open.first().is_some_and(|probe| probe.until <= now);
        is_due.then(|| self.open.remove(0))
    }

    /// This node stood still: no question has failed in that time.
    pub fn forget(&mut self) {
        self.open.clear();
    }
}
