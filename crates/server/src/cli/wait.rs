//! `torc cluster wait`: returns when no node keeps anything for another.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use http::Method;
use indicatif::{ProgressBar, ProgressStyle};
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
    let mut progress = Progress::new();
    loop {
        let left = left(session)?;
        if left.words.is_empty() {
            progress.end();
            print_line(if session.json {
                "{\"pending\":0}"
            } else {
                "every hint is delivered"
            });
            return Ok(());
        }
        let what = left.words.join("; ");
        if started.elapsed() >= Duration::from_secs(args.timeout) {
            progress.end();
            let message = format!("after {} s: {what}. Nothing is lost; wait again", args.timeout);
            return Err(Failure::local("timeout", message));
        }
        progress.show(left.records, what);
        std::thread::sleep(POLL);
    }
}

/// How far the waiting has come, on stderr: a bar on a terminal, a plain line every few seconds elsewhere.
struct Progress {
    bar: Option<ProgressBar>,
    said_at: Instant,
}

impl Progress {
    fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("[{bar:30}] {percent:>3} % {wide_msg}");
            let style = style.expect("the template is constant");
            ProgressBar::new(0).with_style(style.progress_chars("=> "))
        });
        Self {
            bar,
            said_at: Instant::now(),
        }
    }

    /// So many records are left; the most that ever were is the whole.
    fn show(&mut self, records: u64, what: String) {
        if let Some(bar) = &self.bar {
            let most = bar.length().unwrap_or(0).max(records);
            bar.set_length(most);
            bar.set_position(most - records);
            bar.set_message(what);
        } else if self.said_at.elapsed() >= LINE_EVERY {
            self.said_at = Instant::now();
            eprintln!("waiting: {what}");
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// What is not delivered yet, or can't be known.
#[derive(Debug, Default)]
struct Left {
    records: u64,
    words: Vec<String>,
}

fn left(session: &mut Session) -> Result<Left, Failure> {
    let cluster = session.json_of("/v1/cluster")?;
    let mut left = Left::default();
    for node in cluster["nodes"].as_array().into_iter().flatten() {
        let name = node["name"].as_str().unwrap_or_default();
        match hints_of(node) {
            None => left.words.push(format!("{name} does not say what it keeps for others")),
            Some(hints) => {
                for home in hints["homes"].as_array().into_iter().flatten() {
                    let (records, home) = (&home["records"], home["home"].as_str().unwrap_or_default());
                    left.records += records.as_u64().unwrap_or(0);
                    left.words.push(format!("{name} keeps {records} records for {home}"));
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
