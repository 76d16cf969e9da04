//! Writes for homes that are away: others take them, say so, and hand them over.

use std::time::Duration;

use serde_json::Value;

use crate::harness::{Cluster, Settings, eventually, torc_with};

const KEY: &str = "/v1/kv/default/cart";

fn of_five() -> Cluster {
    Cluster::start(&Settings {
        nodes: 5,
        ..Settings::default()
    })
}

/// The homes of the key, as positions in the cluster, and the others.
fn homes(cluster: &Cluster) -> (Vec<usize>, Vec<usize>) {
    let shown = cluster[0].json("/v1/ring?key=cart&bucket=default");
    let is_home = |at: &usize| {
        let name = Value::from(cluster[*at].name.clone());
        shown["homes"].as_array().expect("homes").contains(&name)
    };
    (0..5).partition(is_home)
}

fn checksums(cluster: &Cluster, asked: usize) -> Vec<Value> {
    let shown = cluster[asked].json("/v1/inspect/default/cart");
    let homes = shown["homes"].as_array().cloned().unwrap_or_default();
    homes.iter().map(|home| home["record"]["checksum"].clone()).collect()
}

fn pending(cluster: &Cluster, node: usize) -> u64 {
    cluster[node].json("/v1/status")["hints"]["pending"]
        .as_u64()
        .expect("a number")
}

#[test]
fn with_two_of_three_homes_dead_writes_go_on_and_reach_them_when_they_return() {
    let mut cluster = of_five();
    let (homes, others) = homes(&cluster);
    assert_eq!((homes.len(), others.len()), (3, 2));
    cluster[homes[1]].kill();
    cluster[homes[2]].kill();
    let asked = others[0];
    eventually("both are known to be away", Duration::from_secs(20), || {
        let answer = cluster[asked].ask("PUT", &format!("{KEY}?w=2"), &[], b"tea");
        answer.status == 204
    });
    let put = cluster[asked]
        .ask("PUT", &format!("{KEY}?w=2"), &[], b"milk")
        .expect(204);
    assert_eq!(put.header("torc-sloppy"), Some("true"));
    let strict = cluster[asked].ask("PUT", &format!("{KEY}?w=2&strict=true"), &[], b"no");
    assert_eq!(
        (strict.status, strict.json()["outcome"].as_str()),
        (503, Some("not_applied"))
    );
    let got = cluster[asked].get(&format!("{KEY}?r=2"));
    assert!(matches!(got.status, 200 | 300), "{}", got.text());
    assert_eq!(got.header("torc-sloppy"), Some("true"));
    // Two of three had answered, so the third may have nothing of it on disk yet: after this one all three have.
    cluster[asked]
        .ask("PUT", &format!("{KEY}?w=3"), &[], b"sugar")
        .expect(204);
    let kept: u64 = others.iter().map(|&node| pending(&cluster, node)).sum();
    assert_eq!(kept, 2, "one record for each home that is away");

    // What is kept survives its keeper.
    for &node in &others {
        cluster[node].kill();
        cluster[node].start();
        cluster[node].await_ready();
    }
    let kept: u64 = others.iter().map(|&node| pending(&cluster, node)).sum();
    assert_eq!(kept, 2);
    let refused = torc_with(&cluster, asked, &["cluster", "wait", "--hints", "--timeout", "1"], b"");
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && why.contains("records for"), "{why}");

    // Nobody compares: what arrives are the hints.
    for node in homes[..1].iter().chain(&others) {
        cluster[*node].admin("anti_entropy", r#"{"paused":true}"#);
    }
    cluster[homes[1]].start();
    cluster[homes[2]].start();
    cluster.await_ready();
    let waited = torc_with(&cluster, asked, &["cluster", "wait", "--hints", "--timeout", "60"], b"");
    assert!(waited.status.success(), "{}", String::from_utf8_lossy(&waited.stderr));
    let held = checksums(&cluster, asked);
    assert!(
        held.len() == 3 && held.iter().all(|sum| sum.is_string() && *sum == held[0]),
        "{held:?}"
    );
    assert!(others.iter().all(|&node| pending(&cluster, node) == 0));
    let got = cluster[asked].get(&format!("{KEY}?r=3&strict=true"));
    assert!(matches!(got.status, 200 | 300), "{}", got.text());
    assert_eq!(got.header("torc-sloppy"), None);
}

#[test]
fn with_all_homes_dead_the_others_sign_and_hand_over() {
    let mut cluster = of_five();
    let (homes, others) = homes(&cluster);
    for &home in &homes {
        cluster[home].kill();
    }
    eventually("all three are known to be away", Duration::from_secs(30), || {
        let mut puts = others.iter().map(|&node| cluster[node].ask("PUT", KEY, &[], b"tea"));
        puts.all(|put| put.status == 204)
    });
    let got = cluster[others[0]].get(&format!("{KEY}?r=2"));
    assert!(matches!(got.status, 200 | 300), "{}", got.text());
    let seen = [("Torc-Context", got.context())];
    let put = cluster[others[1]].ask("PUT", KEY, &seen, b"milk").expect(204);
    assert_eq!(
        (put.header("torc-sloppy"), put.header("torc-answered")),
        (Some("true"), Some("2/3"))
    );
    let strict = cluster[others[0]]
        .ask("PUT", &format!("{KEY}?strict=true"), &[], b"no")
        .expect(503);
    assert_eq!(strict.json()["outcome"], "not_applied");

    // What is signed survives its keepers, too.
    for &node in &others {
        cluster[node].kill();
        cluster[node].start();
    }
    for &home in &homes {
        cluster[home].start();
    }
    cluster.await_ready();
    let waited = torc_with(
        &cluster,
        others[0],
        &["cluster", "wait", "--hints", "--timeout", "60"],
        b"",
    );
    assert!(waited.status.success(), "{}", String::from_utf8_lossy(&waited.stderr));
    // Two nodes keep it for two of the three homes; the third is given it by a comparison.
    eventually("all homes hold the same", Duration::from_secs(30), || {
        let held = checksums(&cluster, others[0]);
        held.len() == 3 && held.iter().all(|sum| sum.is_string() && *sum == held[0])
    });
    let got = cluster[homes[0]].get(&format!("{KEY}?r=3&strict=true")).expect(200);
    assert_eq!((got.text().as_str(), got.header("torc-sloppy")), ("milk", None));
}

#[test]
fn paused_hints_wait_until_a_run_is_asked_for() {
    let mut cluster = of_five();
    let (homes, others) = homes(&cluster);
    for &node in &others {
        cluster[node].admin("hints", r#"{"paused":true}"#);
    }
    cluster[homes[2]].kill();
    eventually("the write is kept", Duration::from_secs(20), || {
        cluster[homes[0]].ask("PUT", KEY, &[], b"tea").expect(204);
        others.iter().map(|&node| pending(&cluster, node)).sum::<u64>() == 1
    });
    cluster[homes[2]].start();
    cluster[homes[2]].await_ready();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(others.iter().map(|&node| pending(&cluster, node)).sum::<u64>(), 1);
    eventually("a run that was asked for delivers", Duration::from_secs(20), || {
        for &node in &others {
            cluster[node].admin("hints", r#"{"run_now":true}"#);
        }
        std::thread::sleep(Duration::from_millis(300));
        others.iter().all(|&node| pending(&cluster, node) == 0)
    });
}
