//! Bytes that are no request do not stop a node, and other clients do not notice.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crate::harness::{Cluster, Reply, Settings};

/// Not random, so that a failure comes again; every byte value occurs.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// Sends, hangs up, and reads what comes back; the other side may close at any time.
fn throw(address: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("the node takes clients");
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a timeout");
    stream
        .set_write_timeout(Some(Duration::from_secs(10)))
        .expect("a timeout");
    let mut answer = Vec::new();
    if stream.write_all(bytes).is_ok() {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut chunk = [0; 4_096];
    while let Ok(length @ 1..) = stream.read(&mut chunk) {
        answer.extend_from_slice(&chunk[..length]);
        if answer.len() > 1 << 20 {
            break;
        }
    }
    answer
}

fn resident_kib(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a child of ours");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn malformed_bytes_on_every_port_disturb_no_other_client() {
    let cluster = Cluster::of_three();
    let node = &cluster[0];
    let (mut http, mut resp) = (node.http(), node.resp());
    let mut serves = |what: &str| {
        let started = Instant::now();
        let answer = http.send("PUT", "/v1/kv/default/k?w=3", &[], b"v");
        answer
            .unwrap_or_else(|error| panic!("after {what}: {error}"))
            .expect(204);
        assert_eq!(resp.call("SET k v"), Reply::ok(), "after {what}");
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "after {what}: {:?}",
            started.elapsed()
        );
    };
    serves("nothing");
    let before = resident_kib(node.pid());
    let thrown: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("no method", b"\r\n\r\n\r\n".to_vec()),
        (
            "a huge header",
            [b"GET / HTTP/1.1\r\nx: ".to_vec(), vec![b'a'; 1 << 20]].concat(),
        ),
        (
            "a body that never comes",
            b"PUT /v1/kv/default/k HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\nab".to_vec(),
        ),
        (
            "two lengths",
            b"PUT /v1/kv/default/k HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab".to_vec(),
        ),
        (
            "a chunk of nonsense",
            b"PUT /v1/kv/default/k HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec(),
        ),
        ("many arguments", b"*2147483647\r\n".to_vec()),
        ("a long argument", b"*1\r\n$2147483647\r\nabc".to_vec()),
        ("a negative length", b"*1\r\n$-5\r\nabc\r\n".to_vec()),
        ("a length that is none", b"*1\r\n$x\r\n".to_vec()),
        ("a line without end", vec![b'a'; 1 << 20]),
        ("nested arrays", b"*1\r\n".repeat(10_000)),
        ("a frame of 4 GiB", vec![0xff; 64]),
        (
            "a TLS greeting",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        ),
    ];
    for address in [node.http_address(), node.resp_address(), node.peer_address()] {
        for (what, bytes) in &thrown {
            throw(&address, bytes);
            serves(&format!("{what} at {address}"));
        }
        for seed in 0..60 {
            throw(&address, &noise(seed, 1 + seed as usize * 37));
        }
        serves(&format!("noise at {address}"));
    }
    let grown = resident_kib(node.pid()).saturating_sub(before);
    assert!(grown < 64 << 10, "{grown} KiB more are resident");
    assert!(!node.log().contains("panicked"), "{}", node.log());
    assert_eq!(node.get("/readyz").status, 200);
}

#[test]
fn a_wrong_command_is_answered_and_the_connection_goes_on_but_a_protocol_error_ends_it() {
    let cluster = Cluster::of_three();
    let mut resp = cluster[0].resp();
    let reply = resp.call("NOSUCHCOMMAND a b");
    assert!(
        matches!(&reply, Reply::Error(text) if text.starts_with("ERR unknown command")),
        "{reply:?}"
    );
    assert_eq!(resp.call("PING"), Reply::Simple("PONG".into()));
    let told = throw(&cluster[0].resp_address(), b"*1\r\n$4\r\nPING\r\n*1\r\n!4\r\nPING\r\n");
    let told = String::from_utf8_lossy(&told).into_owned();
    assert!(told.starts_with("+PONG\r\n-ERR Protocol error"), "{told}");
}

#[test]
fn a_client_that_reads_nothing_holds_up_nobody() {
    let cluster = Cluster::of_three();
    let mut resp = cluster[0].resp();
    let value = vec![b'x'; 12_000];
    resp.try_call(&[b"SET", b"big", &value]).expect("a reply");
    let mut deaf = TcpStream::connect(cluster[0].resp_address()).expect("the node takes clients");
    deaf.set_write_timeout(Some(Duration::from_millis(500)))
        .expect("a timeout");
    let gets = b"*2\r\n$3\r\nGET\r\n$3\r\nbig\r\n".repeat(500);
    for _ in 0..20 {
        if deaf.write_all(&gets).is_err() {
            break;
        }
    }
    let started = Instant::now();
    for _ in 0..50 {
        assert_eq!(resp.call("SET k v"), Reply::ok());
    }
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    let kib = resident_kib(cluster[0].pid());
    assert!(kib < 512 << 10, "{kib} KiB are resident: unread answers have no bound");
}

#[test]
fn one_connection_too_many_is_told_so() {
    let cluster = Cluster::start(&Settings {
        nodes: 1,
        tables: "[limits]\nconnections_max = 4",
        ..Settings::default()
    });
    let held: Vec<TcpStream> = (0..4)
        .map(|_| TcpStream::connect(cluster[0].resp_address()).expect("the node takes clients"))
        .collect();
    let told = |address: &str| {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let text = String::from_utf8_lossy(&throw(address, b"")).into_owned();
            if text.contains("connections_max") {
                return text;
            }
            assert!(Instant::now() < deadline, "{text}");
        }
    };
    let text = told(&cluster[0].http_address());
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    assert!(
        head.starts_with("HTTP/1.1 429 ") && head.contains("retry-after: 1"),
        "{head}"
    );
    assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
    let error: serde_json::Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(
        (&error["error"], &error["outcome"]),
        (&"busy".into(), &"not_applied".into())
    );
    assert!(told(&cluster[0].resp_address()).starts_with("-ERR max number of clients"));
    drop(held);
}
