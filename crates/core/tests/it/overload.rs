//! Overload and slow nodes: who waits, who is turned away, and who is avoided.

use bytes::Bytes;
use torc_core::admission::AdmissionLimits;
use torc_core::command::{Command, Options, UpdateKey};
use torc_core::effect::Input;
use torc_core::id::{NodeId, OpId};
use torc_core::keyspace::{Update, UpdateReply};
use torc_core::message::Message;
use torc_core::outcome::{Cause, Certainty, Outcome};
use torc_core::quorum::QuorumSize;
use torc_core::storage::StoreHealth;

use crate::cluster::{Cluster, DEFAULT, REDIS, get, put, target};

const SLOW: StoreHealth = StoreHealth {
    full: false,
    slow: true,
    bytes: 0,
};

fn limit(cluster: &mut Cluster, node: NodeId, running_max: usize) {
    let limits = AdmissionLimits {
        running_max,
        waiting_ms_max: 500,
    };
    cluster.nodes.get_mut(&node).expect("a node").set_admission(limits);
}

fn write(cluster: &mut Cluster, node: NodeId, key: &str) -> Outcome {
    cluster.ask(node, put(DEFAULT, key, "v", None, Options::default()))
}

#[test]
fn requests_beyond_the_limit_wait_and_are_answered_in_their_turn() {
    let mut cluster = Cluster::new(3);
    let node = cluster.names[0];
    limit(&mut cluster, node, 2);
    let asked: Vec<_> = (0..10)
        .map(|at| cluster.begin(node, put(DEFAULT, &format!("k{at}"), "v", None, Options::default())))
        .collect();
    let view = cluster.nodes[&node].admission();
    assert_eq!((view.running, view.waiting), (2, 8));
    cluster.run_for_ms(20);
    for id in asked {
        let outcome = cluster.outcome(id);
        assert!(matches!(outcome, Some(Outcome::Written(_))), "{outcome:?}");
    }
    let view = cluster.nodes[&node].admission();
    assert_eq!((view.running, view.waiting, view.stats.waited), (0, 0, 8));
}

#[test]
fn who_waits_too_long_is_told_that_nothing_was_done_and_when_to_come_back() {
    let mut cluster = Cluster::new(3);
    let node = cluster.names[0];
    limit(&mut cluster, node, 1);
    // The others are silent, so that the first request stays where it is.
    let others = [cluster.names[1], cluster.names[2]];
    cluster.silent.extend(others);
    let first = cluster.begin(node, put(DEFAULT, "first", "v", None, Options::default()));
    let second = cluster.begin(node, put(DEFAULT, "second", "v", None, Options::default()));
    cluster.run_for_ms(480);
    assert_eq!(cluster.outcome(second), None, "it may still begin");
    cluster.run_for_ms(60);
    let Some(Outcome::Failed(failure)) = cluster.outcome(second) else {
        panic!("the second has waited too long")
    };
    assert!(
        matches!(failure.cause, Cause::Busy { retry_after_ms } if retry_after_ms >= 100),
        "{failure:?}"
    );
    assert_eq!(failure.certainty, Certainty::NotApplied);
    assert_eq!(cluster.outcome(first), None, "what runs goes on");
    for disk in cluster.disks.values() {
        assert!(disk.records.len() <= 1, "the second was written somewhere");
    }
    cluster.silent.clear();
    cluster.run_for_ms(6_000);
    assert!(cluster.outcome(first).is_some());
    assert_eq!(cluster.nodes[&node].admission().running, 0);
}

#[test]
fn a_node_that_says_that_its_syncs_are_slow_is_avoided_by_reads_and_does_not_sign() {
    let mut cluster = Cluster::new(3);
    let [slow, other, third] = <[_; 3]>::try_from(cluster.names.clone()).expect("three");
    cluster.step(slow, Input::StoreHealth(SLOW));
    // It says so at once, not with its next period.
    cluster.deliver();
    for node in [other, third] {
        let says_slow = cluster.nodes[&node]
            .circuits()
            .find(|circuit| circuit.0 == slow)
            .is_some_and(|circuit| circuit.1.says_slow);
        assert!(says_slow, "{node:?}");
    }
    let forwards = cluster.nodes[&slow].stats().forwards;
    for at in 0..20 {
        let outcome = write(&mut cluster, slow, &format!("k{at}"));
        assert!(matches!(outcome, Outcome::Written(_)), "{outcome:?}");
        let outcome = cluster.ask(other, get(DEFAULT, &format!("k{at}"), Options::default()));
        assert!(
            matches!(&outcome, Outcome::Found(found) if found.siblings.len() == 1),
            "{outcome:?}"
        );
    }
    assert_eq!(cluster.nodes[&slow].stats().forwards - forwards, 20);
    let hedging = cluster.nodes[&other].hedging();
    assert_eq!((hedging.held_back, hedging.hedges), (20, 0), "{hedging:?}");
    assert_eq!(cluster.disks[&slow].records.len(), 20, "writes go to it all the same");

    cluster.step(slow, Input::StoreHealth(StoreHealth::default()));
    cluster.deliver();
    let outcome = write(&mut cluster, slow, "after");
    assert!(matches!(outcome, Outcome::Written(_)), "{outcome:?}");
    assert_eq!(cluster.nodes[&slow].stats().forwards - forwards, 20, "it signs again");
}

