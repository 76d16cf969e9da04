//! Everything ends: an answer comes by the deadline, and an idle node has nothing in flight.

use crate::checkers::Violation;
use crate::world::World;

/// How late an answer may be, in microseconds: a deadline's slot, and a clock that drifts.
const SLACK_US: u64 = 200_000;

/// Judges how long a request took that was sent to a host at `sent_us`.
pub fn check_time(host: usize, sent_us: u64, timeout_ms: u64, world: &World) -> Result<(), Violation> {
    let is_undisturbed = world.hosts[host].undisturbed_since_us <= sent_us && !world.hosts[host].is_paused;
    let took_us = world.now_us - sent_us;
    if !is_undisturbed || took_us <= timeout_ms * 1_000 + SLACK_US {
        return Ok(());
    }
    Violation::new(
        "bounds",
        format!("host {host} took {took_us} µs over a request with a timeout of {timeout_ms} ms"),
    )
}

/// Judges a cluster that has come to rest.
pub fn check_rest(world: &World) -> Result<(), Violation> {
    for (index, host) in world.hosts.iter().enumerate() {
        let Some(node) = &host.node else {
            return Violation::new("bounds", format!("host {index} is down after the faults have stopped"));
        };
        if node.in_flight() > 0 {
            return Violation::new(
                "bounds",
                format!("host {index} has {} things in flight at rest", node.in_flight()),
            );
        }
    }
    Ok(())
}
