//! A hint goes only when its home holds what it said, and w homes do (RULINGS 23); and when everybody is back, none is left.

use std::sync::Arc;

use torc_core::causality::Record;
use torc_core::storage::HintMemory;

use crate::checkers::Violation;
use crate::history::History;
use crate::world::World;

/// Judges a host that keeps a hint no longer.
pub fn check_delivered(history: &History, host: usize, hint: &HintMemory, world: &World) -> Result<(), Violation> {
    let Some(key) = history.key_of(&hint.key) else {
        return Ok(());
    };
    let key = &history.keys[key];
    // What a home has lost since it confirmed it, or forgot when its context was pruned, it cannot show.
    // A host on an older disk drops what it finds there: it may long have been delivered, deleted and forgotten.
    if key.lost_at_us.is_some() || key.is_pruned() || world.hosts[host].has_old_disk {
        return Ok(());
    }
    let holds = |home: usize| {
        let is_damaged = world.hosts[home].disk.is_damaged(&key.name);
        is_damaged
            || world
                .believed(home, &key.name)
                .is_some_and(|held| covers(held, &hint.record))
    };
    let home = world.index_of(hint.home);
    let holders = key.homes.iter().filter(|&&home| holds(home)).count();
    if holds(home) && holders >= usize::from(key.w) {
        return Ok(());
    }
    Violation::new(
        "hints",
        format!(
            "host {host} dropped its hint of {:?} for host {home}, which {} it; {holders} homes do, w={}",
            key.name,
            if holds(home) { "holds" } else { "does not hold" },
            key.w
        ),
    )
}

/// Judges a cluster that has come to rest.
pub fn check_rest(world: &World) -> Result<(), Violation> {
    for (index, host) in world.hosts.iter().enumerate() {
        let known = host.node.as_ref().map_or(0, |node| node.hints().pending());
        if host.disk.hints() > 0 || known > 0 {
            return Violation::new(
                "hints",
                format!(
                    "at rest host {index} has {} hints on disk and knows of {known}",
                    host.disk.hints()
                ),
            );
        }
    }
    Ok(())
}

/// True if a merge with the hint's record changes nothing.
fn covers(held: &Arc<Record>, hinted: &Arc<Record>) -> bool {
    let mut merged = (**held).clone();
    merged.merge(hinted).is_ok() && merged == **held
}
