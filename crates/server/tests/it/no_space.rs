//! Full disks, pretended and real: one of three costs nothing, all of them refuse writes by name and still delete.

use std::time::Duration;

use crate::harness::{Cluster, Settings, SmallDisk, eventually};

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

/// A real file system, filled by real writes: what was acknowledged is there before, during and after.
#[test]
fn a_small_disk_that_is_full_refuses_writes_and_takes_them_again_and_loses_nothing() {
    const WATERMARK_BYTES: u64 = 128 << 20;
    let Some(disk) = SmallDisk::mount(1_024) else { return };
    println!("on {}", disk.kind);
    let cluster = Cluster::start(&Settings {
        top: "memory_max = \"32MiB\"\nfree_space_min = \"128MiB\"",
        below: &disk.path,
        ..Settings::default()
    });
    let value = vec![b'v'; 64 << 10];
    let put = |key: &str| {
        cluster[0]
            .ask("PUT", &format!("/v1/kv/default/{key}"), &[], &value)
            .status
    };
    let context = cluster[0].ask("PUT", "/v1/kv/default/gone", &[], &value).expect(204);
    // The third node misses some, which it must be given on a full disk.
    cluster[0].faults(r#"{"cut":["n3"]}"#);
    cluster[1].faults(r#"{"cut":["n3"]}"#);
    let missed: Vec<String> = (0..5).map(|at| format!("missed{at}")).collect();
    for key in &missed {
        assert_eq!(put(key), 204);
    }
    let filler = disk.fill_but(WATERMARK_BYTES + (24 << 20));
    let mut kept = missed.clone();
    let refused = (0..2_000).map(|at| format!("k{at}")).find_map(|key| match put(&key) {
        204 => {
            kept.push(key);
            None
        }
        status => Some(status),
    });
    println!("{} writes of 64 KiB were taken", kept.len() - missed.len());
    // Each node looks for itself: the first to know gives its writes to others until they know too.
    eventually(
        "all nodes know that their disk is full",
        Duration::from_secs(10),
        || (0..3).all(|node| cluster[node].json("/v1/status")["store"]["full"] == true),
    );
    assert!(refused.is_some(), "{} MiB free", disk.free_bytes() >> 20);
    // Until the third node is known to be silent, it may be asked whether it takes the write.
    let mut never = String::new();
    let mut attempt = 0;
    eventually("a write is refused", Duration::from_secs(30), || {
        attempt += 1;
        never = format!("/v1/kv/default/none{attempt}");
        let answer = cluster[1].ask("PUT", &never, &[], b"v");
        assert!(matches!(answer.status, 504 | 507), "{}", answer.text());
        let is_refused = answer.status == 507;
        assert!(
            !is_refused || answer.json()["outcome"] == "not_applied",
            "{}",
            answer.text()
        );
        is_refused
    });

    let seen = [("torc-context", context.context())];
    cluster[1].ask("DELETE", "/v1/kv/default/gone", &seen, b"").expect(204);
    cluster.nodes[..2].iter().for_each(|node| node.faults("{}"));
    cluster[0].admin("anti_entropy", r#"{"run_now":true}"#);
    eventually(
        "the third node is given what it missed",
        Duration::from_secs(60),
        || {
            let is_everywhere = |key: &String| {
                let shown = cluster[1].json(&format!("/v1/inspect/default/{key}"));
                let homes = shown["homes"].as_array().expect("homes");
                homes.len() == 3 && homes.iter().all(|home| home["state"] == "record")
            };
            missed.iter().all(is_everywhere)
        },
    );
    let is_there = |key: &String| {
        let answer = cluster[2].get(&format!("/v1/kv/default/{key}?r=2")).expect(200);
        assert_eq!(answer.body, value, "{key}");
    };
    kept.iter().for_each(is_there);

    std::fs::remove_file(&filler).expect("the filler");
    eventually("writes are taken again", Duration::from_secs(15), || {
        put("after") == 204
    });
    kept.iter().for_each(is_there);
    cluster[2].get("/v1/kv/default/gone").expect(404);
    let never = cluster[2].get(&never).expect(404);
    assert!(never.header("torc-context").is_none(), "what was refused was written");
}
