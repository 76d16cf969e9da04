//! One node's core: where the protocols meet.

use std::sync::Arc;

use crate::bucket::Catalog;
use crate::effect::{Input, Outbox};
use crate::id::NodeId;
use crate::ring::Ring;
use crate::storage::{BootState, CleanMarker};
use crate::time::{Now, Time};

/// What a node is told at its start.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Itself.
    pub id: NodeId,
    /// The ring, computed from the configured members.
    pub ring: Arc<Ring>,
    /// The buckets.
    pub catalog: Arc<Catalog>,
    /// Seeds every random choice of the node.
    pub seed: u64,
}

/// Plain counters, read by the shell when it is scraped.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Requests begun.
    pub requests: u64,
}

/// A node's core state.
#[derive(Debug)]
pub struct Node {
    config: NodeConfig,
}

impl Node {
    /// A node that has just started with what its disk held. Effects of starting (first words to peers) go to `out`.
    #[must_use]
    pub fn new(config: NodeConfig, boot: BootState, now: Now, out: &mut Outbox) -> Self {
        let _ = (boot, now, out);
        Self { config }
    }

    /// Takes one input; effects go to `out`, which the driver drains before the next step.
    pub fn step(&mut self, now: Now, input: Input, out: &mut Outbox) {
        let _ = (now, input, out, &self.config);
    }

    /// When `Input::Tick` is due next; `Time::NEVER` if nothing waits.
    #[must_use]
    pub fn next_deadline(&self) -> Time {
        Time::NEVER
    }

    /// What a clean shutdown writes, once every commit is durable and no request is in flight.
    #[must_use]
    pub fn clean_marker(&self) -> Option<CleanMarker> {
        None
    }

    /// True once this node can be relied on: its copies are complete and enough peers are reachable. The text says what
    /// it waits for otherwise.
    ///
    /// # Errors
    /// What it waits for, in words.
    pub fn readiness(&self) -> Result<(), String> {
        Ok(())
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        todo_stats()
    }
}

fn todo_stats() -> &'static Stats {
    static EMPTY: Stats = Stats { requests: 0 };
    &EMPTY
}
