//! Acknowledged means there: when a put is answered, w homes have said that they hold it durably (in buffered and memory
//! buckets: that they applied it), and what they said is so as far as their disks can be believed. Unless the put was
//! strict, a node that keeps it durably for a home stands in for that home. Where a quorum counts by data centre, so does this.

use crate::checkers::Violation;
use crate::history::{History, PutId};
use crate::places;
use crate::world::World;

/// Judges a put that the host `asked` has just acknowledged.
pub fn check(history: &History, id: PutId, asked: usize, world: &World) -> Result<(), Violation> {
    let put = &history.puts[id];
    let key = &history.keys[put.key];
    if key.lost_at_us.is_some_and(|at| at >= put.started_us) {
        return Ok(());
    }
    let held = |home: usize| {
        let disk = &world.hosts[home].disk;
        disk.is_damaged(&key.name) || history.holds(id, world.believed(home, &key.name).map(AsRef::as_ref))
    };
    // What was replaced and pruned before its client heard of it does not show any more.
    if history.was_pruned(id) {
        return Ok(());
    }
    let dcs = world.scenario.dcs;
    let asks = places::asks(put.size, &key.homes, asked, dcs);
    if asks.is_empty() {
        let what = format!(
            "put {id} of {:?} was acknowledged by host {asked}, where no copy is",
            key.name
        );
        return Violation::new("acknowledged", what);
    }
    for (dc, count) in asks {
        let is_there = |host: &usize| dc.is_none_or(|dc| places::dc_of(*host, dcs) == dc);
        let homes = key.homes.iter().filter(|home| is_there(home) && held(**home)).count();
        // By data centre, who stands in counts for a home of its own alone.
        let stand_ins = history.keepers_for(id, world, |home| is_there(&home));
        let stand_ins = stand_ins.filter(|host| !put.strict && is_there(host));
        let holders = homes + stand_ins.count();
        if holders < usize::from(count) {
            return Violation::new(
                "acknowledged",
                format!(
                    "put {id} of {:?} was acknowledged by host {asked} at w={} but {holders} nodes hold it, of {dc:?} where \
                     {count} should",
                    key.name,
                    put.size.as_text()
                ),
            );
        }
    }
    Ok(())
}
