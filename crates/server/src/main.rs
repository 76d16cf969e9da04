//! The `torc` program.

mod bench;
mod config;
mod logging;
mod serve;
mod shell;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Torc, a distributed key-value store
#[derive(Debug, Parser)]
#[command(name = "torc", version)]
enum Cli {
    Serve(serve::ServeArgs),
    Bench(bench::BenchArgs),
}

fn main() -> ExitCode {
    let result = match Cli::parse() {
        Cli::Serve(args) => serve::run(&args),
        Cli::Bench(args) => bench::run(args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("torc: {error:#}");
        ExitCode::FAILURE
    })
}
