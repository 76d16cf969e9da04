//! Which forwarded commands have come to this node: a repeated or late message must not run one a second time. What is
//! remembered outlives the session token that a forward must carry, so nothing that was forgotten can still be accepted.

use crate::id::{NodeId, OpId};
use crate::limits::FORWARDS_SEEN_MAX;
use crate::map::FastMap;

/// Forwards of this rotation of session tokens and of the one before.
#[derive(Debug, Default)]
pub struct ForwardsSeen {
    now: FastMap<(NodeId, OpId), ()>,
    before: FastMap<(NodeId, OpId), ()>,
}

impl ForwardsSeen {
    /// Notes a forward; true if it may run: it was not seen before, and there is room to remember it.
    pub fn note(&mut self, from: NodeId, op: OpId) -> bool {
        let is_known = self.before.contains_key(&(from, op)) || self.now.contains_key(&(from, op));
        if is_known || self.now.len() >= FORWARDS_SEEN_MAX {
            return false;
        }
        self.now.insert((from, op), ());
        true
    }

    /// Session tokens were rotated.
    pub fn rotate(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forward_runs_once_for_as_long_as_its_token_may_be_accepted() {
        let mut seen = ForwardsSeen::default();
        assert!(seen.note(NodeId(1), OpId(7)));
        assert!(seen.note(NodeId(2), OpId(7)), "another node's operation");
        assert!(!seen.note(NodeId(1), OpId(7)));
        seen.rotate();
        assert!(!seen.note(NodeId(1), OpId(7)));
        seen.rotate();
        assert!(seen.note(NodeId(1), OpId(7)), "its token is too old by now");
    }
}
