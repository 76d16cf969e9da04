//! `torc serve`: one node, configured by a file, the environment and these flags.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::config::{Config, Layers, Problems};
use crate::{logging, shell};

/// When the data directory is set aside, so that its copies are rebuilt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Rebuild {
    /// If it can't be opened for damage.
    Damaged,
    /// Whatever it holds, unless its copies are being rebuilt already.
    Always,
}

/// Run one node
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "TORC_CONFIG")]
    config: Option<PathBuf>,

    /// Report every problem of the configuration and start nothing
    #[arg(long)]
    check: bool,

    /// This node's name, for ever
    #[arg(long)]
    name: Option<String>,

    /// The data directory
    #[arg(long)]
    dir: Option<PathBuf>,

    /// The address to bind
    #[arg(long)]
    host: Option<String>,

    /// Peers are served on P+1, HTTP on P+2, the Redis protocol on P+3
    #[arg(long, value_name = "P")]
    base_port: Option<u16>,

    /// Nodes of the cluster to join (not in this version: list them under members in the configuration)
    #[arg(long, value_name = "HOST:PORT,...")]
    join: Option<String>,

    /// The data centre
    #[arg(long)]
    dc: Option<String>,

    /// The rack
    #[arg(long)]
    rack: Option<String>,

    /// This node's share of the data, relative to the others
    #[arg(long)]
    capacity: Option<u32>,

    /// If the data are damaged so that they can't be opened: set them aside in DIR and fetch this node's copies from the
    /// other nodes. `always`: even if they can be opened
    #[arg(long, value_enum, value_name = "WHEN", num_args = 0..=1, default_missing_value = "damaged")]
    rebuild: Option<Rebuild>,

    /// Serve POST /v1/faults: for tests only
    #[arg(long)]
    allow_faults: bool,

    /// Allow binding to an address that others can reach
    #[arg(long)]
    insecure: bool,

    /// End when standard input ends, which is when the process that started this one is gone
    #[arg(long, hide = true)]
    exit_with_parent: bool,
}

impl ServeArgs {
    fn lay_over(&self, layers: &mut Layers) {
        let texts = [
            ("name", self.name.clone()),
            ("dir", self.dir.as_ref().map(|dir| dir.display().to_string())),
            ("host", self.host.clone()),
            ("dc", self.dc.clone()),
            ("rack", self.rack.clone()),
        ];
        for (field, text) in texts {
            if let Some(text) = text {
                layers.flag(field, text);
            }
        }
        if let Some(port) = self.base_port {
            layers.flag("base_port", i64::from(port));
        }
        if let Some(capacity) = self.capacity {
            layers.flag("capacity", i64::from(capacity));
        }
        for (field, is_set) in [("allow_faults", self.allow_faults), ("insecure", self.insecure)] {
            if is_set {
                layers.flag(field, true);
            }
        }
    }
}

/// Runs a node until it is told to stop.
///
/// # Errors
/// What keeps it from starting.
pub fn run(args: &ServeArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    if args.join.is_some() {
        anyhow::bail!("--join is not in this version; list the nodes as [[members]] in the configuration of each");
    }
    let config = Config::load(args.config.as_deref(), |layers| args.lay_over(layers));
    if args.check {
        let problems = config.err();
        return Ok(report(problems.as_ref(), as_json));
    }
    let config = config?;
    std::fs::create_dir_all(&config.dir)?;
    logging::start(config.log, &config.log_level, &config.dir)?;
    shell::serve(config, args.exit_with_parent, args.rebuild)
}

/// What `--check` found: all of it at once.
fn report(problems: Option<&Problems>, as_json: bool) -> ExitCode {
    match (problems, as_json) {
        (None, false) => println!("the configuration is sound"),
        (None, true) => println!("{}", json!({ "problems": [] })),
        (Some(problems), false) => eprintln!("{problems}"),
        (Some(Problems(problems)), true) => {
            let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
            let message = format!("the configuration has {} problems", told.len());
            let error = json!({
                "error": "bad_configuration", "message": message, "outcome": "not_applied", "problems": told,
            });
            eprintln!("{error}");
        }
    }
    if problems.is_some() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
