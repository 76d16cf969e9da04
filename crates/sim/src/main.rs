//! The simulator's program: `sweep`, `repro`, `mutants`, `hash` and `rate`. `cargo xtask` builds and calls it.

use std::process::ExitCode;
use std::time::Instant;

use torc_sim::run::run;
use torc_sim::sweep::sweep;

const USAGE: &str = "usage: torc-sim sweep --seeds N [--from S] | repro SEED | hash SEED | mutants --seeds N [NAME…] | rate | gossip [--nodes N --seconds S]";
/// Failing seeds are named up to this many; more say nothing new.
const FAILURES_MAX: usize = 20;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (words, options) = split(&arguments);
    // A panic of a seed's run is a finding like any other: the report says it once, with its seed.
    let runs_seeds = matches!(words.first(), Some(&("sweep" | "repro" | "hash" | "mutants")));
    if runs_seeds && std::env::var_os("TORC_SIM_PANICS").is_none() {
        std::panic::set_hook(Box::new(|_| {}));
    }
    let number = |name: &str| options.iter().find(|option| option.0 == name).map(|option| option.1);
    let seed = words.get(1).and_then(|word| word.parse().ok());
    match (words.first().copied(), seed, number("--seeds")) {
        (Some("sweep"), _, Some(seeds)) => sweep_command(number("--from").unwrap_or(0), seeds),
        (Some("repro"), Some(seed), _) => repro_command(seed),
        #[cfg(feature = "mutants")]
        (Some("mutants"), _, Some(seeds)) => mutants_command(number("--from").unwrap_or(0), seeds, &words[1..]),
        (Some("hash"), Some(seed), _) => {
            println!("{:016x}", run(seed, false).hash);
            ExitCode::SUCCESS
        }
        (Some("rate"), ..) => rate_command(),
        (Some("gossip"), ..) => gossip_command(number("--nodes"), number("--seconds")),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// Plain words, and options with their numbers.
fn split(arguments: &[String]) -> (Vec<&str>, Vec<(&str, u64)>) {
    let (mut words, mut options) = (Vec::new(), Vec::new());
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if argument.starts_with("--") {
            let value = arguments.next().and_then(|value| value.parse().ok());
            options.extend(value.map(|value| (argument.as_str(), value)));
        } else {
            words.push(argument.as_str());
        }
    }
    (words, options)
}

fn sweep_command(first: u64, seeds: u64) -> ExitCode {
    let started = Instant::now();
    let (mut done, mut steps) = (0_u64, 0_u64);
    let mut failed = Vec::new();
    sweep(first, seeds, |report| {
        done += 1;
        steps += report.steps;
        if let Some(violation) = report.violation {
            println!("seed {}: {violation}", report.seed);
            failed.push(report.seed);
        }
        if done.is_multiple_of(500) {
            println!(
                "{done} of {seeds} seeds, {} failed, {:.0} s",
                failed.len(),
                started.elapsed().as_secs_f64()
            );
        }
        failed.len() < FAILURES_MAX
    });
    failed.sort_unstable();
    let seconds = started.elapsed().as_secs_f64();
    println!("{done} seeds, {steps} steps in {seconds:.1} s; failed: {failed:?}");
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        println!("to see one again: cargo xtask repro {}", failed[0]);
        ExitCode::FAILURE
    }
}

/// Steps per second of CPU time; the best of several rounds, since other processes only ever take time away.
fn rate_command() -> ExitCode {
    const STEPS: u64 = 2_000_000;
    const ROUNDS: u64 = 5;
    let mut best = 0.0_f64;
    for round in 0..ROUNDS {
        let before = cpu_seconds();
        let rate = torc_sim::rate::measure(STEPS, round);
        let seconds = cpu_seconds() - before;
        let steps = rate.steps as f64 / seconds;
        println!(
            "{steps:.0} steps and {:.0} requests per CPU-second",
            rate.requests as f64 / seconds
        );
        best = best.max(steps);
    }
    println!("best of {ROUNDS}: {best:.0} steps per CPU-second, three nodes");
    ExitCode::SUCCESS
}

