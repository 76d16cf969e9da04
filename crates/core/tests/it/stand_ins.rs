//! Puts that no home can sign: a node that stands in for one does (RULINGS 15).

use torc_core::causality::ClientContext;
use torc_core::command::{Command, Options};
use torc_core::effect::Input;
use torc_core::hints::HintLimits;
use torc_core::id::{BucketId, ClientRequestId, NodeId};
use torc_core::outcome::{Cause, Certainty, Failure, Outcome, Written};
use torc_core::quorum::QuorumSize;
use torc_core::storage::StoreHealth;

use crate::asked_runs::keys_alike;
use crate::cluster::{Cluster, DEFAULT, REDIS, get, put};
use crate::stories::values;

const TWO: Options = Options {
    read: None,
    write: Some(QuorumSize::Count(2)),
    strict: false,
    timeout_ms: None,
};

/// Five nodes of which the three homes of the key `k` are cut off; the homes, and the other two.
fn without_homes(bucket: BucketId) -> (Cluster, Vec<NodeId>, Vec<NodeId>) {
    let mut cluster = Cluster::new(5);
    let (homes, others) = cluster.preference_list(bucket, "k");
    assert_eq!((homes.len(), others.len()), (3, 2));
    for &home in &homes {
        cluster.cut(home);
    }
    (cluster, homes, others)
}

fn written(outcome: Outcome) -> Written {
    match outcome {
        Outcome::Written(written) => written,
        other => panic!("a put gave {other:?}"),
    }
}

fn failed(outcome: Outcome) -> Failure {
    match outcome {
        Outcome::Failed(failure) => failure,
        other => panic!("it was to fail, and gave {other:?}"),
    }
}

/// Everybody is back, and what was kept has been handed over.
fn back_together(cluster: &mut Cluster) {
    cluster.mend();
    cluster.run_for_ms(20_000);
    let pending: u64 = cluster.nodes.values().map(|node| node.hints().pending()).sum();
    assert_eq!(pending, 0);
}

#[test]
fn a_put_that_no_home_can_take_is_signed_by_a_stand_in_and_reaches_the_homes() {
    let (mut cluster, homes, others) = without_homes(DEFAULT);
    let first = written(cluster.ask(others[1], put(DEFAULT, "k", "first", None, TWO)));
    assert_eq!((first.answered.answered, first.answered.sloppy), (2, true));
    let second = written(cluster.ask(others[0], put(DEFAULT, "k", "second", Some(first.context), TWO)));
    let beside = written(cluster.ask(others[0], put(DEFAULT, "k", "beside", None, TWO)));
    let Outcome::Found(found) = cluster.ask(others[1], get(DEFAULT, "k", Options::default())) else {
        panic!("two stand-ins hold it")
    };
    assert_eq!(values(&found), ["beside", "second"]);
    back_together(&mut cluster);
    let held: Vec<_> = homes.iter().map(|home| cluster.disks[home].records.clone()).collect();
    assert!(held[0].len() == 1 && held[0] == held[1] && held[1] == held[2]);
    assert!(others.iter().all(|node| cluster.disks[node].records.is_empty()));
    let found = cluster.get(homes[0], DEFAULT, "k");
    assert_eq!(values(&found), ["beside", "second"]);
    // Each of the two contexts covers its own value alone.
    cluster.put(homes[1], DEFAULT, "k", "third", Some(second.context));
    assert_eq!(values(&cluster.get(homes[2], DEFAULT, "k")), ["beside", "third"]);
    cluster.put(homes[1], DEFAULT, "k", "fourth", Some(beside.context));
    assert_eq!(values(&cluster.get(homes[2], DEFAULT, "k")), ["fourth", "third"]);
}

#[test]
fn a_put_that_a_stand_in_signed_replaces_what_its_client_had_seen_at_the_homes() {
    let mut cluster = Cluster::new(5);
    let (homes, others) = cluster.preference_list(DEFAULT, "k");
    let before = cluster.put(homes[0], DEFAULT, "k", "before", None);
    homes.iter().for_each(|&home| cluster.cut(home));
    written(cluster.ask(others[0], put(DEFAULT, "k", "after", Some(before), TWO)));
    back_together(&mut cluster);
    assert_eq!(values(&cluster.get(homes[2], DEFAULT, "k")), ["after"]);
}

#[test]
fn a_last_writer_is_the_last_whoever_signed() {
    let mut cluster = Cluster::new(5);
    let (homes, others) = cluster.preference_list(REDIS, "k");
    cluster.put(homes[0], REDIS, "k", "one", None);
    homes.iter().for_each(|&home| cluster.cut(home));
    for (node, value) in [(others[0], "two"), (others[1], "three"), (others[0], "four")] {
        let put = written(cluster.ask(node, put(REDIS, "k", value, None, TWO)));
        assert!(matches!(put.context, ClientContext::Clock(_)));
    }
    back_together(&mut cluster);
    assert_eq!(values(&cluster.get(homes[1], REDIS, "k")), ["four"]);
    cluster.put(homes[2], REDIS, "k", "five", None);
    assert_eq!(values(&cluster.get(others[0], REDIS, "k")), ["five"]);
}

