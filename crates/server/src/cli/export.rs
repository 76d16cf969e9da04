//! `torc export`: the records of a bucket as JSON lines, each whole, so that dots, contexts and expiry survive an import.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clap::Args;
use http::Method;
use serde_json::{Value, json};
use torc_core::causality::{Payload, Record, codec};

use super::failure::{Failure, Intent};
use super::progress::Progress;
use super::{Session, percent, print_line};

const PAGE_ITEMS: u64 = 1_000;

/// `torc export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The bucket
    pub bucket: String,
    /// The file to write [default: standard output]
    #[arg(long, short)]
    pub output: Option<std::path::PathBuf>,
}

/// Walks the bucket's keys and writes one line for each record. Keys written meanwhile may or may not be in it.
pub fn run(args: &ExportArgs, session: &mut Session) -> Result<(), Failure> {
    let unwritable = |error: std::io::Error| Failure::local("unwritable", format!("cannot write the export: {error}"));
    let mut out: Box<dyn Write> = match &args.output {
        Some(path) => Box::new(std::fs::File::create(path).map_err(unwritable)?),
        None => Box::new(std::io::stdout().lock()),
    };
    let mut out = std::io::BufWriter::new(&mut out);
    let bucket = percent::encode(args.bucket.as_bytes());
    let mut progress = Progress::new("exported", None);
    let mut start = None;
    loop {
        let query = percent::query(&[("start", start.clone()), ("limit", Some(PAGE_ITEMS.to_string()))]);
        let page = session.json_of(&format!("/v1/keys/{bucket}{query}"))?;
        for item in page["items"].as_array().into_iter().flatten() {
            if let Some(line) = line(&bucket, item, session)? {
                writeln!(out, "{line}").map_err(unwritable)?;
                progress.add(1);
            }
        }
        start = page["next"].as_str().map(str::to_owned);
        if start.is_none() {
            break;
        }
    }
    out.flush().map_err(unwritable)?;
    let records = progress.finish(session.json);
    if session.json {
        let summary = json!({ "records": records }).to_string();
        // Standard output is the export unless a file is.
        match args.output {
            Some(_) => print_line(&summary),
            None => eprintln!("{summary}"),
        }
    }
    Ok(())
}

/// One record; `None` if it is gone since its page was made.
fn line(bucket: &str, item: &Value, session: &mut Session) -> Result<Option<Value>, Failure> {
    let (key, sort) = (
        item["key"].as_str().unwrap_or_default(),
        item["sort"].as_str().unwrap_or_default(),
    );
    let target = format!("/v1/records/{bucket}/{key}?sort={sort}");
    let answer = session.call(Intent::Read, Method::GET, &target, &[], Bytes::new(), &[200, 404])?;
    if answer.status == 404 {
        return Ok(None);
    }
    let record = codec::decode(&answer.body);
    let record = record.map_err(|error| Failure::local("bad_answer", format!("the record of {key}: {error}")))?;
    // What a person or another program may want; an import reads `record` alone.
    let values: Vec<Value> = match &record {
        Record::Siblings(record) => record
            .siblings
            .iter()
            .filter_map(|(_, version)| value(&version.payload))
            .collect(),
        Record::Lww(record) => value(&record.payload).into_iter().collect(),
    };
    let record = STANDARD.encode(&answer.body);
    Ok(Some(
        json!({ "key": key, "sort": sort, "values": values, "record": record }),
    ))
}

fn value(payload: &Payload) -> Option<Value> {
    match payload {
        Payload::Value(value) => Some(STANDARD.encode(&value.data).into()),
        Payload::Tombstone | Payload::HashHead => None,
    }
}
