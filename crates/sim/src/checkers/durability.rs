//! An acknowledged write is there at the end, unless a put that may have been applied had seen it (siblings) or a
//! greater stamp won (lww), its time has come, or every copy was destroyed.

use crate::checkers::{Violation, clearing};
use crate::history::{Fate, History, KeyId, PutId, clock_of};
use crate::shown::Shown;

/// Judges what a last read of a key showed.
pub fn check(history: &History, key: KeyId, shown: &Shown, now_us: u64) -> Result<(), Violation> {
    for &id in &history.keys[key].puts {
        let put = &history.puts[id];
        if put.fate != Fate::Acknowledged || put.is_void {
            continue;
        }
        if history.keys[key].keeps_siblings() {
            check_sibling(history, id, shown, now_us)?;
        } else {
            check_register(history, id, shown, now_us)?;
        }
    }
    Ok(())
}

fn check_sibling(history: &History, id: PutId, shown: &Shown, now_us: u64) -> Result<(), Violation> {
    let put = &history.puts[id];
    let is_there = put.is_delete || shown.puts.contains(&id);
    if is_there || put.may_have_expired(now_us) || history.was_seen(id) {
        return Ok(());
    }
    Violation::new(
        "durability",
        format!(
            "put {id} of {:?} was acknowledged and is gone; a read shows {:?}",
            history.keys[put.key].name, shown.puts
        ),
    )
}

fn check_register(history: &History, id: PutId, shown: &Shown, now_us: u64) -> Result<(), Violation> {
    let put = &history.puts[id];
    let key = &history.keys[put.key];
    let stands = shown.context.as_ref().and_then(clock_of);
    if shown.puts.contains(&id) {
        return Ok(());
    }
    if stands < put.clock() {
        return Violation::new(
            "durability",
            format!(
                "put {id} of {:?} has stamp {:?}, but {stands:?} stands",
                key.name,
                put.clock()
            ),
        );
    }
    let others = || key.puts.iter().map(|&other| &history.puts[other]);
    if let Some(&winner) = shown.puts.first() {
        let winner = &history.puts[winner];
        // Quorums that meet: the later put saw the earlier one, whatever the clocks said (RULINGS 5).
        let must_lose = winner.fate == Fate::Acknowledged
            && winner.ended_us < put.started_us
            && winner.w + put.w > key.n
            && winner.strict
            && put.strict
            && key.is_synced()
            && key.lost_at_us.is_none();
        if must_lose {
            return Violation::new(
                "durability",
                format!(
                    "put {id} of {:?} lost to {:?}, which was acknowledged before it began",
                    key.name, shown.puts
                ),
            );
        }
        return Ok(());
    }
    let may_be_deleted = put.is_delete
        || others().any(|other| other.is_delete && other.may_exist() && other.ended_us.max(other.started_us) > 0)
        || others().any(|other| other.may_have_expired(now_us) && other.may_exist())
        || clearing::may_be_cleared(history, id);
    if may_be_deleted {
        return Ok(());
    }
    Violation::new(
        "durability",
        format!(
            "put {id} of {:?} was acknowledged, nobody deleted the key, and it is gone",
            key.name
        ),
    )
}
