//! What all threads of a node share. Nothing of it changes but counters, the list of clients, and how far the node has come in
//! stopping.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::watch;
use torc_core::bucket::Catalog;
use torc_core::id::NodeId;
use torc_core::ring::Ring;

use super::clients::Clients;
use super::clock::Clock;
use crate::config::Config;

/// How far a node has come in stopping.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stage {
    /// Not at all.
    Serving,
    /// Nothing more is read from clients; what they asked is answered, then their connections end.
    Draining,
    /// Threads end.
    Over,
}

/// What all threads of a node share.
#[derive(Debug)]
pub struct Common {
    /// Itself.
    pub id: NodeId,
    /// As read at the start.
    pub config: Config,
    /// The ring.
    pub ring: Arc<Ring>,
    /// The buckets.
    pub catalog: Arc<Catalog>,
    /// The clocks.
    pub clock: Clock,
    /// The client connections of all shards.
    pub clients: Clients,
    /// When the process began to serve.
    pub started: Instant,
    /// Requests that the core began, as the node's thread told last.
    pub requests: AtomicU64,
    /// Bytes on disk, as the node's thread told last.
    pub disk_bytes: AtomicU64,
    /// Payload bytes of what shards have asked of the node's thread and is not answered.
    bytes_across: AtomicUsize,
    /// Requests that they turned away for that.
    shed_for_bytes: AtomicU64,
    stage: watch::Sender<Stage>,
}

impl Common {
    /// Of a node that is about to serve.
    pub fn new(config: Config, ring: Arc<Ring>, catalog: Arc<Catalog>, clock: Clock) -> Self {
        Self {
            id: NodeId::of_name(&config.name),
            clients: Clients::new(config.limits.connections_max, usize::from(config.shards)),
            config,
            ring,
            catalog,
            clock,
            started: Instant::now(),
            requests: AtomicU64::new(0),
            disk_bytes: AtomicU64::new(0),
            bytes_across: AtomicUsize::new(0),
            shed_for_bytes: AtomicU64::new(0),
            stage: watch::Sender::new(Stage::Serving),
        }
    }

    /// Counts the bytes of a request that goes to the node's thread; false, and counted as turned away, if too many are on
    /// their way (`limits.in_flight_bytes_max`).
    pub fn take_across(&self, bytes: usize) -> bool {
        let most = self.config.limits.in_flight_bytes_max.0 as usize;
        let add = |before: usize| (before == 0 || before + bytes <= most).then_some(before + bytes);
        let is_taken = self
            .bytes_across
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, add)
            .is_ok();
        if !is_taken {
            self.shed_for_bytes.fetch_add(1, Ordering::Relaxed);
        }
        is_taken
    }

    /// A request that went to the node's thread is answered.
    pub fn took_across(&self, bytes: usize) {
        self.bytes_across.fetch_sub(bytes, Ordering::AcqRel);
    }

    /// Requests that shards turned away because those on their way were too many bytes.
    pub fn shed_for_bytes(&self) -> u64 {
        self.shed_for_bytes.load(Ordering::Relaxed)
    }

    /// The node goes on with stopping.
    pub fn enter(&self, stage: Stage) {
        self.stage.send_replace(stage);
    }

    /// Waits until the node has come so far in stopping.
    pub async fn reached(&self, stage: Stage) {
        let mut stages = self.stage.subscribe();
        // The sender lives as long as what it is borrowed from.
        drop(stages.wait_for(|&reached| reached >= stage).await);
    }

    /// True if nothing more is to be read from clients.
    pub fn is_draining(&self) -> bool {
        *self.stage.borrow() >= Stage::Draining
    }
}
