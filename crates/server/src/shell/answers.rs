//! What a node answers by itself: the documents about the cluster and this node, readiness, metrics, faults.

use std::collections::BTreeMap;

use http::Method;
use torc_core::background::Work;
use torc_core::circuit::CircuitState;
use torc_core::limits::{CONTEXT_ENTRIES_MAX, HINTS_BYTES_MAX, OPERATIONS_MAX};
use torc_core::liveness::Liveness as CoreLiveness;
use torc_core::reaping::Block;
use torc_core::time::Wall;
use torc_frontends::http::{
    ActorView, AntiEntropyView, BlockView, BucketView, BucketsView, CacheView, ClockView, ClusterView, HintsForView,
    HintsView, HotKey, HttpReply, Liveness, NodeRequest, NodeRow, PaceView, PeerQueue, Problem, QueuesView,
    ReapingView, RingView, ScrubView, StatusView, StoreView, TransferView, inspect_context, percent_encode_into,
    rfc3339,
};

use torc_store::Budget;

use super::engine::Engine;
use super::exposition::TEXT_TYPE;

use super::notices::name;
use super::{Shell, faults, metrics};

/// The answer to a request that needs no other node.
pub fn answer(shell: &Shell, request: NodeRequest, method: &Method) -> HttpReply {
    let reply = match request {
        NodeRequest::Buckets => HttpReply::document(&BucketsView::of(&shell.common.catalog, &shell.common.ring)),
        NodeRequest::Bucket(bucket) => HttpReply::document(&BucketView::of(&bucket, &shell.common.ring)),
        NodeRequest::Cluster => HttpReply::document(&cluster(shell)),
        NodeRequest::Ring { bucket, key } => HttpReply::document(&RingView::of(&bucket, &key, &shell.common.ring)),
        NodeRequest::Status => HttpReply::document(&status(shell)),
        NodeRequest::Healthz => HttpReply::healthy(),
        NodeRequest::Readyz => HttpReply::readiness(readiness(shell)),
        NodeRequest::Metrics => HttpReply::text(TEXT_TYPE, metrics::text(shell)),
        NodeRequest::ShowPace(work) => pace(shell, work),
        NodeRequest::SetPace(work, change) => {
            shell.engine.borrow_mut().control(work, change);
            tracing::info!(work = work.name(), ?change, "an operator changes background work");
            pace(shell, work)
        }
        NodeRequest::InspectContext(context) => inspect_context(&context, &*shell.common.ring),
        NodeRequest::ShowFaults | NodeRequest::SetFaults(_) if !shell.common.config.allow_faults => {
            Problem::no_such_path().reply()
        }
        NodeRequest::ShowFaults => HttpReply::document(&*shell.faults.borrow()),
        NodeRequest::SetFaults(set) => match set.and_then(|set| faults::set(shell, set)) {
            Ok(()) => HttpReply::document(&*shell.faults.borrow()),
            Err(problem) => problem.reply(),
        },
    };
    reply.for_method(method)
}

fn pace(shell: &Shell, work: Work) -> HttpReply {
    let engine = shell.engine.borrow();
    let node = engine.node();
    HttpReply::document(&PaceView::of(node.background().pace(work), node.is_run_going(work)))
}

fn scrub(engine: &Engine) -> ScrubView {
    let node = engine.node();
    let progress = node.scrub();
    ScrubView {
        running: progress.is_running,
        run_going: node.is_run_going(Work::Scrub),
        share_done: f64::from(progress.done_per_mille) / 1_000.0,
        began_at: progress.begun.map(rfc3339),
        ended_at: progress.ended.map(rfc3339),
        records: progress.records,
        bytes: progress.bytes,
        damaged: progress.damaged,
        damaged_now: node.damaged_records() as u64,
        mended: node.stats().mended_records,
    }
}

fn hints(shell: &Shell, engine: &Engine) -> HintsView {
    let hints = engine.node().hints();
    let homes = hints.homes().map(|of_home| HintsForView {
        home: name(&shell.common.ring, of_home.home),
        records: of_home.records,
        oldest_at: rfc3339(of_home.oldest),
    });
    HintsView {
        run_going: engine.node().is_run_going(Work::Hints),
        pending: hints.pending(),
        bytes: hints.bytes(),
        bytes_max: HINTS_BYTES_MAX as u64,
        delivered: hints.delivered(),
        homes: homes.collect(),
    }
}

