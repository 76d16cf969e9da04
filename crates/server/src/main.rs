//! The `torc` program.

mod bench;
mod cli;
mod config;
mod dev;
mod logging;
mod serve;
mod shell;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Torc, a distributed key-value store
#[derive(Debug, Parser)]
#[command(name = "torc", version, subcommand_required = true, arg_required_else_help = true)]
struct Torc {
    #[command(flatten)]
    common: cli::Common,
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    Dev(dev::DevArgs),
    Serve(serve::ServeArgs),
    Bench(bench::BenchArgs),
    #[command(flatten)]
    Client(cli::Command),
}

fn main() -> ExitCode {
    let Torc { common, task } = Torc::parse();
    let result = match task {
        Task::Dev(args) => dev::run(&args),
        Task::Serve(args) => serve::run(&args, common.json),
        Task::Bench(args) => bench::run(args, &common.addr),
        Task::Client(command) => cli::run(command, &common),
    };
    result.unwrap_or_else(|error| {
        let message = format!("{error:#}");
        if common.json {
            let error = serde_json::json!({"error": "failed", "message": message, "outcome": "not_applied"});
            eprintln!("{error}");
        } else {
            eprintln!("torc: {message}");
        }
        ExitCode::FAILURE
    })
}
