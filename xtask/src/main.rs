//! Project tasks, run as `cargo xtask <task>`.

mod bench;
mod children;
mod ci;
mod client;
mod fuzz;
mod packages;
mod redis_suite;
mod simulator;
mod soak;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

/// No task of this project takes longer than a day.
const SIMULATOR_TIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Torc's project tasks")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Check everything that must hold before a change lands.
    Ci {
        /// Steps to run; all of them if none is named.
        steps: Vec<String>,
    },
    /// Check the rules of this tree that no compiler checks.
    Tidy,
    /// Make the clients ready that process tests use.
    Clients,
    /// Compare one node with Redis at the same durability, and measure three nodes.
    Bench(bench::Options),
    /// Run five nodes under load and every kind of trouble for an hour, and report.
    Soak(soak::Options),
    /// Fuzz every parser that reads bytes from outside.
    Fuzz(fuzz::Options),
    /// Run units of Redis's own test suite against a cluster, and write docs/redis-suite.md.
    RedisSuite(redis_suite::Options),
    /// Run many seeds of the simulator (arguments are the simulator's: `--seeds N`).
    Sweep {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run one seed of the simulator again and print the last steps of each node.
    Repro {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run every planted bug in the simulator until it is caught.
    Mutants {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    let root = project_root();
    let simulate = |job, arguments: &[String]| simulator::run(&root, job, arguments, SIMULATOR_TIME_MAX);
    let result = match Arguments::parse().task {
        Task::Ci { steps } => ci::run(&root, &steps),
        Task::Tidy => tidy::run(&root),
        Task::Clients => ci::prepare_clients(&root).map(|clients| println!("{clients}")),
        Task::Bench(options) => bench::run(&root, &options),
        Task::Fuzz(options) => fuzz::run(&root, &options),
        Task::Soak(options) => soak::run(&root, &options),
        Task::RedisSuite(options) => redis_suite::run(&root, &options),
        Task::Sweep { arguments } => simulate(simulator::Job::Sweep, &arguments),
        Task::Repro { arguments } => simulate(simulator::Job::Repro, &arguments),
        Task::Mutants { arguments } => simulate(simulator::Job::Mutants, &arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The root of the project; tasks work from any folder of it.
fn project_root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().expect("xtask stands in the project's root").to_owned()
}
