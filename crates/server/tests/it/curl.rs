//! curl on every row of docs/http.md: what a person types, against three nodes.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Cluster, Node, eventually};

/// What curl printed of one exchange.
struct Shown {
    status: u16,
    head: String,
    body: String,
}

impl Shown {
    #[track_caller]
    fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}\n{}", self.head, self.body);
        self
    }

    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut found = lines.filter(|(given, _)| given.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.trim_end())
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// Runs curl with these words on a path of the node.
fn curl(node: &Node, words: &[&str], path: &str) -> Shown {
    let output = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--include",
            "--path-as-is",
            "--globoff",
            "--max-time",
            "60",
        ])
        .args(words)
        .arg(format!("http://{}{path}", node.http_address()))
        .output()
        .expect("curl is installed");
    assert!(output.status.success(), "{words:?} {path}: {output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Shown {
        status: status.expect("a status"),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

#[test]
fn one_key_is_written_read_and_deleted() {
    let cluster = Cluster::of_three();
    let [one, two, three] = &cluster.nodes[..] else {
        panic!("three nodes")
    };
    let key = "/v1/kv/default/cart%3A7";
    let typed = [
        "-X",
        "PUT",
        "-H",
        "Content-Type: application/json",
        "--data-binary",
        r#"{"items":["tea"]}"#,
    ];
    let put = curl(one, &typed, key).expect(204);
    assert!(
        put.header("torc-context").is_some() && put.header("torc-answered").is_some(),
        "{}",
        put.head
    );

    let got = curl(two, &[], key).expect(200);
    assert_eq!(got.body, r#"{"items":["tea"]}"#);
    assert_eq!(got.header("content-type"), Some("application/json"));
    let context = format!("Torc-Context: {}", got.header("torc-context").expect("a context"));
    let head = curl(three, &["--head"], key).expect(200);
    assert_eq!((head.body.as_str(), head.header("content-length")), ("", Some("17")));

    // A blind write beside it: two siblings, until one write has seen both.
    curl(two, &["-X", "PUT", "-d", "rye"], key).expect(204);
    let both = curl(three, &[], key).expect(300).json();
    assert_eq!(both["siblings"].as_array().map(Vec::len), Some(2), "{both}");
    let json = ["-H", "Accept: application/json"];
    assert_eq!(curl(one, &json, key).expect(200).json()["siblings"], both["siblings"]);
    let seen = format!("Torc-Context: {}", both["context"].as_str().expect("a context"));
    curl(one, &["-X", "PUT", "-H", &seen, "-d", "tea, rye"], key).expect(204);
    let merged = curl(two, &[], key).expect(200);
    assert_eq!(merged.body, "tea, rye");

    // The first context has not seen the merged value: its delete leaves it. The newest context's does not.
    curl(one, &["-X", "DELETE", "-H", &context], key).expect(204);
    assert_eq!(curl(two, &[], key).expect(200).body, "tea, rye");
    let refused = curl(one, &["-X", "DELETE"], key).expect(400).json();
    assert_eq!(refused["error"], "bad_context", "{refused}");
    let newest = curl(two, &[], key).expect(200);
    let newest = format!("Torc-Context: {}", newest.header("torc-context").expect("a context"));
    curl(three, &["-X", "DELETE", "-H", &newest], key).expect(204);
    let gone = curl(one, &[], key).expect(404);
    assert!(
        gone.header("torc-context").is_some(),
        "a tombstone has a context: {}",
        gone.head
    );
    assert!(
        curl(one, &[], "/v1/kv/default/never")
            .expect(404)
            .header("torc-context")
            .is_none()
    );
}

#[test]
fn lists_batches_and_inspection_show_what_is_there() {
    let cluster = Cluster::of_three();
    let [one, two, three] = &cluster.nodes[..] else {
        panic!("three nodes")
    };
    for sort in ["name", "town", "zip"] {
        curl(
            one,
            &["-X", "PUT", "-d", sort],
            &format!("/v1/kv/default/user%3A1?sort={sort}&w=3"),
        )
        .expect(204);
    }
    let page = curl(two, &[], "/v1/kv/default?key=user%3A1&limit=2").expect(200).json();
    let sorts = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().expect("items").iter();
        items
            .map(|item| item["sort"].as_str().expect("a sort key").to_owned())
            .collect()
    };
    assert_eq!(sorts(&page), ["name", "town"]);
    let next = page["next"].as_str().expect("a cursor");
    let rest = curl(three, &[], &format!("/v1/kv/default?key=user%3A1&start={next}"))
        .expect(200)
        .json();
    assert_eq!((sorts(&rest), &rest["next"]), (vec!["zip".to_owned()], &Value::Null));

    // Keys are paged by cursor; a page may be empty before the end.
    let (mut found, mut start) = (Vec::new(), String::new());
    for _ in 0..20 {
        let page = curl(one, &[], &format!("/v1/keys/default?limit=1{start}"))
            .expect(200)
            .json();
        found.extend(sorts(&page));
        let Some(next) = page["next"].as_str() else { break };
        start = format!("&start={next}");
    }
    assert_eq!(found, ["name", "town", "zip"]);

    let operations = r#"{"operations":[{"op":"put","bucket":"default","key":"a","value":"aGk="},
        {"op":"get","bucket":"default","key":"a"},{"op":"get","bucket":"nosuch","key":"a"}],"r":"quorum","w":2}"#;
    let typed = ["-X", "POST", "-H", "Content-Type: application/json", "-d", operations];
    let results = curl(two, &typed, "/v1/batch").expect(200).json()["results"].clone();
    assert_eq!(
        (&results[0]["status"], &results[2]["status"]),
        (&204.into(), &404.into()),
        "{results}"
    );
    assert_eq!(
        results[1]["siblings"][0]["value"], "aGk=",
        "the operations on one key run in order: {results}"
    );

    let inspected = curl(three, &[], "/v1/inspect/default/a").expect(200).json();
    let homes = inspected["homes"].as_array().expect("homes");
    assert_eq!(homes.len(), 3, "{inspected}");
    assert!(
        homes.iter().filter(|home| home["state"] == "record").count() >= 2,
        "{inspected}"
    );
    let token = results[0]["context"].as_str().expect("a context");
    let taken_apart = curl(one, &[], &format!("/v1/inspect?context={token}"))
        .expect(200)
        .json();
    assert_eq!(taken_apart["kind"], "dots", "{taken_apart}");
}

