//! What is promised with a node down or cut off: clear refusals, and no write lost.

use crate::harness::{Cluster, eventually};
use std::time::Duration;

#[test]
fn with_a_node_down_a_strict_write_to_all_is_refused_and_one_answers() {
    let mut cluster = Cluster::of_three();
    cluster[0].ask("PUT", "/v1/kv/default/k?w=3", &[], b"v").expect(204);
    cluster[2].kill();

    // Before the others have noticed, the write was sent and may appear; from then on nothing is even sent.
    let refused = |outcome: &str| {
        let answer = cluster[0].ask("PUT", "/v1/kv/default/k?w=3&strict=true", &[], b"never");
        let error = answer.json();
        answer.status == 503
            && error["error"] == "not_enough_replicas"
            && error["needed"] == 3
            && error["answered"].as_u64().is_some_and(|answered| answered < 3)
            && error["outcome"] == outcome
    };
    eventually("a write refused with nothing sent", Duration::from_secs(10), || {
        refused("not_applied")
    });
    let answer = cluster[0]
        .ask("PUT", "/v1/kv/default/fresh?w=3&strict=true", &[], b"never")
        .expect(503);
    let answered = answer.header("torc-answered").expect("Torc-Answered");
    assert!(answered.ends_with("/3"), "{answered}");
    cluster[0].get("/v1/kv/default/fresh?r=2").expect(404);

    let written = cluster[0].ask("PUT", "/v1/kv/default/one?w=1", &[], b"1").expect(204);
    assert!(written.header("torc-answered").is_some());
    assert_eq!(cluster[1].get("/v1/kv/default/k?r=1").expect(200).text(), "v");
    assert_eq!(cluster[0].get("/v1/kv/default/one?r=1").expect(200).text(), "1");
    let all = cluster[0].get("/v1/kv/default/k?r=3&strict=true").expect(503).json();
    assert_eq!(all["error"], "not_enough_replicas", "{all}");
    assert_eq!(all["outcome"], "not_applied", "a read changes nothing: {all}");
}

#[test]
fn a_write_to_a_cut_off_node_becomes_a_sibling_after_healing() {
    let cluster = Cluster::of_three();
    let first = cluster[0]
        .ask("PUT", "/v1/kv/default/cart?w=3", &[], b"empty")
        .expect(204);
    let seen = [("torc-context", first.context())];
    cluster[2].faults(r#"{"cut":["n1","n2"]}"#);

    cluster[2]
        .ask("PUT", "/v1/kv/default/cart?w=1", &seen, b"book")
        .expect(204);
    cluster[0]
        .ask("PUT", "/v1/kv/default/cart?w=2", &seen, b"shoes")
        .expect(204);
    assert_eq!(cluster[0].get("/v1/kv/default/cart?r=2").expect(200).text(), "shoes");
    assert_eq!(cluster[2].get("/v1/kv/default/cart?r=1").expect(200).text(), "book");

    cluster[2].faults("{}");
    eventually("both siblings after healing", Duration::from_secs(15), || {
        let answer = cluster[0].get("/v1/kv/default/cart?r=3");
        answer.status == 300 && answer.json()["siblings"].as_array().map(Vec::len) == Some(2)
    });
    let both = cluster[1].get("/v1/kv/default/cart?r=3").expect(300);
    let context = both.json()["context"].as_str().expect("a context").to_owned();
    assert_eq!(both.header("torc-context"), Some(context.as_str()));
    let merged = cluster[1].ask(
        "PUT",
        "/v1/kv/default/cart?w=3",
        &[("torc-context", &context)],
        b"book, shoes",
    );
    merged.expect(204);
    for node in &cluster.nodes {
        assert_eq!(node.get("/v1/kv/default/cart?r=2").expect(200).text(), "book, shoes");
    }
}

#[test]
fn a_cut_off_node_answers_in_time_and_says_that_the_outcome_is_unknown() {
    let cluster = Cluster::of_three();
    cluster[0].faults(r#"{"cut":["n2","n3"]}"#);
    let started = std::time::Instant::now();
    let answer = cluster[0].ask("PUT", "/v1/kv/default/k?w=2&timeout_ms=700", &[], b"v");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(
        matches!(answer.status, 503 | 504),
        "{}: {}",
        answer.status,
        answer.text()
    );
    let error = answer.json();
    // This node is a home and has minted: nobody can promise that the write never appears.
    assert_eq!(error["outcome"], "unknown", "{error}");
    assert_eq!(
        (&error["needed"], &error["answered"]),
        (&2.into(), &1.into()),
        "{error}"
    );
}
