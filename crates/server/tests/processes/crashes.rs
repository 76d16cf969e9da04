//! kill -9, of one node and of all at once, while clients write: what was acknowledged is there.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use crate::cluster::Cluster;
use crate::http::try_ask;

/// How often all nodes are killed; `TORC_CRASH_ROUNDS` for more.
const ROUNDS: usize = 3;
const WRITERS: usize = 8;

/// What was acknowledged: the last value of each key, and how many writes failed.
#[derive(Default)]
struct Ledger {
    acknowledged: BTreeMap<String, u64>,
    failed: u64,
}

/// Writers that each count up their own key at one node until they are told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    ledger: Arc<Mutex<Ledger>>,
    writers: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(ports: &[u16], round: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let writers = (0..WRITERS).map(|writer| {
            let (stop, ledger) = (Arc::clone(&stop), Arc::clone(&ledger));
            let port = ports[writer % ports.len()];
            spawn(move || {
                let mut number = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    number += 1;
                    // Many keys, each written a few times over.
                    let key = format!("r{round}-w{writer}-{}", number % 50);
                    let target = format!("/v1/kv/counts/{key}");
                    let answer = try_ask(port, "PUT", &target, &[], number.to_string().as_bytes());
                    let mut ledger = ledger.lock().expect("no writer panics");
                    if answer.is_some_and(|answer| answer.status == 204) {
                        ledger.acknowledged.insert(key, number);
                    } else {
                        ledger.failed += 1;
                    }
                }
            })
        });
        let writers = writers.collect();
        Self { stop, ledger, writers }
    }

    fn end(self) -> Ledger {
        self.stop.store(true, Ordering::Relaxed);
        for writer in self.writers {
            writer.join().expect("no writer panics");
        }
        std::mem::take(&mut *self.ledger.lock().expect("no writer panics"))
    }
}

/// A bucket in which one writer's later value replaces its earlier one.
const COUNTS: &str = "[[buckets]]\nname = \"counts\"\nconflict = \"lww\"\n";

fn start() -> Cluster {
    Cluster::start_with_lists(3, "", COUNTS)
}

fn check(cluster: &Cluster, node: usize, ledger: &Ledger) {
    for (key, &number) in &ledger.acknowledged {
        let answer = cluster.ask(node, "GET", &format!("/v1/kv/counts/{key}"), &[], b"");
        assert_eq!(answer.status, 200, "{key} was acknowledged and is gone");
        let found: u64 = String::from_utf8_lossy(&answer.body).parse().expect("a number");
        assert!(found >= number, "{key} was acknowledged at {number} and is {found}");
    }
}

#[test]
fn a_killed_node_fails_nobody_at_the_others_and_is_complete_for_what_is_read_after_its_return() {
    let mut cluster = start();
    let load = Load::start(&[cluster.http(1), cluster.http(2)], 0);
    sleep(Duration::from_millis(700));
    cluster.kill(3);
    sleep(Duration::from_millis(1_500));
    let ledger = load.end();
    assert_eq!(ledger.failed, 0, "two of three nodes are a quorum");
    assert!(
        ledger.acknowledged.len() > 100,
        "the load was no load: {}",
        ledger.acknowledged.len()
    );
    cluster.restart(3);
    check(&cluster, 3, &ledger);
    // Those reads have mended n3: now it answers alone.
    sleep(Duration::from_millis(300));
    for (key, &number) in &ledger.acknowledged {
        let seen = cluster
            .ask(3, "GET", &format!("/v1/inspect/counts/{key}"), &[], b"")
            .json();
        let homes = seen["homes"].as_array().expect("homes");
        let own = homes
            .iter()
            .find(|home| home["node"] == "n3")
            .expect("n3 is a home of everything");
        assert_eq!(own["record"], seen["merged"], "{key} at {number} is incomplete on n3");
    }
}

#[test]
fn killing_all_nodes_at_once_loses_nothing_that_was_acknowledged() {
    let rounds = std::env::var("TORC_CRASH_ROUNDS")
        .ok()
        .and_then(|rounds| rounds.parse().ok());
    let mut cluster = start();
    let mut all = Ledger::default();
    for round in 0..rounds.unwrap_or(ROUNDS) {
        let load = Load::start(&[cluster.http(1), cluster.http(2), cluster.http(3)], round);
        sleep(Duration::from_millis(800));
        for node in 1..=3 {
            cluster.kill(node);
        }
        let ledger = load.end();
        assert!(!ledger.acknowledged.is_empty(), "nothing was acknowledged");
        all.acknowledged.extend(ledger.acknowledged);
        cluster.start_all();
        check(&cluster, 1 + round % 3, &all);
    }
}
