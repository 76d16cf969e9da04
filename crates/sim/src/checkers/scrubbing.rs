//! After everybody has scrubbed while all nodes were up, no home has a damaged record of a key that another home has a
//! copy of.

use crate::checkers::Violation;
use crate::history::History;
use crate::world::World;

/// Judges a cluster that was scrubbed at rest.
pub fn check(history: &History, world: &World) -> Result<(), Violation> {
    for key in history.keys.iter().filter(|key| key.homes.len() > 1) {
        for &home in &key.homes {
            if world.hosts[home].disk.is_damaged(&key.name) {
                return Violation::new(
                    "scrubbing",
                    format!(
                        "host {home} has scrubbed, and its record of {:?} is damaged still",
                        key.name
                    ),
                );
            }
        }
    }
    Ok(())
}
