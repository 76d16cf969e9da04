//! `torc admin`: how a node's background work goes.

use bytes::Bytes;
use clap::{Args, ValueEnum};
use http::Method;
use serde_json::{Map, Value, json};

use super::failure::{Failure, Intent};
use super::{Session, print_line};
use crate::config::ByteSize;

/// A kind of background work.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Work {
    /// Delivering hints to their homes
    Hints,
    /// Comparing trees with the other homes
    #[value(alias = "anti_entropy")]
    AntiEntropy,
    /// Verifying what is on disk
    Scrub,
    /// Forgetting deleted and expired records
    Reaping,
}

impl Work {
    fn path(self) -> &'static str {
        match self {
            Self::Hints => "/v1/admin/hints",
            Self::AntiEntropy => "/v1/admin/anti_entropy",
            Self::Scrub => "/v1/admin/scrub",
            Self::Reaping => "/v1/admin/reaping",
        }
    }
}

/// `torc admin WORK`.
#[derive(Debug, Args)]
pub struct AdminArgs {
    /// Which work of the node
    #[arg(value_enum)]
    work: Work,

    /// Begin nothing new
    #[arg(long, conflicts_with = "resume")]
    pause: bool,

    /// Go on after a pause
    #[arg(long)]
    resume: bool,

    /// Start a run at once, even while paused
    #[arg(long)]
    run: bool,

    /// Most bytes a second: 4MiB, 500kB or a number
    #[arg(long, value_name = "SIZE", value_parser = ByteSize::parse)]
    rate: Option<ByteSize>,
}

/// Changes what the flags name, and prints the settings in force.
pub fn run(args: &AdminArgs, session: &mut Session) -> Result<(), Failure> {
    let mut body = Map::new();
    if args.pause || args.resume {
        body.insert("paused".into(), json!(args.pause));
    }
    if args.run {
        body.insert("run_now".into(), json!(true));
    }
    if let Some(rate) = args.rate {
        body.insert("bytes_per_second".into(), json!(rate.0));
    }
    let settings = if body.is_empty() {
        session.json_of(args.work.path())?
    } else {
        let body = Bytes::from(Value::Object(body).to_string());
        let answer = session.call(Intent::Write, Method::POST, args.work.path(), &[], body, &[200])?;
        serde_json::from_slice(&answer.body)
            .map_err(|error| Failure::local("bad_answer", format!("no JSON was answered: {error}")))?
    };
    if session.json {
        print_line(&settings.to_string());
    } else {
        let paused = settings["paused"].as_bool().unwrap_or_default();
        let rate = ByteSize(settings["bytes_per_second"].as_u64().unwrap_or_default());
        let is_run_going = settings["run_going"].as_bool().unwrap_or_default();
        print_line(&format!(
            "{}, at most {rate}/s{}",
            if paused { "paused" } else { "running" },
            if is_run_going { "; a run is under way" } else { "" }
        ));
    }
    Ok(())
}
