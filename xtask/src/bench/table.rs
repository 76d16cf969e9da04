//! The results as Markdown.

use std::fmt::Write as _;

use super::Results;
use super::comparison::Comparison;
use super::memory;
use super::repair::Repair;
use super::shards;

/// All tables, with what they stand on.
pub fn markdown(results: &Results) -> String {
    let mut text = String::from("# Torc and Redis at the same durability\n\n");
    if results.self_check {
        text.push_str("**A check of the harness: Redis stands on both sides. No number here is Torc's.**\n\n");
    }
    if let Some(reason) = &results.ended_early {
        let _ = writeln!(text, "**Incomplete: {reason}**\n");
    }
    let Results {
        pairs,
        seconds,
        processors,
        redis_version,
        ..
    } = results;
    let _ = writeln!(
        text,
        "100-byte values, 100,000 keys drawn evenly, closed loop, one generator thread on the same machine ({processors} processors). \
         Medians of {pairs} alternating runs of {seconds} s.\n\n{redis_version}\n"
    );
    for disk in &results.disks {
        let _ = writeln!(
            text,
            "Disk: {}, {:.0} fdatasync/s of one thread (p50 {:.0} µs, p99 {:.0} µs).",
            disk.file_system, disk.fdatasync_per_second, disk.fdatasync_p50_us, disk.fdatasync_p99_us
        );
    }
    if !results.comparisons.is_empty() {
        text.push_str("\n## One node, fresh directories\n\n");
        append_comparisons(&mut text, &results.comparisons);
        text.push_str(
            "\nRatios are Torc over Redis: throughput above 1 is better, CPU and latencies below 1. CPU is the server's, per \
             operation; Redis's excludes the child that rewrites its append-only file. The spread is (highest − lowest) / median.\n",
        );
    }
    if !results.after_kill.is_empty() {
        text.push_str("\n## One node, after kill -9 and a restart\n\n");
        append_comparisons(&mut text, &results.after_kill);
    }
    if !results.cluster.is_empty() {
        text.push_str("\n## Three nodes, quorum, synced\n\n");
        text.push_str("| case | operations/s | spread | server CPU, µs/op | client CPU, µs/op | p50 µs | p99 µs | p99.9 µs | peak memory MiB |\n");
        text.push_str("|---|--:|--:|--:|--:|--:|--:|--:|--:|\n");
        for row in &results.cluster {
            let median = &row.torc.median;
            let _ = writeln!(
                text,
                "| {} c={} P={} | {:.0} | {:.0} % | {:.2} | {:.2} | {:.0} | {:.0} | {:.0} | {:.0} |",
                row.case.operation.mix(),
                row.case.connections,
                row.case.pipeline,
                median.operations_per_second,
                row.torc.spread * 100.0,
                median.server_cpu_us,
                median.client_cpu_us,
                median.p50_us,
                median.p99_us,
                median.p99_9_us,
                median.peak_memory_bytes as f64 / f64::from(1 << 20)
            );
        }
    }
    if !results.memory.is_empty() {
        append_memory(&mut text, &results.memory);
    }
    if let Some(repair) = &results.repair {
        append_repair(&mut text, repair);
    }
    if !results.shards.is_empty() {
        shards::append(&mut text, &results.shards);
    }
    text
}

fn append_memory(text: &mut String, comparisons: &[Comparison]) {
    let _ = writeln!(
        text,
        "\n## Data {} times `memory_max`\n\nReads of {}-byte values of {} keys, zipf 0.99: one node with memory for all (A) \
         against one with `memory_max = \"{} MiB\"` (B).\n",
        memory::TIMES,
        memory::VALUE_BYTES,
        memory::keys(),
        memory::MEMORY_MAX_MIB
    );
    text.push_str("| case | A ops/s | B ops/s | ratio | spread A, B | CPU A, B µs/op | p50 A, B µs | p99 A, B µs | peak MiB A, B |\n");
    text.push_str("|---|--:|--:|--:|--:|--:|--:|--:|--:|\n");
    for row in comparisons {
        let (enough, little) = (&row.redis.median, &row.torc.median);
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let _ = writeln!(
            text,
            "| get c={} P={} | {:.0} | {:.0} | **{:.2}** | {:.0} %, {:.0} % | {:.2}, {:.2} | {:.0}, {:.0} | {:.0}, {:.0} | {:.0}, {:.0} |",
            row.case.connections,
            row.case.pipeline,
            enough.operations_per_second,
            little.operations_per_second,
            row.throughput_ratio,
            row.redis.spread * 100.0,
            row.torc.spread * 100.0,
            enough.server_cpu_us,
            little.server_cpu_us,
            enough.p50_us,
            little.p50_us,
            enough.p99_us,
            little.p99_us,
            mebibytes(enough.peak_memory_bytes),
            mebibytes(little.peak_memory_bytes),
        );
    }
}

