//! Metrics of queues, of who is turned away, and of how each peer answers.

use torc_core::admission::ShedReason;
use torc_core::circuit::{CircuitState, CircuitView};
use torc_core::liveness::Liveness;

use crate::shell::Shell;
use crate::shell::exposition::{Exposition, Labels};
use crate::shell::notices::name;

/// Who waits, who is turned away, and which peers are avoided.
pub(super) fn overload(shell: &Shell, exposition: &mut Exposition) {
    let engine = shell.engine.borrow();
    let node = engine.node();
    let admission = node.admission();
    let reasons = ShedReason::ALL.map(|reason| (reason.name(), admission.stats.shed[reason as usize]));
    let shed = reasons
        .into_iter()
        .chain([("bytes", engine.shed_for_bytes() + shell.common.shed_for_bytes())]);
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
        let labelled = |(peer, view)| (vec![("peer", name(&shell.common.ring, peer))], value(&view));
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
        let labelled = |(peer, view)| (vec![("peer", name(&shell.common.ring, peer))], value(&view));
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

pub(super) fn peers(shell: &Shell, exposition: &mut Exposition) {
    let engine = shell.engine.borrow();
    let mut up = Vec::new();
    let mut queued = Vec::new();
    let (mut connections, mut messages, mut bytes, mut unsent, mut overflows) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut refused, mut postponed) = (Vec::new(), Vec::new());
    for (peer, is_up, stats, queued_bytes) in engine.links.stats() {
        let labels: Labels = vec![("peer", name(&shell.common.ring, peer))];
        up.push((labels.clone(), f64::from(u8::from(is_up))));
        queued.push((labels.clone(), queued_bytes as f64));
        connections.push((labels.clone(), stats.connections));
        messages.push((labels.clone(), stats.messages));
        bytes.push((labels.clone(), stats.bytes));
        unsent.push((labels.clone(), stats.unsent));
        overflows.push((labels.clone(), stats.overflows));
        refused.push((labels.clone(), stats.refused));
        postponed.push((labels, stats.postponed));
    }
    let node = engine.node();
    let members = Liveness::ALL.into_iter().map(|state| {
        let count = shell
            .common
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
    exposition.counters(
        "torc_peer_refused",
        "Messages to the peer that found too long a queue: whoever waits for them is told busy",
        refused,
    );
    exposition.counters(
        "torc_peer_postponed",
        "Reads of the peer that waited until earlier answers had left",
        postponed,
    );
}
