//! Two data centres of three nodes: a local quorum is one of the data centre that was asked, whoever signs.

use bytes::Bytes;
use torc_core::bucket::{Bucket, Conflict};
use torc_core::command::{Command, Options, UpdateKey};
use torc_core::id::{BucketId, NodeId};
use torc_core::keyspace::Update;
use torc_core::message::Message;
use torc_core::outcome::{Cause, Certainty, Outcome};
use torc_core::quorum::QuorumSize;

use crate::cluster::{Cluster, get, put, target};

/// Two copies in each data centre.
const WIDE: BucketId = BucketId(10);
/// One copy in all.
const SINGLE: BucketId = BucketId(11);
/// As wide, last writer wins.
const REGISTERS: BucketId = BucketId(12);

fn write(size: QuorumSize, strict: bool) -> Options {
    Options {
        write: Some(size),
        strict,
        ..Options::default()
    }
}

fn cluster() -> Cluster {
    let of = |id, name, n, conflict| Bucket {
        n,
        ..Bucket::available(id, name, conflict)
    };
    let buckets = vec![
        of(WIDE, "wide", 4, Conflict::Siblings),
        of(SINGLE, "single", 1, Conflict::Siblings),
        of(REGISTERS, "registers", 4, Conflict::Lww),
    ];
    Cluster::over_data_centres(&[3, 3], 16, buckets)
}

/// Of the first data centre: the homes of a key, and the node that is none.
fn first(cluster: &Cluster, key: &str) -> (Vec<NodeId>, NodeId) {
    let (homes, _) = cluster.preference_list(WIDE, key);
    let (near, other): (Vec<NodeId>, Vec<NodeId>) = cluster.names[..3].iter().partition(|node| homes.contains(node));
    assert_eq!((near.len(), other.len()), (2, 1), "two copies in each data centre");
    (near, other[0])
}

fn failure(outcome: Outcome) -> (Cause, Certainty) {
    match outcome {
        Outcome::Failed(failure) => (failure.cause, failure.certainty),
        other => panic!("it was to fail, and gave {other:?}"),
    }
}

/// The node that is no home sent the put to the first home of the list, which formed a local quorum of its own.
#[test]
fn a_local_quorum_is_one_of_the_data_centre_that_was_asked() {
    for at in 0..12 {
        let mut cluster = cluster();
        let key = format!("k{at}");
        let (near, asked) = first(&cluster, &key);
        near.iter().for_each(|&home| cluster.cut(home));
        for strict in [false, true] {
            let options = write(QuorumSize::LocalQuorum, strict);
            let (cause, certainty) = failure(cluster.ask(asked, put(WIDE, &key, "v", None, options)));
            assert!(
                matches!(cause, Cause::NotEnoughReplicas { needed: 2, .. }),
                "{key}, strict {strict}: {cause:?}"
            );
            assert_eq!(certainty, Certainty::NotApplied);
        }
        // Others may still count the homes that are far.
        let options = write(QuorumSize::Count(2), true);
        let far = cluster.ask(asked, put(WIDE, &key, "far", None, options));
        assert!(matches!(far, Outcome::Written(_)), "{far:?}");
    }
}

#[test]
fn a_data_centre_that_is_alone_serves_local_quorums() {
    let mut cluster = cluster();
    let names = cluster.names.clone();
    for &far in &names[3..] {
        cluster.cut(far);
    }
    for at in 0..12 {
        let key = format!("k{at}");
        let (_, asked) = first(&cluster, &key);
        let (cause, _) = failure(cluster.ask(asked, put(WIDE, &key, "no", None, write(QuorumSize::Quorum, true))));
        assert!(matches!(cause, Cause::NotEnoughReplicas { .. }), "{cause:?}");
        let (cause, _) = failure(cluster.ask(asked, put(WIDE, &key, "no", None, write(QuorumSize::EachQuorum, true))));
        assert!(matches!(cause, Cause::NotEnoughReplicas { .. }), "{cause:?}");
        let written = cluster.ask(asked, put(WIDE, &key, "v", None, write(QuorumSize::LocalQuorum, true)));
        assert!(matches!(written, Outcome::Written(_)), "{written:?}");
        let options = Options {
            read: Some(QuorumSize::LocalQuorum),
            ..Options::default()
        };
        for &reader in &names[..3] {
            match cluster.ask(reader, get(WIDE, &key, options)) {
                Outcome::Found(found) => assert_eq!(found.siblings.len(), 1),
                other => panic!("a get gave {other:?}"),
            }
        }
    }
    // What was written there alone reaches the other data centre.
    cluster.mend();
    cluster.run_for_ms(60_000);
    for at in 0..12 {
        let found = cluster.get(cluster.names[5], WIDE, &format!("k{at}"));
        assert_eq!(found.siblings.len(), 1);
    }
}

