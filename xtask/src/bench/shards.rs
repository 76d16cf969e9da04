//! One node with one, two and three shards: throughput, and which threads take the CPU. The node's thread and the committer
//! are the two that more shards don't make more of, so their CPU of an operation bounds a node of any number of processors.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Context;
use serde::Serialize;

use super::case::{Case, Durability, Operation};
use super::comparison::median;
use super::load::Measurement;
use super::server::{Kind, Server};
use super::{Bench, Results};

const SHARDS_MAX: u16 = 3;

/// What one number of shards does in a case.
#[derive(Debug, Clone, Serialize)]
pub struct Sharded {
    /// The load.
    pub case: Case,
    /// Threads for clients and the core.
    pub shards: u16,
    /// Median throughput.
    pub operations_per_second: f64,
    /// Median of the 99th percentiles.
    pub p99_us: f64,
    /// Median CPU time of an operation: of the thread that runs the core.
    pub node_us: f64,
    /// Of those that serve clients beside it.
    pub shards_us: f64,
    /// Of the committer.
    pub committer_us: f64,
    /// Of all others: flushes, compactions.
    pub others_us: f64,
}

struct Run {
    measured: Measurement,
    /// The share of the process's CPU time that each thread took.
    shares: BTreeMap<&'static str, f64>,
}

/// Measures all numbers of shards in turn, in every case.
pub fn measure(bench: &Bench, results: &mut Results) -> anyhow::Result<()> {
    let mut servers = Vec::new();
    for shards in 1..=SHARDS_MAX {
        let folder = bench.fresh(&format!("shards-{shards}"))?;
        let kind = Kind::TorcOfShards(shards);
        let server = Server::start(kind, &bench.program, &folder, Durability::Always)?;
        results.disks.push(bench.generator.fill(&server)?);
        servers.push(server);
    }
    for operation in [Operation::Get, Operation::Set] {
        for pipeline in [1, 16] {
            let case = Case {
                durability: Durability::Always,
                operation,
                connections: 50,
                pipeline,
            };
            let mut runs: Vec<Vec<Run>> = servers.iter().map(|_| Vec::new()).collect();
            for _ in 0..bench.pairs {
                for (server, runs) in servers.iter().zip(&mut runs) {
                    let before = ticks(server.pids[0])?;
                    let measured = bench.generator.measure(server, &case)?;
                    let shares = shares(&before, &ticks(server.pids[0])?);
                    runs.push(Run { measured, shares });
                }
            }
            for (at, runs) in runs.iter().enumerate() {
                let row = summary(case, at as u16 + 1, runs);
                println!(
                    "{}, {} shards: {:.0} operations/s",
                    case.name(),
                    row.shards,
                    row.operations_per_second
                );
                results.shards.push(row);
            }
        }
    }
    Ok(())
}

fn summary(case: Case, shards: u16, runs: &[Run]) -> Sharded {
    let of = |value: &dyn Fn(&Run) -> f64| median(runs.iter().map(value).collect());
    let part =
        |part: &'static str| of(&|run| run.measured.server_cpu_us * run.shares.get(part).copied().unwrap_or_default());
    Sharded {
        case,
        shards,
        operations_per_second: of(&|run| run.measured.operations_per_second),
        p99_us: of(&|run| run.measured.p99_us),
        node_us: part("node"),
        shards_us: part("shards"),
        committer_us: part("committer"),
        others_us: part("others"),
    }
}

/// CPU time so far of a node's threads, in ticks.
fn ticks(pid: u32) -> anyhow::Result<BTreeMap<&'static str, u64>> {
    let mut ticks = BTreeMap::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).context("the node runs")? {
        let task = task?;
        // A thread may end while it is looked at.
        let Ok(stat) = std::fs::read_to_string(task.path().join("stat")) else {
            continue;
        };
        let (before, after) = stat.rsplit_once(") ").context("a thread has a name")?;
        let part = match before.split_once('(').map_or("", |(_, name)| name) {
            _ if task.file_name() == *pid.to_string() => "node",
            name if name.starts_with("torc-shard") => "shards",
            "torc-committer" => "committer",
            _ => "others",
        };
        let fields = after.split(' ').skip(11).take(2).map(str::parse::<u64>);
        *ticks.entry(part).or_default() += fields.sum::<Result<u64, _>>()?;
    }
    Ok(ticks)
}

fn shares(before: &BTreeMap<&'static str, u64>, after: &BTreeMap<&'static str, u64>) -> BTreeMap<&'static str, f64> {
    let spent = |(part, ticks): (&&'static str, &u64)| {
        let earlier = before.get(part).copied().unwrap_or_default();
        (*part, ticks.saturating_sub(earlier) as f64)
    };
    let spent: BTreeMap<&'static str, f64> = after.iter().map(spent).collect();
    let all: f64 = spent.values().sum();
    spent
        .into_iter()
        .map(|(part, ticks)| (part, ticks / all.max(1.0)))
        .collect()
}

/// The table.
pub fn append(text: &mut String, rows: &[Sharded]) {
    text.push_str("\n## One node with more shards\n\n");
    text.push_str("| case | shards | ops/s | p99 µs | node's thread, µs/op | shards, µs/op | committer, µs/op | others, µs/op |\n");
    text.push_str("|---|--:|--:|--:|--:|--:|--:|--:|\n");
    for row in rows {
        let _ = writeln!(
            text,
            "| {} c={} P={} | {} | {:.0} | {:.0} | {:.2} | {:.2} | {:.2} | {:.2} |",
            row.case.operation.mix(),
            row.case.connections,
            row.case.pipeline,
            row.shards,
            row.operations_per_second,
            row.p99_us,
            row.node_us,
            row.shards_us,
            row.committer_us,
            row.others_us,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_what_was_spent_between_two_looks() {
        let before = BTreeMap::from([("node", 10), ("committer", 5)]);
        let after = BTreeMap::from([("node", 40), ("committer", 5), ("shards", 10)]);
        let expected = BTreeMap::from([("committer", 0.0), ("node", 0.75), ("shards", 0.25)]);
        assert_eq!(shares(&before, &after), expected);
        // Nothing was spent.
        assert_eq!(shares(&before, &before)["node"], 0.0);
    }

    #[test]
    fn the_threads_of_this_process_are_found() {
        assert!(ticks(std::process::id()).expect("a process").contains_key("node"));
    }
}
