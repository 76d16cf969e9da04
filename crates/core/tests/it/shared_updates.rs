//! Updates of one key that wait for one another share a read and a sync, and are answered as if each had had its turn.

use bytes::Bytes;
use torc_core::command::{Command, Options, UpdateKey};
use torc_core::id::{NodeId, RequestId};
use torc_core::keyspace::{Update, UpdateReply};
use torc_core::outcome::{Cause, Certainty, Failure, Outcome};
use torc_core::quorum::QuorumSize;

use crate::cluster::{Cluster, REDIS, target};

fn cluster() -> (Cluster, NodeId) {
    let cluster = Cluster::new(3);
    let home = cluster.preference_list(REDIS, "k").0[0];
    (cluster, home)
}

fn begin(cluster: &mut Cluster, home: NodeId, update: Update, options: Options) -> RequestId {
    let target = target(REDIS, "k");
    let command = UpdateKey {
        target,
        update,
        options,
    };
    cluster.begin(home, Command::Update(command))
}

fn begin_all(cluster: &mut Cluster, home: NodeId, updates: Vec<Update>) -> Vec<RequestId> {
    let begun = updates.into_iter();
    begun
        .map(|update| begin(cluster, home, update, Options::default()))
        .collect()
}

fn set(field: &'static str) -> Update {
    Update::HashSet(vec![(Bytes::from_static(field.as_bytes()), Bytes::from_static(b"v"))])
}

fn replies(cluster: &mut Cluster, asked: &[RequestId]) -> Vec<UpdateReply> {
    let outcomes = asked.iter().map(|&id| cluster.outcome(id));
    outcomes
        .map(|outcome| match outcome {
            Some(Outcome::Updated(reply, _)) => reply,
            other => panic!("{other:?}"),
        })
        .collect()
}

fn failure(cluster: &mut Cluster, id: RequestId) -> Failure {
    match cluster.outcome(id) {
        Some(Outcome::Failed(failure)) => failure,
        other => panic!("{other:?}"),
    }
}

fn carried(cluster: &Cluster, home: NodeId) -> u64 {
    cluster.nodes[&home].stats().updates_carried
}

#[test]
fn those_that_wait_share_one_commit_and_each_sees_the_one_before() {
    let (mut cluster, home) = cluster();
    // The first is alone with its read; the second takes the others along.
    let asked = begin_all(
        &mut cluster,
        home,
        vec![set("a"), set("b"), set("b"), set("a"), set("c")],
    );
    cluster.run_for_ms(100);
    let expected = [1, 1, 0, 0, 1].map(UpdateReply::Integer);
    assert_eq!(replies(&mut cluster, &asked), expected);
    assert_eq!(carried(&cluster, home), 3);
}

#[test]
fn another_kind_keeps_its_turn_and_ends_the_company() {
    let (mut cluster, home) = cluster();
    let asked = begin_all(
        &mut cluster,
        home,
        vec![set("a"), set("b"), set("c"), Update::Del, set("d")],
    );
    cluster.run_for_ms(100);
    let expected = [1, 1, 1, 1, 1].map(UpdateReply::Integer);
    assert_eq!(replies(&mut cluster, &asked), expected);
    let gone = ["a", "b", "c"].map(|field| Bytes::from_static(field.as_bytes()));
    let asked = begin_all(&mut cluster, home, vec![Update::HashDel(gone.to_vec())]);
    cluster.run_for_ms(100);
    assert_eq!(
        replies(&mut cluster, &asked),
        [UpdateReply::Integer(0)],
        "d alone came after"
    );
    assert_eq!(carried(&cluster, home), 1);
}

#[test]
fn one_that_is_refused_costs_the_others_nothing() {
    let (mut cluster, home) = cluster();
    let append = |bytes: usize| Update::Append(Bytes::from(vec![b'x'; bytes]));
    let most = 1 << 20;
    let asked = begin_all(&mut cluster, home, vec![append(most - 2)]);
    cluster.run_for_ms(100);
    assert_eq!(replies(&mut cluster, &asked), [UpdateReply::Integer(most as i64 - 2)]);
    let asked = begin_all(&mut cluster, home, vec![append(0), append(1), append(2), append(1)]);
    cluster.run_for_ms(100);
    let refused = failure(&mut cluster, asked[2]);
    assert!(matches!(refused.cause, Cause::ValueTooLarge { .. }), "{refused:?}");
    assert_eq!(refused.certainty, Certainty::NotApplied);
    let expected = [2, 1, 0].map(|less| UpdateReply::Integer(most as i64 - less));
    assert_eq!(replies(&mut cluster, &[asked[0], asked[1], asked[3]]), expected);
    assert_eq!(carried(&cluster, home), 2);
}

