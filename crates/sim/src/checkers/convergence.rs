//! Homes that are at rest hold the same bytes; after every key was read at all homes, nothing is damaged.

use torc_core::causality::codec;

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
        let mut first: Option<(usize, Vec<u8>)> = None;
        // Of a damaged record nobody knows until it is read or scrubbed.
        let readable = |home: &&usize| !world.hosts[**home].disk.is_damaged(&key.name);
        for &home in key.homes.iter().filter(readable) {
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
