//! `torc import`: merges what an export wrote into a bucket. Run again, it changes nothing.

use std::fs::File;
use std::io::{BufRead, BufReader};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::failure::{Failure, Intent};
use super::progress::Progress;
use super::{Session, percent, print_line};

/// `torc import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The bucket; of the same kind as the one that was exported
    pub bucket: String,
    /// The file to read [default: standard input]
    pub file: Option<std::path::PathBuf>,
    /// Answers to wait for: a number or a name such as quorum
    #[arg(long)]
    pub w: Option<String>,
}

/// Sends line after line; stops at the first that is not merged, naming it.
pub fn run(args: &ImportArgs, session: &mut Session) -> Result<(), Failure> {
    let unreadable = |error: std::io::Error| Failure::local("unreadable", format!("cannot read the export: {error}"));
    let (reader, bytes): (Box<dyn BufRead>, Option<u64>) = match &args.file {
        Some(path) => {
            let file = File::open(path).map_err(unreadable)?;
            let bytes = file.metadata().ok().map(|about| about.len());
            (Box::new(BufReader::new(file)), bytes)
        }
        None => (Box::new(std::io::stdin().lock()), None),
    };
    let bucket = percent::encode(args.bucket.as_bytes());
    let mut progress = Progress::new("imported", bytes);
    for (index, line) in reader.lines().enumerate() {
        let line = line.map_err(unreadable)?;
        if line.trim().is_empty() {
            continue;
        }
        import(&bucket, &line, args.w.as_ref(), session).map_err(|failure| at_line(failure, index + 1))?;
        progress.add(line.len() as u64 + 1);
    }
    let records = progress.finish(session.json);
    if session.json {
        print_line(&json!({ "records": records }).to_string());
    }
    Ok(())
}

fn import(bucket: &str, line: &str, w: Option<&String>, session: &mut Session) -> Result<(), Failure> {
    let bad = |what: &str| {
        Failure::local(
            "bad_line",
            format!("{what}; `torc export` writes lines that can be imported"),
        )
    };
    let item: Value = serde_json::from_str(line).map_err(|error| bad(&format!("no JSON: {error}")))?;
    // Keys stand percent-encoded in an export, as a path wants them; anything else is not let into one.
    let part = |name: &str| {
        let text = item[name].as_str()?;
        let is_encoded = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte);
        text.bytes().all(is_encoded).then_some(text)
    };
    let (Some(key), Some(sort)) = (part("key"), part("sort")) else {
        return Err(bad("no percent-encoded `key` and `sort`"));
    };
    let record = item["record"].as_str().and_then(|text| STANDARD.decode(text).ok());
    let record = record.ok_or_else(|| bad("no `record` in base64"))?;
    let w = percent::query(&[("w", w.cloned())]).replace('?', "&");
    let target = format!("/v1/records/{bucket}/{key}?sort={sort}{w}");
    session.call(Intent::Write, Method::PUT, &target, &[], record.into(), &[204])?;
    Ok(())
}

/// Which line it was: those before are merged, and all may be sent again.
fn at_line(mut failure: Failure, number: usize) -> Failure {
    let message = failure.error["message"].as_str().unwrap_or_default();
    failure.error["message"] = format!("line {number}: {message}; the lines before it are imported").into();
    failure
}
