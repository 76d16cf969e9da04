//! Out of one cluster and into another: dots, contexts and expiry stay as they were.

use serde_json::Value;

use crate::harness::{Cluster, Node, Reply, Settings, done, err, percent, torc, torc_with};

const ODD_KEY: &[u8] = b"odd/key \xff\0";

fn seen(node: &Node, key: &str) -> (Value, Vec<Value>) {
    let found = node.json(&format!("/v1/kv/default/{key}"));
    let siblings = found["siblings"].as_array().expect("siblings");
    let value = |sibling: &Value| serde_json::json!([sibling["value"], sibling["content_type"], sibling["written_at"]]);
    (found["context"].clone(), siblings.iter().map(value).collect())
}

#[test]
fn an_export_imported_elsewhere_keeps_siblings_contexts_and_expiry() {
    let cluster = Cluster::of_three();
    let node = &cluster[0];
    let put = |target: &str, headers: &[(&str, &str)], value: &str| {
        node.ask("PUT", target, headers, value.as_bytes()).expect(204)
    };
    let odd = percent(ODD_KEY);
    put(
        &format!("/v1/kv/default/{odd}?sort=s%2F1&w=3"),
        &[("content-type", "text/plain")],
        "odd",
    );
    let first = put("/v1/kv/default/cart?w=3", &[], "empty");
    let old = first.context().to_owned();
    put("/v1/kv/default/cart?w=3", &[("torc-context", &old)], "book");
    put("/v1/kv/default/cart?w=3", &[("torc-context", &old)], "shoes");
    put("/v1/kv/default/short?ttl=1000&w=3", &[], "lived");
    for at in 0..1_500 {
        put(&format!("/v1/kv/default/many{at}"), &[], "x");
    }
    let mut resp = node.resp();
    resp.call("SET string v EX 1000");
    resp.call("HSET hash f 1 g 2");
    resp.call("SET gone v");
    resp.call("DEL gone");

    let before = seen(node, "cart");
    assert_eq!(before.1.len(), 2);
    let expires = node
        .get("/v1/kv/default/short")
        .header("torc-expires")
        .expect("Torc-Expires")
        .to_owned();
    let default = done(&torc(&cluster, &["export", "default"]));
    let redis = done(&torc(&cluster, &["export", "redis"]));
    assert_eq!(default.lines().count(), 1_503);
    for line in default.lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        assert!(line["key"].is_string() && line["values"].is_array(), "{line}");
    }
    drop(cluster);

    let cluster = Cluster::start(&Settings {
        nodes: 1,
        ..Settings::default()
    });
    let node = &cluster[0];
    for _ in 0..2 {
        done(&torc_with(&cluster, 0, &["import", "default"], default.as_bytes()));
        done(&torc_with(&cluster, 0, &["import", "redis"], redis.as_bytes()));
        assert_eq!(seen(node, "cart"), before, "a second import changes nothing");
    }
    let answer = node.get(&format!("/v1/kv/default/{odd}?sort=s%2F1")).expect(200);
    assert_eq!(
        (answer.text().as_str(), answer.header("content-type")),
        ("odd", Some("text/plain"))
    );
    let answer = node.get("/v1/kv/default/short").expect(200);
    assert_eq!(answer.header("torc-expires"), Some(expires.as_str()));
    node.get("/v1/kv/default/many1499").expect(200);
    let mut resp = node.resp();
    assert_eq!(resp.call("GET string"), Reply::bulk("v"));
    assert!(matches!(resp.call("TTL string"), Reply::Integer(900..=1_000)));
    assert_eq!(resp.call("HGET hash g"), Reply::bulk("2"));
    assert_eq!(resp.call("HLEN hash"), Reply::Integer(2));
    assert_eq!(resp.call("EXISTS gone"), Reply::Integer(0));

    // The context of the first cluster counts in the second: it replaces what it has seen, and only that.
    let stale = node.ask("PUT", "/v1/kv/default/cart", &[("torc-context", &old)], b"hat");
    stale.expect(204);
    assert_eq!(seen(node, "cart").1.len(), 3, "an old context replaces neither sibling");
    let context = before.0.as_str().expect("a context");
    node.ask(
        "PUT",
        "/v1/kv/default/cart",
        &[("torc-context", context)],
        b"book, shoes",
    )
    .expect(204);
    assert_eq!(seen(node, "cart").1.len(), 2, "the hat was not seen");
    // What has been replaced since the export does not come back with it.
    done(&torc_with(&cluster, 0, &["import", "default"], default.as_bytes()));
    assert_eq!(seen(node, "cart").1.len(), 2);
}

#[test]
fn an_import_refuses_what_is_no_export_and_names_the_line() {
    let cluster = Cluster::start(&Settings {
        nodes: 1,
        ..Settings::default()
    });
    cluster[0].ask("PUT", "/v1/kv/default/k", &[], b"v").expect(204);
    let export = done(&torc(&cluster, &["export", "default"]));
    let told = |bucket: &str, lines: &str| {
        let output = torc_with(&cluster, 0, &["import", bucket], lines.as_bytes());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        err(&output)
    };
    let text = told("default", &format!("{export}{{\"key\":\"k\"}}\n"));
    assert!(text.contains("line 2"), "{text}");
    let text = told("redis", &export);
    assert!(text.contains("siblings"), "another kind of bucket: {text}");
    let mut line: Value = serde_json::from_str(&export).expect("JSON");
    let record = line["record"].as_str().expect("a record").to_owned();
    let flipped = if record.starts_with('A') { "B" } else { "A" }.to_owned() + &record[1..];
    line["record"] = flipped.into();
    let text = told("default", &line.to_string());
    assert!(text.contains("bad_request"), "a damaged record: {text}");
    assert_eq!(cluster[0].get("/v1/kv/default/k").expect(200).text(), "v");
}
