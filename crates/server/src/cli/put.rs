//! `torc put`: writes a value over what is there.

use std::io::Read;

use bytes::Bytes;
use clap::{ArgGroup, Args};
use http::Method;
use serde_json::json;

use super::failure::{Failure, Intent};
use super::{Answer, Session, Sureness, percent, print_line, record_path};

/// `torc put`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("seen").args(["context", "blind"]))]
pub struct PutArgs {
    /// The bucket
    pub bucket: String,
    /// The key
    pub key: String,
    /// The value; `-` or nothing: what comes on standard input. One that begins with `-` comes after `--`
    #[arg(allow_negative_numbers = true)]
    pub value: Option<String>,
    /// The sort key
    #[arg(long)]
    pub sort_key: Option<String>,
    #[command(flatten)]
    pub before: Before,
    /// Answers to wait for: a number or a name such as quorum
    #[arg(long)]
    pub w: Option<String>,
    /// Seconds until the value expires
    #[arg(long, value_name = "SECONDS")]
    pub ttl: Option<u64>,
    /// What the value is
    #[arg(long, value_name = "TYPE")]
    pub content_type: Option<String>,
    /// Replace exactly what this context has seen [default: what the key holds now]
    #[arg(long, conflicts_with = "blind")]
    pub context: Option<String>,
    /// Replace nothing: in a bucket with siblings the value stands beside what is there
    #[arg(long)]
    pub blind: bool,
    /// Makes a retry safe: the same write with this id is answered within ten minutes, not applied again. A retry is the
    /// same only if it replaces the same: needs --context or --blind
    #[arg(long, value_name = "ID", requires = "seen")]
    pub request_id: Option<String>,
    #[command(flatten)]
    pub sureness: Sureness,
}

/// Prints nothing, or in JSON the new context and who answered.
pub fn run(args: PutArgs, session: &mut Session) -> Result<(), Failure> {
    let body = match args.value.as_deref() {
        Some(value) if value != "-" => Bytes::copy_from_slice(value.as_bytes()),
        _ => {
            let mut bytes = Vec::new();
            let read = std::io::stdin().lock().read_to_end(&mut bytes);
            read.map_err(|error| Failure::local("bad_input", format!("cannot read standard input: {error}")))?;
            Bytes::from(bytes)
        }
    };
    let path = record_path(&args.bucket, &args.key);
    let sort = ("sort", args.sort_key.clone());
    let context = match (&args.context, args.blind) {
        (Some(context), _) => Some(context.clone()),
        (None, true) => None,
        (None, false) => args.before.context(session, &path, &sort)?,
    };
    let [strict, timeout] = args.sureness.pairs();
    let pairs = [
        sort,
        ("w", args.w.clone()),
        ("ttl", args.ttl.map(|ttl| ttl.to_string())),
        strict,
        timeout,
    ];
    let mut headers = Vec::new();
    if let Some(context) = &context {
        headers.push(("torc-context", context.as_str()));
    }
    if let Some(content_type) = &args.content_type {
        headers.push(("content-type", content_type.as_str()));
    }
    if let Some(id) = &args.request_id {
        headers.push(("torc-request-id", id.as_str()));
    }
    let target = path + &percent::query(&pairs);
    let answer = session.call(Intent::Write, Method::PUT, &target, &headers, body, &[204])?;
    report(session, &answer);
    Ok(())
}

/// The read of what a key holds before it is overwritten or deleted.
#[derive(Debug, Args)]
pub struct Before {
    /// Answers that the read of what the key holds now waits for: a number or a name such as quorum
    #[arg(long, conflicts_with = "seen")]
    r: Option<String>,
    /// The same: eventual, quorum or strong
    #[arg(long, conflicts_with_all = ["seen", "r"])]
    consistency: Option<String>,
}

impl Before {
    /// What the key's context is now; `None` if it was never written.
    pub fn context(
        &self,
        session: &mut Session,
        path: &str,
        sort: &(&'static str, Option<String>),
    ) -> Result<Option<String>, Failure> {
        let pairs = [
            sort.clone(),
            ("r", self.r.clone()),
            ("consistency", self.consistency.clone()),
        ];
        let target = path.to_owned() + &percent::query(&pairs);
        let mut read = |method| session.call(Intent::Read, method, &target, &[], Bytes::new(), &[200, 300, 404]);
        // A HEAD carries no error body: ask again with GET for what went wrong.
        let answer = read(Method::HEAD).or_else(|_| read(Method::GET))?;
        Ok(header(&answer, "torc-context"))
    }
}

/// In JSON: the context and who answered.
pub fn report(session: &Session, answer: &Answer) {
    if session.json {
        let line = json!({"context": header(answer, "torc-context"), "answered": header(answer, "torc-answered")});
        print_line(&line.to_string());
    }
}

/// A header as text.
pub fn header(answer: &Answer, name: &str) -> Option<String> {
    answer
        .headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned)
}
