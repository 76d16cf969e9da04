//! A data set five times the memory budget is complete, served, and stays within the budget's order of magnitude.

use crate::cluster::Cluster;

const MEMORY_MIB: usize = 32;
const VALUE_BYTES: usize = 10_000;
const KEYS: usize = 5 * (MEMORY_MIB << 20) / VALUE_BYTES;

fn value(key: usize) -> Vec<u8> {
    // Not to be compressed: each value is its own noise.
    let mut word = key as u64 + 1;
    (0..VALUE_BYTES)
        .map(|_| {
            word = word
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (word >> 56) as u8
        })
        .collect()
}

fn resident_mib(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("VmRSS");
    let kib: usize = line
        .split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse().ok())
        .expect("a number");
    kib >> 10
}

#[test]
fn five_times_more_data_than_memory_is_complete_after_a_restart_too() {
    use base64::Engine as _;
    let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let mut cluster = Cluster::start_with_lists(1, &format!("memory_max = \"{MEMORY_MIB}MiB\""), "");
    let keys: Vec<usize> = (0..KEYS).collect();
    for chunk in keys.chunks(200) {
        let operations: Vec<serde_json::Value> = chunk
            .iter()
            .map(|key| {
                let value = encode(&value(*key));
                serde_json::json!({"op": "put", "bucket": "redis", "key": key.to_string(), "value": value})
            })
            .collect();
        let body = serde_json::json!({ "operations": operations }).to_string();
        // A busy machine may take longer than a request waits; then the client tries again, as clients do.
        let is_done = (0..10).any(|_| {
            let answer = cluster.ask(1, "POST", "/v1/batch", &[], body.as_bytes()).json();
            let results = answer["results"].as_array().expect("results");
            results.iter().all(|result| result["status"] == 204)
        });
        assert!(is_done, "ten times some put of a batch was not acknowledged");
    }
    for round in ["before", "after"] {
        for key in (0..KEYS).step_by(7) {
            let found = cluster.ask(1, "GET", &format!("/v1/kv/redis/{key}"), &[], b"");
            assert!(found.body == value(key), "key {key} {round} the restart");
        }
        if round == "before" {
            let resident = resident_mib(cluster.pid(1));
            assert!(
                resident < 8 * MEMORY_MIB,
                "{resident} MiB for a budget of {MEMORY_MIB} MiB"
            );
            cluster.stop(1);
            cluster.start_all();
        }
    }
}
