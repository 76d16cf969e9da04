//! What `/metrics` says, gathered when it is scraped.

mod peers;
mod store;

use torc_core::background::{Pace, Work};

use super::Shell;
use super::exposition::{Exposition, Histogram, Labels};
use super::measures::{LATENCY_BOUNDS_US, Latency, Measures, Verdict};

/// The Prometheus text of this moment.
pub fn text(shell: &Shell) -> String {
    let mut exposition = Exposition::default();
    let engine = shell.engine.borrow();
    requests(&engine.measures, &mut exposition);
    core(shell, &mut exposition);
    peers::overload(shell, &mut exposition);
    peers::peers(shell, &mut exposition);
    clients(shell, &mut exposition);
    store::store(&engine.store().stats(), &mut exposition);
    drop(engine);
    process(shell, &mut exposition);
    exposition.text()
}

fn requests(measures: &Measures, exposition: &mut Exposition) {
    let mut counts = Vec::new();
    let mut latencies = Vec::new();
    for (operation, measured) in measures.operations() {
        for verdict in Verdict::ALL {
            let labels: Labels = vec![
                ("operation", operation.name().into()),
                ("outcome", verdict.name().into()),
            ];
            counts.push((labels, measured.verdicts[verdict as usize]));
        }
        let labels: Labels = vec![("operation", operation.name().into())];
        latencies.push((labels, histogram(&measured.latency)));
    }
    exposition.counters("torc_requests", "Client requests by operation and outcome", counts);
    exposition.histograms(
        "torc_request_duration_seconds",
        "From a request understood to its answer",
        latencies,
    );
    let siblings = ["0", "1", "2", "3-10", "more"];
    let reads = siblings.into_iter().zip(measures.siblings);
    exposition.counters(
        "torc_read_siblings",
        "Reads by the number of siblings they found",
        reads
            .map(|(siblings, count)| (vec![("siblings", siblings.into())], count))
            .collect(),
    );
    let events = measures
        .notices()
        .map(|(event, count)| (vec![("event", event.into())], count));
    exposition.counters("torc_events", "Events that the log tells of", events.collect());
}

fn histogram(latency: &Latency) -> Histogram {
    let bounds = LATENCY_BOUNDS_US
        .iter()
        .map(|&us| us as f64 / 1e6)
        .chain([f64::INFINITY]);
    Histogram {
        buckets: bounds.zip(latency.counts).collect(),
        sum: latency.sum_us as f64 / 1e6,
    }
}

