//! Homes that are at rest hold the same bytes; after every key was read at all homes, nothing is damaged.

use torc_core::bucket::Conflict;
use torc_core::causality::codec;
use torc_core::id::PartitionId;
use torc_core::key::RecordKey;

use crate::checkers::Violation;
use crate::history::History;
use crate::world::World;

/// Judges a cluster whose every key was read.
pub fn check_mended(history: &History, world: &World) -> Result<(), Violation> {
    for key in &history.keys {
        if let Some(home) = key
            .homes
            .iter()
            .find(|&&home| world.hosts[home].disk.is_damaged(&key.name))
        {
            let words = format!("{:?} is damaged at host {home} after it was read", key.name);
            return Violation::new("convergence", words);
        }
    }
    check(history, world)
}

/// Judges a cluster that has come to rest.
pub fn check(history: &History, world: &World) -> Result<(), Violation> {
    for key in &history.keys {
        are_equal(&key.name, &key.homes, world)?;
    }
    // What clears a partition is a record as well.
    for bucket in world.catalog.iter().filter(|bucket| bucket.conflict == Conflict::Lww) {
        for number in 0..world.ring.partitions() {
            let partition = PartitionId(number as u16);
            let homes = world.ring.homes(partition, bucket.n);
            let homes: Vec<usize> = homes.iter().map(|home| world.index_of(home.node)).collect();
            are_equal(&RecordKey::partition_head(partition, bucket.id), &homes, world)?;
        }
    }
    Ok(())
}

fn are_equal(name: &RecordKey, homes: &[usize], world: &World) -> Result<(), Violation> {
    let mut first: Option<(usize, Vec<u8>)> = None;
    // Of a damaged record nobody knows until it is read or scrubbed.
    let readable = |home: &&usize| !world.hosts[**home].disk.is_damaged(name);
    for &home in homes.iter().filter(readable) {
        let bytes = world
            .current(home, name)
            .map_or_else(Vec::new, |record| codec::encode(record));
        match &first {
            None => first = Some((home, bytes)),
            Some((other, expected)) if *expected != bytes => {
                return Violation::new(
                    "convergence",
                    format!(
                        "hosts {other} and {home} hold different records of {name:?}:\n  {:?}\n  {:?}",
                        world.current(*other, name),
                        world.current(home, name)
                    ),
                );
            }
            Some(_) => {}
        }
    }
    Ok(())
}
