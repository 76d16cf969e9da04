//! A node whose directory is lost: it comes back under another actor, says how far it is, and is whole again.

use std::time::Duration;

use serde_json::Value;

use crate::harness::{Cluster, Http, eventually};

const KEYS: usize = 2_000;

#[test]
fn a_node_whose_directory_is_lost_is_rebuilt_whole_under_a_new_actor_and_shows_how_far_it_is() {
    let mut cluster = Cluster::of_three();
    let mut http = cluster[0].http();
    for at in 0..KEYS {
        let value = format!("value {at}");
        let put = http.send("PUT", &format!("/v1/kv/default/k{at}?w=3"), &[], value.as_bytes());
        assert_eq!(put.expect("an answer").status, 204);
    }
    let life = |cluster: &Cluster| cluster[2].json("/v1/status")["actor"]["life"].clone();
    let before = life(&cluster);
    cluster[2].stop();
    std::fs::remove_dir_all(&cluster[2].dir).expect("its directory");
    // Late answers, so that a rebuild can be watched.
    (0..2).for_each(|node| cluster[node].faults(r#"{"delay_ms":[300,300]}"#));
    cluster[2].start();
    let mut shown = Value::Null;
    eventually("the node shows its rebuild", Duration::from_secs(15), || {
        let status =
            Http::connect(&cluster[2].http_address()).and_then(|mut http| http.send("GET", "/v1/status", &[], b""));
        shown = status
            .map(|status| status.json()["transfers"].clone())
            .unwrap_or_default();
        let of_default = |transfer: &Value| transfer["bucket"] == "default";
        shown.as_array().is_some_and(|all| all.iter().any(of_default))
    });
    for transfer in shown.as_array().expect("transfers") {
        assert_eq!(transfer["kind"], "rebuild", "{shown}");
        assert!(
            transfer["share_done"].as_f64().is_some_and(|share| share < 1.0),
            "{shown}"
        );
        assert!(transfer.get("eta_seconds").is_some(), "{shown}");
    }
    let answer = cluster[2].get("/readyz").expect(503).json();
    assert_eq!(answer["error"], "unavailable", "{answer}");
    assert!(
        answer["message"]
            .as_str()
            .is_some_and(|message| message.contains("rebuilt")),
        "{answer}"
    );

    (0..2).for_each(|node| cluster[node].faults("{}"));
    cluster[2].await_ready();
    assert_ne!(life(&cluster), before, "it signs as the disk that is gone");
    // Nobody else is heard: what it answers now it has itself.
    cluster[2].faults(r#"{"cut":["n1","n2"]}"#);
    let mut http = cluster[2].http();
    for at in 0..KEYS {
        let got = http.send("GET", &format!("/v1/kv/default/k{at}?r=1"), &[], b"");
        assert_eq!(got.expect("an answer").text(), format!("value {at}"));
    }
}