fn core(shell: &Shell, exposition: &mut Exposition) {
    let engine = shell.engine.borrow();
    let node = engine.node();
    let stats = node.stats();
    for (name, help, value) in [
        ("torc_core_requests", "Requests that the core began", stats.requests),
        (
            "torc_busy",
            "Requests turned away because too many were in flight",
            stats.busy,
        ),
        ("torc_commits", "Commits asked of the store", stats.commits),
        (
            "torc_read_repairs",
            "Homes that a read found behind and mended",
            stats.read_repairs,
        ),
        (
            "torc_write_backs",
            "Strict reads that wrote back before they answered",
            stats.write_backs,
        ),
        (
            "torc_remints",
            "Writes signed anew above a stamp that they had not seen",
            stats.remints,
        ),
        (
            "torc_updates_carried",
            "Updates that shared the read and the sync of another of the same key",
            stats.updates_carried,
        ),
        ("torc_forwards", "Commands sent to a home", stats.forwards),
        (
            "torc_refused_messages",
            "Messages of peers that were refused",
            stats.refusals,
        ),
        (
            "torc_wrong_epoch_messages",
            "Messages of peers whose ring differs",
            stats.wrong_epoch,
        ),
        (
            "torc_damaged_records",
            "Damaged records found, each once until it is mended",
            stats.damaged_records,
        ),
        (
            "torc_mended_records",
            "Damaged records replaced by what the other homes hold",
            stats.mended_records,
        ),
        (
            "torc_lost_records",
            "Damaged records of which there was no other copy, overwritten by a client",
            stats.lost_records,
        ),
        (
            "torc_discarded_files",
            "Damaged files of the store that were given up and rebuilt",
            stats.discarded_files,
        ),
        ("torc_scrubbed_bytes", "Bytes read by scrubs", stats.scrubbed_bytes),
        (
            "torc_scrubbed_records",
            "Records verified by scrubs",
            stats.scrubbed_records,
        ),
        ("torc_scrubs", "Whole scrubs", stats.scrubs),
        (
            "torc_hints_kept",
            "Records taken to keep them for a home that was away",
            stats.hints_kept,
        ),
        (
            "torc_hints_signed",
            "Puts signed here in the place of a home, since no home could",
            stats.hints_signed,
        ),
        (
            "torc_hints_refused",
            "Writes that this node had no room to keep for a home",
            stats.hints_refused,
        ),
        (
            "torc_reaped_records",
            "Deleted and expired records forgotten here, because all homes had agreed",
            stats.reaped_records,
        ),
        (
            "torc_quarantined_records",
            "Records removed because this disk was older than what the other homes had forgotten",
            stats.quarantined_records,
        ),
        (
            "torc_hints_dropped",
            "Records kept for homes that were dropped because they were on an older disk",
            stats.hints_dropped,
        ),
        (
            "torc_hints_delivered",
            "Records delivered to the home that they were kept for",
            node.hints().delivered(),
        ),
        (
            "torc_anti_entropy_exchanges",
            "Comparisons with other homes, whole or broken off",
            stats.entropy_exchanges,
        ),
        (
            "torc_anti_entropy_keys_repaired",
            "Records found to differ and merged, here or at the other home",
            stats.entropy_keys_repaired,
        ),
        (
            "torc_anti_entropy_bytes",
            "Bytes sent and read by comparisons that this node began",
            stats.entropy_bytes,
        ),
        (
            "torc_anti_entropy_records_counted",
            "Records read to count trees",
            stats.entropy_records_counted,
        ),
        (
            "torc_rebuilt_records",
            "Records taken from peers to complete a copy",
            stats.rebuilt_records,
        ),
        (
            "torc_context_entries_pruned",
            "Entries dropped from contexts that had grown too long: what they had replaced may come back",
            stats.context_entries_pruned,
        ),
        (
            "torc_folded_contexts",
            "Contexts rid of the entries of lives that are over, because all homes had agreed to",
            stats.folded_contexts,
        ),
        (
            "torc_contexts_over_limit",
            "Puts that left a context above its bound",
            stats.contexts_over_limit,
        ),
    ] {
        exposition.counter(name, help, value);
    }
    for (name, help, value) in [
        (
            "torc_context_entries_max",
            "The largest context that a put left",
            stats.context_entries_max as f64,
        ),
        (
            "torc_operations_in_flight",
            "Operations that this node coordinates",
            node.operations_in_flight() as f64,
        ),
        (
            "torc_requests_in_flight",
            "Client requests that wait for their answer",
            engine.requests_in_flight() as f64,
        ),
        (
            "torc_request_bytes_in_flight",
            "Payload bytes of the requests in flight",
            engine.bytes_in_flight() as f64,
        ),
        (
            "torc_ready",
            "1 if this node can be relied on",
            f64::from(u8::from(node.readiness().is_ok())),
        ),
        (
            "torc_clock_skew_seconds",
            "This node's clock against the median of its peers",
            node.clock_skew_ms() as f64 / 1e3,
        ),
        (
            "torc_ring_epoch",
            "The number of the ring in force",
            node.ring().epoch().number as f64,
        ),
    ] {
        exposition.gauge(name, help, value);
    }
    let rebuilding = node.rebuilding().into_iter().map(|(bucket, share)| {
        let bucket = shell
            .common
            .catalog
            .bucket(bucket)
            .map_or_else(String::new, |bucket| bucket.name.to_string());
        (vec![("bucket", bucket)], share)
    });
    let scrub = node.scrub();
    let entropy = node.entropy();
    let reaping = node.reaping();
    let now = engine.now().time;
    let blocked_us = reaping.blocks.iter().map(|block| now.0.saturating_sub(block.2.0)).max();
    let blocked_s = blocked_us.unwrap_or(0) as f64 / 1e6;
    for (name, help, value) in [
        (
            "torc_hints_pending",
            "Records kept for homes that have not taken them yet",
            node.hints().pending() as f64,
        ),
        (
            "torc_hints_bytes",
            "Bytes of the records kept for homes",
            node.hints().bytes() as f64,
        ),
        (
            "torc_reaping_waiting_records",
            "Dead records found and on their way to be forgotten",
            reaping.records as f64,
        ),
        (
            "torc_reaping_blocked_seconds",
            "How long the longest of those who keep dead records from being forgotten has been in the way; 0 if nobody is",
            blocked_s,
        ),
        (
            "torc_anti_entropy_dirty_ranges",
            "Partitions known to differ from another home's",
            entropy.dirty_ranges as f64,
        ),
        (
            "torc_anti_entropy_trees_uncounted",
            "Trees that are being counted and not compared meanwhile",
            (entropy.trees - entropy.trees_counted) as f64,
        ),
        (
            "torc_damaged_records_unmended",
            "Damaged records that are known and not mended yet",
            node.damaged_records() as f64,
        ),
        (
            "torc_scrub_running",
            "1 while everything on disk is being read and verified",
            f64::from(u8::from(scrub.is_running)),
        ),
        (
            "torc_scrub_ended_timestamp_seconds",
            "When everything on disk was verified last; 0 if never",
            scrub.ended.map_or(0.0, |ended| ended.0 as f64 / 1e3),
        ),
    ] {
        exposition.gauge(name, help, value);
    }
    let works = |value: fn(&Pace) -> f64| {
        let of = move |work: Work| {
            (
                vec![("work", work.name().to_owned())],
                value(node.background().pace(work)),
            )
        };
        Work::ALL.map(of).into_iter().collect::<Vec<_>>()
    };
    exposition.gauges(
        "torc_background_paused",
        "1 if an operator has paused this background work",
        works(|pace| f64::from(u8::from(pace.paused))),
    );
    exposition.gauges(
        "torc_background_limit_bytes_per_second",
        "The bound of this background work",
        works(|pace| pace.bytes_per_second as f64),
    );
    exposition.gauges(
        "torc_rebuild_progress_ratio",
        "Share of a bucket's copy that is rebuilt; no series if all are complete",
        rebuilding.collect(),
    );
}

