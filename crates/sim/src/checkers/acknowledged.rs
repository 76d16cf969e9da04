//! Acknowledged means there: when a put is answered, w homes have said that they hold it durably (in buffered and memory
//! buckets: that they applied it), and what they said is so as far as their disks can be believed. Unless the put was
//! strict, a node that keeps it durably for a home stands in for that home.

use crate::checkers::Violation;
use crate::history::{History, PutId};
use crate::world::World;

/// Judges a put that was just acknowledged.
pub fn check(history: &History, id: PutId, world: &World) -> Result<(), Violation> {
    let put = &history.puts[id];
    let key = &history.keys[put.key];
    if key.lost_at_us.is_some_and(|at| at >= put.started_us) {
        return Ok(());
    }
    let held = |home: usize| {
        let disk = &world.hosts[home].disk;
        disk.is_damaged(&key.name) || history.holds(id, world.believed(home, &key.name).map(AsRef::as_ref))
    };
    let stand_ins = if put.strict { 0 } else { history.keepers(id, world) };
    let holders = key.homes.iter().filter(|&&home| held(home)).count() + stand_ins;
    // What was replaced and pruned before its client heard of it does not show any more.
    if holders >= usize::from(put.w) || history.was_pruned(id) {
        return Ok(());
    }
    Violation::new(
        "acknowledged",
        format!(
            "put {id} of {:?} was acknowledged at w={} but {holders} nodes hold it",
            key.name, put.w
        ),
    )
}
