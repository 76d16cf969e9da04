//! What the disk says when a node starts: read once, before the first operation. This boot is counted and the clean
//! marker is taken away in one durable batch, so that no crash lets a life go on that has not ended cleanly (RULINGS 2).

use fjall::PersistMode;
use torc_core::id::{BucketId, PartitionId};
use torc_core::key::RecordKey;
use torc_core::storage::{BootState, StoreError};
use torc_core::time::Hlc;

use crate::engine::Engine;
use crate::error::OpenError;
use crate::meta::{self, Fact};

/// Reads the facts, counts this boot and takes the marker.
pub(crate) fn boot(engine: &Engine, dir: &std::path::Path) -> Result<BootState, OpenError> {
    let mut state = BootState::default();
    for item in engine.meta.iter() {
        let (key, value) = item.into_inner().map_err(OpenError::engine(dir))?;
        let fact = meta::read(&key, &value).map_err(|what| OpenError::DamagedMeta { what })?;
        match fact {
            None => {}
            Some(Fact::Incarnation(incarnation)) => state.incarnation = incarnation,
            Some(Fact::Marker(marker)) => state.marker = Some(marker),
            Some(Fact::Peer(node, memory)) => state.peers.push((node, memory)),
            Some(Fact::Rebuilding(bucket)) => state.rebuilding.push(bucket),
        }
    }
    state.incarnation += 1;
    let counted = meta::stored(&torc_core::storage::Meta::Incarnation(state.incarnation));
    let mut batch = engine.db.batch().durability(Some(PersistMode::SyncAll));
    batch.insert(&engine.meta, counted.key, counted.value);
    batch.insert(&engine.meta, meta::MARKER_KEY, b"");
    batch.commit().map_err(OpenError::engine(dir))?;
    read_heads(engine, dir, &mut state)?;
    Ok(state)
}

/// Finds the head of every partition of every bucket by seeking from one to the next.
fn read_heads(engine: &Engine, dir: &std::path::Path, state: &mut BootState) -> Result<(), OpenError> {
    let mut from: Vec<u8> = Vec::new();
    loop {
        let Some(item) = engine.records.range(&from[..]..).next() else {
            return Ok(());
        };
        let name = item.key().map_err(OpenError::engine(dir))?;
        let Some(&[p0, p1, b0, b1, b2, b3]) = name.first_chunk::<6>() else {
            return Ok(());
        };
        let partition = PartitionId(u16::from_be_bytes([p0, p1]));
        let bucket = BucketId(u32::from_be_bytes([b0, b1, b2, b3]));
        let head = RecordKey::partition_head(partition, bucket);
        match engine.get(&head) {
            Ok(Some(record)) => {
                if let Some(lww) = record.as_lww()
                    && lww.cleared_at > Hlc::ZERO
                {
                    state.cleared.push((head, lww.cleared_at));
                }
            }
            Ok(None) => {}
            Err(StoreError::Damaged | StoreError::DiskFull | StoreError::OutOfService) => {
                // Without it, what FLUSHDB has cleared would be seen again: let the others say what this bucket holds.
                tracing::error!(?head, "the head of a partition is damaged: the bucket is rebuilt");
                if !state.rebuilding.contains(&bucket) {
                    state.rebuilding.push(bucket);
                }
            }
        }
        let Some(next) = torc_core::key::after_prefix(&name[..6]) else {
            return Ok(());
        };
        from.clear();
        from.extend_from_slice(&next);
    }
}
