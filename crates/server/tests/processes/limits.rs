//! Sizes at the limit and one byte beyond, names of any bytes, many sort keys, and bytes that are no protocol.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::cluster::Cluster;

const VALUE_BYTES_MAX: usize = 1 << 20;

#[test]
fn values_and_keys_are_taken_up_to_their_limit_and_named_beyond_it() {
    let cluster = Cluster::start(1);
    for length in [0, 1, 4_095, 4_096, 10_000, VALUE_BYTES_MAX] {
        let value = vec![b'x'; length];
        assert_eq!(
            cluster.ask(1, "PUT", "/v1/kv/redis/value", &[], &value).status,
            204,
            "{length}"
        );
        assert_eq!(
            cluster.ask(1, "GET", "/v1/kv/redis/value", &[], b"").body,
            value,
            "{length}"
        );
    }
    let refused = cluster.ask(1, "PUT", "/v1/kv/redis/value", &[], &vec![b'x'; VALUE_BYTES_MAX + 1]);
    assert_eq!(
        (refused.status, refused.json()["error"].as_str()),
        (413, Some("value_too_large"))
    );
    assert_eq!(refused.json()["limit"].as_u64(), Some(VALUE_BYTES_MAX as u64));

    let key = "k".repeat(2_048);
    assert_eq!(
        cluster
            .ask(1, "PUT", &format!("/v1/kv/default/{key}"), &[], b"v")
            .status,
        204
    );
    let refused = cluster.ask(1, "PUT", &format!("/v1/kv/default/{key}k"), &[], b"v");
    assert_eq!(
        (refused.status, refused.json()["error"].as_str()),
        (413, Some("key_too_large"))
    );
    let sort = "s".repeat(1_024);
    assert_eq!(
        cluster
            .ask(1, "PUT", &format!("/v1/kv/default/k?sort={sort}"), &[], b"v")
            .status,
        204
    );
    assert_eq!(
        cluster
            .ask(1, "PUT", &format!("/v1/kv/default/k?sort={sort}s"), &[], b"v")
            .status,
        413
    );
}

#[test]
fn a_key_may_have_any_bytes() {
    let cluster = Cluster::start(1);
    for (place, key) in ["%00", "%FF%FE", "a/b/../c", ".", "%20+%25", "%E2%82%AC", "a%00b%00"]
        .iter()
        .enumerate()
    {
        let value = place.to_string();
        let target = format!("/v1/kv/redis/{key}");
        assert_eq!(
            cluster.ask(1, "PUT", &target, &[], value.as_bytes()).status,
            204,
            "{key}"
        );
        assert_eq!(cluster.ask(1, "GET", &target, &[], b"").body, value.as_bytes(), "{key}");
    }
    let listed = cluster.ask(1, "GET", "/v1/keys/redis", &[], b"").json();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(7));
}

#[test]
fn ten_thousand_sort_keys_of_one_key_are_listed_once_each() {
    let cluster = Cluster::start(1);
    for batch in 0..10 {
        let operations: Vec<serde_json::Value> = (0..1_000)
            .map(|number| {
                let sort = format!("{:05}", batch * 1_000 + number);
                serde_json::json!({"op": "put", "bucket": "default", "key": "many", "sort": sort, "value": "dg=="})
            })
            .collect();
        let body = serde_json::json!({ "operations": operations }).to_string();
        let answer = cluster.ask(1, "POST", "/v1/batch", &[], body.as_bytes());
        assert_eq!(answer.status, 200);
    }
    let mut seen = BTreeSet::new();
    let mut start = String::new();
    loop {
        let target = format!("/v1/kv/default?key=many&limit=700{start}");
        let page = cluster.ask(1, "GET", &target, &[], b"").json();
        for item in page["items"].as_array().expect("items") {
            let sort = item["sort"].as_str().expect("a sort key").to_owned();
            assert!(seen.insert(sort), "listed twice: {item}");
        }
        match page["next"].as_str() {
            Some(next) => start = format!("&start={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 10_000);
}

#[test]
fn bytes_that_are_no_protocol_stop_nobody_else() {
    let mut cluster = Cluster::start(3);
    let before = cluster.pid(1);
    let mut word = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..200 {
        let mut bytes = Vec::new();
        for _ in 0..(round * 7 + 1) {
            word = word
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            bytes.push((word >> 33) as u8);
        }
        let starts: [&[u8]; 6] = [
            b"",
            b"*3\r\n$3\r\nSET\r\n$",
            b"*1\r\n$-1\r\n",
            b"GET /v1/kv/",
            b"\x10\0\0\0",
            b"\xff\xff\xff\x7f",
        ];
        let hostile = [starts[round % starts.len()], &bytes].concat();
        for port in [cluster.http(1), cluster.resp(1), cluster.peer(1)] {
            let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
                panic!("port {port} is gone after {round} rounds");
            };
            drop(stream.write_all(&hostile));
            drop(stream.shutdown(std::net::Shutdown::Write));
            drop(stream.set_read_timeout(Some(Duration::from_millis(20))));
            drop(stream.read(&mut [0; 512]));
        }
        if round % 50 == 0 {
            let key = format!("/v1/kv/default/{round}");
            assert_eq!(cluster.ask(1, "PUT", &key, &[], b"v").status, 204);
            assert_eq!(cluster.ask(2, "GET", &key, &[], b"").body, b"v");
        }
    }
    assert_eq!(cluster.pid(1), before);
    cluster.stop(1);
}
