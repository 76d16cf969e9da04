//! A read of a synced bucket answers durable state: what it shows is on the disk of some home, or of a node that keeps it
//! for one, as far as disks can be believed (RULINGS 20).

use crate::checkers::Violation;
use crate::history::{History, KeyId};
use crate::shown::Shown;
use crate::world::World;

/// Judges a read that was just answered, sent at `sent_us`.
pub fn check(history: &History, key: KeyId, shown: &Shown, sent_us: u64, world: &World) -> Result<(), Violation> {
    let key = &history.keys[key];
    if !key.is_synced() || key.lost_at_us.is_some_and(|at| at >= sent_us) {
        return Ok(());
    }
    for &id in &shown.puts {
        let is_durable = key.homes.iter().any(|&home| {
            let disk = &world.hosts[home].disk;
            let record = disk.believed(&key.name).map(AsRef::as_ref);
            disk.is_damaged(&key.name) || holds(history, id, record)
        });
        let is_kept = || {
            let mut stand_ins = key.stand_ins.iter();
            stand_ins.any(|&host| {
                world
                    .kept(host, &key.name)
                    .any(|record| holds(history, id, Some(record)))
            })
        };
        // Replaced and pruned since.
        let is_gone = || history.was_pruned(id);
        if !is_durable && !is_kept() && !is_gone() {
            return Violation::new(
                "durable reads",
                format!("a read of {:?} shows put {id}, which nobody has on disk", key.name),
            );
        }
    }
    Ok(())
}

/// As `History::holds`, but a put that was never answered is known by its value alone: which dot it has is learned when a
/// home applies it, and a stand-in may keep it durably before its slow home does.
fn holds(history: &History, id: usize, record: Option<&torc_core::causality::Record>) -> bool {
    use torc_core::causality::Record;
    match record {
        Some(Record::Lww(lww)) if history.puts[id].clock().is_none() => {
            crate::history::payload_of(&lww.payload) == Some(id) || history.keys[history.puts[id].key].puts.len() > 1
        }
        Some(Record::Siblings(kept)) if history.puts[id].dots.is_empty() => {
            let mut payloads = kept.siblings.iter().map(|sibling| &sibling.1.payload);
            payloads.any(|payload| crate::history::payload_of(payload) == Some(id))
        }
        record => history.holds(id, record),
    }
}