fn anti_entropy(engine: &Engine) -> AntiEntropyView {
    let node = engine.node();
    let (progress, stats) = (node.entropy(), node.stats());
    AntiEntropyView {
        running: progress.is_comparing,
        run_going: node.is_run_going(Work::AntiEntropy),
        exchanges: stats.entropy_exchanges,
        keys_repaired: stats.entropy_keys_repaired,
        bytes: stats.entropy_bytes,
        trees: progress.trees as u64,
        trees_counted: progress.trees_counted as u64,
    }
}

fn reaping(shell: &Shell, engine: &Engine) -> ReapingView {
    let node = engine.node();
    let (progress, stats) = (node.reaping(), node.stats());
    let now = engine.now();
    let blocks = progress.blocks.into_iter().map(|(peer, block, since)| BlockView {
        node: name(&shell.common.ring, peer),
        reason: match block {
            Block::Away => "away",
            Block::KeepsHints => "hints",
        },
        since: rfc3339(Wall(
            now.wall.0.saturating_sub(now.time.0.saturating_sub(since.0) / 1_000),
        )),
    });
    ReapingView {
        run_going: node.is_run_going(Work::Reaping),
        waiting: progress.records as u64,
        reaped: stats.reaped_records,
        quarantined: stats.quarantined_records,
        walks: progress.walks,
        blocked_by: blocks.collect(),
    }
}

fn hot_keys(shell: &Shell, engine: &Engine) -> Vec<HotKey> {
    let name = |bucket| {
        shell
            .common
            .catalog
            .bucket(bucket)
            .map(|bucket| bucket.name.to_string())
    };
    let busiest = engine.hot_keys.busiest(engine.now().time);
    let rows = busiest.into_iter().filter_map(|hot| {
        Some(HotKey {
            bucket: name(hot.bucket)?,
            key: {
                let mut key = String::new();
                percent_encode_into(&hot.key, &mut key);
                key
            },
            requests: hot.requests,
        })
    });
    rows.collect()
}

/// Whether this node can be relied on; what it waits for if not.
fn readiness(shell: &Shell) -> Result<(), String> {
    if shell.common.is_draining() {
        return Err("the node is stopping".into());
    }
    shell.engine.borrow().node().readiness()
}

fn cluster(shell: &Shell) -> ClusterView {
    let engine = shell.engine.borrow();
    let rows = shell.common.config.all_members().into_iter().map(|member| {
        let id = torc_core::id::NodeId::of_name(&member.name);
        let is_self = id == shell.common.id;
        let copies = shell.common.catalog.iter().map(|bucket| bucket.n).max().unwrap_or(1);
        NodeRow {
            id,
            name: member.name,
            host: member.host,
            base_port: member.base_port,
            dc: member.dc,
            rack: member.rack,
            capacity: member.capacity,
            liveness: match engine.node().liveness(id) {
                CoreLiveness::Alive => Liveness::Alive,
                CoreLiveness::Suspect => Liveness::Suspect,
                CoreLiveness::Dead => Liveness::Dead,
            },
            virtual_nodes: shell.common.ring.partitions_of(id, copies).count() as u32,
            bytes: if is_self {
                Some(engine.store().stats().disk_bytes)
            } else {
                engine.node().load_of(id).map(|load| load.store_bytes)
            },
        }
    });
    ClusterView {
        cluster: shell.common.config.cluster.clone(),
        ring_epoch: shell.common.ring.epoch().number,
        partitions: shell.common.ring.partitions(),
        nodes: rows.collect(),
    }
}

