//! Deleted data is forgotten when every home agrees, not before; it stays deleted, and its space comes back.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Cluster, Reply, Settings, eventually};

/// Makes the time for which all homes must have held a deletion short enough for a test.
fn make_quick(cluster: &Cluster, nodes: usize) {
    for node in 0..nodes {
        cluster[node].faults(r#"{"reap_age_ms":1000}"#);
    }
}

fn look_now(cluster: &Cluster, nodes: impl Iterator<Item = usize>) {
    for node in nodes {
        cluster[node].admin("reaping", r#"{"run_now":true}"#);
    }
}

/// Deletes exactly what is there: a blind delete would stand beside it.
fn delete(cluster: &Cluster, key: &str) {
    let path = format!("/v1/kv/default/{key}");
    let shown = cluster[0].get(&path).expect(200);
    let headers = [("torc-context", shown.context())];
    cluster[0].ask("DELETE", &path, &headers, b"").expect(204);
}

/// How many homes hold anything of a key.
fn holders(cluster: &Cluster, bucket: &str, key: &str) -> usize {
    let shown = cluster[0].json(&format!("/v1/inspect/{bucket}/{key}"));
    let homes = shown["homes"].as_array().expect("homes");
    homes.iter().filter(|home| !home["record"].is_null()).count()
}

fn reaping(cluster: &Cluster, node: usize) -> Value {
    cluster[node].json("/v1/status")["reaping"].clone()
}

#[test]
fn what_is_deleted_or_expired_is_forgotten_by_all_homes_and_what_lives_is_not() {
    let mut cluster = Cluster::of_three();
    make_quick(&cluster, 3);
    for number in 0..20 {
        let path = format!("/v1/kv/default/k{number}");
        cluster[0].ask("PUT", &path, &[], b"v").expect(204);
    }
    cluster[0]
        .ask("PUT", "/v1/kv/default/brief?ttl=1", &[], b"v")
        .expect(204);
    let mut resp = cluster[1].resp();
    resp.call("SET string v");
    resp.call("HSET hash f 1 g 2");
    resp.call("HSET kept f 1 g 2");
    for number in 0..10 {
        delete(&cluster, &format!("k{number}"));
    }
    resp.call("DEL string hash");
    resp.call("HDEL kept f");
    let dead = ["k0", "k5", "k9", "brief"];
    eventually("all homes have forgotten", Duration::from_secs(60), || {
        look_now(&cluster, 0..3);
        dead.iter().all(|key| holders(&cluster, "default", key) == 0)
            && ["string", "hash"]
                .iter()
                .all(|key| holders(&cluster, "redis", key) == 0)
    });
    // As if it had never been written: there is no context to hand out any more.
    let got = cluster[2].get("/v1/kv/default/k0");
    assert_eq!((got.status, got.header("torc-context")), (404, None));
    assert_eq!(holders(&cluster, "default", "k10"), 3);
    assert_eq!(cluster[2].get("/v1/kv/default/k10").expect(200).text(), "v");
    assert_eq!(resp.call("HGET kept g"), Reply::bulk("2"));
    let forgotten: u64 = (0..3)
        .map(|node| reaping(&cluster, node)["reaped"].as_u64().expect("a number"))
        .sum();
    assert!(forgotten >= 3 * 14, "{forgotten} records");

    // A node that was away may bring back anything: until it has the deletion as well, it stays.
    cluster[2].kill();
    delete(&cluster, "k10");
    eventually("the node that is away is named", Duration::from_secs(30), || {
        look_now(&cluster, 0..2);
        (0..2).any(|node| {
            let blocked = reaping(&cluster, node)["blocked_by"].clone();
            blocked[0]["node"] == cluster[2].name.as_str() && blocked[0]["reason"] == "away"
        })
    });
    std::thread::sleep(Duration::from_secs(3));
    assert!(holders(&cluster, "default", "k10") >= 2, "one home is away");
    cluster[2].start();
    cluster[2].await_ready();
    make_quick(&cluster, 3);
    eventually("all homes have forgotten this as well", Duration::from_secs(60), || {
        look_now(&cluster, 0..3);
        holders(&cluster, "default", "k10") == 0
    });
    assert_eq!(cluster[2].get("/v1/kv/default/k10").status, 404);
}

#[test]
fn an_old_backup_of_a_node_does_not_bring_back_what_all_homes_have_forgotten() {
    let mut cluster = Cluster::of_three();
    cluster[0].ask("PUT", "/v1/kv/default/deleted", &[], b"old").expect(204);
    cluster[0].ask("PUT", "/v1/kv/default/kept", &[], b"v").expect(204);
    // Made while the node runs on: it knows of all its boots, and yet is an older disk.
    cluster[2].kill();
    let backup = cluster.dir.path().join("backup");
    copy(&cluster[2].dir, &backup);
    cluster[2].start();
    cluster[2].await_ready();
    make_quick(&cluster, 3);
    delete(&cluster, "deleted");
    eventually("all homes have forgotten", Duration::from_secs(60), || {
        look_now(&cluster, 0..3);
        holders(&cluster, "default", "deleted") == 0
    });
    cluster[2].kill();
    std::fs::remove_dir_all(&cluster[2].dir).expect("the node is down");
    copy(&backup, &cluster[2].dir);
    cluster[2].start();
    cluster[2].await_ready();
    eventually(
        "it has put aside what it should not have",
        Duration::from_secs(30),
        || reaping(&cluster, 2)["quarantined"].as_u64() >= Some(1),
    );
    // Comparing copies spreads what only one of them has.
    std::thread::sleep(Duration::from_secs(8));
    for node in 0..3 {
        assert_eq!(cluster[node].get("/v1/kv/default/deleted?r=3").status, 404);
        assert_eq!(cluster[node].get("/v1/kv/default/kept?r=3").expect(200).text(), "v");
    }
    assert_eq!(holders(&cluster, "default", "deleted"), 0);
}

#[test]
fn the_space_of_what_was_deleted_comes_back() {
    const ROUNDS: u32 = 4;
    const KEYS: u32 = 6_000;
    const NAME_BYTES: usize = 2_000;
    let cluster = Cluster::start(&Settings {
        nodes: 1,
        top: "memory_max = \"64 MiB\"\n",
        ..Settings::default()
    });
    make_quick(&cluster, 1);
    cluster[0].admin("reaping", r#"{"bytes_per_second":67108864}"#);
    let mut resp = cluster[0].resp();
    let mut noise = 1_u64;
    let mut in_tables = Vec::new();
    for _ in 0..ROUNDS {
        let mut names = Vec::new();
        for _ in 0..KEYS {
            let letter = || {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                b'!' + (noise >> 58) as u8
            };
            names.push(std::iter::repeat_with(letter).take(NAME_BYTES).collect::<Vec<u8>>());
        }
        for names in names.chunks(100) {
            for words in [&[&b"MSET"[..], b"v"][..], &[b"DEL"]] {
                let mut line: Vec<&[u8]> = vec![words[0]];
                for name in names {
                    line.push(name);
                    line.extend(&words[1..]);
                }
                resp.try_call(&line).expect("an answer");
            }
        }
        let reaped = || reaping(&cluster, 0)["reaped"].as_u64().expect("a number");
        let before = reaped();
        eventually("all is forgotten", Duration::from_secs(60), || {
            look_now(&cluster, 0..1);
            reaped() >= before + u64::from(KEYS)
        });
        in_tables.push(tables_bytes(&cluster));
    }
    let written = u64::from(ROUNDS * KEYS) * NAME_BYTES as u64;
    let most = in_tables.iter().max().copied().unwrap_or_default();
    assert!(
        most < written / 2,
        "{written} bytes of names came and went; in tables: {in_tables:?}"
    );
}

fn tables_bytes(cluster: &Cluster) -> u64 {
    let text = cluster[0].get("/metrics").expect(200).text();
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).expect("a metric");
        line.rsplit(' ')
            .next()
            .expect("a value")
            .parse::<f64>()
            .expect("a number") as u64
    };
    value("torc_store_disk_bytes ") - value("torc_store_journal_bytes ")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).expect("a file is copied");
        }
    }
}
