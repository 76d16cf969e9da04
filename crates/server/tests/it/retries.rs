//! Retries with a request id: answered as the first time, applied once, at any node and after a restart.

use crate::harness::{Cluster, Settings};

const ID: (&str, &str) = ("torc-request-id", "order-1");

#[test]
fn a_repeated_write_is_answered_as_the_first_time_at_any_node_and_after_a_restart() {
    let mut cluster = Cluster::of_three();
    let target = "/v1/kv/default/order?w=3";
    let first = cluster[0].ask("PUT", target, &[ID], b"tea").expect(204);
    assert_eq!(first.header("torc-request-id"), Some("order-1"));
    let repeat = |cluster: &Cluster, node: usize| {
        let answer = cluster[node].ask("PUT", target, &[ID], b"tea").expect(204);
        assert_eq!(answer.context(), first.context(), "at node {node}");
    };
    (0..3).for_each(|node| repeat(&cluster, node));
    // 200 and not 300: it stands there once.
    assert_eq!(cluster[1].get("/v1/kv/default/order?r=3").expect(200).text(), "tea");

    let seen = [("torc-context", first.context())];
    cluster[1].ask("PUT", target, &seen, b"tea, milk").expect(204);
    repeat(&cluster, 2);
    let now = cluster[0].get("/v1/kv/default/order?r=3").expect(200).text();
    assert_eq!(now, "tea, milk", "a late repeat brought back what was overwritten");

    cluster.stop_all();
    cluster.start_all();
    (0..3).for_each(|node| repeat(&cluster, node));
    assert_eq!(
        cluster[2].get("/v1/kv/default/order?r=3").expect(200).text(),
        "tea, milk"
    );
}

#[test]
fn an_id_stands_for_one_value_of_one_key() {
    let cluster = Cluster::of_three();
    cluster[0].ask("PUT", "/v1/kv/default/a?w=3", &[ID], b"tea").expect(204);
    for node in &cluster.nodes {
        let other = node
            .ask("PUT", "/v1/kv/default/a?w=3", &[ID], b"coffee")
            .expect(409)
            .json();
        assert_eq!(
            (&other["error"], &other["outcome"]),
            (&"request_id_reused".into(), &"not_applied".into()),
            "{other}"
        );
    }
    cluster[1]
        .ask("PUT", "/v1/kv/default/b?w=3", &[ID], b"coffee")
        .expect(204);
    assert_eq!(cluster[2].get("/v1/kv/default/a?r=3").expect(200).text(), "tea");
    assert_eq!(cluster[2].get("/v1/kv/default/b?r=3").expect(200).text(), "coffee");
    let nonsense = [("torc-request-id", "no spaces")];
    cluster[0].ask("PUT", "/v1/kv/default/c", &nonsense, b"v").expect(400);
}

#[test]
fn the_log_names_a_slow_request_as_its_client_does() {
    let cluster = Cluster::start(&Settings {
        nodes: 1,
        top: "slow_ms = 50",
        ..Settings::default()
    });
    cluster[0].faults(r#"{"fsync":"slow","fsync_ms":100}"#);
    cluster[0].ask("PUT", "/v1/kv/default/order", &[ID], b"tea").expect(204);
    let log = cluster[0].log();
    let line = log.lines().find(|line| line.contains("slow request"));
    let line = line.unwrap_or_else(|| panic!("no slow request in the log:\n{log}"));
    assert!(
        line.contains("request_id=\"order-1\"") && line.contains("operation=\"put\""),
        "{line}"
    );
}
