//! Nodes that are down or cut off: what is refused, what goes on, and what is found afterwards.

use crate::cluster::Cluster;

#[test]
fn a_strict_write_to_all_is_refused_clearly_while_a_node_is_down_and_one_copy_still_works() {
    let mut cluster = Cluster::start(3);
    assert_eq!(cluster.ask(1, "PUT", "/v1/kv/default/k", &[], b"v").status, 204);
    cluster.kill(3);
    let refused = loop {
        // Until the loss is noticed, silence is all there is to tell.
        let answer = cluster.ask(1, "PUT", "/v1/kv/default/k?w=3&strict=true&timeout_ms=500", &[], b"w");
        if answer.status != 504 {
            break answer;
        }
    };
    assert_eq!(refused.status, 503);
    let json = refused.json();
    assert_eq!(json["error"], "not_enough_replicas");
    assert_eq!(json["outcome"], "not_applied");
    assert_eq!((json["needed"].as_u64(), json["answered"].as_u64()), (Some(3), Some(2)));
    assert_eq!(refused.header("torc-answered"), Some("2/3"));
    assert_eq!(cluster.ask(1, "PUT", "/v1/kv/default/other?w=1", &[], b"x").status, 204);
    assert_eq!(cluster.ask(2, "GET", "/v1/kv/default/k?r=1", &[], b"").body, b"v");
}

#[test]
fn a_cut_off_node_takes_a_write_for_one_copy_and_after_healing_both_siblings_are_found() {
    let cluster = Cluster::start(3);
    let first = cluster.ask(2, "PUT", "/v1/kv/default/k?w=3", &[], b"before");
    let context = first.context();
    cluster.fault(1, r#"{"cut":["n2","n3"]}"#);
    let headers = [("torc-context", &context[..])];
    let alone = cluster.ask(1, "PUT", "/v1/kv/default/k?w=1", &headers, b"alone");
    assert_eq!((alone.status, alone.header("torc-answered")), (204, Some("1/3")));
    assert_eq!(
        cluster
            .ask(2, "PUT", "/v1/kv/default/k?w=2", &headers, b"together")
            .status,
        204
    );
    let behind = cluster.ask(3, "GET", "/v1/kv/default/k?r=2", &[], b"");
    assert_eq!(behind.body, b"together", "the cut-off node is not asked for");
    cluster.fault(1, "{}");
    let both = cluster.ask(3, "GET", "/v1/kv/default/k?r=3", &[], b"");
    assert_eq!(both.status, 300);
    assert_eq!(both.values(), ["alone", "together"]);
}
