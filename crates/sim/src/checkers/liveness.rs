//! At rest everybody believes that everybody is alive, and would ask them: whatever was cut, paused, killed or wiped.

use torc_core::liveness::Liveness;

use crate::checkers::Violation;
use crate::world::World;

/// To be asked once faults have stopped for a while.
///
/// # Errors
/// Who believes otherwise.
pub fn check_rest(world: &World) -> Result<(), Violation> {
    for (at, host) in world.hosts.iter().enumerate() {
        let Some(node) = &host.node else { continue };
        for (of, other) in world.hosts.iter().enumerate() {
            let liveness = node.liveness(other.id);
            if liveness != Liveness::Alive || !node.is_reachable(other.id) {
                let reachable = if node.is_reachable(other.id) {
                    ""
                } else {
                    ", and would not ask it"
                };
                return Violation::new(
                    "liveness",
                    format!("at rest host {at} believes that {of} is {}{reachable}", liveness.name()),
                );
            }
        }
    }
    Ok(())
}
