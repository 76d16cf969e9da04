//! Time to live: fixed once, told to readers, over for all nodes at once, and not undone by a restart.

use std::time::Duration;

use crate::harness::{Cluster, eventually};

#[test]
fn a_value_is_gone_at_every_node_once_its_time_is_over_and_stays_gone() {
    let mut cluster = Cluster::of_three();
    for bucket in ["default", "redis"] {
        let target = format!("/v1/kv/{bucket}/short");
        cluster[0]
            .ask("PUT", &format!("{target}?w=3&ttl=4"), &[], b"v")
            .expect(204);
        let mut expiries: Vec<String> = cluster
            .nodes
            .iter()
            .map(|node| {
                let answer = node.get(&target).expect(200);
                answer.header("torc-expires").expect("Torc-Expires").to_owned()
            })
            .collect();
        expiries.dedup();
        assert_eq!(expiries.len(), 1, "one expiry, fixed once: {expiries:?}");
        for node in &cluster.nodes {
            eventually("the value is gone", Duration::from_secs(15), || {
                node.get(&target).status == 404
            });
        }
        assert!(
            cluster[1].get(&target).header("torc-context").is_some(),
            "an expired value is a tombstone and has a context"
        );
    }
    cluster[0]
        .ask("PUT", "/v1/kv/default/long?w=3&ttl=600", &[], b"v")
        .expect(204);
    let before = cluster[0].get("/v1/kv/default/long").expect(200);
    cluster.stop_all();
    cluster.start_all();
    for bucket in ["default", "redis"] {
        cluster[2]
            .get(&format!("/v1/kv/{bucket}/short?r=3&strict=true"))
            .expect(404);
    }
    let after = cluster[1].get("/v1/kv/default/long").expect(200);
    assert_eq!(after.header("torc-expires"), before.header("torc-expires"));
}
