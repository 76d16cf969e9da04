//! The stories.

use bytes::Bytes;
use torc_core::causality::{ClientContext, Context, Dot, Value};
use torc_core::command::{
    Batch, Clear, Command, Keys, KeysStart, KeysWant, List, Options, Put, PutAction, PutContext, Ttl, UpdateKey,
    ViewKey,
};
use torc_core::id::{ActorId, ClientRequestId, Life};
use torc_core::keyspace::{KeyView, Update, UpdateReply, Want};
use torc_core::outcome::{Cause, Certainty, Found, Outcome};
use torc_core::quorum::QuorumSize;
use torc_core::time::{Hlc, Wall};

use crate::cluster::{Cluster, DEFAULT, REDIS, get, put, target};

pub fn values(found: &Found) -> Vec<String> {
    let mut values: Vec<String> = found
        .siblings
        .iter()
        .map(|sibling| String::from_utf8_lossy(&sibling.value.data).into_owned())
        .collect();
    values.sort();
    values
}

#[test]
fn a_value_put_at_one_node_is_read_at_another_and_deleted_at_a_third() {
    let mut cluster = Cluster::new(3);
    let names = cluster.names.clone();
    let context = cluster.put(names[0], DEFAULT, "k", "v", None);
    let found = cluster.get(names[1], DEFAULT, "k");
    assert_eq!(values(&found), ["v"]);
    assert_eq!(found.context, Some(context.clone()));
    let delete = Command::Put(Put {
        target: target(DEFAULT, "k"),
        action: PutAction::Delete,
        context: PutContext::Seen(context),
        request: None,
        options: Options::default(),
    });
    assert!(matches!(cluster.ask(names[2], delete), Outcome::Written(_)));
    let gone = cluster.get(names[0], DEFAULT, "k");
    assert!(gone.siblings.is_empty() && gone.tombstones == 1 && gone.context.is_some());
}

#[test]
fn a_key_that_was_never_written_has_no_context() {
    let mut cluster = Cluster::new(3);
    let node = cluster.names[0];
    let found = cluster.get(node, DEFAULT, "nothing");
    assert_eq!((found.context, found.siblings.len(), found.tombstones), (None, 0, 0));
}

/// DESIGN §3: the worked example that must hold exactly.
#[test]
fn the_vector_clock_story_d1_to_d5_holds() {
    let mut cluster = Cluster::new(3);
    let [sx, sy, sz] = <[_; 3]>::try_from(cluster.names.clone()).expect("three");
    let d1 = cluster.put(sx, DEFAULT, "cart", "D1", None);
    let d2 = cluster.put(sx, DEFAULT, "cart", "D2", Some(d1));
    let _d3 = cluster.put(sy, DEFAULT, "cart", "D3", Some(d2.clone()));
    let _d4 = cluster.put(sz, DEFAULT, "cart", "D4", Some(d2));
    let both = cluster.get(sy, DEFAULT, "cart");
    assert_eq!(values(&both), ["D3", "D4"]);
    let d5 = cluster.put(sx, DEFAULT, "cart", "D5", both.context);
    let resolved = cluster.get(sz, DEFAULT, "cart");
    assert_eq!(values(&resolved), ["D5"]);
    assert_eq!(resolved.context, Some(d5.clone()));
    let ClientContext::Dots(clock) = d5 else {
        panic!("a siblings bucket")
    };
    let mut counters: Vec<(_, u64)> = clock.vector().iter().map(|entry| (entry.0.node, entry.1)).collect();
    counters.sort();
    let mut expected = vec![(sx, 3), (sy, 1), (sz, 1)];
    expected.sort();
    assert_eq!(counters, expected);
}

#[test]
fn a_put_answers_what_the_client_sent_and_its_own_dot_and_nothing_it_has_not_seen() {
    let mut cluster = Cluster::new(3);
    let node = cluster.names[0];
    cluster.put(node, DEFAULT, "k", "a", None);
    let blind = cluster.put(node, DEFAULT, "k", "b", None);
    cluster.put(node, DEFAULT, "k", "c", Some(blind));
    assert_eq!(values(&cluster.get(node, DEFAULT, "k")), ["a", "c"]);
}

#[test]
fn w_of_three_with_a_node_down_is_refused_before_anything_is_written() {
    let mut cluster = Cluster::new(3);
    let [a, _, c] = <[_; 3]>::try_from(cluster.names.clone()).expect("three");
    cluster.cut(c);
    let options = Options {
        write: Some(QuorumSize::All),
        strict: true,
        ..Options::default()
    };
    let outcome = cluster.ask(a, put(DEFAULT, "k", "v", None, options));
    let Outcome::Failed(failure) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(failure.certainty, Certainty::NotApplied);
    assert_eq!(
        failure.cause,
        Cause::NotEnoughReplicas {
            needed: 3,
            answered: 2,
            n: 3
        }
    );
    assert!(cluster.get(a, DEFAULT, "k").context.is_none());
}

