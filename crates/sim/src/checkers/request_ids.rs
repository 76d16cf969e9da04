//! A request is applied once: a put is not found under two dots at the end, and a repeat of an acknowledged request is
//! answered what the first was (RULINGS 17).

use crate::checkers::Violation;
use crate::history::{History, KeyId, PutId};
use crate::shown::Shown;

/// Judges what a last read of a key showed.
pub fn check_end(history: &History, key: KeyId, shown: &Shown) -> Result<(), Violation> {
    let mut seen: Vec<PutId> = shown.puts.clone();
    seen.sort_unstable();
    for pair in seen.windows(2) {
        if pair[0] == pair[1] {
            return Violation::new(
                "request ids",
                format!("put {} of {:?} stands twice", pair[0], history.keys[key].name),
            );
        }
    }
    Ok(())
}

/// Judges a put without a request id, which nobody may have tried twice.
pub fn check_once(history: &History, id: PutId) -> Result<(), Violation> {
    let put = &history.puts[id];
    if put.request.is_some() || put.dots.len() <= 1 || !history.keys[put.key].keeps_siblings() {
        return Ok(());
    }
    Violation::new(
        "request ids",
        format!("put {id} was sent once and signed as {:?}", put.dots),
    )
}

/// Judges the answers of one request.
pub fn check_answers(history: &History, id: PutId) -> Result<(), Violation> {
    let put = &history.puts[id];
    let key = &history.keys[put.key];
    // Stand-ins are not asked for the request while their home is there.
    let is_promised = put.strict && 2 * put.w > key.n && key.lost_at_us.is_none() && put.request.is_some();
    if is_promised && put.answers.windows(2).any(|pair| pair[0] != pair[1]) {
        return Violation::new("request ids", format!("put {id} was answered {:?}", put.answers));
    }
    Ok(())
}
