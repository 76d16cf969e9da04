//! What the disk says when a node starts: read once, before the first operation. This boot is counted and the clean
//! marker is taken away in one durable batch, so that no crash lets a life go on that has not ended cleanly (RULINGS 2).

use std::time::UNIX_EPOCH;

use fjall::PersistMode;
use torc_core::id::{BucketId, PartitionId};
use torc_core::key::RecordKey;
use torc_core::storage::{BootState, LINEAGE_MAX, StoreError};
use torc_core::time::Hlc;

use crate::engine::Engine;
use crate::error::OpenError;
use crate::meta::{self, Fact};

/// Reads the facts, counts this boot and takes the marker.
pub(crate) fn boot(engine: &Engine, dir: &std::path::Path) -> Result<BootState, OpenError> {
    let mut state = BootState::default();
    let mut heads = Vec::new();
    let mut boots = Vec::new();
    for item in engine.meta.iter() {
        let (key, value) = item.into_inner().map_err(OpenError::engine(dir))?;
        let fact = meta::read(&key, &value).map_err(|what| OpenError::DamagedMeta { what })?;
        match fact {
            None => {}
            Some(Fact::Incarnation(incarnation)) => state.incarnation = incarnation,
            Some(Fact::Boot(incarnation, nonce)) => boots.push((incarnation, nonce)),
            Some(Fact::Marker(marker)) => state.marker = Some(marker),
            Some(Fact::Peer(node, memory)) => state.peers.push((node, memory)),
            Some(Fact::Rebuilding(bucket)) => state.rebuilding.push(bucket),
            Some(Fact::Head(partition, bucket)) => heads.push((partition, bucket)),
            Some(Fact::Scrub(memory)) => state.scrub = memory,
            Some(Fact::Hint(hint)) => state.hints.push(hint),
            Some(Fact::Generation(partition, bucket, generation)) => {
                state.generations.push((partition, bucket, generation));
            }
        }
    }
    state.incarnation += 1;
    let counted = meta::stored(&torc_core::storage::Meta::Incarnation(state.incarnation));
    let nonce = random_nonce();
    let this_boot = meta::stored_boot(state.incarnation, nonce);
    boots.sort_unstable();
    state.lineage = boots.into_iter().map(|(_, nonce)| nonce).chain([nonce]).collect();
    state.lineage.drain(..state.lineage.len().saturating_sub(LINEAGE_MAX));
    let mut batch = engine.db.batch().durability(Some(PersistMode::SyncAll));
    batch.insert(&engine.meta, counted.key, counted.value);
    batch.insert(&engine.meta, this_boot.key, this_boot.value);
    batch.insert(&engine.meta, meta::MARKER_KEY, b"");
    batch.commit().map_err(OpenError::engine(dir))?;
    for (partition, bucket) in heads {
        read_head(engine, partition, bucket, &mut state);
    }
    Ok(state)
}

fn random_nonce() -> u64 {
    let mut bytes = [0_u8; 8];
    let drawn = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    let nonce = drawn.map_or_else(
        // Two boots of one disk must differ, and no more.
        |_| UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos() as u64),
        |_| u64::from_le_bytes(bytes),
    );
    nonce | 1
}

/// Reads one partition's head. Called for those alone that were ever written: looking for heads among all records would
/// make a node that can't start of one damaged block.
fn read_head(engine: &Engine, partition: PartitionId, bucket: BucketId, state: &mut BootState) {
    let head = RecordKey::partition_head(partition, bucket);
    match engine.get(&head) {
        Ok(Some(record)) => {
            let cleared_at = record.as_lww().map_or(Hlc::ZERO, |lww| lww.cleared_at);
            if cleared_at > Hlc::ZERO {
                state.cleared.push((head, cleared_at));
            }
        }
        Ok(None) => {}
        Err(StoreError::Damaged | StoreError::Unreadable | StoreError::DiskFull | StoreError::OutOfService) => {
            // Without it, what FLUSHDB has cleared would be seen again: let the others say what this bucket holds.
            tracing::error!(?head, "the head of a partition can't be read: the bucket is rebuilt");
            if !state.rebuilding.contains(&bucket) {
                state.rebuilding.push(bucket);
            }
        }
    }
}