#[test]
fn a_read_of_three_with_a_node_down_says_that_two_could_have_answered() {
    let mut cluster = Cluster::new(3);
    let [a, _, c] = <[_; 3]>::try_from(cluster.names.clone()).expect("three");
    cluster.put(a, DEFAULT, "k", "v", None);
    cluster.cut(c);
    let all = Options {
        read: Some(QuorumSize::All),
        ..Options::default()
    };
    let Outcome::Failed(failure) = cluster.ask(a, get(DEFAULT, "k", all)) else {
        panic!("one of three is down")
    };
    let (needed, answered, n) = (3, 2, 3);
    assert_eq!(failure.cause, Cause::NotEnoughReplicas { needed, answered, n });
}

#[test]
fn both_sides_of_a_cut_write_with_w_of_one_and_both_values_are_found_after_it() {
    let mut cluster = Cluster::new(3);
    let [a, b, c] = <[_; 3]>::try_from(cluster.names.clone()).expect("three");
    cluster.put(a, DEFAULT, "k", "before", None);
    let context = cluster.get(b, DEFAULT, "k").context;
    cluster.cut(c);
    let one = Options {
        write: Some(QuorumSize::One),
        ..Options::default()
    };
    assert!(matches!(
        cluster.ask(c, put(DEFAULT, "k", "there", context.clone(), one)),
        Outcome::Written(_)
    ));
    assert!(matches!(
        cluster.ask(a, put(DEFAULT, "k", "here", context, one)),
        Outcome::Written(_)
    ));
    let all = Options {
        read: Some(QuorumSize::One),
        ..Options::default()
    };
    assert!(matches!(cluster.ask(c, get(DEFAULT, "k", all)), Outcome::Found(_)));
    cluster.mend();
    cluster.run_for_ms(200);
    let all = Options {
        read: Some(QuorumSize::All),
        ..Options::default()
    };
    let outcome = cluster.ask(b, get(DEFAULT, "k", all));
    let Outcome::Found(found) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(values(&found), ["here", "there"]);
}

#[test]
fn a_read_mends_the_home_that_was_away() {
    let mut cluster = Cluster::new(3);
    let [a, b, c] = <[_; 3]>::try_from(cluster.names.clone()).expect("three");
    cluster.cut(c);
    cluster.put(a, DEFAULT, "k", "v", None);
    assert!(cluster.disks[&c].records.is_empty());
    cluster.mend();
    cluster.get(b, DEFAULT, "k");
    assert_eq!(cluster.disks[&c].records, cluster.disks[&a].records);
}

#[test]
fn a_repeated_request_id_answers_the_first_context_at_any_node() {
    let mut cluster = Cluster::new(5);
    let names = cluster.names.clone();
    let repeat = |value: &str| {
        let Command::Put(mut put) = put(DEFAULT, "k", value, None, Options::default()) else {
            unreachable!()
        };
        put.request = ClientRequestId::parse("order-1");
        Command::Put(put)
    };
    let outcome = cluster.ask(names[0], repeat("v"));
    let Outcome::Written(first) = outcome else {
        panic!("{outcome:?}")
    };
    for &node in &names {
        let outcome = cluster.ask(node, repeat("v"));
        let Outcome::Written(again) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(again.context, first.context);
    }
    assert_eq!(values(&cluster.get(names[2], DEFAULT, "k")), ["v"]);
    let outcome = cluster.ask(names[1], repeat("other"));
    let Outcome::Failed(failure) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(failure.cause, Cause::RequestIdReused);
}

