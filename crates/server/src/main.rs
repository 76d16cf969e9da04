//! The `torc` program.

mod bench;

use std::process::ExitCode;

use clap::Parser;

/// Torc, a distributed key-value store
#[derive(Debug, Parser)]
#[command(name = "torc", version)]
enum Cli {
    Bench(bench::BenchArgs),
}

fn main() -> ExitCode {
    let result = match Cli::parse() {
        Cli::Bench(args) => bench::run(args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("torc: {error:#}");
        ExitCode::FAILURE
    })
}
