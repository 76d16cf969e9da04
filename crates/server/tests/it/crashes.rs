//! kill -9 under load: of one node, and of all of them at once.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{Cluster, Http, Node, eventually};

/// Writes keys of its own until told to stop; the acknowledged ones.
struct Writer<'a> {
    prefix: String,
    address: &'a str,
    stop: &'a AtomicBool,
    acknowledged: &'a AtomicUsize,
}

impl Writer<'_> {
    /// Ends at the first error; the keys that were acknowledged, and what ended it.
    fn run(&self) -> (Vec<String>, Option<io::Error>) {
        let mut keys = Vec::new();
        let mut work = || -> io::Result<()> {
            let mut http = Http::connect(self.address)?;
            for at in 0.. {
                if self.stop.load(Ordering::Relaxed) {
                    break;
                }
                let key = format!("{}-{at}", self.prefix);
                let answer = http.send("PUT", &format!("/v1/kv/default/{key}"), &[], key.as_bytes())?;
                if answer.status != 204 {
                    return Err(io::Error::other(format!("{}: {}", answer.status, answer.text())));
                }
                keys.push(key);
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        };
        let ended = work().err();
        (keys, ended)
    }
}

#[track_caller]
fn assert_all_there(node: &Node, keys: &[String]) {
    let mut http = node.http();
    for key in keys {
        let answer = http.send("GET", &format!("/v1/kv/default/{key}"), &[], b"");
        let answer = answer.expect("an answer").expect(200);
        assert_eq!(answer.text(), *key);
    }
}

#[test]
fn killing_one_node_under_load_fails_nothing_elsewhere_and_loses_nothing() {
    let mut cluster = Cluster::of_three();
    let addresses: Vec<String> = cluster.nodes.iter().map(Node::http_address).collect();
    let (stop, acknowledged) = (AtomicBool::new(false), AtomicUsize::new(0));
    let started = Instant::now();
    let mut keys = Vec::new();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..6)
            .map(|at| {
                let writer = Writer {
                    prefix: format!("w{at}"),
                    address: &addresses[at % 3],
                    stop: &stop,
                    acknowledged: &acknowledged,
                };
                (at % 3, scope.spawn(move || writer.run()))
            })
            .collect();
        eventually("the load runs", Duration::from_secs(20), || {
            acknowledged.load(Ordering::Relaxed) > 300
        });
        cluster[2].kill();
        let at_kill = acknowledged.load(Ordering::Relaxed);
        eventually("the load goes on", Duration::from_secs(20), || {
            acknowledged.load(Ordering::Relaxed) > at_kill + 300
        });
        cluster[2].start();
        cluster[2].await_ready();
        let at_return = acknowledged.load(Ordering::Relaxed);
        eventually("the load goes on with it back", Duration::from_secs(20), || {
            acknowledged.load(Ordering::Relaxed) > at_return + 100
        });
        stop.store(true, Ordering::Relaxed);
        for (node, writer) in writers {
            let (written, ended) = writer.join().expect("no panic");
            keys.extend(written);
            if node == 2 {
                assert!(ended.is_some(), "the connection to the killed node was lost");
            } else {
                assert!(ended.is_none(), "at n{}: {ended:?}", node + 1);
            }
        }
    });
    println!("{} acknowledged in {:?}", keys.len(), started.elapsed());
    for at in 0..3 {
        assert_all_there(&cluster[at], &keys);
    }
    // Read once by all homes, every key is on all of them.
    let mut http = cluster[0].http();
    for key in &keys {
        let answer = http.send("GET", &format!("/v1/kv/default/{key}?r=3"), &[], b"");
        answer.expect("an answer").expect(200);
    }
    let mut lacking = keys.clone();
    eventually(
        "every key that was read is on every home",
        Duration::from_secs(30),
        || {
            lacking.retain(|key| {
                let told = cluster[0].json(&format!("/v1/inspect/default/{key}"));
                let homes = told["homes"].as_array().expect("homes");
                !homes.iter().all(|home| home["state"] == "record")
            });
            lacking.is_empty()
        },
    );
}

#[test]
fn killing_all_three_nodes_ten_times_under_load_loses_no_acknowledged_write() {
    const ROUNDS: usize = 10;
    let mut cluster = Cluster::of_three();
    let addresses: Vec<String> = cluster.nodes.iter().map(Node::http_address).collect();
    let mut keys: Vec<String> = Vec::new();
    for round in 0..ROUNDS {
        let (stop, acknowledged) = (AtomicBool::new(false), AtomicUsize::new(0));
        let mut fresh = Vec::new();
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..6)
                .map(|at| {
                    let writer = Writer {
                        prefix: format!("r{round}w{at}"),
                        address: &addresses[at % 3],
                        stop: &stop,
                        acknowledged: &acknowledged,
                    };
                    scope.spawn(move || writer.run())
                })
                .collect();
            eventually("the load runs", Duration::from_secs(20), || {
                acknowledged.load(Ordering::Relaxed) > 150
            });
            cluster.kill_all();
            for writer in writers {
                let (written, ended) = writer.join().expect("no panic");
                assert!(ended.is_some(), "nobody is left to answer");
                fresh.extend(written);
            }
        });
        cluster.start_all();
        assert_all_there(&cluster[round % 3], &fresh);
        keys.append(&mut fresh);
    }
    assert!(keys.len() > ROUNDS * 150, "{}", keys.len());
    for at in 0..3 {
        assert_all_there(&cluster[at], &keys);
    }
}
