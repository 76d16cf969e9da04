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

fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse() {
        Cli::Bench(args) => bench::run(args),
    }
}
