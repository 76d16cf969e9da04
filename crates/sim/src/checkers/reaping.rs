//! What is forgotten is dead, and nothing is left anywhere that could bring back what it had replaced (RULINGS 24).

use std::sync::Arc;

use torc_core::causality::{Payload, Record};
use torc_core::key::RecordKey;
use torc_core::time::{Hlc, Wall};

use crate::checkers::Violation;
use crate::history::{History, covers};
use crate::world::World;
use crate::world::clock::EPOCH_MS;

/// How far a sound clock may be off, with what its median may be off, in milliseconds.
const SKEW_MS_MAX: u64 = 30_000;

/// Judges a host that has forgotten a record.
pub fn check_removed(
    history: &History,
    host: usize,
    name: &RecordKey,
    record: &Arc<Record>,
    world: &World,
) -> Result<(), Violation> {
    let Some(key) = history.key_of(name) else {
        return Ok(());
    };
    let key = &history.keys[key];
    let cleared_at = world
        .current(host, &RecordKey::partition_head(name.partition(), name.bucket()))
        .and_then(|head| head.as_lww())
        .map_or(Hlc::ZERO, |head| head.cleared_at);
    let is_cleared = record.as_lww().is_some_and(|lww| lww.stamp.hlc <= cleared_at);
    if is_shown(record, world.now_us) && !is_cleared {
        return Violation::new(
            "reaping",
            format!("host {host} forgets {name:?}, which is not dead: {record:?}"),
        );
    }
    // A disk that lied, or was lost, may hold anything that its host has not found out about yet.
    if key.lost_at_us.is_some() || key.is_pruned() {
        return Ok(());
    }
    for &home in &key.homes {
        if let Some(held) = world.current(home, name)
            && !world.hosts[home].disk.is_damaged(name)
            && would_revive(held, record)
        {
            return Violation::new(
                "reaping",
                format!("host {host} forgets {name:?}, of which home {home} still holds {held:?}"),
            );
        }
    }
    for &keeper in &key.stand_ins {
        if let Some(kept) = world.kept(keeper, name).find(|kept| would_revive(kept, record)) {
            return Violation::new(
                "reaping",
                format!("host {host} forgets {name:?}, of which host {keeper} still keeps {kept:?} for a home"),
            );
        }
    }
    Ok(())
}

/// True if a version may be visible somewhere.
fn is_shown(record: &Record, now_us: u64) -> bool {
    let is_alive = |at: Option<Wall>| at.is_none_or(|at| at.0 > EPOCH_MS + now_us / 1_000 + SKEW_MS_MAX);
    match record {
        Record::Siblings(record) => record
            .siblings
            .iter()
            .any(|(_, version)| !matches!(version.payload, Payload::Tombstone) && is_alive(version.expires_at)),
        Record::Lww(record) => matches!(record.payload, Payload::Value(_)) && is_alive(record.expires_at()),
    }
}

/// True if `old` holds a value that the forgotten record had replaced.
fn would_revive(old: &Record, forgotten: &Record) -> bool {
    match (old, forgotten) {
        (Record::Siblings(old), Record::Siblings(forgotten)) => old.siblings.iter().any(|(dot, version)| {
            let is_replaced = covers(&forgotten.seen, *dot) && !forgotten.siblings.iter().any(|kept| kept.0 == *dot);
            is_replaced && matches!(version.payload, Payload::Value(_))
        }),
        (Record::Lww(old), Record::Lww(forgotten)) => {
            old.stamp < forgotten.stamp && matches!(old.payload, Payload::Value(_))
        }
        (Record::Siblings(_), Record::Lww(_)) | (Record::Lww(_), Record::Siblings(_)) => false,
    }
}