#[test]
fn the_cluster_its_buckets_and_each_node_tell_about_themselves() {
    let cluster = Cluster::of_three();
    let [one, two, three] = &cluster.nodes[..] else {
        panic!("three nodes")
    };
    let buckets = curl(one, &[], "/v1/buckets").expect(200).json();
    let names = buckets["buckets"]
        .as_array()
        .expect("buckets")
        .iter()
        .map(|bucket| bucket["name"].clone());
    assert_eq!(names.collect::<Vec<_>>(), ["default", "redis", "strong"]);
    let bucket = curl(two, &[], "/v1/buckets/redis").expect(200).json();
    assert_eq!(
        (&bucket["conflict"], &bucket["mode"], &bucket["n"]),
        (&"lww".into(), &"available".into(), &3.into())
    );
    curl(two, &[], "/v1/buckets/nosuch").expect(404);
    curl(two, &["-X", "PUT", "-d", "{}"], "/v1/buckets/carts").expect(501);

    eventually("all three are alive for one another", Duration::from_secs(10), || {
        let cluster = curl(three, &[], "/v1/cluster").expect(200).json();
        let nodes = cluster["nodes"].as_array().expect("nodes").clone();
        nodes.len() == 3 && nodes.iter().all(|node| node["liveness"] == "alive")
    });
    let rings: Vec<Value> = cluster
        .nodes
        .iter()
        .map(|node| curl(node, &[], "/v1/ring?key=k&bucket=default").expect(200).json())
        .collect();
    assert!(rings.iter().all(|ring| *ring == rings[0]), "{rings:?}");
    assert_eq!(rings[0]["homes"].as_array().map(Vec::len), Some(3));
    assert_eq!(curl(two, &[], "/v1/status").expect(200).json()["name"], "n2");

    let faults = curl(
        one,
        &["-X", "POST", "-d", r#"{"fsync":"slow","fsync_ms":7}"#],
        "/v1/faults",
    )
    .expect(200)
    .json();
    assert_eq!(
        (&faults["fsync"], &faults["fsync_ms"]),
        (&"slow".into(), &7.into()),
        "{faults}"
    );
    curl(one, &["-X", "POST", "-d", r#"{"colour":"red"}"#], "/v1/faults").expect(400);
    curl(one, &["-X", "POST", "-d", "{}"], "/v1/faults").expect(200);

    assert_eq!(curl(one, &[], "/healthz").expect(200).json()["status"], "ok");
    assert_eq!(curl(one, &[], "/readyz").expect(200).json()["status"], "ready");
    let metrics = curl(one, &[], "/metrics").expect(200);
    assert_eq!(
        metrics.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let samples = metrics
        .body
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    let foreign: Vec<&str> = samples.clone().filter(|line| !line.starts_with("torc_")).collect();
    assert!(samples.count() > 20 && foreign.is_empty(), "{foreign:?}");
    let paths = curl(one, &[], "/openapi.json").expect(200).json()["paths"].clone();
    assert!(
        paths
            .as_object()
            .is_some_and(|paths| paths.contains_key("/v1/kv/{bucket}/{key}")),
        "{paths}"
    );
    curl(one, &[], "/console").expect(501);

    let refused = curl(one, &["-X", "PATCH"], "/v1/kv/default/k").expect(405);
    assert!(
        refused.header("allow").is_some_and(|allow| allow.contains("PUT")),
        "{}",
        refused.head
    );
    let conditional = ["-X", "PUT", "-H", "If-None-Match: *", "-d", "v"];
    assert_eq!(
        curl(one, &conditional, "/v1/kv/default/k").expect(409).json()["error"],
        "wrong_mode"
    );
    assert_eq!(
        curl(one, &[], "/v1/kv/strong/k").expect(501).json()["error"],
        "not_in_this_version"
    );
    let unknown = curl(one, &[], "/v1/kv/default/k?colour=red").expect(400).json();
    assert!(
        unknown["message"]
            .as_str()
            .is_some_and(|message| message.contains("colour")),
        "{unknown}"
    );
}
