//! Three outcomes, never confused: what was said not to be applied is never seen.

use crate::checkers::Violation;
use crate::history::{History, KeyId};
use crate::shown::Shown;

/// Judges what a read showed.
pub fn check(history: &History, key: KeyId, shown: &Shown) -> Result<(), Violation> {
    for &id in &shown.puts {
        if !history.puts[id].may_exist() {
            return Violation::new(
                "outcomes",
                format!(
                    "a read of {:?} shows put {id}, which was answered as not applied",
                    history.keys[key].name
                ),
            );
        }
    }
    Ok(())
}
