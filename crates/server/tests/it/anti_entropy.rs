//! Copies that become equal although nobody reads them.

use std::time::Duration;

use serde_json::Value;

use crate::harness::{Cluster, eventually};

const KEYS: u32 = 200;

/// What each home holds of a key, as the checksum of its record; `None` where it holds nothing.
fn held(cluster: &Cluster, key: &str) -> Vec<Option<String>> {
    let shown = cluster[0].json(&format!("/v1/inspect/default/{key}"));
    let homes = shown["homes"].as_array().cloned().unwrap_or_default();
    let checksum = |home: &Value| home["record"]["checksum"].as_str().map(str::to_owned);
    homes.iter().map(checksum).collect()
}

fn are_equal(held: &[Option<String>]) -> bool {
    held.len() == 3 && held[0].is_some() && held.iter().all(|checksum| *checksum == held[0])
}

#[test]
fn a_node_that_was_away_gets_what_it_missed_without_any_read() {
    let mut cluster = Cluster::of_three();
    let mut http = cluster[0].http();
    let mut put = |key: String, value: &str| {
        let answer = http.send("PUT", &format!("/v1/kv/default/{key}"), &[], value.as_bytes());
        answer.expect("an answer").expect(204);
    };
    for number in 0..KEYS {
        put(format!("before-{number}"), "v");
    }
    cluster[2].kill();
    for number in 0..KEYS {
        put(format!("missed-{number}"), "v");
    }
    for number in 0..10 {
        let path = format!("/v1/kv/default/before-{number}?blind=true");
        cluster[0].ask("DELETE", &path, &[], b"").expect(204);
    }
    cluster[2].start();
    cluster[2].await_ready();
    eventually("all copies are equal", Duration::from_secs(30), || {
        let missed = (0..KEYS).step_by(20).map(|number| format!("missed-{number}"));
        let deleted = (0..10).map(|number| format!("before-{number}"));
        missed.chain(deleted).all(|key| are_equal(&held(&cluster, &key)))
    });
    let repaired: u64 = (0..3)
        .map(|node| cluster[node].json("/v1/status")["anti_entropy"]["keys_repaired"].as_u64())
        .map(|count| count.expect("a number"))
        .sum();
    assert!(repaired >= u64::from(KEYS), "{repaired} records were mended");
    for node in &cluster.nodes {
        node.admin("anti_entropy", r#"{"run_now":true}"#);
    }
    eventually("nothing is left to mend", Duration::from_secs(30), || {
        (0..3).all(|node| cluster[node].json("/v1/status")["dirty_ranges"] == 0)
    });
    let status = cluster[2].json("/v1/status");
    let trees = &status["anti_entropy"];
    assert_eq!(trees["trees"], trees["trees_counted"], "{status}");
}

#[test]
fn a_paused_comparison_waits_until_it_is_asked_for() {
    let mut cluster = Cluster::of_three();
    cluster[2].kill();
    cluster[2].start();
    cluster[2].await_ready();
    // Whether it has counted its trees by now or not: a run that is asked for counts them first.
    for node in &cluster.nodes {
        node.admin("anti_entropy", r#"{"paused":true}"#);
    }
    cluster[2].faults(r#"{"cut":["n1","n2"]}"#);
    cluster[0].ask("PUT", "/v1/kv/default/k", &[], b"v").expect(204);
    cluster[2].faults("{}");
    std::thread::sleep(Duration::from_secs(7));
    assert!(!are_equal(&held(&cluster, "k")), "nobody compares");
    cluster[2].admin("anti_entropy", r#"{"run_now":true}"#);
    eventually("a run that was asked for mends", Duration::from_secs(20), || {
        are_equal(&held(&cluster, "k"))
    });
}