/// The time to live and the single dots of a context were left out of what a repeat must repeat.
#[test]
fn a_repeat_with_another_time_to_live_or_context_is_refused_and_one_that_comes_later_is_not() {
    let mut cluster = Cluster::new(5);
    let names = cluster.names.clone();
    let actor = |birth| ActorId {
        node: names[0],
        life: Life(7),
        birth,
    };
    let dot = |counter| Dot {
        actor: actor(3),
        counter,
    };
    let put = |key: &'static str, ttl: Ttl, context: PutContext| {
        Command::Put(Put {
            target: target(DEFAULT, key),
            action: PutAction::Value(Value::plain(Bytes::from_static(b"v")), ttl),
            context,
            request: ClientRequestId::parse("order-1"),
            options: Options::default(),
        })
    };
    let seen = |vector: &[(ActorId, u64)], dots: &[Dot]| {
        let context = Context::from_parts(vector.iter().copied(), dots.iter().copied());
        PutContext::Seen(ClientContext::Dots(context))
    };
    let (hour, minute) = (Ttl::AfterMs(3_600_000), Ttl::AfterMs(60_000));
    let blind = || PutContext::Blind;
    type Body = (Ttl, PutContext);
    let stories: [(&'static str, Body, Vec<Body>, Vec<Body>); 4] = [
        (
            "relative",
            (hour, blind()),
            vec![(hour, blind())],
            vec![(minute, blind()), (Ttl::Never, blind()), (hour, seen(&[], &[]))],
        ),
        (
            "absolute",
            (Ttl::At(Wall(9_000_000_000_000)), blind()),
            vec![(Ttl::At(Wall(9_000_000_000_000)), blind())],
            vec![(Ttl::At(Wall(9_000_000_000_001)), blind())],
        ),
        (
            // The bucket says nothing of expiry.
            "never",
            (Ttl::Never, blind()),
            vec![(Ttl::BucketDefault, blind())],
            vec![(hour, blind())],
        ),
        (
            "dots",
            (Ttl::Never, seen(&[], &[dot(5)])),
            vec![(Ttl::Never, seen(&[], &[dot(5)]))],
            vec![
                (Ttl::Never, seen(&[], &[dot(6)])),
                (Ttl::Never, seen(&[], &[dot(5), dot(7)])),
                (Ttl::Never, seen(&[(actor(3), 5)], &[])),
            ],
        ),
    ];
    for (key, (ttl, context), same, others) in stories {
        let outcome = cluster.ask(names[0], put(key, ttl, context));
        let Outcome::Written(first) = outcome else {
            panic!("{key}: {outcome:?}")
        };
        // A second later, and at every node: some are homes, some forward.
        cluster.run_for_ms(1_000);
        for &node in &names {
            for (ttl, context) in same.clone() {
                let outcome = cluster.ask(node, put(key, ttl, context));
                let Outcome::Written(again) = outcome else {
                    panic!("{key} again: {outcome:?}")
                };
                assert_eq!(again.context, first.context, "{key}");
            }
            for (ttl, context) in others.clone() {
                let outcome = cluster.ask(node, put(key, ttl, context.clone()));
                let Outcome::Failed(failure) = outcome else {
                    panic!("{key} with {ttl:?}, {context:?}: {outcome:?}")
                };
                assert_eq!(failure.cause, Cause::RequestIdReused, "{key} with {ttl:?}, {context:?}");
            }
        }
    }
}

/// Versions' stamps at a home run ahead of the calendar once it has written above a stamp from a fast clock: the age of
/// a request is not theirs.
#[test]
fn a_request_that_two_homes_signed_stands_once_though_a_fast_clock_wrote_at_one_of_them() {
    let mut cluster = Cluster::new(2);
    let [a, b] = <[_; 2]>::try_from(cluster.names.clone()).expect("two");
    let one = Options {
        write: Some(QuorumSize::One),
        ..Options::default()
    };
    let request = || {
        let Command::Put(mut put) = put(DEFAULT, "k", "v", None, one) else {
            unreachable!()
        };
        put.request = ClientRequestId::parse("order-1");
        Command::Put(put)
    };
    cluster.cut(b);
    let fast = ClientContext::Clock(Hlc::at(Wall(1_700_000_700_000)));
    let outcome = cluster.ask(b, put(REDIS, "x", "v", Some(fast), one));
    assert!(matches!(outcome, Outcome::Written(_)), "{outcome:?}");
    for node in [a, b] {
        let outcome = cluster.ask(node, request());
        assert!(matches!(outcome, Outcome::Written(_)), "{outcome:?}");
    }
    cluster.mend();
    cluster.run_for_ms(1_000);
    let all = Options {
        read: Some(QuorumSize::All),
        ..Options::default()
    };
    let outcome = cluster.ask(a, get(DEFAULT, "k", all));
    let Outcome::Found(found) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(values(&found), ["v"]);
}