/// How gossip fares at each size, or at one: a death, and a while of a fifth of all messages lost.
fn gossip_command(nodes: Option<u64>, seconds: Option<u64>) -> ExitCode {
    use torc_sim::gossip::Weather;
    use torc_sim::measurements::{death, peace};
    const DEATHS: u64 = 5;
    const DAY_S: u64 = 86_400;
    let sizes = match nodes {
        Some(nodes) => vec![(nodes as usize, seconds.unwrap_or(600))],
        None => vec![(3, DAY_S), (10, DAY_S), (100, 600), (1_000, 600)],
    };
    let mut false_deaths = 0;
    for (nodes, seconds) in sizes {
        let started = Instant::now();
        let peace = peace(nodes, Weather::FOUL, seconds, 1);
        println!(
            "{nodes:>5} nodes, loss 20 %, {seconds} s: {} false deaths, {} suspicions, {:.0} bytes and {:.1} messages per \
             node and second ({:.1} s to simulate)",
            peace.false_deaths,
            peace.suspicions,
            peace.bytes_a_second,
            peace.messages_a_second,
            started.elapsed().as_secs_f64()
        );
        for (name, weather) in [("none", Weather::FAIR), ("20 %", Weather::FOUL)] {
            let deaths = if nodes < 1_000 { DEATHS } else { 2 };
            let spreads: Vec<_> = (1..=deaths).map(|seed| death(nodes, weather, seed * 7_919)).collect();
            let suspected = spreads.iter().map(|spread| spread.suspected_s).sum::<f64>() / deaths as f64;
            let noticed = spreads.iter().map(|spread| spread.noticed_s).sum::<f64>() / deaths as f64;
            let rounds = spreads.iter().map(|spread| spread.rounds).sum::<f64>() / deaths as f64;
            println!(
                "{nodes:>5} nodes, loss {name}: suspected after {suspected:.1} s, dead after {noticed:.1} s, all know {rounds:.1} \
                 periods later"
            );
        }
        false_deaths += peace.false_deaths;
    }
    if false_deaths == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// CPU time that this process has used, in seconds, as Linux counts it; wall-clock time elsewhere.
fn cpu_seconds() -> f64 {
    let schedstat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanoseconds: Option<f64> = schedstat.split(' ').next().and_then(|word| word.parse().ok());
    nanoseconds.map_or_else(
        || {
            std::time::SystemTime::UNIX_EPOCH
                .elapsed()
                .map_or(0.0, |since| since.as_secs_f64())
        },
        |nanoseconds| nanoseconds / 1e9,
    )
}

/// Prints who caught which planted bug; fails if one was not caught.
#[cfg(feature = "mutants")]
fn mutants_command(first: u64, seeds: u64, names: &[&str]) -> ExitCode {
    let started = Instant::now();
    let hunts = torc_sim::mutants::hunt(first, seeds, names);
    println!("{:<26} {:>6}  checker", "planted bug", "seed");
    for hunt in &hunts {
        let name = format!("{:?}", hunt.mutant);
        match hunt.caught {
            Some((seed, checker)) => println!("{name:<26} {seed:>6}  {checker}"),
            None => println!("{name:<26}      –  NOT CAUGHT within {seeds} seeds"),
        }
    }
    let caught = hunts.iter().filter(|hunt| hunt.caught.is_some()).count();
    println!(
        "{caught} of {} planted bugs caught in {:.1} s",
        hunts.len(),
        started.elapsed().as_secs_f64()
    );
    if caught == hunts.len() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn repro_command(seed: u64) -> ExitCode {
    let report = run(seed, true);
    println!("{:#?}", torc_sim::scenario::Scenario::draw(seed));
    println!("\nwhat befell them:");
    for event in &report.befell {
        println!("{event}");
    }
    for (host, steps) in report.last_steps.iter().enumerate() {
        println!("\nthe last steps of host {host}:");
        for step in steps {
            println!("{step}");
        }
    }
    for story in &report.stories {
        println!("\n{story}");
    }
    println!("\nseed {seed}: {} steps, hash {:016x}", report.steps, report.hash);
    match report.violation {
        None => {
            println!("nothing is broken");
            ExitCode::SUCCESS
        }
        Some(violation) => {
            println!("{violation}");
            ExitCode::FAILURE
        }
    }
}
