//! The command line, run against a node of a cluster.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use super::cluster::Cluster;
use super::node::TORC;

/// Runs `torc` with words; stdin holds `input`.
pub fn torc_with(cluster: &Cluster, node: usize, words: &[&str], input: &[u8]) -> Output {
    let mut process = Command::new(TORC)
        .args(["--addr", &cluster[node].http_address()])
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("torc starts");
    process
        .stdin
        .take()
        .expect("a pipe")
        .write_all(input)
        .expect("it reads its input or is gone");
    process.wait_with_output().expect("a child of ours")
}

pub fn torc(cluster: &Cluster, words: &[&str]) -> Output {
    torc_with(cluster, 0, words, b"")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
pub fn done(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    out(output)
}
