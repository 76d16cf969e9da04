//! Gossip alone: how news spreads, and who is suspected when nobody has died.

use torc_core::liveness::Liveness;
use torc_sim::gossip::{Turn, Village, Weather};
use torc_sim::measurements::{death, peace};
use torc_sim::village_rules;

const SECOND_US: u64 = 1_000_000;

/// Beliefs of one node about another that changed to this.
fn turns(village: &Village, of: usize, to: Liveness) -> Vec<Turn> {
    let fits = |turn: &&Turn| turn.of == of && turn.to == to;
    village.turns.iter().filter(fits).copied().collect()
}

fn settled(nodes: usize, weather: Weather, seed: u64) -> Village {
    let mut village = Village::new(nodes, weather, seed);
    village.go_on_for(120 * SECOND_US);
    assert!(all_alive(&village), "everybody knows everybody");
    village.turns.clear();
    village
}

fn all_alive(village: &Village) -> bool {
    let nodes = village.len();
    (0..nodes).all(|at| (0..nodes).all(|of| village.belief(at, of) == Liveness::Alive))
}

#[test]
fn the_rules_of_liveness_hold_in_every_play() {
    for seed in 0..150 {
        assert_eq!(village_rules::check(seed), Ok(()));
    }
}

#[test]
fn in_a_simulated_day_of_a_fifth_of_all_messages_lost_no_living_node_is_called_dead() {
    for nodes in [3, 10] {
        let peace = peace(nodes, Weather::FOUL, 86_400, 1);
        assert_eq!(peace.false_deaths, 0, "{peace:?}");
    }
}

#[test]
fn in_ten_minutes_of_a_hundred_nodes_no_living_one_is_called_dead() {
    let peace = peace(100, Weather::FOUL, 600, 1);
    assert_eq!(peace.false_deaths, 0, "{peace:?}");
    assert!(peace.bytes_a_second < 8_000.0, "{peace:?}");
}

/// Nobody knows yet at what intervals news of the others comes. With a thousand nodes one was called dead by some that
/// had heard of it a few times in quick succession and then not for a while.
#[test]
fn a_large_cluster_that_starts_calls_nobody_dead() {
    for seed in 1..=3 {
        let mut village = Village::new(300, Weather::FOUL, seed);
        village.go_on_for(60 * SECOND_US);
        let dead: Vec<_> = village.turns.iter().filter(|turn| turn.to == Liveness::Dead).collect();
        assert!(dead.is_empty(), "{dead:?}");
    }
}

#[test]
fn the_rounds_until_all_know_of_a_death_grow_like_the_logarithm_of_the_nodes() {
    for nodes in [3_usize, 10, 30, 100] {
        let rounds = (1..=5)
            .map(|seed| death(nodes, Weather::FOUL, seed * 7_919).rounds)
            .sum::<f64>()
            / 5.0;
        let log = (nodes as f64).log2();
        assert!(rounds <= log + 1.0, "{nodes} nodes: {rounds} rounds, log2 is {log}");
    }
}

#[test]
fn a_death_is_noticed_within_seconds() {
    for (nodes, seconds_max) in [(3, 8.0), (10, 8.0), (100, 15.0)] {
        for seed in 1..=5 {
            let spread = death(nodes, Weather::FAIR, seed * 7_919);
            assert!(spread.noticed_s <= seconds_max, "{spread:?}");
        }
    }
}

