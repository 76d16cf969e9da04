//! What the log says of events in the node: each says what happened, and what to do where something can be done.

use torc_core::effect::Notice;
use torc_core::gossip::watch::Reason;
use torc_core::id::{ClientRequestId, NodeId, RequestId};
use torc_core::liveness::Liveness;
use torc_core::outcome::Outcome;
use torc_core::ring::Ring;
use torc_core::storage::StoreHealth;

use super::measures::Verdict;
use super::waiters::Waiting;

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
        Notice::LostRecord { key } => {
            tracing::error!(key = ?key, "the only copy of a record was damaged and has been overwritten: what it held is lost");
        }
        Notice::Spoiled {
            file,
            can_rebuild: true,
        } => tracing::error!(
            file,
            "a file of the store is damaged: this node's copies are rebuilt from the other nodes, and the file is given up"
        ),
        Notice::Spoiled {
            file,
            can_rebuild: false,
        } => tracing::error!(
            file,
            "a file of the store is damaged, and no other node has copies: what can't be read stays unknown"
        ),
        Notice::ScrubEnded { records, damaged } => {
            tracing::info!(records, damaged, "everything on disk was read and verified");
        }
        Notice::Contradiction { key } => tracing::error!(
            key = ?key,
            "two homes hold different values under the same dots, and neither follows from the other: both are left as they \
             are; GET /v1/inspect shows them, and a write of the key settles it"
        ),
        Notice::ContextPruned { key, dropped } => tracing::warn!(
            key = ?key,
            entries = dropped.len(),
            "a context grew too long and lost its oldest entries: what they had replaced may come back"
        ),
        Notice::StoreOutOfService => {
            tracing::error!(
                "the store failed and is out of service: see the errors before this one, then restart the node"
            );
        }
        Notice::Liveness { node, from, to, reason } => liveness(*node, *from, *to, *reason, ring),
        Notice::Reachable {
            node,
            is_reachable: false,
        } => tracing::warn!(
            peer = name(ring, *node),
            "the peer answers none of this node's probes, although others may hear it: it is asked for nothing until it does"
        ),
        Notice::Reachable {
            node,
            is_reachable: true,
        } => {
            tracing::info!(peer = name(ring, *node), "the peer answers this node again");
        }
        Notice::ClockSkew { ms } => tracing::error!(
            skew_ms = ms,
            "this node's clock is off its peers': it neither writes nor expires until the clock is right"
        ),
    }
}

/// Logs that something else is believed of a peer.
fn liveness(node: NodeId, from: Liveness, to: Liveness, reason: Reason, ring: &Ring) {
    let peer = name(ring, node);
    let reason = match reason {
        Reason::Unheard => "it was not heard of yet".to_owned(),
        Reason::Heard => "it is heard for the first time since this node started".to_owned(),
        Reason::HeardAgain => "it is heard again".to_owned(),
        Reason::Returned => "it has started anew, or says that it is not dead".to_owned(),
        Reason::Silent {
            silence_ms,
            failed_probes,
        } => format!("nothing was heard of it for {silence_ms} ms, and {failed_probes} probes failed"),
        Reason::Witnessed(witnesses) => format!(
            "'{}' and '{}' failed to reach it",
            name(ring, witnesses.first),
            name(ring, witnesses.second)
        ),
        Reason::Alone { silence_ms } => format!(
            "nothing was heard of it for {silence_ms} ms on fresh connections either, and there is nobody else to ask"
        ),
    };
    let (from, to_name) = (from.name(), to.name());
    match to {
        Liveness::Alive => tracing::info!(peer, from, to = to_name, reason, "a peer is alive"),
        Liveness::Suspect => tracing::warn!(peer, from, to = to_name, reason, "a peer is suspect"),
        Liveness::Dead => tracing::warn!(peer, from, to = to_name, reason, "a peer is dead"),
    }
}

/// Logs a request that took long: under this node's number, and under the id that the client gave it.
pub fn slow(request: RequestId, waiting: &Waiting, took_us: u64, outcome: &Outcome) {
    tracing::warn!(
        request = request.0,
        request_id = waiting.client_id.as_ref().map(ClientRequestId::as_str),
        operation = waiting.operation.name(),
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
