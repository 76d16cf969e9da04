//! Only what is proven to be damaged is treated so: a read that failed for another reason may succeed the next time, and what
//! it did not show is neither given up nor written anew (RULINGS 19).

use torc_core::effect::Notice;

use crate::checkers::Violation;
use crate::world::World;

/// Judges what a host says to its operator.
pub fn check(host: usize, notice: &Notice, world: &World) -> Result<(), Violation> {
    let speaks_of_damage = matches!(
        notice,
        Notice::DamagedRecord { .. } | Notice::LostRecord { .. } | Notice::Spoiled { .. }
    );
    if !speaks_of_damage || world.hosts[host].disk.was_damaged {
        return Ok(());
    }
    Violation::new(
        "damage",
        format!("host {host} says {notice:?}, and nothing on its disk was ever damaged"),
    )
}
