//! After everybody has scrubbed while all nodes were up, no disk has a damaged record or file: every record in it has
//! copies elsewhere (the faults damage no other).

use crate::checkers::Violation;
use crate::world::World;

/// Judges a cluster that was scrubbed at rest.
pub fn check(world: &World) -> Result<(), Violation> {
    match world.hosts.iter().position(|host| host.disk.has_damage()) {
        Some(host) => Violation::new(
            "scrubbing",
            format!("host {host} has scrubbed, and something on its disk is damaged still"),
        ),
        None => Ok(()),
    }
}
