//! Who is there, as `/v1/cluster` says it: a process that stands still, one that is killed, one that starts again, and a
//! way that is cut.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::harness::{Cluster, Node, eventually};

/// What a node believes of another.
fn belief(at: &Node, of: &str) -> String {
    let cluster = at.json("/v1/cluster");
    let nodes = cluster["nodes"].as_array().expect("nodes");
    let row = nodes.iter().find(|row| row["name"] == of).expect("a member");
    row["liveness"].as_str().expect("a word").to_owned()
}

#[track_caller]
fn await_belief(at: &Node, of: &str, wanted: &[&str], at_most_s: u64) {
    eventually(
        &format!("{} believes that {of} is {wanted:?}", at.name),
        Duration::from_secs(at_most_s),
        || wanted.contains(&belief(at, of).as_str()),
    );
}

/// One cluster for all of it: most of the time goes by until the detector has seen some intervals.
#[test]
fn the_others_notice_who_is_deafened_stands_still_or_is_killed_and_who_comes_back() {
    let mut cluster = Cluster::of_three();
    for at in &cluster.nodes {
        for of in &cluster.nodes {
            await_belief(at, &of.name, &["alive"], 10);
        }
    }
    std::thread::sleep(Duration::from_secs(5));
    a_peer_that_only_this_node_can_not_hear_is_alive_but_is_not_asked(&cluster);
    a_process_that_stands_still_is_suspected_and_comes_back_and_blames_nobody(&cluster);
    a_killed_process_is_dead_within_seconds_and_alive_when_it_starts_again(&mut cluster);
}

fn a_peer_that_only_this_node_can_not_hear_is_alive_but_is_not_asked(cluster: &Cluster) {
    // What n3 sends to n1 is lost; the connection stays up.
    cluster[2].faults(r#"{"cut":["n1"],"one_way":true}"#);
    eventually("n1 stops asking n3", Duration::from_secs(40), || {
        cluster[0].log().contains("answers none of this node's probes")
    });
    assert_eq!(belief(&cluster[0], "n3"), "alive", "n2 hears it");
    let started = Instant::now();
    for at in 0..20 {
        let answer = cluster[0].ask("PUT", &format!("/v1/kv/default/k{at}"), &[], b"v");
        assert_eq!(answer.status, 204, "{}", answer.text());
    }
    let took = started.elapsed();
    assert!(took < Duration::from_secs(4), "nothing waits for n3: {took:?}");
    cluster[2].faults("{}");
    eventually("n1 asks n3 again", Duration::from_secs(10), || {
        cluster[0].log().contains("answers this node again")
    });
}

fn a_process_that_stands_still_is_suspected_and_comes_back_and_blames_nobody(cluster: &Cluster) {
    cluster[2].signal(Signal::STOP);
    for at in &cluster.nodes[..2] {
        await_belief(at, "n3", &["suspect", "dead"], 20);
    }
    cluster[2].signal(Signal::CONT);
    for at in &cluster.nodes[..2] {
        await_belief(at, "n3", &["alive"], 10);
        // Who did not suspect it by itself has heard the verdict of the two others.
        let log = at.log();
        assert!(
            log.contains("a peer is suspect") || log.contains("a peer is dead"),
            "{log}"
        );
    }
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(3) {
        assert_eq!(belief(&cluster[2], "n1"), "alive");
        assert_eq!(belief(&cluster[2], "n2"), "alive");
    }
    let log = cluster[2].log();
    let blames = log.contains("a peer is suspect") || log.contains("a peer is dead");
    assert!(!blames, "the one that stood still blames the others:\n{log}");
}

fn a_killed_process_is_dead_within_seconds_and_alive_when_it_starts_again(cluster: &mut Cluster) {
    cluster[2].kill();
    for at in &cluster.nodes[..2] {
        await_belief(at, "n3", &["dead"], 25);
    }
    let log = cluster[0].log();
    assert!(
        log.contains("a peer is dead") && log.contains("failed to reach it"),
        "{log}"
    );
    let metrics = cluster[0].get("/metrics").text();
    assert!(metrics.contains("torc_gossip_members{state=\"dead\"} 1"), "{metrics}");
    cluster[2].start();
    cluster[2].await_ready();
    for at in &cluster.nodes {
        for of in ["n1", "n2", "n3"] {
            await_belief(at, of, &["alive"], 20);
        }
    }
    // The others tell how large their stores are.
    eventually("sizes are known", Duration::from_secs(15), || {
        let cluster = cluster[0].json("/v1/cluster");
        let nodes = cluster["nodes"].as_array().expect("nodes");
        nodes.iter().all(|row| row["bytes"].is_u64())
    });
}
