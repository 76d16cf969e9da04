//! What an acknowledged put or delete had seen does not come back, unless a home has said that it pruned it (RULINGS 3).

use crate::checkers::Violation;
use crate::history::{Fate, History, KeyId};
use crate::shown::Shown;

/// Judges what a last read of a key showed.
pub fn check(history: &History, key: KeyId, shown: &Shown) -> Result<(), Violation> {
    let info = &history.keys[key];
    if !info.keeps_siblings() {
        return Ok(());
    }
    for &id in &info.puts {
        let put = &history.puts[id];
        if put.fate != Fate::Acknowledged || (put.is_void && !put.is_reaped) {
            continue;
        }
        for old in put.saw.iter().filter(|old| shown.puts.contains(old)) {
            // Whether what had replaced it survived a loss can't be told of what was pruned.
            let is_unknown = info.lost_at_us.is_some() && history.was_pruned(id);
            if history.was_pruned(*old) || is_unknown || put.is_cover_void {
                continue;
            }
            // A request that was signed at two homes was seen under one of its dots.
            if history.puts[*old].request.is_some() && history.puts[*old].dots.len() > 1 {
                continue;
            }
            return Violation::new(
                "resurrection",
                format!(
                    "put {id} of {:?} had replaced put {old}, which is there again",
                    info.name
                ),
            );
        }
    }
    Ok(())
}
