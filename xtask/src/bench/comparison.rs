//! Alternating runs of one case against both servers, and the medians of what they measured.

use serde::Serialize;

use super::case::Case;
use super::load::{Generator, Measurement};
use super::server::Server;

/// One case on both sides.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// The case.
    pub case: Case,
    /// Redis.
    pub redis: Side,
    /// Torc.
    pub torc: Side,
    /// Torc's median throughput over Redis's: above 1 is better.
    pub throughput_ratio: f64,
    /// Torc's median server CPU of an operation over Redis's: below 1 is better.
    pub cpu_ratio: f64,
}

/// One case on three nodes.
#[derive(Debug, Serialize)]
pub struct Cluster {
    /// The case.
    pub case: Case,
    /// The nodes.
    pub torc: Side,
}

/// All runs of one side.
#[derive(Debug, Serialize)]
pub struct Side {
    /// The median of each number by itself.
    pub median: Measurement,
    /// (Highest − lowest) throughput over the median: how far the runs can be trusted.
    pub spread: f64,
    /// Each run.
    pub runs: Vec<Measurement>,
}

impl Side {
    fn of(runs: Vec<Measurement>) -> Side {
        let by = |pick: fn(&Measurement) -> f64| median(runs.iter().map(pick).collect());
        let median = Measurement {
            operations_per_second: by(|run| run.operations_per_second),
            server_cpu_us: by(|run| run.server_cpu_us),
            client_cpu_us: by(|run| run.client_cpu_us),
            p50_us: by(|run| run.p50_us),
            p99_us: by(|run| run.p99_us),
            p99_9_us: by(|run| run.p99_9_us),
            peak_memory_bytes: runs.iter().map(|run| run.peak_memory_bytes).max().unwrap_or(0),
        };
        let highest = runs
            .iter()
            .map(|run| run.operations_per_second)
            .fold(f64::MIN, f64::max);
        let lowest = runs
            .iter()
            .map(|run| run.operations_per_second)
            .fold(f64::MAX, f64::min);
        Side {
            spread: (highest - lowest) / median.operations_per_second,
            median,
            runs,
        }
    }
}

/// Runs a case `pairs` times on each side, in turn.
pub fn run(
    generator: &Generator,
    case: &Case,
    pairs: usize,
    redis: &Server,
    torc: &Server,
) -> anyhow::Result<Comparison> {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for _ in 0..pairs {
        first.push(generator.measure(redis, case)?);
        second.push(generator.measure(torc, case)?);
    }
    let (redis, torc) = (Side::of(first), Side::of(second));
    let throughput_ratio = torc.median.operations_per_second / redis.median.operations_per_second;
    let cpu_ratio = torc.median.server_cpu_us / redis.median.server_cpu_us;
    println!(
        "{}: {:.0} against {:.0} operations/s, ratio {throughput_ratio:.2}; CPU ratio {cpu_ratio:.2}",
        case.name(),
        torc.median.operations_per_second,
        redis.median.operations_per_second,
    );
    Ok(Comparison {
        case: *case,
        redis,
        torc,
        throughput_ratio,
        cpu_ratio,
    })
}

/// Runs a case as often on three nodes alone.
pub fn run_cluster(generator: &Generator, case: &Case, runs: usize, server: &Server) -> anyhow::Result<Cluster> {
    let runs = (0..runs)
        .map(|_| generator.measure(server, case))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let torc = Side::of(runs);
    println!(
        "three nodes, {}: {:.0} operations/s",
        case.name(),
        torc.median.operations_per_second
    );
    Ok(Cluster { case: *case, torc })
}

/// The middle one, or the mean of the middle two; there is at least one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        (values[middle - 1] + values[middle]) / 2.0
    }
}

#[cfg(test)]
pub mod tests {
    use super::super::load::Measurement;
    use super::{Side, median};

    /// A measurement of a throughput, its other numbers derived from it.
    pub fn measurement(operations_per_second: f64) -> Measurement {
        Measurement {
            operations_per_second,
            server_cpu_us: 1e6 / operations_per_second,
            client_cpu_us: 0.5e6 / operations_per_second,
            p50_us: 100.0,
            p99_us: 200.0,
            p99_9_us: 300.0,
            peak_memory_bytes: 1 << 20,
        }
    }

    #[test]
    fn the_median_ignores_one_bad_run() {
        assert_eq!(median(vec![5.0, 1.0, 900.0]), 5.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        let side = Side::of([100.0, 110.0, 10.0].into_iter().map(measurement).collect());
        assert_eq!(side.median.operations_per_second, 100.0);
        assert_eq!(side.spread, 1.0);
        assert_eq!(side.runs.len(), 3);
    }
}
