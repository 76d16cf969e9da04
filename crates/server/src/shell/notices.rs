//! What the log says of events in the node: each says what happened, and what to do where something can be done.

use torc_core::effect::Notice;
use torc_core::id::NodeId;
use torc_core::outcome::Outcome;
use torc_core::ring::Ring;
use torc_core::storage::StoreHealth;

use super::measures::{Operation, Verdict};

/// Logs an event of the core.
pub fn log(notice: &Notice, ring: &Ring) {
    match notice {
        Notice::RingConflict { node } => tracing::error!(
            peer = name(ring, *node),
            "the peer's members, racks, capacities or buckets differ from ours: its messages are refused; give both nodes the \
             same [[members]] and [[buckets]]"
        ),
        Notice::NewLife { reason } => tracing::info!(reason, "this node signs under a new actor"),
        Notice::Regressed => {
            tracing::warn!("a peer remembers more of this node than its disk does: it rebuilds from the other nodes");
        }
        Notice::Rebuilding { bucket } => tracing::info!(bucket = bucket.0, "this node's copy is being rebuilt"),
        Notice::Rebuilt { bucket } => tracing::info!(bucket = bucket.0, "this node's copy is complete again"),
        Notice::DamagedRecord { key } => {
            tracing::error!(key = ?key, "a record is damaged on disk: it counts as unknown until another home mends it");
        }
        Notice::ContextPruned { key } => {
            tracing::warn!(key = ?key, "a context grew too long and lost its oldest entry")
        }
        Notice::StoreOutOfService => {
            tracing::error!(
                "the store failed and is out of service: see the errors before this one, then restart the node"
            );
        }
        Notice::ClockSkew { ms } => tracing::error!(
            skew_ms = ms,
            "this node's clock is off its peers': it neither writes nor expires until the clock is right"
        ),
    }
}

/// Logs a request that took long.
pub fn slow(operation: Operation, took_us: u64, outcome: &Outcome) {
    tracing::warn!(
        operation = operation.name(),
        took_ms = took_us / 1_000,
        outcome = Verdict::of(outcome).name(),
        "slow request"
    );
}

/// Logs a change of the store's health.
pub fn store_health(before: StoreHealth, after: StoreHealth) {
    match (before.full, after.full) {
        (false, true) => tracing::error!("free disk space is under free_space_min: client writes are refused"),
        (true, false) => tracing::info!("free disk space is back above free_space_min"),
        (true, true) | (false, false) => {}
    }
    match (before.slow, after.slow) {
        (false, true) => tracing::warn!("syncs take long: writes are signed by other homes while they can"),
        (true, false) => tracing::info!("syncs are fast again"),
        (true, true) | (false, false) => {}
    }
}

/// A member's name, or its number if it is none.
pub fn name(ring: &Ring, node: NodeId) -> String {
    ring.member(node)
        .map_or_else(|| format!("{:08x}", node.0), |member| member.name.to_string())
}
