//! No put removes a sibling that its client had not seen: whenever a store drops a value, some put that may have been
//! applied had been shown it.

use torc_core::causality::Record;

use crate::checkers::Violation;
use crate::history::{History, covers, payload_of, short};
use crate::world::World;
use crate::world::disk::Changed;

/// Judges one change in a store.
pub fn check(history: &History, host: usize, changed: &Changed, world: &World) -> Result<(), Violation> {
    let (Some(Record::Siblings(before)), Record::Siblings(after)) = (changed.before.as_deref(), &*changed.after) else {
        return Ok(());
    };
    for (dot, version) in &before.siblings {
        let Some(id) = payload_of(&version.payload) else {
            continue;
        };
        if after.siblings.iter().any(|sibling| sibling.0 == *dot) {
            continue;
        }
        let Some(put) = history.puts.get(id) else { continue };
        // One request at two homes leaves two dots, of which one goes (RULINGS 17).
        let is_repeated =
            put.request.is_some() && put.dots.iter().any(|other| other != dot && covers(&after.seen, *other));
        // A reader is not shown what has expired, and replaces it all the same.
        if is_repeated || put.may_have_expired(world.now_us) || history.was_seen(id) {
            continue;
        }
        return Violation::new(
            "causality",
            format!(
                "host {host} dropped put {id} of {:?} ({}), which no later put had seen; it holds {:?} now",
                changed.key,
                short(*dot),
                after
                    .siblings
                    .iter()
                    .map(|sibling| (short(sibling.0), payload_of(&sibling.1.payload)))
                    .collect::<Vec<_>>()
            ),
        );
    }
    Ok(())
}
