//! The commands that talk to a running cluster over HTTP, one file each.

mod admin;
mod bucket;
mod client;
mod cluster;
mod delete;
mod export;
mod failure;
mod get;
mod import;
mod inspect;
mod list;
mod percent;
mod progress;
mod put;
mod status;
mod wait;

use std::process::ExitCode;

use bytes::Bytes;
use clap::{Args, Subcommand};
use http::Method;

pub use client::{Answer, CallError, Client};
use failure::{Failure, Intent};

/// Which node, and how to answer.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// The node to talk to: its HTTP address
    #[arg(
        long,
        global = true,
        value_name = "HOST:PORT",
        env = "TORC_ADDR",
        default_value = "127.0.0.1:7002"
    )]
    pub addr: String,

    /// Answer in JSON; errors too
    #[arg(long, global = true)]
    pub json: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the value of a key
    Get(get::GetArgs),
    /// Write a value
    Put(put::PutArgs),
    /// Delete a key
    Delete(delete::DeleteArgs),
    /// List the keys of a bucket, or the sort keys of one key
    List(list::ListArgs),
    /// Show buckets
    #[command(subcommand)]
    Bucket(bucket::BucketCommand),
    /// Show the cluster
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    /// Show the state of one node
    Status,
    /// Show or change how a node's background work goes
    Admin(admin::AdminArgs),
    /// Show what each home holds for a key, or what is inside a context
    Inspect(inspect::InspectArgs),
    /// Write the records of a bucket as JSON lines
    Export(export::ExportArgs),
    /// Merge exported records into a bucket
    Import(import::ImportArgs),
    /// Locks (not in this version)
    Lock(Later),
    /// Watch a key (not in this version)
    Watch(Later),
    /// Verify the data of a cluster (not in this version)
    Verify(Later),
}

/// A command of a later version: takes anything, so that its refusal is clear.
#[derive(Debug, Args)]
pub struct Later {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    arguments: Vec<String>,
}

/// A command's view of the node.
pub struct Session {
    client: Client,
    /// Answer in JSON.
    pub json: bool,
}

impl Session {
    /// A request whose answer has to be one of the expected statuses.
    pub fn call(
        &mut self,
        intent: Intent,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: Bytes,
        expected: &[u16],
    ) -> Result<Answer, Failure> {
        let answer = self.client.call(method, target, headers, body);
        let answer = answer.map_err(|error| Failure::unanswered(error, intent))?;
        if expected.contains(&answer.status) {
            Ok(answer)
        } else {
            Err(Failure::answered(&answer))
        }
    }

    /// A GET whose answer is JSON.
    pub fn json_of(&mut self, target: &str) -> Result<serde_json::Value, Failure> {
        let headers = [("accept", "application/json")];
        let answer = self.call(Intent::Read, Method::GET, target, &headers, Bytes::new(), &[200])?;
        let parsed = serde_json::from_slice(&answer.body);
        parsed.map_err(|error| Failure::local("bad_answer", format!("{target} answered no JSON: {error}")))
    }
}

/// Runs a command.
pub fn run(command: Command, common: &Common) -> anyhow::Result<ExitCode> {
    let mut session = Session {
        client: Client::new(&common.addr)?,
        json: common.json,
    };
    let result = match command {
        Command::Get(args) => get::run(&args, &mut session),
        Command::Put(args) => put::run(args, &mut session),
        Command::Delete(args) => delete::run(&args, &mut session),
        Command::List(args) => list::run(&args, &mut session),
        Command::Bucket(command) => bucket::run(&command, &mut session),
        Command::Cluster(command) => cluster::run(&command, &mut session),
        Command::Status => status::run(&mut session),
        Command::Admin(args) => admin::run(&args, &mut session),
        Command::Inspect(args) => inspect::run(&args, &mut session),
        Command::Export(args) => export::run(&args, &mut session),
        Command::Import(args) => import::run(&args, &mut session),
        Command::Lock(_) => Err(Failure::later("torc lock")),
        Command::Watch(_) => Err(Failure::later("torc watch")),
        Command::Verify(_) => Err(Failure::later("torc verify")),
    };
    Ok(match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(common.json),
    })
}

/// How sure a read or write wants to be.
#[derive(Clone, Debug, Default, Args)]
pub struct Sureness {
    /// Count homes only, and fail clearly otherwise
    #[arg(long)]
    pub strict: bool,

    /// How long to wait, in milliseconds
    #[arg(long, value_name = "MS")]
    pub timeout_ms: Option<u32>,
}

impl Sureness {
    fn pairs(&self) -> [(&'static str, Option<String>); 2] {
        [
            ("strict", self.strict.then(|| "true".to_owned())),
            ("timeout_ms", self.timeout_ms.map(|ms| ms.to_string())),
        ]
    }
}

/// The path of a record.
fn record_path(bucket: &str, key: &str) -> String {
    format!(
        "/v1/kv/{}/{}",
        percent::encode(bucket.as_bytes()),
        percent::encode(key.as_bytes())
    )
}

/// Prints a line; a closed pipe (`torc list | head`) ends the program quietly.
fn print_line(line: &str) {
    use std::io::Write;
    if writeln!(std::io::stdout().lock(), "{line}").is_err() {
        std::process::exit(0);
    }
}
