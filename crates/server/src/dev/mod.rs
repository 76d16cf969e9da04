//! `torc dev`: a whole local cluster, one process a node, supervised until Ctrl-C.

mod cluster_file;
mod plan;
mod supervisor;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use plan::Plan;
use supervisor::Supervisor;

/// Run a whole local cluster: one process a node, supervised; Ctrl-C stops it all
#[derive(Debug, Args)]
pub struct DevArgs {
    /// How many nodes [default: 3, or as many as --dir holds]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=i64::from(plan::NODES_MAX)))]
    pub nodes: Option<u16>,

    /// Where the nodes keep their data; kept at the end and found again [default: a temporary directory, removed at the end]
    #[arg(long)]
    pub dir: Option<PathBuf>,

    /// Node i gets the base port P + 10·i
    #[arg(long, value_name = "P", default_value_t = 7000)]
    pub base_port: u16,

    /// Keep nothing on disk: the buckets `default` and `redis` live in memory
    #[arg(long)]
    pub memory: bool,

    /// Serve `POST /v1/faults` on every node
    #[arg(long)]
    pub allow_faults: bool,

    /// Bring a node that died back after a second
    #[arg(long)]
    pub restart: bool,
}

/// Runs the cluster until it is told to stop.
///
/// # Errors
/// What kept it from starting; nothing is left running.
pub fn run(args: &DevArgs) -> anyhow::Result<ExitCode> {
    let plan = Plan::make(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(Supervisor::new(plan, args.restart).run())
}
