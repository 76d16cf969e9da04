//! Full disks, pretended: one of three costs nothing, all of them refuse writes by name and still delete.

use std::time::Duration;

use crate::harness::{Cluster, eventually};

#[test]
fn one_full_disk_of_three_costs_no_write_and_three_refuse_by_name_but_delete() {
    let cluster = Cluster::of_three();
    let first = cluster[0].ask("PUT", "/v1/kv/default/k?w=3", &[], b"v").expect(204);
    let is_full = |node: usize| cluster[node].json("/v1/status")["store"]["full"] == true;
    let fill = |node: usize| {
        cluster[node].faults(r#"{"free_bytes":0}"#);
        eventually("the node knows that its disk is full", Duration::from_secs(15), || {
            is_full(node)
        });
    };
    fill(0);
    // The full node takes the request and gives it to a home that has room.
    cluster[0].ask("PUT", "/v1/kv/default/one?w=2", &[], b"v").expect(204);
    assert_eq!(cluster[1].get("/v1/kv/default/one").expect(200).text(), "v");

    fill(1);
    fill(2);
    let refused = cluster[1]
        .ask("PUT", "/v1/kv/default/none", &[], b"v")
        .expect(507)
        .json();
    assert_eq!(
        (&refused["error"], &refused["outcome"]),
        (&"disk_full".into(), &"not_applied".into()),
        "{refused}"
    );
    assert_eq!(cluster[2].get("/v1/kv/default/k").expect(200).text(), "v");
    let seen = [("torc-context", first.context())];
    cluster[1].ask("DELETE", "/v1/kv/default/k", &seen, b"").expect(204);
    cluster[2].get("/v1/kv/default/k").expect(404);

    cluster.nodes.iter().for_each(|node| node.faults("{}"));
    eventually("writes are taken again", Duration::from_secs(15), || {
        cluster[1].ask("PUT", "/v1/kv/default/none", &[], b"v").status == 204
    });
}