/// A round trip to the other data centre costs more than the whole put.
#[test]
fn a_put_is_signed_near_where_it_was_asked() {
    let mut cluster = cluster();
    for at in 0..12 {
        let key = format!("k{at}");
        let (near, asked) = first(&cluster, &key);
        cluster.begin(asked, put(WIDE, &key, "v", None, Options::default()));
        let forwards: Vec<NodeId> = cluster
            .wire
            .iter()
            .filter(|(.., envelope)| matches!(envelope.message, Message::Forward(_)))
            .map(|&(_, to, _)| to)
            .collect();
        assert!(
            forwards.len() == 1 && near.contains(&forwards[0]),
            "{key}: {forwards:?}"
        );
        cluster.deliver();
        // With all near homes away, a far one signs.
        near.iter().for_each(|&home| cluster.cut(home));
        let far = cluster.ask(asked, put(WIDE, &key, "far", None, write(QuorumSize::One, true)));
        assert!(matches!(far, Outcome::Written(_)), "{far:?}");
        cluster.mend();
    }
}

#[test]
fn a_local_quorum_where_no_copy_is_says_so() {
    let mut cluster = cluster();
    let (homes, _) = cluster.preference_list(SINGLE, "k");
    let is_far = |node: &&NodeId| cluster.names[..3].contains(node) != cluster.names[..3].contains(&homes[0]);
    let asked = *cluster
        .names
        .iter()
        .find(is_far)
        .expect("a node of the other data centre");
    let commands: [Command; 2] = [
        put(SINGLE, "k", "v", None, write(QuorumSize::LocalOne, false)),
        get(
            SINGLE,
            "k",
            Options {
                read: Some(QuorumSize::LocalOne),
                ..Options::default()
            },
        ),
    ];
    for command in commands {
        match failure(cluster.ask(asked, command)) {
            (Cause::BadRequest(text), Certainty::NotApplied) => {
                assert!(text.contains("0 copies in the data centre that was asked"), "{text}");
            }
            other => panic!("{other:?}"),
        }
    }
}

/// They take turns there: two updates of one key at two homes would overwrite one another.
#[test]
fn updates_go_to_the_first_home_whatever_their_quorum() {
    let mut cluster = cluster();
    for at in 0..12 {
        let key = format!("k{at}");
        let (homes, _) = cluster.preference_list(REGISTERS, &key);
        for asked in cluster.names.clone() {
            let update = UpdateKey {
                target: target(REGISTERS, &key),
                update: Update::HashSet(vec![(Bytes::from_static(b"f"), Bytes::from_static(b"v"))]),
                options: write(QuorumSize::LocalQuorum, true),
            };
            let request = cluster.begin(asked, Command::Update(update));
            for (_, to, envelope) in &cluster.wire {
                assert!(
                    !matches!(envelope.message, Message::Forward(_)) || *to == homes[0],
                    "{key} through {asked:?}"
                );
            }
            cluster.deliver();
            let outcome = cluster.outcome(request);
            assert!(
                matches!(outcome, Some(Outcome::Updated(..))),
                "{key} through {asked:?}: {outcome:?}"
            );
        }
    }
}

/// Whoever stood first in line did, wherever it stands.
#[test]
fn who_stands_in_counts_for_a_home_of_its_own_data_centre() {
    for at in 0..12 {
        let mut cluster = cluster();
        let key = format!("k{at}");
        let (near, other) = first(&cluster, &key);
        cluster.cut(near[1]);
        let options = write(QuorumSize::LocalQuorum, false);
        match cluster.ask(near[0], put(WIDE, &key, "v", None, options)) {
            Outcome::Written(written) => assert!(written.answered.sloppy, "{written:?}"),
            outcome => panic!("{key}: {outcome:?}"),
        }
        // Those of the other data centre may keep it, and make no quorum of this one.
        cluster.cut(other);
        let (cause, certainty) = failure(cluster.ask(near[0], put(WIDE, &key, "v", None, options)));
        assert!(
            matches!(cause, Cause::NotEnoughReplicas { needed: 2, .. }),
            "{key}: {cause:?}"
        );
        assert_eq!(certainty, Certainty::NotApplied);
    }
}

/// The first home in line had whoever was left, though a later one could have counted with it.
#[test]
fn a_home_has_one_of_its_own_data_centre_before_others_have_whoever_is_left() {
    for at in 0..12 {
        let mut cluster = cluster();
        let key = format!("k{at}");
        let (near, _) = first(&cluster, &key);
        // The other data centre is away, and one home of this one.
        let names = cluster.names.clone();
        names[3..].iter().for_each(|&far| cluster.cut(far));
        cluster.cut(near[1]);
        let outcome = cluster.ask(
            near[0],
            put(WIDE, &key, "v", None, write(QuorumSize::LocalQuorum, false)),
        );
        assert!(matches!(outcome, Outcome::Written(_)), "{key}: {outcome:?}");
        // With both homes away, the third node of this data centre signs for one of them.
        cluster.cut(near[0]);
        let third = first(&cluster, &key).1;
        let outcome = cluster.ask(third, put(WIDE, &key, "v", None, write(QuorumSize::LocalOne, false)));
        assert!(matches!(outcome, Outcome::Written(_)), "{key}: {outcome:?}");
    }
}
