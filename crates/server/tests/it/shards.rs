//! Nodes of several threads: clients of each are served alike, and nothing is lost between threads. The other stories run on
//! clusters whose nodes have one, two and three shards.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use crate::harness::{Cluster, Http, Node, Reply, Resp, Settings, eventually};

const COMMANDS: usize = 2_000;

fn with_three_shards(nodes: u16, tables: &str) -> Cluster {
    Cluster::start(&Settings {
        nodes,
        top: "shards = 3",
        tables,
        ..Settings::default()
    })
}

fn open_by_shard(node: &Node) -> Vec<f64> {
    let metrics = node.get("/metrics").expect(200).text();
    let of = |shard| {
        let series = format!("torc_shard_client_connections{{shard=\"{shard}\"}} ");
        let value = metrics.lines().find_map(|line| line.strip_prefix(&series));
        value.and_then(|value| value.parse().ok()).expect("a number")
    };
    (0..3).map(of).collect()
}

#[test]
fn connections_are_spread_over_the_shards_and_each_sees_what_others_wrote() {
    for nodes in [1, 3] {
        let cluster = with_three_shards(nodes, "");
        let node = &cluster[0];
        let mut clients: Vec<Resp> = (0..8).map(|_| node.resp()).collect();
        for (at, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.call(&format!("SET key-{at} {at}")), Reply::ok());
        }
        // What was acknowledged on one shard is seen through every other, by both protocols.
        for client in &mut clients {
            for at in 0..8 {
                assert_eq!(client.call(&format!("GET key-{at}")), Reply::bulk(at.to_string()));
            }
        }
        let answer = node.get("/v1/kv/redis/key-5").expect(200);
        assert_eq!(answer.text(), "5");
        // The connection that asks is one of two more or less.
        let open = open_by_shard(node);
        assert_eq!(open[0], 0.0, "{open:?}");
        assert!(
            open[1] >= 4.0 && open[2] >= 4.0 && open[1] + open[2] <= 10.0,
            "{open:?}"
        );
        let Reply::Bulk(list) = clients[0].call("CLIENT LIST") else {
            panic!("CLIENT LIST has lines");
        };
        assert_eq!(list.iter().filter(|&&byte| byte == b'\n').count(), 8);
        let Reply::Bulk(info) = clients[3].call("INFO stats") else {
            panic!("INFO has text");
        };
        let info = String::from_utf8_lossy(&info).into_owned();
        let commands = info
            .lines()
            .find_map(|line| line.strip_prefix("total_commands_processed:"));
        let commands: u64 = commands.and_then(|text| text.trim().parse().ok()).expect("a number");
        assert!(commands >= 72, "{info}");
        drop(clients);
        eventually("closed connections are counted", Duration::from_secs(10), || {
            open_by_shard(node).iter().sum::<f64>() <= 1.0
        });
    }
}

#[test]
fn replies_of_a_pipeline_come_in_order_through_any_shard() {
    let cluster = with_three_shards(3, "");
    std::thread::scope(|scope| {
        for client in 0..6 {
            let address = cluster[client % 3].resp_address();
            scope.spawn(move || {
                let mut resp = Resp::connect(&address).expect("the node takes clients");
                let mut text = String::new();
                for at in 0..COMMANDS {
                    text += &format!(
                        "SET {client}-{} {at}\r\nGET {client}-{}\r\nPING {at}\r\n",
                        at % 7,
                        at % 7
                    );
                }
                resp.send_raw(text.as_bytes()).expect("the node reads");
                for at in 0..COMMANDS {
                    assert_eq!(resp.reply().expect("a reply"), Reply::ok());
                    assert_eq!(resp.reply().expect("a reply"), Reply::bulk(at.to_string()));
                    assert_eq!(resp.reply().expect("a reply"), Reply::bulk(at.to_string()));
                }
            });
        }
    });
}

#[test]
fn a_limit_of_connections_holds_for_all_shards_together() {
    let cluster = with_three_shards(1, "[limits]\nconnections_max = 5\nidle_seconds_max = 5");
    // The connection that asked whether the node is ready may not have ended yet.
    let mut held: Vec<Resp> = Vec::new();
    eventually("five are let in", Duration::from_secs(10), || {
        let mut client = cluster[0].resp();
        let is_in = matches!(client.try_call(&[b"PING"]), Ok(Reply::Simple(_)));
        held.extend(is_in.then_some(client));
        held.len() == 5
    });
    let mut late = cluster[0].resp();
    match late.reply() {
        Ok(Reply::Error(text)) => assert!(text.contains("connections_max"), "{text}"),
        other => panic!("{other:?}"),
    }
    // Those that say nothing are closed on whichever shard they are, which makes room.
    for client in &mut held {
        assert!(client.reply().is_err(), "a silent client is let go");
    }
    eventually("there is room", Duration::from_secs(10), || {
        let answer = cluster[0].resp().try_call(&[b"PING"]);
        matches!(answer, Ok(Reply::Simple(_)))
    });
}

