//! What `/metrics` says, gathered when it is scraped.

use torc_core::admission::ShedReason;
use torc_core::background::{Pace, Work};
use torc_core::circuit::{CircuitState, CircuitView};
use torc_store::{SYNC_BUCKET_BOUNDS_US, StoreStats};

use super::Shell;
use super::exposition::{Exposition, Histogram, Labels};
use super::measures::{LATENCY_BOUNDS_US, Latency, Measures, Verdict};
use super::notices::name;
use torc_core::liveness::Liveness;

/// The Prometheus text of this moment.
pub fn text(shell: &Shell) -> String {
    let mut exposition = Exposition::default();
    let engine = shell.engine.borrow();
    requests(&engine.measures, &mut exposition);
    core(shell, &mut exposition);
    overload(shell, &mut exposition);
    peers(shell, &mut exposition);
    clients(shell, &mut exposition);
    store(&engine.store().stats(), &mut exposition);
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
            "torc_hints_refused",
            "Writes that this node had no room to keep for a home",
            stats.hints_refused,
        ),
        (
            "torc_hints_delivered",
            "Records delivered to the home that they were kept for",
            node.hints().delivered(),
        ),
        (
            "torc_entropy_exchanges",
            "Comparisons with other homes, whole or broken off",
            stats.entropy_exchanges,
        ),
        (
            "torc_entropy_keys_repaired",
            "Records found to differ and merged, here or at the other home",
            stats.entropy_keys_repaired,
        ),
        (
            "torc_entropy_bytes",
            "Bytes sent and read by comparisons that this node began",
            stats.entropy_bytes,
        ),
        (
            "torc_entropy_records_counted",
            "Records read to count trees",
            stats.entropy_records_counted,
        ),
        (
            "torc_rebuilt_records",
            "Records taken from peers to complete a copy",
            stats.rebuilt_records,
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
            .catalog
            .bucket(bucket)
            .map_or_else(String::new, |bucket| bucket.name.to_string());
        (vec![("bucket", bucket)], share)
    });
    let scrub = node.scrub();
    let entropy = node.entropy();
    for (name, help, value) in [
        (
            "torc_hints_records",
            "Records kept for homes that have not taken them yet",
            node.hints().pending() as f64,
        ),
        (
            "torc_hints_bytes",
            "Bytes of the records kept for homes",
            node.hints().bytes() as f64,
        ),
        (
            "torc_entropy_dirty_ranges",
            "Partitions known to differ from another home's",
            entropy.dirty_ranges as f64,
        ),
        (
            "torc_entropy_trees_uncounted",
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

/// Who waits, who is turned away, and which peers are avoided.
fn overload(shell: &Shell, exposition: &mut Exposition) {
    let engine = shell.engine.borrow();
    let node = engine.node();
    let admission = node.admission();
    let reasons = ShedReason::ALL.map(|reason| (reason.name(), admission.stats.shed[reason as usize]));
    let shed = reasons.into_iter().chain([("bytes", engine.shed_for_bytes())]);
    exposition.counters(
        "torc_shed",
        "Requests answered busy, by what there was too much of",
        shed.map(|(reason, count)| (vec![("reason", reason.to_owned())], count))
            .collect(),
    );
    let hedging = node.hedging();
    for (name, help, value) in [
        (
            "torc_admission_waited",
            "Client requests that waited before they began",
            admission.stats.waited,
        ),
        ("torc_hedged_reads", "Reads that asked other nodes", hedging.reads),
        (
            "torc_hedged_reads_held_back",
            "Reads that left out a slow home",
            hedging.held_back,
        ),
        (
            "torc_hedged_requests",
            "Slow homes asked after the others took too long, at most 5 for 100 reads",
            hedging.hedges,
        ),
        (
            "torc_hedged_won",
            "Of these, answers that the read rested on",
            hedging.won,
        ),
        (
            "torc_hedged_denied",
            "Hedges that the budget did not allow",
            hedging.denied,
        ),
        (
            "torc_hedged_called",
            "Slow homes asked because others failed or a second had passed",
            hedging.called,
        ),
    ] {
        exposition.counter(name, help, value);
    }
    for (name, help, value) in [
        ("torc_admission_running", "Client requests that run", admission.running),
        (
            "torc_admission_running_max",
            "Client requests that may run at a time",
            admission.limits.running_max,
        ),
        (
            "torc_admission_forwarded",
            "Commands of other nodes that run",
            admission.forwarded,
        ),
        (
            "torc_admission_waiting",
            "Client requests that wait their turn",
            admission.waiting,
        ),
    ] {
        exposition.gauge(name, help, value as f64);
    }
    exposition.gauge(
        "torc_admission_oldest_seconds",
        "How long the first of them has waited",
        admission.oldest_ms as f64 / 1e3,
    );
    exposition.gauge(
        "torc_background_yielding",
        "1 while background work goes at an eighth of its bound because clients wait",
        f64::from(u8::from(admission.is_pressed)),
    );
    let of = |value: fn(&CircuitView) -> f64| {
        let labelled = |(peer, view)| (vec![("peer", name(&shell.ring, peer))], value(&view));
        node.circuits().map(labelled).collect::<Vec<_>>()
    };
    exposition.gauges(
        "torc_circuit_open",
        "1 while reads avoid the peer because it answers none",
        of(|view| f64::from(u8::from(view.state != CircuitState::Closed))),
    );
    exposition.gauges(
        "torc_circuit_says_slow",
        "1 while the peer says that its syncs are slow",
        of(|view| f64::from(u8::from(view.says_slow))),
    );
    exposition.gauges(
        "torc_circuit_reads_in_flight",
        "Reads that the peer has not answered",
        of(|view| view.in_flight as f64),
    );
    exposition.gauges(
        "torc_circuit_reads_max",
        "Reads that may be in flight to the peer",
        of(|view| view.limit as f64),
    );
    exposition.gauges(
        "torc_circuit_read_p95_seconds",
        "Nineteen of twenty reads are answered sooner",
        of(|view| view.p95_us as f64 / 1e6),
    );
    let counts = |value: fn(&CircuitView) -> u64| {
        let labelled = |(peer, view)| (vec![("peer", name(&shell.ring, peer))], value(&view));
        node.circuits().map(labelled).collect::<Vec<_>>()
    };
    exposition.counters(
        "torc_circuit_opened",
        "How often reads began to avoid the peer",
        counts(|view| view.opened),
    );
    exposition.counters(
        "torc_circuit_avoided_reads",
        "Reads for which the peer was to be avoided",
        counts(|view| view.avoided),
    );
}

fn peers(shell: &Shell, exposition: &mut Exposition) {
    let engine = shell.engine.borrow();
    let mut up = Vec::new();
    let mut queued = Vec::new();
    let (mut connections, mut messages, mut bytes, mut unsent, mut overflows) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (peer, is_up, stats, queued_bytes) in engine.links.stats() {
        let labels: Labels = vec![("peer", name(&shell.ring, peer))];
        up.push((labels.clone(), f64::from(u8::from(is_up))));
        queued.push((labels.clone(), queued_bytes as f64));
        connections.push((labels.clone(), stats.connections));
        messages.push((labels.clone(), stats.messages));
        bytes.push((labels.clone(), stats.bytes));
        unsent.push((labels.clone(), stats.unsent));
        overflows.push((labels, stats.overflows));
    }
    let node = engine.node();
    let members = Liveness::ALL.into_iter().map(|state| {
        let count = shell
            .ring
            .members()
            .iter()
            .filter(|member| node.liveness(member.id) == state);
        (vec![("state", state.name().to_owned())], count.count() as f64)
    });
    exposition.gauges(
        "torc_gossip_members",
        "Members by what this node believes of them, itself included",
        members.collect(),
    );
    exposition.gauge(
        "torc_gossip_patience",
        "1 if this node trusts its suspicions; more after it stood still or reached nobody",
        node.patience(),
    );
    exposition.counter(
        "torc_gossip_messages",
        "Messages of gossip that came",
        node.stats().gossip_messages,
    );
    exposition.gauges("torc_peer_up", "1 if there is a connection to the peer", up);
    exposition.gauges("torc_peer_queue_bytes", "Unsent messages to the peer", queued);
    exposition.counters("torc_peer_connections", "Connections made to the peer", connections);
    exposition.counters("torc_peer_messages", "Messages queued for the peer", messages);
    exposition.counters("torc_peer_bytes", "Bytes queued for the peer", bytes);
    exposition.counters("torc_peer_unsent_messages", "Messages that found no connection", unsent);
    exposition.counters(
        "torc_peer_overflows",
        "Connections given up because the peer took too little",
        overflows,
    );
}

fn clients(shell: &Shell, exposition: &mut Exposition) {
    let (accepted, refused) = shell.clients.counts();
    exposition.gauge(
        "torc_client_connections",
        "Open client connections",
        shell.clients.open() as f64,
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
        shell.started.elapsed().as_secs_f64(),
    );
    exposition.gauge(
        "torc_resident_memory_bytes",
        "Resident memory of this process",
        super::facts::resident_bytes() as f64,
    );
    exposition.gauge(
        "torc_cpu_seconds",
        "CPU time of this process, user and system",
        super::facts::cpu_seconds(),
    );
    let labels = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
    exposition.gauges("torc_build_info", "The version that runs", vec![(labels, 1.0)]);
}

fn store(stats: &StoreStats, exposition: &mut Exposition) {
    for (name, help, value) in [
        ("torc_store_commits", "Commits answered as done", stats.commits),
        ("torc_store_records_written", "Records written", stats.records_written),
        (
            "torc_store_coalesced_writes",
            "Writes that a later one of the same batch made unnecessary",
            stats.coalesced,
        ),
        ("torc_store_batches", "Batches that carried the commits", stats.batches),
        (
            "torc_store_syncs",
            "Batches and intervals that were synced",
            stats.syncs,
        ),
        (
            "torc_store_stalls",
            "Times the committer waited for flushes or compactions",
            stats.stalls,
        ),
        ("torc_store_slow_batches", "Batches over 50 ms", stats.slow_batches),
        (
            "torc_store_damaged_records",
            "Records that failed their checksum",
            stats.damaged_records,
        ),
        (
            "torc_store_cache_hits",
            "Reads answered by the record cache",
            stats.cache_hits,
        ),
        (
            "torc_store_cache_misses",
            "Reads that went to the engine",
            stats.cache_misses,
        ),
        (
            "torc_store_memtables_rotated",
            "Memtables written to tables",
            stats.memtables_rotated,
        ),
        ("torc_store_compactions", "Compactions completed", stats.compactions),
    ] {
        exposition.counter(name, help, value);
    }
    for (name, help, value) in [
        (
            "torc_store_disk_bytes",
            "Tables, blobs and journals on disk",
            stats.disk_bytes as f64,
        ),
        (
            "torc_store_journal_bytes",
            "Journals among them",
            stats.journal_bytes as f64,
        ),
        (
            "torc_store_free_bytes",
            "Free space of the file system",
            stats.free_bytes as f64,
        ),
        (
            "torc_store_cache_bytes",
            "Weight of the record cache",
            stats.cache_bytes as f64,
        ),
        (
            "torc_store_cache_entries",
            "Records in the cache, absent ones included",
            stats.cache_entries as f64,
        ),
        (
            "torc_store_memory_bytes",
            "Weight of the records of memory buckets",
            stats.memory_bytes as f64,
        ),
        (
            "torc_store_memtable_bytes",
            "The engine's memtables",
            stats.memtable_bytes as f64,
        ),
        (
            "torc_store_queue_depth",
            "Entries that wait for the committer",
            stats.queue_depth as f64,
        ),
        (
            "torc_store_stalled_seconds",
            "How long the committer has waited in all",
            stats.stalled_us as f64 / 1e6,
        ),
        (
            "torc_store_out_of_service",
            "1 once a write or sync has failed",
            f64::from(u8::from(stats.out_of_service)),
        ),
    ] {
        exposition.gauge(name, help, value);
    }
    let times = &stats.sync_times;
    let bounds = SYNC_BUCKET_BOUNDS_US
        .iter()
        .map(|&us| us as f64 / 1e6)
        .chain([f64::INFINITY]);
    let histogram = Histogram {
        buckets: bounds.zip(times.buckets).collect(),
        sum: times.sum_us as f64 / 1e6,
    };
    exposition.histograms(
        "torc_store_sync_duration_seconds",
        "Batches written, synced and applied",
        vec![(Labels::new(), histogram)],
    );
}
