//! An acknowledgement comes after the sync of its write, and never if the sync failed.

use std::time::{Duration, Instant};

use crate::cluster::Cluster;

#[test]
fn a_slow_sync_holds_back_the_acknowledgement_and_a_failed_one_gives_none() {
    let mut cluster = Cluster::start(1);
    assert_eq!(cluster.ask(1, "PUT", "/v1/kv/default/before", &[], b"v").status, 204);
    cluster.fault(1, r#"{"fsync":"slow","fsync_ms":300}"#);
    let started = Instant::now();
    assert_eq!(cluster.ask(1, "PUT", "/v1/kv/default/slow", &[], b"v").status, 204);
    assert!(
        started.elapsed() >= Duration::from_millis(300),
        "acknowledged before its sync"
    );

    cluster.fault(1, r#"{"fsync":"fail"}"#);
    let failed = cluster.ask(1, "PUT", "/v1/kv/default/failed", &[], b"v");
    assert!(failed.status >= 500, "acknowledged without a sync: {failed:?}");
    assert_eq!(failed.json()["outcome"], "unknown");
    let after = cluster.ask(1, "PUT", "/v1/kv/default/after", &[], b"v");
    assert!(after.status >= 500, "a store that failed takes no writes: {after:?}");
    assert_eq!(cluster.ask(1, "GET", "/readyz", &[], b"").status, 503);

    cluster.kill(1);
    cluster.restart(1);
    for key in ["before", "slow"] {
        assert_eq!(
            cluster.ask(1, "GET", &format!("/v1/kv/default/{key}"), &[], b"").body,
            b"v"
        );
    }
    assert_eq!(cluster.ask(1, "PUT", "/v1/kv/default/after", &[], b"v").status, 204);
}