#[test]
fn what_was_asked_before_a_stop_is_answered_on_every_shard() {
    let mut cluster = with_three_shards(1, "");
    let mut clients: Vec<Resp> = (0..20).map(|_| cluster[0].resp()).collect();
    let mut http = cluster[0].http();
    cluster[0].faults(r#"{"fsync":"slow","fsync_ms":2000}"#);
    for (at, client) in clients.iter_mut().enumerate() {
        client
            .send_raw(format!("SET key-{at} v\r\n").as_bytes())
            .expect("the node reads");
    }
    eventually("all are in flight", Duration::from_secs(10), || {
        let metrics = http.send("GET", "/metrics", &[], b"").expect("an answer");
        metrics.metric("torc_requests_in_flight") >= 20.0
    });
    std::thread::scope(|scope| {
        let answers = scope.spawn(|| {
            let replies = clients.iter_mut().map(|client| client.reply().expect("a reply"));
            replies.collect::<Vec<_>>()
        });
        cluster[0].stop();
        assert_eq!(answers.join().expect("a client"), vec![Reply::ok(); 20]);
    });
}

/// Each of them is begun when the one before is answered, and the node reads a part of them at a time.
#[test]
fn a_client_knows_which_of_its_commands_a_stopped_node_has_run() {
    for shards in ["shards = 1", "shards = 3"] {
        let mut cluster = Cluster::start(&Settings {
            nodes: 1,
            top: shards,
            ..Settings::default()
        });
        let mut client = cluster[0].resp();
        let pipeline = "APPEND k v\r\n".repeat(20_000);
        client.send_raw(pipeline.as_bytes()).expect("the node reads");
        assert_eq!(client.reply().expect("a reply"), Reply::Integer(1));
        let answered = std::thread::scope(|scope| {
            let replies = scope.spawn(|| {
                for length in 2.. {
                    match client.reply() {
                        Ok(reply) => assert_eq!(reply, Reply::Integer(length)),
                        Err(error) => {
                            assert_eq!(
                                error.kind(),
                                std::io::ErrorKind::UnexpectedEof,
                                "after {length}: {error}"
                            );
                            return length - 1;
                        }
                    }
                }
                unreachable!("lengths don't end")
            });
            cluster[0].stop();
            replies.join().expect("a client")
        });
        let log = cluster[0].log();
        assert!(log.contains("stopped cleanly"), "{log}");
        cluster.start_all();
        assert_eq!(cluster[0].resp().call("STRLEN k"), Reply::Integer(answered), "{shards}");
    }
}

#[test]
fn a_node_of_several_shards_stops_cleanly_under_load_and_keeps_what_it_acknowledged() {
    const WRITERS: usize = 12;
    let mut cluster = with_three_shards(1, "");
    let (acknowledged, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (http, resp) = (cluster[0].http_address(), cluster[0].resp_address());
    let keys: Vec<String> = std::thread::scope(|scope| {
        let (acknowledged, is_over, http, resp) = (&acknowledged, &is_over, &http, &resp);
        let write = move |writer: usize| {
            let mut keys = Vec::new();
            let mut put: Box<dyn FnMut(&str) -> bool> = if writer.is_multiple_of(3) {
                let mut client = Http::connect(http).expect("the node takes clients");
                Box::new(move |key| {
                    let answer = client.send("PUT", &format!("/v1/kv/redis/{key}"), &[], key.as_bytes());
                    answer.is_ok_and(|answer| answer.status == 204)
                })
            } else {
                let mut client = Resp::connect(resp).expect("the node takes clients");
                Box::new(move |key| {
                    let reply = client.try_call(&[b"SET", key.as_bytes(), key.as_bytes()]);
                    reply.is_ok_and(|reply| reply == Reply::ok())
                })
            };
            for at in 0.. {
                let key = format!("{writer}-{at}");
                if is_over.load(Ordering::Relaxed) || !put(&key) {
                    break;
                }
                keys.push(key);
                acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            keys
        };
        let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || write(writer))).collect();
        eventually("the load runs", Duration::from_secs(20), || {
            acknowledged.load(Ordering::Relaxed) > 1_000
        });
        cluster[0].stop();
        is_over.store(true, Ordering::Relaxed);
        let ended = writers.into_iter().map(|writer| writer.join().expect("a writer"));
        ended.flatten().collect()
    });
    let log = cluster[0].log();
    assert!(log.contains("stopped cleanly"), "{log}");
    cluster.start_all();
    let mut resp = cluster[0].resp();
    for key in &keys {
        assert_eq!(resp.call(&format!("GET {key}")), Reply::bulk(key));
    }
    // A kill is no different.
    cluster[0].signal(Signal::KILL);
    cluster[0].kill();
    cluster.start_all();
    let mut resp = cluster[0].resp();
    for key in keys.iter().step_by(17) {
        assert_eq!(resp.call(&format!("GET {key}")), Reply::bulk(key));
    }
}
