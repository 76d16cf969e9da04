//! A time to live is fixed once and never changes: what a read shows expires when its client said, and not later.

use crate::checkers::Violation;
use crate::history::{History, KeyId};
use crate::shown::Shown;
use crate::world::World;
use crate::world::clock::EPOCH_MS;

/// How far a receiving node's clock may have been off, in milliseconds.
const SKEW_MS_MAX: u64 = 7_200_000;

/// Judges what a read showed.
pub fn check(history: &History, key: KeyId, shown: &Shown, world: &World) -> Result<(), Violation> {
    for (&id, expires_at) in shown.puts.iter().zip(&shown.expiries) {
        let put = &history.puts[id];
        let name = &history.keys[key].name;
        if put.ttl_ms.is_some() != expires_at.is_some() {
            return Violation::new(
                "expiry",
                format!(
                    "put {id} of {name:?} has a ttl of {:?} ms and is shown to expire at {expires_at:?}",
                    put.ttl_ms
                ),
            );
        }
        let (Some(ttl_ms), Some(at)) = (put.ttl_ms, expires_at) else {
            continue;
        };
        let started_ms = EPOCH_MS + put.started_us / 1_000;
        if at.0.abs_diff(started_ms + ttl_ms) > SKEW_MS_MAX + (world.now_us - put.started_us) / 1_000 {
            return Violation::new(
                "expiry",
                format!("put {id} of {name:?} expires at {at:?}, not after {ttl_ms} ms"),
            );
        }
    }
    Ok(())
}