/// RULINGS 15: a write is refused only if too few can take it.
#[test]
fn where_all_homes_are_slow_they_sign() {
    for count in [1, 2, 3] {
        let mut cluster = Cluster::new(count);
        for node in cluster.names.clone() {
            cluster.step(node, Input::StoreHealth(SLOW));
        }
        // Nobody has heard of the others' trouble yet.
        for node in cluster.names.clone() {
            let outcome = write(&mut cluster, node, &format!("early{}", node.0));
            assert!(matches!(outcome, Outcome::Written(_)), "{count} nodes: {outcome:?}");
        }
        cluster.run_for_ms(3_000);
        for node in cluster.names.clone() {
            let outcome = write(&mut cluster, node, &format!("late{}", node.0));
            assert!(matches!(outcome, Outcome::Written(_)), "{count} nodes: {outcome:?}");
        }
    }
}

#[test]
fn a_slow_home_is_asked_after_all_if_the_others_take_long_within_the_budget() {
    let mut cluster = Cluster::new(3);
    let [slow, other, third] = <[_; 3]>::try_from(cluster.names.clone()).expect("three");
    write(&mut cluster, other, "k");
    cluster.step(slow, Input::StoreHealth(SLOW));
    cluster.deliver();
    // What was read before has earned two hedges.
    for _ in 0..40 {
        cluster.get(other, DEFAULT, "k");
    }
    cluster.silent.push(third);
    let reads: Vec<_> = (0..40)
        .map(|_| cluster.begin(other, get(DEFAULT, "k", Options::default())))
        .collect();
    cluster.run_for_ms(500);
    let answered = reads.iter().filter(|&&id| cluster.is_answered(id)).count();
    let hedging = cluster.nodes[&other].hedging();
    assert_eq!(hedging.hedges, 4, "5 of a hundred: {hedging:?}");
    assert_eq!((answered, hedging.won), (4, 4), "{hedging:?}");
    assert_eq!(hedging.denied, 36, "{hedging:?}");
    // Whoever is still without an answer asks it whatever the budget.
    cluster.run_for_ms(1_000);
    for id in reads {
        let outcome = cluster.outcome(id);
        assert!(matches!(outcome, Some(Outcome::Found(_))), "{outcome:?}");
    }
    assert_eq!(cluster.nodes[&other].hedging().called, 36);
}

#[test]
fn a_peer_that_answers_no_reads_is_avoided_and_comes_back_by_a_probe() {
    let mut cluster = Cluster::new(3);
    let [node, other, silent] = <[_; 3]>::try_from(cluster.names.clone()).expect("three");
    write(&mut cluster, node, "k");
    let opened = |cluster: &Cluster| {
        let of = |at: NodeId| {
            cluster.nodes[&node]
                .circuits()
                .find(|circuit| circuit.0 == at)
                .expect("a peer")
        };
        (of(silent).1.opened, of(other).1.opened)
    };
    cluster.silent.push(silent);
    for _ in 0..5 {
        cluster.get(node, DEFAULT, "k");
    }
    cluster.run_for_ms(600);
    assert_eq!(opened(&cluster), (1, 0));
    let held_back = cluster.nodes[&node].hedging().held_back;
    cluster.get(node, DEFAULT, "k");
    assert!(cluster.nodes[&node].hedging().held_back > held_back);
    cluster.silent.clear();
    cluster.run_for_ms(1_500);
    cluster.get(node, DEFAULT, "k");
    let held_back = cluster.nodes[&node].hedging().held_back;
    cluster.get(node, DEFAULT, "k");
    assert_eq!(cluster.nodes[&node].hedging().held_back, held_back, "it is asked again");
}

/// An update at all homes, up to where its writes are on their way: the other home that is asked last, the operation, and
/// the numbers of its read and of its write.
fn update_that_writes(cluster: &mut Cluster) -> (NodeId, torc_core::id::RequestId, NodeId, OpId, [u16; 2]) {
    let (homes, _) = cluster.preference_list(REDIS, "k");
    let node = homes[0];
    let update = Command::Update(UpdateKey {
        target: target(REDIS, "k"),
        update: Update::Append(Bytes::from_static(b"x")),
        options: Options {
            write: Some(QuorumSize::All),
            ..Options::default()
        },
    });
    let request = cluster.begin(node, update);
    let mut read_attempt = 0;
    loop {
        for (from, to, envelope) in &cluster.wire {
            match &envelope.message {
                Message::Read(read) if *from == node => read_attempt = read.attempt,
                Message::Write(write) if *from == node => {
                    let op = write.op.expect("somebody waits");
                    return (node, request, *to, op, [read_attempt, write.attempt]);
                }
                _ => {}
            }
        }
        let (from, to, envelope) = cluster.wire.pop_front().expect("the update goes on");
        cluster.step(to, Input::Message { from, envelope });
    }
}

/// A home that refused the read late, for a long queue, was taken to have refused the write that followed.
#[test]
fn the_refusal_of_a_read_is_not_taken_for_one_of_the_write_that_follows() {
    for is_of_the_read in [true, false] {
        let mut cluster = Cluster::new(3);
        let (at, request, node, op, [read, write]) = update_that_writes(&mut cluster);
        assert!(read != 0 && write != 0 && read != write);
        let attempt = if is_of_the_read { read } else { write };
        cluster.step(at, Input::Unsent { node, op, attempt });
        cluster.run_for_ms(100);
        let outcome = cluster.outcome(request).expect("answered");
        let is_done = matches!(outcome, Outcome::Updated(UpdateReply::Integer(1), _));
        assert_eq!(is_done, is_of_the_read, "{outcome:?}");
    }
}