#[test]
fn strict_puts_and_more_answers_than_nodes_are_refused_before_anything_is_written() {
    let (mut cluster, _, others) = without_homes(DEFAULT);
    let strict = Options { strict: true, ..TWO };
    let three = Options {
        write: Some(QuorumSize::Count(3)),
        ..TWO
    };
    for (options, needed, answered) in [(strict, 2, 0), (three, 3, 2)] {
        let failure = failed(cluster.ask(others[0], put(DEFAULT, "k", "v", None, options)));
        assert_eq!(failure.certainty, Certainty::NotApplied);
        let n = 3;
        assert_eq!(failure.cause, Cause::NotEnoughReplicas { needed, answered, n });
    }
    back_together(&mut cluster);
    assert!(cluster.get(others[0], DEFAULT, "k").context.is_none());
}

#[test]
fn a_request_that_one_stand_in_answered_is_answered_the_same_by_the_other_and_by_the_homes() {
    let (mut cluster, homes, others) = without_homes(DEFAULT);
    let repeat = || {
        let Command::Put(mut put) = put(DEFAULT, "k", "v", None, TWO) else {
            unreachable!()
        };
        put.request = ClientRequestId::parse("order-1");
        Command::Put(put)
    };
    let first = written(cluster.ask(others[0], repeat()));
    let again = written(cluster.ask(others[1], repeat()));
    assert_eq!(first.context, again.context);
    back_together(&mut cluster);
    let at_home = written(cluster.ask(homes[2], repeat()));
    assert_eq!(first.context, at_home.context);
    assert_eq!(values(&cluster.get(homes[0], DEFAULT, "k")), ["v"]);
}

/// What was signed before is delivered and forgotten here; the actor goes on all the same, or every outage would leave an entry
/// in the context for good.
#[test]
fn a_stand_in_goes_on_with_its_actor_after_it_has_handed_over() {
    let mut cluster = Cluster::new(5);
    let (homes, others) = cluster.preference_list(DEFAULT, "k");
    let mut context = None;
    for outage in 0..3 {
        homes.iter().for_each(|&home| cluster.cut(home));
        let value = format!("v{outage}");
        let put = written(cluster.ask(others[0], put(DEFAULT, "k", &value, context, TWO)));
        context = Some(put.context);
        back_together(&mut cluster);
        assert_eq!(values(&cluster.get(homes[1], DEFAULT, "k")), [value]);
    }
    let record = cluster.disks[&homes[0]]
        .records
        .values()
        .next()
        .expect("one key")
        .clone();
    let seen = &record.as_siblings().expect("a siblings bucket").seen;
    assert_eq!(seen.entries(), 1, "{seen:?}");
}

#[test]
fn a_stand_in_without_room_leaves_it_to_the_next() {
    let (mut cluster, _, others) = without_homes(DEFAULT);
    let limits = HintLimits {
        bytes_max: 0,
        ..HintLimits::default()
    };
    cluster
        .nodes
        .get_mut(&others[0])
        .expect("a node")
        .set_hint_limits(limits);
    let one = Options {
        write: Some(QuorumSize::One),
        ..TWO
    };
    written(cluster.ask(others[1], put(DEFAULT, "k", "v", None, one)));
}

#[test]
fn where_all_homes_are_full_nobody_stands_in() {
    let mut cluster = Cluster::new(5);
    let (homes, others) = cluster.preference_list(DEFAULT, "k");
    for &home in &homes {
        let full = StoreHealth {
            full: true,
            ..StoreHealth::default()
        };
        cluster.step(home, Input::StoreHealth(full));
    }
    let failure = failed(cluster.ask(others[0], put(DEFAULT, "k", "v", None, TWO)));
    assert_eq!(
        (failure.cause, failure.certainty),
        (Cause::DiskFull, Certainty::NotApplied)
    );
    // Two that are away and a full one are another matter.
    cluster.cut(homes[0]);
    cluster.cut(homes[1]);
    let put = written(cluster.ask(others[0], put(DEFAULT, "k", "v", None, TWO)));
    assert!(put.answered.sloppy);
}

/// More than are looked at in one step.
const HINTS: usize = 2_500;

/// All hints of a home that holds them were looked through every second while the other homes were away.
#[test]
fn hints_that_wait_for_other_homes_are_seldom_looked_at() {
    let mut cluster = Cluster::new(5);
    let (homes, others) = cluster.preference_list(DEFAULT, "k0");
    cluster.cut(homes[1]);
    cluster.cut(homes[2]);
    let keys = keys_alike(&cluster, HINTS);
    let all = Options {
        write: Some(QuorumSize::Count(3)),
        ..TWO
    };
    for key in &keys {
        written(cluster.ask(homes[0], put(DEFAULT, key, "v", None, all)));
    }
    cluster.cut(homes[0]);
    cluster.bring_back(homes[2]);
    cluster.run_for_ms(10_000);
    assert!(homes[2..].iter().all(|home| cluster.disks[home].records.len() == HINTS));
    let looked_at = |cluster: &Cluster| -> u64 {
        let stand_ins = others.iter().map(|node| cluster.nodes[node].stats().hints_looked_at);
        stand_ins.sum()
    };
    let before = looked_at(&cluster);
    cluster.run_for_ms(60_000);
    let looked_at = looked_at(&cluster) - before;
    assert!(looked_at <= 3 * HINTS as u64, "{looked_at} in a minute");
    back_together(&mut cluster);
}
