//! What must hold of gossip whatever befalls a few nodes: small plays, each with the rule that it shows. Planted bugs in
//! gossip are hunted with them.

use torc_core::liveness::Liveness;

use crate::chance::Chance;
use crate::checkers::Violation;
use crate::gossip::{Village, Weather};

const SECOND_US: u64 = 1_000_000;
const SETTLE_US: u64 = 60 * SECOND_US;
/// By then everybody believes the same again.
const HEALED_US: u64 = 30 * SECOND_US;

/// Plays everything once.
///
/// # Errors
/// The first rule that was broken.
pub fn check(seed: u64) -> Result<(), Violation> {
    a_deaf_node_calls_nobody_dead_by_itself(seed)?;
    a_pause_is_not_the_silence_of_the_others(seed)?;
    halves_grow_together(seed)
}

/// What is sent to one node is lost: it suspects all the others, has nobody to ask, and must wait.
fn a_deaf_node_calls_nobody_dead_by_itself(seed: u64) -> Result<(), Violation> {
    let (mut village, mut chance) = settled(seed);
    let deaf = chance.index(village.len());
    for other in (0..village.len()).filter(|&other| other != deaf) {
        village.cut(other, deaf);
    }
    village.go_on_for(10 * SECOND_US);
    if let Some(turn) = village.turns.iter().find(|turn| turn.to == Liveness::Dead) {
        return Violation::new(
            "liveness sources",
            format!("seed {seed}: node {deaf} is deaf, and {turn:?}"),
        );
    }
    Ok(())
}

/// A node that stood still finds everybody silent, and must not hold it against them.
fn a_pause_is_not_the_silence_of_the_others(seed: u64) -> Result<(), Violation> {
    let (mut village, mut chance) = settled(seed);
    let paused = chance.index(village.len());
    let pause_us = chance.between(2, 60) * SECOND_US;
    village.pause(paused, pause_us);
    village.go_on_for(pause_us + HEALED_US);
    let blames = |turn: &&crate::gossip::Turn| turn.at == paused && turn.to != Liveness::Alive;
    if let Some(turn) = village.turns.iter().find(blames) {
        return Violation::new(
            "liveness pause",
            format!("seed {seed}: node {paused} stood still, and {turn:?}"),
        );
    }
    all_alive(&village, "liveness pause", seed)
}

/// Two halves that could not hear one another call one another dead, and must not for longer than that.
fn halves_grow_together(seed: u64) -> Result<(), Violation> {
    let (mut village, mut chance) = settled(seed);
    let nodes = village.len();
    let cut_at = chance.between(2, nodes as u64 - 2) as usize;
    let ways = (0..nodes).flat_map(|a| (0..nodes).map(move |b| (a, b)));
    let ways: Vec<(usize, usize)> = ways.filter(|&(a, b)| (a < cut_at) != (b < cut_at)).collect();
    ways.iter().for_each(|&(a, b)| village.cut(a, b));
    village.go_on_for(40 * SECOND_US);
    ways.iter().for_each(|&(a, b)| village.mend(a, b));
    village.go_on_for(HEALED_US);
    all_alive(&village, "liveness heals", seed)
}

fn settled(seed: u64) -> (Village, Chance) {
    let mut chance = Chance::new(seed, 9);
    let nodes = chance.between(5, 12) as usize;
    let weather = Weather {
        loss_per_mille: chance.below(100),
        ..Weather::FAIR
    };
    let mut village = Village::new(nodes, weather, seed);
    village.go_on_for(SETTLE_US);
    village.turns.clear();
    (village, chance)
}

fn all_alive(village: &Village, property: &'static str, seed: u64) -> Result<(), Violation> {
    for at in 0..village.len() {
        for of in 0..village.len() {
            if village.belief(at, of) != Liveness::Alive {
                let belief = village.belief(at, of);
                return Violation::new(
                    property,
                    format!("seed {seed}: at the end node {at} believes that {of} is {belief:?}"),
                );
            }
        }
    }
    Ok(())
}
