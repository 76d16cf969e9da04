//! After every key was read at all homes, all homes hold the same bytes.

use torc_core::causality::codec;

use crate::checkers::Violation;
use crate::history::History;
use crate::world::World;

/// Judges a cluster that has come to rest.
pub fn check(history: &History, world: &World) -> Result<(), Violation> {
    for key in &history.keys {
        let mut first: Option<(usize, Vec<u8>)> = None;
        for &home in &key.homes {
            let bytes = world
                .current(home, &key.name)
                .map_or_else(Vec::new, |record| codec::encode(record));
            match &first {
                None => first = Some((home, bytes)),
                Some((other, expected)) if *expected != bytes => {
                    return Violation::new(
                        "convergence",
                        format!(
                            "hosts {other} and {home} hold different records of {:?}:\n  {:?}\n  {:?}",
                            key.name,
                            world.current(*other, &key.name),
                            world.current(home, &key.name)
                        ),
                    );
                }
                Some(_) => {}
            }
        }
    }
    Ok(())
}