fn status(shell: &Shell) -> StatusView {
    let engine = shell.engine.borrow();
    let node = engine.node();
    let store = engine.store().stats();
    let health = engine.health();
    let skew_ms = node.clock_skew_ms();
    let transfers = node.rebuilding().into_iter().map(|(bucket, share_done)| TransferView {
        eta_seconds: node.rebuild_eta_ms(bucket).map(|ms| ms.div_ceil(1_000)),
        kind: "rebuild",
        bucket: shell
            .common
            .catalog
            .bucket(bucket)
            .map_or_else(String::new, |bucket| bucket.name.to_string()),
        share_done,
    });
    let circuits: BTreeMap<_, _> = node.circuits().collect();
    let peers = engine.links.stats().map(|(peer, up, _, bytes)| PeerQueue {
        node: name(&shell.common.ring, peer),
        up,
        bytes: bytes as u64,
        circuit: circuits.get(&peer).map_or("closed", |circuit| circuit.state.name()),
        read_p95_us: circuits.get(&peer).map_or(0, |circuit| circuit.p95_us),
        reads_max: circuits.get(&peer).map_or(0, |circuit| circuit.limit as u64),
        says_slow: circuits.get(&peer).is_some_and(|circuit| circuit.says_slow),
    });
    let admission = node.admission();
    StatusView {
        name: shell.common.config.name.clone(),
        hints: hints(shell, &engine),
        dirty_ranges: engine.node().entropy().dirty_ranges as u64,
        anti_entropy: anti_entropy(&engine),
        scrub: scrub(&engine),
        reaping: reaping(shell, &engine),
        hot_keys: hot_keys(shell, &engine),
        transfers: transfers.collect(),
        queues: QueuesView {
            operations: node.operations_in_flight() as u64,
            operations_max: OPERATIONS_MAX as u64,
            running: admission.running as u64,
            running_max: admission.limits.running_max as u64,
            waiting: admission.waiting as u64,
            waiting_ms: admission.oldest_ms,
            shed: admission.stats.shed.iter().sum(),
            commits: store.queue_depth,
            connections: shell.common.clients.open() as u64,
            peers: peers.collect(),
        },
        store: StoreView {
            bytes: store.disk_bytes,
            free_bytes: Some(store.free_bytes),
            full: health.full,
            slow: health.slow,
            commits: store.commits,
            syncs: store.syncs,
            cache: CacheView {
                bytes: store.cache_bytes,
                bytes_max: Budget::split(shell.common.config.memory_max.0).record_cache,
                hits: store.cache_hits,
                misses: store.cache_misses,
            },
        },
        actor: ActorView {
            life: format!("{:016x}", node.life().0),
            incarnation: node.incarnation(),
        },
        clock: ClockView {
            skew_ms,
            sound: node.is_clock_sound(),
        },
        warnings: warnings(shell),
    }
}

/// What somebody should look at.
fn warnings(shell: &Shell) -> Vec<String> {
    let engine = shell.engine.borrow();
    let mut warnings = Vec::new();
    if let Err(why) = engine.node().readiness() {
        warnings.push(format!("not ready: {why}"));
    }
    for (peer, is_up, ..) in engine.links.stats() {
        if !is_up {
            warnings.push(format!("no connection to node '{}'", name(&shell.common.ring, peer)));
        }
        match engine.node().liveness(peer) {
            CoreLiveness::Alive => {}
            CoreLiveness::Suspect => warnings.push(format!("node '{}' is suspect", name(&shell.common.ring, peer))),
            CoreLiveness::Dead => warnings.push(format!("node '{}' is dead", name(&shell.common.ring, peer))),
        }
    }
    let health = engine.health();
    if health.full {
        warnings.push("free disk space is under free_space_min: client writes are refused".into());
    }
    if health.slow {
        warnings.push("syncs are slow: other homes sign this node's writes while they can".into());
    }
    if engine.node().admission().waiting > 0 {
        warnings.push("clients wait for their turn, and those that wait too long are turned away: see queues".into());
    }
    for (peer, circuit) in engine.node().circuits() {
        if circuit.says_slow {
            let peer = name(&shell.common.ring, peer);
            warnings.push(format!(
                "node '{peer}' says that its syncs are slow: reads and signing avoid it"
            ));
        } else if circuit.state == CircuitState::Open {
            warnings.push(format!(
                "node '{}' answers no reads: they avoid it while others are enough",
                name(&shell.common.ring, peer)
            ));
        }
    }
    let copies = shell.common.catalog.iter().map(|bucket| bucket.n).max().unwrap_or(1);
    let effective = shell.common.ring.effective_n(copies);
    if effective < copies {
        warnings.push(format!(
            "fewer nodes than copies: buckets ask for {copies} copies of a record, and there is room for {effective}"
        ));
    }
    if !shell.faults.borrow().is_healed() {
        warnings.push("faults are in force: POST {} to /v1/faults to heal".into());
    }
    let damaged = engine.node().damaged_records();
    if damaged > 0 {
        warnings.push(format!(
            "{damaged} records are damaged on this node's disk and not mended yet: they are read from the other homes"
        ));
    }
    if let Some(long) = engine.node().long_context() {
        let mut key = String::new();
        percent_encode_into(&long.key.partition_key(), &mut key);
        let bucket = shell.common.catalog.bucket(long.key.bucket());
        warnings.push(format!(
            "the context of key '{key}' of bucket '{}' had {} entries, more than {CONTEXT_ENTRIES_MAX}: the oldest are dropped, \
             and what they had replaced may come back",
            bucket.map_or("", |bucket| &bucket.name),
            long.entries
        ));
    }
    for work in Work::ALL {
        if engine.node().background().pace(work).paused {
            warnings.push(format!("{0} is paused: torc admin {0} --resume", work.name()));
        }
    }
    warnings
}
