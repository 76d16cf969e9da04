//! `torc cluster wait`: returns when no node keeps anything for another.

use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use http::Method;
use serde_json::Value;

use super::client::Client;
use super::failure::Failure;
use super::{Session, print_line};

/// How often the nodes are asked.
const POLL: Duration = Duration::from_millis(500);
/// How often what is still waited for is said.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// `torc cluster wait`.
#[derive(Debug, Args)]
pub struct WaitArgs {
    /// Until every hint of every node is delivered; so far there is nothing else to wait for
    #[arg(long)]
    hints: bool,

    /// Give up after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    timeout: u64,
}

/// Waits.
pub fn run(args: &WaitArgs, session: &mut Session) -> Result<(), Failure> {
    let started = Instant::now();
    let mut said_at = started;
    loop {
        let left = left(session)?;
        if left.is_empty() {
            print_line(if session.json {
                "{\"pending\":0}"
            } else {
                "every hint is delivered"
            });
            return Ok(());
        }
        let what = left.join("; ");
        if started.elapsed() >= Duration::from_secs(args.timeout) {
            let message = format!("after {} s: {what}. Nothing is lost; wait again", args.timeout);
            return Err(Failure::local("timeout", message));
        }
        if said_at.elapsed() >= LINE_EVERY {
            said_at = Instant::now();
            eprintln!("waiting: {what}");
        }
        std::thread::sleep(POLL);
    }
}

/// What is not delivered yet, or can't be known, in words.
fn left(session: &mut Session) -> Result<Vec<String>, Failure> {
    let cluster = session.json_of("/v1/cluster")?;
    let mut left = Vec::new();
    for node in cluster["nodes"].as_array().into_iter().flatten() {
        let name = node["name"].as_str().unwrap_or_default();
        match hints_of(node) {
            None => left.push(format!("{name} does not say what it keeps for others")),
            Some(hints) => {
                for home in hints["homes"].as_array().into_iter().flatten() {
                    let (records, home) = (&home["records"], home["home"].as_str().unwrap_or_default());
                    left.push(format!("{name} keeps {records} records for {home}"));
                }
            }
        }
    }
    Ok(left)
}

fn hints_of(node: &Value) -> Option<Value> {
    let host = node["host"].as_str()?;
    let port = node["base_port"].as_u64()? + 2;
    let mut client = Client::new(&format!("{host}:{port}")).ok()?;
    let answer = client.call(Method::GET, "/v1/status", &[], Bytes::new()).ok()?;
    let status: Value = serde_json::from_slice(&answer.body).ok()?;
    status.get("hints").filter(|hints| hints.is_object()).cloned()
}
