//! Clients that ask for many large values at once: they are served, and other clients and the connections between the nodes
//! do not notice. The queues between nodes are made small, so that a pipeline of reads asks for far more than they take.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use crate::harness::{Cluster, Http, Reply, Resp, Settings};

/// Bytes that one pipeline asks for: several times what a queue takes.
const PIPELINE_BYTES: usize = 80 << 20;
/// How often a client asks for them.
const ROUNDS: usize = 2;
/// A node may grow by this much.
const GROWTH_BYTES_MAX: u64 = 384 << 20;

/// Each its own, and different for each byte that may go astray.
fn value(key: usize, length: usize) -> Vec<u8> {
    (0..length).map(|at| ((at + key * 7) % 251) as u8).collect()
}

fn get(key: usize) -> Vec<u8> {
    let name = format!("large{key}");
    format!("*2\r\n$3\r\nGET\r\n${}\r\n{name}\r\n", name.len()).into_bytes()
}

fn resident_bytes(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a child of ours");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

/// Asks for all keys again and again in one pipeline, and reads the answers as they come. Gives how many were refused.
fn read_all(address: &str, keys: usize, length: usize) -> usize {
    let mut reader = Resp::connect(address).expect("the node takes clients");
    let count = PIPELINE_BYTES / length;
    let pipeline: Vec<u8> = (0..count).flat_map(|at| get(at % keys)).collect();
    reader.send_raw(&pipeline).expect("a pipeline is taken");
    let mut refused = 0;
    for at in 0..count {
        match reader.reply().expect("a reply") {
            Reply::Bulk(mut bytes) => {
                bytes.truncate(length);
                assert!(bytes == value(at % keys, length), "large{} is another", at % keys);
            }
            Reply::Error(text) if text.starts_with("NOREPLICAS") || text.starts_with("BUSY") => refused += 1,
            other => panic!("large{}: {other:?}", at % keys),
        }
    }
    refused
}

/// Writes small values as fast as they are answered; every one must be.
fn write_small(address: &str, is_over: &AtomicBool) -> usize {
    let mut http = Http::connect(address).expect("the node takes clients");
    let mut written = 0;
    while !is_over.load(Relaxed) {
        // How soon is not the question here: other tests may run on the same cores.
        let target = format!("/v1/kv/redis/small{}?w=3&timeout_ms=60000", written % 100);
        let answer = http.send("PUT", &target, &[], b"v").expect("an answer");
        assert_eq!(answer.status, 204, "after {written} puts: {}", answer.text());
        written += 1;
    }
    written
}

fn readers_disturb_no_writer(readers: usize, keys: usize, length: usize) {
    let cluster = Cluster::start(&Settings {
        tables: "[limits]\npeer_queue_bytes_max = \"16MiB\"",
        ..Settings::default()
    });
    let mut resp = cluster[0].resp();
    for key in 0..keys {
        let name = format!("large{key}");
        let reply = resp.try_call(&[b"SET", name.as_bytes(), &value(key, length)]);
        assert_eq!(reply.expect("a reply"), Reply::ok());
    }
    let is_over = AtomicBool::new(false);
    let before: Vec<u64> = cluster.nodes.iter().map(|node| resident_bytes(node.pid())).collect();
    let mut most = vec![0; cluster.nodes.len()];
    std::thread::scope(|scope| {
        let is_over = &is_over;
        let write = |address: String| scope.spawn(move || write_small(&address, is_over));
        let writers: Vec<_> = cluster.nodes.iter().map(|node| write(node.http_address())).collect();
        let reading: Vec<_> = (0..readers)
            .map(|_| {
                let address = cluster[0].resp_address();
                scope.spawn(move || (0..ROUNDS).map(|_| read_all(&address, keys, length)).sum::<usize>())
            })
            .collect();
        while reading.iter().any(|reader| !reader.is_finished()) {
            for (most, node) in most.iter_mut().zip(&cluster.nodes) {
                *most = resident_bytes(node.pid()).max(*most);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        is_over.store(true, Relaxed);
        let refused: usize = reading.into_iter().map(|reader| reader.join().expect("a reader")).sum();
        let written: Vec<usize> = writers
            .into_iter()
            .map(|writer| writer.join().expect("a writer"))
            .collect();
        let grown: Vec<u64> = most
            .iter()
            .zip(&before)
            .map(|(most, before)| most.saturating_sub(*before))
            .collect();
        println!("{readers} readers of {length}: {refused} refused, {written:?} written, grown by {grown:?} bytes");
        assert!(grown.iter().all(|grown| *grown < GROWTH_BYTES_MAX), "{grown:?}");
        assert!(written.iter().all(|written| *written > 0));
        assert_eq!(refused, 0, "a read that waits is served");
    });
    for node in &cluster.nodes {
        let log = node.log();
        assert!(!log.contains("made anew"), "{log}");
    }
}

#[test]
fn a_pipeline_of_reads_of_100_kb_breaks_no_connection_between_nodes() {
    readers_disturb_no_writer(2, 200, 100_000);
}

#[test]
fn pipelines_of_reads_of_1_mib_break_no_connection_between_nodes() {
    readers_disturb_no_writer(2, 40, 1 << 20);
}
