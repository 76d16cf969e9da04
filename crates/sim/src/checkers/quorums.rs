//! A strict read with r + w > n sees every write that was acknowledged, strict, before it began, or something that had
//! seen it; and everything that an earlier strict read had shown (RULINGS 13, 14).

use crate::checkers::Violation;
use crate::history::{Fate, History, KeyId, PutId, clock_of};
use crate::shown::Shown;

/// A strict read that was answered.
#[derive(Clone, Debug)]
pub struct StrictRead {
    /// When it began.
    pub started_us: u64,
    /// When it was answered.
    pub ended_us: u64,
    /// Answers that it waited for.
    pub r: u8,
    /// What it showed.
    pub shown: Shown,
}

/// Judges a strict read by the puts and strict reads before it.
pub fn check(history: &History, key: KeyId, read: &StrictRead, earlier: &[StrictRead]) -> Result<(), Violation> {
    let info = &history.keys[key];
    for &id in &info.puts {
        let put = &history.puts[id];
        let is_promised = put.fate == Fate::Acknowledged
            && put.strict
            && put.ended_us < read.started_us
            && put.w + read.r > info.n
            && !put.is_quorum_void;
        if is_promised && !sees(history, key, id, read) {
            return Violation::new(
                "quorums",
                format!(
                    "a strict read of {:?} at r={} shows {:?} and not put {id}, acknowledged before at w={}, n={}",
                    info.name, read.r, read.shown.puts, put.w, info.n
                ),
            );
        }
    }
    for before in earlier
        .iter()
        .filter(|before| before.ended_us < read.started_us && before.r <= read.r)
    {
        // What was lost in between nobody can show.
        if info.lost_at_us.is_some_and(|at| at >= before.started_us) {
            continue;
        }
        let has_fallen = if info.keeps_siblings() {
            before.shown.puts.iter().any(|&id| !sees(history, key, id, read))
        } else {
            read.shown.context.as_ref().and_then(clock_of) < before.shown.context.as_ref().and_then(clock_of)
        };
        if has_fallen {
            return Violation::new(
                "quorums",
                format!(
                    "a strict read of {:?} shows {:?}, an earlier one showed {:?}",
                    info.name, read.shown.puts, before.shown.puts
                ),
            );
        }
    }
    Ok(())
}

fn sees(history: &History, key: KeyId, id: PutId, read: &StrictRead) -> bool {
    let put = &history.puts[id];
    if !history.keys[key].keeps_siblings() {
        return read.shown.context.as_ref().and_then(clock_of) >= put.clock();
    }
    put.is_delete || read.shown.puts.contains(&id) || put.may_have_expired(read.ended_us) || history.was_seen(id)
}