#[test]
fn redis_keys_work_at_every_node() {
    let mut cluster = Cluster::new(5);
    let names = cluster.names.clone();
    let update = |update: Update| {
        Command::Update(UpdateKey {
            target: target(REDIS, "h"),
            update,
            options: Options::default(),
        })
    };
    let field = |name: &'static str, value: &'static str| {
        (
            Bytes::from_static(name.as_bytes()),
            Bytes::from_static(value.as_bytes()),
        )
    };
    let set = update(Update::HashSet(vec![field("a", "1"), field("b", "2")]));
    let outcome = cluster.ask(names[0], set);
    let Outcome::Updated(reply, _) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(reply, UpdateReply::Integer(2));
    let view = Command::View(ViewKey {
        target: target(REDIS, "h"),
        want: Want::AllFields,
        options: Options::default(),
    });
    for &node in &names {
        let outcome = cluster.ask(node, view.clone());
        let Outcome::View(view, _) = outcome else {
            panic!("{outcome:?}")
        };
        let KeyView::Hash { fields, .. } = *view else {
            panic!("a hash")
        };
        assert_eq!(fields.len(), 2);
    }
    cluster.put(names[3], REDIS, "h", "string now", None);
    let outcome = cluster.ask(names[4], view);
    let Outcome::View(seen, _) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(matches!(*seen, KeyView::String { .. }));
    let count = |bucket| {
        Command::Keys(Keys {
            bucket,
            start: KeysStart::Beginning,
            want: KeysWant::Count,
            options: Options::default(),
        })
    };
    assert_eq!(cluster.ask(names[1], count(REDIS)), Outcome::Count(1));
    let clear = Command::Clear(Clear {
        bucket: REDIS,
        options: Options::default(),
    });
    assert!(matches!(cluster.ask(names[2], clear), Outcome::Written(_)));
    assert_eq!(cluster.ask(names[1], count(REDIS)), Outcome::Count(0));
    assert!(cluster.get(names[0], REDIS, "h").siblings.is_empty());
    cluster.put(names[0], REDIS, "h", "new", None);
    assert_eq!(values(&cluster.get(names[1], REDIS, "h")), ["new"]);
}

#[test]
fn listings_page_through_every_key_and_sort_key_once() {
    let mut cluster = Cluster::new(5);
    let names = cluster.names.clone();
    let mut batch = Vec::new();
    for i in 0..57 {
        batch.push(put(DEFAULT, &format!("key-{i}"), "v", None, Options::default()));
        let Command::Put(mut sorted) = put(DEFAULT, "list", "v", None, Options::default()) else {
            unreachable!()
        };
        sorted.target.sort = Bytes::from(format!("s{i:03}"));
        batch.push(Command::Put(sorted));
    }
    let Outcome::Batch(outcomes) = cluster.ask(names[0], Command::Batch(Batch { commands: batch })) else {
        panic!()
    };
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Written(_))));
    let mut start = KeysStart::Beginning;
    let mut seen = Vec::new();
    loop {
        let keys = Keys {
            bucket: DEFAULT,
            start,
            want: KeysWant::Records(10),
            options: Options::default(),
        };
        let outcome = cluster.ask(names[1], Command::Keys(keys));
        let Outcome::Keys(page) = outcome else {
            panic!("{outcome:?}")
        };
        seen.extend(page.items.into_iter().map(|item| (item.key, item.sort)));
        match page.next {
            Some(next) => start = KeysStart::After(next),
            None => break,
        }
    }
    assert_eq!(seen.len(), 114);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 114);
    let mut from = Bytes::new();
    let mut sorts = Vec::new();
    loop {
        let list = List {
            bucket: DEFAULT,
            key: Bytes::from_static(b"list"),
            prefix: Bytes::from_static(b"s"),
            start: from,
            limit: 10,
            options: Options::default(),
        };
        let outcome = cluster.ask(names[2], Command::List(list));
        let Outcome::Listed(page) = outcome else {
            panic!("{outcome:?}")
        };
        sorts.extend(page.items.into_iter().map(|item| item.sort));
        match page.next {
            Some(next) => from = next,
            None => break,
        }
    }
    let expected: Vec<Bytes> = (0..57).map(|i| Bytes::from(format!("s{i:03}"))).collect();
    assert_eq!(sorts, expected);
}

#[test]
fn nothing_is_in_flight_on_an_idle_cluster() {
    let mut cluster = Cluster::new(3);
    let node = cluster.names[0];
    for i in 0..20 {
        cluster.put(node, DEFAULT, &format!("k{i}"), "v", None);
        cluster.get(node, REDIS, &format!("k{i}"));
    }
    cluster.run_for_ms(10_000);
    assert!(cluster.nodes.values().all(|node| node.in_flight() == 0));
    assert!(cluster.nodes.values().all(|node| node.readiness().is_ok()));
}

/// The simulator doubled a forward: its home signed the put twice, and a key held one value two times.
#[test]
fn a_forward_that_arrives_twice_is_run_once() {
    let mut cluster = Cluster::new(5);
    cluster.repeats = true;
    for node in cluster.names.clone() {
        for number in 0..8 {
            let key = format!("{node}-{number}");
            cluster.put(node, DEFAULT, &key, "once", None);
            assert_eq!(values(&cluster.get(node, DEFAULT, &key)), ["once"], "{key}");
        }
    }
}
