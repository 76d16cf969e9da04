//! D1 to D5: two writers who saw the same value don't overwrite one another, and a third resolves what they wrote.

use crate::cluster::Cluster;
use crate::http::Answer;

const PATH: &str = "/v1/kv/default/cart";

fn put(cluster: &Cluster, node: usize, context: Option<&str>, value: &str) -> String {
    let headers: Vec<(&str, &str)> = context.map(|context| ("torc-context", context)).into_iter().collect();
    let target = format!("{PATH}?w=3");
    let answer = cluster.ask(node, "PUT", &target, &headers, value.as_bytes());
    assert_eq!(answer.status, 204, "{answer:?}");
    answer.context()
}

fn read(cluster: &Cluster, node: usize) -> Answer {
    let target = format!("{PATH}?r=3");
    cluster.ask(node, "GET", &target, &[("accept", "application/json")], b"")
}

/// The nodes that signed the siblings, in order.
fn signers(answer: &Answer) -> Vec<String> {
    let json = answer.json();
    let siblings = json["siblings"].as_array().expect("siblings");
    let mut nodes: Vec<String> = siblings
        .iter()
        .map(|sibling| sibling["dot"].as_str().expect("a dot")[..2].to_owned())
        .collect();
    nodes.sort();
    nodes
}

#[test]
fn the_story_of_five_versions_holds_across_nodes_and_restarts() {
    let mut cluster = Cluster::start(3);
    let d1 = put(&cluster, 1, None, "D1");
    let d2 = put(&cluster, 1, Some(&d1), "D2");
    assert_eq!(read(&cluster, 3).values(), ["D2"]);
    let d3 = put(&cluster, 2, Some(&d2), "D3");
    assert_eq!(read(&cluster, 1).values(), ["D3"], "D3 had seen D2");
    put(&cluster, 3, Some(&d2), "D4");
    let both = read(&cluster, 1);
    assert_eq!(both.values(), ["D3", "D4"], "neither had seen the other");
    assert_eq!(signers(&both), ["n2", "n3"]);

    for node in 1..=3 {
        cluster.stop(node);
    }
    cluster.start_all();
    let again = read(&cluster, 2);
    assert_eq!(again.values(), ["D3", "D4"], "a restart changes nothing");

    put(&cluster, 1, Some(&again.context()), "D5");
    let resolved = read(&cluster, 3);
    assert_eq!(resolved.values(), ["D5"]);
    assert_eq!(signers(&resolved), ["n1"]);
    // A writer who saw D3 alone comes late: D5 had seen D3, but the writer had not seen D5.
    put(&cluster, 2, Some(&d3), "late");
    assert_eq!(read(&cluster, 1).values(), ["D5", "late"]);
}
