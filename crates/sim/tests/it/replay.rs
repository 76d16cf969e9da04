//! One seed gives one trace, in one process and in two; another seed gives another.

use std::process::Command;

use torc_sim::run::run;

fn hash_in_another_process(seed: u64) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_torc-sim"))
        .args(["hash", &seed.to_string()])
        .output()
        .expect("the simulator's program starts");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("a number").trim().to_owned()
}

#[test]
fn one_seed_gives_one_trace_in_two_processes() {
    for seed in [1, 7, 23, 42, 99] {
        let first = hash_in_another_process(seed);
        assert_eq!(first, hash_in_another_process(seed), "seed {seed}");
        assert_eq!(
            first,
            format!("{:016x}", run(seed, false).hash),
            "seed {seed}, and in this process"
        );
    }
}

#[test]
fn keeping_words_changes_nothing() {
    for seed in [3, 12] {
        assert_eq!(run(seed, true).hash, run(seed, false).hash, "seed {seed}");
    }
}

#[test]
fn another_seed_gives_another_trace() {
    assert_ne!(run(1, false).hash, run(2, false).hash);
}

/// It had long ended in a panic that nobody saw, since trees were counted.
#[test]
fn the_rate_of_steps_can_be_measured() {
    let rate = torc_sim::rate::measure(100_000, 1);
    assert!(rate.steps >= 100_000 && rate.requests > 1_000, "{rate:?}");
}
