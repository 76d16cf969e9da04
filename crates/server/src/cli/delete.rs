//! `torc delete`: deletes what a key holds.

use bytes::Bytes;
use clap::{ArgGroup, Args};
use http::Method;

use super::failure::{Failure, Intent};
use super::put::{Before, report};
use super::{Session, Sureness, percent, record_path};

/// `torc delete`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("seen").args(["context", "blind"]))]
pub struct DeleteArgs {
    /// The bucket
    pub bucket: String,
    /// The key
    pub key: String,
    /// The sort key
    #[arg(long)]
    pub sort_key: Option<String>,
    #[command(flatten)]
    pub before: Before,
    /// Answers to wait for: a number or a name such as quorum
    #[arg(long)]
    pub w: Option<String>,
    /// Delete exactly what this context has seen [default: what the key holds now]
    #[arg(long, conflicts_with = "blind")]
    pub context: Option<String>,
    /// Leave a tombstone beside whatever is there
    #[arg(long)]
    pub blind: bool,
    /// Makes a retry safe, as for put: needs --context or --blind
    #[arg(long, value_name = "ID", requires = "seen")]
    pub request_id: Option<String>,
    #[command(flatten)]
    pub sureness: Sureness,
}

/// Prints nothing, or in JSON the new context and who answered.
pub fn run(args: &DeleteArgs, session: &mut Session) -> Result<(), Failure> {
    let path = record_path(&args.bucket, &args.key);
    let sort = ("sort", args.sort_key.clone());
    let context = match (&args.context, args.blind) {
        (Some(context), _) => Some(context.clone()),
        (None, true) => None,
        (None, false) => args.before.context(session, &path, &sort)?,
    };
    let [strict, timeout] = args.sureness.pairs();
    // A key that was never written has no context to give.
    let blind = ("blind", context.is_none().then(|| "true".to_owned()));
    let target = path + &percent::query(&[sort, ("w", args.w.clone()), blind, strict, timeout]);
    let mut headers = Vec::new();
    if let Some(context) = &context {
        headers.push(("torc-context", context.as_str()));
    }
    if let Some(id) = &args.request_id {
        headers.push(("torc-request-id", id.as_str()));
    }
    let answer = session.call(Intent::Write, Method::DELETE, &target, &headers, Bytes::new(), &[204])?;
    report(session, &answer);
    Ok(())
}
