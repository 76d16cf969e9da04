//! The worked example of vector clocks (Dynamo paper, section 4.4), over HTTP, coordinated by the nodes it names.

use serde_json::Value;

use crate::harness::{Cluster, Node};

/// `node:counter` of everything a context covers, sorted; node names, since an actor is one life of a node.
fn clock(node: &Node, context: &str) -> Vec<String> {
    let parts = node.json(&format!("/v1/inspect?context={context}"));
    assert_eq!(parts["kind"], "dots", "{parts}");
    let mut entries = Vec::new();
    for entry in parts["vector"].as_array().expect("a vector") {
        let actor = entry["actor"].as_str().expect("an actor");
        let name = actor.split('-').next().expect("a name");
        entries.push(format!("{name}:{}", entry["counter"]));
    }
    for dot in parts["dots"].as_array().expect("dots") {
        let dot = dot.as_str().expect("a dot");
        let (actor, counter) = dot.rsplit_once(':').expect("actor:counter");
        entries.push(format!("{}:{counter}", actor.split('-').next().expect("a name")));
    }
    entries.sort();
    entries
}

fn put(node: &Node, key: &str, value: &str, context: Option<&str>) {
    let headers: Vec<(&str, &str)> = context.map(|context| ("torc-context", context)).into_iter().collect();
    node.ask("PUT", &format!("/v1/kv/default/{key}?w=3"), &headers, value.as_bytes())
        .expect(204);
}

/// The values at a quorum of all, and their context.
fn read(node: &Node, key: &str) -> (Vec<String>, String) {
    use base64::Engine;
    let found = node.json(&format!("/v1/kv/default/{key}?r=3"));
    let siblings = found["siblings"].as_array().expect("siblings");
    let value = |sibling: &Value| {
        let text = sibling["value"].as_str().expect("a value");
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).expect("base64");
        String::from_utf8(bytes).expect("text")
    };
    let mut values: Vec<String> = siblings.iter().map(value).collect();
    values.sort();
    (values, found["context"].as_str().expect("a context").to_owned())
}

/// `between` runs after every step.
fn story(cluster: &mut Cluster, key: &str, mut between: impl FnMut(&mut Cluster)) {
    let (x, y, z) = (0, 1, 2);
    put(&cluster[x], key, "D1", None);
    between(cluster);
    let (values, d1) = read(&cluster[x], key);
    assert_eq!(values, ["D1"]);
    assert_eq!(clock(&cluster[x], &d1), ["n1:1"]);

    put(&cluster[x], key, "D2", Some(&d1));
    between(cluster);
    let (values, d2) = read(&cluster[y], key);
    assert_eq!(values, ["D2"]);
    assert_eq!(clock(&cluster[x], &d2), ["n1:2"]);

    put(&cluster[y], key, "D3", Some(&d2));
    between(cluster);
    put(&cluster[z], key, "D4", Some(&d2));
    between(cluster);
    for node in &cluster.nodes {
        let (values, both) = read(node, key);
        assert_eq!(values, ["D3", "D4"], "at {}", node.name);
        assert_eq!(clock(node, &both), ["n1:2", "n2:1", "n3:1"]);
        let plain = node.get(&format!("/v1/kv/default/{key}")).expect(300);
        assert_eq!(plain.json()["siblings"].as_array().map(Vec::len), Some(2));
    }

    let (_, both) = read(&cluster[y], key);
    put(&cluster[x], key, "D5", Some(&both));
    between(cluster);
    for node in &cluster.nodes {
        let (values, d5) = read(node, key);
        assert_eq!(values, ["D5"], "at {}", node.name);
        assert_eq!(clock(node, &d5), ["n1:3", "n2:1", "n3:1"]);
    }
}

#[test]
fn the_story_of_d1_to_d5_holds_over_http_and_again_after_a_restart_of_all_nodes() {
    let mut cluster = Cluster::of_three();
    story(&mut cluster, "before", |_| {});
    let told = read(&cluster[0], "before");
    cluster.stop_all();
    cluster.start_all();
    assert_eq!(read(&cluster[2], "before"), told, "what was there is there");
    story(&mut cluster, "after", |_| {});
}

/// A life of a node goes on after a clean stop: its next dot follows the last one, under the same actor.
#[test]
fn the_story_goes_on_across_a_clean_restart_of_all_nodes_after_every_step() {
    let mut cluster = Cluster::of_three();
    story(&mut cluster, "across", |cluster| {
        cluster.stop_all();
        cluster.start_all();
    });
}
