//! What keeps contexts short happens in the runs: checkers that have nothing to judge prove nothing.

use torc_sim::run::run;

fn how_often(words: &str, seed: u64) -> usize {
    let report = run(seed, true);
    assert_eq!(report.violation, None, "cargo xtask repro {seed}");
    report.befell.iter().filter(|line| line.contains(words)).count()
}

#[test]
fn some_runs_prune_contexts() {
    assert!((10..23).map(|seed| how_often(": prunes ", seed)).sum::<usize>() > 100);
}

#[test]
fn some_runs_fold_contexts() {
    assert!(
        [34, 37, 70, 86]
            .map(|seed| how_often(": folds ", seed))
            .iter()
            .sum::<usize>()
            > 10
    );
}