fn clients(shell: &Shell, exposition: &mut Exposition) {
    let (accepted, refused) = shell.common.clients.counts();
    exposition.gauge(
        "torc_client_connections",
        "Open client connections",
        shell.common.clients.open() as f64,
    );
    let by_shard = shell.common.clients.open_by_shard().enumerate();
    exposition.gauges(
        "torc_shard_client_connections",
        "Open client connections of each shard; the first, which runs the core, has some only if it is alone",
        by_shard
            .map(|(shard, open)| (vec![("shard", shard.to_string())], open as f64))
            .collect(),
    );
    exposition.counter(
        "torc_client_connections_accepted",
        "Client connections accepted",
        accepted,
    );
    exposition.counter(
        "torc_client_connections_refused",
        "Client connections above the limit",
        refused,
    );
}

fn process(shell: &Shell, exposition: &mut Exposition) {
    exposition.gauge(
        "torc_uptime_seconds",
        "Since this process began to serve",
        shell.common.started.elapsed().as_secs_f64(),
    );
    exposition.gauge(
        "torc_resident_memory_bytes",
        "Resident memory of this process",
        super::facts::resident_bytes() as f64,
    );
    exposition.counter_of(
        "torc_cpu_seconds",
        "CPU time of this process, user and system",
        super::facts::cpu_seconds(),
    );
    exposition.counters_of(
        "torc_thread_cpu_seconds",
        "CPU time of this process by thread: the node's, which runs the core, its shards', the store's",
        super::facts::thread_cpu_seconds()
            .into_iter()
            .map(|(thread, seconds)| (vec![("thread", thread)], seconds))
            .collect(),
    );
    let labels = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
    exposition.gauges("torc_build_info", "The version that runs", vec![(labels, 1.0)]);
}