fn append_repair(text: &mut String, repair: &Repair) {
    let Repair { keys, idle, .. } = repair;
    let _ = writeln!(
        text,
        "\n## Anti-entropy, three nodes with {keys} keys each\n\nNothing differs, a node: {:.2} % of a core and {:.0} bytes/s; with \
         anti-entropy paused {:.2} % and {:.0} bytes/s.\n",
        idle.cpu * 100.0,
        idle.bytes_per_second,
        idle.cpu_paused * 100.0,
        idle.bytes_per_second_paused
    );
    text.push_str("| keys that differ | mended in s | bytes between the nodes | of them as when idle | the rest, per key |\n|--:|--:|--:|--:|--:|\n");
    for row in &repair.mended {
        let rest = row.bytes.saturating_sub(row.bytes_idle);
        let _ = writeln!(
            text,
            "| {} | {:.1} | {} | {} | {} |",
            row.differing,
            row.seconds,
            row.bytes,
            row.bytes_idle,
            rest / row.differing
        );
    }
    text.push_str("\n| clients, operations/s | p50 µs alone, mending | p99 µs alone, mending | ratio | mended, keys/s |\n|--:|--:|--:|--:|--:|\n");
    for (alone, with) in repair.without.iter().zip(&repair.with) {
        let clients = &with.clients;
        let _ = writeln!(
            text,
            "| {:.0}, {:.0} | {:.0}, {:.0} | {:.0}, {:.0} | {:.2} | {:.0} |",
            alone.operations_per_second,
            clients.operations_per_second,
            alone.p50_us,
            clients.p50_us,
            alone.p99_us,
            clients.p99_us,
            clients.p99_us / alone.p99_us,
            with.mended_per_second
        );
    }
}

fn append_comparisons(text: &mut String, comparisons: &[Comparison]) {
    text.push_str(
        "| case | Redis ops/s | Torc ops/s | ratio | spread R, T | CPU R, T µs/op | ratio | client CPU R, T µs/op \
         | p50 R, T µs | ratio | p99 R, T µs | ratio | p99.9 R, T µs | ratio | peak MiB R, T |\n",
    );
    text.push_str("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n");
    for row in comparisons {
        let (redis, torc) = (&row.redis.median, &row.torc.median);
        let latency = |redis: f64, torc: f64| format!("{redis:.0}, {torc:.0} | {:.2}", torc / redis);
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let _ = writeln!(
            text,
            "| {} | {:.0} | {:.0} | **{:.2}** | {:.0} %, {:.0} % | {:.2}, {:.2} | **{:.2}** | {:.2}, {:.2} | {} | {} | {} | {:.0}, {:.0} |",
            row.case.name(),
            redis.operations_per_second,
            torc.operations_per_second,
            row.throughput_ratio,
            row.redis.spread * 100.0,
            row.torc.spread * 100.0,
            redis.server_cpu_us,
            torc.server_cpu_us,
            row.cpu_ratio,
            redis.client_cpu_us,
            torc.client_cpu_us,
            latency(redis.p50_us, torc.p50_us),
            latency(redis.p99_us, torc.p99_us),
            latency(redis.p99_9_us, torc.p99_9_us),
            mebibytes(redis.peak_memory_bytes),
            mebibytes(torc.peak_memory_bytes),
        );
    }
}