#[test]
fn a_node_that_stands_still_is_suspected_and_comes_back_and_suspects_nobody_itself() {
    for pause_s in [1, 3, 8, 15, 60] {
        let mut village = settled(5, Weather::FAIR, pause_s);
        village.pause(2, pause_s * SECOND_US);
        village.go_on_for((pause_s + 20) * SECOND_US);
        assert!(all_alive(&village), "all are alive after a pause of {pause_s} s");
        for other in [0, 1, 3, 4] {
            let suspected = turns(&village, 2, Liveness::Suspect)
                .iter()
                .filter(|turn| turn.at == other && turn.from == Liveness::Alive)
                .count();
            let dead = turns(&village, 2, Liveness::Dead)
                .iter()
                .filter(|turn| turn.at == other)
                .count();
            assert!(
                suspected <= 1 && dead <= 1,
                "nobody wavers over a pause of {pause_s} s: {:?}",
                village.turns
            );
            assert!(pause_s > 3 || suspected + dead == 0, "a short pause is nothing");
            assert!(pause_s < 8 || suspected + dead > 0, "a pause of {pause_s} s is noticed");
            assert!(pause_s < 15 || dead == 1, "one of {pause_s} s is a death until it ends");
        }
        let blamed: Vec<_> = village
            .turns
            .iter()
            .filter(|turn| turn.at == 2 && turn.to != Liveness::Alive)
            .collect();
        assert!(
            blamed.is_empty(),
            "the one that stood still blames the others: {blamed:?}"
        );
    }
}

#[test]
fn a_node_that_one_other_can_not_hear_stays_alive_by_what_the_rest_say() {
    let mut village = settled(5, Weather::FAIR, 4);
    village.cut(1, 0);
    village.go_on_for(120 * SECOND_US);
    assert!(all_alive(&village), "{:?}", village.turns);
    assert!(
        turns(&village, 1, Liveness::Dead).is_empty(),
        "one source is not enough"
    );
}

#[test]
fn of_two_nodes_a_silent_one_is_dead_after_three_suspicion_times_and_alive_when_it_is_heard() {
    let mut village = settled(2, Weather::FAIR, 5);
    village.cut(0, 1);
    village.cut(1, 0);
    village.go_on_for(12 * SECOND_US);
    assert_eq!(
        village.belief(0, 1),
        Liveness::Suspect,
        "there is nobody to ask: {:?}",
        village.turns
    );
    village.go_on_for(20 * SECOND_US);
    assert_eq!(village.belief(0, 1), Liveness::Dead);
    village.mend(0, 1);
    village.mend(1, 0);
    village.go_on_for(10 * SECOND_US);
    assert!(all_alive(&village), "{:?}", village.turns);
}

#[test]
fn a_cluster_that_was_cut_in_two_is_whole_again_soon_after() {
    let mut village = settled(10, Weather::FAIR, 6);
    let ways: Vec<(usize, usize)> = (0..10)
        .flat_map(|a| (0..10).map(move |b| (a, b)))
        .filter(|&(a, b)| (a < 4) != (b < 4))
        .collect();
    ways.iter().for_each(|&(a, b)| village.cut(a, b));
    village.go_on_for(60 * SECOND_US);
    for &(a, b) in &ways {
        assert_eq!(village.belief(a, b), Liveness::Dead, "each half calls the other dead");
    }
    ways.iter().for_each(|&(a, b)| village.mend(a, b));
    village.go_on_for(20 * SECOND_US);
    assert!(all_alive(&village));
}

#[test]
fn a_node_whose_links_come_and_go_does_not_come_and_go_with_them() {
    let mut village = settled(5, Weather::FAIR, 7);
    // Down for eight seconds, up for four, for ten minutes: fifty times.
    for _ in 0..50 {
        for other in [0, 1, 3, 4] {
            village.cut(2, other);
            village.cut(other, 2);
        }
        village.go_on_for(8 * SECOND_US);
        for other in [0, 1, 3, 4] {
            village.mend(2, other);
            village.mend(other, 2);
        }
        village.go_on_for(4 * SECOND_US);
    }
    let returns = turns(&village, 2, Liveness::Alive)
        .iter()
        .filter(|turn| turn.at == 0)
        .count();
    assert!(returns <= 12, "it came back {returns} times of fifty at one node");
    village.go_on_for(60 * SECOND_US);
    assert!(all_alive(&village), "in the end it is back");
}

#[test]
fn a_node_that_starts_again_is_alive_at_once() {
    let mut village = settled(5, Weather::FAIR, 8);
    village.kill(3);
    village.go_on_for(20 * SECOND_US);
    assert!((0..5).all(|at| at == 3 || village.belief(at, 3) == Liveness::Dead));
    village.start(3);
    village.go_on_for(5 * SECOND_US);
    assert!(all_alive(&village), "{:?}", village.turns);
}
