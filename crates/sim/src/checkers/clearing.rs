//! A clear of the whole bucket hides what was acknowledged before it began, whatever clock that was signed by, and nothing
//! that begins after it was acknowledged, where the quorums of homes meet (RULINGS 5, 8).

use crate::checkers::Violation;
use crate::checkers::quorums::StrictRead;
use crate::history::{Fate, Flush, History, KeyId, Put, PutId};

/// Judges what a strict read showed.
pub fn check_read(history: &History, key: KeyId, read: &StrictRead) -> Result<(), Violation> {
    let info = &history.keys[key];
    if info.keeps_siblings() {
        return Ok(());
    }
    if read.shown.puts.is_empty() {
        check_hidden(history, key, read)?;
    }
    for &id in &read.shown.puts {
        let flush = history.flushes.iter().find(|flush| {
            let is_read_after = flush.ended_us < read.started_us && flush.w + read.r > info.n;
            is_read_after && hides(flush, &history.puts[id], info.n, info.lost_at_us)
        });
        if let Some(flush) = flush {
            return Violation::new(
                "clearing",
                format!(
                    "a strict read of {:?} shows put {id}, acknowledged before a clear that took from {:.6} to {:.6}",
                    info.name,
                    flush.started_us as f64 / 1e6,
                    flush.ended_us as f64 / 1e6
                ),
            );
        }
    }
    Ok(())
}

/// A read that shows nothing: what was acknowledged before it must have been deleted, expired, or cleared.
fn check_hidden(history: &History, key: KeyId, read: &StrictRead) -> Result<(), Violation> {
    let info = &history.keys[key];
    let puts = || info.puts.iter().map(|&id| &history.puts[id]);
    if info.lost_at_us.is_some() || puts().any(|put| put.is_delete || put.ttl_ms.is_some()) {
        return Ok(());
    }
    let is_owed = |id: &&PutId| {
        let put = &history.puts[**id];
        let is_seen = put.fate == Fate::Acknowledged && put.strict && put.ended_us < read.started_us;
        is_seen && put.w + read.r > info.n && !put.is_quorum_void && !may_be_cleared(history, **id)
    };
    match info.puts.iter().find(is_owed) {
        Some(id) => Violation::new(
            "clearing",
            format!(
                "a strict read of {:?} shows nothing, and put {id} was acknowledged after every clear",
                info.name
            ),
        ),
        None => Ok(()),
    }
}

/// True if some clear may have hidden a put that was acknowledged: any that may have been applied and was not over when the
/// put began.
#[must_use]
pub fn may_be_cleared(history: &History, id: PutId) -> bool {
    let put = &history.puts[id];
    let key = &history.keys[put.key];
    history.flushes.iter().any(|flush| {
        let was_over = flush.fate == Fate::Acknowledged
            && flush.ended_us < put.started_us
            && flush.is_strict
            && put.strict
            && flush.w + put.w > key.n
            && !flush.is_void
            && key.lost_at_us.is_none_or(|at| at < flush.started_us);
        flush.fate != Fate::NotApplied && !was_over
    })
}

/// True if the put was acknowledged before the clear began, by homes of which the clear has heard.
fn hides(flush: &Flush, put: &Put, n: u8, lost_at_us: Option<u64>) -> bool {
    flush.fate == Fate::Acknowledged
        && flush.is_strict
        && !flush.is_void
        && put.fate == Fate::Acknowledged
        && put.strict
        && put.ended_us < flush.started_us
        // A request that is asked again may be applied again, later, by a home that knows of no answer to it.
        && put.attempts == 1
        && put.w + flush.r > n
        && lost_at_us.is_none_or(|at| at < put.started_us)
}