#[test]
fn who_wants_to_be_surer_or_is_more_patient_waits_for_its_turn() {
    let (mut cluster, home) = cluster();
    let within = |timeout_ms| Options {
        timeout_ms: Some(timeout_ms),
        ..Options::default()
    };
    let sure = Options {
        write: Some(QuorumSize::All),
        ..Options::default()
    };
    let asked = [
        begin(&mut cluster, home, set("a"), Options::default()),
        begin(&mut cluster, home, set("b"), Options::default()),
        begin(&mut cluster, home, set("c"), sure),
        begin(&mut cluster, home, set("d"), within(300)),
        begin(&mut cluster, home, set("e"), within(1_400)),
        begin(&mut cluster, home, set("f"), within(1_300)),
    ];
    cluster.run_for_ms(100);
    assert_eq!(replies(&mut cluster, &asked), [1; 6].map(UpdateReply::Integer));
    // f goes with e, which would wait more than a second longer than d.
    assert_eq!(carried(&cluster, home), 1);
}

#[test]
fn what_went_along_is_unknown_when_its_time_is_up_and_what_waits_was_not_applied() {
    let (mut cluster, home) = cluster();
    let others: Vec<NodeId> = cluster.names.iter().copied().filter(|&node| node != home).collect();
    cluster.silent.extend(others);
    let options = |timeout_ms| Options {
        read: Some(QuorumSize::Count(1)),
        write: Some(QuorumSize::All),
        timeout_ms: Some(timeout_ms),
        ..Options::default()
    };
    let first = begin(&mut cluster, home, set("a"), options(200));
    let [leads, rides] = ["b", "c"].map(|field| begin(&mut cluster, home, set(field), options(2_000)));
    cluster.run_for_ms(1_000);
    assert_eq!(failure(&mut cluster, first).certainty, Certainty::Unknown);
    let waits = begin(&mut cluster, home, set("d"), options(300));
    cluster.run_for_ms(500);
    assert_eq!(failure(&mut cluster, waits).certainty, Certainty::NotApplied);
    assert_eq!(carried(&cluster, home), 1);
    cluster.run_for_ms(1_000);
    for id in [leads, rides] {
        assert_eq!(failure(&mut cluster, id).certainty, Certainty::Unknown);
    }
    assert_eq!(cluster.nodes[&home].in_flight(), 0);
}

#[test]
fn a_field_that_cannot_be_read_keeps_waiting_only_those_that_ask_for_it() {
    let (mut cluster, home) = cluster();
    let asked = begin_all(&mut cluster, home, vec![set("b")]);
    cluster.run_for_ms(100);
    assert_eq!(replies(&mut cluster, &asked), [UpdateReply::Integer(1)]);
    let disk = cluster.disks.get_mut(&home).expect("its disk");
    let field = disk.records.keys().find(|key| key.sort_key() == b"\x01b").cloned();
    disk.unreadable.insert(field.expect("the field"));
    let of_all = Options {
        read: Some(QuorumSize::All),
        ..Options::default()
    };
    let fields = ["a", "c", "b", "d", "e", "f"];
    let asked = fields.map(|field| begin(&mut cluster, home, set(field), of_all));
    cluster.run_for_ms(100);
    assert_eq!(failure(&mut cluster, asked[2]).certainty, Certainty::NotApplied);
    let others = [0, 1, 3, 4, 5].map(|at| asked[at]);
    assert_eq!(replies(&mut cluster, &others), [1; 5].map(UpdateReply::Integer));
    // c went alone after all, for b could not be read; d took the last two along.
    assert_eq!(carried(&cluster, home), 2);
}

#[test]
fn few_go_along_where_each_copies_a_long_string() {
    let (mut cluster, home) = cluster();
    let append = |bytes: usize| Update::Append(Bytes::from(vec![b'x'; bytes]));
    let asked = begin_all(&mut cluster, home, vec![append(1_000_000)]);
    cluster.run_for_ms(100);
    assert_eq!(replies(&mut cluster, &asked), [UpdateReply::Integer(1_000_000)]);
    let asked = begin_all(&mut cluster, home, vec![append(1); 10]);
    cluster.run_for_ms(100);
    let lengths: Vec<UpdateReply> = (1..=10).map(|more| UpdateReply::Integer(1_000_000 + more)).collect();
    assert_eq!(replies(&mut cluster, &asked), lengths);
    // The first alone, the second with four, the seventh with the last three.
    assert_eq!(carried(&cluster, home), 7);
}
