//! What is measured of gossip: how long until all know of a death, how often the living are called dead at a fifth of all
//! messages lost, and the bytes that it takes.

use torc_core::liveness::Liveness;

use crate::gossip::{Village, Weather};

const SECOND_US: u64 = 1_000_000;
/// How long a village lives before it is looked at: the detector knows the intervals by then.
const SETTLE_US: u64 = 90 * SECOND_US;

/// How a death became known.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// Nodes of the village.
    pub nodes: usize,
    /// From the death until one node suspected it, in seconds.
    pub suspected_s: f64,
    /// From the death until one node called it so, in seconds.
    pub noticed_s: f64,
    /// From there until all did, in periods of a second.
    pub rounds: f64,
}

/// Kills one node of a village and waits until all the others know.
///
/// # Panics
/// If they do not within ten minutes.
#[must_use]
pub fn death(nodes: usize, weather: Weather, seed: u64) -> Spread {
    let mut village = Village::new(nodes, weather, seed);
    village.go_on_for(SETTLE_US + seed % SECOND_US);
    village.turns.clear();
    let victim = seed as usize % nodes;
    let died_us = village.now_us;
    village.kill(victim);
    let all_know =
        |village: &Village| (0..nodes).all(|at| at == victim || village.belief(at, victim) == Liveness::Dead);
    for _ in 0..6_000 {
        village.go_on_for(SECOND_US / 10);
        if all_know(&village) {
            let times = |to: Liveness| -> Vec<u64> {
                let turns = village.turns.iter();
                let fitting = turns.filter(|turn| turn.of == victim && turn.to == to);
                fitting.map(|turn| turn.at_us).collect()
            };
            let told = times(Liveness::Dead);
            let suspected_us = times(Liveness::Suspect).into_iter().min().unwrap_or(died_us);
            let first_us = told.iter().copied().min().unwrap_or(died_us);
            let last_us = told.iter().copied().max().unwrap_or(died_us);
            return Spread {
                nodes,
                suspected_s: (suspected_us - died_us) as f64 / 1e6,
                noticed_s: (first_us - died_us) as f64 / 1e6,
                rounds: (last_us - first_us) as f64 / 1e6,
            };
        }
    }
    panic!("after ten minutes not all of {nodes} nodes know of a death");
}

/// How a village without any death fared.
#[derive(Clone, Copy, Debug)]
pub struct Peace {
    /// Nodes.
    pub nodes: usize,
    /// How long it was watched, in seconds.
    pub seconds: u64,
    /// How often a living node was called dead.
    pub false_deaths: usize,
    /// How often one was suspected.
    pub suspicions: usize,
    /// Bytes that each node sent a second.
    pub bytes_a_second: f64,
    /// Messages that each node sent a second.
    pub messages_a_second: f64,
}

/// Watches a village in which nobody dies.
#[must_use]
pub fn peace(nodes: usize, weather: Weather, seconds: u64, seed: u64) -> Peace {
    let mut village = Village::new(nodes, weather, seed);
    village.go_on_for(SETTLE_US);
    let mut false_deaths = count(&village, Liveness::Dead);
    let mut suspicions = 0;
    village.turns.clear();
    let messages = village.messages;
    village.go_on_for(seconds * SECOND_US);
    false_deaths += count(&village, Liveness::Dead);
    suspicions += count(&village, Liveness::Suspect);
    let node_seconds = (nodes as u64 * seconds) as f64;
    let messages_a_second = (village.messages - messages) as f64 / node_seconds;
    Peace {
        nodes,
        seconds,
        false_deaths,
        suspicions,
        bytes_a_second: messages_a_second * village.bytes_a_message(),
        messages_a_second,
    }
}

fn count(village: &Village, to: Liveness) -> usize {
    village
        .turns
        .iter()
        .filter(|turn| turn.to == to && turn.from != to)
        .count()
}
